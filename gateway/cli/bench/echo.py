"""The bare echo: gRPC and mutual TLS as the nodes have them, and nothing behind: `python -m gateway.cli.bench.echo`.

In: settings of a node, whose certificate it shows, and a port, as one line of JSON. Out: a server that says `ready` and
answers each message with the same bytes, neither parsed nor kept. What a node reaches is told as a share of this.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from gateway import material, transport
from gateway.cli.bench.load import ECHO, ECHO_FRAMES
from gateway.cli.bench.nodes import say
from gateway.clock import system_clock
from gateway.node import server_options
from gateway.transport import DoorTls


class Echo(grpc.GenericRpcHandler):
    """Answers everything with itself."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401  the stubs know no aio
        """Return what answers a method."""
        handlers: dict[str, Any] = {
            ECHO: grpc.unary_unary_rpc_method_handler(_one),
            ECHO_FRAMES: grpc.stream_stream_rpc_method_handler(_frames),
        }
        return handlers.get(handler_call_details.method)


async def _one(request: bytes, _context: object) -> bytes:
    return request


async def _frames(requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def serve(config: Path, port: int) -> None:
    """Echo until this process is ended."""
    loaded = material.load_node(config, system_clock)
    door = DoorTls(loaded.identity, tuple(node.ca_pem for node in loaded.directory.nodes))
    server = grpc.aio.server(options=server_options(loaded.config))
    server.add_generic_rpc_handlers((Echo(),))
    server.add_secure_port(f"127.0.0.1:{port}", transport.server_credentials(lambda: door))
    await server.start()
    say("ready")
    await server.wait_for_termination()


def main() -> None:
    """Serve as told."""
    job = json.loads(sys.stdin.readline())
    asyncio.run(serve(Path(job["config"]), job["port"]))


if __name__ == "__main__":
    main()
