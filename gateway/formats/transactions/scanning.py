"""One JSON value at a time out of a file of many, in the bytes it was written in.

In: the chunks of a file: a JSON list, one JSON document, or lines of JSON (NDJSON). Out: `Piece`s, each the exact bytes
of one record and where they stood; what they say is not looked at here. Memory holds one piece and one chunk. A piece
that is too large or too deep is passed over without being kept, and those behind it are found all the same. A list is
cut by its brackets and quotes only, so what `exact` then makes of a piece is the judgement on its syntax.

Why not a streaming parser (ijson): it gives values and not their bytes, so neither `raw_hash` nor the byte offset of a
fault could be told; of a field that is there twice it keeps the last in silence; and it stops at the first bad record.

Source: RFC 8259; ndjson.org.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from gateway.errors import Refusal
from gateway.formats.codes import Code
from gateway.formats.transactions import exact

_OUTSIDE: Final = re.compile(rb'["\[\]{},]')
_INSIDE: Final = re.compile(rb'["\\]')
_SPACE: Final = b" \t\r\n"
_OPENS_VALUE: Final = (b"[", b"{", b",", b":")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one record may be.

    Args:
        record_bytes: its size. A block of Bitcoin with all outputs spent runs to about 25 MB.
        depth: lists and objects within one another. Calls of contracts nest by two each.
    """

    record_bytes: int = 32 << 20
    depth: int = 128


@dataclass(frozen=True, slots=True)
class Piece:
    """One record of the file.

    Args:
        where: its position, e.g. `[17]`; empty if the file is one document.
        offset: the byte of the file that it begins at.
        raw: its bytes; empty if there is a fault.
        fault: the rule that it broke already, if any.
    """

    where: str
    offset: int
    raw: bytes = b""
    fault: Code | None = None


@dataclass(slots=True)
class _Value:
    """What is known of the value that is being passed through."""

    limits: Limits
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    depth: int = 0
    string: bool = False
    escaped: bool = False
    fault: Code | None = None

    def keep(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > self.limits.record_bytes:
            self.fault = self.fault or Code.TX_TOO_LARGE
        if self.fault:
            self.parts.clear()
        elif part:
            self.parts.append(part)

    def end(self, data: bytes, at: int) -> int:
        """Return where in `data` the value ends, which is at a comma or bracket of the list around it, or -1."""
        while at < len(data):
            if self.escaped:
                self.escaped = False
                at += 1
                continue
            found = (_INSIDE if self.string else _OUTSIDE).search(data, at)
            if found is None:
                return -1
            if self._token(found.group()):
                return found.start()
            at = found.end()
        return -1

    def scan(self, data: bytes) -> None:
        """Go through `data`, no list being around the value."""
        at = 0
        while (end := self.end(data, at)) >= 0:
            at = end + 1

    def _token(self, token: bytes) -> bool:
        if token == b'"':
            self.string = not self.string
        elif token == b"\\":
            self.escaped = True
        elif token in b"[{":
            self.depth += 1
            if self.depth > self.limits.depth:
                self.fault = self.fault or Code.TX_TOO_DEEP
        elif self.depth == 0:
            return True
        elif token != b",":
            self.depth -= 1
        return False

    @property
    def whole(self) -> bool:
        return not self.string and self.depth == 0

    def piece(self, where: str, offset: int) -> Piece:
        raw = b"".join(self.parts)
        lead = len(raw) - len(raw.lstrip(_SPACE))
        return Piece(where, offset + lead, raw.strip(_SPACE), self.fault)


def pieces(chunks: Iterable[bytes], limits: Limits) -> Iterator[Piece]:
    """Cut a file into its records.

    Args:
        chunks: the bytes of the file, in pieces of any size.
        limits: how much one record may be.
    """
    source = filter(None, chunks)
    offset = 0
    for chunk in source:
        # RFC 8259, 8.1: a mark of the byte order may be passed over, and programs under Windows write one.
        rest = (chunk if offset else chunk.removeprefix(BOM_UTF8)).lstrip(_SPACE)
        offset += len(chunk) - len(rest)
        if rest.startswith(b"["):
            yield from _list(rest[1:], source, offset + 1, limits)
            return
        if rest:
            yield from _lines(rest, source, offset, limits)
            return
    yield Piece("", 0, fault=Code.MISSING)


def _list(data: bytes, source: Iterator[bytes], offset: int, limits: Limits) -> Iterator[Piece]:
    """Cut a list; `data` begins behind its bracket and `offset` is that of `data`."""
    position, at, begins, value = 0, 0, offset, _Value(limits)
    while True:
        end = value.end(data, at)
        if end < 0:
            value.keep(data[at:])
            offset += len(data)
            at = 0
            data = next(source, b"")
            if not data:
                # The list does not end: what there is of this record is no whole one.
                yield Piece(f"[{position}]", offset, fault=Code.TX_JSON)
                return
            continue
        value.keep(data[at:end])
        piece = value.piece(f"[{position}]", begins)
        last = data[end : end + 1] != b","
        if piece.raw or piece.fault or position or not last:
            yield piece
        begins, at, position, value = offset + end + 1, end + 1, position + 1, _Value(limits)
        if last:
            yield from _tail(data[at:], source, begins, data[end : end + 1], position)
            return


def _tail(data: bytes, source: Iterator[bytes], offset: int, bracket: bytes, position: int) -> Iterator[Piece]:
    """Say that something stands behind the list, or that another bracket ended it."""
    if bracket != b"]":
        yield Piece(f"[{position}]", offset - 1, fault=Code.TX_JSON)
        return
    while True:
        rest = data.lstrip(_SPACE)
        if rest:
            yield Piece(f"[{position}]", offset + len(data) - len(rest), fault=Code.TX_JSON)
            return
        offset += len(data)
        data = next(source, b"")
        if not data:
            return


def _lines(data: bytes, source: Iterator[bytes], offset: int, limits: Limits) -> Iterator[Piece]:
    """Cut lines, unless the first is no whole value: then the file is one document over several lines."""
    lines = _each_line(data, source, limits)
    first, second = next(lines), next(lines, None)
    if second is None or not (first.whole or _cut_off(first, second)):
        yield _joined(first, chain(filter(None, (second,)), lines)).piece("", offset)
        return
    position = 0
    for line in chain((first, second), lines):
        piece = line.piece(f"[{position}]", offset)
        if piece.raw or piece.fault:
            yield piece
            position += 1
        offset += line.size + 1


def _each_line(data: bytes, source: Iterator[bytes], limits: Limits) -> Iterator[_Value]:
    line = _Value(limits)
    while data:
        begin = 0
        # Not `partition`: it copies the rest of the chunk for each line, and a chunk can be a million empty lines.
        while (end := data.find(b"\n", begin)) >= 0:
            line.scan(part := data[begin:end])
            line.keep(part)
            yield line
            line, begin = _Value(limits), end + 1
        line.scan(part := data[begin:])
        line.keep(part)
        data = next(source, b"")
    if line.size:
        yield line


def _joined(document: _Value, lines: Iterable[_Value]) -> _Value:
    for line in lines:
        document.keep(b"\n")
        for part in line.parts:
            document.scan(part)
            document.keep(part)
        if line.fault:
            # It was not kept, so what has been is of no use either.
            document.fault = document.fault or line.fault
            document.keep(b"")
    return document


def _cut_off(first: _Value, second: _Value) -> bool:
    """Whether the first line is a record that breaks off: nothing could follow it but what its next line is not."""
    if first.piece("", 0).raw.endswith(_OPENS_VALUE):
        return False
    try:
        return isinstance(exact.load(second.piece("", 0).raw, "", 0), dict)
    except Refusal:
        return False
