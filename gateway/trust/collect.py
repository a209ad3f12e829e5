"""Reads one consistent directory through python-tuf's updater.

In: where to read, the trusted root, a folder for metadata, the time, the node's lists that were accepted before. Out:
what the federation and its nodes say, verified (TUF specification, client workflow 5.3 to 5.7). Refuses a wrong top
level whole. A wrong or expired list of one node is that node's affair alone: otherwise any node could stop all
others from hearing the news. Its last good list stays, and once that has expired too, its participants are out. A list
that unsays what its node said before is wrong: what was signed stays verifiable, and who is out stays out.
What a server could do to one list, to hold back a revocation, is nobody's affair alone: that refuses all.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, Root, Snapshot, Targets
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from gateway import private_files
from gateway.directory import FederationList, ParticipantEntry, ParticipantList, Status
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.trust.copy import TIMESTAMP_FILE, KeptList
from gateway.trust.fetch import Recorder
from gateway.trust.problem import Problem, Reason
from gateway.trust.roles import (
    FEDERATION_PATH,
    HASH,
    MAX_FILE_BYTES,
    MAX_METADATA_BYTES,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    TOP_LEVEL,
    RoleAge,
    list_path,
    node_role,
)

_CONFIG: Final = UpdaterConfig(
    max_root_rotations=256,
    max_delegations=1,  # the federation's role and one node's; a node cannot pass its right on
    root_max_length=MAX_METADATA_BYTES[ROOT],
    timestamp_max_length=MAX_METADATA_BYTES[TIMESTAMP],
    snapshot_max_length=MAX_METADATA_BYTES[SNAPSHOT],
    targets_max_length=MAX_METADATA_BYTES[TARGETS],
)

UPDATE_ERRORS: Final = (RepositoryError, DownloadError, OSError, Refusal)
"""All that reading a directory may raise because of the directory, its server or the disk."""


OF_ONE_NODE: Final = frozenset({Reason.EXPIRED, Reason.UNSIGNED, Reason.MALFORMED, Reason.BAD_CONTENT})
"""What a node or its publisher did to its list. The snapshot has hashes: a server in between can only alter or hide."""


PARSED_LISTS: Final = 2
"""Remembered of each node, the newest and the last good one: every few seconds the same lists are read again. No more:
a long one takes a hundred MiB, and a node that signs one after the other must not fill the memory of all others."""

PARSED_NODES: Final = 64


@dataclass(frozen=True, slots=True)
class NodeList:
    """What is known of one node's participants.

    Args:
        content: None if nothing was ever accepted.
        kept: the same with its signature.
        age: of the node's role.
        problem: why the newest list is not used.
    """

    content: ParticipantList | None
    kept: KeptList | None
    age: RoleAge | None
    problem: Problem | None = None

    @classmethod
    def none(cls, problem: Problem) -> Self:
        """Return that nothing is known of them."""
        return cls(None, None, None, problem)


@dataclass(frozen=True, slots=True)
class Collected:
    """One consistent directory.

    Args:
        federation: what the founders say.
        lists: by node.
        ages: of the four top-level roles.
        delegating: what says whose key signs the list of which node.
        files: the top level as a repository serves it.
        refused: the same of the newest lists of which `lists` has an older one, or none.
    """

    federation: FederationList
    lists: Mapping[str, NodeList]
    ages: tuple[RoleAge, ...]
    delegating: Targets
    files: Mapping[str, bytes]
    refused: Mapping[str, bytes]


def collect(
    fetcher: FetcherInterface,
    root: bytes,
    cache: Path,
    kept: Mapping[str, KeptList],
    now: datetime,
    tolerated: frozenset[Reason] = OF_ONE_NODE,
) -> Collected:
    """Read the directory.

    Args:
        fetcher: reads the repository.
        root: root metadata that is trusted because of how it came here.
        cache: folder for metadata; what has been seen there is never rolled back.
        kept: lists that were accepted before, by node.
        now: the time.
        tolerated: problems of one node's list that leave the others' lists alone.

    Raises:
        RepositoryError: a file is refused.
        DownloadError: a file cannot be had, or is too large.
        OSError: the cache cannot be written.
        Refusal: BAD_DIRECTORY, `federation.json` makes no sense.
    """
    metadata, targets = cache / "metadata", cache / "targets"
    for folder in (metadata, targets):
        folder.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(fetcher)
    updater = Updater(
        str(metadata), "metadata/", str(targets), "targets/", fetcher=recorder, config=_CONFIG, bootstrap=root
    )
    # The library takes the machine's time where it is constructed and has no argument for it; ours is passed in. Nor
    # does it give away what it has verified, and from the cache each file would be parsed again.
    # tests/unit/test_directory_attacks.py finds out should this attribute ever mean nothing.
    trusted = updater._trusted_set  # noqa: SLF001
    trusted.reference_time = now
    updater.refresh()
    content = _file(updater, FEDERATION_PATH)
    federation = FederationList.parse(content, FEDERATION_PATH)
    reader = _ListReader(updater, trusted, metadata, kept, now, tolerated)
    lists = {node.code: reader.read(node.code) for node in federation.nodes}
    _complete_roots(recorder, metadata, trusted.root.version)
    named = trusted.targets.targets[FEDERATION_PATH]
    wrong = [code for code, each in lists.items() if each.problem is not None]
    return Collected(
        federation=federation,
        lists=lists,
        ages=tuple(RoleAge.of(role, trusted[role]) for role in TOP_LEVEL),
        delegating=trusted.targets,
        files=_served(metadata, trusted) | {f"targets/{named.hashes[HASH]}.{FEDERATION_PATH}": content},
        refused={
            name: data
            for code in wrong
            for name, data in _refused(code, metadata, targets, trusted.snapshot, recorder.seen).items()
        },
    )


def _complete_roots(fetcher: FetcherInterface, metadata: Path, newest: int) -> None:
    """Fetch the roots that came before ours: whoever gets all this from us may have begun with an older one.

    Nobody needs the first. None is trusted here; what does not lead to ours is not kept, and what cannot be had now is
    asked for again at the next look.
    """
    history = metadata / "root_history"
    known = {path.name for path in history.glob(f"*.{ROOT}.json")}
    with suppress(*UPDATE_ERRORS):
        if len(known - {f"1.{ROOT}.json"}) >= newest - 1:
            return
        newer = root_in(_path(metadata, ROOT).read_bytes())
        for version in range(newest - 1, 1, -1):
            name = f"{version}.{ROOT}.json"
            if name in known:
                content = (history / name).read_bytes()
            else:
                content = fetcher.download_bytes(f"metadata/{name}", MAX_METADATA_BYTES[ROOT])
            older = root_in(content)
            if older.signed.version != version:
                raise BadVersionNumberError(f"{name} is of version {older.signed.version}")
            # As a client does that comes from there (specification 5.3.4).
            for each in (older, newer):
                older.signed.verify_delegate(ROOT, each.signed_bytes, each.signatures)
            if name not in known:
                private_files.swap(history / name, content)
            newer = older


@contextmanager
def proving(what: str) -> Iterator[Path]:
    """Give a scratch folder, to collect and judge in it what stands by itself.

    Args:
        what: is judged, for words.

    Raises:
        Refusal: BAD_DIRECTORY, a root does not prove it.
        Failure: STORE, our own disk is full.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="rogatory-") as scratch:
            yield Path(scratch)
    except OSError as error:
        # No fault of the files: the library reads them through our own disk.
        detail = f"the directory cannot be looked at here: {error.strerror}"
        raise Failure(ErrorCode.STORE, detail, "directory") from error
    except UPDATE_ERRORS as error:
        detail = f"{what} is not proven by this root ({why(error)})"
        raise Refusal(ErrorCode.BAD_DIRECTORY, detail, "directory") from error


def root_in(content: bytes) -> Metadata[Root]:
    """Return root metadata; who signed it is not looked at.

    Raises:
        RepositoryError: it is none.
    """
    found = Metadata[Root].from_bytes(content)
    if not isinstance(found.signed, Root):
        raise RepositoryError("root metadata holds something else")
    return found


def why(error: Exception) -> Problem:
    """Say in one word and one sentence why a directory was not taken."""
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return Problem(reason, str(error) or type(error).__name__)
    return Problem(Reason.MALFORMED, str(error))


# Most special first.
_REASONS: Final = (
    (ExpiredMetadataError, Reason.EXPIRED),
    (BadVersionNumberError, Reason.WRONG_VERSION),
    (UnsignedMetadataError, Reason.UNSIGNED),
    (LengthOrHashMismatchError, Reason.ALTERED),
    (DownloadLengthMismatchError, Reason.TOO_LARGE),
    (RepositoryError, Reason.MALFORMED),
    (Refusal, Reason.BAD_CONTENT),
    ((DownloadError, OSError), Reason.UNREACHABLE),
)


@dataclass(frozen=True, slots=True)
class _ListReader:
    updater: Updater
    trusted: Mapping[str, Any]
    metadata: Path
    kept: Mapping[str, KeptList]
    now: datetime
    tolerated: frozenset[Reason]

    def read(self, code: str) -> NodeList:
        """Return a node's newest list, or else its last good one."""
        try:
            content = _file(self.updater, list_path(code))
            parsed = _parse_list(content, code)
            self._check_continues(code, content, parsed)
        except UPDATE_ERRORS as error:
            problem = why(error)
            # A full disk is our own affair: no list may be missing for it.
            if isinstance(error, OSError) or problem.reason not in self.tolerated:
                raise
            return self._last_good(code, problem)
        role = node_role(code)
        if role not in self.trusted:
            raise RepositoryError(f"another role than {role} names {list_path(code)}")
        kept = KeptList(metadata=_path(self.metadata, role).read_bytes(), content=content)
        return NodeList(parsed, kept, RoleAge.of(role, self.trusted[role]))

    def _check_continues(self, code: str, content: bytes, parsed: ParticipantList) -> None:
        """Refuse a list that unsays what its node said, whoever published it.

        Not if the founders have replaced the node's key since: whoever stole the old one must not bind the node.
        """
        kept = self.kept.get(code)
        if kept is None or kept.content == content:
            return
        try:
            self._verified(code, kept)
            before = _parse_list(kept.content, code)
        except (*UPDATE_ERRORS, ValueError):
            return
        parsed.check_continues(before)

    def _last_good(self, code: str, problem: Problem) -> NodeList:
        kept = self.kept.get(code)
        if kept is None:
            return NodeList.none(problem)
        try:
            signed = self._verified(code, kept)
            parsed = _parse_list(kept.content, code)
        except (*UPDATE_ERRORS, ValueError):  # by now its key is no longer the node's, or nobody's
            return NodeList.none(problem)
        if signed.is_expired(self.now):
            # Out, yet listed: what they signed while they were in stays verifiable.
            out = tuple(_revoked(entry) for entry in parsed.participants)
            parsed = parsed.model_copy(update={"participants": out})
        return NodeList(parsed, kept, RoleAge.of(node_role(code), signed), problem)

    def _verified(self, code: str, kept: KeptList) -> Targets:
        """Verify a kept list as client workflow 5.6.3 and 5.7.2 do, except for what the newest snapshot says."""
        metadata = Metadata[Targets].from_bytes(kept.metadata)
        self.trusted[TARGETS].verify_delegate(node_role(code), metadata.signed_bytes, metadata.signatures)
        info = metadata.signed.targets.get(list_path(code)) if metadata.signed.type == TARGETS else None
        if info is None:
            raise RepositoryError(f"the kept metadata of node {code} has no list")
        info.verify_length_and_hashes(kept.content)
        return metadata.signed


def _file(updater: Updater, path: str) -> bytes:
    info = updater.get_targetinfo(path)
    if info is None:
        raise RepositoryError(f"nobody who may has signed {path}")
    if set(info.hashes) != {HASH}:
        # Said before it is looked for: a file that nobody can find would pass for a server's fault.
        raise RepositoryError(f"{path} is named by other hashes than {HASH}")
    if info.length > MAX_FILE_BYTES:
        raise DownloadLengthMismatchError(f"{path} is above {MAX_FILE_BYTES} bytes")
    local = updater.find_cached_target(info) or updater.download_target(info)
    return Path(local).read_bytes()


def _parse_list(content: bytes, code: str) -> ParticipantList:
    return _parser_of(code)(content)


@lru_cache(maxsize=PARSED_NODES)
def _parser_of(code: str) -> Callable[[bytes], ParticipantList]:
    return lru_cache(maxsize=PARSED_LISTS)(partial(_read_list, code))


def _read_list(code: str, content: bytes) -> ParticipantList:
    parsed = ParticipantList.parse(content, list_path(code))
    if parsed.node != code:
        # Its own name in the file lets the list check itself; here that name is held to the role that signed.
        raise RepositoryError(f"{list_path(code)} is a list of node {parsed.node}")
    return parsed


def _revoked(entry: ParticipantEntry) -> ParticipantEntry:
    return entry.model_copy(update={"status": Status.REVOKED})


def _path(metadata: Path, role: str) -> Path:
    return metadata / f"{role}.json"


def _served(metadata: Path, trusted: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the top level under the names of a repository with consistent snapshots (specification 6.2)."""
    files = {f"metadata/{path.name}": path.read_bytes() for path in (metadata / "root_history").glob("*.root.json")}
    files[TIMESTAMP_FILE] = _path(metadata, TIMESTAMP).read_bytes()
    for role in (SNAPSHOT, TARGETS):
        files[f"metadata/{trusted[role].version}.{role}.json"] = _path(metadata, role).read_bytes()
    return files


def _refused(
    code: str, metadata: Path, targets: Path, snapshot: Snapshot, seen: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Return a list that was not taken under the names of a repository, as far as it was had."""
    role, path = node_role(code), list_path(code)
    folder, _, name = path.rpartition("/")
    # What did not even become metadata was fetched just now; the rest may lie here from an earlier time.
    found = {
        url: content
        for url, content in seen.items()
        if url.endswith(f".{role}.json") or (url.startswith(f"targets/{folder}/") and url.endswith(f".{name}"))
    }
    named = snapshot.meta.get(f"{role}.json")
    with suppress(OSError, RepositoryError, KeyError):
        content = _path(metadata, role).read_bytes()
        if named is not None:
            named.verify_length_and_hashes(content)
            found[f"metadata/{named.version}.{role}.json"] = content
            info = Metadata[Targets].from_bytes(content).signed.targets[path]
            cached = (targets / quote(path, "")).read_bytes()
            info.verify_length_and_hashes(cached)
            found[f"targets/{folder}/{next(iter(info.hashes.values()))}.{name}"] = cached
    return found
