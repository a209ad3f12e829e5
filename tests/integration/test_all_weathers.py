"""Delivery in all weathers: lines that break or lie silent, slow readers, a disk that is full, a clock that is set."""

import asyncio
import resource
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc.aio
import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1.mailbox_pb2_grpc import MailboxStub

from gateway import material, transport
from gateway.clock import SETTLING_SECONDS, system_clock
from gateway.deliver import FRAME_ITEMS
from gateway.errors import ErrorCode, Failure
from gateway.identity import Address
from gateway.store.schema import PENDING_SQL
from tests import stores
from tests.federation import DELIVERY, UNTIL_SECONDS, federation, pki, replace_certificate, until
from tests.holding import HoldingNode, answered, counted, holding_node, requests, states, submit
from tests.judge import judge
from tests.processes import processes
from tests.weather import HOST, weather_before

pytestmark = pytest.mark.integration

# Envelopes of 900 kB that the buffers of two ends hold at most: gRPC's windows, which it widens by itself, and what the
# node has in its hands.
MOST_UNREAD = 12


# Lines that break.


async def test_line_that_is_reset_with_frames_in_flight_leaves_doubt_and_then_everything_once(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=[]) as fed, weather_before(fed, "de") as sky:
        await fed.start("ee")
        await fed.start("de")
        sky.delay_seconds = 0.05
        sent = requests(fed, 5 * FRAME_ITEMS)
        await submit(fed, sent)
        for _ in range(3):
            await until(lambda: states(fed.store("ee"))["delivering"] > 0 or states(fed.store("ee"))["asking"] > 0)
            sky.reset()
        got = await fed.actor("de/central-authority").collect(len(sent))
        assert sorted(item.envelope.header for item in got) == sorted(made.header for made in sent)
        await fed.actor("ee/prosecutor").collect(2 * len(sent))
        assert await fed.actor("de/central-authority").waiting() == []
        # What came of a copy is told before whoever sent it has the answer.
        pending = f"SELECT count(*) FROM deliveries WHERE state IN {PENDING_SQL}"
        await until(lambda: not any(counted(fed.store(code), pending) for code in ("ee", "de")))
        await fed.stop("ee")
        await fed.stop("de")
        for code in ("ee", "de"):
            assert judge(fed.store(code), code, fed.directory).envelopes == len(sent)


async def test_doubled_bytes_on_the_line_deliver_nothing_twice(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=[]) as fed, weather_before(fed, "de") as sky:
        await fed.start("ee")
        await fed.start("de")
        sent = requests(fed, 60)
        for number, made in enumerate(sent):
            await submit(fed, [made])
            if number % 20 == 10:
                sky.duplicate_next()
        # It is the nodes' line that is to suffer, and not the recipient's, who comes the same way.
        await until(lambda: not sky.duplicating)
        got = await fed.actor("de/central-authority").collect(len(sent))
        assert sorted(item.envelope.header for item in got) == sorted(made.header for made in sent)
        assert await fed.actor("de/central-authority").waiting() == []


async def test_line_that_lies_silent_with_frames_in_flight_is_given_up_and_everything_arrives_once(
    tmp_path: Path,
) -> None:
    async with federation(tmp_path / "fed", start=[]) as fed, weather_before(fed, "de") as sky:
        await fed.start("ee")
        await fed.start("de")
        circuit = fed.nodes["ee"].neighbours.courier("de").circuit
        await submit(fed, requests(fed, 1))
        await until(lambda: states(fed.store("ee")) == {"delivered": 1})
        sky.black_hole = True
        await submit(fed, [fed.request(case_id=f"DARK-{number}") for number in range(FRAME_ITEMS)])
        # First the connection that stood; then new ones, which stand too and are as silent.
        await until(lambda: circuit.failures >= 2)
        assert set(states(fed.store("ee"))) <= {"delivered", "queued", "doubtful", "asking"}
        sky.black_hole = False
        got = await fed.actor("de/central-authority").collect(1 + FRAME_ITEMS)
        assert len({item.envelope.header for item in got}) == 1 + FRAME_ITEMS
        assert await fed.actor("de/central-authority").waiting() == []


async def test_client_that_has_gone_without_a_word_is_noticed_and_what_it_held_is_handed_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By keepalive alone: the lease is for an hour, and nobody says anything on that stream."""
    monkeypatch.setattr(transport, "KEEPALIVE_SECONDS", 1.0)
    delivery = DELIVERY.model_copy(update={"lease_seconds": 3600.0})
    async with federation(tmp_path / "fed", start=[], delivery=delivery) as fed, weather_before(fed, "de") as sky:
        await fed.start("ee")
        await fed.start("de")
        made = fed.request()
        await submit(fed, [made])
        authority = fed.actor("de/central-authority")
        call = MailboxStub(authority.channel).Collect()
        await call.write(mailbox.CollectRequest(credit=5))
        items: list[mailbox.Item] = []
        while not items:
            response = await call.read()
            assert isinstance(response, mailbox.CollectResponse)
            items += response.items
        sky.black_hole = True
        inside = authority.loaded.node.model_copy(update={"endpoint": f"{HOST}:{sky.inside}"})
        async with transport.channel_to(inside, fed.directory.federation, authority.loaded.identity) as direct:
            again = MailboxStub(direct).Collect(timeout=UNTIL_SECONDS)
            await again.write(mailbox.CollectRequest(credit=5))
            got: list[mailbox.Item] = []
            while not got:
                response = await again.read()
                assert isinstance(response, mailbox.CollectResponse)
                got += response.items
            assert got[0].envelope == items[0].envelope == made
            again.cancel()
        # And the client has noticed too.
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_to_the_end(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def read_to_the_end(call: "grpc.aio.StreamStreamCall[mailbox.CollectRequest, mailbox.CollectResponse]") -> None:
    while isinstance(await call.read(), mailbox.CollectResponse):
        pass


# Slow readers.


async def test_client_that_does_not_read_holds_a_bounded_part_of_its_mailbox_and_keeps_nobody_waiting(
    tmp_path: Path,
) -> None:
    delivery = DELIVERY.model_copy(update={"lease_seconds": 3600.0})
    async with federation(tmp_path / "fed", start=["ee"], delivery=delivery) as fed:
        prosecutor, authority = fed.actor("ee/prosecutor"), fed.actor("ee/central-authority")
        size, count = 900_000, 60
        for number in range(count):
            draft = prosecutor.compose(
                ids.KIND_DRAFT,
                "ee/central-authority",
                bytes(size),
                measures=(ids.MEASURE_BLOCK_WITHDRAWAL,),
                case_id=f"EE-{number}",
            )
            assert (await prosecutor.submit(draft)).milestone == pb.MILESTONE_ACCEPTED
        slow = MailboxStub(authority.channel).Collect()
        await slow.write(mailbox.CollectRequest(credit=1024))
        held = "SELECT count(*) FROM deliveries WHERE destination = 'ee/central-authority' AND state = 'delivering'"
        await until(lambda: counted(fed.store("ee"), held) > 0)
        # Another system of the same participant gets all that the slow one does not hold, and others are served.
        await fed.actor("ee/court").waiting()
        quick = MailboxStub(authority.channel).Collect(timeout=60)
        await quick.write(mailbox.CollectRequest(credit=1024))
        items: list[mailbox.Item] = []
        drained = False
        while not drained:
            response = await quick.read()
            assert isinstance(response, mailbox.CollectResponse)
            items += response.items
            drained = response.drained
        # What the one that does not read has is on its way in the buffers of both ends: a few megabytes, of sixty.
        assert count - len(items) <= MOST_UNREAD
        assert counted(fed.store("ee"), held) == count
        slow.cancel()
        quick.cancel()
        await until(lambda: counted(fed.store("ee"), held) == 0)


# A certificate that ends.


async def test_node_whose_certificate_has_ended_is_sent_nothing_until_it_has_another(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        there = HoldingNode(fed)
        ended = pki(fed).leaf(Address.of_node("de"), issued_at=system_clock() - timedelta(days=60))
        there.identity = transport.TlsIdentity(ended.key_pem, ended.chain_pem)
        async with holding_node(fed, there):
            made = fed.request()
            await submit(fed, [made])
            await until(lambda: fed.nodes["ee"].neighbours.courier("de").circuit.failures >= 2)
            assert not there.frames
            # Certainly not there: it may still expire, and nobody has to be asked.
            assert set(states(fed.store("ee"))) <= {"queued", "delivering"}
        await fed.start("de")
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == made


async def test_relay_stream_does_not_outlive_its_certificate_and_goes_on_with_the_next(tmp_path: Path) -> None:
    late = timedelta()
    async with federation(tmp_path / "fed", start=[], clock=lambda: system_clock() + late) as fed:
        settings = material.load_node(fed.summary.config("ee/node")).config
        short = pki(fed).leaf(Address.of_node("ee"), lifetime=timedelta(minutes=10))
        replace_certificate(settings.certificate, settings.tls_key, short)
        await fed.start("ee")
        await fed.start("de")
        first, second = requests(fed, 2)
        await submit(fed, [first])
        await fed.actor("de/central-authority").collect(1)
        late = timedelta(minutes=11)
        await submit(fed, [second])
        circuit = fed.nodes["ee"].neighbours.courier("de").circuit
        await until(lambda: circuit.failures >= 2)
        assert await fed.actor("de/central-authority").waiting() == []
        replace_certificate(settings.certificate, settings.tls_key, pki(fed).leaf(Address.of_node("ee")))
        await fed.nodes["ee"].upkeep.look()
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == second


# A store that cannot be written, and then can.


PUT_OFF = "SELECT count(*) FROM events WHERE name = 'delivery.failed' AND detail LIKE '%cannot take it%'"


@pytest.mark.file
async def test_full_disk_is_said_with_a_code_and_a_time_and_everything_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    """Not one byte more may be written to any file: what the system answers is what a full disk answers."""
    async with processes(tmp_path / "fed") as nodes:
        fed = nodes.fed
        before, late = requests(fed, 3), fed.request(case_id="LATE")
        await submit(fed, before)
        await fed.actor("de/central-authority").collect(3)
        for code in ("ee", "de"):
            pid = nodes.running[code].process.pid
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
            if code == "ee":
                error = answered(await fed.actor("ee/prosecutor").answer(late))
                assert isinstance(error, Failure)
                assert (error.code, bool(error.retry_after)) == (ErrorCode.STORE, True)
            else:
                # The other node has no room: the copy waits, and its sender is told nothing false.
                assert answered(await fed.actor("ee/prosecutor").answer(late)) is None
                await until(lambda: counted(fed.store("ee"), PUT_OFF) >= 2)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == late
        told = await fed.actor("ee/prosecutor").collect(8)
        assert Counter(fed.actor("ee/prosecutor").said(each).milestone for each in told) == {
            pb.MILESTONE_ACCEPTED: 4,
            pb.MILESTONE_DELIVERED: 4,
        }
        pending = f"SELECT count(*) FROM deliveries WHERE state IN {PENDING_SQL}"
        await until(lambda: not any(counted(fed.store(code), pending) for code in ("ee", "de")))
        assert [status for status, _ in (await nodes.end("ee"), await nodes.end("de"))] == [0, 0]
        for code in ("ee", "de"):
            assert judge(fed.store(code), code, fed.directory).envelopes == 4


async def test_node_whose_database_is_gone_takes_nothing_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        made = fed.request()
        bring_back = await asyncio.to_thread(stores.take_away, fed.store("ee"))
        error = answered(await fed.actor("ee/prosecutor").answer(made))
        assert isinstance(error, Failure)
        assert (error.code, bool(error.retry_after)) == (ErrorCode.STORE, True)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await fed.actor("ee/prosecutor").waiting()
        assert transport.error_of(caught.value).code is ErrorCode.STORE
        await asyncio.to_thread(bring_back)
        await submit(fed, [made])
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == made
        assert len(await fed.actor("ee/prosecutor").collect(2)) == 2


# A clock that is set.


class SetClock:
    """Two clocks of one machine, of which somebody sets one."""

    def __init__(self) -> None:
        self.set_by = timedelta()
        self.passed = 0.0
        self.looked = 0

    def __call__(self) -> datetime:
        self.looked += 1
        return datetime.now(UTC) + timedelta(seconds=self.passed) + self.set_by

    def elapsed(self) -> float:
        return datetime.now(UTC).timestamp() + self.passed


async def test_clock_that_jumps_ahead_by_mistake_ends_nothing(tmp_path: Path) -> None:
    clock = SetClock()
    async with federation(tmp_path / "fed", start=["ee"], clock=clock, elapsed=clock.elapsed) as fed:
        made = fed.request(expires_at=clock() + timedelta(hours=1))
        late = fed.request(case_id="LATE")
        await submit(fed, [made])
        clock.set_by = timedelta(hours=2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await fed.actor("ee/prosecutor").answer(late)
        error = transport.error_of(caught.value)
        assert (error.code, 0 < (error.retry_after or 0) <= SETTLING_SECONDS) == (ErrorCode.UNAVAILABLE, True)
        # Not yet, however slowly this runs.
        clock.passed = SETTLING_SECONDS / 2
        # The sweep comes by again and again, and leaves it alone.
        looked = clock.looked
        await until(lambda: clock.looked > looked + 50)
        assert set(states(fed.store("ee"))) <= {"queued", "delivering"}
        clock.set_by = timedelta()
        await submit(fed, [late])
        await fed.start("de")
        assert len(await fed.actor("de/central-authority").collect(2)) == 2


async def test_clock_that_is_set_ahead_rightly_expires_what_is_due_as_soon_as_it_is_believed(tmp_path: Path) -> None:
    clock = SetClock()
    async with federation(tmp_path / "fed", start=["ee"], clock=clock, elapsed=clock.elapsed) as fed:
        await submit(fed, [fed.request(expires_at=clock() + timedelta(hours=1))])
        clock.set_by = timedelta(hours=2)
        await until(lambda: fed.nodes["ee"]._steady.steps == 1)
        clock.passed = SETTLING_SECONDS
        await until(lambda: states(fed.store("ee")) == {"expired": 1})
        (item,) = await fed.actor("ee/prosecutor").collect(1)
        assert fed.actor("ee/prosecutor").said(item).milestone == pb.MILESTONE_EXPIRED


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(minutes=4)], ids=["doubted", "believed"])
async def test_clock_that_is_set_back_keeps_nothing_waiting_until_it_has_caught_up(
    tmp_path: Path, ahead: timedelta
) -> None:
    clock = SetClock()
    async with federation(tmp_path / "fed", start=[], clock=clock, elapsed=clock.elapsed) as fed:
        sent = requests(fed, 3)
        clock.set_by = ahead
        await fed.start("ee")
        await submit(fed, sent)
        # They have been tried, and put off by the clock that is ahead.
        await until(lambda: fed.nodes["ee"].neighbours.courier("de").circuit.failures >= 2)
        clock.set_by = timedelta()
        await until(lambda: fed.nodes["ee"]._steady.steps == 1)
        clock.passed = SETTLING_SECONDS
        await fed.start("de")
        assert len(await fed.actor("de/central-authority").collect(3)) == 3
