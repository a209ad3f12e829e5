"""What the store asks of a database engine; SQLite and PostgreSQL give it.

Both are spoken to in one SQL: `?` for a value, ON CONFLICT, RETURNING, and nothing that only one of them knows. What
they raise differs; TROUBLE and NOT_TAKEN name it, `may_pass` and `words` tell what it means.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache
from itertools import chain
from typing import Any, Final, Protocol, TypeVar

import psycopg
import pysqlite3.dbapi2 as sqlite
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.errors import ErrorCode, Failure
from gateway.store.moved import Mark

T = TypeVar("T")

# A migration that older programs cannot live with writes its own number into `programs.oldest`; all others leave it.
HEAD: Final = "0016"
TROUBLE: Final = (sqlite.Error, psycopg.Error)
"""What a database raises."""
NOT_TAKEN: Final = (sqlite.IntegrityError, psycopg.IntegrityError, psycopg.DataError)
"""Of that, what says that these rows alone were not taken."""
_FIRST_BYTE: Final = 0xFF  # of SQLite's codes: the rest says more exactly what it was
_NO_STORE: Final = frozenset({sqlite.SQLITE_ERROR, sqlite.SQLITE_CORRUPT, sqlite.SQLITE_NOTADB})
# sqlite.org/rescode.html: the disk does not give back what was written.
_UNREADABLE: Final = frozenset(sqlite.SQLITE_IOERR | more << 8 for more in (1, 2, 32, 33))


def may_pass(error: BaseException) -> bool:
    """Whether a database may do later what it could not do now: a disk has room again, a lock ends, a server is up.

    Else it is another database than was thought, or is damaged.
    """
    if isinstance(error, sqlite.Error):
        code = getattr(error, "sqlite_errorcode", sqlite.SQLITE_ERROR)
        return code not in _UNREADABLE and code & _FIRST_BYTE not in _NO_STORE
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def words(error: BaseException) -> str:
    """Return what a database said, without the statement, its values and the link that SQLAlchemy puts beside that."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary  # the rest quotes statement and values
    return str(error.args[0]) if isinstance(error, SQLAlchemyError) and error.args else str(error)


@cache
def insertion(table: str, columns: tuple[str, ...], rows: int = 1) -> str:
    """Return a statement that adds so many rows."""
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"  # noqa: S608  our own words


_WHOLE: Final = (512, 64)
_FILLED: Final = (1, 8, 64)
"""Lengths of a list in a statement, few, so that each is prepared a few times: as it is, or filled up."""


def lists(values: Sequence[T], filler: T) -> Iterator[tuple[int, list[T]]]:
    """Yield lists of a few lengths: how many of the values are in it, and these, filled up with what is no value."""
    rest = list(values)
    while rest:
        some = rest[: next((length for length in _WHOLE if length <= len(rest)), None)]
        rest = rest[len(some) :]
        length = next(length for length in (*_FILLED, len(some)) if length >= len(some))
        yield len(some), [*some, *[filler] * (length - len(some))]


@cache
def listing(text: str, length: int, width: int = 1) -> str:
    """Return a statement with a list of that length where it has braces; of rows, if they are wider than one value."""
    each = "?" if width == 1 else f"({', '.join('?' * width)})"
    return text.format(", ".join([each] * length))


def listed(text: str, values: Sequence[T], filler: T, width: int = 1) -> Iterator[tuple[str, list[T]]]:
    """Yield statements with these values listed where the text has braces, filled up with what is none; see `lists`."""
    for _, padded in lists(values, filler):
        yield listing(text, len(padded), width), padded


def storable(text: str) -> str:
    r"""Return a text of somebody else as any database can hold it: PostgreSQL has no NUL, so that is written `\x00`."""
    return text.replace("\0", r"\x00")


def naming(text: str, names: Collection[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield statements about names of envelopes: with a list of (sender, id) where the text has braces; and its values.

    Never by id alone: ids are their senders' choice, and what others have given the same would come along.
    """
    for whole, pairs in listed(text, list(names), ("", ""), 2):
        yield whole, list(chain.from_iterable(pairs))


class Connection(Protocol):
    """A connection of the writer, used by one thread."""

    @property
    def is_file(self) -> bool:
        """Whether its store is a file, which this process keeps in shape; a database server does that by itself."""
        ...

    def check(self) -> None:
        """Check, in a transaction, that what is written now is written into the store, and may be.

        Raises:
            Failure: STORE, it is another one by now, or a newer program has claimed it for itself.
        """
        ...

    def begin(self) -> None:
        """Begin to write; no other process does until it ends."""
        ...

    def end(self, wake: Collection[str]) -> None:
        """Commit to disk, and tell other processes which destinations have something new."""
        ...

    def abandon(self) -> None:
        """Undo what was written since it began."""
        ...

    def execute(self, text: str, values: Any = ..., /) -> Any:  # noqa: ANN401  rows are tuples of whatever was asked for
        """Run one statement; return a cursor."""
        ...

    def ask(self, text: str, values: Any, /) -> list[Any]:  # noqa: ANN401  as `execute`
        """Run one question; return all rows of the answer."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], /) -> None:
        """Add rows to a table, in that order."""
        ...

    def pour(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        """Add rows to a table, in that order, as they come: there may be more than memory holds."""
        ...

    def interrupt(self) -> None:
        """Let whatever another thread waits for here fail, if that can be done."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Store(Protocol):
    """Where a node keeps what it keeps. Called, it returns a new connection for a writer."""

    def __call__(self) -> Any:  # noqa: ANN401  a Connection; pysqlite3 has no types
        """Return a new connection."""
        ...

    def engine(self) -> Engine:
        """Return an engine for readers."""
        ...

    def alone(self) -> Any:  # noqa: ANN401  as above
        """Return a connection that has begun to write, and beside which nobody reads or writes as a node does.

        Raises:
            Failure: STORE, somebody does.
        """
        ...

    def compact(self) -> tuple[int, int]:
        """Rewrite what a node that is stopped has there, without holes; return its bytes before and after.

        Raises:
            Failure: STORE, somebody is at work there, or there is no room. Nothing is lost.
        """
        ...

    def made(self) -> None:
        """Take note that it is there: from now on, one that is missing is missing, and no reason to make another."""
        ...

    def migrating(self, opened: Any, /) -> AbstractContextManager[None]:  # noqa: ANN401  SQLAlchemy's connection
        """Let what happens inside be one transaction, and let nobody else migrate meanwhile."""
        ...

    async def listen(self, ring: Callable[[set[str] | None], None]) -> None:
        """Tell which destinations other processes have something new for (None: all), until cancelled."""
        ...


def check_program(connection: Connection) -> None:
    """Check that a store lets programs of this version work on it.

    Raises:
        Failure: STORE, it does not.
    """
    row = connection.execute("SELECT oldest FROM programs").fetchone()
    if row is None or row[0] > HEAD:
        wanted = "none" if row is None else row[0]
        mark = Mark.read(wanted)
        detail = f"the store wants programs of version {wanted} or newer, this is {HEAD}: replace this process"
        raise Failure(ErrorCode.STORE, detail if mark is None else mark.says)
