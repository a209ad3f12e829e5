"""What follows from a lawful step: where matters stand then, and which time limits run.

In: a step of the table, the matters it is about, and what runs for them. Out: `Effects`, which `record` writes in the
same transaction. Time limits are kept by the node of whoever was asked, so that one clock counts; the other node hears
of them in signed words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import measures_pb2 as measures

from gateway import deadlines
from gateway.deadlines import Acts
from gateway.identity import Address
from gateway.policy import Policy
from gateway.rules import FINAL, NO_EFFECT, OWED_NOTHING, ClockRule, Effect, Named, Start, State, Step
from gateway.steps import INHERITED, LAPSING, WATCHES


class OpenClock(Protocol):
    """A time limit that has not ended."""

    @property
    def rule(self) -> ClockRule:
        """Which."""
        ...

    @property
    def due_at_us(self) -> int:
        """When it runs out; microseconds."""
        ...

    @property
    def paused_at_us(self) -> int | None:
        """Since when it rests; None if it runs."""
        ...


class Matters(Protocol):
    """Where to look up what runs."""

    def clocks(self, ref: Named) -> Sequence[OpenClock]:
        """Return the time limits of a matter that have not ended."""
        ...

    def some_are_over(self) -> bool:
        """Whether any time limit that ends something may have run out, and its matter not have ended with it."""
        ...


class Register(Protocol):
    """What is recorded at this node."""

    @property
    def now_us(self) -> int:
        """The time now; microseconds."""
        ...

    @property
    def matters(self) -> Matters:
        """Where matters stand."""
        ...


class Change(Enum):
    """What happens to a time limit."""

    MET = "met"
    ENDED = "ended with its matter"
    PAUSED = "paused"
    RESUMED = "resumed"


# Named tuples, for one of them is made in a third of the time of a frozen dataclass.


class Moved(NamedTuple):
    """A matter is in that state from now on."""

    matter: Named
    state: State


class Started(NamedTuple):
    """A time limit begins to run; one of the same rule gives way to it. Times in microseconds.

    Args:
        matter: that it limits.
        rule: which.
        start_us: when it begins.
        due_us: when it runs out.
        next_us: when there is something to say of it: a warning, or that it has run out.
        rests: until what asks for it has arrived, or what suspends it is over.
    """

    matter: Named
    rule: ClockRule
    start_us: int
    due_us: int
    next_us: int
    rests: bool = False


class Changed(NamedTuple):
    """Time limits end, rest or run on; empty `rules`: all of the matter.

    Args:
        matter: that they limit.
        rules: which.
        change: what happens to them.
        later_us: by how much more than they rested those that run on are due later; microseconds.
    """

    matter: Named
    rules: frozenset[ClockRule]
    change: Change
    later_us: int = 0


class Then(NamedTuple):
    """What becomes of the matter that a step is about.

    Args:
        state: from now on; None if it is about none.
        late: it crossed with what led there, and changes nothing else.
    """

    state: State | None = None
    late: bool = False


class Effects(NamedTuple):
    """All that follows from one step."""

    moves: tuple[Moved, ...] = ()
    clocks: tuple[Started | Changed, ...] = ()


def follow(
    header: pb.Header,
    step: Step,
    matters: Sequence[tuple[pb.Header, State]],
    then: Then,
    register: Register,
    here: str,
    policy: Policy,
    *,
    unsigned: bool = False,
    suspended: bool = False,
    unanswered: bool = False,
) -> Effects:
    """Return what follows.

    Args:
        header: of the envelope.
        step: its row.
        matters: what it is about, and what is above that; with their states until now.
        then: what becomes of the first of them.
        register: what runs.
        here: code of this node.
        policy: shorter limits of its country.
        unsigned: whether it came without the countersignature that its row asks for.
        suspended: whether a suspensive claim is open beside it: then what rests does not run on.
        unanswered: whether a question is open beside the one that it answers: then no time limit changes.
    """
    moves: list[Moved] = []
    clocks: list[Started | Changed] = []
    about = [header] if step.opens is not None else []
    if step.opens is not None:
        moves.append(Moved(header, step.opens))
    state = then.state
    if matters and state is not None:
        matter, before = matters[0]
        if state is not before:
            moves.append(Moved(matter, state))
            clocks += watched(matter, before, state, register.now_us, policy) if keeps_clocks(matter, here) else ()
        # Of a row that opens a matter of its own, the time limits are that one's.
        if step.opens is None and state not in FINAL and not then.late:
            about = [matter]
    over = matters[0 if step.opens is not None else 1 :]
    if not unanswered and (step.clocks is not NO_EFFECT or step.above is not NO_EFFECT or step.inherits):
        writer = _Clocks(header, register, here, policy, unsigned, suspended)
        for matter in about:
            clocks += writer.of(matter, step.clocks)
            if step.inherits and over:
                clocks += writer.inherited(matter, over[0][0])
        # A court may decide on what has ended above it meanwhile: no duty begins to run there.
        if step.above is not NO_EFFECT and over and not then.late and over[0][1] not in FINAL:
            above, standing = over[0]
            clocks += writer.of(above, step.above, standing)
    return Effects(tuple(moves), tuple(clocks))


def started(matter: Named, rule: ClockRule, due_us: int, now_us: int, *, rests: bool = False) -> Started:
    """Return that a limit begins to run now, or as soon as what asks for it has arrived."""
    return Started(matter, rule, now_us, due_us, next_word_us(rule, now_us, due_us, now_us), rests)


def watched(matter: pb.Header, before: State, state: State, now_us: int, policy: Policy) -> Iterator[Started | Changed]:
    """Yield what follows of where a matter stands for its time limits, at the node that keeps them."""
    was, rule = WATCHES.get(before), WATCHES.get(state)
    if state in FINAL:
        yield Changed(matter, frozenset(), Change.ENDED)
    elif was != rule:
        if was is not None:
            yield Changed(matter, frozenset({was}), Change.MET)
        if rule is not None:
            yield watch(matter, rule, now_us, policy)


def watch(matter: pb.Header, rule: ClockRule, now_us: int, policy: Policy) -> Started:
    """Return that a limit begins to run now which watches where a matter stands."""
    due_us = deadlines.due_us(rule, now_us, _acting(rule, matter), length=policy.length(rule))
    return started(matter, rule, due_us, now_us)


def arrived(matter: pb.Header, rule: ClockRule, now_us: int) -> Started:
    """Return that a limit begins to run which rested until what asks for it had arrived.

    Its length is the law's own: no policy shortens the time of another country.
    """
    return started(matter, rule, deadlines.due_us(rule, now_us, Address.parse(matter.sender).node), now_us)


def _acting(rule: ClockRule, matter: pb.Header) -> str:
    """Return where the action is to be taken, whose calendar counts (Reg. 1182/71 Art. 2(1))."""
    acts = deadlines.LIMITS[rule].acts
    return Address.parse(matter.sender if acts is Acts.SENDER else matter.recipients[0]).node


def is_over(clock: OpenClock, now_us: int) -> bool:
    """Whether a time limit has run out; one that rests has not."""
    return clock.paused_at_us is None and clock.due_at_us <= now_us


def next_word_us(rule: ClockRule, start_us: int, due_us: int, now_us: int) -> int:
    """Return when there is something to say next of a time limit that runs."""
    for at in deadlines.warnings_us(rule, start_us, due_us):
        if at > now_us:
            return at
    return due_us


def keeps_clocks(matter: pb.Header, here: str) -> bool:
    """Whether this node keeps the time limits of a matter: the node of whoever was asked does."""
    return Address.parse(matter.recipients[0]).node == here


_UNTIL: Final = frozenset({measures.CLOCK_RULE_SET_BY_ORDER})


@dataclass(slots=True)  # not frozen: that would make it in thrice the time
class _Clocks:
    """Words what one envelope does to time limits."""

    header: pb.Header
    register: Register
    here: str
    policy: Policy
    unsigned: bool
    suspended: bool

    def of(self, matter: pb.Header, effect: Effect, standing: State | None = None) -> list[Started | Changed]:
        """Return the changes of one matter's time limits; where it stands counts if it is above another."""
        if effect is NO_EFFECT or not keeps_clocks(matter, self.here):
            return []
        # Before what they continue is stopped.
        begun = [each.rule for each in effect.starts if standing not in OWED_NOTHING and self._applies(each, matter)]
        starts = [self._start(matter, rule, rests=standing is State.SUSPENDED) for rule in begun]
        changes: list[Started | Changed] = []
        stops = effect.stops if self.header.outcome in effect.stops_on else frozenset[ClockRule]()
        stops -= self._lapsed(matter, stops)
        if stops:
            changes.append(Changed(matter, stops, Change.MET))
        if effect.pauses and self.header.outcome in effect.pauses_on:
            changes.append(Changed(matter, effect.pauses, Change.PAUSED))
        if effect.resumes and not self.suspended:
            changes += self._resumed(matter, effect.resumes)
        return changes + starts

    def _resumed(self, matter: pb.Header, rules: frozenset[ClockRule]) -> Iterator[Changed]:
        """Yield that what rests runs on: it is due later by as long as it rested, and on no day that is not worked."""
        now_us = self.register.now_us
        for clock in self.register.matters.clocks(matter):
            if clock.rule in rules and clock.paused_at_us is not None:
                due_us = clock.due_at_us + max(0, now_us - clock.paused_at_us)
                later_us = deadlines.resumed_us(clock.rule, due_us, _acting(clock.rule, matter)) - due_us
                yield Changed(matter, frozenset({clock.rule}), Change.RESUMED, later_us)

    def inherited(self, matter: pb.Header, above: pb.Header) -> Iterator[Started | Changed]:
        """Yield the limit of the matter above as this one's: it does not outlive that."""
        if not keeps_clocks(matter, self.here):
            return
        yield Changed(matter, INHERITED, Change.MET)
        for clock in self.register.matters.clocks(above):
            if clock.rule in INHERITED:
                yield started(matter, clock.rule, self._named(clock.due_at_us), self.register.now_us)

    def _applies(self, start: Start, matter: pb.Header) -> bool:
        return (
            (not start.urgency or matter.urgency in start.urgency)
            and (not start.on or self.header.outcome in start.on)
            and (self.unsigned or not start.unsigned)
            and (not start.again or self._rests(matter, start.rule))
            and (not start.first or not self._is_open(matter, start.rule))
            and (not start.of or matter.kind in start.of)
            and (start.rule not in _UNTIL or self.header.HasField("in_force_until_us"))
        )

    def _start(self, matter: pb.Header, rule: ClockRule, *, rests: bool) -> Started:
        limit = deadlines.LIMITS[rule]
        start_us, length, until_us = self.register.now_us, None, None
        before = self._lapsing(matter) if limit.continues else None
        if before is not None:
            start_us = before.due_at_us
        elif rule in _UNTIL:
            until_us = self.header.in_force_until_us
        else:
            length = self.policy.length(rule)
        due_us = deadlines.due_us(rule, start_us, _acting(rule, matter), length=length, until_us=until_us)
        if rule in LAPSING:
            due_us = self._named(due_us)
        rests = rests or (limit.from_receipt and self._leaves())
        return started(matter, rule, due_us, self.register.now_us, rests=rests)

    def _named(self, due_us: int) -> int:
        """Return when what lapses by then lapses if the envelope names an earlier end."""
        return min(due_us, self.header.in_force_until_us) if self.header.HasField("in_force_until_us") else due_us

    def _leaves(self) -> bool:
        """Whether it has yet to arrive at another node."""
        return Address.parse(self.header.recipients[0]).node != self.here

    def _rests(self, matter: pb.Header, rule: ClockRule) -> bool:
        clocks = self.register.matters.clocks(matter)
        return any(clock.rule == rule and clock.paused_at_us is not None for clock in clocks)

    def _is_open(self, matter: pb.Header, rule: ClockRule) -> bool:
        return any(clock.rule == rule for clock in self.register.matters.clocks(matter))

    def _lapsed(self, matter: pb.Header, rules: frozenset[ClockRule]) -> frozenset[ClockRule]:
        """Return those of these limits that have lapsed, though they have not rung yet: nothing meets them any more."""
        # Nearly always none has, of no matter here; and that is known from one look for many envelopes.
        if LAPSING.isdisjoint(rules) or not self.register.matters.some_are_over():
            return frozenset()
        now_us, clocks = self.register.now_us, self.register.matters.clocks(matter)
        return frozenset(clock.rule for clock in clocks if clock.rule in LAPSING and is_over(clock, now_us))

    def _lapsing(self, matter: pb.Header) -> OpenClock | None:
        return next((clock for clock in self.register.matters.clocks(matter) if clock.rule in LAPSING), None)
