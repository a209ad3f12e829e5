"""What a node tells of itself while it runs, and that what it has asked of its store is answered before that closes."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from gateway import material
from gateway.cli.development import init_federation
from gateway.directory import ParticipantList
from gateway.errors import ErrorCode, Failure
from gateway.identity import Address, Role
from gateway.registry import roll
from gateway.trust import development
from gateway.trust.client import Trusted
from gateway.trust.lists import SignedList
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

    def own_list(_: Trusted) -> None:
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


async def test_what_is_published_counts_though_the_own_list_cannot_be_read_and_that_stays_as_it_was(
    tmp_path: Path,
) -> None:
    now = datetime.now(UTC)
    started = material.load_node(init_federation(tmp_path / "fed", ["ee"], [7440], now).config("ee/node"))
    listed = next(each for each in started.trusted.lists if each.node == "ee")
    own = SignedList.sign(SigningKey.generate(), _without(listed, "ee/court"), 1000, now)
    answers: list[SignedList | Failure] = [own, Failure(ErrorCode.STORE, "away"), Failure(ErrorCode.STORE, "away")]

    def own_list(_: Trusted) -> SignedList:
        answer = answers.pop(0)
        if isinstance(answer, Failure):
            raise answer
        return answer

    upkeep = Upkeep(started, lambda: now, own_list)
    await upkeep.apply()
    await upkeep.apply()
    assert (upkeep.directory().roles("ee/court"), upkeep.directory().roles("ee/fiu")) == (
        frozenset(),
        frozenset({Role.FIU}),
    )
    development.sign_anew(tmp_path / "fed", started.directory.model_copy(update={"instruments": ()}), now)
    await upkeep.look()
    assert upkeep.directory().instruments == ()
    assert answers == []


def _without(listed: ParticipantList, address: str) -> ParticipantList:
    return roll.put_out(listed, Address.parse(address), datetime.now(UTC))


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
