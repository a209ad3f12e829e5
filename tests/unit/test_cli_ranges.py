"""No number on the command line ends in a traceback: one for which there is no room is refused, with its option."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.cli import commands, target_keys
from gateway.cli.development import init_federation
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
        (["operate", "resend", "--until", "1970-01-01"], "until"),
        (["operate", "resend", "--from", "0026-11-22"], "from"),
        (["trace", "--until", "1970-01-01"], "until"),
        (["operate", "approve", AGES], "NUMBER"),
        (["operate", "list", "--before", AGES], "before"),
        (["keys", "target", "new", "--days", AGES], "days"),
    ],
)
def test_what_no_calendar_and_no_store_has_room_for_is_refused_with_its_option(given: list[str], field: str) -> None:
    ran = CliRunner().invoke(commands, [*given, "--json"])
    told = json.loads(ran.stdout)["error"]
    assert (ran.exit_code, told["code"], told["field"]) == (2, "BAD_INPUT", field)


@pytest.mark.parametrize("option", ["case", "participant", "node", "destination", "code", "kind", "after"])
def test_filter_of_a_variable_that_was_never_set_does_not_show_everything(option: str) -> None:
    ran = CliRunner().invoke(commands, ["trace", f"--{option}", "", "--config", "operator.toml", "--json"])
    told = json.loads(ran.stdout)["error"]
    assert (ran.exit_code, told["code"], told["field"]) == (2, "BAD_INPUT", option)


def test_reason_typed_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """A terminal of Latin-1 sends bytes that are no UTF-8."""
    made = init_federation(tmp_path / "fed", ["ee"], [7440], datetime.now(UTC))
    reason = "gr\xfc\xdfe".encode("latin-1").decode(errors="surrogateescape")
    settings = str(made.config("ee/operator"))
    ran = CliRunner().invoke(commands, ["operate", "hold", "de/node", "--reason", reason, "--config", settings])
    assert (ran.exit_code, "BAD_INPUT" in ran.stderr) == (2, True)


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
