"""Figures for whoever scrapes them, as Prometheus does: plain HTTP, `GET /metrics`, and nothing else.

In: an address, and what writes the text. Out: a small HTTP server of this process's own, without TLS and without
names: a scraper has no certificate of the federation, and only the scraper may reach the address. Bounded: so many
connections at once, so many bytes of a request, so many seconds for all of it; the figures are put together once a
second at most, however many ask. Refuses with BAD_CONFIG an address that cannot be used.

Source: RFC 9112; the text format of Prometheus, version 0.0.4.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.errors import ErrorCode, Refusal

AT_ONCE: Final = 8
"""Connections; more are hung up on."""

REQUEST_BYTES: Final = 8 << 10
SECONDS: Final = 10.0
"""For one connection, all in all."""

FRESH_SECONDS: Final = 1.0
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_END: Final = b"\r\n\r\n"


class ScrapeDoor:
    """Answers scrapers for one process.

    Args:
        figures: puts them together; called in a thread.
    """

    def __init__(self, figures: Callable[[], bytes]) -> None:
        self._figures = figures
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._one = asyncio.Lock()
        self._made = b""
        self._until = 0.0

    async def open(self, listen: str) -> int:
        """Listen, and return the port.

        Raises:
            Refusal: BAD_CONFIG.
        """
        host, _, port = listen.rpartition(":")
        try:
            self._server = await asyncio.start_server(
                self._serve, host.strip("[]"), int(port), limit=REQUEST_BYTES, reuse_port=False
            )
        except (OSError, OverflowError) as error:
            raise Refusal(ErrorCode.BAD_CONFIG, f"cannot listen on {listen}", "telemetry.prometheus") from error
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.close()
        # Their tasks end by it; asyncio would log each that is cancelled.
        for writer in self._open.values():
            writer.transport.abort()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._open) >= AT_ONCE:
            writer.transport.abort()
            return
        self._open[task] = writer
        try:
            # Whoever is slow, sends too much or goes away is no scraper.
            with suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(SECONDS):
                    head = await reader.readuntil(_END)
                    writer.write(await self._answer(head))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            del self._open[task]
            writer.transport.abort()

    async def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != len(("method", "target", "version")) or not words[2].startswith(b"HTTP/1."):
            return _response("400 Bad Request")
        method, path = words[0], words[1].partition(b"?")[0]
        if path != b"/metrics":
            return _response("404 Not Found")
        if method != b"GET":
            return _response("405 Method Not Allowed", extra="Allow: GET\r\n")
        return _response("200 OK", await self._fresh(), CONTENT_TYPE)

    async def _fresh(self) -> bytes:
        async with self._one:
            now = asyncio.get_running_loop().time
            if now() >= self._until:
                self._made = await asyncio.to_thread(self._figures)
                self._until = now() + FRESH_SECONDS
            return self._made


def _response(status: str, body: bytes = b"", kind: str = "text/plain", extra: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n{extra}Connection: close\r\n\r\n"
    )
    return head.encode() + body
