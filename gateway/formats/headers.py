"""What a header says of its document, field by field.

In: a document and the kind of its envelope. Out: a header with just those fields that follow from the document; or,
given a header, a refusal with CONTENT_MISMATCH where it says something else. Nodes enforce the law's order on headers
alone, so whatever they decide by must stand there as the document has it.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from google.protobuf.message import Message
from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders

from gateway.errors import ErrorCode, Refusal
from gateway.formats.codes import Code, refuse

Kind: TypeAlias = ids.Kind.ValueType
Outcome: TypeAlias = ids.Outcome.ValueType

FIELDS: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "measures": Code.HEADER_MEASURES,
        "data_classes": Code.HEADER_DATA_CLASSES,
        "outcome": Code.HEADER_OUTCOME,
        "ground": Code.HEADER_GROUND,
        "dual_criminality": Code.HEADER_DUAL_CRIMINALITY,
        "amount": Code.HEADER_AMOUNT,
        "order_total": Code.HEADER_AMOUNT,
        "in_force_until_us": Code.HEADER_END,
    }
)
"""Fields of a header that follow from the document, and the rule that each breaks where it does not."""

SUMS: Final = ("amount", "order_total", "in_force_until_us")
"""What a header on the way of a request may repeat, or leave to the request's own."""

_OPEN: Final[Mapping[Kind, frozenset[str]]] = MappingProxyType(
    {
        ids.KIND_DRAFT: frozenset({"measures", "data_classes", *SUMS}),  # as the request within
        ids.KIND_COUNTERSIGNATURE: frozenset({"measures", "data_classes", "ground"}),
        ids.KIND_REVIEW_REFERRAL: frozenset({"measures", "data_classes", *SUMS}),  # as asked, or less
        ids.KIND_EXECUTION_REPORT: frozenset({"ground", "amount"}),  # `grounds` says which fit
        ids.KIND_TRANSFER_ORDER: frozenset({"measures"}),
    }
)
"""What a document leaves to its header."""

_CLAIMS: Final[Mapping[followups.ClaimOutcome.ValueType, Outcome]] = MappingProxyType(
    {
        followups.CLAIM_OUTCOME_ALLOWED: ids.OUTCOME_GRANTED,
        followups.CLAIM_OUTCOME_PARTLY_ALLOWED: ids.OUTCOME_PARTLY_GRANTED,
        followups.CLAIM_OUTCOME_DISMISSED: ids.OUTCOME_REFUSED,
        # Nothing comes of it, as of one that is dismissed: what it suspended goes on.
        followups.CLAIM_OUTCOME_WITHDRAWN: ids.OUTCOME_REFUSED,
    }
)
_MOVING: Final = ({ids.MEASURE_TRANSFER}, {ids.MEASURE_CONFISCATE})
_NO_EMERGENCY: Final = (
    certificates.FreezeRequest,
    certificates.ConfiscationRequest,
    assistance.ProvisionalFreeze,
    followups.RestitutionDecision,
)
"""That assets may be gone is urgent, and no emergency: that is a threat to people (2023/1543 Art. 3(18))."""


def of(kind: Kind, document: Message) -> pb.Header:
    """Return the header of a document as far as it follows from it; see `FIELDS`.

    What a document leaves open is not filled: the measures of a transfer, the ground of a report, how urgent it is.
    """
    outcome, ground = _result(kind, document)
    amount, total = _sums(document)
    said = pb.Header(
        kind=kind,
        # A document that cannot name any has a header without.
        measures=getattr(document, "measures", ()),
        data_classes=getattr(document, "data_classes", ()),
        outcome=outcome,
        ground=ground,
        amount=amount,
        order_total=total,
        in_force_until_us=_end(document),
    )
    if isinstance(document, assistance.TakedownNotice):
        said.measures.append(ids.MEASURE_TAKE_DOWN)
    if isinstance(document, followups.RestitutionDecision):
        said.measures.append(ids.MEASURE_TRANSFER)
    if isinstance(document, orders.ReviewDecision):
        said.dual_criminality = document.dual_criminality
    return said


def _result(kind: Kind, document: Message) -> tuple[Outcome, ids.Ground.ValueType]:
    outcome, ground = ids.OUTCOME_UNSPECIFIED, ids.GROUND_UNSPECIFIED
    match document:
        case orders.ReviewDecision() | notices.Notice() | notices.PriorityDecision():
            outcome, ground = document.outcome, document.ground
        case orders.ExecutionReport():
            outcome = document.outcome
        case orders.Countersignature():
            outcome = ids.OUTCOME_GRANTED if document.HasField("signature") else ids.OUTCOME_REFUSED
        case followups.Claim() if kind == ids.KIND_CLAIM_DECISION:
            outcome = _CLAIMS.get(document.outcome, ids.OUTCOME_UNSPECIFIED)
        case followups.Claim() if document.suspensive:
            outcome, ground = ids.OUTCOME_POSTPONED, ids.GROUND_REMEDY_INVOKED
        case followups.Withdrawal() if document.wallets:
            outcome = ids.OUTCOME_PARTLY_GRANTED
        case followups.Release():
            partly = document.wallets or document.amounts
            outcome = ids.OUTCOME_PARTLY_GRANTED if partly else ids.OUTCOME_GRANTED
        case _:
            pass
    return outcome, ground


def _sums(document: Message) -> tuple[evidence.Money | None, evidence.Money | None]:
    """Return what is asked or was recovered, and the total of the order (2018/1805 Art. 16(2))."""
    match document:
        case certificates.ConfiscationRequest():
            asked = document.property
            return (
                asked.amount if asked.HasField("amount") else None,
                asked.total if asked.HasField("total") else None,
            )
        case followups.SharingStatement():
            return document.gross, None
        case notices.FinalReport():
            return document.recovered, None
        case _:
            return None, None


def _end(document: Message) -> int | None:
    """Return until when stands what is asked or ordered."""
    match document:
        case certificates.FreezeRequest() | orders.DomesticOrder() if document.HasField("expires_at_us"):
            return document.expires_at_us
        case followups.Extension():
            return document.extended_to_us
        case followups.LimitationRequest() | followups.Limitation() if document.HasField("limited_to_us"):
            return document.limited_to_us
        case _:
            return None


def check(header: pb.Header, document: Message) -> None:
    """Check that a header says what its document says.

    1. Every field of `FIELDS` is as `of` makes it, but for those that the document leaves open.
    2. A transfer moves or confiscates, one of the two. A report's sum is the value that it estimates, or is not told.
    3. A referral names no more than its request.
    4. It is an emergency exactly if a request for data names a threat, or a notice terrorist content; a freezing
       certificate is urgent exactly if section B has a ground; another urgent request says why.
    5. A takedown notice comes from an authority of its sender's country: to an exchange, it tells of no other.

    Raises:
        Refusal: CONTENT_MISMATCH, with the field and the rule.
    """
    said = of(header.kind, document)
    left_open = _OPEN.get(header.kind, frozenset[str]())
    for name in FIELDS:  # (1)
        if name not in left_open:
            _check_field(header, said, name)
    match document:
        case followups.TransferOrder() if set(header.measures) not in _MOVING:  # (2)
            raise _differs("measures", "a transfer moves or confiscates, one of the two")
        case orders.ExecutionReport():
            check_repeated(header, pb.Header(amount=document.estimated_value), ("amount",))
        case orders.ReviewReferral():  # (3)
            request = request_of(document)
            asked = of(ids.KIND_UNSPECIFIED, request)
            for name in ("measures", "data_classes"):
                if not set(getattr(header, name)) <= set(getattr(asked, name)):
                    raise _differs(name, "the header names what the request does not ask")
            check_repeated(header, asked, SUMS)
            _check_urgency(header, request)
        case assistance.TakedownNotice():
            _check_own(header, document.authority.country)
            _check_urgency(header, document)
        case _:
            _check_urgency(header, document)


def check_repeated(header: pb.Header, said: pb.Header, names: Sequence[str]) -> None:
    """Check that a header repeats each of these as it is said elsewhere, or does not repeat it.

    Raises:
        Refusal: CONTENT_MISMATCH.
    """
    for name in names:
        if header.HasField(name):  # type: ignore[arg-type]  # one of three
            _check_field(header, said, name)


def request_of(referral: orders.ReviewReferral) -> Message:
    """Return the request that a referral puts before a court."""
    name = referral.WhichOneof("request")
    if name is None:
        raise ValueError("a referral without a request is refused when it is parsed")
    found: Message = getattr(referral, name)
    return found


def _check_field(header: pb.Header, said: pb.Header, name: str) -> None:
    field = pb.Header.DESCRIPTOR.fields_by_name[name]
    same = getattr(header, name) == getattr(said, name)
    if not same or (field.has_presence and header.HasField(name) != said.HasField(name)):  # type: ignore[arg-type]
        raise _differs(name, "the header does not say it as the document does")


def _check_urgency(header: pb.Header, document: Message) -> None:
    """Rule 4: 2018/1805 Art. 9(3) and Annex I section B; 2023/1543 Art. 3(18)."""
    urgent = header.urgency == ids.URGENCY_URGENT
    emergency = header.urgency == ids.URGENCY_EMERGENCY
    match document:
        case assistance.EvidenceRequest() | assistance.PreservationRequest():
            if emergency != bool(document.emergency):
                detail = "header and request differ on whether there is an emergency"
                raise refuse(Code.HEADER_URGENCY, detail, "emergency", ErrorCode.CONTENT_MISMATCH)
        case assistance.TakedownNotice():
            if emergency != (document.subject == assistance.TAKEDOWN_SUBJECT_TERRORIST_CONTENT):
                detail = "of what is taken down, terrorist content has its one hour, and nothing else"
                raise refuse(Code.HEADER_URGENCY, detail, "subject", ErrorCode.CONTENT_MISMATCH)
        case _ if emergency and isinstance(document, _NO_EMERGENCY):
            detail = "an emergency is a threat to people (2023/1543 Art. 3(18))"
            raise refuse(Code.HEADER_URGENCY, detail, "urgency", ErrorCode.CONTENT_MISMATCH)
    if isinstance(document, certificates.FreezeRequest) and urgent != bool(document.urgency.grounds):
        detail = "header and section B differ on whether it is urgent"
        raise refuse(Code.HEADER_URGENCY, detail, "urgency.grounds", ErrorCode.CONTENT_MISMATCH)
    if isinstance(document, assistance.EvidenceRequest) and urgent and not document.urgency_grounds:
        detail = "it is urgent, and does not say why"
        raise refuse(Code.HEADER_URGENCY, detail, "urgency_grounds", ErrorCode.CONTENT_MISMATCH)


def _check_own(header: pb.Header, country: str) -> None:
    """Rule 5."""
    if country != header.sender.partition("/")[0].upper():
        detail = "the authority is of another country than the sender (house rule)"
        raise refuse(Code.TAKEDOWN_OF_OTHER_STATE, detail, "authority.country", ErrorCode.CONTENT_MISMATCH)


def _differs(name: str, detail: str) -> Refusal:
    return refuse(FIELDS[name], detail, name, ErrorCode.CONTENT_MISMATCH)
