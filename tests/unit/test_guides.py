"""The guides for the night name commands that exist, with options that they take: nobody looks them up then."""

import re
import shlex
from datetime import datetime
from pathlib import Path

import click
import pytest

from gateway.cli import commands
from gateway.clock import to_micros
from gateway.conditions import NAMES
from gateway.store import schema

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = [DOCS / "incident.md", DOCS / "runbook.md"]
TEXTS = [guide.read_text() for guide in GUIDES]
NAMED = sorted({found for text in TEXTS for found in re.findall(r"`(rogatory [^`]+)`", text)})
LINES = sorted({found for text in TEXTS for found in re.findall(r"^\s*(rogatory .+)$", text, re.MULTILINE)})


def resolved(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words name, and what is left of them."""
    command: click.Command = commands
    context = click.Context(commands)
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, words[0]
        command, words = found, words[1:]
    return command, words


def anchors(text: str) -> set[str]:
    """Return what can be linked to."""
    headings = (line.lstrip("# ").lower() for line in text.splitlines() if line.startswith("#"))
    return {re.sub(r"[^a-z0-9 -]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_a_guide_takes_its_options(line: str) -> None:
    command, words = resolved(shlex.split(line)[1:])
    assert not isinstance(command, click.Group)
    command.make_context(command.name, words)


@pytest.mark.parametrize("line", [line for line in LINES if "op.toml" in line])
def test_a_command_of_a_guide_takes_the_settings_of_an_operator(line: str) -> None:
    """Not those of the node, which its operator may have no part of."""
    command, _ = resolved(shlex.split(line)[1:])
    assert "/node.toml" not in (command.epilog or "")


@pytest.mark.parametrize("named", NAMED)
def test_a_command_that_a_guide_names_exists(named: str) -> None:
    resolved([word for word in shlex.split(named)[1:] if not word.startswith("-")][:2])


def test_what_the_thief_sent_is_looked_for_from_the_moment_of_the_theft() -> None:
    text = (DOCS / "incident.md").read_text()
    (stolen,) = re.findall(r"--not-trusted-after (\S+)", text)
    (looked,) = re.findall(r"recorded_at_us >= ([0-9]+)", text)
    assert int(looked) == to_micros(datetime.fromisoformat(stolen))
    (query,) = re.findall(r'"(SELECT [^"]+)"', text)
    named = set(re.findall(r"[a-z_]+_us|\b(?:id|recipient|case_id|sender|seq)\b", query))
    assert named <= set(schema.envelopes.c.keys())


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_link_of_a_guide_leads_somewhere(guide: Path) -> None:
    text = guide.read_text()
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors(text)
    for file in re.findall(r"\]\(([A-Za-z./]+\.md)\)", text):
        assert (guide.parent / file).exists(), file


@pytest.mark.parametrize("name", NAMES)
def test_every_warning_has_a_page_that_says_how_to_look_what_to_do_and_whom_to_wake(name: str) -> None:
    text = (DOCS / "runbook.md").read_text()
    page = re.search(rf"^### {name.replace('.', '-')}\n(.+?)^##", text, re.MULTILINE | re.DOTALL)
    assert page is not None
    assert page.group(1).lstrip().startswith(f"`{name}`: ")
    for what in ("\nLook: ", "\nDo", "\nWake: "):
        assert what in page.group(1), what
