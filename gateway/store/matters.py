"""Matters as they are kept: where each stands, what moved it, its time limits, and what it is aimed at.

In: a connection: the writer's inside a transaction, or a reader's. Out: headers, states and clocks. It decides nothing:
which step moves a matter is `rules`' to say, and how long a limit is `deadlines`'. A matter is named by its envelope,
and kept under that envelope's number: a name is looked up once a transaction, and numbers are followed from there.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway.identity import Address
from gateway.rules import FINAL, ClockRule, Named, State
from gateway.steps import RUNS_OUT
from gateway.store.driver import Connection, listed, naming
from gateway.store.rows import Name, Names, Rows

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


OPEN_STAGES: Final[tuple[Stage, ...]] = (Stage.RUNNING, Stage.PAUSED, Stage.OVERDUE)

# SQLite takes an index with a condition only if a query says that very condition.
OPEN_SQL: Final = "stage IN (" + ", ".join(f"'{stage}'" for stage in OPEN_STAGES) + ")"
# Of the rule of the clock that is looked at, on its matter.
_NONE_OPEN: Final = f"""
    NOT EXISTS (SELECT 1 FROM clocks x WHERE x.envelope_seq = clocks.envelope_seq AND x.rule = clocks.rule
                AND x.{OPEN_SQL})
"""  # noqa: S608  our own words
STATES: Final[Mapping[str | None, State | None]] = MappingProxyType(
    {None: None, **{each.value: each for each in State}}
)
"""By their names in the store, which has none for what is no matter."""
_STAGES: Final = MappingProxyType({each.value: each for each in Stage})
_FINAL_SQL: Final = "(" + ", ".join(f"'{state.value}'" for state in State if state in FINAL) + ")"

_CLOCK: Final = "c.seq, c.rule, c.started_at_us, c.due_at_us, c.next_at_us, c.paused_at_us, c.stage, c.ended_at_us"
_CLOCKS_OF: Final = f"SELECT {_CLOCK} FROM clocks c WHERE c.envelope_seq = ?"  # noqa: S608  ours
_OPEN_OF: Final = f"{_CLOCKS_OF} AND {OPEN_SQL} ORDER BY c.seq"
_ALL_OF: Final = f"{_CLOCKS_OF} ORDER BY c.seq"
_OPEN_OF_SOME: Final = f"""
    SELECT c.envelope_seq, {_CLOCK} FROM clocks c WHERE c.envelope_seq IN ({{}}) AND {OPEN_SQL} ORDER BY c.seq
"""  # noqa: S608  ours
_RESTING_BY: Final = f"{_CLOCKS_OF} AND c.stage = 'paused' AND c.change = 'started' AND c.by_seq = ? ORDER BY c.seq"
_PAUSED_BY: Final = _RESTING_BY.replace("'started'", "'paused'")
_NAMED: Final = f"SELECT {_CLOCK}, e.sender, e.id FROM clocks c JOIN envelopes e ON e.seq = c.envelope_seq"  # noqa: S608
_DUE: Final = f"""
    {_NAMED} WHERE c.stage = 'running' AND c.next_at_us <= ? AND c.rule IN ({{}}) ORDER BY c.next_at_us, c.seq LIMIT ?
"""
_OVERDUE: Final = f"{_NAMED} WHERE {OPEN_SQL} AND c.stage = 'overdue' ORDER BY c.due_at_us, c.seq LIMIT ?"
_DUE_NEXT: Final = f"""
    SELECT {_CLOCK}, e.sender, e.id
    FROM (SELECT * FROM clocks WHERE stage = 'running' AND next_at_us <= ? ORDER BY due_at_us, seq LIMIT ?) c
    JOIN envelopes e ON e.seq = c.envelope_seq ORDER BY c.due_at_us, c.seq
"""  # noqa: S608  ours
_ENDING: Final = ", ".join(str(rule) for rule in sorted({row.rule for row in RUNS_OUT}))
# It has not rung yet, or it rang while its matter was in another state.
_SOME_ARE_OVER: Final = f"""
    SELECT EXISTS (SELECT 1 FROM clocks WHERE stage = 'running' AND next_at_us <= ?)
        OR EXISTS (SELECT 1 FROM clocks WHERE stage = 'overdue' AND rule IN ({_ENDING}))
"""  # noqa: S608  numbers of ours
STATE_SQL: Final = "SELECT state FROM moves m WHERE m.envelope_seq = {0} ORDER BY m.seq DESC LIMIT 1"
_STATE_OF: Final = STATE_SQL.format("?")
_MOVES: Final = """
    SELECT m.state, m.at_us, e.sender, e.id, m.clock_rule FROM moves m LEFT JOIN envelopes e ON e.seq = m.cause_seq
    WHERE m.envelope_seq = ? ORDER BY m.seq
"""
_ABOUT: Final = """
    WITH RECURSIVE about (seq, header, recorded_at_us) AS (
        SELECT seq, header, recorded_at_us FROM envelopes WHERE cited_seq = ? AND kind IN ({0})
        UNION ALL
        SELECT e.seq, e.header, e.recorded_at_us FROM about JOIN envelopes e ON e.cited_seq = about.seq
        WHERE e.kind IN ({0}) AND NOT EXISTS (SELECT 1 FROM moves m WHERE m.envelope_seq = about.seq)
    )
    SELECT header, recorded_at_us FROM about ORDER BY seq
"""
_CHAINS: Final = f"""
    WITH RECURSIVE link (seq, cited_seq, fingerprint, header, place) AS (
        SELECT seq, cited_seq, fingerprint, header, 1 FROM envelopes WHERE (sender, id) IN (VALUES {{}})
        UNION ALL
        SELECT e.seq, e.cited_seq, e.fingerprint, e.header, link.place + 1
        FROM link JOIN envelopes e ON e.seq = link.cited_seq
        WHERE link.place < {MAX_CHAIN}
    )
    SELECT seq, cited_seq, fingerprint, header, ({STATE_SQL.format("link.seq")}) FROM link
"""  # noqa: S608  ours
_COUNT: Final = f"""
    SELECT state, count(*) FROM moves m
    WHERE state NOT IN {_FINAL_SQL}
      AND NOT EXISTS (SELECT 1 FROM moves x WHERE x.envelope_seq = m.envelope_seq AND x.seq > m.seq)
    GROUP BY state
"""  # noqa: S608  built from the states of rules.py, nothing from outside

_COMPETING: Final = f"""
    SELECT header FROM envelopes e
    WHERE seq IN (SELECT envelope_seq FROM targets WHERE token IN ({{}}))
      AND NOT (sender = ? AND id = ?) AND ({STATE_SQL.format("e.seq")}) NOT IN {_FINAL_SQL}
    ORDER BY seq LIMIT ?
"""  # noqa: S608  as above
_AIMED: Final = "SELECT token, envelope_seq FROM targets WHERE token IN ({})"
_AIMED_AT: Final = f"""
    SELECT DISTINCT e.seq, e.header, ({STATE_SQL.format("e.seq")})
    FROM targets t JOIN envelopes e ON e.seq = t.envelope_seq
    WHERE t.token IN ({{}}) AND e.kind = ? ORDER BY e.seq
"""  # noqa: S608  as above


class Chain(NamedTuple):
    """An envelope, what it cites, what that cites and so on.

    Args:
        line: their numbers; empty: the first is not recorded here.
        links: of each its header and state.
    """

    line: tuple[int, ...]
    links: Sequence[tuple[pb.Header, State | None]]


_NOTHING: Final = Chain((), ())


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
        # Of what was looked up.
        self._numbers: dict[Name, int] = {}
        self._fingerprints: dict[Name, bytes] = {}

    def chain(self, ref: Named) -> Sequence[tuple[pb.Header, State | None]]:
        """Return an envelope, what it cites, what that cites and so on, as far as recorded; with states.

        MAX_CHAIN links at most.
        """
        return self._chain((ref.sender, ref.id)).links

    def state(self, ref: Named) -> State | None:
        """Return where a matter stands; None: it is none."""
        rows = self._about(_STATE_OF, self.number(ref))
        return STATES[rows[0][0]] if rows else None

    def number(self, ref: Named) -> int | None:
        """Return the number of a recorded envelope; None if it is not recorded here."""
        return self._number((ref.sender, ref.id))

    def moves(self, ref: ids.EnvelopeRef) -> list[MoveRow]:
        """Return how a matter came to stand there, oldest first."""
        return [
            MoveRow(State(state), at_us, ids.EnvelopeRef(sender=sender, id=id_) if id_ else None, rule)
            for state, at_us, sender, id_, rule in self._about(_MOVES, self.number(ref))
        ]

    def about(self, ref: Named, kinds: Collection[ids.Kind.ValueType]) -> list[tuple[pb.Header, int]]:
        """Return what of these kinds is about a matter, and when it was recorded, oldest first.

        What is below another matter is about that.
        """
        rows = self._about(_ABOUT.format(_marks(kinds)), self.number(ref), *kinds, *kinds)
        return [(pb.Header.FromString(header), at_us) for header, at_us in rows]

    def clocks(self, ref: Named) -> list[ClockRow]:
        """Return the time limits of a matter that are open, oldest first."""
        return self._clocks_of(_OPEN_OF, ref)

    def all_clocks(self, ref: Named) -> list[ClockRow]:
        """Return every time limit that a matter ever had, oldest first."""
        return self._clocks_of(_ALL_OF, ref)

    def overdue(self, limit: int) -> list[ClockRow]:
        """Return time limits that have run out while the duty remains, the longest overdue first."""
        return self._clocks(_OVERDUE, limit)

    def due_next(self, until_us: int, limit: int) -> list[ClockRow]:
        """Return time limits that run, the first first: of those that have something to say until then."""
        return self._clocks(_DUE_NEXT, until_us, limit)

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
        rows = self._sql.execute(_AIMED_AT.format(_marks(tokens)), (*tokens, kind))
        return [(pb.Header.FromString(header), STATES[state]) for _, header, state in rows]

    def _clocks_of(self, query: str, ref: Named) -> list[ClockRow]:
        return _clocks(ref, self._about(query, self.number(ref)))

    def _clocks(self, query: str, *values: object) -> list[ClockRow]:
        rows = self._sql.execute(query, values)
        return [_clock(ids.EnvelopeRef(sender=sender, id=id_), *row) for *row, sender, id_ in rows]

    def _number(self, name: Name) -> int | None:
        number = self._numbers.get(name)
        if number is None:
            row = self._recorded("SELECT seq FROM envelopes WHERE sender = ? AND id = ?", *name)
            if row is None:
                return None
            number = self._numbers[name] = row[0]
        return number

    def _chain(self, name: Name) -> Chain:
        return self._chains([name], self._sql.execute)[name]

    def _chains(self, names: Collection[Name], ask: Callable[[str, Any], Iterable[Any]]) -> dict[Name, Chain]:
        """Ask for chains together; return that of each name."""
        links: dict[int | None, tuple[int, int | None, tuple[pb.Header, State | None]]] = {}
        numbers: dict[Name, int] = {}
        for text, values in naming(_CHAINS, names):
            for number, cited, fingerprint, raw, state in ask(text, values):
                header = pb.Header.FromString(raw)
                name = header.sender, header.id
                links[number] = number, cited, (header, STATES[state])
                numbers[name] = number
                self._fingerprints[name] = fingerprint
        self._numbers |= numbers
        chains = {}
        for name in names:
            line: list[int] = []
            found = []
            link = links.get(numbers.get(name))
            while link is not None and len(line) < MAX_CHAIN:  # what another rests on may go on above
                number, above, kept = link
                line.append(number)
                found.append(kept)
                link = links.get(above)
            chains[name] = Chain(tuple(line), found)
        return chains

    def _about(self, query: str, number: int | None, *values: object) -> list[Any]:
        """Ask about one envelope."""
        rows: list[Any] = self._sql.execute(query, (number, *values)).fetchall()
        return rows

    def _recorded(self, query: str, *values: object) -> Any:  # noqa: ANN401  as above
        """Ask for one row, which may be missed if it is of what was recorded in this transaction."""
        return self._sql.execute(query, values).fetchone()


class MatterRecord(MatterView):
    """What may be asked and changed, inside one transaction of the writer.

    Args:
        rows: those of the transaction.
        connection: the writer's; what is asked of it directly may miss a row that waits.
        names: of what was recorded in it.
        now_us: its time.
    """

    def __init__(self, rows: Rows, connection: Connection, names: Names, now_us: int) -> None:
        super().__init__(rows)
        self.now_us = now_us
        self._connection = connection
        self._rows = rows
        self._names = names
        # By the number of a matter: rules of the time limits that were started in this transaction.
        self._started: dict[int | None, set[ClockRule]] = {}
        # Chains that were asked for before anybody wanted them.
        self._kept: dict[Name, Chain] = {}
        # By the number of an envelope: those of what it cites, what that cites, and so on, its own first.
        self._lines: dict[int | None, tuple[int, ...]] = {}
        # By the number of a matter: its open time limits.
        self._open: dict[int | None, list[Any]] = {}
        # By target: the envelopes that are aimed at it, as far as they were looked up, and those added since.
        self._aimed: dict[bytes, set[int]] = {}
        self._added: dict[bytes, set[int]] = {}
        self._some_are_over: bool | None = None
        self._begun_over = False  # a limit was over when it began, in this transaction

    def some_are_over(self) -> bool:
        """Whether any time limit that ends something may have run out, and its matter not have ended with it."""
        if self._some_are_over is None:
            self._some_are_over = bool(self._recorded(_SOME_ARE_OVER, self.now_us)[0])
        return self._some_are_over or self._begun_over

    def number(self, ref: Named) -> int | None:
        """Return the number of a recorded envelope; None if it is not recorded here."""
        name = ref.sender, ref.id
        new = self._names.get(name)
        return self._number(name) if new is None else new.seq

    def fingerprint(self, ref: Named) -> bytes | None:
        """Return the fingerprint of an envelope that a chain came by; None: perhaps it is recorded, and perhaps not."""
        return self._fingerprints.get((ref.sender, ref.id))

    def cited(self, header: pb.Header) -> Chain:
        """Return what a header cites, what that cites, and so on, as far as that was expected."""
        for ref in header.cites[:1]:
            return self._kept.get((ref.sender, ref.id), _NOTHING)
        return _NOTHING

    def asking_for(self, tokens: Sequence[bytes], but: ids.EnvelopeRef) -> list[pb.Header]:
        """See `MatterView`."""
        own = {self.number(but)}
        self.expect_targets(tokens)
        # Nearly always nobody else is, and then nobody's state is asked for.
        if self._at(tokens, self._added) | self._at(tokens, self._aimed) <= own:
            return []
        return super().asking_for(tokens, but)

    def aimed_at(self, tokens: Sequence[bytes], kind: ids.Kind.ValueType) -> list[tuple[pb.Header, State | None]]:
        """See `MatterView`."""
        self.expect_targets(tokens)
        if not self._at(tokens, self._added) | self._at(tokens, self._aimed):
            return []
        return super().aimed_at(tokens, kind)

    def expect(self, headers: Sequence[pb.Header]) -> None:
        """Look up at once what these rest on and what else is aimed at their targets: then nobody asks one by one."""
        self.expect_targets(chain.from_iterable(header.target_tokens for header in headers))
        cited = {(ref.sender, ref.id) for header in headers for ref in header.cites[:1]}
        asked = cited - self._names.keys() - self._kept.keys()
        if asked:
            self._kept |= self._ask_chains(asked)

    def expect_clocks(self, matters: Iterable[int]) -> None:
        """Look up the open time limits of matters, by their numbers."""
        asked = [number for number in dict.fromkeys(matters) if number not in self._open]
        self._open.update((number, []) for number in asked)
        for text, values in listed(_OPEN_OF_SOME, asked, 0):
            for number, *row in self._connection.ask(text, values):
                self._open[number].append(row)

    def clocks(self, ref: Named) -> list[ClockRow]:
        """See `MatterView`."""
        number = self.number(ref)
        rows = self._open.get(number)
        if rows is None or self._rows.concerns((number,)):
            return super().clocks(ref)
        return _clocks(ref, rows)

    def expect_targets(self, tokens: Iterable[bytes]) -> None:
        """Look up what is aimed at these targets."""
        asked = [token for token in dict.fromkeys(tokens) if token not in self._aimed]
        self._aimed.update((token, set()) for token in asked)
        for text, values in listed(_AIMED, asked, b""):
            for token, number in self._connection.ask(text, values):
                self._aimed[token].add(number)

    @staticmethod
    def _at(tokens: Sequence[bytes], envelopes: Mapping[bytes, set[int]]) -> set[int]:
        return set().union(*(envelopes.get(token, ()) for token in tokens))

    def recorded(self, seq: int, cites: Named | None, cited: int | None) -> None:
        """Take note of an envelope that waits to be written: whatever it rests on has one more below it."""
        if cites is not None and cited not in self._lines:
            self._chain((cites.sender, cites.id))
        line = (seq, *self._lines.get(cited, ()))
        self._lines[seq] = line
        self._rows.concern(line)

    def _chain(self, name: Name) -> Chain:
        kept = self._kept.get(name)
        if name in self._names:
            self._rows.write()
        # It may be of before this transaction changed something, or undid that it did.
        elif kept is not None and not self._rows.concerns(kept.line):
            return kept
        found = self._ask_chains([name])[name]
        return self._ask_chains([name])[name] if self._rows.settle(found.line) else found

    def _ask_chains(self, names: Collection[Name]) -> dict[Name, Chain]:
        chains = self._chains(names, self._connection.ask)
        self._lines.update((each.line[0], each.line) for each in chains.values() if each.line)
        return chains

    def _about(self, query: str, number: int | None, *values: object) -> list[Any]:
        return self._rows.ask(query, (number, *values), (number,))

    def _recorded(self, query: str, *values: object) -> Any:  # noqa: ANN401  as above
        return self._connection.execute(query, values).fetchone()

    def forget(self) -> None:
        """Remember nothing any more: what was recorded may have been undone."""
        self._numbers.clear()
        self._fingerprints.clear()
        self._forget_clocks()

    def _forget_clocks(self) -> None:
        """Remember no time limit any more: some are changed by their own numbers, whatever they are of."""
        self._some_are_over = None
        self._open.clear()

    # States.

    def add_move(
        self,
        ref: Named,
        state: State,
        cause: Named | None,
        rule: ClockRule = measures.CLOCK_RULE_UNSPECIFIED,
    ) -> None:
        """Let a matter stand there from now on.

        Args:
            ref: the matter.
            state: where it stands.
            cause: the envelope that moved it, the matter's own when it begins; None: a time limit or a statement did.
            rule: of the time limit that did; 0 if none.
        """
        number = self.number(ref)
        self._rows.add("moves", number, state.value, self.now_us, self._number_of(cause), rule)
        self._rows.concern((number,))

    # Time limits. A change that finds no clock as it expects it changes nothing.

    def start_clock(
        self,
        ref: Named,
        rule: ClockRule,
        started_at_us: int,
        due_at_us: int,
        next_at_us: int | None,
        cause: Named | None = None,
        *,
        rests: bool = False,
    ) -> None:
        """Let a time limit run; an open one of that rule on that matter is stopped.

        Args:
            ref: the matter.
            rule: which limit.
            started_at_us: when it began.
            due_at_us: the first instant that is too late.
            next_at_us: when there is something to say, not after it is due; None: never, another node keeps it.
            cause: the envelope that makes it run.
            rests: whether it begins only when that has arrived at another node; see `begin_clock`.
        """
        number, by = self.number(ref), self._number_of(cause)
        self.end_clocks(ref, (rule,), Stage.STOPPED, cause)
        self._begun_over = self._begun_over or due_at_us <= self.now_us
        self._started.setdefault(number, set()).add(rule)
        paused_at_us, stage = (self.now_us, Stage.PAUSED) if rests else (None, Stage.RUNNING)
        times = started_at_us, due_at_us, next_at_us, paused_at_us
        self._rows.add("clocks", number, rule, *times, stage.value, by, "started")
        self._rows.concern((number,))

    def resting(self, ref: Named, cause: Named) -> list[ClockRow]:
        """Return the time limits of a matter that begin when an envelope has arrived at another node."""
        return _clocks(ref, self._about(_RESTING_BY, self.number(ref), self.number(cause)))

    def paused(self, ref: Named, cause: Named) -> list[ClockRow]:
        """Return the time limits of a matter that rest because of an envelope."""
        return _clocks(ref, self._about(_PAUSED_BY, self.number(ref), self.number(cause)))

    def pass_on(self, seq: int, cause: Named, at_us: int) -> None:
        """Let a time limit rest because of another envelope, from when that was recorded on."""
        self._forget_clocks()
        self._sql.execute(
            "UPDATE clocks SET paused_at_us = ?, by_seq = ? WHERE seq = ? AND stage = 'paused'",
            (at_us, self._number_of(cause), seq),
        )

    def begin_clock(self, seq: int, started_at_us: int, due_at_us: int, next_at_us: int) -> None:
        """Let a time limit begin that rested until then."""
        self._forget_clocks()
        self._sql.execute(
            "UPDATE clocks SET stage = 'running', paused_at_us = NULL, started_at_us = ?, due_at_us = ?, next_at_us = ?"
            " WHERE seq = ? AND stage = 'paused'",
            (started_at_us, due_at_us, next_at_us, seq),
        )

    def end_clocks(
        self,
        ref: Named,
        rules: Collection[ClockRule] | None,
        stage: str,
        cause: Named | None = None,
    ) -> None:
        """End the open time limits of these rules on a matter; None: all of them. `stage` is one of the ended."""
        set_ = "stage = ?, ended_at_us = ?, next_at_us = NULL, paused_at_us = NULL"
        self._change("ended", cause, set_, (stage, self.now_us), ref, rules, OPEN_SQL)

    def pause_clocks(self, ref: Named, rules: Collection[ClockRule], cause: Named | None = None) -> None:
        """Let what runs rest. What has run out already cannot, whether it was said yet or not."""
        which = "stage = 'running' AND due_at_us > ?"
        set_ = "stage = 'paused', paused_at_us = ?"
        self._change("paused", cause, set_, (self.now_us,), ref, rules, which, self.now_us)

    def resume_clocks(
        self, ref: Named, rules: Collection[ClockRule], cause: Named | None = None, *, later_us: int = 0
    ) -> None:
        """Let what rests run again; it is due later by exactly as long as it rested, and by so much more."""
        # A clock that was put back meanwhile must not make it due earlier. It is never over at once: it was not when it
        # began to rest, and it has as long to run as it had then.
        rested = "CASE WHEN ? > paused_at_us THEN ? - paused_at_us ELSE 0 END + ?"
        set_ = (
            f"stage = 'running', paused_at_us = NULL, due_at_us = due_at_us + {rested},"
            f" next_at_us = next_at_us + {rested}"
        )
        self._change("resumed", cause, set_, (self.now_us, self.now_us, later_us) * 2, ref, rules, "stage = 'paused'")

    def undo_clocks(self, cause: ids.EnvelopeRef) -> None:
        """Undo what an envelope did last to time limits: what it ended runs again, at once, to the end it had.

        What has been changed again since stays as it is. A limit that ended while it rested runs again.
        """
        self._forget_clocks()
        # It changed nothing but what it rests on.
        rests_on = [self.number(ids.EnvelopeRef(sender=each.sender, id=each.id)) for each, _ in self.chain(cause)]
        by = (*rests_on, self.number(cause))
        mine = f"envelope_seq IN ({_marks(rests_on)}) AND by_seq = ? AND change = ?"
        end = "stage = 'stopped', ended_at_us = ?, next_at_us = NULL, paused_at_us = NULL, change = ''"
        run = "stage = 'running', ended_at_us = NULL, paused_at_us = NULL, next_at_us = due_at_us, change = ''"
        rest = "stage = 'paused', paused_at_us = ?, change = ''"
        # First what it started: a limit that it replaced may not run beside that.
        self._sql.execute(f"UPDATE clocks SET {end} WHERE {mine} AND {OPEN_SQL}", (self.now_us, *by, "started"))  # noqa: S608  our own
        self._sql.execute(f"UPDATE clocks SET {run} WHERE {mine} AND NOT ({OPEN_SQL}) AND {_NONE_OPEN}", (*by, "ended"))  # noqa: S608
        self._sql.execute(f"UPDATE clocks SET {run} WHERE {mine} AND stage = 'paused'", (*by, "paused"))  # noqa: S608
        self._sql.execute(f"UPDATE clocks SET {rest} WHERE {mine} AND stage = 'running'", (self.now_us, *by, "resumed"))  # noqa: S608

    def due_clocks(self, rules: Collection[ClockRule], limit: int) -> list[ClockRow]:
        """Return the running time limits by these rules of which there is something to say now, oldest first."""
        return self._clocks(_DUE.format(_marks(rules)), self.now_us, *rules, limit)

    def set_clock(self, seq: int, stage: str, next_at_us: int | None) -> bool:
        """Say of a running time limit what was said of it: it runs on until the next time, or it has run out.

        Returns:
            Whether it still ran: what ended a moment ago, e.g. with its matter, stays as it ended.
        """
        self._forget_clocks()
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
        for token in header.target_tokens:
            self._rows.add("targets", token, envelope_seq)
            self._added.setdefault(token, set()).add(envelope_seq)

    def _change(
        self,
        change: str,
        cause: Named | None,
        assignments: str,
        values: tuple[object, ...],
        ref: Named,
        rules: Collection[ClockRule] | None,
        which: str,
        *more: object,
    ) -> None:
        number = self.number(ref)
        started: AbstractSet[ClockRule] = self._started.get(number, frozenset())
        # What was recorded a moment ago has no others.
        if (ref.sender, ref.id) in self._names and (not started if rules is None else started.isdisjoint(rules)):
            return
        if started:
            self._rows.write()  # so that they are there to be changed
        of_rules = "" if rules is None else f" AND rule IN ({_marks(rules)})"
        # By a list of matters and not by joining them: so every planner goes by the index.
        by = "SELECT nullif(cause, 0) FROM about WHERE matter = envelope_seq"
        self._rows.change(
            f"WITH about (matter, cause) AS (VALUES {{}}) UPDATE clocks SET {assignments}, change = ?, by_seq = ({by})"  # noqa: S608  our own
            f" WHERE {which}{of_rules} AND envelope_seq IN ({{{{}}}})",
            (*values, change, *more, *(rules or ())),
            number,
            self._number_of(cause),
        )

    def _number_of(self, cause: Named | None) -> int | None:
        return None if cause is None else self.number(cause)


def _clocks(ref: Named, rows: Sequence[Any]) -> list[ClockRow]:
    if not rows:
        return []
    name = ids.EnvelopeRef(sender=ref.sender, id=ref.id)
    return [_clock(name, *row) for row in rows]


def _clock(
    ref: ids.EnvelopeRef,
    seq: int,
    rule: ClockRule,
    started: int,
    due: int,
    next_: int | None,
    paused: int | None,
    stage: str,
    ended: int | None,
) -> ClockRow:
    return ClockRow(seq, ref, rule, started, due, next_, paused, _STAGES[stage], ended)


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
