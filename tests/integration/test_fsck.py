"""For every check of fsck, a store in which one statement of SQL breaks exactly that promise.

The sound stores are those of the demonstration: two real nodes after a whole case, with refusals, a kill and limits
that ran out; and that of a registry.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pysqlite3.dbapi2 as sqlite
import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import operations_pb2 as operations

from gateway.cli.demo import papers, story
from gateway.clock import system_clock
from gateway.depot import Depot
from gateway.directory import Directory
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.store import figures, fsck, open_store
from gateway.store.fsck import Check, Finding, Result
from gateway.store.fsck.findings import MOST_SHOWN
from tests import office, world
from tests.federation import directory_of

# The demonstration is played in the time of the first test.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


async def handed_over(*_: object) -> None:
    """Hand nothing over."""


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a federation whose nodes have stopped after the whole story."""
    folder = tmp_path_factory.mktemp("told") / "fed"
    with pytest.MonkeyPatch.context() as patch:
        # Of two wallets, and without the case as a file: that is nothing to a store.
        patch.setattr(story, "hand_over", handed_over)
        wallets = papers.read_wallets(None)[:2]
        report = asyncio.run(story.run(folder, wallets, folder, keep=False, tell=lambda _: None))
    assert report.ok, report.problems
    return folder


@pytest.fixture(scope="session")
def directory(told: Path) -> Directory:
    return directory_of(told, system_clock())


@pytest.fixture
def store(told: Path, tmp_path: Path) -> Callable[[str], Path]:
    return lambda code: Path(shutil.copy(told / code / "store" / "node.db", tmp_path / f"{code}.db"))


def spoil(path: Path, *statements: str) -> None:
    """Change a store behind its back, past its own constraints."""
    with closing(sqlite.connect(str(path), isolation_level=None)) as opened:
        opened.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            assert opened.execute(statement).rowcount, "it changed nothing"


def failed(findings: list[Finding]) -> set[Check]:
    return {finding.check for finding in findings if finding.result is Result.FAILED}


@pytest.mark.parametrize("code", ["ee", "de"])
def test_store_of_a_node_that_kept_its_promises_passes_every_check(
    told: Path, store: Callable[[str], Path], directory: Directory, code: str
) -> None:
    findings = fsck.check(store(code), directory, depot=Depot.of_folder(told / code / "store" / "node.db.attachments"))
    assert [finding.check for finding in findings] == [*Check]
    assert {finding.result for finding in findings} == {Result.PASSED}, [f for f in findings if f.failures]


def test_without_public_keys_and_files_what_takes_them_is_said_not_to_be_checked(store: Callable[[str], Path]) -> None:
    findings = fsck.check(store("ee"))
    unseen = {finding.check for finding in findings if finding.result is Result.NOT_CHECKED}
    assert unseen == fsck.WITH_KEYS | fsck.WITH_FILES
    assert not failed(findings)


# By check: whose store, and what is done to it.
FIRST = "(SELECT min(seq) FROM envelopes)"
PURGE = f"UPDATE envelopes SET payload = NULL WHERE seq = {FIRST}"
A_MOVE = "(SELECT max(b.seq) FROM moves b WHERE b.cause_seq <> b.envelope_seq)"
AN_END = "(SELECT min(seq) FROM receipts WHERE milestone = 2)"
EMPTY_ROOT = "X'" + "00" * 32 + "'"
HOLD = operations.Action(reason="why", hold=operations.HoldDestination(destination="de/node")).SerializeToString().hex()
EXPIRE = operations.Action(
    reason="why",
    expire=operations.ExpireCopy(envelope=ids.EnvelopeRef(sender="ee/prosecutor", id="x"), destination="de/node"),
)
ABROAD = "(SELECT min(envelope_seq) FROM deliveries WHERE destination = 'de/node')"
NAMED = f"INSERT INTO attachments (envelope_seq, position, digest, size) VALUES ({ABROAD}, 0, X'00', 1)"
ON_ITS_WAY = f"UPDATE deliveries SET state = 'doubtful' WHERE envelope_seq = {ABROAD}"
BROKEN: list[tuple[Check, str, tuple[str, ...]]] = [
    (Check.DATABASE, "ee", ("INSERT INTO targets (token, envelope_seq) VALUES (X'01', 999999)",)),
    (Check.HEADERS, "ee", (f"UPDATE envelopes SET case_id = 'other' WHERE seq = {FIRST}",)),
    (Check.HEADERS, "ee", (f"UPDATE envelopes SET header = X'ff' WHERE seq = {FIRST}",)),
    (Check.FINGERPRINTS, "ee", (f"UPDATE envelopes SET fingerprint = zeroblob(32) WHERE seq = {FIRST}",)),
    (Check.FINGERPRINTS, "ee", (f"UPDATE envelopes SET payload = payload || X'00' WHERE seq = {FIRST}",)),
    (Check.FINGERPRINTS, "ee", (f"UPDATE envelopes SET proof = X'ff' WHERE seq = {FIRST}",)),
    (
        Check.SIGNED,
        "ee",
        (f"UPDATE envelopes SET proof = (SELECT proof FROM envelopes ORDER BY seq DESC LIMIT 1) WHERE seq = {FIRST}",),
    ),
    (
        Check.SIGNATURES,
        "ee",
        (f"UPDATE envelopes SET header = header || X'a2060100' WHERE seq = {FIRST}",),
    ),
    (Check.CITATIONS, "ee", ("UPDATE envelopes SET cited_seq = NULL WHERE cited_seq = 1",)),
    (Check.CITATIONS, "ee", (f"UPDATE envelopes SET cited_seq = 2 WHERE seq = {FIRST}",)),
    (Check.TARGETS, "ee", ("DELETE FROM targets WHERE token = (SELECT min(token) FROM targets)",)),
    (Check.TARGETS, "ee", (f"INSERT INTO targets (token, envelope_seq) VALUES (X'01', {FIRST})",)),
    (Check.LOG_DENSE, "ee", ("UPDATE log_entries SET position = 999999 WHERE position = 5",)),
    (Check.LOG_DENSE, "ee", ("UPDATE log_entries SET position = position + 1000",)),
    (Check.LOG_LEAVES, "ee", ("UPDATE log_entries SET leaf_hash = zeroblob(32) WHERE position = 5",)),
    (Check.LOG_COMPLETE, "ee", ("DELETE FROM log_entries WHERE position = 5",)),
    (
        Check.LOG_COMPLETE,
        "ee",
        (
            (
                "INSERT INTO log_entries (leaf_hash, envelope_seq, receipt_seq)"
                " SELECT leaf_hash, envelope_seq, receipt_seq FROM log_entries WHERE position = 5"
            ),
        ),
    ),
    (Check.LOG_COMPLETE, "ee", ("UPDATE log_entries SET envelope_seq = NULL, receipt_seq = NULL WHERE position = 5",)),
    (
        Check.LOG_ORDER,
        "ee",
        (
            "UPDATE log_entries SET position = -1 WHERE position = (SELECT max(position) FROM log_entries)",
            "UPDATE log_entries SET position = position + 1000000 WHERE position > 0",
            "UPDATE log_entries SET position = position - 999999 WHERE position > 0",
            "UPDATE log_entries SET position = 1 WHERE position = -1",
        ),
    ),
    (Check.LOG_TREE, "ee", (f"INSERT INTO log_nodes VALUES (1, 0, {EMPTY_ROOT})",)),
    (Check.LOG_TREE, "ee", (f"INSERT INTO log_nodes VALUES (3, 0, {EMPTY_ROOT})",)),
    (Check.LOG_TREE, "ee", (f"INSERT INTO log_nodes VALUES (0, 0, {EMPTY_ROOT})",)),
    (Check.CHECKPOINTS, "ee", ("UPDATE log_entries SET leaf_hash = zeroblob(32) WHERE position = 1",)),
    (Check.CHECKPOINTS, "ee", ("DELETE FROM log_entries WHERE position = (SELECT max(size) FROM checkpoints)",)),
    (Check.CHECKPOINTS, "ee", (f"UPDATE checkpoints SET root = {EMPTY_ROOT}",)),
    (Check.CHECKPOINTS, "ee", (f"INSERT INTO checkpoints VALUES (0, 'ee', {EMPTY_ROOT}, 1, X'')",)),
    (Check.CHECKPOINTS, "ee", ("UPDATE checkpoints SET note = X'00' || note",)),
    (Check.CHECKPOINTS, "ee", ("UPDATE checkpoints SET origin = origin || '/1'",)),
    (Check.CHECKPOINTS_SIGNED, "ee", ("UPDATE checkpoints SET note = CAST(note || X'0a' AS BLOB)",)),
    (Check.CHECKPOINTS_SIGNED, "ee", ("UPDATE checkpoints SET at_us = 1",)),
    (Check.STATEMENTS, "ee", ("UPDATE receipts SET issuer = 'de/node' WHERE seq = 1",)),
    (Check.STATEMENTS, "ee", ("UPDATE receipts SET digest = zeroblob(32) WHERE seq = 1",)),
    (Check.STATEMENTS, "ee", ("UPDATE receipts SET signature = X'ff' WHERE seq = 1",)),
    (
        Check.STATEMENTS_PROVEN,
        "ee",
        ("UPDATE receipts SET signature = (SELECT signature FROM receipts WHERE seq = 2) WHERE seq = 1",),
    ),
    (Check.SUBJECTS, "ee", (f"DELETE FROM envelopes WHERE seq = {FIRST}",)),
    (Check.ACCEPTED, "ee", (f"DELETE FROM envelopes WHERE seq = {FIRST}",)),
    (Check.ACCEPTED, "ee", ("DELETE FROM receipts WHERE seq = (SELECT min(seq) FROM receipts WHERE milestone = 1)",)),
    (
        Check.PATH,
        "ee",
        ("DELETE FROM events WHERE seq = (SELECT min(seq) FROM events WHERE name = 'envelope.accepted')",),
    ),
    (Check.PATH, "ee", ("UPDATE events SET stages = replace(stages, 'step.lawful:', 'step.skipped:') WHERE seq = 1",)),
    (Check.WAYS, "ee", (f"UPDATE deliveries SET destination = 'ee/exchange' WHERE envelope_seq = {FIRST}",)),
    (Check.WAYS, "ee", (f"DELETE FROM deliveries WHERE envelope_seq = {FIRST}",)),
    (Check.WAYS, "ee", (f"UPDATE deliveries SET case_id = 'other' WHERE envelope_seq = {FIRST}",)),
    (
        Check.WAYS,
        "ee",
        (
            (
                "INSERT INTO deliveries (receipt_seq, destination, case_id, state, attempts, lane, next_attempt_at_us,"
                " lease_holder, lease_until_us, last_error)"
                " SELECT receipt_seq, destination, case_id, state, attempts, lane,"
                " next_attempt_at_us, lease_holder, lease_until_us, last_error FROM deliveries WHERE seq ="
                " (SELECT min(seq) FROM deliveries WHERE receipt_seq IS NOT NULL)"
            ),
        ),
    ),
    (Check.LEASES, "ee", ("UPDATE deliveries SET state = 'somewhere' WHERE seq = 1",)),
    (Check.LEASES, "ee", ("UPDATE deliveries SET state = 'delivering' WHERE seq = 1",)),
    (Check.LEASES, "ee", ("UPDATE deliveries SET lease_holder = 'somebody' WHERE seq = 1",)),
    (Check.LEASES, "ee", ("UPDATE deliveries SET attempts = 0 WHERE seq = 1",)),
    (Check.LEASES, "ee", ("UPDATE deliveries SET envelope_seq = NULL, receipt_seq = 999999 WHERE seq = 1",)),
    (Check.SOMEBODY_ACTS, "ee", (f"DELETE FROM receipts WHERE seq = {AN_END}",)),
    (Check.ENDS_AGREE, "ee", (f"UPDATE deliveries SET state = 'queued' WHERE envelope_seq = {FIRST}",)),
    (Check.ENDS_AGREE, "ee", (f"UPDATE deliveries SET state = 'expired' WHERE envelope_seq = {FIRST}",)),
    (Check.TOLD, "ee", (f"DELETE FROM deliveries WHERE receipt_seq = {AN_END}",)),
    (Check.MOVES, "ee", (f"UPDATE moves SET state = 'disposed' WHERE seq = {A_MOVE}",)),
    (Check.MOVES, "ee", ("UPDATE moves SET state = 'granted' WHERE seq = 1",)),
    (Check.MOVES, "ee", (f"UPDATE moves SET at_us = at_us + 1 WHERE seq = {A_MOVE}",)),
    (Check.MOVES, "ee", (f"DELETE FROM moves WHERE seq = {A_MOVE}",)),
    (Check.MOVES, "de", (f"DELETE FROM moves WHERE seq = {A_MOVE}",)),
    (Check.MOVES, "ee", ("DELETE FROM moves WHERE state = 'lapsed'",)),
    (Check.MOVES, "de", ("DELETE FROM moves WHERE state = 'lapsed'",)),
    (
        Check.MOVES,
        "de",
        (
            (
                "UPDATE moves SET cause_seq = NULL, clock_rule = 0 WHERE seq ="
                " (SELECT max(seq) FROM moves WHERE state = 'executed')"
            ),
        ),
    ),
    (
        Check.MOVES,
        "de",
        (
            (
                "INSERT INTO moves (envelope_seq, state, at_us, clock_rule)"
                " SELECT envelope_seq, 'undelivered', at_us, 0 FROM moves WHERE seq = 1"
            ),
        ),
    ),
    (Check.MOVES, "ee", ("INSERT INTO moves VALUES (999999, 999999, 'asked', 1, 999999, 0)",)),
    (Check.TURNS, "ee", ("UPDATE moves SET state = 'lost' WHERE seq = (SELECT max(seq) FROM moves)",)),
    (Check.TURNS, "ee", ("DELETE FROM moves WHERE envelope_seq = (SELECT envelope_seq FROM moves WHERE seq = 1)",)),
    (Check.TURNS, "de", ("DELETE FROM moves WHERE state = 'undelivered'",)),
    (Check.CLOCKS, "de", ("UPDATE clocks SET stage = 'overdue' WHERE stage = 'running'",)),
    (Check.CLOCKS, "de", ("UPDATE clocks SET rule = CASE rule WHEN 4 THEN 5 ELSE 4 END WHERE change = 'started'",)),
    (Check.CLOCKS, "de", ("UPDATE clocks SET stage = 'running', ended_at_us = NULL WHERE stage = 'ran out'",)),
    (Check.CLOCKS, "de", ("UPDATE clocks SET envelope_seq = 999999 WHERE seq = 1",)),
    (Check.CLOCKS, "de", ("UPDATE clocks SET next_at_us = NULL WHERE stage = 'running'",)),
    (Check.ACCEPTED, "ee", (f"UPDATE envelopes SET recorded_at_us = recorded_at_us - 1 WHERE seq = {FIRST}",)),
    (Check.WAYS, "ee", (f"UPDATE deliveries SET expires_at_us = 1 WHERE envelope_seq = {FIRST}",)),
    (Check.PURGED, "ee", (PURGE,)),
    (
        Check.PURGED,
        "ee",
        (
            PURGE,
            (
                "INSERT INTO events (at_us, sender, envelope_id, name, actor, destination, code, detail, stages)"
                f" SELECT 1, sender, id, 'payload.purged', '', '', 0, '', '' FROM envelopes WHERE seq = {FIRST}"
            ),
            f"UPDATE deliveries SET state = 'doubtful' WHERE envelope_seq = {FIRST}",
        ),
    ),
    (
        Check.FILES_NAMED,
        "ee",
        (NAMED,),
    ),
    (Check.FILES_NAMED, "ee", (NAMED, ON_ITS_WAY, "UPDATE attachments SET ended_at_us = 1")),
    (Check.SOMEBODY_ACTS, "ee", (NAMED, ON_ITS_WAY)),
    (Check.RESTORATIONS, "ee", (f"INSERT INTO restorations VALUES (1, 1, 1, 3, {EMPTY_ROOT}, NULL)",)),
    (
        Check.RESTORATIONS,
        "ee",
        ("INSERT INTO restorations SELECT 1, 1, 1, 999999, leaf_hash, NULL FROM log_entries WHERE position = 1",),
    ),
    (Check.ACTIONS, "ee", ("INSERT INTO actions VALUES (1, X'ff', 'ee/operator', 1, NULL)",)),
    (Check.ACTIONS, "ee", (f"INSERT INTO actions VALUES (1, X'{HOLD}', 'de/operator', 1, NULL)",)),
    # Held, but that was never done.
    (
        Check.ACTIONS,
        "ee",
        (
            f"INSERT INTO actions VALUES (1, X'{HOLD}', 'ee/operator', 1, NULL)",
            "INSERT INTO destinations VALUES ('de/node', 1, 0)",
        ),
    ),
    # Approved by whoever asked for it.
    (
        Check.ACTIONS,
        "ee",
        (
            f"INSERT INTO actions VALUES (1, X'{HOLD}', 'ee/operator', 1, 2)",
            "INSERT INTO action_ends VALUES (1, 'done', 'ee/operator', 1, '', 0, 0, '')",
        ),
    ),
    # Done, and its envelope's trace knows nothing of it.
    (
        Check.ACTIONS,
        "ee",
        (
            f"INSERT INTO actions VALUES (1, X'{EXPIRE.SerializeToString().hex()}', 'ee/operator', 1, 2)",
            "INSERT INTO action_ends VALUES (1, 'done', 'ee/operator-2', 1, '', 0, 0, '')",
        ),
    ),
]


@pytest.mark.parametrize(
    ("check", "code", "statements"), BROKEN, ids=[f"{c.name}-{i}" for i, (c, *_) in enumerate(BROKEN)]
)
def test_what_breaks_a_promise_is_found_by_its_number(
    store: Callable[[str], Path], directory: Directory, check: Check, code: str, statements: tuple[str, ...]
) -> None:
    path = store(code)
    spoil(path, *statements)
    findings = fsck.check(path, directory)
    assert check in failed(findings), failed(findings)
    (found,) = [finding for finding in findings if finding.check is check]
    assert found.failures >= len(found.first) > 0
    assert len(found.first) <= MOST_SHOWN


def test_second_end_of_a_copy_is_found(store: Callable[[str], Path], directory: Directory) -> None:
    path = store("ee")
    # A lie that verifies: the other node states, rightly signed, that it refused what it had delivered.
    with closing(sqlite.connect(str(path), isolation_level=None)) as opened:
        row = opened.execute("SELECT statement FROM receipts WHERE milestone = 2 AND issuer = 'de/node'").fetchone()
        assert row is not None
        changed = fsck.books.statement_of(row[0])
        changed.milestone = pb.MILESTONE_REFUSED
        opened.execute(
            "INSERT INTO receipts (sender, id, milestone, issuer, recipient, at_us, digest, statement, signature)"
            " VALUES (?, ?, 3, 'de/node', ?, ?, X'00', ?, X'')",
            (
                changed.envelope.sender,
                changed.envelope.id,
                changed.recipient,
                changed.at_us,
                changed.SerializeToString(),
            ),
        )
    assert Check.ONE_END in failed(fsck.check(path, directory))


def test_damaged_page_is_found(store: Callable[[str], Path]) -> None:
    path = store("ee")
    with closing(sqlite.connect(str(path))) as opened:
        page = opened.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_of'").fetchone()[0]
        size = opened.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    findings = fsck.check(path)
    assert Check.DATABASE in failed(findings)
    # Of what could not be looked at, it does not say that it is right.
    assert Result.PASSED not in {finding.result for finding in findings}


# The registry.


@pytest.fixture
async def registered(tmp_path: Path) -> AsyncIterator[tuple[Path, Directory]]:
    async with office.office(tmp_path) as bench:
        await bench.enrolled(office.Applicant())
        await bench.revoke(address=office.NEWCOMER, participant=True)
        yield tmp_path / "node.db", bench.material.directory


REGISTRY = [
    (Check.LISTS, "UPDATE node_lists SET content = X'7b7d' WHERE version = (SELECT max(version) FROM node_lists)"),
    (Check.LISTS, "UPDATE node_lists SET content = X'' WHERE version = (SELECT min(version) FROM node_lists)"),
    (Check.LISTS, "UPDATE node_lists SET same_before = same_before - 1 WHERE same_before IS NOT NULL"),
    (Check.LISTS, "UPDATE node_lists SET same_after = NULL WHERE same_after IS NOT NULL"),
    (Check.LISTS, "UPDATE node_lists SET same_after = 9999999 WHERE same_after IS NOT NULL"),
    (Check.LISTS, "UPDATE node_lists SET version = version + 100"),
    (
        Check.LISTS,
        "INSERT INTO node_lists SELECT 9999, metadata, content, 1, NULL, NULL FROM node_lists WHERE same_after IS NULL",
    ),
    (Check.REGISTRY, "DELETE FROM decisions"),
    (Check.REGISTRY, "UPDATE certificates SET address = 'ee/other'"),
    (Check.REGISTRY, "UPDATE certificates SET certificate = X'00'"),
    (Check.REGISTRY, "UPDATE applications SET application = application || X'00'"),
    (Check.REGISTRY, "UPDATE invitations SET address = 'ee/other'"),
    (Check.REGISTRY, "UPDATE revocations SET list_version = 999999"),
    (Check.DECISIONS_PROVEN, "UPDATE decisions SET decision = decision || X'1800'"),
    (Check.DECISIONS_PROVEN, "UPDATE decisions SET key_id = zeroblob(16) WHERE registrar = 'ee/registrar'"),
    (Check.DECISIONS_PROVEN, "UPDATE decisions SET signature = X'ff'"),
]


async def test_registry_that_kept_its_promises_passes_every_check(registered: tuple[Path, Directory]) -> None:
    path, directory = registered
    findings = fsck.check(path, directory, node="ee")
    assert not failed(findings), [finding for finding in findings if finding.failures]


@pytest.mark.parametrize(("check", "statement"), REGISTRY, ids=[f"{c.name}-{i}" for i, (c, _) in enumerate(REGISTRY)])
async def test_what_breaks_a_promise_of_the_registry_is_found(
    registered: tuple[Path, Directory], check: Check, statement: str
) -> None:
    path, directory = registered
    spoil(path, statement)
    assert check in failed(fsck.check(path, directory, node="ee"))


def test_no_check_is_without_a_store_that_breaks_it() -> None:
    # Files are broken in test_backup_files.py.
    elsewhere = {Check.ONE_END} | fsck.WITH_FILES
    assert {check for check, *_ in BROKEN} | {check for check, _ in REGISTRY} | elsewhere == {*Check}
    assert [check.number for check in Check] == [*range(1, len(Check) + 1)]


# Where, and whether at all.


def test_there_is_no_verdict_on_what_is_no_store_of_this_version(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database at all, only text, and long enough to be none" * 40)
    open_store(tmp_path / "old.db")[1].dispose()
    spoil(tmp_path / "old.db", "UPDATE alembic_version SET version_num = '0001'")
    open_store(tmp_path / "blank.db")[1].dispose()
    spoil(tmp_path / "blank.db", "DELETE FROM alembic_version")
    for name in ("missing.db", "text.db", "old.db", "blank.db"):
        with pytest.raises(Refusal) as caught:
            fsck.check(tmp_path / name)
        assert caught.value.code is ErrorCode.BAD_CONFIG


class Troubled(sqlite.Connection):  # type: ignore[misc]  # pysqlite3 has no types
    """A connection to which something happens at one of its questions."""

    trouble: tuple[str, Exception]

    def execute(self, text: str, *values: Any) -> Any:
        where, error = self.trouble
        if where in text:
            raise error
        return super().execute(text, *values)


def by_sqlite(code: int) -> Exception:
    error: Exception = sqlite.OperationalError("it said so")
    error.sqlite_errorcode = code  # type: ignore[attr-defined]  # as SQLite sets it
    return error


def count(path: Path) -> list[figures.RanOut]:
    with figures.look(path) as view:
        return [*view.ran_out("ee/node")]


@pytest.mark.parametrize(
    "error",
    [
        by_sqlite(sqlite.SQLITE_FULL),
        by_sqlite(sqlite.SQLITE_BUSY),
        by_sqlite(sqlite.SQLITE_IOERR | 19 << 8),  # the disk is full when the store is opened
        psycopg.OperationalError("the connection is lost"),
    ],
)
@pytest.mark.parametrize("where", ["alembic_version", "FROM receipts", "BEGIN"])
@pytest.mark.parametrize("look", [fsck.check, count])
def test_store_that_cannot_be_read_now_is_called_neither_broken_nor_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Path], Any], where: str, error: Exception
) -> None:
    open_store(tmp_path / "store.db")[1].dispose()
    monkeypatch.setattr(Troubled, "trouble", (where, error), raising=False)
    monkeypatch.setattr(sqlite, "connect", partial(sqlite.connect, factory=Troubled))
    with pytest.raises(Failure) as caught:
        look(tmp_path / "store.db")
    assert caught.value.code is ErrorCode.STORE


@pytest.mark.parametrize(
    "error", [by_sqlite(sqlite.SQLITE_IOERR | 1 << 8), psycopg.errors.DataCorrupted("invalid page")]
)
def test_what_the_disk_does_not_give_back_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    open_store(tmp_path / "store.db")[1].dispose()
    monkeypatch.setattr(Troubled, "trouble", ("FROM receipts", error), raising=False)
    monkeypatch.setattr(sqlite, "connect", partial(sqlite.connect, factory=Troubled))
    assert Check.DATABASE in failed(fsck.check(tmp_path / "store.db"))


def test_empty_store_keeps_every_promise_and_a_connection_serves_as_well_as_a_path() -> None:
    assert not failed(fsck.check(world.memory_store(), world.DIRECTORY, node="ee"))


def test_it_looks_at_one_moment_while_a_node_writes(store: Callable[[str], Path], directory: Directory) -> None:
    path = store("ee")
    seen: list[tuple[int, int]] = []

    def write(done: int, total: int) -> None:
        seen.append((done, total))
        spoil(path, f"UPDATE envelopes SET case_id = 'other' WHERE seq = {FIRST}")

    with closing(sqlite.connect(str(path))) as opened:
        opened.execute("PRAGMA journal_mode = WAL")
    assert not failed(fsck.check(path, directory, progress=write))
    assert seen[-1][0] == seen[-1][1]
    assert Check.HEADERS in failed(fsck.check(path, directory))
