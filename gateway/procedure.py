"""Stage 5, procedure: is this the lawful next step?

In: a `VerifiedEnvelope` and a `Register` of what is recorded here. Out: a `LawfulStep`, with what follows from it.
Refuses with UNKNOWN_CITATION, OUT_OF_ORDER, NOT_COUNTERSIGNED, NO_LEGAL_BASIS, EXCEEDS_GRANT and NATIONAL_LAW. Signed
headers alone decide; no payload is read, and of a test order's its size alone is looked at.

The law is the table in steps.py; how a row is applied to headers alone is in row_checks.py, and here to what is
recorded. An answer travels back the way of the question: request, referral, decision, domestic order, report to the
court, report to the central authority, report abroad. Each may only narrow what the one before it allowed. Both nodes
run the table: the sender's node sees the whole chain, the recipient's node sees those links of it that crossed the
border, and each checks what it sees.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from functools import cache
from itertools import chain, islice
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeAlias

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import effects, row_checks
from gateway.deadlines import LIMITS
from gateway.directory import Directory
from gateway.effects import Effects, OpenClock, Then, follow, is_over, keeps_clocks
from gateway.envelope import ref_of
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.policy import Policy
from gateway.row_checks import Placed
from gateway.rules import (
    DONE,
    ENDING,
    FINAL,
    GRANTS,
    ClockRule,
    Kind,
    Named,
    Rule,
    State,
    Step,
    Way,
    Where,
    ends_below_matters,
    word,
)
from gateway.steps import (
    ANSWERS_BELOW,
    ASKED_ABROAD,
    CARRYING_ON,
    CLAIMABLE,
    CLAIMED_BELOW,
    CONTESTED_BELOW,
    DECIDED_BELOW,
    FREEZES,
    INHERITED,
    LEADING_TO_ORDERS,
    ORDERS,
    QUESTIONS_BELOW,
    RANKED_BELOW,
    REQUESTS,
    RUNNING_OUT,
    TOLD_BELOW,
    runs_out,
)
from gateway.store.matters import MAX_CHAIN
from gateway.verify import VerifiedEnvelope


class Move(Protocol):
    """One move of a matter."""

    @property
    def at_us(self) -> int:
        """When; microseconds."""
        ...


class Matters(effects.Matters, Protocol):
    """Where the matters stand that are recorded at this node."""

    def chain(self, ref: Named) -> Sequence[tuple[pb.Header, State | None]]:
        """Return an envelope, what it cites, what that cites, and so on, each with its state if it is a matter."""
        ...

    def state(self, ref: Named) -> State | None:
        """Return the state of a matter; None if that envelope is none."""
        ...

    def moves(self, ref: ids.EnvelopeRef) -> Sequence[Move]:
        """Return how a matter came to stand there, oldest first."""
        ...

    def all_clocks(self, ref: Named) -> Sequence[OpenClock]:
        """Return every time limit that a matter ever had, oldest first."""
        ...

    def aimed_at(self, tokens: Sequence[bytes], kind: Kind) -> Sequence[tuple[pb.Header, State | None]]:
        """Return the envelopes of a kind with any of these target tokens, each with its state."""
        ...


class Register(effects.Register, Protocol):
    """What is recorded at this node."""

    @property
    def matters(self) -> Matters:
        """Where matters stand."""
        ...

    def words(self, ref: ids.EnvelopeRef, issuer: str) -> Sequence[pb.Milestone.ValueType]:
        """Return the milestones of an envelope that somebody has stated, oldest first."""
        ...

    def of_case(self, case_id: str, kind: Kind) -> Sequence[pb.Header]:
        """Return the headers of that kind in a case, oldest first."""
        ...

    def citing(self, ref: Named, *kinds: Kind) -> Sequence[pb.Header]:
        """Return the headers of those kinds which cite an envelope, oldest first."""
        ...

    def below(self, ref: Named, way: Way, unless: Collection[State] = ()) -> Sequence[pb.Header]:
        """Return the headers at the end of a way down, kind by kind, from an envelope; oldest first.

        Without those that cite a matter which stands at one of these states.
        """
        ...


_MOST_LINKS: Final = MAX_CHAIN - 1
"""From an envelope up to the first; the longest way of the table has eight, unless somebody forwards in a circle."""

_LONGEST: Final = 8
_DIGITS: Final = 60
"""Of sums: the longest amount of the contract has 48."""
_ENDED: Final = FINAL | ENDING
_SETTLED: Final = FINAL | {State.DISPOSED}
_RECOVERED: Final = "2018/1805 Art. 16(2), 18(4)"
_REMEDIES: Final = "2018/1805 Art. 33(1); Directive 2024/1260 Art. 24"
_DURATION: Final = "2018/1805 Art. 12(2)"
_KEPT: Final = "Budapest Convention Art. 16: kept, and not handed over"
_DISPUTED: Final = MappingProxyType({State.SUSPENDED: _REMEDIES, State.UNBOUND: f"{_DURATION}, 33(1)"})
"""Where nothing new is done, and by which law."""
_COUNTS_NOT: Final = frozenset({State.REFUSED, State.UNDELIVERED})
_LOST: Final = frozenset({pb.MILESTONE_REFUSED, pb.MILESTONE_EXPIRED})


class Mark(NamedTuple):
    """A milestone that a step sets on an envelope before it."""

    header: pb.Header
    milestone: pb.Milestone.ValueType


@dataclass(frozen=True, slots=True)
class LawfulStep:
    """A verified envelope that may be recorded now, and what follows from it. Made by `check` alone."""

    verified: VerifiedEnvelope
    marks: tuple[Mark, ...] = ()
    effects: Effects = field(default=Effects())


@dataclass(slots=True)
class _Case(Placed):
    """A header in its row, at this node.

    Args:
        matters: that the envelope is about, and those above it, with their states.
        here: code of this node.
        from_here: whether its sender is of this node.
        register: what is recorded.
    """

    matters: tuple[tuple[pb.Header, State], ...]
    here: str
    from_here: bool
    register: Register


def check(
    verified: VerifiedEnvelope, register: Register, directory: Directory, here: str, policy: Policy
) -> LawfulStep:
    """Decide whether this envelope is the lawful next step, by its row in steps.py.

    1. It cites one envelope of the right kind, known here, to which its sender was a party; or none.
    2. It is countersigned, where the row or the country's own law asks for it, and that law does not shut it out; to an
       exchange it names nobody abroad.
    3. Abroad: an instrument binds both States for this kind. At home: no instrument is named.
    4. Parties and case fit the cited envelope.
    5. Its own outcome, ground, measures, classes and sums fit the row and each other; a test has none of them.
    6. The matter is in a state in which it is lawful, and so are those above; or it crossed with what changed that.
    7. It asks, grants, orders or reports no more than the cited envelope did.
    8. At the sender's node: what it rests on is recorded, agrees with it, and is not exceeded.

    Args:
        verified: what came.
        register: what is recorded at this node, in the same transaction.
        directory: roles and instruments.
        here: code of this node.
        policy: the stricter law of its country.

    Raises:
        Refusal: UNKNOWN_CITATION, OUT_OF_ORDER, NOT_COUNTERSIGNED, NO_LEGAL_BASIS, EXCEEDS_GRANT or NATIONAL_LAW.
    """
    case = _case(verified, register, here, policy)  # (1)
    header, step = case.header, case.step
    also = policy.countersigners(case.rule) if case.from_here else {}
    if also or step.countersigned_by is not None:
        row_checks.check_countersigned(case, islice(verified.envelope.signatures, 1, None), directory, also)  # (2)
    row_checks.check_names_nobody_abroad(header, verified.envelope.signatures, directory)
    _check_policy(case, policy)
    row_checks.check(case, directory)  # (3) to (5)
    _check_size(verified.envelope, step)
    then = _check_state(case)  # (6)
    row_checks.check_within_cited(case)  # (7)
    for asked in _asked(step).of_ours if case.from_here else ():  # (8)
        asked(case)
    unsigned = step.countersigned_unless is not None and not row_checks.is_countersigned(
        case, islice(verified.envelope.signatures, 1, None), directory
    )
    suspended = step.resumes and bool(step.clocks.resumes) and _is_still_suspended(case)
    unanswered = step.answers_all and _is_asked_beside(case)
    beside = {"suspended": suspended, "unanswered": unanswered}
    after = follow(header, step, case.matters, then, register, here, policy, unsigned=unsigned, **beside)
    if step.revives is not None:
        after = _revived(case, step.revives, then, after)
    return LawfulStep(verified, _marks(case) if case.from_here else (), after)


_Check: TypeAlias = Callable[[_Case], None]


class _Asked(NamedTuple):
    """What a row asks of where matters stand, and of what is recorded below them; most ask for little of it.

    Args:
        of_state: of any step that does not come too late.
        of_ours: at the node of its sender.
    """

    of_state: tuple[_Check, ...]
    of_ours: tuple[_Check, ...]


@cache
def _asked(step: Step) -> _Asked:
    return _Asked(
        of_state=_wanted(
            (step.never_below, _check_never_below),
            (step.inherits, _check_inherits),
            (step.needs_live, _check_live),
            (step.once, _check_once),
            (step.not_after_refusal, _check_not_refused),
            (step.needs_open is not None, _check_open),
            (step.waits_for, _check_waited),
            (step.as_told, _check_as_told),
        ),
        of_ours=_wanted(
            (step.undisputed, _check_undisputed),
            (step.ranked, _check_ranked),
            (step.settled, _check_settled),
            (step.agreed, _check_agreed),
            (step.lengthens is not None, _check_lengthens),
            (step.rests_on, _check_rests_on),
            (step.all_ended_on or step.all_ended_for, _check_all_ended),
            (step.rule.kind == ids.KIND_CONFISCATION_REQUEST, _check_total),
        ),
    )


def _wanted(*checks: tuple[object, _Check]) -> tuple[_Check, ...]:
    return tuple(check for wanted, check in checks if wanted)


def _case(verified: VerifiedEnvelope, register: Register, here: str, policy: Policy) -> _Case:
    header, rules = verified.header, verified.rules
    sender, cites = header.sender, header.cites[:]
    from_here = Address.parse(sender).node == here
    chain = register.matters.chain(cites[0]) if cites else ()
    # To somebody who was no party to it, an envelope does not exist.
    known = chain and _was_party(sender, chain[0][0])
    if cites and not known and (chain or from_here or not row_checks.may_cite_elsewhere(rules)):
        raise Refusal(ErrorCode.UNKNOWN_CITATION, "it cites what is not known here", "cites[0]")
    # What begins anew must leave room for all that can follow, a release not least.
    if len(chain) > (_MOST_LINKS - _LONGEST if rules[0].kind in REQUESTS else _MOST_LINKS):
        raise Refusal(ErrorCode.OUT_OF_ORDER, f"more than {_MOST_LINKS} envelopes rest on each other", "cites[0]")
    above = tuple([each for each, _ in chain])
    if len(rules) > 1:
        rules = _by_policy(rules, header, here, policy)
    rule, step = row_checks.row(header, rules, above)
    matters = tuple([(each, state) for each, state in chain if state is not None])
    return _Case(header, rule, step, above, matters, here, from_here, register)


def _by_policy(rules: Sequence[Rule], header: pb.Header, here: str, policy: Policy) -> tuple[Rule, ...]:
    """Put first by what the country's own law lets it be sent, then by what it wants no more signatures for.

    For whoever has several roles acts in any of them. Both nodes come to the same all the same: what a policy tells
    apart differs in roles alone.
    """
    ours = Address.parse(header.sender).node == here

    def wants_more(rule: Rule) -> tuple[bool, bool]:
        return policy.refusal(header, rule, here) is not None, ours and bool(policy.countersigners(rule))

    return tuple(sorted(rules, key=wants_more))


def _was_party(address: str, cited: pb.Header) -> bool:
    return address == cited.sender or address in cited.recipients[:]


def _check_policy(case: _Case, policy: Policy) -> None:
    restriction = policy.refusal(case.header, case.rule, case.here)
    if restriction is not None:
        detail = f"{restriction.detail} ({restriction.law})"
        raise Refusal(ErrorCode.NATIONAL_LAW, detail, restriction.field)


def _check_size(envelope: pb.SignedEnvelope, step: Step) -> None:
    if step.most_payload is not None and len(envelope.sealed_payload) > step.most_payload:
        detail = f"above {step.most_payload} bytes, and so more than a test"
        raise Refusal(ErrorCode.EXCEEDS_GRANT, detail, "sealed_payload")


def _check_state(case: _Case) -> Then:
    """Rule 6. Return what becomes of the matter that it is about."""
    header, step = case.header, case.step
    if step.once_a_target:
        _check_target(case)
    if not step.moves:
        return Then()
    if not case.matters:
        raise case.out_of_order("what it cites belongs to no matter here", "cites[0]")
    about, state = case.matters[0]
    holds = step.minds_assets and row_checks.holds_assets(about)
    then = step.then(state, header.outcome, header.ground, holds=holds)
    if then is None or _has_run_out(case, about, state):
        return _late(case, about, state, holds=holds)
    for asked in _asked(step).of_state:
        asked(case)
    return Then(_resumed(case, then) if step.resumes and then in DONE else then)


def _check_target(case: _Case) -> None:
    if not case.header.target_tokens:
        return
    home, known = Address.parse(case.header.sender).node, (case.register, case.here)
    for before, state in case.register.matters.aimed_at(case.header.target_tokens, case.header.kind):
        counts = Address.parse(before.sender).node == home and state not in _COUNTS_NOT
        # What a judge had confirmed does not count either, wherever it stands by now.
        if counts and not _arrived(*known, before, ids.KIND_CONFIRMATION):
            raise case.out_of_order("its target was held so before: ask in due form", "target_tokens")


def _late(case: _Case, about: pb.Header, state: State, *, holds: bool) -> Then:
    """Return what follows of what is not lawful now, if it may have crossed with what made it so."""
    if case.rule.where is Where.ABROAD and not case.from_here:
        if _has_run_out(case, about, state):
            return Then(state, late=True)  # what follows is said when the limit rings
        late = case.step.late(state, case.header.outcome, case.header.ground, holds=holds)
        if late is not None:
            return Then(late, late=True)
    raise case.out_of_order(f"the {word(about.kind)} is {state.value}: {case.rule} cannot follow now", "cites[0]")


def _check_never_below(case: _Case) -> None:
    for above in case.above:
        if above.kind in case.step.never_below:
            # Not on what: an exchange would learn that a foreign State asked.
            raise case.out_of_order("it rests on what is only kept", "cites[0]", _KEPT)


def _check_inherits(case: _Case) -> None:
    over, _ = case.matters[0 if case.step.opens is not None else 1]
    if not any(clock.rule in INHERITED for clock in case.register.matters.clocks(over)):
        raise case.out_of_order(f"the {word(over.kind)} above it has no limit to end with", "cites[0]")


def _check_undisputed(case: _Case) -> None:
    for matter, standing in case.matters:
        if standing in _DISPUTED:
            raise case.out_of_order(f"the {word(matter.kind)} is {standing.value}", "cites[0]", _DISPUTED[standing])
        if matter.kind in ASKED_ABROAD:
            break  # what a request cites is another matter, with remedies of its own; but see `_check_carried_on`
    for number, above in enumerate(case.above, 1):
        if above.kind in CLAIMABLE and _is_suspended(case.register, case.here, above, case.cited):
            raise case.out_of_order(f"a claim suspends the {word(above.kind)}", "cites[0]", _REMEDIES)
        if above.kind in FREEZES:
            _check_uncontested(case, above)
        if above.kind in CARRYING_ON:
            _check_carried_on(case, case.above[number])
        if above.kind in ASKED_ABROAD:
            return


def _check_uncontested(case: _Case, freeze: pb.Header) -> None:
    """2018/1805 Art. 29(2)(a), (c), 33: a claim on any decision on a freeze counts, told abroad or not.

    Not one that was open when its court was done: nothing is left to be decided.
    """
    known, below = (case.register, case.here), case.register.below
    if not below(freeze, CLAIMED_BELOW) and not below(freeze, CONTESTED_BELOW):
        return  # nearly always nobody claims anything
    upheld = any(_is_upheld(*known, each) for each in (freeze, *below(freeze, DECIDED_BELOW)))
    if upheld or any(_is_suspended(*known, each) for each in (freeze, *below(freeze, DECIDED_BELOW, FINAL))):
        raise case.out_of_order(f"a claim contests what is held on the {word(freeze.kind)}", "cites[0]", _REMEDIES)


def _check_carried_on(case: _Case, request: pb.Header) -> None:
    """What a request carries on has not ended: what is held no more, or was withdrawn, is not handed over."""
    for matter, standing in case.matters:
        if matter is request and (standing in _ENDED or _has_run_out(case, matter, standing)):
            law = "2018/1805 Art. 29(2)" if matter.kind in FREEZES else "2023/1543 Art. 16(1)"
            raise case.out_of_order(f"the {word(matter.kind)} that is carried on is {standing.value}", "cites[0]", law)
    if request.kind in FREEZES:
        _check_uncontested(case, request)


def _check_live(case: _Case) -> None:
    for above, standing in case.matters[1:]:
        if standing in _ENDED or _has_run_out(case, above, standing):
            raise case.out_of_order(f"the {word(above.kind)} above it is {standing.value}", "cites[0]")
        if above.kind in ASKED_ABROAD:
            return  # what a request cites is another matter, e.g. one that was forwarded, and is made anew here


def _has_run_out(case: _Case, matter: pb.Header, state: State) -> bool:
    """Whether a limit has ended a matter, though it has not rung yet: the node was down, or has much to say."""
    if (matter.kind, state) not in RUNNING_OUT:
        return False
    # Nearly always none has, of no matter here; and that is known from one look for many envelopes.
    if not case.register.matters.some_are_over() or not keeps_clocks(matter, case.here):
        return False
    now_us = case.register.now_us
    return any(
        is_over(clock, now_us) and runs_out(clock.rule, matter.kind, state) is not None
        for clock in case.register.matters.clocks(matter)
    )


def _check_once(case: _Case) -> None:
    if _arrived(case.register, case.here, case.header.cites[0], case.header.kind):
        raise case.out_of_order("it has been answered already", "cites[0]")


def _check_not_refused(case: _Case) -> None:
    for decision in case.register.below(row_checks.meant(case.above) or case.header.cites[0], DECIDED_BELOW):
        if decision.outcome == ids.OUTCOME_REFUSED:
            raise case.out_of_order("a court has refused what it rests on", "cites[0]")
        if _is_upheld(case.register, case.here, decision):
            raise case.out_of_order("a claim was upheld against what it rests on", "cites[0]")


def _check_agreed(case: _Case) -> None:
    """2018/1805 Art. 12(2): property remains frozen unless the issuer agrees, or has not answered in time."""
    for matter, standing in case.matters:
        if standing is State.UNBOUND or standing in _ENDED:
            return
        if matter.kind in ASKED_ABROAD:
            if matter.kind in FREEZES:
                _check_agreed_to(case, matter)
            return


def _check_agreed_to(case: _Case, freeze: pb.Header) -> None:
    """What was asked last counts, and the answer to that; and no earlier end than it named."""
    header, known = case.header, (case.register, case.here)
    asked = _arrived(*known, freeze, ids.KIND_LIMITATION_REQUEST)[-1:]
    answers = [answer for question in asked for answer in _arrived(*known, question, ids.KIND_LIMITATION_ANSWER)]
    agreed = [answer.created_at_us for answer in answers if answer.outcome == ids.OUTCOME_GRANTED]
    # Whoever extends it after that has agreed no more.
    extended = [each.created_at_us for each in _arrived(*known, freeze, ids.KIND_EXTENSION)]
    if not agreed or max(extended, default=0) > max(agreed):
        raise case.out_of_order("whoever asked for the freeze has not agreed that it is limited", "cites[0]", _DURATION)
    if header.HasField("in_force_until_us") and not 0 < asked[0].in_force_until_us <= header.in_force_until_us:
        detail = "whoever asked for the freeze has not agreed that it ends then"
        raise case.out_of_order(detail, "in_force_until_us", _DURATION)


def _check_as_told(case: _Case) -> None:
    """What crosses the border stays within the decisions that crossed it, as both nodes have them."""
    told = case.register.below(case.header.cites[0], TOLD_BELOW)
    granted = [each for each in told if each.outcome in GRANTS]
    if len(granted) > 1:  # without the only one, the matter would not stand where this is lawful
        granted = [each for each in granted if not was_lost(case.register, case.here, each)]
    row_checks.check_within(case, granted, "what was told to be granted")


def _check_ranked(case: _Case) -> None:
    """2018/1805 Art. 26: what another order goes before is not executed. Its court may decide anew."""
    ranks = case.register.below(case.above[0].cites[0], RANKED_BELOW)
    if ranks and ranks[-1].outcome == ids.OUTCOME_REFUSED:
        raise case.out_of_order("another order goes first", "cites[0]", "2018/1805 Art. 26")


def _check_settled(case: _Case) -> None:
    """2018/1805 Art. 29-30, 33: nothing is disposed of while a victim's request or a claim on it is undecided."""
    about = case.header.cites[0]
    for request in _arrived(case.register, case.here, about, ids.KIND_RESTITUTION_DECISION):
        state = case.register.matters.state(request)
        if state is not None and state not in _SETTLED:
            detail = f"the {word(request.kind)} on it is {state.value}"
            raise case.out_of_order(detail, "cites[0]", "2018/1805 Art. 29(2)")
    decisions = case.register.below(about, DECIDED_BELOW, FINAL)
    if any(_is_suspended(case.register, case.here, each) for each in (case.above[0], *decisions)):
        raise case.out_of_order("a claim on it is undecided", "cites[0]", _REMEDIES)


def _check_lengthens(case: _Case) -> None:
    """What ends an order earlier is a limitation, by whatever name (2018/1805 Art. 12(2)), and no limitation extends.

    For what is withdrawn may be limited, and not extended.
    """
    order, header = case.above[0], case.header
    said = (order, *case.register.citing(order, ids.KIND_EXTENSION, ids.KIND_LIMITATION))
    ends = [each.in_force_until_us for each in said if each.HasField("in_force_until_us")]
    if not header.HasField("in_force_until_us"):
        return
    later = bool(ends) and header.in_force_until_us > ends[-1]
    if case.step.lengthens and not later:
        raise case.out_of_order("the order does not end before that: limit it", "in_force_until_us")
    if later and not case.step.lengthens:
        raise case.out_of_order("the order ends before that: extend it", "in_force_until_us")


def _check_open(case: _Case) -> None:
    about, _ = case.matters[0]
    if not keeps_clocks(about, case.here):
        return
    now_us = case.register.now_us
    clocks = case.register.matters.clocks(about)
    running = [clock for clock in clocks if clock.rule == case.step.needs_open and not is_over(clock, now_us)]
    if not running:
        law = LIMITS[case.step.needs_open].law if case.step.needs_open else ""
        raise case.out_of_order("its time limit has run out, or never ran", "created_at_us", law)
    header = case.header
    if header.HasField("in_force_until_us") and header.in_force_until_us <= running[0].due_at_us:
        raise case.out_of_order("it does not end before that: withdraw it", "in_force_until_us")


def _check_waited(case: _Case) -> None:
    about, state = case.matters[0]
    if not keeps_clocks(about, case.here):
        return
    if state is State.TO_DELETE:
        # It crossed with what led there: whoever wrote it knew of nothing that is to be deleted.
        if case.header.created_at_us < case.register.matters.moves(ref_of(about))[-1].at_us:
            raise case.out_of_order("what came is to be deleted since", "created_at_us")
        return
    now_us = case.register.now_us
    for clock in case.register.matters.clocks(about):
        if clock.rule in case.step.waits_for and not is_over(clock, now_us):
            detail = "a time limit still runs that it would cut short"
            raise case.out_of_order(detail, "created_at_us", LIMITS[clock.rule].law)


def _resumed(case: _Case, then: State) -> State:
    """Return where what is done stands: as last reported, or suspended. So it does not matter what came first."""
    claimed = _claimed(case)
    if claimed is None:
        return then
    known = (case.register, case.here, claimed, case.cited)
    return _or_suspended(then, *known) if case.rule.kind == ids.KIND_EXECUTION_REPORT else _as_arrived(then, *known)


def _claimed(case: _Case) -> pb.Header | None:
    """Return what a claim on the matter cites, if that is here: the decision on it, or the request itself."""
    matter, _ = case.matters[0]
    for above in case.above:
        if above.kind in CLAIMABLE:
            return above
        if above is matter:
            break
    return None


def _is_still_suspended(case: _Case) -> bool:
    """Whether a suspensive claim is open beside the one that this decides."""
    claimed = _claimed(case)
    return claimed is not None and _is_suspended(case.register, case.here, claimed, case.cited)


def _is_asked_beside(case: _Case) -> bool:
    """Whether a question beside the one that this answers is open, and was asked since something was decided."""
    if case.cited is None or not keeps_clocks(case.matters[0][0], case.here):
        return False
    matter, asked = case.cited.cites[0], list[pb.Header]()
    for each in case.register.below(matter, QUESTIONS_BELOW):
        if each.kind == ids.KIND_CLARIFICATION_REQUEST:
            asked.append(each)
        elif each.outcome != ids.OUTCOME_POSTPONED:
            asked.clear()
    others = [each for each in asked if each != case.cited]
    answered = [answer.cites[0] for answer in case.register.below(matter, ANSWERS_BELOW)] if others else []
    return any(ref_of(each) not in answered and not was_lost(case.register, case.here, each) for each in others)


def _revived(case: _Case, rule: ClockRule, then: Then, after: Effects) -> Effects:
    """Let the limit of the matter above run again, to the end that it had, if no grant that met it stands any more.

    Not before all has ended that was ordered on it.
    """
    if then.state not in FINAL or len(case.matters) == 1:
        return after
    (about, _), (above, standing), *_ = case.matters
    matters = case.register.matters
    may_end = runs_out(rule, above.kind, standing) is not None and keeps_clocks(above, case.here)
    if not may_end or any(clock.rule == rule for clock in matters.clocks(above)):
        return after
    decisions = case.register.below(above, DECIDED_BELOW, FINAL)
    if any(each.outcome in GRANTS and each.cites[0] != ref_of(about) for each in decisions):
        return after
    had = next((clock for clock in reversed(matters.all_clocks(above)) if clock.rule == rule), None)
    if had is None:
        return after
    again = effects.started(above, rule, had.due_at_us, case.register.now_us)
    return after._replace(clocks=(*after.clocks, again))


def _as_arrived(state: State, register: Register, here: str, claimed: pb.Header, but: pb.Header | None = None) -> State:
    then = row_checks.reported(_arrived(register, here, claimed, ids.KIND_EXECUTION_REPORT), state)
    return _or_suspended(then, register, here, claimed, but)


def _or_suspended(
    then: State, register: Register, here: str, claimed: pb.Header, but: pb.Header | None = None
) -> State:
    return State.SUSPENDED if then in DONE and _is_suspended(register, here, claimed, but) else then


def _is_suspended(register: Register, here: str, claimed: pb.Header, but: pb.Header | None = None) -> bool:
    """Whether a suspensive claim is open, other than one."""
    return any(
        claim.outcome == ids.OUTCOME_POSTPONED
        and claim != but
        and not _arrived(register, here, claim, ids.KIND_CLAIM_DECISION)
        and not was_lost(register, here, claim)
        for claim in register.below(claimed, CLAIMED_BELOW)
    )


def _is_upheld(register: Register, here: str, claimed: pb.Header) -> bool:
    """Whether a claim on it has been upheld."""
    return any(
        decision.outcome == ids.OUTCOME_GRANTED
        for claim in register.below(claimed, CLAIMED_BELOW)
        for decision in _arrived(register, here, claim, ids.KIND_CLAIM_DECISION)
    )


def _arrived(register: Register, here: str, ref: Named, kind: Kind) -> list[pb.Header]:
    """Return what is recorded of a kind and cites an envelope, but for what never arrived."""
    return [each for each in register.citing(ref, kind) if not was_lost(register, here, each)]


def was_lost(register: Register, here: str, sent: pb.Header) -> bool:
    """Whether the other node never had what was sent to it.

    Args:
        register: what is recorded.
        here: code of this node.
        sent: what it recorded.
    """
    there = Address.parse(sent.recipients[0]).node
    if there == Address.parse(sent.sender).node or there == here:
        return False
    ref, words = ref_of(sent), register.words
    ours = words(ref, str(Address.of_node(here)))
    # What we had refused ourselves, and then took, has not come back.
    since = ours[ours.index(pb.MILESTONE_ACCEPTED) :] if pb.MILESTONE_ACCEPTED in ours else ours
    return not _LOST.isdisjoint(since) or pb.MILESTONE_REFUSED in words(ref, str(Address.of_node(there)))


def _check_rests_on(case: _Case) -> None:
    header, step = case.header, case.step
    base: Named = (row_checks.meant(case.above[1:]) if step.rests_above else None) or header.cites[0]
    unless = step.taken_back(header.outcome)
    succeeded = header.kind == ids.KIND_EXECUTION_REPORT and header.outcome in GRANTS
    ways = [way for way in (step.rests_on, step.or_rests_on) if way]
    if succeeded and row_checks.holds_assets(case.matters[0][0]):
        unless |= {State.RELEASED}  # what is held no more is not told to be held
    ends = [case.register.below(base, way, unless if ends_below_matters(way) else ()) for way in ways]
    found = [row_checks.uncorrected(papers, way) for papers, way in zip(ends, ways, strict=True)]
    support = [each for papers in found for each in papers]
    if step.same_outcome:
        decision = _decision(header)
        support = [s for s in support if _decision(s) == decision]
    failed = header.outcome == ids.OUTCOME_REFUSED and _is_prevented(case)
    if not support:
        if failed:
            return
        chain = "; or ".join(", ".join(" or ".join(sorted(map(word, kinds))) for kinds in way) for way in ways)
        raise case.out_of_order(f"what it rests on is not recorded: {chain}", "cites[0]")
    if header.outcome and header.outcome not in row_checks.outcomes_to_report({s.outcome for s in support}):
        raise case.out_of_order("what it rests on came to another outcome", "outcome")
    if header.outcome == ids.OUTCOME_REFUSED and not failed and header.ground not in {s.ground for s in support}:
        raise case.out_of_order("what it rests on came to that on another ground", "ground")
    row_checks.check_within(case, support, "what it rests on")
    if succeeded:
        _check_recovered(case, found)


def _is_prevented(case: _Case) -> bool:
    """Whether an objection or a claim was upheld against what is reported on, and nothing is left of that."""
    cited, register = case.header.cites[0], case.register
    ends = [each for way in case.step.fails_on for each in register.below(cited, way)]
    if all(each.outcome != ids.OUTCOME_GRANTED for each in ends):
        return False
    return not _holds_below(cited, register)


def _check_recovered(case: _Case, found: Sequence[Sequence[pb.Header]]) -> None:
    """2018/1805 Art. 18(4), 20(4): what was recovered is told as it was reported, for other States deduct it.

    Args:
        case: a report.
        found: what it rests on, way by way: what was ordered, and what of that was moved; the same sums count once.
    """
    last = [*map(row_checks.last_on_each, found)]  # each says what was recovered until then
    sums = [[each.amount for each in reports if each.HasField("amount")] for reports in last]
    if not any(sums):
        return
    if not case.header.HasField("amount"):
        raise case.out_of_order("it does not say the sum that was reported", "amount", _RECOVERED)
    told = case.header.amount
    if {told.currency} != {each.currency for each in chain.from_iterable(sums)}:
        return  # an exchange may count in another currency than the order does
    with localcontext(prec=_DIGITS):
        total = max(sum((Decimal(each.amount) for each in way), Decimal(0)) for way in sums)
    # What is above the sum that was asked is nobody's to pass on.
    if Decimal(told.amount) < min([total, *(Decimal(each.amount) for each in row_checks.sums_above(case))]):
        raise case.out_of_order(f"less than {total}, which was reported", "amount", _RECOVERED)
    # Whoever reported no sum may have held the rest.
    complete = all(each.HasField("amount") for reports in last for each in reports)
    if complete and Decimal(told.amount) > total:
        raise case.refused(ErrorCode.EXCEEDS_GRANT, f"more than {total}, which was reported", "amount", _RECOVERED)


def _decision(header: pb.Header) -> tuple[int, int, int]:
    return header.outcome, header.ground, header.dual_criminality


def _check_all_ended(case: _Case) -> None:
    """Nobody says that measures have ended while an order still holds assets, or provisionally keeps data."""
    header, step = case.header, case.step
    ends = header.outcome == ids.OUTCOME_REFUSED and header.ground in step.all_ended_for
    if header.outcome not in step.all_ended_on and not ends:
        return
    if _holds_below(header.cites[0], case.register):
        raise case.out_of_order("an order that it rests on still holds something: release that first", "cites[0]")


def _holds_below(ref: Named, register: Register) -> bool:
    """Whether an order that rests on an envelope still holds something."""
    states = ((order, register.matters.state(order)) for order in _orders_below(ref, register))
    return any(state is not None and row_checks.holds(order, state) for order, state in states)


def _orders_below(ref: Named, register: Register) -> Iterator[pb.Header]:
    for child in register.citing(ref, *LEADING_TO_ORDERS):
        if child.kind in ORDERS:
            yield child
        yield from _orders_below(child, register)


def _check_total(case: _Case) -> None:
    """2018/1805 Art. 16(2), 18(4): what all States may recover on one order is never more than the order."""
    header = case.header
    first = case.cited if case.cited is not None and case.cited.kind == header.kind else None
    # Whoever adds to an order names its total, too.
    if not (header.HasField("order_total") or (first is not None and first.HasField("order_total"))):
        if header.HasField("amount"):
            raise case.out_of_order("it names a sum, and not the total of the order", "order_total", _RECOVERED)
        return
    if not header.HasField("amount"):
        raise case.out_of_order("it names a total, and not what may be recovered here", "amount")
    row_checks.check_sum(case, header.amount, header.order_total)
    if first is not None and (
        first.order_total != header.order_total
        or (len(case.above) > 1 and case.above[1].kind == ids.KIND_CONFISCATION_REQUEST)
    ):
        raise case.out_of_order("it cites the first request on the same order, with the same total", "cites[0]")
    with localcontext(prec=_DIGITS):
        bound = sum((_bound(each, case.register) for each in _on_the_order(case)), Decimal(header.amount.amount))
    if bound > Decimal(header.order_total.amount):
        detail = f"all States together could recover {bound}, and the order is {header.order_total.amount}"
        raise case.refused(ErrorCode.EXCEEDS_GRANT, detail, "amount", _RECOVERED)


def _on_the_order(case: _Case) -> Iterable[pb.Header]:
    """Return all that this State asks on an order: what cites each other, and what has one case and one total."""
    register, header = case.register, case.header
    found: dict[tuple[str, str], pb.Header] = {}
    cases: set[str] = set()
    asked = [*case.above[:1]]

    def look(case_id: str) -> None:
        if case_id not in cases:
            cases.add(case_id)
            asked.extend(register.of_case(case_id, header.kind))

    look(header.case_id)
    while asked:
        each = asked.pop()
        ours = each.kind == header.kind and Address.parse(each.sender).node == case.here
        if not ours or each.order_total != header.order_total or (each.sender, each.id) in found:
            continue
        found[each.sender, each.id] = each
        asked += register.citing(each, header.kind)
        asked += [above for above, _ in register.matters.chain(each)[1:2]]
        look(each.case_id)
    return found.values()


def _bound(request: pb.Header, register: Register) -> Decimal:
    """Return what may still be, or has been, recovered on a request."""
    if register.matters.state(request) not in FINAL:
        return Decimal(request.amount.amount or 0)
    reports = register.citing(request, ids.KIND_EXECUTION_REPORT, ids.KIND_FINAL_REPORT)
    return max((Decimal(report.amount.amount or 0) for report in reports), default=Decimal(0))


def _marks(case: _Case) -> tuple[Mark, ...]:
    marks, above = case.step.marks, case.above
    if not marks:
        return ()
    return tuple([Mark(above[up - 1], milestone) for up, milestone in marks if up <= len(above)])
