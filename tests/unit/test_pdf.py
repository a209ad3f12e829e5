"""A page as a PDF: what stands in it, that nothing in it is read as markup, and that it is the same each time."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib import resources
from random import Random

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf.generic import StreamObject

from gateway.formats.page import pdf
from gateway.formats.page.model import Figure, Line, Page, Row, Rows, Section, Table

MADE = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
SVG = (
    '<svg class="flow" viewBox="-6 0 200 60"><defs></defs><rect class="end" x="1" y="1" width="90" height="30"/>'
    '<text class="who" x="5" y="15">{}</text></svg>'
)


def page(text: str = "x", lines: int = 1) -> Page:
    """Return a page on which a text stands wherever one can."""
    blocks = (
        Rows(text, (Row(text, text, text), Row(text, text, loud=True), Row("none", "not stated"))),
        Table(text, ("What", text), (Line((text, text), loud=True), *([Line((text, "second"))] * lines))),
        Figure(text, SVG.format(re.sub("[<>&]", "", text)), text),
    )
    return Page(text, text, (Section("", "Cover", blocks), Section("A", text, blocks), Section("", "B", blocks, text)))


def read(raw: bytes) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(raw), strict=True)


def said(raw: bytes) -> str:
    return "\n".join(each.extract_text() for each in read(raw).pages)


def render(made: Page) -> bytes:
    return pdf.render(made, MADE, "report.html")


@pytest.mark.parametrize(
    "name", ["Иван Петков, София", "Μαρία Παπαδοπούλου, Αθήνα", "Žofie Šťastná, Łódź, Ħal Qormi", "Þóra, Ş. Öztürk, ġ"]
)
def test_names_in_the_letters_of_europe_are_shown_and_can_be_searched(name: str) -> None:
    found = said(render(page(name)))
    assert found.count(name) >= 10
    drawn = said(render(Page("t", "s", (Section("", "x", (Figure("y", SVG.format(name), "z"),)),))))
    assert name in drawn
    assert "[U+" not in found


def test_sign_that_no_font_has_is_told_by_its_number() -> None:
    assert "[U+738B]a[U+1F600]" in said(render(page("\u738ba\U0001f600")))


def signs(unknown: re.Pattern[str]) -> list[str]:
    return [chr(at) for at in range(0x21, 0x2600) if chr(at).isprintable() and not unknown.match(chr(at))]


def test_every_sign_that_is_shown_is_in_the_fonts_in_every_style() -> None:
    shown = signs(pdf._UNKNOWN)
    assert len(shown) > 2500
    groups = [shown[at : at + 40] for at in range(0, len(shown), 40)]
    lines = tuple(Line((" ".join(each), "".join(each)), loud) for each in groups for loud in (False, True))
    render(Page("t", "s", (Section("", "x", (Table("y", ("a", "b"), lines),)),)))


@pytest.mark.parametrize("style", ["who", "sum"])
def test_every_sign_that_is_drawn_is_in_the_font_of_pictures(style: str) -> None:
    drawn = [each for each in signs(pdf._UNDRAWN) if each not in "<>&"]
    assert len(drawn) > 900
    Random(1).shuffle(drawn)
    for at in range(0, len(drawn), 50):
        svg = SVG.format(" ".join(drawn[at : at + 50])).replace("who", style)
        render(Page("t", "s", (Section("", "x", (Figure("y", svg, "z"),)),)))


@pytest.mark.parametrize(
    "text",
    [
        '#import "@preview/x:1.0.0"',
        '#read("/etc/passwd")',
        "*no* _markup_ $x^2$ `raw` <label> @ref = heading",
        '"] #panic("x") [',
        "-- not -- a dash, 'quotes' \"as they are\"",
        "https://example.org/",
    ],
)
def test_nothing_that_a_document_says_is_read_as_markup(text: str) -> None:
    found = said(render(page(text)))
    assert re.sub(r"\s", "", text) in re.sub(r"\s", "", found)


def test_template_imports_nothing_and_reads_no_file() -> None:
    template = (resources.files("gateway.formats.page") / "paper.typ").read_text()
    code = "\n".join(line.partition("//")[0] for line in template.splitlines())
    assert not re.search(r"\b(import|include|read|csv|toml|yaml|xml|cbor|plugin|bibliography|eval)\b", code)
    assert re.findall(r"json\((.{20})", code) == ["bytes(sys.inputs.page"[:20]]
    assert re.findall(r"image\((\w+)", code) == ["drawn"] * 2


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60))
def test_any_text_can_be_set(text: str) -> None:
    assert render(page(text)).startswith(b"%PDF-1.7")


def test_same_page_gives_the_same_bytes_in_another_process() -> None:
    script = (
        "import hashlib, sys; from tests.unit.test_pdf import page, render;"
        "print(hashlib.sha256(render(page('Петър Ω', 200))).hexdigest())"
    )
    path = os.pathsep.join(each for each in sys.path if each)
    other = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "TZ": "Pacific/Auckland", "HOME": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", script], env=other, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(render(page("Петър Ω", 200))).hexdigest()


def test_pages_are_numbered_headings_are_an_outline_and_the_archive_standard_is_claimed() -> None:
    found = read(render(page("Annex 1", 200)))
    count = len(found.pages)
    assert count > 5
    for number, each in enumerate(found.pages, start=1):
        assert f"page {number} of {count}" in each.extract_text()
    outline = json.dumps([str(each.get("/Title")) for each in found.outline if isinstance(each, dict)])
    assert "Cover" in outline
    assert "Annex 1" in outline
    stream = found.root_object["/Metadata"].get_object()
    assert isinstance(stream, StreamObject)
    metadata = stream.get_data().decode()
    assert ("<pdfaid:part>2<" in metadata, "<pdfaid:conformance>A<" in metadata, "<pdfuaid:part>1<" in metadata) == (
        (True,) * 3
    )
    assert found.metadata is not None
    assert found.metadata.creation_date == MADE
    widths = {tuple(map(round, (each.mediabox.width, each.mediabox.height))) for each in found.pages}
    assert widths == {(595, 842), (842, 595)}  # A4, and pictures across


def test_long_address_stands_on_several_lines_and_is_found_whole() -> None:
    address = "0x" + "ab12cd34" * 16
    found = said(render(page(address)))
    assert address in re.sub(r"\s", "", found)
    assert not re.search(r"[^ -~\n]", found)  # nothing invisible that would be copied with it


def test_what_is_over_the_limit_of_a_print_is_cut_and_the_print_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_PARTS", 100)
    found = said(render(page("word", 500)))
    assert "of 501; report.html has all" in found
    assert "Sections left out" not in found  # their pictures are there
    table = Table("y", ("a", "b"), (Line(("x", "y")),) * 60)
    found = said(render(Page("t", "s", tuple(Section("", f"part {at}", (table,)) for at in range(5)))))
    assert "the first 50 of 60; report.html has all" in found
    assert "Sections left out" in found
    assert "part 1" not in found.replace("parts", "")


def test_one_text_over_the_limit_leaves_room_for_what_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_PARTS", 100)
    rows = Rows("r", (Row("label", "x " * 100_000),))
    found = said(render(Page("t", "s", (Section("", "first", (rows,)), Section("", "second", (rows,))))))
    assert "Sections left out" in found
    assert len(found) < 2000
