"""What an operator or auditor asks of its node, over gRPC and with its own certificate.

In: a participant's settings. Out: what the node answers. It is all the console knows: there is no store behind it, and
whoever only watches holds no key that opens an envelope. Refuses as the node does; UNAVAILABLE if that does not answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc.aio
from rogatory.v1 import operations_pb2 as operations
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.operations_pb2_grpc import OperationsStub
from rogatory.v1.trace_pb2_grpc import TraceStub

from gateway import material, transport
from gateway.clock import Clock, Elapsed, since_boot
from gateway.directory import Directory
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.identity import Address, Role
from gateway.material import Ask, ParticipantMaterial

T = TypeVar("T")
diagnostics = logging.getLogger("gateway.console")

ANSWER_SECONDS: Final = 15.0
TEST_SECONDS: Final = 25.0
RENEW_SECONDS: Final = 60.0
"""So long may pass before a console notices that its operator was revoked; the node notices at once."""
STALE_SECONDS: Final = 2 * RENEW_SECONDS
"""What was told longer ago, while nobody was here, is asked again before anything is decided by it."""
PATIENCE_SECONDS: Final = 5.0
"""So long a page waits for that: a directory that hangs must not take the console away."""
WATCHERS: Final = frozenset({Role.OPERATOR, Role.AUDITOR})


class Desk:
    """One operator's or auditor's way to its node.

    Args:
        loaded: who it is.
        clock: time.
        ask: asks for the passphrase of its key, when that has changed.
        elapsed: seconds by a clock that nobody sets.

    Raises:
        Refusal: BAD_CONFIG, the directory calls it neither.
    """

    def __init__(
        self, loaded: ParticipantMaterial, clock: Clock, ask: Ask | None = None, elapsed: Elapsed = since_boot
    ) -> None:
        if not loaded.roles & WATCHERS:
            raise Refusal(ErrorCode.BAD_CONFIG, f"{loaded.address} is neither operator nor auditor", "config")
        self._loaded = loaded
        self._clock = clock
        self._ask = ask
        self._elapsed = elapsed
        self._renewed_at = elapsed()
        self._renewing: asyncio.Task[None] | None = None
        self._channel: grpc.aio.Channel | None = None
        self._gone: Refusal | None = None

    @property
    def address(self) -> Address:
        """Who it is."""
        return self._loaded.address

    @property
    def may_act(self) -> bool:
        """Whether it is an operator: an auditor only looks."""
        return Role.OPERATOR in self._loaded.roles

    @property
    def role(self) -> Role:
        """As what it is shown."""
        return Role.OPERATOR if self.may_act else Role.AUDITOR

    @property
    def node(self) -> str:
        """Code of its node."""
        return self._loaded.node.code

    @property
    def ca_pem(self) -> bytes:
        """The CA of its node, which issued its certificate."""
        return self._loaded.node.ca_pem

    @property
    def directory(self) -> Directory:
        """Who exists."""
        return self._loaded.directory

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about its own keys and certificate."""
        return self._loaded.warnings

    async def renewed(self) -> None:
        """Have the newest directory and certificate: beside whatever is done, and before it if nobody came for long."""
        age = self._elapsed() - self._renewed_at
        if age < RENEW_SECONDS:
            return
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())
        if age >= STALE_SECONDS:
            await asyncio.wait({self._renewing}, timeout=PATIENCE_SECONDS)

    async def check(self) -> None:
        """Check that the directory still has it, as it was told last.

        Raises:
            Refusal: REVOKED, or another; it may come back.
        """
        await self.renewed()
        if self._gone is not None:
            raise self._gone
        if not self._loaded.roles & WATCHERS:
            raise Refusal(ErrorCode.NOT_PERMITTED, f"{self.address} is neither operator nor auditor any more")

    async def overview(self) -> trace.GetOverviewResponse:
        """Return how the node does."""
        return await self._call(
            TraceStub, lambda stub, most: stub.GetOverview(trace.GetOverviewRequest(), timeout=most)
        )

    async def find(self, request: trace.FindEnvelopesRequest) -> trace.FindEnvelopesResponse:
        """Return envelopes."""
        return await self._call(TraceStub, lambda stub, most: stub.FindEnvelopes(request, timeout=most))

    async def trace(self, key: str, *, ask_others: bool) -> trace.GetTraceResponse:
        """Return what is known of an envelope or a case."""
        request = trace.GetTraceRequest(key=key, ask_others=ask_others)
        return await self._call(TraceStub, lambda stub, most: stub.GetTrace(request, timeout=most))

    async def act(self, action: operations.Action) -> operations.RecordedAction:
        """Do something, or ask a second operator for it."""
        request = operations.ActRequest(action=action)
        answer: operations.ActResponse = await self._call(
            OperationsStub, lambda stub, most: stub.Act(request, timeout=most)
        )
        return answer.recorded

    async def decide(self, request: operations.DecideActionRequest) -> operations.RecordedAction:
        """Approve or reject what another operator wants."""
        answer: operations.DecideActionResponse = await self._call(
            OperationsStub, lambda stub, most: stub.DecideAction(request, timeout=most)
        )
        return answer.recorded

    async def actions(self, request: operations.ListActionsRequest) -> operations.ListActionsResponse:
        """Return what operators did and want to do."""
        return await self._call(OperationsStub, lambda stub, most: stub.ListActions(request, timeout=most))

    async def test(self, node: str) -> operations.TestConnectionResponse:
        """Try the way to another node and back."""
        request = operations.TestConnectionRequest(node=node)
        return await self._call(
            OperationsStub, lambda stub, most: stub.TestConnection(request, timeout=most), TEST_SECONDS
        )

    async def close(self) -> None:
        """End its connection."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _call(
        self, stub: Callable[[Any], Any], call: Callable[[Any, float], Awaitable[T]], seconds: float = ANSWER_SECONDS
    ) -> T:
        await self.check()
        if self._channel is None:
            loaded = self._loaded
            self._channel = transport.channel_to(loaded.node, loaded.directory.federation, loaded.identity)
        try:
            return await call(stub(self._channel), seconds)
        except grpc.aio.AioRpcError as error:
            raise transport.error_of(error) from error

    async def _renew(self) -> None:
        try:
            loaded = await asyncio.to_thread(material.refresh_participant, self._loaded, self._clock, self._ask)
        except Refusal as refusal:
            self._gone = refusal if refusal.code is ErrorCode.REVOKED else self._gone
            diagnostics.warning("the settings of %s cannot be renewed", self.address, extra={"code": refusal.code.name})
        except GatewayError as error:
            # What was loaded is good until it ends; the next look comes in a minute.
            diagnostics.warning("the directory cannot be renewed", extra={"code": error.code.name})
        else:
            before, self._loaded, self._gone = self._loaded, loaded, None
            if (before.identity, before.node) != (loaded.identity, loaded.node) and self._channel is not None:
                channel, self._channel = self._channel, None
                await channel.close(ANSWER_SECONDS)
        finally:
            self._renewed_at = self._elapsed()
            self._renewing = None
