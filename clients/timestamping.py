"""Asks a timestamp authority, over HTTP (RFC 3161, section 3.4).

In: its address, and the roots that vouch for it. Out: a `Stamp`. No answer is believed that its own signature does not
prove: the connection may be plain. Refuses as `casefile.timestamp` does; fails with UNAVAILABLE if there is no answer
within its time and size. No redirect is followed, no proxy used.
"""

import ssl
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from clients.casefile import timestamp
from clients.casefile.timestamp import Roots, Stamp
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.timed import Timed

SECONDS: Final = 30.0
"""To connect, and again for the whole answer. An authority has one signature to make."""
QUERY: Final = "application/timestamp-query"
REPLY: Final = "application/timestamp-reply"


def authority(url: str, roots: Roots, ca: Path | None = None, seconds: float = SECONDS) -> Stamp:
    """Return what has bytes timestamped by an authority.

    Args:
        url: `http://HOST/PATH` or `https://HOST/PATH`.
        roots: that its certificate must lead to.
        ca: PEM certificates that vouch for the HTTPS server, instead of the system's.
        seconds: to connect, and for the whole answer.
    """

    def stamp(content: bytes) -> bytes:
        asked = timestamp.question(content)
        return timestamp.accept(_ask(url, asked.as_bytes(), ca, seconds), asked, content, roots)

    return stamp


def _ask(url: str, asked: bytes, ca: Path | None, seconds: float) -> bytes:
    where = urlsplit(url)
    target = (where.path or "/") + (f"?{where.query}" if where.query else "")
    try:
        with closing(_connection(url, ca, seconds)) as connection:
            connection.connect()
            with Timed(connection, seconds) as timed:
                connection.request("POST", target, asked, {"Content-Type": QUERY, "Accept": REPLY})
                with connection.getresponse() as response:
                    # One more than it may have, so that whoever reads it says that it is too large.
                    answer = response.read(timestamp.MAX_BYTES + 1)
                    status, kind = response.status, response.headers.get_content_type()
    # What a connection raises that is cut in the middle of TLS is a ValueError.
    except (OSError, HTTPException, ValueError) as error:
        raise Failure(ErrorCode.UNAVAILABLE, "no answer of the timestamp authority", "timestamp.url") from error
    if timed.over.is_set():  # what is cut may look like the end
        detail = f"no answer of the timestamp authority within {seconds:g} seconds"
        raise Failure(ErrorCode.UNAVAILABLE, detail, "timestamp.url")
    if status != HTTPStatus.OK:
        raise Failure(ErrorCode.UNAVAILABLE, f"the timestamp authority answers {status}", "timestamp.url")
    if kind != REPLY:
        raise Refusal(ErrorCode.MALFORMED, "it is no answer of a timestamp authority", "timestamp")
    return answer


def _connection(url: str, ca: Path | None, seconds: float) -> HTTPConnection:
    where = urlsplit(url)
    if where.scheme not in {"http", "https"} or not where.hostname:
        raise Refusal(ErrorCode.BAD_CONFIG, "an http:// or https:// address is wanted", "timestamp.url")
    if where.scheme == "https":
        context = ssl.create_default_context(cafile=ca)
        return HTTPSConnection(where.hostname, where.port, timeout=seconds, context=context)
    return HTTPConnection(where.hostname, where.port, timeout=seconds)
