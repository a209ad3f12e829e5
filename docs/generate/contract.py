"""The contract, read from the comments of its .proto files: one page a file.

In: the compiled contract with source information. Out: Markdown. Refuses a service or method without a comment; fields
and values have theirs by `make proto`.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

import generate
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    EnumValueDescriptorProto,
    FieldDescriptorProto,
    FieldOptions,
    FileDescriptorProto,
    MessageOptions,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from mkdocs.exceptions import PluginError
from rogatory.validation import DESCRIPTOR as VALIDATION
from words import cell, code, table

_FOLDER: Final = "reference/contract"
_SYNTAX: Final = (FileDescriptorProto.SYNTAX_FIELD_NUMBER,)
_TYPE: Final = FieldDescriptorProto


def pages() -> dict[str, str]:
    """Return each page by its place, the index first."""
    files = _files()
    first = {f"{_FOLDER}/index.md": "\n".join(_index(files))}
    return first | {f"{_FOLDER}/{_stem(file)}.md": "\n".join(_File(file).lines()) for file in files}


@cache
def _files() -> tuple[FileDescriptorProto, ...]:
    own = (file for file in generate.image("--include_source_info").file if file.package == "rogatory.v1")
    return tuple(sorted(own, key=lambda file: file.name))


@cache
def _homes() -> dict[str, str]:
    """Return the page of each message and enum."""
    homes: dict[str, str] = {}
    for file in _files():
        names = [*(message.name for message in file.message_type), *(enum.name for enum in file.enum_type)]
        homes |= {f".{file.package}.{name}": _stem(file) for name in names}
    return homes


def _stem(file: FileDescriptorProto) -> str:
    return file.name.rpartition("/")[2].removesuffix(".proto")


def _index(files: Iterable[FileDescriptorProto]) -> Iterator[str]:
    yield "# Contract\n"
    yield (
        "Every message that crosses a wire, and every document that is sealed, is described in Protocol Buffers, in "
        "`proto/rogatory/v1/`. These pages are made from the comments there; *rules* are those of protovalidate, which "
        "each side checks before it believes anything.\n"
    )
    read = [_File(file) for file in files]
    yield "## Services\n"
    calls = [
        (f"[{service.name}]({_stem(file.file)}.md#{service.name})", file.comment((_SERVICE, at)))
        for file in read
        for at, service in enumerate(file.file.service)
    ]
    yield from table(("service", "what it is"), calls)
    yield "## Files\n"
    yield from table(
        ("file", "what is in it"),
        [(f"[{_stem(file.file)}.proto]({_stem(file.file)}.md)", file.comment(_SYNTAX)) for file in read],
    )


_SERVICE: Final = FileDescriptorProto.SERVICE_FIELD_NUMBER


class _File:
    """One .proto file, with what its comments say."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self.file = file
        self._said = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}

    def comment(self, path: tuple[int, ...]) -> str:
        said = " ".join(self._said.get(path, "").split())
        if not said:
            raise PluginError(f"{self.file.name}: nothing is said of {path}")
        return said

    def lines(self) -> Iterator[str]:
        yield f"# {_stem(self.file)}.proto\n"
        yield cell(self.comment(_SYNTAX)) + "\n"
        for at, service in enumerate(self.file.service):
            yield from self._service(service, (_SERVICE, at))
        for at, message in enumerate(self.file.message_type):
            yield from self._message(message, (FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER, at))
        for at, enum in enumerate(self.file.enum_type):
            yield from self._enum(enum, (FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER, at))

    def _service(self, service: ServiceDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
        yield f"## {service.name} {{ #{service.name} }}\n"
        yield f"*Service* `rogatory.v1.{service.name}`. {cell(self.comment(path))}\n"
        rows = []
        for at, method in enumerate(service.method):
            place = (*path, ServiceDescriptorProto.METHOD_FIELD_NUMBER, at)
            rows.append((f"`{method.name}`", *_ends(method), cell(self.comment(place))))
        yield from table(("call", "takes", "returns", "what it does"), rows)

    def _message(self, message: DescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
        yield f"## {message.name} {{ #{message.name} }}\n"
        yield cell(self.comment(path)) + "\n"
        rows = []
        for at, field in enumerate(message.field):
            said = self.comment((*path, DescriptorProto.FIELD_FIELD_NUMBER, at))
            rows.append((f"`{field.name}` = {field.number}", _type(message, field), _rules(field), cell(said)))
        if rows:
            yield from table(("field", "type", "rules", "what it says"), rows)
        for rule in _extension(message.options, "message").cel:
            yield f"Rule `{rule.id}`: {cell(rule.message)}\n"

    def _enum(self, enum: EnumDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
        yield f"## {enum.name} {{ #{enum.name} }}\n"
        yield cell(self.comment(path)) + "\n"
        rows = []
        for at, value in enumerate(enum.value):
            said = self.comment((*path, EnumDescriptorProto.VALUE_FIELD_NUMBER, at))
            rows.append((_value(value), cell(said)))
        yield from table(("value", "what it says"), rows)


def _value(value: EnumValueDescriptorProto) -> str:
    return f"`{value.name}` = {value.number}"


def _ends(method: MethodDescriptorProto) -> tuple[str, str]:
    asked, answered = _link(method.input_type), _link(method.output_type)
    return (
        f"a stream of {asked}" if method.client_streaming else asked,
        f"a stream of {answered}" if method.server_streaming else answered,
    )


def _link(name: str) -> str:
    short = name.rpartition(".")[2]
    home = _homes().get(name)
    return f"[{short}]({home}.md#{short})" if home else f"`{name.lstrip('.')}`"


def _type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    if field.type_name and not any(field.type_name.endswith(f".{nested.name}") for nested in message.nested_type):
        name = _link(field.type_name)
    else:
        name = f"`{_TYPE.Type.Name(field.type).removeprefix('TYPE_').lower()}`"
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{message.name}.{nested.name}"):
            return f"map of {_type(nested, nested.field[0])} to {_type(nested, nested.field[1])}"
    if field.label == _TYPE.LABEL_REPEATED:
        return f"list of {name}"
    if field.proto3_optional:
        return f"{name}, optional"
    if field.HasField("oneof_index"):
        return f"{name}, one of *{message.oneof_decl[field.oneof_index].name}*"
    return name


def _rules(field: FieldDescriptorProto) -> str:
    rules = _extension(field.options, "field")
    return code(text_format.MessageToString(rules, as_one_line=True, use_short_repeated_primitives=True))


def _extension(options: MessageOptions | FieldOptions, name: str) -> Any:  # noqa: ANN401  it has no stubs
    """Return what protovalidate's extension of that name holds."""
    # The stubs know generated extensions alone; this one is read from the installed library.
    return options.Extensions[VALIDATION.extensions_by_name[name]]  # type: ignore[index]
