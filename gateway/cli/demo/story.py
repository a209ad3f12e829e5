"""The story of the demo, in the order in which it happens.

Five scenes: a freeze through the whole of its procedure, a refusal, what must not work, an emergency, and what lapses
by itself; then the proof, and the case as a file. Each act waits for the real thing to arrive; none waits for a time,
for the one scene that is about time puts all clocks forward.
"""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence

from clients.auditor import Auditor
from clients.maildir import Folder
from gateway import material, settings_file, statement
from gateway.cli import trace
from gateway.cli.demo import acts, attacks, freeze, notes, papers, urgent
from gateway.cli.demo.attacks import Loot
from gateway.cli.demo.clock import DemoClock
from gateway.cli.demo.desks import DESKS, Desk, open_desks
from gateway.cli.demo.handover import Tell, hand_over
from gateway.cli.demo.play import Play, Report
from gateway.cli.demo.processes import Processes
from gateway.cli.development import Summary, free_ports, init_federation
from gateway.config import Delivery
from gateway.envelope import ref_of
from gateway.errors import GatewayError
from gateway.story import tell as tell_story

# As in production, but a killed node's leases are taken back after two seconds instead of half a minute.
DELIVERY: Final = Delivery(lease_seconds=2.0, backoff_first_seconds=0.1, backoff_max_seconds=1.0)
NODES: Final = ("ee", "de")
FIRST_CASE: Final = "EE-2026-1"
POLICY_FILE: Final = "policy.toml"


async def run(folder: Path, asked: Sequence[evidence.WalletIdentifier], out: Path, *, keep: bool, tell: Tell) -> Report:
    """Found a federation of ee and de and play the story; the nodes are stopped at the end, unless kept.

    Args:
        folder: of the federation.
        asked: the wallets.
        out: where the case file and its report are put.
        keep: whether to leave the nodes running.
        tell: says a line to the audience.

    Raises:
        GatewayError: a step did not work; the story ends there.
    """
    began = perf_counter()
    clock = DemoClock(urgent.BEHIND)
    summary = init_federation(folder, NODES, free_ports(len(NODES)), clock(), delivery=DELIVERY)
    _legislate(summary)
    report = Report(summary, wallets_asked=len(asked))
    nodes = Processes(summary, clock)
    tell("A federation of two countries: federation root, a CA a node, short-lived certificates, mutual TLS 1.3.")
    kept = False
    try:
        for code in NODES:
            await nodes.start(code)
            tell(f"  node {code} is up, process {nodes.running[code].pid}")
        async with open_desks(summary, DESKS, clock) as desks:
            operators = {code: material.load_participant(summary.config(f"{code}/operator"), clock) for code in NODES}
            try:
                await _play(Play(desks, operators, nodes, report, tell), asked)
            except attacks.Succeeded as error:
                report.problems.append(f"not refused: {error}")
        report.handed = await hand_over(summary, FIRST_CASE, out, tell)
        kept = keep and report.ok
        if kept:
            report.processes = {code: process.pid for code, process in nodes.running.items()}
    finally:
        if not kept:
            await nodes.stop()
    report.seconds = perf_counter() - began
    return report


def _legislate(summary: Summary) -> None:
    """Germany's own law is stricter than the table: see docs/policy.md."""
    settings = summary.config("de/node")
    settings.with_name(POLICY_FILE).write_text(notes.POLICY)
    settings_file.edit(settings, lambda _: {"policy": POLICY_FILE})


async def _play(play: Play, asked: Sequence[evidence.WalletIdentifier]) -> None:
    size = papers.WALLETS_A_REQUEST
    first, *more = [asked[start : start + size] for start in range(0, len(asked), size)]
    executed = await freeze.whole(play, FIRST_CASE, first)
    play.report.request_id = executed.request.ref.id
    await freeze.released(play, executed)
    for number, part in enumerate(more, start=2):
        await freeze.plain(play, f"EE-2026-{number}", part)
    await freeze.refused(play, asked[:1])
    play.tell("\n3. What must not work, tried on the wire with real keys.")
    uncountersigned = acts.draft(play, "EE-2026-FORGED", papers.request(asked[:1])).request
    loot = Loot(executed.signed, uncountersigned)
    await attacks.mount_all(play.desks, loot, play.nodes.summary, play.refused)
    await urgent.emergency(play)
    await urgent.provisional(play)
    await prove(play)


async def prove(play: Play) -> None:
    """Last: everything that was signed is checked once more, from the files, with public keys alone."""
    report = play.report
    for desk in play.desks.values():
        for path in sorted((desk.participant.parts.home / "sent").iterdir()):
            said = _proven(desk, path, report)
            report.envelopes += pb.MILESTONE_ACCEPTED in said
            report.expect(
                pb.MILESTONE_ACCEPTED in said, f"{desk.address}: nobody has signed that {path.name} was accepted"
            )
            _count(report, said)
        # Of what came, its sender has the receipts, but for those that tell the recipient of time limits and rivals.
        for path in sorted(desk.participant.maildir.folder(Folder.DONE).iterdir()):
            _count(report, [word for word in _proven(desk, path, report) if word in statement.TO_RECIPIENT])
    told = await trace.fetch(play.operators["ee"], report.request_id, ask_others=True)
    (story,) = tell_story(told.traces, play.operators["ee"].directory)
    report.expect({part.node for part in story.nodes} == {*NODES}, "the trace does not span both nodes")
    report.expect(all(not proof.error for proof in story.proofs), "a receipt in the trace does not hold")
    report.expect("executed" in story.situation, f"the trace says: {story.situation}")
    overdue = {code: len((await trace.fetch_overdue(play.operators[code])).clocks) for code in NODES}
    report.expect(not any(overdue.values()), f"something is overdue: {overdue}")
    play.tell(f"\nThe operator of ee traces the request at both nodes: {story.situation}")


def _proven(desk: Desk, path: Path, report: Report) -> list[pb.Milestone.ValueType]:
    """Return what is proven by the receipts for an envelope on this desk's disk."""
    auditor = Auditor(desk.participant.directory)
    try:
        proven = auditor.envelope(path)
        receipts = desk.participant.maildir.receipts(ref_of(proven.header))
        return [auditor.receipt(receipt.SerializeToString(), proven).milestone for receipt in receipts]
    except GatewayError as error:
        report.problems.append(f"{desk.address}: {path.name} is not proven: {error}")
        return []


def _count(report: Report, said: Sequence[pb.Milestone.ValueType]) -> None:
    report.receipts_verified += len(said)
    report.milestones.update(pb.Milestone.Name(each).removeprefix("MILESTONE_").lower() for each in said)
