import asyncio
import re
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pysqlite3.dbapi2 as sqlite
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import operations_pb2 as operations
from sqlalchemy import Connection, Engine, create_engine, event

from gateway import deliver, log_entry, statement
from gateway.clock import to_micros
from gateway.codec import MAX_DETAIL_CHARS
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import Address
from gateway.lifecycle import Event, State
from gateway.receipt import MAX_REPEATS, Scribe
from gateway.record import recorded_before
from gateway.store import (
    Leased,
    Pending,
    Reader,
    Transaction,
    Writer,
    connection,
    deliveries,
    driver,
    open_store,
    open_there,
    schema,
    writer,
)
from gateway.store.driver import NOT_TAKEN
from gateway.store.reader import MAX_ROWS_A_TRACE
from gateway.store.registry import RegistryView, StoredDecision
from gateway.store.sqlite import SAFE_SQLITE, SqliteConnection
from tests import stores, world
from tests.errors import raises
from tests.forks import FORKS
from tests.world import DIRECTORY, FOREIGN_CENTRAL, NOW, Sent

BOX = FOREIGN_CENTRAL
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=stores.ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[stores.Place]:
    """Where a store is or may be made; each test that asks for it runs on both engines."""
    with stores.using(request.param):
        yield stores.place(tmp_path / "store.db")


@pytest.fixture(params=stores.ENGINES)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[stores.Place]:
    """Where nothing is yet."""
    with stores.using(request.param):
        yield stores.fresh(tmp_path / "store.db")


@pytest.fixture
def sql(place: stores.Place) -> Iterator[Any]:
    with stores.opened(place) as opened:
        yield opened


@pytest.fixture
def file_sql(path: Path) -> Iterator[Any]:
    with stores.opened(path) as opened:
        yield opened


def count(opened: Any, table: str) -> int:
    return int(opened.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def record(txn: Transaction, sent: Sent, destination: str = BOX, **delivery: Any) -> Pending:
    """Do what the path does with a lawful envelope."""
    seq = txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
    txn.deliveries.add(destination, envelope_seq=seq, case_id=sent.header.case_id, **delivery)
    return txn.state(world.say(pb.MILESTONE_ACCEPTED, sent))


def issue(said: Any) -> list[pb.Receipt]:
    return statement.issue(said, Address.of_node("ee"), world.signing_key("ee/node"))


def answer(number: int) -> Callable[[Transaction], int]:
    return lambda txn: number


class Running:
    """A writer on a real loop, and what it told."""

    def __init__(self, place: stores.Place, sign: Callable[[Any], list[pb.Receipt]], max_waiting: int) -> None:
        connect, engine = open_store(place)
        engine.dispose()
        self.commits = 0
        self.woken: list[set[str]] = []
        self.writer = Writer(
            connect,
            lambda: sign,
            issuer="ee/node",
            clock=lambda: NOW,
            max_waiting=max_waiting,
            on_commit=lambda wake: self.woken.append(set(wake)),
            watch=self._watch,
        )
        self.writer.start()

    def _watch(self, event: str) -> None:
        self.commits += event == "committed"

    async def write(self, job: Callable[[Transaction], Any], weight: int = 1) -> Any:
        return await asyncio.wait_for(self.writer.write(job, weight), 60)

    async def together(self, *jobs: Callable[[Transaction], Any], weight: int = 1) -> list[Any]:
        """Have jobs wait until all of them make one batch; return their results and errors."""
        holding, go = threading.Event(), threading.Event()

        def hold(_: Transaction) -> None:
            holding.set()
            go.wait(60)

        held = self.writer.write(hold)
        assert await asyncio.to_thread(holding.wait, 60)
        tasks = [asyncio.create_task(self.write(job, weight)) for job in jobs]
        await asyncio.sleep(0)  # each task starts
        await asyncio.sleep(0)  # and queues its job
        self.commits, self.woken = -1, []  # the batch of the holder alone does not count
        go.set()
        await held
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)


@asynccontextmanager
async def running(
    place: stores.Place, sign: Callable[[Any], list[pb.Receipt]] = issue, max_waiting: int = 1000
) -> AsyncIterator[Running]:
    made = Running(place, sign, max_waiting)
    try:
        yield made
    finally:
        await asyncio.wait_for(made.writer.close(), 60)


# Opening.


def test_fresh_store_is_made_and_opened_again_as_it_was(fresh: stores.Place) -> None:
    for expected in (0, 1):
        connect, engine = open_store(fresh)
        with closing(connect()) as opened:
            assert count(opened, "envelopes") == expected
            if not expected:
                with world.transaction(opened) as txn:
                    record(txn, world.freeze_request())
        engine.dispose()


def test_newest_migration_is_the_one_that_the_code_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(connection.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [driver.HEAD]


def test_decisions_of_before_keep_their_word_and_are_known_by_their_key_too(path: Path) -> None:
    raw = b"decision", pb.Signature(signer="ee/registrar", key_id=bytes(range(16)), signature=bytes(64))
    config = Config()
    config.set_main_option("script_location", str(Path(connection.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{path}", module=sqlite)
    with engine.begin() as opened:
        config.attributes["connection"] = opened
        command.upgrade(config, "0002")
        opened.exec_driver_sql(
            "INSERT INTO applications (id, address, application, proof, state, received_at_us)"
            " VALUES (X'01', 'ee/new', X'', X'', 'pending', 1)"
        )
        opened.exec_driver_sql(
            "INSERT INTO decisions (application_id, registrar, decision, signature, received_at_us)"
            " VALUES (X'01', 'ee/registrar', ?, ?, 2)",
            (raw[0], raw[1].SerializeToString()),
        )
    engine.dispose()
    connect, engine = open_store(path)
    engine.dispose()
    with closing(connect()) as migrated:
        (kept,) = RegistryView(migrated).decisions(b"\x01")
    assert kept == StoredDecision("ee/registrar", bytes(range(16)), raw[0], raw[1].SerializeToString(), 2)


def test_migrated_schema_is_the_schema_of_the_tables(fresh: stores.Place) -> None:
    _, engine = open_store(fresh)
    with engine.connect() as opened:
        differences = compare_metadata(MigrationContext.configure(opened), schema.metadata)
    engine.dispose()
    assert differences == []


def test_constraints_of_migrated_and_declared_schema_are_the_same(path: Path, tmp_path: Path) -> None:
    # Alembic compares neither CHECKs nor the conditions of indexes.
    def definitions(file: Path) -> dict[str, set[str]]:
        with closing(sqlite.connect(str(file))) as opened:
            rows = opened.execute("SELECT name, sql FROM sqlite_master WHERE name <> 'alembic_version' AND sql <> ''")
            plain = ((name, text.translate(str.maketrans("", "", '()"'))) for name, text in rows)
            # SQLite writes a column that was added behind the rest of the last line.
            parts = ((name, re.split(r"\n|, ", text)) for name, text in plain)
            return {name: {" ".join(part.split()).rstrip(",") for part in split} for name, split in parts}

    open_store(path)[1].dispose()
    engine = create_engine(f"sqlite:///{tmp_path / 'declared.db'}", module=sqlite)
    schema.metadata.create_all(engine)
    engine.dispose()
    assert definitions(path) == definitions(tmp_path / "declared.db")


def test_sqlite_with_the_wal_reset_race_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sqlite.sqlite_version_info >= SAFE_SQLITE
    monkeypatch.setattr(sqlite, "sqlite_version_info", (3, 51, 2))
    with pytest.raises(Refusal) as caught:
        open_store(path)
    assert caught.value.code is ErrorCode.BAD_CONFIG
    assert not path.exists()


def test_store_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        open_store(tmp_path / "none" / "store.db")
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "store")


@pytest.mark.parametrize("what", ["folder", "other file"])
def test_what_is_no_database_cannot_be_opened(path: Path, what: str) -> None:
    if what == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"no database" * 100)
    with pytest.raises(Failure) as caught:
        open_store(path)
    assert caught.value.code is ErrorCode.STORE


def become_newer(path: Path, oldest: str) -> None:
    """Do what a migration of a later version does: a table and a column more, and its word on who may still work."""
    with closing(sqlite.connect(str(path))) as opened:
        opened.execute("CREATE TABLE IF NOT EXISTS of_tomorrow (n INTEGER)")
        if "of_tomorrow" not in [row[1] for row in opened.execute("PRAGMA table_info(deliveries)")]:
            opened.execute("ALTER TABLE deliveries ADD COLUMN of_tomorrow INTEGER NOT NULL DEFAULT 7")
        opened.execute("UPDATE alembic_version SET version_num = '9999'")
        opened.execute("UPDATE programs SET oldest = ?", (oldest,))
        opened.commit()


def test_store_that_a_newer_program_has_migrated_is_shared_with_it_as_long_as_that_lets_us(path: Path) -> None:
    open_store(path)[1].dispose()
    become_newer(path, driver.HEAD)
    connect, engine = open_store(path)
    engine.dispose()
    with closing(connect()) as opened:
        with world.transaction(opened) as txn:
            record(txn, world.freeze_request())
        assert opened.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)
        assert opened.execute("SELECT of_tomorrow FROM deliveries").fetchall() == [(7,)]


async def test_process_that_has_become_too_old_for_its_store_refuses_honestly_and_records_nothing(path: Path) -> None:
    sent = world.freeze_request()
    async with running(path) as made:
        become_newer(path, driver.HEAD)
        await made.write(lambda txn: record(txn, world.freeze_request()))
        become_newer(path, "9999")
        with pytest.raises(Failure) as caught:
            await made.write(lambda txn: record(txn, sent))
        assert (caught.value.code, bool(caught.value.retry_after)) == (ErrorCode.STORE, True)
    with closing(sqlite.connect(str(path))) as opened:
        assert count(opened, "envelopes") == count(opened, "receipts") == 1


def move_store(store: Path, to: Path, how: Callable[[Path, Path], object] = shutil.move) -> None:
    """Take a database away with the files beside it, or bring it back."""
    for file in [store, *store.parent.glob(f"{store.name}-*")]:
        how(file, to / file.name)


@pytest.mark.parametrize("how", [shutil.move, shutil.copy], ids=["the same file", "a copy of it"])
async def test_store_that_is_gone_fails_every_job_and_is_used_again_when_it_is_back(
    path: Path, tmp_path: Path, how: Callable[[Path, Path], object]
) -> None:
    sent, late = world.freeze_request(), world.freeze_request()
    connect, engine = open_store(path)
    reader = Reader(engine)
    async with running(path) as made:
        await made.write(lambda txn: record(txn, sent))
        assert await reader.next_attempt_us(BOX) is not None
        (away := tmp_path / "away").mkdir()
        move_store(path, away)
        for _ in range(2):
            with pytest.raises(Failure) as caught:
                await made.write(lambda txn: record(txn, late))
            assert (caught.value.code, bool(caught.value.retry_after)) == (ErrorCode.STORE, True)
            with pytest.raises(Failure) as caught:
                await reader.next_attempt_us(BOX)
            assert caught.value.code is ErrorCode.STORE
        assert not await asyncio.to_thread(path.exists), "an empty store was made in its place"
        move_store(away / path.name, path.parent, how)
        assert await made.write(lambda txn: txn.find(sent.ref) is not None)
        pending = await made.write(lambda txn: record(txn, late))
        assert pending.receipt is not None
        assert await reader.next_attempt_us(BOX) is not None
    reader.close()
    with closing(connect()) as opened:
        assert count(opened, "envelopes") == count(opened, "receipts") == 2


@pytest.mark.parametrize("oldest", ["9999", None])
def test_store_of_a_newer_version_is_refused_and_left_alone(fresh: stores.Place, oldest: str | None) -> None:
    open_store(fresh)[1].dispose()
    stores.rows(fresh, "UPDATE alembic_version SET version_num = '9999'")
    stores.rows(fresh, "DROP TABLE programs" if oldest is None else f"UPDATE programs SET oldest = '{oldest}'")
    with pytest.raises(Refusal) as caught:
        open_store(fresh)
    assert caught.value.code is ErrorCode.BAD_CONFIG
    assert stores.rows(fresh, "SELECT version_num FROM alembic_version") == [("9999",)]


@pytest.mark.parametrize("version", ["0001", "none"])
def test_whoever_merely_looks_into_a_store_does_not_bring_it_up_to_date(fresh: stores.Place, version: str) -> None:
    open_store(fresh)[1].dispose()
    if version == "none":
        stores.rows(fresh, "DROP TABLE alembic_version")
    else:
        stores.rows(fresh, f"UPDATE alembic_version SET version_num = '{version}'")
    with raises(ErrorCode.BAD_CONFIG):
        open_there(fresh)
    if version != "none":
        assert stores.rows(fresh, "SELECT version_num FROM alembic_version") == [(version,)]


def test_whoever_merely_looks_into_a_store_makes_none(tmp_path: Path) -> None:
    with raises(ErrorCode.BAD_CONFIG):
        open_there(tmp_path / "node.db")
    assert not [*tmp_path.iterdir()]


def test_whoever_merely_looks_into_a_store_reads_it(fresh: stores.Place) -> None:
    open_store(fresh)[1].dispose()
    _, engine = open_there(fresh)
    reader = Reader(engine)
    assert asyncio.run(reader.log(lambda view: view.alarms(1))) == []
    reader.close()


def test_migrations_of_a_store_are_one_transaction_so_that_no_other_process_comes_between(fresh: stores.Place) -> None:
    commits: list[Connection] = []

    def committed(opened: Connection) -> None:
        commits.append(opened)

    event.listen(Engine, "commit", committed)
    try:
        open_store(fresh)[1].dispose()
    finally:
        event.remove(Engine, "commit", committed)
    assert len(commits) == 1


@pytest.mark.integration
def test_processes_that_start_together_make_one_store(fresh: stores.Place) -> None:
    barrier = FORKS.Barrier(4)
    started = [FORKS.Process(target=stores.open_at_once, args=(barrier, fresh)) for _ in range(4)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0] * 4
    open_store(fresh)[1].dispose()


def test_what_is_committed_is_synced_to_disk_and_readers_do_not_block_it(path: Path) -> None:
    connect, engine = open_store(path)
    with closing(connect()) as writing, engine.connect() as reading:
        for name, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            assert writing.execute(f"PRAGMA {name}").fetchone()[0] == value
            assert reading.exec_driver_sql(f"PRAGMA {name}").scalar() == value
    engine.dispose()


@pytest.mark.parametrize(
    "statement_",
    [
        "INSERT INTO moves (envelope_seq, state, at_us, clock_rule) VALUES (99, 'asked', 1, 0)",
        "UPDATE deliveries SET state = 'lost'",
        "UPDATE deliveries SET envelope_seq = NULL",
        "INSERT INTO log_entries (leaf_hash) VALUES ('')",
        (
            "INSERT INTO envelopes (sender, id, recipient, kind, case_id, recorded_at_us, fingerprint, header, proof)"
            " SELECT sender, id, recipient, kind, case_id, recorded_at_us, fingerprint, header, proof FROM envelopes"
        ),
    ],
    ids=["move of nothing", "unknown state", "delivery of nothing", "log entry of nothing", "name twice"],
)
def test_database_itself_refuses_what_must_never_be(sql: Any, statement_: str) -> None:
    with world.transaction(sql) as txn:
        record(txn, world.freeze_request())
    with pytest.raises(NOT_TAKEN):
        sql.execute(statement_)


# What is recorded.


def test_what_is_recorded_is_found_as_it_came(sql: Any) -> None:
    first = world.freeze_request()
    second = world.send(ids.KIND_REVIEW_REFERRAL, FOREIGN_CENTRAL, "de/court", cites=[first.ref], case_id="DE")
    with world.transaction(sql) as txn:
        for sent in (first, second):
            record(txn, sent)
        assert txn.find(first.ref) == first.header
        assert txn.fingerprint(first.ref) == first.fingerprint
        assert txn.citing(first.ref, ids.KIND_REVIEW_REFERRAL) == [second.header]
        assert txn.citing(first.ref, ids.KIND_REVIEW_DECISION) == []
        stranger = ids.EnvelopeRef(sender="ee/investigator-2", id=first.header.id)
        assert (
            txn.find(stranger),
            txn.fingerprint(stranger),
            list(txn.citing(stranger, ids.KIND_REVIEW_REFERRAL)),
        ) == (None, None, [])
        (leased, _) = txn.deliveries.lease(BOX, "me", txn.now_us + 1, 10, 1 << 20)
    assert leased.envelope == first.envelope
    assert leased.fingerprint == first.fingerprint


def test_log_has_one_entry_for_each_envelope_and_receipt(sql: Any) -> None:
    sent = world.freeze_request()
    with world.transaction(sql) as txn:
        pending = record(txn, sent)
    assert pending.receipt is not None
    leaves = [row[0] for row in sql.execute("SELECT leaf_hash FROM log_entries ORDER BY position")]
    assert leaves == [log_entry.leaf_hash("ee/node", each) for each in (sent.fingerprint, pending.receipt.statement)]


def test_receipt_is_kept_once_however_often_it_comes(sql: Any) -> None:
    sent = world.freeze_request()
    said = world.say(pb.MILESTONE_OPENED, sent, issuer=BOX, recipient=BOX)
    (receipt,) = statement.issue([said], Address.parse(BOX), world.signing_key(BOX))
    for expected in (True, False):
        with world.transaction(sql) as txn:
            assert txn.add_receipt(receipt, said, "ee/investigator") is expected
    assert (count(sql, "receipts"), count(sql, "deliveries"), count(sql, "log_entries")) == (1, 1, 1)


def test_receipt_that_comes_twice_in_one_batch_is_kept_once_and_one_that_was_undone_comes_again(sql: Any) -> None:
    sent = world.freeze_request()
    said = [world.say(milestone, sent, recipient=BOX) for milestone in (pb.MILESTONE_DELIVERED, pb.MILESTONE_EXPIRED)]
    (one,), (other,) = (issue([each]) for each in said)
    with world.transaction(sql) as txn:
        with suppress(ZeroDivisionError), txn.part():
            assert txn.add_receipt(one, said[0])
            assert txn.words(said[0].envelope, said[0].issuer) == [pb.MILESTONE_DELIVERED]
            raise ZeroDivisionError
        assert txn.words(said[0].envelope, said[0].issuer) == []
        with txn.part():
            assert txn.add_receipt(one, said[0])
        assert not txn.add_receipt(one, said[0])
        with pytest.raises(Refusal) as caught, txn.part():
            txn.add_receipt(other, said[1])
        assert caught.value.code is ErrorCode.BAD_RECEIPT
        assert txn.words(said[0].envelope, said[0].issuer) == [pb.MILESTONE_DELIVERED]
    assert (count(sql, "receipts"), count(sql, "log_entries")) == (1, 1)


@pytest.mark.parametrize("second", [pb.MILESTONE_DELIVERED, pb.MILESTONE_EXPIRED])
def test_copy_that_has_ended_does_not_end_again(sql: Any, second: pb.Milestone.ValueType) -> None:
    sent = world.freeze_request()
    said = [
        world.say(milestone, sent, recipient=BOX, at_us=to_micros(NOW) + later)
        for later, milestone in enumerate((pb.MILESTONE_DELIVERED, second))
    ]
    first, again = [issue([one])[0] for one in said]
    with world.transaction(sql) as txn:
        assert txn.add_receipt(first, said[0])
    with world.transaction(sql) as txn:
        with pytest.raises(Refusal) as caught, txn.part():
            txn.add_receipt(again, said[1])
        assert caught.value.code is ErrorCode.BAD_RECEIPT
    assert count(sql, "receipts") == 1


def test_copies_for_two_recipients_and_statements_of_two_nodes_end_each_by_itself(sql: Any) -> None:
    sent = world.freeze_request()
    with world.transaction(sql) as txn:
        for recipient in (BOX, "de/central-authority-2"):
            txn.state(world.say(pb.MILESTONE_EXPIRED, sent, recipient=recipient))
        other = world.say(pb.MILESTONE_DELIVERED, sent, issuer="de/node", recipient=BOX)
        assert txn.add_receipt(statement.issue([other], Address.of_node("de"), world.signing_key("de/node"))[0], other)
    assert count(sql, "receipts") == 3


def test_recorded_before_tells_the_same_receipt_a_conflict_or_nothing(sql: Any) -> None:
    sent = world.freeze_request()
    with world.transaction(sql) as txn:
        assert recorded_before(sent.header, sent.fingerprint, txn) is None
        first = record(txn, sent)
    with world.transaction(sql, now=NOW + MINUTE) as txn:
        assert recorded_before(sent.header, sent.fingerprint, txn) == first.receipt
        with pytest.raises(Refusal) as caught:
            recorded_before(sent.header, bytes(32), txn)
    assert caught.value.code is ErrorCode.ID_CONFLICT


def test_same_envelope_twice_in_one_transaction_gets_one_receipt(sql: Any) -> None:
    sent = world.freeze_request()
    with world.transaction(sql) as txn:
        first = record(txn, sent)
        again = recorded_before(sent.header, sent.fingerprint, txn)
        with pytest.raises(Refusal) as caught:
            recorded_before(sent.header, bytes(32), txn)
    assert caught.value.code is ErrorCode.ID_CONFLICT
    assert again is first
    assert first.receipt is not None
    assert count(sql, "receipts") == 1


# The writer.


async def test_what_waits_together_is_committed_once_and_signed_under_one_root(place: stores.Place) -> None:
    sent = [world.freeze_request() for _ in range(5)]
    async with running(place) as made:
        results = await made.together(*[lambda txn, one=one: record(txn, one) for one in sent])
        assert made.commits == 1
        assert made.woken == [{BOX}]
    receipts = [result.receipt for result in results]
    assert len({receipt.signature.signature for receipt in receipts}) == 1
    for receipt, one in zip(receipts, sent, strict=True):
        said = statement.verify(receipt, DIRECTORY.signing_key)
        statement.check_subject(said, one.header, one.fingerprint)


async def test_job_that_fails_is_undone_alone_and_nothing_of_it_is_signed(place: stores.Place) -> None:
    good, bad, last = (world.freeze_request() for _ in range(3))

    def fail(txn: Transaction) -> None:
        record(txn, bad, "de/court")
        raise Refusal(ErrorCode.OUT_OF_ORDER, "no")

    async with running(place) as made:
        results = await made.together(
            lambda txn: record(txn, good),
            fail,
            lambda txn: 1 // 0,
            lambda txn: next(iter(())),
            lambda txn: record(txn, last),
        )
        assert made.commits == 1
        assert made.woken == [{BOX}]
        found = await made.write(lambda txn: [txn.find(one.ref) is not None for one in (good, bad, last)])
    assert isinstance(results[1], Refusal)
    assert results[1].code is ErrorCode.OUT_OF_ORDER
    assert isinstance(results[2], ZeroDivisionError)
    assert isinstance(results[3], RuntimeError)  # no future takes a StopIteration
    assert found == [True, False, True]
    assert {results[0].receipt.signature.batch.size, results[4].receipt.signature.batch.size} == {2}


def _fill_the_disk(txn: Transaction) -> None:
    txn._sql.execute("PRAGMA max_page_count = 1")  # means: no page more than there are
    record(txn, world.freeze_request(body=bytes(1 << 20)))


def _lock_out(txn: Transaction) -> None:
    txn._sql.execute("PRAGMA query_only = ON")
    txn._sql.execute("DELETE FROM events")


def _read_only(txn: Transaction) -> None:
    txn._sql.execute("SET TRANSACTION READ ONLY")
    txn._sql.execute("DELETE FROM events")


def _cut(txn: Transaction) -> None:
    txn._sql.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def _swallowed(txn: Transaction) -> None:
    # COMMIT of a transaction in which something failed says nothing, and commits nothing.
    with suppress(psycopg.Error):
        txn._sql.execute("SELECT 1 / 0")


CAUSES = [
    ("sqlite", _fill_the_disk),
    ("sqlite", _lock_out),
    ("postgres", _read_only),
    ("postgres", _cut),
    ("postgres", _swallowed),
]


@pytest.mark.parametrize(("name", "cause"), CAUSES, ids=[f"{name}{cause.__name__}" for name, cause in CAUSES])
async def test_commit_that_fails_fails_every_job_and_none_has_happened(
    tmp_path: Path, name: str, cause: Callable[[Transaction], None]
) -> None:
    sent = [world.freeze_request() for _ in range(3)]
    with stores.using(name):
        place = stores.place(tmp_path / "store.db")
        async with running(place) as made:
            results = await made.together(
                lambda txn: record(txn, sent[0]), cause, lambda txn: record(txn, sent[1]), lambda txn: None
            )
            assert (made.commits, made.woken) == (0, [])
            assert [type(result) for result in results] == [Failure] * 4
            assert {result.code for result in results} == {ErrorCode.STORE}

            # When the cause is gone, the writer goes on as if nothing had been.
            def recorded(txn: Transaction) -> list[bool]:
                return [txn.find(one.ref) is not None for one in sent]

            assert await made.write(recorded) == [False, False, False]
            await made.write(lambda txn: record(txn, sent[0]))
            assert await made.write(recorded) == [True, False, False]


async def test_job_whose_rows_are_not_taken_fails_alone(place: stores.Place) -> None:
    good, last = world.freeze_request(), world.freeze_request()

    def dangle(txn: Transaction) -> None:
        txn._rows.add("moves", 99, "asked", 1, None, 0)

    async with running(place) as made:
        results = await made.together(lambda txn: record(txn, good), dangle, lambda txn: record(txn, last))
        found = await made.write(lambda txn: [txn.find(one.ref) is not None for one in (good, last)])
    assert isinstance(results[1], Failure)
    assert results[1].code is ErrorCode.STORE
    assert found == [True, True]
    assert results[0].receipt is not None
    assert results[2].receipt is not None
    positions = [position for (position,) in stores.rows(place, "SELECT position FROM log_entries ORDER BY position")]
    assert positions == [1, 2, 3, 4]


async def test_text_that_a_database_cannot_hold_fails_its_job_alone(tmp_path: Path) -> None:
    with stores.using("postgres"):
        place, sent = stores.place(tmp_path), world.freeze_request()
        async with running(place) as made:
            bad = lambda txn: txn.add_event(sent.ref, "nul \0")  # noqa: E731
            results = await made.together(lambda txn: record(txn, sent), bad)
        assert isinstance(results[0], Pending)
        assert isinstance(results[1], Failure)


async def test_whatever_others_say_fails_nothing_that_came_with_it(place: stores.Place) -> None:
    sent, scribe = [world.freeze_request(), world.freeze_request()], Scribe("ee", lambda: DIRECTORY)
    said = [
        world.say(pb.MILESTONE_REJECTED, one, FOREIGN_CENTRAL, recipient=FOREIGN_CENTRAL, detail=detail)
        for one, detail in zip(sent, ("plain", "nul \0"), strict=True)
    ]

    def hear(txn: Transaction) -> None:
        for each in said:
            (receipt,) = statement.issue([each], Address.parse(each.issuer), world.signing_key(each.issuer))
            scribe.heard(receipt, statement.verify(receipt, DIRECTORY.signing_key), "de", txn)

    def fail(txn: Transaction) -> None:
        for leased in txn.deliveries.lease(BOX, "one", txn.now_us + 1, 2, 1 << 20):
            failure = Failure(ErrorCode.UNAVAILABLE, f"{leased.seq} nul \0")
            deliver.fail(txn, leased.seq, "one", Event.FAIL_UNKNOWN, failure, 1.0)

    async with running(place) as made:
        await made.write(lambda txn: [record(txn, one) for one in sent])
        await made.write(hear)
        await made.write(fail)
    events = "SELECT detail FROM events WHERE detail LIKE '%l%' ORDER BY seq"
    assert stores.rows(place, events) == [("plain",), (r"nul \x00",), (r"1 nul \x00",), (r"2 nul \x00",)]
    errors = "SELECT last_error FROM deliveries WHERE last_error <> '' ORDER BY seq"
    assert stores.rows(place, errors) == [(rf"UNAVAILABLE: {seq} nul \x00",) for seq in (1, 2)]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (mailbox.Answer(noted=True), "delivered"),
        (mailbox.Answer(error=errors_pb2.Error(code=errors_pb2.ERROR_CODE_BAD_RECEIPT)), "refused"),
    ],
)
def test_receipt_that_another_node_has_answered_goes_to_it_no_more(
    sql: Any, answer: mailbox.Answer, state: str
) -> None:
    with world.transaction(sql) as txn:
        txn.state(world.say(pb.MILESTONE_ACCEPTED, world.freeze_request(), "ee/node"), "de/node")
    with world.transaction(sql) as txn:
        (leased,) = txn.deliveries.lease("de/node", "one", txn.now_us + 1, 1, 1 << 20)
        Scribe("ee", lambda: DIRECTORY).answered(leased, answer, txn)
    assert sql.execute("SELECT state FROM deliveries").fetchall() == [(state,)]


def test_what_another_node_says_when_it_refuses_a_receipt_takes_no_more_room_than_other_words(sql: Any) -> None:
    sent, scribe = world.freeze_request(), Scribe("ee", lambda: DIRECTORY)
    with world.transaction(sql) as txn:
        txn.state(world.say(pb.MILESTONE_ACCEPTED, sent, "ee/node"), "de/node")
    with world.transaction(sql) as txn:
        (leased,) = txn.deliveries.lease("de/node", "one", txn.now_us + 1, 1, 1 << 20)
        error = errors_pb2.Error(code=errors_pb2.ERROR_CODE_BAD_RECEIPT, detail="no" * 100_000)
        scribe.answered(leased, mailbox.Answer(error=error), txn)
    said = sql.execute("SELECT length(detail) FROM events WHERE name = 'receipt.refused'").fetchall()
    assert said == [(MAX_DETAIL_CHARS,)]


def test_node_that_repeats_itself_fills_nobodys_store(sql: Any) -> None:
    sent, scribe = world.freeze_request(), Scribe("ee", lambda: DIRECTORY)
    with world.transaction(sql) as txn:
        record(txn, sent)
    for number in range(MAX_REPEATS + 2):
        said = world.say(pb.MILESTONE_DECIDED, sent, "de/node", detail=str(number))
        (receipt,) = statement.issue([said], Address.of_node("de"), world.signing_key("de/node"))
        with world.transaction(sql) as txn:
            scribe.heard(receipt, said, "de", txn)
    with world.transaction(sql) as txn:
        assert txn.words(sent.ref, "de/node") == [pb.MILESTONE_DECIDED] * MAX_REPEATS


def _carried(sql: Any, *before: pb.Milestone.ValueType) -> tuple[Sent, Leased]:
    """Return a request that this node states to have accepted, and before what it states; a copy is out to de."""
    sent = world.freeze_request()
    with world.transaction(sql) as txn:
        seq = txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
        for milestone in (*before, pb.MILESTONE_ACCEPTED):
            code = ErrorCode.OUT_OF_ORDER if milestone == pb.MILESTONE_REFUSED else 0
            txn.state(world.say(milestone, sent, "ee/node", code=code))
        txn.deliveries.add("de/node", envelope_seq=seq)
    with world.transaction(sql) as txn:
        (leased,) = txn.deliveries.lease("de/node", "one", txn.now_us + 1, 1, 1 << 20)
    return sent, leased


def _hear_delivered(sql: Any, sent: Sent) -> None:
    said = world.say(pb.MILESTONE_DELIVERED, sent, "de/node", recipient=FOREIGN_CENTRAL)
    (receipt,) = statement.issue([said], Address.of_node("de"), world.signing_key("de/node"))
    with world.transaction(sql) as txn:
        Scribe("ee", lambda: DIRECTORY).heard(receipt, said, "de", txn)


UNSIGNED = mailbox.Answer(error=errors_pb2.Error(code=errors_pb2.ERROR_CODE_MALFORMED))


def test_node_that_says_it_delivered_what_it_has_refused_is_not_believed(sql: Any) -> None:
    sent, leased = _carried(sql)
    with world.transaction(sql) as txn:
        Scribe("ee", lambda: DIRECTORY).answered(leased, UNSIGNED, txn)
    with raises(ErrorCode.BAD_RECEIPT):
        _hear_delivered(sql, sent)
    with world.transaction(sql) as txn:
        assert txn.words(sent.ref, "de/node") == []


def test_refusal_before_an_envelope_was_accepted_speaks_against_no_later_end(sql: Any) -> None:
    sent, _ = _carried(sql, pb.MILESTONE_REFUSED)
    _hear_delivered(sql, sent)
    with world.transaction(sql) as txn:
        assert txn.words(sent.ref, "de/node") == [pb.MILESTONE_DELIVERED]


def test_node_that_has_signed_that_it_delivered_refuses_nothing_without_a_signature(sql: Any) -> None:
    sent, leased = _carried(sql)
    _hear_delivered(sql, sent)
    with raises(ErrorCode.BAD_RECEIPT), world.transaction(sql) as txn:
        Scribe("ee", lambda: DIRECTORY).answered(leased, UNSIGNED, txn)
    assert sql.execute("SELECT state FROM deliveries WHERE destination = 'de/node'").fetchall() == [("delivering",)]


def test_part_that_is_undone_leaves_what_waited_before_it(sql: Any) -> None:
    """Whether its rows waited, or were written because somebody looked; in parts of parts too."""
    names = ["before", "inner", "kept", "outer", "after"]
    refs = {name: world.freeze_request(case_id=name).ref for name in names}

    def said() -> list[str]:
        return [name for (name,) in sql.execute("SELECT name FROM events ORDER BY seq")]

    for look in ([], ["outer"], ["inner"], ["inner", "outer"], ["before", "inner"], ["kept", "after"]):
        sql.execute("DELETE FROM events")

        def add(txn: Transaction, name: str, looks: list[str] = look) -> None:
            txn.add_event(refs[name], name)
            if name in looks:
                txn._sql.execute("SELECT count(*) FROM events")

        with world.transaction(sql) as txn:
            add(txn, "before")
            with suppress(ZeroDivisionError), txn.part():
                add(txn, "outer")
                with suppress(KeyError), txn.part():
                    add(txn, "inner")
                    raise KeyError
                raise ZeroDivisionError
            with txn.part():
                add(txn, "kept")
                with suppress(KeyError), txn.part():
                    add(txn, "inner")
                    raise KeyError
            add(txn, "after")
        assert said() == ["before", "kept", "after"], look


async def test_statement_that_cannot_be_signed_fails_the_batch_and_not_the_writer(place: stores.Place) -> None:
    failing = True

    def sign(said: Any) -> list[pb.Receipt]:
        if failing:
            raise ValueError("the key is gone")
        return issue(said)

    sent = world.freeze_request()
    async with running(place, sign) as made:
        results = await made.together(lambda txn: record(txn, sent), lambda txn: None)
        assert {type(result) for result in results} == {Failure}
        failing = False
        assert await made.write(lambda txn: txn.find(sent.ref)) is None
        receipt = (await made.write(lambda txn: record(txn, sent))).receipt
    assert receipt is not None


ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(600)",
}


async def test_writer_that_is_given_up_waits_for_nothing_and_whoever_waits_is_told(place: stores.Place) -> None:
    """A commit may wait without end, for a standby that is away; a node that is told to end must end."""
    begun, sent = threading.Event(), world.freeze_request()

    def endless(txn: Transaction) -> None:
        record(txn, sent)
        begun.set()
        txn._sql.execute(ENDLESS["sqlite" if isinstance(place, Path) else "postgresql"])

    async with running(place) as made:
        in_work = made.writer.write(endless)
        assert await asyncio.to_thread(begun.wait, 60)
        waiting = made.writer.write(answer(1))
        ends = asyncio.gather(in_work, waiting, return_exceptions=True)
        async with asyncio.timeout(60):
            while not ends.done():  # it may have come between two statements
                made.writer.give_up()
                await asyncio.wait([ends], timeout=0.1)
        told = await ends
        with raises(ErrorCode.UNAVAILABLE):
            made.writer.write(answer(2))
    assert [each.code for each in told if isinstance(each, Failure)] == [ErrorCode.STORE] * 2
    assert all(each.retry_after for each in told if isinstance(each, Failure))
    with stores.opened(place) as opened:
        assert count(opened, "envelopes") == 0


async def test_more_jobs_than_may_wait_are_refused_with_the_limit(place: stores.Place) -> None:
    async with running(place, max_waiting=2) as made:
        results = await made.together(*[lambda txn: None] * 4)
    errors = [result for result in results if isinstance(result, GatewayError)]
    assert [error.code for error in errors] == [ErrorCode.OVERLOADED] * 2
    assert all(error.retry_after for error in errors)


async def test_large_load_is_cut_into_batches_and_answered_whole(place: stores.Place) -> None:
    async with running(place) as made:
        results = await made.together(*[answer(number) for number in range(600)])
        assert results == list(range(600))
        assert made.commits == 3  # of 256 at most


async def test_batch_is_signed_with_the_key_that_was_there_before_its_time(place: stores.Place) -> None:
    keys = ["old", "new"]
    signed_with: list[str] = []

    def changes_the_key() -> datetime:
        keys[:] = keys[1:]
        return NOW

    def issuing() -> Callable[[Any], list[pb.Receipt]]:
        signed_with.append(keys[0])
        return issue

    async with running(place) as made:
        made.writer._issuing, made.writer._clock = issuing, changes_the_key
        await made.write(lambda txn: record(txn, world.freeze_request()))
    assert signed_with == ["old"]


async def test_batch_is_bounded_by_what_its_jobs_are_about_not_by_their_number(place: stores.Place) -> None:
    async with running(place) as made:
        await made.together(*[lambda txn: None] * 9, weight=64)
        assert made.commits == 3  # of 256 envelopes at most: four frames, four, one


async def test_small_batch_waits_for_those_who_came_along_with_the_one_before(
    place: stores.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(place) as made:
        await made.together(*map(answer, range(2)))
        monkeypatch.setattr(writer, "LINGER_SECONDS", 10.0)
        made.commits = 0
        first = made.writer.write(answer(1))
        await asyncio.sleep(0.05)  # it would long be on disk
        assert not first.done()
        assert (await made.write(answer(2)), await first) == (2, 1)
        assert made.commits == 1


async def test_small_batch_waits_no_longer_than_a_moment_for_who_does_not_come(place: stores.Place) -> None:
    async with running(place) as made:
        await made.together(*map(answer, range(9)))
        assert await made.write(answer(1)) == 1


@pytest.mark.parametrize("company", [1, 200])
async def test_nobody_waits_for_company_that_cannot_help(
    place: stores.Place, company: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who comes alone again and again has none; and a frame is enough to sync for.
    monkeypatch.setattr(writer, "LINGER_SECONDS", 3600.0)
    async with running(place) as made:
        for _ in range(3):
            assert await asyncio.wait_for(made.writer.write(answer(1), weight=company), 60) == 1


async def test_closing_does_not_wait_for_company(place: stores.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(place) as made:
        await made.together(*map(answer, range(2)))
        monkeypatch.setattr(writer, "LINGER_SECONDS", 3600.0)
        last = made.writer.write(answer(1))
    assert await last == 1


async def test_caller_who_gives_up_harms_nobody(place: stores.Place) -> None:
    sent = world.freeze_request()
    async with running(place) as made:
        made.writer.write(lambda txn: record(txn, sent)).cancel()
        assert await made.write(lambda txn: txn.find(sent.ref)) == sent.header


async def test_closing_finishes_what_waits_and_takes_nothing_more(place: stores.Place) -> None:
    made = Running(place, issue, 1000)
    futures = [made.writer.write(answer(number)) for number in range(100)]
    await made.writer.close()
    assert await asyncio.gather(*futures) == list(range(100))
    with pytest.raises(Failure) as caught:
        made.writer.write(lambda txn: None)
    assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_receipt_is_on_disk_before_its_caller_has_it(place: stores.Place) -> None:
    async with running(place) as made:
        pending = await made.write(lambda txn: record(txn, world.freeze_request()))
        ((kept,),) = stores.rows(place, "SELECT statement FROM receipts")
    assert kept == pending.receipt.statement


# Leases.


def queue(sql: Any, *cases: str, destination: str = BOX, **delivery: Any) -> list[Sent]:
    sent = [world.freeze_request(case_id=case) for case in cases]
    with world.transaction(sql) as txn:
        for one in sent:
            record(txn, one, destination, **delivery)
    return sent


def lease(sql: Any, holder: str, limit: int = 10, after: timedelta = timedelta(), box: str = BOX) -> list[Leased]:
    with world.transaction(sql, NOW + after) as txn:
        return txn.deliveries.lease(box, holder, txn.now_us + MINUTE // timedelta(microseconds=1), limit, 1 << 20)


def move(sql: Any, seq: int, event: Event, **again: Any) -> State:
    with world.transaction(sql) as txn:
        row = txn.deliveries.find(seq)
        assert row is not None
        return txn.deliveries.move(row, event, **again)


def cases(leased: list[Leased]) -> list[str]:
    return [pb.Header.FromString(one.envelope.header).case_id for one in leased if one.envelope is not None]


LEASING = (BOX, 1, 1, 1, "")
VALUES = {
    "_LEASE": (*LEASING, BOX, 1),
    "_LEASE_OF_LANE": (*LEASING, 1, 1),
    "_HURRY": (1, BOX, "A", 1),
    "_LAPSED": (1, 1),
    "_EXPIRED": (1, 1),
    "_STRANDED": (1,),
    "_BRING_BACK": (1, 1),
}


@pytest.mark.parametrize(("query", "values"), VALUES.items(), ids=VALUES)
def test_what_was_delivered_long_ago_does_not_slow_what_is_pending(file_sql: Any, query: str, values: Any) -> None:
    plan = [row[3] for row in file_sql.execute("EXPLAIN QUERY PLAN " + getattr(deliveries, query), values)]
    assert_by_index(plan)


def assert_by_index(plan: list[str]) -> None:
    by_index = [step for step in plan if "INDEX deliveries_" in step]
    # Whether a destination is held is looked up by its address.
    by_number = [step for step in plan if "INTEGER PRIMARY KEY (rowid=?)" in step or "autoindex_destinations" in step]
    looks = [step for step in plan if step.startswith(("SCAN", "SEARCH"))]
    assert by_index
    assert sorted(looks) == sorted(by_index + by_number)


def test_what_waits_for_a_destination_that_is_held_is_not_looked_at(sql: Any) -> None:
    queue(sql, "A", "B")
    queue(sql, "A", destination="ee/other")
    with world.transaction(sql) as txn:
        action = operations.Action(reason="why", hold=operations.HoldDestination(destination=BOX))
        number = txn.operating.add(action, "ee/operator", None)
        txn.operating.hold(BOX, number)
    assert lease(sql, "one") == []
    assert cases(lease(sql, "one", box="ee/other")) == ["A"]
    with world.transaction(sql) as txn:
        assert [(held.destination, held.by, held.reason) for held in txn.operating.held()] == [
            (BOX, "ee/operator", "why")
        ]
        txn.operating.release(BOX)
        assert txn.operating.held() == []
    assert cases(lease(sql, "one")) == ["A", "B"]


async def test_reader_looks_at_nothing_that_has_ended(
    path: Path, file_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, asked, ask = Reader(open_store(path)[1]), [], SqliteConnection.ask

    def remembering(sql: SqliteConnection, text: str, values: Any) -> Any:
        asked.append((text, values))
        return ask(sql, text, values)

    monkeypatch.setattr(SqliteConnection, "ask", remembering)
    await reader.next_attempt_us(BOX)
    reader.close()
    ((text, values),) = asked
    assert_by_index([row[3] for row in file_sql.execute("EXPLAIN QUERY PLAN " + text, values)])


async def test_reader_answers_what_was_asked_before_its_store_is_closed_and_nothing_after(place: stores.Place) -> None:
    """A server that has stopped may leave calls that were cancelled, and what they ask of the store goes on."""
    reader = Reader(open_store(place)[1])
    begun, go_on = threading.Event(), threading.Event()

    def slow(view: object) -> None:
        begun.set()
        assert go_on.wait(30.0)

    asking = asyncio.ensure_future(reader.log(slow))
    assert await asyncio.to_thread(begun.wait, 30.0)
    asking.cancel()
    drained = asyncio.ensure_future(reader.drain())
    try:
        assert not (await asyncio.wait([asking, drained], timeout=0.1))[0]
        with pytest.raises(Failure, match="is being closed"):
            await reader.next_attempt_us(BOX)
    finally:
        go_on.set()
    await asyncio.wait_for(drained, 30.0)
    reader.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_leased_copies_come_oldest_first_and_to_one_holder_only(sql: Any) -> None:
    queue(sql, "A", "B", "C")
    assert cases(lease(sql, "one", limit=2)) == ["A", "B"]
    assert cases(lease(sql, "two")) == ["C"]
    assert lease(sql, "one") == []
    assert lease(sql, "one", box="de/court") == []


def test_lease_takes_no_more_bytes_than_it_may_but_always_one_copy(sql: Any) -> None:
    queue(sql, "A", "B", "C", "D")
    with world.transaction(sql) as txn:
        (first,) = txn.deliveries.lease(BOX, "one", txn.now_us + 1, 10, 1)
        assert first.envelope is not None
        size = first.envelope.ByteSize()
        assert len(txn.deliveries.lease(BOX, "one", txn.now_us + 1, 10, size + size // 2)) == 1
        assert len(txn.deliveries.lease(BOX, "one", txn.now_us + 1, 10, 3 * size)) == 2


def test_copies_of_one_case_overtake_each_other_in_no_hands_but_the_same(sql: Any) -> None:
    queue(sql, "A", "A", "B")
    first = lease(sql, "one", limit=1)
    assert cases(first) == ["A"]
    assert cases(lease(sql, "two")) == ["B"]
    assert cases(lease(sql, "one")) == ["A"]


def test_copy_waits_while_an_earlier_one_of_its_case_backs_off(sql: Any) -> None:
    queue(sql, "A", "A", "B")
    (first, *_) = lease(sql, "one", limit=1)
    move(sql, first.seq, Event.FAIL_CLEAN, next_attempt_at_us=to_micros(NOW + MINUTE))
    assert cases(lease(sql, "one")) == ["B"]
    assert cases(lease(sql, "one", after=MINUTE)) == ["A", "A"]


def test_copy_does_not_wait_for_a_later_one_of_its_case(sql: Any) -> None:
    queue(sql, "A", "A")
    (first, _) = lease(sql, "one")
    move(sql, first.seq, Event.FAIL_CLEAN)
    assert [leased.seq for leased in lease(sql, "two")] == [first.seq]


@pytest.mark.parametrize("end", [Event.CONFIRM, Event.REFUSE, Event.EXPIRE])
def test_copy_that_has_ended_makes_way_for_the_next_of_its_case(sql: Any, end: Event) -> None:
    queue(sql, "A", "A")
    (first,) = lease(sql, "one", limit=1)
    assert lease(sql, "two") == []
    move(sql, first.seq, end)
    assert len(lease(sql, "two")) == 1


def test_cases_at_different_destinations_do_not_wait_for_each_other(sql: Any) -> None:
    queue(sql, "A")
    queue(sql, "A", destination="de/court")
    assert len(lease(sql, "one")) == 1
    assert len(lease(sql, "two", box="de/court")) == 1


def test_receipts_wait_for_no_case(sql: Any) -> None:
    sent = world.freeze_request()
    with world.transaction(sql) as txn:
        txn.state(world.say(pb.MILESTONE_ACCEPTED, sent), BOX)
        txn.state(world.say(pb.MILESTONE_DECIDED, sent), BOX)
    (first,) = lease(sql, "one", limit=1)
    (second,) = lease(sql, "two")
    for one, milestone in ((first, pb.MILESTONE_ACCEPTED), (second, pb.MILESTONE_DECIDED)):
        assert one.envelope is None
        assert one.receipt is not None
        assert statement.verify(one.receipt, DIRECTORY.signing_key).milestone == milestone


def test_lease_lapses_at_its_time_and_not_before(sql: Any) -> None:
    queue(sql, "A")
    (leased,) = lease(sql, "one")
    for after, expected in ((MINUTE - timedelta(microseconds=1), []), (MINUTE, [leased.seq])):
        with world.transaction(sql, NOW + after) as txn:
            assert txn.deliveries.lapsed(10) == expected


def test_expired_copy_is_not_leased_but_a_doubtful_one_still_is(sql: Any) -> None:
    expires = to_micros(NOW + MINUTE)
    queue(sql, "A", "B", expires_at_us=expires)
    (doubtful,) = lease(sql, "one", limit=1)
    move(sql, doubtful.seq, Event.FAIL_UNKNOWN)
    (asked,) = lease(sql, "one", after=MINUTE)
    assert (asked.seq, asked.state, asked.expired) == (doubtful.seq, State.ASKING, True)
    with world.transaction(sql, NOW + MINUTE) as txn:
        (gone,) = txn.deliveries.expired(10)
        assert gone != doubtful.seq


def test_copy_never_expires_that_has_no_time_to(sql: Any) -> None:
    queue(sql, "A")
    with world.transaction(sql, NOW + timedelta(days=3650)) as txn:
        assert txn.deliveries.expired(10) == []
    assert not lease(sql, "one", after=timedelta(days=3650))[0].expired


def test_sweep_of_every_second_looks_at_nothing_that_merely_waits(tmp_path: Path) -> None:
    connect, engine = open_store(tmp_path / "node.db")
    engine.dispose()
    with closing(connect()) as connection:
        for query, index in (
            (deliveries._LAPSED, "deliveries_leased"),
            (deliveries._STRANDED, "deliveries_leased"),
            (deliveries._EXPIRED, "deliveries_expiring"),
        ):
            values = (0,) * query.count("?")
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
            assert len(plan) == 1, plan
            assert index in plan[0], plan


def test_move_from_a_state_that_has_changed_meanwhile_fails_and_changes_nothing(sql: Any) -> None:
    queue(sql, "A")
    (leased,) = lease(sql, "one")
    with world.transaction(sql) as txn:
        row = txn.deliveries.find(leased.seq)
        assert row is not None
        assert txn.deliveries.move(row, Event.CONFIRM) is State.DELIVERED
        with pytest.raises(Failure) as caught:
            txn.deliveries.move(row, Event.FAIL_UNKNOWN)
        again = txn.deliveries.find(leased.seq)
    assert caught.value.code is ErrorCode.STORE
    assert again is not None
    assert again.state is State.DELIVERED


def test_illegal_move_is_refused_and_changes_nothing(sql: Any) -> None:
    queue(sql, "A")
    with world.transaction(sql) as txn:
        row = txn.deliveries.find(1)
        assert row is not None
        with pytest.raises(Refusal) as caught:
            txn.deliveries.move(row, Event.CONFIRM)
        assert caught.value.code is ErrorCode.ILLEGAL_TRANSITION
        assert txn.deliveries.find(1) == row


def test_purged_payload_leaves_all_else_provable(sql: Any) -> None:
    (sent,) = queue(sql, "A")
    sql.execute("UPDATE envelopes SET payload = NULL")
    with world.transaction(sql) as txn:
        assert recorded_before(sent.header, sent.fingerprint, txn) is not None
        assert txn.find(sent.ref) == sent.header


# Reading.


async def test_trace_tells_all_by_id_and_by_case(place: stores.Place, sql: Any) -> None:
    (sent, other) = queue(sql, "A", "B")
    with world.transaction(sql) as txn:
        txn.add_event(sent.ref, "envelope.accepted", actor="ee/investigator", stages="x:1")
        txn.add_event(other.ref, "envelope.accepted")
        txn.add_event(sent.ref, "delivery.failed", destination=BOX, code=ErrorCode.UNAVAILABLE, detail="down")
    _, engine = open_store(place)
    reader = Reader(engine)
    for key in (sent.header.id, "A"):
        (trace,) = await reader.trace(key)
        assert (trace.sender, trace.id, trace.fingerprint) == (sent.header.sender, sent.header.id, sent.fingerprint)
        assert [(event.name, event.code) for event in trace.events] == [
            ("envelope.accepted", 0),
            ("delivery.failed", ErrorCode.UNAVAILABLE),
        ]
        assert [copy.state for copy in trace.copies] == [State.QUEUED]
        (receipt,) = trace.receipts
        assert statement.verify(receipt, DIRECTORY.signing_key).milestone == pb.MILESTONE_ACCEPTED
    assert await reader.trace("nothing") == []
    reader.close()


async def test_trace_tells_of_an_envelope_that_was_only_refused(place: stores.Place, sql: Any) -> None:
    ref = world.freeze_request().ref
    with world.transaction(sql) as txn:
        txn.add_event(ref, "envelope.refused", code=ErrorCode.STALE)
    reader = Reader(open_store(place)[1])
    (trace,) = await reader.trace(ref.id)
    assert (trace.header, [event.code for event in trace.events]) == (b"", [ErrorCode.STALE])
    reader.close()


async def test_what_became_of_an_envelope_is_told_however_often_other_bytes_were_refused_under_its_id(
    place: stores.Place, sql: Any
) -> None:
    (sent,) = queue(sql, "A")

    def refuse(txn: Transaction, number: int) -> None:
        said = world.say(pb.MILESTONE_REFUSED, sent, code=int(ErrorCode.ID_CONFLICT))
        said.fingerprint = sha256(b"%d" % number).digest()
        txn.state(said)

    with world.transaction(sql) as txn:
        for number in range(MAX_ROWS_A_TRACE):
            refuse(txn, number)
        txn.state(world.say(pb.MILESTONE_DELIVERED, sent))
        for number in range(MAX_ROWS_A_TRACE):
            refuse(txn, -1 - number)
    reader = Reader(open_store(place)[1])
    (trace,) = await reader.trace(sent.header.id)
    reader.close()
    said = [pb.Statement.FromString(receipt.statement) for receipt in trace.receipts]
    assert [each.milestone for each in said if each.fingerprint == sent.fingerprint] == [
        pb.MILESTONE_ACCEPTED,
        pb.MILESTONE_DELIVERED,
    ]
    assert len(said) < MAX_ROWS_A_TRACE


async def test_what_a_database_refuses_is_told_without_the_question_and_without_a_link(
    place: stores.Place, sql: Any, tmp_path: Path
) -> None:
    reader = Reader(open_store(place)[1])
    sql.execute("ALTER TABLE envelopes RENAME TO mislaid")
    with pytest.raises(Failure) as unread:
        await reader.trace("a-key-of-somebody")
    sql.execute("ALTER TABLE mislaid RENAME TO envelopes")
    reader.close()
    (tmp_path / "text.db").write_text("no database at all" * 1000)
    with pytest.raises(Failure) as unopened:
        open_store(tmp_path / "text.db")
    for caught in (unread, unopened):
        assert caught.value.code is ErrorCode.STORE
        assert not re.search("SELECT|parameters|a-key-of-somebody|https:", caught.value.detail), caught.value.detail


async def test_reader_knows_when_the_next_copy_is_due(place: stores.Place, sql: Any) -> None:
    queue(sql, "A")
    queue(sql, "A", destination="de/node")
    reader = Reader(open_store(place)[1])
    assert await reader.next_attempt_us(BOX) == to_micros(NOW)
    (leased,) = lease(sql, "one")
    assert await reader.next_attempt_us(BOX) is None
    move(sql, leased.seq, Event.CONFIRM)
    assert await reader.next_attempt_us("de/node") == to_micros(NOW)
    reader.close()
