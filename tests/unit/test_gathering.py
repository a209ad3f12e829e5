"""Whoever travels with others is served as if alone, and whoever has gone leaves nothing behind."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any
from weakref import WeakSet

from gateway.errors import ErrorCode, Failure
from gateway.gathering import FRAMES_IN_FLIGHT, MAX_FRAME_BYTES, SMALL_FRAMES_IN_FLIGHT, Gathering, Place, Stay


class Thing:
    """Something that travels."""


class Way:
    """Takes frames there, and lets them arrive when it is told to."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.open = asyncio.Event()
        self.error: Exception | None = None
        self.alive: WeakSet[Thing] = WeakSet()
        self.gathering: Gathering[Thing, None] = Gathering(self._travel, self._start)
        self._tasks: set[asyncio.Task[None]] = set()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _travel(self, frame: Sequence[Place[Thing, None]], _: Stay) -> None:
        self.frames.append(len(frame))
        await self.open.wait()
        if self.error is not None:
            raise self.error
        for each in frame:
            each.settle(None)

    async def come(self, size: int = 10) -> "asyncio.Task[None]":
        thing = Thing()
        self.alive.add(thing)
        task = asyncio.create_task(self.gathering.join(thing, size))
        await begun()
        return task


async def begun() -> None:
    """Let everything go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_whoever_comes_and_goes_while_nothing_moves_fills_no_memory() -> None:
    way = Way()
    stuck = [await way.come(MAX_FRAME_BYTES) for _ in range(FRAMES_IN_FLIGHT)]
    for _ in range(100):
        gone = await way.come(MAX_FRAME_BYTES)
        gone.cancel()
        await asyncio.wait([gone])
    del gone
    assert len(way.alive) == len(stuck)
    way.open.set()
    await asyncio.gather(*stuck)


async def test_whoever_has_gone_sends_nobody_off_without_company() -> None:
    way = Way()
    stuck = [await way.come() for _ in range(SMALL_FRAMES_IN_FLIGHT)]
    waits = [await way.come(MAX_FRAME_BYTES // 2)]
    gone = await way.come(MAX_FRAME_BYTES // 2 - 1)
    gone.cancel()
    await asyncio.wait([gone])
    waits.append(await way.come(MAX_FRAME_BYTES // 2 - 1))
    assert way.frames == [1] * SMALL_FRAMES_IN_FLIGHT
    way.open.set()
    await asyncio.gather(*stuck, *waits)
    assert way.frames == [1] * SMALL_FRAMES_IN_FLIGHT + [len(waits)]


async def test_whole_frame_hears_a_failure_that_was_foreseen_and_goes_but_once() -> None:
    way = Way()
    stuck = [await way.come() for _ in range(SMALL_FRAMES_IN_FLIGHT)]
    waits = [await way.come() for _ in range(5)]
    way.error = Failure(ErrorCode.STORE, "the disk is full")
    way.open.set()
    outcomes = await asyncio.gather(*stuck, *waits, return_exceptions=True)
    assert outcomes == [way.error] * len(outcomes)
    assert way.frames == [1] * SMALL_FRAMES_IN_FLIGHT + [len(waits)]
