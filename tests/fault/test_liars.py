"""A node that lies: its words cost nobody an envelope, and nobody is told what is not so."""

import asyncio
import os
import resource
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import relay_pb2 as relay

from gateway.clock import to_micros
from gateway.doors.relay import MAX_FRAME_RECEIPTS
from gateway.errors import ErrorCode
from gateway.store import fsck
from tests.fault.liar import LIES, WRONG, Liar, Lie, hanging_up, lying, truth, wrong_receipts
from tests.fault.nodes import nodes_of
from tests.fault.tally import Tally
from tests.fault.test_crashes import reckoned
from tests.fault.traffic import traffic_in
from tests.federation import federation, relay_one, until
from tests.judge import judge

pytestmark = pytest.mark.fault

LIES_ENOUGH = 3
MEMORY_BYTES = 64 << 20
"""That a node may take for a peer that never stops talking: its frames in flight, and what Python keeps for itself."""


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
async def test_node_that_lies_is_not_believed_and_what_it_had_comes_to_the_true_one(
    tmp_path: Path, lie: Lie, tally: Tally
) -> None:
    async with nodes_of(tmp_path / "fed", start=["ee"]) as nodes, traffic_in(nodes.fed) as traffic:
        async with lying(nodes.fed, lie) as liar:
            names = await traffic.request("ee", "de", "EE-1", 8, reader=False)
            await traffic.accepted_all(names)
            wanted = set(WRONG) if lie is wrong_receipts else set()
            await until(lambda: liar.told >= LIES_ENOUGH and liar.kinds >= wanted)
            tally.faults["lie"] += liar.told
            assert not any(traffic.words.values()), "somebody believed it"
            nodes.judged("ee", all_final=False)
        await nodes.start("de")
        await traffic.person("de/central-authority")
        await reckoned(nodes, traffic, tally)
        assert not nodes.deaths


async def test_node_that_accepts_and_forgets_leaves_its_own_signed_word_with_the_sender_and_no_untrue_end(
    tmp_path: Path, tally: Tally
) -> None:
    """Nothing can bring back what it has signed for; but who has it is proven, and nobody is told that it arrived."""
    async with nodes_of(tmp_path / "fed", start=["ee"]) as nodes, traffic_in(nodes.fed) as traffic:
        async with lying(nodes.fed, truth):
            forgotten = await traffic.request("ee", "de", "EE-1", 8, reader=False)
            for name in forgotten:
                await traffic.told(name, pb.MILESTONE_ACCEPTED, 1)
        tally.faults["accepts and forgets"] += len(forgotten)
        await nodes.start("de")
        late = await traffic.request("ee", "de", "EE-2", 8)
        await traffic.known(but=forgotten)
        await nodes.settled()
        for name in forgotten:
            assert [(word.milestone, word.issuer) for word in traffic.words[name]] == [
                (pb.MILESTONE_ACCEPTED, "de/node")
            ]
        tally.sent += len(forgotten) + len(late)
        tally.acknowledged += len(traffic.acknowledged & {*forgotten, *late})
        for code in nodes.running:
            nodes.judged(code)


async def test_node_that_states_ends_twice_too_early_and_of_what_it_never_had_is_believed_once(
    tmp_path: Path, tally: Tally
) -> None:
    async with nodes_of(tmp_path / "fed", start=["ee"]) as nodes, traffic_in(nodes.fed) as traffic:
        async with lying(nodes.fed, hanging_up) as liar:
            names = await traffic.request("ee", "de", "EE-1", 4, reader=False)
            await traffic.accepted_all(names)
            mine: dict[str, Any] = {"recipient": "de/central-authority"}
            words = []
            for made in (traffic.sent[name] for name in names):
                later = {**mine, "at_us": pb.Header.FromString(made.header).created_at_us + 1}
                words += [
                    # Before it has said that it accepted it.
                    liar.word(made, milestone=pb.MILESTONE_DELIVERED, **mine),
                    liar.word(made, milestone=pb.MILESTONE_DELIVERED, **later),
                    liar.word(made, milestone=pb.MILESTONE_EXPIRED, **mine),
                    liar.word(made, milestone=pb.MILESTONE_REFUSED, code=int(ErrorCode.OUT_OF_ORDER)),
                    liar.word(made, milestone=pb.MILESTONE_COMPETING, **mine),
                ]
            stub = nodes.fed.node_relay("de", "ee")
            for _ in range(3):
                await relay_one(stub, relay.RelayRequest(frame=1, receipts=words))
            await relay_one(stub, relay.RelayRequest(frame=2, receipts=words[::-1]))
            tally.faults["lie"] += 4 * len(words)
            liar.lie = truth
            for name in names:
                await traffic.told(name, pb.MILESTONE_ACCEPTED, 1)
                await traffic.told(name, pb.MILESTONE_DELIVERED, 1)
        await nodes.settled()
        for name in names:
            told = sorted(word.milestone for word in traffic.words[name])
            assert told == [pb.MILESTONE_ACCEPTED, pb.MILESTONE_DELIVERED]
        assert all(count == 1 for person in traffic.people.values() for count in person.told.values())
        assert nodes.judged("ee").ends["MILESTONE_DELIVERED"] == len(names)
        tally.sent += len(names)
        tally.acknowledged += len(traffic.acknowledged)


async def test_node_that_says_it_delivered_what_has_expired_is_not_believed_and_is_told_of(
    tmp_path: Path, tally: Tally, caplog: pytest.LogCaptureFixture
) -> None:
    """The copy never left, and its sender was told so: whatever de signs about it now is untrue."""
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        actor, liar = fed.actor("ee/prosecutor"), Liar(fed, truth)
        made = fed.request(expires_at=fed.clock() + timedelta(seconds=1))
        assert (await actor.submit(made)).milestone == pb.MILESTONE_ACCEPTED
        (item,) = await actor.collect(1)
        assert actor.said(item).milestone == pb.MILESTONE_EXPIRED
        mine: dict[str, Any] = {"recipient": "de/central-authority"}
        words = [
            liar.word(made, milestone=pb.MILESTONE_DELIVERED, **mine),
            liar.word(made, milestone=pb.MILESTONE_EXPIRED, at_us=to_micros(fed.clock()), **mine),
        ]
        for frame in (1, 2):
            answers = await relay_one(fed.node_relay("de", "ee"), relay.RelayRequest(frame=frame, receipts=words))
            assert [ErrorCode(answer.error.code) for answer in answers] == [ErrorCode.BAD_RECEIPT] * 2
        tally.faults["lie"] += 2 * len(words)
        alarms = [record for record in caplog.records if record.name == "gateway.receipt"]
        assert [(record.levelname, record.__dict__["issuer"]) for record in alarms] == [("WARNING", "de/node")] * 4
        assert await actor.waiting() == []
        tally.sent += 1
        tally.acknowledged += 1
        findings = fsck.check(fed.store("ee"), fed.directory, node="ee")
        assert not [found for found in findings if found.result is fsck.Result.FAILED]
        ends = judge(fed.store("ee"), "ee", fed.directory).ends
        assert ends == {"MILESTONE_ACCEPTED": 1, "MILESTONE_EXPIRED": 1}


async def test_node_that_replays_all_that_was_ever_said_changes_nothing(tmp_path: Path, tally: Tally) -> None:
    async with nodes_of(tmp_path / "fed") as nodes, traffic_in(nodes.fed) as traffic:
        names = await traffic.request("ee", "de", "EE-1", 8)
        await traffic.request("de", "ee", "DE-1", 8)
        await reckoned(nodes, traffic, Tally())
        before = nodes.judged("ee")
        maildir = traffic.people["ee/prosecutor"].participant.maildir
        said = [r for name in names for r in maildir.receipts(ids.EnvelopeRef(sender=name[0], id=name[1]))]
        own = [made for (sender, _), made in traffic.sent.items() if sender.startswith("de/")]
        others = [made for (sender, _), made in traffic.sent.items() if sender.startswith("ee/")]
        stub = nodes.fed.node_relay("de", "ee")
        for frame in range(3):
            for some in (said[:MAX_FRAME_RECEIPTS], said[-MAX_FRAME_RECEIPTS:]):
                await relay_one(stub, relay.RelayRequest(frame=frame, receipts=some))
            answers = await relay_one(stub, relay.RelayRequest(frame=frame, envelopes=own))
            assert all(answer.HasField("receipt") for answer in answers)
            # Ours, sent back to us as if they were its own.
            answers = await relay_one(stub, relay.RelayRequest(frame=frame, envelopes=others))
            assert not any(answer.HasField("receipt") for answer in answers)
            tally.faults["replay"] += 4
        await traffic.request("de", "ee", "DE-2", 8)
        await reckoned(nodes, traffic, tally)
        after = nodes.judged("ee")
        assert after.envelopes - before.envelopes == 16, "eight requests and their acknowledgements, and no replay"


async def test_node_that_never_stops_talking_costs_a_bounded_memory_and_stops_nobody(
    tmp_path: Path, tally: Tally
) -> None:
    async with nodes_of(tmp_path / "fed") as nodes, traffic_in(nodes.fed) as traffic:
        await traffic.request("ee", "de", "EE-1", 8)
        await traffic.known()
        made = next(iter(traffic.sent.values()))
        before = memory(nodes.running["ee"].pid)
        call = nodes.fed.node_relay("de", "ee").Relay()
        large = relay.RelayRequest(
            frame=1, envelopes=[pb.SignedEnvelope(header=made.header, sealed_payload=bytes(9000))] * 64
        )

        async def talk() -> None:
            # It reads no answer; what nobody reads must not pile up.
            while True:
                await call.write(large)
                tally.faults["endless frame"] += 1

        talking = asyncio.create_task(talk())
        host, _, port = nodes.fed.directory.node("ee").endpoint.rpartition(":")
        for _ in range(20):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(os.urandom(4096))
            writer.close()
            tally.faults["garbage"] += 1
        await traffic.request("ee", "de", "EE-2", 8)
        await traffic.request("de", "ee", "DE-2", 8)
        await reckoned(nodes, traffic, tally)
        grown = memory(nodes.running["ee"].pid) - before
        call.cancel()
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        assert tally.faults["endless frame"] > 0
        assert grown < MEMORY_BYTES, f"{grown} bytes more"
        assert not nodes.deaths


def memory(pid: int) -> int:
    """How much of a process is in memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()
