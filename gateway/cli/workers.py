"""Several gateway processes behind one port, for `rogatory serve` with `workers` in the settings.

In: the settings' path. Out: so many processes of the node, each listening on the same address (SO_REUSEPORT), over one
store. One that dies is started again. They end when they are told to, or when their parent is gone: each holds the end
of a pipe.
"""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import click

from gateway.cli import children
from gateway.config import NodeConfig
from gateway.errors import ErrorCode, Refusal

RESTART_SECONDS: Final = 1.0
"""From the death of one to its successor: what dies at once must not keep a core busy dying."""
diagnostics = logging.getLogger("gateway.workers")


class _Worker:
    """One place among the processes, and whoever holds it."""

    def __init__(self, number: int, path: Path, options: Sequence[str]) -> None:
        self._number = number
        self._path = path
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> int | None:
        """Start a process and wait until it takes calls; return its status if it ended instead."""
        pipe = asyncio.subprocess.PIPE
        command = ("-m", "gateway.cli", "serve", "--worker", str(self._number), "--config", str(self._path))
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable, *command, *self._options, stdin=pipe, stdout=pipe
        )
        if process.stdout is not None and await process.stdout.readline():
            return None
        return await process.wait()

    async def keep(self) -> None:
        """Start another whenever one has died, until cancelled."""
        while self._process is not None:
            status = await self._process.wait()
            # Of itself one ends with 0 only when operators drain it.
            diagnostics.warning("a worker died" if status else "a worker was drained", extra={"status": status})
            started = False
            while not started:
                await asyncio.sleep(RESTART_SECONDS)
                started = await self._start_again()

    async def _start_again(self) -> bool:
        """Start a process; return False if the system has none to give, or no memory for one."""
        try:
            await self.start()
        except OSError as error:
            diagnostics.error("no worker can be started", extra={"detail": error.strerror})
            return False
        return True

    async def stop(self) -> int:
        """Have it drain and end; return its status."""
        # One that died before was told of then, and has nothing to drain.
        if self._process is None or self._process.returncode is not None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        status = await self._process.wait()
        # One that was still starting had nothing to drain.
        return 0 if status == -signal.SIGTERM else status


async def run(path: Path, config: NodeConfig, *, after_restore: bool = False) -> int:
    """Run the workers until SIGTERM or SIGINT; return the status to end with.

    Raises:
        Refusal: BAD_CONFIG, somebody else listens there.
    """
    _check_free(config.listen)
    # The first alone: it brings the store up to date, and what is wrong is said once.
    options = ["--after-restore"] if after_restore else []
    workers = [_Worker(number, path, options) for number in range(config.workers)]
    try:
        ended = await children.until_told(_run(workers, f"ready {config.node} {config.listen}"), asyncio.Event())
    finally:
        statuses = await asyncio.gather(*(worker.stop() for worker in workers))
    return ended or max(statuses, key=abs)


async def _run(workers: Sequence[_Worker], ready: str) -> int:
    """Start one after the other, say when all take calls, and keep them running; return the status of who cannot."""
    for worker in workers:
        status = await worker.start()
        if status is not None:
            return status or 1
    click.echo(ready)
    sys.stdout.flush()
    await asyncio.gather(*(worker.keep() for worker in workers))
    return 1


def _check_free(listen: str) -> None:
    """Check that nobody listens there: with SO_REUSEPORT, two nodes could share a port and not know."""
    host, _, port = listen.rpartition(":")
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"cannot listen on {listen}: {error.strerror}", "listen") from error
