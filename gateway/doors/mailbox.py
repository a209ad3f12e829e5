"""The Mailbox door: a participant hands in, collects and acknowledges.

Submit answers each envelope once it is on disk, or refused. Collect hands out what is there, as far as the client gives
credit, until each item is acknowledged; what was handed out and not acknowledged when the stream ends is in doubt and
will be handed out again, in another stream, byte for byte.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Final, NamedTuple
from uuid import uuid4
from weakref import WeakValueDictionary

from opentelemetry.trace import SpanKind
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1.mailbox_pb2_grpc import MailboxServicer

from gateway import codec, deliver, metrics, threads
from gateway.authenticate import Peer
from gateway.clock import Clock, to_micros
from gateway.codec import error_message
from gateway.config import Delivery, Limits
from gateway.directory import KeyName, not_known_yet
from gateway.doors import patience
from gateway.doors.entrance import Bell, Call, Context, Entrance, in_flight
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal, Unread
from gateway.gathering import MAX_FRAME_ENVELOPES, Gathering, Place, Stay
from gateway.lifecycle import Event
from gateway.metrics import Meters
from gateway.path import Path, Turn
from gateway.quota import Cost
from gateway.receipt import Scribe
from gateway.store import Leased, Reader, Transaction, Writer
from gateway.telemetry import Tracing

MAX_ITEMS_A_RESPONSE: Final = 64
MAX_CREDIT: Final = 1024
MAX_OUT: Final = 4 * MAX_CREDIT
"""Items that a stream has handed out and nobody has acknowledged; then it waits, whatever credit it has."""
BUSY_SECONDS: Final = 0.2
MOST_PARTS: Final = 64
"""Signatures, and slots, of one envelope: more than its contract allows, whose answer is to each envelope alone."""


class _Single(NamedTuple):
    """An envelope that came in a call of its own."""

    call: Call
    envelope: pb.SignedEnvelope
    too_new: frozenset[KeyName]


class MailboxDoor(MailboxServicer):
    """Serves the Mailbox of one node."""

    def __init__(
        self,
        entrance: Entrance,
        path: Path,
        writer: Writer,
        scribe: Scribe,
        reader: Reader,
        bell: Bell,
        limits: Limits,
        delivery: Delivery,
        clock: Clock,
        watch: Callable[[str], None],
        chance: deliver.Chance,
        tracing: Tracing,
        meters: Meters,
    ) -> None:
        self._entrance = entrance
        self._path = path
        self._writer = writer
        self._scribe = scribe
        self._reader = reader
        self._bell = bell
        self._limits = limits
        self._delivery = delivery
        self._clock = clock
        self._watch = watch
        self._chance = chance
        self._tracing = tracing
        self._meters = meters
        self._gatherings: WeakValueDictionary[bytes, Gathering[_Single, mailbox.Answer]] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    async def Submit(self, request: mailbox.SubmitRequest, context: Context) -> mailbox.SubmitResponse:
        """Take one envelope."""
        async with self._entrance.call(context) as call:
            peer = call.peer
            frame, quotas = [request.envelope], self._entrance.quotas
            check_frame(frame, self._limits)
            cost = quotas.cost(_participant(peer).address, frame)
            quotas.charge(peer.address, cost)
            too_new = await self._entrance.too_new(request.envelope.signatures)
            answer = await self._gathering(peer).join(_Single(call, request.envelope, too_new), cost.size)
            return mailbox.SubmitResponse(answer=answer)

    def _gathering(self, peer: Peer) -> "Gathering[_Single, mailbox.Answer]":
        """Return where the single calls with one certificate come together: what lets one of them in lets in all."""
        gathering = self._gatherings.get(peer.certificate_fingerprint)
        if gathering is None:
            gathering = self._gatherings[peer.certificate_fingerprint] = Gathering(self._accept, self._start)
        return gathering

    async def _accept(self, frame: Sequence[Place[_Single, mailbox.Answer]], _: Stay) -> None:
        too_new = frozenset[KeyName]().union(*(each.what.too_new for each in frame))
        answers = await self._take(frame[0].what.call, [each.what.envelope for each in frame], too_new)
        for each, answer in zip(frame, answers, strict=True):
            each.settle(answer)

    async def _take(
        self, call: Call, envelopes: Sequence[pb.SignedEnvelope], too_new: frozenset[KeyName], turn: Turn | None = None
    ) -> list[mailbox.Answer]:
        """Take a frame when it is its turn at the store."""
        address, quotas = call.peer.address, self._entrance.quotas
        async with quotas.turn(address, len(envelopes)):
            # The certificate may have expired, or its owner been revoked, since the call or the stream began.
            peer = call.check()
            return await self._path.accept(peer, envelopes, turn, quotas.largest(address), too_new)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        # Not the call's own: who hangs up must not end what others wait for, nor what may be on disk a moment later.
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def SubmitFrames(
        self, request_iterator: AsyncIterator[mailbox.SubmitFramesRequest], context: Context
    ) -> AsyncIterator[mailbox.SubmitFramesResponse]:
        """Take frames of envelopes; several may be in work at once, and each is answered when it is done."""
        async with self._entrance.call(context) as call:
            address, quotas = _participant(call.peer).address, self._entrance.quotas
            turn = Turn()
            turn.end()

            async def begin(
                request: mailbox.SubmitFramesRequest,
            ) -> Coroutine[Any, Any, mailbox.SubmitFramesResponse]:
                nonlocal turn
                check_frame(request.envelopes, self._limits)
                await quotas.pace(address, quotas.cost(address, request.envelopes))
                # Here, or frames behind it would have their turns at the store before it, and wait in them for it.
                too_new = await self._entrance.too_new(signatures_of(request.envelopes))
                turn = mine = Turn(turn)
                return answer(request, mine, too_new)

            async def answer(
                request: mailbox.SubmitFramesRequest, mine: Turn, too_new: frozenset[KeyName]
            ) -> mailbox.SubmitFramesResponse:
                answers = await self._take(call, request.envelopes, too_new, mine)
                return mailbox.SubmitFramesResponse(frame=request.frame, answers=answers)

            async for response in in_flight(request_iterator, begin, self._limits.frames_in_flight, call.over):
                yield response
            call.check()

    async def Collect(
        self, request_iterator: AsyncIterator[mailbox.CollectRequest], context: Context
    ) -> AsyncIterator[mailbox.CollectResponse]:
        """Hand out what is there, and settle what is acknowledged, until the client ends the stream."""
        async with self._entrance.call(context) as call:
            _participant(call.peer)
            stream = _Collection(self, call, self._entrance)
            ending = asyncio.create_task(_wake_after(call.over, stream.wake))
            reading = asyncio.create_task(stream.read(request_iterator))
            try:
                with self._bell.listen(stream.recipient, stream.wake):
                    async for response in stream.serve():
                        yield response
                call.check()
                if not call.over.is_set():
                    await reading
            finally:
                reading.cancel()
                ending.cancel()
                await stream.give_back()

    async def lease(self, recipient: str, holder: str, limit: int) -> list[Leased]:
        """Take due items for a participant."""
        leased = await self._writer.write(
            lambda txn: deliver.lease(txn, recipient, holder, limit, self._delivery, self._chance)
        )
        if leased:
            self._watch("handed")
            self._meters.items("handed", len(leased))
            self._tell(recipient, leased)
        return leased

    def _tell(self, recipient: str, leased: Sequence[Leased]) -> None:
        """Note in their traces that envelopes are handed out: the last that a node sees of them."""
        whole = [item.envelope for item in leased if item.envelope is not None and not item.expired]
        if whole:
            headers = (pb.Header.FromString(envelope.header) for envelope in whole)
            told = (header.traceparent for header in headers)
            with self._tracing.frame("rogatory.hand_out", SpanKind.PRODUCER, told) as span:
                span.note(
                    {
                        "messaging.system": metrics.SYSTEM,
                        "messaging.operation.name": "hand_out",
                        "messaging.batch.message_count": len(whole),
                        "rogatory.destination": recipient,
                    }
                )

    @property
    def lease_seconds(self) -> float:
        """How long an item is somebody's before it may be another's."""
        return self._delivery.lease_seconds

    def now_us(self) -> int:
        """Return the time."""
        return to_micros(self._clock())

    async def for_more(self, recipient: str, asked_us: int, wake: asyncio.Event) -> None:
        """Wait until there may be more for a participant than when the store was asked last."""
        # Where much comes, more comes before anybody has looked for it.
        if not await patience.rung(wake, BUSY_SECONDS):
            await patience.for_more(recipient, asked_us, wake, self._reader, self._clock)

    async def settle(
        self, acks: Sequence[mailbox.Acknowledgement], recipient: str, too_new: frozenset[KeyName]
    ) -> list[mailbox.Settled]:
        """Settle acknowledgements; those that are wrong are answered with their error and change nothing."""

        def job(txn: Transaction) -> list[mailbox.Settled]:
            txn.deliveries.expect([ack.delivery_id for ack in acks])
            settled = [self._settle_one(ack, recipient, too_new, txn) for ack in acks]
            self._watch("taken")
            return settled

        settled = await threads.ended(self._writer.write(job, len(acks)))
        self._watch("acknowledged")
        self._meters.items("acknowledged", sum(not one.HasField("error") for one in settled))
        return settled

    def _settle_one(
        self, ack: mailbox.Acknowledgement, recipient: str, too_new: frozenset[KeyName], txn: Transaction
    ) -> mailbox.Settled:
        statement = ack.statement if ack.HasField("statement") else None
        if statement is not None and (statement.signature.signer, statement.signature.key_id) in too_new:
            return mailbox.Settled(delivery_id=ack.delivery_id, error=error_message(not_known_yet()))
        try:
            with txn.part():
                self._scribe.acknowledged(statement, ack.held, ack.delivery_id, recipient, txn)
        except Refusal as error:
            return mailbox.Settled(delivery_id=ack.delivery_id, error=error_message(error))
        return mailbox.Settled(delivery_id=ack.delivery_id)

    async def give_back(self, seqs: Sequence[int], holder: str) -> None:
        """Put items that were handed out and not acknowledged in doubt; some at a time, for others write, too."""
        gone = Failure(ErrorCode.UNAVAILABLE, "the recipient left without acknowledging")

        def job(part: Sequence[int], txn: Transaction) -> None:
            txn.deliveries.expect(part)
            for seq in part:
                deliver.fail(txn, seq, holder, Event.FAIL_UNKNOWN, gone, 0.0)

        for start in range(0, len(seqs), MAX_ITEMS_A_RESPONSE):
            part = seqs[start : start + MAX_ITEMS_A_RESPONSE]
            await self._writer.write(partial(job, part), len(part))


class _Collection:
    """One Collect stream."""

    def __init__(self, door: MailboxDoor, call: Call, entrance: Entrance) -> None:
        self._address = call.peer.address
        self.recipient = str(self._address)
        self.wake = asyncio.Event()
        self._door = door
        self._call = call
        self._entrance = entrance
        self._quotas = entrance.quotas
        self._holder = uuid4().hex
        # A client that talks and does not listen fills this, and is then not read on.
        self._requests: asyncio.Queue[mailbox.CollectRequest] = asyncio.Queue(maxsize=8)
        self._over = False
        self._credit = 0
        # Until when each is leased, by the clock of this process; oldest first.
        self._out: dict[int, float] = {}

    async def read(self, requests: AsyncIterator[mailbox.CollectRequest]) -> None:
        """Take in credit and acknowledgements until the client has said all."""
        try:
            async for request in requests:
                codec.check(request)
                await self._quotas.pace(self._address, Cost(envelopes=1, size=request.ByteSize()))
                await self._requests.put(request)
                self.wake.set()
        finally:
            self._over = True
            self.wake.set()

    async def serve(self) -> AsyncIterator[mailbox.CollectResponse]:
        """Yield settled acknowledgements and items, as they come."""
        said_drained = False
        while True:
            self.wake.clear()
            over, acks = self._over, self._heard()
            # The certificate may have expired, or its owner been revoked, since the stream began.
            self._call.check()
            if acks:
                too_new = await self._entrance.too_new(
                    ack.statement.signature for ack in acks if ack.HasField("statement")
                )
                async with self._quotas.turn(self._address, len(acks)):
                    settled = await self._door.settle(acks, self.recipient, too_new)
                for each in settled:
                    if not each.HasField("error"):  # else its copy stays leased
                        self._out.pop(each.delivery_id, None)
                yield mailbox.CollectResponse(settled=settled)
            if over or self._call.over.is_set():
                # All is said: what it was given and did not acknowledge goes back.
                return
            asked_us = self._door.now_us()
            while limit := min(self._credit, MAX_ITEMS_A_RESPONSE, self._room()):
                leased = await self._lease(limit)
                self._credit -= len(leased)
                # A lease may be short because its bytes were enough; only an empty one says that nothing more is due.
                drained = not leased
                if leased or not said_drained:
                    yield mailbox.CollectResponse(items=map(_item, leased), drained=drained)
                said_drained = drained
                if drained:
                    break
            await self._more(limit, asked_us)

    async def _more(self, limit: int, asked_us: int) -> None:
        """Wait until there may be more to do: items, or if none may be taken credit, acknowledgements or a lapse."""
        if limit:
            await self._door.for_more(self.recipient, asked_us, self.wake)
        elif self._credit:
            await patience.rung(self.wake, self._door.lease_seconds)
        else:
            await self.wake.wait()

    def _room(self) -> int:
        """Return how many items more may be out; those whose lease has run out are others' to have by now."""
        now = monotonic()
        for seq, until in [*self._out.items()]:
            if until > now:
                break
            del self._out[seq]
        return MAX_OUT - len(self._out)

    async def _lease(self, limit: int) -> list[Leased]:
        async with self._quotas.turn(self._address, 1):
            return await self._lease_now(limit)

    async def _lease_now(self, limit: int) -> list[Leased]:
        leasing = asyncio.ensure_future(self._door.lease(self.recipient, self._holder, limit))
        try:
            leased = await asyncio.shield(leasing)
        except asyncio.CancelledError:
            # The client has gone, and the store goes on with it: note what it leased, so that it is given back.
            with suppress(GatewayError):
                self._note(await leasing)
            raise
        self._note(leased)
        return leased

    def _note(self, leased: Sequence[Leased]) -> None:
        until = monotonic() + self._door.lease_seconds
        self._out |= {item.seq: until for item in leased}

    def _heard(self) -> list[mailbox.Acknowledgement]:
        """Take up new credit and return the acknowledgements that have come in."""
        acks: list[mailbox.Acknowledgement] = []
        while not self._requests.empty():
            request = self._requests.get_nowait()
            acks.extend(request.acknowledgements)
            self._credit = min(self._credit + request.credit, MAX_CREDIT)
        return acks

    async def give_back(self) -> None:
        """Put what is still out in doubt."""
        if self._out:
            await asyncio.shield(self._door.give_back(sorted(self._out), self._holder))


async def _wake_after(over: asyncio.Event, wake: asyncio.Event) -> None:
    await over.wait()
    wake.set()


def signatures_of(envelopes: Iterable[pb.SignedEnvelope]) -> Iterator[pb.Signature]:
    """Yield every signature of a frame."""
    return (signature for envelope in envelopes for signature in envelope.signatures)


def _item(leased: Leased) -> mailbox.Item:
    if leased.receipt is not None:
        return mailbox.Item(delivery_id=leased.seq, receipt=leased.receipt)
    if leased.expired:
        # It may be on the client's disk already; only the client can tell. It is not handed out again.
        return mailbox.Item(delivery_id=leased.seq, probe=mailbox.Probe(fingerprint=leased.fingerprint))
    return mailbox.Item(delivery_id=leased.seq, envelope=leased.envelope)


def _participant(peer: Peer) -> Peer:
    if peer.address.is_node:
        raise Refusal(ErrorCode.NOT_PERMITTED, "a node has no mailbox; it uses Relay")
    return peer


def check_frame(envelopes: Sequence[pb.SignedEnvelope], limits: Limits) -> None:
    """Check the size of a frame before anything in it is looked at, in bytes and in parts.

    Raises:
        Unread: TOO_LARGE, naming the limit.
    """
    if len(envelopes) > MAX_FRAME_ENVELOPES:
        raise Unread(
            ErrorCode.TOO_LARGE, f"{len(envelopes)} envelopes are over MAX_FRAME_ENVELOPES = {MAX_FRAME_ENVELOPES}"
        )
    if any(len(each.signatures) > MOST_PARTS or len(each.slots) > MOST_PARTS for each in envelopes):
        raise Unread(ErrorCode.TOO_LARGE, f"signatures or slots of an envelope are over MOST_PARTS = {MOST_PARTS}")
    size = sum(envelope.ByteSize() for envelope in envelopes)
    # One alone is judged by max_payload_bytes, and answered under its own name.
    if len(envelopes) > 1 and size > limits.max_frame_bytes:
        raise Unread(ErrorCode.TOO_LARGE, f"a frame of {size} bytes is over max_frame_bytes = {limits.max_frame_bytes}")
