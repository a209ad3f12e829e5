"""Where a run writes what it has measured: looked at before it begins, for it takes a quarter of an hour.

In: a file for the figures, and what goes beside it. Out: the same, as files that appear whole or not at all. Refuses
with BAD_INPUT names that would be the same, or are taken by something else; STORE, nothing can be written there.
"""

from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from gateway.errors import ErrorCode, Failure, Refusal
from gateway.private_files import swap

MODE: Final = 0o644
"""Figures are no secret."""


def place(out: Path, *, suffix: str) -> Path:
    """Return the absolute path of a file for figures, whose folder is made.

    Args:
        out: the file.
        suffix: of what is put beside it, e.g. `.svg`; empty: a folder.

    Raises:
        Refusal: BAD_INPUT.
        Failure: STORE.
    """
    out = out.resolve()  # servers of others run elsewhere
    beside = out.with_suffix(suffix)
    if beside == out:
        raise Refusal(ErrorCode.BAD_INPUT, f"pictures go to {beside.name} beside it; another ending is wanted", "out")
    if beside.exists() and beside.is_dir() != (not suffix):
        raise Refusal(ErrorCode.BAD_INPUT, f"pictures go to {beside}, and that is something else", "out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out.parent):
            return out
    except OSError as error:
        raise _failure(out.parent, error) from error


def write(path: Path, text: str) -> None:
    """Write a file; what was there stays until the new one is there whole.

    Raises:
        Failure: STORE.
    """
    try:
        swap(path, text.encode(), mode=MODE)
    except OSError as error:
        raise _failure(path, error) from error


def _failure(path: Path, error: OSError) -> Failure:
    return Failure(ErrorCode.STORE, f"cannot write {path}: {error.strerror}")
