"""Where signatures are checked: beside the interpreter, for it has one lock and a check needs none.

In: Ed25519 checks. Out: which of them hold. A few are done at once, where they are asked for; many in a process of
their own (`gateway.checker`), for a thread has to take the interpreter lock back after each, from threads that rarely
let go of it (docs/speed.md tells what that costs). Where that process is not there, threads do it meanwhile: nothing is
taken unchecked, and nobody waits for ever.
"""

import asyncio
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from gateway import ed25519
from gateway.checker import LENGTH_BYTES
from gateway.ed25519 import Check

AT_ONCE: Final = 2
"""Checks that are done on the spot: to hand them on takes as long."""

MOST_BYTES: Final = 1 << 20
"""Of messages that are copied for another process; a frame's are usually 20 KiB. Threads need no copy."""

ANSWER_SECONDS: Final = 10.0
"""A thousand times what a full frame takes. Whoever has not answered by then is put down, and threads answer."""

PAUSE_SECONDS: Final = 1.0
"""From the end of a process to the start of the next: one that keeps ending must not keep us busy."""

diagnostics = logging.getLogger("gateway.checking")


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """Checks that one caller asked for, and where the answers go."""

    checks: Sequence[Check]
    answers: asyncio.Future[Sequence[bool]]


_Jobs = Sequence[_Job]


class _Helper:
    """A process that checks.

    Args:
        process: the process, with pipes.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a helper needs pipes")
        self._process = process
        self._in, self._out = process.stdin, process.stdout
        self._asked: asyncio.Queue[_Jobs | None] = asyncio.Queue()

    @property
    def waiting(self) -> int:
        """How many times it was asked and has not been heard yet."""
        return self._asked.qsize()

    def ask(self, jobs: _Jobs) -> None:
        """Send it work. What is unanswered is bounded by who asks: each waits for its answer."""
        packed = ed25519.pack(_checks(jobs))
        self._in.write(len(packed).to_bytes(LENGTH_BYTES, "big") + packed)
        self._asked.put_nowait(jobs)

    def close(self) -> None:
        """Let it answer what it was asked, and end."""
        self._in.close()
        self._asked.put_nowait(None)

    async def listen(self) -> _Jobs:
        """Pass its answers on, until it ends or is lost; return what it leaves unanswered."""
        jobs: _Jobs | None = None
        try:
            while (jobs := await self._asked.get()) is not None:
                async with asyncio.timeout(ANSWER_SECONDS):
                    _answer(jobs, await self._hear(len(_checks(jobs))))
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            diagnostics.warning("checker lost", exc_info=True)
            self._put_down()
        left = list(jobs or ())
        while not self._asked.empty():
            left += self._asked.get_nowait() or ()
        return left

    async def end(self) -> None:
        """Wait until the process has ended: it does with its input, unless something holds it."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._put_down()
            await self._process.wait()

    def _put_down(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _hear(self, count: int) -> list[bool]:
        length = int.from_bytes(await self._out.readexactly(LENGTH_BYTES), "big")
        if length != count:
            raise ConnectionError("a helper that does not know its work")
        return [each == 1 for each in await self._out.readexactly(length)]


class Checking:
    """Checks signatures for one node, on its event loop.

    Args:
        processes: how many it may start, when there is something for them to do; 0: threads do it all.
    """

    def __init__(self, processes: int) -> None:
        self._wanted = processes
        self._helpers: list[_Helper] = []
        self._starting = 0
        self._not_before = 0.0
        self._gathered: list[_Job] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def valid(self, checks: Iterable[Check]) -> Mapping[Check, bool]:
        """Return of each check whether it holds; equal ones are done once."""
        once = list(dict.fromkeys(checks))
        if not once:
            return {}
        loop = asyncio.get_running_loop()
        job = _Job(once, loop.create_future())
        if not self._gathered:
            # What others ask for in this turn of the loop goes along: alone, each would cost two system calls.
            loop.call_soon(self._hand_on)
        self._gathered.append(job)
        return dict(zip(once, await job.answers, strict=True))

    async def close(self) -> None:
        """Answer what was asked, and let the processes end."""
        self._closed = True
        for helper in self._helpers:
            helper.close()
        # Taken out here: of tasks that have all ended, Python 3.12 waits for none, and their callbacks would never run.
        while ending := self._tasks.copy():
            await asyncio.gather(*ending)
            self._tasks -= ending

    def _hand_on(self) -> None:
        jobs, self._gathered = self._gathered, []
        checks = _checks(jobs)
        if len(checks) <= AT_ONCE:
            _answer(jobs, list(map(ed25519.holds, checks)))
            return
        now = asyncio.get_running_loop().time()
        if len(self._helpers) + self._starting < self._wanted and now >= self._not_before and not self._closed:
            self._starting += 1
            self._start(self._help())
        if self._helpers and not self._closed and sum(len(check.message) for check in checks) <= MOST_BYTES:
            min(self._helpers, key=lambda each: each.waiting).ask(jobs)
        else:
            self._start(_in_thread(jobs))

    async def _help(self) -> None:
        """Have a helper, until it ends."""
        try:
            process = await asyncio.create_subprocess_exec(
                # -P: it is the gateway that is installed, whatever lies in the folder that we were started in.
                sys.executable,
                "-P",
                "-m",
                "gateway.checker",
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
            )
        except OSError:
            diagnostics.warning("checker cannot be started", exc_info=True)
            self._rest()
            return
        finally:
            self._starting -= 1
        helper = _Helper(process)
        if self._closed:
            helper.close()
        self._helpers.append(helper)
        try:
            left = await helper.listen()
        finally:
            # Before threads begin: what it was asked from now on, nobody would answer.
            self._helpers.remove(helper)
            self._rest()
        if left:
            await _in_thread(left)
        await helper.end()

    def _rest(self) -> None:
        self._not_before = asyncio.get_running_loop().time() + PAUSE_SECONDS

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _checks(jobs: _Jobs) -> list[Check]:
    return list(chain.from_iterable(job.checks for job in jobs))


def _answer(jobs: _Jobs, answers: Sequence[bool]) -> None:
    rest = iter(answers)
    for job in jobs:
        own = list(islice(rest, len(job.checks)))
        if not job.answers.done():  # whoever asked may have gone
            job.answers.set_result(own)


async def _in_thread(jobs: _Jobs) -> None:
    checks = _checks(jobs)
    _answer(jobs, await asyncio.to_thread(lambda: list(map(ed25519.holds, checks))))
