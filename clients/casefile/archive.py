"""A case file as bytes: a ZIP with one form for one content.

In: names and contents. Out: the file; or, of a file, names and contents. The members are stored, not compressed, in the
order of their names, all of one date, with nothing between, before or behind them. So equal contents give equal bytes;
reading is checked by writing again, and no byte of a file can be another; and nothing is ever inflated: no member is
larger than the file. Refuses with TOO_LARGE and MALFORMED, before anything in it is looked at. No I/O.

Sources: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16; ETSI EN 319 162-1, A.1, for the member `mimetype`.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from gateway.errors import ErrorCode, Refusal

MAX_BYTES: Final = 512 << 20
"""Of a file, which is read into memory: two thousand envelopes with payloads of 256 KiB."""
MAX_MEMBERS: Final = 60_000
"""The format itself counts to 65 535."""
MAX_NAME: Final = 200

MIMETYPE: Final = "mimetype"
MEDIA_TYPE: Final = b"application/vnd.rogatory.case+zip"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,5}")
_VERSION: Final = 10  # to extract: stored members and no more
_DATE: Final = 0x21  # 1980-01-01, the first that there is
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END: Final = struct.Struct("<4sHHHHIIH")
_LOCAL_MARK: Final = b"PK\x03\x04"


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the file of these contents.

    Raises:
        Refusal: MALFORMED, a name that is not safe on every system; TOO_LARGE.
    """
    _check_names(members)
    size = sum(len(name) * 2 + len(content) for name, content in members.items())
    if size + len(members) * (_LOCAL.size + _CENTRAL.size) + _END.size > MAX_BYTES or len(members) > MAX_MEMBERS:
        raise _too_large()
    return b"".join(_written(members))


def unpack(raw: bytes) -> dict[str, bytes]:
    """Return the contents of a file, by name.

    Raises:
        Refusal: MALFORMED, it is not the one form of its contents; TOO_LARGE, with the limit and its value.
    """
    if len(raw) > MAX_BYTES:
        raise _too_large()
    members: dict[str, bytes] = {}
    at = 0
    while raw[at : at + 4] == _LOCAL_MARK:
        if len(members) == MAX_MEMBERS:
            raise _too_large()
        if len(raw) < at + _LOCAL.size:
            raise _malformed("it ends within a member")
        fields = _LOCAL.unpack_from(raw, at)
        flags, method, size, name_size = fields[2], fields[3], fields[8], fields[9]
        if (flags, method) != (0, 0):
            raise _malformed("a member is compressed or encrypted")
        start = at + _LOCAL.size + name_size
        if name_size > MAX_NAME or start + size > len(raw):
            raise _malformed("a member is longer than the file, or its name than a name may be")
        name = raw[at + _LOCAL.size : start].decode("latin-1")
        if name in members:
            raise _malformed("two members have one name")
        members[name] = raw[start : start + size]
        at = start + size
    _check_names(members)
    # Whatever is not name or content of a member is compared here, to the last byte; piece by piece, for the file is
    # here twice already.
    if not _is_written(members, raw):
        raise _malformed("it is not written as a case file is")
    return members


def _is_written(members: Mapping[str, bytes], raw: bytes) -> bool:
    at = 0
    for piece in _written(members):
        if not raw.startswith(piece, at):
            return False
        at += len(piece)
    return at == len(raw)


def _written(members: Mapping[str, bytes]) -> Iterator[bytes]:
    central = []
    at = 0
    for name in sorted(members, key=lambda name: (name != MIMETYPE, name)):
        content, raw = members[name], name.encode()
        facts = (_VERSION, 0, 0, 0, _DATE, zlib.crc32(content), len(content), len(content), len(raw))
        yield _LOCAL.pack(_LOCAL_MARK, *facts, 0) + raw
        yield content
        central.append(_CENTRAL.pack(b"PK\x01\x02", _VERSION, *facts, 0, 0, 0, 0, 0, at) + raw)
        at += _LOCAL.size + len(raw) + len(content)
    yield from central
    yield _END.pack(b"PK\x05\x06", 0, 0, len(central), len(central), sum(map(len, central)), at, 0)


def _check_names(members: Mapping[str, bytes]) -> None:
    """Let no name lead out of a folder, hide, or fall together with another on a system that ignores case."""
    for name in members:
        if len(name) > MAX_NAME or not _NAME.fullmatch(name):
            raise _malformed("a member has a name that is not safe")
    if len({name.casefold() for name in members}) != len(members):
        raise _malformed("two members have names that differ in case only")
    if members.get(MIMETYPE) != MEDIA_TYPE:
        raise _malformed("it does not say that it is a case file")


def _malformed(detail: str) -> Refusal:
    return Refusal(ErrorCode.MALFORMED, detail, "file")


def _too_large() -> Refusal:
    limits = f"max_bytes = {MAX_BYTES}, max_members = {MAX_MEMBERS}"
    return Refusal(ErrorCode.TOO_LARGE, f"a case file is over {limits}", "file")
