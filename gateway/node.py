"""One node, assembled: the only module that knows all others.

In: a checked configuration and what it names. Out: a gRPC server on one port; behind it the doors, the path, the
couriers and the sweep, over one store. Stopping drains: what is in work is finished, what is leased goes back.
"""

import asyncio
import logging
import os
import random
import resource
import socket
from collections.abc import Callable, Sequence
from functools import partial
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

from gateway import alerting, operations, telemetry, transport, witness
from gateway.alerting import Alerting
from gateway.checking import Checking
from gateway.clock import Clock, Elapsed, SteadyClock, since_boot, system_clock, to_micros
from gateway.config import NodeConfig, Registry
from gateway.depot import Depot, open_depot
from gateway.directory import Directory
from gateway.doors import enrolment, rounds
from gateway.doors.attachments import AttachmentsDoor
from gateway.doors.comparing import Comparing
from gateway.doors.cosigning import Asker, Cosigning
from gateway.doors.courier import Courier, Line
from gateway.doors.directory import DirectoryDoor
from gateway.doors.entrance import Bell, Entrance, Named
from gateway.doors.freight import Freighter
from gateway.doors.health import HealthDoor
from gateway.doors.hearing import careful
from gateway.doors.housekeeping import keep_house
from gateway.doors.log import LogDoor
from gateway.doors.mailbox import MailboxDoor
from gateway.doors.neighbours import Makers, Neighbours
from gateway.doors.operations import OperationsDoor
from gateway.doors.probing import Prober
from gateway.doors.quotas import Pause, Quotas
from gateway.doors.registry import RegistryDoor
from gateway.doors.relay import RelayDoor
from gateway.doors.scrape import ScrapeDoor
from gateway.doors.trace import TraceDoor
from gateway.doors.witness import WitnessDoor
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.hidden import Passphrase
from gateway.identity import Address, trust_domain
from gateway.material import NodeMaterial, passphrase_of
from gateway.metrics import Meters
from gateway.offering import Offering
from gateway.overview import Overview
from gateway.parts import Parts
from gateway.path import Path
from gateway.publisher import Publisher
from gateway.receipt import Scribe
from gateway.registry import keeping
from gateway.registry.keys import load_registry_keys
from gateway.registry.office import Office
from gateway.retention import Keeper
from gateway.statement import sign
from gateway.store import Reader, Writer, log, open_store, restored
from gateway.store.driver import Store
from gateway.store.registry import NEW_LIST, RegistryView
from gateway.threads import left_behind
from gateway.trust.client import Trusted
from gateway.trust.lists import SignedList
from gateway.upkeep import Upkeep, survived

# Frames are checked against max_frame_bytes by us, with our own error; this only bounds what gRPC reads before that. A
# node's whole list, which is no frame, has to fit by itself.
WIRE_ALLOWANCE: Final = 6 << 20
MAX_CONNECTIONS: Final = 16_384  # a quarter of what the systemd unit lets a process open
HANDSHAKE_SECONDS: Final = 10  # two round trips, on the slowest of lines
DRAIN_SECONDS: Final = 10.0
LEAST_STEP_SECONDS: Final = 5.0  # a busy machine may read two clocks a moment apart
LOOK_SECONDS: Final = 5.0
LOOK_AGAIN_SECONDS: Final = 0.5

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
        self._parts = Parts()
        self._server: grpc.aio.Server | None = None
        self._entrance: Entrance | None = None
        self._writer: Writer | None = None
        self._reader: Reader | None = None

    async def start(self) -> int:
        """Open the store, the doors and the couriers; return the port that is listened on.

        Whoever is told to end meanwhile cancels it, and waits for nobody: not for a lock, a standby or a migration.

        Raises:
            Refusal: BAD_CONFIG, the store or the address cannot be used.
        """
        config, upkeep = self._config, self.upkeep
        store, writer, reader = await self._open_store()
        depot = await left_behind(open_depot, config)
        scribe = Scribe(config.node, upkeep.directory)
        entrance = self._entrance = Entrance(upkeep.directory, upkeep.know, self.quotas, self._steady, self.meters)
        neighbours = self.neighbours = Neighbours(
            config, upkeep, self._parts, self._makers(writer, reader, scribe, depot), self._clock, self._chance
        )
        # Every call costs more for it: not where nobody looks at the figures.
        naming = [] if self._measuring is None else [Named()]
        server = self._server = grpc.aio.server(interceptors=naming, options=server_options(config))
        doors = careful(server, entrance.reading)
        self._serve_envelopes(doors, entrance, writer, reader, scribe)
        self._serve_files(doors, entrance, writer, depot)
        await self._serve_operators(doors, entrance, writer, reader, scribe)
        self._serve_log(doors, entrance, writer, reader)
        phrase = await left_behind(passphrase_of, config, None)
        publisher = None
        if config.publisher is not None:
            publisher = await left_behind(Publisher, config.publisher, phrase, self._clock)
            self._parts.start(publisher.run())
        directory_door = DirectoryDoor(entrance, config.directory, publisher, upkeep.look, self._clock)
        directory_pb2_grpc.add_DirectoryServicer_to_server(directory_door, doors)
        self._door = _door_of(upkeep.material)
        if config.registry is not None:
            await self._open_registry(config.registry, doors, entrance, writer, reader, phrase, publisher)
        # Whom the registry put out yesterday is out today, though nothing was published since.
        await upkeep.apply()
        try:
            port = server.add_secure_port(config.listen, transport.server_credentials(lambda: self._door))
        except RuntimeError as error:
            raise Refusal(ErrorCode.BAD_CONFIG, f"cannot listen on {config.listen}", "listen") from error
        await server.start()
        neighbours.tend()
        upkeep.listen(self._changed)
        self._parts.start(upkeep.run())
        self._parts.start(self._hear_lists())
        self._parts.start(neighbours.hear_news())
        rings = rounds.sweep(
            writer, scribe, self._bell, config.delivery, lambda: upkeep.material.policy, self._steady, self._watch
        )
        self._parts.start(rings)
        self._tend_records(writer, reader)
        self._parts.start(store.listen(self._bell.ring_of_others))
        await self._open_figures(writer)
        if config.health is not None:
            await self._health.open(config.health, shared=config.workers > 1)
        return port

    async def _open_store(self) -> tuple[Store, Writer, Reader]:
        """Open it, and whoever reads and writes it; `stop` closes them, whatever else fails."""
        config, upkeep = self._config, self.upkeep
        me = Address.of_node(config.node)
        store, engine = await left_behind(open_store, config.store)
        reader = self._reader = Reader(engine)
        now_us = to_micros(self._clock())
        doubted = await left_behind(restored.take_up, store, now_us, told=self._after_restore)
        # Before anybody waits for the writer: of a store of before it may be long.
        await left_behind(log.catch_up, store)
        if doubted is not None:
            diagnostics.warning("store.restored", extra={"copies_in_doubt": doubted})
        writer = self._writer = Writer(
            store,
            lambda: partial(sign, issuer=me, key=upkeep.material.signing_key),
            issuer=str(me),
            clock=self._clock,
            max_waiting=config.limits.max_waiting_jobs,
            on_commit=self._bell.ring,
            watch=self._watch,
            meters=self.meters,
        )
        writer.start()
        return store, writer, reader

    def _serve_envelopes(
        self, server: grpc.aio.Server, entrance: Entrance, writer: Writer, reader: Reader, scribe: Scribe
    ) -> None:
        """Take in what participants and other nodes bring, and hand out what came for participants."""
        config, upkeep = self._config, self.upkeep
        path = Path(
            config.node,
            upkeep.directory,
            lambda: upkeep.material.policy,
            config.limits,
            self._steady,
            writer,
            self._checking,
            self._tracing,
            self.meters,
            self._watch,
        )
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
        mailbox_pb2_grpc.add_MailboxServicer_to_server(mailbox, server)
        relay = RelayDoor(entrance, path, writer, reader, scribe, config.limits, self._prober, self._watch)
        relay_pb2_grpc.add_RelayServicer_to_server(relay, server)

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
        self._parts.start(self._look())
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
        """Sign the log, compare what is seen of others' logs, and let go what policy lets go."""
        upkeep, config = self.upkeep, self._config
        first = f"{trust_domain(config.node, upkeep.directory().federation)}/log"
        self._parts.start(
            rounds.integrate(
                writer,
                reader,
                first,
                lambda: upkeep.material.signing_key,
                lambda: upkeep.directory().node(config.node).lost_keys(self._clock()),
            )
        )
        self._parts.start(self._alert(writer).run())
        self.comparing = Comparing(
            config.node,
            upkeep.directory,
            self.neighbours.line,
            writer,
            reader,
            config.delivery,
            self._steady,
            self._chance,
        )
        self._parts.start(self.comparing.run())
        retention, pause = self._config.retention, self._config.delivery.sweep_seconds
        if retention.is_on:
            me = str(Address.of_node(self._config.node))
            self._parts.start(Keeper(retention, me, writer, reader, self._steady, pause).run())

    def _alert(self, writer: Writer) -> Alerting:
        """Return what tells operators what they have to know; refuses what could never tell them."""
        held = self.upkeep.material
        ways = alerting.channels(held.config.node, held.directory.federation, self._config.alerts, self._clock)
        return Alerting(
            self.overview, writer, lambda: self.upkeep.material.config.alerts, ways, self._steady, self._chance
        )

    def _makers(self, writer: Writer, reader: Reader, scribe: Scribe, depot: Depot) -> Makers:
        """Return what makes those who serve other nodes and witnesses."""
        config, upkeep = self._config, self.upkeep

        def courier(code: str, line: Line) -> Courier:
            return Courier(
                str(Address.of_node(code)),
                line,
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

        def freighter(code: str, line: Line) -> Freighter:
            return Freighter(
                str(Address.of_node(code)), line, writer, reader, depot, self._bell, config.delivery, self._chance
            )

        def cosigning(name: str, way: Asker) -> Cosigning:
            return Cosigning(
                name,
                way,
                lambda: [key for key in witness.verifiers(upkeep.directory(), config.node) if key.name == name],
                lambda: [key.public for key in upkeep.directory().node(config.node).signing_keys],
                writer,
                reader,
                self._bell,
                config.delivery,
                self._chance,
            )

        return Makers(courier, freighter, cosigning)

    def _serve_files(self, server: grpc.aio.Server, entrance: Entrance, writer: Writer, depot: Depot) -> None:
        """Take in and hand out the files that go with envelopes, and let go what nobody needs."""
        config = self._config
        door = AttachmentsDoor(entrance, writer, depot, config.limits, config.attachments)
        attachments_pb2_grpc.add_AttachmentsServicer_to_server(door, server)
        self._parts.start(keep_house(writer, depot, config.attachments, self._steady))

    async def _serve_operators(
        self, server: grpc.aio.Server, entrance: Entrance, writer: Writer, reader: Reader, scribe: Scribe
    ) -> None:
        """Let operators see what is on its way, and act on that and on this process."""
        config, upkeep = self._config, self.upkeep
        self.overview = Overview(lambda: upkeep.material, reader, self._clock)
        ask = self.neighbours.ask_trace
        trace_door = TraceDoor(config.node, upkeep.directory, entrance, reader, self.overview, ask)
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
        self._parts.start(self._heed(reader, await reader.operating(lambda view: view.newest())))

    async def stop(self) -> None:
        """Take no more calls, finish those in work, give back what is leased, close the store.

        What the store has not taken when the drain is long over is given up: it may wait without end for a standby.
        """
        patience = None
        if self._writer is not None:
            patience = asyncio.get_running_loop().call_later(2 * DRAIN_SECONDS, self._give_up, self._writer)
        self._health.drain()
        if self._server is not None and self._entrance is not None:
            self._entrance.close()
            await asyncio.gather(
                *(server.stop(DRAIN_SECONDS) for server in (self._server, self._enrolment) if server is not None),
                self.neighbours.drain(DRAIN_SECONDS),
            )
        if self._office is not None:
            await self._office.close()
        await self.upkeep.close()
        await self._parts.stop()
        await self._checking.close()
        await self._health.close()
        if self._scrape is not None:
            await self._scrape.close()
        if self._writer is not None:
            await self._writer.close()
        if patience is not None:
            patience.cancel()
        if self._reader is not None:
            await self._reader.drain()
            self._reader.close()
        # Side by side: each waits for a receiver that is down as long as an export may take.
        providers = [each for each in (self._provider, self._measuring) if each is not None]
        await asyncio.gather(*(asyncio.to_thread(each.shutdown) for each in providers))

    def _give_up(self, writer: Writer) -> None:
        diagnostics.warning("the store does not take what waits for it: given up")
        writer.give_up()

    async def _open_registry(
        self,
        registry: Registry,
        server: grpc.aio.Server,
        entrance: Entrance,
        writer: Writer,
        reader: Reader,
        phrase: Passphrase | None,
        publisher: Publisher | None,
    ) -> None:
        """Let participants be registered here, and keep the node's list and certificate from running out."""
        upkeep, config = self.upkeep, self._config
        loaded = await left_behind(load_registry_keys, registry, upkeep.material, phrase)
        offering = Offering(
            config.node,
            lambda: upkeep.material.trusted,
            publisher,
            lambda code: self.neighbours.line(code).open_channel(),
            self._clock,
        )
        office = self._office = Office(
            config,
            loaded,
            lambda: upkeep.material,
            upkeep.apply,
            offering.offer,
            writer,
            reader,
            self._clock,
            watch=self._watch,
        )
        enrolment_pb2_grpc.add_RegistryServicer_to_server(RegistryDoor(entrance, office), server)
        if registry.listen is not None:
            self._enrolment, _ = await enrolment.serve(office, registry.listen, lambda: self._door, self._clock)
        self._parts.start(offering.run())
        self._parts.start(keeping.keep(office, registry, loaded.authority, upkeep, self._clock))

    def _own_list(self, published: Trusted) -> SignedList | None:
        """Return the list that this node signed last, in whichever of its processes."""
        stored = None if self._reader is None else self._reader.registry_now(RegistryView.newest_list)
        if stored is None:
            return None
        own = SignedList.read(self._config.node, stored.metadata, stored.content)
        # The store is in more hands than the key of the list.
        return own if published.proves(own, self._clock()) else None

    async def _hear_lists(self) -> None:
        """Look as soon as a process of this node has signed a list: whom that puts out is out here, too."""
        rung = asyncio.Event()
        with self._bell.listen(NEW_LIST, rung):
            while True:
                await rung.wait()
                rung.clear()
                with survived("the registry"):
                    await self.upkeep.apply()

    async def drained(self) -> None:
        """Return when operators want this process to end."""
        await self._drained.wait()

    async def failed(self) -> None:
        """Return when a part that must run for ever has ended; its error is raised."""
        await self._parts.failed()

    def _changed(self, before: NodeMaterial, now: NodeMaterial) -> None:
        """Let what has changed tell, on what is open too."""
        if before.identity != now.identity or _cas(before.directory) != _cas(now.directory):
            self._door = _door_of(now)
        self.neighbours.changed(before, now)
        if self._entrance is not None:
            self._entrance.reconsider()

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
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)
                    rung.set()
                    continue
                if any(action.drain.process == self._process for action in done):
                    diagnostics.warning("operators drain this process")
                    self._drained.set()
                    # Nothing else ends here before the node does: a part that returns is taken for one that failed.
                    await asyncio.Event().wait()


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
