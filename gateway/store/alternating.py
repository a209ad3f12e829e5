"""Whose turn it is to write, among the processes of one node that share an SQLite file.

In: who wants to write, and for how long it waits. Out: its turn, or none. SQLite by itself sleeps, longer each time,
and looks again; whoever has just committed is back before anybody wakes, so one process writes and the others starve.
Here whoever waits stands at the head of the line, and who has just written finds that taken: they alternate.

Only order rests on it. What keeps writers apart is BEGIN IMMEDIATE, with a turn or without one; and a lock ends with
its process. Locks are those of fcntl(2) on two bytes of a file beside the store: connections of one process have them
in common, and so take no turns among themselves.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final

HEAD: Final = 0
"""The byte of who stands at the head of the line."""

TURN: Final = 1
"""The byte of whose turn it is."""

LOOK_SECONDS: Final = 0.0005
"""How often who waits looks: a small part of what a batch takes."""


NOWHERE: Final = Path(os.devnull, "turns")
"""Where no file can be, and so no turns."""


def file_of(store: Path) -> Path:
    """Return the file whose bytes are locked."""
    return store.with_name(f"{store.name}-turns")


class Turns:
    """The turns of one connection that writes.

    Args:
        store: the file that is written; None: it is no file, and nobody waits for anybody.
    """

    def __init__(self, store: Path | None) -> None:
        self._path = NOWHERE if store is None else file_of(store)
        self._opened: int | None = None

    def take(self, seconds: float) -> None:
        """Wait for a turn, and for no longer than that: a process that stands still must not hold up all others."""
        try:
            self._open()
            until = monotonic() + seconds
            if not (self._lock(HEAD, until) and self._lock(TURN, until)):
                # Somebody stands still. Let everybody stand in another line, or each would wait so long each time.
                self._path.unlink()
        except OSError:
            pass  # no room for a file, or no locks there: SQLite's own way to wait is still one
        finally:
            self._unlock(HEAD)

    def leave(self) -> None:
        """End the turn."""
        self._unlock(TURN)

    def close(self) -> None:
        """End everything, and leave no file; whoever has it open finds another when it next wants a turn."""
        if self._opened is not None:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._opened)
            self._opened = None

    def _open(self) -> None:
        if self._opened is not None and not os.fstat(self._opened).st_nlink:
            os.close(self._opened)
            self._opened = None
        if self._opened is None:
            self._opened = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _lock(self, byte: int, until: float) -> bool:
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except BlockingIOError:
                if monotonic() >= until:
                    return False
                sleep(LOOK_SECONDS)
            else:
                return True

    def _unlock(self, byte: int) -> None:
        with suppress(OSError):
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)

    @property
    def _file(self) -> int:
        if self._opened is None:
            raise OSError("not opened")
        return self._opened
