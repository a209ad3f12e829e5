"""The Trace door: an operator asks where an envelope is, and reads none.

What this node recorded, and, if asked, what the nodes at the envelope's other end tell of it, live. The statements of
both sides come with their signatures, so that the operator's own program can check them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.trace_pb2_grpc import TraceServicer

from gateway import codec
from gateway.codec import error_message
from gateway.directory import Directory, Lookup, Status
from gateway.doors.entrance import Context, Entrance
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import Address, Role
from gateway.lifecycle import ACTS_NEXT, FINAL, State
from gateway.quota import Cost
from gateway.store.reader import EventRow, Reader, TraceRow

AskNode = Callable[[str, str], Awaitable[list[trace.EnvelopeTrace]]]

# For all that one node is asked. Below the fifteen seconds that an operator's program waits: a node that is slow, or
# slow on purpose, must not cost the operator what this one knows.
ASK_SECONDS: Final = 10.0
# Between two questions of which the first was one too many: a node must not make us ask in a hot loop.
LEAST_PAUSE_SECONDS: Final = 0.05


class TraceDoor(TraceServicer):
    """Serves the operators of one node."""

    def __init__(self, here: str, lookup: Lookup, entrance: Entrance, reader: Reader, ask_node: AskNode) -> None:
        """Prepare the door; `ask_node(node, envelope id)` asks another node for what it knows."""
        self._here = here
        self._lookup = lookup
        self._entrance = entrance
        self._reader = reader
        self._ask_node = ask_node

    async def GetTrace(self, request: trace.GetTraceRequest, context: Context) -> trace.GetTraceResponse:
        """Follow an envelope, or every envelope of a case."""
        # Also by an expired directory: it lets nobody in who was not in, and who looks for what is stuck must see.
        async with self._entrance.call(context, expired_too=True) as call:
            peer = call.peer
            if Role.OPERATOR not in peer.roles or peer.node != self._here:
                raise Refusal(ErrorCode.NOT_PERMITTED, "only an operator of this node may trace")
            self._entrance.quotas.charge(peer.address, Cost(queries=1))
            codec.check(request)
            rows = await self._reader.trace(request.key)
            if not rows:
                raise Refusal(ErrorCode.NOT_FOUND, f"no envelope or case {request.key!r} at node {self._here}")
            directory = self._lookup()
            response = trace.GetTraceResponse(traces=[envelope_trace(row, self._here, directory) for row in rows])
            if request.ask_others:
                await self._ask_others(rows, response)
            return response

    async def _ask_others(self, rows: Iterable[TraceRow], response: trace.GetTraceResponse) -> None:
        asked: dict[str, list[TraceRow]] = {}
        for row in rows:
            for node in sorted(_nodes(row.header) - {self._here}):
                asked.setdefault(node, []).append(row)
        told = await asyncio.gather(*(self._ask_one(node, shared) for node, shared in asked.items()))
        for node, (traces, error) in zip(asked, told, strict=True):
            response.traces.extend(traces)
            if error is not None:
                response.silent.append(trace.NodeSilent(node=node, error=error_message(error)))

    async def _ask_one(
        self, node: str, rows: Iterable[TraceRow]
    ) -> tuple[list[trace.EnvelopeTrace], GatewayError | None]:
        """Ask one node, one envelope after another: a long case must not use up the calls it allows us at once."""
        traces: list[trace.EnvelopeTrace] = []
        try:
            async with asyncio.timeout(ASK_SECONDS):
                for row in rows:
                    told = await self._ask_patiently(node, row.id)
                    # It speaks for itself alone, and about what it was asked.
                    traces += [
                        one
                        for one in told
                        if (one.node, one.envelope.sender, one.envelope.id) == (node, row.sender, row.id)
                    ]
        except GatewayError as error:
            return traces, error
        except TimeoutError:
            return traces, Failure(
                ErrorCode.UNAVAILABLE, f"node {node} did not tell all within {ASK_SECONDS:g} seconds"
            )
        return traces, None

    async def _ask_patiently(self, node: str, envelope_id: str) -> list[trace.EnvelopeTrace]:
        """Ask again when the other node says that we may: a long case must not end at its quota of queries."""
        while True:
            try:
                return await self._ask_node(node, envelope_id)
            except Failure as failure:
                if failure.retry_after is None:
                    raise
                await self._entrance.quotas.pause(max(failure.retry_after, LEAST_PAUSE_SECONDS))


def between(header: bytes, here: str, other: str) -> bool:
    """Whether an envelope went between these two nodes."""
    return _nodes(header) == {here, other}


def envelope_trace(row: TraceRow, here: str, directory: Directory) -> trace.EnvelopeTrace:
    """Return what is recorded of one envelope as it travels."""
    return trace.EnvelopeTrace(
        node=here,
        header=row.header,
        envelope=ids.EnvelopeRef(sender=row.sender, id=row.id),
        fingerprint=row.fingerprint,
        events=[event for stored in row.events for event in _events(stored)],
        receipts=row.receipts,
        deliveries=[
            trace.DeliveryState(
                destination=copy.destination,
                state=copy.state.value,
                attempts=copy.attempts,
                next_attempt_at_us=0 if copy.state in FINAL else copy.next_attempt_at_us,
                last_error=copy.last_error,
                acts_next=_acts_next(copy.destination, copy.state, directory),
            )
            for copy in row.copies
        ],
    )


def _acts_next(destination: str, state: State, directory: Directory) -> str:
    """Name who acts next: a mailbox has no courier, its owner collects; a node that is gone has nobody."""
    address = Address.parse(destination, allow_node=True)
    if state in FINAL:
        return ACTS_NEXT[state]
    if not address.is_node:
        return destination
    served = any(node.code == address.node and node.status is Status.ACTIVE for node in directory.nodes)
    return ACTS_NEXT[state] if served else f"the operator: node {address.node} is no longer served"


def _events(stored: EventRow) -> Iterable[trace.TraceEvent]:
    """Unfold one stored event into the stages that it passed and what it came to."""
    stages = [stage.rpartition(":") for stage in stored.stages.split()]
    at_us = stored.at_us - sum(int(took) for _, _, took in stages)
    for name, _, took in stages:
        at_us += int(took)
        yield trace.TraceEvent(at_us=at_us, name=name, actor=stored.actor, took_us=int(took))
    yield trace.TraceEvent(
        at_us=stored.at_us,
        name=stored.name,
        actor=stored.actor,
        destination=stored.destination,
        code=errors_pb2.ErrorCode.ValueType(stored.code),
        detail=stored.detail,
    )


def _nodes(header: bytes) -> set[str]:
    if not header:
        return set()
    parsed = pb.Header.FromString(header)
    return {Address.parse(address).node for address in (parsed.sender, *parsed.recipients)}
