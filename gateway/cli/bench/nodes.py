"""The federation that is measured: real node processes over real stores, mutual TLS, fsync on.

In: a folder on the disk that is to be measured. Out: nodes that were started, what they used of processor, memory and
disk. All settings are those of production but for quotas, which are there to slow a sender down: see `SETTINGS`.
Refuses with UNAVAILABLE, a process ended or said nothing. Only processes that were started here are ever signalled.
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from time import monotonic
from types import MappingProxyType
from typing import IO, Any, Final, cast

from gateway.cli import development
from gateway.cli.children import last_words, starting
from gateway.cli.development import Summary
from gateway.cli.folders import toml
from gateway.clock import system_clock
from gateway.errors import ErrorCode, Failure

SENDER: Final = "ee/fiu"
RECIPIENT: Final = "de/fiu"
HOME, ABROAD = "ee", "de"

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0

_ENDLESS: Final = {
    "envelopes_per_second": 1_000_000,
    "burst_envelopes": 10_000_000,
    "bytes_per_second": 1 << 34,
    "burst_bytes": 1 << 34,
}
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "quota.participant": _ENDLESS | {"max_streams": 1024},
    "quota.node": _ENDLESS,
    # More than a receiver's start-up leaves time for, in the rounds with a node that is not there.
    "delivery": {"backoff_first_seconds": 0.5},
}
"""What the nodes' settings say beside what all have: no rate is limited, and 1024 calls of one peer may be open."""

_LISTEN: Final = re.compile(r'^listen = ".*"$', re.MULTILINE)
_LOCKLESS: Final = ("event_engine", "grpc_", "lifeguard", "tokio")
"""How gRPC and obstore name the threads that they start by themselves, and that need no interpreter."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used, and those that it has started, e.g. to check signatures.

    Args:
        cpu_seconds: of the processor, in the programs and in the system for them.
        lock_seconds: of those, the threads' of the process that share its interpreter lock.
        own_bytes: memory of their own, which the system could not drop.
        rss_bytes: all memory, with the pages of the store that are mapped and read; those are the system's to drop.
    """

    cpu_seconds: float
    lock_seconds: float
    own_bytes: int
    rss_bytes: int


def usage_of(pid: int) -> Usage:
    """Ask the system (proc(5), Linux)."""
    lock = 0.0
    for each in (_PROC / str(pid) / "task").iterdir():
        # Of a thread that has just ended, the process has what it used.
        with suppress(FileNotFoundError, ProcessLookupError):
            name, spent = _stat(each)
            lock += 0.0 if name.startswith(_LOCKLESS) else spent
    status = dict(line.split(":", 1) for line in (_PROC / str(pid) / "status").read_text().splitlines())
    found = [Usage(_stat(_PROC / str(pid))[1], lock, _kibibytes(status["RssAnon"]), _kibibytes(status["VmRSS"]))]
    for child in _children(pid):
        with suppress(FileNotFoundError, ProcessLookupError, KeyError):
            found.append(usage_of(child))
    return Usage(
        sum(each.cpu_seconds for each in found),
        lock,
        sum(each.own_bytes for each in found),
        sum(each.rss_bytes for each in found),
    )


def _stat(path: Path) -> tuple[str, float]:
    """Return the name of a process or a thread, and its seconds of the processor."""
    # The name may hold anything, in parentheses.
    name, _, rest = (path / "stat").read_text().rpartition(")")
    fields = rest.split()
    return name.partition("(")[2], (int(fields[11]) + int(fields[12])) / _TICKS


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in (_PROC / str(pid) / "task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (thread / "children").read_text().split())
    return found


def _kibibytes(text: str) -> int:
    return int(text.split(maxsplit=1)[0]) << 10


class Helper:
    """A process of the bench or of what is measured: it says `ready`, is told what to do on its standard input."""

    def __init__(
        self, arguments: list[str], diagnostics: Path, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Start it.

        Args:
            arguments: the program and what it is told.
            diagnostics: where its standard error goes.
            environment: what its environment has beside ours.
        """
        self._diagnostics = diagnostics
        self._heard = b""
        with diagnostics.open("ab") as file:
            self.process = subprocess.Popen(  # noqa: S603  our own words
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=os.environ | environment,
                start_new_session=True,
            )

    @property
    def usage(self) -> Usage:
        """What it has used so far."""
        return usage_of(self.process.pid)

    def say(self, line: str) -> None:
        """Write a line to it.

        Raises:
            Failure: UNAVAILABLE, it is gone.
        """
        stdin = cast("IO[bytes]", self.process.stdin)
        try:
            stdin.write(line.encode() + b"\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise self._gone() from error

    def hear(self, within: float) -> str:
        """Return the next line that it says.

        Raises:
            Failure: UNAVAILABLE, it ended, or said nothing for so many seconds.
        """
        stdout = cast("IO[bytes]", self.process.stdout)
        until = monotonic() + within
        waiting = select.poll()  # unlike select(), of any number
        waiting.register(stdout, select.POLLIN)
        while b"\n" not in self._heard:
            ready = waiting.poll(max(0.0, until - monotonic()) * 1000)
            more = os.read(stdout.fileno(), 1 << 20) if ready else b""
            if not more:
                raise self._gone()
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def _gone(self) -> Failure:
        detail = f"a process ended or is silent; the last that any of them wrote: {last_words(self._diagnostics)}"
        return Failure(ErrorCode.UNAVAILABLE, detail)

    def stop(self) -> None:
        """Ask it to end, then insist."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                cast("IO[bytes]", pipe).close()


@contextmanager
def started(
    arguments: list[str], diagnostics: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Helper]:
    """Run a program; it ends with the block. See `Helper`."""
    running: Helper | None = None
    try:
        with starting():
            running = Helper(arguments, diagnostics, environment)
        yield running
    finally:
        if running is not None:
            running.stop()


@contextmanager
def helper(module: str, job: str, diagnostics: Path) -> Iterator[Helper]:
    """Run a module of the bench with one line of settings until it says that it is ready; it ends with the block."""
    with started([sys.executable, "-m", module], diagnostics) as running:
        running.say(job)
        running.hear(START_SECONDS)
        yield running


def say(line: str) -> None:
    """Tell whoever started this process, see `Helper.hear`."""
    print(line, flush=True)


class Nodes:
    """Two countries, and their nodes as they are started and stopped."""

    def __init__(self, folder: Path) -> None:
        """Make the federation in a new folder."""
        ports = development.free_ports(3)
        self.folder = folder
        self.summary: Summary = development.init_federation(
            folder / "federation", (HOME, ABROAD), ports[:2], system_clock()
        )
        self.echo_port = ports[2]
        for code in (HOME, ABROAD):
            self._add_settings(code, SETTINGS)

    def config(self, address: str) -> Path:
        """Return somebody's settings."""
        return self.summary.config(address)

    def store(self, code: str) -> Path:
        """Return where a node's store lies by default."""
        return self.config(f"{code}/node").parent / "store"

    @contextmanager
    def running(
        self,
        code: str,
        store: Path | str | None = None,
        port: int | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        **tables: dict[str, Any],
    ) -> Iterator[Helper]:
        """Run a process of a node.

        Args:
            code: which.
            store: a folder with its store, or the address of a database; None: a new folder, which is empty.
            port: where it listens, if not where the directory says: beside another process of the node.
            environment: what its environment has beside ours.
            tables: more settings, by table.
        """
        settings = self._settings(code, store, port, tables)
        serve = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(settings)]
        with started(serve, self.log, environment) as node:
            node.hear(START_SECONDS)
            yield node

    @property
    def log(self) -> Path:
        """Where all processes say what went wrong."""
        return self.folder / "diagnostics.log"

    def _settings(
        self, code: str, store: Path | str | None, port: int | None, tables: dict[str, dict[str, Any]]
    ) -> Path:
        usual = self.config(f"{code}/node")
        if store is None:
            store = self.store(code)
            rmtree(store)
            store.mkdir(mode=0o700)
        where = store.resolve() / "node.db" if isinstance(store, Path) else store
        text = usual.read_text().replace('store = "store/node.db"', f"store = {json.dumps(str(where))}")
        if port is not None:
            text = _LISTEN.sub(f'listen = "127.0.0.1:{port}"', text)
        settings = usual.with_name(f"measured{'' if port is None else f'-{port}'}.toml")
        settings.write_text(text + _tables(tables))
        return settings

    def _add_settings(self, code: str, tables: dict[str, dict[str, Any]]) -> None:
        with self.config(f"{code}/node").open("a") as file:
            file.write(_tables(tables))


def _tables(tables: dict[str, dict[str, Any]]) -> str:
    return "".join(line + "\n" for line in toml({}, tables).splitlines()[1:])


def bytes_on_disk(store: Path) -> int:
    """Return the size of a store, with its write-ahead log."""
    return sum(file.stat().st_size for file in store.iterdir() if file.is_file())
