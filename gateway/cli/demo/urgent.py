"""What cannot wait: an emergency that is validated afterwards, and provisional freezes between two FIUs.

One of these is confirmed by a judge and stands; the other lapses by itself. Its hours are not waited for: the clocks of
all, nodes and people, are put forward together.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as limits
from rogatory.v1 import orders_pb2 as orders

from clients.intake import Received
from gateway import statement
from gateway.cli.demo import acts, attacks, notes, papers
from gateway.cli.demo.play import Play, document
from gateway.cli.development import INSTRUMENT
from gateway.cli.home import word
from gateway.clock import from_micros
from gateway.deadlines import LIMITS
from gateway.envelope import Composed
from gateway.errors import ErrorCode
from gateway.rules import State

TO_THE_WARNING: Final = timedelta(hours=notes.LAPSE_HOURS + 1) - min(LIMITS[limits.CLOCK_RULE_PROVISIONAL].warn)
TO_THE_END: Final = timedelta(hours=notes.LAPSE_HOURS + 1) - TO_THE_WARNING
"""The hour that has begun is not counted (Reg. 1182/71 Art. 3(1)): that is the one more."""
BEHIND: Final = TO_THE_WARNING + TO_THE_END
"""Where the demo begins, so that it ends in the present."""
_VALIDATION: Final = "ex-post-validation"


async def emergency(play: Play) -> None:
    """Who somebody is, asked without a countersignature while a life is in danger; validated afterwards."""
    case = "EE-2026-LIFE"
    play.tell(f"\n4. A life is in danger: asked without a countersignature, validated afterwards: case {case}.")
    facts = play.report.scenes.setdefault("emergency", {})

    def ask(what: assistance.EvidenceRequest) -> Composed:
        return play.prosecutor.ask_in_emergency(what, to=acts.ABROAD, case_id=case, instrument=INSTRUMENT)

    greedy = notes.emergency()
    greedy.data_classes.append(ids.DATA_CLASS_BALANCE)
    attempt = "emergency for more than identities"
    early = attacks.composed(attempt, play.desks["ee/prosecutor"], lambda: ask(greedy))
    facts["more_than_identities"] = play.refused(early, ErrorCode.EXCEEDS_GRANT)
    request = await play.send(ask(notes.emergency()), "one signature; identities alone (2023/1543 Art. 4(5))")
    signers = [signature.signer for signature in request.envelope.signatures]
    play.report.expect(signers == ["ee/prosecutor"], f"the emergency request is signed by {signers}")
    granted = papers.decision((), [ids.DATA_CLASS_SUBSCRIBER])
    _, decision = await acts.decided(play, request, granted, "granted")
    order = await acts.ordered(play, decision, notes.production_order(), "AG-3-26")
    disclosure = notes.disclosure([ids.DATA_CLASS_SUBSCRIBER], play.desks["de/exchange"].participant.parts.clock())
    found = await acts.disclosed(play, order, decision, request, disclosure)
    facts["disclosed"] = [word(ids.DataClass.DESCRIPTOR, each) for each in found.data_classes]
    before = await play.clocks(request.header)
    notice = notes.notice(notes.PROSECUTOR, "A judge has validated it.", data_classes=[ids.DATA_CLASS_SUBSCRIBER])
    drafted = play.prosecutor.draft_validation(request.header, notice, via=acts.HOME)
    await play.send(await acts.countersigned(play, drafted), "validated, by two signatures")
    after = await play.clocks(request.header)
    facts["request"] = await play.expect_standing(request.header, State.GRANTED)
    facts["limits_ended"] = sorted({*before} - {*after})
    play.report.expect(
        _VALIDATION in before and _VALIDATION not in after, f"limits before the validation {before}, after {after}"
    )
    play.say(f"limits that ended with it: {', '.join(sorted({*before} - {*after}))}")


async def provisional(play: Play) -> None:
    """Two wallets are held at once; for one of them a judge confirms it, the other becomes free by itself."""
    play.tell(
        f"\n5. An FIU asks another to hold two wallets at once. Germany's policy file: what is provisional lapses after"
        f" {notes.LAPSE_HOURS} hours."
    )
    one, other = ([wallet] for wallet in papers.read_wallets(None)[:2])
    lapsing, its_order = await _held(play, "EE-FIU-1", one, "FIU-26-1")
    standing, confirmed_order = await _held(play, "EE-FIU-2", other, "FIU-26-2")
    play.tell("\n   For one of them a judge is asked, and confirms it.")
    await _confirmed(play, standing, confirmed_order)
    told: dict[str, list[str]] = {}
    for by, milestone in ((TO_THE_WARNING, pb.MILESTONE_DUE_SOON), (TO_THE_END, pb.MILESTONE_LAPSED)):
        await play.nodes.put_forward(by)
        play.tell(f"\n   All clocks are put forward by {by // timedelta(hours=1)} hours.")
        for matter in (lapsing, its_order):
            for party in await _told(play, matter, milestone):
                told.setdefault(party, []).append(word(pb.Milestone.DESCRIPTOR, milestone))
    play.report.scenes["lapse"] = {
        "told": told,
        "request": await play.expect_standing(lapsing.header, State.LAPSED),
        "order": await play.expect_standing(its_order.header, State.LAPSED),
        "confirmed_too_late": await _too_late(play, lapsing),
    }
    words = [*_words(play, standing), *_words(play, confirmed_order)]
    play.report.expect(not words, f"of what was confirmed is said: {words}")
    play.report.scenes["confirmation"] = {
        "told": words,
        "request": await play.expect_standing(standing.header, State.CONFIRMED),
        "order": await play.expect_standing(confirmed_order.header, State.CONFIRMED),
    }


async def _held(
    play: Play, case: str, asked: Sequence[evidence.WalletIdentifier], number: str
) -> tuple[Received, Received]:
    """Ask, order and report; return request and order."""
    there, here = play.unit("ee"), play.unit("de")
    made = there.ask_freeze(
        notes.provisional_freeze(asked), to="de/fiu", case_id=case, instrument=INSTRUMENT, urgency=ids.URGENCY_URGENT
    )
    request = await play.send(made, f"case {case}")
    terms = notes.provisional_order(asked, play.desks["de/fiu"].participant.parts.clock())
    known = await play.send(here.acknowledge(request, notes.notice(notes.UNIT, "It is here.")), "what the order cites")
    made = here.order(request, known.header, terms, exchange="de/exchange", case_id=number)
    order = await play.send(made, "lapses by itself")
    results = papers.freeze(document(order, orders.DomesticOrder), play.desks["de/exchange"].participant.parts.clock)
    answer = await play.send(play.exchange.answer(order, results), "held")
    report = document(answer, orders.ExecutionReport)
    await play.send(here.report_abroad(request, report, rests_on=[answer]))
    await play.expect_standing(request.header, State.EXECUTED)
    return request, order


async def _confirmed(play: Play, request: Received, order: Received) -> None:
    unit = play.unit("de")
    referral = await play.send(unit.refer(request, court="de/court", case_id="DE-FIU-2"), "put before a judge")
    await play.send(play.court.decide(referral, papers.decision(notes.HELD, ())), "granted: a listed offence")
    notice = notes.notice(notes.UNIT, "A judge has confirmed it.", outcome=ids.OUTCOME_GRANTED, measures=notes.HELD)
    await play.send(unit.confirm_order(order.header, notice), "it stands")
    await play.send(unit.confirm(request, notice), "it stands")


async def _told(play: Play, matter: Received, milestone: pb.Milestone.ValueType) -> Sequence[str]:
    """Both parties hear it from the node that keeps the limit, signed; return who they are."""
    parties = (matter.header.sender, matter.header.recipients[0])
    said = [await play.desks[party].told(matter.ref, milestone) for party in parties]
    heard = {(each.issuer, each.clock_rule) for each in said}
    what, wanted = word(pb.Milestone.DESCRIPTOR, milestone), {("de/node", limits.CLOCK_RULE_PROVISIONAL)}
    play.report.expect(heard == wanted, f"{what} of {matter.header.case_id} was told by {heard}")
    due = from_micros(said[0].due_us)
    play.say(f"{what}, due {due:%H:%M} UTC, signed by {said[0].issuer}, heard by {' and '.join(parties)}")
    return parties


async def _too_late(play: Play, request: Received) -> str:
    """What has lapsed cannot be confirmed any more."""
    notice = notes.notice(notes.UNIT, "Confirmed.", outcome=ids.OUTCOME_GRANTED, measures=notes.HELD)
    late = play.unit("de").confirm(request, notice)
    found = await attacks.submitted("confirmation of what has lapsed", play.desks["de/fiu"], late.envelope)
    return play.refused(found, ErrorCode.OUT_OF_ORDER)


def _words(play: Play, matter: Received) -> list[str]:
    """Return what was said of the time limits of a matter, to either of its parties."""
    parties = (matter.header.sender, matter.header.recipients[0])
    said = [told.statement for party in parties for told in play.desks[party].receipts]
    return [
        word(pb.Milestone.DESCRIPTOR, s.milestone)
        for s in said
        if s.envelope == matter.ref and s.milestone in statement.OF_TIME
    ]
