"""The end of the demo: the case as one file, judged as whoever gets it judges it.

In: a federation whose case is on its prosecutor's disk, a folder. Out: in the folder the case file, the root metadata,
and the report of that file as page and as PDF, for people to open. They stay when the demo has gone.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clients.casefile import archive
from clients.casefile.contents import PRINT, REPORT
from gateway.cli.case.export import SUFFIX
from gateway.cli.children import LAST_CHARACTERS, child, ended
from gateway.cli.demo import papers
from gateway.cli.development import Summary
from gateway.errors import ErrorCode, Failure
from gateway.private_files import swap

WHO: Final = "ee/prosecutor"
"""It asked, and so holds of the case what was asked, what was answered, and all receipts between."""
_ROOT: Final = "root.json"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Handed:
    """What was handed over.

    Args:
        case_file: all of it.
        report: the page in it.
        printed: the PDF in it.
        root: what it was judged by.
        checks: as `rogatory verify --json` tells them; none failed.
    """

    case_file: Path
    report: Path
    printed: Path
    root: Path
    checks: list[dict[str, Any]]

    def as_object(self) -> dict[str, object]:
        """Return what `--json` prints of it."""
        paths = {"case_file": self.case_file, "report": self.report, "report_pdf": self.printed, "root": self.root}
        return {**{name: str(path) for name, path in paths.items()}, "checks": self.checks}


async def hand_over(summary: Summary, case: str, folder: Path, tell: Tell) -> Handed:
    """Export a case as the prosecutor, and verify the file offline.

    Args:
        summary: the federation.
        case: its id.
        folder: where the files are put, absolute.
        tell: says a line to the audience.

    Raises:
        Failure: STORE, the folder cannot be written; INTERNAL, a command did not work, or the file does not hold.
    """
    tell(f"\n6. The prosecutor hands case {case} to a court: one file, which anybody can check.")
    name, root = f"{case}{SUFFIX}", summary.root.read_bytes()
    terms = (
        "--by",
        papers.PROSECUTOR.official,
        "--purpose",
        "main hearing",
        "--authority",
        f"order {papers.ORDER_REFERENCE} of 20 November 2026",
    )
    config = ("--config", str(summary.config(WHO)))
    with tempfile.TemporaryDirectory(prefix="rogatory-laptop-") as laptop:
        made = Path(laptop) / name
        await rogatory("case", "export", case, "--out", str(made), *terms, *config, "--json")
        (made.parent / _ROOT).write_bytes(root)
        told = json.loads(await _verified_elsewhere(made, _ROOT))
        raw = made.read_bytes()
    members = archive.unpack(raw)
    # Only now, and all at once: another demo may put its own there, and no file is to stand beside another one's root.
    _put(folder, {_ROOT: root, name: raw, REPORT: members[REPORT], PRINT: members[PRINT]})
    handed = Handed(folder / name, folder / REPORT, folder / PRINT, folder / _ROOT, told["checks"])
    for check in handed.checks:
        tell(f"  {check['number']:>2} {check['name']:<10} {check['status']:<10} {check['detail']}")
    return handed


def prepare(folder: Path) -> None:
    """Make the folder, and see that something can be put there: before the story, not after it.

    Raises:
        Failure: STORE, it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error


def _put(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        for name, content in files.items():
            swap(folder / name, content)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> Failure:
    return Failure(ErrorCode.STORE, f"cannot write to {folder}: {error.strerror}")


async def _verified_elsewhere(case_file: Path, root: str) -> str:
    """Verify a file in a new process that has no network, no settings, no home, and two files before it."""
    words = ("verify", case_file.name, "--root", root, "--json")
    code = os.pathsep.join(each for each in sys.path if each)
    cwd = str(case_file.parent)
    return await rogatory(*words, module="gateway.cli.demo.offline", cwd=cwd, env={"PYTHONPATH": code})


async def rogatory(
    *words: str, module: str = "gateway.cli", cwd: str | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run a command of ours in a process of its own, and return what it says.

    Args:
        words: its arguments.
        module: what runs it.
        cwd: its folder; None for ours.
        env: its environment; None for ours.

    Raises:
        Failure: INTERNAL, it did not work; UNAVAILABLE, it did not end.
    """
    async with child(module, *words, cwd=cwd, env=env) as running:
        done = await ended(running)
    if done.status:
        raise Failure(ErrorCode.INTERNAL, f"{' '.join(words)}: {(done.err or done.out)[-LAST_CHARACTERS:]}")
    return done.out
