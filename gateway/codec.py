"""From bytes to messages that keep the contract, and nothing else.

The one place where protobuf's and protovalidate's own exceptions become ours.
In: bytes or parsed messages. Out: messages whose every protovalidate rule holds. Refuses with MALFORMED and the
path of the first field that broke a rule.
"""

from typing import TypeVar

import protovalidate
from google.protobuf.message import DecodeError, Message

from gateway.errors import ErrorCode, Refusal

M = TypeVar("M", bound=Message)


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


def parse(kind: type[M], raw: bytes, code: ErrorCode = ErrorCode.MALFORMED) -> M:
    """Parse `raw` and check it.

    The encoding must be the shortest one: no unknown field, no field twice, no default written out. Otherwise two
    readers could see different things in the same signed bytes, or a signer could hide what no reader sees.

    Raises:
        Refusal: `code`.
    """
    message = kind()
    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise Refusal(code, f"not a {kind.__name__}: the bytes do not parse") from error
    known = kind()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    if known.ByteSize() != len(raw):
        raise Refusal(code, f"{kind.__name__} has unknown or repeated fields, or is not in its shortest encoding")
    check(message, code)
    return message


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
