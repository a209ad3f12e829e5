"""Spans of a request that crosses the border: one trace, which its sender began, and nothing secret in it; figures."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as otlp_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp_trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rogatory.v1 import envelope_pb2 as pb

from clients.central_authority import CentralAuthority
from clients.intake import Received
from clients.investigator import Investigator
from clients.participant import Participant
from gateway import envelope, material
from tests import paperwork
from tests.federation import Federation, federation
from tests.processes import processes

pytestmark = pytest.mark.integration

TRACES = ("0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c")
STAGES = {"rogatory.accept", "rogatory.verify", "rogatory.commit"}
SPAN_ATTRIBUTES = {
    "error.type",
    "messaging.batch.message_count",
    "messaging.operation.name",
    "messaging.system",
    "rogatory.destination",
    "rogatory.node",
    "rogatory.peer",
}
LABELS = {
    "cpu.mode",
    "error.type",
    "messaging.destination.name",
    "messaging.operation.name",
    "messaging.system",
    "rogatory.destination",
    "rogatory.expiring",
    "rogatory.from",
    "rogatory.limit",
    "rogatory.outcome",
    "rogatory.state",
    "rogatory.to",
    "rogatory.warning",
    "rogatory.witness",
    "rpc.method",
    "rpc.response.status_code",
    "rpc.system.name",
}


def parent(trace: str) -> str:
    return f"00-{trace}-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def fed(tmp_path: Path, spans: InMemorySpanExporter) -> AsyncIterator[Federation]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with federation(tmp_path / "fed", provider=provider) as made:
        yield made


async def crossed(fed: Federation, *sent: pb.SignedEnvelope) -> Sequence[pb.SignedEnvelope]:
    """Submit in one frame and wait until ee has heard that all of it was delivered."""
    await fed.actor("ee/prosecutor").submit_frame(sent)
    got = await fed.actor("de/central-authority").collect(len(sent))
    await fed.actor("ee/prosecutor").collect(2 * len(sent))
    return [item.envelope for item in got]


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return format(int(span.context.trace_id), "032x")


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def everything(span: ReadableSpan) -> str:
    return str(span.to_json()) + repr(span.events)


async def test_request_is_one_trace_at_both_nodes_and_its_sender_began_it(
    fed: Federation, spans: InMemorySpanExporter
) -> None:
    await crossed(fed, fed.request(traceparent=parent(TRACES[0])))
    ours = [span for span in spans.get_finished_spans() if trace_of(span) == TRACES[0]]
    assert {span.name for span in ours} == STAGES | {"rogatory.relay", "rogatory.hand_out"}
    accepts = [span for span in ours if span.name == "rogatory.accept"]
    assert {(span.attributes or {})["rogatory.node"] for span in accepts} == {"ee", "de"}
    for stage in STAGES:
        assert len([span for span in ours if span.name == stage]) == 2
    assert not [span for span in ours if span.links]


async def test_frame_of_several_traces_links_them_and_each_of_them_finds_both_nodes(
    fed: Federation, spans: InMemorySpanExporter
) -> None:
    made = [fed.request(traceparent=parent(trace), case_id=f"EE-{trace[0]}") for trace in TRACES]
    await crossed(fed, *made)
    first = next(span for span in named(spans, "rogatory.accept") if trace_of(span) not in TRACES)
    assert first.parent is None
    assert {f"{link.context.trace_id:032x}" for link in first.links} == set(TRACES)
    for trace in TRACES:
        ours = [span for span in spans.get_finished_spans() if trace_of(span) == trace]
        accepts = [span for span in ours if span.name == "rogatory.accept"]
        assert {(span.attributes or {})["rogatory.node"] for span in accepts} == {"ee", "de"}
        assert {span.name for span in ours} == {"rogatory.accept", "rogatory.relay", "rogatory.hand_out"}
        for span in ours:
            assert span.parent is not None
            assert f"{span.parent.span_id:016x}" == parent(trace)[36:52]
            (link,) = span.links
            assert f"{link.context.trace_id:032x}" not in TRACES


async def test_envelope_without_a_traceparent_still_has_spans(fed: Federation, spans: InMemorySpanExporter) -> None:
    await crossed(fed, fed.request())
    assert {span.name for span in spans.get_finished_spans()} >= STAGES
    assert not any(span.links for span in spans.get_finished_spans())


async def test_one_envelope_without_a_trace_in_a_frame_does_not_tear_the_others_from_theirs(
    fed: Federation, spans: InMemorySpanExporter
) -> None:
    await crossed(fed, fed.request(case_id="EE-1", traceparent=parent(TRACES[0])), fed.request(case_id="EE-2"))
    assert trace_of(named(spans, "rogatory.accept")[0]) == TRACES[0]


async def test_spans_carry_neither_payload_nor_key_nor_case(fed: Federation, spans: InMemorySpanExporter) -> None:
    made = fed.request(case_id="EE-SECRET-CASE", traceparent=parent(TRACES[0]))
    await crossed(fed, made)
    refused = fed.request(case_id="EE-SECRET-CASE")
    refused.sealed_payload += b"x"
    await fed.actor("ee/prosecutor").submit(refused)
    secrets = [
        "EE-SECRET-CASE",
        made.sealed_payload.hex(),
        str(made.sealed_payload),
        bytes(fed.actor("ee/prosecutor").key).hex(),
        made.signatures[0].signature.hex(),
    ]
    for span in spans.get_finished_spans():
        told = everything(span)
        assert not [secret for secret in secrets if secret in told]


async def test_unsampled_trace_is_not_recorded_against_its_senders_will(
    fed: Federation, spans: InMemorySpanExporter
) -> None:
    await crossed(fed, fed.request(traceparent=parent(TRACES[0])[:-2] + "00"))
    assert not [span for span in spans.get_finished_spans() if trace_of(span) == TRACES[0]]


@pytest.mark.parametrize("empty", [parent("0" * 32), f"00-{TRACES[0]}-{'0' * 16}-01"], ids=["trace", "span"])
async def test_traceparent_of_zeros_is_no_trace_and_stops_nothing(
    fed: Federation, spans: InMemorySpanExporter, empty: str
) -> None:
    """The header's format lets it through, W3C Trace Context calls it invalid (section 3.2.2)."""
    await crossed(fed, fed.request(traceparent=empty))
    assert not [span for span in spans.get_finished_spans() if trace_of(span) in ("0" * 32, TRACES[0])]


def keys(attributes: Sequence[object]) -> set[str]:
    return {each.key for each in attributes}  # type: ignore[attr-defined]  # KeyValue, which has no types


@dataclass
class Receiver(TraceServiceServicer, MetricsServiceServicer):
    """An OTLP receiver that remembers."""

    spans: list[tuple[str, otlp_trace.Span]] = field(default_factory=list)
    figures: dict[str, set[str]] = field(default_factory=dict)  # names, by service
    labels: set[str] = field(default_factory=set)

    async def Export(  # noqa: N802  gRPC's name, the same for both services
        self, request: otlp.ExportTraceServiceRequest | otlp_metrics.ExportMetricsServiceRequest, context: object
    ) -> otlp.ExportTraceServiceResponse | otlp_metrics.ExportMetricsServiceResponse:
        if isinstance(request, otlp.ExportTraceServiceRequest):
            for resource in request.resource_spans:
                name = service(resource.resource.attributes)
                self.spans += [(name, span) for scope in resource.scope_spans for span in scope.spans]
            return otlp.ExportTraceServiceResponse()
        for told in request.resource_metrics:
            for metric in (metric for scope in told.scope_metrics for metric in scope.metrics):
                self.figures.setdefault(service(told.resource.attributes), set()).add(metric.name)
                points = getattr(metric, metric.WhichOneof("data") or "").data_points
                self.labels.update(*(keys(point.attributes) for point in points))
        return otlp_metrics.ExportMetricsServiceResponse()

    def named(self, trace: str) -> set[tuple[str, str]]:
        return {(who, span.name) for who, span in self.spans if span.trace_id.hex() == trace}


def service(attributes: Sequence[object]) -> str:
    (found,) = [each.value.string_value for each in attributes if each.key == "service.name"]  # type: ignore[attr-defined]
    return str(found)


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    """Run one; yield it and the settings that name it."""
    served, server = Receiver(), grpc.aio.server()
    add_TraceServiceServicer_to_server(served, server)  # type: ignore[no-untyped-call]  # generated without types
    add_MetricsServiceServicer_to_server(served, server)  # type: ignore[no-untyped-call]  # generated without types
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield served, f'\n[telemetry]\notlp_endpoint = "127.0.0.1:{port}"\notlp_insecure = true\n'
    finally:
        await server.stop(0)


async def received(who: Participant) -> Received:
    """Collect until there is a letter, and deal with it."""
    while True:
        for item in await who.collect_available():
            if isinstance(item, Received):
                who.done(item)
                return item


@pytest.mark.file
async def test_one_trace_id_finds_both_clients_and_both_nodes_at_a_real_receiver(tmp_path: Path) -> None:
    async with receiver() as (told, settings), AsyncExitStack() as stack:
        fed = await stack.enter_async_context(federation(tmp_path / "fed", settings=settings))
        people = [
            await stack.enter_async_context(Participant.of(material.load_participant(fed.summary.config(address))))
            for address in ("ee/prosecutor", "ee/central-authority", "de/central-authority")
        ]
        prosecutor, home, abroad = people
        drafted = Investigator(prosecutor).draft_freeze(
            paperwork.request(),
            to=abroad.address,
            via=home.address,
            case_id="EE-SECRET-CASE",
            instrument="eu-2018-1805",
            measures=[paperwork.BLOCK],
            data_classes=[paperwork.TRANSACTIONAL],
        )
        await prosecutor.submit(drafted.draft.envelope)
        await home.submit(CentralAuthority(home).countersign(await received(home)).envelope)
        ready = Investigator(prosecutor).add_countersignature(await received(prosecutor))
        await prosecutor.submit(ready)
        await received(abroad)
        # Whoever ends says all that is still to be said.
        await stack.aclose()
    began = envelope.parse_header(ready).traceparent
    wanted = {
        ("rogatory-participant-ee/prosecutor", "rogatory.compose"),
        ("rogatory-participant-ee/prosecutor", "rogatory.submit"),
        *(("rogatory-node-ee", name) for name in (*STAGES, "rogatory.relay")),
        *(("rogatory-node-de", name) for name in (*STAGES, "rogatory.hand_out")),
        ("rogatory-participant-de/central-authority", "rogatory.collect"),
    }
    assert told.named(began[3:35]) == wanted
    ours = {span.span_id.hex(): span for _, span in told.spans if span.trace_id.hex() == began[3:35]}
    for span in ours.values():
        # Stages are within their frame's; whatever else there is rests on what the sender signed.
        above = {"rogatory.verify": "rogatory.accept", "rogatory.commit": "rogatory.accept"}.get(span.name)
        if span.name == "rogatory.compose":
            assert (span.span_id.hex(), span.parent_span_id) == (began[36:52], b"")
        elif above is None:
            assert span.parent_span_id.hex() == began[36:52]
        else:
            assert ours[span.parent_span_id.hex()].name == above
    for _, span in told.spans:
        assert keys(span.attributes) <= SPAN_ATTRIBUTES, span
        assert not span.events, span
        assert not span.status.message, span
    assert b"EE-SECRET-CASE" not in b"".join(span.SerializeToString() for _, span in told.spans)
    for code in ("ee", "de"):
        assert {"rogatory.envelopes", "rpc.server.call.duration", "process.cpu.time"} <= told.figures[
            f"rogatory-node-{code}"
        ]
    assert told.labels <= LABELS


async def test_spans_of_two_processes_reach_an_otlp_receiver_under_one_trace_and_sigterm_flushes_them(
    tmp_path: Path,
) -> None:
    async with receiver() as (told, settings), processes(tmp_path / "fed", settings=settings) as nodes:
        await crossed(nodes.fed, nodes.fed.request(traceparent=parent(TRACES[0])))
        ends = await asyncio.gather(nodes.end("ee"), nodes.end("de"))
        assert [status for status, _ in ends] == [0, 0]
    both = {(f"rogatory-node-{code}", stage) for code in ("ee", "de") for stage in STAGES}
    last = {("rogatory-node-ee", "rogatory.relay"), ("rogatory-node-de", "rogatory.hand_out")}
    assert told.named(TRACES[0]) == both | last
    assert all("rogatory.store.commit.duration" in told.figures[f"rogatory-node-{code}"] for code in ("ee", "de"))


async def test_node_whose_otlp_receiver_is_down_still_delivers_and_stops(tmp_path: Path) -> None:
    async with receiver() as (_, settings):
        pass
    async with processes(tmp_path / "fed", settings=settings) as nodes:
        await crossed(nodes.fed, nodes.fed.request(traceparent=parent(TRACES[0])))
        ends = await asyncio.gather(nodes.end("ee"), nodes.end("de"))
        assert [status for status, _ in ends] == [0, 0]
