"""What a node tells of itself while it runs, and that what it has asked of its store is answered before that closes."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import material
from gateway.cli.development import init_federation
from gateway.upkeep import Upkeep

SECONDS = 30.0


async def cancelled_while_it_applies(upkeep: Upkeep) -> None:
    await upkeep.apply()


async def stopped_while_it_looks_for_a_key(upkeep: Upkeep) -> None:
    asking = asyncio.create_task(upkeep.know([("ee/nobody", bytes(16))]))
    try:
        await asyncio.Event().wait()
    finally:
        asking.cancel()
        await upkeep.close()


@pytest.mark.parametrize("ended", [cancelled_while_it_applies, stopped_while_it_looks_for_a_key])
async def test_who_stops_waits_for_the_thread_that_asks_the_store(
    tmp_path: Path, ended: Callable[[Upkeep], Awaitable[None]]
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def own_list() -> None:
        asked.set()
        assert answer.wait(SECONDS)

    now = datetime.now(UTC)
    started = material.load_node(init_federation(tmp_path / "fed", ["ee"], [7440], now).config("ee/node"))
    task = asyncio.ensure_future(ended(Upkeep(started, lambda: now, own_list)))
    assert await asyncio.to_thread(asked.wait, SECONDS)
    task.cancel()
    try:
        done, _ = await asyncio.wait([task], timeout=0.1)
        assert not done
    finally:
        answer.set()
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(task, SECONDS)


async def test_warning_that_comes_again_is_told_again_and_one_that_lasts_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    started = material.load_node(init_federation(tmp_path / "fed", ["ee"], [7440], now).config("ee/node"))
    upkeep, folder = Upkeep(started, lambda: now), tmp_path / "fed/ee/store"
    told = []
    with caplog.at_level(logging.WARNING, "gateway.upkeep"):
        for mode in (0o700, 0o755, 0o755, 0o700, 0o755):
            folder.chmod(mode)
            await upkeep.apply()
            told.append(len(caplog.records))
    assert told == [0, 1, 1, 1, 2]
    assert {record.__dict__["detail"] for record in caplog.records} == {*upkeep.material.warnings}
