"""The incident guide names commands that exist, with options that they take: nobody looks them up at night."""

import re
import shlex
from pathlib import Path

import click
import pytest

from gateway.cli import commands

GUIDE = Path(__file__).parents[2] / "docs" / "incident.md"
NAMED = re.findall(r"`(rogatory [^`]+)`", GUIDE.read_text())
LINES = re.findall(r"^\s*(rogatory .+)$", GUIDE.read_text(), re.MULTILINE)


def resolved(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words name, and what is left of them."""
    command: click.Command = commands
    context = click.Context(commands)
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, words[0]
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("line", sorted(set(LINES)))
def test_a_command_of_the_guide_takes_its_options(line: str) -> None:
    command, words = resolved(shlex.split(line)[1:])
    assert not isinstance(command, click.Group)
    command.make_context(command.name, words)


@pytest.mark.parametrize("named", sorted(set(NAMED)))
def test_a_command_that_the_guide_names_exists(named: str) -> None:
    resolved([word for word in shlex.split(named)[1:] if not word.startswith("-")][:2])


def test_every_link_within_the_guide_leads_somewhere() -> None:
    text = GUIDE.read_text()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings
    for file in re.findall(r"\]\(([a-z]+\.md)\)", text):
        assert (GUIDE.parent / file).exists()
