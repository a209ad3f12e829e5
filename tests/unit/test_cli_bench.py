import json
from pathlib import Path
from statistics import fmean

import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.cli import bench, bench_procedure
from gateway.store import open_store
from gateway.store.matters import MatterView


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_bench_writes_the_figures_that_it_tells(tmp_path: Path, option: list[str]) -> None:
    out = tmp_path / "build" / "bench.json"
    done = CliRunner().invoke(cli.commands, ["bench", "--quick", "--out", str(out), *option])
    assert done.exit_code == 0, done.output
    figures = json.loads(out.read_bytes())
    for name in (*bench.WALLETS, "mean"):
        assert figures[f"wallet_{name}_ratio"] == figures[f"wallet_{name}_us"] / figures["ed25519_verify_us"]
    procedure = figures["procedure"]
    assert procedure["cases"] == bench.QUICK_CASES
    assert procedure["ratio"] == procedure["mean_us"] / procedure["verify_us"]
    assert procedure["again_ratio"] == procedure["again_us"] / procedure["verify_us"]
    assert procedure["mean_us"] == fmean(each["us"] for each in procedure["per_kind"].values())
    assert [*out.parent.iterdir()] == [out]  # the store is gone
    if option:
        assert json.loads(done.stdout) == figures
    else:
        assert f"with {bench.QUICK_CASES} open cases" in done.stdout
        assert all(f"\n{step} " in done.stdout for step in procedure["per_kind"])


def test_bench_leaves_its_open_cases_as_they_were(tmp_path: Path) -> None:
    cases = 400
    measured = bench_procedure.Bench(tmp_path, cases, lambda _: None)
    connect, engine = open_store(tmp_path / "bench.db")
    engine.dispose()
    before = MatterView(connect()).open_matters_count()
    figures = measured.measure(1, lambda: None)
    measured.close()
    assert MatterView(connect()).open_matters_count() == before
    assert sum(before.values()) >= cases
    assert (figures["cases"], figures["rounds"]) == (cases, 1)
