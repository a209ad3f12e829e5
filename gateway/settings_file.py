"""Changes a settings file in place, as `rogatory keys rotate` and the automatic renewal of certificates do.

In: a TOML file, new values for settings at its top level. Out: the same file, which at every moment is the old one or
the new one, with its mode and owner; comments and all other settings stay as they are. Refuses with BAD_CONFIG what
cannot be read or written, and with INTERNAL a change that would say anything else than was asked for: the new text is
read again before it takes the place of the old. Source: TOML 1.0.0.
"""

import fcntl
import itertools
import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from gateway.errors import ErrorCode, Failure, Refusal
from gateway.private_files import swap

MAX_BYTES: Final = 1 << 20
"""A settings file has a few hundred bytes; with an override of quotas for every participant, some thousands."""

Value: TypeAlias = str | Sequence[str]
Change: TypeAlias = Callable[[Mapping[str, object]], Mapping[str, Value]]
"""Takes all settings as they are; returns those at the top level that shall be otherwise."""


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a settings file against others who would change it, in this process and in others; wait for them.

    Raises:
        Refusal: BAD_CONFIG, the file's folder cannot be written, or its file system knows no locks.
    """
    real = path.resolve()
    try:
        lock = real.with_name(f".{real.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _bad(path, f"its folder cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise _bad(path, f"its file system cannot hold it against others: {error.strerror}") from error
        yield
    finally:
        os.close(descriptor)


def edit(path: Path, change: Change) -> None:
    """Change settings at the top level of a file. The caller holds it, see `alone`.

    Args:
        path: the file; of a symbolic link, what it points at.
        change: says what shall be otherwise.

    Raises:
        Refusal: BAD_CONFIG, the file cannot be read or written.
        Failure: INTERNAL, it has a form in which this cannot be changed, or cannot name that. Nothing was.
    """
    real = path.resolve()
    try:
        text, status = _read(real), real.stat()
        old = tomllib.loads(text)
        wanted = change(old)
        new = _with(text, wanted)
        if _parsed(new) != {**old, **{name: _plain(value) for name, value in wanted.items()}}:
            raise Failure(ErrorCode.INTERNAL, f"{path} cannot be changed without changing other settings")
        if new != text:
            swap(real, new.encode(), status, stat.S_IMODE(status.st_mode))
    except UnicodeEncodeError as error:
        raise Failure(ErrorCode.INTERNAL, f"{path} cannot name what is no UTF-8 text") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _bad(path, f"not TOML: {error}") from error
    except OSError as error:
        raise _bad(path, f"cannot be changed: {error.strerror}") from error


def value(written: object) -> str:
    """Return a text, a number, a truth value, or a list of them, as TOML writes it."""
    # JSON writes all of them in the same way (TOML 1.0.0, "String" and "Array"), once it leaves letters as they are: of
    # one beyond the first 65 536 it would make two halves. DEL alone is a letter to JSON, and none to TOML.
    return json.dumps(written, ensure_ascii=False).replace("\x7f", "\\u007f")


def name_of(path: Path, file: Path) -> str:
    """Return how a settings file names another file: from its own folder, if it lies there."""
    base, found = path.resolve().parent, file.resolve()
    return str(found.relative_to(base)) if found.is_relative_to(base) else str(found)


def may_name(path: Path, file: Path) -> bool:
    """Whether a settings file names a file, or cannot be asked: `edit` may fail when the new text is there already."""
    try:
        return file.stem in path.read_text()
    except (OSError, UnicodeDecodeError):
        return True


def discard(path: Path, *files: Path) -> None:
    """Remove new files that nothing came of, unless the settings may name them.

    What is tried again and again would leave its own each time, private keys among them.
    """
    for file in files:
        with suppress(OSError):
            if not may_name(path, file):
                file.unlink(missing_ok=True)


def new_file(beside: Path, kind: str, suffix: str, now: datetime) -> Path:
    """Return a name that nobody has yet, e.g. `signing-20261121T101500Z.key`, in the folder of another file."""
    stem = f"{kind}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(path for name in names if not (path := beside.with_name(name + suffix)).exists())


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _bad(path, f"above {MAX_BYTES} bytes")
    return content.decode()


def _with(text: str, wanted: Mapping[str, Value]) -> str:
    """Return the text with other values; what it does not have yet comes before its first table."""
    todo, out = dict(wanted), list[str]()
    # TOML knows no other end of a line; Python does, and a comment may hold one, as pasted text does.
    lines = [line for line in re.split(r"(?<=\n)", text) if line]
    position = 0
    while position < len(lines) and not lines[position].lstrip().startswith("["):
        statement, position = _statement(lines, position)
        (name,) = _parsed(statement).keys() or ("",)
        if name in todo:
            statement = f"{name} = {value(todo.pop(name))}{_comment(statement)}\n"
        out.append(statement)
    if todo and out and not out[-1].endswith("\n"):
        out[-1] += "\n"
    # Above the empty lines that set the first table apart.
    end = next((at for at in range(len(out), 0, -1) if out[at - 1].strip()), 0)
    out[end:end] = [f"{name} = {value(each)}\n" for name, each in todo.items()]
    return "".join([*out, *lines[position:]])


def _statement(lines: Sequence[str], start: int) -> tuple[str, int]:
    """Return what begins on a line, a value may go on over several, and where the next begins."""
    for end in range(start + 1, len(lines) + 1):
        statement = "".join(lines[start:end])
        if _parsed(statement) is not _BROKEN:
            return statement, end
    raise Failure(ErrorCode.INTERNAL, f"the setting on line {start + 1} does not end")


def _comment(statement: str) -> str:
    """Return the comment at the end of a statement, with the blanks before it."""
    found = _parsed(statement)
    for at, letter in enumerate(statement):
        # A `#` within a value begins no comment: cut there, the rest says something else, or nothing.
        if letter == "#" and _parsed(statement[:at]) == found:
            before = statement[:at]
            comment = statement[at:].rstrip("\n")
            return before[len(before.rstrip()) :] + comment if "\n" not in comment else ""
    return ""


_BROKEN: Final[dict[str, object]] = {}


def _parsed(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return _BROKEN


def _plain(written: Value) -> object:
    return written if isinstance(written, str) else [*written]


def _bad(path: Path, detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIG, f"{path}: {detail}")
