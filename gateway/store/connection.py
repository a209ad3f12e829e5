"""Opening the store: a safe SQLite, the right pragmas, the newest schema.

In: the path of a database file. Out: connections that know which file they are of. Refuses with BAD_CONFIG, fails with
STORE. Programs of different versions share a store as long as the migrations let them: the store itself says which is
the oldest that may work on it, and one that is older says so to whoever calls it, until it is replaced.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pysqlite3.dbapi2 as sqlite
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from gateway.errors import ErrorCode, Failure, Refusal

# Below, several connections that write and checkpoint at the same moment can corrupt a WAL (sqlite.org/wal.html,
# "the WAL-reset bug").
SAFE_SQLITE: Final = (3, 51, 3)
BUSY_TIMEOUT_MS: Final = 5000
# Pages are read where the system keeps them, without a call and a copy each: what a case rests on lies on dozens, and
# to look it up takes a third less. Written as ever. A disk that fails under a read ends the process, as a crash does.
MAPPED_BYTES: Final = 1 << 31
_BEGIN: Final = "rogatory_begin"


class StoreConnection(sqlite.Connection):  # type: ignore[misc]  # pysqlite3 has no types
    """A connection that knows which file it has open: the path may come to lead elsewhere, or nowhere."""

    file: "StoreFile"
    of: "Stamp | None"

    def check(self) -> None:
        """Check that what is written now is written into the store.

        Raises:
            Failure: STORE, the file is gone or another, or a newer program has claimed the store for itself.
        """
        if self.of is None or self.file.stamp() != self.of:
            raise Failure(ErrorCode.STORE, f"{self.file.path} is gone, or another file is there")
        oldest = _oldest_program(self)
        if oldest is None or oldest > HEAD:
            detail = f"the store wants programs of version {oldest} or newer, this is {HEAD}: replace this process"
            raise Failure(ErrorCode.STORE, detail)


Stamp = tuple[int, int]


class StoreFile:
    """The database file at a path; calling it opens a connection."""

    def __init__(self, path: Path) -> None:
        """Open nothing yet."""
        self.path = path
        # Once it has been made, a missing one is missing, and no reason to make another.
        self.mode = "rwc"

    def stamp(self) -> Stamp | None:
        """Return which file is there now, or None."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def __call__(self) -> StoreConnection:
        """Open a connection, to be used by one thread at a time: the writer's thread, or a reader's."""
        connection: StoreConnection = sqlite.connect(
            f"{self.path.absolute().as_uri()}?mode={self.mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            factory=StoreConnection,
        )
        try:
            connection.file = self
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            # Before the first page is written; of a store that is there, `compact` alone changes it.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
            connection.of = self.stamp()
        except sqlite.Error:
            connection.close()
            raise
        return connection


def open_store(path: Path) -> tuple[Callable[[], StoreConnection], Engine]:
    """Open the store at `path`, making it or bringing it up to date first.

    Returns:
        A factory of connections for the writer, and an engine for readers.

    Raises:
        Refusal: BAD_CONFIG, SQLite is too old or `path` cannot hold a database.
        Failure: STORE, it cannot be opened now.
    """
    if sqlite.sqlite_version_info < SAFE_SQLITE:
        wanted = ".".join(map(str, SAFE_SQLITE))
        raise Refusal(ErrorCode.BAD_CONFIG, f"SQLite {sqlite.sqlite_version} is unsafe; {wanted} or newer is needed")
    if not path.parent.is_dir():
        raise Refusal(ErrorCode.BAD_CONFIG, f"no folder {path.parent} for the store", "store")
    connect = StoreFile(path)
    engine = create_engine("sqlite://", creator=connect, module=sqlite, poolclass=QueuePool, pool_size=4)
    # pysqlite would begin transactions by itself, and late; SQLAlchemy's documentation gives this remedy.
    event.listen(
        engine, "begin", lambda opened: opened.exec_driver_sql(opened.get_execution_options().get(_BEGIN, "BEGIN"))
    )
    event.listen(engine, "checkout", _check_out)
    try:
        migrate(engine)
    except (sqlite.Error, SQLAlchemyError) as error:
        raise Failure(ErrorCode.STORE, f"cannot open the store {path}: {error}") from error
    except CommandError as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"the store {path} is of a newer version: {error}", "store") from error
    connect.mode = "rw"
    return connect, engine


def _check_out(opened: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401  pysqlite3 has no types
    """Have readers connect anew if the path leads elsewhere by now."""
    if opened.file.stamp() != opened.of:
        raise DisconnectionError


def _oldest_program(connection: Any) -> str | None:  # noqa: ANN401  untyped
    row = connection.execute("SELECT oldest FROM programs").fetchone()
    return None if row is None else str(row[0])


def compact(path: Path) -> tuple[int, int]:
    """Rewrite a store without its holes, so that from then on it gives space back; return its bytes before and after.

    Raises:
        Refusal: BAD_CONFIG, there is none.
        Failure: STORE, somebody writes to it, or the disk is full. It is as it was.
    """
    if not path.is_file():
        raise Refusal(ErrorCode.BAD_CONFIG, f"no store {path}", "store")
    before = path.stat().st_size
    try:
        with closing(sqlite.connect(str(path), isolation_level=None)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite.Error as error:
        raise Failure(ErrorCode.STORE, f"the store {path} cannot be rewritten now: {error}") from error
    return before, path.stat().st_size


def migrate(engine: Engine) -> None:
    """Bring the schema up to date."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        # Reading which revision a store has is much cheaper than alembic's own start.
        if inspect(connection).has_table("alembic_version"):
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            if found == HEAD or (found is not None and found > HEAD and _takes_us(connection)):
                return
        connection.rollback()
        # Of processes that start together, one migrates while the others wait. Begun here: alembic by itself commits
        # after each migration, and another process would do the next one too.
        connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        # SQLite changes a table by making it anew, and what names its rows must bear that they are gone for a moment.
        driver: Any = connection.connection.driver_connection  # before it begins, for afterwards it hears no such word
        driver.execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise CommandError("a row would name another that is not there")
        driver.execute("PRAGMA foreign_keys = ON")


def _takes_us(connection: Connection) -> bool:
    """Whether a store that a newer program has migrated may still be worked on by this one."""
    if not inspect(connection).has_table("programs"):
        return False
    oldest = connection.exec_driver_sql("SELECT oldest FROM programs").scalar()
    return oldest is not None and oldest <= HEAD


# A migration that older programs cannot live with writes its own number into `programs.oldest`; all others leave it.
HEAD: Final = "0008"
