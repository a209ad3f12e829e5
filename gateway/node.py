"""One node, assembled: the only module that knows all others.

In: a checked configuration and what it names. Out: a gRPC server on one port; behind it the doors, the path, the
couriers and the sweep, over one store. Stopping drains: what is in work is finished, what is leased goes back.
"""

import asyncio
import contextlib
import logging
import os
import random
import resource
import socket
from collections.abc import Callable, Coroutine, Hashable, Sequence
from functools import partial
from pathlib import Path as FilePath
from typing import Final
from uuid import uuid4

import grpc.aio
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from rogatory.v1 import (
    attachments_pb2_grpc,
    directory_pb2_grpc,
    enrolment_pb2_grpc,
    log_pb2_grpc,
    mailbox_pb2_grpc,
    operations_pb2_grpc,
    relay_pb2_grpc,
    trace_pb2_grpc,
    witness_pb2_grpc,
)
from rogatory.v1 import trace_pb2 as trace

from gateway import (
    alerting,
    deliver,
    mirror,
    operations,
    settings_file,
    telemetry,
    timekeeper,
    transport,
    witness,
)
from gateway import config as configuration
from gateway.alerting import Alerting
from gateway.checking import Checking
from gateway.clock import Clock, Elapsed, SteadyClock, since_boot, system_clock, to_micros
from gateway.config import NodeConfig, Registry
from gateway.depot import open_depot
from gateway.directory import Directory, Status
from gateway.doors import enrolment
from gateway.doors.attachments import AttachmentsDoor
from gateway.doors.comparing import Comparing
from gateway.doors.cosigning import Asker, Cosigning, HttpAsker, NodeAsker
from gateway.doors.courier import Courier
from gateway.doors.directory import DirectoryDoor
from gateway.doors.entrance import Bell, Entrance, Named
from gateway.doors.freight import Freighter
from gateway.doors.health import HealthDoor
from gateway.doors.hearing import careful
from gateway.doors.housekeeping import keep_house
from gateway.doors.log import LogDoor
from gateway.doors.mailbox import MailboxDoor
from gateway.doors.operations import OperationsDoor
from gateway.doors.probing import Prober
from gateway.doors.quotas import Pause, Quotas
from gateway.doors.registry import RegistryDoor
from gateway.doors.relay import RelayDoor
from gateway.doors.scrape import ScrapeDoor
from gateway.doors.trace import TraceDoor
from gateway.doors.witness import WitnessDoor
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.hidden import Passphrase
from gateway.identity import Address, trust_domain
from gateway.material import NodeMaterial, passphrase_of
from gateway.metrics import Meters
from gateway.offering import Offering
from gateway.overview import Overview
from gateway.path import Path
from gateway.publisher import Publisher
from gateway.receipt import Scribe
from gateway.registry import own_certificate
from gateway.registry.certify import Authority
from gateway.registry.keys import load_registry_keys
from gateway.registry.office import Office
from gateway.retention import Keeper
from gateway.statement import sign
from gateway.store import Reader, Transaction, Writer, log, open_store, restored
from gateway.trust.lists import SignedList
from gateway.upkeep import Upkeep, survived

# Frames are checked against max_frame_bytes by us, with our own error; this only bounds what gRPC reads before that. A
# node's whole list, which is no frame, has to fit by itself.
WIRE_ALLOWANCE: Final = 6 << 20
MAX_CONNECTIONS: Final = 16_384  # a quarter of what the systemd unit lets a process open
HANDSHAKE_SECONDS: Final = 10  # two round trips, on the slowest of lines
DRAIN_SECONDS: Final = 10.0
LEAST_STEP_SECONDS: Final = 5.0  # a busy machine may read two clocks a moment apart
INTEGRATE_SECONDS: Final = 0.5  # half of what docs/log.md promises
LOOK_SECONDS: Final = 5.0
NEWS_SECONDS: Final = 5.0  # no longer than a drain: a stopping node waits for its threads

diagnostics = logging.getLogger("gateway.node")


def unwatched(stage: str) -> None:
    """Watch nothing."""


class Node:
    """A running node."""

    def __init__(
        self,
        config: NodeConfig,
        material: NodeMaterial,
        *,
        clock: Clock = system_clock,
        chance: Callable[[], float] = random.random,
        watch: Callable[[str], None] = unwatched,
        provider: TracerProvider | None = None,
        readers: Sequence[MetricReader] = (),
        pause: Pause = asyncio.sleep,
        elapsed: Elapsed = since_boot,
        after_restore: bool = False,
        number: int = 0,
    ) -> None:
        """Prepare a node.

        Args:
            config: its configuration.
            material: directory, keys and certificate, loaded and checked.
            clock: time.
            chance: numbers in [0, 1) for the jitter of retries.
            watch: told each stage as it is passed; a crash test kills the process there.
            provider: where spans go; by default as configured.
            readers: of figures, beside what is configured.
            pause: waits so many seconds for a quota to have room.
            elapsed: what the clock is compared with, see `SteadyClock`.
            after_restore: whether the operator knows that the store was put back from a backup.
            number: of this process among the `workers` of its settings.
        """
        self._config = config
        self.upkeep = Upkeep(material, clock, self._own_list)
        self._prober = Prober(config.node, lambda: self.upkeep.material, clock, config.limits.max_skew_seconds)
        self._office: Office | None = None
        self._enrolment: grpc.aio.Server | None = None
        self._clock = clock
        self._steady = SteadyClock(clock, elapsed, max(config.limits.max_skew_seconds, LEAST_STEP_SECONDS))
        self._chance = chance
        self._watch = watch
        self._after_restore = after_restore
        self._scrape: ScrapeDoor | None = None
        self._number = number
        self.scraped_at = 0  # the port of the figures
        service = f"rogatory-node-{config.node}"
        # What is recorded is decided before: see `telemetry.Sampler`.
        self._provider = provider or telemetry.tracer_provider(config.telemetry, service, ALWAYS_ON)
        tracer = None if self._provider is None else self._provider.get_tracer("rogatory")
        sampler = telemetry.Sampler(config.telemetry.sample, config.telemetry.traces_a_second)
        self._tracing = telemetry.Tracing(tracer, sampler)
        if config.telemetry.prometheus is not None:
            reader, figures = telemetry.scraped()
            readers = (*readers, reader)
            self._scrape = ScrapeDoor(figures)
        self._measuring = telemetry.meter_provider(config.telemetry, service, *readers)
        self.meters = Meters(None if self._measuring is None else self._measuring.get_meter("rogatory"), clock)
        counter = self.meters.quota_reached
        self.quotas = Quotas(config.quota, config.limits.max_streams_per_peer, clock, counter, pause)
        self._bell = Bell()
        # No other process, before or beside it, has that name.
        self._process = f"{socket.gethostname()[:64]}-{os.getpid()}-{uuid4().hex[:8]}"
        self._drained = asyncio.Event()
        self._health = HealthDoor()
        self._checking = Checking(config.limits.checkers)
        self._couriers: dict[str, tuple[Courier, asyncio.Task[None]]] = {}
        self._freighters: dict[str, asyncio.Task[None]] = {}
        self._cosigning: dict[Hashable, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._make_courier: Callable[[str], Courier]
        self._make_freighter: Callable[[str], Freighter]
        self._server: grpc.aio.Server | None = None
        self._entrance: Entrance | None = None
        self._writer: Writer | None = None
        self._reader: Reader | None = None

    async def start(self) -> int:
        """Open the store, the doors and the couriers; return the port that is listened on.

        Raises:
            Refusal: BAD_CONFIG, the store or the address cannot be used.
        """
        config, upkeep = self._config, self.upkeep
        me, lookup = Address.of_node(config.node), upkeep.directory
        connect, engine = await asyncio.to_thread(open_store, config.store)
        # From here on `stop` closes it, whatever else fails.
        reader = self._reader = Reader(engine)
        now_us = to_micros(self._clock())
        doubted = await asyncio.to_thread(restored.take_up, connect, now_us, told=self._after_restore)
        # Before anybody waits for the writer: of a store of before it may be long.
        await asyncio.to_thread(log.catch_up, connect)
        if doubted is not None:
            diagnostics.warning("store.restored", extra={"copies_in_doubt": doubted})
        writer = self._writer = Writer(
            connect,
            lambda: partial(sign, issuer=me, key=upkeep.material.signing_key),
            issuer=str(me),
            clock=self._clock,
            max_waiting=config.limits.max_waiting_jobs,
            on_commit=self._bell.ring,
            watch=self._watch,
            meters=self.meters,
        )
        writer.start()
        scribe = Scribe(config.node, lookup)
        entrance = self._entrance = Entrance(lookup, upkeep.know, self.quotas, self._steady, self.meters)
        path = Path(
            config.node,
            lookup,
            lambda: upkeep.material.policy,
            config.limits,
            self._steady,
            writer,
            self._checking,
            self._tracing,
            self.meters,
            self._watch,
        )
        self._make_courier = lambda code: Courier(
            str(Address.of_node(code)),
            _Line(code, upkeep, self._clock),
            writer,
            reader,
            scribe,
            self._bell,
            config.delivery,
            self._clock,
            self._chance,
            self._tracing,
            self.meters,
            self._watch,
            upkeep.know,
        )
        # Every call costs more for it: not where nobody looks at the figures.
        naming = [] if self._measuring is None else [Named()]
        server = self._server = grpc.aio.server(interceptors=naming, options=server_options(config))
        doors = careful(server)
        mailbox = MailboxDoor(
            entrance,
            path,
            writer,
            scribe,
            reader,
            self._bell,
            config.limits,
            config.delivery,
            self._clock,
            self._watch,
            self._chance,
            self._tracing,
            self.meters,
        )
        mailbox_pb2_grpc.add_MailboxServicer_to_server(mailbox, doors)
        relay_pb2_grpc.add_RelayServicer_to_server(
            RelayDoor(entrance, path, writer, reader, scribe, config.limits, self._prober, self._watch), doors
        )
        await self._serve_files(doors, entrance, writer, reader)
        await self._serve_operators(doors, entrance, writer, reader, scribe)
        self._serve_log(doors, entrance, writer, reader)
        phrase = await asyncio.to_thread(passphrase_of, config, None)
        publisher = None
        if config.publisher is not None:
            publisher = await asyncio.to_thread(Publisher, config.publisher, phrase, self._clock)
            self._start(publisher.run())
        directory_door = DirectoryDoor(entrance, config.directory, publisher, upkeep.look, self._clock)
        directory_pb2_grpc.add_DirectoryServicer_to_server(directory_door, doors)
        self._door = _door_of(upkeep.material)
        if config.registry is not None:
            await self._open_registry(config.registry, phrase, publisher)
        try:
            port = server.add_secure_port(config.listen, transport.server_credentials(lambda: self._door))
        except RuntimeError as error:
            raise Refusal(ErrorCode.BAD_CONFIG, f"cannot listen on {config.listen}", "listen") from error
        await server.start()
        self._tend_couriers(upkeep.directory())
        upkeep.listen(self._changed)
        self._start(upkeep.run())
        self._start(self._hear_others())
        self._start(self._sweep(writer, scribe))
        self._tend_records(writer, reader)
        self._start(connect.listen(self._bell.ring_of_others))
        await self._open_figures(writer)
        if config.health is not None:
            await self._health.open(config.health, shared=config.workers > 1)
        return port

    def _serve_log(self, server: grpc.aio.Server, entrance: Entrance, writer: Writer, reader: Reader) -> None:
        """Answer those who watch the node's log, and cosign those of others."""
        config, upkeep = self._config, self.upkeep
        log_pb2_grpc.add_LogServicer_to_server(LogDoor(entrance, reader), server)
        witness_pb2_grpc.add_WitnessServicer_to_server(
            WitnessDoor(
                config.node, upkeep.directory, entrance, writer, lambda: upkeep.material.signing_key, self._steady
            ),
            server,
        )

    async def _open_figures(self, writer: Writer) -> None:
        """Show how the node does, to whoever scrapes or is sent figures."""
        if self._measuring is None:
            return
        self.meters.watch(lambda: writer.waiting, self._config.limits.max_waiting_jobs)
        self._start(self._look())
        where = self._config.figures(self._number)
        if self._scrape is not None and where is not None:
            # Not shared: each process has figures of its own, and a scraper must know whose it gets.
            self.scraped_at = await self._scrape.open(where)

    async def _look(self) -> None:
        """Keep what the gauges show fresh: so often, and no oftener, whoever scrapes."""
        while True:
            with survived("the overview"):
                self.meters.look(await self.overview.get())
            await asyncio.sleep(LOOK_SECONDS)

    def _tend_records(self, writer: Writer, reader: Reader) -> None:
        """Sign the log, have others cosign it, compare what is seen of theirs, and let go what policy lets go."""
        self._start(self._integrate(writer, reader))
        self._tend_witnesses()
        self._start(self._alert(writer).run())
        upkeep, config = self.upkeep, self._config
        self.comparing = Comparing(
            config.node,
            upkeep.directory,
            lambda code: _Line(code, upkeep, self._clock),
            writer,
            reader,
            config.delivery,
            self._steady,
            self._chance,
        )
        self._start(self.comparing.run())
        retention, pause = self._config.retention, self._config.delivery.sweep_seconds
        if retention.is_on:
            me = str(Address.of_node(self._config.node))
            self._start(Keeper(retention, me, writer, reader, self._steady, pause).run())

    def _alert(self, writer: Writer) -> Alerting:
        """Return what tells operators what they have to know; refuses what could never tell them."""
        held = self.upkeep.material
        ways = alerting.channels(held.config.node, held.directory.federation, self._config.alerts, self._clock)
        return Alerting(
            self.overview, writer, lambda: self.upkeep.material.config.alerts, ways, self._steady, self._chance
        )

    async def _serve_files(self, server: grpc.aio.Server, entrance: Entrance, writer: Writer, reader: Reader) -> None:
        """Take in, hand out and pass on the files that go with envelopes, and let go what nobody needs."""
        config = self._config
        depot = await asyncio.to_thread(open_depot, config)
        door = AttachmentsDoor(entrance, writer, depot, config.limits, config.attachments)
        attachments_pb2_grpc.add_AttachmentsServicer_to_server(door, server)
        self._make_freighter = lambda code: Freighter(
            str(Address.of_node(code)),
            _Line(code, self.upkeep, self._clock),
            writer,
            reader,
            depot,
            self._bell,
            config.delivery,
            self._chance,
        )
        self._start(keep_house(writer, depot, config.attachments, self._steady))

    async def _serve_operators(
        self, server: grpc.aio.Server, entrance: Entrance, writer: Writer, reader: Reader, scribe: Scribe
    ) -> None:
        """Let operators see what is on its way, and act on that and on this process."""
        config, upkeep = self._config, self.upkeep
        self.overview = Overview(lambda: upkeep.material, reader, self._clock)
        trace_door = TraceDoor(config.node, upkeep.directory, entrance, reader, self.overview, self._ask_node)
        trace_pb2_grpc.add_TraceServicer_to_server(trace_door, server)
        door = OperationsDoor(
            config.node,
            upkeep.directory,
            entrance,
            writer,
            reader,
            scribe,
            config.operations,
            self._process,
            self._clock,
            self._prober.probe,
        )
        operations_pb2_grpc.add_OperationsServicer_to_server(door, server)
        self._start(self._heed(reader, await reader.operating(lambda view: view.newest())))

    async def stop(self) -> None:
        """Take no more calls, finish those in work, give back what is leased, close the store."""
        self._health.drain()
        if self._server is not None and self._entrance is not None:
            self._entrance.close()
            self._bell.ring_all()
            await asyncio.gather(
                *(server.stop(DRAIN_SECONDS) for server in (self._server, self._enrolment) if server is not None),
                self._drain_couriers(),
            )
        if self._office is not None:
            await self._office.close()
        await self.upkeep.close()
        tasks = {*self._tasks, *self._ending, *(task for _, task in self._couriers.values())}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._checking.close()
        await self._health.close()
        if self._scrape is not None:
            await self._scrape.close()
        if self._writer is not None:
            await self._writer.close()
        if self._reader is not None:
            await self._reader.drain()
            self._reader.close()
        # Side by side: each waits for a receiver that is down as long as an export may take.
        providers = [each for each in (self._provider, self._measuring) if each is not None]
        await asyncio.gather(*(asyncio.to_thread(each.shutdown) for each in providers))

    async def _drain_couriers(self) -> None:
        """Send no more, and wait for the answers to what is in flight, as long as a drain may take."""
        for courier, _ in self._couriers.values():
            courier.drain()
        if self._couriers:
            await asyncio.wait([task for _, task in self._couriers.values()], timeout=DRAIN_SECONDS)

    async def _open_registry(self, registry: Registry, phrase: Passphrase | None, publisher: Publisher | None) -> None:
        """Let participants be registered here, and keep the node's list and certificate from running out."""
        if self._writer is None or self._reader is None or self._server is None or self._entrance is None:
            raise RuntimeError("the registry needs the store and the server")
        upkeep, config = self.upkeep, self._config
        loaded = await asyncio.to_thread(load_registry_keys, registry, upkeep.material, phrase)
        offering = Offering(
            config.node,
            lambda: upkeep.material.trusted,
            publisher,
            lambda code: _Line(code, upkeep, self._clock).open_channel(),
            self._clock,
        )
        office = self._office = Office(
            config,
            loaded,
            lambda: upkeep.material,
            upkeep.apply,
            offering.offer,
            self._writer,
            self._reader,
            self._clock,
            watch=self._watch,
        )
        # Whom it put out yesterday is out today, though nothing was published since.
        await upkeep.apply()
        enrolment_pb2_grpc.add_RegistryServicer_to_server(RegistryDoor(self._entrance, office), careful(self._server))
        if registry.listen is not None:
            self._enrolment, _ = await enrolment.serve(office, registry.listen, lambda: self._door, self._clock)
        self._start(offering.run())
        self._start(self._keep_registered(office, registry, loaded.authority))

    async def _keep_registered(self, office: Office, registry: Registry, authority: Authority) -> None:
        """List what this node holds and nobody knows yet, keep list and certificate from ending; again and again."""
        while True:
            held = self.upkeep.material
            with survived("the registry"):
                for signer in held.holdings.signers:
                    if all(signer.public_key != key.public for key in held.entry.signing_keys):
                        await office.add_node_key(signer.public_key)
                await office.keep_list()
            with survived("the certificate"):
                await self._keep_certificate(registry, authority)
            await asyncio.sleep(held.config.directory.refresh_seconds)

    async def _keep_certificate(self, registry: Registry, authority: Authority) -> None:
        """Renew the node's own certificate in time."""
        held = self.upkeep.material
        if held.path is not None and own_certificate.is_due(held, authority, self._clock()):
            await asyncio.to_thread(self._renew_certificate, held.path, held, registry, authority)
            await self.upkeep.apply()

    def _renew_certificate(self, path: FilePath, held: NodeMaterial, registry: Registry, authority: Authority) -> None:
        """Have the settings name a new certificate, unless somebody else has just done so; called in a thread."""
        with settings_file.alone(path):
            config = configuration.load(NodeConfig, path)
            if config.certificate == held.config.certificate:
                phrase = passphrase_of(config, None)
                own_certificate.renew(path, held, registry, authority, phrase, self._clock())
                diagnostics.info("certificate.renewed")

    async def _hear_others(self) -> None:
        """Ask another node, a random one each time, for a newer directory: what is published could be held back."""
        while True:
            held = self.upkeep.material
            await asyncio.sleep(held.config.directory.refresh_seconds)
            others = [node for node in held.directory.nodes if node.code in self._couriers]
            if not others:
                continue
            other = others[int(self._chance() * len(others))]
            # Most are silent because they are down, and the couriers tell that.
            with survived("the news of others"), contextlib.suppress(GatewayError):
                federation, identity = held.directory.federation, held.identity
                news = await asyncio.to_thread(
                    mirror.fetch, other, federation, identity, held.trusted.held, NEWS_SECONDS
                )
                if news is not None:
                    await self.upkeep.look(news)

    def _own_list(self) -> SignedList | None:
        return None if self._office is None else self._office.newest_list()

    async def drained(self) -> None:
        """Return when operators want this process to end."""
        await self._drained.wait()

    async def failed(self) -> None:
        """Return when a part that must run for ever has ended; its error is raised."""
        await self._failure

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run a part of the node until it stops."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.add(task)
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        """End a part before the node does."""
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self._failure.done():
            return
        error = task.exception()
        self._failure.set_exception(error) if error is not None else self._failure.set_result(None)

    def _changed(self, before: NodeMaterial, now: NodeMaterial) -> None:
        """Let what has changed tell, on what is open too."""
        if before.identity != now.identity or _cas(before.directory) != _cas(now.directory):
            self._door = _door_of(now)
        if before.identity != now.identity:
            for courier, _ in self._couriers.values():
                courier.renew()
        for code in self._couriers.keys() & {node.code for node in now.directory.nodes}:
            old, new = before.directory.node(code), now.directory.node(code)
            if (old.endpoint, old.ca) != (new.endpoint, new.ca):
                self._couriers[code][0].renew()
        self._tend_couriers(now.directory)
        self._tend_witnesses()
        if self._entrance is not None:
            self._entrance.reconsider()

    def _tend_couriers(self, directory: Directory) -> None:
        """Have a courier and its freight for each other node that is in, and for none that is out."""
        wanted = {node.code for node in directory.nodes if node.status is Status.ACTIVE} - {self._config.node}
        for code in self._couriers.keys() - wanted:
            for task in (self._couriers.pop(code)[1], self._freighters.pop(code)):
                self._end(task)
        for code in sorted(wanted - self._couriers.keys()):
            courier = self._make_courier(code)
            self._couriers[code] = courier, self._start(courier.run())
            self._freighters[code] = self._start(self._make_freighter(code).run())

    def _tend_witnesses(self) -> None:
        """Have every other node that is in, and the federation's witnesses, cosign the log; anew where one changed."""
        held = self.upkeep.material
        directory, config = held.directory, self._config
        wanted: dict[Hashable, tuple[str, Callable[[], Asker]]] = {
            each: (each.name, partial(HttpAsker, each)) for each in directory.witnesses
        }
        for node in directory.nodes:
            if node.status is Status.ACTIVE and node.code != config.node:
                line = _Line(node.code, self.upkeep, self._clock)
                way = partial(NodeAsker, line, config.delivery.attempt_timeout_seconds)
                wanted[node.code, node.endpoint, node.ca, held.identity] = (
                    trust_domain(node.code, directory.federation),
                    way,
                )
        for each in self._cosigning.keys() - wanted.keys():
            self._end(self._cosigning.pop(each))
        for each in wanted.keys() - self._cosigning.keys():
            self._cosigning[each] = self._start(self._cosign(*wanted[each]))

    async def _cosign(self, name: str, way: Callable[[], Asker]) -> None:
        """Have one witness cosign the log."""
        if self._writer is None or self._reader is None:
            raise RuntimeError("witnesses cosign what is in the store")
        config, lookup = self._config, self.upkeep.directory
        await Cosigning(
            name,
            way(),
            lambda: [key for key in witness.verifiers(lookup(), config.node) if key.name == name],
            lambda: [key.public for key in lookup().node(config.node).signing_keys],
            self._writer,
            self._reader,
            self._bell,
            config.delivery,
            self._chance,
        ).run()

    async def _heed(self, reader: Reader, newest: int) -> None:
        """Hear whether operators drain this process; `newest` is their last action before it was there."""
        rung = asyncio.Event()
        with self._bell.listen(operations.DRAIN, rung):
            while True:
                await rung.wait()
                rung.clear()
                try:
                    done = await reader.operating(lambda view: view.done_since(newest))
                except GatewayError:
                    await asyncio.sleep(INTEGRATE_SECONDS)
                    rung.set()
                    continue
                if any(action.drain.process == self._process for action in done):
                    diagnostics.warning("operators drain this process")
                    self._drained.set()
                    # Nothing else ends here before the node does: a part that returns is taken for one that failed.
                    await asyncio.Event().wait()

    async def _ask_node(self, code: str, envelope_id: str) -> list[trace.EnvelopeTrace]:
        if code not in self._couriers:
            raise Failure(ErrorCode.UNAVAILABLE, f"no way to node {code}")
        return await self._couriers[code][0].ask_trace(envelope_id)

    async def _integrate(self, writer: Writer, reader: Reader) -> None:
        """Sign a checkpoint over what is logged, within a second of it."""
        held = self.upkeep.material
        first = f"{trust_domain(self._config.node, held.directory.federation)}/log"
        while True:
            with survived("the log"):
                if await reader.log(lambda view: view.lacks(view.origin(first))):
                    await writer.write(lambda txn: txn.checkpoint(first, self.upkeep.material.signing_key), weight=0)
            await asyncio.sleep(INTEGRATE_SECONDS)

    async def _sweep(self, writer: Writer, scribe: Scribe) -> None:
        """Expire, take back and let time limits ring, again and again, while the clock can be believed."""

        def job(txn: Transaction) -> None:
            self._steady()  # it may have been set since the sweep began
            expired = deliver.sweep(txn)
            for settled in expired:
                scribe.expired(settled, txn)
            if expired:
                self._watch("swept")

        def ring(txn: Transaction) -> None:
            self._steady()
            if timekeeper.ring(scribe, txn):
                self._watch("rung")

        settings, steps = self._config.delivery, -1
        while True:
            # A store that cannot be written now says so to every caller; the sweep just comes again.
            with contextlib.suppress(GatewayError):
                self._steady()
                if steps != self._steady.steps:
                    # At the start too: nobody knows what the clock did meanwhile.
                    await writer.write(lambda txn: deliver.set_right(txn, settings))
                    self._bell.ring_all()
                    steps = self._steady.steps
                await writer.write(job)
                # By itself: what it cannot word must not keep anything from being delivered.
                with survived("the time limits"):
                    await writer.write(ring)
            await asyncio.sleep(settings.sweep_seconds)


class _Line:
    """The way to one other node."""

    def __init__(self, code: str, upkeep: Upkeep, clock: Clock) -> None:
        self._code = code
        self._upkeep = upkeep
        self._clock = clock

    def check(self) -> None:
        """See `Line`."""
        directory = self._upkeep.directory()
        directory.check_in_force(self._clock())
        if directory.node(self._code).status is Status.REVOKED:
            raise Refusal(ErrorCode.REVOKED, f"node {self._code} is revoked in the directory")

    def open_channel(self) -> grpc.aio.Channel:
        """See `Line`."""
        self.check()
        held = self._upkeep.material
        return transport.channel_to(held.directory.node(self._code), held.directory.federation, held.identity)


def _cas(directory: Directory) -> tuple[bytes, ...]:
    return tuple(node.ca_pem for node in directory.nodes)


def _door_of(held: NodeMaterial) -> transport.DoorTls:
    return transport.DoorTls(held.identity, _cas(held.directory))


def most_connections() -> int:
    """Return how many connections the main door holds, those of strangers too.

    Each takes a file descriptor. Half of what the process may have stays for the store, and for calls of our own:
    whoever could take all would keep the node from those that it is connected with, too.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if descriptors == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, descriptors // 2)


def server_options(config: NodeConfig) -> Sequence[tuple[str, int]]:
    """Return the gRPC options of a door."""
    return [
        *transport.FLOW_OPTIONS,
        ("grpc.max_receive_message_length", config.limits.max_frame_bytes + WIRE_ALLOWANCE),
        ("grpc.max_concurrent_streams", 1024),
        ("grpc.max_metadata_size", 16 << 10),
        # Otherwise whoever takes our port by mistake would take our callers too.
        ("grpc.so_reuseport", int(config.workers > 1)),
        # Those that shake hands count too: whoever they are shows only after that.
        ("grpc.max_allowed_incoming_connections", most_connections()),
        # Who connects and says nothing is shown out; it is two minutes unless told.
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
        *transport.keepalive(),
        # Who asks more often than four times as we do is no client of ours.
        ("grpc.http2.min_ping_interval_without_data_ms", round(transport.KEEPALIVE_SECONDS * 250)),
    ]
