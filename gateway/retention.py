"""What a node lets go, and when: sealed payloads, the history of what is long over, cosignatures that were said again.

In: the settings `[retention]`, and what became of each envelope. Out: rows that are gone, and events that say so. What
proves stays: header, signatures, receipts, the log, and the memory of every name, so that the same bytes still get the
same receipt. No payload goes before every copy has ended, whatever the settings say.

One look at the store after the other, a bounded part of it in a transaction, so that nobody waits for it.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final, TypeAlias

from rogatory.v1 import identifiers_pb2 as ids

from gateway.clock import Clock, to_micros
from gateway.config import PayloadRule, Retention
from gateway.errors import GatewayError
from gateway.store import Reader, Transaction, Writer
from gateway.store.letting_go import KEPT_FREE_PAGES, PRUNED, PURGED, Cosigned, LettingGoView, Standing

LOOKED_AT_ONCE: Final = 256
"""Envelopes of one look: some milliseconds of a reader."""
PURGED_AT_ONCE: Final = 64
"""In one transaction: payloads of a mebibyte are as many bytes to overwrite."""
ROWS_AT_ONCE: Final = 1024
"""Numbers of rows that one transaction walks over."""
PAGES_AT_ONCE: Final = 256
"""Of four kibibytes, given back to the file system in one transaction."""
DAY_US: Final = 86_400_000_000
COSIGNED_EVERY_US: Final = 600_000_000
"""Of a log that never rests, a witness cosigns every second. Once in ten minutes is enough to tell, years later, since
when something was logged: a receipt tells its own time, and clocks may be off by five (`max_skew_seconds`)."""

HANDS_OVER: Final = frozenset({ids.KIND_DISCLOSURE, ids.KIND_EXECUTION_REPORT, ids.KIND_CUSTODY_EVENT})
"""What came in answer to a request, and is deleted if that was wrong (2023/1543 Art. 4(5), 12(1))."""

_URGENCIES: Final = {
    ids.URGENCY_ORDINARY: "ordinary",
    ids.URGENCY_URGENT: "urgent",
    ids.URGENCY_EMERGENCY: "emergency",
}


_Mark: TypeAlias = tuple[str, str, bytes, int]
"""Of which log, by whom, with which key, within which ten minutes."""


def payload_goes_at(found: Standing, settings: Retention) -> int | None:
    """Return from when on the payload of an envelope may go, microseconds; None: not as it stands."""
    if found.ended_at_us is None:
        return None
    times = []
    rule = next((each for each in settings.payloads if _fits(each, found)), None)
    if rule is not None:
        since = {"closed": found.closed_at_us, "opened": found.opened_at_us, "ended": found.ended_at_us}[rule.after]
        if since is not None:
            times.append(max(since, found.ended_at_us) + round(rule.days * DAY_US))
    since = found.to_delete_since_us
    if settings.to_delete_days is not None and since is not None and found.header.kind in HANDS_OVER:
        times.append(max(since, found.ended_at_us) + round(settings.to_delete_days * DAY_US))
    return min(times, default=None)


def history_goes_at(found: Standing, settings: Retention) -> int | None:
    """Return from when on events and deliveries of an envelope may go; None: not as it stands."""
    if settings.history_days is None or found.closed_at_us is None or found.has_payload:
        return None
    return found.closed_at_us + round(settings.history_days * DAY_US)


def said_again(cosigned: Iterable[Cosigned]) -> list[tuple[int, str]]:
    """Return the checkpoints of which nothing need be kept that witnesses said, by size and origin.

    All who cosigned one, by the same keys, have cosigned one later checkpoint of the same log within the same ten
    minutes, and that one is kept: it covers what this one covers, however many cosignatures are wanted and of whom.

    Args:
        cosigned: the smallest checkpoint first; all cosignatures of each.
    """
    said: dict[tuple[int, str], set[_Mark]] = {}
    for each in cosigned:
        mark = each.origin, each.name, each.key_id, each.at_us // COSIGNED_EVERY_US
        said.setdefault((each.size, each.origin), set()).add(mark)
    found: list[tuple[int, str]] = []
    kept: defaultdict[_Mark, list[set[_Mark]]] = defaultdict(list)
    for checkpoint, marks in reversed(said.items()):
        if any(marks <= other for other in kept[next(iter(marks))]):
            found.append(checkpoint)
            continue
        for mark in marks:
            kept[mark].append(marks)
    return found


def _fits(rule: PayloadRule, found: Standing) -> bool:
    return (not rule.kinds or found.header.kind in rule.kinds) and (
        not rule.urgencies or _URGENCIES.get(found.header.urgency) in rule.urgencies
    )


class Keeper:
    """Lets go what may go, for one node.

    Args:
        settings: what may go.
        me: the node, e.g. "ee/node".
        writer: of the store.
        reader: of the store.
        clock: time; fails while it is in doubt, and then nothing goes.
        between_seconds: from one part of a look to the next.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        settings: Retention,
        me: str,
        writer: Writer,
        reader: Reader,
        clock: Clock,
        between_seconds: float,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._me = me
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._between = between_seconds
        self._pause = pause

    async def run(self) -> None:
        """Look through the store again and again."""
        while True:
            # A store that cannot be written now says so to every caller; this just comes again.
            with contextlib.suppress(GatewayError):
                await self.look()
            await self._pause(self._settings.pause_seconds)

    async def look(self) -> None:
        """Look through the store once, a part at a time."""
        after: int | None = 0
        while after is not None:
            now_us = to_micros(self._clock())
            after, due = await self._reader.letting_go(self._me, partial(self._due, after, now_us))
            for batch in _batches(due):
                self._clock()  # in doubt, it fails: what goes does not come back when the clock is set right
                await self._writer.write(partial(self._let_go, batch, now_us))
                await self._pause(self._between)
            await self._pause(self._between)
        if self._settings.history_days is not None:
            await self._prune_rows(self._settings.history_days)
        if self._settings.cosignatures_days is not None:
            await self._thin_cosigned(self._settings.cosignatures_days)
        free = await self._writer.write(_give_back)
        while free > KEPT_FREE_PAGES:
            await self._pause(self._between)
            before, free = free, await self._writer.write(_give_back)
            if free >= before:
                return  # it has none to give: made by an older version, see `rogatory compact`

    def _due(self, after: int, now_us: int, view: LettingGoView) -> tuple[int | None, list[int]]:
        """Return the number that was looked at last, None at the end, and those of which something may go."""
        found = view.after(after, LOOKED_AT_ONCE)
        due = [each.seq for each in found if any(self._may_go(each, view, now_us))]
        return found[-1].seq if found else None, due

    def _may_go(self, found: Standing, view: LettingGoView, now_us: int) -> tuple[bool, bool]:
        """Return whether its payload may go now, and whether its history may."""
        payload = payload_goes_at(found, self._settings) if found.has_payload else None
        history = history_goes_at(found, self._settings)
        return (
            payload is not None and payload <= now_us,
            history is not None and history <= now_us and not view.is_pruned(found.ref),
        )

    def _let_go(self, numbers: Sequence[int], now_us: int, txn: Transaction) -> None:
        """Let go what still may go: much can have come since it was looked at."""
        record = txn.letting_go
        for number in numbers:
            found = record.one(number)
            if found is None:
                continue
            payload, history = self._may_go(found, record, now_us)
            if payload and record.purge(number):
                txn.add_event(found.ref, PURGED, actor=self._me, detail="by the policy of this node")
            elif history:
                rows = record.prune(number, found.ref)
                txn.add_event(found.ref, PRUNED, actor=self._me, detail=f"{rows} events and deliveries")

    async def _prune_rows(self, days: float) -> None:
        """Remove what belongs to pruned envelopes, or to none, and stands in no index by them."""
        ends = await self._reader.letting_go(self._me, lambda view: {name: view.last(name) for name in _ROWS})
        for table, prune in _ROWS.items():
            for after in range(0, ends[table], ROWS_AT_ONCE):
                before_us = to_micros(self._clock()) - round(days * DAY_US)
                await self._writer.write(partial(prune, after, after + ROWS_AT_ONCE, before_us))
                await self._pause(self._between)

    async def _thin_cosigned(self, days: float) -> None:
        """Remove what witnesses said long ago and said again."""
        size = -1
        while True:
            now_us = to_micros(self._clock())
            until_us = now_us - round(days * DAY_US)
            found = await self._reader.letting_go(self._me, partial(_cosigned_after, size))
            # A clock that was ahead once is no end.
            if all(until_us < each.at_us <= now_us for each in found):
                return
            gone = said_again(each for each in found if each.at_us <= until_us)
            if gone:
                await self._writer.write(partial(_forget_cosigned, gone, until_us))
            size = found[-1].size
            await self._pause(self._between)


def _cosigned_after(size: int, view: LettingGoView) -> list[Cosigned]:
    return view.cosigned(size, ROWS_AT_ONCE)


def _forget_cosigned(checkpoints: Sequence[tuple[int, str]], until_us: int, txn: Transaction) -> None:
    for each in checkpoints:
        txn.letting_go.forget_cosigned(each, until_us)


def _prune_sent(after: int, until: int, _: int, txn: Transaction) -> None:
    txn.letting_go.prune_sent(after, until)


def _prune_strays(after: int, until: int, before_us: int, txn: Transaction) -> None:
    txn.letting_go.prune_strays(after, until, before_us)


_ROWS: Final = {"deliveries": _prune_sent, "events": _prune_strays}


def _give_back(txn: Transaction) -> int:
    return txn.letting_go.give_back(PAGES_AT_ONCE)


def _batches(numbers: Sequence[int]) -> Iterator[list[int]]:
    rest = iter(numbers)
    while batch := [*islice(rest, PURGED_AT_ONCE)]:
        yield batch
