"""What can be found: the checks by number, and what each came to."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

MOST_SHOWN: Final = 5
"""Offending rows that a finding names; it counts them all."""
TOLD_EVERY: Final = 256
"""Rows between two words on the progress."""


@unique
class Check(Enum):
    """A number for ever, the promise of the design's section 4 that it is about (0: the ground under all), a rule."""

    DATABASE = 1, 0, "the database's own pages, indexes and references are whole"
    HEADERS = 2, 7, "an envelope's columns say what its header says"
    FINGERPRINTS = 3, 7, "header, signatures, slots and payload are the ones that were recorded"
    SIGNED = 4, 2, "the sender signed first, and nobody signed twice"
    SIGNATURES = 5, 2, "each signature of an envelope verifies with a key that was valid then"
    CITATIONS = 6, 2, "an envelope is kept as citing what its header cites"
    TARGETS = 7, 2, "targets are those of the headers"
    LOG_DENSE = 8, 1, "positions of the log follow each other without a gap"
    LOG_LEAVES = 9, 7, "a log entry is the hash of what it is about"
    LOG_COMPLETE = 10, 1, "each envelope and receipt is logged once, and nothing else is"
    STATEMENTS = 11, 3, "a receipt's columns say what its statement says, and its issuer signed it"
    STATEMENTS_PROVEN = 12, 7, "each receipt verifies with a key that was valid then"
    SUBJECTS = 13, 3, "a statement is about the recorded bytes, by somebody who had them"
    ACCEPTED = 14, 1, "what is recorded has one acceptance of this node, and what it accepted is recorded"
    PATH = 15, 2, "an envelope passed every stage of the path, in order"
    WAYS = 16, 5, "an envelope has one copy for each destination, and no other"
    LEASES = 17, 4, "a delivery is in a known state, and leased if that state says so"
    ONE_END = 18, 4, "no copy has two ends"
    SOMEBODY_ACTS = 19, 4, "what has no end is on its way, or the other node has it"
    ENDS_AGREE = 20, 3, "a delivery ended as was stated, and only then"
    TOLD = 21, 4, "the sender is told each end"
    MOVES = 22, 2, "where a matter stands follows by the table from where it stood"
    TURNS = 23, 4, "what asks for something has a state, and in an open one somebody can act"
    CLOCKS = 24, 4, "time limits run for what is open, by the table, and what is late was said"
    PURGED = 25, 4, "only what has ended was purged, and it is said when"
    LISTS = 26, 7, "each version of the node's list is whole, and unsays nothing of the one before"
    REGISTRY = 27, 2, "who was let in was decided on, and has the certificate that was issued"
    DECISIONS_PROVEN = 28, 7, "each word of a registrar verifies with a key of his"
    RESTORATIONS = 29, 1, "the log still begins as the backup did from which it was restored"
    FILES_NAMED = 30, 4, "a file that an envelope on its way names is here, and whole"
    FILES_KEPT = 31, 1, "each file lies where the store says, with the bytes that it says"
    FILES_KNOWN = 32, 0, "nothing lies among the files but what the store knows of"

    LOG_ORDER = 33, 7, "envelopes are logged in the order of their numbers, and so are receipts"
    LOG_TREE = 34, 7, "the tree over the log is that of its entries"
    CHECKPOINTS = 35, 7, "each checkpoint is of the log's first entries"
    CHECKPOINTS_SIGNED = 36, 7, "each checkpoint is signed, for this node's log, with a key that was valid then"
    ACTIONS = 37, 2, "what operators did has a reason, an event, and a second operator where one was needed"

    def __init__(self, number: int, promise: int, says: str) -> None:
        self.number = number
        self.promise = promise
        self.says = says


class Result(Enum):
    """What a check came to."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"  # for want of public keys, of the files, or of a database that can be read


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to, how often it failed, and where first."""

    check: Check
    result: Result
    failures: int = 0
    first: tuple[str, ...] = ()


class Notes:
    """Collects failures, and tells how far it is."""

    def __init__(self, progress: Callable[[int, int], None] | None) -> None:
        self._progress = progress
        self._total = 0
        self._done = 0
        self._failures: Counter[Check] = Counter()
        self._first: dict[Check, list[str]] = {}
        self._not_checked: set[Check] = set()

    def expect(self, rows: int) -> None:
        """Say how many rows there are still."""
        self._total += rows

    def done(self) -> None:
        """Say that a row is done."""
        self._done += 1
        if self._progress is not None and (self._done % TOLD_EVERY == 0 or self._done == self._total):
            self._progress(self._done, self._total)

    def fail(self, check: Check, where: str, why: str) -> None:
        """Note an offending row."""
        self._failures[check] += 1
        first = self._first.setdefault(check, [])
        if len(first) < MOST_SHOWN:
            first.append(f"{where}: {why}")

    def leave_out(self, checks: Iterable[Check]) -> None:
        """Note that nothing can be said of these, unless something has been found already."""
        self._not_checked.update(checks)

    def findings(self) -> list[Finding]:
        """Return one finding for each check."""
        return [
            Finding(check, Result.NOT_CHECKED)
            if check in self._not_checked and not self._failures[check]
            else Finding(
                check,
                Result.FAILED if self._failures[check] else Result.PASSED,
                self._failures[check],
                tuple(self._first.get(check, ())),
            )
            for check in Check
        ]
