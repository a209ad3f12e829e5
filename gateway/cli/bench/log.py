"""What the log costs as it grows: an entry more, and proofs.

In: sizes, how many rounds. Out: for each size microseconds of the processor for one entry, for an inclusion and a
consistency proof and for a checkpoint, medians over the rounds; bytes of the store an entry.

The store is a real one, in a file; its tree is made by the node's own code. The entries themselves are random digests
without an envelope, for ten million of those would take hours to be sent. An entry is measured in batches of 128, as
the writer commits them, and not kept; proofs are of entries drawn at random, each of a fresh view, as at the door.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from statistics import median
from time import thread_time
from typing import Any, Final

from nacl.signing import SigningKey

from gateway.cli.bench.figures import MICROSECONDS
from gateway.clock import system_clock, to_micros
from gateway.merkle import leaf_hash
from gateway.signer import KeySigner
from gateway.store import log, open_store
from gateway.store.log import LogView

BATCH: Final = 128
PROOFS: Final = 50
"""Asked for in a round."""
_FILLED_AT_ONCE: Final = 1_000_000
_SEED: Final = 7
_ORIGIN: Final = "bench.example/log"
_FILL: Final = """
    INSERT INTO log_entries (position, leaf_hash, envelope_seq)
    WITH RECURSIVE new(position) AS (SELECT ? UNION ALL SELECT position + 1 FROM new WHERE position < ?)
    SELECT position, randomblob(32), position FROM new
"""
FIGURES: Final = ("entry_us", "inclusion_us", "consistency_us", "checkpoint_us")


def measure(folder: Path, sizes: Sequence[int], rounds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return what the log costs at each of these sizes.

    Args:
        folder: the store is made in it.
        sizes: numbers of entries, ascending.
        rounds: over which medians are taken.
        tell: told how far it has come.
    """
    path, found = folder / "log.db", {}
    connect, engine = open_store(path)
    engine.dispose()
    with closing(connect()) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")  # there are no envelopes
        for size in sizes:
            tell(f"  a log of {size} entries")
            _fill(connection, size)
            log.catch_up(connect)
            chances = [Random(_SEED + number) for number in range(rounds)]  # noqa: S311  the same in every run
            taken = [_round(connection, size, chance) for chance in chances]
            found[str(size)] = {name: median(each[name] for each in taken) for name in FIGURES} | {
                "bytes_per_entry": path.stat().st_size / size
            }
    return {"rounds": rounds, "sizes": [*sizes], "of_size": found}


def _fill(connection: Any, size: int) -> None:  # noqa: ANN401  pysqlite3 has no types
    (has,) = connection.execute("SELECT coalesce(max(position), 0) FROM log_entries").fetchone()
    while has < size:
        until = min(size, has + _FILLED_AT_ONCE)
        connection.begin()
        connection.execute(_FILL, (has + 1, until))
        connection.end(())
        has = until
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _round(connection: Any, size: int, chance: Random) -> dict[str, float]:  # noqa: ANN401  as above
    leaves = [leaf_hash(chance.randbytes(32)) for _ in range(BATCH)]
    connection.begin()
    try:
        tree = log.following(connection, None, size)
        begin = thread_time()
        log.grown(connection, tree, leaves)
        connection.insert(
            "log_entries",
            ("position", "leaf_hash", "envelope_seq"),
            [(number, leaf, number) for number, leaf in enumerate(leaves, size + 1)],
        )
        entry = (thread_time() - begin) / BATCH
        begin = thread_time()
        log.signed(connection, tree, _ORIGIN, KeySigner(SigningKey(bytes(32))), to_micros(system_clock()))
        checkpoint = thread_time() - begin
    finally:
        connection.abandon()
    return {
        "entry_us": entry * MICROSECONDS,
        "checkpoint_us": checkpoint * MICROSECONDS,
        "inclusion_us": _each(connection, lambda view: view.inclusion(chance.randint(1, size), size)),
        "consistency_us": _each(connection, lambda view: view.consistency(chance.randint(1, size), size)),
    }


def _each(connection: Any, ask: Callable[[LogView], object]) -> float:  # noqa: ANN401  as above
    begin = thread_time()
    for _ in range(PROOFS):
        ask(LogView(connection))
    return (thread_time() - begin) / PROOFS * MICROSECONDS
