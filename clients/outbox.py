"""Handing in one by one, sent together: what many tasks of a program submit at once travels in frames.

In: single envelopes, each from a caller that waits. Out: for each its proven ACCEPTED, or why not. How they come
together is `gateway.gathering`'s. A call whose answers leave something to try again holds nobody back any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from rogatory.v1 import envelope_pb2 as pb

from gateway.errors import ErrorCode, Failure, GatewayError
from gateway.gathering import Gathering, Place, Stay

Settled: TypeAlias = Mapping[int, pb.Receipt | GatewayError]
"""What became of envelopes, by their positions."""

Tell: TypeAlias = Callable[[Settled], None]

HandIn: TypeAlias = Callable[[Sequence[pb.SignedEnvelope], float, Tell], Awaitable[list[pb.Receipt | GatewayError]]]
"""Hands in envelopes together, within so many seconds; returns what became of each.

Before it tries some again, it tells what became of the others.
"""


class _Submitted(NamedTuple):
    """One envelope, and until when its caller waits."""

    raw: pb.SignedEnvelope
    deadline: float


_Place: TypeAlias = Place[_Submitted, pb.Receipt]


class Outbox:
    """Gathers what is submitted one by one.

    Args:
        hand_in: hands in some together.
        start: runs a task, and ends it when the participant does.
    """

    def __init__(self, hand_in: HandIn, start: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._hand_in = hand_in
        self._gathering = Gathering(self._send, start)

    async def submit(self, raw: pb.SignedEnvelope, within: float) -> pb.Receipt:
        """Hand in one envelope; see `Participant.submit`."""
        deadline = asyncio.get_running_loop().time() + within
        try:
            # Others in its frame may have more time.
            async with asyncio.timeout_at(deadline):
                return await self._gathering.join(_Submitted(raw, deadline), raw.ByteSize())
        except TimeoutError:
            raise Failure(ErrorCode.UNAVAILABLE, "no answer in time; it may have been accepted") from None

    async def _send(self, frame: Sequence[_Place], stay: Stay) -> None:
        within = max(each.what.deadline for each in frame) - asyncio.get_running_loop().time()

        def told(settled: Settled) -> None:
            for position, outcome in settled.items():
                frame[position].settle(outcome)
            stay()

        outcomes = await self._hand_in([each.what.raw for each in frame], within, told)
        for each, outcome in zip(frame, outcomes, strict=True):
            each.settle(outcome)
