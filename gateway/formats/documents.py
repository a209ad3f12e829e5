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
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import selftest_pb2 as selftest

from gateway import codec, envelope, manifest
from gateway.errors import ErrorCode, Refusal
from gateway.formats import checks, headers, wallets
from gateway.formats.checks import reports
from gateway.formats.codes import Code, refuse

Request: TypeAlias = (
    certificates.FreezeRequest
    | certificates.ConfiscationRequest
    | assistance.EvidenceRequest
    | assistance.PreservationRequest
    | assistance.ProvisionalFreeze
    | assistance.TakedownNotice
    | followups.RestitutionDecision
    | followups.Extension
    | followups.TransferOrder
    | notices.Notice
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
    | followups.LimitationRequest
    | followups.Limitation
    | followups.Withdrawal
    | followups.Release
    | followups.Claim
    | followups.SharingStatement
    | followups.CustodyEvent
    | assistance.SpontaneousInformation
    | notices.ObjectionNotice
    | notices.PriorityDecision
    | notices.FinalReport
    | selftest.TestOrder
    | selftest.TestReport
)

REQUESTS: Final[MappingProxyType[ids.Kind.ValueType, type[Request]]] = MappingProxyType(
    {
        ids.KIND_FREEZE_REQUEST: certificates.FreezeRequest,
        ids.KIND_CONFISCATION_REQUEST: certificates.ConfiscationRequest,
        ids.KIND_EVIDENCE_REQUEST: assistance.EvidenceRequest,
        ids.KIND_PRESERVATION_REQUEST: assistance.PreservationRequest,
        ids.KIND_PROVISIONAL_FREEZE: assistance.ProvisionalFreeze,
        ids.KIND_TAKEDOWN_NOTICE: assistance.TakedownNotice,
        ids.KIND_RESTITUTION_DECISION: followups.RestitutionDecision,
        ids.KIND_ENFORCEMENT_REQUEST: notices.Notice,
        ids.KIND_EXTENSION: followups.Extension,
        ids.KIND_VALIDATION: notices.Notice,
        ids.KIND_TRANSFER_ORDER: followups.TransferOrder,
    }
)
"""What somebody else of the sender's country must sign too, by the table or by the country's own law: a draft carries
one of these."""

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
        ids.KIND_LIMITATION: followups.Limitation,
        ids.KIND_WITHDRAWAL: followups.Withdrawal,
        ids.KIND_RELEASE: followups.Release,
        ids.KIND_CLAIM: followups.Claim,
        ids.KIND_SHARING_STATEMENT: followups.SharingStatement,
        ids.KIND_CUSTODY_EVENT: followups.CustodyEvent,
        ids.KIND_SPONTANEOUS_INFORMATION: assistance.SpontaneousInformation,
        ids.KIND_TEST_ORDER: selftest.TestOrder,
        ids.KIND_TEST_REPORT: selftest.TestReport,
        ids.KIND_ACKNOWLEDGEMENT: notices.Notice,
        ids.KIND_CLARIFICATION_REQUEST: notices.Notice,
        ids.KIND_CLARIFICATION: notices.Notice,
        ids.KIND_OBJECTION: notices.ObjectionNotice,
        ids.KIND_OBJECTION_DECISION: notices.Notice,
        ids.KIND_DELAY_NOTICE: notices.Notice,
        ids.KIND_FORWARDING: notices.Notice,
        ids.KIND_PROVISIONAL_ORDER: orders.DomesticOrder,
        ids.KIND_CONFIRMATION: notices.Notice,
        ids.KIND_PRODUCTION_NOTICE: notices.Notice,
        ids.KIND_CLOSURE: notices.Notice,
        ids.KIND_CLAIM_DECISION: followups.Claim,
        ids.KIND_PRIORITY_DECISION: notices.PriorityDecision,
        ids.KIND_PRIORITY_DISPUTE: notices.Notice,
        ids.KIND_FINAL_REPORT: notices.FinalReport,
        ids.KIND_WATCHLIST_NOTICE: assistance.SpontaneousInformation,
        ids.KIND_GRIEVANCE: notices.Notice,
        ids.KIND_GRIEVANCE_ANSWER: notices.Notice,
        ids.KIND_LIMITATION_REQUEST: followups.LimitationRequest,
        ids.KIND_LIMITATION_ANSWER: notices.Notice,
    }
)

FROZEN: Final = frozenset(
    {orders.FREEZE_STATUS_FROZEN, orders.FREEZE_STATUS_PARTIALLY_FROZEN, orders.FREEZE_STATUS_ALREADY_FROZEN}
)
WHOLLY_FROZEN: Final = frozenset({orders.FREEZE_STATUS_FROZEN, orders.FREEZE_STATUS_ALREADY_FROZEN})
STILL_FROZEN: Final = FROZEN | {
    orders.FREEZE_STATUS_EXTENDED,
    orders.FREEZE_STATUS_LIMITED,
    orders.FREEZE_STATUS_PARTIALLY_RELEASED,
    orders.FREEZE_STATUS_SUSPENDED_BY_REMEDY,
}
DONE: Final = WHOLLY_FROZEN | {
    orders.FREEZE_STATUS_EXTENDED,
    orders.FREEZE_STATUS_LIMITED,
    orders.FREEZE_STATUS_PARTIALLY_RELEASED,
    orders.FREEZE_STATUS_RELEASED,
    orders.FREEZE_STATUS_TRANSFERRED,
}
"""What was ordered was done in full: to freeze, to extend or limit, to release or transfer."""


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


def carried(draft: orders.Draft) -> tuple[pb.Header, Document]:
    """Return the request that a draft carries: its header, and its document.

    Raises:
        Refusal: MALFORMED, the header; CONTENT_MISMATCH, as `decode`.
    """
    request = envelope.parse_header(draft.envelope)
    return request, decode(request.kind, draft.body)


def check_against_header(header: pb.Header, document: Document) -> None:
    """Check that a header says what its document says.

    1. The document is the one that belongs to the header's kind.
    2. It keeps the rules of its own format, and of its kind.
    3. Measures, classes of data, outcome, ground, sums and end are the same, and it is as urgent: see `headers.check`.
    4. A decision says that dual criminality is absent exactly if it refuses, wholly or in part, on that ground.
    5. A draft carries a request of the same sender and case, to whose body the request commits, with the same measures,
       data classes and urgency as its own header; and the request's header fits its body by these rules.
    6. A countersignature bears a signature exactly if the outcome is a grant, and otherwise says why not.
    7. A report gives transactions only as TRANSACTIONAL data, one result for one wallet wherever it is named, nothing
       frozen in a quoted wallet, frozen amounts only where something is frozen, and results that fit its outcome.

    Raises:
        Refusal: CONTENT_MISMATCH, with the field and the rule.
    """
    if not isinstance(document, BODIES.get(header.kind, ())):  # (1)
        raise _mismatch(Code.HEADER_KIND, "the document is not of the header's kind", "kind")
    _check_contract(document)
    _check_rules(header, document)


def _check_rules(header: pb.Header, document: Document) -> None:
    """Rules 2 to 7, for a document of the header's kind that keeps its contract."""
    _check_format(document, header.kind)
    headers.check(header, document)  # (3)
    match document:
        case orders.Draft():
            _check_draft(header, document)
        case orders.Countersignature():
            _check_countersignature(document)
        case orders.ReviewDecision():
            _check_decision(document)
        case orders.ExecutionReport():
            _check_report(document)
        case _:
            pass


def check_answers_order(order: orders.DomesticOrder, report: orders.ExecutionReport) -> None:
    """Check that a report answers exactly this order.

    1. One result for each wallet of the order, in its order, and none for any other wallet. An order about customers or
       other identifiers names no wallet, and is answered with those that were found.
    2. No measure and no class of data that was not ordered, and no data of another time.

    Raises:
        Refusal: CONTENT_MISMATCH for 1, EXCEEDS_GRANT for 2.
    """
    for position, result in enumerate(report.results if order.wallets else ()):  # (1)
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
    check_times(order.windows, report, "the order")


def check_times(
    asked: Iterable[measures.DataWindow], told: orders.Disclosure | orders.ExecutionReport, what: str
) -> None:
    """Check that data are of no other time than was asked: what is told says itself of what time it is.

    1. No window that it names reaches beyond the one asked for that class.
    2. No record is from outside it, whichever window is named, also if none is; and a transaction tells its time.

    Raises:
        Refusal: EXCEEDS_GRANT, with the position of the first.

    Source: Regulation (EU) 2023/1543 Art. 5(5): an order states the time range of the data, where it has one.
    """
    windows = {window.data_class: window for window in asked}
    for position, window in enumerate(told.windows if isinstance(told, orders.Disclosure) else ()):  # (1)
        if not _is_within(window, windows.get(window.data_class, window)):
            raise Refusal(ErrorCode.EXCEEDS_GRANT, f"it reaches beyond the time of {what}", f"windows[{position}]")
    for field, data_class, at_us in reports.dated(told):  # (2)
        within = windows.get(ids.DataClass.ValueType(data_class))
        if within is not None and not reports.is_of_time(within, at_us):
            raise Refusal(ErrorCode.EXCEEDS_GRANT, f"it is not of the time of {what}", field)
    if ids.DATA_CLASS_TRANSACTIONAL in windows:
        for field in reports.undated(told):
            raise Refusal(ErrorCode.EXCEEDS_GRANT, f"it does not tell that it is of the time of {what}", field)


def check_ordered_times(asked: Iterable[measures.DataWindow], order: orders.DomesticOrder) -> None:
    """Check that an order for data names the time that was asked for each of its classes, or less.

    Raises:
        Refusal: EXCEEDS_GRANT.
    """
    ordered = {window.data_class: (position, window) for position, window in enumerate(order.windows)}
    for window in asked:
        if window.data_class not in order.data_classes:
            continue
        if window.data_class not in ordered:
            raise Refusal(ErrorCode.EXCEEDS_GRANT, "it leaves out the time of the request", "windows")
        position, named = ordered[window.data_class]
        if not _is_within(named, window):
            raise Refusal(ErrorCode.EXCEEDS_GRANT, "it reaches beyond the time of the request", f"windows[{position}]")


def check_within(given: Sequence[int], granted: Iterable[int], what: str, name: str) -> None:
    """Check that everything given was granted before.

    Raises:
        Refusal: EXCEEDS_GRANT, with the position of the first that was not.
    """
    allowed = frozenset(granted)
    for position, one in enumerate(given):
        if one not in allowed:
            raise Refusal(ErrorCode.EXCEEDS_GRANT, f"it goes beyond {what}", f"{name}[{position}]")


def _is_within(window: measures.DataWindow, asked: measures.DataWindow) -> bool:
    if asked.HasField("until_us") and not (window.HasField("until_us") and window.until_us <= asked.until_us):
        return False
    return asked.from_us <= window.from_us


def _bytes(document: Document) -> bytes:
    """Return the one encoding; refuse what no recipient takes, for it may come from bytes of a newer version."""
    raw = document.SerializeToString(deterministic=True)
    known = type(document)()
    known.CopyFrom(document)  # type: ignore[arg-type]  # of its own type
    known.DiscardUnknownFields()
    if known.SerializeToString(deterministic=True) != raw:
        detail = f"{type(document).__name__} has fields that our version of the contract does not know"
        raise _mismatch(Code.CONTRACT, detail, "")
    return raw


def _check_contract(document: Document) -> None:
    try:
        codec.check(document, ErrorCode.CONTENT_MISMATCH)
    except Refusal as error:
        raise _mismatch(Code.CONTRACT, error.detail, error.field) from error


def _check_format(document: Document, kind: ids.Kind.ValueType = ids.KIND_UNSPECIFIED) -> None:
    """Rule 2."""
    for problem in checks.problems(document, kind):
        raise problem


def _check_decision(decision: orders.ReviewDecision) -> None:
    """Rule 4."""
    absent = decision.dual_criminality == ids.DUAL_CRIMINALITY_ABSENT
    if absent != (decision.ground == ids.GROUND_NO_DUAL_CRIMINALITY):
        detail = "absent dual criminality is its own ground, and no other's (Art. 8(1)(e))"
        raise _mismatch(Code.DUAL_CRIMINALITY_CONTRADICTS_GROUND, detail, "dual_criminality")


def _check_draft(header: pb.Header, draft: orders.Draft) -> None:
    """Rule 5."""
    try:
        request = envelope.parse_header(draft.envelope)
    except Refusal as error:
        raise _mismatch(Code.DRAFT_DIFFERS, error.detail, "envelope.header") from error
    if request.kind not in REQUESTS:
        raise _mismatch(Code.DRAFT_KIND, "a draft carries what somebody else must sign too", "envelope.header.kind")
    for name in ("sender", "case_id", "urgency"):
        if getattr(request, name) != getattr(header, name):
            raise _mismatch(Code.DRAFT_DIFFERS, "the draft and its request differ", f"envelope.header.{name}")
    for name in ("measures", "data_classes"):
        if list(getattr(request, name)) != list(getattr(header, name)):
            raise _mismatch(Code.DRAFT_DIFFERS, "the draft and its request differ", f"envelope.header.{name}")
    headers.check_repeated(header, request, headers.SUMS)
    envelope.check_commitment(request, draft.salt, draft.body)
    manifest.check_document(draft.envelope.attachments, decode_for(request, draft.body))


def _check_countersignature(answer: orders.Countersignature) -> None:
    """Rule 6."""
    signed = answer.HasField("signature")
    if signed == bool(answer.reason):
        raise _mismatch(Code.SIGNATURE_OR_REASON, "either a signature, or the reason why there is none", "reason")


def _check_report(report: orders.ExecutionReport) -> None:
    """Rule 7."""
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
        if (result.frozen or result.HasField("frozen_at_us")) and result.status not in STILL_FROZEN:
            detail = "nothing is frozen, yet an amount or a time is given"
            raise _mismatch(Code.NOTHING_FROZEN, detail, f"{where}.frozen")
    statuses = {result.status for result in report.results}
    if report.outcome == ids.OUTCOME_GRANTED and not statuses <= DONE:
        detail = "not everything was done, so it is not executed in full"
        raise _mismatch(Code.OUTCOME_CONTRADICTS_RESULTS, detail, "outcome")
    if report.outcome == ids.OUTCOME_REFUSED and (statuses & FROZEN or report.transactions):
        raise _mismatch(Code.OUTCOME_CONTRADICTS_RESULTS, "something was executed, so it is not refused", "outcome")


def _mismatch(rule: Code, detail: str, field: str) -> Refusal:
    return refuse(rule, detail, field, ErrorCode.CONTENT_MISMATCH)
