"""Lawful steps between Estonia and Germany, for tests of what is not lawful or comes too late."""

from datetime import datetime
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway.clock import from_micros
from gateway.errors import ErrorCode, Refusal
from gateway.rules import State
from gateway.store import fsck
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
    order = law.send(**to_exchange(decision, **scope))
    done = [each for each in scope["measures"] if each != ids.MEASURE_TRANSFER]  # that is an order by itself
    report_back(law, order, decision, request, outcome=GRANTED, **scope | {"measures": done})
    return order


def report_back(
    law: Countries, order: ids.EnvelopeRef, decision: ids.EnvelopeRef, request: ids.EnvelopeRef, **found: Any
) -> None:
    """Have the exchange report on an order, its court on the decision, and the ministry abroad."""
    for step in (by_exchange(order, **found), by_court(decision, **found), by_ministry(request, **found)):
        law.send(**step)
    law.arrive()


def release(law: Countries, order: ids.EnvelopeRef) -> None:
    """Have the court release what an order holds, and the exchange confirm that."""
    ended = law.send(**to_exchange(order, ids.KIND_RELEASE, outcome=GRANTED))
    law.send(**by_exchange(ended, outcome=GRANTED))


def frozen(law: Countries, **scope: Any) -> tuple[ids.EnvelopeRef, ids.EnvelopeRef]:
    """Return a request whose assets are frozen, and the order that froze them."""
    request = ask(law, **scope)
    _, decision = decide(law, request, **scope)
    notify(law, request, **scope)
    return request, execute(law, request, decision, **scope)


def granted_to_the_fiu(law: Countries) -> tuple[ids.EnvelopeRef, ids.EnvelopeRef, ids.EnvelopeRef]:
    """Return a provisional freeze, the order that holds it, and the judge's decision."""
    freeze = law.send(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", measures=BLOCK)
    law.arrive()
    order = order_at_once(law, freeze, case_id="A", measures=BLOCK)
    fields: dict[str, Any] = {"case_id": "DE-1", "measures": BLOCK}
    referral = law.send(ids.KIND_REVIEW_REFERRAL, "de/fiu", THEIR_COURT, cites=freeze, **fields)
    fields |= {"outcome": GRANTED, "dual_criminality": VERIFIED}
    return freeze, order, law.send(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/fiu", cites=referral, **fields)


# Steps to be taken, or to be tried: each may name other parties, or another case, than is usual.


def to_exchange(
    cited: ids.EnvelopeRef, kind: ids.Kind.ValueType = ids.KIND_DOMESTIC_ORDER, **fields: Any
) -> dict[str, Any]:
    step = {"kind": kind, "sender": THEIR_COURT, "recipient": THEIR_EXCHANGE, "cites": cited, "case_id": "ORDER-1"}
    return step | fields


def by_exchange(
    order: ids.EnvelopeRef, kind: ids.Kind.ValueType = ids.KIND_EXECUTION_REPORT, **fields: Any
) -> dict[str, Any]:
    step = {"kind": kind, "sender": THEIR_EXCHANGE, "recipient": THEIR_COURT, "cites": order, "case_id": "ORDER-1"}
    return step | fields


def by_court(
    decision: ids.EnvelopeRef, kind: ids.Kind.ValueType = ids.KIND_EXECUTION_REPORT, **fields: Any
) -> dict[str, Any]:
    step = {"kind": kind, "sender": THEIR_COURT, "recipient": THEIR_CENTRAL, "cites": decision, "case_id": "DE-1"}
    return step | fields


def by_ministry(
    request: ids.EnvelopeRef, kind: ids.Kind.ValueType = ids.KIND_EXECUTION_REPORT, **fields: Any
) -> dict[str, Any]:
    return {"kind": kind, "sender": THEIR_CENTRAL, "recipient": INVESTIGATOR, "cites": request} | fields


def by_issuer(request: ids.EnvelopeRef, kind: ids.Kind.ValueType, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "sender": INVESTIGATOR, "recipient": THEIR_CENTRAL, "cites": request} | fields


def refusal(law: Countries, **step: Any) -> tuple[ErrorCode, str]:
    """Return the code, and the field, with which the sender's own node refuses a step."""
    with pytest.raises(Refusal) as caught:
        law.send(**step)
    return caught.value.code, caught.value.field


def refusal_at(law: Countries, here: str, **step: Any) -> tuple[ErrorCode, str]:
    """Return the same of the recipient's node, if the sender's own has checked nothing."""
    with pytest.raises(Refusal) as caught:
        law.take(here, law.write(**step))
    return caught.value.code, caught.value.field


def stand(law: Countries, request: ids.EnvelopeRef) -> State | None:
    """Return where a request stands at both nodes, and see that their disks tell so."""
    states = {code: law.state(code, request) for code in law.nodes}
    assert states["ee"] is states["de"]
    for code, node in law.nodes.items():
        found = fsck.check(node.connection, node=code)
        assert not [each for each in found if each.check in (fsck.Check.MOVES, fsck.Check.CLOCKS) and each.first]
    return states["ee"]


def running(law: Countries, ref: ids.EnvelopeRef) -> dict[measures.ClockRule.ValueType, datetime]:
    return {clock.rule: from_micros(clock.due_at_us) for clock in law.clocks("de", ref)}


def overdue(law: Countries, ref: ids.EnvelopeRef) -> set[measures.ClockRule.ValueType]:
    """Return the time limits that were said to be overdue."""
    return {said.clock_rule for _, said in law.said(OVERDUE, ref)}


def told(law: Countries, milestone: pb.Milestone.ValueType, ref: ids.EnvelopeRef) -> set[str]:
    return {to for to, _ in law.said(milestone, ref)}
