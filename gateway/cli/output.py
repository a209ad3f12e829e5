"""What every command prints: tables for people, JSON for machines, errors for both.

In: values. Out: text on standard output, errors on standard error. Colours and frames only on a terminal; elsewhere
aligned plain text, so that a file or a pipe gets the same each time. Text of peers is shown with its control
characters escaped: no refusal of a foreign node may move somebody's cursor.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Final

import click

from gateway.errors import Failure, GatewayError
from gateway.printable import printable

REFUSED: Final = 2
FAILED: Final = 1
WRONG_SECRET: Final = 78
"""Of a service whose passphrase or PIN does not fit: not to be started again (EX_CONFIG of sysexits.h, which systemd
calls CONFIG). Whatever else stops a start may pass: a disk comes, a port becomes free, a directory is renewed."""
_AS_JSON: Final = "gateway.cli.as_json"


def _remember(ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    ctx.meta[_AS_JSON] = value
    return value


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    is_eager=True,  # before other arguments are read, so that their errors come as JSON too
    callback=_remember,
    help="Print JSON, errors included.",
)
"""Gives a command the flag `--json`, as its argument `as_json`."""


def expect_json(ctx: click.Context, words: Sequence[str]) -> None:
    """Have errors come as JSON if `--json` stands among the words of a command that cannot be read."""
    ctx.meta[_AS_JSON] = "--json" in words


def wants_json(ctx: click.Context) -> bool:
    """Whether `--json` was given to the command that runs within `ctx`."""
    return bool(ctx.meta.get(_AS_JSON, False))


def exit_code(error: GatewayError) -> int:
    """Return 1 for a failure, which may pass, and 2 for a refusal, which will not."""
    return FAILED if isinstance(error, Failure) else REFUSED


def error_object(error: GatewayError) -> dict[str, str]:
    """Return what `--json` shows of an error."""
    return {"code": error.code.name, "rule": error.rule, "detail": error.detail, "field": error.field}


def emit_error(error: GatewayError) -> None:
    """Print one line on standard error: `error CODE: detail (at field)`."""
    click.echo(f"error {printable(str(error))}", err=True)


def emit_json(value: object) -> None:
    """Print one JSON value, indented."""
    click.echo(json_text(value, indent=2))


def json_text(value: object, indent: int | None = None) -> str:
    """Return a value as JSON: letters as they are, and escaped all that is not printable.

    That says the same to machines, and moves no cursor on a terminal. What was no UTF-8, in a path or a damaged store,
    is half of a character, and escaped too.
    """
    lines = json.dumps(value, indent=indent, ensure_ascii=False).split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_in_json, line)) for line in lines)


def _in_json(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def emit_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table.

    Args:
        headings: names of the columns.
        rows: one value for each column; shown with `str`.
    """
    cells = [[printable(str(value)) for value in row] for row in rows]
    if sys.stdout.isatty():
        _emit_framed(headings, cells)
    else:
        widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
        for line in chain([[heading.upper() for heading in headings]], cells):
            padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            click.echo("  ".join(padded).rstrip())


def _emit_framed(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    # Imported here: it takes longer than all the rest of `rogatory --help`.
    from rich.box import SIMPLE  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*headings, box=SIMPLE, pad_edge=False)
    for row in cells:
        table.add_row(*map(Text, row))  # Text, because a plain string would be read for markup
    Console().print(table)


@contextmanager
def progress() -> Iterator[Callable[[str, str, int, int], None]]:
    """Show how far files are, one bar for each thing done to one; on a terminal, and elsewhere not at all.

    Yields:
        What is told the thing done, the file's name, how many of its bytes are done, and how many there are.
    """
    if not sys.stderr.isatty():
        yield lambda _doing, _name, _done, _total: None
        return
    # Imported here, as above.
    from rich import progress as bars  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.DownloadColumn(binary_units=True),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as shown:
        known: dict[tuple[str, str], bars.TaskID] = {}

        def tell(doing: str, name: str, done: int, total: int) -> None:
            if (doing, name) not in known:
                known[doing, name] = shown.add_task(escape(f"{doing} {printable(name)}"), total=total)
            shown.update(known[doing, name], completed=done)

        yield tell


@contextmanager
def bar() -> Iterator[Callable[[int, int], None]]:
    """Yield what shows how much is done, and of how much: a bar on a terminal."""
    with click.progressbar(length=1, file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:

        def tell(done: int, total: int) -> None:
            shown.length = total
            shown.update(done - shown.pos)

        yield tell
