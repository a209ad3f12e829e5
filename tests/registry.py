"""A signed directory for tests, with all its keys: whoever holds it can do what founders, nodes, the publisher and the
server in between could, rightly or wrongly."""

import fcntl
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from gateway.config import DirectorySource
from gateway.directory import Directory, ParticipantList
from gateway.trust import client
from gateway.trust.client import Trusted
from gateway.trust.files import Files
from gateway.trust.repository import Repository, RootKeys
from gateway.trust.roles import list_path, node_role
from gateway.trust.signing import signer_of
from tests import world
from tests.world import NOW

LATER = NOW + timedelta(hours=1)


def is_held(folder: Path) -> bool:
    """Whether somebody has locked a folder against all others."""
    with (folder / ".lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def key(name: str) -> SigningKey:
    """Return the key of `founder-1`, `publisher`, `ee`, or of nobody."""
    return SigningKey(sha256(b"directory " + name.encode()).digest())


FOUNDERS = tuple(key(f"founder-{number}") for number in (1, 2, 3))
NEW_FOUNDERS = tuple(key(f"new-founder-{number}") for number in (1, 2, 3))
PUBLISHER = key("publisher")


def public(keys: Iterable[SigningKey]) -> list[Any]:
    return [signer_of(each).public_key for each in keys]


@dataclass(frozen=True)
class Registry:
    """A repository, and a node that reads it."""

    folder: Path

    @property
    def repository(self) -> Repository:
        return Repository(self.folder / "repository")

    @property
    def metadata(self) -> Path:
        return self.folder / "repository" / "metadata"

    @property
    def targets(self) -> Path:
        return self.folder / "repository" / "targets"

    def source(self, cache: str = "cache", **changes: Any) -> DirectorySource:
        fields = {
            "root": self.folder / "root.json",
            "repository": str(self.folder / "repository"),
            "cache": self.folder / cache,
        }
        return DirectorySource.model_validate(fields | changes)

    def load(self, now: datetime = LATER) -> Trusted:
        return client.load(self.source(), now)

    def load_as_newcomer(self, now: datetime = LATER) -> Trusted:
        shutil.rmtree(self.folder / "newcomer", ignore_errors=True)
        return client.load(self.source("newcomer"), now)

    def list_of(self, code: str) -> ParticipantList:
        return self.repository.list_of(code)

    def publish(self, now: datetime = NOW) -> None:
        self.repository.publish(PUBLISHER, now)

    def put_list(self, code: str, entries: Sequence[Any], now: datetime = NOW) -> None:
        made = ParticipantList(node=code, participants=tuple(entries))
        self.repository.put_list(code, key(code), made, now)

    def propose(self, directory: Directory = world.DIRECTORY, now: datetime = NOW) -> None:
        self.repository.propose_federation(directory.split()[0], {}, now)

    def sign(self, *founders: SigningKey) -> None:
        for each in founders:
            self.repository.sign(each)

    def newer(self) -> None:
        """Make a second version of everything but the root, rightly."""
        self.propose()
        self.sign(*FOUNDERS[:2])
        self.publish()
        for each in world.DIRECTORY.split()[1]:
            self.put_list(each.node, each.participants)
        self.publish()

    # What somebody with a key, or with the server, can do

    def newest(self, role: str) -> Path:
        if role == "timestamp":
            return self.metadata / "timestamp.json"
        return max(self.metadata.glob(f"*.{role}.json"), key=lambda path: int(path.name.split(".")[0]))

    def forge(self, role: str, change: Callable[[Any], None], *signers: SigningKey, version: int = 1) -> None:
        """Write a next version of a role's metadata, changed and signed by these; `version` is added to its own."""
        metadata: Metadata[Any] = Metadata.from_bytes(self.newest(role).read_bytes())
        metadata.signed.version += version
        change(metadata.signed)
        metadata.signatures.clear()
        for each in signers:
            metadata.sign(signer_of(each), append=True)
        name = "timestamp.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
        (self.metadata / name).write_bytes(metadata.to_bytes())

    def sign_list_of_anything(self, code: str, path: str, content: bytes, signer: SigningKey | None = None) -> None:
        """Let a node's role claim any file, and let the publisher not look."""

        def change(signed: Targets) -> None:
            signed.targets[path] = TargetFile.from_data(path, content, ["sha256"])

        self.forge(node_role(code), change, signer or key(code))
        folder, _, name = path.rpartition("/")
        (self.targets / folder / f"{sha256(content).hexdigest()}.{name}").write_bytes(content)
        self.publish_unseen()

    def point_timestamp_at_newest_snapshot(self) -> None:
        newest = Files(self.folder / "repository").meta("snapshot")

        def change(signed: Timestamp) -> None:
            signed.snapshot_meta = newest

        self.forge("timestamp", change, PUBLISHER)

    def forge_snapshot(self, change: Callable[[Snapshot], None], signer: SigningKey = PUBLISHER) -> None:
        """Publish a changed snapshot with a timestamp that fits."""
        self.forge("snapshot", change, signer)
        self.point_timestamp_at_newest_snapshot()

    def publish_unseen(self) -> None:
        """Publish the newest of everything as a publisher does that does not look at it."""

        def change(signed: Snapshot) -> None:
            for name in signed.meta:
                signed.meta[name] = Files(self.folder / "repository").meta(name.removesuffix(".json"))

        self.forge_snapshot(change)


def make(folder: Path) -> Registry:
    """Found a federation of everybody in `tests.world`, two of three founders."""
    made = Registry(folder)
    federation, lists = world.DIRECTORY.split()
    (publisher,) = public([PUBLISHER])
    nodes = {code: public([key(code)])[0] for code in world.NODES}
    made.repository.found(RootKeys(tuple(public(FOUNDERS)), 2, publisher), federation, nodes, NOW)
    made.sign(*FOUNDERS[:2])
    made.publish()
    for each in lists:
        made.put_list(each.node, each.participants)
    made.publish()
    (folder / "root.json").write_bytes(made.repository.root())
    return made


def nothing(signed: Root | Targets | Snapshot | Timestamp) -> None:
    """Change nothing."""


def expire(signed: Root | Targets | Snapshot | Timestamp) -> None:
    """Let it have expired."""
    signed.expires = LATER.replace(microsecond=0) - timedelta(seconds=1)


def path_of(code: str) -> str:
    return list_path(code)
