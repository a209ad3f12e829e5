"""The write-ahead log is kept short beside the writer, and no commit fails of it."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2 as sqlite
import pytest

from gateway.store import open_store
from gateway.store.sqlite import SqliteConnection, SqliteStore
from gateway.store.wal import PAGES
from tests.federation import until

PAGE = bytes(4000)


@contextmanager
def opened(folder: Path) -> Iterator[Any]:
    connect, engine = open_store(folder / "node.db")
    engine.dispose()
    with closing(connect()) as connection:
        connection.execute("CREATE TABLE pages (page BLOB)")
        yield connection


def commit(connection: Any, pages: int) -> None:
    connection.begin()
    for _ in range(pages):
        connection.execute("INSERT INTO pages VALUES (?)", (PAGE,))
    connection.end(())


def pages_in_log(connection: Any) -> tuple[int, int]:
    """Return how many there are, and how many of these are in their place."""
    ((_, logged, copied),) = connection.ask("PRAGMA wal_checkpoint(NOOP)", ())
    return logged, copied


def thread_of(connection: Any) -> threading.Thread | None:
    thread: threading.Thread | None = connection.checkpointer._thread
    return thread


async def copied(connection: Any) -> int:
    """Wait until all of the log is in its place; return how much that is."""
    logged, _ = pages_in_log(connection)
    await until(lambda: pages_in_log(connection) == (logged, logged))
    return logged


async def copied_the_second_time(connection: Any, refused: threading.Event) -> None:
    commit(connection, PAGES)
    await until(refused.is_set)
    commit(connection, 1)
    await copied(connection)


async def test_log_is_copied_beside_the_writer_and_begun_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as connection:
        commit(connection, PAGES)
        assert await copied(connection) > PAGES  # no commit has begun it anew
        commit(connection, 1)
        assert pages_in_log(connection)[0] < 10


def test_little_is_left_where_it_is(tmp_path: Path) -> None:
    with opened(tmp_path) as connection:
        commit(connection, PAGES // 2)
        assert pages_in_log(connection)[1] == 0
        assert thread_of(connection) is None


def test_connection_that_closes_takes_its_thread_along(tmp_path: Path) -> None:
    with opened(tmp_path) as connection:
        commit(connection, PAGES)
        thread = thread_of(connection)
        assert thread is not None
        assert thread.is_alive()
    assert not thread.is_alive()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("node.db-wal")] == []


def test_writer_that_never_rests_waits_for_a_disk_that_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, slow = SqliteConnection.ask, threading.Event()

    def copy_slowly(connection: Any, text: str, values: Any) -> Any:
        if "PASSIVE" in text and threading.current_thread().name == "checkpointer":
            slow.wait()
        return ask(connection, text, values)

    class Watched:
        """A lock that two want: then the writer waits, and the disk may go on."""

        def __init__(self) -> None:
            self._lock = threading.Lock()

        def __enter__(self) -> None:
            if self._lock.locked():
                slow.set()
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()

    monkeypatch.setattr(SqliteConnection, "ask", copy_slowly)
    monkeypatch.setattr("gateway.store.wal.MOST_PAGES", 2 * PAGES)
    monkeypatch.setattr("gateway.store.sqlite.MOST_PAGES", 2 * PAGES)
    longest = 0
    with opened(tmp_path) as connection:
        monkeypatch.setattr(connection.checkpointer, "_copying", Watched())
        for _ in range(80):
            commit(connection, PAGES // 10)
            longest = max(longest, pages_in_log(connection)[0])
        waited = slow.is_set()
        slow.set()
    assert waited
    assert longest < 2.5 * PAGES


def test_commits_keep_the_log_short_where_nobody_does_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.wal.MOST_PAGES", 2 * PAGES)

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with opened(tmp_path) as connection:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            for _ in range(9):
                commit(connection, PAGES // 2)
                assert pages_in_log(connection)[0] < 3 * PAGES
        commit(connection, PAGES)
        assert thread_of(connection) is not None  # now there can be one


async def test_thread_that_cannot_open_the_store_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, refused = SqliteStore.__call__, threading.Event()

    def refuse_once(store: Any) -> Any:
        if threading.current_thread().name == "checkpointer" and not refused.is_set():
            refused.set()
            raise sqlite.OperationalError("unable to open database file")
        return connect(store)

    monkeypatch.setattr(SqliteStore, "__call__", refuse_once)
    with opened(tmp_path) as connection:
        await copied_the_second_time(connection, refused)


def test_store_that_has_come_to_the_place_of_another_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as connection:
        commit(connection, 1)
        (tmp_path / "away").mkdir()
        for path in list(tmp_path.glob("node.db*")):
            path.rename(tmp_path / "away" / path.name)
        with opened(tmp_path) as other:
            commit(other, 1)
            commit(connection, PAGES)
            assert thread_of(connection) is not None
            connection.checkpointer.close()
            assert pages_in_log(other)[1] == 0
            assert pages_in_log(connection)[1] == 0


def test_commit_that_is_done_does_not_fail_of_the_look_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as connection:
        connection.begin()
        connection.execute("INSERT INTO pages VALUES (?)", (PAGE,))

        def ask(*_: object) -> Any:
            raise sqlite.OperationalError("disk I/O error")

        monkeypatch.setattr(connection, "ask", ask)
        connection.end(())
        monkeypatch.undo()
        assert connection.ask("SELECT count(*) FROM pages", ()) == [(1,)]


async def test_copy_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = threading.Event()
    ask = SqliteConnection.ask

    def fail_once(connection: Any, text: str, values: Any) -> Any:
        if "PASSIVE" in text and not refused.is_set():
            refused.set()
            raise sqlite.OperationalError("disk I/O error")
        return ask(connection, text, values)

    monkeypatch.setattr(SqliteConnection, "ask", fail_once)
    with opened(tmp_path) as connection:
        await copied_the_second_time(connection, refused)
