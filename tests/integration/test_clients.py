"""The clients' library against a node that lies, fails and goes away; then a whole case over two real nodes."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nacl.public import PrivateKey
from nacl.utils import random
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox

from clients import submission, sync
from clients.auditor import Auditor
from clients.central_authority import CentralAuthority
from clients.court import Court
from clients.exchange import Exchange
from clients.intake import Faulty, Item, Received, Told
from clients.investigator import Investigator
from clients.maildir import Arrival, Collector, Folder
from clients.participant import Participant
from clients.submission import SignedRefusal
from clients.upkeep import Keeper
from gateway import envelope, material
from gateway.cli import send
from gateway.directory import not_known_yet
from gateway.envelope import Letter
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.formats import documents
from tests import paperwork, world
from tests.fakenode import FakeNode, accept, fail, fake_node, refuse, sign, state
from tests.federation import federation
from tests.world import Sent

pytestmark = pytest.mark.integration

SECONDS = 60.0


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[FakeNode]:
    async with fake_node(tmp_path) as made:
        yield made


def order(**changes: Any) -> Sent:
    """An order to ee's exchange, as its court sends it."""
    document = changes.pop("document", paperwork.order())
    fields: dict[str, Any] = {
        "body": documents.encode(document),
        "measures": tuple(document.measures),
        "data_classes": tuple(document.data_classes),
    }
    return world.send(ids.KIND_DOMESTIC_ORDER, world.COURT, world.EXCHANGE, **fields | changes)


def sent(count: int = 1, body: bytes = b"body") -> list[pb.SignedEnvelope]:
    return [world.freeze_request(body=body, case_id=f"EE-{n}").envelope for n in range(count)]


def raises(error: Exception) -> Callable[..., None]:
    def fails(*_: object) -> None:
        raise error

    return fails


def shown(items: list[Item], kind: type[Item]) -> list[Item]:
    return [item for item in items if isinstance(item, kind)]


# Handing in


async def test_accepted_envelope_and_its_proof_are_on_our_disk(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    (raw,) = sent()
    receipt = await me.submit(raw)
    ref = envelope.ref_of(envelope.parse_header(raw))
    assert me.maildir.receipts(ref) == [receipt]
    assert me.sent(ref) == raw


async def test_sender_can_open_what_it_sent(node: FakeNode) -> None:
    me = await node.participant(world.COURT)
    document = paperwork.order()
    letter = Letter(
        ids.KIND_DOMESTIC_ORDER,
        world.COURT,
        (world.EXCHANGE,),
        "EE-1",
        measures=tuple(document.measures),
        data_classes=tuple(document.data_classes),
    )
    made = me.compose(letter, document)
    read = envelope.open_own(made.envelope, me.address, me.parts.sealing_keys)
    assert (read.body, read.salt) == (documents.encode(document), made.salt)


async def test_signed_refusal_is_raised_with_its_code_and_its_proof_is_kept(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    node.door.reply = refuse
    (raw,) = sent()
    with pytest.raises(SignedRefusal) as caught:
        await me.submit(raw)
    assert (caught.value.code, caught.value.field) == (ErrorCode.OUT_OF_ORDER, "kind")
    assert me.maildir.receipts(envelope.ref_of(envelope.parse_header(raw))) == [caught.value.receipt]
    assert len(node.door.seen) == 1


async def test_every_retry_sends_the_identical_bytes(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    node.door.status = [Failure(ErrorCode.STORE, "the disk is full")]
    node.door.replies = [fail, fail]
    (raw,) = sent()
    await me.submit(raw)
    assert node.door.seen == [raw.SerializeToString(deterministic=True)] * 3


async def test_refused_call_is_not_tried_again(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    node.door.status = [Refusal(ErrorCode.REVOKED, "you are revoked")]
    with pytest.raises(Refusal) as caught:
        await me.submit(sent()[0])
    assert caught.value.code is ErrorCode.REVOKED


async def test_without_an_answer_in_time_it_is_a_failure_and_the_bytes_are_kept_for_the_next_try(
    node: FakeNode,
) -> None:
    me = await node.participant(world.INVESTIGATOR)
    node.door.reply = fail
    (raw,) = sent()
    with pytest.raises(Failure) as caught:
        await me.submit(raw, within=0.3)
    assert caught.value.code is ErrorCode.OVERLOADED
    assert me.sent(envelope.ref_of(envelope.parse_header(raw))) == raw


def about(
    raw: pb.SignedEnvelope, milestone: pb.Milestone.ValueType = pb.MILESTONE_ACCEPTED, **changes: Any
) -> pb.Receipt:
    return sign(state(raw, milestone, **changes), by=changes.get("issuer", "ee/node"))


LIES: dict[str, Callable[[pb.SignedEnvelope], mailbox.Answer]] = {
    "about another envelope": lambda _: accept(world.freeze_request().envelope),
    "about other bytes": lambda raw: mailbox.Answer(receipt=about(raw, fingerprint=bytes(32))),
    "by another node": lambda raw: mailbox.Answer(receipt=about(raw, issuer="de/node")),
    "signed with another key": lambda raw: mailbox.Answer(
        receipt=sign(state(raw, pb.MILESTONE_ACCEPTED), key_of="de/node")
    ),
    "another milestone": lambda raw: mailbox.Answer(receipt=about(raw, pb.MILESTONE_DELIVERED)),
    "of one copy only": lambda raw: mailbox.Answer(receipt=about(raw, recipient=world.FOREIGN_CENTRAL)),
    "a refusal without a code": lambda raw: mailbox.Answer(receipt=about(raw, pb.MILESTONE_REFUSED)),
    "a failure as a refusal": lambda raw: mailbox.Answer(
        receipt=about(raw, pb.MILESTONE_REFUSED, code=ErrorCode.INTERNAL)
    ),
    "a word about a receipt": lambda _: mailbox.Answer(noted=True),
    "nothing": lambda _: mailbox.Answer(),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_answer_that_proves_nothing_is_no_success_and_is_not_kept(
    node: FakeNode, lie: Callable[[pb.SignedEnvelope], mailbox.Answer]
) -> None:
    me = await node.participant(world.INVESTIGATOR)
    node.door.reply = lie
    (raw,) = sent()
    with pytest.raises(Refusal) as caught:
        await me.submit(raw)
    assert caught.value.code is ErrorCode.BAD_RECEIPT
    assert me.maildir.receipts(envelope.ref_of(envelope.parse_header(raw))) == []


async def test_what_our_own_disk_did_not_take_is_not_said_to_be_accepted_perhaps(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = Participant(node.parts(world.INVESTIGATOR))
    (raw,) = sent()
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", raises(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(Failure) as caught:
            await send._submit(me, raw, SECONDS)
    assert (caught.value.code, "send again" in caught.value.detail) == (ErrorCode.STORE, False)
    node.door.reply = fail
    with pytest.raises(Failure) as caught:
        await send._submit(me, raw, 0.1)
    assert (caught.value.code, "send again" in caught.value.detail) == (ErrorCode.OVERLOADED, True)
    assert len({*node.door.seen}) == 1


@pytest.mark.parametrize("frames", [False, True])
async def test_whoever_waits_when_the_participant_is_left_hears_a_failure_and_is_not_cancelled(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, *, frames: bool
) -> None:
    monkeypatch.setattr("clients.participant.GRACE_SECONDS", 0.01)
    me = await node.participant(world.INVESTIGATOR)
    node.door.at_work.clear()
    task = asyncio.create_task(me._hand_in(sent(), SECONDS, me._submit_frames if frames else me._submit_once))
    async with asyncio.timeout(SECONDS):
        await node.door.asked.wait()
        await me.__aexit__()
        (outcome,) = await task
    assert isinstance(outcome, Failure)
    assert outcome.code is ErrorCode.UNAVAILABLE


async def test_whoever_asks_after_the_participant_was_left_hears_a_failure(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    raws = sent(2)
    await me.__aexit__()
    outcomes: list[object] = [*await me.submit_many(raws)]
    outcomes += await asyncio.gather(me.submit(raws[0]), me.collect_available(), return_exceptions=True)
    assert [each.code for each in outcomes if isinstance(each, Failure)] == [ErrorCode.UNAVAILABLE] * 4
    assert node.door.seen == []


async def test_many_go_in_frames_and_their_answers_come_in_order(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    raws = sent(150)
    node.door.replies = [refuse if n == 70 else accept for n in range(150)]
    outcomes = await me.submit_many(raws)
    assert node.door.frames == [64, 64, 22]
    assert node.door.seen == [raw.SerializeToString(deterministic=True) for raw in raws]
    assert isinstance(outcomes[70], SignedRefusal)
    for raw, outcome in zip(raws, outcomes, strict=True):
        if isinstance(outcome, pb.Receipt):
            assert pb.Statement.FromString(outcome.statement).fingerprint == envelope.fingerprint(raw)
    assert sum(isinstance(outcome, pb.Receipt) for outcome in outcomes) == 149


@pytest.mark.parametrize("at_once", [False, True])
async def test_one_that_must_not_be_handed_in_keeps_none_beside_it_from_it(node: FakeNode, *, at_once: bool) -> None:
    me = await node.participant(world.INVESTIGATOR)
    first, *others = sent(4)
    await me.submit(first)
    changed = pb.SignedEnvelope.FromString(first.SerializeToString())
    changed.sealed_payload += b"x"
    raws = [others[0], changed, *others[1:]]
    # What the node cannot take now is tried again: until then, nobody else waits.
    node.door.replies = [fail, fail, accept]
    if at_once:
        outcomes = await asyncio.gather(*map(me.submit, raws), return_exceptions=True)
    else:
        outcomes = [*await me.submit_many(raws)]
    (refused,) = [each for each in outcomes if not isinstance(each, pb.Receipt)]
    assert isinstance(refused, Refusal)
    assert refused.code is ErrorCode.ID_CONFLICT
    assert outcomes[1] is refused
    assert changed.SerializeToString(deterministic=True) not in node.door.seen
    assert node.door.frames[0] == len(others)


async def test_what_a_broken_stream_left_unanswered_is_sent_again_and_the_rest_is_not(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    node.door.break_after_frames = 1
    raws = sent(200)
    outcomes = await me.submit_many(raws)
    assert all(isinstance(outcome, pb.Receipt) for outcome in outcomes)
    assert node.door.streams == 2
    assert node.door.seen.count(raws[0].SerializeToString(deterministic=True)) == 1
    assert {raw.SerializeToString(deterministic=True) for raw in raws} == set(node.door.seen)


async def test_those_that_the_node_could_not_take_now_are_tried_again_alone(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    raws = sent(3)
    node.door.replies = [accept, fail, accept]
    outcomes = await me.submit_many(raws)
    assert all(isinstance(outcome, pb.Receipt) for outcome in outcomes)
    assert node.door.frames == [3, 1]


async def test_what_many_tasks_submit_at_once_travels_in_frames(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    raws = sent(100)
    receipts = await asyncio.gather(*map(me.submit, raws))
    assert sorted(node.door.frames) == [36, 64]  # two calls, side by side
    said = [pb.Statement.FromString(receipt.statement).fingerprint for receipt in receipts]
    assert said == [envelope.fingerprint(raw) for raw in raws]
    assert [me.sent(envelope.ref_of(envelope.parse_header(raw))) for raw in raws] == raws


async def test_those_that_the_node_puts_off_keep_nobody_else_waiting(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    *late, good = sent(3)
    put_off = {each.header for each in late}
    come = {each.header: asyncio.Event() for each in late}

    def reply(raw: pb.SignedEnvelope) -> mailbox.Answer:
        if raw.header not in put_off:
            return accept(raw)
        come[raw.header].set()
        return fail(raw)

    node.door.reply = reply
    waiting = []
    for each in late:  # one after the other: in one moment they would share a call
        waiting.append(asyncio.create_task(me.submit(each)))
        await come[each.header].wait()
    await me.submit(good)
    assert not any(each.done() for each in waiting)
    put_off.clear()
    assert all(isinstance(each, pb.Receipt) for each in await asyncio.gather(*waiting))


async def test_one_in_a_frame_with_what_the_node_puts_off_hears_at_once(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    late, good = sent(2)
    put_off = {late.header}
    node.door.reply = lambda raw: fail(raw) if raw.header in put_off else accept(raw)
    waiting, heard = (asyncio.create_task(me.submit(each)) for each in (late, good))
    assert isinstance(await heard, pb.Receipt)
    assert not waiting.done()
    put_off.clear()
    assert isinstance(await waiting, pb.Receipt)
    assert node.door.frames[0] == 2


async def test_many_orders_are_signed_with_one_signature_and_each_verifies_alone(node: FakeNode) -> None:
    court = await node.participant(world.COURT)
    document = paperwork.order()
    letters = [
        Letter(
            ids.KIND_DOMESTIC_ORDER,
            world.COURT,
            (world.EXCHANGE,),
            f"EE-{number}",
            measures=tuple(document.measures),
            data_classes=tuple(document.data_classes),
        )
        for number in range(3)
    ]
    made = court.compose_many([(letter, document) for letter in letters])
    assert len({each.envelope.signatures[0].signature for each in made}) == 1
    for each, letter in zip(made, letters, strict=True):
        envelope.verify(each.envelope, envelope.parse_header(each.envelope), court.directory.signing_key)
        assert each.header.case_id == letter.case_id
    with pytest.raises(Refusal) as caught:
        court.compose_many([(letters[0], document), (replace(letters[1], sender=world.INVESTIGATOR), document)])
    assert caught.value.code is ErrorCode.NOT_PERMITTED


async def test_nothing_to_hand_in_asks_nothing(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    assert await me.submit_many([]) == []
    assert node.door.streams == 0


def test_frame_holds_256_kib_at_most_unless_one_envelope_is_larger() -> None:
    small, large = sent(1, bytes(100_000))[0], sent(1, bytes(300_000))[0]
    cut = submission.frames([small, small, small, large, small], range(5))
    assert cut == [[0, 1], [2], [3], [4]]


# Collecting


async def test_envelope_is_on_our_disk_before_it_is_acknowledged(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    made = order()
    node.hand_out(made.envelope)
    found: list[pb.SignedEnvelope] = []
    node.door.on_ack = lambda _: found.extend(kept.envelope for kept in me.maildir.take())
    (item,) = await me.collect_available()
    assert found == [made.envelope]
    assert isinstance(item, Received)
    assert item.document == paperwork.order()
    (word,) = node.words()
    assert (word.milestone, word.issuer, word.fingerprint) == (pb.MILESTONE_OPENED, world.EXCHANGE, made.fingerprint)


async def test_envelope_that_comes_again_is_acknowledged_again_in_the_same_words_and_shown_once(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    made = order()
    node.hand_out(made.envelope, made.envelope)
    assert len(await me.collect_available()) == 1
    me.done(next(me.unhandled()))
    node.hand_out(made.envelope)
    assert await me.collect_available() == []
    assert [ack.held for ack in node.door.acks] == [True] * 3
    assert len({ack.statement.SerializeToString() for ack in node.door.acks}) == 1
    assert list(me.unhandled()) == []


async def test_power_cut_between_disk_and_signature_loses_nothing(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    made = order()
    with me.maildir.collecting() as collector:
        collector.put([Arrival(made.envelope, made.ref, made.fingerprint, Folder.NEW)])
    node.hand_out(made.envelope)
    assert await me.collect_available() == []
    assert [word.milestone for word in node.words()] == [pb.MILESTONE_OPENED]
    assert [received.ref for received in me.unhandled()] == [made.ref]


def forged() -> Sent:
    made = order()
    made.envelope.signatures[0].signature = bytes(64)
    return made


def other_payload() -> Sent:
    made = order()
    made.envelope.sealed_payload += b"x"
    return made


def for_another_key() -> Sent:
    made = envelope.compose(
        Letter(ids.KIND_DOMESTIC_ORDER, world.COURT, (world.EXCHANGE,), "EE-1"),
        b"",
        signing_key=world.signing_key(world.COURT),
        reader_keys=[bytes(world.sealing_key(world.COURT).public_key)],
        now=world.NOW,
        random=random,
    )
    return Sent(made.envelope, made.header, made.salt)


MISTYPED = "1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9x"


def order_about(**says: str) -> bytes:
    """The body of an order about a wallet of which a hostile court says something untrue."""
    wallet = paperwork.wallet()
    for name, value in says.items():
        setattr(wallet, name, value)
    return paperwork.order(wallets=[wallet]).SerializeToString(deterministic=True)


BAD: dict[str, tuple[Callable[[], Sent], ErrorCode]] = {
    "forged signature": (forged, ErrorCode.BAD_SIGNATURE),
    "another payload": (other_payload, ErrorCode.BAD_SIGNATURE),
    "sealed for somebody else's key": (for_another_key, ErrorCode.CANNOT_OPEN),
    "no document": (lambda: order(body=b"hello"), ErrorCode.CONTENT_MISMATCH),
    "a document of another kind": (
        lambda: order(body=documents.encode(paperwork.report())),
        ErrorCode.CONTENT_MISMATCH,
    ),
    "a header that says less than its document": (lambda: order(data_classes=()), ErrorCode.CONTENT_MISMATCH),
    "a mistyped wallet": (
        lambda: order(body=order_about(address=MISTYPED, canonical=MISTYPED)),
        ErrorCode.CONTENT_MISMATCH,
    ),
    "one address for a person, another for a machine": (
        lambda: order(body=order_about(canonical="12HQDsicffSBaYdJ6BhnE22sfjTESmmzKx")),
        ErrorCode.CONTENT_MISMATCH,
    ),
}


@pytest.mark.parametrize(("make", "code"), BAD.values(), ids=BAD)
async def test_bad_envelope_is_rejected_in_signed_words_and_never_among_the_unhandled(
    node: FakeNode, make: Callable[[], Sent], code: ErrorCode
) -> None:
    me = await node.participant(world.EXCHANGE)
    bad, good = make(), order()
    node.hand_out(bad.envelope, good.envelope)
    items = await me.collect_available()
    (faulty,) = shown(items, Faulty)
    assert isinstance(faulty, Faulty)
    assert faulty.error.code is code
    words = {word.fingerprint: word for word in node.words()}
    rejected = words[envelope.fingerprint(bad.envelope)]
    assert (rejected.milestone, ErrorCode(rejected.code)) == (pb.MILESTONE_REJECTED, code)
    assert (rejected.rule, rejected.field) == (faulty.error.rule, faulty.error.field)
    assert words[good.fingerprint].milestone == pb.MILESTONE_OPENED
    assert [received.ref for received in me.unhandled()] == [good.ref]


async def test_other_bytes_under_a_known_name_are_rejected_loudly_and_the_first_stay(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    first = order()
    second = pb.SignedEnvelope()
    second.CopyFrom(first.envelope)
    second.signatures.append(envelope.countersign(second, world.CENTRAL, world.signing_key(world.CENTRAL)))
    node.hand_out(first.envelope, second)
    await me.collect_available()
    node.hand_out(second)
    await me.collect_available()
    words = node.words()
    assert [word.milestone for word in words] == [pb.MILESTONE_OPENED, pb.MILESTONE_REJECTED, pb.MILESTONE_REJECTED]
    assert {ErrorCode(word.code) for word in words[1:]} == {ErrorCode.ID_CONFLICT}
    assert [kept.envelope for kept in me.maildir.take()] == [first.envelope]


async def test_envelope_without_a_readable_header_is_shown_and_not_acknowledged(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    node.hand_out(pb.SignedEnvelope(header=b"\xff", sealed_payload=b"x"))
    (item,) = await me.collect_available()
    assert isinstance(item, Faulty)
    assert item.error.code is ErrorCode.MALFORMED
    assert node.door.acks == []


async def test_probe_is_answered_truthfully(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    held, never = order(), order()
    node.hand_out(held.envelope)
    await me.collect_available()
    node.door.acks.clear()
    node.hand_out(mailbox.Probe(fingerprint=held.fingerprint), mailbox.Probe(fingerprint=never.fingerprint))
    assert await me.collect_available() == []
    yes, no = node.door.acks
    assert (yes.held, no.held) == (True, False)
    assert pb.Statement.FromString(yes.statement.statement).milestone == pb.MILESTONE_OPENED
    assert not no.HasField("statement")


async def test_receipt_about_an_envelope_of_ours_is_kept_and_shown_once(node: FakeNode) -> None:
    me = await node.participant(world.INVESTIGATOR)
    (raw,) = sent()
    await me.submit(raw)
    delivered = about(raw, pb.MILESTONE_DELIVERED, issuer="de/node", recipient=world.FOREIGN_CENTRAL)
    node.hand_out(delivered)
    (told,) = await me.collect_available()
    assert isinstance(told, Told)
    assert told.statement.milestone == pb.MILESTONE_DELIVERED
    node.hand_out(delivered)
    assert await me.collect_available() == []
    assert [ack.held for ack in node.door.acks] == [True, True]
    assert delivered in me.maildir.receipts(envelope.ref_of(envelope.parse_header(raw)))


RECEIPTS: dict[str, Callable[[pb.SignedEnvelope], pb.Receipt]] = {
    "forged": lambda raw: sign(state(raw, pb.MILESTONE_DELIVERED), key_of="de/node"),
    "about other bytes than ours": lambda raw: about(raw, pb.MILESTONE_DELIVERED, fingerprint=bytes(32)),
    "by a node that never had it": lambda raw: about(raw, pb.MILESTONE_DELIVERED, issuer="fr/node"),
    "opened by somebody else": lambda raw: about(
        raw, pb.MILESTONE_OPENED, issuer=world.FOREIGN_COURT, recipient=world.FOREIGN_COURT
    ),
    "about an envelope of somebody else": lambda _: about(order().envelope, pb.MILESTONE_DELIVERED),
}


@pytest.mark.parametrize("make", RECEIPTS.values(), ids=RECEIPTS)
async def test_receipt_that_proves_nothing_is_shown_as_faulty_and_we_do_not_say_that_we_hold_it(
    node: FakeNode, make: Callable[[pb.SignedEnvelope], pb.Receipt]
) -> None:
    me = await node.participant(world.INVESTIGATOR)
    (raw,) = sent()
    await me.submit(raw)
    node.hand_out(make(raw))
    (item,) = await me.collect_available()
    assert isinstance(item, Faulty)
    assert item.error.code is ErrorCode.BAD_RECEIPT
    assert node.door.acks == []


async def test_node_that_refuses_an_acknowledgement_is_heard(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    node.hand_out(order().envelope)
    node.door.refuse_acks = [Refusal(ErrorCode.ILLEGAL_TRANSITION, "too late")]
    received, faulty = await me.collect_available()
    assert isinstance(received, Received)
    assert isinstance(faulty, Faulty)
    assert faulty.content is None


async def test_acknowledgement_that_the_node_cannot_judge_now_is_no_refusal_and_is_given_again(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    node.hand_out(order().envelope)
    node.door.refuse_acks = [not_known_yet(), not_known_yet()]
    (item,) = await me.collect_available()
    assert isinstance(item, Received)
    assert [word.milestone for word in node.words()] == [pb.MILESTONE_OPENED] * 3


async def test_what_cannot_be_opened_any_more_holds_up_no_other_and_is_told_behind_them(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = await node.participant(world.EXCHANGE)
    node.hand_out(order().envelope, order(case_id="EE-2").envelope)
    first, second = await me.collect_available()
    assert isinstance(first, Received)
    assert isinstance(second, Received)
    with monkeypatch.context() as before:
        before.setattr(world, "sealing_key", lambda _: PrivateKey(bytes(range(32))))
        retired = order(case_id="EE-3")
    with me.maildir.collecting() as collector:
        collector.put([Arrival(retired.envelope, retired.ref, retired.fingerprint, Folder.NEW)])
    (path,) = me.maildir.folder(Folder.NEW).glob(f"*{retired.ref.id}*")
    os.utime(path, (0, 0))
    waiting = me.unhandled()
    assert {next(waiting).ref.id, next(waiting).ref.id} == {first.ref.id, second.ref.id}
    with pytest.raises(Refusal) as caught:
        next(waiting)
    assert caught.value.code is ErrorCode.CANNOT_OPEN
    assert retired.ref.id in caught.value.detail


async def test_all_that_is_there_is_taken_with_less_credit_than_items(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    node.hand_out(*(order(case_id=f"EE-{n}").envelope for n in range(30)))
    items = await me.collect_available(credit=4)
    assert len(shown(items, Received)) == 30
    assert node.door.post == []


async def test_empty_mailbox_is_left_at_once(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    assert await me.collect_available() == []


async def test_after_the_node_hung_up_in_the_middle_everything_has_come_exactly_once(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    orders_ = [order(case_id=f"EE-{n}") for n in range(10)]
    node.hand_out(*(each.envelope for each in orders_))
    node.door.hang_up_after_items = 4
    items = await me.collect_available()
    assert [item.ref.id for item in items if isinstance(item, Received)] == [each.ref.id for each in orders_]
    assert node.door.streams == 2
    assert node.door.post == []


async def test_collecting_goes_on_when_the_node_is_back_and_ends_when_it_is_stopped(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    node.door.status = [Failure(ErrorCode.UNAVAILABLE, "starting"), Failure(ErrorCode.OVERLOADED, "still")]
    node.door.hang_up_after_items = 1
    node.hand_out(order().envelope, order(case_id="EE-2").envelope)
    seen: list[Item] = []
    async with asyncio.timeout(SECONDS), aclosing(me.collect()) as items:
        async for item in items:
            seen.append(item)
            if len(seen) == 2:
                me.stop()
    assert len(shown(seen, Received)) == 2


async def test_leaving_the_participant_ends_its_collecting(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    node.hand_out(order().envelope)
    first = asyncio.Event()

    async def collect() -> int:
        count = 0
        async with aclosing(me.collect()) as items:
            async for _ in items:
                count += 1
                first.set()
        return count

    task = asyncio.create_task(collect())
    async with asyncio.timeout(SECONDS):
        await first.wait()
        await me.__aexit__()
        assert await task == 1


async def test_whoever_enters_again_collects_again(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    await me.__aexit__()
    async with me:
        node.hand_out(order().envelope)
        async with asyncio.timeout(SECONDS), aclosing(me.collect()) as items:
            assert isinstance(await anext(items, None), Received)


async def test_failure_is_told_to_whoever_was_stopped_and_not_met_again_and_again(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    node.door.status = [Failure(ErrorCode.UNAVAILABLE, "starting") for _ in range(5)]
    me.stop()
    with pytest.raises(Failure) as caught:
        await me.collect_available()
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert len(node.door.status) == 4


class Refused(Keeper):
    """Whose certificate is due, and whom the node gives no other."""

    def __init__(self, looks: int) -> None:
        self.seconds, self.looks, self.asked = 1.0, looks, 0

    @property
    def is_renewal_due(self) -> bool:
        return True

    async def renew(self, stub: object) -> None:
        self.asked += 1
        raise Refusal(ErrorCode.NOT_PERMITTED, "not to you")

    def look(self) -> None:
        self.looks -= 1


async def test_node_that_refuses_a_renewal_is_asked_more_and_more_seldom(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    me, keeper, time = await node.participant(world.EXCHANGE), Refused(looks=4096), 0.0

    async def pause(seconds: float) -> None:
        nonlocal time
        time += seconds
        if not keeper.looks:
            me.stop()

    with monkeypatch.context() as patched:
        patched.setattr(me, "_pause", pause)
        patched.setattr("clients.participant.asyncio.to_thread", lambda work: asyncio.sleep(0, work()))
        patched.setattr(asyncio.get_running_loop(), "time", lambda: time)
        await me._keep_up(keeper)
    assert keeper.asked == 14  # after 0.5 seconds, 1, 2 and so on


async def test_revoked_participant_is_told_and_does_not_try_for_ever(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    node.door.status = [Refusal(ErrorCode.REVOKED, "you are revoked")]
    with pytest.raises(Refusal) as caught:
        await me.collect_available()
    assert caught.value.code is ErrorCode.REVOKED


async def test_two_collectors_of_one_home_do_not_both_run(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    twin = await node.participant(world.EXCHANGE)
    with me.maildir.collecting(), pytest.raises(Failure) as caught:
        await twin.collect_available()
    assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_who_is_cancelled_while_it_collects_leaves_no_thread_that_writes_on(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    me, twin = await node.participant(world.EXCHANGE), await node.participant(world.EXCHANGE)
    node.hand_out(order().envelope)
    writing, written = threading.Event(), threading.Event()
    put = Collector.put

    def slow(collector: Collector, arrivals: Sequence[Arrival]) -> None:
        if not writing.is_set():
            writing.set()
            assert written.wait(SECONDS)
        put(collector, arrivals)

    monkeypatch.setattr(Collector, "put", slow)
    task = asyncio.create_task(me.collect_available())
    assert await asyncio.to_thread(writing.wait, SECONDS)
    task.cancel()
    try:
        await asyncio.wait([task], timeout=0.1)
        # If it could, it would deal with the envelope; then the thread would put it among the new ones once more.
        with pytest.raises(Failure) as caught:
            await twin.collect_available()
    finally:
        written.set()
    assert caught.value.code is ErrorCode.UNAVAILABLE
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await twin.collect_available() == []
    (received,) = twin.unhandled()
    twin.done(received)
    assert list(me.unhandled()) == []


async def test_large_memory_is_looked_through_while_everything_else_goes_on(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = await node.participant(world.INVESTIGATOR, keep_sent=False)
    submitted = threading.Event()
    went_on: list[bool] = []
    monkeypatch.setattr("clients.maildir.sync_folder", lambda _: went_on.append(submitted.wait(5)))

    async def submit() -> None:
        (raw,) = sent()
        await me.submit(raw)
        submitted.set()

    await asyncio.gather(me.collect_available(), submit())
    assert went_on[0]


async def test_participant_without_signing_key_collects_nothing(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE, signing_keys=())
    with pytest.raises(Refusal) as caught:
        await me.collect_available()
    assert caught.value.code is ErrorCode.BAD_CONFIG


async def test_exchange_has_no_way_to_compose_anything_but_answers_and_complaints(node: FakeNode) -> None:
    me = await node.participant(world.EXCHANGE)
    made = order()
    node.hand_out(made.envelope)
    exchange = Exchange(me)
    await exchange.collect_available()
    (received,) = exchange.unhandled()
    answer = exchange.answer(received, [paperwork.result()], [paperwork.transaction()])
    assert (answer.header.kind, list(answer.header.recipients)) == (ids.KIND_EXECUTION_REPORT, [world.COURT])
    assert (answer.header.case_id, list(answer.header.cites)) == (made.header.case_id, [made.ref])
    await exchange.submit(answer)
    public = {name for name in dir(exchange) if not name.startswith("_")}
    answers = {"acknowledge", "ask_clarification", "object_to", "answer", "report", "disclose", "record_custody"}
    assert public == answers | {"complain", "role", "submit", "collect_available", "unhandled", "done"}


def test_synchronous_face_does_the_same(tmp_path: Path) -> None:
    async def start() -> tuple[FakeNode, Any]:
        context = fake_node(tmp_path)
        return await context.__aenter__(), context

    node, context = sync.run(start())
    with sync.SyncParticipant(Participant(node.parts(world.INVESTIGATOR))) as me:
        raws = sent(3)
        assert isinstance(me.submit(raws[0]), pb.Receipt)
        assert all(isinstance(outcome, pb.Receipt) for outcome in me.submit_many(raws))
        node.hand_out(about(raws[0], pb.MILESTONE_DELIVERED, issuer="de/node", recipient=world.FOREIGN_CENTRAL))
        assert [type(item) for item in me.collect_available()] == [Told]
        node.hand_out(about(raws[1], pb.MILESTONE_DELIVERED, issuer="de/node", recipient=world.FOREIGN_CENTRAL))
        for item in me.collect():
            assert isinstance(item, Told)
            me.stop()
    sync.run(context.__aexit__(None, None, None))


# Two real nodes


async def test_case_of_two_states_from_draft_to_report(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:

        async def enter(address: str) -> Participant:
            return await Participant.of(material.load_participant(fed.summary.config(address))).__aenter__()

        people = [
            await enter(address)
            for address in ("ee/prosecutor", "ee/central-authority", "de/central-authority", "de/court", "de/exchange")
        ]
        prosecutor, home, abroad, court, broker = people
        try:
            drafted = Investigator(prosecutor).draft_freeze(
                paperwork.request(),
                to=abroad.address,
                via=home.address,
                case_id="EE-1",
                instrument="eu-2018-1805",
                measures=[paperwork.BLOCK],
                data_classes=[paperwork.TRANSACTIONAL],
            )
            await prosecutor.submit(drafted.draft.envelope)
            draft = await receive(home)
            await home.submit(CentralAuthority(home).countersign(draft).envelope)
            countersigned = Investigator(prosecutor).add_countersignature(await receive(prosecutor))
            await prosecutor.submit(countersigned)
            asked = await receive(abroad)
            assert asked.document == paperwork.request()
            await abroad.submit(CentralAuthority(abroad).refer(asked, court=court.address).envelope)
            decision = Court(court).decide(await receive(court), paperwork.decision())
            await court.submit(decision.envelope)
            decided = await receive(abroad)
            await abroad.submit(CentralAuthority(abroad).notify_decision(asked, decided).envelope)
            assert (await receive(prosecutor)).document == paperwork.decision()
            ordered = Court(court).order(
                decision.header, paperwork.order(), exchange=broker.address, case_id="DE-order-1"
            )
            await court.submit(ordered.envelope)
            exchange = Exchange(broker)
            answer = exchange.answer(
                await receive(broker), [paperwork.result(frozen=[paperwork.bitcoin("5")])], [paperwork.transaction()]
            )
            await exchange.submit(answer)
            answered = await receive(court)
            back = Court(court).report_to_central_authority(decision.header, paperwork.report(), rests_on=[answered])
            await court.submit(back.envelope)
            reported = await receive(abroad)
            final = CentralAuthority(abroad).report_abroad(asked, paperwork.report(), rests_on=[reported])
            await abroad.submit(final.envelope)
            outcome = await receive(prosecutor)
            assert outcome.document == paperwork.report()

            ours = envelope.ref_of(envelope.parse_header(countersigned))
            wanted = {pb.MILESTONE_ACCEPTED, pb.MILESTONE_DELIVERED, pb.MILESTONE_OPENED, pb.MILESTONE_EXECUTED}
            await until(prosecutor, ours, wanted)
            auditor = Auditor(fed.directory)
            proven = auditor.envelope(countersigned.SerializeToString())
            assert proven.signers == (prosecutor.address, home.address)
            receipts = prosecutor.maildir.receipts(ours)
            assert wanted <= {auditor.receipt(each.SerializeToString(), proven).milestone for each in receipts}
            assert auditor.disclosed(proven, asked.opened.salt, asked.opened.body) == paperwork.request()
        finally:
            for person in people:
                await person.__aexit__()


async def receive(who: Participant) -> Received:
    """Wait for the next letter, and deal with it."""
    async with asyncio.timeout(SECONDS), aclosing(who.collect()) as items:
        async for item in items:
            assert not isinstance(item, Faulty), item.error
            if isinstance(item, Received):
                who.done(item)
                return item
    raise AssertionError("the collection ended")


async def until(who: Participant, ref: ids.EnvelopeRef, wanted: set[pb.Milestone.ValueType]) -> None:
    """Wait until we hold the proof of every one of these milestones of our envelope."""

    def missing() -> set[pb.Milestone.ValueType]:
        return wanted - {pb.Statement.FromString(each.statement).milestone for each in who.maildir.receipts(ref)}

    async with asyncio.timeout(SECONDS), aclosing(who.collect()) as items:
        while missing():
            await anext(items)
