"""Keeps up to date what a node started from: the directory, its own keys and certificate.

In: what it started with, the files that this came from, and the node's own list if it has one. Out: the material in
force, and word to whoever rests on it. Nothing that does not fit takes the place of what does: a file that is refused
is told to the operator, and what is in use stays until it ends by itself. What the directory says counts all the same.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from gateway import config as configuration
from gateway import material
from gateway.clock import Clock
from gateway.config import NodeConfig
from gateway.directory import Directory
from gateway.errors import GatewayError
from gateway.material import NodeMaterial
from gateway.trust import client
from gateway.trust.client import Trusted
from gateway.trust.lists import SignedList

OwnList: TypeAlias = Callable[[], SignedList | None]
"""Gives the node's own newest list, published or not; called in a thread."""

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
            await self.look()

    async def look(self, mirror: Mapping[str, bytes] | None = None) -> None:
        """Look now; when this returns, what was found is in force.

        Args:
            mirror: the directory as another node handed it out, instead of what is published.
        """
        async with self._reading:
            self._published = await asyncio.to_thread(self._read, mirror)
        await self.apply()

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
            fitting = material.fit_node(config, holdings, trusted, self._clock(), before.path)
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
        self._stamp = stamp
        try:
            config = before.config if before.path is None else configuration.load(NodeConfig, before.path)
            holdings = material.hold(config)
        except GatewayError as error:
            self._tell("settings", error)
            return before.config, before.holdings
        self._well("settings")
        return config, holdings

    def _read(self, mirror: Mapping[str, bytes] | None) -> Trusted:
        what = "directory" if mirror is None else "mirror"
        try:
            found = client.load(self.material.config.directory, self._clock(), mirror)
        except GatewayError as error:
            self._tell(what, error)
            return self._published
        if mirror is not None and found.problem is not None:
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
