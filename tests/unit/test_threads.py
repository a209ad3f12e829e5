"""Work in a thread is waited for: what it uses is closed next."""

import asyncio
import threading

import pytest

from gateway.threads import to_its_end

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
