"""One case: a sentence, a kind of document, what is changed, which rule that breaks, and where."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message
from rogatory.v1 import identifiers_pb2 as ids

from gateway.formats.codes import Code
from tests import samples

_STEP = re.compile(r"(?P<name>\w+)(\[(?P<position>[0-9]+)\])?")


@dataclass(frozen=True, slots=True)
class Case:
    """A document with one fault.

    Args:
        sentence: what is wrong, for the name of the test.
        kind: of which kind the document is.
        changes: new value by path; None takes a field away.
        rule: the rule that breaks, and no other does.
        field: where.
    """

    sentence: str
    kind: ids.Kind.ValueType
    changes: Mapping[str, object]
    rule: Code
    field: str

    def document(self) -> Message:
        """Return the sample with its fault."""
        document = samples.complete(self.kind)
        for path, value in self.changes.items():
            change(document, path, value)
        return document


def change(message: Message, path: str, value: object) -> None:
    """Give the field at a path another value."""
    *parents, last = path.split(".")
    for parent in parents:
        name, position = _read(parent)
        found = getattr(message, name)
        message = found if position is None else found[position]
    name, position = _read(last)
    if position is not None:
        getattr(message, name)[position] = value
    elif value is None:
        message.ClearField(name)
    elif isinstance(value, list):
        message.ClearField(name)
        getattr(message, name).extend(value)
    elif isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    else:
        setattr(message, name, value)


def _read(step: str) -> tuple[str, int | None]:
    found = _STEP.fullmatch(step)
    assert found is not None, step
    return found["name"], None if found["position"] is None else int(found["position"])
