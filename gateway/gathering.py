"""Gathering: what comes one by one travels in frames.

In: single things, each from somebody who waits. Out: for each what became of it. A frame costs a node as much as five
envelopes do, and that is why. Who comes alone goes at once, alone. Who comes while two frames are under way waits for
the end of one, or until a frame is full, whatever is first; the next takes as many along as a frame holds. So a crowd
costs no more than one stream does. Participants gather so what their programs submit, and a node what comes in single
calls.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

from gateway.errors import ErrorCode, Failure, GatewayError

MAX_FRAME_ENVELOPES: Final = 64
MAX_FRAME_BYTES: Final = 256 << 10
"""Larger frames are no faster (design section 6); a single envelope above it is a frame of its own."""

FRAMES_IN_FLIGHT: Final = 8
"""Over one stream; or each in a call of its own, which is half of what a node lets one participant have open."""

SMALL_FRAMES_IN_FLIGHT: Final = 2
"""Of those that have room for more: with eight small ones under way, one envelope of a hundred waits twice as long as
with two larger ones."""

T = TypeVar("T")
R = TypeVar("R")


def may_go(under_way: int, *, full: bool) -> bool:
    """Whether one more frame goes now; one that has room waits for company while others are under way (RFC 896)."""
    return under_way < (FRAMES_IN_FLIGHT if full else SMALL_FRAMES_IN_FLIGHT)


@dataclass(frozen=True, slots=True, eq=False)
class Place(Generic[T, R]):
    """A place in a frame: what travels there, and who waits for its outcome."""

    what: T = field(repr=False)
    size: int
    _outcome: "asyncio.Future[R]" = field(repr=False)

    @property
    def is_left(self) -> bool:
        """Whether nobody waits any more: it is settled, or the caller has gone."""
        return self._outcome.done()

    def settle(self, outcome: R | BaseException) -> None:
        """Tell who waits what became of it."""
        if self.is_left:
            return
        if isinstance(outcome, BaseException):
            self._outcome.set_exception(outcome)
        else:
            self._outcome.set_result(outcome)


Stay: TypeAlias = Callable[[], None]
"""Says of a frame that what is left of it takes longer, and shall hold back nobody."""

Travel: TypeAlias = Callable[[Sequence[Place[T, R]], Stay], Awaitable[None]]
"""Takes a frame where it goes, and settles every place of it."""


class Gathering(Generic[T, R]):
    """Gathers what comes one by one.

    Args:
        travel: takes a frame there.
        start: runs a task.
    """

    def __init__(self, travel: Travel[T, R], start: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._travel = travel
        self._start = start
        self._queue: OrderedDict[Place[T, R], None] = OrderedDict()
        self._size = 0  # of all that wait
        self._under_way = 0
        self._staying = 0  # of these

    async def join(self, what: T, size: int) -> R:
        """Let something travel; return what became of it.

        Raises:
            Failure: UNAVAILABLE, the gathering was broken up meanwhile.
            GatewayError: whatever became of it.
        """
        outcome: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        place = Place(what, size, outcome)
        self._queue[place] = None
        self._size += size
        self._go()
        try:
            return await outcome
        finally:
            # Whoever goes before it begins takes it along: nobody counts it any more, and it must not fill the memory.
            self._leave(place)

    def _go(self) -> None:
        """Begin one more frame, if one may go."""
        if self._queue and self._may_go(self._under_way):
            self._under_way += 1
            self._start(self._work())

    def _leave(self, place: Place[T, R]) -> None:
        if place in self._queue:
            del self._queue[place]
            self._size -= place.size

    def _may_go(self, under_way: int) -> bool:
        full = len(self._queue) >= MAX_FRAME_ENVELOPES or self._size >= MAX_FRAME_BYTES
        return under_way < FRAMES_IN_FLIGHT and may_go(under_way - self._staying, full=full)

    async def _work(self) -> None:
        """Take there what waits, one frame after the other, as long as another may go."""
        frame: list[Place[T, R]] = []
        try:
            while self._may_go(self._under_way - 1) and (frame := self._next()):  # this one is one of them
                self._go()
                await self._take(frame)
        except BaseException:  # nobody will go on with it
            left = Failure(ErrorCode.UNAVAILABLE, "left before there was an answer; it may have been accepted")
            for each in (*frame, *self._queue):
                each.settle(left)
            self._queue.clear()
            self._size = 0
            raise
        finally:
            self._under_way -= 1

    def _next(self) -> list[Place[T, R]]:
        """Take as many as a frame holds, in their order."""
        frame: list[Place[T, R]] = []
        size = 0
        while self._queue and len(frame) < MAX_FRAME_ENVELOPES:
            first = next(iter(self._queue))
            size += first.size
            if frame and size > MAX_FRAME_BYTES:
                break
            self._leave(first)
            if not first.is_left:
                frame.append(first)
        return frame

    async def _take(self, frame: Sequence[Place[T, R]]) -> None:
        stays = False

        def stay() -> None:
            nonlocal stays
            if not stays:
                stays = True
                self._staying += 1
                self._go()

        try:
            await self._carry(frame, stay)
        finally:
            self._staying -= stays

    async def _carry(self, frame: Sequence[Place[T, R]], stay: Stay) -> None:
        try:
            await self._travel(frame, stay)
        except Exception as error:  # noqa: BLE001  it is the callers' to see
            if len(frame) == 1 or isinstance(error, GatewayError):
                for each in frame:
                    each.settle(error)
                return
            # Nobody foresaw it, and it may be of one alone: then no other suffers for it.
            for each in frame:
                if not each.is_left:
                    await self._carry([each], stay)
