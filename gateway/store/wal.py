"""Keeps SQLite's write-ahead log short beside the writer, so that commits need not.

In: a look after each commit. Out: what is in the log is copied to its place in the file, by a thread with a connection
of its own (sqlite.org/wal.html, section 3.1). SQLite by itself has the commit do it that finds a thousand pages in the
log, and whoever waits for that commit waits for the disk once more; the longer, the further apart those pages lie, and
they lie apart, for what is looked up by a hash or a keyed token comes in no order.

Nothing rests on it. A commit that finds MOST_PAGES in the log does as ever; and must, for only when all of the log is
in its place does the next one begin the log anew, and beside a writer that never rests there is always something left.
These checkpoints are SQLite's; the signed ones of the transparency log are checkpoint.py's.
"""

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, Final

import pysqlite3.dbapi2 as sqlite

PAGES: Final = 1000
"""So many in the log are worth a walk; as SQLite has it by itself."""

MOST_PAGES: Final = 8000
"""32 MiB of 4 KiB each: what is left for a commit to do then is a small part of it."""


class Checkpointer:
    """Of one connection that writes."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def look(self, connection: Any) -> None:  # noqa: ANN401  an SqliteConnection; pysqlite3 has no types
        """Have the log copied, if much is in it. Call it after a commit, which must not fail of it: it never raises."""
        with suppress(sqlite.Error, RuntimeError):  # the latter: there can be no more threads
            ((_, logged, copied),) = connection.ask("PRAGMA wal_checkpoint(NOOP)", ())
            if logged - copied >= PAGES:
                self._want(connection.file)

    def close(self) -> None:
        """End what it does."""
        self._closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _want(self, connect: Callable[[], Any]) -> None:
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=[connect], name="checkpointer", daemon=True)
            self._thread.start()

    def _run(self, connect: Callable[[], Any]) -> None:
        with suppress(sqlite.Error), closing(connect()) as connection:
            while self._wanted.wait() and not self._closed:
                self._wanted.clear()
                # What fails now may not the next time; if it always does, the writer's commits tell.
                with suppress(sqlite.Error):
                    connection.ask("PRAGMA wal_checkpoint(PASSIVE)", ())
