"""Charts as SVG inside a page: bars that lie, with their numbers beside them.

In: rows of numbers. Out: SVG as text, drawn here: no script runs where it is read. Colours are classes of the page's
style; each chart has a name and a sentence for who does not see it, and the page has the same numbers as a table.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, NamedTuple

_WIDTH: Final = 760
_LABEL: Final = 210
_ROOM: Final = 470
"""Of the longest bar; what is left is its number's."""
_ROW, _BAR, _TOP = 30, 18, 34
_SWATCH: Final = 12
_LETTER: Final = 7.2
"""Width of a letter of the legend, at most, in the units of the picture."""


class Series(NamedTuple):
    """What one part of each bar is: its name, and the class of its colour."""

    name: str
    style: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: what it is of, and its parts, one for each series."""

    label: str
    parts: Sequence[int]


def bars(name: str, title: str, says: str, series: Sequence[Series], rows: Sequence[Bar]) -> str:
    """Return stacked bars.

    Args:
        name: of the chart, once a page; part of ids.
        title: what it shows.
        says: the same in a sentence.
        series: what the parts are.
        rows: from the top.
    """
    return "".join(_chart(name, title, says, series, rows))


def _chart(name: str, title: str, says: str, series: Sequence[Series], rows: Sequence[Bar]) -> Iterator[str]:
    height = _TOP + _ROW * len(rows) + 6
    most = max((sum(row.parts) for row in rows), default=0) or 1
    yield (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(says)}</desc>'
    )
    x = float(_LABEL)
    for each in series:
        yield f'<rect class="{each.style}" x="{x:.0f}" y="6" width="{_SWATCH}" height="{_SWATCH}"/>'
        yield f'<text x="{x + _SWATCH + 5:.0f}" y="16">{escape(each.name)}</text>'
        x += _SWATCH + 22 + _LETTER * len(each.name)
    for place, row in enumerate(rows):
        yield from _bar(row, series, _TOP + _ROW * place, _ROOM / most)
    yield f'<line class="axis" x1="{_LABEL}" y1="{_TOP - 4}" x2="{_LABEL}" y2="{height - 2}"/></svg>\n'


def _bar(row: Bar, series: Sequence[Series], y: int, scale: float) -> Iterator[str]:
    middle = y + _BAR - 4
    yield f'<text class="label" x="{_LABEL - 8}" y="{middle}" text-anchor="end">{escape(row.label)}</text>'
    x = float(_LABEL)
    for each, part in zip(series, row.parts, strict=True):
        if part:
            yield f'<rect class="{each.style}" x="{x:.1f}" y="{y}" width="{part * scale:.1f}" height="{_BAR}"/>'
            x += part * scale
    yield f'<text class="sum" x="{x + 6:.1f}" y="{middle}">{sum(row.parts)}</text>'
