"""From one country to the other: submitted at `ee`, passed on, collected and acknowledged at `de`.

In: a `Plan`. Out: envelopes a second, from the first that is sent to the last whose acknowledgement is on disk at the
recipient's node; and how long one takes at half of that rate, from when it is due until the recipient has it. Both
nodes run every stage, and what the recipient's node says of each travels back meanwhile. The sender does not collect.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from rogatory.v1 import envelope_pb2 as pb

from gateway.cli.bench import pool, postgres
from gateway.cli.bench.collect import Collected
from gateway.cli.bench.figures import MICROSECONDS, Measure, Values, percentile
from gateway.cli.bench.load import Taken
from gateway.cli.bench.nodes import ABROAD, HOME, RECIPIENT, Helper, Nodes, helper
from gateway.cli.bench.plan import Costs, Plan
from gateway.errors import ErrorCode, Failure

DRAIN_SECONDS: Final = 180.0
"""In which everything that was accepted must have been collected."""


def measures(plan: Plan) -> list[Measure]:
    """Return what is measured with two nodes."""
    return [
        Measure(("end_to_end_rate", "end_to_end_half_load_p99_ms"), lambda _: _carry_over(plan)),
        Measure(("end_to_end_postgresql_rate",), lambda _: _carry_over_databases(plan)),
    ]


@contextmanager
def collector(nodes: Nodes) -> Iterator[Helper]:
    """Run a process that collects for the recipient."""
    with helper("gateway.cli.bench.collect", str(nodes.config(RECIPIENT)), nodes.log) as running:
        yield running


def collected(collecting: Helper, at_least: int) -> Collected:
    """Ask for a report, once so many are settled.

    Raises:
        Failure: UNAVAILABLE, the collector has ended, or they are not settled in time.
    """
    collecting.say(str(at_least))
    return Collected(**json.loads(collecting.hear(DRAIN_SECONDS)))


def ids_of(file: Path, start: int, count: int) -> list[str]:
    """Return the ids of envelopes of a pool, in its order."""
    raw = pool.read(file, start, count)
    return [pb.Header.FromString(pb.SignedEnvelope.FromString(each).header).id for each in raw]


def _carry_over(plan: Plan) -> Values:
    share = plan.sizes.pool // 2
    with (
        plan.nodes.running(ABROAD) as abroad,
        plan.nodes.running(HOME) as home,
        collector(plan.nodes) as collecting,
    ):
        taken, found, each = _stream_over(plan, home, abroad, collecting)
        rate = taken.answered / (found.last - taken.began)
        half = plan.job("paced", rate=rate / 2, start=share, count=share)
        at_half, _, _ = plan.load(half, home)
        came = _wait(collecting, at_half.answered, taken.answered + at_half.answered).came
    ids = ids_of(plan.direct, share, at_half.answered)
    due = {id_: at_half.began + number / half.rate for number, id_ in enumerate(ids)}
    took = [(at - due[id_]) * 1000 for id_, at in came]
    return {
        "end_to_end_rate": rate,
        "end_to_end_cpu_us": sum(costs.cpu_us for costs in each),
        "end_to_end_home_cpu_us": each[0].cpu_us,
        "end_to_end_abroad_cpu_us": each[1].cpu_us,
        # Of the busier of both, for the other keeps up with it.
        "end_to_end_lock_us": max(costs.lock_us for costs in each),
        "end_to_end_load_us": each[0].load_us,
        "end_to_end_collect_us": found.cpu_seconds / taken.answered * MICROSECONDS,
        "end_to_end_half_load_p50_ms": percentile(took, 0.5),
        "end_to_end_half_load_p99_ms": percentile(took, 0.99),
    }


def _carry_over_databases(plan: Plan) -> Values:
    """Measure the same way with a database for each node, on this machine; their servers share the processors."""
    beside, log = plan.folder.parent, plan.nodes.log
    with ExitStack() as running:
        nodes = []
        for code in (ABROAD, HOME):
            database = running.enter_context(postgres.server(beside, log))
            depot = {"folder": f"store/{code}.attachments"}
            nodes.append(running.enter_context(plan.nodes.running(code, database.address, attachments=depot)))
        abroad, home = nodes
        collecting = running.enter_context(collector(plan.nodes))
        taken, found, each = _stream_over(plan, home, abroad, collecting)
    return {
        "end_to_end_postgresql_rate": taken.answered / (found.last - taken.began),
        "end_to_end_postgresql_cpu_us": sum(costs.cpu_us for costs in each),
    }


def _stream_over(plan: Plan, home: Helper, abroad: Helper, collecting: Helper) -> tuple[Taken, Collected, list[Costs]]:
    """Send half of the pool, and wait until all of it has come; the costs are those of home, then abroad."""
    before = home.usage, abroad.usage
    taken, _, _ = plan.load(plan.job("stream", count=plan.sizes.pool // 2), home)
    found = _wait(collecting, taken.answered, taken.answered)
    each = [Costs.of([taken], [early], [node.usage]) for early, node in zip(before, (home, abroad), strict=True)]
    return taken, found, each


def _wait(collecting: Helper, new: int, settled: int) -> Collected:
    """Wait until all that was accepted is settled, and see that nothing else came."""
    found = collected(collecting, settled)
    if found.settled != settled or len(found.came) != new:
        raise Failure(ErrorCode.UNAVAILABLE, f"{new} were accepted, and {len(found.came)} came")
    return found
