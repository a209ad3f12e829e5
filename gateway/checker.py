"""A process that checks Ed25519 signatures for a node, and can do nothing else.

    python -m gateway.checker

In: on standard input, jobs: four bytes of length, then packed checks (`gateway.ed25519.pack`). Out: on standard
output, for each job four bytes of length, then one byte a check: 1 if it holds, else 0. It knows no key but public ones
and opens nothing. It ends with its input, so it cannot outlive the node.
"""

import signal
import sys
from typing import BinaryIO, Final

from gateway import ed25519

LENGTH_BYTES: Final = 4


def serve(jobs: BinaryIO, said: BinaryIO) -> None:
    """Answer jobs until there are no more."""
    while head := jobs.read(LENGTH_BYTES):
        answers = bytes(map(ed25519.holds, ed25519.unpack(jobs.read(int.from_bytes(head, "big")))))
        said.write(len(answers).to_bytes(LENGTH_BYTES, "big") + answers)
        said.flush()


if __name__ == "__main__":
    # A terminal tells the whole group to stop; what the node has asked, it shall still hear.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
