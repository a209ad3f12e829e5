"""`rogatory demo-trust`: who exists, with which keys, and how they come and go.

In: nothing. Out: a story told step by step with the commands that operators use, three nodes as real processes, every
refusal with its code; with `--json` one summary. Exit code 0 only if all of it went as it must.
"""

import logging
import shutil
import sys
import tempfile
from pathlib import Path

import click

from gateway.cli import children, output
from gateway.cli.demo import trust


@click.command(epilog="\b\nExample:\n  rogatory demo-trust")
@output.json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Watch a federation be founded, take an exchange in, change every key, and put the exchange out."""
    ctx.with_resource(children.cleaned_up())
    # The desks lose their node when it is killed, as they must; that is told in the story, not on standard error.
    for name in ("clients", "gateway"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="rogatory-demo-"))
    try:
        report = children.run(trust.run(folder / "federation", _silent if as_json else click.echo))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        output.emit_json(report.as_object())
    else:
        _show(report)
    if not report.ok:
        sys.exit(1)


def _silent(line: str) -> None:
    """Say nothing: the summary tells."""


def _show(report: trust.Report) -> None:
    click.echo("\nWhat was refused:\n")
    output.emit_table(("attempt", "refused as"), [*report.codes.items()])
    click.echo(
        f"\n{'OK' if report.ok else 'NOT OK'}: {report.carried} requests crossed while {len(report.rotated)} keys"
        " changed,"
        f" {report.self_test} checks of the exchange passed, it was cut off in {report.cut_off_seconds:.1f} s;"
        f" {report.seconds:.0f} s in all"
    )
    for problem in report.problems:
        click.echo(f"  {problem}")
