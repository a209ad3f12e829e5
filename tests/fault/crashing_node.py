"""A real node that kills itself, without warning, at one point of the path.

    python -m tests.fault.crashing_node CONFIG ARM STAGE

Runs the node of CONFIG as `rogatory serve` does. Once ARM has been passed (or at once, if ARM is "-"), the next time
that STAGE is passed the process sends itself SIGKILL: no handler runs, nothing is flushed.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from gateway import config
from gateway.material import check_node
from gateway.node import Node


class Killer:
    """Watches the stages and kills the process at one of them."""

    def __init__(self, arm: str, stage: str) -> None:
        self._armed = arm == "-"
        self._arm = arm
        self._stage = stage

    def __call__(self, stage: str) -> None:
        if self._armed and stage == self._stage:
            os.kill(os.getpid(), signal.SIGKILL)
        if stage == self._arm:
            self._armed = True


async def run(path: Path, arm: str, stage: str) -> None:
    settings = config.load(config.NodeConfig, path)
    node = Node(settings, check_node(settings), watch=Killer(arm, stage))
    await node.start()
    print(f"ready {settings.node} {settings.listen}", flush=True)
    await node.failed()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
