"""`rogatory bench`: what things cost, as ratios taken in one run.

In: nothing. Out: tables and whether each target is met, or JSON; always also a file and pictures, so that runs can be
compared. Everything is real: mutual TLS, synced disks, a process for each node and each load. A figure in envelopes a
second is good for this machine and this minute; a ratio to the bare verification and the bare echo of the same run is
what can be compared.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from gateway.cli import LazyGroup, children, output

PARTS: Final[Mapping[str, str]] = {
    "soak": "Hold a rate, and show whether memory, backlog and latency stay flat.",
    "attachment": "Send a large file from one State to another, broken off on the way, and watch memory.",
    "readme": "Show the figures of a run in the README.",
}
"""Sub-commands, each with its line in the help."""


class Parts(LazyGroup):
    """The sub-commands of `PARTS`."""

    package, lines = __name__, PARTS


@click.group(
    cls=Parts,
    invoke_without_command=True,
    epilog="\b\nExample:\n  rogatory bench --quick\n  rogatory bench soak --minutes 10",
)
@click.option("--quick", is_flag=True, help="One short round of everything, in less than two minutes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("build/bench.json"),
    show_default=True,
    help="Where to write the figures; pictures go to a folder of that name beside it, and stores are made there.",
)
@output.json_option
@click.pass_context
def command(ctx: click.Context, quick: bool, out: Path, as_json: bool) -> None:
    """Measure what things cost, as ratios taken in one run."""
    # Whoever ends a bench ends what it has started, too, and leaves no store of gigabytes.
    ctx.with_resource(children.cleaned_up())
    if ctx.invoked_subcommand is not None:
        given = [name for name in ("quick", "out") if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT]
        if given:
            raise click.UsageError(f"--{given[0]} is of the whole bench; {ctx.invoked_subcommand} has its own options")
        return
    # Imported here: gRPC and SQL, for which `--help` does not wait.
    from gateway.cli.bench import plan, report, suite  # noqa: PLC0415

    figures = suite.measure(out, plan.QUICK if quick else plan.FULL, lambda text: click.echo(text, err=True))
    if as_json:
        output.emit_json(figures)
    else:
        report.show(figures)
        click.echo(f"written to {out}")
