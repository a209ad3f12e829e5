"""A node that has gone bad: in de's place, with de's own certificate and key, it answers as it is told to lie."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc
import grpc.aio
from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay

from gateway import envelope, material, transport
from gateway.clock import system_clock, to_micros
from gateway.identity import Address
from gateway.statement import issue
from tests.federation import Federation, ref

Frames: TypeAlias = AsyncIterator[relay.RelayRequest]
Said: TypeAlias = relay.RelayResponse | bytes
Lie: TypeAlias = Callable[["Liar", Frames], AsyncIterator[Said]]

RELAY = "/rogatory.v1.Relay/Relay"
ENDLESS = 100_000
HUGE_BYTES = 20 << 20  # more than a channel of ours reads


class Liar(grpc.GenericRpcHandler):
    """Answers frames; `told` counts its lies."""

    def __init__(self, fed: Federation, lie: Lie) -> None:
        self.loaded = material.load_node(fed.summary.config("de/node"))
        self.lie = lie
        self.told = 0
        self.kinds: set[str] = set()
        self.seen: dict[str, pb.SignedEnvelope] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        if handler_call_details.method != RELAY:
            return None
        return grpc.stream_stream_rpc_method_handler(
            self.speak, request_deserializer=relay.RelayRequest.FromString, response_serializer=_raw
        )

    async def speak(self, requests: Frames, context: object) -> AsyncIterator[Said]:
        async for said in self.lie(self, requests):
            yield said

    def read(self, request: relay.RelayRequest) -> None:
        self.told += 1
        self.seen.update({ref(made).id: made for made in request.envelopes})

    def word(self, made: pb.SignedEnvelope, key: SigningKey | None = None, **changes: Any) -> pb.Receipt:
        """State anything about an envelope; by default that de has accepted it."""
        said = pb.Statement(
            envelope=ref(made),
            fingerprint=envelope.fingerprint(made),
            milestone=pb.MILESTONE_ACCEPTED,
            issuer="de/node",
            at_us=to_micros(system_clock()),
        )
        for name, value in changes.items():
            setattr(said, name, value)
        (receipt,) = issue([said], Address.of_node("de"), key or self.loaded.signing_key)
        return receipt

    def accepted(self, made: pb.SignedEnvelope, **changes: Any) -> mailbox.Answer:
        return mailbox.Answer(receipt=self.word(made, **changes))

    def answer(self, request: relay.RelayRequest, answers: Sequence[mailbox.Answer]) -> relay.RelayResponse:
        noted = [mailbox.Answer(noted=True) for _ in request.receipts]
        return relay.RelayResponse(frame=request.frame, answers=[*answers, *noted])

    def true(self, request: relay.RelayRequest) -> relay.RelayResponse:
        return self.answer(request, [self.accepted(made) for made in request.envelopes])


def _raw(said: Said) -> bytes:
    return said if isinstance(said, bytes) else said.SerializeToString()


def _of_another(liar: Liar, made: pb.SignedEnvelope) -> mailbox.Answer:
    others = [each for name, each in liar.seen.items() if name != ref(made).id]
    return liar.accepted(others[0]) if others else mailbox.Answer()


WRONG: dict[str, Callable[[Liar, pb.SignedEnvelope], mailbox.Answer]] = {
    "of other bytes": lambda liar, made: liar.accepted(made, fingerprint=bytes(32)),
    "of another envelope": _of_another,
    "by another key": lambda liar, made: liar.accepted(made, key=SigningKey.generate()),
    "in another's name": lambda liar, made: liar.accepted(made, issuer="ee/node"),
    "of what it cannot know": lambda liar, made: liar.accepted(
        made, milestone=pb.MILESTONE_DELIVERED, recipient="de/central-authority"
    ),
    "only noted": lambda liar, made: mailbox.Answer(noted=True),
    "nothing": lambda liar, made: mailbox.Answer(),
    "an error without a code": lambda liar, made: mailbox.Answer(error=errors_pb2.Error(detail="no")),
    "an error of an unknown code": lambda liar, made: mailbox.Answer(
        error=errors_pb2.Error(code=errors_pb2.ErrorCode.ValueType(77), detail="no")
    ),
}


async def wrong_receipts(liar: Liar, requests: Frames) -> AsyncIterator[Said]:
    """Each answer is another kind of proof that proves nothing."""
    async for request in requests:
        liar.read(request)
        answers = []
        for number, made in enumerate(request.envelopes):
            name = [*WRONG][(liar.told + number) % len(WRONG)]
            liar.kinds.add(name)
            answers.append(WRONG[name](liar, made))
        yield liar.answer(request, answers)


async def swapped_receipts(liar: Liar, requests: Frames) -> AsyncIterator[Said]:
    """True receipts, each beside another envelope of the frame; one alone gets none."""
    async for request in requests:
        liar.read(request)
        answers = liar.true(request).answers[: len(request.envelopes)]
        swapped = [*answers[1:], answers[0]] if len(answers) > 1 else [mailbox.Answer() for _ in answers]
        yield liar.answer(request, swapped)


async def other_frames(liar: Liar, requests: Frames) -> AsyncIterator[Said]:
    """True answers to a frame that was never sent."""
    async for request in requests:
        liar.read(request)
        response = liar.true(request)
        response.frame += 1000
        yield response


async def too_few(liar: Liar, requests: Frames) -> AsyncIterator[Said]:
    """An answer less than there were envelopes."""
    async for request in requests:
        liar.read(request)
        response = liar.true(request)
        del response.answers[-1]
        yield response


async def too_many(liar: Liar, requests: Frames) -> AsyncIterator[Said]:
    """An answer more than there were envelopes."""
    async for request in requests:
        liar.read(request)
        response = liar.true(request)
        response.answers.append(mailbox.Answer(noted=True))
        yield response


async def endless(liar: Liar, requests: Frames) -> AsyncIterator[Said]:
    """Answers to what nobody asked, without end."""
    async for request in requests:
        liar.read(request)
        response = liar.true(request)
        for _ in range(ENDLESS):
            response.frame += 1
            yield response


async def garbage(liar: Liar, requests: Frames) -> AsyncIterator[Said]:
    """Bytes that are no message."""
    async for request in requests:
        liar.read(request)
        yield b"\xff" * 1024


async def silence(liar: Liar, requests: Frames) -> AsyncIterator[Said]:
    """It takes everything and says nothing."""
    async for request in requests:
        liar.read(request)
    return
    yield b""


async def hanging_up(liar: Liar, requests: Frames) -> AsyncIterator[Said]:
    """It ends each stream once it has got something."""
    async for request in requests:
        liar.read(request)
        return
    yield b""


async def truth(liar: Liar, requests: Frames) -> AsyncIterator[Said]:
    """It signs for everything, and keeps nothing."""
    async for request in requests:
        liar.read(request)
        yield liar.true(request)


async def huge(liar: Liar, requests: Frames) -> AsyncIterator[Said]:
    """An answer larger than anybody reads."""
    async for request in requests:
        liar.read(request)
        yield bytes(HUGE_BYTES)


LIES: list[Lie] = [
    wrong_receipts,
    swapped_receipts,
    other_frames,
    too_few,
    too_many,
    endless,
    garbage,
    silence,
    hanging_up,
    huge,
]


@asynccontextmanager
async def lying(fed: Federation, lie: Lie) -> AsyncIterator[Liar]:
    """Have it stand in de's place."""
    liar, server = Liar(fed, lie), grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((liar,))
    door = transport.DoorTls(liar.loaded.identity, tuple(node.ca_pem for node in fed.directory.nodes))
    server.add_secure_port(liar.loaded.config.listen, transport.server_credentials(lambda: door))
    await server.start()
    try:
        yield liar
    finally:
        await server.stop(0)
