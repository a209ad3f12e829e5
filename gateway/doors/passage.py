"""One stream to another node: frames go out, several at once, and answers come back in their order.

In: frames, and a connection. Out: each frame with the other node's answers, or a failure as soon as nothing is answered
for as long as patience lasts. Knows the wire and no store. How much may be out at once is its user's to say; what the
other node does not read waits here, in one frame at most beside those that were written.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import grpc
import grpc.aio
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.relay_pb2_grpc import RelayStub

from gateway import telemetry, transport
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.store import Leased


@dataclass(slots=True)
class Frame:
    """Copies that travel together, in the hands of one holder: envelopes first, then receipts, as in the request."""

    holder: str
    leased: Sequence[Leased]
    span: telemetry.Frame
    number: int = 0
    sent_at: float = 0.0

    @property
    def seconds(self) -> float:
        """For how long it has been sent."""
        return perf_counter() - self.sent_at


class Passage:
    """An open stream to another node."""

    def __init__(self, channel: grpc.aio.Channel, destination: str, patience_seconds: float) -> None:
        """Open the stream.

        Args:
            channel: a connection that stands; it is closed with the passage.
            destination: whose, for what is told of errors.
            patience_seconds: how long the other node may leave everything unanswered that is in flight.
        """
        self._channel = channel
        self._stream = RelayStub(channel).Relay()
        self._destination = destination
        self._patience = patience_seconds
        self._sent = 0
        self._in_flight: deque[Frame] = deque()
        self._out: dict[int, Frame] = {}
        self._moved = asyncio.Event()
        self._deadline: asyncio.Timeout | None = None

    @property
    def out(self) -> Sequence[Frame]:
        """What was sent and is not settled yet, oldest first."""
        return list(self._out.values())

    async def send(self, frame: Frame) -> None:
        """Send a frame; return when there is room for the next. An error is `answer`'s to tell: there it has a reason.

        From the moment that this is called, nobody but the other node can tell whether it has the frame.
        """
        self._sent += 1
        frame.number = self._sent
        self._in_flight.append(frame)
        frame.sent_at = perf_counter()
        self._out[frame.number] = frame
        if self._deadline is not None and len(self._in_flight) == 1:
            self._deadline.reschedule(self._due())
        envelopes = [item.envelope for item in frame.leased if item.envelope is not None]
        receipts = [item.receipt for item in frame.leased if item.receipt is not None]
        try:
            await self._stream.write(relay.RelayRequest(frame=frame.number, envelopes=envelopes, receipts=receipts))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await asyncio.Event().wait()

    async def answer(self) -> tuple[Frame, Sequence[mailbox.Answer]] | None:
        """Return the next frame that is answered; None when the other node has hung up with nothing in flight.

        Raises:
            Failure: UNAVAILABLE, nothing was answered for too long, or the stream has ended.
            Refusal: MALFORMED, it answered another frame; TOO_LARGE, a frame was.
        """
        try:
            async with asyncio.timeout_at(self._due()) as self._deadline:
                response = await self._stream.read()
        except TimeoutError as error:
            raise Failure(ErrorCode.UNAVAILABLE, f"no answer from {self._destination}") from error
        except grpc.aio.AioRpcError as error:
            if not self._in_flight:
                return None
            raise failure_of(error) from error
        finally:
            self._deadline = None
        if not isinstance(response, relay.RelayResponse):
            if not self._in_flight:
                return None
            raise Failure(ErrorCode.UNAVAILABLE, f"{self._destination} ended the stream")
        frame = self._in_flight.popleft() if self._in_flight else None
        if frame is None or response.frame != frame.number or len(response.answers) != len(frame.leased):
            raise Refusal(ErrorCode.MALFORMED, f"{self._destination} answered another frame")
        frame.span.end()
        return frame, response.answers

    def settled(self, frame: Frame) -> None:
        """Note that a frame's answers are on disk."""
        del self._out[frame.number]
        self._moved.set()

    async def moved(self) -> None:
        """Wait until one more frame is settled."""
        self._moved.clear()
        await self._moved.wait()

    async def close(self, error: GatewayError) -> None:
        """Hang up; what is still in flight will not be answered any more."""
        for frame in self._in_flight:
            frame.span.fail(error)
            frame.span.end()
        self._in_flight.clear()
        self._stream.cancel()
        await self._channel.close()

    def _due(self) -> float | None:
        return asyncio.get_running_loop().time() + self._patience if self._in_flight else None


async def connected(channel: grpc.aio.Channel, destination: str, patience_seconds: float) -> None:
    """Wait until a connection stands.

    Raises:
        Failure: UNAVAILABLE, this attempt to connect has failed.
    """
    try:
        async with asyncio.timeout(patience_seconds):
            state = channel.get_state(try_to_connect=True)
            while state is not grpc.ChannelConnectivity.READY:
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
                if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                    detail = "the connection was refused or its certificate was not accepted"
                    raise Failure(ErrorCode.UNAVAILABLE, detail)
    except TimeoutError as error:
        raise Failure(ErrorCode.UNAVAILABLE, f"no connection to {destination}") from error


def failure_of(error: grpc.aio.AioRpcError) -> GatewayError:
    """Return a call's error as a failure: an answer about a call is none about the copies it carried, but for size."""
    told = transport.error_of(error)
    if told.code is ErrorCode.TOO_LARGE:
        return told
    detail = told.detail if told.code is ErrorCode.UNAVAILABLE else f"{told.code.name}: {told.detail}"
    return Failure(ErrorCode.UNAVAILABLE, detail, retry_after=told.retry_after)
