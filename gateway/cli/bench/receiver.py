"""A receiver of spans and figures, in a process of its own: `python -m gateway.cli.bench.receiver`.

In: a port, as one line; both over OTLP. Out: `ready`. It takes them and keeps nothing, so that what telemetry costs
the node is measured, and not what it costs whoever looks at it.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
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

from gateway.cli.bench.nodes import Helper, helper, say
from gateway.cli.development import free_ports


class Receiver(TraceServiceServicer):
    """Takes spans."""

    def Export(  # noqa: N802  as in the .proto
        self,
        request: otlp.ExportTraceServiceRequest,  # noqa: ARG002  gRPC's signature
        context: grpc.ServicerContext,  # noqa: ARG002  gRPC's signature
    ) -> otlp.ExportTraceServiceResponse:
        """Take them."""
        return otlp.ExportTraceServiceResponse()


class FiguresReceiver(MetricsServiceServicer):
    """Takes figures."""

    def Export(  # noqa: N802  as in the .proto
        self,
        request: otlp_metrics.ExportMetricsServiceRequest,  # noqa: ARG002  gRPC's signature
        context: grpc.ServicerContext,  # noqa: ARG002  gRPC's signature
    ) -> otlp_metrics.ExportMetricsServiceResponse:
        """Take them."""
        return otlp_metrics.ExportMetricsServiceResponse()


@contextmanager
def receiver(diagnostics: Path) -> Iterator[tuple[int, Helper]]:
    """Run a receiver; yield its port and the process."""
    (port,) = free_ports(1)
    with helper("gateway.cli.bench.receiver", str(port), diagnostics) as running:
        yield port, running


def main() -> None:
    """Receive until this process is ended."""
    port = int(sys.stdin.readline())
    server = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Receiver(), server)  # type: ignore[no-untyped-call]  # generated
    add_MetricsServiceServicer_to_server(FiguresReceiver(), server)  # type: ignore[no-untyped-call]  # generated
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    say("ready")
    server.wait_for_termination()


if __name__ == "__main__":
    main()
