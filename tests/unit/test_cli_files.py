"""Names of fetched files are made here: whatever a sender writes as a title, it is one name in one folder."""

import json
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path, PurePosixPath

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import commands, output
from gateway.cli.inbox import file_name
from tests.processes import environment


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Kontoauszug.pdf", "01-Kontoauszug.pdf"),
        ("../../etc/passwd", "01-.._.._etc_passwd"),
        ("/etc/cron.d/x", "01-_etc_cron.d_x"),
        (".bashrc", "01-.bashrc"),
        ("..", "01-.."),
        ("a\x00b\n.pdf", "01-a_b_.pdf"),
        ("report\u202efdp.exe", "01-report_fdp.exe"),
        ("C:\\x", "01-C__x"),
        ("", "01-"),
    ],
)
def test_title_becomes_one_name(title: str, name: str) -> None:
    assert file_name(1, title) == name


@given(st.integers(1, 256), st.text(max_size=400))
def test_any_title_becomes_one_name_that_a_file_system_takes(number: int, title: str) -> None:
    name = file_name(number, title)
    assert PurePosixPath(name).parts == (name,)
    assert name[0].isdigit()
    assert 0 < len(name.encode()) <= 255
    assert name.isprintable()


def test_two_files_of_one_title_have_two_names() -> None:
    assert file_name(1, "a.pdf") != file_name(2, "a.pdf")


def test_json_of_what_was_no_utf_8_is_json_all_the_same() -> None:
    text = b"caf\xe9 \xff\x80 \xc3\xa9\n".decode(errors="surrogateescape")
    with StringIO() as shown, redirect_stdout(shown):
        output.emit_json({"detail": text})
        assert json.loads(shown.getvalue().encode()) == {"detail": text}


HALVES = st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, exclude_categories=())
"""What Python makes of bytes that are no UTF-8."""


@given(st.text(st.characters(exclude_categories=["Cs"]) | HALVES, max_size=60), st.sampled_from([None, 2]))
def test_json_moves_no_cursor_and_says_the_same(text: str, indent: int | None) -> None:
    shown = output.json_text({text: [text]}, indent)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert json.loads(shown) == {text: [text]}


@pytest.mark.parametrize("letters", ["\x1b[2J", "\x9b2J", "\u202e", "\x7f", "\u2028", "\U000e0041", "a\xa0b"])
def test_what_is_printed_as_json_is_safe_on_a_terminal(
    letters: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output.emit_json({"detail": letters})
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps([{"lei": letters}, {"chain": letters, "address": letters}]))
    shown = [capsys.readouterr().out]
    shown += [
        CliRunner().invoke(commands, ["check", what, str(listed), "--json"]).stdout for what in ("lei", "wallets")
    ]
    for each in shown:
        json.loads(each)
        assert all(line.isprintable() for line in each.splitlines())


def test_progress_is_drawn_on_a_terminal_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with output.progress() as tell:
        tell("seal", "a.bin", 5, 10)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with output.progress() as tell:
        tell("seal", "[red]a\x1b[2J", 10, 10)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "seal [red]a\\x1b[2J" in shown.err.replace("\n", "")


@pytest.mark.parametrize("words", [("--help",), ("procedure",), ("check", "lei", "none.json", "--json")])
def test_output_onto_a_full_disk_is_one_line_of_failure(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "gateway.cli", *words]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), check=False)
    assert (done.returncode, done.stderr) == (1, "error STORE: cannot write: No space left on device\n")


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["trace", "--bogus", "--config", "x", "--json"], "bogus"),
        (["trace", "--json", "--config"], "config"),
        (["trace", "--json", "a", "b", "--config", "x"], ""),
        (["bogus", "--json"], ""),
        (["federation", "bogus", "--json"], ""),
        (["serve", "--json"], "json"),
    ],
)
def test_words_that_cannot_be_read_are_told_in_json_to_whoever_wants_it(words: list[str], field: str) -> None:
    ran = CliRunner().invoke(commands, words)
    told = json.loads(ran.stdout)["error"]
    assert (ran.exit_code, ran.stderr, told["code"], told["field"]) == (2, "", "BAD_INPUT", field)


def test_words_that_only_look_like_json_change_nothing_for_people() -> None:
    ran = CliRunner().invoke(commands, ["trace", "--case", "--json", "--config", "x"])
    assert (ran.exit_code, ran.stdout) == (2, "")


@pytest.mark.parametrize(
    ("closing", "words", "status", "code"),
    [
        (">&-", ["procedure"], 0, ""),
        ("<&-", ["keys", "encrypt", "none.key"], 2, "BAD_INPUT"),
        ("<&- >&-", ["keys", "encrypt", "none.key"], 2, "BAD_INPUT"),
        ("<&- >&- 2>&-", ["procedure"], 0, ""),
    ],
)
def test_command_whose_streams_were_closed_ends_as_with_nobody_there(
    closing: str, words: list[str], status: int, code: str
) -> None:
    line = f"exec {shlex.join([sys.executable, '-m', 'gateway.cli', *words])} {closing}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=environment(), check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(f"error {code}: ") if code else done.stderr == ""
