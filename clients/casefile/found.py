"""What lies in a participant's memory of a case, read: envelopes as they were signed, and what was stated of them.

In: a participant, a case id. Out: `Found`s; one of them, by the beginning of its id. Refuses with NOT_FOUND.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rogatory.v1 import envelope_pb2 as pb

from clients.cases import Key, key_of
from clients.known_cases import Held, KnownCases
from clients.participant import Participant
from gateway import codec, envelope
from gateway.errors import ErrorCode, Refusal

BEGINNING: Final = 8
"""Characters of an id that must be given."""


@dataclass(frozen=True, slots=True)
class Found:
    """An envelope of a case.

    Args:
        held: what it counts for.
        raw: all of it.
        header: its header.
        fingerprint: over all of it.
        receipts: about these very bytes, each with what it says.
    """

    held: Held
    raw: pb.SignedEnvelope
    header: pb.Header
    fingerprint: bytes
    receipts: tuple[tuple[pb.Receipt, pb.Statement], ...]

    @property
    def key(self) -> Key:
        """Its sender and its id."""
        return key_of(self.header)


def held(me: Participant, case_id: str) -> list[Held]:
    """Return all that lies here of a case, also what came and proved nothing.

    Raises:
        Refusal: NOT_FOUND, nothing does.
        DiskFailure: something cannot be read.
    """
    return KnownCases(me.maildir, me.directory, me.address).held(case_id)


def read(me: Participant, each: Held) -> Found:
    """Read an envelope and its receipts.

    Raises:
        DiskFailure: something cannot be read.
    """
    ref, print_ = each.ref, each.fingerprint
    raw = me.sent(ref) if print_ is None else me.maildir.any_collected(ref, print_)
    fingerprint, receipts = envelope.fingerprint(raw), []
    for receipt in me.maildir.receipts(ref):
        said = codec.parse(pb.Statement, receipt.statement, ErrorCode.BAD_RECEIPT)
        if said.fingerprint == fingerprint:
            receipts.append((receipt, said))
    return Found(each, raw, envelope.parse_header(raw), fingerprint, tuple(receipts))


def named(lying: Iterable[Held], beginning: str, field: str) -> Held:
    """Return the one whose id begins so.

    Args:
        lying: what lies here of one case.
        beginning: `BEGINNING` characters or more; before them may stand the sender and a slash, for ids are their
            senders' own, and somebody may have taken another's.
        field: named by the refusal.

    Raises:
        Refusal: NOT_FOUND, there is none, or more than one.
    """
    sender, _, start = beginning.rpartition("/")
    fitting = [
        each
        for each in lying
        if len(start) >= BEGINNING and each.ref.id.startswith(start) and sender in {"", each.ref.sender}
    ]
    if len(fitting) != 1:
        detail = f"{len(fitting)} envelopes of this case have an id that begins so; give {BEGINNING} characters or more"
        raise Refusal(ErrorCode.NOT_FOUND, f"{detail}, or SENDER/ID", field)
    return fitting[0]
