"""How a node does: flows, what waits and why, what is due, what runs out, who takes part; and what to worry about.

In: the store, the directory, and what the node holds. Out: one message for whoever asks: operators, the console,
gauges, alerts. It is made once for all who ask at the same time, and anew at most so often that it takes a small part
of one core, however much the store holds.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from cryptography import x509
from rogatory.v1 import trace_pb2 as trace

from gateway import conditions
from gateway.certificate import read_cas
from gateway.clock import Clock, from_micros, in_micros, to_micros
from gateway.conditions import MINUTE_US, Backlog, Ending, Refusals, Snapshot
from gateway.config import Alerts
from gateway.directory import FOREVER, Directory, KeyEntry, Status
from gateway.errors import ErrorCode
from gateway.identity import Address, trust_domain
from gateway.material import NodeMaterial
from gateway.store import Reader
from gateway.store.matters import ClockRow
from gateway.store.operating import HeldRow
from gateway.store.overview import FLOWS, REFUSALS, Lately, OverviewView, Waiting

FRESH_SECONDS: Final = 2.0
"""So long an overview serves all who ask."""

REST: Final = 10
"""To make one takes a tenth of the time at most."""

REST_SECONDS: Final = 60.0
MAX_CLOCKS: Final = 64
"""Of those that run out next."""

MAX_EXPIRIES: Final = 64
MAX_MEMBERS: Final = 4096
MAX_ALARMS: Final = 64
"""Logs of which is told what they have to answer for."""

MAX_ASKED: Final = 256
"""Actions that wait for a second operator: all that may, or one that is left out would be told of as over."""

NEXT_CLOCKS: Final = timedelta(days=7)
HOUR_SECONDS: Final = 3600
LIFE_PART: Final = 4
"""A certificate that lives shortly is warned of in its last quarter."""


class Overview:
    """Makes overviews of one node."""

    def __init__(self, material: Callable[[], NodeMaterial], reader: Reader, clock: Clock) -> None:
        """Prepare it.

        Args:
            material: gives what the node runs with.
            reader: reads the store.
            clock: time.
        """
        self._material = material
        self._reader = reader
        self._clock = clock
        self._flows = Lately(FLOWS, HOUR_SECONDS)
        self._refusals = Lately(REFUSALS, HOUR_SECONDS)
        self._history: deque[Backlog] = deque()
        # Entries in the newest checkpoint when it was first seen not to be over the log, and when that was.
        self._unsigned: tuple[int, int] | None = None
        self._one = asyncio.Lock()
        self._made: trace.GetOverviewResponse | None = None
        self._serves_until = 0.0

    async def get(self) -> trace.GetOverviewResponse:
        """Return how the node does, as of a moment ago; the same message for all who ask: it is not to be changed.

        Raises:
            Failure: STORE, it cannot be read now.
        """
        async with self._one:
            time = asyncio.get_running_loop().time
            began = time()
            if self._made is None or began >= self._serves_until:
                self._made = await self.look()
                took = time() - began
                self._serves_until = time() + min(max(FRESH_SECONDS, took * REST), REST_SECONDS)
            return self._made

    async def look(self) -> trace.GetOverviewResponse:
        """Make one now; not two at a time."""
        held, now = self._material(), self._clock()
        snapshot = await self._reader.overview(lambda view: self._snapshot(view, held, now))
        settings = held.config.alerts
        snapshot.told.warnings.extend(conditions.warnings(snapshot, self._before(snapshot, settings), settings))
        return snapshot.told

    def _before(self, snapshot: Snapshot, settings: Alerts) -> Backlog | None:
        """Return what waited a while ago, and remember what waits now."""
        now_us = snapshot.told.at_us
        if not self._history or not 0 <= now_us - self._history[-1].at_us < MINUTE_US:
            waiting = {each.address: each.waiting for each in snapshot.told.destinations if each.waiting}
            self._history.append(Backlog(now_us, MappingProxyType(waiting)))
        latest_us = now_us - round(settings.backlog_minutes * MINUTE_US)
        while len(self._history) > 1 and self._history[1].at_us <= latest_us:
            self._history.popleft()
        return self._history[0] if self._history[0].at_us <= latest_us else None

    def _snapshot(self, view: OverviewView, held: NodeMaterial, now: datetime) -> Snapshot:
        """Ask all that is asked of the store; called in a thread."""
        now_us, here, directory = to_micros(now), held.config.node, held.directory
        self._flows.look(view.sql, now_us)
        self._refusals.look(view.sql, now_us)
        waiting = {each.destination: each for each in view.waiting()}
        holds = {each.destination: each for each in view.operating.held()}
        # One more, to see whether there are others.
        late = view.matters.overdue(conditions.MOST_OVERDUE + 1)
        soon = view.matters.due_next(now_us + in_micros(NEXT_CLOCKS), MAX_CLOCKS)
        endings = sorted(_endings(view, held, now), key=lambda each: (each.at_us, each.what, each.whose))
        list_bytes, listed_at_us = view.own_list()
        log, unwitnessed = _log(view, _witnesses(directory, here))
        told = trace.GetOverviewResponse(
            node=here,
            at_us=now_us,
            flows=self._told_flows(here, waiting.values(), now_us),
            destinations=_destinations(waiting, holds, directory, here),
            clocks=map(open_clock, (*late[: conditions.MOST_OVERDUE], *soon)),
            expiries=[trace.Expiry(what=each.what, whose=each.whose, at_us=each.at_us) for each in endings][
                :MAX_EXPIRIES
            ],
            log=log,
            directory_version=directory.version,
            members=_members(directory),
            counted_from_us=self._flows.since_us(now_us),
        )
        return Snapshot(
            told=told,
            clocks=(*late, *soon),
            refusals=self._told_refusals(now_us),
            endings=tuple(endings),
            alarms=tuple(view.log.newest_alarms(MAX_ALARMS)),
            unwitnessed=unwitnessed,
            asked=tuple(view.operating.waiting(MAX_ASKED, 0, now_us)),
            unsigned_since_us=self._unsigned_since(log.size, view.log.size(), now_us),
            list_bytes=list_bytes,
            listed_at_us=listed_at_us,
        )

    def _unsigned_since(self, covered: int, size: int, now_us: int) -> int:
        """Return since when one checkpoint has been the newest without being over the log; 0: it is over it.

        As far as this process has seen: what it finds at its start is signed in a moment. Entries that are gone count,
        too.
        """
        if covered == size:
            self._unsigned = None
        elif self._unsigned is None or self._unsigned[0] != covered:
            self._unsigned = covered, now_us
        return 0 if self._unsigned is None else self._unsigned[1]

    def _told_flows(self, here: str, waiting: Iterable[Waiting], now_us: int) -> list[trace.Flow]:
        hour = self._flows.counts(now_us, HOUR_SECONDS)
        minute = self._flows.counts(now_us, 60)
        waits = dict[tuple[str, str], int]()
        for each in waiting:
            way = here, each.destination[: len(here)]
            waits[way] = waits.get(way, 0) + each.count
        return [
            trace.Flow(
                from_node=way[0],
                to_node=way[1],
                last_hour=hour[way],
                last_minute=minute[way],
                waiting=waits.get(way, 0),
            )
            for way in sorted(hour.keys() | waits.keys())
        ]

    def _told_refusals(self, now_us: int) -> tuple[Refusals, ...]:
        lately = self._refusals.counts(now_us, conditions.REFUSED_MINUTES * 60)
        seconds = conditions.REFUSED_MINUTES * 60
        before = self._refusals.counts(now_us, conditions.REFUSED_BEFORE_MINUTES * 60, seconds)
        return tuple(Refusals(key[0], count, before[key]) for key, count in sorted(lately.items()))


def _destinations(
    waiting: Mapping[str, Waiting], holds: Mapping[str, HeldRow], directory: Directory, here: str
) -> Iterator[trace.Destination]:
    """Yield every other node that is in, and whatever is waited for or held, those with the most first."""
    nodes = {str(Address.of_node(node.code)) for node in directory.nodes if node.status is Status.ACTIVE}
    names = nodes - {str(Address.of_node(here))} | waiting.keys() | holds.keys()
    for name in sorted(names, key=lambda name: (-waiting[name].count if name in waiting else 0, name)):
        told = trace.Destination(address=name)
        if (waits := waiting.get(name)) is not None:
            told.waiting, told.in_doubt, told.oldest_at_us = waits.count, waits.in_doubt, waits.oldest_at_us
            told.last_error, told.next_attempt_at_us = waits.last_error, waits.next_attempt_at_us
            address = Address.parse(name, allow_node=True)
            if name not in nodes:
                told.next_attempt_at_us = 0  # nobody tries: its owner collects, or it has left the federation
            if address.is_node and name not in nodes:
                # What was never tried has no error, and would wait for ever with nobody warned of it.
                told.last_error = f"{ErrorCode.REVOKED.name}: node {address.node} is no longer served"
        if (hold := holds.get(name)) is not None:
            told.held_by, told.held_reason, told.held_at_us = hold.by, hold.reason, hold.at_us
        yield told


def open_clock(clock: ClockRow) -> trace.OpenClock:
    """Return a time limit as it is told."""
    return trace.OpenClock(matter=clock.ref, rule=clock.rule, due_us=clock.due_at_us, stage=clock.stage.value)


def _witnesses(directory: Directory, here: str) -> list[str]:
    """Return the names of the keys that are to cosign this node's log."""
    nodes = [node.code for node in directory.nodes if node.status is Status.ACTIVE and node.code != here]
    return sorted({each.name for each in directory.witnesses} | {trust_domain(n, directory.federation) for n in nodes})


def _log(view: OverviewView, names: Iterable[str]) -> tuple[trace.LogState, Mapping[str, int]]:
    newest, size = view.log.newest(), view.log.size()
    covered = 0 if newest is None else newest.checkpoint.size
    told = trace.LogState(
        size=covered, at_us=0 if newest is None else newest.at_us, waiting=max(0, size - covered), witnesses=()
    )
    unwitnessed = dict[str, int]()
    for name, cosigned, at_us, since_us in view.witnesses(names):
        told.witnesses.append(trace.WitnessState(name=name, size=cosigned, at_us=at_us))
        unwitnessed[name] = since_us
    return told, MappingProxyType(unwitnessed)


def _members(directory: Directory) -> Iterator[trace.Member]:
    nodes = [
        trace.Member(address=str(Address.of_node(node.code)), roles=["node"], status=node.status.value)
        for node in sorted(directory.nodes, key=lambda node: node.code)
    ]
    people = sorted(directory.participants, key=lambda each: (each.status is not Status.ACTIVE, str(each.address)))
    yield from nodes
    for each in people[: MAX_MEMBERS - len(nodes)]:
        roles = sorted(role.value for role in each.roles)
        yield trace.Member(address=str(each.address), roles=roles, status=each.status.value)


# What runs out


def _endings(view: OverviewView, held: NodeMaterial, now: datetime) -> Iterator[Ending]:
    """Yield what of the directory, this node and its participants runs out, each at the end of what comes last."""
    directory, settings, me = held.directory, held.config.alerts, str(held.address)
    for age in held.trusted.ages:
        yield _ending("directory.expiring", f"directory's role {age.role}", directory.federation, age.expires,
                      age.warn_before())  # fmt: skip
    certificate_days, key_days = timedelta(days=settings.certificate_days), timedelta(days=settings.key_days)
    yield _certificate("TLS certificate", me, held.holdings.certificate.leaf, certificate_days)
    last = max(read_cas(held.entry), key=lambda ca: ca.not_valid_after_utc)
    yield _certificate("certificate of the CA", me, last, key_days)
    yield from _keys("signing key", me, held.entry.signing_keys, now, key_days)
    mine = [
        each
        for each in directory.participants
        if each.address.node == held.config.node and each.status is Status.ACTIVE
    ]
    for each in mine:
        yield from _keys("signing key", str(each.address), each.signing_keys, now, key_days)
        yield from _keys("sealing key", str(each.address), each.sealing_keys, now, key_days)
    active = {str(each.address) for each in mine}
    until_us = to_micros(now + certificate_days)
    for address, issued_us, end_us in view.ending_certificates(until_us, MAX_MEMBERS):
        if address in active:
            warn = min(certificate_days, timedelta(microseconds=end_us - issued_us) / LIFE_PART)
            yield _ending("certificate.expiring", "TLS certificate", address, from_micros(end_us), warn)


def _certificate(what: str, whose: str, certificate: x509.Certificate, usual: timedelta) -> Ending:
    end = certificate.not_valid_after_utc
    warn = min(usual, (end - certificate.not_valid_before_utc) / LIFE_PART)
    return _ending("certificate.expiring", what, whose, end, warn)


def _keys(what: str, whose: str, entries: Iterable[KeyEntry], now: datetime, usual: timedelta) -> Iterator[Ending]:
    """Yield the end of the key that lasts longest; none, if nobody has one, or it lasts for ever."""
    trusted = [entry for entry in entries if entry.not_trusted_after is None or entry.not_trusted_after > now]
    last = max(trusted, key=lambda entry: entry.not_after, default=None)
    if last is not None and last.not_after < FOREVER:
        yield _ending("key.expiring", what, whose, last.not_after, min(usual, (last.not_after - last.not_before) / 2))


def _ending(name: str, what: str, whose: str, end: datetime, warn: timedelta) -> Ending:
    return Ending(name, what, whose, to_micros(end), in_micros(warn))
