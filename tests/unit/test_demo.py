"""What the demo says of itself, without its nodes: it may say OK only of what it has seen."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from rogatory.v1 import identifiers_pb2 as ids

from clients.participant import Participant
from gateway import material
from gateway.cli.demo import attacks, trust
from gateway.cli.demo.attacks import Loot, Refused
from gateway.cli.demo.desks import DESKS, Desk
from gateway.cli.demo.play import Report
from gateway.cli.demo.processes import Processes
from gateway.cli.development import INSTRUMENT, Summary, init_federation
from gateway.clock import system_clock
from gateway.errors import ErrorCode, GatewayError, Refusal

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
        desks = {}
        for address in DESKS:
            loaded = material.load_participant(summary.config(address))
            desks[address] = Desk(await stack.enter_async_context(Participant.of(loaded)))
        request = attacks.forge(
            desks["ee/prosecutor"], ids.KIND_FREEZE_REQUEST, "de/central-authority", instrument=INSTRUMENT
        )
        await attacks.mount_all(desks, Loot(request, request), summary, report.refused)
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
