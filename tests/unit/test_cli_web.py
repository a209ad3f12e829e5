"""Where a web server of ours cannot listen, it says why, and listens nowhere else; nobody keeps others out of it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway.cli import web
from gateway.errors import ErrorCode, Refusal


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("nowhere", "HOST:PORT is wanted"),
        ("127.0.0.1:http", "HOST:PORT is wanted"),
        ("127.0.0.1:99999", "HOST:PORT is wanted"),  # modulo 65536 it would be 34463
        ("192.0.2.1:80", "Cannot assign requested address"),
    ],
)
def test_place_that_is_none_is_refused_with_the_reason(listen: str, why: str) -> None:
    with pytest.raises(Refusal) as caught:
        web._listening(listen)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "listen")
    assert caught.value.detail == f"cannot listen on {listen}: {why}"


def test_port_that_is_taken_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Refusal, match="Address already in use"):
            web._listening(listen)


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = web.Server(app, "ready")
        task = asyncio.create_task(server.serve([sock]))
        try:
            yield sock.getsockname()[:2]
        finally:
            server.should_exit = True
            await task


async def said(where: tuple[str, int], head: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*where)
    writer.write(head)
    return reader, writer


QUESTION = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nto"],
    ids=["nothing", "half a head", "half a form"],
)
async def test_whoever_does_not_ask_makes_room_for_whoever_does(head: bytes) -> None:
    async def answer(request: Request) -> PlainTextResponse:
        await request.body()
        return PlainTextResponse("yes")

    async with serving(Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])) as where:
        flood = [await said(where, head) for _ in range(web.CONNECTIONS + 20)]
        async with asyncio.timeout(10):
            for reader, _ in flood[:20]:
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
            reader, asking = await said(where, QUESTION)
            assert (await reader.readline()).split()[1] == b"200"
        for writer in (asking, *(writer for _, writer in flood)):
            writer.close()


async def test_whoever_has_asked_is_not_cut_off_for_whoever_comes() -> None:
    asked, may_answer = asyncio.Semaphore(0), asyncio.Event()

    async def answer(_: Request) -> PlainTextResponse:
        asked.release()
        await may_answer.wait()
        return PlainTextResponse("yes")

    async with serving(Starlette(routes=[Route("/", answer)])) as where, asyncio.timeout(10):
        waiting = [await said(where, QUESTION) for _ in range(web.CONNECTIONS)]
        for _ in waiting:
            await asked.acquire()
        reader, one_more = await said(where, QUESTION)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        may_answer.set()
        for reader, writer in waiting:
            assert (await reader.readline()).split()[1] == b"200"
            writer.close()
        one_more.close()


async def test_nonsense_of_strangers_writes_nothing_where_the_server_runs(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Starlette()) as where, asyncio.timeout(10):
        for nonsense in (b"\x16\x03\x01\r\n\r\n", QUESTION.replace(b"close", b"upgrade\r\nUpgrade: websocket")):
            reader, writer = await said(where, nonsense)
            assert (await reader.readline()).split()[1] in {b"400", b"404"}
            writer.close()
    assert not caplog.records
