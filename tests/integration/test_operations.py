"""What operators do with deliveries, against real nodes: who may, who has to agree, what becomes of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import operations_pb2 as operations
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.operations_pb2_grpc import OperationsStub

from gateway import material, transport
from gateway.cli.trace import fetch
from gateway.clock import Clock, system_clock, to_micros
from gateway.config import Delivery
from gateway.directory import NodeEntry
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.operations import name_of
from gateway.store import fsck
from gateway.story import tell
from tests import stores
from tests.federation import UNTIL_SECONDS, Actor, Federation, beside, code_of, federation, ref, until
from tests.processes import finished, processes

pytestmark = pytest.mark.integration

DE = "de/node"
WAITING, DONE = operations.ACTION_STATE_WAITING, operations.ACTION_STATE_DONE
REJECTED, FAILED, LAPSED = (
    operations.ACTION_STATE_REJECTED,
    operations.ACTION_STATE_FAILED,
    operations.ACTION_STATE_LAPSED,
)
# So long that no test waits for it: what goes on does so because an operator wants it.
LONG = Delivery(
    lease_seconds=60.0,
    backoff_first_seconds=60.0,
    backoff_max_seconds=3600.0,
    attempt_timeout_seconds=2.0,
    sweep_seconds=0.05,
)


class Moved:
    """A clock that a test moves."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self.ahead = timedelta()

    def __call__(self) -> Any:
        return self._clock() + self.ahead


@pytest.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed", delivery=LONG, clock=Moved()) as made:
        yield made


async def called(fed: Federation, who: str, name: str, request: Any, at: NodeEntry | None = None) -> Any:
    """Call the door of one's own node, or of another one."""
    loaded = material.load_participant(fed.summary.config(who), fed.clock)
    channel = transport.channel_to(at or loaded.node, loaded.directory.federation, loaded.identity)
    try:
        return await getattr(OperationsStub(channel), name)(request, timeout=UNTIL_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise transport.error_of(error) from error
    finally:
        await channel.close()


async def act(
    fed: Federation, who: str = "ee/operator", reason: str = "it has to be", **what: Any
) -> operations.RecordedAction:
    request = operations.ActRequest(action=operations.Action(reason=reason, **what))
    response = await called(fed, who, "Act", request)
    return response.recorded  # type: ignore[no-any-return]


async def decide(
    fed: Federation, number: int, approve: bool, who: str = "ee/operator-2", reason: str = ""
) -> operations.RecordedAction:
    request = operations.DecideActionRequest(number=number, approve=approve, reason=reason)
    response = await called(fed, who, "DecideAction", request)
    return response.recorded  # type: ignore[no-any-return]


async def listed(fed: Federation, who: str = "ee/auditor", **asked: Any) -> list[operations.RecordedAction]:
    response = await called(fed, who, "ListActions", operations.ListActionsRequest(**asked))
    return list(response.actions)


def hold(destination: str = DE) -> dict[str, Any]:
    return {"hold": operations.HoldDestination(destination=destination)}


def release(destination: str = DE) -> dict[str, Any]:
    return {"release": operations.ReleaseDestination(destination=destination)}


def resend(made: pb.SignedEnvelope | None = None, **fields: Any) -> dict[str, Any]:
    envelope = None if made is None else ref(made)
    return {"resend": operations.ResendCopies(envelope=envelope, **fields)}


def expire(made: pb.SignedEnvelope, destination: str = DE) -> dict[str, Any]:
    return {"expire": operations.ExpireCopy(envelope=ref(made), destination=destination)}


async def traced(fed: Federation, key: str, who: str = "ee/operator") -> trace.EnvelopeTrace:
    loaded = material.load_participant(fed.summary.config(who), fed.clock)
    response = await fetch(loaded, key, ask_others=False)
    return response.traces[0]


async def sent(fed: Federation, **fields: Any) -> pb.SignedEnvelope:
    made = fed.request(**fields)
    said = await fed.actor("ee/prosecutor").submit(made)
    assert code_of(said) is None
    return made


async def refused(code: ErrorCode, call: Any) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        await call
    assert raised.value.code is code, raised.value
    return raised.value


async def failed_once(fed: Federation, made: pb.SignedEnvelope) -> None:
    """Wait until an attempt has failed; only the store knows, and it cannot call."""
    async with asyncio.timeout(UNTIL_SECONDS):
        while not (await traced(fed, ref(made).id)).deliveries[0].last_error:
            await asyncio.sleep(0.02)


async def told_by(fed: Federation, made: pb.SignedEnvelope, milestone: pb.Milestone.ValueType) -> None:
    """Wait until Estonia has heard that of it."""
    query = "SELECT 1 FROM receipts WHERE id = ? AND milestone = ?"
    await until(lambda: bool(stores.rows(fed.store("ee"), query, ref(made).id, milestone)))


def offences(fed: Federation) -> list[Any]:
    """What breaks a promise, in a store that may be in use."""
    findings = fsck.check(fed.store("ee"), fed.directory, node="ee")
    return [finding for finding in findings if finding.failures]


def arrived(fed: Federation) -> list[str]:
    return [row[0] for row in stores.rows(fed.store("de"), "SELECT id FROM envelopes ORDER BY seq")]


async def test_held_node_gets_nothing_and_all_in_order_once_released_also_after_a_restart(fed: Federation) -> None:
    held = await act(fed, **hold())
    assert (held.state, held.asked_by, held.decided_by) == (DONE, "ee/operator", "")
    made = [await sent(fed) for _ in range(3)]
    await fed.stop("ee")
    await fed.start("ee")
    await fed.actors.pop("ee/prosecutor").channel.close()
    made.append(await sent(fed))
    # The way of a courier that has looked, and found nothing to take: what goes to France is not held.
    (copy,) = (await traced(fed, ref(made[-1]).id)).deliveries
    assert (copy.state, copy.attempts, arrived(fed)) == ("queued", 0, [])
    await act(fed, **release())
    items = await fed.actor("de/central-authority").collect(4)
    assert [item.envelope.header for item in items] == [each.header for each in made]


async def test_held_participant_collects_nothing_until_released(fed: Federation) -> None:
    made = await sent(fed)
    await fed.actor("ee/prosecutor").collect(1)
    await act(fed, "de/operator", **hold("de/central-authority"))
    assert await fed.actor("de/central-authority").waiting() == []
    collecting = asyncio.create_task(fed.actor("de/central-authority").collect(1))
    await act(fed, "de/operator", **release("de/central-authority"))
    (item,) = await collecting
    assert item.envelope.header == made.header


async def test_what_is_held_cannot_be_held_again_or_resent_and_what_is_not_cannot_be_released(fed: Federation) -> None:
    await refused(ErrorCode.ILLEGAL_TRANSITION, act(fed, **release()))
    await act(fed, **hold(), reason="first")
    made = await sent(fed)
    for what in (hold(), resend(made), resend(destination=DE)):
        error = await refused(ErrorCode.ILLEGAL_TRANSITION, act(fed, **what))
        assert error.detail.endswith("first")
    assert [each.action.WhichOneof("what") for each in await listed(fed)] == ["hold"]


@pytest.mark.file
async def test_nothing_is_held_where_nothing_goes(fed: Federation) -> None:
    for destination, code in (
        ("ee/node", ErrorCode.BAD_INPUT),
        ("de/court", ErrorCode.BAD_INPUT),
        ("fr/node", ErrorCode.NOT_FOUND),
        ("ee/nobody", ErrorCode.NOT_FOUND),
        ("EE/x!", ErrorCode.BAD_INPUT),
    ):
        await refused(code, act(fed, **hold(destination)))
    await refused(ErrorCode.BAD_INPUT, act(fed, reason="\x1b[2J", **hold()))
    await refused(ErrorCode.MALFORMED, act(fed, reason="", **hold()))
    for unseen in ("    ", "\u3164" * 3, "\u2800\u2800\u2800", "\u115f\u1160\uffa0", "\u0301\ufe0f\u034f"):
        await refused(ErrorCode.BAD_INPUT, act(fed, reason=unseen, **hold()))
    assert await listed(fed) == []


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1])
async def test_number_that_no_action_has_is_not_found(fed: Federation, number: int) -> None:
    await refused(ErrorCode.NOT_FOUND, decide(fed, number, True))
    done = await act(fed, **hold())
    for waiting in (False, True):
        assert await listed(fed, before=number, waiting=waiting) == ([] if waiting else [done])


async def test_resent_copy_arrives_at_once_though_its_pause_is_long(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"], delivery=LONG) as fed:
        first = await sent(fed)
        await failed_once(fed, first)
        second = await sent(fed)
        await fed.start("de")
        done = await act(fed, **resend(second), reason="de is back")
        # The first goes before the second in their case, so it is tried now as well.
        assert (done.state, done.touched) == (DONE, 2)
        items = await fed.actor("de/central-authority").collect(2)
        assert [item.envelope.header for item in items] == [first.header, second.header]
        (event,) = [each for each in (await traced(fed, ref(second).id)).events if each.name == "operator.resent"]
        assert (event.actor, event.detail) == ("ee/operator", "de is back")
        # The other country hears that it was done and by whom; why is for those of this one.
        abroad = material.load_participant(fed.summary.config("de/operator"), fed.clock)
        told = {each.node: each for each in (await fetch(abroad, ref(second).id, ask_others=True)).traces}
        (event,) = [each for each in told["ee"].events if each.name == "operator.resent"]
        assert (event.actor, event.detail) == ("ee/operator", "")


async def test_of_what_has_ended_resending_says_what_the_receipts_say(fed: Federation) -> None:
    made = await sent(fed)
    await fed.actor("de/central-authority").collect(1)
    await fed.actor("ee/prosecutor").collect(2)
    error = await refused(ErrorCode.ILLEGAL_TRANSITION, act(fed, **resend(made)))
    assert "delivered for de/node" in error.detail
    assert "accepted by de/node, delivered by de/node" in error.detail
    await refused(ErrorCode.NOT_FOUND, act(fed, **resend(fed.request())))


@pytest.mark.file
async def test_only_operators_of_this_node_act_and_auditors_of_it_read(fed: Federation) -> None:
    act_ = operations.ActRequest(action=operations.Action(reason="I want it", **hold()))
    calls = {
        "Act": act_,
        "DecideAction": operations.DecideActionRequest(number=1, approve=True),
        "TestConnection": operations.TestConnectionRequest(node="de"),
        "ListActions": operations.ListActionsRequest(),
    }
    for who in ("ee/exchange", "ee/prosecutor", "ee/auditor", "de/operator", "de/auditor"):
        for name, request in calls.items():
            if (who, name) != ("ee/auditor", "ListActions"):
                await refused(ErrorCode.NOT_PERMITTED, called(fed, who, name, request, fed.directory.node("ee")))
    node = material.load_node(fed.summary.config("de/node"), fed.clock)
    async with transport.channel_to(node.directory.node("ee"), node.directory.federation, node.identity) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await OperationsStub(channel).Act(act_, timeout=UNTIL_SECONDS)
    assert transport.error_of(raised.value).code is ErrorCode.NOT_PERMITTED
    assert await listed(fed) == []


async def test_what_cannot_be_undone_takes_a_second_operator_and_not_the_same_one(fed: Federation) -> None:
    await act(fed, **hold())
    made = await sent(fed)
    (story,) = tell([await traced(fed, ref(made).id)], fed.directory)
    assert [(each.name, each.second_operator) for each in story.possible] == [("release", False), ("expire", True)]
    asked = await act(fed, **expire(made), reason="sent by mistake")
    assert (asked.state, asked.decided_at_us) == (WAITING, 0)
    assert [each.number for each in await listed(fed, waiting=True)] == [asked.number]
    await refused(ErrorCode.FOUR_EYES, decide(fed, asked.number, approve=True, who="ee/operator"))
    await refused(ErrorCode.NOT_FOUND, decide(fed, 99, approve=True))
    assert (await traced(fed, ref(made).id)).deliveries[0].state == "queued"
    done = await decide(fed, asked.number, approve=True, reason="so it was")
    assert (done.state, done.decided_by, done.touched, done.decision_reason) == (DONE, "ee/operator-2", 1, "so it was")
    assert await listed(fed, waiting=True) == []
    await refused(ErrorCode.ILLEGAL_TRANSITION, decide(fed, asked.number, approve=True))
    # The sender hears it in signed words, and the trace tells who wanted it, and why.
    (item,) = await fed.actor("ee/prosecutor").collect(1)
    said = fed.actor("ee/prosecutor").said(item)
    assert (said.milestone, said.issuer, ErrorCode(said.code)) == (pb.MILESTONE_EXPIRED, "ee/node", ErrorCode.EXPIRED)
    told = await traced(fed, ref(made).id)
    assert [(each.name, each.actor, each.detail) for each in told.events if each.name.startswith("operator.")] == [
        ("operator.asked", "ee/operator", "sent by mistake"),
        ("operator.expired", "ee/operator", "sent by mistake (approved by ee/operator-2)"),
    ]
    assert told.deliveries[0].state == "expired"
    await act(fed, **release())
    await sent(fed)
    await fed.actor("de/central-authority").collect(1)
    assert ref(made).id not in arrived(fed)
    assert offences(fed) == []


async def test_only_what_never_left_and_is_of_this_node_is_ended(fed: Federation) -> None:
    made = await sent(fed)
    await fed.actor("ee/prosecutor").collect(1)
    error = await refused(ErrorCode.ILLEGAL_TRANSITION, act(fed, **expire(made)))
    assert "accepted by de/node" in error.detail
    # In Germany it waits for its recipient. Estonia would take nobody's word that it expired there before its time.
    await refused(ErrorCode.NOT_PERMITTED, act(fed, "de/operator", **expire(made, "de/central-authority")))
    (story,) = tell([await traced(fed, ref(made).id, "de/operator")], fed.directory)
    assert [each.name for each in story.possible] == ["ask"]
    await fed.actor("de/central-authority").collect(1, acknowledge=False)
    error = await refused(ErrorCode.ILLEGAL_TRANSITION, act(fed, "de/operator", **expire(made, "de/central-authority")))
    assert "only the answer of de/central-authority can tell" in error.detail
    await refused(ErrorCode.NOT_FOUND, act(fed, **expire(made, "ee/court")))
    assert await listed(fed) == []


async def test_what_was_approved_too_late_has_failed_and_is_recorded_so(fed: Federation) -> None:
    await act(fed, **hold())
    made = await sent(fed)
    asked = await act(fed, **expire(made))
    await act(fed, **release())
    await fed.actor("ee/prosecutor").collect(1)  # it is there
    failed = await decide(fed, asked.number, approve=True)
    assert (failed.state, ErrorCode(failed.error.code)) == (FAILED, ErrorCode.ILLEGAL_TRANSITION)
    assert [each.state for each in await listed(fed)] == [DONE, FAILED, DONE]
    events = {each.name: each for each in (await traced(fed, ref(made).id)).events}
    assert (events["operator.failed"].actor, events["operator.failed"].code) == ("ee/operator-2", failed.error.code)
    assert offences(fed) == []


async def test_rejected_taken_back_and_lapsed_actions_are_not_done(fed: Federation) -> None:
    asked = [await act(fed, drain=operations.DrainProcess()) for _ in range(3)]
    await refused(ErrorCode.BAD_INPUT, decide(fed, asked[0].number, approve=False))
    rejected = await decide(fed, asked[0].number, approve=False, reason="not now")
    assert (rejected.state, rejected.decided_by, rejected.decision_reason) == (REJECTED, "ee/operator-2", "not now")
    back = await decide(fed, asked[1].number, approve=False, reason="wrong node", who="ee/operator")
    assert (back.state, back.decided_by) == (REJECTED, "ee/operator")
    assert isinstance(fed.clock, Moved)
    fed.clock.ahead += timedelta(hours=24)
    states = {each.number: each.state for each in await listed(fed)}
    assert states[asked[2].number] == LAPSED
    for each in asked:
        await refused(ErrorCode.ILLEGAL_TRANSITION, decide(fed, each.number, approve=True))
    assert await listed(fed, waiting=True) == []
    told = await traced(fed, name_of(asked[0].number))
    assert [each.name for each in told.events] == ["operator.asked", "operator.rejected"]


async def test_all_of_a_destination_is_resent_but_for_what_is_outside_the_interval(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"], delivery=LONG, clock=Moved()) as fed:
        assert isinstance(fed.clock, Moved)
        store, made = fed.store("ee"), []
        for number in range(3):
            made.append(await sent(fed, case_id=f"EE-{number}"))
            fed.clock.ahead += timedelta(minutes=1)
        (middle,) = stores.rows(store, "SELECT recorded_at_us FROM envelopes WHERE id = ?", ref(made[1]).id)[0]
        await failed_once(fed, made[0])
        # As after a night of attempts: each waits for an hour.
        later = to_micros(fed.clock()) + 3_600_000_000
        stores.rows(store, "UPDATE deliveries SET next_attempt_at_us = ? WHERE destination = ?", later, DE)
        asked = await act(fed, **resend(destination=DE, from_us=middle, until_us=middle + 1))
        assert asked.state == WAITING
        await fed.start("de")
        done = await decide(fed, asked.number, approve=True)
        assert (done.state, done.touched) == (DONE, 1)
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope.header == made[1].header
        for each, names in zip(made, ([], ["operator.resent"], []), strict=True):
            told = await traced(fed, ref(each).id)
            assert [event.name for event in told.events if event.name.startswith("operator.")] == names
        assert stores.rows(store, "SELECT count(*) FROM deliveries WHERE next_attempt_at_us = ?", later) == [(2,)]
        await refused(ErrorCode.BAD_INPUT, act(fed, **resend(destination=DE, from_us=2, until_us=1)))


async def test_who_is_no_operator_any_more_has_wanted_nothing(fed: Federation) -> None:
    asked = await act(fed, drain=operations.DrainProcess())
    stores.rows(fed.store("ee"), "UPDATE actions SET asked_by = 'ee/exchange' WHERE seq = ?", asked.number)
    await refused(ErrorCode.FOUR_EYES, decide(fed, asked.number, approve=True))


async def test_the_way_to_another_node_is_tried_for_operators(fed: Federation) -> None:
    response = await called(fed, "ee/operator", "TestConnection", operations.TestConnectionRequest(node="de"))
    assert {each.passed for each in response.checks} == {True}, response
    await fed.stop("de")
    response = await called(fed, "ee/operator", "TestConnection", operations.TestConnectionRequest(node="de"))
    assert [each.name for each in response.checks if each.tried and not each.passed] == ["tcp"]
    status, out, err = await finished("operate", "test", "de", "--config", str(fed.summary.config("ee/operator")))
    assert (status, "FAILED" in out) == (1, True), err


async def test_one_operator_is_enough_where_the_settings_say_so(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=(), delivery=LONG) as fed:
        settings = fed.summary.config("ee/node")
        settings.write_text(settings.read_text() + "\n[operations]\napprovals = 1\n")
        await fed.start("ee")
        await act(fed, **hold())
        made = await sent(fed)
        done = await act(fed, **expire(made))
        assert (done.state, done.decided_by, done.touched) == (DONE, "", 1)
        assert offences(fed) == []


async def test_other_processes_on_the_same_store_honour_a_hold_and_a_release(fed: Federation) -> None:
    prosecutor = fed.actor("ee/prosecutor")
    async with (
        beside(fed) as (_, entry),
        transport.channel_to(entry, fed.directory.federation, prosecutor.loaded.identity) as channel,
    ):
        there = Actor(prosecutor.loaded, fed.clock)
        await there.channel.close()
        there.channel = channel
        await act(fed, **hold("ee/prosecutor"))
        made = await sent(fed)
        await fed.actor("de/central-authority").collect(1)
        await told_by(fed, made, pb.MILESTONE_DELIVERED)
        assert await there.waiting() == []
        collecting = asyncio.create_task(there.collect(1))
        await act(fed, **release("ee/prosecutor"))
        (item,) = await collecting
    assert prosecutor.said(item).envelope == ref(made)


@pytest.mark.parametrize("approve", [True, False])
async def test_approval_is_of_the_action_that_was_shown_and_of_no_other_with_its_number(
    fed: Federation, approve: bool
) -> None:
    asked = await act(fed, drain=operations.DrainProcess())
    (shown,) = await listed(fed)
    assert shown.digest == asked.digest != b""

    def request(digest: bytes) -> operations.DecideActionRequest:
        return operations.DecideActionRequest(number=asked.number, approve=approve, reason="as agreed", digest=digest)

    for other in (bytes(8), shown.digest[:7]):
        with pytest.raises(Refusal) as caught:
            await called(fed, "ee/operator-2", "DecideAction", request(other))
        assert (caught.value.code, caught.value.field) == (ErrorCode.NOT_FOUND, "digest")
    await called(fed, "ee/operator-2", "DecideAction", request(shown.digest))
    again = await act(fed, drain=operations.DrainProcess())
    assert again.digest not in {b"", asked.digest}  # the same again is another one
    (*_, ended) = await listed(fed)
    assert (ended.state, ended.digest) == (DONE if approve else operations.ACTION_STATE_REJECTED, asked.digest)


async def test_the_process_that_was_named_is_drained_whoever_takes_the_approval(fed: Federation) -> None:
    async with beside(fed) as (second, entry):
        asked = await act(fed, drain=operations.DrainProcess())
        request = operations.DecideActionRequest(number=asked.number, approve=True)
        done = await called(fed, "ee/operator-2", "DecideAction", request, entry)
        assert (done.recorded.state, done.recorded.action) == (DONE, asked.action)
        async with asyncio.timeout(UNTIL_SECONDS):
            await fed.nodes["ee"].drained()
        assert not second._drained.is_set()


@pytest.mark.file
async def test_an_approved_drain_ends_the_process_with_0_after_its_answer(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed", start=("ee",)) as nodes:
        config = [str(nodes.fed.summary.config(f"ee/{name}")) for name in ("operator", "operator-2")]
        status, out, err = await finished("operate", "drain", "--reason", "new kernel", "--json", "--config", config[0])
        assert (status, json.loads(out)["state"]) == (0, "waiting"), err
        status, out, err = await finished("operate", "approve", "1", "--config", config[0])
        assert (status, "FOUR_EYES" in err) == (2, True)
        status, out, err = await finished("operate", "approve", "1", "--json", "--config", config[1])
        assert (status, json.loads(out)["state"], json.loads(out)["asked_by"]) == (0, "done", "ee/operator"), err
        async with asyncio.timeout(UNTIL_SECONDS):
            assert await nodes.running["ee"].process.wait() == 0


@pytest.mark.file
async def test_the_command_acts_and_shows_what_was_done(fed: Federation) -> None:
    config = ("--config", str(fed.summary.config("ee/operator")))
    made = await sent(fed, case_id="EE-9")
    for arguments, code in (
        (("hold", DE, "--reason", "why not"), 0),
        (("hold", DE, "--reason", "again"), 2),
        (("release", DE, "--reason", "so be it"), 0),
        (("resend", "--reason", "of what?"), 2),
        (("expire", ref(made).id, "--to", "ee/court", "--reason", "it goes elsewhere"), 2),
    ):
        status, _, err = await finished("operate", *arguments, *config)
        assert status == code, err
    status, out, err = await finished("operate", "list", *config)
    assert status == 0, err
    assert [line.split()[2] for line in out.splitlines()] == ["ACTION", "release", "hold"]
