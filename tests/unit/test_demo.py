"""What the demo says of itself, without its nodes: it may say OK only of what it has seen."""

from contextlib import AsyncExitStack

import pytest
from rogatory.v1 import identifiers_pb2 as ids

from clients.participant import Participant
from gateway import material
from gateway.cli.demo import attacks
from gateway.cli.demo.attacks import Loot, Refused
from gateway.cli.demo.desks import DESKS, Desk
from gateway.cli.demo.play import Report
from gateway.cli.development import INSTRUMENT, Summary, init_federation
from gateway.clock import system_clock
from gateway.errors import ErrorCode

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
