"""The files of a repository: what is published, and what awaits signatures.

In: a folder, roles. Out: metadata of the kind that is wanted; files that are replaced whole. Refuses with BAD_DIRECTORY
what cannot be read, with NOT_FOUND what is not there, and with BAD_INPUT a folder that cannot be written.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp

from gateway import private_files
from gateway.errors import ErrorCode, Refusal
from gateway.trust.forms import oddity
from gateway.trust.roles import ROOT, TARGETS

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)
Founded: TypeAlias = Metadata[Root] | Metadata[Targets]
"""What the founders sign."""


class Files:
    """Files of one repository.

    Args:
        folder: where it lies, or will.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata, self.targets, self.pending = folder / "metadata", folder / "targets", folder / "pending"

    def make(self) -> None:
        """Make the folders, for their owner alone.

        Raises:
            Refusal: BAD_INPUT, they cannot be made.
        """
        try:
            for folder in (self.folder, self.metadata, self.targets, self.targets / "participants", self.pending):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Refusal(ErrorCode.BAD_INPUT, f"cannot make {folder}: {error.strerror}", "folder") from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the repository against other writers, of this process and of others; who waits, waits for a moment.

        Raises:
            Refusal: BAD_INPUT, there is no such folder, or it cannot be written.
        """
        try:
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refusal(ErrorCode.BAD_INPUT, f"cannot write {self.folder}: {error.strerror}", "folder") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def version(self, role: str) -> int:
        """Return the newest version of a role; 0 if there is none."""
        return max(self._versions(role), default=0)

    def read(self, kind: type[S], role: str) -> Metadata[S]:
        """Return a role's newest published metadata.

        Raises:
            Refusal: NOT_FOUND, there is none; BAD_DIRECTORY, it holds something else.
        """
        version = self.version(role)
        if not version:
            raise Refusal(ErrorCode.NOT_FOUND, f"{self.folder} has no published {role}", "folder")
        return self.read_version(kind, role, version)

    def read_version(self, kind: type[S], role: str, version: int) -> Metadata[S]:
        """Return a version of a role's metadata; refuses as `read` does."""
        return parse(kind, self.metadata / f"{version}.{role}.json")

    def read_published(self, role: str) -> Founded:
        """Return what founders have signed and is published; refuses as `read` does."""
        return self.read(Root, ROOT) if role == ROOT else self.read(Targets, TARGETS)

    def read_pending(self, role: str) -> Founded | None:
        """Return what founders are asked to sign.

        Raises:
            Refusal: BAD_DIRECTORY, it cannot be read, is of another kind, or says more than is shown of it.
        """
        path = self.pending / f"{role}.json"
        if not path.exists():
            return None
        found: Founded = parse(Root, path) if role == ROOT else parse(Targets, path)
        odd = oddity(found.signed)
        if odd is not None:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"{path}: {odd}", "folder")
        return found

    def meta(self, role: str) -> MetaFile:
        """Return how a snapshot or timestamp names a role's newest metadata."""
        version = self.version(role)
        content = (self.metadata / f"{version}.{role}.json").read_bytes()
        # With hashes: nobody in between can then pass off an altered list as the node's own mistake.
        return MetaFile.from_data(version, content, ["sha256"])

    def read_target(self, path: str, targets: Targets) -> bytes:
        """Return a file that some metadata lists.

        Raises:
            Refusal: BAD_DIRECTORY, it is not listed, not there, or not as listed.
        """
        info = targets.targets.get(path)
        if info is None:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"{path} is not listed", "folder")
        return read_listed(self._target_path(path, info), info)

    def write_target(self, path: str, info: TargetFile, content: bytes) -> None:
        """Write a file under the name that clients ask for (specification section 6.2)."""
        write(self._target_path(path, info), content)

    def prune(self, role: str, keep: int) -> None:
        """Remove old versions of a role's metadata, and files that those alone list, once there are twice too many."""
        versions = sorted(self._versions(role))
        if len(versions) <= 2 * keep:
            return
        kept = {path for version in versions[-keep:] for path in self._listed(role, version)}
        for version in versions[:-keep]:
            for path in self._listed(role, version) - kept:
                path.unlink(missing_ok=True)
            (self.metadata / f"{version}.{role}.json").unlink(missing_ok=True)

    def _versions(self, role: str) -> list[int]:
        names = (path.name.split(".")[0] for path in self.metadata.glob(f"*.{role}.json"))
        return [int(name) for name in names if name.isdecimal()]

    def _listed(self, role: str, version: int) -> set[Path]:
        try:
            signed: Signed = Metadata.from_bytes((self.metadata / f"{version}.{role}.json").read_bytes()).signed
        except (OSError, RepositoryError):
            return set()
        found = signed.targets.items() if isinstance(signed, Targets) else ()
        return {self._target_path(name, info) for name, info in found if "sha256" in info.hashes}

    def _target_path(self, path: str, info: TargetFile) -> Path:
        folder, _, name = path.rpartition("/")
        return self.targets / folder / f"{info.hashes['sha256']}.{name}"


def parse(kind: type[S], path: Path) -> Metadata[S]:
    """Read metadata.

    Raises:
        Refusal: BAD_DIRECTORY, it cannot be read or is of another kind.
    """
    try:
        found = Metadata[S].from_bytes(path.read_bytes())
    except (OSError, RepositoryError) as error:
        raise Refusal(ErrorCode.BAD_DIRECTORY, f"{path} cannot be read as metadata", "folder") from error
    if not isinstance(found.signed, kind):
        raise Refusal(ErrorCode.BAD_DIRECTORY, f"{path} holds metadata of another role", "folder")
    return found


def read_listed(path: Path, info: TargetFile) -> bytes:
    """Read a file that must be as metadata says: a folder that was carried about is shown to people before they sign.

    Raises:
        Refusal: BAD_DIRECTORY, it cannot be read, or is another.
    """
    try:
        content = path.read_bytes()
        info.verify_length_and_hashes(content)
    except OSError as error:
        raise Refusal(ErrorCode.BAD_DIRECTORY, f"cannot read {path}: {error.strerror}", "folder") from error
    except RepositoryError as error:
        raise Refusal(ErrorCode.BAD_DIRECTORY, f"{path} is not what the metadata names", "folder") from error
    return content


def write(path: Path, content: bytes, field: str = "folder") -> None:
    """Replace a file whole: a server may be reading it.

    Args:
        path: the file.
        content: of the new one.
        field: what named it.

    Raises:
        Refusal: BAD_INPUT, it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave an empty file under a name that counts
        draft.replace(path)
        # What was pending is removed after this, and a node is told that its list is published.
        private_files.sync_folder(path.parent)
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot write {path}: {error.strerror}", field) from error
    finally:
        draft.unlink(missing_ok=True)
