"""`rogatory compact`: a store rewritten without its holes, so that the disk has back what was purged.

A store in a file gives space back while the node serves; one that an older version made needs this once. PostgreSQL
uses space again, and gives it back by this alone. It takes as much space again meanwhile: stop the node first.
"""

from pathlib import Path

import click

from gateway.cli import output
from gateway.config import NodeConfig, load
from gateway.store.connection import store_at


@click.command(epilog="\b\nExample:\n  rogatory compact --config fed/ee/node.toml")
@click.option("--config", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings.")
@output.json_option
def command(config: Path, as_json: bool) -> None:
    """Rewrite the store of a node that is stopped."""
    store = store_at(load(NodeConfig, config).store)
    before, after = store.compact()
    if as_json:
        output.emit_json({"store": str(store), "before": before, "after": after})
    else:
        click.echo(f"{store}: {before} bytes before, {after} after")
