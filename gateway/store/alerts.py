"""What operators are warned of, as it is kept: what stands, each alert that was told, and who was told how far.

In: warnings of a moment; what a channel has got through. Out: alerts to be sent. Several processes of one node share
it: each looks, all in one transaction, and so each alert is told once; and of a channel's alerts one of them takes the
next, for a while. An alert that got through just before its process died goes out again: who receives it knows its
number.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, Final

MOST_AT_ONCE: Final = 64
_STANDING: Final = "SELECT name, subject, seen_at_us, raised_at_us, told_at_us, gone_at_us FROM standing"
_KEEP: Final = """
    INSERT INTO standing (name, subject, seen_at_us, raised_at_us, told_at_us, gone_at_us) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (name, subject) DO UPDATE SET
      raised_at_us = excluded.raised_at_us, told_at_us = excluded.told_at_us, gone_at_us = excluded.gone_at_us
"""
_DROP: Final = "DELETE FROM standing WHERE name = ? AND subject = ?"
_ADD: Final = """
    INSERT INTO alerts (at_us, word, name, subject, detail, raised_at_us, urgent) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_OPEN: Final = """
    INSERT INTO channels (name, told_seq, failures, next_at_us)
    VALUES (?, (SELECT coalesce(max(seq), 0) FROM alerts), 0, 0) ON CONFLICT DO NOTHING
"""
_DUE: Final = "SELECT told_seq, failures FROM channels WHERE name = ? AND next_at_us <= ?"
_NEXT: Final = """
    SELECT seq, at_us, word, name, subject, detail, raised_at_us, urgent FROM alerts
    WHERE seq > ? ORDER BY seq LIMIT ?
"""
_OLD: Final = "SELECT count(*), max(seq) FROM alerts WHERE seq > ? AND at_us < ?"
_SKIP: Final = "UPDATE channels SET told_seq = ? WHERE name = ?"
_TAKE: Final = "UPDATE channels SET next_at_us = ? WHERE name = ?"
_TOLD: Final = "UPDATE channels SET told_seq = ?, failures = 0, next_at_us = 0 WHERE name = ? AND told_seq < ?"
_FAILED: Final = "UPDATE channels SET failures = failures + 1, next_at_us = ? WHERE name = ?"


@dataclass(frozen=True, slots=True)
class Standing:
    """A warning as it is remembered from look to look.

    Args:
        name: of the warning.
        subject: of the warning.
        seen_at_us: when it was there first.
        raised_at_us: when that was told; 0: it was not.
        told_at_us: when it was told last.
        gone_at_us: since when it is not there; 0: it is.
    """

    name: str
    subject: str
    seen_at_us: int
    raised_at_us: int = 0
    told_at_us: int = 0
    gone_at_us: int = 0


RAISED: Final = "alert.raised"
LASTING: Final = "alert.lasting"
CLEARED: Final = "alert.cleared"


@dataclass(frozen=True, slots=True)
class Alert:
    """What is to be told of a warning: RAISED, LASTING or CLEARED."""

    word: str
    about: Standing
    detail: str
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Decided:
    """What follows from a look: what stands, as far as it has changed, what no longer does, and what is to be told."""

    changed: list[Standing]
    over: list[Standing]
    told: list[Alert]


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert that was told."""

    seq: int
    at_us: int
    word: str
    name: str
    subject: str
    detail: str
    raised_at_us: int
    urgent: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """What a channel has to tell.

    Args:
        rows: alerts, the oldest first; none: there is nothing, or somebody else has it, or it is too early.
        failures: attempts before, in a row.
        given_up: how many became too old.
    """

    rows: tuple[AlertRow, ...] = ()
    failures: int = 0
    given_up: int = 0


class AlertRecord:
    """Alerts, in one transaction."""

    def __init__(self, connection: Any, now_us: int) -> None:  # noqa: ANN401  pysqlite3 has no types
        self._sql = connection
        self._now_us = now_us

    def look(self, decide: Callable[[list[Standing]], Decided]) -> list[Alert]:
        """Keep what is decided by what stands; return what is to be told."""
        standing = [Standing(*row) for row in self._sql.execute(_STANDING).fetchall()]
        decided = decide(standing)
        for each in decided.over:
            self._sql.execute(_DROP, (each.name, each.subject))
        for each in decided.changed:
            self._sql.execute(_KEEP, astuple(each))
        for alert in decided.told:
            about = alert.about
            values = self._now_us, alert.word, about.name, about.subject, alert.detail, about.raised_at_us
            self._sql.execute(_ADD, (*values, int(alert.urgent)))
        return decided.told

    def open(self, channel: str) -> None:
        """Have a channel tell all that comes from now on, unless it is open already."""
        self._sql.execute(_OPEN, (channel,))

    def take(self, channel: str, until_us: int, oldest_us: int) -> Batch:
        """Take what a channel has to tell; nobody else does until then.

        Args:
            channel: its name.
            until_us: when somebody else may.
            oldest_us: what is from before that is given up.
        """
        row = self._sql.execute(_DUE, (channel, self._now_us)).fetchone()
        if row is None:
            return Batch()
        told, failures = row
        given_up, last = self._sql.execute(_OLD, (told, oldest_us)).fetchone()
        if given_up:
            told = last
            self._sql.execute(_SKIP, (told, channel))
        rows: list[tuple[Any, ...]] = self._sql.execute(_NEXT, (told, MOST_AT_ONCE)).fetchall()
        if rows:
            self._sql.execute(_TAKE, (until_us, channel))
        return Batch(
            tuple(
                AlertRow(seq, at_us, word, name, subject, detail, raised_at_us, bool(urgent))
                for seq, at_us, word, name, subject, detail, raised_at_us, urgent in rows
            ),
            failures,
            given_up,
        )

    def told(self, channel: str, seq: int) -> None:
        """Note that a channel has told all up to that alert."""
        self._sql.execute(_TOLD, (seq, channel, seq))

    def failed(self, channel: str, next_at_us: int) -> None:
        """Note that it has not, and when it is tried next."""
        self._sql.execute(_FAILED, (next_at_us, channel))
