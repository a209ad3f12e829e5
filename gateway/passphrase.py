"""Passphrases and PINs from files.

In: a path, e.g. one of systemd (`/run/credentials/UNIT/NAME`). Out: what the file holds, hidden. Refuses as
`gateway.private_files` does, and what is not one line of text. Never from arguments or the environment: both are
there for other processes to read.
"""

from pathlib import Path
from typing import Final

from gateway import private_files
from gateway.hidden import LEAST_CHARACTERS, MOST_CHARACTERS, Passphrase

_MAX_BYTES: Final = 4 * MOST_CHARACTERS + 2


def read(path: Path, least: int = LEAST_CHARACTERS) -> Passphrase:
    """Read a passphrase.

    Args:
        path: the file; one line end after the passphrase is no part of it.
        least: characters that it must have.

    Raises:
        Refusal: KEY_FILE, the file is missing or open to others, or holds no passphrase.
    """
    content = private_files.read(path, _MAX_BYTES)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        # `from None`: the error holds all of the content.
        raise private_files.refusal(path, "not UTF-8 text") from None
    return Passphrase(text.removesuffix("\n").removesuffix("\r"), str(path), least)
