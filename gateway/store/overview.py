"""How a node does, as far as its store tells: what was recorded lately, what waits, what is due.

In: a reader's connection, in one transaction. Out: counts and short lists. However many rows there are, a question
reads what is new since the last one, what waits, and little more: of what waits it counts all by an index, and looks at
the first LOOKED_AT of each destination.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from gateway.clock import MICROS
from gateway.lifecycle import State
from gateway.store.attachments import AHEAD, HELD_US
from gateway.store.log import LogView
from gateway.store.matters import MatterView
from gateway.store.operating import OperatingView
from gateway.store.schema import PENDING_SQL

MOST_AT_ONCE: Final = 100_000
"""Rows of before that are counted in one look: a process that has just started counts its hour in several."""

LEFT_BEHIND: Final = 1_000_000
"""New rows that are counted in one look; if there are more, nobody has asked for long, and it begins anew."""

A_STEP: Final = 20_000
LOOKED_AT: Final = 10_000
"""Copies of one destination, those first that go first: the doubtful ones are among them, for no more are in flight."""

MAX_DESTINATIONS: Final = 1024
MAX_ERROR_CHARACTERS: Final = 500

_PENDING: Final = f"state IN {PENDING_SQL}"
# From name to name, as an index is no list of its names.
_NAMES: Final = f"""
    WITH RECURSIVE known (name) AS (
        SELECT min(destination) FROM deliveries WHERE {_PENDING}
        UNION ALL
        SELECT (SELECT min(destination) FROM deliveries WHERE {_PENDING} AND destination > known.name)
        FROM known WHERE known.name IS NOT NULL
    )
    SELECT name FROM known WHERE name IS NOT NULL LIMIT ?
"""  # noqa: S608  states of ours
_COUNT: Final = f"SELECT count(*), min(seq) FROM deliveries WHERE destination = ? AND {_PENDING}"  # noqa: S608  as above
_FIRST: Final = f"""
    SELECT state, next_attempt_at_us, last_error FROM deliveries WHERE destination = ? AND {_PENDING}
    ORDER BY lane, seq LIMIT {LOOKED_AT}
"""  # noqa: S608  as above
_LOOK: Final = f"""
    SELECT coalesce(sum(CASE WHEN state IN ('{State.DOUBTFUL.value}', '{State.ASKING.value}') THEN 1 ELSE 0 END), 0),
           min(CASE WHEN state IN ('{State.QUEUED.value}', '{State.DOUBTFUL.value}') AND next_attempt_at_us < {HELD_US}
               THEN next_attempt_at_us END)
    FROM ({_FIRST}) f
"""  # noqa: S608  as above
# What failed last has the next attempt furthest ahead. That files go ahead is no error: large ones take hours.
_ERROR: Final = f"""
    SELECT last_error FROM ({_FIRST}) f WHERE last_error NOT IN ('', ?) ORDER BY next_attempt_at_us DESC LIMIT 1
"""  # noqa: S608  as above
_SINCE: Final = """
    SELECT coalesce(e.recorded_at_us, r.at_us) FROM deliveries d
    LEFT JOIN envelopes e ON e.seq = d.envelope_seq LEFT JOIN receipts r ON r.seq = d.receipt_seq WHERE d.seq = ?
"""
_ENDING: Final = """
    SELECT address, max(issued_at_us), max(not_after_us) FROM certificates
    GROUP BY address HAVING max(not_after_us) < ? ORDER BY max(not_after_us), address LIMIT ?
"""

Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for one destination."""

    destination: str
    count: int
    in_doubt: int  # of the first LOOKED_AT
    oldest_at_us: int
    next_attempt_at_us: int  # 0: none is due
    last_error: str


@dataclass(frozen=True, slots=True)
class Tally:
    """What is counted of a table that only grows.

    Args:
        table: its name.
        at: its column of time, in microseconds.
        key: two columns, or what is made of them.
        where: what is counted.
    """

    table: str
    at: str
    key: str
    where: str = "1 = 1"


FLOWS: Final = Tally("envelopes", "recorded_at_us", "substr(sender, 1, 2), substr(recipient, 1, 2)")
"""From country to country: an address begins with it."""

REFUSALS: Final = Tally("events", "at_us", "actor, ''", "name = 'envelope.refused'")
"""By who brought what was refused."""


class Lately:
    """Counts the rows of the last while, each of them once.

    Args:
        tally: what to count.
        seconds: how long a while is.
    """

    def __init__(self, tally: Tally, seconds: int) -> None:
        self._seconds = seconds
        self._counts: defaultdict[int, Counter[Key]] = defaultdict(Counter)
        # From and before these numbers, all is counted.
        self._first = self._next = 0
        self._whole = False  # what came before `_first` is older
        self._newest = f"SELECT coalesce(max(seq), 0) FROM {tally.table}"  # noqa: S608  our own words, here and below
        self._time = f"SELECT {tally.at} FROM {tally.table} WHERE seq < ? ORDER BY seq DESC LIMIT 1"  # noqa: S608
        self._count = f"""
            SELECT {tally.at} / {MICROS}, {tally.key}, count(*) FROM {tally.table}
            WHERE seq >= ? AND seq < ? AND {tally.where} GROUP BY 1, 2, 3
        """  # noqa: S608

    def look(self, sql: Any, now_us: int) -> None:  # noqa: ANN401  the drivers' connections have no common type
        """Count what is new, and what is not too old."""
        now = now_us // MICROS
        newest = int(sql.execute(self._newest).fetchone()[0])
        if not self._next or not 0 <= newest + 1 - self._next <= LEFT_BEHIND:
            self._counts.clear()
            self._first = self._next = newest + 1
            self._whole = False
        self._add(sql, self._next, newest + 1)
        left = MOST_AT_ONCE - (newest + 1 - self._next)
        self._next = newest + 1
        while not self._whole and left > 0:
            row = sql.execute(self._time, (self._first,)).fetchone()
            if row is None or row[0] // MICROS <= now - self._seconds:
                self._whole = True
                break
            step = max(1, self._first - A_STEP)
            self._add(sql, step, self._first)
            left -= self._first - step
            self._first = step
        for second in [second for second in self._counts if second <= now - self._seconds]:
            del self._counts[second]

    def since_us(self, now_us: int) -> int:
        """Return from when on all is counted."""
        if self._whole or not self._counts:
            return now_us - self._seconds * MICROS
        return (min(self._counts) + 1) * MICROS

    def counts(self, now_us: int, seconds: int, before: int = 0) -> Counter[Key]:
        """Return how many there were in so many seconds, until so many before now."""
        until = now_us // MICROS - before
        found = Counter[Key]()
        for second, counted in self._counts.items():
            if until - seconds < second and (second <= until or not before):
                found.update(counted)
        return found

    def _add(self, sql: Any, first: int, stop: int) -> None:  # noqa: ANN401  as above
        if first < stop:
            for second, one, other, count in sql.execute(self._count, (first, stop)).fetchall():
                self._counts[second][one, other] += count


class OverviewView:
    """What can be asked at one moment.

    Args:
        connection: what takes our SQL.
    """

    def __init__(self, connection: Any) -> None:  # noqa: ANN401  as above
        self.sql = connection
        self.matters = MatterView(connection)
        self.log = LogView(connection)
        self.operating = OperatingView(connection)

    def waiting(self) -> Iterator[Waiting]:
        """Yield what waits, by destination; at most MAX_DESTINATIONS."""
        for (name,) in self.sql.execute(_NAMES, (MAX_DESTINATIONS,)).fetchall():
            count, oldest = self.sql.execute(_COUNT, (name,)).fetchone()
            in_doubt, next_us = self.sql.execute(_LOOK, (name,)).fetchone()
            error = self.sql.execute(_ERROR, (name, AHEAD)).fetchone()
            (since_us,) = self.sql.execute(_SINCE, (oldest,)).fetchone()
            told = "" if error is None else error[0][:MAX_ERROR_CHARACTERS]
            yield Waiting(name, count, int(in_doubt), since_us or 0, next_us or 0, told)

    def ending_certificates(self, before_us: int, limit: int) -> list[tuple[str, int, int]]:
        """Return whose newest certificate, of those issued here, ends before that: address, issue and end."""
        return [(row[0], row[1], row[2]) for row in self.sql.execute(_ENDING, (before_us, limit)).fetchall()]

    def own_list(self) -> tuple[int, int]:
        """Return how many bytes the node's own list has as it was signed here last, and when that was; 0: never."""
        query = "SELECT length(content), made_at_us FROM node_lists ORDER BY version DESC LIMIT 1"
        row = self.sql.execute(query).fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def witnesses(self, names: Iterable[str]) -> Iterator[tuple[str, int, int, int]]:
        """Yield of each witness how many entries it has cosigned, when, and since when it has not cosigned more.

        0 entries: none of the newest checkpoints. 0 since: it has cosigned all.
        """
        for name in names:
            size, at_us, floor_us = self.log.cosigned_last(name)
            lacking = self.log.covering(size + 1)
            since_us = 0 if lacking is None else max(floor_us, lacking.at_us)
            yield name, size, at_us, since_us
