"""`rogatory federation sign|publish|status`: what founders, nodes and the publisher do with the signed directory.

In: a federation's folder or its repository's, a key. Out: signatures, a newer directory, who signed what and until when
it counts. Each key is used where it lies: a founder needs the repository's folder and his own key, nothing else.
Refuses with BAD_INPUT a key that has nothing to sign, and with BAD_DIRECTORY what no node would take.
"""

from datetime import datetime
from pathlib import Path
from typing import Final

import click
from nacl.signing import SigningKey

from gateway import keys
from gateway.cli import output, passphrases
from gateway.clock import system_clock
from gateway.directory import FederationList, ParticipantList
from gateway.errors import ErrorCode, Refusal
from gateway.trust import development
from gateway.trust.repository import Repository
from gateway.trust.signatures import Signatures

_SHOWN_CHARACTERS: Final = 12
"""Of a key id; enough to tell the keys of one federation apart."""

_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))


@click.command(epilog="\b\nExample:\n  rogatory federation sign fed --key fed/founders/1/founder.key")
@_folder
@click.option(
    "--key", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The founder's key file."
)
@click.option("--yes", is_flag=True, help="Do not ask; you have read what you sign.")
@output.json_option
def sign(folder: Path, path: Path, yes: bool, as_json: bool) -> None:
    """Add a founder's signature to what is pending in DIR. It stays pending until enough founders have signed."""
    repository = repository_in(folder)
    proposed = [each for each in repository.signatures() if each.pending]
    if not proposed:
        raise Refusal(ErrorCode.BAD_INPUT, f"nothing is pending in {folder}", "folder")
    if not yes:
        _show_proposal(repository, proposed)
        click.confirm("Sign this?", abort=True, err=True)
    states = repository.sign(_load(path))
    _emit(states, system_clock(), as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n  rogatory federation publish fed\n  rogatory federation publish fed --node ee"
    " --participants ee.json"
)
@_folder
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), help="The publisher's key file.")
@click.option("--node", "code", help="Sign this node's list of participants first.")
@click.option("--node-key", type=click.Path(path_type=Path, dir_okay=False), help="The key file that signs its list.")
@click.option(
    "--participants",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The new list, JSON; without it, the present one is signed again.",
)
@output.json_option
def publish(
    folder: Path, key: Path | None, code: str | None, node_key: Path | None, participants: Path | None, as_json: bool
) -> None:
    """Publish what enough founders have signed, and sign anew which versions belong together and are the newest.

    Keys are looked for where `rogatory federation init` puts them.
    """
    repository, now = repository_in(folder), system_clock()
    if code is None and (node_key or participants):
        raise Refusal(ErrorCode.BAD_INPUT, "whose list?", "node")
    publisher = _load(key or development.publisher_key(folder))
    repository.publish(publisher, now)
    if code is not None:
        entries = _read_list(participants) if participants else repository.list_of(code)
        repository.put_list(code, _load(node_key or development.node_key(folder, code)), entries, now)
        repository.publish(publisher, now)
    _emit(repository.status(), now, as_json=as_json)


@click.command(epilog="\b\nExample:\n  rogatory federation status fed")
@_folder
@output.json_option
def status(folder: Path, as_json: bool) -> None:
    """Show every role in DIR: version, threshold, who signed, what is missing, and when it expires."""
    _emit(repository_in(folder).status(), system_clock(), as_json=as_json)


def repository_in(folder: Path) -> Repository:
    """Return the repository of a federation's folder, or the one that the folder is.

    Raises:
        Refusal: BAD_INPUT, there is none.
    """
    for place in (folder / development.REPOSITORY, folder):
        if (place / "metadata").is_dir():
            return Repository(place)
    raise Refusal(ErrorCode.BAD_INPUT, f"{folder} holds no signed directory", "folder")


def _load(path: Path) -> SigningKey:
    return keys.load_signing_key(path, passphrases.ask() if keys.inspect(path).encrypted else None)


def _read_list(path: Path) -> ParticipantList:
    try:
        return ParticipantList.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", "participants") from error


def _show_proposal(repository: Repository, proposed: list[Signatures]) -> None:
    for each in proposed:
        click.echo(
            f"{each.role} version {each.version}, threshold {each.threshold}, until {each.expires:%Y-%m-%d}", err=True
        )
    for line in _differences(repository, repository.pending_federation() or repository.federation()):
        click.echo(output.printable(f"  {line}"), err=True)


def _differences(repository: Repository, new: FederationList) -> list[str]:
    """Return what a founder has to know before he signs."""
    try:
        old = repository.federation()
    except Refusal:
        old = FederationList(federation=new.federation, nodes=())
    before, after = repository.delegated_keys(pending=False), repository.delegated_keys(pending=True)
    found = [
        f"{role} key {' '.join(keyid[:_SHOWN_CHARACTERS] for keyid in keyids)}"
        for role, keyids in after.items()
        if before.get(role) != keyids
    ]
    found += [f"{role}: no more" for role in before if role not in after]
    nodes = {node.code: node for node in old.nodes}
    instruments = {each.id: each for each in old.instruments}
    found += [
        f"{'changed' if node.code in nodes else 'new'} node {node.code} at {node.endpoint}, {node.status.value}"
        for node in new.nodes
        if nodes.get(node.code) != node
    ]
    for instrument in new.instruments:
        if instruments.get(instrument.id) != instrument:
            word = "changed" if instrument.id in instruments else "new"
            found.append(f"{word} instrument {instrument.id} between {', '.join(sorted(instrument.between))}")
    found += [f"node {code} is gone" for code in nodes if code not in {node.code for node in new.nodes}]
    found += [f"instrument {each} is gone" for each in instruments if each not in {i.id for i in new.instruments}]
    return found


def _emit(states: tuple[Signatures, ...], now: datetime, *, as_json: bool) -> None:
    warnings = [warning for each in states if not each.pending and (warning := each.warning(now))]
    if as_json:
        output.emit_json({"roles": [_as_object(each) for each in states], "warnings": warnings})
        return
    rows = [
        (
            each.role,
            each.version,
            f"{len(each.signed)} of {each.threshold}",
            " ".join(keyid[:_SHOWN_CHARACTERS] for keyid in each.signed),
            f"{each.expires:%Y-%m-%d}",
            _progress(each),
        )
        for each in states
    ]
    output.emit_table(("role", "version", "signatures", "by", "expires", "state"), rows)
    for warning in warnings:
        click.echo(f"warning {warning}", err=True)


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
    }
