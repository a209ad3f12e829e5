"""Asks a timestamp authority, over HTTP (RFC 3161, section 3.4).

In: its address, and the roots that vouch for it. Out: a `Stamp`. No answer is believed that its own signature does not
prove: the connection may be plain. Refuses as `casefile.timestamp` does; fails with UNAVAILABLE if there is no answer
within its time and size. No redirect is followed, no proxy used.
"""

from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from clients.casefile import timestamp
from clients.casefile.timestamp import Roots, Stamp
from gateway import timed
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.timed import Unanswered

SECONDS: Final = 30.0
"""From connecting to the last byte. An authority has one signature to make."""
QUERY: Final = "application/timestamp-query"
REPLY: Final = "application/timestamp-reply"


def authority(url: str, roots: Roots, ca: Path | None = None, seconds: float = SECONDS) -> Stamp:
    """Return what has bytes timestamped by an authority.

    Args:
        url: `http://HOST/PATH` or `https://HOST/PATH`.
        roots: that its certificate must lead to.
        ca: PEM certificates that vouch for the HTTPS server, instead of the system's.
        seconds: from connecting to the last byte.
    """

    def stamp(content: bytes) -> bytes:
        asked = timestamp.question(content)
        return timestamp.accept(_ask(url, asked.as_bytes(), ca, seconds), asked, content, roots)

    return stamp


def _ask(url: str, asked: bytes, ca: Path | None, seconds: float) -> bytes:
    where = urlsplit(url)
    if where.scheme not in {"http", "https"} or not where.hostname:
        raise Refusal(ErrorCode.BAD_CONFIG, "an http:// or https:// address is wanted", "timestamp.url")
    tls = timed.believing(ca, "timestamp.ca") if where.scheme == "https" else None
    try:
        answer = timed.ask(url, seconds, timestamp.MAX_BYTES, asked, {"Content-Type": QUERY, "Accept": REPLY}, tls=tls)
    except Unanswered as error:
        detail = f"no answer of the timestamp authority: {error}"
        raise Failure(ErrorCode.UNAVAILABLE, detail, "timestamp.url") from error
    if answer.status != HTTPStatus.OK:
        raise Failure(ErrorCode.UNAVAILABLE, f"the timestamp authority answers {answer.status}", "timestamp.url")
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() != REPLY:
        raise Refusal(ErrorCode.MALFORMED, "it is no answer of a timestamp authority", "timestamp")
    return answer.content
