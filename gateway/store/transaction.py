"""One transaction of the writer: everything that may be written, as prepared SQL.

Only the writer makes one. Statements that a job wants signed are gathered, signed together when the batch ends, and
written in the same transaction, so no receipt leaves before it and what it is about are on disk.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from itertools import chain, islice
from typing import Any, Final, TypeAlias

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import codec, lanes, lifecycle, merkle, rules
from gateway.checkpoint import Checkpoint
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.lanes import Lane
from gateway.lifecycle import Event, State
from gateway.merkle import Frontier
from gateway.rules import Named, Way, ends_in_decisions
from gateway.signer import Signer
from gateway.steps import CLAIMED_BELOW, WAYS_DOWN
from gateway.store import log
from gateway.store.alerts import AlertRecord
from gateway.store.attachments import HELD_US, AttachmentRecord
from gateway.store.driver import Connection, listed, listing, storable
from gateway.store.foreseen import DeliveryRow, Foreseen, Word
from gateway.store.letting_go import LettingGo
from gateway.store.log import LogView
from gateway.store.matters import STATE_SQL, STATES, MatterRecord
from gateway.store.operating import OperatingRecord
from gateway.store.registry import RegistryRecord
from gateway.store.rows import MOVED, Known, Names, Rows
from gateway.store.schema import EXPIRING_SQL, HELD_SQL, LEASED_SQL, PENDING_SQL
from gateway.store.witnessing import WitnessRecord

_LEASE_OF_LANE: Final = f"""
    SELECT d.seq, d.state, d.expires_at_us, d.envelope_seq, d.receipt_seq, d.lane
    FROM deliveries d
    WHERE d.destination = ? AND d.state IN {PENDING_SQL} AND d.state IN ('queued', 'doubtful')
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
    WHERE state IN {PENDING_SQL} AND state IN ('queued', 'doubtful') AND next_attempt_at_us > ?
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

_REMEMBERED_WAYS: Final = 1024
"""Down from an envelope: more than there are rows in the table."""
NEW_CHECKPOINT: Final = "checkpoint"
"""What rings when there is one."""

_SIZES: Final = """
    SELECT seq, length(header) + length(proof) + coalesce(length(payload), 0) FROM envelopes WHERE seq IN ({})
"""
_ENVELOPES: Final = "SELECT seq, fingerprint, header, proof, payload FROM envelopes WHERE seq IN ({})"
_RECEIPTS: Final = "SELECT seq, statement, signature FROM receipts WHERE seq IN ({})"
ENDS: Final = frozenset({pb.MILESTONE_DELIVERED, pb.MILESTONE_EXPIRED})
"""Of a copy: one node says one of them, once (index one_end_a_copy)."""
_TAKE: Final = """
    UPDATE deliveries SET state = ?, attempts = attempts + 1, lease_holder = ?, lease_until_us = ?
    WHERE state = ? AND seq IN ({})
"""


Ahead: TypeAlias = tuple[str, str, int]
"""A copy that may go before others of its case: destination, case and the number of its lane."""


@lru_cache(maxsize=_REMEMBERED_WAYS)
def _below(way: Way, *, states: bool) -> tuple[str, tuple[ids.Kind.ValueType, ...]]:
    """Return one query for a whole way down from a list, and its values; with states: also of what its ends cite."""
    last = len(way) - 1
    what = f"e0.cited_seq, e{last}.header, e{last}.cited_seq"
    what += f", ({STATE_SQL.format(f'e{last}.cited_seq')})" if states else ", NULL"
    # CROSS: in this order, from the top.
    tables = " CROSS JOIN ".join(f"envelopes e{n}" for n in range(last + 1))
    terms = ["e0.cited_seq IN ({})", *(f"e{n}.cited_seq = e{n - 1}.seq" for n in range(1, last + 1))]
    terms += [f"e{n}.kind IN ({', '.join('?' * len(kinds))})" for n, kinds in enumerate(way)]
    query = f"SELECT {what} FROM {tables} WHERE {' AND '.join(terms)} ORDER BY e{last}.seq"  # noqa: S608  ours
    return query, tuple(chain.from_iterable(way))


@dataclass(slots=True)
class Pending:
    """A receipt that exists as soon as the transaction has committed."""

    statement: pb.Statement
    notify: str
    receipt: pb.Receipt | None = None


@dataclass(frozen=True, slots=True)
class Leased:
    """One delivery in the hands of a courier or of a collecting participant's stream."""

    seq: int
    state: State
    expired: bool
    fingerprint: bytes
    envelope: pb.SignedEnvelope | None = field(repr=False)
    receipt: pb.Receipt | None = field(repr=False)


class Transaction:
    """What one job may read and write. Not for use outside the writer's thread.

    `matters` is where matters stand, in this transaction.
    """

    def __init__(self, connection: Connection, now_us: int, issuer: str, tree: Frontier | None = None) -> None:
        """Begin one.

        Args:
            connection: the writer's.
            now_us: the time.
            issuer: in whose name statements are signed.
            tree: what is remembered of the log; None: nothing.
        """
        self.now_us = now_us
        self.tree = tree
        self.wake: set[str] = set()
        self._names: Names = {}
        self._numbers: dict[str, int] = {}
        # What runs on this may miss a row that waits; what runs on `_sql` may not.
        self._connection = connection
        self._sql = self._rows = Rows(connection)
        self._foreseen = Foreseen(self._rows, connection, self._names)
        self.matters = MatterRecord(self._rows, connection, self._names, now_us)
        self._issuer = issuer
        self._home = f"{issuer.partition('/')[0]}/"
        # By the number of an envelope and a way down from it: what is there.
        self._ends: dict[tuple[int, Way], list[Any]] = {}
        self._pending: list[Pending] = []
        self._leaves: list[tuple[bytes, int | None, int | None]] = []
        self._queued: set[tuple[str, str]] = set()  # by destination and case
        self._slower: dict[Ahead, bool] = {}

    @property
    def registry(self) -> RegistryRecord:
        """What the registry keeps, in this transaction."""
        return RegistryRecord(self._sql, self.now_us)

    @property
    def attachments(self) -> AttachmentRecord:
        """The sealed files that go with envelopes, in this transaction."""
        return AttachmentRecord(self._sql, self.now_us)

    @property
    def operating(self) -> OperatingRecord:
        """What operators do, in this transaction."""
        return OperatingRecord(self._sql, self.now_us)

    @property
    def witness(self) -> WitnessRecord:
        """What this node witnesses, and what others have cosigned, in this transaction."""
        return WitnessRecord(self._sql, self.now_us)

    @property
    def alerts(self) -> AlertRecord:
        """What operators are warned of, in this transaction."""
        return AlertRecord(self._sql, self.now_us)

    @property
    def letting_go(self) -> LettingGo:
        """What policy lets go, in this transaction."""
        return LettingGo(self._sql, self._issuer)

    # What a job is about, asked for at once: then nobody need ask one by one.

    def expect(self, refs: Iterable[Named]) -> None:
        """Look up which of these envelopes are recorded."""
        self._foreseen.look_up(map(_name, refs))

    def expect_new(self, headers: Sequence[pb.Header]) -> None:
        """Look up what is to be recorded: whether it is already, and what `procedure` asks of it."""
        self.expect(headers)
        self.expect_basis(headers)

    def expect_basis(self, headers: Sequence[pb.Header]) -> None:
        """Look up what these rest on and what else has their targets.

        Of what our own participants send also what may have to be recorded below that; of any, who claims it.
        """
        self.matters.expect(headers)
        wanted: dict[Way, list[int]] = {}
        for header in headers:
            kind, line = self.matters.cited(header)
            ours = header.sender.startswith(self._home)
            for up, way in WAYS_DOWN.get((header.kind, kind), ()):
                if up < len(line) and (ours or way == CLAIMED_BELOW):
                    wanted.setdefault(way, []).append(line[up])
        for way, numbers in wanted.items():
            self.expect_below(numbers, way)

    def expect_below(self, numbers: Collection[int], way: Way) -> None:
        """Look up what is recorded down a way from envelopes of these numbers."""
        query, kinds = _below(way, states=ends_in_decisions(way))
        asked = [number for number in dict.fromkeys(numbers) if (number, way) not in self._ends]
        self._ends.update(((number, way), []) for number in asked)
        for text, values in listed(query, asked, 0):
            for row in self._connection.ask(text, (*values, *kinds)):
                self._ends[row[0], way].append(row)

    def expect_words(self, refs: Iterable[Named]) -> None:
        """Look up what is stated of envelopes that words are to be added to."""
        self._foreseen.look_up_words([_name(ref) for ref in refs])

    def expect_deliveries(self, seqs: Collection[int]) -> None:
        """Look up deliveries that are to be settled, and what is stated of what they deliver."""
        self._foreseen.look_up_deliveries(seqs)
        rows = map(self._foreseen.delivery, seqs)
        self.expect_words(row.header for row in rows if row is not None and row.header is not None)

    def expect_slower(self, copies: Collection[Ahead]) -> None:
        """Look up of copies that are to be queued whether anything of their case waits in a slower lane."""
        asked = [each for each in dict.fromkeys(copies) if each not in self._slower]
        self._slower.update(dict.fromkeys(asked, False))
        for text, values in listed(_SLOWER, asked, ("", "", 0), 3):
            for found in self._connection.ask(text, list(chain.from_iterable(values))):
                self._slower[tuple(found)] = True

    # What is recorded (with `matters`, a procedure.Register).

    def find(self, ref: Named) -> pb.Header | None:
        """Return the header of a recorded envelope."""
        known = self._foreseen.envelope(ref)
        return None if known is None else pb.Header.FromString(known.header)

    def citing(self, ref: Named, *kinds: ids.Kind.ValueType) -> Sequence[pb.Header]:
        """Return the headers of those kinds which cite an envelope, oldest first."""
        return self.below(ref, (kinds,))

    def below(self, ref: Named, way: Way, unless: Collection[rules.State] = ()) -> Sequence[pb.Header]:
        """Return the headers at the end of a way down from an envelope, oldest first.

        Args:
            ref: the envelope.
            way: of which kinds what cites it is, then what cites that, and so on.
            unless: without those that cite a matter which stands there.
        """
        number = self.matters.number(ref)
        if number is None:
            return []
        rows = self._kept_below(number, way, states=bool(unless))
        if rows is None:
            query, kinds = _below(way, states=bool(unless))
            asked = listing(query, 1), (number, *kinds), (number,)
            rows = self._rows.ask(*asked)
            # What has moved in this transaction may wait to be written, and is known by its number alone.
            if unless and self._rows.settle([cited for _, _, cited, _ in rows]):
                rows = self._rows.ask(*asked)
        return [pb.Header.FromString(raw) for _, raw, _, state in rows if not unless or STATES[state] not in unless]

    def _kept_below(self, number: int, way: Way, *, states: bool) -> list[Any] | None:
        """Return what was expected; None: it was not, or may be otherwise by now."""
        kept = self._ends.get((number, way))
        if kept is None or self._rows.concerns((number,)):
            return None
        if states and (not ends_in_decisions(way) or self._rows.concerns([cited for _, _, cited, _ in kept])):
            return None
        return kept

    def is_cited_by(self, ref: ids.EnvelopeRef, sender: str) -> bool:
        """Whether a sender has cited an envelope in whatever it sent."""
        number = self.matters.number(ref)
        query = "SELECT 1 FROM envelopes WHERE cited_seq = ? AND sender = ? LIMIT 1"
        return bool(self._rows.ask(query, (number, sender), (number,)))

    def of_case(self, case_id: str, kind: ids.Kind.ValueType) -> Sequence[pb.Header]:
        """Return the headers of that kind in a case, oldest first."""
        rows = self._sql.execute(
            "SELECT header FROM envelopes WHERE case_id = ? AND kind = ? ORDER BY seq", (case_id, kind)
        )
        return [pb.Header.FromString(row[0]) for row in rows]

    def fingerprint(self, ref: Named) -> bytes | None:
        """Return the fingerprint of a recorded envelope."""
        found = self.matters.fingerprint(ref)
        if found is not None:
            return found
        known = self._foreseen.envelope(ref)
        return None if known is None else known.fingerprint

    def acceptance(self, ref: Named) -> "pb.Receipt | Pending":
        """Return the very receipt that was given when the envelope was recorded, even if that was a moment ago.

        Raises:
            Failure: STORE, it is not there.
        """
        row = self._one(
            "SELECT statement, signature FROM receipts WHERE id = ? AND sender = ? AND milestone = ? AND issuer = ?",
            ref.id,
            ref.sender,
            pb.MILESTONE_ACCEPTED,
            self._issuer,
        )
        if row is None:
            for pending in self._pending:
                if (
                    _name(pending.statement.envelope) == _name(ref)
                    and pending.statement.milestone == pb.MILESTONE_ACCEPTED
                ):
                    return pending
            raise Failure(ErrorCode.STORE, "a recorded envelope has no receipt")
        return _receipt(*row)

    def words(self, ref: ids.EnvelopeRef, issuer: str) -> list[pb.Milestone.ValueType]:
        """Return the milestones of an envelope that somebody has stated, oldest first; our own, even if just now."""
        said = [word.milestone for word in self._foreseen.words(ref) if word.issuer == issuer]
        if issuer == self._issuer:
            said += [each.statement.milestone for each in self._pending if each.statement.envelope == ref]
        return said

    # What is added.

    def add_envelope(self, signed: pb.SignedEnvelope, header: pb.Header, fingerprint: bytes) -> int:
        """Record an envelope, what it cites, its targets and its log entry; return its number."""
        # Less what has columns of its own. A copy, for to add part after part takes three times as long.
        proof = pb.SignedEnvelope()
        proof.CopyFrom(signed)
        proof.ClearField("header")
        proof.ClearField("sealed_payload")
        cites = header.cites[0] if header.cites else None
        seq, cited = self._next("envelopes"), None if cites is None else self.matters.number(cites)
        self.matters.recorded(seq, cites, cited)
        self._rows.add(
            "envelopes",
            seq,
            header.sender,
            header.id,
            header.recipients[0],
            header.kind,
            cited,
            header.case_id,
            self.now_us,
            fingerprint,
            signed.header,
            proof.SerializeToString(),
            signed.sealed_payload,
        )
        self._names[header.sender, header.id] = Known(seq, fingerprint, signed.header)
        self.matters.add_targets(seq, header)
        self._log(merkle.leaf_hash(fingerprint), envelope_seq=seq)
        return seq

    def add_delivery(
        self,
        destination: str,
        *,
        envelope_seq: int,
        case_id: str = "",
        expires_at_us: int | None = None,
        lane: Lane = Lane.ORDINARY,
    ) -> None:
        """Queue one copy of an envelope for one destination and wake whoever serves that.

        What waits of its case goes before it, so it goes into the same lane, if that is a faster one.
        """
        if lane is not Lane.ORDINARY and case_id and self._is_ahead((destination, case_id, lane.value)):
            self._rows.hold()
            self._connection.execute(_HURRY, (lane.value, destination, case_id, lane.value))
        self._queued.add((destination, case_id))
        self._foreseen.forget_lanes()
        self._queue(destination, lane, envelope_seq=envelope_seq, case_id=case_id, expires_at_us=expires_at_us)

    def _is_ahead(self, copy: Ahead) -> bool:
        """Whether anything of its case waits in a slower lane."""
        # What has been queued or moved since it was looked up.
        if copy[:2] in self._queued or self._rows.waits(MOVED):
            self._rows.write()
            self._slower.pop(copy, None)
        if copy not in self._slower:
            self.expect_slower([copy])
        return self._slower[copy]

    def _queue(
        self,
        destination: str,
        lane: int,
        *,
        envelope_seq: int | None = None,
        receipt_seq: int | None = None,
        case_id: str = "",
        expires_at_us: int | None = None,
    ) -> None:
        self._rows.add(
            "deliveries",
            envelope_seq,
            receipt_seq,
            destination,
            case_id,
            State.QUEUED.value,
            0,
            self.now_us,
            expires_at_us,
            "",
            0,
            "",
            int(lane),  # of an enumeration, the store would be asked what it is
        )
        self.wake.add(destination)

    def state(self, statement: pb.Statement, notify: str = "", *, checked: bool = False) -> Pending:
        """Have a statement signed and recorded when the batch ends, and sent to `notify` if that is given.

        Args:
            statement: what is stated.
            notify: destination.
            checked: nothing in it can break a rule.

        Raises:
            Refusal: MALFORMED, it breaks a rule.
        """
        # Here, where it fails the job that wants it, and not at the end, where it would fail the batch.
        if not checked:
            codec.check(statement)
        pending = Pending(statement, notify)
        self._pending.append(pending)
        return pending

    def add_receipt(self, receipt: pb.Receipt, statement: pb.Statement, notify: str = "") -> bool:
        """Record a proven receipt and its log entry; return False if it was there already.

        Raises:
            Refusal: BAD_RECEIPT, its issuer has stated another end of that copy before.
        """
        words, digest = self._foreseen.words(statement.envelope), sha256(receipt.statement).digest()
        if any(word.digest == digest for word in words):
            return False
        new = Word(digest, statement.milestone, statement.recipient, statement.issuer)
        if new.milestone in ENDS and any(word.milestone in ENDS and word[2:] == new[2:] for word in words):
            raise Refusal(ErrorCode.BAD_RECEIPT, f"{statement.issuer} has stated its end before", "milestone")
        self._foreseen.say(statement.envelope, new)
        seq = self._put_receipt(receipt, statement, digest)
        if notify:
            self._queue(notify, self._foreseen.lane(statement.envelope), receipt_seq=seq)
        return True

    def add_event(
        self,
        ref: Named,
        name: str,
        *,
        actor: str = "",
        destination: str = "",
        code: int = 0,
        detail: str = "",
        stages: str = "",
    ) -> None:
        """Record that something happened to an envelope."""
        # What others say may be anything, and comes in frames: it must not fail what came with it.
        said = storable(detail)
        self._rows.add("events", self.now_us, ref.sender, ref.id, name, actor, destination, code, said, stages)

    def checkpoint(self, origin: str, signer: Signer) -> Checkpoint | None:
        """Sign a checkpoint over all that was logged before this transaction; None if there is one.

        Args:
            origin: of the node's first log; it is another log after each restoration.
            signer: the node's.

        Raises:
            Failure: STORE, the log does not continue what was signed; UNAVAILABLE, the key cannot be used now.
        """
        view = LogView(self._sql)
        self.tree = log.following(self._sql, self.tree, view.size())
        made = log.signed(self._sql, self.tree, view.origin(origin), signer, self.now_us)
        if made is not None:
            self.wake.add(NEW_CHECKPOINT)
        return made

    # What is on its way.

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
        receipts = {seq: _receipt(*row) for seq, *row in self._by_number(_RECEIPTS, [row[4] for row in due if row[4]])}
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
            expired = expires_at_us is not None and expires_at_us <= self.now_us
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
        values = destination, self.now_us, self.now_us, self.now_us, holder
        rows = self._sql.execute(_LEASE, (*values, destination, limit)).fetchall()
        due: dict[Lane, list[Any]] = {lane: [row for row in rows if row[-1] == lane] for lane in Lane}
        if len(rows) == limit and rows[0][-1] != Lane.ORDINARY:
            # The lanes above fill it by themselves; those below have places of their own all the same.
            for lane in list(Lane)[rows[-1][-1] :]:
                wanted = max(1, lanes.own_places(lane, limit))
                if len(due[lane]) < wanted:
                    due[lane] = self._sql.execute(_LEASE_OF_LANE, (*values, lane.value, wanted)).fetchall()
        return list(islice(lanes.in_turn(due, chance), limit))

    def delivery(self, seq: int) -> DeliveryRow | None:
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
        self.wake.add(row.destination)
        return state

    def lapsed(self, limit: int) -> list[int]:
        """Return the numbers of deliveries whose lease has run out."""
        return [row[0] for row in self._sql.execute(_LAPSED, (self.now_us, limit))]

    def stranded(self, latest_us: int) -> list[int]:
        """Return the numbers of deliveries that are leased for longer than until `latest_us`."""
        return [row[0] for row in self._sql.execute(_STRANDED, (latest_us,))]

    def bring_back(self, latest_us: int) -> int:
        """Make due now what is to be tried only after `latest_us`; return how many."""
        changed: int = self._sql.execute(_BRING_BACK, (self.now_us, latest_us)).rowcount
        return changed

    def expired(self, limit: int) -> list[int]:
        """Return the numbers of deliveries that expired before they ever left."""
        return [row[0] for row in self._sql.execute(_EXPIRED, (self.now_us, limit))]

    @contextmanager
    def part(self) -> Iterator[None]:
        """Make what is done inside happen whole or not at all: written, gathered for signing and woken."""
        pending, leaves, names = len(self._pending), len(self._leaves), len(self._names)
        foreseen = self._foreseen.begin()
        wake, tree = set(self.wake), self.tree
        self._rows.begin()
        try:
            yield
        except BaseException:
            self._rows.undo()
            del self._pending[pending:]
            del self._leaves[leaves:]
            self._foreseen.undo(foreseen)
            for name in list(self._names)[names:]:
                del self._names[name]
            self.wake, self.tree = wake, tree
            self.matters.forget()
            raise
        self._rows.keep()

    # For the writer alone.

    def sign(self, issue: Callable[[Sequence[pb.Statement]], Sequence[pb.Receipt]]) -> None:
        """Sign all gathered statements together, record the receipts, and give all that is new its place in the log."""
        if self._pending:
            receipts = issue([pending.statement for pending in self._pending])
            signed = list(zip(self._pending, receipts, strict=True))
            for pending, receipt in signed:
                pending.receipt = receipt
            self._add_own(signed)
        self._write_log()
        self._rows.write()

    def _add_own(self, signed: Sequence[tuple[Pending, pb.Receipt]]) -> None:
        """Add our own receipts, each once: one that says the same at the same instant is the same."""
        # Of what was recorded just now, nothing was said before.
        before = [pending.statement.envelope for pending, _ in signed if not self._is_new(pending.statement.envelope)]
        self.expect_words(before)
        seen = {word.digest for about in before for word in self._foreseen.words(about)}
        self._foreseen.look_up_lanes([_name(pending.statement.envelope) for pending, _ in signed if pending.notify])
        for pending, receipt in signed:
            digest = sha256(receipt.statement).digest()
            if digest not in seen:
                seen.add(digest)
                seq = self._put_receipt(receipt, pending.statement, digest)
                if pending.notify:
                    lane = self._foreseen.lane(pending.statement.envelope)
                    self._queue(pending.notify, lane, receipt_seq=seq)

    def _is_new(self, ref: Named) -> bool:
        """Whether an envelope was recorded in this transaction."""
        return _name(ref) in self._names

    def _put_receipt(self, receipt: pb.Receipt, statement: pb.Statement, digest: bytes) -> int:
        """Have a new receipt written and logged; return its number."""
        seq = self._next("receipts")
        self._rows.add("receipts", *_receipt_row(seq, digest, receipt, statement))
        self._log(merkle.leaf_hash(receipt.statement), receipt_seq=seq)
        return seq

    def _next(self, table: str) -> int:
        """Return the number of the next row of a table: nobody else writes now."""
        last = self._numbers.get(table)
        if last is None:
            (last,) = self._known(f"SELECT coalesce(max(seq), 0) FROM {table}")  # noqa: S608  our own word
        self._numbers[table] = last + 1
        return last + 1

    def _log(self, leaf: bytes, *, envelope_seq: int | None = None, receipt_seq: int | None = None) -> None:
        self._leaves.append((leaf, envelope_seq, receipt_seq))

    def _write_log(self) -> None:
        """Append to the log: without a gap, whatever was undone, and in the order of commits."""
        if not self._leaves:
            return
        (last,) = self._known("SELECT coalesce(max(position), 0) FROM log_entries")
        for position, leaf in enumerate(self._leaves, last + 1):
            self._rows.add("log_entries", position, *leaf)
        tree = log.following(self._connection, self.tree, last)
        self.tree = log.grown(self._connection, tree, [leaf for leaf, _, _ in self._leaves])
        self._leaves = []

    def _known(self, sql: str, *values: object) -> Any:  # noqa: ANN401  pysqlite3 has no types
        """Ask for what no row that waits can change."""
        return self._connection.execute(sql, values).fetchone()

    def _one(self, sql: str, *values: object) -> Any:  # noqa: ANN401  pysqlite3 has no types
        return self._sql.execute(sql, values).fetchone()


def _name(ref: Named) -> tuple[str, str]:
    return ref.sender, ref.id


def _receipt_row(seq: int, digest: bytes, receipt: pb.Receipt, statement: pb.Statement) -> tuple[Any, ...]:
    return (
        seq,
        statement.envelope.sender,
        statement.envelope.id,
        statement.milestone,
        statement.issuer,
        statement.recipient,
        statement.at_us,
        digest,
        receipt.statement,
        receipt.signature.SerializeToString(),
    )


def _envelope(header: bytes, proof: bytes, payload: bytes | None) -> pb.SignedEnvelope:
    if payload is None:
        raise Failure(ErrorCode.STORE, "the payload of an envelope is purged, and somebody waits for it")
    envelope = pb.SignedEnvelope.FromString(proof)
    envelope.header = header
    envelope.sealed_payload = payload
    return envelope


def _receipt(statement: bytes, signature: bytes) -> pb.Receipt:
    return pb.Receipt(statement=statement, signature=pb.Signature.FromString(signature))
