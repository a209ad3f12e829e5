"""Reading the store: what traces, couriers and the registry need. Never blocks the writer (WAL)."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, or_, select, union
from sqlalchemy.exc import SQLAlchemyError

from gateway import rules
from gateway.errors import ErrorCode, Failure
from gateway.identity import NODE_NAME
from gateway.lifecycle import State
from gateway.store.connection import asked
from gateway.store.driver import TROUBLE, words
from gateway.store.finding import CopyRow, Page, Wanted, find
from gateway.store.letting_go import LettingGoView
from gateway.store.log import LogView
from gateway.store.matters import ClockRow, MatterView, MoveRow
from gateway.store.operating import OperatingView
from gateway.store.overview import OverviewView
from gateway.store.registry import RegistryView
from gateway.store.schema import HELD_SQL, WAITING_SQL, deliveries, envelopes, events, receipts
from gateway.threads import to_its_end

T = TypeVar("T")
V = TypeVar("V")
RETRY_SECONDS = 1.0
MAX_TRACED = 64
MAX_ROWS_A_TRACE = 1000
LEAST_ROWS_A_TRACE = 128
"""Of each envelope of a case, however many are told of together: all of it fits into one answer."""
MAX_OF_A_CASE = 500
_BY_ID = ((events, events.c.envelope_id), (receipts, receipts.c.id))
_NEXT: Final = f"""
    SELECT min(next_attempt_at_us) FROM deliveries
    WHERE destination = ? AND {WAITING_SQL} AND next_attempt_at_us > ? AND NOT EXISTS ({HELD_SQL})
"""  # noqa: S608  built from the states of lifecycle.py, nothing from outside


@dataclass(frozen=True, slots=True)
class EventRow:
    """One thing that happened."""

    at_us: int
    name: str
    actor: str
    destination: str
    code: int
    detail: str
    stages: str


@dataclass(frozen=True, slots=True)
class TraceRow:
    """All that is recorded of one envelope here. `header` is empty if it was never recorded, only refused."""

    sender: str
    id: str
    header: bytes
    fingerprint: bytes
    events: tuple[EventRow, ...]
    receipts: tuple[pb.Receipt, ...]
    copies: tuple[CopyRow, ...]


@dataclass(frozen=True, slots=True)
class MatterRow:
    """An envelope of a case, how it came to stand where it stands, and every time limit that it had."""

    header: bytes
    fingerprint: bytes
    recorded_at_us: int
    moves: tuple[MoveRow, ...]
    clocks: tuple[ClockRow, ...]


@dataclass(frozen=True, slots=True)
class SeenRow:
    """What was stated of an envelope, without the envelope."""

    fingerprint: bytes
    receipts: tuple[pb.Receipt, ...]
    cited: bool  # by the grievance


class Reader:
    """Answers questions on connections of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: set[asyncio.Task[object]] = set()
        self._drained = False

    async def trace(self, key: str) -> list[TraceRow]:
        """Return what is recorded of the envelopes with that id, or of that case; at most MAX_TRACED."""
        return await self._run(lambda connection: _trace(connection, key))

    async def find(self, wanted: Wanted, limit: int, after: str = "") -> Page:
        """Return a page of the envelopes that are wanted, the newest first; see `finding.find`."""

        def work(connection: Connection) -> Page:
            with connection.begin():
                return find(connection, wanted, limit, after)

        return await self._run(work)

    async def case(self, key: str) -> list[MatterRow]:
        """Return the envelopes of that case, or with that id, oldest first; at most MAX_OF_A_CASE."""
        return await self._run(
            lambda connection: _ask(connection, MatterView, lambda view: _case(connection, view, key))
        )

    async def complained_of(self, grievance: ids.EnvelopeRef, to: str) -> list[SeenRow]:
        """Return what was stated of every envelope of the matter that a grievance to somebody is about.

        Empty if no such grievance to them is recorded here; of at most MAX_OF_A_CASE envelopes.
        """
        return await self._run(
            lambda connection: _ask(
                connection, MatterView, lambda view: _complained_of(connection, view, grievance, to)
            )
        )

    async def overdue(self, limit: int) -> list[ClockRow]:
        """Return time limits that have run out while the duty remains, the longest overdue first."""
        return await self._run(lambda connection: _ask(connection, MatterView, lambda view: view.overdue(limit)))

    async def open_matters_count(self) -> dict[rules.State, int]:
        """Count the matters that are not at their end, by where they stand."""
        return await self._run(lambda connection: _ask(connection, MatterView, MatterView.open_matters_count))

    async def next_attempt_us(self, destination: str, after_us: int = -1) -> int | None:
        """Return when the next copy for a destination is due, or None: nothing is, or the destination is held.

        Args:
            destination: whose.
            after_us: not what was due by then.
        """
        values = destination, after_us, destination
        due_us: int | None = await self._run(
            lambda connection: _ask(connection, lambda sql: sql.ask(_NEXT, values), lambda rows: rows[0][0])
        )
        return due_us

    async def registry(self, ask: Callable[[RegistryView], T]) -> T:
        """Ask what the registry keeps; all of one question sees one moment."""
        return await self._run(lambda connection: _ask(connection, RegistryView, ask))

    def registry_now(self, ask: Callable[[RegistryView], T]) -> T:
        """Ask the same in a thread that may wait."""
        with self._open() as connection:
            return _ask(connection, RegistryView, ask)

    async def operating(self, ask: Callable[[OperatingView], T]) -> T:
        """Ask what operators do; all of one question sees one moment."""
        return await self._run(lambda connection: _ask(connection, OperatingView, ask))

    async def letting_go(self, me: str, ask: Callable[[LettingGoView], T]) -> T:
        """Ask what policy could let go; all of one question sees one moment."""
        return await self._run(lambda connection: _ask(connection, lambda sql: LettingGoView(sql, me), ask))

    async def log(self, ask: Callable[[LogView], T]) -> T:
        """Ask about the log; all of one question sees one moment."""
        return await self._run(lambda connection: _ask(connection, LogView, ask))

    async def overview(self, ask: Callable[[OverviewView], T]) -> T:
        """Ask how the node does; all of one question sees one moment."""
        return await self._run(lambda connection: _ask(connection, OverviewView, ask))

    async def drain(self) -> None:
        """Answer what was asked, and nothing more: a call may go on for a while after its server has stopped.

        A connection in use would outlast `close`.
        """
        self._drained = True
        while self._asked:
            await asyncio.wait(self._asked)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (*TROUBLE, SQLAlchemyError) as error:
            detail = f"the store could not be read: {words(error)}"
            raise Failure(ErrorCode.STORE, detail, retry_after=RETRY_SECONDS) from error

    async def _run(self, ask: Callable[[Connection], T]) -> T:
        def work() -> T:
            with self._open() as connection:
                return ask(connection)

        if self._drained:
            raise Failure(ErrorCode.STORE, "the store is being closed", retry_after=RETRY_SECONDS)
        asking = asyncio.create_task(to_its_end(work))
        self._asked.add(asking)
        asking.add_done_callback(self._asked.discard)
        return await asking


def _ask(connection: Connection, view: Callable[[Any], V], ask: Callable[[V], T]) -> T:
    """Ask a view of the store; all of one question sees one moment."""
    with connection.begin():
        return ask(view(asked(connection)))


def _case(connection: Connection, view: MatterView, key: str) -> list[MatterRow]:
    found = connection.execute(
        select(
            envelopes.c.sender,
            envelopes.c.id,
            envelopes.c.header,
            envelopes.c.fingerprint,
            envelopes.c.recorded_at_us,
        )
        .where(or_(envelopes.c.id == key, envelopes.c.case_id == key))
        .order_by(envelopes.c.seq)
        .limit(MAX_OF_A_CASE)
    ).all()
    refs = [ids.EnvelopeRef(sender=row.sender, id=row.id) for row in found]
    return [
        MatterRow(row.header, row.fingerprint, row.recorded_at_us, tuple(view.moves(ref)), tuple(view.all_clocks(ref)))
        for row, ref in zip(found, refs, strict=True)
    ]


def _complained_of(connection: Connection, view: MatterView, grievance: ids.EnvelopeRef, to: str) -> list[SeenRow]:
    # One query, whatever the answer: how long it takes must not tell whether that envelope exists.
    cited = connection.scalar(
        select(envelopes.c.cited_seq).where(
            envelopes.c.sender == grievance.sender,
            envelopes.c.id == grievance.id,
            envelopes.c.kind == ids.KIND_GRIEVANCE,
            envelopes.c.recipient == to,
        )
    )
    if cited is None:
        return []
    name = connection.execute(select(envelopes.c.sender, envelopes.c.id).where(envelopes.c.seq == cited)).one()
    chain = view.chain(ids.EnvelopeRef(sender=name.sender, id=name.id))
    matter = next(header for header, state in chain if state is not None or header is chain[-1][0])
    # Whatever cites it, or cites what cites it, is about it; but what others complain of is theirs to tell.
    numbers = [view.number(ids.EnvelopeRef(sender=matter.sender, id=matter.id))]
    for number in numbers:
        below = connection.scalars(
            select(envelopes.c.seq)
            .where(envelopes.c.cited_seq == number, envelopes.c.kind != ids.KIND_GRIEVANCE)
            .order_by(envelopes.c.seq)
        )
        numbers += list(below)[: MAX_OF_A_CASE - len(numbers)]
    return [_seen(connection, number, cited) for number in numbers]


def _seen(connection: Connection, number: int | None, cited: int) -> SeenRow:
    columns = select(envelopes.c.sender, envelopes.c.id, envelopes.c.fingerprint)
    row = connection.execute(columns.where(envelopes.c.seq == number)).one()
    return SeenRow(row.fingerprint, _receipts(connection, row.sender, row.id), number == cited)


def _trace(connection: Connection, key: str) -> list[TraceRow]:
    found = connection.execute(
        select(envelopes.c.seq, envelopes.c.sender, envelopes.c.id, envelopes.c.header, envelopes.c.fingerprint)
        .where(or_(envelopes.c.id == key, envelopes.c.case_id == key))
        .order_by(envelopes.c.seq)
        .limit(MAX_TRACED)
    ).all()
    most = max(LEAST_ROWS_A_TRACE, MAX_ROWS_A_TRACE // max(1, len(found)))
    traces = [
        TraceRow(
            row.sender,
            row.id,
            row.header,
            row.fingerprint,
            _events(connection, row.sender, row.id, most),
            _receipts(connection, row.sender, row.id, most),
            _copies(connection, row.seq),
        )
        for row in found
    ]
    if traces:
        return traces
    # Never recorded, but perhaps refused: the events still tell, and once they are pruned the signed refusal does.
    told = (select(each.c.sender).where(name == key) for each, name in _BY_ID)
    senders = connection.scalars(union(*told).limit(MAX_TRACED))
    most = LEAST_ROWS_A_TRACE
    return [
        TraceRow(
            sender, key, b"", b"", _events(connection, sender, key, most), _receipts(connection, sender, key, most), ()
        )
        for sender in senders
    ]


def _events(connection: Connection, sender: str, envelope_id: str, most: int) -> tuple[EventRow, ...]:
    """Return the first and the last: of days of attempts, how it began and how it stands now.

    Whoever knows an id can have something refused under it without end, and must not crowd out what became of it.
    """
    refused = events.c.name == "envelope.refused"
    found = [
        *_ends_of(connection, (events.c.envelope_id == envelope_id, events.c.sender == sender, ~refused), most),
        *_ends_of(connection, (events.c.envelope_id == envelope_id, events.c.sender == sender, refused), most // 8),
    ]
    found.sort(key=lambda row: row.seq)
    return tuple(EventRow(*row[:-1]) for row in found)


def _ends_of(connection: Connection, which: Sequence[ColumnElement[bool]], most: int) -> list[Any]:
    of = events.c
    columns = (of.at_us, of.name, of.actor, of.destination, of.code, of.detail, of.stages, of.seq)
    return _first_and_last(connection, select(*columns).where(*which), of.seq, most)


def _first_and_last(connection: Connection, query: Select[Any], seq: ColumnElement[int], most: int) -> list[Any]:
    query = query.limit(most // 2)
    first = connection.execute(query.order_by(seq)).all()
    if len(first) < most // 2:
        return [*first]
    return [*first, *connection.execute(query.where(seq > first[-1].seq).order_by(seq.desc())).all()]


def _receipts(
    connection: Connection, sender: str, envelope_id: str, most: int = MAX_ROWS_A_TRACE
) -> tuple[pb.Receipt, ...]:
    """Return them in their order; if there are more, the first and the last of each sort.

    Whoever has its own bytes refused under one id without end must not crowd out what became of those that were taken.
    """
    of = receipts.c
    query = select(of.statement, of.signature, of.seq).where(of.id == envelope_id, of.sender == sender)
    rows = [*connection.execute(query.order_by(of.seq).limit(most)).all()]
    if len(rows) == most:
        refused = of.milestone == pb.MILESTONE_REFUSED
        # What its own node let pass, another one refuses once.
        at_home = of.issuer == f"{sender.partition('/')[0]}/{NODE_NAME}"
        sorts = ((~refused, most), (and_(refused, ~at_home), most // 8), (and_(refused, at_home), most // 8))
        rows = [row for sort, some in sorts for row in _first_and_last(connection, query.where(sort), of.seq, some)]
        rows.sort(key=lambda row: int(row.seq))
    return tuple(pb.Receipt(statement=row.statement, signature=pb.Signature.FromString(row.signature)) for row in rows)


def _copies(connection: Connection, envelope_seq: int) -> tuple[CopyRow, ...]:
    rows = connection.execute(
        select(
            deliveries.c.destination,
            deliveries.c.state,
            deliveries.c.attempts,
            deliveries.c.next_attempt_at_us,
            deliveries.c.last_error,
        )
        .where(deliveries.c.envelope_seq == envelope_seq)
        .order_by(deliveries.c.seq)
    )
    return tuple(CopyRow(row[0], State(row[1]), row[2], row[3], row[4]) for row in rows)
