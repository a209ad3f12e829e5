"""Housekeeping: files that no live envelope names are forgotten, and their bytes deleted.

In: the store. Out: room. What is to go is decided in one transaction, by `gateway.store.attachments`; deleting comes
after it, and is done again until it succeeds. Round follows round until nothing is left that can go: nobody can leave
more behind than is deleted.
"""

import asyncio
import contextlib
from typing import Final

from gateway.clock import Clock
from gateway.config import Attachments
from gateway.depot import Depot
from gateway.errors import Failure, GatewayError
from gateway.store import Transaction, Writer
from gateway.store.attachments import SWEEP_ROWS

BETWEEN_SECONDS: Final = 0.1
"""From one round to the next: a backup that waits for the folder gets it."""


async def keep_house(writer: Writer, depot: Depot, settings: Attachments, clock: Clock) -> None:
    """Do it again and again; `clock` fails while it is in doubt."""
    while True:
        more = False
        # A disk that does not answer now says so to every caller; the next round comes by itself.
        with contextlib.suppress(GatewayError):
            more = await collect(writer, depot, settings, clock)
        await asyncio.sleep(min(BETWEEN_SECONDS, settings.collect_seconds) if more else settings.collect_seconds)


async def collect(writer: Writer, depot: Depot, settings: Attachments, clock: Clock) -> bool:
    """Do it once; return whether there may be more that can go.

    Raises:
        Failure: STORE, OVERLOADED, or UNAVAILABLE, as while the clock is in doubt: what goes does not come back when
            that is set right.
    """

    def forget(txn: Transaction) -> list[str]:
        clock()  # it may have been set since the round began
        txn.attachments.forget(settings)
        return txn.attachments.to_delete()

    with depot.clearing() as may:
        if not may:
            return False  # a backup copies them; they go in the next round
        places = await writer.write(forget)
        gone = []
        for place in places:
            # What cannot be deleted now stays noted, and keeps nothing else from it.
            with contextlib.suppress(Failure):
                await depot.discard(place)
                gone.append(place)
        if gone:
            await writer.write(lambda txn: txn.attachments.deleted(gone))
        return bool(gone) and len(places) == SWEEP_ROWS
