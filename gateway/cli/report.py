"""`rogatory report`: what a node's records add up to, published so that no case can be told from another.

In: the settings of a node, and a period that is over, or a published report. Out: page, JSON and CSV in a folder that
any web server can show, with a list of all reports in it; or whether the store gives what was published. Exit code 1 if
it does not. It changes nothing in the store; the node may go on serving meanwhile. See docs/report.md.
"""

from pathlib import Path

import click

from gateway.cli import output
from gateway.cli.fsck import directory_of
from gateway.clock import system_clock
from gateway.config import NodeConfig, load
from gateway.errors import ErrorCode, Refusal
from gateway.reporting import folder, report
from gateway.reporting.periods import Period
from gateway.reporting.report import Report
from gateway.store import figures


@click.command(
    epilog="\b\nExample:\n  rogatory report --config node.toml --period 2026-Q3 --out public"
    "\n  rogatory report --config node.toml --check public/2026-Q3.json"
)
@click.option("--config", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The node's settings.")
@click.option("--period", help="A quarter, e.g. 2026-Q3, or a year; it must be over.")
@click.option(
    "--out",
    "--site",
    "out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where it is published, beside those of before.",
)
@click.option(
    "--check",
    "published",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A published report (JSON), to be counted again and compared.",
)
@output.json_option
@click.pass_context
def command(
    ctx: click.Context, config: Path, period: str | None, out: Path | None, published: Path | None, as_json: bool
) -> None:
    """Publish a transparency report, or count a published one again."""
    if (published is None) == (period is None or out is None):
        raise Refusal(ErrorCode.BAD_INPUT, "give --period and --out, or --check", "period")
    settings = load(NodeConfig, config)
    if published is not None:
        theirs = folder.read(published)
        changed = report.differences(theirs, _make(settings, theirs["period"]))
        _tell({"period": theirs["period"], "ok": not changed, "differs": changed}, as_json=as_json)
        if changed:
            ctx.exit(output.FAILED)
        return
    made = _make(settings, str(period))
    files = folder.publish(made, Path(str(out)))
    told = {
        "period": made["period"],
        "not_proven": made["records"]["not_proven"],
        "files": [str(file) for file in files],
    }
    _tell(told, as_json=as_json)


def _make(settings: NodeConfig, period: str) -> Report:
    over = Period.parse(period, system_clock())
    directory = directory_of(settings)
    with figures.look(settings.store) as view:
        return report.make(view, settings.node, directory, over)


def _tell(told: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        output.emit_json(told)
    else:
        output.emit_table(("what", "is"), ((name, _plain(value)) for name, value in told.items()))


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else value
