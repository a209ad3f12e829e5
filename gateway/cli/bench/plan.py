"""What one run needs, and the work that all measurements share: start, load, look, stop.

In: how long and how often. Out: a federation, pools of envelopes, and `Taken` of a load together with what the node
used meanwhile.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from gateway.cli.bench import pool
from gateway.cli.bench.figures import MICROSECONDS, Values
from gateway.cli.bench.load import LAST_SECONDS, Job, Taken
from gateway.cli.bench.nodes import HOME, RECIPIENT, SENDER, START_SECONDS, Helper, Nodes, Usage, helper

PROVING_SECONDS: Final = 120.0
"""In which a load process must have checked what it was answered."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done.

    Args:
        rounds: how often everything is measured.
        seconds: how long each load lasts.
        pool: envelopes signed in advance, at least.
        growth: numbers of stored envelopes that a node is measured with.
        grown: envelopes for each measurement on a store that is kept from round to round.
        staged: envelopes of a round in which each stage is measured alone.
        wallet_rounds: rounds of the checks of wallets, which take milliseconds.
        procedure_rounds: rounds of the procedure.
        cases: open cases of the procedure.
        log_rounds: rounds of the log.
        logged: numbers of entries that the log is measured with.
    """

    rounds: int
    seconds: float
    pool: int
    growth: tuple[int, ...]
    grown: int
    staged: int
    wallet_rounds: int
    procedure_rounds: int
    cases: int
    log_rounds: int
    logged: tuple[int, ...]


FULL: Final = Sizes(
    rounds=5,
    seconds=2.0,
    pool=40_000,
    growth=(1_000, 10_000, 100_000, 1_000_000),
    grown=16_000,
    staged=640,
    wallet_rounds=21,
    procedure_rounds=7,
    cases=100_000,
    log_rounds=7,
    logged=(1_000, 100_000, 10_000_000),
)
QUICK: Final = Sizes(
    rounds=1,
    seconds=0.8,
    pool=8_000,
    growth=(1_000, 10_000),
    grown=2_000,
    staged=640,
    wallet_rounds=5,
    procedure_rounds=3,
    cases=2_000,
    log_rounds=3,
    logged=(1_000, 100_000),
)


@dataclass(frozen=True, slots=True)
class Costs:
    """What one envelope took of the processors while it was accepted.

    Args:
        cpu_us: microseconds of all processes of the node.
        lock_us: of those, of the threads that share the interpreter lock of their process.
        load_us: of the load beside it.
    """

    cpu_us: float
    lock_us: float
    load_us: float

    @classmethod
    def of(cls, taken: Sequence[Taken], before: Sequence[Usage], after: Sequence[Usage]) -> Self:
        """Return the means, from what processes had used before and after."""
        count = sum(each.answered for each in taken)
        cpu = sum(late.cpu_seconds - early.cpu_seconds for early, late in zip(before, after, strict=True))
        lock = sum(late.lock_seconds - early.lock_seconds for early, late in zip(before, after, strict=True))
        load = sum(each.cpu_seconds for each in taken)
        return cls(*(seconds / count * MICROSECONDS for seconds in (cpu, lock, load)))

    def named(self, name: str) -> Values:
        """Return them as figures."""
        return {f"{name}_cpu_us": self.cpu_us, f"{name}_lock_us": self.lock_us, f"{name}_load_us": self.load_us}


@dataclass
class Plan:
    """One run's federation, pools and sizes.

    Args:
        folder: everything is made in it; on the disk that is measured.
        sizes: how much is done.
    """

    folder: Path
    sizes: Sizes
    nodes: Nodes = field(init=False)
    direct: Path = field(init=False)
    batches: Path = field(init=False)
    loading: Sequence[Helper] = field(init=False)
    echo: Helper = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = Nodes(self.folder)
        self.direct, self.batches = self.folder / "direct.pool", self.folder / "batches.pool"
        sender = self.nodes.config(SENDER)
        pool.write(self.direct, sender, RECIPIENT, self.sizes.pool)
        pool.write(self.batches, sender, RECIPIENT, self.sizes.pool, batches=True)

    def job(self, mode: str, **more: object) -> Job:
        """Return a job with this run's usual length, from the pool of directly signed envelopes."""
        usual = Job(
            config=str(self.nodes.config(SENDER)),
            pool=str(self.direct),
            start=0,
            count=self.sizes.pool,
            seconds=self.sizes.seconds,
            mode=mode,
        )
        return replace(usual, **more)  # type: ignore[arg-type]  # of its own fields

    @contextmanager
    def tools(self) -> Iterator[None]:
        """Have the processes ready that all measurements need: the load, and the bare echo."""
        settings = {"config": str(self.nodes.config(f"{HOME}/node")), "port": self.nodes.echo_port}
        with (
            helper("gateway.cli.bench.load", "", self.nodes.log) as one,
            helper("gateway.cli.bench.load", "", self.nodes.log) as other,
            helper("gateway.cli.bench.echo", json.dumps(settings), self.nodes.log) as self.echo,
        ):
            self.loading = one, other
            yield

    def load(self, job: Job, node: Helper) -> tuple[Taken, Usage, Costs]:
        """Load a process that runs.

        Returns:
            What was answered, what the process has used by then, and what an envelope cost it and the load.

        Raises:
            Failure: UNAVAILABLE, the load process ended: what it was answered proves nothing, or nothing came.
        """
        (taken,), (after,), costs = self.load_all([(job, node)])
        return taken, after, costs

    def load_all(self, jobs: Sequence[tuple[Job, Helper]]) -> tuple[list[Taken], list[Usage], Costs]:
        """Load at most two processes at the same time, each with a process of its own; see `load`."""
        loading = self.loading[: len(jobs)]
        for each, (job, _) in zip(loading, jobs, strict=True):
            each.say(json.dumps(asdict(job)))
            each.hear(START_SECONDS)
        before = [node.usage for _, node in jobs]
        for each in loading:
            each.say("go")
        for each, (job, _) in zip(loading, jobs, strict=True):
            each.hear(job.seconds + LAST_SECONDS + START_SECONDS)  # its own words come first
        after = [node.usage for _, node in jobs]
        taken = [Taken(**json.loads(each.hear(PROVING_SECONDS))) for each in loading]
        return taken, after, Costs.of(taken, before, after)

    def load_echo(self, job: Job) -> tuple[Taken, Costs]:
        """Load the bare echo."""
        taken, _, costs = self.load(replace(job, port=self.nodes.echo_port, echo=True), self.echo)
        return taken, costs
