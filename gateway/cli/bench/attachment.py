"""`rogatory bench attachment`: a large file from one State to another, broken off on the way, in bounded memory.

In: a size. Out: how long each part of the way took, how many bytes crossed each line, and how far the memory of each
process rose above what it holds when idle. Two nodes and the sender's and reader's programs are processes of their own;
every connection goes through a proxy that can cut it. The sender's connection is cut, then the sender is killed; the
connection between the nodes is cut, and so is the reader's. What arrives is compared with what was sent.

The bound is on the largest resident set (VmHWM) less the resident set of the idle process, which has done all of this
once with a request that names no file.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

import click
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import parties_pb2 as parties
from rogatory.v1.certificates_pb2 import FreezeRequest

from clients.central_authority import CentralAuthority
from clients.intake import Received
from clients.investigator import Investigator
from clients.participant import Participant
from gateway import material
from gateway.cli import children, development, output
from gateway.cli.children import child
from gateway.cli.demo import papers
from gateway.cli.demo.processes import Processes
from gateway.cli.ranges import Span
from gateway.clock import system_clock
from gateway.errors import ErrorCode, Failure

BOUND_MIB: Final = 64
GIB: Final = 1 << 30
MIB: Final = 1 << 20
SENDER, HOME, READER = "ee/prosecutor", "ee/central-authority", "de/central-authority"
NODES: Final = ("ee", "de")
WORDS_SECONDS: Final = 3600.0
PATIENCE_SECONDS: Final = 300.0
HOST: Final = "127.0.0.1"
_READ_BYTES: Final = 256 << 10


@click.command(epilog="\b\nExample:\n  rogatory bench attachment --gigabytes 2")
@click.option("--gigabytes", type=Span(0.01, 1024), default=2.0, show_default=True, help="Size of the file.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where to work; four times the size must be free. By default where temporary files are.",
)
@output.json_option
@click.pass_context
def command(ctx: click.Context, gigabytes: float, folder: Path | None, as_json: bool) -> None:
    """Send a large file from one State to another, broken off on the way, and watch memory."""
    with TemporaryDirectory(dir=folder, prefix="rogatory-bench-") as scratch:
        figures = children.run(measure(Path(scratch), round(gigabytes * GIB), lambda text: click.echo(text, err=True)))
    if as_json:
        output.emit_json(figures)
    else:
        _show(figures)
    if not figures["bound_met"] or not figures["intact"]:
        ctx.exit(output.FAILED)


async def measure(scratch: Path, size: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Send a file of so many bytes; return the figures.

    Args:
        scratch: an empty folder.
        size: of the file.
        say: told what is being done.

    Raises:
        GatewayError: it did not arrive.
    """
    say(f"makes a file of {size / GIB:.2f} GiB")
    source = scratch / "evidence.bin"
    digest = await asyncio.to_thread(_make, source, size)
    async with _stage(scratch) as stage:
        say("sends a request without a file, so that every process has done its work once")
        await stage.pass_on(await stage.draft(papers.request(papers.read_wallets(None)[:1]), "EE-warm"), "EE-warm")
        for code in NODES:
            stage.watch(f"node {code}", stage.processes.running[code].pid)
        steps: dict[str, Callable[[], Awaitable[None]]] = {
            "seal and hand in": lambda: stage.hand_in(source, size),
            "between the nodes": lambda: stage.relay(size),
            "fetch and open": lambda: stage.fetch(scratch / "arrived.bin", size),
        }
        for name, step in steps.items():
            say(name)
            began = perf_counter()
            await step()
            stage.seconds[name] = perf_counter() - began
        for code in NODES:
            stage.seen(f"node {code}")
        intact = await asyncio.to_thread(_digest, scratch / "arrived.bin") == digest
        return stage.figures(size) | {"intact": intact}


def _show(figures: Mapping[str, Any]) -> None:
    size = figures["bytes"]
    output.emit_table(
        ("way", "seconds", "MiB/s"),
        [(name, f"{taken:.1f}", f"{size / MIB / taken:.0f}") for name, taken in figures["seconds"].items()],
    )
    output.emit_table(
        ("line", "cut", "bytes over it", "to the file"),
        [(name, each["cut"], each["bytes"], f"{each['bytes'] / size:.3f}") for name, each in figures["lines"].items()],
    )
    output.emit_table(
        ("process", "idle MiB", "peak MiB", "above idle"),
        [
            (name, *(f"{each[what]:.1f}" for what in ("idle", "peak", "above")))
            for name, each in figures["memory"].items()
        ],
    )
    met = "met" if figures["bound_met"] else "NOT met"
    click.echo(f"bound: {BOUND_MIB} MiB above idle: {met}; interruptions: {figures['interruptions']}")
    click.echo("what arrived is what was sent" if figures["intact"] else "what arrived is NOT what was sent")


@dataclass
class _Line:
    """A proxy before one node: counts what crosses it, and cuts every connection when so much has."""

    to: int
    crossed: int = 0
    cuts: int = 0
    cut_at: int | None = None
    halt_at: int | None = None
    halted: asyncio.Event = field(default_factory=asyncio.Event)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def begin(self, *, cut_at: int | None = None, halt_at: int | None = None) -> None:
        """Count anew. `halt_at`: let nothing more across for a while, and say so."""
        self.crossed, self.cut_at, self.halt_at = 0, cut_at, halt_at
        self.halted.clear()

    async def serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        try:
            far, forth = await asyncio.open_connection(HOST, self.to)
        except OSError:
            back.close()
            return
        self._open |= {back, forth}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(near, forth))
                both.create_task(self._carry(far, back))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= {back, forth}
            back.close()
            forth.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while some := await reader.read(_READ_BYTES):
            self.crossed += len(some)
            if self.cut_at is not None and self.crossed >= self.cut_at:
                self.cut_at = None
                self.cuts += 1
                for each in self._open:
                    each.transport.abort()
                return
            if self.halt_at is not None and self.crossed >= self.halt_at:
                self.halted.set()
            writer.write(some)
            await writer.drain()
        writer.close()


@dataclass
class _Stage:
    """Two nodes, who speaks to them, and what is measured."""

    summary: development.Summary
    processes: Processes
    lines: dict[str, _Line]
    people: dict[str, Participant]
    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    crossed: dict[str, dict[str, int]] = field(default_factory=dict)
    kills: int = 0
    _pids: dict[str, int] = field(default_factory=dict)
    _asked: Received | None = None

    async def draft(self, asked: FreezeRequest, case_id: str) -> Received:
        """Have a draft handed in, and return it as whoever countersigns got it."""
        drafted = Investigator(self.people[SENDER]).draft_freeze(asked, **_terms(case_id))
        await self.people[SENDER].submit(drafted.draft.envelope, PATIENCE_SECONDS)
        return await _receive(self.people[HOME], ids.KIND_DRAFT)

    async def pass_on(self, draft: Received, case_id: str) -> Received:
        """Countersign it and send the request abroad; return it as it arrived."""
        await self.people[HOME].submit(CentralAuthority(self.people[HOME]).countersign(draft).envelope)
        answered = await _receive(self.people[SENDER], ids.KIND_COUNTERSIGNATURE)
        await self.people[SENDER].submit(Investigator(self.people[SENDER]).add_countersignature(answered))
        arrived = await _receive(self.people[READER], ids.KIND_FREEZE_REQUEST)
        if arrived.header.case_id != case_id:
            raise Failure(ErrorCode.INTERNAL, "another case arrived")
        return arrived

    async def hand_in(self, source: Path, size: int) -> None:
        """Have a process seal the file and hand in the draft; cut its line, then kill it, then let another go on."""
        line = self.lines["ee"]
        line.begin(cut_at=size // 4, halt_at=size // 2)
        async with self._work("sender, killed", "send", SENDER, source) as first:
            ends = {asyncio.create_task(line.halted.wait()), asyncio.create_task(first.wait())}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if first.returncode is not None:
                raise Failure(ErrorCode.INTERNAL, "the sender ended before it could be killed")
            self.seen("sender, killed")
            first.kill()
            self.kills += 1
            await asyncio.gather(*ends)
        async with self._work("sender, again", "send", SENDER, source) as again:
            await self._end("sender, again", again)
        self.crossed["sender to node"] = {"bytes": line.crossed, "cut": line.cuts}

    async def relay(self, size: int) -> None:
        """Have the request sent on; its file goes ahead of it."""
        line = self.lines["de"]
        line.begin(cut_at=size // 2)
        draft = await _receive(self.people[HOME], ids.KIND_DRAFT)
        self._asked = await self.pass_on(draft, "EE-large")
        self.crossed["node to node"] = {"bytes": line.crossed, "cut": line.cuts}

    async def fetch(self, target: Path, size: int) -> None:
        """Have a process fetch and open the file."""
        if self._asked is None:
            raise RuntimeError("nothing has arrived")
        line, cuts = self.lines["de"], self.lines["de"].cuts
        line.begin(cut_at=size // 2)
        async with self._work("reader", "fetch", READER, target, self._asked.header.id) as reader:
            await self._end("reader", reader)
        self.crossed["node to reader"] = {"bytes": line.crossed, "cut": line.cuts - cuts}

    def watch(self, name: str, pid: int) -> None:
        """Measure what an idle process holds, and its largest from now on."""
        self._pids[name] = pid
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # resets VmHWM, see proc(5)
        self.memory[name] = {"idle": _resident(pid, "VmRSS")}

    def seen(self, name: str) -> None:
        """Measure the largest that a process has held."""
        held = self.memory[name]
        held["peak"] = _resident(self._pids[name], "VmHWM")
        held["above"] = held["peak"] - held["idle"]

    def figures(self, size: int) -> dict[str, Any]:
        """Return all that was measured."""
        cuts = sum(each["cut"] for each in self.crossed.values())
        return {
            "bytes": size,
            "seconds": self.seconds,
            "lines": self.crossed,
            "memory": self.memory,
            "interruptions": f"{cuts} connections cut, {self.kills} process killed",
            "bound_mib": BOUND_MIB,
            "bound_met": all(each["above"] < BOUND_MIB for each in self.memory.values()),
        }

    @asynccontextmanager
    async def _work(self, name: str, task: str, who: str, file: Path, *more: str) -> AsyncIterator[Process]:
        words = (__name__, task, str(self.summary.config(who)), str(file), *more)
        async with child(*words, stdin=PIPE, stderr=None) as process:
            await _word(process, b"idle")
            self.watch(name, process.pid)
            _tell(process)
            yield process

    async def _end(self, name: str, process: Process) -> None:
        await _word(process, b"done")
        self.seen(name)
        _tell(process)
        await process.wait()


@asynccontextmanager
async def _stage(scratch: Path) -> AsyncIterator[_Stage]:
    """Start nodes behind proxies; stop everything at the end."""
    ports = development.free_ports(2 * len(NODES))
    public, hidden = ports[: len(NODES)], ports[len(NODES) :]
    folder = scratch / "federation"
    summary = development.init_federation(folder, NODES, public, system_clock())
    lines = {code: _Line(port) for code, port in zip(NODES, hidden, strict=True)}
    for code, shown, port in zip(NODES, public, hidden, strict=True):
        path = folder / code / "node.toml"
        path.write_text(path.read_text().replace(f'listen = "{HOST}:{shown}"', f'listen = "{HOST}:{port}"'))
    processes = Processes(summary)
    async with AsyncExitStack() as stack:
        for code, port in zip(NODES, public, strict=True):
            await stack.enter_async_context(await asyncio.start_server(lines[code].serve, HOST, port))
        stack.push_async_callback(processes.stop)
        for code in NODES:
            await processes.start(code)
        people = {
            address: await stack.enter_async_context(Participant.of(material.load_participant(summary.config(address))))
            for address in (SENDER, HOME, READER)
        }
        yield _Stage(summary, processes, lines, people)


async def _receive(who: Participant, kind: ids.Kind.ValueType) -> Received:
    for received in who.unhandled():
        if received.header.kind == kind:
            who.done(received)
            return received
    async with asyncio.timeout(WORDS_SECONDS), aclosing(who.collect()) as items:
        async for item in items:
            if isinstance(item, Received) and item.header.kind == kind:
                who.done(item)
                return item
    raise Failure(ErrorCode.UNAVAILABLE, "the collection ended")


def _terms(case_id: str) -> Any:  # noqa: ANN401  keyword arguments of one call
    return {
        "to": READER,
        "via": HOME,
        "case_id": case_id,
        "instrument": "eu-2018-1805",
        "measures": papers.MEASURES,
        "data_classes": papers.DATA_CLASSES,
    }


def _make(path: Path, size: int) -> bytes:
    digest = sha256()
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            piece = os.urandom(min(MIB, size - start))
            digest.update(piece)
            file.write(piece)
    return digest.digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest()


def _resident(pid: int, what: str) -> float:
    """Return a size of a process in MiB, as proc(5) has it."""
    for line in Path(f"/proc/{pid}/status").read_text().split("\n"):
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise Failure(ErrorCode.UNAVAILABLE, f"process {pid} has no {what}")


async def _word(process: Process, wanted: bytes) -> None:
    """Wait until a process of ours says how far it is."""
    if process.stdout is None:
        raise RuntimeError("a process that cannot be heard")
    async with asyncio.timeout(WORDS_SECONDS):
        line = await process.stdout.readline()
    if line.strip() != wanted:
        raise Failure(ErrorCode.UNAVAILABLE, f"a process said {line!r}, not {wanted!r}")


def _tell(process: Process) -> None:
    if process.stdin is not None:
        with suppress(ConnectionError):
            process.stdin.write(b"go\n")


# What the processes of the sender and the reader do


async def _work(task: str, config: Path, file: Path, envelope_id: str = "") -> None:
    async with Participant.of(material.load_participant(config)) as participant:
        await _say("idle")
        if task == "send":
            await _send(participant, file)
        else:
            received = participant.find(ids.EnvelopeRef(sender=SENDER, id=envelope_id))
            (attachment,) = _attachments(received)
            await participant.fetch(attachment, file, PATIENCE_SECONDS)
        await _say("done")


async def _send(participant: Participant, file: Path) -> pb.Receipt:
    asked = papers.request(papers.read_wallets(None)[:1])
    asked.attachments.append(await asyncio.to_thread(participant.attach, file))
    drafted = Investigator(participant).draft_freeze(asked, **_terms("EE-large"))
    return await participant.submit(drafted.draft.envelope, PATIENCE_SECONDS)


def _attachments(received: Received) -> list[parties.Attachment]:
    if not isinstance(received.document, FreezeRequest):
        raise Failure(ErrorCode.INTERNAL, "not the request")
    return [*received.document.attachments]


async def _say(word: str) -> None:
    """Say how far we are, and wait for the measuring to be done."""
    print(word, flush=True)
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:]))
