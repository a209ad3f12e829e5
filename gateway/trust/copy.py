"""The last good copy of the directory: one file, replaced whole.

In: metadata and files that have just been verified, and when. Out: the same, to be verified again. Nothing in it is
trusted for lying there: it is read as if it came from a server. Refuses nothing: what cannot be read is no copy.
"""

import os
import secrets
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

NAME: Final = "last-good.json"


def _bytes(value: object) -> object:
    return value.encode() if isinstance(value, str) else value


# All of it is JSON, so text: a person can read the copy.
Content = Annotated[bytes, BeforeValidator(_bytes), PlainSerializer(bytes.decode)]


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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checked: AwareDatetime
    files: dict[str, Content]
    lists: dict[str, KeptList]

    @classmethod
    def read(cls, cache: Path) -> Self | None:
        """Return the copy in a folder, if there is one that can be read."""
        try:
            return cls.model_validate_json((cache / NAME).read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, cache: Path) -> None:
        """Replace the copy in a folder; a crash leaves the old one or the new one."""
        draft = cache / f".{NAME}.{secrets.token_hex(8)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.model_dump_json().encode())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(cache / NAME)
        finally:
            draft.unlink(missing_ok=True)
