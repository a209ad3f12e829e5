"""A node's store moved to another place, of the same engine or the other: nothing is forgotten, and one store serves.

In: the settings of a node that is stopped, and where its store is to lie. Out: a store there with the same rows, row by
row, and the old one marked (`moved`), so that it serves no more. Refuses with BAD_CONFIG a place where something is, a
store of another version or that was moved elsewhere; with BAD_INPUT a store that breaks a promise (`fsck`). Fails with
STORE while somebody serves.

Of two databases no commit is one. So there are three, and at each moment one store alone is the node's:
1. the new one, with all rows, and marked as arriving: nobody serves from it. It is compared with the old one and judged
   as it is on the disk by now; what does not pass is emptied again.
2. the old one, marked as moved. From here on the new one is the node's.
3. the new one, without its mark.
Whoever dies before the second has moved nothing: the next try empties what came of it, and begins anew. Whoever dies
after it has moved: the next try does the third. All the while the old store is held, so nobody writes into it between.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import BigInteger, Integer, LargeBinary, Table, Text

from gateway import merkle
from gateway.clock import to_micros
from gateway.config import DATABASES, NodeConfig
from gateway.directory import Directory
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.store import backup, connection
from gateway.store.driver import HEAD, NOT_TAKEN, TROUBLE, storable, words
from gateway.store.fsck import Finding
from gateway.store.moved import Mark, Word
from gateway.store.schema import metadata

Place = Path | str
Row = tuple[Any, ...]
Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""

AT_ONCE: Final = 32
"""Rows that are read at once. With a payload of the largest that settings allow each, that is half a gigabyte."""
TOLD_EVERY: Final = 1024
TOLD: Final = ("filled", "checked", "marked", "moved")
"""What `passed` is told, in this order."""
MARKED_SINCE: Final = "0007"
"""The version of the store from which on it says which programs may work on it."""
_MODULUS: Final = 1 << 256
_WIDTH: Final = {BigInteger: 64, Integer: 32}


@dataclass(slots=True)
class Sum:
    """What rows of a table come to, in whatever order they come: engines sort texts each in its own way."""

    rows: int = 0
    digests: int = 0

    def add(self, row: Row) -> None:
        """Count a row in."""
        self.rows += 1
        self.digests = (self.digests + int.from_bytes(sha256(repr(row).encode()).digest())) % _MODULUS


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved.

    Args:
        rows: by table; empty, if an earlier try had moved them and died.
        findings: what each check came to; none has failed, but that a file may have been lost before.
    """

    rows: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def untold(point: str) -> None:
    """Watch nothing."""


def move(
    settings: NodeConfig,
    to: Place,
    directory: Directory | None,
    now: datetime,
    progress: Progress,
    passed: Callable[[str], None] = untold,
) -> Moved:
    """Move a node's store; or finish what an earlier try has begun.

    Args:
        settings: the node's, which name the store that is moved.
        to: where it is to lie: a file that is not there, or the address of an empty database.
        directory: public keys; None: signatures are not verified.
        now: the time.
        progress: told rows, as they are copied, compared and checked.
        passed: told each point of TOLD as it is passed; a crash test kills the process there.

    Raises:
        Refusal: BAD_CONFIG, there is no store, or one of another version; it was moved elsewhere; something is at the
            other place, or it is not safe there. BAD_INPUT, the store breaks a promise, or holds what is none of its.
            Nothing was changed.
        Failure: STORE, somebody has the store open, or one of the two cannot be read or written now. Unless the
            failure says otherwise, nothing was changed.
    """
    at = to.absolute() if isinstance(to, Path) else to
    source = _source(settings.store, at)
    with _reading(source), closing(connection.store_at(source).alone()) as leaving:
        version = _version(leaving)
        mark = Mark.read(_said(leaving)) if version >= MARKED_SINCE else None
        if mark is not None and mark.word is Word.ARRIVING:
            raise _refusal(mark.says, "store")
        if mark is None:
            _check_version(version)
            _empty_draft(leaving, at)
            mark = Mark(Word.MOVED, secrets.token_hex(8), _said(leaving), to_micros(now), str(at))
            done = _bring(leaving, mark, source, directory, settings.node, progress, passed)
            _let_go(leaving)
            passed("marked")
        else:
            done = Moved()
            _check_brought(leaving, mark, at)
    _arrive(at, mark)
    passed("moved")
    return done


def _source(named: Place, at: Place) -> Place:
    """Return which store is moved: the one that the settings name, or that they named before somebody changed them."""
    if not _same(named, at):
        return named
    mark = Mark.read(connection.said_by(at))
    if mark is None or mark.word is not Word.ARRIVING:
        raise _refusal("the settings name that store already", "to")
    return _place(mark.where)


def _place(where: str) -> Place:
    return where if where.startswith(DATABASES) else Path(where)


def _same(one: Place, other: Place) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.resolve() == other.resolve()
    return one == other


def _bring(
    leaving: Any,  # noqa: ANN401  what the drivers give has no common type
    mark: Mark,
    source: Place,
    directory: Directory | None,
    node: str,
    progress: Progress,
    passed: Callable[[str], None],
) -> Moved:
    """Have all rows at the other place, marked as arriving, compared and judged, and the old store ready to be left.

    Or nothing there, and the old store as it was.
    """
    at, said = _place(mark.where), str(Mark(Word.ARRIVING, mark.move, mark.oldest, mark.at_us, str(source)))
    sums: dict[str, Sum] = {}
    tell = _Teller(progress, 2 * sum(_count(leaving, table) for table in metadata.tables))
    connection.fill(at, lambda arriving: _pour(leaving, arriving, said, sums, tell))
    passed("filled")
    try:
        _compare(at, sums, tell)
        # As when a backup is put back: what was signed with a key that ended since has to move, too.
        findings = backup.check_kept(at, directory, node, "the store", progress)
        _check_still(at, said)
        leaving.execute("UPDATE programs SET oldest = ?", (str(mark),))
        passed("checked")
    except BaseException:
        connection.empty(at, said)
        raise
    return Moved({name: each.rows for name, each in sums.items()}, findings)


def _pour(leaving: Any, arriving: Any, said: str, sums: dict[str, Sum], tell: "_Teller") -> None:  # noqa: ANN401  as above
    # What migrations put there is in the old store as well.
    arriving.execute("DELETE FROM programs")
    for table in metadata.sorted_tables:
        sums[table.name] = Sum()
        rows = _counted(_checked(table, _rows(leaving, table)), sums[table.name], tell)
        try:
            arriving.pour(table.name, tuple(table.columns.keys()), rows)
        except NOT_TAKEN as error:
            raise _broken(f"{table.name}: a row is not taken there: {words(error)}") from error
        if not arriving.is_file:
            _go_on(arriving, table)
    arriving.execute("UPDATE programs SET oldest = ?", (said,))


def _go_on(arriving: Any, table: Table) -> None:  # noqa: ANN401  as above
    """Have the server number on after the last row, and know how many there are."""
    numbered = table.autoincrement_column
    if numbered is not None:
        last = f"SELECT max({numbered.name}) FROM {table.name}"  # noqa: S608  our own words
        of = f"pg_get_serial_sequence('{table.name}', '{numbered.name}')"
        arriving.execute(f"SELECT setval({of}, last) FROM ({last}) AS t (last) WHERE last IS NOT NULL")  # noqa: S608  as above
    arriving.execute(f"ANALYZE {table.name}")


def _compare(at: Place, sums: dict[str, Sum], tell: "_Teller") -> None:
    """Check that what is on the disk there, and on a standby's, is what was read here."""
    with closing(connection.store_at(at)()) as arrived, _reading(at):
        for table in metadata.sorted_tables:
            found = Sum()
            for _ in _counted(_rows(arrived, table), found, tell):
                pass
            if table.name != "programs" and found != sums[table.name]:
                detail = (
                    f"{table.name}: {found.rows} rows came to be there, and not the {sums[table.name].rows} from here"
                )
                raise Failure(ErrorCode.STORE, detail)
        # A server may have called committed what waited for its standby in vain; this one tells.
        arrived.begin()
        arrived.end(())


def _check_still(at: Place, said: str) -> None:
    if connection.said_by(at) != said:
        raise Failure(ErrorCode.STORE, f"somebody else has put another store to {at} meanwhile")


def _let_go(leaving: Any) -> None:  # noqa: ANN401  as above
    """Let the old store bear its mark. From this commit on, the new one is the node's."""
    try:
        leaving.end(())
    except TROUBLE as error:
        # Nobody knows whether it is done, so nothing is undone.
        detail = f"it is not known whether the move is done ({words(error)}): type the command again, it finds out"
        raise Failure(ErrorCode.STORE, detail) from error


def _arrive(at: Place, mark: Mark) -> None:
    """Let the new store be served from."""
    with closing(connection.store_at(at)()) as arrived, _reading(at):
        arrived.begin()
        begins = f"{Word.ARRIVING.value} {mark.move} %"
        arrived.execute("UPDATE programs SET oldest = ? WHERE oldest LIKE ?", (mark.oldest, begins))
        arrived.end(())


def _empty_draft(leaving: Any, at: Place) -> None:  # noqa: ANN401  as above
    """Empty what an earlier try, which died, has left at the other place: of this store, and of no other."""
    said = connection.said_by(at)
    if said is None:
        return
    mark = Mark.read(said)
    if mark is None or mark.word is not Word.ARRIVING:
        raise _refusal("something is there: wanted is a file that is not, or an empty database", "to")
    # A copy of the old store from before, put in its place since, would take the new one's for a draft.
    with closing(connection.store_at(at)()) as there, _reading(at):
        if not _continues(leaving, there):
            raise _refusal(f"{mark.says}; and this store is another, or an older copy of that", "to")
    connection.empty(at, said)


def _check_brought(leaving: Any, mark: Mark, at: Place) -> None:  # noqa: ANN401  as above
    """Check that the other place is where a store was moved that bears a mark."""
    said = connection.said_by(at)
    if said is not None:
        other = Mark.read(said)
        if other is not None and other.move == mark.move:
            return
        with closing(connection.store_at(at)()) as there, _reading(at):
            if other is None and mark.where == str(at) and _continues(there, leaving):
                return
    raise _refusal(mark.says, "store")


def _continues(longer: Any, shorter: Any) -> bool:  # noqa: ANN401  as above
    """Whether the log of a store begins with that of another."""
    size = _count(shorter, "log_entries")
    return _root(longer, size) == _root(shorter, size)


def _root(store: Any, size: int) -> bytes:  # noqa: ANN401  as above
    return merkle.root(row[1] for row in islice(_rows(store, metadata.tables["log_entries"]), size))


def _version(store: Any) -> str:  # noqa: ANN401  as above
    (version,) = store.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(version)


def _check_version(version: str) -> None:
    if version != HEAD:
        older = "start the node once, with this program" if version < HEAD else "use the program that the node has"
        raise _refusal(f"the store is of version {version}, and this program of {HEAD}: {older}", "store")


def _said(store: Any) -> str:  # noqa: ANN401  as above
    rows = store.execute("SELECT oldest FROM programs").fetchall()
    if len(rows) != 1:
        raise _broken("programs: one row is wanted")
    return str(rows[0][0])


def _count(store: Any, table: str) -> int:  # noqa: ANN401  as above
    return int(store.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  our own word


def _rows(store: Any, table: Table) -> Iterator[Row]:  # noqa: ANN401  as above
    """Yield all rows of a table, a few at a time, as its key sorts them."""
    names, key = table.columns.keys(), [column.name for column in table.primary_key]
    places = [names.index(name) for name in key]
    all_of = f"SELECT {', '.join(names)} FROM {table.name}"  # noqa: S608  our own words
    order = f"ORDER BY {', '.join(key)} LIMIT {AT_ONCE}"
    after = f"{all_of} WHERE ({', '.join(key)}) > ({', '.join('?' * len(key))}) {order}"
    try:
        page = store.execute(f"{all_of} {order}").fetchall()
        while page:
            yield from page
            page = store.execute(after, [page[-1][place] for place in places]).fetchall()
    except TROUBLE as error:
        raise Failure(ErrorCode.STORE, f"{table.name} cannot be read now: {words(error)}") from error


def _checked(table: Table, rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows as either engine takes them; SQLite by itself keeps anything in any column."""
    takes = [_taker(column.type) for column in table.columns]
    names = table.columns.keys()
    for row in rows:
        for name, take, value in zip(names, takes, row, strict=True):
            if value is not None and not take(value):
                raise _broken(f"{table.name}: a row has in {name} what does not belong there")
        # Texts of others, from before they were kept so from the first.
        yield tuple(storable(value) if type(value) is str and "\0" in value else value for value in row)


def _taker(kind: object) -> Callable[[Any], bool]:
    match kind:
        case Text():
            return lambda value: type(value) is str
        case LargeBinary():
            return lambda value: type(value) is bytes
        case Integer():
            most = 1 << (_WIDTH[BigInteger if isinstance(kind, BigInteger) else Integer] - 1)
            return lambda value: type(value) is int and -most <= value < most
    raise TypeError(f"{kind!r} is no type of ours")


def _counted(rows: Iterable[Row], sum_: Sum, tell: "_Teller") -> Iterator[Row]:
    for row in rows:
        sum_.add(row)
        tell.one()
        yield row


class _Teller:
    """Tells how far all tables are."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def one(self) -> None:
        self._done += 1
        if self._done % TOLD_EVERY == 0 or self._done == self._total:
            self._progress(self._done, self._total)


@contextmanager
def _reading(place: Place) -> Iterator[None]:
    try:
        yield
    except TROUBLE as error:
        raise Failure(ErrorCode.STORE, f"the store {place} cannot be moved now: {words(error)}") from error


def _refusal(detail: str, where: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIG, detail, where)


def _broken(detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_INPUT, detail, "store")
