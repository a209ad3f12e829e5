"""Settings files are changed in place: only what was asked for, whole or not at all."""

import errno
import fcntl
import os
import stat
import threading
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import settings_file
from gateway.errors import ErrorCode, Failure, GatewayError
from gateway.settings_file import Value

SETTINGS = """\
# Whose this is.
address = "ee/exchange"  # never changes
signing_keys = [
  "signing.key",  # the first
]
certificate = 'tls.pem'   # from the registry
note = \"\"\"
sealing_keys = ["not.key"]
[not.a.table]
\"\"\"
home = "home"

[directory]
root = "root.json"
certificate = "another.pem"
"""


def edited(path: Path, changes: Mapping[str, Value]) -> str:
    settings_file.edit(path, lambda _: changes)
    return path.read_text()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "participant.toml"
    made.write_text(SETTINGS)
    return made


def test_only_what_was_asked_for_is_otherwise(path: Path) -> None:
    changes = {"signing_keys": ["signing.key", "signing-2.key"], "certificate": "new.pem"}
    text = edited(path, changes)
    assert tomllib.loads(text) == {**tomllib.loads(SETTINGS), **changes}
    assert 'address = "ee/exchange"  # never changes' in text
    assert 'certificate = "new.pem"   # from the registry' in text
    assert 'certificate = "another.pem"' in text


def test_a_setting_that_was_not_there_comes_before_the_first_table(path: Path) -> None:
    found = tomllib.loads(edited(path, {"sealing_keys": ["sealing.key"]}))
    assert (found["sealing_keys"], found["note"]) == (["sealing.key"], tomllib.loads(SETTINGS)["note"])
    assert "sealing_keys" not in found["directory"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "[directory]\nroot = 'r'\n", "a = 1"])
def test_a_file_of_any_form_takes_a_new_setting(path: Path, text: str) -> None:
    path.write_text(text)
    assert tomllib.loads(edited(path, {"home": "x"})) == {**tomllib.loads(text), "home": "x"}


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
def test_a_comment_with_what_only_others_take_for_the_end_of_a_line_is_a_comment(path: Path, end: str) -> None:
    """Pasted text brings them; a node that cannot change such a file could never name its new certificate."""
    path.write_bytes(f"# made by us{end}for all\nhome = 'here{end}'\n".encode())
    assert tomllib.loads(edited(path, {"certificate": "new.pem"}))["certificate"] == "new.pem"


def test_the_change_sees_what_is_there(path: Path) -> None:
    seen: list[Mapping[str, object]] = []

    def change(settings: Mapping[str, object]) -> Mapping[str, Value]:
        seen.append(settings)
        return {}

    before = path.stat()
    settings_file.edit(path, change)
    assert seen == [tomllib.loads(SETTINGS)]
    assert path.stat().st_ino == before.st_ino  # nothing was asked for, nothing was written


def test_mode_stays_and_a_link_is_followed(path: Path, tmp_path: Path) -> None:
    path.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    edited(link, {"home": "elsewhere"})
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert tomllib.loads(path.read_text())["home"] == "elsewhere"


@pytest.mark.parametrize(
    "text",
    [
        'certificate.a = "tls.pem"\ncertificate.b = "tls.pem"\n',  # dotted keys are a table
        "[certificate]\n",
    ],
)
def test_what_would_change_something_else_is_refused_and_nothing_is_changed(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(GatewayError) as caught:
        edited(path, {"certificate": "new.pem"})
    assert caught.value.code in {ErrorCode.INTERNAL, ErrorCode.BAD_CONFIG}
    assert path.read_text() == text


@pytest.mark.parametrize("content", [b"= broken", b"\xff\xfe", b"#" * (settings_file.MAX_BYTES + 1)])
def test_what_is_no_settings_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(GatewayError) as caught:
        edited(path, {"home": "x"})
    assert caught.value.code is ErrorCode.BAD_CONFIG
    assert path.read_bytes() == content


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GatewayError) as caught:
        edited(tmp_path / "none.toml", {"home": "x"})
    assert caught.value.code is ErrorCode.BAD_CONFIG


def test_a_disk_that_fails_leaves_the_old_file_and_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(GatewayError) as caught:
        edited(path, {"home": "x"})
    assert caught.value.code is ErrorCode.BAD_CONFIG
    assert (path.read_text(), [*path.parent.iterdir()]) == (SETTINGS, [path])


@given(st.lists(st.text(), max_size=4))
def test_any_text_is_written_so_that_toml_reads_it(values: list[str]) -> None:
    assert tomllib.loads(f"names = {settings_file.value(values)}\n") == {"names": values}


def test_a_name_that_cannot_be_written_is_refused(path: Path) -> None:
    with pytest.raises(Failure) as caught:
        edited(path, {"home": "a\udcffb"})
    assert (caught.value.code, path.read_text()) == (ErrorCode.INTERNAL, SETTINGS)


def test_two_editors_wait_for_each_other(path: Path) -> None:
    def add(name: str) -> None:
        with settings_file.alone(path):
            settings_file.edit(path, lambda old: {"signing_keys": [*map(str, list_of(old)), name]})

    threads = [threading.Thread(target=add, args=(f"{number}.key",)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = tomllib.loads(path.read_text())["signing_keys"]
    assert sorted(found) == sorted(["signing.key", *(f"{number}.key" for number in range(8))])


def list_of(settings: Mapping[str, object]) -> list[object]:
    found = settings["signing_keys"]
    assert isinstance(found, list)
    return found


def test_files_are_named_from_the_settings_folder_where_they_lie_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "node.toml"
    assert settings_file.name_of(path, tmp_path / "a" / "keys" / "x.key") == "keys/x.key"
    assert settings_file.name_of(path, tmp_path / "x.key") == str(tmp_path.resolve() / "x.key")


def test_a_new_file_takes_no_name_that_is_there(tmp_path: Path) -> None:
    now = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
    names = []
    for _ in range(3):
        made = settings_file.new_file(tmp_path / "signing.key", "signing", ".key", now)
        made.touch()
        names.append(made.name)
    stem = "signing-20261121T101500Z"
    assert names == [f"{stem}.key", f"{stem}-2.key", f"{stem}-3.key"]


def test_file_system_that_knows_no_locks_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(GatewayError) as caught, settings_file.alone(tmp_path / "ee.audit"):
        pass
    assert caught.value.code is ErrorCode.BAD_CONFIG
