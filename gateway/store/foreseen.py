"""What a job is about, asked for at once: what is recorded and stated of envelopes, their lanes, and deliveries.

In: names and numbers of a whole frame. Out: answers one by one, without a question each. Over a network each question
is a journey, and beside a busy event loop each takes the interpreter lock back from it. What was not foreseen is asked
for when it is wanted; what this transaction changes is changed here as well, and undone with it.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from rogatory.v1 import envelope_pb2 as pb

from gateway.errors import ErrorCode, Failure
from gateway.lanes import Lane
from gateway.lifecycle import State
from gateway.rules import Named
from gateway.store.driver import Connection, listed, naming
from gateway.store.rows import MOVED, Known, Name, Names, Rows

_ENVELOPES: Final = "SELECT sender, id, seq, fingerprint, header FROM envelopes WHERE (sender, id) IN (VALUES {})"
_WORDS: Final = (
    "SELECT sender, id, digest, milestone, recipient, issuer FROM receipts WHERE (sender, id) IN (VALUES {}) "
    "ORDER BY seq"
)
_LANES: Final = """
    SELECT e.sender, e.id, min(d.lane) FROM envelopes e JOIN deliveries d ON d.envelope_seq = e.seq
    WHERE (e.sender, e.id) IN (VALUES {}) GROUP BY e.sender, e.id
"""
_DELIVERIES: Final = """
    SELECT d.seq, d.destination, d.state, d.attempts, d.lease_holder, e.header, e.fingerprint
    FROM deliveries d LEFT JOIN envelopes e ON e.seq = d.envelope_seq WHERE d.seq IN ({})
"""


_STATES: Final = MappingProxyType({each.value: each for each in State})


class Word(NamedTuple):
    """What somebody has stated of an envelope; of the statement, what is asked for."""

    digest: bytes
    milestone: pb.Milestone.ValueType
    recipient: str
    issuer: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery, and the header of the envelope it is of (None for a receipt's)."""

    seq: int
    destination: str
    state: State
    attempts: int
    holder: str
    header: pb.Header | None
    fingerprint: bytes


class Foreseen:
    """What is known in one transaction.

    Args:
        rows: those of the transaction.
        connection: the writer's; what is asked of it directly may miss a row that waits.
        names: of what was recorded in it.
    """

    def __init__(self, rows: Rows, connection: Connection, names: Names) -> None:
        self._rows = rows
        self._connection = connection
        self._names = names
        self._envelopes: dict[Name, Known | None] = {}
        self._words: dict[Name, list[Word]] = {}
        self._lanes: dict[Name, int] = {}
        self._deliveries: dict[int, DeliveryRow | None] = {}
        self._undo: list[Callable[[], object]] = []

    # Parts, which happen whole or not at all.

    def begin(self) -> int:
        """Begin a part; return where, for `undo`."""
        if not self._rows.in_part:
            self._deliveries.clear()  # another job: what came in between may have changed any of them
        return len(self._undo)

    def undo(self, begun: int) -> None:
        """Undo what was changed since a part began."""
        while len(self._undo) > begun:
            self._undo.pop()()
        self._lanes.clear()

    # Envelopes.

    def look_up(self, names: Iterable[Name]) -> None:
        """Ask which of these are recorded: of those that are not, nobody need ask again one by one."""
        asked = [each for each in dict.fromkeys(names) if each not in self._names and each not in self._envelopes]
        found = {(sender, id_): Known(*row) for sender, id_, *row in self._of(asked, _ENVELOPES)}
        self._envelopes.update((name, found.get(name)) for name in asked)

    def envelope(self, ref: Named) -> Known | None:
        """Return what is recorded of an envelope; None: it is not."""
        name = ref.sender, ref.id
        new = self._names.get(name)
        if new is None:
            if name not in self._envelopes:
                self.look_up([name])
            new = self._envelopes[name]
        return new

    # What is stated of them, and the lanes in which that travels.

    def look_up_words(self, names: Collection[Name]) -> None:
        """Ask what is stated of these, and for their lanes."""
        asked = [name for name in dict.fromkeys(names) if name not in self._words]
        # None of them waits to be written: it would have been added here.
        found: dict[Name, list[Word]] = {name: [] for name in asked}
        for sender, id_, *row in self._of(asked, _WORDS):
            found[sender, id_].append(Word(*row))
        self._words |= found
        self.look_up_lanes(names)

    def words(self, ref: Named) -> Sequence[Word]:
        """Return what is stated of an envelope, but for our own words of just now."""
        name = ref.sender, ref.id
        if name not in self._words:
            self.look_up_words([name])
        return self._words[name]

    def say(self, ref: Named, word: Word) -> None:
        """Take note of a word that is added; see `words`."""
        words = self._words[ref.sender, ref.id]
        words.append(word)
        self._undo.append(words.pop)

    def look_up_lanes(self, names: Collection[Name]) -> None:
        """Ask in which lanes these travel: what is said of one goes in the same."""
        asked = [name for name in dict.fromkeys(names) if name not in self._lanes]
        if not self._names.keys().isdisjoint(asked):
            self._rows.write()  # its deliveries, which were added just now
        found = {(sender, id_): lane for sender, id_, lane in self._of(asked, _LANES)}
        self._lanes.update((name, found.get(name, Lane.ORDINARY)) for name in asked)

    def lane(self, ref: Named) -> int:
        """Return the lane in which an envelope travels."""
        name = ref.sender, ref.id
        if name not in self._lanes:
            self.look_up_lanes([name])
        return self._lanes[name]

    def forget_lanes(self) -> None:
        """Remember no lane any more: something is to go faster than it did."""
        self._lanes.clear()

    # Deliveries.

    def look_up_deliveries(self, seqs: Iterable[int]) -> None:
        """Ask for deliveries by their numbers."""
        if self._rows.waits(MOVED):
            self._rows.write()
        # Nobody knows the number of one that waits.
        asked = list(dict.fromkeys(seqs))
        self._deliveries.update(dict.fromkeys(asked))
        for text, values in listed(_DELIVERIES, asked, 0):
            for seq, to, state, attempts, holder, header, whole in self._connection.ask(text, values):
                parsed = None if header is None else pb.Header.FromString(header)
                self._deliveries[seq] = DeliveryRow(seq, to, _STATES[state], attempts, holder, parsed, whole or b"")

    def delivery(self, seq: int) -> DeliveryRow | None:
        """Return a delivery; None: there is none of that number."""
        if seq not in self._deliveries:
            self.look_up_deliveries([seq])
        return self._deliveries[seq]

    def move(self, row: DeliveryRow, state: State) -> None:
        """Take note that a delivery moves, and is in nobody's hands then.

        Raises:
            Failure: STORE, it has moved already.
        """
        before = self._deliveries.get(row.seq) or row
        if before.state is not row.state:
            raise Failure(ErrorCode.STORE, f"delivery {row.seq} is no longer {row.state.value}")
        self._deliveries[row.seq] = DeliveryRow(
            row.seq, row.destination, state, row.attempts, "", row.header, row.fingerprint
        )
        self._undo.append(lambda: self._deliveries.update({row.seq: before}))

    def _of(self, names: Sequence[Name], query: str) -> list[Any]:
        return [row for text, values in naming(query, names) for row in self._connection.ask(text, values)]
