"""A node's list of its participants, signed with the key that the founders delegated to it.

In: a list, the node's key, a version. Out: the two files that the publisher takes: TUF targets metadata of the role
`node-CODE`, and the list that it names. Source: TUF specification 1.0.31, section 4.5.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from nacl.signing import SigningKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Signed, TargetFile, Targets

from gateway.directory import ParticipantList
from gateway.errors import ErrorCode, Refusal
from gateway.trust.copy import Content
from gateway.trust.files import write
from gateway.trust.roles import (
    HASH,
    MAX_LIST_BYTES,
    MAX_METADATA_BYTES,
    TARGETS,
    expire_after,
    lifetime,
    list_path,
    node_role,
)
from gateway.trust.signing import READABLE, signer_of

MAX_VERSION: Final = 2**53 - 1
"""The largest number that every reader of JSON keeps exactly (RFC 8259 section 6)."""

MAX_STEP: Final = 1 << 20
"""From one version to the next. Whoever had a node's key for an hour must not use up its numbers for ever."""

_MAX_BYTES: Final = 2 * (MAX_METADATA_BYTES[TARGETS] + MAX_LIST_BYTES)  # JSON within JSON: quotes take two bytes


class _File(BaseModel):
    """The two files in one; both are text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str = Field(pattern=r"^[a-z]{2}$")
    metadata: Content
    list: Content


@dataclass(frozen=True, slots=True)
class SignedList:
    """A node's list and the metadata that signs it.

    Args:
        code: the node's.
        version: of the metadata.
        metadata: TUF targets metadata, JSON.
        content: the list, JSON.
    """

    code: str
    version: int
    metadata: bytes
    content: bytes

    @classmethod
    def sign(cls, key: SigningKey, participants: ParticipantList, version: int, now: datetime) -> Self:
        """Sign a list. Nobody has verified yet that the key may."""
        role, path, content = node_role(participants.node), list_path(participants.node), participants.to_json()
        targets = Targets(version=version)
        expire_after(targets, lifetime(role), now)
        targets.targets[path] = TargetFile.from_data(path, content, [HASH])
        metadata = Metadata(targets)
        metadata.sign(signer_of(key))
        return cls(participants.node, version, metadata.to_bytes(READABLE), content)

    @classmethod
    def read(cls, code: str, metadata: bytes, content: bytes) -> Self:
        """Read one as it came from somebody else; whose signature it bears is not looked at.

        Raises:
            Refusal: BAD_DIRECTORY, it is not the metadata of such a list, or too large.
        """
        if len(metadata) > MAX_METADATA_BYTES[TARGETS] or len(content) > MAX_LIST_BYTES:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"the list of node {code} is too large", "list")
        try:
            signed: Signed = Metadata.from_bytes(metadata).signed
        except (RepositoryError, ValueError) as error:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"no metadata of node {code}", "metadata") from error
        info = signed.targets.get(list_path(code)) if isinstance(signed, Targets) else None
        if not isinstance(signed, Targets) or info is None or signed.version > MAX_VERSION:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"the metadata names no list of node {code}", "metadata")
        if set(info.hashes) != {HASH}:
            # Readers ask for a file by the first hash, and it is filed under this one: with another, nobody finds it.
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"the metadata gives other hashes than {HASH}", "metadata")
        try:
            info.verify_length_and_hashes(content)
        except RepositoryError as error:
            raise Refusal(ErrorCode.BAD_DIRECTORY, "the list is not the one that the metadata names", "list") from error
        return cls(code, signed.version, metadata, content)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read one from a file that `save` wrote; refuses as `read` does, and with BAD_INPUT where there is none."""
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", "list") from error
        try:
            found = _File.model_validate_json(raw)
        except ValidationError as error:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"{path} is no signed list", "list") from error
        return cls.read(found.node, found.metadata, found.list)

    def save(self, path: Path) -> None:
        """Write it to one file, to be carried to the publisher.

        Raises:
            Refusal: BAD_INPUT, it cannot be written.
        """
        write(path, _File(node=self.code, metadata=self.metadata, list=self.content).model_dump_json(indent=2).encode())

    @property
    def participants(self) -> ParticipantList:
        """What it says.

        Raises:
            Refusal: BAD_DIRECTORY, it makes no sense.
        """
        return ParticipantList.parse(self.content, list_path(self.code))
