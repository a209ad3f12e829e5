import csv
import json
from pathlib import Path

from click.testing import CliRunner
from pyarrow import parquet

from gateway import cli

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


def test_file_that_is_not_there_cannot_be_used_and_makes_no_folder(tmp_path: Path) -> None:
    status, shown = tables(tmp_path / "none.json", tmp_path / "out", "--json")
    assert (status, json.loads(shown)["error"]["code"]) == (2, "BAD_INPUT")
    assert not (tmp_path / "out").exists()
