"""Published reports: a folder of static files that any web server can show.

In: a report. Out: the report as page, JSON and CSV, and a list of all that lie there. What was published is not
published otherwise: refused with BAD_INPUT is a report that differs from the one that lies there.
"""

import json
import re
from pathlib import Path
from typing import Final

from gateway.errors import ErrorCode, Failure, Refusal
from gateway.reporting import page, tables
from gateway.reporting.report import Report, check, differences

MAX_BYTES: Final = 4 << 20
"""Of a report: all countries, kinds and grounds that there are take a tenth."""
MAX_REPORTS: Final = 1000
_NAME: Final = re.compile(r"[0-9]{4}(-Q[1-4])?\.json", re.ASCII)


def publish(report: Report, folder: Path) -> list[Path]:
    """Put a report, and the list of all, into a folder; return the files.

    Raises:
        Refusal: BAD_INPUT, another one on that period, or of another node, has been published there.
        Failure: STORE, the folder cannot be written.
    """
    name = str(report["period"])
    published = {path.stem: read(path) for path in _reports(folder)}
    if any(other["node"] != report["node"] for other in published.values()):
        raise Refusal(ErrorCode.BAD_INPUT, "reports of another node lie there", "out")
    if name in published and (changed := differences(published[name], report)):
        detail = f"{name} has been published, and differs in {', '.join(changed)}: two of one period tell more than one"
        raise Refusal(ErrorCode.BAD_INPUT, detail, "out")
    everything = [*(published | {name: report}).values()]
    files = {
        f"{name}.json": json.dumps(report, indent=1, sort_keys=True) + "\n",
        f"{name}.csv": tables.render(report),
        f"{name}.html": page.render(report),
        page.INDEX: page.render_index(everything),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_write(folder / file, text) for file, text in files.items()]
    except OSError as error:
        raise Failure(ErrorCode.STORE, f"cannot write to {folder}: {error.strerror}") from error


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


def _reports(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    if len(found) > MAX_REPORTS:
        raise Refusal(ErrorCode.BAD_INPUT, f"more than {MAX_REPORTS} reports lie in {folder}", "out")
    return found


def _write(path: Path, text: str) -> Path:
    """Write a file so that a reader sees the old one or the new one."""
    aside = path.with_name(f".{path.name}.new")
    aside.write_bytes(text.encode())
    aside.replace(path)
    return path
