"""Documents as files: protobuf JSON in, protobuf JSON out.

In: a JSON file and the message that it should be. Out: that message. Refuses with BAD_INPUT, the field and the reason:
what is no JSON, names a field twice, has a field that the message has not, or a value that the field cannot hold. A
message for people names the rule and the place, never the value: it may be content.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from rogatory.v1 import evidence_pb2 as evidence

from gateway.errors import Refusal
from gateway.formats import reading, wallets

M = TypeVar("M", bound=Message)

MAX_FILE_BYTES: Final = 64 << 20
"""A report of 10 000 transactions has some 20 MiB."""

_UNREADABLE: Final = (json_format.Error, ValueError, TypeError, AttributeError, OverflowError, RecursionError)


def read(path: Path, kind: type[M]) -> M:
    """Return the message in a file. The rules of its format are for others to check.

    Raises:
        Refusal: BAD_INPUT, with the field and the reason.
    """
    value = reading.entry(_load(path), "")
    made = kind()
    shape: Descriptor = made.DESCRIPTOR  # type: ignore[assignment]  # upb's own class is the same to its users
    _check_names(value, shape, "")
    try:
        json_format.ParseDict(dict(value), made)
    except _UNREADABLE as error:
        raise _explain(value, shape, "") from error
    return made


def read_wallets(path: Path) -> list[evidence.WalletIdentifier]:
    """Return the wallets of a list of `{chain, address, ...}`, see `gateway.formats.wallets`.

    Raises:
        Refusal: BAD_INPUT, with the position of the first entry that is wrong.
    """
    found = wallets.identifiers(_load(path))
    if found.refused:
        first = found.refused[0]
        raise reading.bad(first.detail, f"wallets{first.field}")
    return [*found.read]


def as_object(message: Message) -> dict[str, object]:
    """Return a message as protobuf JSON has it."""
    return json_format.MessageToDict(message)


def _load(path: Path) -> object:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise reading.bad(f"cannot read {path}: {error.strerror}", "file") from error
    if len(raw) > MAX_FILE_BYTES:
        raise reading.bad(f"{path} is over {MAX_FILE_BYTES} bytes", "file")
    return reading.load(raw)


def _fields(kind: Descriptor) -> dict[str, FieldDescriptor]:
    """Return fields by both names that JSON may give them."""
    return {name: field for field in kind.fields for name in (field.name, field.json_name)}


def _check_names(value: Mapping[str, object], kind: Descriptor, where: str) -> None:
    """Check that each name is one of a field, and that no field is there under both its names: the later would win."""
    known = _fields(kind)
    seen: set[str] = set()
    for name, inner in value.items():
        at = f"{where}.{name}" if where else name
        if name not in known:
            raise reading.bad(f"{kind.name} has no such field", at)
        field = known[name]
        if field.name in seen:
            raise reading.bad("this field is there twice", at)
        seen.add(field.name)
        if field.message_type is None:
            continue
        if isinstance(inner, dict):
            _check_names(inner, field.message_type, at)
        elif isinstance(inner, list):
            for position, one in enumerate(inner):
                if isinstance(one, dict):
                    _check_names(one, field.message_type, f"{at}[{position}]")


def _explain(value: Mapping[str, object], kind: Descriptor, where: str) -> Refusal:
    """Return why an object whose names are right is no such message, by trying its fields one by one."""
    for name, inner in value.items():
        at, field = f"{where}.{name}" if where else name, _fields(kind)[name]
        parts = [(inner, inner, at)]
        if field.is_repeated and isinstance(inner, list):
            parts = [([one], one, f"{at}[{position}]") for position, one in enumerate(inner)]
        for part, single, place in parts:
            if not _parses({name: part}, kind):
                return _explain_value(field, part, single, place)
    return reading.bad(f"no {kind.name} in protobuf JSON", where)


def _explain_value(field: FieldDescriptor, part: object, single: object, at: str) -> Refusal:
    if field.is_repeated and not isinstance(part, list):
        return reading.bad("a list is wanted", at)
    if field.message_type is not None:
        if isinstance(single, dict):
            return _explain(single, field.message_type, at)
        return reading.bad("an object is wanted", at)
    if field.enum_type is not None:
        names = ", ".join(each.name for each in field.enum_type.values if each.number)
        return reading.bad(f"one of these is wanted: {names}", at)
    return reading.bad("this field cannot hold such a value", at)


def _parses(value: Mapping[str, object], kind: Descriptor) -> bool:
    try:
        json_format.ParseDict(dict(value), GetMessageClass(kind)())
    except _UNREADABLE:
        return False
    return True
