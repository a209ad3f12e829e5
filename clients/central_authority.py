"""A central authority: countersigns what goes abroad; refers what comes from abroad, and answers it.

In: documents, and what came. Out: composed envelopes; see `clients.actor` for what is refused. What its court decided
and reported it passes on, never more.
"""

from typing import ClassVar

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders

from clients.actor import Cited, Referrer, check_role, document_of
from clients.intake import Received
from gateway import envelope, row_checks
from gateway.clock import from_micros
from gateway.envelope import Composed
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.identity import Role
from gateway.row_checks import Placed


class CentralAuthority(Referrer):
    """Countersigns for its own country's authors; answers those abroad."""

    role: ClassVar[Role] = Role.CENTRAL_AUTHORITY
    hears: ClassVar[tuple[Role, ...]] = (Role.COURT,)

    def countersign(self, received: Received) -> Composed:
        """Answer a draft with our signature over its request's header.

        1. It is a draft by an author of our own country.
        2. The request's signatures hold; its payload and slots are those that were signed.
        3. Its header commits to the body that we can read, and says what the body says.
        4. The table lets its sender send it to its one recipient.
        5. An instrument covers it, and it says what such a request may say.
        6. It has not expired.

        Raises:
            Refusal: NOT_PERMITTED, BAD_SIGNATURE, KEY_REVOKED, CONTENT_MISMATCH, NO_LEGAL_BASIS, OUT_OF_ORDER,
                EXCEEDS_GRANT or STALE; return it.
        """
        me = self._participant
        draft = document_of(received, orders.Draft)
        self._place(_answer(received), received)  # (1)
        request = envelope.parse_header(draft.envelope)
        envelope.verify(draft.envelope, request, me.directory.signing_key)  # (2)
        documents.check_against_header(received.header, draft)  # (3)
        placed = self._row_of(request)  # (4)
        row_checks.check_instrument(placed, me.directory)  # (5)
        row_checks.check_content(placed, me.directory)
        if request.HasField("expires_at_us") and from_micros(request.expires_at_us) <= me.parts.clock():  # (6)
            raise Refusal(ErrorCode.STALE, "the request has expired", "expires_at_us")
        key = me.signing_key_at(from_micros(request.created_at_us))  # it may be older than our newest key
        signature = envelope.countersign(draft.envelope, me.address, key)
        return self._compose(ids.KIND_COUNTERSIGNATURE, orders.Countersignature(signature=signature), received)

    def return_draft(self, received: Received, reason: str) -> Composed:
        """Answer a draft without our signature, and say why.

        Raises:
            Refusal: OUT_OF_ORDER, it is no draft; CONTENT_MISMATCH, there is no reason.
        """
        document_of(received, orders.Draft)
        return self._compose(
            ids.KIND_COUNTERSIGNATURE,
            orders.Countersignature(reason=reason),
            received,
            ground=ids.GROUND_RETURNED_FOR_CORRECTION,
        )

    def notify_delay(self, request: Received, notice: notices.Notice) -> Composed:
        """Tell that a time limit cannot be kept, and by when it will be done (2018/1805 Art. 9(5)-(6))."""
        return self._compose(ids.KIND_DELAY_NOTICE, notice, request)

    def forward(self, request: Received, notice: notices.Notice, *, to: str, case_id: str = "") -> Composed:
        """Pass a request on to the authority of our own country that is competent (2018/1805 Art. 4(9), 14(8))."""
        return self._compose(ids.KIND_FORWARDING, notice, request, to=to, case_id=case_id)

    def notify_forwarding(self, request: Received, notice: notices.Notice) -> Composed:
        """Tell the authority abroad that its request was passed on, and to whom (2018/1805 Art. 4(9), 14(8))."""
        return self._compose(ids.KIND_FORWARDING, notice, request)

    def notify_decision(self, request: Received, decision: Received) -> Composed:
        """Pass our court's decision on to the authority abroad that asked.

        Raises:
            Refusal: NOT_PERMITTED, the decision is by no court of ours; EXCEEDS_GRANT, it goes beyond the request.
        """
        check_role(self._participant, decision.header.sender, Role.COURT)
        return self._compose(ids.KIND_REVIEW_DECISION, document_of(decision, orders.ReviewDecision), request)

    def disclose(self, request: Received, disclosure: orders.Disclosure) -> Composed:
        """Hand over what our court passed on (UNCAC Art. 46(3)(f)).

        Raises:
            Refusal: EXCEEDS_GRANT, of another class or time than was asked.
        """
        documents.check_times(getattr(request.document, "windows", ()), disclosure, "the request")
        return self._compose(ids.KIND_DISCLOSURE, disclosure, request)

    def record_custody(self, disclosure: Cited, event: followups.CustodyEvent) -> Composed:
        """Tell what happened to what we disclosed (ISO/IEC 27037)."""
        return self._compose(ids.KIND_CUSTODY_EVENT, event, disclosure)

    def ask_limitation(self, request: Received, asked: followups.LimitationRequest) -> Composed:
        """Ask to limit a freeze; silence for six weeks ends our duty (2018/1805 Art. 12(2))."""
        return self._compose(ids.KIND_LIMITATION_REQUEST, asked, request)

    def notify_limitation(self, request: Received, limitation: followups.Limitation) -> Composed:
        """Tell that a freeze is limited (2018/1805 Art. 12(2))."""
        return self._compose(ids.KIND_LIMITATION, limitation, request)

    def notify_claim(self, request: Received, claim: followups.Claim) -> Composed:
        """Tell that somebody claims what is frozen (2018/1805 Art. 33(3))."""
        return self._compose(ids.KIND_CLAIM, claim, request)

    def notify_claim_decision(self, claim: Cited, decision: followups.Claim) -> Composed:
        """Tell what became of a claim that we told of."""
        return self._compose(ids.KIND_CLAIM_DECISION, decision, claim)

    def notify_priority(self, request: Received, decision: notices.PriorityDecision) -> Composed:
        """Tell which of several orders goes first (2018/1805 Art. 26)."""
        return self._compose(ids.KIND_PRIORITY_DECISION, decision, request)

    def share(self, request: Received, statement: followups.SharingStatement) -> Composed:
        """Tell how what was confiscated is divided (2018/1805 Art. 30(7))."""
        return self._compose(ids.KIND_SHARING_STATEMENT, statement, request)

    def report_finally(self, request: Received, report: notices.FinalReport) -> Composed:
        """Tell where everything went (2018/1805 Art. 30(6))."""
        return self._compose(ids.KIND_FINAL_REPORT, report, request)

    def object_to(self, request: Received, objection: notices.ObjectionNotice) -> Composed:
        """Object to an emergency request within 96 hours (2023/1543 Art. 12(1), 10(4))."""
        return self._compose(ids.KIND_OBJECTION, objection, request)

    def extend_referral(self, referral: Cited, extension: followups.Extension) -> Composed:
        """Tell our court until when the request now stands (2018/1805 Art. 12(1))."""
        return self._compose(ids.KIND_EXTENSION, extension, referral)

    def close_referral(self, referral: Cited, notice: notices.Notice) -> Composed:
        """Tell our court that the matter is at its end."""
        return self._compose(ids.KIND_CLOSURE, notice, referral)

    def _row_of(self, request: pb.Header) -> Placed:
        """Return a request that we are to countersign in its row.

        What it cites may be unknown to us; of the rows that differ in that alone, the first serves.
        """
        directory = self._participant.directory
        if len(request.recipients) != 1:
            raise Refusal(ErrorCode.NOT_PERMITTED, "an envelope has one recipient", "recipients")
        for rule in row_checks.permitted(request, directory):
            for step in row_checks.rows(rule):
                if bool(step.cites) == bool(request.cites):
                    return Placed(request, rule, step, ())
        detail = f"nothing of that kind goes from {request.sender} to {request.recipients[0]}"
        raise Refusal(ErrorCode.NOT_PERMITTED, detail, "kind")


def _answer(received: Received) -> pb.Header:
    """Return what says enough of a countersignature to find its row."""
    asked = received.header
    return pb.Header(
        kind=ids.KIND_COUNTERSIGNATURE, sender=asked.recipients[0], recipients=[asked.sender], cites=[received.ref]
    )
