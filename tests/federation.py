"""A small federation for tests: real nodes, real TLS, real stores; and actors who may do wrong.

An `Actor` speaks the wire protocol with a participant's own keys and checks nothing before it sends: what the clients'
library would never send, it can. Whatever it is answered, a node answered.
"""

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from cryptography import x509
from nacl.signing import SigningKey
from nacl.utils import random as random_bytes
from opentelemetry.sdk.trace import TracerProvider
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.mailbox_pb2_grpc import MailboxStub
from rogatory.v1.relay_pb2_grpc import RelayStub

from certs.pki import DevelopmentPki, Holder
from gateway import envelope, keys, material, statement, transport
from gateway.cli.development import QUIET_PORTS, Summary, init_federation, is_free
from gateway.clock import Clock, Elapsed, system_clock
from gateway.config import Delivery, DirectorySource, Limits
from gateway.directory import Directory, NodeEntry
from gateway.doors.quotas import Pause
from gateway.envelope import Letter
from gateway.errors import ErrorCode
from gateway.node import Node, unwatched
from gateway.registry.certify import Authority
from gateway.trust import client, development
from tests import stores

# As production, but impatient.
DELIVERY = Delivery(
    lease_seconds=2.0,
    backoff_first_seconds=0.05,
    backoff_max_seconds=0.5,
    attempt_timeout_seconds=2.0,
    sweep_seconds=0.1,
)


UNTIL_SECONDS = 60.0
MOST_ACKS = 256  # in one message, as the contract has it


class StreamEndedError(AssertionError):
    """The node has ended a stream of which more was wanted; nothing that came over it was wrong."""


class Actor:
    """One participant's keys and connection, with no good manners."""

    def __init__(self, loaded: material.ParticipantMaterial, clock: Clock) -> None:
        self.loaded = loaded
        self.address = str(loaded.address)
        self._clock = clock
        self.channel = transport.channel_to(loaded.node, loaded.directory.federation, loaded.identity)

    @property
    def key(self) -> SigningKey:
        return self.loaded.signing_keys[0]

    def compose(
        self,
        kind: ids.Kind.ValueType,
        to: str,
        body: bytes = b"",
        *,
        readers: Sequence[str] = (),
        attachments: bytes = b"",
        **fields: Any,
    ) -> pb.SignedEnvelope:
        """Compose anything to anybody; by default in the actor's own name and a case of its own."""
        fields = {"sender": self.address, "case_id": f"case-of-{self.loaded.address.name}", **fields}
        now = self._clock()
        to_keys = [key for reader in readers or [to] for key in self.loaded.directory.sealing_keys(reader, now)]
        letter = Letter(kind=kind, recipients=(to,), **fields)
        made = envelope.compose(
            letter,
            body,
            signing_key=self.key,
            reader_keys=to_keys,
            now=now,
            random=random_bytes,
            attachments=attachments,
        )
        return made.envelope

    def countersign(self, signed: pb.SignedEnvelope) -> pb.SignedEnvelope:
        return envelope.with_signature(signed, envelope.countersign(signed, self.address, self.key))

    async def submit(self, signed: pb.SignedEnvelope) -> pb.Statement:
        """Hand in; return what the node signed. AssertionError if it signed nothing."""
        answer = await self.answer(signed)
        assert answer.WhichOneof("result") == "receipt", answer
        return statement.verify(answer.receipt, self.loaded.directory.signing_key)

    async def answer(self, signed: pb.SignedEnvelope) -> mailbox.Answer:
        response = await MailboxStub(self.channel).Submit(mailbox.SubmitRequest(envelope=signed), timeout=UNTIL_SECONDS)
        return response.answer

    async def submit_frame(self, frame: Sequence[pb.SignedEnvelope]) -> list[mailbox.Answer]:
        async def requests() -> AsyncIterator[mailbox.SubmitFramesRequest]:
            yield mailbox.SubmitFramesRequest(frame=1, envelopes=frame)

        return [
            a
            async for r in MailboxStub(self.channel).SubmitFrames(requests(), timeout=UNTIL_SECONDS)
            for a in r.answers
        ]

    async def collect(
        self, wanted: int, *, acknowledge: bool = True, keep: Callable[[mailbox.Item], None] | None = None
    ) -> list[mailbox.Item]:
        """Take that many items, waiting for them; `keep` each before any is acknowledged, if they are to be.

        What comes again, because we were slower than its lease, counts once.
        """
        call = MailboxStub(self.channel).Collect()
        taken: dict[int, mailbox.Item] = {}
        async with asyncio.timeout(UNTIL_SECONDS):
            await call.write(mailbox.CollectRequest(credit=wanted))
            while len(taken) < wanted:
                response = of_stream(await call.read())
                before = len(taken)
                taken |= {item.delivery_id: item for item in response.items}
                if again := before + len(response.items) - len(taken):
                    await call.write(mailbox.CollectRequest(credit=again))
            items = list(taken.values())
            if keep is not None:
                for item in items:
                    keep(item)
            if acknowledge:
                acks = [mailbox.Acknowledgement(delivery_id=item.delivery_id, held=True) for item in items]
                for start in range(0, len(acks), MOST_ACKS):
                    await call.write(mailbox.CollectRequest(acknowledgements=acks[start : start + MOST_ACKS]))
                settled: list[mailbox.Settled] = []
                while len(settled) < len(acks):
                    response = of_stream(await call.read())
                    settled.extend(response.settled)
                assert not any(one.HasField("error") for one in settled), settled
        call.cancel()
        return items

    async def waiting(self) -> list[mailbox.Item]:
        """Look at what is there now, and leave it there."""
        call = MailboxStub(self.channel).Collect(timeout=UNTIL_SECONDS)
        try:
            await call.write(mailbox.CollectRequest(credit=1024))
        except grpc.aio.AioRpcError as error:
            if not is_of_a_write(error):
                raise
            return await self.waiting()
        items: list[mailbox.Item] = []
        while True:
            response = of_stream(await call.read())
            items.extend(response.items)
            if response.drained:
                call.cancel()
                return items

    def said(self, item: mailbox.Item) -> pb.Statement:
        return statement.verify(item.receipt, self.loaded.directory.signing_key)


def of_stream(read: object) -> mailbox.CollectResponse:
    """Return what was read of a collect stream.

    Raises:
        StreamEndedError: nothing comes any more.
    """
    if not isinstance(read, mailbox.CollectResponse):
        raise StreamEndedError
    return read


def is_of_a_write(error: grpc.aio.AioRpcError) -> bool:
    """Whether a node ended the call before we wrote: gRPC tells of the write alone; the next call tells why."""
    return error.code() is grpc.StatusCode.INTERNAL and transport.error_of(error).code is ErrorCode.UNAVAILABLE


def directory_of(folder: Path, now: datetime) -> Directory:
    """Return the newest directory of a federation, as somebody sees it who has never seen any."""
    with TemporaryDirectory() as cache:
        root, repository = folder / development.ROOT_FILE, folder / development.REPOSITORY
        source = DirectorySource(root=root, repository=str(repository), cache=Path(cache))
        return client.load(source, now).directory


def authority_of(folder: Path, code: str) -> Authority:
    """Return the CA of a node, as its registry has it."""
    ca = folder / "pki" / code / "ca.pem"
    return Authority(x509.load_pem_x509_certificate(ca.read_bytes()), keys.load_tls_key(ca.with_suffix(".key")))


def pki(fed: "Federation") -> DevelopmentPki:
    """Return the federation's PKI, so that its CAs can issue more."""
    made = DevelopmentPki("rogatory.test", system_clock())
    for code in ("ee", "de"):
        folder = fed.summary.folder / "pki" / code
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        made._cas[code] = Holder(certificate, keys.load_tls_key(folder / "ca.key"))
    return made


def replace_certificate(certificate: Path, key: Path, holder: Holder) -> None:
    key.unlink()
    keys.save_tls_key(key, holder.key)
    certificate.write_bytes(holder.chain_pem)


def worker_ports() -> Iterator[int]:
    """Yield ports that no other test process of this run uses; another run, beside this one, begins elsewhere."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    quiet = QUIET_PORTS[worker * PORTS_A_WORKER : (worker + 1) * PORTS_A_WORKER]
    yield from itertools.islice(itertools.cycle(quiet), os.getpid() * 61 % PORTS_A_WORKER, None)


_PORTS = worker_ports()
PORTS_A_WORKER = 1024


def ports(count: int) -> list[int]:
    """Take the next ports of this test process."""
    return list(itertools.islice(filter(is_free, _PORTS), count))


@dataclass
class Federation:
    """Nodes in this process, one event loop; stores and settings in a folder."""

    summary: Summary
    clock: Clock
    nodes: dict[str, Node]
    actors: dict[str, Actor]
    watch: Callable[[str], None] = unwatched
    provider: TracerProvider | None = None
    pause: Pause = asyncio.sleep
    elapsed: Elapsed | None = None

    @property
    def directory(self) -> Directory:
        return directory_of(self.summary.folder, self.clock())

    def sign_anew(self, directory: Directory) -> None:
        """Publish a changed directory, signed by all who must; who starts from now on has it."""
        development.sign_anew(self.summary.folder, directory, self.clock())

    def store(self, code: str) -> stores.Place:
        return stores.of(self.summary.config(f"{code}/node"))

    def file(self, code: str) -> Path:
        """The store of a node, which must be a file."""
        store = self.store(code)
        assert isinstance(store, Path)
        return store

    async def start(self, code: str) -> Node:
        loaded = material.load_node(self.summary.config(f"{code}/node"), self.clock)
        node = Node(
            loaded.config,
            loaded,
            clock=self.clock,
            watch=self.watch,
            provider=self.provider,
            pause=self.pause,
            # Time that a test lets pass is no step of the clock, unless the test says so.
            elapsed=self.elapsed or (lambda: self.clock().timestamp()),
        )
        try:
            await node.start()
        except BaseException:
            await node.stop()
            raise
        self.nodes[code] = node
        return node

    async def stop(self, code: str) -> None:
        await self.nodes.pop(code).stop()

    def actor(self, address: str) -> Actor:
        if address not in self.actors:
            loaded = material.load_participant(self.summary.config(address), self.clock)
            self.actors[address] = Actor(loaded, self.clock)
        return self.actors[address]

    def node_relay(self, code: str, to: str) -> RelayStub:
        """Speak as a node that has gone bad: with its real certificate."""
        return RelayStub(self.node_channel(code, to))

    def node_channel(self, code: str, to: str) -> grpc.aio.Channel:
        """Return a channel from one node to another, with its real certificate."""
        loaded = material.load_node(self.summary.config(f"{code}/node"), self.clock)
        return transport.channel_to(loaded.directory.node(to), loaded.directory.federation, loaded.identity)

    def countersigned(self, signed: pb.SignedEnvelope) -> pb.SignedEnvelope:
        return self.actor("ee/central-authority").countersign(signed)

    def request(self, to: str = "de/central-authority", **fields: Any) -> pb.SignedEnvelope:
        """Return a freeze request from ee abroad, countersigned, not submitted."""
        fields = {
            "instrument": "eu-2018-1805",
            "measures": (ids.MEASURE_BLOCK_WITHDRAWAL,),
            "case_id": "EE-1",
            **fields,
        }
        made = self.actor("ee/prosecutor").compose(ids.KIND_FREEZE_REQUEST, to, b"request", **fields)
        return self.countersigned(made)


def append(summary: Summary, nodes: Sequence[str], settings: str) -> None:
    """Append to the settings of every node and participant."""
    paths = [summary.config(f"{code}/node") for code in nodes]
    for path in [*paths, *summary.folder.glob("*/*/participant.toml")]:
        path.write_text(path.read_text() + settings)


@asynccontextmanager
async def federation(
    folder: Path,
    *,
    nodes: Sequence[str] = ("ee", "de"),
    start: Iterable[str] = ("ee", "de"),
    clock: Clock = system_clock,
    delivery: Delivery = DELIVERY,
    limits: Limits | None = None,
    watch: Callable[[str], None] = unwatched,
    provider: TracerProvider | None = None,
    made_at: datetime | None = None,
    elapsed: Elapsed | None = None,
    settings: str = "",
) -> AsyncIterator[Federation]:
    """Run a federation, by default of ee and de; everything is stopped at the end.

    `settings` is appended to the file of every node and participant.
    """
    summary = init_federation(folder, nodes, ports(len(nodes)), made_at or clock(), delivery=delivery, limits=limits)
    stores.move(summary, nodes)
    if settings:
        append(summary, nodes, settings)
    async with running(Federation(summary, clock, {}, {}, watch, provider, elapsed=elapsed), start) as made:
        yield made


@asynccontextmanager
async def running(made: Federation, start: Iterable[str]) -> AsyncIterator[Federation]:
    """Start nodes; stop everything at the end."""
    try:
        for code in start:
            await made.start(code)
        yield made
    finally:
        for actor in made.actors.values():
            await actor.channel.close()
        for code in list(made.nodes):
            await made.stop(code)


@asynccontextmanager
async def beside(fed: Federation) -> AsyncIterator[tuple[Node, NodeEntry]]:
    """Run another process of Estonia's node, on the same store; it is known by an entry of its own.

    It has no office, and learns nothing of what is published.
    """
    settings = fed.summary.config("ee/node")
    other = settings.with_name("beside.toml")
    (port,) = ports(1)
    content = re.sub(r"^\[(registry|publisher)\]\n([^\[\n].*\n|\n)*", "", settings.read_text(), flags=re.MULTILINE)
    content = re.sub(r"refresh_seconds = [0-9.]+", "refresh_seconds = 3600.0", content)
    other.write_text(re.sub(r'^listen = ".*"$', f'listen = "127.0.0.1:{port}"', content, flags=re.MULTILINE))
    loaded = material.load_node(other, fed.clock)
    second = Node(loaded.config, loaded, clock=fed.clock)
    try:
        await second.start()
        yield second, fed.directory.node("ee").model_copy(update={"endpoint": f"127.0.0.1:{port}"})
    finally:
        await second.stop()


async def until(done: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    async with asyncio.timeout(UNTIL_SECONDS):
        while not done():
            await asyncio.sleep(0.01)


def ref(signed: pb.SignedEnvelope) -> ids.EnvelopeRef:
    return envelope.ref_of(pb.Header.FromString(signed.header))


def code_of(said: pb.Statement) -> ErrorCode | None:
    """The code of a signed refusal; None if it is no refusal."""
    return ErrorCode(said.code) if said.milestone == pb.MILESTONE_REFUSED else None


async def relay_one(stub: RelayStub, request: relay.RelayRequest) -> list[mailbox.Answer]:
    """Send one frame as a node and return the answers."""
    call = stub.Relay(timeout=UNTIL_SECONDS)
    await call.write(request)
    response = await call.read()
    assert isinstance(response, relay.RelayResponse), "the node ended the stream"
    call.cancel()
    return list(response.answers)
