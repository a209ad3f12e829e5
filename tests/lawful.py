"""Lawful steps between Estonia and Germany, for tests of what is not lawful or comes too late."""

from datetime import datetime
from typing import Any

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway.clock import from_micros
from tests.law import Countries

INVESTIGATOR, CENTRAL = "ee/investigator", "ee/central-authority"
THEIR_CENTRAL, THEIR_COURT, THEIR_EXCHANGE = "de/central-authority", "de/court", "de/exchange"
BLOCK = (ids.MEASURE_BLOCK_WITHDRAWAL,)
WHO = (ids.DATA_CLASS_SUBSCRIBER,)
VERIFIED = ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED
GRANTED, REFUSED = ids.OUTCOME_GRANTED, ids.OUTCOME_REFUSED
DUE_SOON, OVERDUE, LAPSED = pb.MILESTONE_DUE_SOON, pb.MILESTONE_OVERDUE, pb.MILESTONE_LAPSED
URGENT, EMERGENCY = ids.URGENCY_URGENT, ids.URGENCY_EMERGENCY


def ask(law: Countries, kind: ids.Kind.ValueType = ids.KIND_FREEZE_REQUEST, **fields: Any) -> ids.EnvelopeRef:
    scope = {"measures": BLOCK} if kind == ids.KIND_FREEZE_REQUEST else {"data_classes": WHO}
    if kind == ids.KIND_CONFISCATION_REQUEST:
        scope = {"measures": (ids.MEASURE_CONFISCATE,)}
    ref = law.send(kind, INVESTIGATOR, THEIR_CENTRAL, **{"countersigned_by": (CENTRAL,), **scope, **fields})
    law.arrive()
    return ref


def decide(law: Countries, request: ids.EnvelopeRef, **fields: Any) -> tuple[ids.EnvelopeRef, ids.EnvelopeRef]:
    """Refer a request to the court, which grants it; return the referral and the decision."""
    scope = {"measures": BLOCK, **fields}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, cites=request, case_id="DE-1", **scope)
    decision = law.send(
        ids.KIND_REVIEW_DECISION,
        THEIR_COURT,
        THEIR_CENTRAL,
        cites=referral,
        case_id="DE-1",
        outcome=GRANTED,
        dual_criminality=VERIFIED,
        **scope,
    )
    return referral, decision


def notify(law: Countries, request: ids.EnvelopeRef, **fields: Any) -> ids.EnvelopeRef:
    scope = {"measures": BLOCK, **fields}
    ref = law.send(
        ids.KIND_REVIEW_DECISION,
        THEIR_CENTRAL,
        INVESTIGATOR,
        cites=request,
        outcome=GRANTED,
        dual_criminality=VERIFIED,
        **scope,
    )
    law.arrive()
    return ref


def order_at_once(law: Countries, request: ids.EnvelopeRef, **fields: Any) -> ids.EnvelopeRef:
    """Have whoever was asked at once acknowledge that, and order an exchange provisionally; return the order."""
    known = acknowledge(law, request)
    return law.send(ids.KIND_PROVISIONAL_ORDER, known.sender, THEIR_EXCHANGE, cites=known, **fields)


def acknowledge(law: Countries, request: ids.EnvelopeRef) -> ids.EnvelopeRef:
    """Have the colleague in Germany acknowledge what was asked at once; return the acknowledgement."""
    colleague = request.sender.replace("ee/", "de/")
    known = law.send(ids.KIND_ACKNOWLEDGEMENT, colleague, request.sender, cites=request)
    law.arrive()
    return known


def execute(law: Countries, request: ids.EnvelopeRef, decision: ids.EnvelopeRef, **fields: Any) -> ids.EnvelopeRef:
    """Order the exchange, and let all three reports travel back; return the order."""
    scope = {"measures": BLOCK, **fields}
    order = law.send(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, case_id="ORDER-1", **scope)
    done = [each for each in scope["measures"] if each != ids.MEASURE_TRANSFER]  # that is an order by itself
    report: dict[str, Any] = {"outcome": GRANTED, **scope, "measures": done}
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id="ORDER-1", **report)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id="DE-1", **report)
    law.send(ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, cites=request, **report)
    law.arrive()
    return order


def frozen(law: Countries, **scope: Any) -> tuple[ids.EnvelopeRef, ids.EnvelopeRef]:
    """Return a request whose assets are frozen, and the order that froze them."""
    request = ask(law, **scope)
    _, decision = decide(law, request, **scope)
    notify(law, request, **scope)
    return request, execute(law, request, decision, **scope)


def running(law: Countries, ref: ids.EnvelopeRef) -> dict[measures.ClockRule.ValueType, datetime]:
    return {clock.rule: from_micros(clock.due_at_us) for clock in law.clocks("de", ref)}


def overdue(law: Countries, ref: ids.EnvelopeRef) -> set[measures.ClockRule.ValueType]:
    """Return the time limits that were said to be overdue."""
    return {said.clock_rule for _, said in law.said(OVERDUE, ref)}


def told(law: Countries, milestone: pb.Milestone.ValueType, ref: ids.EnvelopeRef) -> set[str]:
    return {to for to, _ in law.said(milestone, ref)}
