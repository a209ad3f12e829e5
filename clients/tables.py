"""Transaction records into files for analysts: CSV, or Parquet.

In: records, one by one. Out: two files, as in `gateway.formats.tables`. The same records give the same bytes. Memory
holds one row (CSV) or one group of rows (Parquet).

In CSV, a cell that a spreadsheet would run as a formula gets an apostrophe in front (OWASP, CSV Injection); numbers
with a minus are numbers and stay. Spreadsheets also round amounts of more than 15 digits when they open a CSV: whoever
needs the digits reads it as text, or takes Parquet, where nothing is changed.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import tables
from gateway.formats.tables import Cell, Row

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

ROWS_A_GROUP: Final = 10_000

_FORMULA: Final = re.compile(r"[=+\-@\t\r]")
_NUMBER: Final = re.compile(r"-?[0-9]+")


def write_csv(records: Iterable[evidence.TransactionRecord], transactions: TextIO, movements: TextIO) -> int:
    """Write both tables as CSV (RFC 4180), with a line of names; return how many records there were.

    Args:
        records: the records.
        transactions: where the first table goes: a text file opened with `newline=""`.
        movements: where the second goes.
    """
    first, second = csv.writer(transactions), csv.writer(movements)
    first.writerow(name for name, _ in tables.TRANSACTIONS)
    second.writerow(name for name, _ in tables.MOVEMENTS)
    count = 0
    for number, record in enumerate(records):
        first.writerow(map(_text, tables.transaction_row(number, record)))
        second.writerows(map(_text, row) for row in tables.movement_rows(number, record))
        count = number + 1
    return count


def write_parquet(records: Iterable[evidence.TransactionRecord], transactions: BinaryIO, movements: BinaryIO) -> int:
    """Write both tables as Parquet; return how many records there were.

    Args:
        records: the records.
        transactions: where the first table goes.
        movements: where the second goes.
    """
    # Here, for it takes a second to load and only this wants it.
    from pyarrow import parquet  # noqa: PLC0415

    first, second = _schema(tables.TRANSACTIONS), _schema(tables.MOVEMENTS)
    count = 0
    with parquet.ParquetWriter(transactions, first) as heads, parquet.ParquetWriter(movements, second) as ends:
        head_group, end_group = _Group(heads, first), _Group(ends, second)
        # Rows are kept, not records: one may have 20 000 movements, and a group of such would fill the memory.
        for number, record in enumerate(records):
            head_group.add(tables.transaction_row(number, record))
            for row in tables.movement_rows(number, record):
                end_group.add(row)
            count = number + 1
        head_group.write()
        end_group.write()
    return count


class _Group:
    """Rows of one table on their way to the file, a group at a time."""

    def __init__(self, writer: "parquet.ParquetWriter", schema: "pa.Schema") -> None:
        self._writer, self._schema = writer, schema
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Take one row."""
        self._rows.append(row)
        if len(self._rows) >= ROWS_A_GROUP:
            self.write()

    def write(self) -> None:
        """Write what is there."""
        if self._rows:
            self._writer.write_table(_table(self._rows, self._schema))
            self._rows.clear()


def _text(cell: Cell) -> str | int | None:
    if isinstance(cell, datetime):
        return cell.isoformat().replace("+00:00", "Z")
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def _schema(columns: tuple[tuple[str, type], ...]) -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415  as above

    kinds = {int: pa.uint64(), str: pa.string(), datetime: pa.timestamp("us", tz="UTC")}
    return pa.schema([(name, kinds[kind]) for name, kind in columns])


def _table(rows: list[Row], schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa  # noqa: PLC0415  as above

    columns: Iterator[tuple[Cell, ...]] = zip(*rows, strict=True)
    return pa.table([pa.array(cells, kind.type) for cells, kind in zip(columns, schema, strict=True)], schema=schema)
