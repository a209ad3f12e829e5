"""Keeps SQLite's write-ahead log short beside the writer, so that commits need not.

In: a look after each commit. Out: what is in the log is copied to its place in the file, by a thread with a connection
of its own (sqlite.org/wal.html, section 3.1). SQLite by itself has the commit do it that finds a thousand pages in the
log, and whoever waits for that commit waits for the disk once more; the longer, the further apart those pages lie, and
they lie apart, for what is looked up by a hash or a keyed token comes in no order.

Only when all of the log is in its place does the next commit begin it anew, and beside a writer that never rests there
is always something left. So a writer that finds MOST_PAGES in the log waits for the thread and copies the rest itself:
nothing but speed rests on the thread, and no disk is too slow for a log that ends.
These checkpoints are SQLite's; the signed ones of the transparency log are checkpoint.py's.
"""

import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final

import pysqlite3.dbapi2 as sqlite

PAGES: Final = 1000
"""So many in the log are worth a walk; as SQLite has it by itself."""

MOST_PAGES: Final = 8000
"""32 MiB of 4 KiB each: what is left for the writer to do then is a small part of it."""

_COPY: Final = "PRAGMA wal_checkpoint(PASSIVE)"


class Checkpointer:
    """Of one connection that writes."""

    def __init__(self) -> None:
        self._wanted: SimpleQueue[str | None] = SimpleQueue()  # what to do; None: nothing more
        self._copying = threading.Lock()
        self._thread: threading.Thread | None = None

    def look(self, connection: Any) -> None:  # noqa: ANN401  an SqliteConnection; pysqlite3 has no types
        """Have the log copied, if much is in it.

        Call it after a commit, before others may write. That commit must not fail of it: it never raises.
        """
        with suppress(sqlite.Error, RuntimeError):  # the latter: there can be no more threads
            ((_, logged, copied),) = connection.ask("PRAGMA wal_checkpoint(NOOP)", ())
            if logged >= MOST_PAGES:
                with self._copying:  # or SQLite would tell us that it is busy, again and again
                    connection.ask(_COPY, ())
            elif logged - copied >= PAGES:
                self._want(connection)

    def close(self) -> None:
        """End what it does."""
        if self._thread is not None:
            self._wanted.put(None)
            self._thread.join()

    def _want(self, connection: Any) -> None:  # noqa: ANN401  as above
        if self._wanted.empty():
            self._wanted.put(_COPY)
        if self._thread is None:
            thread = threading.Thread(target=self._run, args=[connection], name="checkpointer", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self, writing: Any) -> None:  # noqa: ANN401  as above
        own: Any = None
        while (wanted := self._wanted.get()) is not None:
            # What fails now may not the next time; if it always does, the writer's commits tell.
            with suppress(sqlite.Error):
                own = own or writing.file()
                if own.of == writing.of:  # or the path leads to another store by now, and that is not ours to change
                    with self._copying:
                        own.ask(wanted, ())
        if own is not None:
            own.close()
