"""`rogatory federation recover`: a lost or outdated repository, made again from what a node has seen of it.

In: a node's settings, the repository's folder. Out: the repository as it was published last; `publish`, or the node
that publishes, goes on from there. Refuses as `gateway.trust.recovery`.
"""

from contextlib import suppress
from pathlib import Path

import click

from gateway import config
from gateway.cli import output
from gateway.cli.ceremony import repository_in
from gateway.config import NodeConfig
from gateway.errors import ErrorCode, Refusal
from gateway.trust.client import read_root
from gateway.trust.copy import GoodCopy
from gateway.trust.recovery import recover


@click.command(
    "recover", epilog="\b\nExample:\n  rogatory federation recover dir --config /var/lib/rogatory/node/node.toml"
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Settings of a node."
)
@output.json_option
def command(folder: Path, path: Path, as_json: bool) -> None:
    """Put what was published last into the repository DIR, from the copy that a node keeps of it.

    For a repository that was lost, or put back from a backup: nobody takes an older directory than he has seen. Take
    the node whose copy is the newest; what founders had proposed and not published is lost.
    """
    source = config.load(NodeConfig, path).directory
    copy = GoodCopy.read(source.cache)
    if copy is None:
        raise Refusal(ErrorCode.BAD_DIRECTORY, f"there is no good copy in {source.cache}", "directory.cache")
    with suppress(Refusal):  # there may be nothing left of it
        folder = repository_in(folder).folder
    held = recover(folder, copy, read_root(source))
    if as_json:
        output.emit_json({"root": held.root, "timestamp": held.timestamp, "checked": copy.checked.isoformat()})
    else:
        seen = f"{copy.checked:%Y-%m-%d %H:%M %Z}"
        click.echo(f"{folder}: root version {held.root}, timestamp version {held.timestamp}, seen last on {seen}")
