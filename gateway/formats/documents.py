"""Documents: which message is the body of which kind of envelope, and what its header must say of it.

In: a document, or a kind and bytes; a header. Out: bytes, or the document. Refuses with CONTENT_MISMATCH and the field.
Nodes read headers only and let through what the header says; these rules are how sender and recipient make sure that it
says what the document says. Both ends run them: the sender before it signs, the recipient before it says OPENED.
"""

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

from gateway import codec, envelope
from gateway.errors import ErrorCode, Refusal

Document: TypeAlias = (
    orders.Draft
    | orders.Countersignature
    | orders.FreezeRequest
    | orders.ReviewReferral
    | orders.ReviewDecision
    | orders.DomesticOrder
    | orders.ExecutionReport
)
Narrowed: TypeAlias = orders.FreezeRequest | orders.ReviewDecision | orders.DomesticOrder | orders.ExecutionReport

BODIES: Final[MappingProxyType[ids.Kind.ValueType, type[Document]]] = MappingProxyType(
    {
        ids.KIND_DRAFT: orders.Draft,
        ids.KIND_COUNTERSIGNATURE: orders.Countersignature,
        ids.KIND_FREEZE_REQUEST: orders.FreezeRequest,
        ids.KIND_REVIEW_REFERRAL: orders.ReviewReferral,
        ids.KIND_REVIEW_DECISION: orders.ReviewDecision,
        ids.KIND_DOMESTIC_ORDER: orders.DomesticOrder,
        ids.KIND_EXECUTION_REPORT: orders.ExecutionReport,
    }
)

FROZEN: Final = frozenset(
    {orders.FREEZE_STATUS_FROZEN, orders.FREEZE_STATUS_PARTIALLY_FROZEN, orders.FREEZE_STATUS_ALREADY_FROZEN}
)
WHOLLY_FROZEN: Final = frozenset({orders.FREEZE_STATUS_FROZEN, orders.FREEZE_STATUS_ALREADY_FROZEN})


def encode(document: Document) -> bytes:
    """Return the body that carries a document.

    Raises:
        Refusal: CONTENT_MISMATCH, the document breaks a rule of its own format.
    """
    codec.check(document, ErrorCode.CONTENT_MISMATCH)
    return document.SerializeToString(deterministic=True)


def decode(kind: ids.Kind.ValueType, body: bytes) -> Document:
    """Return the document that the body of an envelope of that kind carries.

    Raises:
        Refusal: CONTENT_MISMATCH, it is none, or of another kind, or not in its one encoding.
    """
    if kind not in BODIES:
        raise _mismatch("no document belongs to this kind of envelope", "kind")
    return codec.parse(BODIES[kind], body, ErrorCode.CONTENT_MISMATCH)


def check_against_header(header: pb.Header, document: Document) -> None:
    """Check that a header says what its document says.

    1. The document is the one that belongs to the header's kind.
    2. It keeps its own format.
    3. Measures and data classes are the same; a referral carries the request as it came, so there they may be fewer.
    4. Outcome and ground are the same; nothing but a decision, a report and a countersignature has an outcome.
    5. An urgent request gives the grounds of its urgency.
    6. A decision says that dual criminality is absent exactly if it refuses, wholly or in part, on that ground.
    7. A draft carries a request of the same sender and case, to whose body the request commits, with the same measures,
       data classes and urgency as its own header; and the request's header fits its body by these rules.
    8. A countersignature bears a signature exactly if the outcome is a grant, and otherwise says why not.
    9. A report gives transactions only as TRANSACTIONAL data, one result for one wallet wherever it is named, nothing
       frozen in a quoted wallet, frozen amounts only where something is frozen, and results that fit its outcome.

    Raises:
        Refusal: CONTENT_MISMATCH, with the field.
    """
    if not isinstance(document, BODIES.get(header.kind, ())):  # (1)
        raise _mismatch("the document is not of the header's kind", "kind")
    codec.check(document, ErrorCode.CONTENT_MISMATCH)  # (2)
    match document:
        case orders.Draft():
            _check_outcome(header, ids.OUTCOME_UNSPECIFIED)
            _check_draft(header, document)
        case orders.Countersignature():
            _check_countersignature(header, document)
        case orders.FreezeRequest():
            _check_same(header, document)
            _check_outcome(header, ids.OUTCOME_UNSPECIFIED)
            _check_urgency(header, document)
        case orders.ReviewReferral():
            _check_among(header.measures, document.request.measures, "measures")
            _check_among(header.data_classes, document.request.data_classes, "data_classes")
            _check_outcome(header, ids.OUTCOME_UNSPECIFIED)
            _check_urgency(header, document.request)
        case orders.ReviewDecision():
            _check_same(header, document)
            _check_decision(header, document)
        case orders.DomesticOrder():
            _check_same(header, document)
            _check_outcome(header, ids.OUTCOME_UNSPECIFIED)
        case orders.ExecutionReport():
            _check_same(header, document)
            _check_outcome(header, document.outcome)
            _check_report(document)


def check_answers_order(order: orders.DomesticOrder, report: orders.ExecutionReport) -> None:
    """Check that a report answers exactly this order.

    1. One result for each wallet of the order, in its order, and none for any other wallet.
    2. No measure and no class of data that was not ordered.

    Raises:
        Refusal: CONTENT_MISMATCH for 1, EXCEEDS_GRANT for 2.
    """
    for position, result in enumerate(report.results):  # (1)
        if position >= len(order.wallets) or result.wallet != order.wallets[position]:
            raise _mismatch("not the wallet that the order names in this place", f"results[{position}].wallet")
    if len(report.results) < len(order.wallets):
        raise _mismatch(f"no result for wallet {len(report.results)} of the order", "results")
    for name, given, ordered in (  # (2)
        ("measures", report.measures, order.measures),
        ("data_classes", report.data_classes, order.data_classes),
    ):
        check_within(given, ordered, "the order", name)


def check_within(given: Sequence[int], granted: Iterable[int], what: str, name: str) -> None:
    """Check that everything given was granted before.

    Raises:
        Refusal: EXCEEDS_GRANT, with the position of the first that was not.
    """
    allowed = frozenset(granted)
    for position, one in enumerate(given):
        if one not in allowed:
            raise Refusal(ErrorCode.EXCEEDS_GRANT, f"it goes beyond {what}", f"{name}[{position}]")


def _check_same(header: pb.Header, document: Narrowed) -> None:
    """Rule 3."""
    if list(header.measures) != list(document.measures):
        raise _mismatch("the header names other measures than the document", "measures")
    if list(header.data_classes) != list(document.data_classes):
        raise _mismatch("the header names other classes of data than the document", "data_classes")


def _check_among(fewer: Sequence[int], more: Sequence[int], name: str) -> None:
    """Rule 3, for a referral."""
    if not set(fewer) <= set(more):
        raise _mismatch("the header names what the request does not ask", name)


def _check_outcome(header: pb.Header, outcome: ids.Outcome.ValueType) -> None:
    """Rule 4."""
    if header.outcome != outcome:
        raise _mismatch("the header names another outcome than the document", "outcome")


def _check_urgency(header: pb.Header, request: orders.FreezeRequest) -> None:
    """Rule 5."""
    if header.urgency == ids.URGENCY_URGENT and not request.urgency_grounds:
        raise _mismatch("it is urgent, and gives no grounds for that (2018/1805 Annex I section B)", "urgency_grounds")


def _check_decision(header: pb.Header, decision: orders.ReviewDecision) -> None:
    """Rules 4 and 6."""
    _check_outcome(header, decision.outcome)
    if header.ground != decision.ground:
        raise _mismatch("the header names another ground than the document", "ground")
    absent = decision.dual_criminality == orders.DUAL_CRIMINALITY_ABSENT
    if absent != (decision.ground == ids.GROUND_NO_DUAL_CRIMINALITY):
        raise _mismatch("absent dual criminality is its own ground, and no other's (Art. 8(1)(e))", "dual_criminality")


def _check_draft(header: pb.Header, draft: orders.Draft) -> None:
    """Rule 7."""
    try:
        request = envelope.parse_header(draft.envelope)
    except Refusal as error:
        raise _mismatch(error.detail, "envelope.header") from error
    if request.kind != ids.KIND_FREEZE_REQUEST:
        raise _mismatch("a draft carries a freeze request", "envelope.header.kind")
    for name in ("sender", "case_id", "urgency"):
        if getattr(request, name) != getattr(header, name):
            raise _mismatch("the draft and its request differ", f"envelope.header.{name}")
    for name in ("measures", "data_classes"):
        if list(getattr(request, name)) != list(getattr(header, name)):
            raise _mismatch("the draft and its request differ", f"envelope.header.{name}")
    envelope.check_commitment(request, draft.salt, draft.body)
    check_against_header(request, decode(request.kind, draft.body))


def _check_countersignature(header: pb.Header, answer: orders.Countersignature) -> None:
    """Rules 4 and 8."""
    signed = answer.HasField("signature")
    _check_outcome(header, ids.OUTCOME_GRANTED if signed else ids.OUTCOME_REFUSED)
    if signed == bool(answer.reason):
        raise _mismatch("either a signature, or the reason why there is none", "reason")


def _check_report(report: orders.ExecutionReport) -> None:
    """Rule 9."""
    if report.transactions and ids.DATA_CLASS_TRANSACTIONAL not in report.data_classes:
        raise _mismatch("transactions are data of a class that the header does not name", "transactions")
    seen: dict[tuple[str, ...], orders.FreezeResult] = {}
    for position, result in enumerate(report.results):
        # Real lists name a wallet twice; then what became of it is said twice, and the same.
        first = seen.setdefault(wallet_key(result.wallet), result)
        if (first.status, list(first.frozen)) != (result.status, list(result.frozen)):
            raise _mismatch("two different results for one wallet", f"results[{position}].wallet")
        if result.status in FROZEN and not result.wallet.chain:
            raise _mismatch(
                "a quoted wallet cannot be frozen: its chain has no known id", f"results[{position}].status"
            )
        if (result.frozen or result.HasField("frozen_at_us")) and result.status not in FROZEN:
            raise _mismatch("nothing is frozen, yet an amount or a time is given", f"results[{position}].frozen")
    statuses = {result.status for result in report.results}
    if report.outcome == ids.OUTCOME_GRANTED and not statuses <= WHOLLY_FROZEN:
        raise _mismatch("not everything is frozen, so it is not executed in full", "outcome")
    if report.outcome == ids.OUTCOME_REFUSED and (statuses & FROZEN or report.transactions):
        raise _mismatch("something was executed, so it is not refused", "outcome")


def wallet_key(wallet: evidence.WalletIdentifier) -> tuple[str, ...]:
    """Return what makes a wallet that wallet, whatever else is said of it."""
    return (wallet.chain, wallet.chain_name, wallet.address, wallet.tag)


def _mismatch(detail: str, field: str) -> Refusal:
    return Refusal(ErrorCode.CONTENT_MISMATCH, detail, field)
