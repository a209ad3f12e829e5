"""The rules within one document: each sample keeps them all, and each is broken by a change of its own."""

import re
from pathlib import Path

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties

from gateway import codec
from gateway.errors import ErrorCode
from gateway.formats import checks
from gateway.formats.checks import by_kind
from gateway.formats.codes import Code
from gateway.formats.documents import BODIES
from tests import broken, messages, samples

CASES = tuple(broken.every())
KINDS = [kind for kind in ids.Kind.values() if kind != ids.KIND_UNSPECIFIED]
SOURCES = Path(checks.__file__).parent


def name(kind: ids.Kind.ValueType) -> str:
    return ids.Kind.Name(kind)


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_the_complete_document_of_each_kind_has_no_problem(kind: ids.Kind.ValueType) -> None:
    assert checks.problems(samples.complete(kind), kind) == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{name(case.kind)}: {case.sentence}")
def test_one_change_breaks_exactly_one_rule(case: broken.Case) -> None:
    found = checks.problems(case.document(), case.kind)
    assert [(problem.rule, problem.field) for problem in found] == [(case.rule, case.field)]
    assert found[0].code == ErrorCode.CONTENT_MISMATCH


def test_no_two_cases_have_one_name() -> None:
    names = [(case.kind, case.sentence) for case in CASES]
    assert len(names) == len(set(names))


def test_every_rule_is_broken_by_a_case() -> None:
    written = {
        code
        for path in SOURCES.glob("*.py")
        for code in re.findall(r"(?<!Error)Code\.([A-Z][A-Z0-9_]+)", path.read_text())
    }
    assert written - {Code.CONTRACT.name} <= {case.rule.name for case in CASES}


def test_a_problem_is_told_with_its_rule_and_never_with_a_value() -> None:
    document = samples.complete(ids.KIND_SHARING_STATEMENT)
    broken.change(document, "bank_account.iban", "EE382200221020145686")
    assert all("EE38" not in problem.detail for problem in checks.problems(document))


def test_all_problems_are_told_in_the_order_of_the_fields() -> None:
    document = samples.complete(ids.KIND_FREEZE_REQUEST)
    for path, value in (
        ("order_date", "2026-02-30"),
        ("third_parties[0].grounds", ""),
        ("urgency.explanation", ""),
        ("issuing_authority.country", "LV"),
        ("persons[1].nationalities", ["QQ"]),
    ):
        broken.change(document, path, value)
    assert [problem.field for problem in checks.problems(document)] == [
        "issuing_authority.country",
        "urgency.explanation",
        "persons[1].nationalities",
        "persons[1].nationalities[0]",
        "third_parties[0].grounds",
        "order_date",
    ]


def test_a_referral_has_the_problems_of_its_request() -> None:
    referral = samples.complete(ids.KIND_REVIEW_REFERRAL)
    assert isinstance(referral, orders.ReviewReferral)
    referral.freeze.confiscation.stay_frozen = False
    assert [problem.field for problem in checks.problems(referral)] == ["freeze.confiscation.stay_frozen"]


@pytest.mark.parametrize(
    ("member", "kind"),
    [
        ("restitution", ids.KIND_RESTITUTION_DECISION),
        ("enforcement", ids.KIND_ENFORCEMENT_REQUEST),
        ("provisional_freeze", ids.KIND_PROVISIONAL_FREEZE),
        ("takedown", ids.KIND_TAKEDOWN_NOTICE),
    ],
)
def test_a_request_within_a_referral_is_held_to_the_rules_of_its_own_kind(
    member: str, kind: ids.Kind.ValueType
) -> None:
    referral = orders.ReviewReferral(**{member: samples.complete(kind)})  # type: ignore[arg-type]  # by name
    assert checks.problems(referral, ids.KIND_REVIEW_REFERRAL) == ()
    for case in CASES:
        if case.kind == kind:
            broken_one = orders.ReviewReferral(**{member: case.document()})  # type: ignore[arg-type]
            found = [(each.rule, each.field) for each in checks.problems(broken_one, ids.KIND_REVIEW_REFERRAL)]
            assert found == [(case.rule, f"{member}.{case.field}")]


@pytest.mark.parametrize(
    "channel",
    [
        assistance.INFORMATION_CHANNEL_FIU,
        assistance.INFORMATION_CHANNEL_ASSET_RECOVERY,
        assistance.INFORMATION_CHANNEL_CONTACT_POINT,
    ],
)
def test_whoever_is_there_to_be_quick_may_ask_to_hold_at_once(
    channel: assistance.InformationChannel.ValueType,
) -> None:
    document = samples.complete(ids.KIND_PROVISIONAL_FREEZE)
    broken.change(document, "channel", channel)
    assert checks.problems(document) == ()


@pytest.mark.parametrize(
    "offence",
    [
        certificates.LISTED_OFFENCE_TERRORISM,
        certificates.LISTED_OFFENCE_SEXUAL_EXPLOITATION_OF_CHILDREN,
        certificates.LISTED_OFFENCE_FRAUD,
        certificates.LISTED_OFFENCE_COMPUTER_CRIME,
        certificates.LISTED_OFFENCE_FORGERY_OF_PAYMENT_MEANS,
    ],
)
def test_data_for_an_offence_of_the_directives_take_no_maximum_of_three_years(  # 2023/1543 Art. 5(4)(b) to (d)
    offence: certificates.ListedOffence.ValueType,
) -> None:
    document = samples.complete(ids.KIND_EVIDENCE_REQUEST)
    broken.change(document, "offence.maximum_sentence_months", 24)
    broken.change(document, "offence.listed", [offence])
    assert checks.problems(document) == ()


@pytest.mark.parametrize(
    "court",
    [parties.AUTHORITY_TYPE_JUDGE, parties.AUTHORITY_TYPE_COURT, parties.AUTHORITY_TYPE_INVESTIGATING_JUDGE],
)
def test_each_kind_of_judge_may_validate_a_request_for_traffic_data(  # 2023/1543 Art. 4(2)
    court: parties.AuthorityType.ValueType,
) -> None:
    document = samples.complete(ids.KIND_EVIDENCE_REQUEST)
    broken.change(document, "validating_authority.type", court)
    assert checks.problems(document) == ()


def test_every_request_that_a_referral_can_carry_has_its_kind() -> None:
    members = orders.ReviewReferral.DESCRIPTOR.oneofs_by_name["request"].fields
    assert {field.name: field.message_type for field in members} == {
        name: BODIES[kind].DESCRIPTOR for name, kind in by_kind.REFERRED.items()
    }


def test_every_kind_that_is_a_notice_has_its_row() -> None:
    assert {kind for kind, body in BODIES.items() if body is notices.Notice} == set(by_kind.NOTICES)


def test_older_steps_of_a_limitation_can_be_read_and_are_not_sent() -> None:
    limitation = samples.complete(ids.KIND_LIMITATION)
    broken.change(limitation, "step", followups.LIMITATION_STEP_AGREED)
    assert checks.problems(limitation) == ()
    assert [each.rule for each in checks.problems(limitation, ids.KIND_LIMITATION)] == [Code.LIMITATION_UNDECIDED]


@given(
    st.sampled_from(sorted(BODIES)).flatmap(
        lambda kind: st.tuples(st.just(kind), messages.messages(BODIES[kind].DESCRIPTOR))
    )
)
def test_no_message_at_all_makes_it_fail(made: tuple[ids.Kind.ValueType, Message]) -> None:
    kind, message = made
    for problem in checks.problems(message, kind):
        assert problem.rule in Code.__members__


@given(st.data())
def test_no_sample_with_chance_in_it_makes_it_fail(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    document = samples.complete(kind)
    for _ in range(data.draw(st.integers(1, 5))):
        part = document
        while True:
            field = data.draw(st.sampled_from([*part.DESCRIPTOR.fields]))
            found = getattr(part, field.name)
            inner = list(found) if field.is_repeated else [found]
            if field.message_type is None or not inner or data.draw(st.booleans()):
                break
            part = data.draw(st.sampled_from(inner))
        one = messages.values(field)
        value = data.draw(st.lists(one, max_size=2) if field.is_repeated else one)
        broken.change(part, field.name, value)
    problems = checks.problems(document, kind)
    assert all(problem.rule in Code.__members__ for problem in problems)


OPTIONAL = (
    (ids.KIND_FREEZE_REQUEST, "scope"),
    (ids.KIND_FREEZE_REQUEST, "urgency"),
    (ids.KIND_FREEZE_REQUEST, "central_authority"),
    (ids.KIND_FREEZE_REQUEST, "expires_at_us"),
    (ids.KIND_FREEZE_REQUEST, "executing_authority"),
    (ids.KIND_FREEZE_REQUEST, "persons"),
    (ids.KIND_FREEZE_REQUEST, "earlier_orders"),
    (ids.KIND_FREEZE_REQUEST, "restitution.reference"),
    (ids.KIND_CONFISCATION_REQUEST, "victims"),
    (ids.KIND_EVIDENCE_REQUEST, "deadline"),
    (ids.KIND_EVIDENCE_REQUEST, "windows"),
    (ids.KIND_REVIEW_DECISION, "clocks"),
    (ids.KIND_DOMESTIC_ORDER, "scope"),
    (ids.KIND_DOMESTIC_ORDER, "confidentiality"),
    (ids.KIND_DOMESTIC_ORDER, "review_at_us"),
    (ids.KIND_DOMESTIC_ORDER, "effective_at_us"),
    (ids.KIND_EXECUTION_REPORT, "estimated_value"),
    (ids.KIND_SPONTANEOUS_INFORMATION, "transactions[3].balance_changes[1].decimals"),
    (ids.KIND_LIMITATION, "clock"),
    (ids.KIND_LIMITATION, "amounts"),
    (ids.KIND_LIMITATION_REQUEST, "limited_to_us"),
    (ids.KIND_CLARIFICATION_REQUEST, "ground"),
    (ids.KIND_CONFIRMATION, "measures"),
    (ids.KIND_FINAL_REPORT, "remarks"),
    (ids.KIND_TRANSFER_ORDER, "test_amount"),
    (ids.KIND_TRANSFER_ORDER, "not_before_us"),
)


@pytest.mark.parametrize(("kind", "field"), OPTIONAL, ids=str)
def test_what_no_article_demands_may_be_absent(kind: ids.Kind.ValueType, field: str) -> None:
    document = samples.complete(kind)
    broken.change(document, field, None)
    assert checks.problems(document, kind) == ()


def test_the_samples_keep_their_contract_too() -> None:
    for document in samples.every().values():
        codec.check(document)
