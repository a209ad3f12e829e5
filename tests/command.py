"""`rogatory …` from its arguments to its exit, in a process that was forked for it.

What a person starts differs in the interpreter, which is fresh: tests of `serve`, of the demos and of the terminal
start that.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import gc
import os
import sys
from importlib import import_module
from pathlib import Path
from runpy import run_path

from gateway import cli

PRELOADED = (
    "audit",
    "backup",
    "case",
    "check_config",
    "compact",
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
    "trace",
)
"""Commands that are imported for those who are forked off."""
for name in PRELOADED:
    import_module(f"{cli.__name__}.{name}")
# Who looks through all this for garbage has all of it copied.
gc.freeze()


def run(arguments: tuple[str, ...], streams: Path, folder: str, environment: dict[str, str]) -> None:
    """Be the command; both its streams go into files."""
    _begin(streams, folder, environment)
    sys.argv = ["rogatory", *arguments]
    cli.main()


def run_script(name: str, streams: Path, folder: str, environment: dict[str, str]) -> None:
    """Be `python NAME`, in the same way."""
    _begin(streams, folder, environment)
    sys.argv = [name]
    sys.path.insert(0, folder)
    run_path(name, run_name="__main__")


def _begin(streams: Path, folder: str, environment: dict[str, str]) -> None:
    for number, name in ((1, "out"), (2, "err")):
        with (streams / name).open("wb") as file:
            os.dup2(file.fileno(), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
