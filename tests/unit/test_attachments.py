"""Files on a participant's own disk: whatever becomes of them there, what is brought and what appears is whole."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import nacl.utils
import pytest
from nacl.public import PrivateKey
from rogatory.v1 import parties_pb2 as parties

from clients.attachments import Files
from gateway.errors import ErrorCode, Refusal
from tests import durable
from tests.files import random_file

KEY = PrivateKey(bytes(range(32)))

KILLED_WHILE_IT_OPENS = """
import os, signal, sys
from pathlib import Path
from clients.attachments import Files
from rogatory.v1 import parties_pb2 as parties
files = Files(Path(sys.argv[1]), os.urandom)
files.watch = lambda doing, *_: os.kill(os.getpid(), signal.SIGKILL)
files.open(parties.Attachment.FromString(bytes.fromhex(sys.argv[3])), Path(sys.argv[2]))
"""


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "home", nacl.utils.random)


def ciphertext(tmp_path: Path, named: parties.Attachment, suffix: str = "") -> Path:
    return tmp_path / "home" / "attachments" / f"{named.sealed.sha256.hex()}{suffix}"


def fetched(tmp_path: Path, files: Files) -> tuple[parties.Attachment, bytes]:
    """Return a file as if its ciphertext had just come, and what it holds."""
    path = random_file(tmp_path, 1000)
    named = files.seal(path, [KEY])
    ciphertext(tmp_path, named).rename(ciphertext(tmp_path, named, ".part"))
    return named, path.read_bytes()


def test_file_whose_ciphertext_the_disk_changed_is_sealed_anew(tmp_path: Path, files: Files) -> None:
    path = random_file(tmp_path, 1000)
    named = files.seal(path, [KEY])
    assert files.seal(path, [KEY]) == named
    sealed = ciphertext(tmp_path, named)
    sealed.write_bytes(bytes(sealed.stat().st_size))
    anew = files.seal(path, [KEY])
    assert anew.sha256 == named.sha256
    assert anew.sealed.sha256 != named.sealed.sha256


def test_sealed_file_and_its_key_are_on_the_disk_before_they_have_their_names_and_with_them(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = random_file(tmp_path, 1000)
    steps = durable.watched(monkeypatch, "replace")
    files.seal(path, [KEY])
    assert steps == ["file", "file", "replace", "folder", "replace", "folder"]


def test_file_that_is_handed_in_meanwhile_keeps_no_other_from_being_attached(tmp_path: Path, files: Files) -> None:
    both = [files.seal(random_file(tmp_path, 1000), [KEY]) for _ in range(2)]
    notes = files._notes([KEY])
    read = next(notes)
    (left,) = (each for each in both if each.sha256 != read.sha256)
    ciphertext(tmp_path, left, ".key").unlink()
    assert list(notes) == []


@pytest.mark.parametrize("why", [errno.EPERM, errno.EOPNOTSUPP])
def test_file_appears_where_there_are_no_hard_links_and_replaces_nothing(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    def link(*_: object) -> None:
        raise OSError(why, os.strerror(why))

    named, content = fetched(tmp_path, files)
    (tmp_path / "there").write_text("mine")
    monkeypatch.setattr(os, "link", link)
    with pytest.raises(Refusal) as caught:
        files.open(named, tmp_path / "there")
    assert caught.value.code is ErrorCode.BAD_INPUT
    assert (tmp_path / "there").read_text() == "mine"
    files.open(named, tmp_path / "arrived")
    assert (tmp_path / "arrived").read_bytes() == content


def test_who_was_killed_while_a_file_was_opened_leaves_no_copy_of_it_behind(tmp_path: Path, files: Files) -> None:
    named, content = fetched(tmp_path, files)
    target = tmp_path / "out" / "arrived"
    target.parent.mkdir()
    words = (str(tmp_path / "home"), str(target), named.SerializeToString().hex())
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_IT_OPENS, *words], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len([*target.parent.iterdir()]) == 1
    files.open(named, target)
    assert [*target.parent.iterdir()] == [target]
    assert target.read_bytes() == content


@pytest.mark.parametrize("wrong", ["key", "digest"])
def test_what_does_not_open_as_its_document_says_leaves_nothing_behind(
    tmp_path: Path, files: Files, wrong: str
) -> None:
    named, _ = fetched(tmp_path, files)
    if wrong == "key":
        named.sealed.key = bytes(32)
    else:
        named.sha256 = bytes(32)
    (tmp_path / "out").mkdir()
    with pytest.raises(Refusal) as caught:
        files.open(named, tmp_path / "out" / "arrived")
    assert caught.value.code is {"key": ErrorCode.CANNOT_OPEN, "digest": ErrorCode.CONTENT_MISMATCH}[wrong]
    assert [*(tmp_path / "out").iterdir()] == []
    assert not ciphertext(tmp_path, named, ".part").exists()


def test_file_whose_name_is_taken_stays_to_be_opened_under_another(tmp_path: Path, files: Files) -> None:
    named, content = fetched(tmp_path, files)
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(Refusal) as caught:
        files.open(named, tmp_path / "taken")
    assert caught.value.code is ErrorCode.BAD_INPUT
    files.open(named, tmp_path / "free")
    assert (tmp_path / "free").read_bytes() == content


def test_file_that_was_fetched_before_is_known_again_and_another_is_not_taken_for_it(
    tmp_path: Path, files: Files
) -> None:
    named, content = fetched(tmp_path, files)
    target = tmp_path / "arrived"
    assert not files.is_there(named, target)
    target.write_bytes(content)  # as if the power went before the ciphertext was deleted
    assert files.is_there(named, target)
    assert not ciphertext(tmp_path, named, ".part").exists()
    for other in (content[:-1], bytes(len(content))):
        target.write_bytes(other)
        with pytest.raises(Refusal) as caught:
            files.is_there(named, target)
        assert caught.value.code is ErrorCode.BAD_INPUT
