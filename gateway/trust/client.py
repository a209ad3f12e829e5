"""Loads the signed directory: the newest if it can be had and is right, else the last good copy.

In: where it is published, the trusted root metadata, a folder of one's own, the time. Out: a `Directory`, how old it
is and until when it counts. A newer directory that is refused changes nothing; the copy in use stays until it expires.
Refuses with BAD_DIRECTORY: nothing valid is left. One process at a time uses a folder; the others wait.

Sources: TUF specification 1.0.31, sections 5.3 (root) to 5.7 (files). The first root comes out of band (5.2).
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Self

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import FetcherInterface

from gateway.config import DirectorySource
from gateway.directory import Directory, FederationList, ParticipantList
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.trust.collect import OF_ONE_NODE, UPDATE_ERRORS, Collected, NodeList, collect, proving, root_in, why
from gateway.trust.copy import GoodCopy, Held, kept_in
from gateway.trust.fetch import GRPCS, HTTPS, FolderFetcher, MemoryFetcher, Recorder, SilentFetcher, fetcher_for
from gateway.trust.lists import SignedList
from gateway.trust.problem import Problem, Reason
from gateway.trust.roles import MAX_METADATA_BYTES, ROOT, SNAPSHOT, TIMESTAMP, RoleAge, node_role

STILL_WORKS = (
    "no process starts with an expired directory; what still works: verifying what was signed before, and tracing at"
    " nodes that run (`rogatory trace`)"
)


@dataclass(frozen=True, slots=True)
class Trusted:
    """A verified directory.

    Args:
        directory: who exists.
        checked: when it was last found to be the newest.
        expires: from then on it is refused.
        ages: of every role, the top level first.
        problem: why no newer one was taken; None if this is the newest.
        list_problems: the same for the list of a node, by node.
        federation: what the founders say.
        lists: what the nodes say.
        delegating: what says whose key signs the list of which node.
    """

    directory: Directory
    checked: datetime
    expires: datetime
    ages: tuple[RoleAge, ...]
    problem: Problem | None
    list_problems: dict[str, Problem]
    federation: FederationList
    lists: tuple[ParticipantList, ...]
    delegating: Targets

    def version(self, role: str) -> int:
        """Return the version of a role's metadata; 0 if there is none."""
        return next((age.version for age in self.ages if age.role == role), 0)

    @property
    def held(self) -> Held:
        """Which directory it is."""
        return Held(self.version(ROOT), self.version(TIMESTAMP))

    def is_signed(self, own: SignedList) -> bool:
        """Whether a list is signed with the key that the founders gave to that of its node."""
        return self._signed(own) is not None

    def proves(self, own: SignedList, now: datetime) -> bool:
        """Whether a list is signed, and has not expired."""
        signed = self._signed(own)
        return signed is not None and not signed.is_expired(now)

    def _signed(self, own: SignedList) -> Targets | None:
        try:
            metadata = Metadata[Targets].from_bytes(own.metadata)
            self.delegating.verify_delegate(node_role(own.code), metadata.signed_bytes, metadata.signatures)
        except (RepositoryError, ValueError):
            return None
        return metadata.signed

    def with_own(self, own: SignedList) -> Self:
        """Return it with a node's own list in the place of the published one, if that is older.

        The node itself need not wait for its own news to be published: whom it revokes is out at once.
        """
        if own.version <= self.version(node_role(own.code)):
            return self
        lists = (*(each for each in self.lists if each.node != own.code), own.participants)
        directory = Directory.merge(self.federation, lists, self.directory.version, self.expires, self.checked)
        return replace(self, directory=directory, lists=lists)

    def warnings(self, now: datetime) -> tuple[str, ...]:
        """Return sentences for the operator: what ends soon, what was refused."""
        ends = [warning for age in self.ages if (warning := age.warning(now))]
        if self.problem is not None:
            ends.insert(
                0,
                f"no newer directory was taken ({self.problem}); the copy of {self.checked:%Y-%m-%d %H:%M %Z}"
                f" is used until {self.expires:%Y-%m-%d %H:%M %Z}",
            )
        refused = (f"the list of node {code} is not taken ({why})" for code, why in self.list_problems.items())
        return (*ends, *refused)


def load(source: DirectorySource, now: datetime, mirror: Mapping[str, bytes] | None = None) -> Trusted:
    """Return the newest directory, or the last good copy.

    Args:
        source: where it is published, and where the copy lies.
        now: the time.
        mirror: the files as another node handed them out, to be read instead of what is published.

    Raises:
        Refusal: BAD_CONFIG, the settings name no root or folder that can be used; BAD_DIRECTORY, what is published
            is refused, or has expired, and there is no valid copy.
        Failure: UNAVAILABLE, nothing could be had and there is no copy.
    """
    if mirror is not None:
        return load_from(MemoryFetcher(mirror), source, now)
    return load_from(fetcher_for(source.repository, source.ca), source, now)


def fetch(source: DirectorySource, now: datetime) -> FetcherInterface:
    """Read what is published, and return what gives it again: to be loaded when nothing can keep us waiting any more.

    A server that answers as slowly as it can must not hold up news that comes another way, which `load` would.

    Raises:
        Refusal: BAD_CONFIG, the trusted root cannot be read.
    """
    if not source.repository.startswith(HTTPS):
        return FolderFetcher(Path(source.repository))
    root, copy = read_root(source), GoodCopy.read(source.cache)
    with tempfile.TemporaryDirectory(prefix="rogatory-") as scratch:
        recorder, place = Recorder(fetcher_for(source.repository, source.ca)), Path(scratch) / "cache"
        try:
            # With what is known already, so that as little is asked for as ever; judged it is later, in its place.
            with suppress(OSError):
                shutil.copytree(source.cache, place, symlinks=True)
            collect(recorder, root, place, copy.lists if copy else {}, now)
        except DownloadError as error:
            return SilentFetcher(why(error).detail, type(error))
        except UPDATE_ERRORS:
            pass
        return MemoryFetcher(recorder.seen)


def load_from(fetcher: FetcherInterface, source: DirectorySource, now: datetime) -> Trusted:
    """Return what `load` does, read by somebody else's means; refuses as `load` does."""
    root = read_root(source)
    with _alone(source.cache):
        copy = GoodCopy.read(source.cache)
        try:
            found = collect(fetcher, root, source.cache, copy.lists if copy else {}, now)
            trusted = _trusted(found, now, None)
        except UPDATE_ERRORS as error:
            return _fall_back(source, root, copy, now, why(error))
        _keep(source.cache, copy, found, now)
        return trusted


def load_for_verification(source: DirectorySource, now: datetime) -> Trusted:
    """Return what `load` does or, once that has expired, the last good copy as it was when it was last checked.

    Only to verify what was signed, and to trace: nobody is let in by it.

    Raises:
        Refusal: as `load`, if there is no copy.
        Failure: as `load`.
    """
    try:
        return load(source, now)
    except Refusal:
        copy = GoodCopy.read(source.cache)
        if copy is None or copy.checked > now:
            raise
        root, problem = read_root(source), Problem(Reason.EXPIRED, "for verification and tracing alone")
        try:
            return _from_copy(copy, root, copy.checked, problem)
        except UPDATE_ERRORS:
            pass
        raise


def check_root(root: bytes) -> None:
    """Check that somebody's trusted root metadata is some: what it does not prove is then no fault of its own.

    Raises:
        Refusal: BAD_INPUT, it cannot be read, or its own keys did not sign it.
    """
    try:
        found = root_in(root)
        found.signed.verify_delegate(ROOT, found.signed_bytes, found.signatures)
    except RepositoryError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"that is no root metadata of a federation ({error})", "root") from error


def prove(files: Mapping[str, bytes], root: bytes, at: datetime) -> Trusted:
    """Return the directory in files that somebody hands out, as it counted at a moment; nothing of it is kept.

    Only to verify what was signed: nobody is let in by it.

    Args:
        files: as a repository serves them.
        root: trusted root metadata, which did not come with them.
        at: the moment.

    Raises:
        Refusal: BAD_DIRECTORY, the root does not lead to it, or it did not count then.
        Failure: STORE, our own disk is full.
    """
    with proving("the directory") as scratch:
        found = collect(MemoryFetcher(files), root, scratch, kept_in(files), at, frozenset(Reason))
        return _trusted(_without_rollback(found), at, None)


def _without_rollback(found: Collected) -> Collected:
    """Return it without the older lists of nodes whose newest one is not there as the snapshot names it.

    Whoever hands the files out can leave a list out, or spoil it, so that an older one that lies beside it counts: what
    its node has revoked since would be in force again.
    """
    lists = {
        code: each if each.problem is None or each.problem.reason in OF_ONE_NODE else NodeList.none(each.problem)
        for code, each in found.lists.items()
    }
    return replace(found, lists=lists)


def _fall_back(source: DirectorySource, root: bytes, copy: GoodCopy | None, now: datetime, problem: Problem) -> Trusted:
    if copy is None:
        raise _nothing(source, problem)
    try:
        return _from_copy(copy, root, now, problem)
    except UPDATE_ERRORS as error:
        detail = f"the copy of {copy.checked:%Y-%m-%d %H:%M %Z} cannot be used ({why(error)}), nor a newer one had"
        raise Refusal(ErrorCode.BAD_DIRECTORY, f"{detail} ({problem}); {STILL_WORKS}", "directory") from error


def _from_copy(copy: GoodCopy, root: bytes, at: datetime, problem: Problem) -> Trusted:
    # By the same workflow, from nothing: a copy that was tampered with on disk is refused like any other.
    with tempfile.TemporaryDirectory(prefix="rogatory-") as scratch:
        # What was refused may be there in part: whatever is wrong with it, its predecessor is in the copy.
        found = collect(MemoryFetcher(copy.served()), root, Path(scratch), copy.lists, at, frozenset(Reason))
    return _trusted(found, copy.checked, problem)


def _trusted(found: Collected, checked: datetime, problem: Problem | None) -> Trusted:
    version = next(age.version for age in found.ages if age.role == SNAPSHOT)
    lists = tuple(each.content for each in found.lists.values() if each.content is not None)
    expires = min(age.expires for age in found.ages)
    return Trusted(
        directory=Directory.merge(found.federation, lists, version, expires, checked),
        checked=checked,
        expires=expires,
        ages=(*found.ages, *(each.age for each in found.lists.values() if each.age is not None)),
        problem=problem,
        list_problems={code: each.problem for code, each in found.lists.items() if each.problem is not None},
        federation=found.federation,
        lists=lists,
        delegating=found.delegating,
    )


def _keep(cache: Path, before: GoodCopy | None, found: Collected, now: datetime) -> None:
    lists = {code: each.kept for code, each in found.lists.items() if each.kept is not None}
    copy = GoodCopy(checked=now, files=dict(found.files), lists=lists, refused=dict(found.refused))
    if before is None or not before.still_says(copy, now):
        # A full disk must not keep the news out: what was read is good, and there will be another time to write it.
        with suppress(OSError):
            copy.write(cache)


def _nothing(source: DirectorySource, problem: Problem) -> Refusal | Failure:
    detail = f"the directory {source.repository} is not taken ({problem}), and there is no copy of an earlier one"
    if problem.reason is not Reason.UNREACHABLE:
        return Refusal(ErrorCode.BAD_DIRECTORY, detail, "directory")
    if source.repository.startswith((HTTPS, GRPCS)):
        return Failure(ErrorCode.UNAVAILABLE, detail, "directory")
    return Refusal(ErrorCode.BAD_CONFIG, detail, "directory")


def read_root(source: DirectorySource) -> bytes:
    """Return the trusted root metadata that settings name.

    Raises:
        Refusal: BAD_CONFIG, it cannot be read.
    """
    try:
        with source.root.open("rb") as file:
            return file.read(MAX_METADATA_BYTES[ROOT] + 1)
    except OSError as error:
        detail = f"cannot read the trusted root {source.root}: {error.strerror}"
        raise Refusal(ErrorCode.BAD_CONFIG, detail, "directory.root") from error


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Hold the folder against other processes: the updater's files belong together."""
    try:
        cache.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(cache / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        detail = f"the folder {cache} cannot be used: {error.strerror}"
        raise Refusal(ErrorCode.BAD_CONFIG, detail, "directory.cache") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
