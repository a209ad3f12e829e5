"""Time, from one place, so that a test can pass years in a second."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


def to_micros(moment: datetime) -> int:
    """Return `moment` as whole microseconds since 1970-01-01T00:00:00Z, exactly (no float on the way)."""
    return in_micros(moment - _EPOCH)


def in_micros(length: timedelta) -> int:
    """Return a length of time as whole microseconds, exactly."""
    return length // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the moment that lies `micros` microseconds after 1970-01-01T00:00:00Z."""
    return _EPOCH + timedelta(microseconds=micros)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
