import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.cli import bench


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_bench_writes_the_figures_that_it_tells(tmp_path: Path, option: list[str]) -> None:
    out = tmp_path / "build" / "bench.json"
    done = CliRunner().invoke(cli.commands, ["bench", "--quick", "--out", str(out), *option])
    assert done.exit_code == 0, done.output
    figures = json.loads(out.read_bytes())
    for name in (*bench.WALLETS, "mean"):
        assert figures[f"wallet_{name}_ratio"] == figures[f"wallet_{name}_us"] / figures["ed25519_verify_us"]
    if option:
        assert json.loads(done.stdout) == figures
