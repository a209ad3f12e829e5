"""`rogatory serve`: runs one gateway process until it is told to stop.

Prints one line when it takes calls, so that whoever started it need not guess: `ready ee 127.0.0.1:7440`.
SIGTERM and SIGINT drain: no new calls, what is in work is finished, what is leased goes back.
"""

import asyncio
import json
import logging
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from gateway import config, material
from gateway.clock import Clock, system_clock
from gateway.config import NodeConfig
from gateway.errors import ErrorCode, Refusal
from gateway.node import Node
from gateway.publisher import Publisher

# The attributes that a record has without our adding any.
_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """Diagnostics as one JSON object a line: constant text plus fields, for machines to read."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "what": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _PLAIN}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


@click.command(epilog="\b\nExample:\n  rogatory serve --config fed/ee/node.toml")
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings."
)
@click.option("--after-restore", is_flag=True, help="Serve from a store that was restored; see docs/retention.md.")
def command(path: Path, after_restore: bool) -> None:
    """Run a gateway process of a node until SIGTERM or SIGINT."""
    write_diagnostics()
    loaded = _load(path)
    for warning in loaded.warnings:
        logging.getLogger("gateway").warning(warning)
    asyncio.run(serve(loaded, after_restore=after_restore))


def write_diagnostics() -> None:
    """Write diagnostics to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("gateway").setLevel(logging.INFO)


def _load(path: Path) -> material.NodeMaterial:
    settings = config.load(NodeConfig, path)
    try:
        return material.check_node(settings, path=path)
    except Refusal as error:
        if settings.publisher is None or error.code is not ErrorCode.BAD_DIRECTORY:
            raise
    # It was off for longer than what it had published counts, and nobody else can publish anew.
    Publisher(settings.publisher, material.passphrase_of(settings, None), system_clock).renew(system_clock())
    return material.check_node(settings, path=path)


async def serve(loaded: material.NodeMaterial, clock: Clock = system_clock, *, after_restore: bool = False) -> None:
    """Run a node until SIGTERM or SIGINT, and say when it takes calls."""
    node = Node(loaded.config, loaded, clock=clock, after_restore=after_restore)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await node.start()
        click.echo(f"ready {loaded.config.node} {loaded.config.listen}")
        sys.stdout.flush()
        stopped, failed = asyncio.create_task(stop.wait()), asyncio.create_task(node.failed())
        done, _ = await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
        if failed in done:
            failed.result()
    finally:
        await node.stop()
