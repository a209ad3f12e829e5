"""The Directory door: hands on the signed directory, and takes the nodes' lists where they are published.

Whoever is in the federation may ask, and gets this node's last good copy: nothing else of the disk can be reached, for
no name that the caller gives is ever opened. Also an expired directory is handed out, for how else would a node that
slept hear the news? What is in it is believed for its signatures alone.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rogatory.v1 import directory_pb2 as pb
from rogatory.v1.directory_pb2_grpc import DirectoryServicer
from tuf.api.exceptions import RepositoryError

from gateway import codec
from gateway.clock import Clock
from gateway.config import DirectorySource
from gateway.doors.entrance import Context, Entrance
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.publisher import Publisher
from gateway.quota import Cost
from gateway.trust.copy import NAME, GoodCopy, Held
from gateway.trust.lists import SignedList

PIECE_BYTES: Final = 256 << 10

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Copy:
    """What is handed out.

    Args:
        stamp: of the file that it was read from.
        held: which directory it is.
        files: by the name under which a repository serves them.
    """

    stamp: Stamp
    held: Held
    files: dict[str, bytes]


class DirectoryDoor(DirectoryServicer):
    """Serves all who are in the federation."""

    def __init__(
        self,
        entrance: Entrance,
        source: DirectorySource,
        publisher: Publisher | None,
        look: Callable[[], Awaitable[object]],
        clock: Clock,
    ) -> None:
        """Prepare the door.

        Args:
            entrance: lets callers in.
            source: whose last good copy is handed out.
            publisher: publishes for all, if this is the node that does.
            look: has this node look for a newer directory; returns once that is in force.
            clock: time.
        """
        self._entrance = entrance
        self._path = source.cache / NAME
        self._publisher = publisher
        self._look = look
        self._clock = clock
        self._copy: _Copy | None = None
        self._reading = asyncio.Lock()
        self._publishing = asyncio.Lock()

    async def GetDirectory(
        self, request: pb.GetDirectoryRequest, context: Context
    ) -> AsyncIterator[pb.GetDirectoryResponse]:
        """Hand out the copy, if it is newer than what the caller knows."""
        async with self._entrance.call(context, expired_too=True) as call:
            self._entrance.quotas.charge(call.peer.address, Cost(queries=1))
            codec.check(request)
            copy = await self._current()
            if copy.held <= Held(request.known_root or copy.held.root, request.known_version):
                return
            size = sum(map(len, copy.files.values()))
            largest = self._entrance.quotas.largest(call.peer.address)
            self._entrance.quotas.charge(call.peer.address, Cost(size=min(size, largest)))
            for path, content in copy.files.items():
                for start in range(0, max(1, len(content)), PIECE_BYTES):
                    call.check()
                    yield pb.GetDirectoryResponse(path=path, piece=content[start : start + PIECE_BYTES])

    async def Offer(self, request: pb.OfferRequest, context: Context) -> pb.OfferResponse:
        """Publish a node's own list; answer once it is published and in force here."""
        async with self._entrance.call(context, expired_too=True) as call:
            peer = call.peer
            if not peer.address.is_node or self._publisher is None:
                raise Refusal(ErrorCode.NOT_PERMITTED, "nodes offer their lists, to the node that publishes them")
            # What is larger than a burst would never be taken; here it is as large as can be waited for.
            size = min(request.ByteSize(), self._entrance.quotas.largest(peer.address))
            self._entrance.quotas.charge(peer.address, Cost(queries=1, size=size))
            codec.check(request)
            # Whose list it is says the caller's certificate; a list of another's does not pass for his.
            signed = SignedList.read(peer.node, request.metadata, request.list)
            # One after the other: those who wait must not hold the threads that verify envelopes.
            async with self._publishing:
                call.check()
                version = await asyncio.to_thread(self._publisher.accept, signed, self._clock())
                await self._look()
            return pb.OfferResponse(version=version)

    async def _current(self) -> _Copy:
        async with self._reading:
            stamp = await asyncio.to_thread(_stamp, self._path)
            if self._copy is None or self._copy.stamp != stamp:
                self._copy = await asyncio.to_thread(_read, self._path, stamp)
            return self._copy


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError as error:
        raise Failure(ErrorCode.UNAVAILABLE, "this node has no directory to hand on") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path, stamp: Stamp) -> _Copy:
    copy = GoodCopy.read(path.parent)
    try:
        if copy is not None:
            return _Copy(stamp, copy.held, copy.served())
    except (KeyError, RepositoryError):
        pass  # somebody was at it
    raise Failure(ErrorCode.UNAVAILABLE, "this node has no directory to hand on")
