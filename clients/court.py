"""A court: decides on what is referred to it, orders exchanges of its own country, reports back.

In: documents, and what came. Out: composed envelopes, and drafts of what must be countersigned; see `clients.actor` for
what is refused. An exchange learns nothing of the case behind an order: orders have case ids of their own.
"""

from collections.abc import Sequence
from typing import ClassVar

from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders

from clients.actor import Cited, Ground, Measures, Urgency, check_told, header_of
from clients.drafting import Author, Drafted
from clients.intake import Received
from gateway.envelope import Composed
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents, headers
from gateway.identity import Role
from gateway.rules import GRANTS


class Court(Author):
    """Decides for whoever referred something to it, and gives orders on what it granted."""

    role: ClassVar[Role] = Role.COURT

    # To whoever referred it.

    def ask_clarification(self, referral: Received, question: notices.Notice) -> Composed:
        """Ask back before deciding."""
        return self._compose(ids.KIND_CLARIFICATION_REQUEST, question, referral)

    def decide(self, referral: Received, decision: orders.ReviewDecision) -> Composed:
        """Decide on a referral.

        Raises:
            Refusal: OUT_OF_ORDER, outcome, ground, dual criminality and measures do not fit together; EXCEEDS_GRANT,
                more than was referred; CONTENT_MISMATCH.
        """
        return self._compose(ids.KIND_REVIEW_DECISION, decision, referral)

    def decide_priority(self, referral: Received, decision: notices.PriorityDecision) -> Composed:
        """Decide which of several orders goes first (2018/1805 Art. 26)."""
        return self._compose(ids.KIND_PRIORITY_DECISION, decision, referral)

    def report_to_central_authority(
        self,
        decision: Cited,
        report: orders.ExecutionReport,
        *,
        rests_on: Sequence[Received],
        ground: Ground = ids.GROUND_UNSPECIFIED,
    ) -> Composed:
        """Report to our central authority, or who else of ours referred it, what the exchanges executed.

        Args:
            decision: the header of our decision.
            report: what we tell; it may leave out, and never add.
            rests_on: the reports of the exchanges.
            ground: why not, unless everything was executed.

        Raises:
            Refusal: OUT_OF_ORDER, the decision is not our grant, or the ground does not fit; EXCEEDS_GRANT, it tells
                what no exchange reported, or goes beyond the decision.
        """
        self._check_own_grant(decision)
        check_told(report, rests_on)
        return self._compose(ids.KIND_EXECUTION_REPORT, report, decision, ground=ground)

    def disclose(self, decision: Cited, disclosure: orders.Disclosure) -> Composed:
        """Pass on what an exchange handed over, as far as we granted it (UNCAC Art. 46(3)(f)).

        Raises:
            Refusal: OUT_OF_ORDER, the decision is not our grant; EXCEEDS_GRANT, of another class than was decided, or
                of another time than was asked, if what was referred to us lies here.
        """
        self._check_own_grant(decision)
        documents.check_times(self._asked_times(decision), disclosure, "the request")
        return self._compose(ids.KIND_DISCLOSURE, disclosure, decision)

    def record_custody(self, disclosure: Cited, event: followups.CustodyEvent) -> Composed:
        """Tell what happened to what we passed on (ISO/IEC 27037)."""
        return self._compose(ids.KIND_CUSTODY_EVENT, event, disclosure)

    def notify_claim(self, decision: Cited, claim: followups.Claim) -> Composed:
        """Tell whoever had asked that somebody claims what is frozen on our decision.

        Source: 2018/1805 Art. 33; Directive 2024/1260 Art. 24(3).
        """
        self._check_own_grant(decision)
        return self._compose(ids.KIND_CLAIM, claim, decision)

    def decide_claim(self, claim: Cited, decision: followups.Claim) -> Composed:
        """Decide on a claim that we told of (2018/1805 Art. 33)."""
        return self._compose(ids.KIND_CLAIM_DECISION, decision, claim)

    def confirm_release(self, decision: Cited, release: followups.Release) -> Composed:
        """Tell that what was done on our decision has ended, wholly or in part (2018/1805 Art. 27(3))."""
        self._check_own_grant(decision)
        return self._compose(ids.KIND_RELEASE, release, decision)

    # To exchanges.

    def order(self, decision: Cited, order: orders.DomesticOrder, *, exchange: str, case_id: str) -> Composed:
        """Order an exchange of our own country to do what we decided.

        Args:
            decision: the header of our decision.
            order: what to do, and nothing of the foreign case.
            exchange: address of the exchange. For another one, make another order.
            case_id: of its own, so that it tells nothing of the case behind it.

        Raises:
            Refusal: NOT_PERMITTED, no exchange of ours; OUT_OF_ORDER, the decision is not our grant, or the case id is
                its; EXCEEDS_GRANT, more than was decided, or of another time than was asked, if what was referred to us
                lies here.
        """
        self._check_own_grant(decision)
        documents.check_ordered_times(self._asked_times(decision), order)
        return self._compose(ids.KIND_DOMESTIC_ORDER, order, decision, to=exchange, case_id=case_id)

    def order_takedown(
        self,
        decision: Cited,
        notice: assistance.TakedownNotice,
        *,
        exchange: str,
        case_id: str,
        urgency: Urgency = ids.URGENCY_UNSPECIFIED,
    ) -> Composed:
        """Order an exchange to take content down (2022/2065 Art. 9); as urgent as the decision, unless it is said."""
        self._check_own_grant(decision)
        return self._compose(ids.KIND_TAKEDOWN_NOTICE, notice, decision, to=exchange, case_id=case_id, urgency=urgency)

    def draft_transfer(
        self, order: Cited, transfer: followups.TransferOrder, *, via: str, measures: Measures
    ) -> Drafted:
        """Draft an order to move what an order of ours froze; our central authority signs it too.

        Args:
            order: the header of our order.
            transfer: from where to where.
            via: address of our central authority.
            measures: it moves or confiscates, one of the two.
        """
        return self._draft(ids.KIND_TRANSFER_ORDER, transfer, via, order, measures=measures)

    def decide_objection(self, objection: Received, decision: notices.Notice) -> Composed:
        """Decide on what an exchange objected (2023/1543 Art. 17(4)-(6))."""
        return self._compose(ids.KIND_OBJECTION_DECISION, decision, objection)

    def release(self, order: Cited, release: followups.Release) -> Composed:
        """Release what an order of ours holds, wholly or in part (2018/1805 Art. 27(3))."""
        return self._compose(ids.KIND_RELEASE, release, order)

    def extend(self, order: Cited, extension: followups.Extension) -> Composed:
        """Tell an exchange until when an order of ours stands now (2018/1805 Art. 12)."""
        return self._compose(ids.KIND_EXTENSION, extension, order)

    def limit(self, order: Cited, limitation: followups.Limitation) -> Composed:
        """Limit an order of ours (2018/1805 Art. 12)."""
        return self._compose(ids.KIND_LIMITATION, limitation, order)

    def close(self, order: Cited, notice: notices.Notice) -> Composed:
        """Tell an exchange that an order of ours is at its end."""
        return self._compose(ids.KIND_CLOSURE, notice, order)

    def close_review(self, decision: Cited, notice: notices.Notice) -> Composed:
        """Tell whoever asked for our decision that nothing stands any more of what we ordered on it."""
        return self._compose(ids.KIND_CLOSURE, notice, decision)

    def _asked_times(self, decision: Cited) -> Sequence[measures.DataWindow]:
        """Return of what times data were asked in what we decided on; none, if that does not lie here any more."""
        try:
            referral = self._participant.find(header_of(decision).cites[0]).document
        except Refusal:
            return ()
        if not isinstance(referral, orders.ReviewReferral):
            return ()
        windows: Sequence[measures.DataWindow] = getattr(headers.request_of(referral), "windows", ())
        return windows

    def _check_own_grant(self, decision: Cited) -> None:
        """The node knows by the state of the referral what we know by the decision itself."""
        header = header_of(decision)
        me = self._participant.address
        if header.kind != ids.KIND_REVIEW_DECISION or header.sender != me or header.outcome not in GRANTS:
            raise Refusal(ErrorCode.OUT_OF_ORDER, "this step goes on from our own decision that grants", "cites[0]")
