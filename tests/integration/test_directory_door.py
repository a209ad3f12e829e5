"""The directory on its way between nodes: real gRPC, mutual TLS, real threads, one door of a node and those who ask."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import grpc.aio
import pytest
from rogatory.v1 import directory_pb2 as pb
from rogatory.v1.directory_pb2_grpc import DirectoryStub, add_DirectoryServicer_to_server
from tuf.api.metadata import Metadata, TargetFile, Targets

from gateway import config, keys, material, mirror, transport
from gateway.cli.development import Summary, init_federation
from gateway.clock import system_clock
from gateway.config import Quota
from gateway.directory import Directory, KeyName, Status
from gateway.doors.directory import PIECE_BYTES, DirectoryDoor
from gateway.doors.entrance import Entrance
from gateway.doors.quotas import Quotas
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.material import NodeMaterial
from gateway.metrics import NOBODY
from gateway.offering import Offering, Pauses
from gateway.publisher import Publisher
from gateway.transport import DoorTls, TlsIdentity
from gateway.trust import client, development
from gateway.trust.copy import NAME, NOTHING, GoodCopy, Held
from gateway.trust.lists import SignedList
from gateway.trust.repository import Repository
from gateway.trust.roles import HASH, TIMESTAMP, list_path, node_role
from gateway.trust.signing import signer_of
from tests.errors import raises
from tests.federation import UNTIL_SECONDS, ports, until

pytestmark = pytest.mark.integration

NOW = system_clock()  # TLS asks no clock of ours
QUICK = Pauses(0.01, 0.05)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    folder = tmp_path_factory.mktemp("made") / "fed"
    return init_federation(folder, ["ee", "de"], ports(2), NOW, publisher=True)


@dataclass
class Bench:
    """Node ee, as far as its Directory door goes; everybody's keys and settings in a folder."""

    folder: Path
    now: datetime = NOW
    endpoint: str = ""
    looks: int = 0
    publisher: Publisher | None = None
    entrance: Entrance | None = None
    frozen: bool = False  # what it looks at stays as it is
    served: NodeMaterial = field(init=False)

    def __post_init__(self) -> None:
        self.served = self.node("ee")

    def clock(self) -> datetime:
        return self.now

    def node(self, code: str) -> NodeMaterial:
        return material.load_node(self.folder / code / "node.toml", self.clock)

    def participant(self, address: str) -> material.ParticipantMaterial:
        return material.load_participant(self.folder / address / "participant.toml", self.clock)

    def directory(self) -> Directory:
        return self.served.directory

    async def look(self) -> None:
        self.looks += 1
        if not self.frozen:
            self.served = await asyncio.to_thread(self.node, "ee")

    @property
    def repository(self) -> Repository:
        return Repository(self.folder / development.REPOSITORY)

    def publisher_key(self) -> Path:
        return development.publisher_key(self.folder)

    def news(self) -> int:
        """Publish something, have the node hear it, and return the version of its timestamp."""
        self.repository.publish(keys.load_signing_key(self.publisher_key()), self.now)
        self.served = self.node("ee")
        return self.served.trusted.version(TIMESTAMP)

    def fetch(self, identity: TlsIdentity, known: Held = NOTHING, seconds: float = 10) -> dict[str, bytes] | None:
        """Ask the node, in this thread."""
        entry = self.served.entry.model_copy(update={"endpoint": self.endpoint})
        return mirror.fetch(entry, "rogatory.test", identity, known, seconds)

    async def ask(self, identity: TlsIdentity, known: Held = NOTHING) -> dict[str, bytes] | None:
        return await asyncio.to_thread(self.fetch, identity, known)

    def channel(self, identity: TlsIdentity) -> grpc.aio.Channel:
        return transport.channel_to(
            self.served.entry.model_copy(update={"endpoint": self.endpoint}), "rogatory.test", identity
        )

    async def offer(self, identity: TlsIdentity, signed: SignedList) -> int:
        channel = self.channel(identity)
        try:
            request = pb.OfferRequest(metadata=signed.metadata, list=signed.content)
            return (await DirectoryStub(channel).Offer(request, timeout=UNTIL_SECONDS)).version
        except grpc.aio.AioRpcError as error:
            raise transport.error_of(error) from error
        finally:
            await channel.close()

    def signed_list(self, code: str, version: int, signer: str | None = None) -> SignedList:
        entries = self.repository.list_of(code)
        revoked = entries.participants[-1].model_copy(update={"status": Status.REVOKED})
        entries = entries.model_copy(update={"participants": (*entries.participants[:-1], revoked)})
        key = keys.load_signing_key(development.node_key(self.folder, signer or code))
        return SignedList.sign(key, entries, version, self.now)


async def nothing_too_new(_keys: Collection[KeyName]) -> frozenset[KeyName]:
    return frozenset()


@asynccontextmanager
async def opened(bench: Bench, *, quota: Quota | None = None) -> AsyncIterator[Bench]:
    """Open the door."""
    quotas = Quotas(quota or Quota(), 16, bench.clock, NOBODY.quota_reached)
    entrance = bench.entrance = Entrance(bench.directory, nothing_too_new, quotas, bench.clock)
    source = bench.served.config.directory
    door = DirectoryDoor(entrance, source, bench.publisher, bench.look, bench.clock)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 8 << 20)])
    add_DirectoryServicer_to_server(door, server)
    cas = tuple(node.ca_pem for node in bench.served.directory.nodes)
    tls = DoorTls(bench.served.identity, cas)
    port = server.add_secure_port("127.0.0.1:0", transport.server_credentials(lambda: tls))
    await server.start()
    bench.endpoint = f"127.0.0.1:{port}"
    try:
        yield bench
    finally:
        await server.stop(None)


@pytest.fixture
def quiet(template: Summary, tmp_path: Path) -> Bench:
    """A bench whose door is not open yet."""
    return Bench(shutil.copytree(template.folder, tmp_path / "fed"))


@pytest.fixture
async def bench(quiet: Bench) -> AsyncIterator[Bench]:
    """The node publishes."""
    settings = config.Publisher(key=quiet.publisher_key(), repository=quiet.repository.folder)
    quiet.publisher = Publisher(settings, None, quiet.clock)
    async with opened(quiet) as made:
        yield made


def copy_of(bench: Bench, code: str = "ee") -> GoodCopy:
    found = GoodCopy.read(bench.folder / code / "directory")
    assert found is not None
    return found


async def refused(asking: "asyncio.Future[object] | object") -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await asking  # type: ignore[misc]
    return caught.value


# GetDirectory


@pytest.mark.parametrize("who", ["de/node", "ee/prosecutor", "ee/auditor", "ee/operator"])
async def test_whoever_is_in_the_federation_gets_the_copy_of_the_node(bench: Bench, who: str) -> None:
    code, _, name = who.partition("/")
    identity = bench.node(code).identity if name == "node" else bench.participant(who).identity
    assert await bench.ask(identity) == copy_of(bench).served()


async def test_node_that_cannot_reach_what_is_published_hears_the_news_from_another(bench: Bench) -> None:
    there = bench.node("de")
    version = bench.news()
    shutil.rmtree(bench.folder / development.REPOSITORY)
    source = there.config.directory
    assert client.load(source, NOW).problem is not None
    mirrored = await bench.ask(there.identity, there.trusted.held)
    heard = client.load(source, NOW, mirrored)
    assert heard.problem is None
    assert heard.version(TIMESTAMP) == version > there.trusted.version(TIMESTAMP)


async def test_participant_reads_the_directory_from_its_own_node(bench: Bench) -> None:
    loaded = bench.participant("ee/prosecutor")
    (bench.folder / "ee-ca.pem").write_bytes(bench.served.entry.ca_pem)
    fields = {"root": bench.folder / "root.json", "cache": bench.folder / "own", "ca": bench.folder / "ee-ca.pem"}
    source = config.DirectorySource.model_validate({**fields, "repository": f"grpcs://{bench.endpoint}"})
    for wanted in (0, bench.news()):
        found = await asyncio.to_thread(mirror.find, source, loaded.identity, NOW)
        assert found.problem is None
        assert found.version(TIMESTAMP) >= wanted
    assert found.directory.participants == bench.directory().participants


async def test_nothing_newer_is_nothing_at_all(bench: Bench) -> None:
    identity, (root, version) = bench.node("de").identity, bench.served.trusted.held
    assert await bench.ask(identity, Held(root, version)) is None
    assert await bench.ask(identity, Held(root, version + 7)) is None
    assert await bench.ask(identity, Held(root, version - 1)) is not None
    assert bench.news() == version + 1
    assert await bench.ask(identity, Held(root, version)) == copy_of(bench).served()


async def test_directory_of_a_newer_root_is_newer_whatever_its_timestamp(bench: Bench) -> None:
    """A caller of before does not say which root it holds, and is told by timestamps alone, as before."""
    identity, version = bench.node("de").identity, bench.served.trusted.version(TIMESTAMP)
    founders = [keys.load_signing_key(development.founder_key(bench.folder, number)) for number in (1, 2, 3)]
    bench.repository.propose_root(bench.repository.keys(), NOW)
    for each in founders[: development.THRESHOLD]:
        bench.repository.sign(each)
    bench.news()
    newest = copy_of(bench)
    assert newest.held.root == 2
    assert await bench.ask(identity, Held(1, version + 70)) == newest.served()
    assert await bench.ask(identity, Held(0, version + 70)) is None
    assert await bench.ask(identity, Held(2, version + 70)) is None
    assert await bench.ask(identity, Held(3, version - 1)) is None


async def test_expired_directory_is_handed_out_all_the_same(bench: Bench) -> None:
    """How else would a node that slept hear the news?"""
    identity = bench.node("de").identity
    bench.served = replace(
        bench.served, directory=bench.served.directory.model_copy(update={"expires": NOW - timedelta(days=1)})
    )
    with raises(ErrorCode.DIRECTORY_EXPIRED):
        bench.directory().check_in_force(NOW)
    assert await bench.ask(identity) == copy_of(bench).served()


async def test_revoked_participant_gets_nothing(bench: Bench) -> None:
    identity = bench.participant("ee/registrar-2").identity  # the last one in the list
    assert bench.publisher is not None
    bench.publisher.accept(bench.signed_list("ee", 2), NOW)
    await bench.look()
    assert (await refused(bench.ask(identity))).code is ErrorCode.REVOKED


async def test_large_directory_comes_in_pieces_and_whole(bench: Bench) -> None:
    copy = copy_of(bench)
    large = "x" * (3 * PIECE_BYTES + 17)
    files = {**copy.files, "metadata/9.large.json": large.encode(), "metadata/10.empty.json": b""}
    GoodCopy(checked=copy.checked, files=files, lists=copy.lists).write(bench.folder / "ee" / "directory")
    found = await bench.ask(bench.node("de").identity)
    assert found is not None
    assert (found["metadata/9.large.json"], found["metadata/10.empty.json"]) == (large.encode(), b"")
    channel = bench.channel(bench.node("de").identity)
    sizes = [len(each.piece) async for each in DirectoryStub(channel).GetDirectory(pb.GetDirectoryRequest())]
    await channel.close()
    assert max(sizes) == PIECE_BYTES


async def test_copy_is_read_again_only_when_it_has_changed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    identity, read = bench.node("de").identity, list[Path]()
    really = GoodCopy.read

    def reading(cache: Path) -> GoodCopy | None:
        read.append(cache)
        return really(cache)

    monkeypatch.setattr("gateway.doors.directory.GoodCopy.read", reading)
    for _ in range(3):
        await bench.ask(identity)
    assert len(read) == 1
    monkeypatch.undo()
    version = bench.news()
    found = await bench.ask(identity, Held(1, version - 1))
    assert found is not None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"checked": "2026-03-01T12:00:00Z", "files": {}, "lists": {}}', None]
)
async def test_node_without_a_copy_says_so(bench: Bench, content: bytes | None) -> None:
    identity, path = bench.node("de").identity, bench.folder / "ee" / "directory" / NAME
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    error = await refused(bench.ask(identity))
    assert isinstance(error, Failure)
    assert error.code is ErrorCode.UNAVAILABLE


async def test_who_asks_too_often_is_told_to_come_again(quiet: Bench) -> None:
    quota = Quota.model_validate({"participant": {"queries_per_second": 1, "burst_queries": 2}})
    async with opened(quiet, quota=quota) as bench:
        identity = bench.participant("ee/prosecutor").identity
        for _ in range(2):
            await bench.ask(identity)
        error = await refused(bench.ask(identity))
        assert error.code is ErrorCode.OVERLOADED
        assert error.retry_after
        assert await bench.ask(bench.node("de").identity)  # the others notice nothing


async def test_who_fetches_it_over_and_over_is_slowed_down_by_its_size(quiet: Bench) -> None:
    size = sum(map(len, copy_of(quiet).served().values()))
    assert size < 1 << 18
    quota = Quota.model_validate({"participant": {"bytes_per_second": 1 << 10, "burst_bytes": 1 << 18}})
    async with opened(quiet, quota=quota) as bench:
        identity = bench.participant("ee/prosecutor").identity
        held = bench.served.trusted.held
        for _ in range((1 << 18) // size):
            await bench.ask(identity)
        error = await refused(bench.ask(identity))
        assert (error.code, error.retry_after is not None) == (ErrorCode.OVERLOADED, True)
        assert await bench.ask(identity, held) is None  # to hear that there is nothing newer costs nothing of that


async def test_certificate_of_nobody_s_is_let_in_nowhere(bench: Bench, template: Summary, tmp_path: Path) -> None:
    other = init_federation(tmp_path / "other", ["de"], ports(1), NOW)
    stranger = material.load_node(other.config("de/node"), lambda: NOW).identity
    error = await refused(bench.ask(stranger))
    assert error.code is ErrorCode.UNAVAILABLE  # TLS knows no codes of ours


async def test_node_under_another_s_certificate_is_not_asked(bench: Bench) -> None:
    """Whoever got hold of the address of ee has the certificate of somebody else."""
    entry = bench.node("de").entry.model_copy(update={"endpoint": bench.endpoint})
    with pytest.raises(Failure) as caught:
        await asyncio.to_thread(mirror.fetch, entry, "rogatory.test", bench.node("de").identity, NOTHING)
    assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_node_that_is_silent_costs_no_more_than_the_time_that_it_was_given(quiet: Bench) -> None:
    held = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    quiet.endpoint = f"{host}:{port}"
    identity = quiet.node("de").identity
    try:
        async with asyncio.timeout(UNTIL_SECONDS):
            error = await refused(asyncio.to_thread(quiet.fetch, identity, NOTHING, 0.3))
    finally:
        held.set()
        server.close()
    assert error.code is ErrorCode.UNAVAILABLE


# Offer


async def test_list_that_a_node_offers_is_published_and_in_force_when_it_is_answered(bench: Bench) -> None:
    there = bench.node("de")
    assert await bench.offer(there.identity, bench.signed_list("de", 2)) == 2
    assert bench.looks == 1
    assert bench.served.trusted.version("node-de") == 2
    assert bench.node("de").trusted.version("node-de") == 2
    assert await bench.offer(there.identity, bench.signed_list("de", 2)) == 2  # the same again
    assert await bench.offer(there.identity, bench.signed_list("de", 1)) == 2  # an older one, late


@pytest.mark.parametrize(
    ("make_list", "code"),
    [
        pytest.param(lambda bench: bench.signed_list("ee", 2), ErrorCode.BAD_DIRECTORY, id="of another node"),
        pytest.param(lambda bench: bench.signed_list("de", 2, "ee"), ErrorCode.BAD_DIRECTORY, id="by another's key"),
        pytest.param(
            lambda bench: replace(bench.signed_list("de", 2), content=b"{}"), ErrorCode.BAD_DIRECTORY, id="altered"
        ),
        pytest.param(
            lambda bench: replace(bench.signed_list("de", 2), metadata=b"["), ErrorCode.BAD_DIRECTORY, id="no metadata"
        ),
        pytest.param(lambda bench: replace(bench.signed_list("de", 2), metadata=b""), ErrorCode.MALFORMED, id="empty"),
        pytest.param(
            lambda bench: replace(bench.signed_list("de", 2), content=b" " * (5 << 20)), ErrorCode.MALFORMED, id="large"
        ),
    ],
)
async def test_wrong_list_is_not_published(
    bench: Bench, make_list: Callable[[Bench], SignedList], code: ErrorCode
) -> None:
    error = await refused(bench.offer(bench.node("de").identity, make_list(bench)))
    assert error.code is code
    assert bench.repository.list_version("de") == bench.repository.list_version("ee") == 1


async def test_node_that_offers_over_and_over_is_told_to_come_again_by_the_size_of_what_it_offers(quiet: Bench) -> None:
    quota = Quota.model_validate({"node": {"bytes_per_second": 1 << 10, "burst_bytes": 1 << 18}})
    settings = config.Publisher(key=quiet.publisher_key(), repository=quiet.repository.folder)
    quiet.publisher = Publisher(settings, None, quiet.clock)
    there = quiet.node("de").identity
    async with opened(quiet, quota=quota) as bench:
        for version in (2, 3):
            assert await bench.offer(there, large_list(bench, version, 100 << 10)) == version
        error = await refused(bench.offer(there, large_list(bench, 4, 100 << 10)))
        assert (error.code, error.field) == (ErrorCode.OVERLOADED, "bytes_per_second")
        assert error.retry_after
        assert published(bench, "de") == 3
        bench.now += timedelta(seconds=error.retry_after)
        assert await bench.offer(there, large_list(bench, 4, 100 << 10)) == 4


async def test_list_that_is_larger_than_a_burst_is_taken_all_the_same(quiet: Bench) -> None:
    """Else a country would grow, and one day nobody could publish its list any more."""
    quota = Quota.model_validate({"node": {"bytes_per_second": 1 << 10, "burst_bytes": 1 << 18}})
    settings = config.Publisher(key=quiet.publisher_key(), repository=quiet.repository.folder)
    quiet.publisher = Publisher(settings, None, quiet.clock)
    async with opened(quiet, quota=quota) as bench:
        assert await bench.offer(bench.node("de").identity, large_list(bench, 2, 1 << 19)) == 2
        error = await refused(bench.offer(bench.node("de").identity, bench.signed_list("de", 3)))
        assert error.code is ErrorCode.OVERLOADED


def large_list(bench: Bench, version: int, size: int) -> SignedList:
    """Return a node's list with as many spaces at its end."""
    made, key = bench.signed_list("de", version), keys.load_signing_key(development.node_key(bench.folder, "de"))
    metadata: Metadata[Targets] = Metadata.from_bytes(made.metadata)
    content, path = made.content + b" " * (size - len(made.content)), list_path("de")
    metadata.signed.targets[path] = TargetFile.from_data(path, content, [HASH])
    metadata.sign(signer_of(key))
    return replace(made, metadata=metadata.to_bytes(), content=content)


class Gate(Publisher):
    """A publisher that is slow; it counts how many it is asked to publish for at once."""

    at_once = most = 0

    def accept(self, signed: SignedList, now: datetime) -> int:
        with self.counting:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        try:
            assert self.go.wait(20)
            return super().accept(signed, now)
        finally:
            with self.counting:
                self.at_once -= 1

    def __init__(self, bench: Bench) -> None:
        settings = config.Publisher(key=bench.publisher_key(), repository=bench.repository.folder)
        super().__init__(settings, None, bench.clock)
        self.counting, self.go = threading.Lock(), threading.Event()


async def test_lists_that_are_offered_at_once_are_published_one_after_the_other(quiet: Bench) -> None:
    """Those who wait hold no thread: envelopes are verified in these."""
    gate = quiet.publisher = Gate(quiet)
    there = quiet.node("de").identity
    async with opened(quiet) as bench:
        asked = [asyncio.create_task(bench.offer(there, bench.signed_list("de", version))) for version in range(2, 10)]
        await until(lambda: gate.at_once > 0 and bench.entrance is not None and len(bench.entrance._open) == len(asked))
        gate.go.set()
        versions = await asyncio.gather(*asked, return_exceptions=True)
        assert gate.most == 1
        assert [each for each in versions if isinstance(each, BaseException)] == []
        assert published(bench, "de") == 9


async def test_node_that_is_revoked_while_its_offer_waits_publishes_nothing(quiet: Bench) -> None:
    gate = quiet.publisher = Gate(quiet)
    async with opened(quiet) as bench:
        first = asyncio.create_task(bench.offer(bench.node("ee").identity, bench.signed_list("ee", 2)))
        await until(lambda: gate.at_once == 1)
        second = asyncio.create_task(bench.offer(bench.node("de").identity, bench.signed_list("de", 2)))
        await until(lambda: bench.entrance is not None and len(bench.entrance._open) == 2)
        said = bench.served.directory.model_dump()
        for node in said["nodes"]:
            node["status"] = Status.REVOKED if node["code"] == "de" else node["status"]
        bench.served = replace(bench.served, directory=Directory.model_validate(said))
        bench.frozen = True
        gate.go.set()
        await first
        assert (await refused(second)).code is ErrorCode.REVOKED
        assert published(bench, "de") == 1


@pytest.mark.parametrize("who", ["ee/registrar", "ee/operator"])
async def test_participant_offers_no_list(bench: Bench, who: str) -> None:
    error = await refused(bench.offer(bench.participant(who).identity, bench.signed_list("ee", 2)))
    assert error.code is ErrorCode.NOT_PERMITTED


async def test_node_that_publishes_nothing_takes_no_list(quiet: Bench) -> None:
    async with opened(quiet) as bench:
        error = await refused(bench.offer(bench.node("de").identity, bench.signed_list("de", 2)))
    assert error.code is ErrorCode.NOT_PERMITTED


# Offering


@asynccontextmanager
async def offering(bench: Bench, code: str, publisher: Publisher | None = None) -> AsyncIterator[Offering]:
    """A node's own carrier, at work."""
    identity = bench.node(code).identity
    made = Offering(
        code, lambda: bench.node(code).trusted, publisher, lambda _: bench.channel(identity), bench.clock, QUICK
    )
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def published(bench: Bench, code: str) -> int:
    return bench.repository.list_version(code)


async def test_new_list_is_carried_to_the_node_that_publishes(bench: Bench) -> None:
    async with offering(bench, "de") as carrier:
        for version in (2, 3, 4):
            await carrier.offer(bench.signed_list("de", version))
            await until(lambda wanted=version: published(bench, "de") == wanted)  # type: ignore[misc]
        await until(lambda: carrier.waiting is None)


async def test_node_that_publishes_itself_needs_no_wire(bench: Bench) -> None:
    publisher, bench.endpoint = bench.publisher, "127.0.0.1:1"
    async with offering(bench, "ee", publisher=publisher) as carrier:
        await carrier.offer(bench.signed_list("ee", 2))
        await until(lambda: bench.node("ee").trusted.version(node_role("ee")) == 2)


async def test_list_is_offered_until_the_publisher_is_there(quiet: Bench, caplog: pytest.LogCaptureFixture) -> None:
    quiet.endpoint = "127.0.0.1:1"
    async with offering(quiet, "de") as carrier:
        await carrier.offer(quiet.signed_list("de", 2))
        await until(lambda: bool(caplog.records))
        settings = config.Publisher(key=quiet.publisher_key(), repository=quiet.repository.folder)
        quiet.publisher = Publisher(settings, None, quiet.clock)
        async with opened(quiet):
            await until(lambda: published(quiet, "de") == 2)


async def test_list_that_is_published_already_is_not_offered(bench: Bench) -> None:
    async with offering(bench, "de") as carrier:
        await carrier.offer(bench.repository.signed_list("de"))
        assert carrier.waiting is None


async def test_list_that_will_never_be_taken_is_told_once_and_the_next_one_is_offered(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with offering(bench, "de") as carrier:
        await carrier.offer(bench.signed_list("de", 2, "ee"))
        await until(lambda: carrier.waiting is None)
        assert [each.message for each in caplog.records if each.name == "gateway.offering"] == ["the list is not taken"]
        await carrier.offer(bench.signed_list("de", 3))
        await until(lambda: published(bench, "de") == 3)


async def test_list_waits_while_no_node_publishes(quiet: Bench, caplog: pytest.LogCaptureFixture) -> None:
    federation = quiet.repository.federation().model_copy(update={"publisher": ""})
    quiet.repository.propose_federation(federation, {}, NOW)
    for number in (1, 2):
        quiet.repository.sign(keys.load_signing_key(development.founder_key(quiet.folder, number)))
    quiet.news()
    async with offering(quiet, "de") as carrier:
        await carrier.offer(quiet.signed_list("de", 2))
        await until(lambda: bool(caplog.records))
        assert carrier.waiting is not None
    assert len([each for each in caplog.records if each.name == "gateway.offering"]) == 1


async def test_node_that_is_out_is_refused_and_goes_on_offering(bench: Bench) -> None:
    """What the publisher says of it today may be otherwise tomorrow."""
    before = bench.served
    said = before.directory.model_dump()
    for node in said["nodes"]:
        node["status"] = Status.REVOKED if node["code"] == "de" else node["status"]
    bench.served = replace(before, directory=Directory.model_validate(said))
    async with offering(bench, "de") as carrier:
        await carrier.offer(bench.signed_list("de", 2))
        error = await refused(bench.offer(bench.node("de").identity, bench.signed_list("de", 2)))
        assert isinstance(error, Refusal)
        assert carrier.waiting is not None
        bench.served = before
        await until(lambda: published(bench, "de") == 2)
