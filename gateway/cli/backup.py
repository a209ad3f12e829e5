"""`rogatory backup`: a copy of a node's store at one moment, while the node serves."""

from pathlib import Path

import click

from gateway.cli import output
from gateway.clock import system_clock
from gateway.config import NodeConfig, load
from gateway.store import backup


@click.command(epilog="\b\nExample:\n  rogatory backup --config fed/ee/node.toml --out /backup/ee-20261121")
@click.option("--config", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@output.json_option
@click.pass_context
def command(ctx: click.Context, config: Path, out: Path, as_json: bool) -> None:
    """Copy a node's store and its sealed files while it serves, with a manifest of digests.

    Keys are not copied, but named; nor is a bucket: whoever runs it keeps it (versioning, replication). Exit code 1 if
    files were missing that the store names; all the rest is in the backup.
    """
    settings = load(NodeConfig, config)
    with output.bar() as tell:
        made = backup.make(settings, config, out, system_clock(), tell)
    if as_json:
        output.emit_json(made.model_dump(mode="json"))
    else:
        _show(made, out)
    if made.missing:
        ctx.exit(output.FAILED)


def _show(made: backup.Manifest, out: Path) -> None:
    size = sum(entry.size for entry in made.files)
    click.echo(f"node {made.node}: {made.envelopes} envelopes, {made.receipts} receipts, {size} bytes in {out}")
    click.echo(f"sealed files: {len(made.attachments)}, {sum(file.size for file in made.attachments)} bytes")
    click.echo(f"log: {made.log_size} entries, root {made.log_root}")
    if backup.BUCKET in made.not_included:
        click.echo("sealed files are in a bucket, and not in this backup: turn on its versioning or replicate it")
    click.echo("not in it, keep them elsewhere:")
    for name, paths in made.not_included.items():
        click.echo(f"  {name}: {output.printable(', '.join(paths))}")
    for place in made.missing:
        click.echo(f"missing or damaged, and so not in it: file {place}", err=True)
