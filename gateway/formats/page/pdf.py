"""A page as a PDF on A4, for paper and for a court's archive.

In: a page, when it was made. Out: PDF/A-2a and PDF/UA-1: its fonts are in it, its text can be searched and read aloud,
its headings are an outline. The same page gives the same bytes with the same version of the typesetter on the same kind
of machine (`typesetter`); fonts of the machine are not looked at. All that a document says goes in as data, never as
markup (`paper.typ`, the one file that is read, at import). Signs that no font here has are told by their number, as
`[U+4E2D]`. No network.

Sources: ISO 19005-2 (PDF/A-2), ISO 14289-1 (PDF/UA-1).
"""

import importlib.metadata
import json
import platform
import re
from dataclasses import replace
from datetime import datetime
from importlib import resources
from textwrap import wrap
from typing import Final

import typst

from gateway.errors import ErrorCode, Refusal
from gateway.formats.page.model import NOT_STATED, Block, Figure, Page, Row, Rows, Section, Table
from gateway.formats.page.words import clean

_TEMPLATE: Final = (resources.files("gateway.formats.page") / "paper.typ").read_bytes()
MAX_PARTS: Final = 16_000
"""Values and cells of a print; a long one counts as several. Some 130 pages of tables, for which
the typesetter takes 0.6 GB of memory."""
_PART: Final = 80
"""Characters of a part."""
_FONTS: Final = typst.Fonts(include_system_fonts=False)
_CODE: Final = 24
"""From so many characters without a blank on, it is an address or a digest, as in a page."""
_LONG: Final = 14
"""A longer word may stand on two lines."""
_PIECE: Final = 6
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d(?=T[\d:.]+Z)")
_ACROSS: Final = 118
"""Characters of a table's text that stand side by side on A4."""
_NARROW: Final = 5

# What the fonts of the typesetter have, in every style that is used here: Latin, IPA, Greek, Cyrillic, Armenian,
# Hebrew, Georgian, punctuation, currencies, arrows and the like.
_UNKNOWN: Final = re.compile(
    "[^\n -\u04ff\u0531-\u0589\u05d0-\u05ea\u10d0-\u10ff\u1e00-\u1fff"
    "\u2010-\u2027\u2030-\u2040\u2044-\u2052\u2070-\u20bf\u2190-\u22ff\u2500-\u25ff]"
)
# What each of its two fonts for pictures has alone: whoever sets pictures cannot mix fonts in a line.
_UNDRAWN: Final = re.compile(
    "[^\n -\u01c3\u01cd-\u01e3\u037a-\u037e\u0384-\u03ce\u03fd-\u045f\u0490-\u049b\u1f00-\u1fff"
    "\u2010-\u2023\u2026\u2030-\u2037\u2070-\u209c\u20ac\u2190-\u219b\u2248]"
)
_STYLE: Final = """<style>
text { fill: #000; font-family: "Libertinus Serif"; font-size: 11.5px; }
.small { font-size: 10.5px; } .sum { font-weight: 700; } .who { font-family: "DejaVu Sans Mono"; font-size: 9.5px; }
.pay { fill: none; stroke: #000; } .head { fill: #000; } .lane { fill: #eee; }
.end { fill: #fff; stroke: #000; stroke-width: 1; } .named { stroke-width: 3.5; } .elsewhere { stroke-dasharray: 4 3; }
</style>"""


def typesetter() -> str:
    """Return what sets the PDF, with its version, and the kind of machine."""
    return f"typst {importlib.metadata.version('typst')}, {platform.machine()}"


def render(page: Page, made: datetime, whole: str) -> bytes:
    """Return a page as PDF; what is over the limit of a print is cut off, which the print says.

    Args:
        page: what it shows.
        made: the date that stands in the file's metadata, in UTC.
        whole: where all of it can be read.

    Raises:
        Refusal: TOO_LARGE, it cannot be set.
    """
    told = {
        "title": _shown(_heading(page.title)),
        "source": _shown(page.source),
        "made": [made.year, made.month, made.day, made.hour, made.minute, made.second],
        "sections": _sections(_cut(page, whole)),
    }
    try:
        return typst.compile(
            _TEMPLATE,
            format="pdf",
            font_paths=_FONTS,
            ignore_system_fonts=True,
            sys_inputs={"page": json.dumps(told)},
            pdf_standards=["a-2a", "ua-1"],
        )
    except typst.TypstError as error:
        raise Refusal(ErrorCode.TOO_LARGE, f"it cannot be set as PDF: {error.message}") from error


def _cut(page: Page, whole: str) -> Page:
    """Return as much of a page as is printed."""
    left, sections = MAX_PARTS, list[Section]()
    for each in page.sections:
        blocks = []
        for block in each.blocks:
            fitting, left = _fitting(block, left, whole)
            blocks += fitting
        if blocks or (left and not each.blocks):
            sections.append(replace(each, blocks=tuple(blocks)))
    if gone := len(page.sections) - len(sections):
        rows = (
            Row("Sections left out", str(gone), f"a print has at most {MAX_PARTS} parts; {whole} has all", loud=True),
        )
        sections.insert(1, Section("", "Not in this print", (Rows("", rows),)))
    return replace(page, sections=tuple(sections))


def _fitting(block: Block, left: int, whole: str) -> tuple[list[Block], int]:
    """Return what of a block is printed, and how many parts are left for what follows."""
    if isinstance(block, Figure):
        return [block], left
    texts = [line.cells for line in block.lines] if isinstance(block, Table) else [_told(row) for row in block.rows]
    taken = 0
    for each in texts:
        left -= sum(1 + len(text) // _PART for text in each)
        if left < 0:
            break
        taken += 1
    if not taken and (texts or not left):
        return [], 0
    if taken == len(texts):
        return [block], left
    title = f"{block.title}{': ' if block.title else ''}the first {taken} of {len(texts)}; {whole} has all"
    if isinstance(block, Table):
        return [replace(block, title=title, lines=block.lines[:taken])], 0
    return [replace(block, title=title, rows=block.rows[:taken])], 0


def _told(row: Row) -> tuple[str, ...]:
    return row.label, row.value, row.note


def _sections(page: Page) -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    part = ""
    for each in page.sections:
        opens = each.part_of not in {"", part}
        part = each.part_of
        made.append(
            {
                "part": _cell(_heading(part)) if part else None,
                "opens": opens,
                "title": _cell(_heading(each.title)),
                "blocks": [_block(block) for block in each.blocks],
            }
        )
    return made


def _block(block: Block) -> dict[str, object]:
    match block:
        case Figure():
            svg = _shown(block.svg, _UNDRAWN).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
            return {
                "kind": "figure",
                "title": _cell(_heading(block.title)),
                "svg": svg.replace("<defs>", f"{_STYLE}<defs>", 1),
                "alt": _shown(f"{block.title}. {block.caption}"),
                "caption": _cell(block.caption),
            }
        case Rows():
            return {"kind": "rows", "title": _cell(block.title.strip()), "rows": [_row(row) for row in block.rows]}
        case Table():
            return {
                "kind": "table",
                "title": _cell(block.title.strip()),
                "headings": [_cell(each) for each in block.headings],
                "widths": _widths(block),
                "lines": [{"loud": line.loud, "cells": [_cell(each) for each in line.cells]} for line in block.lines],
            }


def _row(row: Row) -> dict[str, object]:
    none = row.value == NOT_STATED and not row.note
    return {
        "label": _cell(row.label),
        "value": _cell(row.value),
        "note": _cell(row.note),
        "loud": row.loud,
        "none": none,
    }


def _heading(text: str) -> str:
    """Return a text that can be a heading, which the standard lets be no blank."""
    return text if text.strip() else NOT_STATED


def _cell(text: str) -> list[list[dict[str, object]]]:
    """Return a text by lines, each in runs: words, and what is an address or a digest."""
    shown = _shown(text)
    return [_runs(line) for line in shown.split("\n")] if shown else []


def _runs(line: str) -> list[dict[str, object]]:
    runs: list[dict[str, object]] = []
    for word in re.split("( +)", line):
        moment = _MOMENT.match(word)
        # The parts of a long word may stand on two lines.
        if moment:
            parts = [moment[0], word[moment.end() :]]
        elif len(word) > _LONG:
            parts = [word[at : at + _PIECE] for at in range(0, len(word), _PIECE)]
        else:
            parts = [word]
        runs.append({"code": len(word) >= _CODE and not moment, "parts": parts})
    return runs


def _widths(table: Table) -> list[int]:
    """Share a line among columns: what needs little has it, the others have equal parts of what is left."""
    wanted = [
        max(_NARROW, *(len(line) for cell in column for line in cell.split("\n")))
        for column in zip(_words(table.headings), *(line.cells for line in table.lines), strict=True)
    ]
    left = _ACROSS
    widths: dict[int, int] = {}
    for done, (want, at) in enumerate(sorted((want, at) for at, want in enumerate(wanted))):
        widths[at] = max(_NARROW, min(want + 2, left // (len(wanted) - done)))
        left -= widths[at]
    return [widths[at] for at in range(len(wanted))]


def _words(headings: tuple[str, ...]) -> list[str]:
    """Return headings in the lines on which they may stand."""
    return ["\n".join(wrap(each, max(_NARROW, len(each) // 2 + 2), break_long_words=False)) for each in headings]


def _shown(text: str, unknown: re.Pattern[str] = _UNKNOWN) -> str:
    return unknown.sub(lambda found: f"[U+{ord(found[0]):04X}]", clean(text))
