"""What one run needs, and the work that all measurements share: start, load, look, stop.

In: how long and how often. Out: a federation, pools of envelopes, and `Taken` of a load together with what the node
used meanwhile.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from gateway.cli.bench import pool
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
        wallet_rounds: rounds of the checks of wallets, which take milliseconds.
        procedure_rounds: rounds of the procedure.
        cases: open cases of the procedure.
    """

    rounds: int
    seconds: float
    pool: int
    growth: tuple[int, ...]
    grown: int
    wallet_rounds: int
    procedure_rounds: int
    cases: int


FULL: Final = Sizes(
    rounds=5,
    seconds=2.0,
    pool=60_000,
    growth=(1_000, 10_000, 100_000, 1_000_000),
    grown=20_000,
    wallet_rounds=21,
    procedure_rounds=7,
    cases=100_000,
)
QUICK: Final = Sizes(
    rounds=1,
    seconds=1.2,
    pool=12_000,
    growth=(1_000, 10_000),
    grown=4_000,
    wallet_rounds=5,
    procedure_rounds=3,
    cases=2_000,
)


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
    loading: Helper = field(init=False)
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
            helper("gateway.cli.bench.load", "", self.nodes.log) as self.loading,
            helper("gateway.cli.bench.echo", json.dumps(settings), self.nodes.log) as self.echo,
        ):
            yield

    def load(self, job: Job, node: Helper) -> tuple[Taken, Usage, float]:
        """Load a process that runs.

        Returns:
            What was answered, what the process has used by then, and its seconds of processor meanwhile.

        Raises:
            Failure: UNAVAILABLE, the load process ended: what it was answered proves nothing, or nothing came.
        """
        self.loading.say(json.dumps(asdict(job)))
        self.loading.hear(START_SECONDS)
        before = node.usage
        self.loading.say("go")
        taken = Taken(**json.loads(self.loading.hear(job.seconds + LAST_SECONDS + PROVING_SECONDS)))
        after = node.usage
        return taken, after, after.cpu_seconds - before.cpu_seconds

    def load_echo(self, job: Job) -> Taken:
        """Load the bare echo."""
        return self.load(replace(job, echo=self.nodes.echo_port), self.echo)[0]
