"""What changes a matter though no envelope comes: another node, a recipient or the time said no.

In: what was said, and the writer's transaction. A step that was not taken in the end changes nothing: what it asked for
is not asked, and what it moved is moved back.
"""

from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway import effects, procedure, row_checks
from gateway.deadlines import LIMITS
from gateway.envelope import ref_of
from gateway.formats.checks.clocks import LENGTHS
from gateway.identity import Address
from gateway.policy import Policy
from gateway.rules import FINAL, ClockRule, Kind, State
from gateway.standing import COUNTS, Happened, Left
from gateway.steps import LAPSING, STEPS, WATCHES, WATCHING, runs_out
from gateway.store import Transaction
from gateway.store.matters import ClockRow, MoveRow, Stage

_ASKING: Final[frozenset[Kind]] = frozenset(
    step.rule.kind for step in STEPS for start in step.clocks.starts if LIMITS[start.rule].from_receipt
)
"""What asks for an answer in a time that counts from its receipt."""
_PAUSING: Final = MappingProxyType(
    {(rule, step.rule.kind, step.rule.where): step.clocks.pauses_on for step in STEPS for rule in step.clocks.pauses}
)
"""By a limit, a kind and where it goes: with which outcomes the limit rests."""
_ANSWERING: Final[frozenset[tuple[ClockRule, Kind]]] = frozenset(
    (rule, step.rule.kind) for step in STEPS for rule in step.clocks.resumes
)
"""What lets a limit run on, if it cites what made it rest."""
_LEAST: Final = MappingProxyType({rule: bounds.least for rule, bounds in LENGTHS.items()})
"""How long a limit is at least, whatever calendar and policy another node counts by."""


def arrived(header: pb.Header, txn: Transaction) -> None:
    """Let the time limits begin that an envelope asks for, and that count from when it was received.

    Args:
        header: of what the other node has accepted.
        txn: the writer's transaction.
    """
    if header.kind not in _ASKING:
        return
    for matter, _ in txn.matters.chain(header)[1:]:
        for clock in txn.matters.resting(matter, header):
            begun = effects.arrived(matter, clock.rule, txn.now_us)
            txn.matters.begin_clock(clock.seq, begun.start_us, begun.due_us, begun.next_us)


def not_taken(header: pb.Header, txn: Transaction, *, arrived: bool = False) -> None:
    """Let what an envelope asks for be asked no more, since its recipient does not have it or could not read it.

    Args:
        header: its header.
        txn: the writer's transaction.
        arrived: its recipient's node has recorded it, so what it did to other matters stands at both nodes: signed
            headers decide, not whether somebody can read the document. Else it did nothing, and that is undone.
    """
    ref, matters = ref_of(header), txn.matters
    state = matters.state(ref)
    # Also of what has ended meanwhile, e.g. was closed by whoever asked: both nodes then say the same of it.
    if state is not None and state is not State.UNDELIVERED:
        matters.add_move(ref, State.UNDELIVERED, None)
        matters.end_clocks(ref, None, Stage.STOPPED)
    if arrived:
        return
    _pass_on(header, txn)
    matters.undo_clocks(ref)
    if header.kind in COUNTS:
        _leave_out(header, txn)
    # What runs again must not run in what has ended meanwhile.
    for above, standing in matters.chain(ref):
        if standing in FINAL:
            matters.end_clocks(ref_of(above), None, Stage.STOPPED)


def _pass_on(lost: pb.Header, txn: Transaction) -> None:
    """Let what rests because of an envelope rest on, if another has asked for that since and waits for its answer.

    From then on: what had run out by that time was not to rest any more.
    """
    for matter, _ in txn.matters.chain(lost)[1:]:
        for limit in txn.matters.paused(matter, lost):
            after = next(_asking_since(lost, matter, limit.rule, txn), None)
            if after is not None and after[1] < limit.due_at_us:
                txn.matters.pass_on(limit.seq, *after)


def _asking_since(
    lost: pb.Header, matter: pb.Header, rule: ClockRule, txn: Transaction
) -> Iterator[tuple[pb.Header, int]]:
    """Yield what was recorded after an envelope, lets a limit rest, and was neither lost nor answered; and when."""
    here = Address.parse(lost.sender).node
    kinds = {kind for of, kind, _ in _PAUSING if of == rule} | {kind for of, kind in _ANSWERING if of == rule}
    about = txn.matters.about(ref_of(matter), kinds)
    txn.expect_words(ref_of(each) for each, _ in about)
    about = [each for each in about if each[0] == lost or not procedure.was_lost(txn, here, each[0])]
    answered = [each.cites[0] for each, _ in about if (rule, each.kind) in _ANSWERING]
    for each, at_us in about[1 + [header for header, _ in about].index(lost) :]:
        where = row_checks.where_of(each.sender, each.recipients[0])
        if each.outcome in _PAUSING.get((rule, each.kind, where), ()) and ref_of(each) not in answered:
            yield each, at_us


def _leave_out(lost: pb.Header, txn: Transaction) -> None:
    """Let the matter that an envelope is about stand, and its time limits end, as what has arrived tells."""
    matters, here = txn.matters, Address.parse(lost.sender).node
    matter, stood = next(((each, stood) for each, stood in matters.chain(lost)[1:] if stood is not None), (lost, None))
    if stood is None:
        return
    ref = ref_of(matter)
    left = Left(matter, matters.moves(ref)[0].state, lambda sent: procedure.was_lost(txn, here, sent))
    about = matters.about(ref, COUNTS)
    txn.expect_words(ref_of(each) for each, _ in about)
    limits = matters.clocks(ref)
    for each, at_us in _happened(ref, about, txn):
        row = left.take(each)
        if row is not None and each.header is not None and each.header.outcome in row.clocks.stops_on:
            met = [limit for limit in limits if limit.rule in row.clocks.stops and _could_meet(limit, at_us)]
            if met:
                matters.end_clocks(ref, [limit.rule for limit in met], Stage.MET, each.header)
                limits = [limit for limit in limits if limit not in met]
    if stood not in (left.state, State.UNDELIVERED):
        matters.add_move(ref, left.state, None)
        txn.add_event(ref, "matter.moved-back", detail=f"{lost.sender} {lost.id} was not taken")
    if stood is not State.UNDELIVERED and effects.keeps_clocks(matter, here):
        _watch(matter, left.state, txn)


def _watch(matter: pb.Header, state: State, txn: Transaction) -> None:
    """Let that limit alone watch a matter which belongs to where it stands now; the law's own, as `arrived`."""
    ref, rule = ref_of(matter), WATCHES.get(state)
    running = {limit.rule for limit in txn.matters.clocks(ref)}
    over = running & WATCHING - {rule}
    if over:
        txn.matters.end_clocks(ref, over, Stage.STOPPED)
    if rule is not None and rule not in running:
        begun = effects.watch(matter, rule, txn.now_us, Policy.none())
        txn.matters.start_clock(ref, rule, begun.start_us, begun.due_us, begun.next_us, matter)


def _happened(
    ref: ids.EnvelopeRef, about: Iterable[tuple[pb.Header, int]], txn: Transaction
) -> Iterator[tuple[Happened, int]]:
    """Yield what happened to a matter, and when: a limit that has lapsed here ended it when it was due."""
    moves, limits = txn.matters.moves(ref), txn.matters.all_clocks(ref)
    moved = {(move.cause.sender, move.cause.id): number for number, move in enumerate(moves) if move.cause is not None}
    lapses = [
        (*(_due(move, limits) or (move.at_us, number)), Happened(move.state, rule=move.rule))
        for number, move in enumerate(moves)
        if move.rule
    ]
    for header, at_us in about:
        number = moved.get((header.sender, header.id))
        # Of one moment, when another node's word came: as they were recorded.
        while lapses and lapses[0][:2] < (at_us, len(moves) if number is None else number):
            due_us, _, lapse = lapses.pop(0)
            yield lapse, due_us
        yield Happened(None if number is None else moves[number].state, header), at_us
    for due_us, _, lapse in lapses:
        yield lapse, due_us


def _due(lapse: MoveRow, limits: Iterable[ClockRow]) -> tuple[int, int] | None:
    """Return when a limit that is kept here was due, before all else of that moment; None: another node keeps it."""
    due = [each.due_at_us for each in limits if each.rule == lapse.rule and each.due_at_us <= lapse.at_us]
    return (max(due), -1) if due else None


def _could_meet(limit: ClockRow, at_us: int) -> bool:
    """Whether a limit ran at some time, and what lapses then had not."""
    return limit.started_at_us <= at_us and (limit.rule not in LAPSING or limit.due_at_us > at_us)


def lapsed_elsewhere(said: pb.Statement, header: pb.Header, txn: Transaction) -> None:
    """Take the word of the node that keeps the clock: the matter has lapsed, or binds no longer."""
    matters = txn.matters
    state = matters.state(said.envelope)
    row = None if state is None else runs_out(said.clock_rule, header.kind, state, elsewhere=True)
    if row is not None:
        matters.add_move(said.envelope, row.to, None, said.clock_rule)
    elif state is State.CLOSED:
        # It stays closed, unless what closed it is not taken there, for it had lapsed: then this is what counts.
        matters.add_move(said.envelope, state, None, said.clock_rule)


def lapses_not_before_us(rule: ClockRule, header: pb.Header, txn: Transaction) -> int | None:
    """Return before when a limit of ours that another node keeps cannot have run out, as far as is known here.

    Args:
        rule: of the limit.
        header: of the matter.
        txn: the writer's transaction.

    Returns:
        Microseconds, by the clocks of who made the envelopes; None: it cannot have run at all.
    """
    match rule:
        case clocks.CLOCK_RULE_EX_POST_VALIDATION if header.urgency != ids.URGENCY_EMERGENCY:
            return None
        case clocks.CLOCK_RULE_LIMITATION_ANSWER:
            began = txn.citing(header, ids.KIND_LIMITATION_REQUEST)
        case clocks.CLOCK_RULE_CLARIFICATION:
            began = txn.citing(header, ids.KIND_CLARIFICATION_REQUEST)
        case clocks.CLOCK_RULE_PRESERVATION_EXTENSION:
            extended = txn.citing(header, ids.KIND_EXTENSION)
            before_us = lapses_not_before_us(clocks.CLOCK_RULE_PRESERVATION, header, txn) if extended else None
            ends_us = [each.in_force_until_us for each in extended if each.HasField("in_force_until_us")]
            return None if before_us is None else min([before_us + _LEAST[rule], *ends_us])
        case _:
            began = [header]
    return began[0].created_at_us + _LEAST.get(rule, 0) if began else None
