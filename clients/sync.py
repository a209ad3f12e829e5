"""A synchronous face to a participant, for programs without an event loop.

gRPC for asyncio serves one event loop a process well, and no second one; so there is one loop here, in one thread,
for all participants of the process. Do not use this in a process that runs a loop of its own: use `Participant`.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from functools import cache
from typing import Any, Self, TypeVar

from rogatory.v1 import envelope_pb2 as pb

from clients.intake import Item
from clients.participant import CREDIT, TIMEOUT_SECONDS, Participant, Parts
from gateway.errors import GatewayError

T = TypeVar("T")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return the one loop, which runs until the process ends."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="rogatory-clients", daemon=True).start()
    return loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the one loop and return what it returns; call it from any other thread."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


class SyncParticipant:
    """As `Participant`, without `await`. Composing, `unhandled`, `done` and the steps work on its `participant`.

    Args:
        participant: one that nobody has entered; this is its context manager.
    """

    def __init__(self, participant: Participant) -> None:
        self.participant = participant

    @classmethod
    def of(cls, parts: Parts) -> Self:
        """Make a participant of its parts."""
        return cls(Participant(parts))

    def __enter__(self) -> Self:
        run(self.participant.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        run(self.participant.__aexit__())

    def submit(self, raw: pb.SignedEnvelope, within: float = TIMEOUT_SECONDS) -> pb.Receipt:
        """See `Participant.submit`."""
        return run(self.participant.submit(raw, within))

    def submit_many(
        self, envelopes: Sequence[pb.SignedEnvelope], within: float = TIMEOUT_SECONDS
    ) -> list[pb.Receipt | GatewayError]:
        """See `Participant.submit_many`."""
        return run(self.participant.submit_many(envelopes, within))

    def collect_available(self, *, credit: int = CREDIT, within: float = TIMEOUT_SECONDS) -> list[Item]:
        """See `Participant.collect_available`."""
        return run(self.participant.collect_available(credit=credit, within=within))

    def collect(self, *, credit: int = CREDIT) -> Iterator[Item]:
        """See `Participant.collect`; end it with the generator's `close`, or with `stop` from another thread."""
        items = self.participant.collect(credit=credit)

        async def following() -> Item | None:
            return await anext(items, None)

        try:
            while (item := run(following())) is not None:
                yield item
        finally:
            run(items.aclose())

    def stop(self) -> None:
        """See `Participant.stop`."""
        _loop().call_soon_threadsafe(self.participant.stop)
