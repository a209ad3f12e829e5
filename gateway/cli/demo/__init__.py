"""`rogatory demo`: two countries and all of due process between them, with real processes, real TLS and real keys.

In: nothing, or a list of wallets. Out: a story told step by step: a freeze from draft to release, a refusal, an
emergency, a freeze that a judge confirms and one that lapses; every refusal shown with its code, every milestone with
its signed receipt; at the end the case as one file, verified offline, and its report; with `--json` one summary. Exit
code 0 only if all of it went as it must.
"""

import logging
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import click

from clients.casefile.checks import Status
from gateway.cli import children, output
from gateway.cli.demo import handover, papers
from gateway.cli.demo.handover import Handed
from gateway.cli.demo.play import Report
from gateway.cli.demo.story import run
from gateway.cli.development import Summary


@click.command(epilog="\b\nExample:\n  rogatory demo --wallets list.json --json")
@click.option(
    "--wallets",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON list of {chain, address}; by default a part of a real sanctions list.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/demo"),
    show_default=True,
    help="Where the case file and its report are put.",
)
@click.option("--keep", is_flag=True, help="Leave the federation running, and say how to talk to it.")
@output.json_option
@click.pass_context
def command(ctx: click.Context, path: Path | None, out: Path, keep: bool, as_json: bool) -> None:
    """Watch freezes travel from Estonia to a German exchange, with all that the law puts between."""
    ctx.with_resource(children.cleaned_up())
    wallets = papers.read_wallets(path)
    handover.prepare(out)
    # The desks lose their node when it is killed, as they must; that is told in the story, not on standard error.
    logging.getLogger("clients").setLevel(logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="rogatory-demo-"))
    kept = False
    try:
        report = children.run(
            run(folder / "federation", wallets, out.absolute(), keep=keep, tell=_silent if as_json else _say)
        )
        kept = keep and report.ok
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        output.emit_json(report.as_object())
    else:
        _show(report)
    if kept:
        _show_how_to_talk(report)
    if not report.ok:
        sys.exit(1)


def _say(line: str) -> None:
    click.echo(line)


def _silent(line: str) -> None:
    """Say nothing: the summary tells."""


def _show(report: Report) -> None:
    click.echo("\nWhat was tried and refused:\n")
    output.emit_table(
        ("attack", "refused as", "by"), [(each.attack, each.code.name, each.by) for each in report.refusals]
    )
    click.echo("\nMilestones, each a signed receipt, each checked with public keys alone:\n")
    output.emit_table(("milestone", "receipts"), sorted(report.milestones.items()))
    click.echo("\nHow it ended, by the word of both nodes and all parties:\n")
    output.emit_table(("scene", "request"), [(name, _ended(facts)) for name, facts in report.scenes.items()])
    click.echo(
        f"\n{'OK' if report.ok else 'NOT OK'}: {report.wallets_verified} of {report.wallets_asked} wallets carried and"
        f" verified, {report.frozen} frozen, {report.envelopes} envelopes, {len(report.refusals)} attempts refused,"
        f" {report.receipts_verified} receipts verified, {report.seconds:.1f} s"
    )
    if report.handed is not None:
        _show_handed(report.handed)
    for problem in report.problems:
        click.echo(f"  {problem}")


def _show_handed(handed: Handed) -> None:
    said = [(status, [each["name"] for each in handed.checks if each["status"] == status.value]) for status in Status]
    told = "; ".join(f"{status.value}: {', '.join(names)}" for status, names in said if names)
    click.echo(f"\nThe case is one file. Offline, in a fresh process, with only the root keys, it HOLDS. {told}")
    click.echo(f"  case file  {handed.case_file}")
    click.echo(f"  report     {handed.report}")
    click.echo(f"  to print   {handed.printed}")
    click.echo(
        f"  again      rogatory verify {shlex.quote(str(handed.case_file))} --root {shlex.quote(str(handed.root))}"
    )


def _ended(facts: Mapping[str, object]) -> str:
    found = facts.get("request")
    return ", ".join(dict.fromkeys(found.values())) if isinstance(found, dict) else "not at all"


def _example() -> str:
    return shlex.quote(str(resources.files("rogatory.v1") / "examples" / "FreezeRequest.json"))


def _show_how_to_talk(report: Report) -> None:
    """Say it on standard error, so that `--json` stays one JSON text."""
    summary: Summary = report.summary
    rogatory = shlex.quote(sys.argv[0])

    def config(who: str) -> str:
        return f"--config {shlex.quote(str(summary.config(who)))}"

    route = "--to de/central-authority --via ee/central-authority --case EE-2026-9 --instrument eu-2018-1805"
    lines = [
        "",
        f"The federation is running. Its folder: {summary.folder}",
        *(f"  node {code}: process {pid}" for code, pid in report.processes.items()),
        "",
        f"  {rogatory} trace {report.request_id} {config('ee/operator')}",
        f"  {rogatory} inbox {config('de/exchange')}",
        f"  {rogatory} console {config('ee/operator')}",
        "",
        "See a country that does not answer, in the console of the other: docs/console.md says where to click.",
        f"  kill {report.processes['de']}",
        f"  {rogatory} send draft {_example()} {config('ee/prosecutor')} {route}",
        f"  {rogatory} inbox {config('ee/central-authority')}",
        f"  {rogatory} send countersign DRAFT {config('ee/central-authority')}",
        f"  {rogatory} inbox {config('ee/prosecutor')}",
        f"  {rogatory} send request COUNTERSIGNATURE {config('ee/prosecutor')}",
        f"  {rogatory} serve {config('de/node')} &",
        "",
        f"Stop it: kill {' '.join(str(pid) for pid in report.processes.values())}",
    ]
    click.echo("\n".join(lines), err=True)
