"""`rogatory federation`: found a federation and sign its directory, or make one for development.

In: arguments. Out: the commands of `ceremony`, `joining` and `recovery`, and `init`, which makes all of `development`.
"""

import shlex
from pathlib import Path
from typing import Final

import click

from gateway.cli import ceremony, joining, output, recovery
from gateway.cli.development import DEFAULT_FEDERATION, Summary, free_ports, init_federation
from gateway.cli.folders import AtRest
from gateway.clock import system_clock
from gateway.directory import MAX_PORT
from gateway.identity import Address
from gateway.trust import development

DEFAULT_BASE_PORT: Final = 7440
ENROLMENT_OFFSET: Final = 100
"""From a node's port to the one where it listens to those who are not in the federation yet."""


class _InOrder(click.Group):
    """Lists its commands in the order of a federation's life."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names."""
        return [*self.commands]


@click.group(cls=_InOrder, epilog="\b\nExample:\n  rogatory federation init fed --nodes ee,de")
def command() -> None:
    """Found a federation, and sign its directory; or make one for development."""


@command.command(epilog="\b\nExample:\n  rogatory federation init fed --nodes ee,de,fi --base-port 7440")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--nodes", default="ee,de", show_default=True, help="Codes of the nodes, with commas between them.")
@click.option("--federation", default=DEFAULT_FEDERATION, show_default=True, help="Domain of the federation.")
@click.option(
    "--base-port",
    type=click.IntRange(1, MAX_PORT),
    default=DEFAULT_BASE_PORT,
    show_default=True,
    help="Port of the first node; the others follow.",
)
@click.option("--free-ports", "any_ports", is_flag=True, help="Take ports that are free now, instead of --base-port.")
@click.option("--founders", type=int, default=development.FOUNDERS, show_default=True, help="How many hold a root key.")
@click.option(
    "--threshold",
    type=int,
    default=development.THRESHOLD,
    show_default=True,
    help="How many founders speak for the federation.",
)
@click.option("--no-registry", is_flag=True, help="Nodes that register nobody, and a directory published by hand.")
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Put every key under the passphrase in this file, mode 0600; without it, keys are plain.",
)
@output.json_option
def init(
    folder: Path,
    nodes: str,
    federation: str,
    base_port: int,
    any_ports: bool,
    founders: int,
    threshold: int,
    no_registry: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make nodes, participants, keys, certificates and settings in the empty folder DIR.

    For development: one process makes every key. How States found a federation: docs/ceremony.md.
    """
    codes = [code.strip() for code in nodes.split(",")]
    count = len(codes)
    ports = free_ports(2 * count) if any_ports else [*range(base_port, base_port + count)]
    enrolment = ports[count:] if any_ports else [port + ENROLMENT_OFFSET for port in ports]
    at_rest = AtRest.under(passphrase_file)
    summary = init_federation(
        folder,
        codes,
        ports[:count],
        system_clock(),
        federation=federation,
        founders=founders,
        threshold=threshold,
        enrolment_ports=None if no_registry else enrolment,
        at_rest=at_rest,
    )
    if as_json:
        output.emit_json(_as_object(summary))
    else:
        _show(summary)
        if passphrase_file is None:
            click.echo("\nKeys are plain (encrypted_keys = false): for development. See --passphrase-file.")


def _as_object(summary: Summary) -> dict[str, object]:
    return {
        "folder": str(summary.folder),
        "federation": summary.federation,
        "root": str(summary.root),
        "nodes": [
            {
                "node": each.address.node,
                "endpoint": each.endpoint,
                "enrolment": each.enrolment,
                "config": str(each.config),
            }
            for each in summary.nodes
        ],
        "participants": [
            {"address": str(each.address), "role": each.role.value, "config": str(each.config)}
            for each in summary.participants
        ],
    }


def _show(summary: Summary) -> None:
    members = [
        each
        for node in summary.nodes
        for each in (node, *(other for other in summary.participants if other.address.node == node.address.node))
    ]
    rows = [(each.address, each.role.value, each.endpoint, each.config) for each in members]
    output.emit_table(("address", "role", "node at", "settings"), rows)
    click.echo("\nNext:")
    authority = Address(summary.nodes[-1].address.node, "central-authority")
    steps = [
        ["check-config", *(str(each.config) for each in summary.nodes)],
        *(["serve", "--config", str(node.config)] for node in summary.nodes),
        ["inbox", "--config", str(summary.config(str(authority)))],
    ]
    for step in steps:
        click.echo(f"  {shlex.join(['rogatory', *step])}")


for _each in (
    joining.add_node,
    ceremony.make_key,
    joining.make_node,
    ceremony.propose,
    ceremony.sign,
    ceremony.publish,
    ceremony.sign_list,
    ceremony.status,
    recovery.command,
):
    command.add_command(_each)
