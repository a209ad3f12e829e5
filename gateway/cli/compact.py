"""`rogatory compact`: a store rewritten without its holes, and set up to give space back by itself from then on.

Stores made by this program give space back while the node serves; one of an older version needs this once. It takes as
much space again on the disk, and nobody can write meanwhile: stop the node first.
"""

from pathlib import Path

import click

from gateway.cli import output
from gateway.config import NodeConfig, load
from gateway.store.sqlite import compact


@click.command(epilog="\b\nExample:\n  rogatory compact --config fed/ee/node.toml")
@click.option("--config", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings.")
@output.json_option
def command(config: Path, as_json: bool) -> None:
    """Rewrite the store of a node that is stopped."""
    store = load(NodeConfig, config).store_file
    before, after = compact(store)
    if as_json:
        output.emit_json({"store": str(store), "before": before, "after": after})
    else:
        click.echo(f"{store}: {before} bytes before, {after} after")
