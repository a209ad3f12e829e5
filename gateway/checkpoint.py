"""Checkpoints of a log (C2SP tlog-checkpoint): how many entries it has, and the root over them, in a signed note.

In: bytes as they came and the keys that may have signed them; or a size, a root and a signer. Out: a `Checkpoint`,
once it is proven whose it is; a note. Pure. Refuses with MALFORMED what is no checkpoint, with BAD_SIGNATURE one that
the log did not sign.

Source: https://c2sp.org/tlog-checkpoint. Lines after the third, which nobody could audit, are refused.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from gateway import note
from gateway.errors import ErrorCode, Refusal
from gateway.merkle import HASH_BYTES, MAX_SIZE
from gateway.note import Note, NoteSignature, Verifier
from gateway.signer import Signer

EMPTY_ROOT: Final = sha256(b"").digest()
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself.

    Args:
        origin: which log; the name of its key, too.
        size: how many entries.
        root: over them (RFC 6962).
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        """Raise Refusal MALFORMED for what can be no checkpoint."""
        note.check_name(self.origin)
        if not 0 <= self.size <= MAX_SIZE:
            raise _malformed(f"no log has {self.size} entries", "size")
        if len(self.root) != HASH_BYTES:
            raise _malformed(f"a root has {HASH_BYTES} bytes", "root")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise _malformed("the root over no entries is the hash of nothing", "root")

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Return the checkpoint that the text of a note is.

        Raises:
            Refusal: MALFORMED.
        """
        lines = text.split("\n", 4)
        if len(lines) != 4 or lines[3]:  # noqa: PLR2004  three lines, each ended
            raise _malformed("three lines are wanted: origin, size and root", "text")
        origin, size, root, _ = lines
        if _SIZE.fullmatch(size) is None:
            raise _malformed("that is no size", "size")
        return cls(origin, int(size), note.unbase64(root))

    def sign(self, signer: Signer) -> Note:
        """Return it as the log signs it.

        Raises:
            Failure: UNAVAILABLE, the key cannot be used now.
        """
        return Note(str(self), (note.sign(str(self), self.origin, signer),))

    def cosign(self, name: str, signer: Signer, at: int) -> NoteSignature:
        """Return the line of a witness: at that second (since 1970), it is the newest that it has seen and checked.

        Raises:
            Failure: UNAVAILABLE, the key cannot be used now.
        """
        return note.cosign(str(self), name, signer, at)


def read(raw: bytes, origin: str, keys: Iterable[bytes]) -> tuple[Checkpoint, Note]:
    """Return a checkpoint, once it is proven to be that log's.

    Args:
        raw: the note, as it came.
        origin: which log is meant.
        keys: public keys of the log, one of which must have signed.

    Raises:
        Refusal: MALFORMED, it is none; BAD_SIGNATURE, it is not that log's.
    """
    found = note.parse(raw)
    checkpoint = Checkpoint.parse(found.text)
    if checkpoint.origin != origin:
        raise Refusal(ErrorCode.BAD_SIGNATURE, f"a checkpoint of {checkpoint.origin}, not of {origin}", "origin")
    note.verify(found, [Verifier(origin, key) for key in keys])
    return checkpoint, found


def _malformed(detail: str, field: str) -> Refusal:
    return Refusal(ErrorCode.MALFORMED, detail, f"checkpoint.{field}")
