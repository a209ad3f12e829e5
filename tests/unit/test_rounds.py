"""What a node does again and again: who waits is woken once he may be waiting for another time than it is."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

from gateway.clock import SteadyClock
from gateway.config import Delivery
from gateway.doors.entrance import Bell
from gateway.doors.rounds import sweep
from gateway.policy import Policy
from gateway.receipt import Scribe
from gateway.store import open_store
from tests import world
from tests.federation import UNTIL_SECONDS, until

LOOKS = 30
"""At the clock, in rounds of which each has a few."""


async def test_who_waits_is_woken_when_the_clock_was_set_and_not_when_a_node_starts(path: Path) -> None:
    now = [world.NOW]
    looks: list[datetime] = []

    def look() -> datetime:
        looks.append(now[-1])
        return now[-1]

    clock = SteadyClock(look, lambda: 0.0, tolerance_seconds=60.0)
    connect, engine = open_store(path)
    engine.dispose()
    writer = world.writer(connect, clock)
    bell, woken = Bell(), asyncio.Event()
    scribe, settings = Scribe("ee", lambda: world.DIRECTORY), Delivery(sweep_seconds=0.05)
    with bell.listen("de/node", woken):
        sweeping = asyncio.create_task(sweep(writer, scribe, bell, settings, Policy, clock, lambda _: None))
        await until(lambda: len(looks) > LOOKS)
        assert not woken.is_set()
        now.append(world.NOW + timedelta(seconds=30))  # little enough to be believed at once
        await asyncio.wait_for(woken.wait(), UNTIL_SECONDS)
    sweeping.cancel()
    await asyncio.wait({sweeping})
    await writer.close()
