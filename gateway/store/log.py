"""The node's log in the store: its tree grows with its entries, and its proofs are read from a few rows.

In: leaf hashes, as the writer appends them; questions. Out: roots, proofs, checkpoints. Fails with STORE if entries are
missing where there should be some, or if the log is not the one that was signed before.

A row of `log_nodes` is the root over 256, 256^2, ... entries (a hash of a tile of level 1, 2, ..., `gateway.tiles`);
the leaf hashes themselves are those of `log_entries`. The writer remembers where the tree grows on
(`merkle.Frontier`), so an entry costs one hash, and one in 256 a row. What another process has appended meanwhile, or a
program of before, which knows no tree, is read and taken along.
"""

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from rogatory.v1 import identifiers_pb2 as ids

from gateway import note, tiles
from gateway.checkpoint import Checkpoint
from gateway.errors import ErrorCode, Failure
from gateway.merkle import HASH_BYTES, Frontier
from gateway.note import MAX_SIGNATURES, Verifier
from gateway.signer import Signer
from gateway.store import witnessing
from gateway.store.driver import TROUBLE
from gateway.store.witnessing import AlarmRow
from gateway.tiles import HEIGHT, SUBTREES, WIDTH
from gateway.witness import Witnessed

READ_AT_ONCE: Final = 4096
LOOKED_THROUGH: Final = 4096
"""Checkpoints, for one with so many cosignatures: over half an hour of a log that never rests."""

A_STEP: Final = 1 << 16
"""Entries that are taken along in one transaction at the start; other processes write in between."""

# One row, not one each: between two rows the interpreter lock is given away, and had again 5 ms later.
_LEAVES_OF_FILE: Final = """
    SELECT CAST(group_concat(leaf_hash, '' ORDER BY position) AS BLOB), count(*)
    FROM log_entries WHERE position > ? AND position <= ?
"""
_LEAVES_OF_SERVER: Final = """
    SELECT string_agg(leaf_hash, '' ORDER BY position), count(*)
    FROM log_entries WHERE position > ? AND position <= ?
"""
_NODES_OF_FILE: Final = """
    SELECT CAST(group_concat(hash, '' ORDER BY number) AS BLOB), count(*)
    FROM log_nodes WHERE level = ? AND number >= ? AND number < ?
"""
_NODES_OF_SERVER: Final = """
    SELECT string_agg(hash, '' ORDER BY number), count(*)
    FROM log_nodes WHERE level = ? AND number >= ? AND number < ?
"""
# Somebody else may have been first, with the same.
_ADD_NODE: Final = "INSERT INTO log_nodes (level, number, hash) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_ADD_CHECKPOINT: Final = """
    INSERT INTO checkpoints (size, origin, root, at_us, note) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_SIGN_ANEW: Final = "UPDATE checkpoints SET at_us = ?, note = ? WHERE size = ? AND origin = ?"
_CHECKPOINTS: Final = "SELECT origin, size, root, at_us, note FROM checkpoints"
_LINES: Final = "SELECT line FROM cosignatures WHERE size = ? AND origin = ? ORDER BY at_us, name, key_id LIMIT ?"
# Bounded, for there may be none that has so many.
_COSIGNED: Final = """
    SELECT origin, size, root, at_us, note FROM (
      SELECT origin, size, root, at_us, note FROM checkpoints WHERE size >= ? ORDER BY {0} LIMIT ?
    ) c WHERE (SELECT count(DISTINCT name) FROM cosignatures s WHERE s.size = c.size AND s.origin = c.origin) >= ?
    ORDER BY {0} LIMIT 1
"""
_FLOOR: Final = """
    SELECT size, at_us FROM (SELECT size, at_us FROM checkpoints ORDER BY size DESC LIMIT ?) c ORDER BY size LIMIT 1
"""
_COSIGNED_BY: Final = "SELECT size, at_us FROM cosignatures WHERE name = ? AND size >= ? ORDER BY size DESC LIMIT 1"
# Numbers grow with positions: the next entry of that sort from a position on tells on which side of it one lies.
_NEXT_OF: Final = "SELECT position, {0}_seq FROM log_entries WHERE position > ? AND {0}_seq IS NOT NULL"


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A checkpoint as it was signed."""

    checkpoint: Checkpoint
    at_us: int
    note: bytes

    def is_signed_by(self, keys: Collection[bytes]) -> bool:
        """Whether its line names one of these keys of the log."""
        origin = self.checkpoint.origin
        ids = {Verifier(origin, key).key_id for key in keys}
        return any(line.name == origin and line.key_id in ids for line in note.parse(self.note).signatures)


class LogView:
    """What can be asked of the log, at one moment.

    Args:
        connection: what takes our SQL.
    """

    def __init__(self, connection: Any) -> None:  # noqa: ANN401  pysqlite3 has no types
        self._sql = connection
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def size(self) -> int:
        """Return how many entries there are."""
        (last,) = self._sql.execute("SELECT coalesce(max(position), 0) FROM log_entries").fetchone()
        return int(last)

    def newest(self) -> CheckpointRow | None:
        """Return the checkpoint that covers most."""
        return self._checkpoint(f"{_CHECKPOINTS} ORDER BY size DESC, length(origin) DESC, origin DESC LIMIT 1")

    def covering(self, position: int) -> CheckpointRow | None:
        """Return the first checkpoint that covers an entry; None if none does yet."""
        query = f"{_CHECKPOINTS} WHERE size >= ? ORDER BY size, length(origin), origin LIMIT 1"
        return self._checkpoint(query, position)

    def newest_cosigned(self, least: int) -> CheckpointRow | None:
        """Return the newest checkpoint that so many witnesses have cosigned, of the newest LOOKED_THROUGH."""
        order = "size DESC, length(origin) DESC, origin DESC"
        return self._checkpoint(_COSIGNED.format(order), 0, LOOKED_THROUGH, least)

    def covering_cosigned(self, position: int, least: int) -> CheckpointRow | None:
        """Return the first checkpoint that covers an entry and that so many witnesses have cosigned, or a newer one.

        None if none has yet, as far as the first and the newest LOOKED_THROUGH that cover it tell.
        """
        order = "size, length(origin), origin"
        first = self._checkpoint(_COSIGNED.format(order), position, LOOKED_THROUGH, least)
        if first is not None:
            return first
        newest = self.newest_cosigned(least)
        return newest if newest is not None and newest.checkpoint.size >= position else None

    def cosigned(self, row: CheckpointRow) -> bytes:
        """Return the note of a checkpoint with all that witnesses have said of it, as far as a note holds that."""
        values = row.checkpoint.size, row.checkpoint.origin, MAX_SIGNATURES - 1
        return row.note + "".join(line for (line,) in self._sql.execute(_LINES, values)).encode()

    def is_cosigned_by(self, row: CheckpointRow, name: str) -> bool:
        """Whether a witness has cosigned a checkpoint since it was signed, as it is signed now."""
        query = "SELECT 1 FROM cosignatures WHERE size = ? AND origin = ? AND name = ? AND at_us >= ? LIMIT 1"
        values = row.checkpoint.size, row.checkpoint.origin, name, row.at_us
        return self._sql.execute(query, values).fetchone() is not None

    def cosigned_last(self, name: str) -> tuple[int, int, int]:
        """Return how many entries a witness has cosigned, when, and how far back that was looked for.

        0 entries, at 0: it has cosigned none of the newest LOOKED_THROUGH checkpoints, of which the first is so old.
        """
        floor = self._sql.execute(_FLOOR, (LOOKED_THROUGH,)).fetchone()
        if floor is None:
            return 0, 0, 0
        row = self._sql.execute(_COSIGNED_BY, (name, floor[0])).fetchone()
        return (0, 0, floor[1]) if row is None else (row[0], row[1], floor[1])

    def witnessed(self) -> list[str]:
        """Return which other logs this node witnesses, by their origins."""
        return witnessing.origins(self._sql)

    def last_witnessed(self, origin: str) -> Witnessed | None:
        """Return what this node cosigned last of another log."""
        return witnessing.last(self._sql, origin)

    def alarms(self, limit: int) -> list[AlarmRow]:
        """Return what this node has found out about logs, its own among them; the newest first."""
        return witnessing.alarms(self._sql, limit)

    def newest_alarms(self, limit: int) -> list[AlarmRow]:
        """Return the newest that it has found out about each log, so that none hides another."""
        return witnessing.alarms(self._sql, limit, newest=True)

    def origin(self, first: str) -> str:
        """Return the name of this log: after each time that the store was put back from a backup, it is another one.

        Args:
            first: the name of the node's first log.
        """
        (times,) = self._sql.execute("SELECT count(*) FROM restorations").fetchone()
        return f"{first}/{times}" if times else first

    def envelope(self, ref: ids.EnvelopeRef, may: Callable[[str], bool]) -> int | None:
        """Return the position of an envelope, from 1, if whoever asks may know; `may` is told its recipient."""
        query = "SELECT seq, recipient FROM envelopes WHERE id = ? AND sender = ?"
        row = self._sql.execute(query, (ref.id, ref.sender)).fetchone()
        return None if row is None or not may(row[1]) else self.position("envelope", row[0])

    def receipt(self, ref: ids.EnvelopeRef, digest: bytes) -> int | None:
        """Return the position of a receipt, from 1, by its envelope and the SHA-256 of its statement."""
        query = "SELECT seq FROM receipts WHERE id = ? AND sender = ? AND digest = ?"
        row = self._sql.execute(query, (ref.id, ref.sender, digest)).fetchone()
        return None if row is None else self.position("receipt", row[0])

    def position(self, table: str, seq: int) -> int | None:
        """Return the position, from 1, of what has that number; None if it is not logged.

        Args:
            table: "envelope" or "receipt".
            seq: its number.
        """
        query = f"{_NEXT_OF.format(table)} ORDER BY position LIMIT 1"
        low, high = 0, self.size()
        while low < high:
            middle = (low + high) // 2
            row = self._sql.execute(query, (middle,)).fetchone()
            if row is None or row[1] > seq:
                high = middle
            elif row[1] == seq:
                return int(row[0])
            else:
                low = row[0]
        return None

    def root(self, size: int) -> bytes:
        """Return the root over the first entries."""
        return tiles.root(self.hashes, size)

    def inclusion(self, position: int, size: int) -> list[bytes]:
        """Return the proof that the entry at a position, from 1, is in the log of that size."""
        return tiles.inclusion(self.hashes, position - 1, size)

    def consistency(self, old_size: int, size: int) -> list[bytes]:
        """Return the proof that the log of one size begins with that of an older one."""
        return tiles.consistency(self.hashes, old_size, size)

    def lacks(self, origin: str, lost: Collection[bytes] = ()) -> bool:
        """Whether something is logged that no checkpoint of that log covers, or the newest is signed with a lost key.

        Args:
            origin: of the log.
            lost: keys of the node that are not trusted any more.
        """
        newest, size = self.newest(), self.size()
        if newest is None or (newest.checkpoint.origin, newest.checkpoint.size) != (origin, size):
            return size > 0
        return bool(lost) and newest.is_signed_by(lost)

    def hashes(self, level: int, start: int, stop: int) -> list[bytes]:
        """Return some hashes of one tile (`tiles.Hashes`), which is read once.

        Raises:
            Failure: STORE, they are not there.
        """
        number = start // WIDTH
        tile = self._tiles.get((level, number))
        if tile is None:
            first = number * WIDTH
            tile = _read(self._sql, level, first, first + WIDTH)
            self._tiles[level, number] = tile
        found = tile[start - number * WIDTH : stop - number * WIDTH]
        if len(found) != stop - start:
            raise _broken(f"of level {level} there are hashes up to {number * WIDTH + len(tile)}, not {stop}")
        return found

    def _checkpoint(self, query: str, *values: int) -> CheckpointRow | None:
        row = self._sql.execute(query, values).fetchone()
        if row is None:
            return None
        origin, size, root, at_us, note = row
        return CheckpointRow(Checkpoint(origin, size, root), at_us, note)


def following(connection: Any, tree: Frontier | None, size: int) -> Frontier:  # noqa: ANN401  as above
    """Return where the log of that size grows on, and have its tree in the store; called by whoever writes.

    Args:
        connection: in a transaction.
        tree: what is remembered of it; None: nothing.
        size: how many entries there are.

    Raises:
        Failure: STORE, some are missing.
    """
    if tree is None or tree.size > size:
        tree = _load(connection, size)
    while tree.size < size:
        until = min(size, tree.size + READ_AT_ONCE)
        leaves = _read(connection, 0, tree.size, until)
        if len(leaves) != until - tree.size:
            raise _broken(f"from entry {tree.size + 1} to {until} there are {len(leaves)}")
        tree = grown(connection, tree, leaves)
    return tree


def grown(connection: Any, tree: Frontier, leaves: Collection[bytes]) -> Frontier:  # noqa: ANN401  as above
    """Return it with more entries, and have what has become whole in the store."""
    after, new = tree.grown(leaves, SUBTREES)
    for leaves_below, number, hash_ in new:
        connection.execute(_ADD_NODE, ((leaves_below.bit_length() - 1) // HEIGHT, number, hash_))
    return after


def catch_up(connect: Callable[[], Any]) -> None:
    """Take along what a program of before has logged, a bounded part in each transaction.

    Raises:
        Failure: STORE, entries are missing.
    """
    try:
        with closing(connect()) as connection:
            tree, size = None, 0
            while tree is None or tree.size < size:
                connection.begin()
                size = LogView(connection).size()
                begun = _load(connection, size) if tree is None else tree
                tree = following(connection, begun, min(size, begun.size + A_STEP))
                connection.end(())
    except TROUBLE as error:
        raise Failure(ErrorCode.STORE, f"the log cannot be read or written now: {error}") from error


def signed(
    connection: Any,  # noqa: ANN401  as above
    tree: Frontier,
    origin: str,
    signer: Signer,
    now_us: int,
    lost: Collection[bytes] = (),
) -> Checkpoint | None:
    """Sign a checkpoint over all that is logged, unless the newest covers it; return it.

    One that covers it is signed anew if it was with one of the lost keys: of a log that rests, whoever comes new would
    be shown nothing else.

    Nothing is signed that does not continue what was signed before: whoever holds an older checkpoint could prove that
    the log was rewritten, and would be right.

    Raises:
        Failure: STORE, it does not continue it; UNAVAILABLE, the key cannot be used now.
    """
    view = LogView(connection)
    before = view.newest()
    if before is not None:
        old = before.checkpoint
        if old.size > tree.size or view.root(old.size) != old.root:
            raise _broken(f"the log of {tree.size} entries does not begin with the {old.size} that were signed")
        if (old.origin, old.size) == (origin, tree.size):
            if not before.is_signed_by(lost):
                return None
            connection.execute(_SIGN_ANEW, (now_us, bytes(old.sign(signer)), old.size, old.origin))
            return old
    elif tree.size == 0:
        return None
    made = Checkpoint(origin, tree.size, tree.root)
    connection.execute(_ADD_CHECKPOINT, (made.size, made.origin, made.root, now_us, bytes(made.sign(signer))))
    return made


def _load(connection: Any, size: int) -> Frontier:  # noqa: ANN401  as above
    """Return where the tree in the store grows on, which may be before its end."""
    (tiles_full,) = connection.execute("SELECT coalesce(max(number) + 1, 0) FROM log_nodes WHERE level = 1").fetchone()
    return tiles.frontier(LogView(connection).hashes, min(tiles_full, size // WIDTH) * WIDTH)


def _read(connection: Any, level: int, start: int, stop: int) -> list[bytes]:  # noqa: ANN401  as above
    """Return the hashes of a level from one number to another, as far as there are any."""
    values: tuple[int, ...]
    if level == 0:
        query, values = _LEAVES_OF_FILE if connection.is_file else _LEAVES_OF_SERVER, (start, stop)
    else:
        query, values = _NODES_OF_FILE if connection.is_file else _NODES_OF_SERVER, (level, start, stop)
    together, count = connection.execute(query, values).fetchone()
    together = bytes(together or b"")
    if len(together) != count * HASH_BYTES:
        raise _broken("what should be a hash is none")
    return [together[at : at + HASH_BYTES] for at in range(0, len(together), HASH_BYTES)]


def _broken(detail: str) -> Failure:
    return Failure(ErrorCode.STORE, f"the log is broken: {detail}")
