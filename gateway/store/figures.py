"""What a report is counted from: requests between States, what answered them, and their time limits.

In: a store, or a connection to one. Out: rows, a page at a time, at one moment. It decides and counts nothing.

Everything has the time at which this node recorded it, and what was recorded stays: what comes late is of a later time.
Only a time limit that was met is read from where it stands (`clocks`); that it ran out was stated, and is read there.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError
from rogatory.v1 import envelope_pb2 as pb

from gateway.checkpoint import Checkpoint
from gateway.store.fsck.books import blob, header_of, moment, opened, statement_of
from gateway.store.log import LogView

PAGE: Final = 512
_ENVELOPES: Final = """
    SELECT seq, kind, cited_seq, recorded_at_us, fingerprint, header, proof FROM envelopes
    WHERE seq > ? AND kind IN ({}) ORDER BY seq LIMIT ?
"""
_SAID: Final = """
    SELECT r.seq, e.seq, r.statement, r.signature FROM receipts r
    JOIN envelopes e ON e.id = r.id AND e.sender = r.sender
    WHERE r.seq > ? AND r.milestone IN (10, 11) AND r.issuer = ? ORDER BY r.seq LIMIT ?
"""
_MET: Final = """
    SELECT seq, envelope_seq, rule, started_at_us, due_at_us, ended_at_us FROM clocks
    WHERE seq > ? AND stage = 'met' AND ended_at_us IS NOT NULL ORDER BY seq LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """An envelope: what its header says, and what proves it.

    Args:
        seq: its number.
        kind: of the header.
        cited: the number of what it cites; None if nothing that is recorded.
        at_us: when this node recorded it.
        header: what its sender signed.
        envelope: header, signatures and slots; None if they make no sense.
        fingerprint: of all of it.
    """

    seq: int
    kind: int
    cited: int | None
    at_us: int
    header: pb.Header = field(repr=False)
    envelope: pb.SignedEnvelope | None = field(repr=False, default=None)
    fingerprint: bytes = field(repr=False, default=b"")


@dataclass(frozen=True, slots=True)
class RanOut:
    """What this node stated of a time limit that ran out: OVERDUE or LAPSED."""

    envelope: int
    said: pb.Statement = field(repr=False)
    receipt: pb.Receipt = field(repr=False)


@dataclass(frozen=True, slots=True)
class Met:
    """A time limit within or after which what it asked for was done."""

    envelope: int
    rule: int
    started_at_us: int
    due_at_us: int
    ended_at_us: int


class FigureView:
    """What may be asked, at one moment."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401  pysqlite3 has no types
        self._sql = connection
        self._log = LogView(connection)

    def envelopes(self, kinds: Collection[int]) -> Iterator[Kept]:
        """Yield the envelopes of these kinds, in the order in which they were recorded."""
        marks = ", ".join("?" * len(kinds))
        for row in self._pages(_ENVELOPES.format(marks), *kinds):
            seq, kind, cited, at_us, fingerprint, header, proof = row
            raw = blob(header)
            yield Kept(seq, kind, cited, at_us, header_of(raw), _signed(blob(proof), raw), blob(fingerprint))

    def ran_out(self, issuer: str) -> Iterator[RanOut]:
        """Yield what this node has stated of limits that ran out, in order."""
        for _, envelope, statement, signature in self._pages(_SAID, issuer):
            raw = blob(statement)
            yield RanOut(envelope, statement_of(raw), pb.Receipt(statement=raw, signature=_signature(blob(signature))))

    def met(self) -> Iterator[Met]:
        """Yield the limits that were met, or ended by what they had asked for, too late."""
        for _, *values in self._pages(_MET):
            yield Met(*values)

    def leaves(self, begins_us: int, ends_us: int) -> tuple[int, int] | None:
        """Return positions in the log, from 1: the first and last of all envelopes recorded in a time; None: none."""
        seqs = self._sql.execute(
            "SELECT min(seq), max(seq) FROM envelopes WHERE recorded_at_us >= ? AND recorded_at_us < ?",
            (begins_us, ends_us),
        ).fetchone()
        if seqs[0] is None:
            return None
        first, last = (self._log.position("envelope", seq) for seq in seqs)
        return None if first is None or last is None else (first, last)

    def leaf(self, seq: int) -> bytes:
        """Return the leaf hash that the log has of an envelope; empty if it has none."""
        position = self._log.position("envelope", seq)
        row = self._sql.execute("SELECT leaf_hash FROM log_entries WHERE position = ?", (position,)).fetchone()
        return b"" if row is None else blob(row[0])

    def covering(self, position: int) -> Checkpoint | None:
        """Return the first checkpoint that covers an entry; None if none does yet."""
        row = self._log.covering(position)
        return None if row is None else row.checkpoint

    def _pages(self, query: str, *values: object) -> Iterator[Any]:
        last = -1
        while page := self._sql.execute(query, (last, *values, PAGE)).fetchall():
            yield from page
            last = page[-1][0]


@contextmanager
def look(store: Path | str) -> Iterator[FigureView]:
    """Yield what may be asked of a store, all at one moment; nothing is changed.

    Raises:
        Refusal: BAD_CONFIG, there is no store of this version.
        Failure: STORE, it cannot be read now.
    """
    with opened(store) as connection, moment(connection):
        yield FigureView(connection)


def _signed(proof: bytes, header: bytes) -> pb.SignedEnvelope | None:
    try:
        envelope = pb.SignedEnvelope.FromString(proof)
    except DecodeError:
        return None
    envelope.header = header
    return envelope


def _signature(raw: bytes) -> pb.Signature:
    try:
        return pb.Signature.FromString(raw)
    except DecodeError:
        return pb.Signature()
