"""SIGKILL at every stage between receive and receipt, on both nodes.

One node of two real processes kills itself at one numbered point while a request crosses the border. It is started
again, and everybody retries as he should. Then: nothing that was acknowledged is lost, nothing arrives twice, the
sender knows the truth, and the judge finds both stores sound.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
import pysqlite3.dbapi2 as sqlite
import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox

from gateway import codec, statement
from gateway.cli.development import Summary, init_federation
from gateway.clock import system_clock
from gateway.errors import Failure
from gateway.lifecycle import FINAL
from tests.federation import DELIVERY, Actor, Federation, ports, ref
from tests.judge import judge

pytestmark = pytest.mark.fault

# (arm, stage): the first stage after `arm` at which the node kills itself; "-" arms it at once.
ACCEPTING = [
    ("-", "authenticated"),
    ("-", "received"),
    ("-", "permitted"),
    ("-", "verified"),
    ("-", "lawful"),
    ("-", "recorded"),
    ("-", "queued"),
    ("queued", "committed"),
    ("-", "answering"),
]
CARRYING = [
    ("-", "leased"),
    ("-", "sent"),
    ("-", "answered"),
    ("answered", "committed"),
    ("-", "settled"),
]
HANDING_OUT = [("-", "acknowledged")]
POINTS = [("ee", *point) for point in (*ACCEPTING, *CARRYING)] + [
    ("de", *point) for point in (*ACCEPTING, *CARRYING, *HANDING_OUT)
]


@dataclass
class Processes:
    """Both nodes as processes of their own; one that dies is started again, this time without a killer."""

    summary: Summary
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    deaths: list[tuple[str, int]] = field(default_factory=list)
    reborn: asyncio.Event = field(default_factory=asyncio.Event)
    _tending: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, code: str, *killer: str) -> None:
        config = str(self.summary.config(f"{code}/node"))
        command = ["-m", "tests.fault.crashing_node", config, *(killer or ("never", "never"))]
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
        self.running[code] = process
        assert process.stdout is not None
        assert (await asyncio.wait_for(process.stdout.readline(), 30)).startswith(b"ready")
        self._tending.append(asyncio.create_task(self._tend(code, process)))

    async def _tend(self, code: str, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        self.deaths.append((code, status))
        await self.start(code)
        self.reborn.set()

    async def stop(self) -> None:
        for task in self._tending:
            task.cancel()
        await asyncio.gather(*self._tending, return_exceptions=True)
        for process in self.running.values():
            if process.returncode is None:
                process.kill()
                await process.wait()


@asynccontextmanager
async def processes(folder: Path) -> AsyncIterator[Processes]:
    summary = init_federation(folder, ["ee", "de"], ports(2), system_clock(), delivery=DELIVERY)
    made = Processes(summary)
    try:
        yield made
    finally:
        await made.stop()


async def submit_until_known(sender: Actor, envelope: pb.SignedEnvelope) -> pb.Statement:
    """Send the identical bytes until the node has signed an answer, as the clients' library does."""
    while True:
        try:
            answer = await sender.answer(envelope)
        except grpc.aio.AioRpcError:
            # The node is away; wait for the connection, not for a time.
            await sender.channel.channel_ready()
            continue
        if answer.WhichOneof("result") == "receipt":
            return statement.verify(answer.receipt, sender.loaded.directory.signing_key)
        assert isinstance(codec.error_from(answer.error), Failure)


async def collect_until(actor: Actor, done: "Counting") -> None:
    """Collect and acknowledge, over as many connections as it takes, dropping what is there already."""
    while not done.reached():
        try:
            await actor.collect(1, keep=done.take)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, AssertionError):
            await actor.channel.channel_ready()


@dataclass
class Counting:
    """What one participant holds: the wire may bring a thing twice, its library keeps it once."""

    wanted: int
    kept: dict[bytes, mailbox.Item] = field(default_factory=dict)

    def take(self, item: mailbox.Item) -> None:
        self.kept.setdefault((item.envelope.header or item.receipt.statement), item)

    def reached(self) -> bool:
        return len(self.kept) >= self.wanted


@pytest.mark.parametrize(("code", "arm", "stage"), POINTS, ids=[f"{c}-{s}-after-{a}" for c, a, s in POINTS])
async def test_sigkill_loses_nothing_and_doubles_nothing(tmp_path: Path, code: str, arm: str, stage: str) -> None:
    async with processes(tmp_path / "fed") as nodes:
        for each in ("ee", "de"):
            await nodes.start(each, *((arm, stage) if each == code else ()))
        fed = Federation(nodes.summary, system_clock, {}, {})
        prosecutor, authority = fed.actor("ee/prosecutor"), fed.actor("de/central-authority")
        made = fed.request()
        async with asyncio.timeout(60):
            said = await submit_until_known(prosecutor, made)
            assert said.milestone == pb.MILESTONE_ACCEPTED
            letters, receipts = Counting(1), Counting(2)
            await collect_until(authority, letters)
            await collect_until(prosecutor, receipts)
            await nodes.reborn.wait()
            await settled(fed)
        assert [status for _, status in nodes.deaths] == [-9], "the node did not die where it should"
        assert [item.envelope for item in letters.kept.values()] == [made]
        told = [prosecutor.said(item) for item in receipts.kept.values()]
        assert {(one.milestone, one.issuer) for one in told} == {
            (pb.MILESTONE_ACCEPTED, "de/node"),
            (pb.MILESTONE_DELIVERED, "de/node"),
        }
        assert all(one.envelope == ref(made) for one in told)
        for actor in fed.actors.values():
            await actor.channel.close()
        await nodes.stop()
        for each in ("ee", "de"):
            verdict = judge(fed.store(each), each, fed.directory)
            assert verdict.envelopes == 1
            assert verdict.ends["MILESTONE_DELIVERED"] == 1


async def settled(fed: Federation) -> None:
    """Wait until nothing is on its way any more; the stores are the only ones who know, and they cannot call."""
    final = ", ".join(f"'{state.value}'" for state in FINAL)
    for code in ("ee", "de"):
        connection = sqlite.connect(f"file:{fed.store(code)}?mode=ro", uri=True)
        try:
            while connection.execute(f"SELECT count(*) FROM deliveries WHERE state NOT IN ({final})").fetchone()[0]:
                await asyncio.sleep(0.02)
        finally:
            connection.close()
