"""Opening the store: SQLite for a path, PostgreSQL for an address; with the newest schema.

A node makes its store and brings it up to date; whoever merely looks into it does neither. Refuses with BAD_CONFIG,
fails with STORE. Programs of different versions share a store as long as the migrations let them: the store itself says
which is the oldest that may work on it, and one that is older says so to whoever calls it, until it is replaced. A
store that bears a mark (`moved`) is no node's to work on, nor to look into for how things stand.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from gateway import private_files
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.store.driver import HEAD, TROUBLE, Store, words
from gateway.store.moved import Mark, Word
from gateway.store.postgres import PostgresConnection, PostgresStore
from gateway.store.schema import metadata
from gateway.store.sqlite import SqliteStore

Prepare = Callable[[Store, Engine], None]
MOST_NAMED: Final = 3
"""Tables that are named where none should be."""


def open_store(where: Path | str) -> tuple[Store, Engine]:
    """Open a store, making it or bringing it up to date first.

    Args:
        where: a file, or the address of a database.

    Returns:
        A factory of connections for the writer, and an engine for readers.

    Raises:
        Refusal: BAD_CONFIG, it is not safe there, or there can be no store; or the node's store lies elsewhere.
        Failure: STORE, it cannot be opened now.
    """
    return _opened(where, _check_safe, _check_here, migrate)


def open_there(where: Path | str) -> tuple[Store, Engine]:
    """Open a store that a node has made, and leave its schema alone; as `open_store`, and refuses what is not there.

    Who looks for a store at a wrong place must not find an empty one, in which nothing ever went wrong; nor does who
    looks into it with a newer program change it under a node that runs.
    """
    if isinstance(where, Path) and not where.is_file():
        raise Refusal(ErrorCode.BAD_CONFIG, f"no store {where}", "store")
    return _opened(where, _check_safe, _check_here, _check_migrated)


def store_at(where: Path | str) -> Store:
    """Return the store at a place, whatever it says of itself; nothing is looked at.

    Raises:
        Refusal: BAD_CONFIG, there can be none.
    """
    if isinstance(where, Path) and not where.is_file():
        raise Refusal(ErrorCode.BAD_CONFIG, f"no store {where}", "store")
    store = _at(where)
    store.made()
    return store


def fill(where: Path | str, write: Callable[[Any], None]) -> None:
    """Make a store where nothing is, with what `write` writes into it, or nothing: all is one transaction.

    Args:
        where: a file that is not there, or the address of an empty database.
        write: is given a connection; the tables are there, with what migrations put into them.

    Raises:
        Refusal: as `open_store`; BAD_CONFIG, something is there; and what `write` raises.
        Failure: likewise.
    """
    begun: list[bool] = []
    new = isinstance(where, Path) and _made(where)
    try:
        _, engine = _opened(where, _check_safe, partial(_fill, write, begun))
    except BaseException:
        # But for one that somebody else has used for his own meanwhile.
        if new and begun:
            _unlink(where)
        raise
    engine.dispose()


def empty(where: Path | str, said: str) -> None:
    """Undo `fill`, if the row of `programs` says still what it said then; refuses and fails as `open_store`."""
    _, engine = _opened(where, partial(_empty, said))
    engine.dispose()
    _unlink(where)


def take_back(where: Path | str) -> None:
    """Let a store be the node's again that was moved, once it is put back from a backup of after that.

    Raises:
        Refusal: as `open_store`.
        Failure: as `open_store`.
    """
    _, engine = _opened(where, _take_back)
    engine.dispose()


def said_by(where: Path | str) -> str | None:
    """Return the row of `programs` of the store at a place, empty if what is there has none; None: nothing is there.

    Raises:
        Refusal: as `open_store`.
        Failure: as `open_store`.
    """
    found: list[str | None] = []
    if isinstance(where, Path) and not where.exists():
        SqliteStore(where)  # can be one there?
        return None
    _, engine = _opened(where, lambda _, engine: found.append(_said(engine)))
    engine.dispose()
    return found[0]


def _at(where: Path | str) -> Store:
    return SqliteStore(where) if isinstance(where, Path) else PostgresStore(where)


def _check_safe(store: Store, _: Engine) -> None:
    """Check that what a server calls committed is safe there."""
    if isinstance(store, PostgresStore):
        store.check()


def _opened(where: Path | str, *preparing: Prepare) -> tuple[Store, Engine]:
    store = _at(where)
    engine = store.engine()
    try:
        for prepare in preparing:
            prepare(store, engine)
    except GatewayError:
        engine.dispose()
        raise
    except (*TROUBLE, SQLAlchemyError) as error:
        engine.dispose()
        raise Failure(ErrorCode.STORE, f"cannot open the store {store}: {words(error)}") from error
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
    with engine.connect() as connection:
        # Reading which revision a store has is much cheaper than alembic's own start.
        if _is_migrated(connection):
            return
        connection.rollback()
        # Of processes that start together, one migrates while the others wait.
        with store.migrating(connection):
            _upgrade(store, connection)


def _upgrade(store: Store, connection: Connection) -> None:
    # A start that finds its store up to date would wait for a tenth of its time for this.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"the store {store} is of a newer version: {error}", "store") from error


def _made(path: Path) -> bool:
    """Make a file, its owner's alone; return whether none was there."""
    SqliteStore(path)  # can be one there?
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, private_files.MODE))
    except FileExistsError:
        return False
    except OSError as error:
        raise Failure(ErrorCode.STORE, f"{path} cannot be made: {error.strerror}") from error
    return True


def _fill(write: Callable[[Any], None], begun: list[bool], store: Store, engine: Engine) -> None:
    with engine.connect() as connection, store.migrating(connection):
        if found := inspect(connection).get_table_names():
            detail = f"{store} must be empty, and holds {', '.join(sorted(found)[:MOST_NAMED])}"
            raise Refusal(ErrorCode.BAD_CONFIG, detail, "to")
        begun.append(True)
        _upgrade(store, connection)
        write(asked(connection))


def _empty(said: str, store: Store, engine: Engine) -> None:
    with engine.connect() as connection, store.migrating(connection):
        if connection.exec_driver_sql("SELECT oldest FROM programs").scalar() != said:
            raise Refusal(ErrorCode.BAD_CONFIG, f"{store} is another store by now", "to")
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")


def _take_back(_: Store, engine: Engine) -> None:
    mark = Mark.read(_said(engine))
    if mark is not None and mark.word is Word.MOVED:
        with engine.begin() as connection:
            asked(connection).execute("UPDATE programs SET oldest = ?", (mark.oldest,))


def _said(engine: Engine) -> str | None:
    with engine.connect() as connection:
        found = set(inspect(connection).get_table_names())
        if not found:
            return None
        said = None
        if "programs" in found:
            said = connection.exec_driver_sql("SELECT oldest FROM programs").scalar()
        return "" if said is None else str(said)


def _unlink(where: Path | str) -> None:
    if isinstance(where, Path):
        for suffix in ("", "-wal", "-shm", "-journal"):
            where.with_name(where.name + suffix).unlink(missing_ok=True)


def _check_here(store: Store, engine: Engine) -> None:
    """Check that a store bears no mark; before it is migrated, for that is the node's to do."""
    mark = Mark.read(_said(engine))
    if mark is not None:
        raise Refusal(ErrorCode.BAD_CONFIG, f"{store}: {mark.says}", "store")


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
