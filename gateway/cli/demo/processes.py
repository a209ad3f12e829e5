"""The nodes of the demo: real processes, started, frozen, killed and started again.

Only processes that were started here are ever signalled, by their handle.
"""

import asyncio
import contextlib
import signal
import sys
from dataclasses import dataclass, field
from typing import Final

from gateway.cli.development import Summary
from gateway.errors import ErrorCode, Failure

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0


@dataclass
class Processes:
    """The gateway processes of a federation, by node."""

    summary: Summary
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, code: str) -> None:
        """Start a node and wait until it says that it is ready.

        Raises:
            Failure: UNAVAILABLE, it ended or said nothing.
        """
        config = str(self.summary.folder / code / "node.toml")
        diagnostics = (self.summary.folder / code / "node.log").open("ab")
        with diagnostics:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway.cli", "serve", "--config", config),
                stdout=asyncio.subprocess.PIPE,
                stderr=diagnostics,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops its nodes in order
            )
        self.running[code] = process
        line = b""
        if process.stdout is not None:
            with contextlib.suppress(TimeoutError):
                line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        if not line.startswith(b"ready"):
            where = self.summary.folder / code / "node.log"
            raise Failure(ErrorCode.UNAVAILABLE, f"node {code} did not start; its diagnostics are in {where}")

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
