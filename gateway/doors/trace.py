"""The Trace door: an operator asks where an envelope is, and reads none; an ombudsperson asks that and when, not what.

Operators and auditors find envelopes by what is recorded of them, and are told what happened to one here, and, if they
ask, what the nodes at its other end tell of it, live. The statements of both sides come with their signatures, so that
whoever asks can check them. Where matters stand, a node tells its own people alone: the other node hears of it in
signed words.

An ombudsperson is told of the matters of which somebody complained to it, and gets no header and no statement: those
say who, whom and what. Refuses with NOT_PERMITTED and, whether it exists or not, NOT_FOUND.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from typing import Final

from google.protobuf.message import DecodeError
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.trace_pb2_grpc import TraceServicer

from gateway import codec, rules
from gateway.authenticate import Peer
from gateway.codec import error_message
from gateway.directory import Directory, Lookup, Status
from gateway.doors.entrance import Context, Entrance
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import NODE_NAME, Address, Role
from gateway.lifecycle import ACTS_NEXT, FINAL, State
from gateway.overview import Overview, open_clock
from gateway.quota import Cost
from gateway.rules import Turn
from gateway.signature import frame
from gateway.statement import event_name
from gateway.store.attachments import HELD_US
from gateway.store.finding import WAITING, CopyRow, FoundRow, Wanted
from gateway.store.matters import OPEN_STAGES
from gateway.store.reader import EventRow, MatterRow, Reader, SeenRow, TraceRow

AskNode = Callable[[str, str], Awaitable[list[trace.EnvelopeTrace]]]

# For all that one node is asked. Below the fifteen seconds that an operator's program waits: a node that is slow, or
# slow on purpose, must not cost the operator what this one knows.
ASK_SECONDS: Final = 10.0
# Between two questions of which the first was one too many: a node must not make us ask in a hot loop.
LEAST_PAUSE_SECONDS: Final = 0.05
DEFAULT_FOUND: Final = 50
WAITING_WORD: Final = "waiting"
MAX_OVERDUE: Final = 256
"""Time limits that are told of at once: more than one person deals with before asking again."""

HIDDEN: Final = frozenset({pb.MILESTONE_COMPETING})
"""Said to the recipient of an envelope alone: who else asks for the same is no news for whoever asked."""

MAX_TOLD_BYTES: Final = 6 << 20
"""Of what all other nodes tell about one question: with what this one tells, it fits into the answer."""

MAX_TOLD_ROWS: Final = 16_000
"""Events, receipts and copies of that: ten times what a case of MAX_TRACED envelopes has, or one envelope that was
refused a thousand times."""

OF_OPERATORS: Final = "operator."
"""How the names of their events begin; their reasons are for the operators and auditors of their own node."""


class TraceDoor(TraceServicer):
    """Serves the operators and ombudspersons of one node."""

    def __init__(
        self, here: str, lookup: Lookup, entrance: Entrance, reader: Reader, overview: Overview, ask_node: AskNode
    ) -> None:
        """Prepare the door; `ask_node(node, envelope id)` asks another node for what it knows."""
        self._here = here
        self._lookup = lookup
        self._entrance = entrance
        self._reader = reader
        self._overview = overview
        self._ask_node = ask_node

    async def GetTrace(self, request: trace.GetTraceRequest, context: Context) -> trace.GetTraceResponse:
        """Follow an envelope, or every envelope of a case."""
        # Also by an expired directory: it lets nobody in who was not in, and who looks for what is stuck must see.
        async with self._entrance.call(context, expired_too=True) as call:
            self._let_in(call.peer, Role.OPERATOR, Role.AUDITOR)
            codec.check(request)
            _check_printable(request.key, "key")
            rows = await self._reader.trace(request.key)
            if not rows:
                raise Refusal(ErrorCode.NOT_FOUND, f"no envelope or case {request.key!r} at node {self._here}")
            directory = self._lookup()
            response = trace.GetTraceResponse(traces=[envelope_trace(row, self._here, directory) for row in rows])
            _add_matters(response.traces, await self._reader.case(request.key))
            await self._tell_holds(copy for told in response.traces for copy in told.deliveries)
            if request.ask_others:
                await self._ask_others(rows, response)
            return response

    async def FindEnvelopes(self, request: trace.FindEnvelopesRequest, context: Context) -> trace.FindEnvelopesResponse:
        """Find envelopes by what is recorded of them, the newest first."""
        async with self._entrance.call(context, expired_too=True) as call:
            self._let_in(call.peer, Role.OPERATOR, Role.AUDITOR)
            codec.check(request)
            page = await self._reader.find(_wanted(request), request.limit or DEFAULT_FOUND, request.after)
            directory = self._lookup()
            found = [_found(row, directory) for row in page.found]
            await self._tell_holds(each.delivery for each in found if each.HasField("delivery"))
            return trace.FindEnvelopesResponse(envelopes=found, next=page.next)

    async def GetOverdue(self, request: trace.GetOverdueRequest, context: Context) -> trace.GetOverdueResponse:
        """Tell what is late, and how much is open."""
        async with self._entrance.call(context, expired_too=True) as call:
            self._let_in(call.peer, Role.OPERATOR)
            codec.check(request)
            late = await self._reader.overdue(MAX_OVERDUE + 1)
            counts = await self._reader.open_matters_count()
            return trace.GetOverdueResponse(
                clocks=map(open_clock, late[:MAX_OVERDUE]),
                more=len(late) > MAX_OVERDUE,
                open_matters=[
                    trace.StateCount(state=state.value, count=counts[state]) for state in rules.State if state in counts
                ],
            )

    async def GetOverview(self, request: trace.GetOverviewRequest, context: Context) -> trace.GetOverviewResponse:
        """Tell how the node does."""
        async with self._entrance.call(context, expired_too=True) as call:
            self._let_in(call.peer, Role.OPERATOR, Role.AUDITOR)
            codec.check(request)
            return await self._overview.get()

    async def GetHappenings(self, request: trace.GetHappeningsRequest, context: Context) -> trace.GetHappeningsResponse:
        """Tell what became of a matter of which somebody complained: that something happened, and when."""
        async with self._entrance.call(context) as call:
            peer = call.peer
            self._let_in(peer, Role.OMBUDSPERSON)
            codec.check(request)
            rows = await self._reader.complained_of(request.grievance, str(peer.address))
            if not rows:
                # In the same words for what is not there, is no grievance, or is a grievance to somebody else.
                raise Refusal(ErrorCode.NOT_FOUND, "no such grievance to you is recorded here", "grievance")
            told = [happenings(row, self._here, str(peer.address)) for row in rows]
            # By time, as whoever knows the times could sort them: what cites what is not told.
            told.sort(key=lambda each: (min((one.at_us for one in each.happenings), default=0), each.handle))
            return trace.GetHappeningsResponse(envelopes=told)

    def _let_in(self, peer: Peer, *roles: Role) -> None:
        """Let those of this node with one of these roles ask; each question costs one query.

        Raises:
            Refusal: NOT_PERMITTED.
            Failure: OVERLOADED.
        """
        if peer.roles.isdisjoint(roles) or peer.node != self._here:
            named = " or ".join(f"an {role.value}" for role in roles)
            raise Refusal(ErrorCode.NOT_PERMITTED, f"only {named} of this node may ask that")
        self._entrance.quotas.charge(peer.address, Cost(queries=1))

    async def _tell_holds(self, copies: Iterable[trace.DeliveryState]) -> None:
        """Tell of each copy whether an operator of this node holds it back, and why."""
        held = {hold.destination: hold for hold in await self._reader.operating(lambda view: view.held())}
        for copy in copies:
            hold = held.get(copy.destination)
            if hold is not None and State(copy.state) not in FINAL:
                copy.held_by, copy.held_reason, copy.acts_next = hold.by, hold.reason, hold.by

    async def _ask_others(self, rows: Iterable[TraceRow], response: trace.GetTraceResponse) -> None:
        asked: dict[str, list[TraceRow]] = {}
        for row in rows:
            for node in sorted(_nodes(row.header) - {self._here}):
                asked.setdefault(node, []).append(row)
        told = await asyncio.gather(*(self._ask_one(node, shared, len(asked)) for node, shared in asked.items()))
        for node, (traces, error) in zip(asked, told, strict=True):
            response.traces.extend(traces)
            if error is not None:
                response.silent.append(trace.NodeSilent(node=node, error=error_message(error)))

    async def _ask_one(
        self, node: str, rows: Iterable[TraceRow], of: int
    ) -> tuple[list[trace.EnvelopeTrace], GatewayError | None]:
        """Ask one node, one envelope after another: a long case must not use up the calls it allows us at once.

        Of what all nodes may tell it has one part `of` so many: who tells too much is cut short, and not the others.
        """
        traces: list[trace.EnvelopeTrace] = []
        room, places = MAX_TOLD_BYTES // of, MAX_TOLD_ROWS // of
        try:
            async with asyncio.timeout(ASK_SECONDS):
                for row in rows:
                    one = _own_word(await self._ask_patiently(node, row.id), node, row)
                    if one is None:
                        continue
                    room, places = room - one.ByteSize(), places - _rows(one)
                    if min(room, places) < 0:
                        detail = f"node {node} tells more than fits: ask for one envelope, or this node alone"
                        return traces, Refusal(ErrorCode.TOO_LARGE, detail)
                    traces.append(one)
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


def _own_word(told: Iterable[trace.EnvelopeTrace], node: str, row: TraceRow) -> trace.EnvelopeTrace | None:
    """Return what a node tells of itself about what it was asked, once; where matters stand, it has no say here."""
    wanted = node, row.sender, row.id
    one = next((each for each in told if (each.node, each.envelope.sender, each.envelope.id) == wanted), None)
    if one is not None:
        for name in ("state", "acts_next_in_matter", "clocks"):
            one.ClearField(name)
    return one


def _rows(told: trace.EnvelopeTrace) -> int:
    return len(told.events) + len(told.receipts) + len(told.deliveries)


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
        deliveries=[_delivery(copy, directory) for copy in row.copies],
    )


def _delivery(copy: CopyRow, directory: Directory) -> trace.DeliveryState:
    # What waits for its files waits for no time.
    is_timed = copy.state not in FINAL and copy.next_attempt_at_us < HELD_US
    return trace.DeliveryState(
        destination=copy.destination,
        state=copy.state.value,
        attempts=copy.attempts,
        next_attempt_at_us=copy.next_attempt_at_us if is_timed else 0,
        last_error=copy.last_error,
        acts_next=_acts_next(copy.destination, copy.state, directory),
    )


def _wanted(request: trace.FindEnvelopesRequest) -> Wanted:
    """Return what is looked for.

    Raises:
        Refusal: MALFORMED, with the field: nothing can be like that.
    """
    _check_printable(request.id, "id")
    _check_printable(request.case_id, "case_id")
    for field in ("participant", "destination"):
        try:
            if address := getattr(request, field):
                Address.parse(address, allow_node=True)
        except Refusal as error:
            raise Refusal(ErrorCode.MALFORMED, error.detail, field) from error
    if request.node:
        Address.of_node(request.node)
    if request.until_us and request.until_us <= request.from_us:
        raise Refusal(ErrorCode.MALFORMED, "it ends before it begins", "until_us")
    if request.state in ("", WAITING_WORD):
        states = WAITING if request.state else ()
    else:
        try:
            states = (State(request.state),)
        except ValueError:
            known = ", ".join([WAITING_WORD, *(state.value for state in State)])
            raise Refusal(ErrorCode.MALFORMED, f"a copy has no such state; there are {known}", "state") from None
    return Wanted(
        id=request.id,
        case_id=request.case_id,
        participant=request.participant,
        node=request.node,
        from_us=request.from_us,
        until_us=request.until_us,
        states=states,
        kind=request.kind,
        code=request.code,
        destination=request.destination,
    )


def _check_printable(name: str, field: str) -> None:
    """Check that a name can be asked for: of a zero byte, one store knows nothing and the other fails."""
    if not name.isprintable():
        raise Refusal(ErrorCode.MALFORMED, "a name is printable", field)


def _found(row: FoundRow, directory: Directory) -> trace.FoundEnvelope:
    return trace.FoundEnvelope(
        envelope=ids.EnvelopeRef(sender=row.sender, id=row.id),
        recipient=row.recipient,
        kind=ids.Kind.ValueType(row.kind),
        case_id=row.case_id,
        recorded_at_us=row.recorded_at_us,
        delivery=None if row.copy is None else _delivery(row.copy, directory),
        code=errors_pb2.ErrorCode.ValueType(row.code),
    )


def shared_trace(row: TraceRow, here: str, directory: Directory) -> trace.EnvelopeTrace:
    """Return the same for the node at the other end, without what is for the recipient or our own operators alone.

    Nor is it told who else of ours tried to send something under that name.
    """
    happened_here = tuple(event for event in row.events if _is_by_a_party(event, row.sender))
    seen = TraceRow(row.sender, row.id, row.header, row.fingerprint, happened_here, row.receipts, row.copies)
    told = envelope_trace(seen, here, directory)
    said = [each for each in told.receipts if _said(each).milestone not in HIDDEN]
    happened = [each for each in told.events if _MILESTONES.get(each.name) not in HIDDEN]
    for each in happened:
        # What a line broke on is what our machines see; where it leads is the other node's to say.
        if each.name.startswith(OF_OPERATORS) or int(each.code) == ErrorCode.UNAVAILABLE:
            each.ClearField("detail")
    for copy in told.deliveries:
        if copy.last_error.startswith(ErrorCode.UNAVAILABLE.name):
            copy.last_error = ErrorCode.UNAVAILABLE.name
    del told.receipts[:], told.events[:]
    told.receipts.extend(said)
    told.events.extend(happened)
    return told


def _is_by_a_party(event: EventRow, sender: str) -> bool:
    """Whether it is no refusal of what somebody else brought under that sender's name."""
    return event.name != _REFUSED or event.actor == sender or event.actor.endswith(f"/{NODE_NAME}")


def happenings(row: SeenRow, here: str, to: str) -> trace.Happenings:
    """Return that something happened to an envelope, and when.

    Of the statements about these very bytes it keeps milestone, time and code. That another node accepted it too is
    left out, as it would tell that it went abroad. So would the fingerprint, by the entry that it makes in that node's
    log, which everybody reads: the handle is made of it, and for this reader alone.

    Args:
        row: what was stated.
        here: code of this node.
        to: address of the ombudsperson.
    """
    seen = set[tuple[int, pb.Milestone.ValueType, errors_pb2.ErrorCode.ValueType]]()
    node = str(Address.of_node(here))
    for receipt in row.receipts:
        said = _said(receipt)
        elsewhere = said.milestone == pb.MILESTONE_ACCEPTED and said.issuer != node
        if said.fingerprint == row.fingerprint and said.milestone not in HIDDEN and not elsewhere:
            # A time limit is told of to two parties, in two statements.
            seen.add((said.at_us, said.milestone, said.code))
    return trace.Happenings(
        handle=sha256(frame(b"rogatory/v1/happenings", to.encode(), row.fingerprint)).digest(),
        cited=row.cited,
        happenings=[
            trace.Happening(at_us=at_us, milestone=milestone, code=code) for at_us, milestone, code in sorted(seen)
        ],
    )


def _said(receipt: pb.Receipt) -> pb.Statement:
    """Return a stored statement; an empty one if the store has something else there: that must hide nothing beside."""
    try:
        return pb.Statement.FromString(receipt.statement)
    except DecodeError:
        return pb.Statement()


_REFUSED: Final = event_name(pb.MILESTONE_REFUSED)
_MILESTONES: Final = {event_name(milestone): milestone for milestone in pb.Milestone.values()}


def _add_matters(traces: Iterable[trace.EnvelopeTrace], rows: Iterable[MatterRow]) -> None:
    matters = {row.fingerprint: row for row in rows if row.moves}
    for told in traces:
        row = matters.get(told.fingerprint)
        if row is not None:
            state, header = row.moves[-1].state, pb.Header.FromString(row.header)
            told.state, told.acts_next_in_matter = state.value, _turn(state, header)
            told.clocks.extend(open_clock(clock) for clock in row.clocks if clock.stage in OPEN_STAGES)


def _turn(state: rules.State, header: pb.Header) -> str:
    match rules.ACTS_NEXT[state]:
        case Turn.SENDER:
            return header.sender
        case Turn.RECIPIENT:
            return header.recipients[0]
        case Turn.NOBODY:
            return Turn.NOBODY.value


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
