"""A node's Log service, asked by an auditor who believes nothing of what it answers."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import pytest
from rogatory.v1 import log_pb2 as pb
from rogatory.v1.log_pb2_grpc import LogServicer, add_LogServicer_to_server

from clients import sync
from clients.auditing import node as module
from clients.auditing.node import NodePlace
from gateway.doors.entrance import abort
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.transport import TlsIdentity
from tests.world import DIRECTORY

pytestmark = pytest.mark.integration

Answer = Callable[[pb.GetTilesRequest], list[pb.GetTilesResponse]]


def tile(number: int, hashes: int = 256) -> pb.GetTilesResponse:
    return pb.GetTilesResponse(number=number, hashes=number.to_bytes(32, "big") * hashes)


def honest(request: pb.GetTilesRequest) -> list[pb.GetTilesResponse]:
    return [tile(request.number + each) for each in range(request.count)]


@dataclass
class Fake(LogServicer):
    """A node whose answers a test sets; it counts what it was asked."""

    answer: Answer = honest
    errors: list[GatewayError] = field(default_factory=list)
    note: bytes = b"note"
    asked: int = 0

    async def GetCheckpoint(  # noqa: N802  as in the .proto
        self, request: pb.GetCheckpointRequest, context: Any
    ) -> pb.GetCheckpointResponse:
        await self._fail(context)
        return pb.GetCheckpointResponse(note=self.note)

    async def GetTiles(  # noqa: N802  as in the .proto
        self, request: pb.GetTilesRequest, context: Any
    ) -> AsyncIterator[pb.GetTilesResponse]:
        await self._fail(context)
        for each in self.answer(request):
            yield each

    async def GetInclusionProofs(self, request: Any, context: Any) -> Any:  # noqa: N802  as above
        raise AssertionError("an auditor asks for no proof")

    async def GetConsistencyProof(self, request: Any, context: Any) -> Any:  # noqa: N802  as above
        raise AssertionError("an auditor asks for no proof")

    async def _fail(self, context: Any) -> None:
        self.asked += 1
        if self.errors:
            await abort(context, self.errors.pop(0))


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def place(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodePlace]:
    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server()
        add_LogServicer_to_server(fake, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = sync.run(start())
    monkeypatch.setattr(module, "channel_to", lambda *_: grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
    entry = DIRECTORY.node("ee")
    made = NodePlace(entry, DIRECTORY.federation, TlsIdentity(b"", b""))
    yield made
    made.close()
    sync.run(server.stop(None))


def code_of(ask: Callable[[], object]) -> ErrorCode:
    with pytest.raises(GatewayError) as caught:
        ask()
    return caught.value.code


def test_tiles_come_in_batches_and_are_asked_for_once(fake: Fake, place: NodePlace) -> None:
    for number in range(70):
        assert place.tile(0, number, 256) == number.to_bytes(32, "big") * 256
    assert place.tile(0, 3, 5) == (3).to_bytes(32, "big") * 5
    assert fake.asked == 2


def test_tile_that_has_grown_since_is_asked_for_again(fake: Fake, place: NodePlace) -> None:
    fake.answer = lambda request: [tile(0, 5)]
    assert place.tile(0, 0, 5) == tile(0, 5).hashes
    fake.answer = lambda request: [tile(0, 9)]
    assert place.tile(0, 0, 9) == tile(0, 9).hashes


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param(lambda _: [tile(1)], ErrorCode.MALFORMED, id="another"),
        pytest.param(lambda _: [tile(0), tile(0)], ErrorCode.MALFORMED, id="one twice"),
        pytest.param(lambda _: [tile(each) for each in range(65)], ErrorCode.MALFORMED, id="one too many"),
        pytest.param(lambda _: [tile(0, 257)], ErrorCode.MALFORMED, id="a hash too many"),
        pytest.param(lambda _: [], ErrorCode.UNAVAILABLE, id="none"),
    ],
)
def test_node_sends_what_nobody_asked_for(fake: Fake, place: NodePlace, answer: Answer, code: ErrorCode) -> None:
    fake.answer = answer
    assert code_of(lambda: place.tile(0, 0, 256)) is code


def test_node_sends_less_than_a_tile_has(fake: Fake, place: NodePlace) -> None:
    fake.answer = lambda _: [tile(0, 3)]
    assert len(place.tile(0, 0, 256)) == 3 * 32


def test_node_sends_a_checkpoint_without_end(fake: Fake, place: NodePlace) -> None:
    fake.note = bytes((1 << 18) + 1)
    assert code_of(place.checkpoint) is ErrorCode.TOO_LARGE


def test_node_that_has_us_wait_is_waited_for(fake: Fake, place: NodePlace) -> None:
    fake.errors = [Failure(ErrorCode.OVERLOADED, "later", retry_after=0.01) for _ in range(4)]
    assert place.checkpoint() == b"note"
    fake.errors = [Failure(ErrorCode.OVERLOADED, "later", retry_after=0.01) for _ in range(5)]
    assert code_of(place.checkpoint) is ErrorCode.OVERLOADED
    fake.errors = [Failure(ErrorCode.OVERLOADED, "next year", retry_after=1e6)]
    assert code_of(lambda: place.tile(0, 0, 1)) is ErrorCode.OVERLOADED


def test_nodes_refusals_are_told(fake: Fake, place: NodePlace) -> None:
    fake.errors = [Refusal(ErrorCode.NOT_FOUND, "not yet"), Refusal(ErrorCode.REVOKED, "you")]
    assert code_of(place.checkpoint) is ErrorCode.UNAVAILABLE
    assert code_of(place.checkpoint) is ErrorCode.REVOKED
