"""Spans of a request that crosses the border: one trace, which its sender began, and nothing secret in it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rogatory.v1 import envelope_pb2 as pb

from tests.federation import Federation, federation
from tests.processes import processes

pytestmark = pytest.mark.integration

TRACES = ("0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c")
STAGES = {"rogatory.accept", "rogatory.verify", "rogatory.commit"}


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
    assert {span.name for span in ours} == STAGES | {"rogatory.relay"}
    accepts = [span for span in ours if span.name == "rogatory.accept"]
    assert {(span.attributes or {})["rogatory.node"] for span in accepts} == {"ee", "de"}
    for stage in STAGES:
        assert len([span for span in ours if span.name == stage]) == 2
    assert not [span for span in ours if span.links]


async def test_frame_of_several_traces_links_them_and_is_part_of_none(
    fed: Federation, spans: InMemorySpanExporter
) -> None:
    made = [fed.request(traceparent=parent(trace), case_id=f"EE-{trace[0]}") for trace in TRACES]
    await crossed(fed, *made)
    first = named(spans, "rogatory.accept")[0]
    assert {f"{link.context.trace_id:032x}" for link in first.links} == set(TRACES)
    assert first.parent is None
    assert trace_of(first) not in TRACES


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


class Receiver(TraceServiceServicer):
    """An OTLP receiver that remembers."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, str]] = []  # service, name, trace id

    async def Export(  # noqa: N802  gRPC's name
        self, request: otlp.ExportTraceServiceRequest, context: object
    ) -> otlp.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            (service,) = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            for scope in resource.scope_spans:
                self.spans += [(service, span.name, span.trace_id.hex()) for span in scope.spans]
        return otlp.ExportTraceServiceResponse()


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[Receiver, int]]:
    served, server = Receiver(), grpc.aio.server()
    add_TraceServiceServicer_to_server(served, server)  # type: ignore[no-untyped-call]  # generated without types
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield served, port
    finally:
        await server.stop(0)


async def test_spans_of_two_processes_reach_an_otlp_receiver_under_one_trace_and_sigterm_flushes_them(
    tmp_path: Path,
) -> None:
    async with receiver() as (told, port):
        settings = f'\n[telemetry]\notlp_endpoint = "127.0.0.1:{port}"\notlp_insecure = true\n'
        async with processes(tmp_path / "fed", settings=settings) as nodes:
            await crossed(nodes.fed, nodes.fed.request(traceparent=parent(TRACES[0])))
            ends = await asyncio.gather(nodes.end("ee"), nodes.end("de"))
            assert [status for status, _ in ends] == [0, 0]
    ours = {(service, name) for service, name, trace in told.spans if trace == TRACES[0]}
    both = {(f"rogatory-node-{code}", stage) for code in ("ee", "de") for stage in STAGES}
    assert ours == both | {("rogatory-node-ee", "rogatory.relay")}


async def test_node_whose_otlp_receiver_is_down_still_delivers_and_stops(tmp_path: Path) -> None:
    async with receiver() as (_, port):
        pass
    settings = f'\n[telemetry]\notlp_endpoint = "127.0.0.1:{port}"\notlp_insecure = true\n'
    async with processes(tmp_path / "fed", settings=settings) as nodes:
        await crossed(nodes.fed, nodes.fed.request(traceparent=parent(TRACES[0])))
        ends = await asyncio.gather(nodes.end("ee"), nodes.end("de"))
        assert [status for status, _ in ends] == [0, 0]
