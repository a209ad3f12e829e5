"""A process that loads a node, or the echo that it is compared with: `python -m gateway.cli.bench.load`.

In: once it has said `ready`, jobs: a `Job` as one line of JSON, then, once it has said `ready` to that, the line `go`.
Out: for each the line `answered` after the last answer, and a `Taken` as one line of JSON. What it sends was signed and
serialised before `go`; what it is answered is looked at in between, every receipt of it: an answer that proves nothing
ends the process, and so the bench.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

import grpc.aio
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox

from gateway import material, transport
from gateway.cli.bench import pool
from gateway.cli.bench.figures import percentile, warm
from gateway.cli.bench.nodes import say
from gateway.cli.bench.proving import Prover
from gateway.clock import system_clock
from gateway.errors import ErrorCode, Failure
from gateway.gathering import FRAMES_IN_FLIGHT, may_go

TICK_SECONDS: Final = 0.002
"""A paced sender looks that often what has become due; what waits for room goes together, as our clients' library has
it."""

LAST_SECONDS: Final = 30.0
"""In which the last answers must come."""

SUBMIT: Final = "/rogatory.v1.Mailbox/Submit"
SUBMIT_FRAMES: Final = "/rogatory.v1.Mailbox/SubmitFrames"
ECHO: Final = "/rogatory.bench.Echo/Echo"
ECHO_FRAMES: Final = "/rogatory.bench.Echo/EchoFrames"


@dataclass(frozen=True, slots=True)
class Job:
    """What to do.

    Args:
        config: settings of the participant who sends.
        pool: file of envelopes.
        start: the first of them.
        count: how many there are at most; once all are sent, the measurement ends.
        seconds: how long to send.
        mode: "unary", "stream", or "paced": a stream on which envelopes come at a rate.
        in_flight: of unary calls, how many; of a stream, frames, as many as our clients' library by default. What is
            paced follows that library.
        rate: envelopes a second, when paced.
        port: where to send it, on this machine, if not where the directory says.
        echo: whether the bare echo listens there, and not the node.
    """

    config: str
    pool: str
    start: int
    count: int
    seconds: float
    mode: str
    in_flight: int = FRAMES_IN_FLIGHT
    rate: float = 0.0
    port: int | None = None
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of it.

    Args:
        rate: envelopes answered a second, after the warm-up.
        answered: envelopes answered, of all.
        proven: receipts proven, of all.
        began: when the first was sent, by the machine's monotonic clock.
        p50_ms: from when an envelope was sent, or was due, to its answer, after the warm-up; half took no longer. When
            paced, all that was due counts.
        p99_ms: the same; one of a hundred took longer.
        cpu_seconds: of this process, from then until the last answer.
    """

    rate: float
    answered: int
    proven: int
    began: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float


class Load:
    """One run of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._loaded = material.load_participant(Path(job.config), system_clock)
        self._raw = pool.read(Path(job.pool), job.start, job.count)
        size = 1 if job.mode == "unary" else pool.BATCH
        self._groups = [range(start, min(start + size, len(self._raw))) for start in range(0, len(self._raw), size)]
        # A paced sender does not know beforehand what comes together.
        self._requests = [] if job.mode == "paced" else [self._request(n, each) for n, each in enumerate(self._groups)]
        self._answers: list[tuple[Sequence[int], bytes]] = []
        self._times: list[tuple[float, float, int]] = []

    async def run(self) -> Taken:
        """Connect, say so, wait for `go`, send, say when all is answered."""
        node, job = self._loaded.node, self._job
        endpoint = node.endpoint if job.port is None else f"127.0.0.1:{job.port}"
        credentials = transport.channel_credentials(self._loaded.identity, node.ca_pem)
        options = [*transport.CHANNEL_OPTIONS, ("grpc.max_send_message_length", 64 << 20)]
        async with transport.open_channel(
            endpoint, node.code, self._loaded.directory.federation, credentials, options
        ) as channel:
            await channel.channel_ready()
            say("ready")
            await asyncio.to_thread(sys.stdin.readline)
            begin, spent = perf_counter(), process_time()
            match job.mode:
                case "unary":
                    await self._unary(channel, begin)
                case "stream":
                    await self._stream(channel, begin)
                case _:
                    await self._paced(channel, begin)
            spent = process_time() - spent
            say("answered")
        return self._taken(begin, spent)

    async def _unary(self, channel: grpc.aio.Channel, begin: float) -> None:
        call: Any = channel.unary_unary(SUBMIT if not self._job.echo else ECHO)
        numbers = self._numbers()
        until = begin + self._job.seconds

        async def one_after_another() -> None:
            for number in numbers:
                sent = perf_counter()
                if sent >= until and number:  # one goes in any case, however long this process was held up
                    return
                answer = await call(self._requests[number], timeout=LAST_SECONDS)
                self._take(self._groups[number], sent, answer)

        await asyncio.gather(*(one_after_another() for _ in range(self._job.in_flight)))

    async def _stream(self, channel: grpc.aio.Channel, begin: float) -> None:
        window = asyncio.Semaphore(self._job.in_flight)
        until = begin + self._job.seconds
        sent: deque[tuple[int, float]] = deque()

        async def requests() -> AsyncIterator[bytes]:
            for number in self._numbers():
                await window.acquire()
                now = perf_counter()
                if now >= until and number:
                    return
                sent.append((number, now))
                yield self._requests[number]

        async for answer in self._frames(channel, requests()):
            number, when = sent.popleft()
            self._take(self._groups[number], when, answer)
            window.release()
        _expect_none(len(sent))

    async def _paced(self, channel: grpc.aio.Channel, begin: float) -> None:
        """Let envelopes come at the rate whatever happens to those before (open loop): nobody waits unseen."""
        rate, until = self._job.rate, begin + self._job.seconds
        groups: list[range] = []
        answered = 0
        came = asyncio.Event()

        async def requests() -> AsyncIterator[bytes]:
            gone = 0
            while gone < len(self._raw):
                now = perf_counter()
                # What was due in time is sent, however late: it is what waited longest.
                due = min(len(self._raw), int((min(now, until) - begin) * rate), gone + pool.BATCH)
                if now >= until and due <= gone and gone:
                    return
                if due > gone and may_go(len(groups) - answered, full=due - gone == pool.BATCH):
                    groups.append(range(gone, due))
                    yield self._request(len(groups), groups[-1])
                    gone = due
                    continue
                came.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_SECONDS):
                        await came.wait()

        async for answer in self._frames(channel, requests()):
            now = perf_counter()
            self._answers.append((groups[answered], answer))
            # Of each from when it was due, not from when there was room for it.
            self._times += [(begin + number / rate, now, 1) for number in groups[answered]]
            answered += 1
            came.set()
        _expect_none(len(groups) - answered)

    def _frames(self, channel: grpc.aio.Channel, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        method = SUBMIT_FRAMES if not self._job.echo else ECHO_FRAMES
        stream: Any = channel.stream_stream(method)
        return aiter(stream(requests, timeout=self._job.seconds + LAST_SECONDS))

    def _numbers(self) -> Iterator[int]:
        """Return which requests to send: each once, since a node keeps what it has; to the echo again and again."""
        every = range(len(self._requests))
        return iter(every) if not self._job.echo else cycle(every)

    def _request(self, number: int, group: Sequence[int]) -> bytes:
        envelopes = [pb.SignedEnvelope.FromString(self._raw[place]) for place in group]
        if self._job.mode == "unary":
            return mailbox.SubmitRequest(envelope=envelopes[0]).SerializeToString()
        return mailbox.SubmitFramesRequest(frame=number, envelopes=envelopes).SerializeToString()

    def _take(self, group: Sequence[int], sent: float, answer: bytes) -> None:
        self._answers.append((group, answer))
        self._times.append((sent, perf_counter(), len(group)))

    def _taken(self, begin: float, spent: float) -> Taken:
        last = max((answered for _, answered, _ in self._times), default=begin)
        # What ended early, because all was sent, is measured over the time that it took; and so is what was answered
        # only after all was sent.
        until = min(begin + self._job.seconds, last)
        # Nor is it left out if nothing was answered in between: two processes of a node may hold each other up.
        if not any(warm(begin, until) <= answered <= until for _, answered, _ in self._times):
            until = last
        start = warm(begin, until)
        counted = [each for each in self._times if start <= each[1] <= until]
        if not counted:
            raise Failure(ErrorCode.UNAVAILABLE, "nothing was answered")
        # Of what is paced, all that was due meanwhile tells how long it took, even if it was answered later.
        paced = self._job.mode == "paced"
        timed = [each for each in self._times if start <= each[0] <= until] if paced else counted
        took = [(answered - sent) * 1000 for sent, answered, count in timed for _ in range(count)]
        return Taken(
            rate=sum(count for _, _, count in counted) / (until - start),
            answered=sum(count for _, _, count in self._times),
            proven=self._prove(),
            began=begin,
            p50_ms=percentile(took, 0.5),
            p99_ms=percentile(took, 0.99),
            cpu_seconds=spent,
        )

    def _prove(self) -> int:
        """Check every answer; return how many receipts were proven."""
        if self._job.echo:
            return 0
        prover, proven = Prover(self._loaded.directory.signing_key), 0
        for group, answer in self._answers:
            if self._job.mode == "unary":
                answers = [mailbox.SubmitResponse.FromString(answer).answer]
            else:
                answers = list(mailbox.SubmitFramesResponse.FromString(answer).answers)
            for place, each in zip(group, answers, strict=True):
                prover.accepted(self._raw[place], each)
                proven += 1
        return proven


def _expect_none(unanswered: int) -> None:
    """See that a stream did not end before its last answer: a rate tells nothing of what was lost.

    Raises:
        Failure: UNAVAILABLE, it did.
    """
    if unanswered:
        raise Failure(ErrorCode.UNAVAILABLE, f"the stream ended, and {unanswered} frames were not answered")


async def serve() -> None:
    """Do one job after another, until there are no more."""
    say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        taken = await Load(Job(**json.loads(line))).run()
        say(json.dumps(asdict(taken)))


if __name__ == "__main__":
    sys.stdin.readline()  # it has no settings of its own
    asyncio.run(serve())
