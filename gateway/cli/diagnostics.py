"""Diagnostics of a process on standard error: one line an event, its constant name and its fields.

In: records of `logging`. Out: JSON lines for machines, or text for people, as the settings say. A line has those fields
alone that are listed here: ids, codes, counts, and the one sentence that an error has for a person. Of an exception
that nobody foresaw it has the kind and the places, and not the text: the text might hold what somebody sent. Of other
libraries it has the constant part of what they say.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from opentelemetry import trace

from gateway.config import Telemetry
from gateway.errors import GatewayError

FIELDS: Final = frozenset(
    {
        "about",
        "alert",
        "before",
        "brought",
        "channel",
        "code",
        "copies_in_doubt",
        "count",
        "destination",
        "detail",
        "envelope",
        "held",
        "issuer",
        "limit",
        "milestone",
        "newer",
        "older",
        "origin",
        "peer",
        "reference",
        "says",
        "size",
        "status",
        "subject",
        "version",
        "witness",
    }
)
"""What a record may add; anything else is left out."""

OWN: Final = ("gateway", "clients")
LINE: Final = frozenset({"at", "level", "logger", "what", "trace_id", "span_id", "error", "places"}) | FIELDS
MAX_CHARACTERS: Final = 2000
MAX_PLACES: Final = 24
_PLAIN: Final = re.compile(r"[\w./:@+-]+")


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        return json.dumps(dict(_line(record)))


class TextLines(logging.Formatter):
    """One line of text, its fields as NAME=VALUE."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line = dict(_line(record))
        first = [str(line.pop(name)) for name in ("at", "level", "logger", "what")]
        return " ".join([*first, *(f"{name}={_word(value)}" for name, value in line.items())]).replace("\n", " ")


def write_diagnostics(form: str = Telemetry().logs) -> None:
    """Write diagnostics to standard error from now on, as "json" or as "text"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextLines() if form == "text" else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("gateway").setLevel(logging.INFO)


def _line(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    yield "at", datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    yield "level", record.levelname.lower()
    yield "logger", record.name
    yield "what", _text(record)
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        yield "trace_id", f"{context.trace_id:032x}"
        yield "span_id", f"{context.span_id:016x}"
    for name in sorted(FIELDS & record.__dict__.keys()):
        yield name, _value(record.__dict__[name])
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        yield "error", _kind(error)
        yield "places", [*_places(error)]


def _text(record: logging.LogRecord) -> str:
    ours = record.name.split(".", 1)[0] in OWN
    said = record.getMessage() if ours else str(record.msg).partition("\n")[0]
    return said[:MAX_CHARACTERS]


def _value(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_value(each) for each in value]
    return value[:MAX_CHARACTERS] if isinstance(value, str) else type(value).__name__


def _kind(error: BaseException) -> str:
    if isinstance(error, GatewayError):
        return error.code.name
    under = error.__cause__ or error.__context__
    return type(error).__name__ if under is None else f"{type(error).__name__} from {type(under).__name__}"


def _places(error: BaseException) -> Iterator[str]:
    """Yield where it came through, the last first."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames[-MAX_PLACES:]):
        yield f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"


def _word(value: object) -> str:
    said = str(value)
    return said if _PLAIN.fullmatch(said) else json.dumps(value)
