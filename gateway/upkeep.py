"""Keeps up to date what a node started from: the directory, its own keys and certificate.

In: what it started with, the files that this came from, and the node's own list if it has one. Out: the material in
force, and word to whoever rests on it. Nothing that does not fit takes the place of what does: a file that is refused
is told to the operator, and what is in use stays until it ends by itself. What the directory says counts all the same.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

from tuf.ngclient import FetcherInterface

from gateway import config as configuration
from gateway import material
from gateway.clock import Clock
from gateway.config import NodeConfig
from gateway.directory import Directory, KeyName
from gateway.errors import GatewayError
from gateway.material import NodeMaterial
from gateway.trust import client
from gateway.trust.client import Trusted
from gateway.trust.fetch import MemoryFetcher, SilentFetcher
from gateway.trust.lists import SignedList

OwnList: TypeAlias = Callable[[], SignedList | None]
"""Gives the node's own newest list, published or not; called in a thread."""

PATIENCE_SECONDS: Final = 3.0
"""For news of a key; then it is put off."""

FETCH_SECONDS: Final = 20.0
"""For what is published; news of other nodes does not wait for it."""

BETWEEN_LOOKS_SECONDS: Final = 1.0

Stamp: TypeAlias = tuple[tuple[int, int, int], ...]

NOTHING_THERE: Final = (0, 0, 0)

diagnostics = logging.getLogger("gateway.upkeep")


class Upkeep:
    """Looks, again and again, whether there is something newer, and takes it if it fits."""

    def __init__(self, started: NodeMaterial, clock: Clock, own_list: OwnList = lambda: None) -> None:
        """Prepare it.

        Args:
            started: what the node started with.
            clock: time.
            own_list: gives the node's own list.
        """
        self.material = started
        self._published = started.trusted
        self._clock = clock
        self._own_list = own_list
        self._stamp = _stamp(started)
        # Reading may wait for a server; what is known here already must not wait for that.
        self._reading, self._applying = asyncio.Lock(), asyncio.Lock()
        self._fetching: tuple[datetime, asyncio.Task[FetcherInterface]] | None = None
        self._newest_at = started.trusted.checked
        self._coming: asyncio.Task[None] | None = None
        self._next_look = 0.0
        self._told = {warning: warning for warning in started.warnings}
        self._listeners: list[Callable[[NodeMaterial, NodeMaterial], None]] = []

    def directory(self) -> Directory:
        """Return the directory in force."""
        return self.material.directory

    def listen(self, changed: Callable[[NodeMaterial, NodeMaterial], None]) -> None:
        """Have somebody told on the event loop, after each look, what was in force and what is."""
        self._listeners.append(changed)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self.material.config.directory.refresh_seconds)
            with survived("upkeep"):
                await self.look()

    def close(self) -> None:
        """Look no more; a read that still waits for its server is left to itself."""
        for task in (self._coming, self._fetching[1] if self._fetching is not None else None):
            if task is not None:
                task.cancel()

    async def look(self, mirror: Mapping[str, bytes] | None = None) -> None:
        """Look now; when this returns, what was found is in force.

        Args:
            mirror: the directory as another node handed it out, instead of what is published.
        """
        began, fetched = await self._fetch() if mirror is None else (None, MemoryFetcher(mirror))
        async with self._reading:
            found = await asyncio.to_thread(self._read, fetched, "directory" if mirror is None else "mirror")
            if began is not None and found.problem is None:
                # What was published then, and nothing later; what another node holds may be older still.
                self._newest_at = began
            self._published = found
        await self.apply()

    async def know(self, keys: Collection[KeyName]) -> frozenset[KeyName]:
        """Look if one of these keys is unknown; return those of which it still cannot be said that they are none.

        A key may be newer than what this node knows. What is signed with one is refused only by a directory that was
        found to be the newest after it came.
        """
        unknown = self._unknown(keys)
        if not unknown:
            return unknown
        asked = self._clock()
        if self._coming is None or self._coming.done():
            self._coming = asyncio.create_task(self._look_soon())
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.shield(self._coming)
        return self._unknown(unknown) if self._newest_at < asked else frozenset()

    def _unknown(self, keys: Collection[KeyName]) -> frozenset[KeyName]:
        directory = self.directory()
        return frozenset(name for name in keys if not directory.lists(name))

    async def _look_soon(self) -> None:
        """Look, but not more often than once in a while: whoever makes keys up must not keep us busy."""
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, self._next_look - now))
        self._next_look = asyncio.get_running_loop().time() + BETWEEN_LOOKS_SECONDS
        with survived("upkeep"):
            await self.look()

    async def apply(self) -> None:
        """Put in force what is here already: the node's own list, its settings, its files."""
        async with self._applying:
            before = self.material
            self.material = await asyncio.to_thread(self._newest, before)
            for changed in self._listeners:
                changed(before, self.material)

    def _newest(self, before: NodeMaterial) -> NodeMaterial:
        config, holdings = self._held(before)
        own = self._own_list()
        trusted = self._published if own is None else self._published.with_own(own)
        try:
            published = self._published.directory
            fitting = material.fit_node(config, holdings, trusted, self._clock(), before.path, published)
        except GatewayError as error:
            # Our certificate may have ended, or we ourselves be out: whom the directory revokes is out nonetheless.
            self._tell("material", error)
            return replace(
                before, directory=trusted.directory, trusted=trusted, directory_expires=trusted.expires, warnings=()
            )
        self._well("material")
        for warning in fitting.warnings:
            self._tell(warning, warning)
        return fitting

    def _held(self, before: NodeMaterial) -> tuple[NodeConfig, material.Holdings]:
        """Return settings and holdings; read again if a file has changed: opening keys takes its time."""
        stamp = _stamp(before)
        if stamp == self._stamp:
            return before.config, before.holdings
        try:
            config = before.config if before.path is None else configuration.load(NodeConfig, before.path)
            holdings = material.hold(config)
        except GatewayError as error:
            self._tell("settings", error)
            return before.config, before.holdings
        self._well("settings")
        # Only now: what was refused may be put right in a file that is not among these.
        self._stamp = stamp
        return config, holdings

    async def _fetch(self) -> tuple[datetime, FetcherInterface]:
        """Read what is published, and say when that began.

        A server that takes too long is one that does not answer, and is waited for once.
        """
        if self._fetching is None or self._fetching[1].done():
            source, now = self.material.config.directory, self._clock()
            self._fetching = now, asyncio.create_task(asyncio.to_thread(client.fetch, source, now))
        began, fetching = self._fetching
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                return began, await asyncio.shield(fetching)
        except TimeoutError:
            return began, SilentFetcher(f"the server has not answered within {FETCH_SECONDS:g} seconds")

    def _read(self, fetched: FetcherInterface, what: str) -> Trusted:
        try:
            found = client.load_from(fetched, self.material.config.directory, self._clock())
        except GatewayError as error:
            self._tell(what, error)
            return self._published
        if what == "mirror" and found.problem is not None:
            self._tell(what, found.problem)
            return self._published
        self._well(what)
        return found

    def _tell(self, what: str, news: object) -> None:
        """Tell the operator once, and again when it is something else."""
        if self._told.get(what) != str(news):
            self._told[what] = str(news)
            diagnostics.warning("upkeep", extra={"about": what, "detail": str(news)})

    def _well(self, what: str) -> None:
        self._told.pop(what, None)


@contextmanager
def survived(what: str) -> Iterator[None]:
    """Go on after an error that nobody foresaw: what must run for ever does not end because a disk was full once."""
    try:
        yield
    except Exception:  # noqa: BLE001  logged whole
        diagnostics.exception("unforeseen error", extra={"about": what})


def _stamp(held: NodeMaterial) -> Stamp:
    """Return what tells whether one of the files has changed."""
    config = held.config
    paths = [held.path, config.certificate, config.tls_key, config.passphrase_file, *config.signing_keys]
    if config.hsm is not None:
        paths.append(config.hsm.pin_file)
    return tuple(_look_at(path) for path in paths if path is not None)


def _look_at(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return NOTHING_THERE
    return found.st_mtime_ns, found.st_size, found.st_ino
