from itertools import product

import pytest

from gateway.errors import ErrorCode, Refusal
from gateway.lifecycle import ACTS_NEXT, FINAL, LEASED, NEXT, Event, State, advance

PAIRS = list(product(State, Event))


def reachable(state: State) -> set[State]:
    found: set[State] = set()
    edge = {state}
    while edge:
        edge = {after for (before, _), after in NEXT.items() if before in edge} - found
        found |= edge
    return found


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=[f"{s.value} {e.value}" for s, e in PAIRS])
def test_only_the_moves_of_the_table_are_possible(state: State, event: Event) -> None:
    if (state, event) in NEXT:
        assert advance(state, event) is NEXT[state, event]
        return
    with pytest.raises(Refusal) as caught:
        advance(state, event)
    assert caught.value.code is ErrorCode.ILLEGAL_TRANSITION


@pytest.mark.parametrize("state", State)
def test_no_state_is_a_dead_end_and_a_final_one_has_no_exit(state: State) -> None:
    if state in FINAL:
        assert reachable(state) == set()
    else:
        assert reachable(state) >= FINAL


def test_every_state_is_reached_and_names_who_acts_next() -> None:
    assert reachable(State.QUEUED) | {State.QUEUED} == set(State)
    assert set(ACTS_NEXT) == set(State)
    assert all(ACTS_NEXT.values())


def test_only_a_lease_leads_to_a_leased_state_and_only_one_that_is_not_leased_can_be_leased() -> None:
    for (before, event), after in NEXT.items():
        assert (event is Event.LEASE) is (after in LEASED)
        if event is Event.LEASE:
            assert before not in LEASED


def test_what_may_have_arrived_expires_by_the_answer_of_its_destination_alone() -> None:
    # A doubtful copy does not expire while nobody is asking, however often asking fails.
    assert (State.DOUBTFUL, Event.EXPIRE) not in NEXT
    for event in (Event.FAIL_CLEAN, Event.FAIL_UNKNOWN):
        assert advance(State.ASKING, event) is State.DOUBTFUL


@pytest.mark.parametrize("asked", [State.DELIVERING, State.ASKING])
def test_answer_of_its_destination_ends_it_whenever_it_comes(asked: State) -> None:
    ends = {Event.CONFIRM: State.DELIVERED, Event.REFUSE: State.REFUSED, Event.EXPIRE: State.EXPIRED}
    assert {event: advance(asked, event) for event in ends} == ends
    # Late, over a new connection.
    assert advance(State.DOUBTFUL, Event.CONFIRM) is State.DELIVERED


def test_what_never_left_us_cannot_be_confirmed() -> None:
    for event in (Event.CONFIRM, Event.REFUSE):
        assert (State.QUEUED, event) not in NEXT
