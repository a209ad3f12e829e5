"""What a node witnesses, in the store, on both engines: who writes against another's word does not, and limits hold."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import note
from gateway.errors import ErrorCode, Failure
from gateway.note import MAX_SIGNATURES, NoteSignature
from gateway.overview import MAX_ALARMS
from gateway.signer import KeySigner
from gateway.store import open_store, witnessing
from gateway.store.log import LogView
from gateway.witness import Evidence, Witnessed
from tests import stores, world
from tests.witnessed import ORIGIN, Log
from tests.world import NOW

LOG = Log(world.signing_key("ee/node"))
AT = int(NOW.timestamp())


@pytest.fixture(params=stores.ENGINES)
def sql(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with stores.using(request.param):
        connect, engine = open_store(stores.place(tmp_path / "store.db"))
        with closing(connect()) as connection:
            yield connection
        engine.dispose()


def seen(size: int, log: Log = LOG) -> Witnessed:
    return Witnessed(log.checkpoint(size), log.note(size))


def evidence(size: int, number: int = 0) -> Evidence:
    other = replace(LOG, name=f"other {number}")
    return Evidence(ErrorCode.LOG_FORKED, "it forked", seen(size), seen(size, other), (bytes(32), b"x" * 32))


def remember(sql: Any, found: Witnessed, before: Witnessed | None) -> None:
    with world.transaction(sql) as txn:
        txn.witness.remember(found, before)


def last(sql: Any, origin: str = ORIGIN) -> Witnessed | None:
    with world.transaction(sql) as txn:
        return txn.witness.last(origin)


def test_what_was_cosigned_last_is_remembered_of_each_log_alone(sql: Any) -> None:
    restored = replace(LOG, origin=f"{ORIGIN}/1")
    assert last(sql) is None
    remember(sql, seen(5), None)
    remember(sql, seen(9), seen(5))
    remember(sql, seen(9), seen(9))
    remember(sql, seen(3, restored), None)
    assert last(sql) == seen(9)
    assert last(sql, restored.origin) == seen(3, restored)


def test_checkpoint_that_is_signed_anew_takes_the_place_of_itself(sql: Any) -> None:
    anew = Witnessed(LOG.checkpoint(5), bytes(LOG.checkpoint(5).sign(KeySigner(world.signing_key("ee/node, new")))))
    remember(sql, seen(5), None)
    remember(sql, anew, seen(5))
    assert last(sql) == anew


@pytest.mark.parametrize("before", [None, seen(4), seen(5, replace(LOG, name="other"))])
def test_process_that_judged_by_what_is_no_longer_so_remembers_nothing(sql: Any, before: Witnessed | None) -> None:
    remember(sql, seen(5), None)
    with pytest.raises(Failure) as caught:
        remember(sql, seen(9), before)
    assert caught.value.code is ErrorCode.STORE
    assert last(sql) == seen(5)


def test_evidence_is_kept_whole_once_and_not_without_end(sql: Any) -> None:
    with world.transaction(sql) as txn:
        assert txn.witness.alarm(evidence(7))
        assert not txn.witness.alarm(replace(evidence(7), proof=()))
        for number in range(1, witnessing.MAX_ALARMS + 10):
            assert txn.witness.alarm(evidence(7, number)) is (number < witnessing.MAX_ALARMS)
    kept = LogView(sql).alarms(1000)
    assert len(kept) == witnessing.MAX_ALARMS
    first = kept[-1]
    assert (first.origin, first.code, first.detail) == (ORIGIN, ErrorCode.LOG_FORKED, "it forked")
    assert (first.held, first.brought) == (LOG.note(7), evidence(7).brought.note)
    assert first.proof == (bytes(32), b"x" * 32)


def unproven(number: int) -> Evidence:
    """Return what a log's own node says against it, which nobody else need believe."""
    return replace(evidence(7), code=ErrorCode.LOG_ROLLED_BACK, held=seen(100), brought=seen(number + 1), proof=())


def test_log_that_accuses_itself_without_proof_keeps_no_proof_out(sql: Any) -> None:
    with world.transaction(sql) as txn:
        kept = [txn.witness.alarm(unproven(number)) for number in range(witnessing.MAX_ALARMS + 1)]
        assert kept == [True] * witnessing.MAX_ALARMS + [False]
        assert txn.witness.alarm(evidence(7))
    with world.transaction(sql) as txn:
        assert not txn.witness.alarm(evidence(7))
        assert not txn.witness.alarm(unproven(witnessing.MAX_ALARMS))
        for number in range(1, witnessing.MAX_ALARMS + 1):
            assert txn.witness.alarm(evidence(7, number)) is (number < witnessing.MAX_ALARMS)
    assert len(LogView(sql).alarms(1000)) == 2 * witnessing.MAX_ALARMS


def test_log_that_accuses_itself_with_a_proof_of_nothing_keeps_the_proof_of_the_same_out_no_longer(sql: Any) -> None:
    """Caught with two checkpoints, it could bring them itself first; the witness would have had nothing to show."""
    rewritten = replace(LOG, name="rewritten")
    old, size = 5, 9
    found = Evidence(ErrorCode.LOG_FORKED, "it forked", seen(old), seen(size, rewritten), ())
    proof = rewritten.proof(old, size)
    with world.transaction(sql) as txn:
        assert txn.witness.alarm(found)
        assert txn.witness.alarm(replace(found, proof=proof))
        assert not txn.witness.alarm(replace(found, proof=proof))
        assert not txn.witness.alarm(replace(found, proof=(bytes(32),)))
    assert len(LogView(sql).alarms(1000)) == 2


def test_log_that_contradicts_itself_again_and_again_hides_no_other(sql: Any) -> None:
    other = replace(evidence(7), held=seen(7, replace(LOG, origin=f"{ORIGIN}/1")))
    with world.transaction(sql) as txn:
        assert txn.witness.alarm(other)
        for number in range(witnessing.MAX_ALARMS):
            assert txn.witness.alarm(evidence(7, number))
    assert [each.origin for each in LogView(sql).newest_alarms(MAX_ALARMS)] == [ORIGIN, other.origin]


# Of this node's own log.


def signed(sql: Any, count: int) -> list[int]:
    """Have so many checkpoints; return how many entries each covers."""
    sizes = []
    for _ in range(count):
        with world.transaction(sql) as txn:
            sent = world.freeze_request()
            txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
        with world.transaction(sql) as txn:
            made = txn.checkpoint(ORIGIN, KeySigner(LOG.key))
        assert made is not None
        sizes.append(made.size)
    return sizes


def line(sql: Any, size: int, name: str) -> NoteSignature:
    row = LogView(sql).covering(size)
    assert row is not None
    return row.checkpoint.cosign(name, KeySigner(world.signing_key(name)), AT)


def cosign(sql: Any, size: int, *names: str) -> None:
    row = LogView(sql).covering(size)
    assert row is not None
    with world.transaction(sql) as txn:
        for name in names:
            txn.witness.cosigned(row.checkpoint, line(sql, size, name))


def test_note_is_handed_out_with_every_cosignature_of_it(sql: Any) -> None:
    first, second = signed(sql, 2)
    cosign(sql, first, "de.rogatory.test", "fi.rogatory.test")
    cosign(sql, first, "de.rogatory.test")
    view = LogView(sql)
    row, newest = view.covering(first), view.newest()
    assert row is not None
    assert newest is not None
    found = note.parse(view.cosigned(row))
    assert [each.name for each in found.signatures] == [ORIGIN, "de.rogatory.test", "fi.rogatory.test"]
    assert view.cosigned(newest) == newest.note
    assert newest.checkpoint.size == second
    assert view.is_cosigned_by(row, "de.rogatory.test")
    assert not view.is_cosigned_by(newest, "de.rogatory.test")


def test_checkpoint_that_was_signed_anew_is_cosigned_anew_whatever_the_clock_did(sql: Any) -> None:
    (size,) = signed(sql, 1)
    cosign(sql, size, "de.rogatory.test", "fi.rogatory.test")
    new = KeySigner(world.signing_key("ee/node, new"))
    with world.transaction(sql, NOW + timedelta(hours=1)) as txn:
        txn.checkpoint(ORIGIN, new, [KeySigner(LOG.key).public_key])
    row = LogView(sql).newest()
    assert row is not None
    before = LogView(sql).cosigned(row)
    assert [each.name for each in note.parse(before).signatures] == [ORIGIN, "de.rogatory.test", "fi.rogatory.test"]
    assert not LogView(sql).is_cosigned_by(row, "de.rogatory.test")
    said = row.checkpoint.cosign("de.rogatory.test", KeySigner(world.signing_key("de.rogatory.test")), AT + 3600)
    with world.transaction(sql, NOW) as txn:
        txn.witness.cosigned(row.checkpoint, said, row.at_us)
    assert LogView(sql).is_cosigned_by(row, "de.rogatory.test")
    assert not LogView(sql).is_cosigned_by(row, "fi.rogatory.test")
    after = LogView(sql).cosigned(row)
    assert str(said) in after.decode()
    assert len(note.parse(after).signatures) == 3


def test_note_holds_no_more_signatures_than_are_read(sql: Any) -> None:
    (size,) = signed(sql, 1)
    cosign(sql, size, *(f"w{number}.example" for number in range(MAX_SIGNATURES + 5)))
    view = LogView(sql)
    row = view.newest()
    assert row is not None
    assert len(note.parse(view.cosigned(row)).signatures) == MAX_SIGNATURES


def test_checkpoint_is_found_by_how_many_have_cosigned_it(sql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = signed(sql, 6)
    cosign(sql, sizes[1], "a.example", "b.example")
    cosign(sql, sizes[3], "a.example", "b.example", "c.example")
    cosign(sql, sizes[4], "a.example")

    def covering(position: int, least: int) -> int | None:
        row = LogView(sql).covering_cosigned(position, least)
        return None if row is None else row.checkpoint.size

    def newest(least: int) -> int | None:
        row = LogView(sql).newest_cosigned(least)
        return None if row is None else row.checkpoint.size

    assert [newest(least) for least in range(5)] == [sizes[5], sizes[4], sizes[3], sizes[3], None]
    assert [covering(1, least) for least in range(5)] == [sizes[0], sizes[1], sizes[1], sizes[3], None]
    assert covering(sizes[1] + 1, 2) == sizes[3]
    assert covering(sizes[4], 2) is None
    # However many there are, a bounded number is looked through, from both ends.
    monkeypatch.setattr("gateway.store.log.LOOKED_THROUGH", 3)
    assert covering(1, 3) == sizes[3]
    assert newest(2) == sizes[3]
    monkeypatch.setattr("gateway.store.log.LOOKED_THROUGH", 1)
    assert covering(1, 3) is None


def test_what_was_said_of_a_checkpoint_goes_up_to_a_time_and_of_no_other(sql: Any) -> None:
    first, second = signed(sql, 2)
    cosign(sql, first, "a.example", "b.example")
    cosign(sql, second, "a.example")
    with world.transaction(sql) as txn:
        found = txn.letting_go.cosigned(-1, 8)
        assert [(each.size, each.name) for each in found] == [
            *((first, name) for name in ("a.example", "b.example")),
            (second, "a.example"),
        ]
        # A checkpoint of which not all would be told is told the next time.
        assert txn.letting_go.cosigned(-1, 3) == found[:2]
        assert txn.letting_go.cosigned(first, 8) == found[2:]
        assert txn.letting_go.forget_cosigned((first, ORIGIN), found[0].at_us - 1) == 0
        assert txn.letting_go.forget_cosigned((first, "other.example/log"), found[0].at_us) == 0
        assert txn.letting_go.forget_cosigned((first, ORIGIN), found[0].at_us) == 2
        assert txn.letting_go.cosigned(-1, 8) == found[2:]
