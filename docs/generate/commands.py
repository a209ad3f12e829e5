"""The command line, read from the commands themselves: one page a command.

In: the click commands of `gateway.cli`. Out: Markdown. Refuses a command or option without a word of help.
"""

import inspect
import textwrap
from collections.abc import Iterator
from typing import Final

import click
from mkdocs.exceptions import PluginError
from words import cell, code, escaped, table

from gateway.cli import COMMANDS
from gateway.cli import commands as root

_FOLDER: Final = "reference/commands"
_EXAMPLE: Final = "\b\nExample:\n"


def pages() -> dict[str, str]:
    """Return each page by its place, the index first."""
    first = {f"{_FOLDER}/index.md": "\n".join(_index())}
    return first | {f"{_FOLDER}/{name}.md": "\n".join(_page(name)) for name in COMMANDS}


def _index() -> Iterator[str]:
    yield "# Commands\n"
    yield (
        "`rogatory COMMAND --help` says the same as these pages, which are made from it. A refusal (a rule said no) "
        "ends with exit code 2, a failure (it could not be done now) with 1; `--json` gives errors, too, as one object "
        "([codes](../errors.md)).\n"
    )
    yield from table(
        ("command", "what it does"), ((f"[`{name}`]({name}.md)", cell(line)) for name, line in COMMANDS.items())
    )


def _page(name: str) -> Iterator[str]:
    with click.Context(root, info_name="rogatory") as above:
        command = root.get_command(above, name)
        if command is None:
            raise PluginError(f"there is no command {name}")
        yield from _told(command, above, name, 1)


def _told(command: click.Command, above: click.Context, name: str, depth: int) -> Iterator[str]:
    with click.Context(command, info_name=name, parent=above) as context:
        path = context.command_path
        if not command.help:
            raise PluginError(f"{path}: no help")
        yield f"{'#' * min(depth, 4)} {path} {{ #{path.removeprefix('rogatory ').replace(' ', '-')} }}\n"
        yield from _paragraphs(command.help)
        usage = " ".join([path, *command.collect_usage_pieces(context)])
        yield f"```text\n{usage}\n```\n"
        yield from _options(command, context)
        if command.epilog:
            yield _epilog(command.epilog)
        if isinstance(command, click.Group):
            for each in command.list_commands(context):
                below = command.get_command(context, each)
                if below is None:
                    raise PluginError(f"{path}: there is no {each}")
                if not below.hidden:
                    yield from _told(below, context, each, depth + 1)


def _paragraphs(text: str) -> Iterator[str]:
    """Return help as paragraphs; what click would not wrap, marked as such, is kept as it is."""
    for part in inspect.cleandoc(text).replace("\f", "").split("\n\n"):
        if part.startswith("\b\n"):
            yield f"```text\n{part.removeprefix(chr(8)).strip(chr(10))}\n```\n"
        else:
            yield cell(part) + "\n"


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    rows = []
    for option in command.params:
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is None:
            continue
        names, said = record
        if not said:
            raise PluginError(f"{context.command_path}: nothing is said of {names}")
        # A long list of words is better read beside its option than within it.
        names, _, words = names.partition(" [")
        choices = f" One of: {words.rstrip(']').replace('|', ', ')}." if words else ""
        rows.append((code(names), escaped(" ".join(said.split()) + choices)))
    if rows:
        yield from table(("option", "what it does"), rows)


def _epilog(epilog: str) -> str:
    if not epilog.startswith(_EXAMPLE):
        return cell(epilog) + "\n"
    return f"```sh\n{textwrap.dedent(epilog.removeprefix(_EXAMPLE)).strip()}\n```\n"
