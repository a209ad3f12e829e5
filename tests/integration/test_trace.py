"""`rogatory trace`, against real nodes: where is it, why, who acts next, and is what is said of it proven."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import operations_pb2 as operations
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.operations_pb2_grpc import OperationsStub
from rogatory.v1.relay_pb2_grpc import RelayStub
from rogatory.v1.trace_pb2_grpc import TraceStub

from gateway import envelope, material, transport
from gateway import story as story_of
from gateway.cli import trace as cli_trace
from gateway.cli.trace import fetch, fetch_overdue
from gateway.clock import system_clock
from gateway.config import Limits
from gateway.doors import relay as relay_door
from gateway.doors.trace import MAX_TOLD_BYTES, shared_trace
from gateway.errors import ErrorCode, GatewayError
from gateway.identity import Address
from gateway.statement import issue
from gateway.store import reader
from gateway.story import Story, Told, tell, why
from tests import stores
from tests.federation import UNTIL_SECONDS, Federation, federation, ref
from tests.processes import finished

pytestmark = pytest.mark.integration

BLOCK = (ids.MEASURE_BLOCK_WITHDRAWAL,)
# In the order of the path.
STAGES = [
    "envelope.received",
    "peer.authenticated",
    "action.permitted",
    "envelope.verified",
    "step.lawful",
    "envelope.recorded",
    "delivery.queued",
    "receipt.issued",
    "envelope.accepted",
]


@pytest.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed") as made:
        yield made


def id_of(made: pb.SignedEnvelope) -> str:
    return ref(made).id


async def asked(
    fed: Federation, key: str, *, operator: str = "ee/operator", ask_others: bool = True
) -> trace.GetTraceResponse:
    return await fetch(material.load_participant(fed.summary.config(operator)), key, ask_others=ask_others)


async def told(fed: Federation, key: str, *, ask_others: bool = True) -> list[Story]:
    response = await asked(fed, key, ask_others=ask_others)
    assert not response.silent
    return tell(response.traces, fed.directory)


async def crossed(fed: Federation, made: pb.SignedEnvelope) -> None:
    """Submit and wait until ee knows that it was delivered."""
    await fed.actor("ee/prosecutor").submit(made)
    await fed.actor("de/central-authority").collect(1)
    await fed.actor("ee/prosecutor").collect(2)


async def failed_once(fed: Federation, made: pb.SignedEnvelope) -> trace.EnvelopeTrace:
    """Wait for an attempt to have failed; the store is the only one who knows, and it cannot call."""
    async with asyncio.timeout(UNTIL_SECONDS):
        while True:
            response = await asked(fed, id_of(made), ask_others=False)
            if response.traces[0].deliveries[0].last_error:
                return response.traces[0]
            await asyncio.sleep(0.02)


async def between_attempts(fed: Federation, made: pb.SignedEnvelope) -> trace.GetTraceResponse:
    """Wait for an attempt to have failed and the next not to have begun; return what both nodes tell."""
    async with asyncio.timeout(UNTIL_SECONDS):
        while True:
            response = await asked(fed, id_of(made))
            (copy,) = response.traces[0].deliveries
            if copy.last_error and copy.state == "queued":
                return response


async def test_delivered_request_shows_all_stages_at_both_nodes_in_order(fed: Federation) -> None:
    made = fed.request()
    await crossed(fed, made)
    (story,) = await told(fed, id_of(made))
    assert [node.node for node in story.nodes] == ["ee", "de"]
    for node in story.nodes:
        events = [event.name for event in node.events]
        assert events[: len(STAGES)] == STAGES
        assert [event.at_us for event in node.events] == sorted(event.at_us for event in node.events)
    ee, de = ([event.name for event in node.events] for node in story.nodes)
    assert ee[len(STAGES) :] == ["delivery.delivered", "envelope.delivered"]
    assert de[len(STAGES) :] == ["envelope.delivered"]


async def test_delivered_request_shows_receipts_of_both_sides_and_all_hold(fed: Federation) -> None:
    made = fed.request()
    await crossed(fed, made)
    (story,) = await told(fed, id_of(made))
    found = {(proof.name, proof.said.issuer): proof for proof in story.proofs}
    assert set(found) == {("accepted", "ee/node"), ("accepted", "de/node"), ("delivered", "de/node")}
    assert not [proof.error for proof in story.proofs if proof.error]
    assert set(found["delivered", "de/node"].held_by) == {"ee", "de"}
    assert set(found["accepted", "ee/node"].held_by) == {"ee"}
    assert story.situation == "delivered to de/central-authority, which acts next"


async def test_what_is_collected_and_not_acknowledged_waits_for_its_recipient(fed: Federation) -> None:
    made = fed.request()
    await fed.actor("ee/prosecutor").submit(made)
    await fed.actor("ee/prosecutor").collect(1)
    (story,) = await told(fed, id_of(made))
    assert story.situation.startswith("in the mailbox of de/central-authority at node de;")
    assert story.situation.endswith("de/central-authority acts next")


async def test_while_the_other_node_is_down_the_trace_says_where_it_waits_why_and_who_acts(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        made = fed.request()
        await fed.actor("ee/prosecutor").submit(made)
        await failed_once(fed, made)
        response = await asked(fed, id_of(made))
        (copy,) = response.traces[0].deliveries
        assert copy.destination == "de/node"
        assert copy.state in {"queued", "delivering"}  # it is tried again all the time
        assert copy.attempts >= 1
        assert copy.last_error.startswith("UNAVAILABLE")
        assert copy.acts_next
        assert [silent.node for silent in response.silent] == ["de"]
        assert ErrorCode(response.silent[0].error.code) is ErrorCode.UNAVAILABLE
        (story,) = tell(response.traces, fed.directory)
        assert f"{copy.state} at node ee for de/node" in story.situation
        assert "last error UNAVAILABLE" in story.situation
        failures = [event for event in response.traces[0].events if event.name == "delivery.failed"]
        assert failures
        assert {ErrorCode(event.code) for event in failures} == {ErrorCode.UNAVAILABLE}


async def test_refused_envelope_tells_its_code_and_that_its_sender_acts_next(fed: Federation) -> None:
    made = fed.request(instrument="a-treaty-of-dreams")
    await fed.actor("ee/prosecutor").submit(made)
    (story,) = await told(fed, id_of(made))
    (last,) = [event for event in story.nodes[0].events if event.name == "envelope.refused"]
    assert ErrorCode(last.code) is ErrorCode.NO_LEGAL_BASIS
    assert [event.name for event in story.nodes[0].events][:4] == STAGES[:4], "it passed these, and no more"
    assert [(proof.name, ErrorCode(proof.said.code), proof.error) for proof in story.proofs] == [
        ("refused", ErrorCode.NO_LEGAL_BASIS, "")
    ]
    assert story.situation == "never accepted; the sender acts next"


async def test_case_lists_every_envelope_of_it_and_no_other(fed: Federation) -> None:
    made = [fed.request(case_id="EE-7") for _ in range(3)]
    for each in (*made, fed.request(case_id="EE-8")):
        await fed.actor("ee/prosecutor").submit(each)
    assert [story.ref.id for story in await told(fed, "EE-7", ask_others=False)] == [id_of(each) for each in made]


async def test_case_of_many_envelopes_is_told_whole_within_the_calls_that_the_other_node_allows(
    tmp_path: Path,
) -> None:
    """The courier's stream is one of the two calls at once."""
    async with federation(tmp_path / "fed", limits=Limits(max_streams_per_peer=2)) as fed:
        made = [fed.request(case_id="EE-7") for _ in range(40)]
        await fed.actor("ee/prosecutor").submit_frame(made)
        await fed.actor("ee/prosecutor").collect(40)
        stories = await told(fed, "EE-7")
        assert [len(story.nodes) for story in stories] == [2] * 40


async def test_case_of_more_than_is_told_at_once_says_so(
    fed: Federation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert story_of.MAX_TOLD == reader.MAX_TRACED
    for module, name in ((cli_trace, "MAX_TOLD"), (reader, "MAX_TRACED")):
        monkeypatch.setattr(module, name, 2)
    made = [fed.request(case_id="EE-7") for _ in range(3)]
    await fed.actor("ee/prosecutor").submit_frame(made)
    cli_trace._show_stories(await asked(fed, "EE-7"), fed.directory, as_json=False)
    assert "these are the oldest 2 envelopes" in capsys.readouterr().out
    cli_trace._show_stories(await asked(fed, id_of(made[0])), fed.directory, as_json=True)
    assert json.loads(capsys.readouterr().out)["oldest_only"] is False


async def test_case_whose_envelopes_were_refused_again_and_again_fits_into_an_answer(fed: Federation) -> None:
    made = [fed.request(case_id="EE-7") for _ in range(16)]
    await fed.actor("ee/prosecutor").submit_frame(made)
    connection = stores.connect(fed.store("ee"))
    connection.execute(
        "INSERT INTO events (at_us, sender, envelope_id, name, actor, destination, code, detail, stages)"
        " SELECT 1, e.sender, e.id, 'envelope.refused', e.sender, '', 1, '', '' FROM envelopes e, events"
        " CROSS JOIN (SELECT 1 FROM envelopes)"
    )
    connection.close()
    response = await asked(fed, "EE-7", ask_others=False)
    assert sum(one.name == "envelope.refused" for each in response.traces for one in each.events) <= 16 * 128
    assert all(each.events[0].name == "envelope.received" for each in response.traces)


async def test_what_strangers_try_under_a_name_hides_nothing_and_is_told_to_no_other_node(fed: Federation) -> None:
    made = fed.request()
    row = f"(1, 'ee/prosecutor', '{id_of(made)}', 'envelope.refused', 'ee/exchange', '', 20, '', '')"
    names = "(at_us, sender, envelope_id, name, actor, destination, code, detail, stages)"

    async def flood() -> None:
        with pytest.raises(AssertionError, match="NOT_PERMITTED"):
            await fed.actor("ee/exchange").submit(made)
        many = ", ".join([row] * 600)
        stores.rows(fed.store("ee"), f"INSERT INTO events {names} VALUES {many} RETURNING seq")

    await flood()
    await crossed(fed, made)
    await flood()
    (here,) = [one for one in (await asked(fed, id_of(made))).traces if one.node == "ee"]
    assert {"envelope.accepted", "delivery.delivered", "envelope.delivered"} <= {one.name for one in here.events}
    assert "ee/exchange" in {one.actor for one in here.events}
    abroad = relay.TraceBetweenRequest(envelope_id=id_of(made))
    (there,) = (await fed.node_relay("de", "ee").TraceBetween(abroad, timeout=UNTIL_SECONDS)).traces
    assert "envelope.accepted" in {one.name for one in there.events}
    assert "ee/exchange" not in {one.actor for one in there.events}


async def test_what_a_line_broke_on_is_told_to_no_other_node(fed: Federation) -> None:
    await fed.stop("de")
    made = fed.request()
    await fed.actor("ee/prosecutor").submit(made)
    here = await failed_once(fed, made)
    assert "connect" in here.deliveries[0].last_error
    abroad = relay.TraceBetweenRequest(envelope_id=id_of(made))
    (told,) = (await fed.node_relay("de", "ee").TraceBetween(abroad, timeout=UNTIL_SECONDS)).traces
    assert told.deliveries[0].last_error == "UNAVAILABLE"
    failed = [one for one in told.events if one.name == "delivery.failed"]
    assert {(int(one.code), one.detail) for one in failed} == {(ErrorCode.UNAVAILABLE, "")}


async def test_key_that_no_store_can_hold_is_refused(fed: Federation) -> None:
    with pytest.raises(GatewayError) as caught:
        await asked(fed, "EE\0")
    assert (caught.value.code, caught.value.field) == (ErrorCode.MALFORMED, "key")


async def test_unknown_key_is_not_found(fed: Federation) -> None:
    with pytest.raises(GatewayError) as caught:
        await asked(fed, "EE-nothing")
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_other_node_learns_nothing_of_a_domestic_order_or_by_a_case_id(fed: Federation) -> None:
    """Only what went between the two is told, and only by the envelope's own name."""
    court = fed.actor("de/court")
    order = court.compose(ids.KIND_DOMESTIC_ORDER, "de/exchange", measures=BLOCK, case_id="DE-1")
    await court.submit(order)  # refused, but its trace is there
    draft = fed.actor("de/prosecutor").compose(ids.KIND_DRAFT, "de/central-authority", measures=BLOCK, case_id="DE-1")
    assert (await fed.actor("de/prosecutor").submit(draft)).milestone == pb.MILESTONE_ACCEPTED
    stub = fed.node_relay("ee", "de")
    for made in (order, draft):
        answer = await stub.TraceBetween(relay.TraceBetweenRequest(envelope_id=id_of(made)), timeout=UNTIL_SECONDS)
        assert not answer.traces
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.TraceBetween(relay.TraceBetweenRequest(envelope_id="DE-1"), timeout=UNTIL_SECONDS)
    assert transport.error_of(caught.value).code is ErrorCode.MALFORMED


async def test_case_named_like_an_envelope_does_not_open_other_envelopes_to_the_other_node(fed: Federation) -> None:
    made = fed.request()
    await crossed(fed, made)
    draft = fed.actor("de/prosecutor").compose(
        ids.KIND_DRAFT, "de/central-authority", measures=BLOCK, case_id=id_of(made)
    )
    await fed.actor("de/prosecutor").submit(draft)
    answer = await fed.node_relay("ee", "de").TraceBetween(
        relay.TraceBetweenRequest(envelope_id=id_of(made)), timeout=10
    )
    assert [one.envelope.id for one in answer.traces] == [id_of(made)]


async def test_participant_may_not_ask_between_nodes(fed: Federation) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await RelayStub(fed.actor("de/central-authority").channel).TraceBetween(
            relay.TraceBetweenRequest(envelope_id=id_of(fed.request())), timeout=10
        )
    assert transport.error_of(caught.value).code is ErrorCode.NOT_PERMITTED


async def test_operator_of_another_country_may_not_ask_this_node(fed: Federation) -> None:
    made = fed.request()
    await crossed(fed, made)
    foreign = material.load_participant(fed.summary.config("de/operator"))
    channel = transport.channel_to(fed.directory.node("ee"), fed.directory.federation, foreign.identity)
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await TraceStub(channel).GetTrace(trace.GetTraceRequest(key=id_of(made)), timeout=UNTIL_SECONDS)
    assert transport.error_of(caught.value).code is ErrorCode.NOT_PERMITTED


def forge(fed: Federation, made: pb.SignedEnvelope) -> None:
    """Put into ee's store what de never said, and sign it with a key of one's own."""
    connection = stores.connect(fed.store("ee"))
    try:
        (raw, signed), *_ = connection.execute("SELECT statement, signature FROM receipts ORDER BY seq").fetchall()
        said = pb.Statement.FromString(raw)
        said.milestone, said.issuer, said.recipient = pb.MILESTONE_DECIDED, "de/node", "de/central-authority"
        (receipt,) = issue([said], Address.of_node("de"), SigningKey.generate())
        assert signed
        connection.execute(
            "INSERT INTO receipts (seq, sender, id, milestone, issuer, recipient, at_us, digest, statement, signature)"
            " SELECT max(seq) + 1, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM receipts",
            (
                said.envelope.sender,
                said.envelope.id,
                said.milestone,
                said.issuer,
                said.recipient,
                said.at_us,
                b"any",
                receipt.statement,
                receipt.signature.SerializeToString(),
            ),
        )
    finally:
        connection.close()


async def test_receipt_forged_into_the_store_is_shown_as_not_holding_and_changes_no_situation(
    fed: Federation,
) -> None:
    made = fed.request()
    await crossed(fed, made)
    forge(fed, made)
    (story,) = await told(fed, id_of(made))
    (forged,) = [proof for proof in story.proofs if proof.name == "decided"]
    assert forged.error
    assert story.situation == "delivered to de/central-authority, which acts next"


async def test_garbage_for_a_receipt_in_the_store_does_not_blind_the_operator(fed: Federation) -> None:
    made = fed.request()
    await crossed(fed, made)
    forge(fed, made)
    connection = stores.connect(fed.store("ee"))
    connection.execute("UPDATE receipts SET statement = ? WHERE digest = ?", (b"\xff\xff\xff", b"any"))
    connection.close()
    (story,) = await told(fed, id_of(made))
    assert len([proof for proof in story.proofs if proof.error]) == 1
    assert len([proof for proof in story.proofs if not proof.error]) == 3


async def test_each_line_says_whether_it_was_told_here_live_or_in_a_receipt_and_what_proves_it(fed: Federation) -> None:
    made = fed.request()
    await crossed(fed, made)
    (story,) = await told(fed, id_of(made))
    assert {(line.node, line.told) for line in story.lines} == {("ee", Told.HERE), ("de", Told.LIVE)}
    proven = {(line.node, line.event.name) for line in story.lines if line.proof and not line.proof.error}
    assert {("ee", "envelope.accepted"), ("de", "envelope.accepted"), ("de", "envelope.delivered")} <= proven
    assert not story.waits
    assert not story.possible
    # Nobody else is asked: what de has signed lies here, and is marked as that.
    (story,) = await told(fed, id_of(made), ask_others=False)
    signed = [(line.node, line.event.name) for line in story.lines if line.told is Told.SIGNED]
    assert signed == [("de", "envelope.accepted")]
    assert {line.node for line in story.lines if line.told is Told.HERE} == {"ee"}


async def test_stuck_request_says_why_it_waits_and_what_can_be_done_by_whom(fed: Federation) -> None:
    await fed.stop("de")
    made = fed.request()
    await fed.actor("ee/prosecutor").submit(made)
    response = await between_attempts(fed, made)
    (story,) = tell(response.traces, fed.directory, response.silent)
    (wait,) = story.waits
    assert (wait.node, wait.copy.destination) == ("ee", "de/node")
    assert "has certainly not arrived" in wait.why
    failed = [line for line in story.lines if line.event.name == "delivery.failed"]
    assert sum(line.times for line in failed) == wait.copy.attempts  # many alike are one line
    assert len({line.event.detail for line in failed}) == len(failed)
    assert story.silent == ("de",)
    assert [(each.name, each.subject, each.second_operator) for each in story.possible] == [
        ("test", "de", False),
        ("resend", "de/node", False),
        ("hold", "de/node", False),
        ("ask", "de/node", False),
        ("expire", "de/node", True),
    ]
    loaded = material.load_participant(fed.summary.config("ee/operator"))
    async with transport.channel_to(loaded.node, loaded.directory.federation, loaded.identity) as channel:
        hold = operations.Action(reason="de moves", hold=operations.HoldDestination(destination="de/node"))
        release = operations.Action(reason="moved", release=operations.ReleaseDestination(destination="de/node"))
        await OperationsStub(channel).Act(operations.ActRequest(action=hold), timeout=UNTIL_SECONDS)
        # One that was under way when the hold came ends first.
        (story,) = tell((await between_attempts(fed, made)).traces, fed.directory)
        assert story.waits[0].why == "ee/operator holds all that goes to de/node: de moves"
        assert story.waits[0].copy.acts_next == "ee/operator"
        assert [(each.name, each.subject) for each in story.possible] == [("release", "de/node"), ("expire", "de/node")]
        await OperationsStub(channel).Act(operations.ActRequest(action=release), timeout=UNTIL_SECONDS)
    # It has arrived, and lies in the mailbox there: nobody can do anything but ask its owner.
    await fed.start("de")
    await fed.actor("ee/prosecutor").collect(1)
    (story,) = await told(fed, id_of(made))
    assert [(each.name, each.subject) for each in story.possible] == [("ask", "de/central-authority")]
    assert [(each.node, each.copy.destination) for each in story.waits] == [("de", "de/central-authority")]


async def test_command_prints_one_json_object_with_timeline_and_proofs(fed: Federation) -> None:
    made = fed.request()
    await crossed(fed, made)
    status, out, err = await finished(
        "trace", id_of(made), "--config", str(fed.summary.config("ee/operator")), "--json"
    )
    assert (status, err) == (0, "")
    shown = json.loads(out)
    assert shown["silent"] == []
    (one,) = shown["envelopes"]
    assert (one["id"], one["kind"], one["case_id"]) == (id_of(made), "freeze-request", "EE-1")
    assert [event["event"] for event in one["timeline"] if event["node"] == "de"][: len(STAGES)] == STAGES
    assert {receipt["verified"] for receipt in one["receipts"]} == {True}
    assert {(event["node"], event["told"]) for event in one["timeline"]} == {("ee", "here"), ("de", "live")}
    assert one["waits"] == one["possible"] == []
    assert {copy["state"] for copy in one["deliveries"]} == {"delivered"}


async def test_command_that_is_refused_says_so_as_json_and_with_status_2(fed: Federation) -> None:
    status, out, _ = await finished("trace", "EE-none", "--config", str(fed.summary.config("ee/operator")), "--json")
    assert status == 2
    assert json.loads(out)["error"]["code"] == ErrorCode.NOT_FOUND.name


async def test_case_shows_where_each_matter_stands_who_acts_next_and_until_when(fed: Federation) -> None:
    made = fed.request(urgency=ids.URGENCY_URGENT)
    await crossed(fed, made)
    referral = fed.actor("de/central-authority").compose(
        ids.KIND_REVIEW_REFERRAL, "de/court", cites=(ref(made),), measures=BLOCK, case_id="DE-1"
    )
    assert (await fed.actor("de/central-authority").submit(referral)).milestone == pb.MILESTONE_ACCEPTED
    (ours,) = (await asked(fed, id_of(made), operator="de/operator", ask_others=False)).traces
    assert (ours.state, ours.acts_next_in_matter) == ("asked", "de/central-authority")
    (clock,) = ours.clocks
    assert (clock.matter, clock.rule, clock.stage) == (ref(made), measures.CLOCK_RULE_URGENT_DECISION, "running")
    (below,) = (await asked(fed, "DE-1", operator="de/operator", ask_others=False)).traces
    assert (below.state, below.acts_next_in_matter) == ("asked", "de/court")


async def test_limit_that_was_kept_is_no_longer_shown(fed: Federation) -> None:
    urgent: dict[str, Any] = {"measures": BLOCK, "urgency": ids.URGENCY_URGENT}
    granted: dict[str, Any] = {
        "outcome": ids.OUTCOME_GRANTED,
        "dual_criminality": ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED,
    }
    authority, court = fed.actor("de/central-authority"), fed.actor("de/court")
    made = fed.request(**urgent)
    await crossed(fed, made)
    referral = authority.compose(ids.KIND_REVIEW_REFERRAL, court.address, cites=(ref(made),), case_id="DE-1", **urgent)
    decision = court.compose(
        ids.KIND_REVIEW_DECISION, authority.address, cites=(ref(referral),), case_id="DE-1", **urgent, **granted
    )
    notice = authority.compose(
        ids.KIND_REVIEW_DECISION,
        "ee/prosecutor",
        cites=(ref(made),),
        case_id="EE-1",
        instrument="eu-2018-1805",
        **urgent,
        **granted,
    )
    for actor, step in ((authority, referral), (court, decision), (authority, notice)):
        assert (await actor.submit(step)).milestone == pb.MILESTONE_ACCEPTED
    told_of = (await asked(fed, id_of(made), operator="de/operator", ask_others=False)).traces[0]
    assert told_of.state == "granted"
    assert [clock.rule for clock in told_of.clocks] == [measures.CLOCK_RULE_URGENT_EXECUTION]


async def test_what_opens_no_matter_has_no_state(fed: Federation) -> None:
    made = fed.request(instrument="a-treaty-of-dreams")
    await fed.actor("ee/prosecutor").submit(made)
    (refused,) = (await asked(fed, id_of(made), ask_others=False)).traces
    assert (refused.state, refused.acts_next_in_matter, list(refused.clocks)) == ("", "", [])


async def test_other_node_does_not_tell_where_its_own_matters_stand(fed: Federation) -> None:
    made = fed.request(urgency=ids.URGENCY_URGENT)
    await crossed(fed, made)
    here, there = (await asked(fed, id_of(made))).traces
    assert (here.node, here.state) == ("ee", "asked")
    assert (there.node, there.state, list(there.clocks)) == ("de", "", [])


async def test_other_node_does_not_tell_who_else_asks_for_the_same_target(fed: Federation) -> None:
    """It is said to the recipient alone (2018/1805 Art. 26): the word names the requests of others."""
    token = bytes(range(32))
    first, second = (fed.request(case_id=f"EE-{n}", target_tokens=(token,)) for n in range(2))
    for made in (first, second):
        await fed.actor("ee/prosecutor").submit(made)
    await fed.actor("de/central-authority").collect(3)
    (at_home,) = (await asked(fed, id_of(second), operator="de/operator", ask_others=False)).traces
    competing = {pb.Statement.FromString(each.statement).milestone for each in at_home.receipts}
    assert pb.MILESTONE_COMPETING in competing
    assert "envelope.competing" in {event.name for event in at_home.events}
    asked_abroad = relay.TraceBetweenRequest(envelope_id=id_of(second))
    (abroad,) = (await fed.node_relay("ee", "de").TraceBetween(asked_abroad, timeout=UNTIL_SECONDS)).traces
    assert id_of(first).encode() not in abroad.SerializeToString()
    assert "envelope.competing" not in {event.name for event in abroad.events}
    assert abroad.events


async def test_garbage_in_the_store_does_not_keep_the_other_node_from_telling(fed: Federation) -> None:
    made = fed.request()
    await crossed(fed, made)
    connection = stores.connect(fed.store("de"))
    connection.execute("UPDATE receipts SET statement = ? WHERE milestone = ?", (b"\xff", pb.MILESTONE_DELIVERED))
    connection.close()
    assert [one.node for one in (await asked(fed, id_of(made))).traces] == ["ee", "de"]


async def test_test_order_that_was_reported_on_waits_for_nobody(fed: Federation) -> None:
    case_id = f"TEST-{0:032x}"
    registrar, exchange = fed.actor("de/registrar"), fed.actor("de/exchange")
    order = registrar.compose(ids.KIND_TEST_ORDER, "de/exchange", case_id=case_id)
    assert (await registrar.submit(order)).milestone == pb.MILESTONE_ACCEPTED
    await exchange.collect(1)
    waits = tell((await asked(fed, id_of(order), operator="de/operator")).traces, fed.directory)[0]
    assert waits.situation == "delivered to de/exchange, which acts next"
    report = exchange.compose(ids.KIND_TEST_REPORT, "de/registrar", cites=(ref(order),), case_id=case_id)
    assert (await exchange.submit(report)).milestone == pb.MILESTONE_ACCEPTED
    done = tell((await asked(fed, id_of(order), operator="de/operator")).traces, fed.directory)[0]
    assert done.situation == "delivered to de/exchange; nobody acts next"
    assert done.matter is not None
    assert done.matter.state == "closed"


class Ahead:
    """Time that goes on by itself, and that a test moves ahead."""

    def __init__(self) -> None:
        self.by = timedelta()

    def __call__(self) -> datetime:
        return system_clock() + self.by


async def test_what_is_overdue_is_shown_oldest_first_with_what_is_open(tmp_path: Path) -> None:
    clock = Ahead()
    async with federation(tmp_path / "fed", clock=clock) as fed:
        operator = material.load_participant(fed.summary.config("de/operator"))
        before = await fetch_overdue(operator)
        assert (list(before.clocks), list(before.open_matters)) == ([], [])
        for number in range(2):
            made = fed.request(urgency=ids.URGENCY_URGENT, case_id=f"EE-{number}")
            await fed.actor("ee/prosecutor").submit(made)
        await fed.actor("de/central-authority").collect(2)
        assert not (await fetch_overdue(operator)).clocks
        clock.by = timedelta(days=5)
        await fed.actor("de/central-authority").collect(2)  # whoever was asked is told of each
        late = await fetch_overdue(operator)
        assert [one.stage for one in late.clocks] == ["overdue", "overdue"]
        assert [one.due_us for one in late.clocks] == sorted(one.due_us for one in late.clocks)
        assert [(one.state, one.count) for one in late.open_matters] == [("asked", 2)]
        assert not late.more
        status, out, err = await finished(
            "trace", "--overdue", "--config", str(fed.summary.config("de/operator")), "--json"
        )
        assert (status, err) == (0, "")
        shown = json.loads(out)
        assert shown["open_matters"] == {"asked": 2}
        assert {one["rule"] for one in shown["overdue"]} == {"urgent-decision"}


@pytest.mark.parametrize("who", ["ee/exchange", "ee/auditor", "ee/court", "de/operator"])
async def test_nobody_but_an_operator_of_the_node_hears_what_is_overdue(fed: Federation, who: str) -> None:
    identity = material.load_participant(fed.summary.config(who)).identity
    async with transport.channel_to(fed.directory.node("ee"), fed.directory.federation, identity) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await TraceStub(channel).GetOverdue(trace.GetOverdueRequest(), timeout=UNTIL_SECONDS)
    assert transport.error_of(caught.value).code is ErrorCode.NOT_PERMITTED


async def test_command_wants_an_id_or_overdue_and_not_both(fed: Federation) -> None:
    for arguments in ((), ("EE-1", "--overdue")):
        config = str(fed.summary.config("ee/operator"))
        status, out, _ = await finished("trace", *arguments, "--config", config, "--json")
        assert status == 2
        assert json.loads(out)["error"]["code"] == ErrorCode.BAD_INPUT.name


# The other node lies.


Lie = Callable[[trace.EnvelopeTrace], None]


@pytest.fixture
def lied_to(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> Callable[[Lie], None]:
    """Have a node tell another something else than what is so."""

    def lie_with(lie: Lie) -> None:
        def shared(*of: Any) -> trace.EnvelopeTrace:
            told = shared_trace(*of)
            lie(told)
            return told

        monkeypatch.setattr(relay_door, "shared_trace", shared)

    return lie_with


async def test_other_node_that_tells_too_much_does_not_cost_the_operator_what_this_one_knows(
    fed: Federation, lied_to: Callable[[Lie], None]
) -> None:
    made = [fed.request() for _ in range(3)]
    for each in made:
        await fed.actor("ee/prosecutor").submit(each)
    await fed.actor("de/central-authority").collect(3)
    case_id = envelope.parse_header(made[0]).case_id
    long = [trace.TraceEvent(name="x", at_us=1, detail="y" * 1000)] * 4_000
    short = [trace.TraceEvent()] * 100_000
    for much in (long, short):
        lied_to(lambda told, much=much: told.events.extend(much))  # type: ignore[misc]
        response = await asked(fed, case_id)
        assert [one.node for one in response.traces].count("ee") == 3
        (silent,) = response.silent
        assert (silent.node, int(silent.error.code)) == ("de", ErrorCode.TOO_LARGE)
        assert response.ByteSize() < MAX_TOLD_BYTES + (1 << 20)


async def test_where_a_matter_stands_is_no_word_of_the_other_node(
    fed: Federation, lied_to: Callable[[Lie], None]
) -> None:
    made = fed.request()
    await crossed(fed, made)

    def lie(told: trace.EnvelopeTrace) -> None:
        told.state, told.acts_next_in_matter = "granted", "ee/court"
        told.clocks.add(due_us=1, stage="overdue")

    lied_to(lie)
    here, there = (await asked(fed, id_of(made))).traces
    assert (there.node, there.state, there.acts_next_in_matter, len(there.clocks)) == ("de", "", "", 0)
    # Nor if a node of before passes it on.
    lie(there)
    here.ClearField("state")
    (story,) = tell([here, there], fed.directory)
    assert story.matter is None


async def test_times_that_are_none_are_shown_as_what_was_said(fed: Federation, lied_to: Callable[[Lie], None]) -> None:
    made = fed.request()
    await crossed(fed, made)
    twice = [trace.TraceEvent(name="x", at_us=2**62)] * 2
    lied_to(lambda told: told.events.extend(twice))
    (story,) = await told(fed, id_of(made))
    assert f"(2 times, until {2**62})" in {why(line) for line in story.lines}


async def test_beside_a_signature_stands_what_was_signed(fed: Federation, lied_to: Callable[[Lie], None]) -> None:
    made = fed.request()
    await crossed(fed, made)

    def lie(told: trace.EnvelopeTrace) -> None:
        del told.events[:]
        told.events.add(at_us=5, name="envelope.accepted", actor="ee/node", code=ErrorCode.STALE, detail="released")

    lied_to(lie)
    (story,) = await told(fed, id_of(made))
    (line,) = [line for line in story.lines if line.told is Told.LIVE]
    assert line.proof is not None
    assert line.event.at_us == line.proof.said.at_us
    assert (int(line.event.code), line.event.detail) == (0, "")


async def test_what_an_envelope_is_is_the_word_of_the_node_that_was_asked(fed: Federation) -> None:
    made = fed.request()
    await crossed(fed, made)
    here, there = (await asked(fed, id_of(made))).traces
    here.ClearField("header")
    there.header = b"\xff"
    (story,) = tell([here, there], fed.directory)
    assert story.header is None
    assert story.subject == b""


async def test_false_signature_takes_nothing_from_a_true_one(fed: Federation, lied_to: Callable[[Lie], None]) -> None:
    made = fed.request()
    await crossed(fed, made)

    def lie(told: trace.EnvelopeTrace) -> None:
        for receipt in told.receipts:
            receipt.signature.signature = bytes(64)

    lied_to(lie)
    (story,) = await told(fed, id_of(made))
    assert {proof.error for proof in story.proofs} == {""}
    assert story.situation.startswith("delivered")


async def test_true_refusal_of_something_else_proves_nothing_here(
    fed: Federation, lied_to: Callable[[Lie], None]
) -> None:
    made, other = fed.request(), fed.request(instrument="a-treaty-of-dreams")
    refused = (await fed.actor("ee/prosecutor").answer(other)).receipt
    await crossed(fed, made)
    lied_to(lambda told: told.receipts.append(refused))
    (story,) = await told(fed, id_of(made))
    (shown,) = [proof for proof in story.proofs if proof.name == "refused"]
    assert shown.said.issuer == "ee/node"
    assert shown.error
