"""A store moved from one engine to the other: nothing is forgotten, one store serves, and a death changes neither."""

import asyncio
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import BigInteger, Integer, LargeBinary, Table

from gateway import rules
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.store import backup, connection, driver, moving, open_store, open_there, restored
from gateway.store.moved import Mark, Word
from gateway.store.postgres import PostgresConnection
from gateway.store.schema import metadata
from gateway.store.sqlite import SqliteConnection
from tests import postgres, stores
from tests.errors import raises
from tests.forks import FORKS
from tests.stores import Place

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
ROWS: Final = 70
"""Of each table: more than are read at once."""
TABLES: Final = [table for table in metadata.sorted_tables if table.name != "programs"]
OLDEST: Final = "SELECT oldest FROM programs"


def untold(_: int, __: int) -> None:
    """Tell nobody how far it is."""


def settings(store: Place) -> Any:
    """Return what a move wants of a node's settings."""
    return SimpleNamespace(store=store, node="ee")


def move(store: Place, to: Place, watch: Callable[[str], None] = moving.untold) -> moving.Moved:
    return moving.move(settings(store), to, None, NOW, untold, watch)


@pytest.fixture(params=stores.ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A node's store, new; the place of `to` is of the other engine."""
    with stores.using(request.param):
        yield stores.place(tmp_path / "store.db")


@pytest.fixture
def to(store: Place, tmp_path: Path) -> Iterator[Place]:
    if not isinstance(store, Path):
        yield tmp_path / "moved.db"
        return
    with postgres.database() as address:
        yield address


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = stores.place(tmp_path / "file.db")
    assert isinstance(place, Path)
    return place


def said(place: Place) -> str:
    ((oldest,),) = stores.rows(place, OLDEST)
    return str(oldest)


def serves(place: Place) -> bool:
    """Whether a node may serve from a store."""
    try:
        connect, engine = open_store(place)
    except Refusal as error:
        if error.code is not ErrorCode.BAD_CONFIG:
            raise
        return False
    engine.dispose()
    assert restored.take_up(connect, 1, told=False) is None
    return True


def holds_nothing(place: Place) -> bool:
    if isinstance(place, Path):
        return not list(place.parent.glob(f"{place.name}*"))
    return stores.rows(place, "SELECT 1 FROM pg_tables WHERE schemaname = current_schema()") == []


# Every table and column.

OF_CHECKS: Final[dict[str, Callable[[int], dict[str, object]]]] = {
    "log_entries": lambda n: {"envelope_seq": n, "receipt_seq": None} if n % 2 else {"envelope_seq": None},
    "deliveries": lambda n: (
        {"state": "queued"}
        | ({"envelope_seq": n, "receipt_seq": None} if n % 2 else {"envelope_seq": None, "receipt_seq": n})
    ),
    "alerts": lambda n: {"word": "alert.raised", "urgent": n % 2},
    "action_ends": lambda n: {"state": "done", "code": 0} if n % 2 else {"state": "failed"},
    "moves": lambda _: {"state": next(iter(rules.State)).value},
    "clocks": lambda n: (
        {"change": "started", "due_at_us": 1 << 60}
        | (
            {"stage": "met", "ended_at_us": n, "next_at_us": None, "paused_at_us": None},
            {"stage": "running", "ended_at_us": None, "next_at_us": n, "paused_at_us": None},
            {"stage": "paused", "ended_at_us": None, "next_at_us": n, "paused_at_us": n},
        )[n % 3]
    ),
    "uploads": lambda n: {"whole": n % 2, "received": n, "size": n},
    "freight": lambda n: {"carried": n % 2},
    "applications": lambda n: (
        {"state": "approved", "decided_at_us": n}
        if n % 2
        else {"state": "pending", "decided_at_us": None, "certificate": None}
    ),
}
"""What the constraints of a table want of its row of that number, beside what follows from its columns."""


def value(table: Table, name: str, number: int) -> object:
    """Return what a column has in a row: what is hard to carry, and refers to the row of that number."""
    column = table.columns[name]
    for key in column.foreign_keys:
        return value(key.column.table, key.column.name, number)
    if column.nullable and number % 10 == 0:
        return None
    match column.type:
        case BigInteger():
            return number if column.primary_key else (1 << 62) + number
        case Integer():
            return number if column.primary_key else (1 << 31) - number
        case LargeBinary():
            return bytes(range(256)) + f"{table.name} {name} {number}".encode()
    return f"{table.name} {name} {number} ÄЖ漢😀'\"\\ \t\n%s ?"


def row(table: Table, number: int) -> dict[str, object]:
    made = {column.name: value(table, column.name, number) for column in table.columns}
    wanted = OF_CHECKS.get(table.name)
    return made if wanted is None else made | wanted(number)


def fill(place: Place) -> None:
    with stores.opened(place) as opened:
        opened.begin()
        for table in TABLES:
            names = tuple(table.columns.keys())
            opened.insert(table.name, names, [[*row(table, n).values()] for n in range(1, ROWS + 1)])
        opened.end(())


def all_of(place: Place) -> dict[str, tuple[list[str], list[str]]]:
    """Return what a store holds, by its own word: names and rows of each table, in no order."""
    found = {}
    with closing(stores.connect(place)) as opened:
        catalogue = (
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            if isinstance(place, Path)
            else "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        )
        for (name,) in opened.execute(catalogue).fetchall():
            cursor = opened.execute(f"SELECT * FROM {name}")
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, each, strict=True)) for each in cursor.fetchall()]
            found[name] = sorted(names), sorted(repr(sorted(each.items())) for each in rows)
    return found


def test_every_row_of_every_table_and_column_is_moved(store: Place, to: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # They keep no promise: they are there to be carried.
    monkeypatch.setattr(backup, "check_kept", lambda *_: [])
    fill(store)
    before = all_of(store)
    assert {*before} == {*metadata.tables, "alembic_version"}
    for table in TABLES:
        rows = stores.rows(store, f"SELECT {', '.join(table.columns.keys())} FROM {table.name}")
        assert len(rows) == ROWS
        assert [name for name, *values in zip(table.columns.keys(), *rows, strict=True) if not any(values)] == []
    done = move(store, to)
    assert all_of(to) == before
    assert done.rows == {table.name: ROWS for table in TABLES} | {"programs": 1}


def test_rows_are_numbered_on_after_the_last_one(store: Place, to: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "check_kept", lambda *_: [])
    fill(store)
    move(store, to)
    with stores.opened(to) as opened:
        opened.begin()
        for table in TABLES:
            values = row(table, ROWS + 1)
            numbered = table.autoincrement_column
            if numbered is not None:
                del values[numbered.name]
            opened.insert(table.name, tuple(values), [[*values.values()]])
            if numbered is not None:
                (last,) = opened.execute(f"SELECT max({numbered.name}) FROM {table.name}").fetchone()
                assert last == ROWS + 1, table.name
        opened.abandon()


# Who serves.


def test_new_store_serves_and_the_old_one_says_where_it_is(store: Place, to: Place) -> None:
    said_before = said(store)
    move(store, to)
    assert said(to) == said_before
    if isinstance(to, Path):
        assert stat.S_IMODE(to.stat().st_mode) == 0o600
    for opening in (open_store, open_there):
        with raises(ErrorCode.BAD_CONFIG) as caught:
            opening(store)
        assert str(to) in caught.value.detail
    opening(to)[1].dispose()


def test_program_that_has_the_old_store_open_writes_nothing_more_of_whatever_version(
    store: Place, to: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, engine = open_store(store)
    engine.dispose()
    move(store, to)
    with raises(ErrorCode.STORE):
        restored.take_up(connect, 1, told=False)
    with closing(connect()) as opened:
        for head in ("0007", driver.HEAD, "9999"):
            monkeypatch.setattr(driver, "HEAD", head)
            opened.begin()
            with raises(ErrorCode.STORE):
                opened.check()
            opened.abandon()


def test_store_that_somebody_has_open_is_not_moved(file: Path) -> None:
    connect, engine = open_store(file)
    engine.dispose()
    with closing(connect()), postgres.database() as address:
        with raises(ErrorCode.STORE):
            move(file, address)
        assert holds_nothing(address)
    assert serves(file)


async def test_database_that_a_process_serves_from_is_not_moved(tmp_path: Path) -> None:
    with stores.using("postgres"):
        store = stores.place(tmp_path / "none")
        opened, engine = open_store(store)
        engine.dispose()
        heard = asyncio.Event()
        listening = asyncio.create_task(opened.listen(lambda _: heard.set()))
        await heard.wait()
        with raises(ErrorCode.STORE):
            await asyncio.to_thread(move, store, tmp_path / "moved.db")
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        assert holds_nothing(tmp_path / "moved.db")
        await asyncio.to_thread(move, store, tmp_path / "moved.db")


def test_nobody_writes_into_either_store_while_one_becomes_the_other(
    store: Place, to: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, engine = open_store(store)
    engine.dispose()
    seen = []

    def begin() -> None:
        with closing(connect()) as opened:
            if isinstance(store, str):
                opened.execute("SET lock_timeout = '50ms'")
            opened.begin()

    def look(point: str) -> None:
        seen.append(point)
        if point in {"filled", "checked"}:
            with raises(ErrorCode.BAD_CONFIG):
                open_store(to)
            # A node that starts now, or one that was not seen.
            with pytest.raises(driver.TROUBLE):
                begin()

    monkeypatch.setattr("gateway.store.sqlite.BUSY_TIMEOUT_MS", 0)
    move(store, to, look)
    assert tuple(seen) == moving.TOLD


# What is refused, and leaves all as it was.


@pytest.mark.parametrize("there", ["a table", "a store"])
def test_place_where_something_is_stays_as_it_was(store: Place, to: Place, there: str) -> None:
    if there == "a store":
        open_store(to)[1].dispose()
    else:
        stores.rows(to, "CREATE TABLE theirs (n INTEGER)")
    before = all_of(to)
    with raises(ErrorCode.BAD_CONFIG):
        move(store, to)
    assert all_of(to) == before
    assert serves(store)


def test_place_that_somebody_takes_after_it_was_looked_at_stays_as_he_made_it(
    store: Place, to: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_empty_draft", lambda _, at: open_store(at)[1].dispose())
    with raises(ErrorCode.BAD_CONFIG):
        move(store, to)
    assert serves(to)
    assert serves(store)


def test_file_that_is_no_store_is_left_alone(file: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"a letter" * 1000)
    with raises(ErrorCode.STORE):
        move(file, theirs)
    assert theirs.read_bytes() == b"a letter" * 1000


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://node@db.example/node",
        "postgresql://node:secret@/node",
        "postgresql://node@/node?passfile=pgpass",
        "postgresql://node@/node?service=node",
    ],
)
def test_address_that_a_node_would_refuse_is_refused(file: Path, address: str) -> None:
    with raises(ErrorCode.BAD_CONFIG) as caught:
        move(file, address)
    assert "secret" not in str(caught.value)
    assert serves(file)


def test_place_that_cannot_be_reached_is_a_failure(file: Path) -> None:
    with raises(ErrorCode.STORE):
        move(file, stores.missing())
    assert serves(file)


@pytest.mark.parametrize("what", ["a server", "a file"])
def test_store_that_cannot_be_read_is_a_failure(tmp_path: Path, what: str) -> None:
    damaged = tmp_path / "store.db"
    damaged.write_bytes(b"a letter" * 1000)
    with raises(ErrorCode.STORE):
        move(stores.missing() if what == "a server" else damaged, tmp_path / "moved.db")
    assert holds_nothing(tmp_path / "moved.db")


def test_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with raises(ErrorCode.BAD_CONFIG):
        move(tmp_path / "store.db", tmp_path / "moved.db")
    assert list(tmp_path.iterdir()) == []


def test_store_is_not_moved_to_itself(store: Place) -> None:
    with raises(ErrorCode.BAD_CONFIG):
        move(store, store.parent / "." / store.name if isinstance(store, Path) else store)
    assert serves(store)


@pytest.mark.parametrize("version", ["0006", "0014", "9999"])
def test_store_of_another_version_is_not_moved(store: Place, to: Place, version: str) -> None:
    stores.rows(store, "UPDATE alembic_version SET version_num = ?", version)
    if version < moving.MARKED_SINCE:
        stores.rows(store, "DROP TABLE programs")
    with raises(ErrorCode.BAD_CONFIG):
        move(store, to)
    assert holds_nothing(to)


def test_store_that_breaks_a_promise_is_not_moved(store: Place, to: Place) -> None:
    stores.rows(store, "INSERT INTO restorations VALUES (1, 2, 1, 5, ?, 3)", bytes(32))
    before = all_of(store)
    with raises(ErrorCode.BAD_INPUT):
        move(store, to)
    assert holds_nothing(to)
    assert all_of(store) == before
    assert serves(store)


@pytest.mark.parametrize("wrong", ["'text'", "1.5", "x'00'", str(1 << 31), "-3000000000"])
def test_what_only_one_engine_takes_is_refused(file: Path, wrong: str) -> None:
    with postgres.database() as address:
        stores.rows(file, f"INSERT INTO channels VALUES ('mail', 0, {wrong}, 0)")
        with raises(ErrorCode.BAD_INPUT):
            move(file, address)
        assert holds_nothing(address)
    assert serves(file)


def test_row_that_the_other_place_does_not_take_leaves_nothing_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.database() as address:
        stores.rows(file, "INSERT INTO alerts VALUES (1, 1, 'alert.raised', 'a', 'b', 'c', 1, 0)")
        monkeypatch.setattr(moving, "_checked", lambda _, rows: ((*each[:-1], 7) for each in rows))
        with raises(ErrorCode.BAD_INPUT):
            move(file, address)
        assert holds_nothing(address)
    assert serves(file)


def test_row_that_did_not_come_to_be_there_as_it_was_is_found(
    store: Place, to: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.rows(store, "INSERT INTO channels VALUES ('mail', 5, 0, 0)")

    def change(point: str) -> None:
        if point == "filled":
            stores.rows(to, "UPDATE channels SET told_seq = 6")

    with raises(ErrorCode.STORE):
        move(store, to, change)
    assert holds_nothing(to)
    assert serves(store)


def test_place_that_somebody_takes_while_it_is_checked_does_not_become_the_nodes(
    store: Place, to: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "check_kept", lambda *_: stores.rows(to, "UPDATE programs SET oldest = '0007'"))
    with raises(ErrorCode.BAD_CONFIG):
        move(store, to)
    assert serves(store)


def test_rows_that_no_standby_has_are_not_moved(file: Path) -> None:
    """Somebody ends each wait for the standby, and PostgreSQL calls committed what one machine alone has."""
    pair, over = postgres.Pair(), threading.Event()
    waits = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

    def cancel() -> None:
        with pair.primary.connect() as other:
            while not over.wait(0.01):
                other.execute(waits)

    canceller = threading.Thread(target=cancel)
    try:
        pair.standby.kill()
        canceller.start()
        with raises(ErrorCode.STORE):
            move(file, pair.primary.dsn())
        assert holds_nothing(pair.primary.dsn())
    finally:
        over.set()
        canceller.join()
        pair.remove()
    assert serves(file)


def test_text_with_a_nul_is_kept_as_a_node_keeps_it(file: Path) -> None:
    """PostgreSQL has none; what others say is written so by every node, whatever its engine."""
    with postgres.database() as address:
        stores.rows(file, "INSERT INTO standing VALUES ('destination.dead', ?, 1, 1, 1, 0)", "de\0node")
        move(file, address)
        assert stores.rows(address, "SELECT subject FROM standing") == [(r"de\x00node",)]


# What a death leaves.


def die_at(store: Place, to: Place, point: str) -> None:
    """Move a store and send yourself SIGKILL at a point."""

    def watch(passed: str) -> None:
        if passed == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def progress(_: int, __: int) -> None:
        watch("some rows")

    moving.TOLD_EVERY = 1  # type: ignore[misc]  # in a process of its own
    moving.move(settings(store), to, None, NOW, progress, watch)


def killed_at(store: Place, to: Place, point: str) -> None:
    process = FORKS.Process(target=die_at, args=(store, to, point))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("point", ["some rows", *moving.TOLD])
def test_whoever_dies_on_the_way_leaves_one_store_that_serves_and_the_same_command_finishes_it(
    store: Place, to: Place, point: str
) -> None:
    fill_lawfully(store)
    before = all_of(store)
    killed_at(store, to, point)
    assert serves(store) == (point not in {"marked", "moved"})
    if point == "some rows":
        assert connection.said_by(to) is None
    else:
        assert serves(to) == (point == "moved")
    move(store, to)
    assert (serves(store), serves(to)) == (False, True)
    assert all_of(to) == before
    # And once more, for whoever did not hear.
    move(store, to)
    assert (serves(store), serves(to)) == (False, True)
    assert all_of(to) == before


def fill_lawfully(place: Place) -> None:
    for number in range(50):
        stores.rows(place, "INSERT INTO channels VALUES (?, 0, 0, 0)", f"channel {number}")


@pytest.mark.parametrize("point", ["filled", "marked"])
def test_move_that_died_is_finished_also_by_who_has_changed_the_settings(store: Place, to: Place, point: str) -> None:
    fill_lawfully(store)
    before = all_of(store)
    killed_at(store, to, point)
    move(to, to)
    assert (serves(store), serves(to)) == (False, True)
    assert all_of(to) == before


def test_move_that_died_is_finished_by_a_newer_program(
    store: Place, to: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(store, to, "marked")
    with monkeypatch.context() as patched:
        patched.setattr(moving, "HEAD", "9999")
        move(store, to)
    assert serves(to)


def test_what_the_node_kept_after_a_move_that_died_is_moved_too(store: Place, to: Place) -> None:
    killed_at(store, to, "filled")
    fill_lawfully(store)
    before = all_of(store)
    move(store, to)
    assert all_of(to) == before


LEAF: Final = "INSERT INTO log_entries VALUES (?, ?, NULL, ?)"


def log(place: Place, leaf: bytes) -> None:
    """Have an entry in a store's log, about which nobody asks here."""
    (size,) = stores.rows(place, "SELECT count(*) FROM receipts")[0]
    words = (size + 1, "ee/a", str(size), 1, "ee/node", "ee/a", 1, leaf, b"", b"")
    stores.rows(place, "INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *words)
    stores.rows(place, LEAF, size + 1, leaf, size + 1)


@pytest.mark.parametrize("place", ["older", "other"])
def test_store_in_the_place_of_the_one_that_was_moved_takes_the_new_one_for_no_draft(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Somebody puts back a copy of the old store, when the move has died between its last two steps."""
    monkeypatch.setattr(backup, "check_kept", lambda *_: [])
    older = file.read_bytes()
    log(file, bytes(32))
    with postgres.database() as address:

        def end(point: str) -> None:
            if point == "marked":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            move(file, address, end)
        before = all_of(address)
        copy = tmp_path / "copy.db"
        copy.write_bytes(older)
        if place == "other":
            log(copy, bytes([1] * 32))
            log(copy, bytes(32))
        with raises(ErrorCode.BAD_CONFIG):
            move(copy, address)
        assert all_of(address) == before
        move(file, address)
        assert serves(address)


def test_store_that_was_moved_is_moved_to_no_other_place(store: Place, to: Place, tmp_path: Path) -> None:
    move(store, to)
    third = tmp_path / "third.db"
    with raises(ErrorCode.BAD_CONFIG):
        move(store, third)
    assert holds_nothing(third)
    open_store(third)[1].dispose()
    with raises(ErrorCode.BAD_CONFIG):
        move(store, third)


def test_store_that_is_arriving_is_not_moved_on(store: Place, to: Place, tmp_path: Path) -> None:
    killed_at(store, to, "marked")
    for place in (tmp_path / "third.db", store):
        with raises(ErrorCode.BAD_CONFIG):
            move(to, place)
    assert holds_nothing(tmp_path / "third.db")


def test_commit_of_which_nobody_knows_undoes_nothing(store: Place, to: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is lost with the answer to COMMIT: the old store may be the node's no more."""
    kind = SqliteConnection if isinstance(store, Path) else PostgresConnection
    end = kind.end

    def lost(opened: Any, wake: Any) -> None:
        end(opened, wake)
        raise psycopg.OperationalError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(kind, "end", lost)
        with pytest.raises(Failure):
            move(store, to)
    assert Mark.read(said(to)) is not None
    move(store, to)
    assert (serves(store), serves(to)) == (False, True)


# The mark.


def test_mark_is_read_as_it_was_written_and_no_version_is_one() -> None:
    for word in Word:
        mark = Mark(word, "ab12", "0007", 1_800_000_000_000_000, "/a place/of two words")
        assert Mark.read(str(mark)) == mark
        assert str(mark) > "9999"
    for version in (None, "", "0007", "moved", "moved a b c d e"[:9]):
        assert Mark.read(version) is None
