"""Two countries under the law: the real table, store and clocks of two nodes, without network, keys or payloads.

Envelopes have real headers and the names of their signers, and no signatures: those have tests of their own. What
crosses the border waits until it is let through, so that messages may cross; time passes only when it is told to.
What may expire, or is rejected by whoever got it, goes through the real deliveries and the real scribe.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID
from weakref import finalize

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids

from gateway import afterwards, deliver, envelope, statement, timekeeper
from gateway.clock import from_micros, to_micros
from gateway.directory import Directory
from gateway.dispatch import dispatch
from gateway.envelope import ref_of
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.lifecycle import Event
from gateway.lifecycle import State as Queue
from gateway.policy import Policy
from gateway.procedure import LawfulStep, check
from gateway.receipt import Scribe
from gateway.record import record
from gateway.row_checks import permitted
from gateway.rules import State, Where, word
from gateway.steps import STEPS
from gateway.store import Transaction, open_store
from gateway.store.matters import ClockRow
from gateway.verify import VerifiedEnvelope
from tests import stores, world

NOON: Final = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday."""
TREATY: Final = "treaty"
ASKED_ABROAD: Final = frozenset(
    word(step.rule.kind) for step in STEPS if step.opens and step.rule.where is Where.ABROAD
)


def directory(**changes: Any) -> Directory:
    """Return a federation whose States help each other with everything."""
    fields: dict[str, Any] = {"kinds": ASKED_ABROAD, "no_dual_criminality": frozenset({"*"})}
    treaty = world.instrument(TREATY, "ee", "de", **fields | changes)
    everybody = world.make_directory()
    return everybody.model_validate(everybody.model_dump() | {"instruments": (treaty,)})


DIRECTORY: Final = directory()


@dataclass
class Node:
    """One country's node."""

    code: str
    connection: Any
    scribe: Scribe
    policy: Policy


@dataclass
class Countries:
    """Estonia and Germany, what is on its way between them, and what was said."""

    nodes: dict[str, Node]
    directory: Directory
    now: datetime = NOON
    on_the_way: deque[tuple[str, pb.SignedEnvelope]] = field(default_factory=deque)
    words: deque[tuple[str, pb.Receipt]] = field(default_factory=deque)
    told: list[tuple[str, pb.Statement]] = field(default_factory=list)  # to whom, what
    unheard: list[pb.Statement] = field(default_factory=list)  # what the other node did not believe
    refused: list[tuple[pb.Header, Refusal]] = field(default_factory=list)  # by the recipient's node
    _made: int = 0

    def send(self, kind: ids.Kind.ValueType, sender: str, recipient: str, **fields: Any) -> ids.EnvelopeRef:
        """Have a participant send an envelope; what goes abroad waits for `arrive`.

        Raises:
            Refusal: the sender's own node says no.
        """
        signed = self.write(kind, sender, recipient, **fields)
        header = envelope.parse_header(signed)
        self._take(self.nodes[sender[:2]], signed, header)
        if recipient[:2] != sender[:2]:
            self.on_the_way.append((recipient[:2], signed))
        return ref_of(header)

    def write(
        self,
        kind: ids.Kind.ValueType,
        sender: str,
        recipient: str,
        *,
        cites: ids.EnvelopeRef | None = None,
        countersigned_by: Iterable[str] = (),
        **fields: Any,
    ) -> pb.SignedEnvelope:
        """Return an envelope with the names of its signers."""
        self._made += 1
        usual: dict[str, Any] = {"case_id": "EE-1", "urgency": ids.URGENCY_ORDINARY}
        if sender[:2] != recipient[:2]:
            usual["instrument"] = TREATY
        header = pb.Header(
            version=1,
            id=str(UUID(int=(to_micros(self.now) // 1000 << 80) | (7 << 76) | (2 << 62) | self._made)),
            kind=kind,
            sender=sender,
            recipients=[recipient],
            cites=[] if cites is None else [cites],
            created_at_us=to_micros(self.now),
            sender_key_id=bytes(16),
            payload_digest=bytes(32),
            slots_digest=bytes(32),
            commitment=bytes(32),
            **(usual | fields),
        )
        signers = (sender, *countersigned_by)
        return pb.SignedEnvelope(
            header=header.SerializeToString(),
            signatures=[pb.Signature(signer=signer, key_id=bytes(16), signature=bytes(64)) for signer in signers],
            sealed_payload=bytes(40),
            slots=[pb.Slot(key_id=bytes(16), sealed=bytes(48))],
        )

    def arrive(self, most: int = 1 << 30) -> None:
        """Let what is on its way arrive, in order, and what the nodes say of it."""
        while most > 0 and (self.on_the_way or self.words):
            most -= 1
            if self.on_the_way:
                here, signed = self.on_the_way.popleft()
                self.bring(here, signed)
            while self.words:
                self._hear(*self.words.popleft())

    def arrive_at(self, here: str) -> bool:
        """Let the first envelope arrive that is on its way to a node; return whether there was one."""
        first = next((each for each in self.on_the_way if each[0] == here), None)
        if first is not None:
            self.on_the_way.remove(first)
            self.bring(*first)
        return first is not None

    def hear_at(self, here: str) -> bool:
        """Let a node hear the first that the other one has to say of envelopes; return whether there was anything."""
        first = next((each for each in self.words if each[0] == here), None)
        if first is not None:
            self.words.remove(first)
            self._hear(*first)
        return first is not None

    def would(self, signed: pb.SignedEnvelope) -> Refusal | None:
        """Return why the sender's own node would not take an envelope now; None if it would. Nothing is recorded."""
        header = envelope.parse_header(signed)
        with self._transaction(self.nodes[header.sender[:2]]) as txn:
            try:
                self._check(self.nodes[header.sender[:2]], signed, header, txn)
            except Refusal as refusal:
                return refusal
        return None

    def reject(self, ref: ids.EnvelopeRef) -> bool:
        """Have the recipient of an envelope say that it cannot open it; return False if it has said so before.

        Raises:
            Refusal: NOT_FOUND, its node does not have it; ILLEGAL_TRANSITION, it never got it.
        """
        node, header, seq = self._copy(ref)
        recipient = header.recipients[0]
        with self._transaction(node) as txn:
            said = pb.Statement(
                envelope=ref,
                fingerprint=txn.fingerprint(ref) or b"",
                milestone=pb.MILESTONE_REJECTED,
                issuer=recipient,
                at_us=txn.now_us,
                recipient=recipient,
            )
            key = world.signing_key(recipient)
            receipt = statement.issue([said], Address.parse(recipient), key)[0]
            before = len(txn.words(ref, recipient))
            node.scribe.acknowledged(receipt, True, seq, recipient, txn)
            news = len(txn.words(ref, recipient)) > before
        if news and header.sender[:2] != node.code:
            self.words.append((header.sender[:2], receipt))
        return news

    def collect(self, ref: ids.EnvelopeRef) -> None:
        """Have the recipient of an envelope collect it, so that it expires no more.

        Raises:
            Refusal: NOT_FOUND, its node does not have it; ILLEGAL_TRANSITION, it has expired.
        """
        node, header, seq = self._copy(ref)
        with self._transaction(node) as txn:
            node.scribe.acknowledged(None, True, seq, header.recipients[0], txn)

    def sweep(self) -> None:
        """Let both nodes find what has expired, in mailboxes and on its way."""
        for node in self.nodes.values():
            with self._transaction(node) as txn:
                for settled in deliver.sweep(txn):
                    node.scribe.expired(settled, txn)
                    if settled.row.header is not None and settled.row.destination.endswith("/node"):
                        gone = ref_of(settled.row.header)
                        kept = [each for each in self.on_the_way if ref_of(envelope.parse_header(each[1])) != gone]
                        self.on_the_way = deque(kept)

    def bring(self, here: str, signed: pb.SignedEnvelope) -> None:
        """Bring an envelope to the recipient's node; if it says no, the sender's node hears that."""
        header = envelope.parse_header(signed)
        try:
            self.take(here, signed)
        except Refusal as refusal:
            self.refused.append((header, refusal))
            home = self.nodes[header.sender[:2]]
            with self._transaction(home) as txn:
                if txn.find(ref_of(header)) is not None:
                    self._settle(header, f"{here}/node", Event.REFUSE, txn)
                    said = pb.Statement(
                        envelope=ref_of(header),
                        fingerprint=envelope.fingerprint(signed),
                        milestone=pb.MILESTONE_REFUSED,
                        issuer=f"{here}/node",
                        at_us=txn.now_us,
                        code=errors_pb2.ErrorCode.ValueType(refusal.code),
                    )
                    key = world.signing_key(said.issuer)
                    txn.add_receipt(statement.issue([said], Address.of_node(here), key)[0], said)
                    afterwards.not_taken(header, txn)
        else:
            self.taken(here, signed)

    def take(self, here: str, signed: pb.SignedEnvelope) -> None:
        """Have a node take an envelope from abroad, and the sender's node hear nothing of that yet.

        Raises:
            Refusal: it says no.
        """
        self._take(self.nodes[here], signed, envelope.parse_header(signed))

    def taken(self, here: str, signed: pb.SignedEnvelope) -> None:
        """Let the sender's node hear that another one has taken an envelope."""
        header = envelope.parse_header(signed)
        with self._transaction(self.nodes[header.sender[:2]]) as txn:
            self._settle(header, f"{here}/node", Event.CONFIRM, txn)
            afterwards.arrived(header, txn)

    def wait(self, **delta: float) -> None:
        """Let time pass; every limit rings when its time comes, not all at the end."""
        until = self.now + timedelta(**delta)
        while True:
            nexts = [at for node in self.nodes.values() if (at := self._next_ring(node)) is not None]
            at = min([until, *(moment for moment in nexts if moment <= until)])
            self.now = max(self.now, at)
            if not sum(self._ring(node) for node in self.nodes.values()) and at == until:
                return

    def state(self, here: str, ref: ids.EnvelopeRef) -> State | None:
        """Return where a matter stands at a node."""
        with self._transaction(self.nodes[here]) as txn:
            return txn.matters.state(ref)

    def clocks(self, here: str, ref: ids.EnvelopeRef) -> list[ClockRow]:
        """Return the time limits that run at a node."""
        with self._transaction(self.nodes[here]) as txn:
            return list(txn.matters.clocks(ref))

    def matters(self, here: str) -> list[tuple[pb.Header, State]]:
        """Return every matter of a node, oldest first."""
        with self._transaction(self.nodes[here]) as txn:
            rows = self.nodes[here].connection.execute("SELECT header FROM envelopes ORDER BY seq").fetchall()
            headers = [pb.Header.FromString(row[0]) for row in rows]
            found = [(header, txn.matters.state(ref_of(header))) for header in headers]
            return [(header, state) for header, state in found if state is not None]

    def headers(self, here: str) -> list[pb.Header]:
        """Return every envelope of a node, oldest first."""
        rows = self.nodes[here].connection.execute("SELECT header FROM envelopes ORDER BY seq").fetchall()
        return [pb.Header.FromString(row[0]) for row in rows]

    def said(self, milestone: pb.Milestone.ValueType, about: ids.EnvelopeRef) -> list[tuple[str, pb.Statement]]:
        """Return to whom a milestone of an envelope was told, in order."""
        return [(to, word) for to, word in self.told if word.milestone == milestone and word.envelope == about]

    def _take(self, node: Node, signed: pb.SignedEnvelope, header: pb.Header) -> LawfulStep:
        if header.HasField("expires_at_us") and from_micros(header.expires_at_us) <= self.now:
            raise Refusal(ErrorCode.EXPIRED, "it had expired before it came", "expires_at_us")
        with self._transaction(node) as txn:  # of its own: it has rung, also if the envelope is refused
            timekeeper.ring_above(header, node.scribe, txn, node.policy)
        with self._transaction(node) as txn:
            step = self._check(node, signed, header, txn)
            recorded = record(step, txn)
            if header.HasField("expires_at_us"):
                # Nothing else can expire, and thousands of copies need not be kept in mailboxes.
                for route in dispatch(recorded, self.directory, node.code):
                    deliver.enqueue(route, txn)
            node.scribe.marked(step, txn)
            node.scribe.competing(recorded, txn)
            return step

    def _check(self, node: Node, signed: pb.SignedEnvelope, header: pb.Header, txn: Transaction) -> LawfulStep:
        rules = permitted(header, self.directory)
        if not rules:
            raise Refusal(ErrorCode.NOT_PERMITTED, "no rule", "kind")
        home = header.sender[:2]
        peer = world.peer(header.sender if home == node.code else f"{home}/node", self.directory)
        verified = VerifiedEnvelope(peer, rules, signed, header, envelope.fingerprint(signed))
        return check(verified, txn, self.directory, node.code, node.policy)

    def _copy(self, ref: ids.EnvelopeRef) -> tuple[Node, pb.Header, int]:
        """Return the copy of an envelope that its recipient holds, once it has been handed out."""
        for node in self.nodes.values():
            row = node.connection.execute(
                "SELECT header, seq FROM envelopes WHERE sender = ? AND id = ?", (ref.sender, ref.id)
            ).fetchone()
            header = None if row is None else pb.Header.FromString(row[0])
            if header is None or header.recipients[0][:2] != node.code:
                continue
            with self._transaction(node) as txn:
                if self._delivery(header, header.recipients[0], txn) is None:
                    txn.deliveries.add(header.recipients[0], envelope_seq=row[1], case_id=header.case_id)
                seq = self._delivery(header, header.recipients[0], txn)
                found = None if seq is None else txn.deliveries.find(seq)
                if found is not None and found.state is Queue.QUEUED:
                    txn.deliveries.move(found, Event.LEASE)
            return node, header, seq or 0
        raise Refusal(ErrorCode.NOT_FOUND, "it has not arrived")

    def _settle(self, header: pb.Header, destination: str, event: Event, txn: Transaction) -> None:
        """Say what became of a copy, if it was queued at all."""
        seq = self._delivery(header, destination, txn)
        row = None if seq is None else txn.deliveries.find(seq)
        if row is not None:
            txn.deliveries.move(row, Event.LEASE)
            deliver.settle(txn, row.seq, event)

    @staticmethod
    def _delivery(header: pb.Header, destination: str, txn: Transaction) -> int | None:
        row = txn._sql.execute(
            "SELECT d.seq FROM deliveries d JOIN envelopes e ON e.seq = d.envelope_seq"
            " WHERE e.sender = ? AND e.id = ? AND d.destination = ?",
            (header.sender, header.id, destination),
        ).fetchone()
        return None if row is None else int(row[0])

    def _ring(self, node: Node) -> int:
        with self._transaction(node) as txn:
            return timekeeper.ring(node.scribe, txn, node.policy)

    def _next_ring(self, node: Node) -> datetime | None:
        row = node.connection.execute("SELECT min(next_at_us) FROM clocks WHERE stage = 'running'").fetchone()
        return None if row[0] is None else max(self.now, from_micros(row[0]))

    def _hear(self, here: str, receipt: pb.Receipt) -> None:
        node = self.nodes[here]
        issuer = Address.parse(receipt.signature.signer, allow_node=True).node
        try:
            said = statement.verify(receipt, node.scribe.directory.signing_key)
            with self._transaction(node) as txn:
                node.scribe.heard(receipt, said, issuer, txn)
        except Refusal:
            self.unheard.append(pb.Statement.FromString(receipt.statement))

    @contextmanager
    def _transaction(self, node: Node) -> Iterator[Transaction]:
        with world.transaction(node.connection, self.now, node.code) as txn:
            yield txn
            pending = list(txn._pending)
        for each in pending:
            if each.receipt is None:
                raise AssertionError("a statement was not signed")
            self.told.append((each.notify, each.statement))
            if each.notify.endswith("/node"):
                self.words.append((each.notify[:2], each.receipt))


def countries(folder: Path, directory: Directory = DIRECTORY, **policies: Policy) -> Countries:
    """Return two nodes with their stores in that folder: empty ones, unless it has them."""
    nodes = {}
    for code in ("ee", "de"):
        store = folder / f"{code}.db"
        if not store.exists():
            store.write_bytes(stores.empty_file())
        connect, engine = open_store(store)
        engine.dispose()
        connection = connect()
        # The tests of crashes are elsewhere; thousands of steps need no disk.
        connection.execute("PRAGMA synchronous = OFF")
        nodes[code] = Node(code, connection, Scribe(code, lambda: directory), policies.get(code, Policy.none()))
    made = Countries(nodes, directory)
    # Thousands are made in one process, which may have only so many files open.
    for node in nodes.values():
        finalize(made, node.connection.close)
    return made
