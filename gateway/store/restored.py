"""A store that was put back from a backup: what it may have forgotten must not become a lie.

In: a store. Out: the same, marked; or a node that may serve from it. Refuses with BAD_CONFIG to serve from a marked one
without an explicit word; fails with STORE. See docs/retention.md for what is lost, and who has it still.

Since the backup, copies that wait here may have gone out, been collected, have expired. So each of them is in doubt:
its destination is asked, and until it answers nobody says that it expired (`lifecycle`). And the log that goes on from
here is not the one that was lost: its first entries are noted with their root, and what comes after is another log.
"""

from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, Final

from gateway import lifecycle, merkle
from gateway.clock import from_micros
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.lifecycle import Event, State
from gateway.store.driver import TROUBLE
from gateway.store.schema import PENDING_SQL

_KNOWN_SINCE: Final = "0008"
"""The version of the store from which programs on know of restorations."""
_DOUBT: Final = lifecycle.advance(lifecycle.advance(State.QUEUED, Event.LEASE), Event.FAIL_UNKNOWN).value
_TELL: Final = f"""
    INSERT INTO events (at_us, sender, envelope_id, name, actor, destination, code, detail, stages)
    SELECT ?, e.sender, e.id, 'delivery.doubted', '', d.destination, 0, ?, ''
    FROM deliveries d JOIN envelopes e ON e.seq = d.envelope_seq WHERE d.state IN {PENDING_SQL} ORDER BY d.seq
"""  # noqa: S608  built from the states of lifecycle.py, nothing from outside
_DOUBT_ALL: Final = f"""
    UPDATE deliveries SET state = '{_DOUBT}', attempts = CASE attempts WHEN 0 THEN 1 ELSE attempts END,
      next_attempt_at_us = ?, lease_holder = '', lease_until_us = 0, last_error = ?
    WHERE state IN {PENDING_SQL}
"""  # noqa: S608  as above


def log_of(connection: Any) -> tuple[int, bytes]:  # noqa: ANN401  pysqlite3 has no types
    """Return how many entries the log has, and the root over them."""
    size = connection.execute("SELECT count(*) FROM log_entries").fetchone()[0]
    leaves = connection.execute("SELECT leaf_hash FROM log_entries ORDER BY position")
    return size, merkle.root(leaf for (leaf,) in leaves)


def mark(connection: Any, backup_made_at_us: int, now_us: int) -> None:  # noqa: ANN401  as above
    """Note that a store was put back."""
    size, root = log_of(connection)
    connection.execute(
        "INSERT INTO restorations (restored_at_us, backup_made_at_us, log_size, log_root) VALUES (?, ?, ?, ?)",
        (now_us, backup_made_at_us, size, root),
    )
    # An older program would not see the mark, and serve.
    connection.execute("UPDATE programs SET oldest = ? WHERE oldest < ?", (_KNOWN_SINCE, _KNOWN_SINCE))


def take_up(connect: Callable[[], Any], now_us: int, *, told: bool) -> int | None:
    """Let a node serve from a store, if nothing speaks against it.

    Args:
        connect: makes a connection that may write.
        now_us: the time.
        told: whether the operator has said that it was restored.

    Returns:
        How many copies are in doubt now; None if it was not restored since it was taken up last.

    Raises:
        Refusal: BAD_CONFIG, it was restored and nobody said so.
        Failure: STORE, it cannot be read or written now; then it is as it was.
    """
    try:
        with closing(connect()) as connection:
            connection.begin()
            try:
                connection.check()
                doubted = _take_up(connection, now_us, told=told)
            except BaseException:
                with suppress(*TROUBLE):
                    connection.abandon()
                raise
            connection.end(())
            return doubted
    except TROUBLE as error:
        raise Failure(ErrorCode.STORE, f"the store cannot be taken up now: {error}") from error


def _take_up(connection: Any, now_us: int, *, told: bool) -> int | None:  # noqa: ANN401  as above
    row = connection.execute("SELECT max(backup_made_at_us) FROM restorations WHERE taken_up_at_us IS NULL").fetchone()
    if row[0] is None:
        return None
    why = f"restored from a backup of {from_micros(row[0]):%Y-%m-%d %H:%M:%S} UTC"
    if not told:
        detail = f"the store was {why}, and may have forgotten what came after; to serve from it, say --after-restore"
        raise Refusal(ErrorCode.BAD_CONFIG, detail, "store")
    connection.execute(_TELL, (now_us, why))
    doubted: int = connection.execute(_DOUBT_ALL, (now_us, why)).rowcount
    connection.execute("UPDATE restorations SET taken_up_at_us = ? WHERE taken_up_at_us IS NULL", (now_us,))
    return doubted
