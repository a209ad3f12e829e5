"""Opening the store: a safe SQLite, the right pragmas, the newest schema."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pysqlite3.dbapi2 as sqlite
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError
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


def open_store(path: Path) -> tuple[Callable[[], Any], Engine]:
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

    def connect() -> Any:  # noqa: ANN401  pysqlite3 has no types
        # Each connection is used by one thread at a time: the writer's thread, or a reader's.
        connection = sqlite.connect(str(path), isolation_level=None, check_same_thread=False, cached_statements=256)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
        return connection

    engine = create_engine("sqlite://", creator=connect, module=sqlite, poolclass=QueuePool, pool_size=4)
    # pysqlite would begin transactions by itself, and late; SQLAlchemy's documentation gives this remedy.
    event.listen(
        engine, "begin", lambda opened: opened.exec_driver_sql(opened.get_execution_options().get(_BEGIN, "BEGIN"))
    )
    try:
        migrate(engine)
    except (sqlite.Error, SQLAlchemyError) as error:
        raise Failure(ErrorCode.STORE, f"cannot open the store {path}: {error}") from error
    except CommandError as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"the store {path} is of a newer version: {error}", "store") from error
    return connect, engine


def migrate(engine: Engine) -> None:
    """Bring the schema up to date."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        # Reading which revision a store has is much cheaper than alembic's own start.
        if inspect(connection).has_table("alembic_version"):
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            if found == HEAD:
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


HEAD: Final = "0007"
