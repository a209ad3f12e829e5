"""Time limits ring: both parties and the operator are told, and what is only provisional lapses.

In: limits that have something to say by now. Out: signed statements, and moves. A limit rings by itself, on the
writer's clock, also after a restart: what is due is read from the store.
"""

from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway import effects, record
from gateway.deadlines import LIMITS, Ends
from gateway.effects import is_over, keeps_clocks, next_word_us
from gateway.envelope import ref_of
from gateway.policy import Policy
from gateway.receipt import Scribe
from gateway.rules import FINAL, State
from gateway.steps import DECIDED_BELOW, INHERITED, LAPSING, ORDERED_BELOW, RUNNING_OUT, runs_out
from gateway.store import Transaction
from gateway.store.matters import ClockRow, Stage

MOST_AT_ONCE: Final = 256
"""In one transaction: years of limits may ring at once when a node was down."""


def ring(scribe: Scribe, txn: Transaction, policy: Policy) -> int:
    """Let the limits ring that have something to say; return how many: as many as fit, so there may be more.

    Args:
        scribe: says it.
        txn: the writer's transaction.
        policy: shorter limits of the node's country.
    """
    # A rule that is not known is of a later version, whose process on this store lets it ring.
    rung = txn.matters.due_clocks(LIMITS, MOST_AT_ONCE)
    for clock in rung:
        header, state = txn.find(clock.ref), txn.matters.state(clock.ref)
        if header is None or state is None or state in FINAL:
            txn.matters.set_clock(clock.seq, Stage.STOPPED, None)
        elif txn.now_us < clock.due_at_us:
            scribe.timed(clock, pb.MILESTONE_DUE_SOON, header, txn)
            next_us = next_word_us(clock.rule, clock.started_at_us, clock.due_at_us, txn.now_us)
            txn.matters.set_clock(clock.seq, clock.stage, next_us)
        else:
            _run_out(clock, header, state, scribe, txn, policy)
    return len(rung)


def ring_above(header: pb.Header, scribe: Scribe, txn: Transaction, policy: Policy) -> None:
    """Let what has run out ring before a step is looked at which is about it: the node was down, or has much to say.

    Else it would be judged by where its matter stood before.

    Args:
        header: of the step.
        scribe: says it.
        txn: the writer's transaction.
        policy: as for `ring`.
    """
    # Nearly always none has, of no matter here; and that is known from one look for many envelopes.
    if not header.cites or not txn.matters.some_are_over():
        return
    for matter, state in txn.matters.chain(header.cites[0]):
        if state is None or (matter.kind, state) not in RUNNING_OUT or not keeps_clocks(matter, scribe.here):
            continue
        for clock in txn.matters.clocks(matter):
            over = clock.stage is Stage.RUNNING and is_over(clock, txn.now_us)
            if over and runs_out(clock.rule, matter.kind, state) is not None:
                _run_out(clock, matter, state, scribe, txn, policy)
                break


def _run_out(
    clock: ClockRow, header: pb.Header, state: State, scribe: Scribe, txn: Transaction, policy: Policy
) -> None:
    row = runs_out(clock.rule, header.kind, state)
    if row is not None:
        txn.matters.set_clock(clock.seq, Stage.RAN_OUT, None)
        txn.matters.add_move(clock.ref, row.to, None, clock.rule)
        if row.stops:
            txn.matters.end_clocks(clock.ref, row.stops, Stage.STOPPED)
        after = tuple(effects.watched(header, state, row.to, txn.now_us, policy))
        record.apply(effects.Effects(clocks=after), header, txn)
        if row.to in FINAL:
            _end_below(clock, txn)
            _end_above(clock, header, txn)
        scribe.timed(clock, pb.MILESTONE_LAPSED, header, txn)
    elif LIMITS[clock.rule].ends is Ends.ENDS_RIGHT:
        # Who might have acted may do so no more: nobody owes anything.
        txn.matters.set_clock(clock.seq, Stage.RAN_OUT, None)
    else:
        # The duty remains (2018/1805 Art. 9(6)).
        txn.matters.set_clock(clock.seq, Stage.OVERDUE, None)
        scribe.timed(clock, pb.MILESTONE_OVERDUE, header, txn)


def _end_below(clock: ClockRow, txn: Transaction) -> None:
    """Let what ends with a matter ring next: silence ends a preservation (2023/1543 Art. 11(5)) before its 60 days.

    Also if it was kept on for a request that follows, and so had no such end any more.
    """
    for order in txn.below(clock.ref, ORDERED_BELOW):
        for own in txn.matters.clocks(ref_of(order)):
            if own.rule == clocks.CLOCK_RULE_SUBSEQUENT_REQUEST:
                rule, now_us = clocks.CLOCK_RULE_PRESERVATION, txn.now_us
                txn.matters.start_clock(own.ref, rule, own.started_at_us, now_us, now_us, order)
            elif own.rule in LAPSING and own.due_at_us > txn.now_us:
                txn.matters.start_clock(own.ref, own.rule, own.started_at_us, txn.now_us, txn.now_us, order)


def _end_above(clock: ClockRow, order: pb.Header, txn: Transaction) -> None:
    """Let what was asked at once ring next, when the last has lapsed that was ordered on it: nothing is held any more.

    A judge may have granted it in time, and nobody have confirmed the order.
    """
    if order.kind != ids.KIND_PROVISIONAL_ORDER:
        return
    about, state = next((each, state) for each, state in txn.matters.chain(order)[1:] if state is not None)
    ways = (ORDERED_BELOW, (*DECIDED_BELOW, frozenset({ids.KIND_DOMESTIC_ORDER})))
    stands = any(txn.matters.state(each) not in FINAL for way in ways for each in txn.below(about, way))
    rings = any(own.rule in INHERITED for own in txn.matters.clocks(about))  # of data too: whether they are needed
    if not stands and not rings and runs_out(clock.rule, about.kind, state) is not None:
        now_us = txn.now_us
        txn.matters.start_clock(about, clock.rule, clock.started_at_us, now_us, now_us, order)
