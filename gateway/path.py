"""The path of an envelope through one node, top to bottom.

    receive -> authenticate -> authorise -> verify -> procedure -> record -> dispatch -> deliver -> receipt

Each stage takes what only the stage before it makes, so leaving one out does not type-check. From procedure on,
everything happens inside one transaction of the writer: what a step rests on cannot change under it, and the receipt,
the log entry and the queued copy are on disk together or not at all. Both nodes run all of it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter, perf_counter_ns
from typing import TypeAlias

from opentelemetry.trace import SpanKind
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox

from gateway import codec, deliver, metrics, threads
from gateway.authenticate import Peer
from gateway.authorise import Permit, authorise
from gateway.checking import Checking
from gateway.clock import Clock
from gateway.codec import error_message
from gateway.config import Limits
from gateway.directory import Directory, KeyName, Lookup, not_known_yet
from gateway.dispatch import dispatch
from gateway.envelope import fingerprint
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import Address
from gateway.metrics import Fate, Meters
from gateway.policy import Policy
from gateway.procedure import LawfulStep, check
from gateway.receipt import Scribe
from gateway.receive import Claimed, receive
from gateway.record import record, recorded_before
from gateway.store import Pending, Transaction, Writer
from gateway.telemetry import NOTHING, Frame, Tracing
from gateway.timekeeper import ring_above
from gateway.verify import Examined, VerifiedEnvelope, conclude, examine

_Outcome: TypeAlias = Pending | pb.Receipt | GatewayError


@dataclass(slots=True)
class Journey:
    """How far one envelope of a frame has come, and what stopped it.

    Args:
        raw: the envelope as it came.
        stages: those that it has passed, each with the microseconds that it was in it: as long as its frame.
        fate: for the figures.
    """

    raw: pb.SignedEnvelope = field(repr=False)
    claimed: Claimed | None = None
    permit: Permit | None = None
    examined: Examined | None = None
    verified: VerifiedEnvelope | None = None
    error: GatewayError | None = None
    stages: str = ""
    fate: str = metrics.POSTPONED

    @property
    def end(self) -> Fate:
        """What became of it, and why."""
        told = self.fate in (metrics.REFUSED, metrics.POSTPONED) and self.error is not None
        return self.fate, self.error.code if told and self.error is not None else None


class _Stopwatch:
    """Tells how long each stage took, one after the other."""

    def __init__(self) -> None:
        self._since = perf_counter_ns()

    def passed(self, stage: str) -> str:
        """Return what is noted of a stage that ends now."""
        now = perf_counter_ns()
        took, self._since = (now - self._since) // 1000, now
        return f" {stage}:{took}"


class Turn:
    """A frame's place in its stream: frames are verified side by side and recorded in the order they came."""

    def __init__(self, before: "Turn | None" = None) -> None:
        self._before = before
        self._over = asyncio.Event()

    async def come(self) -> None:
        """Wait until the frame before has been queued for recording, or has failed."""
        if self._before is not None:
            await self._before._over.wait()  # noqa: SLF001  its own kind
            self._before = None

    def end(self) -> None:
        """Let the next frame go on."""
        self._over.set()


class Path:
    """Takes frames in, for one node."""

    def __init__(
        self,
        here: str,
        lookup: Lookup,
        policy: Callable[[], Policy],
        limits: Limits,
        clock: Clock,
        writer: Writer,
        checking: Checking,
        tracing: Tracing,
        meters: Meters,
        watch: Callable[[str], None],
    ) -> None:
        """Prepare the path.

        Args:
            here: code of this node.
            lookup: who exists.
            policy: the stricter law of this node's country.
            limits: what is taken at most.
            clock: time; fails while it is in doubt.
            writer: the store's.
            checking: checks signatures.
            tracing: for spans.
            meters: for figures.
            watch: told each stage as it is passed; a crash test kills the process there.
        """
        self._here = here
        self._lookup = lookup
        self._policy = policy
        self._limits = limits
        self._clock = clock
        self._writer = writer
        self._checking = checking
        self._tracing = tracing
        self._meters = meters
        self._watch = watch
        self._scribe = Scribe(here, lookup)

    async def accept(
        self,
        peer: Peer,
        frame: Sequence[pb.SignedEnvelope],
        turn: Turn | None = None,
        largest_bytes: int | None = None,
        too_new: frozenset[KeyName] = frozenset(),
    ) -> list[mailbox.Answer]:
        """Take a frame of envelopes that an authenticated peer brings; answer each, in order.

        If the store cannot take it now, nothing of the frame is recorded and every answer is that failure. An envelope
        of more than `largest_bytes` is over its bringer's quota for ever, see `receive`. What is signed with a key of
        `too_new` may be right: nobody can say now.
        """
        turn, since = turn or Turn(), perf_counter()
        # One directory for the whole frame, from the first stage to the last.
        journeys, directory = [Journey(raw) for raw in frame], self._lookup()
        # It may have become known since, while the frame waited for its turn or another call asked.
        too_new = frozenset(name for name in too_new if not directory.lists(name))
        try:
            return await self._accept(peer, journeys, directory, turn, largest_bytes, too_new)
        except Failure as failure:
            for journey in journeys:
                journey.fate, journey.error = metrics.POSTPONED, failure
            return [mailbox.Answer(error=error_message(failure)) for _ in frame]
        finally:
            turn.end()
            if frame:
                fates = (journey.end for journey in journeys)
                self._meters.frame(peer.node, fates, perf_counter() - since)

    async def _accept(
        self,
        peer: Peer,
        journeys: Sequence[Journey],
        directory: Directory,
        turn: Turn,
        largest_bytes: int | None,
        too_new: frozenset[KeyName],
    ) -> list[mailbox.Answer]:
        self._watch("authenticated")
        watch = _Stopwatch()
        self._claim(journeys, peer, largest_bytes, directory, watch)
        for journey in journeys if too_new else ():
            if any((each.signer, each.key_id) in too_new for each in journey.raw.signatures):
                # Not refused, for that would be final: whoever wrote it may know more than we do.
                journey.permit, journey.error = None, journey.error or not_known_yet()
        headers = [journey.claimed.header for journey in journeys if journey.claimed is not None]
        with self._span(peer, headers, len(journeys)) as span:
            with span.stage("rogatory.verify"):
                await self._verify(journeys, directory, watch)
            _keep_order(journeys)
            await turn.come()
            if not journeys:
                return []  # receipts alone came, and nothing need be written for the envelopes
            with span.stage("rogatory.commit"):
                judged = [(journey.verified, journey.error) for journey in journeys]

                def settle(txn: Transaction) -> list[_Outcome]:
                    # It may run again, when what it rested on, or what was in its way, was not taken after all.
                    for journey, (verified, error) in zip(journeys, judged, strict=True):
                        journey.verified, journey.error = verified, error
                    return self._settle(journeys, peer, txn, directory)

                settled = self._writer.write(settle, len(journeys))
                turn.end()
                outcomes = await threads.ended(settled)
        self._watch("answering")
        return [_answer(outcome) for outcome in outcomes]

    def _span(self, peer: Peer, headers: Sequence[pb.Header], envelopes: int) -> Frame:
        if not headers:
            return NOTHING
        span = self._tracing.frame("rogatory.accept", SpanKind.CONSUMER, (header.traceparent for header in headers))
        span.note(
            {
                "messaging.system": metrics.SYSTEM,
                "messaging.operation.name": "accept",
                "messaging.batch.message_count": envelopes,
                "rogatory.node": self._here,
                "rogatory.peer": str(peer.address),
            }
        )
        return span

    def _claim(
        self,
        journeys: Sequence[Journey],
        peer: Peer,
        largest_bytes: int | None,
        directory: Directory,
        watch: _Stopwatch,
    ) -> None:
        for journey in journeys:
            try:
                journey.claimed = receive(journey.raw, self._limits, largest_bytes)  # (1)
            except Refusal as error:
                journey.error = error
            else:
                self._watch("received")
        received = watch.passed("envelope.received") + watch.passed("peer.authenticated")
        for journey in journeys:
            if journey.claimed is None:
                continue
            journey.stages = received  # (2) too, which the door did for the whole frame; `peer` is the proof
            try:
                journey.permit = authorise(peer, journey.claimed, directory, self._here)  # (3)
            except Refusal as error:
                journey.error = error
            else:
                self._watch("permitted")
        permitted = watch.passed("action.permitted")
        for journey in journeys:
            if journey.permit is not None:
                journey.stages += permitted

    async def _verify(self, journeys: Sequence[Journey], directory: Directory, watch: _Stopwatch) -> None:
        now = self._clock()
        for journey in journeys:
            if journey.permit is None:
                continue
            try:
                journey.examined = examine(journey.permit, directory, self._limits, now)  # (4), its first half
            except Refusal as error:
                journey.error = error
        examined = [(journey, journey.examined) for journey in journeys if journey.examined is not None]
        valid = await self._checking.valid(check for _, each in examined for check in each.checks)
        for journey, each in examined:
            try:
                journey.verified = conclude(each, valid)  # (4), its second half
            except Refusal as error:
                journey.error = error
            else:
                self._watch("verified")
        verified = watch.passed("envelope.verified")
        for journey in journeys:
            if journey.verified is not None:
                journey.stages += verified

    def _settle(
        self, journeys: Sequence[Journey], peer: Peer, txn: Transaction, directory: Directory
    ) -> list[_Outcome]:
        self._clock()  # it may have been set since the call was let in
        headers = [journey.verified.header for journey in journeys if journey.verified is not None]
        txn.expect_new(headers)
        deliver.expect(headers, txn, self._here)
        outcomes = []
        for journey in journeys:
            outcomes.append(self._settle_one(journey, peer, txn, directory))
            if isinstance(journey.error, Failure):
                _keep_order(journeys)
        return outcomes

    def _settle_one(self, journey: Journey, peer: Peer, txn: Transaction, directory: Directory) -> _Outcome:
        """Run the stages that need what is recorded; a refusal leaves nothing but its own event and receipt."""
        verified, watch = journey.verified, _Stopwatch()
        if verified is not None and journey.error is None:
            try:
                again = recorded_before(verified.header, verified.fingerprint, txn)
                if again is not None:
                    journey.fate = metrics.REPEATED
                    return again
                ring_above(verified.header, self._scribe, txn, self._policy())
                step = check(verified, txn, directory, self._here, self._policy())  # (5)
                with txn.part():
                    return self._enter(journey, step, txn, directory, watch)
            except GatewayError as error:
                # A failure too is this one's alone: what it needs is not there yet, and the rest of the frame goes on.
                journey.error = error
        return self._refuse(journey, peer, txn)

    def _enter(
        self, journey: Journey, step: LawfulStep, txn: Transaction, directory: Directory, watch: _Stopwatch
    ) -> Pending:
        stages = journey.stages + watch.passed("step.lawful")
        self._watch("lawful")
        recorded = record(step, txn)  # (6)
        stages += watch.passed("envelope.recorded")
        self._watch("recorded")
        for route in dispatch(recorded, directory, self._here):  # (7)
            # (8), which goes on when a courier or the recipient calls
            deliver.enqueue(route, txn, self._limits.max_skew_seconds)
        stages += watch.passed("delivery.queued")
        self._watch("queued")
        receipt = self._scribe.accepted(recorded, txn)  # (9)
        self._scribe.marked(step, txn)
        self._scribe.competing(recorded, txn)
        stages += watch.passed("receipt.issued")
        actor = str(step.verified.peer.address)
        txn.add_event(recorded.header, "envelope.accepted", actor=actor, stages=stages[1:])
        journey.fate = metrics.ACCEPTED
        return receipt

    def _refuse(self, journey: Journey, peer: Peer, txn: Transaction) -> _Outcome:
        error, claimed = journey.error, journey.claimed
        if error is None:
            raise Failure(ErrorCode.INTERNAL, "an envelope stopped without a reason")
        before = _accepted_before(journey, peer, txn)
        if before is not None:
            # A retry, after the clock, a limit or the directory has moved on: what was accepted stays accepted.
            journey.fate = metrics.REPEATED
            return before
        if not isinstance(error, Refusal):
            journey.fate = metrics.POSTPONED
            return error  # nothing is decided yet: it will come again
        journey.fate = metrics.REFUSED
        if claimed is None:
            # It has no name that could be believed, so there is nothing to sign about.
            nameless = ids.EnvelopeRef(sender=str(peer.address))
            txn.add_event(nameless, "envelope.refused", actor=str(peer.address), code=error.code, detail=error.detail)
            return error
        txn.add_event(
            claimed.header,
            "envelope.refused",
            actor=str(peer.address),
            code=error.code,
            detail=str(error),
            stages=journey.stages[1:],
        )
        # Nobody but its owner is told anything signed about an envelope: a stranger who replays it must not make us
        # state REFUSED of what we, or another node, have accepted.
        return self._scribe.refused(claimed, error, txn) if _owns(peer, claimed.header) else error


def _keep_order(journeys: Sequence[Journey]) -> None:
    """Have what follows in its case on something that nobody can judge now wait too, or it would overtake it."""
    waiting: set[str] = set()
    for journey in journeys:
        if journey.claimed is None:
            continue
        case_id = journey.claimed.header.case_id
        if isinstance(journey.error, Failure):
            waiting.add(case_id)
        elif journey.error is None and case_id in waiting:
            journey.verified = None
            journey.error = Failure(ErrorCode.UNAVAILABLE, "an earlier envelope of its case has to wait")


def _accepted_before(journey: Journey, peer: Peer, txn: Transaction) -> Pending | pb.Receipt | None:
    """Return the receipt of these very bytes, if their owner brings them again."""
    if journey.claimed is not None:
        header, whole = journey.claimed.header, journey.claimed.fingerprint
    else:
        # It broke a limit of today's; or another process, of a newer program, has accepted what this one cannot read.
        # The name is all that is needed of the header: the fingerprint proves that it is the very envelope.
        try:
            header = codec.heard(pb.Header, journey.raw.header)
            Address.parse(header.sender)
        except Refusal:
            return None
        if not header.id.isprintable():
            return None  # no store could look for a zero byte
        journey.raw.DiscardUnknownFields()  # as `receive`, for the fingerprint
        whole = fingerprint(journey.raw)
    if not _owns(peer, header) or txn.fingerprint(header) != whole:
        return None
    return txn.acceptance(header)


def _owns(peer: Peer, header: pb.Header) -> bool:
    """Whether a peer is the envelope's sender, or its sender's node."""
    return header.sender == str(peer.address) or (
        peer.address.is_node and Address.parse(header.sender, allow_node=True).node == peer.node
    )


def _answer(outcome: _Outcome) -> mailbox.Answer:
    if isinstance(outcome, GatewayError):
        return mailbox.Answer(error=error_message(outcome))
    if isinstance(outcome, Pending):
        return mailbox.Answer(receipt=outcome.receipt)
    return mailbox.Answer(receipt=outcome)
