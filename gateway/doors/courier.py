"""The courier: carries what is queued for one other node, and brings back its answers.

One courier a destination. It leases a frame, sends it, and settles each copy by the other node's signed answer. Before
a connection stands, a failure is clean: the other side certainly has nothing. After the frame was sent, only an answer
tells; until one comes, the same bytes are sent again. After a failure it waits, longer each time, so a dead country
costs nothing and a reborn one is not trampled.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias
from uuid import uuid4

import grpc
import grpc.aio
from opentelemetry import trace as otel
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.relay_pb2_grpc import RelayStub

from gateway import codec, deliver, telemetry, transport
from gateway.clock import Clock, to_micros
from gateway.codec import error_message
from gateway.config import Delivery
from gateway.deliver import Chance
from gateway.directory import KeyName, Know, not_known_yet
from gateway.doors.entrance import Bell
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.lifecycle import Event
from gateway.receipt import Scribe
from gateway.store import Leased, Reader, Transaction, Writer

Stream: TypeAlias = "grpc.aio.StreamStreamCall[relay.RelayRequest, relay.RelayResponse]"

FRAME_ITEMS: Final = 64
IDLE_SECONDS: Final = 30.0
OF_THE_NODE: Final = frozenset({ErrorCode.OVERLOADED, ErrorCode.STORE, ErrorCode.DIRECTORY_EXPIRED})
"""Failures that the next copy would meet too."""

BLOCKED_SECONDS: Final = 0.2
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
    """Serves one destination node."""

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
        tracer: otel.Tracer,
        watch: Callable[[str], None],
        know: Know,
    ) -> None:
        self._destination = destination
        self._line = line
        self._writer = writer
        self._reader = reader
        self._scribe = scribe
        self._bell = bell
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._tracer = tracer
        self._watch = watch
        self._know = know
        self._holder = uuid4().hex
        self._failures = 0
        self._frame = 0
        self._wake = asyncio.Event()
        self._channel: grpc.aio.Channel | None = None
        self._stream: Stream | None = None
        self._stale = False

    async def run(self) -> None:
        """Carry until cancelled."""
        try:
            with self._bell.listen(self._destination, self._wake):
                while True:
                    self._wake.clear()
                    try:
                        carried = await self._carry()
                    except GatewayError as error:
                        await self._rest(error)
                        continue
                    except Exception:  # noqa: BLE001  logged whole
                        # Whatever another node has made of its answer, this one goes on: its lease runs out by itself.
                        diagnostics.exception("unforeseen error", extra={"destination": self._destination})
                        await self._hang_up()
                        await self._rest(Failure(ErrorCode.INTERNAL, "an unforeseen error"))
                        continue
                    if not carried:
                        await self._wait()
        finally:
            await self._hang_up()

    def renew(self) -> None:
        """Connect anew before the next frame: the other node's endpoint, or our own certificate, is another by now."""
        self._stale = True

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
            raise _unknown(transport.error_of(error)) from error
        finally:
            await channel.close()
        return list(response.traces)

    async def _carry(self) -> bool:
        """Carry one frame; return whether there was one.

        Raises:
            GatewayError: this attempt failed; every copy of it is back in the queue.
        """
        leased = await self._lease()
        if not leased:
            return False
        self._watch("leased")
        event = Event.FAIL_CLEAN
        try:
            stream = await self._connected()
            event = Event.FAIL_UNKNOWN
            answers = await self._exchange(stream, leased)
            retry = await self._settle(leased, answers)
        except GatewayError as error:
            await self._hang_up()
            if error.code is ErrorCode.TOO_LARGE and len(leased) == 1:
                # It will never pass; with others in its frame it would have been tried alone, see `Transaction.lease`.
                await self._settle(leased, [mailbox.Answer(error=error_message(error))])
                return True
            await self._give_back(leased, event, error)
            raise
        except asyncio.CancelledError:
            stopping = Failure(ErrorCode.UNAVAILABLE, "the node stopped during the attempt")
            # If the store cannot be written either, the lease runs out by itself; we must stop all the same.
            with contextlib.suppress(GatewayError):
                await asyncio.shield(self._give_back(leased, event, stopping))
            raise
        if retry is not None:
            raise retry
        self._failures = 0
        return True

    async def _lease(self) -> list[Leased]:
        leasing = self._writer.write(
            lambda txn: deliver.lease(txn, self._destination, self._holder, FRAME_ITEMS, self._settings)
        )
        try:
            return await asyncio.shield(leasing)
        except asyncio.CancelledError:
            # The store goes on with it: what it leased was never sent, and must not look as if it had been.
            with contextlib.suppress(GatewayError):
                stopping = Failure(ErrorCode.UNAVAILABLE, "the node stopped before the attempt")
                await asyncio.shield(self._give_back(await leasing, Event.FAIL_CLEAN, stopping))
            raise

    async def _connected(self) -> Stream:
        self._line.check()
        if self._stale:
            await self._hang_up()
        if self._stream is None:
            self._stale = False
            self._channel = self._line.open_channel()
            try:
                async with asyncio.timeout(self._settings.attempt_timeout_seconds):
                    await _ready(self._channel)
            except TimeoutError as error:
                raise Failure(ErrorCode.UNAVAILABLE, f"no connection to {self._destination}") from error
            self._stream = RelayStub(self._channel).Relay()
        return self._stream

    async def _exchange(self, stream: Stream, leased: Sequence[Leased]) -> Sequence[mailbox.Answer]:
        self._frame += 1
        envelopes = [item.envelope for item in leased if item.envelope is not None]
        receipts = [item.receipt for item in leased if item.receipt is not None]
        parents = (pb.Header.FromString(envelope.header).traceparent for envelope in envelopes)
        span = telemetry.start_frame(self._tracer, "rogatory.relay", parents)
        with otel.use_span(span, end_on_exit=True):
            span.set_attribute("messaging.batch.message_count", len(leased))
            span.set_attribute("rogatory.destination", self._destination)
            try:
                async with asyncio.timeout(self._settings.attempt_timeout_seconds):
                    await stream.write(relay.RelayRequest(frame=self._frame, envelopes=envelopes, receipts=receipts))
                    self._watch("sent")
                    response = await stream.read()
            except grpc.aio.AioRpcError as error:
                raise _unknown(transport.error_of(error)) from error
            except (TimeoutError, asyncio.InvalidStateError) as error:
                raise Failure(ErrorCode.UNAVAILABLE, f"no answer from {self._destination}") from error
            if not isinstance(response, relay.RelayResponse):
                raise Failure(ErrorCode.UNAVAILABLE, f"{self._destination} ended the stream")
            if response.frame != self._frame or len(response.answers) != len(leased):
                raise Refusal(ErrorCode.MALFORMED, f"{self._destination} answered another frame")
            self._watch("answered")
        return response.answers

    async def _settle(self, leased: Sequence[Leased], answers: Sequence[mailbox.Answer]) -> GatewayError | None:
        """Settle each copy by its answer; return a failure if the whole node can take nothing now."""
        # The frame's envelopes come first, as in the request.
        ordered = sorted(leased, key=lambda item: item.envelope is None)
        signatures = [answer.receipt.signature for answer in answers if answer.WhichOneof("result") == "receipt"]
        too_new = await self._know({(each.signer, each.key_id) for each in signatures})

        def job(txn: Transaction) -> list[GatewayError | None]:
            pairs = zip(ordered, answers, strict=True)
            return [self._settle_one(item, answer, too_new, txn) for item, answer in pairs]

        failures = await self._writer.write(job)
        self._watch("settled")
        return failures[-1] if all(failures) else None

    def _settle_one(
        self, item: Leased, answer: mailbox.Answer, too_new: frozenset[KeyName], txn: Transaction
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
            # Not clean: it had the copy, and only its next answer tells whether it kept it.
            self._again(item, failure, txn)
            return failure if told.code in OF_THE_NODE else None
        if (answer.receipt.signature.signer, answer.receipt.signature.key_id) in too_new:
            self._again(item, not_known_yet(), txn)
            return None
        try:
            with txn.part():
                self._scribe.answered(item, answer, txn)
        except Refusal as error:
            # The answer proves nothing: ask again.
            self._again(item, error, txn)
        return None

    def _again(self, item: Leased, error: GatewayError, txn: Transaction) -> None:
        """Put a copy back; it waits by itself, longer each time, and nothing else waits for it."""
        row = txn.delivery(item.seq)
        attempts = row.attempts if row is not None else 1
        delay = self._at_least(error, deliver.backoff(attempts, self._settings, self._chance))
        deliver.fail(txn, item.seq, self._holder, Event.FAIL_UNKNOWN, error, delay)

    async def _give_back(self, leased: Sequence[Leased], event: Event, error: GatewayError) -> None:
        delay = self._at_least(error, deliver.backoff(self._failures + 1, self._settings, self._chance))

        def job(txn: Transaction) -> None:
            for item in leased:
                deliver.fail(txn, item.seq, self._holder, event, error, delay)

        await self._writer.write(job)

    async def _rest(self, error: GatewayError) -> None:
        """Wait after a failure; news of more to carry does not shorten it."""
        self._failures += 1
        diagnostics.info("attempt failed", extra={"destination": self._destination, "code": error.code.name})
        await asyncio.sleep(self._at_least(error, deliver.backoff(self._failures, self._settings, self._chance)))

    def _at_least(self, error: GatewayError, delay: float) -> float:
        """Return a delay, longer if the other node said when there is room again.

        It is believed up to our own longest pause: its word must not stop what is due to it for weeks.
        """
        return max(delay, min(error.retry_after or 0.0, self._settings.backoff_max_seconds))

    async def _wait(self) -> None:
        """Wait for news, or until something becomes due."""
        due_us = await self._reader.next_attempt_us(self._destination)
        seconds = IDLE_SECONDS
        if due_us is not None:
            until_due = (due_us - to_micros(self._clock())) / 1_000_000
            # Something may be due and still have to let an earlier copy of its case go first.
            seconds = min(IDLE_SECONDS, max(BLOCKED_SECONDS, until_due))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _hang_up(self) -> None:
        stream, channel, self._stream, self._channel = self._stream, self._channel, None, None
        if stream is not None:
            stream.cancel()
        if channel is not None:
            await channel.close()


async def _ready(channel: grpc.aio.Channel) -> None:
    """Wait until the connection stands.

    Raises:
        Failure: UNAVAILABLE, this attempt to connect has failed.
    """
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            raise Failure(ErrorCode.UNAVAILABLE, "the connection was refused or its certificate was not accepted")


def _unknown(error: GatewayError) -> GatewayError:
    """Return a call's error as a failure: an answer about a call is none about the copies it carried, but for size."""
    if error.code is ErrorCode.TOO_LARGE:
        return error
    return Failure(ErrorCode.UNAVAILABLE, f"{error.code.name}: {error.detail}", retry_after=error.retry_after)
