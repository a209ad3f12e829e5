import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox

from gateway import cli, envelope, material, statement
from gateway.cli.bench import (
    PARTS,
    as2,
    charts,
    machine,
    nodes,
    plan,
    pool,
    postgres,
    procedure,
    readme,
    reasons,
    soak,
    targets,
    verify,
    wallets,
)
from gateway.cli.bench.figures import Measure, NotMeasured, Series, percentile
from gateway.cli.bench.growth import Filler, name_of
from gateway.cli.bench.load import Job, Load
from gateway.cli.bench.nodes import ABROAD, HOME, RECIPIENT, SENDER, Nodes
from gateway.cli.bench.proving import Prover
from gateway.cli.bench.soak import Window
from gateway.cli.bench.stages import STAGES, Stages
from gateway.clock import system_clock
from gateway.errors import ErrorCode, GatewayError
from gateway.procedure import LawfulStep, check
from gateway.store import matters, open_store
from gateway.store.matters import MatterView
from gateway.store.sqlite import SqliteConnection
from gateway.verify import VerifiedEnvelope

CODES = {
    pb.MILESTONE_ACCEPTED: errors_pb2.ERROR_CODE_UNSPECIFIED,
    pb.MILESTONE_REFUSED: errors_pb2.ERROR_CODE_STALE,
}


def silent(_: str) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Nodes:
    return Nodes(tmp_path_factory.mktemp("bench"))


# Figures


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.5, 7.0),
        ([7.0], 0.99, 7.0),
        ([3.0, 1.0, 2.0, 4.0], 0.5, 2.0),
        ([3.0, 1.0, 2.0, 4.0], 0.51, 3.0),
        ([3.0, 1.0, 2.0, 4.0], 1.0, 4.0),
        ([*map(float, range(100, 0, -1))], 0.99, 99.0),
        ([*map(float, range(1, 102))], 0.99, 100.0),
    ],
)
def test_percentile_is_the_smallest_value_that_such_a_share_does_not_exceed(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected
    assert sum(value <= expected for value in values) >= share * len(values)


def test_percentile_of_nothing_is_an_error_and_not_zero() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_rounds_are_interleaved_and_what_is_told_is_their_median() -> None:
    order: list[str] = []

    def take(name: str, values: list[float]) -> Measure:
        def job(number: int) -> dict[str, float]:
            order.append(name)
            return {name: values[number]}

        return Measure((name,), job)

    series = Series()
    series.run([take("a", [1.0, 9.0, 2.0]), take("b", [4.0, 4.0, 8.0])], 3, silent)
    assert order == ["a", "b"] * 3
    assert series.medians == {"a": 2.0, "b": 4.0}
    assert series.per_round == {"a": [1.0, 9.0, 2.0], "b": [4.0, 4.0, 8.0]}
    assert series.ratio("a", "b") == 0.5


def test_what_cannot_be_measured_is_told_with_its_reason_and_not_tried_again() -> None:
    tried: list[int] = []

    def take(number: int) -> dict[str, float]:
        tried.append(number)
        raise NotMeasured("it is not installed")

    series = Series()
    series.run([Measure(("a", "b"), take), Measure(("c",), lambda n: {"c": float(n)})], 2, silent)
    assert tried == [0]
    assert series.missing == dict.fromkeys(("a", "b"), "it is not installed")
    assert series.medians == {"a": None, "b": None, "c": 0.5}
    assert series.ratio("c", "a") is None


def test_what_could_not_be_measured_in_a_later_round_meets_no_target_by_those_before() -> None:
    def take(number: int) -> dict[str, float]:
        if number:
            raise NotMeasured("the disk is full")
        return {"rabbitmq_rate": 1.0}

    series = Series()
    series.run([Measure(("rabbitmq_rate",), take)], 2, silent)
    series.add({"accept_stream_rate": 9.0})
    found = {str(row["name"]): row for row in targets.judge(series)}["stream, to RabbitMQ quorum queues"]
    assert series.medians["rabbitmq_rate"] is None
    assert (found["measured"], found["met"], found["not_measured"]) == (None, False, "the disk is full")


def test_what_is_killed_from_outside_has_no_last_words_and_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess([], -9, b"", b"")

    def endless(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired([], 1.0)

    (measure,) = as2.measures(0.1)
    for run in (killed, endless):
        monkeypatch.setattr(subprocess, "run", run)
        with pytest.raises(NotMeasured):
            measure.take(0)


@pytest.mark.parametrize("mode", ["stream", "paced"])
async def test_a_stream_that_ends_before_its_last_answer_has_no_rate(
    made: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    async def ends(_load: Load, _channel: object, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield await anext(requests)
        await anext(requests)

    monkeypatch.setattr(Load, "_frames", ends)
    pool.write(tmp_path / "pool", made.config(SENDER), RECIPIENT, 256)
    job = Job(str(made.config(SENDER)), str(tmp_path / "pool"), 0, 256, 30.0, mode, rate=1e6)
    load = Load(job)
    with pytest.raises(GatewayError) as lost:
        await {"stream": load._stream, "paced": load._paced}[mode](None, perf_counter())  # type: ignore[arg-type]  # unused
    assert lost.value.code is ErrorCode.UNAVAILABLE


# Targets


def test_target_is_met_at_its_bound_and_not_beyond_and_never_unmeasured() -> None:
    least, most = targets.Target("t", "a", "b", least=0.5), targets.Target("t", "a", most=2.0)
    assert [least.is_met(value) for value in (0.5, 0.499, None)] == [True, False, False]
    assert [most.is_met(value) for value in (2.0, 2.001, None)] == [True, False, False]


@pytest.mark.parametrize(
    ("measured", "text"),
    [(0.6, "0.60"), (0.5996, "0.5996"), (0.599999, "0.599999"), (0.604, "0.60"), (0.59, "0.59"), (7.128, "7.13")],
)
def test_what_misses_its_target_by_little_is_not_shown_as_what_reaches_it(measured: float, text: str) -> None:
    target = targets.Target("t", "a", least=0.6)
    row = {"name": "t", "wanted": target.wanted, "measured": measured, "met": target.is_met(measured)}
    assert targets.shown(row) == text
    assert (float(text) >= 0.6) == row["met"]
    late = targets.Target("t", "a", most=25.0, unit="ms")
    assert targets.shown({"wanted": late.wanted, "measured": 25.004, "met": late.is_met(25.004)}) == "25.004"


def test_each_target_is_judged_by_the_ratio_of_medians_or_has_a_reason_why_not() -> None:
    series = Series()
    for verify_rate, accepted in ((10.0, 5.0), (10.0, 7.0), (10.0, 8.0)):
        series.add({"verify_rate": verify_rate, "accept_stream_rate": accepted, "half_load_p99_ms": 30.0})
    series.miss(["rabbitmq_rate"], "not installed")
    found = {str(row["name"]): row for row in targets.judge(series)}
    assert len(found) == len(targets.TARGETS)
    stream = found["stream, one process, to the bare verify rate"]
    assert (stream["measured"], stream["met"], stream["wanted"]) == (0.7, True, ">= 0.6")
    late = found["p99 at half load"]
    assert (late["measured"], late["met"], late["wanted"]) == (30.0, False, "<= 25.0 ms")
    rabbit = found["stream, to RabbitMQ quorum queues"]
    assert (rabbit["measured"], rabbit["met"], rabbit["not_measured"]) == (None, False, "not installed")
    assert all(row["not_measured"] for row in found.values() if row["measured"] is None)


def test_two_engines_are_apart_by_the_same_ratio_whichever_is_faster() -> None:
    target = targets.Target("t", "a", "b", most=1.5, either_way=True)
    for one, other in ((10.0, 20.0), (20.0, 10.0)):
        series = Series()
        series.add({"a": one, "b": other})
        assert target.measured(series) == 2.0
    assert target.measured(Series()) is None


COSTS = {"cpu_us": 300.0, "lock_us": 250.0, "load_us": 20.0}
FIGURES: dict[str, Any] = {
    **{f"{run}_{part}": cost for run in (*reasons.PROCESSES, "accept_postgresql") for part, cost in COSTS.items()},
    **{f"{run}_rate": 3000.0 for run in reasons.PROCESSES},
    **{f"{run}_cpu_us": 300.0 for run in ("rate_at_1e3", "accept_telemetry")},
    **{f"{run}_lock_us_at_{many}": 250.0 for run in ("unary_echo", "accept_unary") for many in (32, 256)},
    "rate_at_1e6_cpu_us": 500.0,
    "verify_rate": 20_000.0,
    "verify_cpu_us": 50.0,
    "rabbitmq_rate": 9000.0,
    "jetstream_rate": 4000.0,
    "end_to_end_collect_us": 80.0,
    "unary_echo_p50_ms_at_1": 0.5,
    "accept_unary_p50_ms_at_1": 6.0,
    "fsync_ms": 2.0,
    "accept_telemetry_receiver_us": 5.0,
    "accept_postgresql_server_us": 90.0,
    "half_load_p50_ms": 9.0,
    "half_load_cpu_us": 400.0,
    "half_load_load_us": 100.0,
    "half_load_rate": 1500.0,
    "stages": dict.fromkeys(STAGES, 10.0) | {"sum": 110.0},
    "stages_of_one": {"sum": 500.0},
    "machine": {"cores": 2},
}


def test_every_target_that_is_missed_has_a_reason_made_of_what_was_measured() -> None:
    told = {(target.figure, target.to): reasons.of(target, FIGURES) for target in targets.TARGETS}
    stream = told["accept_stream_rate", "verify_rate"]
    # One over 250 us; two cores over 300 and 20 us; 0.6 of the checks; 3000 of 6250 a second on two cores.
    assert all(each in stream for each in ("(5.0 checks)", "4,000/s", "6,250/s", "12,000/s", "3,000/s with 1.0 cores"))
    assert "2 processes can pass 8,000/s" in told["accept_two_process_rate", "verify_rate"]
    assert "400 us of all processors" in told["end_to_end_rate", "verify_rate"]
    assert "without that rest it were 0.17" in told["accept_unary_rate_at_1", "unary_echo_rate_at_1"]
    assert "1.00 of it is left" in told["accept_unary_rate", "unary_echo_rate"]
    assert "500 us" in told["rate_at_1e6", "rate_at_1e3"]
    assert "wanted 13,500/s" in told["accept_stream_rate", "rabbitmq_rate"]
    late = told["half_load_p99_ms", ""]
    assert "0.8 of 2 cores" in late
    assert "15 ms of one thread" in late  # 256 envelopes through six stages of 10 us


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("no marks", id="none"),
        pytest.param(f"{readme.END}\n{readme.BEGIN}", id="the wrong way round"),
        pytest.param(f"{readme.BEGIN}\n{readme.END}\n{readme.BEGIN}\n{readme.END}", id="two"),
    ],
)
def test_a_page_without_one_place_for_the_figures_is_refused(page: str) -> None:
    with pytest.raises(GatewayError) as caught:
        readme.replaced(page, "")
    assert caught.value.code is ErrorCode.BAD_INPUT


def test_what_is_no_run_is_not_shown(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{readme.BEGIN}\n{readme.END}\n")
    for content in ("{}", "[]", "not JSON"):
        (tmp_path / "bench.json").write_text(content)
        told = ["bench", "readme", "--from", str(tmp_path / "bench.json"), "--page", str(page), "--json"]
        done = CliRunner().invoke(cli.commands, told)
        assert json.loads(done.stdout)["error"]["code"] == "BAD_INPUT"
    assert page.read_text() == f"{readme.BEGIN}\n{readme.END}\n"


def run_of(sizes: plan.Sizes) -> dict[str, Any]:
    """Figures of a run that met everything."""
    libraries = {"grpcio": "1"}
    machine = {"cores": 2, "processor": "p", "memory_bytes": 1 << 30, "file_system": "ext4", "system": "Linux"}
    met = [{"name": each.name, "wanted": each.wanted, "measured": 1.0, "met": True} for each in targets.TARGETS]
    return {
        "machine": machine | {"python": "3", "libraries": libraries, "load_before": 0.0},
        "rounds": sizes.rounds,
        "seconds_each": sizes.seconds,
        "growth": [*sizes.growth],
        "fsync_ms": 1.0,
        "verify_rate": 1.0,
        "targets": met,
    }


@pytest.mark.parametrize(
    ("run", "shown"),
    [
        pytest.param(run_of(plan.FULL), True, id="whole"),
        pytest.param(run_of(plan.QUICK), False, id="quick"),
        pytest.param(run_of(replace(plan.FULL, growth=plan.QUICK.growth)), False, id="without a million"),
        pytest.param(run_of(plan.FULL) | {"targets": run_of(plan.FULL)["targets"][1:]}, False, id="other targets"),
    ],
)
def test_a_page_shows_whole_runs_alone(tmp_path: Path, run: dict[str, Any], shown: bool) -> None:
    page, source = tmp_path / "page.md", tmp_path / "bench.json"
    page.write_text(f"{readme.BEGIN}\nof before\n{readme.END}\n")
    source.write_text(json.dumps(run))
    told = ["bench", "readme", "--from", str(source), "--page", str(page), "--json"]
    done = json.loads(CliRunner().invoke(cli.commands, told).stdout)
    assert done.get("error", {}).get("code") == (None if shown else "BAD_INPUT")
    assert ("of before" in page.read_text()) is not shown


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["--out", "figures"], "BAD_INPUT", id="no ending"),
        pytest.param(["--out", "taken.json"], "BAD_INPUT", id="pictures' folder is a file"),
        pytest.param(["--out", "taken/bench.json"], "STORE", id="a file for a folder"),
        pytest.param(["soak", "--out", "soak.svg"], "BAD_INPUT", id="the picture's name"),
    ],
)
def test_what_could_not_be_written_at_the_end_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: str
) -> None:
    def begun(*_: object) -> None:
        raise AssertionError("it began")

    monkeypatch.setattr(machine, "describe", begun)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("something else")
    done = CliRunner().invoke(cli.commands, ["bench", *words, "--json"])
    assert done.stdout, done.exception
    assert json.loads(done.stdout)["error"]["code"] == code
    assert (tmp_path / "taken").read_text() == "something else"


def test_the_readme_shows_a_run_with_every_target() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    shown = text.partition(readme.BEGIN)[2].partition(readme.END)[0]
    assert [line.split(" | ")[0] for line in shown.splitlines() if " | >= " in line or " | <= " in line] == [
        f"| {target.name}" for target in targets.TARGETS
    ]


# Processes


def test_two_lines_that_come_together_are_heard_one_after_the_other(tmp_path: Path) -> None:
    process = nodes.Helper([sys.executable, "-c", r"print('one\ntwo\nthree', flush=True)"], tmp_path / "log")
    try:
        assert [process.hear(30), process.hear(30), process.hear(30)] == ["one", "two", "three"]
        with pytest.raises(GatewayError) as gone:
            process.hear(30)
        assert gone.value.code is ErrorCode.UNAVAILABLE
    finally:
        process.stop()


def test_what_a_process_uses_has_what_its_children_use() -> None:
    grows = "import sys; kept = bytes(range(256)) * (1 << 17); print('ready', flush=True); sys.stdin.read()"
    starts = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grows!r}])"
    with subprocess.Popen([sys.executable, "-c", starts], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        alone, (child,) = nodes.usage_of(process.pid), nodes._children(process.pid)
        assert alone.own_bytes > nodes.usage_of(child).own_bytes > 1 << 25
        assert alone.lock_seconds <= alone.cpu_seconds
        process.communicate()


def test_threads_of_grpc_do_not_share_the_lock() -> None:
    works = """
import sys, threading, time
def work():
    open(f"/proc/self/task/{threading.get_native_id()}/comm", "w").write("event_engine")
    while time.thread_time() < 0.3: pass
    print("ready", flush=True)
    sys.stdin.read()
threading.Thread(target=work).start()
"""
    with subprocess.Popen([sys.executable, "-c", works], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        used = nodes.usage_of(process.pid)
        assert used.cpu_seconds - used.lock_seconds >= 0.28
        process.communicate()


def test_without_postgresql_nothing_is_measured_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "programs", postgres.programs.__wrapped__)  # whatever was found before
    monkeypatch.setattr(postgres, "find_spec", lambda _: None)
    monkeypatch.setattr(postgres, "MACHINE", tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(NotMeasured, match="no PostgreSQL here"), postgres.server(tmp_path, tmp_path / "log"):
        pass
    assert not [*tmp_path.iterdir()]


def test_a_node_is_measured_in_a_folder_of_any_name(tmp_path: Path) -> None:
    made = Nodes(tmp_path / 'a "quoted" back\\slash')
    store = made.folder / "its store"
    store.mkdir()
    with made.running(HOME, store) as node:
        assert node.usage.own_bytes > 0
    assert (store / "node.db").is_file()


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/x", "overlay"),
        ("/mnt/a disk/x", "xfs"),
        ("/mnt/adisk", "overlay"),
        ("/build/x", "tmpfs"),
        ("/nowhere", "overlay"),
    ],
)
def test_the_disk_is_told_that_a_folder_is_on(folder: str, kind: str) -> None:
    mounts = """rootfs / rootfs rw 0 0
overlay / overlay rw 0 0
/dev/a /mnt/a\\040disk xfs rw 0 0
/dev/b /build ext4 rw 0 0
none /build tmpfs rw 0 0
"""
    assert machine.file_system(Path(folder), mounts) == kind


def test_figures_say_when_their_interpreter_was_not_built_for_speed() -> None:
    assert machine.interpreter("3.11.7", "'--enable-shared' '--enable-optimizations'") == "3.11.7"
    assert machine.interpreter("3.11.7", "'--enable-shared'") == "3.11.7 (built without --enable-optimizations)"


# Envelopes


@pytest.mark.parametrize("batches", [False, True])
def test_every_envelope_of_a_pool_is_another_and_its_signature_holds(
    made: Nodes, tmp_path: Path, batches: bool
) -> None:
    sender = made.config(SENDER)
    pool.write(tmp_path / "pool", sender, RECIPIENT, 130, batches=batches)
    raw = pool.read(tmp_path / "pool", 0, 1000)
    assert len(raw) == 3 * pool.BATCH
    assert pool.read(tmp_path / "pool", 100, 20) == raw[100:120]
    directory = material.load_participant(sender, system_clock).directory
    headers, tokens = [], set[bytes]()
    for each in raw:
        signed = pb.SignedEnvelope.FromString(each)
        header = envelope.parse_header(signed)
        envelope.verify(signed, header, directory.signing_key)
        assert signed.signatures[0].HasField("batch") == batches
        assert pool.PAYLOAD_BYTES <= len(signed.sealed_payload) <= pool.PAYLOAD_BYTES + 8
        headers.append(header)
        tokens.update(header.target_tokens)
    for field in ("id", "case_id", "traceparent"):
        assert len({getattr(header, field) for header in headers}) == len(raw)
    assert len(tokens) == len(raw)  # two of every second


def test_a_receipt_counts_only_with_a_signature_and_a_path_that_hold(made: Nodes, tmp_path: Path) -> None:
    sender = made.config(SENDER)
    pool.write(tmp_path / "pool", sender, RECIPIENT, 2)
    raw = pool.read(tmp_path / "pool", 0, 2)
    loaded = material.load_node(made.config(f"{HOME}/node"), system_clock)

    def said(place: int, milestone: pb.Milestone.ValueType = pb.MILESTONE_ACCEPTED) -> pb.Statement:
        signed = pb.SignedEnvelope.FromString(raw[place])
        return pb.Statement(
            envelope=envelope.ref_of(envelope.parse_header(signed)),
            fingerprint=envelope.fingerprint(signed),
            milestone=milestone,
            issuer=str(loaded.address),
            at_us=envelope.parse_header(signed).created_at_us,
            code=CODES[milestone],
        )

    def answers(*statements: pb.Statement) -> list[mailbox.Answer]:
        receipts = statement.issue(statements, loaded.address, loaded.signing_key)
        return [mailbox.Answer(receipt=receipt) for receipt in receipts]

    prover = Prover(loaded.directory.signing_key)
    good = answers(said(0), said(1))
    for place, answer in enumerate(good):
        prover.accepted(raw[place], answer)
    with pytest.raises(GatewayError) as swapped:
        prover.accepted(raw[0], good[1])
    assert swapped.value.code is ErrorCode.BAD_RECEIPT
    forged = mailbox.Answer()
    forged.CopyFrom(good[0])
    forged.receipt.statement = said(1).SerializeToString()  # under a path that is another's
    with pytest.raises(GatewayError) as unproven:
        prover.accepted(raw[1], forged)
    assert unproven.value.code is ErrorCode.BAD_RECEIPT
    abroad = material.load_node(made.config(f"{ABROAD}/node"), system_clock)
    elsewhere = said(0)
    elsewhere.issuer = str(abroad.address)
    (receipt,) = statement.issue([elsewhere], abroad.address, abroad.signing_key)
    with pytest.raises(GatewayError) as stranger:
        prover.accepted(raw[0], mailbox.Answer(receipt=receipt))
    assert stranger.value.code is ErrorCode.BAD_RECEIPT
    (refused,) = answers(said(0, pb.MILESTONE_REFUSED))
    with pytest.raises(GatewayError) as no:
        prover.accepted(raw[0], refused)
    assert no.value.code is ErrorCode.STALE


def test_a_stage_by_stage_run_records_what_it_takes(made: Nodes, tmp_path: Path) -> None:
    sender = made.config(SENDER)
    pool.write(tmp_path / "pool", sender, RECIPIENT, 128)
    stages = Stages(tmp_path, made.config(f"{HOME}/node"), sender)
    raw = pool.read(tmp_path / "pool", 0, 128)
    found = stages.measure([raw[:64], raw[64:]])
    assert {*STAGES, "sum", "commit_wall"} == set(found)
    assert all(found[stage] > 0 for stage in STAGES)
    assert found["sum"] == pytest.approx(sum(found[stage] for stage in STAGES))
    with pytest.raises(RuntimeError, match="twice"):
        stages.measure([raw[:1]])
    stages.close()


def test_a_filled_store_holds_what_a_node_would(tmp_path: Path) -> None:
    sizes = replace(plan.QUICK, pool=64)
    filler = Filler(plan.Plan(tmp_path, sizes))
    (tmp_path / "store").mkdir()
    filler.fill(tmp_path / "store", 100)
    filler.fill(tmp_path / "store", 50)
    connect, engine = open_store(tmp_path / "store" / "node.db")
    engine.dispose()
    connection = connect()
    rows = {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("envelopes", "receipts", "log_entries", "events", "deliveries", "targets")
    }
    assert rows == {
        "envelopes": 150,
        "receipts": 150,
        "log_entries": 300,
        "events": 150,
        "deliveries": 150,
        "targets": 150,
    }
    pending = connection.execute("SELECT count(*) FROM deliveries WHERE state NOT IN ('delivered', 'expired')")
    assert pending.fetchone() == (0,)
    assert sum(MatterView(connection).open_matters_count().values()) == 75  # the other half was over at once


def test_numbers_of_stored_envelopes_have_the_names_that_targets_ask_for() -> None:
    assert [name_of(stored) for stored in (1_000, 1_000_000, 2_500)] == ["rate_at_1e3", "rate_at_1e6", "rate_at_2500"]
    wanted = {target.figure for target in targets.TARGETS} | {target.to for target in targets.TARGETS}
    assert {name_of(plan.FULL.growth[0]), name_of(plan.FULL.growth[-1])} <= wanted


def test_a_process_that_ends_is_a_failure_and_not_a_wait(tmp_path: Path) -> None:
    with pytest.raises(GatewayError) as gone, nodes.helper("gateway.cli.bench.no_such_module", "", tmp_path / "log"):
        pass
    assert gone.value.code is ErrorCode.UNAVAILABLE
    assert "no_such_module" in gone.value.detail


# Soak


def windows(**changes: list[float]) -> list[Window]:
    usual = dict.fromkeys(
        ("rate", "accept_p99_ms", "deliver_p50_ms", "deliver_p99_ms", "home_mib", "abroad_mib", "store_mib"), 10.0
    )
    return [
        Window(
            at_seconds=float(number),
            backlog=int(changes.get("backlog", [0.0] * 6)[number]),
            **{name: changes.get(name, [value] * 6)[number] for name, value in usual.items()},
        )
        for number in range(6)
    ]


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, None),
        ({"home_mib": [1.0, 5.0, 10.0, 10.0, 10.5, 10.9]}, None),  # what fills while it warms up does not count
        ({"home_mib": [10.0, 10.0, 10.0, 10.0, 12.0, 12.0]}, "memory of the sender's node"),
        ({"deliver_p99_ms": [10.0, 10.0, 10.0, 10.0, 16.0, 16.0]}, "p99 until the recipient has it"),
        ({"backlog": [0.0, 0.0, 0.0, 201.0, 0.0, 0.0]}, "backlog, in seconds of the rate"),
    ],
)
def test_soak_finds_what_grows(changes: dict[str, list[float]], broken: str | None) -> None:
    verdicts = soak.judge(windows(**changes), rate=100.0)
    assert [verdict["name"] for verdict in verdicts if not verdict["met"]] == ([broken] if broken else [])


def test_soak_in_whose_window_nothing_came_tells_how_long_all_have_waited() -> None:
    due = {"a": 1.0, "b": 2.0, "c": 3.0}
    assert soak.waits([("a", 1.5)], due, 4.0) == [500.0]
    assert soak.waits([], due, 4.0) == [2000.0, 1000.0]
    assert due.keys() == {"b", "c"}


# Pictures and tables


def test_pictures_are_well_formed_and_bear_every_number() -> None:
    svg = charts.bars("A <b> & c", [("one", 10.0, "10/s", 0), ("two", 40.0, "40/s", 1)], mark=20.0)
    drawn = ET.fromstring(svg)  # noqa: S314  our own
    texts = [each.text for each in drawn.iter() if each.text and each.text.strip()]
    assert {"A <b> & c", "one", "10/s", "two", "40/s"} <= set(texts)
    lengths = [float(each.attrib["width"]) for each in drawn.iter() if each.attrib.get("height") == "18"]
    assert lengths[1] == pytest.approx(4 * lengths[0])
    lines = charts.lines("t", "x", "y", {"a": [(1e3, 5.0), (1e6, 2.0)]}, log_x=True)
    assert len(re.findall("<circle", lines)) == 2
    ET.fromstring(lines)  # noqa: S314  our own


def test_wallets_are_told_as_ratios_of_medians() -> None:
    figures = wallets.measure(1)
    for name in (*wallets.WALLETS, "mean"):
        assert figures[f"{name}_ratio"] == figures[f"{name}_us"] / figures["ed25519_verify_us"]


def test_procedure_leaves_its_open_cases_as_they_were(tmp_path: Path) -> None:
    cases = 440
    measured = procedure.Bench(tmp_path, cases, silent)
    connect, engine = open_store(tmp_path / "bench.db")
    engine.dispose()
    with closing(connect()) as opened:
        before = MatterView(opened).open_matters_count()
        with closing(measured):
            figures = measured.measure(1, verify.verification())
        assert MatterView(opened).open_matters_count() == before
    assert sum(before.values()) >= cases
    assert (figures["cases"], figures["rounds"]) == (cases, 1)
    assert figures["ratio"] == figures["mean_us"] / figures["verify_us"]
    assert figures["again_ratio"] == figures["again_us"] / figures["verify_us"]
    assert figures["mean_us"] == fmean(each["us"] for each in figures["per_kind"].values())


def test_no_step_of_two_whole_cases_asks_the_store_for_itself_what_is_asked_for_its_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    looking: list[str] = []

    def watched(verified: VerifiedEnvelope, *rest: Any) -> LawfulStep:
        looking.append(ids.Kind.Name(verified.header.kind))
        try:
            return check(verified, *rest)
        finally:
            looking.clear()

    for name in ("ask", "execute"):
        does = getattr(SqliteConnection, name)

        def note(self: SqliteConnection, text: str, *rest: Any, does: Any = does) -> Any:
            # Whether any limit is over is asked once for all.
            asked.update(f"{kind}: {text}" for kind in looking if text != matters._SOME_ARE_OVER)
            return does(self, text, *rest)

        monkeypatch.setattr(SqliteConnection, name, note)
    with closing(procedure.Bench(tmp_path, 440, silent)) as measured:
        monkeypatch.setattr(procedure, "check", watched)
        measured.measure(1, lambda: None)
    assert not asked


def test_bench_lists_its_parts_and_takes_no_other() -> None:
    told = CliRunner().invoke(cli.commands, ["bench", "--help"])
    assert told.exit_code == 0
    assert "soak" in told.output
    assert CliRunner().invoke(cli.commands, ["bench", "nonsense"]).exit_code == 2
    assert set(PARTS) >= {"soak", "attachment", "readme"}


@pytest.mark.parametrize("word", [["--quick"], ["--out", "elsewhere.json"]])
def test_an_option_of_the_whole_bench_is_not_lost_on_a_part_of_it(
    word: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    monkeypatch.setattr(soak, "soak", lambda *given: begun.append(given))
    assert CliRunner().invoke(cli.commands, ["bench", *word, "soak"]).exit_code == 2
    assert not begun
