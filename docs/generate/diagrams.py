"""Diagrams of states, which a repository's reader draws by a script from elsewhere, as tables that need none.

In: a page with blocks of Mermaid's `stateDiagram-v2`. Out: the same page, each block a table of moves. Refuses a line
that is neither a name nor a move.
"""

import re
from collections.abc import Iterator
from typing import Final

from mkdocs.exceptions import PluginError
from words import cell, table

_BLOCK: Final = re.compile(r"^```mermaid\nstateDiagram-v2\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME: Final = re.compile(r'state "([^"]+)" as (\w+)')
_MOVE: Final = re.compile(r"(\S+) --> (\S+)(?: : (.+))?")
_ENDS: Final = "[*]"


def as_tables(text: str) -> str:
    """Return a page whose diagrams are tables."""
    return _BLOCK.sub(lambda found: "\n".join(_moves(found.group(1).splitlines())), text)


def _moves(lines: list[str]) -> Iterator[str]:
    names: dict[str, str] = {}
    rows: list[tuple[str, str, str]] = []
    final: set[str] = set()
    for line in filter(None, map(str.strip, lines)):
        if name := _NAME.fullmatch(line):
            names[name.group(2)] = name.group(1)
        elif move := _MOVE.fullmatch(line):
            before, after, why = move.groups()
            if after == _ENDS:
                final.add(before)
            else:
                rows.append(("" if before == _ENDS else before, after, why or ""))
        else:
            raise PluginError(f"neither a name nor a move of a diagram: {line!r}")

    def shown(state: str) -> str:
        words = cell(names.get(state, state))
        return f"**{words}**" if state in final else words

    yield from table(
        ("while it is", "and this comes", "it becomes"),
        ((shown(before) or "*(it begins)*", cell(why), shown(after)) for before, after, why in rows),
    )
    yield "A state in **bold** is an end.\n"
