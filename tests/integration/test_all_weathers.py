"""Delivery in all weathers: lines that break, stall or lie silent, peers that are slow, dead or out of date."""

import asyncio
import resource
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pysqlite3.dbapi2 as sqlite
import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.mailbox_pb2_grpc import MailboxStub
from rogatory.v1.relay_pb2_grpc import RelayServicer, add_RelayServicer_to_server

from gateway import codec, envelope, material, transport
from gateway.clock import SETTLING_SECONDS, system_clock, to_micros
from gateway.deliver import FRAME_ITEMS
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import Address
from gateway.statement import issue
from gateway.store.connection import HEAD
from gateway.store.schema import PENDING_SQL
from tests.federation import (
    DELIVERY,
    Federation,
    federation,
    pki,
    ref,
    relay_one,
    replace_certificate,
    until,
)
from tests.judge import judge
from tests.processes import finished, processes
from tests.weather import HOST, weather_before

pytestmark = pytest.mark.integration

# Envelopes of 900 kB that the buffers of two ends hold at most: gRPC's windows, which it widens by itself, and what the
# node has in its hands.
MOST_UNREAD = 12

# Nobody gives up for want of an answer while a test holds it back.
PATIENT = DELIVERY.model_copy(update={"attempt_timeout_seconds": 60.0, "lease_seconds": 600.0})


class HoldingNode(RelayServicer):
    """Stands in de's place with de's own certificate and key: takes frames, and answers them when it is let."""

    async def TraceBetween(  # noqa: N802  gRPC's name
        self, request: relay.TraceBetweenRequest, context: object
    ) -> relay.TraceBetweenResponse:
        return relay.TraceBetweenResponse()

    def __init__(self, fed: Federation) -> None:
        self.loaded = material.load_node(fed.summary.config("de/node"))
        self.identity = self.loaded.identity
        self.reading = asyncio.Event()
        self.reading.set()
        self.frames: list[Sequence[pb.SignedEnvelope]] = []
        self._answers = asyncio.Semaphore(0)

    def answer(self, frames: int) -> None:
        """Answer so many more frames."""
        for _ in range(frames):
            self._answers.release()

    async def Relay(  # noqa: N802  gRPC's name
        self, request_iterator: AsyncIterator[relay.RelayRequest], context: object
    ) -> AsyncIterator[relay.RelayResponse]:
        taken: asyncio.Queue[relay.RelayRequest] = asyncio.Queue()

        async def take() -> None:
            while True:
                await self.reading.wait()
                request = await anext(request_iterator)
                self.frames.append(request.envelopes)
                await taken.put(request)

        taking = asyncio.create_task(take())
        try:
            while True:
                request = await taken.get()
                await self._answers.acquire()
                answers = [self._accept(made) for made in request.envelopes]
                answers += [mailbox.Answer(noted=True) for _ in request.receipts]
                yield relay.RelayResponse(frame=request.frame, answers=answers)
        finally:
            taking.cancel()

    def _accept(self, made: pb.SignedEnvelope) -> mailbox.Answer:
        said = pb.Statement(
            envelope=ref(made),
            fingerprint=envelope.fingerprint(made),
            milestone=pb.MILESTONE_ACCEPTED,
            issuer="de/node",
            at_us=to_micros(system_clock()),
        )
        (receipt,) = issue([said], Address.of_node("de"), self.loaded.signing_key)
        return mailbox.Answer(receipt=receipt)


@asynccontextmanager
async def holding_node(fed: Federation, there: HoldingNode | None = None) -> AsyncIterator[HoldingNode]:
    there, server = there or HoldingNode(fed), grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_RelayServicer_to_server(there, server)
    door = transport.DoorTls(there.identity, tuple(node.ca_pem for node in fed.directory.nodes))
    server.add_secure_port(there.loaded.config.listen, transport.server_credentials(lambda: door))
    await server.start()
    try:
        yield there
    finally:
        await server.stop(0)


def counted(store: Path, query: str, *values: object) -> int:
    """Ask a store that may be in use."""
    with closing(sqlite.connect(f"file:{store}?mode=ro", uri=True, timeout=10)) as opened:
        return int(opened.execute(query, values).fetchone()[0] or 0)


def states(store: Path) -> Counter[str]:
    """How many deliveries to other nodes are in which state."""
    with closing(sqlite.connect(f"file:{store}?mode=ro", uri=True, timeout=10)) as opened:
        rows = opened.execute("SELECT state FROM deliveries WHERE destination LIKE '%/node' AND envelope_seq > 0")
        return Counter(state for (state,) in rows)


async def submit(fed: Federation, made: Sequence[pb.SignedEnvelope]) -> None:
    for start in range(0, len(made), FRAME_ITEMS):
        answers = await fed.actor("ee/prosecutor").submit_frame(made[start : start + FRAME_ITEMS])
        assert all(answer.HasField("receipt") for answer in answers)


def requests(fed: Federation, count: int, **fields: Any) -> list[pb.SignedEnvelope]:
    """A case each."""
    return [fed.request(**{"case_id": f"EE-{number}", **fields}) for number in range(count)]


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
        got = await fed.actor("de/central-authority").collect(len(sent))
        assert sorted(item.envelope.header for item in got) == sorted(made.header for made in sent)
        assert await fed.actor("de/central-authority").waiting() == []


async def test_line_that_lies_silent_with_frames_in_flight_is_given_up_and_everything_arrives_once(
    tmp_path: Path,
) -> None:
    async with federation(tmp_path / "fed", start=[]) as fed, weather_before(fed, "de") as sky:
        await fed.start("ee")
        await fed.start("de")
        circuit = fed.nodes["ee"]._couriers["de"][0].circuit
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
            again = MailboxStub(direct).Collect(timeout=30)
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
            await until(lambda: fed.nodes["ee"]._couriers["de"][0].circuit.failures >= 2)
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
        circuit = fed.nodes["ee"]._couriers["de"][0].circuit
        await until(lambda: circuit.failures >= 2)
        assert await fed.actor("de/central-authority").waiting() == []
        replace_certificate(settings.certificate, settings.tls_key, pki(fed).leaf(Address.of_node("ee")))
        await fed.nodes["ee"].upkeep.look()
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == second


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
        circuit = fed.nodes["ee"]._couriers["fr"][0].circuit
        await until(lambda: circuit.failures >= 3)
        await fed.start("de")
        await submit(fed, requests(fed, 2 * FRAME_ITEMS))
        assert len(await fed.actor("de/central-authority").collect(2 * FRAME_ITEMS)) == 2 * FRAME_ITEMS
        await fed.actor("ee/prosecutor").collect(4 * FRAME_ITEMS)
        attempts = counted(fed.store("ee"), "SELECT sum(attempts) FROM deliveries WHERE destination = 'fr/node'")
        # The first frame, before anybody knew; then one copy each time.
        assert attempts <= FRAME_ITEMS + circuit.failures
        assert states(fed.store("ee")) == {"queued": 5 * FRAME_ITEMS, "delivered": 2 * FRAME_ITEMS}
        assert fed.nodes["ee"]._couriers["de"][0].circuit.failures == 0


async def test_country_that_is_back_is_tried_with_one_copy_and_then_gets_everything(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        await submit(fed, requests(fed, 2 * FRAME_ITEMS))
        circuit = fed.nodes["ee"]._couriers["de"][0].circuit
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


# A store that cannot be written, and then can.


def answered(answer: mailbox.Answer) -> GatewayError | None:
    return codec.error_from(answer.error) if answer.WhichOneof("result") == "error" else None


PUT_OFF = "SELECT count(*) FROM events WHERE name = 'delivery.failed' AND detail LIKE '%cannot take it%'"


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
        made, away = fed.request(), tmp_path / "away"
        fed.store("ee").parent.rename(away)
        error = answered(await fed.actor("ee/prosecutor").answer(made))
        assert isinstance(error, Failure)
        assert (error.code, bool(error.retry_after)) == (ErrorCode.STORE, True)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await fed.actor("ee/prosecutor").waiting()
        assert transport.error_of(caught.value).code is ErrorCode.STORE
        away.rename(fed.store("ee").parent)
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
        clock.passed = SETTLING_SECONDS - 5
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
        await until(lambda: fed.nodes["ee"]._steady.doubts == 1)
        clock.passed = SETTLING_SECONDS
        await until(lambda: states(fed.store("ee")) == {"expired": 1})
        (item,) = await fed.actor("ee/prosecutor").collect(1)
        assert fed.actor("ee/prosecutor").said(item).milestone == pb.MILESTONE_EXPIRED


async def test_clock_that_is_set_back_keeps_nothing_waiting_until_it_has_caught_up(tmp_path: Path) -> None:
    clock = SetClock()
    async with federation(tmp_path / "fed", start=[], clock=clock, elapsed=clock.elapsed) as fed:
        sent = requests(fed, 3)
        clock.set_by = timedelta(hours=3)
        await fed.start("ee")
        await submit(fed, sent)
        # They have been tried, and put off by the clock that is three hours ahead.
        await until(lambda: fed.nodes["ee"]._couriers["de"][0].circuit.failures >= 2)
        clock.set_by = timedelta()
        await until(lambda: fed.nodes["ee"]._steady.doubts == 1)
        clock.passed = SETTLING_SECONDS
        await fed.start("de")
        assert len(await fed.actor("de/central-authority").collect(3)) == 3


# A rolling upgrade.


def migrate_to_tomorrow(store: Path, oldest: str) -> None:
    """Do what a migration of a later version does while this one runs, and say who may still work on the store."""
    with closing(sqlite.connect(str(store), timeout=10)) as opened:
        if "of_tomorrow" not in [row[1] for row in opened.execute("PRAGMA table_info(deliveries)")]:
            opened.execute("ALTER TABLE deliveries ADD COLUMN of_tomorrow INTEGER NOT NULL DEFAULT 7")
        opened.execute("UPDATE alembic_version SET version_num = '9999'")
        opened.execute("UPDATE programs SET oldest = ?", (oldest,))
        opened.commit()


async def test_process_serves_on_beside_a_newer_one_on_its_store_until_that_claims_it(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed") as nodes:
        fed = nodes.fed
        first, second, third = requests(fed, 3)
        await submit(fed, [first])
        await asyncio.to_thread(migrate_to_tomorrow, fed.store("ee"), HEAD)
        await submit(fed, [second])
        # An older one may also start while the newer one is at work.
        await nodes.end("ee")
        await nodes.start("ee")
        await fed.actor("ee/prosecutor").channel.channel_ready()
        got = await fed.actor("de/central-authority").collect(2)
        assert sorted(item.envelope.header for item in got) == sorted(made.header for made in (first, second))
        await asyncio.to_thread(migrate_to_tomorrow, fed.store("ee"), "9999")
        error = answered(await fed.actor("ee/prosecutor").answer(third))
        assert isinstance(error, Failure)
        assert (error.code, bool(error.retry_after)) == (ErrorCode.STORE, True)
        assert counted(fed.store("ee"), "SELECT count(*) FROM envelopes") == 2
        status, _ = await nodes.end("ee")
        assert status == 0
        status, out, err = await finished("serve", "--config", str(fed.summary.config("ee/node")))
        assert (status, out) == (2, "")
        assert ErrorCode.BAD_CONFIG.name in err


TOMORROW = b"\xfa\x3f\x08tomorrow"  # field 1023, of a later version


class NodeOfTomorrow(HoldingNode):
    """Answers with fields and kinds of answer that nobody here knows yet."""

    def __init__(self, fed: Federation) -> None:
        super().__init__(fed)
        self.answer(1000)
        self.unknown_answers = 0

    def _accept(self, made: pb.SignedEnvelope) -> mailbox.Answer:
        if self.unknown_answers:
            self.unknown_answers -= 1
            return mailbox.Answer.FromString(TOMORROW)
        return mailbox.Answer.FromString(super()._accept(made).SerializeToString() + TOMORROW)


async def test_answer_of_a_kind_of_a_later_version_decides_nothing_and_its_unknown_fields_do_no_harm(
    tmp_path: Path,
) -> None:
    async with federation(tmp_path / "fed", start=["ee"], delivery=PATIENT) as fed:
        async with holding_node(fed, NodeOfTomorrow(fed)) as there:
            assert isinstance(there, NodeOfTomorrow)
            there.unknown_answers = 2
            made = fed.request()
            await submit(fed, [made])
            await until(lambda: states(fed.store("ee")) == {"delivered": 1})
            assert [list(frame) for frame in there.frames] == [[made]] * 3
        (item,) = await fed.actor("ee/prosecutor").collect(1)
        assert fed.actor("ee/prosecutor").said(item).milestone == pb.MILESTONE_ACCEPTED


async def test_frame_with_fields_of_a_later_version_is_taken_and_a_kind_of_a_later_version_is_refused_alone(
    tmp_path: Path,
) -> None:
    async with federation(tmp_path / "fed", start=["de"]) as fed:
        good = fed.request(case_id="EE-1")
        strange = fed.request(case_id="EE-2")
        header = pb.Header.FromString(strange.header)
        header.kind = ids.Kind.ValueType(9999)
        strange.header = header.SerializeToString(deterministic=True)
        newer = pb.SignedEnvelope.FromString(good.SerializeToString() + TOMORROW)
        frame = relay.RelayRequest(frame=1, envelopes=[strange, newer]).SerializeToString() + TOMORROW
        refused, taken = await relay_one(fed.node_relay("ee", "de"), relay.RelayRequest.FromString(frame))
        error = answered(refused)
        assert isinstance(error, Refusal)
        assert error.code is ErrorCode.MALFORMED
        assert taken.WhichOneof("result") == "receipt"
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == good


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
    async with asyncio.timeout(20):
        while True:
            try:
                await fed.actor("ee/prosecutor").answer(fed.request(case_id="LATE", instrument="a-treaty-of-dreams"))
            except grpc.aio.AioRpcError:
                return


async def test_peer_that_never_answers_delays_the_stop_no_longer_than_a_drain_may_take(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"], delivery=PATIENT) as fed, holding_node(fed) as there:
        await submit(fed, requests(fed, 3))
        await until(lambda: bool(there.frames))
        await asyncio.wait_for(fed.stop("ee"), 20)
        assert set(states(fed.store("ee"))) <= {"doubtful", "queued"}
        assert states(fed.store("ee"))["doubtful"] == sum(map(len, there.frames))
