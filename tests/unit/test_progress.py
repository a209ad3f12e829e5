"""The moves of a freeze: one table, without dead ends and without places that nobody reaches."""

import pytest
from rogatory.v1 import orders_pb2 as orders

from gateway.formats import progress

STATUSES = [status for status in orders.FreezeStatus.values() if status != orders.FREEZE_STATUS_UNSPECIFIED]
FINAL = {status for status, after in progress.NEXT.items() if not after}


def name(status: orders.FreezeStatus.ValueType) -> str:
    return orders.FreezeStatus.Name(status)


def test_the_table_has_every_status() -> None:
    assert set(progress.NEXT) == set(STATUSES)


def test_every_status_can_be_reached_from_the_first() -> None:
    reached = {progress.FIRST}
    while more := {after for status in reached for after in progress.NEXT[status]} - reached:
        reached |= more
    assert reached == set(STATUSES)


def test_every_status_leads_to_an_end() -> None:
    ending = set(FINAL)
    while more := {status for status, after in progress.NEXT.items() if after & ending} - ending:
        ending |= more
    assert ending == set(STATUSES)


@pytest.mark.parametrize("status", sorted(set(STATUSES) - FINAL), ids=name)
def test_every_open_status_can_be_withdrawn_or_released(status: orders.FreezeStatus.ValueType) -> None:
    assert progress.NEXT[status] & {orders.FREEZE_STATUS_WITHDRAWN, orders.FREEZE_STATUS_RELEASED}


@pytest.mark.parametrize("before", STATUSES, ids=name)
def test_nothing_comes_before_the_receipt(before: orders.FreezeStatus.ValueType) -> None:
    assert not progress.may_follow(before, progress.FIRST)


def test_what_is_final_stays() -> None:
    assert {name(status) for status in FINAL} == {
        "FREEZE_STATUS_IMPOSSIBLE",
        "FREEZE_STATUS_RELEASED",
        "FREEZE_STATUS_TRANSFERRED",
        "FREEZE_STATUS_EXPIRED",
    }


def test_what_a_remedy_stopped_is_not_transferred() -> None:
    assert not progress.may_follow(orders.FREEZE_STATUS_SUSPENDED_BY_REMEDY, orders.FREEZE_STATUS_TRANSFERRED)


def test_a_status_of_a_newer_version_leads_nowhere() -> None:
    newer = orders.FreezeStatus.ValueType(99)
    assert not progress.may_follow(newer, orders.FREEZE_STATUS_RELEASED)
    assert not progress.may_follow(orders.FREEZE_STATUS_RECEIVED, newer)
