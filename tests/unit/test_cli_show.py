import errno
import json
import os
import pty
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from google.protobuf import json_format
from google.protobuf.message import Message
from rogatory.v1 import identifiers_pb2 as ids

from gateway import cli
from gateway.cli import kinds, page_terminal
from gateway.formats import json_form, page
from gateway.formats.codes import Code
from gateway.formats.documents import BODIES
from tests import samples
from tests.samples import parts

REQUEST = samples.complete(ids.KIND_FREEZE_REQUEST)


def written(folder: Path, value: object) -> Path:
    path = folder / "file.json"
    if isinstance(value, Message):
        path.write_bytes(json_form.to_json(value))
    else:
        path.write_text(json.dumps(value))
    return path


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli.commands, ["show", *map(str, arguments)], input=stdin)


def refused(result: Result) -> tuple[int, str]:
    return result.exit_code, json.loads(result.stdout)["error"]["detail"]


def as_json(message: Message) -> Any:
    return json_format.MessageToDict(message)


def test_every_kind_of_envelope_and_every_format_that_stands_alone_can_be_shown() -> None:
    assert set(kinds.KINDS.values()) == {*BODIES.values(), *map(type, samples.alone().values())}
    assert kinds.KINDS["freeze-request"] is type(REQUEST)


@pytest.mark.parametrize(
    "document", [*samples.named().values(), *samples.alone().values()], ids=[*samples.named(), *samples.alone()]
)
def test_document_is_recognised_if_it_fits_one_format_only(tmp_path: Path, document: Message) -> None:
    result = run(written(tmp_path, document))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(page.of(document).title.upper())


def test_document_is_shown_by_the_name_that_it_bears_or_that_is_given(tmp_path: Path) -> None:
    value = as_json(samples.complete(ids.KIND_EXTENSION))
    for path, options in (
        (written(tmp_path, value | {"@type": "rogatory.v1.Extension"}), ()),
        (written(tmp_path, value), ("--kind", "extension")),
    ):
        result = run(path, *options)
        assert result.exit_code == 0
        assert result.stdout.startswith("EXTENSION OF A FREEZE")


def test_standard_input_is_read() -> None:
    result = run("-", stdin=json_form.to_json(REQUEST))
    assert result.exit_code == 0
    assert "SECTION P: attachments" in result.stdout


def test_page_is_written_as_html(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = run(written(tmp_path, REQUEST), "--html", out)
    assert result.exit_code == 0
    assert '<h2 id="s0">SECTION A: ' in out.read_text(encoding="utf-8")
    assert "SECTION A" not in result.stdout


def test_written_page_is_its_owners_alone_and_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out, document = tmp_path / "page.html", written(tmp_path, REQUEST)
    assert run(document, "--html", out).exit_code == 0
    assert out.stat().st_mode & 0o077 == 0  # it says what the document says
    before = out.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    assert run(document, "--html", out).exit_code == 1
    assert out.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {out.name, document.name}


def test_page_may_go_to_what_is_no_file(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    assert run(written(tmp_path, REQUEST), "--html", link).exit_code == 0
    assert link.is_symlink()


def test_document_is_told_as_json_with_its_type(tmp_path: Path) -> None:
    told = json.loads(run(written(tmp_path, REQUEST), "--json").stdout)
    assert told["type"] == "rogatory.v1.FreezeRequest"
    assert told["document"] == as_json(REQUEST)


def test_list_of_wallets_is_one_table(tmp_path: Path) -> None:
    wallets = [as_json(parts.DEPOSIT_WALLET), as_json(parts.MISSPELT_WALLET)]
    result = run(written(tmp_path, wallets))
    assert result.exit_code == 0
    assert result.stdout.startswith("WALLETS (2)")
    assert "!! QUOTED - NOT EXECUTABLE" in result.stdout
    told = json.loads(run(written(tmp_path, wallets), "--json").stdout)
    assert told["document"] == wallets


def test_list_of_transactions_is_shown_too(tmp_path: Path) -> None:
    result = run(written(tmp_path, [as_json(each) for each in parts.transactions()]), "--kind", "transaction")
    assert result.exit_code == 0
    assert result.stdout.startswith("TRANSACTIONS (")


def test_document_that_could_be_several_things_is_refused_with_their_names(tmp_path: Path) -> None:
    # A transfer party-less payload and a countersignature may both be empty.
    code, detail = refused(run(written(tmp_path, {}), "--json"))
    assert code == 2
    assert "countersignature" in detail
    assert "identity-payload" in detail


WRONG: dict[str, tuple[object, tuple[str, ...], str, str]] = {
    "fits nothing": ({"amnesty": 1}, (), Code.DOCUMENT_TYPE, ""),
    "unknown type": ({"@type": "rogatory.v1.Header"}, (), Code.DOCUMENT_TYPE, "@type"),
    "type and kind differ": ({"@type": "rogatory.v1.Claim"}, ("--kind", "release"), Code.DOCUMENT_TYPE, "@type"),
    "empty list": ([], (), Code.MISSING, ""),
    "unknown field": (
        as_json(parts.DEPOSIT_WALLET) | {"owner": "x"},
        ("--kind", "wallet"),
        Code.UNKNOWN_FIELD,
        "owner",
    ),
    "second is no wallet": ([as_json(parts.DEPOSIT_WALLET), 5], ("--kind", "wallet"), Code.WRONG_TYPE, "[1]"),
    "second breaks a rule": (
        [as_json(parts.DEPOSIT_WALLET), as_json(parts.DEPOSIT_WALLET) | {"tag": "x" * 200}],
        ("--kind", "wallet"),
        "",
        "[1].tag",
    ),
    "second is empty": ([as_json(parts.DEPOSIT_WALLET), {}], ("--kind", "wallet"), "", "[1]"),
    "breaks a rule": ({}, ("--kind", "claim"), "", "authority"),
}


@pytest.mark.parametrize(("value", "options", "rule", "where"), WRONG.values(), ids=WRONG)
def test_what_is_no_such_document_is_refused_with_the_place(
    tmp_path: Path, value: object, options: tuple[str, ...], rule: str, where: str
) -> None:
    result = run(written(tmp_path, value), *options, "--json")
    error = json.loads(result.stdout)["error"]
    assert (result.exit_code, error["code"], error["field"]) == (2, "BAD_INPUT", where)
    plain = run(written(tmp_path, value), *options)
    assert plain.exit_code == 2
    assert f"[{rule}]" in plain.stderr if rule else "error BAD_INPUT" in plain.stderr


def test_file_that_is_not_there_is_refused_and_one_that_cannot_be_written_fails(tmp_path: Path) -> None:
    assert run(tmp_path / "none.json").exit_code == 2
    path = written(tmp_path, REQUEST)
    assert run(path, "--html", tmp_path / "none" / "page.html").exit_code == 1


def test_no_text_of_a_document_moves_the_cursor(tmp_path: Path) -> None:
    value = as_json(REQUEST) | {"grounds": "\x1b[2J\x1b]0;owned\x07 \u202e"}
    result = run(written(tmp_path, value))
    assert result.exit_code == 0
    assert "\\x1b[2J\\x1b]0;owned\\x07 \\u202e" in result.stdout
    assert all(line.isprintable() for line in result.stdout.splitlines())


@pytest.mark.parametrize("width", ["60", "100", "250"])
def test_terminal_gets_every_section_and_no_control_character_of_a_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    hostile = samples.certificates.freeze_request()
    hostile.grounds = "[bold red]not markup[/] \x1b[2J"
    page_terminal.emit(page.of(hostile))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[bold red]not markup[/]" in shown
    assert "QUOTED - NOT EXECUTABLE" in shown
    assert all(f"SECTION {letter}: " in shown for letter in "ABCDEFGHIJKLMNOP")


def test_on_a_terminal_the_page_is_drawn(tmp_path: Path) -> None:
    path = written(tmp_path, samples.complete(ids.KIND_RELEASE))
    read: list[bytes] = []

    def keep(descriptor: int) -> bytes:
        read.append(os.read(descriptor, 1 << 16))
        return read[-1]

    status = pty.spawn([sys.executable, "-m", "gateway.cli", "show", str(path)], keep)
    assert status == 0
    assert "Release of a freeze" in b"".join(read).decode()
    assert "\x1b[1m" in b"".join(read).decode()


def test_page_takes_the_place_of_no_document(tmp_path: Path) -> None:
    path = written(tmp_path, REQUEST)
    before = path.read_bytes()
    result = run(path, "--html", path, "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (2, "BAD_INPUT")
    assert path.read_bytes() == before


def test_page_goes_into_a_pipe_and_through_a_link(tmp_path: Path) -> None:
    path, page_file = written(tmp_path, REQUEST), tmp_path / "page.html"
    (tmp_path / "link.html").symlink_to(page_file)
    assert run(path, "--html", tmp_path / "link.html").exit_code == 0
    assert (tmp_path / "link.html").is_symlink()
    assert page_file.read_text().startswith("<!DOCTYPE html>")
    assert run(path, "--html", "/dev/null").exit_code == 0
    assert not Path("/dev/null").is_file()
