"""The JSON form of documents: one text for one document, and a strict reading of anybody else's.

In: a message, or bytes and the message that they should be. Out: canonical bytes, or that message. Refuses with
BAD_INPUT, the field and the rule: what is no JSON, names a field twice (also under both its names), has a field that
the message has not, or a value that the field cannot hold. A refusal names the rule and the place, never the value: it
may be content.

Protobuf's own reader is not enough: it takes `1_0` and Arabic digits for a number, passes over characters that are not
base64, and lets the later of two equal names win. Two readers could then see
two documents in one text. So every value is looked at here first, and protobuf reads only what has passed.

Sources: the ProtoJSON format (protobuf.dev); RFC 8785 (JCS) for the one text; RFC 7493 (I-JSON) for numbers, names and
surrogates; RFC 4648 for base64. Our contract has no floats and no maps, which JCS and this reader rely on.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.formats.codes import Code, refuse
from gateway.formats.reading import fault

M = TypeVar("M", bound=Message)

TYPE: Final = "@type"
"""A document in a file may say what it is: its message's full name, e.g. `rogatory.v1.FreezeRequest`."""

MAX_SAFE: Final = (1 << 53) - 1
"""RFC 7493, 2.2: beyond it readers with floats see another number; a text has no such limit."""

_DECIMAL: Final = re.compile(r"0|-?[1-9][0-9]{0,19}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}|[A-Za-z0-9_-]*={0,2}")

Kind: TypeAlias = int
_RANGES: Final[Mapping[Kind, tuple[int, int]]] = MappingProxyType(
    {
        FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
        FieldDescriptor.TYPE_UINT32: (0, (1 << 32) - 1),
        FieldDescriptor.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
        FieldDescriptor.TYPE_UINT64: (0, (1 << 64) - 1),
    }
)


def to_json(message: Message) -> bytes:
    """Return the one JSON text of a message, in UTF-8.

    Raises:
        Refusal: BAD_INPUT, rule ENUM_NAME: a value of an enum has no name in our version of the contract, so that the
            text could not be read back.

    Source: ProtoJSON; RFC 8785, 3.2: names sorted, no white space, shortest escapes.
    """
    return canonical(to_object(message))


def canonical(value: object) -> bytes:
    """Return the one text of a JSON value whose names are ASCII and whose numbers are whole (RFC 8785)."""
    # So that the order of code points is that of UTF-16 code units, as RFC 8785, 3.2.3 wants it.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def to_object(message: Message) -> dict[str, object]:
    """Return what `to_json` writes, as a JSON object.

    Raises:
        Refusal: as `to_json` does.
    """
    _check_enums(message, "")
    return json_format.MessageToDict(message)


def from_json(raw: bytes, kind: type[M]) -> M:
    """Return the message in a JSON text. The rules of its format are for others to check.

    Raises:
        Refusal: BAD_INPUT, with the field; rule NOT_JSON, FIELD_TWICE, UNKNOWN_FIELD, WRONG_TYPE, NULL, NUMBER,
            ENUM_NAME, BASE64, LONE_SURROGATE, or DOCUMENT_TYPE if it says that it is another document.
    """
    return from_object(load(raw), kind)


def from_object(value: object, kind: type[M], where: str = "") -> M:
    """Return the message in a JSON value that `load` has read; refuses as `from_json` does."""
    made = kind()
    shape: Descriptor = made.DESCRIPTOR  # type: ignore[assignment]  # upb's own class is the same to its users
    entry = dict(_object(value, where))
    if entry.pop(TYPE, shape.full_name) != shape.full_name:
        raise refuse(Code.DOCUMENT_TYPE, f"it says that it is no {shape.name}", _within(where, TYPE))
    _check_message(entry, shape, where)
    try:
        json_format.ParseDict(entry, made)
    except (json_format.Error, ValueError, TypeError) as error:  # pragma: no cover  what passes here, protobuf reads
        raise refuse(Code.WRONG_TYPE, f"no {shape.name} in protobuf JSON", where) from error
    return made


class _Twice(dict[str, object]):
    """An object that names a field twice; who walks over it knows where it stands."""

    name: str


def load(raw: bytes) -> object:
    """Return the JSON value in a text.

    Raises:
        Refusal: BAD_INPUT, rule NOT_JSON: it is none, in UTF-8, without a byte order mark.
    """
    try:
        return json.loads(raw.decode(), object_pairs_hook=_pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refuse(Code.NOT_JSON, fault(error), "") from error


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            twice = _Twice()
            twice.name = name
            return twice
        found[name] = value
    return found


def _no_constant(name: str) -> object:
    raise ValueError(name)  # NaN and infinities: Python reads them, JSON has none


def _object(value: object, where: str) -> Mapping[str, object]:
    if isinstance(value, _Twice):
        raise refuse(Code.FIELD_TWICE, "this field is there twice", _within(where, value.name))
    if not isinstance(value, dict):
        raise refuse(Code.WRONG_TYPE, "an object is wanted", where)
    return value


def _check_message(value: Mapping[str, object], shape: Descriptor, where: str) -> None:
    """Check an object: first its names, then its values, so that what is unknown is told before what is wrong."""
    known = {name: field for field in shape.fields for name in (field.name, field.json_name)}
    seen: set[str] = set()
    for name in value:
        if name not in known:
            raise refuse(Code.UNKNOWN_FIELD, f"{shape.name} has no such field", _within(where, name))
        if known[name].name in seen:
            raise refuse(Code.FIELD_TWICE, "this field is there twice", _within(where, name))
        seen.add(known[name].name)
    for choice in shape.oneofs:
        told = [name for name in value if known[name].containing_oneof is choice]
        if len(told) > 1:
            raise refuse(Code.FIELD_TWICE, "only one of these may be there", _within(where, told[1]))
    for name, inner in value.items():
        _check_field(inner, known[name], _within(where, name))


def _check_field(value: object, field: FieldDescriptor, where: str) -> None:
    if not field.is_repeated:
        _check_value(value, field, where)
        return
    if not isinstance(value, list):
        raise refuse(Code.WRONG_TYPE, "a list is wanted", where)
    for position, one in enumerate(value):
        _check_value(one, field, f"{where}[{position}]")


def _check_value(value: object, field: FieldDescriptor, where: str) -> None:
    if value is None:
        raise refuse(Code.NULL, "what is not there is left out, not null", where)
    if field.message_type is not None:
        _check_message(_object(value, where), field.message_type, where)
    elif field.enum_type is not None:
        _check_enum_name(value, field.enum_type, where)
    elif field.type in _RANGES:
        _check_number(value, *_RANGES[field.type], where)
    else:
        _CHECKS[field.type](value, where)


def _check_enum_name(value: object, enum: EnumDescriptor, where: str) -> None:
    # ProtoJSON also takes numbers. A person cannot read one, and a number without a name says nothing here at all.
    if not isinstance(value, str) or value not in enum.values_by_name:
        names = ", ".join(each.name for each in enum.values if each.number)
        raise refuse(Code.ENUM_NAME, f"one of these is wanted: {names}", where)


def _check_number(value: object, least: int, most: int, where: str) -> None:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_SAFE:
        number = value
    else:
        raise refuse(Code.NUMBER, "a whole number is wanted; beyond 2^53, and best always, as a text", where)
    if not least <= number <= most:
        raise refuse(Code.NUMBER, f"a number from {least} to {most} is wanted", where)


def _check_text(value: object, where: str) -> None:
    if not isinstance(value, str):
        raise refuse(Code.WRONG_TYPE, "a text is wanted", where)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise refuse(Code.LONE_SURROGATE, "half of a surrogate pair is no character", where)


def _check_bool(value: object, where: str) -> None:
    if not isinstance(value, bool):
        raise refuse(Code.WRONG_TYPE, "true or false is wanted", where)


def _check_bytes(value: object, where: str) -> None:
    """Check that a text is base64 of either alphabet, and that no bit of its last character is left over."""
    if not isinstance(value, str):
        raise refuse(Code.WRONG_TYPE, "a text in base64 is wanted", where)
    plain = value.rstrip("=").replace("-", "+").replace("_", "/")
    padded = plain + "=" * (-len(plain) % 4)
    whole = _BASE64.fullmatch(value) and len(plain) % 4 != 1 and value[len(plain) :] in {"", padded[len(plain) :]}
    if not whole or base64.b64encode(base64.b64decode(padded)).decode() != padded:
        raise refuse(Code.BASE64, "a text in base64 is wanted", where)


_CHECKS: Final[Mapping[Kind, Callable[[object, str], None]]] = MappingProxyType(
    {
        FieldDescriptor.TYPE_STRING: _check_text,
        FieldDescriptor.TYPE_BYTES: _check_bytes,
        FieldDescriptor.TYPE_BOOL: _check_bool,
    }
)


def _check_enums(message: Message, where: str) -> None:
    """Check that every value of an enum has a name; protobuf would write its number."""
    for field, value in message.ListFields():
        at = _within(where, field.name)
        for position, one in enumerate(value if field.is_repeated else [value]):
            place = f"{at}[{position}]" if field.is_repeated else at
            if field.enum_type is not None and one not in field.enum_type.values_by_number:
                raise refuse(Code.ENUM_NAME, "this value has no name in our version of the contract", place)
            if field.message_type is not None:
                _check_enums(one, place)


def _within(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
