"""What is made of the error of a call: the other end wrote its details, and may have written anything."""

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.status_pb2 import Status
from rogatory.v1 import errors_pb2

from gateway import transport
from gateway.codec import error_message
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal

DETAILS = "grpc-status-details-bin"
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def ended(
    *trailing: tuple[str, str | bytes], code: grpc.StatusCode = INVALID, message: str = "x"
) -> grpc.aio.AioRpcError:
    """Return how a call ends with these trailers."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details=message)


def status(error: GatewayError, code: grpc.StatusCode = INVALID, message: str = "x") -> bytes:
    """Return the status details of a node that says an error of ours."""
    packed = Any()
    packed.Pack(error_message(error))
    return Status(code=code.value[0], message=message, details=[packed]).SerializeToString()


def undecodable_error() -> bytes:
    name = errors_pb2.Error.DESCRIPTOR.full_name
    packed = Any(type_url=f"type.googleapis.com/{name}", value=b"\xff\xff\xff")
    return Status(code=INVALID.value[0], message="x", details=[packed]).SerializeToString()


def test_error_that_a_node_sent_comes_whole() -> None:
    sent = Refusal(ErrorCode.NOT_PERMITTED, "not you", "kind")
    found = transport.error_of(ended((DETAILS, status(sent))))
    assert isinstance(found, Refusal)
    assert (found.code, found.detail, found.field) == (sent.code, sent.detail, sent.field)


@pytest.mark.parametrize(
    "details",
    [
        pytest.param(b"\xff\xff\xff", id="no status at all"),
        pytest.param(Status(code=5, message="x").SerializeToString(), id="another code than the call's"),
        pytest.param(Status(code=3, message="else").SerializeToString(), id="another message than the call's"),
        pytest.param(status(Refusal(ErrorCode.REVOKED, "out"), message="else"), id="an error beside another message"),
        pytest.param(undecodable_error(), id="an error that is none"),
    ],
)
@pytest.mark.parametrize("code", [INVALID, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_nonsense_in_the_details_is_a_failure_to_be_tried_again_and_harms_nobody(
    details: bytes, code: grpc.StatusCode
) -> None:
    """Not TOO_LARGE either, which would be final: whoever writes nonsense has not said that it was gRPC's own word."""
    found = transport.error_of(ended((DETAILS, details), code=code))
    assert isinstance(found, Failure)
    assert found.code is ErrorCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("trailing", "code", "wanted"),
    [
        pytest.param((), INVALID, ErrorCode.UNAVAILABLE, id="nothing said"),
        pytest.param((("other-bin", b"\xff"),), INVALID, ErrorCode.UNAVAILABLE, id="something else said"),
        pytest.param(
            ((DETAILS, Status(code=3, message="x").SerializeToString()),), INVALID, ErrorCode.UNAVAILABLE, id="no error"
        ),
        pytest.param((), grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorCode.TOO_LARGE, id="gRPC's own limit"),
    ],
)
def test_call_that_ended_without_an_error_of_ours_is_judged_by_how_it_ended(
    trailing: tuple[tuple[str, bytes], ...], code: grpc.StatusCode, wanted: ErrorCode
) -> None:
    assert transport.error_of(ended(*trailing, code=code)).code is wanted


def test_code_that_nobody_knows_decides_nothing() -> None:
    packed = Any()
    packed.Pack(errors_pb2.Error(code=errors_pb2.ErrorCode.ValueType(77), detail="no"))
    details = Status(code=INVALID.value[0], message="x", details=[packed]).SerializeToString()
    assert isinstance(transport.error_of(ended((DETAILS, details))), Failure)
