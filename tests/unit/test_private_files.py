import errno
import os
import stat
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from gateway import private_files
from gateway.errors import ErrorCode, Refusal
from tests import durable
from tests.errors import raises

OLD, NEW = b"old and plain", b"new"


def refused(path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        private_files.replace(path, NEW)
    assert caught.value.code is ErrorCode.KEY_FILE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "key"
    private_files.create(found, OLD)
    return found


def contents(folder: Path) -> list[bytes]:
    return [each.read_bytes() for each in folder.iterdir()]


def test_a_pipe_is_no_file_whoever_writes_to_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, private_files.MODE)
    descriptor = os.open(pipe, os.O_RDWR)
    try:
        os.write(descriptor, OLD)
        with raises(ErrorCode.KEY_FILE):
            private_files.read(pipe, 100)
    finally:
        os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_no_descriptor_stays_open_behind_a_file_that_is_written(path: Path) -> None:
    descriptors = Path("/proc/self/fd")
    before = len([*descriptors.iterdir()])
    private_files.replace(path, NEW)
    private_files.create(path.with_name("other"), NEW)
    private_files.read(path, len(NEW))
    assert len([*descriptors.iterdir()]) == before


@pytest.mark.parametrize("umask", [0, 0o777])
def test_a_replaced_file_is_its_owners_alone_and_the_only_one(path: Path, umask: int) -> None:
    path.chmod(0o644)
    before = os.umask(umask)
    try:
        private_files.replace(path, NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert contents(path.parent) == [NEW]


def test_a_symbolic_link_is_not_replaced_because_the_file_behind_it_would_stay(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    refused(link)
    assert (link.is_symlink(), path.read_bytes()) == (True, OLD)


def test_a_file_with_another_name_is_not_replaced_because_it_would_stay_there(path: Path) -> None:
    path.with_name("copy").hardlink_to(path)
    refused(path)
    assert contents(path.parent) == [OLD, OLD]


def test_what_is_missing_or_no_file_is_not_replaced(path: Path) -> None:
    refused(path.with_name("missing"))
    refused(path.parent)
    assert contents(path.parent) == [OLD]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_file_and_no_draft(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path if call == "replace" else os, call, fail)
        refused(path)
    assert contents(path.parent) == [OLD]


def create_beside(path: Path, content: bytes) -> None:
    private_files.create(path.with_name("new"), content)


@pytest.mark.parametrize("write", [private_files.replace, create_beside])
@pytest.mark.parametrize("step", ["fsync", "link", "replace"])
def test_whoever_is_interrupted_leaves_no_secret_under_a_name_that_nobody_looks_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, bytes], None], step: str
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path if step == "replace" else os, step, interrupted)
    with suppress(KeyboardInterrupt):  # not every way takes every step
        write(path, NEW)
    assert {each.name for each in path.parent.iterdir()} <= {path.name, "new"}


def test_the_new_content_is_on_disk_before_the_old_one_goes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = durable.watched(monkeypatch, "replace")
    private_files.replace(path, NEW)
    assert steps == ["file", "replace", "folder"]


@pytest.mark.parametrize("superuser", [True, False])
def test_an_administrator_who_rewrites_a_file_leaves_it_to_its_owner(
    path: Path, monkeypatch: pytest.MonkeyPatch, superuser: bool
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0 if superuser else 1000)
    monkeypatch.setattr(os, "fchown", lambda descriptor, user, group: given.append((user, group)))
    status = path.stat()
    private_files.replace(path, NEW)
    assert given == ([(status.st_uid, status.st_gid)] if superuser else [])


# Credentials of systemd

OWNER, USER, GROUP_OWNER, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
ME, NOBODY = os.geteuid(), 0xFFFFFFFF
READ = 4

Entry = tuple[int, int, int]


def acl(*extra: Entry, group: int = 0) -> bytes:
    entries = [(OWNER, READ, NOBODY), (GROUP_OWNER, group, NOBODY), (MASK, READ, NOBODY), (OTHER, 0, NOBODY), *extra]
    return b"\x02\0\0\0" + b"".join(struct.pack("<HHI", *each) for each in sorted(entries))


MINE: Entry = (USER, READ, ME)


def readable(path: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes | None, mode: int = 0o440) -> bool:
    def attribute(descriptor: int, name: str) -> bytes:
        if raw is None:
            raise OSError(errno.ENODATA, "No data available")
        return raw

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "getxattr", attribute, raising=False)
    path.chmod(mode)
    try:
        return private_files.read(path, 100) == OLD
    except Refusal as error:
        if error.code is not ErrorCode.KEY_FILE:
            raise
        return False


def test_a_credential_that_an_acl_lends_to_this_user_alone_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert readable(path, monkeypatch, acl(MINE))


@pytest.mark.parametrize(
    ("raw", "mode"),
    [
        pytest.param(None, 0o440, id="no ACL, so the bits are a group's"),
        pytest.param(acl(MINE, group=READ), 0o440, id="the group may read too"),
        pytest.param(acl(MINE, (USER, READ, ME + 1)), 0o440, id="another user may read too"),
        pytest.param(acl(MINE, (GROUP, READ, 100)), 0o440, id="another group may read too"),
        pytest.param(acl(MINE), 0o444, id="everybody may read"),
        pytest.param(acl(MINE)[:-1], 0o440, id="cut short"),
        pytest.param(acl(MINE)[4:], 0o440, id="no version"),
        pytest.param(b"\x03" + acl(MINE)[1:], 0o440, id="another version"),
        pytest.param(b"", 0o440, id="empty"),
    ],
)
def test_an_acl_that_lends_it_to_more_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes | None, mode: int
) -> None:
    assert not readable(path, monkeypatch, raw, mode)


@pytest.mark.skipif(sys.platform != "linux", reason="ACLs of Linux")
def test_the_kernel_writes_acls_as_they_are_read_here(path: Path) -> None:
    try:
        os.setxattr(path, "system.posix_acl_access", acl(MINE))
    except OSError as error:
        pytest.skip(f"this file system has no ACLs ({error.strerror})")
    assert stat.S_IMODE(path.stat().st_mode) == 0o440
    assert private_files.read(path, 100) == OLD
    os.setxattr(path, "system.posix_acl_access", acl(MINE, (USER, READ, ME + 1)))
    with raises(ErrorCode.KEY_FILE):
        private_files.read(path, 100)
