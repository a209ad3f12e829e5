"""No number on the command line ends in a traceback: one for which there is no room is refused, with its option."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.cli import commands, target_keys
from gateway.locked import LEAST

AGES = "9" * 30


def every(command: click.Command, ctx: click.Context) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            assert found is not None
            yield from every(found, ctx)


def spans() -> list[click.Parameter]:
    found = every(commands, click.Context(commands))
    return [each for command in found for each in command.params if isinstance(each.type, click.FloatRange)]


def test_length_of_time_that_is_no_number_is_refused() -> None:
    taken = []
    for option in spans():
        try:
            taken.append((option.name, option.type.convert("nan", option, None)))
        except click.BadParameter:
            continue
    assert not taken
    assert len(spans()) > 20


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (["send", "draft", "--expires-in-hours", "nan"], "expires-in-hours"),
        (["send", "draft", "--expires-in-hours", "1e300"], "expires-in-hours"),
        (["operate", "approve", AGES], "NUMBER"),
        (["operate", "list", "--before", AGES], "before"),
        (["keys", "target", "new", "--days", AGES], "days"),
    ],
)
def test_what_no_calendar_and_no_store_has_room_for_is_refused_with_its_option(given: list[str], field: str) -> None:
    ran = CliRunner().invoke(commands, [*given, "--json"])
    told = json.loads(ran.stdout)["error"]
    assert (ran.exit_code, told["code"], told["field"]) == (2, "BAD_INPUT", field)


def test_key_of_targets_does_not_outlast_the_calendar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_keys, "COST", LEAST)
    secret, file = tmp_path / "passphrase", tmp_path / "target.key"
    secret.write_text("correct horse battery staple")
    secret.chmod(0o600)
    new = ["keys", "target", "new", str(file), "--passphrase-file", str(secret), "--days", "3650", "--json", "--from"]
    ran = CliRunner().invoke(commands, [*new, "9999-12-31"])
    told = json.loads(ran.stdout)["error"]
    assert (ran.exit_code, told["code"], told["field"], file.exists()) == (2, "BAD_INPUT", "from", False)
    ran = CliRunner().invoke(commands, [*new, "9989-12-31"])
    assert json.loads(ran.stdout)["target_key"]["until"] == "9999-12-29T00:00:00+00:00"
