"""`rogatory check`: judge files before anything is sent.

In: a list as others keep it (wallets, transactions, assets, LEIs, persons), or one document. Out: one verdict for each
entry, in its order; with `--json` a list of objects `{valid, code, reason, canonical, field}`. Exit code 0 if all are
valid, 1 if some are not or are not supported, 2 if the input as a whole cannot be used.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final

import click
from google.protobuf.message import Message
from rogatory.v1 import identifiers_pb2 as ids

from gateway import codec
from gateway.cli import document, kinds, output
from gateway.clock import system_clock
from gateway.errors import ErrorCode, Refusal
from gateway.formats import checks, json_form, reading, transactions, verdicts, wallets
from gateway.formats.codes import Code
from gateway.formats.transactions.forms import FORMS
from gateway.formats.verdicts import Judge, Verdict

SOME_NOT_VALID: Final = 1
SHOWN: Final = 200
"""Entries with something to say that a table shows; JSON has them all."""

_FILE: Final = click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))


@click.group()
def command() -> None:
    """Judge a file before anything is sent.

    FILE is a JSON list; for `order`, one document. Exit code 0: all valid; 1: some not, or not supported; 2: unusable.
    """


def _on_lists(name: str, example: str, text: str, judge: Callable[[], Judge]) -> None:
    """Add the command that judges a list entry by entry."""

    @command.command(name, help=text, epilog=f"\b\nExample:\n  rogatory check {name} {example}")
    @_FILE
    @output.json_option
    def run(path: Path, as_json: bool) -> None:
        entries = reading.items(reading.load(document.raw(path)), "")
        one = judge()
        _show((verdicts.judged(one, each, f"[{i}]") for i, each in enumerate(_with_progress(entries))), as_json=as_json)


_on_lists(
    "wallets",
    "wallets.json",
    "Judge wallets: a list of {chain, address, network?, tag?}, the chain by name or CAIP-2 id.",
    lambda: verdicts.wallet,
)
_on_lists(
    "assets",
    "assets.json",
    "Judge assets, accounts and chains: a list of {id} in CAIP-19, CAIP-10, CAIP-2 or as a DTI.",
    lambda: verdicts.asset,
)
_on_lists("lei", "firms.json", "Judge Legal Entity Identifiers: a list of {lei}.", lambda: verdicts.legal_entity)
_on_lists(
    "persons",
    "payloads.json",
    "Judge persons in IVMS101: a list of payloads, persons, or what people wrap them in.",
    lambda: verdicts.person(system_clock().date()),
)


@command.command("transactions", epilog="\b\nExample:\n  rogatory check transactions block.json --chain bitcoin")
@_FILE
@click.option("--form", type=click.Choice(sorted(FORMS)), help="By default told by the fields of each record.")
@click.option("--chain", help="Name or CAIP-2 id, for JSON that does not name its chain, as Bitcoin's.")
@output.json_option
def check_transactions(path: Path, form: str | None, chain: str | None, as_json: bool) -> None:
    """Judge transactions: a JSON list, one object a line, or a node's answer as it came.

    Read as a stream: a file of any size takes the memory of its largest record.
    """
    with document.opened(path) as file:
        _show(map(_of_record, transactions.import_records(_Counted(file, path), form, chain)), as_json=as_json)


@command.command("order", epilog="\b\nExample:\n  rogatory check order request.json")
@_FILE
@kinds.option
@output.json_option
def check_order(path: Path, kind: str | None, as_json: bool) -> None:
    """Judge a document: an order, a request, a decision, a report or what follows them.

    All that is wrong with it is told, each with its rule and article. With --json: {kind, valid, problems}.
    Where several kinds have one format, as notices have, --kind says by whose rules.
    """
    value = json_form.load(document.raw(path))
    message = kinds.find([value], kind)
    problems = [
        Verdict(valid=False, code=problem.rule or Code.CONTRACT, reason=problem.detail, field=problem.field)
        for problem in _problems(value, message, kinds.of_word(kind))
    ]
    if as_json:
        told = [{"code": each.code, "reason": each.reason, "field": each.field} for each in problems]
        output.emit_json({"kind": message.DESCRIPTOR.name, "valid": not problems, "problems": told})
    elif problems:
        output.emit_table(("field", "rule", "reason"), [(each.field, each.code, each.reason) for each in problems])
        click.echo(f"{message.DESCRIPTOR.name}: NOT VALID, rules broken: {len(problems)}")
    else:
        click.echo(f"{message.DESCRIPTOR.name}: valid")
    if problems:
        raise click.exceptions.Exit(SOME_NOT_VALID)


def _problems(value: object, message: type[Message], kind: ids.Kind.ValueType) -> Sequence[Refusal]:
    """Return what is wrong with a document; what cannot be read has one problem, which hides the others."""
    try:
        made = json_form.from_object(value, message)
        wallets.complete_all(made)
        codec.check(made, ErrorCode.BAD_INPUT)
    except Refusal as error:
        return [error]
    return checks.problems(made, kind)


def _of_record(found: object) -> Verdict:
    if isinstance(found, Refusal):
        valid = None if found.rule in verdicts.NOT_SUPPORTED else False
        return Verdict(valid, found.rule, found.detail, field=found.field)
    return Verdict(valid=True, canonical=str(getattr(found, "txid", "")))


class _Counted:
    """A file in pieces, with a bar on a terminal that shows how far it has been read."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        size = path.stat().st_size if path.is_file() else 0
        self._bar = click.progressbar(length=size, file=sys.stderr, hidden=not sys.stderr.isatty() or not size)

    def __iter__(self) -> Iterator[bytes]:
        with self._bar as bar:
            while piece := self._file.read(PIECE_BYTES):
                bar.update(len(piece))
                yield piece


PIECE_BYTES: Final = 1 << 20


def _with_progress(entries: Sequence[object]) -> Iterator[object]:
    """Go through the entries; a bar on a terminal, for a long list."""
    with click.progressbar(entries, file=sys.stderr, hidden=not sys.stderr.isatty() or len(entries) < SHOWN) as bar:
        yield from bar


def _show(found: Iterable[Verdict], *, as_json: bool) -> None:
    """Show verdicts as they come; nothing is kept but what a table shows."""
    counts: Counter[bool | None] = Counter()
    rows: list[tuple[object, ...]] = []
    for position, each in enumerate(found):
        if as_json:
            click.echo(("[" if position == 0 else ",") + output.json_text(asdict(each)))
        elif each.valid is not True and len(rows) < SHOWN:
            rows.append((each.field or f"[{position}]", _WORDS[each.valid], each.code, each.reason))
        counts[each.valid] += 1
    if as_json:
        click.echo("]" if counts else "[]")
    else:
        _show_table(rows, counts)
    if counts[True] != counts.total():
        raise click.exceptions.Exit(SOME_NOT_VALID)


_WORDS: Final = {True: "valid", False: "NOT VALID", None: "not supported"}


def _show_table(rows: Sequence[Sequence[object]], counts: Counter[bool | None]) -> None:
    if rows:
        output.emit_table(("position", "", "rule", "reason"), rows)
    left_out = counts[False] + counts[None] - len(rows)
    if left_out:
        click.echo(f"... and {left_out} more; --json shows them all")
    total = counts.total()
    if counts[True] == total:
        click.echo(f"all {total} valid")
    else:
        parts = [f"{counts[key]} {word}" for key, word in _WORDS.items() if counts[key]]
        click.echo(f"{', '.join(parts)}, of {total}")
