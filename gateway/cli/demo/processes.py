"""The nodes of the demo: real processes, started, frozen, killed and started again.

Only processes that were started here are ever signalled, by their handle.
"""

import asyncio
import contextlib
import signal
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from gateway.cli.children import last_words, starting
from gateway.cli.demo.clock import DemoClock
from gateway.cli.development import Summary
from gateway.errors import ErrorCode, Failure

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0


@dataclass
class Processes:
    """The gateway processes of a federation, by node.

    Args:
        summary: the federation.
        clock: by which they live; None: the machine's, as `rogatory serve` does.
        running: those that run.
    """

    summary: Summary
    clock: DemoClock | None = None
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, code: str) -> None:
        """Start a node and wait until it says that it is ready.

        Raises:
            Failure: UNAVAILABLE, it ended or said nothing.
        """
        config = str(self.summary.folder / code / "node.toml")
        if self.clock is None:
            words = ["gateway.cli", "serve", "--config", config]
        else:
            words = ["gateway.cli.demo.node", config, str(self.clock.behind.total_seconds())]
        diagnostics = (self.summary.folder / code / "node.log").open("ab")
        with diagnostics, starting():
            process = self.running[code] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *words),
                stdin=None if self.clock is None else asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=diagnostics,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops its nodes in order
            )
        if not (await _said(process)).startswith(b"ready"):
            told = last_words(self.summary.folder / code / "node.log")
            raise Failure(ErrorCode.UNAVAILABLE, f"node {code} did not start; the last that it wrote: {told}")

    async def put_forward(self, by: timedelta) -> None:
        """Put the clocks of the nodes forward, then that of everybody else, who is so never ahead of a node.

        Raises:
            Failure: UNAVAILABLE, a node does not follow.
        """
        if self.clock is None:
            raise RuntimeError("these nodes live by the machine's clock")
        behind = self.clock.behind - by
        line = f"{behind.total_seconds()}\n".encode()
        for process in self.running.values():
            if process.stdin is not None:
                process.stdin.write(line)
        for code, process in self.running.items():
            if await _said(process) != line:
                raise Failure(ErrorCode.UNAVAILABLE, f"node {code} did not put its clock forward")
        self.clock.behind = behind

    def freeze(self, code: str) -> None:
        """Make a node hear and say nothing, while its connections stay up (SIGSTOP)."""
        self.running[code].send_signal(signal.SIGSTOP)

    async def kill(self, code: str) -> int:
        """Kill a node without warning (SIGKILL); return its exit status."""
        process = self.running.pop(code)
        process.kill()
        return await process.wait()

    async def stop(self) -> None:
        """Stop every node: ask first, then insist."""
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self.running.values():
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        self.running.clear()


async def _said(process: asyncio.subprocess.Process) -> bytes:
    """Return the next line that a node says; empty if it says none in time."""
    if process.stdout is None:
        return b""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    return b""
