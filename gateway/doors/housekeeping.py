"""Housekeeping: files that no live envelope names are forgotten, and their bytes deleted.

In: the store. Out: room. What is to go is decided in one transaction, by `gateway.store.attachments`; deleting comes
after it, and is done again until it succeeds.
"""

import asyncio
import contextlib

from gateway.config import Attachments
from gateway.depot import Depot
from gateway.errors import GatewayError
from gateway.store import Transaction, Writer


async def keep_house(writer: Writer, depot: Depot, settings: Attachments) -> None:
    """Do it again and again."""
    while True:
        # A disk that does not answer now says so to every caller; the next round comes by itself.
        with contextlib.suppress(GatewayError):
            await collect(writer, depot, settings)
        await asyncio.sleep(settings.collect_seconds)


async def collect(writer: Writer, depot: Depot, settings: Attachments) -> None:
    """Do it once.

    Raises:
        Failure: STORE, OVERLOADED or UNAVAILABLE.
    """

    def forget(txn: Transaction) -> list[str]:
        txn.attachments.forget(settings)
        return txn.attachments.to_delete()

    with depot.clearing() as may:
        if not may:
            return  # a backup copies them; they go in the next round
        places = await writer.write(forget)
        for place in places:
            await depot.discard(place)
        if places:
            await writer.write(lambda txn: txn.attachments.deleted(places))
