"""What an operator has to know of a node: warnings, from how it does now and how it did a while ago.

In: two snapshots, thresholds, and nothing else. Out: warnings, the worst first. Each has a name of `metrics.WARNINGS`,
a subject (of one name and subject there is one), a sentence, since when, and whether somebody has to act at once. Pure.
A warning holds ids, addresses, counts and times, and no text that came from elsewhere: it leaves the node as an alert.
docs/runbook.md has a page for each name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypeAlias

from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.identifiers_pb2 import EnvelopeRef

from gateway.clock import MICROS, from_micros
from gateway.config import Alerts
from gateway.identity import Address
from gateway.store.alerts import CLEARED, LASTING, RAISED, Alert, Decided, Standing
from gateway.store.matters import ClockRow, Stage
from gateway.store.operating import ActionRow
from gateway.store.witnessing import AlarmRow
from gateway.trust.roles import MOST_GROWN_BYTES

MINUTE_US: Final = 60 * MICROS
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US

LAST_PART: Final = 4
"""A time limit is due soon in its last quarter at the earliest, and what runs out is urgent in the last quarter of the
time that it is warned of."""

MOST_OVERDUE: Final = 64
"""Time limits that have run out and are warned of one by one, the longest overdue first; of others, that there are."""

STOPPED_US: Final = MINUTE_US
"""A checkpoint follows what is logged within a second: docs/log.md. Longer than this, none comes by itself."""

ClocksOf: TypeAlias = Callable[[EnvelopeRef], Iterable[ClockRow]]
_OF_CLOCKS: Final = frozenset({"clock.overdue", "clock.due-soon"})
_ABOUT_ONE: Final = 3  # words of a subject: the rule, the sender and the id

REFUSED_MINUTES: Final = 5
REFUSED_BEFORE_MINUTES: Final = 55


@dataclass(frozen=True, slots=True)
class Ending:
    """Something that runs out.

    Args:
        name: of the warning.
        what: it is.
        whose: it is.
        at_us: when.
        warn_us: how long before that it is warned of.
    """

    name: str
    what: str
    whose: str
    at_us: int
    warn_us: int


@dataclass(frozen=True, slots=True)
class Refusals:
    """How many envelopes of one peer were refused in the last REFUSED_MINUTES, and in REFUSED_BEFORE_MINUTES before."""

    peer: str
    lately: int
    before: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waited at some time, by destination."""

    at_us: int
    waiting: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a node does.

    Args:
        told: what is told to operators, but for warnings.
        clocks: time limits that have run out, the longest overdue first, and those that do next.
        refusals: of each peer of whom something was refused.
        endings: what runs out.
        alarms: of logs, the newest first.
        unwitnessed: since when there is what a witness has not cosigned, by its name.
        asked: what operators want to do, and cannot alone.
        unsigned_since_us: since when the newest checkpoint is not over what the log holds; 0: it is.
        list_bytes: of the node's own list of its participants.
        listed_at_us: when that was signed.
    """

    told: trace.GetOverviewResponse
    clocks: tuple[ClockRow, ...] = ()
    refusals: tuple[Refusals, ...] = ()
    endings: tuple[Ending, ...] = ()
    alarms: tuple[AlarmRow, ...] = ()
    unwitnessed: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    asked: tuple[ActionRow, ...] = ()
    unsigned_since_us: int = 0
    list_bytes: int = 0
    listed_at_us: int = 0


def warnings(now: Snapshot, before: Backlog | None, settings: Alerts) -> list[trace.Warning]:
    """Return what an operator has to know, the urgent first, then by how long it lasts.

    Args:
        now: how the node does.
        before: what waited `backlog_minutes` ago or longer; None: nobody looked.
        settings: thresholds.
    """
    found = [
        *_clocks(now, settings),
        *_dead(now, settings),
        *_growing(now, before, settings),
        *_refused(now, settings),
        *_endings(now),
        *_filling(now),
        *_silent(now, settings),
        *_alarms(now, settings),
        *_stopped(now),
        *_asked(now),
    ]
    return sorted(found, key=lambda each: (not each.urgent, each.since_us, each.name, each.subject))


def rule_word(rule: int) -> str:
    """Return the name of a time limit's rule as people write it, e.g. urgent-decision."""
    if rule not in measures.ClockRule.values():
        return f"rule-{rule}"
    name = measures.ClockRule.Name(measures.ClockRule.ValueType(rule))
    return name.removeprefix("CLOCK_RULE_").lower().replace("_", "-")


def lasting(standing: Iterable[Standing], clocks_of: ClocksOf, now_us: int, settings: Alerts) -> list[trace.Warning]:
    """Return the warnings of time limits that stand still, whether an overview lists them or not.

    It lists some limits and no more: what another one pushes out of it is not over.

    Args:
        standing: what stands.
        clocks_of: the open time limits of a matter, as the store has them.
        now_us: the time.
        settings: thresholds.
    """
    found = list[trace.Warning]()
    for each in standing:
        about = each.subject.split(" ")
        if each.name in _OF_CLOCKS and len(about) == _ABOUT_ONE:
            open_ones = clocks_of(EnvelopeRef(sender=about[1], id=about[2]))
            told = (_of_clock(clock, now_us, settings) for clock in open_ones)
            found += [one for one in told if one and (one.name, one.subject) == (each.name, each.subject)]
    return found


def _clocks(now: Snapshot, settings: Alerts) -> Iterator[trace.Warning]:
    overdue = [clock for clock in now.clocks if clock.stage is Stage.OVERDUE]
    others = overdue[MOST_OVERDUE:]
    if others:
        detail = f"more than {MOST_OVERDUE} time limits have run out; those that did last are not told one by one"
        yield _warning("clock.overdue", "others", detail, others[0].due_at_us, urgent=True)
    for clock in now.clocks:
        warning = None if clock in others else _of_clock(clock, now.told.at_us, settings)
        if warning is not None:
            yield warning


def _of_clock(clock: ClockRow, now_us: int, settings: Alerts) -> trace.Warning | None:
    rule = rule_word(clock.rule)
    subject = f"{rule} {clock.ref.sender} {clock.ref.id}"
    due = f"{from_micros(clock.due_at_us):%Y-%m-%d %H:%M} UTC"
    if clock.stage is Stage.OVERDUE:
        detail = f"the time limit {rule} of {clock.ref.sender} {clock.ref.id} ran out on {due}"
        return _warning("clock.overdue", subject, detail, clock.due_at_us, urgent=True)
    length = clock.due_at_us - clock.started_at_us
    since_us = clock.due_at_us - min(round(settings.due_soon_hours * HOUR_US), length // LAST_PART)
    if clock.stage is Stage.RUNNING and since_us <= now_us:
        detail = f"the time limit {rule} of {clock.ref.sender} {clock.ref.id} runs out on {due}"
        return _warning("clock.due-soon", subject, detail, since_us)
    return None


def _dead(now: Snapshot, settings: Alerts) -> Iterator[trace.Warning]:
    """Warn of nodes that do not answer, and of participants that do not collect; what is held is known."""
    for each in now.told.destinations:
        if not each.waiting or each.held_by:
            continue
        waits_us = now.told.at_us - each.oldest_at_us
        if Address.parse(each.address, allow_node=True).is_node:
            if each.last_error and waits_us >= settings.dead_minutes * MINUTE_US:
                detail = f"{_waiting(each)} for {each.address}, which does not take what comes"
                yield _warning("destination.dead", each.address, detail, each.oldest_at_us, urgent=True)
        elif waits_us >= settings.uncollected_hours * HOUR_US:
            detail = f"{_waiting(each)} for {each.address}, which does not collect"
            yield _warning("destination.dead", each.address, detail, each.oldest_at_us)


def _waiting(there: trace.Destination) -> str:
    return "1 copy waits" if there.waiting == 1 else f"{there.waiting} copies wait"


def _growing(now: Snapshot, before: Backlog | None, settings: Alerts) -> Iterator[trace.Warning]:
    if before is None:
        return
    minutes = (now.told.at_us - before.at_us) // MINUTE_US
    for each in now.told.destinations:
        was = before.waiting.get(each.address, 0)
        if each.waiting - was >= settings.backlog_copies and not each.held_by:
            detail = f"{each.waiting} copies wait for {each.address}, {minutes} minutes ago there were {was}"
            yield _warning("backlog.growing", each.address, detail, before.at_us)


def _refused(now: Snapshot, settings: Alerts) -> Iterator[trace.Warning]:
    for each in now.refusals:
        usual = each.before * REFUSED_MINUTES / REFUSED_BEFORE_MINUTES
        if each.lately >= settings.refusals and each.lately > settings.refusals_factor * usual:
            detail = f"{each.lately} envelopes of {each.peer} were refused in {REFUSED_MINUTES} minutes"
            yield _warning("refusals.jump", each.peer, detail, now.told.at_us - REFUSED_MINUTES * MINUTE_US)


def _endings(now: Snapshot) -> Iterator[trace.Warning]:
    for each in now.endings:
        since_us = each.at_us - each.warn_us
        if since_us <= now.told.at_us:
            over = each.at_us <= now.told.at_us
            when = f"{from_micros(each.at_us):%Y-%m-%d %H:%M} UTC"
            detail = f"the {each.what} of {each.whose} {'ended' if over else 'ends'} on {when}"
            urgent = now.told.at_us >= each.at_us - each.warn_us // LAST_PART
            yield _warning(each.name, f"{each.what} of {each.whose}", detail, since_us, urgent=urgent)


def _filling(now: Snapshot) -> Iterator[trace.Warning]:
    """Warn of a list that will take no newcomer and no new key any more: nothing is ever taken out of it."""
    if now.list_bytes * 2 >= MOST_GROWN_BYTES:
        detail = f"the list of participants has {now.list_bytes} bytes; from {MOST_GROWN_BYTES} on it takes nobody in"
        urgent = now.list_bytes * LAST_PART >= MOST_GROWN_BYTES * (LAST_PART - 1)
        yield _warning("list.filling", f"list of node {now.told.node}", detail, now.listed_at_us, urgent=urgent)


def _silent(now: Snapshot, settings: Alerts) -> Iterator[trace.Warning]:
    for name, since_us in now.unwitnessed.items():
        if since_us and now.told.at_us - since_us >= settings.witness_minutes * MINUTE_US:
            detail = f"{name} has not cosigned the log of this node since {from_micros(since_us):%Y-%m-%d %H:%M} UTC"
            yield _warning("witness.silent", name, detail, since_us)


def _alarms(now: Snapshot, settings: Alerts) -> Iterator[trace.Warning]:
    """Warn of each log that has something to answer for, by its newest alarm."""
    told = set[str]()
    for each in now.alarms:
        if each.origin not in told and now.told.at_us - each.at_us < settings.alarm_days * DAY_US:
            told.add(each.origin)
            detail = f"{each.code.name}: the log {each.origin} has signed what contradicts itself"
            yield _warning("log.alarm", each.origin, detail, each.at_us, urgent=True)


def _stopped(now: Snapshot) -> Iterator[trace.Warning]:
    """Warn of a log that is signed no more: records were changed, or the key cannot be used."""
    since_us = now.unsigned_since_us
    if since_us and now.told.at_us - since_us >= STOPPED_US:
        detail = f"no checkpoint of this node's log has followed since {from_micros(since_us):%Y-%m-%d %H:%M} UTC"
        yield _warning("log.stopped", f"log of node {now.told.node}", detail, since_us, urgent=True)


def _asked(now: Snapshot) -> Iterator[trace.Warning]:
    """Warn of each action that waits for a second operator: nobody else would know that he is asked."""
    for each in now.asked:
        what, until = each.action.WhichOneof("what"), from_micros(each.lapses_at_us or 0)
        detail = f"{what}, asked for by {each.asked_by}, waits for a second operator until {until:%Y-%m-%d %H:%M} UTC"
        yield _warning("action.waiting", f"action {each.seq}", detail, each.asked_at_us)


def _warning(name: str, subject: str, detail: str, since_us: int, *, urgent: bool = False) -> trace.Warning:
    return trace.Warning(name=name, subject=subject, detail=detail, since_us=since_us, urgent=urgent)


# Alerts: what is told of warnings, and when


def alerts(standing: Iterable[Standing], found: Iterable[trace.Warning], now_us: int, settings: Alerts) -> Decided:
    """Return what stands now, what no longer does, and what is to be told.

    A warning that is not urgent has to last a while before it is told, and each has to be over for a while before that
    is told: what comes and goes is told of once. What lasts is told again, seldom.

    Args:
        standing: what stands.
        found: the warnings now.
        now_us: the time.
        settings: how long a while is.
    """
    known = {(each.name, each.subject): each for each in standing}
    changed, over, told = list[Standing](), list[Standing](), list[Alert]()
    for warning in found:
        old = known.pop((warning.name, warning.subject), None)
        new = replace(old, gone_at_us=0) if old is not None else Standing(warning.name, warning.subject, now_us)
        lasts_us = 0 if warning.urgent else round(settings.lasting_seconds * MICROS)
        if not new.raised_at_us and now_us - new.seen_at_us >= lasts_us:
            new = replace(new, raised_at_us=now_us, told_at_us=now_us)
            told.append(Alert(RAISED, new, warning.detail, urgent=warning.urgent))
        elif new.raised_at_us and now_us - new.told_at_us >= settings.again_hours * HOUR_US:
            new = replace(new, told_at_us=now_us)
            told.append(Alert(LASTING, new, warning.detail, urgent=warning.urgent))
        if new != old:
            changed.append(new)
    for old in known.values():
        if not old.gone_at_us and old.raised_at_us:
            changed.append(replace(old, gone_at_us=now_us))
        elif not old.raised_at_us or now_us - old.gone_at_us >= settings.quiet_seconds * MICROS:
            over.append(old)
            if old.raised_at_us:
                told.append(Alert(CLEARED, old, f"over since {from_micros(old.gone_at_us):%Y-%m-%d %H:%M} UTC"))
    return Decided(changed, over, told)
