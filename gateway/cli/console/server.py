"""The console's process: connections that end, certificates of browsers, links for those without one.

In: a console, where to listen, perhaps a certificate. Out: one line when it takes calls, and without TLS one link for
each whom it was started for, which the key Enter makes anew. Refuses with BAD_CONFIG to speak without TLS to anything
but this machine.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Final

import click
from cryptography import x509
from starlette.applications import Starlette

from gateway.certificate import Certificate
from gateway.cli import passphrases, web
from gateway.cli.console.app import PEER, Console
from gateway.errors import ErrorCode, Refusal

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class _Connection(web.Brief):
    """A connection that is told to end before it has to, and shows who is at its other end."""

    seconds: ClassVar[float] = 60.0
    """Longer than a stream and than the longest question to a node together."""
    told_seconds: ClassVar[float] = 30.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._told = asyncio.get_running_loop().call_later(self.told_seconds, self.shutdown)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            self.app_state = {**self.app_state, PEER: secured.getpeercert(binary_form=True)}

    def connection_lost(self, exc: Exception | None) -> None:
        self._told.cancel()
        super().connection_lost(exc)


class Server(web.Server):
    """Serves a console.

    Args:
        app: its application.
        ready: the line to say.
        console: what to end at the end.
        tls: how it speaks; None: in the clear, to this machine alone.
    """

    def __init__(self, app: Starlette, ready: str, console: Console, tls: ssl.SSLContext | None) -> None:
        super().__init__(app, ready, _Connection, tls)
        self._console = console
        self._base = "" if tls is not None else f"http://{ready.rpartition(' ')[2]}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say how to sign in."""
        await super().startup(sockets)
        if not self._base:
            return
        self._invite()
        # A file, or /dev/null, cannot be waited for; and nobody types there.
        with contextlib.suppress(OSError, ValueError):
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._typed)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, so that nobody waits for them, then the rest."""
        with contextlib.suppress(OSError, ValueError):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        await self._console.live.close()
        await super().shutdown(sockets)
        for desk in self._console.desks.values():
            await desk.close()

    def _invite(self) -> None:
        for desk in self._console.desks.values():
            click.echo(f"{desk.address} signs in once, within five minutes: {self._console.link(self._base, desk)}")
        if sys.stdin.isatty():
            click.echo("press Enter for new links")
        sys.stdout.flush()

    def _typed(self) -> None:
        if sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) != os.getpgrp():
            return  # in the background, reading would stop the process
        if os.read(sys.stdin.fileno(), _TYPED_BYTES):
            self._invite()
        else:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


def check_listen(listen: str, *, secure: bool) -> None:
    """Check that nothing is served in the clear but to this machine."""
    host = host_of(listen)
    with contextlib.suppress(ValueError):
        host = "127.0.0.1" if ipaddress.ip_address(host).is_loopback else host
    if not secure and host not in LOOPBACK:
        raise _bad("listen", f"without TLS, a console listens on this machine alone, not on {host or 'all addresses'}")


def host_of(listen: str) -> str:
    """Return the name or address in HOST:PORT."""
    return listen.rpartition(":")[0].strip("[]")


def context(certificate: Path, key: Path, anchors: Iterable[bytes]) -> ssl.SSLContext:
    """Return TLS 1.3 that demands a certificate which one of `anchors` issued.

    Args:
        certificate: of the console: a PEM file, the leaf first.
        key: its private key.
        anchors: PEM of the CAs.

    Raises:
        Refusal: BAD_CONFIG, a file cannot be read.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    # The CA of a node is what its participants are believed by, whoever issued that in turn.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        made.load_cert_chain(certificate, key, lambda: passphrases.ask().reveal())
    except (OSError, ValueError) as error:
        raise _bad("tls-certificate", f"{certificate} and {key} cannot be used: {error}") from error
    for anchor in anchors:
        made.load_verify_locations(cadata=anchor.decode())
    return made


def names(certificate: Path) -> frozenset[str]:
    """Return the names and addresses in a certificate: by them, and no other, a console is asked for."""
    leaf = Certificate.load(certificate).leaf
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise _bad("tls-certificate", f"{certificate} has no name in it") from error
    addresses = found.get_values_for_type(x509.IPAddress)
    return frozenset({*(name.lower() for name in found.get_values_for_type(x509.DNSName)), *map(str, addresses)})


_TYPED_BYTES: Final = 4096


def _bad(where: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIG, detail, where)
