"""The first scene: a freeze through the whole of its procedure, from a draft that is returned to the release.

And the second: a request that is refused, because its conduct is no offence where it is to be executed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1.certificates_pb2 import FreezeRequest

from clients.intake import Received
from gateway.cli.demo import acts, attacks, notes, papers
from gateway.cli.demo.handover import rogatory
from gateway.cli.demo.play import Play, document
from gateway.cli.home import word
from gateway.envelope import ref_of
from gateway.errors import ErrorCode
from gateway.rules import State


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze as it stands: executed, and its answer back where it was asked for."""

    signed: pb.SignedEnvelope
    request: Received
    referral: Received
    decision: Received
    order: Received


async def plain(play: Play, case: str, asked: Sequence[evidence.WalletIdentifier]) -> None:
    """A freeze without incidents: of a long list, each part but the first."""
    play.tell(f"\nCase {case}: {len(asked)} wallets more, in a request of their own.")
    signed = await acts.countersigned(play, acts.draft(play, case, papers.request(asked)))
    request = await acts.across_the_border(play, signed)
    freeze = await _granted(play, signed, request, f"AG-{case.rpartition('-')[2]}-26")
    await acts.executed(play, freeze.order, freeze.decision, freeze.request)
    disclosure = notes.disclosure(papers.GRANTED_CLASSES, _now(play))
    found = await acts.disclosed(play, freeze.order, freeze.decision, freeze.request, disclosure)
    play.report.transactions += len(found.transactions)


async def whole(play: Play, case: str, asked: Sequence[evidence.WalletIdentifier]) -> Freeze:
    """Everything that can come between draft and answer comes, once."""
    play.tell(f"\n1. Estonia asks Germany to freeze {len(asked)} wallets of a real sanctions list: case {case}.")
    facts = play.report.scenes.setdefault("freeze", {})
    play.tell("\n   The ministry reads what it signs.")
    facts["returned"] = await _returned(play, case, asked)
    signed = await acts.countersigned(play, acts.draft(play, case, papers.request(asked)))
    request = await acts.across_the_border(play, signed, kill=True)
    play.tell("\n   Germany asks back, then a judge decides.")
    notice = notes.notice(notes.MINISTRY, "Your request is here and complete.")
    await play.send(play.ministry.acknowledge(request, notice))
    await play.expect_standing(request.header, State.ACKNOWLEDGED)
    await _clarified(play, request)
    freeze = await _granted(play, signed, request, "AG-1-26")
    facts["outcome"] = word(ids.Outcome.DESCRIPTOR, freeze.decision.header.outcome)
    dual = freeze.decision.header.dual_criminality
    facts["dual_criminality"] = word(ids.DualCriminality.DESCRIPTOR, dual)
    await play.expect_standing(request.header, State.PARTLY_GRANTED)
    play.tell("\n   The exchange objects, and then does what it must.")
    facts["objection"] = await _objected(play, freeze.order)
    state = await acts.executed(play, freeze.order, freeze.decision, request)
    facts["executed"] = await play.expect_standing(request.header, state)
    play.tell("\n   It hands over what was ordered, and no more.")
    facts["beyond_the_grant"] = await _beyond_the_grant(play, freeze.order)
    disclosure = notes.disclosure(papers.GRANTED_CLASSES, _now(play))
    found = await acts.disclosed(play, freeze.order, freeze.decision, request, disclosure)
    play.report.transactions += len(found.transactions)
    facts["disclosed"] = [word(ids.DataClass.DESCRIPTOR, each) for each in found.data_classes]
    facts["case"] = await _told_what_is_lawful(play, request.header, state)
    return freeze


async def released(play: Play, freeze: Freeze) -> None:
    """Later: the prosecutor asks no more, and all of it ends and is confirmed."""
    play.tell("\n   Later: Estonia withdraws, Germany releases and confirms.")
    facts = play.report.scenes["freeze"]
    request = freeze.request
    await play.send(play.prosecutor.withdraw(request.header, notes.withdrawal()), "nothing is asked any more")
    await play.expect_standing(request.header, State.WITHDRAWN)
    early = play.ministry.confirm_release(request, notes.release(notes.MINISTRY))
    refused = await attacks.submitted(
        "release confirmed while assets are held", play.desks["de/central-authority"], early.envelope
    )
    facts["confirmed_too_early"] = play.refused(refused, ErrorCode.OUT_OF_ORDER)
    await play.send(play.ministry.withdraw_referral(freeze.referral.header, notes.taken_back()), "the court hears it")
    release = await play.send(play.court.release(freeze.order.header, notes.release(papers.ORDERING)), "let them go")
    results = len(document(freeze.order, orders.DomesticOrder).wallets)
    await play.send(play.exchange.report(release, notes.released(results)), "all of them are free")
    facts["order"] = await play.expect_standing(freeze.order.header, State.RELEASED)
    await play.send(play.ministry.confirm_release(request, notes.release(notes.MINISTRY)), "confirmed")
    facts["request"] = await play.expect_standing(request.header, State.RELEASED)


async def refused(play: Play, asked: Sequence[evidence.WalletIdentifier]) -> None:
    """For conduct that is no offence in Germany: consulted, refused, and nothing can follow."""
    case = "EE-2026-NODUAL"
    play.tell(f"\n2. A request for conduct that is no offence in Germany: case {case}.")
    facts = play.report.scenes.setdefault("refusal", {})
    signed = await acts.countersigned(play, acts.draft(play, case, papers.request(asked, listed=False)))
    request = await acts.across_the_border(play, signed)
    question = await play.send(
        play.ministry.ask_clarification(request, notes.consultation()), "consulted first (2018/1805 Art. 8(2))"
    )
    facts["consulted_on"] = word(ids.Ground.DESCRIPTOR, question.header.ground)
    await play.send(play.prosecutor.clarify(question, notes.notice(notes.PROSECUTOR, "There is no more to it.")))
    _, decision = await acts.decided(play, request, papers.refusal(), "refused: no dual criminality (Art. 8(1)(e))")
    facts["ground"] = word(ids.Ground.DESCRIPTOR, decision.header.ground)
    play.report.expect(
        (question.header.ground, decision.header.ground) == (ids.GROUND_NO_DUAL_CRIMINALITY,) * 2,
        f"{case} was refused on {facts['ground']}, after consultation on {facts['consulted_on']}",
    )
    order = papers.order(document(request, FreezeRequest).wallets)
    attempt, court = "order without a granted decision", play.desks["de/court"]
    early = attacks.composed(
        attempt,
        court,
        lambda: play.court.order(decision.header, order, exchange="de/exchange", case_id="AG-2-26"),
    )
    cites = (ref_of(decision.header),)
    forged = attacks.forge(court, ids.KIND_DOMESTIC_ORDER, "de/exchange", cites=cites, case_id="AG-2-26")
    late = await attacks.submitted(attempt, court, forged)
    facts["order"] = [play.refused(each, ErrorCode.OUT_OF_ORDER) for each in (early, late)]
    facts["request"] = await play.expect_standing(request.header, State.REFUSED)


def _now(play: Play) -> datetime:
    return play.desks["de/exchange"].participant.parts.clock()


async def _returned(play: Play, case: str, asked: Sequence[evidence.WalletIdentifier]) -> dict[str, str]:
    mistaken = acts.draft(play, case, papers.request(asked, reference=papers.MISTAKEN_ORDER))
    draft = await play.send(mistaken.draft)
    answer = await play.send(play.home.return_draft(draft, notes.RETURNED), "returned for correction")
    attempt = attacks.composed(
        "request whose draft was returned",
        play.desks["ee/prosecutor"],
        lambda: play.prosecutor.add_countersignature(answer, mistaken.request),
    )
    play.refused(attempt, ErrorCode.NOT_COUNTERSIGNED)
    return await play.expect_standing(draft.header, State.RETURNED)


async def _clarified(play: Play, request: Received) -> None:
    question = notes.notice(notes.MINISTRY, "Are deposits to these wallets to be let in?")
    asked = await play.send(play.ministry.ask_clarification(request, question))
    await play.expect_standing(request.header, State.CLARIFYING)
    await play.send(play.prosecutor.clarify(asked, notes.notice(notes.PROSECUTOR, "Yes; they are proceeds too.")))


async def _granted(play: Play, signed: pb.SignedEnvelope, request: Received, number: str) -> Freeze:
    decision = papers.decision(papers.MEASURES, papers.GRANTED_CLASSES, ids.OUTCOME_PARTLY_GRANTED)
    why = "partly granted: a listed offence; transactions, and no balances"
    referral, found = await acts.decided(play, request, decision, why)
    order = papers.order(document(request, FreezeRequest).wallets)
    return Freeze(signed, request, referral, found, await acts.ordered(play, found, order, number))


async def _objected(play: Play, order: Received) -> str:
    served = notes.notice(notes.EXCHANGE, "Served; the accounts are looked up.")
    await play.send(play.exchange.acknowledge(order, served), "served")
    objection = await play.send(play.exchange.object_to(order, notes.objection()), "the law of a third country")
    await play.expect_standing(order.header, State.OBJECTED)
    decision = notes.notice(papers.ORDERING, "The accounts are kept in Germany.", outcome=ids.OUTCOME_REFUSED)
    dismissed = await play.send(play.court.decide_objection(objection, decision), "dismissed")
    await play.expect_standing(order.header, State.ACKNOWLEDGED)
    return word(ids.Outcome.DESCRIPTOR, dismissed.header.outcome)


async def _beyond_the_grant(play: Play, order: Received) -> list[str]:
    exchange = play.desks["de/exchange"]
    too_much = notes.disclosure(papers.DATA_CLASSES, _now(play))
    early = attacks.composed("disclosure beyond the grant", exchange, lambda: play.exchange.disclose(order, too_much))

    def forge(
        kind: ids.Kind.ValueType, classes: Sequence[ids.DataClass.ValueType], **more: object
    ) -> pb.SignedEnvelope:
        body = too_much.SerializeToString(deterministic=True)
        case, cites = order.header.case_id, (order.ref,)
        return attacks.forge(
            exchange, kind, "de/court", body, case_id=case, cites=cites, measures=(), data_classes=classes, **more
        )

    late = await attacks.submitted(
        "disclosure beyond the grant", exchange, forge(ids.KIND_DISCLOSURE, papers.DATA_CLASSES)
    )
    content = forge(ids.KIND_EXECUTION_REPORT, (ids.DATA_CLASS_CONTENT,), outcome=ids.OUTCOME_GRANTED)
    report = await attacks.submitted("report beyond the order", exchange, content)
    return [play.refused(each, ErrorCode.EXCEEDS_GRANT) for each in (early, late, report)][:2]


async def _told_what_is_lawful(play: Play, request: pb.Header, wanted: State) -> dict[str, object]:
    """Run `rogatory case` as the prosecutor."""
    case = request.case_id
    play.tell(f"\n   What the prosecutor sees: rogatory case {case}\n")
    words = ("case", case, "--config", str(play.nodes.summary.config("ee/prosecutor")))
    for line in (await rogatory(*words)).splitlines():
        play.tell(f"   | {line}")
    seen = json.loads(await rogatory(*words, "--json"))
    state = next(matter["state"] for matter in seen["matters"] if matter["id"] == request.id)
    following = [step["kind"] for step in seen["next"] if (step["cites"] or {}).get("id") == request.id]
    play.report.expect(state == wanted.value, f"rogatory case says {state}")
    play.report.expect("withdrawal" in following, f"rogatory case does not let the prosecutor withdraw: {following}")
    return {"state": state, "next": following}
