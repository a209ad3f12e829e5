"""Where matters stand: each move by the table, from where the matter stood; time limits for what is open.

Not the whole history is played again, for the law of the country and the roles of that day are not kept; each move is
held against the rows that its cause can be, from the state that the move before it led to. So every state is what the
table makes of the one before, from the first, and no lawful move is missing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway import row_checks
from gateway.rules import ACTS_NEXT, DONE, FINAL, State, Step, Turn, Where
from gateway.steps import BY_CITATION, INHERITED, PROVISIONAL, RUNS_OUT, WATCHES, runs_out
from gateway.store.fsck.books import Books, File
from gateway.store.fsck.findings import Check, Notes
from gateway.store.matters import MAX_CHAIN, OPEN_STAGES, Stage

_NOT_ARRIVED: Final = frozenset({pb.MILESTONE_REFUSED, pb.MILESTONE_EXPIRED})
_NOT_TAKEN: Final = _NOT_ARRIVED | {pb.MILESTONE_REJECTED}
_STATES: Final = {state.value: state for state in State}
_OPEN: Final = frozenset(stage.value for stage in OPEN_STAGES)
_RINGS: Final = frozenset({Stage.RUNNING.value, Stage.PAUSED.value})
_SAID_LATE: Final = {Stage.OVERDUE.value: pb.MILESTONE_OVERDUE}
_RUNNING_OUT: Final = frozenset((kind, state) for row in RUNS_OUT for kind in row.kinds for state in row.at)


_LIMITS: Final = (
    "SELECT seq, rule, stage, next_at_us IS NOT NULL, by_seq, change FROM clocks WHERE envelope_seq = ? ORDER BY seq"
)


@dataclass(frozen=True, slots=True)
class _Moved:
    """One move; `cause` is the number of the envelope that did it."""

    seq: int
    state: str
    at_us: int
    cause: int | None
    rule: clocks.ClockRule.ValueType


@dataclass(frozen=True, slots=True)
class _Limit:
    """One time limit; `by` is the number of the envelope that changed it last."""

    seq: int
    rule: clocks.ClockRule.ValueType
    stage: str
    rings: bool
    by: int | None
    change: str


def check_envelope(file: File, books: Books, notes: Notes) -> None:
    """Check the matter that an envelope is, and what it did to the one that it is about."""
    above = _above(file.header, books)
    rows = _rows(file.header, above)
    opens = {row.opens for row in rows}
    moved = _moves(file.seq, books)
    if None not in opens and rows and not moved:
        notes.fail(Check.TURNS, str(file), "it asks for something, and has no state")
    if moved:
        _check_moves(file, moved, opens, books, notes)
        _check_ended(file, moved, books, notes)
        _check_turn(file, moved[-1], books, notes)
    _check_followed(file, above, rows, books, notes)
    _check_limits(file, _limits(file.seq, books), moved, books, notes)


def _check_moves(file: File, moved: Sequence[_Moved], opens: set[State | None], books: Books, notes: Notes) -> None:
    first = moved[0]
    if (first.cause, first.at_us) != (file.seq, file.recorded_at_us) or _STATES.get(first.state) not in opens:
        notes.fail(Check.MOVES, f"move {first.seq}", f"{file} cannot begin as {first.state}")
    for position, (before, move) in enumerate(pairwise(moved)):
        was, now = _STATES.get(before.state), _STATES.get(move.state)
        if was is None or now is None or not _follows(file, was, now, move, moved[: position + 1], books):
            notes.fail(Check.MOVES, f"move {move.seq}", f"{file} cannot be {move.state} after {before.state}")


def _check_ended(file: File, moved: Sequence[_Moved], books: Books, notes: Notes) -> None:
    """Check that what was stated without an envelope moved the matter: it was not taken, or a limit ran out."""
    states = {move.state for move in moved}
    said = {word.said.milestone for word in (*file.ends(books.me), *file.of(pb.MILESTONE_REJECTED))}
    if said & _NOT_TAKEN and State.UNDELIVERED.value not in states:
        notes.fail(Check.TURNS, str(file), f"it is {moved[-1].state}, and its recipient never got it")
    for word in file.of(pb.MILESTONE_LAPSED):
        rule = word.said.clock_rule
        if any(move.rule == rule for move in moved):
            continue
        # Of what another node says, this one takes what fits where the matter stands here.
        here = word.said.issuer == books.me
        if here or all(_must_run_out(file.header, rule, _STATES.get(state)) for state in states):
            notes.fail(Check.MOVES, str(file), f"a limit of rule {rule} ran out, and it did not move")


def _must_run_out(header: pb.Header, rule: clocks.ClockRule.ValueType, state: State | None) -> bool:
    if rule == clocks.CLOCK_RULE_EX_POST_VALIDATION and header.urgency != ids.URGENCY_EMERGENCY:
        return False
    return (
        state is not None
        and rule != clocks.CLOCK_RULE_LIMITATION_ANSWER  # which may never have run, as far as is known here
        and runs_out(rule, header.kind, state, elsewhere=True) is not None
    )


def _follows(file: File, was: State, now: State, move: _Moved, history: Sequence[_Moved], books: Books) -> bool:
    if move.cause is not None:
        found = books.envelopes_where("seq = ?", move.cause)
        return bool(found) and found[0].recorded_at_us == move.at_us and now in _leads(found[0], file, was, books)
    if move.rule:
        said = any(word.said.clock_rule == move.rule for word in file.of(pb.MILESTONE_LAPSED))
        rows = (runs_out(move.rule, file.header.kind, was, elsewhere=there) for there in (False, True))
        # Of what is closed it is noted, for the closure may not be taken.
        return said and (any(row is not None and row.to is now for row in rows) or now is was is State.CLOSED)
    if now is State.UNDELIVERED:
        return any(word.said.milestone in _NOT_TAKEN for word in file.words)
    return _is_as_arrived(file, now, history, books)


def _is_as_arrived(file: File, now: State, history: Sequence[_Moved], books: Books) -> bool:
    """Whether it may stand there since something was not taken: where it once stood, or where that leads which was."""
    cited = books.envelopes_where("cited_seq = ?", file.seq)
    answers = (each for one in cited for each in books.envelopes_where("cited_seq = ?", one.seq))
    about = [*cited, *answers]
    taken = [each for each in about if not _is_not_taken(each.seq, books)]
    if len(taken) == len(about):
        return False
    stood = {state for move in history if (state := _STATES.get(move.state)) is not None}
    limits = {move.rule for move in history if move.rule}
    rows = (runs_out(limit, file.header.kind, state, elsewhere=True) for limit in limits for state in stood)
    if now in {row.to for row in rows if row is not None}:
        return True
    return now in stood or any(now in _leads(each, file, was, books) for each in taken for was in stood)


def _is_not_taken(seq: int, books: Books) -> bool:
    return any(
        word.said.milestone in _NOT_ARRIVED
        for file in books.envelopes_where("seq = ?", seq)
        for word in file.ends(books.me)
    )


def _leads(cause: File, matter: File, was: State, books: Books) -> set[State]:
    """Return where an envelope may lead a matter; its own state too, where it may change nothing."""
    header = cause.header
    above = _above(header, books)
    if matter.seq not in [seq for seq, _ in above]:
        return set()
    holds = row_checks.holds_assets(matter.header)
    from_here = header.sender[:2] == books.here
    found: set[State] = set()
    for row in _rows(header, above):
        if not row.moves:
            found.add(was)
        then = row.then(was, header.outcome, header.ground, holds=holds)
        if then is not None:
            found.add(then)
            if row.resumes and then in DONE:
                found |= DONE | {State.SUSPENDED, State.UNAVAILABLE}  # as reported last, or as another claim has it
        if row.rule.where is Where.ABROAD and not from_here:
            late = row.late(was, header.outcome, header.ground, holds=holds)
            found |= set() if late is None else {late}
            if matter.recipient[:2] == books.here and (matter.kind, was) in _RUNNING_OUT:
                found.add(was)  # its limit had run out, and had not rung yet
    return found


def _check_followed(
    file: File, above: Iterable[tuple[int, pb.Header]], rows: Sequence[Step], books: Books, notes: Notes
) -> None:
    """Check that an envelope which moved nothing could change nothing."""
    if not rows or not all(row.moves for row in rows):
        return
    for seq, _ in above:
        history = _moves(seq, books)
        if not history:
            continue
        # Of one moment, no order is kept between what came and what moved.
        earlier = [move for move in history if move.at_us < file.recorded_at_us]
        stood = [*earlier[-1:], *(move for move in history if move.at_us == file.recorded_at_us)]
        if any(move.cause == file.seq for move in history):
            return
        (matter,) = books.envelopes_where("seq = ?", seq)
        states = [state for move in stood if (state := _STATES.get(move.state)) is not None]
        if not any(state in _leads(file, matter, state, books) for state in states):
            notes.fail(Check.MOVES, str(file), f"it did not move {matter}, and must have")
        return


def _check_turn(file: File, last: _Moved, books: Books, notes: Notes) -> None:
    state = _STATES.get(last.state)
    if state is None:
        notes.fail(Check.TURNS, str(file), f"nobody knows what {last.state!r} is")
        return
    if state in FINAL:
        return
    header = file.header
    acts = header.sender if ACTS_NEXT[state] is Turn.SENDER else next(iter(header.recipients), "")
    listed = books.directory is None or bool(books.directory.roles(acts))
    if not acts or not listed:
        notes.fail(Check.TURNS, str(file), f"it is {state.value}, and nobody is {acts!r}")


def _check_limits(file: File, limits: Sequence[_Limit], moved: Sequence[_Moved], books: Books, notes: Notes) -> None:
    state = _STATES.get(moved[-1].state) if moved else None
    for limit in limits:
        where = f"time limit {limit.seq}"
        if state is None or file.recipient[:2] != books.here:
            notes.fail(Check.CLOCKS, where, f"{file} is no matter whose clock this node keeps")
        elif limit.stage in _OPEN and state in FINAL:
            notes.fail(Check.CLOCKS, where, f"it is {limit.stage}, and {file} has ended")
        if limit.change == "started" and not (_watches(limit, moved) or _may_start(limit, books)):
            notes.fail(Check.CLOCKS, where, "by the table, its cause does not make it run")
        if limit.stage in _RINGS and not limit.rings:
            notes.fail(Check.CLOCKS, where, f"it is {limit.stage}, and will never ring")
        said = _SAID_LATE.get(limit.stage)
        if said is not None and not any(word.said.clock_rule == limit.rule for word in file.of(said)):
            notes.fail(Check.CLOCKS, where, "it is overdue, and nobody was told")


def _watches(limit: _Limit, moved: Sequence[_Moved]) -> bool:
    """Whether a limit belongs to a state in which the matter has been, whatever led there."""
    return any(WATCHES.get(state) == limit.rule for move in moved if (state := _STATES.get(move.state)) is not None)


def _may_start(limit: _Limit, books: Books) -> bool:
    found = books.envelopes_where("seq = ?", limit.by)
    if not found:
        return False
    rows = _rows(found[0].header, _above(found[0].header, books))
    return any(
        limit.rule in {start.rule for effect in (row.clocks, row.above) for start in effect.starts}
        or (row.inherits and limit.rule in INHERITED)
        or limit.rule == row.revives
        for row in rows
    )


def _rows(header: pb.Header, above: Iterable[tuple[int, pb.Header]]) -> list[Step]:
    """Return the rows that an envelope can be: who had which role that day is not kept."""
    if not header.recipients:
        return []
    where = Where.HOME if header.sender[:2] == header.recipients[0][:2] else Where.ABROAD
    cited = next((each.kind for _, each in above), None)
    if header.kind == ids.KIND_PROVISIONAL_ORDER and cited in PROVISIONAL:
        cited = ids.KIND_ACKNOWLEDGEMENT  # programs before let it cite the request itself
    found = {
        id(row): row
        for (rule, kind), row in BY_CITATION.items()
        if rule.kind == header.kind
        and rule.where is where
        and (kind == cited or (cited is None and _fits(header, row)))
    }
    return [*found.values()]


def _fits(header: pb.Header, row: Step) -> bool:
    """Whether a row is of what cites nothing, or nothing that is known here."""
    return not row.cites if not header.cites else row.cites_elsewhere


def _above(header: pb.Header, books: Books) -> list[tuple[int, pb.Header]]:
    """Return what an envelope cites first, what that cites first and so on, as far as it is recorded."""
    found: list[tuple[int, pb.Header]] = []
    while header.cites and len(found) < MAX_CHAIN:
        cited = books.header(header.cites[0].sender, header.cites[0].id)
        if cited is None:
            break
        found.append(cited)
        header = cited[1]
    return found


def _moves(seq: int, books: Books) -> list[_Moved]:
    rows = books.rows(
        "SELECT seq, state, at_us, cause_seq, clock_rule FROM moves WHERE envelope_seq = ? ORDER BY seq", seq
    )
    return [_Moved(*row) for row in rows]


def _limits(seq: int, books: Books) -> list[_Limit]:
    rows = books.rows(_LIMITS, seq)
    return [_Limit(*row) for row in rows]


def check_strays(books: Books, notes: Notes) -> None:
    """Check that what moves or runs is of something that is recorded."""
    for check, table in ((Check.MOVES, "moves"), (Check.CLOCKS, "clocks")):
        stray = (
            f"SELECT t.seq FROM {table} t LEFT JOIN envelopes e ON e.seq = t.envelope_seq"  # noqa: S608  our own word
            " WHERE e.seq IS NULL ORDER BY t.seq"
        )
        for (seq,) in books.offenders(stray):
            notes.fail(check, f"{table} {seq}", "of nothing that is recorded")
