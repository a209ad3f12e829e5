"""The documentation as a site: built without a warning, every link in it leads somewhere, nothing is from elsewhere.

MkDocs looks at links while it builds (`--strict`); here what it has built is read once more, by other means.
"""

import os
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from rogatory.v1 import identifiers_pb2
from rogatory.v1.comments_pb2 import COMMENTS

from gateway.cli import COMMANDS
from gateway.config import NodeConfig, ParticipantConfig, WitnessConfig
from gateway.errors import ErrorCode
from gateway.rules import word
from gateway.steps import STEPS

ROOT = Path(__file__).parents[2]
# What a browser fetches by itself, and from which attribute.
FETCHED = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "img": ("src", "srcset"),
    "input": ("src",),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "video": ("src", "poster"),
}
OFF = re.compile(r"\s*([a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
IN_STYLES = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", re.IGNORECASE)


@dataclass
class Page(HTMLParser):
    """What one page names, and what others may name in it."""

    path: Path
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.anchors |= {known[name] for name in ("id", "name") if name in known}
        if tag == "a" and "href" in known:
            self.links.append(known["href"])
        self.fetched += [known[name] for name in FETCHED.get(tag, ()) if name in known]
        self.fetched += [found for each in IN_STYLES.findall(known.get("style", "")) for found in each if found]
        self.open.append(tag)
        if tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            self.fetched += [found for each in IN_STYLES.findall(data) for found in each if found]
        elif "script" not in self.open:
            self.said.append(data)
            if "p" in self.open and "code" not in self.open:
                self.paragraphs[-1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.said).split())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs") / "site"
    path = os.pathsep.join(path for path in sys.path if path)
    # Not with --quiet, which drops warnings before they are counted.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    # The notice is about a version of MkDocs that is not locked here.
    environment = {**os.environ, "PYTHONPATH": path, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_link_within_the_site_leads_to_a_page_and_a_place_in_it(site: Path, pages: dict[Path, Page]) -> None:
    broken = defaultdict(set)
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            there = target.is_relative_to(site) and target.is_file()
            if not there or (parts.fragment and unquote(parts.fragment) not in pages[target].anchors):
                broken[link].add(path.name)
    assert broken == {}
    assert sum(len(page.links) for page in pages.values()) > len(pages)


def test_nothing_is_fetched_from_anybody_else(site: Path, pages: dict[Path, Page]) -> None:
    off = {(path.name, each) for path, page in pages.items() for each in page.fetched if OFF.match(each)}
    for path in site.rglob("*.css"):
        found = [each for pair in IN_STYLES.findall(path.read_text()) for each in pair if each]
        off |= {(path.name, each) for each in found if OFF.match(each)}
    # What the search needs where no server is.
    assert (site / "search/search_index.js").is_file()
    # A picture that is part of the text goes nowhere.
    assert {(name, each[:60]) for name, each in off if not each.startswith("data:")} == set()
    assert any(page.fetched for page in pages.values())


def test_no_markup_is_left_standing_in_a_paragraph(pages: dict[Path, Page]) -> None:
    left = re.compile(r"^\s*([-*]|\d+\.) |^\s*\|.*\|\s*$|```|\{ #|\]\(", re.MULTILINE)
    found = {(path.name, text[:60]) for path, page in pages.items() for text in page.paragraphs if left.search(text)}
    assert found == set()


def test_reference_holds_every_message_and_what_is_said_of_it(site: Path, pages: dict[Path, Page]) -> None:
    told = {path: page for path, page in pages.items() if path.parent == site / "reference/contract"}
    anchors = {anchor for page in told.values() for anchor in page.anchors}
    named = {name.partition(".")[0] for name in COMMENTS}
    assert named - anchors == set()
    assert {"Mailbox", "Trace", "Operations", "Relay"} <= anchors
    text = " ".join(page.text for page in told.values())
    assert COMMENTS["Header.cites"] in text
    assert COMMENTS[f"Ground.{identifiers_pb2.Ground.Name(identifiers_pb2.GROUND_IMPOSSIBLE)}"] in text


def test_reference_holds_every_command_setting_and_code(site: Path, pages: dict[Path, Page]) -> None:
    for name, line in COMMANDS.items():
        assert pages[site / f"reference/commands/{name}.html"].text
        assert " ".join(line.split()) in pages[site / "reference/commands/index.html"].text
    settings = pages[site / "reference/settings.html"].text
    for model in (NodeConfig, ParticipantConfig, WitnessConfig):
        assert [name for name in model.model_fields if name not in settings] == []
    errors = pages[site / "reference/errors.html"].text
    for code in ErrorCode:
        said = COMMENTS[f"ErrorCode.ERROR_CODE_{code.name}"]
        assert code.name in errors
        assert said.replace("`", "") in errors


def test_law_holds_every_row_of_the_procedure(site: Path, pages: dict[Path, Page]) -> None:
    text = pages[site / "explanation/law.html"].text
    for rule in (step.rule for step in STEPS):
        assert f"{word(rule.kind)} ({rule.sender.value} to {rule.recipient.value})" in text
