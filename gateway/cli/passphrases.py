"""Passphrases for commands: from a file, or from a person at a terminal.

In: an option, or keys pressed. Out: a passphrase. Refuses with BAD_INPUT to ask where nobody can answer. There is no
option that takes the passphrase itself: arguments are in the process list and in the history of the shell.
"""

import sys
from pathlib import Path

import click

from gateway import passphrase
from gateway.errors import ErrorCode, Refusal
from gateway.hidden import Passphrase

file_option = click.option(
    "--passphrase-file",
    "passphrase_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the passphrase, mode 0600; without it, you are asked.",
)


def ask() -> Passphrase:
    """Ask for the passphrase of keys that are there.

    Raises:
        Refusal: BAD_INPUT, standard input is no terminal; KEY_FILE, it can be no passphrase.
    """
    return Passphrase(_typed("Passphrase of the keys"), "passphrase")


def ask_new() -> Passphrase:
    """Ask for a new passphrase, twice; refuses as `ask` does."""
    first = _typed("New passphrase")
    if first != _typed("The same again"):
        raise Refusal(ErrorCode.BAD_INPUT, "the two are not the same", "passphrase")
    return Passphrase(first, "passphrase")


def of_keys(file: Path | None) -> Passphrase:
    """Return the passphrase of keys that are there; refuses as `ask` and `passphrase.read` do."""
    return ask() if file is None else passphrase.read(file)


def new(file: Path | None) -> Passphrase:
    """Return a new passphrase; refuses as `ask_new` and `passphrase.read` do."""
    return ask_new() if file is None else passphrase.read(file)


def _typed(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise Refusal(ErrorCode.BAD_INPUT, "nobody can be asked for a passphrase: name a file", "passphrase")
    try:
        text: str = click.prompt(prompt, hide_input=True, err=True)
    except UnicodeDecodeError:
        # `from None`: the error holds all that was typed.
        raise Refusal(ErrorCode.KEY_FILE, "not UTF-8 text", "passphrase") from None
    return text
