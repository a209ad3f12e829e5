"""`rogatory …` from its arguments to its exit, in a process that was forked for it.

What a person starts differs in the interpreter, which is fresh: tests of the demos, of the deployment and of the
terminal start that, and the demos start their nodes so.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import gc
import os
import sys
from importlib import import_module
from multiprocessing.connection import Connection
from runpy import run_path

from gateway import cli

PRELOADED = (
    "audit",
    "backup",
    "case",
    "check_config",
    "compact",
    "console",
    "enrol",
    "fsck",
    "happenings",
    "inbox",
    "keys",
    "move",
    "registrar",
    "restore",
    "self_test",
    "send",
    "serve",
    "serve_log",
    "trace",
    "witness",
)
"""Commands that are imported for those who are forked off."""
for name in PRELOADED:
    import_module(f"{cli.__name__}.{name}")
# Who looks through all this for garbage has all of it copied.
gc.freeze()


def run(out: Connection, err: Connection, arguments: tuple[str, ...], folder: str, environment: dict[str, str]) -> None:
    """Be the command."""
    _begin(out, err, folder, environment)
    sys.argv = ["rogatory", *arguments]
    cli.main()


def run_script(out: Connection, err: Connection, name: str, folder: str, environment: dict[str, str]) -> None:
    """Be `python NAME`."""
    _begin(out, err, folder, environment)
    sys.argv = [name]
    sys.path.insert(0, folder)
    run_path(name, run_name="__main__")


def _begin(out: Connection, err: Connection, folder: str, environment: dict[str, str]) -> None:
    for number, pipe in ((1, out), (2, err)):
        os.dup2(pipe.fileno(), number)
        # Whoever reads to the end waits for all who can write.
        pipe.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
