"""`rogatory federation make-key|propose|sign|publish|sign-list|status`: what founders, nodes and the publisher do.

In: a federation's folder or its repository's, a key. Out: proposals, signatures, a newer directory, who signed what and
until when it counts. Each key is used where it lies: a founder needs the repository's folder and his own key, nothing
else; docs/ceremony.md tells who does what. Refuses with BAD_INPUT a key that has nothing to sign, and with
BAD_DIRECTORY what no node would take.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from nacl.signing import SigningKey

from gateway import keys
from gateway.cli import changes, files, folders, output, passphrases
from gateway.cli.changes import NodeProposal
from gateway.cli.proposal import digest_of, lines_of, published_in, spoken
from gateway.cli.ranges import Span
from gateway.clock import system_clock
from gateway.directory import MAX_COSIGNATURES, ParticipantList
from gateway.errors import ErrorCode, Refusal
from gateway.printable import printable
from gateway.trust import development
from gateway.trust.files import write
from gateway.trust.lists import SignedList
from gateway.trust.repository import Repository
from gateway.trust.roles import LIFETIMES, TIMESTAMP
from gateway.trust.signatures import Signatures
from gateway.trust.signing import key_of, signer_of

_SHOWN_CHARACTERS: Final = 12
"""Of a key id in a table; enough to tell the keys of one federation apart."""

_DEFAULT_HOURS: Final = int(LIFETIMES[TIMESTAMP] / timedelta(hours=1))

_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
_a_file = click.Path(path_type=Path, dir_okay=False)


@click.command(
    "make-key",
    epilog="\b\nExample:\n  rogatory federation make-key --out founder.key --public founder.pub",
)
@click.option("--out", required=True, type=_a_file, help="The new key file; it never leaves this machine.")
@click.option("--public", required=True, type=_a_file, help="A new file with its public half, for the others.")
@click.option("--plain", is_flag=True, help="Do not put it under a passphrase.")
@passphrases.file_option
@output.json_option
def make_key(out: Path, public: Path, plain: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Make a key of a founder, of the publisher, or for a node's list."""
    if public.exists():
        raise Refusal(ErrorCode.BAD_INPUT, f"{public} is there already", "public")
    phrase = None if plain else passphrases.new(passphrase_file)
    key = SigningKey.generate()
    # First: a key whose public half is nowhere is good for nothing, and keeps the next one from its place.
    write(public, _public_pem(key), "public")
    try:
        keys.save_signing_key(out, key, phrase, folders.COST)
    except BaseException:
        public.unlink(missing_ok=True)
        raise
    keyid = signer_of(key).public_key.keyid
    if as_json:
        output.emit_json({"key": str(out), "public": str(public), "key_id": keyid})
    else:
        click.echo(f"key id {spoken(keyid)}")


@click.command(
    epilog="\b\nExamples:"
    "\n  rogatory federation propose dir --federation rogatory.example --founder ee.pub --founder de.pub"
    " --threshold 2 --publisher publisher.pub"
    "\n  rogatory federation propose dir --node node.json"
)
@_folder
@click.option("--federation", help="Domain of a federation that is to be founded in DIR.")
@click.option(
    "--founder",
    "founders",
    multiple=True,
    help="Every founder from now on: the file of a public key, or the key id of one who is a founder now.",
)
@click.option("--threshold", type=click.IntRange(1), help="How many founders speak for the federation.")
@click.option("--publisher", help="File of the publisher's public key.")
@click.option("--renew-root", is_flag=True, help="Propose the root anew; it ends after three years.")
@click.option("--node", "nodes", multiple=True, type=_a_file, help="What a node brings, see make-node; new or changed.")
@click.option("--keep-ca", is_flag=True, help="Of a changed node: the CA that it had counts beside the new one.")
@click.option("--only-ca", is_flag=True, help="Of a changed node: nothing else of what it brings; its keys stay.")
@click.option(
    "--list-key",
    "list_keys",
    multiple=True,
    metavar="CODE=FILE",
    help="Another key for the list of node CODE: the file of its public half. What the old one signed counts no more.",
)
@click.option("--revoke-node", "revoked", multiple=True, metavar="CODE", help="Put a node out, with all of its people.")
@click.option("--publishing-node", metavar="CODE", help="The node that publishes for all; '-' for none.")
@click.option("--instrument", "instruments", multiple=True, type=_a_file, help="A treaty or law, JSON; new or changed.")
@click.option("--drop-instrument", "dropped", multiple=True, metavar="ID", help="One that binds nobody any more.")
@click.option(
    "--cosignatures",
    type=click.IntRange(0, MAX_COSIGNATURES),
    help="How many witnesses must have cosigned a checkpoint of a node's log; every other node is one.",
)
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    nargs=2,
    metavar="KEY URL",
    help="A witness that is no node: its verifier key, as `rogatory witness keygen` prints it, and where it listens.",
)
@click.option("--drop-witness", "dropped_witnesses", multiple=True, metavar="NAME", help="One that is none any more.")
@output.json_option
def propose(
    folder: Path,
    federation: str | None,
    founders: tuple[str, ...],
    threshold: int | None,
    publisher: str | None,
    renew_root: bool,
    nodes: tuple[Path, ...],
    keep_ca: bool,
    only_ca: bool,
    list_keys: tuple[str, ...],
    revoked: tuple[str, ...],
    publishing_node: str | None,
    instruments: tuple[Path, ...],
    dropped: tuple[str, ...],
    cosignatures: int | None,
    witnesses: tuple[tuple[str, str], ...],
    dropped_witnesses: tuple[str, ...],
    as_json: bool,
) -> None:
    """Propose to the founders what the federation shall say, in DIR; without any change, the same for another year.

    Nothing counts before enough founders have signed and it is published. What was proposed before and is not
    published yet stays in; its signatures are gone.
    """
    now = system_clock()
    if federation is not None:
        repository = Repository(folder)
        if not founders or threshold is None or publisher is None:
            raise Refusal(ErrorCode.BAD_INPUT, "founders, a threshold and a publisher found a federation", "founder")
        present = changes.empty(federation)
    else:
        repository = repository_in(folder)
        present = repository.pending_federation() or repository.federation()
    brought = [changes.read(path, NodeProposal, "node") for path in nodes]
    laws = [changes.instrument(path) for path in instruments]
    published = published_in(repository, present.federation)
    before, said_of = ({node.code: node for node in each.nodes} for each in (present, published))
    entries = [
        changes.continued(entry, before.get(entry.code), said_of.get(entry.code), keep_ca=keep_ca, only_ca=only_ca)
        for entry in (each.entry for each in brought)
    ]
    watch = changes.Watch(cosignatures, witnesses, dropped_witnesses)
    said = changes.changed(present, entries, revoked, publishing_node, laws, dropped, watch)
    new = {} if only_ca else {each.entry.code: key_of(each.directory_key) for each in brought}
    node_keys = new | changes.list_keys(list_keys, said)
    if federation is not None:
        repository.found(changes.root_keys(None, founders, threshold, publisher), said, node_keys, now)
    else:
        if founders or threshold is not None or publisher is not None or renew_root:
            repository.propose_root(changes.root_keys(repository.keys(), founders, threshold, publisher), now)
        repository.propose_federation(said, node_keys, now)
    states = repository.signatures()
    _show_proposal(lines_of(repository), [each for each in states if each.pending])
    _emit(repository, states, now, as_json=as_json)


@click.command(epilog="\b\nExample:\n  rogatory federation sign dir --key founder.key")
@_folder
@click.option("--key", "path", required=True, type=_a_file, help="The founder's key file.")
@click.option("--yes", is_flag=True, help="Do not ask; you have read what you sign.")
@passphrases.file_option
@output.json_option
def sign(folder: Path, path: Path, yes: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Add a founder's signature to what is pending in DIR. It stays pending until enough founders have signed."""
    repository = repository_in(folder)
    states = repository.signatures()
    proposed = [each for each in states if each.pending]
    if not proposed:
        raise Refusal(ErrorCode.BAD_INPUT, f"nothing is pending in {folder}", "folder")
    if any(each.missing for each in states if not each.pending):
        # What changes is told by it, and the folder has been in other hands.
        raise Refusal(ErrorCode.BAD_DIRECTORY, f"what is published in {folder} lacks signatures", "folder")
    lines = lines_of(repository)  # also if nobody looks: what is shown must be what is signed
    if not yes:
        _show_proposal(lines, proposed)
        click.confirm("Sign this?", abort=True, err=True)
    repository.sign(_load(path, passphrase_file), {each.digest for each in proposed})
    _emit(repository, repository.signatures(), system_clock(), as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n  rogatory federation publish dir --key publisher.key"
    "\n  rogatory federation publish dir --key publisher.key --list list.json"
)
@_folder
@click.option("--key", type=_a_file, help="The publisher's key file.")
@click.option("--list", "lists", multiple=True, type=_a_file, help="A node's list, as the node signed it.")
@click.option(
    "--timestamp-hours",
    type=Span(0.001, _DEFAULT_HOURS),
    default=_DEFAULT_HOURS,
    show_default=True,
    help="For how long it counts unless it is renewed, so for how long at most somebody in between can hold back news."
    " A month, for who publishes by hand; a node that publishes (`[publisher]`) renews by itself, and takes a day.",
)
@click.option("--node", "code", help="With the node's key at hand: sign this node's list of participants first.")
@click.option("--node-key", type=_a_file, help="The key file that signs its list.")
@click.option("--participants", type=_a_file, help="The new list, JSON; without it, the present one is signed again.")
@passphrases.file_option
@output.json_option
def publish(
    folder: Path,
    key: Path | None,
    lists: tuple[Path, ...],
    timestamp_hours: float,
    code: str | None,
    node_key: Path | None,
    participants: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Publish what enough founders have signed, and sign anew which versions belong together and are the newest.

    Keys are looked for where `rogatory federation init` puts them.
    """
    repository, now, life = repository_in(folder), system_clock(), timedelta(hours=timestamp_hours)
    if code is None and (node_key or participants):
        raise Refusal(ErrorCode.BAD_INPUT, "whose list?", "node")
    signed = [SignedList.load(path) for path in lists]
    publisher = _load(key or development.publisher_key(folder), passphrase_file)
    repository.publish(publisher, now, life)
    for each in signed:
        repository.accept_list(each, now)
    if code is not None:
        entries = _read_list(participants) if participants else repository.list_of(code)
        signer = _load(node_key or development.node_key(folder, code), passphrase_file)
        repository.put_list(code, signer, entries, now)
    if signed or code is not None:
        repository.publish(publisher, now, life)
    _emit(repository, repository.status(), now, as_json=as_json)


@click.command(
    "sign-list",
    epilog="\b\nExample:\n  rogatory federation sign-list dir ee --key directory.key --out list.json",
)
@_folder
@click.argument("code", metavar="CODE")
@click.option("--key", required=True, type=_a_file, help="The key file that signs the node's list.")
@click.option("--out", required=True, type=_a_file, help="Where the signed list is written, for the publisher.")
@click.option("--participants", type=_a_file, help="The new list, JSON; without it, the present one is signed again.")
@passphrases.file_option
@output.json_option
def sign_list(
    folder: Path,
    code: str,
    key: Path,
    out: Path,
    participants: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Sign the list of node CODE, next after the one in DIR. A node with `[registry]` does so by itself."""
    repository, now = repository_in(folder), system_clock()
    files.check_other(out, "out", key, participants)
    entries = _read_list(participants) if participants else repository.list_of(code)
    if entries.node != code:
        raise Refusal(ErrorCode.BAD_DIRECTORY, f"this is a list of node {entries.node}", "participants")
    signed = SignedList.sign(_load(key, passphrase_file), entries, repository.list_version(code) + 1, now)
    signed.save(out)
    if as_json:
        output.emit_json({"node": code, "version": signed.version, "list": str(out)})
    else:
        click.echo(f"version {signed.version} of the list of node {code}: {out}")


@click.command(epilog="\b\nExample:\n  rogatory federation status dir")
@_folder
@output.json_option
def status(folder: Path, as_json: bool) -> None:
    """Show every role in DIR: version, threshold, who signed, what is missing, and when it expires."""
    repository = repository_in(folder)
    _emit(repository, repository.status(), system_clock(), as_json=as_json)


def repository_in(folder: Path) -> Repository:
    """Return the repository of a federation's folder, or the one that the folder is.

    Raises:
        Refusal: BAD_INPUT, there is none.
    """
    for place in (folder / development.REPOSITORY, folder):
        if (place / "metadata").is_dir():
            return Repository(place)
    raise Refusal(ErrorCode.BAD_INPUT, f"{folder} holds no signed directory", "folder")


# Keys and files


def _public_pem(key: SigningKey) -> bytes:
    public = Ed25519PublicKey.from_public_bytes(bytes(key.verify_key))
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _load(path: Path, passphrase_file: Path | None) -> SigningKey:
    if passphrase_file is None and not keys.inspect(path).encrypted:
        return keys.load_signing_key(path)
    return keys.load_signing_key(path, passphrases.of_keys(passphrase_file))


def _read_list(path: Path) -> ParticipantList:
    try:
        return ParticipantList.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", "participants") from error


# What is shown


def _show_proposal(lines: Sequence[str], proposed: Sequence[Signatures]) -> None:
    for line in lines:
        click.echo(printable(f"  {line}"), err=True)
    click.echo(f"proposal {spoken(digest_of(proposed))}", err=True)


def _emit(repository: Repository, states: tuple[Signatures, ...], now: datetime, *, as_json: bool) -> None:
    warnings = [warning for each in states if not each.pending and (warning := each.warning(now))]
    proposal = digest_of([each for each in states if each.pending])
    root = next((each for each in states if each.role == "root" and not each.pending), None)
    digest = sha256(repository.root()).hexdigest() if root is not None else ""
    if as_json:
        roles = [_as_object(each) for each in states]
        output.emit_json({"roles": roles, "warnings": warnings, "proposal": proposal, "root_sha256": digest})
        return
    rows = [
        (
            each.role,
            each.version,
            f"{len(each.signed)} of {each.threshold}",
            " ".join(keyid[:_SHOWN_CHARACTERS] for keyid in each.signed),
            f"{each.expires:%Y-%m-%d %H:%M}",
            _progress(each),
        )
        for each in states
    ]
    output.emit_table(("role", "version", "signatures", "by", "expires", "state"), rows)
    if proposal:
        click.echo(f"\nproposal {spoken(proposal)}")
    if root is not None:
        click.echo(f"\nmetadata/{root.version}.root.json, SHA-256 {digest}")
    for warning in warnings:
        click.echo(f"warning {printable(warning)}", err=True)


def _progress(state: Signatures) -> str:
    if not state.pending:
        return "published"
    return f"pending, {state.missing} more" if state.missing else "signed, to be published"


def _as_object(state: Signatures) -> dict[str, object]:
    return {
        "role": state.role,
        "version": state.version,
        "expires": state.expires.isoformat(),
        "threshold": state.threshold,
        "signed": [*state.signed],
        "missing": state.missing,
        "pending": state.pending,
        "digest": state.digest,
    }
