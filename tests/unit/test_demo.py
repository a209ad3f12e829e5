"""What the demo says of itself, without its nodes: it may say OK only of what it has seen."""

import json
import shlex
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from rogatory.v1 import identifiers_pb2 as ids

from clients.casefile.contents import PRINT, REPORT
from clients.participant import Participant
from gateway import material
from gateway.cli import commands, demo
from gateway.cli.demo import attacks, desks, handover, trust
from gateway.cli.demo.attacks import Loot, Refused
from gateway.cli.demo.desks import DESKS, Desk
from gateway.cli.demo.play import Report
from gateway.cli.demo.processes import Processes
from gateway.cli.development import INSTRUMENT, Summary, init_federation
from gateway.clock import system_clock
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal

PORTS = (20001, 20002)


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return init_federation(tmp_path_factory.mktemp("demo") / "federation", ["ee", "de"], PORTS, system_clock())


async def test_an_attack_that_meets_a_node_which_only_fails_was_not_refused(
    summary: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failed(attack: str, *_: object) -> Refused:
        return Refused(attack, ErrorCode.UNAVAILABLE, "de/node")

    async def contradicting(*_: object) -> Refused:
        return await failed("content that contradicts its header")

    monkeypatch.setattr(attacks, "submitted", failed)
    monkeypatch.setattr(attacks, "relayed", failed)
    monkeypatch.setattr(attacks, "contradicting", contradicting)
    report = Report(summary, wallets_asked=0)
    async with AsyncExitStack() as stack:
        people = {}
        for address in DESKS:
            loaded = material.load_participant(summary.config(address))
            people[address] = Desk(await stack.enter_async_context(Participant.of(loaded)))
        request = attacks.forge(
            people["ee/prosecutor"], ids.KIND_FREEZE_REQUEST, "de/central-authority", instrument=INSTRUMENT
        )
        await attacks.mount_all(people, Loot(request, request), summary, report.refused)
    assert not report.ok
    assert len(report.problems) == len(report.refusals) == 10


async def test_a_node_that_does_not_start_is_told_with_its_reason_and_not_with_a_file_that_is_gone(
    tmp_path: Path,
) -> None:
    summary = init_federation(tmp_path / "federation", ["ee"], PORTS[:1], system_clock())
    summary.config("ee/node").write_text("no settings")
    nodes = Processes(summary)
    with pytest.raises(GatewayError) as silent:
        await nodes.start("ee")
    await nodes.stop()
    assert silent.value.code is ErrorCode.UNAVAILABLE
    assert "node.log" not in silent.value.detail
    assert ErrorCode.BAD_CONFIG.name in silent.value.detail


async def test_a_request_that_is_lost_ends_the_wait_for_it_with_its_reason(
    summary: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(_traffic: trust.Traffic, _case: str) -> None:
        raise Refusal(ErrorCode.KEY_REVOKED, "of the sender")

    monkeypatch.setattr(trust.Traffic, "_one", lost)
    monkeypatch.setattr(trust, "PATIENCE_SECONDS", 0.2)
    report = trust.Report()
    stage = trust.Stage(summary, Processes(summary), report, lambda _: None)
    monkeypatch.setattr(trust, "open_desks", nobody)
    with pytest.raises(GatewayError) as ended:
        async with trust.traffic_of(stage) as traffic:
            await traffic.next()
    assert ended.value.code is ErrorCode.UNAVAILABLE
    assert ErrorCode.KEY_REVOKED.name in ended.value.detail
    assert (report.carried, len(report.problems)) == (0, 1)


@asynccontextmanager
async def nobody(*_: object) -> AsyncIterator[dict[str, Desk]]:
    yield {}


async def test_a_case_file_that_does_not_hold_leaves_those_of_before_with_their_root(
    summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def rogatory(*words: str, **_: object) -> str:
        if words[0] == "verify":
            raise Failure(ErrorCode.INTERNAL, "it does not hold")
        export(words[words.index("--out") + 1])
        return ""

    before = dict.fromkeys(("EE-2026-1.rogatory.zip", "root.json", REPORT, PRINT), "of before")
    for name, content in before.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(handover, "rogatory", rogatory)
    with pytest.raises(GatewayError):
        await handover.hand_over(summary, "EE-2026-1", tmp_path, lambda _: None)
    assert contents(tmp_path) == before


def export(out: str) -> None:
    Path(out).write_bytes(b"of now")


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_a_folder_that_cannot_be_written_is_told_before_the_story_and_not_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(*_: object, **__: object) -> None:
        raise AssertionError("it began")

    monkeypatch.setattr(demo, "run", begun)
    (tmp_path / "file").touch()
    done = CliRunner().invoke(commands, ["demo", "--out", str(tmp_path / "file" / "demo"), "--json"])
    assert done.stdout, done.exception
    assert json.loads(done.stdout)["error"]["code"] == ErrorCode.STORE.name


def test_what_the_demo_says_to_type_can_be_typed_wherever_its_folder_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = init_federation(tmp_path / "a blank" / "federation", ["ee", "de"], PORTS, system_clock())
    demo._show_how_to_talk(Report(made, wallets_asked=0, processes={"ee": 1, "de": 2}, request_id="ID"))
    lines = [line.strip() for line in capsys.readouterr().err.splitlines() if "--config" in line]
    assert len(lines) > 5
    for line in lines:
        words = shlex.split(line)
        assert Path(words[words.index("--config") + 1]).is_file()


async def test_who_waits_at_a_desk_that_may_not_collect_hears_why(
    summary: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_: Participant) -> AsyncIterator[object]:
        raise Refusal(ErrorCode.REVOKED, "put out")
        yield

    monkeypatch.setattr(Participant, "collect", refused)
    monkeypatch.setattr(desks, "PATIENCE_SECONDS", 5.0)
    async with desks.open_desks(summary, ["ee/court"]) as opened:
        with pytest.raises(GatewayError) as told:
            await opened["ee/court"].next(ids.KIND_DRAFT, "EE-1")
    assert told.value.code is ErrorCode.UNAVAILABLE
    assert ErrorCode.REVOKED.name in told.value.detail
