"""Spans and figures of one process, and where they go.

In: the headers of a frame. Out: OpenTelemetry spans in the traces that the senders' signed headers name, and figures
(`gateway.metrics`), over OTLP where that is configured. A span carries ids and counts, never content and never personal
data. What happened to each envelope is in the event table, which is complete; spans may be sampled or lost.

A frame has one span. If all its envelopes belong to one trace, that span is part of it. Otherwise the frame's is a
trace of its own, with a link to each of theirs, and each of theirs has a span of the same name that links to the
frame's: whoever asks for one trace finds every node that it came through.

Source: W3C Trace Context level 1 (the header's `traceparent`), OpenTelemetry messaging conventions for the links.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from time import monotonic, time_ns
from typing import Final, Self
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.sdk.trace.sampling import Sampler as Sampling
from opentelemetry.trace import Link, NoOpTracer, SpanContext, SpanKind, TraceFlags, Tracer

from gateway.config import Telemetry
from gateway.errors import GatewayError

EXPORT_SECONDS: Final = 2.0
WINDOW_SECONDS: Final = 1.0
OVER_BUDGET: Final = 2
"""Whoever chooses trace ids that are always taken gets so many times the budget, and no more."""

_IDS: Final = 1 << 64
Attributes = Mapping[str, str | int]


def _resource(service: str) -> Resource:
    # Several processes of a node are told apart by it; a process id says nothing in a container.
    return Resource.create({"service.name": service, "service.instance.id": str(uuid4()), "process.pid": os.getpid()})


def tracer_provider(settings: Telemetry, service: str, sampler: Sampling | None = None) -> TracerProvider | None:
    """Return a provider for one process; shut it down to flush it.

    Args:
        settings: where spans go.
        service: who makes them, e.g. "rogatory-node-ee".
        sampler: which of them; by default a trace that begins here by `settings.sample`, another as it says.

    None: spans go nowhere. One that goes nowhere is not worth the microseconds that it takes: see `Tracing`.
    """
    if not settings.otlp_endpoint:
        return None
    # Imported where they are wanted, here and below: clients and commands would wait for them at each start.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    sampler = sampler or ParentBased(TraceIdRatioBased(settings.sample))
    provider = TracerProvider(sampler=sampler, resource=_resource(service))
    # A receiver that is down must not hold up a stopping node; its spans are lost, the events are not.
    exporter = OTLPSpanExporter(
        endpoint=settings.otlp_endpoint, insecure=settings.otlp_insecure, timeout=EXPORT_SECONDS
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def meter_provider(settings: Telemetry, service: str, *readers: MetricReader) -> MeterProvider | None:
    """Return a provider for one process; shut it down to flush it. None: nobody reads figures.

    Args:
        settings: where they go.
        service: as for spans.
        readers: of figures, beside the OTLP receiver.
    """
    every = list(readers)
    if settings.otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

        exporter = OTLPMetricExporter(
            endpoint=settings.otlp_endpoint, insecure=settings.otlp_insecure, timeout=EXPORT_SECONDS
        )
        pause, most = settings.metrics_seconds * 1000, EXPORT_SECONDS * 1000
        every.append(PeriodicExportingMetricReader(exporter, pause, most))
    return MeterProvider(every, _resource(service), shutdown_on_exit=False) if every else None


def scraped() -> tuple[MetricReader, Callable[[], bytes]]:
    """Return a reader of figures, and what writes them in the text format of Prometheus, version 0.0.4."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: PLC0415
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415

    # Of its own: the library's registry is the process's, and knows other figures.
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
    return reader, lambda: generate_latest(registry)


class Sampler:
    """Chooses traces by their ids: two nodes that choose as many choose the same.

    A sender's word that a trace is not to be recorded is kept. Of the others a share is taken, as configured, or less
    if there are more a second than the budget: by the low 64 bits of the id, which are random (W3C Trace Context level
    2, 3.2.2.3.1); what a smaller share takes, a larger one takes too.
    """

    def __init__(
        self, sample: float = 1.0, most_a_second: int = 1_000_000, elapsed: Callable[[], float] = monotonic
    ) -> None:
        """Prepare it.

        Args:
            sample: share of the traces, 0 to 1.
            most_a_second: budget of this process.
            elapsed: seconds since some moment.
        """
        self._sample = sample
        self._most = most_a_second
        self._elapsed = elapsed
        self._until = elapsed() + WINDOW_SECONDS
        self._before = self._seen = self._taken = 0

    def take(self, parents: Iterable[str]) -> list[SpanContext]:
        """Return those of some `traceparent`s, each of another trace, that are recorded."""
        # Sampled is the last bit of the flags. Digits in lower case compare as their numbers do, and it costs less.
        wanted = [each for each in parents if each[-1] in "13579bdf"]
        below = self._below(len(wanted))
        taken = wanted
        if below < _IDS:
            digits = f"{below:016x}"
            taken = [each for each in wanted if each[19:35] < digits]
        contexts = [found for each in taken if (found := _context(each)) is not None]
        self._taken += len(contexts)
        return contexts

    def take_new(self) -> bool:
        """Whether a trace is recorded that begins with us."""
        taken = secrets.randbits(64) < self._below(1)
        self._taken += taken
        return taken

    def _below(self, more: int) -> int:
        now = self._elapsed()
        if now >= self._until:
            self._before = self._seen if now < self._until + WINDOW_SECONDS else 0
            self._seen = self._taken = 0
            self._until = now + WINDOW_SECONDS
        self._seen += more
        if self._taken >= OVER_BUDGET * self._most:
            return 0
        share = min(1.0, self._most / max(self._seen, self._before, 1))
        return round(self._sample * share * _IDS)


class Frame(AbstractContextManager["Frame"]):
    """The span of a frame, and those of the traces in it. As a context manager it is the current one, and ends.

    This one is of nothing: nobody records it.
    """

    __slots__ = ()

    def stage(self, name: str) -> AbstractContextManager[object]:  # noqa: ARG002  see below
        """Enter the span of one stage."""
        return nullcontext()

    def note(self, attributes: Attributes) -> None:
        """Add ids or counts."""

    def fail(self, error: BaseException) -> None:
        """Say that it went wrong: by the code alone, for a text may say more."""

    def end(self) -> None:
        """End it."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object, /) -> None:
        """End it."""


class _Recorded(Frame):
    """A frame that somebody records."""

    __slots__ = ("_attributes", "_contexts", "_entered", "_failed", "_kind", "_name", "_span", "_started_ns", "_tracer")

    def __init__(
        self, tracer: Tracer, name: str, kind: SpanKind, contexts: Sequence[SpanContext], *, alone: bool
    ) -> None:
        self._tracer, self._name, self._kind = tracer, name, kind
        self._started_ns = time_ns()
        if alone and contexts:
            self._span = tracer.start_span(name, _within(contexts[0]), kind, start_time=self._started_ns)
            self._contexts: Sequence[SpanContext] = ()
        else:
            links = [Link(each) for each in contexts]
            # No parent: what happens to be current is none of its business.
            nowhere = trace.set_span_in_context(trace.INVALID_SPAN)
            self._span = tracer.start_span(name, nowhere, kind, links=links, start_time=self._started_ns)
            self._contexts = contexts
        self._attributes: dict[str, str | int] = {}
        self._failed = ""
        self._entered = ExitStack()

    def stage(self, name: str) -> AbstractContextManager[object]:
        return self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False)

    def note(self, attributes: Attributes) -> None:
        self._attributes |= attributes

    def fail(self, error: BaseException) -> None:
        self._failed = error.code.name if isinstance(error, GatewayError) else type(error).__name__
        self._attributes["error.type"] = self._failed

    def end(self) -> None:
        context = self._span.get_span_context()
        for each in self._contexts:
            links = [Link(context)]
            self._end(self._tracer.start_span(self._name, _within(each), self._kind, None, links, self._started_ns))
        self._end(self._span)

    def _end(self, span: trace.Span) -> None:
        span.set_attributes(self._attributes)
        if self._failed:
            span.set_status(trace.StatusCode.ERROR)
        span.end()

    def __enter__(self) -> Self:
        self._entered.enter_context(trace.use_span(self._span, record_exception=False, set_status_on_exception=False))
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object, /) -> None:
        self._entered.close()
        if error is not None:
            self.fail(error)
        self.end()


NOTHING: Final = Frame()


class Tracing:
    """Starts the spans of one process's frames."""

    def __init__(self, tracer: Tracer | None = None, sampler: Sampler | None = None) -> None:
        """Prepare it.

        Args:
            tracer: makes spans; without one, no trace is looked at.
            sampler: which traces; by default, all that their senders want recorded.
        """
        self._tracer = None if isinstance(tracer, NoOpTracer) else tracer
        self._sampler = sampler or Sampler()

    def frame(self, name: str, kind: SpanKind, traceparents: Iterable[str]) -> Frame:
        """Start the span of a frame whose envelopes' headers say this."""
        if self._tracer is None:
            return NOTHING
        # By trace; the library's way to read one costs twenty microseconds, for each envelope.
        named = {each[3:35]: each for each in traceparents if each}
        contexts = self._sampler.take(named.values())
        if not contexts and (named or not self._sampler.take_new()):
            return NOTHING
        return _Recorded(self._tracer, name, kind, contexts, alone=len(named) == 1)


def traceparent(span: trace.Span) -> str:
    """Return the `traceparent` that a header made within this span carries; empty if there is none."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _within(context: SpanContext) -> Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(context))


def _context(parent: str) -> SpanContext | None:
    """Read one that keeps the header's contract: `00-`, 32, 16 and 2 hexadecimal digits (W3C Trace Context 3.2)."""
    if not parent:
        return None
    # By their places: the library's way costs twenty microseconds, for each envelope.
    numbers = (int(digits, 16) for digits in parent.split("-")[1:])
    trace_id, span_id, flags = numbers
    found = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags & TraceFlags.SAMPLED))
    return found if found.is_valid else None
