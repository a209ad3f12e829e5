"""Periods of reports: quarters, and years of four of them, in UTC.

In: text, or a moment. Out: quarters. Refuses with BAD_INPUT what is neither: a month, beside a quarter, would tell what
the quarter holds back.
"""

import re
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime
from functools import total_ordering
from typing import Final, Self

from gateway.clock import from_micros, to_micros
from gateway.errors import ErrorCode, Refusal

QUARTERS: Final = 4
_MONTHS: Final = 3
_PERIOD: Final = re.compile(r"([1-9][0-9]{3})(?:-Q([1-4]))?", re.ASCII)


@total_ordering
@dataclass(frozen=True, slots=True)
class Quarter:
    """Three months of the calendar, in UTC.

    Args:
        year: by the calendar.
        number: 1 to 4.
    """

    year: int
    number: int

    @classmethod
    def of(cls, at_us: int) -> Self:
        """Return the quarter of a moment, in microseconds since 1970."""
        moment = from_micros(at_us)
        return cls(moment.year, (moment.month - 1) // _MONTHS + 1)

    def __str__(self) -> str:
        return f"{self.year}-Q{self.number}"

    def __lt__(self, other: "Quarter") -> bool:
        return (self.year, self.number) < (other.year, other.number)

    @property
    def begins(self) -> datetime:
        """The first instant."""
        return datetime(self.year, (self.number - 1) * _MONTHS + 1, 1, tzinfo=UTC)

    @property
    def ends(self) -> datetime:
        """The first instant after it."""
        return self.next.begins

    @property
    def next(self) -> "Quarter":
        """The quarter after it."""
        return Quarter(self.year + 1, 1) if self.number == QUARTERS else Quarter(self.year, self.number + 1)

    def micros(self) -> tuple[int, int]:
        """Return begin and end, in microseconds since 1970."""
        return to_micros(self.begins), to_micros(self.ends)


@dataclass(frozen=True, slots=True)
class Period:
    """What one report is about: a quarter, or the four of a year."""

    name: str
    quarters: tuple[Quarter, ...]

    @classmethod
    def parse(cls, text: str, now: datetime) -> Self:
        """Return the period of that name.

        Args:
            text: a quarter, e.g. "2026-Q3", or a year, e.g. "2026".
            now: the time.

        Raises:
            Refusal: BAD_INPUT, there is no such period, or it is not over.
        """
        found = _PERIOD.fullmatch(text)
        if found is None:
            detail = "a period is a quarter, e.g. 2026-Q3, or a year; shorter ones would tell what a quarter holds back"
            raise Refusal(ErrorCode.BAD_INPUT, detail, "period")
        year = int(found[1])
        numbers = (int(found[2]),) if found[2] else range(1, QUARTERS + 1)
        quarters = tuple(Quarter(year, number) for number in numbers)
        if year >= MAXYEAR or now < quarters[-1].ends:
            raise Refusal(ErrorCode.BAD_INPUT, f"{text} is not over, and what changes is not published", "period")
        return cls(text, quarters)
