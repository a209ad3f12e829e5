"""Files that hold a secret: keys, passphrases, PINs.

In: a path. Out: its bytes, or a file that appears whole, on disk and with mode 0600, or not at all. Refuses with
KEY_FILE what anybody but its owner may touch, and a rewriting that would leave the old content somewhere else.
No message carries a byte of any file.
"""

import os
import secrets
import stat
import struct
import sys
from pathlib import Path
from typing import Final

from gateway.errors import ErrorCode, Refusal

MODE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_ACL: Final = "system.posix_acl_access"
# linux/posix_acl.h and posix_acl_xattr.h: a version, then entries of tag, permissions and id, little-endian.
_ACL_VERSION: Final = b"\x02\x00\x00\x00"
_ACL_OWNER, _ACL_USER, _ACL_MASK = 0x01, 0x02, 0x10


def read(path: Path, most: int) -> bytes:
    """Return all of a file that is its owner's alone.

    Args:
        path: a symbolic link, as secret stores mount them, is judged by what it points at.
        most: bytes; a larger file is refused before it is read.

    Raises:
        Refusal: KEY_FILE.
    """
    try:
        # Not blocked by a pipe that nobody writes to; a pipe is refused below.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            # Asked of the open file, not of the path: the answer is about the bytes that are read.
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise refusal(path, "not a regular file")
            if status.st_mode & _OTHERS and not _is_lent(file.fileno(), status):
                raise refusal(path, f"mode {stat.S_IMODE(status.st_mode):04o} lets others in, 0600 wanted")
            content = file.read(most + 1)
    except OSError as error:
        raise refusal(path, f"cannot be read ({error.strerror})") from error
    if len(content) > most:
        raise refusal(path, f"above {most} bytes")
    return content


def create(path: Path, content: bytes) -> None:
    """Write a new file.

    Raises:
        Refusal: KEY_FILE, `path` exists or cannot be written. Nothing is ever overwritten.
    """
    try:
        draft = _draft(path, content)
        try:
            # A hard link, not a rename: a rename would silently replace a key that is already there.
            os.link(draft, path)
        finally:
            draft.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise refusal(path, f"cannot be created ({error.strerror})") from error


def replace(path: Path, content: bytes) -> None:
    """Put new content in the place of the old, which is then nowhere else in the file system.

    What the disk below still holds of it, no program can promise: who fears for that makes a new key.

    Raises:
        Refusal: KEY_FILE, `path` cannot be written, is a link, or has another name (a hard link): the content that
            is to go would stay there.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise refusal(path, "a link or no regular file; name the file itself, or its old content would stay")
        if status.st_nlink > 1:
            raise refusal(path, "it has another name (a hard link), where its old content would stay")
        swap(path, content, status)
    except OSError as error:
        raise refusal(path, f"cannot be replaced ({error.strerror})") from error


def swap(path: Path, content: bytes, owner: os.stat_result | None = None, mode: int = MODE) -> None:
    """Put a new file in the place of an old one, if there is one: at every moment it is the one or the other, whole.

    Args:
        path: the file.
        content: the new one's.
        owner: status of the file whose owner the new one gets, where that may be given.
        mode: permissions.

    Raises:
        OSError: it cannot; the old one is there still.
    """
    draft = _draft(path, content, owner, mode)
    try:
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def refusal(path: Path, reason: str) -> Refusal:
    """Return the refusal that names a file."""
    return Refusal(ErrorCode.KEY_FILE, reason, str(path))


def _is_lent(descriptor: int, status: os.stat_result) -> bool:
    """Whether the permissions beyond the owner's are for the user of this process alone.

    So systemd hands credentials to a service with a user of its own: the file is root's, and an ACL lets that user
    read it. The bits of the group are then those of the ACL's mask (acl(5)), and no group's.
    """
    if sys.platform != "linux" or status.st_mode & stat.S_IRWXO:
        return False
    try:
        raw = os.getxattr(descriptor, _ACL)
        entries = [*struct.iter_unpack("<HHI", raw.removeprefix(_ACL_VERSION))]
    except (OSError, struct.error):
        return False
    ours = (_ACL_USER, os.geteuid())
    others = [
        tag for tag, allowed, who in entries if allowed and tag not in {_ACL_OWNER, _ACL_MASK} and (tag, who) != ours
    ]
    return raw.startswith(_ACL_VERSION) and not others


def _draft(path: Path, content: bytes, owner: os.stat_result | None = None, mode: int = MODE) -> Path:
    """Write a file beside `path`, with the owner of the file that it shall replace."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if owner is not None and os.geteuid() == 0:
                # An administrator may rewrite the file of a service, which must still be able to read it.
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            if mode != MODE:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:  # whoever interrupts us leaves no secret behind under a name that nobody looks for
        draft.unlink(missing_ok=True)
        raise
    return draft


def sync_folder(folder: Path) -> None:
    """Return once the names in a folder are on the disk."""
    _sync(folder, os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Return once the bytes of a file are on the disk."""
    _sync(path, 0)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
