"""Tiles of a log (C2SP tlog-tiles): 256 hashes each; and roots and proofs that are computed from them.

In: what reads hashes of a log. Out: roots, inclusion and consistency proofs, the paths of tiles. Pure: of a log of ten
million entries a proof reads a few hundred hashes.

Level 0 has the leaf hashes; a hash of level L is the root over 256 of the level below, so over 256^L entries. A tile
that is not full yet is *partial*; its path says how many hashes it has. There are no entry bundles: what a leaf is the
hash of (an envelope's fingerprint, a receipt's statement) is for those alone who hold that envelope or receipt.

Source: https://c2sp.org/tlog-tiles; RFC 6962 sections 2.1.1 and 2.1.2 (proofs).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway import merkle
from gateway.errors import ErrorCode, Refusal
from gateway.merkle import HASH_BYTES, MAX_SIZE, Frontier

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
MAX_LEVEL: Final = (MAX_SIZE.bit_length() - 1) // HEIGHT
_PATH: Final = re.compile(r"tile/(0|[1-9])/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)

SUBTREES: Final = frozenset(1 << HEIGHT * level for level in range(1, MAX_LEVEL + 1))
"""Numbers of entries that a hash of a level above the lowest is over."""

Hashes: TypeAlias = Callable[[int, int, int], Sequence[bytes]]
"""Returns the hashes of a level from one number to another (exclusive), all of one tile."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Which hashes of a log.

    Args:
        level: 0: leaf hashes.
        number: of the tile in its level.
        width: how many hashes it has.
    """

    level: int
    number: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        """Raise Refusal MALFORMED for what can be no tile."""
        fits = 0 <= self.level <= MAX_LEVEL and 0 < self.width <= WIDTH and self.number >= 0
        if not fits or self.number * WIDTH + self.width > MAX_SIZE >> HEIGHT * self.level:
            raise _malformed("there is no such tile")

    @property
    def path(self) -> str:
        """Its path below the log's own, e.g. "tile/1/x001/x234/067.p/8"."""
        digits = f"{self.number:03}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{self.level}/{'/'.join([*(f'x{group}' for group in groups[:-1]), groups[-1]])}{partial}"

    @classmethod
    def parse(cls, path: str) -> "Tile":
        """Return the tile at a path.

        Raises:
            Refusal: MALFORMED, there can be none.
        """
        found = _PATH.fullmatch(path)
        if found is None:
            raise _malformed("that is the path of no tile")
        number = int(found[2].replace("/", "").replace("x", ""))
        tile = cls(int(found[1]), number, int(found[3] or WIDTH))
        if tile.path != path:
            raise _malformed("the path of a tile has one spelling")
        return tile

    def hashes(self, content: bytes) -> list[bytes]:
        """Return its hashes, of its content.

        Raises:
            Refusal: MALFORMED, it has another length.
        """
        if len(content) != self.width * HASH_BYTES:
            raise _malformed(f"{self.path} has {self.width * HASH_BYTES} bytes")
        return [content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)]


def of_size(size: int, since: int = 0) -> Iterator[Tile]:
    """Yield the tiles of a log of that size which one of an earlier size had not, the lowest level first."""
    for level in range(MAX_LEVEL + 1):
        had, has = since >> HEIGHT * level, size >> HEIGHT * level
        if has == had:
            return
        for number in range(had // WIDTH, -(-has // WIDTH)):
            yield Tile(level, number, min(WIDTH, has - number * WIDTH))


def root(hashes: Hashes, size: int) -> bytes:
    """Return the root over the first entries of a log."""
    return frontier(hashes, size).root


def inclusion(hashes: Hashes, index: int, size: int) -> list[bytes]:
    """Return the proof that an entry is in the log of that size (`merkle.check_inclusion`).

    Raises:
        ValueError: it has no such entry.
    """
    if not 0 <= index < size:
        raise ValueError(f"entry {index} of {size}")
    begin, end = 0, size
    beside = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((begin, middle))
            begin = middle
    return [_hash(hashes, *each) for each in reversed(beside)]


def consistency(hashes: Hashes, old_size: int, size: int) -> list[bytes]:
    """Return the proof that a log of one size begins with that of an older one (`merkle.check_consistency`).

    Raises:
        ValueError: the older one is empty, or larger.
    """
    if not 0 < old_size <= size:
        raise ValueError(f"from {old_size} entries to {size}")
    begin, end = 0, size
    parts = []
    while old_size < end:
        middle = begin + _split(end - begin)
        if old_size <= middle:
            parts.append((middle, end))
            end = middle
        else:
            parts.append((begin, middle))
            begin = middle
    if begin > 0:
        # Else it is the whole of the older log, whose root the reader has.
        parts.append((begin, end))
    return [_hash(hashes, *each) for each in reversed(parts)]


def _split(size: int) -> int:
    """Return the largest power of two below a size of two or more."""
    return 1 << (size - 1).bit_length() - 1


def frontier(hashes: Hashes, size: int) -> Frontier:
    """Return where a log of that size grows on."""
    return Frontier(size, tuple(_whole(hashes, 0, size)))


def _hash(hashes: Hashes, begin: int, end: int) -> bytes:
    """Return the root over some entries: as many as there is a power of two, or up to the end of the log."""
    return Frontier(end - begin, tuple(_whole(hashes, begin, end))).root


def _whole(hashes: Hashes, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    while begin < end:
        height = (end - begin).bit_length() - 1
        level, rest = divmod(height, HEIGHT)
        first = begin >> HEIGHT * level
        yield 1 << height, merkle.root(hashes(level, first, first + (1 << rest)))
        begin += 1 << height


def _malformed(detail: str) -> Refusal:
    return Refusal(ErrorCode.MALFORMED, detail, "tile")
