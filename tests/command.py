"""`rogatory …` from its arguments to its exit, in a process that was forked for it.

What a person starts differs in the interpreter, which is fresh: tests of `serve`, of the demos and of the terminal
start that.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import os
import sys
from pathlib import Path

from gateway.cli import (
    backup,
    case,
    check_config,
    compact,
    enrol,
    fsck,
    happenings,
    inbox,
    keys,
    main,
    registrar,
    restore,
    self_test,
    send,
    serve,
    trace,
)

# Imported for those who are forked off.
PRELOADED = (
    backup,
    case,
    check_config,
    compact,
    enrol,
    fsck,
    happenings,
    inbox,
    keys,
    registrar,
    restore,
    self_test,
    send,
    serve,
    trace,
)


def run(arguments: tuple[str, ...], streams: Path, folder: str, environment: dict[str, str]) -> None:
    """Be the command; both its streams go into files."""
    for number, name in ((1, "out"), (2, "err")):
        with (streams / name).open("wb") as file:
            os.dup2(file.fileno(), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["rogatory", *arguments]
    main()
