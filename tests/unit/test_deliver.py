from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import deliver
from gateway.clock import to_micros
from gateway.config import Delivery
from gateway.deliver import Circuit
from gateway.directory import Status
from gateway.dispatch import Route, dispatch, way_to_sender
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.gathering import MAX_FRAME_BYTES
from gateway.lifecycle import Event, State
from gateway.record import Recorded
from gateway.store import Leased
from tests import world
from tests.world import DIRECTORY, FOREIGN_CENTRAL, INVESTIGATOR, NOW, Sent

SETTINGS = Delivery(lease_seconds=30, backoff_first_seconds=0.5, backoff_max_seconds=60)
LEASE = timedelta(seconds=30)
LATER = timedelta(days=365)
DOWN = Failure(ErrorCode.UNAVAILABLE, "the node is down")


def enqueue(sql: Any, *, expires_in: timedelta | None = None, skew_seconds: float = 0.0, **changes: Any) -> int:
    """Record and queue a request; return the number of its delivery."""
    expires_at = None if expires_in is None else NOW + expires_in
    sent = world.freeze_request(expires_at=expires_at, **changes)
    with world.transaction(sql) as txn:
        seq = txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
        deliver.enqueue(Route(Recorded(seq, sent.header, sent.fingerprint), "de/node"), txn, skew_seconds)
        assert txn.wake == {"de/node"}
    return int(sql.execute("SELECT max(seq) FROM deliveries").fetchone()[0])


def lease(sql: Any, holder: str = "courier", after: timedelta = timedelta()) -> list[Leased]:
    with world.transaction(sql, NOW + after) as txn:
        return deliver.lease(txn, "de/node", holder, 10, SETTINGS, lambda: 0.0)


def fail(sql: Any, seq: int, event: Event, holder: str = "courier", delay: float = 5.0) -> None:
    with world.transaction(sql) as txn:
        deliver.fail(txn, seq, holder, event, DOWN, delay)


def sweep(sql: Any, after: timedelta = timedelta()) -> list[deliver.Settled]:
    with world.transaction(sql, NOW + after) as txn:
        return deliver.sweep(txn)


def state(sql: Any, seq: int) -> State:
    return State(sql.execute("SELECT state FROM deliveries WHERE seq = ?", (seq,)).fetchone()[0])


def test_lease_is_for_as_long_as_the_settings_say(sql: Any) -> None:
    seq = enqueue(sql)
    assert [leased.seq for leased in lease(sql)] == [seq]
    assert sql.execute("SELECT lease_until_us FROM deliveries").fetchone() == (to_micros(NOW + LEASE),)


def test_copy_that_was_not_taken_is_tried_again_after_its_delay_and_not_before(sql: Any) -> None:
    seq = enqueue(sql)
    lease(sql)
    fail(sql, seq, Event.FAIL_CLEAN, delay=5)
    assert state(sql, seq) is State.QUEUED
    assert lease(sql, after=timedelta(seconds=4.999)) == []
    (again,) = lease(sql, after=timedelta(seconds=5))
    assert again.state is State.DELIVERING


def test_failure_tells_why_in_the_row_and_in_an_event(sql: Any) -> None:
    seq = enqueue(sql)
    lease(sql)
    with world.transaction(sql) as txn:
        deliver.fail(txn, seq, "courier", Event.FAIL_CLEAN, Failure(ErrorCode.OVERLOADED, "x" * 1000), 1)
    (error,) = sql.execute("SELECT last_error FROM deliveries").fetchone()
    (code, name, detail) = sql.execute("SELECT code, name, detail FROM events").fetchone()
    assert (code, name) == (ErrorCode.OVERLOADED, "delivery.failed")
    assert error.startswith("OVERLOADED")
    assert max(len(error), len(detail)) <= deliver.MAX_ERROR_CHARS


@pytest.mark.parametrize("holder", ["another courier", ""])
def test_failure_of_somebody_who_does_not_hold_the_copy_changes_nothing(sql: Any, holder: str) -> None:
    seq = enqueue(sql)
    lease(sql)
    fail(sql, seq, Event.FAIL_UNKNOWN, holder)
    assert state(sql, seq) is State.DELIVERING


def test_failure_after_the_end_changes_nothing(sql: Any) -> None:
    seq = enqueue(sql)
    lease(sql)
    with world.transaction(sql) as txn:
        assert deliver.settle(txn, seq, Event.CONFIRM).state is State.DELIVERED
    fail(sql, seq, Event.FAIL_UNKNOWN)
    fail(sql, 999, Event.FAIL_UNKNOWN)
    assert state(sql, seq) is State.DELIVERED


@pytest.mark.parametrize(
    ("event", "after"),
    [(Event.CONFIRM, State.DELIVERED), (Event.REFUSE, State.REFUSED), (Event.EXPIRE, State.EXPIRED)],
)
def test_answer_settles_a_copy_once_for_all(sql: Any, event: Event, after: State) -> None:
    seq = enqueue(sql)
    lease(sql)
    with world.transaction(sql) as txn:
        settled = deliver.settle(txn, seq, event)
        assert (settled.state, settled.row.state) == (after, State.DELIVERING)
        row = txn.deliveries.find(seq)
        assert row is not None
        assert deliver.is_final(row)
        assert not deliver.is_final(settled.row)
    for again in Event:
        with world.transaction(sql) as txn, pytest.raises(Refusal) as caught:
            deliver.settle(txn, seq, again)
        assert caught.value.code is ErrorCode.ILLEGAL_TRANSITION
    assert lease(sql, after=LATER) == []
    assert sweep(sql, LATER) == []


def test_copy_that_nobody_knows_cannot_be_settled(sql: Any) -> None:
    with world.transaction(sql) as txn, pytest.raises(Refusal) as caught:
        deliver.settle(txn, 7, Event.CONFIRM)
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_lapsed_lease_leaves_doubt_and_is_asked_about_again_at_once(sql: Any) -> None:
    seq = enqueue(sql)
    lease(sql)
    assert sweep(sql, LEASE - timedelta(microseconds=1)) == []
    assert state(sql, seq) is State.DELIVERING
    assert sweep(sql, LEASE) == []
    assert state(sql, seq) is State.DOUBTFUL
    (asked,) = lease(sql, "another courier", LEASE)
    assert (asked.seq, asked.state) == (seq, State.ASKING)


def test_copy_that_never_left_expires_at_its_time(sql: Any) -> None:
    seq, forever = enqueue(sql, expires_in=timedelta(hours=1)), enqueue(sql)
    assert sweep(sql, timedelta(hours=1) - timedelta(microseconds=1)) == []
    (settled,) = sweep(sql, timedelta(hours=1))
    assert (settled.row.seq, settled.state) == (seq, State.EXPIRED)
    assert sweep(sql, LATER) == []
    assert state(sql, forever) is State.QUEUED


def test_copy_that_was_never_reached_expires_too(sql: Any) -> None:
    seq = enqueue(sql, expires_in=timedelta(hours=1))
    lease(sql)
    fail(sql, seq, Event.FAIL_CLEAN)
    assert [settled.row.seq for settled in sweep(sql, LATER)] == [seq]


def test_copy_in_doubt_never_expires_by_itself_however_long_nobody_answers(sql: Any) -> None:
    seq = enqueue(sql, expires_in=timedelta(hours=1))
    lease(sql)
    fail(sql, seq, Event.FAIL_UNKNOWN)
    for event in (Event.FAIL_CLEAN, Event.FAIL_UNKNOWN):
        assert sweep(sql, LATER) == []
        assert state(sql, seq) is State.DOUBTFUL
        (asked,) = lease(sql, after=LATER)
        assert (asked.state, asked.expired) == (State.ASKING, True)
        fail(sql, seq, event)
    # Only the destination's own answer ends it.
    lease(sql, after=LATER)
    with world.transaction(sql) as txn:
        assert deliver.settle(txn, seq, Event.EXPIRE).state is State.EXPIRED


def _restored(sql: Any, at: timedelta) -> None:
    sql.execute(
        "INSERT INTO restorations (restored_at_us, backup_made_at_us, log_size, log_root) VALUES (?, 0, 0, ?)",
        (to_micros(NOW + at), bytes(32)),
    )


def test_what_was_written_before_a_restoration_is_in_doubt_and_never_called_expired_unasked(sql: Any) -> None:
    _restored(sql, timedelta(days=-2))
    _restored(sql, timedelta())
    seq = enqueue(sql, expires_in=timedelta(hours=1))
    assert state(sql, seq) is State.DOUBTFUL
    assert sweep(sql, timedelta(hours=2)) == []
    events = "SELECT destination FROM events WHERE name = 'delivery.doubted'"
    assert sql.execute(events).fetchall() == [("de/node",)]
    (copy,) = lease(sql, after=timedelta(hours=2))
    assert (copy.seq, copy.state, copy.expired) == (seq, State.ASKING, True)


@pytest.mark.parametrize(
    ("skew_seconds", "after"), [pytest.param(0, State.QUEUED, id="since"), pytest.param(60, State.DOUBTFUL, id="ahead")]
)
def test_what_was_written_after_a_restoration_never_left_but_for_clocks_that_are_ahead(
    sql: Any, skew_seconds: int, after: State
) -> None:
    _restored(sql, timedelta(seconds=-60))
    assert state(sql, enqueue(sql, skew_seconds=skew_seconds)) is after


def test_leased_copy_does_not_expire_under_its_holder(sql: Any) -> None:
    seq = enqueue(sql, expires_in=timedelta(seconds=1))
    lease(sql)
    assert sweep(sql, timedelta(seconds=2)) == []
    assert state(sql, seq) is State.DELIVERING


def test_what_a_clock_that_was_ahead_has_leased_or_put_off_comes_back_when_it_is_set_back(sql: Any) -> None:
    leased, put_off, honest = enqueue(sql, case_id="A"), enqueue(sql, case_id="B"), enqueue(sql, case_id="C")
    ahead = timedelta(hours=1)
    with world.transaction(sql, NOW + ahead) as txn:
        (first,) = deliver.lease(txn, "de/node", "courier", 1, SETTINGS, lambda: 0.0)
        (second,) = deliver.lease(txn, "de/node", "other", 1, SETTINGS, lambda: 0.0)
        deliver.fail(txn, second.seq, "other", Event.FAIL_CLEAN, DOWN, 5)
    assert (first.seq, second.seq) == (leased, put_off)
    (third,) = lease(sql)
    assert third.seq == honest
    fail(sql, honest, Event.FAIL_CLEAN, delay=SETTINGS.backoff_max_seconds)
    assert lease(sql) == []
    with world.transaction(sql) as txn:
        assert deliver.set_right(txn, SETTINGS) == 2
    assert {one.seq: one.state for one in lease(sql)} == {leased: State.ASKING, put_off: State.DELIVERING}
    assert state(sql, honest) is State.QUEUED, "what was put off by the clock as it is now keeps its time"
    with world.transaction(sql) as txn:
        assert deliver.set_right(txn, SETTINGS) == 0


def test_sweep_takes_a_bounded_number_and_the_rest_the_next_time(sql: Any) -> None:
    one = enqueue(sql, expires_in=timedelta(hours=1))
    sql.execute(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
        " INSERT INTO deliveries (envelope_seq, destination, case_id, state, attempts, next_attempt_at_us,"
        " expires_at_us, lease_holder, lease_until_us, last_error) SELECT envelope_seq, destination, case_id, state,"
        " attempts, next_attempt_at_us, expires_at_us, lease_holder, lease_until_us, last_error FROM deliveries, n"
        " WHERE seq = ?",
        (one,),
    )
    assert [len(sweep(sql, LATER)) for _ in range(3)] == [deliver.SWEEP_ROWS, 300 - deliver.SWEEP_ROWS, 0]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_between_half_and_all_of_its_ceiling(failures: int, chance: float) -> None:
    ceiling = min(60.0, 0.5 * 2.0 ** min(failures - 1, 100))
    assert ceiling / 2 <= deliver.backoff(failures, SETTINGS, lambda: chance) <= ceiling


@given(st.integers(1, 10_000))
def test_backoff_never_shrinks_with_more_failures(failures: int) -> None:
    for chance in (0.0, 0.999):
        now, then = (deliver.backoff(failures + more, SETTINGS, lambda: chance) for more in (0, 1))  # noqa: B023
        assert now <= then


def test_nodes_that_failed_together_do_not_come_back_together() -> None:
    delays = {deliver.backoff(5, SETTINGS, lambda: tenth / 10) for tenth in range(10)}  # noqa: B023
    assert len(delays) == 10


def test_circuit_opens_with_a_failure_tries_one_copy_and_closes_with_an_answer() -> None:
    circuit = Circuit(SETTINGS, lambda: 0.0)
    assert (circuit.window, circuit.copies) == (SETTINGS.frames_in_flight, deliver.FRAME_ITEMS)
    pauses = []
    for _ in range(10):
        pauses.append(circuit.pause(DOWN))
        circuit.open()
        assert (circuit.window, circuit.copies) == (1, 1)
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    circuit.close()
    assert (circuit.window, circuit.copies, circuit.pause(DOWN)) == (SETTINGS.frames_in_flight, 64, 0.25)


def test_circuit_waits_as_long_as_the_destination_says_but_no_longer_than_our_own_longest_pause() -> None:
    circuit = Circuit(SETTINGS, lambda: 0.0)
    assert circuit.pause(Failure(ErrorCode.OVERLOADED, "full", retry_after=7.0)) == 7.0
    assert circuit.pause(Failure(ErrorCode.OVERLOADED, "full", retry_after=1e9)) == SETTINGS.backoff_max_seconds


def test_frames_that_are_not_read_become_smaller_and_grow_again_with_every_one_that_is() -> None:
    circuit = Circuit(SETTINGS, lambda: 0.0)
    circuit.shrink()
    assert circuit.frame_bytes == MAX_FRAME_BYTES // 2
    for _ in range(20):
        circuit.shrink()
    assert circuit.frame_bytes == deliver.SMALLEST_FRAME_BYTES
    for _ in range(MAX_FRAME_BYTES // deliver.SMALLEST_FRAME_BYTES):
        circuit.close()
    assert circuit.frame_bytes == MAX_FRAME_BYTES


# Dispatch, which says where a copy goes.


def recorded(sent: Sent) -> Recorded:
    return Recorded(1, sent.header, sent.fingerprint)


@pytest.mark.parametrize(
    ("here", "destination"), [("ee", "de/node"), ("de", FOREIGN_CENTRAL)], ids=["abroad", "at home"]
)
def test_copy_goes_to_the_other_node_or_to_the_recipients_mailbox(here: str, destination: str) -> None:
    routes = dispatch(recorded(world.freeze_request()), DIRECTORY, here)
    assert [route.destination for route in routes] == [destination]


@pytest.mark.parametrize("nodes", ["ee", "ee de-revoked"])
def test_no_way_to_a_node_that_is_unknown_or_revoked(nodes: str) -> None:
    entries = [world.node_entry(n[:2], Status.REVOKED if "revoked" in n else Status.ACTIVE) for n in nodes.split()]
    with pytest.raises(Refusal) as caught:
        dispatch(recorded(world.freeze_request()), world.make_directory([], entries), "ee")
    assert (caught.value.code, caught.value.field) == (ErrorCode.NO_ROUTE, "recipients[0]")


def test_receipts_go_back_to_the_sender_or_to_its_node() -> None:
    header = world.freeze_request().header
    assert way_to_sender(header, "ee") == INVESTIGATOR
    assert way_to_sender(header, "de") == "ee/node"
