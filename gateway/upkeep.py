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

Mirrors: TypeAlias = Callable[[Trusted], Mapping[str, bytes] | None]
"""Asks other nodes for a newer directory than this; called in a thread."""

Stamp: TypeAlias = tuple[tuple[int, int, int], ...]

NOTHING_THERE: Final = (0, 0, 0)

diagnostics = logging.getLogger("gateway.upkeep")


class Upkeep:
    """Looks, again and again, whether there is something newer, and takes it if it fits."""

    def __init__(
        self,
        started: NodeMaterial,
        clock: Clock,
        own_list: OwnList = lambda: None,
        mirrors: Mirrors = lambda _: None,
    ) -> None:
        """Prepare it.

        Args:
            started: what the node started with.
            clock: time.
            own_list: gives the node's own list.
            mirrors: ask other nodes.
        """
        self.material = started
        self._clock = clock
        self._own_list = own_list
        self._mirrors = mirrors
        self._stamp = _stamp(started)
        self._looking = asyncio.Lock()
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

    async def look(self) -> None:
        """Look now. When this returns, what was found is in force."""
        async with self._looking:
            before = self.material
            self.material = await asyncio.to_thread(self._newest, before)
            for changed in self._listeners:
                changed(before, self.material)

    def _newest(self, before: NodeMaterial) -> NodeMaterial:
        now = self._clock()
        config, holdings = self._held(before)
        trusted = self._trusted(before, config)
        try:
            fitting = material.fit_node(config, holdings, trusted, now, before.path)
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

    def _trusted(self, before: NodeMaterial, config: NodeConfig) -> Trusted:
        try:
            trusted = client.load(config.directory, self._clock())
        except GatewayError as error:
            self._tell("directory", error)
            trusted = before.trusted
        else:
            self._well("directory")
        mirrored = self._mirrors(trusted)
        if mirrored is not None:
            try:
                trusted = client.load(config.directory, self._clock(), mirrored)
            except GatewayError as error:
                self._tell("mirror", error)
        own = self._own_list()
        return trusted if own is None else trusted.with_own(own)

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
