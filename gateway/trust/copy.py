"""The last good copy of the directory: one file, replaced whole.

In: metadata and files that have just been verified, and when. Out: the same, to be verified again. Nothing in it is
trusted for lying there: it is read as if it came from a server. Refuses nothing: what cannot be read is no copy.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, NamedTuple, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Targets, Timestamp

from gateway import private_files
from gateway.trust.roles import HASH, MAX_METADATA_BYTES, ROOT, TARGETS, TIMESTAMP, list_path, node_role

NAME: Final = "last-good.json"
REWRITE_AFTER: Final = timedelta(minutes=1)
"""A process looks every few seconds; that nothing has changed is not worth a write each time."""


def _bytes(value: object) -> object:
    return value.encode() if isinstance(value, str) else value


# All of it is JSON, so text: a person can read the copy.
Content = Annotated[bytes, BeforeValidator(_bytes), PlainSerializer(bytes.decode)]


def _from_base64(value: object) -> object:
    return b64decode(value, validate=True) if isinstance(value, str) else value


# What was refused may be anything.
Refused = Annotated[
    bytes, BeforeValidator(_from_base64), PlainSerializer(lambda content: b64encode(content).decode(), return_type=str)
]

TIMESTAMP_FILE: Final = f"metadata/{TIMESTAMP}.json"


class Held(NamedTuple):
    """Which directory somebody holds. Of two, that of the newer root is newer, then that of the newer timestamp.

    Args:
        root: version of the newest root: who held the publisher's key before it may have numbered on without end.
        timestamp: version of the timestamp.
    """

    root: int
    timestamp: int


NOTHING: Final = Held(0, 0)


class KeptList(BaseModel):
    """The last list of a node's participants that was accepted, and the metadata that signed it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metadata: Content
    content: Content


class GoodCopy(BaseModel):
    """All that a start needs if no newer directory can be had.

    Args:
        checked: when it was last found to be the newest.
        files: the top level, by the name under which a repository serves it.
        lists: by node.
        refused: what the newest directory has of lists that were not taken, by the name under which a repository
            serves it. Only to be passed on: whoever gets the rest must find out for himself what is wrong with these.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checked: AwareDatetime
    files: dict[str, Content]
    lists: dict[str, KeptList]
    refused: dict[str, Refused] = {}

    @classmethod
    def read(cls, cache: Path) -> Self | None:
        """Return the copy in a folder, if there is one that can be read."""
        try:
            return cls.model_validate_json((cache / NAME).read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, cache: Path) -> None:
        """Replace the copy in a folder; a crash leaves the old one or the new one."""
        private_files.swap(cache / NAME, self.model_dump_json().encode())

    def still_says(self, other: Self, now: datetime) -> bool:
        """Whether another copy would say nothing else, but for the minute at which it was checked."""
        same = (self.files, self.lists, self.refused) == (other.files, other.lists, other.refused)
        return same and timedelta(0) <= now - self.checked < REWRITE_AFTER

    def served(self) -> dict[str, bytes]:
        """Return all of it as a repository serves it."""
        files = {**self.files, **self.refused}
        for code, kept in self.lists.items():
            # What lies here was right when it was written; somebody may have been at it since.
            with suppress(RepositoryError, KeyError):
                files |= served_list(code, kept)
        return files

    @property
    def held(self) -> Held:
        """Which directory it is.

        Raises:
            KeyError, RepositoryError: somebody was at it.
        """
        names = (name.removeprefix("metadata/") for name in self.files)
        roots = (name.removesuffix(f".{ROOT}.json") for name in names if name.endswith(f".{ROOT}.json"))
        timestamp = Metadata[Timestamp].from_bytes(self.files[TIMESTAMP_FILE]).signed
        return Held(max((int(each) for each in roots if each.isdecimal()), default=0), timestamp.version)


def served_list(code: str, kept: KeptList) -> dict[str, bytes]:
    """Return a kept list under the names of a repository."""
    signed = Metadata[Targets].from_bytes(kept.metadata).signed
    prefix = next(iter(signed.targets[list_path(code)].hashes.values()))
    folder, _, name = list_path(code).rpartition("/")
    return {
        f"metadata/{signed.version}.{node_role(code)}.json": kept.metadata,
        f"targets/{folder}/{prefix}.{name}": kept.content,
    }


def kept_in(files: Mapping[str, bytes]) -> dict[str, KeptList]:
    """Return the lists among a repository's files, by node: what `served_list` gave; of several, the newest."""
    found: dict[str, tuple[int, KeptList]] = {}
    for name, metadata in files.items():
        version, _, role = name.removeprefix("metadata/").removesuffix(".json").partition(".")
        code = role.removeprefix(node_role(""))
        if code == role or not version.isdecimal() or found.get(code, (-1,))[0] >= int(version):
            continue
        if len(metadata) > MAX_METADATA_BYTES[TARGETS]:
            continue  # nobody's: it is never read
        with suppress(RepositoryError, KeyError, AttributeError):
            signed = Metadata[Targets].from_bytes(metadata).signed
            info = signed.targets[list_path(code)]
            if str(signed.version) != version or set(info.hashes) != {HASH}:
                continue  # an older one under another's name; or refused as the newest, too
            folder, _, file = list_path(code).rpartition("/")
            content = files[f"targets/{folder}/{info.hashes[HASH]}.{file}"]
            found[code] = int(version), KeptList(metadata=metadata, content=content)
    return {code: kept for code, (_, kept) in found.items()}
