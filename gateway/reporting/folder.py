"""Published reports: a folder of static files that any web server can show.

In: a report. Out: the report as page, JSON and CSV, and a list of all that lie there. What was published is not
published otherwise: refused with BAD_INPUT is a report that differs from the one that lies there.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from gateway import private_files
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.reporting import page, tables
from gateway.reporting.report import Report, check, differences

MAX_BYTES: Final = 4 << 20
"""Of a report: all countries, kinds and grounds that there are take a tenth."""
MAX_REPORTS: Final = 1000
READABLE: Final = 0o644
_NAME: Final = re.compile(r"[0-9]{4}(-Q[1-4])?\.json", re.ASCII)


def publish(report: Report, folder: Path) -> list[Path]:
    """Put a report, and the list of all, into a folder; return the files.

    Raises:
        Refusal: BAD_INPUT, another one on that period, or of another node, has been published there.
        Failure: STORE, the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            files = _files(report, folder)
            for file, text in files.items():
                # Others read it: a web server is another user.
                private_files.swap(folder / file, text.encode(), mode=READABLE)
    except OSError as error:
        raise Failure(ErrorCode.STORE, f"cannot write to {folder}: {error.strerror}") from error
    return [folder / file for file in files]


def _files(report: Report, folder: Path) -> dict[str, str]:
    name = str(report["period"])
    published = {path.stem: read(path) for path in _reports(folder)}
    if any(other["node"] != report["node"] for other in published.values()):
        raise Refusal(ErrorCode.BAD_INPUT, "reports of another node lie there", "out")
    if name in published and (changed := differences(published[name], report)):
        detail = f"{name} has been published, and differs in {', '.join(changed)}: two of one period tell more than one"
        raise Refusal(ErrorCode.BAD_INPUT, detail, "out")
    return {
        f"{name}.json": json.dumps(report, indent=1, sort_keys=True) + "\n",
        f"{name}.csv": tables.render(report),
        f"{name}.html": page.render(report),
        page.INDEX: page.render_index([*(published | {name: report}).values()]),
    }


def read(path: Path) -> Report:
    """Return a published report.

    Raises:
        Refusal: BAD_INPUT, there is none.
    """
    try:
        with path.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise Refusal(ErrorCode.BAD_INPUT, f"{path} is too large to be a report")
        return check(json.loads(raw))
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"{path} is no JSON") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder against other runs, which would not list each other's reports; wait for them."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A share that locks no folder is published to all the same: two runs at once are a mistake of a timer.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _reports(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    if len(found) > MAX_REPORTS:
        raise Refusal(ErrorCode.BAD_INPUT, f"more than {MAX_REPORTS} reports lie in {folder}", "out")
    return found
