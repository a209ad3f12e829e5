"""The restricted client: an exchange receives orders of its own country's authorities and answers them, nothing else.

In: an order, and what was done. Out: composed answers; see `clients.actor` for what is refused. Whoever holds an
`Exchange` can compose no other envelope but a complaint; the node would refuse it all the same.
"""

from collections.abc import Sequence
from typing import ClassVar

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders

from clients.actor import Addressee, Cited, DataClasses, Ground, document_of
from clients.intake import Item, Received
from clients.participant import TIMEOUT_SECONDS
from gateway.envelope import Composed
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.identity import Role


class Exchange(Addressee):
    """An exchange's face to its own node; the participant behind it must be entered (`async with`)."""

    role: ClassVar[Role] = Role.EXCHANGE

    def answer(
        self,
        order: Received,
        results: Sequence[orders.FreezeResult],
        transactions: Sequence[evidence.TransactionRecord] = (),
        *,
        data_classes: DataClasses | None = None,
        remarks: str = "",
    ) -> Composed:
        """Report to whoever gave an order to freeze.

        The outcome follows from the results: granted if every wallet is wholly frozen, refused as impossible (2018/1805
        Art. 13(3)) if nothing was frozen and nothing is supplied, else partly granted. The measures are those ordered,
        but for a transfer, unless nothing was frozen.

        Args:
            order: what was ordered, by a court or provisionally.
            results: one for each wallet of the order, in its order.
            transactions: records, if that class of data was ordered.
            data_classes: classes supplied; by default TRANSACTIONAL if there are transactions.
            remarks: for whoever ordered it.

        Raises:
            Refusal: OUT_OF_ORDER, it is no order; CONTENT_MISMATCH, results for other wallets than those ordered, or
                without one of them, or transactions of a class that is not named; EXCEEDS_GRANT, data not ordered.
        """
        ordered = order.document
        if not isinstance(ordered, orders.DomesticOrder):
            raise Refusal(ErrorCode.OUT_OF_ORDER, "wallets are frozen on an order, and on nothing else", "kind")
        if data_classes is None:
            data_classes = (ids.DATA_CLASS_TRANSACTIONAL,) if transactions else ()
        statuses = {result.status for result in results}
        froze = bool(statuses & documents.FROZEN)
        report = orders.ExecutionReport(
            outcome=_outcome(statuses, supplied=bool(data_classes)),
            results=results,
            # To move what is held is an order by itself (2018/1805 Art. 28).
            measures=[each for each in ordered.measures if each != ids.MEASURE_TRANSFER] if froze else (),
            data_classes=data_classes,
            transactions=transactions,
            remarks=remarks,
        )
        documents.check_answers_order(ordered, report)
        refused = report.outcome == ids.OUTCOME_REFUSED
        return self.report(order, report, ground=ids.GROUND_IMPOSSIBLE if refused else ids.GROUND_UNSPECIFIED)

    def report(
        self, ordered: Received, report: orders.ExecutionReport, *, ground: Ground = ids.GROUND_UNSPECIFIED
    ) -> Composed:
        """Report what was done on any order, takedown, transfer or release.

        Args:
            ordered: what was ordered.
            report: what was done.
            ground: why not, unless everything was executed (2018/1805 Art. 13(3)).

        Raises:
            Refusal: EXCEEDS_GRANT, transactions of another time than was ordered.
        """
        if isinstance(ordered.document, orders.DomesticOrder):
            documents.check_times(ordered.document.windows, report, "the order")
        return self._compose(ids.KIND_EXECUTION_REPORT, report, ordered, ground=ground)

    def object_to(self, order: Received, objection: notices.ObjectionNotice) -> Composed:
        """Object to an order within ten days (2023/1543 Art. 17(2), Annex III)."""
        return self._compose(ids.KIND_OBJECTION, objection, order)

    def disclose(self, order: Received, disclosure: orders.Disclosure) -> Composed:
        """Hand over the data that a court ordered, and no more (2023/1543 Art. 10(2)-(4)).

        Raises:
            Refusal: OUT_OF_ORDER, it is no order; EXCEEDS_GRANT, of another class or time than was ordered.
        """
        documents.check_times(document_of(order, orders.DomesticOrder).windows, disclosure, "the order")
        return self._compose(ids.KIND_DISCLOSURE, disclosure, order)

    def record_custody(self, disclosure: Cited, event: followups.CustodyEvent) -> Composed:
        """Tell what happened to what we disclosed (ISO/IEC 27037)."""
        return self._compose(ids.KIND_CUSTODY_EVENT, event, disclosure)

    async def submit(self, report: Composed, within: float = TIMEOUT_SECONDS) -> pb.Receipt:
        """Hand a report in; see `Participant.submit`."""
        return await self._participant.submit(report.envelope, within)

    async def collect_available(self, within: float = TIMEOUT_SECONDS) -> list[Item]:
        """Return the orders and receipts that are there now; see `Participant.collect_available`."""
        return await self._participant.collect_available(within=within)

    def unhandled(self) -> list[Received]:
        """Return the orders that were collected and not yet dealt with, oldest first."""
        return list(self._participant.unhandled())

    def done(self, order: Received) -> None:
        """Note that an order has been dealt with."""
        self._participant.done(order)


def _outcome(statuses: set[orders.FreezeStatus.ValueType], *, supplied: bool) -> ids.Outcome.ValueType:
    if statuses <= documents.WHOLLY_FROZEN:
        return ids.OUTCOME_GRANTED
    return ids.OUTCOME_PARTLY_GRANTED if statuses & documents.FROZEN or supplied else ids.OUTCOME_REFUSED
