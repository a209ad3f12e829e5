"""Parts of a process: work that goes on until the process stops. If one ends by itself, all of it has failed."""

import asyncio
from collections.abc import Coroutine


class Parts:
    """What runs in one process."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def has_failed(self) -> bool:
        """Whether one has ended by itself."""
        return self._failure.done()

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run one until all stop."""
        part = asyncio.create_task(work)
        part.add_done_callback(self._ended)
        self._running.add(part)
        return part

    def end(self, part: asyncio.Task[None]) -> None:
        """End one before the others."""
        part.cancel()
        self._ending.add(part)
        part.add_done_callback(self._ending.discard)

    async def failed(self) -> None:
        """Return when one has ended by itself; its error is raised."""
        await self._failure

    async def stop(self) -> None:
        """End all of them, and wait until they have."""
        parts = self._running | self._ending
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)

    def _ended(self, part: asyncio.Task[None]) -> None:
        self._running.discard(part)
        if part.cancelled() or self._failure.done():
            return
        error = part.exception()
        self._failure.set_exception(error) if error is not None else self._failure.set_result(None)
