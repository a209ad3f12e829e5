"""The way to another node and back, tried step by step, so that an operator is told where it breaks and what to do.

In: a node's code, what this node has by now, and its clock. Out: one check a step, in order; what comes behind the
first that failed was not tried. Nothing is written anywhere, here or there. The last step is the other node's own try
of the way to us: what it has for us goes over its connection and not over ours. Each step is bounded in time and bytes.
Refuses nothing: what would be refused is what is told.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter_ns
from typing import Final

import grpc.aio
from cryptography import x509
from rogatory.v1 import operations_pb2 as operations
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.relay_pb2_grpc import RelayStub

from gateway import codec, transport
from gateway.clock import MICROS, Clock, from_micros, to_micros
from gateway.directory import FOREVER, MAX_PORT, Directory, NodeEntry, Status
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.identity import UNREADABLE_CERTIFICATE, certificate_fingerprint, has_issued, host_name
from gateway.material import NodeMaterial
from gateway.transport import TlsIdentity

STEPS: Final = ("directory", "dns", "tcp", "tls", "certificate", "call", "answer", "clock", "back")
STEP_SECONDS: Final = 5.0
"""For each step, as slow as a line may be; with the other node's own five it stays below what a caller waits."""

BACK_SECONDS: Final = 5 * STEP_SECONDS
"""For the other node's try of the way to us: four steps that take time, and the call that asks for it."""

MAX_ADDRESSES: Final = 4
"""Of those that a name has, so many are tried."""

FIRST_BYTES: Final = 9
"""Length of an HTTP/2 frame's head: by what a server says first it shows that it lets us in (RFC 9113 section 3.4)."""

MAX_DETAIL: Final = 1000
"""Characters of a sentence: a part of it may come from the other node."""

SOON_DAYS: Final = 7


class Broken(Exception):
    """A step that does not work: what was found, and what to do about it."""


@dataclass(slots=True)
class _Way:
    """What the steps so far have found."""

    node: NodeEntry
    federation: str
    identity: TlsIdentity
    host: str
    port: int
    addresses: list[str] = field(default_factory=list)
    leaf: bytes = b""
    told: relay.ProbeResponse = field(default_factory=relay.ProbeResponse)
    offset_us: int = 0
    uncertain_us: int = 0


class Prober:
    """Tries the way to other nodes."""

    def __init__(self, here: str, held: Callable[[], NodeMaterial], clock: Clock, tolerance_seconds: float) -> None:
        """Prepare.

        Args:
            here: code of this node.
            held: gives the directory and the certificate of this node, as they are now.
            clock: time.
            tolerance_seconds: by which another node's clock may differ; more, and what it signs is refused as too new.
        """
        self._here = here
        self._held = held
        self._clock = clock
        self._tolerance = tolerance_seconds
        self._busy = set[str]()

    async def probe(self, code: str, *, and_back: bool = True) -> list[operations.ConnectionCheck]:
        """Try the way to a node; return one check for each of STEPS, "back" only if it is asked for.

        Args:
            code: of the node, e.g. "de".
            and_back: whether that node shall try the way to us.
        """
        steps = [step for step in STEPS if and_back or step != "back"]
        checks = [operations.ConnectionCheck(name=step) for step in steps]
        way: _Way | None = None
        for check in checks:
            since, check.tried = perf_counter_ns(), True
            try:
                async with asyncio.timeout(BACK_SECONDS if check.name == "back" else STEP_SECONDS):
                    if way is None:
                        way, check.detail = self._look_up(code)
                    else:
                        check.detail = await self._step(check.name, way)
                check.passed = True
            except (Broken, GatewayError) as error:
                check.detail = str(error)[:MAX_DETAIL]
            except TimeoutError:
                check.detail = _TOO_SLOW.get(check.name, _SLOW)
            check.took_us = (perf_counter_ns() - since) // 1000
            if not check.passed:
                break
        return checks

    async def probe_for(self, code: str) -> list[operations.ConnectionCheck]:
        """Try the way to a node that asks for it; nothing if that is being done already.

        Where it leads is that node's to say, and it may name a machine of ours: until what listens there has shown that
        node's certificate, it is told the step alone, and nothing of what we found.
        """
        if code in self._busy:
            return []
        self._busy.add(code)
        try:
            checks = await self.probe(code, and_back=False)
        finally:
            self._busy.discard(code)
        if not any(check.name == "certificate" and check.passed for check in checks):
            for check in checks:
                check.ClearField("detail")
                check.ClearField("took_us")
        return checks

    def now_us(self) -> int:
        """Return what this node's clock says, in microseconds."""
        return to_micros(self._clock())

    @property
    def version(self) -> int:
        """Version of the directory by which this node works."""
        return self._held().directory.version

    async def _step(self, name: str, way: _Way) -> str:
        match name:
            case "dns":
                found = await _resolve(way)
            case "tcp":
                found = await _connect(way)
            case "tls":
                found = await _greet(way)
            case "certificate":
                found = _certificate(way, self._clock())
            case "call":
                found = await self._call(way)
            case "answer":
                found = _answer(way, self._held().directory)
            case "clock":
                found = self._compare(way)
            case _:
                found = await _back(way)
        return found

    def _look_up(self, code: str) -> tuple[_Way, str]:
        held, now = self._held(), self._clock()
        directory = held.directory
        try:
            node = directory.node(code)
        except Refusal:
            raise Broken(f"no node {code} is in the directory: ask the publisher which nodes there are") from None
        if code == self._here:
            raise Broken(f"{code} is this node itself: name another")
        if node.status is not Status.ACTIVE:
            raise Broken(f"node {code} is revoked in the directory: nothing goes there until it is taken in again")
        if now >= directory.expires:
            raise Broken(
                f"the directory expired on {_day(directory.expires)} and nobody is spoken to by it: see why no newer"
                " one comes (publisher, [directory] of the settings, this machine's clock)"
            )
        host, _, port = node.endpoint.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= MAX_PORT:
            raise Broken(f"the directory says {node.endpoint!r}, which is no HOST:PORT: node {code} has to correct it")
        way = _Way(node, directory.federation, held.identity, host.strip("[]"), int(port))
        left = f", and is in force until {_day(directory.expires)}" if directory.expires < FOREVER else ""
        return way, f"version {directory.version} of the directory has node {code} at {node.endpoint}{left}"

    async def _call(self, way: _Way) -> str:
        async with transport.channel_to(way.node, way.federation, way.identity) as channel:
            # The first call makes the connection; the clock is read around the second, which is over at once.
            await _ask(channel, relay.ProbeRequest(), STEP_SECONDS)
            before_us = self.now_us()
            way.told = await _ask(channel, relay.ProbeRequest(), STEP_SECONDS)
            after_us = self.now_us()
        way.uncertain_us = max(0, after_us - before_us) // 2
        way.offset_us = way.told.at_us - (before_us + after_us) // 2
        took = f"{(after_us - before_us) / 1000:.1f} ms"
        return f"node {way.node.code} let us in as {way.told.caller} and answered in {took}"

    def _compare(self, way: _Way) -> str:
        off = way.offset_us / MICROS
        told = f"the clock of node {way.node.code} is {abs(off):.3f} s {'ahead of' if off > 0 else 'behind'} ours"
        told += f", give or take {way.uncertain_us / MICROS:.3f} s"
        if abs(way.offset_us) - way.uncertain_us > self._tolerance * MICROS:
            raise Broken(
                f"{told}; above {self._tolerance:g} s the one that is behind refuses what the other signs: have both"
                f" compare with their time servers (here it is {_instant(self.now_us())})"
            )
        return told


async def _resolve(way: _Way) -> str:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(way.host, way.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Broken(
            f"{way.host} cannot be looked up ({error}): check this machine's resolver, then the record of that name"
        ) from None
    way.addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_ADDRESSES]
    return f"{way.host} is {', '.join(way.addresses)}"


async def _connect(way: _Way) -> str:
    failed = []
    for address in way.addresses:
        try:
            async with _opened(way, address, None):
                # What answers is tried further, and nothing else.
                way.addresses = [address]
                return f"{address} takes connections on port {way.port}"
        except TimeoutError:
            failed.append(f"{address} says nothing (a firewall on the way may drop it)")
        except ConnectionRefusedError:
            failed.append(f"{address} refuses (nothing listens on that port: is the node running, and is it there?)")
        except OSError as error:
            failed.append(f"{address}: {os.strerror(error.errno) if error.errno else error} (check the route)")
    raise Broken(f"no connection to port {way.port}: {'; '.join(failed)}")


async def _greet(way: _Way) -> str:
    """Shake hands as we do for calls, but believe nobody yet: whose certificate it is, is the next step."""
    try:
        async with _opened(way, way.addresses[0], _context(way.identity)) as (reader, writer):
            line: ssl.SSLObject = writer.get_extra_info("ssl_object")
            way.leaf = line.getpeercert(binary_form=True) or b""
            if line.selected_alpn_protocol() != "h2":
                raise Broken("what listens there speaks no HTTP/2, so it is no node: check the port and any proxy")
            # In TLS 1.3 we hear only after the handshake whether our own certificate was good enough.
            await reader.readexactly(FIRST_BYTES)
            return f"{line.version()}, and our certificate is accepted"
    except ssl.SSLError as error:
        reason = (error.reason or "no reason").lower().replace("_", " ")
        raise Broken(_unshaken(way, reason)) from None
    except (OSError, EOFError) as error:
        # A peer that refuses our certificate may cut the line before its alert is read.
        reason = "it cut the connection" if isinstance(error, EOFError | ConnectionError) else str(error)
        raise Broken(_unshaken(way, reason)) from None


def _unshaken(way: _Way, reason: str) -> str:
    ours = x509.load_pem_x509_certificates(way.identity.chain_pem)[0]
    return (
        f"the handshake ended with: {reason}. Either no node listens there, or node {way.node.code} does not accept our"
        f" certificate (valid until {_day(ours.not_valid_after_utc)}): its directory may not have our CA yet"
    )


def _certificate(way: _Way, now: datetime) -> str:
    wanted = host_name(way.node.code, way.federation)
    whose = f"what listens at {way.node.endpoint}"
    try:
        leaf = x509.load_der_x509_certificate(way.leaf)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        called = names.get_values_for_type(x509.DNSName)
        cas = x509.load_pem_x509_certificates(way.node.ca_pem)
    except (*UNREADABLE_CERTIFICATE, x509.ExtensionNotFound):
        raise Broken(f"{whose} shows a certificate that cannot be read: is it node {way.node.code}?") from None
    if wanted not in called:
        shown = ", ".join(called[:MAX_ADDRESSES])[:200]
        raise Broken(f"{whose} is {shown or 'nobody by name'} and not {wanted}: the address in the directory is wrong")
    if not any(has_issued(ca, leaf) for ca in cas):
        raise Broken(
            f"{whose} shows a certificate for {wanted} that the CA in the directory did not issue: call that node's"
            " operator, by telephone; until then it is somebody else"
        )
    if certificate_fingerprint(leaf).hex() in way.node.revoked_certificates:
        raise Broken(f"the certificate of node {way.node.code} is revoked in the directory: it has to use its new one")
    if now < leaf.not_valid_before_utc:
        raise Broken(f"its certificate is valid from {_day(leaf.not_valid_before_utc)} only: compare the clocks")
    if now >= leaf.not_valid_after_utc:
        raise Broken(f"its certificate ended on {_day(leaf.not_valid_after_utc)}: node {way.node.code} has to renew it")
    days = (leaf.not_valid_after_utc - now).days
    soon = "; its operator should look why it is not renewed" if days < SOON_DAYS else ""
    return f"{wanted}, issued by its CA, valid until {_day(leaf.not_valid_after_utc)} ({days} days){soon}"


async def _ask(channel: grpc.aio.Channel, request: relay.ProbeRequest, seconds: float) -> relay.ProbeResponse:
    try:
        told: relay.ProbeResponse = await RelayStub(channel).Probe(request, timeout=seconds)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            raise Broken("the node answers, but its program is older than this test: it has to be upgraded") from None
        told_us = transport.error_of(error)
        raise Broken(f"{told_us}; {_ADVICE.get(told_us.code, _READ_THERE)}") from None
    codec.check(told)
    return told


def _answer(way: _Way, directory: Directory) -> str:
    theirs, ours = way.told.directory_version, directory.version
    if theirs == ours:
        return f"node {way.node.code} works by the same version {ours} of the directory"
    behind = f"node {way.node.code}" if theirs < ours else "this node"
    versions = f"node {way.node.code} works by version {theirs} of the directory and this one by {ours}"
    return f"{versions}: {behind} is behind, and catches up when it looks next"


async def _back(way: _Way) -> str:
    code = way.node.code
    async with transport.channel_to(way.node, way.federation, way.identity) as channel:
        checks = (await _ask(channel, relay.ProbeRequest(and_back=True), BACK_SECONDS)).back
    if not checks:
        raise Broken(f"node {code} is trying the way to us already, for somebody else: ask again in a minute")
    failed = next((check for check in checks if not check.passed), None)
    if failed is not None:
        stuck = f"what node {code} has for us is stuck there; its try of the way to us ends at {failed.name}"
        raise Broken(f"{stuck}: {failed.detail or _NOT_US.get(failed.name, _READ_THERE)}")
    took = f"{sum(check.took_us for check in checks) / 1000:.1f} ms"
    return f"node {code} reached us in {took} and says the same of our side"


@asynccontextmanager
async def _opened(
    way: _Way, address: str, context: ssl.SSLContext | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection for as long as one step takes, its share of it if several addresses are tried."""
    async with asyncio.timeout(STEP_SECONDS / (len(way.addresses) + 1) if context is None else STEP_SECONDS):
        reader, writer = await asyncio.open_connection(address, way.port, ssl=context, limit=1 << 14)
    try:
        yield reader, writer
    finally:
        # At once: whoever is at the other end need not agree that it is over.
        writer.transport.abort()


def _context(identity: TlsIdentity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # The library reads keys from files alone; this one is in memory and has no name, so that no key lies on a disk.
    with open(os.memfd_create("identity", os.MFD_CLOEXEC), "wb") as file:  # noqa: PTH123  it has no path
        file.write(identity.key_pem + b"\n" + identity.chain_pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _instant(micros: int) -> str:
    return f"{from_micros(micros):%Y-%m-%d %H:%M:%S} UTC"


_SLOW: Final = f"no answer within {STEP_SECONDS:g} seconds: the line or that node is overloaded"
_TOO_SLOW: Final = {
    "back": f"it did not finish to try the way to us within {BACK_SECONDS:g} seconds: its operator can test that way",
    "dns": f"no answer from this machine's resolver within {STEP_SECONDS:g} seconds: check its settings",
    "tls": f"what listens there takes the connection and says nothing for {STEP_SECONDS:g} seconds: is it a node, or a"
    " proxy before it?",
}
_READ_THERE: Final = "its operator finds more in its diagnostics"
_NOT_US: Final = {
    "dns": "it cannot look up our name: check the record of it, and our address in the directory",
    "tcp": "nothing takes its connections: check our address in the directory, and what filters the way",
    "tls": "what answers it shakes no hands: check our address in the directory, and any proxy before us",
    "certificate": "what answers it is not us: check our address and our CA in the directory",
}
_ADVICE: Final = {
    ErrorCode.UNKNOWN_PEER: "its directory does not know us: it may be older than our registration",
    ErrorCode.REVOKED: "its directory has revoked us or our certificate: renew it, or ask who revoked it and why",
    ErrorCode.DIRECTORY_EXPIRED: "the directory of that node has run out: its operator has to see why none comes",
    ErrorCode.OVERLOADED: "it has no room for more of our questions now: ask again in a minute",
    ErrorCode.UNAVAILABLE: "it was there a moment ago: ask again, and then its operator",
}
