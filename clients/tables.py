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
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import tables
from gateway.formats.tables import Cell, Row

if TYPE_CHECKING:
    import pyarrow as pa

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
    source = enumerate(records)
    with parquet.ParquetWriter(transactions, first) as heads, parquet.ParquetWriter(movements, second) as ends:
        while group := [*islice(source, ROWS_A_GROUP)]:
            heads.write_table(_table([tables.transaction_row(*one) for one in group], first))
            # A record may have 20 000 movements: their groups are counted apart.
            rows = (row for one in group for row in tables.movement_rows(*one))
            while moved := [*islice(rows, ROWS_A_GROUP)]:
                ends.write_table(_table(moved, second))
            count += len(group)
    return count


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
