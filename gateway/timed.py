"""An HTTP connection that is cut when its time is over, however its bytes trickle.

In: a connection of `http.client` and seconds. Out: a context; when they are over, whoever reads from the connection
finds that it has ended, and `over` says why, for what is cut may look like the end of an answer. A socket's own timeout
counts from byte to byte, and bounds nothing.
"""

from contextlib import suppress
from http.client import HTTPResponse, IncompleteRead
from socket import SHUT_RDWR, socket
from threading import Event, Timer
from types import TracebackType
from typing import Any, Protocol, Self


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
    content = response.read(most + 1)
    if len(content) <= most and told is not None and len(content) < told:
        raise IncompleteRead(content, told - len(content))
    return content
