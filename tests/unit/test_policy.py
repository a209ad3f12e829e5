"""A country's policy: what it may restrict; nothing in it loosens the table or leaves a matter without an end."""

import json
import logging
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway import cli, deadlines, material
from gateway.cli.development import init_federation
from gateway.deadlines import LIMITS, Length, Unit
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Role
from gateway.policy import COUNTERSIGNERS, MAX_LAW_CHARACTERS, Policy, _Table
from gateway.rules import Rule, Where, word
from gateway.steps import RULES, STEPS
from gateway.upkeep import Upkeep
from tests.errors import raises

NOW = datetime.now(UTC)  # check-config has no other clock
HERE = "de"
LAW = "s 1"
I, M, C, F, P, X = (  # noqa: E741  as in the table
    Role.INVESTIGATOR,
    Role.CENTRAL_AUTHORITY,
    Role.COURT,
    Role.FIU,
    Role.CONTACT_POINT,
    Role.EXCHANGE,
)
FREEZE = Rule(ids.KIND_FREEZE_REQUEST, I, M, Where.ABROAD)
ORDER = Rule(ids.KIND_DOMESTIC_ORDER, C, X, Where.HOME)
DECISION = Rule(ids.KIND_REVIEW_DECISION, C, M, Where.HOME)
NOTICE = Rule(ids.KIND_REVIEW_DECISION, M, I, Where.ABROAD)
OPENERS = {step.rule for step in STEPS if step.opens is not None}
TABLES = {
    "refuse": "[[refuse]]",
    "countersign": "[[countersign]]",
    "provisional": "[provisional]",
    "ordinary_decision": "[ordinary_decision]",
    "release": "[release]",
    "subsequent_request": "[subsequent_request]",
    "exchange": "[[exchange]]",
    "dual_criminality": "[dual_criminality]",
}


def provisional_order(giver: Role) -> Rule:
    return Rule(ids.KIND_PROVISIONAL_ORDER, giver, X, Where.HOME)


def load(*lines: str) -> Policy:
    return Policy.load("\n".join([f'country = "{HERE}"', *lines]).encode(), "policy.toml")


def refuse(kind: str, direction: str = "both", *more: str) -> Policy:
    return load("[[refuse]]", f'kind = "{kind}"', f'direction = "{direction}"', f'law = "{LAW}"', *more)


def countersign(kind: str, by: str) -> Policy:
    return load("[[countersign]]", f'kind = "{kind}"', f'by = "{by}"', f'law = "{LAW}"')


def exchange(*courts: str, address: str = "de/exchange") -> Policy:
    return load("[[exchange]]", f'address = "{address}"', f"courts = {list(courts)}", f'law = "{LAW}"')


def header(rule: Rule, *, out: bool = True, **fields: Any) -> pb.Header:
    """Return one of a rule: of our own sender, or of one abroad."""
    abroad = rule.where is Where.ABROAD
    sender, recipient = ("de", "ee") if abroad and out else ("ee", "de") if abroad else ("de", "de")
    addresses = {
        "sender": f"{sender}/{rule.sender.value}",
        "recipients": [f"{recipient}/{rule.recipient.value}"],
    }
    return pb.Header(kind=rule.kind, **addresses | fields)


def said_no(policy: Policy, rule: Rule, *, out: bool = True, **fields: Any) -> str | None:
    """Return the field that a policy refuses something for; None if it does not."""
    restriction = policy.refusal(header(rule, out=out, **fields), rule, HERE)
    assert restriction is None or restriction.law == LAW
    return None if restriction is None else restriction.field


# The page


def page() -> bytes:
    text = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(example).encode()


def test_the_example_of_the_page_loads_and_has_everything_that_a_policy_can_say() -> None:
    policy = Policy.load(page(), "docs/policy.md")
    alone = (policy, policy.provisional, policy.ordinary_decision, policy.dual_criminality)
    tables = [
        *alone,
        policy.release,
        policy.subsequent_request,
        policy.refuse[0],
        *policy.countersign,
        *policy.exchange,
    ]
    assert {type(each) for each in tables} == {Policy, *_Table.__subclasses__()}
    for each in tables:
        assert each is not None
        assert each.model_fields_set == set(type(each).model_fields)


def test_the_numbers_that_the_page_gives_for_the_table_are_the_tables() -> None:
    example = tomllib.loads(page().decode())
    text = page().decode()
    assert LIMITS[clocks.CLOCK_RULE_PROVISIONAL].length == Length(7, Unit.DAYS)
    assert "# the table: seven days, 168 hours" in text
    assert LIMITS[clocks.CLOCK_RULE_ORDINARY_DECISION].length == Length(10, Unit.DAYS)
    assert "# the table: ten" in text
    assert LIMITS[clocks.CLOCK_RULE_RELEASE].length == LIMITS[clocks.CLOCK_RULE_DELETION].length == Length(5, Unit.DAYS)
    assert "# the table: five" in text
    assert LIMITS[clocks.CLOCK_RULE_SUBSEQUENT_REQUEST].length == Length(90, Unit.DAYS)
    assert "# the table: ninety" in text
    assert {rule.sender for rule in RULES if rule.kind == ids.KIND_PROVISIONAL_ORDER} == {F, P}
    assert "# the table: fiu and contact-point" in text
    assert f"{MAX_LAW_CHARACTERS} characters" in (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
    assert example["country"] == HERE


# What it may say


@pytest.mark.parametrize(("direction", "out", "into"), [("in", None, "kind"), ("out", "kind", None)])
def test_a_kind_is_refused_in_one_direction_and_passes_in_the_other(
    direction: str, out: str | None, into: str | None
) -> None:
    policy = refuse("freeze-request", direction)
    assert (said_no(policy, FREEZE), said_no(policy, FREEZE, out=False)) == (out, into)
    both = refuse("freeze-request")
    assert (said_no(both, FREEZE), said_no(both, FREEZE, out=False)) == ("kind", "kind")


def test_a_kind_refused_abroad_is_as_lawful_at_home_as_before() -> None:
    home = Rule(ids.KIND_TAKEDOWN_NOTICE, C, X, Where.HOME)
    policy = refuse("takedown-notice")
    assert said_no(policy, home) is None
    assert said_no(policy, Rule(ids.KIND_TAKEDOWN_NOTICE, I, M, Where.ABROAD)) == "kind"


def test_a_kind_refused_from_one_role_is_accepted_from_another() -> None:
    policy = refuse("provisional-freeze", "in", 'from = "fiu"')
    given = {
        role: said_no(policy, Rule(ids.KIND_PROVISIONAL_FREEZE, role, role, Where.ABROAD), out=False) for role in (F, P)
    }
    assert given == {F: "kind", P: None}


def test_one_more_countersignature_is_asked_for_where_the_policy_says_so_and_nowhere_else() -> None:
    policy = countersign("domestic-order", "central-authority")
    assert policy.countersigners(ORDER) == {M: LAW}
    assert all(not policy.countersigners(rule) for rule in RULES if rule != ORDER)


def test_an_emergency_can_be_made_to_wait_for_its_countersignature_too() -> None:
    rule = Rule(ids.KIND_EVIDENCE_REQUEST, I, M, Where.ABROAD)
    assert countersign("evidence-request", "central-authority").countersigners(rule) == {M: LAW}


def test_nobody_countersigns_what_it_sends_itself() -> None:
    policy = countersign("provisional-order", "fiu")
    assert policy.countersigners(provisional_order(P)) == {F: LAW}
    assert policy.countersigners(provisional_order(F)) == {}


def test_provisional_orders_come_from_those_alone_whom_the_policy_names() -> None:
    policy = load("[provisional]", 'orders_by = ["fiu"]', f'law = "{LAW}"')
    assert {giver: said_no(policy, provisional_order(giver)) for giver in (F, P)} == {F: None, P: "sender"}
    nobody = load("[provisional]", "orders_by = []", f'law = "{LAW}"')
    assert {rule for rule in RULES if said_no(nobody, rule)} == {provisional_order(F), provisional_order(P)}
    silent = load("[provisional]", "lapse_hours = 1", f'law = "{LAW}"')
    assert {said_no(silent, provisional_order(giver)) for giver in (F, P)} == {None}


def test_an_exchange_takes_orders_from_the_courts_that_the_policy_names() -> None:
    policy = exchange("de/court")
    assert said_no(policy, ORDER) is None
    assert said_no(policy, ORDER, sender="de/court-2") == "recipients[0]"
    assert said_no(policy, ORDER, sender="de/court-2", recipients=["de/exchange-2"]) is None
    assert said_no(policy, provisional_order(F)) is None


def test_a_court_that_may_order_nothing_any_more_still_ends_what_it_ordered() -> None:
    policy = exchange("de/court")
    for kind in (ids.KIND_RELEASE, ids.KIND_CLOSURE, ids.KIND_OBJECTION_DECISION, ids.KIND_CLARIFICATION):
        assert said_no(policy, Rule(kind, C, X, Where.HOME), sender="de/court-2") is None


@pytest.mark.parametrize("said", [ids.DUAL_CRIMINALITY_NOT_REQUIRED, ids.DUAL_CRIMINALITY_WAIVED])
def test_a_court_may_not_waive_dual_criminality_and_a_decision_that_did_is_still_passed_on(
    said: ids.DualCriminality.ValueType,
) -> None:
    policy = load("[dual_criminality]", "waiver = false", f'law = "{LAW}"')
    assert said_no(policy, DECISION, dual_criminality=said) == "dual_criminality"
    assert said_no(policy, NOTICE, dual_criminality=said) is None
    assert said_no(Policy.none(), DECISION, dual_criminality=said) is None


@pytest.mark.parametrize(
    "said", sorted(set(ids.DualCriminality.values()) - {ids.DUAL_CRIMINALITY_NOT_REQUIRED, ids.DUAL_CRIMINALITY_WAIVED})
)
def test_a_court_that_tests_dual_criminality_or_relies_on_a_listed_offence_is_heard(
    said: ids.DualCriminality.ValueType,
) -> None:
    policy = load("[dual_criminality]", "waiver = false", f'law = "{LAW}"')
    assert said_no(policy, DECISION, dual_criminality=said) is None


def test_time_limits_are_shortened_and_the_others_are_the_laws() -> None:
    policy = load(
        "[provisional]",
        "lapse_hours = 72",
        f'law = "{LAW}"',
        "[ordinary_decision]",
        "days = 5",
        f'law = "{LAW}"',
        "[release]",
        "days = 2",
        f'law = "{LAW}"',
        "[subsequent_request]",
        "days = 30",
        f'law = "{LAW}"',
    )
    expected = {
        clocks.CLOCK_RULE_PROVISIONAL: Length(72, Unit.HOURS),
        clocks.CLOCK_RULE_ORDINARY_DECISION: Length(5, Unit.DAYS),
        clocks.CLOCK_RULE_RELEASE: Length(2, Unit.DAYS),
        clocks.CLOCK_RULE_DELETION: Length(2, Unit.DAYS),
        clocks.CLOCK_RULE_SUBSEQUENT_REQUEST: Length(30, Unit.DAYS),
    }
    assert {rule: policy.length(rule) for rule in LIMITS if policy.length(rule) is not None} == expected
    assert all(LIMITS[rule].may_be_shorter for rule in expected)


def test_no_policy_restricts_nothing() -> None:
    policy = Policy.none()
    for rule in RULES:
        assert said_no(policy, rule) is None
        assert policy.countersigners(rule) == {}
    assert all(policy.length(rule) is None for rule in LIMITS)


# What it may not say

LAWFUL = {
    "refuse": {"kind": '"freeze-request"', "direction": '"in"', "law": '"s 1"'},
    "countersign": {"kind": '"domestic-order"', "by": '"central-authority"', "law": '"s 1"'},
    "provisional": {"orders_by": '["fiu"]', "lapse_hours": "72", "law": '"s 1"'},
    "ordinary_decision": {"days": "5", "law": '"s 1"'},
    "release": {"days": "2", "law": '"s 1"'},
    "subsequent_request": {"days": "30", "law": '"s 1"'},
    "exchange": {"address": '"de/exchange"', "courts": '["de/court"]', "law": '"s 1"'},
    "dual_criminality": {"waiver": "false", "law": '"s 1"'},
}


def but(table: str, without: str = "", /, **changes: str) -> tuple[str, ...]:
    """Return the lines of a table that could be loaded, with changes."""
    fields = {name: value for name, value in (LAWFUL[table] | changes).items() if name != without}
    return TABLES[table], *(f"{name.rstrip('_')} = {value}" for name, value in fields.items())


@pytest.mark.parametrize("table", LAWFUL)
def test_each_restriction_loads_with_its_law_and_is_refused_without(table: str) -> None:
    load(*but(table))
    at = f"{table}[0].law" if TABLES[table].startswith("[[") else f"{table}.law"
    for lines in (
        but(table, "law"),
        but(table, law='"  "'),
        but(table, law='"\u3164\u2800"'),
        but(table, law='"a\\nb"'),
        but(table, law=f'"{"x" * (MAX_LAW_CHARACTERS + 1)}"'),
    ):
        with pytest.raises(Refusal) as caught:
            load(*lines)
        assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, at)


@pytest.mark.parametrize(
    ("lines", "field", "names"),
    [
        pytest.param(but("refuse", kind='"withdrawal"'), "refuse[0].kind", "withdrawal from", id="withdrawal"),
        pytest.param(but("refuse", kind='"release"'), "refuse[0].kind", "release from", id="release"),
        pytest.param(but("refuse", kind='"closure"'), "refuse[0].kind", "closure from", id="closure"),
        pytest.param(but("refuse", kind='"objection"'), "refuse[0].kind", "objection from", id="objection"),
        pytest.param(but("refuse", kind='"review-decision"'), "refuse[0].kind", "review-decision from", id="answer"),
        pytest.param(but("refuse", kind='"grievance"'), "refuse[0].kind", "grievance", id="complaint at home"),
        pytest.param(but("refuse", kind='"domestic-order"'), "refuse[0].kind", "domestic-order", id="never abroad"),
        pytest.param(but("refuse", kind='"freeze"'), "refuse[0].kind", "", id="no kind"),
        pytest.param(but("refuse", kind='"unspecified"'), "refuse[0].kind", "", id="kind of nothing"),
        pytest.param(but("refuse", from_='"court"'), "refuse[0].from", "freeze-request", id="role that never sends it"),
        pytest.param(but("refuse", direction='"inwards"'), "refuse[0].direction", "", id="misspelt direction"),
        pytest.param(but("refuse", "direction"), "refuse[0].direction", "", id="no direction"),
        pytest.param(but("refuse", except_='"ee"'), "refuse[0].except", "", id="exception that nothing knows"),
        pytest.param(
            but("countersign", kind='"freeze-request"'),
            "countersign[0].by",
            "freeze-request from",
            id="the table's own",
        ),
        pytest.param(but("countersign", by='"court"'), "countersign[0].by", "domestic-order from", id="by its sender"),
        pytest.param(but("countersign", by='"exchange"'), "countersign[0].by", "exchange", id="by an exchange"),
        pytest.param(but("countersign", by='"registrar"'), "countersign[0].by", "registrar", id="by a registrar"),
        pytest.param(but("countersign", by='"none"'), "countersign[0].by", "", id="by nobody"),
        pytest.param(but("countersign", kind='"release"'), "countersign[0].kind", "release from", id="held-up release"),
        pytest.param(
            but("countersign", kind='"grievance"'), "countersign[0].kind", "grievance from", id="leave to complain"
        ),
        pytest.param(
            but("countersign", instead="true"), "countersign[0].instead", "", id="instead of the table's signature"
        ),
        pytest.param(
            but("provisional", orders_by='["fiu", "court"]'),
            "provisional.orders_by[1]",
            "provisional-order from court",
            id="orders by a court",
        ),
        pytest.param(
            but("provisional", orders_by='["exchange"]'),
            "provisional.orders_by[0]",
            "provisional-order from exchange",
            id="orders by an exchange",
        ),
        pytest.param(
            but("provisional", lapse_hours="169"),
            "provisional.lapse_hours",
            "CLOCK_RULE_PROVISIONAL",
            id="a week and more",
        ),
        pytest.param(but("provisional", lapse_hours="0"), "provisional.lapse_hours", "", id="no hour"),
        pytest.param(but("provisional", lapse_hours="71.5"), "provisional.lapse_hours", "", id="part of an hour"),
        pytest.param(but("provisional", lapse_hours="true"), "provisional.lapse_hours", "", id="true for a number"),
        pytest.param(but("provisional", lapse_hours='"72"'), "provisional.lapse_hours", "", id="text for a number"),
        pytest.param(("[provisional]", 'law = "s 1"'), "provisional", "", id="provisional without anything"),
        pytest.param(
            but("ordinary_decision", days="11"),
            "ordinary_decision.days",
            "CLOCK_RULE_ORDINARY_DECISION",
            id="eleven days",
        ),
        pytest.param(but("release", days="6"), "release.days", "CLOCK_RULE_RELEASE", id="let go later than the table"),
        pytest.param(
            but("subsequent_request", days="91"),
            "subsequent_request.days",
            "CLOCK_RULE_SUBSEQUENT_REQUEST",
            id="later than the table reminds",
        ),
        pytest.param(but("ordinary_decision", days="-1"), "ordinary_decision.days", "", id="less than no day"),
        pytest.param(
            ("[urgent_decision]", "hours = 24", 'law = "s 1"'), "urgent_decision", "", id="time that the law gives"
        ),
        pytest.param(but("exchange", courts="[]"), "exchange[0].courts", "", id="exchange that no court may address"),
        pytest.param(but("exchange", courts='["de/Court"]'), "exchange[0].courts[0]", "", id="no address"),
        pytest.param(but("exchange", address='"de/node"'), "exchange[0].address", "", id="the node"),
        pytest.param(but("exchange", address="7"), "exchange[0].address", "", id="number for an address"),
        pytest.param(but("exchange", courts='["ee/court"]'), "exchange", "ee/court", id="court of another country"),
        pytest.param((*but("exchange"), *but("exchange")), "exchange", "de/exchange", id="exchange named twice"),
        pytest.param(but("dual_criminality", waiver="true"), "dual_criminality.waiver", "", id="waiver for all"),
        pytest.param(("[refusal]",), "refusal", "", id="misspelt table"),
        pytest.param(("country = 'ee'",), "", "", id="no TOML, two countries"),
    ],
)
def test_what_would_loosen_the_table_or_restrict_nothing_is_refused_with_its_field_and_rule(
    lines: tuple[str, ...], field: str, names: str
) -> None:
    with pytest.raises(Refusal) as caught:
        load(*lines)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, field)
    assert caught.value.detail.startswith("policy.toml")
    assert names in caught.value.detail


@pytest.mark.parametrize(
    ("content", "field"),
    [
        pytest.param(b"", "country", id="of no country"),
        pytest.param(b'country = "DE"', "country", id="country in capitals"),
        pytest.param(b'country = "de\\n"', "country", id="line end after the country"),
        pytest.param(b'country = "\xff"', "", id="not UTF-8"),
        pytest.param(b"\0", "", id="binary"),
        pytest.param(b'country = "de"\nrefuse = 7', "refuse", id="number for a table"),
    ],
)
def test_what_is_no_policy_is_refused(content: bytes, field: str) -> None:
    with pytest.raises(Refusal) as caught:
        Policy.load(content, "policy.toml")
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, field)


def test_a_policy_cannot_remove_a_countersignature() -> None:
    """Whatever kind and role it names: what is asked for is the table's and more, and never the sender's own."""
    added = 0
    for kind in sorted({rule.kind for rule in RULES}):
        for role in Role:
            try:
                policy = countersign(word(kind), role.value)
            except Refusal:
                continue
            for step in STEPS:
                more = frozenset(policy.countersigners(step.rule))
                assert step.rule.sender not in more
                assert more <= COUNTERSIGNERS
                if step.countersigned_unless is None:
                    assert step.countersigned_by not in more
                added += len(more)
    assert added


def test_a_policy_cannot_hold_up_what_ends_or_answers_a_matter() -> None:
    for kind in sorted({rule.kind for rule in RULES} - {rule.kind for rule in OPENERS}):
        if not any(step.countersigned_by for step in STEPS if step.rule.kind == kind):
            for role in sorted(COUNTERSIGNERS, key=str):
                with raises(ErrorCode.BAD_CONFIG):
                    countersign(word(kind), role.value)
        with raises(ErrorCode.BAD_CONFIG):
            refuse(word(kind))


def test_every_matter_that_can_be_begun_abroad_can_be_refused_there() -> None:
    for rule in sorted(OPENERS, key=str):
        if rule.where is Where.ABROAD:
            assert said_no(refuse(word(rule.kind), "both", f'from = "{rule.sender.value}"'), rule) == "kind"


# At a node


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """Settings of a node that names a policy which is there."""
    made = init_federation(tmp_path / "fed", ["de"], [7440], NOW)
    path = made.config("de/node")
    path.write_text(f'policy = "law/policy.toml"\n{path.read_text()}')
    write(path, *but("provisional"))
    return path


def write(settings: Path, *lines: str, country: str = HERE) -> None:
    path = settings.parent / "law" / "policy.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([f'country = "{country}"', *lines]))


def test_a_node_starts_with_the_policy_that_its_settings_name_and_without_one_restricts_nothing(node: Path) -> None:
    policy = material.load_node(node, lambda: NOW).policy
    assert said_no(policy, provisional_order(P)) == "sender"
    node.write_text(node.read_text().partition("\n")[2])
    assert material.load_node(node, lambda: NOW).policy == Policy.none()


def test_a_node_does_not_start_with_a_policy_that_is_missing_laxer_or_another_countrys(node: Path) -> None:
    def refused() -> str:
        with pytest.raises(Refusal) as caught:
            material.load_node(node, lambda: NOW)
        assert caught.value.code is ErrorCode.BAD_CONFIG
        return caught.value.field

    write(node, *but("countersign", kind='"freeze-request"'))
    assert refused() == "countersign[0].by"
    write(node, country="ee")
    assert refused() == "policy"
    (node.parent / "law/policy.toml").unlink()
    assert refused() == "policy"


def test_check_config_names_the_rule_that_a_policy_would_loosen(node: Path) -> None:
    write(node, *but("countersign", kind='"freeze-request"'))
    result = CliRunner().invoke(cli.commands, ["check-config", "--json", str(node)])
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert (error["code"], error["field"]) == ("BAD_CONFIG", "countersign[0].by")
    assert str(FREEZE) in error["detail"]


def test_an_address_that_nobody_has_is_warned_of(node: Path) -> None:
    write(node, *but("exchange", address='"de/exchnage"', courts='["de/court"]'))
    (warning,) = material.load_node(node, lambda: NOW).warnings
    assert "de/exchnage" in warning
    write(node, *but("exchange", courts='["de/court", "de/fiu"]'))
    (warning,) = material.load_node(node, lambda: NOW).warnings
    assert "de/fiu" in warning


async def test_a_changed_policy_is_taken_up_and_a_broken_one_leaves_the_old_in_force_and_is_told(
    node: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upkeep = Upkeep(material.load_node(node, lambda: NOW), lambda: NOW)
    write(node, *but("provisional", orders_by='["contact-point"]'))
    await upkeep.apply()
    assert said_no(upkeep.material.policy, provisional_order(F)) == "sender"
    held = upkeep.material.holdings
    write(node, *but("provisional", orders_by='["contact-point", "court"]'))
    with caplog.at_level(logging.WARNING, "gateway.upkeep"):
        await upkeep.apply()
        await upkeep.apply()
    (told,) = caplog.records
    assert "provisional.orders_by[1]" in vars(told)["detail"]
    assert upkeep.material.holdings is held
    write(node)
    await upkeep.apply()
    assert said_no(upkeep.material.policy, provisional_order(F)) is None


# Whatever it says

WORDS = st.sampled_from(sorted(word(kind) for kind in ids.Kind.values()))
ROLES = st.sampled_from([role.value for role in Role])
ADDRESSES = st.sampled_from(["de/court", "de/court-2", "de/exchange", "ee/court", "de/node"])
COUNTS = st.integers(-1, 400)


def quoted(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return values.map(lambda value: f'"{value}"')


def listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(quoted(values), max_size=3).map(lambda each: f"[{', '.join(each)}]")


def table(name: str, **fields: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    drawn = st.fixed_dictionaries({field.rstrip("_"): values for field, values in fields.items()})
    return drawn.map(lambda each: (TABLES[name], *(f"{f} = {v}" for f, v in each.items()), f'law = "{LAW}"'))


ONE_TABLE = st.one_of(
    table("refuse", kind=quoted(WORDS), direction=quoted(st.sampled_from(["in", "out", "both"]))),
    table("refuse", kind=quoted(WORDS), direction=st.just('"both"'), from_=quoted(ROLES)),
    table("countersign", kind=quoted(WORDS), by=quoted(ROLES)),
    table("provisional", orders_by=listed(ROLES), lapse_hours=COUNTS.map(str)),
    table("ordinary_decision", days=COUNTS.map(str)),
    table("release", days=COUNTS.map(str)),
    table("subsequent_request", days=COUNTS.map(str)),
    table("exchange", address=quoted(ADDRESSES), courts=listed(ADDRESSES)),
    table("dual_criminality", waiver=st.sampled_from(["true", "false"])),
)


def loads(lines: tuple[str, ...]) -> bool:
    try:
        load(*lines)
    except Refusal:
        return False
    return True


POLICIES = st.lists(ONE_TABLE.filter(loads), max_size=6, unique_by=lambda lines: lines[0] + lines[1]).filter(
    lambda tables: loads(tuple(line for each in tables for line in each))
)
STARTS = st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  by timezones


@given(tables=POLICIES, out=st.booleans(), said=st.sampled_from(ids.DualCriminality.values()))
def test_whatever_policy_loads_it_adds_nothing_and_what_is_open_can_be_answered_and_ended(
    tables: list[tuple[str, ...]], out: bool, said: ids.DualCriminality.ValueType
) -> None:
    policy = load(*(line for each in tables for line in each))
    for step in STEPS:
        no = said_no(policy, step.rule, out=out, dual_criminality=said)
        if step.opens is None:
            assert no is None or (no == "dual_criminality" and step.reviews)
        if step.opens is None and step.countersigned_by is None:
            assert not policy.countersigners(step.rule)
        assert step.rule.sender not in policy.countersigners(step.rule)


@given(
    tables=POLICIES,
    start=STARTS,
    country=st.sampled_from(["ee", "de", "pt", "in"]),
)
def test_whatever_policy_loads_no_time_limit_is_longer_than_the_laws(
    tables: list[tuple[str, ...]], start: datetime, country: str
) -> None:
    policy = load(*(line for each in tables for line in each))
    for rule, limit in LIMITS.items():
        if limit.length is None:
            assert policy.length(rule) is None
            continue
        due = deadlines.due(rule, start, country, length=policy.length(rule))
        assert due <= deadlines.due(rule, start, country)
