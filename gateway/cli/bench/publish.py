"""A process that publishes to a message broker: `python -m gateway.cli.bench.publish`.

In: a `Job` as one line of JSON, then, once it has said `ready` to that, the line `go`. Out: a `Published` as one line
of JSON. Each message is an envelope as it travels to a node; each is confirmed by the broker,
on its disk as far as that promises it, and so many are in flight. Brokers verify nothing.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Final, TypeAlias

from gateway.cli.bench import pool
from gateway.cli.bench.figures import percentile, warm
from gateway.cli.bench.nodes import say

NAME: Final = "envelopes"
CONNECT_SECONDS: Final = 60.0


Publish: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Publishes one message; returns when it is confirmed."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to do.

    Args:
        broker: "jetstream" or "rabbitmq".
        port: where it listens, on this machine.
        ca: PEM of the CA that vouches for it.
        chain: PEM of what we show.
        key: PEM of its key.
        pool: file of envelopes.
        count: how many there are at most.
        seconds: how long to send.
        in_flight: messages that are not confirmed, at most.
    """

    broker: str
    port: int
    ca: str
    chain: str
    key: str
    pool: str
    count: int
    seconds: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class Published:
    """What came of it: messages confirmed a second, and how long one took."""

    rate: float
    p50_ms: float
    p99_ms: float


async def run(job: Job) -> Published:
    """Connect, say so, wait for `go`, publish."""
    messages = iter(pool.read(Path(job.pool), 0, job.count))
    times: list[tuple[float, float]] = []
    async with _BROKERS[job.broker](job) as publish:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        begin = perf_counter()
        until = begin + job.seconds

        async def one_after_another() -> None:
            for message in messages:
                sent = perf_counter()
                if sent >= until:
                    return
                await publish(message)
                times.append((sent, perf_counter()))

        await asyncio.gather(*(one_after_another() for _ in range(job.in_flight)))
    until = min(until, times[-1][1])
    start = warm(begin, until)
    took = [(done - sent) * 1000 for sent, done in times if start <= done <= until]
    return Published(len(took) / (until - start), percentile(took, 0.5), percentile(took, 0.99))


@asynccontextmanager
async def _jetstream(job: Job) -> AsyncIterator[Publish]:
    import nats  # noqa: PLC0415  of the extra `bench`
    from nats.js.api import StorageType, StreamConfig  # noqa: PLC0415  as above

    client = await nats.connect(f"tls://127.0.0.1:{job.port}", tls=_tls(job), connect_timeout=int(CONNECT_SECONDS))
    stream = client.jetstream(timeout=CONNECT_SECONDS)
    await stream.add_stream(StreamConfig(name=NAME, subjects=[NAME], storage=StorageType.FILE, num_replicas=1))

    async def publish(message: bytes) -> None:
        await stream.publish(NAME, message)

    try:
        yield publish
    finally:
        await client.close()


@asynccontextmanager
async def _rabbitmq(job: Job) -> AsyncIterator[Publish]:
    import aiormq  # noqa: PLC0415  of the extra `bench`
    from pamqp.commands import Basic  # noqa: PLC0415  as above

    address = f"amqps://guest:guest@127.0.0.1:{job.port}/"
    connection = await aiormq.connect(address, context=_tls(job))
    channel = await connection.channel(publisher_confirms=True)
    await channel.queue_declare(NAME, durable=True, arguments={"x-queue-type": "quorum"})
    persistent = Basic.Properties(delivery_mode=2)

    async def publish(message: bytes) -> None:
        confirmed = await channel.basic_publish(message, routing_key=NAME, properties=persistent)
        if getattr(confirmed, "name", "") != Basic.Ack.name:
            raise RuntimeError(f"the broker did not take a message: {confirmed}")

    try:
        yield publish
    finally:
        await connection.close()


_BROKERS: Final = {"jetstream": _jetstream, "rabbitmq": _rabbitmq}


def _tls(job: Job) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=job.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The node's CA is trusted by itself, as nodes and participants do; it is not its own issuer.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # The client for RabbitMQ would compare the address, which no certificate of ours bears. The CA alone must do.
    context.check_hostname = False
    context.load_cert_chain(job.chain, job.key)
    return context


def main() -> None:
    """Do one job."""
    job = Job(**json.loads(sys.stdin.readline()))
    say(json.dumps(asdict(asyncio.run(run(job)))))


if __name__ == "__main__":
    main()
