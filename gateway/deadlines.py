"""The law's time limits as data, and how they are counted.

In: a rule, when it began to run and the country whose calendar counts: that in which the action is to be taken (Reg.
1182/71 Art. 2(1)). Out: the instant at which it ends, and the instants at which to warn. Time is always an argument.

Counting, Regulation (EEC, Euratom) No 1182/71 Art. 3:
1. The hour, or the day, in which it begins to run does not count (3(1)). Hours and days are those of the country's
   clocks.
2. Hours end with the last of them; no holiday moves them (3(4)).
3. Days end with the last hour of the last day (3(2)(b)), and days between count whether worked or not (3(3)); but a
   period in working days counts these alone.
4. A last day that is a public holiday, a Sunday or a Saturday gives way to the next working day (3(4)).
5. A period of two days or more holds at least two working days (3(5)); one in hours is not in days.
6. What has rested ends later by as long as it rested, to the instant; 4 moves that end, too.
What may last so long *at most* is not moved by 4 and 5: that would make it longer than its law allows.

Calendars are those of two libraries and not the machine's, so that two nodes count to one instant from the country's
code alone: `tzdata` for clocks, `holidays` for public holidays, of the whole country only. Of a country with several
time zones, its capital's counts. Two that hold different releases of `holidays` may differ by a day that was proclaimed
in between: then the word of the node that keeps the clock counts. A code that is no country's (zone.tab) has UTC and no
holidays; a country whose holidays the library does not know has none (in 0.108 it knows all); Saturdays and Sundays
are free everywhere.
"""

import warnings as python_warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import Enum
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from rogatory.v1 import measures_pb2 as measures

from gateway.clock import from_micros, in_micros, to_micros

Rule: TypeAlias = measures.ClockRule.ValueType


class Unit(Enum):
    """What a length is counted in."""

    HOURS = "hours"
    DAYS = "days"
    WORKING_DAYS = "working days"

    __hash__ = object.__hash__  # see Role


class Ends(Enum):
    """What follows when it runs out and nobody has acted."""

    OVERDUE = "overdue"  # nothing but that: the duty remains (2018/1805 Art. 9(5)-(6))
    LAPSES = "lapses"  # what it limits has lost its force
    ENDS_DUTY = "ends the duty"  # who waits is no longer obliged (2018/1805 Art. 12(2), 2023/1543 Art. 11(5))
    ENDS_RIGHT = "ends the right"  # who might have acted, to object, may do so no more


class Acts(Enum):
    """Who has to act to meet it: a party of the matter that it runs in."""

    RECIPIENT = "recipient"  # the executing side
    SENDER = "sender"  # the side that asks


@dataclass(frozen=True, slots=True)
class Length:
    """How long, as the law says it.

    Args:
        count: how many.
        unit: of what.

    Raises:
        ValueError: less than one.
    """

    count: int
    unit: Unit

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError("a time limit has a length")


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """One time limit of the law.

    Args:
        rule: its name.
        length: None if an order alone sets it.
        law: the article.
        warn: how long before its end to say that it is due soon; the longest first.
        ends: what follows when it runs out.
        acts: who has to act before.
        may_be_shorter: whether an order or a country's policy may set less. Not where that would take time from a
            party to which the law gives it.
        at_most: whether it is a limit to what may be set, and so moves past no holiday.
        continues: whether it follows the end of another without a gap, so that no day is left out between.
        from_receipt: whether it begins when what asks for it has arrived where it is to be answered.
    """

    rule: Rule
    length: Length | None
    law: str
    warn: tuple[timedelta, ...]
    ends: Ends
    acts: Acts
    may_be_shorter: bool = False
    at_most: bool = False
    continues: bool = False
    from_receipt: bool = False


_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_QUARTER_US: Final = 15 * 60 * 1_000_000
"""Every country's hours and days begin with a quarter of an hour of UTC."""
_ENDS: Final = 4096
"""That are kept: of what begins in the same quarter of an hour, one counts for all."""
_SATURDAY: Final = 5
_AT_LEAST_WORKED: Final = 2
"""Reg. 1182/71 Art. 3(5): of a period of that many days or more, so many are working days."""

_SOON: Final = (2 * _DAY,)
_WEEK_BEFORE: Final = (7 * _DAY, 2 * _DAY)
_EXPIRY: Final = (14 * _DAY, 7 * _DAY, 2 * _DAY)
"""House rule for what expires: time for a court to renew it."""


def _quarter(count: int) -> tuple[timedelta, ...]:
    """House rule for hours: a warning when a quarter is left."""
    return (count * _HOUR / 4,)


def _hours(count: int) -> Length:
    return Length(count, Unit.HOURS)


def _days(count: int) -> Length:
    return Length(count, Unit.DAYS)


_ROWS: Final = (
    TimeLimit(
        measures.CLOCK_RULE_URGENT_DECISION,
        _hours(48),
        "2018/1805 Art. 9(3)",
        _quarter(48),
        Ends.OVERDUE,
        Acts.RECIPIENT,
    ),
    TimeLimit(
        measures.CLOCK_RULE_URGENT_EXECUTION,
        _hours(48),
        "2018/1805 Art. 9(3)",
        _quarter(48),
        Ends.OVERDUE,
        Acts.RECIPIENT,
    ),
    TimeLimit(
        measures.CLOCK_RULE_LIMITATION_ANSWER,
        _days(6 * 7),  # six weeks end on the same weekday (Reg. 1182/71 Art. 3(2)(c))
        "2018/1805 Art. 12(2)",
        _WEEK_BEFORE,
        Ends.ENDS_DUTY,
        Acts.SENDER,
        from_receipt=True,  # "within six weeks of receiving the request"
    ),
    TimeLimit(
        measures.CLOCK_RULE_CONFISCATION_DECISION,
        _days(45),
        "2018/1805 Art. 20(1)",
        _WEEK_BEFORE,
        Ends.OVERDUE,
        Acts.RECIPIENT,
    ),
    TimeLimit(
        measures.CLOCK_RULE_PRODUCTION, _days(10), "2023/1543 Art. 10(2)-(3)", _SOON, Ends.OVERDUE, Acts.RECIPIENT
    ),
    TimeLimit(
        measures.CLOCK_RULE_EMERGENCY_PRODUCTION,
        _hours(8),
        "2023/1543 Art. 10(4)",
        _quarter(8),
        Ends.OVERDUE,
        Acts.RECIPIENT,
    ),
    TimeLimit(
        measures.CLOCK_RULE_EX_POST_VALIDATION,
        _hours(48),
        "2023/1543 Art. 4(5)",
        _quarter(48),
        Ends.LAPSES,
        Acts.SENDER,
    ),
    TimeLimit(measures.CLOCK_RULE_PRESERVATION, _days(60), "2023/1543 Art. 11(1)", _EXPIRY, Ends.LAPSES, Acts.SENDER),
    TimeLimit(
        measures.CLOCK_RULE_PRESERVATION_EXTENSION,
        _days(30),
        "2023/1543 Art. 11(1)",
        _EXPIRY,
        Ends.LAPSES,
        Acts.SENDER,
        continues=True,
    ),
    # "As long as necessary to produce the data" gives no number: 90 days are a house rule, and end nothing.
    TimeLimit(
        measures.CLOCK_RULE_SUBSEQUENT_REQUEST,
        _days(90),
        "2023/1543 Art. 11(2)-(3)",
        _EXPIRY,
        Ends.OVERDUE,
        Acts.SENDER,
        may_be_shorter=True,
    ),
    TimeLimit(
        measures.CLOCK_RULE_EXPEDITED_PRESERVATION,
        _days(90),
        "Budapest Convention Art. 16(2)",
        _EXPIRY,
        Ends.LAPSES,
        Acts.SENDER,
        may_be_shorter=True,
        at_most=True,
    ),
    TimeLimit(
        measures.CLOCK_RULE_CLARIFICATION,
        _days(5),
        "2023/1543 Art. 10(6), 11(5)",
        _SOON,
        Ends.ENDS_DUTY,
        Acts.SENDER,
        from_receipt=True,  # "within five days following receipt of the form"
    ),
    TimeLimit(
        measures.CLOCK_RULE_TERRORIST_CONTENT,
        _hours(1),
        "2021/784 Art. 3(3)",
        _quarter(1),
        Ends.OVERDUE,
        Acts.RECIPIENT,
    ),
    # No order ends by its date alone unless it says so: the court is asked.
    TimeLimit(
        measures.CLOCK_RULE_SET_BY_ORDER,
        None,
        "the order itself",
        _EXPIRY,
        Ends.OVERDUE,
        Acts.SENDER,
        may_be_shorter=True,
    ),
    # "Without delay, as in a domestic case" gives no number: ten days are a house rule.
    TimeLimit(
        measures.CLOCK_RULE_ORDINARY_DECISION,
        _days(10),
        "2018/1805 Art. 9(1)",
        _SOON,
        Ends.OVERDUE,
        Acts.RECIPIENT,
        may_be_shorter=True,
    ),
    # "As soon as it has been notified", "without undue delay", "immediately": five days are a house rule.
    TimeLimit(
        measures.CLOCK_RULE_RELEASE,
        _days(5),
        "2018/1805 Art. 12(2), 27(3)",
        _SOON,
        Ends.OVERDUE,
        Acts.RECIPIENT,
        may_be_shorter=True,
    ),
    TimeLimit(
        measures.CLOCK_RULE_DELETION,
        _days(5),
        "2023/1543 Art. 4(5), 10(4)",
        _SOON,
        Ends.OVERDUE,
        Acts.SENDER,
        may_be_shorter=True,
    ),
    TimeLimit(
        measures.CLOCK_RULE_PROVISIONAL,
        _days(7),
        "2024/1260 Art. 11",
        (24 * _HOUR, 6 * _HOUR),
        Ends.LAPSES,
        Acts.SENDER,
        may_be_shorter=True,
        at_most=True,
    ),
    TimeLimit(
        measures.CLOCK_RULE_ENFORCING_OBJECTION,
        _hours(96),
        "2023/1543 Art. 12(1)",
        _quarter(96),
        Ends.ENDS_RIGHT,
        Acts.RECIPIENT,
    ),
    TimeLimit(
        measures.CLOCK_RULE_ENFORCEMENT_RECOGNITION,
        Length(5, Unit.WORKING_DAYS),
        "2023/1543 Art. 16(2)",
        _SOON,
        Ends.OVERDUE,
        Acts.RECIPIENT,
    ),
    TimeLimit(
        measures.CLOCK_RULE_ENFORCEMENT_INFORMATION,
        Length(5, Unit.WORKING_DAYS),
        "2023/1543 Art. 16(7)",
        _SOON,
        Ends.OVERDUE,
        Acts.SENDER,
        from_receipt=True,  # nobody replies to what he does not have
    ),
    TimeLimit(
        measures.CLOCK_RULE_PROVIDER_OBJECTION,
        _days(10),
        "2023/1543 Art. 17(2)",
        _SOON,
        Ends.ENDS_RIGHT,
        Acts.RECIPIENT,
    ),
)

LIMITS: Final[Mapping[Rule, TimeLimit]] = MappingProxyType({limit.rule: limit for limit in _ROWS})
_WARN_US: Final = MappingProxyType({limit.rule: tuple(map(in_micros, limit.warn)) for limit in _ROWS})


def due(
    rule: Rule, start: datetime, country: str, *, length: Length | None = None, until: datetime | None = None
) -> datetime:
    """Return when a time limit ends: the first instant that is too late.

    Args:
        rule: which.
        start: the event that makes it run; for one that continues another, the end of that.
        country: ISO 3166-1 alpha-2, in either case: where the action is to be taken.
        length: what a policy or an order sets instead of the law's length, if it may be shorter.
        until: the end that an order sets, exactly so; likewise.

    Returns:
        In UTC. Never later than the law's own length allows, whatever `length` and `until` say.

    Raises:
        ValueError: a time without a zone; both `length` and `until`, or one of them where the law leaves no choice;
            none of them where only an order can tell.
    """
    until_us = None if until is None else _micros(until)
    return from_micros(due_us(rule, _micros(start), country, length=length, until_us=until_us))


def due_us(
    rule: Rule, start_us: int, country: str, *, length: Length | None = None, until_us: int | None = None
) -> int:
    """Return the same in whole microseconds since 1970, as the store has them."""
    limit = LIMITS[rule]
    if length is not None and until_us is not None:
        raise ValueError("an order gives a length or an end")
    if (length is not None or until_us is not None) and not limit.may_be_shorter:
        raise ValueError(f"the length of {measures.ClockRule.Name(rule)} is its law's ({limit.law})")
    # What continues begins as the last day of the other ends: that day is the one left out.
    quarter = (start_us - limit.continues) // _QUARTER_US
    ends = [_end_us(rule, each, quarter, country) for each in (limit.length, length) if each is not None]
    if until_us is not None:
        ends.append(until_us)
    if not ends:
        raise ValueError("the order sets the length: give it")
    return min(ends)


def resumed_us(rule: Rule, due_us: int, country: str) -> int:
    """Return when a time limit ends that has rested, by (6).

    Args:
        rule: which.
        due_us: the end that it had, and as long as it rested; microseconds since 1970.
        country: as in `due`.
    """
    limit = LIMITS[rule]
    if limit.length is None or limit.length.unit is Unit.HOURS or limit.at_most:
        return due_us
    zone = _zone(country.upper())
    last = from_micros(due_us - 1).astimezone(zone).date()
    return due_us if _is_worked(last, country) else _end_of(_after_working_days(last, 1, country), zone)


def warnings_us(rule: Rule, start_us: int, due_us: int) -> list[int]:
    """Return when to say that it is due soon, in order: only after it began, for a short one would be told at once."""
    return [due_us - before for before in _WARN_US[rule] if due_us - before > start_us]


@lru_cache(maxsize=_ENDS)
def _end_us(rule: Rule, length: Length, quarter: int, country: str) -> int:
    """The rules of the module's docstring, by their numbers, for what begins in a quarter of an hour since 1970."""
    zone = _zone(country.upper())
    begun = from_micros(quarter * _QUARTER_US)
    local = begun.astimezone(zone)
    if length.unit is Unit.HOURS:
        # (1), (2): in UTC, for an hour that a clock is put forward by is no hour that passed.
        return to_micros(begun - timedelta(minutes=local.minute) + (length.count + 1) * _HOUR)
    if length.unit is Unit.WORKING_DAYS:
        last = _after_working_days(local.date(), length.count, country)  # (3)
    else:
        last = local.date() + length.count * _DAY  # (1), (3)
        if not LIMITS[rule].at_most:
            last = _moved(local.date(), last, country)
    return _end_of(last, zone)


def _end_of(day: date, zone: tzinfo) -> int:
    # Where clocks change at midnight: a midnight that comes twice is the first, one that is skipped its instant.
    return to_micros(datetime.combine(day + _DAY, time(), zone).astimezone(UTC))


def _moved(before: date, last: date, country: str) -> date:
    """Return the last day of a period in days that begins after `before`: (4) and (5)."""
    worked = min(_AT_LEAST_WORKED, (last - before).days)
    return max(last, _after_working_days(before, worked, country), _after_working_days(last - _DAY, 1, country))


def _after_working_days(day: date, count: int, country: str) -> date:
    """Return the last of so many working days after a day."""
    while count:
        day += _DAY
        count -= _is_worked(day, country)
    return day


def _is_worked(day: date, country: str) -> bool:
    return day.weekday() < _SATURDAY and day not in _public_holidays(country.upper(), day.year)


def _micros(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone is no instant")
    return to_micros(moment)


_CALENDARS: Final = 4096
"""Years of countries that are kept. One takes 0.2 ms to compile, the first of a country up to 0.1 s."""

_CAPITALS: Final = MappingProxyType(
    {
        "AU": "Australia/Sydney",
        "BR": "America/Sao_Paulo",
        "CA": "America/Toronto",
        "FM": "Pacific/Pohnpei",
        "RU": "Europe/Moscow",
        "UA": "Europe/Kyiv",
    }
)
"""Of the countries whose first row in zone.tab is another place, those whose clocks differ there."""


@lru_cache(maxsize=1)
def _zones() -> Mapping[str, str]:
    """Return the name of the time zone of each country: its first in zone.tab, or its capital's."""
    rows = (resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text("ascii").splitlines()
    fields = [row.split("\t") for row in rows if not row.startswith("#")]
    return {country: zone for country, _, zone, *_ in reversed(fields)} | _CAPITALS


@lru_cache(maxsize=_CALENDARS)
def _zone(country: str) -> tzinfo:
    name = _zones().get(country)
    if name is None:
        return UTC
    # Not ZoneInfo(name), which looks in the machine's own database first.
    with (resources.files("tzdata") / "zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@lru_cache(maxsize=_CALENDARS)
def _public_holidays(country: str, year: int) -> frozenset[date]:
    """Return the public holidays of a country in a year; none where they are not known."""
    if country not in _zones():
        return frozenset()
    import holidays  # noqa: PLC0415  it takes as long to import as the rest of a command, and few commands count days

    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # that a movable feast is not proclaimed for a distant year yet
        try:
            return frozenset(holidays.country_holidays(country, years=year))
        except NotImplementedError:  # how the library says that it has no such country
            return frozenset()
