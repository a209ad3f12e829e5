"""Work in a thread, this one's own or the writer's: waited for always, or left behind by whoever is told to end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
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


async def left_behind(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread and return its result; whoever is cancelled meanwhile goes on at once, and so may exit.

    The thread then ends with the process, wherever it stands: for what may wait without end for others, and leaves
    nothing half done when it is killed.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        outcome.set_running_or_notify_cancel()
        try:
            result = work(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  it is the caller's to see
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    # Those of a pool are waited for by whoever closes the event loop, and once more by the interpreter.
    threading.Thread(target=run, name="left behind", daemon=True).start()
    return await asyncio.wrap_future(outcome)


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
