"""Private keys on disk.

In: a path, and a passphrase or none. Out: a key object. One key a file, mode 0600: under a passphrase
(`gateway.locked`), or plain: PKCS#8 in PEM (RFC 5958, RFC 7468 section 10, RFC 8410), and of a target key the form of
`gateway.target_keys`. Which of the two is the caller's choice, never the file's: with a passphrase a plain file is
refused, so that nobody can put one in the place of a locked one. Refuses files that anybody but their owner may touch,
and keys of another type: a sealing key cannot be used to sign by mistaking one path for another. No message carries a
byte of any file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from gateway import locked, private_files, target_keys
from gateway.errors import ErrorCode, Refusal
from gateway.hidden import HiddenSealingKey, HiddenSigningKey, Passphrase
from gateway.locked import Cost
from gateway.private_files import refusal
from gateway.target_keys import TargetKey

MAX_KEY_FILE_BYTES: Final = 4096
"""The largest file written here, of a locked P-256 key, has about 800 bytes; above this it is surely something else."""

AnyKey: TypeAlias = Ed25519PrivateKey | X25519PrivateKey | EllipticCurvePrivateKey

KeyInFile: TypeAlias = AnyKey | TargetKey

_PKCS8: Final = b"-----BEGIN PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class Listed:
    """What a key file says of itself.

    Args:
        algorithm: one of `locked.ALGORITHMS`.
        public: the public half: 32 bytes, or of P-256 the compressed point; of a target key, which has none, its id.
            Of a locked file a claim, until it is opened.
        encrypted: whether it is under a passphrase.
    """

    algorithm: str
    public: bytes
    encrypted: bool


def save_signing_key(
    path: Path, key: SigningKey, passphrase: Passphrase | None = None, cost: Cost = locked.DEFAULT
) -> None:
    """Write an Ed25519 key to a new file `path`, plain if there is no passphrase.

    Raises:
        Refusal: KEY_FILE, `path` exists or cannot be written. A key is never overwritten.

    Source: RFC 8410 section 7.
    """
    _create(path, Ed25519PrivateKey.from_private_bytes(bytes(key)), passphrase, cost)


def load_signing_key(path: Path, passphrase: Passphrase | None = None) -> SigningKey:
    """Read an Ed25519 key.

    Args:
        path: the file.
        passphrase: without one, the file must be plain; with one, it must be locked.

    Raises:
        Refusal: KEY_FILE, the file is missing, open to others, not of the form that is wanted, changed, holds another
            type of key, or the passphrase is wrong.
        Failure: UNAVAILABLE, there is no memory to open it.
    """
    key = _load(path, passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise refusal(path, "not an Ed25519 key")
    return HiddenSigningKey(key.private_bytes_raw())


def save_sealing_key(
    path: Path, key: PrivateKey, passphrase: Passphrase | None = None, cost: Cost = locked.DEFAULT
) -> None:
    """Write an X25519 key to a new file `path`; see `save_signing_key`."""
    _create(path, X25519PrivateKey.from_private_bytes(bytes(key)), passphrase, cost)


def load_sealing_key(path: Path, passphrase: Passphrase | None = None) -> PrivateKey:
    """Read an X25519 key; refuses as `load_signing_key` does."""
    key = _load(path, passphrase)
    if not isinstance(key, X25519PrivateKey):
        raise refusal(path, "not an X25519 key")
    return HiddenSealingKey(key.private_bytes_raw())


def save_tls_key(
    path: Path, key: EllipticCurvePrivateKey, passphrase: Passphrase | None = None, cost: Cost = locked.DEFAULT
) -> None:
    """Write the P-256 key of a certificate to a new file `path`; see `save_signing_key`."""
    _create(path, key, passphrase, cost)


def load_tls_key(path: Path, passphrase: Passphrase | None = None) -> EllipticCurvePrivateKey:
    """Read the P-256 key of a certificate; refuses as `load_signing_key` does."""
    key = _load(path, passphrase)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise refusal(path, "not a P-256 key")
    return key


def save_target_key(
    path: Path, key: TargetKey, passphrase: Passphrase | None = None, cost: Cost = locked.DEFAULT
) -> None:
    """Write a target key to a new file `path`; see `save_signing_key`."""
    _create(path, key, passphrase, cost)


def load_target_key(path: Path, passphrase: Passphrase | None = None) -> TargetKey:
    """Read a target key; refuses as `load_signing_key` does."""
    key = _load(path, passphrase)
    if not isinstance(key, TargetKey):
        raise refusal(path, "not a target key")
    return key


def pem(key: AnyKey) -> bytes:
    """Return `key` as unencrypted PKCS#8 PEM. For key files and for gRPC, which takes nothing else."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def inspect(path: Path) -> Listed:
    """Say what a key file holds, without its passphrase; refuses as `load_signing_key` does."""
    content = private_files.read(path, MAX_KEY_FILE_BYTES)
    if locked.is_locked(content):
        found = _read(path, content)
        return Listed(found.algorithm, found.public, encrypted=True)
    return Listed(*_public(_parse(path, content)), encrypted=False)


def encrypt(path: Path, passphrase: Passphrase, cost: Cost = locked.DEFAULT) -> None:
    """Put the plain key file `path` under a passphrase.

    Raises:
        Refusal: KEY_FILE, as `load_signing_key`; or the plain key would stay, see `private_files.replace`.
        Failure: UNAVAILABLE, there is no memory to do it.
    """
    private_files.replace(path, _lock(_load(path, None), passphrase, cost))


def change_passphrase(path: Path, old: Passphrase, new: Passphrase, cost: Cost = locked.DEFAULT) -> None:
    """Put the locked key file `path` under another passphrase; refuses as `encrypt` does."""
    private_files.replace(path, _lock(_load(path, old), new, cost))


def check(path: Path, passphrase: Passphrase) -> None:
    """Check that a key file opens with a passphrase; refuses as `load_signing_key` does."""
    _load(path, passphrase)


def _create(path: Path, key: KeyInFile, passphrase: Passphrase | None, cost: Cost) -> None:
    private_files.create(path, _plain(key) if passphrase is None else _lock(key, passphrase, cost))


def _lock(key: KeyInFile, passphrase: Passphrase, cost: Cost) -> bytes:
    plain = _plain(key)
    content = locked.lock(plain, *_public(key), passphrase, cost).dump()
    # Before the only other copy goes: a key that cannot be opened again is lost.
    if locked.unlock(locked.read(content), passphrase) != plain:
        raise AssertionError("what was locked does not open")
    return content


def _load(path: Path, passphrase: Passphrase | None) -> KeyInFile:
    content = private_files.read(path, MAX_KEY_FILE_BYTES)
    if passphrase is None:
        return _parse(path, content)
    if content.startswith(_PKCS8) or target_keys.is_target_key(content):
        raise refusal(path, "not encrypted, though the settings demand it; see `rogatory keys encrypt`")
    found = _read(path, content)
    try:
        key = _parse(path, locked.unlock(found, passphrase))
    except Refusal as error:
        raise type(error)(ErrorCode.KEY_FILE, error.detail, str(path)) from None
    if _public(key) != (found.algorithm, found.public):
        raise refusal(path, "it says another public key than its own")
    return key


def _read(path: Path, content: bytes) -> locked.Locked:
    try:
        return locked.read(content)
    except Refusal as error:
        raise refusal(path, error.detail) from None


def _parse(path: Path, content: bytes) -> KeyInFile:
    if locked.is_locked(content):
        raise refusal(path, "encrypted, and there is no passphrase for it")
    if target_keys.is_target_key(content):
        try:
            return target_keys.read(content)
        except Refusal as error:
            raise refusal(path, error.detail) from None
    if not content.startswith(_PKCS8):
        raise refusal(path, "not an unencrypted PKCS#8 PEM file")
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # `from None`: what the parser says about a private key is not for a trace.
        raise refusal(path, "not a readable private key") from None
    if isinstance(key, Ed25519PrivateKey | X25519PrivateKey):
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise refusal(path, "neither an Ed25519, nor an X25519, nor a P-256 key")


def _plain(key: KeyInFile) -> bytes:
    """Return the content of a plain file."""
    return key.dump() if isinstance(key, TargetKey) else pem(key)


def _public(key: KeyInFile) -> tuple[str, bytes]:
    """Return algorithm and public half; of a target key, its id."""
    if isinstance(key, TargetKey):
        return target_keys.ALGORITHM, key.id
    if isinstance(key, EllipticCurvePrivateKey):
        return "P-256", key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return "Ed25519" if isinstance(key, Ed25519PrivateKey) else "X25519", key.public_key().public_bytes_raw()
