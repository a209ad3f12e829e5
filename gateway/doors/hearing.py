"""How a door reads what it is sent: never with gRPC's own parser, which takes whatever memory a message asks for.

In: a server, and services that are added to it. Out: the same services, each message to which is read by `codec.heard`.
What that refuses ends the call with its error, whoever sent it: as bad bytes are never right, nobody need be asked.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from inspect import isasyncgenfunction
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway import codec
from gateway.doors.entrance import Context, abort
from gateway.errors import Refusal

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class _Registrar:
    """What generated code takes for a server."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Do nothing: these are the same methods again, and gRPC would prefer those below."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, _Handler]) -> None:
        """Add a service."""
        methods = Default().FindServiceByName(service).methods_by_name
        heard = {
            name: _hearing(handler, GetMessageClass(methods[name].input_type)) for name, handler in handlers.items()
        }
        self._server.add_registered_method_handlers(service, heard)


def careful(server: grpc.aio.Server) -> grpc.aio.Server:
    """Return what services are to be added to in the server's stead."""
    return cast("grpc.aio.Server", _Registrar(server))


def _hearing(handler: _Handler, kind: type[Message]) -> _Handler:
    """Return the same method, with another way to read."""
    serialize = handler.response_serializer
    if handler.stream_stream is not None:
        # Raised where the next request is awaited, which is within the call.
        return grpc.stream_stream_rpc_method_handler(handler.stream_stream, partial(codec.heard, kind), serialize)
    if handler.stream_unary is not None:
        return grpc.stream_unary_rpc_method_handler(handler.stream_unary, partial(codec.heard, kind), serialize)
    # Of a single request gRPC would make UNKNOWN of what its reader raises, and no word why.
    if handler.unary_stream is not None:
        # One that is no generator writes to its context.
        wrap = _generating if isasyncgenfunction(handler.unary_stream) else _awaited
        return grpc.unary_stream_rpc_method_handler(wrap(handler.unary_stream, kind), None, serialize)
    if handler.unary_unary is None:
        raise AssertionError("a method of no kind")
    return grpc.unary_unary_rpc_method_handler(_awaited(handler.unary_unary, kind), None, serialize)


def _awaited(behaviour: Callable[..., Any], kind: type[Message]) -> Callable[..., Any]:
    async def call(raw: bytes, context: Context) -> Any:  # noqa: ANN401  whatever the method answers
        return await behaviour(await _read(raw, kind, context), context)

    return call


def _generating(behaviour: Callable[..., Any], kind: type[Message]) -> Callable[..., Any]:
    async def call(raw: bytes, context: Context) -> AsyncIterator[Any]:
        async for each in behaviour(await _read(raw, kind, context), context):
            yield each

    return call


async def _read(raw: bytes, kind: type[Message], context: Context) -> Message:
    try:
        return codec.heard(kind, raw, codec.MOST_FIELDS_ALONE)
    except Refusal as error:
        await abort(context, error)
        raise
