"""What is urgent goes first, and nobody waits for ever."""

from collections import Counter
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import deliver, lanes, statement
from gateway.config import Delivery
from gateway.dispatch import Route
from gateway.lanes import PLACES, Lane, in_turn, lane_of
from gateway.lifecycle import Event
from gateway.record import Recorded
from gateway.store import Leased
from tests import world
from tests.world import DIRECTORY

URGENCIES = {
    Lane.EMERGENCY: ids.URGENCY_EMERGENCY,
    Lane.URGENT: ids.URGENCY_URGENT,
    Lane.ORDINARY: ids.URGENCY_ORDINARY,
}
FRAME = 64
SETTINGS = Delivery()


def queue(sql: Any, *waiting: tuple[str, Lane]) -> None:
    """Queue one request for each case and lane, in that order."""
    for case_id, lane in waiting:
        sent = world.freeze_request(case_id=case_id, urgency=URGENCIES[lane])
        with world.transaction(sql) as txn:
            seq = txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
            deliver.enqueue(Route(Recorded(seq, sent.header, sent.fingerprint), "de/node"), txn)


def lease(sql: Any, holder: str = "one", limit: int = FRAME, chance: float = 0.0) -> list[Leased]:
    with world.transaction(sql) as txn:
        return deliver.lease(txn, "de/node", holder, limit, SETTINGS, lambda: chance)


def cases(leased: list[Leased]) -> list[str]:
    return [pb.Header.FromString(one.envelope.header).case_id for one in leased if one.envelope is not None]


def many(name: str, lane: Lane, count: int) -> list[tuple[str, Lane]]:
    return [(f"{name}-{number}", lane) for number in range(count)]


def test_every_urgency_has_its_lane_and_one_of_a_later_version_is_ordinary() -> None:
    assert {lane: lane_of(urgency) for lane, urgency in URGENCIES.items()} == {lane: lane for lane in Lane}
    assert lane_of(ids.Urgency.ValueType(99)) is Lane.ORDINARY


def test_emergency_overtakes_bulk_disclosures_already_queued(sql: Any) -> None:
    queue(sql, *many("BULK", Lane.ORDINARY, 200), ("SOS", Lane.EMERGENCY), ("SOON", Lane.URGENT))
    first = cases(lease(sql))
    assert first[:2] == ["SOS", "SOON"]
    assert first[2:] == [f"BULK-{number}" for number in range(62)]


@pytest.mark.parametrize("above", [Lane.EMERGENCY, Lane.URGENT])
def test_flood_of_emergencies_leaves_every_lane_below_its_places_in_every_frame(sql: Any, above: Lane) -> None:
    below = [lane for lane in Lane if lane > above]
    waiting = [each for lane in below for each in many(lane.name, lane, 20)]
    queue(sql, *many("FLOOD", above, 3 * FRAME), *waiting)
    for _ in range(2):
        got = Counter(name.rpartition("-")[0] for name in cases(lease(sql)))
        assert got == {"FLOOD": FRAME - 8 * len(below), **{lane.name: 8 for lane in below}}


def test_lane_below_has_its_places_though_only_one_of_it_came_into_the_frame(sql: Any) -> None:
    queue(sql, *many("FLOOD", Lane.EMERGENCY, FRAME - 1), *many("BULK", Lane.ORDINARY, 20))
    got = Counter(name.rpartition("-")[0] for name in cases(lease(sql)))
    assert got["BULK"] >= 8


def test_who_takes_one_at_a_time_comes_to_every_lane(sql: Any) -> None:
    queue(sql, *many("FLOOD", Lane.EMERGENCY, 20), ("SOON", Lane.URGENT), ("BULK", Lane.ORDINARY))
    got = [cases(lease(sql, f"holder {place}", 1, place / 8))[0].rpartition("-")[0] or "other" for place in range(8)]
    assert Counter(got) == {"FLOOD": 6, "other": 2}


def test_frames_that_are_full_of_bytes_leave_the_lane_below_its_places_too(sql: Any, monkeypatch: Any) -> None:
    queue(sql, *many("FLOOD", Lane.EMERGENCY, 20), *many("BULK", Lane.ORDINARY, 2))
    lengths = "SELECT length(header) + length(proof) + length(payload) FROM envelopes WHERE seq = 1"
    (size,) = sql.execute(lengths).fetchone()
    got: list[str] = []
    for place in range(8):
        with world.transaction(sql) as txn:
            # Room for two copies, never for eight.
            leased = deliver.lease(txn, "de/node", f"{place}", FRAME, SETTINGS, lambda: place / 8, 2 * size + size // 2)  # noqa: B023
        got += cases(leased)
    assert {"BULK-0", "BULK-1"} <= set(got)


def test_earlier_copies_of_a_case_hurry_with_its_emergency_and_stay_before_it(sql: Any) -> None:
    queue(sql, ("A", Lane.ORDINARY), *many("BULK", Lane.ORDINARY, 100), ("A", Lane.URGENT), ("A", Lane.EMERGENCY))
    got = lease(sql)
    assert cases(got)[:4] == ["A", "A", "A", "BULK-0"]
    assert [one.seq for one in got[:3]] == [1, 102, 103]


def test_later_ordinary_copy_of_a_case_does_not_pass_its_emergency_that_waits(sql: Any) -> None:
    queue(sql, ("A", Lane.EMERGENCY), ("A", Lane.ORDINARY), ("B", Lane.ORDINARY))
    (first,) = lease(sql, limit=1)
    with world.transaction(sql) as txn:
        row = txn.deliveries.find(first.seq)
        assert row is not None
        txn.deliveries.move(row, Event.FAIL_CLEAN, next_attempt_at_us=txn.now_us + 60_000_000)
    assert cases(lease(sql, "two")) == ["B"]


def test_emergency_of_one_case_hurries_no_other_destination_or_case(sql: Any) -> None:
    queue(sql, ("A", Lane.ORDINARY), ("B", Lane.ORDINARY), ("A", Lane.EMERGENCY))
    assert [row[0] for row in sql.execute("SELECT lane FROM deliveries ORDER BY seq")] == [0, 2, 0]


def test_receipt_goes_in_the_lane_of_what_it_is_about(sql: Any) -> None:
    told = {}
    for lane, urgency in URGENCIES.items():
        sent = world.freeze_request(case_id=lane.name, urgency=urgency)
        with world.transaction(sql) as txn:
            seq = txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
            deliver.enqueue(Route(Recorded(seq, sent.header, sent.fingerprint), "de/node"), txn)
            txn.state(world.say(pb.MILESTONE_DELIVERED, sent), "ee/investigator")
        told[sent.header.id] = lane
    with world.transaction(sql) as txn:
        stranger = world.freeze_request()
        txn.state(world.say(pb.MILESTONE_DELIVERED, stranger), "ee/investigator")
    told[stranger.header.id] = Lane.ORDINARY
    with world.transaction(sql) as txn:
        receipts = [one.receipt for one in txn.deliveries.lease("ee/investigator", "one", txn.now_us + 1, 10, 1 << 20)]
    said = [statement.verify(one, DIRECTORY.signing_key).envelope.id for one in receipts if one is not None]
    assert [told[each] for each in said] == sorted(told.values())
    assert len(said) == len(told)


# The order itself, whatever waits.


@given(st.lists(st.sampled_from(Lane), max_size=200), st.floats(0, 1, exclude_max=True))
def test_all_that_is_due_comes_once_and_each_lane_in_its_own_order(waiting: list[Lane], chance: float) -> None:
    due = {lane: [n for n, each in enumerate(waiting) if each is lane] for lane in Lane}
    got = list(in_turn(due, chance))
    assert sorted(got) == list(range(len(waiting)))
    for lane in Lane:
        assert [n for n in got if waiting[n] is lane] == due[lane]


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_no_lane_waits_longer_than_eight_places_for_its_next(count: int, chance: float) -> None:
    due = {lane: [(lane, n) for n in range(count)] for lane in Lane}
    for lane in Lane:
        places = [at for at, (each, _) in enumerate(in_turn(due, chance)) if each is lane]
        assert places[0] < len(PLACES)
        assert all(later - before <= len(PLACES) for before, later in pairwise(places))


@given(st.integers(0, 500))
def test_own_places_are_never_fewer_than_the_turn_gives(limit: int) -> None:
    due = {lane: [lane] * limit for lane in Lane}
    for eighth in range(8):
        got = Counter(islice(in_turn(due, eighth / 8), limit))
        assert all(got[lane] <= max(lanes.own_places(lane, limit), 1) for lane in Lane if lane is not Lane.EMERGENCY)
