"""The self-test of a restricted client over real nodes, from both sides; and nodes that let something through."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import selftest_pb2 as selftest_pb
from rogatory.v1.relay_pb2 import RelayRequest, RelayResponse
from rogatory.v1.trace_pb2 import GetTraceRequest, GetTraceResponse

from clients import selftest
from clients.intake import Faulty, Received
from clients.participant import Participant
from clients.restrictions import KINDS, Trial, trials
from clients.selftest import Verdict
from clients.submission import SignedRefusal
from clients.verdict import TEXT, body_of
from gateway import envelope, material, row_checks, upkeep
from gateway.cli.self_test import allowed
from gateway.clock import from_micros
from gateway.config import Limits
from gateway.directory import Status
from gateway.doors.entrance import Context
from gateway.doors.relay import RelayDoor
from gateway.doors.trace import TraceDoor
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address, Role
from gateway.rules import Rule, Step, Where
from gateway.steps import BY_CITATION, FREEZING
from tests import world
from tests.fakenode import accept, fail, fake_node, refuse
from tests.federation import Federation, code_of, federation
from tests.processes import finished

pytestmark = pytest.mark.integration

REGISTRAR = "ee/registrar"
EXCHANGE = "ee/exchange"
SECONDS = 60.0


class Sides:
    """Participants of one federation, each with its own disk."""

    def __init__(self, fed: Federation, stack: AsyncExitStack) -> None:
        self.fed = fed
        self._stack = stack
        self._known: dict[str, Participant] = {}

    async def __call__(self, address: str) -> Participant:
        if address not in self._known:
            loaded = material.load_participant(self.fed.summary.config(address), self.fed.clock)
            self._known[address] = await self._stack.enter_async_context(Participant.of(loaded))
        return self._known[address]

    async def received(self, address: str, kind: ids.Kind.ValueType) -> Received:
        """Collect until an envelope of that kind is there."""
        participant = await self(address)
        async with asyncio.timeout(SECONDS):
            while True:
                await participant.collect_available()
                for received in participant.unhandled():
                    if received.header.kind == kind:
                        return received

    async def ordered(self, exchange: str = EXCHANGE) -> Received:
        registrar = await self(REGISTRAR)
        await registrar.submit(selftest.order(registrar, exchange).envelope)
        return await self.received(exchange, ids.KIND_TEST_ORDER)

    async def test(self) -> tuple[Verdict, Verdict]:
        """Run the whole test; return what the exchange and what the registrar found."""
        order = await self.ordered()
        theirs = await selftest.answer(await self(EXCHANGE), order, allowed)
        report = await self.received(REGISTRAR, ids.KIND_TEST_REPORT)
        return theirs, selftest.verdict(await self(REGISTRAR), report, allowed)


@pytest.fixture(autouse=True)
def _looks_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most attempts are in another's name, and a node looks whether that is somebody new: once a second, elsewhere."""
    monkeypatch.setattr(upkeep, "BETWEEN_LOOKS_SECONDS", 0.0)


@pytest_asyncio.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    async with federation(tmp_path / "fed") as fed, AsyncExitStack() as stack:
        yield Sides(fed, stack)


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


async def test_both_sides_know_that_the_exchange_can_answer_an_order_and_do_nothing_else(sides: Sides) -> None:
    theirs, ours = await sides.test()
    assert failed(ours) == []
    assert theirs.passed
    assert ours.passed
    assert theirs == ours
    assert {f"cannot send a {word}" for word in ("freeze-request", "domestic-order", "draft", "review-decision")} <= {
        check.name for check in ours.checks
    }
    assert len(ours.checks) > len(KINDS)


async def test_nobody_hears_of_a_test_but_the_registrar_who_asked(sides: Sides) -> None:
    await sides.test()
    for member in sides.fed.summary.participants:
        if member.role not in {Role.OPERATOR, Role.AUDITOR} and str(member.address) not in {REGISTRAR, EXCHANGE}:
            assert await sides.fed.actor(str(member.address)).waiting() == [], member.address


async def test_what_is_tried_would_be_harmless(sides: Sides) -> None:
    await sides.test()
    report = (await sides.received(REGISTRAR, ids.KIND_TEST_REPORT)).document
    assert isinstance(report, selftest_pb.TestReport)
    for attempt in report.attempts:
        raw = pb.SignedEnvelope.FromString(attempt.envelope)
        header = envelope.parse_header(raw)
        assert header.case_id.startswith("TEST-")
        assert (header.instrument, [*header.measures], [*header.data_classes], header.outcome) == ("", [], [], 0)
        lasts = from_micros(header.expires_at_us) - from_micros(header.created_at_us)
        assert lasts <= timedelta(minutes=15)
        if attempt.recipient == "de/court":
            keys = (await sides("de/court")).parts.sealing_keys
            assert envelope.open_envelope(raw, "de/court", keys).body == TEXT.encode()


async def test_report_leaves_half_of_an_envelope_free(sides: Sides) -> None:
    await sides.test()
    report = (await sides.received(REGISTRAR, ids.KIND_TEST_REPORT)).document
    assert isinstance(report, selftest_pb.TestReport)
    assert len(report.attempts) == len(made := trials(sides.fed.directory, Address.parse(EXCHANGE), allowed))
    assert len(made) > len(KINDS)
    assert report.ByteSize() <= Limits().max_payload_bytes // 2


async def test_test_is_repeated_with_fresh_proofs(sides: Sides) -> None:
    first, _ = await sides.test()
    registrar = await sides(REGISTRAR)
    registrar.done(await sides.received(REGISTRAR, ids.KIND_TEST_REPORT))
    second, _ = await sides.test()
    assert second.passed
    assert second.order.case_id != first.order.case_id


# Where something is broken


def widen(monkeypatch: pytest.MonkeyPatch, rule: Rule, **columns: Any) -> None:
    """Let the nodes of this process allow something more; the programs of both sides keep the table as it is."""
    monkeypatch.setattr(row_checks, "_RULES", row_checks._RULES | {rule})
    monkeypatch.setattr(row_checks, "_rules", row_checks._rules.__wrapped__)  # remembers nothing from before or after
    monkeypatch.setattr(
        row_checks,
        "BY_CITATION",
        MappingProxyType({**BY_CITATION, (rule, ids.KIND_UNSPECIFIED): Step(rule=rule, law="none", **columns)}),
    )


def tried(sides: Sides, kind: ids.Kind.ValueType, *, abroad: bool = False) -> Trial:
    """Return the trial of a kind that an exchange may send to nobody: the role is that whose turn it is."""
    made = trials(sides.fed.directory, Address.parse(EXCHANGE), allowed)
    (found,) = (t for t in made if (t.ban.kind, t.ban.sender, t.ban.abroad) == (kind, None, abroad))
    return found


async def test_node_that_lets_a_forbidden_envelope_through_fails_the_test_and_nobody_takes_it_for_real(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = tried(sides, ids.KIND_DRAFT)
    widen(monkeypatch, Rule(ids.KIND_DRAFT, Role.EXCHANGE, trial.ban.recipient, Where.HOME))
    theirs, ours = await sides.test()
    assert failed(theirs) == failed(ours) == ["cannot send a draft"]
    assert trial.recipient in next(check.detail for check in ours.checks if not check.passed)
    (item,) = await (await sides(trial.recipient)).collect_available()
    assert isinstance(item, Faulty)
    assert item.error.code is ErrorCode.CONTENT_MISMATCH


async def test_envelope_that_only_the_procedure_stopped_fails_the_test(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipient = tried(sides, ids.KIND_FREEZE_REQUEST, abroad=True).ban.recipient
    rule = Rule(ids.KIND_FREEZE_REQUEST, Role.EXCHANGE, recipient, Where.ABROAD)
    widen(monkeypatch, rule, countersigned_by=Role.CENTRAL_AUTHORITY, measures=FREEZING)
    theirs, ours = await sides.test()
    assert failed(theirs) == failed(ours) == ["cannot send a freeze-request"]
    assert "NOT_COUNTERSIGNED" in next(check.detail for check in ours.checks if not check.passed)


async def test_door_that_is_open_to_an_exchange_fails_the_test(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(self: TraceDoor, request: GetTraceRequest, context: Context) -> GetTraceResponse:
        return GetTraceResponse()

    async def take(
        self: RelayDoor, requests: AsyncIterator[RelayRequest], context: Context
    ) -> AsyncIterator[RelayResponse]:
        yield RelayResponse()

    monkeypatch.setattr(TraceDoor, "GetTrace", tell)
    monkeypatch.setattr(RelayDoor, "Relay", take)
    await sides.fed.stop("ee")
    await sides.fed.start("ee")
    theirs, ours = await sides.test()
    assert failed(theirs) == failed(ours) == ["cannot call Relay/Relay", "cannot call Trace/GetTrace"]


async def test_exchange_that_is_something_else_too_tries_nothing_and_fails(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=()) as fed, AsyncExitStack() as stack:
        entries = [
            entry.model_copy(update={"roles": frozenset({Role.EXCHANGE, Role.OPERATOR})})
            if str(entry.address) == EXCHANGE
            else entry
            for entry in fed.directory.participants
        ]
        fed.sign_anew(fed.directory.model_copy(update={"participants": tuple(entries)}))
        await fed.start("ee")
        sides = Sides(fed, stack)
        theirs, ours = await sides.test()
        assert failed(theirs) == failed(ours)
        assert failed(ours)[0] == "is an exchange and nothing else"
        report = (await sides.received(REGISTRAR, ids.KIND_TEST_REPORT)).document
        assert isinstance(report, selftest_pb.TestReport)
        assert not report.attempts
        assert not report.calls


async def test_quota_of_an_exchange_slows_its_test_and_does_not_fail_it(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=()) as fed, AsyncExitStack() as stack:
        settings = fed.summary.config("ee/node")
        quota = "[quota.participant]\nenvelopes_per_second = 200\nburst_envelopes = 64\nburst_queries = 1"
        settings.write_text(f"{settings.read_text()}\n{quota}\n")
        await fed.start("ee")
        theirs, ours = await Sides(fed, stack).test()
        assert theirs.passed
        assert ours.passed


def order_to_ee() -> pb.SignedEnvelope:
    return world.send(
        ids.KIND_TEST_ORDER, REGISTRAR, world.EXCHANGE, body=body_of(bytes(32)), case_id="TEST-1"
    ).envelope


async def test_what_the_node_could_not_take_now_is_tried_again_and_the_rest_is_not(tmp_path: Path) -> None:
    def reply(raw: pb.SignedEnvelope) -> mailbox.Answer:
        return (accept if envelope.parse_header(raw).kind == ids.KIND_TEST_REPORT else refuse)(raw)

    async with fake_node(tmp_path) as node:
        exchange = await node.participant(world.EXCHANGE)
        node.hand_out(order_to_ee())
        await exchange.collect_available()
        (order,) = exchange.unhandled()
        node.door.replies, node.door.reply = [fail, fail, refuse], reply
        node.door.break_after_frames = 3
        verdict = await selftest.answer(exchange, order, allowed)
        # Refused, but by another code than the table's.
        assert {f"cannot send {word}" for word in ("a draft", "a claim")} < set(failed(verdict))
        assert all(check.passed for check in verdict.checks if check.name.startswith("cannot call"))
        tried = len(trials(node.directory, exchange.parts.address, allowed))
        report = envelope.open_envelope(
            exchange.sent(envelope.ref_of(verdict.report)), REGISTRAR, [world.sealing_key(REGISTRAR)]
        )
        assert len(selftest_pb.TestReport.FromString(report.body).attempts) == tried
        assert len(set(node.door.seen)) == tried + 1
        assert len(node.door.seen) == tried + 2 + 1


async def test_node_that_answers_no_attempt_in_time_is_a_failure_and_the_order_waits(tmp_path: Path) -> None:
    async with fake_node(tmp_path) as node:
        exchange = await node.participant(world.EXCHANGE)
        node.hand_out(order_to_ee())
        await exchange.collect_available()
        (order,) = exchange.unhandled()
        node.door.reply = fail
        with pytest.raises(Failure) as caught:
            await selftest.answer(exchange, order, allowed, within=2)
        assert caught.value.code is ErrorCode.OVERLOADED
        assert [received.ref for received in exchange.unhandled()] == [order.ref]


# Who may test whom


async def test_registrar_tests_exchanges_of_its_own_country_alone(sides: Sides) -> None:
    for stranger in ("de/exchange", "ee/court", "ee/nobody"):
        with pytest.raises(Refusal) as caught:
            selftest.order(await sides(REGISTRAR), stranger)
        assert caught.value.code is ErrorCode.NOT_PERMITTED


async def test_node_passes_no_test_order_of_anybody_else(sides: Sides) -> None:
    for sender, to in (("ee/court", EXCHANGE), (REGISTRAR, "de/exchange"), ("ee/prosecutor", EXCHANGE)):
        actor = sides.fed.actor(sender)
        assert code_of(await actor.submit(actor.compose(ids.KIND_TEST_ORDER, to))) is ErrorCode.NOT_PERMITTED


async def test_test_order_cannot_hide_an_order(sides: Sides) -> None:
    actor = sides.fed.actor(REGISTRAR)
    compose = partial(actor.compose, ids.KIND_TEST_ORDER, EXCHANGE)
    case_id = selftest.CASE + "0" * 32
    attempts = [
        (compose(case_id=case_id, measures=(ids.MEASURE_BLOCK_WITHDRAWAL,)), ErrorCode.EXCEEDS_GRANT),
        (compose(bytes(1 << 10), case_id=case_id), ErrorCode.EXCEEDS_GRANT),
        (compose(case_id="EE-2026-117"), ErrorCode.OUT_OF_ORDER),
    ]
    for ordering, code in attempts:
        assert code_of(await actor.submit(ordering)) is code
    text = selftest_pb.TestOrder(challenge=bytes(32), text="Freeze everything.").SerializeToString()
    assert code_of(await actor.submit(compose(text, case_id=case_id))) is None
    (item,) = await (await sides(EXCHANGE)).collect_available()
    assert isinstance(item, Faulty)
    assert item.error.code is ErrorCode.CONTENT_MISMATCH


async def test_what_is_no_test_order_is_not_answered_as_one(sides: Sides) -> None:
    await sides.test()
    report = await sides.received(REGISTRAR, ids.KIND_TEST_REPORT)
    with pytest.raises(Refusal) as caught:
        await selftest.answer(await sides(REGISTRAR), report, allowed)
    assert caught.value.code is ErrorCode.OUT_OF_ORDER
    header = pb.Header()
    header.CopyFrom(report.header)
    header.sender = "ee/exchange-2"
    of_another = replace(report, opened=replace(report.opened, header=header))
    with pytest.raises(Refusal) as caught:
        selftest.verdict(await sides(REGISTRAR), of_another, allowed)
    assert caught.value.code is ErrorCode.OUT_OF_ORDER
    order = (await sides(EXCHANGE)).find(report.header.cites[0])
    with pytest.raises(Refusal) as caught:
        selftest.verdict(await sides(EXCHANGE), order, allowed)
    assert caught.value.code is ErrorCode.OUT_OF_ORDER


async def test_order_that_has_been_answered_is_refused_a_second_answer_and_does_not_wait_any_longer(
    sides: Sides,
) -> None:
    order = await sides.ordered()
    exchange = await sides(EXCHANGE)
    await selftest.answer(exchange, order, allowed)
    # As after a crash between the node's receipt and our own note: it waits still.
    done, new = exchange.parts.home / "done", exchange.parts.home / "new"
    for path in done.iterdir():
        path.rename(new / path.name)
    with pytest.raises(SignedRefusal) as caught:
        await selftest.answer(exchange, order, allowed)
    assert caught.value.code is ErrorCode.OUT_OF_ORDER
    assert list(exchange.unhandled()) == []


async def test_order_waits_while_the_node_is_gone(sides: Sides) -> None:
    order = await sides.ordered()
    exchange = await sides(EXCHANGE)
    await sides.fed.stop("ee")
    with pytest.raises(Failure) as caught:
        await selftest.answer(exchange, order, allowed, within=1.0)
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert [received.ref for received in exchange.unhandled()] == [order.ref]
    await sides.fed.start("ee")
    assert (await selftest.answer(exchange, order, allowed)).passed


async def test_revoked_exchange_is_not_tested(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=()) as fed, AsyncExitStack() as stack:
        entries = [
            entry.model_copy(update={"status": Status.REVOKED}) if str(entry.address) == EXCHANGE else entry
            for entry in fed.directory.participants
        ]
        fed.sign_anew(fed.directory.model_copy(update={"participants": tuple(entries)}))
        await fed.start("ee")
        with pytest.raises(Refusal) as caught:
            selftest.order(await Sides(fed, stack)(REGISTRAR), EXCHANGE)
        assert caught.value.code is ErrorCode.NOT_PERMITTED


# The command line


async def rogatory(*arguments: str | Path) -> tuple[int, Any]:
    status, out, err = await finished(*map(str, arguments), "--json")
    assert "Traceback" not in err, err
    return status, json.loads(out)


def config(sides: Sides, who: str) -> Sequence[str | Path]:
    return "--config", sides.fed.summary.config(who)


async def test_both_sides_by_the_command_line_print_the_same_checks_and_end_with_0(sides: Sides) -> None:
    ours, theirs = await asyncio.gather(
        rogatory("registrar", "self-test", EXCHANGE, *config(sides, REGISTRAR)),
        rogatory("self-test", *config(sides, EXCHANGE)),
    )
    assert ours == theirs
    status, shown = ours
    assert (status, shown["passed"]) == (0, True)
    (test,) = shown["tests"]
    assert (test["exchange"], test["registrar"], test["passed"]) == (EXCHANGE, REGISTRAR, True)
    assert all(check["passed"] for check in test["checks"])


async def test_registrar_goes_on_waiting_for_an_answer_that_takes_longer(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, shown = await rogatory("registrar", "self-test", EXCHANGE, "--wait", "0", *config(sides, REGISTRAR))
    assert (status, shown["error"]["code"]) == (1, "UNAVAILABLE")
    status, shown = await rogatory("inbox", *config(sides, EXCHANGE))
    (found,) = shown["unhandled"]
    assert found["kind"] == "test-order"
    widen(monkeypatch, Rule(ids.KIND_CLAIM, Role.EXCHANGE, tried(sides, ids.KIND_CLAIM).ban.recipient, Where.HOME))
    status, theirs = await rogatory("self-test", *config(sides, EXCHANGE))
    assert (status, theirs["passed"]) == (2, False)
    again = ("registrar", "self-test", EXCHANGE, "--order", found["id"], *config(sides, REGISTRAR))
    assert await rogatory(*again) == (2, theirs)
    assert await rogatory(*again) == (2, theirs)
    assert [check["name"] for check in theirs["tests"][0]["checks"] if not check["passed"]] == ["cannot send a claim"]


async def test_commands_are_for_their_own_side(sides: Sides) -> None:
    for arguments in (
        ("self-test", *config(sides, REGISTRAR)),
        ("registrar", "self-test", EXCHANGE, *config(sides, EXCHANGE)),
    ):
        status, shown = await rogatory(*arguments)
        assert (status, shown["error"]["code"]) == (2, "NOT_PERMITTED")
    status, shown = await rogatory("self-test", "--wait", "0", *config(sides, EXCHANGE))
    assert (status, shown["error"]["code"]) == (1, "UNAVAILABLE")
