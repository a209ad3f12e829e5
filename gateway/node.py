"""One node, assembled: the only module that knows all others.

In: a checked configuration and what it names. Out: a gRPC server on one port; behind it the doors, the path, the
couriers and the sweep, over one store. Stopping drains: what is in work is finished, what is leased goes back.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Final

import grpc.aio
from opentelemetry.sdk.trace import TracerProvider
from rogatory.v1 import mailbox_pb2_grpc, relay_pb2_grpc, trace_pb2_grpc
from rogatory.v1 import trace_pb2 as trace

from gateway import deliver, telemetry, transport
from gateway.clock import Clock, system_clock
from gateway.config import NodeConfig
from gateway.directory import Status
from gateway.doors.courier import Courier
from gateway.doors.entrance import Bell, Entrance
from gateway.doors.mailbox import MailboxDoor
from gateway.doors.quotas import Pause, Quotas
from gateway.doors.relay import RelayDoor
from gateway.doors.trace import TraceDoor
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import Address
from gateway.material import NodeMaterial
from gateway.path import Path
from gateway.receipt import Scribe
from gateway.statement import issue
from gateway.store import Reader, Transaction, Writer, open_store

# Frames are checked against max_frame_bytes by us, with our own error; this only bounds what gRPC reads before that.
WIRE_ALLOWANCE: Final = 4 << 20
DRAIN_SECONDS: Final = 5.0


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
        pause: Pause = asyncio.sleep,
    ) -> None:
        """Prepare a node.

        Args:
            config: its configuration.
            material: directory, keys and certificate, loaded and checked.
            clock: time.
            chance: numbers in [0, 1) for the jitter of retries.
            watch: told each stage as it is passed; a crash test kills the process there.
            provider: where spans go; by default as configured.
            pause: waits so many seconds for a quota to have room.
        """
        self._config = config
        self._material = material
        self._clock = clock
        self._chance = chance
        self._watch = watch
        self._provider = provider or telemetry.tracer_provider(config.telemetry, f"rogatory-node-{config.node}")
        self.quotas = Quotas(config.quota, config.limits.max_streams_per_peer, clock, telemetry.quota_counter(), pause)
        self._bell = Bell()
        self._couriers: dict[str, Courier] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._server: grpc.aio.Server | None = None
        self._entrance: Entrance | None = None
        self._writer: Writer | None = None
        self._reader: Reader | None = None

    async def start(self) -> int:
        """Open the store, the doors and the couriers; return the port that is listened on.

        Raises:
            Refusal: BAD_CONFIG, the store or the address cannot be used.
        """
        config, material = self._config, self._material
        me = Address.of_node(config.node)
        connect, engine = await asyncio.to_thread(open_store, config.store)
        writer = self._writer = Writer(
            connect,
            lambda statements: issue(statements, me, material.signing_key),
            issuer=str(me),
            clock=self._clock,
            max_waiting=config.limits.max_waiting_jobs,
            on_commit=self._bell.ring,
            watch=self._watch,
        )
        writer.start()
        reader = self._reader = Reader(engine)
        tracer = self._provider.get_tracer("rogatory")
        directory = material.directory
        scribe = Scribe(config.node, directory)
        entrance = self._entrance = Entrance(directory, self.quotas, self._clock)
        path = Path(config.node, directory, config.limits, self._clock, writer, tracer, self._watch)
        for other in directory.nodes:
            if other.code != config.node and other.status is Status.ACTIVE:
                self._couriers[other.code] = Courier(
                    str(Address.of_node(other.code)),
                    lambda code=other.code: self._open_channel(code),  # the default binds the loop's value
                    writer,
                    reader,
                    scribe,
                    self._bell,
                    config.delivery,
                    self._clock,
                    self._chance,
                    tracer,
                    self._watch,
                )
        server = self._server = grpc.aio.server(options=_server_options(config))
        mailbox = MailboxDoor(entrance, path, writer, scribe, self._bell, config.limits, config.delivery, self._watch)
        mailbox_pb2_grpc.add_MailboxServicer_to_server(mailbox, server)
        relay_door = RelayDoor(entrance, path, writer, reader, scribe, config.limits)
        relay_pb2_grpc.add_RelayServicer_to_server(relay_door, server)
        trace_door = TraceDoor(config.node, directory, entrance, reader, self._ask_node)
        trace_pb2_grpc.add_TraceServicer_to_server(trace_door, server)
        door = transport.DoorTls(material.identity, tuple(node.ca_pem for node in directory.nodes))
        try:
            port = server.add_secure_port(config.listen, transport.server_credentials(lambda: door))
        except RuntimeError as error:
            raise Refusal(ErrorCode.BAD_CONFIG, f"cannot listen on {config.listen}", "listen") from error
        await server.start()
        self._tasks = [asyncio.create_task(courier.run()) for courier in self._couriers.values()]
        self._tasks.append(asyncio.create_task(self._sweep(writer, scribe)))
        return port

    async def stop(self) -> None:
        """Take no more calls, finish those in work, give back what is leased, close the store."""
        if self._server is not None and self._entrance is not None:
            self._entrance.closing.set()
            self._bell.ring_all()
            await self._server.stop(DRAIN_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            await self._writer.close()
        if self._reader is not None:
            self._reader.close()
        await asyncio.to_thread(self._provider.shutdown)

    async def failed(self) -> None:
        """Return when a part that must run for ever has ended; its error is raised."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    def _open_channel(self, code: str) -> grpc.aio.Channel:
        directory = self._material.directory
        return transport.channel_to(directory.node(code), directory.federation, self._material.identity)

    async def _ask_node(self, code: str, envelope_id: str) -> list[trace.EnvelopeTrace]:
        courier = self._couriers.get(code)
        if courier is None:
            raise Failure(ErrorCode.UNAVAILABLE, f"no way to node {code}")
        return await courier.ask_trace(envelope_id)

    async def _sweep(self, writer: Writer, scribe: Scribe) -> None:
        """Expire and take back, again and again."""

        def job(txn: Transaction) -> None:
            for settled in deliver.sweep(txn):
                scribe.expired(settled, txn)

        while True:
            # A store that cannot be written now says so to every caller; the sweep just comes again.
            with contextlib.suppress(GatewayError):
                await writer.write(job)
            await asyncio.sleep(self._config.delivery.sweep_seconds)


def _server_options(config: NodeConfig) -> Sequence[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", config.limits.max_frame_bytes + WIRE_ALLOWANCE),
        ("grpc.max_concurrent_streams", 1024),
        ("grpc.max_metadata_size", 16 << 10),
        ("grpc.so_reuseport", 0),
        # A half-open connection is noticed within half a minute.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]
