"""`rogatory verify`: whether a case file is what it says, offline.

In: a case file, the federation's root metadata, roots of timestamp authorities. Out: numbered checks, each passed,
failed, or about what is not there. Exit code 0 if none failed, 1 if one did, 2 if the input cannot be read. No network,
no settings, no key of one's own.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import click

from clients.casefile import archive, checks, timestamp
from clients.casefile.checks import Status
from clients.casefile.contents import Prove
from clients.casefile.timestamp import Roots
from gateway.cli import output
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.printable import printable
from gateway.trust import client
from gateway.trust.roles import MAX_METADATA_BYTES, ROOT

NOT_HOLDING = 1
MAX_ROOTS_BYTES = 1 << 20


@click.command(epilog="\b\nExample:\n  rogatory verify EE-2026-1.rogatory.zip --root root.json")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--root",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The federation's root metadata, which you have from somebody you trust, not from who gave you FILE.",
)
@click.option(
    "--tsa-root",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM certificates of timestamp authorities that you trust. Without them, no timestamp is checked.",
)
@output.json_option
def command(file: Path, root: Path, tsa_root: Path | None, as_json: bool) -> None:
    """Check the case file FILE, without network, with the root keys alone."""
    prove = prover(root)
    trusted = None if tsa_root is None else tsa_roots(tsa_root)
    raw = _read(file, archive.MAX_BYTES)
    found = checks.check(raw, prove, trusted)
    if as_json:
        told = [
            {"number": each.number, "name": each.name, "status": each.status.value, "detail": each.detail}
            for each in found
        ]
        output.emit_json({"file": str(file), "holds": checks.holds(found), "checks": told})
    else:
        rows = [(each.number, each.name, each.status.value, each.detail) for each in found]
        output.emit_table(("no.", "check", "result", "detail"), rows)
        left = [each.name for each in found if each.status is Status.NOT_THERE]
        besides = f"; not there, or not compared: {', '.join(left)}" if left else ""
        click.echo(f"{printable(file.name)} {'HOLDS' if checks.holds(found) else 'DOES NOT HOLD'}{besides}")
    if not checks.holds(found):
        raise click.exceptions.Exit(NOT_HOLDING)


def prover(root: Path) -> Prove:
    """Return what proves a directory from its files by trusted root metadata.

    Raises:
        Refusal: BAD_INPUT, it cannot be read, or is no root metadata: the reader's mistake is no fault of a file.
    """
    trusted = _read(root, MAX_METADATA_BYTES[ROOT])
    client.check_root(trusted)

    def prove(files: Mapping[str, bytes], at: datetime) -> Directory:
        return client.prove(files, trusted, at).directory

    return prove


def tsa_roots(path: Path) -> Roots:
    """Return the roots of timestamp authorities in a PEM file.

    Raises:
        Refusal: BAD_INPUT, it cannot be read.
    """
    return timestamp.read_roots(_read(path, MAX_ROOTS_BYTES))


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            # One more than it may have, so that whoever reads it says that it is too large.
            return file.read(most + 1)
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", path.name) from error
