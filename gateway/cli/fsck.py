"""`rogatory fsck`: is every promise kept by what is on disk?

In: a store's file, or a node's settings, which also say where the public keys and the sealed files are. Out: one line
for each numbered check, with the first offending rows. Exit code 0 if none failed, 1 if one did, 2 if there is nothing
to be checked. It changes nothing; the node may go on serving meanwhile.
"""

from collections import Counter
from pathlib import Path

import click

from gateway.cli import output
from gateway.cli.check_config import aside
from gateway.clock import system_clock
from gateway.config import NodeConfig, load
from gateway.depot import Depot, look_into
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.store import backup, fsck
from gateway.store.fsck import Finding, Result
from gateway.trust.client import load_for_verification


@click.command(epilog="\b\nExample:\n  rogatory fsck --config fed/ee/node.toml\n  rogatory fsck backup/store.db --json")
@click.argument("store", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Whose store it is, and by which keys.")
@click.option("--digests", is_flag=True, help="Read all bytes of sealed files, too, not their sizes alone.")
@output.json_option
@click.pass_context
def command(ctx: click.Context, store: Path | None, config: Path | None, digests: bool, as_json: bool) -> None:
    """Check every promise of a node against its STORE; by default the one that the settings name.

    Without settings there are no public keys, and signatures are said not to be checked. Sealed files are looked at
    where the settings say that they lie, or in the backup that STORE lies in.
    """
    settings = None if config is None else load(NodeConfig, config)
    path = store or (None if settings is None else settings.store)
    if path is None:
        raise Refusal(ErrorCode.BAD_CONFIG, "name a store, or with --config a node", "STORE")
    directory = None if settings is None else directory_of(settings)
    node = None if settings is None else settings.node
    depot = _depot_of(store, settings)
    with output.bar() as tell:
        findings = fsck.check(path, directory, node=node, depot=depot, digests=digests, progress=tell)
    if as_json:
        output.emit_json({"store": str(path), "ok": is_clean(findings), "checks": [*map(as_object, findings)]})
    else:
        show(findings)
    if not is_clean(findings):
        ctx.exit(output.FAILED)


def _depot_of(store: Path | None, settings: NodeConfig | None) -> Depot | None:
    if settings is not None and store in (None, settings.store):
        return look_into(settings)
    return None if store is None else backup.files_beside(store)


def directory_of(settings: NodeConfig) -> Directory:
    """Return who exists, also by a directory that has expired: what was signed before still verifies."""
    with aside(settings.directory) as source:
        return load_for_verification(source, system_clock()).directory


def is_clean(findings: list[Finding]) -> bool:
    """Whether no check failed."""
    return all(finding.result is not Result.FAILED for finding in findings)


def as_object(finding: Finding) -> dict[str, object]:
    """Return what `--json` shows of a check."""
    check = finding.check
    return {
        "number": check.number,
        "name": check.name,
        "promise": check.promise,
        "says": check.says,
        "result": finding.result.value,
        "failures": finding.failures,
        "first": [*finding.first],
    }


def show(findings: list[Finding]) -> None:
    """Print one line a check, and below it what offends."""
    rows: list[tuple[object, ...]] = []
    for finding in findings:
        rows.append((finding.check.number, finding.result.value, finding.failures or "", finding.check.says))
        rows += [("", "", "", f"  {each}") for each in finding.first]
    output.emit_table(("check", "result", "failures", "promise"), rows)
    counts = Counter(finding.result for finding in findings)
    click.echo(", ".join(f"{counts[result]} {result.value}" for result in Result if counts[result]))
