"""The Relay door: another node brings its own participants' envelopes, and receipts about ours.

Every envelope runs the whole path here too: this node trusts nothing that the other one checked.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.relay_pb2_grpc import RelayServicer

from gateway import codec, statement, threads
from gateway.authenticate import Peer
from gateway.codec import error_message
from gateway.config import Limits
from gateway.directory import KeyName, not_known_yet
from gateway.doors.entrance import Context, Entrance, in_flight
from gateway.doors.mailbox import check_frame, signatures_of
from gateway.doors.probing import Prober
from gateway.doors.trace import between, shared_trace
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal, Unread
from gateway.path import Path, Turn
from gateway.quota import Cost
from gateway.receipt import Scribe
from gateway.store import Reader, Transaction, Writer

# As many as a courier sends at most. Each costs the writer a signature check, while everybody else waits.
MAX_FRAME_RECEIPTS: Final = 64

# Half of the shortest time that a courier waits for an answer, as configured by default. What takes longer is told to
# come again, or it would be taken for a dead line, and its copies for doubtful ones.
LONGEST_WAIT_SECONDS: Final = 5.0


class RelayDoor(RelayServicer):
    """Serves other nodes."""

    def __init__(
        self,
        entrance: Entrance,
        path: Path,
        writer: Writer,
        reader: Reader,
        scribe: Scribe,
        limits: Limits,
        prober: Prober,
        watch: Callable[[str], None],
    ) -> None:
        self._entrance = entrance
        self._path = path
        self._writer = writer
        self._reader = reader
        self._scribe = scribe
        self._limits = limits
        self._prober = prober
        self._watch = watch

    async def Relay(
        self, request_iterator: AsyncIterator[relay.RelayRequest], context: Context
    ) -> AsyncIterator[relay.RelayResponse]:
        """Take frames of envelopes and receipts; answer each item, in order."""
        async with self._entrance.call(context) as call:
            address, quotas = _node(call.peer).address, self._entrance.quotas
            turn = Turn()
            turn.end()

            async def begin(request: relay.RelayRequest) -> Coroutine[Any, Any, relay.RelayResponse]:
                nonlocal turn
                self._check(request)
                try:
                    cost = quotas.cost(address, request.envelopes, request.receipts)
                    await quotas.pace(address, cost, LONGEST_WAIT_SECONDS)
                except Failure as failure:
                    return _come_again(request, failure)
                # Here, or frames behind it would have their turns at the store before it, and wait in them for it.
                signatures = [*signatures_of(request.envelopes), *(each.signature for each in request.receipts)]
                too_new = await self._entrance.too_new(signatures)
                turn = mine = Turn(turn)
                return answer(request, mine, too_new)

            async def answer(
                request: relay.RelayRequest, mine: Turn, too_new: frozenset[KeyName]
            ) -> relay.RelayResponse:
                async with quotas.turn(address, len(request.envelopes) + len(request.receipts)):
                    peer, largest = _node(call.check()), quotas.largest(address)
                    answers = await self._path.accept(peer, request.envelopes, mine, largest, too_new)
                    answers += await self._hear(request.receipts, peer, too_new)
                return relay.RelayResponse(frame=request.frame, answers=answers)

            async for response in in_flight(request_iterator, begin, self._limits.frames_in_flight, call.over):
                yield response
            call.check()

    async def TraceBetween(self, request: relay.TraceBetweenRequest, context: Context) -> relay.TraceBetweenResponse:
        """Tell the other node what happened here to an envelope that went between the two."""
        async with self._entrance.call(context, expired_too=True) as call:
            other = _node(call.peer).node
            self._entrance.quotas.charge(call.peer.address, Cost(queries=1))
            codec.check(request)
            rows = await self._reader.trace(request.envelope_id)
            here = self._scribe.here
            shared = [row for row in rows if between(row.header, here, other)]
            return relay.TraceBetweenResponse(
                traces=[shared_trace(row, here, self._scribe.directory) for row in shared]
            )

    async def Probe(self, request: relay.ProbeRequest, context: Context) -> relay.ProbeResponse:
        """Tell the other node that we are here, and how the way to it does."""
        async with self._entrance.call(context, expired_too=True) as call:
            peer = _node(call.peer)
            self._entrance.quotas.charge(peer.address, Cost(queries=1))
            codec.check(request)
            back = await self._prober.probe_for(peer.node) if request.and_back else []
            return relay.ProbeResponse(
                # Last, as near to the answer as it can be.
                at_us=self._prober.now_us(),
                directory_version=self._prober.version,
                caller=str(peer.address),
                back=back,
            )

    def _check(self, request: relay.RelayRequest) -> None:
        check_frame(request.envelopes, self._limits)
        if len(request.receipts) > MAX_FRAME_RECEIPTS:
            detail = f"{len(request.receipts)} receipts are over MAX_FRAME_RECEIPTS = {MAX_FRAME_RECEIPTS}"
            raise Unread(ErrorCode.TOO_LARGE, detail)

    async def _hear(
        self, receipts: Sequence[pb.Receipt], peer: Peer, too_new: frozenset[KeyName]
    ) -> list[mailbox.Answer]:
        if not receipts:
            return []

        def job(txn: Transaction) -> list[mailbox.Answer]:
            proven = [self._prove(receipt, too_new) for receipt in receipts]
            about = [said.envelope for said in proven if isinstance(said, pb.Statement)]
            txn.expect(about)
            txn.expect_words(about)
            answers = [self._hear_one(*each, peer, txn) for each in zip(receipts, proven, strict=True)]
            self._watch("heard")
            return answers

        try:
            return await threads.ended(self._writer.write(job, len(receipts)))
        except Failure as failure:
            return [mailbox.Answer(error=error_message(failure)) for _ in receipts]

    def _prove(self, receipt: pb.Receipt, too_new: frozenset[KeyName]) -> pb.Statement | GatewayError:
        """Return what is stated, or why that is not taken."""
        if (receipt.signature.signer, receipt.signature.key_id) in too_new:
            return not_known_yet()
        try:
            return statement.verify(receipt, self._scribe.directory.signing_key)
        except Refusal as error:
            return error

    def _hear_one(
        self, receipt: pb.Receipt, said: pb.Statement | GatewayError, peer: Peer, txn: Transaction
    ) -> mailbox.Answer:
        if isinstance(said, GatewayError):
            return mailbox.Answer(error=error_message(said))
        try:
            with txn.part():
                self._scribe.heard(receipt, said, peer.node, txn)
        except Refusal as error:
            return mailbox.Answer(error=error_message(error))
        return mailbox.Answer(noted=True)


async def _come_again(request: relay.RelayRequest, failure: Failure) -> relay.RelayResponse:
    """Answer every item of a frame with a failure, in the frame's turn."""
    items = len(request.envelopes) + len(request.receipts)
    return relay.RelayResponse(frame=request.frame, answers=[mailbox.Answer(error=error_message(failure))] * items)


def _node(peer: Peer) -> Peer:
    if not peer.address.is_node:
        raise Refusal(ErrorCode.NOT_PERMITTED, "only a node relays")
    return peer
