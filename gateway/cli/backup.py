"""`rogatory backup`: a copy of a node's store at one moment, while the node serves; and the oldest copies gone."""

from pathlib import Path

import click

from gateway.cli import output
from gateway.clock import system_clock
from gateway.config import NodeConfig, load
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.printable import printable
from gateway.store import backup


@click.command(
    epilog="\b\nExample:\n  rogatory backup --config fed/ee/node.toml --out /backup/ee-20261121"
    "\n  rogatory backup --config fed/ee/node.toml --into /backup --keep 14"
)
@click.option("--config", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings.")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder of backups: the new one is called by node and time.",
)
@click.option(
    "--keep", type=click.IntRange(1, 10_000), help="How many stay in that folder; older ones go once the new is whole."
)
@output.json_option
@click.pass_context
def command(
    ctx: click.Context, config: Path, out: Path | None, into: Path | None, keep: int | None, as_json: bool
) -> None:
    """Copy a node's store and its sealed files while it serves, with a manifest of digests.

    Keys are not copied, but named; nor is a bucket: whoever runs it keeps it (versioning, replication). Exit code 1 if
    files were missing that the store names; all the rest is in the backup.
    """
    settings, now = load(NodeConfig, config), system_clock()
    place = _place(out, into, keep, backup.name(settings.node, now))
    with output.bar() as tell:
        made = backup.make(settings, config, place, now, tell)
    gone = [] if into is None or keep is None else backup.thin(into, settings.node, keep, place)
    if as_json:
        output.emit_json(made.model_dump(mode="json") | {"folder": str(place), "deleted": [str(each) for each in gone]})
    else:
        _show(made, place)
        for each in gone:
            click.echo(f"deleted, as older than the newest {keep}: {each}")
    if made.missing:
        ctx.exit(output.FAILED)


def _place(out: Path | None, into: Path | None, keep: int | None, name: str) -> Path:
    if (out is None) == (into is None) or (into is None and keep is not None):
        raise Refusal(ErrorCode.BAD_INPUT, "give --out, or --into and perhaps --keep", "out")
    if into is None:
        return Path(str(out))
    try:
        into.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise Failure(ErrorCode.STORE, f"cannot make {into}: {error.strerror}") from error
    return into / name


def _show(made: backup.Manifest, out: Path) -> None:
    size = sum(entry.size for entry in made.files)
    click.echo(f"node {made.node}: {made.envelopes} envelopes, {made.receipts} receipts, {size} bytes in {out}")
    click.echo(f"sealed files: {len(made.attachments)}, {sum(file.size for file in made.attachments)} bytes")
    click.echo(f"log: {made.log_size} entries, root {made.log_root}")
    if backup.BUCKET in made.not_included:
        click.echo("sealed files are in a bucket, and not in this backup: turn on its versioning or replicate it")
    click.echo("not in it, keep them elsewhere:")
    for name, paths in made.not_included.items():
        click.echo(f"  {name}: {printable(', '.join(paths))}")
    for place in made.missing:
        click.echo(f"missing or damaged, and so not in it: file {place}", err=True)
