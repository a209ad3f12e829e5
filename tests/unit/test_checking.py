"""Signatures are checked, wherever that is: at once, in a process beside this one, or in threads when that is lost."""

import asyncio
import io
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from gateway import checker, checking, ed25519
from gateway.checking import AT_ONCE, Checking
from gateway.ed25519 import Check

KEY = SigningKey(bytes(range(32)))
PUBLIC = bytes(KEY.verify_key)
MANY = AT_ONCE + 5
ROOT = Path(__file__).parent.parent.parent
WAIT_SECONDS = 60.0


def good(number: int = 0) -> Check:
    message = b"message %d" % number
    return Check(PUBLIC, KEY.sign(message).signature, message)


def bad(number: int = 0) -> Check:
    return good(number)._replace(message=b"another")


def mixed(start: int = 0) -> dict[Check, bool]:
    """Return checks that are more than are done at once, and whether each holds."""
    return {(good if n % 3 else bad)(n): n % 3 != 0 for n in range(start, start + MANY)}


CHECKS = st.builds(Check, st.binary(max_size=40), st.binary(max_size=70), st.binary(max_size=300))


# The check itself


def test_signature_holds_for_its_own_key_and_message_alone() -> None:
    other = bytes(SigningKey(bytes(32)).verify_key)
    assert ed25519.holds(good())
    assert not any(map(ed25519.holds, (bad(), good()._replace(public_key=other), good(1)._replace(message=b""))))


@pytest.mark.parametrize("moved", [1, 32, 63])
def test_part_of_a_signature_moved_into_the_message_is_no_signature(moved: int) -> None:
    # libsodium is handed both in one piece: only the length tells where one ends.
    whole = good()
    shifted = Check(PUBLIC, whole.signature[:-moved], whole.signature[-moved:] + whole.message)
    assert shifted.signature + shifted.message == whole.signature + whole.message
    assert not ed25519.holds(shifted)
    longer = Check(PUBLIC, whole.signature + whole.message[:moved], whole.message[moved:])
    assert not ed25519.holds(longer)


@pytest.mark.parametrize("key", [b"", PUBLIC[:31], PUBLIC + b"\0"])
def test_key_of_the_wrong_length_is_no_key(key: bytes) -> None:
    assert not ed25519.holds(good()._replace(public_key=key))


@given(st.lists(CHECKS, max_size=8))
def test_checks_arrive_in_the_other_process_as_they_were(checks: list[Check]) -> None:
    assert ed25519.unpack(ed25519.pack(checks)) == checks


@given(st.lists(CHECKS | st.just(good()), max_size=8))
def test_other_process_answers_as_this_one_would(checks: list[Check]) -> None:
    packed = ed25519.pack(checks)
    said = io.BytesIO()
    checker.serve(io.BytesIO(len(packed).to_bytes(4, "big") + packed), said)
    assert said.getvalue() == len(checks).to_bytes(4, "big") + bytes(map(ed25519.holds, checks))


# Where it is done


@asynccontextmanager
async def running(processes: int = 1) -> AsyncIterator[Checking]:
    made = Checking(processes)
    try:
        yield made
    finally:
        await asyncio.wait_for(made.close(), WAIT_SECONDS)


async def with_helper(made: Checking) -> checking._Helper:
    """Ask until a process is there; what is asked before that, threads answer."""
    numbers = count(1000, MANY)
    async with asyncio.timeout(WAIT_SECONDS):
        while not made._helpers:
            asked = mixed(next(numbers))
            assert await made.valid(asked) == asked
    return made._helpers[0]


async def test_few_are_done_at_once_and_start_no_process() -> None:
    async with running() as made:
        assert await made.valid([good(), bad()]) == {good(): True, bad(): False}
        assert await made.valid([]) == {}
        assert not made._helpers
        assert not made._starting


async def test_many_are_done_by_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as made:
        await with_helper(made)
        monkeypatch.setattr(ed25519, "holds", lambda _: pytest.fail("checked in this process"))
        asked = mixed()
        assert await made.valid(asked) == asked


async def test_equal_checks_are_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # The 64 envelopes of a batch all rest on one root.
    done: list[Check] = []

    def noting(check: Check) -> bool:
        done.append(check)
        return True

    monkeypatch.setattr(ed25519, "holds", noting)
    async with running(0) as made:
        assert await made.valid([good()] * 64) == {good(): True}
    assert done == [good()]


async def test_those_who_ask_together_get_each_their_own_answers() -> None:
    async with running() as made:
        await with_helper(made)
        asked = [mixed(start) for start in range(0, 400, MANY)]
        assert await asyncio.gather(*map(made.valid, asked)) == asked


async def test_without_a_process_threads_do_it() -> None:
    async with running(0) as made:
        assert await made.valid(mixed()) == mixed()
        assert not made._helpers


async def test_what_is_too_much_to_copy_is_not_copied_for_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as made:
        helper = await with_helper(made)
        monkeypatch.setattr(helper, "ask", lambda jobs: pytest.fail("copied"))
        long = bytes(checking.MOST_BYTES // MANY + 1)
        asked = {
            Check(PUBLIC, KEY.sign(long + bytes([n])).signature, long + bytes([n + n % 2])): n % 2 == 0
            for n in range(MANY)
        }
        assert await made.valid(asked) == asked


async def test_other_process_takes_nothing_from_the_folder_that_the_node_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "__init__.py").write_text("")
    says_nothing = "import sys\nwhile n := sys.stdin.buffer.read(4):\n  sys.stdin.buffer.read()\n"
    (tmp_path / "gateway" / "checker.py").write_text(says_nothing)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "proto"))))
    monkeypatch.chdir(tmp_path)
    async with running() as made:
        await with_helper(made)
        monkeypatch.setattr(ed25519, "holds", lambda _: pytest.fail("checked in this process"))
        assert await made.valid(mixed()) == mixed()


async def test_process_that_cannot_be_started_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with running() as made:
        for start in (0, 100):
            assert await made.valid(mixed(start)) == mixed(start)
        assert not made._helpers


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_what_a_lost_process_leaves_unanswered_threads_answer(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as made:
        helper = await with_helper(made)
        monkeypatch.setattr(checking, "ANSWER_SECONDS", 0.2)
        helper._process.send_signal(number)
        asked = [mixed(start) for start in range(0, 400, MANY)]
        answers = await asyncio.wait_for(asyncio.gather(*map(made.valid, asked)), WAIT_SECONDS)
        assert answers == asked
        async with asyncio.timeout(WAIT_SECONDS):
            await helper._process.wait()  # and it does not linger


async def test_who_asks_while_threads_answer_for_a_lost_process_is_answered_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on, holds = asyncio.Event(), threading.Event(), ed25519.holds
    loop = asyncio.get_running_loop()

    def slowly(check: Check) -> bool:
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(WAIT_SECONDS)
        return holds(check)

    async with running() as made:
        helper = await with_helper(made)
        monkeypatch.setattr(ed25519, "holds", slowly)
        helper._process.kill()
        first = asyncio.create_task(_valid(made, 0))
        await asyncio.wait_for(begun.wait(), WAIT_SECONDS)
        second = asyncio.create_task(_valid(made, 100))
        await asyncio.sleep(0.05)
        go_on.set()
        assert list(await asyncio.wait_for(asyncio.gather(first, second), 5.0)) == [mixed(0), mixed(100)]


async def test_another_process_takes_the_place_of_a_lost_one_but_not_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as made:
        helper = await with_helper(made)
        helper._process.kill()
        assert await made.valid(mixed()) == mixed()
        async with asyncio.timeout(WAIT_SECONDS):
            while helper in made._helpers:
                await made.valid([good()])
        assert await made.valid(mixed(100)) == mixed(100)
        assert not made._starting  # whatever keeps ending is not started again and again
        monkeypatch.setattr(made, "_not_before", 0.0)
        assert await with_helper(made) is not helper


async def test_process_that_answers_more_or_less_than_it_was_asked_is_put_down() -> None:
    async with running() as made:
        helper = await with_helper(made)
        # Whatever it takes for the answers to this is what it says to the next.
        stray = ed25519.pack([good()])
        helper._in.write(len(stray).to_bytes(4, "big") + stray)
        assert await asyncio.wait_for(made.valid(mixed()), WAIT_SECONDS) == mixed()
        async with asyncio.timeout(WAIT_SECONDS):
            await helper._process.wait()
            while helper in made._helpers:
                await asyncio.sleep(0)


async def test_caller_who_gives_up_harms_nobody() -> None:
    async with running() as made:
        await with_helper(made)
        gone = asyncio.create_task(_valid(made, 0))
        stays = asyncio.create_task(_valid(made, 100))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == mixed(100)
        assert await made.valid(mixed(200)) == mixed(200)


async def _valid(made: Checking, start: int) -> dict[Check, bool]:
    return dict(await made.valid(mixed(start)))


async def test_closing_answers_what_was_asked_and_leaves_no_process() -> None:
    made = Checking(1)
    helper = await with_helper(made)
    asked = [asyncio.create_task(_valid(made, start)) for start in (0, 100, 200)]
    await asyncio.sleep(0)
    await asyncio.wait_for(made.close(), WAIT_SECONDS)
    assert await asyncio.gather(*asked) == [mixed(0), mixed(100), mixed(200)]
    assert helper._process.returncode == 0
    assert await made.valid(mixed(300)) == mixed(300)  # by threads: who comes late is answered too
    await made.close()


async def test_process_that_is_held_while_it_has_nothing_to_do_keeps_no_node_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Checking(1)
    helper = await with_helper(made)
    helper._process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(checking, "ANSWER_SECONDS", 0.2)
    await asyncio.wait_for(made.close(), 5.0)
    assert helper._process.returncode == -signal.SIGKILL
