"""What an unsigned no is worth: nothing, of a copy that may have arrived, until the other node was asked by name.

In: answers to a frame, and a way to ask what the other node has recorded. Out: the answers by which copies are settled:
the receipt that it has given before; its no, if it knows no such envelope; or a failure, which leaves the copy in
doubt. Whoever says no may be another process of that node, with other limits or of an older program; and who cannot
read an envelope cannot look it up either, but it can be asked for by its name.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from google.protobuf.message import DecodeError
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import trace_pb2 as trace

from gateway import codec
from gateway.codec import error_message
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.lifecycle import State
from gateway.store import Leased

Ask: TypeAlias = Callable[[str], Awaitable[list[trace.EnvelopeTrace]]]
"""Asks the other node by an envelope's id; fails if that does not tell."""


async def made_sure(
    leased: Sequence[Leased], answers: Sequence[mailbox.Answer], issuer: str, ask: Ask
) -> list[mailbox.Answer]:
    """Return what the answers to copies come to, of which some may have arrived before.

    Args:
        leased: the copies.
        answers: to each of them.
        issuer: address of the other node.
        ask: asks it.
    """
    sure: list[mailbox.Answer] = []
    silent: mailbox.Answer | None = None
    for item, answer in zip(leased, answers, strict=True):
        if item.state is not State.ASKING or not _is_no(answer):
            sure.append(answer)
            continue
        # Once it does not tell, it is asked about the others another time, or their lease would run out over it.
        told = silent or await by_name(item, answer, issuer, ask)
        if told.WhichOneof("result") == "error" and not _is_no(told):
            silent = told
        sure.append(told)
    return sure


async def by_name(item: Leased, no: mailbox.Answer, issuer: str, ask: Ask) -> mailbox.Answer:
    """Return by what to settle a copy to which the other node says no; see `made_sure`."""
    if item.envelope is None:
        return no  # of a receipt that is not taken, nobody is told anything
    header = pb.Header.FromString(item.envelope.header)
    try:
        told = await ask(header.id)
    except GatewayError as error:
        return _undecided(f"nor does it tell what it has: {error.detail}", no, error.retry_after)
    name = header.sender, header.id, item.fingerprint
    recorded = [each for each in told if (each.envelope.sender, each.envelope.id, each.fingerprint) == name]
    if not recorded:
        return no
    receipts = (receipt for each in recorded for receipt in each.receipts if _is_acceptance(receipt, issuer))
    accepted = next(receipts, None)
    return _undecided("yet it has it", no) if accepted is None else mailbox.Answer(receipt=accepted)


def _undecided(why: str, no: mailbox.Answer, retry_after: float | None = None) -> mailbox.Answer:
    detail = f"{codec.error_from(no.error)}, which it has not signed; {why}"
    return mailbox.Answer(error=error_message(Failure(ErrorCode.UNAVAILABLE, detail, retry_after=retry_after)))


def _is_no(answer: mailbox.Answer) -> bool:
    return answer.WhichOneof("result") == "error" and isinstance(codec.error_from(answer.error), Refusal)


def _is_acceptance(receipt: pb.Receipt, issuer: str) -> bool:
    """Whether a receipt says that a node has accepted; whether that is proven is asked where it settles a copy."""
    try:
        said = pb.Statement.FromString(receipt.statement)
    except DecodeError:
        return False
    return said.milestone == pb.MILESTONE_ACCEPTED and said.issuer == issuer
