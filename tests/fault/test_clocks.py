"""Clocks of two nodes that differ, and clocks that are set while envelopes are on their way."""

from datetime import timedelta
from pathlib import Path

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2

from gateway.config import Limits
from tests.fault.nodes import nodes_of
from tests.fault.tally import Tally
from tests.fault.test_crashes import reckoned
from tests.fault.traffic import traffic_in
from tests.federation import until

pytestmark = pytest.mark.fault

WITHIN = timedelta(seconds=Limits().max_skew_seconds) * 0.8
FAR = timedelta(hours=1)
HOW = [("behind", "ahead"), ("ahead", "behind"), ("behind", "behind")]
SIGN = {"behind": -1, "ahead": 1}


@pytest.mark.parametrize(("ee", "de"), HOW, ids=[f"{ee}-{de}" for ee, de in HOW])
async def test_clocks_that_differ_within_the_permitted_skew_harm_nobody(
    tmp_path: Path, ee: str, de: str, tally: Tally
) -> None:
    async with nodes_of(tmp_path / "fed") as nodes, traffic_in(nodes.fed) as traffic:
        await nodes.set_clock("ee", WITHIN * SIGN[ee])
        await nodes.set_clock("de", WITHIN * SIGN[de])
        tally.faults["clock skew"] += 2
        await traffic.request("ee", "de", "EE-1", 8)
        await traffic.request("de", "ee", "DE-1", 8)
        await reckoned(nodes, traffic, tally)
        assert all(pb.MILESTONE_OPENED in {word.milestone for word in words} for words in traffic.words.values())


async def test_node_whose_clock_is_far_behind_refuses_what_seems_to_come_from_the_future_and_says_so(
    tmp_path: Path, tally: Tally
) -> None:
    async with nodes_of(tmp_path / "fed") as nodes, traffic_in(nodes.fed) as traffic:
        await nodes.set_clock("de", -FAR)
        tally.faults["clock skew"] += 1
        names = await traffic.request("ee", "de", "EE-1", 8)
        await reckoned(nodes, traffic, tally)
        for name in names:
            (said,) = traffic.words[name]
            assert (said.milestone, said.issuer, said.code) == (
                pb.MILESTONE_REFUSED,
                "de/node",
                errors_pb2.ERROR_CODE_STALE,
            )
        # Once the clock is right, it takes what comes.
        await nodes.set_clock("de", timedelta())
        late = await traffic.request("ee", "de", "EE-2", 8)
        await traffic.known()
        assert all(pb.MILESTONE_OPENED in {word.milestone for word in traffic.words[name]} for name in late)


STEPS = [("ee", FAR), ("ee", -FAR), ("de", FAR), ("de", -FAR)]


@pytest.mark.parametrize(("code", "step"), STEPS, ids=[f"{c}-{'on' if s > timedelta() else 'back'}" for c, s in STEPS])
async def test_clock_that_is_set_while_envelopes_are_on_their_way_holds_none_of_them_up(
    tmp_path: Path, code: str, step: timedelta, tally: Tally
) -> None:
    """Leases, back-off and idle waits are all counted by that clock."""
    async with nodes_of(tmp_path / "fed", start=()) as nodes, traffic_in(nodes.fed) as traffic:
        other = {"ee": "de", "de": "ee"}[code]
        # Never behind the time: what is made now must not be of the future.
        await nodes.set_clock(code, max(timedelta(), -step))
        await nodes.start(code)
        names = await traffic.request(code, other, "1", 8)
        await traffic.accepted_all(names)
        # Some attempts have failed, so each copy waits for its next one.
        await until(lambda: nodes.ask(code, "SELECT min(attempts) FROM deliveries")[0][0] > 0)
        await nodes.set_clock(code, max(timedelta(), step))
        tally.faults["clock step"] += 1
        await nodes.start(other)
        late = await traffic.request(other, code, "2", 8)
        await traffic.accepted_all(late)
        await reckoned(nodes, traffic, tally)


@pytest.mark.parametrize("step", [FAR, -FAR], ids=["on", "back"])
async def test_clock_that_is_set_while_a_reader_holds_leases_holds_none_of_them_up(
    tmp_path: Path, step: timedelta, tally: Tally
) -> None:
    async with nodes_of(tmp_path / "fed", start=["ee"]) as nodes, traffic_in(nodes.fed) as traffic:
        await nodes.set_clock("de", max(timedelta(), -step))
        await nodes.start("de")
        reader = nodes.fed.actor("de/central-authority")
        names = await traffic.request("ee", "de", "1", 4, reader=False)
        await traffic.accepted_all(names)
        # It takes them, and dies before it has acknowledged any; its node too, so that nobody gives the leases back.
        await reader.collect(4, acknowledge=False)
        await nodes.set_clock("de", max(timedelta(), step))
        nodes.running["de"].process.kill()
        await nodes.reborn()
        tally.faults["clock step"] += 1
        tally.faults["kill"] += 1
        await traffic.person("de/central-authority")
        await reckoned(nodes, traffic, tally)
