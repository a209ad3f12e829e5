"""What changes a matter though no envelope comes: another node, a recipient or the time said no.

In: what was said, and the writer's transaction. A step that was not taken in the end changes nothing: what it asked for
is not asked, and what it moved is moved back.
"""

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway import procedure
from gateway.envelope import ref_of
from gateway.identity import Address
from gateway.rules import FINAL, ClockRule, State
from gateway.steps import runs_out
from gateway.store import Transaction
from gateway.store.matters import Stage


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
    matters.undo_clocks(ref)
    for matter in matters.undo_moves(ref):
        txn.add_event(matter, "matter.moved-back", detail=f"{header.sender} {header.id} was not taken")
    here = Address.parse(header.sender).node
    for above, standing in matters.chain(ref):
        # What runs again must not run in what has ended meanwhile.
        if standing in FINAL:
            matters.end_clocks(ref_of(above), None, Stage.STOPPED)
        # What was reported or claimed meanwhile had moved nothing here, and has at the other node.
        elif standing is not None and (now := procedure.stands(above, standing, txn, here)) is not standing:
            matters.add_move(ref_of(above), now, None)


def lapsed_elsewhere(said: pb.Statement, header: pb.Header, txn: Transaction) -> None:
    """Take the word of the node that keeps the clock: the matter has lapsed, or binds no longer."""
    matters = txn.matters
    state = matters.state(said.envelope)
    row = None if state is None else runs_out(said.clock_rule, header.kind, state, elsewhere=True)
    if row is not None and _could_run(said.clock_rule, header, txn):
        matters.add_move(said.envelope, row.to, None, said.clock_rule)


def _could_run(rule: ClockRule, header: pb.Header, txn: Transaction) -> bool:
    """Whether the other node can have kept that limit, as far as it is known here."""
    match rule:
        case clocks.CLOCK_RULE_EX_POST_VALIDATION:
            return header.urgency == ids.URGENCY_EMERGENCY
        case clocks.CLOCK_RULE_LIMITATION_ANSWER:
            return bool(txn.citing(ref_of(header), ids.KIND_LIMITATION_REQUEST))
        case _:
            return True
