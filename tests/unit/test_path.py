"""A frame through the whole path of one node, over a real store: each envelope is judged alone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path as FilePath
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox

from gateway import codec, envelope, merkle, signature, statement
from gateway.checking import Checking
from gateway.clock import SteadyClock
from gateway.config import Limits
from gateway.directory import Directory, KeyName, Status, not_known_yet
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.metrics import NOBODY
from gateway.path import Journey, Path, _keep_order
from gateway.policy import Policy
from gateway.receive import receive
from gateway.signature import Domain
from gateway.store import Transaction, open_store
from gateway.telemetry import Tracing
from tests import stores, world
from tests.world import CENTRAL, INVESTIGATOR, NOW, Sent

DIRECTORY = Directory(
    **{
        **{name: getattr(world.DIRECTORY, name) for name in Directory.model_fields},
        "nodes": tuple(
            world.node_entry(code, Status.REVOKED if code == "fr" else Status.ACTIVE) for code in world.NODES
        ),
        "instruments": (world.instrument(world.TREATY, "ee", "de", "fr"),),
    }
)


class OneNode:
    """The path of ee, over a store of its own."""

    def __init__(self, file: FilePath) -> None:
        file.write_bytes(stores.empty_file())
        self.connect, engine = open_store(file)
        engine.dispose()
        self.commits = 0
        self.set_by = timedelta()
        self.set_when_verified = timedelta()
        self.checking = Checking(0)
        self.writer = world.writer(self.connect, lambda: NOW, watch=self._watch)
        self._path = Path(
            "ee",
            lambda: DIRECTORY,
            Policy.none,
            Limits(),
            SteadyClock(lambda: NOW + self.set_by, lambda: 0.0, tolerance_seconds=300),
            self.writer,
            self.checking,
            Tracing(),
            NOBODY,
            self._passed,
        )

    def _passed(self, stage: str) -> None:
        if stage == "verified":
            self.set_by = self.set_when_verified

    def _watch(self, event: str) -> None:
        self.commits += event == "committed"

    async def accept(
        self, *frame: pb.SignedEnvelope, by: str = INVESTIGATOR, too_new: frozenset[KeyName] = frozenset()
    ) -> list[mailbox.Answer]:
        copies = [pb.SignedEnvelope.FromString(each.SerializeToString()) for each in frame]
        return await asyncio.wait_for(self._path.accept(world.peer(by, DIRECTORY), copies, too_new=too_new), 30)

    def rows(self, sql: str) -> list[Any]:
        connection = self.connect()
        try:
            return list(connection.execute(sql))
        finally:
            connection.close()


@pytest.fixture
async def node(tmp_path: FilePath) -> AsyncIterator[OneNode]:
    async with _running(tmp_path / "store.db") as made:
        yield made


@asynccontextmanager
async def _running(file: FilePath) -> AsyncIterator[OneNode]:
    made = OneNode(file)
    try:
        yield made
    finally:
        await made.writer.close()
        await made.checking.close()


def request(number: int = 0, **changes: Any) -> Sent:
    return world.freeze_request(case_id=f"EE-{number}", **changes)


def without_route(number: int) -> Sent:
    """Return a request that is lawful but for its way: fr is revoked, which is found out last."""
    return world.send(
        ids.KIND_FREEZE_REQUEST,
        INVESTIGATOR,
        "fr/central-authority",
        instrument=world.TREATY,
        measures=world.MEASURES,
        data_classes=world.DATA,
        countersigned_by=(CENTRAL,),
        case_id=f"EE-{number}",
    )


def together(*sent: Sent, key_of: str = INVESTIGATOR, domain: Domain = Domain.ENVELOPE) -> list[pb.SignedEnvelope]:
    """Return envelopes whose sender signed them as one batch; the countersignature stays direct."""
    signed = signature.sign_batch(
        domain, [each.envelope.header for each in sent], INVESTIGATOR, world.signing_key(key_of)
    )
    made = []
    for each, first in zip(sent, signed, strict=True):
        copy = pb.SignedEnvelope.FromString(each.envelope.SerializeToString())
        first.key_id = copy.signatures[0].key_id
        copy.signatures[0].CopyFrom(first)
        made.append(copy)
    return made


def outcomes(answers: Sequence[mailbox.Answer]) -> list[str]:
    """Return ACCEPTED, or the code of the signed refusal, for each."""
    said = [statement.verify(answer.receipt, DIRECTORY.signing_key) for answer in answers]
    return [ErrorCode(each.code).name if each.code else pb.Milestone.Name(each.milestone)[10:] for each in said]


async def test_frame_of_receipts_alone_makes_no_transaction_for_its_envelopes(node: OneNode) -> None:
    assert await node.accept() == []
    assert node.commits == 0


async def test_nothing_is_recorded_by_a_clock_that_was_set_after_a_call_was_let_in(node: OneNode) -> None:
    made = request().envelope
    node.set_when_verified = timedelta(hours=2)
    (answer,) = await node.accept(made)
    assert ErrorCode(answer.error.code) is ErrorCode.UNAVAILABLE
    assert answer.error.retry_after_ms
    node.set_by = node.set_when_verified = timedelta()
    assert outcomes(await node.accept(made)) == ["ACCEPTED"]


# Signed together by the sender


async def test_envelopes_of_a_batch_are_accepted_together_and_each_is_proven_alone(node: OneNode) -> None:
    frame = together(*map(request, range(5)))
    assert outcomes(await node.accept(*frame)) == ["ACCEPTED"] * 5
    assert node.commits == 1
    for alone in frame:
        envelope.verify(alone, envelope.parse_header(alone), DIRECTORY.signing_key)


async def test_envelope_of_a_batch_is_accepted_without_the_others(node: OneNode) -> None:
    frame = together(*map(request, range(5)))
    assert outcomes(await node.accept(frame[3])) == ["ACCEPTED"]


def _of_another_leaf(frame: list[pb.SignedEnvelope]) -> None:
    frame[1].signatures[0].CopyFrom(frame[2].signatures[0])


def _without_path(frame: list[pb.SignedEnvelope]) -> None:
    frame[1].signatures[0].ClearField("batch")


def _as_a_leaf_of_one(frame: list[pb.SignedEnvelope]) -> None:
    frame[1].signatures[0].batch.CopyFrom(pb.BatchPath(size=1))


def _other_sibling(frame: list[pb.SignedEnvelope]) -> None:
    frame[1].signatures[0].batch.path[0] = bytes(32)


def _other_bytes(frame: list[pb.SignedEnvelope]) -> None:
    header = envelope.parse_header(frame[1])
    header.case_id = "EE-ANOTHER"
    frame[1].header = header.SerializeToString()


def _signature_of_a_stranger(frame: list[pb.SignedEnvelope]) -> None:
    (stranger,) = together(request(9), key_of=world.EXCHANGE)
    frame[1].signatures[0].signature = stranger.signatures[0].signature


@pytest.mark.parametrize(
    "attack",
    [
        _of_another_leaf,
        _without_path,
        _as_a_leaf_of_one,
        _other_sibling,
        _other_bytes,
        _signature_of_a_stranger,
    ],
)
async def test_one_forged_leaf_is_refused_and_the_other_leaves_stand(
    node: OneNode, attack: Callable[[list[pb.SignedEnvelope]], None]
) -> None:
    frame = together(*map(request, range(4)))
    attack(frame)
    assert outcomes(await node.accept(*frame)) == ["ACCEPTED", "BAD_SIGNATURE", "ACCEPTED", "ACCEPTED"]


async def test_root_that_another_key_signed_proves_none_of_its_leaves(node: OneNode) -> None:
    frame = together(*map(request, range(3)), key_of=CENTRAL)
    assert outcomes(await node.accept(*frame)) == ["BAD_SIGNATURE"] * 3


@pytest.mark.parametrize("domain", [each for each in Domain if each is not Domain.ENVELOPE])
async def test_root_signed_for_another_purpose_signs_no_envelope(node: OneNode, domain: Domain) -> None:
    frame = together(*map(request, range(3)), domain=domain)
    assert outcomes(await node.accept(*frame)) == ["BAD_SIGNATURE"] * 3


async def test_inner_node_of_a_batch_is_not_passed_off_as_its_leaf(node: OneNode) -> None:
    """Whoever shows a pair of hashes as a header would have a signature over bytes that nobody signed."""
    frame = together(*map(request, range(4)))
    first, second = (merkle.leaf_hash(signature.frame(Domain.ENVELOPE.value, each.header)) for each in frame[:2])
    above = frame[0].signatures[0].batch.path[1]
    forged = pb.SignedEnvelope.FromString(frame[0].SerializeToString())
    forged.header = first + second
    forged.signatures[0].batch.CopyFrom(pb.BatchPath(index=0, size=2, path=[above]))
    with pytest.raises(Refusal) as caught:
        signature.verify(
            Domain.ENVELOPE, forged.header, forged.signatures[0], bytes(world.signing_key(INVESTIGATOR).verify_key)
        )
    assert caught.value.code is ErrorCode.BAD_SIGNATURE
    (answer,) = await node.accept(forged)
    assert ErrorCode(answer.error.code) is ErrorCode.MALFORMED  # nor is it a header
    assert node.rows("SELECT count(*) FROM envelopes") == [(0,)]


async def test_envelope_twice_in_a_batch_is_recorded_once_and_answered_twice_alike(node: OneNode) -> None:
    one, other = request(0), request(1)
    first, again, _ = together(one, one, other)
    answers = await node.accept(first, first, again)
    assert answers[0] == answers[1]
    # The same header at another place of the tree is the same name with other bytes.
    assert outcomes(answers) == ["ACCEPTED", "ACCEPTED", "ID_CONFLICT"]
    assert node.rows("SELECT count(*) FROM envelopes") == [(1,)]


async def test_batch_costs_one_check_and_direct_signatures_one_each(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    valid = node.checking.valid

    async def counting(checks: Any) -> Any:
        answers = await valid(list(checks))
        asked.append(len(answers))
        return answers

    monkeypatch.setattr(node.checking, "valid", counting)
    assert outcomes(await node.accept(*together(*map(request, range(8))))) == ["ACCEPTED"] * 8
    assert outcomes(await node.accept(*[request(n).envelope for n in range(8)])) == ["ACCEPTED"] * 8
    assert asked == [1 + 8, 8 + 8]  # the eight countersignatures are direct in both


# Judged alone


async def test_key_that_became_known_while_its_frame_waited_puts_nothing_off(node: OneNode) -> None:
    known, unknown = request(0), request(1)
    unknown.envelope.signatures[0].key_id = bytes(16)
    keys = {(each.signer, each.key_id) for one in (known, unknown) for each in one.envelope.signatures}
    answers = await node.accept(known.envelope, unknown.envelope, too_new=frozenset(keys))
    assert outcomes(answers[:1]) == ["ACCEPTED"]
    assert ErrorCode(answers[1].error.code) is ErrorCode.UNAVAILABLE


async def test_envelope_is_judged_anew_when_what_it_conflicted_with_was_not_taken(node: OneNode) -> None:
    one, held, go = request(), threading.Event(), threading.Event()
    (other,) = together(one)  # the same name with other bytes

    def hold(_: Transaction) -> None:
        held.set()
        go.wait(30)

    def dangle(txn: Transaction) -> None:
        txn.add_envelope(one.envelope, one.header, one.fingerprint)
        txn._rows.add("moves", 99, "asked", 1, None, 0)  # of no envelope

    holding = node.writer.write(hold)
    await asyncio.to_thread(held.wait, 30)
    lost = node.writer.write(dangle)
    accepting = asyncio.create_task(node.accept(other))
    while node.writer.waiting < 2:
        await asyncio.sleep(0)
    go.set()
    assert outcomes(await accepting) == ["ACCEPTED"]
    await holding
    with pytest.raises(Failure) as caught:
        await lost
    assert caught.value.code is ErrorCode.STORE
    assert node.rows("SELECT fingerprint FROM envelopes") == [(envelope.fingerprint(other),)]


async def test_envelope_refused_when_it_was_half_written_leaves_nothing_and_the_others_stand(node: OneNode) -> None:
    lost = without_route(1)
    answers = await node.accept(request(0).envelope, lost.envelope, request(2).envelope)
    assert outcomes(answers) == ["ACCEPTED", "NO_ROUTE", "ACCEPTED"]
    assert node.rows("SELECT case_id FROM envelopes ORDER BY seq") == [("EE-0",), ("EE-2",)]
    assert node.rows("SELECT destination FROM deliveries ORDER BY seq") == [("de/node",)] * 2
    assert node.commits == 1
    # And again, now that it is known: the same refusal, nothing else.
    assert outcomes(await node.accept(lost.envelope)) == ["NO_ROUTE"]


async def test_frame_of_nothing_but_what_has_no_route_is_refused_whole(node: OneNode) -> None:
    lost = [without_route(number).envelope for number in range(3)]
    assert outcomes(await node.accept(*lost)) == ["NO_ROUTE"] * 3
    assert node.rows("SELECT count(*) FROM envelopes") == [(0,)]
    assert node.rows("SELECT count(*) FROM events WHERE name = 'envelope.refused'") == [(3,)]


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called, the program is one of before: it knows a field less than headers have."""
    parse = codec.parse

    def knows_less(kind: type[Any], raw: bytes, code: ErrorCode = ErrorCode.MALFORMED) -> Any:
        if kind is pb.Header:
            raise Refusal(code, "Header has unknown or repeated fields")
        return parse(kind, raw, code)

    return lambda: monkeypatch.setattr(codec, "parse", knows_less)


@pytest.mark.parametrize("by", [INVESTIGATOR, "ee/node"])
async def test_retry_gets_its_receipt_of_a_program_that_cannot_read_what_a_newer_one_accepted(
    node: OneNode, older: Callable[[], None], by: str
) -> None:
    made = request().envelope
    first = await node.accept(made)
    assert outcomes(first) == ["ACCEPTED"]
    older()
    assert await node.accept(made, by=by) == first


def _in_nobodys_name(header: pb.Header) -> None:
    header.sender = "nobody"


def _called_nothing(header: pb.Header) -> None:
    header.id = "\0"


def _of_another_case(header: pb.Header) -> None:
    header.case_id = "EE-2"


@pytest.mark.parametrize("change", [_in_nobodys_name, _called_nothing, _of_another_case])
async def test_other_bytes_that_cannot_be_read_get_no_receipt(
    node: OneNode, older: Callable[[], None], change: Callable[[pb.Header], None]
) -> None:
    sent = request()
    await node.accept(sent.envelope)
    older()
    other, header = pb.SignedEnvelope.FromString(sent.envelope.SerializeToString()), pb.Header()
    header.CopyFrom(sent.header)
    change(header)
    other.header = header.SerializeToString(deterministic=True)
    broken = pb.SignedEnvelope.FromString(sent.envelope.SerializeToString())
    broken.header = b"\xff"
    for answer in await node.accept(other, broken):
        assert ErrorCode(answer.error.code) is ErrorCode.MALFORMED


async def test_stranger_gets_no_receipt_for_what_it_cannot_have_written_and_the_node_cannot_read(
    node: OneNode, older: Callable[[], None]
) -> None:
    made = request().envelope
    await node.accept(made)
    older()
    (answer,) = await node.accept(made, by="de/node")
    assert ErrorCode(answer.error.code) is ErrorCode.MALFORMED


async def test_stages_that_were_passed_are_told_with_what_became_of_it(node: OneNode) -> None:
    forged = request(1).envelope
    forged.signatures[0].signature = bytes(64)
    await node.accept(request(0).envelope, forged)
    accepted, refused = (row[0].split() for row in node.rows("SELECT stages FROM events ORDER BY seq"))
    assert [stage.partition(":")[0] for stage in accepted] == [
        "envelope.received",
        "peer.authenticated",
        "action.permitted",
        "envelope.verified",
        "step.lawful",
        "envelope.recorded",
        "delivery.queued",
        "receipt.issued",
    ]
    assert all(stage.partition(":")[2].isdecimal() for stage in accepted)
    assert [stage.partition(":")[0] for stage in refused] == [
        "envelope.received",
        "peer.authenticated",
        "action.permitted",
    ]


# In its case's order


def journey(case_id: str) -> Journey:
    raw = world.freeze_request(case_id=case_id).envelope
    return Journey(raw, claimed=receive(raw, Limits()))


def test_what_follows_in_its_case_on_something_that_nobody_can_judge_now_waits_with_it() -> None:
    before, put_off, after, other, last = (journey(case) for case in ("A", "A", "A", "B", "A"))
    put_off.error = not_known_yet()
    _keep_order([before, put_off, after, other, last])
    assert [each.error is None for each in (before, other)] == [True, True]
    for each in (after, last):
        assert isinstance(each.error, Failure)
        assert each.error.code is ErrorCode.UNAVAILABLE
        assert each.verified is None


def test_what_follows_on_a_refusal_does_not_wait_and_a_refusal_stays_one() -> None:
    refused, after, put_off, wrong = (journey("A") for _ in range(4))
    refused.error = wrong.error = Refusal(ErrorCode.STALE, "too old")
    put_off.error = not_known_yet()
    nameless = Journey(put_off.raw, error=Refusal(ErrorCode.MALFORMED, "no header"))
    _keep_order([refused, after, nameless, put_off, wrong])
    assert after.error is None
    assert isinstance(wrong.error, Refusal)
