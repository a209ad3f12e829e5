"""The log over HTTP: whoever follows it needs an address, a verifier key, and nothing of ours."""

import asyncio
import contextlib
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette

from gateway import checkpoint, merkle, tiles
from gateway.checkpoint import Checkpoint
from gateway.cli import web
from tests.federation import Federation, federation
from tests.processes import rogatory

pytestmark = pytest.mark.integration

ORIGIN = "ee.rogatory.test/log"


@asynccontextmanager
async def served(settings: Path) -> AsyncIterator[str]:
    """Serve a node's log from a process; yield its address."""
    process = await rogatory("serve-log", "--config", str(settings), "--listen", "127.0.0.1:0")
    try:
        async with asyncio.timeout(60):
            ready = (await process.stdout.readline()).decode().split()
        assert ready[:2] == ["ready", "ee"]
        yield f"http://{ready[2]}"
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await process.wait() == 0


@pytest.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed", start=["ee"]) as made:
        yield made


async def get(address: str, method: str = "GET") -> tuple[int, bytes]:
    def ask() -> tuple[int, bytes]:
        try:
            request = urllib.request.Request(address, method=method)  # noqa: S310  our own server's address
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  as above
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, b""

    return await asyncio.to_thread(ask)


async def newest(fed: Federation, log: str, covering: int) -> Checkpoint:
    keys = [key.public for key in fed.directory.node("ee").signing_keys]
    async with asyncio.timeout(20):
        while True:
            status, raw = await get(f"{log}/checkpoint")
            if status == 200:
                found, _ = checkpoint.read(raw, ORIGIN, keys)
                if found.size >= covering:
                    return found
            await asyncio.sleep(0.05)


async def test_log_is_followed_from_its_address_and_a_public_key(fed: Federation) -> None:
    async with served(fed.summary.config("ee/node")) as log:
        assert (await get(f"{log}/checkpoint"))[0] == 404
        for number in range(130):
            await fed.actor("ee/prosecutor").submit(fed.request(case_id=f"EE-{number}"))
        found = await newest(fed, log, 260)
        hashes: list[bytes] = []
        upper: list[bytes] = []
        for tile in tiles.of_size(found.size):
            status, content = await get(f"{log}/{tile.path}")
            assert status == 200
            (hashes if tile.level == 0 else upper).extend(tile.hashes(content))
        assert merkle.root(hashes) == found.root
        assert upper == [merkle.root(hashes[:256])]


async def test_nothing_is_served_that_no_checkpoint_covers_or_that_is_no_tile(fed: Federation) -> None:
    async with served(fed.summary.config("ee/node")) as log:
        await fed.actor("ee/prosecutor").submit(fed.request())
        size = (await newest(fed, log, 2)).size
        for path in (
            f"tile/0/000.p/{size + 1}",
            "tile/0/000",
            "tile/1/000.p/1",
            "tile/0/001.p/1",
            "tile/0/0.p/1",
            "tile/0/000.p/256",
            "tile/entries/000.p/1",
            "tile/../checkpoint",
            "",
            "store.db",
        ):
            assert (await get(f"{log}/{path}"))[0] == 404, path
        assert (await get(f"{log}/checkpoint", "POST"))[0] == 405
        assert (await get(f"{log}/tile/0/000.p/{size}"))[1] != b""


@pytest.mark.parametrize("said", [b"", b"GET /checkpoint HTTP/1.1\r\nHost: a\r\n"])
async def test_who_does_not_end_his_question_is_cut_off(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(web.Brief, "seconds", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = web.Server(Starlette(), "ready")
        serving = asyncio.create_task(server.serve([sock]))
        reader, writer = await asyncio.open_connection(*sock.getsockname()[:2])
        writer.write(said)
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
        server.should_exit = True
        await serving
