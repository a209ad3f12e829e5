"""How often witnesses compare what they have seen, and how long they wait after nobody answered."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from gateway.config import Delivery
from gateway.doors.comparing import PAUSE_SECONDS, Comparing
from gateway.errors import ErrorCode, Failure, GatewayError
from tests import world
from tests.world import NOW


class Answers:
    """A store that knows no log, or cannot be read: as it is told, one after the other."""

    def __init__(self, answers: Iterable[Exception | None]) -> None:
        self._answers: Iterator[Exception | None] = iter(answers)

    async def log(self, _ask: Callable[[Any], Any]) -> list[str]:
        answer = next(self._answers)
        if answer is not None:
            raise answer
        return []


async def waits(*answers: Exception | None, chance: float = 0.0) -> list[float]:
    """Return the pause before each answer, and the one after the last."""
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) > len(answers):
            raise asyncio.CancelledError

    directory = world.make_directory()
    store: Any = Answers(answers)
    comparing = Comparing(
        "ee", lambda: directory, _no_line, store, store, Delivery(), lambda: NOW, lambda: chance, pause
    )
    with pytest.raises(asyncio.CancelledError):
        await comparing.run()
    return waited


def _no_line(code: str) -> Any:
    raise AssertionError(code)


def silent(retry_after: float | None = None) -> GatewayError:
    return Failure(ErrorCode.UNAVAILABLE, "nobody answers", retry_after=retry_after)


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, PAUSE_SECONDS / 2), (0.5, PAUSE_SECONDS * 0.75)])
async def test_a_question_is_asked_every_few_seconds_at_most(chance: float, seconds: float) -> None:
    assert await waits(None, None, chance=chance) == [seconds] * 3


async def test_while_nobody_answers_it_is_asked_less_and_less_often() -> None:
    waited = await waits(*[silent()] * 10, None)
    assert waited[0] == PAUSE_SECONDS / 2
    assert waited == [*sorted(waited[:-1]), PAUSE_SECONDS / 2]
    assert waited[-2] == Delivery().backoff_max_seconds / 2


async def test_who_says_when_there_is_room_is_not_asked_before() -> None:
    assert (await waits(silent(17.0)))[1] == 17.0
    assert (await waits(silent(1e9)))[1] == Delivery().backoff_max_seconds


async def test_whatever_goes_wrong_it_goes_on_later() -> None:
    assert await waits(ValueError(), None) == [PAUSE_SECONDS / 2, Delivery().backoff_max_seconds, PAUSE_SECONDS / 2]
