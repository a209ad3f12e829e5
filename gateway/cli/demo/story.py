"""The story of the demo, in the order in which it happens.

Ten acts, one function each: draft, countersignature, border, referral, decision, order, report, answer; then what must
not work; then the proof. Each act waits for the real thing to arrive; none waits for a time.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1.certificates_pb2 import FreezeRequest

from clients.auditor import Auditor
from clients.authority import CentralAuthority, Court, Drafted, Investigator
from clients.exchange import Exchange
from clients.intake import Received
from gateway import envelope, material
from gateway.cli import trace
from gateway.cli.demo import attacks, papers
from gateway.cli.demo.attacks import Loot, Refused
from gateway.cli.demo.desks import DESKS, Desk, open_desks
from gateway.cli.demo.processes import Processes
from gateway.cli.development import INSTRUMENT, Summary, free_ports, init_federation
from gateway.clock import system_clock
from gateway.config import Delivery
from gateway.envelope import Composed, ref_of
from gateway.errors import ErrorCode, Failure, GatewayError
from gateway.formats import wallets
from gateway.lifecycle import State

# As in production, but a killed node's leases are taken back after two seconds instead of half a minute.
DELIVERY: Final = Delivery(lease_seconds=2.0, backoff_first_seconds=0.1, backoff_max_seconds=1.0)
UNDER_WAY_SECONDS: Final = 20.0

Tell = Callable[[str], None]


@dataclass
class Report:
    """What the demo came to."""

    summary: Summary
    wallets_asked: int
    wallets_carried: int = 0
    wallets_verified: int = 0
    frozen: int = 0
    transactions: int = 0
    envelopes: int = 0
    receipts_verified: int = 0
    killed: int = 0
    request_id: str = ""
    seconds: float = 0.0
    milestones: Counter[str] = field(default_factory=Counter)
    refusals: list[Refused] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    processes: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether all went as it must."""
        return not self.problems and self.wallets_asked == self.wallets_carried == self.wallets_verified

    def expect(self, holds: bool, problem: str) -> None:
        """Note a problem, unless something holds."""
        if not holds:
            self.problems.append(problem)

    def as_object(self) -> dict[str, object]:
        """Return what `--json` prints."""
        return {
            "ok": self.ok,
            "envelopes": self.envelopes,
            "milestones": dict(sorted(self.milestones.items())),
            "refusals": [{"attack": r.attack, "code": r.code.name, "by": r.by} for r in self.refusals],
            "receipts_verified": self.receipts_verified,
            "wallets": {
                "asked": self.wallets_asked,
                "carried": self.wallets_carried,
                "verified": self.wallets_verified,
                "frozen": self.frozen,
            },
            "transactions": self.transactions,
            "nodes_killed": self.killed,
            "request_id": self.request_id,
            "problems": self.problems,
            "seconds": round(self.seconds, 2),
            **({"folder": str(self.summary.folder), "processes": self.processes} if self.processes else {}),
        }


@dataclass(frozen=True, slots=True)
class Play:
    """What every act works with."""

    desks: dict[str, Desk]
    nodes: Processes
    report: Report
    tell: Tell

    async def submit(self, by: str, composed: Composed | pb.SignedEnvelope, what: str) -> None:
        """Hand in, and tell of the receipt."""
        signed = composed.envelope if isinstance(composed, Composed) else composed
        receipt = await self.desks[by].participant.submit(signed)
        header, said = envelope.parse_header(signed), pb.Statement.FromString(receipt.statement)
        kind = ids.Kind.Name(header.kind).removeprefix("KIND_").lower().replace("_", " ")
        self.tell(f"  {by:<21} {kind:<17} -> {header.recipients[0]:<21} accepted  by {said.issuer:<8} {what}")


async def run(folder: Path, asked: Sequence[evidence.WalletIdentifier], *, keep: bool, tell: Tell) -> Report:
    """Found a federation of ee and de and play the story; the nodes are stopped at the end, unless kept.

    Raises:
        GatewayError: a step did not work; the story ends there.
    """
    began = perf_counter()
    summary = init_federation(folder, ["ee", "de"], free_ports(2), system_clock(), delivery=DELIVERY)
    report = Report(summary, wallets_asked=len(asked))
    nodes = Processes(summary)
    tell("A federation of two countries: federation root, a CA a node, short-lived certificates, mutual TLS 1.3.")
    kept = False
    try:
        for code in ("ee", "de"):
            await nodes.start(code)
            tell(f"  node {code} is up, process {nodes.running[code].pid}")
        async with open_desks(summary, DESKS) as desks:
            play = Play(desks, nodes, report, tell)
            await _play(play, asked)
        kept = keep and report.ok
        if kept:
            report.processes = {code: process.pid for code, process in nodes.running.items()}
    finally:
        if not kept:
            await nodes.stop()
    report.seconds = perf_counter() - began
    return report


async def _play(play: Play, asked: Sequence[evidence.WalletIdentifier]) -> None:
    size = papers.WALLETS_A_REQUEST
    parts = [asked[start : start + size] for start in range(0, len(asked), size)]
    orders_: list[Received] = []
    requests: list[pb.SignedEnvelope] = []
    for number, part in enumerate(parts, start=1):
        case = f"EE-2026-{number}"
        play.tell(f"\nCase {case}: Estonia asks Germany to freeze {len(part)} wallets of a real sanctions list.")
        drafted = await draft(play, case, papers.request(part))
        countersigned = await countersign(play, case, drafted)
        request = await cross_the_border(play, case, countersigned, kill=number == 1)
        decision = await review(play, case, request, granted=True)
        orders_.append(await execute(play, case, decision, request))
        await answer(play, case, request, part)
        requests.append(countersigned)
    play.report.request_id = envelope.parse_header(requests[0]).id
    refused = await refuse_one(play, asked[:1])
    play.tell("\nWhat must not work, tried on the wire with real keys.")
    uncountersigned = await draft(play, "EE-2026-FORGED", papers.request(asked[:1]), quiet=True)
    loot = Loot(requests[0], uncountersigned.request, refused, orders_[0])
    try:
        play.report.refusals = await attacks.mount_all(play.desks, loot, play.nodes.summary)
    except attacks.Succeeded as error:
        play.report.problems.append(f"an attack was not refused: {error}")
    await prove(play)


async def draft(play: Play, case: str, request: FreezeRequest, *, quiet: bool = False) -> Drafted:
    """Act 1: the prosecutor seals a request to Germany's central authority, and asks its own one to countersign."""
    drafted = Investigator(play.desks["ee/prosecutor"].participant).draft_freeze(
        request,
        to="de/central-authority",
        via="ee/central-authority",
        case_id=case,
        instrument=INSTRUMENT,
        measures=papers.MEASURES,
        data_classes=papers.DATA_CLASSES,
    )
    if not quiet:
        await play.submit("ee/prosecutor", drafted.draft, "")
    return drafted


async def countersign(play: Play, case: str, drafted: Drafted) -> pb.SignedEnvelope:
    """Act 2: the ministry reads what it signs: the body opens the commitment in the very header that it signs."""
    ministry = play.desks["ee/central-authority"]
    received = await ministry.next(ids.KIND_DRAFT, case)
    signed = CentralAuthority(ministry.participant).countersign(received)
    await play.submit("ee/central-authority", signed, "countersigned")
    prosecutor = play.desks["ee/prosecutor"]
    answered = await prosecutor.next(ids.KIND_COUNTERSIGNATURE, case)
    return Investigator(prosecutor.participant).add_countersignature(answered, drafted.request)


async def cross_the_border(play: Play, case: str, request: pb.SignedEnvelope, *, kill: bool) -> Received:
    """Act 3: the request goes from node to node; the first time, the receiving node is killed in the middle of it."""
    if kill:
        play.nodes.freeze("de")
    await play.submit("ee/prosecutor", request, "two signatures over the same bytes")
    if kill:
        await _until_under_way(play, envelope.parse_header(request).id)
        status = await play.nodes.kill("de")
        play.report.killed += 1
        play.tell(f"  node de is killed while the request is under way (exit status {status}), and started again")
        await play.nodes.start("de")
    received = await play.desks["de/central-authority"].next(ids.KIND_FREEZE_REQUEST, case)
    ref = ref_of(envelope.parse_header(request))
    prosecutor = play.desks["ee/prosecutor"]
    for milestone in (pb.MILESTONE_ACCEPTED, pb.MILESTONE_DELIVERED, pb.MILESTONE_OPENED):
        said = await prosecutor.told(ref, milestone)
        name = pb.Milestone.Name(milestone).removeprefix("MILESTONE_").lower()
        play.tell(f"  {'':<21} {'':<17}    {'':<21} {name:<9} by {said.issuer}")
    copies = [t.statement for t in prosecutor.receipts if t.statement.envelope == ref]
    delivered = [said for said in copies if said.milestone == pb.MILESTONE_DELIVERED]
    play.report.expect(len(delivered) == 1, f"the request of {case} was delivered {len(delivered)} times")
    return received


async def review(play: Play, case: str, request: Received, *, granted: bool) -> Received:
    """Acts 4 and 5: the central authority refers, the court decides; the requesting State hears of it."""
    authority, court = play.desks["de/central-authority"], play.desks["de/court"]
    referral = CentralAuthority(authority.participant).refer(request, court="de/court", case_id=f"DE-{case}")
    await play.submit("de/central-authority", referral, "")
    referred = await court.next(ids.KIND_REVIEW_REFERRAL, f"DE-{case}")
    decided = Court(court.participant).decide(referred, papers.decision(granted=granted))
    why = "granted" if granted else "refused: no dual criminality (2018/1805 Art. 8(1)(e))"
    await play.submit("de/court", decided, why)
    decision = await authority.next(ids.KIND_REVIEW_DECISION, f"DE-{case}")
    notice = CentralAuthority(authority.participant).notify_decision(request, decision)
    await play.submit("de/central-authority", notice, "the decision goes abroad")
    told = await play.desks["ee/prosecutor"].next(ids.KIND_REVIEW_DECISION, case)
    outcome = ids.OUTCOME_GRANTED if granted else ids.OUTCOME_REFUSED
    play.report.expect(told.header.outcome == outcome, f"the outcome of {case} changed on its way")
    return decision


async def execute(play: Play, case: str, decision: Received, request: Received) -> Received:
    """Acts 6 to 8: a domestic order, the exchange's report, and the court's report to the central authority."""
    court, exchange = play.desks["de/court"], play.desks["de/exchange"]
    asked = request.document
    if not isinstance(asked, FreezeRequest):
        raise Failure(ErrorCode.INTERNAL, "a request without its document")
    bench = Court(court.participant)
    number = f"AG-{case.rpartition('-')[2]}-26"
    order = bench.order(decision.header, papers.order(asked.wallets), exchange="de/exchange", case_id=number)
    await play.submit("de/court", order, f"a domestic order, case {number}")
    ordered = await exchange.next(ids.KIND_DOMESTIC_ORDER, number)
    what = ordered.document
    if not isinstance(what, orders.DomesticOrder):
        raise Failure(ErrorCode.INTERNAL, "an order without its document")
    play.report.wallets_carried += len(what.wallets)
    told = (ordered.header.case_id, ordered.header.instrument, str(ordered.header.cites), str(what))
    leaks = [word for word in ("EE-", "ee/", "KrMS", "Riigi", INSTRUMENT) if any(word in text for text in told)]
    play.report.expect(not leaks, f"the order tells of the foreign case: {leaks}")
    results, records = papers.freeze(what, system_clock), papers.read_transactions()
    reported = Exchange(exchange.participant).answer(ordered, results, records, data_classes=papers.DATA_CLASSES)
    froze = sum(result.status == orders.FREEZE_STATUS_FROZEN for result in results)
    await play.submit("de/exchange", reported, f"{froze} frozen, {len(records)} transaction records")
    at_court = await court.next(ids.KIND_EXECUTION_REPORT, number)
    report = at_court.document
    if not isinstance(report, orders.ExecutionReport):
        raise Failure(ErrorCode.INTERNAL, "a report without its document")
    passed_on = bench.report_to_central_authority(decision.header, report, rests_on=[at_court])
    await play.submit("de/court", passed_on, "")
    return ordered


async def answer(play: Play, case: str, request: Received, asked: Sequence[evidence.WalletIdentifier]) -> None:
    """Act 9: the answer travels back, and is what was asked about, wallet by wallet."""
    authority, prosecutor = play.desks["de/central-authority"], play.desks["ee/prosecutor"]
    from_court = await authority.next(ids.KIND_EXECUTION_REPORT, f"DE-{case}")
    report = from_court.document
    if not isinstance(report, orders.ExecutionReport):
        raise Failure(ErrorCode.INTERNAL, "a report without its document")
    back = CentralAuthority(authority.participant).report_abroad(request, report, rests_on=[from_court])
    await play.submit("de/central-authority", back, "the answer goes abroad")
    received = await prosecutor.next(ids.KIND_EXECUTION_REPORT, case)
    final = received.document
    if not isinstance(final, orders.ExecutionReport):
        raise Failure(ErrorCode.INTERNAL, "a report without its document")
    await prosecutor.told(received.header.cites[0], pb.MILESTONE_EXECUTED)
    # The order told the exchange nothing of where a wallet is listed, so the answer does not either.
    same = [wallets.key(result.wallet) for result in final.results] == [wallets.key(wallet) for wallet in asked]
    play.report.expect(same, f"the answer of {case} is not about the wallets that were asked about")
    play.report.wallets_verified += len(final.results) if same else 0
    play.report.frozen += sum(result.status == orders.FREEZE_STATUS_FROZEN for result in final.results)
    play.report.transactions += len(final.transactions)


async def refuse_one(play: Play, asked: Sequence[evidence.WalletIdentifier]) -> pb.Header:
    """Act 10: another request, for conduct that is no offence in Germany, is refused; its decision is returned."""
    case = "EE-2026-NODUAL"
    play.tell(f"\nCase {case}: conduct that is no offence in Germany.")
    drafted = await draft(play, case, papers.request(asked, listed=False))
    countersigned = await countersign(play, case, drafted)
    request = await cross_the_border(play, case, countersigned, kill=False)
    return (await review(play, case, request, granted=False)).header


async def prove(play: Play) -> None:
    """Last: everything that was signed is checked once more, from the files, with public keys alone."""
    report, summary = play.report, play.nodes.summary
    for desk in play.desks.values():
        home = desk.participant.maildir
        auditor = Auditor(desk.participant.directory)
        for path in sorted((desk.participant.parts.home / "sent").iterdir()):
            try:
                proven = auditor.envelope(path)
                receipts = home.receipts(ref_of(proven.header))
                report.envelopes += 1 if any(_accepted(receipt) for receipt in receipts) else 0
                for receipt in receipts:
                    said = auditor.receipt(receipt.SerializeToString(), proven)
                    report.receipts_verified += 1
                    report.milestones[pb.Milestone.Name(said.milestone).removeprefix("MILESTONE_").lower()] += 1
            except GatewayError as error:
                report.problems.append(f"{desk.address}: {path.name} is not proven: {error}")
    operator = material.load_participant(summary.config("ee/operator"))
    told = await trace.fetch(operator, report.request_id, ask_others=True)
    (story,) = trace.tell(told.traces, operator.directory)
    report.expect({part.node for part in story.nodes} == {"ee", "de"}, "the trace does not span both nodes")
    report.expect(all(not proof.error for proof in story.proofs), "a receipt in the trace does not hold")
    report.expect("executed" in story.situation, f"the trace says: {story.situation}")
    play.tell(f"\nThe operator of ee traces the request at both nodes: {story.situation}")


def _accepted(receipt: pb.Receipt) -> bool:
    return pb.Statement.FromString(receipt.statement).milestone == pb.MILESTONE_ACCEPTED


async def _until_under_way(play: Play, envelope_id: str) -> None:
    """Watch as an operator does until the envelope is in an attempt that has begun and not ended."""
    operator = material.load_participant(play.nodes.summary.config("ee/operator"))
    async with asyncio.timeout(UNDER_WAY_SECONDS):
        while True:
            told = await trace.fetch(operator, envelope_id, ask_others=False)
            states = {copy.state for part in told.traces for copy in part.deliveries}
            if State.DELIVERING.value in states:
                return
            await asyncio.sleep(0.05)  # an operator's eyes; a node calls nobody about its queue
