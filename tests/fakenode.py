"""A node's Mailbox door that does what a test tells it: over real TLS, with a real node's key, and no honesty.

It keeps no rule of its own. What it must get right, as the real one: the wire.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc.aio
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1.mailbox_pb2_grpc import MailboxServicer, add_MailboxServicer_to_server

from certs.pki import DevelopmentPki
from clients.participant import Participant, Parts
from gateway import envelope, statement
from gateway.clock import to_micros
from gateway.codec import error_message
from gateway.directory import Directory, NodeEntry
from gateway.doors.entrance import abort
from gateway.errors import ErrorCode, Failure, GatewayError
from gateway.identity import Address
from gateway.transport import DoorTls, TlsIdentity, server_credentials
from tests import world

# TLS reads the machine's clock, so the certificates are of today; everything signed is of world.NOW.
PKI = DevelopmentPki("rogatory.test", datetime.now(UTC))

Context = grpc.aio.ServicerContext[Any, Any]
Reply = Callable[[pb.SignedEnvelope], mailbox.Answer]


def state(raw: pb.SignedEnvelope, milestone: pb.Milestone.ValueType, **changes: Any) -> pb.Statement:
    fields: dict[str, Any] = {
        "envelope": envelope.ref_of(envelope.parse_header(raw)),
        "fingerprint": envelope.fingerprint(raw),
        "milestone": milestone,
        "issuer": "ee/node",
        "at_us": to_micros(world.NOW),
    }
    return pb.Statement(**fields | changes)


def sign(said: pb.Statement, by: str = "ee/node", key_of: str = "") -> pb.Receipt:
    return statement.issue([said], Address.parse(by, allow_node=True), world.signing_key(key_of or by))[0]


def accept(raw: pb.SignedEnvelope) -> mailbox.Answer:
    return mailbox.Answer(receipt=sign(state(raw, pb.MILESTONE_ACCEPTED)))


def refuse(raw: pb.SignedEnvelope) -> mailbox.Answer:
    said = state(raw, pb.MILESTONE_REFUSED, code=ErrorCode.OUT_OF_ORDER, detail="not now", field="kind")
    return mailbox.Answer(receipt=sign(said))


def fail(raw: pb.SignedEnvelope) -> mailbox.Answer:
    return mailbox.Answer(error=error_message(Failure(ErrorCode.OVERLOADED, "busy", retry_after=0.001)))


class FakeMailbox(MailboxServicer):
    """Answers by script, hands out what lies in `post`, remembers what it was told."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []  # used up first; then `reply`
        self.reply: Reply = accept
        self.status: list[GatewayError] = []  # ends one call each
        self.seen: list[bytes] = []
        self.frames: list[int] = []
        self.break_after_frames = 0  # the first stream ends after so many
        self.post: list[mailbox.Item] = []
        self.acks: list[mailbox.Acknowledgement] = []
        self.on_ack: Callable[[mailbox.Acknowledgement], None] = lambda ack: None
        self.refuse_acks: list[GatewayError] = []
        self.hang_up_after_items = 0  # the first stream ends after so many, before it takes an acknowledgement
        self.streams = 0
        self.changed = asyncio.Condition()
        self.at_work = asyncio.Event()  # while it is not set, nothing that is handed in is answered
        self.at_work.set()
        self.asked = asyncio.Event()

    async def Submit(self, request: mailbox.SubmitRequest, context: Context) -> mailbox.SubmitResponse:  # noqa: N802
        if self.status:
            await abort(context, self.status.pop(0))
        self.asked.set()
        await self.at_work.wait()
        return mailbox.SubmitResponse(answer=self.answer(request.envelope))

    def answer(self, raw: pb.SignedEnvelope) -> mailbox.Answer:
        self.seen.append(raw.SerializeToString(deterministic=True))
        return (self.replies.pop(0) if self.replies else self.reply)(raw)

    async def SubmitFrames(  # noqa: N802
        self, request_iterator: AsyncIterator[mailbox.SubmitFramesRequest], context: Context
    ) -> AsyncIterator[mailbox.SubmitFramesResponse]:
        self.streams += 1
        answered = 0
        async for request in request_iterator:
            self.frames.append(len(request.envelopes))
            self.asked.set()
            await self.at_work.wait()
            yield mailbox.SubmitFramesResponse(
                frame=request.frame, answers=[self.answer(each) for each in request.envelopes]
            )
            answered += 1
            if self.streams == 1 and answered == self.break_after_frames:
                await abort(context, Failure(ErrorCode.UNAVAILABLE, "gone"))

    async def Collect(  # noqa: N802
        self, request_iterator: AsyncIterator[mailbox.CollectRequest], context: Context
    ) -> AsyncIterator[mailbox.CollectResponse]:
        if self.status:
            # Read first: to whoever still writes when a stream ends, gRPC tells now and then its own error instead.
            await anext(request_iterator)
            await abort(context, self.status.pop(0))
        self.streams += 1
        out: set[int] = set()
        credit = 0
        async for request in request_iterator:
            credit += request.credit
            settled = [self.settle(ack) for ack in request.acknowledgements]
            out -= {each.delivery_id for each in settled}
            if settled:
                async with self.changed:
                    self.changed.notify_all()
                yield mailbox.CollectResponse(settled=settled)
            due = [item for item in self.post if item.delivery_id not in out][:credit]
            if self.streams == 1 and self.hang_up_after_items:
                yield mailbox.CollectResponse(items=due[: self.hang_up_after_items])
                await abort(context, Failure(ErrorCode.UNAVAILABLE, "gone"))
            out |= {item.delivery_id for item in due}
            credit -= len(due)
            yield mailbox.CollectResponse(items=due, drained=credit > 0)

    def settle(self, ack: mailbox.Acknowledgement) -> mailbox.Settled:
        self.on_ack(ack)
        self.acks.append(ack)
        error = self.refuse_acks.pop(0) if self.refuse_acks else None
        if not isinstance(error, Failure):  # else it comes again
            self.post = [item for item in self.post if item.delivery_id != ack.delivery_id]
        if error is not None:
            return mailbox.Settled(delivery_id=ack.delivery_id, error=error_message(error))
        return mailbox.Settled(delivery_id=ack.delivery_id)


@dataclass
class FakeNode:
    """The door, and participants who know it."""

    door: FakeMailbox
    directory: Directory
    folder: Path
    port: int
    server: grpc.aio.Server
    entered: list[Participant] = field(default_factory=list)

    def parts(self, address: str, **changes: Any) -> Parts:
        holder = PKI.leaf(Address.parse(address))
        fields: dict[str, Any] = {
            "directory": self.directory,
            "address": Address.parse(address),
            "tls": TlsIdentity(holder.key_pem, holder.chain_pem),
            "home": self.folder / address.replace("/", "-"),
            "signing_keys": (world.signing_key(address),),
            "sealing_keys": (world.sealing_key(address),),
            "clock": lambda: world.NOW,
            "chance": lambda: 0.0,
        }
        return Parts(**fields | changes)

    async def participant(self, address: str, **changes: Any) -> Participant:
        made = await Participant(self.parts(address, **changes)).__aenter__()
        self.entered.append(made)
        return made

    def hand_out(self, *contents: pb.SignedEnvelope | pb.Receipt | mailbox.Probe) -> None:
        first = max((item.delivery_id for item in self.door.post), default=0) + 1
        for number, content in enumerate(contents, first):
            match content:
                case pb.SignedEnvelope():
                    item = mailbox.Item(delivery_id=number, envelope=content)
                case pb.Receipt():
                    item = mailbox.Item(delivery_id=number, receipt=content)
                case mailbox.Probe():
                    item = mailbox.Item(delivery_id=number, probe=content)
            self.door.post.append(item)

    def words(self) -> Sequence[pb.Statement]:
        """What the participant's acknowledgements said, proven."""
        return [statement.verify(ack.statement, self.directory.signing_key) for ack in self.door.acks]


@asynccontextmanager
async def fake_node(folder: Path) -> AsyncIterator[FakeNode]:
    """Run a fake of ee's node."""
    served = FakeMailbox()
    server = grpc.aio.server()
    add_MailboxServicer_to_server(served, server)
    holder = PKI.leaf(Address.of_node("ee"))
    door = DoorTls(TlsIdentity(holder.key_pem, holder.chain_pem), (PKI.node_ca("ee").pem,))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(lambda: door))
    await server.start()
    nodes = [
        NodeEntry(
            code=code,
            endpoint=f"127.0.0.1:{port}",
            ca=PKI.node_ca(code).pem.decode(),
            signing_keys=(world.signing_entry(f"{code}/node"),),
        )
        for code in world.NODES
    ]
    made = FakeNode(served, world.make_directory(nodes=nodes), folder, port, server)
    try:
        yield made
    finally:
        served.at_work.set()
        for participant in made.entered:
            await participant.__aexit__()
        await server.stop(0)
