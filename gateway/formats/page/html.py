"""A page as one HTML file that needs nothing else.

In: a page. Out: HTML. No script, no picture, nothing from elsewhere: a policy in the file forbids it too, so that a
document can neither run anything nor tell anybody that it was opened. Every text is escaped. It prints on A4 and is
light or dark as the reader's system is.

Sources: HTML Living Standard; CSP Level 3 (a style is allowed by its hash); WCAG 2.2 for contrast, headings and tables.
"""

import base64
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from typing import Final

from gateway.formats.page.model import NOT_STATED, Block, Figure, Page, Row, Rows, Section, Table
from gateway.formats.page.text import MARKS
from gateway.formats.page.words import clean

_CODE: Final = 24
"""From so many characters without a blank on, it is an address or a digest: nothing that is read as words."""

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1b1f; --paper: #ffffff; --soft: #55565c; --line: #c9cad1; --band: #f1f2f5;
  --bar: #1d3557; --on-bar: #ffffff; --loud: #8f0d0d; --on-loud: #ffffff; --tint: #fdecec; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7e7ea; --paper: #16171a; --soft: #a9abb3; --line: #43454d; --band: #202227; --bar: #9fc3f0;
    --on-bar: #10151d; --loud: #ffb4ab; --on-loud: #3a0604; --tint: #3a1a18; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.45 system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
header { border-bottom: 3px solid var(--bar); margin-bottom: 1.5rem; padding-bottom: .75rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; }
header p { margin: .3rem 0 0; color: var(--soft); }
nav { margin: 0 0 1.5rem; font-size: .9rem; }
nav ol { list-style: none; margin: 0; padding: 0; columns: 20rem; column-gap: 2rem; }
nav a { color: inherit; }
section { margin: 0 0 2rem; }
h2 { font-size: 1.05rem; line-height: 1.3; margin: 0 0 .6rem; padding: .4rem .6rem; background: var(--bar);
  color: var(--on-bar); }
h3 { font-size: 1rem; margin: 1.1rem 0 .35rem; overflow-wrap: anywhere; }
.part { font-size: 1.3rem; margin: 2.5rem 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 0 0 .6rem; }
th, td { border: 1px solid var(--line); padding: .35rem .55rem; text-align: start; vertical-align: top; }
td { overflow-wrap: anywhere; white-space: pre-wrap; unicode-bidi: plaintext; }
.rows { table-layout: fixed; }
.rows th { width: 30%; background: var(--band); font-weight: 600; overflow-wrap: break-word; }
.list { font-size: .85rem; }
.list th { background: var(--band); white-space: nowrap; }
.list td { min-width: 6.6rem; }
.list td.no { min-width: 0; text-align: end; color: var(--soft); }
.list td.code { min-width: 16rem; font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
.note { display: block; color: var(--soft); font-size: .88rem; }
.none { color: var(--soft); font-style: italic; }
.loud td, td.loud { background: var(--tint); }
mark { background: var(--loud); color: var(--on-loud); font-weight: 700; padding: .05rem .3rem; display: inline-block; }
.list mark { min-width: 11.4rem; font-size: .78rem; }
figure { margin: 0 0 1rem; }
figcaption { color: var(--soft); font-size: .88rem; white-space: pre-wrap; }
.flow { display: block; width: 100%; min-width: 60rem; max-width: 78rem; height: auto; font-size: 10px; }
.flow text { fill: var(--ink); }
.flow .small { font-size: 9px; fill: var(--soft); }
.flow .sum { font-weight: 700; }
.flow .who { font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
.flow .pay { fill: none; stroke: var(--ink); }
.flow .head { fill: var(--ink); }
.flow .lane { fill: var(--band); }
.flow .end { fill: var(--paper); stroke: var(--ink); stroke-width: 1; }
.flow .named { stroke-width: 3.5; }
.flow .elsewhere { stroke-dasharray: 4 3; }
@media (max-width: 40rem) {
  body { padding: 1rem .75rem 3rem; }
  .rows th, .rows td { display: block; width: 100%; border-bottom: 0; }
  .rows tr { display: block; border-bottom: 1px solid var(--line); }
  .list thead { display: none; }
  .list tr { display: block; border: 1px solid var(--line); margin: 0 0 .7rem; }
  .list td, .list td.code, .list td.no { display: block; min-width: 0; border: 0;
    border-bottom: 1px solid var(--line); text-align: start; }
  .list td::before { content: attr(data-of); display: block; color: var(--soft); font-size: .8rem; font-weight: 600; }
}
@media print {
  @page { size: A4; margin: 18mm 15mm; }
  :root { --ink: #000; --paper: #fff; --soft: #444; --line: #999; --band: #eee; --bar: #000; --on-bar: #fff;
    --loud: #000; --on-loud: #fff; --tint: #eee; }
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; }
  .wide { overflow: visible; }
  nav { display: none; }
  h2 { background: none; color: #000; border: 1.2pt solid #000; }
  h2, h3 { break-after: avoid; }
  tr { break-inside: avoid; }
  thead { display: table-header-group; }
  @page across { size: A4 landscape; margin: 14mm 15mm; }
  figure { page: across; break-inside: avoid; }
  .flow { min-width: 0; max-width: none; max-height: 150mm; }
  .list { font-size: 7.5pt; }
  .list td { min-width: 16.5mm; }
  .list td.code { min-width: 45mm; font-size: 7pt; }
  .list th { white-space: normal; }
  mark { background: none; color: #000; border: 1.5pt solid #000; }
  .list mark { min-width: 27mm; font-size: 5.8pt; }
}
"""


def content_policy(style: str) -> str:
    """Return the policy of a page that runs nothing and fetches nothing, and has this one style sheet within it."""
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'"


_POLICY: Final = content_policy(STYLE)


def render(page: Page) -> str:
    """Return a page as HTML, in UTF-8 once it is encoded."""
    return "".join(_page(page))


def _page(page: Page) -> Iterator[str]:
    yield f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{_text(page.title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{_text(page.title)}</h1>
"""
    if page.source:
        yield f"<p>{_text(page.source)}</p>\n"
    yield "</header>\n"
    if len(page.sections) > 1:
        yield from _contents(page)
    yield "<main>\n"
    part = ""
    for at, section in enumerate(page.sections):
        if section.part_of not in {"", part}:
            yield f'<p class="part">{_text(section.part_of)}</p>\n'
        part = section.part_of
        yield from _section(section, at)
    yield "</main>\n</body>\n</html>\n"


def _contents(page: Page) -> Iterator[str]:
    yield '<nav aria-label="Sections">\n<ol>\n'
    part = ""
    for at, section in enumerate(page.sections):
        # Of a document within this one its title, and not again all the sections that its form has.
        if not section.part_of or section.part_of != part:
            yield f'<li><a href="#s{at}">{_text(section.part_of or section.title)}</a></li>\n'
        part = section.part_of
    yield "</ol>\n</nav>\n"


def _section(section: Section, at: int) -> Iterator[str]:
    yield f'<section aria-labelledby="s{at}">\n<h2 id="s{at}">{_text(section.title)}</h2>\n'
    for number, block in enumerate(section.blocks):
        yield from _block(block, f"s{at}b{number}", section.title)
    yield "</section>\n"


def _block(block: Block, name: str, section: str) -> Iterator[str]:
    if isinstance(block, Figure):
        yield f'<figure aria-labelledby="{name}">\n<h3 id="{name}">{_text(block.title)}</h3>\n'
        yield f'<div class="wide" role="region" tabindex="0" aria-labelledby="{name}">{block.svg}</div>\n'
        yield f"<figcaption>{_text(block.caption)}</figcaption>\n</figure>\n"
        return
    if block.title:
        yield f'<h3 id="{name}">{_text(block.title)}</h3>\n'
        said = f'aria-labelledby="{name}"'
    else:
        said = f'aria-label="{_text(section)}"'
    yield from _rows(block, said) if isinstance(block, Rows) else _table(block, said)


def _rows(block: Rows, said: str) -> Iterator[str]:
    yield f'<table class="rows" {said}>\n<tbody>\n'
    for row in block.rows:
        yield f'<tr><th scope="row">{_text(row.label)}</th>{_value(row)}</tr>\n'
    yield "</tbody>\n</table>\n"


def _value(row: Row) -> str:
    note = f'<span class="note">{_text(row.note)}</span>' if row.note else ""
    if row.loud:
        return f'<td class="loud"><mark>{_text(row.value)}</mark>{note}</td>'
    if row.value == NOT_STATED and not row.note:
        return f'<td class="none">{NOT_STATED}</td>'
    return f'<td dir="auto">{_text(row.value)}{note}</td>'


def _table(table: Table, said: str) -> Iterator[str]:
    # Named and reachable by keyboard, because it scrolls where it is wider than the screen (WCAG 2.1.1).
    yield f'<div class="wide" role="region" tabindex="0" {said}>\n<table class="list">\n<thead>\n<tr>'
    yield from (f'<th scope="col">{_text(heading)}</th>' for heading in table.headings)
    yield "</tr>\n</thead>\n<tbody>\n"
    for line in table.lines:
        yield '<tr class="loud">' if line.loud else "<tr>"
        for heading, cell in zip(table.headings, line.cells, strict=True):
            code = ' class="no"' if heading == "No." else ""
            code = ' class="code"' if heading != "Chain" and any(len(word) >= _CODE for word in cell.split()) else code
            shown = f"<mark>{_text(cell)}</mark>" if line.loud and MARKS.search(cell) else _text(cell)
            yield f'<td{code} data-of="{_text(heading)}" dir="auto">{shown}</td>'
        yield "</tr>\n"
    yield "</tbody>\n</table>\n</div>\n"


def _text(text: str) -> str:
    return escape(clean(text))
