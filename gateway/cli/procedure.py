"""`rogatory procedure`: the law's order of steps, as the nodes enforce it.

In: nothing, or a kind and two roles. Out: the table of steps.py as a table, as a page, or a yes or no with the reasons
and what follows. All of it is read off that table: what a node does and what is shown here cannot differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import click
from rogatory.v1 import identifiers_pb2 as ids

from gateway.cli import output
from gateway.cli import procedure_words as words
from gateway.cli.procedure_page import page
from gateway.errors import ErrorCode
from gateway.identity import Role
from gateway.row_checks import rows
from gateway.rules import ACTS_NEXT, Kind, Rule, State, Step, Turn, Where, word
from gateway.steps import INTELLIGENCE, STEPS

_KINDS: Final = {word(value): value for value in ids.Kind.values() if value}
_ROLES: Final = [role.value for role in Role if role is not Role.NODE]
_NOTHING: Final = "nothing"


@click.group(
    invoke_without_command=True,
    epilog="\b\nExample:\n  rogatory procedure explain domestic-order --from court --to exchange",
)
@click.option("--markdown", is_flag=True, help="As a page with diagrams.")
@click.option("--kind", metavar="KIND", type=click.Choice(sorted(_KINDS)), help="Only rows of this kind.")
@click.option("--role", type=click.Choice(_ROLES), help="Only rows from or to this role.")
@output.json_option
@click.pass_context
def command(ctx: click.Context, markdown: bool, kind: str | None, role: str | None, as_json: bool) -> None:
    """Show the order of steps that the nodes enforce: who may send what to whom, resting on what."""
    if ctx.invoked_subcommand is not None:
        return
    if markdown:
        click.echo(page(), nl=False)
        return
    steps = [
        step
        for step in STEPS
        if kind in (None, word(step.rule.kind)) and role in (None, step.rule.sender.value, step.rule.recipient.value)
    ]
    if as_json:
        output.emit_json({"steps": [_as_object(step) for step in steps]})
    else:
        _show(steps)


def _show(steps: Sequence[Step]) -> None:
    columns = ("kind", "from", "to", "while", "then", "cites")
    shown = 0
    for hop in words.HOPS:
        rows = [_row(step) for step in steps if words.hop(step) == hop]
        if rows:
            click.echo(("\n" if shown else "") + hop)
            output.emit_table(columns, rows)
            shown += len(rows)
    click.echo(f"\n{shown} rows. {_glossary()}")


def _glossary() -> str:
    return "; ".join(f"{name}: {words.listed(members)}" for name, members in words.SETS) + "."


def _row(step: Step) -> tuple[str, ...]:
    rule = step.rule
    while_ = words.states(step.at) if step.moves else ""
    return (word(rule.kind), rule.sender.value, rule.recipient.value, while_, words.then(step), words.cites(step))


@dataclass(frozen=True, slots=True)
class Question:
    """Whether somebody may send that now; None: whatever it is.

    Args:
        kind: of the envelope.
        sender: role of who sends it.
        recipient: role of whom it is for.
        where: at home or abroad.
        citing: kind of what it cites; KIND_UNSPECIFIED: nothing.
        state: of the matter that it is about.
    """

    kind: Kind
    sender: Role
    recipient: Role
    where: Where | None = None
    citing: Kind | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Yes or no.

    Args:
        steps: the rows that allow it.
        code: with which a node refuses it; None if it does not.
        reasons: why not, and what there is instead.
    """

    steps: tuple[Step, ...]
    code: ErrorCode | None = None
    reasons: tuple[str, ...] = ()


def answer(asked: Question) -> Answer:
    """Return what the table says, in the order in which a node asks it: roles, what is cited, the state."""
    wheres = [asked.where] if asked.where is not None else Where
    rules = (Rule(asked.kind, asked.sender, asked.recipient, where) for where in wheres)
    found = tuple(chain.from_iterable(map(rows, rules)))
    if not found:
        return Answer((), ErrorCode.NOT_PERMITTED, tuple(_why_not_permitted(asked)))
    fitting = tuple(step for step in found if asked.citing is None or asked.citing in (step.cites or {_NO_KIND}))
    if not fitting:
        return Answer((), ErrorCode.OUT_OF_ORDER, tuple(_why_not_cited(asked, found)))
    lawful = tuple(step for step in fitting if asked.state is None or not step.moves or asked.state in step.at)
    if not lawful:
        return Answer((), ErrorCode.OUT_OF_ORDER, tuple(_why_not_now(asked.state, fitting)))
    return Answer(lawful)


_NO_KIND: Final = ids.KIND_UNSPECIFIED


def _why_not_permitted(asked: Question) -> Iterator[str]:
    where = f" {asked.where.value}" if asked.where else ", at home or abroad"
    yield f"No row lets {asked.sender.value} send {word(asked.kind)} to {asked.recipient.value}{where}."
    if asked.recipient is Role.EXCHANGE and asked.where is not Where.HOME:
        yield "Nothing from abroad reaches an exchange: execution is governed by its own State (2018/1805 Art. 23(1))."
    if asked.sender is Role.EXCHANGE:
        yield "An exchange begins nothing: it answers whoever ordered, and may complain at home."
    there_is = {step.rule: step.law for step in STEPS if step.rule.kind == asked.kind}
    for rule, law in there_is.items():
        yield f"There is: {rule} ({law})"
    if not there_is:
        yield "No node takes this kind at all."


def _why_not_cited(asked: Question, found: Sequence[Step]) -> Iterator[str]:
    yield f"It cites no {word(asked.citing)}." if asked.citing else "It has to cite something."
    if asked.citing in INTELLIGENCE:
        yield "Nothing rests on intelligence (UNCAC Art. 46(4)-(5); INTERPOL Silver Notice)."
    for step in found:
        yield f"{step.rule} cites {words.cites(step)} ({step.law})"


def _why_not_now(state: State | None, found: Sequence[Step]) -> Iterator[str]:
    if state is not None:
        turn = ACTS_NEXT[state]
        yield f"The matter is {state.value}: " + (
            "it has ended." if turn is Turn.NOBODY else f"{turn.value} acts next."
        )
    for step in found:
        yield f"{step.rule} is lawful while it is {words.listed(step.at)} ({step.law})"
        if state in step.crosses:
            yield "From another node it is still taken then, for it may have crossed; its own node refuses to send it."


@command.command(
    epilog="\b\nExample:\n  rogatory procedure explain closure --from investigator --to central-authority --state asked"
)
@click.argument("kind", metavar="KIND", type=click.Choice(sorted(_KINDS)))
@click.option("--from", "sender", required=True, type=click.Choice(_ROLES), help="Role of the sender.")
@click.option("--to", "recipient", required=True, type=click.Choice(_ROLES), help="Role of the recipient.")
@click.option("--at-home", "where", flag_value=Where.HOME.value, help="Within one country.")
@click.option("--abroad", "where", flag_value=Where.ABROAD.value, help="From one country to another.")
@click.option(
    "--citing",
    metavar="KIND",
    type=click.Choice([_NOTHING, *sorted(_KINDS)]),
    help=f"Kind of what it cites, or: {_NOTHING}.",
)
@click.option("--state", type=click.Choice([state.value for state in State]), help="State of the matter.")
@output.json_option
@click.pass_context
def explain(
    ctx: click.Context,
    kind: str,
    sender: str,
    recipient: str,
    where: str | None,
    citing: str | None,
    state: str | None,
    as_json: bool,
) -> None:
    """Say whether somebody may send KIND to somebody, on which conditions and what follows; or why not."""
    asked = Question(
        _KINDS[kind],
        Role(sender),
        Role(recipient),
        Where(where) if where else None,
        _KINDS.get(citing, _NO_KIND) if citing else None,
        State(state) if state else None,
    )
    found = answer(asked)
    if as_json:
        output.emit_json(
            {
                "allowed": bool(found.steps),
                "code": found.code.name if found.code is not None else "",
                "reasons": [*found.reasons],
                "steps": [_as_object(step, asked.state) for step in found.steps],
            }
        )
    else:
        for line in _told(found, asked.state):
            click.echo(line)
    if not found.steps:
        ctx.exit(output.REFUSED)


def _told(found: Answer, state: State | None) -> Iterator[str]:
    for step in found.steps:
        yield f"Yes: {step.rule}, if it fits ({step.law}):"
        yield from (f"  - {each}" for each in words.conditions(step))
        yield "  What follows:"
        yield from (f"  - {each}" for each in [*words.consequences(step, state)] or ["nothing"])
    if found.code is not None:
        first, *others = found.reasons
        yield f"No ({found.code.name}): {first}"
        yield from (f"  {each}" for each in others)


def _as_object(step: Step, state: State | None = None) -> dict[str, object]:
    return {
        "part": words.hop(step),
        "kind": word(step.rule.kind),
        "from": step.rule.sender.value,
        "to": step.rule.recipient.value,
        "where": step.rule.where.value,
        "law": step.law,
        "cites": [word(kind) for kind in sorted(step.cites)],
        "begins": step.opens.value if step.opens is not None else "",
        "while": [each.value for each in State if each in step.at],
        "conditions": [*words.conditions(step)],
        "follows": [*words.consequences(step, state)],
    }
