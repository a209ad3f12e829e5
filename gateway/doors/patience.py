"""How those who carry wait after a failure: as long as it takes, or until an operator says that it is worth trying.

In: a destination and seconds. Out: whether an operator cut it short. News of more to carry does not: a dead node would
be called as often as somebody writes to it. What rings proves nothing, for bells ring too often rather than too seldom:
the store tells.
"""

import asyncio
import contextlib

from gateway import deliver
from gateway.doors.entrance import Bell
from gateway.errors import GatewayError
from gateway.store import Reader


class Patience:
    """Waits on behalf of one who carries to a destination."""

    def __init__(self, destination: str, bell: Bell, reader: Reader) -> None:
        self._destination = destination
        self._bell = bell
        self._reader = reader
        self._rung = asyncio.Event()
        self._seen_us = 0
        self._over = False

    async def rest(self, seconds: float) -> bool:
        """Wait; return whether an operator wants it tried now."""
        again = deliver.again_for(self._destination)
        with self._bell.listen(again, self._rung), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._over:
                    self._rung.clear()
                    # Before the wait, too: it may have been said while the attempt failed.
                    if await self._is_asked():
                        return True
                    await self._rung.wait()
        return False

    def end(self) -> None:
        """Wait no more."""
        self._over = True
        self._rung.set()

    async def _is_asked(self) -> bool:
        with contextlib.suppress(GatewayError):  # a store that cannot be read now shortens nothing
            asked_us = await self._reader.operating(lambda view: view.resent_at_us(self._destination))
            if asked_us != self._seen_us:
                self._seen_us = asked_us
                return True
        return False
