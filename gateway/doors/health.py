"""Whether this process takes calls: `grpc.health.v1`, for what starts it and puts callers through to it.

In: an address. Out: a server without TLS, of its own, that answers one question and knows nothing else; kubelets and
container engines have no certificate of the federation. It says SERVING from when the doors are open until a drain
begins. Refuses with BAD_CONFIG an address that cannot be used; `Watch`, which would hold connections, is not there.
"""

from typing import Final

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.doors.entrance import Context
from gateway.errors import ErrorCode, Refusal

AT_ONCE: Final = 16
"""Questions; more are answered RESOURCE_EXHAUSTED."""

CONNECTIONS: Final = 32
"""Further ones are closed at once: each takes a file descriptor of the process, and this address knows no strangers."""

CONNECTION_SECONDS: Final = 30
"""Who asks again may connect again; who says nothing must not keep his place."""

SILENT_SECONDS: Final = 5
QUESTION_BYTES: Final = 1 << 10
DRAIN_SECONDS: Final = 1.0


class HealthDoor(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # has no types
    """Answers for one process."""

    def __init__(self) -> None:
        self._status = health_pb2.HealthCheckResponse.SERVING
        self._server: grpc.aio.Server | None = None

    async def open(self, listen: str, *, shared: bool) -> int:
        """Listen, and return the port.

        Args:
            listen: HOST:PORT.
            shared: whether other processes of the node listen there, too; the kernel picks who answers.

        Raises:
            Refusal: BAD_CONFIG.
        """
        options = [
            ("grpc.so_reuseport", int(shared)),
            ("grpc.max_receive_message_length", QUESTION_BYTES),
            ("grpc.max_metadata_size", 4 << 10),
            ("grpc.max_concurrent_streams", AT_ONCE),
            ("grpc.max_allowed_incoming_connections", CONNECTIONS),
            ("grpc.server_handshake_timeout_ms", SILENT_SECONDS * 1000),
            ("grpc.max_connection_age_ms", CONNECTION_SECONDS * 1000),
            ("grpc.max_connection_age_grace_ms", SILENT_SECONDS * 1000),
        ]
        server = grpc.aio.server(options=options, maximum_concurrent_rpcs=AT_ONCE)
        health_pb2_grpc.add_HealthServicer_to_server(self, server)
        try:
            port = server.add_insecure_port(listen)
        except RuntimeError as error:
            raise Refusal(ErrorCode.BAD_CONFIG, f"cannot listen on {listen}", "health") from error
        await server.start()
        self._server = server
        return port

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """Answer for the whole process, which has no name of its own."""
        if request.service:
            await context.abort(grpc.StatusCode.NOT_FOUND, "the process answers as a whole: name no service")
        return health_pb2.HealthCheckResponse(status=self._status)

    def drain(self) -> None:
        """Say from now on that no new calls are taken."""
        self._status = health_pb2.HealthCheckResponse.NOT_SERVING

    async def close(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            await self._server.stop(DRAIN_SECONDS)
