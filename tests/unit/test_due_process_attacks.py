"""Attacks on due process by those who have a part in it: each held, and named after who tries what."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2, mailbox_pb2
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway import row_checks, statement
from gateway.clock import from_micros, to_micros
from gateway.envelope import ref_of
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.rules import Link, Rule, State, Where, word
from gateway.steps import ASKED_ABROAD, BY_CITATION
from gateway.store import fsck
from tests import world
from tests.law import DIRECTORY, NOON, Countries, countries, directory
from tests.lawful import (
    BLOCK,
    CENTRAL,
    EMERGENCY,
    GRANTED,
    INVESTIGATOR,
    OVERDUE,
    REFUSED,
    THEIR_CENTRAL,
    THEIR_COURT,
    THEIR_EXCHANGE,
    URGENT,
    VERIFIED,
    WHO,
    acknowledge,
    ask,
    decide,
    execute,
    frozen,
    granted_to_the_fiu,
    notify,
    order_at_once,
    overdue,
    refusal,
    running,
    stand,
    told,
)

POSTPONED, NONE = ids.OUTCOME_POSTPONED, ids.OUTCOME_UNSPECIFIED
TRANSFER = (ids.MEASURE_TRANSFER,)
Ref = ids.EnvelopeRef


@pytest.fixture
def law(tmp_path: Path) -> Countries:
    return countries(tmp_path)


def refused(law: Countries, kind: ids.Kind.ValueType, sender: str, recipient: str, **fields: Any) -> ErrorCode:
    return refusal(law, kind=kind, sender=sender, recipient=recipient, **fields)[0]


def decision_on(law: Countries) -> Ref:
    (found,) = [
        ref_of(each)
        for each in law.headers("de")
        if each.kind == ids.KIND_REVIEW_DECISION and each.sender == THEIR_COURT
    ]
    return found


def referral_on(law: Countries) -> Ref:
    (found,) = [ref_of(each) for each in law.headers("de") if each.kind == ids.KIND_REVIEW_REFERRAL]
    return found


def claim(law: Countries, request: Ref, outcome: ids.Outcome.ValueType) -> tuple[Ref, Ref]:
    """File a claim with the court, and tell it abroad; suspensive if it postpones."""
    fields: dict[str, Any] = {"outcome": outcome}
    if outcome == POSTPONED:
        fields["ground"] = ids.GROUND_REMEDY_INVOKED
    filed = law.send(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, cites=decision_on(law), case_id="DE-1", **fields)
    abroad = law.send(ids.KIND_CLAIM, THEIR_CENTRAL, INVESTIGATOR, cites=request, **fields)
    law.arrive()
    return filed, abroad


def decide_claim(law: Countries, filed: Ref, outcome: ids.Outcome.ValueType) -> Ref:
    return law.send(ids.KIND_CLAIM_DECISION, THEIR_COURT, THEIR_CENTRAL, cites=filed, case_id="DE-1", outcome=outcome)


def grant_restitution(law: Countries, freeze: Ref) -> Ref:
    """Ask to hand over what is frozen, and have a court grant it."""
    restitution = ask(law, ids.KIND_RESTITUTION_DECISION, cites=freeze, data_classes=(), measures=TRANSFER)
    _, decision = decide(law, restitution, measures=TRANSFER)
    return decision


# A ministry that hides or invents what its court said.


def test_ministry_cannot_invent_its_courts_decision_on_a_claim(law: Countries) -> None:
    request, _ = frozen(law)
    _, abroad = claim(law, request, POSTPONED)
    code = refused(law, ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=GRANTED)
    assert code is ErrorCode.OUT_OF_ORDER


def test_ministry_cannot_turn_an_upheld_claim_into_a_dismissed_one(law: Countries) -> None:
    request, _ = frozen(law)
    filed, abroad = claim(law, request, POSTPONED)
    decide_claim(law, filed, GRANTED)
    code = refused(law, ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=REFUSED)
    assert code is ErrorCode.OUT_OF_ORDER
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=GRANTED)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.UNBOUND


def test_ministry_cannot_make_for_good_what_its_court_reported_as_not_there_yet(law: Countries) -> None:
    request = ask(law)
    _, decision = decide(law, request)
    notify(law, request)
    nothing: dict[str, Any] = {"outcome": REFUSED, "ground": ids.GROUND_NOT_AT_PLACE}
    order = law.send(
        ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, case_id="ORDER-1", measures=BLOCK
    )
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **nothing)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **nothing)
    worse = nothing | {"ground": ids.GROUND_DESTROYED}
    code = refused(law, ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, cites=request, **worse)
    assert code is ErrorCode.OUT_OF_ORDER


def test_ministry_cannot_end_a_request_by_a_final_report_while_the_exchange_holds(law: Countries) -> None:
    request, _ = frozen(law)
    code = refused(law, ids.KIND_FINAL_REPORT, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    assert code is ErrorCode.OUT_OF_ORDER


def ordered(law: Countries, decision: Ref, exchange: str = THEIR_EXCHANGE, case_id: str = "ORDER-1") -> Ref:
    fields: dict[str, Any] = {"case_id": case_id, "measures": BLOCK}
    return law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, exchange, cites=decision, **fields)


def test_ministry_cannot_forward_a_request_while_an_exchange_holds_assets_for_it(law: Countries) -> None:
    request = ask(law)
    _, decision = decide(law, request)  # and nobody has told it abroad
    ordered(law, decision)
    code = refused(law, ids.KIND_FORWARDING, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    assert code is ErrorCode.OUT_OF_ORDER


def test_what_is_impossible_for_good_at_one_exchange_does_not_end_what_another_may_hold(law: Countries) -> None:
    request = ask(law)
    _, decision = decide(law, request)
    notify(law, request)
    order, other = ordered(law, decision), ordered(law, decision, f"{THEIR_EXCHANGE}-2", "ORDER-2")
    gone: dict[str, Any] = {"outcome": REFUSED, "ground": ids.GROUND_DESTROYED}
    law.send(ids.KIND_EXECUTION_REPORT, f"{THEIR_EXCHANGE}-2", THEIR_COURT, cites=other, case_id="ORDER-2", **gone)
    report: dict[str, Any] = {"cites": decision, "case_id": "DE-1"}
    code = refused(law, ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, **report, **gone)
    assert code is ErrorCode.OUT_OF_ORDER
    held: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **held)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, **report, **held)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, cites=request, **held)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.EXECUTED


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ids.KIND_CLOSURE, {}),
        (ids.KIND_RELEASE, {"outcome": GRANTED}),
        (ids.KIND_CLAIM, {"outcome": POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}),
    ],
)
def test_court_goes_on_from_what_it_granted_and_not_from_what_it_had_postponed(
    law: Countries, kind: ids.Kind.ValueType, fields: dict[str, Any]
) -> None:
    request = ask(law)
    fits: dict[str, Any] = {"case_id": "DE-1", "measures": BLOCK}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, cites=request, **fits)
    later: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_ONGOING_INVESTIGATION}
    later |= {"case_id": "DE-1", "dual_criminality": VERIFIED, "cites": referral}
    postponed = law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, THEIR_CENTRAL, **later)
    fits |= {"outcome": GRANTED, "dual_criminality": VERIFIED}
    decision = law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, THEIR_CENTRAL, cites=referral, **fits)
    order = ordered(law, decision)
    held: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **held)
    # Of the orders below the other one it would know nothing.
    code = refused(law, kind, THEIR_COURT, THEIR_CENTRAL, cites=postponed, case_id="DE-1", **fields)
    assert code is ErrorCode.OUT_OF_ORDER
    assert law.state("de", referral) is State.GRANTED


# A court that goes on while somebody's claim stands.


def test_nothing_is_moved_or_newly_ordered_while_a_claim_suspends_or_after_it_was_upheld(law: Countries) -> None:
    scope: dict[str, Any] = {"measures": BLOCK + TRANSFER}
    request = ask(law, **scope)
    _, decision = decide(law, request, **scope)
    notify(law, request, **scope)
    order = execute(law, request, decision, **scope)
    filed, _ = claim(law, request, POSTPONED)
    transfer: dict[str, Any] = {"case_id": "ORDER-1", "measures": TRANSFER, "countersigned_by": (THEIR_CENTRAL,)}
    for _ in ("suspended", "upheld"):
        tried = refused(law, ids.KIND_TRANSFER_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=order, **transfer)
        assert tried is ErrorCode.OUT_OF_ORDER
        anew: dict[str, Any] = {"cites": decision, "case_id": "ORDER-2", "measures": BLOCK}
        assert refused(law, ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, **anew) is ErrorCode.OUT_OF_ORDER
        if law.state("de", referral_on(law)) is State.SUSPENDED:
            decide_claim(law, filed, GRANTED)
    assert law.state("de", referral_on(law)) is State.UNBOUND


def test_what_is_confiscated_need_not_be_released_because_the_issuer_was_silent_on_the_freeze(law: Countries) -> None:
    freeze, _ = frozen(law)
    law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=freeze)
    law.arrive()
    law.wait(days=43)
    law.arrive()
    assert law.state("ee", freeze) is law.state("de", freeze) is State.UNBOUND
    scope: dict[str, Any] = {"measures": (ids.MEASURE_CONFISCATE,)}
    request = ask(law, ids.KIND_CONFISCATION_REQUEST, cites=freeze)
    _, decision = decide(law, request, **scope)
    notify(law, request, **scope)
    execute(law, request, decision, **scope)  # recognised by itself, with remedies of its own (Art. 18, 33)
    assert law.state("ee", request) is law.state("de", request) is State.EXECUTED
    assert law.state("ee", freeze) is law.state("de", freeze) is State.UNBOUND


@pytest.mark.parametrize("outcome", [ids.OUTCOME_UNSPECIFIED, GRANTED])
@pytest.mark.parametrize("is_told", [True, False])
def test_what_is_claimed_by_another_is_not_restituted_though_the_restitution_is_granted(
    law: Countries, outcome: ids.Outcome.ValueType, is_told: bool
) -> None:
    freeze, _ = frozen(law, measures=BLOCK + TRANSFER)
    frozen_by = decision_on(law)
    decision = grant_restitution(law, freeze)
    suspends: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    filed = law.send(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, cites=frozen_by, case_id="DE-1", **suspends)
    if is_told:
        law.send(ids.KIND_CLAIM, THEIR_CENTRAL, INVESTIGATOR, cites=freeze, **suspends)
        law.arrive()
    if outcome:
        decide_claim(law, filed, outcome)
    order: dict[str, Any] = {"cites": decision, "case_id": "ORDER-2", "measures": TRANSFER}
    assert refused(law, ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, **order) is ErrorCode.OUT_OF_ORDER


def test_what_nobody_claims_is_restituted_though_the_issuer_was_silent_on_the_freeze(law: Countries) -> None:
    freeze, _ = frozen(law, measures=BLOCK + TRANSFER)
    law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=freeze)
    law.arrive()
    law.wait(days=43)
    law.arrive()
    assert law.state("de", freeze) is State.UNBOUND
    decision = grant_restitution(law, freeze)
    law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, case_id="ORDER-2", measures=TRANSFER)


@pytest.mark.parametrize("outcome", [ids.OUTCOME_UNSPECIFIED, GRANTED])
def test_remedy_against_one_courts_decision_stops_the_orders_of_another_before_it_is_told_abroad(
    law: Countries, outcome: ids.Outcome.ValueType
) -> None:
    request = ask(law)
    _, contested = decide(law, request)
    fits: dict[str, Any] = {"case_id": "DE-2", "measures": BLOCK}
    court = f"{THEIR_COURT}-2"
    referral = law.send(ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, court, cites=request, **fits)
    fits |= {"outcome": GRANTED, "dual_criminality": VERIFIED}
    decision = law.send(ids.KIND_REVIEW_DECISION, court, THEIR_CENTRAL, cites=referral, **fits)
    order: dict[str, Any] = {"cites": decision, "case_id": "ORDER-2", "measures": BLOCK}
    notify(law, request)
    suspends: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    filed = law.send(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, cites=contested, case_id="DE-1", **suspends)
    if outcome:
        decide_claim(law, filed, outcome)
    assert refused(law, ids.KIND_DOMESTIC_ORDER, court, THEIR_EXCHANGE, **order) is ErrorCode.OUT_OF_ORDER
    if not outcome:
        decide_claim(law, filed, REFUSED)
        law.send(ids.KIND_DOMESTIC_ORDER, court, THEIR_EXCHANGE, **order)


@pytest.mark.parametrize("is_held", [True, False])
def test_remedy_is_decided_though_the_request_was_taken_back_from_the_court_and_bars_no_other_for_ever(
    law: Countries, is_held: bool
) -> None:
    request = ask(law)
    first, contested = decide(law, request)
    order = ordered(law, contested)
    referral = refer_elsewhere(law, request)
    decide_elsewhere(law, referral)
    (decision,) = [ref_of(each) for each in law.headers("de") if each.sender == f"{THEIR_COURT}-2"]
    suspends: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    filed = law.send(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, cites=contested, case_id="DE-1", **suspends)
    if not is_held:
        release: dict[str, Any] = {"cites": order, "case_id": "ORDER-1", "outcome": GRANTED}
        ended = law.send(ids.KIND_RELEASE, THEIR_COURT, THEIR_EXCHANGE, **release)
        law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, **release | {"cites": ended})
    law.send(ids.KIND_WITHDRAWAL, THEIR_CENTRAL, THEIR_COURT, cites=first, case_id="DE-1")
    if is_held:
        assert law.state("de", first) is State.WITHDRAWN
        decide_claim(law, filed, REFUSED)
    else:
        law.send(ids.KIND_CLOSURE, THEIR_COURT, THEIR_CENTRAL, cites=contested, case_id="DE-1")
        assert law.state("de", first) is State.CLOSED  # nothing stands any more that anybody could contest
    also: dict[str, Any] = {"cites": decision, "case_id": "ORDER-2", "measures": BLOCK}
    law.send(ids.KIND_DOMESTIC_ORDER, f"{THEIR_COURT}-2", THEIR_EXCHANGE, **also)


def test_what_is_frozen_no_more_is_not_restituted_though_that_was_granted(law: Countries) -> None:
    freeze, _ = frozen(law, measures=BLOCK + TRANSFER)
    decision = grant_restitution(law, freeze)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=freeze)
    law.arrive()
    order: dict[str, Any] = {"cites": decision, "case_id": "ORDER-2", "measures": TRANSFER}
    assert refused(law, ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, **order) is ErrorCode.OUT_OF_ORDER


@pytest.mark.parametrize("has_disclosed", [True, False])
def test_what_was_never_validated_is_not_had_by_way_of_its_enforcement(law: Countries, has_disclosed: bool) -> None:
    evidence_of: dict[str, Any] = {"measures": (), "data_classes": WHO, "urgency": EMERGENCY}
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, countersigned_by=(), data_classes=WHO, urgency=EMERGENCY)
    decide(law, request, **evidence_of)
    notify(law, request, **evidence_of)
    enforcement = ask(law, ids.KIND_ENFORCEMENT_REQUEST, cites=request)
    scope: dict[str, Any] = {"measures": (), "data_classes": WHO}
    _, decision = decide(law, enforcement, **scope)
    notify(law, enforcement, **scope)
    order: dict[str, Any] = {"cites": decision, "case_id": "ORDER-1", **scope}
    given: dict[str, Any] = {"cites": enforcement, **scope}
    if has_disclosed:
        order["cites"] = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, **order)
        law.send(ids.KIND_DISCLOSURE, THEIR_EXCHANGE, THEIR_COURT, **order)
        law.send(ids.KIND_DISCLOSURE, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **scope)
    law.wait(hours=49)
    assert law.state("de", request) is State.TO_DELETE  # 2023/1543 Art. 4(5)
    if has_disclosed:
        assert refused(law, ids.KIND_DISCLOSURE, THEIR_CENTRAL, INVESTIGATOR, **given) is ErrorCode.OUT_OF_ORDER
    else:
        assert refused(law, ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, **order) is ErrorCode.OUT_OF_ORDER


def test_decision_on_another_claim_does_not_lift_a_suspension(law: Countries) -> None:
    request, _ = frozen(law)
    first, _ = claim(law, request, POSTPONED)
    bogus, _ = claim(law, request, NONE)
    decide_claim(law, bogus, REFUSED)
    assert law.state("de", referral_on(law)) is State.SUSPENDED
    decide_claim(law, first, REFUSED)
    assert law.state("de", referral_on(law)) is State.EXECUTED


def test_second_claim_suspends_after_the_first_is_dismissed(law: Countries) -> None:
    request, _ = frozen(law)
    (first, abroad), (second, _) = claim(law, request, POSTPONED), claim(law, request, POSTPONED)
    decide_claim(law, first, REFUSED)
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=REFUSED)
    law.arrive()
    states = law.state("de", referral_on(law)), law.state("ee", request), law.state("de", request)
    assert states == (State.SUSPENDED,) * 3
    decide_claim(law, second, REFUSED)
    assert law.state("de", referral_on(law)) is State.EXECUTED


def test_remedy_between_grant_and_execution_is_told_and_stops_every_order_until_it_is_dismissed(law: Countries) -> None:
    request = ask(law)
    _, decision = decide(law, request)
    notify(law, request)
    filed, abroad = claim(law, request, POSTPONED)
    again: dict[str, Any] = {"cites": decision, "case_id": "ORDER-1", "measures": BLOCK}
    assert refused(law, ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, **again) is ErrorCode.OUT_OF_ORDER
    decide_claim(law, filed, REFUSED)
    # The court has dismissed it, and that is not told abroad yet.
    assert refused(law, ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, **again) is ErrorCode.OUT_OF_ORDER
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=REFUSED)
    law.arrive()
    states = law.state("de", referral_on(law)), law.state("ee", request), law.state("de", request)
    assert states == (State.GRANTED,) * 3
    ordered(law, decision)


def test_what_was_ordered_before_a_remedy_is_suspended_once_it_is_reported(law: Countries) -> None:
    request = ask(law)
    _, decision = decide(law, request)
    notify(law, request)
    order = ordered(law, decision)
    filed, abroad = claim(law, request, POSTPONED)
    held: dict[str, Any] = {"outcome": ids.OUTCOME_PARTLY_GRANTED, "measures": BLOCK}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **held)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **held)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, cites=request, **held)
    law.arrive()
    states = law.state("de", referral_on(law)), law.state("ee", request), law.state("de", request)
    assert states == (State.SUSPENDED,) * 3
    decide_claim(law, filed, REFUSED)
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=REFUSED)
    law.arrive()
    states = law.state("de", referral_on(law)), law.state("ee", request), law.state("de", request)
    assert states == (State.PARTLY_EXECUTED,) * 3


@pytest.mark.parametrize("answered", ["before", "meanwhile", "after"])
def test_remedy_while_the_issuer_is_asked_to_limit_leaves_the_question_as_it_stands(
    law: Countries, answered: str
) -> None:
    request, _ = frozen(law)
    asked = law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()

    def answer() -> None:
        law.send(ids.KIND_LIMITATION_ANSWER, INVESTIGATOR, THEIR_CENTRAL, cites=asked, outcome=REFUSED)

    if answered == "before":
        answer()  # and it crosses with the claim
    filed, abroad = claim(law, request, POSTPONED)
    assert law.state("ee", request) is law.state("de", request)
    if answered == "meanwhile":
        answer()
        law.arrive()
        assert law.state("ee", request) is law.state("de", request) is State.SUSPENDED
    decide_claim(law, filed, REFUSED)
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=REFUSED)
    if answered == "after":
        answer()
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.EXECUTED
    assert not law.clocks("de", request)


def test_answer_that_never_arrived_is_given_again(law: Countries) -> None:
    request, _ = frozen(law)
    filed, abroad = claim(law, request, POSTPONED)
    decide_claim(law, filed, REFUSED)
    answer: dict[str, Any] = {"cites": abroad, "outcome": REFUSED}
    soon = to_micros(law.now + timedelta(minutes=1))
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, **answer, expires_at_us=soon)
    law.wait(minutes=2)
    law.sweep()
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.SUSPENDED
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, **answer)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.EXECUTED
    assert refused(law, ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, **answer) is ErrorCode.OUT_OF_ORDER


def test_claim_whose_dismissal_never_arrived_suspends_what_is_reported_meanwhile(law: Countries) -> None:
    request, _ = frozen(law)
    (filed, abroad), (other, told_of) = claim(law, request, POSTPONED), claim(law, request, POSTPONED)
    decide_claim(law, filed, REFUSED)
    decide_claim(law, other, REFUSED)
    soon = to_micros(law.now + timedelta(minutes=1))
    lost: dict[str, Any] = {"cites": abroad, "outcome": REFUSED, "expires_at_us": soon}
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, **lost)
    law.wait(minutes=2)
    law.sweep()
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=told_of, outcome=REFUSED)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.SUSPENDED


@pytest.mark.parametrize(("comes_back", "state"), [(True, State.EXECUTED), (False, State.SUSPENDED)])
def test_claim_suspends_unless_the_other_node_would_not_even_sign_that_it_refuses_it(
    law: Countries, comes_back: bool, state: State
) -> None:
    request = ask(law)
    _, decision = decide(law, request)
    notify(law, request)
    order = ordered(law, decision)
    suspends: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    law.send(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **suspends)
    soon = to_micros(law.now + timedelta(days=1))
    sent = law.send(ids.KIND_CLAIM, THEIR_CENTRAL, INVESTIGATOR, cites=request, **suspends, expires_at_us=soon)
    node = law.nodes["de"]
    # Its own node had refused it at first, and took it when it was handed in again.
    for milestone in (pb.MILESTONE_REFUSED, pb.MILESTONE_ACCEPTED):
        with world.transaction(node.connection, law.now, "de") as txn:
            fields: dict[str, Any] = {"fingerprint": txn.fingerprint(sent) or b"", "milestone": milestone}
            txn.state(pb.Statement(envelope=sent, issuer="de/node", at_us=to_micros(law.now), **fields))
    if comes_back:
        law.on_the_way.clear()
        with world.transaction(node.connection, law.now, "de") as txn:
            copies = txn.deliveries.lease("ee/node", "courier", soon, 100, 1 << 20)
            (leased,) = [each for each in copies if each.receipt is None]
            error = errors_pb2.Error(code=errors_pb2.ERROR_CODE_MALFORMED)
            node.scribe.answered(leased, mailbox_pb2.Answer(error=error), txn)
    held: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **held)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **held)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, cites=request, **held)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is state


@pytest.mark.parametrize("comes_back", [True, False])
def test_time_to_answer_begins_with_the_receipt_of_the_other_node(law: Countries, comes_back: bool) -> None:
    request, _ = frozen(law)
    soon = to_micros(law.now + timedelta(days=9))
    fields: dict[str, Any] = {"cites": request, "expires_at_us": soon}
    asked = law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, **fields)
    law.on_the_way.clear()
    law.wait(days=8)
    node = law.nodes["de"]
    with world.transaction(node.connection, law.now, "de") as txn:
        copies = txn.deliveries.lease("ee/node", "courier", soon, 100, 1 << 20)
        (leased,) = [each for each in copies if each.receipt is None]
        milestone = pb.MILESTONE_REFUSED if comes_back else pb.MILESTONE_ACCEPTED
        fingerprint = txn.fingerprint(asked) or b""
        said = pb.Statement(envelope=asked, fingerprint=fingerprint, milestone=milestone, issuer="ee/node")
        said.at_us = txn.now_us
        said.code = errors_pb2.ERROR_CODE_OUT_OF_ORDER if comes_back else errors_pb2.ERROR_CODE_UNSPECIFIED
        (receipt,) = statement.issue([said], Address.of_node("ee"), world.signing_key("ee/node"))
        node.scribe.answered(leased, mailbox_pb2.Answer(receipt=receipt), txn)
    # Six weeks from Tuesday, 10 March, or none at all.
    due = {measures.CLOCK_RULE_LIMITATION_ANSWER: datetime(2026, 4, 21, 21, 0, tzinfo=UTC)}
    assert running(law, request) == ({} if comes_back else due)
    assert law.state("de", request) is (State.EXECUTED if comes_back else State.LIMITING)
    found = fsck.check(node.connection, node="de")
    assert not [each.first for each in found if each.check in (fsck.Check.MOVES, fsck.Check.CLOCKS) and each.first]


def test_what_expired_on_its_way_is_told_of_with_that_code(law: Countries) -> None:
    soon = to_micros(law.now + timedelta(minutes=1))
    fields: dict[str, Any] = {"measures": BLOCK, "countersigned_by": (CENTRAL,), "expires_at_us": soon}
    request = law.send(ids.KIND_FREEZE_REQUEST, INVESTIGATOR, THEIR_CENTRAL, **fields)
    law.wait(minutes=2)
    law.sweep()
    assert [(to, word.code) for to, word in law.said(pb.MILESTONE_EXPIRED, request)] == [
        (INVESTIGATOR, errors_pb2.ERROR_CODE_EXPIRED)
    ]


def test_second_claim_suspends_though_the_first_never_arrived(law: Countries) -> None:
    request, _ = frozen(law)
    suspends: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    law.send(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, cites=decision_on(law), case_id="DE-1", **suspends)
    soon = to_micros(law.now + timedelta(minutes=1))
    law.send(ids.KIND_CLAIM, THEIR_CENTRAL, INVESTIGATOR, cites=request, **suspends, expires_at_us=soon)
    law.send(ids.KIND_CLAIM, THEIR_CENTRAL, INVESTIGATOR, cites=request, **suspends)
    law.wait(minutes=2)
    law.sweep()
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.SUSPENDED


def test_what_was_reported_beside_a_question_that_never_arrived_stands_at_both_nodes(law: Countries) -> None:
    request, order = frozen(law)
    soon = to_micros(law.now + timedelta(minutes=1))
    law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request, expires_at_us=soon)
    held: dict[str, Any] = {"outcome": ids.OUTCOME_PARTLY_GRANTED, "measures": BLOCK}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **held)
    told: dict[str, Any] = {"cites": decision_on(law), "case_id": "DE-1", **held}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, **told)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, cites=request, **held)
    law.wait(minutes=2)
    law.sweep()
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.PARTLY_EXECUTED
    assert not [
        each
        for each in fsck.check(law.nodes["de"].connection, node="de")
        if each.check is fsck.Check.MOVES and each.first
    ]


def granted(law: Countries) -> tuple[Ref, Ref]:
    """Return a request that was granted, and the order to the exchange."""
    request = ask(law)
    _, decision = decide(law, request)
    notify(law, request)
    return request, ordered(law, decision)


def report(law: Countries, request: Ref, order: Ref, outcome: ids.Outcome.ValueType, **fields: Any) -> Ref:
    """Report from the exchange to the issuer, and leave the last report on its way."""
    held: dict[str, Any] = {"outcome": outcome, "measures": BLOCK}
    if outcome == REFUSED:
        held = {"outcome": outcome, "ground": ids.GROUND_NOT_AT_PLACE}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **held)
    decided: dict[str, Any] = {"cites": decision_on(law), "case_id": "DE-1", **held}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, **decided)
    return law.send(ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, cites=request, **held, **fields)


def expire(law: Countries) -> None:
    """Let expire what is on its way and may not travel for days, and the rest arrive."""
    law.wait(days=2)
    law.sweep()
    law.arrive()


def soon(law: Countries) -> dict[str, int]:
    return {"expires_at_us": to_micros(law.now + timedelta(days=1))}


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (GRANTED, State.EXECUTED),
        (ids.OUTCOME_PARTLY_GRANTED, State.PARTLY_EXECUTED),
        (REFUSED, State.UNAVAILABLE),
    ],
)
def test_report_counts_though_the_same_had_been_reported_before_and_that_never_arrived(
    law: Countries, outcome: ids.Outcome.ValueType, state: State
) -> None:
    request, order = granted(law)
    report(law, request, order, outcome, **soon(law))
    report(law, request, order, outcome)
    expire(law)
    assert stand(law, request) is state


def test_postponement_counts_though_one_before_it_never_arrived(law: Countries) -> None:
    request = ask(law)
    later: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_ONGOING_INVESTIGATION}
    later |= {"dual_criminality": ids.DUAL_CRIMINALITY_NOT_REACHED}
    passed: dict[str, Any] = {"case_id": "DE-1", "measures": BLOCK}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, cites=request, **passed)
    law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, THEIR_CENTRAL, cites=referral, case_id="DE-1", **later)
    for fields in (soon(law), {}):
        law.send(ids.KIND_REVIEW_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=request, **later, **fields)
    expire(law)
    assert stand(law, request) is State.POSTPONED


def test_question_and_the_lapse_behind_it_that_came_in_one_moment_stay_in_their_order(law: Countries) -> None:
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY, countersigned_by=())
    law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.wait(days=9)
    law.arrive()
    assert stand(law, request) is State.TO_DELETE
    law.send(ids.KIND_CLOSURE, INVESTIGATOR, THEIR_CENTRAL, cites=request, **soon(law))
    expire(law)
    assert stand(law, request) is State.TO_DELETE


def test_claim_suspends_nothing_that_was_never_reported_abroad(law: Countries) -> None:
    request, order = granted(law)
    report(law, request, order, GRANTED, **soon(law))
    suspends: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    told = {"cites": decision_on(law), "case_id": "DE-1", **suspends}
    filed = law.send(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, **told)
    abroad = law.send(ids.KIND_CLAIM, THEIR_CENTRAL, INVESTIGATOR, cites=request, **suspends)
    assert law.state("de", request) is State.SUSPENDED
    expire(law)
    assert stand(law, request) is State.GRANTED
    decide_claim(law, filed, REFUSED)
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=REFUSED)
    law.arrive()
    assert stand(law, request) is State.GRANTED


def test_report_counts_that_crossed_with_a_withdrawal_which_never_arrived(law: Countries) -> None:
    request, order = granted(law)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request, **soon(law))
    report(law, request, order, GRANTED)
    law.arrive_at("ee")
    assert law.state("ee", request) is State.WITHDRAWN
    expire(law)
    assert stand(law, request) is State.EXECUTED


def test_issuer_who_was_never_asked_has_not_been_silent(law: Countries) -> None:
    request, _ = frozen(law)
    late = {"expires_at_us": to_micros(law.now + timedelta(days=50))}
    law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request, **late)
    law.wait(days=49)
    assert law.state("de", request) is State.LIMITING
    expire(law)
    assert stand(law, request) is State.EXECUTED


def test_duty_that_was_done_twice_and_told_once_is_not_overdue(law: Countries) -> None:
    request = ask(law, ids.KIND_EVIDENCE_REQUEST)
    scope: dict[str, Any] = {"measures": (), "data_classes": WHO}
    _, decision = decide(law, request, **scope)
    notify(law, request, **scope)
    order: dict[str, Any] = {"case_id": "ORDER-1", "data_classes": WHO}
    order["cites"] = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, **order)
    law.send(ids.KIND_DISCLOSURE, THEIR_EXCHANGE, THEIR_COURT, **order)
    law.send(ids.KIND_DISCLOSURE, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", data_classes=WHO)
    for fields in (soon(law), {}):
        law.send(ids.KIND_DISCLOSURE, THEIR_CENTRAL, INVESTIGATOR, cites=request, data_classes=WHO, **fields)
    assert measures.CLOCK_RULE_PRODUCTION not in running(law, request)
    expire(law)
    assert measures.CLOCK_RULE_PRODUCTION not in running(law, request)


def test_what_is_lost_costs_no_question_for_each_of_what_arrived(
    law: Countries, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, order = granted(law)
    asked: list[str] = []
    asks = type(law.nodes["de"].connection).ask

    def ask_and_count(self: Any, text: str, *rest: Any) -> Any:
        asked.append(text)
        return asks(self, text, *rest)

    monkeypatch.setattr(type(law.nodes["de"].connection), "ask", ask_and_count)
    counts = []
    for many in (2, 20):
        for _ in range(many):
            report(law, request, order, GRANTED)
        law.arrive()
        report(law, request, order, GRANTED, **soon(law))
        law.wait(days=2)
        asked.clear()
        law.sweep()
        counts.append(len(asked))
    assert counts[0] == counts[1] > 0


def test_claim_is_decided_once(law: Countries) -> None:
    request, _ = frozen(law)
    filed, _ = claim(law, request, POSTPONED)
    decide_claim(law, filed, REFUSED)
    with pytest.raises(Refusal) as caught:
        decide_claim(law, filed, GRANTED)
    assert caught.value.code is ErrorCode.OUT_OF_ORDER


def test_claim_is_decided_and_told_abroad_though_all_that_it_was_about_has_ended(law: Countries) -> None:
    request, order = frozen(law)
    filed, abroad = claim(law, request, POSTPONED)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    release: dict[str, Any] = {"cites": order, "case_id": "ORDER-1", "outcome": GRANTED}
    ended = law.send(ids.KIND_RELEASE, THEIR_COURT, THEIR_EXCHANGE, **release)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, **release | {"cites": ended})
    law.send(ids.KIND_RELEASE, THEIR_CENTRAL, INVESTIGATOR, cites=request, outcome=GRANTED)
    law.send(ids.KIND_CLOSURE, THEIR_COURT, THEIR_CENTRAL, cites=decision_on(law), case_id="DE-1")
    law.arrive()
    decide_claim(law, filed, GRANTED)  # whoever was affected may have damages to claim (2018/1805 Art. 34)
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=GRANTED)
    law.arrive()
    assert law.state("de", referral_on(law)) is State.CLOSED
    assert law.state("ee", request) is law.state("de", request) is State.RELEASED
    assert not law.refused


def test_claim_that_is_upheld_binds_nobody_any_more_though_it_did_not_suspend(law: Countries) -> None:
    request, _ = frozen(law)
    filed, _ = claim(law, request, NONE)
    decide_claim(law, filed, GRANTED)
    assert law.state("de", referral_on(law)) is State.UNBOUND


@pytest.mark.parametrize("limiting", [True, False])
def test_nobody_owes_anything_on_what_a_claim_was_upheld_against(law: Countries, limiting: bool) -> None:
    request = ask(law, urgency=URGENT)
    _, decision = decide(law, request)
    notify(law, request)
    if limiting:
        execute(law, request, decision)
        law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
        law.arrive()
    rule = measures.CLOCK_RULE_LIMITATION_ANSWER if limiting else measures.CLOCK_RULE_URGENT_EXECUTION
    filed, abroad = claim(law, request, POSTPONED)
    decide_claim(law, filed, GRANTED)
    assert rule in running(law, request)
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=GRANTED)
    law.arrive()
    law.wait(days=43)
    assert law.state("de", request) is State.UNBOUND
    assert overdue(law, request) == {measures.CLOCK_RULE_RELEASE}


def test_duty_to_execute_rests_while_a_remedy_forbids_it(law: Countries) -> None:
    request = ask(law, urgency=URGENT)
    decide(law, request)
    notify(law, request)
    due = running(law, request)[measures.CLOCK_RULE_URGENT_EXECUTION]
    claim(law, request, NONE)  # which suspends nothing
    law.wait(hours=1)
    claims = [claim(law, request, POSTPONED), claim(law, request, POSTPONED)]
    for filed, abroad in claims:
        law.wait(days=5)
        decide_claim(law, filed, REFUSED)
        law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=REFUSED)
        law.arrive()
    assert running(law, request)[measures.CLOCK_RULE_URGENT_EXECUTION] == due + timedelta(days=10)
    assert not told(law, OVERDUE, request)


def decide_elsewhere(law: Countries, referral: Ref) -> None:
    granted: dict[str, Any] = {"case_id": "DE-2", "measures": BLOCK, "outcome": GRANTED, "dual_criminality": VERIFIED}
    law.send(ids.KIND_REVIEW_DECISION, f"{THEIR_COURT}-2", THEIR_CENTRAL, cites=referral, **granted)


def refer_elsewhere(law: Countries, request: Ref) -> Ref:
    fields: dict[str, Any] = {"case_id": "DE-2", "measures": BLOCK}
    return law.send(ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, f"{THEIR_COURT}-2", cites=request, **fields)


def test_nobody_has_48_hours_to_execute_what_was_withdrawn_before_the_court_decided(law: Countries) -> None:
    request = ask(law, urgency=URGENT)
    referral = refer_elsewhere(law, request)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    decide_elsewhere(law, referral)
    law.wait(hours=50)
    assert not law.said(OVERDUE, request)


@pytest.mark.parametrize("outcome", [NONE, GRANTED])
@pytest.mark.parametrize("is_done", [True, False])
def test_nobody_has_48_hours_to_execute_what_a_claim_forbids_though_another_court_grants_it(
    law: Countries, outcome: ids.Outcome.ValueType, is_done: bool
) -> None:
    request = ask(law, urgency=URGENT)
    referral = refer_elsewhere(law, request)
    _, decision = decide(law, request)
    notify(law, request)
    if is_done:
        execute(law, request, decision)
    fields: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    filed = law.send(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **fields)
    abroad = law.send(ids.KIND_CLAIM, THEIR_CENTRAL, INVESTIGATOR, cites=request, **fields)
    if outcome:
        decide_claim(law, filed, outcome)
        law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=outcome)
    law.arrive()
    decide_elsewhere(law, referral)
    law.wait(hours=50)
    assert not law.said(OVERDUE, request)
    if not outcome:
        decide_claim(law, filed, REFUSED)
        law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=REFUSED)
        law.wait(hours=50)
        assert law.said(OVERDUE, request), "now it may be executed"


def test_nobody_has_48_hours_to_execute_what_binds_nobody_any_more(law: Countries) -> None:
    request = ask(law, urgency=URGENT)
    referral = refer_elsewhere(law, request)
    _, decision = decide(law, request)
    notify(law, request)
    execute(law, request, decision)
    law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    law.wait(days=42)
    decide_elsewhere(law, referral)
    assert measures.CLOCK_RULE_URGENT_EXECUTION in running(law, request)
    law.wait(days=9)
    assert law.state("de", request) is State.UNBOUND  # 2018/1805 Art. 12(2): "no longer be obliged to execute"
    assert overdue(law, request) == {measures.CLOCK_RULE_RELEASE}


def test_48_hours_to_execute_are_no_longer_because_another_court_decides_too(law: Countries) -> None:
    request = ask(law, urgency=URGENT)
    referral = refer_elsewhere(law, request)
    decide(law, request)
    due = running(law, request)[measures.CLOCK_RULE_URGENT_EXECUTION]
    law.wait(hours=40)
    decide_elsewhere(law, referral)
    assert running(law, request) == {measures.CLOCK_RULE_URGENT_EXECUTION: due}


def test_order_cannot_end_before_it_was_made(law: Countries) -> None:
    request = ask(law)
    _, decision = decide(law, request)
    fields: dict[str, Any] = {"case_id": "ORDER-1", "measures": BLOCK, "in_force_until_us": to_micros(NOON) - 1}
    code = refused(law, ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, **fields)
    assert code is ErrorCode.OUT_OF_ORDER


# An FIU that wants to freeze without a judge, or for longer.


def held(law: Countries) -> tuple[Ref, Ref]:
    request = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK)
    law.arrive()
    fields: dict[str, Any] = {"case_id": "HOLD-1", "measures": BLOCK}
    return request, order_at_once(law, request, **fields)


def test_exchange_is_not_told_which_authority_abroad_asks(law: Countries) -> None:
    request, order = held(law)
    fields: dict[str, Any] = {"case_id": "HOLD-2", "measures": BLOCK}
    direct = refused(law, ids.KIND_PROVISIONAL_ORDER, "de/fiu", THEIR_EXCHANGE, cites=request, **fields)
    assert direct is ErrorCode.OUT_OF_ORDER
    known = acknowledge(law, request)
    signed = {"countersigned_by": ("ee/fiu",)}
    by_name = refused(law, ids.KIND_PROVISIONAL_ORDER, "de/fiu", THEIR_EXCHANGE, cites=known, **signed, **fields)
    assert by_name is ErrorCode.OUT_OF_ORDER
    told = [each for each in law.headers("de") if THEIR_EXCHANGE in each.recipients]
    assert [each.id for each in told] == [order.id]
    assert b"ee/" not in told[0].SerializeToString()
    assert request.id.encode() not in told[0].SerializeToString()


@pytest.mark.parametrize("who", ["ee/fiu", "ee/node"])
def test_exchange_is_told_of_nobody_abroad_whatever_the_table_says(who: str) -> None:
    order = pb.Header(
        recipients=[THEIR_EXCHANGE], cites=[ids.EnvelopeRef(sender="de/fiu"), ids.EnvelopeRef(sender=who)]
    )
    with pytest.raises(Refusal) as caught:
        row_checks.check_names_nobody_abroad(order, (), DIRECTORY)
    assert (caught.value.code, caught.value.field) == (ErrorCode.OUT_OF_ORDER, "cites[1].sender")
    del order.cites[1]
    row_checks.check_names_nobody_abroad(order, [pb.Signature(signer="de/fiu")], DIRECTORY)
    with pytest.raises(Refusal) as caught:
        row_checks.check_names_nobody_abroad(order, [pb.Signature(signer=who)], DIRECTORY)
    assert (caught.value.code, caught.value.field) == (ErrorCode.OUT_OF_ORDER, "signatures[0].signer")


def test_order_of_a_program_before_that_named_who_asked_is_no_damage_of_the_store(
    law: Countries, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK)
    law.arrive()
    rule = Rule(ids.KIND_PROVISIONAL_ORDER, Role.FIU, Role.EXCHANGE, Where.HOME)
    now = BY_CITATION[rule, ids.KIND_ACKNOWLEDGEMENT]
    before = replace(now, cites=frozenset({ids.KIND_PROVISIONAL_FREEZE}), link=Link.PASSES_ON)
    with monkeypatch.context() as then:
        then.setattr(row_checks, "BY_CITATION", {(rule, ids.KIND_PROVISIONAL_FREEZE): before})
        then.setattr(row_checks, "check_names_nobody_abroad", lambda *_: None)
        fields: dict[str, Any] = {"case_id": "HOLD-1", "measures": BLOCK}
        order = law.send(ids.KIND_PROVISIONAL_ORDER, "de/fiu", THEIR_EXCHANGE, cites=request, **fields)
    wrong = {each.check for each in fsck.check(law.nodes["de"].connection, node="de") if each.first}
    assert wrong.isdisjoint({fsck.Check.CITATIONS, fsck.Check.MOVES, fsck.Check.TURNS, fsck.Check.CLOCKS})
    # Such an order still ends: by its giver's word, or with what was asked.
    law.send(ids.KIND_RELEASE, "de/fiu", THEIR_EXCHANGE, cites=order, case_id="HOLD-1", outcome=GRANTED)
    assert law.state("de", order) is State.RELEASING


def test_nothing_is_ordered_on_what_another_acknowledged(law: Countries) -> None:
    request = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK)
    law.arrive()
    known = acknowledge(law, request)
    fields: dict[str, Any] = {"cites": known, "case_id": "HOLD-1", "measures": BLOCK}
    by_another = refused(law, ids.KIND_PROVISIONAL_ORDER, "de/contact-point", THEIR_EXCHANGE, **fields)
    assert by_another is ErrorCode.UNKNOWN_CITATION
    more = fields | {"measures": (*BLOCK, ids.MEASURE_BLOCK_CONVERSION)}
    assert refused(law, ids.KIND_PROVISIONAL_ORDER, "de/fiu", THEIR_EXCHANGE, **more) is ErrorCode.EXCEEDS_GRANT
    # An exchange's word that it was served is none on what is asked abroad.
    order = law.send(ids.KIND_PROVISIONAL_ORDER, "de/fiu", THEIR_EXCHANGE, **fields)
    served = law.send(ids.KIND_ACKNOWLEDGEMENT, THEIR_EXCHANGE, "de/fiu", cites=order, case_id="HOLD-1")
    again = fields | {"cites": served, "case_id": "HOLD-2"}
    assert refused(law, ids.KIND_PROVISIONAL_ORDER, "de/fiu", THEIR_EXCHANGE, **again) is ErrorCode.OUT_OF_ORDER


def test_what_was_acknowledged_is_ordered_and_stands_though_the_acknowledgement_never_arrives(law: Countries) -> None:
    request = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK)
    law.arrive()
    soon = to_micros(law.now + timedelta(hours=1))
    known = law.send(ids.KIND_ACKNOWLEDGEMENT, "de/fiu", "ee/fiu", cites=request, expires_at_us=soon)
    fields: dict[str, Any] = {"cites": known, "measures": BLOCK}
    order = law.send(ids.KIND_PROVISIONAL_ORDER, "de/fiu", THEIR_EXCHANGE, case_id="HOLD-1", **fields)
    law.on_the_way.clear()
    law.wait(hours=2)
    law.sweep()
    assert law.state("ee", request) is law.state("de", request) is State.ASKED
    another = law.send(ids.KIND_PROVISIONAL_ORDER, "de/fiu", THEIR_EXCHANGE, case_id="HOLD-2", **fields)
    assert law.state("de", order) is law.state("de", another) is State.ASKED
    done: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, "de/fiu", cites=order, case_id="HOLD-1", **done)
    law.send(ids.KIND_EXECUTION_REPORT, "de/fiu", "ee/fiu", cites=request, **done)
    law.arrive()
    assert not law.refused
    assert law.state("ee", request) is law.state("de", request) is State.EXECUTED
    law.wait(days=9)
    assert law.state("de", order) is law.state("de", another) is State.LAPSED


def test_what_is_done_is_acknowledged_again_for_another_order_and_moves_nothing(law: Countries) -> None:
    request, order = held(law)
    done: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, "de/fiu", cites=order, case_id="HOLD-1", **done)
    law.send(ids.KIND_EXECUTION_REPORT, "de/fiu", "ee/fiu", cites=request, **done)
    order_at_once(law, request, case_id="HOLD-2", measures=BLOCK)
    assert not law.refused
    assert law.state("ee", request) is law.state("de", request) is State.EXECUTED


def judged(law: Countries, request: Ref, outcome: ids.Outcome.ValueType) -> Ref:
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/fiu", THEIR_COURT, cites=request, case_id="DE-1", measures=BLOCK)
    fields: dict[str, Any] = {"outcome": outcome, "dual_criminality": VERIFIED, "case_id": "DE-1"}
    fields |= {"measures": BLOCK} if outcome == GRANTED else {"ground": ids.GROUND_POLITICAL_OFFENCE}
    law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/fiu", cites=referral, **fields)
    return referral


CONFIRM: dict[str, Any] = {"case_id": "HOLD-1", "outcome": GRANTED, "measures": BLOCK}


def test_what_has_run_out_is_not_confirmed_though_its_node_was_down_and_has_not_said_so(law: Countries) -> None:
    request, order = held(law)
    judged(law, request, GRANTED)
    law.now += world.NOW - world.NOW.replace(year=world.NOW.year - 1)  # nobody rang
    code = refused(law, ids.KIND_CONFIRMATION, "de/fiu", THEIR_EXCHANGE, cites=order, **CONFIRM)
    assert code is ErrorCode.OUT_OF_ORDER
    law.wait(seconds=1)
    assert law.state("de", order) is State.LAPSED


def test_what_crosses_with_a_lapse_that_has_not_rung_lets_it_ring_first_and_changes_nothing(law: Countries) -> None:
    request, _ = held(law)
    law.send(ids.KIND_WITHDRAWAL, "ee/fiu", "de/fiu", cites=request)
    (clock,) = law.clocks("de", request)
    law.now = from_micros(clock.due_at_us)  # nobody rang
    law.arrive()
    assert not law.refused
    assert law.state("de", request) is State.LAPSED
    law.wait(seconds=1)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.LAPSED


def test_what_is_confirmed_in_time_stands_though_another_has_lapsed_and_nobody_said_so(law: Countries) -> None:
    law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK, case_id="EE-0")
    law.arrive()
    law.now += timedelta(days=1)
    request, order = held(law)
    (clock,) = law.clocks("de", request)
    judged(law, request, GRANTED)
    law.now = from_micros(clock.due_at_us) - timedelta(seconds=1)  # nobody rang
    law.send(ids.KIND_CONFIRMATION, "de/fiu", THEIR_EXCHANGE, cites=order, **CONFIRM)
    law.wait(days=30)
    assert law.state("de", order) is State.CONFIRMED
    assert not law.said(OVERDUE, order)


def test_objection_is_too_late_though_nobody_has_said_so(law: Countries) -> None:  # 2023/1543 Art. 12(1)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY)
    law.send(ids.KIND_VALIDATION, INVESTIGATOR, THEIR_CENTRAL, cites=request, countersigned_by=(CENTRAL,))
    law.arrive()
    law.now += timedelta(hours=97)  # nobody rang
    assert refused(law, ids.KIND_OBJECTION, THEIR_CENTRAL, INVESTIGATOR, cites=request) is ErrorCode.OUT_OF_ORDER


def test_what_one_state_had_held_keeps_another_from_nothing(law: Countries) -> None:
    hold: dict[str, Any] = {"measures": BLOCK, "target_tokens": [bytes(32)]}
    law.send(ids.KIND_PROVISIONAL_FREEZE, "de/fiu", "ee/fiu", **hold, case_id="DE-0")
    law.arrive()
    law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", **hold)
    law.arrive()
    again = refused(law, ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", **hold, case_id="EE-2")
    assert again is ErrorCode.OUT_OF_ORDER
    assert not law.refused


def test_what_a_judge_has_granted_in_time_does_not_lapse_because_the_fiu_forgets_to_confirm_it(law: Countries) -> None:
    request, order = held(law)
    referral = judged(law, request, GRANTED)
    decision = decision_on(law)
    block: dict[str, Any] = {"case_id": "ORDER-1", "measures": BLOCK}
    domestic = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, **block)
    law.wait(days=30)
    law.arrive()
    # What the FIU had ordered by itself ends; what the court ordered goes on, and so does what it goes on for.
    assert law.state("de", order) is State.LAPSED
    assert law.state("ee", request) is law.state("de", request) is State.ACKNOWLEDGED
    assert law.state("de", domestic) is State.ASKED
    law.send(ids.KIND_CONFIRMATION, "de/fiu", "ee/fiu", cites=request, **CONFIRM | {"case_id": "EE-1"})
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.CONFIRMED
    assert law.state("de", referral) is State.GRANTED


def test_freeze_whose_grant_was_taken_back_has_its_limit_again(law: Countries) -> None:
    request, _ = held(law)
    (limit,) = law.clocks("de", request)
    referral = judged(law, request, GRANTED)
    assert law.clocks("de", request) == []
    law.send(ids.KIND_WITHDRAWAL, "de/fiu", THEIR_COURT, cites=referral, case_id="DE-1")
    assert law.clocks("de", request) == []  # what the court may have ordered is to be ended first
    law.send(ids.KIND_CLOSURE, THEIR_COURT, "de/fiu", cites=decision_on(law), case_id="DE-1")
    assert [(clock.rule, clock.due_at_us) for clock in law.clocks("de", request)] == [(limit.rule, limit.due_at_us)]
    law.wait(days=9)
    law.arrive()
    assert stand(law, request) is State.LAPSED


def test_freeze_for_which_a_court_still_holds_something_does_not_lapse_under_it(law: Countries) -> None:
    request, _ = held(law)
    referral = judged(law, request, GRANTED)
    decision = decision_on(law)
    block: dict[str, Any] = {"case_id": "ORDER-1", "measures": BLOCK}
    order = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, **block)
    law.send(ids.KIND_WITHDRAWAL, "de/fiu", THEIR_COURT, cites=referral, case_id="DE-1")
    law.wait(days=30)
    closure: dict[str, Any] = {"cites": decision, "case_id": "DE-1"}
    assert refused(law, ids.KIND_CLOSURE, THEIR_COURT, "de/fiu", **closure) is ErrorCode.OUT_OF_ORDER
    done: dict[str, Any] = {"case_id": "ORDER-1", "outcome": GRANTED}
    release = law.send(ids.KIND_RELEASE, THEIR_COURT, THEIR_EXCHANGE, cites=order, **done)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=release, **done)
    assert law.state("de", request) is State.ACKNOWLEDGED
    law.send(ids.KIND_CLOSURE, THEIR_COURT, "de/fiu", **closure)
    law.wait(seconds=1)
    law.arrive()
    assert stand(law, request) is State.LAPSED


def test_freeze_that_another_grant_carries_does_not_lapse(law: Countries) -> None:
    request, _ = held(law)
    fields: dict[str, Any] = {"cites": request, "measures": BLOCK}
    referrals = [
        law.send(ids.KIND_REVIEW_REFERRAL, "de/fiu", THEIR_COURT, case_id=f"DE-{n}", **fields) for n in range(2)
    ]
    granted: dict[str, Any] = {"measures": BLOCK, "outcome": GRANTED, "dual_criminality": VERIFIED}
    decisions = [
        law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/fiu", cites=each, case_id=f"DE-{n}", **granted)
        for n, each in enumerate(referrals)
    ]
    for n, (referral, decision) in enumerate(zip(referrals, decisions, strict=True)):
        assert law.clocks("de", request) == []
        law.send(ids.KIND_WITHDRAWAL, "de/fiu", THEIR_COURT, cites=referral, case_id=f"DE-{n}")
        law.send(ids.KIND_CLOSURE, THEIR_COURT, "de/fiu", cites=decision, case_id=f"DE-{n}")
    assert len(law.clocks("de", request)) == 1
    assert stand(law, request) is State.ACKNOWLEDGED


def test_judge_who_grants_a_second_too_late_revives_nothing(law: Countries) -> None:
    request, _ = held(law)
    fields: dict[str, Any] = {"case_id": "DE-1", "measures": BLOCK}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/fiu", THEIR_COURT, cites=request, **fields)
    (clock,) = law.clocks("de", request)
    law.now = from_micros(clock.due_at_us)  # nobody rang
    fields |= {"outcome": GRANTED, "dual_criminality": VERIFIED}
    decision = law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/fiu", cites=referral, **fields)
    block: dict[str, Any] = {"cites": decision, "case_id": "ORDER-1", "measures": BLOCK}
    assert refused(law, ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, **block) is ErrorCode.OUT_OF_ORDER
    law.wait(seconds=1)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.LAPSED


def claimed(law: Countries) -> dict[str, Any]:
    request = ask(law)
    _, decision = decide(law, request)
    notify(law, request)
    claim(law, request, POSTPONED)
    order = {"kind": ids.KIND_DOMESTIC_ORDER, "sender": THEIR_COURT, "recipient": THEIR_EXCHANGE}
    return order | {"cites": decision, "case_id": "ORDER-1", "measures": BLOCK}


def never_validated(law: Countries) -> dict[str, Any]:
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, countersigned_by=(), urgency=EMERGENCY)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    release = {"kind": ids.KIND_RELEASE, "sender": THEIR_CENTRAL, "recipient": INVESTIGATOR}
    return release | {"cites": request, "outcome": GRANTED}


def only_kept(law: Countries) -> dict[str, Any]:
    fields: dict[str, Any] = {"case_id": "DE-1", "data_classes": WHO}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/contact-point", THEIR_COURT, cites=kept(law), **fields)
    granted: dict[str, Any] = {"cites": referral, "outcome": GRANTED, "dual_criminality": VERIFIED}
    decision = law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/contact-point", **fields, **granted)
    scope: dict[str, Any] = {"case_id": "ORDER-1", "data_classes": WHO}
    order = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, **scope)
    disclosure = {"kind": ids.KIND_DISCLOSURE, "sender": THEIR_EXCHANGE, "recipient": THEIR_COURT}
    return disclosure | {"cites": order} | scope


@pytest.mark.parametrize(
    ("step", "article"),
    [
        (claimed, "2018/1805 Art. 33(1)"),
        (never_validated, "2023/1543 Art. 4(5)"),
        (only_kept, "Budapest Convention Art. 16"),
    ],
)
def test_refusal_names_the_article_that_says_no_and_not_that_of_the_step(
    law: Countries, step: Callable[[Countries], dict[str, Any]], article: str
) -> None:
    with pytest.raises(Refusal) as caught:
        law.send(**step(law))
    assert caught.value.code is ErrorCode.OUT_OF_ORDER
    assert article in caught.value.detail


@pytest.mark.parametrize("ended", [None, timedelta(days=90)])
def test_court_does_not_end_a_freeze_early_by_calling_it_an_extension(law: Countries, ended: timedelta | None) -> None:
    request = ask(law)
    _, decision = decide(law, request)
    until = {} if ended is None else {"in_force_until_us": to_micros(NOON + ended)}
    fields: dict[str, Any] = {"case_id": "ORDER-1", "measures": BLOCK}
    order = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, **fields, **until)
    early: dict[str, Any] = {"cites": order, "case_id": "ORDER-1", "in_force_until_us": to_micros(NOON) + 1}
    assert refused(law, ids.KIND_EXTENSION, THEIR_COURT, THEIR_EXCHANGE, **early) is ErrorCode.OUT_OF_ORDER


def test_what_was_taken_back_from_the_court_confirms_nothing(law: Countries) -> None:
    request, order = held(law)
    referral = judged(law, request, GRANTED)
    law.send(ids.KIND_WITHDRAWAL, "de/fiu", THEIR_COURT, cites=referral, case_id="DE-1")
    code = refused(law, ids.KIND_CONFIRMATION, "de/fiu", THEIR_EXCHANGE, cites=order, **CONFIRM)
    assert code is ErrorCode.OUT_OF_ORDER


def test_nothing_provisional_is_ordered_where_no_limit_would_end_it(law: Countries) -> None:
    request, order = held(law)
    judged(law, request, GRANTED)
    law.send(ids.KIND_CONFIRMATION, "de/fiu", THEIR_EXCHANGE, cites=order, **CONFIRM)
    (known,) = (each for each in law.headers("de") if each.kind == ids.KIND_ACKNOWLEDGEMENT)
    fields: dict[str, Any] = {"cites": ref_of(known), "case_id": "HOLD-2", "measures": BLOCK}
    assert refused(law, ids.KIND_PROVISIONAL_ORDER, "de/fiu", THEIR_EXCHANGE, **fields) is ErrorCode.OUT_OF_ORDER


def test_what_an_fiu_had_frozen_is_contested_before_the_court_and_stands_no_more_if_upheld(law: Countries) -> None:
    freeze, order, decision = granted_to_the_fiu(law)  # Directive 2024/1260 Art. 24(1), (3)
    filed = law.send(ids.KIND_CLAIM, THEIR_COURT, "de/fiu", cites=decision, case_id="DE-1")
    law.send(ids.KIND_CLAIM_DECISION, THEIR_COURT, "de/fiu", cites=filed, case_id="DE-1", outcome=GRANTED)
    granted: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK}
    abroad: dict[str, Any] = {"cites": freeze, **granted}
    assert refused(law, ids.KIND_CONFIRMATION, "de/fiu", "ee/fiu", **abroad) is ErrorCode.OUT_OF_ORDER
    here: dict[str, Any] = {"cites": order, "case_id": "A", **granted}
    assert refused(law, ids.KIND_CONFIRMATION, "de/fiu", THEIR_EXCHANGE, **here) is ErrorCode.OUT_OF_ORDER
    anew: dict[str, Any] = {"cites": acknowledge(law, freeze), "case_id": "B", "measures": BLOCK}
    assert refused(law, ids.KIND_PROVISIONAL_ORDER, "de/fiu", THEIR_EXCHANGE, **anew) is ErrorCode.OUT_OF_ORDER
    law.send(ids.KIND_CLOSURE, THEIR_COURT, "de/fiu", cites=decision, case_id="DE-1")
    assert measures.CLOCK_RULE_PROVISIONAL in running(law, freeze), "nothing carries it any more"


def test_what_an_fiu_had_frozen_stays_confirmed_while_it_is_contested(law: Countries) -> None:
    freeze, order, decision = granted_to_the_fiu(law)
    suspends: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    law.send(ids.KIND_CLAIM, THEIR_COURT, "de/fiu", cites=decision, case_id="DE-1", **suspends)
    granted: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK}
    # Or the assets would be gone before the court has decided.
    law.send(ids.KIND_CONFIRMATION, "de/fiu", THEIR_EXCHANGE, cites=order, case_id="A", **granted)
    law.send(ids.KIND_CONFIRMATION, "de/fiu", "ee/fiu", cites=freeze, **granted)
    law.arrive()
    assert law.state("ee", freeze) is law.state("de", freeze) is State.CONFIRMED
    further: dict[str, Any] = {"cites": decision, "case_id": "C", "measures": BLOCK}
    assert refused(law, ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, **further) is ErrorCode.OUT_OF_ORDER


def test_what_a_judge_had_confirmed_and_was_released_keeps_nobody_from_asking_at_once_again(law: Countries) -> None:
    target: dict[str, Any] = {"measures": BLOCK, "target_tokens": [bytes(32)]}
    freeze = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", **target)
    law.arrive()
    fields: dict[str, Any] = {"case_id": "DE-1", "measures": BLOCK}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/fiu", THEIR_COURT, cites=freeze, **fields)
    granted: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK}
    said: dict[str, Any] = {"cites": referral, "case_id": "DE-1", "dual_criminality": VERIFIED}
    law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/fiu", **said, **granted)
    law.send(ids.KIND_CONFIRMATION, "de/fiu", "ee/fiu", cites=freeze, **granted)
    law.arrive()
    law.send(ids.KIND_WITHDRAWAL, "ee/fiu", "de/fiu", cites=freeze)
    law.arrive()
    law.send(ids.KIND_RELEASE, "de/fiu", "ee/fiu", cites=freeze, outcome=GRANTED)
    law.arrive()
    assert law.state("ee", freeze) is law.state("de", freeze) is State.RELEASED
    again = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", **target)
    law.arrive()
    assert law.state("ee", again) is law.state("de", again) is State.ASKED


def test_one_provisional_freeze_does_not_follow_another_on_the_same_target(law: Countries) -> None:
    target: dict[str, Any] = {"measures": BLOCK, "target_tokens": [bytes([7] * 32)]}
    first = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", **target)
    law.arrive()
    for who in ("fiu", "contact-point"):
        asked = refused(law, ids.KIND_PROVISIONAL_FREEZE, f"ee/{who}", f"de/{who}", **target)
        assert asked is ErrorCode.OUT_OF_ORDER
    law.wait(days=9)
    law.arrive()
    assert law.state("ee", first) is State.LAPSED
    assert refused(law, ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", **target) is ErrorCode.OUT_OF_ORDER
    ask(law, target_tokens=[bytes([7] * 32)])  # in due form it may be asked


def test_after_a_judges_refusal_nothing_is_held_anew(law: Countries) -> None:
    request, _ = held(law)
    judged(law, request, REFUSED)
    fields: dict[str, Any] = {"cites": acknowledge(law, request), "case_id": "HOLD-2", "measures": BLOCK}
    assert refused(law, ids.KIND_PROVISIONAL_ORDER, "de/fiu", THEIR_EXCHANGE, **fields) is ErrorCode.OUT_OF_ORDER


# A State that wants more than the order.


def euros(amount: str) -> evidence.Money:
    return evidence.Money(currency="EUR", amount=amount)


def test_whole_order_is_not_asked_twice_though_the_second_request_cites_nothing(law: Countries) -> None:
    scope: dict[str, Any] = {
        "countersigned_by": (CENTRAL,),
        "measures": (ids.MEASURE_CONFISCATE,),
        "amount": euros("1000000"),
        "order_total": euros("1000000"),
    }
    ask(law, ids.KIND_CONFISCATION_REQUEST, **scope)
    code = refused(law, ids.KIND_CONFISCATION_REQUEST, INVESTIGATOR, "de/central-authority-2", **scope)
    assert code is ErrorCode.EXCEEDS_GRANT
    more = scope | {"amount": euros("1000000." + "0" * 17 + "1"), "case_id": "EE-2"}
    code = refused(law, ids.KIND_CONFISCATION_REQUEST, INVESTIGATOR, THEIR_CENTRAL, **more)
    assert code is ErrorCode.EXCEEDS_GRANT  # of 18 digits behind the point none is rounded away


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": euros("300000.01")}, ErrorCode.EXCEEDS_GRANT),
        ({"amount": euros("300000.01"), "case_id": "EE-2"}, ErrorCode.EXCEEDS_GRANT),
        ({"order_total": euros("2000000")}, ErrorCode.OUT_OF_ORDER),
    ],
    ids=["more than is left", "more than is left, in another case", "another total"],
)
def test_request_that_cites_the_first_on_one_order_shares_its_total(
    law: Countries, changes: dict[str, Any], code: ErrorCode
) -> None:
    scope: dict[str, Any] = {
        "countersigned_by": (CENTRAL,),
        "measures": (ids.MEASURE_CONFISCATE,),
        "order_total": euros("1000000"),
    }
    first = ask(law, ids.KIND_CONFISCATION_REQUEST, **scope, amount=euros("700000"))
    second: dict[str, Any] = {"cites": first, **scope, "amount": euros("300000")}
    to = "de/central-authority-2"
    assert refused(law, ids.KIND_CONFISCATION_REQUEST, INVESTIGATOR, to, **second | changes) is code
    law.send(ids.KIND_CONFISCATION_REQUEST, INVESTIGATOR, to, **second)


def test_court_is_not_asked_for_more_than_the_request_says(law: Countries) -> None:
    scope: dict[str, Any] = {"measures": (ids.MEASURE_CONFISCATE,)}
    request = ask(law, ids.KIND_CONFISCATION_REQUEST, amount=euros("9"), order_total=euros("9"))
    fields: dict[str, Any] = {"cites": request, "case_id": "DE-1", **scope}
    for sum_, code in (
        (euros("10"), ErrorCode.EXCEEDS_GRANT),
        (evidence.Money(currency="CHF", amount="9"), ErrorCode.EXCEEDS_GRANT),
    ):
        assert refused(law, ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, **fields, amount=sum_) is code
    law.send(ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, **fields, amount=euros("9.00"))


def test_request_forwarded_in_a_circle_leaves_room_for_its_release(law: Countries) -> None:
    here, there = THEIR_CENTRAL, "de/central-authority-2"
    scope: dict[str, Any] = {"countersigned_by": (CENTRAL,), "measures": BLOCK}
    request = law.send(ids.KIND_FREEZE_REQUEST, INVESTIGATOR, here, **scope)
    for again in range(8):
        law.arrive()
        law.send(ids.KIND_FORWARDING, here, INVESTIGATOR, cites=request)
        law.arrive()
        here, there = there, here
        anew: dict[str, Any] = {"cites": request, **scope}
        if again == 7:
            assert refused(law, ids.KIND_FREEZE_REQUEST, INVESTIGATOR, here, **anew) is ErrorCode.OUT_OF_ORDER
        else:
            request = law.send(ids.KIND_FREEZE_REQUEST, INVESTIGATOR, here, **anew)


# A duty whose clock somebody wants to stop.


def test_urgent_request_stays_urgent_though_the_court_forgets_to_say_so(law: Countries) -> None:
    request = ask(law, urgency=URGENT)
    decide(law, request)
    assert set(running(law, request)) == {measures.CLOCK_RULE_URGENT_EXECUTION}


def test_decision_that_is_postponed_is_still_due(law: Countries) -> None:
    request = ask(law, urgency=URGENT)
    referral = law.send(
        ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, cites=request, case_id="DE-1", measures=BLOCK
    )
    fields: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_ONGOING_INVESTIGATION}
    law.send(
        ids.KIND_REVIEW_DECISION,
        THEIR_COURT,
        THEIR_CENTRAL,
        cites=referral,
        case_id="DE-1",
        dual_criminality=VERIFIED,
        **fields,
    )
    law.wait(days=3)
    assert told(law, OVERDUE, request) == {"ee/node", THEIR_CENTRAL}


def test_duty_to_produce_runs_on_when_it_is_granted_without_an_answer(law: Countries) -> None:
    request = ask(law, ids.KIND_EVIDENCE_REQUEST)
    law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    scope: dict[str, Any] = {"measures": (), "data_classes": WHO}
    decide(law, request, **scope)
    notify(law, request, **scope)
    law.wait(days=30)
    assert measures.CLOCK_RULE_PRODUCTION in {said.clock_rule for _, said in law.said(OVERDUE, request)}


# A node of another State that contradicts what it has said, or what is recorded here.


def say(law: Countries, about: Ref, milestone: pb.Milestone.ValueType, by: str = "de/node", **fields: Any) -> None:
    with law._transaction(law.nodes["ee"]) as txn:
        fingerprint = txn.fingerprint(about) or b""
    said = pb.Statement(
        envelope=about,
        fingerprint=fingerprint,
        milestone=milestone,
        issuer=by,
        at_us=to_micros(law.now),
        **fields,
    )
    (receipt,) = statement.issue([said], Address.parse(by, allow_node=True), world.signing_key(by))
    law.words.append(("ee", receipt))
    law.arrive()


def test_node_that_has_accepted_cannot_refuse_afterwards(law: Countries) -> None:
    request = ask(law)
    say(law, request, pb.MILESTONE_ACCEPTED)
    say(law, request, pb.MILESTONE_REFUSED, code=int(ErrorCode.OUT_OF_ORDER))
    assert law.state("ee", request) is State.ASKED
    assert [each.milestone for each in law.unheard] == [pb.MILESTONE_REFUSED]


def test_node_cannot_let_expire_what_has_no_end(law: Countries) -> None:
    request = ask(law)
    say(law, request, pb.MILESTONE_EXPIRED, recipient=THEIR_CENTRAL)
    assert law.state("ee", request) is State.ASKED


def kept(law: Countries) -> Ref:
    ref = law.send(ids.KIND_PRESERVATION_REQUEST, "ee/contact-point", "de/contact-point", data_classes=WHO)
    law.arrive()
    return ref


def provisional(law: Countries) -> Ref:
    ref = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK)
    law.arrive()
    return ref


@pytest.mark.parametrize(
    ("asked", "rule", "due_in"),
    [
        pytest.param(provisional, measures.CLOCK_RULE_PROVISIONAL, timedelta(microseconds=1), id="not due"),
        pytest.param(provisional, measures.CLOCK_RULE_PROVISIONAL, -timedelta(days=1), id="due before it was asked"),
        pytest.param(kept, measures.CLOCK_RULE_PRESERVATION, timedelta(0), id="60 days on the first"),
        pytest.param(kept, measures.CLOCK_RULE_PRESERVATION_EXTENSION, timedelta(0), id="never extended"),
        pytest.param(kept, measures.CLOCK_RULE_CLARIFICATION, timedelta(0), id="silent on no question"),
        pytest.param(
            lambda law: ask(law, ids.KIND_EVIDENCE_REQUEST),
            measures.CLOCK_RULE_EX_POST_VALIDATION,
            timedelta(0),
            id="no emergency",
        ),
        pytest.param(
            lambda law: ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY),
            measures.CLOCK_RULE_EX_POST_VALIDATION,
            timedelta(0),
            id="48 hours in the first",
        ),
        pytest.param(lambda law: frozen(law)[0], measures.CLOCK_RULE_LIMITATION_ANSWER, timedelta(0), id="not asked"),
    ],
)
def test_node_cannot_let_lapse_what_cannot_be_due(
    law: Countries, asked: Callable[[Countries], Ref], rule: measures.ClockRule.ValueType, due_in: timedelta
) -> None:
    request = asked(law)
    state = law.state("ee", request)
    say(law, request, pb.MILESTONE_LAPSED, clock_rule=rule, due_us=to_micros(law.now + due_in))
    assert law.state("ee", request) is state
    assert [each.milestone for each in law.unheard] == [pb.MILESTONE_LAPSED], "nobody is told of it"


def test_node_cannot_let_lapse_today_what_is_due_in_60_days(law: Countries) -> None:
    request, now = kept(law), law.now
    law.now += timedelta(days=70)
    (receipt,) = lapse_said(law, request)
    law.now = now
    law.words.append(("ee", receipt))
    law.arrive()
    assert law.state("ee", request) is State.ASKED
    assert [each.milestone for each in law.unheard] == [pb.MILESTONE_LAPSED]


def lapse_said(law: Countries, request: Ref) -> list[pb.Receipt]:
    """Return what its node would say now, of a preservation that lapses."""
    with law._transaction(law.nodes["ee"]) as txn:
        fingerprint = txn.fingerprint(request) or b""
    said = pb.Statement(envelope=request, fingerprint=fingerprint, milestone=pb.MILESTONE_LAPSED, issuer="de/node")
    said.clock_rule, said.at_us, said.due_us = measures.CLOCK_RULE_PRESERVATION, to_micros(law.now), to_micros(law.now)
    return statement.issue([said], Address.of_node("de"), world.signing_key("de/node"))


def test_who_has_answered_cannot_let_it_expire(law: Countries) -> None:
    expires: dict[str, Any] = {"expires_at_us": to_micros(NOON) + 3_600_000_000}
    request = ask(law, **expires)
    law.send(ids.KIND_ACKNOWLEDGEMENT, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    law.wait(hours=2)
    node, header, seq = law._copy(request)
    with law._transaction(node) as txn:
        node.scribe.acknowledged(None, False, seq, header.recipients[0], txn)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.ACKNOWLEDGED


def test_no_court_must_test_dual_criminality_before_data_are_kept(tmp_path: Path) -> None:
    law = countries(tmp_path, directory(no_dual_criminality=frozenset()))  # Budapest Convention Art. 29(3)
    who: dict[str, Any] = {"data_classes": WHO}
    request = law.send(ids.KIND_PRESERVATION_REQUEST, "ee/contact-point", "de/contact-point", **who)
    law.arrive()
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/contact-point", THEIR_COURT, cites=request, case_id="DE-1", **who)
    fields = who | {"outcome": GRANTED, "dual_criminality": ids.DUAL_CRIMINALITY_NOT_REQUIRED, "case_id": "DE-1"}
    law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/contact-point", cites=referral, **fields)
    assert law.state("de", referral) is State.GRANTED


def test_court_that_tested_the_conduct_needs_no_list_of_offences(tmp_path: Path) -> None:
    law = countries(tmp_path, directory(no_dual_criminality=frozenset()))  # 2018/1805 Art. 3(2)
    request = ask(law)
    fields: dict[str, Any] = {"cites": request, "case_id": "DE-1", "measures": BLOCK}
    fields["cites"] = law.send(ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, **fields)
    fields["outcome"] = GRANTED
    for untested in (ids.DUAL_CRIMINALITY_LISTED_OFFENCE, ids.DUAL_CRIMINALITY_NOT_REQUIRED):
        answer: dict[str, Any] = fields | {"dual_criminality": untested}
        code = refused(law, ids.KIND_REVIEW_DECISION, THEIR_COURT, THEIR_CENTRAL, **answer)
        assert code is ErrorCode.NO_LEGAL_BASIS
    law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, THEIR_CENTRAL, **fields, dual_criminality=VERIFIED)


def test_emergency_is_no_way_round_the_ministry_for_what_people_did(law: Countries) -> None:
    fields: dict[str, Any] = {"urgency": EMERGENCY, "data_classes": (ids.DATA_CLASS_CONTENT,)}
    code = refused(law, ids.KIND_EVIDENCE_REQUEST, INVESTIGATOR, THEIR_CENTRAL, **fields)
    assert code is ErrorCode.EXCEEDS_GRANT


# An exchange that would know what lies above its order.


def test_exchange_is_not_told_by_a_refusal_what_sum_another_state_asks(law: Countries) -> None:
    scope: dict[str, Any] = {"measures": (ids.MEASURE_CONFISCATE,)}
    request = ask(law, ids.KIND_CONFISCATION_REQUEST, amount=euros("9"), order_total=euros("9"))
    _, decision = decide(law, request, **scope)
    order = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, case_id="ORDER-1", **scope)
    found: dict[str, Any] = {"outcome": GRANTED, "amount": euros("10"), **scope}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **found)
    # Whoever knows of the request is held to it.
    passed_on: dict[str, Any] = {"cites": decision, "case_id": "DE-1", **found}
    assert refused(law, ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, **passed_on) is ErrorCode.EXCEEDS_GRANT


def test_exchange_is_not_told_by_a_refusal_what_another_state_asked(law: Countries) -> None:
    scope: dict[str, Any] = {"data_classes": WHO}
    request = law.send(ids.KIND_PRESERVATION_REQUEST, "ee/contact-point", "de/contact-point", **scope)
    law.arrive()
    fields: dict[str, Any] = {"cites": request, "case_id": "DE-1", **scope}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/contact-point", THEIR_COURT, **fields)
    fields |= {"cites": referral, "outcome": GRANTED, "dual_criminality": VERIFIED}
    decision = law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/contact-point", **fields)
    order = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, case_id="ORDER-1", **scope)
    disclosure = law.write(ids.KIND_DISCLOSURE, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **scope)
    told = law.would(disclosure)
    assert told is not None
    assert told.code is ErrorCode.OUT_OF_ORDER
    asked_abroad = {word(kind) for kind in ASKED_ABROAD}
    assert not {name for name in asked_abroad if name in told.detail}
