"""`rogatory keys`: private keys at rest.

In: key files and passphrases, or a settings file. Out: the same files under a passphrase, or what they are. Files are
replaced whole: at every moment a path holds the old content or the new. Refuses with KEY_FILE to leave a plain copy,
see `gateway.private_files.replace`. Shows key ids and modes, never a byte of a key. `rotate` and `certify`
have a module of their own.
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from gateway import config, keys, locked, passphrase, signature
from gateway.cli import check_config, output, passphrases, rotation, target_keys
from gateway.cli.check_config import is_node
from gateway.clock import system_clock
from gateway.config import NodeConfig, ParticipantConfig
from gateway.directory import FOREVER, KeyEntry, ParticipantEntry
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.hidden import Passphrase
from gateway.hsm import LEAST_PIN_CHARACTERS
from gateway.identity import Address
from gateway.target_keys import ALGORITHM
from gateway.trust import client

COST: Final = locked.DEFAULT
ENCRYPTED: Final = "encrypted"
UNCHANGED: Final = "unchanged"
_LISTED: Final = ("Ed25519", "X25519")

_files = click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))


@dataclass(frozen=True, slots=True)
class Finding:
    """One secret that a process starts from.

    Args:
        setting: what names it.
        file: where it lies.
        algorithm: of a key, e.g. `Ed25519`; `PKCS#11` of one in a token.
        key_id: of a key, as the directory has it; of a target key, by what authorities compare it.
        encrypted: of a key file.
        mode: permissions, octal; empty if there is no file.
        listed: of a key for envelopes or receipts, what the directory says of it; None if it does not list it.
        in_use: of a signing key, whether it signs now; of a sealing key, whether others seal to it now.
        error: why a start would refuse it.
    """

    setting: str
    file: Path
    algorithm: str = ""
    key_id: str = ""
    encrypted: bool | None = None
    mode: str = ""
    listed: KeyEntry | None = None
    in_use: bool | None = None
    error: GatewayError | None = None


@click.group(epilog="\b\nExample:\n  rogatory keys status --config fed/ee/node.toml")
def command() -> None:
    """Encrypt key files, change their passphrase, rotate keys, show what they are."""


command.add_command(rotation.rotate)
command.add_command(rotation.certify)
command.add_command(target_keys.command)


@command.command(epilog="\b\nExample:\n  rogatory keys encrypt fed/ee/*.key --passphrase-file /run/secrets/ee")
@_files
@passphrases.file_option
@output.json_option
def encrypt(files: tuple[Path, ...], passphrase_file: Path | None, as_json: bool) -> None:
    """Put plain key files under one passphrase.

    All of them are looked at before the first is changed. Files that have it already stay as they are. Then remove
    `encrypted_keys = false` from the settings.
    """
    phrase = passphrases.new(passphrase_file)
    due = {path for path in files if _is_plain(path, phrase)}
    for path in due:
        keys.encrypt(path, phrase, COST)
    _report([(path, ENCRYPTED if path in due else UNCHANGED) for path in files], as_json)


@command.command(
    "change-passphrase",
    epilog="\b\nExample:\n  rogatory keys change-passphrase fed/ee/*.key",
)
@_files
@passphrases.file_option
@click.option(
    "--new-passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the new passphrase, mode 0600; without it, you are asked.",
)
@output.json_option
def change_passphrase(
    files: tuple[Path, ...], passphrase_file: Path | None, new_passphrase_file: Path | None, as_json: bool
) -> None:
    """Put encrypted key files under another passphrase.

    All of them are tried before the first is changed. If that is interrupted, run it again: files that have the new
    passphrase already stay as they are. Copies made before, e.g. backups, still open with the old one.
    """
    old = passphrases.of_keys(passphrase_file)
    new = passphrases.new(new_passphrase_file)
    due = {path for path in files if _has_old(path, old, new)}
    for path in due:
        keys.change_passphrase(path, old, new, COST)
    _report([(path, ENCRYPTED if path in due else UNCHANGED) for path in files], as_json)


@command.command(epilog="\b\nExample:\n  rogatory keys status --config fed/ee/node.toml")
@rotation.config_option
@output.json_option
@click.pass_context
def status(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Show the keys that a node or participant starts from; needs no passphrase.

    Where the directory can be had, or was had before, it is said of each key from when until when it counts, and
    whether it is in use.
    """
    settings = config.load(NodeConfig, path) if is_node(path) else config.load(ParticipantConfig, path)
    findings = _with_directory(settings, [*_findings(settings)], system_clock())
    if as_json:
        output.emit_json({"keys": [_as_object(each) for each in findings]})
    else:
        _show(findings)
    errors = [each.error for each in findings if each.error is not None]
    if errors:
        ctx.exit(max(map(output.exit_code, errors)))


def _with_directory(settings: NodeConfig | ParticipantConfig, findings: list[Finding], now: datetime) -> list[Finding]:
    """Say of each key what the directory says, if there is one to be had."""
    address = Address.of_node(settings.node) if isinstance(settings, NodeConfig) else settings.address
    try:
        with check_config.aside(settings.directory) as source:
            directory = client.load(source, now).directory
        entry = directory.node(address.node) if address.is_node else directory.participant(address)
    except GatewayError:
        return findings
    signing = entry.signing_keys if entry is not None else ()
    sealing = entry.sealing_keys if isinstance(entry, ParticipantEntry) else ()
    listed = {signature.key_id(key.public).hex(): key for key in (*signing, *sealing)}
    held = [key.public for name, key in listed.items() if any(each.key_id == name for each in findings)]
    newest = directory.newest_key(str(address), held, now)

    def said(finding: Finding) -> Finding:
        key = listed.get(finding.key_id) if finding.algorithm in _LISTED else None
        if key is None:
            return finding
        in_use = key.public == newest if finding.algorithm == "Ed25519" else key.valid_at(now)
        return replace(finding, listed=key, in_use=in_use)

    return [said(each) for each in findings]


def _is_plain(path: Path, phrase: Passphrase) -> bool:
    """Whether a key file is under no passphrase; refuses if it is under another one."""
    if keys.inspect(path).encrypted:
        keys.check(path, phrase)
        return False
    return True


def _has_old(path: Path, old: Passphrase, new: Passphrase) -> bool:
    """Whether a file has the old passphrase; refuses if it has neither."""
    try:
        keys.check(path, old)
    except Refusal as error:
        try:
            keys.check(path, new)
        except Refusal:
            # What is wrong with the old one is what the caller can put right.
            raise error from None
        return False
    return True


def _report(done: list[tuple[Path, str]], as_json: bool) -> None:
    if as_json:
        output.emit_json({"files": [{"file": str(path), "result": result} for path, result in done]})
    else:
        output.emit_table(("file", "result"), done)


def _findings(settings: NodeConfig | ParticipantConfig) -> Iterator[Finding]:
    demanded = settings.encrypted_keys
    for position, path in enumerate(settings.signing_keys):
        yield _key(f"signing_keys[{position}]", path, demanded)
    if isinstance(settings, ParticipantConfig):
        for position, path in enumerate(settings.sealing_keys):
            yield _key(f"sealing_keys[{position}]", path, demanded)
        for position, path in enumerate(settings.target_keys):
            yield _key(f"target_keys[{position}]", path, demanded)
    elif settings.hsm is not None:
        # Its id is not asked for: that would take the PIN.
        yield Finding("hsm", settings.hsm.module, "PKCS#11")
        yield _secret("hsm.pin_file", settings.hsm.pin_file, LEAST_PIN_CHARACTERS)
    yield _key("tls_key", settings.tls_key, demanded)
    if settings.passphrase_file is not None:
        yield _secret("passphrase_file", settings.passphrase_file)


def _key(setting: str, path: Path, demanded: bool) -> Finding:
    try:
        listed = keys.inspect(path)
    except GatewayError as error:
        return Finding(setting, path, mode=_mode(path), error=error)
    wrong = None
    if listed.encrypted != demanded:
        said = "encrypted, the settings say plain" if listed.encrypted else "plain, the settings demand encrypted"
        wrong = Refusal(ErrorCode.KEY_FILE, said, str(path))
    is_target = listed.algorithm == ALGORITHM
    key_id = (listed.public if is_target else signature.key_id(listed.public)).hex()
    return Finding(setting, path, listed.algorithm, key_id, listed.encrypted, _mode(path), error=wrong)


def _secret(setting: str, path: Path, least: int | None = None) -> Finding:
    try:
        passphrase.read(path) if least is None else passphrase.read(path, least)
    except GatewayError as error:
        return Finding(setting, path, mode=_mode(path), error=error)
    return Finding(setting, path, mode=_mode(path))


def _mode(path: Path) -> str:
    try:
        return f"{stat.S_IMODE(path.stat().st_mode):04o}"
    except OSError:
        return ""


def _as_object(finding: Finding) -> dict[str, object]:
    error, listed = finding.error, finding.listed
    ends = [] if listed is None else [end for end in (listed.not_after, listed.not_trusted_after) if end is not None]
    return {
        "setting": finding.setting,
        "file": str(finding.file),
        "algorithm": finding.algorithm,
        "key_id": finding.key_id,
        "encrypted": finding.encrypted,
        "mode": finding.mode,
        "valid_from": None if listed is None else listed.not_before.isoformat(),
        "valid_until": min(ends).isoformat() if ends else None,
        "in_use": finding.in_use,
        "error": None if error is None else output.error_object(error),
    }


def _show(findings: list[Finding]) -> None:
    words = {None: "", True: "yes", False: "no"}
    rows = [
        (
            each.setting,
            each.file,
            each.algorithm,
            each.key_id,
            words[each.encrypted],
            each.mode,
            _window(each.listed),
            words[each.in_use],
        )
        for each in findings
    ]
    headings = ("setting", "file", "algorithm", "key id", "encrypted", "mode", "counts", "in use")
    output.emit_table(headings, rows)
    for each in findings:
        if each.error is not None:
            output.emit_error(each.error)


def _window(listed: KeyEntry | None) -> str:
    if listed is None:
        return ""
    end = min(listed.not_after, listed.not_trusted_after or FOREVER)
    until = "" if end == FOREVER else f" until {end:%Y-%m-%d %H:%M:%S}"
    return f"from {listed.not_before:%Y-%m-%d %H:%M:%S}{until}"
