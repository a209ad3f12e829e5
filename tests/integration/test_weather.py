"""The weather of the other tests does what it says; else they would prove nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.federation import UNTIL_SECONDS, ports, until
from tests.weather import HOST, PIECE_BYTES, Weather, weather

pytestmark = pytest.mark.integration


class Echo:
    """Says everything again, and keeps what it heard."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.ended = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(PIECE_BYTES):
                self.heard += piece
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.ended += 1
            writer.close()


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[Weather, Echo]]:
    there, (port,) = Echo(), ports(1)
    server = await asyncio.start_server(there.serve, HOST, port)
    try:
        async with weather(port) as sky:
            yield sky, there
    finally:
        server.close()


@asynccontextmanager
async def calling(sky: Weather) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, sky.outside)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_fair_weather_changes_nothing() -> None:
    said = bytes(range(256)) * 4096
    async with echo() as (sky, there), calling(sky) as (reader, writer):
        writer.write(said)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(-1), UNTIL_SECONDS) == said
        assert (bytes(there.heard), sky.accepted, sky.up, sky.down) == (said, 1, len(said), len(said))


async def test_black_hole_takes_everything_and_gives_nothing_back() -> None:
    async with echo() as (sky, there), calling(sky) as (reader, writer):
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        sky.black_hole = True
        writer.write(b"lost")
        await until(lambda: sky.up == 10)
        async with calling(sky) as (_, other):
            other.write(b"lost too")
            await until(lambda: sky.accepted == 2)
            sky.black_hole = False
            writer.write(b"after")
            assert await reader.readexactly(5) == b"after"
        assert bytes(there.heard) == b"beforeafter"


async def test_stalled_line_keeps_everything_and_holds_a_bounded_part_of_it() -> None:
    said = bytes(64 << 20)
    async with echo() as (sky, there), calling(sky) as (reader, writer):
        sky.stalled = True
        writer.write(said)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.2)
        assert sky.up <= 2 * PIECE_BYTES
        assert not there.heard
        sky.stalled = False
        assert await asyncio.wait_for(reader.readexactly(len(said)), 60) == said


async def test_piece_comes_twice() -> None:
    async with echo() as (sky, _), calling(sky) as (reader, writer):
        sky.duplicate_next()
        writer.write(b"twice")
        assert await reader.readexactly(10) == b"twicetwice"


async def test_delay_and_narrow_line_take_their_time() -> None:
    loop = asyncio.get_running_loop()
    async with echo() as (sky, _), calling(sky) as (reader, writer):
        sky.delay_seconds, since = 0.2, loop.time()
        writer.write(b"slow")
        await reader.readexactly(4)
        assert loop.time() - since >= 0.4
        sky.delay_seconds, sky.bytes_per_second, since = 0.0, 1e6, loop.time()
        writer.write(bytes(500_000))
        await reader.readexactly(500_000)
        assert loop.time() - since >= 0.4


async def test_reset_is_seen_as_one_at_both_ends() -> None:
    async with echo() as (sky, there), calling(sky) as (reader, writer):
        writer.write(b"x")
        await reader.readexactly(1)
        sky.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        await until(lambda: there.ended == 1)
        assert sky.open == 0


async def test_cut_line_refuses_until_it_is_mended() -> None:
    async with echo() as (sky, _), calling(sky) as (reader, writer):
        writer.write(b"x")
        await reader.readexactly(1)
        await sky.cut()
        assert await reader.read(1) == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, sky.outside)
        await sky.mend()
        async with calling(sky) as (again, more):
            more.write(b"y")
            assert await again.readexactly(1) == b"y"
