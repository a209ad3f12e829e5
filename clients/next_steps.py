"""What a participant may lawfully do next in a case, by the table and by what lies on its own disk.

In: a `Case` and the time. Out: for every row of steps.py that fits one of its envelopes, to whom the step goes and what
it may say, an outcome each. Each has been tried: a header that says so passes `gateway.row_checks`, and the matter is
in a state in which the row is lawful.

What only the node can tell is said as a proviso. Its country's own law may be stricter than the table; that is the
node's secret.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from itertools import product
from typing import Final, TypeAlias, TypeVar

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from clients.cases import Case, Key, Matter, Paper, key_of
from gateway import row_checks
from gateway.clock import to_micros
from gateway.envelope import ref_of
from gateway.errors import Refusal
from gateway.formats.grounds import GROUNDS
from gateway.identity import Address, Role
from gateway.rules import (
    ENDING,
    FINAL,
    GRANTS,
    CaseRule,
    DataClass,
    Kind,
    Link,
    Measure,
    Outcome,
    State,
    Step,
    Way,
    Where,
    word,
)
from gateway.steps import (
    ASKED_ABROAD,
    CARRYING_ON,
    CLAIMED_BELOW,
    DECIDED_BELOW,
    FREEZES,
    INHERITED,
    LEADING_TO_ORDERS,
    ORDERS,
    RANKED_BELOW,
    STEPS,
)

T = TypeVar("T", Measure, DataClass)

_Reasons: TypeAlias = tuple[ids.Ground.ValueType, ids.DualCriminality.ValueType]

_TO_ANYBODY: Final = frozenset({Link.PASSES_ON, Link.FOLLOWS_UP, Link.COMPLAINS})
"""Whether they live does not depend on what they cite."""
_TEST_CASE: Final = f"TEST-{0:032x}"
_NEW_CASE: Final = "0"
"""Stands for any case id that is not used yet."""


class Proviso(Enum):
    """What the node knows and we do not."""

    ABOVE = "nothing that it comes from has ended or is ending"
    KEPT = "it does not come from what was only to be kept"
    BELOW = "no order below it holds anything any more"
    IN_TIME = "its time limit still runs"
    WAITED = "no time limit runs any more that it would cut short"
    GROUND = "a ground, where it needs one, is one for what was asked"
    AGREED = "whoever asked for the freeze above has agreed that it is limited"
    UNDISPUTED = "no claim of which we are not told suspends what it comes from"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a step may say.

    Args:
        outcome: with this outcome; OUTCOME_UNSPECIFIED for none.
        measures: these at most.
        data_classes: these at most.
        rests_on: of these it may say no more than they do.
    """

    outcome: Outcome
    measures: tuple[Measure, ...]
    data_classes: tuple[DataClass, ...]
    rests_on: tuple[ids.EnvelopeRef, ...]


@dataclass(frozen=True, slots=True)
class Next:
    """One lawful step.

    Args:
        step: its row, with its law and its countersignature.
        to: one of these receives it.
        cites: the envelope that it cites; None: none.
        case_id: its case; None: another than any before, or where it cites nothing, any.
        instruments: abroad, it names one of these.
        allowed: what it may say: for each outcome, and where it passes a decision on, for each decision.
        provisos: what must be so besides.
        matter: what it is about; None: nothing that has a state yet.
    """

    step: Step
    to: tuple[str, ...]
    cites: ids.EnvelopeRef | None
    case_id: str | None
    instruments: tuple[str, ...]
    allowed: tuple[Allowed, ...]
    provisos: tuple[Proviso, ...]
    matter: Matter | None

    @property
    def kind(self) -> Kind:
        """Its kind."""
        return self.step.rule.kind

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes that it may have."""
        return tuple(dict.fromkeys(each.outcome for each in self.allowed))


def lawful_next(case: Case, now: datetime) -> list[Next]:
    """Return every step that is lawful for us, in the order of the table: first those of this case, then new ones."""
    search = _Search(case, now)
    ours = case.directory.roles(case.me)
    rows = [step for step in STEPS if step.rule.sender in ours]
    citing = [found for step in rows for paper in case.papers.values() for found in search.fitting(step, paper)]
    return citing + [found for step in rows if not step.cites for found in search.fitting(step, None)]


@dataclass(frozen=True, slots=True)
class _Search:
    """Looks for what fits."""

    case: Case
    now: datetime
    _suited: dict[tuple[Role, Where], list[str]] = field(default_factory=dict)  # a federation has thousands

    def fitting(self, step: Step, paper: Paper | None) -> Iterator[Next]:
        """Yield the step, if it may cite that envelope now."""
        if paper is not None and (paper.header.kind not in step.cites or not self._lives(step, paper)):
            return
        to = self._recipients(step, paper)
        instruments = {each: self._instruments(step, paper, each) for each in to}
        to = [each for each in to if instruments[each] or step.rule.where is Where.HOME]
        # Whether what it says is lawful does not depend on which of them receives it.
        allowed = [*self._allowed(step, paper, to[0], instruments[to[0]])] if to else []
        if allowed:
            yield Next(
                step,
                tuple(to),
                None if paper is None else ref_of(paper.header),
                paper.header.case_id if paper is not None and step.case is not CaseRule.OWN else None,
                tuple(dict.fromkeys(name for each in to for name in instruments[each])),
                tuple(allowed),
                tuple(self._provisos(step, paper, [each.outcome for each in allowed])),
                self._about(paper),
            )

    def _about(self, paper: Paper | None) -> Matter | None:
        return None if paper is None else next(self._matters(paper), None)

    def _matters(self, paper: Paper) -> Iterator[Matter]:
        found = (self.case.matter(each.key) for each in (paper, *self.case.above(paper)))
        return (each for each in found if each is not None)

    def _lives(self, step: Step, paper: Paper) -> bool:
        """Whether the matters above let it go on, as far as they are known here."""
        matters = [*self._matters(paper)]
        if step.moves and (not matters or matters[0].state not in step.at):
            return False
        if any(each.kind in step.never_below for each in matters):
            return False
        ours = matters[: _to_the_request([each.kind for each in matters])]
        if step.needs_live and any(each.state in FINAL | ENDING for each in ours[1:]):
            return False
        # What it opens ends with the matter above, and so does what it cites.
        over = matters[0 if step.opens is not None else 1 :]
        if step.inherits and over and INHERITED.isdisjoint(over[0].running):
            return False
        return step.needs_open is None or not matters or step.needs_open in matters[0].running

    def _recipients(self, step: Step, paper: Paper | None) -> list[str]:
        if paper is None:
            return self._anybody(step, ())
        me, sender, recipients = self.case.me, paper.header.sender, [*paper.header.recipients]
        sent, received = me == sender, me in recipients
        match step.link:
            case Link.ANSWERS:
                found = [sender] if received else []
            case Link.REPORTS_ON:
                found = recipients if sent else []
            case Link.PASSES_ON:
                found = self._anybody(step, (sender,)) if received else []
            case Link.FOLLOWS_UP:
                found = self._anybody(step, recipients) if sent else []
            case Link.COMPLAINS:
                found = self._anybody(step, (sender, *recipients)) if sent or received else []
        return found if step.link in _TO_ANYBODY else [each for each in found if self._suits(step, each)]

    def _anybody(self, step: Step, but: Iterable[str]) -> list[str]:
        role, where = step.rule.recipient, step.rule.where
        if (role, where) not in self._suited:
            known = (str(each.address) for each in self.case.directory.participants)
            self._suited[role, where] = [each for each in known if each != self.case.me and self._suits(step, each)]
        return [each for each in self._suited[role, where] if each not in but]

    def _suits(self, step: Step, recipient: str) -> bool:
        has_role = step.rule.recipient in self.case.directory.roles(recipient)
        return has_role and row_checks.where_of(self.case.me, recipient) is step.rule.where

    def _instruments(self, step: Step, paper: Paper | None, recipient: str) -> list[str]:
        if step.rule.where is Where.HOME:
            return []
        if paper is not None and step.opens is None:
            return [paper.header.instrument]
        states = frozenset(Address.parse(each).node for each in (self.case.me, recipient))
        directory, kind = self.case.directory, word(step.rule.kind)
        return [each.id for each in directory.instruments if directory.in_force(each.id, states, kind, self.now)]

    def _allowed(
        self, step: Step, paper: Paper | None, recipient: str, instruments: Sequence[str]
    ) -> Iterator[Allowed]:
        above = () if paper is None else (paper.header, *(each.header for each in self.case.above(paper)))
        told = self._told(step, paper)
        for outcome in sorted(step.outcomes):
            if outcome in step.all_ended_on and paper is not None and self._holds_below(paper.key):
                continue
            for reasons, support in self._reasons(step, paper, outcome):
                header = pb.Header(
                    kind=step.rule.kind,
                    sender=self.case.me,
                    recipients=[recipient],
                    cites=[] if paper is None else [ref_of(paper.header)],
                    case_id=self._case_id(step, paper),
                    instrument=instruments[0] if instruments else "",
                    outcome=outcome,
                    ground=reasons[0],
                    dual_criminality=reasons[1],
                    measures=_at_most(step.measures, "measures", step, above, support, told),
                    data_classes=_at_most(step.data_classes, "data_classes", step, above, support, told),
                    urgency=ids.URGENCY_ORDINARY,
                    created_at_us=to_micros(self.now),
                )
                if self._passes(header, step, paper, above, support) or self._passes(
                    _with_nothing(header), step, paper, above, support
                ):
                    rests_on = tuple(ref_of(each) for each in support)
                    yield Allowed(outcome, tuple(header.measures), tuple(header.data_classes), rests_on)
                    if not step.same_outcome:
                        break  # on other grounds it may say the same

    def _told(self, step: Step, paper: Paper | None) -> list[pb.Header]:
        """Return what its recipient was told to be granted, if the step may say no more than that."""
        if paper is None or not step.as_told:
            return []
        decisions = self.case.arrived(paper.key, ids.KIND_REVIEW_DECISION)
        return [each for each in decisions if each.outcome in GRANTS]

    def _passes(
        self,
        header: pb.Header,
        step: Step,
        paper: Paper | None,
        above: Sequence[pb.Header],
        support: Sequence[pb.Header],
    ) -> bool:
        directory = self.case.directory
        try:
            placed = row_checks.place(header, row_checks.permitted(header, directory), above)
            if placed.step is not step:
                return False
            row_checks.check(placed, directory)
            row_checks.check_within_cited(placed)
            if step.rests_on:
                row_checks.check_within(placed, support, "what it rests on")
        except Refusal:
            return False
        if paper is not None and self._is_barred(step, paper):
            return False
        about = self._about(paper)
        if not step.moves or about is None or about.state is None:
            return True
        return step.then(about.state, header.outcome, header.ground, holds=about.holds) is not None

    def _is_barred(self, step: Step, paper: Paper) -> bool:
        """Whether it was answered already, or a claim, a judge's refusal or the issuer's stands in the way."""
        if step.once and self.case.arrived(paper.key, step.rule.kind):
            return True
        about = self._about(paper)
        if step.not_after_refusal and about is not None:
            decisions = self._down(key_of(about.ref), DECIDED_BELOW)
            if any(each.outcome == ids.OUTCOME_REFUSED or self._is_upheld(key_of(each)) for each in decisions):
                return True
        if step.agreed and not self._may_be_limited(paper):
            return True
        if step.ranked and self._is_outranked(paper):
            return True
        if step.settled and self._is_pending(paper.key):
            return True
        return step.undisputed and self._is_disputed(paper)

    def _is_outranked(self, decision: Paper) -> bool:
        """Whether the court has let another order go first."""
        ranks = self._down(key_of(decision.header.cites[0]), RANKED_BELOW)
        return bool(ranks) and ranks[-1].outcome == ids.OUTCOME_REFUSED

    def _is_pending(self, freeze: Key) -> bool:
        """Whether a victim's request for what is held is undecided, or a suspensive claim, as far as is known here."""
        requests = map(self.case.matter, map(key_of, self.case.arrived(freeze, ids.KIND_RESTITUTION_DECISION)))
        if any(each is not None and each.state not in FINAL | {State.DISPOSED} for each in requests):
            return True
        decisions = [each for each in self._down(freeze, DECIDED_BELOW) if self._state_above(each) not in FINAL]
        return any(map(self.case.is_suspended, [freeze, *map(key_of, decisions)]))

    def _is_disputed(self, paper: Paper) -> bool:
        """Whether a claim stands in the way, or what the request above carries on has ended, as far as is known."""
        chain = [paper, *self.case.above(paper)]
        to_the_request = _to_the_request([each.header.kind for each in chain])
        above = {each.key for each in chain[:to_the_request]}
        disputed = (each for each in self.case.matters if each.state in (State.SUSPENDED, State.UNBOUND))
        if any(key_of(each.ref) in above for each in disputed) or any(map(self.case.is_suspended, above)):
            return True
        request, carried_on = chain[to_the_request - 1], chain[to_the_request:][:1]
        if request.header.kind in CARRYING_ON and carried_on:
            matter = self.case.matter(carried_on[0].key)
            if matter is not None and matter.state in FINAL | ENDING:
                return True
            request = carried_on[0]
        return request.header.kind in FREEZES and self._is_contested(request.key)

    def _is_contested(self, freeze: Key) -> bool:
        """Whether a claim on a freeze, or on a decision on it, suspends it or was upheld."""
        decisions = self._down(freeze, DECIDED_BELOW)
        stand = [freeze, *(key_of(each) for each in decisions if self._state_above(each) not in FINAL)]
        decided = [freeze, *map(key_of, decisions)]
        return any(map(self.case.is_suspended, stand)) or any(map(self._is_upheld, decided))

    def _is_upheld(self, claimed: Key) -> bool:
        """Whether a claim on it has been upheld."""
        return any(
            decision.outcome == ids.OUTCOME_GRANTED
            for claim in self._down(claimed, CLAIMED_BELOW)
            for decision in self.case.arrived(key_of(claim), ids.KIND_CLAIM_DECISION)
        )

    def _may_be_limited(self, paper: Paper) -> bool:
        """Whether nobody who asked for a freeze above insists on it, as far as is known here."""
        for matter in self._matters(paper):
            if matter.state in FINAL | ENDING | {State.UNBOUND}:
                return True
            if matter.kind in ASKED_ABROAD:
                asked = self.case.arrived(key_of(matter.ref), ids.KIND_LIMITATION_REQUEST)[-1:]
                answers = [
                    each for last in asked for each in self.case.arrived(key_of(last), ids.KIND_LIMITATION_ANSWER)
                ]
                agreed = [each.created_at_us for each in answers if each.outcome == ids.OUTCOME_GRANTED]
                extended = self.case.arrived(key_of(matter.ref), ids.KIND_EXTENSION)
                stands = bool(agreed) and all(each.created_at_us <= max(agreed) for each in extended)
                return matter.kind not in FREEZES or stands
        return True

    @staticmethod
    def _case_id(step: Step, paper: Paper | None) -> str:
        if paper is not None and step.case is not CaseRule.OWN:
            return paper.header.case_id
        return _TEST_CASE if step.is_test else _NEW_CASE

    def _reasons(
        self, step: Step, paper: Paper | None, outcome: Outcome
    ) -> Iterator[tuple[_Reasons, Sequence[pb.Header]]]:
        """Yield grounds and answers on dual criminality to try, the fewest words first, and what they rest on."""
        grounds = [ids.GROUND_UNSPECIFIED, *sorted(step.grounds or GROUNDS)]
        duals = ids.DualCriminality.values() if step.reviews else [ids.DUAL_CRIMINALITY_UNSPECIFIED]
        if not step.rests_on or paper is None:
            for reasons in product(grounds, duals):
                yield reasons, ()
            return
        support = self._support(step, paper, outcome)
        if not support and outcome == ids.OUTCOME_REFUSED and self._is_prevented(step, paper.key):
            for reasons in product(grounds, duals):
                yield reasons, ()
        elif step.same_outcome:
            same = [each for each in support if each.outcome == outcome]
            for reasons in dict.fromkeys((each.ground, each.dual_criminality) for each in same):
                yield reasons, [each for each in same if (each.ground, each.dual_criminality) == reasons]
        elif support and (not outcome or outcome in row_checks.outcomes_to_report({each.outcome for each in support})):
            for reasons in product(grounds, duals):
                yield reasons, support

    def _support(self, step: Step, paper: Paper, outcome: Outcome) -> list[pb.Header]:
        """Return what is recorded that the step may rest on: below what it cites, or below the request above."""
        base = paper.key
        if step.rests_above:
            above = row_checks.meant([each.header for each in self.case.above(paper)])
            if above is None:
                return []
            base = key_of(above)
        ways = [way for way in (step.rests_on, step.or_rests_on) if way]
        found = [each for way in ways for each in row_checks.uncorrected(self._down(base, way), way)]
        taken_back = step.taken_back(outcome)
        about = self._about(paper)
        succeeded = step.rule.kind == ids.KIND_EXECUTION_REPORT and outcome in GRANTS
        if succeeded and about is not None and about.holds:
            taken_back |= {State.RELEASED}
        return [each for each in found if not taken_back or self._state_above(each) not in taken_back]

    def _is_prevented(self, step: Step, key: Key) -> bool:
        """Whether an objection or a claim was upheld against what is reported on, and nothing is left of that."""
        ends = [each for way in step.fails_on for each in self._down(key, way)]
        return any(each.outcome == ids.OUTCOME_GRANTED for each in ends) and not self._holds_below(key)

    def _state_above(self, header: pb.Header) -> State | None:
        matter = self.case.matter(key_of(header.cites[0]))
        return None if matter is None else matter.state

    def _down(self, base: Key, way: Way) -> list[pb.Header]:
        found = [base]
        support: list[pb.Header] = []
        for kinds in way:
            support = [each.header for key in found for each in self.case.citing(key) if each.header.kind in kinds]
            found = [key_of(each) for each in support]
        return support

    def _holds_below(self, key: Key) -> bool:
        """Whether an order of ours that rests on an envelope still holds something."""
        for paper in self.case.citing(key):
            order = self.case.matter(paper.key) if paper.header.kind in ORDERS else None
            if order is not None and order.state is not None and row_checks.holds(paper.header, order.state):
                return True
            if paper.header.kind in LEADING_TO_ORDERS and self._holds_below(paper.key):
                return True
        return False

    def _provisos(self, step: Step, paper: Paper | None, outcomes: Iterable[Outcome]) -> Iterator[Proviso]:
        if paper is None:
            return
        chain = [paper, *self.case.above(paper)]
        is_cut = bool(chain[-1].header.cites) and chain[-1].header.kind not in ASKED_ABROAD
        if step.needs_live and is_cut:
            yield Proviso.ABOVE
        if step.never_below and is_cut:
            yield Proviso.KEPT
        if step.reviews and is_cut:
            yield Proviso.GROUND
        if step.undisputed and is_cut:
            yield Proviso.UNDISPUTED
        if step.agreed and is_cut:
            yield Proviso.AGREED
        if not step.all_ended_on.isdisjoint(outcomes) and self._others_may_hold_below(paper):
            yield Proviso.BELOW
        if step.needs_open is not None:
            yield Proviso.IN_TIME
        matter = self._about(paper)
        if matter is not None and matter.state is not State.TO_DELETE and step.waits_for & matter.running:
            yield Proviso.WAITED

    def _others_may_hold_below(self, paper: Paper) -> bool:
        """Whether a court may have given orders, on which it reports and which do not lie here."""
        referrals = (each for each in self.case.citing(paper.key) if each.header.kind == ids.KIND_REVIEW_REFERRAL)
        decisions = (each.header for referral in referrals for each in self.case.citing(referral.key))
        return any(each.kind == ids.KIND_REVIEW_DECISION and each.outcome in GRANTS for each in decisions)


def _to_the_request(kinds: Sequence[Kind]) -> int:
    """Return how many there are up to the request: what that cites is another matter."""
    return next((number for number, kind in enumerate(kinds, 1) if kind in ASKED_ABROAD), len(kinds))


def _with_nothing(header: pb.Header) -> pb.Header:
    """Empty a header of what it asks or grants, for an outcome that grants nothing."""
    del header.measures[:], header.data_classes[:]
    return header


def _at_most(
    of: frozenset[T],
    name: str,
    step: Step,
    above: Sequence[pb.Header],
    support: Sequence[pb.Header],
    told: Sequence[pb.Header],
) -> list[T]:
    """Return what may be named at most: of the row, what is cited, what it rests on together, and what was told."""
    found = of
    bound = row_checks.meant(above) if step.within else None
    if bound is not None:
        found &= frozenset(getattr(bound, name))
    if step.rests_on:
        found &= frozenset(each for header in support for each in getattr(header, name))
    if step.as_told:
        found &= frozenset(each for header in told for each in getattr(header, name))
    return sorted(found)
