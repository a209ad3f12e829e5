"""Two nodes let payloads go by policy, while they serve: what is purged is said, and nothing else changes."""

from pathlib import Path

import pytest
from rogatory.v1 import envelope_pb2 as pb

from gateway import config, material
from gateway.cli.trace import fetch
from gateway.config import NodeConfig
from gateway.depot import look_into
from gateway.store import fsck
from gateway.store.fsck import Result
from tests import stores
from tests.federation import Federation, federation, ref, until

pytestmark = pytest.mark.integration

POLICY = """
[retention]
pause_seconds = 0.05

[[retention.payloads]]
kinds = ["freeze-request"]
after = "ended"
days = 0
"""


def purged(fed: Federation, code: str) -> set[str]:
    return {id_ for (id_,) in stores.rows(fed.store(code), "SELECT id FROM envelopes WHERE payload IS NULL")}


async def test_payload_goes_at_both_nodes_once_it_was_collected_and_the_rest_stays(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=[]) as fed:
        for code in ("ee", "de"):
            with fed.summary.config(f"{code}/node").open("a") as file:
                file.write(POLICY)
            await fed.start(code)
        prosecutor, central = fed.actor("ee/prosecutor"), fed.actor("de/central-authority")
        first, waits = fed.request(case_id="EE-1"), fed.request(case_id="EE-2")
        accepted = await prosecutor.answer(first)
        (item,) = await central.collect(1)
        assert item.envelope == first
        await prosecutor.submit(waits)
        gone = {ref(first).id}
        await until(lambda: purged(fed, "ee") == purged(fed, "de") == gone)
        # What waits for somebody is there, whole.
        (left,) = await central.waiting()
        assert left.envelope == waits
        # The very receipt again, and nobody gets anything for it.
        assert await prosecutor.answer(first) == accepted
        assert (await prosecutor.submit(first)).milestone == pb.MILESTONE_ACCEPTED
        assert purged(fed, "ee") == gone
        response = await fetch(
            material.load_participant(fed.summary.config("ee/operator")), ref(first).id, ask_others=True
        )
        told = {one.node: [event for event in one.events if event.name == "payload.purged"] for one in response.traces}
        assert [len(events) for events in told.values()] == [1, 1]
        assert all(event.at_us > 0 and event.actor == f"{node}/node" for node, (event,) in told.items())
        for code in ("ee", "de"):
            depot = look_into(config.load(NodeConfig, fed.summary.config(f"{code}/node")))
            found = fsck.check(fed.store(code), fed.directory, node=code, depot=depot)
            assert {finding.result for finding in found} == {Result.PASSED}, [each for each in found if each.failures]
