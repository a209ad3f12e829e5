"""How things look: the templates, and what they turn values into.

In: a template's name and values. Out: a page. Whatever a template puts in is escaped for HTML, and before that made
printable: control characters, and those that turn the direction of writing, stand there as their codes.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import jinja2
from markupsafe import Markup

from gateway.clock import MICROS, Clock, from_micros, to_micros
from gateway.printable import printable
from gateway.story import action_state, code_name, kind_word, rule_name, why

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_MOST_UNITS: Final = 2
_NEVER: Final = "\N{EN DASH}"
_MILLISECOND: Final = 1000


def environment(clock: Clock) -> jinja2.Environment:
    """Return the templates of this package.

    Args:
        clock: what "ago" is counted from.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("gateway.cli.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "at": _at,
        "distance": _distance(clock),
        "is_due": lambda micros: micros < to_micros(clock()) + MICROS,
        "code": code_name,
        "rule": rule_name,
        "kind": kind_word,
        "took": _took,
        "why": why,
        "count": _count,
        "state": action_state,
        "anchor": lambda name: name.replace(".", "-"),
        "iso": _iso,
    }
    return made


def _printable(value: object) -> object:
    return value if isinstance(value, Markup) else printable(str(value))


def _at(micros: int) -> str:
    """Return an instant in UTC, to the second; what is none, as the number that somebody said."""
    try:
        return from_micros(micros).strftime("%Y-%m-%d %H:%M:%S") if micros else _NEVER
    except OverflowError:
        return str(micros)


def _iso(micros: int) -> str:
    try:
        return from_micros(micros).isoformat()
    except OverflowError:
        return ""


def _distance(clock: Clock) -> Callable[[int], str]:
    def distance(micros: int) -> str:
        """Return how far an instant is from now, in two units at most: "in 4 h 10 min", "3 d ago"."""
        if not micros:
            return _NEVER
        now: datetime = clock()
        seconds = (micros - to_micros(now)) // MICROS
        text = _span(abs(seconds))
        return f"in {text}" if seconds > 0 else f"{text} ago"

    return distance


def _span(seconds: int) -> str:
    parts = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
        if parts and (len(parts) == _MOST_UNITS or not count):
            break
    return " ".join(parts) or "0 s"


def _took(micros: int) -> str:
    return f"{micros} µs" if micros < _MILLISECOND else f"{micros / _MILLISECOND:.1f} ms"


def _count(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}"
