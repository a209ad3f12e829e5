"""Matters as they are kept: where each stands, what moved it, its time limits, and what it is aimed at.

In: a connection: the writer's inside a transaction, or a reader's. Out: headers, states and clocks. It decides nothing:
which step moves a matter is `rules`' to say, and how long a limit is `deadlines`'. A matter is named by its envelope.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import dropwhile
from types import MappingProxyType
from typing import Any, Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway.identity import Address
from gateway.rules import FINAL, ClockRule, State

MAX_CHAIN: Final = 16
"""Links of a chain that are followed at most."""
MAX_COMPETING: Final = 16
"""Requests for one target that are told of at once."""


class Stage(StrEnum):
    """How a time limit stands."""

    RUNNING = "running"
    PAUSED = "paused"
    OVERDUE = "overdue"  # it has run out, and the duty remains
    # Ended:
    MET = "met"
    STOPPED = "stopped"
    RAN_OUT = "ran out"


OPEN_STAGES: Final = (Stage.RUNNING, Stage.PAUSED, Stage.OVERDUE)

# SQLite takes an index with a condition only if a query says that very condition.
OPEN_SQL: Final = "stage IN (" + ", ".join(f"'{stage}'" for stage in OPEN_STAGES) + ")"
# Of the rule of the clock that is looked at, on its matter.
_NONE_OPEN: Final = f"""
    NOT EXISTS (SELECT 1 FROM clocks x WHERE x.sender = clocks.sender AND x.id = clocks.id AND x.rule = clocks.rule
                AND x.{OPEN_SQL})
"""  # noqa: S608  our own words
_STATES: Final[Mapping[str | None, State | None]] = MappingProxyType(
    {None: None, **{each.value: each for each in State}}
)
"""By their names in the store, which has none for what is no matter."""
_FINAL_SQL: Final = "(" + ", ".join(f"'{state.value}'" for state in State if state in FINAL) + ")"

_CLOCK: Final = (
    "SELECT seq, sender, id, rule, started_at_us, due_at_us, next_at_us, paused_at_us, stage, ended_at_us FROM clocks"
)
_OPEN_OF: Final = f" WHERE sender = ? AND id = ? AND {OPEN_SQL} ORDER BY seq"
_DUE: Final = " WHERE stage = 'running' AND next_at_us <= ? ORDER BY next_at_us, seq LIMIT ?"
_OVERDUE: Final = f" WHERE {OPEN_SQL} AND stage = 'overdue' ORDER BY due_at_us, seq LIMIT ?"
_CAUSED: Final = (
    "SELECT sender, id FROM moves WHERE cause_sender = ? AND cause_id = ? GROUP BY sender, id ORDER BY min(seq)"
)
_STATE: Final = "SELECT state FROM moves m WHERE m.sender = {0}.sender AND m.id = {0}.id ORDER BY m.seq DESC LIMIT 1"
_LINK: Final = f"SELECT header, ({_STATE.format('e')}) FROM envelopes e WHERE sender = ? AND id = ?"  # noqa: S608  ours
_COUNT: Final = f"""
    SELECT state, count(*) FROM moves m
    WHERE state NOT IN {_FINAL_SQL}
      AND NOT EXISTS (SELECT 1 FROM moves x WHERE x.sender = m.sender AND x.id = m.id AND x.seq > m.seq)
    GROUP BY state
"""  # noqa: S608  built from the states of rules.py, nothing from outside

_COMPETING: Final = f"""
    SELECT header FROM envelopes e
    WHERE seq IN (SELECT envelope_seq FROM targets WHERE token IN ({{}}))
      AND NOT (sender = ? AND id = ?) AND ({_STATE.format("e")}) NOT IN {_FINAL_SQL}
    ORDER BY seq LIMIT ?
"""  # noqa: S608  as above


@dataclass(frozen=True, slots=True)
class MoveRow:
    """One move of a matter. It was moved by an envelope, or by a time limit of `rule`, or else by a statement."""

    state: State
    at_us: int
    cause: ids.EnvelopeRef | None
    rule: ClockRule = measures.CLOCK_RULE_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class ClockRow:
    """One time limit of a matter."""

    seq: int
    ref: ids.EnvelopeRef
    rule: ClockRule
    started_at_us: int
    due_at_us: int
    # When there is something to say, a warning or the end; of a paused one, when there would have been.
    next_at_us: int | None
    paused_at_us: int | None
    stage: Stage
    ended_at_us: int | None = None


class MatterView:
    """What may be asked."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401  pysqlite3 has no types
        self._sql = connection
        self._cursor = connection.cursor()  # for one row; to make one takes a fifth of a query

    def chain(self, ref: ids.EnvelopeRef, limit: int = MAX_CHAIN) -> list[tuple[pb.Header, State | None]]:
        """Return an envelope, what it cites first, what that cites first and so on, as far as recorded; with states."""
        links: list[tuple[pb.Header, State | None]] = []
        # One query a link: a recursive one measures the same for five links and slower for fewer.
        while len(links) < limit and (row := self._one(_LINK, ref.sender, ref.id)) is not None:
            header = pb.Header.FromString(row[0])
            links.append((header, _STATES[row[1]]))
            cites = header.cites
            if not cites:
                break
            ref = cites[0]
        return links

    def state(self, ref: ids.EnvelopeRef) -> State | None:
        """Return where a matter stands; None: it is none."""
        row = self._one(
            "SELECT state FROM moves WHERE sender = ? AND id = ? ORDER BY seq DESC LIMIT 1", ref.sender, ref.id
        )
        return None if row is None else _STATES[row[0]]

    def moves(self, ref: ids.EnvelopeRef) -> list[MoveRow]:
        """Return how a matter came to stand there, oldest first."""
        rows = self._sql.execute(
            "SELECT state, at_us, cause_sender, cause_id, clock_rule FROM moves WHERE sender = ? AND id = ?"
            " ORDER BY seq",
            (ref.sender, ref.id),
        )
        return [
            MoveRow(State(state), at_us, ids.EnvelopeRef(sender=sender, id=id_) if id_ else None, rule)
            for state, at_us, sender, id_, rule in rows
        ]

    def clocks(self, ref: ids.EnvelopeRef) -> list[ClockRow]:
        """Return the time limits of a matter that are open, oldest first."""
        return self._clocks(_OPEN_OF, ref.sender, ref.id)

    def all_clocks(self, ref: ids.EnvelopeRef) -> list[ClockRow]:
        """Return every time limit that a matter ever had, oldest first."""
        return self._clocks(" WHERE sender = ? AND id = ? ORDER BY seq", ref.sender, ref.id)

    def overdue(self, limit: int) -> list[ClockRow]:
        """Return time limits that have run out while the duty remains, the longest overdue first."""
        return self._clocks(_OVERDUE, limit)

    def open_matters_count(self) -> dict[State, int]:
        """Count the matters that are not at their end, by where they stand."""
        return {State(state): count for state, count in self._sql.execute(_COUNT)}

    def asking_for(self, tokens: Sequence[bytes], but: ids.EnvelopeRef) -> list[pb.Header]:
        """Return the other requests aimed at any of these targets that are not at their end, oldest first.

        At most MAX_COMPETING.
        """
        if not tokens:
            return []
        rows = self._sql.execute(_COMPETING.format(_marks(tokens)), (*tokens, but.sender, but.id, MAX_COMPETING))
        return [pb.Header.FromString(row[0]) for row in rows]

    def aimed_at(self, tokens: Sequence[bytes], kind: ids.Kind.ValueType) -> list[tuple[pb.Header, State | None]]:
        """Return the envelopes of a kind with any of these target tokens, each with its state, oldest first."""
        rows = self._sql.execute(
            f"SELECT DISTINCT e.seq, e.header FROM targets t JOIN envelopes e ON e.seq = t.envelope_seq"  # noqa: S608
            f" WHERE t.token IN ({_marks(tokens)}) AND e.kind = ? ORDER BY e.seq",
            (*tokens, kind),
        )
        headers = [pb.Header.FromString(header) for _, header in rows.fetchall()]
        return [(header, self.state(ids.EnvelopeRef(sender=header.sender, id=header.id))) for header in headers]

    def _clocks(self, which: str, *values: object) -> list[ClockRow]:
        rows = self._sql.execute(_CLOCK + which, values)
        return [
            ClockRow(
                seq, ids.EnvelopeRef(sender=sender, id=id_), rule, started, due, next_, paused, Stage(stage), ended
            )
            for seq, sender, id_, rule, started, due, next_, paused, stage, ended in rows
        ]

    def _one(self, sql: str, *values: object) -> Any:  # noqa: ANN401  pysqlite3 has no types
        return self._cursor.execute(sql, values).fetchone()


class MatterRecord(MatterView):
    """What may be asked and changed, inside one transaction of the writer.

    Args:
        connection: the writer's.
        now_us: the time of the transaction.
    """

    def __init__(self, connection: Any, now_us: int) -> None:  # noqa: ANN401  pysqlite3 has no types
        super().__init__(connection)
        self.now_us = now_us

    # States.

    def add_move(
        self,
        ref: ids.EnvelopeRef,
        state: State,
        cause: ids.EnvelopeRef | None,
        rule: ClockRule = measures.CLOCK_RULE_UNSPECIFIED,
    ) -> None:
        """Let a matter stand there from now on.

        Args:
            ref: the matter.
            state: where it stands.
            cause: the envelope that moved it, the matter's own when it begins; None: a time limit or a statement did.
            rule: of the time limit that did; 0 if none.
        """
        by = cause or ids.EnvelopeRef()
        self._sql.execute(
            "INSERT INTO moves (sender, id, state, at_us, cause_sender, cause_id, clock_rule)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (ref.sender, ref.id, state.value, self.now_us, by.sender, by.id, rule),
        )

    def undo_moves(self, cause: ids.EnvelopeRef) -> list[ids.EnvelopeRef]:
        """Let each matter that an envelope moved last stand where it stood before; return which they are.

        What has been moved on since stays where it is, and so does what that very envelope opened.
        """
        moved = self._sql.execute(_CAUSED, (cause.sender, cause.id)).fetchall()
        undone = []
        for sender, id_ in moved:
            ref = ids.EnvelopeRef(sender=sender, id=id_)
            newest_first = self.moves(ref)[::-1]
            before = next(dropwhile(lambda move: move.cause == cause, newest_first), None)
            if before is not None and before is not newest_first[0]:
                self.add_move(ref, before.state, None)
                undone.append(ref)
        return undone

    # Time limits. A change that finds no clock as it expects it changes nothing.

    def start_clock(
        self,
        ref: ids.EnvelopeRef,
        rule: ClockRule,
        started_at_us: int,
        due_at_us: int,
        next_at_us: int | None,
        cause: ids.EnvelopeRef | None = None,
    ) -> None:
        """Let a time limit run; an open one of that rule on that matter is stopped.

        Args:
            ref: the matter.
            rule: which limit.
            started_at_us: when it began.
            due_at_us: the first instant that is too late.
            next_at_us: when there is something to say, not after it is due; None: never, another node keeps it.
            cause: the envelope that makes it run.
        """
        self.end_clocks(ref, (rule,), Stage.STOPPED, cause)
        by = cause or ids.EnvelopeRef()
        self._sql.execute(
            "INSERT INTO clocks"
            " (sender, id, rule, started_at_us, due_at_us, next_at_us, stage, by_sender, by_id, change)"
            " VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?, 'started')",
            (ref.sender, ref.id, rule, started_at_us, due_at_us, next_at_us, by.sender, by.id),
        )

    def end_clocks(
        self,
        ref: ids.EnvelopeRef,
        rules: Collection[ClockRule] | None,
        stage: str,
        cause: ids.EnvelopeRef | None = None,
    ) -> None:
        """End the open time limits of these rules on a matter; None: all of them. `stage` is one of the ended."""
        set_ = "stage = ?, ended_at_us = ?, next_at_us = NULL, paused_at_us = NULL"
        self._change("ended", cause, set_, (stage, self.now_us), ref, rules, OPEN_SQL)

    def pause_clocks(
        self, ref: ids.EnvelopeRef, rules: Collection[ClockRule], cause: ids.EnvelopeRef | None = None
    ) -> None:
        """Let what runs rest. What has run out already cannot, whether it was said yet or not (`deadlines.paused`)."""
        which = "stage = 'running' AND due_at_us > ?"
        set_ = "stage = 'paused', paused_at_us = ?"
        self._change("paused", cause, set_, (self.now_us,), ref, rules, which, self.now_us)

    def resume_clocks(
        self, ref: ids.EnvelopeRef, rules: Collection[ClockRule], cause: ids.EnvelopeRef | None = None
    ) -> None:
        """Let what rests run again; it is due later by exactly as long as it rested."""
        # A clock that was put back meanwhile must not make it due earlier.
        rested = "CASE WHEN ? > paused_at_us THEN ? - paused_at_us ELSE 0 END"
        set_ = (
            f"stage = 'running', paused_at_us = NULL, due_at_us = due_at_us + {rested},"
            f" next_at_us = next_at_us + {rested}"
        )
        self._change("resumed", cause, set_, (self.now_us,) * 4, ref, rules, "stage = 'paused'")

    def undo_clocks(self, cause: ids.EnvelopeRef) -> None:
        """Undo what an envelope did last to time limits: what it ended runs again, at once, to the end it had.

        What has been changed again since stays as it is. A limit that ended while it rested runs again.
        """
        by = (cause.sender, cause.id)
        mine = "by_sender = ? AND by_id = ? AND change = ?"
        end = "stage = 'stopped', ended_at_us = ?, next_at_us = NULL, paused_at_us = NULL, change = ''"
        run = "stage = 'running', ended_at_us = NULL, paused_at_us = NULL, next_at_us = due_at_us, change = ''"
        rest = "stage = 'paused', paused_at_us = ?, change = ''"
        # First what it started: a limit that it replaced may not run beside that.
        self._sql.execute(f"UPDATE clocks SET {end} WHERE {mine} AND {OPEN_SQL}", (self.now_us, *by, "started"))  # noqa: S608  our own
        self._sql.execute(f"UPDATE clocks SET {run} WHERE {mine} AND NOT ({OPEN_SQL}) AND {_NONE_OPEN}", (*by, "ended"))  # noqa: S608
        self._sql.execute(f"UPDATE clocks SET {run} WHERE {mine} AND stage = 'paused'", (*by, "paused"))  # noqa: S608
        self._sql.execute(f"UPDATE clocks SET {rest} WHERE {mine} AND stage = 'running'", (self.now_us, *by, "resumed"))  # noqa: S608

    def due_clocks(self, limit: int) -> list[ClockRow]:
        """Return the running time limits of which there is something to say now, oldest first."""
        return self._clocks(_DUE, self.now_us, limit)

    def set_clock(self, seq: int, stage: str, next_at_us: int | None) -> bool:
        """Say of a running time limit what was said of it: it runs on until the next time, or it has run out.

        Returns:
            Whether it still ran: what ended a moment ago, e.g. with its matter, stays as it ended.
        """
        ended_at_us = None if stage in OPEN_STAGES else self.now_us
        cursor = self._sql.execute(
            "UPDATE clocks SET stage = ?, next_at_us = ?, ended_at_us = ? WHERE seq = ? AND stage = 'running'",
            (stage, next_at_us, ended_at_us, seq),
        )
        return bool(cursor.rowcount)

    # Targets.

    def add_targets(self, envelope_seq: int, header: pb.Header) -> None:
        """Keep what a request to another State is aimed at; of anything else there is nothing to compare."""
        if not header.target_tokens:
            return
        sender, recipient = (Address.parse(each) for each in (header.sender, header.recipients[0]))
        if sender.node == recipient.node:
            return
        self._sql.executemany(
            "INSERT INTO targets (token, envelope_seq) VALUES (?, ?)",
            [(token, envelope_seq) for token in header.target_tokens],
        )

    def _change(
        self,
        change: str,
        cause: ids.EnvelopeRef | None,
        assignments: str,
        values: tuple[object, ...],
        ref: ids.EnvelopeRef,
        rules: Collection[ClockRule] | None,
        which: str,
        *more: object,
    ) -> None:
        of_rules = "" if rules is None else f" AND rule IN ({_marks(rules)})"
        by = cause or ids.EnvelopeRef()
        self._sql.execute(
            f"UPDATE clocks SET {assignments}, change = ?, by_sender = ?, by_id = ?"  # noqa: S608  our own
            f" WHERE sender = ? AND id = ? AND {which}{of_rules}",
            (*values, change, by.sender, by.id, ref.sender, ref.id, *more, *(rules or ())),
        )


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
