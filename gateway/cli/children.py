"""What a command owes the processes that it starts: they end with it, however it ends.

In: a block of work, or the words of a process. Out: what the process said. SIGTERM, and the SIGHUP of a terminal that
is closed, end a command as an exception does, and what runs on an event loop by cancelling it, so that all that cleans
up is run, or, with SIGINT, what serves; processes that were started here are killed when the block that wanted them
ends. Refuses with UNAVAILABLE what does not end in time.
"""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeVar

from gateway.errors import ErrorCode, Failure

LAST_CHARACTERS: Final = 300
COMMAND_SECONDS: Final = 120.0
"""In which a command of ours must end that waits for nobody."""

_TOLD: Final = (signal.SIGTERM, signal.SIGHUP)

T = TypeVar("T")


@dataclass(slots=True)
class _Word:
    """Which signal came, and what it must not break off.

    Args:
        number: of the signal; None: none came.
        starting: how many processes are being started.
        waits: whether it came meanwhile.
        cancel: cancels what runs on the event loop; None: nothing does.
    """

    number: int | None = None
    starting: int = 0
    waits: bool = False
    cancel: Callable[[], object] | None = None

    def leave(self) -> None:
        """End what goes on."""
        if self.cancel is not None:
            self.cancel()
        else:
            self.end()

    def end(self) -> None:
        """End this process, if a signal came."""
        if self.number is not None:
            sys.exit(128 + self.number)


_word: Final = _Word()


@contextmanager
def cleaned_up() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as an exception (SystemExit, 128 and the signal's number).

    What is ignored already (nohup) stays ignored. Told once is told: a terminal that is closed says so twice, and the
    second word must not break off what the first one has set going.
    """
    _word.number = None
    before = {each: signal.getsignal(each) for each in _TOLD}
    for each, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(each, _end)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    for each in _TOLD:
        # Not SIG_IGN: a process that is just being started would inherit that, and not end when it is told to.
        signal.signal(each, _hear_no_more)
    _word.number, _word.waits = number, bool(_word.starting)
    if not _word.waits:
        _word.leave()


def _hear_no_more(_number: int, _frame: FrameType | None) -> None:
    """Go on with cleaning up."""


@contextmanager
def starting() -> Iterator[None]:
    """Let no signal end the block, in which a process is started: it would be there, and nobody would know it.

    What came meanwhile ends this process behind the block, which therefore stands within what cleans up.
    """
    _word.starting += 1
    try:
        yield
    finally:
        _word.starting -= 1
    if _word.waits and not _word.starting:
        _word.waits = False
        _word.leave()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run something on an event loop of its own; within `cleaned_up`, a signal cancels it.

    An exception out of nowhere would stop the loop, and once more out of each group of tasks that it struck: then
    nothing cleans up to its end.
    """

    async def heard() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            _word.cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            return await work
        finally:
            _word.cancel = None

    try:
        return asyncio.run(heard())
    finally:
        _word.end()  # whatever came of what was broken off


async def until_told(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """Return what comes of some work; None, if SIGTERM, SIGINT or `stop` came first: then it is cancelled, and over.

    From then on the two signals do no more than set `stop`: what has been begun is to be ended in order.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    working, told = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, told}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, told):
            task.cancel()
        await asyncio.gather(working, told, return_exceptions=True)


@asynccontextmanager
async def child(
    *words: str,
    stdin: int = DEVNULL,
    stderr: int | None = PIPE,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Process]:
    """Run a module of ours in a process of its own, whose output is a pipe; if it still runs at the end, it is killed.

    Args:
        words: the module and its arguments.
        stdin: as of subprocess.
        stderr: as of subprocess; None for ours.
        cwd: its folder; None for ours.
        env: its environment; None for ours.
    """
    process: Process | None = None
    try:
        with starting():
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *words), stdin=stdin, stdout=PIPE, stderr=stderr, cwd=cwd, env=env
            )
        yield process
    finally:
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@asynccontextmanager
async def patience(seconds: float, what: str) -> AsyncIterator[None]:
    """Wait no longer for something than so many seconds.

    Raises:
        Failure: UNAVAILABLE, that was in vain.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Failure(ErrorCode.UNAVAILABLE, f"waited {seconds:g} seconds in vain for {what}") from error


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: its exit status, and what it said."""

    status: int
    out: str
    err: str


async def ended(process: Process, within: float = COMMAND_SECONDS) -> Ended:
    """Wait for the end of a process.

    Raises:
        Failure: UNAVAILABLE, it does not end.
    """
    async with patience(within, "a process to end"):
        out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), (err or b"").decode())


def last_words(diagnostics: Path) -> str:
    """Return the end of what processes said went wrong, for the file does not outlive the run."""
    return last_line(diagnostics.read_text(errors="replace"))


def last_line(said: str) -> str:
    """Return the end of what a process said; whoever was killed from outside has said nothing."""
    lines = said.strip().splitlines()
    return lines[-1][-LAST_CHARACTERS:] if lines else "nothing"
