"""Which traces a header names, and which of them are recorded."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway import telemetry

DIGITS = st.integers(0, 2**128 - 1).map("{:032x}".format)
SHORT = st.integers(0, 2**64 - 1).map("{:016x}".format)
FLAGS = st.integers(0, 255).map("{:02x}".format)


@given(DIGITS, SHORT, FLAGS)
@example("0" * 32, "1".zfill(16), "01")
@example("1".zfill(32), "0" * 16, "01")
@example("f" * 32, "f" * 16, "00")
def test_trace_of_a_header_is_read_as_the_library_reads_it(trace_id: str, span_id: str, flags: str) -> None:
    parent = f"00-{trace_id}-{span_id}-{flags}"
    library = trace.get_current_span(TraceContextTextMapPropagator().extract({"traceparent": parent}))
    wanted, found = library.get_span_context(), telemetry._context(parent)
    assert (found is not None) == wanted.is_valid
    if found is not None:
        assert (found.trace_id, found.span_id) == (wanted.trace_id, wanted.span_id)
        assert found.trace_flags & TraceFlags.SAMPLED == wanted.trace_flags & TraceFlags.SAMPLED
        assert found.is_remote


def parents(count: int, flags: str = "01") -> list[str]:
    """As many traces, their ids spread evenly."""
    return [f"00-{number + 1:016x}{number * (2**64 // count):016x}-{1:016x}-{flags}" for number in range(count)]


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize("sample", [0.0, 0.25, 1.0])
def test_share_of_the_traces_is_taken_and_a_smaller_share_takes_nothing_else(sample: float) -> None:
    taken = {each.trace_id for each in telemetry.Sampler(sample).take(parents(1024))}
    assert len(taken) == 1024 * sample
    less = {each.trace_id for each in telemetry.Sampler(sample / 2).take(parents(1024))}
    assert less <= taken


def test_what_its_sender_does_not_want_recorded_is_not() -> None:
    assert not telemetry.Sampler().take(parents(10, flags="00"))


def test_more_traces_than_the_budget_are_thinned_out_and_a_calm_second_brings_all_back() -> None:
    time = Time()
    sampler = telemetry.Sampler(1.0, 100, time)
    first = sum(len(sampler.take(parents(64))) for _ in range(50))
    assert first <= 100 * telemetry.OVER_BUDGET + 64
    time.seconds = 1.0
    second = [each.trace_id for _ in range(50) for each in sampler.take(parents(64))]
    assert len(second) == pytest.approx(100, abs=50)
    assert set(second) <= {each.trace_id for each in telemetry.Sampler(0.05).take(parents(64))}
    time.seconds = 3.0
    assert len(sampler.take(parents(64))) == 64


def test_who_chooses_ids_that_are_always_taken_gets_little_more_than_the_budget() -> None:
    sampler = telemetry.Sampler(1.0, 100, Time())
    greedy = [f"00-{number + 1:016x}{0:016x}-{1:016x}-01" for number in range(64)]
    assert sum(len(sampler.take(greedy)) for _ in range(100)) <= 100 * telemetry.OVER_BUDGET + 64
