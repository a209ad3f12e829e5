"""Real `rogatory serve` processes, for tests that need what a process alone has: signals, a status, two streams."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.development import Summary, init_federation
from gateway.clock import system_clock
from gateway.config import Delivery
from tests import command, stores
from tests.federation import DELIVERY, Federation, ports
from tests.forks import Forked, forked

ROOT = Path(__file__).parents[1]
START_SECONDS = 60.0
STOP_SECONDS = 60.0


def environment() -> dict[str, str]:
    """This process's own, with both source roots."""
    roots = [str(ROOT), str(ROOT / "proto"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}


def started_by(pid: int) -> list[int]:
    """Return the processes that another one has started (proc(5))."""
    while True:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        # Should one end before it is looked at, what it had started is another's by now.
        with suppress(FileNotFoundError, ProcessLookupError):
            return [int(each) for thread in threads for each in (thread / "children").read_text().split()]


async def said(stream: asyncio.StreamReader, word: bytes) -> None:
    """Read what a process says until a line has a word in it."""
    while word not in (line := await asyncio.wait_for(stream.readline(), 4 * START_SECONDS)):
        assert line, "it ended, and did not say it"


def still_there(pids: Sequence[int]) -> list[int]:
    """Return those of the processes that have not ended."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def rogatory(*arguments: str) -> Forked:
    """Start the command line; both its streams are pipes."""
    return await forked(command.run, arguments, str(Path.cwd()), environment())


async def finished(*arguments: str) -> tuple[int, str, str]:
    """Run the command line to its end; return its status and what it printed."""
    return await ended(await rogatory(*arguments))


async def ended(process: Forked) -> tuple[int, str, str]:
    """Wait for the end of a process; return its status and what it printed."""
    try:
        out, err = await asyncio.wait_for(process.communicate(), START_SECONDS)
    finally:
        process.kill()
    return await process.wait(), out.decode(), err.decode()


@dataclass
class Serving:
    """One `serve` process that has said that it is ready."""

    process: Forked
    ready: str
    errors: bytearray = field(default_factory=bytearray)
    reading: list[asyncio.Task[None]] = field(default_factory=list)

    async def read_errors(self) -> None:
        while line := await self.process.stderr.readline():
            self.errors += line

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop; return its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        status = await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        await asyncio.gather(*self.reading)
        return status


@dataclass
class Processes:
    """The nodes of a federation, each in a process of its own."""

    fed: Federation
    running: dict[str, Serving] = field(default_factory=dict)

    async def start(self, code: str) -> Serving:
        return await self.start_with(code, self.fed.summary.config(f"{code}/node"))

    async def start_with(self, code: str, settings: Path) -> Serving:
        """Start a process with those settings, and know it by that name."""
        process = await rogatory("serve", "--config", str(settings))
        serving = Serving(process, "")
        serving.reading.append(asyncio.create_task(serving.read_errors()))
        self.running[code] = serving
        serving.ready = (await asyncio.wait_for(process.stdout.readline(), START_SECONDS)).decode()
        assert serving.ready, bytes(serving.errors).decode()
        return serving

    async def end(self, code: str) -> tuple[int, str]:
        """Stop one with SIGTERM; return its exit status and its diagnostics."""
        serving = self.running.pop(code)
        status = await serving.end()
        return status, bytes(serving.errors).decode()


@asynccontextmanager
async def processes(
    folder: Path, *, start: tuple[str, ...] = ("ee", "de"), delivery: Delivery = DELIVERY, settings: str = ""
) -> AsyncIterator[Processes]:
    """Make ee and de and start them; `settings` is appended to both nodes' files."""
    summary: Summary = init_federation(folder, ["ee", "de"], ports(2), system_clock(), delivery=delivery)
    stores.move(summary, ("ee", "de"))
    for code in ("ee", "de"):
        with summary.config(f"{code}/node").open("a") as file:
            file.write(settings)
    made = Processes(Federation(summary, system_clock, {}, {}))
    try:
        for code in start:
            await made.start(code)
        yield made
    finally:
        for actor in made.fed.actors.values():
            await actor.channel.close()
        for serving in made.running.values():
            if serving.process.returncode is None:
                serving.process.kill()
            await serving.process.wait()
            await asyncio.gather(*serving.reading)
