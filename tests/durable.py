"""What the tests of durable writing share: the order in which files and folders are synced, and get their names."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest


def watched(monkeypatch: pytest.MonkeyPatch, naming: str) -> list[str]:
    """Return the steps from now on: `file`, `folder`, and how a file gets its name, as the method of Path is called."""
    steps: list[str] = []
    fsync, name = os.fsync, getattr(Path, naming)

    def synced(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def named(self: Path, target: Path) -> Any:
        steps.append(naming)
        return name(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, naming, named)
    return steps
