"""Where a web server of ours cannot listen, it says why; it listens nowhere else."""

import socket

import pytest

from gateway.cli import web
from gateway.errors import ErrorCode, Refusal


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("nowhere", "HOST:PORT is wanted"),
        ("127.0.0.1:http", "HOST:PORT is wanted"),
        ("127.0.0.1:99999", "HOST:PORT is wanted"),  # modulo 65536 it would be 34463
        ("192.0.2.1:80", "Cannot assign requested address"),
    ],
)
def test_place_that_is_none_is_refused_with_the_reason(listen: str, why: str) -> None:
    with pytest.raises(Refusal) as caught:
        web._listening(listen)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "listen")
    assert caught.value.detail == f"cannot listen on {listen}: {why}"


def test_port_that_is_taken_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Refusal, match="Address already in use"):
            web._listening(listen)
