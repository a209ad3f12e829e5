"""Carries a node's newest list to the node that publishes for all, until it is published.

In: lists as this node signed them, what is published, a way to the other node. Out: the list in the directory of all.
Nothing is kept here: after a restart the store still has the newest list, and the registry offers it again if it is
newer than what is published. Retries what may pass. A list that the publisher will never take is told to the operator,
once.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio
from rogatory.v1 import directory_pb2 as pb
from rogatory.v1.directory_pb2_grpc import DirectoryStub

from gateway import transport
from gateway.clock import Clock
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.publisher import Publisher
from gateway.trust.client import Trusted
from gateway.trust.lists import SignedList
from gateway.trust.roles import node_role

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 20.0
"""The publisher signs, writes and looks before it answers; a tenth of a second if nobody else is at it."""

FOR_EVER: Final = frozenset({ErrorCode.BAD_DIRECTORY, ErrorCode.MALFORMED, ErrorCode.TOO_LARGE})
"""What only another list would mend. All else may pass: the other node may not have heard yet who we are."""

diagnostics = logging.getLogger("gateway.offering")


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait between two attempts: twice as long each time.

    Args:
        first_seconds: after the first.
        longest_seconds: at most.
    """

    first_seconds: float = FIRST_PAUSE_SECONDS
    longest_seconds: float = LONGEST_PAUSE_SECONDS


class Offering:
    """Offers this node's lists; one at a time, the newest."""

    def __init__(
        self,
        code: str,
        trusted: Callable[[], Trusted],
        publisher: Publisher | None,
        open_channel: Callable[[str], grpc.aio.Channel],
        clock: Clock,
        pauses: Pauses = Pauses(),
    ) -> None:
        """Prepare it.

        Args:
            code: of this node.
            trusted: gives what is published, and who publishes.
            publisher: publishes for all, if that is this node.
            open_channel: opens a channel to another node; it is closed here.
            clock: time.
            pauses: between attempts.
        """
        self._code = code
        self._trusted = trusted
        self._publisher = publisher
        self._open_channel = open_channel
        self._clock = clock
        self._newest: SignedList | None = None
        self._pauses = pauses
        self._changed = asyncio.Event()
        self._told = ""

    async def offer(self, signed: SignedList) -> None:
        """Have a list offered; returns at once. An older one that waits is dropped: the newest says it all."""
        if self._newest is None or signed.version > self._newest.version:
            self._newest = signed
            self._changed.set()

    @property
    def waiting(self) -> SignedList | None:
        """The list that is not published yet, as far as this node knows."""
        newest = self._newest
        if newest is None or newest.version <= self._trusted().version(node_role(self._code)):
            return None
        return newest

    async def run(self) -> None:
        """Offer until cancelled."""
        pause = self._pauses.first_seconds
        while True:
            self._changed.clear()
            signed = self.waiting
            if signed is None:
                await self._changed.wait()
                continue
            if await self._attempt(signed):
                pause = self._pauses.first_seconds
                if self._newest is signed:
                    self._newest = None
                continue
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
                pause = self._pauses.first_seconds
            except TimeoutError:
                pause = min(2 * pause, self._pauses.longest_seconds)

    async def _attempt(self, signed: SignedList) -> bool:
        """Offer a list once; return whether no more is to be done about it."""
        try:
            await self._deliver(signed)
        except GatewayError as error:
            over = isinstance(error, Refusal) and error.code in FOR_EVER
            self._tell("the list is not taken" if over else "the list is not published yet", signed, error)
            return over
        except OSError as error:  # of our own repository
            self._tell("the list is not published yet", signed, error)
            return False
        self._told = ""
        return True

    async def _deliver(self, signed: SignedList) -> None:
        if self._publisher is not None:
            await asyncio.to_thread(self._publisher.accept, signed, self._clock())
            return
        to = self._trusted().federation.publisher
        if to in {"", self._code}:
            raise Failure(ErrorCode.UNAVAILABLE, "no node publishes for all: bring the list to the publisher by hand")
        channel = self._open_channel(to)
        try:
            request = pb.OfferRequest(metadata=signed.metadata, list=signed.content)
            await DirectoryStub(channel).Offer(request, timeout=ANSWER_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise transport.error_of(error) from error
        finally:
            await channel.close()

    def _tell(self, what: str, signed: SignedList, error: Exception) -> None:
        """Tell the operator once, and again when it is something else."""
        if self._told != f"{signed.version} {error}":
            self._told = f"{signed.version} {error}"
            diagnostics.error(what, extra={"version": signed.version, "detail": str(error)})
