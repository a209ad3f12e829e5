"""Merkle tree hashing of RFC 6962 section 2.1: roots, paths, and the check of inclusion and consistency proofs.

In: leaves as bytes; proofs as hashes. Out: 32-byte SHA-256 hashes; or nothing, and a refusal. Knows nothing of what a
leaf means. Refuses with MALFORMED a path that fits no tree, with BAD_LOG_PROOF a proof that proves nothing.
A leaf and an inner node are hashed with different prefixes, so neither can be passed off as the other.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final, TypeAlias

from gateway.errors import ErrorCode, Refusal

HASH_BYTES: Final = 32
MAX_SIZE: Final = (1 << 63) - 1
"""Leaves of a tree."""
MAX_PROOF_HASHES: Final = 63
"""What a tree of that size takes (C2SP tlog-witness has the same limit)."""
REMEMBERED_NODES: Final = 4096
"""About a megabyte. The leaves of a batch share their way up: of 64 paths with six steps each, 63 are different."""

Subtree: TypeAlias = tuple[int, int, bytes]
"""How many leaves it has, how many such are before it, and its root."""


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


@dataclass(frozen=True, slots=True)
class Frontier:
    """What must be remembered of a tree that grows at its end: some thirty hashes, however many leaves it has.

    Args:
        size: how many leaves.
        whole: roots of whole subtrees, the largest first, each with the number of its leaves, which is a power of two.
    """

    size: int = 0
    whole: tuple[tuple[int, bytes], ...] = ()

    @property
    def root(self) -> bytes:
        """The root over its leaves; of none, the hash of nothing (RFC 6962 section 2.1)."""
        if not self.whole:
            return sha256(b"").digest()
        *left, (_, right) = self.whole
        for _, hash_ in reversed(left):
            right = node_hash(hash_, right)
        return right

    def grown(self, leaf_hashes: Iterable[bytes], told: Collection[int] = ()) -> tuple["Frontier", list[Subtree]]:
        """Return it with more leaves, and the subtrees that have become whole.

        Args:
            leaf_hashes: what is appended.
            told: numbers of leaves, powers of two above one: which subtrees to tell of.
        """
        end, whole, new = self.size, list(self.whole), list[Subtree]()
        for leaf in leaf_hashes:
            end += 1
            size, hash_ = 1, leaf
            while whole and whole[-1][0] == size:
                hash_ = node_hash(whole.pop()[1], hash_)
                size *= 2
                if size in told:
                    new.append((size, end // size - 1, hash_))
            whole.append((size, hash_))
        return Frontier(end, tuple(whole)), new


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root over many leaves, one after the other, in memory that grows with their number's logarithm."""
    return Frontier().grown(leaf_hashes)[0].root


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


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes, *, start: int = 0) -> None:
    """Check that a leaf is in a tree, at that place.

    Args:
        leaf: the hash of the leaf.
        index: its position from 0.
        size: the number of leaves in the tree.
        proof: sibling hashes, lowest first.
        root: of the tree; the caller trusts it.
        start: of a tree within a tree, where it begins; then `size` is where it ends, and `root` is its own.

    Raises:
        Refusal: BAD_LOG_PROOF.
    Source: RFC 9162 section 2.1.3.2; for `start`, draft-ietf-plants-merkle-tree-certs-02 section 4.3.
    """
    _check_hashes([leaf, *proof])
    _check_subtree(start, size)
    try:
        found = root_from_path(leaf, index - start, size - start, proof)
    except Refusal as error:
        raise _unproven(error.detail) from error
    if found != root:
        raise _unproven(f"the path of leaf {index} leads to another root")


def check_consistency(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes], *, start: int = 0
) -> None:
    """Check that a tree begins with all leaves of an older one: nothing of it was changed, removed or moved.

    Args:
        old_size: the number of leaves in the older tree; at least one, for of an empty tree nothing can be proven.
        old_root: its root.
        size: the number of leaves in the newer tree.
        root: its root.
        proof: hashes, lowest first.
        start: of a tree within the newer tree, where it begins; `old_size` is then where it ends.

    Raises:
        Refusal: BAD_LOG_PROOF.
    Source: RFC 9162 section 2.1.4.2; for `start`, draft-ietf-plants-merkle-tree-certs-02 section 4.4.
    """
    if roots_of(old_size, old_root, size, proof, start=start) != (old_root, root):
        raise _unproven("the newer tree does not begin with the older one")


def roots_of(
    old_size: int, old_root: bytes | None, size: int, proof: Sequence[bytes], *, start: int = 0
) -> tuple[bytes, bytes]:
    """Return the roots of the older and of the newer tree that a consistency proof leads to; see `check_consistency`.

    Where it leads to the newer root from another older one, it proves that the newer tree begins with another: every
    hash of it is part of the newer root. A proof of RFC 6962 leaves an older tree that is one whole part of the newer
    out, and says nothing of it; without `old_root` it has to begin with that, too.

    Raises:
        Refusal: BAD_LOG_PROOF, it has no form that a proof of these sizes has.
    """
    _check_hashes(proof)
    _check_subtree(start, old_size)
    if old_size > size:
        raise _unproven(f"the older tree has {old_size} leaves, the newer one {size}")
    first, last, end = start, old_size - 1, size - 1
    # Up to where the older tree, or its last whole part, is one node.
    while first < last and (last == end or last % 2):
        first, last, end = first // 2, last // 2, end // 2
    hashes = iter(proof)
    lowest = _next(hashes) if first < last or old_root is None else old_root
    return _two_roots(lowest, (first, last, end), hashes)


def _two_roots(lowest: bytes, place: tuple[int, int, int], proof: Iterator[bytes]) -> tuple[bytes, bytes]:
    """Return the roots of the older and of the newer tree that a consistency proof leads to, from one node of both.

    Args:
        lowest: the hash of that node.
        place: at its height, where the older tree begins, where that node is, and where the newer tree ends.
        proof: siblings, lowest first.
    """
    first, last, end = place
    old = new = lowest
    for sibling in proof:
        if end == 0:
            raise _unproven("the proof is longer than the tree is high")
        if last % 2 or last == end:
            if first < last:
                old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while last % 2 == 0:
                first, last, end = first // 2, last // 2, end // 2
        else:
            new = node_hash(new, sibling)
        first, last, end = first // 2, last // 2, end // 2
    if end != 0:
        raise _unproven("the proof is shorter than the tree is high")
    return old, new


def _next(hashes: Iterator[bytes]) -> bytes:
    found = next(hashes, None)
    if found is None:
        raise _unproven("the proof is empty")
    return found


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if len(hashes) > MAX_PROOF_HASHES + 1:
        raise _unproven(f"no proof has more than {MAX_PROOF_HASHES} hashes")
    if any(len(each) != HASH_BYTES for each in hashes):
        raise _unproven(f"a hash has {HASH_BYTES} bytes")


def _check_subtree(start: int, end: int) -> None:
    """Check that such a tree is part of one that goes on: it has a leaf, and begins where one of its height can."""
    if not 0 <= start < end <= MAX_SIZE:
        raise _unproven(f"there is no tree from {start} to {end}")
    if start % (1 << (end - start - 1).bit_length()):
        raise _unproven(f"no tree of {end - start} leaves begins at {start}")


def _unproven(detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_LOG_PROOF, detail)
