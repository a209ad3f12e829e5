"""`rogatory restore`: a store put back from a backup; the node then starts with `serve --after-restore` alone.

A database is put back by the tools of its server, and no tool of theirs tells the node: that is said here.
"""

from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.cli import fsck, output
from gateway.clock import system_clock
from gateway.config import NodeConfig, load
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.store import backup
from gateway.store.fsck import Finding, Result


@click.command(
    epilog="\b\nExample:\n  rogatory restore --config fed/ee/node.toml --from /backup/ee-20261121"
    "\n  rogatory restore --config node.toml --database-of 2026-11-21T03:00:00"
)
@click.option("--config", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings.")
@click.option("--from", "folder", type=click.Path(path_type=Path, file_okay=False), help="A backup.")
@click.option(
    "--database-of",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S"]),
    help="The moment (UTC) that the database server has put the node's database back to.",
)
@output.json_option
def command(config: Path, folder: Path | None, database_of: datetime | None, as_json: bool) -> None:
    """Put a node's store and sealed files back where the settings say, once every digest and promise is checked.

    A database is put back by its server; this checks it, and notes that it was. Nothing is overwritten. What came after
    the backup is not in it: read docs/retention.md before the node serves.
    """
    settings = load(NodeConfig, config)
    directory = fsck.directory_of(settings)
    if (folder is None) == (database_of is None):
        raise Refusal(ErrorCode.BAD_INPUT, "give --from, or --database-of", "from")
    if database_of is not None:
        _note(settings, database_of.replace(tzinfo=UTC), directory, as_json=as_json)
        return
    with output.bar() as tell:
        made, findings = backup.restore(settings, Path(str(folder)), directory, system_clock(), tell)
    if as_json:
        output.emit_json({"store": str(settings.store), "made_at": made.made_at.isoformat(), "log_size": made.log_size})
        return
    _show(settings.store, made.made_at, findings)
    if backup.BUCKET in made.not_included:
        click.echo("its sealed files are in a bucket, where nobody has looked: rogatory fsck --config")
    for place in made.missing:
        click.echo(f"was missing before the backup: file {place}", err=True)


def _note(settings: NodeConfig, made_at: datetime, directory: Directory, *, as_json: bool) -> None:
    with output.bar() as tell:
        findings = backup.mark_database(settings, made_at, directory, system_clock(), tell)
    if as_json:
        output.emit_json({"store": str(settings.store), "made_at": made_at.isoformat()})
    else:
        _show(settings.store, made_at, findings)


def _show(store: Path | str, made_at: datetime, findings: list[Finding]) -> None:
    passed = sum(finding.result is Result.PASSED for finding in findings)
    click.echo(f"{store}: as it was at {made_at:%Y-%m-%d %H:%M:%S} UTC, {passed} checks passed")
    for finding in findings:
        for each in finding.first:
            click.echo(f"was lost before: {each}", err=True)
    click.echo("what came after is not in it; to serve from it: rogatory serve --after-restore")
