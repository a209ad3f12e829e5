"""How a door reads what it is sent: never with gRPC's own parser, which takes whatever memory a message asks for.

In: a server, and services that are added to it. Out: the same services, each message to which is read by `codec.heard`.
What that refuses ends the call with its error, whoever sent it: as bad bytes are never right, nobody need be asked.
Who brings such again and again is asked first, where it takes longer to read than to ask.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import isasyncgenfunction
from typing import Any, Final, NamedTuple, TypeAlias, cast

import grpc
import grpc.aio
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway import codec
from gateway.doors.entrance import Context, abort
from gateway.errors import GatewayError

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Reading: TypeAlias = Callable[[Context], AbstractContextManager[None]]
"""Within it a message of a call is read that is no stream."""

UNASKED_BYTES: Final = 4 << 10
"""Of a message that is read before it is asked whose it is: nothing so small takes long."""


class _Registrar:
    """What generated code takes for a server."""

    def __init__(self, server: grpc.aio.Server, reading: Reading) -> None:
        self._server = server
        self._reading = reading

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Do nothing: these are the same methods again, and gRPC would prefer those below."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, _Handler]) -> None:
        """Add a service."""
        methods = Default().FindServiceByName(service).methods_by_name
        heard = {
            name: _hearing(handler, _Reader(GetMessageClass(methods[name].input_type), self._reading))
            for name, handler in handlers.items()
        }
        self._server.add_registered_method_handlers(service, heard)


def careful(server: grpc.aio.Server, reading: Reading = lambda _: nullcontext()) -> grpc.aio.Server:
    """Return what services are to be added to in the server's stead.

    Args:
        server: the server.
        reading: within it a message is read that is all of a call; raises what then ends that.
    """
    return cast("grpc.aio.Server", _Registrar(server, reading))


class _Reader(NamedTuple):
    """Reads what comes to a method."""

    kind: type[Message]
    reading: Reading

    def of_stream(self, raw: bytes) -> Message:
        """Read one message of many. What is raised comes out where the next is awaited, which is within the call."""
        return codec.heard(self.kind, raw)

    async def alone(self, raw: bytes, context: Context) -> Message:
        """Read the message of a call, or end that: gRPC would make UNKNOWN of what is raised here, and no word why."""
        try:
            with self.reading(context) if len(raw) > UNASKED_BYTES else nullcontext():
                return codec.heard(self.kind, raw, codec.MOST_FIELDS_ALONE)
        except GatewayError as error:
            await abort(context, error)
            raise


def _hearing(handler: _Handler, reader: _Reader) -> _Handler:
    """Return the same method, with another way to read."""
    serialize = handler.response_serializer
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(handler.stream_stream, reader.of_stream, serialize)
    if handler.stream_unary is not None:
        return grpc.stream_unary_rpc_method_handler(handler.stream_unary, reader.of_stream, serialize)
    if handler.unary_stream is not None:
        # One that is no generator writes to its context.
        wrap = _generating if isasyncgenfunction(handler.unary_stream) else _awaited
        return grpc.unary_stream_rpc_method_handler(wrap(handler.unary_stream, reader), None, serialize)
    if handler.unary_unary is None:
        raise AssertionError("a method of no kind")
    return grpc.unary_unary_rpc_method_handler(_awaited(handler.unary_unary, reader), None, serialize)


def _awaited(behaviour: Callable[..., Any], reader: _Reader) -> Callable[..., Any]:
    async def call(raw: bytes, context: Context) -> Any:  # noqa: ANN401  whatever the method answers
        return await behaviour(await reader.alone(raw, context), context)

    return call


def _generating(behaviour: Callable[..., Any], reader: _Reader) -> Callable[..., Any]:
    async def call(raw: bytes, context: Context) -> AsyncIterator[Any]:
        async for each in behaviour(await reader.alone(raw, context), context):
            yield each

    return call
