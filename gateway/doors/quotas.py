"""Quotas at the doors: who is told to come again, who is slowed down, and whose turn it is.

In: a peer and what it asks for. Out: leave to go on. A single call that is over a rate is answered OVERLOADED with the
time to wait. A stream is not read on until there is room: its sender waits in its own send buffer, and needs to know
nothing of quotas. Nothing is read of who brings, again and again, what is refused unread. What is counted, and how, is
`gateway.quota`; who comes next is `gateway.doors.turns`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Final

from opentelemetry.metrics import Counter
from rogatory.v1 import envelope_pb2 as pb

from gateway.clock import MICROS, Clock, to_micros
from gateway.config import Quota
from gateway.doors.turns import Turns
from gateway.errors import Failure, Unread
from gateway.identity import Address
from gateway.quota import FORGET_ABOVE, Cost, Ledger

Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""

SAY_AGAIN_US: Final = 60 * MICROS
"""A flood must not become one of diagnostics: of each participant and limit one line a minute. The counter has all."""

diagnostics = logging.getLogger("gateway.doors")


class Quotas:
    """Holds every caller of one node to its quota."""

    def __init__(
        self, quota: Quota, max_streams: int, clock: Clock, counter: Counter, pause: Pause = asyncio.sleep
    ) -> None:
        """Prepare them.

        Args:
            quota: what is allowed.
            max_streams: calls at once, for whom the quota names no number.
            clock: time.
            counter: counts each time a limit made somebody wait or come again.
            pause: waits.
        """
        self._ledger = Ledger(quota, max_streams)
        self._clock = clock
        self._counter = counter
        self.pause = pause
        self._said_us: dict[tuple[Address, str], int] = {}
        self.turns = Turns(quota.envelopes_at_once_of_all, lambda peer: self._ledger.allowance(peer).envelopes_at_once)

    @contextmanager
    def stream(self, peer: Address) -> Iterator[None]:
        """Count a call for as long as it is open.

        Raises:
            Failure: OVERLOADED, too many are.
        """
        with self._noting(peer):
            self._ledger.open(peer, self._now_us())
        try:
            yield
        finally:
            self._ledger.close(peer)

    @contextmanager
    def reading(self, peer: Address) -> Iterator[None]:
        """Read what a participant brings, and count what is refused unread.

        Raises:
            Failure: OVERLOADED, too much of the participant's was refused unread.
        """
        with self._noting(peer):
            self._ledger.welcome(peer, self._now_us())
        try:
            yield
        except Unread:
            self._ledger.refused_unread(peer, self._now_us())
            raise

    @contextmanager
    def _noting(self, peer: Address) -> Iterator[None]:
        """Have a limit that was reached told."""
        try:
            yield
        except Failure as failure:
            self._note(peer, failure.field)
            raise

    def charge(self, peer: Address, cost: Cost) -> None:
        """Take what a call costs.

        Raises:
            Failure: OVERLOADED, with the time at which there is room.
        """
        with self._noting(peer):
            self._ledger.reserve(peer, cost, self._now_us())

    async def pace(self, peer: Address, cost: Cost, longest_seconds: float | None = None) -> None:
        """Wait until there is room for a part of a stream.

        Args:
            peer: whose stream.
            cost: of the part.
            longest_seconds: how long its sender waits for an answer; None if it waits for ever.

        Raises:
            Failure: OVERLOADED, it would take longer; with the time at which there is room.
        """
        longest_us = None if longest_seconds is None else round(longest_seconds * MICROS)
        with self._noting(peer):
            grant = self._ledger.reserve(peer, cost, self._now_us(), longest_us)
        if not grant.wait_us:
            return
        self._note(peer, grant.limit)
        try:
            await self.pause(grant.wait_us / MICROS)
        except BaseException:
            # The stream ended meanwhile, and will come again with the same: it must not pay twice.
            self._ledger.give_back(peer, cost)
            raise

    def turn(self, peer: Address, envelopes: int) -> AbstractAsyncContextManager[None]:
        """Wait for a turn at the store, and hold it."""
        return self.turns.take(peer, envelopes)

    def largest(self, peer: Address) -> int:
        """Return the bytes of the largest envelope that a participant may ever send."""
        return self._ledger.allowance(peer).burst_bytes

    def cost(self, peer: Address, envelopes: Sequence[pb.SignedEnvelope], receipts: Sequence[pb.Receipt] = ()) -> Cost:
        """Return what a frame costs. An empty one is work too."""
        # What is larger than a burst is refused under its own name later on; here it is as large as can be waited for.
        largest = self.largest(peer)
        size = sum(min(envelope.ByteSize(), largest) for envelope in envelopes)
        size += sum(receipt.ByteSize() for receipt in receipts)
        return Cost(envelopes=max(1, len(envelopes) + len(receipts)), size=size)

    def _now_us(self) -> int:
        return to_micros(self._clock())

    def _note(self, peer: Address, limit: str) -> None:
        self._counter.add(1, {"rogatory.from": peer.node, "rogatory.limit": limit})
        now_us = self._now_us()
        said_us = self._said_us.get((peer, limit))
        if said_us is None or abs(now_us - said_us) >= SAY_AGAIN_US:
            if len(self._said_us) >= FORGET_ABOVE:
                self._said_us.clear()
            self._said_us[peer, limit] = now_us
            diagnostics.warning("quota reached", extra={"peer": str(peer), "limit": limit})
