"""Files that a command writes where a person says: whole or not at all, and never in the place of what it has read.

In: where to, and what was read. Out: a file to write into, which takes the place of an older one when it is complete.
Refuses with BAD_INPUT to write over what was read.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gateway.errors import ErrorCode, Refusal


def check_other(out: Path, field: str, *read: Path | None) -> None:
    """Check that a file to be written is none of those that were named to be read; a slip must cost nobody a key.

    Raises:
        Refusal: BAD_INPUT, it is one of them.
    """
    for path in filter(None, read):
        if out.exists() and path.exists() and out.samefile(path):
            raise Refusal(ErrorCode.BAD_INPUT, f"{out} would take the place of what is read: name another", field)


def check_new(out: Path) -> None:
    """Check that nothing has the name of a new file.

    Raises:
        Refusal: BAD_INPUT, something has.
    """
    if out.exists():
        raise Refusal(ErrorCode.BAD_INPUT, f"{out} exists; nothing is overwritten", "out")


@contextmanager
def written(path: Path, *, text: bool = True) -> Iterator[Any]:
    """Yield a new file, text with its ends of lines as they are written, or bytes.

    It gets the name when the block ends well. Until then, and however the block ends, what had the name has it.

    Raises:
        OSError: it cannot be written.
    """
    place = path.resolve()
    if place.exists() and not place.is_file():
        with _opened(place, "w", text=text) as file:  # a pipe, or a device: there is nothing to keep
            yield file
        return
    draft = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        with _opened(draft, "x", text=text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)


def _opened(path: Path, mode: str, *, text: bool) -> IO[Any]:
    return path.open(mode, encoding="utf-8", newline="") if text else path.open(f"{mode}b")
