"""The page docs/procedure.md: the table of steps.py in prose, diagrams and tables.

In: nothing but the table. Out: Markdown with Mermaid state diagrams. A diagram is drawn for a family of matters and
collapsed: parallel ways are one arrow, what leads to one state from many begins at a box of its own, and what changes
nothing is listed below.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from rogatory.v1 import identifiers_pb2 as ids

from gateway.cli import procedure_words as words
from gateway.deadlines import LIMITS, Acts, Ends, TimeLimit
from gateway.rules import ACTS_NEXT, ALLOWED, DONE, FINAL, ClockRule, Effect, Kind, RunsOut, State, Step, Where, word
from gateway.steps import ORDERS, PROVISIONAL, REQUESTS, RUNS_OUT, STEPS, WATCHES

_HEAD: Final = """# The procedure

Made by `rogatory procedure --markdown` from the table in `gateway/steps.py`, which both nodes of a case enforce on
signed headers alone. What no row allows is refused. `rogatory procedure explain KIND --from ROLE --to ROLE` says of
any envelope whether it is lawful, on which conditions and what follows.

A *matter* is an envelope that asks for something and so has a state: a draft, a request to another State, a referral
to a court, an order to an exchange. Whatever cites it, or cites what cites it, is about it. A row says: this kind, from
this role to that one, citing one of these kinds, is lawful while the matter is in one of these states, and puts it into
that one. Abroad, two messages may cross; each is then still taken, and both nodes agree in the end.

Nothing from abroad reaches an exchange, and an exchange begins nothing: it answers its own country's court, and those
provisional orders that its country's law lets an FIU or contact point give. What is asked of another State in due form
is countersigned. Nothing rests on intelligence."""

_MANY: Final = 3
"""From so many states on, a way is drawn from a box of its own."""
_MERGED: Final[Mapping[State, str]] = {
    **dict.fromkeys(ALLOWED, "allowed"),
    **dict.fromkeys(DONE, "done"),
}
"""States that differ in how much, and are drawn as one."""
_MERGED_NAMES: Final[Mapping[str, str]] = {
    "allowed": "granted, wholly or in part",
    "done": "executed, wholly or in part",
}


@dataclass(frozen=True, slots=True)
class Family:
    """Matters that go the same ways."""

    title: str
    kinds: frozenset[Kind]
    where: Where

    @property
    def matters(self) -> tuple[Step, ...]:
        """The rows that open them."""
        return tuple(
            step for step in STEPS if step.opens and step.rule.kind in self.kinds and step.rule.where is self.where
        )


FAMILIES: Final = (
    Family("A draft", frozenset({ids.KIND_DRAFT}), Where.HOME),
    Family("A request between States", REQUESTS, Where.ABROAD),
    Family("A referral to a court", frozenset({ids.KIND_REVIEW_REFERRAL}), Where.HOME),
    Family("An order to an exchange", ORDERS - {ids.KIND_PROVISIONAL_ORDER, ids.KIND_TRANSFER_ORDER}, Where.HOME),
    Family("A provisional order to an exchange", frozenset({ids.KIND_PROVISIONAL_ORDER}), Where.HOME),
    Family("An order to move assets", frozenset({ids.KIND_TRANSFER_ORDER}), Where.HOME),
    Family("What is asked at once", PROVISIONAL, Where.ABROAD),
)


def page() -> str:
    """Return the procedure as a page of Markdown; `docs/procedure.md` is this page."""
    parts = [_HEAD, "## Where a matter stands", *_states(), "## How matters go", *_families()]
    for hop in words.HOPS:
        parts += [f"## {hop}", _rows(step for step in STEPS if words.hop(step) == hop)]
    parts += ["## Time limits", *_limits()]
    return "\n\n".join(parts) + "\n"


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = [*headings]
    lines = [head, ["---"] * len(head), *([*row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _states() -> Iterator[str]:
    rows = ((state.value, words.MEANINGS[state], ACTS_NEXT[state].value) for state in State)
    yield _table(("state", "what it means", "who acts next"), rows)
    yield "Several at once:"
    yield "\n".join(f"- *{name}*: {words.listed(members)}" for name, members in words.SETS)


def _families() -> Iterator[str]:
    yield (
        "Each diagram shows every way that a matter of its family can go, and the envelope or the time limit that "
        "makes it go there. What begins at *several* is lawful in each of the states named below the diagram."
    )
    for family in FAMILIES:
        yield f"### {family.title}"
        yield from _diagram(family)


def _diagram(family: Family) -> Iterator[str]:
    found = (words.ways(matter, holds=holds) for matter in family.matters for holds in words.may_hold(matter))
    sources: dict[tuple[str, str], dict[State, None]] = {}
    stays: dict[str, dict[State, None]] = {}
    for way in dict.fromkeys(chain.from_iterable(found)):
        label = _label(way.by)
        if way.at is way.to:
            stays.setdefault(label, {})[way.at] = None
        else:
            sources.setdefault((label, _node(way.to)), {})[way.at] = None
    arrows: dict[tuple[str, str], dict[str, None]] = {}
    several: list[str] = []
    for (label, to), at in sources.items():
        if len({_node(state) for state in at}) < _MANY:
            for state in at:
                if _node(state) != to:
                    arrows.setdefault((_node(state), to), {})[label] = None
        else:
            arrows.setdefault(("several", to), {})[label] = None
            several.append(f"- {label}: *{_name(to)}*, from {words.states(at)}")
    yield "\n".join(["```mermaid", "stateDiagram-v2", *_drawn(family, arrows), "```"])
    if several:
        yield "From several:"
        yield "\n".join(several)
    nothing = [f"- {label}: while {words.states(at)}" for label, at in stays.items()]
    if nothing:
        yield "Lawful, and the matter stays where it is:"
        yield "\n".join(nothing)


def _drawn(family: Family, arrows: Mapping[tuple[str, str], Iterable[str]]) -> Iterator[str]:
    nodes = dict.fromkeys(node for ends in arrows for node in ends)
    for node in nodes:
        if node != _name(node):
            yield f'    state "{_name(node)}" as {node}'
    for begun in dict.fromkeys(_node(step.opens) for step in family.matters if step.opens):
        yield f"    [*] --> {begun}"
    for (at, to), labels in arrows.items():
        yield f"    {at} --> {to} : {', '.join(labels)}"
    for node in nodes:
        if node in {_node(state) for state in FINAL}:
            yield f"    {node} --> [*]"


def _node(state: State) -> str:
    return _MERGED.get(state, state.value.replace(" ", "_"))


def _name(node: str) -> str:
    return _MERGED_NAMES.get(node, node.replace("_", " "))


def _label(by: Step | RunsOut) -> str:
    return word(by.rule.kind) if isinstance(by, Step) else f"{words.limit(by.rule)} runs out"


def _rows(steps: Iterable[Step]) -> str:
    merged: dict[tuple[str, ...], list[str]] = {}
    for step in steps:
        key = (
            word(step.rule.kind),
            words.cites(step),
            words.states(step.at) if step.moves else "",
            words.then(step),
            _countersigned(step),
            step.law,
        )
        merged.setdefault(key, []).append(f"{step.rule.sender.value} to {step.rule.recipient.value}")
    rows = ((kind, "; ".join(parties), *others) for (kind, *others), parties in merged.items())
    return _table(("what", "from, to", "cites", "while", "then", "countersigned by", "law"), rows)


def _countersigned(step: Step) -> str:
    if step.countersigned_by is None:
        return ""
    return step.countersigned_by.value + (", save in an emergency" if step.countersigned_unless else "")


_ENDS: Final = {
    Ends.OVERDUE: "it is overdue, and the duty remains",
    Ends.LAPSES: "what it limits has lost its force",
    Ends.ENDS_DUTY: "who waits is no longer obliged",
    Ends.ENDS_RIGHT: "who might have objected may do so no more",
}
_ACTS: Final = {Acts.RECIPIENT: "whoever was asked", Acts.SENDER: "whoever asked"}


def _limits() -> Iterator[str]:
    yield (
        "Kept by the node of whoever was asked, which says so in signed words when one is due soon, overdue or has "
        "run out. Counted by Regulation 1182/71 in the calendar of the country that has to act."
    )
    yield _table(
        ("limit", "length", "who acts", "begins with", "met or stopped by", "rests", "when it runs out", "law"),
        (_limit(limit) for limit in LIMITS.values()),
    )


def _limit(limit: TimeLimit) -> tuple[str, ...]:
    length = "as the order says"
    if limit.length is not None:
        unit = limit.length.unit.value
        length = f"{limit.length.count} {unit if limit.length.count > 1 else unit.removesuffix('s')}"
        length += " at most" if limit.at_most else ""
    paused = [each for each in (_by(limit.rule, "pauses"), _by(limit.rule, "resumes")) if each]
    watched = words.listed(state for state, rule in WATCHES.items() if rule == limit.rule)
    begins = f"whatever makes it {watched}" if watched else _by(limit.rule, "starts") or "set in documents alone"
    return (
        words.limit(limit.rule),
        length,
        _ACTS[limit.acts],
        begins + (", once it has arrived" if limit.from_receipt else ""),
        "whatever leads on from there" if watched else _by(limit.rule, "stops"),
        " until ".join(paused),
        _runs_out(limit),
        limit.law,
    )


def _by(rule: ClockRule, what: str) -> str:
    """Which kinds do that to a limit."""
    found = ((word(step.rule.kind), effect) for step in STEPS for effect in (step.clocks, step.above))
    return ", ".join(dict.fromkeys(kind for kind, effect in found if rule in _named(effect, what)))


def _named(effect: Effect, what: str) -> frozenset[ClockRule]:
    return {
        "starts": frozenset(start.rule for start in effect.starts),
        "stops": effect.stops,
        "pauses": effect.pauses,
        "resumes": effect.resumes,
    }[what]


def _runs_out(limit: TimeLimit) -> str:
    rows = [row for row in RUNS_OUT if row.rule == limit.rule]
    told = [f"{words.kinds(row.kinds)} is {row.to.value}" for row in rows]
    return "; ".join(dict.fromkeys(told)) or _ENDS[limit.ends]
