"""Processes that write one SQLite file take turns, and none waits for ever for one that stands still."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from gateway.store import open_store, sqlite
from gateway.store.alternating import HEAD, TURN, Turns, file_of
from tests.federation import until
from tests.forks import FORKS


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with opened(tmp_path / "node.db") as connection:
        connection.execute("CREATE TABLE told (word TEXT)")
    return tmp_path / "node.db"


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    connect, engine = open_store(path)
    engine.dispose()
    with closing(connect()) as connection:
        yield connection


def write(path: Path, end: Connection) -> None:
    """Write a word at a time, as told; a process of its own."""
    with opened(path) as connection:
        end.send("ready")
        while word := end.recv():
            connection.begin()
            connection.execute("INSERT INTO told VALUES (?)", (word,))
            end.send("written")
            if word == "stand still":
                end.recv()
            connection.end(())


def stand_in_the_way(path: Path, end: Connection) -> None:
    """Take the turn and nothing else; a process of its own."""
    Turns(path).take(60)
    end.send("ready")
    end.recv()


@contextmanager
def beside(work: Any, store: Path) -> Iterator[tuple[Any, Connection]]:
    ours, theirs = FORKS.Pipe()
    process = FORKS.Process(target=work, args=(store, theirs))
    process.start()
    try:
        assert ours.recv() == "ready"
        yield process, ours
    finally:
        process.kill()
        process.join()


def holds(byte: int, store: Path, process: int) -> bool:
    """Whether a process stands at the head of the line, or has its turn (proc_locks(5))."""
    held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    number = str(file_of(store).stat().st_ino)
    return any(
        (each[4], each[5].rpartition(":")[2], each[-2]) == (str(process), number, str(byte))
        for each in held
        if each[1] == "POSIX"
    )


async def alternates(store: Path, connection: Any, process: Any, end: Connection) -> None:
    """Write in turn with the other process, which waits for us each time."""
    connection.begin()
    for number in range(10):
        (told,) = connection.execute("SELECT count(*) FROM told").fetchone()
        end.send(f"word {number}")
        await until(lambda: holds(HEAD, store, process.pid))
        connection.end(())
        connection.begin()
        assert end.poll()
        assert end.recv() == "written"
        assert connection.execute("SELECT count(*) FROM told").fetchone() == (told + 1,)
    connection.abandon()


async def test_who_waits_writes_before_who_has_just_written(store: Path) -> None:
    with opened(store) as connection, beside(write, store) as (process, end):
        await alternates(store, connection, process, end)
    assert not file_of(store).exists()


async def test_somebody_else_who_ends_takes_no_turn_away(store: Path) -> None:
    with opened(store) as connection, beside(write, store) as (process, end):
        await alternates(store, connection, process, end)
        with opened(store) as other:
            other.begin()
            other.end(())
        assert not file_of(store).exists()
        await alternates(store, connection, process, end)


def test_turn_ends_with_its_process(store: Path) -> None:
    with beside(write, store) as (process, end), opened(store) as connection:
        end.send("stand still")
        assert end.recv() == "written"
        process.kill()
        connection.begin()
        assert connection.execute("SELECT count(*) FROM told").fetchone() == (0,)
        connection.end(())


def test_turn_that_never_comes_keeps_nobody_from_writing_and_is_waited_for_once(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    with beside(stand_in_the_way, store), opened(store) as connection:
        connection.begin()
        connection.execute("INSERT INTO told VALUES ('here')")
        connection.end(())
        # In another line, in which nobody stands still.
        connection.begin()
        assert holds(TURN, store, os.getpid())
        connection.execute("INSERT INTO told VALUES ('here')")
        connection.end(())
        assert connection.execute("SELECT count(*) FROM told").fetchone() == (2,)


def test_where_there_can_be_no_turns_writing_goes_on(store: Path) -> None:
    file_of(store).unlink(missing_ok=True)
    file_of(store).mkdir()  # which cannot be opened for writing
    with opened(store) as connection:
        connection.begin()
        connection.execute("INSERT INTO told VALUES ('here')")
        connection.end(())
        assert connection.execute("SELECT count(*) FROM told").fetchone() == (1,)
