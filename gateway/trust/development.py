"""A signed directory of which one folder holds every key: for development and tests, never for a federation of States.

In: a folder, a directory, the time. Out: founders', publisher's and nodes' keys (0600, each founder's in a folder of
its own) and a repository that they signed, exactly as founders on different machines would.

    DIR/root.json                        what is handed out by hand
    DIR/repository/                      what is served
    DIR/founders/1/founder.key publisher/publisher.key ee/directory.key
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from nacl.signing import SigningKey

from gateway import keys
from gateway.directory import Directory
from gateway.trust.repository import Repository, RootKeys
from gateway.trust.signing import signer_of

ROOT_FILE: Final = "root.json"
REPOSITORY: Final = "repository"
FOUNDERS: Final = 3
THRESHOLD: Final = 2


def founder_key(folder: Path, number: int) -> Path:
    """Return where a founder's key lies; they are numbered from 1."""
    return folder / "founders" / str(number) / "founder.key"


def publisher_key(folder: Path) -> Path:
    """Return where the publisher's key lies."""
    return folder / "publisher" / "publisher.key"


def node_key(folder: Path, code: str) -> Path:
    """Return where the key lies that signs a node's list."""
    return folder / code / "directory.key"


@dataclass(frozen=True, slots=True)
class Makers:
    """Who speaks for a federation.

    Args:
        founders: how many.
        threshold: how many of them speak for all.
        publisher: code of the node that publishes; empty: it is done by hand.
    """

    founders: int = FOUNDERS
    threshold: int = THRESHOLD
    publisher: str = ""


def found(
    folder: Path,
    directory: Directory,
    now: datetime,
    makers: Makers = Makers(),
    save: Callable[[Path, SigningKey], None] = keys.save_signing_key,
) -> None:
    """Make the keys, the repository and the root that is handed out.

    Args:
        folder: of the federation.
        directory: who exists.
        now: the time.
        makers: who speaks for it.
        save: writes a key file.

    Raises:
        Refusal: KEY_FILE, a key exists already.
        OSError: the folder cannot be written.
    """
    signers = [_new_key(founder_key(folder, number), save) for number in range(1, makers.founders + 1)]
    publisher = _new_key(publisher_key(folder), save)
    nodes = {node.code: _new_key(node_key(folder, node.code), save) for node in directory.nodes}
    federation, lists = directory.split()
    federation = federation.model_copy(update={"publisher": makers.publisher})
    repository = Repository(folder / REPOSITORY)
    public = [signer_of(key).public_key for key in signers]
    delegated = {code: signer_of(key).public_key for code, key in nodes.items()}
    repository.found(
        RootKeys(tuple(public), makers.threshold, signer_of(publisher).public_key), federation, delegated, now
    )
    for key in signers[: makers.threshold]:
        repository.sign(key)
    repository.publish(publisher, now)
    for each in lists:
        repository.put_list(each.node, nodes[each.node], each, now)
    repository.publish(publisher, now)
    (folder / ROOT_FILE).write_bytes(repository.root())


def sign_anew(
    folder: Path,
    directory: Directory,
    now: datetime,
    new_nodes: Iterable[str] = (),
) -> None:
    """Sign a changed directory with all keys of the folder, and publish it. What it cannot say stays as it was.

    Args:
        folder: of the federation.
        directory: all of it.
        now: the time.
        new_nodes: nodes that have no key yet.

    Raises:
        Refusal: KEY_FILE, a key is missing; BAD_DIRECTORY, a list unsays what it said before.
    """
    repository = Repository(folder / REPOSITORY)
    delegated = {
        code: signer_of(_new_key(node_key(folder, code), keys.save_signing_key)).public_key for code in new_nodes
    }
    federation, lists = directory.split()
    repository.propose_federation(
        federation.model_copy(update={"publisher": repository.federation().publisher}), delegated, now
    )
    for path in sorted((folder / "founders").glob("*/founder.key")):
        repository.sign(keys.load_signing_key(path))
    publisher = keys.load_signing_key(publisher_key(folder))
    repository.publish(publisher, now)
    for each in lists:
        own = each
        if repository.list_version(each.node):
            own = repository.list_of(each.node).model_copy(update={"participants": each.participants})
        repository.put_list(each.node, keys.load_signing_key(node_key(folder, each.node)), own, now)
    repository.publish(publisher, now)


def _new_key(path: Path, save: Callable[[Path, SigningKey], None]) -> SigningKey:
    key = SigningKey.generate()
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    save(path, key)
    return key
