"""Figures of one process, by OpenTelemetry's names where there are some and by `rogatory.*` where there are none.

In: what happened to a frame, a call, an attempt, a commit; and every few seconds how the node does. Out: counters,
histograms and gauges. What tells them apart are codes, methods and nodes, all of which are few; never a participant, an
envelope or a text.

Nothing is counted an envelope at a time: a frame, which may hold 64, is counted at once. Gauges that rest on the store
show the last overview that was made, however often they are looked at.

Source: OpenTelemetry semantic conventions for RPC, messaging and processes.
"""

import os
import resource
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import Final, TypeAlias

from opentelemetry.metrics import CallbackOptions, Meter, NoOpMeter, Observation
from rogatory.v1 import trace_pb2 as trace

from gateway.clock import MICROS, Clock, system_clock, to_micros
from gateway.errors import ErrorCode

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the buckets of every duration."""

ENVELOPES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

STALE_SECONDS: Final = 180.0
"""An overview that is older tells nothing any more, and its gauges are absent: absent is seen, and old is not."""

WARNINGS: Final = (
    "clock.overdue",
    "clock.due-soon",
    "destination.dead",
    "backlog.growing",
    "refusals.jump",
    "key.expiring",
    "certificate.expiring",
    "directory.expiring",
    "list.filling",
    "witness.silent",
    "log.alarm",
    "log.stopped",
    "action.waiting",
)
"""Those that there always is a gauge for."""

SYSTEM: Final = "rogatory"
ACCEPTED, REPEATED, REFUSED, POSTPONED = "accepted", "repeated", "refused", "postponed"

Fate: TypeAlias = tuple[str, ErrorCode | None]
"""What became of an envelope, and by which code it did."""

Labels: TypeAlias = Mapping[str, str | bool]
_Gauge: TypeAlias = tuple[str, str, str, Callable[[trace.GetOverviewResponse], Iterator[tuple[float, Labels]]]]
MAILBOXES: Final = "mailboxes"
"""Stands for all participants as a destination."""


class Meters:
    """Counts for one process.

    Args:
        meter: what counts; by default nobody does.
        clock: time.
    """

    def __init__(self, meter: Meter | None = None, clock: Clock = system_clock) -> None:
        self._meter = meter = meter or NoOpMeter("nobody")
        self._clock = clock
        self._overview: trace.GetOverviewResponse | None = None

        def seconds(name: str, what: str) -> Callable[..., None]:
            return meter.create_histogram(name, "s", what, explicit_bucket_boundaries_advisory=SECONDS).record

        self.quota_reached = meter.create_counter(
            "rogatory.quota.reached", "{request}", "requests that waited, or were told to come again, for a quota"
        )
        self._calls = seconds("rpc.server.call.duration", "calls that ended, and how long each was open")
        self._frames = seconds("messaging.process.duration", "frames of envelopes, from their coming to their answer")
        self._operations = seconds("messaging.client.operation.duration", "frames relayed, from sending to answer")
        self._sent = meter.create_counter("messaging.client.sent.messages", "{message}", "copies sent to another node")
        self._envelopes = meter.create_counter(
            "rogatory.envelopes", "{envelope}", "envelopes that came, and their fate"
        )
        self._attempts = meter.create_counter("rogatory.relay.attempts", "{attempt}", "frames and connections tried")
        self._items = meter.create_counter("rogatory.mailbox.items", "{item}", "items handed out, and acknowledged")
        self._transactions = seconds("rogatory.store.transaction.duration", "transactions, from begin to the disk")
        self._commits = seconds("rogatory.store.commit.duration", "commits: how long the disk or the database took")
        self._batches = meter.create_histogram(
            "rogatory.store.batch.size",
            "{envelope}",
            "envelopes in one transaction",
            explicit_bucket_boundaries_advisory=ENVELOPES,
        )
        self._failed = meter.create_counter("rogatory.store.failures", "{transaction}", "transactions that failed")

    def call(self, method: str, status: str, code: ErrorCode | None, seconds: float) -> None:
        """Count a call that has ended.

        Args:
            method: as in the contract, e.g. "rogatory.v1.Mailbox/Submit".
            status: gRPC's name for how it ended, e.g. "OK".
            code: ours, if it was refused or failed.
            seconds: for so long it was open.
        """
        labels = {"rpc.system.name": "grpc", "rpc.method": method, "rpc.response.status_code": status}
        self._calls(seconds, _coded(labels, code))

    def frame(self, origin: str, fates: Iterable[Fate], seconds: float) -> None:
        """Count a frame of envelopes.

        Args:
            origin: code of the node whose participant, or which itself, brought it.
            fates: of each.
            seconds: until they were answered.
        """
        for (outcome, code), many in Tally(fates).items():
            labels = {"rogatory.from": origin, "rogatory.outcome": outcome}
            self._envelopes.add(many, _coded(labels, code))
        self._frames(seconds, {"messaging.system": SYSTEM, "messaging.operation.name": "accept"})

    def attempt(self, destination: str, code: ErrorCode | None, copies: int = 0, seconds: float | None = None) -> None:
        """Count an attempt to bring a frame to another node.

        Args:
            destination: "de/node".
            code: None: it was answered, whatever the answers are.
            copies: in the frame; 0: it was not sent.
            seconds: from sending to answer.
        """
        to, outcome = {"rogatory.destination": destination}, "answered" if code is None else "failed"
        self._attempts.add(1, _coded({**to, "rogatory.outcome": outcome}, code))
        if copies:
            self._sent.add(copies, {"messaging.system": SYSTEM, "messaging.destination.name": destination})
        if seconds is not None:
            about = {
                "messaging.system": SYSTEM,
                "messaging.operation.name": "relay",
                "messaging.destination.name": destination,
            }
            self._operations(seconds, about)

    def items(self, outcome: str, many: int) -> None:
        """Count items of mailboxes.

        Args:
            outcome: "handed" or "acknowledged".
            many: of them.
        """
        if many:
            self._items.add(many, {"rogatory.outcome": outcome})

    def transaction(self, weight: int, seconds: float, commit_seconds: float) -> None:
        """Count a transaction that is on disk; called in the writer's thread."""
        self._batches.record(weight)
        self._transactions(seconds)
        self._commits(commit_seconds)

    def transaction_failed(self) -> None:
        """Count one that is not; called in the writer's thread."""
        self._failed.add(1)

    def look(self, overview: trace.GetOverviewResponse) -> None:
        """Take the newest overview of the node; its gauges show it from now on."""
        self._overview = overview

    def watch(self, waiting_jobs: Callable[[], int], most: int) -> None:
        """Make the gauges.

        Args:
            waiting_jobs: how many jobs wait for the writer.
            most: how many may.
        """
        for name, unit, what, look in _GAUGES:
            self._observe(name, unit, what, _of_overview(self, look))
        self._observe("rogatory.store.queue", "{job}", "jobs that wait for the writer", lambda: [(waiting_jobs(), {})])
        self._observe("rogatory.store.queue.limit", "{job}", "jobs that may wait for the writer", lambda: [(most, {})])
        since = monotonic()
        self._observe("process.uptime", "s", "since this process serves", lambda: [(monotonic() - since, {})])
        self._observe("process.memory.usage", "By", "resident memory of this process", _memory)
        self._observe("process.thread.count", "{thread}", "threads", lambda: [(threading.active_count(), {})])
        files = "open files of this process"
        self._observe("process.unix.file_descriptor.count", "{file_descriptor}", files, _files)
        cpu = "processor time of this process"
        self._meter.create_observable_counter("process.cpu.time", [_reading(_cpu)], "s", cpu)

    def fresh(self) -> trace.GetOverviewResponse | None:
        """Return the newest overview, unless it is too old to tell anything."""
        found = self._overview
        if found is None or to_micros(self._clock()) - found.at_us > STALE_SECONDS * MICROS:
            return None
        return found

    def _observe(self, name: str, unit: str, what: str, look: Callable[[], Iterable[tuple[float, Labels]]]) -> None:
        self._meter.create_observable_gauge(name, [_reading(look)], unit, what)


NOBODY: Final = Meters()
"""Counts for nobody."""


def _coded(labels: dict[str, str], code: ErrorCode | None) -> dict[str, str]:
    return labels if code is None else {**labels, "error.type": code.name}


def _reading(
    look: Callable[[], Iterable[tuple[float, Labels]]],
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(value, labels) for value, labels in look()]


def _of_overview(
    meters: Meters, look: Callable[[trace.GetOverviewResponse], Iterator[tuple[float, Labels]]]
) -> Callable[[], Iterable[tuple[float, Labels]]]:
    def now() -> Iterable[tuple[float, Labels]]:
        found = meters.fresh()
        return () if found is None else look(found)

    return now


def _destination(address: str) -> str:
    return address if address.endswith("/node") else MAILBOXES


def _by_destination(
    overview: trace.GetOverviewResponse, count: Callable[[trace.Destination], int]
) -> Iterator[tuple[float, Labels]]:
    found: Tally[str] = Tally({MAILBOXES: 0})
    for each in overview.destinations:
        found[_destination(each.address)] += count(each)
    return ((many, {"rogatory.destination": where}) for where, many in found.items())


def _waiting(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    return _by_destination(overview, lambda each: each.waiting)


def _in_doubt(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    return _by_destination(overview, lambda each: each.in_doubt)


def _oldest(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    found: dict[str, float] = {MAILBOXES: 0.0}
    for each in overview.destinations:
        where = _destination(each.address)
        age = (overview.at_us - each.oldest_at_us) / MICROS if each.oldest_at_us else 0.0
        found[where] = max(found.get(where, 0.0), age)
    return ((age, {"rogatory.destination": where}) for where, age in found.items())


def _held(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    return _by_destination(overview, lambda each: bool(each.held_by))


def _flows(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    for each in overview.flows:
        yield each.last_hour, {"rogatory.from": each.from_node, "rogatory.to": each.to_node}


def _clocks(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    overdue = sum(each.due_us <= overview.at_us and each.stage != "paused" for each in overview.clocks)
    yield overdue, {"rogatory.state": "overdue"}
    yield len(overview.clocks) - overdue, {"rogatory.state": "due"}


def _expiries(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    first: dict[str, int] = {}
    for each in overview.expiries:
        first[each.what] = min(first.get(each.what, each.at_us), each.at_us)
    for what, at_us in first.items():
        yield (at_us - overview.at_us) / MICROS, {"rogatory.expiring": what}


def _entries(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    yield overview.log.size, {}


def _unintegrated(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    yield overview.log.waiting, {}


def _witnessed(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    for each in overview.log.witnesses:
        if each.at_us:
            yield (overview.at_us - each.at_us) / MICROS, {"rogatory.witness": each.name}


def _version(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    yield overview.directory_version, {}


def _warned(overview: trace.GetOverviewResponse) -> Iterator[tuple[float, Labels]]:
    found = Tally(dict.fromkeys(WARNINGS, 0))
    found.update(each.name for each in overview.warnings)
    return ((many, {"rogatory.warning": name}) for name, many in found.items())


_GAUGES: Final[tuple[_Gauge, ...]] = (
    ("rogatory.copies.waiting", "{copy}", "copies that are not at their end", _waiting),
    ("rogatory.copies.in_doubt", "{copy}", "copies that may have arrived", _in_doubt),
    ("rogatory.copies.oldest.age", "s", "for how long the oldest copy waits", _oldest),
    ("rogatory.destinations.held", "{destination}", "destinations that an operator holds", _held),
    ("rogatory.flow.envelopes", "{envelope}", "envelopes recorded in the last hour, by countries", _flows),
    (
        "rogatory.clocks",
        "{clock}",
        "time limits that end within a week, or have ended while the duty remains; 64 of each at most",
        _clocks,
    ),
    ("rogatory.expiry.remaining", "s", "until the first of a kind of keys, certificates or lists ends", _expiries),
    ("rogatory.log.size", "{entry}", "entries in the newest checkpoint", _entries),
    ("rogatory.log.unintegrated", "{entry}", "entries that are in no checkpoint yet", _unintegrated),
    ("rogatory.log.witness.age", "s", "since a witness cosigned last", _witnessed),
    ("rogatory.directory.version", "{version}", "version of the directory by which the node works", _version),
    ("rogatory.warnings", "{warning}", "what an operator has to know", _warned),
)


def _memory() -> Iterable[tuple[float, Labels]]:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  read at every scrape
        pages = int(file.read().split()[1])
    return [(pages * resource.getpagesize(), {})]


def _files() -> Iterable[tuple[float, Labels]]:
    return [(len(os.listdir("/proc/self/fd")), {})]  # noqa: PTH208  as above


def _cpu() -> Iterable[tuple[float, Labels]]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return [(used.ru_utime, {"cpu.mode": "user"}), (used.ru_stime, {"cpu.mode": "system"})]
