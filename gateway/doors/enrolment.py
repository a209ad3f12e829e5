"""The Enrolment door: the one that is open to those who have no certificate yet.

A port of its own. The node proves itself by its certificate, the caller by a one-time code. Everything is bounded
before anybody has shown one: connections, the size of a message, calls at once, calls a second of all and of each host.
What calls over those bounds is told when to come again; nothing of it reaches the store.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import unquote

import grpc.aio
from rogatory.v1 import enrolment_pb2 as pb
from rogatory.v1 import enrolment_pb2_grpc
from rogatory.v1.enrolment_pb2_grpc import EnrolmentServicer

from gateway import codec, transport
from gateway.clock import MICROS, Clock, to_micros
from gateway.doors.entrance import Context, abort, abort_unforeseen
from gateway.doors.hearing import careful
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.quota import Bucket
from gateway.registry.office import Office
from gateway.transport import DoorTls

MAX_MESSAGE_BYTES: Final = 32 << 10
"""Four times an application of the largest kind."""

MAX_CALLS_AT_ONCE: Final = 32
CALLS_A_SECOND: Final = 50
BURST_CALLS: Final = 200
CALLS_A_SECOND_OF_A_HOST: Final = 5
BURST_CALLS_OF_A_HOST: Final = 60
"""Who waits for registrars asks again every few seconds; a whole authority may sit behind one address."""

MAX_HOSTS: Final = 4096
"""Counted each by itself; above that the further ones share one count. 200 bytes each."""

MAX_CONNECTIONS: Final = 64
"""Twice the calls at once. Further ones are closed before their handshake: each takes a file descriptor of the process,
and whoever could take all of them would shut the main door too."""

RETRY_SECONDS: Final = 1.0

_IPV6_SITE_BITS: Final = 64  # what one customer has at least (RFC 6177 section 2)


class Gate:
    """Counts those who are let near.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        now_us = to_micros(clock())
        self._all = Bucket(CALLS_A_SECOND, BURST_CALLS, now_us)
        self._others = _of_a_host(now_us)
        self._hosts: dict[str, Bucket] = {}
        self._calls = 0

    def enter(self, peer: str) -> None:
        """Count a call; whoever is let in leaves.

        Args:
            peer: as gRPC names it, e.g. `ipv4:192.0.2.7:51234`.

        Raises:
            Failure: OVERLOADED, with the limit and when to come again.
        """
        if self._calls >= MAX_CALLS_AT_ONCE:
            detail = f"more than MAX_CALLS_AT_ONCE = {MAX_CALLS_AT_ONCE} calls at once"
            raise Failure(ErrorCode.OVERLOADED, detail, "MAX_CALLS_AT_ONCE", RETRY_SECONDS)
        now_us = to_micros(self._clock())
        own = self._of(host(peer), now_us)
        # The host's own first: whoever is over that must not use up what is for all.
        _check(own, now_us, "CALLS_A_SECOND_OF_A_HOST", CALLS_A_SECOND_OF_A_HOST)
        _check(self._all, now_us, "CALLS_A_SECOND", CALLS_A_SECOND)
        own.take(1)
        self._all.take(1)
        self._calls += 1

    def leave(self) -> None:
        """Count a call less."""
        self._calls -= 1

    def _of(self, name: str, now_us: int) -> Bucket:
        if name not in self._hosts:
            if len(self._hosts) >= MAX_HOSTS:
                self._hosts = {each: kept for each, kept in self._hosts.items() if not kept.is_full(now_us)}
            if len(self._hosts) >= MAX_HOSTS:
                return self._others
            self._hosts[name] = _of_a_host(now_us)
        return self._hosts[name]


class EnrolmentDoor(EnrolmentServicer):
    """Serves applicants."""

    def __init__(self, office: Office, clock: Clock) -> None:
        self._office = office
        self._gate = Gate(clock)

    async def Apply(self, request: pb.ApplyRequest, context: Context) -> pb.ApplyResponse:
        """Take an application."""
        async with self._answering(context):
            codec.check(request)
            return await self._office.apply(request)

    async def GetOutcome(self, request: pb.GetOutcomeRequest, context: Context) -> pb.GetOutcomeResponse:
        """Tell how far an application has come."""
        async with self._answering(context):
            codec.check(request)
            return await self._office.outcome(request.application_id)

    @asynccontextmanager
    async def _answering(self, context: Context) -> AsyncIterator[None]:
        """Let one call in, and end it with our error if one is raised."""
        entered = False
        try:
            self._gate.enter(context.peer())
            entered = True
            yield
        except GatewayError as error:
            await abort(context, error)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001  it is aborted with
            await abort_unforeseen(context, error)
        finally:
            if entered:
                self._gate.leave()


async def serve(
    office: Office, listen: str, door_tls: Callable[[], DoorTls], clock: Clock
) -> tuple[grpc.aio.Server, int]:
    """Open the door; return the server, started, and the port that is listened on.

    Args:
        office: the registry.
        listen: `host:port`.
        door_tls: the node's certificate and key, asked at each handshake.
        clock: time.

    Raises:
        Refusal: BAD_CONFIG, the address cannot be used.
    """
    server = grpc.aio.server(options=_OPTIONS)
    enrolment_pb2_grpc.add_EnrolmentServicer_to_server(EnrolmentDoor(office, clock), careful(server))
    try:
        port = server.add_secure_port(listen, transport.applicant_credentials(door_tls))
    except RuntimeError as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"cannot listen on {listen}", "registry.listen") from error
    await server.start()
    return server, port


def host(peer: str) -> str:
    """Return what one caller cannot easily change of where it calls from: an IPv4 address, or an IPv6 network.

    Args:
        peer: as gRPC names it, e.g. `ipv6:%5B2001:db8::1%5D:51234`.
    """
    kind, _, rest = peer.partition(":")
    name = unquote(rest).rpartition(":")[0].strip("[]")
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return kind
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> _IPV6_SITE_BITS << _IPV6_SITE_BITS))
    return str(address)


def _of_a_host(now_us: int) -> Bucket:
    return Bucket(CALLS_A_SECOND_OF_A_HOST, BURST_CALLS_OF_A_HOST, now_us)


def _check(bucket: Bucket, now_us: int, name: str, most: int) -> None:
    wait_us = bucket.wait_us(1, now_us)
    if wait_us:
        raise Failure(ErrorCode.OVERLOADED, f"more than {name} = {most}", name, wait_us / MICROS)


_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.so_reuseport", 0),
    # Those that shake hands count too.
    ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
    # Who connects and says nothing is shown out.
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_idle_ms", 60_000),
    ("grpc.max_connection_age_ms", 600_000),
    ("grpc.max_connection_age_grace_ms", 10_000),
    *transport.keepalive(),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)
