"""Attacks on a node's patience: floods of every kind, each named after the attack. Time stands still unless waited for.

What is asserted are counts and codes. Nothing here measures how long something took.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from rogatory.v1 import attachments_pb2 as wire
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.attachments_pb2_grpc import AttachmentsStub
from rogatory.v1.mailbox_pb2_grpc import MailboxStub
from rogatory.v1.relay_pb2_grpc import RelayStub
from rogatory.v1.trace_pb2 import GetTraceRequest, GetTraceResponse
from rogatory.v1.trace_pb2_grpc import TraceStub

from gateway import codec, transport
from gateway.clock import system_clock
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import Address
from gateway.node import unwatched
from gateway.quota import BURST_UNREAD
from tests import stores
from tests.federation import UNTIL_SECONDS, Actor, Federation, federation, is_of_a_write, ref, relay_one, until

pytestmark = pytest.mark.integration

BLOCK = (ids.MEASURE_BLOCK_WITHDRAWAL,)
SLOW = "envelopes_per_second = 10\nburst_envelopes = 64"


class Time:
    """A clock that only a node's waiting, or the test, moves."""

    def __init__(self) -> None:
        self.now = system_clock()
        self.paused: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.passes(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def limited(
    folder: Path,
    quota: str,
    *,
    start: Sequence[str] = ("ee",),
    time: Time | None = None,
    watch: Callable[[str], None] = unwatched,
) -> AsyncIterator[tuple[Federation, Time]]:
    """Run a federation whose nodes have these quotas."""
    time = time or Time()
    async with federation(folder / "fed", start=(), clock=time, watch=watch) as fed:
        fed.pause = time.pause
        for code in start:
            settings = fed.summary.config(f"{code}/node")
            settings.write_text(f"{settings.read_text()}\n{quota}\n")
            await fed.start(code)
        yield fed, time


def draft(actor: Actor, body: bytes = b"") -> pb.SignedEnvelope:
    return actor.compose(ids.KIND_DRAFT, "ee/central-authority", body, measures=BLOCK)


def consent(authority: Actor, to: pb.SignedEnvelope) -> pb.SignedEnvelope:
    """Return the central authority's answer to a draft that is recorded."""
    return authority.compose(
        ids.KIND_COUNTERSIGNATURE,
        "ee/prosecutor",
        cites=(ref(to),),
        outcome=ids.OUTCOME_GRANTED,
        case_id=pb.Header.FromString(to.header).case_id,
    )


async def refused(actor: Actor, signed: pb.SignedEnvelope) -> GatewayError:
    """Hand in, and return the error that the call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await actor.answer(signed)
    return transport.error_of(caught.value)


async def stream_of(actor: Actor, frames: Sequence[Sequence[pb.SignedEnvelope]]) -> list[mailbox.Answer]:
    async def requests() -> AsyncIterator[mailbox.SubmitFramesRequest]:
        for number, frame in enumerate(frames):
            yield mailbox.SubmitFramesRequest(frame=number, envelopes=frame)

    return [a async for r in MailboxStub(actor.channel).SubmitFrames(requests(), timeout=60) for a in r.answers]


def all_accepted(answers: Sequence[mailbox.Answer]) -> bool:
    """Whether each is a signed ACCEPTED; a signed REFUSED is a receipt too."""
    said = [pb.Statement.FromString(answer.receipt.statement).milestone for answer in answers]
    return all(milestone == pb.MILESTONE_ACCEPTED for milestone in said)


async def test_flood_of_unary_calls_is_told_when_to_come_again_and_is_then_taken(tmp_path: Path) -> None:
    async with limited(tmp_path, f"[quota.participant]\n{SLOW}") as (fed, time):
        prosecutor = fed.actor("ee/prosecutor")
        made = [draft(prosecutor) for _ in range(66)]
        for each in made[:64]:
            assert all_accepted([await prosecutor.answer(each)])
        error = await refused(prosecutor, made[64])
        assert isinstance(error, Failure)
        assert error.code is ErrorCode.OVERLOADED
        assert "envelopes_per_second = 10 with burst_envelopes = 64" in error.detail
        assert error.retry_after == 0.1
        authority = fed.actor("ee/central-authority")
        answer = await authority.answer(consent(authority, made[0]))
        assert all_accepted([answer]), "another's quota is its own"
        time.passes(0.099)
        assert (await refused(prosecutor, made[64])).retry_after == 0.001
        time.passes(0.001)
        assert all_accepted([await prosecutor.answer(made[64])])
        assert (await refused(prosecutor, made[65])).retry_after == 0.1


async def test_bulk_stream_over_its_rate_is_slowed_down_and_loses_nothing(tmp_path: Path) -> None:
    async with limited(tmp_path, f"[quota.participant]\n{SLOW}") as (fed, time):
        prosecutor = fed.actor("ee/prosecutor")
        answers = await stream_of(prosecutor, [[draft(prosecutor) for _ in range(20)] for _ in range(7)])
        assert len(answers) == 140
        assert all_accepted(answers)
        assert sum(time.paused) == pytest.approx((140 - 64) / 10)


async def test_flood_of_empty_frames_is_slowed_down_like_one_of_envelopes(tmp_path: Path) -> None:
    async with limited(tmp_path, f"[quota.participant]\n{SLOW}") as (fed, time):
        assert await stream_of(fed.actor("ee/prosecutor"), [[]] * 100) == []
        assert sum(time.paused) == pytest.approx((100 - 64) / 10)


async def bring_countless(actor: Actor, method: str, signatures: int) -> None:
    """Bring an envelope of so many empty signatures: two bytes each."""
    made = pb.SignedEnvelope(signatures=[pb.Signature()] * signatures)
    if method == "Submit":
        await MailboxStub(actor.channel).Submit(mailbox.SubmitRequest(envelope=made), timeout=UNTIL_SECONDS)
    else:
        await stream_of(actor, [[made]])


@pytest.mark.parametrize("signatures", [30_000, 140_000])
@pytest.mark.parametrize("method", ["Submit", "SubmitFrames"])
async def test_flood_of_messages_that_are_refused_unread_is_soon_not_read_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, signatures: int
) -> None:
    """To find out what is wrong with one takes as long as two hundred envelopes, and it was free."""
    read, heard = codec.heard, 0

    def reading(*args: Any) -> Any:
        nonlocal heard
        heard += len(args[1]) > signatures
        return read(*args)

    monkeypatch.setattr(codec, "heard", reading)
    async with limited(tmp_path, "") as (fed, time):
        court = fed.actor("ee/court")

        async def code() -> ErrorCode:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await bring_countless(court, method, signatures)
            if is_of_a_write(caught.value):
                return await code()
            error = transport.error_of(caught.value)
            assert error.retry_after == (1.0 if error.code is ErrorCode.OVERLOADED else None)
            return error.code

        assert {await code() for _ in range(BURST_UNREAD)} == {ErrorCode.TOO_LARGE}
        assert await code() is ErrorCode.OVERLOADED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await court.waiting()
        assert transport.error_of(caught.value).code is ErrorCode.OVERLOADED
        assert heard == BURST_UNREAD
        time.passes(1.0)
        assert await code() is ErrorCode.TOO_LARGE
        assert await code() is ErrorCode.OVERLOADED
        assert all_accepted([await fed.actor("ee/prosecutor").answer(draft(fed.actor("ee/prosecutor")))])
        time.passes(1.0)
        assert await court.waiting() == []


async def test_flood_of_collect_requests_is_slowed_down(tmp_path: Path) -> None:
    async with limited(tmp_path, f"[quota.participant]\n{SLOW}") as (fed, time):
        call = MailboxStub(fed.actor("ee/prosecutor").channel).Collect(timeout=60)
        for _ in range(100):
            await call.write(mailbox.CollectRequest(credit=1))
        await call.done_writing()
        while isinstance(await call.read(), mailbox.CollectResponse):
            pass
        assert sum(time.paused) == pytest.approx((100 - 64) / 10)


async def test_one_huge_after_another_is_held_to_bytes_and_what_never_fits_is_refused_for_ever(tmp_path: Path) -> None:
    quota = f"[quota.participant]\nbytes_per_second = 1024\nburst_bytes = {1 << 18}"
    async with limited(tmp_path, quota) as (fed, _):
        prosecutor = fed.actor("ee/prosecutor")
        large, huge = draft(prosecutor, bytes(200_000)), draft(prosecutor, bytes(1 << 18))
        assert all_accepted([await prosecutor.answer(large)])
        error = await refused(prosecutor, draft(prosecutor, bytes(200_000)))
        assert (error.code, error.field) == (ErrorCode.OVERLOADED, "bytes_per_second")
        assert error.retry_after
        assert error.retry_after > 100
        authority = fed.actor("ee/central-authority")
        for _ in range(2):
            (answer,) = await stream_of(authority, [[huge]])
            never = codec.error_from(answer.error)
            assert isinstance(never, Refusal)
            assert never.code is ErrorCode.OVER_QUOTA
            assert f"burst_bytes = {1 << 18}" in never.detail
        assert all_accepted(await stream_of(authority, [[consent(authority, large)]]))


async def test_envelope_that_fits_is_taken_beside_one_in_its_frame_that_never_will(tmp_path: Path) -> None:
    async with limited(tmp_path, f"[quota.participant]\nburst_bytes = {1 << 18}") as (fed, _):
        prosecutor = fed.actor("ee/prosecutor")
        frame = [draft(prosecutor), draft(prosecutor, bytes(1 << 18)), draft(prosecutor)]
        first, second, third = await stream_of(prosecutor, [frame])
        assert all_accepted([first, third])
        assert codec.error_from(second.error).code is ErrorCode.OVER_QUOTA


async def test_accepted_envelope_stays_accepted_when_the_quota_shrinks_below_its_size(tmp_path: Path) -> None:
    async with limited(tmp_path, "") as (fed, time):
        prosecutor = fed.actor("ee/prosecutor")
        made = draft(prosecutor, bytes(1 << 18))
        first = await prosecutor.answer(made)
        await fed.stop("ee")
        settings = fed.summary.config("ee/node")
        settings.write_text(f'{settings.read_text()}\n[quota.overrides."ee/prosecutor"]\nburst_bytes = {1 << 18}\n')
        await fed.start("ee")
        assert await prosecutor.answer(made) == first
        time.passes(1.0)
        answer = await prosecutor.answer(draft(prosecutor, bytes(1 << 18)))
        assert codec.error_from(answer.error).code is ErrorCode.OVER_QUOTA


async def test_too_many_streams_of_one_are_refused_by_its_own_override_and_cost_others_nothing(tmp_path: Path) -> None:
    async with limited(tmp_path, '[quota.overrides."ee/prosecutor"]\nmax_streams = 2') as (fed, _):
        prosecutor = fed.actor("ee/prosecutor")
        calls = [MailboxStub(prosecutor.channel).Collect() for _ in range(2)]
        for call in calls:
            await call.write(mailbox.CollectRequest(credit=1))
            assert isinstance(await call.read(), mailbox.CollectResponse)
        error = await refused(prosecutor, draft(prosecutor))
        assert (error.code, error.field) == (ErrorCode.OVERLOADED, "max_streams")
        assert "max_streams = 2" in error.detail
        assert error.retry_after
        assert await fed.actor("ee/fiu").waiting() == []
        for call in calls:
            await call.done_writing()
            while isinstance(await call.read(), mailbox.CollectResponse):
                pass
        assert all_accepted([await prosecutor.answer(draft(prosecutor))])


async def test_rogue_node_flooding_with_receipts_is_told_to_come_again_item_by_item(tmp_path: Path) -> None:
    async with limited(tmp_path, '[quota.overrides."de/node"]\nenvelopes_per_second = 10\nburst_envelopes = 128') as (
        fed,
        time,
    ):
        stub = fed.node_relay("de", "ee")
        junk = relay.RelayRequest(frame=1, receipts=[pb.Receipt(statement=b"x")] * 64)
        for _ in range(2):
            answers = await relay_one(stub, junk)
            assert {codec.error_from(answer.error).code for answer in answers} == {ErrorCode.BAD_RECEIPT}
        errors = [codec.error_from(answer.error) for answer in await relay_one(stub, junk)]
        assert [(error.code, error.retry_after) for error in errors] == [(ErrorCode.OVERLOADED, 6.4)] * 64
        assert not time.paused
        time.passes(6.4)
        answers = await relay_one(stub, junk)
        assert {codec.error_from(answer.error).code for answer in answers} == {ErrorCode.BAD_RECEIPT}


async def test_honest_node_over_its_quota_comes_again_when_told_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    quota = "[quota.node]\nenvelopes_per_second = 10\nburst_envelopes = 128"
    async with limited(tmp_path, quota, start=("de", "ee")) as (fed, time):
        prosecutor, sent = fed.actor("ee/prosecutor"), [fed.request(case_id=f"EE-{n}") for n in range(192)]
        assert all_accepted(await stream_of(prosecutor, [sent[:64], sent[64:128], sent[128:]]))
        await until(lambda: len(senders(fed.store("de"))) >= 128 and "over envelopes_per_second" in errors(fed))
        assert len(senders(fed.store("de"))) < 192
        while len(senders(fed.store("de"))) < 192:
            time.passes(1.0)  # also until the next attempt is due
            await asyncio.sleep(0.01)
        got = {item.envelope.header for item in await fed.actor("de/central-authority").collect(192)}
        assert got == {each.header for each in sent}


def errors(fed: Federation) -> str:
    """Return what went wrong last with what is on its way from ee to de."""
    query = "SELECT last_error FROM deliveries WHERE destination = 'de/node'"
    return " ".join(error for (error,) in stores.rows(fed.store("ee"), query))


async def test_flood_of_trace_queries_is_told_when_to_come_again(tmp_path: Path) -> None:
    quota = "[quota.participant]\nqueries_per_second = 1\nburst_queries = 2\n[quota.node]\nburst_queries = 1"
    async with limited(tmp_path, quota) as (fed, time):
        stub = TraceStub(fed.actor("ee/operator").channel)
        codes = [await trace_error(stub) for _ in range(3)]
        assert [error.code for error in codes] == [ErrorCode.NOT_FOUND, ErrorCode.NOT_FOUND, ErrorCode.OVERLOADED]
        assert (codes[2].field, codes[2].retry_after) == ("queries_per_second", 1.0)
        time.passes(1.0)
        assert (await trace_error(stub)).code is ErrorCode.NOT_FOUND
        relayed: RelayStub = fed.node_relay("de", "ee")
        asked = relay.TraceBetweenRequest(envelope_id="01a1fc5e-2c6e-7789-8d42-cc9ebb22a714")
        assert not (await relayed.TraceBetween(asked, timeout=UNTIL_SECONDS)).traces
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await relayed.TraceBetween(asked, timeout=UNTIL_SECONDS)
        assert transport.error_of(caught.value).code is ErrorCode.OVERLOADED


async def trace_error(stub: TraceStub) -> GatewayError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetTrace(GetTraceRequest(key="EE-nothing"), timeout=UNTIL_SECONDS)
    return transport.error_of(caught.value)


async def test_long_case_is_traced_whole_though_the_other_node_answers_only_so_many_at_once(tmp_path: Path) -> None:
    quota = "[quota.node]\nqueries_per_second = 10\nburst_queries = 5"
    async with limited(tmp_path, quota, start=("de", "ee")) as (fed, time):
        prosecutor = fed.actor("ee/prosecutor")
        await prosecutor.submit_frame([fed.request(case_id="EE-7") for _ in range(12)])
        collecting = asyncio.create_task(prosecutor.collect(12))

        def is_later() -> bool:
            time.passes(0.1)  # what failed at first, to a node that was slow to begin, is tried again only then
            return collecting.done()

        await until(is_later)
        await collecting
        stub = TraceStub(fed.actor("ee/operator").channel)
        told = await stub.GetTrace(GetTraceRequest(key="EE-7", ask_others=True), timeout=UNTIL_SECONDS)
        assert isinstance(told, GetTraceResponse)
        assert not told.silent
        assert [each.node for each in told.traces].count("de") == 12
        # One more, if the other node was asked to cosign the log meanwhile.
        assert len(time.paused) in {7, 8}


class Hold:
    """Holds a node's writer, in its own thread, at the first frame after it is armed: all that comes queues up."""

    def __init__(self) -> None:
        self.armed, self.held, self.go = threading.Event(), threading.Event(), threading.Event()

    def watch(self, stage: str) -> None:
        if stage == "lawful" and self.armed.is_set() and not self.held.is_set():
            self.held.set()
            self.go.wait(60)


async def test_greedy_client_that_floods_streams_does_not_come_before_a_modest_one(tmp_path: Path) -> None:
    """Of all that the greedy one has sent, only what is in work comes before: a number that does not grow with it."""
    at_once, streams, frames, size, modest_ones = 64, 8, 8, 16, 8
    hold = Hold()
    quota = f"[quota.participant]\nenvelopes_at_once = {at_once}"
    async with limited(tmp_path, quota, watch=hold.watch) as (fed, _):
        greedy, modest = fed.actor("ee/prosecutor"), fed.actor("ee/central-authority")
        cited = [draft(greedy) for _ in range(modest_ones)]
        assert all_accepted(await greedy.submit_frame(cited))
        answers = [[[consent(modest, each)]] for each in cited]
        flood = [[[draft(greedy) for _ in range(size)] for _ in range(frames)] for _ in range(streams)]
        turns = fed.nodes["ee"].quotas.turns
        hold.armed.set()
        tasks = [asyncio.create_task(stream_of(greedy, some)) for some in flood]
        try:
            # Every stream has as many frames in work or in line as it may have: the node reads no more of them.
            most = streams * 4 - at_once // size
            await until(lambda: hold.held.is_set() and turns.waiting(Address("ee", "prosecutor")) == most)
            tasks += [asyncio.create_task(stream_of(modest, some)) for some in answers]
            await until(lambda: turns.working(Address("ee", "central-authority")) == modest_ones)
        finally:
            hold.go.set()
        assert all(map(all_accepted, await asyncio.gather(*tasks)))
        order = senders(fed.store("ee"))[modest_ones:]
    assert order.count(greedy.address) == streams * frames * size
    before = order[: len(order) - order[::-1].index(modest.address)].count(greedy.address)
    # What was in work when they came, and what took its place while they were verified.
    assert before <= 2 * at_once


async def hand_in(actor: Actor, flood: Sequence[pb.SignedEnvelope]) -> grpc.aio.Call:
    call = MailboxStub(actor.channel).SubmitFrames()
    await call.write(mailbox.SubmitFramesRequest(envelopes=flood))
    return call


async def bring(actor: Actor, _: object) -> grpc.aio.Call:
    call = AttachmentsStub(actor.channel).Upload()
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it may be sent away before it was heard
        await call.write(wire.UploadRequest(begin=pb.AttachmentRef(sha256=bytes(32), size=1000)))
    return call


async def fetch(actor: Actor, _: object) -> grpc.aio.Call:
    file = pb.AttachmentRef(sha256=bytes(32), size=1000)
    return AttachmentsStub(actor.channel).Download(wire.DownloadRequest(attachment=file))


@pytest.mark.parametrize("ask", [hand_in, bring, fetch])
async def test_greedy_client_that_hangs_up_and_comes_again_leaves_others_room_at_the_store(
    tmp_path: Path, ask: Callable[[Actor, Sequence[pb.SignedEnvelope]], Awaitable[grpc.aio.Call]]
) -> None:
    most, hold = 16, Hold()
    quota = f"[limits]\nmax_waiting_jobs = {most}\n[quota.participant]\nenvelopes_at_once = 64"
    async with limited(tmp_path, quota, watch=hold.watch) as (fed, _):
        greedy, modest = fed.actor("ee/prosecutor"), fed.actor("ee/central-authority")
        asked = draft(greedy)
        assert all_accepted(await greedy.submit_frame([asked]))
        flood, node = [draft(greedy) for _ in range(64)], fed.nodes["ee"]
        turns, address, writer = node.quotas.turns, Address("ee", "prosecutor"), node._writer
        assert writer is not None

        def seen(call: grpc.aio.Call, more: int) -> bool:
            """Whether one more waits at the store, unless all places there are taken; or in line; or is sent away."""
            return turns.waiting(address) == 1 or writer.waiting >= min(more, most) or call.done()

        hold.armed.set()
        try:
            first = await hand_in(greedy, flood)
            await until(hold.held.is_set)
            first.cancel()
            for _ in range(2 * most):
                more = writer.waiting + 1
                call = await ask(greedy, flood)
                await until(partial(seen, call, more))
                call.cancel()
                await until(lambda: turns.waiting(address) == 0)
            answering = asyncio.create_task(stream_of(modest, [[consent(modest, asked)]]))
            await until(lambda: answering.done() or turns.working(Address("ee", "central-authority")) == 1)
        finally:
            hold.go.set()
        assert all_accepted(await answering)
        assert all_accepted(await stream_of(greedy, [flood]))


def senders(store: stores.Place) -> list[str]:
    """Return who sent what is recorded, in the order of the record."""
    return [sender for (sender,) in stores.rows(store, "SELECT sender FROM envelopes ORDER BY seq")]
