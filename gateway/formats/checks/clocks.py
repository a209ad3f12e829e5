"""Time limits: how long each rule's may be, and where it may stand.

In: a `Clock`. Notes one whose end is not where its rule puts it, and one that stands in a document its rule is not for.
`gateway.deadlines` counts the exact end; but a document does not say whose calendar counts. So each rule gives the
earliest and the latest end that its law allows, whatever the time zone and the holidays of the place. Whatever
`deadlines` computes lies between them.

Source: the articles at each rule of `deadlines.LIMITS`; Regulation (EEC, Euratom) No 1182/71 Art. 3 for counting:
a period in hours begins with the next full hour, and no holiday moves its end (3(1), 3(4)); a writer may give either
instant, that of the event or the full hour, as the start;
a period in days begins on the next day, ends at the end of its last day, and moves past days that are not worked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from rogatory.v1 import measures_pb2 as measures

from gateway.deadlines import LIMITS, Length, TimeLimit, Unit
from gateway.formats.checks.days import DAY_US
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

Rules: TypeAlias = frozenset[measures.ClockRule.ValueType]

HOUR_US: Final = 3_600_000_000

HOLIDAYS_US: Final = 12 * DAY_US
"""House bound: no State's calendar moves an end by more.

Of 2020 to 2047, Azerbaijan's and Russia's moved one by so much, in 2025; in the Union five days ended eight days late
in Latvia in 2024, for want of two working days (Reg. 1182/71 Art. 3(5)).
"""

SUMMER_TIME_US: Final = HOUR_US
"""A day on which the clocks go forward has 23 hours, one on which they go back 25."""

WORKING_WEEK: Final = 5
"""Days, Monday to Friday."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a time limit may end.

    Args:
        least: microseconds after its start; its end is not earlier.
        most: microseconds after its start; its end is not later.
    """

    least: int
    most: int


def _bounds(limit: TimeLimit, length: Length) -> Bounds:
    """Return where a time limit may end, by how it is counted."""
    if length.unit is Unit.HOURS:  # exactly so many, or from the next full hour
        least, most = length.count * HOUR_US, (length.count + 1) * HOUR_US
    else:  # to the end of the last day, or of the next day that is worked
        least = length.count * DAY_US - SUMMER_TIME_US
        most = (length.count + 1) * DAY_US + SUMMER_TIME_US
        if length.unit is Unit.WORKING_DAYS:  # and the weekends between, at most one more than full weeks
            most += 2 * (length.count // WORKING_WEEK + 1) * DAY_US
        if not limit.at_most:
            most += HOLIDAYS_US
    return Bounds(1 if limit.may_be_shorter else least, most)


LENGTHS: Final[MappingProxyType[measures.ClockRule.ValueType, Bounds]] = MappingProxyType(
    {rule: _bounds(limit, limit.length) for rule, limit in LIMITS.items() if limit.length is not None}
)
"""SET_BY_ORDER is missing on purpose: an order sets what it sets."""

DOMESTIC: Final[Rules] = frozenset(
    {
        measures.CLOCK_RULE_SET_BY_ORDER,
        measures.CLOCK_RULE_EXPEDITED_PRESERVATION,
        measures.CLOCK_RULE_PROVISIONAL,
    }
)
"""What may stand in an order to an exchange: a rule of an instrument between States would tell it that one asked."""

OF_LIMITATION: Final[Rules] = frozenset({measures.CLOCK_RULE_LIMITATION_ANSWER})
"""What may stand in a request to limit a freeze, and nowhere else."""

BETWEEN_STATES: Final[Rules] = frozenset(LIMITS) - OF_LIMITATION - {measures.CLOCK_RULE_TERRORIST_CONTENT}


def check_clock(sheet: Sheet, clock: measures.Clock) -> None:
    """Rules of one time limit."""
    lasts = clock.due_us - clock.start_us
    bounds = LENGTHS.get(clock.rule, Bounds(1, lasts))
    sheet.need(Code.CLOCK_ENDS_BEFORE_START, "due_us", lasts > 0, "a time limit ends after it begins (house rule)")
    sheet.when(lasts > 0).need(
        Code.CLOCK_TOO_SHORT,
        "due_us",
        lasts >= bounds.least,
        "it ends before its rule lets it end (Reg. 1182/71 Art. 3)",
    )
    sheet.need(
        Code.CLOCK_TOO_LONG, "due_us", lasts <= bounds.most, "it ends later than its rule allows (Reg. 1182/71 Art. 3)"
    )
    sheet.when(clock.HasField("met_at_us")).need(
        Code.CLOCK_MET_BEFORE_START,
        "met_at_us",
        clock.met_at_us >= clock.start_us,
        "met before it began to run (house rule)",
    )


def check_place(sheet: Sheet, field: str, clock: measures.Clock, allowed: Rules) -> None:
    """Note a time limit whose rule is not for this place."""
    sheet.need(
        Code.CLOCK_MISPLACED,
        f"{field}.rule",
        clock.rule in allowed,
        "this time limit is not for this document (house rule)",
    )


def check_list(sheet: Sheet, clocks: Iterable[measures.Clock], allowed: Rules) -> None:
    """Rules of the time limits of one document.

    1. Each is for such documents, and no rule but the order's own stands there twice.
    2. The 48 hours to execute begin with the decision (2018/1805 Art. 9(3)), or with the next full hour.
    """
    placed = list(enumerate(clocks))
    first = {clock.rule: (position, clock) for position, clock in reversed(placed)}
    for position, clock in placed:
        check_place(sheet, f"clocks[{position}]", clock, allowed)
        sheet.when(clock.rule in LENGTHS).need(
            Code.CLOCK_TWICE,
            f"clocks[{position}].rule",
            first[clock.rule][0] == position,
            "two time limits of one rule (house rule)",
        )
    if measures.CLOCK_RULE_URGENT_DECISION in first and measures.CLOCK_RULE_URGENT_EXECUTION in first:
        _, decision = first[measures.CLOCK_RULE_URGENT_DECISION]
        position, execution = first[measures.CLOCK_RULE_URGENT_EXECUTION]
        sheet.when(decision.HasField("met_at_us")).need(
            Code.EXECUTION_NOT_FROM_DECISION,
            f"clocks[{position}].start_us",
            0 <= execution.start_us - decision.met_at_us <= HOUR_US,
            "the 48 hours to execute begin with the decision, or with the next full hour (2018/1805 Art. 9(3))",
        )


RULES: Final = (on(measures.Clock, check_clock),)
