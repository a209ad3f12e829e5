"""A private key under a passphrase.

In: a key as its plain file has it (PKCS#8 PEM, or a target key's own form) and a passphrase; or the content of a file
and the passphrase. Out: the same the other way round. Pure: `gateway.keys` reads and writes the files. Refuses with
KEY_FILE a wrong passphrase, any changed byte, and costs beyond bounds before a byte of memory is taken for them.

The file is JSON of exactly the form that `Locked.dump` writes:

    {"format": "rogatory-locked-key-1",   this
     "algorithm": "Ed25519",              of the key inside: Ed25519, X25519, P-256, or of a target key HMAC-SHA-256
     "public": "8f1c...",                 its public half, hex, or its id; so it can be listed without the passphrase
     "kdf": "argon2id", "passes": 3, "memory": 268435456,      memory in bytes; one lane
     "salt": "...", "nonce": "...",       hex, 16 and 24 bytes
     "sealed": "..."}                     base64: XChaCha20-Poly1305 of the plain file

The associated data of `sealed` is the file with an empty `sealed`: nothing else in it can be exchanged. Why no
standard: PKCS#8 as `cryptography` writes it has PBKDF2 alone, which costs an attacker with graphics cards next to
nothing; OpenSSH's form has bcrypt, and no place for X25519.

Sources: RFC 9106 (Argon2), draft-irtf-cfrg-xchacha-03.
"""

import base64
import json
from dataclasses import dataclass
from typing import Final

import nacl.exceptions
import nacl.utils
from nacl import pwhash
from nacl.secret import Aead

from gateway import target_keys
from gateway.errors import ErrorCode, Failure, Refusal, WrongSecret
from gateway.hidden import Passphrase

FORMAT: Final = "rogatory-locked-key-1"
KDF: Final = "argon2id"
ALGORITHMS: Final = ("Ed25519", "X25519", "P-256", target_keys.ALGORITHM)
_SIGN: Final = b'{"format": "rogatory-locked-key-'


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at a passphrase costs, and one start.

    Args:
        passes: over the memory.
        memory: bytes.
    """

    passes: int
    memory: int


LEAST: Final = Cost(1, 8 << 20)
MOST: Final = Cost(10, 1 << 30)
"""A start takes no more memory than this, whatever a file says."""
DEFAULT: Final = Cost(pwhash.argon2id.OPSLIMIT_MODERATE, pwhash.argon2id.MEMLIMIT_MODERATE)
"""256 MiB, about a second: libsodium's advice for what is not interactive."""


@dataclass(frozen=True, slots=True)
class Locked:
    """What a file of a locked key says. Nothing of it is true until `unlock` has passed."""

    algorithm: str
    public: bytes
    cost: Cost
    salt: bytes
    nonce: bytes
    sealed: bytes

    def dump(self) -> bytes:
        """Return the content of the file."""
        fields = {
            "format": FORMAT,
            "algorithm": self.algorithm,
            "public": self.public.hex(),
            "kdf": KDF,
            "passes": self.cost.passes,
            "memory": self.cost.memory,
            "salt": self.salt.hex(),
            "nonce": self.nonce.hex(),
            "sealed": base64.b64encode(self.sealed).decode(),
        }
        return json.dumps(fields).encode() + b"\n"

    def with_sealed(self, sealed: bytes) -> "Locked":
        """Return the same with another key inside."""
        return Locked(self.algorithm, self.public, self.cost, self.salt, self.nonce, sealed)


def is_locked(content: bytes) -> bool:
    """Whether a file means to be of this form."""
    return content.startswith(_SIGN)


def lock(plain: bytes, algorithm: str, public: bytes, passphrase: Passphrase, cost: Cost = DEFAULT) -> Locked:
    """Put a key under a passphrase.

    Args:
        plain: the private key, as its plain file has it.
        algorithm: one of `ALGORITHMS`.
        public: the public half.
        passphrase: opens it again.
        cost: within `LEAST` and `MOST`.

    Raises:
        Failure: UNAVAILABLE, the memory cannot be had.
    """
    salt, nonce = nacl.utils.random(pwhash.argon2id.SALTBYTES), nacl.utils.random(Aead.NONCE_SIZE)
    empty = Locked(algorithm, public, cost, salt, nonce, b"")
    return empty.with_sealed(_box(empty, passphrase).encrypt(plain, empty.dump(), nonce).ciphertext)


def read(content: bytes) -> Locked:
    """Read a file's content, without its passphrase.

    Raises:
        Refusal: KEY_FILE, it is not exactly as `Locked.dump` writes it, or its costs are out of bounds.
    """
    try:
        found = _parse(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _refusal("not a readable locked key") from None
    if found.dump() != content:
        raise _refusal("not a readable locked key")
    if not (LEAST.passes <= found.cost.passes <= MOST.passes and LEAST.memory <= found.cost.memory <= MOST.memory):
        raise _refusal("its passes or its memory are out of bounds")
    return found


def unlock(locked: Locked, passphrase: Passphrase) -> bytes:
    """Return the key, as its plain file has it.

    Raises:
        WrongSecret: KEY_FILE, the passphrase is wrong, or the file was changed: nobody can tell which.
        Failure: UNAVAILABLE, the memory cannot be had.
    """
    associated = locked.with_sealed(b"").dump()
    try:
        return _box(locked, passphrase).decrypt(locked.sealed, associated, locked.nonce)
    except (nacl.exceptions.CryptoError, ValueError):
        detail = "the passphrase is wrong, or the file was changed"
        raise WrongSecret(ErrorCode.KEY_FILE, detail) from None


def _box(locked: Locked, passphrase: Passphrase) -> Aead:
    cost = locked.cost
    try:
        return Aead(pwhash.argon2id.kdf(Aead.KEY_SIZE, passphrase.reveal(), locked.salt, cost.passes, cost.memory))
    except nacl.exceptions.RuntimeError:
        detail = f"{cost.memory >> 20} MiB are wanted to open a key, and cannot be had"
        raise Failure(ErrorCode.UNAVAILABLE, detail) from None


def _parse(content: bytes) -> Locked:
    fields = json.loads(content)
    found = Locked(
        algorithm=fields["algorithm"],
        public=bytes.fromhex(fields["public"]),
        cost=Cost(fields["passes"], fields["memory"]),
        salt=bytes.fromhex(fields["salt"]),
        nonce=bytes.fromhex(fields["nonce"]),
        sealed=base64.b64decode(fields["sealed"], validate=True),
    )
    whole = type(found.cost.passes) is int and type(found.cost.memory) is int
    sizes = (len(found.salt), len(found.nonce)) == (pwhash.argon2id.SALTBYTES, Aead.NONCE_SIZE)
    if found.algorithm not in ALGORITHMS or not whole or not sizes:
        raise ValueError
    return found


def _refusal(reason: str) -> Refusal:
    return Refusal(ErrorCode.KEY_FILE, reason)
