"""`rogatory witness`: cosign logs without being a node; and what was found out about logs.

In: settings. Out: a key with its verifier key, for the founders to list; a process that cosigns; alarms, with their
evidence. `serve` prints one line when it takes calls: `ready NAME 127.0.0.1:7450`.
"""

import asyncio
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Final

import click
from nacl.signing import SigningKey

from gateway import config, keys, material, witness
from gateway.cli import folders, output, passphrases, web
from gateway.cli.diagnostics import write_diagnostics
from gateway.cli.home import time_of
from gateway.clock import Clock, system_clock
from gateway.config import DirectorySource, NodeConfig, WitnessConfig
from gateway.directory import Directory
from gateway.doors.witness_http import Memory, app_of
from gateway.note import Algorithm, Verifier
from gateway.signer import KeySigner
from gateway.store import Reader, open_there
from gateway.store.witnessing import AlarmRow
from gateway.trust import client
from gateway.upkeep import survived
from gateway.witness import KeysOf

MOST_ALARMS: Final = 1000
_config = click.option("--config", "path", required=True, type=click.Path(path_type=Path, dir_okay=False))


@click.group(epilog="\b\nExample:\n  rogatory witness serve --config witness.toml")
def command() -> None:
    """Cosign logs, as a court or a civil society body does; see what logs have to answer for."""


@command.command(epilog="\b\nExample:\n  rogatory witness keygen --name court.example/w1 --out witness.key")
@click.option("--name", required=True, help="Of the key: an address without scheme, as the founders will list it.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The new key file.")
@click.option("--plain", is_flag=True, help="Do not put it under a passphrase.")
@passphrases.file_option
@output.json_option
def keygen(name: str, out: Path, plain: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Make the key of a witness, and print its verifier key."""
    key = SigningKey.generate()
    verifier = _verifier(name, key)
    phrase = None if plain else passphrases.new(passphrase_file)
    keys.save_signing_key(out, key, phrase, folders.COST)
    if as_json:
        output.emit_json({"key": str(out), "verifier": str(verifier)})
    else:
        click.echo(str(verifier))


@command.command(epilog="\b\nExample:\n  rogatory witness serve --config witness.toml")
@_config
def serve(path: Path) -> None:
    """Cosign checkpoints (C2SP tlog-witness) until SIGTERM or SIGINT."""
    write_diagnostics()
    settings = config.load(WitnessConfig, path)
    ask = passphrases.ask if sys.stdin.isatty() else None
    key = keys.load_signing_key(settings.key, material.passphrase_of(settings, ask))
    logs = _Logs(settings, system_clock)
    with Memory.opened(settings.state) as memory, logs.kept():
        click.echo(f"verifier {_verifier(settings.name, key)}")
        app = app_of(memory, logs.keys_of, settings.name, KeySigner(key), system_clock)
        web.serve(app, settings.listen, settings.name)


@command.command(epilog="\b\nExample:\n  rogatory witness alarms --config fed/ee/node.toml")
@_config
@output.json_option
@click.pass_context
def alarms(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Show what a node has found out about logs, the newest first; with --json the evidence, too.

    Exit code 1 if there is anything.
    """
    _, engine = open_there(config.load(NodeConfig, path).store)
    reader = Reader(engine)
    try:
        found = asyncio.run(reader.log(lambda view: view.alarms(MOST_ALARMS)))
    finally:
        reader.close()
    if as_json:
        output.emit_json({"alarms": [*map(_as_object, found)]})
    else:
        rows = [(time_of(each.at_us), each.code.name, each.origin, each.detail) for each in found]
        output.emit_table(("at", "code", "log", "what"), rows)
    if found:
        ctx.exit(output.FAILED)


class _Logs:
    """Which logs a witness knows: those that the settings name, and those of the nodes that a directory lists."""

    def __init__(self, settings: WitnessConfig, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._directory: Directory | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Take the newest directory, if one is named, and look again and again, in a thread."""
        source, over = self._settings.directory, Event()
        if source is None:
            yield
            return
        self._look(source)

        def keep() -> None:
            while not over.wait(source.refresh_seconds):
                with survived("the directory"):
                    self._look(source)

        thread = Thread(target=keep, name="directory", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()

    def _look(self, source: DirectorySource) -> None:
        self._directory = client.load(source, self._clock()).directory

    def keys_of(self) -> KeysOf:
        """Return what knows them now; fails with DIRECTORY_EXPIRED."""
        named = self._settings.logs
        listed: KeysOf = lambda _: ()  # noqa: E731  what no directory says
        if self._directory is not None:
            self._directory.check_in_force(self._clock())
            listed = witness.keys_of(self._directory, self._clock())
        return lambda origin: [*(key.public_key for key in named if key.name == origin), *listed(origin)]


def _verifier(name: str, key: SigningKey) -> Verifier:
    return Verifier(name, bytes(key.verify_key), Algorithm.COSIGNATURE)


def _as_object(row: AlarmRow) -> dict[str, object]:
    return {
        "at": time_of(row.at_us),
        "origin": row.origin,
        "code": row.code.name,
        "detail": row.detail,
        "held": row.held.decode(),
        "brought": row.brought.decode(),
        "proof": [b64encode(each).decode() for each in row.proof],
    }
