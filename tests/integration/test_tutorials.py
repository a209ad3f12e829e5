"""The tutorials, run as they stand: their files written, their commands given, their output compared.

A block of `sh` is run, line by line; one of `python` with a title is a file; one of `text` is what the lines before it
print, in this order; one of `console` is not run, but its commands are ones that there are.
"""

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

from gateway.cli import commands
from tests import command, processes
from tests.forks import Forked, forked

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r"^```(sh|python|text|console)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 60.0


@dataclass
class Reader:
    """Somebody who does what a tutorial says."""

    folder: Path
    stack: AsyncExitStack
    printed: list[str] = field(default_factory=list)
    ending: list[Forked] = field(default_factory=list)

    async def read(self, name: str) -> None:
        for kind, title, text in BLOCK.findall((TUTORIALS / f"{name}.md").read_text()):
            if kind == "python":
                (self.folder / title).write_text(text)
            elif kind == "sh":
                self.printed = []
                for line in text.splitlines():
                    await self.type(line)
            elif kind == "text":
                told = iter("".join(self.printed).splitlines())
                assert [line for line in text.splitlines() if not any(map(like(line).fullmatch, told))] == [], (
                    self.printed
                )

    async def type(self, line: str) -> None:
        words = shlex.split(line, comments=True)
        if words[:3] == ["rogatory", "federation", "init"]:
            words.append("--free-ports")
        if "ID" in words:
            words[words.index("ID")] = await self.application()
            words.append("--yes")
        if words[-1] == "&":
            process = await self.stack.enter_async_context(going(words[1:-1]))
            if words[1] != "serve":
                self.ending.append(process)
            else:
                assert (await asyncio.wait_for(process.stdout.readline(), SECONDS)).startswith(b"ready ")
            return
        if words[0] == "python":
            # Whoever goes on has waited for what comes to an end.
            while self.ending:
                assert await asyncio.wait_for(self.ending.pop().wait(), SECONDS) == 0
        status, out, err = await (self.script(words[1]) if words[0] == "python" else processes.finished(*words[1:]))
        wanted = int(line[-1]) if "# exit code" in line else 0
        assert status == wanted, (line, out, err)
        self.printed.append(out)

    async def script(self, name: str) -> tuple[int, str, str]:
        given = (name, str(self.folder), processes.environment())
        return await processes.ended(await forked(command.run_script, *given))

    async def application(self) -> str:
        """Return the id of the one application that waits, once it is there."""
        config = ("--config", str(self.folder / "fed/de/registrar/participant.toml"))
        async with asyncio.timeout(SECONDS):
            while True:
                status, out, err = await processes.finished("registrar", "list", *config, "--json")
                assert status == 0, err
                if found := json.loads(out)["applications"]:
                    (one,) = found
                    return str(one["id"])


def like(line: str) -> re.Pattern[str]:
    """Return what a line of output has to look like: an ellipsis stands for anything, a gap for any gap."""
    parts = [r"\s+".join(map(re.escape, part.split(" "))) for part in re.sub(" +", " ", line).split("…")]
    return re.compile(".*".join(parts))


@asynccontextmanager
async def going(words: list[str]) -> AsyncIterator[Forked]:
    process = await processes.rogatory(*words)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def test_tutorials_work_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with AsyncExitStack() as stack:
        reader = Reader(tmp_path, stack)
        await reader.read("authority")
        await reader.read("exchange")


async def test_operators_tutorial_works_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind, title, text in BLOCK.findall((TUTORIALS / "authority.md").read_text()):
        if kind == "python":
            (tmp_path / title).write_text(text)
    async with AsyncExitStack() as stack:
        await Reader(tmp_path, stack).read("operator")


NOT_RUN = [
    *((path, "console") for path in sorted(TUTORIALS.glob("*.md"))),
    *((path, "sh") for path in sorted((TUTORIALS.parent / "how-to").glob("*.md"))),
]


@pytest.mark.parametrize(("path", "wanted"), NOT_RUN, ids=[path.stem for path, _ in NOT_RUN])
def test_what_is_not_run_names_commands_that_there_are(path: Path, wanted: str) -> None:
    # Steps of a numbered list are indented.
    blocks = BLOCK.findall(re.sub(r"^ {4}", "", path.read_text(), flags=re.MULTILINE))
    for text in (text for kind, _, text in blocks if kind == wanted):
        for line in text.splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == ["rogatory"]:
                accepted([word for word in words[1:] if word not in ("&", "--help")], whole="--help" not in words)


def accepted(words: list[str], *, whole: bool) -> None:
    found: click.Command | None = commands
    while isinstance(found, click.Group) and words:
        found, words = found.get_command(click.Context(found), words[0]), words[1:]
    assert found is not None
    if whole:
        with found.make_context("rogatory", words):
            pass
