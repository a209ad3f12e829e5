"""`rogatory procedure`: the law's order of steps, as the nodes enforce it.

In: nothing, or a kind and two roles. Out: the rule table as a table, as a page, or a yes or no with the reasons. All of
it is read off `authorise.RULES` and `procedure.STEPS`: what a node does and what is shown here cannot differ.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import click
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway.authorise import Rule, Where
from gateway.cli import output
from gateway.cli.home import word
from gateway.identity import Role
from gateway.procedure import STEPS, CaseRule, Link, Step

_KINDS: Final = {word(ids.Kind.DESCRIPTOR, value): value for value in ids.Kind.values() if value}
_SENDERS: Final = [role.value for role in Role if role is not Role.NODE]

_LINKS: Final = {
    Link.ANSWERS: "to its sender, by its recipient",
    Link.PASSES_ON: "by its recipient, to somebody else than its sender",
    Link.FOLLOWS_UP: "by its sender, to somebody else than its recipient",
    Link.REPORTS_ON: "by its sender, to its recipient",
}
_ABOVE: Final = {1: "what it cites", 2: "what that cites"}
_CASES: Final = {
    CaseRule.SAME: "in the same case",
    CaseRule.OWN: "in a case of its own, which tells nothing of the one above",
    CaseRule.FREE: "in any case",
}


def conditions(rule: Rule, step: Step) -> Iterator[str]:
    """Yield what makes this envelope the lawful next step, a sentence each."""
    yield from _ground(rule, step)
    yield from _content(step)
    yield from _effect(step)


def _ground(rule: Rule, step: Step) -> Iterator[str]:
    """What it rests on."""
    if step.countersigned_by is not None:
        role = step.countersigned_by.value
        yield f"countersigned by a {role} of the sender's country (2018/1805 Art. 2(8)(a)(ii))"
    if not step.cites:
        yield "cites nothing"
    else:
        yield f"cites one {_kind(step.cites)}: {_LINKS[step.link]}, {_CASES[step.case]}"
    if step.cited_outcomes:
        yield f"what it cites was {_outcomes(step.cited_outcomes)}"
    if step.rests_on:
        chain = ", then ".join(_kind(kind) for kind in step.rests_on)
        same = " of the same outcome and ground" if step.same_outcome else ""
        yield f"at the sender's node there is recorded, down from what it cites: {chain}{same}"
    if rule.where is Where.HOME:
        yield "names no instrument: it is domestic"
    else:
        yield (
            "names the instrument of what it cites" if step.cites else "an instrument in force binds both States for it"
        )


def _content(step: Step) -> Iterator[str]:
    """What its header may say."""
    decides = [outcome for outcome in step.outcomes if outcome]
    yield f"its outcome: {_outcomes(decides)}" if decides else "it carries no outcome"
    if step.most_payload is not None:
        yield f"its sealed payload has at most {step.most_payload} bytes"
    if step.is_test:
        yield "names no measure and no class of data, in a case that says TEST: nothing follows from it in law"
        return
    if step.grants:
        yield "names a measure, unless it refuses"
    if step.cites:
        yield "its measures and classes of data are among those of what it cites and rests on"


def _effect(step: Step) -> Iterator[str]:
    """What it does to those before it."""
    if step.once:
        yield "the first one, and the only one"
    for up, milestone in step.marks:
        marked = pb.Milestone.Name(milestone).removeprefix("MILESTONE_").lower()
        yield f"it makes {_ABOVE[up]} {marked}"


def page() -> str:
    """Return the procedure as a page of Markdown; `docs/procedure.md` is this page."""
    head = """# The procedure

Made by `rogatory procedure --markdown` from the table that every node enforces, on signed headers alone. What no row
allows is refused.
"""
    arrows = [f"    {_box(step.cites)} -- {_way(rule)} --> {_box(rule.kind)}" for rule, step in STEPS.items()]
    diagram = "\n".join(["```mermaid", "flowchart TD", *arrows, "```"])
    rows = [
        f"## {rule}\n\n" + "\n".join(f"- {each}" for each in conditions(rule, step)) for rule, step in STEPS.items()
    ]
    return "\n\n".join([head.rstrip(), diagram, *rows]) + "\n"


def _way(rule: Rule) -> str:
    return f'"{rule.sender.value} to {rule.recipient.value}, {rule.where.value}"'


def _box(kind: ids.Kind.ValueType) -> str:
    name = _kind(kind) or "begin"
    return f'{name.replace("-", "_")}["{name}"]'


def _kind(kind: ids.Kind.ValueType) -> str:
    return word(ids.Kind.DESCRIPTOR, kind)


@click.group(
    invoke_without_command=True,
    epilog="\b\nExample:\n  rogatory procedure explain domestic-order --from court --to exchange",
)
@click.option("--markdown", is_flag=True, help="As a page with a diagram.")
@output.json_option
@click.pass_context
def command(ctx: click.Context, markdown: bool, as_json: bool) -> None:
    """Show the order of steps that the nodes enforce: who may send what to whom, resting on what."""
    if ctx.invoked_subcommand is not None:
        return
    if markdown:
        click.echo(page(), nl=False)
    elif as_json:
        output.emit_json({"steps": [_as_object(rule, step) for rule, step in STEPS.items()]})
    else:
        columns = ("kind", "from", "to", "where", "cites", "outcome", "countersigned by")
        output.emit_table(columns, [_row(rule, step) for rule, step in STEPS.items()])


@command.command(epilog="\b\nExample:\n  rogatory procedure explain freeze-request --from investigator --to exchange")
@click.argument("kind", type=click.Choice(sorted(_KINDS)))
@click.option("--from", "sender", required=True, type=click.Choice(_SENDERS), help="Role of the sender.")
@click.option("--to", "recipient", required=True, type=click.Choice(_SENDERS), help="Role of the recipient.")
@output.json_option
@click.pass_context
def explain(ctx: click.Context, kind: str, sender: str, recipient: str, as_json: bool) -> None:
    """Say whether somebody may send KIND to somebody, at home or abroad, and on which conditions, or why not."""
    asked = [Rule(_KINDS[kind], Role(sender), Role(recipient), where) for where in Where]
    allowed = [rule for rule in asked if rule in STEPS]
    others = [rule for rule in STEPS if rule.kind == _KINDS[kind]]
    if as_json:
        output.emit_json(
            {
                "allowed": bool(allowed),
                "steps": [_as_object(rule, STEPS[rule]) for rule in allowed],
                "rows_of_this_kind": [str(rule) for rule in others],
            }
        )
    else:
        for rule in allowed:
            click.echo(f"Yes: {rule}, if it")
            for each in conditions(rule, STEPS[rule]):
                click.echo(f"  - {each}")
        if not allowed:
            click.echo(f"No: no rule lets {sender} send {kind} to {recipient}, at home or abroad.")
            for rule in others:
                click.echo(f"  There is: {rule}")
            if not others:
                click.echo("  No node takes this kind at all.")
    if not allowed:
        ctx.exit(output.REFUSED)


def _row(rule: Rule, step: Step) -> tuple[str, ...]:
    return (
        _kind(rule.kind),
        rule.sender.value,
        rule.recipient.value,
        rule.where.value,
        _kind(step.cites),
        _outcomes(outcome for outcome in step.outcomes if outcome),
        step.countersigned_by.value if step.countersigned_by is not None else "",
    )


def _as_object(rule: Rule, step: Step) -> dict[str, object]:
    return {
        "kind": _kind(rule.kind),
        "from": rule.sender.value,
        "to": rule.recipient.value,
        "where": rule.where.value,
        "conditions": [*conditions(rule, step)],
    }


def _outcomes(found: Iterable[ids.Outcome.ValueType]) -> str:
    return ", ".join(word(ids.Outcome.DESCRIPTOR, value) for value in sorted(found))
