"""What a transaction has yet to write: rows wait here and go to the store many at a time.

In: rows, in the order in which they were added, moves of deliveries and changes of time limits. Out: the same in the
store before anything could miss them: before a statement that names their table, and at the end. A row then costs a few
microseconds, whether the store is a file or a server a millisecond away. What is undone before it was written needs no
word to the store at all; a savepoint is made only where a part has written something. A question about some envelopes
alone waits for nothing that is about others: so a frame of many cases is written once, at its end.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from gateway.errors import ErrorCode, Failure
from gateway.store.driver import Connection, listed, listing, lists

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "envelopes": (
            "seq",
            "sender",
            "id",
            "recipient",
            "kind",
            "cited_seq",
            "case_id",
            "recorded_at_us",
            "fingerprint",
            "header",
            "proof",
            "payload",
        ),
        "receipts": (
            "seq",
            "sender",
            "id",
            "milestone",
            "issuer",
            "recipient",
            "at_us",
            "digest",
            "statement",
            "signature",
        ),
        "targets": ("token", "envelope_seq"),
        "moves": ("envelope_seq", "state", "at_us", "cause_seq", "clock_rule"),
        "clocks": (
            "envelope_seq",
            "rule",
            "started_at_us",
            "due_at_us",
            "next_at_us",
            "paused_at_us",
            "stage",
            "by_seq",
            "change",
        ),
        "deliveries": (
            "envelope_seq",
            "receipt_seq",
            "destination",
            "case_id",
            "state",
            "attempts",
            "next_attempt_at_us",
            "expires_at_us",
            "lease_holder",
            "lease_until_us",
            "last_error",
            "lane",
        ),
        "events": ("at_us", "sender", "envelope_id", "name", "actor", "destination", "code", "detail", "stages"),
        "log_entries": ("position", "leaf_hash", "envelope_seq", "receipt_seq"),
    }
)
"""Tables whose rows wait, those that others refer to first."""
Row = tuple[Any, ...]

MOVED: Final = "moved"
"""Changes of deliveries wait as rows do: state, error, time of the next attempt, the state before, and the number."""
_MOVE: Final = """
    UPDATE deliveries SET state = ?, last_error = ?, next_attempt_at_us = ?, lease_holder = '', lease_until_us = 0
    WHERE state = ? AND seq IN ({})
"""
CHANGED: Final = "changed"
"""Changes of time limits wait too: what is done, with which values, the matter, and the envelope that does it."""
_OF: Final[Mapping[str, str]] = MappingProxyType({MOVED: "deliveries", CHANGED: "clocks"})


@dataclass(frozen=True, slots=True)
class Known:
    """What is recorded of an envelope."""

    seq: int
    fingerprint: bytes
    header: bytes


Name: TypeAlias = tuple[str, str]
"""Of an envelope: its sender and its id."""
Names: TypeAlias = dict[Name, Known]
"""Those that were recorded in this transaction."""


@dataclass(slots=True)
class Mark:
    """Where a part began: how many rows waited, and whether the store was told."""

    waiting: int
    told: bool = False
    # Rows from before, written since: undoing the part undoes that, and they wait again.
    before: dict[str, list[Row]] = field(default_factory=dict)


class Rows:
    """The rows that wait in one transaction. As a connection, it lets no statement miss one.

    Args:
        connection: the writer's.
    """

    def __init__(self, connection: Connection) -> None:
        self.is_file = connection.is_file
        self._connection = connection
        self._waiting: dict[str, list[Row]] = {}
        self._tables: list[str] = []  # of the rows that wait, in the order in which they were added
        self._marks: list[Mark] = []
        # All that rows were added about in this transaction, and never fewer, whatever was written or undone since: who
        # has asked before needs to know. More are a question too many, which costs time alone.
        self._concerned: set[int | None] = set()

    def add(self, table: str, *row: object) -> None:
        """Have a row written in time."""
        self._waiting.setdefault(table, []).append(row)
        self._tables.append(table)

    def write(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        self.hold()
        for mark in self._marks:
            for table, rows in self._first(mark.waiting).items():
                mark.before.setdefault(table, []).extend(rows)
            mark.waiting = 0
        waiting, self._waiting, self._tables = self._waiting, {}, []
        # Before those that begin now: a limit gives way to one of the same rule.
        self._write_changes(waiting.get(CHANGED, ()))
        for table in COLUMNS:
            if table in waiting:
                self._connection.insert(table, COLUMNS[table], waiting[table])
        # Of rows that were there before, so nothing that has just been written is among them.
        for values, moved in groupby(waiting.get(MOVED, ()), lambda row: row[:-1]):
            self.move(_MOVE, values, [row[-1] for row in moved])

    def move(self, text: str, values: Row, seqs: Sequence[int]) -> None:
        """Move deliveries that are there, at once.

        Args:
            text: what is done, with places for the values and with braces for their numbers.
            values: the last of them is the state in which they are.
            seqs: their numbers.

        Raises:
            Failure: STORE, some are no longer in it.
        """
        self.hold()
        for some, padded in lists(seqs, 0):
            if self._connection.execute(listing(text, len(padded)), (*values, *padded)).rowcount != some:
                raise Failure(ErrorCode.STORE, f"some of {some} deliveries are no longer {values[-1]}")

    def change(self, text: str, values: Row, matter: int | None, cause: int | None) -> None:
        """Have time limits of a matter changed in time; of those that wait to be written, none is.

        Args:
            text: what is done, with braces for pairs of a matter and the envelope that does it (0: none does), places
                for the values, and double braces for the matters again.
            values: for those places.
            matter: its number; None: there is none, and nothing to change.
            cause: the number of that envelope.
        """
        self.add(CHANGED, text, values, matter or 0, cause or 0)
        self.concern((matter,))

    def _write_changes(self, changes: Sequence[Row]) -> None:
        """Make equal changes of many matters at once; of one matter, one after the other."""
        turns: Counter[int] = Counter()
        together: dict[tuple[int, str, Row], list[tuple[int, int]]] = {}
        for text, values, matter, cause in changes:
            together.setdefault((turns[matter], text, values), []).append((matter, cause))
            turns[matter] += 1
        for (_, text, values), about in sorted(together.items(), key=lambda each: each[0][0]):
            for whole, pairs in listed(text, about, (0, 0), 2):
                matters = [matter for matter, _ in pairs]
                self._connection.execute(listing(whole, len(matters)), (*chain.from_iterable(pairs), *values, *matters))

    def waits(self, table: str) -> bool:
        """Whether a row of that table waits."""
        return table in self._waiting

    def concern(self, numbers: Iterable[int | None]) -> None:
        """Note that what waits is about these envelopes: an answer about them would miss it."""
        self._concerned.update(numbers)

    def concerns(self, numbers: Iterable[int | None]) -> bool:
        """Whether anything was added in this transaction about one of these envelopes, be it written by now or not."""
        return not self._concerned.isdisjoint(numbers)

    def settle(self, numbers: Iterable[int | None]) -> bool:
        """Write what waits, if any of it is about these envelopes; return whether it was."""
        if not self._waiting or not self.concerns(numbers):
            return False
        self.write()
        return True

    def ask(self, text: str, values: Any, about: Iterable[int | None]) -> list[Any]:  # noqa: ANN401  as `execute`
        """Run a question that is about these envelopes alone; return all rows of the answer."""
        self.settle(about)
        return self._connection.ask(text, values)

    # Parts, which happen whole or not at all.

    @property
    def in_part(self) -> bool:
        """Whether one has begun."""
        return bool(self._marks)

    def begin(self) -> Mark:
        """Begin a part."""
        mark = Mark(len(self._tables))
        self._marks.append(mark)
        return mark

    def hold(self) -> None:
        """Let the store know of the parts that have begun: something is about to be written in them."""
        for depth, mark in enumerate(self._marks):
            if not mark.told:
                self._connection.execute(f"SAVEPOINT part{depth}")
                mark.told = True

    def keep(self) -> None:
        """End the part that began last: it has happened."""
        if self._marks.pop().told:
            self._connection.execute(f"RELEASE part{len(self._marks)}")

    def undo(self) -> None:
        """End the part that began last: nothing of it has happened."""
        mark = self._marks.pop()
        if mark.told:
            self._connection.execute(f"ROLLBACK TO part{len(self._marks)}")
            self._connection.execute(f"RELEASE part{len(self._marks)}")
        # Either some were written since, or those from before are the first of those that wait.
        self._waiting = mark.before or self._first(mark.waiting)
        self._tables = self._tables[: mark.waiting] or [table for table, rows in mark.before.items() for _ in rows]

    def _first(self, count: int) -> dict[str, list[Row]]:
        """Return the rows among the first `count` that wait, by their tables."""
        return {table: self._waiting[table][:many] for table, many in Counter(self._tables[:count]).items()}

    # As a connection.

    def execute(self, text: str, values: Any = ()) -> Any:  # noqa: ANN401  rows are tuples of whatever was asked for
        """Run one statement, once it can see all that was added."""
        self._prepare(text)
        return self._connection.execute(text, values)

    def _prepare(self, text: str) -> None:
        reads = text.lstrip().startswith(("SELECT", "WITH"))
        # What is written may refer to anything that waits.
        if not reads or any(_OF.get(table, table) in text for table in self._waiting):
            self.write()
        if not reads:
            self.hold()
