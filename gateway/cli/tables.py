"""`rogatory tables`: transactions as tables for those who count and draw.

In: a file of transactions, in any form that `rogatory check transactions` reads. Out: two files, `transactions` and
`movements`, as Parquet or CSV; see `gateway.formats.tables` for the columns. Bad records are told and left out, the
good ones kept: exit code 0 if all were good, 1 if some were not, 2 if the input cannot be used, and then no file is
written.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
from rogatory.v1 import evidence_pb2 as evidence

from clients import tables
from gateway.cli import document, files, output
from gateway.cli.check import SOME_NOT_VALID
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.formats import transactions
from gateway.formats.codes import Code, refuse
from gateway.formats.transactions.forms import FORMS

SHOWN: Final = 20
"""Refusals that are told one by one; the rest is counted."""
TOLD: Final = 1_000
"""The same in JSON. A file of 1 MB can hold half a million of them; `rogatory check transactions` tells all."""


@click.command(epilog="\b\nExample:\n  rogatory tables block.json out --chain bitcoin --format csv")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--format", "written", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
@click.option("--form", type=click.Choice(sorted(FORMS)), help="By default told by the fields of each record.")
@click.option("--chain", help="Name or CAIP-2 id, for JSON that does not name its chain, as Bitcoin's.")
@output.json_option
def command(path: Path, folder: Path, written: str, form: str | None, chain: str | None, as_json: bool) -> None:
    """Write the transactions in FILE as two tables in FOLDER.

    Read and written as a stream: a file of any size takes the memory of its largest record.
    """
    refused = _Refused(most=TOLD if as_json else SHOWN)
    names = [folder / f"{name}.{written}" for name in ("transactions", "movements")]
    for name in names:
        files.check_other(name, "folder", path)
    try:
        with ExitStack() as stack:
            source = stack.enter_context(document.opened(path))
            found = _good(transactions.import_records(source, form, chain), refused)
            folder.mkdir(parents=True, exist_ok=True)
            if written == "csv":
                texts = [stack.enter_context(files.written(name)) for name in names]
                count = tables.write_csv(found, *texts)
            else:
                binaries = [stack.enter_context(files.written(name, text=False)) for name in names]
                count = tables.write_parquet(found, *binaries)
    except OSError as error:
        raise Failure(ErrorCode.STORE, f"cannot read or write: {error.strerror}", str(error.filename or "")) from error
    if as_json:
        told = [output.error_object(each) for each in refused.first]
        written_to = [str(name) for name in names]
        output.emit_json({"records": count, "files": written_to, "refused": told, "refused_in_all": refused.count})
    else:
        for each in refused.first:
            output.emit_error(each)
        click.echo(f"{count} records written to {names[0]} and {names[1].name}; {refused.count} refused")
    if refused.count:
        raise click.exceptions.Exit(SOME_NOT_VALID)


@dataclass(slots=True)
class _Refused:
    """How many records were refused, and the first of the refusals.

    Args:
        most: how many are kept.
    """

    most: int
    count: int = 0
    first: list[Refusal] = field(default_factory=list)

    def add(self, refusal: Refusal) -> None:
        """Count one, and keep what it says if it is among the first."""
        self.count += 1
        if len(self.first) < self.most:
            # Made anew: the one that was raised holds on to the bytes of its record.
            self.first.append(refuse(Code(refusal.rule), refusal.detail, refusal.field, refusal.code))


def _good(
    found: Iterator[evidence.TransactionRecord | Refusal], refused: _Refused
) -> Iterator[evidence.TransactionRecord]:
    for each in found:
        if isinstance(each, Refusal):
            refused.add(each)
        else:
            yield each
