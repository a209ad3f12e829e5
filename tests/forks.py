"""Processes that are forked off one that has imported everything and opened nothing: one starts in a tenth of a second.

Started anew, an interpreter takes a second or two of a processor before it does anything, and there are hundreds.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import multiprocessing
import os
from collections.abc import Callable

FORKS = multiprocessing.get_context("forkserver")
# All that anybody runs in one.
FORKS.set_forkserver_preload(["tests.fault.node_process", "tests.command"])


async def readable(handle: int) -> None:
    """Wait until there is something to read, or the other end is closed."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    # A handle of its own: a loop has one reader for each.
    copy = os.dup(handle)
    loop.add_reader(copy, _once(ready))
    try:
        await ready
    finally:
        loop.remove_reader(copy)
        os.close(copy)


def _once(ready: "asyncio.Future[None]") -> Callable[[], None]:
    return lambda: None if ready.done() else ready.set_result(None)
