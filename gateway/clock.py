"""Time, from one place, so that a test can pass years in a second; and whether it may be believed."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.errors import ErrorCode, Failure, Refusal

Clock = Callable[[], datetime]
Elapsed = Callable[[], float]
"""Seconds since some moment, by a clock that nobody sets."""

MICROS: Final = 1_000_000
"""Of a second."""

SETTLING_SECONDS: Final = 60.0
"""For so long a clock has to stand by a new time before that is believed: who set it wrongly has that long to see."""
STEP_SECONDS: Final = 1.0
"""Between two looks; corrections by which clocks are kept are slower."""


def system_clock() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


def since_boot() -> float:
    """Return the seconds since the machine started, those asleep counted too; setting the clock changes nothing."""
    return time.clock_gettime(time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC)


class SteadyClock:
    """A clock that is not believed for a while after somebody has set it.

    Called, it gives the time, or fails while that is in doubt: what a wrong time would make final (that something has
    expired, lapsed or is too old, that a certificate has ended) is decided by nobody until it is settled.
    A small step, and the slow correction by which clocks are kept, is no doubt. `steps` counts how often it was set,
    however little: what was put off by it waits for another time then. Several threads may look:
    none believes what is far from what was believed last, whatever another has written meanwhile.
    """

    def __init__(self, clock: Clock, elapsed: Elapsed, tolerance_seconds: float) -> None:
        """Believe the clock as it is now.

        Args:
            clock: the time of day.
            elapsed: what it is compared with.
            tolerance_seconds: how far it may jump between two looks.
        """
        self.steps = 0
        self._clock = clock
        self._elapsed = elapsed
        self._tolerance = tolerance_seconds
        self._believed = self._seen = clock().timestamp() - elapsed()
        self._settled_at: float | None = None

    def __call__(self) -> datetime:
        """Return the time.

        Raises:
            Failure: UNAVAILABLE, the clock was set a moment ago; with the seconds until it is believed.
        """
        moment, elapsed = self._clock(), self._elapsed()
        ahead = moment.timestamp() - elapsed
        stepped_by, self._seen = abs(ahead - self._seen), ahead
        if stepped_by > STEP_SECONDS:
            self.steps += 1
        step = ahead - self._believed
        if abs(step) > self._tolerance:
            settled_at = self._settled_at
            if settled_at is None or stepped_by > self._tolerance:
                settled_at = self._settled_at = elapsed + SETTLING_SECONDS
            if elapsed < settled_at:
                detail = f"the clock of this node was set by {step:+.0f} seconds, which is not believed yet"
                raise Failure(ErrorCode.UNAVAILABLE, detail, retry_after=settled_at - elapsed)
        self._settled_at = None
        self._believed = ahead
        return moment


def to_micros(moment: datetime) -> int:
    """Return `moment` as whole microseconds since 1970-01-01T00:00:00Z, exactly (no float on the way)."""
    return in_micros(moment - _EPOCH)


def in_micros(length: timedelta) -> int:
    """Return a length of time as whole microseconds, exactly."""
    return length // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the moment that lies `micros` microseconds after 1970-01-01T00:00:00Z."""
    return _EPOCH + timedelta(microseconds=micros)


def told_moment(micros: int, code: ErrorCode, field: str) -> datetime:
    """Return the moment that a node names in an answer to us.

    Raises:
        Refusal: `code`, no calendar has it.
    """
    try:
        return from_micros(micros)
    except OverflowError as error:
        raise Refusal(code, "the node names a time that no calendar has", field) from error


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
