"""Streams of frames between nodes: a window, back-pressure, a circuit for each node, lanes, and how they end."""

import asyncio
from pathlib import Path

import grpc.aio
import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import node
from gateway.deliver import FRAME_ITEMS
from tests.federation import DELIVERY, UNTIL_SECONDS, Federation, federation, ref, until
from tests.holding import PATIENT, counted, holding_node, requests, states, submit
from tests.processes import processes

pytestmark = pytest.mark.integration

# Relay streams: a window, and back-pressure.


async def test_several_frames_are_in_flight_and_never_more_than_the_window(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"], delivery=PATIENT) as fed:
        await submit(fed, requests(fed, 8 * FRAME_ITEMS))
        async with holding_node(fed) as there:
            there.answer(1)  # of the one copy that is tried after the failures of before
            await until(lambda: len(there.frames) == 1 + PATIENT.frames_in_flight)
            out = PATIENT.frames_in_flight * FRAME_ITEMS
            await until(lambda: states(fed.store("ee"))["delivered"] == 1)
            assert {each: states(fed.store("ee"))[each] for each in ("delivering", "asking")} == {
                "delivering": out,
                "asking": 0,
            }
            assert len(there.frames) == 1 + PATIENT.frames_in_flight
            there.answer(1)
            await until(lambda: len(there.frames) == 2 + PATIENT.frames_in_flight)
            there.answer(20)
            await until(lambda: states(fed.store("ee")) == {"delivered": 8 * FRAME_ITEMS})
        # One after another over one line, and nothing twice.
        assert sum(map(len, there.frames)) == 8 * FRAME_ITEMS


async def test_node_that_reads_nothing_holds_a_bounded_number_of_copies_and_slows_no_other(tmp_path: Path) -> None:
    async with (
        federation(tmp_path / "fed", nodes=("ee", "de", "fr"), start=["ee", "fr"], delivery=PATIENT) as fed,
        holding_node(fed) as there,
    ):
        there.reading.clear()
        await submit(fed, requests(fed, 8 * FRAME_ITEMS))
        await submit(fed, requests(fed, FRAME_ITEMS, to="fr/central-authority"))
        assert len(await fed.actor("fr/central-authority").collect(FRAME_ITEMS)) == FRAME_ITEMS
        out = "SELECT count(*) FROM deliveries WHERE destination = 'de/node' AND state <> 'queued'"
        assert 0 < counted(fed.store("ee"), out) <= PATIENT.frames_in_flight * FRAME_ITEMS
        there.reading.set()
        there.answer(20)
        await until(lambda: counted(fed.store("ee"), f"{out} AND state = 'delivered'") == 8 * FRAME_ITEMS)


async def test_case_is_in_one_frame_at_a_time_so_that_its_order_stays_whatever_happens_to_one(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"], delivery=PATIENT) as fed, holding_node(fed) as there:
        sent = [fed.request(case_id="EE-1") for _ in range(FRAME_ITEMS + 10)]
        await submit(fed, [*sent, fed.request(case_id="EE-2")])
        # The other case does not wait.
        await until(lambda: any(ref(sent[0]).id != ref(frame[0]).id for frame in there.frames))
        in_flight = [
            made for frame in there.frames for made in frame if pb.Header.FromString(made.header).case_id == "EE-1"
        ]
        assert in_flight == sent[: len(in_flight)]
        assert len({number for number, frame in enumerate(there.frames) if sent[0] in frame or sent[1] in frame}) == 1
        there.answer(20)
        await until(lambda: states(fed.store("ee")) == {"delivered": FRAME_ITEMS + 11})
        got = [made for frame in there.frames for made in frame if pb.Header.FromString(made.header).case_id == "EE-1"]
        assert got == sent


async def test_node_that_reads_only_small_frames_is_sent_smaller_ones_and_gets_everything(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        settings = fed.summary.config("de/node")
        small = "\n[limits]\nmax_payload_bytes = 65536\nmax_frame_bytes = 196608\n"
        settings.write_text(settings.read_text() + small)
        prosecutor = fed.actor("ee/prosecutor")
        sent = [
            fed.countersigned(
                prosecutor.compose(
                    ids.KIND_FREEZE_REQUEST,
                    "de/central-authority",
                    bytes(20_000),
                    instrument="eu-2018-1805",
                    measures=(ids.MEASURE_BLOCK_WITHDRAWAL,),
                    case_id=f"EE-{number}",
                )
            )
            for number in range(60)
        ]
        await submit(fed, sent)
        await fed.start("de")
        got = await fed.actor("de/central-authority").collect(len(sent))
        assert sorted(item.envelope.header for item in got) == sorted(made.header for made in sent)
        assert states(fed.store("ee"))["refused"] == 0


# A circuit for each destination.


async def test_dead_country_costs_one_copy_an_attempt_and_slows_no_other(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", nodes=("ee", "de", "fr"), start=["ee"]) as fed:
        await submit(fed, requests(fed, 5 * FRAME_ITEMS, to="fr/central-authority"))
        circuit = fed.nodes["ee"].neighbours.courier("fr").circuit
        await until(lambda: circuit.failures >= 3)
        await fed.start("de")
        await submit(fed, requests(fed, 2 * FRAME_ITEMS))
        assert len(await fed.actor("de/central-authority").collect(2 * FRAME_ITEMS)) == 2 * FRAME_ITEMS
        await fed.actor("ee/prosecutor").collect(4 * FRAME_ITEMS)
        attempts = counted(fed.store("ee"), "SELECT sum(attempts) FROM deliveries WHERE destination = 'fr/node'")
        # The first frame, before anybody knew; then one copy each time.
        assert attempts <= FRAME_ITEMS + circuit.failures
        # Now and then one of them is on its way.
        await until(lambda: states(fed.store("ee")) == {"queued": 5 * FRAME_ITEMS, "delivered": 2 * FRAME_ITEMS})
        assert fed.nodes["ee"].neighbours.courier("de").circuit.failures == 0


async def test_country_that_is_back_is_tried_with_one_copy_and_then_gets_everything(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        await submit(fed, requests(fed, 2 * FRAME_ITEMS))
        circuit = fed.nodes["ee"].neighbours.courier("de").circuit
        await until(lambda: circuit.failures >= 2)
        assert (circuit.window, circuit.copies) == (1, 1)
        async with holding_node(fed) as there:
            await until(lambda: bool(there.frames))
            assert len(there.frames[0]) == 1
            assert states(fed.store("ee"))["delivering"] == 1
            there.answer(100)
            await until(lambda: states(fed.store("ee")) == {"delivered": 2 * FRAME_ITEMS})
        assert (circuit.window, circuit.copies) == (DELIVERY.frames_in_flight, FRAME_ITEMS)


# Lanes.


async def test_emergency_overtakes_a_backlog_of_ordinary_requests_between_nodes(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"], delivery=PATIENT) as fed:
        bulk = requests(fed, 6 * FRAME_ITEMS)
        await submit(fed, bulk)
        urgent = fed.request(case_id="SOS", urgency=ids.URGENCY_EMERGENCY)
        await submit(fed, [urgent])
        async with holding_node(fed) as there:
            there.answer(1)
            await until(lambda: len(there.frames) >= 2)
            assert urgent in [made for frame in there.frames[:2] for made in frame]
            there.answer(100)
            await until(lambda: states(fed.store("ee")) == {"delivered": len(bulk) + 1})


async def test_emergency_overtakes_a_backlog_of_ordinary_requests_in_the_mailbox(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        urgent = fed.request(case_id="SOS", urgency=ids.URGENCY_EMERGENCY)
        await submit(fed, [*requests(fed, FRAME_ITEMS), urgent])
        await fed.actor("ee/prosecutor").collect(FRAME_ITEMS + 1)  # they have arrived
        # Of any eight places in a row six are the emergency's.
        first = await fed.actor("de/central-authority").collect(8)
        assert urgent in [item.envelope for item in first[:3]]


# A drain.


async def test_sigterm_waits_for_the_answers_to_what_is_in_flight_and_leaves_nothing_in_doubt(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed", start=(), delivery=PATIENT) as nodes, holding_node(nodes.fed) as there:
        await nodes.start("ee")
        sent = requests(nodes.fed, 6 * FRAME_ITEMS)
        await submit(nodes.fed, sent)
        await until(lambda: len(there.frames) == PATIENT.frames_in_flight)
        held = sum(map(len, there.frames))
        ending = asyncio.create_task(nodes.end("ee"))
        # It takes no calls any more: from here on it drains.
        await until_refused(nodes.fed)
        there.answer(100)
        status, _ = await ending
        assert status == 0
        assert states(nodes.fed.store("ee")) == {"delivered": held, "queued": len(sent) - held}
        assert len(there.frames) == PATIENT.frames_in_flight


async def until_refused(fed: Federation) -> None:
    """Wait until ee takes nothing more."""
    async with asyncio.timeout(UNTIL_SECONDS):
        while True:
            try:
                await fed.actor("ee/prosecutor").answer(fed.request(case_id="LATE", instrument="a-treaty-of-dreams"))
            except grpc.aio.AioRpcError:
                return


async def test_peer_that_never_answers_delays_the_stop_no_longer_than_a_drain_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "DRAIN_SECONDS", 1.0)
    async with federation(tmp_path / "fed", start=["ee"], delivery=PATIENT) as fed, holding_node(fed) as there:
        await submit(fed, requests(fed, 3))
        await until(lambda: bool(there.frames))
        await asyncio.wait_for(fed.stop("ee"), UNTIL_SECONDS)
        assert set(states(fed.store("ee"))) <= {"doubtful", "queued"}
        assert states(fed.store("ee"))["doubtful"] == sum(map(len, there.frames))
