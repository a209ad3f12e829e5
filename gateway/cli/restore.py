"""`rogatory restore`: a store put back from a backup; the node then starts with `serve --after-restore` alone."""

from pathlib import Path

import click

from gateway.cli import fsck, output
from gateway.clock import system_clock
from gateway.config import NodeConfig, load
from gateway.store import backup
from gateway.store.fsck import Result


@click.command(epilog="\b\nExample:\n  rogatory restore --config fed/ee/node.toml --from /backup/ee-20261121")
@click.option("--config", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings.")
@click.option("--from", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="A backup.")
@output.json_option
def command(config: Path, folder: Path, as_json: bool) -> None:
    """Put a node's store and sealed files back where the settings say, once every digest and promise is checked.

    Nothing is overwritten. What came after the backup is not in it: read docs/retention.md before the node serves.
    """
    settings = load(NodeConfig, config)
    directory = fsck.directory_of(settings)
    with output.bar() as tell:
        made, findings = backup.restore(settings, folder, directory, system_clock(), tell)
    if as_json:
        output.emit_json({"store": str(settings.store), "made_at": made.made_at.isoformat(), "log_size": made.log_size})
        return
    passed = sum(finding.result is Result.PASSED for finding in findings)
    click.echo(f"{settings.store}: as it was at {made.made_at:%Y-%m-%d %H:%M:%S} UTC, {passed} checks passed")
    if backup.BUCKET in made.not_included:
        click.echo("its sealed files are in a bucket, where nobody has looked: rogatory fsck --config")
    for place in made.missing:
        click.echo(f"was missing before the backup: file {place}", err=True)
    click.echo("what came after is not in it; to serve from it: rogatory serve --after-restore")
