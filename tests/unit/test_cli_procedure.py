"""`rogatory procedure` says what the nodes do: both read the same table."""

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rogatory.v1 import identifiers_pb2 as ids

from gateway.authorise import RULES, Rule, Where
from gateway.cli import commands
from gateway.cli.procedure import conditions, page
from gateway.identity import Role
from gateway.procedure import STEPS, Step

ROLES = [role for role in Role if role is not Role.NODE]
KINDS = [kind for kind in ids.Kind.values() if kind]


def name(kind: ids.Kind.ValueType) -> str:
    return ids.Kind.Name(kind).removeprefix("KIND_").lower().replace("_", "-")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["procedure", *arguments], catch_exceptions=False)


def test_every_kind_between_every_two_roles_is_answered_as_the_nodes_answer() -> None:
    for sender, recipient in itertools.product(ROLES, ROLES):
        for kind in KINDS:
            asked = ["explain", name(kind), "--from", sender.value, "--to", recipient.value, "--json"]
            result = run(*asked)
            allowed = any(Rule(kind, sender, recipient, where) in RULES for where in Where)
            assert json.loads(result.stdout)["allowed"] is allowed, asked
            assert result.exit_code == (0 if allowed else 2)


def test_a_no_names_what_there_is_instead() -> None:
    result = run("explain", "freeze-request", "--from", "investigator", "--to", "exchange")
    assert result.exit_code == 2
    assert "There is: freeze-request from investigator to central-authority abroad" in result.stdout


def test_a_kind_that_no_node_takes_is_said_to_be_one() -> None:
    assert not [rule for rule in RULES if rule.kind == ids.KIND_CLAIM]
    result = run("explain", "claim", "--from", "court", "--to", "exchange")
    assert "No node takes this kind at all." in result.stdout


@pytest.mark.parametrize("field", [each.name for each in dataclasses.fields(Step) if each.name not in {"link", "case"}])
def test_whatever_a_row_demands_is_told(field: str) -> None:
    """Another value of a field makes another text; so a field that is added must be told too."""
    rule = next(iter(STEPS))
    other: dict[str, Any] = {
        "cites": ids.KIND_DRAFT,
        "cited_outcomes": frozenset({ids.OUTCOME_GRANTED}),
        "outcomes": frozenset({ids.OUTCOME_REFUSED}),
        "once": True,
        "countersigned_by": Role.COURT,
        "grants": True,
        "is_test": True,
        "rests_on": (ids.KIND_DRAFT,),
        "same_outcome": True,
        "marks": ((1, 7),),
        "most_payload": 1024,
    }
    plain = Step(rests_on=(ids.KIND_DRAFT,)) if field == "same_outcome" else Step()
    assert [*conditions(rule, dataclasses.replace(plain, **{field: other[field]}))] != [*conditions(rule, plain)]


def test_every_way_through_the_procedure_has_an_end() -> None:
    """What a kind cites comes before it: without circles, every case runs out."""
    above = {rule.kind: {step.cites for each, step in STEPS.items() if each.kind == rule.kind} for rule in STEPS}
    sent = {rule.kind for rule in STEPS}
    for step in STEPS.values():
        assert not step.cites or step.cites in sent, "it cites what nobody can send"
    for kind in sent:
        seen: set[ids.Kind.ValueType] = set()
        todo = {kind}
        while todo := {up for each in todo for up in above.get(each, ()) if up} - seen:
            assert kind not in todo, f"{name(kind)} rests on itself"
            seen |= todo


def test_page_of_the_docs_is_the_table_of_the_nodes() -> None:
    assert (Path(__file__).parents[2] / "docs" / "procedure.md").read_text() == page()
    assert run("--markdown").stdout == page()


def test_table_and_json_have_a_row_for_each_rule() -> None:
    assert len(json.loads(run("--json").stdout)["steps"]) == len(RULES)
    assert len(run().stdout.strip().splitlines()) == len(RULES) + 1
