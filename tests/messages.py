"""Messages of any type, made from descriptors by chance: a few fields each, with values that their types can hold."""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: st.text(max_size=8),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_INT32: st.integers(-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, (1 << 32) - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, (1 << 64) - 1),
}


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Return values that one field, or one entry of it, can hold."""
    inner = field.message_type
    if inner is not None:
        return st.deferred(lambda: messages(inner))
    if field.enum_type is not None:
        return st.sampled_from([each.number for each in field.enum_type.values])
    return _SCALARS[field.type]


@st.composite
def messages(draw: st.DrawFn, kind: Descriptor) -> Message:
    """Return a message of a type. Few of its fields are filled, for most types are deep."""
    fields = draw(st.lists(st.sampled_from([*kind.fields]), max_size=3, unique_by=lambda field: field.name))
    filled: dict[str, Any] = {}
    for field in fields:
        one = values(field)
        filled[field.name] = draw(st.lists(one, max_size=2) if field.is_repeated else one)
    return GetMessageClass(kind)(**filled)
