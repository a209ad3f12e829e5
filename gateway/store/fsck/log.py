"""The log: every entry, the tree over them, which is computed here anew, and the checkpoints that were signed."""

from collections.abc import Iterator
from typing import Any, Final

from gateway import checkpoint
from gateway.checkpoint import Checkpoint
from gateway.clock import from_micros
from gateway.directory import Directory
from gateway.errors import GatewayError
from gateway.identity import trust_domain
from gateway.log_entry import leaf_hashes
from gateway.merkle import Frontier
from gateway.store.fsck.books import PAGE, Books, blob
from gateway.store.fsck.findings import Check, Notes
from gateway.tiles import HEIGHT, SUBTREES, WIDTH

_ENTRIES: Final = (
    "SELECT l.position, l.leaf_hash, l.envelope_seq, l.receipt_seq, e.fingerprint, r.statement FROM log_entries l"
    " LEFT JOIN envelopes e ON e.seq = l.envelope_seq LEFT JOIN receipts r ON r.seq = l.receipt_seq"
    " WHERE l.position > ? ORDER BY l.position LIMIT ?"
)
_CHECKPOINTS: Final = (
    "SELECT size, origin, root, at_us, note FROM checkpoints WHERE (size, origin) > (?, ?)"
    " ORDER BY size, origin LIMIT ?"
)


def check_log(books: Books, notes: Notes) -> None:
    """Check every entry of the log, its tree and its checkpoints."""
    expected = 0
    last: dict[str, int] = {"envelope": 0, "receipt": 0}
    tree = _Tree(books, notes)
    for position, leaf, envelope_seq, receipt_seq, fingerprint, raw in books.pages(_ENTRIES):
        where = f"log entry {position}"
        expected += 1
        if position != expected:
            notes.fail(Check.LOG_DENSE, where, f"the one before it is {expected - 1}")
            expected = position
        about = fingerprint if envelope_seq is not None else raw
        if (envelope_seq is None) == (receipt_seq is None) or about is None:
            notes.fail(Check.LOG_COMPLETE, where, "it is about nothing that is recorded")
        elif blob(leaf) not in leaf_hashes(books.me, blob(about)):
            notes.fail(Check.LOG_LEAVES, where, "another hash")
        for table, seq in (("envelope", envelope_seq), ("receipt", receipt_seq)):
            if seq is not None:
                if seq <= last[table]:
                    notes.fail(Check.LOG_ORDER, where, f"{table} {seq} after {table} {last[table]}")
                last[table] = seq
        tree.take(blob(leaf))
        notes.done()
    tree.end()


class _Tree:
    """Grows with the entries, and compares what it comes to with what is kept."""

    def __init__(self, books: Books, notes: Notes) -> None:
        self._books = books
        self._notes = notes
        self._frontier = Frontier()
        self._leaves: list[bytes] = []
        self._kept = books.rows("SELECT coalesce(max(number) + 1, 0) FROM log_nodes WHERE level = 1")[0][0] * WIDTH
        self._checkpoints = _checkpoints(books)
        self._next = next(self._checkpoints, None)
        self._restorations = books.count("restorations")
        self._signed = 0
        self._check_signed(0)

    def take(self, leaf: bytes) -> None:
        """Take one more entry."""
        self._leaves.append(leaf)
        size = self._frontier.size + len(self._leaves)
        due = self._next is not None and self._next[0] == size
        if due or len(self._leaves) == PAGE:
            self._grow()
        if due:
            self._check_signed(size)

    def end(self) -> None:
        """Compare what is left when there are no more entries."""
        self._grow()
        while self._next is not None:
            self._fail_checkpoint("it is over more entries than there are")
        if self._kept < self._signed // WIDTH * WIDTH:
            self._notes.fail(Check.LOG_TREE, f"entry {self._kept + 1}", "no tree over it, though it is signed")
        rows = self._books.rows("SELECT level, count(*), max(number) FROM log_nodes GROUP BY level ORDER BY level")
        for level, count, last in rows:
            wanted = min(self._kept, self._frontier.size) >> HEIGHT * level if 0 < level <= HEIGHT else 0
            if count != wanted or last != wanted - 1:
                self._notes.fail(Check.LOG_TREE, f"level {level}", f"{count} hashes up to {last}, not {wanted}")

    def _grow(self) -> None:
        self._frontier, new = self._frontier.grown(self._leaves, SUBTREES)
        self._leaves = []
        for size, number, hash_ in new:
            if size * (number + 1) <= self._kept:
                level = (size.bit_length() - 1) // HEIGHT
                query = "SELECT hash FROM log_nodes WHERE level = ? AND number = ?"
                if [blob(row[0]) for row in self._books.rows(query, level, number)] != [hash_]:
                    self._notes.fail(Check.LOG_TREE, f"level {level}, {number}", "not the root over its entries")

    def _check_signed(self, size: int) -> None:
        """Check the checkpoints over so many entries; of one size there are several, if it was restored meanwhile."""
        while self._next is not None and self._next[0] <= size:
            signed, origin, root, at_us, note = self._next
            if signed != size or blob(root) != self._frontier.root:
                self._fail_checkpoint("not the root over the first entries")
                continue
            self._signed = size
            self._check_note(origin, at_us, blob(note))
            self._next = next(self._checkpoints, None)

    def _check_note(self, origin: str, at_us: int, note: bytes) -> None:
        size, directory = self._frontier.size, self._books.directory
        where = f"checkpoint {size} of {origin}"
        try:
            if not note.startswith(f"{Checkpoint(origin, size, self._frontier.root)}\n".encode()):
                self._notes.fail(Check.CHECKPOINTS, where, "its note says something else")
            elif directory is not None:
                checkpoint.read(note, self._origin(origin, directory), self._keys(at_us, directory))
        except GatewayError as error:
            self._notes.fail(Check.CHECKPOINTS_SIGNED, where, str(error))

    def _fail_checkpoint(self, why: str) -> None:
        if self._next is not None:
            self._notes.fail(Check.CHECKPOINTS, f"checkpoint {self._next[0]} of {self._next[1]}", why)
            self._next = next(self._checkpoints, None)

    def _origin(self, said: str, directory: Directory) -> str:
        """Return the origin that is said, if this node has had a log of that name."""
        first = f"{trust_domain(self._books.here, directory.federation)}/log"
        return said if said in {first, *(f"{first}/{number + 1}" for number in range(self._restorations))} else first

    def _keys(self, at_us: int, directory: Directory) -> list[bytes]:
        """Return the keys with which the node could sign then."""
        listed = directory.node(self._books.here).signing_keys
        return [key.public for key in listed if key.valid_at(from_micros(at_us))]


def _checkpoints(books: Books) -> Iterator[Any]:
    last = (-1, "")
    while page := books.rows(_CHECKPOINTS, *last, PAGE):
        yield from page
        last = page[-1][:2]
