"""How those who carry and hand out wait: for more; after a failure as long as it takes, or until an operator tells.

In: a destination and seconds. Out: whether an operator cut it short. News of more to carry does not: a dead node would
be called as often as somebody writes to it. What rings proves nothing, and a bell may be lost: the store tells.
"""

import asyncio
import contextlib
from typing import Final

from gateway import deliver
from gateway.clock import MICROS, Clock, to_micros
from gateway.doors.entrance import Bell
from gateway.errors import GatewayError
from gateway.store import Reader

IDLE_SECONDS: Final = 30.0
"""Nobody waits longer for a bell."""


async def for_more(destination: str, asked_us: int, wake: asyncio.Event, reader: Reader, clock: Clock) -> None:
    """Wait for news of a destination, or until something is due there that was not when the store was asked for it.

    What is due and was not given has to let an earlier copy of its case go first, and when that moves, a bell rings.
    What was put into the store a moment ago may be due in a moment: by a clock that was set back a little since, or by
    that of another machine.
    """
    due_us = await reader.next_attempt_us(destination, asked_us)
    until_due = IDLE_SECONDS if due_us is None else (due_us - to_micros(clock())) / MICROS
    await rung(wake, min(IDLE_SECONDS, max(0.0, until_due)))


async def rung(wake: asyncio.Event, seconds: float = IDLE_SECONDS) -> bool:
    """Wait for a bell, and return whether it rang; not for ever: another process may have died before it rang."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await wake.wait()
    return False


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
