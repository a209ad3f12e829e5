"""The bench as it is run, only smaller: real nodes, real loads, every figure there or told why not."""

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.cli import output
from gateway.cli.bench import brokers, log, plan, readme, soak, suite, targets
from gateway.cli.bench.plan import Sizes
from gateway.cli.bench.stages import STAGES
from tests.processes import rogatory, said, started_by, still_there

# Some forty processes are started, one after another; half a minute, if nothing else runs.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

TINY = Sizes(
    rounds=1,
    seconds=0.3,
    pool=1_536,
    growth=(128, 256),
    grown=256,
    staged=64,
    wallet_rounds=1,
    procedure_rounds=1,
    cases=460,
    log_rounds=1,
    logged=(300, 700),
)


@contextmanager
def one_run() -> Iterator[dict[str, object]]:
    """One run, by way of the command line; the machine has no RabbitMQ."""
    # Not below pytest's folders, which are for their owner alone: PostgreSQL does not run as root.
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder).chmod(0o711)
        yield _figures(Path(folder) / "build", patch)


def _figures(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, object]:
    patch.setattr(plan, "QUICK", TINY)
    patch.setattr(brokers, "RABBITMQ", ())
    patch.chdir(folder.parent)  # `make bench` names a file from where it is, too
    done = CliRunner().invoke(cli.commands, ["bench", "--quick", "--out", f"{folder.name}/bench.json"])
    assert done.exit_code == 0, done.output
    assert "NOT MET" in done.stdout
    assert "not installed: rabbitmq-server" in done.stdout
    # The stores are gone.
    assert {file.name for file in folder.iterdir()} == {"bench.json", "bench"}
    pictures = {file.name for file in (folder / "bench").iterdir()}
    assert pictures == {f"{name}.svg" for name in ("rates", "unary", "latency", "stages", "growth", "targets")}
    found: dict[str, object] = json.loads((folder / "bench.json").read_bytes())
    return found


def test_every_key_is_there_every_target_is_judged_and_a_page_shows_it(tmp_path: Path) -> None:
    # One run for all: test processes would take a minute each for their own.
    with one_run() as figures:
        check_keys(figures)
        check_targets(figures)
        check_machine(figures)
        check_costs(figures)
        check_log(figures)
        check_finding(figures)
        check_page(figures, tmp_path)


def check_keys(figures: dict[str, object]) -> None:
    """Each is there as a median with its rounds, or with a reason."""
    per_round, missing = figures["per_round"], figures["not_measured"]
    assert isinstance(per_round, dict)
    assert isinstance(missing, dict)
    for name in suite.KEYS:
        if figures[name] is None:
            assert missing[name]
            assert name not in per_round
        else:
            assert [figures[name]] == per_round[name]
    measured = {name for name in suite.KEYS if figures[name] is not None}
    assert measured == {*suite.KEYS} - {"rate_at_1e3", "rate_at_1e6"}
    assert "256 envelopes" in missing["rate_at_1e6"]
    assert {"rate_at_128", "rate_at_256", "jetstream_rate", "as2_rate", "half_load_p99_ms"} <= per_round.keys()
    assert {"accept_postgresql_rate", "end_to_end_postgresql_rate"} <= per_round.keys()
    # Whoever receives spans may take less than the system counts in.
    counted = per_round.keys() - {"accept_telemetry_receiver_us"}
    assert all(value > 0 for name in counted for value in per_round[name])


def check_targets(figures: dict[str, object]) -> None:
    judged = figures["targets"]
    assert isinstance(judged, list)
    assert [row["name"] for row in judged] == [target.name for target in targets.TARGETS]
    assert all({"name", "wanted", "measured", "met"} <= row.keys() for row in judged)
    for row in judged:
        assert {"reason", "not_measured"} & row.keys() == (
            set() if row["met"] else {"not_measured" if row["measured"] is None else "reason"}
        )


def check_machine(figures: dict[str, object]) -> None:
    machine = figures["machine"]
    assert isinstance(machine, dict)
    assert {"processor", "cores", "memory_bytes", "file_system", "fsync_ms", "load_before", "load_after"} <= {*machine}
    for name in ("stages", "stages_of_one"):
        by_stage = figures[name]
        assert isinstance(by_stage, dict)
        assert {*STAGES} <= by_stage.keys()


def check_costs(figures: dict[str, object]) -> None:
    for run in ("stream", "batch_signed", "two_process", "postgresql", "telemetry"):
        all_, lock, load = (figures[f"accept_{run}_{part}_us"] for part in ("cpu", "lock", "load"))
        assert isinstance(all_, float)
        assert isinstance(lock, float)
        assert 0 < lock <= all_
        assert isinstance(load, float)
        assert load > 0


def check_finding(figures: dict[str, object]) -> None:
    measured = figures["finding"]
    assert isinstance(measured, dict)
    assert measured["envelopes"] >= max(TINY.growth)
    assert {"id", "case", "party to few", "interval of time", "waiting", "error"} <= measured["ms"].keys()
    assert all(ms > 0 for ms in measured["ms"].values())


def check_log(figures: dict[str, object]) -> None:
    measured = figures["log"]
    assert isinstance(measured, dict)
    assert measured["of_size"].keys() == {"300", "700"}
    for each in measured["of_size"].values():
        assert {*log.FIGURES, "bytes_per_entry"} == each.keys()
        assert all(value > 0 for value in each.values())


def check_page(figures: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(figures))
    page = tmp_path / "page.md"
    page.write_text(f"above\n{readme.BEGIN}\nof before\n{readme.END}\nbelow\n")
    told = ["bench", "readme", "--from", str(tmp_path / "bench.json"), "--page", str(page)]
    # Smaller than a whole run, and so not for a page.
    assert CliRunner().invoke(cli.commands, told).exit_code == output.REFUSED
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "FULL", TINY)
        assert CliRunner().invoke(cli.commands, told).exit_code == 0
    lines = page.read_text().splitlines()
    assert (lines[:2], lines[-2:]) == (["above", readme.BEGIN], [readme.END, "below"])
    assert "of before" not in lines
    for target in targets.TARGETS:
        (row,) = [line for line in lines if line.startswith(f"| {target.name} |")]
        assert row.count("|") == 5


def test_soak_holds_its_rate_and_everything_that_was_accepted_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "WINDOW_SECONDS", 0.5)
    out = tmp_path / "soak.json"
    found = soak.soak(out, 0.0, 20.0, lambda _: None)
    assert json.loads(out.read_bytes()) == found
    assert len(found["windows"]) == soak.LEAST_WINDOWS
    assert found["windows"][-1]["backlog"] == 0
    assert {verdict["name"] for verdict in found["verdicts"]} >= {"backlog, in seconds of the rate"}
    assert out.with_suffix(".svg").read_text().count("<circle") == 4 * (soak.LEAST_WINDOWS - soak.WARM_WINDOWS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_bench_that_is_told_to_end_leaves_no_process_and_no_store(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "build" / "bench.json"
    bench = await rogatory("bench", "--quick", "--out", str(out))
    # By then its load and its echo run, and it fills stores.
    await said(bench.stderr, b"fills")
    started = started_by(bench.pid)
    assert len(started) >= 2
    bench.send_signal(number)
    assert await asyncio.wait_for(bench.wait(), 120) == 128 + number
    assert still_there(started) == []
    assert entries(out.parent) == []


async def test_bench_of_a_file_that_is_told_to_end_leaves_no_sender(tmp_path: Path) -> None:
    bench = await rogatory("bench", "attachment", "--gigabytes", "0.2", "--folder", str(tmp_path))
    await said(bench.stderr, b"seal and hand in")
    async with asyncio.timeout(60):
        while len(started := started_by(bench.pid)) < 3:
            await asyncio.sleep(0.02)
    bench.terminate()
    assert await asyncio.wait_for(bench.wait(), 120) == 128 + signal.SIGTERM
    assert still_there(started) == []
    assert entries(tmp_path) == []


def entries(folder: Path) -> list[Path]:
    return [*folder.iterdir()]
