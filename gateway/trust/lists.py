"""A node's list of its participants, signed with the key that the founders delegated to it.

In: a list, the node's key, a version. Out: the two files that the publisher takes: TUF targets metadata of the role
`node-CODE`, and the list that it names. Source: TUF specification 1.0.31, section 4.5.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from nacl.signing import SigningKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Signed, TargetFile, Targets

from gateway.directory import ParticipantList
from gateway.errors import ErrorCode, Refusal
from gateway.trust.roles import lifetime, list_path, node_role
from gateway.trust.signing import READABLE, signer_of


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
        targets = Targets(version=version, expires=now + lifetime(role))
        targets.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        metadata = Metadata(targets)
        metadata.sign(signer_of(key))
        return cls(participants.node, version, metadata.to_bytes(READABLE), content)

    @classmethod
    def read(cls, code: str, metadata: bytes, content: bytes) -> Self:
        """Read one as it came from somebody else; whose signature it bears is not looked at.

        Raises:
            Refusal: BAD_DIRECTORY, it is not the metadata of such a list.
        """
        try:
            signed: Signed = Metadata.from_bytes(metadata).signed
        except (RepositoryError, ValueError) as error:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"no metadata of node {code}", "metadata") from error
        info = signed.targets.get(list_path(code)) if isinstance(signed, Targets) else None
        if info is None:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"the metadata names no list of node {code}", "metadata")
        try:
            info.verify_length_and_hashes(content)
        except RepositoryError as error:
            raise Refusal(ErrorCode.BAD_DIRECTORY, "the list is not the one that the metadata names", "list") from error
        return cls(code, signed.version, metadata, content)

    @property
    def participants(self) -> ParticipantList:
        """What it says.

        Raises:
            Refusal: BAD_DIRECTORY, it makes no sense.
        """
        return ParticipantList.parse(self.content, list_path(self.code))
