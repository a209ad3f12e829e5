"""Handing in: what the node's answers mean, and many envelopes over one stream of frames.

In: envelopes. Out: for each a proven ACCEPTED, or why not. A retry sends the identical bytes, so it gets the identical
receipt: nothing is ever accepted twice.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import grpc.aio
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1.mailbox_pb2_grpc import MailboxStub

from gateway import envelope, statement
from gateway.codec import error_from
from gateway.directory import Directory
from gateway.errors import FIRST_FAILURE, ErrorCode, Failure, Refusal
from gateway.gathering import FRAMES_IN_FLIGHT, MAX_FRAME_BYTES, MAX_FRAME_ENVELOPES
from gateway.identity import Address
from gateway.transport import error_of


class SignedRefusal(Refusal):
    """The node's signed no: a rule said no, and here is the proof.

    Args:
        said: the statement, proven.
        receipt: the proof.
    """

    receipt: pb.Receipt
    statement: pb.Statement

    def __init__(self, said: pb.Statement, receipt: pb.Receipt) -> None:
        super().__init__(ErrorCode(said.code), said.detail, said.field)
        self.statement = said
        self.receipt = receipt


def judge(raw: pb.SignedEnvelope, answer: mailbox.Answer, directory: Directory) -> pb.Receipt:
    """Return the proof that our node accepted an envelope, out of its answer.

    1. It is a receipt; an error is raised as it is.
    2. Its signature holds, and it is about this very envelope.
    3. Our own node says it, of the whole envelope.
    4. It says ACCEPTED; or REFUSED with the code of a refusal, and is raised.

    Raises:
        SignedRefusal: the node's rule said no.
        Refusal: BAD_RECEIPT, the answer proves nothing; or the node's unsigned error.
        Failure: the node could not now.
    """
    match answer.WhichOneof("result"):  # (1)
        case "receipt":
            receipt = answer.receipt
        case "error":
            raise error_from(answer.error)
        case _:
            raise Refusal(ErrorCode.BAD_RECEIPT, "the node's answer is empty")
    header = envelope.parse_header(raw)
    said = statement.verify(receipt, directory.signing_key)  # (2)
    statement.check_subject(said, header, envelope.fingerprint(raw))
    own = str(Address.of_node(Address.parse(header.sender).node))
    if said.issuer != own or said.recipient:  # (3)
        raise Refusal(ErrorCode.BAD_RECEIPT, "an answer is our own node's, of the whole envelope", "issuer")
    if said.milestone == pb.MILESTONE_ACCEPTED:  # (4)
        return receipt
    if said.milestone != pb.MILESTONE_REFUSED or not 0 < said.code < FIRST_FAILURE:
        raise Refusal(ErrorCode.BAD_RECEIPT, "an answer is ACCEPTED, or REFUSED by a rule", "milestone")
    raise SignedRefusal(said, receipt)


def frames(envelopes: Sequence[pb.SignedEnvelope], positions: Sequence[int]) -> list[list[int]]:
    """Return the positions, in order, cut into frames."""
    cut: list[list[int]] = []
    size = MAX_FRAME_BYTES
    for position in positions:
        more = envelopes[position].ByteSize()
        if not cut or len(cut[-1]) == MAX_FRAME_ENVELOPES or size + more > MAX_FRAME_BYTES:
            cut.append([])
            size = 0
        cut[-1].append(position)
        size += more
    return cut


async def stream(
    stub: MailboxStub,
    envelopes: Sequence[pb.SignedEnvelope],
    positions: Sequence[int],
    settle: Callable[[Sequence[int], Sequence[mailbox.Answer]], None],
    within: float,
) -> None:
    """Hand in envelopes over one stream, several frames in flight; returns when every frame is answered.

    Args:
        stub: of our own node.
        envelopes: all of them.
        positions: which of them.
        settle: told the answers to one frame; called from a thread, one call at a time.
        within: seconds for all.

    Raises:
        Refusal, Failure: the stream ended before; what was settled stays settled.
    """
    waiting = dict(enumerate(frames(envelopes, positions)))
    window = asyncio.Semaphore(FRAMES_IN_FLIGHT)

    async def requests() -> AsyncIterator[mailbox.SubmitFramesRequest]:
        for number, frame in list(waiting.items()):
            await window.acquire()
            yield mailbox.SubmitFramesRequest(frame=number, envelopes=[envelopes[position] for position in frame])

    call = stub.SubmitFrames(requests(), timeout=within)
    try:
        async for response in call:
            frame = waiting.pop(response.frame, [])
            if len(frame) != len(response.answers):
                raise Refusal(ErrorCode.BAD_RECEIPT, "the node answers a frame that it was not sent, or in part")
            await asyncio.to_thread(settle, frame, response.answers)
            window.release()
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error
    finally:
        call.cancel()
    if waiting:
        raise Failure(ErrorCode.UNAVAILABLE, "the node ended the stream before it had answered")
