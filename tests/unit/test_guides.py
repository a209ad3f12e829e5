"""What pages name exists: commands with options that they take, settings, and in the guides for the night all else.

Nobody looks it up then.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import get_args

import click
import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rogatory.v1.comments_pb2 import COMMENTS

from clients.auditing.memory import Rule
from gateway.cli import case, commands
from gateway.clock import to_micros
from gateway.config import NodeConfig, ParticipantConfig, WitnessConfig
from gateway.errors import ErrorCode
from gateway.metrics import WARNINGS
from gateway.store import schema

DOCS = Path(__file__).parents[2] / "docs"
TREE = DOCS.parent / "tests"
GUIDES = [DOCS / "incident.md", DOCS / "runbook.md"]
TEXTS = [guide.read_text() for guide in GUIDES]
NAMED = sorted({found for text in TEXTS for found in re.findall(r"`(rogatory [^`]+)`", text)})
PAGES = [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]
PROJECT = [DOCS.parent / "CONTRIBUTING.md", DOCS.parent / "SECURITY.md"]
TESTS = {name for file in TREE.rglob("*.py") for name in re.findall(r"def (test_\w+)", file.read_text())}
OF_PYTEST = {"--require-browser", "--require-hsm"}
FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
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


@pytest.mark.parametrize("name", WARNINGS)
def test_every_warning_has_a_page_that_says_how_to_look_what_to_do_and_whom_to_wake(name: str) -> None:
    text = (DOCS / "runbook.md").read_text()
    page = re.search(rf"^### {name.replace('.', '-')}\n(.+?)^##", text, re.MULTILINE | re.DOTALL)
    assert page is not None
    assert page.group(1).lstrip().startswith(f"`{name}`: ")
    for what in ("\nLook: ", "\nDo", "\nWake: "):
        assert what in page.group(1), what


def of_root(page: Path) -> str:
    return str(page.relative_to(DOCS.parent))


def typed(page: Path) -> list[list[str]]:
    """Return the commands of ours that a page has in its fences, as a shell would split them."""
    fences = re.sub(r"\\\n *", "", "\n".join(said for _, said in FENCE.findall(page.read_text())))
    lines = re.findall(r"^ *(?:\$ )?(?:sudo -u rogatory )?(?:\S*/bin/)?(rogatory .+)$", fences, re.MULTILINE)
    words = [shlex.split(re.sub(r'"\$\([^)]*\)[^"]*"', "made-up", line), comments=True) for line in lines]
    # What goes on elsewhere, or comes from there, is the shell's; a line with three points is no whole one.
    return [[word for word in each if word != "&"] for each in words if not {"|", ">", "<", "..."} & {*each}]


@pytest.mark.parametrize("page", [page for page in PAGES if typed(page)], ids=of_root)
def test_commands_of_a_page_are_taken_as_they_stand(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evidence").mkdir()
    for line in typed(page):
        # `rogatory case CASE` is `rogatory case show CASE`.
        shown = line[1] == "case" and line[2] not in case.PARTS
        command, words = resolved(["case", "show", *line[2:]] if shown else line[1:])
        if "--help" not in words:
            assert not isinstance(command, click.Group), line
            command.make_context(command.name, words)


def fields(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield the settings that a file may have, by their names and those of the tables that they are in."""
    for name, each in model.model_fields.items():
        yield f"{path}{name}", each
        for kind in (each.annotation, *get_args(each.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from fields(kind, f"{path}{name}.")


KNOWN = [{name for name, _ in fields(kind)} for kind in (NodeConfig, ParticipantConfig, WitnessConfig)]


def said(table: Mapping[str, object], path: str = "") -> Iterator[str]:
    """Yield the settings that a fence has; what a table of addresses holds is asked of no further."""
    for name, value in table.items():
        yield f"{path}{name}"
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and name != "overrides":
                yield from said(each, f"{path}{name}.")


@pytest.mark.parametrize("page", PAGES, ids=of_root)
def test_settings_of_a_page_exist(page: Path) -> None:
    text = page.read_text()
    for language, fence in FENCE.findall(text):
        # A policy is a file of its own, whose page tests/unit/test_policy.py reads.
        if language == "toml" and page != DOCS / "policy.md":
            assert any({*said(tomllib.loads(fence))} <= known for known in KNOWN), fence
    tables = "|".join(sorted({name.split(".")[0] for name in KNOWN[0] if "." in name}))
    for name in re.findall(rf"`((?:{tables})\.[a-z0-9_]+(?:\.[a-z0-9_]+)*)`", text):
        assert name in KNOWN[0] or name in WARNINGS or Path(name).suffix in (".key", ".json"), name


DEFAULTS = {name: field.default for name, field in fields(NodeConfig)}


@pytest.mark.parametrize("page", PAGES, ids=of_root)
def test_defaults_that_a_page_tells_are_those_of_the_settings(page: Path) -> None:
    for name, value in re.findall(r"`([a-z_.]+)` \(([0-9][0-9,.]*)\)", page.read_text()):
        there = {default for known, default in DEFAULTS.items() if f".{known}".endswith(f".{name}")}
        assert there == {float(value.replace(",", ""))}, name


# What is written so besides: a socket's option, and the place of a value in an example.
NO_CODES = {"SO_REUSEPORT", "FOLDER_OR_URL"}
VALUES = {name.rpartition(".")[2] for name in COMMENTS}
CODES = {each.name for each in (*ErrorCode, *Rule)}


@pytest.mark.parametrize("page", PAGES, ids=of_root)
def test_codes_of_a_page_exist(page: Path) -> None:
    for code in {*re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", page.read_text())} - CODES - NO_CODES:
        assert [value for value in VALUES if f"_{value}".endswith(f"_{code}")], code


@pytest.mark.parametrize("page", [*PAGES, *PROJECT], ids=of_root)
def test_files_of_ours_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text()
    folders = "clients|certs|deploy|docs|gateway|proto|tests"
    for name in re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./-]*\w)", text):
        assert (DOCS.parent / name).exists(), name
    for name in re.findall(r"\btest_\w+\.py\b", text):
        assert [*(DOCS.parent / "tests").rglob(name)], name
    for name in re.findall(r"`(test_\w+)`", text):
        assert name in TESTS, name


def options(command: click.Command) -> set[str]:
    """Return the options of a command, or of all in a group."""
    found = {"--help", *(option for each in command.params for option in each.opts)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in map(partial(command.get_command, context), command.list_commands(context)):
            assert each is not None
            found |= options(each)
    return found


@pytest.mark.parametrize("page", [*PAGES, *PROJECT], ids=of_root)
def test_options_that_a_sentence_names_exist(page: Path) -> None:
    for span in re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text())):
        words = span.split()
        if words[0] == "rogatory":
            command, _ = resolved([word for word in words[1:3] if not word.startswith("-")])
            assert {word for word in words if word.startswith("--")} <= options(command), span
        elif re.fullmatch("--[a-z-]+", words[0]) and words[0] not in OF_PYTEST:
            assert words[0] in options(commands), span
