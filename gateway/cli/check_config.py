"""`rogatory check-config`: what a start would find wrong, without starting.

In: configuration files of nodes and participants. Out: for each, whose it is, or what is wrong with it, and
warnings. Runs what `serve` and the clients run (`gateway.material`), with a copy of the directory's cache; for a node
also what its registry, its publisher, its alerts and its sealed files need. It opens a store, one of its own that it
removes again: to open the real one could change its schema under a process that runs.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from gateway import alerting, depot, material
from gateway.cli import output, passphrases
from gateway.clock import system_clock
from gateway.config import DirectorySource, NodeConfig, ParticipantConfig, load, read
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.printable import printable
from gateway.publisher import Publisher
from gateway.registry.keys import load_registry_keys
from gateway.store import open_store, probe


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one file; without an error, it can be started with."""

    file: Path
    address: str = ""
    expires: datetime | None = None
    directory_expires: datetime | None = None
    warnings: tuple[str, ...] = ()
    error: GatewayError | None = None


@click.command(epilog="\b\nExample:\n  rogatory check-config fed/ee/node.toml fed/ee/*/participant.toml")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@output.json_option
@click.pass_context
def command(ctx: click.Context, files: tuple[Path, ...], as_json: bool) -> None:
    """Check the settings of nodes and participants, and all that they name, as a start would."""
    findings = [_look_at(file) for file in files]
    errors = [finding.error for finding in findings if finding.error is not None]
    if as_json:
        summary = {"error": output.error_object(errors[0])} if errors else {}
        output.emit_json({"files": [_as_object(finding) for finding in findings], **summary})
    else:
        _show(findings)
    if errors:
        # A refusal outweighs a failure: it will not pass by itself.
        ctx.exit(max(map(output.exit_code, errors)))


def check(file: Path) -> Finding:
    """Check one file.

    Raises:
        Refusal: as `material.check_node` or `material.check_participant`, and as a node that starts with `[registry]`,
            `[publisher]`, `[attachments]`, `[alerts]`; BAD_CONFIG, it is of neither.
        Failure: STORE, no store can be opened in the node's store folder now.
    """
    if is_node(file):
        config = load(NodeConfig, file)
        with aside(config.directory) as source:
            node, renewed = _as_a_start_would(config, source)
            warnings = (*renewed, *node.warnings, *_check_offices(node))
        depot.check_place(config)
        alerting.channels(config.node, node.directory.federation, config.alerts, system_clock)
        _probe_store(node.config.store)
        return Finding(file, str(node.address), node.expires, node.directory_expires, warnings)
    settings = load(ParticipantConfig, file)
    with aside(settings.directory) as source:
        changed = settings.model_copy(update={"directory": source})
        participant = material.check_participant(changed, ask=passphrases.ask)
    return Finding(
        file, str(participant.address), participant.expires, participant.directory_expires, participant.warnings
    )


def _as_a_start_would(config: NodeConfig, source: DirectorySource) -> tuple[material.NodeMaterial, tuple[str, ...]]:
    """Check a node, and return warnings; one that publishes and was off for longer than that counts renews it first."""
    try:
        return material.check_node(config.model_copy(update={"directory": source})), ()
    except Refusal as error:
        if config.publisher is None or error.code is not ErrorCode.BAD_DIRECTORY:
            raise
        refused, publisher = error, config.publisher
    with tempfile.TemporaryDirectory(prefix="rogatory-") as scratch:
        try:
            phrase = material.passphrase_of(config, None)
            Publisher(publisher, phrase, system_clock).check()
            # A copy is renewed: what is published is a start's to change.
            copy = shutil.copytree(publisher.repository, Path(scratch) / "repository")
            renewed = publisher.model_copy(update={"repository": copy})
            Publisher(renewed, phrase, system_clock).renew(system_clock())
        except (GatewayError, OSError):
            raise refused from None
        there = source.model_copy(update={"repository": str(copy)})
        node = material.check_node(config.model_copy(update={"directory": there}))
    return node, (f"a start signs the directory anew: {refused.detail}",)


@contextmanager
def aside(source: DirectorySource) -> Iterator[DirectorySource]:
    """Yield a source with a copy of the cache: a look must not change what a process that runs relies on."""
    cache = source.cache
    place = cache if cache.exists() else cache.parent
    if not place.is_dir() or not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        raise Refusal(ErrorCode.BAD_CONFIG, f"the folder {place} cannot be used", "directory.cache")
    with tempfile.TemporaryDirectory(prefix="rogatory-") as scratch:
        copy = Path(scratch) / "cache"
        if cache.exists():
            shutil.copytree(cache, copy, symlinks=True)
        yield source.model_copy(update={"cache": copy})


def _check_offices(node: material.NodeMaterial) -> tuple[str, ...]:
    """Check that the node can register and publish, if that is its part; return warnings."""
    config = node.config
    phrase = material.passphrase_of(config, None)
    if config.registry is not None:
        load_registry_keys(config.registry, node, phrase)
    if config.publisher is None:
        return ()
    publisher = Publisher(config.publisher, phrase, system_clock)
    try:
        publisher.check()
    except GatewayError as error:
        # A node that cannot publish serves all the same, and says so in its diagnostics.
        return (f"it cannot publish: {error.detail}",)
    return ()


def _look_at(file: Path) -> Finding:
    try:
        return check(file)
    except GatewayError as error:
        return Finding(file, error=error)


def is_node(file: Path) -> bool:
    """Whether a settings file is a node's; else it is a participant's.

    Raises:
        Refusal: BAD_CONFIG, it cannot be read, or is of neither.
    """
    settings = read(file)
    if ("node" in settings) == ("address" in settings):
        raise Refusal(ErrorCode.BAD_CONFIG, f"{file} names neither a node nor an address, or both of them")
    return "node" in settings


def _probe_store(path: Path | str) -> None:
    """Open a store beside the one at `path`: proves SQLite's version, the folder and its file system.

    Of a database, only whether it can be reached and is safe.
    """
    if isinstance(path, str):
        probe(path)
        return
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise Refusal(ErrorCode.BAD_CONFIG, f"the store {path} cannot be written", "store")
    try:
        with tempfile.TemporaryDirectory(prefix=".check-", dir=path.parent) as scratch:
            _, engine = open_store(Path(scratch) / path.name)
            engine.dispose()
    except OSError as error:
        raise Refusal(
            ErrorCode.BAD_CONFIG, f"the folder {path.parent} cannot be used: {error.strerror}", "store"
        ) from error


def _as_object(finding: Finding) -> dict[str, object]:
    return {
        "file": str(finding.file),
        "ok": finding.error is None,
        "address": finding.address,
        "certificate_ends": finding.expires.isoformat() if finding.expires else None,
        "directory_ends": finding.directory_expires.isoformat() if finding.directory_expires else None,
        "warnings": [*finding.warnings],
        "error": output.error_object(finding.error) if finding.error is not None else None,
    }


def _show(findings: list[Finding]) -> None:
    passed = [finding for finding in findings if finding.error is None]
    if passed:
        rows = [
            (each.file, each.address, f"{each.expires:%Y-%m-%d}", f"{each.directory_expires:%Y-%m-%d}", "ok")
            for each in passed
        ]
        output.emit_table(("file", "address", "certificate ends", "directory ends", "result"), rows)
    for finding in findings:
        for warning in finding.warnings:
            click.echo(f"warning {printable(f'{finding.file}: {warning}')}", err=True)
        if finding.error is not None:
            error = finding.error
            named = str(finding.file) in error.detail
            detail = error.detail if named else f"{finding.file}: {error.detail}"
            output.emit_error(type(error)(error.code, detail, error.field))
