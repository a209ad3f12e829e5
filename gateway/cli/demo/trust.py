"""The second story: a federation is founded, grows, takes an exchange in, changes every key, and puts the exchange out.

Six acts, one function each. Nodes are real processes, and what people do they do with the very commands that operators
have; meanwhile requests cross the border without a pause, and every one of them has to arrive. No act waits for a time,
but the last, which is about time: a directory that nobody renews expires.
"""

import asyncio
import json
import shlex
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from clients.central_authority import CentralAuthority
from clients.investigator import Investigator
from clients.participant import Participant
from gateway import material
from gateway.cli.children import LAST_CHARACTERS, child, ended, patience
from gateway.cli.demo import papers
from gateway.cli.demo.desks import Desk, open_desks
from gateway.cli.demo.processes import Processes
from gateway.cli.development import INSTRUMENT, Summary, free_ports, init_federation
from gateway.clock import system_clock
from gateway.directory import FederationList, ParticipantList, Status
from gateway.envelope import ref_of
from gateway.errors import ErrorCode, Failure, GatewayError
from gateway.trust import client, development
from gateway.trust.copy import GoodCopy
from gateway.trust.roles import FEDERATION_PATH

FOUNDERS: Final = 3
THRESHOLD: Final = 2
PATIENCE_SECONDS: Final = 90.0
POLL_SECONDS: Final = 0.1
KNOCK_SECONDS: Final = 5.0
LIFE_SECONDS: Final = 24.0
"""For how long what is published counts: a day in production."""

# As in production, but everything in seconds: an audience waits.
REGISTRY: Final = {"notice_seconds": 3.0, "overlap_seconds": 6.0}
REFRESH_SECONDS: Final = 1.0

LEI: Final = "529900T8BM49AURSDO55"  # of a bank that is no exchange; the check digits are right
NEWCOMER: Final = "de/exchange-new"
TRAVELLERS: Final = ("ee/prosecutor", "ee/central-authority", "de/central-authority")
ROTATED: Final = {
    "ee/prosecutor": ("signing", "sealing", "tls"),
    "ee/central-authority": ("signing", "sealing", "tls"),
    "de/central-authority": ("signing", "sealing", "tls"),
    "ee/node": ("signing", "tls"),
    "de/node": ("signing", "tls"),
}

Tell = Callable[[str], None]


@dataclass
class Report:
    """What the story came to."""

    carried: int = 0
    self_test: int = 0
    rotated: list[str] = field(default_factory=list)
    cut_off_seconds: float = 0.0
    codes: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether all went as it must."""
        return not self.problems

    def expect(self, holds: bool, problem: str) -> None:
        """Note a problem, unless something holds."""
        if not holds:
            self.problems.append(problem)

    def as_object(self) -> dict[str, object]:
        """Return what `--json` prints."""
        return {
            "ok": self.ok,
            "requests_carried_while_keys_changed": self.carried,
            "keys_rotated": self.rotated,
            "self_test_checks": self.self_test,
            "seconds_from_revocation_to_cut_off": round(self.cut_off_seconds, 2),
            "refused": self.codes,
            "problems": self.problems,
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True, slots=True)
class Stage:
    """What every act works with."""

    summary: Summary
    nodes: Processes
    report: Report
    tell: Tell

    @property
    def folder(self) -> Path:
        """The federation's."""
        return self.summary.folder

    def config(self, address: str) -> str:
        """Return somebody's settings file."""
        node, _, name = address.partition("/")
        folder = self.folder / node
        return str(folder / "node.toml" if name == "node" else folder / name / "participant.toml")

    async def run(self, *words: str) -> dict[str, Any]:
        """Run a command as a person would.

        Raises:
            Failure: INTERNAL, it did not do what it must.
        """
        status, told = await self.attempt(*words)
        if status:
            raise Failure(ErrorCode.INTERNAL, f"rogatory {shlex.join(words)} ended with {status}: {told}")
        return told

    async def attempt(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run a command; return its exit status and what it printed."""
        shown = shlex.join(word for word in words if word != "--json")
        self.tell(f"  $ rogatory {shown}".replace(f"{self.folder}/", "").replace(str(self.folder), "."))
        async with child("gateway.cli", *words) as process:
            done = await ended(process)
        try:
            return done.status, json.loads(done.out)
        except ValueError as error:
            detail = f"rogatory {shlex.join(words)} printed no JSON: {done.err[-LAST_CHARACTERS:]}"
            raise Failure(ErrorCode.INTERNAL, detail) from error

    async def refused(self, what: str, wanted: ErrorCode, *words: str) -> None:
        """Run a command that must be refused."""
        _, told = await self.attempt(*words)
        found = str(told.get("error", {}).get("code", "nothing"))
        self.report.codes[what] = found
        self.report.expect(found == wanted.name, f"{what}: {found}, not {wanted.name}")
        self.tell(f"    refused: {found}")

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something that other processes do has happened."""
        async with patience(PATIENCE_SECONDS, what):
            while not holds():  # noqa: ASYNC110  no event comes from another process
                await asyncio.sleep(POLL_SECONDS)

    def diagnostics(self, code: str) -> str:
        """Return what a node's process has told its operator."""
        return (self.folder / code / "node.log").read_text()


async def run(folder: Path, tell: Tell) -> Report:
    """Play the story; every process that it started is stopped at the end.

    Raises:
        GatewayError: a step did not work; the story ends there.
    """
    began, report = perf_counter(), Report()
    ports = free_ports(4)
    summary = init_federation(
        folder,
        ["ee", "de"],
        ports[:2],
        system_clock(),
        founders=FOUNDERS,
        threshold=THRESHOLD,
        enrolment_ports=ports[2:],
        registry=REGISTRY,
        timestamp_hours=LIFE_SECONDS / 3600,
        refresh_seconds=REFRESH_SECONDS,
    )
    stage = Stage(summary, Processes(summary), report, tell)
    try:
        await found(stage)
        await grow(stage)
        await onboard(stage)
        async with traffic_of(stage) as traffic:
            await rotate(stage, traffic)
        await revoke(stage)
        await expire(stage)
    finally:
        await stage.nodes.stop()
    report.seconds = perf_counter() - began
    return report


async def found(stage: Stage) -> None:
    """Act 1: two States found a federation; three founders, two of whom speak for it."""
    stage.tell(
        "\n1. Estonia and Germany found a federation: three founders hold a key each, two of them speak for all."
    )
    for code in ("ee", "de"):
        await stage.nodes.start(code)
        stage.tell(f"  node {code} is up, process {stage.nodes.running[code].pid}")


async def grow(stage: Stage) -> None:
    """Act 2: a third node; one founder's signature is not enough, and nobody is restarted."""
    stage.tell("\n2. Finland joins. One founder's signature is one short; nodes that run hear of it by themselves.")
    await stage.run("federation", "add-node", str(stage.folder), "fi", "--json")
    await _sign(stage, 1)
    status = await stage.run("federation", "publish", str(stage.folder), "--json")
    missing = sum(role["missing"] for role in status["roles"] if role["pending"])
    stage.report.expect(missing == 1, f"after one founder has signed, {missing} signatures are missing, not 1")
    stage.report.expect(not _knows(stage, "ee", "fi"), "one founder alone has let a node in")
    stage.tell(f"    pending: {missing} signature is missing; nobody knows Finland yet")
    await _sign(stage, 2)
    listed = str(stage.folder / "fi" / "participants.json")
    await stage.run("federation", "publish", str(stage.folder), "--node", "fi", "--participants", listed, "--json")
    await stage.until(lambda: all(_knows(stage, code, "fi") for code in ("ee", "de")), "ee and de to know Finland")
    await stage.nodes.start("fi")
    stage.tell("  node fi is up; ee and de know it and were not restarted")


async def onboard(stage: Stage) -> None:
    """Act 3: Germany takes an exchange in, by two registrars, and both sides see what it can do and what it cannot."""
    stage.tell("\n3. Germany takes in an exchange: a one-time code, keys made on its own machine, four eyes.")
    first, second = stage.config("de/registrar"), stage.config("de/registrar-2")
    invitation, home = stage.folder / "exchange-new.invitation", stage.folder / "de" / "exchange-new"
    await stage.run(
        "registrar", "invite", NEWCOMER, "--role", "exchange", "--out", str(invitation), "--config", first, "--json"
    )
    enrol = (
        "enrol",
        str(invitation),
        str(home),
        "--legal-name",
        "Neue Börse AG",
        "--lei",
        LEI,
        "--plain-keys",
        "--json",
    )
    async with child("gateway.cli", *enrol) as waiting:
        stage.tell(f"  $ rogatory {shlex.join(enrol[:1])} exchange-new.invitation ... &   (waits for the registrars)")
        application = await _application(stage, first)
        await stage.run("registrar", "approve", application, "--yes", "--config", first, "--json")
        await stage.refused(
            "one registrar approves twice",
            ErrorCode.FOUR_EYES,
            *("registrar", "approve", application, "--yes", "--reason", "again", "--config", first, "--json"),
        )
        await stage.run("registrar", "approve", application, "--yes", "--config", second, "--json")
        done = await ended(waiting)
    stage.report.expect(done.status == 0, f"enrolment ended with {done.status}: {done.err[-LAST_CHARACTERS:]}")
    await stage.refused(
        "enrolment code used again",
        ErrorCode.ENROLMENT_CODE,
        *("enrol", str(invitation), str(stage.folder / "thief"), "--legal-name", "Thief", "--lei", LEI),
        *("--plain-keys", "--json"),
    )
    await _self_test(stage, first)


async def rotate(stage: Stage, traffic: "Traffic") -> None:
    """Act 4: every kind of key is changed, all at a time, while requests cross the border."""
    stage.tell("\n4. Every kind of key is changed, all at a time, while requests cross the border without a pause.")
    await traffic.next()
    ended = await asyncio.gather(*(_renew(stage, address) for address in ROTATED), return_exceptions=True)
    # All have ended by then: none must be left to change keys of nodes that stop.
    for failed in filter(None, ended):
        raise failed
    stage.report.rotated += [f"{address} {kind}" for address, kinds in ROTATED.items() for kind in kinds]
    while any(len(traffic.keys[address]) < 2 for address in ROTATED):  # noqa: PLR2004  the old one and the new one
        await traffic.next()
    await traffic.next()
    stage.tell(f"    {', '.join(ROTATED)}: each has signed with its old key and with its new one")


async def revoke(stage: Stage) -> None:
    """Act 5: the exchange is put out while it holds a stream open."""
    stage.tell("\n5. The exchange's key was stolen. A registrar puts it out while it holds a stream open.")
    exchange = Participant.of(material.load_participant(Path(stage.config(NEWCOMER))))
    cut_off = asyncio.Event()
    ended: list[GatewayError] = []

    async def hold() -> None:
        try:
            async with exchange, aclosing(exchange.collect()) as items:
                async for _ in items:
                    pass
        except GatewayError as error:
            ended.append(error)
        cut_off.set()

    holding = asyncio.create_task(hold())
    began = perf_counter()
    registrar = stage.config("de/registrar-2")
    reason = ("--reason", "its key was stolen", "--yes")
    await stage.run("registrar", "revoke", NEWCOMER, *reason, "--config", registrar, "--json")
    async with patience(PATIENCE_SECONDS, "the stream of the revoked exchange to end"):
        await cut_off.wait()
    await holding
    stage.report.cut_off_seconds = perf_counter() - began
    code = ended[0].code.name if ended else "nothing"
    stage.report.codes["revoked exchange with an open stream"] = code
    stage.report.expect(code == ErrorCode.REVOKED.name, f"the stream of the revoked exchange ended with {code}")
    stage.tell(f"    cut off: {code}, {stage.report.cut_off_seconds:.1f} s after the command was typed")
    await stage.until(lambda: all(_knows_revoked(stage, code) for code in ("ee", "fi")), "ee and fi to know it")
    stage.tell("    Estonia and Finland know it too")


async def expire(stage: Stage) -> None:
    """Act 6: the node that publishes for all is down; first a warning, then nobody is let in; then it is back."""
    stage.tell(f"\n6. The publisher is down. What it published counts for {LIFE_SECONDS:.0f} s (in production: a day).")
    await stage.nodes.kill("ee")
    await stage.until(lambda: "timestamp expires" in stage.diagnostics("de"), "de to warn that the directory expires")
    stage.tell("    de warns its operator: the directory's role timestamp expires soon")
    wanted = ErrorCode.DIRECTORY_EXPIRED.name
    code = ""
    async with patience(PATIENCE_SECONDS, f"{wanted}, at de"):
        while code != wanted:
            code = await _knock(stage, "de/court")
            await asyncio.sleep(REFRESH_SECONDS)
    stage.report.codes["a participant, by an expired directory"] = code
    stage.tell(f"    now de lets nobody in: {code}")
    await stage.nodes.start("ee")
    async with patience(PATIENCE_SECONDS, "de to let its participants in"):
        while code:
            code = await _knock(stage, "de/court")
            await asyncio.sleep(REFRESH_SECONDS)
    stage.tell("    the publisher is back, and de lets its participants in again")


# Meanwhile


class Traffic:
    """Requests that cross the border, one after the other, without a pause.

    Args:
        report: counts them.
        desks: of those who send and receive.
    """

    def __init__(self, report: Report, desks: dict[str, Desk]) -> None:
        self.keys: defaultdict[str, set[bytes]] = defaultdict(set)
        self._report = report
        self._desks = desks
        self._arrived = asyncio.Condition()
        self._stop = asyncio.Event()
        self._lost: GatewayError | None = None

    async def run(self) -> None:
        """Carry until stopped.

        Raises:
            GatewayError: a request was refused, or did not arrive.
        """
        while not self._stop.is_set():
            try:
                await self._one(f"EE-2026-{self._report.carried + 1}")
            except GatewayError as error:
                self._lost = error
            async with self._arrived:
                self._report.carried += self._lost is None
                self._arrived.notify_all()
            if self._lost is not None:
                raise self._lost

    def stop(self) -> None:
        """End after the request that is under way."""
        self._stop.set()

    async def next(self) -> None:
        """Wait until one more has arrived.

        Raises:
            Failure: UNAVAILABLE, none does, and why.
        """
        async with patience(PATIENCE_SECONDS, "a request to cross the border"), self._arrived:
            if self._lost is None:
                await self._arrived.wait()
        if self._lost is not None:
            raise Failure(ErrorCode.UNAVAILABLE, f"a request was lost or refused: {self._lost}") from self._lost

    async def _one(self, case: str) -> None:
        prosecutor, ministry, abroad = (self._desks[address] for address in TRAVELLERS)
        drafted = Investigator(prosecutor.participant).draft_freeze(
            papers.request(papers.read_wallets(None)[:1]),
            to=TRAVELLERS[2],
            via=TRAVELLERS[1],
            case_id=case,
            instrument=INSTRUMENT,
            measures=papers.MEASURES,
            data_classes=papers.DATA_CLASSES,
        )
        await prosecutor.participant.submit(drafted.draft.envelope)
        signed = CentralAuthority(ministry.participant).countersign(await ministry.next(ids.KIND_DRAFT, case))
        await ministry.participant.submit(signed.envelope)
        answered = await prosecutor.next(ids.KIND_COUNTERSIGNATURE, case)
        request = Investigator(prosecutor.participant).add_countersignature(answered, drafted.request)
        await prosecutor.participant.submit(request)
        received = await abroad.next(ids.KIND_FREEZE_REQUEST, case)
        ref = ref_of(received.header)
        for milestone in (pb.MILESTONE_ACCEPTED, pb.MILESTONE_DELIVERED, pb.MILESTONE_OPENED):
            await prosecutor.told(ref, milestone)
        for signature in received.envelope.signatures:
            self.keys[signature.signer].add(signature.key_id)
        for told in prosecutor.receipts:
            self.keys[told.statement.issuer].add(told.receipt.signature.key_id)


@asynccontextmanager
async def traffic_of(stage: Stage) -> AsyncIterator[Traffic]:
    """Let requests cross the border meanwhile; each of them has to arrive."""
    async with open_desks(stage.summary, TRAVELLERS) as desks:
        traffic = Traffic(stage.report, desks)
        carrying = asyncio.create_task(traffic.run())
        try:
            yield traffic
        finally:
            traffic.stop()
            try:
                await carrying
            except GatewayError as error:
                stage.report.problems.append(f"a request was lost or refused: {error}")
            for desk in desks.values():
                stage.report.expect(not desk.rejected, f"{desk.address} could not open {len(desk.rejected)} envelopes")
    stage.tell(f"    {stage.report.carried} requests crossed meanwhile; none was lost or refused")


# Small things


async def _sign(stage: Stage, founder: int) -> None:
    key = str(development.founder_key(stage.folder, founder))
    await stage.run("federation", "sign", str(stage.folder), "--key", key, "--yes", "--json")


async def _renew(stage: Stage, address: str) -> None:
    options = [f"--{kind}" for kind in ROTATED[address]]
    await stage.run("keys", "rotate", "--config", stage.config(address), *options, "--json")


async def _application(stage: Stage, registrar: str) -> str:
    """Wait for the application, and return its id."""
    async with patience(PATIENCE_SECONDS, "the exchange's application"):
        while True:
            listed = await stage.run("registrar", "list", "--config", registrar, "--json")
            if listed["applications"]:
                return str(listed["applications"][0]["id"])
            await asyncio.sleep(POLL_SECONDS)


async def _self_test(stage: Stage, registrar: str) -> None:
    """Let both sides find out what the exchange can do."""
    testing = asyncio.create_task(stage.run("registrar", "self-test", NEWCOMER, "--config", registrar, "--json"))
    answered = await stage.run("self-test", "--config", stage.config(NEWCOMER), "--json")
    told = await testing
    stage.report.expect(answered == told, "the two sides of the self-test do not say the same")
    stage.report.self_test = sum(len(each["checks"]) for each in told["tests"])
    stage.tell(
        f"    both sides: {stage.report.self_test} checks passed; it can receive, open, answer, and nothing else"
    )


def _copy(stage: Stage, code: str) -> GoodCopy | None:
    return GoodCopy.read(stage.folder / code / "directory")


def _knows(stage: Stage, code: str, other: str) -> bool:
    """Whether a node that runs has heard of another."""
    copy = _copy(stage, code)
    lists = [content for name, content in copy.files.items() if name.endswith(FEDERATION_PATH)] if copy else []
    return any(node.code == other for each in lists for node in FederationList.parse(each, FEDERATION_PATH).nodes)


def _knows_revoked(stage: Stage, code: str) -> bool:
    """Whether a node that runs has heard that the newcomer is out."""
    copy, node = _copy(stage, code), NEWCOMER.partition("/")[0]
    kept = copy.lists.get(node) if copy else None
    entries = ParticipantList.parse(kept.content, node).participants if kept else ()
    return any(str(each.address) == NEWCOMER and each.status is Status.REVOKED for each in entries)


async def _knock(stage: Stage, address: str) -> str:
    """Ask for mail, and return with which code that is refused; empty if it is not."""
    loaded = material.load_participant(Path(stage.config(address)), find=client.load_for_verification)
    try:
        async with Participant.of(loaded) as participant:
            await participant.collect_available(within=KNOCK_SECONDS)
    except GatewayError as error:
        return error.code.name
    return ""
