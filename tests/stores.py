"""Where the stores of tests lie: in files, or in databases on a PostgreSQL server of this test process.

A test asks for nothing: under `using("postgres")` the same federation has databases. Whoever looks into a store from
outside asks in the store's own SQL, with `?`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import psycopg
import pysqlite3.dbapi2 as sqlite

from gateway import config
from gateway.cli.development import Summary
from gateway.config import NodeConfig
from gateway.store import open_store
from tests import postgres

Place: TypeAlias = Path | str
ENGINES = ("sqlite", "postgres")
DEPOT = '\n[attachments]\nfolder = "store/node.db.attachments"\n'
"""What a store in a database leaves to be said."""
_STORE = re.compile(r'^store = ".*"$', re.MULTILINE)


class _Engine:
    """The engine of the test that runs, and what it has made."""

    name = "sqlite"
    databases: list[str] = []  # noqa: RUF012  there is one


@contextmanager
def using(engine: str) -> Iterator[None]:
    """Have stores be of that engine; remove the databases at the end."""
    before, _Engine.name = _Engine.name, engine
    try:
        yield
    finally:
        _Engine.name = before
        for name in _Engine.databases:
            postgres.server().sql(f'DROP DATABASE "{name}" WITH (FORCE)')
        _Engine.databases.clear()


def is_postgres() -> bool:
    return _Engine.name == "postgres"


def open_at_once(barrier: Barrier, store: Place) -> None:
    """Open a store when all others who were given the barrier do so; a process of its own."""
    barrier.wait(60)
    open_store(store)[1].dispose()


def place(file: Path) -> Place:
    """Return where an empty store is: in that file, or in a new database."""
    if not is_postgres():
        file.write_bytes(empty_file())
        return file
    name = postgres.new_database(_template())
    _Engine.databases.append(name)
    return postgres.server().dsn(name)


def fresh(file: Path) -> Place:
    """Return where nothing is yet."""
    if not is_postgres():
        return file
    _Engine.databases.append(postgres.new_database())
    return postgres.server().dsn(_Engine.databases[-1])


def move(summary: Summary, nodes: Iterable[str]) -> None:
    """Give the nodes of a federation that nobody has started yet empty stores, in databases if that is wanted."""
    for code in nodes:
        settings = summary.config(f"{code}/node")
        file = of(settings)
        assert isinstance(file, Path)
        where = place(file)
        if where == file:
            continue
        text, found = _STORE.subn(f'store = "{where}"', settings.read_text())
        assert found == 1
        settings.write_text(text + DEPOT)


def of(settings: Path) -> Place:
    """Return where the store of a node is, by its settings."""
    return config.load(NodeConfig, settings).store


def missing() -> str:
    """Return the address of a database that is not there."""
    return postgres.server().dsn("nowhere")


class _Asked:
    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._raw = raw

    def execute(self, text: str, values: Sequence[object] = ()) -> Any:
        return self._raw.execute(text.replace("?", "%s").encode(), values or None)

    def close(self) -> None:
        self._raw.close()


def connect(store: Place) -> Any:
    """Return a connection that takes SQL with `?` and commits each statement."""
    if isinstance(store, Path):
        return sqlite.connect(str(store), isolation_level=None, timeout=10)
    return _Asked(psycopg.connect(store, autocommit=True))


def rows(store: Place, text: str, *values: object) -> list[tuple[Any, ...]]:
    """Run one statement; return its rows."""
    with closing(connect(store)) as opened:
        cursor = opened.execute(text, values)
        return list(cursor.fetchall()) if cursor.description else []


def break_inserts(store: Place, table: str) -> None:
    """Let a table take no more rows."""
    if isinstance(store, Path):
        rows(store, f"CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'disk on fire'); END")
        return
    rows(
        store,
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'disk on fire' USING ERRCODE = 'integrity_constraint_violation'; END $$",
    )
    rows(store, f"CREATE TRIGGER broken BEFORE INSERT ON {table} EXECUTE FUNCTION broken()")


def become_newer(store: Place, oldest: str) -> None:
    """Do what a migration of a later version does: a column more, and its word on who may still work."""
    more = "of_tomorrow INTEGER NOT NULL DEFAULT 7"
    if not isinstance(store, Path):
        rows(store, f"ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS {more}")
    elif "of_tomorrow" not in [row[1] for row in rows(store, "PRAGMA table_info(deliveries)")]:
        rows(store, f"ALTER TABLE deliveries ADD COLUMN {more}")
    rows(store, "UPDATE alembic_version SET version_num = '9999'")
    rows(store, "UPDATE programs SET oldest = ?", oldest)


def take_away(store: Place) -> Callable[[], object]:
    """Let a store be gone; return what brings it back."""
    if isinstance(store, Path):
        away = store.parent.rename(store.parent.with_name("away"))
        return lambda: away.rename(store.parent)
    name = _Engine.databases[[postgres.server().dsn(each) for each in _Engine.databases].index(store)]
    server = postgres.server()
    server.sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name)
    return lambda: server.sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def mend(store: Place) -> None:
    """Undo `break_inserts`."""
    rows(store, "DROP TRIGGER broken" if isinstance(store, Path) else "DROP FUNCTION broken CASCADE")


@contextmanager
def opened(store: Place) -> Iterator[Any]:
    """Open a store as its writer does; a file that is not there is made."""
    if isinstance(store, Path) and not store.exists():
        store.write_bytes(empty_file())
    connect, engine = open_store(store)
    engine.dispose()
    with closing(connect()) as connection:
        yield connection


@cache
def empty_file() -> bytes:
    """Return a store of the newest schema, as a file: to migrate one takes fifty times as long as to copy it."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        open_store(file)[1].dispose()
        return file.read_bytes()


@cache
def _template() -> str:
    """Return a database of the newest schema; it is copied for the same reason."""
    name = postgres.new_database()
    _, engine = open_store(postgres.server().dsn(name))
    engine.dispose()
    return name
