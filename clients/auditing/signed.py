"""What a log has signed: checkpoints, by whose keys, and which log they are of.

In: notes as they came, the keys that the auditor trusts. Out: `Seen`. Pure. Refuses with MALFORMED what is no
checkpoint, with BAD_SIGNATURE what the log did not sign, or another log did, with KEY_REVOKED what it signed with a
key that does not count any more.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

from gateway import note, witness
from gateway.checkpoint import Checkpoint
from gateway.directory import Directory, KeyEntry
from gateway.errors import ErrorCode, Refusal
from gateway.note import Algorithm, Note, Signed, Verifier
from gateway.witness import Cosigned

_NODE_LOG: Final = re.compile(r"(?P<first>.+/log)(?:/(?P<times>[1-9][0-9]{0,8}))?", re.ASCII)
ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Origin:
    """Which log: that of a node, and how many times its store had been put back from a backup.

    Args:
        first: the name of the node's first log.
        times: how many times.
    """

    first: str
    times: int = 0

    @classmethod
    def parse(cls, text: str) -> "Origin":
        """Read it; what is named in another way than a node names its logs is never restored."""
        found = _NODE_LOG.fullmatch(text)
        return cls(found["first"], int(found["times"] or 0)) if found else cls(text)

    def __str__(self) -> str:
        return f"{self.first}/{self.times}" if self.times else self.first


@dataclass(frozen=True)
class Seen:
    """A checkpoint that the log has signed. Made by `Trust.read` alone.

    Args:
        origin: which log.
        checkpoint: what it says.
        note: as it was signed, without the lines of strangers.
        by: with which keys of the log.
        cosigned: who saw it, and when.
        counted: who of these count for the federation, and how many it wants; None: no directory says so.
    """

    origin: Origin
    checkpoint: Checkpoint
    note: Note
    by: tuple[Signed, ...]
    cosigned: tuple[Signed, ...]
    counted: Cosigned | None = None

    @property
    def size(self) -> int:
        """How many entries."""
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        """The root over them."""
        return self.checkpoint.root

    @cached_property
    def alone(self) -> str:
        """The note with the log's own signature and no other."""
        names = {(each.by.name, each.by.key_id) for each in self.by}
        own = tuple(line for line in self.note.signatures if (line.name, line.key_id) in names)
        return bytes(Note(self.note.text, own)).decode()

    def __str__(self) -> str:
        return f"{self.origin}, {self.size} entries, root {b64encode(self.root).decode()}"


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the auditor believes.

    Args:
        first: the name of the node's first log.
        keys: of the log, those of the past too.
        witnesses: keys of those who cosign.
        directory: says who else does, and how many must; None: nobody.
        node: code of the node whose log it is, in that directory.
    """

    first: str
    keys: tuple[KeyEntry, ...]
    witnesses: tuple[Verifier, ...] = ()
    directory: Directory | None = None
    node: str = ""

    @classmethod
    def of(cls, spelled: tuple[Verifier, ...], witnesses: tuple[Verifier, ...] = ()) -> "Trust":
        """Return what verifier keys say, which are for ever.

        Raises:
            Refusal: BAD_INPUT, they are of several logs, or of none.
        """
        firsts = {Origin.parse(each.name).first for each in spelled}
        if len(firsts) != 1 or any(each.algorithm is not Algorithm.ED25519 for each in spelled):
            raise Refusal(ErrorCode.BAD_INPUT, "verifier keys of one log are wanted", "key")
        keys = tuple(KeyEntry(public=each.public_key, not_before=ALWAYS) for each in spelled)
        return cls(firsts.pop(), keys, witnesses)

    def read(self, raw: bytes) -> Seen:
        """Return a checkpoint that the log has signed, at whatever time.

        Raises:
            Refusal: MALFORMED or BAD_SIGNATURE.
        """
        found = note.parse(raw)
        checkpoint = Checkpoint.parse(found.text)
        origin = Origin.parse(checkpoint.origin)
        if origin.first != self.first:
            raise Refusal(ErrorCode.BAD_SIGNATURE, f"a checkpoint of {origin}, not of {self.first}", "origin")
        own = [Verifier(checkpoint.origin, key.public) for key in self.keys]
        listed = () if self.directory is None else witness.verifiers(self.directory, self.node)
        signed = note.verify(found, dict.fromkeys([*own, *self.witnesses, *listed]))
        by = tuple(each for each in signed if each.by in own)
        if not by:
            raise Refusal(ErrorCode.BAD_SIGNATURE, f"{origin} itself has not signed its checkpoint", "origin")
        ids = {(each.by.name, each.by.key_id) for each in signed}
        known = tuple(line for line in found.signatures if (line.name, line.key_id) in ids)
        counted = None if self.directory is None else witness.cosigned(self.directory, self.node, found)
        names = set() if counted is None else set(counted.by)
        cosigners = (each for each in signed if each.by.algorithm is Algorithm.COSIGNATURE)
        cosigned = tuple(each for each in cosigners if each.by in self.witnesses or each.by.name in names)
        return Seen(origin, checkpoint, Note(found.text, known), by, cosigned, counted)

    def check_still_counts(self, seen: Seen, since: datetime, now: datetime) -> None:
        """Check that what is new was signed with a key that counted at a time when that can have been.

        Args:
            seen: what is new.
            since: when it was not there yet.
            now: the time.

        Raises:
            Refusal: KEY_REVOKED.
        """
        publics = {each.by.public_key for each in seen.by}
        for key in self.keys:
            # Of a key that somebody else may have, nobody knows when it was used.
            lost = key.not_trusted_after is not None and key.not_trusted_after <= now
            if key.public in publics and key.not_before <= now and since < key.not_after and not lost:
                return
        detail = f"{seen.origin} has signed something new with a key that does not count any more, or not yet"
        raise Refusal(ErrorCode.KEY_REVOKED, detail, "checkpoint")
