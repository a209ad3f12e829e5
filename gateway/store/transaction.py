"""One transaction of the writer: everything that may be written, as prepared SQL.

Only the writer makes one. Statements that a job wants signed are gathered, signed together when the batch ends, and
written in the same transaction, so no receipt leaves before it and what it is about are on disk.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import chain
from typing import Any, Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import codec, log_entry, rules
from gateway.checkpoint import Checkpoint
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.merkle import Frontier
from gateway.rules import Named, Way, ends_below_matters
from gateway.signer import Signer
from gateway.steps import LIMITS_ASKED, LOOKED_AT_BY_BOTH, WAYS_DOWN
from gateway.store import log
from gateway.store.alerts import AlertRecord
from gateway.store.attachments import AttachmentRecord
from gateway.store.deliveries import DeliveryRecord, receipt_of
from gateway.store.driver import Connection, listed, listing, storable
from gateway.store.foreseen import Foreseen, Word
from gateway.store.letting_go import LettingGo
from gateway.store.log import LogView
from gateway.store.matters import STATE_SQL, STATES, MatterRecord
from gateway.store.operating import OperatingRecord
from gateway.store.registry import RegistryRecord
from gateway.store.rows import Known, Names, Rows
from gateway.store.witnessing import WitnessRecord

_REMEMBERED_WAYS: Final = 1024
"""Down from an envelope: more than there are rows in the table."""
NEW_CHECKPOINT: Final = "checkpoint"
"""What rings when there is one."""

ENDS: Final = frozenset({pb.MILESTONE_DELIVERED, pb.MILESTONE_EXPIRED})
"""Of a copy: one node says one of them, once (index one_end_a_copy)."""


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


class Transaction:
    """What one job may read and write. Not for use outside the writer's thread.

    `matters` is where matters stand, in this transaction, and `deliveries` what is on its way.
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
        self.deliveries = DeliveryRecord(self._rows, connection, self._foreseen, self.wake, now_us)
        self._issuer = issuer
        self._home = f"{issuer.partition('/')[0]}/"
        # By the number of an envelope and a way down from it: what is there.
        self._ends: dict[tuple[int, Way], list[Any]] = {}
        self._pending: list[Pending] = []
        self._leaves: list[tuple[bytes, int | None, int | None]] = []

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
        """Look up what these rest on, which limits run for that, and what else has their targets.

        Of what our own participants send also what may have to be recorded below that; of any, who claims it.
        """
        self.matters.expect(headers)
        wanted: dict[Way, list[int]] = {}
        limited: list[int] = []
        for header in headers:
            line, links = self.matters.cited(header)
            about = header.kind, links[0][0].kind if links else ids.KIND_UNSPECIFIED
            ours = header.sender.startswith(self._home)
            for up, way in WAYS_DOWN.get(about, ()):
                if up < len(line) and (ours or way in LOOKED_AT_BY_BOTH):
                    wanted.setdefault(way, []).append(line[up])
            if about in LIMITS_ASKED:
                matters = [number for number, (_, state) in zip(line, links, strict=True) if state is not None]
                limited += [matters[up] for up in LIMITS_ASKED[about] if up < len(matters)]
        self.matters.expect_clocks(limited)
        for way, numbers in wanted.items():
            self.expect_below(numbers, way)

    def expect_below(self, numbers: Collection[int], way: Way) -> None:
        """Look up what is recorded down a way from envelopes of these numbers."""
        query, kinds = _below(way, states=ends_below_matters(way))
        asked = [number for number in dict.fromkeys(numbers) if (number, way) not in self._ends]
        self._ends.update(((number, way), []) for number in asked)
        for text, values in listed(query, asked, 0):
            for row in self._connection.ask(text, (*values, *kinds)):
                self._ends[row[0], way].append(row)

    def expect_words(self, refs: Iterable[Named]) -> None:
        """Look up what is stated of envelopes that words are to be added to."""
        self._foreseen.look_up_words([_name(ref) for ref in refs])

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
        if states and (not ends_below_matters(way) or self._rows.concerns([cited for _, _, cited, _ in kept])):
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
        return receipt_of(*row)

    def words(self, ref: ids.EnvelopeRef, issuer: str) -> list[pb.Milestone.ValueType]:
        """Return the milestones of an envelope that somebody has stated, oldest first; our own, even if just now."""
        said = [word.milestone for word in self._foreseen.words(ref) if word.issuer == issuer]
        if issuer == self._issuer:
            said += [each.statement.milestone for each in self._pending if each.statement.envelope == ref]
        return said

    @cached_property
    def restored_at_us(self) -> int | None:
        """When this store was put back from a backup last; None: never."""
        at_us: int | None = self._connection.ask("SELECT max(restored_at_us) FROM restorations", ())[0][0]
        return at_us

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
        self._log(fingerprint, envelope_seq=seq)
        return seq

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
            self.deliveries.queue(notify, self._foreseen.lane(statement.envelope), receipt_seq=seq)
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

    def checkpoint(self, origin: str, signer: Signer, lost: Collection[bytes] = ()) -> Checkpoint | None:
        """Sign a checkpoint over all that was logged before this transaction; None if there is one.

        Args:
            origin: of the node's first log; it is another log after each restoration.
            signer: the node's.
            lost: keys of the node that are not trusted any more: what they signed is no such checkpoint.

        Raises:
            Failure: STORE, the log does not continue what was signed; UNAVAILABLE, the key cannot be used now.
        """
        view = LogView(self._sql)
        self.tree = log.following(self._sql, self.tree, view.size())
        made = log.signed(self._sql, self.tree, view.origin(origin), signer, self.now_us, lost)
        if made is not None:
            self.wake.add(NEW_CHECKPOINT)
        return made

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
            self.wake &= wake
            self.tree = tree
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
                    self.deliveries.queue(pending.notify, lane, receipt_seq=seq)

    def _is_new(self, ref: Named) -> bool:
        """Whether an envelope was recorded in this transaction."""
        return _name(ref) in self._names

    def _put_receipt(self, receipt: pb.Receipt, statement: pb.Statement, digest: bytes) -> int:
        """Have a new receipt written and logged; return its number."""
        seq = self._next("receipts")
        self._rows.add("receipts", *_receipt_row(seq, digest, receipt, statement))
        self._log(receipt.statement, receipt_seq=seq)
        return seq

    def _next(self, table: str) -> int:
        """Return the number of the next row of a table: nobody else writes now."""
        last = self._numbers.get(table)
        if last is None:
            (last,) = self._known(f"SELECT coalesce(max(seq), 0) FROM {table}")  # noqa: S608  our own word
        self._numbers[table] = last + 1
        return last + 1

    def _log(self, about: bytes, *, envelope_seq: int | None = None, receipt_seq: int | None = None) -> None:
        self._leaves.append((log_entry.leaf_hash(self._issuer, about), envelope_seq, receipt_seq))

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
