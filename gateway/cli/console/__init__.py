"""`rogatory console`: how a node does, in a browser, for those who watch it.

In: settings of operators and auditors. Out: pages on this machine, or over TLS for whoever shows one of their
certificates. There is no store behind it and no key that opens an envelope: it asks the node, as `rogatory trace` does.
Prints one line when it takes calls: `ready console 127.0.0.1:8080`. SIGTERM and SIGINT end it.
"""

from functools import cache, partial
from pathlib import Path

import click

from gateway import material
from gateway.cli import passphrases, web
from gateway.clock import system_clock
from gateway.errors import ErrorCode, Refusal
from gateway.printable import printable
from gateway.trust.client import load_for_verification


@click.command(
    epilog="\b\nExample:\n  rogatory console --config fed/ee/operator/participant.toml"
    "\n  rogatory console --config operator.toml --listen 0.0.0.0:8443 --tls-certificate c.crt --tls-key c.key"
)
@click.option(
    "--config",
    "paths",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings of an operator or auditor who may sign in; may be given again.",
)
@click.option("--listen", default="127.0.0.1:0", show_default=True, help="HOST:PORT; port 0 takes a free one.")
@click.option(
    "--tls-certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The console's own; then whoever shows a certificate of one of --config is signed in.",
)
@click.option("--tls-key", type=click.Path(path_type=Path, dir_okay=False), help="Its private key.")
def command(paths: tuple[Path, ...], listen: str, tls_certificate: Path | None, tls_key: Path | None) -> None:
    """Serve pages that show how a node does and what waits, and let operators act; never what an envelope says."""
    # Imported here: `rogatory console --help` needs none of it.
    from gateway.cli.console import server  # noqa: PLC0415
    from gateway.cli.console.app import Console  # noqa: PLC0415
    from gateway.cli.console.desk import Desk  # noqa: PLC0415

    if (tls_certificate is None) is not (tls_key is None):
        raise Refusal(ErrorCode.BAD_INPUT, "--tls-certificate and --tls-key belong together", "tls-key")
    server.check_listen(listen, secure=tls_certificate is not None)
    desks: list[Desk] = []
    for path in paths:
        ask = cache(passphrases.ask)
        loaded = material.load_participant(path, ask=ask, find=load_for_verification)
        for warning in loaded.warnings:
            click.echo(f"warning {printable(warning)}", err=True)
        if any(desk.address == loaded.address for desk in desks):
            # Of two federations, say: nobody could see in which of them he acts.
            raise Refusal(ErrorCode.BAD_INPUT, f"{loaded.address} is given twice", "config")
        desks.append(Desk(loaded, system_clock, ask))
    if tls_certificate is None or tls_key is None:
        hosts, tls = server.LOOPBACK | {server.host_of(listen)}, None
    else:
        hosts = server.names(tls_certificate)
        tls = server.context(tls_certificate, tls_key, {desk.ca_pem for desk in desks})
    console = Console(desks, hosts, system_clock, by_certificate=tls is not None)
    web.serve(console.app, listen, "console", partial(server.Server, console=console, tls=tls))
