"""A node of the demo: what `rogatory serve` runs, but with a clock that whoever started it can put forward.

In: settings, and by how many seconds the clock is behind at first; then a line on standard input for each time that it
is put forward: by how many it is behind from now on. Out: as `rogatory serve`, and the same line once it is so. A node
of a federation has no such clock: `serve` knows nothing of this module, and of no setting that would lead here.
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from gateway import dumps, material
from gateway.cli import serve
from gateway.cli.demo.clock import DemoClock
from gateway.cli.diagnostics import write_diagnostics


async def run(path: Path, clock: DemoClock) -> None:
    """Run a node until SIGTERM or SIGINT."""
    listening = asyncio.create_task(_listen(clock))
    try:
        # Nobody has set a clock wrongly where hours are said to have passed.
        await serve.serve(material.load_node(path, clock), clock, lambda: clock().timestamp())
    finally:
        listening.cancel()


async def _listen(clock: DemoClock) -> None:
    """Put the clock forward whenever a line says so, until standard input ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        clock.behind = timedelta(seconds=float(line))
        sys.stdout.write(line.decode())
        sys.stdout.flush()


if __name__ == "__main__":
    dumps.forbid()
    write_diagnostics()
    asyncio.run(run(Path(sys.argv[1]), DemoClock(timedelta(seconds=float(sys.argv[2])))))
