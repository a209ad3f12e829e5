"""What is submitted one by one is sent together, and nobody notices but the node."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import nullcontext
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1.mailbox_pb2_grpc import MailboxStub

from clients import submission
from clients.outbox import Outbox, Tell
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.gathering import FRAMES_IN_FLIGHT, MAX_FRAME_BYTES, MAX_FRAME_ENVELOPES, SMALL_FRAMES_IN_FLIGHT
from tests.errors import raises

LONG = 60.0


def raw(number: int, size: int = 10) -> pb.SignedEnvelope:
    return pb.SignedEnvelope(header=b"%06d" % number, sealed_payload=bytes(size))


def proof(envelope: pb.SignedEnvelope) -> pb.Receipt:
    return pb.Receipt(statement=envelope.header)


class Node:
    """Takes calls, and answers them when it is told to."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.within: list[float] = []
        self.open = asyncio.Event()
        self.put_off: set[bytes] = set()
        self.at_last = asyncio.Event()
        self.answer: Callable[[pb.SignedEnvelope], pb.Receipt | GatewayError] = proof
        self.before: Callable[[Sequence[pb.SignedEnvelope]], None] = lambda envelopes: None
        self.tasks: set[asyncio.Task[None]] = set()
        self.outbox = Outbox(self._hand_in, self._start)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.add(asyncio.create_task(work))

    async def _hand_in(
        self, envelopes: Sequence[pb.SignedEnvelope], within: float, tell: Tell
    ) -> list[pb.Receipt | GatewayError]:
        self.before(envelopes)
        self.calls.append([each.header for each in envelopes])
        self.within.append(within)
        late = {each.header for each in envelopes} & self.put_off
        if late:
            tell({n: proof(each) for n, each in enumerate(envelopes) if each.header not in late})
            await self.at_last.wait()
        await self.open.wait()
        return [self.answer(each) for each in envelopes]

    def submit(self, number: int, within: float = LONG, size: int = 10) -> "asyncio.Task[pb.Receipt]":
        return asyncio.create_task(self.outbox.submit(raw(number, size), within))

    async def come(self, *numbers: int, size: int = 10) -> list["asyncio.Task[pb.Receipt]"]:
        """Submit them one after the other, each when the one before has gone as far as it can."""
        tasks = []
        for number in numbers:
            tasks.append(self.submit(number, size=size))
            await self.begun()
        return tasks

    async def busy(self) -> list["asyncio.Task[pb.Receipt]"]:
        """Have as many small calls under way as may be, one after the other."""
        tasks = await self.come(*range(SMALL_FRAMES_IN_FLIGHT))
        assert [len(call) for call in self.calls] == [1] * SMALL_FRAMES_IN_FLIGHT
        return tasks

    async def begun(self) -> None:
        """Let everything go as far as it can without an answer."""
        for _ in range(10):
            await asyncio.sleep(0)


async def test_who_comes_alone_is_sent_at_once_and_alone() -> None:
    node = Node()
    node.open.set()
    for number in range(3):
        assert await node.submit(number) == proof(raw(number))
    assert node.calls == [[b"%06d" % number] for number in range(3)]


async def test_those_who_come_in_one_moment_travel_together() -> None:
    node = Node()
    node.open.set()
    tasks = [node.submit(number) for number in range(2 * MAX_FRAME_ENVELOPES + 5)]
    assert await asyncio.gather(*tasks) == [proof(raw(number)) for number in range(len(tasks))]
    assert [len(call) for call in node.calls] == [MAX_FRAME_ENVELOPES, MAX_FRAME_ENVELOPES, 5]
    assert [header for call in node.calls for header in call] == [b"%06d" % number for number in range(len(tasks))]


async def test_those_who_come_while_calls_are_under_way_travel_together_afterwards() -> None:
    node = Node()
    tasks = await node.busy()
    tasks += await node.come(*range(100, 100 + MAX_FRAME_ENVELOPES - 1))
    assert len(node.calls) == SMALL_FRAMES_IN_FLIGHT
    node.open.set()
    await asyncio.gather(*tasks)
    assert [len(call) for call in node.calls[SMALL_FRAMES_IN_FLIGHT:]] == [MAX_FRAME_ENVELOPES - 1]


async def test_full_frame_waits_for_no_answer_while_there_is_room() -> None:
    node = Node()
    tasks = await node.busy()
    tasks += await node.come(*range(100, 100 + MAX_FRAME_ENVELOPES * FRAMES_IN_FLIGHT))
    full = FRAMES_IN_FLIGHT - SMALL_FRAMES_IN_FLIGHT
    assert [len(call) for call in node.calls[SMALL_FRAMES_IN_FLIGHT:]] == [MAX_FRAME_ENVELOPES] * full
    (large,) = await node.come(1, size=MAX_FRAME_BYTES)
    assert len(node.calls) == FRAMES_IN_FLIGHT
    node.open.set()
    assert await large == proof(raw(1))
    assert await asyncio.gather(*tasks) == [proof(raw(n)) for n in (*range(2), *range(100, 100 + len(tasks) - 2))]


async def test_large_one_is_a_full_frame_by_itself() -> None:
    node = Node()
    tasks = await node.busy()
    tasks += [node.submit(number, size=MAX_FRAME_BYTES) for number in range(100, 103)]
    await node.begun()
    assert [len(call) for call in node.calls] == [1] * (SMALL_FRAMES_IN_FLIGHT + 3)
    node.open.set()
    await asyncio.gather(*tasks)
    assert await node.submit(200) == proof(raw(200))


async def test_frame_is_no_larger_than_a_frame_may_be() -> None:
    node = Node()
    node.open.set()
    await asyncio.gather(*[node.submit(number, size=MAX_FRAME_BYTES // 3) for number in range(5)])
    assert [len(call) for call in node.calls] == [2, 2, 1]


async def test_large_one_behind_a_small_one_waits_for_no_answer() -> None:
    node = Node()
    tasks = await node.busy()
    tasks += [*await node.come(100), *await node.come(101, size=MAX_FRAME_BYTES)]
    assert b"000101" in {header for call in node.calls for header in call}
    node.open.set()
    await asyncio.gather(*tasks)


async def test_what_the_node_puts_off_keeps_nobody_else_waiting() -> None:
    node = Node()
    node.open.set()
    node.put_off = {b"%06d" % number for number in range(SMALL_FRAMES_IN_FLIGHT + 1)}
    late = await node.come(*range(SMALL_FRAMES_IN_FLIGHT + 1))
    assert await node.submit(100) == proof(raw(100))
    assert not any(each.done() for each in late)
    node.at_last.set()
    assert await asyncio.gather(*late) == [proof(raw(number)) for number in range(len(late))]
    # And it counts again as it did before.
    node.put_off.clear()
    node.open.clear()
    node.calls.clear()
    tasks = await node.busy()
    tasks += await node.come(200)
    assert len(node.calls) == SMALL_FRAMES_IN_FLIGHT
    node.open.set()
    await asyncio.gather(*tasks)


async def test_those_in_one_frame_with_what_is_put_off_hear_at_once() -> None:
    node = Node()
    node.open.set()
    node.put_off = {b"000010"}
    tasks = [node.submit(number) for number in range(20)]
    await node.begun()
    assert [number for number, each in enumerate(tasks) if not each.done()] == [10]
    node.at_last.set()
    assert await asyncio.gather(*tasks) == [proof(raw(number)) for number in range(20)]


async def test_as_many_as_a_node_lets_in_may_try_again_and_no_more() -> None:
    node = Node()
    node.open.set()
    node.put_off = {b"%06d" % number for number in range(FRAMES_IN_FLIGHT + 1)}
    late = await node.come(*range(FRAMES_IN_FLIGHT + 1))
    assert len(node.calls) == FRAMES_IN_FLIGHT
    node.at_last.set()
    await asyncio.gather(*late)
    assert len(node.calls) == FRAMES_IN_FLIGHT + 1


async def test_call_that_ends_wrongly_is_told_to_those_in_it() -> None:
    tasks = set()

    async def hand_in(*_: object) -> list[Any]:
        return []

    box = Outbox(hand_in, lambda work: tasks.add(asyncio.create_task(work)))
    with pytest.raises(ValueError, match="shorter"):
        await box.submit(raw(1), LONG)
    await asyncio.gather(*tasks)


async def test_one_that_is_refused_is_refused_alone() -> None:
    node = Node()
    no = Refusal(ErrorCode.OUT_OF_ORDER, "no")
    node.answer = lambda each: no if each.header == b"000010" else proof(each)
    tasks = [node.submit(number) for number in range(20)]
    await node.begun()
    node.open.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [n for n, outcome in enumerate(outcomes) if outcome is no] == [10]
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)] == [10]


async def test_whole_call_that_fails_is_told_to_all_who_were_in_it_and_to_nobody_else() -> None:
    node = Node()
    stuck = await node.busy()

    def full(envelopes: Sequence[pb.SignedEnvelope]) -> None:
        raise Failure(ErrorCode.STORE, "our disk is full")

    node.before = full
    late = [node.submit(number) for number in range(100, 103)]
    await node.begun()
    node.open.set()
    outcomes = await asyncio.gather(*late, return_exceptions=True)
    assert [getattr(outcome, "code", None) for outcome in outcomes] == [ErrorCode.STORE] * 3
    assert await asyncio.gather(*stuck) == [proof(raw(number)) for number in range(SMALL_FRAMES_IN_FLIGHT)]


async def test_time_runs_out_for_each_by_its_own_measure() -> None:
    node = Node()
    stuck = await node.busy()
    waits, hurried = node.submit(100), node.submit(101, within=0.05)
    with pytest.raises(Failure) as caught:
        await hurried
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert not waits.done()
    node.open.set()
    assert await waits == proof(raw(100))
    await asyncio.gather(*stuck)
    assert b"000101" not in {header for call in node.calls for header in call}  # nobody waits for that any more
    assert all(within > LONG / 2 for within in node.within)


async def test_caller_who_gives_up_before_it_is_sent_is_not_sent() -> None:
    node = Node()
    stuck = await node.busy()
    gone, stays = node.submit(100), node.submit(101)
    await node.begun()
    gone.cancel()
    await node.begun()
    node.open.set()
    assert await stays == proof(raw(101))
    await asyncio.gather(*stuck)
    assert b"000100" not in {header for call in node.calls for header in call}


async def test_caller_who_gives_up_afterwards_harms_nobody_in_the_same_frame() -> None:
    node = Node()
    stuck = await node.busy()
    gone, stays = node.submit(100), node.submit(101)
    await node.begun()
    node.answer = lambda each: (gone.cancel(), proof(each))[1] if each.header == b"000100" else proof(each)
    node.open.set()
    assert await stays == proof(raw(101))
    await asyncio.gather(*stuck)
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_whoever_still_waits_when_the_participant_is_left_is_told() -> None:
    node = Node()
    tasks = [*await node.busy(), *(node.submit(number) for number in range(100, 103))]
    await node.begun()
    for task in node.tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [getattr(outcome, "code", None) for outcome in outcomes] == [ErrorCode.UNAVAILABLE] * len(tasks)


def test_calls_leave_room_for_others_of_the_same_participant() -> None:
    assert FRAMES_IN_FLIGHT < 16  # max_streams_per_peer, unless a node says otherwise


@given(st.lists(st.sampled_from([10, MAX_FRAME_BYTES // 20, MAX_FRAME_BYTES, None]), max_size=200))
def test_everybody_is_answered_whatever_comes_when(sizes: list[int | None]) -> None:
    async def run() -> None:
        node, tasks = Node(), []
        for number, size in enumerate(sizes):
            if size is None:  # whatever is under way is answered, and what follows from it goes
                node.open.set()
                await node.begun()
                node.open.clear()
            else:
                tasks.append(node.submit(number, size=size))
                await asyncio.sleep(0)
        node.open.set()
        await asyncio.gather(*tasks)
        sent = [header for call in node.calls for header in call]
        assert sent == [b"%06d" % number for number, size in enumerate(sizes) if size is not None]

    asyncio.run(run())


class Stream:
    """A call of SubmitFrames whose answers are known before."""

    def __init__(self, *answers: mailbox.SubmitFramesResponse) -> None:
        self.answers = [*answers]
        self.cancelled = False

    def SubmitFrames(self, _requests: object, timeout: float) -> "Stream":  # noqa: N802  gRPC's name
        assert timeout == LONG
        return self

    async def __aiter__(self) -> AsyncIterator[mailbox.SubmitFramesResponse]:
        for each in self.answers:
            yield each

    def cancel(self) -> None:
        self.cancelled = True


def answers(frame: int, count: int) -> mailbox.SubmitFramesResponse:
    return mailbox.SubmitFramesResponse(frame=frame, answers=[mailbox.Answer()] * count)


@pytest.mark.parametrize(
    ("said", "code", "settled"),
    [
        ([answers(0, 2)], None, [(0, 1)]),
        ([answers(0, 1)], ErrorCode.BAD_RECEIPT, []),
        ([answers(0, 3)], ErrorCode.BAD_RECEIPT, []),
        ([answers(1, 2)], ErrorCode.BAD_RECEIPT, []),
        ([answers(0, 2), answers(0, 2)], ErrorCode.BAD_RECEIPT, [(0, 1)]),
        ([], ErrorCode.UNAVAILABLE, []),
    ],
)
async def test_answer_counts_for_the_frame_that_was_sent_whole_and_once(
    said: list[mailbox.SubmitFramesResponse], code: ErrorCode | None, settled: list[tuple[int, ...]]
) -> None:
    node, found = Stream(*said), list[tuple[int, ...]]()

    def settle(positions: Sequence[int], _: Sequence[mailbox.Answer]) -> None:
        found.append(tuple(positions))

    with raises(code) if code is not None else nullcontext():
        await submission.stream(cast("MailboxStub", node), [raw(1), raw(2)], [0, 1], settle, LONG)
    assert (found, node.cancelled) == (settled, True)
