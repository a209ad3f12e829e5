"""A financial intelligence unit or 24/7 contact point: asks its colleagues abroad for what cannot wait.

In: documents, and what came. Out: composed envelopes; see `clients.actor` for what is refused. What is provisional
lapses unless a judge confirms it (Directive (EU) 2024/1260 Art. 11; Budapest Convention Art. 29, 35), or, of data, a
request for them follows ((EU) 2023/1543 Art. 11).
"""

from typing import ClassVar

from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders

from clients.actor import Cited, Referrer, Urgency, header_of
from clients.drafting import Author, Drafted
from clients.intake import Received
from gateway.envelope import Composed
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.identity import Role


class Contact(Referrer, Author):
    """What both may do: ask, be asked, order provisionally, and put it before a judge.

    Where its own country's law wants a central authority's signature under what it asks, it drafts that.
    """

    hears: ClassVar[tuple[Role, ...]] = (Role.EXCHANGE, Role.COURT)

    # Of colleagues abroad.

    def ask_freeze(
        self,
        request: assistance.ProvisionalFreeze,
        *,
        to: str,
        case_id: str,
        instrument: str,
        urgency: Urgency = ids.URGENCY_URGENT,
    ) -> Composed:
        """Ask a colleague abroad to hold assets at once; a request in due form must follow."""
        return self._compose(
            ids.KIND_PROVISIONAL_FREEZE, request, to=to, case_id=case_id, instrument=instrument, urgency=urgency
        )

    def ask_preservation(
        self, request: assistance.PreservationRequest, *, to: str, case_id: str, instrument: str
    ) -> Composed:
        """Ask a colleague abroad to have data kept; a request for them must follow (Budapest Convention Art. 29)."""
        return self._compose(ids.KIND_PRESERVATION_REQUEST, request, to=to, case_id=case_id, instrument=instrument)

    def draft_freeze(
        self,
        request: assistance.ProvisionalFreeze,
        *,
        to: str,
        via: str,
        case_id: str,
        instrument: str,
        urgency: Urgency = ids.URGENCY_URGENT,
    ) -> Drafted:
        """As `ask_freeze`, where `via`, our central authority, must sign it too."""
        return self._draft(
            ids.KIND_PROVISIONAL_FREEZE, request, via, to=to, case_id=case_id, instrument=instrument, urgency=urgency
        )

    def draft_preservation(
        self, request: assistance.PreservationRequest, *, to: str, via: str, case_id: str, instrument: str
    ) -> Drafted:
        """As `ask_preservation`, where `via`, our central authority, must sign it too."""
        return self._draft(ids.KIND_PRESERVATION_REQUEST, request, via, to=to, case_id=case_id, instrument=instrument)

    def extend(self, request: Cited, extension: followups.Extension) -> Composed:
        """Ask to have it kept until then, once, and for thirty days more at most (2023/1543 Art. 11(1))."""
        return self._compose(ids.KIND_EXTENSION, extension, request)

    def announce_request(self, request: Cited, notice: notices.Notice) -> Composed:
        """Confirm that a request for the data has been issued: they are kept on until we withdraw (2023/1543 Art. 11).

        Again, if they still are to be kept: after some time both sides are reminded of it.
        """
        return self._compose(ids.KIND_PRODUCTION_NOTICE, notice, request)

    def withdraw(self, request: Cited, withdrawal: followups.Withdrawal) -> Composed:
        """Withdraw what we asked."""
        return self._compose(ids.KIND_WITHDRAWAL, withdrawal, request)

    def warn(
        self, information: assistance.SpontaneousInformation, *, to: str, case_id: str, instrument: str
    ) -> Composed:
        """Tell a colleague abroad which wallets to look out for: intelligence, never a basis of an order."""
        return self._compose(ids.KIND_WATCHLIST_NOTICE, information, to=to, case_id=case_id, instrument=instrument)

    # To colleagues abroad, who asked.

    def refuse(self, request: Received, decision: orders.ReviewDecision) -> Composed:
        """Refuse what was asked (Budapest Convention Art. 29(5)); what is granted is ordered instead."""
        return self._compose(ids.KIND_REVIEW_DECISION, decision, request)

    def confirm(self, request: Received, notice: notices.Notice) -> Composed:
        """Tell the colleague that asked that a judge has confirmed it."""
        return self._compose(ids.KIND_CONFIRMATION, notice, request)

    # To exchanges.

    def order(
        self, request: Received, acknowledged: Cited, order: orders.DomesticOrder, *, exchange: str, case_id: str
    ) -> Composed:
        """Order an exchange of our own country, provisionally, to do what is asked.

        Args:
            request: what a colleague asks.
            acknowledged: our acknowledgement of it, which the order cites; to cite the request would tell who asks.
            order: what to do, and nothing of the foreign case.
            exchange: address of the exchange.
            case_id: of its own, so that it tells nothing of the case behind it.

        Raises:
            Refusal: OUT_OF_ORDER, that is no acknowledgement of this request; EXCEEDS_GRANT, of another measure, class
                or time than is asked.
        """
        if list(header_of(acknowledged).cites) != [request.ref]:
            raise Refusal(ErrorCode.OUT_OF_ORDER, "it does not acknowledge that request", "cites[0]")
        documents.check_ordered_times(getattr(request.document, "windows", ()), order)
        to, above = exchange, (request,)
        return self._compose(ids.KIND_PROVISIONAL_ORDER, order, acknowledged, above, to=to, case_id=case_id)

    def decide_objection(self, objection: Received, decision: notices.Notice) -> Composed:
        """Decide on what an exchange objected (2023/1543 Art. 17(4)-(6))."""
        return self._compose(ids.KIND_OBJECTION_DECISION, decision, objection)

    def confirm_order(self, order: Cited, notice: notices.Notice) -> Composed:
        """Tell an exchange that a judge has confirmed an order of ours."""
        return self._compose(ids.KIND_CONFIRMATION, notice, order)

    def extend_order(self, order: Cited, extension: followups.Extension) -> Composed:
        """Tell an exchange until when an order of ours stands, as the request was extended."""
        return self._compose(ids.KIND_EXTENSION, extension, order)

    def keep_on(self, order: Cited, notice: notices.Notice) -> Composed:
        """Tell an exchange that what it keeps is kept on, for a request that follows (2023/1543 Art. 11(2))."""
        return self._compose(ids.KIND_PRODUCTION_NOTICE, notice, order)

    def release(self, order: Cited, release: followups.Release) -> Composed:
        """Release what an order of ours holds."""
        return self._compose(ids.KIND_RELEASE, release, order)


class FinancialIntelligenceUnit(Contact):
    """Of its country, among those of the Egmont Group."""

    role: ClassVar[Role] = Role.FIU


class ContactPoint(Contact):
    """Of its country, at any hour (Budapest Convention Art. 35)."""

    role: ClassVar[Role] = Role.CONTACT_POINT
