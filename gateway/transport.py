"""Mutual TLS for gRPC: credentials of a node's door, and channels to a node.

In: PEM bytes. Out: gRPC credentials and channels. The one place that makes either, for nodes and clients
alike, so that no connection can be made with weaker terms: TLS 1.3, both sides with certificates (design:
every connection is mutual TLS 1.3; the versions are `gateway.tls`'s work).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from google.protobuf.message import DecodeError, Message

from gateway import codec, tls
from gateway.directory import NodeEntry
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import host_name

import grpc  # isort: skip  # after gateway.tls, which has to come first
import grpc.aio  # isort: skip
from grpc_status import rpc_status  # isort: skip
from rogatory.v1 import errors_pb2  # isort: skip

ChannelOptions: TypeAlias = Sequence[tuple[str, str | int]]

FLOW_OPTIONS: Final = (
    # What one stream may send ahead of its reader. The library would measure the line and let it grow to many times
    # that, for each stream; a megabyte still carries 50 MB/s over a line of 20 ms.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1 << 20),
)
"""Options of both ends: they bound the memory of whoever reads."""

KEEPALIVE_SECONDS = 20.0
"""A connection on which nothing comes for so long is asked whether it is still one; half as long it may take to say so.

So a half-open connection, whose other end has gone without a word, is noticed within half a minute by either end.
"""

CHANNEL_OPTIONS: Final[ChannelOptions] = (
    *FLOW_OPTIONS,
    # One frame, and one envelope of the largest kind at its end.
    ("grpc.max_receive_message_length", 17 << 20),
    # Back-off is ours: the library's own would hide how often, and why, a connection failed.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
"""Options that every channel of ours uses."""

MOST_ANSWERED_FIELDS: Final = 1 << 18
"""Of one answer. The longest traces that a node tells have 16 000 rows, with some ten fields each."""

APPLICANT_BYTES: Final = 64 << 10
"""What an applicant reads at most: an answer has a certificate chain in it, about 2 KiB."""

_MAX_RECEIVED: Final = "grpc.max_receive_message_length"
_NAME_OVERRIDE: Final = "grpc.ssl_target_name_override"


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """What one end of a connection shows to prove who it is.

    Args:
        key_pem: the private key, PKCS#8 PEM; never shown by `repr`.
        chain_pem: the leaf, then the CA that issued it, PEM.
    """

    key_pem: bytes = field(repr=False)
    chain_pem: bytes


@dataclass(frozen=True, slots=True)
class DoorTls:
    """All that a node's door needs at a moment.

    Args:
        identity: the node's own certificate and key.
        client_cas: PEM of the CA of every node in the directory, this one's included.
    """

    identity: TlsIdentity
    client_cas: tuple[bytes, ...]


def server_credentials(current: Callable[[], DoorTls]) -> grpc.ServerCredentials:
    """Return credentials that demand a client certificate of one of `client_cas`.

    Which country's CA may vouch for whom is not decided here: TLS knows one heap of anchors. That is
    rule (4) of `authenticate`.

    Args:
        current: asked at each handshake, from a thread of gRPC's; must be quick and not raise. Returning the
            same object again means no change; another one takes effect for that handshake and those after it.
            Connections that stand are not cut.

    Raises:
        Refusal: BAD_CONFIG, there is no CA at all; said here rather than at the first handshake.
        RuntimeError: TLS 1.2 is not shut out, see `tls.require_tls13`.
    """
    return _dynamic(current, _configuration, demand=True)


def applicant_credentials(current: Callable[[], DoorTls]) -> grpc.ServerCredentials:
    """Return credentials that ask for no client certificate: whoever enrols has none.

    Args:
        current: as for `server_credentials`; its CAs are not looked at.

    Raises:
        RuntimeError: TLS 1.2 is not shut out, see `tls.require_tls13`.
    """
    return _dynamic(current, _own_certificate, demand=False)


def _dynamic(
    current: Callable[[], DoorTls], configure: Callable[[DoorTls], grpc.ServerCertificateConfiguration], *, demand: bool
) -> grpc.ServerCredentials:
    tls.require_tls13()
    served = current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        latest = current()
        if latest is served:
            return None
        served = latest
        return configure(latest)

    return grpc.dynamic_ssl_server_credentials(
        configure(served),
        fetch,  # type: ignore[arg-type]  # the stubs forget None, which grpc documents as "no change"
        require_client_authentication=demand,
    )


def _own_certificate(door: DoorTls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(door.identity.key_pem, door.identity.chain_pem)])


def _configuration(door: DoorTls) -> grpc.ServerCertificateConfiguration:
    pair = (door.identity.key_pem, door.identity.chain_pem)
    return grpc.ssl_server_certificate_configuration([pair], _anchors(door.client_cas))


def channel_credentials(identity: TlsIdentity, ca_pem: bytes) -> grpc.ChannelCredentials:
    """Return credentials that trust one node's CA and nothing else, not even the federation's root.

    Raises:
        Refusal: BAD_CONFIG, `ca_pem` holds no certificate; said here rather than at the first call.
        RuntimeError: TLS 1.2 is not shut out, see `tls.require_tls13`.
    """
    tls.require_tls13()
    return grpc.ssl_channel_credentials(_anchors([ca_pem]), identity.key_pem, identity.chain_pem)


def open_channel(
    endpoint: str,
    node: str,
    federation: str,
    credentials: grpc.ChannelCredentials,
    options: ChannelOptions = (),
) -> grpc.aio.Channel:
    """Return a channel that speaks to the node `node` and to nobody else, wherever `endpoint` leads.

    Args:
        endpoint: `host:port` to connect to; its host is not what the certificate is compared with.
        node: code of the node meant, e.g. `ee`; its certificate must bear `identity.host_name`.
        federation: the federation's domain.
        credentials: from `channel_credentials`, with the CA of that same node.
        options: gRPC channel options beside keepalive, e.g. message sizes; they cannot change the name.
    """
    kept = [*keepalive(), *(option for option in options if option[0] != _NAME_OVERRIDE)]
    channel = grpc.aio.secure_channel(endpoint, credentials, [*kept, (_NAME_OVERRIDE, host_name(node, federation))])
    for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
        # In the channel's own method's place, for generated code asks a channel and nothing else.
        setattr(channel, kind, _careful(getattr(channel, kind)))
    return channel


def _careful(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return what makes the same calls, whose answers are read by `codec.heard`."""

    def made(
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        **options: Any,  # noqa: ANN401  gRPC's own
    ) -> Any:  # noqa: ANN401  as above
        read = None if response_deserializer is None else _heard(response_deserializer)
        return make(method, request_serializer, read, **options)

    return made


def _heard(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return what reads answers; of one that cannot be read it makes an empty one, which says nothing either.

    gRPC would make None of it, which nobody expects, and a peer may give an empty one anyhow.
    """
    nothing = read(b"")
    if not isinstance(nothing, Message):
        return read
    kind = type(nothing)

    def heard(raw: bytes) -> Message:
        try:
            return codec.heard(kind, raw, MOST_ANSWERED_FIELDS)
        except Refusal:
            return kind()

    return heard


def applicant_channel(endpoint: str, node: str, federation: str, ca_pem: bytes) -> grpc.aio.Channel:
    """Return a channel to a node's Enrolment door, for who has no certificate yet: the node alone proves itself.

    Args:
        endpoint: `host:port` of that door.
        node: code of the node meant.
        federation: the federation's domain.
        ca_pem: the CA of that node, as the invitation names it; nobody else's certificate will do.

    Raises:
        Refusal: BAD_CONFIG, `ca_pem` holds no certificate.
        RuntimeError: TLS 1.2 is not shut out, see `tls.require_tls13`.
    """
    tls.require_tls13()
    options = [*(option for option in CHANNEL_OPTIONS if option[0] != _MAX_RECEIVED), (_MAX_RECEIVED, APPLICANT_BYTES)]
    return open_channel(endpoint, node, federation, grpc.ssl_channel_credentials(_anchors([ca_pem])), options)


def keepalive() -> Sequence[tuple[str, int]]:
    """Return the options by which either end of a connection notices that the other has gone."""
    return (
        ("grpc.keepalive_time_ms", round(KEEPALIVE_SECONDS * 1000)),
        ("grpc.keepalive_timeout_ms", round(KEEPALIVE_SECONDS * 500)),
        # gRPC 1.85 ends a connection by this one alone; it is a minute unless told.
        ("grpc.http2.ping_timeout_ms", round(KEEPALIVE_SECONDS * 500)),
        # As often as it takes: a stream may stand for days with nothing to say.
        ("grpc.http2.max_pings_without_data", 0),
    )


def sync_channel(
    endpoint: str,
    node: str,
    federation: str,
    credentials: grpc.ChannelCredentials,
    options: ChannelOptions = (),
) -> grpc.Channel:
    """Return a channel as `open_channel` does, for a thread that has no event loop."""
    kept = [*keepalive(), *(option for option in options if option[0] != _NAME_OVERRIDE)]
    return grpc.secure_channel(endpoint, credentials, [*kept, (_NAME_OVERRIDE, host_name(node, federation))])


def _anchors(certificates: Sequence[bytes]) -> bytes:
    joined = b"\n".join(certificates)
    if b"-----BEGIN CERTIFICATE-----" not in joined:
        raise Refusal(ErrorCode.BAD_CONFIG, "no CA certificate to trust")
    return joined


def channel_to(node: NodeEntry, federation: str, identity: TlsIdentity) -> grpc.aio.Channel:
    """Return a channel to a node as the directory lists it, with the options that every channel of ours has."""
    return open_channel(
        node.endpoint, node.code, federation, channel_credentials(identity, node.ca_pem), CHANNEL_OPTIONS
    )


@asynccontextmanager
async def calling(node: NodeEntry, federation: str, identity: TlsIdentity) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel as `channel_to` does, for a call or a few; one that fails raises the error that the node sent."""
    channel = channel_to(node, federation, identity)
    try:
        yield channel
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error
    finally:
        await channel.close()


def error_of(error: grpc.RpcError) -> GatewayError:
    """Return the error that a node sent in the status details of a call, or UNAVAILABLE if it sent none.

    Whatever else can end a call (no connection, a deadline, a proxy) leaves unknown what the node did: retry.
    """
    try:
        status = rpc_status.from_call(error)
        for detail in status.details if status is not None else ():
            sent = errors_pb2.Error()
            if detail.Unpack(sent):
                return codec.error_from(sent)
    except (ValueError, DecodeError):
        # The other end wrote these bytes; nonsense in them must harm nobody here.
        return Failure(ErrorCode.UNAVAILABLE, "the other end's error cannot be read")
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # gRPC's own word, before any code of ours has seen the message; ours would have sent its reasons.
        return Refusal(ErrorCode.TOO_LARGE, f"the message is larger than the other end reads: {error.details()}"[:300])
    why = error.details() or "no answer"
    unreached = error.code() is grpc.StatusCode.UNAVAILABLE  # which the code says already
    return Failure(ErrorCode.UNAVAILABLE, (why if unreached else f"{error.code().name}: {why}")[:300])
