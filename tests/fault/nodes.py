"""The nodes of a federation, each in a process of its own; whoever dies is started again, as a supervisor does."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2 as sqlite

from gateway import config
from gateway.cli.development import init_federation
from gateway.clock import system_clock
from gateway.config import Delivery, NodeConfig
from gateway.depot import look_into
from gateway.lifecycle import FINAL
from gateway.store import fsck
from tests import stores
from tests.fault.node_process import Ahead, Kill, NodeProcess, Pass, Place
from tests.federation import Federation, ports, until
from tests.judge import Verdict, judge

# As production, but impatient.
IMPATIENT = Delivery(
    lease_seconds=1.0,
    backoff_first_seconds=0.05,
    backoff_max_seconds=0.5,
    attempt_timeout_seconds=1.0,
    sweep_seconds=0.05,
)
KILLED = -9


@dataclass
class Nodes:
    """The processes, and who has died."""

    fed: Federation
    running: dict[str, NodeProcess] = field(default_factory=dict)
    deaths: list[tuple[str, int]] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tending: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, code: str) -> NodeProcess:
        """Start one; if it dies, it is started again."""
        settings = self.fed.summary.config(f"{code}/node")
        made = await NodeProcess.start(settings, self.places.get(code, Place()))
        self.running[code] = made
        task = asyncio.create_task(self._tend(code, made))
        self._tending.add(task)
        task.add_done_callback(self._tending.discard)
        async with self._changed:
            self._changed.notify_all()
        return made

    async def _tend(self, code: str, process: NodeProcess) -> None:
        status = await process.died()
        if process.ending:
            return
        self.deaths.append((code, status))
        await self.start(code)

    async def kill_at(self, code: str, stage: str, arm: str = "") -> None:
        """Let one die at a point of its path."""
        await self.running[code].obey(Kill(stage, arm))

    async def spare(self, code: str) -> None:
        """Let one live that was to die, unless it has."""
        await self.running[code].obey(Kill(""))

    async def reborn(self) -> None:
        """Wait until one has died and everybody runs again."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(
                lambda: (
                    len(self.deaths) > 0
                    and all(each.ending or each.process.exitcode is None for each in self.running.values())
                )
            )

    async def set_clock(self, code: str, ahead: timedelta) -> None:
        """Let one live in another time, after its next start too."""
        self.places[code] = replace(self.places.get(code, Place()), ahead=ahead)
        if code in self.running:
            await self.running[code].obey(Ahead(ahead))

    async def later(self, code: str, by: timedelta) -> None:
        """Let time pass for one, as if its machine lived in another day."""
        place = self.places.get(code, Place())
        self.places[code] = replace(place, passed=place.passed + by)
        await self.running[code].obey(Pass(by))

    async def stop(self, code: str) -> int:
        """Let one drain and end."""
        return await self.running[code].stop()

    async def end(self) -> None:
        """Kill everybody, for good."""
        for process in self.running.values():
            process.ending = True
        await asyncio.gather(*(process.kill() for process in self.running.values()))
        await asyncio.gather(*self._tending, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until nothing is on its way any more; the stores are the only ones who know, and they cannot call.

        What arrives at one may set another going that was asked before: nothing is new the second time they are asked.
        """
        final = ", ".join(f"'{state.value}'" for state in FINAL)
        query = f"SELECT count(*) FILTER (WHERE state NOT IN ({final})), count(*) FROM deliveries"
        before: list[tuple[Any, ...]] = []

        def at_rest() -> bool:
            nonlocal before
            now = [self.ask(code, query)[0] for code in self.running]
            rested, before = now == before, now
            return rested and not any(open_ for open_, _ in now)

        await until(at_rest)

    def on_the_way(self) -> dict[str, Sequence[tuple[Any, ...]]]:
        """What is still on its way at each node, to where, how often it was tried, and what it met last."""
        query = (
            "SELECT destination, state, count(*), max(attempts), max(last_error), min(next_attempt_at_us),"
            " max(lease_until_us) FROM deliveries WHERE state NOT IN ('delivered', 'refused', 'expired') GROUP BY 1, 2"
        )
        return {code: self.ask(code, query) for code in self.running}

    def ask(self, code: str, query: str) -> Sequence[tuple[Any, ...]]:
        """Read a node's store, whatever state the node is in."""
        connection = sqlite.connect(f"file:{self.fed.store(code)}?mode=ro", uri=True, timeout=10)
        try:
            return list(connection.execute(query))
        finally:
            connection.close()

    def judged(self, code: str, *, all_final: bool = True) -> Verdict:
        """Have the judges look at a node's store."""
        return judged(self.fed, code, all_final=all_final)


def judged(fed: Federation, code: str, *, all_final: bool = True) -> Verdict:
    """Have the judges look at a node's store: every test of faults ends here."""
    store, directory = fed.store(code), fed.directory
    settings = config.load(NodeConfig, fed.summary.config(f"{code}/node"))
    findings = fsck.check(store, directory, node=code, depot=look_into(settings), digests=True)
    broken = [found for found in findings if found.result is not fsck.Result.PASSED]
    assert not broken, broken
    return judge(store, code, directory, all_final=all_final)


@asynccontextmanager
async def nodes_of(
    folder: Path,
    codes: Sequence[str] = ("ee", "de"),
    *,
    start: Iterable[str] | None = None,
    age: timedelta = timedelta(days=2),
    **options: Any,
) -> AsyncIterator[Nodes]:
    """Make a federation and run its nodes; at the end nothing of it runs.

    Args:
        folder: for the federation.
        codes: its nodes.
        start: those that are started here; by default all.
        age: of the federation; a clock that is behind by less does not lie before all keys.
        options: of `init_federation`.
    """
    options = {"delivery": IMPATIENT, **options}
    summary = init_federation(folder, codes, ports(len(codes)), system_clock() - age, **options)
    stores.move(summary, codes)
    made = Nodes(Federation(summary, system_clock, {}, {}))
    try:
        await asyncio.gather(*(made.start(code) for code in (codes if start is None else start)))
        yield made
    finally:
        for actor in made.fed.actors.values():
            await actor.channel.close()
        await made.end()
