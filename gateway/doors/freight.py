"""Freight: brings another node the files that its envelopes need, ahead of them.

In: deliveries that wait for their files. Out: each file is at the other node, and what waited for it alone may go: the
courier does the rest. Two lanes a destination, the oldest first in the one and the smallest in the other, so that a
file of hundreds of gigabytes holds up nothing but its own case. A file that the other node refuses for good lets its
envelope go on: the node will say no to that as well, signed. After a failure a lane waits, longer each time, and the
envelope's row says why; then the others go before that file. What has expired meanwhile is not brought to its end.
"""

import asyncio
import contextlib
import logging
from functools import partial
from hashlib import sha256
from typing import Final

from rogatory.v1 import envelope_pb2 as pb

from gateway import deliver, transfer
from gateway.config import Delivery
from gateway.deliver import MAX_ERROR_CHARS, Chance
from gateway.depot import Depot
from gateway.doors.courier import Line
from gateway.doors.entrance import Bell
from gateway.doors.patience import Patience, rung
from gateway.envelope import ref_of
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.store import Reader, Transaction, Writer
from gateway.store.attachments import AHEAD, Freight

LANES: Final = ("oldest", "smallest")
ASK_AGAIN_BYTES: Final = 64 << 20
FINAL_WORDS: Final = frozenset(
    {ErrorCode.TOO_LARGE, ErrorCode.OVER_QUOTA, ErrorCode.NOT_PERMITTED, ErrorCode.MALFORMED, ErrorCode.BAD_SIGNATURE}
)
"""Refusals about the file: the other node would say the same again. Others are about the call."""
diagnostics = logging.getLogger("gateway.freight")


class Freighter:
    """Serves one destination node."""

    def __init__(
        self,
        destination: str,
        line: Line,
        writer: Writer,
        reader: Reader,
        depot: Depot,
        bell: Bell,
        settings: Delivery,
        chance: Chance,
    ) -> None:
        self._destination = destination
        self._line = line
        self._writer = writer
        self._reader = reader
        self._depot = depot
        self._bell = bell
        self._settings = settings
        self._chance = chance
        self._in_work: set[bytes] = set()
        self._failed: dict[bytes, float] = {}  # until when the others go before it

    async def run(self) -> None:
        """Carry until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            for order in LANES:
                lanes.create_task(self._lane(order))

    async def _lane(self, order: str) -> None:
        failures = 0
        wake, patience = asyncio.Event(), Patience(self._destination, self._bell, self._reader)
        with self._bell.listen(deliver.freight_for(self._destination), wake):
            while True:
                wake.clear()
                try:
                    carried = await self._carry_next(order)
                except GatewayError as error:
                    failures += 1
                    diagnostics.info(
                        "attachment stopped", extra={"destination": self._destination, "code": error.code.name}
                    )
                    pause = deliver.backoff(failures, self._settings, self._chance)
                    pause = deliver.at_least(error, pause, self._settings)
                    failures = 0 if await patience.rest(pause) else failures
                    continue
                except Exception:  # noqa: BLE001  logged whole
                    failures += 1
                    diagnostics.exception("unforeseen error", extra={"destination": self._destination})
                    await patience.rest(deliver.backoff(failures, self._settings, self._chance))
                    continue
                failures = 0
                if not carried:
                    await rung(wake)

    async def _carry_next(self, order: str) -> bool:
        """Carry one file; return whether there was one.

        Raises:
            GatewayError: not this time.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._failed = {digest: until for digest, until in self._failed.items() if until > now}
        # It may be the file alone that cannot go: both lanes would come back to it again and again.
        last = tuple(self._failed)
        taken = await self._writer.write(
            lambda txn: txn.attachments.next_freight(self._destination, order, tuple(self._in_work), last)
        )
        if taken is None or taken.digest in self._in_work:
            return taken is not None
        self._in_work.add(taken.digest)
        try:
            await self._carry(taken)
        except GatewayError as error:
            self._failed[taken.digest] = loop.time() + self._settings.backoff_max_seconds
            await self._note(taken, error)
            raise
        finally:
            self._in_work.discard(taken.digest)
        return True

    async def _carry(self, freight: Freight) -> None:
        if not freight.place:
            raise Failure(ErrorCode.ATTACHMENT_MISSING, "the file is not here any more; its sender may bring it again")
        self._line.check()
        channel = self._line.open_channel()
        file = pb.AttachmentRef(sha256=freight.digest, size=freight.size)
        try:
            await transfer.push(channel, file, partial(self._depot.read, freight.place, freight.size), self._asks(file))
        except _NotWanted:
            return
        except Refusal as error:
            if error.code not in FINAL_WORDS:
                raise Failure(ErrorCode.UNAVAILABLE, f"{error.code.name}: {error.detail}"[:MAX_ERROR_CHARS]) from error
            if error.code is ErrorCode.BAD_SIGNATURE:
                await self._look_at_ours(freight)
            await self._settle(freight, "attachment.refused", error)
            return
        finally:
            await channel.close()
        await self._settle(freight, "attachment.carried")

    def _asks(self, file: pb.AttachmentRef) -> transfer.Told:
        """Return what ends a transfer that nobody needs any more, and says of one that goes on that it does."""
        asked_at = 0

        def job(txn: Transaction) -> bool:
            is_wanted = txn.attachments.is_wanted(self._destination, file.sha256)
            if is_wanted:
                # What stopped it once is over: hours may pass until all is there, and the other node does well.
                txn.attachments.waits_because(self._destination, file.sha256, AHEAD)
            return is_wanted

        async def told(received: int) -> None:
            nonlocal asked_at
            if received - asked_at < ASK_AGAIN_BYTES:
                return
            asked_at = received
            if not await self._writer.write(job):
                raise _NotWanted(ErrorCode.NOT_FOUND, "no envelope needs it there any more")

        return told

    async def _look_at_ours(self, freight: Freight) -> None:
        """Look whether the other node is right, and the file is not what it was when it came.

        Raises:
            Failure: STORE, it is not; it is forgotten, so that it can be brought again.
        """
        digest = sha256()
        async for piece in self._depot.read(freight.place, freight.size):
            digest.update(piece)
        if digest.digest() != freight.digest:
            await self._writer.write(lambda txn: txn.attachments.lost(freight.place))
            raise Failure(ErrorCode.STORE, "the file is not what it was when it came; its sender may bring it again")

    async def _settle(self, freight: Freight, event: str, error: GatewayError | None = None) -> None:
        def job(txn: Transaction) -> None:
            self._tell(freight, event, error, txn)
            txn.attachments.carried(self._destination, freight.digest)
            txn.wake.add(self._destination)

        await self._writer.write(job)

    async def _note(self, freight: Freight, error: GatewayError) -> None:
        """Say at the envelopes what keeps them; if the store cannot be written either, the next attempt will."""
        text = f"{error.code.name}: {error.detail}"[:MAX_ERROR_CHARS]

        def job(txn: Transaction) -> None:
            self._tell(freight, "attachment.stopped", error, txn)
            txn.attachments.waits_because(self._destination, freight.digest, text)

        with contextlib.suppress(GatewayError):
            await self._writer.write(job)

    def _tell(self, freight: Freight, event: str, error: GatewayError | None, txn: Transaction) -> None:
        code = 0 if error is None else error.code
        detail = "" if error is None else error.detail[:MAX_ERROR_CHARS]
        for raw in txn.attachments.waiting_for(self._destination, freight.digest):
            ref = ref_of(pb.Header.FromString(raw))
            txn.add_event(ref, event, destination=self._destination, code=code, detail=detail)


class _NotWanted(Refusal):
    """No envelope that needs the file is on its way any more."""
