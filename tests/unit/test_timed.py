"""Asking web servers that do whatever they like: there is a right answer, or none, in time and in little memory."""

import resource
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest

from gateway import timed
from gateway.timed import Answer, Timed, Unanswered, ask

Serve = Callable[[socket.socket], None]
HEAD = b"HTTP/1.1 200 OK\r\n"
SECONDS = 30.0


@contextmanager
def serving(serve: Serve, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve one connection; yield its address."""
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:

        def run() -> None:
            with suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    request = b""
                    while not request.endswith(b"asked" if b"\r\nContent-Length: 5\r\n" in request else b"\r\n\r\n"):
                        if not (more := connection.recv(65536)):
                            return
                        request += more
                    asked.append(request)
                    serve(connection)

        asked.clear()
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


asked: list[bytes] = []
"""What the server was asked."""


def says(content: bytes) -> Serve:
    return lambda connection: connection.sendall(content)


def test_answer_is_told_whole() -> None:
    with serving(says(HEAD + b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nright")) as url:
        answer = ask(f"{url}/a b/\N{LATIN SMALL LETTER U WITH DIAERESIS}?q=%20", SECONDS, 5, b"asked", {"X-Y": "z"})
    assert answer == Answer(200, {"content-type": "text/plain", "content-length": "5"}, b"right")
    (request,) = asked
    assert request.startswith(b"POST /a%20b/%C3%BC?q=%20 HTTP/1.1\r\n")
    assert (b"\r\nX-Y: z\r\n" in request, request.endswith(b"\r\n\r\nasked")) == (True, True)


def test_what_is_larger_than_it_may_be_is_cut_after_one_byte_more() -> None:
    with serving(says(HEAD + b"Content-Length: 500\r\n\r\n" + bytes(500))) as url:
        assert len(ask(url, SECONDS, 100).content) == 101


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 5\r\n\r\nrig",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nrig",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfive\r\nright\r\n0\r\n\r\n",
        b"right\r\n\r\n",
        b"",
    ],
    ids=["cut", "chunk cut", "no chunk", "no status", "nothing"],
)
def test_what_is_no_whole_answer_is_none(answer: bytes) -> None:
    with serving(says(answer)) as url, pytest.raises(Unanswered):
        ask(url, SECONDS, 100)


@pytest.mark.parametrize("content", [b"Content-Length: 500\r\n\r\nno", b"Transfer-Encoding: chunked\r\n\r\nno"])
def test_refusal_is_one_whatever_comes_with_it(content: bytes) -> None:
    with serving(says(b"HTTP/1.1 404 Not Found\r\n" + content)) as url:
        answer = ask(url, SECONDS, 100)
    assert (answer.status, answer.content) == (404, b"")


def test_chunk_of_less_than_nothing_fills_no_memory() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n")
        for _ in range(200):
            connection.sendall(bytes(1 << 20))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serving(serve) as url, suppress(Unanswered):
        assert len(ask(url, SECONDS, 100).content) <= 101
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


def drips(connection: socket.socket) -> None:
    """Say a byte now and then, for as long as somebody listens."""
    connection.sendall(HEAD + b"\r\n")
    while not select.select([connection], [], [], 0.01)[0]:
        connection.sendall(b" ")


def test_server_that_drips_is_cut_when_its_time_is_over() -> None:
    with serving(drips) as url, pytest.raises(Unanswered) as caught:
        ask(url, 0.2, 1 << 20)
    assert str(caught.value) == "it took more than 0.2 seconds"


def test_time_that_ended_before_there_was_a_connection_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    class Late(Timed):
        def _end(self) -> None:
            super()._end()
            over.set()

    def find(*arguments: object, **more: object) -> object:
        assert over.wait(SECONDS)
        return found(*arguments, **more)  # type: ignore[arg-type]

    found = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", find)
    monkeypatch.setattr(timed, "Timed", Late)
    with serving(drips) as url, pytest.raises(Unanswered) as caught:
        ask(url, 0.1, 1 << 20)
    assert str(caught.value) == "it took more than 0.1 seconds"


def test_silence_has_a_time_of_its_own() -> None:
    over = threading.Event()

    def serve(_: socket.socket) -> None:
        over.wait(SECONDS)

    with serving(serve) as url:
        with pytest.raises(Unanswered) as caught:
            ask(url, SECONDS, 100, silence=0.1)
        over.set()
    assert str(caught.value) == "TimeoutError"


def test_address_without_a_name_is_asked() -> None:
    with serving(says(HEAD + b"Content-Length: 5\r\n\r\nright"), "::1") as url:
        assert ask(url, SECONDS, 5).content == b"right"


def test_last_group_of_an_address_is_no_port() -> None:
    for kind, port in (("http", 80), ("https", 443)):
        where = urlsplit(f"{kind}://[2001:db8::abcd]/x")
        connection = timed._connection(where, SECONDS, None)
        assert (connection.host, connection.port) == ("2001:db8::abcd", port)


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "http://", "http://:80/x", "http://a:b/", "http://[::1", "a", "http://a b/"]
)
def test_what_is_no_address_is_told_so(url: str) -> None:
    with pytest.raises(Unanswered):
        ask(url, SECONDS, 100)
