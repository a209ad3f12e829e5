"""README is typed as it stands by whoever tries the program: what it names must be there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from gateway.cli import commands
from gateway.cli.development import CAST

README: Final = (Path(__file__).parents[2] / "README.md").read_text()
SERVING: Final = {"serve", "serve-log", "console", "witness serve"}


def test_every_participant_that_the_readme_works_as_is_made_by_federation_init() -> None:
    named = set(re.findall(r"fed/[a-z]{2}/([^/\s]+)/participant\.toml", README))
    assert {"prosecutor", "court", "operator"} <= named <= {part.name for part in CAST}


def test_every_command_has_an_example_and_json_unless_it_serves() -> None:
    found = dict(leaves(commands, ()))
    assert all("Example" in (command.epilog or "") for command in found.values())
    with_json = {name for name, command in found.items() if any("--json" in each.opts for each in command.params)}
    assert found.keys() - with_json == SERVING


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    ctx = click.Context(command)
    for name in command.list_commands(ctx):
        inner = command.get_command(ctx, name)
        assert inner is not None
        yield from leaves(inner, (*path, name))
