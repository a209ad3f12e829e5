"""What policy lets go: payloads, then events and deliveries; cosignatures; and the space that they took.

In: a connection: the writer's inside a transaction, or a reader's. Out: what is known about when an envelope ended, and
rows that are gone. It decides nothing; when what may go is `gateway.retention`'s to say. Whatever is kept here for ever
stays: header, signatures, receipts, log entries, checkpoints, moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import rules
from gateway.lifecycle import FINAL, State
from gateway.store.matters import MAX_CHAIN
from gateway.store.schema import PENDING_SQL

PURGED: Final = "payload.purged"
PRUNED: Final = "history.pruned"
KEPT_FREE_PAGES: Final = 256
"""A mebibyte of holes is left for what comes next: to give it back and take it again would be work for nothing."""

_ENDED_SQL: Final = ", ".join(f"'{state.value}'" for state in State if state in FINAL)
# As they are stored: a state that a newer program on this store knows is none at which anything may go.
_FINAL: Final = frozenset(state.value for state in rules.FINAL)
_TO_DELETE: Final = rules.State.TO_DELETE.value
Move: TypeAlias = tuple[str, int]
"""Where a matter stood, and since when."""

_LOOK: Final = (
    "SELECT seq, header, fingerprint, case_id, recorded_at_us, payload IS NOT NULL FROM envelopes"
    " WHERE seq > ? ORDER BY seq LIMIT ?"
)
_ONE: Final = (
    "SELECT seq, header, fingerprint, case_id, recorded_at_us, payload IS NOT NULL FROM envelopes WHERE seq = ?"
)
_LAST: Final = "NOT EXISTS (SELECT 1 FROM moves x WHERE x.envelope_seq = m.envelope_seq AND x.seq > m.seq)"
_OF_CASE: Final = (
    "SELECT m.state, m.at_us FROM envelopes e JOIN moves m ON m.envelope_seq = e.seq"  # noqa: S608  our own words
    f" WHERE e.case_id = ? AND {_LAST}"
)
_LATEST: Final = "SELECT max(at_us) FROM events WHERE envelope_id = ? AND sender = ?"
_SENT: Final = f"""
    DELETE FROM deliveries WHERE seq IN (
      SELECT d.seq FROM deliveries d JOIN receipts r ON r.seq = d.receipt_seq
      JOIN events h ON h.envelope_id = r.id AND h.sender = r.sender AND h.name = '{PRUNED}'
      WHERE d.seq > ? AND d.seq <= ? AND d.state IN ({_ENDED_SQL}))
"""  # noqa: S608  built from the states of lifecycle.py, nothing from outside
_COSIGNED: Final = """
    SELECT size, origin, name, key_id, at_us FROM cosignatures WHERE size > ? ORDER BY size, origin LIMIT ?
"""
_STRAY: Final = """
    DELETE FROM events WHERE seq IN (
      SELECT v.seq FROM events v LEFT JOIN envelopes e ON e.id = v.envelope_id AND e.sender = v.sender
      WHERE v.seq > ? AND v.seq <= ? AND v.at_us <= ? AND e.seq IS NULL)
"""


class Cosigned(NamedTuple):
    """That a witness has cosigned a checkpoint of this node's own log, and when that came."""

    size: int
    origin: str
    name: str
    key_id: bytes
    at_us: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of one envelope here. Times in microseconds; None: not yet.

    Args:
        seq: its number.
        header: its header.
        has_payload: whether its payload is there.
        ended_at_us: since when every copy has ended.
        opened_at_us: since when its recipient has said whether it could read it.
        closed_at_us: since when no matter of its case, or above it, is open, and it has ended itself.
        to_delete_since_us: since when a request above it has been one whose answers are to be deleted.
    """

    seq: int
    header: pb.Header
    has_payload: bool
    ended_at_us: int | None
    opened_at_us: int | None
    closed_at_us: int | None
    to_delete_since_us: int | None

    @property
    def ref(self) -> ids.EnvelopeRef:
        """Its name."""
        return ids.EnvelopeRef(sender=self.header.sender, id=self.header.id)


class LettingGoView:
    """What may be asked.

    Args:
        connection: to the store.
        me: this node, e.g. "ee/node".
    """

    def __init__(self, connection: Any, me: str) -> None:  # noqa: ANN401  pysqlite3 has no types
        self._sql = connection
        self._me = me
        self._cases: dict[str, int | None] = {}

    def after(self, seq: int, limit: int) -> list[Standing]:
        """Return the next envelopes, in the order of their numbers."""
        return [self._standing(row) for row in self._sql.execute(_LOOK, (seq, limit)).fetchall()]

    def one(self, seq: int) -> Standing | None:
        """Return one envelope."""
        row = self._sql.execute(_ONE, (seq,)).fetchone()
        return None if row is None else self._standing(row)

    def is_pruned(self, ref: ids.EnvelopeRef) -> bool:
        """Whether its history has gone before."""
        return self._has_event(ref, PRUNED)

    def cosigned(self, size: int, limit: int) -> list[Cosigned]:
        """Return cosignatures of checkpoints over more than that, the smallest first; of each checkpoint, all."""
        rows = self._sql.execute(_COSIGNED, (size, limit)).fetchall()
        found = [Cosigned(covers, origin, name, bytes(key), at_us) for covers, origin, name, key, at_us in rows]
        if len(found) < limit or found[0].size == found[-1].size:
            return found
        return [each for each in found if each.size != found[-1].size]

    def last(self, table: str) -> int:
        """Return the highest number of a table's rows."""
        return int(self._sql.execute(f"SELECT max(seq) FROM {table}").fetchone()[0] or 0)  # noqa: S608  our own word

    def _standing(self, row: Sequence[Any]) -> Standing:
        seq, raw, fingerprint, case_id, recorded_at_us, has_payload = row
        header = pb.Header.FromString(raw)
        ended_at_us, opened_at_us = self._ends(seq, header, fingerprint)
        closed_at_us, to_delete_since_us = None, None
        if ended_at_us is not None:
            # Who stated it may have dated it as early as its key allows.
            ended_at_us = max(ended_at_us, recorded_at_us)
            above = self._above(seq)
            free_since = [self._closed(case_id), *(self._case_of_matter(moves) for moves in above)]
            if None not in free_since:
                closed_at_us = max(ended_at_us, *(at for at in free_since if at is not None))
            to_delete_since_us = min((at for moves in above if (at := _to_delete(moves)) is not None), default=None)
        return Standing(seq, header, bool(has_payload), ended_at_us, opened_at_us, closed_at_us, to_delete_since_us)

    def _ends(self, seq: int, header: pb.Header, fingerprint: bytes) -> tuple[int | None, int | None]:
        """Return since when every copy has ended, and since when the recipient has said whether it could read it."""
        pending = f"SELECT 1 FROM deliveries WHERE envelope_seq = ? AND state IN {PENDING_SQL} LIMIT 1"  # noqa: S608  ours
        if self._sql.execute(pending, (seq,)).fetchone() is not None:
            return None, None
        rows = self._sql.execute(
            "SELECT statement FROM receipts WHERE id = ? AND sender = ? ORDER BY seq", (header.id, header.sender)
        ).fetchall()
        ended_at_us: int | None = None
        opened_at_us: int | None = None
        accepted = False
        for (raw,) in rows:
            said = pb.Statement.FromString(raw)
            if said.fingerprint != fingerprint:
                continue  # other bytes under this name, which were refused
            match said.milestone:
                case pb.MILESTONE_ACCEPTED:
                    accepted = accepted or said.issuer == self._me
                case pb.MILESTONE_DELIVERED | pb.MILESTONE_REFUSED | pb.MILESTONE_EXPIRED:
                    # What this node refused before it took these very bytes was no end.
                    if accepted or said.issuer != self._me:
                        ended_at_us = max(ended_at_us or 0, self._heard(said))
                case pb.MILESTONE_OPENED | pb.MILESTONE_REJECTED:
                    opened_at_us = self._heard(said)
        return ended_at_us, opened_at_us

    def _heard(self, said: pb.Statement) -> int:
        """Return when something was stated; somebody else may have dated it years ahead, and it was heard of by now."""
        latest = None
        if said.issuer != self._me:
            (latest,) = self._sql.execute(_LATEST, (said.envelope.id, said.envelope.sender)).fetchone()
        return said.at_us if latest is None else min(said.at_us, latest)

    def _closed(self, case_id: str) -> int | None:
        """Return since when no matter of a case is open; 0: it has none; None: one is."""
        if case_id not in self._cases:
            rows = self._sql.execute(_OF_CASE, (case_id,)).fetchall()
            is_open = any(state not in _FINAL for state, _ in rows)
            self._cases[case_id] = None if is_open else max((at_us for _, at_us in rows), default=0)
        return self._cases[case_id]

    def _above(self, seq: int) -> list[list[Move]]:
        """Return how each matter that an envelope is about, and each above that, came to stand where it stands."""
        found = []
        number: int | None = seq
        for _ in range(MAX_CHAIN):
            row = self._sql.execute("SELECT cited_seq FROM envelopes WHERE seq = ?", (number,)).fetchone()
            number = None if row is None else row[0]
            if number is None:
                break
            moves = self._sql.execute(
                "SELECT state, at_us FROM moves WHERE envelope_seq = ? ORDER BY seq", (number,)
            ).fetchall()
            if moves:
                found.append(moves)
        return found

    @staticmethod
    def _case_of_matter(moves: Sequence[Move]) -> int | None:
        state, at_us = moves[-1]
        return at_us if state in _FINAL else None

    def _has_event(self, ref: ids.EnvelopeRef, name: str) -> bool:
        found = self._sql.execute(
            "SELECT 1 FROM events WHERE envelope_id = ? AND sender = ? AND name = ? LIMIT 1", (ref.id, ref.sender, name)
        ).fetchone()
        return found is not None


class LettingGo(LettingGoView):
    """What may be asked and removed, inside one transaction of the writer."""

    def purge(self, seq: int) -> bool:
        """Remove the payload of an envelope, so that its bytes are nowhere in the file; return False if it was gone.

        What waits for somebody keeps it, whatever the caller thinks.
        """
        with _Overwriting(self._sql):
            cursor = self._sql.execute(
                "UPDATE envelopes SET payload = NULL WHERE seq = ? AND payload IS NOT NULL AND NOT EXISTS"  # noqa: S608
                f" (SELECT 1 FROM deliveries WHERE envelope_seq = envelopes.seq AND state IN {PENDING_SQL})",
                (seq,),
            )
        return bool(cursor.rowcount)

    def prune(self, seq: int, ref: ids.EnvelopeRef) -> int:
        """Remove what happened to an envelope, but not when its payload went, and its own copies; return how many."""
        events = self._sql.execute(
            "DELETE FROM events WHERE envelope_id = ? AND sender = ? AND name NOT IN (?, ?)",
            (ref.id, ref.sender, PURGED, PRUNED),
        ).rowcount
        copies = self._sql.execute(
            f"DELETE FROM deliveries WHERE envelope_seq = ? AND state IN ({_ENDED_SQL})",  # noqa: S608  our own words
            (seq,),
        ).rowcount
        return int(events + copies)

    def prune_sent(self, after: int, until: int) -> int:
        """Remove deliveries with such numbers that brought statements about what has been pruned; return how many."""
        return int(self._sql.execute(_SENT, (after, until)).rowcount)

    def prune_strays(self, after: int, until: int, before_us: int) -> int:
        """Remove events with such numbers, older than that, of what was never recorded; return how many."""
        return int(self._sql.execute(_STRAY, (after, until, before_us)).rowcount)

    def forget_cosigned(self, checkpoint: tuple[int, str], until_us: int) -> int:
        """Remove what witnesses said of a checkpoint until then; return how many lines."""
        query = "DELETE FROM cosignatures WHERE size = ? AND origin = ? AND at_us <= ?"
        return int(self._sql.execute(query, (*checkpoint, until_us)).rowcount)

    def give_back(self, most_pages: int) -> int:
        """Give holes at the end of the file back to the file system; return how many pages are left free.

        PostgreSQL's autovacuum makes space usable again by itself, and so needs none of this.
        """
        if not self._sql.is_file:
            return 0
        free = int(self._sql.execute("PRAGMA freelist_count").fetchone()[0])
        if free <= KEPT_FREE_PAGES:
            return free
        # To its end: each row that is fetched is one page less.
        self._sql.execute(f"PRAGMA incremental_vacuum({min(most_pages, free - KEPT_FREE_PAGES)})").fetchall()
        return int(self._sql.execute("PRAGMA freelist_count").fetchone()[0])


class _Overwriting:
    """While it lasts, SQLite overwrites what is removed with zeros; PostgreSQL has nothing of the kind."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401  pysqlite3 has no types
        self._sql = connection if connection.is_file else None

    def __enter__(self) -> None:
        if self._sql is not None:
            self._sql.execute("PRAGMA secure_delete = ON").fetchall()

    def __exit__(self, *_: object) -> None:
        if self._sql is not None:
            self._sql.execute("PRAGMA secure_delete = OFF").fetchall()


def _to_delete(moves: Sequence[Move]) -> int | None:
    """Return since when answers to a matter are to be deleted; None: they are not, or no longer."""
    state, _ = moves[-1]
    since = [at_us for each, at_us in moves if each == _TO_DELETE]
    return since[0] if since and (state == _TO_DELETE or state in _FINAL) else None
