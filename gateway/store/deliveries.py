"""What is on its way: copies that are queued, leased, moved and ended, in one transaction of the writer.

In: the rows of the transaction, and what it has foreseen. Out: copies for couriers and collecting participants. Which
move is lawful is `lifecycle`'s to say, and whose turn it is `lanes`'.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final, TypeAlias

from rogatory.v1 import envelope_pb2 as pb

from gateway import lanes, lifecycle
from gateway.errors import ErrorCode, Failure
from gateway.lanes import Lane
from gateway.lifecycle import Event, State
from gateway.store.attachments import HELD_US
from gateway.store.driver import Connection, listed, storable
from gateway.store.foreseen import DeliveryRow, Foreseen
from gateway.store.rows import MOVED, Rows
from gateway.store.schema import EXPIRING_SQL, HELD_SQL, LEASED_SQL, PENDING_SQL, WAITING_SQL

_LEASE_OF_LANE: Final = f"""
    SELECT d.seq, d.state, d.expires_at_us, d.envelope_seq, d.receipt_seq, d.lane
    FROM deliveries d
    WHERE d.destination = ? AND {WAITING_SQL}
      AND d.next_attempt_at_us <= ?
      AND (d.state = 'doubtful' OR d.expires_at_us IS NULL OR d.expires_at_us > ?)
      -- An earlier copy of the same case goes first, unless it goes with us. ORDER and OFFSET change no answer: by them
      -- PostgreSQL looks at each copy's case alone, also while it has not counted how much waits, and joins nothing.
      AND NOT EXISTS (
        SELECT 1 FROM deliveries x
        WHERE d.case_id <> '' AND x.destination = d.destination AND x.case_id = d.case_id AND x.seq < d.seq
          AND x.state IN {PENDING_SQL}
          AND (x.next_attempt_at_us > ? OR (x.{LEASED_SQL} AND x.lease_holder <> ?) OR x.lane < d.lane)
        ORDER BY x.seq LIMIT 1 OFFSET 0)
      AND d.lane = ?
    ORDER BY d.seq LIMIT ?
"""  # noqa: S608  built from the states of lifecycle.py, nothing from outside

# From the first lane down; most of the time all that is due fits. Of a destination that is held, none: said as a limit,
# so that no engine looks at what waits there, however much that is.
_LEASE: Final = (
    _LEASE_OF_LANE.replace("AND d.lane = ?", "")
    .replace("ORDER BY d.seq", "ORDER BY d.lane, d.seq")
    .replace("LIMIT ?", f"LIMIT CASE WHEN EXISTS ({HELD_SQL}) THEN 0 ELSE ? END")
)

# In the order of their indexes, so that the planner takes them and never looks at what merely waits.
_LAPSED: Final = f"""
    SELECT seq FROM deliveries WHERE {LEASED_SQL} AND lease_until_us <= ? ORDER BY lease_until_us LIMIT ?
"""  # noqa: S608  as above
_EXPIRED: Final = f"""
    SELECT seq FROM deliveries WHERE {EXPIRING_SQL} AND expires_at_us <= ? ORDER BY expires_at_us LIMIT ?
"""  # noqa: S608  as above
# What only a clock that has been set back can have put so far ahead.
_STRANDED: Final = f"""
    SELECT seq FROM deliveries WHERE {LEASED_SQL} AND lease_until_us > ? ORDER BY lease_until_us
"""  # noqa: S608  as above

_BRING_BACK: Final = f"""
    UPDATE deliveries SET next_attempt_at_us = ?
    WHERE {WAITING_SQL} AND next_attempt_at_us > ?
      AND next_attempt_at_us < {HELD_US} -- what waits for its attachments waits for no time
"""  # noqa: S608  as above

# By the case and not by the lane (hence the plus), nor joined: others may wait there by the million.
_SLOWER: Final = f"""
    WITH about (destination, case_id, lane) AS (VALUES {{}})
    SELECT a.destination, a.case_id, a.lane FROM about a
    WHERE (SELECT 1 FROM deliveries d WHERE d.destination = a.destination AND d.case_id = a.case_id
           AND d.state IN {PENDING_SQL} AND +d.lane > a.lane ORDER BY d.seq LIMIT 1 OFFSET 0) IS NOT NULL
"""  # noqa: S608  as above
_HURRY: Final = f"""
    UPDATE deliveries SET lane = ? WHERE destination = ? AND case_id = ? AND state IN {PENDING_SQL} AND +lane > ?
"""  # noqa: S608  as above

_SIZES: Final = """
    SELECT seq, length(header) + length(proof) + coalesce(length(payload), 0) FROM envelopes WHERE seq IN ({})
"""
_ENVELOPES: Final = "SELECT seq, fingerprint, header, proof, payload FROM envelopes WHERE seq IN ({})"
_RECEIPTS: Final = "SELECT seq, statement, signature FROM receipts WHERE seq IN ({})"
_TAKE: Final = """
    UPDATE deliveries SET state = ?, attempts = attempts + 1, lease_holder = ?, lease_until_us = ?
    WHERE state = ? AND seq IN ({})
"""


DOUBTED: Final = lifecycle.advance(lifecycle.advance(State.QUEUED, Event.LEASE), Event.FAIL_UNKNOWN)
"""In which state a copy is that may have arrived, for all that is known here."""

Ahead: TypeAlias = tuple[str, str, int]
"""A copy that may go before others of its case: destination, case and the number of its lane."""


@dataclass(frozen=True, slots=True)
class Leased:
    """One delivery in the hands of a courier or of a collecting participant's stream."""

    seq: int
    state: State
    expired: bool
    fingerprint: bytes
    envelope: pb.SignedEnvelope | None = field(repr=False)
    receipt: pb.Receipt | None = field(repr=False)


class DeliveryRecord:
    """What is on its way, inside one transaction.

    Args:
        rows: those of the transaction; what is asked of them misses none that waits.
        connection: the writer's; what is asked of it directly may.
        foreseen: what is known in it.
        wake: whom to wake once it has committed; destinations are added.
        now_us: its time.
    """

    def __init__(self, rows: Rows, connection: Connection, foreseen: Foreseen, wake: set[str], now_us: int) -> None:
        self._rows = rows
        self._connection = connection
        self._foreseen = foreseen
        self._wake = wake
        self._now_us = now_us
        self._queued: set[tuple[str, str]] = set()  # by destination and case
        self._slower: dict[Ahead, bool] = {}

    def expect(self, seqs: Collection[int]) -> None:
        """Look up deliveries that are to be settled, and what is stated of what they deliver."""
        self._foreseen.look_up_deliveries(seqs)
        rows = map(self._foreseen.delivery, seqs)
        headers = (row.header for row in rows if row is not None and row.header is not None)
        self._foreseen.look_up_words([(header.sender, header.id) for header in headers])

    def expect_slower(self, copies: Collection[Ahead]) -> None:
        """Look up of copies that are to be queued whether anything of their case waits in a slower lane."""
        asked = [each for each in dict.fromkeys(copies) if each not in self._slower]
        self._slower.update(dict.fromkeys(asked, False))
        for text, values in listed(_SLOWER, asked, ("", "", 0), 3):
            for found in self._connection.ask(text, list(chain.from_iterable(values))):
                self._slower[tuple(found)] = True

    def add(
        self,
        destination: str,
        *,
        envelope_seq: int,
        case_id: str = "",
        expires_at_us: int | None = None,
        lane: Lane = Lane.ORDINARY,
        doubted: bool = False,
    ) -> None:
        """Queue one copy of an envelope for one destination and wake whoever serves that; doubted: it may be there.

        What waits of its case goes before it, so it goes into the same lane, if that is a faster one.
        """
        if lane is not Lane.ORDINARY and case_id and self._is_ahead((destination, case_id, lane.value)):
            self._rows.hold()
            self._connection.execute(_HURRY, (lane.value, destination, case_id, lane.value))
        self._queued.add((destination, case_id))
        self._foreseen.forget_lanes()
        self.queue(
            destination, lane, envelope_seq=envelope_seq, case_id=case_id, expires_at_us=expires_at_us, doubted=doubted
        )

    def _is_ahead(self, copy: Ahead) -> bool:
        """Whether anything of its case waits in a slower lane."""
        # What has been queued or moved since it was looked up.
        if copy[:2] in self._queued or self._rows.waits(MOVED):
            self._rows.write()
            self._slower.pop(copy, None)
        if copy not in self._slower:
            self.expect_slower([copy])
        return self._slower[copy]

    def queue(
        self,
        destination: str,
        lane: int,
        *,
        envelope_seq: int | None = None,
        receipt_seq: int | None = None,
        case_id: str = "",
        expires_at_us: int | None = None,
        doubted: bool = False,
    ) -> None:
        """Queue one copy as it is, of an envelope or of a receipt, and wake whoever serves its destination."""
        self._rows.add(
            "deliveries",
            envelope_seq,
            receipt_seq,
            destination,
            case_id,
            DOUBTED.value if doubted else State.QUEUED.value,
            int(doubted),  # the attempt of which nobody here knows
            self._now_us,
            expires_at_us,
            "",
            0,
            "",
            int(lane),  # of an enumeration, the store would be asked what it is
        )
        self._wake.add(destination)

    def lease(
        self, destination: str, holder: str, until_us: int, limit: int, max_bytes: int, chance: float = 0.0
    ) -> list[Leased]:
        """Take due copies for one destination: at least one, at most `limit` or `max_bytes` together.

        Args:
            destination: whose.
            holder: into whose hands. Copies of one case are in the hands of one holder at a time.
            until_us: for how long.
            limit: how many at most.
            max_bytes: how much at most, unless the first alone is more.
            chance: whose turn it is first, see `lanes.in_turn`.
        """
        due = self._due(destination, holder, limit, chance)
        # Sizes first: how much is loaded at once is bounded, whatever waits.
        sizes = dict(self._by_number(_SIZES, [row[3] for row in due if row[3] is not None]))
        receipts = {
            seq: receipt_of(*row) for seq, *row in self._by_number(_RECEIPTS, [row[4] for row in due if row[4]])
        }
        taken: list[Any] = []
        size = 0
        for row in due:
            size += sizes[row[3]] if row[3] is not None else receipts[row[4]].ByteSize()
            if taken and size > max_bytes:
                break
            taken.append(row)
        loaded = self._by_number(_ENVELOPES, [row[3] for row in taken if row[3] is not None])
        envelopes = {seq: (_envelope(*row), fingerprint) for seq, fingerprint, *row in loaded}
        states = self._take([(row[0], State(row[1])) for row in taken], holder, until_us)
        leased: list[Leased] = []
        for seq, _, expires_at_us, envelope_seq, receipt_seq, _ in taken:
            envelope, fingerprint = envelopes.get(envelope_seq, (None, b""))
            expired = expires_at_us is not None and expires_at_us <= self._now_us
            leased.append(Leased(seq, states[seq], expired, fingerprint, envelope, receipts.get(receipt_seq)))
        return leased

    def _take(self, copies: Sequence[tuple[int, State]], holder: str, until_us: int) -> dict[int, State]:
        """Lease copies of those numbers and states; return the states in which they are then."""
        states: dict[int, State] = {}
        for was in {state for _, state in copies}:
            seqs = [seq for seq, state in copies if state is was]
            state = lifecycle.advance(was, Event.LEASE)
            states |= dict.fromkeys(seqs, state)
            self._rows.move(_TAKE, (state.value, holder, until_us, was.value), seqs)
        return states

    def _by_number(self, query: str, seqs: Sequence[int]) -> list[Any]:
        """Ask for rows by their numbers, of which none waits."""
        return [row for text, values in listed(query, seqs, 0) for row in self._connection.ask(text, values)]

    def _due(self, destination: str, holder: str, limit: int, chance: float) -> list[Any]:
        """Return what may be leased, at most `limit`, lane by lane in turn."""
        values = destination, self._now_us, self._now_us, self._now_us, holder
        rows = self._rows.execute(_LEASE, (*values, destination, limit)).fetchall()
        due: dict[Lane, list[Any]] = {lane: [row for row in rows if row[-1] == lane] for lane in Lane}
        if len(rows) == limit and rows[0][-1] != Lane.ORDINARY:
            # The lanes above fill it by themselves; those below have places of their own all the same.
            for lane in list(Lane)[rows[-1][-1] :]:
                wanted = max(1, lanes.own_places(lane, limit))
                if len(due[lane]) < wanted:
                    due[lane] = self._rows.execute(_LEASE_OF_LANE, (*values, lane.value, wanted)).fetchall()
        return list(islice(lanes.in_turn(due, chance), limit))

    def find(self, seq: int) -> DeliveryRow | None:
        """Return one delivery."""
        return self._foreseen.delivery(seq)

    def move(self, row: DeliveryRow, event: Event, *, error: str = "", next_attempt_at_us: int = 0) -> State:
        """Take a delivery to its next state.

        Raises:
            Refusal: ILLEGAL_TRANSITION; nothing has changed.
        """
        state = lifecycle.advance(row.state, event)
        self._foreseen.move(row, state)
        self._rows.add(MOVED, state.value, storable(error), next_attempt_at_us, row.state.value, row.seq)
        # Whether it is due again or makes way for the next of its case, somebody may act now.
        self._wake.add(row.destination)
        return state

    def lapsed(self, limit: int) -> list[int]:
        """Return the numbers of deliveries whose lease has run out."""
        return [row[0] for row in self._rows.execute(_LAPSED, (self._now_us, limit))]

    def stranded(self, latest_us: int) -> list[int]:
        """Return the numbers of deliveries that are leased for longer than until `latest_us`."""
        return [row[0] for row in self._rows.execute(_STRANDED, (latest_us,))]

    def bring_back(self, latest_us: int) -> int:
        """Make due now what is to be tried only after `latest_us`; return how many."""
        changed: int = self._rows.execute(_BRING_BACK, (self._now_us, latest_us)).rowcount
        return changed

    def expired(self, limit: int) -> list[int]:
        """Return the numbers of deliveries that expired before they ever left."""
        return [row[0] for row in self._rows.execute(_EXPIRED, (self._now_us, limit))]


def _envelope(header: bytes, proof: bytes, payload: bytes | None) -> pb.SignedEnvelope:
    if payload is None:
        raise Failure(ErrorCode.STORE, "the payload of an envelope is purged, and somebody waits for it")
    envelope = pb.SignedEnvelope.FromString(proof)
    envelope.header = header
    envelope.sealed_payload = payload
    return envelope


def receipt_of(statement: bytes, signature: bytes) -> pb.Receipt:
    """Return a receipt from its columns."""
    return pb.Receipt(statement=statement, signature=pb.Signature.FromString(signature))
