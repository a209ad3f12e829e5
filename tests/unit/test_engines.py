"""What the two engines must do beside SQL: refuse what is not safe, tell each other's processes what is new."""

import asyncio
import logging
import os
import re
import shutil
import socket
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway import config, steps
from gateway.config import NodeConfig
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.lanes import Lane
from gateway.store import deliveries, foreseen, matters, open_store, postgres, probe, sqlite, transaction
from gateway.store.bells import Bells
from gateway.store.driver import listing
from gateway.store.fsck.books import opened
from gateway.store.postgres import PostgresStore, translated
from tests import postgres as servers
from tests import stores
from tests.federation import until

TLS = "sslmode=verify-full&sslrootcert=system"

# Addresses.


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://node@/node",
        "postgresql://node@/node?host=/run/postgresql",
        "postgresql://node@127.0.0.1,localhost:5433/node",
        f"postgresql://node@db1.example,db2.example/node?{TLS}",
        f"postgres://node@db.example/node?{TLS}&passfile=/etc/rogatory/pgpass&target_session_attrs=primary",
    ],
)
def test_address_that_gives_nothing_away_is_taken(address: str) -> None:
    PostgresStore(address)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://node:secret@/node",
        "postgresql://node@/node?password=secret",
        "postgresql://node@/node?sslpassword=secret",
        "postgresql://node@/node?passfile=pgpass",
        f"postgresql://node@db.example/node?{TLS}&sslkey=db.key",
        "postgresql://node@db.example/node",
        "postgresql://node@db.example/node?sslmode=require",
        "postgresql://node@/node?host=/run/postgresql,db.example",
        "postgresql://node@/node?hostaddr=192.0.2.1",
        "postgresql://node@localhost/node?hostaddr=127.0.0.1,192.0.2.1",
        "postgresql://node@/node?service=elsewhere",
        "postgresql://node@/node?target_session_attrs=any",
        "postgresql://node@/node?target_session_attrs=read-only",
        "postgresql://node@/node?no_such_thing=1",
    ],
)
def test_address_with_a_secret_or_without_proof_of_who_answers_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(Refusal) as caught:
        PostgresStore(address)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "store")
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize(
    ("text", "kind"), [("data/node.db", Path), ("postgresql://node@/node", str), ("postgres://node@/node", str)]
)
def test_store_is_a_file_or_an_address(text: str, kind: type) -> None:
    settings: dict[str, Any] = {
        "node": "ee",
        "listen": "127.0.0.1:1",
        "directory": {"root": "r", "repository": "r", "cache": "c"},
        "certificate": "c",
        "tls_key": "k",
    }
    assert isinstance(NodeConfig.model_validate({**settings, "store": text}).store, kind)


def test_only_one_process_may_have_an_office(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        'node = "ee"\nlisten = "127.0.0.1:1"\nworkers = 2\nstore = "s"\ncertificate = "c"\ntls_key = "k"\n'
        '[directory]\nroot = "r"\nrepository = "r"\ncache = "c"\n[publisher]\nkey = "k"\nrepository = "r"\n'
    )
    with pytest.raises(Refusal) as caught:
        config.load(NodeConfig, file)
    assert caught.value.code is ErrorCode.BAD_CONFIG


def test_placeholders_are_translated_and_nothing_else() -> None:
    assert translated("SELECT a, 'b' FROM t WHERE c = ? AND d IN (?, ?)") == (
        "SELECT a, 'b' FROM t WHERE c = %s AND d IN (%s, %s)"
    )


# Safety.


@pytest.fixture
def address() -> Iterator[str]:
    with servers.database() as made:
        yield made


@pytest.mark.parametrize(
    "setting", ["synchronous_commit=off", "synchronous_commit=local", "synchronous_commit=remote_write"]
)
def test_database_that_commits_before_it_is_safe_is_refused(address: str, setting: str) -> None:
    with pytest.raises(Refusal) as caught:
        open_store(f"{address}&options=-c%20{setting}")
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "store")


def test_database_of_another_encoding_or_age_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    servers.server().sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(Refusal) as caught:
            probe(servers.server().dsn("latin"))
    finally:
        servers.server().sql("DROP DATABASE latin")
    assert caught.value.code is ErrorCode.BAD_CONFIG
    monkeypatch.setattr(postgres, "OLDEST", 990000)
    with pytest.raises(Refusal) as caught:
        probe(address)
    assert caught.value.code is ErrorCode.BAD_CONFIG


@pytest.mark.parametrize(
    "elsewhere", ["options=-c%20search_path%3Dmissing", "options=-c%20role%3Dpg_monitor"], ids=["missing", "not ours"]
)
def test_database_with_no_place_for_our_tables_is_refused_before_a_start(address: str, elsewhere: str) -> None:
    with pytest.raises(Refusal) as caught:
        probe(f"{address}&{elsewhere}")
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "store")


def test_server_that_does_not_write_to_disk_is_refused() -> None:
    careless = servers.Server(fsync="off")
    try:
        careless.start()
        with pytest.raises(Refusal) as caught:
            probe(careless.dsn())
    finally:
        careless.remove()
    assert caught.value.code is ErrorCode.BAD_CONFIG


def test_probe_changes_nothing_and_says_that_there_is_no_standby(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "gateway.store"):
        probe(address)
    assert ["synchronous standby" in record.message for record in caplog.records] == [True]
    assert stores.rows(address, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_database_whose_standby_is_away_is_told_of_before_anybody_waits_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    alone = servers.Server(synchronous_standby_names="ANY 1 (a, b)")
    try:
        alone.start()
        with caplog.at_level(logging.WARNING, "gateway.store"):
            probe(alone.dsn())
    finally:
        alone.remove()
    assert ["no standby follows" in record.message for record in caplog.records] == [True]


def by_index(writer: Any, query: str, values: list[Any]) -> bool:
    plan = writer.execute(f"EXPLAIN {query}", values).fetchall()
    return not [row for (row,) in plan if re.search("Seq Scan|Hash Join|Merge Join", row)]


def test_what_a_writer_asks_of_an_empty_store_is_planned_for_a_full_one(address: str) -> None:
    connect, engine = open_store(address)
    engine.dispose()
    with closing(connect()) as writer:
        below, kinds = transaction._below(steps.DECIDED_BELOW, states=True)
        for query, width, more in (
            (foreseen._ENVELOPES, 2, ()),
            (foreseen._WORDS, 2, ()),
            (matters._CHAINS, 2, ()),
            (matters._AIMED, 1, ()),
            (deliveries._SLOWER, 3, ()),
            (below, 1, kinds),
        ):
            # Small tables that were counted are read whole, unless somebody says otherwise.
            writer.execute("ANALYZE")
            one: Any = {1: [0 if kinds is more else b""], 2: [""] * 2, 3: ["", "", 0]}[width]
            assert by_index(writer, listing(query, 64, width), [*one * 64, *more])
        assert by_index(writer, matters._ABOUT.format("?, ?"), [0, *(1, 2) * 2])


def test_what_a_writer_asks_of_a_full_store_reads_no_table_whole(address: str) -> None:
    connect, engine = open_store(address)
    engine.dispose()
    with closing(connect()) as writer:
        # Each rests on the one before it, and nobody has counted them yet.
        writer.execute(
            "INSERT INTO envelopes"
            " (seq, sender, id, recipient, kind, cited_seq, case_id, recorded_at_us, fingerprint, header, proof)"
            " SELECT n, 'ee/a', n, '', 0, nullif(n - 1, 0), '', 1, '', '', '' FROM generate_series(1, 20000) n"
        )
        values = [value for n in range(64) for value in ("ee/a", str(n * 300 + 100))]
        plan = carried_out(writer, listing(matters._CHAINS, 64, 2), values)
    links = 64 * matters.MAX_CHAIN
    assert plan["Actual Rows"] == links
    assert max(map(looked_at, parts_of(plan))) <= links


def test_whoever_looks_through_a_whole_store_may_read_tables_whole(address: str) -> None:
    open_store(address)[1].dispose()
    with opened(address) as connection:
        ways = [f"current_setting('enable_{way}')" for way in ("seqscan", "hashjoin", "mergejoin")]
        assert connection.execute(f"SELECT {', '.join(ways)}").fetchall() == [("on", "on", "on")]


@pytest.mark.parametrize("before", ["nothing was there", "all was delivered"])
def test_frame_for_a_node_that_was_away_is_leased_without_a_look_at_all_that_waits_for_it(
    address: str, before: str
) -> None:
    def queue(state: str, first: int, last: int) -> None:
        writer.execute(
            "INSERT INTO deliveries (envelope_seq, destination, case_id, state, attempts, next_attempt_at_us,"
            " lease_holder, lease_until_us, last_error)"
            f" SELECT 1, 'de/node', n, '{state}', 0, 1, '', 0, '' FROM generate_series({first}, {last}) n"
        )

    connect, engine = open_store(address)
    engine.dispose()
    with closing(connect()) as writer:
        writer.execute(
            "INSERT INTO envelopes (seq, sender, id, recipient, kind, case_id, recorded_at_us, fingerprint, header,"
            " proof) VALUES (1, 'ee/a', '1', '', 0, '', 1, '', '', '')"
        )
        if before == "all was delivered":
            queue("delivered", 1, 5000)
            writer.execute("ANALYZE")
        queue("queued", 5001, 10000)
        values = ["de/node", 2, 2, 2, "one"]
        for query, more in (
            (deliveries._LEASE, ["de/node", 64]),
            (deliveries._LEASE_OF_LANE, [Lane.ORDINARY.value, 64]),
        ):
            plan = carried_out(writer, query, [*values, *more])
            assert plan["Actual Rows"] == 64
            assert max(map(looked_at, parts_of(plan))) <= 64


def carried_out(writer: Any, query: str, values: list[Any]) -> dict[str, Any]:
    """Carry out a question; return how that was done."""
    ((told,),) = writer.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", values).fetchall()
    plan: dict[str, Any] = told[0]["Plan"]
    return plan


def looked_at(part: dict[str, Any]) -> float:
    """Return how many rows a part of a plan had in hand, in all its turns, be it to throw them away."""
    removed = sum(rows for what, rows in part.items() if what.startswith("Rows Removed"))
    return float((part["Actual Rows"] + removed) * part["Actual Loops"])


def parts_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from parts_of(part)


def test_database_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(Failure) as caught:
        probe(stores.missing())
    assert caught.value.code is ErrorCode.STORE


def test_only_one_writes_at_a_time(address: str) -> None:
    store, engine = open_store(address)
    engine.dispose()
    with closing(store()) as one, closing(store()) as other:
        one.begin()
        other.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.begin()
        other.abandon()
        one.end(())
        other.begin()
        other.abandon()


def waits_for_a_standby(other: psycopg.Connection[Any], pid: int) -> None:
    waits = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'"
    while other.execute(waits, (pid,)).fetchone() is None:
        time.sleep(0.01)


def cancel_when_it_waits(other: psycopg.Connection[Any], pid: int) -> None:
    waits_for_a_standby(other, pid)
    other.execute("SELECT pg_cancel_backend(%s)", (pid,))


def test_commit_whose_wait_for_the_standby_somebody_has_ended_is_no_commit_nor_told_of_by_the_next() -> None:
    """PostgreSQL says COMMIT and a warning; it may be on one machine alone, and whoever looks sees it all the same."""
    pair = servers.Pair()
    try:
        store, engine = open_store(pair.primary.dsn())
        engine.dispose()
        pair.standby.kill()
        for statement in ("CREATE TABLE more (n integer)", "SELECT * FROM more"):
            with closing(store()) as connection, pair.primary.connect() as other:
                pid = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
                connection.begin()
                connection.execute(statement)
                canceller = threading.Thread(target=cancel_when_it_waits, args=(other, pid))
                canceller.start()
                with pytest.raises(psycopg.OperationalError):
                    connection.end(())
                canceller.join()
    finally:
        pair.remove()


def test_who_merely_looks_waits_for_no_standby_and_is_shown_no_commit_that_still_waits_for_one() -> None:
    pair = servers.Pair()
    try:
        store, engine = open_store(pair.primary.dsn())
        with closing(store()) as connection, pair.primary.connect() as other:
            pid = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
            pair.standby.kill()
            connection.begin()
            connection.execute("CREATE TABLE more (n integer)")

            def shown() -> bool:
                with engine.connect() as looking:
                    return bool(looking.exec_driver_sql("SELECT to_regclass('more') IS NOT NULL").scalar())

            def commits() -> None:
                with pytest.raises(psycopg.OperationalError):
                    connection.end(())

            committing = threading.Thread(target=commits)
            committing.start()
            waits_for_a_standby(other, pid)
            assert not shown()
            other.execute("SELECT pg_cancel_backend(%s)", (pid,))
            committing.join()
            assert shown()
        engine.dispose()
    finally:
        pair.remove()


# Bells.


@asynccontextmanager
async def listening(bells: Any) -> AsyncIterator[list[set[str] | None]]:
    """Listen; yield what is heard, once the first word that anything may be new has come."""
    heard: list[set[str] | None] = []
    task = asyncio.create_task(bells.listen(heard.append))
    try:
        await until(lambda: heard == [None])
        heard.clear()
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("engine", stores.ENGINES)
async def test_each_process_hears_what_others_commit_and_not_itself(tmp_path: Path, engine: str) -> None:
    with stores.using(engine):
        place = stores.place(tmp_path / "node.db")
        opened = [open_store(place) for _ in range(3)]
        for _, each in opened:
            each.dispose()
        one, two, three = (store for store, _ in opened)
        async with listening(one) as by_one, listening(two) as by_two, listening(three) as by_three:
            with closing(one()) as connection:
                connection.begin()
                connection.end({"de/node", "ee/court"})
                connection.begin()
                connection.end(())
                connection.begin()
                connection.end({f"ee/participant-{number}" for number in range(1000)})
            await until(lambda: len(by_two) == len(by_three) == 2)
            assert by_two == by_three == [{"de/node", "ee/court"}, None]
            assert by_one == []


async def test_listener_that_was_cut_off_listens_again_and_says_that_anything_may_be_new(address: str) -> None:
    (store, engine), (other, another) = open_store(address), open_store(address)
    engine.dispose()
    another.dispose()
    async with listening(store) as heard:
        await asyncio.to_thread(
            servers.server().sql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
        await until(lambda: heard == [None])
        with closing(other()) as connection:
            connection.begin()
            connection.end({"de/node"})
        await until(lambda: heard == [None, {"de/node"}])


@pytest.mark.parametrize("said", ["NOTIFY rogatory_public", "NOTIFY rogatory_public, ' '"])
async def test_whatever_others_in_the_database_say_ends_no_listener(address: str, said: str) -> None:
    (store, engine), (other, another) = open_store(address), open_store(address)
    engine.dispose()
    another.dispose()
    async with listening(store) as heard:
        with closing(other()) as connection:
            connection.execute(said)
            connection.begin()
            connection.end({"de/node"})
        await until(lambda: heard == [None, {"de/node"}])


async def test_process_that_does_not_listen_delays_nobody_and_hears_that_anything_may_be_new(tmp_path: Path) -> None:
    one, two = Bells(tmp_path / "node.db"), Bells(tmp_path / "node.db")
    async with listening(two) as heard:
        # It has no time to listen, and its socket holds only so many.
        for number in range(2000):
            one.ring({f"de/{number}"})
        await until(lambda: bool(heard))
        one.ring(())
        await until(lambda: heard[-1] is None)


async def test_process_that_died_is_forgotten(tmp_path: Path) -> None:
    one, two = Bells(tmp_path / "node.db"), Bells(tmp_path / "node.db")
    async with listening(two):
        dead = tmp_path / "node.db-bells" / "dead"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
            bell.bind(str(dead))
        one.ring({"de/node"})
        assert not await asyncio.to_thread(dead.exists)


def test_commit_does_not_fail_of_a_process_that_leaves_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, engine = open_store(tmp_path / "node.db")
    engine.dispose()
    listdir, folder = os.listdir, tmp_path / "node.db-bells"

    def leaving(place: Path) -> list[str]:
        there = listdir(place)
        if place == folder:
            shutil.rmtree(folder)  # as the last one does who listens
        return there

    monkeypatch.setattr(os, "listdir", leaving)
    folder.mkdir()
    (folder / "other").touch()
    with closing(connect()) as connection:
        connection.begin()
        connection.execute("UPDATE programs SET oldest = oldest")
        connection.end({"de/node"})
        assert not folder.exists()


def test_connection_to_a_file_opens_while_somebody_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever would have to wait for the writer is told so at once.
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 0)
    connect, engine = open_store(tmp_path / "node.db")
    engine.dispose()
    with closing(connect()) as writing:
        writing.begin()
        with closing(connect()) as reading:
            assert reading.execute("SELECT count(*) FROM envelopes").fetchone() == (0,)
        writing.abandon()


def test_closed_connection_to_a_file_is_gone_from_memory(tmp_path: Path) -> None:
    connect, engine = open_store(tmp_path / "node.db")
    engine.dispose()
    with closing(connect()) as opened:
        opened.ask("SELECT 1", ())
    there = weakref.ref(opened)
    del opened
    assert there() is None
