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
from gateway.cli import garbage, workers
from gateway.clock import Clock, Elapsed, since_boot, system_clock
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
@click.option("--worker", is_flag=True, hidden=True, help="Be one of `workers`; end with standard input.")
@click.pass_context
def command(ctx: click.Context, path: Path, after_restore: bool, worker: bool) -> None:
    """Run the gateway processes of a node, one or `workers`, until SIGTERM or SIGINT."""
    write_diagnostics()
    loaded = _load(path)
    for warning in () if worker else loaded.warnings:
        logging.getLogger("gateway").warning(warning)
    if loaded.config.workers > 1 and not worker:
        ctx.exit(asyncio.run(workers.run(path, loaded.config, after_restore=after_restore)))
    asyncio.run(serve(loaded, after_restore=after_restore, with_parent=worker))


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


async def serve(
    loaded: material.NodeMaterial,
    clock: Clock = system_clock,
    elapsed: Elapsed = since_boot,
    *,
    after_restore: bool = False,
    with_parent: bool = False,
) -> None:
    """Run a node until SIGTERM or SIGINT, or until its parent is gone, and say when it takes calls."""
    node = Node(loaded.config, loaded, clock=clock, elapsed=elapsed, after_restore=after_restore)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if with_parent:
        _end_with_parent(loop, stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await node.start()
        garbage.spare()
        click.echo(f"ready {loaded.config.node} {loaded.config.listen}")
        sys.stdout.flush()
        stopped, failed = asyncio.create_task(stop.wait()), asyncio.create_task(node.failed())
        done, _ = await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
        if failed in done:
            failed.result()
    finally:
        await node.stop()


def _end_with_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when standard input ends: nobody writes there, and it ends when whoever holds its other end is gone."""

    def ended() -> None:
        loop.remove_reader(sys.stdin.fileno())
        stop.set()

    loop.add_reader(sys.stdin.fileno(), ended)
