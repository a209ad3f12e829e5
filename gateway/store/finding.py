"""Finds envelopes among millions, the newest first.

In: what they have to be, and behind which place to go on. Out: a page of them, and the place where it ends. An index
leads to whatever one can: ids, cases, copies that wait, errors. Everything else is looked for among the newest, so many
at a call and no more; a narrow index has of each when it was recorded, its parties and its kind, and grows at its end
alone: one a party would have cost the log of writes 5.9 KB more an envelope, of 15 (two hundred parties, commits of
64). What was only refused is found by its id and by its code: nothing else of it is known for certain. Refuses with
MALFORMED a place that no answer named.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import chain, islice
from typing import Any, Final, TypeAlias

from rogatory.v1 import envelope_pb2 as pb
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
)

from gateway.errors import ErrorCode, Refusal
from gateway.identity import NODE_NAME
from gateway.lifecycle import FINAL, State
from gateway.store.connection import asked
from gateway.store.schema import PENDING_SQL, deliveries, envelopes, events, receipts

MAX_SCANNED: Final = 200_000
"""Envelopes that one call looks through for what the narrow index tells: some 50 ms."""

MAX_LOOKED: Final = 20_000
"""Rows that one call looks through where each leads to others: as long."""

CHUNK: Final = 256
"""Rows that are read from an index at once."""

FIRST_WINDOW: Final = 2_000
"""Of those, so many at first: most of what is looked for is not old."""

LEAST_READ: Final = 256
"""Candidates that are looked at together, however few are still wanted."""

WAITING: Final = tuple(state for state in State if state not in FINAL)

# As text: bound as parameters, these would not lead to the index.
_FAILED = text("events.code <> 0")
# What a stranger brought under somebody's name says nothing of what is recorded under it.
_BY_A_PARTY: Final = or_(
    events.c.name != "envelope.refused", events.c.actor == events.c.sender, events.c.actor.endswith(f"/{NODE_NAME}")
)
_PLACE: Final = re.compile(r"[cder][0-9]{1,18}")
_FURTHEST: Final = (*WAITING, State.EXPIRED, State.REFUSED, State.DELIVERED)

NO_NUMBER: Final = (1 << 62) - 1
"""Above all numbers of rows."""

_WINDOW: Final = (
    "SELECT recorded_at_us, seq FROM envelopes WHERE (recorded_at_us, seq) >= (?, ?) AND (recorded_at_us, seq) < (?, ?)"
)
_A_COPY: Final = "EXISTS (SELECT 1 FROM deliveries d WHERE d.envelope_seq = envelopes.seq{})"
_BACKWARDS: Final = "ORDER BY recorded_at_us DESC, seq DESC LIMIT ?"
_EDGE: Final = f"{_WINDOW} ORDER BY recorded_at_us DESC, seq DESC LIMIT 1 OFFSET ?"
_FIRST_SINCE: Final = "SELECT seq FROM envelopes WHERE recorded_at_us >= ? ORDER BY recorded_at_us, seq LIMIT 1"
_LAST_BEFORE: Final = (
    "SELECT seq FROM envelopes WHERE recorded_at_us < ? ORDER BY recorded_at_us DESC, seq DESC LIMIT 1"
)
_LAST_COPY_UNTIL: Final = "SELECT seq FROM deliveries WHERE envelope_seq <= ? ORDER BY envelope_seq DESC LIMIT 1"
_IN_LANE: Final = (
    f"SELECT seq, envelope_seq, state FROM deliveries WHERE state IN {PENDING_SQL} AND destination = ? AND lane = ?"  # noqa: S608
    " AND seq < ? ORDER BY seq DESC LIMIT ?"
)
_NEXT_LANE: Final = (
    f"SELECT destination, lane FROM deliveries WHERE state IN {PENDING_SQL} AND (destination, lane) > (?, ?)"  # noqa: S608
    " ORDER BY destination, lane LIMIT 1"
)
_WITH_CODE: Final = (
    "SELECT seq, sender, envelope_id, at_us FROM events WHERE code <> 0 AND code = ? AND envelope_id <> '' AND seq >= ?"
    " AND seq < ? ORDER BY seq DESC LIMIT ?"
)

Name: TypeAlias = tuple[str, str]
"""Sender and id."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an envelope has to be: all of it. What is empty or 0 may be anything.

    Args:
        node: a country of its sender or recipient.
        from_us: recorded at or after.
        until_us: recorded before.
        states: a copy of it is in one of them.
        code: it was refused, or an attempt at it failed, with that.
        destination: a copy of it goes there; that very one is in one of the states.
    """

    id: str = ""
    case_id: str = ""
    participant: str = ""
    node: str = ""
    from_us: int = 0
    until_us: int = 0
    states: tuple[State, ...] = ()
    kind: int = 0
    code: int = 0
    destination: str = ""


@dataclass(frozen=True, slots=True)
class CopyRow:
    """One copy on its way."""

    destination: str
    state: State
    attempts: int
    next_attempt_at_us: int
    last_error: str


@dataclass(frozen=True, slots=True)
class FoundRow:
    """One envelope; of what was only refused there is no recipient, kind, case or copy."""

    sender: str
    id: str
    recipient: str
    kind: int
    case_id: str
    recorded_at_us: int
    copy: CopyRow | None
    code: int


@dataclass(frozen=True, slots=True)
class Page:
    """What was found, and where to go on; empty: there is no more."""

    found: tuple[FoundRow, ...]
    next: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Something that may be wanted: its place in what is looked through, and its number; None: it was only refused."""

    place: int
    seq: int | None
    refused: FoundRow | None = None


@dataclass(slots=True)
class _Search:
    """What is looked through, the newest first.

    Args:
        ask: asks in our own SQL, which takes a tenth of the time where questions are many and small.
        letter: names it, so that nobody goes on in another one.
        candidates: all of it below a place.
        end: where it goes on once the candidates are through; 0: nowhere.
        looked: rows that were looked through.
        numbers: of the envelopes that were found.
    """

    connection: Connection
    ask: Callable[[str, Sequence[object]], list[Any]]
    wanted: Wanted
    letter: str = ""
    candidates: Iterator[_Candidate] = field(default_factory=lambda: iter(()))
    end: int = 0
    looked: int = 0
    numbers: dict[Name, int] = field(default_factory=dict)


def find(connection: Connection, wanted: Wanted, limit: int, after: str) -> Page:
    """Return a page of what is wanted.

    Args:
        connection: in a transaction, if all pages' rows shall be of one moment.
        wanted: what they have to be.
        limit: so many at most.
        after: where the page before ended; empty: from the newest.

    Raises:
        Refusal: MALFORMED, `after` is no end of a page of this question.
    """
    search = _begin(connection, wanted, after)
    found: dict[Name, FoundRow] = {}
    while some := list(islice(search.candidates, max(limit - len(found), LEAST_READ))):
        rows = _read(search, [each.seq for each in some if each.seq is not None])
        for each in some:
            row = each.refused if each.seq is None else rows.get(each.seq)
            if row is not None:
                found.setdefault((row.sender, row.id), row)
            if len(found) >= limit:
                return _page(search, found.values(), each.place)
        if search.looked >= MAX_LOOKED:
            return _page(search, found.values(), some[-1].place)
    return _page(search, found.values(), search.end)


def _page(search: _Search, found: Iterable[FoundRow], place: int) -> Page:
    rows = _complete(search, list(found))
    return Page(tuple(rows), f"{search.letter}{place}" if place else "")


def _begin(connection: Connection, wanted: Wanted, after: str) -> _Search:
    if after and not _PLACE.fullmatch(after):
        raise Refusal(ErrorCode.MALFORMED, "this is no place where a page ended", "after")
    search = _Search(connection, asked(connection).ask, wanted)
    below = int(after[1:]) if after else None
    if wanted.id:
        search.letter, search.candidates = "c", _of_id(search, below)
    elif wanted.case_id:
        search.letter, search.candidates = "c", _of_case(search, below)
    elif wanted.states and not FINAL & {*wanted.states}:
        search.letter, search.candidates = "d", _waiting(search, below)
    elif wanted.code:
        search.letter, search.candidates = "r", _failed(search, below)
    else:
        search.letter, search.candidates = "e", _newest(search, below)
    if after and after[0] != search.letter:
        raise Refusal(ErrorCode.MALFORMED, "a page of another question ended there", "after")
    return search


# What leads to candidates.


def _of_id(search: _Search, below: int | None) -> Iterator[_Candidate]:
    condition = envelopes.c.id == search.wanted.id
    recorded = search.connection.execute(select(envelopes.c.seq, envelopes.c.sender).where(condition)).all()
    numbers = sorted((row.seq for row in recorded), reverse=True)
    yield from (_Candidate(seq, seq) for seq in numbers if below is None or seq < below)
    if below is None:
        # The oldest numbers of all are theirs who have none.
        refused = _only_refused(search, {row.sender for row in recorded})
        yield from (_Candidate(0, None, row) for row in refused)


def _of_case(search: _Search, below: int | None) -> Iterator[_Candidate]:
    conditions = [envelopes.c.case_id == search.wanted.case_id]
    if below is not None:
        conditions.append(envelopes.c.seq < below)
    # A sum, so that no planner walks over all envelopes in their order to find the few of a case.
    by_number: ColumnElement[int] = literal_column("envelopes.seq + 0")
    query = select(envelopes.c.seq).where(*conditions).order_by(by_number.desc())
    numbers = search.connection.scalars(query.limit(MAX_LOOKED)).all()
    if len(numbers) == MAX_LOOKED:
        search.end = numbers[-1]
    return (_Candidate(seq, seq) for seq in numbers)


def _waiting(search: _Search, below: int | None) -> Iterator[_Candidate]:
    """Look through what waits, for each destination and lane from its newest on: that is how the index has them."""
    wanted, low = search.wanted, 0
    if wanted.from_us:
        low = _number(search, _FIRST_SINCE, wanted.from_us, NO_NUMBER)
    if wanted.until_us:
        newest = _number(search, _LAST_BEFORE, wanted.until_us, 0)
        first_after = _number(search, _LAST_COPY_UNTIL, newest, 0) + 1
        below = first_after if below is None else min(below, first_after)
    states = [state.value for state in search.wanted.states]
    lanes = (_descending(search, _IN_LANE, lane, below) for lane in _lanes(search))
    rows = merge(*lanes, key=lambda row: int(row[0]), reverse=True)
    for place, seq, state in rows:
        if seq is not None and seq < low:
            return
        yield _Candidate(place, seq if state in states else None)


def _lanes(search: _Search) -> Iterator[tuple[str, int]]:
    """Yield where anything waits, by as many steps in the index."""
    at: tuple[str, int] = ("", -1)
    while found := search.ask(_NEXT_LANE, at):
        at = tuple(found[0])
        if search.wanted.destination in ("", at[0]):
            yield at


def _failed(search: _Search, below: int | None) -> Iterator[_Candidate]:
    """Look through the events that have the code; an envelope is where its last one is."""
    wanted = search.wanted
    low = _first_event(search, wanted.from_us) if wanted.from_us else 0
    told = _descending(search, _WITH_CODE, (wanted.code, low), below)
    seen = set[Name]()
    while some := list(islice(told, CHUNK)):
        # Each is asked about once: of one that was refused without end, all events would be read for each of them.
        known = {row[2] for row in some if (row[1], row[2]) not in seen}
        seen |= {(row[1], row[2]) for row in some}
        last = {row.seq for row in _last_failed(search.connection, known, wanted.code).values()} if known else set()
        numbers = _numbers_of(search.connection, known)
        for seq, sender, envelope_id, at_us in some:
            if seq not in last:
                yield _Candidate(seq, None)
            elif (sender, envelope_id) in numbers:
                yield _Candidate(seq, numbers[sender, envelope_id])
            else:
                yield _Candidate(seq, None, _refused(wanted, sender, envelope_id, at_us, wanted.code))


def _newest(search: _Search, below: int | None) -> Iterator[_Candidate]:
    """Look through the newest envelopes, so many and no more, in windows that the narrow index tells apart."""
    wanted = search.wanted
    above, under = (wanted.from_us, 0), (wanted.until_us or NO_NUMBER, 0)
    if below is not None:
        rows = search.ask("SELECT recorded_at_us FROM envelopes WHERE seq = ?", (below,))
        if not rows:
            raise Refusal(ErrorCode.MALFORMED, "this is no place where a page ended", "after")
        under = min(under, (rows[0][0], below))
    where, values = _in_index(wanted)
    scanned, window, most = 0, FIRST_WINDOW, MAX_LOOKED if wanted.states or wanted.destination else MAX_SCANNED
    while scanned < most:
        window = min(window, most - scanned)
        edge = search.ask(_EDGE, (*above, *under, window - 1))
        end = tuple(edge[0]) if edge else above
        matching = f"{_WINDOW} {where} {_BACKWARDS}"
        while rows := search.ask(matching, (*end, *under, *values, CHUNK)):
            search.looked += len(rows)
            yield from (_Candidate(seq, seq) for _, seq in rows)
            under = tuple(rows[-1])
        if not edge:
            search.end = 0
            return
        under, scanned, window = end, scanned + window, window * 8
        search.end = end[1]


def _in_index(wanted: Wanted) -> tuple[str, list[object]]:
    """Return what can be said of an envelope by the narrow index alone, and where its copies are."""
    conditions: dict[str, list[object]] = {}
    if wanted.participant:
        conditions["(sender = ? OR recipient = ?)"] = [wanted.participant] * 2
    if wanted.node:
        conditions["(substr(sender, 1, 3) = ? OR substr(recipient, 1, 3) = ?)"] = [f"{wanted.node}/"] * 2
    if wanted.kind:
        conditions["kind = ?"] = [wanted.kind]
    if wanted.states or wanted.destination:
        at = " AND d.destination = ?" if wanted.destination else ""
        within = f" AND d.state IN ({', '.join('?' * len(wanted.states))})" if wanted.states else ""
        values = [wanted.destination] if wanted.destination else []
        conditions[_A_COPY.format(at + within)] = [*values, *(state.value for state in wanted.states)]
    return "".join(f" AND {each}" for each in conditions), list(chain.from_iterable(conditions.values()))


def _number(search: _Search, query: str, key: int, otherwise: int) -> int:
    """Return the number that an index has for a key."""
    rows = search.ask(query, (key,))
    return int(rows[0][0]) if rows else otherwise


def _descending(search: _Search, query: str, values: Sequence[object], below: int | None) -> Iterator[Any]:
    """Yield the rows of what an index has, the greatest number first; a few at a time."""
    size = 1
    while True:
        rows = search.ask(query, (*values, NO_NUMBER if below is None else below, size))
        search.looked += len(rows)
        yield from rows
        if len(rows) < size:
            return
        below = rows[-1][0]
        # Most destinations have nothing as new as what one page shows.
        size = min(size * 8, CHUNK)


def _first_event(search: _Search, moment_us: int) -> int:
    """Return the number of the first event of a moment or later: found by halves, as both grow with each other."""
    # Two questions in one: SQLite reads all numbers to tell the least and the greatest of them together.
    ((first, last),) = search.ask("SELECT (SELECT min(seq) FROM events), (SELECT max(seq) FROM events)", ())
    low, high = first or 0, (last or 0) + 1
    while low < high:
        middle = (low + high) // 2
        rows = search.ask("SELECT seq, at_us FROM events WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,))
        if not rows or rows[0][1] >= moment_us:
            high = middle
        else:
            low = rows[0][0] + 1
    return high


# Whether a candidate is wanted, and what is told of it.


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    of = envelopes.c
    conditions: list[ColumnElement[bool]] = []
    if wanted.id:
        conditions.append(of.id == wanted.id)
    if wanted.case_id:
        conditions.append(of.case_id == wanted.case_id)
    if wanted.participant:
        conditions.append(or_(of.sender == wanted.participant, of.recipient == wanted.participant))
    if wanted.node:
        conditions.append(or_(*(func.substr(each, 1, 3) == f"{wanted.node}/" for each in (of.sender, of.recipient))))
    if wanted.from_us:
        conditions.append(of.recorded_at_us >= wanted.from_us)
    if wanted.until_us:
        conditions.append(of.recorded_at_us < wanted.until_us)
    if wanted.kind:
        conditions.append(of.kind == wanted.kind)
    if wanted.states or wanted.destination:
        conditions.append(exists().where(deliveries.c.envelope_seq == of.seq, *_of_copy(wanted)))
    if wanted.code:
        named = and_(events.c.envelope_id == of.id, events.c.sender == of.sender)
        conditions.append(exists().where(named, events.c.code == wanted.code))
    return conditions


def _of_copy(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    """Yield what one and the same copy has to be."""
    if wanted.states:
        yield deliveries.c.state.in_([state.value for state in wanted.states])
    if wanted.destination:
        yield deliveries.c.destination == wanted.destination


def _read(search: _Search, numbers: Sequence[int]) -> dict[int, FoundRow]:
    """Return those that are wanted, without copies and codes."""
    if not numbers:
        return {}
    of = envelopes.c
    columns = (of.seq, of.sender, of.id, of.recipient, of.kind, of.case_id, of.recorded_at_us)
    rows = search.connection.execute(select(*columns).where(of.seq.in_(numbers), *_conditions(search.wanted)))
    found = {row[0]: FoundRow(*row[1:], copy=None, code=search.wanted.code) for row in rows}
    search.numbers |= {(row.sender, row.id): seq for seq, row in found.items()}
    return found


def _complete(search: _Search, rows: Sequence[FoundRow]) -> Iterator[FoundRow]:
    """Add to each envelope the copy that has come least far, and why the last attempt at it failed."""
    recorded = [row for row in rows if row.kind]
    numbers = search.numbers
    copies = _copies(search, [numbers[row.sender, row.id] for row in recorded])
    known = {row.id for row in recorded}
    codes = {} if search.wanted.code else _last_failed(search.connection, known, 0, _BY_A_PARTY)
    for row in rows:
        if not row.kind:
            yield row
            continue
        name = (row.sender, row.id)
        copy = copies.get(numbers[name])
        failed = codes.get(name)
        ended_well = copy is not None and copy.state is State.DELIVERED
        code = row.code if failed is None or ended_well else failed.code
        yield FoundRow(row.sender, row.id, row.recipient, row.kind, row.case_id, row.recorded_at_us, copy, code)


def _copies(search: _Search, numbers: Sequence[int]) -> dict[int, CopyRow]:
    """Return of each envelope the copy that has come least far; of those in a wanted state, if there is one."""
    of = deliveries.c
    columns = (of.envelope_seq, of.destination, of.state, of.attempts, of.next_attempt_at_us, of.last_error)
    found: dict[int, CopyRow] = {}
    for row in search.connection.execute(select(*columns).where(of.envelope_seq.in_(numbers)).order_by(of.seq)):
        copy = CopyRow(row[1], State(row[2]), *row[3:])
        known = found.get(row[0])
        if known is None or _rank(search.wanted, copy) < _rank(search.wanted, known):
            found[row[0]] = copy
    return found


def _rank(wanted: Wanted, copy: CopyRow) -> tuple[bool, bool, int]:
    elsewhere = wanted.destination not in ("", copy.destination)
    return elsewhere, copy.state not in wanted.states, _FURTHEST.index(copy.state)


def _numbers_of(connection: Connection, known: Iterable[str]) -> dict[Name, int]:
    of = envelopes.c
    rows = connection.execute(select(of.sender, of.id, of.seq).where(of.id.in_([*known])))
    return {(row.sender, row.id): row.seq for row in rows}


def _last_failed(
    connection: Connection, known: Iterable[str], code: int, *which: ColumnElement[bool]
) -> dict[Name, Any]:
    """Return the last event of each envelope that has a code, or that very one."""
    of = events.c
    which = (of.code == code, *which) if code else which
    last = (
        select(func.max(of.seq))
        .where(of.envelope_id.in_([*known]), _FAILED, *which)
        .group_by(of.sender, of.envelope_id)
        .scalar_subquery()
    )
    rows = connection.execute(select(of.seq, of.sender, of.envelope_id, of.at_us, of.code).where(of.seq.in_(last)))
    return {(row.sender, row.envelope_id): row for row in rows}


# What was never recorded.


def _only_refused(search: _Search, recorded: Iterable[str]) -> Iterator[FoundRow]:
    """Yield what was refused under an id by those who never had one recorded under it."""
    wanted, connection, known = search.wanted, search.connection, {*recorded}
    told = defaultdict[str, list[tuple[int, int]]](list)
    for name, row in _last_failed(connection, [wanted.id], wanted.code).items():
        told[name[0]].append((row.at_us, row.code))
    # Once the events are pruned, the signed refusal still tells.
    signed = select(receipts.c.sender, receipts.c.at_us, receipts.c.statement).where(
        receipts.c.id == wanted.id, receipts.c.milestone == pb.MILESTONE_REFUSED
    )
    for sender, at_us, raw in connection.execute(signed.order_by(receipts.c.seq).limit(CHUNK)):
        told[sender].append((at_us, pb.Statement.FromString(raw).code))
    for sender in sorted(told.keys() - known):
        at_us, code = max(told[sender])
        found = _refused(wanted, sender, wanted.id, at_us, code)
        if found is not None and wanted.code in (0, code):
            yield found


def _refused(wanted: Wanted, sender: str, envelope_id: str, at_us: int, code: int) -> FoundRow | None:
    """Return what was only refused, if it can be what is wanted: for whom it was, and what it was, nobody knows."""
    if wanted.case_id or wanted.kind or wanted.states or wanted.destination:
        return None
    if wanted.participant not in ("", sender) or wanted.node not in ("", sender[:2]):
        return None
    if at_us < wanted.from_us or (wanted.until_us and at_us >= wanted.until_us):
        return None
    return FoundRow(sender, envelope_id, "", 0, "", at_us, None, code)
