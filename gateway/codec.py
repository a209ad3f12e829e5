"""From bytes to messages that keep the contract, and nothing else.

The one place where protobuf's and protovalidate's own exceptions become ours.
In: bytes or parsed messages. Out: messages whose every protovalidate rule holds. Refuses with MALFORMED and the
path of the first field that broke a rule, and with TOO_LARGE what would fill the memory before any rule is asked.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final, TypeVar, cast

import protovalidate
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from rogatory.v1 import errors_pb2

from gateway.errors import FIRST_FAILURE, ErrorCode, Failure, GatewayError, Refusal, Unread

M = TypeVar("M", bound=Message)

# As in errors.proto and envelope.proto (Statement): a longer text is cut, it never makes an error of its own.
MAX_DETAIL_CHARS: Final = 500
MAX_FIELD_CHARS: Final = 200

MOST_FIELDS: Final = 3 << 13
"""Of one message over the wire and of all within it. A frame of 64 envelopes and 64 receipts, of which each is signed
and sealed as often as its contract allows, has 21,000."""

MOST_FIELDS_ALONE: Final = 1 << 11
"""Of a request that is no stream's: one envelope has 300. It is read before it is asked whose it is, on the event loop,
and to count as many as a frame may have takes twenty milliseconds."""

COUNTED_ABOVE: Final = 256 << 10
"""Bytes. To count takes longer than to parse, and what our clients and couriers send of many parts is no larger."""

_CONTINUES: Final = 0x80  # in every byte of a varint but its last
_LONGEST_VARINT: Final = 10


def check(message: Message, code: ErrorCode = ErrorCode.MALFORMED) -> None:
    """Check a parsed message against the rules in its .proto file.

    Raises:
        Refusal: `code`, with the path of the field and the rule that it broke.
    """
    try:
        protovalidate.validate(message, fail_fast=True)
    except protovalidate.ValidationError as error:
        violation = error.violations[0]
        path = _path(violation.proto)
        rule = violation.proto.rule_id
        text = violation.proto.message or rule
        raise Refusal(code, f"{type(message).__name__} {path or 'as a whole'}: {text} [{rule}]", path) from error


def heard(kind: type[M], raw: bytes, most_fields: int = MOST_FIELDS) -> M:
    """Parse a whole message as it came over the wire, of whoever; none of its rules is checked.

    An empty message within another takes two bytes there and a hundred here, so its fields are counted first: four
    megabytes would else take more than two hundred.

    Raises:
        Unread: TOO_LARGE, naming the limit; MALFORMED, the bytes do not parse.
    """
    # The stubs know two classes of descriptors, and the library gives one.
    if len(raw) > COUNTED_ABOVE and _has_more_fields(raw, cast("Descriptor", kind.DESCRIPTOR), most_fields):
        raise Unread(ErrorCode.TOO_LARGE, f"a message has more than MOST_FIELDS = {most_fields} fields")
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise Unread(ErrorCode.MALFORMED, f"not a {kind.__name__}: the bytes do not parse") from error


def _has_more_fields(raw: bytes, kind: Descriptor, most: int) -> bool:
    """Whether a message and those within it have more fields than that. What does not parse may be miscounted."""
    count, left = 0, [(0, len(raw), kind)]
    while left:
        at, end, of = left.pop()
        within = _within(of)
        while at < end:
            count += 1
            if count > most:
                return True
            tag, at = _varint(raw, at)
            match tag & 7:
                case 0:
                    _, at = _varint(raw, at)
                case 1:
                    at += 8
                case 2:
                    size, at = _varint(raw, at)
                    inner = within.get(tag >> 3)
                    if inner is not None:
                        left.append((at, min(at + size, end), inner))
                    at += size
                case 5:
                    at += 4
                # The others, begin and end of a group, are tags alone.
    return False


@cache
def _within(kind: Descriptor) -> Mapping[int, Descriptor]:
    """Return the fields of a message that are messages, by number."""
    return {each.number: each.message_type for each in kind.fields if each.message_type is not None}


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it; beyond the end there are noughts."""
    if at < len(raw) and raw[at] < _CONTINUES:
        return raw[at], at + 1  # nearly all of them
    value, shift = 0, 0
    for byte in raw[at : at + _LONGEST_VARINT]:
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < _CONTINUES:
            return value, at
        shift += 7
    return value, at + 1


def parse(kind: type[M], raw: bytes, code: ErrorCode = ErrorCode.MALFORMED) -> M:
    """Parse `raw` and check it.

    The encoding must be the one that all our writers give: no unknown field, no field twice, no default written out,
    fields by number. Otherwise two readers could see different things in the same signed bytes, or a signer could hide
    what no reader sees. Comparing lengths would not do: an unpacked list saves the bytes that something hidden takes.

    Raises:
        Refusal: `code`.
    """
    message = kind()
    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise Refusal(code, f"not a {kind.__name__}: the bytes do not parse") from error
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) != raw:
        raise Refusal(code, f"{kind.__name__} has unknown or repeated fields, or is not in its one encoding")
    check(message, code)
    return message


def error_message(error: GatewayError) -> errors_pb2.Error:
    """Return an error as it travels."""
    return errors_pb2.Error(
        code=errors_pb2.ErrorCode.ValueType(error.code),
        detail=error.detail[:MAX_DETAIL_CHARS],
        field=error.field[:MAX_FIELD_CHARS],
        retry_after_ms=0 if error.retry_after is None else max(1, round(error.retry_after * 1000)),
        rule=error.rule,
    )


def error_from(message: errors_pb2.Error) -> GatewayError:
    """Return the error that travelled as `message`.

    A code of a newer version becomes a failure: what it means is not known, so nothing may be taken as decided.
    """
    try:
        code = ErrorCode(message.code)
    except ValueError:
        return Failure(ErrorCode.INTERNAL, f"an error of the unknown code {message.code}: {message.detail}")
    if code < FIRST_FAILURE:
        return Refusal(code, message.detail, message.field, rule=message.rule)
    return Failure(code, message.detail, message.field, message.retry_after_ms / 1000 or None)


def _path(violation: object) -> str:
    """Return a violation's field path as text, e.g. `wallets[3].chain`."""
    field = getattr(violation, "field", None)
    text = ""
    for element in getattr(field, "elements", ()):
        text += ("." if text else "") + element.field_name
        subscript = getattr(element, "subscript", None)
        index = getattr(subscript, "value", None)
        if index is not None:
            text += f"[{index}]"
    return text
