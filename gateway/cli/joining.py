"""`rogatory federation make-node|add-node`: a further node, up to what founders must sign.

In: its code, where it will listen, the time. Out of `make-node`, on the node's own machine: its CA, keys, settings, its
first two registrars, the list of them signed, and what the founders must see. Out of `add-node`, in the folder of a
federation for development: the same with everybody that `rogatory federation init` makes, and a proposal. Nobody knows
the node before enough founders have signed and it was published. Refuses a node that is there already.

    DIR/node.json list.json                     for the founders, and for the publisher
    DIR/node.toml ca.* signing.key directory.key tls.* store/ root.json
    DIR/registrar/ registrar-2/                 for these two people: participant.toml signing.key sealing.key tls.* ...
"""

import shlex
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import click
from cryptography import x509
from nacl.signing import SigningKey
from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticError

from certs.pki import DevelopmentPki, Holder
from gateway import keys
from gateway.cli import output, passphrases
from gateway.cli.ceremony import repository_in
from gateway.cli.changes import NodeProposal
from gateway.cli.development import (
    CAST,
    DEFAULT_FEDERATION,
    HOST,
    INSTRUMENT,
    Summary,
    cast_of,
    check_domain,
    free_ports,
    instrument,
    key_entries,
    new_keys,
    participant_entry,
    summary_of,
)
from gateway.cli.folders import (
    NODE_SETTINGS,
    PARTICIPANT_SETTINGS,
    PLAIN,
    TARGET_KEY,
    AtRest,
    Extras,
    Member,
    made_whole,
    node_settings,
    write_node,
    write_participant,
)
from gateway.cli.proposal import node_lines, spoken
from gateway.clock import system_clock
from gateway.config import DirectorySource, Listen, NodeConfig, checked, is_reachable
from gateway.directory import FederationList, NodeEntry, ParticipantList
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.target_keys import TargetKey
from gateway.trust import development
from gateway.trust.fetch import GRPCS, HTTPS
from gateway.trust.lists import SignedList
from gateway.trust.roles import MAX_METADATA_BYTES, ROOT
from gateway.trust.signing import key_of, signer_of

LIST_FILE: Final = "participants.json"
PROPOSAL_FILE: Final = "node.json"
SIGNED_LIST_FILE: Final = "list.json"
NODE_CA_FILE: Final = "node-ca.pem"
DIRECTORY_KEY: Final = "directory.key"

_REGISTRARS: Final = tuple(part for part in CAST if part.role is Role.REGISTRAR)


def join(
    folder: Path, code: str, port: int, now: datetime, enrolment_port: int | None = None, at_rest: AtRest = PLAIN
) -> Summary:
    """Make a node and its participants, and propose it to the founders.

    Args:
        folder: of the federation.
        code: of the node.
        port: on the loopback address.
        now: the time.
        enrolment_port: one more, for those who are not in the federation yet.
        at_rest: how key files are written, and the key of the development root was.

    Returns:
        The new node and its participants.

    Raises:
        Refusal: BAD_INPUT, the code or the folder is wrong; KEY_FILE, the root's key cannot be used.
    """
    repository = repository_in(folder)
    federation = repository.pending_federation() or repository.federation()
    address = _address_of(code)
    # What is proposed alone may be of a node that was not made to its end: then it is proposed anew.
    if (folder / code).exists() or any(node.code == code for node in repository.federation().nodes):
        raise Refusal(ErrorCode.BAD_INPUT, f"{code} is there already", "code")
    pki, signing = _pki(folder / "pki", federation.federation, now, at_rest), SigningKey.generate()
    people = cast_of([code])
    owned = new_keys(people, _target_key(folder, at_rest))
    enrolment = "" if enrolment_port is None else f"{HOST}:{enrolment_port}"
    summary = summary_of(folder, federation.federation, {code: f"{HOST}:{port}"}, {code: enrolment})
    (node,) = summary.nodes
    entries = ParticipantList(
        node=address.node, participants=tuple(participant_entry(a, part.role, owned.get(a), now) for a, part in people)
    )
    entry = NodeEntry(
        code=code,
        endpoint=node.endpoint,
        ca=pki.node_ca(code).pem.decode(),
        signing_keys=key_entries(bytes(signing.verify_key), now),
    )
    delegated = SigningKey.generate()
    with made_whole(folder / code) as draft:
        at_rest.save_holder(pki.node_ca(code), draft, "ca")
        extras = Extras(tables=_registry(node) if enrolment else {})
        write_node(replace(node, config=draft / NODE_SETTINGS), pki, signing, extras, at_rest)
        for each in summary.participants:
            config = draft / each.address.name / PARTICIPANT_SETTINGS
            write_participant(replace(each, config=config), pki, owned.get(each.address), Extras(), at_rest)
        (draft / LIST_FILE).write_bytes(entries.to_json())
        at_rest.save_signing_key(draft / DIRECTORY_KEY, delegated)
        repository.propose_federation(_with(federation, entry), {code: signer_of(delegated).public_key}, now)
    return summary


def make(
    folder: Path,
    node: Member,
    federation: str,
    source: DirectorySource,
    now: datetime,
    at_rest: AtRest,
) -> NodeProposal:
    """Make a node's folder on its own machine, with its two first registrars.

    Args:
        folder: new; all paths in it are relative. It is there whole, or not at all.
        node: who it is, and where it is reached.
        federation: its domain.
        source: root, and where the directory is published.
        now: the time.
        at_rest: how key files are written.

    Returns:
        What the founders must see.

    Raises:
        Refusal: BAD_INPUT, the folder exists, the root cannot be read, or no node could run so.
    """
    code, pki = node.address.node, DevelopmentPki(federation, now)
    ca, signing, delegated = pki.use_own_ca(code), SigningKey.generate(), SigningKey.generate()
    root = _read_root(source.root)
    people = [(Address(code, part.name), part) for part in _REGISTRARS]
    owned = new_keys(people)
    extras = Extras(_node_directory(source), _registry(node))
    _check_settings(node, extras, at_rest)
    with made_whole(folder) as draft:
        write_node(replace(node, config=draft / NODE_SETTINGS), pki, signing, extras, at_rest)
        at_rest.save_holder(ca, draft, "ca")
        at_rest.save_signing_key(draft / DIRECTORY_KEY, delegated)
        (draft / development.ROOT_FILE).write_bytes(root)
        for address, part in people:
            config = draft / part.name / PARTICIPANT_SETTINGS
            # From its own node: a registrar's machine need not reach where the directory is published.
            own = {
                "root": development.ROOT_FILE,
                "repository": f"{GRPCS}{node.endpoint}",
                "ca": NODE_CA_FILE,
            }
            member = Member(address, part.role, config, node.endpoint)
            write_participant(member, pki, owned[address], Extras(own), replace(at_rest, asked=True))
            (config.parent / development.ROOT_FILE).write_bytes(root)
            (config.parent / NODE_CA_FILE).write_bytes(ca.pem)
        listed = tuple(participant_entry(a, part.role, owned.get(a), now) for a, part in people)
        signed = SignedList.sign(delegated, ParticipantList(node=code, participants=listed), 1, now)
        signed.save(draft / SIGNED_LIST_FILE)
        entry = NodeEntry(
            code=code,
            endpoint=node.endpoint,
            ca=ca.pem.decode(),
            signing_keys=key_entries(bytes(signing.verify_key), now),
        )
        proposal = NodeProposal(entry=entry, directory_key=bytes(delegated.verify_key))
        (draft / PROPOSAL_FILE).write_text(proposal.model_dump_json(indent=2) + "\n")
    return proposal


def _check_settings(node: Member, extras: Extras, at_rest: AtRest) -> None:
    """Check what will stand in the settings before any key is made, and that others can call the node."""
    try:
        asked = TypeAdapter(Listen).validate_python(node.endpoint)
    except PydanticError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"{node.endpoint} is no HOST:PORT", "endpoint") from error
    if not is_reachable(asked):
        raise Refusal(ErrorCode.BAD_INPUT, f"nobody can call {asked}", "endpoint")
    try:
        checked(NodeConfig, {**node_settings(node, extras, at_rest), **extras.tables}, node.config)
    except Refusal as error:
        raise Refusal(ErrorCode.BAD_INPUT, error.detail, error.field) from error


def _target_key(folder: Path, at_rest: AtRest) -> TargetKey | None:
    """Return the key that the authorities of a federation for development share; none if it has none."""
    found = next(folder.glob(f"*/*/{TARGET_KEY}"), None)
    return None if found is None else keys.load_target_key(found, at_rest.passphrase)


def _registry(node: Member) -> dict[str, dict[str, object]]:
    table: dict[str, object] = {"ca_certificate": "ca.pem", "ca_key": "ca.key", "directory_key": DIRECTORY_KEY}
    if node.enrolment:
        port = node.enrolment.rpartition(":")[2]
        table |= {"listen": node.enrolment, "endpoint": f"{node.endpoint.rpartition(':')[0]}:{port}"}
    return {"registry": table}


def _node_directory(source: DirectorySource) -> dict[str, object]:
    where = source.repository if "://" in source.repository else str(Path(source.repository).resolve())
    found: dict[str, object] = {"root": development.ROOT_FILE, "repository": where}
    return found if source.ca is None else {**found, "ca": str(source.ca.resolve())}


def _address_of(code: str) -> Address:
    try:
        return Address.of_node(code)
    except Refusal as error:
        raise Refusal(ErrorCode.BAD_INPUT, error.detail, "code") from error


def _read_root(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_METADATA_BYTES[ROOT])
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", "root") from error


def _with(federation: FederationList, entry: NodeEntry) -> FederationList:
    nodes = (*(node for node in federation.nodes if node.code != entry.code), entry)
    bound = instrument([node.code for node in nodes])
    instruments = (*(each for each in federation.instruments if each.id != INSTRUMENT), bound)
    return federation.model_copy(update={"nodes": nodes, "instruments": instruments})


def _pki(folder: Path, federation: str, now: datetime, at_rest: AtRest) -> DevelopmentPki:
    pki = DevelopmentPki(federation, now)
    try:
        certificate = x509.load_pem_x509_certificate((folder / "root.pem").read_bytes())
    except (OSError, ValueError) as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"{folder} holds no development PKI", "folder") from error
    pki.root = Holder(certificate, keys.load_tls_key(folder / "root.key", at_rest.passphrase))
    return pki


@click.command(epilog="\b\nExample:\n  rogatory federation add-node fed fi --port 7450")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.argument("code", metavar="CODE")
@click.option("--port", type=click.IntRange(1, 65535), help="Where it listens; without it, a port that is free now.")
@click.option("--no-registry", is_flag=True, help="A node that registers nobody.")
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="As with `rogatory federation init`.",
)
@output.json_option
def add_node(
    folder: Path, code: str, port: int | None, no_registry: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Make a further node CODE in the development federation DIR, and propose it to the founders."""
    at_rest = AtRest.under(passphrase_file)
    found = free_ports(2)
    enrolment = None if no_registry else found[1]
    summary = join(folder, code, port or found[0], system_clock(), enrolment, at_rest)
    node = summary.nodes[0]
    phrase = [] if passphrase_file is None else ["--passphrase-file", str(passphrase_file)]
    steps = [
        *(
            ["federation", "sign", str(folder), "--key", str(development.founder_key(folder, number)), *phrase]
            for number in range(1, repository_in(folder).keys().threshold + 1)
        ),
        [
            *("federation", "publish", str(folder), "--node", code),
            *("--participants", str(folder / code / LIST_FILE), *phrase),
        ],
        ["serve", "--config", str(node.config)],
    ]
    if as_json:
        output.emit_json({"node": code, "endpoint": node.endpoint, "config": str(node.config), "next": steps})
        return
    output.emit_table(("address", "node at", "settings"), [(node.address, node.endpoint, node.config)])
    click.echo("\nNext:")
    for step in steps:
        click.echo(f"  {shlex.join(['rogatory', *step])}")


@click.command(
    "make-node",
    epilog="\b\nExample:\n  rogatory federation make-node ee-node ee --federation rogatory.example"
    " --endpoint node.ee.example:7440 --enrolment 0.0.0.0:7540 --root root.json"
    " --repository https://directory.example/rogatory",
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.argument("code", metavar="CODE")
@click.option("--federation", default=DEFAULT_FEDERATION, show_default=True, help="Domain of the federation.")
@click.option("--endpoint", required=True, help="HOST:PORT at which the others reach it.")
@click.option("--listen", help="HOST:PORT at which it listens, if that is another.")
@click.option("--enrolment", default="", help="HOST:PORT at which it listens to those who are to be registered.")
@click.option(
    "--root",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The root that the founders hand out; compare its SHA-256 with them.",
)
@click.option("--repository", required=True, help="Where the directory is published: a folder or an https:// address.")
@click.option("--ca", type=click.Path(path_type=Path, dir_okay=False), help="What vouches for that HTTPS server.")
@click.option("--plain", is_flag=True, help="Do not put keys under a passphrase.")
@passphrases.file_option
@output.json_option
def make_node(
    folder: Path,
    code: str,
    federation: str,
    endpoint: str,
    listen: str | None,
    enrolment: str,
    root: Path,
    repository: str,
    ca: Path | None,
    plain: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make node CODE in the new folder DIR, on the machine where it will run, with its first two registrars.

    Keys lie under the passphrase in --passphrase-file, from which the node reads it when it starts.
    """
    address = _address_of(code)
    check_domain(federation)
    if repository.startswith(GRPCS) or ("://" in repository and not repository.startswith(HTTPS)):
        raise Refusal(ErrorCode.BAD_INPUT, "a folder or an https:// address is wanted", "repository")
    if plain == (passphrase_file is not None):
        raise Refusal(ErrorCode.BAD_INPUT, "name a passphrase file, or say --plain", "passphrase-file")
    at_rest = AtRest.under(passphrase_file)
    node = Member(address, Role.NODE, folder / NODE_SETTINGS, endpoint, enrolment, listen or "")
    source = DirectorySource(root=root, repository=repository, cache=Path("directory"), ca=ca)
    proposal = make(folder, node, federation, source, system_clock(), at_rest)
    keyid = key_of(proposal.directory_key).keyid
    if as_json:
        output.emit_json(
            {
                "node": code,
                "config": str(node.config),
                "proposal": str(folder / PROPOSAL_FILE),
                "list": str(folder / SIGNED_LIST_FILE),
                "list_key_id": keyid,
                "registrars": [str(folder / part.name / PARTICIPANT_SETTINGS) for part in _REGISTRARS],
            }
        )
        return
    where, *known_by = node_lines(proposal.entry)
    for line in (f"node {code} {where}", *known_by, f"node-{code} key {spoken(keyid)}"):
        click.echo(line)
    click.echo(f"\nFor the founders: {folder / PROPOSAL_FILE}; for the publisher: {folder / SIGNED_LIST_FILE}")
