"""Work in a thread is waited for: what it uses is closed next. Not by who is to end, for it may last for ever."""

import asyncio
import threading

import pytest

from gateway.threads import left_behind, to_its_end

SECONDS = 30.0


@pytest.mark.parametrize("raised", [None, ValueError("nobody is there to be told")])
async def test_who_is_cancelled_twice_waits_for_the_thread_all_the_same(raised: Exception | None) -> None:
    asked, answer = threading.Event(), threading.Event()

    def work() -> None:
        asked.set()
        assert answer.wait(SECONDS)
        if raised is not None:
            raise raised

    task = asyncio.ensure_future(to_its_end(work))
    assert await asyncio.to_thread(asked.wait, SECONDS)
    try:
        for _ in range(2):
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=0.1)
            assert not done
    finally:
        answer.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, SECONDS)


async def test_who_waits_is_given_what_comes_of_it_or_told_why_nothing_does() -> None:
    assert await to_its_end(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await to_its_end(divmod, 7, 0)


async def test_who_is_cancelled_leaves_the_thread_behind_and_hears_nothing_more_of_it() -> None:
    asked, answer, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        asked.set()
        assert answer.wait(SECONDS)
        ended.set()

    task = asyncio.ensure_future(left_behind(work))
    assert await asyncio.to_thread(asked.wait, SECONDS)
    try:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, SECONDS)
        assert not ended.is_set()
    finally:
        answer.set()
    assert await asyncio.to_thread(ended.wait, SECONDS)


async def test_what_comes_of_a_thread_that_might_be_left_behind_is_told_like_any_other() -> None:
    assert await left_behind(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await left_behind(divmod, 7, 0)
