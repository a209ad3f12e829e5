"""Rows of the table of steps.py in words, and which matters each of them is about.

In: a `Step`. Out: sentences, and the ways of a matter from state to state. All of it is read off the table, for
`rogatory procedure` and its page: what a node does and what is told of it cannot differ.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway.cli.home import word as enum_word
from gateway.identity import Role
from gateway.rules import (
    ALLOWED,
    ANY_OUTCOME,
    DONE,
    FINAL,
    OPEN,
    STANDING,
    UNANSWERED,
    UNDECIDED,
    CaseRule,
    ClockRule,
    Effect,
    Ground,
    Kind,
    Link,
    Move,
    Outcome,
    Rule,
    RunsOut,
    Start,
    State,
    Step,
    Urgency,
    Where,
    word,
)
from gateway.steps import HOLDING, INHERITED, REQUESTS, RUNS_OUT, STEPS, WATCHES

HOPS: Final = (
    "Before it leaves",
    "Between States",
    "Before the court",
    "At the exchange",
    "At once",
    "Complaints",
    "Trials",
)

SETS: Final = (
    ("open", OPEN),
    ("final", FINAL),
    ("standing", STANDING),
    ("undecided", UNDECIDED),
    ("unanswered", UNANSWERED),
    ("allowed", ALLOWED),
    ("done", DONE),
)
"""Short words for several states, the widest first."""
MEANINGS: Final[Mapping[State, str]] = {
    State.ASKED: "it has been sent, and nobody has answered",
    State.ACKNOWLEDGED: "it is there, and is dealt with",
    State.CLARIFYING: "whoever was asked has asked back",
    State.OBJECTED: "the exchange objects, and does nothing until that is decided",
    State.POSTPONED: "it will be decided later, on a ground of the law",
    State.GRANTED: "a court has allowed it",
    State.PARTLY_GRANTED: "a court has allowed a part of it",
    State.EXECUTED: "what was allowed is done",
    State.PARTLY_EXECUTED: "a part of what was allowed is done",
    State.UNAVAILABLE: "it could not be done, and may be done later",
    State.CONFIRMED: "a court has confirmed what was provisional",
    State.LIMITING: "whoever asked is asked to limit it",
    State.SUSPENDED: "a remedy suspends it",
    State.UNBOUND: "whoever was asked is no longer obliged",
    State.DISPOSED: "what was recovered is where it belongs",
    State.WITHDRAWN: "whoever asked has taken it back, and what was done is to be ended",
    State.RELEASING: "the exchange is to release what it holds, and to confirm that",
    State.TO_DELETE: "data that came are to be deleted, or not to be used",
    State.COUNTERSIGNED: "the central authority has signed it",
    State.RETURNED: "the central authority has not signed it",
    State.REFUSED: "it is refused, on a ground of the law",
    State.IMPOSSIBLE: "it can never be done",
    State.FORWARDED: "it was passed on to the competent authority, to which it is made anew",
    State.LAPSED: "a time limit has ended it",
    State.RELEASED: "what was held is free again",
    State.CLOSED: "nothing is left to be done",
    State.UNDELIVERED: "it did not reach its recipient, or could not be read there",
    State.TOLD: "it asks for nothing",
}
"""Where a matter stands, for people."""

_FEW: Final = 4
"""So many states may be named as left out of `open`."""
_BUT: Final = 2
"""So many kinds may be named as left out of the requests between States."""
_MANY: Final = 20
"""Above so many kinds, those left out are named."""

_LINKS: Final = {
    Link.ANSWERS: "to its sender, by its recipient",
    Link.PASSES_ON: "by its recipient, to somebody else than its sender",
    Link.FOLLOWS_UP: "by its sender, to somebody else than its recipient",
    Link.REPORTS_ON: "by its sender, to its recipient",
    Link.COMPLAINS: "by one of its parties, to somebody who is none",
}
_CASES: Final = {
    CaseRule.SAME: "in the same case",
    CaseRule.OWN: "in a case of its own, which tells nothing of the one above",
    CaseRule.FREE: "in any case",
}
_ABOVE: Final = {1: "what it cites", 2: "what that cites"}


def hop(step: Step) -> str:
    """Return the part of the procedure to which a row belongs, one of `HOPS`."""
    sender, recipient = step.rule.sender, step.rule.recipient
    roles = {sender, recipient}
    if step.is_test:
        return "Trials"
    if Role.OMBUDSPERSON in roles:
        return "Complaints"
    if step.rule.where is Where.ABROAD:
        return "At once" if sender is recipient else "Between States"
    if Role.EXCHANGE in roles:
        return "At the exchange"
    drafts = {step.rule.kind, *step.cites} & {ids.KIND_DRAFT}
    return "Before it leaves" if drafts else "Before the court"


def citable(step: Step) -> tuple[Step, ...]:
    """Return the rows whose envelopes a row may cite: of those kinds, and with parties that fit."""
    return tuple(each for each in STEPS if each.rule.kind in step.cites and _fits(step, each.rule))


def _fits(step: Step, cited: Rule) -> bool:
    rule = step.rule
    match step.link:
        case Link.ANSWERS:
            back = Rule(cited.kind, cited.recipient, cited.sender, cited.where)
            return (rule.sender, rule.recipient, rule.where) == (back.sender, back.recipient, back.where)
        case Link.REPORTS_ON:
            return (rule.sender, rule.recipient, rule.where) == (cited.sender, cited.recipient, cited.where)
        case Link.PASSES_ON:
            return rule.sender is cited.recipient
        case Link.FOLLOWS_UP:
            return rule.sender is cited.sender
        case Link.COMPLAINS:
            return rule.sender in (cited.sender, cited.recipient)


@cache
def _all_matters() -> dict[Step, frozenset[Step]]:
    """For each row, the rows that open what it may be about: the nearest such one up each line of citations."""
    above = {step: citable(step) for step in STEPS}
    found = dict.fromkeys(STEPS, frozenset[Step]())
    grows = True
    while grows:
        grows = False
        for step, cited in above.items():
            now = frozenset[Step]().union(*({each} if each.opens else found[each] for each in cited))
            grows |= now != found[step]
            found[step] = now
    return found


@cache
def matters(step: Step) -> tuple[Step, ...]:
    """Return the rows that open the matters which a row may be about, in the order of the table."""
    found = _all_matters().get(step, frozenset())
    return tuple(each for each in STEPS if each in found)


@cache
def about(opened: Step) -> tuple[Step, ...]:
    """Return the rows that may be about a matter which that row opens, and depend on its state."""
    return tuple(step for step in STEPS if step.moves and opened in matters(step))


@dataclass(frozen=True, slots=True)
class Way:
    """A matter goes from one state to another, or stays, by a step or because a time limit runs out."""

    at: State
    to: State
    by: Step | RunsOut


def may_hold(opened: Step) -> tuple[bool, ...]:
    """Return whether a matter can ask that assets be held or taken, and whether it can ask for something else alone."""
    if opened.needs_measure:
        otherwise = bool(opened.measures - HOLDING)
    else:
        otherwise = not opened.asks or bool(opened.data_classes or opened.measures - HOLDING)
    return (*([True] if opened.measures & HOLDING else []), *([False] if otherwise else []))


def begun(opened: Step) -> frozenset[ClockRule]:
    """Return the time limits that may run for a matter itself."""
    rows = (opened, *(step for step in about(opened) if step.opens is None))
    inherited = INHERITED if opened.inherits else frozenset()
    return inherited | {start.rule for row in rows for start in row.clocks.starts if not start.again}


@cache
def ways(opened: Step, *, holds: bool) -> tuple[Way, ...]:
    """Return every way of a matter from the state in which it begins, as far as it reaches.

    Args:
        opened: the row that opens it.
        holds: whether it asks that assets be held or taken.
    """
    if opened.opens is None:
        raise ValueError(f"{opened.rule} opens no matter")
    grounds = [ids.GROUND_UNSPECIFIED, *sorted({g for step in STEPS for move in step.moves for g in move.grounds})]
    rows, limits = about(opened), begun(opened)
    found: dict[Way, None] = {}
    seen, todo = {opened.opens}, [opened.opens]
    while todo:
        at = todo.pop(0)
        here = [
            Way(at, to, step)
            for step in rows
            for outcome, ground in product(sorted(step.outcomes), grounds)
            if (to := step.then(at, outcome, ground, holds=holds)) is not None
        ]
        here += [
            Way(at, row.to, row)
            for row in RUNS_OUT
            if opened.rule.kind in row.kinds and row.rule in limits and at in row.at
        ]
        found |= dict.fromkeys(here)
        new = dict.fromkeys(way.to for way in here if way.to not in seen)
        seen |= new.keys()
        todo += new
    return tuple(found)


def states(found: Iterable[State]) -> str:
    """Return several states in few words, which the page explains, e.g. `undecided, done`."""
    left = frozenset(found)
    if left == frozenset(State):
        return "any"
    if 0 < len(OPEN - left) <= _FEW and not left & FINAL:
        return f"open but {listed(OPEN - left)}"
    words = []
    for name, members in SETS:
        if members <= left:
            words.append(name)
            left -= members
    return ", ".join([*words, *([listed(left)] if left else [])])


def listed(found: Iterable[State]) -> str:
    """Return several states by their names."""
    members = frozenset(found)
    return ", ".join(state.value for state in State if state in members)


def kinds(found: Iterable[Kind]) -> str:
    """Return what may be cited, in few words."""
    left = frozenset(found)
    every = frozenset(ids.Kind.values()) - {ids.KIND_UNSPECIFIED}
    if len(left) > _MANY:
        return f"anything but {', '.join(map(word, sorted(every - left)))}"
    words = []
    if len(left & REQUESTS) >= len(REQUESTS) - _BUT:
        but = ", ".join(map(word, sorted(REQUESTS - left)))
        words.append(f"any request but {but}" if but else "any request")
        left -= REQUESTS
    return " or ".join([*words, *map(word, sorted(left))])


def outcomes(found: Iterable[Outcome]) -> str:
    """Return several outcomes by their words; `none` is none."""
    return ", ".join(enum_word(ids.Outcome.DESCRIPTOR, value) or "none" for value in sorted(found))


def limit(rule: ClockRule) -> str:
    """Return the name of a time limit as people write it, e.g. urgent-decision."""
    return enum_word(clocks.ClockRule.DESCRIPTOR, rule)


def cites(step: Step) -> str:
    """Return what a row cites, in few words."""
    return kinds(step.cites) if step.cites else "nothing"


def then(step: Step) -> str:
    """Return the states that may follow, in few words."""
    found = dict.fromkeys(move.to.value if move.to is not None else "stays" for move in step.moves)
    begins = [f"begins: {step.opens.value}"] if step.opens is not None else []
    return "; ".join([*begins, *([", ".join(found)] if (found and [*found] != ["stays"]) or not begins else [])])


def conditions(step: Step) -> Iterator[str]:
    """Yield what makes an envelope the lawful next step, a sentence each."""
    yield from _ground(step)
    yield from _time(step)
    yield from _content(step)
    yield from _support(step)


def _ground(step: Step) -> Iterator[str]:
    """Whom and what it comes from."""
    if step.countersigned_by is not None:
        unless = f", unless it is {_urgency(step.countersigned_unless)}" if step.countersigned_unless else ""
        yield f"countersigned by a {step.countersigned_by.value} of the sender's country{unless}"
    if not step.cites:
        yield "cites nothing"
    else:
        named = kinds(step.cites)
        one = "" if named.startswith("any") else "one "
        yield f"cites {one}{named}: {_LINKS[step.link]}, {_CASES[step.case]}"
    if step.cites_elsewhere:
        yield "what it cites may have gone to a third country, whose node alone knows it"
    if step.rule.where is Where.HOME:
        yield "names no instrument: it is domestic"
    elif step.cites and step.opens is None:
        yield "names the instrument of what it cites"
    else:
        yield "an instrument in force binds both States for it"


def _time(step: Step) -> Iterator[str]:
    """When it may be sent."""
    if step.moves:
        named = " or ".join(dict.fromkeys(word(each.rule.kind) for each in matters(step)))
        yield f"the {named} is {listed(step.at)}"
    if step.crosses:
        yield (
            f"if it crossed with what led there, it is still taken when that is {listed(step.crosses)}, "
            "and changes nothing unless it would have ended the matter"
        )
    if step.needs_live:
        yield "no matter above that has ended or is ending"
    if step.needs_open is not None:
        yield f"the limit {limit(step.needs_open)} still runs"
    if step.waits_for:
        named = " or ".join(map(limit, sorted(step.waits_for)))
        yield f"no limit {named} of the matter runs, unless it was {State.TO_DELETE.value} when this was written"


def _content(step: Step) -> Iterator[str]:
    """What its header may say."""
    decides = [outcome for outcome in step.outcomes if outcome]
    if decides:
        yield f"its outcome: {outcomes(step.outcomes)}"
        yield "a refusal may be without a ground" if step.ground_optional else "a refusal has a ground"
        if step.grounds:
            yield f"its ground: {_grounds(step.grounds)}"
    else:
        yield "it carries no outcome"
    if step.consults:
        yield "it may name the ground on which one means to refuse"
    if step.reviews:
        yield "it says how dual criminality was answered (2018/1805 Art. 3)"
    if step.most_payload is not None:
        yield f"its sealed payload has at most {step.most_payload} bytes"
    if step.is_test:
        yield "its case says TEST: nothing follows from it in law"
    yield from _scope(step)
    named = [
        name
        for name, may in (
            ("tokens of targets", step.targets),
            ("sums", step.amounts),
            ("until when it stands", step.may_end),
        )
        if may
    ]
    if named:
        yield f"it may say: {', '.join(named)}"


def _scope(step: Step) -> Iterator[str]:
    """What it may ask for, grant or report."""
    measures = [enum_word(ids.Measure.DESCRIPTOR, each) for each in sorted(step.measures)]
    classes = [enum_word(ids.DataClass.DESCRIPTOR, each) for each in sorted(step.data_classes)]
    yield f"its measures are among: {', '.join(measures)}" if measures else "it names no measure"
    yield f"its classes of data are among: {', '.join(classes)}" if classes else "it names no class of data"
    if step.emergency_classes:
        fewer = ", ".join(enum_word(ids.DataClass.DESCRIPTOR, each) for each in sorted(step.emergency_classes))
        yield f"without its countersignature its classes of data are among: {fewer}"
    if step.asks:
        yield "it names a measure or a class of data at least"
    if step.needs_measure:
        yield "it names a measure"
    if step.grants:
        yield "if what it cites asked for something, it names something too, unless it refuses"
    if step.whole:
        yield "it names all classes of data that what it cites named, or none"
    if step.cites and step.within:
        meant = "that acknowledges" if step.cites == {ids.KIND_ACKNOWLEDGEMENT} else "it cites"
        yield f"its measures, classes and sums are no more than those of what {meant}"
    if step.as_told:
        yield "its measures and classes are no more than its recipient was told to be granted"


def _support(step: Step) -> Iterator[str]:
    """What must be recorded at its sender's node."""
    if step.rests_on:
        ways = [", then ".join(kinds(each) for each in way) for way in (step.rests_on, step.or_rests_on) if way]
        chain = "; or ".join(ways)
        down = "the request above" if step.rests_above else "what it cites"
        same = " of the same outcome and ground" if step.same_outcome else ""
        yield f"at the sender's node there is recorded, down from {down}: {chain}{same}"
    if step.fails_on:
        upheld = "; or ".join(", then ".join(kinds(each) for each in way) for way in step.fails_on)
        yield f"or, if it is {outcomes(frozenset({ids.OUTCOME_REFUSED}))}, what was upheld: {upheld}"
    if step.all_ended_on:
        on = "" if step.all_ended_on == step.outcomes else f" if it is {outcomes(step.all_ended_on)}:"
        yield f"{on} no order below it holds anything any more".lstrip()
    if step.all_ended_for:
        yield f"if it is refused because of {_grounds(step.all_ended_for)}: no order below it holds anything any more"
    also = (
        (
            step.once_a_target,
            "no target was held so before for the same State, unless that was confirmed or refused, or never came",
        ),
        (step.once, "what it cites has no such answer yet"),
        (
            step.undisputed,
            "no claim suspends what it rests on (nor the freeze, if that is a restitution), or was upheld, told or not",
        ),
        (step.ranked, "its court has let no other order go before it (2018/1805 Art. 26)"),
        (step.settled, "no request to restitute what is held on it, and no suspensive claim, is undecided"),
        (step.needs_grant, "what it cites grants something, wholly or in part"),
        (step.not_after_refusal, "no court has refused what it rests on"),
        (step.agreed, "whoever asked for the freeze above agrees to that limit, or is not obeyed any more"),
        (step.lengthens, "its end is later than that of the order so far"),
        (step.lengthens is False, "its end is no later than that of the order so far"),
        (
            step.resumes,
            "what is done stands as it was reported last, and is suspended as long as a suspensive claim is undecided",
        ),
    )
    yield from (sentence for wanted, sentence in also if wanted)
    if step.never_below:
        yield f"no {kinds(step.never_below)} is above it"


def consequences(step: Step, state: State | None = None) -> Iterator[str]:
    """Yield what follows from it, a sentence each: states, time limits, milestones.

    Args:
        step: the row.
        state: in which the matter is before; None: any.
    """
    if step.opens is not None:
        yield f"a matter begins: it is {step.opens.value}"
    for move in step.moves:
        if state is None or state in move.at:
            yield _moved(move, state)
    of = "it" if step.opens is not None else "the matter"
    yield from _limits(step.clocks, of)
    if step.answers_all:
        yield "no limit changes while another question on the matter is open that was asked since the last decision"
    yield from _limits(step.above, "the matter above")
    if step.inherits:
        yield f"{of} has the limit of the matter above, and lapses when that does"
    if step.revives is not None:
        again = f"the limit {limit(step.revives)} of the matter above runs again, to the end that it had"
        yield f"{again}, if this ends what a judge granted on it, and no other grant stands"
    for up, milestone in step.marks:
        yield f"{_ABOVE[up]} is marked {enum_word(pb.Milestone.DESCRIPTOR, milestone)}"


def _moved(move: Move, state: State | None) -> str:
    before = f"from {listed(move.at)}" if state is None else f"from {state.value}"
    on = f", if {outcomes(move.on)}" if move.on != ANY_OUTCOME else ""
    because = f" because of {_grounds(move.grounds)}" if move.grounds else ""
    holds = {True: ", if assets are held", False: ", if no assets are held", None: ""}[move.holds]
    after = f"the matter is {move.to.value}" if move.to is not None else "the matter stays as it is"
    if move.to is not None and move.to in WATCHES:
        after += f", and the limit {limit(WATCHES[move.to])} runs"
    return f"{before}{on}{because}{holds}: {after}"


def _grounds(found: Iterable[Ground]) -> str:
    return " or ".join(enum_word(ids.Ground.DESCRIPTOR, each) for each in sorted(found))


def _limits(effect: Effect, of: str) -> Iterator[str]:
    for start in effect.starts:
        anew = " anew, if it rests" if start.again else ""
        yield f"the limit {limit(start.rule)} of {of} begins{anew}{_start(start)}"
    for verb, rules in (("is met", effect.stops), ("rests", effect.pauses), ("runs on", effect.resumes)):
        for rule in sorted(rules):
            yield f"the limit {limit(rule)} of {of} {verb}, if it runs"


def _start(start: Start) -> str:
    urgent = " or ".join(map(_urgency, sorted(start.urgency)))
    granted = outcomes(start.on) if start.on else ""
    until = "it says until when" if start.rule == clocks.CLOCK_RULE_SET_BY_ORDER else ""
    unsigned = "not countersigned" if start.unsigned else ""
    of = f"it is a {kinds(start.of)}" if start.of else ""
    found = [each for each in (of, urgent, unsigned, granted, until) if each]
    return f", if {' and '.join(found)}" if found else ""


def _urgency(value: Urgency) -> str:
    return {ids.URGENCY_EMERGENCY: "an emergency"}.get(value, enum_word(ids.Urgency.DESCRIPTOR, value))
