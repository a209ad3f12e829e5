"""Numbers and times on the command line that a calendar and the wire have room for.

In: what was typed. Out: a number, or a time. Whatever else is a usage error of that option: BAD_INPUT with `--json`.
"""

import math
from datetime import UTC, datetime
from typing import Any, Final

import click

from gateway.clock import to_micros

MAX_NUMBER: Final = (1 << 63) - 1
"""What a store can hold: no row has a higher number."""


class Span(click.FloatRange):
    """A length of time within bounds; `nan`, which no comparison finds outside of them, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401  click's
        """Return it as a number."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number.", param, ctx)
        return number


class Moment(click.DateTime):
    """A time in UTC, after 1970: as microseconds, 0 is none, and whoever asks until none asks until now."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401  click's
        """Return it."""
        moment: datetime = super().convert(value, param, ctx)
        if to_micros(moment.replace(tzinfo=UTC)) <= 0:
            self.fail("a time after 1970 is wanted, the year with four digits.", param, ctx)
        return moment
