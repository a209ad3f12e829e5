"""Keeps up to date what a node started from: the directory, its own keys and certificate, its country's policy.

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
from gateway.threads import to_its_end
from gateway.trust import client
from gateway.trust.client import Trusted
from gateway.trust.fetch import MemoryFetcher, SilentFetcher
from gateway.trust.lists import SignedList

OwnList: TypeAlias = Callable[[Trusted], SignedList | None]
"""Gives the node's own newest list, published or not, beside what is published; called in a thread."""

PATIENCE_SECONDS: Final = 3.0
"""For news of a key; then it is put off."""

FETCH_SECONDS: Final = 20.0
"""For what is published; news of other nodes does not wait for it."""

BETWEEN_LOOKS_SECONDS: Final = 1.0

Stamp: TypeAlias = tuple[int, int, int]
"""Of a file: tells whether it is another one by now."""

NOTHING_THERE: Final = (0, 0, 0)

diagnostics = logging.getLogger("gateway.upkeep")


class Upkeep:
    """Looks, again and again, whether there is something newer, and takes it if it fits."""

    def __init__(self, started: NodeMaterial, clock: Clock, own_list: OwnList = lambda _: None) -> None:
        """Prepare it.

        Args:
            started: what the node started with.
            clock: time.
            own_list: gives the node's own list.
        """
        self.material = started
        self._published = started.trusted
        # As read last, whether it fits or not: it may fit as soon as the directory says so.
        self._config, self._holdings = started.config, started.holdings
        self._stamps = _look_at(started.path), _stamps(started.config)
        self._clock = clock
        self._own_list = own_list
        self._own: SignedList | None = None
        # Reading may wait for a server; what is known here already must not wait for that.
        self._reading, self._applying = asyncio.Lock(), asyncio.Lock()
        self._fetching: tuple[datetime, asyncio.Task[FetcherInterface]] | None = None
        self._newest_at = started.trusted.checked
        self._coming: asyncio.Task[None] | None = None
        self._next_look = 0.0
        self._told: dict[str, str] = {}
        self._warned = frozenset(started.warnings)
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

    async def close(self) -> None:
        """Look no more; a read that still waits for its server is left to itself."""
        if self._fetching is not None:
            self._fetching[1].cancel()
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)

    async def look(self, mirror: Mapping[str, bytes] | None = None) -> None:
        """Look now; when this returns, what was found is in force.

        Args:
            mirror: the directory as another node handed it out, instead of what is published.
        """
        began, fetched = await self._fetch() if mirror is None else (None, MemoryFetcher(mirror))
        async with self._reading:
            found = await asyncio.to_thread(self._read, fetched, "directory" if mirror is None else "mirror")
            if found is not None:
                self._published = found
                if began is not None and found.problem is None:
                    # What was published then, and nothing later; what another node holds may be older still.
                    self._newest_at = began
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
            # It asks the store, which is closed next.
            self.material = await to_its_end(self._newest, before)
            for changed in self._listeners:
                changed(before, self.material)

    def _newest(self, before: NodeMaterial) -> NodeMaterial:
        self._read_holdings(before.path)
        try:
            self._own = self._own_list(self._published)
        except Exception as error:  # noqa: BLE001  told; while the store is away, what is published counts all the same
            self._tell("own list", error)
        else:
            self._well("own list")
        trusted = self._published if self._own is None else self._published.with_own(self._own)
        try:
            published = self._published.directory
            fitting = material.fit_node(self._config, self._holdings, trusted, self._clock(), before.path, published)
        except GatewayError as error:
            # Our certificate may have ended, or we ourselves be out: whom the directory revokes is out nonetheless.
            self._tell("material", error)
            return replace(
                before, directory=trusted.directory, trusted=trusted, directory_expires=trusted.expires, warnings=()
            )
        self._well("material")
        for warning in fitting.warnings:
            if warning not in self._warned:
                diagnostics.warning("upkeep", extra={"about": "material", "detail": warning})
        # What comes again is told again; and what is over need not be remembered for as long as the process runs.
        self._warned = frozenset(fitting.warnings)
        return fitting

    def _read_holdings(self, path: Path | None) -> None:
        """Read settings, keys, certificate and policy again if a file has changed: opening keys takes its time."""
        settings = _look_at(path)
        if (settings, _stamps(self._config)) == self._stamps:
            return
        try:
            config = self._config if path is None else configuration.load(NodeConfig, path)
            # Before they are read: what changes meanwhile is seen the next time.
            files = _stamps(config)
            self._holdings = material.hold(config)
        except GatewayError as error:
            # The stamps stay: what was refused may be put right in a file that is not among these.
            self._tell("settings", error)
            return
        self._well("settings")
        self._config, self._stamps = config, (settings, files)

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

    def _read(self, fetched: FetcherInterface, what: str) -> Trusted | None:
        """Return what was read; None if that says nothing new."""
        try:
            found = client.load_from(fetched, self.material.config.directory, self._clock())
        except GatewayError as error:
            self._tell(what, error)
            return None
        if what == "mirror" and found.problem is not None:
            self._tell(what, found.problem)
            return None
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
    """Go on after an error, and tell it: what must run for ever does not end because a disk was full once."""
    try:
        yield
    except GatewayError as error:
        diagnostics.warning("failed", extra={"about": what, "code": error.code.name, "detail": error.detail})
    except Exception:  # noqa: BLE001  logged whole
        diagnostics.exception("unforeseen error", extra={"about": what})


def _stamps(config: NodeConfig) -> tuple[Stamp, ...]:
    """Return the stamps of the files that settings name."""
    named = [config.certificate, config.tls_key, config.passphrase_file, config.policy, *config.signing_keys]
    return tuple(map(_look_at, [*named, config.hsm.pin_file if config.hsm is not None else None]))


def _look_at(path: Path | None) -> Stamp:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        found = None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found is not None else NOTHING_THERE
