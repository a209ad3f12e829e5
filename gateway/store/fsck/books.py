"""Reading a store from outside: in pages, at one moment, with plain SQL of its own.

In: a path or a connection. Out: rows; of each envelope its *file*, all that is kept about it. Rows are asked for by the
page, not by a cursor that stays open, so that no driver keeps more than a page.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pysqlite3.dbapi2 as sqlite
from google.protobuf.message import DecodeError
from rogatory.v1 import envelope_pb2 as pb

from gateway.directory import Directory
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.lifecycle import FINAL
from gateway.store.driver import HEAD, TROUBLE, may_pass
from gateway.store.postgres import PostgresStore

PAGE: Final = 256
MOST_OFFENDERS: Final = 1000
"""Rows that one query about strays returns; more are not counted."""
PURGED_EVENT: Final = "payload.purged"
PRUNED_EVENT: Final = "history.pruned"
_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_ENDED: Final = frozenset(state.value for state in FINAL)
_ENDS: Final = frozenset({pb.MILESTONE_DELIVERED, pb.MILESTONE_REFUSED, pb.MILESTONE_EXPIRED})
_ENVELOPE: Final = (
    "SELECT seq, sender, id, recipient, kind, cited_seq, case_id, recorded_at_us, fingerprint, header, proof,"
    " payload IS NOT NULL FROM envelopes"
)
_COPIES: Final = (
    "SELECT seq, destination, case_id, state, expires_at_us FROM deliveries WHERE envelope_seq = ? ORDER BY seq"
)
_EVENTS: Final = (
    "SELECT name, stages FROM events WHERE envelope_id = ? AND sender = ?"  # noqa: S608  our own words
    f" AND name IN ('envelope.accepted', '{PURGED_EVENT}', '{PRUNED_EVENT}') ORDER BY seq"
)


@contextmanager
def opened(store: Any) -> Iterator[Any]:  # noqa: ANN401  pysqlite3 has no types
    """Yield a connection to a store; nothing can be changed through one that is opened here.

    Raises:
        Refusal: BAD_CONFIG, there is no store of this version.
        Failure: STORE, it cannot be read now.
    """
    try:
        with _opened(store) as connection:
            yield connection
    except TROUBLE as error:
        named = f"the store {store}" if isinstance(store, str | Path) else "the store"
        raise Failure(ErrorCode.STORE, f"{named} cannot be read: {error}") from error


@contextmanager
def _opened(store: Any) -> Iterator[Any]:  # noqa: ANN401  as above
    if isinstance(store, str):
        with closing(PostgresStore(store).reading()) as connection:
            _check_version(connection, store)
            yield connection
        return
    if not isinstance(store, Path):
        yield store
        return
    path = store.resolve()
    if not path.is_file():
        raise Refusal(ErrorCode.BAD_CONFIG, f"no store {path}", "store")
    # Who may write to it, opens it so: else the log beside a store would stay there, and look like somebody's work.
    mode = "rw" if os.access(path, os.W_OK) else "ro"
    with closing(sqlite.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None)) as connection:
        connection.execute("PRAGMA query_only = ON")
        # What is no UTF-8 where text should be is an offence to be told of, not an end of the telling.
        connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
        _check_version(connection, path)
        yield connection


def _check_version(connection: Any, store: Path | str) -> None:  # noqa: ANN401  as above
    try:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except TROUBLE as error:
        if may_pass(error):
            raise
        raise Refusal(ErrorCode.BAD_CONFIG, f"{store} is no store: {error}", "store") from error
    if found != (HEAD,):
        version = "no version" if found is None else f"version {found[0]}"
        raise Refusal(ErrorCode.BAD_CONFIG, f"{store} is of {version}, and this program of {HEAD}", "store")


def _is_file(connection: Any) -> bool:  # noqa: ANN401  as above
    return isinstance(connection, sqlite.Connection)


@contextmanager
def moment(connection: Any) -> Iterator[None]:  # noqa: ANN401  as above
    """Have all questions see one moment (in WAL mode, a transaction sees the moment of its first look)."""
    connection.execute("BEGIN" if _is_file(connection) else _SNAPSHOT)
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


@dataclass(frozen=True, slots=True)
class Word:
    """A statement about an envelope, and its receipt's number."""

    seq: int
    said: pb.Statement


@dataclass(frozen=True, slots=True)
class Copy:
    """A delivery of an envelope."""

    seq: int
    destination: str
    case_id: str
    state: str
    expires_at_us: int | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.state in _ENDED


@dataclass(frozen=True)
class File:
    """All that is kept about one envelope, except its payload and its matter."""

    seq: int
    sender: str
    id: str
    recipient: str
    kind: int
    cited_seq: int | None
    case_id: str
    recorded_at_us: int
    fingerprint: bytes
    raw_header: bytes = field(repr=False)
    proof: bytes = field(repr=False)
    has_payload: bool
    words: Sequence[Word] = field(repr=False)
    copies: Sequence[Copy] = field(repr=False)
    events: Sequence[tuple[str, str]] = field(repr=False)  # name, stages

    def __str__(self) -> str:
        return f"envelope {self.seq} ({self.sender} {self.id})"

    @cached_property
    def header(self) -> pb.Header:
        """The header; an empty one, if these bytes are none."""
        return header_of(self.raw_header)

    @cached_property
    def envelope(self) -> pb.SignedEnvelope | None:
        """Header, signatures and slots; None if they make no sense."""
        try:
            envelope = pb.SignedEnvelope.FromString(self.proof)
        except DecodeError:
            return None
        envelope.header = self.raw_header
        return envelope

    @property
    def is_pruned(self) -> bool:
        """Whether events and deliveries were removed by policy."""
        return any(name == PRUNED_EVENT for name, _ in self.events)

    @property
    def is_purged(self) -> bool:
        """Whether it was said that the payload was removed."""
        return any(name == PURGED_EVENT for name, _ in self.events)

    def of(self, milestone: pb.Milestone.ValueType) -> list[Word]:
        """Return who stated that milestone of these bytes."""
        return [word for word in self.words if word.said.milestone == milestone]

    def accepted_by(self, issuer: str) -> list[Word]:
        """Return the acceptances of a node."""
        return [word for word in self.of(pb.MILESTONE_ACCEPTED) if word.said.issuer == issuer]

    def ends(self, me: str) -> list[Word]:
        """Return the statements that end it.

        Not what this node refused before it took these bytes after all; nor another node's word that it came too late,
        where this node states that it expired: that word is its proof.
        """
        since = min((word.seq for word in self.accepted_by(me)), default=0)
        ends = [
            word
            for word in self.words
            if word.said.milestone in _ENDS
            and not (word.said.milestone == pb.MILESTONE_REFUSED and word.said.issuer == me and word.seq < since)
        ]
        if any(word.said.milestone == pb.MILESTONE_EXPIRED and word.said.issuer == me for word in ends):
            ends = [w for w in ends if w.said.issuer == me or w.said.milestone != pb.MILESTONE_REFUSED]
        return ends


class Books:
    """One store, at one moment.

    Args:
        connection: to it.
        directory: public keys, if there are any.
        node: code of the node whose it is, if that is known.
    """

    def __init__(self, connection: Any, directory: Directory | None, node: str | None) -> None:  # noqa: ANN401
        self._sql = connection
        self.directory = directory
        self.here = node or self._whose()
        self.me = f"{self.here}/node"

    @property
    def is_sqlite(self) -> bool:
        """Whether it lies in a SQLite file."""
        return _is_file(self._sql)

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Return all rows of a query; the caller knows that they are few."""
        rows: list[Any] = self._sql.execute(sql, values).fetchall()
        return rows

    def offenders(self, sql: str) -> list[Any]:
        """Return the rows of a query, as many as are counted."""
        return self.rows(f"{sql} LIMIT {MOST_OFFENDERS}")

    def each(self, sql: str) -> Iterator[Any]:
        """Yield the rows of a query of which most stores have few, and a noisy one many."""
        yield from self._sql.execute(sql)

    def pages(self, sql: str) -> Iterator[Any]:
        """Yield the rows of a query that ends in `WHERE seq > ? ORDER BY seq LIMIT ?`, seq first."""
        last = -1
        while page := self.rows(sql, last, PAGE):
            yield from page
            last = page[-1][0]

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608  our own word

    def payload(self, seq: int) -> bytes:
        """Return the payload of an envelope, by itself: it may be large."""
        return blob(self.rows("SELECT payload FROM envelopes WHERE seq = ?", seq)[0][0])

    def header(self, sender: str, id_: str) -> tuple[int, pb.Header] | None:
        """Return number and header of an envelope."""
        found = self.rows("SELECT seq, header FROM envelopes WHERE sender = ? AND id = ?", sender, id_)
        return None if not found else (found[0][0], header_of(found[0][1]))

    def envelopes(self) -> Iterator[File]:
        """Yield the file of each envelope, in the order of recording."""
        for row in self.pages(f"{_ENVELOPE} WHERE seq > ? ORDER BY seq LIMIT ?"):
            yield self._file(row)

    def envelopes_where(self, condition: str, *values: object) -> list[File]:
        """Return the files of those envelopes; the caller knows that they are few."""
        return [self._file(row) for row in self.rows(f"{_ENVELOPE} WHERE {condition}", *values)]

    def _file(self, row: Any) -> File:  # noqa: ANN401  pysqlite3 has no types
        seq, sender, id_, recipient, kind, cited_seq, case_id, recorded_at_us, *blobs, has_payload = row
        fingerprint, header, proof = map(blob, blobs)
        words = self.rows("SELECT seq, statement FROM receipts WHERE id = ? AND sender = ? ORDER BY seq", id_, sender)
        said = [Word(number, statement_of(raw)) for number, raw in words]
        copies = self.rows(_COPIES, seq)
        events = self.rows(_EVENTS, id_, sender)
        return File(
            seq,
            sender,
            id_,
            recipient,
            kind,
            cited_seq,
            case_id,
            recorded_at_us,
            fingerprint,
            header,
            proof,
            bool(has_payload),
            [word for word in said if word.said.fingerprint == fingerprint],
            [Copy(*copy) for copy in copies],
            [(name, stages) for name, stages in events],
        )

    def _whose(self) -> str:
        first = self.rows(
            "SELECT issuer FROM receipts WHERE milestone = ? ORDER BY seq LIMIT 1", int(pb.MILESTONE_ACCEPTED)
        )
        return str(first[0][0]).partition("/")[0] if first else ""


def header_of(raw: object) -> pb.Header:
    """Return a header; an empty one, if these bytes are none."""
    try:
        return pb.Header.FromString(blob(raw))
    except DecodeError:
        return pb.Header()


def statement_of(raw: object) -> pb.Statement:
    """Return a statement; an empty one, if these bytes are none."""
    try:
        return pb.Statement.FromString(blob(raw))
    except DecodeError:
        return pb.Statement()


def blob(value: object) -> bytes:
    """Return what should be bytes: SQLite keeps anything in any column."""
    return bytes(value) if isinstance(value, bytes | memoryview) else b""
