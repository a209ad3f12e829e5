"""A node that tells a console what a test wants: Trace and Operations over real TLS, with a real node's key.

It keeps no rule but that of four eyes, and remembers what it was asked. Run as a program, it serves until its standard
input ends, so that a browser's tests have it in a process of its own.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from gateway import material, statement, transport
from gateway.authenticate import authenticate
from gateway.clock import Clock, system_clock, to_micros
from gateway.codec import error_message
from gateway.doors.entrance import abort
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.material import NodeMaterial
from gateway.tls import peer_certificate
from gateway.transport import DoorTls

import grpc.aio  # isort: skip  # after gateway.tls
from rogatory.v1 import envelope_pb2 as pb  # isort: skip
from rogatory.v1 import errors_pb2  # isort: skip
from rogatory.v1 import identifiers_pb2 as ids  # isort: skip
from rogatory.v1 import measures_pb2 as measures  # isort: skip
from rogatory.v1 import operations_pb2 as operations  # isort: skip
from rogatory.v1 import trace_pb2 as trace  # isort: skip
from rogatory.v1.operations_pb2_grpc import OperationsServicer, add_OperationsServicer_to_server  # isort: skip
from rogatory.v1.trace_pb2_grpc import TraceServicer, add_TraceServicer_to_server  # isort: skip

Context = grpc.aio.ServicerContext[Any, Any]

STUCK: Final = "019aab00-0000-7000-8000-000000000001"
DONE: Final = "019aab00-0000-7000-8000-000000000002"
REFUSED: Final = "019aab00-0000-7000-8000-000000000003"
CASE: Final = "EE-2026-1"
NASTY: Final = "<script>alert(1)</script>\u202e\x1b[31m"
"""What a console must show as what it is."""
SENDER: Final = "ee/prosecutor"
PEER: Final = "de/central-authority"


@dataclass
class Told:
    """What the node says, and what it was told."""

    loaded: NodeMaterial
    other: NodeMaterial
    clock: Clock
    failing: list[GatewayError] = field(default_factory=list)
    found: list[trace.FindEnvelopesRequest] = field(default_factory=list)
    traced: list[trace.GetTraceRequest] = field(default_factory=list)
    acted: list[operations.RecordedAction] = field(default_factory=list)
    overviews: int = 0
    waiting: int = 12
    held: dict[str, tuple[str, str]] = field(default_factory=dict)

    def ago(self, **span: float) -> int:
        return to_micros(self.clock() - timedelta(**span))

    def ahead(self, **span: float) -> int:
        return to_micros(self.clock() + timedelta(**span))

    def receipt(
        self,
        envelope_id: str,
        milestone: pb.Milestone.ValueType,
        at_us: int,
        recipient: str = "",
        *,
        by_other: bool = False,
    ) -> pb.Receipt:
        signer = self.other if by_other else self.loaded
        said = pb.Statement(
            envelope=ids.EnvelopeRef(sender=SENDER, id=envelope_id),
            fingerprint=bytes(32),
            milestone=milestone,
            issuer=str(signer.address),
            recipient=recipient,
            at_us=at_us,
        )
        return statement.issue([said], signer.address, signer.signing_key)[0]

    def overview(self) -> trace.GetOverviewResponse:
        self.overviews += 1
        node = next(iter(self.held), "")
        return trace.GetOverviewResponse(
            node="ee",
            at_us=to_micros(self.clock()),
            flows=[
                trace.Flow(from_node="de", to_node="ee", last_hour=412, last_minute=9),
                trace.Flow(from_node="ee", to_node="de", last_hour=1311, last_minute=31, waiting=self.waiting),
                trace.Flow(from_node="fr", to_node="ee", last_hour=57),
                trace.Flow(from_node="ee", to_node="fr", last_hour=122, last_minute=1, waiting=3),
                trace.Flow(from_node="ee", to_node="nl", last_hour=16),
                trace.Flow(from_node="ee", to_node="ee", last_hour=248, last_minute=4),
            ],
            destinations=[
                trace.Destination(
                    address="de/node",
                    waiting=self.waiting,
                    in_doubt=2,
                    oldest_at_us=self.ago(minutes=47),
                    last_error="UNAVAILABLE: failed to connect to all addresses",
                    next_attempt_at_us=self.ahead(seconds=41),
                    held_by=self.held.get("de/node", ("", ""))[0],
                    held_reason=self.held.get("de/node", ("", ""))[1],
                    held_at_us=self.ago(minutes=1) if node else 0,
                ),
                trace.Destination(
                    address="fr/node",
                    waiting=3,
                    oldest_at_us=self.ago(hours=3),
                    held_by="ee/operator-2",
                    held_reason="their certificate is being replaced",
                    held_at_us=self.ago(hours=2),
                ),
                trace.Destination(address="ee/exchange", waiting=5, oldest_at_us=self.ago(minutes=6)),
                trace.Destination(address="nl/node"),
            ],
            clocks=[
                self.open_clock(STUCK, measures.CLOCK_RULE_URGENT_DECISION, self.ago(hours=1), "overdue"),
                self.open_clock(DONE, measures.CLOCK_RULE_ORDINARY_DECISION, self.ahead(days=3), "running"),
            ],
            expiries=[
                trace.Expiry(what="directory timestamp", whose="federation", at_us=self.ahead(hours=20)),
                trace.Expiry(what="TLS certificate", whose="ee/node", at_us=self.ahead(days=6)),
                trace.Expiry(what="signing key", whose="ee/node", at_us=self.ahead(days=160)),
            ],
            log=trace.LogState(
                size=48211,
                at_us=self.ago(seconds=4),
                waiting=7,
                witnesses=[
                    trace.WitnessState(name="witness.test/one", size=48211, at_us=self.ago(seconds=4)),
                    trace.WitnessState(name="witness.test/two", size=47902, at_us=self.ago(hours=2)),
                    trace.WitnessState(name="witness.test/three"),
                ],
            ),
            warnings=[
                trace.Warning(
                    name="destination.dead",
                    subject="de/node",
                    detail="nothing got there for 47 minutes; 12 copies wait",
                    since_us=self.ago(minutes=47),
                    urgent=True,
                ),
                trace.Warning(
                    name="clock.overdue",
                    subject=f"urgent-decision {SENDER} {STUCK}",
                    detail="urgent-decision ran out an hour ago",
                    since_us=self.ago(hours=1),
                    urgent=True,
                ),
                trace.Warning(
                    name="witness.silent",
                    subject="witness.test/three",
                    detail=NASTY,
                    since_us=self.ago(days=1),
                ),
            ],
            directory_version=14,
            members=[
                trace.Member(
                    address=str(each.address), roles=sorted(r.value for r in each.roles), status=each.status.value
                )
                for each in self.loaded.directory.participants
            ],
        )

    def open_clock(
        self, envelope_id: str, rule: measures.ClockRule.ValueType, due_us: int, stage: str
    ) -> trace.OpenClock:
        return trace.OpenClock(
            matter=ids.EnvelopeRef(sender=SENDER, id=envelope_id), rule=rule, due_us=due_us, stage=stage
        )

    def envelopes(self) -> list[trace.FoundEnvelope]:
        def made(envelope_id: str, kind: ids.Kind.ValueType, minutes: float, **more: Any) -> trace.FoundEnvelope:
            return trace.FoundEnvelope(
                envelope=ids.EnvelopeRef(sender=SENDER, id=envelope_id),
                recipient=PEER,
                kind=kind,
                case_id=CASE,
                recorded_at_us=self.ago(minutes=minutes),
                **more,
            )

        stuck = trace.DeliveryState(
            destination="de/node",
            state="queued",
            attempts=9,
            last_error="UNAVAILABLE",
            acts_next="the node itself",
            held_by=self.held.get("de/node", ("", ""))[0],
            held_reason=self.held.get("de/node", ("", ""))[1],
            next_attempt_at_us=self.ahead(seconds=41),
        )
        done = trace.DeliveryState(destination=PEER, state="delivered", attempts=1, acts_next="nobody")
        refused = trace.DeliveryState(destination=PEER, state="refused", attempts=1, acts_next="the sender")
        return [
            made(STUCK, ids.KIND_FREEZE_REQUEST, 47, delivery=stuck, code=int(ErrorCode.UNAVAILABLE)),
            made(DONE, ids.KIND_FREEZE_REQUEST, 90, delivery=done),
            made(REFUSED, ids.KIND_WITHDRAWAL, 95, delivery=refused, code=int(ErrorCode.OUT_OF_ORDER)),
        ]

    def traces(self, key: str) -> list[trace.EnvelopeTrace]:
        return [self.trace(each) for each in self.envelopes() if key in {each.envelope.id, each.case_id}]

    def trace(self, found: trace.FoundEnvelope) -> trace.EnvelopeTrace:
        at = found.recorded_at_us
        header = pb.Header(
            id=found.envelope.id, sender=SENDER, recipients=[PEER], kind=found.kind, case_id=CASE, created_at_us=at
        )
        events = [
            trace.TraceEvent(at_us=at - 900, name="envelope.received", actor=SENDER, took_us=310),
            trace.TraceEvent(at_us=at, name="envelope.recorded", actor=SENDER, took_us=1840),
            trace.TraceEvent(
                at_us=at + 5_000_000,
                name="delivery.failed",
                destination="de/node",
                code=errors_pb2.ERROR_CODE_UNAVAILABLE,
                detail=NASTY,
                took_us=2_000_118,
            ),
        ]
        receipts = [self.receipt(found.envelope.id, pb.MILESTONE_ACCEPTED, at)]
        if found.delivery.state == "delivered":
            forged = self.receipt(found.envelope.id, pb.MILESTONE_OPENED, at + 9_000_000)
            forged.signature.signature = bytes(64)
            absurd = pb.Receipt(
                statement=pb.Statement(milestone=pb.MILESTONE_EXECUTED, at_us=2**62).SerializeToString()
            )
            receipts += [
                self.receipt(found.envelope.id, pb.MILESTONE_ACCEPTED, at + 6_000_000, by_other=True),
                self.receipt(found.envelope.id, pb.MILESTONE_DELIVERED, at + 7_000_000, PEER, by_other=True),
                forged,
                absurd,
            ]
        return trace.EnvelopeTrace(
            node="ee",
            header=header.SerializeToString(),
            envelope=found.envelope,
            events=events,
            receipts=receipts,
            deliveries=[found.delivery],
            fingerprint=bytes(32),
            state="requested",
            acts_next_in_matter=PEER,
            clocks=[
                self.open_clock(found.envelope.id, measures.CLOCK_RULE_URGENT_DECISION, self.ago(hours=1), "overdue")
            ],
        )


class _Doors(TraceServicer, OperationsServicer):
    def __init__(self, told: Told) -> None:
        self._told = told

    async def _caller(self, context: Context) -> str:
        """Who calls, by its certificate, as a real door finds it."""
        leaf = peer_certificate(context.auth_context()).leaf_pem
        caller = str(authenticate(leaf, self._told.loaded.directory, self._told.clock()).address)
        if self._told.failing:
            await abort(context, self._told.failing.pop(0))
        return caller

    async def GetOverview(self, request: trace.GetOverviewRequest, context: Context) -> trace.GetOverviewResponse:  # noqa: N802
        await self._caller(context)
        return self._told.overview()

    async def FindEnvelopes(  # noqa: N802
        self, request: trace.FindEnvelopesRequest, context: Context
    ) -> trace.FindEnvelopesResponse:
        await self._caller(context)
        self._told.found.append(request)
        found = [
            each
            for each in self._told.envelopes()
            if request.id in {"", each.envelope.id}
            and request.kind in {0, each.kind}
            and request.code in {0, each.code}
            and request.state in {"", each.delivery.state, "waiting" if each.delivery.state == "queued" else "-"}
        ]
        if request.after:
            return trace.FindEnvelopesResponse(envelopes=found[-1:])
        return trace.FindEnvelopesResponse(envelopes=found, next="older+&")

    async def GetTrace(self, request: trace.GetTraceRequest, context: Context) -> trace.GetTraceResponse:  # noqa: N802
        await self._caller(context)
        self._told.traced.append(request)
        silent = []
        if request.ask_others:
            error = error_message(Refusal(ErrorCode.NO_ROUTE, "connection refused"))
            silent = [trace.NodeSilent(node="de", error=error)]
        return trace.GetTraceResponse(traces=self._told.traces(request.key), silent=silent)

    async def Act(self, request: operations.ActRequest, context: Context) -> operations.ActResponse:  # noqa: N802
        caller = await self._caller(context)
        what = request.action.WhichOneof("what")
        second = what in {"expire", "drain"} or (what == "resend" and not request.action.resend.envelope.id)
        recorded = operations.RecordedAction(
            number=len(self._told.acted) + 1,
            digest=bytes([len(self._told.acted) + 1] * 8),
            action=request.action,
            asked_by=caller,
            asked_at_us=to_micros(self._told.clock()),
            state=operations.ACTION_STATE_WAITING if second else operations.ACTION_STATE_DONE,
        )
        self._told.acted.append(recorded)
        if not second:
            self._do(recorded)
        return operations.ActResponse(recorded=recorded)

    async def DecideAction(  # noqa: N802
        self, request: operations.DecideActionRequest, context: Context
    ) -> operations.DecideActionResponse:
        caller = await self._caller(context)
        recorded = self._told.acted[request.number - 1]
        if request.digest not in {b"", recorded.digest}:
            await abort(context, Refusal(ErrorCode.NOT_FOUND, "another action"))
        if request.approve and recorded.asked_by == caller:
            await abort(context, Refusal(ErrorCode.FOUR_EYES, "another operator has to approve it"))
        recorded.state = operations.ACTION_STATE_DONE if request.approve else operations.ACTION_STATE_REJECTED
        recorded.decided_by, recorded.decided_at_us = caller, to_micros(self._told.clock())
        recorded.decision_reason = request.reason
        if request.approve:
            self._do(recorded)
        return operations.DecideActionResponse(recorded=recorded)

    async def ListActions(  # noqa: N802
        self, request: operations.ListActionsRequest, context: Context
    ) -> operations.ListActionsResponse:
        await self._caller(context)
        waiting = operations.ACTION_STATE_WAITING
        return operations.ListActionsResponse(
            actions=[each for each in reversed(self._told.acted) if not request.waiting or each.state == waiting]
        )

    async def TestConnection(  # noqa: N802
        self, request: operations.TestConnectionRequest, context: Context
    ) -> operations.TestConnectionResponse:
        await self._caller(context)
        check = operations.ConnectionCheck
        return operations.TestConnectionResponse(
            checks=[
                check(name="directory", passed=True, tried=True, took_us=31, detail="version 14 lists node de"),
                check(name="dns", passed=True, tried=True, took_us=840, detail="127.0.0.1"),
                check(name="tcp", tried=True, took_us=2_000_410, detail="connection refused: start the node"),
                check(name="tls"),
                check(name="certificate"),
            ]
        )

    def _do(self, recorded: operations.RecordedAction) -> None:
        action = recorded.action
        recorded.touched = 1
        if action.HasField("hold"):
            self._told.held[action.hold.destination] = (recorded.asked_by, action.reason)
        if action.HasField("release"):
            self._told.held.pop(action.release.destination, None)


@asynccontextmanager
async def serving(config: Path, clock: Clock = system_clock) -> AsyncIterator[Told]:
    """Serve both doors where the node of these settings would."""
    loaded = material.load_node(config, clock)
    told = Told(loaded, material.load_node(config.parents[1] / "de" / config.name, clock), clock)
    door = DoorTls(loaded.identity, tuple(node.ca_pem for node in loaded.directory.nodes))
    server = grpc.aio.server()
    doors = _Doors(told)  # type: ignore[abstract]  # what a console does not ask
    add_TraceServicer_to_server(doors, server)
    add_OperationsServicer_to_server(doors, server)
    server.add_secure_port(loaded.entry.endpoint, transport.server_credentials(lambda: door))
    await server.start()
    try:
        yield told
    finally:
        await server.stop(None)


async def _main(config: Path) -> None:
    async with serving(config):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
