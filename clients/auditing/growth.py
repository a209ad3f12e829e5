"""The auditor's own arithmetic of a log's tree (RFC 6962 section 2.1): a counter in binary, with hashes for digits.

In: hashes of whole subtrees, in their order. Out: the root over all, and what must be kept to go on. Pure. A tree of
13 leaves (binary 1101) is one subtree of 8, one of 4 and one of 1: at each digit that is 1 there is a hash, and
another leaf is added as 1 is added to a number, with its carries.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final

from gateway.merkle import node_hash

MAX_DIGITS: Final = 63


class Growth:
    """A tree that grows at its end.

    Args:
        size: how many leaves it has.
        digits: hashes of its whole subtrees, the largest first.

    Raises:
        ValueError: a tree of that size has another number of them.
    """

    def __init__(self, size: int = 0, digits: Sequence[bytes] = ()) -> None:
        heights = [height for height in reversed(range(MAX_DIGITS)) if size >> height & 1]
        if not 0 <= size < 1 << MAX_DIGITS or len(heights) != len(digits):
            raise ValueError(f"a tree of {size} leaves has other digits")
        self.size = size
        self._at = dict(zip(heights, digits, strict=True))

    @property
    def digits(self) -> tuple[bytes, ...]:
        """Hashes of its whole subtrees, the largest first."""
        return tuple(self._at[height] for height in sorted(self._at, reverse=True))

    @property
    def root(self) -> bytes:
        """The root over its leaves; of none, the hash of nothing."""
        root = None
        for height in sorted(self._at):
            root = self._at[height] if root is None else node_hash(self._at[height], root)
        return sha256(b"").digest() if root is None else root

    def add(self, hash_: bytes, height: int = 0) -> list[tuple[int, bytes]]:
        """Append a whole subtree of 2^height leaves; return those that it completes, each with its height.

        Raises:
            ValueError: none of that height can begin here.
        """
        if self.size & (1 << height) - 1:
            raise ValueError(f"no subtree of height {height} begins at {self.size}")
        self.size += 1 << height
        made = [(height, hash_)]
        while height in self._at:
            hash_ = node_hash(self._at.pop(height), hash_)
            height += 1
            made.append((height, hash_))
        self._at[height] = hash_
        return made


def over(hashes: Sequence[bytes]) -> bytes:
    """Return the root over 2^n hashes, halved level by level."""
    while len(hashes) > 1:
        hashes = list(map(node_hash, hashes[::2], hashes[1::2]))
    return hashes[0]


def blocks(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield whole subtrees that cover leaves from one to another, each with where it begins and its height."""
    while begin < end:
        height = (end - begin).bit_length() - 1
        if begin:
            height = min(height, (begin & -begin).bit_length() - 1)
        yield begin, height
        begin += 1 << height
