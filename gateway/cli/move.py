"""`rogatory move`: a node's store moved from a file to a database, back, or to another of either; the node is stopped.

Whatever ends it, the same command typed again finishes it. The settings are their owner's: what they say from then on
is told, and changed by nobody here.
"""

from pathlib import Path

import click

from gateway import depot
from gateway.cli import fsck, output
from gateway.clock import system_clock
from gateway.config import DATABASES, NodeConfig, load, read
from gateway.printable import printable
from gateway.settings_file import value
from gateway.store import moving
from gateway.store.fsck import Result
from gateway.store.moving import Moved, Place


@click.command(
    epilog='\b\nExample:\n  rogatory move --config node.toml --to "postgresql://rogatory@/node?host=/run/postgresql"'
    "\n  rogatory move --config node.toml --to /var/lib/rogatory/node/store/node.db"
)
@click.option("--config", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings.")
@click.option("--to", required=True, help="The address of an empty database, or a file that is not there.")
@output.json_option
def command(config: Path, to: str, as_json: bool) -> None:
    """Move the store of a node that is stopped, and check every row and promise before it counts.

    The settings name the store that is moved. It serves no more afterwards; sealed files stay where they are. What ends
    half way (even by SIGKILL) is begun anew, or finished, by the same command.
    """
    settings = load(NodeConfig, config)
    target: Place = to if to.startswith(DATABASES) else Path(to).absolute()
    files = depot.folder_of(settings)
    directory = fsck.directory_of(settings)
    with output.bar() as tell:
        done = moving.move(settings, target, directory, system_clock(), tell)
    # A folder that goes by the store's name has to be named now.
    folder = files if settings.attachments.folder is None else None
    if as_json:
        output.emit_json(_as_object(settings, target, folder, done))
    else:
        _show(settings, target, folder, done, config)


def _passed(done: Moved) -> int:
    return sum(finding.result is Result.PASSED for finding in done.findings)


def _as_object(settings: NodeConfig, target: Place, folder: Path | None, done: Moved) -> dict[str, object]:
    files = {} if folder is None else {"attachments": {"folder": str(folder)}}
    return {
        "from": str(settings.store),
        "to": str(target),
        "rows": done.rows,
        "passed": _passed(done),
        "settings": {"store": str(target), **files},
    }


def _show(settings: NodeConfig, target: Place, folder: Path | None, done: Moved, config: Path) -> None:
    rows = sum(done.rows.values())
    what = f"{rows} rows, {_passed(done)} checks passed" if done.findings else "it had arrived before"
    click.echo(printable(f"{target}: {what}"))
    click.echo(printable(f"{config} has to say from now on:"))
    click.echo(f"  store = {value(str(target))}")
    if folder is not None:
        click.echo("and there:" if "attachments" in read(config) else "and at its end:")
        click.echo(f"  [attachments]\n  folder = {value(str(folder))}")
    click.echo(printable(f"{settings.store} serves no more"))
