"""`rogatory keys` at a real terminal, where a person types the passphrase."""

import asyncio
import os
import pty
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from gateway import keys
from gateway.hidden import Passphrase
from tests.processes import START_SECONDS, environment, finished

pytestmark = pytest.mark.integration

TYPED = "correct horse battery staple"
SEED = bytes(range(32))


async def until(master: int, shown: bytearray, done: Callable[[], bool]) -> None:
    """Read what the terminal shows until `done`, or its other end is closed."""
    while not done():
        try:
            more = await asyncio.to_thread(os.read, master, 4096)
        except OSError:  # how Linux says that nobody holds the other end any more
            return
        if not more:
            return
        shown += more


async def at_terminal(answers: list[str], *arguments: str) -> tuple[int, str]:
    """Run the command line at a terminal of its own; type each answer when its question is there."""
    master, slave = pty.openpty()
    program = [sys.executable, "-m", "gateway.cli", *arguments]
    process = await asyncio.create_subprocess_exec(
        *program, stdin=slave, stdout=slave, stderr=slave, env=environment(), start_new_session=True
    )
    os.close(slave)
    shown = bytearray()
    async with asyncio.timeout(START_SECONDS):
        for answer in answers:
            seen = len(shown)
            # Only then: what comes before the echo is off would be shown.
            await until(master, shown, partial(lambda start: b": " in shown[start:], seen))
            os.write(master, answer.encode() + b"\n")
        await until(master, shown, lambda: False)
        status = await process.wait()
    os.close(master)
    return status, shown.decode()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "signing.key"
    keys.save_signing_key(path, SigningKey(SEED))
    return path


async def test_a_passphrase_is_typed_twice_and_never_shown(file: Path) -> None:
    status, shown = await at_terminal([TYPED, TYPED], "keys", "encrypt", str(file))
    assert status == 0, shown
    assert TYPED not in shown
    assert bytes(keys.load_signing_key(file, Passphrase(TYPED))) == SEED
    assert [*contents(file.parent)] == [file.name]


async def test_a_mistyped_passphrase_leaves_the_key_as_it_was(file: Path) -> None:
    before = contents(file.parent)
    status, shown = await at_terminal([TYPED, TYPED + "x"], "keys", "encrypt", str(file))
    assert status == 2, shown
    assert contents(file.parent) == before


async def test_without_a_terminal_nobody_is_asked(file: Path) -> None:
    status, _, errors = await finished("keys", "encrypt", str(file))
    assert (status, errors[:15]) == (2, "error BAD_INPUT")
