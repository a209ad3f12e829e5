"""The Operations door: an operator acts on deliveries, a second one agrees, an auditor reads what they did.

In: actions and decisions. Out: each as it is recorded; it is done, or waits. Refuses with NOT_PERMITTED whoever is no
operator of this node, and as `gateway.operations` does. An expired directory lets operators in: it lets nobody in who
was not in, and what is stuck has to be dealt with then of all times.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from rogatory.v1 import operations_pb2 as pb
from rogatory.v1.operations_pb2_grpc import OperationsServicer

from gateway import codec, operations
from gateway.authenticate import Peer
from gateway.clock import Clock, to_micros
from gateway.config import Operations
from gateway.directory import Lookup
from gateway.doors.entrance import Context, Entrance
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Role
from gateway.operations import Desk
from gateway.quota import Cost
from gateway.receipt import Scribe
from gateway.store import Reader, Writer
from gateway.store.operating import ActionRow, Resendable

Probe = Callable[[str], Awaitable[list[pb.ConnectionCheck]]]
"""Tries the way to a node, by its code."""

DEFAULT_LISTED = 50


class OperationsDoor(OperationsServicer):
    """Serves the operators of one node."""

    def __init__(
        self,
        here: str,
        lookup: Lookup,
        entrance: Entrance,
        writer: Writer,
        reader: Reader,
        scribe: Scribe,
        settings: Operations,
        process: str,
        clock: Clock,
        probe: Probe,
    ) -> None:
        self._here = here
        self._lookup = lookup
        self._entrance = entrance
        self._writer = writer
        self._reader = reader
        self._scribe = scribe
        self._settings = settings
        self._process = process
        self._clock = clock
        self._probe = probe

    async def Act(self, request: pb.ActRequest, context: Context) -> pb.ActResponse:
        """Do something, or keep it for a second operator."""
        async with self._entrance.call(context, expired_too=True) as call:
            self._let_in(call.peer, Role.OPERATOR)
            codec.check(request)
            desk, by = self._desk(), str(call.peer.address)
            action = desk.prepared(request.action, self._now_us())
            found = [] if desk.needs_second(action) else await self._resendable(action)
            row = await self._writer.write(partial(desk.act, action, by, found), max(1, len(found)))
            return pb.ActResponse(recorded=self._recorded(row))

    async def DecideAction(self, request: pb.DecideActionRequest, context: Context) -> pb.DecideActionResponse:
        """Take an operator's word on what another wants."""
        async with self._entrance.call(context, expired_too=True) as call:
            self._let_in(call.peer, Role.OPERATOR)
            codec.check(request)
            waiting = await self._reader.operating(lambda view: view.action(request.number))
            wanted = request.approve and waiting is not None and waiting.ended is None
            found = await self._resendable(waiting.action) if wanted and waiting is not None else []
            job = partial(self._desk().decide, request, str(call.peer.address), found)
            row = await self._writer.write(job, max(1, len(found)))
            return pb.DecideActionResponse(recorded=self._recorded(row))

    async def ListActions(self, request: pb.ListActionsRequest, context: Context) -> pb.ListActionsResponse:
        """Tell what operators did, and what waits."""
        async with self._entrance.call(context, expired_too=True) as call:
            self._let_in(call.peer, Role.OPERATOR, Role.AUDITOR)
            codec.check(request)
            limit, now_us = request.limit or DEFAULT_LISTED, self._now_us()
            # One more, to see whether there are older ones.
            rows = await self._reader.operating(
                lambda view: (
                    view.waiting(limit + 1, request.before, now_us)
                    if request.waiting
                    else view.actions(limit + 1, request.before)
                )
            )
            return pb.ListActionsResponse(actions=map(self._recorded, rows[:limit]), more=len(rows) > limit)

    async def TestConnection(self, request: pb.TestConnectionRequest, context: Context) -> pb.TestConnectionResponse:
        """Try the way to another node."""
        async with self._entrance.call(context, expired_too=True) as call:
            self._let_in(call.peer, Role.OPERATOR)
            codec.check(request)
            return pb.TestConnectionResponse(checks=await self._probe(request.node))

    def _let_in(self, peer: Peer, *roles: Role) -> None:
        """Let those of this node with such a role in; each call costs one query.

        Raises:
            Refusal: NOT_PERMITTED.
            Failure: OVERLOADED.
        """
        if peer.roles.isdisjoint(roles) or peer.node != self._here:
            names = " or ".join(role.value for role in roles)
            raise Refusal(ErrorCode.NOT_PERMITTED, f"only an {names} of this node may do that")
        self._entrance.quotas.charge(peer.address, Cost(queries=1))

    def _desk(self) -> Desk:
        return Desk(self._here, self._lookup(), self._settings, self._scribe, self._process)

    async def _resendable(self, action: pb.Action) -> Sequence[Resendable]:
        """Look up what is to be resent, beside the writer: much may wait, and others are served meanwhile."""
        if not operations.is_bulk(action):
            return []
        resend, now_us = action.resend, self._now_us()
        return await self._reader.operating(
            lambda view: view.resendable(
                resend.destination, resend.from_us, resend.until_us, now_us, operations.MAX_RESENT
            )
        )

    def _recorded(self, row: ActionRow) -> pb.RecordedAction:
        return operations.recorded(row, self._now_us())

    def _now_us(self) -> int:
        return to_micros(self._clock())
