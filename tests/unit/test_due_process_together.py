"""Rules of due process that each hold alone, together: what one step lawfully does, another does not undo unseen."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway.clock import to_micros
from gateway.errors import ErrorCode
from gateway.rules import State
from gateway.store.matters import Stage
from tests.law import Countries, countries
from tests.lawful import (
    BLOCK,
    CENTRAL,
    EMERGENCY,
    GRANTED,
    INVESTIGATOR,
    REFUSED,
    THEIR_CENTRAL,
    THEIR_COURT,
    THEIR_EXCHANGE,
    VERIFIED,
    WHO,
    ask,
    by_court,
    by_exchange,
    by_issuer,
    by_ministry,
    decide,
    execute,
    frozen,
    granted_to_the_fiu,
    notify,
    refusal,
    refusal_at,
    release,
    report_back,
    running,
    stand,
    to_exchange,
)
from tests.reports import euros

OUT_OF_ORDER, EXCEEDS_GRANT = ErrorCode.OUT_OF_ORDER, ErrorCode.EXCEEDS_GRANT
TRANSFER, HOLD_INCOMING = (ids.MEASURE_TRANSFER,), (ids.MEASURE_HOLD_INCOMING,)
TAKE_DOWN: dict[str, Any] = {"measures": (ids.MEASURE_TAKE_DOWN,), "data_classes": ()}
CONFISCATE: dict[str, Any] = {"measures": (ids.MEASURE_CONFISCATE,)}
DATA: dict[str, Any] = {"data_classes": WHO, "measures": ()}
HELD: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK}
NOT_THERE: dict[str, Any] = {"outcome": REFUSED, "ground": ids.GROUND_NOT_AT_PLACE}
DESTROYED: dict[str, Any] = {"outcome": REFUSED, "ground": ids.GROUND_DESTROYED}
IMPOSSIBLE: dict[str, Any] = {"outcome": REFUSED, "ground": ids.GROUND_IMPOSSIBLE}
AT_ANOTHER: dict[str, Any] = {"case_id": "ORDER-2"}
TO_ANOTHER = AT_ANOTHER | {"recipient": f"{THEIR_EXCHANGE}-2"}
BY_ANOTHER = AT_ANOTHER | {"sender": f"{THEIR_EXCHANGE}-2"}
Ref = ids.EnvelopeRef


@pytest.fixture
def law(tmp_path: Path) -> Countries:
    return countries(tmp_path)


def granted(law: Countries, kind: ids.Kind.ValueType = ids.KIND_FREEZE_REQUEST, **scope: Any) -> tuple[Ref, Ref, Ref]:
    """Return a request, its referral, and the decision that grants it, which was told abroad."""
    request = ask(law, kind, **scope)
    named = {name: scope[name] for name in ("measures", "data_classes") if name in scope}
    referral, decision = decide(law, request, **named)
    notify(law, request, **named)
    return request, referral, decision


# A transfer takes two persons (2018/1805 Art. 28, 30(6)).


def test_transfer_is_not_reported_on_an_order_that_one_person_signed(law: Countries) -> None:
    _, _, decision = granted(law, measures=BLOCK + TRANSFER)
    order = law.send(**to_exchange(decision, measures=BLOCK + TRANSFER))
    moved: dict[str, Any] = {"outcome": GRANTED, "measures": TRANSFER}
    assert refusal(law, **by_exchange(order, **moved)) == (EXCEEDS_GRANT, "measures[0]")
    assert refusal(law, **by_exchange(order, **moved | {"measures": BLOCK + TRANSFER}))[0] is EXCEEDS_GRANT
    assert law.state("de", order) is State.ASKED


def test_transfer_that_two_persons_signed_is_reported_to_whoever_asked(law: Countries) -> None:
    request, _, decision = granted(law, measures=BLOCK + TRANSFER)
    order = law.send(**to_exchange(decision, measures=BLOCK + TRANSFER))
    law.send(**by_exchange(order, **HELD))
    signed: dict[str, Any] = {"measures": TRANSFER, "countersigned_by": (THEIR_CENTRAL,)}
    transfer = law.send(**to_exchange(order, ids.KIND_TRANSFER_ORDER, **signed))
    all_done: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK + TRANSFER}
    assert refusal(law, **by_court(decision, **all_done)) == (EXCEEDS_GRANT, "measures[1]")  # only ordered yet
    law.send(**by_exchange(transfer, outcome=GRANTED, measures=TRANSFER))
    law.send(**by_court(decision, **all_done))
    law.send(**by_ministry(request, **all_done))
    law.arrive()
    assert stand(law, request) is State.EXECUTED


# All States together recover no more than the order (2018/1805 Art. 16(2), 18(4)).


def part(case_id: str, amount: int, **fields: Any) -> dict[str, Any]:
    """Return a request for a part of an order over a hundred."""
    step: dict[str, Any] = {"kind": ids.KIND_CONFISCATION_REQUEST, "sender": INVESTIGATOR, "recipient": THEIR_CENTRAL}
    step |= {"countersigned_by": (CENTRAL,), "case_id": case_id, "order_total": euros(100), **CONFISCATE}
    return step | {"amount": euros(amount)} | fields


@pytest.mark.parametrize("case_id", ["EE-1", "EE-2"])
def test_total_of_an_order_is_shared_by_all_that_are_linked_by_citation_or_case(law: Countries, case_id: str) -> None:
    first = law.send(**part("EE-1", 60))
    law.send(**part("EE-2", 30, cites=first, recipient="de/central-authority-2"))
    assert refusal(law, **part(case_id, 11)) == (EXCEEDS_GRANT, "amount")
    rest = law.send(**part(case_id, 10))
    law.arrive()
    assert stand(law, rest) is State.ASKED


def test_total_of_an_order_is_shared_by_all_investigators_of_the_case(law: Countries) -> None:
    law.send(**part("EE-1", 60))
    colleague = "ee/investigator-2"
    assert refusal(law, **part("EE-1", 41, sender=colleague)) == (EXCEEDS_GRANT, "amount")
    rest = law.send(**part("EE-1", 40, sender=colleague))
    another = law.send(**part("EE-2", 100, sender=colleague))  # and of another order
    law.arrive()
    assert stand(law, rest) is stand(law, another) is State.ASKED


def test_who_names_what_is_recovered_here_names_the_total_of_the_order(law: Countries) -> None:
    without = part("EE-1", 100)
    del without["order_total"]
    assert refusal(law, **without) == (OUT_OF_ORDER, "order_total")
    del without["amount"]  # things, and no sum
    request = law.send(**without)
    law.arrive()
    assert stand(law, request) is State.ASKED


def recovered(amount: int | None) -> dict[str, Any]:
    return {"outcome": GRANTED, **CONFISCATE} | ({} if amount is None else {"amount": euros(amount)})


def test_recovered_sum_is_reported_on_as_it_was_reported(law: Countries) -> None:
    named: dict[str, Any] = {"amount": euros(100), "order_total": euros(100)}
    request, _, decision = granted(law, ids.KIND_CONFISCATION_REQUEST, **CONFISCATE, **named)
    law.send(**by_exchange(law.send(**to_exchange(decision, **CONFISCATE)), **recovered(90)))
    for step, ref in ((by_court, decision), (by_ministry, request)):
        assert refusal(law, **step(ref, **recovered(91))) == (EXCEEDS_GRANT, "amount")
        for less in (89, None):
            assert refusal(law, **step(ref, **recovered(less))) == (OUT_OF_ORDER, "amount")
        law.send(**step(ref, **recovered(90)))
    law.arrive()
    assert stand(law, request) is State.EXECUTED


def test_what_two_exchanges_recovered_is_added_up_as_each_said_last(law: Countries) -> None:
    named: dict[str, Any] = {"amount": euros(100), "order_total": euros(100)}
    request, _, decision = granted(law, ids.KIND_CONFISCATION_REQUEST, **CONFISCATE, **named)
    one = law.send(**to_exchange(decision, **CONFISCATE))
    other = law.send(**to_exchange(decision, **CONFISCATE, **TO_ANOTHER))
    for step in (by_exchange(one, **recovered(40)), by_exchange(other, **recovered(50), **BY_ANOTHER)):
        law.send(**step)
    law.send(**by_exchange(one, **recovered(45)))  # it looked again
    for wrong, code in ((45, OUT_OF_ORDER), (90, OUT_OF_ORDER), (96, EXCEEDS_GRANT)):
        assert refusal(law, **by_court(decision, **recovered(wrong))) == (code, "amount")
    law.send(**by_court(decision, **recovered(95)))
    law.send(**by_ministry(request, **recovered(95)))
    law.arrive()
    assert stand(law, request) is State.EXECUTED


# What was said last counts (2018/1805 Art. 7(2), 13(3), 22(3)).


@pytest.mark.parametrize(("now", "state"), [(NOT_THERE, State.UNAVAILABLE), (DESTROYED, State.IMPOSSIBLE)])
def test_what_was_corrected_is_not_reported_as_it_was(law: Countries, now: dict[str, Any], state: State) -> None:
    request, _, decision = granted(law)
    order = law.send(**to_exchange(decision, measures=BLOCK))
    law.send(**by_exchange(order, **HELD))
    law.send(**by_exchange(order, **now))
    for step, ref in ((by_court, decision), (by_ministry, request)):
        assert refusal(law, **step(ref, **HELD))[0] is OUT_OF_ORDER
        law.send(**step(ref, **now))
    law.arrive()
    assert stand(law, request) is state


def test_what_was_told_abroad_is_corrected_abroad_and_what_is_found_again_is_told(law: Countries) -> None:
    request, _, decision = granted(law)
    order = execute(law, request, decision)
    for now, before, state in ((NOT_THERE, HELD, State.UNAVAILABLE), (HELD, NOT_THERE, State.EXECUTED)):
        law.send(**by_exchange(order, **now))
        for step, ref in ((by_court, decision), (by_ministry, request)):
            assert refusal(law, **step(ref, **before)) == (OUT_OF_ORDER, "outcome")
            law.send(**step(ref, **now))
        law.arrive()
        assert stand(law, request) is state


def test_ground_that_was_corrected_is_not_the_ground_any_more(law: Countries) -> None:
    request, _, decision = granted(law)
    order = law.send(**to_exchange(decision, measures=BLOCK))
    law.send(**by_exchange(order, **NOT_THERE))
    law.send(**by_exchange(order, **DESTROYED))
    assert refusal(law, **by_court(decision, **NOT_THERE)) == (OUT_OF_ORDER, "ground")
    law.send(**by_court(decision, **DESTROYED))
    assert refusal(law, **by_ministry(request, **NOT_THERE)) == (OUT_OF_ORDER, "ground")
    law.send(**by_ministry(request, **DESTROYED))
    law.arrive()
    assert stand(law, request) is State.IMPOSSIBLE


def test_newest_reports_of_two_exchanges_count_together(law: Countries) -> None:
    request, _, decision = granted(law, measures=BLOCK + HOLD_INCOMING)
    one = law.send(**to_exchange(decision, measures=BLOCK))
    other = law.send(**to_exchange(decision, measures=HOLD_INCOMING, **TO_ANOTHER))
    law.send(**by_exchange(one, **HELD))
    law.send(**by_exchange(other, outcome=GRANTED, measures=HOLD_INCOMING, **BY_ANOTHER))
    law.send(**by_exchange(other, **NOT_THERE, **BY_ANOTHER))
    both: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK + HOLD_INCOMING}
    assert refusal(law, **by_court(decision, **both)) == (EXCEEDS_GRANT, "measures[1]")
    assert refusal(law, **by_court(decision, **NOT_THERE)) == (OUT_OF_ORDER, "outcome")  # the other one holds
    law.send(**by_court(decision, **HELD))
    law.send(**by_ministry(request, **HELD))
    law.arrive()
    assert stand(law, request) is State.EXECUTED


def test_ministry_does_not_tell_abroad_what_its_court_had_postponed_and_then_refused(law: Countries) -> None:
    request = ask(law)
    fields: dict[str, Any] = {"case_id": "DE-1", "measures": BLOCK, "cites": request}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, **fields)
    later: dict[str, Any] = {"outcome": ids.OUTCOME_POSTPONED, "ground": ids.GROUND_ALREADY_FROZEN}
    never: dict[str, Any] = {"outcome": REFUSED, "ground": ids.GROUND_FUNDAMENTAL_RIGHT}
    for said in (later, never):
        law.send(**by_court(referral, ids.KIND_REVIEW_DECISION, dual_criminality=VERIFIED, **said))
    telling = by_ministry(request, ids.KIND_REVIEW_DECISION, dual_criminality=VERIFIED)
    assert refusal(law, **telling | later)[0] is OUT_OF_ORDER
    law.send(**telling | never)
    law.arrive()
    assert stand(law, request) is State.REFUSED


def test_ministry_tells_abroad_how_its_court_ranked_the_orders_last(law: Countries) -> None:  # 2018/1805 Art. 26
    request, referral, _ = granted(law)
    behind: dict[str, Any] = {"outcome": REFUSED, "ground": ids.GROUND_ALREADY_FROZEN}
    for said in (behind, {"outcome": GRANTED}):
        law.send(**by_court(referral, ids.KIND_PRIORITY_DECISION, **said))
    assert refusal(law, **by_ministry(request, ids.KIND_PRIORITY_DECISION, **behind))[0] is OUT_OF_ORDER
    law.send(**by_ministry(request, ids.KIND_PRIORITY_DECISION, outcome=GRANTED))
    law.arrive()
    assert stand(law, request) is State.GRANTED


def test_what_was_released_is_not_reported_as_held(law: Countries) -> None:
    request, _, decision = granted(law)
    order = law.send(**to_exchange(decision, measures=BLOCK))
    law.send(**by_exchange(order, **HELD))
    release(law, order)
    assert law.state("de", order) is State.RELEASED
    assert refusal(law, **by_court(decision, **HELD))[0] is OUT_OF_ORDER
    assert refusal(law, **by_ministry(request, **HELD))[0] is OUT_OF_ORDER
    law.send(**by_ministry(request, ids.KIND_RELEASE, outcome=GRANTED))
    law.arrive()
    assert stand(law, request) is State.RELEASED


# What crosses the border rests on the decision that has crossed it.


def test_data_go_abroad_only_as_far_as_their_disclosure_was_told_abroad_as_granted(law: Countries) -> None:
    both: dict[str, Any] = {"data_classes": (*WHO, ids.DATA_CLASS_TRANSACTIONAL), "measures": ()}
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, **both)
    _, decision = decide(law, request, **both)
    notify(law, request, **DATA)
    order = law.send(**to_exchange(decision, **both))
    law.send(**by_exchange(order, ids.KIND_DISCLOSURE, **both))
    law.send(**by_court(decision, ids.KIND_DISCLOSURE, **both))
    handed = by_ministry(request, ids.KIND_DISCLOSURE, **both)
    # Its own node says no; and if that one is not to be trusted, the other one does.
    assert refusal(law, **handed) == refusal_at(law, "ee", **handed) == (EXCEEDS_GRANT, "data_classes[1]")
    law.send(**handed | DATA)
    notify(law, request, measures=(), data_classes=(ids.DATA_CLASS_TRANSACTIONAL,))
    law.send(**handed)  # both decisions together grant it
    law.arrive()
    assert not law.refused
    assert stand(law, request) is State.GRANTED


def test_no_more_is_reported_abroad_as_executed_than_was_told_abroad_as_granted(law: Countries) -> None:
    both: dict[str, Any] = {"measures": BLOCK + HOLD_INCOMING}
    request = ask(law, **both)
    _, decision = decide(law, request, **both)
    notify(law, request, measures=BLOCK)
    order = law.send(**to_exchange(decision, **both))
    law.send(**by_exchange(order, outcome=GRANTED, **both))
    law.send(**by_court(decision, outcome=GRANTED, **both))
    told = by_ministry(request, outcome=GRANTED, **both)
    assert refusal(law, **told) == refusal_at(law, "ee", **told) == (EXCEEDS_GRANT, "measures[1]")
    law.send(**told | HELD)
    law.arrive()
    assert stand(law, request) is State.EXECUTED
    notify(law, request, measures=HOLD_INCOMING)
    law.send(**told)
    law.arrive()
    assert not law.refused
    assert stand(law, request) is State.EXECUTED


# Every open case has somebody who acts next, also where nothing is held.


def upheld_objection(law: Countries, order: Ref) -> None:
    """Have the exchange object to an order, and its court agree."""
    objection = law.send(**by_exchange(order, ids.KIND_OBJECTION))
    law.send(**to_exchange(objection, ids.KIND_OBJECTION_DECISION, outcome=GRANTED))
    assert law.state("de", order) is State.CLOSED


@pytest.mark.parametrize(
    ("asked", "ordered", "scope"),
    [
        (ids.KIND_EVIDENCE_REQUEST, ids.KIND_DOMESTIC_ORDER, DATA),
        (ids.KIND_TAKEDOWN_NOTICE, ids.KIND_TAKEDOWN_NOTICE, TAKE_DOWN),
    ],
    ids=["evidence", "takedown"],
)
def test_what_an_exchange_rightly_objected_to_is_reported_as_impossible(  # 2023/1543 Art. 17(4)-(6)
    law: Countries, asked: ids.Kind.ValueType, ordered: ids.Kind.ValueType, scope: dict[str, Any]
) -> None:
    request, _, decision = granted(law, asked, **scope)
    upheld_objection(law, law.send(**to_exchange(decision, ordered, **scope)))
    for step, ref in ((by_court, decision), (by_ministry, request)):
        assert refusal(law, **step(ref, outcome=GRANTED, **scope))[0] is OUT_OF_ORDER
        law.send(**step(ref, **IMPOSSIBLE))
    law.arrive()
    assert stand(law, request) is State.UNAVAILABLE
    law.send(**by_issuer(request, ids.KIND_CLOSURE))
    law.arrive()
    assert stand(law, request) is State.CLOSED


def test_what_a_claim_was_upheld_against_is_reported_as_impossible(law: Countries) -> None:
    request, referral, decision = granted(law, ids.KIND_EVIDENCE_REQUEST, **DATA)
    order = law.send(**to_exchange(decision, **DATA))
    filed = law.send(**by_court(decision, ids.KIND_CLAIM))
    law.send(**by_court(filed, ids.KIND_CLAIM_DECISION, outcome=GRANTED))
    assert law.state("de", referral) is State.UNBOUND
    release(law, order)
    for step, ref in ((by_court, decision), (by_ministry, request)):
        assert refusal(law, **step(ref, outcome=GRANTED, **DATA))[0] is OUT_OF_ORDER
        law.send(**step(ref, **IMPOSSIBLE))
    law.arrive()
    assert stand(law, request) is State.UNAVAILABLE
    law.send(**by_issuer(request, ids.KIND_CLOSURE))
    law.arrive()
    assert stand(law, request) is State.CLOSED


def test_what_one_exchange_rightly_objected_to_is_not_impossible_while_another_may_hold_it(law: Countries) -> None:
    request, _, decision = granted(law)
    upheld_objection(law, law.send(**to_exchange(decision, measures=BLOCK)))
    other = law.send(**to_exchange(decision, measures=BLOCK, **TO_ANOTHER))
    assert refusal(law, **by_court(decision, **IMPOSSIBLE))[0] is OUT_OF_ORDER
    law.send(**by_exchange(other, **HELD, **BY_ANOTHER))
    assert refusal(law, **by_court(decision, **IMPOSSIBLE))[0] is OUT_OF_ORDER
    law.send(**by_court(decision, **HELD))
    law.send(**by_ministry(request, **HELD))
    law.arrive()
    assert stand(law, request) is State.EXECUTED


# What is provisional stands no longer than something is held for it (Directive 2024/1260 Art. 11).

BY_FIU: dict[str, Any] = {"sender": "de/fiu"}
TO_FIU: dict[str, Any] = {"recipient": "de/fiu"}
CONFIRM_ABROAD: dict[str, Any] = {"kind": ids.KIND_CONFIRMATION, "recipient": "ee/fiu", **BY_FIU, **HELD}


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("is_upheld", [True, False])
def test_freeze_for_which_nothing_is_held_any_more_lapses_though_a_judge_had_granted_it(
    law: Countries, is_told: bool, is_upheld: bool
) -> None:
    freeze, order, decision = granted_to_the_fiu(law)
    if is_told:
        law.send(**by_exchange(order, case_id="A", **TO_FIU, **HELD))
        law.send(**by_ministry(freeze, **CONFIRM_ABROAD | {"kind": ids.KIND_EXECUTION_REPORT}))
        law.arrive()
        assert stand(law, freeze) is State.EXECUTED
    if is_upheld:
        filed = law.send(**by_court(decision, ids.KIND_CLAIM, **TO_FIU))
        law.send(**by_court(filed, ids.KIND_CLAIM_DECISION, outcome=GRANTED, **TO_FIU))
    law.wait(days=30)
    law.arrive()
    assert law.state("de", order) is State.LAPSED
    assert stand(law, freeze) is State.LAPSED
    assert not law.clocks("de", freeze)
    assert refusal(law, **by_ministry(freeze, **CONFIRM_ABROAD))[0] is OUT_OF_ORDER


def test_freeze_whose_order_was_confirmed_in_time_is_confirmed_abroad_later(law: Countries) -> None:
    freeze, order, _ = granted_to_the_fiu(law)
    law.send(**to_exchange(order, ids.KIND_CONFIRMATION, case_id="A", **BY_FIU, **HELD))
    law.wait(days=30)
    law.arrive()
    assert law.state("de", order) is State.CONFIRMED
    law.send(**by_ministry(freeze, **CONFIRM_ABROAD))
    law.arrive()
    assert stand(law, freeze) is State.CONFIRMED


# A limit that has run out has run out, though its node was down and has not said so.


@pytest.mark.parametrize("rings", ["later", "before it comes", "and is heard before the refusal"])
def test_what_was_never_validated_is_deleted_though_its_issuer_had_closed_the_matter(
    law: Countries, rings: str
) -> None:  # 2023/1543 Art. 4(5), 10(4)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, countersigned_by=(), urgency=EMERGENCY)
    _, decision = decide(law, request, **DATA)
    notify(law, request, **DATA)
    execute(law, request, decision, **DATA)
    due = running(law, request)[measures.CLOCK_RULE_EX_POST_VALIDATION]
    law.now = due - timedelta(hours=1)
    closure = by_issuer(request, ids.KIND_CLOSURE)
    law.send(**closure)  # nobody knows of a deletion yet
    law.now = due + timedelta(hours=1)
    if rings != "later":
        law.wait(seconds=1)
    while rings == "and is heard before the refusal" and law.hear_at("ee"):
        pass
    law.arrive()
    assert [said.code for _, said in law.refused] == [OUT_OF_ORDER]
    law.wait(seconds=1)
    law.arrive()
    assert stand(law, request) is State.TO_DELETE
    assert measures.CLOCK_RULE_DELETION in running(law, request)
    law.send(**closure)
    law.arrive()
    assert stand(law, request) is State.CLOSED
    assert not law.clocks("de", request)


@pytest.mark.parametrize("is_freeze", [True, False])
def test_withdrawal_that_crosses_with_the_end_of_six_weeks_leaves_somebody_who_releases(
    law: Countries, is_freeze: bool
) -> None:  # 2018/1805 Art. 12(2), 27
    scope = {"measures": BLOCK} if is_freeze else CONFISCATE
    kind = ids.KIND_FREEZE_REQUEST if is_freeze else ids.KIND_CONFISCATION_REQUEST
    request, _, decision = granted(law, kind, **scope)
    order = execute(law, request, decision, **scope)
    law.send(**by_ministry(request, ids.KIND_LIMITATION_REQUEST))
    law.arrive()
    due = running(law, request)[measures.CLOCK_RULE_LIMITATION_ANSWER]
    law.now = due - timedelta(hours=1)
    law.send(**by_issuer(request, ids.KIND_WITHDRAWAL))
    law.now = due + timedelta(hours=1)  # nobody rang
    law.arrive()
    law.wait(seconds=1)
    law.arrive()
    assert stand(law, request) is State.WITHDRAWN
    release(law, order)
    law.send(**by_ministry(request, ids.KIND_RELEASE, outcome=GRANTED))
    law.arrive()
    assert not law.refused
    assert stand(law, request) is State.RELEASED


# Who may know what.


@pytest.mark.parametrize("outcome", [ids.OUTCOME_UNSPECIFIED, GRANTED])
def test_exchange_learns_no_case_number_of_others_by_guessing(law: Countries, outcome: ids.Outcome.ValueType) -> None:
    _, order = frozen(law)
    complaint = by_exchange(order, ids.KIND_GRIEVANCE, recipient="de/ombudsperson", outcome=outcome)
    answers = {str(law.would(law.write(**complaint | {"case_id": case}))) for case in ("EE-0", "EE-1", "DE-1")}
    assert len(answers) == 1  # to a number of no case, the foreign one and that of the court


def test_who_complains_of_a_case_does_so_under_another_number(law: Countries) -> None:
    request, _, decision = granted(law)
    order = execute(law, request, decision)
    to: dict[str, Any] = {"recipient": "de/ombudsperson", "kind": ids.KIND_GRIEVANCE}
    assert refusal(law, **by_exchange(order, **to)) == (OUT_OF_ORDER, "case_id")
    for case_id in ("EE-1", "DE-1"):
        assert refusal(law, **by_court(decision, **to, case_id=case_id)) == (OUT_OF_ORDER, "case_id")


# What was agreed, asked or ranked, and then changed.


def agree(law: Countries, freeze: Ref, until: dict[str, int]) -> None:
    asked = law.send(**by_ministry(freeze, ids.KIND_LIMITATION_REQUEST, **until))
    law.arrive()
    law.send(**by_issuer(asked, ids.KIND_LIMITATION_ANSWER, outcome=GRANTED))
    law.arrive()


def test_issuer_who_extends_agrees_no_more_that_it_is_limited(law: Countries) -> None:  # 2018/1805 Art. 12(1)-(2)
    freeze, order = frozen(law)
    early, late = ({"in_force_until_us": to_micros(law.now + timedelta(days=days))} for days in (30, 200))
    agree(law, freeze, early)
    law.wait(days=1)
    law.send(**by_issuer(freeze, ids.KIND_EXTENSION, countersigned_by=(CENTRAL,), **late))
    law.arrive()
    until = running(law, freeze)
    here, abroad = (
        to_exchange(order, ids.KIND_LIMITATION, **early),
        by_ministry(freeze, ids.KIND_LIMITATION, **early),
    )
    assert refusal(law, **here)[0] is refusal(law, **abroad)[0] is OUT_OF_ORDER
    assert running(law, freeze) == until
    agree(law, freeze, early)  # and now it does again
    law.send(**here)
    law.send(**abroad)
    law.arrive()
    assert not law.refused
    assert stand(law, freeze) is State.EXECUTED
    by_order = measures.CLOCK_RULE_SET_BY_ORDER
    assert running(law, freeze)[by_order] < until[by_order]


@pytest.mark.parametrize("answered", [(0, 1), (1, 0)])
def test_duty_to_produce_rests_until_every_question_is_answered(law: Countries, answered: tuple[int, int]) -> None:
    request, _, _ = granted(law, ids.KIND_EVIDENCE_REQUEST, **DATA)  # 2023/1543 Art. 10(6)
    questions = []
    for _ in answered:
        questions.append(law.send(**by_ministry(request, ids.KIND_CLARIFICATION_REQUEST)))
        law.arrive()
        law.wait(hours=24)
    rests = {measures.CLOCK_RULE_PRODUCTION: Stage.PAUSED, measures.CLOCK_RULE_CLARIFICATION: Stage.RUNNING}
    for at in answered:
        assert {clock.rule: clock.stage for clock in law.clocks("de", request)} == rests
        law.send(**by_issuer(questions[at], ids.KIND_CLARIFICATION))
        law.arrive()
    stages = {clock.rule: clock.stage for clock in law.clocks("de", request)}
    assert stages == {measures.CLOCK_RULE_PRODUCTION: Stage.RUNNING}
    assert stand(law, request) is State.GRANTED


@pytest.mark.parametrize("is_told", [True, False])
def test_order_that_another_goes_before_is_not_executed_until_its_court_ranks_it_first(  # 2018/1805 Art. 26
    law: Countries, is_told: bool
) -> None:
    request, referral, decision = granted(law)
    order = to_exchange(decision, measures=BLOCK)
    for said in ({"outcome": REFUSED, "ground": ids.GROUND_ALREADY_FROZEN}, {"outcome": GRANTED}):
        law.send(**by_court(referral, ids.KIND_PRIORITY_DECISION, **said))
        if is_told:
            law.send(**by_ministry(request, ids.KIND_PRIORITY_DECISION, **said))
            law.arrive()
        if said["outcome"] == REFUSED:
            assert refusal(law, **order)[0] is OUT_OF_ORDER
    if is_told:
        assert stand(law, request) is State.POSTPONED
        notify(law, request)
    report_back(law, law.send(**order), decision, request, **HELD)
    assert not law.refused
    assert stand(law, request) is State.EXECUTED


# Nobody says abroad that measures have ended while they stand (2018/1805 Art. 27(3)).


@pytest.mark.parametrize("is_taken_down", [True, False])
def test_end_is_not_told_abroad_while_an_order_to_an_exchange_stands(law: Countries, is_taken_down: bool) -> None:
    asked, ordered, scope = ids.KIND_EVIDENCE_REQUEST, ids.KIND_DOMESTIC_ORDER, DATA
    if is_taken_down:
        asked, ordered, scope = ids.KIND_TAKEDOWN_NOTICE, ids.KIND_TAKEDOWN_NOTICE, TAKE_DOWN
    request, referral, decision = granted(law, asked, **scope)
    order = law.send(**to_exchange(decision, ordered, **scope))
    if is_taken_down:
        report_back(law, order, decision, request, outcome=GRANTED, **scope)
    law.send(**by_issuer(request, ids.KIND_WITHDRAWAL))
    law.arrive()
    law.send(ids.KIND_WITHDRAWAL, THEIR_CENTRAL, THEIR_COURT, cites=referral, case_id="DE-1")
    ended = by_ministry(request, ids.KIND_RELEASE, outcome=GRANTED)
    assert refusal(law, **ended)[0] is OUT_OF_ORDER
    release(law, order)
    law.send(**ended)
    law.arrive()
    assert stand(law, request) is State.RELEASED


# What is held goes where it belongs.


def test_nothing_is_disposed_of_while_a_victims_request_is_undecided(law: Countries) -> None:  # 2018/1805 Art. 29(2)
    freeze, order = frozen(law, measures=BLOCK + TRANSFER)
    victims = ask(law, ids.KIND_RESTITUTION_DECISION, cites=freeze, data_classes=(), measures=TRANSFER)
    release(law, order)
    final = by_ministry(freeze, ids.KIND_FINAL_REPORT)
    assert refusal(law, **final) == (OUT_OF_ORDER, "cites[0]")
    law.send(**by_issuer(victims, ids.KIND_WITHDRAWAL))
    law.arrive()
    law.send(**by_ministry(victims, ids.KIND_RELEASE, outcome=GRANTED))
    law.send(**final)
    law.arrive()
    assert stand(law, victims) is State.RELEASED
    assert stand(law, freeze) is State.DISPOSED


def test_nothing_is_disposed_of_while_a_claim_on_it_suspends_told_or_not(law: Countries) -> None:  # Art. 33
    freeze, _, decision = granted(law)
    order = execute(law, freeze, decision)
    suspended: dict[str, Any] = {"outcome": ids.OUTCOME_POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    claim = law.send(**by_court(decision, ids.KIND_CLAIM, **suspended))
    release(law, order)
    final = by_ministry(freeze, ids.KIND_FINAL_REPORT)
    assert refusal(law, **final) == (OUT_OF_ORDER, "cites[0]")
    law.send(**by_court(claim, ids.KIND_CLAIM_DECISION, outcome=REFUSED))
    law.send(**final)
    law.arrive()
    assert stand(law, freeze) is State.DISPOSED
