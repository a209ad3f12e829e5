"""Stage 9, receipt: every milestone becomes a signed statement, and the sender is told.

In: what the stages before did. Out: statements that the writer signs, together, when its batch ends; they are on disk
before anybody sees them. Refuses receipts of others with BAD_RECEIPT.
Each milestone is stated by whoever saw it happen, once: a success is never reported as a failure, nor the reverse.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import measures_pb2 as measures

from gateway import afterwards, deliver, statement
from gateway.clock import from_micros
from gateway.codec import MAX_DETAIL_CHARS, MAX_FIELD_CHARS
from gateway.directory import Directory, Lookup
from gateway.dispatch import way_to_sender
from gateway.envelope import ref_of
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address
from gateway.lifecycle import Event, State
from gateway.priority import Candidate, rank
from gateway.procedure import LawfulStep
from gateway.receive import Claimed
from gateway.record import Recorded
from gateway.rules import STANDING
from gateway.store import Leased, Pending, Transaction
from gateway.store.foreseen import DeliveryRow
from gateway.store.matters import ClockRow

ONCE_AN_ISSUER: Final = (frozenset({pb.MILESTONE_ACCEPTED}), statement.FINAL, statement.BY_RECIPIENT)
MAX_SKEW_US: Final = 300_000_000
"""Another node's clock may be ahead of ours by five minutes."""
MAX_REPEATS: Final = 64  # decisions and reports on one envelope, of one node
EXPIRED_IN_TIME: Final = "it expired before it was delivered"
ENDED_BY_OPERATORS: Final = "operators of this node ended it before it left"
_NOT_TAKEN: Final = frozenset({pb.MILESTONE_REFUSED, pb.MILESTONE_EXPIRED, pb.MILESTONE_REJECTED})
diagnostics = logging.getLogger("gateway.receipt")


@dataclass(frozen=True, slots=True)
class Scribe:
    """Words the statements of one node."""

    here: str
    lookup: Lookup

    @property
    def directory(self) -> Directory:
        """Who exists."""
        return self.lookup()

    def accepted(self, recorded: Recorded, txn: Transaction) -> Pending:
        """State that this node has it on disk. Whoever brought it gets the receipt as the answer."""
        made = self._statement(recorded.header, recorded.fingerprint, pb.MILESTONE_ACCEPTED, txn)
        # Its parts are our own and those of a header that has kept the same rules.
        return txn.state(made, checked=True)

    def marked(self, step: LawfulStep, txn: Transaction) -> None:
        """State what this step means for the envelopes before it, and tell their senders."""
        header = step.verified.header
        for mark in step.marks:
            fingerprint = txn.fingerprint(mark.header)
            if fingerprint is None:
                continue
            made = self._statement(mark.header, fingerprint, mark.milestone, txn)
            made.outcome, made.ground = header.outcome, header.ground
            txn.state(made, way_to_sender(mark.header, self.here))

    def competing(self, recorded: Recorded, txn: Transaction) -> None:
        """Tell whoever was asked that others ask for the same target, and how they rank; nobody else is told.

        As far as headers and states tell (2018/1805 Art. 26): the court decides, by what no node reads.
        """
        header = recorded.header
        if not header.target_tokens or Address.parse(header.recipients[0]).node != self.here:
            return
        others = txn.matters.asking_for(header.target_tokens, ref_of(header))
        if not others:
            return
        ranked = rank(_candidate(each, txn) for each in (header, *others))
        (ours,) = [each for each in ranked if each.candidate.ref == ref_of(header)]
        made = self._statement(header, recorded.fingerprint, pb.MILESTONE_COMPETING, txn)
        made.recipient = header.recipients[0]
        made.others.extend(each.candidate.ref for each in ranked if each is not ours)
        why = "" if ours.decided_by is None else f" by {ours.decided_by.name.lower().replace('_', ' ')}"
        made.detail = (
            f"place {ours.place} of {len(ranked)}{why}; victims, seriousness and place of the offence not weighed"
        )
        txn.state(made, made.recipient)
        txn.add_event(ref_of(header), statement.event_name(made.milestone), actor=made.recipient, detail=made.detail)

    def timed(self, clock: ClockRow, milestone: pb.Milestone.ValueType, header: pb.Header, txn: Transaction) -> None:
        """Tell both parties of a matter that a time limit is due soon, overdue, or has made it lapse."""
        fingerprint = txn.fingerprint(clock.ref)
        if fingerprint is None:
            raise Failure(ErrorCode.STORE, "a time limit of what is not recorded")
        # The recipient's copy names the recipient: it goes to its mailbox, the other one the way of receipts.
        for recipient in ("", header.recipients[0]):
            made = self._statement(header, fingerprint, milestone, txn)
            made.clock_rule, made.due_us, made.recipient = clock.rule, clock.due_at_us, recipient
            txn.state(made, recipient or way_to_sender(header, self.here))
        name = measures.ClockRule.Name(clock.rule)
        txn.add_event(clock.ref, statement.event_name(milestone), actor=str(Address.of_node(self.here)), detail=name)

    def refused(self, claimed: Claimed, error: Refusal, txn: Transaction) -> Pending:
        """State that this node does not take it, and by which rule."""
        made = self._statement(claimed.header, claimed.fingerprint, pb.MILESTONE_REFUSED, txn)
        made.code, made.detail = errors_pb2.ErrorCode.ValueType(error.code), error.detail[:MAX_DETAIL_CHARS]
        made.field, made.rule = error.field[:MAX_FIELD_CHARS], error.rule
        return txn.state(made)

    def acknowledged(self, ack: pb.Receipt | None, held: bool, seq: int, recipient: str, txn: Transaction) -> None:  # noqa: FBT001  the wire's own word
        """Settle one acknowledgement by a participant; the same one again changes nothing.

        Args:
            ack: the participant's own OPENED or REJECTED, or None.
            held: whether it holds the item.
            seq: number of the delivery.
            recipient: address of the participant.
            txn: the writer's transaction.

        Raises:
            Refusal: NOT_FOUND, no such delivery to this participant; BAD_RECEIPT; ILLEGAL_TRANSITION.
        """
        row = txn.deliveries.find(seq)
        if row is None or row.destination != recipient:
            raise Refusal(ErrorCode.NOT_FOUND, f"no delivery {seq} for {recipient}")
        if not held and not _expired(row, txn):
            raise Refusal(
                ErrorCode.ILLEGAL_TRANSITION, "it has not expired: take it, or leave it unacknowledged", "held"
            )
        # Who has answered it had it, whatever he says after its time has run out.
        held = held or (row.header is not None and txn.is_cited_by(ref_of(row.header), recipient))
        if not deliver.is_final(row):
            txn.deliveries.move(row, Event.CONFIRM if held else Event.EXPIRE)
            if row.header is not None:
                milestone = pb.MILESTONE_DELIVERED if held else pb.MILESTONE_EXPIRED
                self._ended(row.header, row.fingerprint, milestone, recipient, txn)
        if ack is not None and row.header is not None:
            said = statement.verify(ack, self.directory.signing_key)
            statement.check_subject(said, row.header, row.fingerprint)
            if said.issuer != recipient or said.milestone not in statement.BY_RECIPIENT:
                raise Refusal(ErrorCode.BAD_RECEIPT, "only the recipient can say that it opened", "issuer")
            if said.milestone == pb.MILESTONE_REJECTED and txn.is_cited_by(ref_of(row.header), recipient):
                raise Refusal(ErrorCode.BAD_RECEIPT, "who has answered it could read it", "milestone")
            if _is_news(said, txn) and txn.add_receipt(ack, said, way_to_sender(row.header, self.here)):
                txn.add_event(ref_of(row.header), statement.event_name(said.milestone), actor=recipient, code=said.code)
                if said.milestone == pb.MILESTONE_REJECTED:
                    afterwards.not_taken(row.header, txn, arrived=True)

    def expired(self, settled: deliver.Settled, txn: Transaction, *, by_operator: bool = False) -> None:
        """State that a copy expired before it ever left: in time, or because operators ended it."""
        header = settled.row.header
        if header is not None:
            why = ENDED_BY_OPERATORS if by_operator else EXPIRED_IN_TIME
            self._ended(header, settled.row.fingerprint, pb.MILESTONE_EXPIRED, header.recipients[0], txn, why)

    def answered(self, leased: Leased, answer: mailbox.Answer, txn: Transaction) -> None:
        """Settle one relayed envelope or receipt by the other node's answer, which travels on to the sender whole.

        Raises:
            Refusal: BAD_RECEIPT, the answer proves nothing; the copy is still on its way.
        """
        row = txn.deliveries.find(leased.seq)
        if row is None:
            raise Refusal(ErrorCode.NOT_FOUND, f"no delivery {leased.seq}")
        if deliver.is_final(row):
            return
        if row.header is None:
            refused = answer.WhichOneof("result") == "error"
            deliver.settle(txn, leased.seq, Event.REFUSE if refused else Event.CONFIRM)
            if refused and leased.receipt is not None:
                about = pb.Statement.FromString(leased.receipt.statement).envelope
                code, detail = answer.error.code, answer.error.detail[:MAX_DETAIL_CHARS]
                txn.add_event(about, "receipt.refused", destination=row.destination, code=code, detail=detail)
            return
        ref = ref_of(row.header)
        if answer.WhichOneof("result") == "error":
            self._refused_unsigned(row, row.header, answer, txn)
            return
        said = statement.verify(answer.receipt, self.directory.signing_key)
        statement.check_subject(said, row.header, row.fingerprint)
        if said.issuer != row.destination or said.milestone not in (pb.MILESTONE_ACCEPTED, pb.MILESTONE_REFUSED):
            raise Refusal(ErrorCode.BAD_RECEIPT, f"{said.issuer} cannot answer so for {row.destination}")
        event = Event.CONFIRM
        if said.milestone == pb.MILESTONE_REFUSED:
            # Only if it has expired here too: we do not sign that it has because the other node says so.
            too_late = said.code == errors_pb2.ERROR_CODE_EXPIRED and _expired(row, txn)
            event = Event.EXPIRE if too_late else Event.REFUSE
        state = deliver.settle(txn, leased.seq, event).state
        if state is State.EXPIRED:
            # One end only: the other node's refusal is our proof that it does not hold it; the sender hears EXPIRED.
            txn.add_receipt(answer.receipt, said)
            self._ended(row.header, row.fingerprint, pb.MILESTONE_EXPIRED, row.header.recipients[0], txn)
        else:
            txn.add_receipt(answer.receipt, said, way_to_sender(row.header, self.here))
            if state is State.REFUSED:
                afterwards.not_taken(row.header, txn)
            else:
                afterwards.arrived(row.header, txn)
        txn.add_event(ref, f"delivery.{state.value}", destination=row.destination, code=said.code, detail=said.detail)

    def _refused_unsigned(self, row: DeliveryRow, header: pb.Header, answer: mailbox.Answer, txn: Transaction) -> None:
        """Say of a copy ourselves that the other node refuses it, since it would not even sign that.

        Raises:
            Refusal: BAD_RECEIPT, it has signed that it delivered it, or that it expired there.
        """
        ref = ref_of(header)
        if not statement.OF_ONE_COPY.isdisjoint(txn.words(ref, row.destination)):
            raise Refusal(ErrorCode.BAD_RECEIPT, "it has signed how it ended, and does not sign that it refuses it")
        deliver.settle(txn, row.seq, Event.REFUSE)
        made = self._statement(header, row.fingerprint, pb.MILESTONE_REFUSED, txn)
        made.code = answer.error.code
        made.detail = f"{row.destination} refused it: {answer.error.detail}"[:MAX_DETAIL_CHARS]
        txn.state(made, way_to_sender(header, self.here))
        txn.add_event(ref, "delivery.refused", destination=row.destination, code=made.code, detail=made.detail)
        afterwards.not_taken(header, txn)

    def heard(self, receipt: pb.Receipt, said: pb.Statement, peer_node: str, txn: Transaction) -> None:
        """Take a receipt that another node relays about an envelope of ours; the same one again changes nothing.

        Args:
            receipt: as it came.
            said: what is proven by it (`statement.verify`).
            peer_node: who brings it.
            txn: the writer's transaction.

        Raises:
            Refusal: BAD_RECEIPT, a stranger's receipt, or about nothing of ours.
        """
        header = txn.find(said.envelope)
        fingerprint = txn.fingerprint(said.envelope)
        if header is None or fingerprint is None or Address.parse(header.sender).node != self.here:
            raise Refusal(ErrorCode.BAD_RECEIPT, "it is about no envelope of ours", "envelope")
        statement.check_subject(said, header, fingerprint)
        if Address.parse(said.issuer, allow_node=True).node != peer_node:
            raise Refusal(ErrorCode.BAD_RECEIPT, f"node {peer_node} may not relay what {said.issuer} says", "issuer")
        try:
            _check_credible(said, header, str(Address.of_node(self.here)), txn)
        except Refusal:
            # A node that speaks against what is proven here lies, or has lost what it knew: somebody must look.
            about = {"envelope": said.envelope.id, "issuer": said.issuer}
            milestone = statement.event_name(said.milestone)
            diagnostics.warning("a statement contradicts the records", extra={**about, "milestone": milestone})
            raise
        if _is_news(said, txn) and txn.add_receipt(receipt, said, header.sender):
            name = statement.event_name(said.milestone)
            limit = measures.ClockRule.Name(said.clock_rule) if said.clock_rule else ""
            txn.add_event(said.envelope, name, actor=said.issuer, code=said.code, detail=said.detail or limit)
            if said.milestone == pb.MILESTONE_LAPSED:
                afterwards.lapsed_elsewhere(said, header, txn)
            elif said.milestone in _NOT_TAKEN:
                afterwards.not_taken(header, txn, arrived=said.milestone != pb.MILESTONE_REFUSED)

    def _ended(
        self,
        header: pb.Header,
        fingerprint: bytes,
        milestone: pb.Milestone.ValueType,
        recipient: str,
        txn: Transaction,
        why: str = EXPIRED_IN_TIME,
    ) -> None:
        made = self._statement(header, fingerprint, milestone, txn)
        made.recipient = recipient
        if milestone == pb.MILESTONE_EXPIRED:
            made.code, made.detail = errors_pb2.ERROR_CODE_EXPIRED, why
        txn.state(made, way_to_sender(header, self.here))
        if milestone == pb.MILESTONE_EXPIRED:
            afterwards.not_taken(header, txn, arrived=Address.parse(header.recipients[0]).node == self.here)
        txn.add_event(ref_of(header), statement.event_name(milestone), actor=recipient, code=made.code)

    def _statement(
        self, header: pb.Header, fingerprint: bytes, milestone: pb.Milestone.ValueType, txn: Transaction
    ) -> pb.Statement:
        # Part by part, for that takes half the time of naming them all to the constructor.
        made = pb.Statement()
        about = made.envelope
        about.sender, about.id = header.sender, header.id
        made.fingerprint, made.milestone = fingerprint, milestone
        made.issuer, made.at_us = str(Address.of_node(self.here)), txn.now_us
        return made


def _candidate(header: pb.Header, txn: Transaction) -> Candidate:
    moves = txn.matters.moves(ref_of(header))
    return Candidate(
        ref_of(header),
        is_frozen=moves[-1].state in STANDING,
        created_at=from_micros(header.created_at_us),
        recorded_at=from_micros(moves[0].at_us),
    )


def _check_credible(said: pb.Statement, header: pb.Header, me: str, txn: Transaction) -> None:
    """Take no word of another node, or of its participant, that our own records contradict.

    Raises:
        Refusal: BAD_RECEIPT: refused after it was accepted; expired before its time; unread, by who has answered;
            lapsed before it was due or can have been, or in time to come; what is for the recipient alone; or an end,
            or an opening, of what we have stated to have expired, or been refused after we had accepted it. We state
            that only of what never left, or of what that node has said, when it was asked, that it does not hold: so
            one word of it is untrue, and the sender has heard the first.
    """
    match said.milestone:
        case pb.MILESTONE_REFUSED:
            contradicted = pb.MILESTONE_ACCEPTED in txn.words(said.envelope, said.issuer)
        case pb.MILESTONE_EXPIRED:
            contradicted = not _expired_by(header, said.at_us) or said.at_us > txn.now_us + MAX_SKEW_US
        case pb.MILESTONE_REJECTED:
            contradicted = txn.is_cited_by(said.envelope, said.issuer)
        case pb.MILESTONE_LAPSED:
            soonest_us = afterwards.lapses_not_before_us(said.clock_rule, header, txn)
            in_time = 0 < said.due_us <= said.at_us <= txn.now_us + MAX_SKEW_US
            contradicted = soonest_us is None or not in_time or said.due_us + MAX_SKEW_US < soonest_us
        case milestone:
            contradicted = milestone == pb.MILESTONE_COMPETING
    if said.milestone in statement.OF_ONE_COPY and _is_ended(txn.words(said.envelope, me)):
        contradicted = True
    if contradicted:
        raise Refusal(ErrorCode.BAD_RECEIPT, "what is recorded here contradicts it", "milestone")


def _is_ended(words: Sequence[pb.Milestone.ValueType]) -> bool:
    """Whether a node has stated that a copy did not arrive; a refusal before it was accepted was of another attempt."""
    accepted = words.index(pb.MILESTONE_ACCEPTED) if pb.MILESTONE_ACCEPTED in words else 0
    return pb.MILESTONE_EXPIRED in words or pb.MILESTONE_REFUSED in words[accepted:]


def _expired_by(header: pb.Header, at_us: int) -> bool:
    return header.HasField("expires_at_us") and header.expires_at_us <= at_us


def _is_news(said: pb.Statement, txn: Transaction) -> bool:
    """Whether a statement tells what its issuer has not told: its first word counts.

    More of them would fill the stores of both nodes, and a second end would make the first untrue.
    """
    before = txn.words(said.envelope, said.issuer)
    once = next((group for group in ONCE_AN_ISSUER if said.milestone in group), None)
    if once is not None:
        return once.isdisjoint(before)
    return before.count(said.milestone) < MAX_REPEATS


def _expired(row: DeliveryRow, txn: Transaction) -> bool:
    return row.header is not None and _expired_by(row.header, txn.now_us)
