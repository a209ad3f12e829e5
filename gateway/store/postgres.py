"""PostgreSQL, the store of a node of many processes on many machines.

In: a `postgresql://` address, of one host or of several that follow each other. Out: connections for the writer, an
engine for readers, and news of what other processes have committed. Refuses with BAD_CONFIG: a server too old, one that
does not write to disk, an encoding other than UTF-8, and a schema in which no tables can be made.

Processes write one after the other: each transaction of a writer holds one advisory lock from its beginning to its end,
as SQLite's writers do. So what a step rests on cannot change under it, positions of the log have no gaps and grow in
the order of commits, and nothing needs to be tried again because two were at it together.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache, lru_cache
from os import dup
from socket import SHUT_RDWR, socket
from typing import Any, Final, cast
from uuid import uuid4

import psycopg
from psycopg import conninfo, sql
from psycopg.types.numeric import Int8BinaryDumper
from sqlalchemy import BigInteger, Engine, Integer, LargeBinary, Text, create_engine
from sqlalchemy.pool import QueuePool

from gateway.errors import ErrorCode, Failure, Refusal
from gateway.store.driver import check_program, insertion
from gateway.store.schema import metadata

OLDEST: Final = 150000
"""PostgreSQL 15: the oldest that its makers still mend."""
DEFAULTS: Final = {
    # After a failover, of several hosts the one that takes writes.
    "target_session_attrs": "read-write",
    "application_name": "rogatory",
    "connect_timeout": "5",
    # A machine that is gone without a word is noticed within some ten seconds.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
# A process that stands still in the middle of a transaction must not keep all others waiting for ever.
_SESSION: Final = """
    SET idle_in_transaction_session_timeout = '15s';
    SET lock_timeout = '10s';
    SET jit = off;
    SET client_min_messages = 'warning'
"""
# Statements of a writer are planned once, while its tables are small, and each goes by an index when they are large,
# row by row: to join by hashing or merging is to read a table whole, also by its index.
_BY_INDEX: Final = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
_SAFE: Final = (
    "SELECT current_setting('server_version_num')::int, current_setting('fsync'), current_setting('full_page_writes'),"
    " current_setting('server_encoding'), current_setting('synchronous_commit'),"
    " current_setting('synchronous_standby_names'), current_schema(), EXISTS (SELECT FROM pg_stat_replication),"
    " has_schema_privilege(current_schema(), 'CREATE') OR to_regclass('alembic_version') IS NOT NULL"
)
LOCK: Final = 0x726F6761
"""First half of our advisory locks' names; the second tells the schema, and what is locked."""
_WRITING: Final = f"BEGIN; SELECT pg_advisory_xact_lock({LOCK}, hashtext(current_schema()))"
# What wrote nothing waits for no standby, and may have read what this server alone has, by a COMMIT that a crash cut
# short, or whose wait somebody ended. So it writes a word, and the standby that has that word has all before it.
_COMMITTING: Final = (
    "SELECT pg_logical_emit_message(true, 'rogatory', '') WHERE pg_current_xact_id_if_assigned() IS NULL"
    " AND current_setting('synchronous_standby_names') <> ''; COMMIT"
)
_MIGRATING: Final = f"SELECT pg_advisory_xact_lock({LOCK}, hashtext('migration of ' || current_schema()))"
# Held by each process that serves, for as long as it is connected. Only courtesy rests on it.
_SERVING: Final = f"SELECT pg_advisory_lock_shared({LOCK}, hashtext('serving ' || current_schema()))"
_ALONE: Final = f"SELECT pg_advisory_xact_lock({LOCK}, hashtext('serving ' || current_schema()))"
_MAX_PAYLOAD: Final = 7900
"""PostgreSQL takes less than 8000 bytes."""
_EVERYBODY: Final = "*"
_PREPARED: Final = 500
_COPIED: Final = 4
"""So many rows are copied into a table: that takes two round trips and 5 us a row, an INSERT one and 30 us a row."""
_TYPES: Final = {Text: "text", BigInteger: "int8", Integer: "int4", LargeBinary: "bytea"}
_FILES: Final = ("passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcrldir")
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
RECONNECT_SECONDS: Final = 0.5
diagnostics = logging.getLogger("gateway.store")


class _Integer(Int8BinaryDumper):
    """Every integer as eight bytes: by its size each would be of another type, and each type another prepared query."""


class PostgresConnection:
    """A writing connection that takes SQL with `?`; see `driver.Connection`."""

    is_file = False

    def __init__(self, raw: psycopg.Connection[Any], channel: str = "", name: str = "") -> None:
        self._raw = raw
        self._channel = channel
        self._name = name
        self._warnings: list[str] = []

    def begin(self) -> None:
        """Begin to write; nobody else does until it ends."""
        self._raw.execute(_WRITING, prepare=False)

    def end(self, wake: Collection[str]) -> None:
        """Commit, and tell other processes what is new.

        Raises:
            psycopg.Error: it did not commit, or nobody can say whether it did.
        """
        if wake:
            said = " ".join([self._name, *sorted(wake)])
            if len(said.encode()) > _MAX_PAYLOAD:
                said = f"{self._name} {_EVERYBODY}"
            self._raw.execute("SELECT pg_notify(%s, %s)", (self._channel, said))
        self._warnings.clear()
        # One in which something failed refuses the first of the two.
        self._raw.execute(_COMMITTING, prepare=False)
        # Somebody has ended the wait for the standby: committed here, and perhaps nowhere else.
        if self._warnings:
            raise psycopg.OperationalError(f"not known to be safe: {self._warnings[0]}")

    def abandon(self) -> None:
        """Undo what was written since it began."""
        self._raw.execute("ROLLBACK", prepare=False)

    def check(self) -> None:
        """See `driver.Connection`."""
        check_program(self)

    def execute(self, text: str, values: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        """Run one statement."""
        return self._raw.execute(translated(text), values or None, binary=True)

    def ask(self, text: str, values: Sequence[Any]) -> list[Any]:
        """Run one question; return all rows of the answer."""
        return self.execute(text, values).fetchall()

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table, in that order."""
        if len(rows) < _COPIED:
            for row in rows:
                self.execute(insertion(table, tuple(columns)), row)
            return
        self.pour(table, columns, rows)

    def pour(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """See `driver.Connection`."""
        copied, types = _copy(table, tuple(columns))
        with self._raw.cursor() as cursor, cursor.copy(copied) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    def interrupt(self) -> None:
        """See `driver.Connection`: what is committed now may be recorded, and who asked for it is not told."""
        # Asked to cancel, the server would have to answer; and what it cancels is told as committed, with a warning.
        with suppress(OSError), socket(fileno=dup(self._raw.fileno())) as line:
            line.shutdown(SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        self._raw.close()

    def noticed(self, notice: psycopg.errors.Diagnostic) -> None:
        """Take note of what the server warns of."""
        if notice.severity_nonlocalized == "WARNING":
            self._warnings.append(notice.message_primary or "a warning")


class PostgresStore:
    """One database; see `driver.Store`.

    Args:
        address: a `postgresql://` address, without a password.
    """

    def __init__(self, address: str) -> None:
        try:
            given = conninfo.conninfo_to_dict(address)
        except psycopg.Error as error:
            raise Refusal(ErrorCode.BAD_CONFIG, f"no address of a database: {error}", "store") from error
        _check_address(given)
        self._parameters: dict[str, Any] = {**DEFAULTS, **given}
        self._name = uuid4().hex
        self._channel = ""
        self._where = f"{given.get('host', 'localhost')} {given.get('dbname', '')}"

    def __str__(self) -> str:
        return self._where

    def __call__(self) -> PostgresConnection:
        """Return a new connection for a writer, used by one thread at a time."""
        return self._open(_BY_INDEX)

    def reading(self) -> PostgresConnection:
        """Return a connection for whoever looks through all of it: by which way, the server knows best."""
        return self._open()

    def alone(self) -> PostgresConnection:
        """See `driver.Store`."""
        # It stands still while others are at work elsewhere. Who has just ended may be there still for the server.
        connection = self._open("SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '5s'")
        try:
            connection.begin()
            connection.execute(_MIGRATING)
            connection.execute(_ALONE)
        except BaseException as error:
            connection.close()
            if not isinstance(error, psycopg.errors.LockNotAvailable):
                raise
            raise Failure(ErrorCode.STORE, f"processes of a node serve from {self}: stop all of them") from error
        return connection

    def compact(self) -> tuple[int, int]:
        """See `driver.Store`. A table is rewritten whole or not at all, and takes as much space again meanwhile."""
        try:
            # Two connections: rewriting is no part of a transaction, and what keeps others away is one.
            with closing(self.alone()) as guard, closing(self._open("SET lock_timeout = '5s'")) as rewriting:
                before = _size(guard)
                for table in metadata.tables:
                    rewriting.execute(f"VACUUM (FULL, ANALYZE) {table}")
                return before, _size(guard)
        except psycopg.Error as error:
            raise Failure(ErrorCode.STORE, f"the store {self} cannot be rewritten now: {error}") from error

    def made(self) -> None:
        """See `driver.Store`: a database is never made by us."""

    def engine(self) -> Engine:
        """Return an engine for readers: all of one question sees one moment."""
        return create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=4,
            # A connection from before a failover is found out here, not by whoever asks.
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ",
        )

    @contextmanager
    def migrating(self, opened: Any) -> Iterator[None]:  # noqa: ANN401  SQLAlchemy's connection
        """See `driver.Store`."""
        with opened.begin():
            # Who has waited must see what the one before has done.
            opened.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            opened.exec_driver_sql(_MIGRATING)
            yield

    async def listen(self, ring: Callable[[set[str] | None], None]) -> None:
        """Tell what other processes have committed, until cancelled."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(**self._parameters, autocommit=True) as connection:
                    await connection.execute(_SERVING)
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
                    # What was committed while nobody listened.
                    ring(None)
                    async for note in connection.notifies():
                        # Anybody in the database may say anything here, also nothing.
                        who, _, destinations = note.payload.partition(" ")
                        if who != self._name:
                            ring(set(destinations.split()) - {_EVERYBODY} or None)
            except psycopg.Error as error:
                diagnostics.warning("listening to the database failed", extra={"detail": str(error)})
            await asyncio.sleep(RECONNECT_SECONDS)

    def check(self) -> None:
        """Check that what is committed here is safe; warn if it is only on one machine, or waits for another.

        Raises:
            Refusal: BAD_CONFIG.
            Failure: STORE, it cannot be reached now.
        """
        try:
            with self._connect() as raw:
                (row,) = raw.execute(_SAFE).fetchall()
        except psycopg.Error as error:
            raise Failure(ErrorCode.STORE, f"cannot open the store {self}: {error}") from error
        version, fsync, full_pages, encoding, commit, standbys, schema, followed, has_room = row
        wrong = ""
        if version < OLDEST:
            wrong = f"PostgreSQL {version // 10000}; {OLDEST // 10000} or newer is needed"
        elif (fsync, full_pages) != ("on", "on"):
            wrong = "fsync and full_page_writes must be on"
        elif encoding != "UTF8":
            wrong = f"its encoding is {encoding}, not UTF8"
        elif commit not in {"on", "remote_apply"}:
            wrong = f"synchronous_commit is {commit}; it must be on or remote_apply"
        elif not has_room:
            wrong = f"there is no schema {schema or 'of that name'} in which its user may make tables"
        if wrong:
            raise Refusal(ErrorCode.BAD_CONFIG, f"the store {self} cannot be used: {wrong}", "store")
        self._channel = f"rogatory_{schema}"
        if not standbys:
            diagnostics.warning("the database has no synchronous standby: what its disk loses is lost")
        elif not followed:
            # Whoever writes waits from here on, without a word.
            diagnostics.warning("no standby follows the database: each COMMIT waits until one does")

    def _open(self, also: str = "") -> PostgresConnection:
        raw = self._connect(also)
        raw.autocommit = True
        connection = PostgresConnection(raw, self._channel, self._name)
        raw.add_notice_handler(connection.noticed)
        return connection

    def _connect(self, also: str = "") -> psycopg.Connection[Any]:
        raw: psycopg.Connection[Any] = psycopg.connect(**self._parameters)
        try:
            raw.prepare_threshold = 0
            raw.prepared_max = _PREPARED
            raw.adapters.register_dumper(int, _Integer)
            raw.autocommit = True
            raw.execute(f"{_SESSION}; {also}", prepare=False)
            raw.autocommit = False
        except psycopg.Error:
            raw.close()
            raise
        return raw


def _size(connection: PostgresConnection) -> int:
    """Return how many bytes its tables take, with their indexes."""
    named = " + ".join(f"pg_total_relation_size('{table}')" for table in metadata.tables)
    return int(connection.execute(f"SELECT ({named})::int8").fetchall()[0][0])


@cache
def _copy(table: str, columns: tuple[str, ...]) -> tuple[Any, list[str]]:
    """Return the statement that copies rows into a table, and the types of its columns."""
    known = metadata.tables[table].columns
    types = [_TYPES[type(known[name].type)] for name in columns]
    return f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)", types


def _check_address(given: dict[str, Any]) -> None:
    wrong = ""
    # libpq goes by `hostaddr`, whatever `host` says; and a service is settings that stand elsewhere.
    hosts = [each for name in ("host", "hostaddr") for each in str(given.get(name, "")).split(",")]
    if "service" in given:
        wrong = "say here what the service says"
    elif "password" in given or "sslpassword" in given:
        wrong = "a password belongs into a passfile, not here"
    elif relative := [name for name in _FILES if given.get(name, "/")[0] != "/" and given[name] != "system"]:
        wrong = f"{relative[0]} must be an absolute path"
    elif given.get("sslmode") != "verify-full" and any(not _is_local(host) for host in hosts):
        wrong = "a database on another machine is asked with sslmode=verify-full"
    elif given.get("target_session_attrs", "read-write") not in {"read-write", "primary"}:
        wrong = "target_session_attrs must be read-write"
    if wrong:
        raise Refusal(ErrorCode.BAD_CONFIG, wrong, "store")


def _is_local(host: str) -> bool:
    return not host or host[0] in "/@" or host in _LOCAL


@lru_cache(maxsize=1024)
def translated(text: str) -> Any:  # noqa: ANN401  psycopg wants literal strings
    """Return SQL with psycopg's placeholders."""
    return cast("Any", text.replace("?", "%s"))
