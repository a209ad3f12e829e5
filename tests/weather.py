"""A small TCP proxy that is the weather between two ends: it cuts, delays, doubles, resets, swallows and narrows.

In: connections to one port of this machine. Out: their bytes to another port, as far as the weather lets them. It
lives on the event loop of the test, holds a bounded number of bytes, and its faults are set and lifted while
connections stand. It knows nothing of what the bytes mean.

    async with weather("127.0.0.1", inside) as sky:
        sky.black_hole = True      # bytes are taken and vanish; new connections stand and are silent
        sky.delay_seconds = 0.2    # each way
        sky.bytes_per_second = 1e5 # each way, each connection
        sky.stalled = True         # nothing is read any more: who sends fills his own buffers
        sky.duplicate_next()       # the next piece comes twice
        sky.reset()                # every connection ends with RST
        await sky.cut()            # every connection ends, new ones are refused ...
        await sky.mend()           # ... until here
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.federation import Federation, ports

PIECE_BYTES: Final = 16 << 10
PIECES_IN_FLIGHT: Final = 256
"""Delayed pieces of one way of one connection, at most: 4 MiB."""

HOST: Final = "127.0.0.1"


class Weather:
    """The weather between one port and another; counts what comes and goes.

    `accepted` counts connections; `up` and `down` count the bytes taken from the outer end and from the inner.
    """

    def __init__(self, inside: int, outside: int) -> None:
        self.inside = inside
        self.outside = outside
        self.black_hole = False
        self.delay_seconds = 0.0
        self.bytes_per_second: float | None = None
        self.accepted = 0
        self.up = 0
        self.down = 0
        self._duplicates = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()

    @property
    def open(self) -> int:
        """How many connections stand."""
        return len(self._links)

    @property
    def stalled(self) -> bool:
        """Whether nothing is read from either end."""
        return not self._flowing.is_set()

    @stalled.setter
    def stalled(self, value: bool) -> None:
        self._flowing.clear() if value else self._flowing.set()

    @property
    def duplicating(self) -> bool:
        """Whether a piece that is still to come will be sent twice."""
        return self._duplicates > 0

    def duplicate_next(self, pieces: int = 1) -> None:
        """Send the next pieces that come, on whichever connection, twice."""
        self._duplicates += pieces

    def reset(self) -> None:
        """End every connection with RST, both ends."""
        for link in list(self._links):
            link.end(abruptly=True)

    async def cut(self) -> None:
        """End every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in list(self._links):
            link.end(abruptly=False)
        await asyncio.gather(*(link.task for link in self._links), return_exceptions=True)

    async def mend(self) -> None:
        """Take connections again."""
        if self._server is None:
            self._server = await asyncio.start_server(self._take, HOST, self.outside, limit=PIECE_BYTES)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # it was accepted just before that was cut
            writer.transport.abort()
            return
        self.accepted += 1
        link = _Link(writer)
        link.task = asyncio.create_task(self._serve(link, reader, writer))
        self._links.add(link)

    async def _serve(self, link: "_Link", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # In a black hole it stands, and nobody is behind it; what is said meanwhile is lost.
            while self.black_hole and await reader.read(PIECE_BYTES):
                pass
            inner_reader, inner_writer = await asyncio.open_connection(HOST, self.inside, limit=PIECE_BYTES)
            link.writers.append(inner_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, inner_writer, "up"))
                both.create_task(self._carry(inner_reader, writer, "down"))
        except* OSError:
            # Whichever end broke it, both are told.
            pass
        finally:
            self._links.discard(link)
            link.end(abruptly=False)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        """Carry one way of one connection to its end."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PIECES_IN_FLIGHT)
        loop = asyncio.get_running_loop()

        async def read() -> None:
            while True:
                await self._flowing.wait()
                piece = await reader.read(PIECE_BYTES)
                setattr(self, way, getattr(self, way) + len(piece))
                await pieces.put((loop.time() + self.delay_seconds, piece))
                if not piece:
                    return

        async def write() -> None:
            while True:
                due, piece = await pieces.get()
                await asyncio.sleep(due - loop.time())
                if self.black_hole:
                    # Not even the end is seen on the other side.
                    if not piece:
                        await asyncio.Event().wait()
                    continue
                if not piece:
                    writer.write_eof()
                    return
                await self._flowing.wait()
                again, self._duplicates = (2, self._duplicates - 1) if self._duplicates else (1, 0)
                writer.write(piece * again)
                await writer.drain()
                if self.bytes_per_second is not None:
                    await asyncio.sleep(again * len(piece) / self.bytes_per_second)

        async with asyncio.TaskGroup() as both:
            both.create_task(read())
            both.create_task(write())


class _Link:
    """One connection: its outer end, and its inner one as soon as that stands."""

    task: asyncio.Task[None]

    def __init__(self, outer: asyncio.StreamWriter) -> None:
        self.writers = [outer]

    def end(self, *, abruptly: bool) -> None:
        """End both ends: with FIN, or with RST and without what was still to be sent."""
        for writer in self.writers:
            end = writer.get_extra_info("socket")
            if abruptly and end is not None and end.fileno() != -1:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort() if abruptly else writer.close()
        if self.task is not asyncio.current_task():
            self.task.cancel()


@asynccontextmanager
async def weather(inside: int, outside: int | None = None) -> AsyncIterator[Weather]:
    """Stand between `outside` (by default a free port of this test process) and `inside`."""
    sky = Weather(inside, outside or ports(1)[0])
    await sky.mend()
    try:
        yield sky
    finally:
        sky.reset()  # whoever reads nothing any more keeps nothing open
        await sky.cut()


@asynccontextmanager
async def weather_before(fed: Federation, code: str) -> AsyncIterator[Weather]:
    """Stand where the directory says that a node is; the node, not yet started, listens behind."""
    settings = fed.summary.config(f"{code}/node")
    endpoint = fed.directory.node(code).endpoint
    (inside,) = ports(1)
    _listen(settings, endpoint, f"{HOST}:{inside}")
    async with weather(inside, int(endpoint.rpartition(":")[2])) as sky:
        yield sky


def _listen(settings: Path, before: str, now: str) -> None:
    text = settings.read_text()
    if f'listen = "{before}"' not in text:
        raise AssertionError(f"{settings} does not listen on {before}")
    settings.write_text(text.replace(f'listen = "{before}"', f'listen = "{now}"', 1))
