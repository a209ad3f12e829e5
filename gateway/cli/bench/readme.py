"""`rogatory bench readme`: the figures of a run, with its machine, as the README shows them.

In: the file that a run has written, and a page with two marks. Out: the page, with what is between the marks made anew.
Refuses with BAD_INPUT: no such file, or none of a whole run, as a quick one is not; a page without the marks.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from gateway.cli import output
from gateway.cli.bench import plan, targets, written
from gateway.errors import ErrorCode, Refusal

BEGIN: Final = "<!-- figures: make bench && rogatory bench readme -->"
END: Final = "<!-- end of figures -->"

RATES: Final = {
    "verify_rate": "Ed25519 checks by libsodium, one core, nothing else",
    "accept_stream_rate": "a node accepts: one process, a stream",
    "accept_batch_signed_rate": "… of frames signed as one",
    "accept_two_process_rate": "… two processes over one file",
    "accept_postgresql_rate": "… one process over PostgreSQL",
    "accept_unary_rate": "… one envelope a call, 32 in flight",
    "end_to_end_rate": "two nodes, collected and acknowledged",
    "end_to_end_postgresql_rate": "… each over a PostgreSQL of its own",
    "rate_at_1e6": "a node that holds a million",
    "rabbitmq_rate": "RabbitMQ, quorum queue, confirms; verifies nothing",
    "jetstream_rate": "NATS JetStream, synced; verifies nothing",
    "as2_rate": "AS2, no disk, no network, one core",
}
"""What is shown beside the targets."""
_SUMMARY: Final = "<details><summary>What stands in the way of each that is not met, from the same run</summary>"


@click.command(epilog="\b\nExample:\n  rogatory bench readme")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("build/bench.json"),
    show_default=True,
    help="What a run has written.",
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("README.md"),
    show_default=True,
    help="The page that shows it.",
)
@output.json_option
def command(source: Path, page: Path, as_json: bool) -> None:
    """Show the figures of a run in the README."""
    try:
        figures, text = json.loads(source.read_bytes()), page.read_text()
    except (OSError, ValueError) as error:
        raise Refusal(ErrorCode.BAD_INPUT, str(error)) from error
    written.write(page, replaced(text, rendered(figures)))
    if as_json:
        output.emit_json({"page": str(page)})
    else:
        click.echo(f"written to {page}")


def rendered(figures: Mapping[str, Any]) -> str:
    """Return the figures of a run as Markdown.

    Raises:
        Refusal: BAD_INPUT, they are not of a whole run.
    """
    try:
        _check_whole(figures)
        return "\n\n".join((_machine(figures), _rates(figures), _targets(figures)))
    except (KeyError, TypeError) as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"no figures of a run: {error}", "from") from error


def _check_whole(figures: Mapping[str, Any]) -> None:
    full = plan.FULL
    if (figures["rounds"], figures["seconds_each"], tuple(figures["growth"])) != (
        full.rounds,
        full.seconds,
        full.growth,
    ):
        raise Refusal(ErrorCode.BAD_INPUT, "the figures of a quick run are shown to nobody; run `make bench`", "from")
    if [target["name"] for target in figures["targets"]] != [target.name for target in targets.TARGETS]:
        raise Refusal(ErrorCode.BAD_INPUT, "the run was judged by other targets; run `make bench` anew", "from")


def replaced(text: str, figures: str) -> str:
    """Return a page with other figures between its marks.

    Raises:
        Refusal: BAD_INPUT, it has none, or more than one of each.
    """
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended or BEGIN in after or END in after:
        raise Refusal(ErrorCode.BAD_INPUT, f"the page has not one {BEGIN} before one {END}", "page")
    return f"{before}{BEGIN}\n{figures}\n{END}{after}"


def _machine(figures: Mapping[str, Any]) -> str:
    about, libraries = figures["machine"], figures["machine"]["libraries"]
    return (
        f"{about['cores']} cores of {about['processor']}, {about['memory_bytes'] / (1 << 30):.0f} GiB,"
        f" {about['file_system']} with {figures['fsync_ms']:.1f} ms a sync, {about['system']},"
        f" Python {about['python']}, {', '.join(f'{name} {version}' for name, version in libraries.items())};"
        f" load {about['load_before']:.1f} before. Medians of {figures['rounds']} interleaved rounds of"
        f" {figures['seconds_each']:g} s each; mutual TLS, every commit synced, every receipt checked;"
        " what loads a node runs on the same cores."
    )


def _rates(figures: Mapping[str, Any]) -> str:
    bare = figures["verify_rate"]
    rows = []
    for name, what in RATES.items():
        rate = figures.get(name)
        told = ("not measured", "") if rate is None else (f"{rate:,.0f}", f"{rate / bare:.2f}")
        rows.append((what, *told))
    return _table(("envelopes of 1 KiB", "a second", "to the bare check"), rows)


def _targets(figures: Mapping[str, Any]) -> str:
    rows, reasons = [], []
    for target in figures["targets"]:
        measured = "not measured" if target["measured"] is None else targets.shown(target)
        rows.append((target["name"], target["wanted"], measured, "met" if target["met"] else "not met"))
        if not target["met"]:
            reasons.append(f"- {target['name']}: {target.get('reason') or target['not_measured']}")
    table = _table(("target", "wanted", "measured", "outcome"), rows)
    return "\n\n".join([table, _SUMMARY, "\n".join(reasons), "</details>"] if reasons else [table])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
