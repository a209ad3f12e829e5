"""A participant: seals and signs, hands in, collects, answers, remembers.

In: documents and envelopes, a directory, keys. Out: composed envelopes, proven receipts, opened letters. Nothing is
acknowledged before it is on our own disk (`clients.maildir`), and nothing is shown that is not proven and opened
(`clients.intake`).

A participant that was made of its settings (`of`) keeps up with the directory and with its own keys and certificate
while it is entered (`clients.upkeep`). Calls end on the connection that they began on; only `collect` moves to the new.

What was collected waits in the memory until `done` is called for it; after a restart `unhandled` gives it again. So a
program that loops over `unhandled` first and `collect` then deals with every envelope, and with each of them once.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import logging
import random as pseudorandom
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import grpc.aio
import nacl.utils
from nacl.public import PrivateKey
from nacl.signing import SigningKey
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import parties_pb2 as parties
from rogatory.v1.enrolment_pb2_grpc import RegistryStub
from rogatory.v1.mailbox_pb2_grpc import MailboxStub

from clients import collecting, submission, upkeep
from clients.attachments import Files
from clients.collecting import Moved, Stream
from clients.connection import Connection, Pauses
from clients.intake import Intake, Item, Received, Secrets
from clients.maildir import Collector, DiskFailure, Maildir
from clients.outbox import Outbox, Settled, Tell
from clients.submission import SignedRefusal
from clients.upkeep import Keeper, Upkeep
from gateway import envelope, manifest, signature, target_keys, targets, telemetry
from gateway.clock import Clock, system_clock, to_micros
from gateway.directory import Directory
from gateway.envelope import Composed, Draft, Letter, Random
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.formats import documents
from gateway.formats.documents import Document
from gateway.identity import Address
from gateway.material import Ask, ParticipantMaterial
from gateway.target_keys import TargetKey
from gateway.telemetry import Tracing
from gateway.threads import to_its_end
from gateway.transport import TlsIdentity, error_of

CREDIT: Final = 256
ATTEMPT_SECONDS: Final = 15.0
TIMEOUT_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 2.0
MAX_RENEWAL_PAUSE_SECONDS: Final = 3600.0

Settle: TypeAlias = Callable[[Sequence[int], Sequence[mailbox.Answer]], None]
"""Takes the answers to the envelopes at some positions."""

Transfer: TypeAlias = Callable[[grpc.aio.Channel, Callable[[int], None]], Awaitable[None]]
"""Brings or fetches a file over a channel; tells how many of its bytes are done."""

Attempt: TypeAlias = Callable[[Sequence[pb.SignedEnvelope], Sequence[int], Settle, float], Awaitable[None]]
"""Hands in the envelopes at some positions, within so many seconds."""

diagnostics = logging.getLogger("clients.participant")


def _unheard(_settled: Settled) -> None:
    """Nobody wants to hear of some before the others."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a participant is made of.

    Args:
        directory: who exists.
        address: who we are.
        tls: what we show to our node.
        home: where our memory lies.
        signing_keys: the newest that the directory lists as valid signs our envelopes and statements; without one,
            nothing can be composed or collected.
        sealing_keys: open what is sealed to us, old ones too.
        target_keys: of an authority, say in a request's header what it is aimed at.
        keep_sent: keep what is handed in, and the receipts, on our own disk. Off only for a sender that keeps its own
            record of both; it then loses the check that a late receipt is about the very bytes it sent.
        clock: time.
        random: source of ids, keys, nonces and salts.
        chance: source of numbers from 0 to 1, for pauses.
        tracer: makes the span that a header's `traceparent` names, and those of handing in and collecting; without
            one, a header names none.
    """

    directory: Directory
    address: Address
    tls: TlsIdentity
    home: Path
    signing_keys: tuple[SigningKey, ...] = field(default=(), repr=False)
    sealing_keys: tuple[PrivateKey, ...] = field(default=(), repr=False)
    target_keys: tuple[TargetKey, ...] = field(default=(), repr=False)
    keep_sent: bool = True
    clock: Clock = system_clock
    random: Random = nacl.utils.random
    chance: Callable[[], float] = pseudorandom.random
    tracer: trace.Tracer | None = None


class Participant:
    """One participant's face to its own node. Use it as an async context manager to speak to the node.

    Args:
        parts: what it is made of.
        kept_up: how it keeps up with what changes; without it, everything stays as it is in `parts`.
    """

    def __init__(self, parts: Parts, kept_up: Upkeep | None = None) -> None:
        self.parts = parts
        self.maildir = Maildir(parts.home)
        self.files = Files(parts.home, parts.random)
        self._tracing = Tracing(parts.tracer)
        self._provider: TracerProvider | None = None
        self._keeper = Keeper(kept_up, self._adopt) if kept_up is not None else None
        self._connection: Connection | None = None
        self._outbox = Outbox(self._hand_in_some, self._start)
        self._stopped = asyncio.Event()
        self._streams: set[Stream] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, loaded: ParticipantMaterial, ask: Ask | None = None, clock: Clock = system_clock) -> Self:
        """Make a participant of what `gateway.material.load_participant` loaded from its configuration.

        Args:
            loaded: all of it.
            ask: returns the passphrase of its keys once more, where its settings name no file that holds it. Without
                it, such a participant takes no new keys while it runs, and renews no certificate.
            clock: time.

        Raises:
            DiskFailure: its home cannot be used.
        """
        provider = telemetry.tracer_provider(loaded.config.telemetry, f"rogatory-participant-{loaded.address}")
        parts = Parts(
            directory=loaded.directory,
            address=loaded.address,
            tls=loaded.identity,
            home=loaded.config.home,
            signing_keys=loaded.signing_keys,
            sealing_keys=loaded.sealing_keys,
            target_keys=loaded.target_keys,
            clock=clock,
            tracer=None if provider is None else provider.get_tracer("rogatory.clients"),
        )
        made = cls(parts, Upkeep(loaded, ask, clock))
        made._provider = provider
        return made

    async def __aenter__(self) -> Self:
        if self._connection is not None:
            # Entered again, perhaps on another loop. Another event: whoever collected then is to end still.
            self._stopped = asyncio.Event()
        self._connection = Connection(self.parts.directory, self.parts.address, self.parts.tls)
        if self._keeper is not None:
            self._start(self._keep_up(self._keeper))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        if self._tasks:
            # A renewal that is under way is better finished; what is cut off leaves nothing that does not work.
            late = (await asyncio.wait([*self._tasks], timeout=GRACE_SECONDS))[1]
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close(GRACE_SECONDS)
        if self._provider is not None:
            # Not ended: whoever enters again has more to tell.
            await asyncio.to_thread(self._provider.force_flush, round(GRACE_SECONDS * 1000))

    @property
    def address(self) -> str:
        """Who we are."""
        return str(self.parts.address)

    @property
    def directory(self) -> Directory:
        """Who exists, as far as we have heard."""
        return self.parts.directory

    def stop(self) -> None:
        """Make every `collect` end once what it has acknowledged is settled."""
        self._stopped.set()
        for stream in self._streams:
            stream.end()

    @contextmanager
    def channel(self) -> Iterator[grpc.aio.Channel]:
        """Yield the channel to our node; it stays open meanwhile, also when a newer one takes its place."""
        with self._connected().used() as channel:
            yield channel

    def compose(self, letter: Letter, document: Document) -> Composed:
        """Seal a document to the recipients' keys in the directory, and sign its header.

        Raises:
            Refusal: CONTENT_MISMATCH, the letter does not say what the document says; NOT_PERMITTED, in somebody else's
                name; NO_ROUTE, a recipient has no valid sealing key; MALFORMED, the letter breaks a rule of the header.
            Failure: DIRECTORY_EXPIRED, nobody knows any more whose keys are still theirs.
        """
        (composed,) = self.compose_many([(letter, document)])
        return composed

    def compose_many(self, letters: Sequence[tuple[Letter, Document]]) -> list[Composed]:
        """Seal and sign many documents, a frame's worth with one signature: each envelope verifies alone, for ever.

        A bulk sender spares itself and every node on the way one Ed25519 operation an envelope.

        Raises:
            Refusal, Failure: as `compose`; then none of them was made.
        """
        now = self.parts.clock()
        drafts = [self._drafted(letter, document, now) for letter, document in letters]
        key = self.signing_key_at(now)
        return envelope.compose_many(drafts, signing_key=key, now=now, random=self.parts.random)

    def _drafted(self, letter: Letter, document: Document, now: datetime) -> Draft:
        if letter.sender != self.address:
            raise Refusal(ErrorCode.NOT_PERMITTED, "a participant signs in its own name only", "sender")
        body = documents.encode_for(_claims(letter), document)
        self.directory.check_in_force(now)
        readers = tuple(key for reader in letter.recipients for key in self.directory.sealing_keys(reader, now))
        readers += tuple(each for each in self._own_reader(now) if each not in readers)
        letter = self._aimed(letter, document, now)
        if self.parts.tracer is not None:
            with self.parts.tracer.start_as_current_span("rogatory.compose") as span:
                letter = replace(letter, traceparent=telemetry.traceparent(span))
        return Draft(letter, body, readers, manifest.of(document))

    def _own_reader(self, now: datetime) -> tuple[bytes, ...]:
        """Return the key by which we can open later what we send: a court asks the sender, too, what it wrote."""
        held = {bytes(key.public_key) for key in self.parts.sealing_keys}
        listed = self.directory.participant(self.parts.address)
        keys = [key for key in listed.sealing_keys if key.valid_at(now) and key.public in held] if listed else []
        return (max(keys, key=lambda key: key.not_before).public,) if keys else ()

    def attach(self, path: Path, **said: str) -> parties.Attachment:
        """Seal a file; return what a document has to say of it, key and all. Whoever hands that in brings the file.

        Args:
            path: the file.
            said: `title`, `media_type` and `language`, if they are not as the file's name tells.

        Raises:
            GatewayError: as `Files.seal`.
        """
        return self.files.seal(path, self.parts.sealing_keys, **said)

    async def fetch(self, attachment: parties.Attachment, target: Path, within: float = TIMEOUT_SECONDS) -> None:
        """Fetch a file that a received document names into a new file; it is proven before it is there.

        Where that very file is there already, nothing is done.

        Args:
            attachment: as the document has it.
            target: the new file.
            within: seconds for which nothing may move; as long as something does, it goes on.

        Raises:
            Refusal: BAD_INPUT, CANNOT_OPEN or CONTENT_MISMATCH, see `Files.open`; NOT_FOUND, it is not kept (any more),
                or the document names no file that travels with it.
            Failure: nothing moved for too long; the next attempt goes on from there.
        """
        if not attachment.HasField("sealed"):
            raise Refusal(ErrorCode.NOT_FOUND, "this file does not travel with its document", "sealed")
        if await asyncio.to_thread(self.files.is_there, attachment, target):
            return
        await self._persist(partial(self.files.fetch, attachment), within)
        await asyncio.to_thread(self.files.open, attachment, target)

    def _aimed(self, letter: Letter, document: Document, now: datetime) -> Letter:
        """Return a letter whose header will say what it is aimed at, if it must and we hold a key for that."""
        used = target_keys.in_force(self.parts.target_keys, now)
        if letter.kind not in targets.CARRIERS or not used:
            return letter
        return replace(letter, target_tokens=targets.tokens(used, letter.recipients, targets.wallets_of(document)))

    async def submit(self, raw: pb.SignedEnvelope, within: float = TIMEOUT_SECONDS) -> pb.Receipt:
        """Hand in one envelope; return our node's signed ACCEPTED, which is on our disk too.

        The files that it names are brought first, see `attach`.

        Until then, the identical bytes are tried again after every failure, with growing pauses. What several tasks
        submit at once travels together, see `clients.outbox`; but what brings files goes by itself.

        Args:
            raw: the envelope, signed by us.
            within: seconds for all attempts; and before, for which nothing of its files may move.

        Raises:
            SignedRefusal: the node's rule said no; the proof is its `receipt`, and on our disk.
            Refusal: the node refused the call, or its answer proves nothing (BAD_RECEIPT).
            Failure: no proven answer in time. It may have been accepted: try the identical bytes again.
        """
        self._connected()
        if not raw.attachments:
            return await self._outbox.submit(raw, within)
        # Files take their time, and the others of a frame would wait for them.
        (outcome,) = await self._hand_in([raw], within, self._submit_once)
        if isinstance(outcome, GatewayError):
            raise outcome
        return outcome

    async def submit_many(
        self,
        envelopes: Sequence[pb.SignedEnvelope],
        within: float = TIMEOUT_SECONDS,
    ) -> list[pb.Receipt | GatewayError]:
        """Hand in many envelopes over a stream of frames; return for each what `submit` returns or raises."""
        return await self._hand_in(envelopes, within, self._submit_frames)

    async def collect(self, *, credit: int = CREDIT) -> AsyncGenerator[Item, None]:
        """Yield what the node hands out, as it comes, until `stop`; see `clients.intake` for what is done first.

        When the node goes away, this goes on when it is back. Leave the loop with `contextlib.aclosing`; what was taken
        in by then and not looked at is on our disk: envelopes in `unhandled`, receipts in the memory.

        Args:
            credit: how many items the node may send ahead, 1 to 1024.

        Raises:
            Refusal: the node will not serve us, e.g. REVOKED.
            Failure: STORE, our own disk; UNAVAILABLE, another process collects into this home.
        """
        async with self._collecting() as collector:
            pauses, stopped = Pauses(self.parts.chance), self._stopped
            while not stopped.is_set():
                try:
                    async with self._stream(collector, pauses, credit) as shown:
                        async for items in shown:
                            for item in items:
                                yield item
                except Moved:
                    continue
                except DiskFailure:
                    raise
                except Failure as error:
                    diagnostics.warning("collect.interrupted", extra={"code": error.code.name, "detail": error.detail})
                    await self._pause(pauses.next(error))

    async def collect_available(self, *, credit: int = CREDIT, within: float = TIMEOUT_SECONDS) -> list[Item]:
        """Return what is there for us now, all of it acknowledged and settled.

        The node says when nothing more is due (`drained`); this does not wait for more.

        Raises:
            Refusal: as `collect`.
            Failure: not done in time. What was taken in is on our disk; envelopes are in `unhandled`.
        """
        found: list[Item] = []
        deadline = asyncio.get_running_loop().time() + within
        async with self._collecting() as collector:
            pauses = Pauses(self.parts.chance)
            while True:
                try:
                    async with self._stream(collector, pauses, credit, deadline) as shown:
                        async for items in shown:
                            found.extend(items)
                except Moved:
                    continue
                except DiskFailure:
                    raise
                except Failure as error:
                    wait = pauses.next(error)
                    if asyncio.get_running_loop().time() + wait > deadline or self._stopped.is_set():
                        raise
                    await self._pause(wait)
                else:
                    return found

    def unhandled(self) -> Iterator[Received]:
        """Yield the envelopes that were collected and not yet dealt with, oldest first.

        What cannot be opened any more holds up no other: it is told behind them.

        Raises:
            Refusal: CANNOT_OPEN, its sealing key is no longer ours; CONTENT_MISMATCH, by rules that are newer than it.
        """
        refused: Refusal | None = None
        for kept in self.maildir.take():
            secrets = self.secrets  # the newest keys
            try:
                received = secrets.open(kept.envelope)
            except Refusal as error:
                detail = f"{kept.path.name}: {error.detail}"
                refused = refused or Refusal(error.code, detail, error.field, rule=error.rule)
            else:
                yield received
        if refused is not None:
            raise refused

    def done(self, received: Received) -> None:
        """Note that an envelope has been dealt with: `unhandled` will not give it again."""
        self.maildir.done(received.ref, received.opened.fingerprint)

    def find(self, ref: ids.EnvelopeRef) -> Received:
        """Return a collected envelope, dealt with or not.

        Raises:
            Refusal: NOT_FOUND.
        """
        return self.secrets.open(self.maildir.find(ref))

    def sent(self, ref: ids.EnvelopeRef) -> pb.SignedEnvelope:
        """Return an envelope that was handed in from here.

        Raises:
            Refusal: NOT_FOUND.
        """
        found = self.maildir.sent(ref)
        if found is None:
            raise Refusal(ErrorCode.NOT_FOUND, f"no envelope {ref.id} was handed in from here")
        return found

    @property
    def signing_key(self) -> SigningKey:
        """The signing key in use; refuses as `signing_key_at` does."""
        return self.signing_key_at(self.parts.clock())

    def signing_key_at(self, moment: datetime) -> SigningKey:
        """Return what signs something that was made at a moment: of ours, the newest that the directory lists for then.

        Whoever countersigns signs what was made before, and every signature under it is judged by when it was made.

        Raises:
            Refusal: BAD_CONFIG, we have none; KEY_REVOKED, none of them was valid then and is trusted now.
        """
        held = {bytes(key.verify_key): key for key in self.parts.signing_keys}
        if not held:
            raise Refusal(ErrorCode.BAD_CONFIG, f"{self.address} has no signing key here", "signing_keys")
        trusted = [public for public in held if self._is_trusted(public)]
        newest = self.directory.newest_key(self.address, trusted, moment)
        if newest is None:
            detail = f"no signing key of {self.address} is valid at {moment.isoformat()}"
            raise Refusal(ErrorCode.KEY_REVOKED, detail, "signing_keys")
        return held[newest]

    def _is_trusted(self, public: bytes) -> bool:
        try:
            self.directory.check_not_revoked(self.address, signature.key_id(public), self.parts.clock())
        except Refusal:
            return False
        return True

    @property
    def secrets(self) -> Secrets:
        """What we open and answer with; refuses as `signing_key` does."""
        return Secrets(self.parts.address, self.signing_key, self.parts.sealing_keys, self.parts.target_keys)

    def _connected(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("a participant speaks to its node only inside `async with`")
        return self._connection

    # Keeping up

    def _adopt(self, loaded: ParticipantMaterial) -> None:
        """Take what is newer; called by one thread at a time. The event loop moves to another connection by itself."""
        self.parts = replace(
            self.parts,
            directory=loaded.directory,
            tls=loaded.identity,
            signing_keys=loaded.signing_keys,
            sealing_keys=loaded.sealing_keys,
            target_keys=loaded.target_keys,
        )

    async def _keep_up(self, keeper: Keeper) -> None:
        """Look for what is new, and renew the certificate in time; whatever goes wrong is tried again."""
        pauses = Pauses(self.parts.chance, first=keeper.seconds, ceiling=max(keeper.seconds, 60.0))
        renewals = Pauses(self.parts.chance, first=max(keeper.seconds, 1.0), ceiling=MAX_RENEWAL_PAUSE_SECONDS)
        now = asyncio.get_running_loop().time
        renew_at, wait = 0.0, keeper.seconds
        while not self._stopped.is_set():
            try:
                if now() >= renew_at and keeper.is_renewal_due:
                    with self.channel() as channel:
                        await keeper.renew(RegistryStub(channel))
                    await asyncio.to_thread(keeper.look)
                    self._move()
                    renewals.reset()
            except Exception as error:  # noqa: BLE001  the certificate in use is valid still
                upkeep.tell(error)
                renew_at = now() + renewals.next()
            await self._pause(wait)
            if self._stopped.is_set():
                return
            try:
                await asyncio.to_thread(keeper.look)
                self._move()
                pauses.reset()
                wait = keeper.seconds
            except Exception as error:  # noqa: BLE001  what is in force is so still
                upkeep.tell(error)
                wait = pauses.next()

    def _move(self) -> None:
        """Take a new connection if the node is to be reached otherwise, or we show something else to it."""
        old, parts = self._connected(), self.parts
        if self._stopped.is_set() or old.suits(parts.directory, parts.address, parts.tls):
            return
        self._connection = Connection(parts.directory, parts.address, parts.tls)
        for stream in self._streams:
            if stream.connection is old:
                stream.move()
        self._start(old.retire())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _learn(self, signatures: Iterable[pb.Signature]) -> None:
        """Hear of keys that are newer than our directory, before anything is judged by it; called in a thread."""
        if self._keeper is not None:
            self._keeper.look_for(signatures)

    # Handing in, collecting

    async def _persist(self, transfer: Transfer, within: float) -> None:
        """Try a transfer again after every failure, unless nothing has moved for so many seconds."""
        now = asyncio.get_running_loop().time
        pauses = Pauses(self.parts.chance)
        deadline = now() + within

        def moved(_done: int) -> None:
            nonlocal deadline
            deadline = now() + within
            pauses.reset()

        while True:
            try:
                with self.channel() as channel:
                    return await transfer(channel, moved)
            except DiskFailure:
                raise
            except Failure as error:
                wait = pauses.next(error)
                if now() + wait >= deadline or self._stopped.is_set():
                    raise
                diagnostics.info("transfer.interrupted", extra={"code": error.code.name, "detail": error.detail})
                await self._pause(wait)

    async def _bring_all(
        self, envelopes: Sequence[pb.SignedEnvelope], outcomes: dict[int, pb.Receipt | GatewayError], within: float
    ) -> None:
        """Bring the files of all that have no outcome yet; what keeps one of them from being handed in is its own."""
        for position, raw in enumerate(envelopes):
            if not raw.attachments or position in outcomes:
                continue
            error = await self._bring(raw, within)
            if error is not None:
                outcomes[position] = error

    async def _bring(self, raw: pb.SignedEnvelope, within: float) -> GatewayError | None:
        """Bring the files that an envelope names to our node; return what keeps one from getting there."""
        try:
            for file in manifest.parse(raw.attachments):
                await self._persist(partial(self.files.bring, file), within)
        except Refusal as error:
            # Of what the node never takes it refuses the envelope as well, and signs that.
            return None if error.code is ErrorCode.TOO_LARGE else error
        except Failure as error:
            return error
        return None

    async def _hand_in_some(
        self, envelopes: Sequence[pb.SignedEnvelope], within: float, tell: Tell
    ) -> list[pb.Receipt | GatewayError]:
        attempt = self._submit_once if len(envelopes) == 1 else self._submit_frames
        return await self._hand_in(envelopes, within, attempt, tell)

    async def _hand_in(
        self, envelopes: Sequence[pb.SignedEnvelope], within: float, attempt: Attempt, tell: Tell = _unheard
    ) -> list[pb.Receipt | GatewayError]:
        with self._tracing.frame("rogatory.submit", SpanKind.CLIENT, _traceparents(envelopes)) as span:
            span.note({"messaging.system": "rogatory", "messaging.batch.message_count": len(envelopes)})
            return await self._hand_in_all(envelopes, within, attempt, tell)

    async def _hand_in_all(
        self, envelopes: Sequence[pb.SignedEnvelope], within: float, attempt: Attempt, tell: Tell
    ) -> list[pb.Receipt | GatewayError]:
        outcomes: dict[int, pb.Receipt | GatewayError] = {}
        if self.parts.keep_sent:
            outcomes.update(await asyncio.to_thread(self.maildir.keep_sent, envelopes))
        now = asyncio.get_running_loop().time
        await self._bring_all(envelopes, outcomes, within)
        deadline = now() + within
        pauses = Pauses(self.parts.chance)
        todo = [position for position in range(len(envelopes)) if position not in outcomes]

        def settle(positions: Sequence[int], answers: Sequence[mailbox.Answer]) -> None:
            self._settle(envelopes, outcomes, positions, answers)

        while todo:
            failure: Failure | None = None
            try:
                await attempt(envelopes, todo, settle, deadline - now())
            except DiskFailure:
                raise
            except Failure as error:
                failure = error
            except Refusal as error:
                # Of the call, not of what was answered before: that stands, proven.
                outcomes.update({p: error for p in todo if isinstance(outcomes.get(p, failure), Failure | None)})
            # What failed for itself is tried again like what the stream lost.
            todo = [position for position in todo if isinstance(outcomes.get(position, failure), Failure | None)]
            failure = failure or next((o for p in todo if isinstance(o := outcomes.get(p), Failure)), None)
            wait = pauses.next(failure)
            if todo and (now() + wait >= deadline or self._stopped.is_set()):
                late = failure or Failure(ErrorCode.UNAVAILABLE, "no answer")
                outcomes.update(dict.fromkeys(todo, late))
                break
            if todo:
                tell({position: outcome for position, outcome in outcomes.items() if position not in todo})
                await self._pause(wait)
        return [outcomes[position] for position in range(len(envelopes))]

    def _settle(
        self,
        envelopes: Sequence[pb.SignedEnvelope],
        outcomes: dict[int, pb.Receipt | GatewayError],
        positions: Sequence[int],
        answers: Sequence[mailbox.Answer],
    ) -> None:
        """Judge the answers to some envelopes and keep the proofs among them, before anybody sees them."""
        proofs: list[tuple[ids.EnvelopeRef, pb.Receipt]] = []
        self._learn(answer.receipt.signature for answer in answers if answer.HasField("receipt"))
        for position, answer in zip(positions, answers, strict=True):
            raw = envelopes[position]
            try:
                outcomes[position] = receipt = submission.judge(raw, answer, self.directory)
            except SignedRefusal as error:
                outcomes[position], receipt = error, error.receipt
            except GatewayError as error:
                outcomes[position] = error
                continue
            proofs.append((envelope.ref_of(envelope.parse_header(raw)), receipt))
            if raw.attachments and outcomes[position] is receipt:
                self.files.forget(manifest.parse(raw.attachments))
        if self.parts.keep_sent:
            self.maildir.keep_receipts(proofs)

    async def _submit_once(
        self, envelopes: Sequence[pb.SignedEnvelope], positions: Sequence[int], settle: Settle, remaining: float
    ) -> None:
        request = mailbox.SubmitRequest(envelope=envelopes[positions[0]])
        try:
            with self.channel() as channel:
                response = await MailboxStub(channel).Submit(request, timeout=min(remaining, ATTEMPT_SECONDS))
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        await asyncio.to_thread(settle, positions, [response.answer])

    async def _submit_frames(
        self, envelopes: Sequence[pb.SignedEnvelope], positions: Sequence[int], settle: Settle, remaining: float
    ) -> None:
        with self.channel() as channel:
            await submission.stream(MailboxStub(channel), envelopes, positions, settle, remaining)

    @asynccontextmanager
    async def _collecting(self) -> AsyncIterator[Collector]:
        """Become the one who collects. All that ever came is looked through, so not on the event loop."""
        with ExitStack() as stack:
            yield await to_its_end(stack.enter_context, self.maildir.collecting())

    @asynccontextmanager
    async def _stream(
        self, collector: Collector, pauses: Pauses, credit: int, deadline: float | None = None
    ) -> AsyncIterator[AsyncIterator[list[Item]]]:
        """Yield what comes over one collect stream; see `Stream.shown`."""
        self.secrets  # noqa: B018  whoever cannot sign must not take anything
        stream = Stream(self._connected(), self._stopped)
        self._streams.add(stream)
        try:
            async with aclosing(stream.shown(partial(self._take_in, collector), pauses, credit, deadline)) as shown:
                yield shown
        finally:
            self._streams.discard(stream)

    def _take_in(
        self, collector: Collector, items: Sequence[mailbox.Item]
    ) -> tuple[list[mailbox.Acknowledgement], list[Item]]:
        """Take in the items of one response, by what is known now."""
        self._learn(collecting.signatures(items))
        intake = Intake(self.secrets, self.directory, self.parts.clock, self.maildir, collector)
        whole = [item.envelope for item in items if item.HasField("envelope")]
        if not whole:
            return intake.take_in(items)
        with self._tracing.frame("rogatory.collect", SpanKind.CONSUMER, _traceparents(whole)) as span:
            span.note({"messaging.system": "rogatory", "messaging.batch.message_count": len(whole)})
            return intake.take_in(items)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not for longer than until `stop`."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            pass


def _traceparents(envelopes: Iterable[pb.SignedEnvelope]) -> Iterator[str]:
    """Yield what the headers say, as far as they can be read."""
    for raw in envelopes:
        with suppress(Refusal):
            yield envelope.parse_header(raw).traceparent


def _claims(letter: Letter) -> pb.Header:
    """Return what a letter will say in its header, as far as it concerns the document."""
    return pb.Header(
        kind=letter.kind,
        sender=letter.sender,
        case_id=letter.case_id,
        outcome=letter.outcome,
        ground=letter.ground,
        measures=letter.measures,
        data_classes=letter.data_classes,
        urgency=letter.urgency,
        dual_criminality=letter.dual_criminality,
        amount=letter.amount,
        order_total=letter.order_total,
        in_force_until_us=None if letter.in_force_until is None else to_micros(letter.in_force_until),
    )
