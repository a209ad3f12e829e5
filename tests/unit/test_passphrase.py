import os
from pathlib import Path

import pytest

from gateway import passphrase
from gateway.errors import ErrorCode, Refusal
from gateway.hidden import LEAST_CHARACTERS, MOST_CHARACTERS, Passphrase
from tests.errors import raises

TEXT = "correct horse battery staple"


def file(folder: Path, content: bytes = TEXT.encode(), mode: int = 0o600) -> Path:
    path = folder / "passphrase"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refused(path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        passphrase.read(path)
    assert caught.value.code is ErrorCode.KEY_FILE
    assert caught.value.field == str(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_line_of_the_file_is_the_passphrase(tmp_path: Path, mode: int, end: bytes) -> None:
    assert passphrase.read(file(tmp_path, TEXT.encode() + end, mode)).reveal() == TEXT.encode()


@pytest.mark.parametrize("length", [LEAST_CHARACTERS, MOST_CHARACTERS])
def test_a_passphrase_just_within_the_bounds_is_one(length: int) -> None:
    assert len(Passphrase("x" * length).reveal()) == length


@pytest.mark.parametrize("length", [LEAST_CHARACTERS - 1, MOST_CHARACTERS + 1])
def test_a_passphrase_just_outside_of_the_bounds_is_none(length: int) -> None:
    with raises(ErrorCode.KEY_FILE):
        Passphrase("x" * length)


def test_the_same_letters_are_the_same_passphrase_however_a_system_writes_them(tmp_path: Path) -> None:
    assert Passphrase("K\u00fcnstlerzimmer").reveal() == Passphrase("Ku\u0308nstlerzimmer").reveal()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o640, 0o660, 0o601, 0o777])
def test_a_passphrase_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    refused(file(tmp_path, mode=mode))


def test_a_symbolic_link_to_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file(tmp_path, mode=0o644))
    refused(link)


def test_a_secret_that_is_mounted_as_a_symbolic_link_is_read(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file(tmp_path))
    assert passphrase.read(link).reveal() == TEXT.encode()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\n", id="an empty line"),
        pytest.param(b"hunter2\n", id="short"),
        pytest.param(b"elevenchars\n", id="one character short"),
        pytest.param(b"x" * 1025, id="one character long"),
        pytest.param(b"x" * 10_000, id="a file of something else"),
        pytest.param(b"correct horse\nbattery staple\n", id="two lines"),
        pytest.param(b"correct horse\x00battery staple", id="a NUL"),
        pytest.param(b"correct horse battery staple\n\n", id="two line ends"),
        pytest.param(b"\xff\xfe" + TEXT.encode("utf-16-le"), id="UTF-16"),
    ],
)
def test_what_is_no_passphrase_is_refused(tmp_path: Path, content: bytes) -> None:
    refused(file(tmp_path, content))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path)
    refused(tmp_path / "missing")
    refused(Path("/dev/null"))


def test_a_pipe_that_nobody_writes_to_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    refused(tmp_path / "pipe")


def test_a_refusal_does_not_carry_the_content(tmp_path: Path) -> None:
    path = file(tmp_path, b"\xffcorrect horse")
    with pytest.raises(Refusal) as caught:
        passphrase.read(path)
    assert caught.value.__suppress_context__
    assert "horse" not in repr(caught.value)
