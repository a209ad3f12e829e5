"""How text that was written for a terminal or a comment is set as Markdown.

In: text. Out: text in which nothing is taken for Markdown or HTML that was not meant so, and tables.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

_MARKED: Final = re.compile(r"([\\*_\[\]<>|])")
_CODE: Final = re.compile(r"(`[^`]*`)")


def cell(text: str) -> str:
    """Return one paragraph for a cell of a table or a line; what stands in backquotes stays code."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(code(part[1:-1]) if at % 2 else escaped(part) for at, part in enumerate(parts))


def escaped(text: str) -> str:
    """Return plain text, in which nothing is Markdown."""
    return _MARKED.sub(lambda found: f"&#{ord(found.group(0))};", text.replace("&", "&amp;"))


def code(text: str) -> str:
    """Return text as code within a line, e.g. a pattern with bars in it; nothing for nothing."""
    shown = escaped(text).replace("`", "&#96;")
    return f"<code>{shown}</code>" if text else ""


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Return the lines of a table; its cells are Markdown."""
    yield f"| {' | '.join(headings)} |"
    yield f"|{' --- |' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
