"""What one node accepts: durable, verified, lawful, each with a receipt that was checked; and the bare echo beside it.

In: a `Plan`. Out: envelopes a second, latencies, processor, memory and disk. The node is the sender's own, and passes
nothing on meanwhile: the other country's is down, see `end_to_end` for both. Each begins with an empty store.
"""

from typing import Final

from gateway.cli.bench.figures import Measure, NotMeasured, Series, Values
from gateway.cli.bench.nodes import HOME, bytes_on_disk
from gateway.cli.bench.plan import Plan
from gateway.cli.bench.receiver import receiver

IN_FLIGHT: Final = (1, 32, 256)
USUAL_IN_FLIGHT: Final = 32
"""At which figures are told that do not say another."""

MEBI: Final = 1 << 20


def measures(plan: Plan, series: Series) -> list[Measure]:
    """Return all that is measured at one node."""
    unary = [_named(name, many) for name in ("unary_echo_rate", "accept_unary_rate") for many in IN_FLIGHT]
    half_load = ("half_load_p50_ms", "half_load_p99_ms")
    return [
        Measure(tuple(unary), lambda _: _unary(plan)),
        Measure(("stream_echo_rate",), lambda _: {"stream_echo_rate": plan.load_echo(plan.job("stream")).rate}),
        Measure(("accept_stream_rate", *half_load), lambda _: _stream(plan)),
        Measure(("accept_batch_signed_rate",), lambda _: _batch_signed(plan)),
        Measure(("accept_two_process_rate",), lambda _: _two_processes(plan)),
        Measure(("accept_postgresql_rate", "engines_ratio"), lambda _: _postgresql(plan, series)),
        Measure(("accept_telemetry_rate",), lambda _: _with_telemetry(plan)),
    ]


def _named(name: str, in_flight: int) -> str:
    return name if in_flight == USUAL_IN_FLIGHT else f"{name}_at_{in_flight}"


def _unary(plan: Plan) -> Values:
    """Measure unary calls, each time right after the same number of calls to the echo."""
    found: dict[str, float] = {}
    with plan.nodes.running(HOME) as node:
        share = plan.sizes.pool // len(IN_FLIGHT)
        for place, many in enumerate(IN_FLIGHT):
            job = plan.job("unary", in_flight=many, start=place * share, count=share)
            bare = plan.load_echo(job)
            taken, _, spent = plan.load(job, node)
            found |= {
                _named("unary_echo_rate", many): bare.rate,
                f"unary_echo_p50_ms_at_{many}": bare.p50_ms,
                f"unary_echo_p99_ms_at_{many}": bare.p99_ms,
                _named("accept_unary_rate", many): taken.rate,
                f"accept_unary_p50_ms_at_{many}": taken.p50_ms,
                f"accept_unary_p99_ms_at_{many}": taken.p99_ms,
                f"accept_unary_cpu_us_at_{many}": spent / taken.answered * 1e6,
            }
    return found


def _stream(plan: Plan) -> Values:
    """Measure a stream as fast as it goes, then how long an envelope takes at half of that."""
    share = plan.sizes.pool // 2
    with plan.nodes.running(HOME) as node:
        idle = node.usage.own_bytes
        taken, after, spent = plan.load(plan.job("stream", count=share), node)
        half = plan.job("paced", rate=taken.rate / 2, start=share, count=share)
        at_half, _, _ = plan.load(half, node)
    return {
        "accept_stream_rate": taken.rate,
        "accept_stream_p50_ms": taken.p50_ms,
        "accept_stream_p99_ms": taken.p99_ms,
        "accept_stream_cpu_us": spent / taken.answered * 1e6,
        "half_load_rate": at_half.rate,
        "half_load_p50_ms": at_half.p50_ms,
        "half_load_p99_ms": at_half.p99_ms,
        "node_idle_mib": idle / MEBI,
        "node_loaded_mib": after.own_bytes / MEBI,
        "node_loaded_with_mapped_mib": after.rss_bytes / MEBI,
        # After the node has stopped: what its log before writing held is in the store.
        "bytes_per_envelope": bytes_on_disk(plan.nodes.store(HOME)) / (taken.answered + at_half.answered),
    }


def _batch_signed(plan: Plan) -> Values:
    with plan.nodes.running(HOME) as node:
        taken, _, spent = plan.load(plan.job("stream", pool=str(plan.batches)), node)
    return {
        "accept_batch_signed_rate": taken.rate,
        "accept_batch_signed_cpu_us": spent / taken.answered * 1e6,
    }


def _two_processes(_plan: Plan) -> Values:
    # To be filled in with `workers = 2` and a load for each: as `_stream`.
    raise NotMeasured("the load has one connection, which has one of the workers")


def _postgresql(_plan: Plan, _series: Series) -> Values:
    # To be filled in with a PostgreSQL started here, and `store` naming it: as `_stream`. `engines_ratio` is the faster
    # of both to the slower, with `accept_stream_rate` of the same round.
    raise NotMeasured("the bench starts no PostgreSQL yet; docs/postgresql.md has figures of the writer alone")


def _with_telemetry(plan: Plan) -> Values:
    """Measure a stream while spans go to a real receiver, in a process of its own."""
    with (
        receiver(plan.nodes.log) as port,
        plan.nodes.running(HOME, telemetry={"otlp_endpoint": f"127.0.0.1:{port}", "otlp_insecure": True}) as node,
    ):
        taken, _, _ = plan.load(plan.job("stream"), node)
    return {"accept_telemetry_rate": taken.rate}
