"""Signed notes (C2SP signed-note): a text, and lines under it that say whose keys signed it.

In: bytes as they came, the keys that the reader trusts; or a text and a signer. Out: the text, once a trusted key has
signed it; a signature line. Pure. Refuses with MALFORMED what is no note, and more than 256 KiB or 32 signatures before
anything is parsed; with BAD_SIGNATURE what no trusted key has signed, or one signed wrongly.

What is signed is the text itself, without a frame. It cannot be taken for what `gateway.signature` signs: that begins
with the length of its domain in eight bytes, of which the first is zero, and a note holds no control character but the
newline. A *cosignature* (C2SP tlog-cosignature) is a signature line over the text with a line and a time before it.

Source: https://c2sp.org/signed-note, https://c2sp.org/tlog-cosignature.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Final

from gateway import ed25519
from gateway.ed25519 import Check
from gateway.errors import ErrorCode, Refusal
from gateway.signer import Signer

MAX_NOTE_BYTES: Final = 1 << 18
MAX_SIGNATURES: Final = 32
"""Whoever reads notes must take 16; one after the quantum computer can have 5 kB."""
MAX_NAME_CHARS: Final = 255
KEY_ID_BYTES: Final = 4
_DASH: Final = "\N{EM DASH} "
_KEY_BYTES: Final = 32
_TIME_BYTES: Final = 8
_MAX_TIME: Final = (1 << 63) - 1


class Algorithm(Enum):
    """How a note is signed: the signature type identifier of C2SP signed-note."""

    ED25519 = 1
    COSIGNATURE = 4  # Ed25519 over the text of a checkpoint and a time


@dataclass(frozen=True, slots=True)
class Verifier:
    """A key that somebody trusts, and its name.

    Args:
        name: e.g. "ee.rogatory.test/log".
        public_key: 32 bytes.
        algorithm: what it signs; the same key has another id for each.
    """

    name: str
    public_key: bytes
    algorithm: Algorithm = Algorithm.ED25519

    def __post_init__(self) -> None:
        """Raise Refusal MALFORMED for what can be no key."""
        check_name(self.name)
        if len(self.public_key) != _KEY_BYTES:
            raise _malformed(f"an Ed25519 key has {_KEY_BYTES} bytes")

    @property
    def key_id(self) -> bytes:
        """The first four bytes of a hash over name, algorithm and key: it helps to find a key, and proves nothing."""
        return sha256(self.name.encode() + b"\n" + self._typed).digest()[:KEY_ID_BYTES]

    @property
    def _typed(self) -> bytes:
        return bytes([self.algorithm.value]) + self.public_key

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(self._typed).decode()}"

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """Return the verifier that `name+hash+base64` spells.

        Raises:
            Refusal: MALFORMED, any other spelling, or another algorithm.
        """
        if len(text) > MAX_NAME_CHARS + 64:
            raise _malformed("a verifier key is shorter")
        name, _, rest = text.partition("+")
        typed = unbase64(rest.partition("+")[2])
        try:
            verifier = cls(name, typed[1:], Algorithm(typed[0] if typed else 0))
        except ValueError as error:
            raise _malformed("a verifier key of an unknown algorithm") from error
        if str(verifier) != text:
            raise _malformed("a verifier key whose hash is not its own")
        return verifier


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One line under a note: who says to have signed it.

    Args:
        name: of the key.
        key_id: of the key, 4 bytes.
        value: the signature; of a cosignature, 8 bytes of time and the signature.
    """

    name: str
    key_id: bytes
    value: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text, with its last newline, and what stands under it."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def __bytes__(self) -> bytes:
        return f"{self.text}\n{''.join(map(str, self.signatures))}".encode()


@dataclass(frozen=True, slots=True)
class Signed:
    """A trusted key has signed a note.

    Args:
        by: that key.
        at: of a cosignature, when: seconds since 1970; of another, 0.
    """

    by: Verifier
    at: int = 0


def parse(raw: bytes) -> Note:
    """Return the note that these bytes are; of whom it is, `verify` says.

    Raises:
        Refusal: MALFORMED.
    """
    if len(raw) > MAX_NOTE_BYTES:
        raise _malformed(f"it has more than {MAX_NOTE_BYTES} bytes")
    try:
        whole = raw.decode()
    except UnicodeDecodeError as error:
        raise _malformed("it is no UTF-8") from error
    _check_characters(whole)
    # The text may have empty lines: the last one ends it.
    text, found, under = whole.rpartition("\n\n")
    lines = under.split("\n", MAX_SIGNATURES + 1)
    if not found or lines.pop() != "" or not lines:
        raise _malformed("a text, an empty line and signature lines are wanted")
    if len(lines) > MAX_SIGNATURES:
        raise _malformed(f"more than {MAX_SIGNATURES} signatures")
    return Note(text + "\n", tuple(map(parse_signature, lines)))


def parse_signature(line: str) -> NoteSignature:
    """Return the signature that a line is, without its newline.

    Raises:
        Refusal: MALFORMED.
    """
    name, found, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not found:
        raise _malformed("a signature line is a dash, a name and a signature")
    check_name(name)
    value = unbase64(encoded)
    if len(value) <= KEY_ID_BYTES:
        raise _malformed("a signature line without a signature")
    return NoteSignature(name, value[:KEY_ID_BYTES], value[KEY_ID_BYTES:])


def verify(note: Note, trusted: Iterable[Verifier]) -> tuple[Signed, ...]:
    """Return which trusted keys have signed a note, each once; lines of other keys are passed over.

    Raises:
        Refusal: BAD_SIGNATURE, none has, or a line that names one does not hold.
    """
    known: dict[tuple[str, bytes], list[Verifier]] = {}
    for verifier in trusted:
        known.setdefault((verifier.name, verifier.key_id), []).append(verifier)
    found: dict[Verifier, Signed] = {}
    for line in note.signatures:
        keys = known.get((line.name, line.key_id))
        if keys is None:
            continue
        # Several, if somebody has made a key whose short id is another's: what counts is which one signed.
        signed = next((said for key in keys if (said := _signed(note.text, line, key)) is not None), None)
        if signed is None:
            raise Refusal(ErrorCode.BAD_SIGNATURE, f"the signature of {line.name} does not fit the note")
        found.setdefault(signed.by, signed)
    if not found:
        raise Refusal(ErrorCode.BAD_SIGNATURE, "no key that is trusted has signed the note")
    return tuple(found.values())


def sign(text: str, name: str, signer: Signer) -> NoteSignature:
    """Sign a text.

    Raises:
        Refusal: MALFORMED, it cannot be the text of a note.
        Failure: UNAVAILABLE, the key cannot be used now.
    """
    _check_text(text)
    verifier = Verifier(name, signer.public_key)
    return NoteSignature(name, verifier.key_id, signer.sign(text.encode()))


def cosign(text: str, name: str, signer: Signer, at: int) -> NoteSignature:
    """Cosign the text of a checkpoint: as of that second, it is the newest that the cosigner has seen and checked.

    Raises:
        Refusal: MALFORMED, it cannot be the text of a note.
        Failure: UNAVAILABLE, the key cannot be used now.
    """
    _check_text(text)
    verifier = Verifier(name, signer.public_key, Algorithm.COSIGNATURE)
    return NoteSignature(name, verifier.key_id, at.to_bytes(_TIME_BYTES, "big") + signer.sign(_timed(text, at)))


def _signed(text: str, line: NoteSignature, key: Verifier) -> Signed | None:
    at, signature, message = 0, line.value, text.encode()
    if key.algorithm is Algorithm.COSIGNATURE:
        at, signature = int.from_bytes(signature[:_TIME_BYTES], "big"), signature[_TIME_BYTES:]
        if not 0 < at <= _MAX_TIME:
            return None
        message = _timed(text, at)
    return Signed(key, at) if ed25519.holds(Check(key.public_key, signature, message)) else None


def _timed(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def check_name(name: str) -> None:
    """Check that a key may have that name.

    Raises:
        Refusal: MALFORMED.
    """
    _check_characters(name)
    if not 0 < len(name) <= MAX_NAME_CHARS or "+" in name or any(map(str.isspace, name)):
        raise _malformed("the name of a key has no spaces and no plus, and is not empty or long")


def _check_text(text: str) -> None:
    _check_characters(text)
    if not text.endswith("\n"):
        raise _malformed("the text of a note ends with a newline")


def _check_characters(text: str) -> None:
    # Below U+0020. The newline alone is allowed.
    if any(character < " " and character != "\n" for character in set(text)):
        raise _malformed("a control character")


def unbase64(text: str) -> bytes:
    """Return what base64 spells.

    Raises:
        Refusal: MALFORMED, it is none, or not the one spelling of these bytes.
    """
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("that is no base64") from error
    if b64encode(raw).decode() != text:
        raise _malformed("base64 has one spelling")
    return raw


def _malformed(detail: str) -> Refusal:
    return Refusal(ErrorCode.MALFORMED, detail, "note")
