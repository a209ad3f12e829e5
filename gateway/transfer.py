"""Bringing one sealed file to a node: the same for a participant and for another node.

In: a file that can be read from any position on, and a channel. Out: the node has all of it, on its disk, and found
that its digest is the one that names it. A call that breaks off loses what the node had not confirmed; the next goes on
from there. Reading, sending and writing go at the pace of the slowest: nothing is gathered here.

Refuses as the node does. Fails with UNAVAILABLE when nothing moves for a while, and as the reading of the file fails.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeAlias

import grpc.aio
from rogatory.v1 import attachments_pb2 as wire
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1.attachments_pb2_grpc import AttachmentsStub

from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.transport import error_of

IDLE_SECONDS: Final = 60.0
"""A node that has to read again what it holds says at least every few seconds that it is at work."""

Read: TypeAlias = Callable[[int], AsyncIterator[bytes]]
"""Yields a file's bytes from a position on, in pieces of up to 256 KiB."""

Told: TypeAlias = Callable[[int], Awaitable[None]]
"""Told how many bytes the node has."""

_Call: TypeAlias = "grpc.aio.StreamStreamCall[wire.UploadRequest, wire.UploadResponse]"


async def push(channel: grpc.aio.Channel, file: pb.AttachmentRef, read: Read, told: Told) -> None:
    """Bring a file; return when the node has all of it.

    Args:
        channel: to the node.
        file: its name and size.
        read: reads it.
        told: told, as it goes on, how much the node has.

    Raises:
        GatewayError: as the node refuses or fails, `read` or `told` does; or Failure UNAVAILABLE.
    """
    call: _Call = AttachmentsStub(channel).Upload()
    sending: asyncio.Task[None] | None = None
    try:
        await call.write(wire.UploadRequest(begin=file))
        while True:
            answer = await _next(call, sending)
            if answer.received > file.size:
                raise Refusal(ErrorCode.MALFORMED, "the node says that it has more than there is", "received")
            await told(answer.received)
            if answer.whole:
                return
            if sending is None:
                sending = asyncio.create_task(_send(call, read(answer.received)))
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error
    except asyncio.InvalidStateError as error:
        raise Failure(ErrorCode.UNAVAILABLE, "the node ended the call") from error
    finally:
        if sending is not None:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        call.cancel()


async def _next(call: _Call, sending: asyncio.Task[None] | None) -> wire.UploadResponse:
    """Return the node's next word; or raise what keeps us from sending, which the node cannot know."""
    _check_sending(sending)
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            answer = await call.read()
    except TimeoutError as error:
        raise Failure(ErrorCode.UNAVAILABLE, f"nothing has moved for {IDLE_SECONDS:.0f} seconds") from error
    except asyncio.CancelledError:
        # So gRPC also tells of a call that `_send` has ended: then nobody has cancelled us.
        if (task := asyncio.current_task()) is not None and not task.cancelling():
            _check_sending(sending)
        raise
    if not isinstance(answer, wire.UploadResponse):
        _check_sending(sending)
        code = await call.code()
        if code is not grpc.StatusCode.OK:
            raise Failure(ErrorCode.UNAVAILABLE, f"the node ended the call: {code.name}")
        raise Failure(ErrorCode.UNAVAILABLE, "the node ended the call before it had all")
    return answer


def _check_sending(sending: asyncio.Task[None] | None) -> None:
    if sending is not None and sending.done() and isinstance(failed := sending.exception(), GatewayError):
        raise failed


async def _send(call: _Call, pieces: AsyncIterator[bytes]) -> None:
    """Send all, then say that it was all; a failure of our own ends the call."""
    try:
        async for piece in pieces:
            await call.write(wire.UploadRequest(data=piece))
        await call.done_writing()
    except GatewayError:
        call.cancel()
        raise
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return  # the node has ended the call, and its answer says why
