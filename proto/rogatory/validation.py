"""The descriptor of `buf/validate/validate.proto`, where generated code looks for it.

protovalidate carries that file only in a form for Buf's own runtime, and a top-level package `buf` of ours
could clash with another distribution's. So the descriptor is read from the installed protovalidate and put
into google.protobuf's default pool; `generate.py` makes generated modules import this one instead of
`buf.validate.validate_pb2`.
"""

from typing import Final

import protovalidate

# The descriptor depends on these; importing them puts them into the pool.
from google.protobuf import (
    descriptor_pb2,  # noqa: F401
    descriptor_pool,
    duration_pb2,  # noqa: F401
    field_mask_pb2,  # noqa: F401
    timestamp_pb2,  # noqa: F401
)
from google.protobuf.descriptor import FileDescriptor


def _load() -> FileDescriptor:
    pool = descriptor_pool.Default()
    file = protovalidate.ViolationPb.desc().file.proto
    pool.AddSerializedFile(file.to_binary())
    return pool.FindFileByName(file.name)


DESCRIPTOR: Final = _load()
