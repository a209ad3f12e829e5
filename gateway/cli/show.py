"""`rogatory show`: any document as a page that a person reads.

In: a file with protobuf JSON, one document or a list of one kind. Out: the page on the terminal, as one HTML file, or
the document as JSON. Refuses with BAD_INPUT what is no such document, with the field and the rule; and a file that does
not say what it is and could be several things.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from google.protobuf.message import Message

from gateway import codec
from gateway.cli import document, files, kinds, output
from gateway.clock import system_clock
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.formats import json_form, page
from gateway.formats.codes import Code, refuse
from gateway.formats.page import html, text
from gateway.printable import printable
from gateway.private_files import swap

PIPE_WIDTH: Final = 110


@click.command(epilog="\b\nExample:\n  rogatory show request.json --html request.html")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@kinds.option
@click.option("--html", "out", type=click.Path(path_type=Path, dir_okay=False), help="Write the page to this file.")
@output.json_option
def command(file: Path, kind: str | None, out: Path | None, as_json: bool) -> None:
    """Show the document in FILE as a readable page.

    FILE holds one document in protobuf JSON, or a list of documents of one kind; `-` is standard input. What it is, it
    says itself in a member "@type", or --kind says; otherwise it must fit one format only.
    """
    if out is not None:
        files.check_other(out, "html", file)
    shown, value = _read(document.raw(file), kind)
    now = system_clock()
    made = page.of_list(shown, now) if isinstance(value, list) else page.of(shown[0], now)
    if out is not None:
        _write(out, html.render(made))
    if as_json:
        objects = [json_form.to_object(each) for each in shown]
        told = objects if isinstance(value, list) else objects[0]
        output.emit_json({"type": shown[0].DESCRIPTOR.full_name, "title": made.title, "document": told})
    elif out is not None:
        click.echo(f"{made.title}: written to {printable(str(out))}")
    elif sys.stdout.isatty():
        from gateway.cli.page_terminal import emit  # noqa: PLC0415  rich takes longer to import than all the rest

        emit(made)
    else:
        for line in text.lines(made, PIPE_WIDTH):
            click.echo(line)


def _read(raw: bytes, word: str | None) -> tuple[Sequence[Message], object]:
    """Return the documents in a file, at least one and all of one type, and the JSON value that they were."""
    value = json_form.load(raw)
    entries = value if isinstance(value, list) else [value]
    if not entries:
        raise refuse(Code.MISSING, "the list is empty", "")
    kind = kinds.find(entries, word)
    place = "[{}]" if isinstance(value, list) else ""
    return [_checked(entry, kind, place.format(at)) for at, entry in enumerate(entries)], value


def _checked(entry: object, kind: type[Message], where: str) -> Message:
    made = json_form.from_object(entry, kind, where)
    try:
        codec.check(made, ErrorCode.BAD_INPUT)
    except Refusal as error:
        error.field = ".".join(filter(None, [where, error.field]))
        raise
    return made


def _write(path: Path, content: str) -> None:
    """Write the page, for its owner alone, for it says what the document does; on a full disk, the old one stays."""
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_text(content, encoding="utf-8")  # /dev/stdout, a pipe
        else:
            swap(path, content.encode())
    except OSError as error:
        raise Failure(ErrorCode.STORE, f"cannot write {path}: {error.strerror}") from error
