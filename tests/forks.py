"""Processes that are forked off one that has imported everything and opened nothing: one starts in a tenth of a second.

Started anew, an interpreter takes a second or two of a processor before it does anything, and there are hundreds.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
# All that anybody runs in one.
FORKS.set_forkserver_preload(["tests.fault.node_process", "tests.command"])


class Forked:
    """A process with both its streams, as asyncio has one that was started anew."""

    def __init__(self, process: ForkServerProcess, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        self._process = process
        self.stdout = stdout
        self.stderr = stderr

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    async def wait(self) -> int:
        return await end_of(self._process)

    async def communicate(self) -> tuple[bytes, bytes]:
        """Return all that it says until its end."""
        out, err = await asyncio.gather(self.stdout.read(), self.stderr.read())
        await self.wait()
        return out, err

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


async def forked(target: Callable[..., None], *arguments: Any) -> Forked:
    """Run a function in a process of its own; it is given where it has to write, and then the arguments."""
    ends = [FORKS.Pipe(duplex=False) for _ in ("out", "err")]
    streams = [theirs for _, theirs in ends]
    process = FORKS.Process(target=target, args=(*streams, *arguments), daemon=True)
    await asyncio.to_thread(process.start)
    for each in streams:
        each.close()
    return Forked(process, *[await _reader(ours) for ours, _ in ends])


async def _reader(pipe: Connection) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


async def end_of(process: ForkServerProcess) -> int:
    """Wait for the end of a process; return its status."""
    await readable(process.sentinel)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


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
