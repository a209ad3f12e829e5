"""News between the processes of one node that share an SQLite file: which destinations have something new.

In: destinations, after a commit. Out: the same at every other process. One datagram socket a process, in a folder
beside the file; what is sent rests on nothing and proves nothing, for whoever wakes looks into the store. A process
that does not listen delays nobody: what could not be said to it is made up for with the next commit.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

MAX_BYTES: Final = 4096
RETRY_SECONDS: Final = 0.5
EVERYBODY: Final = b"*"
"""Stands for too many to name, or for what was not said before."""

diagnostics = logging.getLogger("gateway.store")


class Bells:
    """The bells beside one file.

    Args:
        store: the file.
    """

    def __init__(self, store: Path) -> None:
        self._folder = store.with_name(f"{store.name}-bells")
        self._name = uuid4().hex
        self._missed: set[str] = set()

    def ring(self, destinations: Collection[str]) -> None:
        """Tell all other processes; never waits, never raises. Called in the writer's thread, after its commit."""
        if not destinations and not self._missed:
            return
        try:
            others = [name for name in os.listdir(self._folder) if name != self._name]  # noqa: PTH208  each commit
        except OSError:
            return  # nobody has ever listened
        self._missed.intersection_update(others)
        if others:
            said = " ".join(sorted(destinations)).encode()
            said = said if len(said) <= MAX_BYTES else EVERYBODY
            try:
                with _at(self._folder) as place, _socket() as ringing:
                    for name in others:
                        self._tell(ringing, place, name, said)
            except OSError:
                # The folder has just gone with the last one who listened, or too many files are open. What was
                # committed is committed, and whoever waits for that must not hear that it failed.
                self._missed.update(others)

    async def listen(self, ring: Callable[[set[str] | None], None]) -> None:
        """Tell what others ring, until cancelled; None: everybody."""
        while True:
            try:
                with self._bell() as bell:
                    await _hear(bell, ring)
            except OSError as error:
                # The folder has just been removed by the last one who left, or the disk is full or away.
                diagnostics.info("listening to other processes failed", extra={"detail": str(error)})
                await asyncio.sleep(RETRY_SECONDS)

    @contextlib.contextmanager
    def _bell(self) -> Iterator[socket.socket]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with _socket() as bell:
            with _at(self._folder) as place:
                bell.bind(f"{place}/{self._name}")
            try:
                yield bell
            finally:
                with contextlib.suppress(OSError):  # the others are there still
                    (self._folder / self._name).unlink(missing_ok=True)
                    self._folder.rmdir()

    def _tell(self, ringing: socket.socket, place: str, name: str, said: bytes) -> None:
        said = EVERYBODY if name in self._missed else said
        if not said:
            return
        try:
            ringing.sendto(said, f"{place}/{name}")
            self._missed.discard(name)
        except ConnectionRefusedError:
            # It ended without a word.
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()
        except BlockingIOError:
            self._missed.add(name)
        except FileNotFoundError:
            pass  # it has just ended


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)


@contextlib.contextmanager
def _at(folder: Path) -> Iterator[str]:
    """Yield a short way to a folder: the path of a socket has 107 bytes at most."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{opened}"
    finally:
        os.close(opened)


async def _hear(bell: socket.socket, ring: Callable[[set[str] | None], None]) -> None:
    loop = asyncio.get_running_loop()
    loop.add_reader(bell, _take, bell, ring)
    try:
        # What was committed before, nobody could tell us.
        ring(None)
        await asyncio.Event().wait()
    finally:
        loop.remove_reader(bell)


def _take(bell: socket.socket, ring: Callable[[set[str] | None], None]) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            said = bell.recv(MAX_BYTES)
            ring(None if said == EVERYBODY else set(said.decode().split()))
