"""The courier: carries what is queued for one other node, and brings back its answers.

One courier a destination, with a circuit of its own: a dead country costs one copy an attempt and slows nobody else.
It leases frames, sends them over one stream, several in flight, and settles each copy by the other node's signed
answer; an unsigned no ends no copy that may have arrived (`doubt`). A case is in one frame at a time, so its order
stays whatever happens to a frame. Before a connection stands, a failure is clean: the other side certainly has nothing.
After a frame was sent, only an answer tells; until one comes, the same bytes are sent again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol
from uuid import uuid4

import grpc
import grpc.aio
from opentelemetry.trace import SpanKind
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.relay_pb2_grpc import RelayStub

from gateway import codec, deliver, metrics
from gateway.clock import Clock, to_micros
from gateway.codec import error_message
from gateway.config import Delivery
from gateway.deliver import Chance, Circuit
from gateway.directory import KeyName, Know, not_known_yet
from gateway.doors import doubt, patience
from gateway.doors.entrance import Bell
from gateway.doors.passage import Frame, Passage, connected, failure_of
from gateway.doors.patience import Patience
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.lifecycle import Event
from gateway.metrics import Meters
from gateway.receipt import Scribe
from gateway.store import Leased, Reader, Transaction, Writer
from gateway.telemetry import Tracing

OF_THE_NODE: Final = frozenset({ErrorCode.OVERLOADED, ErrorCode.STORE, ErrorCode.DIRECTORY_EXPIRED})
"""Failures that the next copy would meet too."""

diagnostics = logging.getLogger("gateway.courier")


class Line(Protocol):
    """The way to one other node, as the directory has it now."""

    def check(self) -> None:
        """Check that the node may be spoken to now.

        Raises:
            Refusal: REVOKED, or UNKNOWN_PEER.
            Failure: DIRECTORY_EXPIRED.
        """
        ...

    def open_channel(self) -> grpc.aio.Channel:
        """Return a new channel: its endpoint or CA, or our certificate, may have changed; refuses as `check` does."""
        ...


class Courier:
    """Serves one destination node.

    `circuit` tells how it stands with that node.
    """

    def __init__(
        self,
        destination: str,
        line: Line,
        writer: Writer,
        reader: Reader,
        scribe: Scribe,
        bell: Bell,
        settings: Delivery,
        clock: Clock,
        chance: Chance,
        tracing: Tracing,
        meters: Meters,
        watch: Callable[[str], None],
        know: Know,
    ) -> None:
        self.circuit = Circuit(settings, chance)
        self._destination = destination
        self._line = line
        self._writer = writer
        self._reader = reader
        self._scribe = scribe
        self._bell = bell
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._tracing = tracing
        self._meters = meters
        self._watch = watch
        self._know = know
        self._wake = asyncio.Event()
        self._patience = Patience(destination, bell, reader)
        self._ending = asyncio.Event()
        self._stale = False
        self._put_off: GatewayError | None = None

    async def run(self) -> None:
        """Carry until drained or cancelled."""
        with self._bell.listen(self._destination, self._wake):
            while not self._ending.is_set():
                try:
                    await self._carry()
                except GatewayError as error:
                    await self._rest(error)
                except Exception:  # noqa: BLE001  logged whole
                    # Whatever another node has made of its answer, this one goes on: its lease runs out by itself.
                    diagnostics.exception("unforeseen error", extra={"destination": self._destination})
                    await self._rest(Failure(ErrorCode.INTERNAL, "an unforeseen error"))

    def renew(self) -> None:
        """Connect anew before the next frame: the other node's endpoint, or our own certificate, is another by now."""
        self._stale = True
        self._wake.set()

    def drain(self) -> None:
        """Take no more; `run` returns as soon as what is in flight is answered."""
        self._ending.set()
        self._wake.set()
        self._patience.end()

    async def ask_trace(self, envelope_id: str) -> list[trace.EnvelopeTrace]:
        """Ask the other node what happened there to an envelope.

        Raises:
            Failure: UNAVAILABLE, it does not answer.
        """
        channel = self._line.open_channel()
        try:
            response = await RelayStub(channel).TraceBetween(
                relay.TraceBetweenRequest(envelope_id=envelope_id), timeout=self._settings.attempt_timeout_seconds
            )
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from error
        finally:
            await channel.close()
        return list(response.traces)

    async def _carry(self) -> None:
        """Carry what is due over one connection, until that fails or has to be made anew, or the node stops.

        Raises:
            GatewayError: it failed, or the other node can take nothing now; every copy is back in the queue.
        """
        frame = await self._next()
        if frame is None:
            return
        passage = await self._reach(frame)
        self._put_off = None
        hearing = asyncio.create_task(self._hear(passage))
        sending = asyncio.create_task(self._send(passage, frame))
        end: GatewayError = Failure(ErrorCode.UNAVAILABLE, "the connection ended during the attempt")
        try:
            await asyncio.wait((hearing, sending), return_when=asyncio.FIRST_COMPLETED)
            for task in (hearing, sending):
                if task.done():
                    task.result()
        except GatewayError as error:
            end = error
            sending.cancel()  # nobody would read what it sends meanwhile, and nobody could tell that of it
            if not await self._is_too_large(passage, error):
                raise
        finally:
            hearing.cancel()
            sending.cancel()
            await asyncio.gather(hearing, sending, return_exceptions=True)
            await passage.close(end)
            # If the store cannot be written either, the leases run out by themselves; we must go on all the same.
            with contextlib.suppress(GatewayError):
                await asyncio.shield(self._give_back(passage.out, Event.FAIL_UNKNOWN, end))
        if self._put_off is not None:
            raise self._put_off

    async def _next(self) -> Frame | None:
        """Take a frame into our hands; if nothing is due, wait until something may be, and return None."""
        self._wake.clear()
        asked_us = to_micros(self._clock())
        frame = await self._lease()
        if frame is None:
            await patience.for_more(self._destination, asked_us, self._wake, self._reader, self._clock)
            return None
        self._watch("leased")
        return frame

    async def _lease(self) -> Frame | None:
        # Of its own for each frame: no case is in two.
        holder = uuid4().hex
        leasing = self._writer.write(
            lambda txn: deliver.lease(
                txn,
                self._destination,
                holder,
                self.circuit.copies,
                self._settings,
                self._chance,
                self.circuit.frame_bytes,
            )
        )
        try:
            leased = await asyncio.shield(leasing)
        except asyncio.CancelledError:
            # The store goes on with it: what it leased was never sent, and must not look as if it had been.
            with contextlib.suppress(GatewayError):
                stopping = Failure(ErrorCode.UNAVAILABLE, "the node stopped before the attempt")
                frame = self._frame(holder, await leasing)
                await asyncio.shield(self._give_back([frame], Event.FAIL_CLEAN, stopping))
            raise
        return self._frame(holder, leased) if leased else None

    def _frame(self, holder: str, leased: Sequence[Leased]) -> Frame:
        # As in the request: envelopes first.
        ordered = sorted(leased, key=lambda item: item.envelope is None)
        headers = (pb.Header.FromString(item.envelope.header) for item in ordered if item.envelope is not None)
        span = self._tracing.frame("rogatory.relay", SpanKind.PRODUCER, (header.traceparent for header in headers))
        span.note(
            {
                "messaging.system": metrics.SYSTEM,
                "messaging.operation.name": "relay",
                "messaging.batch.message_count": len(leased),
                "rogatory.destination": self._destination,
            }
        )
        return Frame(holder, ordered, span)

    async def _reach(self, frame: Frame) -> Passage:
        """Connect, for a frame that is in our hands.

        Raises:
            GatewayError: the other node is not reached; the frame is back in the queue.
        """
        channel = None
        error: GatewayError = Failure(ErrorCode.UNAVAILABLE, "the node stopped before the attempt")
        try:
            self._line.check()
            self._stale = False
            channel = self._line.open_channel()
            await connected(channel, self._destination, self._settings.attempt_timeout_seconds)
            return Passage(channel, self._destination, self._settings.attempt_timeout_seconds)
        except BaseException as reason:
            if isinstance(reason, GatewayError):
                error = reason
            if channel is not None:
                await channel.close()
            await self._not_sent(frame, error)
            raise

    async def _not_sent(self, frame: Frame, error: GatewayError) -> None:
        frame.span.fail(error)
        frame.span.end()
        with contextlib.suppress(GatewayError):
            await asyncio.shield(self._give_back([frame], Event.FAIL_CLEAN, error))

    async def _send(self, passage: Passage, frame: Frame | None) -> None:
        """Send frame after frame as the window has room; return when there shall be no more and all are settled."""
        while not self._stops():
            if len(passage.out) >= self.circuit.window:
                await passage.moved()
            elif frame is None:
                frame = await self._next()
            else:
                await self._send_one(passage, frame)
                frame = None
        if frame is not None:
            await self._not_sent(frame, Failure(ErrorCode.UNAVAILABLE, "the connection ended before the attempt"))
        while passage.out:
            await passage.moved()

    async def _send_one(self, passage: Passage, frame: Frame) -> None:
        try:
            self._line.check()
        except GatewayError as error:
            await self._not_sent(frame, error)
            raise
        await passage.send(frame)
        self._watch("sent")

    def _stops(self) -> bool:
        return self._ending.is_set() or self._stale or self._put_off is not None

    async def _hear(self, passage: Passage) -> None:
        """Settle frames by their answers, side by side, until the other node hangs up with none in flight."""
        try:
            async with asyncio.TaskGroup() as settling:
                while (answered := await passage.answer()) is not None:
                    self._watch("answered")
                    frame = answered[0]
                    self._meters.attempt(self._destination, None, len(frame.leased), frame.seconds)
                    settling.create_task(self._settle_frame(passage, *answered))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _settle_frame(self, passage: Passage, frame: Frame, answers: Sequence[mailbox.Answer]) -> None:
        sure = await doubt.made_sure(frame.leased, answers, self._destination, self.ask_trace)
        put_off = await self._settle(frame, sure)
        if put_off is None:
            self.circuit.close()
        else:
            self._put_off = put_off
        passage.settled(frame)

    async def _is_too_large(self, passage: Passage, error: GatewayError) -> bool:
        """Settle a copy that the other node will never read, if it was alone; else see that it will be."""
        if error.code is not ErrorCode.TOO_LARGE:
            return False
        out = passage.out
        if len(out) != 1 or len(out[0].leased) != 1:
            self.circuit.shrink()
            return False
        # That a message was too large, to be read or to be answered, tells of no copy: it may be there since before.
        no = mailbox.Answer(error=error_message(error))
        sure = await doubt.by_name(out[0].leased[0], no, self._destination, self.ask_trace)
        await self._settle(out[0], [sure])
        passage.settled(out[0])
        return True

    async def _settle(self, frame: Frame, answers: Sequence[mailbox.Answer]) -> GatewayError | None:
        """Settle each copy by its answer; return a failure if the whole node can take nothing now."""
        signatures = [answer.receipt.signature for answer in answers if answer.WhichOneof("result") == "receipt"]
        too_new = await self._know({(each.signer, each.key_id) for each in signatures})

        def job(txn: Transaction) -> list[GatewayError | None]:
            txn.deliveries.expect([item.seq for item in frame.leased])
            pairs = zip(frame.leased, answers, strict=True)
            failures = [self._settle_one(frame.holder, item, answer, too_new, txn) for item, answer in pairs]
            self._watch("noted")
            return failures

        failures = await self._writer.write(job)
        self._watch("settled")
        return failures[-1] if all(failures) else None

    def _settle_one(
        self, holder: str, item: Leased, answer: mailbox.Answer, too_new: frozenset[KeyName], txn: Transaction
    ) -> GatewayError | None:
        """Settle one copy; return the failure if it is one of the whole node, and not of this copy."""
        result = answer.WhichOneof("result")
        # A code that is missing, or that our version does not know, decides nothing either.
        if result == "error" and isinstance(told := codec.error_from(answer.error), Failure):
            failure = Failure(
                ErrorCode.UNAVAILABLE,
                f"{self._destination} cannot take it now: {answer.error.detail}",
                retry_after=told.retry_after,
            )
            if told.code is ErrorCode.ATTACHMENT_MISSING:
                txn.attachments.carry_again(item.seq)
                txn.wake.add(deliver.freight_for(self._destination))
            # Not clean: it had the copy, and only its next answer tells whether it kept it.
            self._again(holder, item, failure, txn)
            return failure if told.code in OF_THE_NODE else None
        if (answer.receipt.signature.signer, answer.receipt.signature.key_id) in too_new:
            self._again(holder, item, not_known_yet(), txn)
            return None
        try:
            with txn.part():
                self._scribe.answered(item, answer, txn)
        except Refusal as error:
            # The answer proves nothing: ask again.
            self._again(holder, item, error, txn)
        return None

    def _again(self, holder: str, item: Leased, error: GatewayError, txn: Transaction) -> None:
        """Put a copy back; it waits by itself, longer each time, and nothing else but its case waits for it."""
        row = txn.deliveries.find(item.seq)
        attempts = row.attempts if row is not None else 1
        delay = deliver.at_least(error, deliver.backoff(attempts, self._settings, self._chance), self._settings)
        deliver.fail(txn, item.seq, holder, Event.FAIL_UNKNOWN, error, delay)

    async def _give_back(self, frames: Sequence[Frame], event: Event, error: GatewayError) -> None:
        if not frames:
            return
        delay = self.circuit.pause(error)

        def job(txn: Transaction) -> None:
            for frame in frames:
                txn.deliveries.expect([item.seq for item in frame.leased])
                for item in frame.leased:
                    deliver.fail(txn, item.seq, frame.holder, event, error, delay)

        await self._writer.write(job)

    async def _rest(self, error: GatewayError) -> None:
        """Wait after a failure, unless an operator says that it is worth trying."""
        seconds = self.circuit.pause(error)
        self.circuit.open()
        self._meters.attempt(self._destination, error.code)
        diagnostics.info("attempt failed", extra={"destination": self._destination, "code": error.code.name})
        if await self._patience.rest(seconds):
            self.circuit.forgive()
