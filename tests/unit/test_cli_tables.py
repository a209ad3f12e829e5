import csv
import errno
import json
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pyarrow import parquet

from gateway import cli
from gateway.formats import transactions as formats

TRANSACTIONS = Path(__file__).parents[1] / "data" / "transactions.json"
RECORDS = 383


def tables(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli.commands, ["tables", *map(str, arguments)])
    return done.exit_code, done.stdout


def test_parquet_and_csv_hold_the_same_rows_and_no_amount_is_a_number(tmp_path: Path) -> None:
    assert tables(TRANSACTIONS, tmp_path)[0] == 0
    assert tables(TRANSACTIONS, tmp_path, "--format", "csv")[0] == 0
    for name, rows in (("transactions", RECORDS), ("movements", None)):
        columns = parquet.read_table(tmp_path / f"{name}.parquet").to_pydict()
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            lines = [*csv.DictReader(file)]
        assert len(lines) == len(columns["record"]) == (rows or len(lines))
        assert [line["txid"] for line in lines] == columns["txid"]
    moved = columns["base_units"]
    assert all(value is None or isinstance(value, str) for value in moved)
    assert max(int(value) for value in moved if value) > 1 << 64


def test_bad_record_is_told_and_the_good_ones_are_written(tmp_path: Path) -> None:
    records = json.loads(TRANSACTIONS.read_bytes())[:3]
    del records[1]["txid"]
    source = tmp_path / "source.json"
    source.write_text(json.dumps(records))
    status, shown = tables(source, tmp_path / "out", "--json")
    told = json.loads(shown)
    assert (status, told["records"], [each["field"] for each in told["refused"]]) == (1, 2, ["[1].txid"])


def test_file_of_nothing_but_bad_records_takes_no_memory_for_each(tmp_path: Path) -> None:
    source = tmp_path / "source.json"
    source.write_text("[" + "0," * 20_000 + "0]")
    tables(source, tmp_path, "--format", "csv")  # what is loaded when it is first used is not the records'
    tracemalloc.start()
    try:
        status, shown = tables(source, tmp_path, "--format", "csv", "--json")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    told = json.loads(shown)
    assert (status, told["records"], len(told["refused"]), told["refused_in_all"]) == (1, 0, 1_000, 20_001)
    assert told["refused"][-1]["field"] == "[999]"
    assert peak < 8_000_000


def test_refusals_that_are_kept_hold_on_to_no_record(tmp_path: Path) -> None:
    source = tmp_path / "source.json"
    source.write_text("[" + ",".join([f'"{"x" * 400_000}"', f'"{"x" * 400_000}\\q"'] * 20) + "]")
    tracemalloc.start()
    try:
        status, shown = tables(source, tmp_path, "--format", "csv")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (status, shown.rsplit("; ", 1)[1]) == (1, "40 refused\n")
    assert peak < 8_000_000


def test_file_that_is_not_there_cannot_be_used_and_makes_no_folder(tmp_path: Path) -> None:
    status, shown = tables(tmp_path / "none.json", tmp_path / "out", "--json")
    assert (status, json.loads(shown)["error"]["code"]) == (2, "BAD_INPUT")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_that_are_not_finished_leave_those_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    assert tables(TRANSACTIONS, tmp_path, "--format", form)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    read = formats.import_records

    def failing(*given: Any) -> Iterator[object]:
        yield from islice(read(*given), 20)
        raise OSError(errno.EIO, "Input/output error", "source")

    monkeypatch.setattr(formats, "import_records", failing)
    status, shown = tables(TRANSACTIONS, tmp_path, "--format", form, "--json")
    assert (status, json.loads(shown)["error"]["code"]) == (1, "STORE")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_tables_take_the_place_of_no_input(tmp_path: Path) -> None:
    source = tmp_path / "transactions.csv"
    source.write_bytes(TRANSACTIONS.read_bytes())
    status, shown = tables(source, tmp_path, "--format", "csv", "--json")
    assert (status, json.loads(shown)["error"]["code"]) == (2, "BAD_INPUT")
    assert source.read_bytes() == TRANSACTIONS.read_bytes()
