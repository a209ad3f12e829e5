"""`rogatory procedure` says what the nodes do: both read the same table."""

import dataclasses
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway.cli import commands
from gateway.cli.procedure import Question, answer
from gateway.cli.procedure_page import FAMILIES, page
from gateway.cli.procedure_words import HOPS, conditions, consequences, hop, may_hold, ways
from gateway.deadlines import LIMITS
from gateway.errors import ErrorCode
from gateway.identity import Role
from gateway.rules import CaseRule, Effect, Link, Move, Rule, Start, State, Step, Where, word
from gateway.steps import BY_CITATION, RULES, STEPS

ROLES = [role for role in Role if role is not Role.NODE]
KINDS = [kind for kind in ids.Kind.values() if kind]
MOST_LINES = 900
"""Of the page: what is longer nobody reads."""
# `law` and `rule` are told with every row, which the tests of the command look at.
TOLD = [each.name for each in dataclasses.fields(Step) if each.name not in {"law", "rule"}]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["procedure", *arguments], catch_exceptions=False)


def explained(*arguments: str) -> dict[str, Any]:
    found = json.loads(run("explain", *arguments, "--json").stdout)
    assert isinstance(found, dict)
    return found


def test_every_kind_between_every_two_roles_is_answered_as_the_nodes_answer() -> None:
    rules = set(RULES)
    for kind, sender, recipient, where in itertools.product(KINDS, ROLES, ROLES, Where):
        found = answer(Question(kind, sender, recipient, where))
        allowed = Rule(kind, sender, recipient, where) in rules
        assert (found.code is None, bool(found.steps)) == (allowed, allowed)
        assert allowed or found.code is ErrorCode.NOT_PERMITTED


def test_every_citation_in_every_state_is_answered_as_the_nodes_answer() -> None:
    for rule, cited in itertools.product(RULES, ids.Kind.values()):
        step = BY_CITATION.get((rule, cited))
        for state in State if step is not None else [None]:
            found = answer(Question(rule.kind, rule.sender, rule.recipient, rule.where, cited, state))
            lawful = step is not None and (not step.moves or state in step.at)
            assert found.steps == ((step,) if lawful else ())
            assert lawful or found.code is ErrorCode.OUT_OF_ORDER


def test_a_yes_names_article_conditions_and_what_follows() -> None:
    result = run(
        "explain", "freeze-request", "--from", "investigator", "--to", "central-authority", "--citing", "nothing"
    )
    assert result.exit_code == 0
    assert "2018/1805 Art. 4(1)" in result.stdout
    assert "countersigned by a central-authority" in result.stdout
    assert "the limit urgent-decision of it begins" in result.stdout


def test_a_no_names_what_there_is_instead_and_in_which_article() -> None:
    found = explained("freeze-request", "--from", "investigator", "--to", "exchange")
    assert found["code"] == "NOT_PERMITTED"
    assert any("to central-authority abroad (2018/1805 Art. 4(1)" in reason for reason in found["reasons"])
    assert run("explain", "freeze-request", "--from", "investigator", "--to", "exchange").exit_code == 2


def test_a_step_out_of_order_is_refused_with_the_states_in_which_it_is_lawful() -> None:
    asked = ["closure", "--from", "investigator", "--to", "central-authority", "--abroad"]
    assert explained(*asked, "--state", "executed")["allowed"]
    found = explained(*asked, "--state", "asked")
    assert (found["allowed"], found["code"]) == (False, "OUT_OF_ORDER")
    assert any("executed" in reason for reason in found["reasons"])


def test_at_home_and_abroad_are_told_apart() -> None:
    asked = ["withdrawal", "--from", "investigator", "--to", "central-authority"]
    assert len(explained(*asked)["steps"]) == 2
    for where in ("--at-home", "--abroad"):
        assert len(explained(*asked, where)["steps"]) == 1


def test_nothing_cites_intelligence() -> None:
    asked = ["freeze-request", "--from", "investigator", "--to", "central-authority"]
    found = explained(*asked, "--citing", "watchlist-notice")
    assert found["code"] == "OUT_OF_ORDER"
    assert any("UNCAC Art. 46" in reason for reason in found["reasons"])


@pytest.mark.parametrize("field", TOLD)
def test_whatever_a_row_demands_is_told(field: str) -> None:
    """Another value of a field makes another text; so a field that is added must be told too."""
    plain = Step(
        rule=Rule(ids.KIND_CLOSURE, Role.INVESTIGATOR, Role.CENTRAL_AUTHORITY, Where.ABROAD),
        law="",
        cites=frozenset({ids.KIND_FREEZE_REQUEST}),
        rests_on=(frozenset({ids.KIND_DRAFT}),),
        outcomes=frozenset({ids.OUTCOME_REFUSED}),
        countersigned_by=Role.CENTRAL_AUTHORITY,
    )
    effect = Effect(starts=(Start(clocks.CLOCK_RULE_PROVISIONAL),))
    other: dict[str, Any] = {
        "cites": frozenset({ids.KIND_DRAFT}),
        "link": Link.REPORTS_ON,
        "case": CaseRule.OWN,
        "opens": State.ASKED,
        "moves": (Move(frozenset({State.ASKED}), State.CLOSED),),
        "crosses": frozenset({State.CLOSED}),
        "countersigned_by": Role.COURT,
        "countersigned_unless": ids.URGENCY_EMERGENCY,
        "needs_open": clocks.CLOCK_RULE_PROVISIONAL,
        "waits_for": frozenset({clocks.CLOCK_RULE_PROVISIONAL}),
        "outcomes": frozenset({ids.OUTCOME_GRANTED}),
        "grounds": frozenset({ids.GROUND_DESTROYED}),
        "measures": frozenset({ids.MEASURE_TRANSFER}),
        "data_classes": frozenset({ids.DATA_CLASS_BALANCE}),
        "emergency_classes": frozenset({ids.DATA_CLASS_BALANCE}),
        "clocks": effect,
        "above": effect,
        "rests_on": (frozenset({ids.KIND_CLAIM}),),
        "or_rests_on": (frozenset({ids.KIND_CLAIM}),),
        "fails_on": ((frozenset({ids.KIND_CLAIM}),),),
        "all_ended_on": frozenset({ids.OUTCOME_REFUSED}),
        "all_ended_for": frozenset({ids.GROUND_DESTROYED}),
        "never_below": frozenset({ids.KIND_PRESERVATION_REQUEST}),
        "most_payload": 1024,
        "marks": ((1, 7),),
    }
    changed = dataclasses.replace(plain, **{field: other.get(field, not getattr(plain, field))})
    assert _told(changed) != _told(plain)


def _told(step: Step) -> list[str]:
    return [*conditions(step), *consequences(step)]


def test_rows_of_one_part_stand_together_in_the_table() -> None:
    assert [part for part, _ in itertools.groupby(map(hop, STEPS))] == [*HOPS]


def test_table_and_json_have_a_line_for_each_row() -> None:
    assert len(json.loads(run("--json").stdout)["steps"]) == len(STEPS)
    lines = [line for line in run().stdout.splitlines() if line]
    assert len(lines) == len(STEPS) + 2 * len(HOPS) + 1, "a heading, names of columns, and one line of words below all"


def test_filters_leave_only_rows_of_that_kind_and_role() -> None:
    rows = json.loads(run("--kind", "release", "--role", "exchange", "--json").stdout)["steps"]
    expected = [step for step in STEPS if step.rule.kind == ids.KIND_RELEASE and step.rule.recipient is Role.EXCHANGE]
    assert len(rows) == len(expected) > 0
    assert {row["kind"] for row in rows} == {"release"}


def test_page_of_the_docs_is_the_table_of_the_nodes() -> None:
    assert (Path(__file__).parents[2] / "docs" / "procedure.md").read_text() == page()
    assert run("--markdown").stdout == page()


def test_page_is_short_enough_to_be_read_and_names_every_kind_state_and_limit() -> None:
    text = page()
    assert len(text.splitlines()) < MOST_LINES
    names = [*map(word, KINDS), *(state.value for state in State)]
    limits = [clocks.ClockRule.Name(rule).removeprefix("CLOCK_RULE_").lower().replace("_", "-") for rule in LIMITS]
    for name in [*names, *limits]:
        assert f"| {name} |" in text, name


NODE = r"(?:\[\*\]|[a-z]+(?:_[a-z]+)*)"
MERMAID_LINES = (
    re.compile(r'    state "[a-z, ]+" as [a-z]+(?:_[a-z]+)*'),
    re.compile(rf"    {NODE} --> {NODE}(?: : [a-z -]+(?:, [a-z -]+)*)?"),
)
# Words of Mermaid's own that are no names of states (stateDiagram.jison).
RESERVED = {"state", "note", "end", "direction", "class", "click", "style", "default", "hide", "as"}


def test_diagrams_are_mermaid() -> None:
    diagrams = re.findall(r"^```mermaid\n(.*?)\n```$", page(), re.DOTALL | re.MULTILINE)
    assert len(diagrams) == len(FAMILIES)
    for diagram in diagrams:
        head, *lines = diagram.splitlines()
        assert head == "stateDiagram-v2"
        for line in lines:
            assert any(form.fullmatch(line) for form in MERMAID_LINES), line
        arrows = [line.split(" : ")[0].strip().split(" --> ") for line in lines if "-->" in line]
        assert len(arrows) == len(set(map(tuple, arrows))), "parallel arrows are one"
        nodes = {node for arrow in arrows for node in arrow} - {"[*]"}
        assert not nodes & RESERVED
        assert {line.rsplit(" as ")[1] for line in lines if " as " in line} <= nodes
        assert ["[*]", "asked"] in arrows


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.title)
def test_diagrams_and_the_lists_below_show_every_kind_that_is_about_the_matter(family: Any) -> None:
    section = page().split(f"### {family.title}\n")[1].split("\n#")[0]
    for matter in family.matters:
        for holds in may_hold(matter):
            for way in ways(matter, holds=holds):
                if isinstance(way.by, Step):
                    assert re.search(rf"(?<![a-z-]){word(way.by.rule.kind)}(?![a-z-])", section), way
