"""What the tests of durable writing share: the order in which files and folders are synced, and get their names."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest


def watched(monkeypatch: pytest.MonkeyPatch, naming: str) -> list[str]:
    """Return the steps from now on: `file`, `folder`, and how a file gets its name, as the method of Path is called.

    A file of which nothing has been written out yet is `nothing`: what is synced of it is not what it will hold.
    """
    steps: list[str] = []
    fsync, name = os.fsync, getattr(Path, naming)

    def synced(descriptor: int) -> None:
        status = os.fstat(descriptor)
        steps.append("folder" if stat.S_ISDIR(status.st_mode) else "file" if status.st_size else "nothing")
        fsync(descriptor)

    def named(self: Path, target: Path) -> Any:
        steps.append(naming)
        return name(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, naming, named)
    return steps
