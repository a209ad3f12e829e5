"""Time limits: how long each rule's is, and where it may stand.

In: a `Clock`. Notes one whose end is not where its rule puts it, and one that stands in a document its rule is not for.
The exact end depends on things a document does not say: the time zone and the holidays of the place. So each rule gives
the earliest and the latest end that its law allows, whatever these are.

Source: the articles at each rule; Regulation (EEC, Euratom) No 1182/71 Art. 3 for counting:
a period in hours begins with the next full hour, and no holiday moves its end (3(1), 3(4)); a writer may give either
instant, that of the event or the full hour, as the start;
a period in days begins on the next day, ends at the end of its last day, and moves past days that are not worked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from rogatory.v1 import measures_pb2 as measures

from gateway.formats.checks.days import DAY_US
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

Rules: TypeAlias = frozenset[measures.ClockRule.ValueType]

HOUR_US: Final = 3_600_000_000

HOLIDAYS_US: Final = 7 * DAY_US
"""House bound: no Member State has more days in a row that are not worked; around Easter and the year's end, six."""

SUMMER_TIME_US: Final = HOUR_US
"""A day on which the clocks go forward has 23 hours, one on which they go back 25."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a time limit is, from start to end.

    Args:
        least: microseconds; its end is not earlier.
        most: microseconds; its end is not later.
    """

    least: int
    most: int


def hours(count: int) -> Length:
    """Return a period in hours: exactly so many, or from the next full hour."""
    return Length(count * HOUR_US, (count + 1) * HOUR_US)


def days(count: int) -> Length:
    """Return a period in days: to the end of the last day, or of the next day that is worked."""
    return Length(
        count * DAY_US - SUMMER_TIME_US,
        (count + 1) * DAY_US + SUMMER_TIME_US + HOLIDAYS_US,
    )


def at_most_days(count: int) -> Length:
    """Return a period that may be shorter, and that no holiday makes longer."""
    return Length(1, (count + 1) * DAY_US + SUMMER_TIME_US)


LENGTHS: Final[MappingProxyType[measures.ClockRule.ValueType, Length]] = MappingProxyType(
    {
        measures.CLOCK_RULE_URGENT_DECISION: hours(48),  # 2018/1805 Art. 9(3)
        measures.CLOCK_RULE_URGENT_EXECUTION: hours(48),  # 2018/1805 Art. 9(3)
        measures.CLOCK_RULE_LIMITATION_ANSWER: days(42),  # 2018/1805 Art. 12(2): six weeks
        measures.CLOCK_RULE_CONFISCATION_DECISION: days(45),  # 2018/1805 Art. 20(1)
        measures.CLOCK_RULE_PRODUCTION: days(10),  # 2023/1543 Art. 10(2)
        measures.CLOCK_RULE_EMERGENCY_PRODUCTION: hours(8),  # 2023/1543 Art. 10(4)
        measures.CLOCK_RULE_EX_POST_VALIDATION: hours(48),  # 2023/1543 Art. 4(5)
        measures.CLOCK_RULE_PRESERVATION: days(60),  # 2023/1543 Art. 11(1)
        measures.CLOCK_RULE_PRESERVATION_EXTENSION: days(30),  # 2023/1543 Art. 11(1)
        measures.CLOCK_RULE_EXPEDITED_PRESERVATION: at_most_days(90),  # Budapest Convention Art. 16(2)
        measures.CLOCK_RULE_CLARIFICATION: days(5),  # 2023/1543 Art. 10(6)
        measures.CLOCK_RULE_TERRORIST_CONTENT: hours(1),  # 2021/784 Art. 3(3)
    }
)
"""SET_BY_ORDER is missing on purpose: an order sets what it sets."""

DOMESTIC: Final[Rules] = frozenset({measures.CLOCK_RULE_SET_BY_ORDER, measures.CLOCK_RULE_EXPEDITED_PRESERVATION})
"""What may stand in an order to an exchange: a rule of an instrument between States would tell it that one asked."""

BETWEEN_STATES: Final[Rules] = frozenset(measures.ClockRule.values()) - {
    measures.CLOCK_RULE_UNSPECIFIED,
    measures.CLOCK_RULE_LIMITATION_ANSWER,
    measures.CLOCK_RULE_TERRORIST_CONTENT,
}


def check_clock(sheet: Sheet, clock: measures.Clock) -> None:
    """Rules of one time limit."""
    lasts = clock.due_us - clock.start_us
    length = LENGTHS.get(clock.rule, Length(1, lasts))
    sheet.need(Code.CLOCK_ENDS_BEFORE_START, "due_us", lasts > 0, "a time limit ends after it begins (house rule)")
    sheet.when(lasts > 0).need(
        Code.CLOCK_TOO_SHORT,
        "due_us",
        lasts >= length.least,
        "it ends before its rule lets it end (Reg. 1182/71 Art. 3)",
    )
    sheet.need(
        Code.CLOCK_TOO_LONG, "due_us", lasts <= length.most, "it ends later than its rule allows (Reg. 1182/71 Art. 3)"
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
