"""Web servers that are asked for so long and no longer, however their bytes trickle.

In: an address, seconds and bytes. Out: an `Answer`; or, for whoever keeps connections of his own, `Timed`: a context
in which a connection is cut when its time is over. Whoever reads from it then finds that it has ended, and `over` says
why, for what is cut may look like the end of an answer. A socket's own timeout counts from byte to byte, and bounds
nothing.
"""

from collections.abc import Container, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import (
    HTTP_PORT,
    HTTPS_PORT,
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
)
from pathlib import Path
from socket import SHUT_RDWR, socket
from ssl import SSLContext, TLSVersion, create_default_context
from threading import Event, Timer
from types import MappingProxyType, TracebackType
from typing import Any, Final, Protocol, Self
from urllib.parse import SplitResult, quote, urlsplit

from gateway.errors import ErrorCode, Refusal

SILENCE_SECONDS: Final = 10.0
"""For so long a server may say nothing, where the whole may take longer."""

SUCCESS: Final = range(200, 300)
_AS_IT_IS: Final = "/?%:@!$&'()*+,;=~-._[]"
"""What may stand in a path and its query, beside letters and digits (RFC 3986, section 3.3)."""

_PIECE_BYTES: Final = 64 << 10


class Unanswered(Exception):
    """A web server gave no whole answer within its time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a web server answers.

    Args:
        status: of HTTP.
        headers: by their names, in lower case; the last of each.
        content: as many bytes as it may have, or one more: then it is too large. Nothing, where it is not asked for.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)


def ask(
    url: str,
    seconds: float,
    most: int,
    content: bytes | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    *,
    tls: SSLContext | None = None,
    silence: float | None = None,
    of_interest: Container[int] = SUCCESS,
) -> Answer:
    """Ask a web server over a connection of its own: with POST if there is content, else with GET.

    No redirect is followed, and no proxy used.

    Args:
        url: `http://HOST/PATH` or `https://HOST/PATH`.
        seconds: from connecting to the last byte. A host with several addresses has them for each that is silent.
        most: bytes of an answer.
        content: what is sent.
        headers: beside those that HTTP needs.
        tls: for HTTPS, whom to believe; by default, whom the system believes.
        silence: for so many seconds it may say nothing, if it has more.
        of_interest: of which statuses the content is read.

    Raises:
        Unanswered: there is no whole answer within the time.
    """
    try:
        where = urlsplit(url)
        connection = _connection(where, seconds if silence is None else min(seconds, silence), tls)
    except (ValueError, HTTPException) as error:
        raise Unanswered("the address cannot be read") from error
    target = quote((where.path or "/") + (f"?{where.query}" if where.query else ""), safe=_AS_IT_IS)
    method, named = "GET" if content is None else "POST", {"User-Agent": "rogatory", **headers}
    timed = Timed(connection, seconds)
    try:
        with closing(connection), timed:
            connection.request(method, target, content, named)
            with connection.getresponse() as response:
                told = {name.lower(): value for name, value in response.headers.items()}
                # What is said beside a refusal may be as broken as it likes: it is one.
                said = body(response, most) if response.status in of_interest else b""
    # What a connection raises that is cut in the middle of TLS is a ValueError.
    except (OSError, HTTPException, ValueError) as error:
        raise Unanswered(_late(seconds) if timed.over.is_set() else type(error).__name__) from error
    if timed.over.is_set():
        raise Unanswered(_late(seconds))
    return Answer(response.status, told, said)


def believing(ca: Path | None, setting: str) -> SSLContext:
    """Return whom a client of TLS believes: those in a file of PEM certificates; None: whom the system believes.

    Raises:
        Refusal: BAD_CONFIG, naming the setting: there are none in it.
    """
    try:
        context = create_default_context(cafile=ca)
    except OSError as error:  # that of TLS is one, too
        raise Refusal(ErrorCode.BAD_CONFIG, f"no certificates in {ca}", setting) from error
    context.minimum_version = TLSVersion.TLSv1_2
    return context


def _connection(where: SplitResult, silence: float, tls: SSLContext | None) -> HTTPConnection:
    if where.scheme not in {"http", "https"} or not where.hostname:
        raise ValueError("an http:// or https:// address is wanted")
    # With a port in any case: without one, the last group of an IPv6 address would be taken for it.
    if where.scheme == "https":
        return HTTPSConnection(where.hostname, where.port or HTTPS_PORT, timeout=silence, context=tls)
    return HTTPConnection(where.hostname, where.port or HTTP_PORT, timeout=silence)


def _late(seconds: float) -> str:
    return f"it took more than {seconds:g} seconds"


class Connectable(Protocol):
    """A connection, of HTTP or of whatever else."""

    @property
    def sock(self) -> Any:  # noqa: ANN401  of TLS or not
        """Its socket; None until it is connected."""
        ...

    def connect(self) -> object:
        """Connect it."""
        ...


class Timed:
    """A connection and the time that it has.

    Args:
        connection: connected here, if it is not.
        seconds: that it has.
    """

    def __init__(self, connection: Connectable, seconds: float) -> None:
        self.connection = connection
        self.over = Event()
        self._socket: socket | None = None
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        try:
            if self.connection.sock is None:
                self.connection.connect()
        except BaseException:
            self._timer.cancel()
            raise
        # The connection itself forgets its socket once a response is to end with it.
        self._socket = self.connection.sock
        if self.over.is_set():  # while it was connected: there was nothing yet that could be cut
            self.cut()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def cut(self) -> None:
        """Have whoever reads from it, in whichever thread, find that it has ended."""
        held = self._socket or self.connection.sock
        if held is not None:
            with suppress(OSError):  # it was closed at this moment
                # The socket's own, not that of TLS, which would change what the other thread is reading from.
                socket.shutdown(held, SHUT_RDWR)

    def _end(self) -> None:
        self.over.set()
        self.cut()


def body(response: HTTPResponse, most: int) -> bytes:
    """Return what an answer holds, or one byte more than it may: whoever reads that says that it is too large.

    Raises:
        IncompleteRead: it ends before it should.
    """
    told = response.length
    content = bytearray()
    # Piece by piece: the library reads all that comes if a server counts a chunk with a minus.
    while len(content) <= most and (piece := response.read1(min(_PIECE_BYTES, most + 1 - len(content)))):
        content += piece
    del content[most + 1 :]
    if len(content) <= most and told is not None and len(content) < told:
        raise IncompleteRead(bytes(content), told - len(content))
    return bytes(content)
