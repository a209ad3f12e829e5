"""The table of steps.py: complete, without a dead end, and without a way around a court."""

import re
from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

import pytest
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway import targets
from gateway.cli.procedure_words import Way, about, begun, citable, matters, may_hold, ways
from gateway.deadlines import LIMITS, Acts, Ends
from gateway.identity import Role
from gateway.rules import ACTS_NEXT, ENDING, FINAL, OPEN, ClockRule, Kind, Link, Rule, State, Step, Turn, Where, word
from gateway.steps import (
    BY_CITATION,
    CARRYING_ON,
    FREEZING,
    INTELLIGENCE,
    ORDERS,
    PROVISIONAL,
    REQUESTS,
    RULES,
    RUNS_OUT,
    STEPS,
    TAKING,
    WATCHES,
    runs_out,
)

KINDS = frozenset(ids.Kind.values()) - {ids.KIND_UNSPECIFIED}
# These run the node or look on; the node speaks in receipts and statements.
TAKE_NO_PART = {Role.OPERATOR, Role.AUDITOR, Role.NODE}
GROUNDS = [
    ids.GROUND_UNSPECIFIED,
    ids.GROUND_NO_DUAL_CRIMINALITY,
    *{g for s in STEPS for m in s.moves for g in m.grounds},
]
SET_IN_DOCUMENTS_ALONE = {clocks.CLOCK_RULE_EXPEDITED_PRESERVATION}
OPENERS = [(step, holds) for step in STEPS if step.opens for holds in may_hold(step)]
EXCHANGE_GIVERS = {Role.FIU, Role.CONTACT_POINT, Role.REGISTRAR, Role.OMBUDSPERSON}


def named(step: Step) -> str:
    return f"{step.rule} citing {'+'.join(map(word, sorted(step.cites))) or 'nothing'}"


def opener(value: object) -> str:
    return named(value) if isinstance(value, Step) else f"holds={value}"


every_matter = pytest.mark.parametrize(("opened", "holds"), OPENERS, ids=opener)


def reached(found: Iterable[Way], opened: Step) -> set[State]:
    assert opened.opens is not None
    return {opened.opens, *(way.to for way in found)}


def test_every_kind_and_every_role_that_takes_part_has_a_row() -> None:
    assert {step.rule.kind for step in STEPS} == KINDS
    assert {role for rule in RULES for role in (rule.sender, rule.recipient)} == set(Role) - TAKE_NO_PART


def test_each_kind_between_each_two_roles_citing_each_kind_has_one_row_or_none() -> None:
    counted = 0
    for kind, sender, recipient, where in product(KINDS, Role, Role, Where):
        rule = Rule(kind, sender, recipient, where)
        for cited in ids.Kind.values():
            found = BY_CITATION.get((rule, cited))
            assert found is None or (found.rule == rule and cited in (found.cites or {ids.KIND_UNSPECIFIED}))
            counted += found is not None
    assert counted == len(BY_CITATION) == sum(len(step.cites) or 1 for step in STEPS)


def test_each_row_in_each_state_on_each_outcome_has_one_answer() -> None:
    """A state or a refusal, in time and late; and late, what has ended stays as it ended."""
    for step in STEPS:
        for state, outcome, ground, holds in product(State, ids.Outcome.values(), GROUNDS, (True, False)):
            now = step.then(state, outcome, ground, holds=holds)
            late = step.late(state, outcome, ground, holds=holds)
            assert now is None or (state in step.at and isinstance(now, State)), named(step)
            assert (late is None) is (state not in step.crosses), named(step)
            assert late is None or late is state or (state in OPEN and late in FINAL), named(step)


def test_each_row_that_is_lawful_in_a_state_is_lawful_there_on_some_outcome() -> None:
    for step in STEPS:
        for state in step.at:
            tried = product(step.outcomes, GROUNDS, (True, False))
            assert any(step.then(state, o, g, holds=h) for o, g, h in tried), f"{named(step)} while {state}"


def test_each_outcome_of_a_row_that_moves_is_of_use_in_some_state() -> None:
    for step in STEPS:
        for outcome in step.outcomes if step.moves else ():
            tried = product(step.at, GROUNDS, (True, False))
            assert any(step.then(s, outcome, g, holds=h) for s, g, h in tried), f"{named(step)}: {outcome}"


def test_what_a_row_cites_somebody_can_have_sent_to_or_from_its_sender() -> None:
    for step in STEPS:
        if step.link is not Link.COMPLAINS:
            assert {each.rule.kind for each in citable(step)} == step.cites, named(step)


def test_what_depends_on_the_state_of_a_matter_is_about_one() -> None:
    for step in STEPS:
        assert bool(step.moves) <= bool(matters(step)), named(step)
        assert bool(step.cites) <= bool(step.moves) or step.link is Link.COMPLAINS, named(step)


@every_matter
def test_from_every_state_that_a_matter_reaches_an_end_is_reached(opened: Step, *, holds: bool) -> None:
    found = ways(opened, holds=holds)
    ending = reached(found, opened) & FINAL
    while more := {way.at for way in found if way.to in ending} - ending:
        ending |= more
    assert reached(found, opened) - ending == set()


@every_matter
def test_whoever_acts_next_can_bring_it_to_another_state(opened: Step, *, holds: bool) -> None:
    found = ways(opened, holds=holds)
    stuck = set()
    for state in reached(found, opened) & OPEN:
        party = opened.rule.sender if ACTS_NEXT[state] is Turn.SENDER else opened.rule.recipient
        if not any(w.at is state is not w.to and isinstance(w.by, Step) and w.by.rule.sender is party for w in found):
            stuck.add((state, party))
    assert stuck == set()


@every_matter
def test_nothing_leads_out_of_an_end(opened: Step, *, holds: bool) -> None:
    assert [way for way in ways(opened, holds=holds) if way.at in FINAL and way.to is not way.at] == []


def test_no_row_at_all_moves_what_has_ended() -> None:
    for step in STEPS:
        for state, outcome, ground, holds in product(FINAL, ids.Outcome.values(), GROUNDS, (True, False)):
            assert step.then(state, outcome, ground, holds=holds) in (None, state), named(step)
            assert step.late(state, outcome, ground, holds=holds) in (None, state), named(step)
    for row in RUNS_OUT:
        assert not (row.at | row.elsewhere) & FINAL


def test_only_what_comes_from_abroad_can_have_crossed() -> None:
    assert [named(step) for step in STEPS if step.crosses and step.rule.where is Where.HOME] == []


@pytest.mark.parametrize(
    ("opened", "holds"),
    [
        (step, holds)
        for step, holds in OPENERS
        if step.rule.where is Where.ABROAD and step.rule.kind not in INTELLIGENCE and step.link is not Link.FOLLOWS_UP
    ],
    ids=opener,
)
def test_whatever_crosses_on_the_way_both_nodes_agree_in_the_end(opened: Step, *, holds: bool) -> None:
    """Every order in which two nodes send and receive, with up to so many messages on the way to each of them.

    When all have arrived, neither node has ended a matter that is open at the other, and neither waits for the other
    while the other waits for it. A message that is refused changes nothing.
    """
    assert opened.opens is not None
    sends = _sends(opened, holds=holds)
    start = _World(opened.opens, opened.opens)
    seen, todo = {start}, [start]
    apart: set[tuple[State, State]] = set()
    while todo:
        world = todo.pop()
        if not world.to_asker and not world.to_asked and not _agree(world.asker, world.asked):
            apart.add((world.asker, world.asked))
            continue
        new = set(_next(world, sends)) - seen
        seen |= new
        todo += new
    assert apart == set()


MOST_ON_THE_WAY = 2


class _World(NamedTuple):
    """Where a matter stands at the node that asked and at that which was asked, and what is on the way to each."""

    asker: State
    asked: State
    to_asker: tuple["_Message", ...] = ()
    to_asked: tuple["_Message", ...] = ()


_Message = tuple[State, ...]
"""What a message makes of each state at the node that it reaches, in the order of `State`."""
_PLACES = {state: place for place, state in enumerate(State)}


def _agree(asker: State, asked: State) -> bool:
    if {asker, asked} & FINAL:
        return {asker, asked} <= FINAL
    return ACTS_NEXT[asker] is Turn.SENDER or ACTS_NEXT[asked] is Turn.RECIPIENT


_Sends = dict[tuple[bool, State], set[tuple[State, _Message]]]


def _sends(opened: Step, *, holds: bool) -> _Sends:
    """For each side and state: to which state it goes there by something of its own, and what that is to the other."""
    found: _Sends = {(asks, state): set() for asks in (True, False) for state in State}
    for step in about(opened):
        if step.rule.where is Where.HOME:
            continue
        for outcome, ground in product(step.outcomes, GROUNDS):
            now = [step.then(state, outcome, ground, holds=holds) for state in State]
            late = [step.late(state, outcome, ground, holds=holds) for state in State]
            message = tuple(n or lt or state for state, n, lt in zip(State, now, late, strict=True))
            for state, to in zip(State, now, strict=True):
                # It is remembered beside the state, until what is done follows: test_due_process.py plays that.
                if step.rule.kind == ids.KIND_CLAIM and outcome == ids.OUTCOME_POSTPONED and state is to:
                    continue
                if to is not None and (to is not state or message != tuple(State)):
                    found[_by_asker(step, opened), state].add((to, message))
    for row in RUNS_OUT:
        if opened.rule.kind in row.kinds and row.rule in begun(opened):
            message = tuple(row.to if state in row.elsewhere else state for state in State)
            for state in row.at:
                found[False, state].add((row.to, message))
    return found


def _by_asker(step: Step, opened: Step) -> bool:
    """Whether whoever asked sends it, and not whoever was asked."""
    cited = next(each for each in citable(step) if each == opened or opened in matters(each))
    theirs = cited == opened or _by_asker(cited, opened)
    return theirs if step.link is Link.REPORTS_ON else not theirs


def _next(world: _World, sends: _Sends) -> Iterator[_World]:
    """Every way on from there: one side sends, or one side receives."""
    asker, asked, to_asker, to_asked = world
    if len(to_asked) < MOST_ON_THE_WAY:
        for to, message in sends[True, asker]:
            yield _World(to, asked, to_asker, (*to_asked, message))
    if len(to_asker) < MOST_ON_THE_WAY:
        for to, message in sends[False, asked]:
            yield _World(asker, to, (*to_asker, message), to_asked)
    if to_asker:
        yield _World(to_asker[0][_PLACES[asker]], asked, to_asker[1:], to_asked)
    if to_asked:
        yield _World(asker, to_asked[0][_PLACES[asked]], to_asker, to_asked[1:])


def test_nothing_from_abroad_reaches_an_exchange_and_none_sends_abroad() -> None:
    for rule in RULES:
        assert Role.EXCHANGE not in (rule.sender, rule.recipient) or rule.where is Where.HOME, rule


def test_an_exchange_begins_nothing_but_a_complaint_of_what_reached_it() -> None:
    for step in STEPS:
        if step.rule.sender is Role.EXCHANGE:
            assert step.cites, named(step)
            assert step.opens is None or step.rule.kind == ids.KIND_GRIEVANCE, named(step)


def test_nothing_rests_on_intelligence() -> None:
    for step in STEPS:
        named_kinds = step.cites.union(*step.rests_on)
        assert not named_kinds & INTELLIGENCE, named(step)
        if step.rule.kind in INTELLIGENCE:
            assert not step.cites, named(step)


def test_whatever_reaches_an_exchange_goes_back_to_the_decision_of_a_court() -> None:
    """Save what an FIU or contact point may order provisionally, trials and an ombudsperson's answer."""
    for step in STEPS:
        if step.rule.recipient is Role.EXCHANGE and step.rule.sender not in EXCHANGE_GIVERS:
            assert step.rule.sender is Role.COURT, named(step)
            assert _only_through(step, ids.KIND_REVIEW_DECISION, Role.COURT), named(step)


def _only_through(step: Step, kind: Kind, sender: Role, seen: frozenset[Step] = frozenset()) -> bool:
    """Whether every line of citations upwards passes such an envelope before it ends."""
    above = [each for each in citable(step) if each not in seen]
    return bool(step.cites) and all(
        (each.rule.kind == kind and each.rule.sender is sender) or _only_through(each, kind, sender, seen | {step})
        for each in above
    )


def test_tokens_of_targets_are_carried_by_the_kinds_that_the_library_fills_and_checks() -> None:
    assert {step.rule.kind for step in STEPS if step.targets} == targets.CARRIERS


def test_what_is_ordered_provisionally_only_freezes_or_keeps_and_rests_on_a_request_from_abroad() -> None:
    for step in STEPS:
        if step.rule.kind == ids.KIND_PROVISIONAL_ORDER:
            assert step.cites == {ids.KIND_ACKNOWLEDGEMENT}
            # It cites an envelope of its own sender's; an exchange's word on an order goes to that, and not from it.
            assert step.link is Link.FOLLOWS_UP
            known = [each for each in citable(step) if each.rule.sender is step.rule.sender]
            assert {kind for each in known for kind in each.cites} == PROVISIONAL
            assert step.measures <= FREEZING
            assert step.inherits
            assert {each.rule.where for each in known} == {Where.ABROAD}


def test_no_row_lets_an_exchange_see_who_sent_what_another_country_sent() -> None:
    told = [step for step in STEPS if step.rule.recipient is Role.EXCHANGE]
    assert len(told) > 20
    for step in told:
        # What is cited was sent by the sender or by the exchange itself, both of one country.
        assert step.rule.where is Where.HOME, named(step)
        assert not step.cites or step.link in (Link.ANSWERS, Link.FOLLOWS_UP, Link.REPORTS_ON), named(step)
        assert not step.cites_elsewhere, named(step)
        assert not step.targets, named(step)


def test_what_is_provisional_is_confirmed_by_a_court_alone() -> None:
    for step in STEPS:
        if step.rule.kind == ids.KIND_CONFIRMATION:
            assert step.rests_on[-1] == {ids.KIND_REVIEW_DECISION}, named(step)
        elif any(move.to is State.CONFIRMED for move in step.moves):
            pytest.fail(named(step))


def test_assets_are_taken_by_a_courts_order_alone() -> None:
    taking = {step.rule.kind for step in STEPS if step.rule.kind in ORDERS and step.measures & TAKING}
    assert taking == {ids.KIND_DOMESTIC_ORDER, ids.KIND_TRANSFER_ORDER}
    assert {rule.sender for rule in RULES if rule.kind in taking} == {Role.COURT}


def test_whatever_one_state_asks_of_another_an_exchange_can_be_ordered_to_do() -> None:
    """Or no report of its execution has anything to rest on."""
    orders = [step for step in STEPS if step.rule.kind in ORDERS and ids.KIND_REVIEW_DECISION in step.cites]
    for step in STEPS:
        if step.rule.kind in REQUESTS and step.rule.where is Where.ABROAD:
            scopes = [step.measures & order.measures or step.data_classes & order.data_classes for order in orders]
            assert any(scopes), named(step)


def test_every_request_to_another_state_is_countersigned_by_its_own_authority() -> None:
    for step in STEPS:
        if step.rule.kind in REQUESTS and step.rule.where is Where.ABROAD:
            assert step.countersigned_by is Role.CENTRAL_AUTHORITY, named(step)
            emergency = ids.URGENCY_EMERGENCY if step.rule.kind == ids.KIND_EVIDENCE_REQUEST else None
            assert step.countersigned_unless == emergency, named(step)


def test_every_request_that_a_state_makes_of_another_is_refused_forwarded_withdrawn_or_answered() -> None:
    for kind in REQUESTS:
        answers = {step.rule.kind for step in STEPS if kind in step.cites and step.rule.where is Where.ABROAD}
        assert answers >= {
            ids.KIND_ACKNOWLEDGEMENT,
            ids.KIND_CLARIFICATION_REQUEST,
            ids.KIND_DELAY_NOTICE,
            ids.KIND_REVIEW_DECISION,
            ids.KIND_EXECUTION_REPORT,
            ids.KIND_WITHDRAWAL,
            ids.KIND_CLOSURE,
        }
        # What carries on another request goes to whoever executes that.
        assert (ids.KIND_FORWARDING in answers) is (kind not in CARRYING_ON), word(kind)


def test_whatever_is_forwarded_is_made_anew_to_another_authority_and_cites_what_was() -> None:
    forwarded = {kind for step in STEPS if step.rule.kind == ids.KIND_FORWARDING for kind in step.cites}
    assert forwarded
    for kind in forwarded:
        anew = BY_CITATION[Rule(kind, *MINISTRY_IS_ASKED, Where.ABROAD), kind]
        assert State.FORWARDED in anew.at, word(kind)
        assert (anew.link, anew.opens, anew.within) == (Link.FOLLOWS_UP, State.ASKED, False), word(kind)


def test_every_decision_is_complained_of_by_whoever_was_a_party_to_it() -> None:
    for step in STEPS:
        if step.rule.kind in INTELLIGENCE | {ids.KIND_GRIEVANCE, ids.KIND_GRIEVANCE_ANSWER} or step.is_test:
            continue
        for party in (step.rule.sender, step.rule.recipient):
            rule = Rule(ids.KIND_GRIEVANCE, party, Role.OMBUDSPERSON, Where.HOME)
            assert (rule, step.rule.kind) in BY_CITATION, named(step)


def test_every_row_names_its_article_or_says_that_it_is_a_rule_of_the_house() -> None:
    source = re.compile(r"house: |\d{4}/\d+|Art\. \d|Recommendation \d|clause \d|INTERPOL ")
    for step in STEPS:
        assert source.search(step.law), named(step)
    for row in RUNS_OUT:
        assert source.search(row.law)


MINISTRY_TELLS, MINISTRY_IS_ASKED = (
    (Role.CENTRAL_AUTHORITY, Role.INVESTIGATOR),
    (Role.INVESTIGATOR, Role.CENTRAL_AUTHORITY),
)
FREEZE_AT_ONCE = ids.KIND_PROVISIONAL_FREEZE
NOTICE, POINT_TELLS = ids.KIND_PRODUCTION_NOTICE, (Role.CONTACT_POINT, Role.EXCHANGE)
EXCHANGE_TELLS, CONTACTS = (Role.EXCHANGE, Role.COURT), (Role.CONTACT_POINT, Role.CONTACT_POINT)


@pytest.mark.parametrize(
    ("kind", "between", "where", "cited", "article"),
    [
        # "The competent authority of the issuing State shall be informed of any legal remedy"; (4) is another matter.
        (ids.KIND_CLAIM, MINISTRY_TELLS, Where.ABROAD, ids.KIND_FREEZE_REQUEST, "2018/1805 Art. 33(3)"),
        (ids.KIND_CLAIM_DECISION, MINISTRY_TELLS, Where.ABROAD, ids.KIND_CLAIM, "2018/1805 Art. 33(3)"),
        # "The requested data are transmitted"; (1) has them preserved alone.
        (ids.KIND_DISCLOSURE, MINISTRY_TELLS, Where.ABROAD, ids.KIND_EVIDENCE_REQUEST, "2023/1543 Art. 10(2)-(4)"),
        (ids.KIND_DISCLOSURE, EXCHANGE_TELLS, Where.HOME, ids.KIND_DOMESTIC_ORDER, "2023/1543 Art. 10(2)-(4)"),
        # "The issuing authority shall inform the addressee [...] and the obligation to preserve [...] shall cease."
        (ids.KIND_WITHDRAWAL, CONTACTS, Where.ABROAD, ids.KIND_PRESERVATION_REQUEST, "2023/1543 Art. 11(3)"),
        # "The issuing authority confirms that a subsequent request for production has been issued".
        (NOTICE, CONTACTS, Where.ABROAD, ids.KIND_PRESERVATION_REQUEST, "2023/1543 Art. 11(1)-(2), Annex V"),
        (NOTICE, POINT_TELLS, Where.HOME, ids.KIND_PROVISIONAL_ORDER, "2023/1543 Art. 11(2), Annex V"),
        # "Freezing": what is done at once holds until a freezing order is made, and for seven days at most.
        (FREEZE_AT_ONCE, CONTACTS, Where.ABROAD, ids.KIND_UNSPECIFIED, "2024/1260 Art. 11"),
        (ids.KIND_CONFIRMATION, POINT_TELLS, Where.HOME, ids.KIND_PROVISIONAL_ORDER, "2024/1260 Art. 11"),
        # "That authority shall immediately transmit the confiscation certificate to the competent executing authority".
        (ids.KIND_FORWARDING, MINISTRY_TELLS, Where.ABROAD, ids.KIND_CONFISCATION_REQUEST, "14(8)"),
        # "The confiscation certificate may be transmitted to more than one executing State at the same time where".
        (ids.KIND_CONFISCATION_REQUEST, MINISTRY_IS_ASKED, Where.ABROAD, ids.KIND_CONFISCATION_REQUEST, "15, 16"),
    ],
)
def test_row_names_the_article_that_says_what_it_does(
    kind: Kind, between: tuple[Role, Role], where: Where, cited: Kind, article: str
) -> None:
    assert article in BY_CITATION[Rule(kind, *between, where), cited].law


def test_every_time_limit_is_begun_by_some_row_or_set_in_documents_alone() -> None:
    started = {start.rule for step in STEPS for effect in (step.clocks, step.above) for start in effect.starts}
    assert started | set(WATCHES.values()) | SET_IN_DOCUMENTS_ALONE == LIMITS.keys()
    assert not (started | set(WATCHES.values())) & SET_IN_DOCUMENTS_ALONE


@every_matter
def test_whoever_is_to_end_something_is_watched_and_can_end_it(opened: Step, *, holds: bool) -> None:
    """A limit runs while a matter stands so, it is said to be overdue, and whoever it counts for acts next."""
    for state in reached(ways(opened, holds=holds), opened) & (ENDING | {State.UNBOUND}):
        limit = LIMITS[WATCHES[state]]
        turn = Turn.SENDER if limit.acts is Acts.SENDER else Turn.RECIPIENT
        assert ACTS_NEXT[state] is turn, state
        assert limit.ends is Ends.OVERDUE, state


def test_a_time_limit_is_only_met_rested_or_awaited_where_it_may_run() -> None:
    """By a kind of envelope about a matter for which it may have begun, by its own steps or by those of one below."""
    for kind in KINDS:
        touched, may_run = set[ClockRule](), set[ClockRule]()
        for step in STEPS:
            if step.rule.kind == kind:
                effect = step.clocks
                touched |= effect.stops | effect.pauses | effect.resumes
                touched |= {step.needs_open} if step.needs_open is not None else set()
                touched |= step.waits_for
                on = {step} if step.opens else {*matters(step)}
                may_run |= {rule for each in on for rule in begun(each)}
                may_run |= {start.rule for each in STEPS for start in each.above.starts if _above(each) & on}
        assert touched <= may_run, word(kind)


def _above(step: Step) -> set[Step]:
    """What its effects above are on: the matters above those that it is about."""
    nearest = matters(step)
    return {*nearest} if step.opens else {above for each in nearest for above in matters(each)}


def test_what_is_lawful_only_while_a_limit_runs_is_about_matters_for_which_it_may_run() -> None:
    for step in STEPS:
        if step.needs_open is not None:
            without = [named(matter) for matter in matters(step) if step.needs_open not in begun(matter)]
            assert without == [], named(step)


def test_what_rests_runs_on_again() -> None:
    paused = {rule for step in STEPS for rule in step.clocks.pauses}
    assert paused == {rule for step in STEPS for rule in step.clocks.resumes}


def test_what_runs_out_ends_only_matters_of_its_kinds() -> None:
    for rule, kind, state in product(LIMITS, KINDS, State):
        for elsewhere in (True, False):
            row = runs_out(rule, kind, state, elsewhere=elsewhere)
            listed = [r for r in RUNS_OUT if r.rule == rule and kind in r.kinds]
            fits = [r for r in listed if state in (r.elsewhere if elsewhere else r.at)]
            assert len(fits) <= 1, "two answers when it runs out"
            assert row is (fits[0] if fits else None)


def test_what_runs_out_can_have_begun_for_each_of_its_kinds() -> None:
    for row in RUNS_OUT:
        for kind in row.kinds:
            openers = [step for step in STEPS if step.opens and step.rule.kind == kind]
            assert any(row.rule in begun(step) for step in openers), word(kind)


def test_no_row_asks_of_matters_what_nothing_would_look_at() -> None:
    asks = [
        step for step in STEPS if step.never_below or step.needs_live or step.undisputed or step.inherits or step.once
    ]
    assert [str(step.rule) for step in asks if not step.moves] == []
