"""`rogatory overview`: how a node does, on one page: what to worry about first, then what waits, what goes, what ends.

In: the settings of an operator or auditor. Out: what the node tells (`Trace.GetOverview`). Exit code 1 if somebody has
to act at once, so that whatever runs it can call somebody.
"""

import asyncio
from pathlib import Path
from typing import Final

import click
from google.protobuf.json_format import MessageToDict
from rogatory.v1 import trace_pb2 as trace

from gateway import material
from gateway.cli import output, passphrases
from gateway.cli.trace import fetch_overview
from gateway.printable import printable
from gateway.story import rule_name, time_text
from gateway.trust.client import load_for_verification

ACT: Final = 1
SHOWN: Final = 12
"""Rows of a table of what ends or is due; JSON has them all."""


@click.command(epilog="\b\nExample:\n  rogatory overview --config fed/ee/operator/participant.toml")
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The operator's settings."
)
@output.json_option
@click.pass_context
def command(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Show how a node does. Exit code 1: somebody has to act at once, see docs/runbook.md."""
    loaded = material.load_participant(path, ask=passphrases.ask, find=load_for_verification)
    found = asyncio.run(fetch_overview(loaded))
    if as_json:
        output.emit_json(MessageToDict(found, preserving_proto_field_name=True))
    else:
        _show(found)
    if any(each.urgent for each in found.warnings):
        ctx.exit(ACT)


def _show(found: trace.GetOverviewResponse) -> None:
    click.echo(f"node {found.node} at {time_text(found.at_us)}, directory {found.directory_version}\n")
    _table(
        ("", "warning", "since", "what"),
        [("!" if w.urgent else "", w.name, time_text(w.since_us), w.detail) for w in found.warnings],
    )
    _table(
        ("destination", "waiting", "in doubt", "since", "last error", "held by"),
        [
            (each.address, each.waiting, each.in_doubt, _time(each.oldest_at_us), each.last_error, each.held_by)
            for each in found.destinations
        ],
    )
    _table(
        ("from", "to", "last hour", "last minute", "waiting"),
        [(each.from_node, each.to_node, each.last_hour, each.last_minute, each.waiting) for each in found.flows],
    )
    _table(
        ("due", "limit", "of", "from", "stage"),
        [(time_text(c.due_us), rule_name(c.rule), c.matter.id, c.matter.sender, c.stage) for c in found.clocks[:SHOWN]],
    )
    _table(("ends", "what", "whose"), [(time_text(e.at_us), e.what, e.whose) for e in found.expiries[:SHOWN]])
    log = found.log
    click.echo(f"log: {log.size} entries signed {_time(log.at_us) or 'never'}, {log.waiting} to come")
    _table(("witness", "entries", "at"), [(each.name, each.size, _time(each.at_us)) for each in log.witnesses])


def _table(headings: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    if rows:
        output.emit_table(headings, [tuple(printable(str(each)) for each in row) for row in rows])
        click.echo()


def _time(micros: int) -> str:
    return time_text(micros) if micros else ""
