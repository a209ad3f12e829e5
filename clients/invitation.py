"""An invitation: what a registrar hands to who is to become a participant, by another way than the network.

In: a file, or what a registrar's node answered. Out: where to apply, with which one-time code, and by what the answers
are believed. It holds a secret, the code: the file is its owner's alone, and no text of it shows the code. Refuses with
BAD_INPUT what is no invitation.
"""

from pathlib import Path
from typing import Annotated, Final, Self

from cryptography import x509
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic import ValidationError as PydanticError

from gateway import private_files
from gateway.directory import AddressField
from gateway.errors import ErrorCode, Refusal
from gateway.identity import UNREADABLE_CERTIFICATE, Role

MAX_BYTES: Final = 512 << 10
"""Most of it is the root's metadata, a few KiB."""

_ENDPOINT: Final = r"^.{1,255}:[0-9]{1,5}$"


def _bytes(value: object) -> object:
    return bytes.fromhex(value) if isinstance(value, str) else value


def _certificate(value: str) -> str:
    try:
        x509.load_pem_x509_certificate(value.encode())
    except UNREADABLE_CERTIFICATE as error:
        raise ValueError("a PEM certificate is wanted") from error
    return value


class Invitation(BaseModel):
    """Who may apply, where, and what for.

    Args:
        federation: its domain.
        address: of the future participant.
        roles: what it is to be.
        code: the one-time code; never shown by `repr`.
        expires: until when the code counts.
        endpoint: `host:port` of the door for those who have no certificate yet.
        node: `host:port` of the node's main door.
        node_ca: the CA of the node, PEM; nobody else's certificate is believed.
        proof_key: of the node; sealing keys are proven to it.
        root: TUF root metadata, JSON: by this the directory is believed.
        repository: where the directory is published: `https://...`, `grpcs://...` for a node, or a folder.
        repository_ca: vouches for an HTTPS server, PEM; empty: the system's certificates do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    federation: str = Field(min_length=1, max_length=200)
    address: AddressField
    roles: tuple[Role, ...] = Field(min_length=1, max_length=4)
    code: str = Field(min_length=1, max_length=64, repr=False)
    expires: AwareDatetime
    endpoint: str = Field(pattern=_ENDPOINT)
    node: str = Field(pattern=_ENDPOINT)
    node_ca: Annotated[str, BeforeValidator(_certificate)]
    proof_key: Annotated[
        bytes, BeforeValidator(_bytes), PlainSerializer(bytes.hex), Field(min_length=32, max_length=32)
    ]
    root: str = Field(min_length=1)
    repository: str = Field(min_length=1, max_length=2000)
    repository_ca: str = ""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an invitation's file.

        Raises:
            Refusal: KEY_FILE, it cannot be read, or others may; BAD_INPUT, it is no invitation.
        """
        try:
            return cls.model_validate_json(private_files.read(path, MAX_BYTES))
        except PydanticError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            # `from None`: what did not fit may be the code.
            raise Refusal(ErrorCode.BAD_INPUT, f"{path} is no invitation: {first['msg']}", where) from None

    def write(self, path: Path) -> None:
        """Write it to a new file, mode 0600.

        Raises:
            Refusal: KEY_FILE, `path` exists or cannot be written.
        """
        private_files.create(path, self.model_dump_json(indent=2).encode() + b"\n")
