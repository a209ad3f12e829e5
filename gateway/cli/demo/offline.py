"""A command of ours in a process that cannot speak to anybody: every use of a socket ends it.

In: arguments, as of `rogatory`. Out: what the command says. So a case file is verified as on a laptop without network.
"""

import sys

from gateway import cli

CUT_OFF = 70
"""The exit status of a process that wanted to speak to somebody (EX_SOFTWARE)."""


def refuse_sockets(event: str, _arguments: tuple[object, ...]) -> None:
    """Audit hook: let no socket be made, and no name be looked up."""
    if event.startswith("socket."):
        sys.stderr.write(f"{event}: this process was told to work offline\n")
        sys.exit(CUT_OFF)


if __name__ == "__main__":
    sys.addaudithook(refuse_sockets)
    cli.main()
