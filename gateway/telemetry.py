"""Spans: one a frame and stage, in the trace that the sender's signed header names.

In: the headers of a frame. Out: OpenTelemetry spans, exported over OTLP where that is configured. A span carries ids
and counts, never content and never personal data. What happened to each envelope is in the event table, which is
complete; spans may be sampled or lost.

Source: W3C Trace Context level 1 (the header's `traceparent`), OpenTelemetry messaging conventions for the links.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Counter, Meter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NoOpTracer, SpanContext, TraceFlags, Tracer

from gateway.config import Telemetry

EXPORT_SECONDS = 2.0


def tracer_provider(settings: Telemetry, service: str) -> TracerProvider | None:
    """Return a provider for one process, e.g. service "rogatory-node-ee"; shut it down to flush it.

    None: spans go nowhere. One that goes nowhere is not worth the microseconds that it takes: see `start_frame`.
    """
    if not settings.otlp_endpoint:
        return None
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    # A receiver that is down must not hold up a stopping node; its spans are lost, the events are not.
    exporter = OTLPSpanExporter(
        endpoint=settings.otlp_endpoint, insecure=settings.otlp_insecure, timeout=EXPORT_SECONDS
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def quota_counter(meter: Meter | None = None) -> Counter:
    """Return what counts how often a quota made somebody wait or come again, by `rogatory.peer` and `rogatory.limit`.

    By default it counts for the meter provider that the process has set; if it has set none, for nobody.
    """
    meter = meter or metrics.get_meter("rogatory")
    return meter.create_counter(
        "rogatory.quota.reached", "{request}", "requests that waited, or were told to come again"
    )


def start_frame(tracer: Tracer, name: str, traceparents: Iterable[str]) -> trace.Span:
    """Start the span of one frame.

    If all its envelopes belong to one trace, the span is part of it. Otherwise it is a trace of its own, with a link
    to each: no envelope's trace is more the frame's than another's. Where nothing is exported, no trace is looked at.
    """
    if isinstance(tracer, NoOpTracer):
        return trace.INVALID_SPAN
    contexts = [context for context in map(_context, traceparents) if context is not None]
    if contexts and len({context.trace_id for context in contexts}) == 1:
        parent = trace.set_span_in_context(trace.NonRecordingSpan(contexts[0]))
        return tracer.start_span(name, context=parent)
    return tracer.start_span(name, links=[Link(context) for context in contexts])


def stage(tracer: Tracer, frame: trace.Span, name: str) -> AbstractContextManager[object]:
    """Enter the span of one stage of a frame, within the current one; nothing, if the frame's is not recording."""
    return tracer.start_as_current_span(name) if frame.is_recording() else nullcontext()


def traceparent(span: trace.Span) -> str:
    """Return the `traceparent` that a header made within this span carries; empty if it is not recording."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _context(parent: str) -> SpanContext | None:
    """Read one that keeps the header's contract: `00-`, 32, 16 and 2 hexadecimal digits (W3C Trace Context 3.2)."""
    if not parent:
        return None
    # By their places: the library's way costs twenty microseconds, for each envelope.
    numbers = (int(digits, 16) for digits in parent.split("-")[1:])
    trace_id, span_id, flags = numbers
    found = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags & TraceFlags.SAMPLED))
    return found if found.is_valid else None
