"""Stage 6, record: what is lawful becomes fact, once.

In: a `LawfulStep` and the writer's transaction. Out: `Recorded`: envelope, citations and log entry are part of that
transaction. Refuses with ID_CONFLICT; fails with ATTACHMENT_MISSING while a file that the envelope names is not here,
for what could not be delivered whole is not accepted. The pair (sender, id) is unique for ever: the same bytes again
get the very same receipt, other bytes under the same name are a loud conflict.
"""

from dataclasses import dataclass

from rogatory.v1 import envelope_pb2 as pb

from gateway import manifest
from gateway.effects import Change, Changed, Effects, Started
from gateway.errors import ErrorCode, Refusal
from gateway.procedure import LawfulStep
from gateway.rules import Named
from gateway.store import Pending, Transaction
from gateway.store.matters import Stage


@dataclass(frozen=True, slots=True)
class Recorded:
    """An envelope that is on disk as soon as its transaction is. Made by `record` alone."""

    seq: int
    header: pb.Header
    fingerprint: bytes


def recorded_before(header: pb.Header, fingerprint: bytes, txn: Transaction) -> pb.Receipt | Pending | None:
    """Return the stored receipt, or the one about to be signed, if these very bytes are recorded; else None.

    Raises:
        Refusal: ID_CONFLICT, other bytes are recorded under that name.
    """
    stored = txn.fingerprint(header)
    if stored is None:
        return None
    if stored != fingerprint:
        raise Refusal(ErrorCode.ID_CONFLICT, f"{header.sender} has used this id for other bytes", "id")
    return txn.acceptance(header)


def record(step: LawfulStep, txn: Transaction) -> Recorded:
    """Write the envelope, its citations, its log entry, the files that it names, and what follows from it.

    Raises:
        Refusal: BAD_SIGNATURE, a file is of another size than it says.
        Failure: ATTACHMENT_MISSING.
    """
    verified = step.verified
    seq = txn.add_envelope(verified.envelope, verified.header, verified.fingerprint)
    named = manifest.parse(verified.envelope.attachments)
    if named:
        txn.attachments.name(seq, named, verified.peer.address)
    apply(step.effects, verified.header, txn)
    return Recorded(seq, verified.header, verified.fingerprint)


def apply(effects: Effects, cause: Named, txn: Transaction) -> None:
    """Write where matters stand now, and which time limits run, because of an envelope."""
    matters = txn.matters
    for move in effects.moves:
        matters.add_move(move.matter, move.state, cause)
    for clock in effects.clocks:
        match clock:
            case Started():
                times = clock.start_us, clock.due_us, clock.next_us
                matters.start_clock(clock.matter, clock.rule, *times, cause, rests=clock.rests)
            case Changed(change=Change.PAUSED):
                matters.pause_clocks(clock.matter, clock.rules, cause)
            case Changed(change=Change.RESUMED):
                matters.resume_clocks(clock.matter, clock.rules, cause, later_us=clock.later_us)
            case Changed(change=Change.MET):
                matters.end_clocks(clock.matter, clock.rules, Stage.MET, cause)
            case Changed():
                matters.end_clocks(clock.matter, None, Stage.STOPPED, cause)
