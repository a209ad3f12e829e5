"""Documents as files: protobuf JSON in.

In: a JSON file and the message that it should be. Out: that message. Refuses with BAD_INPUT, the field and the reason,
as `gateway.formats.json_form` does, and a file that cannot be read or is too large.
"""

import sys
from pathlib import Path
from typing import IO, Final, TypeVar

import click
from google.protobuf.message import Message
from rogatory.v1 import evidence_pb2 as evidence

from gateway.errors import ErrorCode, Refusal
from gateway.formats import json_form, reading, wallets

M = TypeVar("M", bound=Message)

MAX_FILE_BYTES: Final = 64 << 20
"""A report of 10 000 transactions has some 20 MiB."""

STANDARD_INPUT: Final = Path("-")


def read(path: Path, kind: type[M]) -> M:
    """Return the message in a file. The rules of its format are for others to check.

    A wallet that a person wrote, with chain and address alone, gets its canonical form here, or a refusal.

    Raises:
        Refusal: BAD_INPUT, with the field and the reason.
    """
    made = json_form.from_json(raw(path), kind)
    wallets.complete_all(made)
    return made


def read_wallets(path: Path) -> list[evidence.WalletIdentifier]:
    """Return the wallets of a list of `{chain, address, ...}`, see `gateway.formats.wallets`.

    Raises:
        Refusal: BAD_INPUT, with the position of the first entry that is wrong.
    """
    found = wallets.identifiers(reading.load(raw(path)))
    if found.refused:
        first = found.refused[0]
        first.field = f"wallets{first.field}"
        raise first
    return [*found.read]


def as_object(message: Message) -> dict[str, object]:
    """Return a message as protobuf JSON has it."""
    return json_form.to_object(message)


def raw(path: Path) -> bytes:
    """Return the bytes of a file, `-` being standard input.

    Raises:
        Refusal: BAD_INPUT, it cannot be read, or is too large.
    """
    if path == STANDARD_INPUT:
        content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    else:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", "file") from error
    if len(content) > MAX_FILE_BYTES:
        raise Refusal(ErrorCode.BAD_INPUT, f"{path} is over {MAX_FILE_BYTES} bytes", "file")
    return content


def opened(path: Path) -> IO[bytes]:
    """Open a file to be read as a stream, `-` being standard input.

    Raises:
        Refusal: BAD_INPUT, it cannot be read.
    """
    try:
        return click.open_file(str(path), "rb")
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", "file") from error
