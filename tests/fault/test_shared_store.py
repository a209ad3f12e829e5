"""Many processes, one store: whatever dies under load, nothing that was acknowledged is lost or comes twice.

Node ee runs as two processes with one identity. Requests of several cases are handed in at both, each case in its
order. One of the processes, or the primary database under both nodes, is killed with SIGKILL meanwhile.
"""

import asyncio
import dataclasses
import os
import re
import signal
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import grpc.aio
import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox

from gateway import codec, statement
from gateway.errors import ErrorCode, Failure
from tests import postgres, stores
from tests.fault.nodes import judged
from tests.federation import DELIVERY, Actor, Federation, StreamEndedError, ports, until
from tests.processes import STOP_SECONDS, Processes, Serving, finished, processes, rogatory, started_by, still_there

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

CASES = 8
A_CASE = 12
BEFORE_THE_KILL = CASES * A_CASE // 3
PATIENCE_SECONDS = 150.0
WRITING = "SELECT pg_logical_emit_message(true, 'tests', '')"
SYNCHRONISING = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture(params=stores.ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with stores.using(request.param):
        yield request.param


@pytest.fixture
def pair() -> Iterator[postgres.Pair]:
    made = postgres.Pair()
    try:
        yield made
    finally:
        made.remove()


@dataclasses.dataclass
class Load:
    """Requests of several cases, each case in its order, handed in at any of the node's processes."""

    fed: Federation
    doors: Sequence[Actor]
    accepted: dict[str, list[bytes]] = dataclasses.field(default_factory=dict)
    count: int = 0
    enough: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CASES):
                group.create_task(self._case(number))

    async def _case(self, number: int) -> None:
        for turn in range(A_CASE):
            made = self.fed.request(case_id=f"EE-{number}")
            await self._hand_in(made, number + turn)
            self.accepted.setdefault(f"EE-{number}", []).append(made.header)
            self.count += 1
            if self.count == BEFORE_THE_KILL:
                self.enough.set()

    async def _hand_in(self, made: pb.SignedEnvelope, door: int) -> None:
        """Send the identical bytes, now here, now there, until a node has signed that it has them."""
        while True:
            actor = self.doors[door % len(self.doors)]
            door += 1
            try:
                answer = await actor.answer(made)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)  # its retry; what died tells nobody when it is back
                continue
            if answer.WhichOneof("result") == "receipt":
                said = statement.verify(answer.receipt, actor.loaded.directory.signing_key)
                assert said.milestone == pb.MILESTONE_ACCEPTED, said
                return
            error = codec.error_from(answer.error)
            assert isinstance(error, Failure), error
            await asyncio.sleep(min(error.retry_after or 0.05, 0.2))


@dataclasses.dataclass
class Held:
    """What the recipient's library holds: the wire may bring a thing again until it is acknowledged, and not after."""

    actor: Actor
    acknowledged: set[bytes] = dataclasses.field(default_factory=set)

    async def collect(self, wanted: int) -> None:
        while len(self.acknowledged) < wanted:
            try:
                items = await self.actor.collect(1, keep=self._keep)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, StreamEndedError, TimeoutError):
                await self.actor.channel.channel_ready()
                continue
            self.acknowledged.update(item.envelope.header for item in items)

    def _keep(self, item: mailbox.Item) -> None:
        assert item.envelope.header not in self.acknowledged, "delivered twice"


async def second(nodes: Processes, code: str) -> tuple[Serving, Actor]:
    """Start another process of a node, with a port and a copy of the directory of its own; return a way to it."""
    settings = nodes.fed.summary.config(f"{code}/node")
    (port,) = ports(1)
    text = re.sub(r'^listen = "(.*):\d+"$', rf'listen = "\1:{port}"', settings.read_text(), flags=re.MULTILINE)
    other = settings.with_name("other.toml")
    other.write_text(re.sub(r'^cache = "(.*)"$', r'cache = "\1-other"', text, flags=re.MULTILINE))
    assert other.read_text() != settings.read_text()
    serving = await nodes.start_with(f"{code}-other", other)
    loaded = nodes.fed.actor(f"{code}/prosecutor").loaded
    there = loaded.node.model_copy(update={"endpoint": f"localhost:{port}"})
    return serving, Actor(dataclasses.replace(loaded, node=there), nodes.fed.clock)


@asynccontextmanager
async def two_of_ee(nodes: Processes) -> AsyncIterator[list[Actor]]:
    """Run ee as two processes and de as one; yield the prosecutor's ways into ee."""
    for code in ("ee", "de"):
        await nodes.start(code)
    _, there = await second(nodes, "ee")
    try:
        yield [nodes.fed.actor("ee/prosecutor"), there]
    finally:
        await there.channel.close()


async def check_whole(load: Load, held: Held, fed: Federation) -> None:
    """Nothing acknowledged is lost, and each case came in its order; what came twice, `Held` has told by now."""
    wanted = {header for headers in load.accepted.values() for header in headers}
    assert len(wanted) == CASES * A_CASE
    assert held.acknowledged == wanted
    assert await held.actor.waiting() == []
    for code in ("ee", "de"):
        assert judged(fed, code, all_final=False).envelopes == len(wanted)
    arrived = [bytes(header) for (header,) in stores.rows(fed.store("de"), "SELECT header FROM envelopes ORDER BY seq")]
    for headers in load.accepted.values():
        assert [header for header in arrived if header in set(headers)] == headers, "a case came out of its order"


@pytest.mark.usefixtures("engine")
async def test_one_of_two_processes_dies_under_load_and_the_other_carries_on(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed", start=()) as nodes, two_of_ee(nodes) as doors:
        load, held = Load(nodes.fed, doors), Held(nodes.fed.actor("de/central-authority"))
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
            group.create_task(load.run())
            group.create_task(held.collect(CASES * A_CASE))
            await load.enough.wait()
            victim = nodes.running.pop("ee")
            assert await victim.end(9) == -9
        await check_whole(load, held, nodes.fed)


@pytest.mark.usefixtures("engine")
async def test_both_processes_take_part(tmp_path: Path) -> None:
    """What is handed in at one is carried and answered by either, at once: they wake each other."""
    delivery = DELIVERY.model_copy(update={"sweep_seconds": 60.0})
    async with processes(tmp_path / "fed", start=(), delivery=delivery) as nodes, two_of_ee(nodes) as doors:
        here, there = doors
        waiting = asyncio.create_task(there.collect(2))
        made = nodes.fed.request()
        await here.submit(made)
        (item,) = await nodes.fed.actor("de/central-authority").collect(1)
        assert item.envelope == made
        told = [there.said(item) for item in await asyncio.wait_for(waiting, 20)]
        assert {one.milestone for one in told} == {pb.MILESTONE_ACCEPTED, pb.MILESTONE_DELIVERED}
        # The identical bytes at the other process: the same stored receipt.
        assert (await here.answer(made)).receipt == (await there.answer(made)).receipt


def lie_in(settings: Path, database: str) -> None:
    """Let a node keep its records in a database."""
    store = re.sub(r'^store = ".*"$', f'store = "{database}"', settings.read_text(), flags=re.MULTILINE)
    settings.write_text(store + stores.DEPOT)


async def test_primary_dies_under_load_and_the_standby_is_promoted(tmp_path: Path, pair: postgres.Pair) -> None:
    delivery = DELIVERY.model_copy(update={"lease_seconds": 3.0})
    async with processes(tmp_path / "fed", start=(), delivery=delivery) as nodes:
        # Both nodes' databases are on the pair.
        for code in ("ee", "de"):
            pair.primary.sql(f"CREATE DATABASE {code}")
            lie_in(nodes.fed.summary.config(f"{code}/node"), pair.dsn(code))
        async with two_of_ee(nodes) as doors:
            load, held = Load(nodes.fed, doors), Held(nodes.fed.actor("de/central-authority"))
            async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
                group.create_task(load.run())
                group.create_task(held.collect(CASES * A_CASE))
                await load.enough.wait()
                pair.primary.kill()
                await asyncio.to_thread(pair.standby.promote)
            assert load.count == CASES * A_CASE
        await check_whole(load, held, nodes.fed)


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10.0) as answer:
        text: bytes = answer.read()
    return text.decode()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_workers_share_a_port_are_replaced_when_they_die_and_end_with_their_parent(
    tmp_path: Path, end: signal.Signals
) -> None:
    async with processes(tmp_path / "fed", start=()) as nodes:
        settings = nodes.fed.summary.config("ee/node")
        first = next(one for one, other in pairwise(ports(16)) if other == one + 1)
        figures = f'\n[telemetry]\nprometheus = "127.0.0.1:{first}"\n'
        settings.write_text(f"workers = 2\n{settings.read_text()}{figures}")
        serving = await nodes.start("ee")
        before = started_by(serving.process.pid)
        assert len(before) == 2
        # Each has figures, and so a port for them, of its own.
        told = [await asyncio.to_thread(scraped, first + number) for number in range(2)]
        assert len({re.findall(r'service_instance_id="([^"]+)"', text)[0] for text in told}) == 2
        # So many connections that each of the two has some, but for one run in 2^15.
        doors = [Actor(nodes.fed.actor("ee/prosecutor").loaded, nodes.fed.clock) for _ in range(16)]
        load = Load(nodes.fed, doors)
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
            group.create_task(load.run())
            await load.enough.wait()
            os.kill(min(before), signal.SIGKILL)
        assert load.count == CASES * A_CASE
        await until(lambda: len(started_by(serving.process.pid)) == 2)
        after = started_by(serving.process.pid)
        assert max(before) in after
        for door in doors:
            await door.channel.close()
        # Its streams end when the last worker has ended; one of them may be starting still.
        serving.process.send_signal(end)
        assert await asyncio.wait_for(serving.process.wait(), PATIENCE_SECONDS) == (0 if end is signal.SIGTERM else -9)
        await until(lambda: not still_there(after))
        nodes.running.pop("ee")
        assert judged(nodes.fed, "ee", all_final=False).envelopes == load.count


def with_workers(settings: Path, workers: int) -> None:
    settings.write_text(f"workers = {workers}\n{settings.read_text()}")


async def commits_wait(server: postgres.Server) -> None:
    """Let no commit return: nobody follows whose word it needs."""
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (a, b)'")
    server.sql("SELECT pg_reload_conf()")
    # Until the server has taken that, which it tells nobody, they do return.
    while not server.sql(SYNCHRONISING):
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(server.sql, WRITING), 0.2)
    server.sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE query = %s", WRITING)


async def told_to_end(settings: Path, number: int, waits: Callable[[], bool]) -> None:
    """Start a node that waits; tell it to end. It does, with all its processes, as if it had served."""
    process = await rogatory("serve", "--config", str(settings))
    try:
        await until(waits)
        started = started_by(process.pid)
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), STOP_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err
    assert not still_there(started)


@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGTERM), (2, signal.SIGINT)])
async def test_start_that_waits_for_a_standby_ends_when_it_is_told_to_and_the_next_goes_on(
    tmp_path: Path, workers: int, number: int
) -> None:
    alone = postgres.Server()
    try:
        alone.start()
        await commits_wait(alone)
        async with processes(tmp_path / "fed", start=()) as nodes:
            settings = nodes.fed.summary.config("ee/node")
            lie_in(settings, alone.dsn())
            with_workers(settings, workers)
            await told_to_end(settings, number, lambda: bool(alone.sql(SYNCHRONISING)))
            alone.sql("ALTER SYSTEM RESET synchronous_standby_names")
            alone.sql("SELECT pg_reload_conf()")
            await nodes.start("ee")
            assert (await nodes.end("ee"))[0] == 0
    finally:
        alone.remove()


async def test_node_whose_commit_waits_for_a_standby_ends_when_it_is_told_to_and_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    alone = postgres.Server()
    try:
        alone.start()
        async with processes(tmp_path / "fed", start=()) as nodes:
            settings = nodes.fed.summary.config("ee/node")
            lie_in(settings, alone.dsn())
            with_workers(settings, 2)
            await nodes.start("ee")
            await nodes.start("de")
            await commits_wait(alone)
            made = nodes.fed.request()
            waiting = asyncio.create_task(nodes.fed.actor("ee/prosecutor").answer(made))
            await until(lambda: bool(alone.sql(SYNCHRONISING)))
            started = started_by(nodes.running["ee"].process.pid)
            assert (await nodes.end("ee"))[0] == 0
            assert not still_there(started)
            with pytest.raises(grpc.aio.AioRpcError):  # it was not told that it is safe
                await waiting
            alone.sql("ALTER SYSTEM RESET synchronous_standby_names")
            alone.sql("SELECT pg_reload_conf()")
            await nodes.start("ee")
            await nodes.fed.actor("ee/prosecutor").submit(made)
            (item,) = await nodes.fed.actor("de/central-authority").collect(1)
            assert item.envelope == made
            assert await nodes.fed.actor("de/central-authority").waiting() == []
            for code in ("ee", "de"):
                judged(nodes.fed, code, all_final=False)
    finally:
        alone.remove()


async def test_workers_do_not_take_a_port_that_another_node_has(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed", start=("ee",)) as nodes:
        settings = nodes.fed.summary.config("ee/node")
        with_workers(settings, 2)
        status, out, err = await finished("serve", "--config", str(settings))
        assert (status, out) == (2, "")
        assert ErrorCode.BAD_CONFIG.name in err
