"""Somebody with the node's database, then with its key too: every table of the log, every way to change a row of it.

Whoever has the database alone is found by fsck, and the node signs nothing that does not continue what it signed
before. Whoever has the key, too, can make a store that is sound in itself: he is found by whoever has an older
checkpoint, be it one witness.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb

from gateway import log_entry, merkle, witness
from gateway.checkpoint import Checkpoint
from gateway.clock import to_micros
from gateway.errors import ErrorCode, Failure
from gateway.signer import KeySigner
from gateway.store import Transaction, fsck
from gateway.store.fsck import Check, Result
from gateway.store.log import LogView
from gateway.tiles import WIDTH
from gateway.witness import Alarm, Request, Witnessed
from tests import world
from tests.world import NOW

KEY = KeySigner(world.signing_key("ee/node"))
ORIGIN = "ee.rogatory.test/log"
OLD, ENTRIES = WIDTH + 44, 2 * WIDTH + 8
"""Sizes of the two checkpoints that were signed; the tree over the second has two hashes of its own."""


def record(txn: Transaction) -> None:
    sent = world.freeze_request()
    txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
    txn.state(world.say(pb.MILESTONE_ACCEPTED, sent))


def work(sql: Any, entries: int) -> None:
    with world.transaction(sql) as txn:
        for _ in range(entries // 2):
            record(txn)


def signed(sql: Any) -> Checkpoint | None:
    with world.transaction(sql) as txn:
        return txn.checkpoint(ORIGIN, KEY)


@pytest.fixture(scope="module")
def kept() -> Any:
    """A store that nobody has touched; each test has a copy."""
    sql = world.memory_store()
    work(sql, OLD)
    assert signed(sql) is not None
    work(sql, ENTRIES - OLD)
    assert signed(sql) is not None
    return sql


@pytest.fixture
def sql(kept: Any) -> Any:
    copy = world.memory_store()
    kept.backup(copy)
    copy.execute("PRAGMA foreign_keys = OFF")
    copy.execute("PRAGMA ignore_check_constraints = ON")
    return copy


def leaves(sql: Any, after: int = 0) -> list[bytes]:
    query = "SELECT leaf_hash FROM log_entries WHERE position > ? ORDER BY position"
    return [bytes(leaf) for (leaf,) in sql.execute(query, (after,)).fetchall()]


def failed(sql: Any) -> dict[Check, int]:
    """Return what fsck finds, with how often."""
    found = fsck.check(sql, world.DIRECTORY)
    return {each.check: each.failures for each in found if each.result is Result.FAILED}


def test_entries_that_were_made_without_their_node_are_sound_and_those_of_another_node_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leaf_hash = log_entry.leaf_hash

    def wrong(hashed: Callable[[str, bytes], bytes]) -> int:
        sql = world.memory_store()
        with monkeypatch.context() as patched:
            patched.setattr(log_entry, "leaf_hash", hashed)
            work(sql, OLD)
            assert signed(sql) is not None
        work(sql, ENTRIES - OLD)
        assert signed(sql) is not None
        return failed(sql).get(Check.LOG_LEAVES, 0)

    assert wrong(leaf_hash) == 0
    assert wrong(lambda _, about: merkle.leaf_hash(about)) == 0
    assert wrong(lambda _, about: leaf_hash("de/node", about)) == OLD


def swapped(table: str, key: str, one: int, other: int) -> tuple[str, ...]:
    return (
        f"UPDATE {table} SET {key} = -1 WHERE {key} = {one}",
        f"UPDATE {table} SET {key} = {one} WHERE {key} = {other}",
        f"UPDATE {table} SET {key} = {other} WHERE {key} = -1",
    )


SHIFTED = (
    "UPDATE log_entries SET position = -position WHERE position >= 5",
    "UPDATE log_entries SET position = 1 - position WHERE position < 0",
)
CLOSED = (
    "UPDATE log_entries SET position = -position WHERE position > 5",
    "UPDATE log_entries SET position = -1 - position WHERE position < 0",
)
DELETED = ("DELETE FROM log_entries WHERE position = 5", *CLOSED)
INSERTED = (
    *SHIFTED,
    "INSERT INTO log_entries SELECT 5, leaf_hash, envelope_seq, receipt_seq FROM log_entries WHERE position = 3",
)
ATTACKS: list[tuple[str, str, Check, tuple[str, ...]]] = [
    ("envelopes", "changed", Check.FINGERPRINTS, ("UPDATE envelopes SET payload = zeroblob(9) WHERE seq = 3",)),
    (
        "envelopes",
        "changed with its fingerprint",
        Check.LOG_LEAVES,
        ("UPDATE envelopes SET fingerprint = zeroblob(32)",),
    ),
    ("envelopes", "deleted", Check.SUBJECTS, ("DELETE FROM envelopes WHERE seq = 3",)),
    (
        "envelopes",
        "inserted",
        Check.LOG_COMPLETE,
        (
            (
                "INSERT INTO envelopes (sender, id, recipient, kind, case_id, recorded_at_us, fingerprint, header,"
                " proof, payload) SELECT sender, 'another', recipient, kind, case_id, recorded_at_us, fingerprint,"
                " header, proof, payload FROM envelopes WHERE seq = 3"
            ),
        ),
    ),
    ("envelopes", "reordered", Check.LOG_LEAVES, swapped("envelopes", "seq", 3, 4)),
    ("receipts", "changed", Check.STATEMENTS, ("UPDATE receipts SET at_us = at_us + 1 WHERE seq = 3",)),
    (
        "receipts",
        "changed with its statement",
        Check.LOG_LEAVES,
        ("UPDATE receipts SET statement = (SELECT statement FROM receipts WHERE seq = 4) WHERE seq = 3",),
    ),
    ("receipts", "deleted", Check.ACCEPTED, ("DELETE FROM receipts WHERE seq = 3",)),
    (
        "receipts",
        "inserted",
        Check.LOG_COMPLETE,
        (
            (
                "INSERT INTO receipts (sender, id, milestone, issuer, recipient, at_us, digest, statement, signature)"
                " SELECT sender, id, milestone, issuer, recipient, at_us, zeroblob(32), statement, signature"
                " FROM receipts WHERE seq = 3"
            ),
        ),
    ),
    ("receipts", "reordered", Check.LOG_LEAVES, swapped("receipts", "seq", 3, 4)),
    (
        "log_entries",
        "changed",
        Check.LOG_LEAVES,
        ("UPDATE log_entries SET leaf_hash = zeroblob(32) WHERE position = 5",),
    ),
    (
        "log_entries",
        "changed behind the tiles",
        Check.CHECKPOINTS,
        (f"UPDATE log_entries SET leaf_hash = zeroblob(32) WHERE position = {ENTRIES}",),
    ),
    ("log_entries", "deleted", Check.LOG_COMPLETE, DELETED),
    (
        "log_entries",
        "deleted at the end",
        Check.CHECKPOINTS,
        (f"DELETE FROM log_entries WHERE position > {ENTRIES - 4}",),
    ),
    ("log_entries", "deleted, and the gap left", Check.LOG_DENSE, ("DELETE FROM log_entries WHERE position = 5",)),
    ("log_entries", "inserted", Check.LOG_COMPLETE, INSERTED),
    ("log_entries", "reordered", Check.LOG_ORDER, swapped("log_entries", "position", 5, 7)),
    ("log_nodes", "changed", Check.LOG_TREE, ("UPDATE log_nodes SET hash = zeroblob(32) WHERE number = 0",)),
    ("log_nodes", "deleted", Check.LOG_TREE, ("DELETE FROM log_nodes WHERE number = 0",)),
    ("log_nodes", "inserted", Check.LOG_TREE, ("INSERT INTO log_nodes VALUES (1, 2, zeroblob(32))",)),
    ("log_nodes", "reordered", Check.LOG_TREE, swapped("log_nodes", "number", 0, 1)),
    (
        "checkpoints",
        "changed",
        Check.CHECKPOINTS,
        (f"UPDATE checkpoints SET root = zeroblob(32) WHERE size = {ENTRIES}",),
    ),
    (
        "checkpoints",
        "inserted",
        Check.CHECKPOINTS,
        (f"INSERT INTO checkpoints SELECT 9, origin, root, at_us, note FROM checkpoints WHERE size = {OLD}",),
    ),
    ("checkpoints", "reordered", Check.CHECKPOINTS, swapped("checkpoints", "size", OLD, ENTRIES)),
]


@pytest.mark.parametrize(
    ("check", "statements"), [each[2:] for each in ATTACKS], ids=[f"{table} {what}" for table, what, *_ in ATTACKS]
)
def test_somebody_with_the_database_is_found_and_no_other_log_is_signed(
    sql: Any, check: Check, statements: tuple[str, ...]
) -> None:
    honest, truth = failed(sql), leaves(sql)
    for statement in statements:
        assert sql.execute(statement).rowcount, "it changed nothing"
    found = failed(sql)
    assert found.get(check, 0) > honest.get(check, 0), found
    after: Checkpoint | None = None
    try:
        work(sql, 2)
        after = signed(sql)
    except Failure as refused:
        assert refused.code is ErrorCode.STORE  # noqa: PT017  it may also go on, with the log as it was
    if after is not None:
        assert after.size > ENTRIES
        assert after.root == merkle.root(truth + leaves(sql, ENTRIES))


def test_checkpoint_that_is_deleted_is_signed_again_as_it_was(sql: Any) -> None:
    """The one row that fsck cannot miss: whoever has it can prove that it was signed, and the log still fits it."""
    sql.execute(f"DELETE FROM checkpoints WHERE size = {ENTRIES}")
    assert failed(sql).keys().isdisjoint({Check.CHECKPOINTS, Check.CHECKPOINTS_SIGNED})
    assert signed(sql) == Checkpoint(ORIGIN, ENTRIES, merkle.root(leaves(sql)))


def test_somebody_sets_the_nodes_clock_back_between_two_checkpoints(sql: Any) -> None:
    """The order of a log is that of its entries: no time is believed."""
    before = leaves(sql)
    back = NOW - timedelta(days=400)
    with world.transaction(sql, back) as txn:
        record(txn)
    with world.transaction(sql, back) as txn:
        made = txn.checkpoint(ORIGIN, KEY)
    assert made is not None
    assert made.root == merkle.root(before + leaves(sql, ENTRIES))
    view = LogView(sql)
    newest, first = view.newest(), view.covering(1)
    assert newest is not None
    assert first is not None
    assert (newest.checkpoint, newest.at_us) == (made, to_micros(back))
    assert first.checkpoint.size == OLD
    proof = view.consistency(ENTRIES, made.size)
    merkle.check_consistency(ENTRIES, merkle.root(before), made.size, made.root, proof)


REWRITTEN = {
    "changed": ("UPDATE log_entries SET leaf_hash = zeroblob(32) WHERE position = 5",),
    "deleted": DELETED,
    "inserted": INSERTED,
    "reordered": swapped("log_entries", "position", 5, 7),
    "cut off": (f"DELETE FROM log_entries WHERE position > {ENTRIES - 4}",),
    "from scratch": (),
}


@pytest.mark.parametrize("what", REWRITTEN)
@pytest.mark.parametrize("more", [0, 40])
def test_operator_rewrites_the_log_with_the_nodes_own_key_and_one_older_checkpoint_convicts_him(
    sql: Any, what: str, more: int
) -> None:
    (note,) = sql.execute(f"SELECT note FROM checkpoints WHERE size = {ENTRIES}").fetchone()
    known = Witnessed(Checkpoint(ORIGIN, ENTRIES, LogView(sql).root(ENTRIES)), bytes(note))
    statements = REWRITTEN[what]
    if what == "from scratch":  # another hash for every entry
        statements = tuple(
            f"UPDATE log_entries SET leaf_hash = X'{merkle.leaf_hash(leaf).hex()}' WHERE position = {position}"
            for position, leaf in enumerate(leaves(sql), start=1)
        )
    for statement in statements:
        sql.execute(statement)
    # Nothing of before is left in the store: it is sound, and goes on.
    sql.execute("DELETE FROM checkpoints")
    sql.execute("DELETE FROM log_nodes")
    work(sql, more)
    made = signed(sql)
    assert made is not None
    assert made.root == merkle.root(leaves(sql))
    view, old = LogView(sql), min(ENTRIES, made.size)
    proof = tuple(view.consistency(old, made.size)) if old < made.size else ()
    brought = Witnessed(made, bytes(made.sign(KEY)))
    with pytest.raises(Alarm) as caught:
        witness.judge(Request(ENTRIES, proof, brought.note), brought, known, by_log=True)
    rolled_back = made.size < ENTRIES
    assert caught.value.code is (ErrorCode.LOG_ROLLED_BACK if rolled_back else ErrorCode.LOG_FORKED)
    assert {caught.value.evidence.held.note, caught.value.evidence.brought.note} == {known.note, brought.note}
