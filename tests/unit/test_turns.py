"""Turns at the store, and how doors hold callers to their quotas: counted, never timed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay

from clients.connection import BELIEVED_SECONDS, Pauses
from gateway import codec
from gateway.clock import MICROS, from_micros
from gateway.config import Allowance, Delivery, Limits, Quota
from gateway.directory import KeyName
from gateway.doors.mailbox import MailboxDoor
from gateway.doors.quotas import Quotas
from gateway.doors.relay import RelayDoor
from gateway.doors.turns import Turns
from gateway.errors import ErrorCode, Failure
from gateway.identity import Address
from gateway.metrics import Meters
from gateway.path import Turn
from gateway.quota import Cost
from tests.errors import raises

GREEDY, MODEST, THIRD = Address("ee", "greedy"), Address("ee", "modest"), Address("ee", "third")


class Crowd:
    """Frames that wait for turns, end when they are told, and are noted in the order of their turns."""

    def __init__(self, of_all: int, share: int) -> None:
        self.turns = Turns(of_all, lambda _: share)
        self.served: list[Address] = []
        self.working: list[tuple[Address, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, peer: Address, frames: int, envelopes: int = 1) -> None:
        for _ in range(frames):
            self.tasks.append(asyncio.create_task(self._frame(peer, envelopes)))
        await settled()

    async def _frame(self, peer: Address, envelopes: int) -> None:
        async with self.turns.take(peer, envelopes):
            self.served.append(peer)
            over = asyncio.Event()
            self.working.append((peer, over))
            await over.wait()

    async def end_one(self) -> None:
        """End what has been in work for longest."""
        self.working.pop(0)[1].set()
        await settled()

    async def end_all(self) -> None:
        while self.working:
            await self.end_one()
        await asyncio.gather(*self.tasks)


async def settled() -> None:
    """Let everything go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_greedy_one_has_only_its_share_in_work_and_a_newcomer_waits_for_none_of_it() -> None:
    crowd = Crowd(of_all=16, share=4)
    await crowd.come(GREEDY, 1_000)
    assert crowd.served == [GREEDY] * 4
    await crowd.come(MODEST, 4)
    assert crowd.served == [GREEDY] * 4 + [MODEST] * 4
    await crowd.end_all()


async def test_lines_are_served_one_frame_each_in_rounds_when_the_node_is_full() -> None:
    crowd = Crowd(of_all=4, share=4)
    await crowd.come(GREEDY, 1_000)
    await crowd.come(MODEST, 5)
    await crowd.come(THIRD, 5)
    while crowd.served.count(MODEST) < 5:
        await crowd.end_one()
    before = crowd.served[: len(crowd.served) - crowd.served[::-1].index(MODEST)]
    assert before.count(GREEDY) <= 4 + 5 + 1, "its share, then one for one"
    assert before.count(THIRD) >= 4
    await crowd.end_all()


async def test_envelopes_count_and_not_frames() -> None:
    crowd = Crowd(of_all=1_024, share=256)
    await crowd.come(GREEDY, 10, envelopes=64)
    assert crowd.turns.working(GREEDY) == 256
    assert crowd.turns.waiting(GREEDY) == 6
    await crowd.end_one()
    assert crowd.turns.working(GREEDY) == 256
    assert crowd.turns.waiting(GREEDY) == 5
    await crowd.end_all()
    assert crowd.turns.working(GREEDY) == 0


async def test_large_frame_is_not_overtaken_for_ever_by_small_ones() -> None:
    crowd = Crowd(of_all=8, share=8)
    await crowd.come(GREEDY, 8)
    await crowd.come(MODEST, 1, envelopes=8)
    await crowd.come(THIRD, 100)
    for _ in range(7):
        await crowd.end_one()
        assert MODEST not in crowd.served
        assert THIRD not in crowd.served
    await crowd.end_one()
    assert crowd.served[-1] == MODEST
    await crowd.end_all()


async def test_frame_above_a_share_is_served_when_nothing_else_of_its_sender_is() -> None:
    crowd = Crowd(of_all=16, share=4)
    await crowd.come(GREEDY, 2, envelopes=100)
    assert crowd.served == [GREEDY]
    await crowd.end_one()
    assert crowd.served == [GREEDY] * 2
    await crowd.end_all()


async def test_who_leaves_the_line_or_its_work_leaves_nothing_behind() -> None:
    crowd = Crowd(of_all=2, share=2)
    await crowd.come(GREEDY, 5)
    await crowd.come(MODEST, 1)
    crowd.tasks[2].cancel()  # in line
    crowd.tasks[0].cancel()  # in work
    await settled()
    assert crowd.served == [GREEDY] * 3, "the greedy one's line was the first"
    assert crowd.turns.waiting(GREEDY) == 1
    for task in crowd.tasks:
        task.cancel()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)
    for peer in (GREEDY, MODEST):
        assert (crowd.turns.waiting(peer), crowd.turns.working(peer)) == (0, 0)


async def test_who_leaves_in_the_moment_of_its_turn_passes_it_on() -> None:
    crowd = Crowd(of_all=1, share=1)
    await crowd.come(GREEDY, 1)
    await crowd.come(MODEST, 1)
    await crowd.come(THIRD, 1)
    crowd.working.pop(0)[1].set()
    while crowd.turns.waiting(MODEST):
        await asyncio.sleep(0)
    crowd.tasks[1].cancel()
    await settled()
    assert crowd.served == [GREEDY, THIRD]
    crowd.working.pop()[1].set()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)


class Doorway:
    """A stream of one peer, whose share is one full frame; of its first frame a key is looked for, for a while."""

    def __init__(self, peer: Address) -> None:
        own = {"envelopes_at_once": 64} if not peer.is_node else {"envelopes_at_once": 128}
        self.quotas = Quotas(
            Quota(overrides={peer: Allowance(**own)}),
            2,
            Time(),
            Meters(MeterProvider().get_meter("test")).quota_reached,
        )
        self.peer = SimpleNamespace(address=peer, node=peer.node)
        self.over = asyncio.Event()
        self.found = asyncio.Event()
        self.accepted: list[int] = []
        self._asked = 0

    @asynccontextmanager
    async def call(self, _: object) -> AsyncIterator["Doorway"]:
        yield self

    def check(self) -> SimpleNamespace:
        return self.peer

    async def too_new(self, _: object) -> frozenset[KeyName]:
        self._asked += 1
        if self._asked == 1:
            await self.found.wait()
        return frozenset()

    async def accept(self, _: object, frame: Sequence[pb.SignedEnvelope], turn: Turn, *__: object) -> list[pb.Receipt]:
        """Take frames in turn, as the path does."""
        await turn.come()
        self.accepted.append(len(frame))
        turn.end()
        return []


@pytest.mark.parametrize("door", ["mailbox", "relay"])
async def test_frame_that_waits_for_news_of_a_key_is_not_kept_from_its_turn_by_those_behind_it(
    door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    way: Any = Doorway(Address("ee", "investigator") if door == "mailbox" else Address.of_node("de"))
    limits, full = Limits(), [pb.SignedEnvelope()] * 64
    nobody, of_mailbox, of_relay = cast("tuple[Any, Any, Any]", (None, MailboxDoor, RelayDoor))

    async def said(kind: Any, **more: Any) -> AsyncIterator[Any]:
        for number in range(3):
            yield kind(frame=number, envelopes=full, **more)

    async def nothing(*_: object) -> list[mailbox.Answer]:
        return []

    stream: Any
    if door == "mailbox":
        mailbox_door = of_mailbox(way, way, *[nobody] * 4, limits, *[nobody] * 6)
        stream = mailbox_door.SubmitFrames(said(mailbox.SubmitFramesRequest), nobody)
    else:
        relay_door = of_relay(way, way, *[nobody] * 3, limits, *[nobody] * 2)
        monkeypatch.setattr(relay_door, "_hear", nothing)
        stream = relay_door.Relay(said(relay.RelayRequest, receipts=[pb.Receipt()] * 64), nobody)

    async def answers() -> list[int]:
        return [response.frame async for response in stream]

    answering = asyncio.create_task(answers())
    await settled()
    way.found.set()
    assert await asyncio.wait_for(answering, 5.0) == [0, 1, 2]
    assert way.accepted == [64] * 3


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now_us = 0
        self.paused: list[float] = []

    def __call__(self) -> datetime:
        return from_micros(self.now_us)

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.now_us += round(seconds * MICROS)


def quotas(time: Time) -> tuple[Quotas, InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    counter = Meters(MeterProvider([reader]).get_meter("test")).quota_reached
    quota = Quota(participant=Allowance(envelopes_per_second=10, burst_envelopes=64, burst_bytes=1 << 18))
    return Quotas(quota, 2, time, counter, time.pause), reader


async def test_stream_is_slowed_down_to_its_rate_and_never_refused() -> None:
    time = Time()
    held, _ = quotas(time)
    for _ in range(10):
        await held.pace(GREEDY, Cost(envelopes=64))
    assert sum(time.paused) == pytest.approx(9 * 6.4)


async def test_who_cannot_wait_so_long_is_told_when_to_come_again() -> None:
    time = Time()
    held, _ = quotas(time)
    held.charge(GREEDY, Cost(envelopes=64))
    with pytest.raises(Failure) as caught:
        await held.pace(GREEDY, Cost(envelopes=64), longest_seconds=5.0)
    assert (caught.value.code, caught.value.retry_after) == (ErrorCode.OVERLOADED, 6.4)
    assert not time.paused
    time.now_us += 6_400_000
    await held.pace(GREEDY, Cost(envelopes=64), longest_seconds=5.0)
    assert not time.paused


async def test_stream_that_ends_while_it_waits_pays_nothing() -> None:
    time, waiting = Time(), asyncio.Event()
    held, _ = quotas(time)
    held.charge(GREEDY, Cost(envelopes=64))

    async def for_ever(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    held.pause = for_ever
    task = asyncio.create_task(held.pace(GREEDY, Cost(envelopes=64)))
    await waiting.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    time.now_us += MICROS // 10
    held.charge(GREEDY, Cost(envelopes=1))


async def test_empty_frame_costs_one_and_what_can_never_fit_costs_what_can_be_waited_for() -> None:
    held, _ = quotas(Time())
    assert held.cost(GREEDY, []) == Cost(envelopes=1)
    huge = pb.SignedEnvelope(sealed_payload=bytes(1 << 20))
    assert held.cost(GREEDY, [huge], [pb.Receipt()]) == Cost(envelopes=2, size=1 << 18)


async def test_every_bite_is_counted_and_a_flood_of_them_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    held, reader = quotas(time)
    held.charge(GREEDY, Cost(envelopes=64))
    with caplog.at_level(logging.WARNING, "gateway.doors"):
        for _ in range(100):
            with raises(ErrorCode.OVERLOADED):
                held.charge(GREEDY, Cost(envelopes=64))
        with held.stream(GREEDY), held.stream(GREEDY), raises(ErrorCode.OVERLOADED), held.stream(GREEDY):
            pass
        time.now_us += int(timedelta(minutes=2) / timedelta(microseconds=1))
        held.charge(GREEDY, Cost(envelopes=64))
        await held.pace(GREEDY, Cost(envelopes=1))
    data = reader.get_metrics_data()
    assert data is not None
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    counted = {str((point.attributes or {})["rogatory.limit"]): getattr(point, "value", None) for point in points}
    assert counted == {"envelopes_per_second": 101, "max_streams_per_peer": 1}
    assert [record.__dict__["limit"] for record in caplog.records] == [
        "envelopes_per_second",
        "max_streams_per_peer",
        "envelopes_per_second",
    ]


def test_client_waits_at_least_as_long_as_the_node_asked() -> None:
    pauses = Pauses(lambda: 0.0)
    assert pauses.next(Failure(ErrorCode.OVERLOADED, "over a rate", retry_after=42.0)) == 42.0
    assert pauses.next(Failure(ErrorCode.OVERLOADED, "busy")) < 1.0


def test_node_stops_no_participant_for_weeks_by_its_word() -> None:
    forever = codec.error_from(errors_pb2.Error(code=errors_pb2.ERROR_CODE_OVERLOADED, retry_after_ms=(1 << 32) - 1))
    assert Pauses(lambda: 0.0).next(forever) == BELIEVED_SECONDS == Delivery().backoff_max_seconds
