"""`rogatory serve-log`: a node's log over HTTP, in a process of its own that reads the store and holds no key.

Prints one line when it takes calls: `ready ee 127.0.0.1:7480`. SIGTERM and SIGINT end it.
"""

from pathlib import Path

import click

from gateway import config
from gateway.cli import web
from gateway.config import NodeConfig
from gateway.doors import tiles
from gateway.store import Reader, open_there


@click.command(epilog="\b\nExample:\n  rogatory serve-log --config fed/ee/node.toml --listen 127.0.0.1:7480")
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings."
)
@click.option("--listen", required=True, help="HOST:PORT; TLS is for the web server in front of it.")
def command(path: Path, listen: str) -> None:
    """Serve a node's log over HTTP (C2SP tlog-tiles): checkpoints and hashes, nothing that anybody sent."""
    node = config.load(NodeConfig, path)
    _, engine = open_there(node.store)
    reader = Reader(engine)
    try:
        web.serve(tiles.app(reader), listen, node.node)
    finally:
        reader.close()
