"""The acts that every request goes through: asked, across the border, decided, ordered, answered."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1.certificates_pb2 import FreezeRequest

from clients.drafting import Drafted
from clients.intake import Received
from gateway.cli.demo import papers
from gateway.cli.demo.play import Play, document
from gateway.cli.development import INSTRUMENT
from gateway.cli.home import word
from gateway.envelope import ref_of
from gateway.formats import wallets
from gateway.rules import State

ABROAD: Final = "de/central-authority"
HOME: Final = "ee/central-authority"
_TOLD: Final = (pb.MILESTONE_ACCEPTED, pb.MILESTONE_DELIVERED, pb.MILESTONE_OPENED)
_FOREIGN: Final = ("EE-", "ee/", "KrMS", "Riigi", INSTRUMENT)
"""What would tell an exchange of the foreign case."""
_AFTER: Final = MappingProxyType(
    {
        ids.OUTCOME_GRANTED: State.EXECUTED,
        ids.OUTCOME_PARTLY_GRANTED: State.PARTLY_EXECUTED,
        ids.OUTCOME_REFUSED: State.UNAVAILABLE,
    }
)


def draft(play: Play, case: str, request: FreezeRequest) -> Drafted:
    """Have the prosecutor seal a request to the authority abroad, and the draft that asks for a countersignature."""
    return play.prosecutor.draft_freeze(
        request,
        to=ABROAD,
        via=HOME,
        case_id=case,
        instrument=INSTRUMENT,
        measures=papers.MEASURES,
        data_classes=papers.DATA_CLASSES,
    )


async def countersigned(play: Play, drafted: Drafted) -> pb.SignedEnvelope:
    """The ministry reads what it signs: the body opens the commitment in the very header that it signs."""
    asked = await play.send(drafted.draft)
    answered = await play.send(play.home.countersign(asked), "countersigned")
    return play.prosecutor.add_countersignature(answered, drafted.request)


async def across_the_border(play: Play, request: pb.SignedEnvelope, *, kill: bool = False) -> Received:
    """From node to node; if it is wanted, the receiving node is killed in the middle of it."""
    if kill:
        play.nodes.freeze("de")
    ref = await play.submit(request, "two signatures over the same bytes")
    if kill:
        await play.until_under_way(ref.id)
        status = await play.nodes.kill("de")
        play.report.killed += 1
        play.tell(f"  node de is killed while the request is under way (exit status {status}), and started again")
        await play.nodes.start("de")
    received = await play.desks[ABROAD].take(ref)
    prosecutor = play.desks["ee/prosecutor"]
    said = [await prosecutor.told(ref, milestone) for milestone in _TOLD]
    play.say(", ".join(f"{word(pb.Milestone.DESCRIPTOR, each.milestone)} by {each.issuer}" for each in said))
    copies = [told.statement for told in prosecutor.receipts if told.statement.envelope == ref]
    delivered = [copy for copy in copies if copy.milestone == pb.MILESTONE_DELIVERED]
    play.report.expect(len(delivered) == 1, f"the request {ref.id} was delivered {len(delivered)} times")
    return received


async def decided(play: Play, request: Received, decision: orders.ReviewDecision, why: str) -> tuple[Received, ...]:
    """The authority refers, the court decides, the authority abroad hears of it; return referral and decision."""
    case = f"DE-{request.header.case_id}"
    referral = await play.send(play.ministry.refer(request, court="de/court", case_id=case), "put before a judge")
    found = await play.send(play.court.decide(referral, decision), why)
    notice = await play.send(play.ministry.notify_decision(request, found), "the decision goes abroad")
    same = (notice.header.outcome, notice.header.dual_criminality) == (decision.outcome, decision.dual_criminality)
    play.report.expect(same, f"the decision on {request.header.case_id} changed on its way")
    return referral, found


async def ordered(play: Play, decision: Received, order: orders.DomesticOrder, number: str) -> Received:
    """The court orders an exchange of its own country, which learns nothing of where that comes from."""
    made = play.court.order(decision.header, order, exchange="de/exchange", case_id=number)
    found = await play.send(made, f"German law, case {number}")
    header = found.header
    told = (header.case_id, header.instrument, str(header.cites), str(found.document))
    leaks = [word for word in _FOREIGN if any(word in text for text in told)]
    play.report.expect(not leaks, f"the order tells of the foreign case: {leaks}")
    return found


async def executed(play: Play, order: Received, decision: Received, request: Received) -> State:
    """The exchange freezes and reports, and that travels back to whoever asked; return where the request stands now."""
    what = document(order, orders.DomesticOrder)
    results = papers.freeze(what, play.desks["de/exchange"].participant.parts.clock)
    froze = sum(result.status == orders.FREEZE_STATUS_FROZEN for result in results)
    at_court = await play.send(play.exchange.answer(order, results), f"{froze} of {len(results)} frozen")
    told = document(at_court, orders.ExecutionReport)
    why = at_court.header.ground  # if nothing could be frozen
    passed_on = play.court.report_to_central_authority(decision.header, told, rests_on=[at_court], ground=why)
    at_ministry = await play.send(passed_on)
    told = document(at_ministry, orders.ExecutionReport)
    back = play.ministry.report_abroad(request, told, rests_on=[at_ministry], ground=why)
    final = document(await play.send(back, "the answer goes abroad"), orders.ExecutionReport)
    await play.desks["ee/prosecutor"].told(ref_of(request.header), pb.MILESTONE_EXECUTED)
    play.report.expect(
        [*final.results] == [*results], f"what became of the wallets of {request.header.case_id} changed on its way"
    )
    _compare(play, what.wallets, final, document(request, FreezeRequest).wallets)
    return _AFTER[final.outcome]


async def disclosed(
    play: Play, order: Received, decision: Received, request: Received, disclosure: orders.Disclosure
) -> orders.Disclosure:
    """What the exchange hands over goes from hand to hand; return it as it came to whoever asked."""
    what = ", ".join(word(ids.DataClass.DESCRIPTOR, each) for each in disclosure.data_classes)
    at_court = await play.send(play.exchange.disclose(order, disclosure), f"{what} data")
    at_ministry = await play.send(play.court.disclose(decision.header, document(at_court, orders.Disclosure)))
    abroad = play.ministry.disclose(request, document(at_ministry, orders.Disclosure))
    found = document(await play.send(abroad, "as it was granted"), orders.Disclosure)
    play.report.expect(found == disclosure, f"what was disclosed in {request.header.case_id} changed on its way")
    return found


def _compare(
    play: Play,
    carried: Sequence[evidence.WalletIdentifier],
    final: orders.ExecutionReport,
    asked: Sequence[evidence.WalletIdentifier],
) -> None:
    report = play.report
    report.wallets_carried += len(carried)
    # The order told the exchange nothing of where a wallet is listed, so the answer does not either.
    same = [wallets.key(result.wallet) for result in final.results] == [wallets.key(wallet) for wallet in asked]
    report.expect(same, "an answer is not about the wallets that were asked about")
    report.wallets_verified += len(final.results) if same else 0
    report.frozen += sum(result.status == orders.FREEZE_STATUS_FROZEN for result in final.results)
