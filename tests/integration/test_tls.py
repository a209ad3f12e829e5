"""What a node's door accepts, asked with a real TLS client that is not gRPC's."""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip

import asyncio
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import profiles
from certs.pki import DevelopmentPki, Holder
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, host_name
from gateway.transport import DoorTls, TlsIdentity, channel_credentials, open_channel, server_credentials

pytestmark = pytest.mark.integration

FEDERATION = "rogatory.test"
NODE = Address.of_node("ee")
PROSECUTOR = Address("ee", "prosecutor")
ECHO = "/test.Echo/Echo"
SECONDS = 60.0

# TLS itself reads the machine's clock, so these certificates are of today.
NOW = datetime.now(UTC)
PKI = DevelopmentPki(FEDERATION, NOW)
STRANGERS = DevelopmentPki(FEDERATION, NOW)


def identity(holder: Holder) -> TlsIdentity:
    return TlsIdentity(holder.key_pem, holder.chain_pem)


def door(node: Holder | None = None, *clients: str) -> DoorTls:
    cas = tuple(PKI.node_ca(code).pem for code in clients or ("ee", "de"))
    return DoorTls(identity(node or PKI.leaf(NODE)), cas)


@dataclass
class Server:
    """An echo door whose credentials a test may change while it runs."""

    tls: DoorTls = field(default_factory=door)
    port: int = 0
    seen: list[Mapping[str, list[bytes]]] = field(default_factory=list)

    async def echo(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.seen.append({key: [*values] for key, values in context.auth_context().items()})
        return request

    async def call(self, client: Holder, ca_pem: bytes | None = None, node: str = "ee") -> bytes:
        credentials = channel_credentials(identity(client), ca_pem or PKI.node_ca("ee").pem)
        async with open_channel(f"127.0.0.1:{self.port}", node, FEDERATION, credentials) as channel:
            method: Callable[..., grpc.aio.UnaryUnaryCall[bytes, bytes]] = channel.unary_unary(ECHO)
            return await method(b"hello", timeout=SECONDS)

    async def refuses(self, client: Holder, ca_pem: bytes | None = None, node: str = "ee") -> bool:
        try:
            await self.call(client, ca_pem, node)
        except grpc.aio.AioRpcError as error:
            # Any other code is not a refusal by TLS but, say, a method that is missing.
            return error.code() is grpc.StatusCode.UNAVAILABLE
        return False


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    rpc = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(served.echo)
    rpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Echo": handler}),))
    served.port = rpc.add_secure_port("127.0.0.1:0", server_credentials(lambda: served.tls))
    await rpc.start()
    yield served
    await rpc.stop(None)


def handshake(port: int, context: ssl.SSLContext) -> str:
    """Connect as any TLS client would and wait for the server's HTTP/2 settings.

    In TLS 1.3 a client ends its handshake before the server has judged its certificate, so only bytes from
    the server prove that it was let in (RFC 8446 section 2, figure 1).

    Raises:
        OSError: the server refused, or closed without a byte.
    """
    with socket.create_connection(("127.0.0.1", port), SECONDS) as plain:
        wrapped = context.wrap_socket(plain, server_hostname=host_name("ee", FEDERATION))
        with wrapped:
            if not wrapped.recv(1):
                raise ConnectionResetError
            return str(wrapped.version())


def tls_client(folder: Path, client: Holder | None, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = version
    context.load_verify_locations(cadata=PKI.root.pem.decode())  # root alone: the chain must be sent, and hold
    context.set_alpn_protocols(["h2"])
    if client is not None:
        client.write(folder, "client")
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return context


TLS12_SUITES = [suite["name"] for suite in ssl.create_default_context().get_ciphers() if suite["protocol"] == "TLSv1.2"]


async def test_tls_13_with_a_participants_certificate_is_accepted(server: Server, tmp_path: Path) -> None:
    context = tls_client(tmp_path, PKI.leaf(PROSECUTOR), ssl.TLSVersion.TLSv1_3)
    assert await asyncio.to_thread(handshake, server.port, context) == "TLSv1.3"


async def test_tls_12_is_refused_with_every_suite_at_once(server: Server, tmp_path: Path) -> None:
    context = tls_client(tmp_path, PKI.leaf(PROSECUTOR), ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    with pytest.raises(OSError):  # noqa: PT011  # OpenSSL says "alert" or "EOF" by chance of timing
        await asyncio.to_thread(handshake, server.port, context)


@pytest.mark.parametrize("suite", TLS12_SUITES)
async def test_tls_12_is_refused_with_each_suite_alone(server: Server, tmp_path: Path, suite: str) -> None:
    context = tls_client(tmp_path, PKI.leaf(PROSECUTOR), ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(suite)
    with pytest.raises(OSError):  # noqa: PT011  # as above
        await asyncio.to_thread(handshake, server.port, context)


@contextmanager
def old_server(folder: Path) -> Iterator[int]:
    """Run a server that knows TLS 1.2 only, with the node's proper certificate, and yield its port."""
    PKI.leaf(NODE).write(folder, "old-node")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(folder / "old-node.pem", folder / "old-node.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                with plain:
                    try:
                        with context.wrap_socket(plain, server_side=True) as wrapped:
                            wrapped.sendall(b"x")
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(SECONDS)


async def test_our_client_refuses_a_server_that_knows_tls_12_only(tmp_path: Path) -> None:
    client = PKI.leaf(PROSECUTOR)
    with old_server(tmp_path) as port:
        # That server is sound otherwise, and so is the client that the node refused above.
        context = tls_client(tmp_path, client, ssl.TLSVersion.TLSv1_2)
        assert await asyncio.to_thread(handshake, port, context) == "TLSv1.2"
        assert await Server(port=port).refuses(client)


@pytest.mark.parametrize(
    ("variable", "first", "accepted"),
    [
        pytest.param("", "gateway.tls", True, id="gateway first"),
        pytest.param("", "grpc", False, id="grpc first"),
        pytest.param("ECDHE-ECDSA-AES128-GCM-SHA256", "gateway.tls", True, id="a weaker list is overruled"),
        pytest.param("ECDHE-ECDSA-AES128-GCM-SHA256", "grpc", False, id="grpc first with a weaker list"),
        pytest.param(tls.NO_TLS12_SUITE, "grpc", True, id="grpc first, but the launcher took care"),
    ],
)
def test_credentials_are_made_only_if_tls_12_is_shut_out(variable: str, first: str, accepted: bool) -> None:
    code = f"import os, {first}\nfrom gateway import tls\ntls.require_tls13()\nprint(os.environ[tls.CIPHER_VARIABLE])"
    paths = ":".join(path for path in sys.path if path)
    environment = {"PYTHONPATH": paths} | ({tls.CIPHER_VARIABLE: variable} if variable else {})
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    if accepted:
        assert done.stdout.strip() == tls.NO_TLS12_SUITE, done.stderr
    else:
        assert "RuntimeError" in done.stderr


NO_CLIENT = replace(profiles.NODE, purposes=(ExtendedKeyUsageOID.SERVER_AUTH,))


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda: None, id="no certificate"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, issued_at=NOW - timedelta(days=31)), id="expired"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, issued_at=NOW + timedelta(days=1)), id="not yet valid"),
        pytest.param(lambda: PKI.leaf(Address("fr", "court")), id="a CA that the directory does not list"),
        pytest.param(lambda: STRANGERS.leaf(PROSECUTOR), id="a CA of the same name with another key"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, signer=PKI.root), id="issued by the root itself"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, signer=PKI.leaf(NODE)), id="issued by a leaf"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, profile=NO_CLIENT), id="not for clients"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, signer=PKI.node_ca("de")), id="vouched for by another State"),
        pytest.param(lambda: PKI.node_ca("ee"), id="the CA itself"),
    ],
)
async def test_a_client_with_a_bad_certificate_is_refused_in_the_handshake(
    server: Server, tmp_path: Path, forge: Callable[[], Holder | None]
) -> None:
    context = tls_client(tmp_path, forge(), ssl.TLSVersion.TLSv1_3)
    with pytest.raises(OSError):  # noqa: PT011  # "alert", "reset" or no byte, by chance of timing
        await asyncio.to_thread(handshake, server.port, context)
    assert server.seen == []


async def test_our_client_and_door_meet_and_the_door_learns_the_certificate(server: Server) -> None:
    client = PKI.leaf(PROSECUTOR)
    assert await server.call(client) == b"hello"
    found = tls.peer_certificate(server.seen[0])
    assert tls.read_leaf(found.leaf_pem) == client.certificate
    assert found.uri_sans == ("spiffe://ee.rogatory.test/prosecutor",)


async def test_a_node_of_another_country_is_let_in(server: Server) -> None:
    assert await server.call(PKI.leaf(Address.of_node("de"))) == b"hello"


async def test_our_client_offers_no_suite_of_tls_12(tmp_path: Path) -> None:
    hellos = asyncio.Queue[bytes]()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hellos.put_nowait(await reader.read(4096))
        writer.close()

    listener = await asyncio.start_server(read, "127.0.0.1", 0)
    async with listener:
        assert await Server(port=listener.sockets[0].getsockname()[1]).refuses(PKI.leaf(PROSECUTOR))
    hello = await asyncio.wait_for(hellos.get(), SECONDS)
    assert set(offered_suites(hello)) <= {0x1301, 0x1302, 0x1303}  # RFC 8446 appendix B.4


def offered_suites(hello: bytes) -> list[int]:
    """Return the cipher suites of a ClientHello in its record (RFC 8446 sections 4.1.2 and 5.1)."""
    at = 5 + 4 + 2 + 32  # headers of record and handshake, legacy version, random
    at += 1 + hello[at]  # legacy session id
    size = int.from_bytes(hello[at : at + 2])
    suites = hello[at + 2 : at + 2 + size]
    return [int.from_bytes(suites[i : i + 2]) for i in range(0, size, 2)]


@pytest.mark.parametrize(
    ("serving", "trusted", "node"),
    [
        pytest.param(lambda: PKI.leaf(Address.of_node("de")), "ee", "ee", id="another country's node"),
        pytest.param(lambda: PKI.leaf(Address.of_node("de")), "de", "ee", id="a name that was not asked for"),
        pytest.param(lambda: PKI.leaf(NODE), "de", "ee", id="the right name under another CA's trust"),
        pytest.param(lambda: PKI.leaf(NODE, signer=PKI.node_ca("de")), "de", "ee", id="named by another State's CA"),
        pytest.param(lambda: STRANGERS.leaf(NODE), "ee", "ee", id="a CA of the same name with another key"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR), "ee", "ee", id="a participant posing as its node"),
        pytest.param(
            lambda: PKI.leaf(NODE, profile=replace(profiles.PARTICIPANT, has_host_name=True)),
            "ee",
            "ee",
            id="a certificate for clients only",
        ),
        pytest.param(lambda: PKI.leaf(NODE, issued_at=NOW - timedelta(days=31)), "ee", "ee", id="expired"),
    ],
)
async def test_our_client_refuses_a_server_that_is_not_the_node_it_means(
    server: Server, serving: Callable[[], Holder], trusted: str, node: str
) -> None:
    server.tls = door(serving())
    assert await server.refuses(PKI.leaf(PROSECUTOR), PKI.node_ca(trusted).pem, node)
    assert server.seen == []


async def test_a_caller_cannot_change_the_name_that_is_checked(server: Server) -> None:
    server.tls = door(PKI.leaf(NODE))
    credentials = channel_credentials(identity(PKI.leaf(PROSECUTOR)), PKI.node_ca("ee").pem)
    override = [("grpc.ssl_target_name_override", host_name("ee", FEDERATION))]
    async with open_channel(f"127.0.0.1:{server.port}", "de", FEDERATION, credentials, override) as channel:
        method: Callable[..., grpc.aio.UnaryUnaryCall[bytes, bytes]] = channel.unary_unary(ECHO)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(b"hello", timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_country_that_leaves_the_directory_is_refused_from_the_next_handshake(server: Server) -> None:
    german = PKI.leaf(Address.of_node("de"))
    assert await server.call(german) == b"hello"
    server.tls = door(None, "ee")
    assert await server.refuses(german)
    assert await server.call(PKI.leaf(PROSECUTOR)) == b"hello"


def test_no_door_is_made_that_trusts_the_whole_world() -> None:
    for make in (
        lambda: server_credentials(lambda: DoorTls(identity(PKI.leaf(NODE)), ())),
        lambda: channel_credentials(identity(PKI.leaf(PROSECUTOR)), b""),
    ):
        with pytest.raises(Refusal) as caught:
            make()
        assert caught.value.code is ErrorCode.BAD_CONFIG


def test_no_repr_shows_a_tls_key() -> None:
    assert "PRIVATE" not in repr(door())


@pytest.mark.parametrize(("asked", "told"), [(None, False), ("ERROR", True)], ids=["by default", "if somebody asks"])
def test_grpc_writes_no_lines_of_its_own_among_our_diagnostics(asked: str | None, *, told: bool) -> None:
    # It complains of a name that has no server in it, without any network.
    code = (
        "from gateway import tls\nimport grpc\n"
        "grpc.insecure_channel('dns://nowhere:x/').unary_unary('/a/b')(b'', timeout=5)"
    )
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    if asked is not None:
        environment[tls.VERBOSITY_VARIABLE] = asked
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "_InactiveRpcError" in done.stderr
    assert (".cc:" in done.stderr) is told
