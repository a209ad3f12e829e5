"""Where a log is read, if it is asked for at the node's own Log service over gRPC; it is not believed.

In: a node as the directory lists it, who we are. Out: bytes, of bounded length, within bounded time. Refuses with
MALFORMED what nobody asked for; fails with UNAVAILABLE, or as the node's answers do.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Final, TypeVar

import grpc.aio
from rogatory.v1 import log_pb2 as pb
from rogatory.v1.log_pb2_grpc import LogStub

from clients import sync
from clients.auditing.places import HASH_BYTES, MAX_NOTE_BYTES, RETRY_SECONDS, WIDTH, path_of
from gateway.directory import NodeEntry
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.transport import TlsIdentity, channel_to, error_of

T = TypeVar("T")
BATCH: Final = 64
"""Tiles in one call, as many as the contract allows: half a megabyte."""
BATCHES: Final = 4
"""That are remembered."""
CALL_SECONDS: Final = 30.0
TRIES: Final = 5
MAX_WAIT_SECONDS: Final = 30.0
"""As long as a node may have us wait for the next of them."""


class NodePlace:
    """A node's Log service.

    Args:
        node: whose.
        federation: its name.
        identity: what we show.
    """

    def __init__(self, node: NodeEntry, federation: str, identity: TlsIdentity) -> None:
        self.name = f"{node.code}/node"
        self._batches = OrderedDict[tuple[int, int], Future[dict[int, bytes]]]()
        self._lock = threading.Lock()

        async def open_() -> grpc.aio.Channel:
            return channel_to(node, federation, identity)

        self._channel = sync.run(open_())
        self._stub = LogStub(self._channel)

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint, as `places.Place`."""
        return sync.run(self._tried(self._checkpoint))

    def tile(self, level: int, number: int, width: int) -> bytes:
        """Return the first hashes of a tile, as `places.Place`."""
        wanted, key = width * HASH_BYTES, (level, number // BATCH)
        found = self._batch(key).get(number, b"")
        if len(found) < wanted:
            # It may have been read when the log ended there.
            with self._lock:
                self._batches.pop(key, None)
            found = self._batch(key).get(number, b"")
        if not found:
            raise self._unavailable(f"{path_of(level, number)} is not there, which the checkpoint promises")
        return found[:wanted]

    def close(self) -> None:
        """Close the connection; who waits for an answer gets none."""
        sync.run(self._channel.close())

    def _batch(self, key: tuple[int, int]) -> dict[int, bytes]:
        with self._lock:
            batch = self._batches.get(key)
            mine = batch is None
            if batch is None:
                batch = self._batches[key] = Future()
                while len(self._batches) > BATCHES:
                    self._batches.popitem(last=False)
        if mine:
            try:
                batch.set_result(sync.run(self._tried(lambda: self._tiles(*key))))
            except BaseException as error:
                with self._lock:
                    self._batches.pop(key, None)
                batch.set_exception(error)
                raise
        return batch.result()

    async def _checkpoint(self) -> bytes:
        answer = await self._stub.GetCheckpoint(pb.GetCheckpointRequest(), timeout=CALL_SECONDS)
        if len(answer.note) > MAX_NOTE_BYTES:
            raise Refusal(ErrorCode.TOO_LARGE, f"{self.name}: a checkpoint has at most {MAX_NOTE_BYTES} bytes", "note")
        return answer.note

    async def _tiles(self, level: int, batch: int) -> dict[int, bytes]:
        first, found = batch * BATCH, dict[int, bytes]()
        request = pb.GetTilesRequest(level=level, number=first, count=BATCH)
        async for tile in self._stub.GetTiles(request, timeout=CALL_SECONDS):
            expected = first + len(found)
            if tile.number != expected or len(found) == BATCH or len(tile.hashes) > WIDTH * HASH_BYTES:
                raise Refusal(ErrorCode.MALFORMED, f"{self.name} sends tiles that nobody asked for", "number")
            found[tile.number] = tile.hashes
        return found

    async def _tried(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, and wait as long as the node says, a few times."""
        tries = TRIES
        while True:
            try:
                return await ask()
            except grpc.aio.AioRpcError as error:
                told, tries = error_of(error), tries - 1
                if told.code is ErrorCode.NOT_FOUND:
                    raise self._unavailable(told.detail) from error
                wait = told.retry_after
                if not tries or told.code is not ErrorCode.OVERLOADED or wait is None or wait > MAX_WAIT_SECONDS:
                    raise told from error
            await asyncio.sleep(wait)

    def _unavailable(self, why: str) -> Failure:
        return Failure(ErrorCode.UNAVAILABLE, f"{self.name}: {why}", retry_after=RETRY_SECONDS)
