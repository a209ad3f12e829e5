"""The log's tree in the store, on both engines: it grows by whatever way entries come, and its proofs hold."""

from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb
from sqlalchemy import Engine

from gateway import checkpoint, merkle, statement
from gateway.clock import to_micros
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address
from gateway.merkle import Frontier, leaf_hash
from gateway.signer import KeySigner
from gateway.store import Reader, Transaction, log, open_store, restored
from gateway.store.log import LogView
from gateway.store.transaction import NEW_CHECKPOINT
from gateway.tiles import WIDTH
from tests import stores, world
from tests.world import NOW

ORIGIN = "ee.rogatory.test/log"
KEY = KeySigner(SigningKey(bytes(range(32))))
MINUTE = timedelta(minutes=1)
MANY = WIDTH * WIDTH + 3 * WIDTH + 7
"""Entries that make hashes of two levels above their own."""


class _Undone(Exception):
    """Undoes a part."""


@pytest.fixture(params=stores.ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[stores.Place]:
    with stores.using(request.param):
        yield stores.place(tmp_path / "store.db")


@pytest.fixture
def opened(place: stores.Place) -> Iterator[tuple[Any, Engine]]:
    connect, engine = open_store(place)
    yield connect, engine
    engine.dispose()


@pytest.fixture
def sql(opened: tuple[Any, Engine]) -> Iterator[Any]:
    with closing(opened[0]()) as connection:
        yield connection


def issue(said: Any) -> list[pb.Receipt]:
    return statement.issue(said, Address.of_node("ee"), world.signing_key("ee/node"))


def record(txn: Transaction) -> world.Sent:
    sent = world.freeze_request()
    txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
    txn.state(world.say(pb.MILESTONE_ACCEPTED, sent))
    return sent


def work(sql: Any, envelopes: int = 1) -> list[world.Sent]:
    """Record some envelopes with their receipts: two entries each."""
    with world.transaction(sql) as txn:
        return [record(txn) for _ in range(envelopes)]


def fill(sql: Any, size: int) -> None:
    """Log as a program of before did, which knew no tree: of entries, the last receipt is told again and again."""
    (begin,) = sql.execute("SELECT max(position) FROM log_entries").fetchone()
    (receipt,) = sql.execute("SELECT max(seq) FROM receipts").fetchone()
    rows = [(position, leaf_hash(b"%d" % position), None, receipt) for position in range(begin + 1, size + 1)]
    sql.begin()
    for at in range(0, len(rows), 4096):
        sql.insert("log_entries", ("position", "leaf_hash", "envelope_seq", "receipt_seq"), rows[at : at + 4096])
    sql.end(())


def leaves(sql: Any) -> list[bytes]:
    return [bytes(row[0]) for row in sql.execute("SELECT leaf_hash FROM log_entries ORDER BY position").fetchall()]


def levels(sql: Any) -> dict[int, int]:
    return dict(sql.execute("SELECT level, count(*) FROM log_nodes GROUP BY level").fetchall())


def signed(sql: Any, origin: str = ORIGIN) -> checkpoint.Checkpoint | None:
    with world.transaction(sql) as txn:
        return txn.checkpoint(origin, KEY)


def checkpoints(sql: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = sql.execute("SELECT size, origin FROM checkpoints ORDER BY size, origin").fetchall()
    return [tuple(row) for row in rows]


def test_tree_grows_with_what_is_recorded(sql: Any) -> None:
    work(sql, 100)
    assert levels(sql) == {}
    work(sql, 100)
    work(sql)
    assert levels(sql) == {1: 1}
    hashes, view = leaves(sql), LogView(sql)
    assert len(hashes) == view.size() == 402
    for size in (0, 1, 200, 255, 256, 257, 402):
        assert view.root(size) == merkle.root(hashes[:size])


def test_what_was_logged_without_a_tree_is_taken_along_and_every_proof_holds(
    opened: tuple[Any, Engine], sql: Any
) -> None:
    work(sql)
    fill(sql, MANY)
    log.catch_up(opened[0])
    log.catch_up(opened[0])
    assert levels(sql) == {1: MANY // WIDTH, 2: 1}
    work(sql)
    hashes = leaves(sql)
    view, root = LogView(sql), merkle.root(hashes)
    assert view.root(len(hashes)) == root
    for position in (1, 2, 256, 257, 65_536, 65_537, MANY, MANY + 1, MANY + 2):
        proof = view.inclusion(position, len(hashes))
        merkle.check_inclusion(hashes[position - 1], position - 1, len(hashes), proof, root)
    for old in (1, 255, 256, 65_535, 65_536, 65_537, MANY, len(hashes)):
        proof = view.consistency(old, len(hashes))
        merkle.check_consistency(old, merkle.root(hashes[:old]), len(hashes), root, proof)


def test_writer_itself_takes_along_what_others_logged_since(sql: Any) -> None:
    work(sql)
    fill(sql, 3 * WIDTH)
    work(sql)
    assert levels(sql) == {1: 3}
    assert LogView(sql).root(3 * WIDTH + 2) == merkle.root(leaves(sql))


def test_two_processes_that_write_in_turn_come_to_one_tree(opened: tuple[Any, Engine], sql: Any) -> None:
    trees: list[Frontier | None] = [None, None]
    with closing(opened[0]()) as other:
        for turn in range(30):
            connection = (sql, other)[turn % 2]
            txn = Transaction(connection, to_micros(NOW), "ee/node", trees[turn % 2])
            connection.begin()
            for _ in range(5):
                record(txn)
            txn.sign(issue)
            connection.end(())
            trees[turn % 2] = txn.tree
    assert levels(sql) == {1: 1}
    assert LogView(sql).root(300) == merkle.root(leaves(sql))
    assert trees[1] is not None
    assert trees[1].root == merkle.root(leaves(sql))


def test_part_that_is_undone_leaves_the_tree_as_it_was(sql: Any) -> None:
    work(sql)
    fill(sql, WIDTH)
    with world.transaction(sql) as txn:
        record(txn)
        with suppress(_Undone), txn.part():
            assert txn.checkpoint(ORIGIN, KEY) is not None
            raise _Undone
        assert txn.tree is None
    assert checkpoints(sql) == []
    assert levels(sql) == {1: 1}
    assert LogView(sql).root(WIDTH + 2) == merkle.root(leaves(sql))


def test_checkpoint_that_was_signed_with_a_stolen_key_is_signed_anew_once_and_stays_the_same(sql: Any) -> None:
    stolen, new = KEY.public_key, KeySigner(SigningKey(bytes(31) + b"\1"))
    work(sql, 3)
    made = signed(sql)
    before = LogView(sql).newest()
    assert before is not None
    assert not LogView(sql).lacks(ORIGIN, [new.public_key])
    assert LogView(sql).lacks(ORIGIN, [stolen])
    with world.transaction(sql, NOW + MINUTE) as txn:
        assert txn.checkpoint(ORIGIN, new, [stolen]) == made
        assert NEW_CHECKPOINT in txn.wake
        assert txn.checkpoint(ORIGIN, new, [stolen]) is None
    assert not LogView(sql).lacks(ORIGIN, [stolen])
    after = LogView(sql).newest()
    assert after is not None
    assert (after.checkpoint, after.at_us) == (before.checkpoint, to_micros(NOW + MINUTE))
    assert checkpoint.read(after.note, ORIGIN, [new.public_key])[0] == made
    with pytest.raises(Refusal):
        checkpoint.read(after.note, ORIGIN, [stolen])


def test_checkpoint_is_signed_over_all_that_is_logged_once(sql: Any) -> None:
    assert signed(sql) is None
    assert not LogView(sql).lacks(ORIGIN)
    work(sql, 3)
    assert LogView(sql).lacks(ORIGIN)
    made = signed(sql)
    assert made == checkpoint.Checkpoint(ORIGIN, 6, merkle.root(leaves(sql)))
    assert not LogView(sql).lacks(ORIGIN)
    assert signed(sql) is None
    work(sql)
    assert signed(sql) is not None
    assert checkpoints(sql) == [(6, ORIGIN), (8, ORIGIN)]
    view = LogView(sql)
    for position, size in ((1, 6), (6, 6), (7, 8), (8, 8)):
        covering = view.covering(position)
        assert covering is not None
        assert (covering.checkpoint.size, covering.at_us) == (size, to_micros(NOW))
        assert checkpoint.read(covering.note, ORIGIN, [KEY.public_key])[0] == covering.checkpoint
    assert view.covering(9) is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE log_entries SET leaf_hash = (SELECT leaf_hash FROM log_entries WHERE position = 1) WHERE position = 2",
        "DELETE FROM log_entries WHERE position > 4",
        "UPDATE checkpoints SET root = (SELECT leaf_hash FROM log_entries WHERE position = 1)",
    ],
    ids=["changed", "cut off", "another was signed"],
)
@pytest.mark.parametrize("more", [0, 1])
def test_what_does_not_continue_what_was_signed_is_not_signed(sql: Any, change: str, more: int) -> None:
    work(sql, 3)
    assert signed(sql) is not None
    sql.execute(change)
    work(sql, more)
    with pytest.raises(Failure) as caught:
        signed(sql)
    assert caught.value.code is ErrorCode.STORE
    assert checkpoints(sql) == [(6, ORIGIN)]


def test_entries_that_are_missing_are_told(sql: Any) -> None:
    work(sql, 200)
    sql.execute("DELETE FROM log_entries WHERE position = 300")
    with pytest.raises(Failure) as caught:
        signed(sql)
    assert caught.value.code is ErrorCode.STORE


def test_hash_that_is_none_is_told(sql: Any) -> None:
    work(sql)
    sql.execute("UPDATE log_entries SET leaf_hash = (SELECT min(statement) FROM receipts) WHERE position = 2")
    with pytest.raises(Failure) as caught:
        signed(sql)
    assert caught.value.code is ErrorCode.STORE


def test_store_that_was_restored_has_another_log(opened: tuple[Any, Engine], sql: Any) -> None:
    work(sql, 2)
    signed(sql)
    sql.begin()
    restored.mark(sql, 1, 2)
    sql.end(())
    assert restored.take_up(opened[0], 3, told=True) == 0
    view = LogView(sql)
    assert view.origin(ORIGIN) == f"{ORIGIN}/1"
    assert view.lacks(f"{ORIGIN}/1")
    again = signed(sql)
    assert again is not None
    assert (again.origin, again.size) == (f"{ORIGIN}/1", 4)
    assert signed(sql) is None
    work(sql)
    signed(sql)
    assert checkpoints(sql) == [(4, ORIGIN), (4, f"{ORIGIN}/1"), (6, f"{ORIGIN}/1")]


def test_entry_is_found_by_what_it_is_about(sql: Any) -> None:
    work(sql, 40)
    # A part that is undone leaves numbers out.
    with world.transaction(sql) as txn:
        with suppress(_Undone), txn.part():
            record(txn)
            raise _Undone
        record(txn)
    work(sql, 3)
    view = LogView(sql)
    for table in ("envelope", "receipt"):
        rows = sql.execute(f"SELECT position, {table}_seq FROM log_entries WHERE {table}_seq IS NOT NULL").fetchall()
        assert len(rows) == 44
        for position, seq in rows:
            assert view.position(table, seq) == position
        assert view.position(table, 0) is None
        assert view.position(table, 99) is None
    assert view.position("envelope", 41) is None


async def test_reader_asks_about_the_log(opened: tuple[Any, Engine], sql: Any) -> None:
    work(sql, 130)
    signed(sql)
    reader = Reader(opened[1])
    newest, proof = await reader.log(lambda view: (view.newest(), view.inclusion(7, 260)))
    assert newest is not None
    merkle.check_inclusion(leaves(sql)[6], 6, 260, proof, newest.checkpoint.root)
