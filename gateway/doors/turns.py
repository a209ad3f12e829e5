"""Turns: who may keep the store busy next, so that a greedy participant slows nobody but itself.

In: who comes, and with how many envelopes. Out: a turn, held until the work is done. Each participant has its own line,
and the lines are served one frame each, in rounds. Nobody holds more than its own share, and all together no more than
the node's: so what stands before a newcomer is counted in envelopes, however much somebody else has sent.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from gateway.identity import Address


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A place in a line."""

    weight: int
    granted: asyncio.Future[None]


class Turns:
    """The lines of one node, on its event loop. Only who was authenticated may stand in one."""

    def __init__(self, of_all: int, share: Callable[[Address], int]) -> None:
        """Prepare them.

        Args:
            of_all: envelopes in work at once.
            share: how many of them one participant's may be.
        """
        self._of_all = of_all
        self._share = share
        # The line that is served next comes first.
        self._lines: dict[Address, deque[_Place]] = {}
        self._working: Counter[Address] = Counter()

    def waiting(self, peer: Address) -> int:
        """Return how many of a participant's frames stand in line."""
        return len(self._lines.get(peer, ()))

    def working(self, peer: Address) -> int:
        """Return how many of a participant's envelopes are in work."""
        return self._working[peer]

    @asynccontextmanager
    async def take(self, peer: Address, envelopes: int) -> AsyncIterator[None]:
        """Wait for a turn, and hold it; one participant's turns come in the order in which they were asked for.

        What was given to the store in it must have been answered when it ends, also if whoever asked for it has gone.
        """
        # More than a share must not wait for ever.
        weight = max(1, min(envelopes, self._share(peer), self._of_all))
        place = _Place(weight, asyncio.get_running_loop().create_future())
        self._lines.setdefault(peer, deque()).append(place)
        self._serve()
        try:
            await place.granted
            yield
        finally:
            # Whoever left before its turn came holds nothing.
            if place.granted.done() and not place.granted.cancelled():
                self._end(peer, weight)
            else:
                self._withdraw(peer, place)
            self._serve()

    def _serve(self) -> None:
        """Give out what turns there are."""
        while (peer := self._next()) is not None:
            line = self._lines.pop(peer)
            place = line.popleft()
            if line:
                self._lines[peer] = line  # last in the round
            if place.granted.cancelled():
                continue  # it was told to leave, and has not gone yet
            self._working[peer] += place.weight
            place.granted.set_result(None)

    def _next(self) -> Address | None:
        for peer, line in self._lines.items():
            if self._working[peer] and self._working[peer] + line[0].weight > self._share(peer):
                continue  # its own work is in its way, and in nobody else's
            # The first whose turn it is waits for room; if a smaller one slipped in before it, it might wait for ever.
            return peer if self._working.total() + line[0].weight <= self._of_all else None
        return None

    def _end(self, peer: Address, weight: int) -> None:
        self._working[peer] -= weight
        if not self._working[peer]:
            del self._working[peer]

    def _withdraw(self, peer: Address, place: _Place) -> None:
        line = self._lines.get(peer, deque())
        with suppress(ValueError):
            line.remove(place)
        if not line:
            self._lines.pop(peer, None)
