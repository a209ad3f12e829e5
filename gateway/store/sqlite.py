"""SQLite, the store of a node on one machine: no server, one file, one writer at a time among all processes.

In: a file. Out: connections for the writer, an engine for readers, and news of what other processes have committed.
Refuses with BAD_CONFIG: an SQLite that can corrupt what it keeps, a missing folder.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import pysqlite3.dbapi2 as sqlite
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import QueuePool

from gateway.errors import ErrorCode, Failure, Refusal
from gateway.store.alternating import Turns
from gateway.store.bells import Bells
from gateway.store.driver import check_program, insertion
from gateway.store.wal import MOST_PAGES, Checkpointer

# Below, several connections that write and checkpoint at the same moment can corrupt a WAL (sqlite.org/wal.html,
# "the WAL-reset bug").
SAFE_SQLITE: Final = (3, 51, 3)
BUSY_TIMEOUT_MS: Final = 5000
"""For so long a writer waits for others: half of it for its turn, half for those who take none."""

# Pages are read where the system keeps them, without a call and a copy each: what a case rests on lies on dozens, and
# to look it up takes a third less. Written as ever. A disk that fails under a read ends the process, as a crash does.
MAPPED_BYTES: Final = 1 << 31
BEGIN: Final = "rogatory_begin"
"""Execution option of SQLAlchemy's connections: how a transaction begins."""


_AT_ONCE: Final = (64, 16, 4, 1)
"""Rows of one statement: few lengths, so that each is prepared once."""

# Of a value that is no whole number, float or text, pysqlite looks for an adapter; where it has none it asks the value
# by two attributes, which no bytes have, and that takes ten times as long as all else. So they have one, which gives
# them back as they are: bytes(b) is b.
sqlite.register_adapter(bytes, bytes)
sqlite.register_adapter(type(None), {}.get)


Stamp = tuple[int, int]


class SqliteConnection(sqlite.Connection):  # type: ignore[misc]  # pysqlite3 has no types
    """A connection that knows which file it has open: the path may come to lead elsewhere, or nowhere.

    See `driver.Connection`.
    """

    is_file = True
    bells: Bells | None = None
    file: "SqliteStore"
    of: "Stamp | None"

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  pysqlite3's own
        super().__init__(*args, **options)
        self._questions = self.cursor()
        self.turns = Turns(None)
        self.checkpointer = Checkpointer()

    def take_turn(self) -> None:
        """Let whoever waits write first; `turns.leave` ends the turn."""
        self.turns.take(BUSY_TIMEOUT_MS / 2000)

    def begin(self) -> None:
        """Begin to write; nobody else does until it ends."""
        self.take_turn()
        try:
            self.execute("BEGIN IMMEDIATE")
        except BaseException:
            self.turns.leave()
            raise

    def end(self, wake: Collection[str]) -> None:
        """Commit, and tell other processes what is new."""
        self.execute("COMMIT")
        self.checkpointer.look(self)
        self.turns.leave()
        if self.bells is not None:
            self.bells.ring(wake)

    def abandon(self) -> None:
        """Undo what was written since it began."""
        try:
            self.execute("ROLLBACK")
        finally:
            self.turns.leave()

    def close(self) -> None:
        """Close it; undone is what was not committed."""
        try:
            self.checkpointer.close()
            super().close()
        finally:
            # It names this connection, and Python's collector cannot look into either.
            self._questions = None
            self.turns.close()

    def ask(self, text: str, values: Sequence[Any]) -> list[Any]:
        """Run one question; return all rows of the answer."""
        # With one cursor for all of them: to make another takes a third of a short question's time.
        rows: list[Any] = self._questions.execute(text, values).fetchall()
        return rows

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table, in that order."""
        # Many in one statement: `executemany` gives the interpreter lock away and waits for it again at each row.
        start = 0
        while start < len(rows):
            size = next(size for size in _AT_ONCE if size <= len(rows) - start)
            some = rows[start : start + size]
            self.execute(insertion(table, tuple(columns), size), list(chain.from_iterable(some)))
            start += size

    def pour(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """See `driver.Connection`."""
        coming = iter(rows)
        while some := list(islice(coming, _AT_ONCE[0])):
            self.insert(table, columns, some)

    def check(self) -> None:
        """See `driver.Connection`."""
        if self.of is None or self.file.stamp() != self.of:
            raise Failure(ErrorCode.STORE, f"{self.file} is gone, or another file is there")
        check_program(self)


class SqliteStore:
    """One file; see `driver.Store`."""

    def __init__(self, path: Path) -> None:
        if sqlite.sqlite_version_info < SAFE_SQLITE:
            wanted = ".".join(map(str, SAFE_SQLITE))
            raise Refusal(
                ErrorCode.BAD_CONFIG, f"SQLite {sqlite.sqlite_version} is unsafe; {wanted} or newer is needed"
            )
        if not path.parent.is_dir():
            raise Refusal(ErrorCode.BAD_CONFIG, f"no folder {path.parent} for the store", "store")
        self._path = path
        self._bells = Bells(path)
        self._mode = "rwc"

    def __str__(self) -> str:
        return str(self._path)

    def stamp(self) -> Stamp | None:
        """Return which file is there now, or None."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def made(self) -> None:
        """See `driver.Store`."""
        self._mode = "rw"

    def __call__(self) -> SqliteConnection:
        """Return a new connection, used by one thread at a time: the writer's, or a reader's."""
        connection: SqliteConnection = sqlite.connect(
            f"{self._path.absolute().as_uri()}?mode={self._mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            factory=SqliteConnection,
        )
        try:
            connection.file = self
            connection.bells = self._bells
            connection.turns = Turns(self._path)
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS // 2}")
            if self._mode == "rwc":
                # Before the first page is written; of a store that is there, `compact` alone changes it. Not later:
                # this one begins to write, and would wait for whoever writes now.
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {MOST_PAGES}")
            connection.of = self.stamp()
        except sqlite.Error:
            connection.close()
            raise
        return connection

    def alone(self) -> SqliteConnection:
        """See `driver.Store`."""
        connection: SqliteConnection = sqlite.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=0,
            isolation_level=None,
            factory=SqliteConnection,
        )
        try:
            connection.file, connection.of = self, self.stamp()
            # Before the first look: then nobody has the file open beside it, not even to read (sqlite.org/wal.html,
            # "Use of WAL Without Shared-Memory").
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite.Error as error:
            connection.close()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite.SQLITE_BUSY:
                raise
            detail = f"somebody has the store {self} open: stop the node, with all that reads its store"
            raise Failure(ErrorCode.STORE, detail) from error
        return connection

    def compact(self) -> tuple[int, int]:
        """See `driver.Store`. From then on, it gives space back while the node serves."""
        before = self._path.stat().st_size
        try:
            with closing(sqlite.connect(str(self._path), isolation_level=None)) as connection:
                connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite.Error as error:
            raise Failure(ErrorCode.STORE, f"the store {self} cannot be rewritten now: {error}") from error
        return before, self._path.stat().st_size

    def engine(self) -> Engine:
        """Return an engine for readers, which never block the writer (WAL)."""
        engine = create_engine("sqlite://", creator=self, module=sqlite, poolclass=QueuePool, pool_size=4)
        # pysqlite would begin transactions by itself, and late; SQLAlchemy's documentation gives this remedy.
        event.listen(
            engine, "begin", lambda opened: opened.exec_driver_sql(opened.get_execution_options().get(BEGIN, "BEGIN"))
        )
        event.listen(engine, "checkout", _check_out)
        return engine

    @contextmanager
    def migrating(self, opened: Any) -> Iterator[None]:  # noqa: ANN401  SQLAlchemy's connection
        """See `driver.Store`."""
        # Begun here: alembic by itself commits after each migration, and another process would do the next one too.
        opened.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        # SQLite changes a table by making it anew, and what names its rows must bear that they are gone for a moment.
        driver = opened.connection.driver_connection  # before it begins, for afterwards it hears no such word
        driver.execute("PRAGMA foreign_keys = OFF")
        driver.take_turn()
        try:
            with opened.begin():
                yield
                if opened.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                    raise sqlite.IntegrityError("a row would name another that is not there")
        finally:
            driver.turns.leave()
        driver.execute("PRAGMA foreign_keys = ON")

    async def listen(self, ring: Callable[[set[str] | None], None]) -> None:
        """Tell what other processes have committed, until cancelled."""
        await self._bells.listen(ring)


def _check_out(opened: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401  pysqlite3 has no types
    """Have readers connect anew if the path leads elsewhere by now."""
    if opened.file.stamp() != opened.of:
        raise DisconnectionError
