"""Why a target is missed: what stands in the way, told in what the same run has measured.

In: a target that is not met, and the figures of the run. Out: one line. Nothing in it is known beforehand: what an
envelope takes of the processors and of the threads that share an interpreter lock, what a commit and a sync take.

The threads that share a lock are not always under it: SQLite and the system work without. So what one process passes by
that figure is the most that is likely, not a law.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.cli.bench.figures import IN_FLIGHT, MICROSECONDS, named
from gateway.cli.bench.targets import Target
from gateway.store.writer import MAX_WEIGHT_A_BATCH

Figures = Mapping[str, Any]

PROCESSES: Final = {"accept_stream": 1, "accept_batch_signed": 1, "accept_two_process": 2, "end_to_end": 1}
"""How many gateway processes share the envelopes of a rate; of two nodes, the busier one has them all."""

_WRITERS: Final = ("procedure", "record", "dispatch and queue", "receipt and event", "sign receipts", "commit")
"""Stages of the one thread that writes."""


def of(target: Target, figures: Figures) -> str:
    """Return why a target is missed that was measured."""
    return _REASONS[target.figure if not target.either_way else target.to](target, figures)


def _rate(target: Target, figures: Figures) -> str:
    run = target.figure.removesuffix("_rate")
    processes, cores = PROCESSES[run], figures["machine"]["cores"]
    lock, check = figures[f"{run}_lock_us"], figures["verify_cpu_us"]
    busy = figures[f"{run}_cpu_us"] + figures[f"{run}_load_us"] + figures.get(f"{run}_collect_us", 0.0)
    by_lock, by_cores = processes * MICROSECONDS / lock, cores * MICROSECONDS / busy
    wanted = (target.least or 0.0) * figures[target.to]
    return (
        f"{lock:.0f} us an envelope in threads that share an interpreter lock ({lock / check:.1f} checks):"
        f" {processes} process{'es' if processes > 1 else ''} can pass {by_lock:,.0f}/s;"
        f" {busy:.0f} us of all processors: {cores} cores can pass {by_cores:,.0f}/s;"
        f" wanted {wanted:,.0f}/s, reached {figures[target.figure]:,.0f}/s"
        f" with {figures[target.figure] / by_cores * cores:.1f} cores busy"
    )


def _one_at_a_time(_target: Target, figures: Figures) -> str:
    echo, call, sync = figures["unary_echo_p50_ms_at_1"], figures["accept_unary_p50_ms_at_1"], figures["fsync_ms"]
    stages = figures["stages_of_one"]["sum"] / 1000
    return (
        f"a call takes {call:.2f} ms: the bare echo {echo:.2f}, a sync of the disk {sync:.2f},"
        f" all stages of an envelope by itself {stages:.2f}, the rest is between threads and processes;"
        f" without that rest it were {echo / (echo + sync + stages):.2f}"
    )


def _unary(many: int) -> Callable[[Target, Figures], str]:
    def why(_target: Target, figures: Figures) -> str:
        lock, bare = (figures[f"{name}_lock_us_at_{many}"] for name in ("accept_unary", "unary_echo"))
        return (
            f"a call takes {lock:.0f} us in threads that share an interpreter lock, the bare echo {bare:.0f}:"
            f" {bare / lock:.2f} of it is left, however many are in flight"
        )

    return why


def _half_load(_target: Target, figures: Figures) -> str:
    stages, cores = figures["stages"], figures["machine"]["cores"]
    commit = sum(stages[name] for name in _WRITERS) * MAX_WEIGHT_A_BATCH / 1000
    busy = (figures["half_load_cpu_us"] + figures["half_load_load_us"]) * figures["half_load_rate"] / MICROSECONDS
    return (
        f"{busy:.1f} of {cores} cores are busy; what comes waits for the commit before its own,"
        f" and one of {MAX_WEIGHT_A_BATCH} envelopes takes {commit:.0f} ms of one thread"
        f" and {figures['fsync_ms']:.1f} ms of the disk; the median is {figures['half_load_p50_ms']:.1f} ms"
    )


def _growth(target: Target, figures: Figures) -> str:
    many, few = (figures[f"{name}_cpu_us"] for name in (target.figure, target.to))
    return f"an envelope takes {many:.0f} us of the processors there, and {few:.0f} where little is stored"


def _telemetry(_target: Target, figures: Figures) -> str:
    on, off = figures["accept_telemetry_cpu_us"], figures["accept_stream_cpu_us"]
    return (
        f"an envelope takes {on:.0f} us of the processors with spans and {off:.0f} without,"
        f" and {figures['accept_telemetry_receiver_us']:.1f} more for whoever receives them on the same cores"
    )


def _engines(_target: Target, figures: Figures) -> str:
    theirs, ours = (figures[f"{name}_lock_us"] for name in ("accept_postgresql", "accept_stream"))
    return (
        f"an envelope takes {theirs:.0f} us with PostgreSQL in threads that share an interpreter lock, and {ours:.0f}"
        f" with SQLite; the server takes {figures['accept_postgresql_server_us']:.0f} us on the same cores"
    )


_REASONS: Final[Mapping[str, Callable[[Target, Figures], str]]] = {
    **{f"{run}_rate": _rate for run in PROCESSES},
    **{named("accept_unary_rate", many): _one_at_a_time if many == 1 else _unary(many) for many in IN_FLIGHT},
    "accept_postgresql_rate": _engines,
    "rate_at_1e6": _growth,
    "accept_telemetry_rate": _telemetry,
    "half_load_p99_ms": _half_load,
}
