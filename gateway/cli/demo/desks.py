"""Who acts in the demo: each desk is one authority's or exchange's own system, with its own keys and connection.

A desk collects all the time, as a real system would, and keeps what came until its person asks for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Final, TypeVar

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from clients.intake import Faulty, Received, Told
from clients.participant import Participant
from gateway import material
from gateway.cli.children import patience
from gateway.cli.development import Summary
from gateway.clock import Clock, system_clock
from gateway.errors import ErrorCode, Failure, GatewayError

T = TypeVar("T")

PATIENCE_SECONDS: Final = 60.0
DESKS: Final = (
    "ee/prosecutor",
    "ee/central-authority",
    "ee/court",
    "ee/fiu",
    "de/central-authority",
    "de/court",
    "de/fiu",
    "de/exchange",
)


class Desk:
    """One participant at work."""

    def __init__(self, participant: Participant) -> None:
        self.participant = participant
        self.address = participant.address
        self.receipts: list[Told] = []
        self.rejected: list[Faulty] = []
        self._received: list[Received] = []
        self._news = asyncio.Condition()
        self._ended: GatewayError | None = None

    async def collect(self) -> None:
        """Collect until cancelled; whoever waits at this desk hears it if that is refused.

        Raises:
            GatewayError: it is refused.
        """
        try:
            await self._collect()
        except GatewayError as error:
            async with self._news:
                self._ended = error
                self._news.notify_all()
            raise

    async def _collect(self) -> None:
        async with aclosing(self.participant.collect()) as items:
            async for item in items:
                async with self._news:
                    match item:
                        case Received():
                            self._received.append(item)
                        case Told():
                            self.receipts.append(item)
                        case Faulty():
                            self.rejected.append(item)
                    self._news.notify_all()

    async def next(self, kind: ids.Kind.ValueType, case_id: str) -> Received:
        """Wait for an envelope of that kind in that case, and take it off the desk."""

        def there() -> Received | None:
            return next((r for r in self._received if (r.header.kind, r.header.case_id) == (kind, case_id)), None)

        found = await self._wait(there, f"{ids.Kind.Name(kind)} of case {case_id}")
        self._received.remove(found)
        self.participant.done(found)
        return found

    async def take(self, ref: ids.EnvelopeRef) -> Received:
        """Wait for one envelope by its name, and take it off the desk."""

        def there() -> Received | None:
            return next((r for r in self._received if r.ref == ref), None)

        found = await self._wait(there, f"envelope {ref.id} of {ref.sender}")
        self._received.remove(found)
        self.participant.done(found)
        return found

    async def told(self, ref: ids.EnvelopeRef, milestone: pb.Milestone.ValueType) -> pb.Statement:
        """Wait for a milestone of an envelope that was sent from here, or came here and has a time limit."""

        def there() -> pb.Statement | None:
            said = (told.statement for told in self.receipts)
            return next((s for s in said if s.envelope == ref and s.milestone == milestone), None)

        return await self._wait(there, f"{pb.Milestone.Name(milestone)} of {ref.id}")

    async def _wait(self, there: Callable[[], T | None], what: str) -> T:
        async with patience(PATIENCE_SECONDS, f"{what}, at {self.address}"), self._news:
            while (found := there()) is None:
                if self._ended is not None:
                    detail = f"{self.address} collects no more: {self._ended}"
                    raise Failure(ErrorCode.UNAVAILABLE, detail) from self._ended
                await self._news.wait()
            return found


@asynccontextmanager
async def open_desks(
    summary: Summary, addresses: Sequence[str], clock: Clock = system_clock
) -> AsyncIterator[dict[str, Desk]]:
    """Open desks; all are closed, and what they acknowledged is settled, at the end."""
    async with AsyncExitStack() as stack:
        desks = {}
        for address in addresses:
            loaded = material.load_participant(summary.config(address), clock)
            desks[address] = Desk(await stack.enter_async_context(Participant.of(loaded, clock=clock)))
        tasks = [asyncio.create_task(desk.collect()) for desk in desks.values()]
        try:
            yield desks
        finally:
            for desk in desks.values():
                desk.participant.stop()
            await asyncio.gather(*tasks, return_exceptions=True)
