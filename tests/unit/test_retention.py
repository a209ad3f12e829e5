"""What may go and when; and that what goes is gone, while all that proves stays."""

import asyncio
import re
import tomllib
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import randbytes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey
from pydantic import ValidationError
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import retention, statement
from gateway.clock import to_micros
from gateway.config import Retention
from gateway.directory import ParticipantList
from gateway.errors import ErrorCode, Failure
from gateway.identity import Address, Role
from gateway.lifecycle import Event
from gateway.record import recorded_before
from gateway.registry import roll
from gateway.retention import DAY_US, Keeper, history_goes_at, payload_goes_at
from gateway.rules import State
from gateway.signer import KeySigner
from gateway.store import Reader, Transaction, fsck, open_store
from gateway.store.connection import store_at
from gateway.store.fsck import Check, Result
from gateway.store.letting_go import KEPT_FREE_PAGES, Cosigned, Standing
from gateway.store.log import LogView
from gateway.store.registry import RegistryRecord, RegistryView, StoredList, _cut
from gateway.trust.lists import SignedList
from tests import stores, world
from tests.errors import raises
from tests.world import FOREIGN_CENTRAL, NOW, Sent

PAGE = Path(__file__).parents[2] / "docs" / "retention.md"
T = to_micros(NOW)
DAY = timedelta(days=1)
DISCLOSURE = ids.KIND_DISCLOSURE


def settings(**fields: Any) -> Retention:
    return Retention.model_validate(fields)


def rule(after: str = "closed", days: float = 1, **fields: Any) -> dict[str, Any]:
    return {"after": after, "days": days, **fields}


def standing(**fields: Any) -> Standing:
    header = pb.Header(kind=fields.pop("kind", DISCLOSURE), urgency=fields.pop("urgency", ids.URGENCY_ORDINARY))
    usual = {"ended_at_us": T, "opened_at_us": T + 1, "closed_at_us": T + 2, "to_delete_since_us": None}
    return Standing(1, header, has_payload=True, **{**usual, **fields})


# When.


@pytest.mark.parametrize(
    ("fields", "found", "goes"),
    [
        ({}, standing(), None),
        ({}, standing(to_delete_since_us=T), None),
        ({"payloads": [rule("closed")]}, standing(), T + 2 + DAY_US),
        ({"payloads": [rule("closed")]}, standing(closed_at_us=None), None),
        ({"payloads": [rule("opened")]}, standing(closed_at_us=None), T + 1 + DAY_US),
        ({"payloads": [rule("opened")]}, standing(opened_at_us=None), None),
        ({"payloads": [rule("ended", 0.5)]}, standing(closed_at_us=None, opened_at_us=None), T + DAY_US // 2),
        # Never before every copy has ended, whatever was said of it and whatever the policy says.
        ({"payloads": [rule("ended", 0)]}, standing(ended_at_us=None), None),
        ({"payloads": [rule("opened", 0)]}, standing(ended_at_us=None), None),
        ({"to_delete_days": 0}, standing(ended_at_us=None, to_delete_since_us=T), None),
        ({"payloads": [rule("opened", 0)]}, standing(ended_at_us=T + 9), T + 9),
        # By kind and urgency; the first rule that fits counts.
        ({"payloads": [rule(kinds=["freeze-request"])]}, standing(), None),
        ({"payloads": [rule(kinds=["disclosure"], days=2), rule(days=1)]}, standing(), T + 2 + 2 * DAY_US),
        ({"payloads": [rule(urgencies=["emergency"])]}, standing(), None),
        ({"payloads": [rule(urgencies=["emergency"])]}, standing(urgency=ids.URGENCY_EMERGENCY), T + 2 + DAY_US),
        # What is to be deleted goes though the case is open; what asked for it does not.
        ({"to_delete_days": 3}, standing(closed_at_us=None, to_delete_since_us=T + 5), T + 5 + 3 * DAY_US),
        ({"to_delete_days": 3}, standing(kind=ids.KIND_EVIDENCE_REQUEST, to_delete_since_us=T), None),
        ({"to_delete_days": 3}, standing(), None),
        ({"to_delete_days": 0, "payloads": [rule(days=9)]}, standing(to_delete_since_us=T), T),
    ],
)
def test_payload_goes_when_the_policy_says_and_never_before_its_end(
    fields: dict[str, Any], found: Standing, goes: int | None
) -> None:
    assert payload_goes_at(found, settings(**fields)) == goes


@pytest.mark.parametrize(
    ("found", "goes"),
    [
        (replace(standing(), has_payload=False), T + 2 + DAY_US),
        (standing(), None),
        (replace(standing(closed_at_us=None), has_payload=False), None),
    ],
)
def test_history_goes_after_the_payload_and_the_case(found: Standing, goes: int | None) -> None:
    assert history_goes_at(found, settings(history_days=1)) == goes
    assert history_goes_at(found, settings()) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"payloads": [rule(kinds=["no-such-kind"])]},
        {"payloads": [rule(urgencies=["soon"])]},
        {"payloads": [rule("sent")]},
        {"payloads": [rule(days=-1)]},
        {"payloads": [{"after": "closed"}]},
        {"to_delete_days": -1},
    ],
)
def test_policy_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**fields)


def test_the_policy_in_the_documentation_says_what_it_says() -> None:
    text = PAGE.read_text()
    policy = settings(**tomllib.loads(text.split("```toml\n")[1].split("```")[0])["retention"])
    assert policy.is_on
    assert [each.after for each in policy.payloads] == ["opened", "closed"]
    assert policy.payloads[0].kinds == {DISCLOSURE, ids.KIND_EXECUTION_REPORT}
    assert (policy.to_delete_days, policy.history_days, policy.cosignatures_days) == (7, 3650, 30)
    assert policy.pause_seconds == Retention().pause_seconds
    assert not Retention().is_on


# What is known.


def record(txn: Transaction, sent: Sent, **delivery: Any) -> int:
    """Do what the path does with a lawful envelope to a mailbox of this node."""
    seq = txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
    txn.deliveries.add(sent.header.recipients[0], envelope_seq=seq, case_id=sent.header.case_id, **delivery)
    txn.state(world.say(pb.MILESTONE_ACCEPTED, sent, "de/node"))
    txn.add_event(sent.ref, "envelope.accepted", stages=" ".join(f"{s}:1" for s in fsck.records.STAGES))
    return seq


def deliver(txn: Transaction, sent: Sent, *, at: timedelta = timedelta()) -> None:
    (leased,) = txn.deliveries.lease(FOREIGN_CENTRAL, "holder", T * 2, 1, 1 << 20)
    row = txn.deliveries.find(leased.seq)
    assert row is not None
    txn.deliveries.move(row, Event.CONFIRM)
    said = world.say(pb.MILESTONE_DELIVERED, sent, "de/node", recipient=FOREIGN_CENTRAL, at_us=to_micros(NOW + at))
    txn.state(said, "ee/node")


def told(sql: Any, seq: int) -> Standing:
    with world.transaction(sql, node="de") as txn:
        found = txn.letting_go.one(seq)
    assert found is not None
    return found


def test_it_knows_when_an_envelope_ended_was_opened_and_closed(sql: Any) -> None:
    sent = world.freeze_request()
    with world.transaction(sql, node="de") as txn:
        seq = record(txn, sent)
        txn.matters.add_move(sent.ref, State.ASKED, sent.ref)
    assert told(sql, seq) == Standing(seq, sent.header, True, None, None, None, None)
    with world.transaction(sql, node="de") as txn:
        deliver(txn, sent, at=DAY)
    assert told(sql, seq) == Standing(seq, sent.header, True, T + DAY_US, None, None, None)
    with world.transaction(sql, NOW + 3 * DAY, node="de") as txn:
        txn.matters.add_move(sent.ref, State.REFUSED, None)
    assert told(sql, seq) == Standing(seq, sent.header, True, T + DAY_US, None, T + 3 * DAY_US, None)


def test_open_matter_of_the_case_or_above_keeps_it_open(sql: Any) -> None:
    request = world.freeze_request()
    other = world.freeze_request()
    below = world.send(DISCLOSURE, "de/exchange", "de/court", cites=[request.ref], case_id="OWN-1")
    with world.transaction(sql, node="de") as txn:
        for sent in (request, other, below):
            record(txn, sent)
        for sent in (request, other):
            txn.matters.add_move(sent.ref, State.ASKED, sent.ref)
        txn._sql.execute("UPDATE deliveries SET state = 'delivered' WHERE envelope_seq IS NOT NULL")
        for sent in (request, other, below):
            txn.state(world.say(pb.MILESTONE_DELIVERED, sent, "de/node", recipient=sent.header.recipients[0]))

    def open_ones() -> list[bool]:
        return [told(sql, seq).closed_at_us is None for seq in (1, 2, 3)]

    assert open_ones() == [True, True, True]
    with world.transaction(sql, node="de") as txn:
        txn.matters.add_move(request.ref, State.TO_DELETE, None)
    assert open_ones() == [True, True, True]
    assert [told(sql, seq).to_delete_since_us for seq in (1, 2, 3)] == [None, None, T]
    with world.transaction(sql, node="de") as txn:
        txn.matters.add_move(request.ref, State.CLOSED, None)
    assert open_ones() == [True, True, False]
    assert told(sql, 3).to_delete_since_us == T
    with world.transaction(sql, node="de") as txn:
        txn.matters.add_move(other.ref, State.REFUSED, None)
    assert open_ones() == [False, False, False]


@pytest.mark.parametrize(
    ("states", "since"),
    [
        ((State.ASKED, State.REFUSED), None),
        ((State.ASKED, State.TO_DELETE), T),
        ((State.ASKED, State.TO_DELETE, State.CLOSED), T),
        ((State.ASKED, State.TO_DELETE, State.GRANTED), None),
    ],
)
def test_answers_are_to_be_deleted_once_that_was_said_and_unless_their_request_goes_on(
    sql: Any, states: tuple[State, ...], since: int | None
) -> None:
    request = world.freeze_request()
    answer = world.send(DISCLOSURE, "de/exchange", "de/court", cites=[request.ref], case_id="OWN-1")
    with world.transaction(sql, node="de") as txn:
        record(txn, request)
        seq = record(txn, answer)
        txn._sql.execute("UPDATE deliveries SET state = 'delivered' WHERE envelope_seq IS NOT NULL")
        txn.state(world.say(pb.MILESTONE_DELIVERED, answer, "de/node", recipient="de/court"))
        for state in states:
            txn.matters.add_move(request.ref, state, None)
    assert told(sql, seq).to_delete_since_us == since


def test_state_that_only_a_newer_program_on_this_store_knows_lets_nothing_go(path: Path) -> None:
    above = world.freeze_request()
    below = world.send(DISCLOSURE, "de/exchange", "de/court", cites=[above.ref], case_id="OWN-1")
    with stores.opened(stores.place(path)) as sql:
        with world.transaction(sql, node="de") as txn:
            for sent in (above, below):
                record(txn, sent)
                txn.state(world.say(pb.MILESTONE_DELIVERED, sent, "de/node", recipient=sent.header.recipients[0]))
            txn.matters.add_move(above.ref, State.ASKED, above.ref)
            txn._sql.execute("UPDATE deliveries SET state = 'delivered' WHERE envelope_seq IS NOT NULL")
        sql.execute("PRAGMA ignore_check_constraints = ON")  # in the place of a migration
        sql.execute("UPDATE moves SET state = 'of a newer program'")
        for seq in (1, 2):
            found = told(sql, seq)
            assert (found.ended_at_us, found.closed_at_us, found.to_delete_since_us) == (T, None, None)


def test_end_that_another_node_dates_before_the_envelope_came_hurries_no_payload_away(sql: Any) -> None:
    """Only the key with which it is signed bounds its time."""
    sent = world.freeze_request()
    with world.transaction(sql, node="de") as txn:
        seq = record(txn, sent)
        txn._sql.execute("UPDATE deliveries SET state = 'delivered' WHERE envelope_seq IS NOT NULL")
        for milestone in (pb.MILESTONE_DELIVERED, pb.MILESTONE_OPENED):
            txn.state(world.say(milestone, sent, "de/node", recipient=FOREIGN_CENTRAL, at_us=T - 300 * DAY_US))
    found = told(sql, seq)
    assert found.ended_at_us == T
    for after in ("ended", "opened"):
        assert payload_goes_at(found, settings(payloads=[rule(after, 30)])) == T + 30 * DAY_US


def test_end_that_another_node_dates_into_the_future_keeps_no_payload_past_the_policy(sql: Any) -> None:
    sent = world.freeze_request()
    with world.transaction(sql, node="de") as txn:
        seq = record(txn, sent)
        txn._sql.execute("UPDATE deliveries SET state = 'delivered' WHERE envelope_seq IS NOT NULL")
    with world.transaction(sql, NOW + DAY, node="de") as txn:
        for milestone in (pb.MILESTONE_DELIVERED, pb.MILESTONE_OPENED):
            txn.state(world.say(milestone, sent, "ee/node", recipient=FOREIGN_CENTRAL, at_us=T + 3000 * DAY_US))
            txn.add_event(sent.ref, statement.event_name(milestone), actor="ee/node")
    for after in ("ended", "opened"):
        assert payload_goes_at(told(sql, seq), settings(payloads=[rule(after, 30)])) == T + 31 * DAY_US


def test_refusal_before_it_was_taken_or_of_other_bytes_is_no_end(sql: Any) -> None:
    sent = world.freeze_request()
    with world.transaction(sql, node="de") as txn:
        txn.state(world.say(pb.MILESTONE_REFUSED, sent, "de/node"))
    with world.transaction(sql, node="de") as txn:
        seq = record(txn, sent)
        txn._sql.execute("UPDATE deliveries SET state = 'delivered' WHERE envelope_seq IS NOT NULL")
    with world.transaction(sql, node="de") as txn:
        other = world.say(pb.MILESTONE_REFUSED, sent, "de/node")
        other.fingerprint = bytes(32)
        txn.state(other)
    assert told(sql, seq).ended_at_us is None


# What goes.


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


@asynccontextmanager
async def keeping(path: stores.Place, policy: Retention, now: timedelta = timedelta()) -> AsyncIterator[Keeper]:
    connect, engine = open_store(path)
    writer = world.writer(connect, lambda: NOW + now, "de")
    reader = Reader(engine)
    try:
        yield Keeper(policy, "de/node", writer, reader, lambda: NOW + now, 0.0, no_pause)
    finally:
        await writer.close()
        reader.close()


def failed(path: stores.Place) -> list[fsck.Finding]:
    # MOVES and TURNS: the tests above this table make matters without the documents that would move them.
    return [
        finding
        for finding in fsck.check(path, node="de")
        if finding.result is Result.FAILED and finding.check not in {Check.MOVES, Check.TURNS}
    ]


async def test_payload_goes_and_all_that_proves_stays(sql: Any, path: Path) -> None:
    # Larger than a page, so that it lies on pages of its own, which are freed.
    sent, waits = world.freeze_request(body=b"x" * 20_000), world.freeze_request(case_id="EE-2")
    with world.transaction(sql, node="de") as txn:
        seq = record(txn, sent)
        txn.matters.add_move(sent.ref, State.REFUSED, sent.ref)
    with world.transaction(sql, node="de") as txn:
        deliver(txn, sent)
        record(txn, waits)
    with world.transaction(sql, node="de") as txn:
        receipt = txn.acceptance(sent.ref)
    async with keeping(path, settings(payloads=[rule(days=2)]), now=DAY) as keeper:
        await keeper.look()
        assert sql.execute("SELECT count(*) FROM envelopes WHERE payload IS NULL").fetchone() == (0,)
    async with keeping(path, settings(payloads=[rule(days=2)]), now=2 * DAY) as keeper:
        await keeper.look()
        await keeper.look()
    assert sql.execute("SELECT seq FROM envelopes WHERE payload IS NULL").fetchall() == [(seq,)]
    purged = "SELECT at_us, actor FROM events WHERE name = 'payload.purged' AND envelope_id = ?"
    assert sql.execute(purged, (sent.header.id,)).fetchall() == [(T + 2 * DAY_US, "de/node")]
    assert failed(path) == []
    with world.transaction(sql, node="de") as txn:
        # The very receipt again for the same bytes, and a conflict for others.
        assert recorded_before(sent.header, sent.fingerprint, txn) == receipt
        # Nobody is handed an envelope without its payload, not even by a store that lies.
        txn._sql.execute("UPDATE deliveries SET state = 'queued' WHERE envelope_seq = ?", (seq,))
        with pytest.raises(Failure) as caught:
            txn.deliveries.lease(FOREIGN_CENTRAL, "holder", T * 2, 10, 1 << 20)
        assert caught.value.code is ErrorCode.STORE


def found(sql: Any, path: Path, marks: list[bytes]) -> int:
    sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    return sum(mark in content for mark in marks)


async def test_purged_bytes_are_nowhere_in_the_file(sql: Any, path: Path) -> None:
    sent = world.freeze_request(body=b"x" * 20_000)
    with world.transaction(sql, node="de") as txn:
        record(txn, sent)
    with world.transaction(sql, node="de") as txn:
        deliver(txn, sent)
    payload = sent.envelope.sealed_payload
    marks = [payload[start : start + 16] for start in range(0, len(payload), 500)]
    # Some lie across two pages.
    assert found(sql, path, marks) > len(marks) * 3 / 4
    async with keeping(path, settings(payloads=[rule("ended", 0)])) as keeper:
        await keeper.look()
    assert found(sql, path, marks) == 0


async def test_copy_that_came_on_its_way_meanwhile_keeps_its_payload(sql: Any) -> None:
    sent = world.freeze_request()
    with world.transaction(sql, node="de") as txn:
        seq = record(txn, sent)
        assert not txn.letting_go.purge(seq)
    assert sql.execute("SELECT payload IS NULL FROM envelopes").fetchall() == [(0,)]


async def test_nothing_goes_by_a_time_that_is_in_doubt_when_it_would_go(sql: Any, path: Path) -> None:
    sent = world.freeze_request()
    with world.transaction(sql, node="de") as txn:
        record(txn, sent)
        txn.matters.add_move(sent.ref, State.REFUSED, sent.ref)
    with world.transaction(sql, node="de") as txn:
        deliver(txn, sent)
    times = iter([NOW + 2 * DAY])

    def once() -> datetime:
        for at in times:
            return at
        raise Failure(ErrorCode.UNAVAILABLE, "the clock was set")

    async with keeping(path, settings(payloads=[rule(days=2)]), now=2 * DAY) as keeper:
        keeper._clock = once
        with raises(ErrorCode.UNAVAILABLE):
            await keeper.look()
    assert sql.execute("SELECT count(*) FROM envelopes WHERE payload IS NULL").fetchone() == (0,)


@pytest.mark.parametrize("at_once", [retention.ROWS_AT_ONCE, 1])
async def test_history_goes_long_after_and_the_trace_still_tells(
    sql: Any, path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", at_once)
    sent, kept = world.freeze_request(), world.freeze_request(case_id="EE-2")
    stray = world.freeze_request(case_id="EE-3")
    for each in (sent, kept):
        with world.transaction(sql, node="de") as txn:
            record(txn, each)
            txn.matters.add_move(each.ref, State.REFUSED if each is sent else State.ASKED, each.ref)
        with world.transaction(sql, node="de") as txn:
            deliver(txn, each)
    with world.transaction(sql, node="de") as txn:
        txn._sql.execute("UPDATE deliveries SET state = 'delivered', attempts = 1 WHERE receipt_seq IS NOT NULL")
        txn.state(world.say(pb.MILESTONE_REFUSED, stray, "de/node"))
        txn.add_event(stray.ref, "envelope.refused")
    policy = settings(payloads=[rule(days=0)], history_days=10)
    names = "SELECT name FROM events WHERE envelope_id = ? ORDER BY seq"
    for days, pruned in ((9, 0), (10, 1), (11, 1)):
        async with keeping(path, policy, now=days * DAY) as keeper:
            await keeper.look()
            await keeper.look()
        counts = "SELECT count(*) FROM events WHERE name = 'history.pruned'"
        assert sql.execute(counts).fetchone() == (pruned,)
        assert len(sql.execute(names, (stray.header.id,)).fetchall()) == 1 - pruned
    assert sql.execute(names, (sent.header.id,)).fetchall() == [("payload.purged",), ("history.pruned",)]
    assert sql.execute(names, (kept.header.id,)).fetchall() == [("envelope.accepted",)]
    assert sql.execute(names, (stray.header.id,)).fetchall() == []
    # Those of `kept`: its own copy and that of its end.
    assert sql.execute("SELECT count(*) FROM deliveries").fetchone() == (2,)
    assert failed(path) == []
    _, engine = open_store(path)
    reader = Reader(engine)
    (row,) = await reader.trace(sent.header.id)
    assert {statement_of(each).milestone for each in row.receipts} == {pb.MILESTONE_ACCEPTED, pb.MILESTONE_DELIVERED}
    (row,) = await reader.trace(stray.header.id)
    assert [statement_of(each).milestone for each in row.receipts] == [pb.MILESTONE_REFUSED]
    reader.close()


def statement_of(receipt: pb.Receipt) -> pb.Statement:
    return pb.Statement.FromString(receipt.statement)


# Space.


def size(sql: Any, path: Path) -> int:
    sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def fill(sql: Any, megabytes: int) -> None:
    with world.transaction(sql, node="de") as txn:
        for _ in range(megabytes):
            sent = world.freeze_request(body=randbytes(1 << 20))  # no server makes less of it
            record(txn, sent)
            txn._sql.execute("UPDATE deliveries SET state = 'delivered', attempts = 1 WHERE envelope_seq IS NOT NULL")
            txn.state(world.say(pb.MILESTONE_DELIVERED, sent, "de/node", recipient=FOREIGN_CENTRAL), "ee/node")


async def test_space_of_what_is_purged_is_given_back_while_the_node_serves(sql: Any, path: Path) -> None:
    fill(sql, 8)
    before = size(sql, path)
    async with keeping(path, settings(payloads=[rule("ended", 0)])) as keeper:
        await keeper.look()
    assert size(sql, path) < before - (6 << 20)
    assert sql.execute("PRAGMA freelist_count").fetchone()[0] <= KEPT_FREE_PAGES
    assert failed(path) == []


async def test_store_of_an_older_version_gives_space_back_once_it_is_compacted(sql: Any, path: Path) -> None:
    sql.execute("PRAGMA auto_vacuum = NONE")
    sql.execute("VACUUM")
    fill(sql, 4)
    policy = settings(payloads=[rule("ended", 0)])
    async with keeping(path, policy) as keeper:
        await keeper.look()
    assert sql.execute("PRAGMA freelist_count").fetchone()[0] > KEPT_FREE_PAGES
    size(sql, path)
    before, after = store_at(path).compact()
    assert after == size(sql, path) < before - (3 << 20)
    with closing(open_store(path)[0]()) as opened:
        assert opened.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert failed(path) == []


async def test_store_of_a_server_gives_space_back_once_it_is_compacted(tmp_path: Path) -> None:
    taken = "SELECT pg_database_size(current_database())"
    with stores.using("postgres"):
        place = stores.place(tmp_path / "store.db")
        with stores.opened(place) as sql:
            fill(sql, 4)
            async with keeping(place, settings(payloads=[rule("ended", 0)])) as keeper:
                await keeper.look()
            sql.begin()
            with raises(ErrorCode.STORE):
                store_at(place).compact()  # somebody is at work there
            sql.abandon()
            ((full,),) = stores.rows(place, taken)
        before, after = store_at(place).compact()
        assert before - after > 3 << 20
        ((left,),) = stores.rows(place, taken)
        assert full - left > 3 << 20
        assert failed(place) == []


def test_new_store_is_made_to_give_space_back(sql: Any) -> None:
    assert sql.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert sql.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# Cosignatures.


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def cosigned_each_minute(sql: Any, by: Sequence[Collection[str]]) -> None:
    """Have a checkpoint a minute, cosigned by these."""
    signer = KeySigner(world.signing_key("de/node"))
    for number, names in enumerate(by):
        sent, at = world.freeze_request(case_id=f"EE-{number}"), NOW + minutes(number)
        with world.transaction(sql, at, node="de") as txn:
            record(txn, sent)
        with world.transaction(sql, at, node="de") as txn:
            made = txn.checkpoint("de.rogatory.test/log", signer)
            assert made is not None
            for name in names:
                line = made.cosign(name, KeySigner(world.signing_key(name)), int(at.timestamp()))
                txn.witness.cosigned(made, line)


def covered(sql: Any, least: int) -> dict[int, int]:
    """Return when the first checkpoint was signed that covers each entry and that so many have cosigned."""
    view = LogView(sql)
    found = {position: view.covering_cosigned(position, least) for position in range(1, view.size() + 1)}
    return {position: row.at_us for position, row in found.items() if row is not None}


async def test_cosignatures_that_later_ones_say_again_go_and_every_entry_stays_covered_by_as_many(
    sql: Any, path: Path
) -> None:
    a, b, c = "a.example", "b.example", "c.example"
    # One is away for a while, one leaves for ever, and the newest was cosigned by nobody.
    cosigned_each_minute(sql, [{a, b, c}] * 13 + [{a, c}] * 4 + [{a, b}] * 14 + [{a}] * 4 + [set()])
    lines = "SELECT count(*) FROM cosignatures"
    before = [covered(sql, least) for least in range(4)]
    last = {name: LogView(sql).cosigned_last(name) for name in (a, b, c)}
    count, wrong = sql.execute(lines).fetchone()[0], failed(path)
    async with keeping(path, settings(cosignatures_days=2), now=DAY) as keeper:
        await keeper.look()
    assert sql.execute(lines).fetchone() == (count,)
    async with keeping(path, settings(cosignatures_days=2), now=3 * DAY) as keeper:
        await keeper.look()
        thinned = sql.execute("SELECT * FROM cosignatures ORDER BY size, name").fetchall()
        await keeper.look()
    assert sql.execute("SELECT * FROM cosignatures ORDER BY size, name").fetchall() == thinned
    assert len(thinned) < count // 4
    for least in range(4):
        after = covered(sql, least)
        assert after.keys() == before[least].keys()
        assert all(after[each] - before[least][each] < retention.COSIGNED_EVERY_US for each in after)
    for name, (size, at_us, _) in last.items():
        assert LogView(sql).cosigned_last(name)[:2] == (size, at_us)
    assert failed(path) == wrong


async def test_cosignatures_go_a_part_at_a_time_and_whole_checkpoints_of_each(
    sql: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = "a.example", "b.example", "c.example"
    cosigned_each_minute(sql, [{a, b, c}] * 20)
    for at_once in (4, 2):  # the second: fewer than one checkpoint has
        monkeypatch.setattr(retention, "ROWS_AT_ONCE", at_once)
        async with keeping(path, settings(cosignatures_days=1), now=9 * DAY) as keeper:
            await keeper.look()
        assert all(count == 3 for (count,) in sql.execute("SELECT count(*) FROM cosignatures GROUP BY size").fetchall())
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 1024)
    async with keeping(path, settings(cosignatures_days=1), now=9 * DAY) as keeper:
        await keeper.look()
    assert sql.execute("SELECT count(DISTINCT size) FROM cosignatures").fetchone()[0] <= 3


async def test_clock_that_was_ahead_once_keeps_no_cosignatures_for_ever(
    sql: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 4)
    cosigned_each_minute(sql, [{"a.example"}] * 16)
    sql.execute("UPDATE cosignatures SET at_us = ? WHERE size <= 8", (T + 99 * DAY_US,))
    async with keeping(path, settings(cosignatures_days=1), now=9 * DAY) as keeper:
        await keeper.look()
    assert sql.execute("SELECT count(*) FROM cosignatures WHERE at_us < ?", (T + DAY_US,)).fetchone()[0] < 12


MARKS = st.sets(st.tuples(st.sampled_from("ab"), st.sampled_from([b"1", b"2"]), st.integers(0, 2)), max_size=4)


@given(st.lists(MARKS, max_size=12))
def test_whatever_goes_was_said_again_of_a_larger_tree_by_the_same_keys_and_soon(said: list[set[Any]]) -> None:
    step = retention.COSIGNED_EVERY_US
    rows = [Cosigned(size, "log", who, key, at * step) for size, marks in enumerate(said) for who, key, at in marks]
    gone = {size for size, _ in retention.said_again(rows)}
    kept = [row for row in rows if row.size not in gone]
    for size in gone:
        assert any(each > size and each not in gone and said[size] <= said[each] for each in range(len(said)))
    assert retention.said_again(kept) == []


def test_cosignatures_of_the_log_before_a_restoration_are_not_said_again_of_the_log_after_it() -> None:
    rows = [Cosigned(size, f"log/{size}", "a.example", b"1", T) for size in (1, 2)]
    assert retention.said_again(rows) == []


# The node's own list


def versions(count: int) -> list[SignedList]:
    """Return versions of a list of a hundred participants; each changes one, or puts one out, or adds one."""
    signer, found = SigningKey.generate(), list[SignedList]()
    listed = ParticipantList(node="ee", participants=())
    for number in range(100 + count):
        now, public = NOW + number * DAY, sha256(bytes([number])).digest()
        who = Address("ee", f"exchange-{number % 70}")
        if roll.find(listed, who) is None:
            name = f"Õ{number}"
            listed = roll.admit(
                listed, roll.Newcomer(who, frozenset({Role.EXCHANGE}), name, "", public, public), now, frozenset()
            )
        elif number % 3:
            listed = roll.renew(listed, who, roll.NewKeys(public, public, now, DAY))
        else:
            listed = roll.put_out(listed, who, now)
        if number >= 100:
            found.append(SignedList.sign(signer, listed, 7 + len(found), now))
    return found


@pytest.mark.parametrize("engine", stores.ENGINES)
def test_every_version_of_the_list_can_be_had_and_takes_what_it_changed(engine: str, tmp_path: Path) -> None:
    (query,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    signed = versions(40)
    with stores.using(engine):
        place = stores.place(tmp_path / "store.db")
        query = query.replace("BLOB", "BYTEA") if stores.is_postgres() else query
        with stores.opened(place) as sql:
            for each in signed[:10]:  # as a program of before wrote them
                sql.execute(
                    "INSERT INTO node_lists (version, metadata, content, made_at_us) VALUES (?, ?, ?, 0)",
                    (each.version, each.metadata, each.content),
                )
            for each in signed[10:]:
                RegistryRecord(sql, T).add_list(StoredList(each.version, each.metadata, each.content, T))
            assert query.count("17") == 1
            for each in signed:
                (content,) = sql.execute(query.replace("17", str(each.version))).fetchone()
                assert SignedList.read("ee", each.metadata, bytes(content)) == each
            newest = RegistryView(sql).newest_list()
            assert newest is not None
            assert bytes(newest.content) == signed[-1].content
            sizes = [size for (size,) in sql.execute("SELECT length(content) FROM node_lists ORDER BY version")]
        (found,) = (each for each in fsck.check(place) if each.check is Check.LISTS)
        assert found.result is Result.PASSED
    assert sizes[-1] == len(signed[-1].content) > 30_000
    assert max(sizes[:-1]) < 1_500


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_what_a_version_changed_and_the_next_give_it_back(start: bytes, old: bytes, new: bytes, end: bytes) -> None:
    content, following = start + old + end, start + new + end
    kept, before, after = _cut(content, following)
    assert following[:before] + kept + following[len(following) - after :] == content
    assert len(kept) <= len(old)
