"""The two doors of a registry, over real TLS: the one that is open to everybody, and the one that is not."""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls as _tls  # noqa: F401  # isort: skip

import asyncio
import resource
import select
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from rogatory.v1 import enrolment_pb2 as pb
from rogatory.v1.enrolment_pb2_grpc import EnrolmentStub, RegistryStub, add_RegistryServicer_to_server

from certs.pki import Holder
from gateway import keys, transport
from gateway.config import Quota
from gateway.doors import enrolment
from gateway.doors.enrolment import Gate, host
from gateway.doors.entrance import Entrance
from gateway.doors.quotas import Quotas
from gateway.doors.registry import RegistryDoor
from gateway.errors import ErrorCode, Failure, GatewayError
from gateway.identity import Address, host_name
from gateway.metrics import NOBODY
from gateway.node import server_options
from gateway.transport import DoorTls, TlsIdentity
from tests import office, world
from tests.office import FEDERATION, NEWCOMER, REGISTRAR, SECOND, Applicant, Bench, application_id
from tests.world import NOW

pytestmark = pytest.mark.integration

SECONDS = 60.0
TOO_LARGE = enrolment.MAX_MESSAGE_BYTES + 1


@dataclass
class Doors:
    """Both doors of node ee, and channels to them."""

    bench: Bench
    door: DoorTls
    enrolment_port: int = 0
    main_port: int = 0
    open: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def stranger(self) -> EnrolmentStub:
        """Connect as somebody who has no certificate."""
        channel = transport.applicant_channel(
            f"127.0.0.1:{self.enrolment_port}", "ee", FEDERATION, office.pki().node_ca("ee").pem
        )
        return EnrolmentStub(await self.open.enter_async_context(channel))

    async def member(self, address: str, identity: TlsIdentity | None = None) -> RegistryStub:
        """Connect as somebody who has one."""
        credentials = transport.channel_credentials(
            identity or issued(Address.parse(address, allow_node=True)), office.pki().node_ca("ee").pem
        )
        channel = transport.open_channel(f"127.0.0.1:{self.main_port}", "ee", FEDERATION, credentials)
        return RegistryStub(await self.open.enter_async_context(channel))


def issued(address: Address) -> TlsIdentity:
    holder: Holder = office.pki().leaf(address, issued_at=datetime.now(UTC))
    return TlsIdentity(holder.key_pem, holder.chain_pem)


async def _nothing_too_new(names: object) -> frozenset[tuple[str, bytes]]:
    return frozenset()


@asynccontextmanager
async def both(folder: Path) -> AsyncIterator[Doors]:
    # TLS reads the machine's clock.
    async with office.office(folder, datetime.now(UTC), certificate_days=1) as bench:
        made = Doors(bench, DoorTls(issued(Address.of_node("ee")), (office.pki().node_ca("ee").pem,)))
        quotas = Quotas(Quota(), 16, bench.clock, NOBODY.quota_reached)
        entrance = Entrance(lambda: bench.material.directory, _nothing_too_new, quotas, bench.clock)
        main = grpc.aio.server()
        add_RegistryServicer_to_server(RegistryDoor(entrance, bench.office), main)
        made.main_port = main.add_secure_port("127.0.0.1:0", transport.server_credentials(lambda: made.door))
        await main.start()
        open_to_all, made.enrolment_port = await enrolment.serve(
            bench.office, "127.0.0.1:0", lambda: made.door, bench.clock
        )
        try:
            async with made.open:
                yield made
        finally:
            await open_to_all.stop(None)
            await main.stop(None)


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with both(tmp_path) as made:
        yield made


async def refused(call: Awaitable[object], code: ErrorCode, field_name: str | None = None) -> GatewayError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(call, SECONDS)
    error = transport.error_of(caught.value)
    assert error.code is code
    assert field_name in (None, error.field)
    return error


async def invited(doors: Doors, applicant: Applicant) -> pb.InviteResponse:
    registrar = await doors.member(REGISTRAR)
    return await registrar.Invite(pb.InviteRequest(address=applicant.address, roles=applicant.roles))


async def test_exchange_enrols_over_the_open_door_and_is_let_in_at_the_other_until_it_is_revoked(doors: Doors) -> None:
    applicant, stranger = Applicant(), await doors.stranger()
    invitation = await invited(doors, applicant)
    request = applicant.request(invitation.code, now=doors.bench.now)
    taken = await stranger.Apply(request)
    assert (taken.application_id, taken.approvals_needed) == (application_id(request), 2)
    for registrar in (REGISTRAR, SECOND):
        decided = office.decision(taken.application_id, registrar, now=doors.bench.now)
        await (await doors.member(registrar)).Decide(decided)
    outcome = await stranger.GetOutcome(pb.GetOutcomeRequest(application_id=taken.application_id))
    assert outcome.state == pb.APPLICATION_STATE_APPROVED
    own = TlsIdentity(keys.pem(applicant.tls), outcome.certificate_chain)
    member = await doors.member(NEWCOMER, own)
    assert (await member.GetProofKey(pb.GetProofKeyRequest())).proof_key == invitation.proof_key
    renewed = await member.Renew(applicant.renew(Applicant(name="next"), now=doors.bench.now))
    assert renewed.keys_valid_from_us
    out = office.revocation(SECOND, doors.bench.now, address=NEWCOMER, participant=True)
    await (await doors.member(SECOND)).Revoke(out)
    await refused(member.GetProofKey(pb.GetProofKeyRequest()), ErrorCode.REVOKED)


async def test_who_has_no_certificate_gets_no_further_than_the_open_door(doors: Doors) -> None:
    channel = transport.applicant_channel(
        f"127.0.0.1:{doors.main_port}", "ee", FEDERATION, office.pki().node_ca("ee").pem
    )
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await RegistryStub(channel).GetProofKey(pb.GetProofKeyRequest(), timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE  # the handshake


async def test_open_door_has_no_service_of_the_other(doors: Doors) -> None:
    channel = transport.applicant_channel(
        f"127.0.0.1:{doors.enrolment_port}", "ee", FEDERATION, office.pki().node_ca("ee").pem
    )
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await RegistryStub(channel).Invite(pb.InviteRequest(address=NEWCOMER, roles=["exchange"]))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("address", [world.COURT, world.EXCHANGE, "ee/operator"])
async def test_non_registrar_invites_decides_lists_and_revokes_nothing(doors: Doors, address: str) -> None:
    member, now = await doors.member(address), doors.bench.now
    about = await doors.bench.applied(Applicant())
    calls: list[Awaitable[object]] = [
        member.Invite(pb.InviteRequest(address="ee/new", roles=["court"])),
        member.ListApplications(pb.ListApplicationsRequest()),
        member.Decide(office.decision(about, address, now=now)),
        member.Revoke(office.revocation(address, now, address=world.COURT, participant=True)),
    ]
    for call in calls:
        await refused(call, ErrorCode.NOT_PERMITTED)


async def test_error_at_the_open_door_comes_whole(doors: Doors) -> None:
    stranger = await doors.stranger()
    await refused(stranger.Apply(Applicant().request("AAAA")), ErrorCode.ENROLMENT_CODE, "code")
    await refused(stranger.Apply(pb.ApplyRequest()), ErrorCode.MALFORMED)
    await refused(stranger.GetOutcome(pb.GetOutcomeRequest(application_id=b"x")), ErrorCode.MALFORMED)
    await refused(stranger.GetOutcome(pb.GetOutcomeRequest(application_id=bytes(32))), ErrorCode.NOT_FOUND)


async def test_large_message_is_not_read(doors: Doors) -> None:
    stranger = await doors.stranger()
    request = pb.ApplyRequest(application=bytes(TOO_LARGE), code="AAAA")
    await refused(stranger.Apply(request), ErrorCode.TOO_LARGE)


async def test_flood_from_one_host_is_told_when_to_come_again(doors: Doors) -> None:
    stranger = await doors.stranger()
    about = pb.GetOutcomeRequest(application_id=bytes(32))
    for _ in range(enrolment.BURST_CALLS_OF_A_HOST):  # the clock stands still
        await refused(stranger.GetOutcome(about), ErrorCode.NOT_FOUND)
    error = await refused(stranger.GetOutcome(about), ErrorCode.OVERLOADED, "CALLS_A_SECOND_OF_A_HOST")
    assert error.retry_after is not None
    doors.bench.pass_time(seconds=error.retry_after)
    await refused(stranger.GetOutcome(about), ErrorCode.NOT_FOUND)


async def test_flood_of_connections_of_strangers_takes_the_main_door_nothing(doors: Doors) -> None:
    """They say nothing; what is above the bound is closed at once, long before a handshake would time out."""
    more = 40
    with ExitStack() as held:
        where = ("127.0.0.1", doors.enrolment_port)
        count = enrolment.MAX_CONNECTIONS + more
        flood = [held.enter_context(socket.create_connection(where, SECONDS)) for _ in range(count)]
        assert await asyncio.to_thread(closed, flood, more) == more
        member = await doors.member(REGISTRAR)
        answer = await asyncio.wait_for(member.GetProofKey(pb.GetProofKeyRequest()), SECONDS)
        assert answer.proof_key == office.proof_public()
        assert await asyncio.to_thread(closed, flood, 0) == more
    stranger = await doors.stranger()  # and who comes after them is served
    about = pb.GetOutcomeRequest(application_id=bytes(32))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stranger.GetOutcome(about, wait_for_ready=True, timeout=SECONDS)
    assert transport.error_of(caught.value).code is ErrorCode.NOT_FOUND


async def test_flood_of_connections_of_strangers_leaves_the_node_files_to_open(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds every descriptor of a process keeps its store from its disk, and its couriers from other nodes."""
    most, more, patience = 32, 40, 5
    monkeypatch.setattr("gateway.node.HANDSHAKE_SECONDS", patience)
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * most, descriptors[1]))
    try:
        options = server_options(office.config(doors.bench.folder))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)
    server = grpc.aio.server(options=options)
    port = server.add_secure_port("127.0.0.1:0", transport.server_credentials(lambda: doors.door))
    await server.start()
    try:
        with ExitStack() as held:
            where = ("127.0.0.1", port)
            flood = [held.enter_context(socket.create_connection(where, SECONDS)) for _ in range(most + more)]
            assert await asyncio.to_thread(closed, flood, more) == more
            # Those that were let near say nothing, and do not keep their places.
            assert await asyncio.to_thread(closed, flood, most + more, 2 * patience) == most + more
    finally:
        await server.stop(None)


def closed(connections: list[socket.socket], wanted: int, seconds: float = 3.0) -> int:
    """Wait until so many are closed by the other end; return how many are."""
    deadline = time.monotonic() + seconds  # unless told, below the time that a handshake may take
    watched = select.poll()  # unlike select(), of as many as there are
    for each in connections:
        watched.register(each, select.POLLIN)
    ended, wait_ms = 0, 0
    while True:
        for number, _ in watched.poll(wait_ms):
            watched.unregister(number)
            ended += 1
        if ended >= wanted or time.monotonic() > deadline:
            return ended
        wait_ms = 200


async def test_unforeseen_error_leaves_nothing_but_a_reference(doors: Doors) -> None:
    async def fail(application_id: bytes) -> pb.GetOutcomeResponse:
        raise RuntimeError("secret")

    doors.bench.office.outcome = fail  # type: ignore[method-assign]
    stranger = await doors.stranger()
    error = await refused(stranger.GetOutcome(pb.GetOutcomeRequest(application_id=bytes(32))), ErrorCode.INTERNAL)
    assert "secret" not in error.detail


async def test_new_certificate_of_the_node_is_shown_at_the_next_handshake(doors: Doors) -> None:
    def shown() -> bytes:
        context = ssl.create_default_context(cadata=office.pki().node_ca("ee").pem.decode())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", doors.enrolment_port), SECONDS) as raw,
            context.wrap_socket(raw, server_hostname=host_name("ee", FEDERATION)) as made,
        ):
            assert made.version() == "TLSv1.3"
            return made.getpeercert(binary_form=True) or b""

    before = await asyncio.to_thread(shown)
    doors.door = DoorTls(issued(Address.of_node("ee")), doors.door.client_cas)
    assert await asyncio.to_thread(shown) != before


async def test_older_tls_is_refused_at_the_open_door(doors: Doors) -> None:
    def connect() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", doors.enrolment_port), SECONDS) as raw,
            context.wrap_socket(raw),
        ):
            pass

    with pytest.raises(ssl.SSLError):
        await asyncio.to_thread(connect)


async def test_port_that_is_taken_is_a_wrong_setting(doors: Doors) -> None:
    with pytest.raises(GatewayError) as caught:
        await enrolment.serve(
            doors.bench.office, f"127.0.0.1:{doors.enrolment_port}", lambda: doors.door, doors.bench.clock
        )
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "registry.listen")


# The gate


@pytest.mark.parametrize(
    ("peer", "named"),
    [
        ("ipv4:192.0.2.7:51234", "192.0.2.7"),
        ("ipv6:[2001:db8:1:2:3:4:5:6]:51234", "2001:db8:1:2::"),
        ("ipv6:%5B2001:db8:1:2::9%5D:1", "2001:db8:1:2::"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:1", "192.0.2.7"),
        ("unix:/run/x", "unix"),
        ("", ""),
    ],
)
def test_host_is_what_a_caller_cannot_easily_change(peer: str, named: str) -> None:
    assert host(peer) == named


def flood(gate: Gate, peer: str) -> tuple[int, str]:
    """Call until it is refused; return how many were let in, and the limit."""
    for let_in in range(10_000):
        try:
            gate.enter(peer)
        except Failure as failure:
            return let_in, failure.field
        gate.leave()
    raise AssertionError("never refused")


def test_flood_of_one_host_leaves_room_for_others() -> None:
    gate = Gate(lambda: NOW)
    assert flood(gate, "ipv4:192.0.2.1:1") == (enrolment.BURST_CALLS_OF_A_HOST, "CALLS_A_SECOND_OF_A_HOST")
    assert flood(gate, "ipv4:192.0.2.1:2") == (0, "CALLS_A_SECOND_OF_A_HOST")
    assert flood(gate, "ipv4:192.0.2.2:1")[0] == enrolment.BURST_CALLS_OF_A_HOST


def test_flood_of_many_hosts_is_bounded_in_calls_and_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolment, "MAX_HOSTS", 3)
    now = [NOW]
    gate = Gate(lambda: now[0])
    let_in = sum(flood(gate, f"ipv4:192.0.2.{number}:1")[0] for number in range(200))
    assert let_in == enrolment.BURST_CALLS
    assert len(gate._hosts) <= 3
    now[0] += timedelta(hours=1)  # those who stayed away are forgotten
    assert flood(gate, "ipv4:198.51.100.1:1")[0] == enrolment.BURST_CALLS_OF_A_HOST
    assert set(gate._hosts) == {"198.51.100.1"}


def test_calls_at_once_are_bounded() -> None:
    gate = Gate(lambda: NOW)
    for number in range(enrolment.MAX_CALLS_AT_ONCE):
        gate.enter(f"ipv4:192.0.2.{number}:1")
    with pytest.raises(Failure) as caught:
        gate.enter("ipv4:192.0.2.200:1")
    assert caught.value.field == "MAX_CALLS_AT_ONCE"
    gate.leave()
    gate.enter("ipv4:192.0.2.200:1")
