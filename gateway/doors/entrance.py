"""What every door does first and last: know who calls, and say errors whole.

In: the context of one gRPC call. Out: a `Peer`, or the call is ended with our error in the status details.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Final, NoReturn, TypeAlias, TypeVar
from uuid import uuid4

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import status_pb2
from grpc_status import rpc_status
from rogatory.v1 import envelope_pb2 as pb

from gateway.authenticate import Peer, authenticate
from gateway.clock import Clock
from gateway.codec import error_message
from gateway.directory import KeyName, Know, Lookup
from gateway.doors.quotas import Quotas
from gateway.errors import ErrorCode, Failure, GatewayError
from gateway.metrics import NOBODY, Meters
from gateway.tls import peer_certificate

# Our codes say it all; the gRPC status is for what knows nothing of us (proxies, dashboards).
STATUS: Final = {
    ErrorCode.MALFORMED: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorCode.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.OVER_QUOTA: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.UNKNOWN_PEER: grpc.StatusCode.UNAUTHENTICATED,
    ErrorCode.REVOKED: grpc.StatusCode.UNAUTHENTICATED,
    ErrorCode.NOT_PERMITTED: grpc.StatusCode.PERMISSION_DENIED,
    ErrorCode.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorCode.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.OVERLOADED: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.DIRECTORY_EXPIRED: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.STORE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.ATTACHMENT_MISSING: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.NO_ROOM: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.INTERNAL: grpc.StatusCode.INTERNAL,
}  # all others: FAILED_PRECONDITION

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
_method: ContextVar[str] = ContextVar("method", default="")
diagnostics = logging.getLogger("gateway.doors")


class Bell:
    """Wakes who waits for something new at a destination."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def ring(self, destinations: set[str]) -> None:
        """Wake everybody who listens for one of them; call it on the event loop."""
        for destination in destinations:
            for event in self._waiting.get(destination, ()):
                event.set()

    def ring_of_others(self, destinations: set[str] | None) -> None:
        """Ring for what another process has committed; None: it might be anything."""
        if destinations is None:
            self.ring_all()
        else:
            self.ring(destinations)

    def ring_all(self) -> None:
        """Wake everybody."""
        self.ring(set(self._waiting))

    @contextmanager
    def listen(self, destination: str, event: asyncio.Event) -> Iterator[None]:
        """Set `event` whenever there may be something new; the listener clears it."""
        self._waiting[destination].add(event)
        try:
            yield
        finally:
            self._waiting[destination].discard(event)
            if not self._waiting[destination]:
                del self._waiting[destination]


class Call:
    """One call that is open: who makes it, and whether it may go on.

    Args:
        leaf_pem: the caller's certificate.
        lookup: gives the directory.
        clock: time.
        expired_too: let in by a directory that has expired.

    Raises:
        Refusal: UNKNOWN_PEER or REVOKED.
        Failure: DIRECTORY_EXPIRED.
    """

    def __init__(self, leaf_pem: bytes, lookup: Lookup, clock: Clock, *, expired_too: bool) -> None:
        self._leaf_pem = leaf_pem
        self._lookup = lookup
        self._clock = clock
        self._expired_too = expired_too
        self.over = asyncio.Event()
        self.peer = self.check()

    def check(self) -> Peer:
        """Return who calls, as of now: it may have been revoked since, or its certificate have expired; see above."""
        directory, now = self._lookup(), self._clock()
        if not self._expired_too:
            directory.check_in_force(now)
        return authenticate(self._leaf_pem, directory, now)

    def reconsider(self) -> None:
        """End a call that would not be let in any more: no more of it is read, and `check` says why."""
        try:
            self.check()
        except GatewayError:
            self.over.set()


_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class Named(grpc.aio.ServerInterceptor):
    """Remembers which method is called, for the figures: a call's own context does not tell."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Remember, and go on."""
        _method.set(handler_call_details.method)
        return await continuation(handler_call_details)


class Entrance:
    """Lets callers in, one node's way."""

    def __init__(self, lookup: Lookup, know: Know, quotas: Quotas, clock: Clock, meters: Meters = NOBODY) -> None:
        self._lookup = lookup
        self._know = know
        self._clock = clock
        self._open: set[Call] = set()
        self._closing = False
        self._meters = meters
        self.quotas = quotas

    def close(self) -> None:
        """End every open call once what it has begun is finished, and every new one at once."""
        self._closing = True
        for call in self._open:
            call.over.set()

    async def too_new(self, signatures: Iterable[pb.Signature]) -> frozenset[KeyName]:
        """Return the keys among these of which nobody can say now whether they exist; wait for news if there is some.

        To be asked before a turn is taken: who waits for news must keep nobody else waiting.
        """
        return await self._know({(each.signer, each.key_id) for each in signatures})

    def reconsider(self) -> None:
        """End the calls of those who are out by now."""
        for call in self._open:
            call.reconsider()

    @contextmanager
    def reading(self, context: Context) -> Iterator[None]:
        """Let the message be read that is all of a call, before that is served.

        Raises:
            Refusal: UNKNOWN_PEER or REVOKED.
            Failure: OVERLOADED, too much of the caller's was refused unread.
        """
        certificate = peer_certificate(context.auth_context())
        peer = authenticate(certificate.leaf_pem, self._lookup(), self._clock())
        with self.quotas.reading(peer.address):
            yield

    @asynccontextmanager
    async def call(self, context: Context, *, expired_too: bool = False) -> AsyncIterator[Call]:
        """Serve one call: authenticate first, count its stream, and end it with our error if one is raised.

        Args:
            context: of the call.
            expired_too: serve it also when the directory has expired.
        """
        name, begun = "", perf_counter()
        status, code = grpc.StatusCode.OK, None
        counted = ExitStack()
        try:
            # The stubs type the context's values as lists of bytes; gRPC gives tuples. Both are iterables of bytes.
            certificate = peer_certificate(context.auth_context())
            call = Call(certificate.leaf_pem, self._lookup, self._clock, expired_too=expired_too)
            name = str(call.peer.address)
            counted.enter_context(self.quotas.stream(call.peer.address))
            self._open.add(call)
            counted.callback(self._open.discard, call)
            if self._closing:
                call.over.set()
            with self.quotas.reading(call.peer.address):
                yield call
        except GatewayError as error:
            status, code = _status(error.code), error.code
            await abort(context, error)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            status = grpc.StatusCode.CANCELLED
            raise
        except Exception as error:  # noqa: BLE001  it is aborted with
            status, code = grpc.StatusCode.INTERNAL, ErrorCode.INTERNAL
            await abort_unforeseen(context, error, name)
        finally:
            counted.close()
            self._meters.call(_method.get().removeprefix("/"), status.name, code, perf_counter() - begun)


async def abort(context: Context, error: GatewayError) -> None:
    """End a call with our error, whole, in the status details."""
    packed = any_pb2.Any()
    packed.Pack(error_message(error))
    code = _status(error.code)
    status = status_pb2.Status(code=code.value[0], message=str(error), details=[packed])
    await context.abort_with_status(rpc_status.to_status(status))


def _status(code: ErrorCode) -> grpc.StatusCode:
    return STATUS.get(code, grpc.StatusCode.FAILED_PRECONDITION)


async def abort_unforeseen(context: Context, error: Exception, peer: str = "") -> NoReturn:
    """End a call with an error of the program's: nothing of it leaves the house but a reference to find it by."""
    reference = uuid4().hex[:12]
    diagnostics.error("unforeseen error", exc_info=error, extra={"reference": reference, "peer": peer})
    await abort(context, Failure(ErrorCode.INTERNAL, f"reference {reference}"))
    raise AssertionError("abort returned") from error


In = TypeVar("In")
Out = TypeVar("Out")


async def in_flight(
    requests: AsyncIterator[In],
    begin: Callable[[In], Awaitable[Coroutine[Any, Any, Out]]],
    limit: int,
    over: asyncio.Event,
) -> AsyncIterator[Out]:
    """Work on up to `limit` requests of a stream at once; yield the results in the requests' order.

    The next request is read only when there is room and `begin` has returned the work on the one before, so a fast
    caller waits in its own send buffer. Once the call is over, no more are read, and those begun are finished.
    """
    room = asyncio.Semaphore(limit)
    started: asyncio.Queue[asyncio.Task[Out] | None] = asyncio.Queue()

    async def read() -> None:
        try:
            await room.acquire()
            async for request in requests:
                started.put_nowait(asyncio.create_task(await begin(request)))
                await room.acquire()
        finally:
            started.put_nowait(None)

    reading = asyncio.create_task(read())
    closed = asyncio.create_task(_cancel_after(over, reading))
    tasks: set[asyncio.Task[Any]] = {reading, closed}
    try:
        while (task := await started.get()) is not None:
            tasks.add(task)
            yield await task
            tasks.discard(task)
            room.release()
        if not reading.cancelled():
            await reading
    finally:
        while not started.empty():
            left = started.get_nowait()
            if left is not None:
                tasks.add(left)
        for task in tasks:
            task.cancel()
        # Nothing that was begun outlives its stream unseen.
        await asyncio.gather(*tasks, return_exceptions=True)


async def _cancel_after(event: asyncio.Event, task: asyncio.Task[Any]) -> None:
    await event.wait()
    task.cancel()
