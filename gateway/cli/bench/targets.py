"""What is wanted, and whether it was reached: a table of ratios within one run.

In: the figures of a run. Out: for each target what was wanted, what was measured, and whether that meets it. What was
not measured meets nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.cli.bench.figures import Series

_MOST_DIGITS: Final = 17
"""Of a float, after which nothing more is told."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that is wanted.

    Args:
        name: what.
        figure: that is measured.
        to: what it is divided by; empty: by nothing.
        least: what it must be at least; or
        most: at most.
        unit: of the figure, if it is no ratio.
        either_way: whether the ratio is that of the larger to the smaller.
    """

    name: str
    figure: str
    to: str = ""
    least: float | None = None
    most: float | None = None
    unit: str = ""
    either_way: bool = False

    @property
    def wanted(self) -> str:
        """In words."""
        bound = f">= {self.least}" if self.least is not None else f"<= {self.most}"
        return f"{bound} {self.unit}".rstrip()

    def measured(self, series: Series) -> float | None:
        """Return the figure, or the ratio; None if it was not measured."""
        if not self.to:
            return series.median(self.figure)
        ratio = series.ratio(self.figure, self.to)
        return max(ratio, 1 / ratio) if ratio and self.either_way else ratio

    def is_met(self, measured: float | None) -> bool:
        """Whether that is reached."""
        if measured is None:
            return False
        return (self.least is None or measured >= self.least) and (self.most is None or measured <= self.most)


TARGETS: Final = (
    Target("stream, one process, to the bare verify rate", "accept_stream_rate", "verify_rate", least=0.6),
    Target("two processes, to the bare verify rate", "accept_two_process_rate", "verify_rate", least=1.0),
    Target("batch-signed frames, to the bare verify rate", "accept_batch_signed_rate", "verify_rate", least=1.5),
    Target("two nodes end to end, to the bare verify rate", "end_to_end_rate", "verify_rate", least=0.35),
    Target(
        "unary at 256 in flight, to the bare echo", "accept_unary_rate_at_256", "unary_echo_rate_at_256", least=0.85
    ),
    Target("unary at 32 in flight, to the bare echo", "accept_unary_rate", "unary_echo_rate", least=0.7),
    Target("unary at 1 in flight, to the bare echo", "accept_unary_rate_at_1", "unary_echo_rate_at_1", least=0.45),
    Target(
        "SQLite to PostgreSQL, the faster to the other",
        "accept_stream_rate",
        "accept_postgresql_rate",
        most=1.5,
        either_way=True,
    ),
    Target("rate at 1e6 stored envelopes, to that at 1e3", "rate_at_1e6", "rate_at_1e3", least=0.9),
    Target("rate with telemetry, to that without", "accept_telemetry_rate", "accept_stream_rate", least=0.95),
    Target("stream, to RabbitMQ quorum queues", "accept_stream_rate", "rabbitmq_rate", least=1.5),
    Target("stream, to JetStream with fsync", "accept_stream_rate", "jetstream_rate", least=3.0),
    Target("p99 at half load", "half_load_p99_ms", most=25.0, unit="ms"),
)


def shown(row: Mapping[str, Any]) -> str:
    """Return what was measured with as many digits as its outcome needs: what misses 0.6 by little is no 0.60."""
    sign, bound, *_ = row["wanted"].split()
    text = ""
    for digits in range(2, _MOST_DIGITS):
        text = f"{row['measured']:.{digits}f}"
        if (float(text) >= float(bound) if sign == ">=" else float(text) <= float(bound)) == row["met"]:
            break
    return text


def judge(series: Series) -> list[dict[str, object]]:
    """Return all targets, each with what was measured, whether that meets it, and if nothing was measured, why."""
    found: list[dict[str, object]] = []
    for target in TARGETS:
        measured = target.measured(series)
        row: dict[str, object] = {
            "name": target.name,
            "wanted": target.wanted,
            "measured": measured,
            "met": target.is_met(measured),
        }
        if measured is None:
            missing = series.missing
            reasons = [missing[name] for name in (target.figure, target.to) if name in missing]
            row["not_measured"] = reasons[0] if reasons else "it was not part of this run"
        found.append(row)
    return found
