import csv
import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from rogatory.v1 import evidence_pb2 as evidence

from clients import tables as writers
from gateway.formats import tables, transactions

RECORDS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "transactions.json").read_bytes())
MADE = transactions.records(RECORDS).read


def parquet_of(records: Iterator[evidence.TransactionRecord]) -> tuple[io.BytesIO, io.BytesIO]:
    sinks = io.BytesIO(), io.BytesIO()
    writers.write_parquet(records, *sinks)
    return sinks


def csv_of(*records: evidence.TransactionRecord) -> tuple[str, str]:
    sinks = io.StringIO(newline=""), io.StringIO(newline="")
    assert writers.write_csv(records, *sinks) == len(records)
    return sinks[0].getvalue(), sinks[1].getvalue()


def test_every_row_has_every_column() -> None:
    for number, record in enumerate(MADE):
        assert len(tables.transaction_row(number, record)) == len(tables.TRANSACTIONS)
        assert all(len(row) == len(tables.MOVEMENTS) for row in tables.movement_rows(number, record))


def test_csv_and_parquet_tell_the_same_to_the_last_digit() -> None:
    heads, ends = (list(csv.DictReader(io.StringIO(text))) for text in csv_of(*MADE))
    first, second = (parquet.read_table(sink).to_pylist() for sink in parquet_of(iter(MADE)))
    assert (len(heads), len(ends)) == (len(first), len(second)) == (383, sum(count(record) for record in MADE))
    for row, wanted in zip(ends, second, strict=True):
        assert row == {name: "" if cell is None else str(cell) for name, cell in wanted.items()}
    for row, wanted, record in zip(heads, first, MADE, strict=True):
        assert (row["txid"], row["raw_hash"]) == (wanted["txid"], wanted["raw_hash"] or "")
        assert wanted["block_time"].timestamp() * 1_000_000 == pytest.approx(record.block_time_us, abs=1)
        assert row["block_time"] == wanted["block_time"].isoformat().replace("+00:00", "Z")
    moved = [row["base_units"] for row in second if row["direction"] == "out"]
    assert moved == [end.amount.base_units for record in MADE for end in record.outputs]


def count(record: evidence.TransactionRecord) -> int:
    return len(record.inputs) + len(record.outputs) + len(record.balance_changes)


def test_same_records_give_the_same_bytes() -> None:
    assert csv_of(*MADE) == csv_of(*MADE)
    assert [sink.getvalue() for sink in parquet_of(iter(MADE))] == [sink.getvalue() for sink in parquet_of(iter(MADE))]


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@SUM(A1)"])
def test_formula_is_made_harmless_in_csv_and_kept_in_parquet(text: str) -> None:
    record = evidence.TransactionRecord()
    record.CopyFrom(MADE[0])
    record.source = text
    (row,) = csv.DictReader(io.StringIO(csv_of(record)[0]))
    assert row["source"] == f"'{text}"
    assert parquet.read_table(parquet_of(iter([record]))[0]).to_pylist()[0]["source"] == text


def test_loss_keeps_its_sign() -> None:
    loss = next(record for record in MADE if any(change.delta.startswith("-") for change in record.balance_changes))
    rows = [*csv.DictReader(io.StringIO(csv_of(loss)[1]))]
    assert [row["base_units"] for row in rows] == [change.delta for change in loss.balance_changes]


def test_many_records_are_written_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "ROWS_A_GROUP", 1_000)
    # What the library loads when it is first used, 20 MB, is not the records'.
    parquet_of(iter(MADE))
    sinks = io.BytesIO(), io.BytesIO()
    tracemalloc.start()
    try:
        assert writers.write_parquet((MADE[n % 383] for n in range(20_000)), *sinks) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000 + sum(len(sink.getvalue()) for sink in sinks) * 2
    assert parquet.ParquetFile(sinks[0]).num_row_groups == 20


def test_record_is_made_into_rows_before_the_next_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """One may have 20 000 movements: a group of records as long as a group of rows would fill the memory."""
    made: list[int] = []
    rows_of = tables.movement_rows

    def noted(number: int, record: evidence.TransactionRecord) -> Iterator[tables.Row]:
        made.append(number)
        return rows_of(number, record)

    def read() -> Iterator[evidence.TransactionRecord]:
        for number in range(20):
            assert made == [*range(number)]
            yield MADE[number]

    monkeypatch.setattr(tables, "movement_rows", noted)
    parquet_of(read())
    assert made == [*range(20)]
