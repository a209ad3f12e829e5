"""Attacks on what a node promises: the store breaks in the middle, the other node lies, everything comes at once."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.mailbox_pb2_grpc import MailboxStub
from rogatory.v1.relay_pb2_grpc import RelayServicer, add_RelayServicer_to_server

from gateway import codec, envelope, material, procedure, transport
from gateway.cli.trace import fetch
from gateway.clock import system_clock, to_micros
from gateway.config import Delivery, Limits
from gateway.doors.relay import MAX_FRAME_RECEIPTS
from gateway.errors import ErrorCode, Failure
from gateway.gathering import MAX_FRAME_ENVELOPES, SMALL_FRAMES_IN_FLIGHT
from gateway.identity import Address
from gateway.lifecycle import State
from gateway.procedure import LawfulStep
from gateway.statement import issue
from gateway.story import tell
from gateway.verify import VerifiedEnvelope
from tests import stores
from tests.federation import UNTIL_SECONDS, Federation, code_of, federation, ref, relay_one, until
from tests.judge import judge

pytestmark = pytest.mark.integration


# Promise 1: no receipt before everything is on disk.

TABLES = ["envelopes", "events", "receipts", "log_entries", "deliveries"]


@pytest.mark.parametrize("table", TABLES)
async def test_store_that_breaks_in_the_middle_gives_a_failure_no_receipt_and_no_trace(
    tmp_path: Path, table: str
) -> None:
    async with federation(tmp_path / "fed") as fed:
        prosecutor, made = fed.actor("ee/prosecutor"), fed.request()
        stores.break_inserts(fed.store("ee"), table)
        answer = await prosecutor.answer(made)
        assert answer.WhichOneof("result") == "error"
        error = codec.error_from(answer.error)
        assert isinstance(error, Failure)
        assert error.code is ErrorCode.STORE
        assert error.retry_after
        verdict = judge(fed.store("ee"), "ee", fed.directory)
        assert (verdict.envelopes, verdict.receipts) == (0, 0)
        stores.mend(fed.store("ee"))
        assert (await prosecutor.submit(made)).milestone == pb.MILESTONE_ACCEPTED
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == made


async def test_other_nodes_store_that_breaks_loses_nothing_and_tells_the_sender_nothing_false(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        made = fed.request()
        stores.break_inserts(fed.store("de"), "log_entries")
        await fed.actor("ee/prosecutor").submit(made)
        await failed(fed, 2)
        assert await fed.actor("ee/prosecutor").waiting() == []
        stores.mend(fed.store("de"))
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == made
        assert await told(fed, 2) == [(pb.MILESTONE_ACCEPTED, "de/node"), (pb.MILESTONE_DELIVERED, "de/node")]


async def test_own_store_that_breaks_while_the_answer_is_noted_ends_as_the_other_node_said(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        made = fed.request()
        await fed.actor("ee/prosecutor").submit(made)
        stores.break_inserts(fed.store("ee"), "receipts")
        await fed.start("de")
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == made
        stores.mend(fed.store("ee"))
        assert await told(fed, 2) == [(pb.MILESTONE_ACCEPTED, "de/node"), (pb.MILESTONE_DELIVERED, "de/node")]
        assert await fed.actor("de/central-authority").waiting() == []


async def failed(fed: Federation, times: int) -> None:
    """Wait for so many failed attempts; the store is the only one who knows, and it cannot call."""
    query = "SELECT count(*) FROM events WHERE name = 'delivery.failed'"
    await until(lambda: bool(stores.rows(fed.store("ee"), query)[0][0] >= times))


async def told(fed: Federation, wanted: int) -> list[tuple[pb.Milestone.ValueType, str]]:
    prosecutor = fed.actor("ee/prosecutor")
    said = [prosecutor.said(item) for item in await prosecutor.collect(wanted)]
    return sorted((one.milestone, one.issuer) for one in said)


# Promise 2: nothing is delivered that did not pass every stage, in that order.


async def test_both_nodes_pass_every_stage_in_order_before_anything_is_handed_out(tmp_path: Path) -> None:
    passed: list[str] = []
    path = ["authenticated", "received", "permitted", "verified", "lawful", "recorded", "queued", "answering"]
    async with federation(tmp_path / "fed", start=["ee"], watch=passed.append) as fed:
        await fed.actor("ee/prosecutor").submit(fed.request())
        await fed.stop("ee")
        assert [stage for stage in passed if stage in path] == path
        assert "committed" in passed[passed.index("queued") : passed.index("answering")]
        passed.clear()
        await fed.start("de")
        await fed.start("ee")
        await fed.actor("ee/prosecutor").channel.channel_ready()
        await fed.actor("de/central-authority").collect(1)
        at_de = [stage for stage in passed if stage in path]
        assert at_de == path


@pytest.mark.parametrize(
    ("field", "reached"),
    [("payload", "permitted"), ("instrument", "verified")],
)
async def test_refused_envelope_passes_no_stage_after_the_one_that_refused(
    tmp_path: Path, field: str, reached: str
) -> None:
    passed: list[str] = []
    async with federation(tmp_path / "fed", start=["ee"], watch=passed.append) as fed:
        made = fed.request(instrument="a-treaty-of-dreams") if field == "instrument" else fed.request()
        if field == "payload":
            made.sealed_payload += b"x"
        assert code_of(await fed.actor("ee/prosecutor").submit(made)) is not None
        path = ["authenticated", "received", "permitted", "verified", "lawful", "recorded", "queued"]
        assert [stage for stage in passed if stage in path] == path[: path.index(reached) + 1]


# Promise 3: a success is never reported as a failure, nor a failure as a success.

Answering = Callable[[pb.SignedEnvelope], mailbox.Answer]


class LyingNode(RelayServicer):
    """Stands in de's place with de's own certificate and key, and answers as it is told."""

    def __init__(self, fed: Federation) -> None:
        self.loaded = material.load_node(fed.summary.config("de/node"))
        self.answering: Answering = lambda made: mailbox.Answer()
        self.receipts: Sequence[mailbox.Answer] = ()
        self.seen: list[bytes] = []
        self.frames_off = 0
        self.tracing: list[trace.EnvelopeTrace] = []

    def accepted(self, made: pb.SignedEnvelope, key: SigningKey | None = None, **changes: object) -> mailbox.Answer:
        said = pb.Statement(
            envelope=ref(made),
            fingerprint=envelope.fingerprint(made),
            milestone=pb.MILESTONE_ACCEPTED,
            issuer="de/node",
            at_us=to_micros(system_clock()),
        )
        for name, value in changes.items():
            setattr(said, name, value)
        (receipt,) = issue([said], Address.of_node("de"), key or self.loaded.signing_key)
        return mailbox.Answer(receipt=receipt)

    async def Relay(  # noqa: N802  gRPC's name
        self, request_iterator: AsyncIterator[relay.RelayRequest], context: object
    ) -> AsyncIterator[relay.RelayResponse]:
        async for request in request_iterator:
            answers = []
            for made in request.envelopes:
                self.seen.append(made.SerializeToString(deterministic=True))
                answers.append(self.answering(made))
            answers += [mailbox.Answer(noted=True) for _ in request.receipts]
            yield relay.RelayResponse(frame=request.frame + self.frames_off, answers=answers)

    async def TraceBetween(  # noqa: N802  gRPC's name
        self, request: relay.TraceBetweenRequest, context: object
    ) -> relay.TraceBetweenResponse:
        return relay.TraceBetweenResponse(traces=self.tracing)

    async def Probe(self, request: relay.ProbeRequest, context: object) -> relay.ProbeResponse:  # noqa: N802  likewise
        return relay.ProbeResponse()


@asynccontextmanager
async def lying_node(fed: Federation) -> AsyncIterator[LyingNode]:
    liar, server = LyingNode(fed), grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_RelayServicer_to_server(liar, server)
    door = transport.DoorTls(liar.loaded.identity, tuple(node.ca_pem for node in fed.directory.nodes))
    server.add_secure_port(liar.loaded.config.listen, transport.server_credentials(lambda: door))
    await server.start()
    try:
        yield liar
    finally:
        await server.stop(0)


def other_bytes(liar: LyingNode, made: pb.SignedEnvelope) -> mailbox.Answer:
    return liar.accepted(made, fingerprint=bytes(32))


def other_key(liar: LyingNode, made: pb.SignedEnvelope) -> mailbox.Answer:
    return liar.accepted(made, SigningKey.generate())


def other_node(liar: LyingNode, made: pb.SignedEnvelope) -> mailbox.Answer:
    return liar.accepted(made, issuer="ee/node")


def other_milestone(liar: LyingNode, made: pb.SignedEnvelope) -> mailbox.Answer:
    return liar.accepted(made, milestone=pb.MILESTONE_DELIVERED, recipient="de/central-authority")


def only_noted(liar: LyingNode, made: pb.SignedEnvelope) -> mailbox.Answer:
    return mailbox.Answer(noted=True)


def nothing(liar: LyingNode, made: pb.SignedEnvelope) -> mailbox.Answer:
    return mailbox.Answer()


def error_without_a_code(liar: LyingNode, made: pb.SignedEnvelope) -> mailbox.Answer:
    return mailbox.Answer(error=errors_pb2.Error(detail="no"))


def error_of_an_unknown_code(liar: LyingNode, made: pb.SignedEnvelope) -> mailbox.Answer:
    return mailbox.Answer(error=errors_pb2.Error(code=errors_pb2.ErrorCode.ValueType(77), detail="no"))


def failure(liar: LyingNode, made: pb.SignedEnvelope) -> mailbox.Answer:
    return mailbox.Answer(error=errors_pb2.Error(code=errors_pb2.ERROR_CODE_STORE, detail="later"))


LIES = [
    other_bytes,
    other_key,
    other_node,
    other_milestone,
    only_noted,
    nothing,
    error_without_a_code,
    error_of_an_unknown_code,
    failure,
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
async def test_answer_that_proves_nothing_is_not_believed_and_the_same_bytes_are_asked_again(
    tmp_path: Path, lie: Callable[[LyingNode, pb.SignedEnvelope], mailbox.Answer]
) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed, lying_node(fed) as liar:
        liar.answering = lambda made: lie(liar, made)
        made = fed.request()
        await fed.actor("ee/prosecutor").submit(made)
        await failed(fed, 2)
        assert await fed.actor("ee/prosecutor").waiting() == []
        verdict = judge(fed.store("ee"), "ee", fed.directory, all_final=False)
        assert not set(verdict.ends) - {"MILESTONE_ACCEPTED"}
        # Others are not held up by it.
        assert (await fed.actor("ee/prosecutor").submit(fed.request())).milestone == pb.MILESTONE_ACCEPTED
        liar.answering = liar.accepted
        assert await told(fed, 2) == [(pb.MILESTONE_ACCEPTED, "de/node")] * 2
        assert liar.seen.count(made.SerializeToString(deterministic=True)) >= 3


async def test_answer_to_another_frame_is_not_believed(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed, lying_node(fed) as liar:
        liar.answering, liar.frames_off = liar.accepted, 1
        await fed.actor("ee/prosecutor").submit(fed.request())
        await failed(fed, 2)
        assert await fed.actor("ee/prosecutor").waiting() == []
        liar.frames_off = 0
        assert await told(fed, 1) == [(pb.MILESTONE_ACCEPTED, "de/node")]


# Its shortest pause, half a minute, is longer than anything here is waited for: what needed one would not come.
PATIENT = Delivery(backoff_first_seconds=60.0, backoff_max_seconds=3600.0, sweep_seconds=0.1)


async def states(fed: Federation, made: pb.SignedEnvelope) -> list[State]:
    reader = fed.nodes["ee"]._reader
    assert reader is not None
    return [copy.state for each in await reader.trace(ref(made).id) for copy in each.copies]


def put_off(liar: LyingNode, *bad: pb.SignedEnvelope) -> None:
    """Have the other node put these off for ever, and take all others."""
    later = mailbox.Answer(error=errors_pb2.Error(code=errors_pb2.ERROR_CODE_UNAVAILABLE, detail="not yet"))
    names = {ref(each).id for each in bad}
    liar.answering = lambda made: later if ref(made).id in names else liar.accepted(made)


async def test_envelope_that_is_put_off_alone_is_in_the_way_of_none_that_comes_after_it(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"], delivery=PATIENT) as fed, lying_node(fed) as liar:
        bad, good = fed.request(case_id="EE-1"), fed.request(case_id="EE-2")
        put_off(liar, bad)
        prosecutor = fed.actor("ee/prosecutor")
        await prosecutor.submit(bad)
        await failed(fed, 1)
        await prosecutor.submit(good)
        assert await told(fed, 1) == [(pb.MILESTONE_ACCEPTED, "de/node")]
        assert await states(fed, bad) == [State.DOUBTFUL], "it was answered, and not kept as far as anybody can tell"


async def test_envelope_that_the_other_node_puts_off_is_in_the_way_of_no_other_of_its_frame_or_after_it(
    tmp_path: Path,
) -> None:
    async with federation(tmp_path / "fed", start=["ee"], delivery=PATIENT) as fed, lying_node(fed) as liar:
        bad, *good = (fed.request(case_id=f"EE-{number}") for number in range(4))
        put_off(liar, bad)
        prosecutor = fed.actor("ee/prosecutor")
        await prosecutor.submit_frame([bad, *good[:2]])
        assert await told(fed, 2) == [(pb.MILESTONE_ACCEPTED, "de/node")] * 2
        await prosecutor.submit(good[2])
        assert await told(fed, 1) == [(pb.MILESTONE_ACCEPTED, "de/node")]
        assert await states(fed, bad) == [State.DOUBTFUL]
        assert liar.seen.count(bad.SerializeToString(deterministic=True)) == 1
        assert fed.nodes["ee"].neighbours.courier("de").circuit.failures == 0


async def test_courier_rests_when_the_other_node_can_take_nothing_now(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"], delivery=PATIENT) as fed, lying_node(fed) as liar:
        made = [fed.request(case_id=f"EE-{number}") for number in range(3)]
        full = mailbox.Answer(error=errors_pb2.Error(code=errors_pb2.ERROR_CODE_OVERLOADED, detail="full"))
        liar.answering = lambda _: full
        await fed.actor("ee/prosecutor").submit_frame(made)
        courier = fed.nodes["ee"].neighbours.courier("de")
        async with asyncio.timeout(UNTIL_SECONDS):
            while not courier.circuit.failures:
                await asyncio.sleep(0.01)
        assert courier.circuit.failures == 1
        assert [await states(fed, each) for each in made] == [[State.DOUBTFUL]] * 3


async def test_signed_refusal_stays_the_one_end_whatever_its_node_says_later(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed, lying_node(fed) as liar:
        liar.answering = lambda made: liar.accepted(
            made, milestone=pb.MILESTONE_REFUSED, code=errors_pb2.ERROR_CODE_OUT_OF_ORDER
        )
        made = fed.request()
        await fed.actor("ee/prosecutor").submit(made)
        assert await told(fed, 1) == [(pb.MILESTONE_REFUSED, "de/node")]
        late = liar.accepted(made).receipt
        await relay_one(fed.node_relay("de", "ee"), relay.RelayRequest(frame=1, receipts=[late]))
        await fed.stop("ee")
        verdict = judge(fed.store("ee"), "ee", fed.directory, all_final=False)
        assert verdict.ends["MILESTONE_REFUSED"] == 1


async def test_other_nodes_trace_in_our_name_or_of_what_was_not_asked_is_not_shown(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed, lying_node(fed) as liar:
        liar.answering = liar.accepted
        made, other = fed.request(), fed.request()
        await fed.actor("ee/prosecutor").submit(made)
        assert await told(fed, 1) == [(pb.MILESTONE_ACCEPTED, "de/node")]
        event = trace.TraceEvent(at_us=1, name="envelope.opened", code=errors_pb2.ErrorCode.ValueType(77))
        liar.tracing = [
            trace.EnvelopeTrace(node="ee", envelope=ref(made), events=[event]),
            trace.EnvelopeTrace(node="de", envelope=ref(other), events=[event]),
            trace.EnvelopeTrace(node="de", envelope=ref(made), events=[event]),
        ]
        operator = material.load_participant(fed.summary.config("ee/operator"))
        response = await fetch(operator, ref(made).id, ask_others=True)
        (story,) = tell(response.traces, fed.directory)
        assert [node.node for node in story.nodes] == ["ee", "de"]
        assert "envelope.opened" not in [event.name for event in story.nodes[0].events]


# Promise 6: each limit refuses with an error that names it.


async def test_frame_of_too_many_envelopes_names_the_limit(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        frame = [fed.request()] * (MAX_FRAME_ENVELOPES + 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await fed.actor("ee/prosecutor").submit_frame(frame)
        error = transport.error_of(caught.value)
        assert error.code is ErrorCode.TOO_LARGE
        assert str(MAX_FRAME_ENVELOPES) in error.detail


async def test_relayed_frame_over_the_limits_names_the_limit(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        large = fed.request()
        large.sealed_payload = bytes(900_000)
        for frame, limit in (
            ([fed.request()] * (MAX_FRAME_ENVELOPES + 1), "MAX_FRAME_ENVELOPES"),
            ([large] * 5, "max_frame_bytes"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await relay_one(fed.node_relay("de", "ee"), relay.RelayRequest(frame=1, envelopes=frame))
            error = transport.error_of(caught.value)
            assert error.code is ErrorCode.TOO_LARGE
            assert limit in error.detail


async def test_relayed_frame_of_too_many_receipts_names_the_limit(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed, lying_node(fed) as liar:
        receipt = liar.accepted(fed.request()).receipt
        frame = relay.RelayRequest(frame=1, receipts=[receipt] * (MAX_FRAME_RECEIPTS + 1))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await relay_one(fed.node_relay("de", "ee"), frame)
        error = transport.error_of(caught.value)
        assert error.code is ErrorCode.TOO_LARGE
        assert str(MAX_FRAME_RECEIPTS) in error.detail


async def test_calls_over_max_streams_per_peer_are_refused_and_a_closed_one_makes_room(tmp_path: Path) -> None:
    limits = Limits(max_streams_per_peer=3)
    async with federation(tmp_path / "fed", start=["ee"], limits=limits) as fed:
        stub = MailboxStub(fed.actor("ee/prosecutor").channel)
        calls = []
        for _ in range(3):
            call = stub.Collect()
            await call.write(mailbox.CollectRequest(credit=1))
            assert isinstance(await call.read(), mailbox.CollectResponse)
            calls.append(call)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await fed.actor("ee/prosecutor").waiting()
        error = transport.error_of(caught.value)
        assert error.code is ErrorCode.OVERLOADED
        assert "max_streams_per_peer = 3" in error.detail
        assert await fed.actor("ee/court").waiting() == [], "another's quota is its own"
        await calls[0].done_writing()
        while isinstance(await calls[0].read(), mailbox.CollectResponse):
            pass
        assert await fed.actor("ee/prosecutor").waiting() == []
        for call in calls:
            call.cancel()


async def test_crowd_of_single_calls_is_taken_in_a_few_frames(tmp_path: Path) -> None:
    frames: list[str] = []
    held, go = threading.Event(), threading.Event()

    def watch(stage: str) -> None:
        if stage == "authenticated":
            frames.append(stage)
        elif stage == "lawful" and not held.is_set():
            held.set()
            go.wait(UNTIL_SECONDS)

    limits = Limits(max_streams_per_peer=64)
    async with federation(tmp_path / "fed", start=["ee"], limits=limits, watch=watch) as fed:
        prosecutor, quotas = fed.actor("ee/prosecutor"), fed.nodes["ee"].quotas
        made = [fed.request(case_id=f"EE-{n}") for n in range(40)]
        calls = [asyncio.create_task(prosecutor.answer(each)) for each in made]
        try:
            await until(lambda: sum(each.streams for each in quotas._ledger._accounts.values()) == len(made))
            gone = calls.pop()
            gone.cancel()  # who hangs up takes nobody along
        finally:
            go.set()
        answers = await asyncio.gather(*calls)
        assert all(answer.HasField("receipt") for answer in answers)
        assert SMALL_FRAMES_IN_FLIGHT < len(frames) <= 2 * SMALL_FRAMES_IN_FLIGHT
        assert (await prosecutor.answer(made[-1])).HasField("receipt")
        for each, answer in zip(made, answers, strict=False):
            assert await prosecutor.answer(each) == answer


async def test_single_call_on_which_the_node_errs_takes_no_other_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, go = threading.Event(), threading.Event()

    def erring(verified: VerifiedEnvelope, *rest: Any) -> LawfulStep:
        if not held.is_set():
            held.set()
            go.wait(UNTIL_SECONDS)
        if verified.header.case_id == "EE-5":
            raise ZeroDivisionError("an error of the program's")
        return procedure.check(verified, *rest)

    monkeypatch.setattr("gateway.path.check", erring)
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        prosecutor, quotas = fed.actor("ee/prosecutor"), fed.nodes["ee"].quotas
        made = [fed.request(case_id=f"EE-{n}") for n in range(12)]
        calls = [asyncio.create_task(prosecutor.answer(each)) for each in made]
        try:
            await until(lambda: sum(each.streams for each in quotas._ledger._accounts.values()) == len(made))
        finally:
            go.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        (error,) = [each for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
        assert outcomes[5] is error
        assert transport.error_of(error).code is ErrorCode.INTERNAL
        assert sum(isinstance(each, mailbox.Answer) and each.HasField("receipt") for each in outcomes) == 11


async def test_more_jobs_than_may_wait_are_answered_overloaded_and_recorded_when_tried_again(tmp_path: Path) -> None:
    held, go = threading.Event(), threading.Event()

    def watch(stage: str) -> None:
        # In the writer's own thread: while it waits here, everything else queues up.
        if stage == "lawful" and not held.is_set():
            held.set()
            go.wait(30)

    limits = Limits(max_waiting_jobs=16, max_streams_per_peer=64)
    async with federation(tmp_path / "fed", start=["ee"], limits=limits, watch=watch) as fed:
        prosecutor = fed.actor("ee/prosecutor")
        made = [fed.request(case_id=f"EE-{n}") for n in range(40)]
        tasks = [asyncio.create_task(prosecutor.submit_frame([each])) for each in made]
        try:
            done, _ = await asyncio.wait(tasks, timeout=UNTIL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            assert done
            for task in done:
                (answer,) = task.result()
                error = codec.error_from(answer.error)
                assert isinstance(error, Failure)
                assert error.code is ErrorCode.OVERLOADED
                assert "max_waiting_jobs = 16" in error.detail
                assert error.retry_after
        finally:
            go.set()
        first = [answer for (answer,) in await asyncio.gather(*tasks)]
        again: list[mailbox.Answer] = []
        for start in range(0, len(made), 10):
            # Fewer than may wait: the node's own sweep and couriers queue up too.
            again += await asyncio.gather(*(prosecutor.answer(each) for each in made[start : start + 10]))
        for before, after in zip(first, again, strict=True):
            assert after.HasField("receipt")
            assert before.HasField("error") or before == after
