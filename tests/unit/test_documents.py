from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents, wallets
from gateway.formats.codes import Code
from gateway.formats.documents import Document
from tests import paperwork, samples, world

URGENT = ids.URGENCY_URGENT
MISMATCH = ErrorCode.CONTENT_MISMATCH


def header(kind: ids.Kind.ValueType, **changes: Any) -> pb.Header:
    fields: dict[str, Any] = {
        "sender": world.INVESTIGATOR,
        "case_id": "EE-1",
        "measures": [paperwork.BLOCK],
        "data_classes": [paperwork.TRANSACTIONAL],
        "urgency": ids.URGENCY_ORDINARY,
    }
    return pb.Header(kind=kind, **fields | changes)


def draft(body: certificates.FreezeRequest | None = None, **changes: Any) -> orders.Draft:
    document = body or paperwork.request()
    raw = documents.encode(document)
    fields: dict[str, Any] = {"measures": document.measures, "data_classes": document.data_classes}
    sent = world.freeze_request(body=raw, countersigned_by=(), **fields | changes)
    return orders.Draft(envelope=sent.envelope, salt=sent.salt, body=raw)


def refusal(head: pb.Header, document: Document) -> tuple[ErrorCode, str, str] | None:
    try:
        documents.check_against_header(head, document)
    except Refusal as error:
        return error.code, error.field, error.rule
    return None


SIGNED = orders.Countersignature(
    signature=pb.Signature(signer="ee/central-authority", key_id=bytes(16), signature=bytes(64))
)
RETURNED = orders.Countersignature(reason="the facts are missing")

FITTING: list[tuple[pb.Header, Document]] = [
    (header(ids.KIND_DRAFT), draft()),
    (header(ids.KIND_COUNTERSIGNATURE, outcome=ids.OUTCOME_GRANTED), SIGNED),
    (header(ids.KIND_COUNTERSIGNATURE, outcome=ids.OUTCOME_REFUSED), RETURNED),
    (header(ids.KIND_FREEZE_REQUEST), paperwork.request()),
    (header(ids.KIND_FREEZE_REQUEST, urgency=URGENT), paperwork.request(urgency=paperwork.URGENT)),
    (header(ids.KIND_REVIEW_REFERRAL), orders.ReviewReferral(freeze=paperwork.request())),
    (header(ids.KIND_REVIEW_REFERRAL, data_classes=[]), orders.ReviewReferral(freeze=paperwork.request())),
    (header(ids.KIND_REVIEW_DECISION, outcome=ids.OUTCOME_GRANTED), paperwork.decision()),
    (
        header(
            ids.KIND_REVIEW_DECISION,
            outcome=ids.OUTCOME_REFUSED,
            ground=ids.GROUND_NO_DUAL_CRIMINALITY,
            measures=[],
            data_classes=[],
        ),
        paperwork.decision(
            outcome=ids.OUTCOME_REFUSED,
            ground=ids.GROUND_NO_DUAL_CRIMINALITY,
            dual_criminality=orders.DUAL_CRIMINALITY_ABSENT,
            measures=[],
            data_classes=[],
        ),
    ),
    (header(ids.KIND_DOMESTIC_ORDER), paperwork.order()),
    (header(ids.KIND_EXECUTION_REPORT, outcome=ids.OUTCOME_GRANTED), paperwork.report()),
]


@pytest.mark.parametrize(
    ("head", "document"), FITTING, ids=[f"{i} {type(document).__name__}" for i, (_, document) in enumerate(FITTING)]
)
def test_document_that_fits_its_header_passes_and_comes_back_from_its_bytes(
    head: pb.Header, document: Document
) -> None:
    assert refusal(head, document) is None
    assert documents.decode(head.kind, documents.encode(document)) == document


def test_every_kind_has_its_document() -> None:
    assert set(ids.Kind.values()) - {0} == set(documents.BODIES)


@pytest.mark.parametrize("kind", sorted({*documents.BODIES} - {head.kind for head, _ in FITTING}), ids=ids.Kind.Name)
def test_complete_document_of_every_other_kind_fits_a_header_that_says_the_same(kind: ids.Kind.ValueType) -> None:
    document = cast("Document", samples.complete(kind))
    says = {name: list(getattr(document, name, ())) for name in ("measures", "data_classes")}
    assert refusal(header(kind, **says), document) is None
    assert documents.decode(kind, documents.encode(document)) == document
    other = header(kind, **says | {"data_classes": [ids.DATA_CLASS_UNSPECIFIED]})
    assert refusal(other, document) == (MISMATCH, "data_classes", Code.HEADER_DATA_CLASSES)


BAD_REPORTS: dict[str, tuple[dict[str, Any], str, Code]] = {
    "transactions without their class": ({"data_classes": []}, "transactions", Code.DATA_OF_OTHER_CLASS),
    "two different results for one wallet": (
        {
            "outcome": ids.OUTCOME_PARTLY_GRANTED,
            "results": [paperwork.result(), paperwork.result(orders.FREEZE_STATUS_NOT_FOUND)],
        },
        "results[1].wallet",
        Code.RESULTS_CONTRADICT,
    ),
    "a quoted wallet frozen": (
        {
            "results": [
                orders.FreezeResult(
                    wallet=evidence.WalletIdentifier(
                        chain_name="bitcoin-gold",
                        address="x",
                        custody=evidence.CUSTODY_UNKNOWN,
                        quoted_because="CHAIN_NOT_SUPPORTED",
                    ),
                    status=orders.FREEZE_STATUS_FROZEN,
                )
            ]
        },
        "results[0].status",
        Code.QUOTED_NOT_EXECUTABLE,
    ),
    "an amount where nothing is frozen": (
        {
            "outcome": ids.OUTCOME_PARTLY_GRANTED,
            "results": [paperwork.result(orders.FREEZE_STATUS_NOT_FOUND, frozen=[paperwork.bitcoin("1")])],
        },
        "results[0].frozen",
        Code.NOTHING_FROZEN,
    ),
    "executed in full, yet a wallet was empty": (
        {"results": [paperwork.result(orders.FREEZE_STATUS_ALREADY_MOVED)]},
        "outcome",
        Code.OUTCOME_CONTRADICTS_RESULTS,
    ),
    "refused, yet something is frozen": (
        {"outcome": ids.OUTCOME_REFUSED, "transactions": []},
        "outcome",
        Code.OUTCOME_CONTRADICTS_RESULTS,
    ),
    "refused, yet records are supplied": (
        {"outcome": ids.OUTCOME_REFUSED, "results": [paperwork.result(orders.FREEZE_STATUS_NOT_FOUND)]},
        "outcome",
        Code.OUTCOME_CONTRADICTS_RESULTS,
    ),
}


@pytest.mark.parametrize(("changes", "field", "rule"), BAD_REPORTS.values(), ids=BAD_REPORTS)
def test_report_that_contradicts_itself_is_refused(changes: dict[str, Any], field: str, rule: Code) -> None:
    report = paperwork.report(**changes)
    head = header(ids.KIND_EXECUTION_REPORT, outcome=report.outcome, data_classes=report.data_classes)
    assert refusal(head, report) == (MISMATCH, field, rule)


LIES: dict[str, tuple[pb.Header, Document, str, Code]] = {
    "another kind": (header(ids.KIND_DOMESTIC_ORDER), paperwork.request(), "kind", Code.HEADER_KIND),
    "no kind": (header(ids.KIND_UNSPECIFIED), paperwork.request(), "kind", Code.HEADER_KIND),
    "a document that breaks its own format": (
        header(ids.KIND_FREEZE_REQUEST),
        paperwork.request(wallets=[]),
        "wallets",
        Code.CONTRACT,
    ),
    "a request for more than its header says": (
        header(ids.KIND_FREEZE_REQUEST),
        paperwork.request(measures=[paperwork.BLOCK, ids.MEASURE_HOLD_INCOMING]),
        "measures",
        Code.HEADER_MEASURES,
    ),
    "a request for less than its header says": (
        header(ids.KIND_FREEZE_REQUEST),
        paperwork.request(data_classes=[]),
        "data_classes",
        Code.HEADER_DATA_CLASSES,
    ),
    "urgent without grounds": (
        header(ids.KIND_FREEZE_REQUEST, urgency=URGENT),
        paperwork.request(),
        "urgency.grounds",
        Code.HEADER_URGENCY,
    ),
    "a request with an outcome": (
        header(ids.KIND_FREEZE_REQUEST, outcome=ids.OUTCOME_GRANTED),
        paperwork.request(),
        "outcome",
        Code.HEADER_OUTCOME,
    ),
    "a referral of more than was asked": (
        header(ids.KIND_REVIEW_REFERRAL, data_classes=[ids.DATA_CLASS_CONTENT]),
        orders.ReviewReferral(freeze=paperwork.request()),
        "data_classes",
        Code.HEADER_DATA_CLASSES,
    ),
    "a referral of measures that were not asked": (
        header(ids.KIND_REVIEW_REFERRAL, measures=[ids.MEASURE_HOLD_INCOMING]),
        orders.ReviewReferral(freeze=paperwork.request()),
        "measures",
        Code.HEADER_MEASURES,
    ),
    "a header that grants what the court refused": (
        header(ids.KIND_REVIEW_DECISION, outcome=ids.OUTCOME_GRANTED, measures=[], data_classes=[]),
        paperwork.decision(outcome=ids.OUTCOME_REFUSED, ground=ids.GROUND_NE_BIS_IN_IDEM, measures=[], data_classes=[]),
        "outcome",
        Code.HEADER_OUTCOME,
    ),
    "another ground": (
        header(
            ids.KIND_REVIEW_DECISION,
            outcome=ids.OUTCOME_REFUSED,
            ground=ids.GROUND_IMPOSSIBLE,
            measures=[],
            data_classes=[],
        ),
        paperwork.decision(outcome=ids.OUTCOME_REFUSED, ground=ids.GROUND_NE_BIS_IN_IDEM, measures=[], data_classes=[]),
        "ground",
        Code.HEADER_GROUND,
    ),
    "a grant of what is no offence here": (
        header(ids.KIND_REVIEW_DECISION, outcome=ids.OUTCOME_GRANTED),
        paperwork.decision(dual_criminality=orders.DUAL_CRIMINALITY_ABSENT),
        "dual_criminality",
        Code.DUAL_CRIMINALITY_CONTRADICTS_GROUND,
    ),
    "an order beyond its header": (
        header(ids.KIND_DOMESTIC_ORDER, data_classes=[]),
        paperwork.order(),
        "data_classes",
        Code.HEADER_DATA_CLASSES,
    ),
    "a report with another outcome": (
        header(ids.KIND_EXECUTION_REPORT, outcome=ids.OUTCOME_PARTLY_GRANTED),
        paperwork.report(),
        "outcome",
        Code.HEADER_OUTCOME,
    ),
    "a grant without a signature": (
        header(ids.KIND_COUNTERSIGNATURE, outcome=ids.OUTCOME_GRANTED),
        RETURNED,
        "outcome",
        Code.HEADER_OUTCOME,
    ),
    "a return with a signature": (
        header(ids.KIND_COUNTERSIGNATURE, outcome=ids.OUTCOME_REFUSED),
        SIGNED,
        "outcome",
        Code.HEADER_OUTCOME,
    ),
    "a return without a reason": (
        header(ids.KIND_COUNTERSIGNATURE, outcome=ids.OUTCOME_REFUSED),
        orders.Countersignature(),
        "reason",
        Code.SIGNATURE_OR_REASON,
    ),
    "a draft in another's name": (
        header(ids.KIND_DRAFT, sender="ee/investigator-2"),
        draft(),
        "envelope.header.sender",
        Code.DRAFT_DIFFERS,
    ),
    "a draft of another case": (
        header(ids.KIND_DRAFT, case_id="EE-2"),
        draft(),
        "envelope.header.case_id",
        Code.DRAFT_DIFFERS,
    ),
    "a draft less urgent than its request": (
        header(ids.KIND_DRAFT),
        draft(paperwork.request(urgency=paperwork.URGENT), urgency=URGENT),
        "envelope.header.urgency",
        Code.DRAFT_DIFFERS,
    ),
    "a draft whose request asks for more": (
        header(ids.KIND_DRAFT),
        draft(paperwork.request(measures=[paperwork.BLOCK, ids.MEASURE_HOLD_INCOMING])),
        "envelope.header.measures",
        Code.DRAFT_DIFFERS,
    ),
    "a draft whose request's header asks for more than its body": (
        header(ids.KIND_DRAFT, data_classes=[ids.DATA_CLASS_CONTENT]),
        draft(data_classes=[ids.DATA_CLASS_CONTENT]),
        "data_classes",
        Code.HEADER_DATA_CLASSES,
    ),
}


@pytest.mark.parametrize(("head", "document", "field", "rule"), LIES.values(), ids=LIES)
def test_header_that_does_not_say_what_its_document_says_is_refused(
    head: pb.Header, document: Document, field: str, rule: Code
) -> None:
    assert refusal(head, document) == (MISMATCH, field, rule)


def test_draft_that_shows_one_text_and_carries_the_seal_of_another_is_refused() -> None:
    shown, carried = draft(), draft(paperwork.request(grounds="something else"))
    shown.envelope.CopyFrom(carried.envelope)
    assert refusal(header(ids.KIND_DRAFT), shown) == (MISMATCH, "commitment", "")


def test_draft_of_something_that_is_no_request_is_refused() -> None:
    other = world.send(ids.KIND_DOMESTIC_ORDER, world.INVESTIGATOR, world.FOREIGN_CENTRAL, body=b"x")
    carried = orders.Draft(envelope=other.envelope, salt=other.salt, body=b"x")
    assert refusal(header(ids.KIND_DRAFT), carried) == (MISMATCH, "envelope.header.kind", Code.DRAFT_KIND)


def test_draft_whose_request_has_no_readable_header_is_refused() -> None:
    broken = draft()
    broken.envelope.header = b"\xff"
    assert refusal(header(ids.KIND_DRAFT), broken) == (MISMATCH, "envelope.header", Code.DRAFT_DIFFERS)


def test_body_with_a_field_that_no_reader_sees_is_refused() -> None:
    body = documents.encode(paperwork.request()) + b"\xfa\x3f\x01x"
    with pytest.raises(Refusal) as caught:
        documents.decode(ids.KIND_FREEZE_REQUEST, body)
    assert caught.value.code is MISMATCH


def test_document_that_breaks_its_format_is_not_encoded() -> None:
    with pytest.raises(Refusal) as caught:
        documents.encode(paperwork.order(remedies=""))
    assert (caught.value.code, caught.value.field) == (MISMATCH, "remedies")


@given(st.sampled_from(sorted(documents.BODIES)) | st.integers(25, 99), st.binary(max_size=200))
def test_any_bytes_give_a_document_or_a_refusal_and_nothing_else(kind: Any, body: bytes) -> None:
    code = None
    try:
        assert isinstance(documents.decode(kind, body), documents.BODIES[kind])
    except Refusal as error:
        code = error.code
    assert code in (None, MISMATCH)


OTHER = paperwork.wallet("12HQDsicffSBaYdJ6BhnE22sfjTESmmzKx")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        pytest.param({"results": [paperwork.result(of=OTHER)]}, MISMATCH, "results[0].wallet", id="another wallet"),
        pytest.param(
            {"results": [paperwork.result(), paperwork.result(of=OTHER)]}, MISMATCH, "results[1].wallet", id="one more"
        ),
        pytest.param({"results": []}, MISMATCH, "results", id="one is missing"),
        pytest.param(
            {"measures": [ids.MEASURE_HOLD_INCOMING]}, ErrorCode.EXCEEDS_GRANT, "measures[0]", id="another measure"
        ),
        pytest.param(
            {"data_classes": [paperwork.TRANSACTIONAL, ids.DATA_CLASS_CONTENT]},
            ErrorCode.EXCEEDS_GRANT,
            "data_classes[1]",
            id="more data",
        ),
    ],
)
def test_report_that_answers_another_order_is_refused(changes: dict[str, Any], code: ErrorCode, field: str) -> None:
    documents.check_answers_order(paperwork.order(), paperwork.report())
    with pytest.raises(Refusal) as caught:
        documents.check_answers_order(paperwork.order(), paperwork.report(**changes))
    assert (caught.value.code, caught.value.field) == (code, field)
    assert (caught.value.rule == Code.RESULTS_NOT_AS_ORDERED) == (code is MISMATCH)


def test_same_address_with_another_tag_is_another_wallet() -> None:
    one, other = (wallets.make("xrp", "rGWrZyQqhTp9Xu7G5Pkayo7bXjH4k4QYpf", tag=tag) for tag in ("7", "8"))
    missing = orders.FREEZE_STATUS_NOT_FOUND
    report = paperwork.report(
        outcome=ids.OUTCOME_PARTLY_GRANTED, results=[paperwork.result(of=one), paperwork.result(missing, of=other)]
    )
    assert refusal(header(ids.KIND_EXECUTION_REPORT, outcome=ids.OUTCOME_PARTLY_GRANTED), report) is None
