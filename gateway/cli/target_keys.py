"""`rogatory keys target`: the key by which authorities tell equal targets from others.

In: the key of the epoch before, or none; a key file and a participant's settings. Out: a new key file under a
passphrase, to be handed on by hand; or the key in an authority's folder, named by its settings. Shows epoch, window and
id, never a byte of the key: authorities compare the id by telephone. Refuses with BAD_INPUT an epoch that begins too
late to overlap with the one before, and with BAD_CONFIG a key for anybody but an authority.
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import click
import nacl.utils

from gateway import config, keys, locked, material, settings_file, target_keys
from gateway.cli import output, passphrases
from gateway.clock import system_clock
from gateway.config import ParticipantConfig
from gateway.errors import ErrorCode, Refusal
from gateway.target_keys import LEAST_OVERLAP, SECRET_BYTES, TargetKey

COST: Final = locked.DEFAULT

NOTICE: Final = timedelta(days=14)
"""From the making of a key to its first use, unless said otherwise: until then every authority must have it."""

MAX_DAYS: Final = 3650

_file = click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))


@click.group("target", epilog="\b\nExample:\n  rogatory keys target show fed/ee/court/target.key --plain-keys")
def command() -> None:
    """Make the key of targets, show it, give it to an authority."""


@command.command(epilog="\b\nExample:\n  rogatory keys target new epoch-2.key --after epoch-1.key")
@_file
@click.option("--after", type=click.Path(path_type=Path, dir_okay=False), help="Key of the epoch before.")
@click.option("--from", "start", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC; else in 14 days.")
@click.option(
    "--days",
    type=click.IntRange(LEAST_OVERLAP.days, MAX_DAYS),
    default=target_keys.EPOCH.days,
    show_default=True,
    help="For how long.",
)
@passphrases.file_option
@output.json_option
def new(
    file: Path, after: Path | None, start: datetime | None, days: int, passphrase_file: Path | None, as_json: bool
) -> None:
    """Make the key of an epoch, under a passphrase; it is the same for FILE and the key before it.

    Hand FILE to every authority of the federation before the epoch begins: who does not have it then refuses requests
    that are made with it.
    """
    phrase = passphrases.new(passphrase_file) if after is None else passphrases.of_keys(passphrase_file)
    begins = system_clock().replace(microsecond=0) + NOTICE if start is None else start.replace(tzinfo=UTC)
    epoch = 1
    if after is not None:
        before = keys.load_target_key(after, phrase)
        epoch = before.epoch + 1
        if before.not_after - begins < LEAST_OVERLAP:
            detail = f"it has to begin {LEAST_OVERLAP.days} days before {before.not_after:%Y-%m-%d}, or earlier"
            raise Refusal(ErrorCode.BAD_INPUT, detail, "from")
    try:
        ends = begins + timedelta(days=days)
    except OverflowError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"{days} days from then is after the year 9999", "from") from error
    made = TargetKey(epoch, begins, ends, nacl.utils.random(SECRET_BYTES))
    keys.save_target_key(file, made, phrase, COST)
    _show(made, file, as_json)


@command.command(epilog="\b\nExample:\n  rogatory keys target show epoch-2.key")
@_file
@click.option("--plain-keys", is_flag=True, help="It is under no passphrase.")
@passphrases.file_option
@output.json_option
def show(file: Path, plain_keys: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Show epoch, window and id of a key; the id is the same for the same key alone."""
    _show(keys.load_target_key(file, None if plain_keys else passphrases.of_keys(passphrase_file)), file, as_json)


@command.command(epilog="\b\nExample:\n  rogatory keys target add epoch-2.key --config court/participant.toml")
@_file
@click.option(
    "--config",
    "path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The authority's settings.",
)
@passphrases.file_option
@output.json_option
def add(file: Path, path: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Put a key that was handed over into an authority's folder, and name it in the settings.

    The passphrase is that of FILE; the copy is under the passphrase of the authority's other keys.
    """
    key, ask = keys.load_target_key(file, passphrases.of_keys(passphrase_file)), cache(passphrases.ask)
    with settings_file.alone(path):
        settings = config.load(ParticipantConfig, path)
        loaded = material.check_participant(settings, ask=ask, path=path)
        target_keys.check_ring((*loaded.target_keys, key), loaded.roles)
        place = path.resolve().parent / f"target-{key.epoch}.key"
        keys.save_target_key(place, key, material.passphrase_of(settings, ask), COST)
        names = [settings_file.name_of(path, each) for each in (*settings.target_keys, place)]
        settings_file.edit(path, lambda _: {"target_keys": names})
    _show(key, place, as_json)


def _show(key: TargetKey, file: Path, as_json: bool) -> None:
    facts = {
        "file": str(file),
        "epoch": key.epoch,
        "from": key.not_before.isoformat(),
        "until": key.not_after.isoformat(),
        "id": key.id.hex(),
    }
    if as_json:
        output.emit_json({"target_key": facts})
    else:
        output.emit_table(("target key", ""), [*facts.items()])
