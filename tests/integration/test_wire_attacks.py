"""Attacks on two real nodes, over the wire, each named after the attack and refused with its own code."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.rpc.status_pb2 import Status as GrpcStatus
from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.mailbox_pb2_grpc import MailboxStub
from rogatory.v1.relay_pb2_grpc import RelayStub
from rogatory.v1.trace_pb2 import GetTraceRequest
from rogatory.v1.trace_pb2_grpc import TraceStub

from gateway import codec, envelope, material, signature, statement, transport
from gateway.clock import system_clock, to_micros
from gateway.config import Limits
from gateway.directory import Status
from gateway.errors import ErrorCode, GatewayError
from gateway.node import WIRE_ALLOWANCE
from gateway.signature import Domain
from tests.enrolling import registering
from tests.federation import UNTIL_SECONDS, Actor, Federation, code_of, federation, ref, relay_one, until
from tests.judge import judge

BLOCK = (ids.MEASURE_BLOCK_WITHDRAWAL,)


@pytest.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed") as made:
        yield made


async def test_honest_request_is_accepted_so_that_the_attacks_below_fail_for_their_own_reason(fed: Federation) -> None:
    said = await fed.actor("ee/prosecutor").submit(fed.request())
    assert said.milestone == pb.MILESTONE_ACCEPTED


async def test_exchange_starting_a_request_is_refused(fed: Federation) -> None:
    exchange = fed.actor("de/exchange")
    made = exchange.compose(ids.KIND_FREEZE_REQUEST, "ee/central-authority", instrument="eu-2018-1805", measures=BLOCK)
    assert code_of(await exchange.submit(made)) is ErrorCode.NOT_PERMITTED


async def test_foreign_order_straight_to_an_exchange_is_refused_at_home(fed: Federation) -> None:
    court = fed.actor("ee/court")
    made = court.compose(ids.KIND_DOMESTIC_ORDER, "de/exchange", measures=BLOCK)
    assert code_of(await court.submit(made)) is ErrorCode.NOT_PERMITTED


async def test_foreign_order_relayed_by_a_rogue_node_is_refused_abroad(fed: Federation) -> None:
    made = fed.actor("ee/court").compose(ids.KIND_DOMESTIC_ORDER, "de/exchange", measures=BLOCK)
    (answer,) = await relay_one(fed.node_relay("ee", "de"), relay.RelayRequest(frame=1, envelopes=[made]))
    said = statement.verify(answer.receipt, fed.directory.signing_key)
    assert code_of(said) is ErrorCode.NOT_PERMITTED
    assert said.issuer == "de/node"


async def test_stripped_countersignature_is_refused_by_the_own_node_and_by_the_other(fed: Federation) -> None:
    made = fed.request()
    del made.signatures[1]
    assert code_of(await fed.actor("ee/prosecutor").submit(made)) is ErrorCode.NOT_COUNTERSIGNED
    (answer,) = await relay_one(fed.node_relay("ee", "de"), relay.RelayRequest(frame=1, envelopes=[made]))
    assert code_of(statement.verify(answer.receipt, fed.directory.signing_key)) is ErrorCode.NOT_COUNTERSIGNED


async def test_countersignature_of_a_foreign_ministry_does_not_count(fed: Federation) -> None:
    made = fed.request()
    del made.signatures[1]
    made = fed.actor("de/central-authority").countersign(made)
    assert code_of(await fed.actor("ee/prosecutor").submit(made)) is ErrorCode.NOT_COUNTERSIGNED


async def test_forged_sender_is_refused(fed: Federation) -> None:
    fiu = fed.actor("ee/fiu")
    made = fiu.compose(ids.KIND_DRAFT, "ee/central-authority", sender="ee/prosecutor", measures=BLOCK)
    answer = await fiu.answer(made)
    assert codec.error_from(answer.error).code is ErrorCode.NOT_PERMITTED


async def test_recipient_replaying_what_it_received_gets_no_signed_refusal_of_what_was_accepted(
    fed: Federation,
) -> None:
    """Such a statement would stand beside ACCEPTED, and look like an end of the sender's envelope."""
    await fed.actor("ee/prosecutor").submit(fed.request())
    authority = fed.actor("de/central-authority")
    (item,) = await authority.collect(1)
    answer = await authority.answer(item.envelope)
    assert codec.error_from(answer.error).code is ErrorCode.NOT_PERMITTED
    await fed.stop("de")
    assert judge(fed.store("de"), "de", fed.directory, all_final=False).ends["MILESTONE_REFUSED"] == 0


async def test_revoked_key_does_not_work_by_backdating(fed: Federation) -> None:
    """The thief of a revoked key says that he signed before the revocation; his own node knows better."""
    made = fed.request()
    directory = fed.directory
    now = fed.clock()
    revoked = tuple(
        p.model_copy(
            update={"signing_keys": tuple(k.model_copy(update={"not_trusted_after": now}) for k in p.signing_keys)}
        )
        if str(p.address) == "ee/prosecutor"
        else p
        for p in directory.participants
    )
    fed.sign_anew(directory.model_copy(update={"participants": revoked}))
    prosecutor = fed.actor("ee/prosecutor")
    await fed.stop("ee")
    await fed.start("ee")
    assert code_of(await prosecutor.submit(made)) is ErrorCode.KEY_REVOKED


async def test_recipient_cannot_call_a_fresh_envelope_expired(fed: Federation) -> None:
    await fed.actor("ee/prosecutor").submit(fed.request())
    authority = fed.actor("de/central-authority")
    (item,) = await authority.collect(1, acknowledge=False)
    call = MailboxStub(authority.channel).Collect(timeout=UNTIL_SECONDS)
    lie = mailbox.Acknowledgement(delivery_id=item.delivery_id, held=False)
    await call.write(mailbox.CollectRequest(acknowledgements=[lie]))
    response = await call.read()
    assert isinstance(response, mailbox.CollectResponse)
    assert codec.error_from(response.settled[0].error).code is ErrorCode.ILLEGAL_TRANSITION
    call.cancel()


async def test_forged_signature_under_the_own_name_is_refused(fed: Federation) -> None:
    prosecutor = fed.actor("ee/prosecutor")
    made = prosecutor.compose(ids.KIND_DRAFT, "ee/central-authority", measures=BLOCK)
    header = pb.Header.FromString(made.header)
    stranger = SigningKey.generate()
    forged = signature.sign(Domain.ENVELOPE, made.header, header.sender, stranger)
    made.signatures[0].CopyFrom(forged)
    assert code_of(await prosecutor.submit(made)) is ErrorCode.BAD_SIGNATURE


async def test_header_altered_after_signing_is_refused(fed: Federation) -> None:
    made = fed.request()
    header = pb.Header.FromString(made.header)
    header.measures.append(ids.MEASURE_HOLD_INCOMING)
    made.header = header.SerializeToString()
    assert code_of(await fed.actor("ee/prosecutor").submit(made)) is ErrorCode.BAD_SIGNATURE


async def test_payload_swapped_under_a_signed_header_is_refused(fed: Federation) -> None:
    made, other = fed.request(), fed.request()
    made.sealed_payload = other.sealed_payload
    assert code_of(await fed.actor("ee/prosecutor").submit(made)) is ErrorCode.BAD_SIGNATURE


async def test_replay_with_the_same_bytes_gets_the_very_same_receipt(fed: Federation) -> None:
    prosecutor, made = fed.actor("ee/prosecutor"), fed.request()
    first = await prosecutor.answer(made)
    assert await prosecutor.answer(made) == first
    assert len(await fed.actor("de/central-authority").collect(1)) == 1
    assert await fed.actor("de/central-authority").waiting() == []


async def test_replay_with_other_bytes_is_a_conflict(fed: Federation) -> None:
    prosecutor, made = fed.actor("ee/prosecutor"), fed.request()
    await prosecutor.submit(made)
    header = pb.Header.FromString(made.header)
    header.case_id = "another"
    made.header = header.SerializeToString()
    del made.signatures[:]
    made.signatures.append(signature.sign(Domain.ENVELOPE, made.header, header.sender, prosecutor.key))
    made = fed.countersigned(made)
    assert code_of(await prosecutor.submit(made)) is ErrorCode.ID_CONFLICT


async def test_accepted_bytes_with_a_signature_more_are_a_conflict(fed: Federation) -> None:
    prosecutor, made = fed.actor("ee/prosecutor"), fed.request()
    await prosecutor.submit(made)
    more = fed.actor("ee/court").countersign(made)
    assert code_of(await prosecutor.submit(more)) is ErrorCode.ID_CONFLICT


async def test_retry_after_the_receipt_was_lost_is_not_told_that_it_is_out_of_order(fed: Federation) -> None:
    """`once` must not turn an accepted answer into a refusal when its sender asks again."""
    prosecutor, authority = fed.actor("ee/prosecutor"), fed.actor("ee/central-authority")
    draft = prosecutor.compose(ids.KIND_DRAFT, "ee/central-authority", measures=BLOCK, case_id="EE-1")
    await prosecutor.submit(draft)
    made = authority.compose(
        ids.KIND_COUNTERSIGNATURE, "ee/prosecutor", cites=(ref(draft),), outcome=ids.OUTCOME_GRANTED, case_id="EE-1"
    )
    first = await authority.answer(made)
    assert await authority.answer(made) == first
    again = authority.compose(
        ids.KIND_COUNTERSIGNATURE, "ee/prosecutor", cites=(ref(draft),), outcome=ids.OUTCOME_GRANTED, case_id="EE-1"
    )
    assert code_of(await authority.submit(again)) is ErrorCode.OUT_OF_ORDER


async def test_node_bringing_another_countrys_envelope_is_refused(fed: Federation) -> None:
    made = fed.actor("de/central-authority").compose(
        ids.KIND_EXECUTION_REPORT, "ee/prosecutor", outcome=ids.OUTCOME_GRANTED, instrument="eu-2018-1805"
    )
    (answer,) = await relay_one(fed.node_relay("ee", "de"), relay.RelayRequest(frame=1, envelopes=[made]))
    assert codec.error_from(answer.error).code is ErrorCode.NOT_PERMITTED


async def test_order_without_a_decision_is_refused(fed: Federation) -> None:
    court = fed.actor("de/court")
    uncited = court.compose(ids.KIND_DOMESTIC_ORDER, "de/exchange", measures=BLOCK)
    assert code_of(await court.submit(uncited)) is ErrorCode.OUT_OF_ORDER
    invented = ids.EnvelopeRef(sender="de/court", id="01a1fc5e-2c6e-7789-8d42-cc9ebb22a714")
    cited = court.compose(ids.KIND_DOMESTIC_ORDER, "de/exchange", measures=BLOCK, cites=(invented,))
    assert code_of(await court.submit(cited)) is ErrorCode.UNKNOWN_CITATION


async def test_request_without_an_instrument_in_force_is_refused(fed: Federation) -> None:
    made = fed.request(instrument="a-treaty-of-dreams")
    assert code_of(await fed.actor("ee/prosecutor").submit(made)) is ErrorCode.NO_LEGAL_BASIS


async def test_strangers_receipt_about_our_envelope_is_refused(fed: Federation) -> None:
    """A node that never had the envelope says that it was delivered; another says it in that node's name."""
    made = fed.request()
    await fed.actor("ee/prosecutor").submit(made)
    said = pb.Statement(
        envelope=ref(made),
        fingerprint=envelope.fingerprint(made),
        milestone=pb.MILESTONE_DELIVERED,
        issuer="de/node",
        at_us=to_micros(system_clock()),
        recipient="de/central-authority",
    )
    raw = said.SerializeToString()
    forged = pb.Receipt(
        statement=raw, signature=signature.sign(Domain.STATEMENT, raw, "de/node", SigningKey.generate())
    )
    (answer,) = await relay_one(fed.node_relay("de", "ee"), relay.RelayRequest(frame=1, receipts=[forged]))
    assert codec.error_from(answer.error).code is ErrorCode.BAD_RECEIPT


async def test_opened_stated_by_another_than_the_recipient_is_refused(fed: Federation) -> None:
    made = fed.request()
    await fed.actor("ee/prosecutor").submit(made)
    authority, court = fed.actor("de/central-authority"), fed.actor("de/court")
    (item,) = await authority.collect(1, acknowledge=False)
    said = pb.Statement(
        envelope=ref(made),
        fingerprint=envelope.fingerprint(made),
        milestone=pb.MILESTONE_OPENED,
        issuer="de/court",
        recipient="de/court",
        at_us=to_micros(system_clock()),
    )
    (lie,) = statement.issue([said], court.loaded.address, court.key)
    call = MailboxStub(authority.channel).Collect(timeout=UNTIL_SECONDS)
    await call.write(
        mailbox.CollectRequest(
            acknowledgements=[mailbox.Acknowledgement(delivery_id=item.delivery_id, held=True, statement=lie)]
        )
    )
    response = await call.read()
    assert isinstance(response, mailbox.CollectResponse)
    assert codec.error_from(response.settled[0].error).code is ErrorCode.BAD_RECEIPT
    call.cancel()


async def test_acknowledging_somebody_elses_delivery_is_refused(fed: Federation) -> None:
    await fed.actor("ee/prosecutor").submit(fed.request())
    (item,) = await fed.actor("de/central-authority").collect(1, acknowledge=False)
    call = MailboxStub(fed.actor("de/exchange").channel).Collect(timeout=UNTIL_SECONDS)
    await call.write(
        mailbox.CollectRequest(acknowledgements=[mailbox.Acknowledgement(delivery_id=item.delivery_id, held=True)])
    )
    response = await call.read()
    assert isinstance(response, mailbox.CollectResponse)
    assert codec.error_from(response.settled[0].error).code is ErrorCode.NOT_FOUND
    call.cancel()


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        pytest.param(lambda e: e.ClearField("signatures"), ErrorCode.MALFORMED, id="no signature"),
        pytest.param(lambda e: setattr(e, "header", b"\xff\xff"), ErrorCode.MALFORMED, id="header is no protobuf"),
        pytest.param(
            lambda e: setattr(e, "header", e.header + b"\xf8\x07\x01"), ErrorCode.MALFORMED, id="unknown field"
        ),
        pytest.param(lambda e: setattr(e, "header", e.header + e.header), ErrorCode.MALFORMED, id="header twice"),
        pytest.param(lambda e: e.ClearField("slots"), ErrorCode.MALFORMED, id="no slot"),
        pytest.param(
            lambda e: setattr(e, "sealed_payload", bytes(Limits().max_payload_bytes + 1)),
            ErrorCode.TOO_LARGE,
            id="payload over the limit",
        ),
    ],
)
async def test_malformed_or_oversized_input_is_refused_and_the_node_lives(
    fed: Federation, damage: Callable[[pb.SignedEnvelope], None], code: ErrorCode
) -> None:
    made = fed.request()
    damage(made)
    answer = await fed.actor("ee/prosecutor").answer(made)
    assert codec.error_from(answer.error).code is code
    assert (await fed.actor("ee/prosecutor").submit(fed.request())).milestone == pb.MILESTONE_ACCEPTED


async def test_oversized_frame_ends_the_stream_with_a_code_that_names_the_limit(fed: Federation) -> None:
    made = fed.request()
    made.sealed_payload = bytes(900_000)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await fed.actor("ee/prosecutor").submit_frame([made] * 5)
    error = transport.error_of(caught.value)
    assert error.code is ErrorCode.TOO_LARGE
    assert "max_frame_bytes" in error.detail


async def test_message_beyond_what_is_read_at_all_is_refused_by_the_transport(fed: Federation) -> None:
    made = fed.request()
    made.sealed_payload = bytes(fed.nodes["ee"].upkeep.material.config.limits.max_frame_bytes + WIRE_ALLOWANCE)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await fed.actor("ee/prosecutor").answer(made)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


EMPTY_SIGNATURE = b"\x12\x00"
EMPTY_ACKNOWLEDGEMENT = b"\x12\x00"
EMPTY_RECEIPT = b"\x1a\x00"


def sized(tag: bytes, content: bytes) -> bytes:
    """Return a field of a message: its tag, its length, its content."""
    size, length = len(content), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return tag + bytes([*length, size]) + content


STREAMS = ("Mailbox/SubmitFrames", "Mailbox/Collect", "Relay/Relay")


def as_it_is(raw: bytes) -> bytes:
    return raw


async def call_raw(channel: grpc.aio.Channel, method: str, raw: bytes) -> None:
    path = f"/rogatory.v1.{method}"
    if method not in STREAMS:
        await channel.unary_unary(path, as_it_is, as_it_is)(raw, timeout=UNTIL_SECONDS)
        return
    stream = channel.stream_stream(path, as_it_is, as_it_is)(timeout=UNTIL_SECONDS)
    await stream.write(raw)
    await stream.read()


async def refused_raw(channel: grpc.aio.Channel, method: str, raw: bytes) -> GatewayError:
    """Send bytes to a method as they are, and return the error that ends the call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call_raw(channel, method, raw)
    return transport.error_of(caught.value)


@pytest.mark.parametrize("count", [200_000, 2_000_000])
@pytest.mark.parametrize(
    ("method", "make"),
    [
        pytest.param("Mailbox/Submit", lambda n: sized(b"\x0a", EMPTY_SIGNATURE * n), id="submit"),
        pytest.param("Mailbox/SubmitFrames", lambda n: sized(b"\x12", EMPTY_SIGNATURE * n), id="frames"),
        pytest.param("Mailbox/Collect", lambda n: EMPTY_ACKNOWLEDGEMENT * n, id="collect"),
        pytest.param("Relay/Relay", lambda n: EMPTY_RECEIPT * n, id="relay"),
    ],
)
async def test_message_of_countless_empty_parts_does_not_fill_the_memory(
    fed: Federation, method: str, make: Callable[[int], bytes], count: int
) -> None:
    """Two bytes each on the wire, a hundred each when parsed: four megabytes would take two hundred, for each call."""
    channel = fed.node_channel("ee", "de") if method == "Relay/Relay" else fed.actor("de/central-authority").channel
    error = await refused_raw(channel, method, make(count))
    assert error.code is ErrorCode.TOO_LARGE
    assert "MOST_FIELDS" in error.detail


async def test_single_request_of_countless_parts_is_given_up_at_what_one_envelope_could_have(
    fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever is revoked, and has a certificate still, keeps a node busy with twenty small requests a second."""
    read, counted = codec._varint, 0

    def counting(raw: bytes, at: int) -> tuple[int, int]:
        nonlocal counted
        counted += 1
        return read(raw, at)

    monkeypatch.setattr(codec, "_varint", counting)
    raw = sized(b"\x0a", EMPTY_SIGNATURE * 200_000)
    error = await refused_raw(fed.actor("de/central-authority").channel, "Mailbox/Submit", raw)
    assert error.code is ErrorCode.TOO_LARGE
    assert 0 < counted <= 2 * (codec.MOST_FIELDS_ALONE + 1)  # a tag and a length each


@pytest.mark.parametrize("method", ["Mailbox/Submit", "Mailbox/SubmitFrames"])
async def test_envelope_with_countless_signatures_is_refused_before_they_are_looked_at(
    fed: Federation, method: str
) -> None:
    tag = b"\x0a" if method == "Mailbox/Submit" else b"\x12"
    raw = sized(tag, EMPTY_SIGNATURE * 30_000)
    error = await refused_raw(fed.actor("de/central-authority").channel, method, raw)
    assert error.code is ErrorCode.TOO_LARGE
    assert "MOST_PARTS" in error.detail


@pytest.mark.parametrize(
    "method",
    ["Mailbox/Submit", "Mailbox/SubmitFrames", "Trace/GetTrace", "Directory/GetDirectory", "Attachments/Download"],
)
async def test_bytes_that_are_no_message_are_refused_and_not_to_be_tried_again(fed: Federation, method: str) -> None:
    error = await refused_raw(fed.actor("ee/prosecutor").channel, method, b"\xff\xff\xff")
    assert error.code is ErrorCode.MALFORMED


async def test_operator_has_no_keys_to_send_and_participants_may_not_trace(fed: Federation) -> None:
    for who in ("ee/prosecutor", "ee/exchange", "ee/registrar"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await TraceStub(fed.actor(who).channel).GetTrace(GetTraceRequest(key="EE-1"), timeout=UNTIL_SECONDS)
        assert transport.error_of(caught.value).code is ErrorCode.NOT_PERMITTED


async def test_participant_may_not_relay_and_a_node_has_no_mailbox(fed: Federation) -> None:
    # Refused before a frame is looked at, so perhaps before it is written.
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await relay_one(RelayStub(fed.actor("ee/prosecutor").channel), relay.RelayRequest(envelopes=[fed.request()]))
    assert transport.error_of(caught.value).code is ErrorCode.NOT_PERMITTED


async def test_refused_envelope_never_reaches_anybody(fed: Federation) -> None:
    made = fed.request()
    del made.signatures[1]
    await fed.actor("ee/prosecutor").submit(made)
    assert await fed.actor("de/central-authority").waiting() == []


async def test_receipt_that_hides_what_its_reader_would_refuse_is_not_passed_on(fed: Federation) -> None:
    """Else the sender could never acknowledge it, and would never learn that its envelope was opened."""
    made = fed.request()
    await fed.actor("ee/prosecutor").submit(made)
    authority = fed.actor("de/central-authority")
    (item,) = await authority.collect(1, acknowledge=False)
    word = opened(authority, made)
    word.signature.MergeFromString(b"\xf8\x07\x01")
    call = MailboxStub(authority.channel).Collect(timeout=UNTIL_SECONDS)
    for receipt, expected in ((word, ErrorCode.BAD_RECEIPT), (opened(authority, made), None)):
        ack = mailbox.Acknowledgement(delivery_id=item.delivery_id, held=True, statement=receipt)
        await call.write(mailbox.CollectRequest(acknowledgements=[ack]))
        response = await call.read()
        assert isinstance(response, mailbox.CollectResponse)
        error = response.settled[0].error if response.settled[0].HasField("error") else None
        assert (None if error is None else codec.error_from(error).code) is expected
    call.cancel()
    told = {fed.actor("ee/prosecutor").said(each).milestone for each in await fed.actor("ee/prosecutor").collect(3)}
    assert told == {pb.MILESTONE_ACCEPTED, pb.MILESTONE_DELIVERED, pb.MILESTONE_OPENED}


def opened(recipient: Actor, made: pb.SignedEnvelope) -> pb.Receipt:
    said = pb.Statement(
        envelope=ref(made),
        fingerprint=envelope.fingerprint(made),
        milestone=pb.MILESTONE_OPENED,
        issuer=recipient.address,
        recipient=recipient.address,
        at_us=to_micros(system_clock()),
    )
    (receipt,) = statement.issue([said], recipient.loaded.address, recipient.key)
    return receipt


async def test_node_that_states_two_ends_of_one_envelope_is_believed_once(fed: Federation) -> None:
    made = fed.request()
    await fed.actor("ee/prosecutor").submit(made)
    await fed.actor("de/central-authority").collect(1)
    await fed.actor("ee/prosecutor").collect(2)
    loaded = material.load_node(fed.summary.config("de/node"))
    lies = [
        pb.Statement(
            envelope=ref(made),
            fingerprint=envelope.fingerprint(made),
            milestone=milestone,
            issuer="de/node",
            recipient="de/central-authority",
            at_us=to_micros(system_clock()) + number,
        )
        for number, milestone in enumerate((pb.MILESTONE_EXPIRED, pb.MILESTONE_REFUSED, pb.MILESTONE_DELIVERED))
    ]
    receipts = statement.issue(lies, loaded.address, loaded.signing_key)
    answers = await relay_one(fed.node_relay("de", "ee"), relay.RelayRequest(frame=1, receipts=receipts))
    # What it has accepted it cannot refuse, and what has no end does not expire; the third is what it said before.
    assert [answer.noted for answer in answers] == [False, False, True]
    assert await fed.actor("ee/prosecutor").waiting() == []


# What a node says when it ends a call


class Nonsense(grpc.GenericRpcHandler):
    """Stands in a node's place, and ends each call of one kind with status details that nobody can read."""

    def __init__(self, method: str, details: bytes) -> None:
        self.method = method
        self.details = details
        self.ended = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if handler_call_details.method != self.method:
            return None
        return grpc.stream_stream_rpc_method_handler(self.end)

    async def end(self, requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        self.ended += 1
        context.set_trailing_metadata((("grpc-status-details-bin", self.details),))
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "x")
        yield b""


@asynccontextmanager
async def nonsense(fed: Federation, method: str, details: bytes) -> AsyncIterator[Nonsense]:
    """Have such a one answer in de's place."""
    made = Nonsense(method, details)
    async with in_the_place_of_de(fed, made):
        yield made


@asynccontextmanager
async def in_the_place_of_de(fed: Federation, made: grpc.GenericRpcHandler) -> AsyncIterator[None]:
    """Have somebody answer in de's place, with de's own certificate."""
    loaded = await asyncio.to_thread(material.load_node, fed.summary.config("de/node"))
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((made,))
    door = transport.DoorTls(loaded.identity, tuple(node.ca_pem for node in fed.directory.nodes))
    server.add_secure_port(loaded.config.listen, transport.server_credentials(lambda: door))
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


NONSENSE = [
    pytest.param(b"\xff\xff\xff", id="undecodable"),
    pytest.param(GrpcStatus(code=5, message="else").SerializeToString(), id="another status"),
]


@pytest.mark.parametrize("details", NONSENSE)
async def test_node_that_ends_a_relay_with_nonsense_ends_no_other_node_and_loses_nothing(
    tmp_path: Path, details: bytes
) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        ee, made = fed.nodes["ee"], fed.request()
        async with nonsense(fed, "/rogatory.v1.Relay/Relay", details) as liar:
            await fed.actor("ee/prosecutor").submit(made)
            await until(lambda: liar.ended >= 2 or ee._parts.has_failed)
        assert not ee._parts.has_failed
        await fed.start("de")
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == made
        assert not ee._parts.has_failed


@pytest.mark.parametrize("details", NONSENSE)
async def test_node_that_hands_out_nonsense_for_a_directory_ends_no_other_node_and_keeps_no_news_out(
    tmp_path: Path, details: bytes
) -> None:
    async with registering(tmp_path / "fed", start=["ee"]) as fed:
        ee = fed.nodes["ee"]
        async with nonsense(fed, "/rogatory.v1.Directory/GetDirectory", details) as liar:
            await until(lambda: liar.ended >= 2 or ee._parts.has_failed)
            assert not ee._parts.has_failed
            others = tuple(
                each.model_copy(update={"status": Status.REVOKED}) if str(each.address) == "de/fiu" else each
                for each in fed.directory.participants
            )
            assert others != fed.directory.participants
            changed = fed.directory.model_copy(update={"participants": others})
            await asyncio.to_thread(fed.sign_anew, changed)
            await until(lambda: not ee.upkeep.directory().roles("de/fiu") or ee._parts.has_failed)
        assert not ee._parts.has_failed


@pytest.mark.parametrize("details", NONSENSE)
async def test_node_that_answers_a_question_with_nonsense_is_unavailable_to_who_asked(
    tmp_path: Path, details: bytes
) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        made = fed.request()
        await fed.actor("ee/prosecutor").submit(made)
        async with nonsense(fed, "/rogatory.v1.Relay/TraceBetween", details) as liar:
            with pytest.raises(GatewayError) as caught:
                await fed.nodes["ee"].neighbours.ask_trace("de", ref(made).id)
            assert liar.ended >= 1
        assert caught.value.code is ErrorCode.UNAVAILABLE
        assert not fed.nodes["ee"]._parts.has_failed


class Babbler(grpc.GenericRpcHandler):
    """Stands in a node's place, and answers every call with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        if handler_call_details.method in {f"/rogatory.v1.{method}" for method in STREAMS}:
            return grpc.stream_stream_rpc_method_handler(self.stream)
        return grpc.unary_unary_rpc_method_handler(self.unary)

    async def unary(self, request: bytes, context: object) -> bytes:
        return self.answer

    async def stream(self, requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        async for _ in requests:
            yield self.answer


@pytest.mark.parametrize(
    "answer",
    [pytest.param(b"\xff\xff\xff", id="undecodable"), pytest.param(b"\x0a\x00" * 2_000_000, id="countless parts")],
)
async def test_answer_that_cannot_be_read_is_as_good_as_an_empty_one(tmp_path: Path, answer: bytes) -> None:
    """gRPC hands out None in its place, at which a node, or a participant's program, would fall over."""
    async with federation(tmp_path / "fed", start=["ee"]) as fed, in_the_place_of_de(fed, Babbler(answer)):
        assert await fed.nodes["ee"].neighbours.ask_trace("de", ref(fed.request()).id) == []
        mailbox_of_de = MailboxStub(fed.actor("de/central-authority").channel)
        said = await mailbox_of_de.Submit(mailbox.SubmitRequest(), timeout=UNTIL_SECONDS)
        assert said == mailbox.SubmitResponse()
        call = mailbox_of_de.Collect(timeout=UNTIL_SECONDS)
        await call.write(mailbox.CollectRequest(credit=1))
        assert await call.read() == mailbox.CollectResponse()
        call.cancel()
