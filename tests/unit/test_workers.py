"""The processes behind one port: whoever dies is started again, whatever the system says meanwhile."""

import asyncio
import errno
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import workers

ENDS = "print('ready', flush=True)"
STAYS = f"{ENDS}; import sys; sys.stdin.read()"


async def test_worker_is_started_again_once_the_system_has_a_process_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    real, back = asyncio.create_subprocess_exec, asyncio.Event()
    outcomes = iter([ENDS, OSError(errno.EAGAIN, "none left"), OSError(errno.ENOMEM, "none left"), STAYS])

    async def system(*_: str, stdin: int, stdout: int) -> asyncio.subprocess.Process:
        outcome = next(outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        started = await real(sys.executable, "-c", str(outcome), stdin=stdin, stdout=stdout)
        if outcome == STAYS:
            back.set()
        return started

    monkeypatch.setattr(asyncio, "create_subprocess_exec", system)
    monkeypatch.setattr(workers, "RESTART_SECONDS", 0.0)
    worker: Any = workers._Worker(0, Path("node.toml"), [])
    assert await worker.start() is None
    keeping = asyncio.create_task(worker.keep())
    try:
        async with asyncio.timeout(30.0):
            told = asyncio.create_task(back.wait())
            done, _ = await asyncio.wait({keeping, told}, return_when=asyncio.FIRST_COMPLETED)
        assert told in done, keeping.exception()
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await worker.stop()
