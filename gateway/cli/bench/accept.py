"""What one node accepts: durable, verified, lawful, each with a receipt that was checked; and the bare echo beside it.

In: a `Plan`. Out: envelopes a second, latencies, processor, memory and disk. The node is the sender's own, and passes
nothing on meanwhile: the other country's is down, see `end_to_end` for both. Each begins with an empty store.
"""

from types import MappingProxyType
from typing import Final

from gateway.cli.bench.figures import IN_FLIGHT, MEBI, MICROSECONDS, Measure, Values, named
from gateway.cli.bench.nodes import HOME, bytes_on_disk
from gateway.cli.bench.plan import Plan
from gateway.cli.bench.postgres import server
from gateway.cli.bench.receiver import receiver
from gateway.cli.development import free_ports

OFTEN: Final = MappingProxyType({"OTEL_BSP_SCHEDULE_DELAY": "250"})
"""Spans leave so many milliseconds after one another: by themselves every five seconds, when a load is over."""


def measures(plan: Plan) -> list[Measure]:
    """Return all that is measured at one node."""
    unary = [named(name, many) for name in ("unary_echo_rate", "accept_unary_rate") for many in IN_FLIGHT]
    half_load = ("half_load_p50_ms", "half_load_p99_ms")
    return [
        Measure(tuple(unary), lambda _: _unary(plan)),
        Measure(("stream_echo_rate",), lambda _: _echo(plan)),
        Measure(("accept_stream_rate", *half_load), lambda _: _stream(plan)),
        # Beside what they are compared with: the machine's neighbours change from minute to minute.
        Measure(("accept_telemetry_rate",), lambda _: _with_telemetry(plan)),
        Measure(("accept_postgresql_rate",), lambda _: _postgresql(plan)),
        Measure(("accept_batch_signed_rate",), lambda _: _batch_signed(plan)),
        Measure(("accept_two_process_rate",), lambda _: _two_processes(plan)),
    ]


def _unary(plan: Plan) -> Values:
    """Measure unary calls, each time right after the same number of calls to the echo."""
    found: dict[str, float] = {}
    with plan.nodes.running(HOME) as node:
        share = plan.sizes.pool // len(IN_FLIGHT)
        for place, many in enumerate(IN_FLIGHT):
            job = plan.job("unary", in_flight=many, start=place * share, count=share)
            bare, bare_costs = plan.load_echo(job)
            taken, _, costs = plan.load(job, node)
            for name, came, spent in (("unary_echo", bare, bare_costs), ("accept_unary", taken, costs)):
                found[named(f"{name}_rate", many)] = came.rate
                found |= {f"{name}_p50_ms_at_{many}": came.p50_ms, f"{name}_p99_ms_at_{many}": came.p99_ms}
                found |= {f"{figure}_at_{many}": value for figure, value in spent.named(name).items()}
    return found


def _echo(plan: Plan) -> Values:
    taken, costs = plan.load_echo(plan.job("stream"))
    return {"stream_echo_rate": taken.rate, **costs.named("stream_echo")}


def _stream(plan: Plan) -> Values:
    """Measure a stream as fast as it goes, then how long an envelope takes at half of that."""
    share = plan.sizes.pool // 2
    with plan.nodes.running(HOME) as node:
        idle = node.usage.own_bytes
        taken, after, costs = plan.load(plan.job("stream", count=share), node)
        half = plan.job("paced", rate=taken.rate / 2, start=share, count=share)
        at_half, _, half_costs = plan.load(half, node)
    return {
        "accept_stream_rate": taken.rate,
        "accept_stream_p50_ms": taken.p50_ms,
        "accept_stream_p99_ms": taken.p99_ms,
        **costs.named("accept_stream"),
        "half_load_rate": at_half.rate,
        "half_load_p50_ms": at_half.p50_ms,
        "half_load_p99_ms": at_half.p99_ms,
        **half_costs.named("half_load"),
        "node_idle_mib": idle / MEBI,
        "node_loaded_mib": after.own_bytes / MEBI,
        "node_loaded_with_mapped_mib": after.rss_bytes / MEBI,
        # After the node has stopped: what its log before writing held is in the store.
        "bytes_per_envelope": bytes_on_disk(plan.nodes.store(HOME)) / (taken.answered + at_half.answered),
    }


def _batch_signed(plan: Plan) -> Values:
    with plan.nodes.running(HOME) as node:
        taken, _, costs = plan.load(plan.job("stream", pool=str(plan.batches)), node)
    return {"accept_batch_signed_rate": taken.rate, **costs.named("accept_batch_signed")}


def _two_processes(plan: Plan) -> Values:
    """Measure two processes of one node over one file, each with a port and a load of its own.

    Not behind one port: which process a connection gets there is the system's to choose, and it may choose one twice.
    """
    (port,) = free_ports(1)
    share = plan.sizes.pool // 2
    with (
        plan.nodes.running(HOME) as one,
        plan.nodes.running(HOME, plan.nodes.store(HOME), port) as other,
    ):
        first = plan.job("stream", count=share), one
        second = plan.job("stream", start=share, count=share, port=port), other
        taken, _, costs = plan.load_all((first, second))
    return {
        "accept_two_process_rate": sum(each.rate for each in taken),
        "accept_two_process_p99_ms": max(each.p99_ms for each in taken),
        **costs.named("accept_two_process"),
    }


def _postgresql(plan: Plan) -> Values:
    """Measure a stream while the store is a database on this machine, whose server shares the processors."""
    log = plan.nodes.log
    depot = {"folder": "store/node.db.attachments"}
    with (
        server(plan.folder.parent, log) as database,
        plan.nodes.running(HOME, database.address, attachments=depot) as node,
    ):
        before = database.usage.cpu_seconds
        taken, _, costs = plan.load(plan.job("stream"), node)
        spent = database.usage.cpu_seconds - before
    return {
        "accept_postgresql_rate": taken.rate,
        "accept_postgresql_p99_ms": taken.p99_ms,
        **costs.named("accept_postgresql"),
        "accept_postgresql_server_us": spent / taken.answered * MICROSECONDS,
    }


def _with_telemetry(plan: Plan) -> Values:
    """Measure a stream while spans and figures go to a real receiver, in a process of its own."""
    with receiver(plan.nodes.log) as (port, receiving):
        spans = {"otlp_endpoint": f"127.0.0.1:{port}", "otlp_insecure": True, "metrics_seconds": 1.0}
        with plan.nodes.running(HOME, environment=OFTEN, telemetry=spans) as node:
            before = receiving.usage.cpu_seconds
            taken, _, costs = plan.load(plan.job("stream"), node)
            spent = receiving.usage.cpu_seconds - before
    return {
        "accept_telemetry_rate": taken.rate,
        **costs.named("accept_telemetry"),
        "accept_telemetry_receiver_us": spent / taken.answered * MICROSECONDS,
    }
