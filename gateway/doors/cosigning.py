"""Cosigning: brings the node's own checkpoints to one witness after the other, and keeps what they say.

In: the log as it grows. Out: cosignatures in the store. One task a witness, so that one that is down holds up nobody:
neither the log nor any delivery ever waits for a witness. At most one request is under way to each, and about one a
second; a witness that does not answer is left alone, longer each time. Of several processes of a node, whichever comes
first asks. What a witness tells of the log is checked: if it has cosigned what is not in the store any more, the store
was rolled back or rewritten, and that is an alarm here, too.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

import grpc
import grpc.aio
from rogatory.v1 import witness_pb2 as pb
from rogatory.v1.witness_pb2_grpc import WitnessStub

from gateway import checkpoint, codec, deliver, note, timed, transport, witness
from gateway.checkpoint import Checkpoint
from gateway.config import Delivery
from gateway.deliver import Chance
from gateway.directory import WitnessEntry
from gateway.doors.courier import Line
from gateway.doors.entrance import Bell
from gateway.doors.patience import rung
from gateway.doors.witness import tell
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.merkle import MAX_SIZE
from gateway.note import Verifier
from gateway.store import Reader, Transaction, Writer
from gateway.store.log import CheckpointRow, LogView
from gateway.store.transaction import NEW_CHECKPOINT
from gateway.timed import Unanswered
from gateway.witness import Evidence, Request, Witnessed

PAUSE_SECONDS: Final = 1.0
"""From one request to the next: half of it fixed, the rest by chance, so that processes of one node take turns."""

HTTP_SECONDS: Final = 5.0  # no longer than a drain: a stopping node waits for its threads
MAX_ANSWER_BYTES: Final = 4 << 10
MOST_TRIES: Final = 3
"""With the size that the witness was said to have, with the one that it says, and once more if another came between."""

_OF_INTEREST: Final = (HTTPStatus.OK, HTTPStatus.CONFLICT)
_SIZE_TYPE: Final = "text/x.tlog.size"
diagnostics = logging.getLogger("gateway.cosigning")


@dataclass(frozen=True, slots=True)
class Told:
    """What a witness answers.

    Args:
        lines: cosignatures; empty: it has cosigned another checkpoint than it was said to have.
        size: entries of that; 0: none.
        last: that, as the log signed it; empty: none, or the witness does not say.
        alarm: what the log has to answer for, as the witness finds.
    """

    lines: bytes
    size: int = 0
    last: bytes = b""
    alarm: GatewayError | None = None


class Asker(Protocol):
    """The way to one witness."""

    async def ask(self, request: Request) -> Told:
        """Ask for a cosignature.

        Raises:
            Refusal: what the witness refuses.
            Failure: UNAVAILABLE, it does not answer; or what it says.
        """
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class NodeAsker:
    """The way to another node."""

    def __init__(self, line: Line, patience_seconds: float) -> None:
        self._line = line
        self._patience = patience_seconds
        self._channel: grpc.aio.Channel | None = None

    async def ask(self, request: Request) -> Told:
        """See `Asker`."""
        self._line.check()
        if self._channel is None:
            self._channel = self._line.open_channel()
        asked = pb.AddCheckpointRequest(old_size=request.old_size, proof=request.proof, checkpoint=request.note)
        try:
            response = await WitnessStub(self._channel).AddCheckpoint(asked, timeout=self._patience)
        except grpc.aio.AioRpcError as error:
            # Anew the next time: its endpoint may be another by then.
            await self.close()
            raise transport.error_of(error) from error
        codec.check(response)
        last = response.last
        size = Checkpoint.parse(note.parse(last).text).size if last else 0
        alarm = codec.error_from(response.alarm) if response.HasField("alarm") else None
        return Told(response.cosignatures, size, last, alarm)

    async def close(self) -> None:
        """See `Asker`."""
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()


class HttpAsker:
    """The way to a witness that is no node (C2SP tlog-witness)."""

    def __init__(self, entry: WitnessEntry) -> None:
        self._url = f"{entry.url.rstrip('/')}/add-checkpoint"

    async def ask(self, request: Request) -> Told:
        """See `Asker`."""
        return await asyncio.to_thread(self._ask, bytes(request))

    async def close(self) -> None:
        """See `Asker`: each question has a connection of its own."""

    def _ask(self, question: bytes) -> Told:
        kind = {"Content-Type": "application/octet-stream"}
        try:
            answer = timed.ask(self._url, HTTP_SECONDS, MAX_ANSWER_BYTES, question, kind, of_interest=_OF_INTEREST)
        except Unanswered as error:
            raise Failure(ErrorCode.UNAVAILABLE, f"{self._url} does not answer: {error}") from error
        if len(answer.content) > MAX_ANSWER_BYTES:
            raise Failure(ErrorCode.UNAVAILABLE, f"{self._url} answers more than {MAX_ANSWER_BYTES} bytes")
        if answer.status == HTTPStatus.OK and answer.content:
            return Told(answer.content)
        if answer.status == HTTPStatus.CONFLICT and answer.headers.get("content-type", "").startswith(_SIZE_TYPE):
            return Told(b"", _size(answer.content))
        raise Failure(ErrorCode.UNAVAILABLE, f"{self._url} answers {answer.status}")


class Cosigning:
    """Serves one witness."""

    def __init__(
        self,
        name: str,
        asker: Asker,
        keys: Callable[[], Collection[Verifier]],
        own_keys: Callable[[], Collection[bytes]],
        writer: Writer,
        reader: Reader,
        bell: Bell,
        settings: Delivery,
        chance: Chance,
    ) -> None:
        """Prepare it.

        Args:
            name: of the witness's key.
            asker: the way to it.
            keys: gives its keys.
            own_keys: gives the keys that this node has signed checkpoints with.
            writer: writes cosignatures.
            reader: reads the log.
            bell: rings when there is a checkpoint.
            settings: how long to leave alone who does not answer.
            chance: numbers in [0, 1).
        """
        self._name = name
        self._asker = asker
        self._keys = keys
        self._own_keys = own_keys
        self._writer = writer
        self._reader = reader
        self._bell = bell
        self._settings = settings
        self._chance = chance
        self._has: tuple[str, int] = ("", 0)  # of which log the witness has cosigned how much

    async def run(self) -> None:
        """Bring each new checkpoint until cancelled."""
        wake, failures = asyncio.Event(), 0
        try:
            with self._bell.listen(NEW_CHECKPOINT, wake):
                while True:
                    wake.clear()
                    try:
                        await self._bring()
                    except GatewayError as error:
                        failures += 1
                        self._complain(error, failures)
                        delay = deliver.backoff(failures, self._settings, self._chance)
                        await asyncio.sleep(max(PAUSE_SECONDS, deliver.at_least(error, delay, self._settings)))
                        continue
                    except Exception:  # noqa: BLE001  logged whole
                        # Whatever a witness has made of its answer: the log goes on.
                        diagnostics.exception("unforeseen error", extra={"witness": self._name})
                        await asyncio.sleep(self._settings.backoff_max_seconds)
                        continue
                    failures = 0
                    await asyncio.sleep(PAUSE_SECONDS * (0.5 + 0.5 * self._chance()))
                    await rung(wake)
        finally:
            await self._asker.close()

    def _complain(self, error: GatewayError, failures: int) -> None:
        """Tell the operator what a witness refuses; who is merely silent is told of once."""
        if isinstance(error, Refusal) or failures == 1:
            extra = {"witness": self._name, "code": error.code.name, "detail": error.detail}
            diagnostics.log(logging.ERROR if error.code in _ALARMS else logging.INFO, "log.uncosigned", extra=extra)

    async def _bring(self) -> None:
        """Have the newest checkpoint cosigned, if that witness has not yet.

        Raises:
            GatewayError: it could not be.
        """
        for _ in range(MOST_TRIES):
            asked = await self._reader.log(self._request)
            if asked is None:
                return
            row, request = asked
            if request.old_size > row.checkpoint.size:
                extra = {"witness": self._name, "says": request.old_size, "size": row.checkpoint.size}
                diagnostics.error("log.behind", extra=extra)
            told = await self._asker.ask(request)
            if told.lines:
                await self._keep(row, told.lines)
                self._has = row.checkpoint.origin, row.checkpoint.size
                return
            self._has = row.checkpoint.origin, told.size
            if told.last:
                await self._compare(row, told.last)
            if told.alarm is not None:
                raise told.alarm
        raise Failure(ErrorCode.UNAVAILABLE, f"{self._name} has cosigned {told.size} entries, and says so again")

    def _request(self, view: LogView) -> tuple[CheckpointRow, Request] | None:
        row = view.newest()
        if row is None or view.is_cosigned_by(row, self._name):
            return None
        size = row.checkpoint.size
        origin, has = self._has
        if origin != row.checkpoint.origin:
            has = 0
        # Of more than there is, nothing can be proven: the witness is told that we know, and raises the alarm.
        proof = view.consistency(has, size) if 0 < has <= size else []
        return row, Request(has, tuple(proof), row.note)

    async def _keep(self, row: CheckpointRow, lines: bytes) -> None:
        """Keep the cosignatures among some lines.

        Raises:
            Refusal: MALFORMED, these are none; BAD_SIGNATURE, they are not of that witness and that checkpoint.
        """
        own = witness.cosignatures(row.checkpoint, lines, self._keys())

        def job(txn: Transaction) -> None:
            for line in own:
                txn.witness.cosigned(row.checkpoint, line, row.at_us)

        await self._writer.write(job, weight=0)

    async def _compare(self, row: CheckpointRow, last: bytes) -> None:
        """Compare what a witness has cosigned with what is in the store; it is ours, or nothing is believed.

        Raises:
            Refusal: MALFORMED, BAD_SIGNATURE, it is not of our log.
        """
        theirs, signed = checkpoint.read(last, row.checkpoint.origin, self._own_keys())
        brought = Witnessed(row.checkpoint, row.note)
        held = Witnessed(theirs, bytes(signed))

        def ask(view: LogView) -> Evidence | None:
            newest = view.newest()
            size = 0 if newest is None else newest.checkpoint.size
            if theirs.size > size:
                detail = f"{theirs.origin} had {theirs.size} entries, and has {size}: the store was rolled back"
                return Evidence(ErrorCode.LOG_ROLLED_BACK, detail, held, brought, ())
            if theirs.size and view.root(theirs.size) != theirs.root:
                detail = f"{theirs.origin} of {size} entries does not continue what it was with {theirs.size}"
                return Evidence(ErrorCode.LOG_FORKED, detail, held, brought, ())
            return None

        evidence = await self._reader.log(ask)
        if evidence is not None and await self._writer.write(lambda txn: txn.witness.alarm(evidence), weight=0):
            tell(evidence)


_ALARMS: Final = frozenset({ErrorCode.LOG_FORKED, ErrorCode.LOG_ROLLED_BACK})


def _size(answer: bytes) -> int:
    line = answer.removesuffix(b"\n")
    if not line.isdigit() or len(line) > 19 or int(line) > MAX_SIZE:  # noqa: PLR2004  digits of the largest
        raise Failure(ErrorCode.UNAVAILABLE, "a conflict without a size")
    return int(line)
