"""`rogatory federation add-node`: a further node for a development federation, up to what founders must sign.

In: a federation's folder as `rogatory federation init` made it, the node's code and port. Out: the node's folder, its
CA and certificates, its participants, the list of them; and a proposal to the founders. Nobody knows the node before
enough of them have signed and it was published. Refuses a node that is there already.
"""

import shlex
from datetime import datetime
from pathlib import Path
from typing import Final

import click
from cryptography import x509
from nacl.signing import SigningKey

from certs.pki import DevelopmentPki, Holder
from gateway import keys
from gateway.cli import output
from gateway.cli.ceremony import repository_in
from gateway.cli.federation import (
    HOST,
    INSTRUMENT,
    Summary,
    cast_of,
    free_ports,
    instrument,
    key_entries,
    new_keys,
    participant_entry,
    summary_of,
    write_node,
    write_participant,
)
from gateway.clock import system_clock
from gateway.directory import FederationList, NodeEntry, ParticipantList
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.trust import development
from gateway.trust.signing import signer_of

LIST_FILE: Final = "participants.json"


def join(folder: Path, code: str, port: int, now: datetime) -> Summary:
    """Make a node and its participants, and propose it to the founders.

    Args:
        folder: of the federation.
        code: of the node.
        port: on the loopback address.
        now: the time.

    Returns:
        The new node and its participants.

    Raises:
        Refusal: BAD_INPUT, the code or the folder is wrong; KEY_FILE, the root's key cannot be used.
    """
    repository = repository_in(folder)
    federation = repository.pending_federation() or repository.federation()
    try:
        address = Address.of_node(code)
    except Refusal as error:
        raise Refusal(ErrorCode.BAD_INPUT, error.detail, "code") from error
    if (folder / code).exists() or any(node.code == code for node in federation.nodes):
        raise Refusal(ErrorCode.BAD_INPUT, f"{code} is there already", "code")
    pki, signing = _pki(folder / "pki", federation.federation, now), SigningKey.generate()
    people = cast_of([code])
    owned = new_keys(people)
    summary = summary_of(folder, federation.federation, {code: f"{HOST}:{port}"})
    pki.node_ca(code).write(folder / "pki" / code, "ca")
    write_node(summary.nodes[0], pki, signing, {})
    for participant in summary.participants:
        write_participant(participant, pki, owned.get(participant.address))
    entries = ParticipantList(
        node=address.node, participants=tuple(participant_entry(a, part.role, owned.get(a), now) for a, part in people)
    )
    (folder / code / LIST_FILE).write_bytes(entries.to_json())
    entry = NodeEntry(
        code=code,
        endpoint=f"{HOST}:{port}",
        ca=pki.node_ca(code).pem.decode(),
        signing_keys=key_entries(bytes(signing.verify_key), now),
    )
    delegated = SigningKey.generate()
    keys.save_signing_key(development.node_key(folder, code), delegated)
    repository.propose_federation(_with(federation, entry), {code: signer_of(delegated).public_key}, now)
    return summary


def _with(federation: FederationList, entry: NodeEntry) -> FederationList:
    nodes = (*federation.nodes, entry)
    bound = instrument([node.code for node in nodes])
    instruments = (*(each for each in federation.instruments if each.id != INSTRUMENT), bound)
    return federation.model_copy(update={"nodes": nodes, "instruments": instruments})


def _pki(folder: Path, federation: str, now: datetime) -> DevelopmentPki:
    pki = DevelopmentPki(federation, now)
    try:
        certificate = x509.load_pem_x509_certificate((folder / "root.pem").read_bytes())
    except (OSError, ValueError) as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"{folder} holds no development PKI", "folder") from error
    pki.root = Holder(certificate, keys.load_tls_key(folder / "root.key"))
    return pki


@click.command(epilog="\b\nExample:\n  rogatory federation add-node fed fi --port 7450")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.argument("code", metavar="CODE")
@click.option("--port", type=click.IntRange(1, 65535), help="Where it listens; without it, a port that is free now.")
@output.json_option
def add_node(folder: Path, code: str, port: int | None, as_json: bool) -> None:
    """Make a further node CODE in the development federation DIR, and propose it to the founders."""
    summary = join(folder, code, port or free_ports(1)[0], system_clock())
    node = summary.nodes[0]
    steps = [
        *(
            ["federation", "sign", str(folder), "--key", str(development.founder_key(folder, number))]
            for number in range(1, development.THRESHOLD + 1)
        ),
        ["federation", "publish", str(folder), "--node", code, "--participants", str(folder / code / LIST_FILE)],
        ["serve", "--config", str(node.config)],
    ]
    if as_json:
        output.emit_json({"node": code, "endpoint": node.endpoint, "config": str(node.config), "next": steps})
        return
    output.emit_table(("address", "node at", "settings"), [(node.address, node.endpoint, node.config)])
    click.echo("\nNext:")
    for step in steps:
        click.echo(f"  {shlex.join(['rogatory', *step])}")
