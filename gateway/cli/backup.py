"""`rogatory backup`: a copy of a node's store at one moment, while the node serves."""

from pathlib import Path

import click

from gateway.cli import fsck, output
from gateway.clock import system_clock
from gateway.config import NodeConfig, load
from gateway.store import backup


@click.command(epilog="\b\nExample:\n  rogatory backup --config fed/ee/node.toml --out /backup/ee-20261121")
@click.option("--config", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@output.json_option
def command(config: Path, out: Path, as_json: bool) -> None:
    """Copy a node's store while it serves, with a manifest of digests. Keys are not copied, but named."""
    settings = load(NodeConfig, config)
    with fsck.bar() as tell:
        made = backup.make(settings, config, out, system_clock(), tell)
    if as_json:
        output.emit_json(made.model_dump(mode="json"))
        return
    size = sum(entry.size for entry in made.files)
    click.echo(f"node {made.node}: {made.envelopes} envelopes, {made.receipts} receipts, {size} bytes in {out}")
    click.echo(f"log: {made.log_size} entries, root {made.log_root}")
    click.echo("not in it, keep them elsewhere:")
    for name, paths in made.not_included.items():
        click.echo(f"  {name}: {output.printable(', '.join(paths))}")
