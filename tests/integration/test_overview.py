"""`Trace.GetOverview`, against real nodes: what goes, what waits, what is due; by numbers of the store."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import grpc.aio
import pytest
from rogatory.v1 import operations_pb2 as operations
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.operations_pb2_grpc import OperationsStub
from rogatory.v1.trace_pb2_grpc import TraceStub

from gateway import material, transport
from gateway import overview as overviews
from gateway.clock import system_clock, to_micros
from gateway.directory import Status
from gateway.errors import ErrorCode
from gateway.trust.roles import MOST_GROWN_BYTES
from tests import stores
from tests.federation import UNTIL_SECONDS, Federation, federation, until
from tests.processes import finished

pytestmark = pytest.mark.integration


class Ahead:
    """Time that goes on by itself, and that a test moves ahead."""

    def __init__(self) -> None:
        self.by = timedelta()

    def __call__(self) -> datetime:
        return system_clock() + self.by


async def overview(fed: Federation, who: str = "ee/operator") -> trace.GetOverviewResponse:
    loaded = material.load_participant(fed.summary.config(who), fed.clock)
    async with transport.channel_to(loaded.node, loaded.directory.federation, loaded.identity) as channel:
        return await TraceStub(channel).GetOverview(trace.GetOverviewRequest(), timeout=UNTIL_SECONDS)


async def act(fed: Federation, action: operations.Action) -> None:
    loaded = material.load_participant(fed.summary.config("ee/operator"), fed.clock)
    async with transport.channel_to(loaded.node, loaded.directory.federation, loaded.identity) as channel:
        await OperationsStub(channel).Act(operations.ActRequest(action=action), timeout=UNTIL_SECONDS)


async def seen(fed: Federation, done: Callable[[trace.GetOverviewResponse], object]) -> trace.GetOverviewResponse:
    """Ask until it shows; each answer serves for a moment."""
    async with asyncio.timeout(UNTIL_SECONDS):
        while not done(found := await overview(fed)):
            await asyncio.sleep(0.1)
    return found


def to(found: trace.GetOverviewResponse, address: str) -> trace.Destination:
    return next((each for each in found.destinations if each.address == address), trace.Destination())


async def test_overview_of_a_node_whose_neighbour_is_down_tells_what_waits_since_when_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overviews, "FRESH_SECONDS", 0.1)
    clock = Ahead()
    async with federation(tmp_path / "fed", start=[], clock=clock) as fed:
        with fed.summary.config("ee/node").open("a") as settings:
            settings.write("\n[alerts]\nevery_seconds = 0.2\n")
        await fed.start("ee")
        before = to_micros(clock())
        for number in range(3):
            await fed.actor("ee/prosecutor").submit(fed.request(case_id=f"EE-{number}"))
        found = await seen(
            fed,
            lambda found: to(found, "de/node").last_error and to(found, "de/node").waiting == 3 and found.log.size == 6,
        )
        assert found.node == "ee"
        stuck = to(found, "de/node")
        assert stuck.last_error.startswith("UNAVAILABLE")
        assert before <= stuck.oldest_at_us <= found.at_us
        assert stuck.in_doubt == 0  # no connection was ever made

        # By an independent count of what the store holds.
        counted = stores.rows(
            fed.store("ee"),
            "SELECT destination, count(*) FROM deliveries WHERE state NOT IN ('delivered', 'refused', 'expired')"
            " GROUP BY destination",
        )
        assert {each.address: each.waiting for each in found.destinations if each.waiting} == dict(counted)
        recorded = stores.rows(fed.store("ee"), "SELECT sender, recipient FROM envelopes")
        flows = {(flow.from_node, flow.to_node): flow for flow in found.flows}
        for way in {(sender[:2], recipient[:2]) for sender, recipient in recorded}:
            count = sum((sender[:2], recipient[:2]) == way for sender, recipient in recorded)
            assert (flows[way].last_hour, flows[way].last_minute) == (count, count)
        assert flows["ee", "de"].waiting == 3

        assert {(each.address, each.status) for each in found.members} >= {
            ("de/node", "active"),
            ("ee/court", "active"),
        }
        assert found.directory_version == fed.directory.version
        assert any(each.whose == "ee/node" and each.what == "TLS certificate" for each in found.expiries)
        assert [each.at_us for each in found.expiries] == sorted(each.at_us for each in found.expiries)
        assert [each.name for each in found.log.witnesses] == ["de.rogatory.test"]
        assert not any(each.name == "destination.dead" for each in found.warnings)

        clock.by = timedelta(minutes=16)
        late = await seen(fed, lambda found: {"destination.dead", "witness.silent"} <= {w.name for w in found.warnings})
        dead = next(each for each in late.warnings if each.name == "destination.dead")
        assert (dead.subject, dead.urgent, dead.since_us) == ("de/node", True, stuck.oldest_at_us)
        assert {flow.last_minute for flow in late.flows} == {0}
        told = "SELECT subject FROM alerts WHERE word = 'alert.raised' AND name = 'destination.dead'"
        await until(lambda: stores.rows(fed.store("ee"), told) == [("de/node",)])
        status, out, err = await finished("overview", "--config", str(fed.summary.config("ee/operator")), "--json")
        assert (status, err) == (1, "")  # somebody has to act
        assert json.loads(out)["warnings"][0]["subject"] == "de/node"

        # What an operator holds is known: nobody is warned of it.
        await act(fed, operations.Action(reason="a move", hold=operations.HoldDestination(destination="de/node")))
        held = await seen(fed, lambda found: to(found, "de/node").held_by)
        assert (to(held, "de/node").held_by, to(held, "de/node").held_reason) == ("ee/operator", "a move")
        assert not any(each.name == "destination.dead" for each in held.warnings)
        await act(fed, operations.Action(reason="moved", release=operations.ReleaseDestination(destination="de/node")))

        await fed.start("de")
        done = await seen(fed, lambda found: not to(found, "de/node").waiting and not found.log.waiting)
        assert to(done, "de/node") == trace.Destination(address="de/node")
        cosigned = await seen(fed, lambda found: found.log.witnesses[0].size == found.log.size > 0)
        assert not any(each.name in {"destination.dead", "witness.silent"} for each in cosigned.warnings)


async def test_operators_are_warned_of_what_waits_for_a_node_that_has_left_the_federation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overviews, "FRESH_SECONDS", 0.1)
    clock = Ahead()
    async with federation(tmp_path / "fed", start=["ee"], clock=clock) as fed:
        # Never tried, so that it has no error of its own.
        await act(fed, operations.Action(reason="a move", hold=operations.HoldDestination(destination="de/node")))
        await fed.actor("ee/prosecutor").submit(fed.request())
        left = [each.model_copy(update={"status": Status.REVOKED}) for each in fed.directory.nodes if each.code == "de"]
        stays = [each for each in fed.directory.nodes if each.code != "de"]
        await asyncio.to_thread(fed.sign_anew, fed.directory.model_copy(update={"nodes": (*stays, *left)}))
        await fed.nodes["ee"].upkeep.look()
        await act(fed, operations.Action(reason="moved", release=operations.ReleaseDestination(destination="de/node")))
        clock.by = timedelta(minutes=16)
        late = await seen(fed, lambda found: any(each.name == "destination.dead" for each in found.warnings))
        assert {each.subject for each in late.warnings if each.name == "destination.dead"} == {"de/node"}
        gone = to(late, "de/node")
        assert (gone.waiting, gone.last_error.partition(":")[0], gone.next_attempt_at_us) == (1, "REVOKED", 0)


async def test_operators_are_warned_of_a_list_of_participants_that_is_half_full(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        half = bytes(MOST_GROWN_BYTES // 2)
        stores.rows(fed.store("ee"), "INSERT INTO node_lists VALUES (1, ?, ?, 1, NULL, NULL)", b"", half)
        found = await seen(fed, lambda found: any(each.name == "list.filling" for each in found.warnings))
        assert [each.subject for each in found.warnings if each.name == "list.filling"] == ["list of node ee"]


async def test_operators_are_warned_of_a_log_that_is_signed_no_more(tmp_path: Path) -> None:
    clock = Ahead()
    async with federation(tmp_path / "fed", clock=clock, start=["ee"]) as fed:
        await fed.actor("ee/prosecutor").submit(fed.request())
        whole = await seen(fed, lambda found: found.log.size and not found.log.waiting)
        assert not any(each.name == "log.stopped" for each in whole.warnings)
        stores.rows(fed.store("ee"), "DELETE FROM log_entries WHERE position = (SELECT max(position) FROM log_entries)")
        gone = to_micros(clock())
        await seen(fed, lambda found: found.at_us > gone)
        clock.by = timedelta(minutes=2)
        late = await seen(fed, lambda found: {each.name for each in found.warnings} >= {"log.stopped"})
        (told,) = (each for each in late.warnings if each.name == "log.stopped")
        assert (told.urgent, gone < told.since_us < late.at_us) == (True, True)


async def test_many_who_ask_are_told_from_one_look(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        answers = await asyncio.gather(*(overview(fed) for _ in range(8)))
        assert len({each.at_us for each in answers}) == 1


async def test_only_operators_and_auditors_of_the_node_are_told(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        assert (await overview(fed, "ee/auditor")).node == "ee"
        for who in ("ee/exchange", "ee/court", "de/operator"):
            identity = material.load_participant(fed.summary.config(who)).identity
            async with transport.channel_to(fed.directory.node("ee"), fed.directory.federation, identity) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await TraceStub(channel).GetOverview(trace.GetOverviewRequest(), timeout=UNTIL_SECONDS)
            assert transport.error_of(caught.value).code is ErrorCode.NOT_PERMITTED
