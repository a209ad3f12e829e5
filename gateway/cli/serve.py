"""`rogatory serve`: runs one gateway process until it is told to stop.

Prints one line when it takes calls, so that whoever started it need not guess: `ready ee 127.0.0.1:7440`.
SIGTERM, SIGINT and operators drain: no new calls, what is in work is finished, what is leased goes back.
"""

import asyncio
import logging
import sys
from pathlib import Path

import click

from gateway import config, material
from gateway.cli import children, garbage, workers
from gateway.cli.diagnostics import write_diagnostics
from gateway.clock import Clock, Elapsed, since_boot, system_clock
from gateway.config import NodeConfig
from gateway.errors import ErrorCode, Refusal
from gateway.node import Node
from gateway.publisher import Publisher


@click.command(epilog="\b\nExample:\n  rogatory serve --config fed/ee/node.toml")
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings."
)
@click.option("--after-restore", is_flag=True, help="Serve from a store that was restored; see docs/retention.md.")
@click.option("--worker", type=int, hidden=True, help="Be this one of `workers`; end with standard input.")
@click.pass_context
def command(ctx: click.Context, path: Path, after_restore: bool, worker: int | None) -> None:
    """Run the gateway processes of a node, one or `workers`, until SIGTERM or SIGINT."""
    write_diagnostics()
    loaded = _load(path)
    write_diagnostics(loaded.config.telemetry.logs)
    for warning in loaded.warnings if worker is None else ():
        logging.getLogger("gateway").warning(warning)
    if loaded.config.workers > 1 and worker is None:
        ctx.exit(asyncio.run(workers.run(path, loaded.config, after_restore=after_restore)))
    asyncio.run(serve(loaded, after_restore=after_restore, worker=worker))


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
    worker: int | None = None,
) -> None:
    """Run a node until SIGTERM, SIGINT or operators end it, or its parent is gone, be it while it starts."""
    node = Node(loaded.config, loaded, clock=clock, elapsed=elapsed, after_restore=after_restore, number=worker or 0)
    stop = asyncio.Event()
    if worker is not None:
        _end_with_parent(asyncio.get_running_loop(), stop)
    try:
        await children.until_told(_run(node, f"ready {loaded.config.node} {loaded.config.listen}"), stop)
    finally:
        await node.stop()


async def _run(node: Node, ready: str) -> None:
    """Run it until operators drain it; say when it takes calls."""
    await node.start()
    with garbage.spared():
        click.echo(ready)
        sys.stdout.flush()
        failed = asyncio.create_task(node.failed())
        done, _ = await asyncio.wait({failed, asyncio.create_task(node.drained())}, return_when=asyncio.FIRST_COMPLETED)
        if failed in done:
            failed.result()


def _end_with_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when standard input ends: nobody writes there, and it ends when whoever holds its other end is gone."""

    def ended() -> None:
        loop.remove_reader(sys.stdin.fileno())
        stop.set()

    loop.add_reader(sys.stdin.fileno(), ended)
