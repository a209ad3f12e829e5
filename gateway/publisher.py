"""The node that publishes for all: takes the nodes' lists, and says again and again which directory is the newest.

In: lists as their nodes signed them, the publisher's key, the repository's folder, the time. Out: a newer directory in
that folder. What founders propose and sign is not its business: `rogatory federation publish` takes that over. Both may
run at once, see `Files.alone`. Refuses with BAD_DIRECTORY a list that no reader would take.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from gateway import config, keys
from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.hidden import Passphrase
from gateway.trust.lists import SignedList
from gateway.trust.repository import Repository

LONGEST_PAUSE_SECONDS: Final = 60.0
"""A machine that slept, or whose clock was set, finds out within a minute."""

LEAST_PAUSE_SECONDS: Final = 0.05
"""What could not be signed is tried again, but not in a hot loop."""

AGAIN_SECONDS: Final = 5.0
"""After a failure, e.g. a full disk."""

diagnostics = logging.getLogger("gateway.publisher")


class Publisher:
    """Publishes for all.

    Args:
        settings: where key and repository lie, and for how long what is published counts.
        passphrase: of the key file; None if it is plain.
        clock: time.
        pause: waits for so many seconds.

    Raises:
        Refusal: KEY_FILE.
        Failure: UNAVAILABLE, there is no memory to open the key.
    """

    def __init__(
        self,
        settings: config.Publisher,
        passphrase: Passphrase | None,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._repository = Repository(settings.repository)
        self._key = keys.load_signing_key(settings.key, passphrase)
        self._life = timedelta(hours=settings.timestamp_hours)
        self._clock = clock
        self._pause = pause

    def check(self) -> None:
        """Check that it could publish, and write nothing; to be called in a thread.

        Raises:
            Refusal: as `Repository.check_publisher`.
        """
        self._repository.check_publisher(self._key)

    def accept(self, signed: SignedList, now: datetime) -> int:
        """Publish a node's list; returns once it is published. To be called in a thread.

        Returns:
            Version of the list that is published now; a newer one than was offered, if that came late.

        Raises:
            Refusal: BAD_DIRECTORY, as `Repository.accept_list`; BAD_INPUT, the repository cannot be written, or the
                key is not the publisher's.
        """
        published = self._repository.list_version(signed.code)
        if signed.version < published:
            return published
        self._repository.accept_list(signed, now)
        self.renew(now)
        return self._repository.list_version(signed.code)

    def renew(self, now: datetime) -> datetime:
        """Sign anew what is published, if that is due; return when it is next. To be called in a thread.

        Raises:
            Refusal: as `Repository.renew`.
        """
        return self._repository.renew(self._key, now, self._life)

    async def run(self) -> None:
        """Renew what is published, halfway through its life, until cancelled."""
        while True:
            await self._pause(await self._renew())

    async def _renew(self) -> float:
        """Renew it if that is due; return how many seconds to wait."""
        try:
            due = await asyncio.to_thread(self.renew, self._clock())
        except (GatewayError, OSError) as error:
            # The directory goes on until its timestamp expires; every reader warns before that.
            diagnostics.error("cannot publish", extra={"detail": str(error)})
            return min(AGAIN_SECONDS, max(LEAST_PAUSE_SECONDS, self._life.total_seconds() / 4))
        pause = (due - self._clock()).total_seconds()
        return min(max(pause, LEAST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
