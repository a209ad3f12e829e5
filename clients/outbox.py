"""Handing in one by one, sent together: what many tasks of a program submit at once travels in frames.

In: single envelopes, each from a caller that waits. Out: for each its proven ACCEPTED, or why not. Who comes alone is
sent at once, alone. Who comes while two calls are under way waits for the end of one, or until a frame is full,
whatever is first; the next call takes as many along as a frame holds. So a crowd costs the node no more than one stream
does. A call whose answers leave something to try again holds nobody back any more.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rogatory.v1 import envelope_pb2 as pb

from clients.submission import FRAMES_IN_FLIGHT, MAX_FRAME_BYTES, MAX_FRAME_ENVELOPES, may_go
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal

Settled: TypeAlias = Mapping[int, pb.Receipt | GatewayError]
"""What became of envelopes, by their positions."""

Tell: TypeAlias = Callable[[Settled], None]

HandIn: TypeAlias = Callable[[Sequence[pb.SignedEnvelope], float, Tell], Awaitable[list[pb.Receipt | GatewayError]]]
"""Hands in envelopes together, within so many seconds; returns what became of each.

Before it tries some again, it tells what became of the others.
"""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """One envelope, and who waits for its answer until when."""

    raw: pb.SignedEnvelope = field(repr=False)
    deadline: float
    outcome: asyncio.Future[pb.Receipt]
    size: int

    def settle(self, outcome: pb.Receipt | BaseException) -> None:
        if self.outcome.done():
            return  # the caller has gone
        if isinstance(outcome, BaseException):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class Outbox:
    """Gathers what is submitted one by one.

    Args:
        hand_in: hands in some together.
        start: runs a task, and ends it when the participant does.
    """

    def __init__(self, hand_in: HandIn, start: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._hand_in = hand_in
        self._start = start
        self._queue: deque[_Waiting] = deque()
        self._size = 0  # of all that wait
        self._calls = 0
        self._trying_again = 0  # of these

    async def submit(self, raw: pb.SignedEnvelope, within: float) -> pb.Receipt:
        """Hand in one envelope; see `Participant.submit`."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(raw, loop.time() + within, loop.create_future(), raw.ByteSize())
        # Others in its frame may have more time.
        late = Failure(ErrorCode.UNAVAILABLE, "no answer in time; it may have been accepted")
        timer = loop.call_at(waiting.deadline, waiting.settle, late)
        self._queue.append(waiting)
        self._size += waiting.size
        self._go()
        try:
            return await waiting.outcome
        finally:
            timer.cancel()

    def _go(self) -> None:
        """Begin one more call, if one may go."""
        if self._queue and self._may_go(self._calls):
            self._calls += 1
            self._start(self._work())

    def _may_go(self, calls: int) -> bool:
        # Of those who have given up some may be among them: then it goes a little too early.
        full = len(self._queue) >= MAX_FRAME_ENVELOPES or self._size >= MAX_FRAME_BYTES
        return calls < FRAMES_IN_FLIGHT and may_go(calls - self._trying_again, full=full)

    async def _work(self) -> None:
        """Hand in what waits, one call after the other, as long as another may go."""
        batch: list[_Waiting] = []
        try:
            while self._may_go(self._calls - 1) and (batch := self._next()):  # this one is one of them
                self._go()
                await self._send(batch)
        except BaseException:  # the participant is being left
            left = Failure(ErrorCode.UNAVAILABLE, "left before there was an answer; it may have been accepted")
            for each in (*batch, *self._queue):
                each.settle(left)
            self._queue.clear()
            self._size = 0
            raise
        finally:
            self._calls -= 1

    def _next(self) -> list[_Waiting]:
        """Take as many as a frame holds, in their order."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < MAX_FRAME_ENVELOPES:
            first = self._queue[0]
            size += first.size
            if batch and size > MAX_FRAME_BYTES:
                break
            self._queue.popleft()
            self._size -= first.size
            if not first.outcome.done():
                batch.append(first)
        return batch

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        within = max(each.deadline for each in batch) - asyncio.get_running_loop().time()
        again = False

        def told(settled: Settled) -> None:
            nonlocal again
            for position, outcome in settled.items():
                batch[position].settle(outcome)
            if not again:
                again = True
                self._trying_again += 1
                self._go()

        try:
            outcomes = await self._hand_in([each.raw for each in batch], within, told)
        except Refusal as error:
            # Of one of them, before any was sent: nobody suffers for another's.
            if len(batch) == 1:
                batch[0].settle(error)
            else:
                for each in batch:
                    await self._send([each])
            return
        except Exception as error:  # noqa: BLE001  it is the callers' to see
            for each in batch:
                each.settle(error)
            return
        finally:
            self._trying_again -= again
        for each, outcome in zip(batch, outcomes, strict=True):
            each.settle(outcome)
