"""The machine that figures come from, as far as it tells.

In: the folder that stores are made in. Out: processor, memory, disk, versions, and what else was running. Without it a
figure says nothing.
"""

import os
import platform
import re
import sysconfig
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from time import perf_counter
from typing import Any, Final

LIBRARIES: Final = ("grpcio", "protobuf", "pynacl", "pysqlite3")
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_SYNCS: Final = 50
_PAGE: Final = bytes(4096)


def describe(folder: Path) -> dict[str, Any]:
    """Return what is known of this machine."""
    return {
        "processor": _first("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "python": interpreter(platform.python_version(), sysconfig.get_config_var("CONFIG_ARGS") or ""),
        "libraries": {name: version(name) for name in LIBRARIES},
        "file_system": file_system(folder.resolve(), Path("/proc/self/mounts").read_text()),
        "fsync_ms": fsync_seconds(folder) * 1000,
        "load_before": os.getloadavg()[0],
    }


def interpreter(number: str, built_with: str) -> str:
    """Return an interpreter's version, and whether it was built for speed: one that was not takes a tenth longer.

    Args:
        number: its version.
        built_with: options of its configure script.
    """
    return number if "--enable-optimizations" in built_with else f"{number} (built without --enable-optimizations)"


def load_now() -> float:
    """Return how many processes wanted to run during the last minute, on average."""
    return os.getloadavg()[0]


def fsync_seconds(folder: Path) -> float:
    """Return how long it takes until a page is on the disk of a folder, median of some."""
    taken = []
    with TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            start = perf_counter()
            file.write(_PAGE)
            file.flush()
            os.fdatasync(file.fileno())
            taken.append(perf_counter() - start)
    return median(taken)


def _first(path: str, field: str) -> str:
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return "unknown"


def file_system(folder: Path, mounts: str) -> str:
    """Return the type of the file system that a folder is on.

    Args:
        folder: absolute.
        mounts: as the system tells them (fstab(5)): of all above the folder the nearest counts, and of those at one
            place the last, which hides the others.
    """
    nearest, found = 0, "unknown"
    for line in mounts.splitlines():
        _, escaped, kind, *_ = line.split()
        mount = _OCTAL.sub(lambda each: chr(int(each[1], 8)), escaped)
        if folder.is_relative_to(mount) and len(mount) >= nearest:
            nearest, found = len(mount), kind
    return found
