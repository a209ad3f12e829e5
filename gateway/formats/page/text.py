"""A page as plain text.

In: a page and how many columns there are. Out: lines. Values stand in a column beside their names; a table that is too
wide for its lines is written line by line, so that no address is ever broken.
"""

import re
import textwrap
from collections.abc import Iterator

from gateway.formats.page.cells import LATE, OVERDUE, QUOTED
from gateway.formats.page.model import Block, Figure, Line, Page, Row, Rows, Section, Table
from gateway.formats.page.words import clean
from gateway.printable import printable

MARKS = re.compile(f"{QUOTED}|{OVERDUE}|{LATE}")
"""Of a loud line, the cells that are the reason."""

_LABEL = 30
_GAP = "  "


def lines(page: Page, width: int = 110) -> Iterator[str]:
    """Yield the lines of a page.

    Args:
        page: the page.
        width: columns to keep to; what cannot be broken, such as an address, may go beyond.
    """
    yield printable(page.title).upper()
    if page.source:
        yield printable(page.source)
    part = ""
    for section in page.sections:
        yield ""
        if section.part_of not in {"", part}:
            yield from (printable(section.part_of).upper(), "")
        part = section.part_of
        yield from _section(section, width)


def _section(section: Section, width: int) -> Iterator[str]:
    title = printable(section.title)
    yield title
    yield "-" * min(len(title), width)
    for at, block in enumerate(section.blocks):
        if at:
            yield ""
        if block.title:
            yield f"{_GAP}[{printable(block.title)}]"
        yield from _block(block, width)


def _block(block: Block, width: int) -> Iterator[str]:
    match block:
        case Rows():
            yield from _rows(block, width)
        case Table():
            yield from _table(block, width)
        case Figure():
            yield from (f"{_GAP}{line}" for line in _wrap(clean(block.caption), width - len(_GAP)))


def _rows(block: Rows, width: int) -> Iterator[str]:
    for row in block.rows:
        yield from _row(row, width)


def _row(row: Row, width: int) -> Iterator[str]:
    value = [piece for line in clean(row.value).split("\n") for piece in _wrap(line, width - _LABEL - 4)]
    if row.note:
        value += _wrap(f"({clean(row.note)})", width - _LABEL - 4)
    if row.loud:
        value = [f"!! {line}" for line in value]
    label = _wrap(clean(row.label), _LABEL)
    for at in range(max(len(label), len(value))):
        left = label[at] if at < len(label) else ""
        right = value[at] if at < len(value) else ""
        yield f"{_GAP}{left.ljust(_LABEL)}{_GAP}{right}".rstrip()


def _wrap(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]


def fits(table: Table, width: int) -> bool:
    """Whether a table can be written with its lines as lines."""
    return sum(_sizes(table)) + len(_GAP) * len(table.headings) <= width


def as_rows(table: Table, line: Line) -> list[Row]:
    """Return a line of a table as rows, for where the table is too wide."""
    filled = ((heading, cell) for heading, cell in zip(table.headings, line.cells, strict=True) if cell)
    return [Row(heading, cell, loud=line.loud and MARKS.search(cell) is not None) for heading, cell in filled]


def _sizes(table: Table) -> list[int]:
    columns = zip(table.headings, *(line.cells for line in table.lines), strict=True)
    return [max(len(piece) for cell in column for piece in clean(cell).split("\n")) for column in columns]


def _table(table: Table, width: int) -> Iterator[str]:
    if not fits(table, width):
        yield from _one_by_one(table, width)
        return
    sizes = _sizes(table)
    heading = Line(tuple(each.upper() for each in table.headings))
    for line in (heading, *table.lines):
        cells = [clean(cell).split("\n") for cell in line.cells]
        for at in range(max(map(len, cells))):
            padded = ((cell[at] if at < len(cell) else "").ljust(size) for cell, size in zip(cells, sizes, strict=True))
            yield f"{'!!' if line.loud else _GAP}{_GAP.join(padded)}".rstrip()


def _one_by_one(table: Table, width: int) -> Iterator[str]:
    for at, line in enumerate(table.lines):
        if at:
            yield ""
        for row in as_rows(table, line):
            yield from _row(row, width)
