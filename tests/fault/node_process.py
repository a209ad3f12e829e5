"""A real node in a process of its own that does what a test orders: die at a point of its path, live in another time.

In: the settings of a node; orders over a pipe. Out: over the same pipe, that it takes calls, and that an order is in
force. Whoever it serves sees a node as `rogatory serve` runs it: the orders only move its clock and choose its death.
The process ends with whoever started it.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import ctypes
import os
import resource
import signal
import threading
import traceback
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TypeAlias

from gateway import clock, config
from gateway.clock import since_boot, system_clock
from gateway.errors import GatewayError
from gateway.material import check_node
from gateway.node import Node
from gateway.store.sqlite import SqliteConnection
from tests.forks import FORKS, end_of, readable

START_SECONDS = 60.0
SETTLING_SECONDS = 0.5
"""For so long a node does not believe a clock that was set; whoever calls meanwhile is told to come again then."""

CLONE_NEWNET = 0x40000000
_begin = SqliteConnection.begin


@dataclass(frozen=True, slots=True)
class Kill:
    """Send yourself SIGKILL at the next `stage` after `arm`; without `arm`, at the next."""

    stage: str
    arm: str = ""


@dataclass(frozen=True, slots=True)
class Ahead:
    """Let your clock be so far ahead of the time, or behind: somebody sets it."""

    by: timedelta


@dataclass(frozen=True, slots=True)
class Pass:
    """Let so much time pass."""

    by: timedelta


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """Let your store take no more writes, or take them again, as if its disk had been mounted anew.

    What the engine raises is what it raises on such a disk: a disk on which a file is open for writing cannot be
    mounted read-only by anybody but the kernel itself.
    """

    on: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop as SIGTERM has you stop."""


Order: TypeAlias = Kill | Ahead | Pass | ReadOnly | Stop


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process lives.

    Args:
        namespace: name of the network namespace, as `ip netns` lists it; empty for the test's own.
        ahead: how far its clock is ahead of the time.
        passed: how much later it is for it than for us.
    """

    namespace: str = ""
    ahead: timedelta = timedelta()
    passed: timedelta = timedelta()


class _Obedient:
    """What the orders so far have made of a process."""

    def __init__(self, place: Place) -> None:
        self._ahead = place.ahead
        self._passed = place.passed
        self._kill: Kill | None = None
        self._armed = False

    def clock(self) -> datetime:
        return system_clock() + self._ahead + self._passed

    def elapsed(self) -> float:
        return since_boot() + self._passed.total_seconds()

    def watch(self, stage: str) -> None:
        """Die here, if that was ordered: no handler runs, nothing is flushed."""
        kill = self._kill
        if kill is None:
            return
        if stage == kill.stage and (self._armed or not kill.arm):
            os.kill(os.getpid(), signal.SIGKILL)
        if stage == kill.arm:
            self._armed = True

    def obey(self, order: Order) -> None:
        match order:
            case Kill():
                self._armed, self._kill = False, order
            case Ahead(by):
                self._ahead = by
            case Pass(by):
                self._passed += by
            case ReadOnly(on):
                _mount(read_only=on)


def _mount(*, read_only: bool) -> None:
    def begin(connection: SqliteConnection) -> None:
        connection.execute(f"PRAGMA query_only = {int(read_only)}")
        _begin(connection)

    setattr(SqliteConnection, "begin", begin)  # noqa: B010  a method


def run(settings: Path, orders: Connection, place: Place) -> None:
    """Be the node; called in the process that was forked for it."""
    if place.namespace:
        _enter(place.namespace)
    setattr(clock, "SETTLING_SECONDS", SETTLING_SECONDS)  # noqa: B010  final, and a minute
    try:
        asyncio.run(_serve(settings, orders, _Obedient(place)))
    except GatewayError as error:
        orders.send(f"{error.code.name}: {error}")
    except Exception:
        orders.send(traceback.format_exc())
        raise


async def _serve(settings: Path, orders: Connection, obedient: _Obedient) -> None:
    loaded = config.load(config.NodeConfig, settings)
    node = Node(
        loaded,
        check_node(loaded, obedient.clock, settings),
        clock=obedient.clock,
        elapsed=obedient.elapsed,
        watch=obedient.watch,
    )
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def listen() -> None:
        try:
            while True:
                order: Order = orders.recv()
                if isinstance(order, Stop):
                    loop.call_soon_threadsafe(stop.set)
                    return
                obedient.obey(order)
                orders.send("")
        except (EOFError, OSError):
            # Whoever started us has gone.
            os._exit(1)

    await node.start()
    orders.send("")
    threading.Thread(target=listen, daemon=True).start()
    failed, stopped = asyncio.create_task(node.failed()), asyncio.create_task(stop.wait())
    await asyncio.wait({failed, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        failed.result()
    failed.cancel()
    await node.stop()


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/run/netns/{namespace}").open() as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


@dataclass
class NodeProcess:
    """The other end of the pipe.

    `ending` is set by whoever means it to end, so that nobody starts it again.
    """

    process: ForkServerProcess
    pipe: Connection
    ending: bool = False
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def start(cls, settings: Path, place: Place) -> "NodeProcess":
        """Start one; returns when it takes calls.

        Raises:
            AssertionError: it does not; with what it said.
        """
        ours, theirs = FORKS.Pipe()
        process = FORKS.Process(target=run, args=(settings, theirs, place), daemon=True)
        await asyncio.to_thread(process.start)
        theirs.close()
        made = cls(process, ours)
        said = await made._answer()
        assert said == "", said
        return made

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    async def obey(self, order: Kill | Ahead | Pass | ReadOnly) -> None:
        """Give an order; returns when it is in force, or when the process has died of an earlier one."""
        async with self._turn:
            try:
                self.pipe.send(order)
                await self._answer()
            except (EOFError, OSError):
                return

    async def died(self) -> int:
        """Wait for its end; return its status."""
        return await end_of(self.process)

    async def stop(self) -> int:
        """Let it drain."""
        self.ending = True
        self.pipe.send(Stop())
        return await asyncio.wait_for(self.died(), START_SECONDS)

    async def kill(self) -> None:
        """End it for good, without warning."""
        self.ending = True
        self.process.kill()
        await self.died()
        self.pipe.close()

    def limit_files(self, size: int) -> None:
        """Let it write nothing beyond so many bytes of any file; -1 lifts that."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard if size < 0 else size, hard))

    async def _answer(self) -> str:
        async with asyncio.timeout(START_SECONDS):
            await readable(self.pipe.fileno())
        said: str = self.pipe.recv()
        return said
