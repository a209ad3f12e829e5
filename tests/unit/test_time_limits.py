"""One test for each row of the clock tables: Regulation (EU) 2018/1805 and Regulation (EU) 2023/1543.

Years pass in seconds: two nodes, their stores and their clocks are real, the time is not.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway import timekeeper
from gateway.clock import from_micros, to_micros
from gateway.envelope import ref_of
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Role
from gateway.policy import Policy
from gateway.rules import State
from gateway.store import fsck
from tests.errors import raises
from tests.law import DIRECTORY, NOON, Countries, countries
from tests.lawful import (
    BLOCK,
    CENTRAL,
    DUE_SOON,
    EMERGENCY,
    GRANTED,
    INVESTIGATOR,
    LAPSED,
    OVERDUE,
    REFUSED,
    THEIR_CENTRAL,
    THEIR_COURT,
    THEIR_EXCHANGE,
    URGENT,
    VERIFIED,
    WHO,
    ask,
    decide,
    execute,
    frozen,
    notify,
    order_at_once,
    overdue,
    refusal,
    running,
    stand,
    told,
)

HOUR_AFTER = NOON + timedelta(hours=1)
"""The hour in which something happens does not count (Reg. 1182/71 Art. 3(1))."""


@pytest.fixture
def law(tmp_path: Path) -> Countries:
    return countries(tmp_path)


BOTH = {"ee/node", THEIR_CENTRAL}


# Regulation (EU) 2018/1805.


def test_ordinary_freeze_is_decided_as_fast_as_a_domestic_one(law: Countries) -> None:  # Art. 9(1)
    request = ask(law)
    assert set(running(law, request)) == {measures.CLOCK_RULE_ORDINARY_DECISION}
    law.wait(days=12)
    assert told(law, OVERDUE, request) == BOTH
    decide(law, request)
    assert not running(law, request)


def test_urgent_freeze_has_48_hours_to_decide(law: Countries) -> None:  # Art. 9(3)
    law.now = NOON + timedelta(minutes=20)
    request = ask(law, urgency=URGENT)
    # Counted from the next full hour (Reg. 1182/71 Art. 3(1)).
    assert running(law, request) == {measures.CLOCK_RULE_URGENT_DECISION: HOUR_AFTER + timedelta(hours=48)}
    law.wait(hours=48, minutes=39)
    assert told(law, DUE_SOON, request) == BOTH
    assert not told(law, OVERDUE, request)
    law.wait(minutes=2)
    assert told(law, OVERDUE, request) == BOTH


def test_urgent_freeze_has_48_hours_from_the_decision_to_execute(law: Countries) -> None:  # Art. 9(3)
    request = ask(law, urgency=URGENT)
    law.wait(hours=30)
    _, decision = decide(law, request, urgency=URGENT)
    assert running(law, request) == {measures.CLOCK_RULE_URGENT_EXECUTION: HOUR_AFTER + timedelta(hours=78)}
    notify(law, request, urgency=URGENT)
    law.wait(hours=47)
    execute(law, request, decision, urgency=URGENT)
    law.wait(days=30)
    assert not law.said(OVERDUE, request)


def test_who_cannot_keep_48_hours_says_so_and_the_duty_remains(law: Countries) -> None:  # Art. 9(5)-(6)
    request = ask(law, urgency=URGENT)
    law.send(ids.KIND_DELAY_NOTICE, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    assert law.state("ee", request) is State.ASKED
    law.wait(hours=49)
    assert told(law, OVERDUE, request) == BOTH
    decide(law, request, urgency=URGENT)


def test_issuer_silent_for_six_weeks_binds_nobody_any_more(law: Countries) -> None:  # Art. 12(2)
    request, _ = frozen(law)
    law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.LIMITING
    # Six weeks, by the calendar of the State that has to answer: to the end of Monday, 13 April, in Tallinn.
    assert running(law, request) == {measures.CLOCK_RULE_LIMITATION_ANSWER: datetime(2026, 4, 13, 21, 0, tzinfo=UTC)}
    law.wait(days=43)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.UNBOUND
    assert told(law, LAPSED, request) == BOTH


def test_issuer_that_answers_in_six_weeks_keeps_the_freeze(law: Countries) -> None:  # Art. 12(2)
    request, _ = frozen(law)
    asked = law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    law.wait(days=41)
    law.send(ids.KIND_LIMITATION_ANSWER, INVESTIGATOR, THEIR_CENTRAL, cites=asked, outcome=REFUSED)
    law.arrive()
    law.wait(days=400)
    assert law.state("ee", request) is law.state("de", request) is State.EXECUTED


def asked_to_limit(law: Countries) -> tuple[ids.EnvelopeRef, ids.EnvelopeRef, ids.EnvelopeRef]:
    """Return a freeze whose issuer is asked to limit it, the order that holds the assets, and the question."""
    request, order = frozen(law)
    return request, order, ask_to_limit(law, request, 30)


def ask_to_limit(law: Countries, request: ids.EnvelopeRef, days: int) -> ids.EnvelopeRef:
    until = {"in_force_until_us": to_micros(law.now + timedelta(days=days))}
    asked = law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request, **until)
    law.arrive()
    return asked


def limit(law: Countries, request: ids.EnvelopeRef, order: ids.EnvelopeRef) -> list[ErrorCode | None]:
    """Have the court limit its order, and the central authority say so abroad; return what each was refused with."""
    until = {"in_force_until_us": to_micros(law.now + timedelta(days=30))}
    codes: list[ErrorCode | None] = []
    for sender, recipient, cites, case_id in (
        (THEIR_COURT, THEIR_EXCHANGE, order, "ORDER-1"),
        (THEIR_CENTRAL, INVESTIGATOR, request, "EE-1"),
    ):
        try:
            law.send(ids.KIND_LIMITATION, sender, recipient, cites=cites, case_id=case_id, **until)
        except Refusal as refusal:
            codes.append(refusal.code)
        else:
            codes.append(None)
    return codes


NEITHER = [ErrorCode.OUT_OF_ORDER, ErrorCode.OUT_OF_ORDER]


def test_freeze_is_not_limited_before_the_issuer_was_asked(law: Countries) -> None:  # Art. 12(1)-(2)
    assert limit(law, *frozen(law)) == NEITHER


def test_freeze_is_not_limited_against_the_word_of_the_issuer(law: Countries) -> None:  # Art. 12(2)
    request, order, asked = asked_to_limit(law)
    assert limit(law, request, order) == NEITHER
    law.send(ids.KIND_LIMITATION_ANSWER, INVESTIGATOR, THEIR_CENTRAL, cites=asked, outcome=REFUSED)
    law.arrive()
    assert limit(law, request, order) == NEITHER


def test_freeze_is_limited_once_the_issuer_agrees(law: Countries) -> None:  # Art. 12(2)
    request, order, asked = asked_to_limit(law)
    law.send(ids.KIND_LIMITATION_ANSWER, INVESTIGATOR, THEIR_CENTRAL, cites=asked, outcome=GRANTED)
    law.arrive()
    assert limit(law, request, order) == [None, None]


def test_freeze_is_limited_once_the_issuer_was_silent_for_six_weeks(law: Countries) -> None:  # Art. 12(2)
    request, order, _ = asked_to_limit(law)
    law.wait(days=43)
    assert limit(law, request, order) == [None, None]


def test_freeze_is_limited_as_the_issuer_answered_last(law: Countries) -> None:  # Art. 12(2)
    request, order, asked = asked_to_limit(law)
    law.send(ids.KIND_LIMITATION_ANSWER, INVESTIGATOR, THEIR_CENTRAL, cites=asked, outcome=GRANTED)
    law.arrive()
    asked = ask_to_limit(law, request, 30)
    assert limit(law, request, order) == NEITHER
    law.send(ids.KIND_LIMITATION_ANSWER, INVESTIGATOR, THEIR_CENTRAL, cites=asked, outcome=REFUSED)
    law.arrive()
    assert limit(law, request, order) == NEITHER


def test_freeze_ends_no_earlier_than_the_issuer_has_agreed(law: Countries) -> None:  # Art. 12(2)
    request, order = frozen(law)
    asked = ask_to_limit(law, request, 31)
    law.send(ids.KIND_LIMITATION_ANSWER, INVESTIGATOR, THEIR_CENTRAL, cites=asked, outcome=GRANTED)
    law.arrive()
    assert limit(law, request, order) == NEITHER
    law.wait(days=1)
    assert limit(law, request, order) == [None, None]


def test_what_is_withdrawn_is_not_held_longer_by_the_name_of_a_limitation(law: Countries) -> None:  # Art. 12, 27(3)
    request = ask(law)
    _, decision = decide(law, request)
    fields: dict[str, Any] = {"case_id": "ORDER-1", "measures": BLOCK, "cites": decision}
    until = {"in_force_until_us": to_micros(law.now + timedelta(days=29))}
    order = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, **fields, **until)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    assert limit(law, request, order)[0] is ErrorCode.OUT_OF_ORDER


def test_what_is_destroyed_is_told_at_once_though_the_issuer_has_six_weeks_to_answer(law: Countries) -> None:
    request, order = frozen(law)  # Art. 13(1), 12(2)
    law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    decision = next(ref_of(each) for each in law.headers("de") if each.kind == ids.KIND_REVIEW_DECISION)
    gone: dict[str, Any] = {"outcome": REFUSED, "ground": ids.GROUND_DESTROYED}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **gone)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **gone)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, cites=request, **gone)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.IMPOSSIBLE


def test_confiscation_is_decided_in_45_days(law: Countries) -> None:  # Art. 20(1)
    request = ask(law, ids.KIND_CONFISCATION_REQUEST)
    # 16 April in Berlin, where it is summer by then.
    assert running(law, request) == {
        measures.CLOCK_RULE_CONFISCATION_DECISION: datetime(2026, 4, 16, 22, 0, tzinfo=UTC)
    }
    law.wait(days=46)
    assert told(law, OVERDUE, request) == BOTH


def test_execution_is_reported_after_the_order_was_executed_and_marks_the_request(law: Countries) -> None:  # Art. 7(2)
    request, _ = frozen(law)
    assert law.state("ee", request) is law.state("de", request) is State.EXECUTED
    assert (INVESTIGATOR[:2] + "/node") in told(law, pb.MILESTONE_EXECUTED, request)


def test_withdrawal_ends_the_measures_and_that_is_confirmed(law: Countries) -> None:  # Art. 27
    request, order = frozen(law)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    confirm: dict[str, Any] = {"cites": request, "outcome": GRANTED}
    with pytest.raises(Refusal) as caught:
        law.send(ids.KIND_RELEASE, THEIR_CENTRAL, INVESTIGATOR, **confirm)
    assert caught.value.code is ErrorCode.OUT_OF_ORDER  # the exchange still holds the assets
    release = law.send(ids.KIND_RELEASE, THEIR_COURT, THEIR_EXCHANGE, cites=order, case_id="ORDER-1", outcome=GRANTED)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=release, case_id="ORDER-1", outcome=GRANTED)
    law.send(ids.KIND_RELEASE, THEIR_CENTRAL, INVESTIGATOR, **confirm)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.RELEASED


def test_nobody_owes_a_decision_on_what_was_withdrawn(law: Countries) -> None:  # Art. 27
    request = ask(law)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    law.wait(days=30)
    assert overdue(law, request) == running(law, request).keys() == {measures.CLOCK_RULE_RELEASE}


def let_go(law: Countries, step: ids.EnvelopeRef, referral: ids.EnvelopeRef, request: ids.EnvelopeRef) -> None:
    """Let the exchange, the court and the central authority each confirm that nothing is held any more."""
    granted: dict[str, Any] = {"outcome": GRANTED}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=step, case_id="ORDER-1", **granted)
    law.send(ids.KIND_RELEASE, THEIR_COURT, THEIR_CENTRAL, cites=referral, case_id="DE-1", **granted)
    law.send(ids.KIND_RELEASE, THEIR_CENTRAL, INVESTIGATOR, cites=request, **granted)
    law.arrive()


@pytest.mark.parametrize("late", [True, False])
def test_what_is_withdrawn_is_let_go_in_time_or_everybody_is_told(law: Countries, late: bool) -> None:  # Art. 27(3)
    request = ask(law)
    referral, decision = decide(law, request)
    notify(law, request)
    order = execute(law, request, decision)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    law.send(ids.KIND_WITHDRAWAL, THEIR_CENTRAL, THEIR_COURT, cites=referral, case_id="DE-1")
    release = law.send(ids.KIND_RELEASE, THEIR_COURT, THEIR_EXCHANGE, cites=order, case_id="ORDER-1", outcome=GRANTED)
    # From Monday, 2 March: five days are over with the Saturday, which gives way to Monday (Reg. 1182/71 Art. 3(4)).
    let_go_by = {measures.CLOCK_RULE_RELEASE: datetime(2026, 3, 9, 23, 0, tzinfo=UTC)}
    assert running(law, request) == running(law, referral) == let_go_by
    assert running(law, order)[measures.CLOCK_RULE_RELEASE] == let_go_by[measures.CLOCK_RULE_RELEASE]
    law.wait(days=8 if late else 4)
    law.arrive()
    let_go(law, release, decision, request)
    parties = ((request, BOTH), (referral, {THEIR_CENTRAL, THEIR_COURT}), (order, {THEIR_COURT, THEIR_EXCHANGE}))
    for matter, both in parties:
        assert told(law, OVERDUE, matter) == (both if late else set())
        assert told(law, DUE_SOON, matter) == (both if late else set())
        assert running(law, matter) == {}
    assert law.state("ee", request) is law.state("de", request) is State.RELEASED


def test_what_binds_nobody_any_more_is_let_go_in_time_or_everybody_is_told(law: Countries) -> None:  # Art. 12(2)
    request, _ = frozen(law)
    law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    law.wait(days=43)
    assert law.state("de", request) is State.UNBOUND
    assert running(law, request).keys() == {measures.CLOCK_RULE_RELEASE}
    first = running(law, request)
    law.wait(days=1)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    assert law.state("de", request) is State.WITHDRAWN
    assert running(law, request) == first, "it was to be let go by then already"
    law.wait(days=10)
    law.arrive()
    assert told(law, OVERDUE, request) == BOTH


def test_what_must_be_deleted_is_deleted_in_time_or_everybody_is_told(law: Countries) -> None:  # Art. 4(5), 10(4)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY, countersigned_by=())
    produced(law, request, EMERGENCY)
    law.wait(hours=49)
    law.arrive()
    assert law.state("de", request) is State.TO_DELETE
    assert measures.CLOCK_RULE_DELETION in running(law, request)
    law.wait(days=9)
    law.arrive()
    assert overdue(law, request) == {measures.CLOCK_RULE_DELETION}
    assert told(law, OVERDUE, request) == BOTH
    law.send(ids.KIND_CLOSURE, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    assert running(law, request) == {}


def test_a_confirmation_that_never_arrives_leaves_who_lets_go_watched(law: Countries) -> None:
    request = ask(law)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    by = running(law, request)
    soon = to_micros(law.now + timedelta(hours=1))
    law.send(ids.KIND_RELEASE, THEIR_CENTRAL, INVESTIGATOR, cites=request, outcome=GRANTED, expires_at_us=soon)
    assert running(law, request) == {}
    law.wait(hours=2)
    law.sweep()
    assert law.state("de", request) is State.WITHDRAWN
    assert running(law, request) == by


@pytest.mark.parametrize("crosses", [True, False])
def test_a_claim_decision_that_never_arrives_leaves_what_is_withdrawn_watched(law: Countries, crosses: bool) -> None:
    request, _ = frozen(law)
    (decision,) = [
        each for each in law.headers("de") if each.kind == ids.KIND_REVIEW_DECISION and each.case_id == "DE-1"
    ]
    here: dict[str, Any] = {"cites": ref_of(decision), "case_id": "DE-1"}
    filed = law.send(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, **here)
    abroad = law.send(ids.KIND_CLAIM, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    law.send(ids.KIND_CLAIM_DECISION, THEIR_COURT, THEIR_CENTRAL, cites=filed, case_id="DE-1", outcome=GRANTED)
    soon = to_micros(law.now + timedelta(hours=1))
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=abroad, outcome=GRANTED, expires_at_us=soon)
    assert running(law, request).keys() == {measures.CLOCK_RULE_RELEASE}
    if crosses:
        law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request)
        law.arrive_at("de")
        assert law.state("de", request) is State.WITHDRAWN
    law.wait(hours=2)
    law.sweep()
    assert law.state("de", request) is (State.WITHDRAWN if crosses else State.EXECUTED)
    assert running(law, request).keys() == ({measures.CLOCK_RULE_RELEASE} if crosses else set())


def test_a_policy_has_what_is_ended_let_go_sooner(tmp_path: Path) -> None:
    law = countries(tmp_path, de=Policy.load(b'country = "de"\n[release]\ndays = 2\nlaw = "at once"', "policy.toml"))
    withdrawn, limited = ask(law), frozen(law)[0]
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=withdrawn)
    law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=limited)
    law.arrive()
    assert running(law, withdrawn) == {measures.CLOCK_RULE_RELEASE: datetime(2026, 3, 4, 23, 0, tzinfo=UTC)}
    law.wait(days=43)
    assert running(law, limited)[measures.CLOCK_RULE_RELEASE] <= law.now + timedelta(days=3)


def test_nothing_runs_for_what_has_ended(law: Countries) -> None:
    request = ask(law, urgency=URGENT)
    assert running(law, request)
    law.send(ids.KIND_FORWARDING, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    assert law.state("de", request) is State.FORWARDED
    assert not running(law, request)


def test_who_is_not_competent_forwards_at_once_and_tells_the_issuer(law: Countries) -> None:  # Art. 4(9)
    request = ask(law)
    law.send(ids.KIND_FORWARDING, THEIR_CENTRAL, "de/central-authority-2", cites=request)
    law.send(ids.KIND_FORWARDING, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.FORWARDED
    anew = law.send(
        ids.KIND_FREEZE_REQUEST,
        INVESTIGATOR,
        "de/central-authority-2",
        cites=request,
        countersigned_by=(CENTRAL,),
        measures=BLOCK,
    )
    law.arrive()
    assert law.state("de", anew) is State.ASKED


@pytest.mark.parametrize(
    ("kind", "scope"),
    [
        (ids.KIND_EVIDENCE_REQUEST, {"data_classes": WHO}),
        (ids.KIND_TAKEDOWN_NOTICE, {"data_classes": (), "measures": (ids.MEASURE_TAKE_DOWN,)}),
    ],
)
def test_whatever_was_forwarded_is_made_anew_and_cites_what_was(
    law: Countries, kind: ids.Kind.ValueType, scope: dict[str, Any]
) -> None:  # Art. 4(9), 14(8)
    request = ask(law, kind, **scope)
    fields: dict[str, Any] = {"cites": request, "countersigned_by": (CENTRAL,), **scope}
    with raises(ErrorCode.OUT_OF_ORDER):
        law.send(kind, INVESTIGATOR, "de/central-authority-2", **fields)
    law.send(ids.KIND_FORWARDING, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    anew = law.send(kind, INVESTIGATOR, "de/central-authority-2", **fields)
    law.arrive()
    assert (stand(law, request), stand(law, anew)) == (State.FORWARDED, State.ASKED)


def test_what_is_made_anew_may_ask_for_more_than_what_was_forwarded(law: Countries) -> None:
    request = ask(law, ids.KIND_EVIDENCE_REQUEST)
    law.send(ids.KIND_FORWARDING, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    more: dict[str, Any] = {"data_classes": (*WHO, ids.DATA_CLASS_TRANSACTIONAL), "countersigned_by": (CENTRAL,)}
    anew = law.send(ids.KIND_EVIDENCE_REQUEST, INVESTIGATOR, "de/central-authority-2", cites=request, **more)
    law.arrive()
    assert stand(law, anew) is State.ASKED


def test_what_carries_on_another_request_is_not_forwarded_by_whoever_executes_that(law: Countries) -> None:
    freeze, _ = frozen(law, measures=(*BLOCK, ids.MEASURE_TRANSFER))  # Art. 29(1)
    evidence, data = ask(law, ids.KIND_EVIDENCE_REQUEST), {"measures": (), "data_classes": WHO}
    decide(law, evidence, **data)
    notify(law, evidence, **data)
    for kind, cites, scope in (
        (ids.KIND_RESTITUTION_DECISION, freeze, {"measures": (ids.MEASURE_TRANSFER,)}),
        (ids.KIND_ENFORCEMENT_REQUEST, evidence, {"data_classes": WHO}),  # 2023/1543 Art. 16(1)
    ):
        carrying_on = law.send(kind, INVESTIGATOR, THEIR_CENTRAL, cites=cites, countersigned_by=(CENTRAL,), **scope)
        law.arrive()
        for recipient in (INVESTIGATOR, "de/central-authority-2"):
            step: dict[str, Any] = {"kind": ids.KIND_FORWARDING, "sender": THEIR_CENTRAL, "recipient": recipient}
            assert refusal(law, **step, cites=carrying_on) == (ErrorCode.OUT_OF_ORDER, "cites[0]")
        assert stand(law, carrying_on) is State.ASKED


# Regulation (EU) 2023/1543.


def produced(law: Countries, request: ids.EnvelopeRef, urgency: ids.Urgency.ValueType = ids.URGENCY_ORDINARY) -> None:
    """Grant a request for evidence, order the exchange, and hand over what it discloses."""
    scope: dict[str, Any] = {"measures": (), "data_classes": WHO, "urgency": urgency}
    _, decision = decide(law, request, **scope)
    notify(law, request, **scope)
    order = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, case_id="ORDER-1", **scope)
    law.send(ids.KIND_DISCLOSURE, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **scope)
    law.send(ids.KIND_DISCLOSURE, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **scope)
    law.send(ids.KIND_DISCLOSURE, THEIR_CENTRAL, INVESTIGATOR, cites=request, **scope)
    law.arrive()


def test_data_are_produced_in_10_days(law: Countries) -> None:  # Art. 10(2)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST)
    assert running(law, request) == {measures.CLOCK_RULE_PRODUCTION: datetime(2026, 3, 12, 23, 0, tzinfo=UTC)}
    law.wait(days=9)
    produced(law, request)
    law.wait(days=60)
    assert not law.said(OVERDUE, request)


def test_data_are_produced_in_8_hours_in_an_emergency(law: Countries) -> None:  # Art. 10(4)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY)
    assert running(law, request)[measures.CLOCK_RULE_EMERGENCY_PRODUCTION] == HOUR_AFTER + timedelta(hours=8)
    law.wait(hours=7)
    produced(law, request, EMERGENCY)
    law.wait(hours=2)
    assert not law.said(OVERDUE, request)


def test_enforcing_authority_objects_within_96_hours_and_the_data_are_deleted(law: Countries) -> None:  # Art. 12(1)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY)
    produced(law, request, EMERGENCY)
    law.send(ids.KIND_VALIDATION, INVESTIGATOR, THEIR_CENTRAL, cites=request, countersigned_by=(CENTRAL,))
    law.arrive()
    law.wait(hours=95)
    law.send(ids.KIND_OBJECTION, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.TO_DELETE
    law.send(ids.KIND_CLOSURE, INVESTIGATOR, THEIR_CENTRAL, cites=request)  # deleted
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.CLOSED


def test_objection_after_96_hours_is_too_late(law: Countries) -> None:  # Art. 12(1)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY)
    law.send(ids.KIND_VALIDATION, INVESTIGATOR, THEIR_CENTRAL, cites=request, countersigned_by=(CENTRAL,))
    law.arrive()
    law.wait(hours=97)
    with pytest.raises(Refusal) as caught:
        law.send(ids.KIND_OBJECTION, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    assert caught.value.code is ErrorCode.OUT_OF_ORDER


def report(law: Countries, request: ids.EnvelopeRef) -> None:
    """Report what was disclosed as executed, from the exchange to the issuer."""
    order = next(ref_of(each) for each in law.headers("de") if each.kind == ids.KIND_DOMESTIC_ORDER)
    decision = next(ref_of(each) for each in law.headers("de") if each.kind == ids.KIND_REVIEW_DECISION)
    done: dict[str, Any] = {"outcome": GRANTED, "data_classes": WHO}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **done)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **done)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, cites=request, **done)
    law.arrive()


def closed(law: Countries, request: ids.EnvelopeRef) -> bool:
    """Whether both nodes let the issuer close a request."""
    law.send(ids.KIND_CLOSURE, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request)
    return law.state("ee", request) is State.CLOSED


def test_issuer_cannot_close_what_was_never_validated(law: Countries) -> None:  # Art. 4(5)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY, countersigned_by=())
    produced(law, request, EMERGENCY)
    report(law, request)
    assert not closed(law, request)
    law.wait(hours=49)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.TO_DELETE
    assert closed(law, request), "what was sent is deleted"


def test_what_was_never_validated_is_deleted_though_it_was_withdrawn(law: Countries) -> None:  # Art. 4(5)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY, countersigned_by=())
    produced(law, request, EMERGENCY)
    law.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request)
    law.arrive()
    with pytest.raises(Refusal) as caught:
        law.send(ids.KIND_RELEASE, THEIR_CENTRAL, INVESTIGATOR, cites=request, outcome=GRANTED)
    assert caught.value.code is ErrorCode.OUT_OF_ORDER
    law.wait(hours=49)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.TO_DELETE
    assert closed(law, request)


def test_issuer_cannot_close_while_the_enforcing_authority_may_object(law: Countries) -> None:  # Art. 12(1)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY)
    produced(law, request, EMERGENCY)
    report(law, request)
    law.send(ids.KIND_VALIDATION, INVESTIGATOR, THEIR_CENTRAL, cites=request, countersigned_by=(CENTRAL,))
    law.arrive()
    law.wait(hours=95)
    assert not closed(law, request)
    law.wait(hours=2)
    assert closed(law, request)


def preserve(law: Countries) -> tuple[ids.EnvelopeRef, ids.EnvelopeRef]:
    request = law.send(ids.KIND_PRESERVATION_REQUEST, "ee/contact-point", "de/contact-point", data_classes=WHO)
    law.arrive()
    return request, order_at_once(law, request, case_id="KEEP-1", data_classes=WHO)


def test_preservation_lapses_after_60_days_with_the_order_that_rests_on_it(law: Countries) -> None:  # Art. 11(1)
    request, order = preserve(law)
    # To the end of Friday, 1 May: a holiday, so to the end of Monday (Reg. 1182/71 Art. 3(4)).
    assert running(law, request) == {measures.CLOCK_RULE_PRESERVATION: datetime(2026, 5, 4, 21, 0, tzinfo=UTC)}
    assert running(law, order)[measures.CLOCK_RULE_PRESERVATION] == datetime(2026, 5, 4, 21, 0, tzinfo=UTC)
    law.wait(days=64)
    law.arrive()
    assert {law.state("ee", request), law.state("de", request), law.state("de", order)} == {State.LAPSED}
    assert told(law, DUE_SOON, order) >= {"de/contact-point", THEIR_EXCHANGE}
    assert told(law, LAPSED, order) == {"de/contact-point", THEIR_EXCHANGE}


def test_preservation_is_extended_once_by_30_days(law: Countries) -> None:  # Art. 11(1)
    request, order = preserve(law)
    law.wait(days=50)
    extend: dict[str, Any] = {"cites": request}
    law.send(ids.KIND_EXTENSION, "ee/contact-point", "de/contact-point", **extend)
    law.arrive()
    law.send(ids.KIND_EXTENSION, "de/contact-point", THEIR_EXCHANGE, cites=order, case_id="KEEP-1")
    end = {measures.CLOCK_RULE_PRESERVATION_EXTENSION: datetime(2026, 6, 3, 21, 0, tzinfo=UTC)}
    assert running(law, request) == end
    assert (
        running(law, order)[measures.CLOCK_RULE_PRESERVATION_EXTENSION]
        == end[measures.CLOCK_RULE_PRESERVATION_EXTENSION]
    )
    law.send(ids.KIND_EXTENSION, "ee/contact-point", "de/contact-point", **extend)
    law.arrive()
    assert [refusal.code for _, refusal in law.refused] == [ErrorCode.OUT_OF_ORDER]
    law.wait(days=60)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.LAPSED


def extended_until(law: Countries, request: ids.EnvelopeRef, until: datetime) -> ids.EnvelopeRef:
    """Have a preservation extended, with an end; return what says so."""
    end = {"in_force_until_us": to_micros(until)}
    said = law.send(ids.KIND_EXTENSION, "ee/contact-point", "de/contact-point", cites=request, **end)
    law.arrive()
    return said


def test_extended_preservation_lapses_when_whoever_extends_it_says(law: Countries) -> None:  # Art. 11(1)
    request, order = preserve(law)
    law.wait(days=50)
    until = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)
    extended_until(law, request, until)
    law.send(ids.KIND_EXTENSION, "de/contact-point", THEIR_EXCHANGE, cites=order, case_id="KEEP-1")
    rule = measures.CLOCK_RULE_PRESERVATION_EXTENSION
    assert running(law, request)[rule] == running(law, order)[rule] == until
    law.wait(seconds=(until - law.now).total_seconds() - 1)
    assert stand(law, request) is State.ACKNOWLEDGED
    law.wait(seconds=2)
    law.arrive()
    assert law.unheard == []
    assert (stand(law, request), law.state("de", order)) == (State.LAPSED, State.LAPSED)


def test_preservation_is_extended_by_30_days_at_most_whatever_end_is_named(law: Countries) -> None:  # Art. 11(1)
    request, _ = preserve(law)
    law.wait(days=50)
    extended_until(law, request, NOON + timedelta(days=400))
    end = {measures.CLOCK_RULE_PRESERVATION_EXTENSION: datetime(2026, 6, 3, 21, 0, tzinfo=UTC)}
    assert running(law, request) == end


@pytest.mark.parametrize("earlier", [timedelta(), timedelta(days=1)])
def test_preservation_is_not_shortened_by_the_name_of_an_extension(law: Countries, earlier: timedelta) -> None:
    request, _ = preserve(law)
    due = running(law, request)
    law.wait(days=50)
    said = extended_until(law, request, due[measures.CLOCK_RULE_PRESERVATION] - earlier)
    ((header, said_no),) = law.refused
    assert (ref_of(header), said_no.code, said_no.field) == (said, ErrorCode.OUT_OF_ORDER, "in_force_until_us")
    assert running(law, request) == due
    extended_until(law, request, due[measures.CLOCK_RULE_PRESERVATION] + timedelta(hours=1))
    law.wait(days=20)
    law.arrive()
    assert stand(law, request) is State.LAPSED


def test_preservation_is_extended_though_a_question_crosses_with_that(law: Countries) -> None:  # Art. 11(1), 11(5)
    request, _ = preserve(law)
    law.wait(days=58)
    law.send(ids.KIND_EXTENSION, "ee/contact-point", "de/contact-point", cites=request)
    asked = law.send(ids.KIND_CLARIFICATION_REQUEST, "de/contact-point", "ee/contact-point", cites=request)
    law.arrive()
    assert measures.CLOCK_RULE_PRESERVATION_EXTENSION in running(law, request)
    law.send(ids.KIND_CLARIFICATION, "ee/contact-point", "de/contact-point", cites=asked)
    law.arrive()
    law.wait(days=20)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.ACKNOWLEDGED


def test_nobody_owes_an_answer_about_what_a_court_has_confirmed(law: Countries) -> None:  # Art. 11(5)
    request, _ = preserve(law)
    scope: dict[str, Any] = {"case_id": "DE-1", "data_classes": WHO}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/contact-point", THEIR_COURT, cites=request, **scope)
    law.send(ids.KIND_CLARIFICATION_REQUEST, "de/contact-point", "ee/contact-point", cites=request)
    granted: dict[str, Any] = {"outcome": GRANTED, "data_classes": WHO}
    fields = scope | granted | {"dual_criminality": VERIFIED}
    law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/contact-point", cites=referral, **fields)
    law.send(ids.KIND_CONFIRMATION, "de/contact-point", "ee/contact-point", cites=request, **granted)
    law.arrive()
    law.wait(days=30)
    assert law.state("ee", request) is law.state("de", request) is State.CONFIRMED
    assert not law.said(OVERDUE, request)


def test_what_the_exchange_was_told_to_keep_on_does_not_lapse_by_silence(law: Countries) -> None:  # Art. 11(5)
    request, order = preserve(law)
    scope: dict[str, Any] = {"case_id": "DE-1", "data_classes": WHO}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/contact-point", THEIR_COURT, cites=request, **scope)
    asked = law.send(ids.KIND_CLARIFICATION_REQUEST, "de/contact-point", "ee/contact-point", cites=request)
    law.arrive()
    granted: dict[str, Any] = {"outcome": GRANTED, "data_classes": WHO}
    fields = scope | granted | {"dual_criminality": VERIFIED}
    law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/contact-point", cites=referral, **fields)
    law.send(ids.KIND_CONFIRMATION, "de/contact-point", THEIR_EXCHANGE, cites=order, case_id="KEEP-1", **granted)
    law.wait(days=30)  # and nobody has confirmed it abroad
    law.arrive()
    assert law.state("de", order) is State.CONFIRMED
    assert law.state("ee", request) is law.state("de", request) is State.CLARIFYING
    law.send(ids.KIND_CLARIFICATION, "ee/contact-point", "de/contact-point", cites=asked)
    law.send(ids.KIND_CONFIRMATION, "de/contact-point", "ee/contact-point", cites=request, **granted)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.CONFIRMED


@pytest.mark.parametrize("kind", [ids.KIND_EVIDENCE_REQUEST, ids.KIND_ENFORCEMENT_REQUEST])
def test_nobody_owes_an_answer_about_what_was_decided_without_it(law: Countries, kind: ids.Kind.ValueType) -> None:
    request = ask(law, kind) if kind == ids.KIND_EVIDENCE_REQUEST else unanswered(law)
    law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    scope: dict[str, Any] = {"measures": (), "data_classes": WHO}
    decide(law, request, **scope)
    notify(law, request, **scope)
    law.wait(days=9)
    asking = {measures.CLOCK_RULE_CLARIFICATION, measures.CLOCK_RULE_ENFORCEMENT_INFORMATION}
    assert asking.isdisjoint(word.clock_rule for _, word in law.said(OVERDUE, request))
    assert asking.isdisjoint(running(law, request))


def test_preservation_lasts_as_long_as_needed_once_it_is_confirmed(law: Countries) -> None:  # Art. 11(2), Annex V
    request, order = preserve(law)
    scope: dict[str, Any] = {"case_id": "DE-1", "data_classes": WHO}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/contact-point", THEIR_COURT, cites=request, **scope)
    granted: dict[str, Any] = {"outcome": GRANTED, "data_classes": WHO}
    law.send(
        ids.KIND_REVIEW_DECISION,
        THEIR_COURT,
        "de/contact-point",
        cites=referral,
        case_id="DE-1",
        dual_criminality=VERIFIED,
        **granted,
    )
    law.send(ids.KIND_CONFIRMATION, "de/contact-point", THEIR_EXCHANGE, cites=order, case_id="KEEP-1", **granted)
    law.send(ids.KIND_CONFIRMATION, "de/contact-point", "ee/contact-point", cites=request, **granted)
    law.arrive()
    law.wait(days=1000)
    assert {law.state("ee", request), law.state("de", request), law.state("de", order)} == {State.CONFIRMED}


NOTICE, POINTS = ids.KIND_PRODUCTION_NOTICE, ("ee/contact-point", "de/contact-point")


def kept_on(law: Countries) -> tuple[ids.EnvelopeRef, ids.EnvelopeRef]:
    """Return a request to preserve data and the order, of both of which it was said that a request follows."""
    request, order = preserve(law)
    law.wait(days=50)
    law.send(NOTICE, *POINTS, cites=request)
    law.arrive()
    law.send(NOTICE, "de/contact-point", THEIR_EXCHANGE, cites=order, case_id="KEEP-1")
    return request, order


def test_data_are_kept_on_as_long_as_necessary_for_a_request_that_follows(law: Countries) -> None:  # Art. 11(2)
    request, order = kept_on(law)
    # 21 April and 90 days: 20 July, a Monday, in Estonia, whose request must follow.
    assert running(law, request) == {measures.CLOCK_RULE_SUBSEQUENT_REQUEST: datetime(2026, 7, 20, 21, 0, tzinfo=UTC)}
    assert measures.CLOCK_RULE_PRESERVATION not in running(law, order)
    law.wait(days=89)
    law.arrive()
    assert told(law, DUE_SOON, request) >= {"ee/node", "de/contact-point"}
    assert told(law, DUE_SOON, order) >= {"de/contact-point", THEIR_EXCHANGE}
    law.wait(days=1000)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.ACKNOWLEDGED
    assert law.state("de", order) is State.ASKED
    assert told(law, OVERDUE, request) == {"ee/node", "de/contact-point"}
    assert told(law, OVERDUE, order) == {"de/contact-point", THEIR_EXCHANGE}
    assert not law.said(LAPSED, request)
    law.send(NOTICE, *POINTS, cites=request)  # still
    law.arrive()
    assert min(running(law, request).values()) > law.now + timedelta(days=89)


@pytest.mark.parametrize("ends", ["withdrawn", "released"])
def test_what_is_kept_on_ends_when_whoever_asked_or_was_asked_says_so(law: Countries, ends: str) -> None:  # Art. 11(3)
    request, order = kept_on(law)
    if ends == "withdrawn":
        law.send(ids.KIND_WITHDRAWAL, *POINTS, cites=request)
        law.arrive()
        assert running(law, request).keys() == {measures.CLOCK_RULE_RELEASE}, "nobody is asked whether it is needed"
    confirmed: dict[str, Any] = {"cites": request, "outcome": GRANTED}
    with raises(ErrorCode.OUT_OF_ORDER):
        law.send(ids.KIND_RELEASE, *reversed(POINTS), **confirmed)  # it is kept there still
    here = {"case_id": "KEEP-1", "outcome": GRANTED}
    release = law.send(ids.KIND_RELEASE, "de/contact-point", THEIR_EXCHANGE, cites=order, **here)
    assert measures.CLOCK_RULE_SUBSEQUENT_REQUEST not in running(law, order)
    with raises(ErrorCode.OUT_OF_ORDER):
        law.send(ids.KIND_RELEASE, *reversed(POINTS), **confirmed)  # and it has not said that it is not
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, "de/contact-point", cites=release, **here)
    law.send(ids.KIND_RELEASE, *reversed(POINTS), **confirmed)
    law.arrive()
    assert {law.state("ee", request), law.state("de", request), law.state("de", order)} == {State.RELEASED}
    assert running(law, request) == running(law, order) == {}


def test_an_exchange_keeps_nothing_on_for_which_nobody_has_announced_a_request(law: Countries) -> None:
    request, order = preserve(law)
    with raises(ErrorCode.OUT_OF_ORDER):
        law.send(NOTICE, "de/contact-point", THEIR_EXCHANGE, cites=order, case_id="KEEP-1")
    law.wait(days=64)
    law.arrive()
    with raises(ErrorCode.OUT_OF_ORDER):
        law.send(NOTICE, *POINTS, cites=request)
    assert law.state("ee", request) is law.state("de", order) is State.LAPSED


def test_a_request_that_is_announced_too_late_revives_nothing(
    law: Countries,
) -> None:  # Art. 11(2): "during the period"
    request, order = preserve(law)
    law.wait(days=59)
    law.send(NOTICE, *POINTS, cites=request)
    law.wait(days=20)  # on its way
    law.arrive()
    assert not law.refused
    assert {law.state("ee", request), law.state("de", request), law.state("de", order)} == {State.LAPSED}
    assert running(law, request) == running(law, order) == {}


def test_an_exchange_that_is_not_told_keeps_nothing_on(law: Countries) -> None:
    request, order = preserve(law)
    law.send(NOTICE, *POINTS, cites=request)
    law.arrive()
    law.wait(days=64)
    assert law.state("de", order) is State.LAPSED
    assert law.state("de", request) is State.ACKNOWLEDGED
    again = order_at_once(law, request, case_id="KEEP-2", data_classes=WHO)
    assert measures.CLOCK_RULE_SUBSEQUENT_REQUEST in running(law, again)


def test_what_is_kept_on_lapses_by_silence_at_the_exchange_too(law: Countries) -> None:  # Art. 11(5)
    request, order = kept_on(law)
    law.send(ids.KIND_CLARIFICATION_REQUEST, *reversed(POINTS), cites=request)
    law.arrive()
    law.wait(days=20)
    law.arrive()
    assert {law.state("ee", request), law.state("de", request), law.state("de", order)} == {State.LAPSED}
    assert told(law, LAPSED, order) == {"de/contact-point", THEIR_EXCHANGE}


def test_both_sides_are_reminded_of_what_a_judge_has_data_kept_for(law: Countries) -> None:  # Art. 11(2)-(3)
    request, order = preserve(law)
    scope: dict[str, Any] = {"case_id": "DE-1", "data_classes": WHO}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/contact-point", THEIR_COURT, cites=request, **scope)
    granted: dict[str, Any] = {"outcome": GRANTED, "data_classes": WHO}
    fields = scope | granted | {"dual_criminality": VERIFIED}
    law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/contact-point", cites=referral, **fields)
    law.send(ids.KIND_CONFIRMATION, "de/contact-point", THEIR_EXCHANGE, cites=order, case_id="KEEP-1", **granted)
    law.send(ids.KIND_CONFIRMATION, *reversed(POINTS), cites=request, **granted)
    law.arrive()
    first = running(law, request)
    assert first.keys() == {measures.CLOCK_RULE_SUBSEQUENT_REQUEST}
    law.wait(days=60)
    law.send(NOTICE, *POINTS, cites=request)
    law.arrive()
    assert min(running(law, request).values()) > max(first.values())
    law.wait(days=100)
    law.arrive()
    assert told(law, OVERDUE, request) == {"ee/node", "de/contact-point"}
    assert law.state("ee", request) is law.state("de", order) is State.CONFIRMED


def test_what_is_not_validated_in_48_hours_is_withdrawn_and_deleted(law: Countries) -> None:  # Art. 4(5)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY, countersigned_by=())
    assert running(law, request)[measures.CLOCK_RULE_EX_POST_VALIDATION] == HOUR_AFTER + timedelta(hours=48)
    produced(law, request, EMERGENCY)
    law.wait(hours=49)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.TO_DELETE
    assert told(law, LAPSED, request) == BOTH


@pytest.mark.parametrize("objects", [True, False])
def test_nobody_owes_anything_on_what_is_to_be_deleted(law: Countries, objects: bool) -> None:  # Art. 4(5), 12(2)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY, countersigned_by=())
    law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    if objects:
        law.send(ids.KIND_OBJECTION, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.wait(hours=50)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.TO_DELETE
    asked_of_others = {measures.CLOCK_RULE_ENFORCING_OBJECTION, measures.CLOCK_RULE_DELETION}
    assert set(running(law, request)) <= asked_of_others
    law.wait(days=9)
    assert overdue(law, request) == {measures.CLOCK_RULE_DELETION}


def test_what_is_asked_is_validated_as_a_whole(law: Countries) -> None:  # Art. 4(5)
    asked = (ids.DATA_CLASS_SUBSCRIBER, ids.DATA_CLASS_IDENTIFICATION)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY, countersigned_by=(), data_classes=asked)
    validate: dict[str, Any] = {"cites": request, "countersigned_by": (CENTRAL,)}
    with pytest.raises(Refusal) as caught:
        law.send(ids.KIND_VALIDATION, INVESTIGATOR, THEIR_CENTRAL, data_classes=asked[:1], **validate)
    assert (caught.value.code, caught.value.field) == (ErrorCode.OUT_OF_ORDER, "data_classes")
    law.send(ids.KIND_VALIDATION, INVESTIGATOR, THEIR_CENTRAL, data_classes=asked, **validate)


def test_what_is_validated_in_48_hours_stands(law: Countries) -> None:  # Art. 4(5)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY, countersigned_by=())
    law.wait(hours=47)
    validate: dict[str, Any] = {"cites": request, "data_classes": WHO}
    with pytest.raises(Refusal) as caught:
        law.send(ids.KIND_VALIDATION, INVESTIGATOR, THEIR_CENTRAL, **validate)
    assert caught.value.code is ErrorCode.NOT_COUNTERSIGNED
    law.send(ids.KIND_VALIDATION, INVESTIGATOR, THEIR_CENTRAL, countersigned_by=(CENTRAL,), **validate)
    law.arrive()
    law.wait(days=5)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.ASKED


def test_only_who_somebody_is_can_be_had_unvalidated_in_an_emergency(law: Countries) -> None:  # Art. 4(5)
    with pytest.raises(Refusal) as caught:
        ask(
            law,
            ids.KIND_EVIDENCE_REQUEST,
            urgency=EMERGENCY,
            countersigned_by=(),
            data_classes=(ids.DATA_CLASS_TRANSACTIONAL,),
        )
    assert (caught.value.code, caught.value.field) == (ErrorCode.EXCEEDS_GRANT, "data_classes[0]")


def test_what_was_validated_before_it_left_needs_no_validation_afterwards(law: Countries) -> None:  # Art. 4(5)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY)
    assert measures.CLOCK_RULE_EX_POST_VALIDATION not in running(law, request)
    produced(law, request, EMERGENCY)
    law.wait(days=5)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.GRANTED


def test_what_people_did_can_be_had_in_8_hours_if_it_was_validated_before(law: Countries) -> None:  # Art. 10(4)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY, data_classes=(ids.DATA_CLASS_TRANSACTIONAL,))
    assert running(law, request)[measures.CLOCK_RULE_EMERGENCY_PRODUCTION] == HOUR_AFTER + timedelta(hours=8)


def test_issuer_has_5_days_to_clarify_and_the_duty_to_produce_rests(law: Countries) -> None:  # Art. 10(6)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST)
    due = running(law, request)[measures.CLOCK_RULE_PRODUCTION]
    law.wait(days=4)
    asked = law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    assert running(law, request)[measures.CLOCK_RULE_CLARIFICATION] == datetime(2026, 3, 11, 22, 0, tzinfo=UTC)
    law.wait(days=20)
    assert {word.clock_rule for _, word in law.said(OVERDUE, request)} == {measures.CLOCK_RULE_CLARIFICATION}
    law.send(ids.KIND_CLARIFICATION, INVESTIGATOR, THEIR_CENTRAL, cites=asked)
    law.arrive()
    assert running(law, request) == {measures.CLOCK_RULE_PRODUCTION: due + timedelta(days=20)}


@pytest.mark.parametrize(
    ("hours", "due"),
    [
        (24, datetime(2026, 3, 13, 23, 0, tzinfo=UTC)),  # Friday ends
        (40, datetime(2026, 3, 16, 23, 0, tzinfo=UTC)),  # Saturday gives way to Monday
        (72, datetime(2026, 3, 16, 23, 0, tzinfo=UTC)),  # and so does Sunday, when it ends
        (73, datetime(2026, 3, 16, 0, 0, tzinfo=UTC)),  # to the hour on a day that is worked
    ],
)
def test_duty_to_produce_that_has_rested_ends_on_no_day_that_is_not_worked(
    law: Countries, hours: int, due: datetime
) -> None:  # Reg. 1182/71 Art. 3(4)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST)
    assert running(law, request)[measures.CLOCK_RULE_PRODUCTION] == datetime(2026, 3, 12, 23, 0, tzinfo=UTC)
    law.wait(days=1)
    asked = law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    law.wait(hours=hours)
    law.send(ids.KIND_CLARIFICATION, INVESTIGATOR, THEIR_CENTRAL, cites=asked)
    law.arrive()
    assert running(law, request) == {measures.CLOCK_RULE_PRODUCTION: due}
    law.wait(seconds=(due - law.now).total_seconds() - 1)
    assert not law.said(OVERDUE, request)
    law.wait(seconds=1)
    assert overdue(law, request) == {measures.CLOCK_RULE_PRODUCTION}


def test_hours_that_have_rested_end_on_a_saturday_too(law: Countries) -> None:  # Reg. 1182/71 Art. 3(4)
    request = ask(law, urgency=URGENT)
    _, decision = decide(law, request, urgency=URGENT)
    notify(law, request, urgency=URGENT)
    due = running(law, request)[measures.CLOCK_RULE_URGENT_EXECUTION]
    suspends: dict[str, Any] = {"outcome": ids.OUTCOME_POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    filed = law.send(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **suspends)
    sent = law.send(ids.KIND_CLAIM, THEIR_CENTRAL, INVESTIGATOR, cites=request, **suspends)
    law.wait(days=3)
    law.send(ids.KIND_CLAIM_DECISION, THEIR_COURT, THEIR_CENTRAL, cites=filed, case_id="DE-1", outcome=REFUSED)
    law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=sent, outcome=REFUSED)
    law.arrive()
    assert due + timedelta(days=3) == datetime(2026, 3, 7, 13, 0, tzinfo=UTC)
    assert running(law, request)[measures.CLOCK_RULE_URGENT_EXECUTION] == due + timedelta(days=3)


def asked_twice(law: Countries) -> ids.EnvelopeRef:
    """Return a request for evidence, granted, of which several questions may be open."""
    request, scope = ask(law, ids.KIND_EVIDENCE_REQUEST), {"measures": (), "data_classes": WHO}
    decide(law, request, **scope)
    notify(law, request, **scope)
    return request


def ask_in_vain(law: Countries, request: ids.EnvelopeRef) -> None:
    """Ask the issuer something; that expires in an hour."""
    soon = to_micros(law.now + timedelta(hours=1))
    law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request, expires_at_us=soon)


def resting(law: Countries, ref: ids.EnvelopeRef) -> set[measures.ClockRule.ValueType]:
    return {clock.rule for clock in law.clocks("de", ref) if clock.paused_at_us is not None}


@pytest.mark.parametrize("in_vain", [1, 2])
def test_duty_to_produce_rests_though_the_first_of_several_questions_never_arrives(
    law: Countries, in_vain: int
) -> None:  # Art. 10(6)
    request = asked_twice(law)
    due = running(law, request)[measures.CLOCK_RULE_PRODUCTION]
    law.wait(days=4)
    for _ in range(in_vain):
        ask_in_vain(law, request)
    law.wait(minutes=30)
    asked = law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.wait(minutes=40)
    law.sweep()
    law.arrive()
    assert resting(law, request) == {measures.CLOCK_RULE_PRODUCTION}
    law.wait(days=20, minutes=-40)
    assert measures.CLOCK_RULE_PRODUCTION not in {word.clock_rule for _, word in law.said(OVERDUE, request)}
    law.send(ids.KIND_CLARIFICATION, INVESTIGATOR, THEIR_CENTRAL, cites=asked)
    law.arrive()
    # From the first that arrived on.
    assert running(law, request) == {measures.CLOCK_RULE_PRODUCTION: due + timedelta(days=20)}


def test_duty_to_produce_that_had_run_out_when_the_question_was_asked_that_arrived_rests_no_more(
    law: Countries,
) -> None:
    request = asked_twice(law)
    due = from_micros(law.clocks("de", request)[0].due_at_us)
    law.wait(seconds=(due - law.now).total_seconds() - 1800)
    ask_in_vain(law, request)
    law.wait(minutes=50)
    law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.wait(minutes=20)
    assert resting(law, request) >= {measures.CLOCK_RULE_PRODUCTION}
    law.sweep()
    law.arrive()
    assert not resting(law, request)
    law.wait(minutes=1)
    assert measures.CLOCK_RULE_PRODUCTION in {word.clock_rule for _, word in law.said(OVERDUE, request)}


def test_question_that_never_arrives_lets_the_duty_to_produce_run_on_if_it_was_the_last(law: Countries) -> None:
    request = asked_twice(law)
    law.wait(days=2)
    ask_in_vain(law, request)
    ask_in_vain(law, request)
    law.wait(minutes=70)
    assert measures.CLOCK_RULE_PRODUCTION in resting(law, request)
    law.sweep()
    law.arrive()
    assert not resting(law, request)


@pytest.mark.parametrize("decided", [True, False])
def test_execution_rests_though_the_first_of_two_claims_never_arrives_and_no_longer_than_for_the_other(
    law: Countries, decided: bool
) -> None:  # Art. 33(3)
    request = ask(law, urgency=URGENT)
    _, decision = decide(law, request, urgency=URGENT)
    notify(law, request, urgency=URGENT)
    suspends: dict[str, Any] = {"outcome": ids.OUTCOME_POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    for expiry in ({"expires_at_us": to_micros(law.now + timedelta(hours=1))}, {}):
        filed = law.send(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **suspends)
        sent = law.send(ids.KIND_CLAIM, THEIR_CENTRAL, INVESTIGATOR, cites=request, **suspends, **expiry)
    if decided:
        law.send(ids.KIND_CLAIM_DECISION, THEIR_COURT, THEIR_CENTRAL, cites=filed, case_id="DE-1", outcome=REFUSED)
        law.send(ids.KIND_CLAIM_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=sent, outcome=REFUSED)
    rests = {measures.CLOCK_RULE_URGENT_EXECUTION}
    assert resting(law, request) == rests
    law.wait(minutes=70)
    law.sweep()
    law.arrive()
    assert resting(law, request) == (set() if decided else rests)


def test_preservation_falls_away_if_the_issuer_stays_silent_for_5_days(law: Countries) -> None:  # Art. 11(5)
    request, order = preserve(law)
    law.send(ids.KIND_CLARIFICATION_REQUEST, "de/contact-point", "ee/contact-point", cites=request)
    law.arrive()
    law.wait(days=9)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.LAPSED
    assert law.state("de", order) is State.LAPSED, "what rests on it ends with it"
    assert told(law, LAPSED, order) == {"de/contact-point", THEIR_EXCHANGE}
    found = fsck.check(law.nodes["de"].connection, node="de")
    assert not [each.first for each in found if each.check in (fsck.Check.MOVES, fsck.Check.CLOCKS) and each.first]


def test_nobody_is_silent_on_a_question_that_has_not_come(law: Countries) -> None:  # Art. 11(5)
    request, order = preserve(law)
    asked = law.send(ids.KIND_CLARIFICATION_REQUEST, "de/contact-point", "ee/contact-point", cites=request)
    law.wait(days=30)  # the node there is down
    assert law.state("de", request) is State.CLARIFYING
    assert law.state("de", order) is State.ASKED
    law.arrive()
    # Received on Wednesday, 1 April; the fifth day after is Easter Monday, a holiday in Germany and none in Estonia.
    assert running(law, request)[measures.CLOCK_RULE_CLARIFICATION] == datetime(2026, 4, 6, 21, 0, tzinfo=UTC)
    law.send(ids.KIND_CLARIFICATION, "ee/contact-point", "de/contact-point", cites=asked)
    law.arrive()
    assert measures.CLOCK_RULE_CLARIFICATION not in running(law, request)
    assert law.state("ee", request) is law.state("de", request) is State.ACKNOWLEDGED


def test_answer_that_comes_before_the_word_that_the_question_did_is_owed_no_more(law: Countries) -> None:
    request, _ = preserve(law)
    asked = law.send(ids.KIND_CLARIFICATION_REQUEST, "de/contact-point", "ee/contact-point", cites=request)
    _, question = law.on_the_way.popleft()
    law.take("ee", question)
    law.send(ids.KIND_CLARIFICATION, "ee/contact-point", "de/contact-point", cites=asked)
    law.arrive()
    law.taken("ee", question)
    assert measures.CLOCK_RULE_CLARIFICATION not in running(law, request)
    law.wait(days=30)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.ACKNOWLEDGED


def test_issuer_has_six_weeks_from_when_it_is_asked_to_limit(law: Countries) -> None:  # Art. 12(2)
    request, _ = frozen(law)
    law.send(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.wait(days=50)
    assert law.state("de", request) is State.LIMITING
    law.arrive()
    law.wait(days=41)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.LIMITING
    law.wait(days=3)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.UNBOUND


def unanswered(law: Countries) -> ids.EnvelopeRef:
    """Return a request for evidence that was granted, and whose enforcement is asked for."""
    evidence = ask(law, ids.KIND_EVIDENCE_REQUEST)
    produced(law, evidence)
    return ask(law, ids.KIND_ENFORCEMENT_REQUEST, cites=evidence)


def test_enforcement_is_recognised_in_5_working_days(law: Countries) -> None:  # Art. 16(2)
    request = unanswered(law)
    # Asked on Monday: to the end of the next Monday.
    assert running(law, request) == {
        measures.CLOCK_RULE_ENFORCEMENT_RECOGNITION: datetime(2026, 3, 9, 23, 0, tzinfo=UTC)
    }
    law.wait(days=8)
    assert told(law, OVERDUE, request) == BOTH


def test_enforcing_authority_is_informed_in_5_working_days(law: Countries) -> None:  # Art. 16(7)
    request = unanswered(law)
    law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, cites=request)
    law.arrive()
    assert running(law, request)[measures.CLOCK_RULE_ENFORCEMENT_INFORMATION] == datetime(2026, 3, 9, 22, 0, tzinfo=UTC)


def objection(law: Countries, **delay: float) -> Callable[[], ids.EnvelopeRef]:
    request = ask(law)
    _, decision = decide(law, request)
    order = law.send(
        ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, case_id="ORDER-1", measures=BLOCK
    )
    law.wait(**delay)
    return lambda: law.send(ids.KIND_OBJECTION, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1")


def test_provider_objects_within_10_days_and_execution_rests_meanwhile(law: Countries) -> None:  # Art. 17(2)
    made = objection(law, days=10)()
    with law._transaction(law.nodes["de"]) as txn:
        order = txn.matters.chain(made)[1][0]
    report: dict[str, Any] = {"cites": ids.EnvelopeRef(sender=order.sender, id=order.id), "case_id": "ORDER-1"}
    with pytest.raises(Refusal) as caught:
        law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, outcome=GRANTED, measures=BLOCK, **report)
    assert caught.value.code is ErrorCode.OUT_OF_ORDER
    law.send(ids.KIND_OBJECTION_DECISION, THEIR_COURT, THEIR_EXCHANGE, cites=made, case_id="ORDER-1", outcome=REFUSED)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, outcome=GRANTED, measures=BLOCK, **report)


def taken_down(law: Countries) -> ids.EnvelopeRef:
    """Return what a court has ordered an exchange to take down within the hour."""
    down = (ids.MEASURE_TAKE_DOWN,)
    request = ask(law, ids.KIND_TAKEDOWN_NOTICE, measures=down, data_classes=(), urgency=EMERGENCY)
    _, decision = decide(law, request, measures=down)
    order: dict[str, Any] = {"case_id": "DOWN-1", "measures": down, "urgency": EMERGENCY}
    return law.send(ids.KIND_TAKEDOWN_NOTICE, THEIR_COURT, THEIR_EXCHANGE, cites=decision, **order)


def test_hour_to_take_terrorist_content_down_begins_when_what_is_meant_is_clear(law: Countries) -> None:
    notice = taken_down(law)  # 2021/784 Art. 3(3), 3(8)
    law.wait(minutes=30)
    about: dict[str, Any] = {"case_id": "DOWN-1"}
    asked = law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_EXCHANGE, THEIR_COURT, cites=notice, **about)
    law.wait(hours=12)
    law.send(ids.KIND_CLARIFICATION, THEIR_COURT, THEIR_EXCHANGE, cites=asked, **about)
    assert running(law, notice)[measures.CLOCK_RULE_TERRORIST_CONTENT] == NOON + timedelta(hours=14)
    assert not law.said(OVERDUE, notice)
    law.wait(hours=2)
    assert law.said(OVERDUE, notice)


def test_nobody_owes_within_the_hour_what_the_court_has_taken_back(law: Countries) -> None:  # 2021/784 Art. 3(3)
    order = taken_down(law)
    release: dict[str, Any] = {"cites": order, "case_id": "DOWN-1", "outcome": GRANTED}
    law.send(ids.KIND_RELEASE, THEIR_COURT, THEIR_EXCHANGE, **release)
    law.wait(hours=3)
    assert law.state("de", order) is State.RELEASING
    assert not law.said(OVERDUE, order)


def test_clarification_of_another_order_gives_nobody_an_hour(law: Countries) -> None:
    request = ask(law)
    _, decision = decide(law, request)
    order = law.send(
        ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, case_id="ORDER-1", measures=BLOCK
    )
    about: dict[str, Any] = {"case_id": "ORDER-1"}
    asked = law.send(ids.KIND_CLARIFICATION_REQUEST, THEIR_EXCHANGE, THEIR_COURT, cites=order, **about)
    law.send(ids.KIND_CLARIFICATION, THEIR_COURT, THEIR_EXCHANGE, cites=asked, **about)
    assert running(law, order).keys() == {measures.CLOCK_RULE_PROVIDER_OBJECTION}


def test_provider_has_10_days_to_object_though_a_judge_confirms_in_one(law: Countries) -> None:  # Art. 17(2)
    request, order = preserve(law)
    scope: dict[str, Any] = {"case_id": "DE-1", "data_classes": WHO}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/contact-point", THEIR_COURT, cites=request, **scope)
    granted: dict[str, Any] = {"outcome": GRANTED, "data_classes": WHO}
    fields = scope | granted | {"dual_criminality": VERIFIED, "cites": referral}
    law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/contact-point", **fields)
    law.send(ids.KIND_CONFIRMATION, "de/contact-point", THEIR_EXCHANGE, cites=order, case_id="KEEP-1", **granted)
    law.wait(days=9)
    objects: dict[str, Any] = {"cites": order, "case_id": "KEEP-1"}
    objection = law.send(ids.KIND_OBJECTION, THEIR_EXCHANGE, "de/contact-point", **objects)
    assert law.state("de", order) is State.CONFIRMED  # it is kept meanwhile
    decided: dict[str, Any] = {"cites": objection, "case_id": "KEEP-1", "outcome": GRANTED}
    law.send(ids.KIND_OBJECTION_DECISION, "de/contact-point", THEIR_EXCHANGE, **decided)
    with pytest.raises(Refusal) as caught:
        law.send(ids.KIND_OBJECTION_DECISION, "de/contact-point", THEIR_EXCHANGE, **decided | {"outcome": REFUSED})
    assert caught.value.code is ErrorCode.OUT_OF_ORDER
    law.send(ids.KIND_RELEASE, "de/contact-point", THEIR_EXCHANGE, **objects, outcome=GRANTED)


def test_provider_that_objects_after_10_days_is_too_late(law: Countries) -> None:  # Art. 17(2)
    late = objection(law, days=11)
    with pytest.raises(Refusal) as caught:
        late()
    assert caught.value.code is ErrorCode.OUT_OF_ORDER


# What the table of formats does not have, and the fast lane needs.


def provisional(law: Countries) -> tuple[ids.EnvelopeRef, ids.EnvelopeRef]:
    request = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK)
    law.arrive()
    return request, order_at_once(law, request, case_id="HOLD-1", measures=BLOCK)


def test_provisional_freeze_that_nobody_confirms_lapses_with_warnings_before(law: Countries) -> None:  # 2024/1260
    request, order = provisional(law)
    law.wait(days=9)
    law.arrive()
    assert {law.state("ee", request), law.state("de", request), law.state("de", order)} == {State.LAPSED}
    said = [word.milestone for to, word in law.told if to == THEIR_EXCHANGE and word.clock_rule]
    lapse = [m for m in said if m in (DUE_SOON, LAPSED)]
    assert lapse[-1] == LAPSED
    assert DUE_SOON in lapse[:-1]


def test_what_was_held_and_confirmed_in_time_is_never_overdue(law: Countries) -> None:  # 2018/1805 Art. 9(3)
    request = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK, urgency=URGENT)
    law.arrive()
    order = order_at_once(law, request, case_id="HOLD-1", measures=BLOCK)
    held: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, "de/fiu", cites=order, case_id="HOLD-1", **held)
    law.send(ids.KIND_EXECUTION_REPORT, "de/fiu", "ee/fiu", cites=request, **held)
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/fiu", THEIR_COURT, cites=request, case_id="DE-1", measures=BLOCK)
    decided = held | {"case_id": "DE-1", "dual_criminality": VERIFIED}
    law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/fiu", cites=referral, **decided)
    law.send(ids.KIND_CONFIRMATION, "de/fiu", THEIR_EXCHANGE, cites=order, case_id="HOLD-1", **held)
    law.send(ids.KIND_CONFIRMATION, "de/fiu", "ee/fiu", cites=request, **held)
    law.arrive()
    law.wait(days=30)
    law.arrive()
    assert law.state("ee", request) is law.state("de", request) is State.CONFIRMED
    assert not law.said(OVERDUE, request)


def test_evidence_has_no_48_hours_to_be_executed(law: Countries) -> None:  # 2023/1543 Art. 10(4)
    request = ask(law, ids.KIND_EVIDENCE_REQUEST, urgency=EMERGENCY)
    produced(law, request, EMERGENCY)
    law.wait(days=5)
    assert not law.said(OVERDUE, request)


def test_country_may_let_what_is_provisional_lapse_sooner(tmp_path: Path) -> None:
    sooner = Policy.load(b'country = "de"\n[provisional]\nlapse_hours = 24\nlaw = "StPO 111e"\n', "policy")
    law = countries(tmp_path, de=sooner)
    request, order = provisional(law)
    law.wait(hours=25)
    law.arrive()
    assert {law.state("ee", request), law.state("de", request), law.state("de", order)} == {State.LAPSED}


def test_country_where_only_a_judge_orders_tells_that_it_holds_what_was_asked_at_once(tmp_path: Path) -> None:
    strict = Policy.load(b'country = "de"\nprovisional = { orders_by = [], law = "a judge at once" }', "policy.toml")
    law = countries(tmp_path, de=strict)
    request = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK)
    law.arrive()
    scope: dict[str, Any] = {"case_id": "DE-1", "measures": BLOCK}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/fiu", THEIR_COURT, cites=request, **scope)
    scope |= {"outcome": GRANTED}
    fields: dict[str, Any] = scope | {"dual_criminality": VERIFIED}
    decision = law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/fiu", cites=referral, **fields)
    fields = {"case_id": "ORDER-1", "measures": BLOCK}
    order = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, **fields)
    report: dict[str, Any] = {"outcome": GRANTED, "measures": BLOCK}
    with raises(ErrorCode.OUT_OF_ORDER):  # nobody has reported it yet
        law.send(ids.KIND_EXECUTION_REPORT, "de/fiu", "ee/fiu", cites=request, **report)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, **fields, outcome=GRANTED)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_COURT, "de/fiu", cites=decision, **scope)
    law.send(ids.KIND_EXECUTION_REPORT, "de/fiu", "ee/fiu", cites=request, **report)
    law.arrive()
    assert law.state("ee", request) is State.EXECUTED


@pytest.mark.parametrize(
    "words",
    [
        b'provisional = { orders_by = ["fiu"], law = "the FIU orders" }',
        b'provisional = { orders_by = ["contact-point"], law = "the contact point orders" }',
        b'countersign = [{ kind = "provisional-order", by = "fiu", law = "the FIU signs it too" }]',
        b'refuse = [{ kind = "provisional-freeze", direction = "in", from = "contact-point", law = "no" }]',
        b'refuse = [{ kind = "provisional-freeze", direction = "in", from = "fiu", law = "no" }]',
    ],
)
def test_who_has_two_roles_acts_in_that_which_its_countrys_law_lets_act(tmp_path: Path, words: bytes) -> None:
    known = DIRECTORY.model_dump()
    for each in known["participants"]:
        if str(each["address"]) in {"ee/fiu", "de/fiu"}:
            each["roles"] = frozenset({Role.FIU, Role.CONTACT_POINT})
    strict = Policy.load(b'country = "de"\n' + words, "policy.toml")
    law = countries(tmp_path, DIRECTORY.model_validate(known), de=strict)
    request = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK)
    law.arrive()
    order = order_at_once(law, request, case_id="A", measures=BLOCK)
    assert (stand(law, request), law.state("de", order)) == (State.ACKNOWLEDGED, State.ASKED)


def test_who_has_two_roles_is_refused_where_its_countrys_law_lets_neither_act(tmp_path: Path) -> None:
    known = DIRECTORY.model_dump()
    for each in known["participants"]:
        if str(each["address"]) == "de/fiu":
            each["roles"] = frozenset({Role.FIU, Role.CONTACT_POINT})
    strict = Policy.load(b'country = "de"\nprovisional = { orders_by = [], law = "a judge at once" }', "policy.toml")
    law = countries(tmp_path, DIRECTORY.model_validate(known), de=strict)
    request = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK)
    law.arrive()
    with raises(ErrorCode.NATIONAL_LAW):
        order_at_once(law, request, case_id="A", measures=BLOCK)


def test_freeze_with_an_end_is_raised_to_the_court_and_not_released_by_itself(law: Countries) -> None:
    request = ask(law)
    _, decision = decide(law, request)
    notify(law, request)
    order = law.send(
        ids.KIND_DOMESTIC_ORDER,
        THEIR_COURT,
        THEIR_EXCHANGE,
        cites=decision,
        case_id="ORDER-1",
        measures=BLOCK,
        in_force_until_us=to_micros(NOON + timedelta(days=90)),
    )
    law.send(
        ids.KIND_EXECUTION_REPORT,
        THEIR_EXCHANGE,
        THEIR_COURT,
        cites=order,
        case_id="ORDER-1",
        measures=BLOCK,
        outcome=GRANTED,
    )
    law.wait(days=91)
    warned = [word for to, word in law.said(DUE_SOON, order) if to == THEIR_COURT]
    assert len(warned) == 3  # two weeks, one week and two days before
    assert told(law, OVERDUE, order) == {THEIR_COURT, THEIR_EXCHANGE}
    assert law.state("de", order) is State.EXECUTED


def test_extension_moves_the_end(law: Countries) -> None:
    request = ask(law)
    _, decision = decide(law, request)
    until = to_micros(NOON + timedelta(days=90))
    order = law.send(
        ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, case_id="ORDER-1", measures=BLOCK,
        in_force_until_us=until,
    )  # fmt: skip
    later = to_micros(NOON + timedelta(days=180))
    law.send(ids.KIND_EXTENSION, THEIR_COURT, THEIR_EXCHANGE, cites=order, case_id="ORDER-1", in_force_until_us=later)
    assert running(law, order)[measures.CLOCK_RULE_SET_BY_ORDER] == from_micros(later)
    law.wait(days=100)
    assert not law.said(OVERDUE, order)


def test_time_limits_survive_a_restart(tmp_path: Path) -> None:
    law = countries(tmp_path)
    request = ask(law, urgency=URGENT)
    now = law.now
    for node in law.nodes.values():
        node.connection.close()
    law = countries(tmp_path)
    law.now = now
    law.wait(hours=49)
    assert told(law, OVERDUE, request) == BOTH


def test_limit_by_a_rule_of_a_later_version_is_left_to_that_and_keeps_no_other_from_ringing(
    law: Countries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timekeeper, "MOST_AT_ONCE", 1)
    first = ask(law, urgency=URGENT)
    second = ask(law, urgency=URGENT, case_id="EE-2")
    there = law.nodes["de"]
    there.connection.execute("UPDATE clocks SET rule = 9999 WHERE seq = (SELECT min(seq) FROM clocks)")
    law.now += timedelta(hours=50)
    assert law._ring(there) == 1
    assert told(law, OVERDUE, second) == BOTH
    assert not told(law, OVERDUE, first)
    assert law._ring(there) == 0
    stages = there.connection.execute("SELECT rule, stage FROM clocks ORDER BY seq").fetchall()
    assert stages == [(9999, "running"), (measures.CLOCK_RULE_URGENT_DECISION, "overdue")]


# Several for one target (2018/1805 Art. 26).


def test_who_is_asked_is_told_of_rivals_and_their_rank_and_nobody_else_is(law: Countries) -> None:
    target = (bytes([7] * 32),)
    first = ask(law, target_tokens=target)
    _, decision = decide(law, first)
    notify(law, first)
    execute(law, first, decision)
    law.wait(hours=1)
    second = ask(law, target_tokens=target, case_id="EE-2")
    ((to, said),) = law.said(pb.MILESTONE_COMPETING, second)
    assert (to, list(said.others)) == (THEIR_CENTRAL, [first])
    assert said.detail.startswith("place 2 of 2 by already frozen")
    assert not law.said(pb.MILESTONE_COMPETING, first)


def test_requests_for_other_targets_are_no_rivals(law: Countries) -> None:
    ask(law, target_tokens=(bytes([7] * 32),))
    second = ask(law, target_tokens=(bytes([8] * 32),), case_id="EE-2")
    assert not law.said(pb.MILESTONE_COMPETING, second)
