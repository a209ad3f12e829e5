"""Asks the own node for proofs that things are in its log, and checks them.

In: entries, by what they are of. Out: a checkpoint and a proof for each, as the node says; what they prove says `check`
alone, by the directory's keys. Refuses with NOT_FOUND, MALFORMED, BAD_SIGNATURE or BAD_LOG_PROOF; fails as the node's
answers do.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import grpc.aio
from rogatory.v1 import log_pb2 as pb
from rogatory.v1.log_pb2_grpc import LogStub

from clients import sync
from clients.casefile.logged import Subject
from clients.connection import Pauses
from clients.participant import Participant
from gateway import witness
from gateway.checkpoint import Checkpoint
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.transport import error_of
from gateway.witness import Cosigned

AT_ONCE: Final = 256
"""As many as the contract lets one call ask for."""
CALL_SECONDS: Final = 15.0
WAIT_SECONDS: Final = 5.0
"""What came a moment ago is covered by a checkpoint within a second, and that is cosigned about a second later."""

Answer: TypeAlias = tuple[bytes, list[pb.InclusionProof]]
"""A checkpoint, empty if there is none, and a proof for each entry."""


@dataclass(frozen=True, slots=True)
class Covered:
    """What a checkpoint covers, as far as it is proven.

    Args:
        note: the checkpoint, as it came.
        checkpoint: what it says.
        cosigned: who has cosigned it.
        proofs: for each thing, in the order asked for; None: there is none.
    """

    note: bytes
    checkpoint: Checkpoint
    cosigned: Cosigned
    proofs: tuple[pb.InclusionProof | None, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it covers everything, and as many witnesses have cosigned it as the federation wants."""
        return all(each is not None for each in self.proofs) and self.cosigned.is_enough


def covered(me: Participant, subjects: Sequence[Subject]) -> Covered:
    """Return which checkpoint of our node's log covers things, proven here.

    Raises:
        Refusal: as `check`.
        GatewayError: what the node says, or that it does not answer.
    """
    answer = of_own_node(me, [each.entry for each in subjects])
    return check(answer, subjects, me.directory, Address.parse(me.address).node, me.parts.clock())


def of_own_node(me: Participant, entries: Sequence[pb.LogEntry]) -> Answer:
    """Return what our node says of its log, as `proven`, with as many cosignatures as the federation wants."""

    async def ask() -> Answer:
        async with me:
            with me.channel() as channel:
                pauses = Pauses(me.parts.chance)
                return await proven(LogStub(channel), entries, me.directory.cosignatures, pauses, WAIT_SECONDS)

    return sync.run(ask())


def check(answer: Answer, subjects: Sequence[Subject], directory: Directory, node: str, at: datetime) -> Covered:
    """Return what an answer proves: signature, cosignatures and every path are checked.

    Args:
        answer: of that node.
        subjects: what was asked for, in that order.
        directory: who has which keys, and how many witnesses must have cosigned.
        node: code of the node.
        at: the time.

    Raises:
        Refusal: NOT_FOUND, there is no checkpoint; MALFORMED; BAD_SIGNATURE, it is not the node's, or a cosignature
            does not hold; BAD_LOG_PROOF.
    """
    note, found = answer
    if not note:
        raise Refusal(ErrorCode.NOT_FOUND, f"the log of {node}/node has no checkpoint yet", "checkpoint")
    checkpoint, cosigned = witness.read_checkpoint(directory, node, note, at)
    for subject, proof in zip(subjects, found, strict=True):
        if proof.leaf_hash:
            # Which leaf it is, what is proven tells, and not the node.
            proof.leaf_hash = subject.proven(proof.index, [*proof.path], checkpoint)
    return Covered(note, checkpoint, cosigned, tuple(proof if proof.leaf_hash else None for proof in found))


async def proven(
    stub: LogStub, entries: Sequence[pb.LogEntry], cosignatures: int, pauses: Pauses, within: float
) -> Answer:
    """Return a checkpoint and, under it, a proof for each entry; one without a leaf hash: it is not in the log.

    It is the newest that as many witnesses have cosigned as are wanted. If in time there is none that covers all, it is
    the one, of that and of the newest of all, that covers more.

    Args:
        stub: of the node.
        entries: one or more.
        cosignatures: so many witnesses are wanted.
        pauses: between attempts, for what came in a moment ago is covered, and cosigned, within a second or two.
        within: so many seconds are spent on waiting.

    Raises:
        GatewayError: what the node says, or that it does not answer.
    """
    deadline = asyncio.get_running_loop().time() + within
    while True:
        answer = await _asked(stub, entries, cosignatures)
        if _covered(answer) == len(entries):
            return answer
        pause = pauses.next()
        if asyncio.get_running_loop().time() + pause >= deadline:
            return max(answer, await _asked(stub, entries, 0), key=_use) if cosignatures else answer
        await asyncio.sleep(pause)


def _covered(answer: Answer) -> int:
    return sum(bool(proof.leaf_hash) for proof in answer[1])


def _use(answer: Answer) -> tuple[int, bool]:
    return _covered(answer), bool(answer[0])


async def _asked(stub: LogStub, entries: Sequence[pb.LogEntry], cosignatures: int) -> Answer:
    try:
        return await _proofs(stub, entries, cosignatures)
    except Refusal as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        return b"", [pb.InclusionProof()] * len(entries)


async def _proofs(stub: LogStub, entries: Sequence[pb.LogEntry], cosignatures: int) -> Answer:
    note, size, proofs = b"", 0, list[pb.InclusionProof]()
    for at in range(0, len(entries), AT_ONCE):
        part = entries[at : at + AT_ONCE]
        request = pb.GetInclusionProofsRequest(entries=part, size=size, cosignatures=cosignatures)
        try:
            answer = await stub.GetInclusionProofs(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        if len(answer.proofs) != len(part):
            raise Refusal(ErrorCode.MALFORMED, f"{len(answer.proofs)} proofs for {len(part)} entries", "proofs")
        # All under the checkpoint of the first answer.
        note, size = note or answer.checkpoint, size or answer.size
        proofs += answer.proofs
    return note, proofs
