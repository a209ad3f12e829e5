# ruff: noqa: INP001  a part of the script beside it, not a package
"""JSON Schemas of the documents, for those who write them without protobuf.

In: the compiled contract with its protovalidate rules, and its comments. Out: one schema (draft 2020-12) for the body
of each kind of envelope and for each format that also stands alone. It describes the *canonical* JSON form, see
`gateway/formats/json_form.py`; what that one reads besides (names_with_underscores, numbers as texts) stays out.

What a schema cannot say is named in its `$comment`: rules over several fields (CEL) and exact limits of 64-bit numbers,
which ProtoJSON writes as texts. A rule that is not known here stops the generator, so that none is lost in silence.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import comments as words
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.message import Message
from rogatory import validation

FOLDER = "rogatory/v1/schema"
STANDING_ALONE = ("AssetAmount", "IdentityPayload", "Person", "TransactionRecord", "WalletIdentifier")
SHARED = ("Notice", "ObjectionNotice")  # one document for several kinds of envelope, or under a name of its own
NAMESAKES = ("Acknowledgement", "Objection")  # messages named like a kind that has another body

Schema = dict[str, object]

_FIELD = FieldDescriptorProto
_INTEGERS = {_FIELD.TYPE_INT32: (-(1 << 31), (1 << 31) - 1), _FIELD.TYPE_UINT32: (0, (1 << 32) - 1)}
_LONG = {_FIELD.TYPE_INT64: (-(1 << 63), (1 << 63) - 1), _FIELD.TYPE_UINT64: (0, (1 << 64) - 1)}


class Contract:
    """Everything that a schema is made of.

    Args:
        files: the compiled contract.
        comments: what `comments.read` made of it.
    """

    def __init__(self, files: FileDescriptorSet, comments: Mapping[str, str]) -> None:
        ours = [file for file in files.file if file.package == words.PACKAGE.rstrip(".")]
        self.messages = {message.name: message for file in ours for message in file.message_type}
        self.enums = {enum.name: enum for file in ours for enum in file.enum_type}
        self.comments = comments

    def documents(self) -> list[str]:
        """Return the names of the messages that get a schema: `KIND_FREEZE_REQUEST` has the body FreezeRequest.

        Kinds without a message of their own name share one of `SHARED`.
        """
        kinds = [value.name.removeprefix("KIND_") for value in self.enums["Kind"].value if value.number]
        named = {"".join(part.capitalize() for part in kind.split("_")) for kind in kinds}.difference(NAMESAKES)
        return sorted({*STANDING_ALONE, *SHARED, *(named & self.messages.keys())})

    def schema(self, name: str) -> Schema:
        """Return the schema of one document."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:rogatory:v1:{name}",
            "title": name,
            **self._message(self.messages[name], {"@type": {"const": f"{words.PACKAGE}{name}"}}),
            "$defs": {each: self._definition(each) for each in sorted(self._reached(name) - {name})},
        }

    def _definition(self, name: str) -> Schema:
        return self._message(self.messages[name]) if name in self.messages else self._enum(self.enums[name])

    def _reached(self, name: str) -> set[str]:
        """Return the names of all messages and enums that one message is made of, itself too."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                fields = self.messages[each].field if each in self.messages else ()
                waiting += [_type_of(field) for field in fields if field.type_name]
        return found

    def _message(self, message: DescriptorProto, besides: Schema | None = None) -> Schema:
        required, notes = [], []
        properties: Schema = besides or {}
        for field in message.field:
            property_, needed, noted = self._field(message, field)
            properties[field.json_name] = property_
            if needed:
                required.append(field.json_name)
            notes += [f"{field.json_name}: {note}" for note in noted]
        notes += [f"{rule['id']}: {rule['message']}" for rule in _cel(message)]
        made: Schema = {
            "description": self.comments[message.name],
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        if required:
            made["required"] = required
        made |= self._choices(message)
        if notes:
            made["$comment"] = "Not said here: " + "; ".join(notes)
        return made

    def _choices(self, message: DescriptorProto) -> Schema:
        """Return what says that exactly one field of a choice is there."""
        # A field that is `optional` stands in a choice of its own, which is none.
        real = [at for at in range(len(message.oneof_decl)) if not _is_synthetic(message, at)]
        if not real:
            return {}
        if len(real) > 1 or not _rules(message.oneof_decl[real[0]], "oneof").get("required"):
            raise SystemExit(f"{message.name}: only one choice, and one that must be made, can be put into a schema")
        names = [
            field.json_name for field in message.field if field.HasField("oneof_index") and field.oneof_index in real
        ]
        return {"oneOf": [{"required": [name]} for name in names]}

    def _enum(self, enum: EnumDescriptorProto) -> Schema:
        meanings = [f"{value.name}: {self.comments[f'{enum.name}.{value.name}']}" for value in enum.value]
        return {
            "description": "\n".join([self.comments[enum.name], *meanings]),
            "type": "string",
            "enum": [value.name for value in enum.value],
        }

    def _field(self, message: DescriptorProto, field: FieldDescriptorProto) -> tuple[Schema, bool, list[str]]:
        """Return the schema of a field, whether it must be there, and what the schema does not say."""
        rules = _rules(field, "field")
        one = self._type(field)
        notes: list[str] = []
        repeated = field.label == _FIELD.LABEL_REPEATED
        refused = False  # whether its default, which is never written, breaks a rule
        for name, rule in rules.items():
            where = f"{message.name}.{field.name}"
            if name == "required":
                refused = True
            elif name == "repeated" and repeated:
                one, noted = _list(one, _fields(rule), where)
                notes += noted
                refused |= "minItems" in one
            else:
                noted, breaks = _scalar(one, name, _fields(rule), where)
                notes += noted
                refused |= breaks
        if repeated and one.get("type") != "array":
            one = {"type": "array", "items": one}
        needed = refused and not field.proto3_optional
        return {"description": self.comments[f"{message.name}.{field.name}"], **one}, needed, notes

    def _type(self, field: FieldDescriptorProto) -> Schema:
        if field.type_name:
            return {"$ref": f"#/$defs/{_type_of(field)}"}
        if field.type in _INTEGERS:
            least, most = _INTEGERS[field.type]
            return {"type": "integer", "minimum": least, "maximum": most}
        if field.type in _LONG:
            least, most = _LONG[field.type]
            return {"type": "string", "pattern": _digits(least, most)}
        if field.type == _FIELD.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64", "pattern": _base64(0, None)}
        return {"type": {_FIELD.TYPE_STRING: "string", _FIELD.TYPE_BOOL: "boolean"}[field.type]}


def _type_of(field: FieldDescriptorProto) -> str:
    return field.type_name.removeprefix(f".{words.PACKAGE}")


def _is_synthetic(message: DescriptorProto, at: int) -> bool:
    return any(field.proto3_optional and field.oneof_index == at for field in message.field)


def _rules(described: Message, kind: str) -> Schema:
    """Return the protovalidate rules of a message, field or choice by name; their types are known at run time only."""
    options = getattr(described, "options")  # noqa: B009  protobuf's classes have no common one with options
    extension = validation.DESCRIPTOR.extensions_by_name[kind]
    return _fields(options.Extensions[extension]) if options.HasExtension(extension) else {}


def _fields(message: object) -> Schema:
    return {known.name: value for known, value in message.ListFields()} if isinstance(message, Message) else {}


def _cel(message: DescriptorProto) -> Iterator[Schema]:
    found = _rules(message, "message").get("cel", ())
    yield from map(_fields, found if isinstance(found, Sequence) else ())


def _list(one: Schema, rules: Schema, where: str) -> tuple[Schema, list[str]]:
    """Put the rules of a list around the schema of its items."""
    made: Schema = {"type": "array", "items": one}
    notes: list[str] = []
    for name, value in rules.items():
        if name in {"min_items", "max_items"}:
            made[{"min_items": "minItems", "max_items": "maxItems"}[name]] = value
        elif name == "unique":
            made["uniqueItems"] = True
        elif name == "items":
            for kind, rule in _fields(value).items():
                noted, _ = _scalar(one, kind, _fields(rule), f"{where}[]")
                notes += noted
        else:
            raise SystemExit(f"{where}: no schema for the rule repeated.{name}")
    return made, notes


def _scalar(one: Schema, kind: str, given: Schema, where: str) -> tuple[list[str], bool]:
    """Put the rules of one value into its schema; return what that does not say, and whether the default breaks one."""
    if kind not in _SCALARS:
        raise SystemExit(f"{where}: no schema for rules of {kind}")
    notes, breaks = _SCALARS[kind](one, given)
    if given:
        raise SystemExit(f"{where}: no schema for the rules {kind}.{', '.join(given)}")
    return notes, breaks


def _string(one: Schema, given: Schema) -> tuple[list[str], bool]:
    for name, theirs in (("min_len", "minLength"), ("max_len", "maxLength"), ("pattern", "pattern")):
        if name in given:
            one[theirs] = given.pop(name)
    if given.pop("uri", False):
        # Few validators look at formats; a scheme and no blank is what every one can see.
        one |= {"format": "uri", "pattern": "^[A-Za-z][A-Za-z0-9+.-]*:[!-~]*$"}
    pattern = str(one.get("pattern", ""))
    return [], bool(one.get("minLength")) or re.search(pattern, "") is None


def _bytes(one: Schema, given: Schema) -> tuple[list[str], bool]:
    exact = _number(given.pop("len", None))
    least, most = _number(given.pop("min_len", exact)) or 0, _number(given.pop("max_len", exact))
    one["pattern"] = _base64(least, most)
    if least:
        one["minLength"] = _base64_length(least)
    if most is not None:
        one["maxLength"] = _base64_length(most)
    return [], least > 0


def _integer(one: Schema, given: Schema) -> tuple[list[str], bool]:
    if "const" in given:
        one["const"] = given.pop("const")
        return [], one["const"] != 0
    one["minimum"], one["maximum"] = _range(given, _number(one["minimum"]) or 0, _number(one["maximum"]) or 0)
    return [], one["minimum"] != 0


def _long(one: Schema, given: Schema) -> tuple[list[str], bool]:
    least, most = _range(given, *_LONG[_FIELD.TYPE_INT64])
    one["pattern"] = _digits(least, most)
    return [f"from {least} to {most}"], least > 0


def _enumerated(one: Schema, given: Schema) -> tuple[list[str], bool]:
    given.pop("defined_only", None)  # ProtoJSON has no other way to write it
    refused = given.pop("not_in", ())
    if not isinstance(refused, Sequence) or [*refused] != [0]:
        return [], False
    one["not"] = {"pattern": "_UNSPECIFIED$"}
    return [], True


_SCALARS: dict[str, Callable[[Schema, Schema], tuple[list[str], bool]]] = {
    "string": _string,
    "bytes": _bytes,
    "uint32": _integer,
    "int64": _long,
    "enum": _enumerated,
}


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _range(given: Schema, least: int, most: int) -> tuple[int, int]:
    for name, step in (("gte", 0), ("gt", 1)):
        if name in given:
            least = max(least, (_number(given.pop(name)) or 0) + step)
    for name, step in (("lte", 0), ("lt", -1)):
        if name in given:
            most = min(most, (_number(given.pop(name)) or 0) + step)
    return least, most


def _digits(least: int, most: int) -> str:
    """Return a pattern for decimal texts of the same length as those of a range, at most."""
    sign = "-?" if least < 0 else ""
    positive = f"{sign}[1-9][0-9]{{0,{len(str(max(most, -least))) - 1}}}"
    return f"^{positive}$" if least > 0 else f"^(0|{positive})$"


def _base64_length(size: int) -> int:
    return len(base64.b64encode(bytes(size)))


def _base64(least: int, most: int | None) -> str:
    """Return a pattern for base64; one of just so many bytes if there is but one size."""
    if least != most:
        return "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
    filling = "=" * (-least % 3)
    return f"^[A-Za-z0-9+/]{{{_base64_length(least) - len(filling)}}}{filling}$"


def texts(files: FileDescriptorSet, comments: Mapping[str, str]) -> dict[str, str]:
    """Return the schema of each document, by the path of its file."""
    contract = Contract(files, comments)
    return {
        f"{FOLDER}/{name}.json": json.dumps(contract.schema(name), indent=2, ensure_ascii=False) + "\n"
        for name in contract.documents()
    }
