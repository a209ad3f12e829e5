"""A clock that was set is not believed at once; one that goes on is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SETTLING_SECONDS, SteadyClock, since_boot, system_clock
from gateway.errors import ErrorCode, Failure

START = datetime(2026, 3, 1, tzinfo=UTC)
TOLERANCE = 300.0


class Machine:
    """A machine with two clocks, of which somebody can set one."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.set_by = timedelta()
        self.meanwhile: list[Callable[[], object]] = []
        self.steady = SteadyClock(self.wall, self.elapsed, TOLERANCE)

    def elapsed(self) -> float:
        if self.meanwhile:
            self.meanwhile.pop()()
        return self.seconds

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.seconds) + self.set_by

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds

    def doubt(self) -> float:
        """Return the seconds until the clock is believed; 0 if it is."""
        try:
            told = self.steady()
        except Failure as failure:
            return (failure.retry_after or 0.0) if failure.code is ErrorCode.UNAVAILABLE else -1.0
        assert told == self.wall()
        return 0.0


@pytest.mark.parametrize("seconds", [3600, -3600, 10 * 365 * 86400, TOLERANCE + 1, -TOLERANCE - 1])
def test_clock_that_was_set_is_believed_after_it_has_stood_for_a_while_and_not_before(seconds: float) -> None:
    machine = Machine()
    assert machine.doubt() == 0
    machine.set_by = timedelta(seconds=seconds)
    assert machine.doubt() == SETTLING_SECONDS
    machine.pass_(SETTLING_SECONDS - 1)
    assert machine.doubt() == pytest.approx(1)
    machine.pass_(1)
    assert machine.doubt() == 0
    assert machine.steady.steps == 1


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_clock_that_is_set_right_again_is_believed_at_once(seconds: float) -> None:
    machine = Machine()
    machine.set_by = timedelta(seconds=seconds)
    assert machine.doubt()
    machine.pass_(10)
    machine.set_by = timedelta(seconds=2)
    assert machine.doubt() == 0


def test_clock_that_is_set_again_and_again_is_never_believed_meanwhile() -> None:
    machine = Machine()
    for hour in range(1, 10):
        machine.set_by = timedelta(hours=hour)
        assert machine.doubt() == SETTLING_SECONDS
        machine.pass_(SETTLING_SECONDS - 1)
        assert machine.doubt()


def test_clock_that_is_set_between_two_looks_of_another_thread_is_believed_by_neither() -> None:
    machine = Machine()
    doubts: list[float] = []

    def other_thread() -> None:
        machine.set_by = timedelta(hours=2)
        doubts.append(machine.doubt())

    machine.meanwhile.append(other_thread)
    assert machine.steady() == machine.wall() - machine.set_by, "it was read before the clock was set"
    assert doubts == [SETTLING_SECONDS]
    assert machine.doubt() == SETTLING_SECONDS


def test_machine_that_slept_for_a_week_is_believed() -> None:
    machine = Machine()
    machine.pass_(7 * 86400)
    assert machine.doubt() == 0


@given(st.lists(st.floats(-TOLERANCE + 1, TOLERANCE - 1), max_size=50))
def test_slow_correction_is_never_a_step_however_far_it_goes(corrections: list[float]) -> None:
    machine = Machine()
    for seconds in corrections:
        machine.pass_(60)
        machine.set_by += timedelta(seconds=seconds)
        assert machine.doubt() == 0


@pytest.mark.parametrize("seconds", [2, -2, TOLERANCE - 1, 1 - TOLERANCE])
def test_clock_that_was_set_a_little_is_believed_and_whoever_has_put_things_off_can_tell(seconds: float) -> None:
    machine = Machine()
    for _ in range(3):
        machine.pass_(10)
        assert machine.doubt() == 0
    assert machine.steady.steps == 0
    machine.set_by = timedelta(seconds=seconds)
    assert machine.doubt() == machine.doubt() == 0
    assert machine.steady.steps == 1


def test_clock_of_this_machine_is_believed() -> None:
    steady = SteadyClock(system_clock, since_boot, 5.0)
    assert abs(steady() - system_clock()) < timedelta(seconds=5)
