"""Housekeeping: files that no live envelope names are forgotten, and their bytes deleted.

In: the store. Out: room. What is to go is decided in one transaction, by `gateway.store.attachments`; deleting comes
after it, and is done again until it succeeds. Round follows round until nothing is left that can go: nobody can leave
more behind than is deleted.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
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
    after: str | None = ""
    while True:
        # A disk that does not answer now says so to every caller; the next round comes by itself.
        try:
            after = await collect(writer, depot, settings, clock, after or "")
        except GatewayError:
            after = None
        is_over = after is None
        await asyncio.sleep(settings.collect_seconds if is_over else min(BETWEEN_SECONDS, settings.collect_seconds))


async def collect(writer: Writer, depot: Depot, settings: Attachments, clock: Clock, after: str = "") -> str | None:
    """Do it once, behind a place; return behind which the next round goes on. None: there is nothing more that can go.

    What could not be deleted hides nothing behind it, however much it is.

    Raises:
        Failure: STORE, OVERLOADED, or UNAVAILABLE, as while the clock is in doubt: what goes does not come back when
            that is set right.
    """

    def forget(txn: Transaction) -> tuple[bool, list[str]]:
        clock()  # it may have been set since the round began
        return txn.attachments.forget(settings), txn.attachments.to_delete(after)

    with depot.clearing() as may:
        if not may:
            return None  # a backup copies them; they go in the next round
        more, places = await writer.write(forget)
        gone = []
        for place in places:
            # What cannot be deleted now stays noted, and keeps nothing else from it.
            with contextlib.suppress(Failure):
                await depot.discard(place)
                gone.append(place)
        if gone:
            await writer.write(lambda txn: txn.attachments.deleted(gone))
            # A call that was writing a part meanwhile has said that this must go too, while that was noted still.
            late = [place for place in gone if await asyncio.to_thread(_may_hold, depot, place)]
            if late:
                await writer.write(partial(_discard_again, late))
    if len(places) == SWEEP_ROWS:
        return places[-1]
    return "" if more else None


def _discard_again(places: Sequence[str], txn: Transaction) -> None:
    for place in places:
        txn.attachments.discard(place)


def _may_hold(depot: Depot, place: str) -> bool:
    try:
        return depot.holds(place)
    except Failure:
        return True
