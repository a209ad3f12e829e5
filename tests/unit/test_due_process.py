"""Two countries, anybody, anything, at any time: no state that can be reached breaks the law.

The promises are checked on plain lists of what the nodes recorded, when, and who signed it; nothing here asks the
table whether a step was lawful. Only the generator reads it, to reach deep states, and so does the search for a step
that whoever acts next can take.

ROGATORY_DUE_PROCESS=N makes the random walks N times as long.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway import afterwards, deadlines, procedure, row_checks
from gateway.clock import from_micros, to_micros
from gateway.envelope import ref_of
from gateway.errors import FIRST_FAILURE, ErrorCode, Refusal
from gateway.formats import grounds
from gateway.identity import Role
from gateway.policy import Policy
from gateway.rules import ACTS_NEXT, CaseRule, Link, State, Step, Turn, Where
from gateway.steps import STEPS
from gateway.store import fsck
from tests import law

Key = tuple[str, str]
"""A sender and an id: what an envelope is called."""

GRANTS: Final = frozenset({ids.OUTCOME_GRANTED, ids.OUTCOME_PARTLY_GRANTED})
DUE_FORM: Final = frozenset(
    {
        ids.KIND_FREEZE_REQUEST,
        ids.KIND_CONFISCATION_REQUEST,
        ids.KIND_EVIDENCE_REQUEST,
        ids.KIND_TAKEDOWN_NOTICE,
        ids.KIND_RESTITUTION_DECISION,
        ids.KIND_ENFORCEMENT_REQUEST,
    }
)
AT_ONCE: Final = frozenset({ids.KIND_PROVISIONAL_FREEZE, ids.KIND_PRESERVATION_REQUEST})
ORDERS: Final = frozenset(
    {ids.KIND_DOMESTIC_ORDER, ids.KIND_TAKEDOWN_NOTICE, ids.KIND_TRANSFER_ORDER, ids.KIND_PROVISIONAL_ORDER}
)
ANSWERS_OF_AN_EXCHANGE: Final = frozenset(
    {
        ids.KIND_ACKNOWLEDGEMENT,
        ids.KIND_CLARIFICATION_REQUEST,
        ids.KIND_OBJECTION,
        ids.KIND_EXECUTION_REPORT,
        ids.KIND_DISCLOSURE,
        ids.KIND_CUSTODY_EVENT,
        ids.KIND_GRIEVANCE,
        ids.KIND_TEST_REPORT,
    }
)
# What leads on, and is tried more often than talk.
LEADING: Final = ORDERS | {
    ids.KIND_REVIEW_REFERRAL,
    ids.KIND_REVIEW_DECISION,
    ids.KIND_EXECUTION_REPORT,
    ids.KIND_CONFIRMATION,
    ids.KIND_DISCLOSURE,
}
INTELLIGENCE: Final = frozenset({ids.KIND_SPONTANEOUS_INFORMATION, ids.KIND_WATCHLIST_NOTICE})
HOLDING: Final = frozenset(set(ids.Measure.values()) - {ids.MEASURE_UNSPECIFIED, ids.MEASURE_TAKE_DOWN})
ENDED: Final = frozenset(
    {
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
    }
)
LAPSES_BY: Final = {
    ids.KIND_PROVISIONAL_FREEZE: clocks.CLOCK_RULE_PROVISIONAL,
    ids.KIND_PRESERVATION_REQUEST: clocks.CLOCK_RULE_PRESERVATION,
}
WATCHES: Final[dict[State | None, int]] = {
    State.WITHDRAWN: clocks.CLOCK_RULE_RELEASE,
    State.RELEASING: clocks.CLOCK_RULE_RELEASE,
    State.UNBOUND: clocks.CLOCK_RULE_RELEASE,
    State.TO_DELETE: clocks.CLOCK_RULE_DELETION,
}
KEEPING: Final = frozenset(
    {
        clocks.CLOCK_RULE_PRESERVATION,
        clocks.CLOCK_RULE_PRESERVATION_EXTENSION,
        clocks.CLOCK_RULE_SUBSEQUENT_REQUEST,
    }
)
ASKING: Final[dict[int, int]] = {
    clocks.CLOCK_RULE_LIMITATION_ANSWER: ids.KIND_LIMITATION_REQUEST,
    clocks.CLOCK_RULE_CLARIFICATION: ids.KIND_CLARIFICATION_REQUEST,
    clocks.CLOCK_RULE_ENFORCEMENT_INFORMATION: ids.KIND_CLARIFICATION_REQUEST,
}
NOT_TAKEN: Final = frozenset({pb.MILESTONE_REFUSED, pb.MILESTONE_EXPIRED, pb.MILESTONE_REJECTED})


def role(address: str) -> str:
    return address.partition("/")[2].removesuffix("-2")


def abroad(header: pb.Header) -> bool:
    return header.sender[:2] != header.recipients[0][:2]


def key_of(thing: Any) -> Key:
    return thing.sender, thing.id


@dataclass
class Paper:
    """What one node recorded of one envelope."""

    header: pb.Header
    signers: tuple[str, ...]
    at_us: int
    number: int
    above: "Paper | None"
    below: list["Paper"] = field(default_factory=list)
    states: list[State] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return key_of(self.header)

    @property
    def kind(self) -> ids.Kind.ValueType:
        return self.header.kind

    @property
    def state(self) -> State | None:
        return self.states[-1] if self.states else None

    @property
    def is_open(self) -> bool:
        return self.state is not None and self.state not in ENDED

    def up(self) -> Iterator["Paper"]:
        """Yield what it cites, what that cites, and so on."""
        paper = self.above
        while paper is not None:
            yield paper
            paper = paper.above

    def rests(self) -> Iterator["Paper"]:
        """Yield what it rests on, up to what the other State asked; that may cite what was asked before, of others."""
        for paper in self.up():
            yield paper
            if abroad(paper.header) and paper.kind in DUE_FORM | AT_ONCE:
                return

    def down(self) -> Iterator["Paper"]:
        """Yield what cites it, what cites that, and so on."""
        for paper in self.below:
            yield paper
            yield from paper.down()

    def serves(self) -> Iterator["Paper"]:
        """Yield what is below it and for it, without what else was asked of anybody."""
        for paper in self.below:
            if not (abroad(paper.header) and paper.kind in DUE_FORM):
                yield paper
                yield from paper.serves()

    def matter(self) -> "Paper | None":
        """Return what it is about: itself or the first above that has a state."""
        return next((each for each in (self, *self.up()) if each.states), None)

    def told(self) -> str:
        header = self.header
        said = f" {ids.Outcome.Name(header.outcome)[8:].lower()}" if header.outcome else ""
        cited = f" citing {header.cites[0].id[-4:]}" if header.cites else ""
        name = ids.Kind.Name(self.kind)[5:].lower()
        return f"{header.id[-4:]} {name}{said} {header.sender} > {header.recipients[0]}{cited}"


class Judge:
    """Reads what a node recorded and knows the law by heart. Raises AssertionError with the promise that was broken."""

    def __init__(self, federation: law.Countries, here: str) -> None:
        self.federation, self.here = federation, here
        self.sql = federation.nodes[here].connection
        self.papers: dict[Key, Paper] = {}
        self._names: dict[int, Key] = {}
        self.not_taken: set[Key] = set()  # the recipient's node does not have it
        self.unread: set[Key] = set()  # nor has the recipient
        self.reached: set[tuple[int, State]] = set()
        self._seen = {"envelopes": 0, "moves": 0, "receipts": 0}
        self._refused = 0
        self._told = 0

    # What happened.

    def observe(self) -> None:
        """Read what is new, and check it."""
        new = []
        for seq, raw, proof, at_us in self._rows("envelopes", "header, proof, recorded_at_us"):
            header = pb.Header.FromString(raw)
            signed = pb.SignedEnvelope.FromString(proof)
            above = self.papers.get(key_of(header.cites[0])) if header.cites else None
            paper = Paper(header, tuple(each.signer for each in signed.signatures), at_us, seq, above)
            # What went to another country, or never came here, a request for another part of it may cite all the same.
            elsewhere = header.kind in DUE_FORM and abroad(header) and header.sender[:2] != self.here
            most = above is not None or elsewhere
            assert (above is not None) <= len(header.cites) <= most, "it cites what is not recorded, or more than one"
            self.papers[paper.key] = paper
            self._names[seq] = paper.key
            if above is not None:
                above.below.append(paper)
            new.append(paper)
        for _, sender, id_, milestone in self._rows("receipts", "sender, id, milestone"):
            if milestone in NOT_TAKEN:
                there = self.federation.nodes[self.papers[sender, id_].header.recipients[0][:2]]
                self.unread.add((sender, id_))
                if (
                    there.connection.execute(
                        "SELECT 1 FROM envelopes WHERE sender = ? AND id = ?", (sender, id_)
                    ).fetchone()
                    is None
                ):
                    self.not_taken.add((sender, id_))
        for header, _ in self.federation.refused[self._refused :]:
            self.not_taken.add(key_of(header))
        self._refused = len(self.federation.refused)
        for _, number, state, cause in self._rows("moves", "envelope_seq, state, cause_seq"):
            self._moved(self.papers[self._names[number]], State(state), cause)
        for paper in new:
            for promise in PROMISES:
                promise(self, paper)
        self._timed()

    def _rows(self, table: str, columns: str) -> list[Any]:
        rows = self.sql.execute(
            f"SELECT seq, {columns} FROM {table} WHERE seq > ? ORDER BY seq", (self._seen[table],)
        ).fetchall()
        if rows:
            self._seen[table] = rows[-1][0]
        return list(rows)

    def _moved(self, paper: Paper, state: State, cause: int | None) -> None:
        self.reached.add((paper.kind, state))
        if paper.state in ENDED:
            # What led there was not taken in the end: then it did not happen.
            undone = any(each.key in self.not_taken for each in paper.down()) or paper.key in self.unread
            undone = undone and cause is None
            assert undone or state is paper.state, f"{paper.told()} was {paper.state} for good and is {state}"
        paper.states.append(state)

    def _timed(self) -> None:
        """A LAPSED is said by whoever keeps the clock, and to both parties."""
        told = self.federation.told[self._told :]
        self._told = len(self.federation.told)
        lapsed = [(to, said) for to, said in told if said.milestone == pb.MILESTONE_LAPSED]
        for _, said in lapsed:
            paper = self.papers.get(key_of(said.envelope))
            if paper is None:
                continue
            recipient = paper.header.recipients[0]
            assert said.issuer == f"{recipient[:2]}/node", "only the node of whoever was asked says that it lapsed"
            to = {each for each, other in lapsed if other.envelope == said.envelope}
            sender = paper.header.sender
            way = sender if sender[:2] == recipient[:2] else f"{sender[:2]}/node"
            assert to == {recipient, way}, "both parties hear that it lapsed"
            self._check_asked(paper, said.clock_rule)

    def _check_asked(self, paper: Paper, limit: int) -> None:
        """2018/1805 Art. 12(2), 2023/1543 Art. 11(5): who is silent has been asked, and has received it."""
        if limit in ASKING:
            there = self.federation.headers(paper.header.sender[:2])
            asked = {key_of(each.cites[0]) for each in there if each.kind == ASKING[limit]}
            assert paper.key in asked, f"{paper.told()} ended by silence on what never came"

    # What stands.

    def survey(self) -> None:
        """Check what holds of all that stands, not of one envelope."""
        now_us = to_micros(self.federation.now)
        limits = self._check_clocks(now_us)
        for paper in self.papers.values():
            if paper.header.recipients[0][:2] == self.here:
                self._check_watched(paper, limits)
                self._check_awaited(paper, limits)
            if paper.kind == ids.KIND_PROVISIONAL_FREEZE and paper.header.recipients[0][:2] == self.here:
                self._check_limited(paper, limits)
            if paper.kind == ids.KIND_PROVISIONAL_ORDER:
                self._check_provisional(paper, now_us)
            if paper.kind in (ids.KIND_PRESERVATION_REQUEST, ids.KIND_PROVISIONAL_ORDER):
                self._check_kept(paper, limits)
            if paper.kind == ids.KIND_CONFISCATION_REQUEST and paper.header.sender[:2] == self.here:
                self._check_total(paper)
            if paper.kind in DUE_FORM | AT_ONCE and abroad(paper.header) and paper.header.sender[:2] != self.here:
                self._check_nothing_left(paper)
            if paper.kind in (ids.KIND_FREEZE_REQUEST, ids.KIND_CONFISCATION_REQUEST):
                self._check_reported(paper)

    def _check_limited(self, freeze: Paper, limits: set[tuple[object, int]]) -> None:
        """What is provisional ends by itself, unless a judge has granted it, and that is not taken back."""
        granted = [
            each.above
            for each in freeze.down()
            if each.kind == ids.KIND_REVIEW_DECISION and role(each.header.sender) == "court" and each.above is not None
            if each.header.outcome in GRANTS
        ]
        limited = (freeze.key, clocks.CLOCK_RULE_PROVISIONAL) in limits
        stands = freeze.state is State.CONFIRMED or any(referral.is_open for referral in granted)
        orders = [each for each in freeze.serves() if each.kind in ORDERS]
        if freeze.state is not State.CONFIRMED and any(each.state is State.LAPSED for each in orders):
            stands = stands and any(each.is_open for each in orders)  # else nothing is held any more
        assert limited or stands or not freeze.is_open, f"{freeze.told()} is {freeze.state} and has no limit"

    def _check_watched(self, paper: Paper, limits: set[tuple[object, int]]) -> None:
        """2018/1805 Art. 27(3), 2023/1543 Art. 4(5): what must be let go, or deleted, is not left unseen; nor late."""
        running = {rule for key, rule in limits if key == paper.key} & {*WATCHES.values()}
        expected = {WATCHES[paper.state]} if paper.state in WATCHES else set()
        assert running == expected, f"{paper.told()} is {paper.state}, and watched by {running}"

    def _check_awaited(self, request: Paper, limits: set[tuple[object, int]]) -> None:
        """Whoever was asked decides by some day, or says no, or it lapses; unless a court of theirs has decided."""
        waiting = (State.ASKED, State.ACKNOWLEDGED, State.CLARIFYING, State.POSTPONED)
        if request.state not in waiting or not (abroad(request.header) and request.kind in DUE_FORM | AT_ONCE):
            return
        court = [each for each in request.down() if role(each.header.sender) == "court"]
        decided = any(each.kind == ids.KIND_REVIEW_DECISION for each in court)
        assert decided or any(key == request.key for key, _ in limits), f"{request.told()}, and nothing watches it"

    def _check_kept(self, keeping: Paper, limits: set[tuple[object, int]]) -> None:
        """2023/1543 Art. 11: data that are kept lapse, or somebody is reminded that they still are."""
        if keeping.header.recipients[0][:2] != self.here or not keeping.is_open or keeping.state in WATCHES:
            return  # what is to be let go is not to be asked for any more
        *_, request = (keeping, *keeping.up())
        if request.kind != ids.KIND_PRESERVATION_REQUEST or keeping.key in self.unread:
            return
        ending = any((keeping.key, rule) in limits for rule in KEEPING)
        # What a judge has confirmed to the exchange stands as long as the request, of which somebody is reminded.
        watched = keeping.state is State.CONFIRMED and any((request.key, rule) in limits for rule in KEEPING)
        assert ending or watched, f"{keeping.told()} is {keeping.state}, and nothing ends it or reminds of it"

    def _check_clocks(self, now_us: int) -> set[tuple[object, int]]:
        """Return what runs, and for what."""
        seen = set()
        found = set[tuple[object, int]]()
        for number, limit, stage, next_us in self.sql.execute(
            "SELECT envelope_seq, rule, stage, next_at_us FROM clocks WHERE ended_at_us IS NULL"
        ).fetchall():
            paper = self.papers[self._names[number]]
            assert (number, limit) not in seen, f"two clocks {limit} run for {paper.told()}"
            seen.add((number, limit))
            found.add((paper.key, limit))
            assert paper.is_open, f"{paper.told()} is {paper.state} and clock {limit} is {stage}"
            assert stage != "running" or next_us > now_us, f"clock {limit} of {paper.told()} has not rung"
            assert paper.header.recipients[0][:2] == self.here, "the clock is the other node's"
        return found

    def _check_provisional(self, order: Paper, now_us: int) -> None:
        _, request = order.up()
        if not order.is_open or order.key in self.not_taken:
            return
        country = request.header.sender[:2]  # whose papers must follow in time (Reg. 1182/71 Art. 2(1))
        limit = deadlines.due(LAPSES_BY[request.kind], from_micros(request.at_us), country)
        extended = next((each.header for each in request.below if each.kind == ids.KIND_EXTENSION), None)
        if extended is not None:
            limit = deadlines.due(clocks.CLOCK_RULE_PRESERVATION_EXTENSION, limit, country)
            if extended.HasField("in_force_until_us"):
                limit = min(limit, from_micros(extended.in_force_until_us))
        confirmed = [each for each in order.below if each.kind == ids.KIND_CONFIRMATION]
        kept_on = any(
            passed_on.key not in self.not_taken and said.at_us < to_micros(limit)
            for passed_on in (order, *order.below)
            if passed_on is order or passed_on.kind in (ids.KIND_PRODUCTION_NOTICE, ids.KIND_EXTENSION)
            for said in request.below
            if said.kind == ids.KIND_PRODUCTION_NOTICE and said.number < passed_on.number
        )
        in_time = kept_on or any(
            each.at_us < to_micros(limit)
            and each.key not in self.not_taken
            and any(
                decision.kind == ids.KIND_REVIEW_DECISION
                and role(decision.header.sender) == "court"
                and decision.header.outcome in GRANTS
                and decision.number < each.number
                for decision in request.down()
            )
            for each in confirmed
        )
        assert in_time or now_us < to_micros(limit), f"{order.told()} outlives what it rests on, unconfirmed"

    def _check_total(self, request: Paper) -> None:
        first = request.above if request.above and request.above.kind == ids.KIND_CONFISCATION_REQUEST else request
        if not first.header.HasField("order_total"):
            return
        same = first.header.case_id, first.header.order_total.SerializeToString()
        family = {first.key: first}
        for each in (*first.below, *self.papers.values()):
            if each.kind != ids.KIND_CONFISCATION_REQUEST or each.header.sender[:2] != self.here:
                continue
            named = each.header.case_id, each.header.order_total.SerializeToString()
            if named == same or each.above is first:
                family[each.key] = each
        bound = sum((self._bound(each) for each in family.values()), Decimal(0))
        total = Decimal(first.header.order_total.amount)
        assert bound <= total, f"{bound} of {total} may be recovered on {first.told()}"

    def _bound(self, request: Paper) -> Decimal:
        if request.is_open:
            return Decimal(request.header.amount.amount or "Infinity")
        reports = (each for each in request.below if each.kind == ids.KIND_EXECUTION_REPORT)
        return max((Decimal(each.header.amount.amount or 0) for each in reports), default=Decimal(0))

    def _check_reported(self, request: Paper) -> None:
        """What is done stands as it was reported last, whatever was asked or claimed between."""
        reports = [each for each in self.taken(request.below) if each.kind == ids.KIND_EXECUTION_REPORT]
        said = {State.EXECUTED: ids.OUTCOME_GRANTED, State.PARTLY_EXECUTED: ids.OUTCOME_PARTLY_GRANTED}
        if request.state in said:
            assert reports[-1].header.outcome == said[request.state], f"{request.told()} is {request.state}"

    def _check_nothing_left(self, request: Paper) -> None:
        """Nothing is held for a request that was refused, released, forwarded, has lapsed or is in vain for good."""
        ended = (State.REFUSED, State.RELEASED, State.FORWARDED, State.IMPOSSIBLE, State.LAPSED)
        if request.state not in ended:
            return
        left = [each for each in request.serves() if each.kind in ORDERS and each.is_open and is_kept(each)]
        assert not left, f"{request.told()} is {request.state}, and {left[0].told()} is {left[0].state}"

    def taken(self, papers: Iterable[Paper]) -> list[Paper]:
        return [each for each in papers if each.key not in self.not_taken]


def is_kept(order: Paper) -> bool:
    """Whether an order holds assets, or has data kept and not handed over."""
    lasting = (ids.KIND_PROVISIONAL_ORDER, ids.KIND_TAKEDOWN_NOTICE)
    return not HOLDING.isdisjoint(order.header.measures) or order.kind in lasting


def is_still_to_be_done(order: Paper) -> bool:
    return order.state in (State.ASKED, State.ACKNOWLEDGED, State.CLARIFYING, State.OBJECTED)


def asks_no_more(paper: Paper, *allowing: Paper) -> None:
    measures = {measure for each in allowing for measure in each.header.measures}
    classes = {each_class for each in allowing for each_class in each.header.data_classes}
    assert measures.issuperset(paper.header.measures), f"{paper.told()} goes beyond {allowing[0].told()}"
    assert classes.issuperset(paper.header.data_classes), f"{paper.told()} goes beyond {allowing[0].told()}"


def only_a_court_reaches_an_exchange(_: Judge, paper: Paper) -> None:
    """Nothing from abroad is addressed to an exchange, and no exchange speaks abroad."""
    header = paper.header
    if "exchange" in (role(header.sender), role(header.recipients[0])):
        assert not abroad(header), "an exchange has to do with its own country alone"
    if role(header.recipients[0]) == "exchange":
        assert role(header.sender) in ("court", "fiu", "contact-point", "registrar", "ombudsperson"), paper.told()


def a_request_is_countersigned(_: Judge, paper: Paper) -> None:
    header = paper.header
    if paper.kind not in DUE_FORM or not abroad(header):
        return
    if paper.kind == ids.KIND_EVIDENCE_REQUEST and header.urgency == ids.URGENCY_EMERGENCY:
        return
    others = {each for each in paper.signers if each != header.sender and each[:2] == header.sender[:2]}
    assert any(role(each) == "central-authority" for each in others), f"{paper.told()} left without a countersignature"


def an_order_rests_on_a_court(judge: Judge, paper: Paper) -> None:
    header = paper.header
    if paper.kind not in ORDERS or role(header.recipients[0]) != "exchange":
        return
    country, chain = header.sender[:2], list(paper.rests())
    assert header.recipients[0][:2] == country
    if paper.kind == ids.KIND_PROVISIONAL_ORDER:
        known, request = chain
        assert known.kind == ids.KIND_ACKNOWLEDGEMENT
        assert known.header.sender == header.sender, f"{paper.told()} cites what another says"
        assert request.kind in AT_ONCE
        assert abroad(request.header)
        assert header.sender in request.header.recipients, f"{paper.told()} rests on what came to another"
        assert role(header.sender) in ("fiu", "contact-point")
    else:
        if paper.kind == ids.KIND_TRANSFER_ORDER:
            order = chain.pop(0)
            assert order.kind == ids.KIND_DOMESTIC_ORDER
            assert (order.header.sender, order.header.recipients) == (header.sender, header.recipients)
            asks_no_more(paper, order)
        decision, referral, request = chain[:3]
        assert decision.kind == ids.KIND_REVIEW_DECISION
        assert decision.header.outcome in GRANTS, f"{paper.told()} rests on a refusal"
        assert role(decision.header.sender) == "court"
        assert decision.header.sender == header.sender, f"{paper.told()} rests on another court's decision"
        assert decision.header.sender[:2] == country
        assert referral.kind == ids.KIND_REVIEW_REFERRAL
        assert referral.header.recipients == [decision.header.sender]
        assert request.kind in DUE_FORM | AT_ONCE
        assert request.header.recipients[0][:2] == country
    for link in paper.rests():
        if link.kind != ids.KIND_ACKNOWLEDGEMENT:
            asks_no_more(paper, link)
    assert paper.header.measures or paper.header.data_classes, f"{paper.told()} orders nothing"


def no_more_is_told_than_was_asked(judge: Judge, paper: Paper) -> None:
    if paper.kind not in (ids.KIND_DISCLOSURE, ids.KIND_EXECUTION_REPORT):
        return
    for link in paper.rests():
        if link.kind in ORDERS | DUE_FORM | AT_ONCE | {ids.KIND_REVIEW_DECISION, ids.KIND_REVIEW_REFERRAL}:
            asks_no_more(paper, link)
    if paper.kind == ids.KIND_DISCLOSURE:
        kept = [link for link in paper.rests() if link.kind == ids.KIND_PRESERVATION_REQUEST]
        assert not kept, f"{paper.told()} hands over what was only to be kept"
    # Nobody passes on what nobody handed over: the reports of an exchange are the source.
    if paper.header.sender[:2] == judge.here and role(paper.header.sender) != "exchange":
        base = paper.above
        assert base is not None
        sources = [each for each in base.down() if each.kind == paper.kind and role(each.header.sender) == "exchange"]
        if paper.kind == ids.KIND_DISCLOSURE:
            assert sources, f"{paper.told()} tells what no exchange told"
            asks_no_more(paper, *sources)
        elif paper.header.outcome in GRANTS:
            last = {each.above.key: each.header.outcome for each in sources if each.above is not None}
            assert GRANTS & {*last.values()}, f"{paper.told()} tells of a success, and every exchange told of a failure"
        else:
            upheld = [
                each for each in base.down() if each.kind in (ids.KIND_OBJECTION_DECISION, ids.KIND_CLAIM_DECISION)
            ]
            assert sources or upheld, f"{paper.told()} tells what no exchange told, and nothing was upheld"


def no_more_is_told_abroad_than_was_told_to_be_granted(judge: Judge, paper: Paper) -> None:
    kinds = (ids.KIND_DISCLOSURE, ids.KIND_EXECUTION_REPORT)
    if paper.kind not in kinds or not abroad(paper.header) or paper.header.outcome == ids.OUTCOME_REFUSED:
        return
    assert paper.above is not None
    if paper.above.kind in DUE_FORM and paper.header.sender[:2] == judge.here:
        told = [each for each in paper.above.below if each.kind == ids.KIND_REVIEW_DECISION and abroad(each.header)]
        granted = [each for each in judge.taken(told) if each.header.outcome in GRANTS and each.number < paper.number]
        asks_no_more(paper, *granted)


def a_court_has_decided_what_is_said_abroad(judge: Judge, paper: Paper) -> None:
    """A grant that is told abroad, and a confirmation, are a court's of that country."""
    header = paper.header
    told = paper.kind == ids.KIND_REVIEW_DECISION and abroad(header) and header.outcome in GRANTS
    if header.sender[:2] != judge.here or not (told or paper.kind == ids.KIND_CONFIRMATION):
        return
    request = next(link for link in paper.rests() if link.kind in DUE_FORM | AT_ONCE)
    decisions = [
        each
        for each in request.serves()
        if each.kind == ids.KIND_REVIEW_DECISION
        and role(each.header.sender) == "court"
        and each.header.outcome in GRANTS
        and each.number < paper.number
    ]
    assert decisions, f"{paper.told()}, and no court has granted it"
    asks_no_more(paper, *decisions)


def an_exchange_only_answers(_: Judge, paper: Paper) -> None:
    if role(paper.header.sender) != "exchange":
        return
    assert paper.kind in ANSWERS_OF_AN_EXCHANGE, f"{paper.told()} is no answer"
    assert paper.above is not None, f"{paper.told()} answers nothing"
    parties = (paper.above.header.sender, *paper.above.header.recipients)
    assert paper.header.sender in parties, f"{paper.told()} answers what others were asked"


def an_exchange_cannot_tell_which_case_it_serves(_: Judge, paper: Paper) -> None:
    header = paper.header
    if paper.kind in ORDERS and role(header.recipients[0]) == "exchange":
        strange = [
            each for each in paper.up() if header.recipients[0] not in (each.header.sender, *each.header.recipients)
        ]
        assert header.case_id not in {each.header.case_id for each in strange}, f"{paper.told()} names the case"
    if role(header.recipients[0]) == "ombudsperson":
        assert header.case_id not in {each.header.case_id for each in paper.up()}, f"{paper.told()} names the case"


def an_exchange_cannot_tell_who_asks_abroad(_: Judge, paper: Paper) -> None:
    """It sees the domestic order alone; case ids are looked at above."""
    header = paper.header
    if role(header.recipients[0]) == "exchange":
        home = header.recipients[0][:3]
        named = [header.sender, *header.recipients, *(each.sender for each in header.cites), *paper.signers]
        assert all(each.startswith(home) for each in named), f"{paper.told()} names another country: {named}"
        told = header.instrument, [*header.target_tokens], header.HasField("order_total")
        assert told == ("", [], False), f"{paper.told()} tells what is asked abroad"


def nothing_rests_on_intelligence(_: Judge, paper: Paper) -> None:
    assert all(each.kind not in INTELLIGENCE for each in paper.up()), f"{paper.told()} rests on intelligence"


def nothing_new_begins_below_what_has_ended(judge: Judge, paper: Paper) -> None:
    header = paper.header
    if header.sender[:2] != judge.here:
        return  # from abroad, it may have crossed with the end
    new_order = paper.kind in ORDERS and role(header.recipients[0]) == "exchange"
    if not new_order and paper.kind != ids.KIND_EXTENSION:
        return
    for link in paper.rests():
        before = [each for each in judge.taken(link.below) if each.number < paper.number]
        ends = [
            each
            for each in before
            # One of a part leaves the rest as it is.
            if (each.kind == ids.KIND_WITHDRAWAL and each.header.outcome != ids.OUTCOME_PARTLY_GRANTED)
            or (each.kind == ids.KIND_REVIEW_DECISION and each.header.outcome == ids.OUTCOME_REFUSED)
            or (each.kind == ids.KIND_OBJECTION and abroad(each.header))
            or (each.kind == ids.KIND_RELEASE and each.header.outcome == ids.OUTCOME_GRANTED)
        ]
        assert not ends, f"{paper.told()} after {ends[0].told()}"
        assert link.state is not State.LAPSED, f"{paper.told()} although {link.told()} has lapsed"


def nothing_is_carried_on_that_has_ended(judge: Judge, paper: Paper) -> None:
    """2018/1805 Art. 29(2): what is frozen is restituted; 2023/1543 Art. 12(2), 16(1): no order that was withdrawn."""
    told = paper.kind == ids.KIND_DISCLOSURE and role(paper.header.sender) in ("court", "central-authority")
    ordered = paper.kind in ORDERS and role(paper.header.recipients[0]) == "exchange"
    request = [*paper.rests()][-1] if paper.above else None
    if paper.header.sender[:2] != judge.here or not (told or ordered) or request is None or request.above is None:
        return
    if request.kind in (ids.KIND_RESTITUTION_DECISION, ids.KIND_ENFORCEMENT_REQUEST):
        before = [each for each in judge.taken(request.above.below) if each.number < paper.number]
        ends = [
            each
            for each in before
            if each.kind == ids.KIND_WITHDRAWAL and each.header.outcome != ids.OUTCOME_PARTLY_GRANTED
        ]
        assert not ends, f"{paper.told()} after {ends[0].told()}"


def what_is_no_crime_here_is_not_ordered(_: Judge, paper: Paper) -> None:
    if paper.header.dual_criminality == ids.DUAL_CRIMINALITY_ABSENT:
        assert paper.header.outcome in (ids.OUTCOME_REFUSED, ids.OUTCOME_PARTLY_GRANTED), "it is granted in full"
    if paper.kind in ORDERS:
        # What is refused in part (2018/1805 Art. 8(1)) is ordered for the rest.
        absent = [
            each
            for each in paper.rests()
            if each.header.dual_criminality == ids.DUAL_CRIMINALITY_ABSENT
            and each.header.outcome == ids.OUTCOME_REFUSED
        ]
        assert not absent, f"{paper.told()} orders what is no crime here"


def measures_have_ended_when_their_end_is_confirmed(judge: Judge, paper: Paper) -> None:
    header = paper.header
    if paper.kind != ids.KIND_RELEASE or not abroad(header) or header.outcome != ids.OUTCOME_GRANTED:
        return
    assert paper.above is not None
    if header.sender[:2] != judge.here:
        return
    orders = [each for each in paper.above.serves() if each.kind in ORDERS and each.is_open]
    left = [each for each in orders if is_kept(each) or is_still_to_be_done(each)]
    assert not left, f"{paper.told()}, and {left[0].told()} is {left[0].state}"


def nothing_is_confirmed_that_a_claim_was_upheld_against(judge: Judge, paper: Paper) -> None:
    """Directive 2024/1260 Art. 24(3): at least one grant stands that nobody has contested with success."""
    if paper.kind != ids.KIND_CONFIRMATION or paper.header.sender[:2] != judge.here:
        return
    request = [*paper.rests()][-1]
    granted = [
        each
        for each in request.serves()
        if each.kind == ids.KIND_REVIEW_DECISION and each.header.outcome in GRANTS and each.number < paper.number
    ]
    upheld = {
        each.above.key
        for each in granted
        for claim in each.below
        for decided in claim.below
        if decided.kind == ids.KIND_CLAIM_DECISION and decided.number < paper.number and each.above is not None
        if decided.header.outcome == ids.OUTCOME_GRANTED
    }
    left = [each for each in granted if each.above is not None and each.above.key not in upheld]
    assert left, f"{paper.told()}, and a claim was upheld against all that was granted"


def nothing_is_ordered_or_told_while_a_remedy_suspends(judge: Judge, paper: Paper) -> None:
    """2018/1805 Art. 29(2), 33: whether it was brought before anything was done, or after."""
    if paper.header.sender[:2] != judge.here or role(paper.header.sender) not in ("court", "central-authority"):
        return
    ordered = paper.kind in ORDERS and role(paper.header.recipients[0]) == "exchange"
    if not ordered and paper.kind != ids.KIND_DISCLOSURE:
        return
    links = [*paper.rests()]
    if links[-1].kind == ids.KIND_RESTITUTION_DECISION and links[-1].above is not None:
        # What the freeze holds goes to the victim if nobody's claim stands in the way (Art. 29(2)).
        links.append(links[-1].above)
    if links[-1].kind in (ids.KIND_FREEZE_REQUEST, ids.KIND_CONFISCATION_REQUEST):
        links += links[-1].serves()  # whichever court has decided, and whether it was told abroad
    for link in links:
        for claim in judge.taken(link.below):
            suspends = claim.kind == ids.KIND_CLAIM and claim.header.outcome == ids.OUTCOME_POSTPONED
            decided = any(each.kind == ids.KIND_CLAIM_DECISION for each in claim.below if each.number < paper.number)
            assert not suspends or decided or claim.number > paper.number, f"{paper.told()} in spite of {claim.told()}"


def a_freeze_is_limited_as_whoever_asked_agrees(judge: Judge, paper: Paper) -> None:
    """2018/1805 Art. 12(2): or is silent for six weeks, or has lost it, or wants it no more."""
    if paper.kind != ids.KIND_LIMITATION or paper.header.sender[:2] != judge.here:
        return
    links = [each for each in paper.rests() if each.states]
    if links[-1].kind not in (ids.KIND_FREEZE_REQUEST, ids.KIND_CONFISCATION_REQUEST):
        return
    before = [each for each in judge.taken(links[-1].below) if each.number < paper.number]
    agreed = any(
        answer.kind == ids.KIND_LIMITATION_ANSWER and answer.header.outcome == ids.OUTCOME_GRANTED
        for question in [each for each in before if each.kind == ids.KIND_LIMITATION_REQUEST][-1:]
        for answer in question.below
        if answer.number < paper.number and ends_no_earlier(paper, question)
    )
    insisted = {State.UNBOUND, State.WITHDRAWN, State.TO_DELETE}.isdisjoint(
        state for each in links for state in each.states
    ) and all(each.is_open for each in links)
    assert agreed or not insisted, f"{paper.told()}, and whoever asked has not agreed"


def ends_no_earlier(paper: Paper, agreed: Paper) -> bool:
    until, asked = paper.header.in_force_until_us, agreed.header.in_force_until_us
    return not until or bool(asked and asked <= until)


def an_extension_ends_later(judge: Judge, paper: Paper) -> None:
    """2018/1805 Art. 12(2): else it would be a limitation to which nobody has agreed."""
    header, order = paper.header, paper.above
    if paper.kind != ids.KIND_EXTENSION or role(header.sender) != "court" or not header.HasField("in_force_until_us"):
        return
    assert order is not None
    kinds = (ids.KIND_EXTENSION, ids.KIND_LIMITATION)
    said = [order, *(each for each in order.below if each.kind in kinds and each.number < paper.number)]
    ends = [each.header.in_force_until_us for each in said if each.header.HasField("in_force_until_us")]
    assert ends, f"{paper.told()} ends what had no end"
    assert header.in_force_until_us > ends[-1], f"{paper.told()} does not extend"


def a_transfer_has_two_signers(_: Judge, paper: Paper) -> None:
    report = paper.kind == ids.KIND_EXECUTION_REPORT and role(paper.header.sender) == "exchange"
    if report and ids.MEASURE_TRANSFER in paper.header.measures:
        assert paper.above is not None
        assert paper.above.kind == ids.KIND_TRANSFER_ORDER, f"{paper.told()} moved what one person ordered"
    if paper.kind == ids.KIND_TRANSFER_ORDER:
        country = paper.header.sender[:2]
        assert len(set(paper.signers)) >= 2, f"{paper.told()} was signed by one"
        assert any(role(each) == "central-authority" and each[:2] == country for each in paper.signers)


PROMISES: Final = (
    only_a_court_reaches_an_exchange,
    a_request_is_countersigned,
    an_order_rests_on_a_court,
    no_more_is_told_than_was_asked,
    no_more_is_told_abroad_than_was_told_to_be_granted,
    a_court_has_decided_what_is_said_abroad,
    an_exchange_only_answers,
    an_exchange_cannot_tell_which_case_it_serves,
    an_exchange_cannot_tell_who_asks_abroad,
    nothing_rests_on_intelligence,
    nothing_new_begins_below_what_has_ended,
    nothing_is_carried_on_that_has_ended,
    what_is_no_crime_here_is_not_ordered,
    measures_have_ended_when_their_end_is_confirmed,
    nothing_is_confirmed_that_a_claim_was_upheld_against,
    nothing_is_ordered_or_told_while_a_remedy_suspends,
    a_freeze_is_limited_as_whoever_asked_agrees,
    an_extension_ends_later,
    a_transfer_has_two_signers,
)

# Who may try what.

ROLES: Final = tuple(each.value for each in Role if each is not Role.NODE)
PEOPLE: Final = tuple(f"{code}/{name}{twin}" for code in ("ee", "de") for name in ROLES for twin in ("", "-2"))
OPENING: Final = tuple(step for step in STEPS if not step.cites for _ in range(4 if step.asks else 1))
BY_CITED: Final = {kind: tuple(s for s in STEPS if kind in s.cites) for kind in ids.Kind.values()}
TOKENS: Final = tuple(bytes([number]) * 32 for number in range(3))
OUTCOMES: Final = tuple(ids.Outcome.values())
GROUNDS: Final = tuple(ids.Ground.values())
MEASURES: Final = tuple(each for each in ids.Measure.values() if each)
CLASSES: Final = tuple(each for each in ids.DataClass.values() if each)
DUAL: Final = tuple(ids.DualCriminality.values())
URGENCIES: Final = (ids.URGENCY_ORDINARY, ids.URGENCY_URGENT, ids.URGENCY_EMERGENCY)


@dataclass
class Attempt:
    """What somebody is about to send."""

    kind: ids.Kind.ValueType
    sender: str
    recipient: str
    cites: Paper | None = None
    countersigned_by: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    row: Step | None = None

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        cites = None if self.cites is None else ref_of(self.cites.header)
        return (self.kind, self.sender, self.recipient), {
            "cites": cites,
            "countersigned_by": self.countersigned_by,
            **self.fields,
        }


class Walk:
    """Two nodes, everybody there, and chance."""

    def __init__(self, folder: Path, random: Random, **policies: Policy) -> None:
        self.random = random
        self.federation = law.countries(folder, law.DIRECTORY, **policies)
        self.judges = {here: Judge(self.federation, here) for here in self.federation.nodes}
        self.sent = Counter[str]()
        self.rows = set[int]()
        self.refusals = Counter[ErrorCode]()
        self.story: list[str] = []
        self._cases = 0

    # Moves of the walk.

    def step(self) -> None:
        """Do one thing, and check all that it changed."""
        chance = self.random.random()
        if chance < 0.66:
            self.send(self.attempt())
        elif chance < 0.84:
            self.let_through()
        elif chance < 0.90:
            self.wait()
        elif chance < 0.93:
            self.disturb()
        else:
            self.settle()
        self.look()

    def look(self) -> None:
        for judge in self.judges.values():
            judge.observe()

    def send(self, attempt: Attempt | None) -> bool:
        """Try to send; a refusal has a code, and anything else that is raised is a fault."""
        if attempt is None:
            return False
        arguments, fields = attempt.arguments()
        cited = attempt.cites
        try:
            if (
                cited is not None
                and cited.header.HasField("expires_at_us")
                and cited.header.recipients[0] == attempt.sender
            ):
                self.federation.collect(ref_of(cited.header))  # who answers has it
            ref = self.federation.send(*arguments, **fields)
        except Refusal as refusal:
            self.refused(refusal)
            return False
        self.sent["sent"] += 1
        if attempt.row is not None:
            self.rows.add(STEPS.index(attempt.row))
        self.tell(f"{attempt.fields.get('case_id', '')} {pretty(attempt)} = {ref.id[-4:]}")
        return True

    def refused(self, refusal: Refusal) -> None:
        assert isinstance(refusal.code, ErrorCode)
        assert refusal.code < FIRST_FAILURE
        self.refusals[refusal.code] += 1

    def let_through(self) -> None:
        """Let something arrive on one side; what each side sent arrives in order."""
        here = self.random.choice(("ee", "de"))
        before = len(self.federation.refused)
        move = self.random.choice((self.federation.arrive_at, self.federation.arrive_at, self.federation.hear_at))
        if move(here):
            self.tell(f"{move.__name__} {here}")
        for _, refusal in self.federation.refused[before:]:
            self.tell(f"  refused: {refusal.detail}")
            self.refused(refusal)

    def wait(self) -> None:
        hours = self.random.choice((1, 1, 7, 30, 80, 24 * 8, 24 * 25, 24 * 70))
        self.tell(f"wait {hours} hours")
        self.federation.wait(hours=hours)
        self.federation.sweep()
        self.federation.wait(seconds=0)  # what moved back may have limits that have run out
        self.look()
        for judge in self.judges.values():
            judge.survey()

    def disturb(self) -> None:
        """A recipient rejects what it got, or collects it."""
        judge = self.judges[self.random.choice(("ee", "de"))]
        papers = [each for each in list(judge.papers.values())[-8:] if each.header.recipients[0][:2] == judge.here]
        if not papers:
            return
        paper = self.random.choice(papers)
        answered = any(each.header.sender == paper.header.recipients[0] for each in paper.below)
        if answered or (paper.header.HasField("expires_at_us") and self.random.random() < 0.5):
            self.federation.collect(ref_of(paper.header))
            self.tell(f"collected {paper.told()}")
        elif self.federation.reject(ref_of(paper.header)):
            self.tell(f"REJECTED {paper.told()}")

    def settle(self) -> None:
        """Let everything arrive: both nodes agree, and whoever acts next can act."""
        federation = self.federation
        self.tell("settle")
        before = len(federation.refused)
        federation.wait(seconds=0)
        while federation.on_the_way or federation.words:
            for here in federation.nodes:
                federation.arrive_at(here)
                federation.hear_at(here)
            self.look()
            federation.wait(seconds=0)
        for _, refusal in federation.refused[before:]:
            self.tell(f"  refused: {refusal.detail}")
            self.refused(refusal)
        self.look()
        for judge in self.judges.values():
            judge.survey()
        self.check_agreement()
        self.check_progress()

    def check_agreement(self) -> None:
        ours, theirs = (self.judges[here].papers for here in ("ee", "de"))
        for key in ours.keys() & theirs.keys():
            here, there = ours[key].state, theirs[key].state
            assert here is there, f"{ours[key].told()} is {here} in ee and {there} in de"
        for judge in self.judges.values():
            waiting = judge.sql.execute(
                "SELECT rule FROM clocks WHERE stage = 'paused' AND change = 'started'"
            ).fetchall()
            assert not [each for (each,) in waiting if each in ASKING], "a limit waits for what has arrived"

    def check_progress(self) -> None:
        """Whoever acts next in an open matter can: take a step that moves it, or begin one below it."""
        for judge in self.judges.values():
            for paper in list(judge.papers.values()):
                if not paper.is_open or paper.state is None:
                    continue
                turn = ACTS_NEXT[paper.state]
                actor = paper.header.sender if turn is Turn.SENDER else paper.header.recipients[0]
                if actor[:2] != judge.here:
                    continue
                waits = any(each.is_open and each.kind != ids.KIND_GRIEVANCE for each in paper.serves())
                assert waits or self.can_act(judge, paper, actor), (
                    f"{paper.told()} is {paper.state}, and {actor} can do nothing"
                )

    def can_act(self, judge: Judge, matter: Paper, actor: str) -> bool:
        for cited in (matter, *(each for each in matter.down() if each.matter() is matter)):
            for row in BY_CITED[cited.kind]:
                if row.rule.kind == ids.KIND_GRIEVANCE or row.rule.sender.value != role(actor):
                    continue
                if not any(matter.state in move.at and (move.to or row.opens) for move in row.moves):
                    continue
                for attempt in self.built(judge, row, cited, actor, whole=True):
                    arguments, fields = attempt.arguments()
                    if self.federation.would(self.federation.write(*arguments, **fields)) is None:
                        return True
        return False

    # What may be tried.

    def attempt(self) -> Attempt | None:
        chance = self.random.random()
        if chance < 0.12:
            return self.wild()
        made = self.likely()
        if made is not None and chance > 0.8:
            self.spoil(made)
        return made

    def likely(self) -> Attempt | None:
        """Return what the table probably allows."""
        judge = self.judges[self.random.choice(("ee", "de"))]
        open_matters = [each for each in judge.papers.values() if each.is_open]
        if not open_matters or (self.random.random() < 0.1 and len(open_matters) < 12):
            row = self.random.choice(OPENING)
            senders = [each for each in PEOPLE if each[:2] == judge.here and role(each) == row.rule.sender.value]
            return next(self.built(judge, row, None, self.random.choice(senders)), None)
        matter = self.random.choice(open_matters[-6:] if self.random.random() < 0.7 else open_matters)
        about = [matter, *(each for each in matter.down() if each.matter() is matter)]
        choices = [
            (cited, row)
            for cited in about
            for row in BY_CITED[cited.kind]
            if (not row.moves or matter.state in row.at) and row.rule.kind != ids.KIND_GRIEVANCE
        ]
        if not choices or self.random.random() < 0.05:
            cited = self.random.choice(list(judge.papers.values()))
            choices = [(cited, row) for row in BY_CITED[cited.kind]]
            if not choices:
                return None
        weights = [5 if leads(row) else 1 for _, row in choices]
        cited, row = self.random.choices(choices, weights)[0]
        parties = (cited.header.sender, *cited.header.recipients)
        for actor in parties:
            if actor[:2] == judge.here and role(actor) == row.rule.sender.value:
                made = list(self.built(judge, row, cited, actor))
                if made:
                    return self.random.choice(made)
        return None

    def built(
        self, judge: Judge, row: Step, cited: Paper | None, actor: str, *, whole: bool = False
    ) -> Iterator[Attempt]:
        """Yield envelopes that a row would have, one an outcome.

        Args:
            judge: of the sender's node.
            row: of the table.
            cited: what it cites.
            actor: who sends it.
            whole: everything that can be asked or granted, and nothing by chance.
        """
        recipients = self.recipients(row, cited, actor)
        if not recipients:
            return
        pick = (lambda each: each[0]) if whole else self.random.choice
        supports = self.supports(row, cited)
        if row.rests_on and not supports and (whole or self.random.random() < 0.8):
            return
        by_themselves = supports and row.same_outcome
        for outcome in sorted({each.header.outcome for each in supports} if by_themselves else row.outcomes):
            rests = [each for each in supports if not by_themselves or each.header.outcome == outcome]
            recipient = pick(recipients)
            fields = self.fields(row, cited, outcome, rests, whole=whole)
            if not row.rule.where.value.startswith("at"):
                fields["instrument"] = cited.header.instrument if cited and not row.opens else law.TREATY
            seconds: tuple[str, ...] = ()
            if row.countersigned_by is not None and fields["urgency"] != row.countersigned_unless:
                seconds = (f"{actor[:2]}/{row.countersigned_by.value}",)
            yield Attempt(row.rule.kind, actor, recipient, cited, seconds, fields, row)

    def recipients(self, row: Step, cited: Paper | None, actor: str) -> list[str]:
        home = row.rule.where is Where.HOME
        of_role = [
            p for p in PEOPLE if role(p) == row.rule.recipient.value and (p[:2] == actor[:2]) == home and p != actor
        ]
        if cited is None:
            return of_role
        header = cited.header
        match row.link:
            case Link.ANSWERS:
                fitting = [header.sender] if actor in header.recipients else []
            case Link.REPORTS_ON:
                fitting = list(header.recipients) if actor == header.sender else []
            case Link.PASSES_ON:
                fitting = [p for p in of_role if p != header.sender] if actor in header.recipients else []
            case Link.FOLLOWS_UP:
                fitting = [p for p in of_role if p not in header.recipients] if actor == header.sender else []
            case Link.COMPLAINS:
                fitting = of_role
        return [each for each in fitting if each in of_role]

    def supports(self, row: Step, cited: Paper | None) -> list[Paper]:
        if cited is None or not row.rests_on:
            return []
        base = (
            next((each for each in cited.up() if each.kind in DUE_FORM | AT_ONCE), None) if row.rests_above else cited
        )
        found = [] if base is None else [base]
        for kinds in row.rests_on:
            found = [below for each in found for below in each.below if below.kind in kinds]
        return found

    def fields(
        self, row: Step, cited: Paper | None, outcome: ids.Outcome.ValueType, rests: list[Paper], *, whole: bool
    ) -> dict[str, Any]:
        random = self.random
        above = cited.header if cited is not None else None
        fields: dict[str, Any] = {
            "outcome": outcome,
            "urgency": ids.URGENCY_ORDINARY if whole else random.choice(URGENCIES),
        }
        self._cases += 1
        fresh = f"{self._cases}"
        fields["case_id"] = above.case_id if above is not None and row.case is not CaseRule.OWN else fresh
        if row.is_test and above is None:
            fields["case_id"] = f"TEST-{self._cases:032x}"
        base = random.choice(rests).header if rests and not whole else (rests[0].header if rests else None)
        if row.same_outcome and base is not None:
            fields |= {"ground": base.ground}
            if row.reviews:
                fields |= {"dual_criminality": base.dual_criminality}
        else:
            fields |= self.reasons(row, cited, outcome, whole=whole)
        if cited is not None and cited.kind == ids.KIND_ACKNOWLEDGEMENT and cited.above is not None:
            above = cited.above.header  # that is gone on from
        measures, classes = self.scope(row, above, rests, fields["urgency"])
        if outcome in (ids.OUTCOME_REFUSED, ids.OUTCOME_POSTPONED) and (whole or random.random() < 0.9):
            measures, classes = set(), set()
        fields["measures"] = self.some(measures, whole=whole)
        fields["data_classes"] = self.some(classes, whole=whole)
        if not whole:
            fields |= self.extras(row, cited)
        return fields

    def extras(self, row: Step, cited: Paper | None) -> dict[str, Any]:
        """Return what it may say, and need not."""
        random, now = self.random, self.federation.now
        extras: dict[str, Any] = {}
        if row.targets and random.random() < 0.5:
            extras["target_tokens"] = self.some(set(TOKENS), whole=False)
        if row.amounts and random.random() < 0.7:
            extras |= self.sums(row, cited)
        if row.may_end and random.random() < 0.3:
            extras["in_force_until_us"] = to_micros(now + timedelta(days=random.choice((1, 9, 40))))
        if random.random() < 0.04:
            extras["expires_at_us"] = to_micros(now + timedelta(hours=random.choice((1, 20, 100))))
        return extras

    @staticmethod
    def scope(
        row: Step, above: pb.Header | None, rests: list[Paper], urgency: ids.Urgency.ValueType
    ) -> tuple[set[ids.Measure.ValueType], set[ids.DataClass.ValueType]]:
        """Return the most that it may ask, grant, order or tell."""
        measures, classes = set(row.measures), set(row.data_classes)
        if urgency == ids.URGENCY_EMERGENCY and row.emergency_classes:
            classes = set(row.emergency_classes)
        if above is not None and row.within:
            measures &= set(above.measures)
            classes &= set(above.data_classes)
        if rests:
            measures &= {each for paper in rests for each in paper.header.measures}
            classes &= {each for paper in rests for each in paper.header.data_classes}
        return measures, classes

    def reasons(self, row: Step, cited: Paper | None, outcome: ids.Outcome.ValueType, *, whole: bool) -> dict[str, Any]:
        """Return a ground that fits, and how dual criminality was answered."""
        reasons: dict[str, Any] = {}
        refuses = outcome == ids.OUTCOME_REFUSED and not row.ground_optional
        if refuses or outcome == ids.OUTCOME_POSTPONED:
            asked = cited
            while asked is not None and asked.above is not None:
                asked = asked.above
            top = None if asked is None else asked.kind
            report = row.rule.kind == ids.KIND_EXECUTION_REPORT
            fitting = sorted(row.grounds) or [
                each for each in GROUNDS if each and grounds.fits(each, outcome, report=report, asked=top)
            ]
            if fitting:
                reasons["ground"] = fitting[0] if whole else self.random.choice(fitting)
        if row.reviews:
            if reasons.get("ground") == ids.GROUND_NO_DUAL_CRIMINALITY:
                reasons["dual_criminality"] = ids.DUAL_CRIMINALITY_ABSENT
            elif outcome in GRANTS:
                choices = (
                    ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED,
                    ids.DUAL_CRIMINALITY_LISTED_OFFENCE,
                    ids.DUAL_CRIMINALITY_NOT_REQUIRED,
                    ids.DUAL_CRIMINALITY_WAIVED,
                )
                reasons["dual_criminality"] = choices[0] if whole else self.random.choice(choices)
            else:
                reasons["dual_criminality"] = ids.DUAL_CRIMINALITY_NOT_REACHED
        return reasons

    def sums(self, row: Step, cited: Paper | None) -> dict[str, Any]:
        if row.rule.kind == ids.KIND_CONFISCATION_REQUEST:
            total = 100
            if cited is not None and cited.kind == ids.KIND_CONFISCATION_REQUEST:
                total = int(cited.header.order_total.amount or 100)
            sums = {"amount": money(self.random.choice((20, 50, total))), "order_total": money(total)}
            if self.random.random() < 0.1:
                del sums[self.random.choice(sorted(sums))]
            return sums
        return {"amount": money(self.random.choice((1, 10, 20, 50)))}

    def some(self, of: set[Any], *, whole: bool) -> list[Any]:
        choices = sorted(of)
        if whole or not choices or self.random.random() < 0.6:
            return choices
        return self.random.sample(choices, self.random.randint(1, len(choices)))

    def spoil(self, attempt: Attempt) -> None:
        """Change one field of what was lawful."""
        random, fields = self.random, attempt.fields
        papers = list(self.judges[attempt.sender[:2]].papers.values())
        attempt.row = None
        changes: tuple[Callable[[], object], ...] = (
            lambda: setattr(attempt, "recipient", random.choice(PEOPLE)),
            lambda: setattr(attempt, "sender", random.choice(PEOPLE)),
            lambda: setattr(attempt, "kind", random.choice(ids.Kind.values()[1:])),
            lambda: setattr(attempt, "cites", random.choice(papers) if papers else None),
            lambda: setattr(attempt, "cites", None),
            lambda: setattr(attempt, "countersigned_by", ()),
            lambda: setattr(attempt, "countersigned_by", (random.choice(PEOPLE),)),
            lambda: fields.update(measures=random.sample(MEASURES, 3)),
            lambda: fields.update(data_classes=random.sample(CLASSES, 2)),
            lambda: fields.update(outcome=random.choice(OUTCOMES)),
            lambda: fields.update(ground=random.choice(GROUNDS)),
            lambda: fields.update(dual_criminality=random.choice(DUAL)),
            lambda: fields.update(case_id=random.choice([each.header.case_id for each in papers] or ["1"])),
            lambda: fields.update(instrument=random.choice(("", "other"))),
            lambda: fields.update(amount=money(random.choice((5, 1000)))),
            lambda: fields.update(order_total=money(1000)),
            lambda: fields.update(urgency=random.choice(URGENCIES)),
            lambda: fields.update(in_force_until_us=to_micros(self.federation.now + timedelta(days=400))),
            lambda: fields.update(target_tokens=[TOKENS[0]]),
        )
        random.choice(changes)()

    def wild(self) -> Attempt:
        """Return anything at all."""
        random = self.random
        judge = self.judges[random.choice(("ee", "de"))]
        papers = list(judge.papers.values())
        cited = random.choice(papers) if papers and random.random() < 0.8 else None
        parties = [*PEOPLE, *([cited.header.sender, *cited.header.recipients] * 12 if cited else [])]
        sender = random.choice([each for each in parties if each[:2] == judge.here])
        return Attempt(
            random.choice(ids.Kind.values()[1:]),
            sender,
            random.choice(parties),
            cited,
            tuple(random.sample(PEOPLE, random.choice((0, 0, 1)))),
            {
                "case_id": cited.header.case_id if cited and random.random() < 0.7 else "W",
                "outcome": random.choice(OUTCOMES),
                "measures": random.sample(MEASURES, random.choice((0, 1, 3))),
                "data_classes": random.sample(CLASSES, random.choice((0, 1, 3))),
                "urgency": random.choice(URGENCIES),
            },
        )

    def tell(self, what: str) -> None:
        self.story.append(f"{self.federation.now:%d.%m. %H:%M} {what}")

    def told(self, last: int = 60) -> str:
        return "\n".join(self.story[-last:])


def leads(row: Step) -> bool:
    """Whether it leads on; what was asked at once is acknowledged before anything is ordered."""
    return row.rule.kind in LEADING or (row.rule.kind == ids.KIND_ACKNOWLEDGEMENT and row.cites == AT_ONCE)


def money(units: int) -> evidence.Money:
    return evidence.Money(amount=str(units), currency="EUR")


def pretty(attempt: Attempt) -> str:
    name = ids.Kind.Name(attempt.kind)[5:].lower()
    outcome = attempt.fields.get("outcome")
    said = f" {ids.Outcome.Name(outcome)[8:].lower()}" if outcome else ""
    cited = f" citing {attempt.cites.header.id[-4:]}" if attempt.cites else ""
    return f"{name}{said} {attempt.sender} > {attempt.recipient}{cited}"


TIMES: Final = int(os.environ.get("ROGATORY_DUE_PROCESS", "1"))
STRICT: Final = b"""
country = "de"
[[refuse]]
kind = "confiscation-request"
direction = "in"
law = "no confiscation for others"
[[countersign]]
kind = "freeze-request"
by = "court"
law = "a judge signs"
[provisional]
orders_by = ["contact-point"]
lapse_hours = 48
law = "two days, by the contact point"
[[exchange]]
address = "de/exchange"
courts = ["de/court"]
law = "one court for one exchange"
[dual_criminality]
waiver = false
law = "always tested"
"""


OF_MATTERS: Final = frozenset({fsck.Check.CITATIONS, fsck.Check.MOVES, fsck.Check.TURNS, fsck.Check.CLOCKS})
"""What fsck can tell of these stores, in which nothing is signed. It shares no code with the judge above."""


def walks(folder: Path, seeds: Sequence[int], steps: int, **policies: Policy) -> list[Walk]:
    """Walk at random, once a seed; what goes wrong is told with the way that led there."""
    done = []
    for seed in seeds:
        (folder / str(seed)).mkdir()
        walk = Walk(folder / str(seed), Random(seed), **policies)
        try:
            for _ in range(steps):
                walk.step()
            walk.settle()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}\n{walk.told()}") from error
        done.append(walk)
        for code, node in walk.federation.nodes.items():
            wrong = [each for each in fsck.check(node.connection, node=code) if each.check in OF_MATTERS and each.first]
            assert not wrong, f"seed {seed}: {wrong}"
    return done


def test_no_walk_of_thousands_of_steps_breaks_the_law(tmp_path: Path) -> None:
    first = 57  # from which on enough is reached; which that is changes with the table
    done = walks(tmp_path, range(first, first + 12 * TIMES), 600)
    states = {state for walk in done for judge in walk.judges.values() for _, state in judge.reached}
    rows = {row for walk in done for row in walk.rows}
    codes = {code for walk in done for code in walk.refusals}
    # A promise about states that nobody ever reached is none.
    assert len(states) > len(State) * 3 / 4, sorted(state.name for state in set(State) - states)
    assert len(rows) > len(STEPS) * 3 / 5, [str(STEPS[row].rule) for row in set(range(len(STEPS))) - rows]
    assert codes >= {
        ErrorCode.NOT_PERMITTED,
        ErrorCode.OUT_OF_ORDER,
        ErrorCode.NOT_COUNTERSIGNED,
        ErrorCode.NO_LEGAL_BASIS,
        ErrorCode.EXCEEDS_GRANT,
        ErrorCode.UNKNOWN_CITATION,
    }


def test_no_walk_breaks_the_law_where_one_country_is_stricter(tmp_path: Path) -> None:
    done = walks(tmp_path, range(100, 100 + 4 * TIMES), 500, de=Policy.load(STRICT, "strict.toml"))
    assert any(walk.refusals[ErrorCode.NATIONAL_LAW] for walk in done)
    for walk in done:
        for paper in walk.judges["de"].papers.values():
            header = paper.header
            assert paper.kind != ids.KIND_CONFISCATION_REQUEST or header.recipients[0][:2] != "de"
            assert paper.kind != ids.KIND_PROVISIONAL_ORDER or role(header.sender) != "fiu"
            if paper.kind == ids.KIND_FREEZE_REQUEST and header.sender[:2] == "de":
                assert any(role(each) == "court" for each in paper.signers), paper.told()


class Anybody(RuleBasedStateMachine):
    """The same, but hypothesis chooses: what it finds, it makes short."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.walk = Walk(Path(self.folder.name), Random(0))

    @rule(random=st.randoms(use_true_random=False))
    def somebody_sends(self, random: Random) -> None:
        self.walk.random = random
        self.walk.send(self.walk.attempt())

    @rule(random=st.randoms(use_true_random=False))
    def something_arrives(self, random: Random) -> None:
        self.walk.random = random
        self.walk.let_through()

    @rule(random=st.randoms(use_true_random=False))
    def time_passes(self, random: Random) -> None:
        self.walk.random = random
        self.walk.wait()

    @rule(random=st.randoms(use_true_random=False))
    def a_recipient_rejects(self, random: Random) -> None:
        self.walk.random = random
        self.walk.disturb()

    @rule()
    def everything_arrives(self) -> None:
        self.walk.settle()

    @invariant()
    def no_promise_is_broken(self) -> None:
        self.walk.look()

    def teardown(self) -> None:
        note(self.walk.told())
        self.folder.cleanup()


def test_no_sequence_that_hypothesis_finds_breaks_the_law() -> None:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    profile = settings(max_examples=25 * TIMES, stateful_step_count=40, deadline=None, suppress_health_check=slow)
    run_state_machine_as_test(Anybody, settings=profile)


@pytest.mark.parametrize(
    ("module", "name", "seed"),  # from which on it is found out soon; which that is changes with the table
    [
        (row_checks, "check_countersigned", 0),
        (row_checks, "check_within", 16),
        (procedure, "_check_never_below", 201),
        (procedure, "_check_all_ended", 1146),
        (procedure, "_check_rests_on", 0),
        (procedure, "_check_agreed", 1132),
        (procedure, "_check_lengthens", 504),
        (procedure, "_check_undisputed", 1215),
        (procedure, "_is_suspended", 1202),
        (procedure, "_check_total", 9),
        (afterwards, "not_taken", 0),
        (afterwards, "lapsed_elsewhere", 0),
    ],
    ids=lambda value: value.__name__.rpartition(".")[2] if hasattr(value, "__name__") else str(value),
)
def test_a_node_that_leaves_a_rule_out_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, seed: int
) -> None:
    monkeypatch.setattr(module, name, lambda *_, **__: None)
    monkeypatch.setattr(procedure, "_asked", procedure._asked.__wrapped__)  # it remembers the rules of a row
    with pytest.raises(AssertionError):
        walks(tmp_path, range(seed, seed + 150), 400)


def test_who_has_answered_cannot_say_any_more_that_it_could_not_be_read(tmp_path: Path) -> None:
    countries = law.countries(tmp_path)
    fields: dict[str, Any] = {
        "countersigned_by": ("ee/central-authority",),
        "measures": (ids.MEASURE_BLOCK_WITHDRAWAL,),
    }
    request = countries.send(ids.KIND_FREEZE_REQUEST, "ee/investigator", "de/central-authority", **fields)
    countries.arrive()
    countries.collect(request)
    countries.send(ids.KIND_ACKNOWLEDGEMENT, "de/central-authority", "ee/investigator", cites=request)
    countries.arrive()
    with pytest.raises(Refusal) as caught:
        countries.reject(request)
    assert caught.value.code is ErrorCode.BAD_RECEIPT
    assert countries.state("ee", request) is countries.state("de", request) is State.ACKNOWLEDGED
