from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import orders_pb2 as orders

from gateway import envelope
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents, headers, wallets
from gateway.formats.checks import reports
from gateway.formats.codes import Code
from gateway.formats.documents import Document
from tests import broken, paperwork, samples, world
from tests.errors import raises
from tests.samples import parts

URGENT, EMERGENCY = ids.URGENCY_URGENT, ids.URGENCY_EMERGENCY
LISTED = ids.DUAL_CRIMINALITY_LISTED_OFFENCE
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
    (header(ids.KIND_REVIEW_DECISION, outcome=ids.OUTCOME_GRANTED, dual_criminality=LISTED), paperwork.decision()),
    (
        header(
            ids.KIND_REVIEW_DECISION,
            outcome=ids.OUTCOME_REFUSED,
            ground=ids.GROUND_NO_DUAL_CRIMINALITY,
            dual_criminality=ids.DUAL_CRIMINALITY_ABSENT,
            measures=[],
            data_classes=[],
        ),
        paperwork.decision(
            outcome=ids.OUTCOME_REFUSED,
            ground=ids.GROUND_NO_DUAL_CRIMINALITY,
            dual_criminality=ids.DUAL_CRIMINALITY_ABSENT,
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


def in_short(kind: ids.Kind.ValueType) -> str:
    return ids.Kind.Name(kind).removeprefix("KIND_")


GRANTED, PARTLY, REFUSED = ids.OUTCOME_GRANTED, ids.OUTCOME_PARTLY_GRANTED, ids.OUTCOME_REFUSED

SAID: dict[ids.Kind.ValueType, dict[str, Any]] = {
    ids.KIND_COUNTERSIGNATURE: {"outcome": GRANTED},
    ids.KIND_FREEZE_REQUEST: {"urgency": URGENT, "in_force_until_us": parts.at(3, 1, year=2028)},
    ids.KIND_REVIEW_REFERRAL: {"urgency": URGENT},
    ids.KIND_REVIEW_DECISION: {
        "outcome": PARTLY,
        "ground": ids.GROUND_PRIVILEGE_OR_IMMUNITY,
        "dual_criminality": ids.DUAL_CRIMINALITY_LISTED_OFFENCE,
    },
    ids.KIND_DOMESTIC_ORDER: {"in_force_until_us": parts.at(3, 3, 17, year=2027)},
    ids.KIND_PROVISIONAL_ORDER: {"in_force_until_us": parts.at(3, 6, 17)},
    ids.KIND_EXECUTION_REPORT: {"outcome": PARTLY},
    ids.KIND_CONFISCATION_REQUEST: {"amount": parts.euros("1015431.25"), "order_total": parts.euros("2534516.40")},
    ids.KIND_EVIDENCE_REQUEST: {"urgency": EMERGENCY},
    ids.KIND_PRESERVATION_REQUEST: {"urgency": EMERGENCY},
    ids.KIND_EXTENSION: {"in_force_until_us": parts.at(3, 3, 17, year=2028)},
    ids.KIND_LIMITATION: {"in_force_until_us": parts.at(9, 3, 17)},
    ids.KIND_RELEASE: {"outcome": PARTLY},
    ids.KIND_CLAIM: {"outcome": ids.OUTCOME_POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED},
    ids.KIND_CLAIM_DECISION: {"outcome": PARTLY},
    ids.KIND_TRANSFER_ORDER: {"measures": [ids.MEASURE_TRANSFER]},
    ids.KIND_SHARING_STATEMENT: {"amount": parts.euros("893579.50")},
    ids.KIND_FINAL_REPORT: {"amount": parts.euros("893579.50")},
    ids.KIND_RESTITUTION_DECISION: {"measures": [ids.MEASURE_TRANSFER]},
    ids.KIND_TAKEDOWN_NOTICE: {"measures": [ids.MEASURE_TAKE_DOWN]},
    ids.KIND_WITHDRAWAL: {"outcome": PARTLY},
    ids.KIND_CLARIFICATION_REQUEST: {"ground": ids.GROUND_PRIVILEGE_OR_IMMUNITY},
    ids.KIND_OBJECTION_DECISION: {"outcome": PARTLY},
    ids.KIND_CONFIRMATION: {"outcome": GRANTED},
    ids.KIND_PRIORITY_DECISION: {"outcome": REFUSED, "ground": ids.GROUND_ALREADY_FROZEN},
    ids.KIND_LIMITATION_ANSWER: {"outcome": GRANTED},
    ids.KIND_LIMITATION_REQUEST: {"in_force_until_us": parts.at(9, 3, 17)},
}
"""What the header of each sample says beside its measures and classes of data."""

KINDS = sorted({*documents.BODIES} - {ids.KIND_DRAFT})
LEFT_OPEN = {
    ids.KIND_COUNTERSIGNATURE: {"measures", "data_classes", "ground"},
    ids.KIND_REVIEW_REFERRAL: {"measures", "data_classes", *headers.SUMS},
    ids.KIND_EXECUTION_REPORT: {"ground", "amount"},
    ids.KIND_TRANSFER_ORDER: {"measures"},
}
OTHERWISE: dict[str, Any] = {
    "measures": [ids.MEASURE_TAKE_DOWN, ids.MEASURE_CONFISCATE],
    "data_classes": [ids.DATA_CLASS_BALANCE, ids.DATA_CLASS_CONTENT],
    "outcome": 99,
    "ground": ids.GROUND_MILITARY_OFFENCE,
    "dual_criminality": ids.DUAL_CRIMINALITY_WAIVED,
    "amount": parts.euros("1"),
    "order_total": parts.euros("1"),
    "in_force_until_us": 1,
}
"""For each field that follows from the document, what no sample says."""


def headed(kind: ids.Kind.ValueType, **changes: Any) -> tuple[pb.Header, Document]:
    document = cast("Document", samples.complete(kind))
    says = {name: list(getattr(document, name, ())) for name in ("measures", "data_classes")}
    return header(kind, **says | SAID.get(kind, {}) | changes), document


@pytest.mark.parametrize("kind", KINDS, ids=in_short)
def test_complete_document_of_every_kind_fits_a_header_that_says_the_same(kind: ids.Kind.ValueType) -> None:
    head, document = headed(kind)
    assert refusal(head, document) is None
    assert documents.decode(kind, documents.encode(document)) == document


@pytest.mark.parametrize("kind", KINDS, ids=in_short)
def test_header_made_of_a_document_says_all_that_follows_from_it_and_nothing_else(kind: ids.Kind.ValueType) -> None:
    head, document = headed(kind)
    wanted = pb.Header(kind=kind)
    for field, value in head.ListFields():
        if field.name in set(headers.FIELDS) - LEFT_OPEN.get(kind, set()):
            broken.change(wanted, field.name, [*value] if field.is_repeated else value)
    assert headers.of(kind, document) == wanted


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in KINDS for name in headers.FIELDS if name not in LEFT_OPEN.get(kind, set())],
    ids=lambda value: value if isinstance(value, str) else in_short(value),
)
def test_header_that_says_one_thing_otherwise_than_its_document_is_refused(kind: ids.Kind.ValueType, name: str) -> None:
    head, document = headed(kind, **{name: OTHERWISE[name]})
    assert refusal(head, document) == (MISMATCH, name, headers.FIELDS[name])


@pytest.mark.parametrize("kind", [kind for kind, said in SAID.items() if {*said} & {*headers.FIELDS}], ids=in_short)
def test_header_that_leaves_out_what_follows_from_its_document_is_refused(kind: ids.Kind.ValueType) -> None:
    for name in SAID[kind]:
        if name in headers.FIELDS and name not in LEFT_OPEN.get(kind, set()):
            head, document = headed(kind)
            head.ClearField(name)  # type: ignore[arg-type]
            assert refusal(head, document) == (MISMATCH, name, headers.FIELDS[name])


NO_MEASURE: list[ids.Measure.ValueType] = []


@pytest.mark.parametrize(
    ("kind", "named", "fits"),
    [
        (ids.KIND_TRANSFER_ORDER, [ids.MEASURE_TRANSFER], True),
        (ids.KIND_TRANSFER_ORDER, [ids.MEASURE_CONFISCATE], True),
        (ids.KIND_TRANSFER_ORDER, [ids.MEASURE_TRANSFER, ids.MEASURE_CONFISCATE], False),
        (ids.KIND_TRANSFER_ORDER, [ids.MEASURE_BLOCK_WITHDRAWAL], False),
        (ids.KIND_TRANSFER_ORDER, NO_MEASURE, False),
        (ids.KIND_RESTITUTION_DECISION, [ids.MEASURE_TRANSFER], True),
        (ids.KIND_RESTITUTION_DECISION, NO_MEASURE, False),
        (ids.KIND_TAKEDOWN_NOTICE, [ids.MEASURE_TAKE_DOWN], True),
        (ids.KIND_TAKEDOWN_NOTICE, NO_MEASURE, False),
    ],
)
def test_measures_that_no_document_names_are_those_of_its_kind(
    kind: ids.Kind.ValueType, named: list[ids.Measure.ValueType], *, fits: bool
) -> None:
    found = refusal(*headed(kind, measures=named))
    assert found == (None if fits else (MISMATCH, "measures", Code.HEADER_MEASURES))


CLAIMED = {
    followups.CLAIM_OUTCOME_ALLOWED: GRANTED,
    followups.CLAIM_OUTCOME_PARTLY_ALLOWED: PARTLY,
    followups.CLAIM_OUTCOME_DISMISSED: REFUSED,
    followups.CLAIM_OUTCOME_WITHDRAWN: REFUSED,
}


@pytest.mark.parametrize(("became", "outcome"), CLAIMED.items(), ids=followups.ClaimOutcome.Name)
def test_what_became_of_a_claim_is_the_outcome_without_a_ground(
    became: followups.ClaimOutcome.ValueType, outcome: ids.Outcome.ValueType
) -> None:
    head, document = headed(ids.KIND_CLAIM_DECISION, outcome=outcome)
    broken.change(document, "outcome", became)
    assert refusal(head, document) is None


def test_claim_that_suspends_nothing_has_no_outcome() -> None:
    head, document = headed(ids.KIND_CLAIM, outcome=0, ground=0)
    broken.change(document, "suspensive", value=False)
    assert refusal(head, document) is None
    head.outcome, head.ground = ids.OUTCOME_POSTPONED, ids.GROUND_REMEDY_INVOKED
    assert refusal(head, document) == (MISMATCH, "outcome", Code.HEADER_OUTCOME)


@pytest.mark.parametrize("named", ["wallets", "amounts"])
def test_release_of_all_is_a_grant_and_of_a_part_is_one_in_part(named: str) -> None:
    head, document = headed(ids.KIND_RELEASE)
    broken.change(document, "amounts" if named == "wallets" else "wallets", None)
    assert refusal(head, document) is None
    broken.change(document, named, None)
    assert refusal(head, document) == (MISMATCH, "outcome", Code.HEADER_OUTCOME)
    head.outcome = GRANTED
    assert refusal(head, document) is None


def test_confiscation_of_an_item_has_no_sum_in_its_header() -> None:
    head, document = headed(ids.KIND_CONFISCATION_REQUEST)
    broken.change(document, "property", paperwork.request().property)
    broken.change(document, "several_states", certificates.SeveralStates(sent=paperwork.NO))
    assert refusal(head, document) == (MISMATCH, "amount", Code.HEADER_AMOUNT)
    head.ClearField("amount")
    head.ClearField("order_total")
    assert refusal(head, document) is None


def test_order_without_an_end_has_none_in_its_header() -> None:
    assert refusal(header(ids.KIND_DOMESTIC_ORDER), paperwork.order()) is None
    head = header(ids.KIND_DOMESTIC_ORDER, in_force_until_us=parts.at(3, 3))
    assert refusal(head, paperwork.order()) == (MISMATCH, "in_force_until_us", Code.HEADER_END)


@pytest.mark.parametrize("kind", [ids.KIND_EVIDENCE_REQUEST, ids.KIND_PRESERVATION_REQUEST], ids=in_short)
def test_emergency_is_one_in_the_header_and_in_the_request_or_in_neither(kind: ids.Kind.ValueType) -> None:
    urgent, document = headed(kind, urgency=URGENT)
    assert refusal(urgent, document) == (MISMATCH, "emergency", Code.HEADER_URGENCY)
    referred = orders.ReviewReferral(**{"evidence" if kind == ids.KIND_EVIDENCE_REQUEST else "preservation": document})  # type: ignore[arg-type]
    assert refusal(header(ids.KIND_REVIEW_REFERRAL, measures=[], urgency=EMERGENCY), referred) is None
    assert refusal(header(ids.KIND_REVIEW_REFERRAL, measures=[], urgency=URGENT), referred) == (
        MISMATCH,
        "emergency",
        Code.HEADER_URGENCY,
    )
    broken.change(document, "emergency", 0)
    assert refusal(urgent, document) is None
    emergency, _ = headed(kind, urgency=EMERGENCY)
    assert refusal(emergency, document) == (MISMATCH, "emergency", Code.HEADER_URGENCY)


@pytest.mark.parametrize(
    "kind",
    [
        ids.KIND_FREEZE_REQUEST,
        ids.KIND_CONFISCATION_REQUEST,
        ids.KIND_PROVISIONAL_FREEZE,
        ids.KIND_RESTITUTION_DECISION,
    ],
    ids=in_short,
)
def test_assets_that_may_be_gone_are_no_emergency(kind: ids.Kind.ValueType) -> None:
    assert refusal(*headed(kind, urgency=EMERGENCY)) == (MISMATCH, "urgency", Code.HEADER_URGENCY)


def test_takedown_is_an_emergency_exactly_if_it_is_terrorist_content() -> None:
    assert refusal(*headed(ids.KIND_TAKEDOWN_NOTICE, urgency=EMERGENCY)) == (MISMATCH, "subject", Code.HEADER_URGENCY)
    head, document = headed(ids.KIND_TAKEDOWN_NOTICE, urgency=URGENT)
    assert refusal(head, document) is None
    broken.change(document, "subject", assistance.TAKEDOWN_SUBJECT_TERRORIST_CONTENT)
    hour = parts.clock(measures.CLOCK_RULE_TERRORIST_CONTENT, parts.at(3, 1, 12), parts.at(3, 1, 13))
    broken.change(document, "deadline", hour)
    assert refusal(head, document) == (MISMATCH, "subject", Code.HEADER_URGENCY)
    head.urgency = EMERGENCY
    assert refusal(head, document) is None


REPEATED = {
    "amount": Code.HEADER_AMOUNT,
    "order_total": Code.HEADER_AMOUNT,
    "in_force_until_us": Code.HEADER_END,
}


@pytest.mark.parametrize("name", REPEATED)
def test_what_a_draft_or_a_referral_repeats_of_its_request_is_the_same(name: str) -> None:
    kind = ids.KIND_FREEZE_REQUEST if name == "in_force_until_us" else ids.KIND_CONFISCATION_REQUEST
    inner, document = headed(kind)
    says = {"measures": list(inner.measures), "data_classes": list(inner.data_classes), "urgency": inner.urgency}
    member = "freeze" if kind == ids.KIND_FREEZE_REQUEST else "confiscation"
    for around, outer in (
        (ids.KIND_DRAFT, drafted(kind, documents.encode(document), inner)),
        (ids.KIND_REVIEW_REFERRAL, orders.ReviewReferral(**{member: document})),  # type: ignore[arg-type]
    ):
        assert refusal(header(around, **says), outer) is None
        assert refusal(header(around, **says, **{name: getattr(inner, name)}), outer) is None
        told = refusal(header(around, **says, **{name: OTHERWISE[name]}), outer)
        assert told == (MISMATCH, name, REPEATED[name])


def test_sum_of_a_report_is_the_value_that_it_estimates_or_is_not_told() -> None:
    for amount, said in ((parts.euros("893579.50"), None), (parts.euros("893579.51"), Code.HEADER_AMOUNT)):
        head, document = headed(ids.KIND_EXECUTION_REPORT, amount=amount)
        assert refusal(head, document) == (None if said is None else (MISMATCH, "amount", said))


def test_urgent_request_for_evidence_says_why() -> None:
    head, document = headed(ids.KIND_EVIDENCE_REQUEST, urgency=URGENT)
    broken.change(document, "emergency", 0)
    broken.change(document, "urgency_grounds", "")
    assert refusal(head, document) == (MISMATCH, "urgency_grounds", Code.HEADER_URGENCY)


def test_takedown_notice_that_tells_an_exchange_of_another_countrys_authority_is_refused() -> None:
    head, document = headed(ids.KIND_TAKEDOWN_NOTICE, sender=world.FOREIGN_COURT)
    assert refusal(head, document) == (MISMATCH, "authority.country", Code.TAKEDOWN_OF_OTHER_STATE)
    broken.change(document, "authority.country", "DE")
    assert refusal(head, document) is None


def test_disclosure_holds_no_more_than_the_classes_that_its_header_names() -> None:
    head, document = headed(ids.KIND_DISCLOSURE)
    assert isinstance(document, orders.Disclosure)
    for data_class, sections in (
        (ids.DATA_CLASS_SUBSCRIBER, ["subscribers"]),
        (ids.DATA_CLASS_IDENTIFICATION, ["accesses"]),
        (ids.DATA_CLASS_TRANSACTIONAL, ["transactions", "ledger", "deposit_addresses", "withdrawal_addresses"]),
        (ids.DATA_CLASS_BALANCE, ["balances"]),
        (ids.DATA_CLASS_CONTENT, ["contents"]),
    ):
        fewer = orders.Disclosure()
        fewer.CopyFrom(document)
        broken.change(fewer, "data_classes", [each for each in document.data_classes if each != data_class])
        broken.change(fewer, "windows", None)
        broken.change(fewer, "fields", [each for each in document.fields if each.data_class != data_class])
        fewer.fields.add(data_class=fewer.data_classes[0], name="all", answer=orders.FIELD_ANSWER_SUPPLIED)
        told, _ = headed(ids.KIND_DISCLOSURE, data_classes=fewer.data_classes)
        for section in sections:
            assert refusal(told, fewer) == (MISMATCH, section, Code.SECTION_OF_UNNAMED_CLASS)
            broken.change(fewer, section, None)
        assert refusal(told, fewer) is None
        fewer.fields.add(data_class=data_class, name="one more", answer=orders.FIELD_ANSWER_SUPPLIED)
        where = f"fields[{len(fewer.fields) - 1}].data_class"
        assert refusal(told, fewer) == (MISMATCH, where, Code.FIELD_OF_UNNAMED_CLASS)
    assert refusal(head, document) is None


LAST_WEEK = measures.DataWindow(data_class=paperwork.TRANSACTIONAL, from_us=1_000, until_us=2_000)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"windows": [{"from_us": 999, "until_us": 2_000}]}, "windows[0]", id="from-earlier"),
        pytest.param({"windows": [{"from_us": 1_000, "until_us": 2_001}]}, "windows[0]", id="until-later"),
        pytest.param({"windows": [{"from_us": 1_000}]}, "windows[0]", id="without-end"),
        pytest.param({"windows": [{}]}, "windows[0]", id="of-all-time"),
        pytest.param({"ledger": [{"at_us": 999}]}, "ledger[0].at_us", id="entry-before-and-no-window-named"),
        pytest.param({"ledger": [{"at_us": 1_000}, {"at_us": 2_000}]}, "ledger[1].at_us", id="entry-after"),
        pytest.param({"transactions": [{"block_time_us": 0}]}, "transactions[0].block_time_us", id="transaction"),
        pytest.param({"transactions": [{}]}, "transactions[0].block_time_us", id="transaction-of-no-time"),
        pytest.param(
            {"transactions": [{"block_hash": "ab", "observed_at_us": 1_500}]},
            "transactions[0].block_time_us",
            id="transaction-in-a-block-of-no-time",
        ),
        pytest.param({"transactions": [{"observed_at_us": 2_000}]}, "transactions[0].observed_at_us", id="unconfirmed"),
    ],
)
def test_disclosure_of_another_time_than_was_ordered_is_refused(changes: dict[str, Any], field: str) -> None:
    """It names the time of its data itself; one that names another, or none, would hold whatever it likes."""
    told = orders.Disclosure(**changes)
    for window in told.windows:
        window.data_class = paperwork.TRANSACTIONAL
    with pytest.raises(Refusal) as caught:
        documents.check_times([LAST_WEEK], told, "the order")
    assert (caught.value.code, caught.value.field) == (ErrorCode.EXCEEDS_GRANT, field)
    documents.check_times([], told, "the order")


@pytest.mark.parametrize(
    ("windows", "field"),
    [
        pytest.param([], "windows", id="of-all-time"),
        pytest.param([{"from_us": 1_000, "until_us": 2_001}], "windows[0]", id="until-later"),
        pytest.param([{"from_us": 999, "until_us": 2_000}], "windows[0]", id="from-earlier"),
    ],
)
def test_order_for_data_of_another_time_than_was_asked_is_refused(windows: list[dict[str, int]], field: str) -> None:
    order = orders.DomesticOrder(data_classes=[paperwork.TRANSACTIONAL])
    order.windows.extend(measures.DataWindow(data_class=paperwork.TRANSACTIONAL, **window) for window in windows)
    with pytest.raises(Refusal) as caught:
        documents.check_ordered_times([LAST_WEEK], order)
    assert (caught.value.code, caught.value.field) == (ErrorCode.EXCEEDS_GRANT, field)
    documents.check_ordered_times([], order)
    documents.check_ordered_times([LAST_WEEK], orders.DomesticOrder(windows=order.windows))
    del order.windows[:]
    order.windows.add(data_class=paperwork.TRANSACTIONAL, from_us=1_100, until_us=2_000)
    documents.check_ordered_times([LAST_WEEK], order)


def test_disclosure_of_a_part_of_the_time_that_was_ordered_is_taken() -> None:
    part = measures.DataWindow(data_class=paperwork.TRANSACTIONAL, from_us=1_000, until_us=1_999)
    other = measures.DataWindow(data_class=ids.DATA_CLASS_BALANCE)
    seen = evidence.TransactionRecord(observed_at_us=1_500)  # and in no block
    told = orders.Disclosure(windows=[part, other], transactions=[seen])
    told.ledger.extend(orders.LedgerEntry(at_us=at_us) for at_us in (1_000, 1_998))
    documents.check_times([LAST_WEEK], told, "the order")
    documents.check_times([LAST_WEEK], orders.Disclosure(), "the order")
    documents.check_times([measures.DataWindow(data_class=paperwork.TRANSACTIONAL)], told, "the order")


def test_every_list_of_records_in_a_disclosure_belongs_to_a_class() -> None:
    lists = {field.name for field in orders.Disclosure.DESCRIPTOR.fields if field.message_type is not None}
    assert lists - {name for name, _ in reports.SECTIONS} == {"windows", "fields", "attachments"}


def drafted(kind: ids.Kind.ValueType, body: bytes, inner: pb.Header) -> orders.Draft:
    """A draft of a request of any kind; nobody looks at its seal here."""
    made = samples.orders.draft()
    sealed = pb.Header.FromString(made.envelope.header)
    for name in ("measures", "data_classes", "outcome", "ground", "in_force_until_us", "amount", "order_total"):
        sealed.ClearField(name)
    sealed.MergeFrom(inner)
    sealed.kind = kind
    sealed.commitment = envelope.commitment(made.salt, body)
    made.envelope.header = sealed.SerializeToString(deterministic=True)
    made.body = body
    return made


@pytest.mark.parametrize("kind", sorted(documents.REQUESTS), ids=in_short)
def test_whatever_two_must_sign_travels_in_a_draft(kind: ids.Kind.ValueType) -> None:
    inner, document = headed(kind)
    draft_of_it = drafted(kind, documents.encode(document), inner)
    says = {name: list(getattr(inner, name)) for name in ("measures", "data_classes")}
    head = header(ids.KIND_DRAFT, urgency=inner.urgency, **says)
    assert refusal(head, draft_of_it) is None
    lies = drafted(kind, documents.encode(document), header(kind, **says | {"data_classes": [ids.DATA_CLASS_CONTENT]}))
    told = header(ids.KIND_DRAFT, **says | {"data_classes": [ids.DATA_CLASS_CONTENT]})
    assert refusal(told, lies) == (MISMATCH, "data_classes", Code.HEADER_DATA_CLASSES)


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
        header(ids.KIND_REVIEW_DECISION, outcome=ids.OUTCOME_GRANTED, dual_criminality=ids.DUAL_CRIMINALITY_ABSENT),
        paperwork.decision(dual_criminality=ids.DUAL_CRIMINALITY_ABSENT),
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


@given(st.sampled_from(sorted(documents.BODIES)) | st.integers(47, 99), st.binary(max_size=200))
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


def test_report_with_transactions_of_another_time_than_was_ordered_is_refused() -> None:
    told = paperwork.report(transactions=[paperwork.transaction()])
    begun = told.transactions[0].block_time_us = 1_000
    window = measures.DataWindow(data_class=paperwork.TRANSACTIONAL, from_us=begun)
    documents.check_answers_order(paperwork.order(windows=[window]), told)
    window.from_us = begun + 1
    with pytest.raises(Refusal) as caught:
        documents.check_answers_order(paperwork.order(windows=[window]), told)
    assert (caught.value.code, caught.value.field) == (ErrorCode.EXCEEDS_GRANT, "transactions[0].block_time_us")


def test_report_on_an_order_about_a_customer_names_the_wallets_that_were_found() -> None:
    order = paperwork.order(wallets=[], customers=[parts.natural_person()])
    documents.check_answers_order(order, paperwork.report())
    documents.check_answers_order(order, paperwork.report(results=[]))


def test_same_address_with_another_tag_is_another_wallet() -> None:
    one, other = (wallets.make("xrp", "rGWrZyQqhTp9Xu7G5Pkayo7bXjH4k4QYpf", tag=tag) for tag in ("7", "8"))
    missing = orders.FREEZE_STATUS_NOT_FOUND
    report = paperwork.report(
        outcome=ids.OUTCOME_PARTLY_GRANTED, results=[paperwork.result(of=one), paperwork.result(missing, of=other)]
    )
    assert refusal(header(ids.KIND_EXECUTION_REPORT, outcome=ids.OUTCOME_PARTLY_GRANTED), report) is None


def test_sender_signs_no_document_with_a_field_that_its_recipient_refuses() -> None:
    """It may hold one from bytes of a newer version, in itself or in a message within."""
    head = header(ids.KIND_FREEZE_REQUEST)
    newer = b"\xfa\x3f\x01x"
    within = paperwork.request()
    within.wallets[0].MergeFromString(newer)
    for request in (within, certificates.FreezeRequest.FromString(paperwork.request().SerializeToString() + newer)):
        for write in (documents.encode, lambda document: documents.encode_for(head, document)):
            with pytest.raises(Refusal) as caught:
                write(request)
            assert (caught.value.code, caught.value.rule) == (MISMATCH, Code.CONTRACT)
        with raises(ErrorCode.CONTENT_MISMATCH):
            documents.decode(head.kind, request.SerializeToString(deterministic=True))
    assert documents.decode(head.kind, documents.encode(paperwork.request())) == paperwork.request()
