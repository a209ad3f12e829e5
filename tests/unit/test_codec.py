from collections.abc import Callable

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2, mailbox_pb2, relay_pb2
from rogatory.v1 import identifiers_pb2 as ids

from gateway import codec
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal, Unread

HEADER = pb.Header(
    version=1,
    id="01890a5d-ac96-774b-bcce-b302099a8057",
    kind=ids.KIND_FREEZE_REQUEST,
    sender="ee/prosecutor",
    recipients=["de/central"],
    case_id="EE-1",
    cites=[ids.EnvelopeRef(sender="ee/prosecutor", id="01890a5d-ac96-774b-bcce-b302099a8058")],
    measures=[ids.MEASURE_BLOCK_WITHDRAWAL],
    data_classes=[ids.DATA_CLASS_BALANCE],
    urgency=ids.URGENCY_URGENT,
    created_at_us=1_700_000_000_000_000,
    sender_key_id=bytes(16),
    payload_digest=bytes(32),
    slots_digest=bytes(32),
    commitment=bytes(32),
)
RAW = HEADER.SerializeToString()
UNKNOWN = b"\xf0\x07\x01"  # field 126, a varint
PACKED = b"\x5a\x01\x01\x62\x01\x04"  # measures and data_classes as they should be: 6 bytes
UNPACKED = b"\x58\x01\x60\x04"  # the same in 4 bytes: parsers must take both forms


def altered(change: Callable[[pb.Header], object]) -> bytes:
    header = pb.Header()
    header.CopyFrom(HEADER)
    change(header)
    return header.SerializeToString()


def refusal(raw: bytes, code: ErrorCode = ErrorCode.MALFORMED) -> Refusal:
    with pytest.raises(Refusal) as caught:
        codec.parse(pb.Header, raw, code)
    assert caught.value.code is code
    return caught.value


def parsed_or_malformed(raw: bytes) -> pb.Header | None:
    try:
        return codec.parse(pb.Header, raw)
    except Refusal as error:
        if error.code is not ErrorCode.MALFORMED:
            raise
        return None


def replaced(old: bytes, new: bytes) -> bytes:
    assert RAW.count(old) == 1
    return RAW.replace(old, new)


def test_well_formed_message_is_parsed_to_itself() -> None:
    assert codec.parse(pb.Header, RAW) == HEADER


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing at all"),
        pytest.param(b"\xff", id="no protobuf"),
        pytest.param(RAW[:-1], id="cut short"),
        pytest.param(replaced(b"ee/prosecutor\x2a", b"ee/prosecuto\xff\x2a"), id="text that is not UTF-8"),
        pytest.param(RAW + UNKNOWN, id="unknown field"),
        pytest.param(b"\x08\x02" + RAW, id="field twice, the last one wins"),
        pytest.param(RAW + b"\x52\x00", id="the wrong wire type for a known field"),
        pytest.param(RAW + b"\x50\x00", id="default written out"),
        pytest.param(replaced(b"\x08\x01", b"\x08\x81\x00"), id="number in more bytes than it needs"),
        pytest.param(replaced(PACKED, UNPACKED), id="shorter than we would write it"),
        # Each of the next saves two bytes with unpacked lists and spends them on what it hides.
        pytest.param(b"\x08\x02" + replaced(PACKED, UNPACKED), id="field twice at the right length"),
        pytest.param(
            replaced(PACKED, UNPACKED) + b"\x48\x00",
            id="outcome twice at the right length",
        ),
        pytest.param(replaced(PACKED, b"\x58\x81\x00\x60\x84\x00"), id="long numbers at the right length"),
        pytest.param(RAW[2:] + RAW[:2], id="fields in another order"),
    ],
)
def test_bytes_that_two_readers_might_read_differently_are_refused(raw: bytes) -> None:
    refusal(raw)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param(lambda h: h.ClearField("version"), "version", id="no version"),
        pytest.param(lambda h: setattr(h, "version", 2), "version", id="unknown version"),
        pytest.param(lambda h: setattr(h, "id", "01890a5d-ac96-474b-bcce-b302099a8057"), "id", id="UUIDv4"),
        pytest.param(lambda h: setattr(h, "id", h.id.upper()), "id", id="UUID in capitals"),
        pytest.param(lambda h: setattr(h, "id", h.id + "\n"), "id", id="line end after the id"),
        pytest.param(lambda h: h.ClearField("kind"), "kind", id="no kind"),
        pytest.param(lambda h: setattr(h, "kind", 99), "kind", id="unknown kind"),
        pytest.param(lambda h: setattr(h, "sender", "EE/prosecutor"), "sender", id="sender in capitals"),
        pytest.param(lambda h: setattr(h, "sender", "ee/prosecutor\n"), "sender", id="line end after the sender"),
        pytest.param(lambda h: h.ClearField("recipients"), "recipients", id="nobody to go to"),
        pytest.param(lambda h: h.recipients.append("de/central"), "recipients", id="recipient twice"),
        pytest.param(lambda h: h.recipients.append("../etc"), "recipients[1]", id="second recipient is no address"),
        pytest.param(lambda h: setattr(h, "case_id", "a b"), "case_id", id="case id with a space"),
        pytest.param(lambda h: setattr(h.cites[0], "id", "x"), "cites[0].id", id="citation is no name"),
        pytest.param(lambda h: h.measures.append(0), "measures[1]", id="no measure"),
        pytest.param(lambda h: h.measures.append(1), "measures", id="measure twice"),
        pytest.param(lambda h: h.data_classes.append(77), "data_classes[1]", id="unknown data class"),
        pytest.param(lambda h: h.ClearField("urgency"), "urgency", id="no urgency"),
        pytest.param(lambda h: h.ClearField("created_at_us"), "created_at_us", id="no time"),
        pytest.param(lambda h: setattr(h, "created_at_us", -1), "created_at_us", id="time before 1970"),
        pytest.param(lambda h: setattr(h, "created_at_us", 253402300800000000), "created_at_us", id="year 10000"),
        pytest.param(lambda h: setattr(h, "expires_at_us", 0), "expires_at_us", id="expiry of zero"),
        pytest.param(lambda h: setattr(h, "sender_key_id", bytes(15)), "sender_key_id", id="short key id"),
        pytest.param(lambda h: setattr(h, "payload_digest", bytes(33)), "payload_digest", id="long digest"),
        pytest.param(lambda h: setattr(h, "traceparent", "00-" + "0" * 32), "traceparent", id="half a traceparent"),
    ],
)
def test_broken_rule_is_refused_with_its_field(change: Callable[[pb.Header], object], field: str) -> None:
    assert refusal(altered(change)).field == field


def test_refusal_bears_the_code_that_the_caller_wants() -> None:
    refusal(b"\xff", ErrorCode.BAD_RECEIPT)
    refusal(RAW + UNKNOWN, ErrorCode.CONTENT_MISMATCH)
    refusal(altered(lambda h: h.ClearField("kind")), ErrorCode.CANNOT_OPEN)


def test_unknown_field_deep_inside_is_refused() -> None:
    cited = HEADER.cites[0].SerializeToString()
    refusal(replaced(bytes([len(cited)]) + cited, bytes([len(cited) + len(UNKNOWN)]) + cited + UNKNOWN))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(raw: bytes) -> None:
    parsed = parsed_or_malformed(raw)
    assert parsed is None or parsed.SerializeToString() == raw


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_altered_byte_is_another_message_or_malformed(position: int, mask: int) -> None:
    raw = bytearray(RAW)
    raw[position] ^= mask
    assert parsed_or_malformed(bytes(raw)) != HEADER


@pytest.mark.parametrize(
    "error",
    [
        Refusal(ErrorCode.EXCEEDS_GRANT, "beyond", "measures[1]"),
        Failure(ErrorCode.OVERLOADED, "busy", retry_after=1.5),
        Failure(ErrorCode.STORE, "disk"),
    ],
    ids=str,
)
def test_error_arrives_as_it_was_sent(error: GatewayError) -> None:
    arrived = codec.error_from(codec.error_message(error))
    assert type(arrived) is type(error)
    assert (arrived.code, arrived.detail, arrived.field) == (error.code, error.detail, error.field)
    assert arrived.retry_after == error.retry_after


def test_every_error_fits_into_its_message_however_long_its_text() -> None:
    codec.check(codec.error_message(Refusal(ErrorCode.MALFORMED, "x" * 5000, "y" * 5000)))


@pytest.mark.parametrize("code", [0, 97_531])
def test_error_of_a_code_that_nobody_knows_decides_nothing(code: int) -> None:
    message = errors_pb2.Error(code=errors_pb2.ErrorCode.ValueType(code), detail="new")
    arrived = codec.error_from(message)
    assert isinstance(arrived, Failure)
    assert arrived.code is ErrorCode.INTERNAL


# Of a batch as large as there is one.
SIGNED = pb.Signature(
    signer="ee/prosecutor",
    key_id=bytes(16),
    signature=bytes(64),
    batch=pb.BatchPath(index=1, size=1 << 16, path=[bytes(32)] * 16),
)
LARGEST = pb.SignedEnvelope(
    header=bytes(1 << 10),
    signatures=[SIGNED] * 8,
    sealed_payload=bytes(1 << 10),
    slots=[pb.Slot(key_id=bytes(16), sealed=bytes(80))] * 32,
    attachments=bytes(1 << 10),
)
WORD = pb.Receipt(statement=bytes(200), signature=SIGNED)


@pytest.mark.parametrize(
    ("message", "most"),
    [
        pytest.param(
            relay_pb2.RelayRequest(frame=1, envelopes=[LARGEST] * 64, receipts=[WORD] * 64),
            codec.MOST_FIELDS,
            id="relay",
        ),
        pytest.param(
            mailbox_pb2.CollectRequest(
                credit=1024,
                acknowledgements=[mailbox_pb2.Acknowledgement(delivery_id=7, held=True, statement=WORD)] * 256,
            ),
            codec.MOST_FIELDS,
            id="collect",
        ),
        pytest.param(mailbox_pb2.SubmitRequest(envelope=LARGEST), codec.MOST_FIELDS_ALONE, id="submit"),
    ],
)
def test_largest_message_that_keeps_its_contract_has_no_more_fields_than_are_read(
    monkeypatch: pytest.MonkeyPatch, message: Message, most: int
) -> None:
    monkeypatch.setattr(codec, "COUNTED_ABOVE", 0)
    codec.check(message)
    assert codec.heard(type(message), message.SerializeToString(), most) == message


def test_what_is_refused_unread_is_told_from_what_is_refused_for_what_is_in_it() -> None:
    with pytest.raises(Unread):
        codec.heard(mailbox_pb2.SubmitRequest, b"\xff")
    with pytest.raises(Unread):
        codec.heard(mailbox_pb2.CollectRequest, b"\x12\x00" * (1 << 18))
