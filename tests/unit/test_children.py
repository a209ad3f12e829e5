"""Processes that a command starts end with it, however it ends."""

import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.cli import children
from gateway.errors import ErrorCode, GatewayError
from tests.processes import environment

# Says that it works; when it is told to end, that it cleans up, for as long as its input is open.
WORKS = """
import sys
from gateway.cli import children
with children.cleaned_up():
    try:
        print("works", flush=True)
        sys.stdin.readline()
    finally:
        print("cleans up", flush=True)
        sys.stdin.readline()
        print("clean", flush=True)
"""


def at_work(before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", before + WORKS]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whoever_is_told_to_end_cleans_up_and_is_not_broken_off_by_being_told_again(number: signal.Signals) -> None:
    with at_work() as working:
        assert working.stdout is not None
        assert working.stdout.readline() == "works\n"
        working.send_signal(number)
        assert working.stdout.readline() == "cleans up\n"
        for again in (signal.SIGHUP, signal.SIGTERM):
            working.send_signal(again)
        assert working.communicate("\n")[0] == "clean\n"
    assert working.returncode == 128 + number


def test_whoever_is_told_to_end_while_a_group_of_tasks_works_cleans_up_to_the_end() -> None:
    works = """
import asyncio
from gateway.cli import children
async def work():
    print("works", flush=True)
    while True:
        sum(range(100_000))  # here, or nearly always, it is told
        await asyncio.sleep(0)
async def others():
    async with asyncio.TaskGroup() as group:
        group.create_task(work())
async def main():
    both = asyncio.create_task(others())
    try:
        await asyncio.Event().wait()
    finally:
        for _ in range(100):
            await asyncio.sleep(0)
        print("clean", flush=True)
with children.cleaned_up():
    children.run(main())
"""
    command = [sys.executable, "-c", works]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as working:
        assert working.stdout is not None
        assert working.stdout.readline() == "works\n"
        working.send_signal(signal.SIGTERM)
        assert working.communicate()[0] == "clean\n"
    assert working.returncode == 128 + signal.SIGTERM


def test_what_outlives_its_terminal_on_purpose_goes_on() -> None:
    with at_work("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n") as working:
        assert working.stdout is not None
        assert working.stdout.readline() == "works\n"
        working.send_signal(signal.SIGHUP)
        assert working.communicate("\n\n")[0] == "cleans up\nclean\n"
    assert working.returncode == 0


async def test_a_process_does_not_outlive_the_block_that_wanted_it(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text("import sys; print('here', flush=True); sys.stdin.read()")
    async with AsyncExitStack() as block:
        process = await block.enter_async_context(children.child("waits", stdin=PIPE, cwd=str(tmp_path)))
        assert process.stdout is not None
        assert await process.stdout.readline() == b"here\n"
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


async def test_a_process_that_does_not_end_is_a_failure_with_a_code(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text("import sys; sys.stdin.read()")
    async with children.child("waits", stdin=PIPE, cwd=str(tmp_path)) as process:
        with pytest.raises(GatewayError) as silent:
            await children.ended(process, within=0.0)
    assert silent.value.code is ErrorCode.UNAVAILABLE


def test_a_process_that_is_being_started_when_the_word_comes_is_known_to_what_cleans_up() -> None:
    begun = """
import os, signal, sys
from gateway.cli import children
known = "nothing"
with children.cleaned_up():
    try:
        with children.starting():
            os.kill(os.getpid(), signal.SIGTERM)
            known = "the process"
        print("goes on", flush=True)
    finally:
        print(known, flush=True)
"""
    command = [sys.executable, "-c", begun]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)  # noqa: PLW1510  the status is what is tested
    assert (done.stdout, done.returncode) == ("the process\n", 128 + signal.SIGTERM)
