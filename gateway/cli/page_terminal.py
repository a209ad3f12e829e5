"""A page on a terminal, with rules, frames and weight.

In: a page. Out: what rich makes of it, at the terminal's width. All texts of documents were made printable when the
page was built; none is read for markup.
"""

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table as Grid
from rich.text import Text

from gateway.formats.page import Block, Figure, Page, Row, Rows, Section, Table
from gateway.formats.page import text as plain

_LABEL = 30


def emit(page: Page) -> None:
    """Print a page."""
    console = Console(highlight=False, markup=False, emoji=False)
    for part in _page(page, console.width):
        console.print(part)


def _page(page: Page, width: int) -> Iterator[RenderableType]:
    yield Text(page.title, style="bold")
    if page.source:
        yield Text(page.source, style="dim")
    part = ""
    for section in page.sections:
        if section.part_of not in {"", part}:
            yield Padding(Text(section.part_of, style="bold"), (1, 0, 0, 0))
        part = section.part_of
        yield from _section(section, width)


def _section(section: Section, width: int) -> Iterator[RenderableType]:
    yield Padding(Rule(Text(section.title, style="bold"), align="left"), (1, 0, 0, 0))
    for at, block in enumerate(section.blocks):
        if block.title:
            yield Padding(Text(block.title, style="bold cyan"), (1, 0, 0, 2))
        above = 1 if at and not block.title else 0
        yield Padding(_block(block, width), (above, 0, 0, 2))


def _block(block: Block, width: int) -> RenderableType:
    if isinstance(block, Rows):
        return _rows(block.rows)
    if isinstance(block, Figure):
        return Text(block.caption, style="dim")
    return _table(block) if plain.fits(block, width - 4) else _one_by_one(block)


def _rows(rows: tuple[Row, ...]) -> Grid:
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(width=_LABEL)
    grid.add_column(overflow="fold")
    for row in rows:
        value = Text(row.value, style="bold reverse red" if row.loud else "")
        if row.note:
            value.append(f"\n{row.note}", style="dim")
        grid.add_row(Text(row.label, style="bold"), value)
    return grid


def _table(table: Table) -> Grid:
    grid = Grid(*table.headings, box=SIMPLE, pad_edge=False)
    for line in table.lines:
        grid.add_row(*(Text(cell) for cell in line.cells), style="bold red" if line.loud else "")
    return grid


def _one_by_one(table: Table) -> Grid:
    rows: list[Row] = []
    for at, line in enumerate(table.lines):
        rows += [Row("", "")] if at else []
        rows += plain.as_rows(table, line)
    return _rows(tuple(rows))
