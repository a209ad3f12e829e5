"""Each warning begins when it should, and not a moment before; and ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import operations_pb2 as operations
from rogatory.v1 import trace_pb2 as trace

from gateway import metrics, overview
from gateway.clock import in_micros, to_micros
from gateway.conditions import MOST_OVERDUE, Backlog, Ending, Refusals, Snapshot, alerts, warnings
from gateway.config import Alerts
from gateway.errors import ErrorCode
from gateway.operations import MAX_WAITING
from gateway.store.alerts import Standing
from gateway.store.matters import ClockRow, Stage
from gateway.store.operating import ActionRow
from gateway.store.witnessing import AlarmRow
from gateway.trust.roles import MOST_GROWN_BYTES

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SETTINGS = Alerts()
RULE = measures.CLOCK_RULE_URGENT_DECISION


def ago(**units: float) -> int:
    return to_micros(NOW - timedelta(**units))


def snapshot(*destinations: trace.Destination, **others: Any) -> Snapshot:
    told = trace.GetOverviewResponse(node="ee", at_us=to_micros(NOW), destinations=destinations)
    return Snapshot(told=told, **others)


def clock(stage: Stage, begun: int, due: int) -> Snapshot:
    ref = ids.EnvelopeRef(sender="ee/prosecutor", id="0123")
    row = ClockRow(1, ref, RULE, begun, due, due, None if stage is not Stage.PAUSED else begun, stage)
    return snapshot(clocks=(row,))


def destination(address: str, waiting: int, oldest: int, **others: Any) -> trace.Destination:
    return trace.Destination(address=address, waiting=waiting, oldest_at_us=oldest, **others)


def ending(name: str, days: float) -> Snapshot:
    return snapshot(endings=(Ending(name, "key", "ee/court", ago(days=-days), in_micros(timedelta(days=8))),))


def alarm(**units: float) -> Snapshot:
    row = AlarmRow(ago(**units), "de.rogatory.test/log", ErrorCode.LOG_FORKED, "words of the other log", b"", b"", ())
    return snapshot(alarms=(row,))


ASKED = ActionRow(
    7,
    operations.Action(expire=operations.ExpireCopy(destination="de/node"), reason="words of an operator"),
    "ee/operator",
    ago(minutes=1),
    ago(minutes=-59),
    None,
)
FAILED = {"last_error": "UNAVAILABLE: words of the other node"}
BEFORE = Backlog(ago(minutes=10), {"de/node": 5})

# What is there, whether it is urgent; and the same a little earlier or later, of which nothing is to be said.
CASES: dict[str, tuple[Snapshot, str, bool, Snapshot]] = {
    "a limit that has run out": (
        clock(Stage.OVERDUE, ago(days=3), ago(hours=1)),
        "clock.overdue",
        True,
        clock(Stage.PAUSED, ago(days=3), ago(hours=1)),
    ),
    "a limit that runs out within a day": (
        clock(Stage.RUNNING, ago(days=5), ago(hours=-23)),
        "clock.due-soon",
        False,
        clock(Stage.RUNNING, ago(days=5), ago(hours=-25)),
    ),
    "a short limit in its last quarter": (
        clock(Stage.RUNNING, ago(hours=6.1), ago(hours=-1.9)),
        "clock.due-soon",
        False,
        clock(Stage.RUNNING, ago(hours=5.9), ago(hours=-2.1)),
    ),
    "a node that takes nothing": (
        snapshot(destination("de/node", 3, ago(minutes=15), **FAILED)),
        "destination.dead",
        True,
        snapshot(destination("de/node", 3, ago(minutes=14), **FAILED)),
    ),
    "a node that takes nothing, and is not held": (
        snapshot(destination("de/node", 3, ago(hours=15), **FAILED)),
        "destination.dead",
        True,
        snapshot(destination("de/node", 3, ago(hours=15), **FAILED, held_by="ee/operator")),
    ),
    "a node that fails": (
        snapshot(destination("de/node", 3, ago(hours=15), **FAILED)),
        "destination.dead",
        True,
        snapshot(destination("de/node", 3, ago(hours=15))),
    ),
    "a participant that does not collect": (
        snapshot(destination("ee/court", 3, ago(hours=72))),
        "destination.dead",
        False,
        snapshot(destination("ee/court", 3, ago(hours=71))),
    ),
    "a backlog": (
        snapshot(destination("de/node", 1005, ago(minutes=1))),
        "backlog.growing",
        False,
        snapshot(destination("de/node", 1004, ago(minutes=1))),
    ),
    "refusals": (
        snapshot(refusals=(Refusals("de/node", 56, 121),)),
        "refusals.jump",
        False,
        snapshot(refusals=(Refusals("de/node", 55, 121),)),
    ),
    "refusals of one that had none": (
        snapshot(refusals=(Refusals("de/node", 50, 0),)),
        "refusals.jump",
        False,
        snapshot(refusals=(Refusals("de/node", 49, 0),)),
    ),
    "a key": (ending("key.expiring", 7.9), "key.expiring", False, ending("key.expiring", 8.1)),
    "a key at its end": (ending("key.expiring", 1.9), "key.expiring", True, ending("key.expiring", 8.1)),
    "a certificate that has ended": (
        ending("certificate.expiring", -1),
        "certificate.expiring",
        True,
        ending("certificate.expiring", 9),
    ),
    "the directory": (ending("directory.expiring", 7), "directory.expiring", False, ending("directory.expiring", 9)),
    "a list that is half full": (
        snapshot(list_bytes=MOST_GROWN_BYTES // 2, listed_at_us=ago(days=1)),
        "list.filling",
        False,
        snapshot(list_bytes=MOST_GROWN_BYTES // 2 - 1, listed_at_us=ago(days=1)),
    ),
    "a list that is nearly full": (
        snapshot(list_bytes=MOST_GROWN_BYTES * 3 // 4, listed_at_us=ago(days=1)),
        "list.filling",
        True,
        snapshot(),
    ),
    "a witness": (
        snapshot(unwitnessed={"de.rogatory.test": ago(minutes=15)}),
        "witness.silent",
        False,
        snapshot(unwitnessed={"de.rogatory.test": ago(minutes=14), "witness.example/w1": 0}),
    ),
    "an alarm": (alarm(days=29), "log.alarm", True, alarm(days=30)),
    "a log that is signed no more": (
        snapshot(unsigned_since_us=ago(seconds=60)),
        "log.stopped",
        True,
        snapshot(unsigned_since_us=ago(seconds=59)),
    ),
    "what an operator cannot do alone": (snapshot(asked=(ASKED,)), "action.waiting", False, snapshot()),
}


@pytest.mark.parametrize(("there", "name", "urgent", "gone"), CASES.values(), ids=CASES)
def test_warning_is_there_when_it_should_be_and_not_a_moment_before(
    there: Snapshot, name: str, urgent: bool, gone: Snapshot
) -> None:
    (told,) = warnings(there, BEFORE, SETTINGS)
    assert (told.name, told.urgent) == (name, urgent)
    assert told.subject
    assert 0 < told.since_us <= to_micros(NOW)
    # It leaves the node: what others wrote does not.
    assert "words of" not in told.detail
    assert warnings(gone, BEFORE, SETTINGS) == []


def test_every_name_has_a_case() -> None:
    assert {name for _, name, _, _ in CASES.values()} == set(metrics.WARNINGS)


def test_backlog_is_told_of_by_two_looks_alone() -> None:
    grown = snapshot(destination("de/node", 10_000, ago(minutes=1)))
    assert warnings(grown, None, SETTINGS) == []
    (told,) = warnings(grown, BEFORE, SETTINGS)
    assert told.since_us == BEFORE.at_us


def test_what_is_urgent_comes_first_and_then_what_lasts_longest() -> None:
    many = snapshot(
        destination("de/node", 3, ago(hours=1), **FAILED),
        destination("ee/court", 3, ago(hours=100)),
        destination("fr/node", 3, ago(hours=2), **FAILED),
    )
    assert [each.subject for each in warnings(many, None, SETTINGS)] == ["fr/node", "de/node", "ee/court"]


def test_log_with_many_alarms_is_told_of_once_by_the_newest() -> None:
    rows = (*alarm(days=1).alarms, *alarm(days=2).alarms)
    (told,) = warnings(snapshot(alarms=rows), None, SETTINGS)
    assert told.since_us == ago(days=1)


DEAD = trace.Warning(name="destination.dead", subject="de/node", detail="3 copies wait", since_us=1, urgent=True)
SLOW = trace.Warning(name="backlog.growing", subject="de/node", detail="1005 copies wait", since_us=1)
HOUR = 3600.0


def test_no_action_that_may_wait_is_pushed_out_by_others() -> None:
    assert overview.MAX_ASKED >= MAX_WAITING


def test_limit_that_runs_out_behind_many_is_told_of_and_ends_no_other_warning() -> None:
    limits = [
        ClockRow(
            number,
            ids.EnvelopeRef(sender="ee/prosecutor", id=f"{number:04}"),
            RULE,
            ago(days=9),
            ago(minutes=2 * MOST_OVERDUE - number),
            None,
            None,
            Stage.OVERDUE,
        )
        for number in range(MOST_OVERDUE + 1)
    ]
    before = warnings(snapshot(clocks=(*limits[:-1],)), None, SETTINGS)
    after = warnings(snapshot(clocks=(*limits,)), None, SETTINGS)
    (more,) = [each for each in after if each not in before]
    assert [each for each in before if each not in after] == []
    assert (more.name, more.subject, more.urgent, more.since_us) == (
        "clock.overdue",
        "others",
        True,
        limits[-1].due_at_us,
    )


class Story:
    """What is told while time passes."""

    def __init__(self) -> None:
        self.standing: dict[tuple[str, str], Standing] = {}

    def look(self, seconds: float, *found: trace.Warning) -> list[str]:
        now_us = to_micros(NOW + timedelta(seconds=seconds))
        decided = alerts(self.standing.values(), found, now_us, SETTINGS)
        self.standing |= {(each.name, each.subject): each for each in decided.changed}
        for each in decided.over:
            del self.standing[each.name, each.subject]
        return [f"{alert.word} {alert.about.name}" for alert in decided.told]


def test_what_is_urgent_is_told_at_once_again_after_a_day_and_once_when_it_is_over() -> None:
    story = Story()
    assert story.look(0, DEAD) == ["alert.raised destination.dead"]
    assert story.look(15, DEAD) == []
    assert story.look(24 * HOUR - 1, DEAD) == []
    assert story.look(24 * HOUR, DEAD) == ["alert.lasting destination.dead"]
    assert story.look(24 * HOUR + 15, DEAD) == []
    assert story.look(25 * HOUR) == []
    assert story.look(25 * HOUR + 299) == []
    assert story.look(25 * HOUR + 300) == ["alert.cleared destination.dead"]
    assert story.standing == {}
    assert story.look(25 * HOUR + 315) == []


def test_what_is_not_urgent_is_told_once_it_has_lasted() -> None:
    story = Story()
    assert story.look(0, SLOW) == []
    assert story.look(45, SLOW) == []
    assert story.look(60, SLOW) == ["alert.raised backlog.growing"]
    # It was over before anybody was told: nobody is.
    story = Story()
    assert story.look(0, SLOW) == []
    assert story.look(15) == []
    assert story.look(75, SLOW) == []


def test_what_comes_and_goes_is_told_of_once() -> None:
    story = Story()
    told = [word for n in range(200) for word in story.look(n * 100, *([DEAD] if n % 3 == 0 else []))]
    assert told == ["alert.raised destination.dead"]
