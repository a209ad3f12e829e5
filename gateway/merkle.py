"""Merkle tree hashing of RFC 6962 section 2.1: roots, inclusion paths and their verification.

In: leaves as bytes. Out: 32-byte SHA-256 hashes. Knows nothing of what a leaf means.
A leaf and an inner node are hashed with different prefixes, so neither can be passed off as the other.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

from gateway.errors import ErrorCode, Refusal

HASH_BYTES: Final = 32
REMEMBERED_NODES: Final = 4096
"""About a megabyte. The leaves of a batch share their way up: of 64 paths with six steps each, 63 are different."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of one leaf: SHA-256(0x00 || leaf) (RFC 6962 section 2.1)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 || left || right) (RFC 6962 section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def tree(leaf_hashes: Sequence[bytes]) -> tuple[bytes, list[list[bytes]]]:
    """Return the root over `leaf_hashes` and the inclusion path of each leaf, lowest sibling first.

    One pass over the levels: all paths of a batch cost as many hashes as its root.

    Raises:
        ValueError: no leaf at all; an empty tree proves nothing.
    """
    if not leaf_hashes:
        raise ValueError("a tree needs a leaf")
    paths: list[list[bytes]] = [[] for _ in leaf_hashes]
    # A subtree is its root and the leaves below it. A last one without a sibling moves up unhashed,
    # which gives the same tree as the recursive split at a power of two in RFC 6962 section 2.1.
    level = [(hash_, range(i, i + 1)) for i, hash_ in enumerate(leaf_hashes)]
    while len(level) > 1:
        above = []
        for i in range(0, len(level) - 1, 2):
            (left, left_leaves), (right, right_leaves) = level[i], level[i + 1]
            for leaf in left_leaves:
                paths[leaf].append(right)
            for leaf in right_leaves:
                paths[leaf].append(left)
            above.append((node_hash(left, right), range(left_leaves.start, right_leaves.stop)))
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0][0], paths


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root over many leaves, one after the other, in memory that grows with their number's logarithm.

    Of no leaf, the hash of nothing (RFC 6962 section 2.1).
    """
    # Roots of whole subtrees, the largest first, each with the number of its leaves, which is a power of two.
    whole: list[tuple[int, bytes]] = []
    for leaf in leaf_hashes:
        size, hash_ = 1, leaf
        while whole and whole[-1][0] == size:
            hash_ = node_hash(whole.pop()[1], hash_)
            size *= 2
        whole.append((size, hash_))
    if not whole:
        return sha256(b"").digest()
    _, right = whole.pop()
    while whole:
        right = node_hash(whole.pop()[1], right)
    return right


_remembered = lru_cache(maxsize=REMEMBERED_NODES)(node_hash)


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that a leaf hash, its index and its path lead to.

    The caller compares it with a root that it trusts, or checks a signature over it.

    Args:
        leaf: the hash of the leaf, 32 bytes.
        index: its position from 0.
        size: the number of leaves in the tree.
        path: sibling hashes, lowest first.

    Raises:
        Refusal: MALFORMED, the index is outside the tree or the path has the wrong length.
    Source: RFC 9162 section 2.1.3.2, which states the check that RFC 6962 leaves to the reader.
    """
    if not 0 <= index < size:
        raise Refusal(ErrorCode.MALFORMED, f"leaf {index} is outside a tree of {size}")
    here, last, hash_ = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise Refusal(ErrorCode.MALFORMED, "the path is longer than the tree is high")
        if here % 2 or here == last:
            hash_ = _remembered(sibling, hash_)
            while not here % 2 and here:
                here //= 2
                last //= 2
        else:
            hash_ = _remembered(hash_, sibling)
        here //= 2
        last //= 2
    if last != 0:
        raise Refusal(ErrorCode.MALFORMED, "the path is shorter than the tree is high")
    return hash_
