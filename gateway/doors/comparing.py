"""Comparing: now and then asks another witness what it has cosigned of a log that this node has cosigned, too.

In: what this node witnesses. Out: an alarm, if the log has shown one tree here and another there; to the other witness
it is brought as well. So two views of a log do not stay apart because nobody carries a checkpoint from one to the
other. One question at a time, about one log to one node, both by chance: each log is asked about as often as one node
asks, however many there are.

Of one size, two roots are the proof. Of two sizes, the log itself is asked whether its newer tree begins with the
older; nobody else need be believed, for both checkpoints bear its signature. If what it answers does not fit both, that
is an alarm: its node, known by its certificate, answered that, and where the answer leads to the newer root from
another older one, it is proof for everybody else as well. If it does not answer, or is another log by now, that is told
(`log.unproven`), and it is asked again.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final

import grpc
import grpc.aio
from rogatory.v1 import log_pb2, witness_pb2
from rogatory.v1.log_pb2_grpc import LogStub
from rogatory.v1.witness_pb2_grpc import WitnessStub

from gateway import checkpoint, codec, deliver, merkle, transport, witness
from gateway.checkpoint import Checkpoint
from gateway.clock import Clock
from gateway.config import Delivery
from gateway.deliver import Chance
from gateway.directory import Lookup, Status
from gateway.doors.courier import Line
from gateway.doors.quotas import Pause
from gateway.doors.witness import tell
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.merkle import HASH_BYTES
from gateway.store import Reader, Writer
from gateway.witness import Alarm, Evidence, KeysOf, Request, Witnessed

PAUSE_SECONDS: Final = 5.0
"""From one comparison to the next: half of it fixed, the rest by chance, so that nodes do not come together."""

diagnostics = logging.getLogger("gateway.comparing")


class Comparing:
    """Compares what this node has cosigned with what others have."""

    def __init__(
        self,
        node: str,
        lookup: Lookup,
        line: Callable[[str], Line],
        writer: Writer,
        reader: Reader,
        settings: Delivery,
        clock: Clock,
        chance: Chance,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """Prepare it.

        Args:
            node: code of this node.
            lookup: gives the directory.
            line: gives the way to another node.
            writer: keeps alarms.
            reader: reads what is witnessed.
            settings: how long to wait for an answer, and after none came.
            clock: time.
            chance: numbers in [0, 1).
            pause: waits so many seconds.
        """
        self._node = node
        self._lookup = lookup
        self._line = line
        self._writer = writer
        self._reader = reader
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._pause = pause
        self._unproven: set[str] = set()  # of which logs the operator was told

    async def run(self) -> None:
        """Compare again and again, until cancelled."""
        failures, wait = 0, 0.0
        while True:
            await self._pause(max(PAUSE_SECONDS * (0.5 + 0.5 * self._chance()), wait))
            wait = 0.0
            try:
                await self._compare_one()
            except GatewayError as error:
                failures += 1
                diagnostics.info("views.uncompared", extra={"code": error.code.name, "detail": error.detail})
                wait = deliver.at_least(error, deliver.backoff(failures, self._settings, self._chance), self._settings)
            except Exception:  # noqa: BLE001  logged whole
                # Whatever another node has made of its answer: nothing else must end with this.
                diagnostics.exception("unforeseen error")
                wait = self._settings.backoff_max_seconds
            else:
                failures = 0

    async def _compare_one(self) -> None:
        """Compare one view of one log.

        Raises:
            GatewayError: the other witness does not answer, or refuses.
        """
        directory, logs = self._lookup(), defaultdict[str, list[str]](list)
        others = {node.code for node in directory.nodes if node.status is Status.ACTIVE} - {self._node}
        for origin in await self._reader.log(lambda view: view.witnessed()):
            code = witness.node_of(origin, directory.federation)
            if code in others:
                logs[code].append(origin)
        if logs and len(others) > 1:
            # By node first: one that has had many logs must not keep the others from being asked about.
            log = self._any(logs)
            await self.compare(self._any(logs[log]), self._any(others - {log}))

    def _any(self, among: Collection[str]) -> str:
        return sorted(among)[int(self._chance() * len(among))]

    async def compare(self, origin: str, peer: str) -> None:
        """Compare what this node has cosigned of a log with what another has.

        Args:
            origin: of the log, which is another node's.
            peer: code of a node that is neither this one nor the log's.

        Raises:
            Refusal: the other witness refuses, or what it shows is no checkpoint of that log.
            Failure: UNAVAILABLE, it does not answer; STORE.
        """
        directory = self._lookup()
        keys_of = witness.keys_of(directory, self._clock())
        held = await self._reader.log(lambda view: view.last_witnessed(origin))
        log = witness.node_of(origin, directory.federation)
        if held is None or log is None or not held.checkpoint.size:
            return
        answer = await self._bring(peer, held, held.checkpoint.size)
        if not answer.last:
            return  # it has none, or the same: then it has cosigned that again
        theirs = witness.read(Request(0, (), answer.last), keys_of)
        if theirs.checkpoint.origin != origin:
            raise Failure(ErrorCode.UNAVAILABLE, f"{peer} was asked about {origin}", "last")
        if not theirs.checkpoint.size:
            return
        older, newer = sorted((held.checkpoint, theirs.checkpoint), key=lambda each: each.size)
        try:
            proof = await self._proof(log, older, newer, keys_of) if older.size < newer.size else ()
        except GatewayError as error:
            self._complain(error, older, newer)
            return
        self._unproven.discard(origin)
        try:
            witness.compare(held, theirs, proof, by_log=True)
        except Alarm as alarm:
            await self._raise(alarm.evidence, peer)

    async def _raise(self, evidence: Evidence, peer: str) -> None:
        """Keep what a log has to answer for, and bring it to the other witness."""
        if await self._writer.write(lambda txn: txn.witness.alarm(evidence), weight=0):
            tell(evidence)
        theirs = evidence.brought.checkpoint.size
        # Of one size, it has found that out itself; and what is no proof, it could not believe.
        if evidence.is_proof and evidence.held.checkpoint.size != theirs:
            await self._bring(peer, evidence.held, theirs, evidence.proof)

    def _complain(self, error: GatewayError, older: Checkpoint, newer: Checkpoint) -> None:
        """Tell the operator, once, of a log that does not prove what it signed; who is merely down, as news."""
        if older.origin not in self._unproven:
            self._unproven.add(older.origin)
            sizes = {"origin": older.origin, "older": older.size, "newer": newer.size}
            level = logging.WARNING if isinstance(error, Refusal) else logging.INFO
            diagnostics.log(level, "log.unproven", extra={**sizes, "code": error.code.name, "detail": error.detail})

    async def _bring(
        self, peer: str, held: Witnessed, old_size: int, proof: tuple[bytes, ...] = ()
    ) -> witness_pb2.AddCheckpointResponse:
        """Bring another witness what this one has cosigned. It never is the first that it has: of that, it is told."""
        request = witness_pb2.AddCheckpointRequest(old_size=old_size, proof=proof, checkpoint=held.note)
        async with self._calling(peer) as channel:
            answer = await WitnessStub(channel).AddCheckpoint(request, timeout=self._settings.attempt_timeout_seconds)
        codec.check(answer)
        return answer

    async def _proof(self, log: str, older: Checkpoint, newer: Checkpoint, keys_of: KeysOf) -> tuple[bytes, ...]:
        """Ask a log whether its newer tree begins with the older.

        Raises:
            GatewayError: it does not answer, or not about that log.
        """
        whole = older.size & older.size - 1 == 0
        async with self._calling(log) as channel:
            stub, patience = LogStub(channel), self._settings.attempt_timeout_seconds
            answer: log_pb2.GetConsistencyProofResponse | log_pb2.GetInclusionProofsResponse
            if whole:
                # A consistency proof leaves the older tree out then, and could not show that it is another. The path of
                # the first entry passes through it.
                entries = [log_pb2.LogEntry(index=0)]
                asked = log_pb2.GetInclusionProofsRequest(entries=entries, size=newer.size)
                answer = await stub.GetInclusionProofs(asked, timeout=patience)
            else:
                sizes = log_pb2.GetConsistencyProofRequest(old_size=older.size, size=newer.size)
                answer = await stub.GetConsistencyProof(sizes, timeout=patience)
        codec.check(answer)
        # A node whose store was put back answers from another log, which is no lie about the one before.
        newest, _ = checkpoint.read(answer.checkpoint, older.origin, keys_of(older.origin))
        if newest.size < newer.size or answer.size != newer.size:
            raise Failure(ErrorCode.UNAVAILABLE, f"it was asked about {newer.size} entries", "size")
        if isinstance(answer, log_pb2.GetConsistencyProofResponse):
            return tuple(answer.path)
        return _through(older, answer)

    @asynccontextmanager
    async def _calling(self, code: str) -> AsyncIterator[grpc.aio.Channel]:
        """Call another node.

        Raises:
            GatewayError: it may not be called now, or what it answers.
        """
        channel = self._line(code).open_channel()
        try:
            yield channel
        except grpc.aio.AioRpcError as error:
            raise transport.error_of(error) from error
        finally:
            await channel.close()


def _through(older: Checkpoint, answer: log_pb2.GetInclusionProofsResponse) -> tuple[bytes, ...]:
    """Return a consistency proof from a whole part of a tree, from the path of the first entry.

    Where that part is another tree than the older one, it comes first, see `merkle.roots_of`.
    """
    if len(answer.proofs) != 1 or len(answer.proofs[0].leaf_hash) != HASH_BYTES:
        raise Failure(ErrorCode.UNAVAILABLE, "there is no path of the first entry", "proofs")
    part, path, height = answer.proofs[0].leaf_hash, tuple(answer.proofs[0].path), older.size.bit_length() - 1
    for sibling in path[:height]:
        part = merkle.node_hash(part, sibling)
    return path[height:] if part == older.root else (part, *path[height:])
