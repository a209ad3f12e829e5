"""Rounds: what a node does again and again, whether anybody calls or not.

In: the store and a clock. Out: copies that expired, leases that came back, time limits that rang; and a signed
checkpoint over what is logged. Files are `housekeeping`'s, and other nodes `neighbours`'.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Final

from gateway import deliver, timekeeper
from gateway.clock import SteadyClock
from gateway.config import Delivery
from gateway.doors.entrance import Bell
from gateway.errors import GatewayError
from gateway.policy import Policy
from gateway.receipt import Scribe
from gateway.signer import Signer
from gateway.store import Reader, Transaction, Writer
from gateway.upkeep import survived

INTEGRATE_SECONDS: Final = 0.5  # half of what docs/log.md promises


async def sweep(
    writer: Writer,
    scribe: Scribe,
    bell: Bell,
    settings: Delivery,
    policy: Callable[[], Policy],
    clock: SteadyClock,
    watch: Callable[[str], None],
) -> None:
    """Expire, take back and let time limits ring, again and again, while the clock can be believed."""

    def job(txn: Transaction) -> None:
        clock()  # it may have been set since the sweep began
        expired = deliver.sweep(txn)
        for settled in expired:
            scribe.expired(settled, txn)
        if expired:
            watch("swept")

    def ring(txn: Transaction) -> None:
        clock()
        if timekeeper.ring(scribe, txn, policy()):
            watch("rung")

    steps = -1
    while True:
        # A store that cannot be written now says so to every caller; the sweep just comes again.
        with contextlib.suppress(GatewayError):
            clock()
            if steps != clock.steps:
                # At the start too: nobody knows what the clock did meanwhile.
                righted = await writer.write(lambda txn: deliver.set_right(txn, settings))
                # Who waits does so by the time that it was.
                if righted or clock.steps:
                    bell.ring_all()
                steps = clock.steps
            await writer.write(job)
            # By itself: what it cannot word must not keep anything from being delivered.
            with survived("the time limits"):
                await writer.write(ring)
        await asyncio.sleep(settings.sweep_seconds)


async def integrate(
    writer: Writer, reader: Reader, first: str, key: Callable[[], Signer], lost: Callable[[], Collection[bytes]]
) -> None:
    """Sign a checkpoint over what is logged, within a second of it; and anew, if it was with a key that is lost.

    Args:
        writer: of the store.
        reader: of the store.
        first: the origin of the log, unless it has one already.
        key: signs.
        lost: gives the node's keys that are not trusted any more.
    """
    while True:
        with survived("the log"):
            signer, gone = key(), lost()
            # With nothing else to sign with, a checkpoint would be signed anew without end.
            await _sign(writer, reader, first, signer, () if signer.public_key in gone else gone)
        await asyncio.sleep(INTEGRATE_SECONDS)


async def _sign(writer: Writer, reader: Reader, first: str, signer: Signer, lost: Collection[bytes]) -> None:
    if await reader.log(lambda view: view.lacks(view.origin(first), lost)):
        await writer.write(lambda txn: txn.checkpoint(first, signer, lost), weight=0)
