"""Attacks with certificates, by name, at the door of a real node, and with servers that pose as one.

The attacker's TLS is OpenSSL's: gRPC's own client does not load some of these certificates, and then a node would
never have been asked. Each attack is made twice: under the node's CA as it is, and under one that a careless country
had the directory list, without name constraints; so that what the door asks again after TLS is seen to hold by itself.
Limbo publishes no private keys: what makes a certificate of its invalid is put on one of ours, if OpenSSL loads that.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls as _tls  # noqa: F401  # isort: skip

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.mailbox_pb2_grpc import MailboxStub
from rogatory.v1.relay_pb2_grpc import RelayStub

from certs import profiles
from certs.pki import DevelopmentPki, Holder
from gateway import transport
from gateway.authenticate import authenticate
from gateway.clock import system_clock
from gateway.errors import ErrorCode
from gateway.identity import Address, host_name
from gateway.transport import DoorTls, TlsIdentity
from tests.federation import Federation, federation, relay_one
from tests.forgery import (
    FEDERATION,
    FOREIGNER,
    FORGERIES,
    LIMBO,
    SPELLINGS,
    Forger,
    mirrored,
    revoking,
    with_signature,
)

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

SECONDS = 60.0


@dataclass
class Door:
    """A node's door, and who may make certificates that it trusts."""

    fed: Federation
    strict: Forger
    careless: Forger
    folder: Path

    async def ask(self, shown: Holder) -> "Answer":
        """Call with that certificate, and say how far it came."""
        shown.write(folder := self.folder / uuid4().hex, "shown")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.strict.root.pem.decode())
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(folder / "shown.pem", folder / "shown.key")
        host, _, port = self.fed.directory.node("ee").endpoint.rpartition(":")
        async with (
            tunnel(host, int(port), context) as (entrance, heard),
            grpc.aio.insecure_channel(f"127.0.0.1:{entrance}") as channel,
        ):
            try:
                await MailboxStub(channel).Submit(mailbox.SubmitRequest(), timeout=SECONDS)
            except grpc.aio.AioRpcError as error:
                return Answer(heard.is_set(), transport.error_of(error).code)
        return Answer(heard.is_set(), None)


@dataclass(frozen=True)
class Answer:
    """What came of a call.

    Args:
        tls: whether TLS let the caller in. In TLS 1.3 only the server's first bytes tell.
        code: what the door refused with; UNAVAILABLE if no answer of the node's came. None: it let the caller in.
    """

    tls: bool
    code: ErrorCode | None


LET_IN = Answer(tls=True, code=None)
REFUSED_BY_TLS = Answer(tls=False, code=ErrorCode.UNAVAILABLE)
REFUSED_BY_THE_DOOR = Answer(tls=True, code=ErrorCode.UNKNOWN_PEER)


@asynccontextmanager
async def tunnel(host: str, port: int, context: ssl.SSLContext) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Carry plain bytes that come to a port into TLS; yield the port, and what tells that the server spoke."""
    heard = asyncio.Event()
    served: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(1))
        heard.set()
        await carry(reader, writer)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(running())
        name = host_name("ee", FEDERATION)
        writers = [writer]
        try:
            there, onwards = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
            writers.append(onwards)
            await first_to_end(carry(reader, onwards), answer(there, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for each in writers:
                each.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard
        await asyncio.gather(*served)


def running() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def first_to_end(*works: Coroutine[None, None, None]) -> None:
    """Run all until one has ended, and raise what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def load(path: Path) -> Holder:
    key = load_pem_private_key(path.with_suffix(".key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Holder(x509.load_pem_x509_certificate(path.with_suffix(".pem").read_bytes()), key)


def forger_of(fed: Federation) -> Forger:
    """Hold the federation's own CAs."""
    pki = fed.summary.folder / "pki"
    return Forger(load(pki / "ee" / "ca"), load(pki / "de" / "ca"), load(pki / "root"), datetime.now(UTC))


def list_cas(fed: Federation, listed: Callable[[str, str], str]) -> None:
    """Have the directory list other CAs, given a node's code and its present one."""
    directory = fed.directory
    nodes = tuple(node.model_copy(update={"ca": listed(node.code, node.ca)}) for node in directory.nodes)
    fed.sign_anew(directory.model_copy(update={"nodes": nodes}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("certificates")
    async with federation(folder / "fed", start=()) as fed:
        strict = forger_of(fed)
        careless = {code: DevelopmentPki(f"careless.{code}", strict.now).root for code in ("ee", "de")}
        list_cas(fed, lambda code, ca: ca + careless[code].pem.decode())
        await fed.start("ee")
        yield Door(fed, strict, replace(strict, ee=careless["ee"], de=careless["de"]), folder)


async def test_honest_leaf_is_let_in_so_that_the_attacks_below_fail_for_their_own_reason(door: Door) -> None:
    for forger in (door.strict, door.careless):
        for made in (forger.leaf(), forger.altered(), forger.leaf(FOREIGNER, signer=forger.de)):
            assert await door.ask(made) == LET_IN


@pytest.mark.parametrize("attack", FORGERIES)
async def test_forged_certificate_is_let_in_by_no_door(door: Door, attack: str) -> None:
    forgery = FORGERIES[attack]
    wanted = REFUSED_BY_TLS if forgery.tls_refuses else REFUSED_BY_THE_DOOR
    assert await door.ask(forgery.make(door.strict)) == wanted


@pytest.mark.parametrize("attack", FORGERIES)
async def test_forged_certificate_of_a_careless_ca_is_let_in_by_no_door(door: Door, attack: str) -> None:
    forgery = FORGERIES[attack]
    wanted = REFUSED_BY_TLS if forgery.tls_refuses_under_careless_ca else REFUSED_BY_THE_DOOR
    assert await door.ask(forgery.make(door.careless)) == wanted


@pytest.mark.parametrize("attack", SPELLINGS)
async def test_spiffe_id_in_another_spelling_is_let_in_by_no_door(door: Door, attack: str) -> None:
    assert await door.ask(door.strict.leaf(uris=[SPELLINGS[attack]])) in {REFUSED_BY_TLS, REFUSED_BY_THE_DOOR}
    assert await door.ask(door.careless.leaf(uris=[SPELLINGS[attack]])) == REFUSED_BY_THE_DOOR


async def test_chain_of_two_leaves_is_let_in_as_the_one_whose_key_was_proven(door: Door) -> None:
    """The other one here is of nobody known, so that the answer tells which of them was read."""
    known, unknown = door.strict.leaf(), door.strict.leaf(Address("ee", "nobody"))
    assert await door.ask(replace(known, chain=(unknown.certificate, *known.chain))) == LET_IN
    assert await door.ask(replace(unknown, chain=(known.certificate, *unknown.chain))) == REFUSED_BY_THE_DOOR


# An extension that makes limbo's leaf or root invalid, as it is there, on a leaf of ours: its OID, in DER as well; how
# far it comes. Name constraints in a leaf are forbidden to CAs (RFC 5280 section 4.2.1.10), constrain nobody,
# and were put there by the node's own CA: the one label of these that a node does not share.
GRAFTS = {
    "rfc5280::unknown-critical-extension-ee": ("1.3.6.1.4.1.55738.666.1", "060b2b0601040183b33a851a01", REFUSED_BY_TLS),
    "rfc5280::ee-critical-aia-invalid": ("1.3.6.1.5.5.7.1.1", "06082b06010505070101", REFUSED_BY_TLS),
    "rfc5280::nc::invalid-ipv6-address": ("2.5.29.30", "0603551d1e", REFUSED_BY_THE_DOOR),
    "rfc5280::nc::invalid-dnsname": ("2.5.29.30", "0603551d1e", REFUSED_BY_THE_DOOR),
    "rfc5280::nc::not-allowed-in-ee-critical": ("2.5.29.30", "0603551d1e", LET_IN),
}


def extension_of(case_id: str, oid: str, oid_der: str) -> x509.UnrecognizedExtension:
    """Return an extension without reading it: some cannot be read."""
    case = next(case for case in LIMBO if case["id"] == case_id)
    for pem in (case["peer_certificate"], *case["trusted_certs"]):
        _, found, rest = ssl.PEM_cert_to_DER_cert(pem).partition(bytes.fromhex(oid_der))
        if found:
            rest = rest.removeprefix(b"\x01\x01\xff")  # critical
            assert rest[0] == 0x04
            assert rest[1] < 0x80
            return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), rest[2 : 2 + rest[1]])
    raise KeyError(case_id)


@pytest.mark.parametrize("case", GRAFTS)
async def test_what_makes_a_published_certificate_invalid_shuts_out_a_leaf_that_bears_it(door: Door, case: str) -> None:
    oid, oid_der, wanted = GRAFTS[case]
    extension = extension_of(case, oid, oid_der)
    assert [await door.ask(forger.altered(extension)) for forger in (door.strict, door.careless)] == [wanted] * 2


async def test_over_long_certificate_is_let_in_by_no_door_and_shuts_nobody_else_out(door: Door) -> None:
    """The buffers of gRPC's TLS are too small for it already; the bound of `gateway.tls` comes after them."""
    answer = await door.ask(door.strict.padded())
    assert answer.code in {ErrorCode.UNAVAILABLE, ErrorCode.UNKNOWN_PEER}
    assert await door.ask(door.strict.leaf()) == LET_IN


async def test_revoked_certificate_whose_signature_was_rewritten_is_let_in_by_no_door(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=()) as fed:
        forger = forger_of(fed)
        leaf = forger.leaf()
        twin = replace(leaf, certificate=with_signature(leaf.certificate, mirrored(leaf.certificate.signature)))
        peer = authenticate(leaf.pem, fed.directory, forger.now)
        fed.sign_anew(revoking(fed.directory, peer.certificate_fingerprint))
        await fed.start("ee")
        door = Door(fed, forger, forger, tmp_path)
        assert await door.ask(forger.leaf()) == LET_IN
        assert await door.ask(leaf) == Answer(tls=True, code=ErrorCode.REVOKED)
        assert (await door.ask(twin)).code in {ErrorCode.REVOKED, ErrorCode.UNKNOWN_PEER}


async def test_connection_that_stands_does_not_outlive_its_certificate(tmp_path: Path) -> None:
    """TLS looks at the time in the handshake alone."""
    late = timedelta()
    async with federation(tmp_path / "fed", start=(), clock=lambda: system_clock() + late) as fed:
        await fed.start("ee")
        leaf = forger_of(fed).leaf(lifetime=timedelta(minutes=10))
        identity = TlsIdentity(leaf.key_pem, leaf.chain_pem)
        async with transport.channel_to(fed.directory.node("ee"), FEDERATION, identity) as channel:
            await MailboxStub(channel).Submit(mailbox.SubmitRequest(), timeout=SECONDS)
            late = timedelta(minutes=11)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await MailboxStub(channel).Submit(mailbox.SubmitRequest(), timeout=SECONDS)
    assert transport.error_of(caught.value).code is ErrorCode.UNKNOWN_PEER


@dataclass
class Rogue:
    """A server where a node is thought to be, with a certificate of the attacker's choice."""

    seen: list[str] = field(default_factory=list)

    async def take(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.seen.append("Submit")
        return mailbox.SubmitResponse().SerializeToString()

    async def take_stream(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        async for _ in requests:
            self.seen.append("Relay")
            yield relay.RelayResponse().SerializeToString()

    @asynccontextmanager
    async def serving(self, shown: Holder, client_cas: tuple[bytes, ...]) -> AsyncIterator[str]:
        """Serve, and yield the endpoint."""
        identity = TlsIdentity(shown.key_pem, shown.chain_pem)
        server = grpc.aio.server()
        submit: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self.take)
        stream: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(self.take_stream)
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler("rogatory.v1.Mailbox", {"Submit": submit}),
                grpc.method_handlers_generic_handler("rogatory.v1.Relay", {"Relay": stream}),
            )
        )
        credentials = transport.server_credentials(lambda: DoorTls(identity, client_cas))
        port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)


ESTONIAN_NODE = Address.of_node("ee")
GERMAN_NODE = Address.of_node("de")
SERVER_ONLY = replace(profiles.PARTICIPANT, has_host_name=True)
ROGUES: dict[str, Callable[[Forger], Holder]] = {
    "participant of the same node": lambda f: f.leaf(FOREIGNER, signer=f.de),
    "participant of the same node with the node's host name": lambda f: f.leaf(
        FOREIGNER, signer=f.de, profile=SERVER_ONLY
    ),
    "participant of the same node with serverAuth": lambda f: f.leaf(
        FOREIGNER, signer=f.de, profile=replace(profiles.NODE, has_host_name=False)
    ),
    "participant of another node": lambda f: f.leaf(),
    "node of another country": lambda f: f.leaf(ESTONIAN_NODE),
    "node of another country in this one's name": lambda f: f.leaf(GERMAN_NODE),
    "node without its host name": lambda f: f.leaf(
        GERMAN_NODE, signer=f.de, profile=replace(profiles.NODE, has_host_name=False)
    ),
    "node in its own name, signed by the development root": lambda f: f.leaf(GERMAN_NODE, signer=f.root),
    "node in its own name, signed by a participant": lambda f: f.leaf(
        GERMAN_NODE, signer=f.leaf(FOREIGNER, signer=f.de)
    ),
    "node, expired": lambda f: f.leaf(
        GERMAN_NODE, signer=f.de, issued_at=f.now - timedelta(days=2), lifetime=timedelta(days=1)
    ),
    "node, not yet valid": lambda f: f.leaf(GERMAN_NODE, signer=f.de, issued_at=f.now + timedelta(days=1)),
    "node with a certificate for any purpose": lambda f: f.leaf(
        GERMAN_NODE, signer=f.de, profile=replace(profiles.NODE, purposes=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,))
    ),
}


async def calls(door: Door, rogue: Rogue, shown: Holder) -> dict[str, ErrorCode | None]:
    """Call node de as its participant and as node ee, where the rogue is; return what came of each."""
    forger = door.strict
    callers = {"de/exchange": forger.leaf(FOREIGNER, signer=forger.de), "ee/node": forger.leaf(ESTONIAN_NODE)}
    got: dict[str, ErrorCode | None] = {}
    async with rogue.serving(shown, (forger.ee.pem, forger.de.pem)) as endpoint:
        node = door.fed.directory.node("de").model_copy(update={"endpoint": endpoint})
        for name, caller in callers.items():
            identity = TlsIdentity(caller.key_pem, caller.chain_pem)
            async with transport.channel_to(node, FEDERATION, identity) as channel:
                try:
                    if caller is callers["ee/node"]:
                        await relay_one(RelayStub(channel), relay.RelayRequest(frame=1))
                    else:
                        await MailboxStub(channel).Submit(mailbox.SubmitRequest(), timeout=SECONDS)
                except grpc.aio.AioRpcError as error:
                    got[name] = transport.error_of(error).code
                else:
                    got[name] = None
    return got


@pytest.mark.parametrize("attack", ROGUES)
async def test_no_client_and_no_node_speaks_to_a_server_that_is_not_the_node_it_means(door: Door, attack: str) -> None:
    rogue = Rogue()
    got = await calls(door, rogue, ROGUES[attack](door.strict))
    assert got == {"de/exchange": ErrorCode.UNAVAILABLE, "ee/node": ErrorCode.UNAVAILABLE}
    assert rogue.seen == []


async def test_server_that_is_the_node_is_spoken_to_so_that_those_above_are_refused_for_what_they_are(
    door: Door,
) -> None:
    rogue = Rogue()
    got = await calls(door, rogue, door.strict.leaf(GERMAN_NODE, signer=door.strict.de))
    assert got == {"de/exchange": None, "ee/node": None}
    assert rogue.seen == ["Submit", "Relay"]
