import pytest
from rogatory.v1 import errors_pb2

from gateway.errors import FIRST_FAILURE, ErrorCode, Failure, GatewayError, Refusal

PREFIX = "ERROR_CODE_"


def test_codes_on_the_wire_have_the_names_and_numbers_of_ours() -> None:
    wire = {name.removeprefix(PREFIX): number for name, number in errors_pb2.ErrorCode.items()}
    assert wire.pop("UNSPECIFIED") == 0
    assert wire == {code.name: code.value for code in ErrorCode}


@pytest.mark.parametrize("code", ErrorCode, ids=lambda code: code.name)
def test_every_code_is_a_refusal_or_a_failure_and_never_both(code: ErrorCode) -> None:
    right, wrong = (Failure, Refusal) if code >= FIRST_FAILURE else (Refusal, Failure)
    assert right(code, "detail").code is code
    with pytest.raises(ValueError, match=code.name):
        wrong(code, "detail")


def test_error_is_told_with_its_code_and_field() -> None:
    assert str(Refusal(ErrorCode.MALFORMED, "no", "a.b[3]")) == "MALFORMED: no (at a.b[3])"
    assert str(Failure(ErrorCode.STORE, "no")) == "STORE: no"


def test_refusal_can_be_raised_and_caught_as_the_root() -> None:
    with pytest.raises(GatewayError) as caught:
        raise Refusal(ErrorCode.STALE, "old")
    assert caught.value.retry_after is None
