"""Time limits: each row of the law's tables, and how days and hours are counted (Regulation 1182/71)."""

import shutil
import time
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import measures_pb2 as measures

from gateway import deadlines
from gateway.clock import from_micros, to_micros
from gateway.deadlines import LIMITS, Acts, Ends, Length, Rule, Unit

URGENT = measures.CLOCK_RULE_URGENT_DECISION
PRODUCTION = measures.CLOCK_RULE_PRODUCTION
CLARIFICATION = measures.CLOCK_RULE_CLARIFICATION
RECOGNITION = measures.CLOCK_RULE_ENFORCEMENT_RECOGNITION
PROVISIONAL = measures.CLOCK_RULE_PROVISIONAL
ORDINARY = measures.CLOCK_RULE_ORDINARY_DECISION
EXTENSION = measures.CLOCK_RULE_PRESERVATION_EXTENSION
EXPEDITED = measures.CLOCK_RULE_EXPEDITED_PRESERVATION
BY_ORDER = measures.CLOCK_RULE_SET_BY_ORDER

ZONES = {
    "ee": "Europe/Tallinn",
    "de": "Europe/Berlin",
    "fi": "Europe/Helsinki",
    "in": "Asia/Kolkata",
    "cl": "America/Santiago",
    "au": "Australia/Sydney",
    "ca": "America/Toronto",
    "br": "America/Sao_Paulo",
    "fm": "Pacific/Pohnpei",
    "ru": "Europe/Moscow",
    "ua": "Europe/Kyiv",
    "xx": "UTC",
    "uk": "UTC",  # no code of ISO 3166-1
}

COUNTRIES = st.sampled_from(["ee", "de", "fi", "pt", "lv", "hu", "gb", "ch", "us", "in", "au", "cl", "az", "ru", "xx"])
STARTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  by timezones
COUNTED = st.sampled_from([rule for rule, limit in LIMITS.items() if limit.length is not None])


def at(wall: str, country: str = "ee") -> datetime:
    """The instant at which clocks of that country show so."""
    return datetime.fromisoformat(wall).replace(tzinfo=zoneinfo.ZoneInfo(ZONES[country]))


def ends(rule: Rule, start: str, country: str = "ee") -> str:
    """What clocks of that country show when a time limit ends."""
    end = deadlines.due(rule, at(start, country).astimezone(UTC), country)
    return end.astimezone(zoneinfo.ZoneInfo(ZONES[country])).strftime("%Y-%m-%d %H:%M:%S.%f").removesuffix(":00.000000")


def test_every_rule_of_the_contract_has_one_row() -> None:
    assert set(LIMITS) == set(measures.ClockRule.values()) - {measures.CLOCK_RULE_UNSPECIFIED}
    assert all(limit.rule == rule for rule, limit in LIMITS.items())


# A Monday, half past two in the afternoon; the tables name what is counted from receipt or from the event.
MONDAY = "2026-03-02 14:30"


@pytest.mark.parametrize(
    ("rule", "law", "end"),
    [
        pytest.param(ORDINARY, "2018/1805 Art. 9(1)", "2026-03-13 00:00", id="1.5 ordinary freeze, ten days"),
        pytest.param(URGENT, "2018/1805 Art. 9(3)", "2026-03-04 15:00", id="1.5 urgent freeze, decision in 48 h"),
        pytest.param(
            measures.CLOCK_RULE_URGENT_EXECUTION,
            "2018/1805 Art. 9(3)",
            "2026-03-04 15:00",
            id="1.5 urgent freeze, execution 48 h from the decision",
        ),
        pytest.param(
            measures.CLOCK_RULE_LIMITATION_ANSWER,
            "2018/1805 Art. 12(2)",
            "2026-04-14 00:00",
            id="1.5 issuer silent for six weeks",
        ),
        pytest.param(
            measures.CLOCK_RULE_CONFISCATION_DECISION,
            "2018/1805 Art. 20(1)",
            "2026-04-17 00:00",
            id="1.5 confiscation decision, 45 days",
        ),
        pytest.param(PROVISIONAL, "2024/1260 Art. 11", "2026-03-10 00:00", id="1.5 provisional, seven days at most"),
        pytest.param(PRODUCTION, "2023/1543 Art. 10(2)-(3)", "2026-03-13 00:00", id="2.1 produce, 10 days"),
        pytest.param(
            measures.CLOCK_RULE_EMERGENCY_PRODUCTION,
            "2023/1543 Art. 10(4)",
            "2026-03-02 23:00",
            id="2.1 emergency, 8 h",
        ),
        pytest.param(
            measures.CLOCK_RULE_ENFORCING_OBJECTION,
            "2023/1543 Art. 12(1)",
            "2026-03-06 15:00",
            id="2.1 objection by the enforcing authority, 96 h",
        ),
        pytest.param(
            measures.CLOCK_RULE_PRESERVATION,
            "2023/1543 Art. 11(1)",
            "2026-05-05 00:00",  # the 60th day is the first of May, a Friday
            id="2.1 preservation, 60 days",
        ),
        pytest.param(EXTENSION, "2023/1543 Art. 11(1)", "2026-04-02 00:00", id="2.1 extension, 30 days more"),
        pytest.param(
            measures.CLOCK_RULE_EX_POST_VALIDATION,
            "2023/1543 Art. 4(5)",
            "2026-03-04 15:00",
            id="2.1 ex post validation, 48 h",
        ),
        pytest.param(
            CLARIFICATION,
            "2023/1543 Art. 10(6), 11(5)",
            "2026-03-10 00:00",  # the fifth day is a Saturday
            id="2.1 issuer answers a clarification, 5 days",
        ),
        pytest.param(
            RECOGNITION,
            "2023/1543 Art. 16(2)",
            "2026-03-10 00:00",
            id="2.1 enforcement, recognition in 5 working days",
        ),
        pytest.param(
            measures.CLOCK_RULE_ENFORCEMENT_INFORMATION,
            "2023/1543 Art. 16(7)",
            "2026-03-10 00:00",
            id="2.1 enforcement, information in 5 working days",
        ),
        pytest.param(
            measures.CLOCK_RULE_PROVIDER_OBJECTION,
            "2023/1543 Art. 17(2)",
            "2026-03-13 00:00",
            id="2.1 third-country objection, 10 days",
        ),
        pytest.param(
            EXPEDITED,
            "Budapest Convention Art. 16(2)",
            "2026-06-01 00:00",  # the 90th day is a Sunday, and stays the last
            id="3.4 expedited preservation, 90 days at most",
        ),
        pytest.param(
            measures.CLOCK_RULE_TERRORIST_CONTENT, "2021/784 Art. 3(3)", "2026-03-02 16:00", id="3.4 terror, 1 h"
        ),
    ],
)
def test_each_row_of_the_clock_tables_has_its_article_and_its_end(rule: Rule, law: str, end: str) -> None:
    assert (LIMITS[rule].law, ends(rule, MONDAY)) == (law, end)


def test_row_1_5_who_cannot_meet_the_48_hours_still_has_to_decide() -> None:
    for rule in (URGENT, measures.CLOCK_RULE_URGENT_EXECUTION, measures.CLOCK_RULE_CONFISCATION_DECISION, ORDINARY):
        assert (LIMITS[rule].ends, LIMITS[rule].acts) == (Ends.OVERDUE, Acts.RECIPIENT)


@pytest.mark.parametrize("article", ["7(2)", "27", "4(9)"])
def test_rows_1_5_what_is_to_be_done_at_once_has_no_limit_to_wait_for(article: str) -> None:
    assert f"2018/1805 Art. {article}" not in {limit.law for limit in LIMITS.values()}


def test_a_silent_issuer_ends_the_duty_of_who_waits_for_it() -> None:
    ending = {rule for rule, limit in LIMITS.items() if limit.ends is Ends.ENDS_DUTY}
    assert ending == {measures.CLOCK_RULE_LIMITATION_ANSWER, CLARIFICATION}
    assert {LIMITS[rule].acts for rule in ending} == {Acts.SENDER}


def test_only_what_holds_for_a_time_lapses_and_an_order_of_a_court_never_by_the_table() -> None:
    assert {rule for rule, limit in LIMITS.items() if limit.ends is Ends.LAPSES} == {
        PROVISIONAL,
        EXPEDITED,
        EXTENSION,
        measures.CLOCK_RULE_PRESERVATION,
        measures.CLOCK_RULE_EX_POST_VALIDATION,
    }


def test_an_objection_comes_in_time_or_not_at_all() -> None:
    assert {rule for rule, limit in LIMITS.items() if limit.ends is Ends.ENDS_RIGHT} == {
        measures.CLOCK_RULE_ENFORCING_OBJECTION,
        measures.CLOCK_RULE_PROVIDER_OBJECTION,
    }


@pytest.mark.parametrize(
    ("rule", "start", "country", "end"),
    [
        pytest.param(PRODUCTION, "2026-03-04 09:00", "ee", "2026-03-17 00:00", id="a Saturday"),
        pytest.param(PRODUCTION, "2026-03-27 09:00", "de", "2026-04-08 00:00", id="Easter Monday"),
        pytest.param(PRODUCTION, "2026-03-27 09:00", "ee", "2026-04-07 00:00", id="Easter Monday, where it is worked"),
        pytest.param(PRODUCTION, "2026-02-14 09:00", "ee", "2026-02-26 00:00", id="24 February in Estonia"),
        pytest.param(PRODUCTION, "2028-09-23 09:00", "de", "2028-10-05 00:00", id="3 October in Germany"),
        pytest.param(PRODUCTION, "2027-11-26 09:00", "fi", "2027-12-08 00:00", id="6 December in Finland"),
        pytest.param(PRODUCTION, "2028-02-20 09:00", "de", "2028-03-02 00:00", id="over a leap day"),
        pytest.param(PRODUCTION, "2026-12-22 09:00", "fi", "2027-01-05 00:00", id="at year's end"),
        pytest.param(PRODUCTION, "2026-03-20 00:00", "ee", "2026-03-31 00:00", id="begins with a day: that one is out"),
        pytest.param(PRODUCTION, "2026-03-20 23:59", "ee", "2026-03-31 00:00", id="begins as a day ends"),
        pytest.param(CLARIFICATION, "2026-04-02 12:00", "de", "2026-04-09 00:00", id="Easter: two days are worked"),
        pytest.param(RECOGNITION, "2026-04-02 12:00", "de", "2026-04-14 00:00", id="working days over Easter"),
        pytest.param(RECOGNITION, "2026-04-04 12:00", "de", "2026-04-14 00:00", id="working days from a Saturday"),
        pytest.param(PROVISIONAL, "2026-03-28 12:00", "de", "2026-04-05 00:00", id="at most: ends on a Saturday"),
        pytest.param(EXPEDITED, "2026-01-06 12:00", "de", "2026-04-07 00:00", id="at most: ends on Easter Monday"),
        pytest.param(URGENT, "2026-04-03 12:30", "de", "2026-04-05 13:00", id="hours end on Easter Sunday"),
        pytest.param(URGENT, "2026-03-02 12:00", "de", "2026-03-04 13:00", id="the hour that begins is out too"),
        pytest.param(URGENT, "2026-03-02 12:59:59.999999", "de", "2026-03-04 13:00", id="an hour's last instant"),
        pytest.param(
            measures.CLOCK_RULE_EMERGENCY_PRODUCTION, "2026-03-02 20:10", "ee", "2026-03-03 05:00", id="over midnight"
        ),
        pytest.param(URGENT, "2026-03-27 12:30", "de", "2026-03-29 14:00", id="48 hours, of which one is skipped"),
        pytest.param(URGENT, "2026-10-23 12:30", "de", "2026-10-25 12:00", id="48 hours, of which one comes twice"),
        pytest.param(
            measures.CLOCK_RULE_EMERGENCY_PRODUCTION, "2026-03-02 12:40", "in", "2026-03-02 21:00", id="half-hour zone"
        ),
        pytest.param(
            PROVISIONAL, "2026-08-29 12:00", "cl", "2026-09-06 01:00", id="a midnight that is skipped is its instant"
        ),
        pytest.param(PRODUCTION, "2026-12-15 12:00", "xx", "2026-12-26 00:00", id="no country: 25 December is worked"),
        pytest.param(PRODUCTION, "2026-12-16 12:00", "xx", "2026-12-29 00:00", id="no country: Saturdays are free"),
        pytest.param(PRODUCTION, "2026-12-15 12:00", "uk", "2026-12-26 00:00", id="a nickname is no country either"),
    ],
)
def test_real_calendars_move_an_end_as_regulation_1182_71_says(rule: Rule, start: str, country: str, end: str) -> None:
    assert ends(rule, start, country) == end


def test_summer_time_makes_no_day_longer_and_no_hour_more() -> None:
    start = datetime(2026, 3, 20, 10, tzinfo=UTC)
    assert deadlines.due(PRODUCTION, start, "ee") == datetime(2026, 3, 30, 21, tzinfo=UTC)
    start = datetime(2026, 3, 28, 12, 30, tzinfo=UTC)
    assert deadlines.due(URGENT, start, "ee") == datetime(2026, 3, 30, 13, tzinfo=UTC)


@pytest.mark.parametrize("country", ["au", "br", "ca", "fm", "ru", "ua"])
def test_a_country_of_many_zones_ends_its_days_at_its_capital(country: str) -> None:
    assert ends(EXPEDITED, "2026-03-02 14:30", country) == "2026-06-01 00:00"


def test_an_extension_leaves_no_day_out_and_gives_none_twice() -> None:
    old = deadlines.due(measures.CLOCK_RULE_PRESERVATION, at("2026-03-03 09:00"), "fi")
    assert old == at("2026-05-05 00:00", "fi")  # the second of May is a Saturday
    assert deadlines.due(EXTENSION, old, "fi") == at("2026-06-04 00:00", "fi")


def warnings(rule: Rule, start: datetime, due: datetime) -> tuple[datetime, ...]:
    return tuple(map(from_micros, deadlines.warnings_us(rule, to_micros(start), to_micros(due))))


@pytest.mark.parametrize(
    ("rule", "before"),
    [
        (URGENT, [timedelta(hours=12)]),
        (measures.CLOCK_RULE_TERRORIST_CONTENT, [timedelta(minutes=15)]),
        (PRODUCTION, [timedelta(days=2)]),
        (PROVISIONAL, [timedelta(hours=24), timedelta(hours=6)]),
        (measures.CLOCK_RULE_CONFISCATION_DECISION, [timedelta(days=7), timedelta(days=2)]),
        (BY_ORDER, [timedelta(days=14), timedelta(days=7), timedelta(days=2)]),
    ],
)
def test_warnings_come_in_order_and_in_time(rule: Rule, before: list[timedelta]) -> None:
    start, end = at("2026-03-02 14:30"), at("2026-06-01 00:00")
    assert warnings(rule, start, end) == tuple(end - early for early in before)


def test_a_short_limit_gives_only_the_warnings_that_still_lie_ahead() -> None:
    start = at("2026-03-02 14:30")
    end = start + timedelta(days=7)
    assert warnings(BY_ORDER, start, end) == (end - timedelta(days=2),)
    assert warnings(BY_ORDER, start, start + timedelta(days=1)) == ()


@pytest.mark.parametrize("rule", [rule for rule in LIMITS if rule != BY_ORDER])
def test_every_limit_warns_at_least_once_before_it_ends(rule: Rule) -> None:
    start = at("2026-03-02 14:30")
    end = deadlines.due(rule, start, "ee")
    told = warnings(rule, start, end)
    assert told == tuple(sorted(told))
    assert start < told[0] <= told[-1] < end


def test_an_order_sets_its_end_to_the_microsecond() -> None:
    end = at("2031-05-04 03:02:01.000007")
    assert deadlines.due(BY_ORDER, at("2026-03-02 14:30"), "ee", until=end) == end
    length = Length(2, Unit.DAYS)
    assert deadlines.due(BY_ORDER, at("2026-03-02 14:30"), "ee", length=length) == at("2026-03-05 00:00")
    with pytest.raises(ValueError, match="sets the length"):
        deadlines.due(BY_ORDER, at("2026-03-02 14:30"), "ee")


@pytest.mark.parametrize("rule", [ORDINARY, PROVISIONAL, EXPEDITED])
def test_a_policy_or_an_order_may_set_less_and_never_more(rule: Rule) -> None:
    start = at("2026-03-02 14:30")
    most = deadlines.due(rule, start, "ee")
    assert deadlines.due(rule, start, "ee", length=Length(3, Unit.DAYS)) == at("2026-03-06 00:00")
    assert deadlines.due(rule, start, "ee", length=Length(36, Unit.HOURS)) == at("2026-03-04 03:00")
    assert deadlines.due(rule, start, "ee", length=Length(365, Unit.DAYS)) == most
    assert deadlines.due(rule, start, "ee", until=at("2026-03-04 12:00")) == at("2026-03-04 12:00")
    assert deadlines.due(rule, start, "ee", until=at("2027-01-01 00:00")) == most


@pytest.mark.parametrize("rule", [rule for rule, limit in LIMITS.items() if not limit.may_be_shorter])
def test_nobody_takes_from_a_party_the_time_that_the_law_gives_it(rule: Rule) -> None:
    start = at("2026-03-02 14:30")
    with pytest.raises(ValueError, match="its law's"):
        deadlines.due(rule, start, "ee", length=Length(1, Unit.HOURS))
    with pytest.raises(ValueError, match="its law's"):
        deadlines.due(rule, start, "ee", until=start + timedelta(hours=1))


def test_what_cannot_be_meant_is_refused() -> None:
    start = at("2026-03-02 14:30")
    with pytest.raises(ValueError, match="a length or an end"):
        deadlines.due(ORDINARY, start, "ee", length=Length(1, Unit.DAYS), until=start)
    with pytest.raises(ValueError, match="without a zone"):
        deadlines.due(URGENT, start.replace(tzinfo=None), "ee")
    with pytest.raises(ValueError, match="has a length"):
        Length(0, Unit.DAYS)


def test_what_is_at_most_so_long_may_be_shorter_and_is_moved_by_no_holiday() -> None:
    assert {rule for rule, limit in LIMITS.items() if limit.at_most} == {PROVISIONAL, EXPEDITED}
    assert LIMITS[PROVISIONAL].may_be_shorter
    assert LIMITS[EXPEDITED].may_be_shorter


@pytest.fixture
def another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One in New York whose own database of zones is wrong about Tallinn."""
    (tmp_path / "Europe").mkdir()
    wrong = resources.files("tzdata") / "zoneinfo" / "America" / "New_York"
    with resources.as_file(wrong) as path:
        shutil.copy(path, tmp_path / "Europe" / "Tallinn")
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    zoneinfo.reset_tzpath(to=[tmp_path])
    zoneinfo.ZoneInfo.clear_cache()
    deadlines._zone.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()
    deadlines._zone.cache_clear()


@pytest.mark.usefixtures("another_machine")
def test_both_nodes_count_to_one_instant_whatever_their_machines_think_of_time() -> None:
    start = datetime(2026, 3, 20, 10, tzinfo=UTC)
    assert start.astimezone(zoneinfo.ZoneInfo("Europe/Tallinn")).hour == 6
    assert deadlines.due(PRODUCTION, start, "ee") == datetime(2026, 3, 30, 21, tzinfo=UTC)


@given(COUNTED, STARTS, COUNTRIES, st.sampled_from(["Asia/Tokyo", "America/New_York", "Europe/Tallinn"]))
def test_how_an_instant_or_a_country_is_written_changes_nothing(
    rule: Rule, start: datetime, country: str, zone: str
) -> None:
    elsewhere = start.astimezone(zoneinfo.ZoneInfo(zone))
    assert deadlines.due(rule, start, country) == deadlines.due(rule, elsewhere, country.upper())


@given(COUNTED, STARTS, st.timedeltas(timedelta(), timedelta(days=20)), COUNTRIES)
def test_what_begins_later_never_ends_earlier(rule: Rule, start: datetime, later: timedelta, country: str) -> None:
    assert deadlines.due(rule, start, country) <= deadlines.due(rule, start + later, country)


@given(COUNTED, STARTS, COUNTRIES)
def test_no_party_gets_less_than_the_law_gives_nor_two_weeks_more(rule: Rule, start: datetime, country: str) -> None:
    limit = LIMITS[rule]
    assert limit.length is not None
    lasts = deadlines.due(rule, start, country) - start
    if limit.length.unit is Unit.HOURS:
        given_hours = timedelta(hours=limit.length.count)
        assert given_hours < lasts <= given_hours + timedelta(hours=1)
    else:
        given_days = timedelta(days=limit.length.count)
        change = timedelta(hours=1)  # of the clocks
        free = timedelta() if limit.at_most else timedelta(days=12)
        weekends = timedelta(days=4) if limit.length.unit is Unit.WORKING_DAYS else timedelta()
        assert given_days - change <= lasts <= given_days + timedelta(days=1) + change + free + weekends


@given(STARTS, st.integers(2, 12), st.sampled_from(["ee", "de", "fi"]))
def test_any_period_of_two_days_or_more_holds_two_working_days_and_ends_with_one(
    start: datetime, count: int, country: str
) -> None:
    zone = zoneinfo.ZoneInfo(ZONES[country])
    end = deadlines.due(BY_ORDER, start, country, length=Length(count, Unit.DAYS)).astimezone(zone)
    first = start.astimezone(zone).date() + timedelta(days=1)
    period = [first + timedelta(days=day) for day in range((end.date() - first).days)]
    # Counted one working day at a time, by the rule for these: another path through the same calendar.
    ends_worked = [
        deadlines.due(BY_ORDER, start, country, length=Length(number, Unit.WORKING_DAYS)).astimezone(zone)
        for number in range(1, len(period) + 1)
    ]
    assert len(period) >= count
    assert sum(worked <= end for worked in ends_worked) >= 2
    assert end in ends_worked


def test_a_country_whose_holidays_nobody_knows_has_its_own_clocks_and_free_weekends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadlines, "_zones", lambda: {"ZZ": "Europe/Tallinn"})
    assert deadlines.due(PRODUCTION, at("2026-12-15 09:00"), "zz") == at("2026-12-26 00:00")  # after Christmas Day
    assert deadlines.due(PRODUCTION, at("2026-12-16 09:00"), "zz") == at("2026-12-29 00:00")
