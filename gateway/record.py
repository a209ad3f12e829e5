"""Stage 6, record: what is lawful becomes fact, once.

In: a `LawfulStep` and the writer's transaction. Out: `Recorded`: envelope, citations and log entry are part of that
transaction. Refuses with ID_CONFLICT. The pair (sender, id) is unique for ever: the same bytes again get the very same
receipt, other bytes under the same name are a loud conflict.
"""

from dataclasses import dataclass

from rogatory.v1 import envelope_pb2 as pb

from gateway.envelope import ref_of
from gateway.errors import ErrorCode, Refusal
from gateway.procedure import LawfulStep
from gateway.store import Pending, Transaction


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
    stored = txn.fingerprint(ref_of(header))
    if stored is None:
        return None
    if stored != fingerprint:
        raise Refusal(ErrorCode.ID_CONFLICT, f"{header.sender} has used this id for other bytes", "id")
    return txn.acceptance(ref_of(header))


def record(step: LawfulStep, txn: Transaction) -> Recorded:
    """Write the envelope, its citations and its log entry."""
    verified = step.verified
    seq = txn.add_envelope(verified.envelope, verified.header, verified.fingerprint)
    return Recorded(seq, verified.header, verified.fingerprint)
