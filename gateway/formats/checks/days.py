"""Days as documents write them, next to instants.

In: YYYY-MM-DD, or a field that is empty. Out: the day, or None where the text names none: that is noted elsewhere, once
(`values`), and rules that compare days then have nothing to say.
"""

from datetime import date
from itertools import pairwise
from typing import Final

from gateway.errors import Refusal
from gateway.formats import vocabularies

DAY_US: Final = 24 * 3_600_000_000
_EPOCH: Final = date(1970, 1, 1)


def read(text: str) -> date | None:
    """Return the day that a text names, or None."""
    try:
        return vocabularies.day(text)
    except Refusal:
        return None


def in_order(*texts: str) -> bool:
    """Whether no day that is named comes before one named earlier in the list."""
    named = [day for day in map(read, texts) if day is not None]
    return all(before <= after for before, after in pairwise(named))


def after_day(at_us: int, text: str) -> bool:
    """Whether an instant comes after the beginning of a day, in the easternmost time zone; so too if none is named.

    Clocks in Kiribati are 14 hours ahead: on no clock does a day begin earlier.
    """
    day = read(text)
    return day is None or at_us > (day - _EPOCH).days * DAY_US - 14 * 3_600_000_000
