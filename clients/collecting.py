"""One collect stream: what the node hands out, taken in, acknowledged, settled.

In: a connection, and who takes in what comes. Out: what the participant's program gets to see, response by response.
Nothing is acknowledged before it was taken in. Refuses as the node does. Ends with Failure when the node goes away, and
with `Moved` when there is a newer connection; the caller opens the next stream, and what was not settled comes again.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

import grpc.aio
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1.mailbox_pb2_grpc import MailboxStub

from clients.connection import Connection, Pauses, raise_if_cancelled
from clients.intake import Faulty, Item
from gateway.codec import error_from
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.threads import to_its_end
from gateway.transport import error_of

MAX_ACKNOWLEDGEMENTS: Final = 256
FINISH_SECONDS: Final = 2.0
MOVE_SECONDS: Final = 10.0
"""A stream over an old connection is cut if the node has not ended it by then; what is lost comes again."""

TakeIn: TypeAlias = Callable[[Sequence[mailbox.Item]], tuple[list[mailbox.Acknowledgement], list[Item]]]
"""Takes in the items of one response; returns what to acknowledge and what to show. Called in a thread."""

_Call: TypeAlias = "grpc.aio.StreamStreamCall[mailbox.CollectRequest, mailbox.CollectResponse]"


class Moved(Exception):
    """A collect stream has ended because there is a newer connection."""


class Stream:
    """One collect stream; `shown` may be iterated once.

    Args:
        connection: over which it runs.
        stopped: set when the participant ends every stream.
    """

    def __init__(self, connection: Connection, stopped: asyncio.Event) -> None:
        self.connection = connection
        self._stopped = stopped
        # What is still to be said; None ends the stream.
        self._outbox: asyncio.Queue[mailbox.CollectRequest | None] = asyncio.Queue()
        self._is_moving = False
        self._call: _Call | None = None

    def end(self) -> None:
        """Have it end once what was acknowledged is settled."""
        self._outbox.put_nowait(None)

    def move(self) -> None:
        """Have it end so that the next runs over a newer connection: as soon as it can, but not much later."""
        self._is_moving = True
        self.end()
        asyncio.get_running_loop().call_later(MOVE_SECONDS, self._cut)

    async def shown(
        self, take_in: TakeIn, pauses: Pauses, credit: int, deadline: float | None = None
    ) -> AsyncGenerator[list[Item], None]:
        """Yield what there is to show; with a deadline, until nothing more is due and all is settled.

        Args:
            take_in: takes in the items of one response.
            pauses: begin again once the node answers.
            credit: how many items the node may send ahead.
            deadline: on the clock of the event loop.

        Raises:
            Moved: see `move`.
            Refusal: the node will not serve us.
            Failure: the node went away.
        """
        self._outbox.put_nowait(mailbox.CollectRequest(credit=credit))
        timeout = None if deadline is None else deadline - asyncio.get_running_loop().time()
        with self.connection.used() as channel:
            call = self._call = MailboxStub(channel).Collect(self._requests(), timeout=timeout)
            unsettled: set[int] = set()
            drained = leaving = False
            try:
                async for response in call:
                    if leaving:
                        continue  # too late to acknowledge it, so it is left with the node, which gives it again
                    pauses.reset()
                    # To its end: what a thread still writes once another collects here would come to a program twice.
                    acks, shown = await to_its_end(take_in, response.items)
                    # What the node could not judge now is not settled: it comes again, and is acknowledged again.
                    settled = [each for each in response.settled if not _is_put_off(each)]
                    shown += _refused(settled)
                    unsettled.update(ack.delivery_id for ack in acks)
                    unsettled.difference_update(each.delivery_id for each in settled)
                    self._acknowledge(acks, len(response.items))
                    drained = response.drained or (drained and not response.items)
                    leaving = deadline is not None and drained and not unsettled
                    if leaving:
                        self.end()
                    yield shown
            except GeneratorExit:
                # What was acknowledged is on our disk; whoever leaves the loop still wants the node to hear of it.
                await self._finish(call)
                raise
            except grpc.aio.AioRpcError as error:
                # What a stream says that ends anyhow, the next one says too.
                if not self._is_moving:
                    raise error_of(error) from error
            except asyncio.CancelledError:
                if not self._stopped.is_set() and not self._is_moving:
                    raise
                raise_if_cancelled()  # else our own channel was closed under the call, or the call cut
            finally:
                self.end()
                call.cancel()
        if not leaving and not self._stopped.is_set():
            raise Moved if self._is_moving else Failure(ErrorCode.UNAVAILABLE, "the node ended the stream")

    async def _requests(self) -> AsyncIterator[mailbox.CollectRequest]:
        while (request := await self._outbox.get()) is not None:
            yield request

    def _acknowledge(self, acks: Sequence[mailbox.Acknowledgement], credit: int) -> None:
        """Send acknowledgements, and credit for as many new items as came."""
        for start in range(0, len(acks), MAX_ACKNOWLEDGEMENTS):
            some = acks[start : start + MAX_ACKNOWLEDGEMENTS]
            self._outbox.put_nowait(mailbox.CollectRequest(acknowledgements=some))
        if credit:
            self._outbox.put_nowait(mailbox.CollectRequest(credit=credit))

    async def _finish(self, call: _Call) -> None:
        """Send what is still to be said, and wait until the node has settled it and ended the stream; not for long."""
        self.end()
        with suppress(grpc.aio.AioRpcError, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(FINISH_SECONDS):
                async for _ in call:
                    pass  # too late to take anything in; the node gives it again

    def _cut(self) -> None:
        if self._call is not None:
            self._call.cancel()


def signatures(items: Sequence[mailbox.Item]) -> Iterator[pb.Signature]:
    """Yield all signatures of some items."""
    for item in items:
        if item.HasField("envelope"):
            yield from item.envelope.signatures
        elif item.HasField("receipt"):
            yield item.receipt.signature


def _is_put_off(settled: mailbox.Settled) -> bool:
    return settled.HasField("error") and isinstance(error_from(settled.error), Failure)


def _refused(settled: Sequence[mailbox.Settled]) -> list[Item]:
    """Return what the node says was wrong with our acknowledgements: it will not change by repeating them."""
    return [
        Faulty(None, Refusal(ErrorCode.BAD_RECEIPT, f"the node refused our acknowledgement: {each.error.detail}"))
        for each in settled
        if each.HasField("error")
    ]
