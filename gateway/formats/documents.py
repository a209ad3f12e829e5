"""Documents: which message is the body of which kind of envelope, and what its header must say of it.

In: a document, or a kind and bytes; a header. Out: bytes, or the document. Refuses with CONTENT_MISMATCH, the field and
the rule. Nodes read headers only and let through what the header says; these rules are how sender and recipient make
sure that it says what the document says, and that the document keeps the rules of its own format (`checks`). Both ends
run them: the sender before it signs, the recipient before it says OPENED.
"""

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import selftest_pb2 as selftest

from gateway import codec, envelope
from gateway.errors import ErrorCode, Refusal
from gateway.formats import checks, wallets
from gateway.formats.codes import Code, refuse

Request: TypeAlias = (
    certificates.FreezeRequest
    | certificates.ConfiscationRequest
    | assistance.EvidenceRequest
    | assistance.PreservationRequest
)
Document: TypeAlias = (
    Request
    | orders.Draft
    | orders.Countersignature
    | orders.ReviewReferral
    | orders.ReviewDecision
    | orders.DomesticOrder
    | orders.ExecutionReport
    | orders.Disclosure
    | followups.Extension
    | followups.Limitation
    | followups.Withdrawal
    | followups.Release
    | followups.Claim
    | followups.RestitutionDecision
    | followups.TransferOrder
    | followups.SharingStatement
    | followups.CustodyEvent
    | assistance.TakedownNotice
    | assistance.SpontaneousInformation
    | selftest.TestOrder
    | selftest.TestReport
)

REQUESTS: Final[MappingProxyType[ids.Kind.ValueType, type[Request]]] = MappingProxyType(
    {
        ids.KIND_FREEZE_REQUEST: certificates.FreezeRequest,
        ids.KIND_CONFISCATION_REQUEST: certificates.ConfiscationRequest,
        ids.KIND_EVIDENCE_REQUEST: assistance.EvidenceRequest,
        ids.KIND_PRESERVATION_REQUEST: assistance.PreservationRequest,
    }
)
"""What one State asks of another: a draft carries one of these, and a referral puts one before a court."""

BODIES: Final[MappingProxyType[ids.Kind.ValueType, type[Document]]] = MappingProxyType(
    {
        **REQUESTS,
        ids.KIND_DRAFT: orders.Draft,
        ids.KIND_COUNTERSIGNATURE: orders.Countersignature,
        ids.KIND_REVIEW_REFERRAL: orders.ReviewReferral,
        ids.KIND_REVIEW_DECISION: orders.ReviewDecision,
        ids.KIND_DOMESTIC_ORDER: orders.DomesticOrder,
        ids.KIND_EXECUTION_REPORT: orders.ExecutionReport,
        ids.KIND_DISCLOSURE: orders.Disclosure,
        ids.KIND_EXTENSION: followups.Extension,
        ids.KIND_LIMITATION: followups.Limitation,
        ids.KIND_WITHDRAWAL: followups.Withdrawal,
        ids.KIND_RELEASE: followups.Release,
        ids.KIND_CLAIM: followups.Claim,
        ids.KIND_RESTITUTION_DECISION: followups.RestitutionDecision,
        ids.KIND_TRANSFER_ORDER: followups.TransferOrder,
        ids.KIND_SHARING_STATEMENT: followups.SharingStatement,
        ids.KIND_CUSTODY_EVENT: followups.CustodyEvent,
        ids.KIND_TAKEDOWN_NOTICE: assistance.TakedownNotice,
        ids.KIND_SPONTANEOUS_INFORMATION: assistance.SpontaneousInformation,
        ids.KIND_TEST_ORDER: selftest.TestOrder,
        ids.KIND_TEST_REPORT: selftest.TestReport,
    }
)

FROZEN: Final = frozenset(
    {orders.FREEZE_STATUS_FROZEN, orders.FREEZE_STATUS_PARTIALLY_FROZEN, orders.FREEZE_STATUS_ALREADY_FROZEN}
)
WHOLLY_FROZEN: Final = frozenset({orders.FREEZE_STATUS_FROZEN, orders.FREEZE_STATUS_ALREADY_FROZEN})


def encode(document: Document) -> bytes:
    """Return the body that carries a document.

    Raises:
        Refusal: CONTENT_MISMATCH, the document breaks a rule of its own format; the first, if it breaks several.
    """
    _check_contract(document)
    _check_format(document)
    return _bytes(document)


def decode(kind: ids.Kind.ValueType, body: bytes) -> Document:
    """Return the document that the body of an envelope of that kind carries.

    Raises:
        Refusal: CONTENT_MISMATCH, it is none, or of another kind, or not in its one encoding.
    """
    if kind not in BODIES:
        raise _mismatch(Code.HEADER_KIND, "no document belongs to this kind of envelope", "kind")
    try:
        return codec.parse(BODIES[kind], body, ErrorCode.CONTENT_MISMATCH)
    except Refusal as error:
        raise _mismatch(Code.CONTRACT, error.detail, error.field) from error


def encode_for(header: pb.Header, document: Document) -> bytes:
    """Return the body that carries a document under that header; the header needs to say only what the rules ask.

    Raises:
        Refusal: CONTENT_MISMATCH, as `check_against_header`.
    """
    check_against_header(header, document)
    return _bytes(document)


def decode_for(header: pb.Header, body: bytes) -> Document:
    """Return the document in the body of an envelope, which its header fits.

    Raises:
        Refusal: CONTENT_MISMATCH, as `decode` and `check_against_header`.
    """
    document = decode(header.kind, body)
    _check_rules(header, document)  # the contract is kept: it was parsed just now
    return document


def check_against_header(header: pb.Header, document: Document) -> None:
    """Check that a header says what its document says.

    1. The document is the one that belongs to the header's kind.
    2. It keeps the rules of its own format.
    3. Measures and data classes are the same; a referral carries the request as it came, so there they may be fewer.
    4. Outcome and ground are the same; nothing but a decision, a report and a countersignature has an outcome.
    5. A freezing certificate is urgent exactly if its header is; another urgent request says why.
    6. A decision says that dual criminality is absent exactly if it refuses, wholly or in part, on that ground.
    7. A draft carries a request of the same sender and case, to whose body the request commits, with the same measures,
       data classes and urgency as its own header; and the request's header fits its body by these rules.
    8. A countersignature bears a signature exactly if the outcome is a grant, and otherwise says why not.
    9. A report gives transactions only as TRANSACTIONAL data, one result for one wallet wherever it is named, nothing
       frozen in a quoted wallet, frozen amounts only where something is frozen, and results that fit its outcome.

    Raises:
        Refusal: CONTENT_MISMATCH, with the field and the rule.
    """
    if not isinstance(document, BODIES.get(header.kind, ())):  # (1)
        raise _mismatch(Code.HEADER_KIND, "the document is not of the header's kind", "kind")
    _check_contract(document)
    _check_rules(header, document)


def _check_rules(header: pb.Header, document: Document) -> None:
    """Rules 2 to 9, for a document of the header's kind that keeps its contract."""
    _check_format(document)
    match document:
        case orders.Draft():
            _check_outcome(header, ids.OUTCOME_UNSPECIFIED)
            _check_draft(header, document)
        case orders.Countersignature():
            _check_countersignature(header, document)
        case orders.ReviewReferral():
            _check_outcome(header, ids.OUTCOME_UNSPECIFIED)
            _check_referral(header, document)
        case orders.ReviewDecision():
            _check_same(header, document)
            _check_decision(header, document)
        case orders.ExecutionReport():
            _check_same(header, document)
            _check_outcome(header, document.outcome)
            _check_report(document)
        case _:
            _check_same(header, document)
            _check_outcome(header, ids.OUTCOME_UNSPECIFIED)
            _check_urgency(header, document)


def request_of(referral: orders.ReviewReferral) -> Request:
    """Return the request that a referral puts before a court."""
    name = referral.WhichOneof("request")
    if name is None:
        raise ValueError("a referral without a request is refused when it is parsed")
    found: Request = getattr(referral, name)
    return found


def check_answers_order(order: orders.DomesticOrder, report: orders.ExecutionReport) -> None:
    """Check that a report answers exactly this order.

    1. One result for each wallet of the order, in its order, and none for any other wallet.
    2. No measure and no class of data that was not ordered.

    Raises:
        Refusal: CONTENT_MISMATCH for 1, EXCEEDS_GRANT for 2.
    """
    for position, result in enumerate(report.results):  # (1)
        if position >= len(order.wallets) or result.wallet != order.wallets[position]:
            detail = "not the wallet that the order names in this place"
            raise _mismatch(Code.RESULTS_NOT_AS_ORDERED, detail, f"results[{position}].wallet")
    if len(report.results) < len(order.wallets):
        detail = f"no result for wallet {len(report.results)} of the order"
        raise _mismatch(Code.RESULTS_NOT_AS_ORDERED, detail, "results")
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


def _bytes(document: Document) -> bytes:
    return document.SerializeToString(deterministic=True)


def _check_contract(document: Document) -> None:
    try:
        codec.check(document, ErrorCode.CONTENT_MISMATCH)
    except Refusal as error:
        raise _mismatch(Code.CONTRACT, error.detail, error.field) from error


def _check_format(document: Document) -> None:
    """Rule 2."""
    for problem in checks.problems(document):
        raise problem


def _check_same(header: pb.Header, document: Document) -> None:
    """Rule 3. A document that cannot name measures or classes has a header without any."""
    if list(header.measures) != list(getattr(document, "measures", ())):
        raise _mismatch(Code.HEADER_MEASURES, "the header names other measures than the document", "measures")
    if list(header.data_classes) != list(getattr(document, "data_classes", ())):
        detail = "the header names other classes of data than the document"
        raise _mismatch(Code.HEADER_DATA_CLASSES, detail, "data_classes")


def _check_referral(header: pb.Header, referral: orders.ReviewReferral) -> None:
    """Rules 3 and 5, for a referral."""
    request = request_of(referral)
    if not set(header.measures) <= set(getattr(request, "measures", ())):
        raise _mismatch(Code.HEADER_MEASURES, "the header names what the request does not ask", "measures")
    if not set(header.data_classes) <= set(request.data_classes):
        raise _mismatch(Code.HEADER_DATA_CLASSES, "the header names what the request does not ask", "data_classes")
    _check_urgency(header, request)


def _check_outcome(header: pb.Header, outcome: ids.Outcome.ValueType) -> None:
    """Rule 4."""
    if header.outcome != outcome:
        raise _mismatch(Code.HEADER_OUTCOME, "the header names another outcome than the document", "outcome")


def _check_urgency(header: pb.Header, document: Document) -> None:
    """Rule 5: 2018/1805 Art. 9(3) and Annex I section B."""
    urgent = header.urgency == ids.URGENCY_URGENT
    match document:
        case certificates.FreezeRequest():
            if urgent != bool(document.urgency.grounds):
                detail = "header and section B differ on whether it is urgent"
                raise _mismatch(Code.HEADER_URGENCY, detail, "urgency.grounds")
        case assistance.EvidenceRequest():
            if urgent and not document.urgency_grounds:
                raise _mismatch(Code.HEADER_URGENCY, "it is urgent, and does not say why", "urgency_grounds")
        case _:
            pass  # its urgency is that of the case, and its header's alone


def _check_decision(header: pb.Header, decision: orders.ReviewDecision) -> None:
    """Rules 4 and 6."""
    _check_outcome(header, decision.outcome)
    if header.ground != decision.ground:
        raise _mismatch(Code.HEADER_GROUND, "the header names another ground than the document", "ground")
    absent = decision.dual_criminality == orders.DUAL_CRIMINALITY_ABSENT
    if absent != (decision.ground == ids.GROUND_NO_DUAL_CRIMINALITY):
        detail = "absent dual criminality is its own ground, and no other's (Art. 8(1)(e))"
        raise _mismatch(Code.DUAL_CRIMINALITY_CONTRADICTS_GROUND, detail, "dual_criminality")


def _check_draft(header: pb.Header, draft: orders.Draft) -> None:
    """Rule 7."""
    try:
        request = envelope.parse_header(draft.envelope)
    except Refusal as error:
        raise _mismatch(Code.DRAFT_DIFFERS, error.detail, "envelope.header") from error
    if request.kind not in REQUESTS:
        raise _mismatch(Code.DRAFT_KIND, "a draft carries a request to another State", "envelope.header.kind")
    for name in ("sender", "case_id", "urgency"):
        if getattr(request, name) != getattr(header, name):
            raise _mismatch(Code.DRAFT_DIFFERS, "the draft and its request differ", f"envelope.header.{name}")
    for name in ("measures", "data_classes"):
        if list(getattr(request, name)) != list(getattr(header, name)):
            raise _mismatch(Code.DRAFT_DIFFERS, "the draft and its request differ", f"envelope.header.{name}")
    envelope.check_commitment(request, draft.salt, draft.body)
    decode_for(request, draft.body)


def _check_countersignature(header: pb.Header, answer: orders.Countersignature) -> None:
    """Rules 4 and 8."""
    signed = answer.HasField("signature")
    _check_outcome(header, ids.OUTCOME_GRANTED if signed else ids.OUTCOME_REFUSED)
    if signed == bool(answer.reason):
        raise _mismatch(Code.SIGNATURE_OR_REASON, "either a signature, or the reason why there is none", "reason")


def _check_report(report: orders.ExecutionReport) -> None:
    """Rule 9."""
    if report.transactions and ids.DATA_CLASS_TRANSACTIONAL not in report.data_classes:
        detail = "transactions are data of a class that the header does not name"
        raise _mismatch(Code.DATA_OF_OTHER_CLASS, detail, "transactions")
    seen: dict[tuple[str, ...], orders.FreezeResult] = {}
    for position, result in enumerate(report.results):
        # Real lists name a wallet twice; then what became of it is said twice, and the same.
        first = seen.setdefault(wallets.key(result.wallet), result)
        where = f"results[{position}]"
        if (first.status, list(first.frozen)) != (result.status, list(result.frozen)):
            raise _mismatch(Code.RESULTS_CONTRADICT, "two different results for one wallet", f"{where}.wallet")
        if result.status in FROZEN and not wallets.is_executable(result.wallet):
            raise _mismatch(Code.QUOTED_NOT_EXECUTABLE, "a quoted wallet cannot be frozen", f"{where}.status")
        if (result.frozen or result.HasField("frozen_at_us")) and result.status not in FROZEN:
            detail = "nothing is frozen, yet an amount or a time is given"
            raise _mismatch(Code.NOTHING_FROZEN, detail, f"{where}.frozen")
    statuses = {result.status for result in report.results}
    if report.outcome == ids.OUTCOME_GRANTED and not statuses <= WHOLLY_FROZEN:
        detail = "not everything is frozen, so it is not executed in full"
        raise _mismatch(Code.OUTCOME_CONTRADICTS_RESULTS, detail, "outcome")
    if report.outcome == ids.OUTCOME_REFUSED and (statuses & FROZEN or report.transactions):
        raise _mismatch(Code.OUTCOME_CONTRADICTS_RESULTS, "something was executed, so it is not refused", "outcome")


def _mismatch(rule: Code, detail: str, field: str) -> Refusal:
    return refuse(rule, detail, field, ErrorCode.CONTENT_MISMATCH)
