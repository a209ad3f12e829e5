"""Arithmetic of quotas: what is granted, and when there is room again."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import MICROS
from gateway.config import Allowance, Quota
from gateway.errors import ErrorCode, Failure
from gateway.identity import Address
from gateway.quota import BURST_UNREAD, FORGET_ABOVE, Bucket, Cost, Grant, Ledger
from tests.errors import raises

PEER, OTHER, NODE = Address("ee", "prosecutor"), Address("ee", "court"), Address("de", "node")
RATES = st.integers(1, 5_000)
BURSTS = st.integers(1, 5_000)
# Microseconds since the request before, and tokens.
LEAVES = 0.5
REQUESTS = st.lists(st.tuples(st.integers(0, 3 * MICROS), st.integers(0, 5_000)), max_size=40)


def ledger(**fields: int) -> Ledger:
    return Ledger(Quota(participant=Allowance(envelopes_per_second=10, burst_envelopes=64, **fields)), max_streams=2)


@given(RATES, BURSTS, REQUESTS)
def test_never_more_than_burst_and_rate_times_time_is_granted_at_once(
    rate: int, burst: int, requests: Sequence[tuple[int, int]]
) -> None:
    bucket, now, granted = Bucket(rate, burst, 0), 0, 0
    for passed, amount in requests:
        now += passed
        if not bucket.wait_us(amount, now):
            bucket.take(amount)
            granted += amount
        assert granted * MICROS <= burst * MICROS + rate * now


@given(RATES, BURSTS, REQUESTS, st.randoms())
def test_reservations_are_used_no_sooner_than_rate_and_burst_allow_even_if_some_are_given_back(
    rate: int, burst: int, requests: Sequence[tuple[int, int]], chance: Random
) -> None:
    bucket, now = Bucket(rate, burst, 0), 0
    reserved: list[tuple[int, int]] = []  # when it may be used, and how much
    for passed, amount in requests:
        now += passed
        reserved.append((now + bucket.wait_us(amount, now), amount))
        bucket.take(amount)
        waiting = [each for each in reserved if each[0] > now]
        if waiting and chance.random() < LEAVES:
            left = chance.choice(waiting)
            reserved.remove(left)
            bucket.give_back(left[1])
    for moment, _ in reserved:
        used = sum(amount for at, amount in reserved if at <= moment)
        assert used * MICROS <= burst * MICROS + rate * moment


@given(RATES, BURSTS, REQUESTS, st.integers(1, 5_000))
def test_time_to_wait_is_exact_one_microsecond_less_would_not_do(
    rate: int, burst: int, before: Sequence[tuple[int, int]], amount: int
) -> None:
    amount = min(amount, burst)
    bucket, now = Bucket(rate, burst, 0), 0
    for passed, taken in before:
        now += passed
        bucket.take(taken)
    wait = bucket.wait_us(amount, now)
    if wait:
        assert bucket.wait_us(amount, now + wait - 1) == 1
    assert bucket.wait_us(amount, now + wait) == 0


def test_clock_that_is_set_back_neither_stops_a_participant_nor_fills_its_bucket() -> None:
    bucket = Bucket(10, 64, 3_600 * MICROS)
    bucket.take(64)
    assert bucket.wait_us(1, 0) == MICROS // 10
    assert bucket.wait_us(1, MICROS // 10) == 0


def test_nothing_costs_nothing_even_in_debt() -> None:
    bucket = Bucket(1, 1, 0)
    bucket.take(100)
    assert bucket.wait_us(0, 0) == 0
    assert bucket.wait_us(1, 0) == 100 * MICROS


@given(st.integers(1, 64), st.integers(0, 10 * MICROS))
def test_failure_names_limit_value_and_the_moment_from_which_it_is_granted(amount: int, later_us: int) -> None:
    made = ledger()
    made.reserve(PEER, Cost(envelopes=64), 0)
    later_us = min(later_us, amount * MICROS // 10 - 1)
    with pytest.raises(Failure) as caught:
        made.reserve(PEER, Cost(envelopes=amount), later_us)
    failure = caught.value
    assert failure.code is ErrorCode.OVERLOADED
    assert failure.field == "envelopes_per_second"
    assert "envelopes_per_second = 10 with burst_envelopes = 64" in failure.detail
    assert failure.retry_after is not None
    milliseconds = round(failure.retry_after * 1000)
    assert milliseconds / 1000 == failure.retry_after, "nothing is lost on the wire"
    with raises(ErrorCode.OVERLOADED):
        made.reserve(PEER, Cost(envelopes=amount), later_us + 1000 * (milliseconds - 1))
    assert made.reserve(PEER, Cost(envelopes=amount), later_us + 1000 * milliseconds) == Grant(0)


@pytest.mark.parametrize(
    ("cost", "limit"),
    [
        (Cost(envelopes=65), "envelopes_per_second"),
        (Cost(size=(1 << 18) + 1), "bytes_per_second"),
        (Cost(queries=4), "queries_per_second"),
    ],
)
def test_each_limit_bites_under_its_own_name_and_takes_nothing_of_the_others(cost: Cost, limit: str) -> None:
    made = ledger(burst_bytes=1 << 18, burst_queries=3)
    with pytest.raises(Failure) as caught:
        made.reserve(PEER, cost, 0)
    assert caught.value.field == limit
    assert made.reserve(PEER, Cost(envelopes=64, size=1 << 18, queries=3), 0) == Grant(0)


def test_who_can_wait_is_given_a_place_and_who_cannot_wait_as_long_is_not() -> None:
    made = ledger()
    made.reserve(PEER, Cost(envelopes=64), 0)
    assert made.reserve(PEER, Cost(envelopes=10), 0, longest_us=MICROS) == Grant(MICROS, "envelopes_per_second")
    with raises(ErrorCode.OVERLOADED):
        made.reserve(PEER, Cost(envelopes=1), 0, longest_us=MICROS)
    assert made.reserve(PEER, Cost(envelopes=100), 0, longest_us=None).wait_us == 11 * MICROS
    made.give_back(PEER, Cost(envelopes=100))
    assert made.reserve(PEER, Cost(envelopes=1), 0, longest_us=None).wait_us == MICROS + MICROS // 10


def test_one_participants_use_is_not_anothers() -> None:
    made = ledger()
    made.reserve(PEER, Cost(envelopes=1_000), 0, longest_us=None)
    assert made.reserve(OTHER, Cost(envelopes=64), 0) == Grant(0)
    made.open(PEER, 0)
    made.open(PEER, 0)
    made.open(OTHER, 0)


def test_call_too_many_names_the_limit_and_is_not_counted() -> None:
    made = ledger()
    made.open(PEER, 0)
    made.open(PEER, 0)
    for _ in range(2):
        with pytest.raises(Failure) as caught:
            made.open(PEER, 0)
        assert caught.value.code is ErrorCode.OVERLOADED
        assert "max_streams_per_peer = 2" in caught.value.detail
        assert caught.value.retry_after
    made.close(PEER)
    made.open(PEER, 0)


def test_override_holds_for_its_address_alone_and_for_what_it_names() -> None:
    quota = Quota(overrides={PEER: Allowance(envelopes_per_second=1, max_streams=1), NODE: Allowance(burst_queries=7)})
    assert quota.of(PEER) == quota.participant.model_copy(update={"envelopes_per_second": 1, "max_streams": 1})
    assert quota.of(NODE) == quota.node.model_copy(update={"burst_queries": 7})
    assert quota.of(OTHER) == quota.participant
    assert quota.of(Address("fi", "node")) == quota.node
    made = Ledger(quota, max_streams=5)
    made.open(PEER, 0)
    with pytest.raises(Failure, match="max_streams = 1"):
        made.open(PEER, 0)


def test_peer_node_has_a_larger_quota_than_a_participant() -> None:
    of_all, of_node = Quota().participant, Quota().node
    for name in set(Allowance.model_fields) - {"max_streams"}:
        assert getattr(of_node, name) > getattr(of_all, name)


def test_accounts_that_are_as_good_as_new_are_forgotten_and_others_are_not() -> None:
    made = ledger()
    made.reserve(PEER, Cost(envelopes=64), 0)
    made.open(OTHER, 0)
    for _ in range(BURST_UNREAD):
        made.refused_unread(NODE, 0)
    for number in range(3 * FORGET_ABOVE):
        made.reserve(Address("ee", f"p{number}"), Cost(), 0)
        assert len(made._accounts) <= FORGET_ABOVE
    with raises(ErrorCode.OVERLOADED):
        made.reserve(PEER, Cost(envelopes=1), 0)
    with raises(ErrorCode.OVERLOADED):
        made.welcome(NODE, 0)
    made.close(OTHER)
    made.give_back(Address("ee", "forgotten"), Cost(envelopes=1))
