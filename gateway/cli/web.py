"""Serves HTTP from a process of its own, within limits, until SIGTERM or SIGINT.

In: an application and where to listen. Out: one line when it takes calls. At most `CONNECTIONS` at a time, each for at
most `CONNECTION_SECONDS`: who is slow, or says nothing, is cut off and makes room. Refuses with BAD_CONFIG an address
that cannot be used.
"""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Final

import click
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.directory import MAX_PORT
from gateway.errors import ErrorCode, Refusal

CONNECTIONS: Final = 64
CONNECTION_SECONDS: Final = 30.0
HEAD_BYTES: Final = 16 << 10
DRAIN_SECONDS: Final = 5


class Brief(H11Protocol):
    """A connection that ends: uvicorn itself waits for ever for the first request."""

    seconds: ClassVar[float] = CONNECTION_SECONDS
    """From its beginning to its end, whatever is being done on it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Count from now on."""
        super().connection_made(transport)
        self._end = asyncio.get_running_loop().call_later(self.seconds, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count no more."""
        self._end.cancel()
        super().connection_lost(exc)

    @property
    def is_asked(self) -> bool:
        """Whether a whole question came and waits for its answer."""
        cycle: Any = self.cycle  # None at first, whatever uvicorn's types say
        return cycle is not None and not cycle.more_body and not cycle.response_complete


class _Entrance(socket.socket):
    """Listens where another socket does, and lets so many in, whatever they say or do not say, in TLS or before it.

    Whoever has not asked anything makes room for whoever comes, the longest there first; if all have asked, whoever
    comes is sent away.

    Args:
        listening: the other socket.
        asked: descriptors of the connections on which a question waits for its answer.
    """

    def __init__(self, listening: socket.socket, asked: Callable[[], set[int]]) -> None:
        super().__init__(fileno=os.dup(listening.fileno()))
        self._asked = asked
        self._inside: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """See `socket.accept`; called by the loop."""
        found, address = super().accept()
        self._inside = [each for each in self._inside if each.fileno() >= 0]
        if len(self._inside) >= CONNECTIONS:
            asked = self._asked()
            silent = next((each for each in self._inside if each.fileno() not in asked), None)
            if silent is None:
                found.close()
                raise BlockingIOError
            self._inside.remove(silent)
            with contextlib.suppress(OSError):  # the other end was quicker
                silent.shutdown(socket.SHUT_RDWR)  # its transport reads the end, and closes it
        self._inside.append(found)
        return found, address


class Server(uvicorn.Server):
    """Answers HTTP within the limits, and says when it takes calls.

    Args:
        app: what answers.
        ready: the line to say.
        http: a connection.
        tls: how it speaks; None: in the clear.
    """

    def __init__(
        self, app: Starlette, ready: str, http: type[Brief] = Brief, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=http,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # what strangers send that is no HTTP is no news, each time
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=CONNECTIONS,  # so many are accepted between two looks at those who are to leave
                h11_max_incomplete_event_size=HEAD_BYTES,
                timeout_graceful_shutdown=DRAIN_SECONDS,
                ssl_context_factory=None if tls is None else lambda _config, _default: tls,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup([_Entrance(each, self._asked) for each in sockets or ()])
        click.echo(self._ready)
        sys.stdout.flush()

    def _asked(self) -> set[int]:
        connections = [each for each in self.server_state.connections if isinstance(each, Brief) and each.is_asked]
        return {each.transport.get_extra_info("socket").fileno() for each in connections}


def serve(app: Starlette, listen: str, name: str, make: Callable[[Starlette, str], Server] = Server) -> None:
    """Serve until told to stop.

    Args:
        app: what answers.
        listen: `host:port`; port 0 takes a free one.
        name: said when it is ready: `ready NAME HOST:PORT`.
        make: makes the server of the application and that line.

    Raises:
        Refusal: BAD_CONFIG.
    """
    with contextlib.closing(_listening(listen)) as sock:
        host, port = sock.getsockname()[:2]
        # uvicorn raises the signal again when it has ended by it: that is no failure.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            shown = f"[{host}]" if ":" in host else host
            asyncio.run(make(app, f"ready {name} {shown}:{port}").serve([sock]))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listening(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    # Looked at here: a port that is too large would be taken without its upper bits.
    if not port.isdecimal() or int(port) > MAX_PORT:
        raise Refusal(ErrorCode.BAD_CONFIG, f"cannot listen on {listen}: HOST:PORT is wanted", "listen")
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, ValueError) as error:
        why = str(error.strerror).partition(" (")[0] if isinstance(error, OSError) else "no such host"
        raise Refusal(ErrorCode.BAD_CONFIG, f"cannot listen on {listen}: {why}", "listen") from error
