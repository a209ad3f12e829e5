"""Work in a thread, this one's own or the writer's, that is always waited for."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def to_its_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread and return its result; whoever is cancelled meanwhile, however often, waits for its end.

    A thread cannot be stopped, and what it uses is closed next: a store that is closed while it is read keeps a
    connection, and SQLite's log is then not written back into the database.
    """
    return await ended(asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs)))


async def ended(working: asyncio.Future[T]) -> T:
    """Return what comes of work that is under way; whoever is cancelled meanwhile, however often, waits for its end."""
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        while not working.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # whoever would have been told is gone
        raise
