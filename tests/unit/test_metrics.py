"""Figures of one process: what is counted, under which names, and who is never among them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from rogatory.v1 import trace_pb2 as trace

from gateway import metrics
from gateway.clock import from_micros
from gateway.errors import ErrorCode
from gateway.metrics import Meters

NOW_US = 1_780_000_000_000_000
SECOND = 1_000_000
OVERVIEW = trace.GetOverviewResponse(
    node="ee",
    at_us=NOW_US,
    flows=[trace.Flow(from_node="ee", to_node="de", last_hour=7, last_minute=1, waiting=3)],
    destinations=[
        trace.Destination(address="de/node", waiting=3, in_doubt=1, oldest_at_us=NOW_US - 90 * SECOND),
        trace.Destination(address="fr/node", held_by="ee/operator", held_reason="as Jane Doe says"),
        trace.Destination(address="ee/exchange-one", waiting=2, oldest_at_us=NOW_US - 5 * SECOND),
        trace.Destination(address="ee/exchange-two", waiting=4, in_doubt=2, oldest_at_us=NOW_US - 9 * SECOND),
    ],
    clocks=[
        trace.OpenClock(due_us=NOW_US - SECOND, stage="overdue"),
        trace.OpenClock(due_us=NOW_US + SECOND, stage="running"),
        trace.OpenClock(due_us=NOW_US - SECOND, stage="paused"),
    ],
    expiries=[
        trace.Expiry(what="signing key", whose="ee/exchange-one", at_us=NOW_US + 60 * SECOND),
        trace.Expiry(what="signing key", whose="ee/node", at_us=NOW_US + 30 * SECOND),
        trace.Expiry(what="TLS certificate", whose="ee/node", at_us=NOW_US - SECOND),
    ],
    log=trace.LogState(
        size=1000,
        at_us=NOW_US,
        waiting=12,
        witnesses=[
            trace.WitnessState(name="de.rogatory.test", size=990, at_us=NOW_US - 40 * SECOND),
            trace.WitnessState(name="never.test"),
        ],
    ),
    warnings=[
        trace.Warning(name="clock.overdue", subject="case of John Doe", detail="John Doe"),
        trace.Warning(name="clock.overdue"),
    ],
    directory_version=8,
)


def count_all(meters: Meters) -> None:
    """Have something of everything that a process counts."""
    meters.watch(lambda: 5, 16)
    meters.look(OVERVIEW)
    meters.frame("ee", [(metrics.ACCEPTED, None), (metrics.REFUSED, ErrorCode.STALE)], 0.1)
    meters.call("rogatory.v1.Mailbox/Submit", "UNAVAILABLE", ErrorCode.STORE, 0.1)
    meters.attempt("de/node", ErrorCode.UNAVAILABLE, 3, 0.1)
    meters.items("handed", 1)
    meters.transaction(3, 0.1, 0.01)
    meters.transaction_failed()
    meters.quota_reached.add(1, {"rogatory.from": "ee", "rogatory.limit": "envelopes"})


class Figures:
    """The figures of a process, as a reader sees them."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.now_us = NOW_US
        meter = MeterProvider([self.reader], shutdown_on_exit=False).get_meter("test")
        self.meters = Meters(meter, lambda: from_micros(self.now_us))

    def instruments(self) -> Iterator[Any]:
        told = self.reader.get_metrics_data()
        assert told is not None
        for resource in told.resource_metrics:
            for scope in resource.scope_metrics:
                yield from scope.metrics

    def points(self) -> Iterator[tuple[str, Any]]:
        for metric in self.instruments():
            yield from ((metric.name, point) for point in metric.data.data_points)

    def of(self, name: str) -> dict[tuple[Any, ...], Any]:
        """Return values, or how many a histogram has, by the values of their labels, sorted by name."""
        found = [point for each, point in self.points() if each == name]
        return {
            tuple(value for _, value in sorted(point.attributes.items())): getattr(
                point, "value", getattr(point, "count", None)
            )
            for point in found
        }


@pytest.fixture
def figures() -> Figures:
    return Figures()


@pytest.fixture
def watching(figures: Figures) -> Figures:
    figures.meters.watch(lambda: 5, 16)
    return figures


GAUGES: dict[str, dict[tuple[Any, ...], float]] = {
    "rogatory.copies.waiting": {("de/node",): 3, ("fr/node",): 0, ("mailboxes",): 6},
    "rogatory.copies.in_doubt": {("de/node",): 1, ("fr/node",): 0, ("mailboxes",): 2},
    "rogatory.copies.oldest.age": {("de/node",): 90, ("fr/node",): 0, ("mailboxes",): 9},
    "rogatory.destinations.held": {("de/node",): 0, ("fr/node",): 1, ("mailboxes",): 0},
    "rogatory.flow.envelopes": {("ee", "de"): 7},
    "rogatory.clocks": {("overdue",): 1, ("due",): 2},
    "rogatory.expiry.remaining": {("signing key",): 30, ("TLS certificate",): -1},
    "rogatory.log.size": {(): 1000},
    "rogatory.log.unintegrated": {(): 12},
    "rogatory.log.witness.age": {("de.rogatory.test",): 40},
    "rogatory.directory.version": {(): 8},
    "rogatory.warnings": {(name,): 2 if name == "clock.overdue" else 0 for name in metrics.WARNINGS},
}


@pytest.mark.parametrize("name", GAUGES)
def test_gauge_shows_the_newest_overview_and_nothing_when_that_is_old(watching: Figures, name: str) -> None:
    assert watching.of(name) == {}
    watching.meters.look(OVERVIEW)
    assert watching.of(name) == GAUGES[name]
    watching.now_us += round((metrics.STALE_SECONDS + 1) * SECOND)
    assert watching.of(name) == {}


def test_every_gauge_of_the_overview_is_tried() -> None:
    assert GAUGES.keys() == {name for name, *_ in metrics._GAUGES}


def test_no_participant_and_nobodys_words_are_among_the_labels(figures: Figures) -> None:
    count_all(figures.meters)
    told = " ".join(str(value) for _, point in figures.points() for value in point.attributes.values())
    assert not [each for each in ("exchange", "operator", "Doe") if each in told]


def test_what_became_of_a_frame_is_counted_by_outcome_and_code(figures: Figures) -> None:
    stale = (metrics.REFUSED, ErrorCode.STALE)
    fates = [(metrics.ACCEPTED, None)] * 61 + [stale, stale, (metrics.POSTPONED, ErrorCode.STORE)]
    figures.meters.frame("de", fates, 0.012)
    assert figures.of("rogatory.envelopes") == {
        ("de", "accepted"): 61,
        ("STALE", "de", "refused"): 2,
        ("STORE", "de", "postponed"): 1,
    }
    ((_, point),) = [each for each in figures.points() if each[0] == "messaging.process.duration"]
    assert point.explicit_bounds == metrics.SECONDS
    assert (point.count, point.sum) == (1, pytest.approx(0.012))


def test_attempts_are_counted_by_destination_and_what_came_of_them(figures: Figures) -> None:
    figures.meters.attempt("de/node", None, 64, 0.02)
    figures.meters.attempt("de/node", ErrorCode.UNAVAILABLE)
    assert figures.of("rogatory.relay.attempts") == {
        ("de/node", "answered"): 1,
        ("UNAVAILABLE", "de/node", "failed"): 1,
    }
    assert figures.of("messaging.client.sent.messages") == {("de/node", "rogatory"): 64}
    assert figures.of("messaging.client.operation.duration") == {("de/node", "relay", "rogatory"): 1}


def test_transactions_calls_items_and_the_process_itself_are_counted(watching: Figures) -> None:
    watching.meters.transaction(200, 0.02, 0.004)
    watching.meters.transaction_failed()
    watching.meters.items("handed", 0)
    watching.meters.items("handed", 3)
    watching.meters.call("rogatory.v1.Mailbox/Submit", "UNAUTHENTICATED", ErrorCode.REVOKED, 0.001)
    assert watching.of("rogatory.store.batch.size") == {(): 1}
    assert (
        watching.of("rogatory.store.transaction.duration") == watching.of("rogatory.store.commit.duration") == {(): 1}
    )
    assert watching.of("rogatory.store.failures") == {(): 1}
    assert watching.of("rogatory.store.queue") == {(): 5}
    assert watching.of("rogatory.store.queue.limit") == {(): 16}
    assert watching.of("rogatory.mailbox.items") == {("handed",): 3}
    labels = ("REVOKED", "rogatory.v1.Mailbox/Submit", "UNAUTHENTICATED", "grpc")
    assert watching.of("rpc.server.call.duration") == {labels: 1}
    cpu = watching.of("process.cpu.time")
    assert cpu.keys() == {("user",), ("system",)}
    assert sum(cpu.values()) > 0
    for name in ("process.memory.usage", "process.thread.count", "process.unix.file_descriptor.count"):
        assert watching.of(name)[()] >= 1


def test_the_page_lists_every_figure_with_its_unit_and_labels_and_no_other(figures: Figures) -> None:
    page = (Path(__file__).parents[2] / "docs/telemetry.md").read_text()
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \| ([^|]*) \| [^|]+ \|$", page, re.MULTILINE)
    count_all(figures.meters)
    labels: dict[str, set[str]] = {}
    for name, point in figures.points():
        labels.setdefault(name, set()).update(point.attributes)
    units = {each.name: each.unit.strip("{}") for each in figures.instruments()}
    assert {name: unit for name, unit, _ in rows} == units
    assert {name: set(re.findall(r"`([^`]+)`", listed)) for name, _, listed in rows} == labels
