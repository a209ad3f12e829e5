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
