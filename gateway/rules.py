"""What a rule of procedure can say: states of a matter, and the columns of the table in steps.py.

A *matter* is an envelope that asks for something and therefore has a state: a draft, a request to another State, a
referral to a court, an order to an exchange. Whatever cites it, or cites what cites it, is about it. The same words for
states serve every hop: what a State asks of a State, a ministry of its court and a court of an exchange.

Pure words, no I/O. Source: the articles are at the states they come from.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from itertools import chain, product
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway.identity import Role

Kind: TypeAlias = ids.Kind.ValueType
Outcome: TypeAlias = ids.Outcome.ValueType
Ground: TypeAlias = ids.Ground.ValueType
Measure: TypeAlias = ids.Measure.ValueType
DataClass: TypeAlias = ids.DataClass.ValueType
Urgency: TypeAlias = ids.Urgency.ValueType
ClockRule: TypeAlias = clocks.ClockRule.ValueType
Way: TypeAlias = tuple[Collection[Kind], ...]
"""Down from an envelope: of which kinds what cites it is, then what cites that, and so on."""

Named: TypeAlias = ids.EnvelopeRef | pb.Header
"""What bears the name of an envelope: a reference to it, or its header."""


class Where(Enum):
    """Whether sender and recipient are of the same country."""

    HOME = "at home"
    ABROAD = "abroad"

    __hash__ = object.__hash__  # see Role


class Rule(NamedTuple):
    """Who may send what to whom."""

    kind: Kind
    sender: Role
    recipient: Role
    where: Where

    def __str__(self) -> str:
        return f"{word(self.kind)} from {self.sender.value} to {self.recipient.value} {self.where.value}"


class State(Enum):
    """Where a matter stands. `ACTS_NEXT` says whose turn it is."""

    ASKED = "asked"
    ACKNOWLEDGED = "acknowledged"
    CLARIFYING = "clarifying"
    OBJECTED = "objected"
    POSTPONED = "postponed"
    GRANTED = "granted"
    PARTLY_GRANTED = "partly granted"
    EXECUTED = "executed"
    PARTLY_EXECUTED = "partly executed"
    UNAVAILABLE = "unavailable"  # it could not be executed, and may be later (2018/1805 Art. 13(3)(b), (d), (e))
    CONFIRMED = "confirmed"  # what was provisional stands
    LIMITING = "limiting"  # the issuer is asked to limit it (Art. 12(2))
    SUSPENDED = "suspended"  # by a remedy (Art. 33)
    UNBOUND = "unbound"  # the executing side is no longer obliged (Art. 12(2)), or a claim was upheld
    DISPOSED = "disposed"  # what was recovered is where it belongs (Art. 30)
    WITHDRAWN = "withdrawn"  # whoever was asked ends the measures and confirms (Art. 27)
    RELEASING = "releasing"  # the exchange lifts it and confirms
    TO_DELETE = "to delete"  # what came is deleted or restricted (2023/1543 Art. 4(5), 12(1))
    # Final:
    COUNTERSIGNED = "countersigned"
    RETURNED = "returned"
    REFUSED = "refused"
    IMPOSSIBLE = "impossible"  # for good (2018/1805 Art. 13(3)(a), (c))
    FORWARDED = "forwarded"
    LAPSED = "lapsed"
    RELEASED = "released"
    CLOSED = "closed"
    UNDELIVERED = "undelivered"  # another node refused it, or it expired on the way
    TOLD = "told"  # it asked for nothing

    __hash__ = object.__hash__  # see Role


class Turn(Enum):
    """Who acts next in a matter."""

    SENDER = "whoever asked"
    RECIPIENT = "whoever was asked"
    NOBODY = "nobody"


ACTS_NEXT: Final[Mapping[State, Turn]] = MappingProxyType(
    {
        State.ASKED: Turn.RECIPIENT,
        State.ACKNOWLEDGED: Turn.RECIPIENT,
        State.CLARIFYING: Turn.SENDER,
        State.OBJECTED: Turn.SENDER,
        State.POSTPONED: Turn.RECIPIENT,
        State.GRANTED: Turn.RECIPIENT,
        State.PARTLY_GRANTED: Turn.RECIPIENT,
        State.EXECUTED: Turn.SENDER,
        State.PARTLY_EXECUTED: Turn.SENDER,
        State.UNAVAILABLE: Turn.SENDER,
        State.CONFIRMED: Turn.SENDER,
        State.LIMITING: Turn.SENDER,
        State.SUSPENDED: Turn.RECIPIENT,
        State.UNBOUND: Turn.RECIPIENT,
        State.DISPOSED: Turn.SENDER,
        State.WITHDRAWN: Turn.RECIPIENT,
        State.RELEASING: Turn.RECIPIENT,
        State.TO_DELETE: Turn.SENDER,
        **dict.fromkeys(
            (
                State.COUNTERSIGNED,
                State.RETURNED,
                State.REFUSED,
                State.IMPOSSIBLE,
                State.FORWARDED,
                State.LAPSED,
                State.RELEASED,
                State.CLOSED,
                State.UNDELIVERED,
                State.TOLD,
            ),
            Turn.NOBODY,
        ),
    }
)
FINAL: Final = frozenset(state for state, turn in ACTS_NEXT.items() if turn is Turn.NOBODY)
OPEN: Final = frozenset(State) - FINAL

UNANSWERED: Final = frozenset({State.ASKED, State.ACKNOWLEDGED})
UNDECIDED: Final = UNANSWERED | {State.CLARIFYING, State.POSTPONED}
ALLOWED: Final = frozenset({State.GRANTED, State.PARTLY_GRANTED})
DONE: Final = frozenset({State.EXECUTED, State.PARTLY_EXECUTED})
STANDING: Final = DONE | {State.CONFIRMED, State.LIMITING, State.SUSPENDED, State.UNBOUND}
ENDING: Final = frozenset({State.WITHDRAWN, State.RELEASING, State.TO_DELETE})
"""Nothing new is asked, ordered or handed over any more."""
OWED_NOTHING: Final = ENDING | {State.UNBOUND}
"""No duty begins any more."""
TAKEN_BACK: Final = ENDING | {State.CLOSED, State.RELEASED, State.UNDELIVERED}
"""What a court granted on a referral that stands so is granted no more."""


class Link(Enum):
    """How the parties of a step fit the envelope that it cites."""

    ANSWERS = "answers"  # its recipient answers its sender
    PASSES_ON = "passes on"  # its recipient turns to somebody else
    FOLLOWS_UP = "follows up"  # its sender goes on, towards somebody else
    REPORTS_ON = "reports on"  # its sender goes on, towards the same recipient
    COMPLAINS = "complains of"  # either of its parties, to a third

    __hash__ = object.__hash__  # see Role


class CaseRule(Enum):
    """How the case id of a step fits that of the envelope that it cites."""

    SAME = "the same case"
    OWN = "a case of its own"  # differs all the way up: an exchange must not learn which case an order comes from
    FREE = "any case"


ANY_OUTCOME: Final = frozenset(ids.Outcome.values())
GRANTS: Final = frozenset({ids.OUTCOME_GRANTED, ids.OUTCOME_PARTLY_GRANTED})
"""Wholly or in part."""


@dataclass(frozen=True, slots=True)
class Move:
    """From these states, on these outcomes (and grounds, if any are named), to that state; None: it stays.

    Args:
        holds: only if the matter asks that assets be held or taken; False: only if it does not; None: either way.
    """

    at: frozenset[State]
    to: State | None = None
    on: frozenset[Outcome] = ANY_OUTCOME
    grounds: frozenset[Ground] = frozenset()
    holds: bool | None = None

    def fits(self, ground: Ground, *, holds: bool) -> bool:
        """Whether this is what follows, in its states and on its outcomes."""
        return (not self.grounds or ground in self.grounds) and (self.holds is None or self.holds is holds)


@dataclass(frozen=True, slots=True)
class Start:
    """A time limit that begins to run, if the envelope is that urgent and has that outcome; empty: any.

    Args:
        unsigned: only if it came without the countersignature that its row asks for.
        again: only if it rests; then it begins anew, and does not run on.
        of: only if the matter is of one of these kinds; empty: any.
        first: not if it is open already: then that one goes on.
    """

    rule: ClockRule
    urgency: frozenset[Urgency] = frozenset()
    on: frozenset[Outcome] = frozenset()
    unsigned: bool = False
    again: bool = False
    of: frozenset[Kind] = frozenset()
    first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What happens to the time limits of a matter."""

    starts: tuple[Start, ...] = ()
    stops: frozenset[ClockRule] = frozenset()
    stops_on: frozenset[Outcome] = ANY_OUTCOME
    pauses: frozenset[ClockRule] = frozenset()
    pauses_on: frozenset[Outcome] = ANY_OUTCOME
    resumes: frozenset[ClockRule] = frozenset()


NO_EFFECT: Final = Effect()


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One row: what makes one envelope the lawful next step, and what follows from it. Each is one object."""

    rule: Rule
    law: str
    cites: frozenset[Kind] = frozenset()  # it cites one envelope of one of these kinds; empty: none
    link: Link = Link.ANSWERS
    # What it cites may have gone to a third country, so its recipient's node knows it not.
    cites_elsewhere: bool = False
    case: CaseRule = CaseRule.FREE
    opens: State | None = None  # it is a matter itself, which begins so
    moves: tuple[Move, ...] = ()  # of the matter that it is about
    crosses: frozenset[State] = frozenset()  # from abroad, it may have crossed with what led there; see `late`
    countersigned_by: Role | None = None  # a participant of the sender's own country with this role
    countersigned_unless: Urgency | None = None
    needs_live: bool = False  # no matter above has ended or is ending
    undisputed: bool = False  # no claim on what it rests on suspends it, or was upheld
    once: bool = False  # only one such answer to what it cites
    resumes: bool = False  # what is done stands as last reported, or is suspended while a suspensive claim is open
    answers_all: bool = False  # while another question is open no time limit changes
    settled: bool = False  # no victim's request and no claim on it is undecided
    ranked: bool = False  # its court has not let another order go first (2018/1805 Art. 26)
    not_after_refusal: bool = False  # no court has refused what it rests on
    agreed: bool = False  # whoever asked for the freeze above has agreed to limit it, or is silent, or has lost it
    lengthens: bool | None = None  # its end is later than that of the order so far; False: it is not
    needs_open: ClockRule | None = None  # only while this limit runs
    waits_for: frozenset[ClockRule] = frozenset()  # not while one of these runs, unless it is to delete
    outcomes: frozenset[Outcome] = frozenset({ids.OUTCOME_UNSPECIFIED})
    grounds: frozenset[Ground] = frozenset()  # only these; empty: those that grounds.py has for it
    ground_optional: bool = False  # a refusal without one, e.g. of a claim
    consults: bool = False  # it has no outcome, and may name the ground on which one means to refuse
    reviews: bool = False  # says how dual criminality was answered
    measures: frozenset[Measure] = frozenset()  # at most these
    data_classes: frozenset[DataClass] = frozenset()
    emergency_classes: frozenset[DataClass] = frozenset()  # at most these, where it is not countersigned so
    asks: bool = False  # for something: a measure or a class at least
    needs_measure: bool = False  # a measure at least
    within: bool = True  # no more than what it cites, or what that acknowledges
    whole: bool = False  # no fewer classes of data than what it cites, if it names any
    grants: bool = False  # something, if what it cites asked for something, unless it refuses
    targets: bool = False  # may carry target tokens
    once_a_target: bool = False  # of the same State, unless the one before was confirmed or never came
    amounts: bool = False  # may carry sums
    may_end: bool = False  # may say until when it stands
    clocks: Effect = NO_EFFECT
    above: Effect = NO_EFFECT  # the same, for the matter above
    inherits: bool = False  # its matter has the limit of the matter above, and lapses when that does
    revives: ClockRule | None = None  # of the matter above, if it ends its own, and with it the grant that had met that
    # Down from the cited envelope, kind by kind, to what must be recorded before; seen by the sender's node only.
    rests_on: Way = ()
    or_rests_on: Way = ()  # or down this way, where a country goes that one
    rests_above: bool = False  # down from the request above that, instead
    fails_on: tuple[Way, ...] = ()  # a failure may rest on what was upheld at the end of one of these ways, instead
    as_told: bool = False  # no more than whoever asked was told to be granted
    same_outcome: bool = False  # as what it rests on
    all_ended_on: frozenset[Outcome] = frozenset()  # on these, only if no order below holds anything any more
    all_ended_for: frozenset[Ground] = frozenset()  # the same of a refusal on these
    never_below: frozenset[Kind] = frozenset()  # no matter above is one of these
    is_test: bool = False  # nothing follows from it, and nothing but a test can travel as one
    most_payload: int | None = None  # bytes, sealed
    # Milestones it sets: how many citations up, and which.
    marks: tuple[tuple[int, pb.Milestone.ValueType], ...] = ()

    @cached_property
    def _moves(self) -> Mapping[tuple[State, Outcome], tuple[Move, ...]]:
        """Those that may fit in a state, on an outcome."""
        pairs = product(State, ANY_OUTCOME)
        fitting = {(state, on): tuple(m for m in self.moves if state in m.at and on in m.on) for state, on in pairs}
        return {pair: moves for pair, moves in fitting.items() if moves}

    @cached_property
    def minds_assets(self) -> bool:
        """Whether what follows depends on what the matter asks for: that assets be held or taken, or not."""
        return any(move.holds is not None for move in self.moves)

    @cached_property
    def needs_grant(self) -> bool:
        """Whether a court goes on with it from what it has decided, which must have granted something then."""
        return self.cites == {ids.KIND_REVIEW_DECISION} and self.link is not Link.COMPLAINS

    @cached_property
    def at(self) -> frozenset[State]:
        """The states of the matter in which it is lawful."""
        return frozenset(chain.from_iterable(move.at for move in self.moves))

    def taken_back(self, outcome: Outcome) -> frozenset[State]:
        """Return where a referral may not stand on whose decision this rests: that is granted no more.

        What a claim was upheld against had been granted, and that is told abroad, too; but it confirms nothing.
        """
        if outcome not in GRANTS or not ends_in_decisions(self.rests_on):
            return frozenset()
        return TAKEN_BACK | {State.UNBOUND} if any(move.to is State.CONFIRMED for move in self.moves) else TAKEN_BACK

    def then(self, state: State, outcome: Outcome, ground: Ground, *, holds: bool) -> State | None:
        """Return the state that follows, `state` itself if it stays, or None if the step is not lawful then."""
        for move in self._moves.get((state, outcome), ()):
            if move.fits(ground, holds=holds):
                return move.to or state
        return None

    def late(self, state: State, outcome: Outcome, ground: Ground, *, holds: bool) -> State | None:
        """Return what follows at the recipient's node, if it may have crossed with what led to `state`; or None.

        Both nodes then agree in the end: what would have ended the matter ends it, and anything else changes nothing.
        """
        if state not in self.crosses:
            return None
        ends = {self.then(before, outcome, ground, holds=holds) for before in self.at}
        return state if state in FINAL else next((end for end in ends if end in FINAL), state)


@dataclass(frozen=True, slots=True)
class RunsOut:
    """What follows when a time limit on a matter of these kinds runs out in one of these states."""

    rule: ClockRule
    kinds: frozenset[Kind]
    at: frozenset[State]
    to: State
    law: str
    elsewhere: frozenset[State] = frozenset()  # at the other node, which hears of it later
    stops: frozenset[ClockRule] = frozenset()  # what nobody owes any more then, though it has not ended


def ends_in_decisions(way: Way) -> bool:
    """Whether what is at the end of a way is what a court has decided."""
    return bool(way) and ids.KIND_REVIEW_DECISION in way[-1]


def ends_below_matters(way: Way) -> bool:
    """Whether what is at the end of a way cites matters: decisions a referral, and reports an order."""
    return ends_in_decisions(way) or (ids.KIND_EXECUTION_REPORT in way[-1] and not ends_in_decisions(way[:-1]))


@cache
def word(kind: Kind) -> str:
    """Return the name of a kind as people write it, e.g. freeze-request."""
    return ids.Kind.Name(kind).removeprefix("KIND_").lower().replace("_", "-")


KINDS: Final[Mapping[str, Kind]] = MappingProxyType({word(kind): kind for kind in ids.Kind.values() if kind})
"""By these names."""
