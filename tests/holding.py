"""A node that takes frames and answers them when a test lets it; and what tests of delivery ask of a store."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.relay_pb2_grpc import RelayServicer, add_RelayServicer_to_server

from gateway import codec, envelope, material, transport
from gateway.clock import system_clock, to_micros
from gateway.deliver import FRAME_ITEMS
from gateway.errors import GatewayError
from gateway.identity import Address
from gateway.statement import issue
from tests import stores
from tests.federation import DELIVERY, Federation, ref

# Nobody gives up for want of an answer while a test holds it back.
PATIENT = DELIVERY.model_copy(update={"attempt_timeout_seconds": 60.0, "lease_seconds": 600.0})


class HoldingNode(RelayServicer):
    """Stands in de's place with de's own certificate and key: takes frames, and answers them when it is let."""

    async def TraceBetween(  # noqa: N802  gRPC's name
        self, request: relay.TraceBetweenRequest, context: object
    ) -> relay.TraceBetweenResponse:
        return relay.TraceBetweenResponse()

    async def Probe(self, request: relay.ProbeRequest, context: object) -> relay.ProbeResponse:  # noqa: N802  likewise
        return relay.ProbeResponse()

    def __init__(self, fed: Federation) -> None:
        self.loaded = material.load_node(fed.summary.config("de/node"))
        self.identity = self.loaded.identity
        self.reading = asyncio.Event()
        self.reading.set()
        self.frames: list[Sequence[pb.SignedEnvelope]] = []
        self._answers = asyncio.Semaphore(0)

    def answer(self, frames: int) -> None:
        """Answer so many more frames."""
        for _ in range(frames):
            self._answers.release()

    async def Relay(  # noqa: N802  gRPC's name
        self, request_iterator: AsyncIterator[relay.RelayRequest], context: object
    ) -> AsyncIterator[relay.RelayResponse]:
        taken: asyncio.Queue[relay.RelayRequest] = asyncio.Queue()

        async def take() -> None:
            while True:
                await self.reading.wait()
                request = await anext(request_iterator)
                self.frames.append(request.envelopes)
                await taken.put(request)

        taking = asyncio.create_task(take())
        try:
            while True:
                request = await taken.get()
                await self._answers.acquire()
                answers = [self._accept(made) for made in request.envelopes]
                answers += [mailbox.Answer(noted=True) for _ in request.receipts]
                yield relay.RelayResponse(frame=request.frame, answers=answers)
        finally:
            taking.cancel()

    def _accept(self, made: pb.SignedEnvelope) -> mailbox.Answer:
        said = pb.Statement(
            envelope=ref(made),
            fingerprint=envelope.fingerprint(made),
            milestone=pb.MILESTONE_ACCEPTED,
            issuer="de/node",
            at_us=to_micros(system_clock()),
        )
        (receipt,) = issue([said], Address.of_node("de"), self.loaded.signing_key)
        return mailbox.Answer(receipt=receipt)


@asynccontextmanager
async def holding_node(fed: Federation, there: HoldingNode | None = None) -> AsyncIterator[HoldingNode]:
    there, server = there or HoldingNode(fed), grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_RelayServicer_to_server(there, server)
    door = transport.DoorTls(there.identity, tuple(node.ca_pem for node in fed.directory.nodes))
    server.add_secure_port(there.loaded.config.listen, transport.server_credentials(lambda: door))
    await server.start()
    try:
        yield there
    finally:
        await server.stop(0)


def counted(store: stores.Place, query: str) -> int:
    """Ask a store that may be in use."""
    return int(stores.rows(store, query)[0][0] or 0)


def states(store: stores.Place) -> Counter[str]:
    """How many deliveries to other nodes are in which state."""
    query = "SELECT state FROM deliveries WHERE destination LIKE '%/node' AND envelope_seq > 0"
    return Counter(state for (state,) in stores.rows(store, query))


async def submit(fed: Federation, made: Sequence[pb.SignedEnvelope]) -> None:
    for start in range(0, len(made), FRAME_ITEMS):
        answers = await fed.actor("ee/prosecutor").submit_frame(made[start : start + FRAME_ITEMS])
        assert all(answer.HasField("receipt") for answer in answers)


def requests(fed: Federation, count: int, **fields: Any) -> list[pb.SignedEnvelope]:
    """A case each."""
    return [fed.request(**{"case_id": f"EE-{number}", **fields}) for number in range(count)]


def answered(answer: mailbox.Answer) -> GatewayError | None:
    return codec.error_from(answer.error) if answer.WhichOneof("result") == "error" else None
