"""Time limits: the earliest and the latest end that each rule's law allows."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway import deadlines
from gateway.clock import to_micros
from gateway.formats import checks
from gateway.formats.checks import clocks
from gateway.formats.codes import Code
from tests import broken, samples

URGENT = measures.CLOCK_RULE_URGENT_DECISION
CONFISCATION = measures.CLOCK_RULE_CONFISCATION_DECISION
NOON = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)


def clock(rule: measures.ClockRule.ValueType, start: datetime, due: datetime) -> measures.Clock:
    return measures.Clock(rule=rule, start_us=to_micros(start), due_us=to_micros(due))


def rules(found: measures.Clock) -> list[str]:
    return [problem.rule for problem in checks.problems(found)]


@pytest.mark.parametrize(
    ("kind", "place", "fitting"),
    [
        pytest.param(
            ids.KIND_EVIDENCE_REQUEST,
            "deadline",
            {measures.CLOCK_RULE_PRODUCTION, measures.CLOCK_RULE_EMERGENCY_PRODUCTION},
            id="2023/1543 Art. 10",
        ),
        pytest.param(
            ids.KIND_PRESERVATION_REQUEST,
            "period",
            {
                measures.CLOCK_RULE_PRESERVATION,
                measures.CLOCK_RULE_PRESERVATION_EXTENSION,
                measures.CLOCK_RULE_EXPEDITED_PRESERVATION,
            },
            id="2023/1543 Art. 11(1); Budapest Convention Art. 16(2)",
        ),
        # A rule between States would tell an exchange that one asked.
        pytest.param(
            ids.KIND_DOMESTIC_ORDER,
            "clocks[0]",
            {measures.CLOCK_RULE_EXPEDITED_PRESERVATION, measures.CLOCK_RULE_PROVISIONAL},
            id="of national law",
        ),
    ],
)
def test_limit_stands_where_its_law_puts_it_and_nowhere_else(
    kind: ids.Kind.ValueType, place: str, fitting: set[measures.ClockRule.ValueType]
) -> None:
    document = samples.complete(kind)
    found = set()
    for rule in set(measures.ClockRule.values()) - {measures.CLOCK_RULE_UNSPECIFIED}:
        broken.change(document, f"{place}.rule", rule)
        if Code.CLOCK_MISPLACED not in {problem.rule for problem in checks.problems(document)}:
            found.add(rule)
    assert found == fitting | {measures.CLOCK_RULE_SET_BY_ORDER}


def test_every_rule_but_the_orders_own_has_a_length() -> None:
    own = {measures.CLOCK_RULE_UNSPECIFIED, measures.CLOCK_RULE_SET_BY_ORDER}
    assert set(clocks.LENGTHS) == set(measures.ClockRule.values()) - own


@pytest.mark.parametrize(
    ("hours", "minutes", "broken"),
    [
        pytest.param(48, 0, [], id="from the minute on"),
        pytest.param(48, 30, [], id="from the next full hour on"),
        pytest.param(49, 0, [], id="an event on the hour, and the hour after it"),
        pytest.param(47, 59, [Code.CLOCK_TOO_SHORT], id="a minute less than the law gives"),
        pytest.param(49, 1, [Code.CLOCK_TOO_LONG], id="a minute more than the law gives"),
    ],
)
def test_hours_begin_at_once_or_with_the_next_full_hour(hours: int, minutes: int, broken: list[str]) -> None:
    assert rules(clock(URGENT, NOON, NOON + timedelta(hours=hours, minutes=minutes))) == broken


@pytest.mark.parametrize(
    ("due", "broken"),
    [
        pytest.param(datetime(2026, 4, 17, tzinfo=UTC), [], id="the end of the 45th day"),
        pytest.param(datetime(2026, 4, 20, 22, tzinfo=UTC), [], id="moved past a weekend"),
        pytest.param(datetime(2026, 4, 15, tzinfo=UTC), [Code.CLOCK_TOO_SHORT], id="the 44th day"),
        pytest.param(datetime(2026, 5, 1, tzinfo=UTC), [Code.CLOCK_TOO_LONG], id="moved by two weeks"),
    ],
)
def test_days_end_with_the_last_one_or_with_the_next_that_is_worked(due: datetime, broken: list[str]) -> None:
    assert rules(clock(CONFISCATION, NOON, due)) == broken


@given(
    st.sampled_from(["Europe/Tallinn", "Europe/Lisbon", "Europe/Berlin", "Atlantic/Azores", "America/Cayenne"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2036, 1, 1)),  # noqa: DTZ001  hypothesis adds the zone
    st.sampled_from([(CONFISCATION, 45), (measures.CLOCK_RULE_PRODUCTION, 10), (measures.CLOCK_RULE_CLARIFICATION, 5)]),
    st.integers(0, 6),
)
def test_whatever_the_zone_the_season_and_the_holidays_a_right_end_is_let_through(
    zone: str, wall: datetime, rule: tuple[measures.ClockRule.ValueType, int], holidays: int
) -> None:
    start = wall.replace(tzinfo=ZoneInfo(zone))
    end = (start + timedelta(days=rule[1] + 1 + holidays)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert rules(clock(rule[0], start.astimezone(UTC), end.astimezone(UTC))) == []


EVERYWHERE = (
    *("ee", "de", "fi", "fr", "lv", "hu", "ro", "pt", "es", "gr", "ie"),  # Member States
    *("az", "ru", "kg", "vu", "mm", "np", "cn", "ye", "ae"),  # the longest holidays
    *("gb", "ch", "us", "br", "ca", "au", "nz", "jp", "in", "sg", "xx"),  # zones of every kind, and none
)


@given(
    st.sampled_from(sorted(clocks.LENGTHS)),
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  by timezones
    st.sampled_from(EVERYWHERE),
)
@settings(max_examples=500)
def test_what_the_node_counts_is_what_a_document_may_say(
    rule: measures.ClockRule.ValueType, start: datetime, country: str
) -> None:
    assert rules(clock(rule, start, deadlines.due(rule, start, country))) == []


@pytest.mark.parametrize(
    ("rule", "start", "country"),
    [
        pytest.param(measures.CLOCK_RULE_CLARIFICATION, datetime(2024, 12, 20, 9, tzinfo=UTC), "lv", id="Latvia"),
        pytest.param(CONFISCATION, datetime(2025, 2, 3, 9, tzinfo=UTC), "az", id="Azerbaijan"),
        pytest.param(measures.CLOCK_RULE_PRODUCTION, datetime(2024, 12, 18, 9, tzinfo=UTC), "ru", id="Russia"),
        pytest.param(
            measures.CLOCK_RULE_ENFORCEMENT_RECOGNITION, datetime(2029, 4, 12, 9, tzinfo=UTC), "mm", id="Myanmar"
        ),
    ],
)
def test_the_longest_holidays_there_are_make_no_right_end_wrong(
    rule: measures.ClockRule.ValueType, start: datetime, country: str
) -> None:
    assert rules(clock(rule, start, deadlines.due(rule, start, country))) == []


@pytest.mark.parametrize(
    ("due", "broken"),
    [
        pytest.param(datetime(2026, 3, 10, tzinfo=UTC), [], id="the end of the fifth"),
        pytest.param(datetime(2026, 3, 6, tzinfo=UTC), [Code.CLOCK_TOO_SHORT], id="the end of the third"),
        pytest.param(datetime(2026, 4, 1, tzinfo=UTC), [Code.CLOCK_TOO_LONG], id="four weeks"),
    ],
)
def test_working_days_have_weekends_between_them(due: datetime, broken: list[str]) -> None:
    assert rules(clock(measures.CLOCK_RULE_ENFORCEMENT_RECOGNITION, NOON, due)) == broken


def test_a_provisional_freeze_may_be_shorter_than_seven_days_and_no_longer() -> None:
    provisional = measures.CLOCK_RULE_PROVISIONAL
    assert rules(clock(provisional, NOON, NOON + timedelta(hours=72))) == []
    assert rules(clock(provisional, NOON, NOON + timedelta(days=8))) == []
    assert rules(clock(provisional, NOON, NOON + timedelta(days=9))) == [Code.CLOCK_TOO_LONG]


def test_a_domestic_policy_may_shorten_what_the_law_leaves_open() -> None:
    assert rules(clock(measures.CLOCK_RULE_ORDINARY_DECISION, NOON, NOON + timedelta(days=2))) == []


def test_the_six_weeks_of_the_issuer_stand_in_a_request_to_limit_and_nowhere_else() -> None:
    assert frozenset({measures.CLOCK_RULE_LIMITATION_ANSWER}) == clocks.OF_LIMITATION
    assert not clocks.OF_LIMITATION & (clocks.BETWEEN_STATES | clocks.DOMESTIC)


def test_expedited_preservation_may_be_shorter_than_ninety_days_and_no_longer() -> None:
    expedited = measures.CLOCK_RULE_EXPEDITED_PRESERVATION
    assert rules(clock(expedited, NOON, NOON + timedelta(days=60))) == []
    assert rules(clock(expedited, NOON, NOON + timedelta(days=92))) == [Code.CLOCK_TOO_LONG]


def test_an_order_sets_what_it_sets() -> None:
    own = measures.CLOCK_RULE_SET_BY_ORDER
    assert rules(clock(own, NOON, NOON + timedelta(minutes=1))) == []
    assert rules(clock(own, NOON, NOON + timedelta(days=3650))) == []
    assert rules(clock(own, NOON, NOON - timedelta(minutes=1))) == [Code.CLOCK_ENDS_BEFORE_START]


def test_a_limit_that_was_met_too_late_is_a_fact_and_no_fault() -> None:
    late = clock(URGENT, NOON, NOON + timedelta(hours=48))
    late.met_at_us = to_micros(NOON + timedelta(hours=60))
    assert rules(late) == []
