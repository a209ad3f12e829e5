"""Faults of all kinds by chance, mixed, over three nodes under load; from a seed, so that a run can be repeated.

    ROGATORY_FAULT_SEED=17 pytest tests/fault/test_chance.py

plays round 17 again: the same traffic, and the same faults in the same order. What the machine makes of them in between
is not in anybody's hand.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fault.nodes import KILLED, Nodes, nodes_of
from tests.fault.tally import Tally
from tests.fault.test_crashes import POINTS, reckoned
from tests.fault.traffic import Traffic, traffic_in
from tests.weather import Weather, weather_before

pytestmark = pytest.mark.fault

CODES = ("ee", "de", "fr")
BATCHES = 12
MOST_A_BATCH = 12
FAULTS = 10
LONGEST_SECONDS = 1.5
"""For so long at most one fault lasts; others come meanwhile."""

FIRST = int(os.environ.get("ROGATORY_FAULT_SEED", "1"))
ROUNDS = int(os.environ.get("ROGATORY_FAULT_ROUNDS", "1"))


@dataclass
class Stage:
    """What chance plays with."""

    nodes: Nodes
    traffic: Traffic
    skies: dict[str, Weather]
    chance: random.Random
    tally: Tally

    def code(self) -> str:
        return self.chance.choice(CODES)

    async def last(self) -> None:
        """Let a fault last for a while."""
        await asyncio.sleep(self.chance.uniform(0.1, LONGEST_SECONDS))


async def kill_at_a_point(on: Stage) -> None:
    """Die at a point of the path, if the node ever comes there; the supervisor starts it again."""
    _, stage, arm = on.chance.choice(POINTS)
    await on.nodes.kill_at(on.code(), stage, arm)


async def kill_at_once(on: Stage) -> None:
    on.nodes.running[on.code()].process.kill()


async def freeze(on: Stage) -> None:
    """The process stands still: its connections too, and its leases run out."""
    process = on.nodes.running[on.code()]
    try:
        os.kill(process.pid, signal.SIGSTOP)
        await on.last()
        os.kill(process.pid, signal.SIGCONT)
    except ProcessLookupError:
        # It had died of something else.
        return


async def drain(on: Stage) -> None:
    """It is stopped as it should be, and started again."""
    code = on.code()
    process = on.nodes.running[code]
    if process.ending or process.process.exitcode is not None:
        return
    await on.nodes.stop(code)
    await on.nodes.start(code)


async def cut(on: Stage) -> None:
    sky = on.skies[on.code()]
    await sky.cut()
    await on.last()
    await sky.mend()


async def reset(on: Stage) -> None:
    on.skies[on.code()].reset()


async def duplicate(on: Stage) -> None:
    on.skies[on.code()].duplicate_next(on.chance.randint(1, 3))


async def delay(on: Stage) -> None:
    sky = on.skies[on.code()]
    sky.delay_seconds = on.chance.uniform(0.05, 0.8)
    await on.last()
    sky.delay_seconds = 0.0


async def black_hole(on: Stage) -> None:
    sky = on.skies[on.code()]
    sky.black_hole = True
    await on.last()
    sky.black_hole = False


async def stall(on: Stage) -> None:
    sky = on.skies[on.code()]
    sky.stalled = True
    await on.last()
    sky.stalled = False


async def narrow(on: Stage) -> None:
    sky = on.skies[on.code()]
    sky.bytes_per_second = on.chance.uniform(2e3, 5e4)
    await on.last()
    sky.bytes_per_second = None


async def fill_disk(on: Stage) -> None:
    """No file of the node grows any more, until there is room."""
    code = on.code()
    process = on.nodes.running[code]
    largest = max(each.stat().st_size for each in on.nodes.fed.file(code).parent.iterdir())
    try:
        process.limit_files(largest + on.chance.randint(1, 1 << 16))
        await on.last()
        process.limit_files(-1)
    except ProcessLookupError:
        # It had died of something else; whoever takes its place has no limit.
        return


async def set_clock(on: Stage) -> None:
    """Somebody sets the clock, and sets it right again. Never behind: all that is made now would be of the future."""
    code = on.code()
    await on.nodes.set_clock(code, timedelta(seconds=on.chance.uniform(1, 7200)))
    await on.last()
    await on.nodes.set_clock(code, timedelta())


ALL: list[Callable[[Stage], Coroutine[Any, Any, None]]] = [
    kill_at_a_point,
    kill_at_once,
    freeze,
    drain,
    cut,
    reset,
    duplicate,
    delay,
    black_hole,
    stall,
    narrow,
    fill_disk,
    set_clock,
]


@asynccontextmanager
async def stage(folder: Path, seed: int, tally: Tally) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(nodes_of(folder, CODES, start=()))
        skies = {code: await stack.enter_async_context(weather_before(nodes.fed, code)) for code in CODES}
        await asyncio.gather(*(nodes.start(code) for code in CODES))
        traffic = await stack.enter_async_context(traffic_in(nodes.fed))
        yield Stage(nodes, traffic, skies, random.Random(seed), tally)


async def play(on: Stage) -> None:
    """Write, and have something go wrong after every batch; the next does not wait until it is over."""
    after = sorted(on.chance.choices(range(BATCHES), k=FAULTS))
    sent = 0
    async with asyncio.TaskGroup() as going_on:
        for batch in range(BATCHES):
            origin, to = on.chance.sample(CODES, 2)
            count = on.chance.randint(1, MOST_A_BATCH)
            names = await on.traffic.request(origin, to, f"{origin}-{on.chance.randint(1, 4)}", count)
            sent += len(names)
            for _ in range(after.count(batch)):
                fault = on.chance.choice(ALL)
                on.tally.faults[fault.__name__.replace("_", " ")] += 1
                going_on.create_task(fault(on))
            # A third of all may be under way; then the load waits for what goes wrong.
            await on.traffic.accepted(sent // 3 * 2)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
async def test_faults_by_chance_lose_nothing_and_double_nothing(tmp_path: Path, seed: int, tally: Tally) -> None:
    print(f"ROGATORY_FAULT_SEED={seed}")
    async with stage(tmp_path / "fed", seed, tally) as on:
        await play(on)
        # Whoever was to die at a point that it has not come to stays alive from now on.
        for code in CODES:
            await on.nodes.spare(code)
        await reckoned(on.nodes, on.traffic, tally)
        assert all(status == KILLED for _, status in on.nodes.deaths), on.nodes.deaths
