"""Opening the store: SQLite for a path, PostgreSQL for an address; with the newest schema.

A node makes its store and brings it up to date; whoever merely looks into it does neither. Refuses with BAD_CONFIG,
fails with STORE. Programs of different versions share a store as long as the migrations let them: the store itself says
which is the oldest that may work on it, and one that is older says so to whoever calls it, until it is replaced.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import ErrorCode, Failure, Refusal
from gateway.store.driver import HEAD, TROUBLE, Store, words
from gateway.store.postgres import PostgresConnection, PostgresStore
from gateway.store.sqlite import SqliteStore


def open_store(where: Path | str) -> tuple[Store, Engine]:
    """Open a store, making it or bringing it up to date first.

    Args:
        where: a file, or the address of a database.

    Returns:
        A factory of connections for the writer, and an engine for readers.

    Raises:
        Refusal: BAD_CONFIG, it is not safe there, or there can be no store.
        Failure: STORE, it cannot be opened now.
    """
    return _opened(where, migrate)


def open_there(where: Path | str) -> tuple[Store, Engine]:
    """Open a store that a node has made, and leave its schema alone; as `open_store`, and refuses what is not there.

    Who looks for a store at a wrong place must not find an empty one, in which nothing ever went wrong; nor does who
    looks into it with a newer program change it under a node that runs.
    """
    if isinstance(where, Path) and not where.is_file():
        raise Refusal(ErrorCode.BAD_CONFIG, f"no store {where}", "store")
    return _opened(where, _check_migrated)


def _opened(where: Path | str, prepare: Callable[[Store, Engine], None]) -> tuple[Store, Engine]:
    store: Store
    if isinstance(where, Path):
        store = SqliteStore(where)
    else:
        store = PostgresStore(where)
        store.check()
    engine = store.engine()
    try:
        prepare(store, engine)
    except Refusal:
        engine.dispose()
        raise
    except (*TROUBLE, SQLAlchemyError) as error:
        engine.dispose()
        raise Failure(ErrorCode.STORE, f"cannot open the store {store}: {words(error)}") from error
    except CommandError as error:
        engine.dispose()
        raise Refusal(ErrorCode.BAD_CONFIG, f"the store {store} is of a newer version: {error}", "store") from error
    store.made()
    return store, engine


def probe(address: str) -> None:
    """Check that a database can be reached and is safe, and change nothing; refuses and fails as `open_store`."""
    PostgresStore(address).check()


def asked(engine_connection: Any) -> Any:  # noqa: ANN401  what the drivers give has no common type
    """Return what takes our SQL, in the transaction of a connection of SQLAlchemy's."""
    raw = engine_connection.connection.driver_connection
    return PostgresConnection(raw) if isinstance(raw, psycopg.Connection) else raw


def migrate(store: Store, engine: Engine) -> None:
    """Bring the schema up to date."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        # Reading which revision a store has is much cheaper than alembic's own start.
        if _is_migrated(connection):
            return
        connection.rollback()
        # Of processes that start together, one migrates while the others wait.
        with store.migrating(connection):
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _check_migrated(store: Store, engine: Engine) -> None:
    store.made()  # so that nothing is made here
    with engine.connect() as connection:
        if not _is_migrated(connection):
            detail = f"the store {store} is of another version; a node that starts brings an older one up to date"
            raise Refusal(ErrorCode.BAD_CONFIG, detail, "store")


def _is_migrated(connection: Connection) -> bool:
    """Whether a store can be worked on as it is."""
    if not inspect(connection).has_table("alembic_version"):
        return False
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found == HEAD or (found is not None and found > HEAD and _takes_us(connection))


def _takes_us(connection: Connection) -> bool:
    """Whether a store that a newer program has migrated may still be worked on by this one."""
    if not inspect(connection).has_table("programs"):
        return False
    oldest = connection.exec_driver_sql("SELECT oldest FROM programs").scalar()
    return oldest is not None and oldest <= HEAD
