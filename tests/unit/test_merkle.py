import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import merkle
from gateway.errors import ErrorCode, Refusal

PROOFS = json.loads((Path(__file__).parent.parent / "data" / "merkle_tlog" / "proofs.json").read_text())
EMPTY = [each for each in PROOFS if each["valid"] and each.get("start", 0) == each.get("end")]
"""Trees without a leaf, which the draft takes for part of every tree, whatever its root."""
SIZES = st.integers(1, 200)


def leaves(size: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % i) for i in range(size)]


def split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1  # the largest power of two below it


def recursive_root(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(hashes) == 1:
        return hashes[0]
    k = split(len(hashes))
    return sha256(b"\x01" + recursive_root(hashes[:k]) + recursive_root(hashes[k:])).digest()


def recursive_path(index: int, hashes: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1, word for word."""
    if len(hashes) == 1:
        return []
    k = split(len(hashes))
    if index < k:
        return [*recursive_path(index, hashes[:k]), recursive_root(hashes[k:])]
    return [*recursive_path(index - k, hashes[k:]), recursive_root(hashes[:k])]


def recursive_proof(start: int, end: int, hashes: list[bytes], *, known: bool = True) -> list[bytes]:
    """draft-ietf-plants-merkle-tree-certs-02 section 4.4.1, word for word; from 0, RFC 6962 section 2.1.2."""
    if (start, end) == (0, len(hashes)):
        return [] if known else [recursive_root(hashes)]
    k = split(len(hashes))
    if end <= k:
        return [*recursive_proof(start, end, hashes[:k], known=known), recursive_root(hashes[k:])]
    if k <= start:
        return [*recursive_proof(start - k, end - k, hashes[k:], known=known), recursive_root(hashes[:k])]
    return [*recursive_proof(0, end - k, hashes[k:], known=False), recursive_root(hashes[:k])]


def proves(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    try:
        return merkle.root_from_path(leaf, index, size, path) == root
    except Refusal as error:
        if error.code is not ErrorCode.MALFORMED:
            raise
        return False


def holds(case: dict[str, Any]) -> bool:
    proof = [b64decode(each) for each in case["proof"] or []]
    start = case.get("start", 0)
    try:
        if "leafIdx" in case:
            leaf, root = b64decode(case["leafHash"]), b64decode(case["root"])
            size = case["treeSize" if "treeSize" in case else "end"]
            merkle.check_inclusion(leaf, case["leafIdx"], size, proof, root, start=start)
        else:
            roots = b64decode(case["root1"]), b64decode(case["root2"])
            sizes = (case["size1"], case["size2"]) if "size1" in case else (case["end"], case["size"])
            merkle.check_consistency(sizes[0], roots[0], sizes[1], roots[1], proof, start=start)
    except Refusal as error:
        if error.code is not ErrorCode.BAD_LOG_PROOF:
            raise
        return False
    return True


@pytest.mark.parametrize("case", PROOFS, ids=[f"{case['kind']} {case['name']}" for case in PROOFS])
def test_published_proof_holds_exactly_if_it_is_valid_and_proves_something(case: dict[str, Any]) -> None:
    assert holds(case) is (case["valid"] and case not in EMPTY)


def test_published_proofs_are_of_both_sorts_and_five_are_of_empty_trees() -> None:
    kinds = {"inclusion", "consistency", "subtreeinclusion", "subtreeconsistency"}
    assert {(case["kind"], case["valid"]) for case in PROOFS} == {(kind, v) for kind in kinds for v in (True, False)}
    assert {(case["start"], case["end"]) for case in EMPTY} == {(0, 0), (1, 1)}
    assert len(EMPTY) == 5


@pytest.mark.parametrize(
    ("size", "root"),
    [
        # The roots of the reference tree in Google's certificate-transparency (merkletree tests).
        (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ],
)
def test_root_is_that_of_the_reference_tree(size: int, root: str) -> None:
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    hashes = [merkle.leaf_hash(bytes.fromhex(text)) for text in inputs[:size]]
    assert merkle.tree(hashes)[0].hex() == root


@given(SIZES)
def test_root_of_leaves_that_come_one_by_one_is_that_of_the_rfc(size: int) -> None:
    assert merkle.root(iter(leaves(size))) == recursive_root(leaves(size)) == merkle.tree(leaves(size))[0]


def test_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle.root([]) == sha256(b"").digest()


@given(SIZES)
def test_tree_is_the_recursive_definition(size: int) -> None:
    hashes = leaves(size)
    root, paths = merkle.tree(hashes)
    assert root == recursive_root(hashes)
    assert paths == [recursive_path(index, hashes) for index in range(size)]


@given(SIZES, st.data())
def test_every_path_leads_to_the_root_and_an_altered_one_does_not(size: int, data: st.DataObject) -> None:
    root, paths = merkle.tree(leaves(size))
    index = data.draw(st.integers(0, size - 1))
    leaf, path = leaves(size)[index], paths[index]
    assert proves(leaf, index, size, path, root)
    other = data.draw(st.integers(0, size - 1))
    assert proves(leaf, other, size, path, root) is (other == index)
    assert not proves(merkle.leaf_hash(b"another"), index, size, path, root)
    assert not proves(leaf, index, size, [*path, bytes(32)], root)
    if path:
        assert not proves(leaf, index, size, path[:-1], root)
        broken = data.draw(st.integers(0, len(path) - 1))
        assert not proves(leaf, index, size, [bytes(32) if i == broken else p for i, p in enumerate(path)], root)


@given(SIZES, st.integers(1, 400), st.data())
def test_another_size_asks_for_another_path_or_leads_nowhere_else(size: int, claimed: int, data: st.DataObject) -> None:
    # A root does not bind its size: signatures over roots must (see the signature tests).
    root, paths = merkle.tree(leaves(size))
    index = data.draw(st.integers(0, size - 1))
    if proves(leaves(size)[index], index, claimed, paths[index], root):
        assert (claimed - 1).bit_length() == (size - 1).bit_length() or index < claimed


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (8, 8), (0, -1)])
def test_leaf_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(Refusal) as caught:
        merkle.root_from_path(bytes(32), index, size, [])
    assert caught.value.code is ErrorCode.MALFORMED


def test_empty_tree_has_no_root() -> None:
    with pytest.raises(ValueError, match="leaf"):
        merkle.tree([])


def test_inner_node_cannot_be_passed_off_as_a_leaf() -> None:
    left, right = leaves(2)
    root, _ = merkle.tree([left, right])
    assert merkle.leaf_hash(left + right) != root


def recursive_consistency(old: int, hashes: list[bytes], *, known: bool = True) -> list[bytes]:
    """RFC 6962 section 2.1.2, word for word."""
    if old == len(hashes):
        return [] if known else [recursive_root(hashes)]
    k = split(len(hashes))
    if old <= k:
        return [*recursive_consistency(old, hashes[:k], known=known), recursive_root(hashes[k:])]
    return [*recursive_consistency(old - k, hashes[k:], known=False), recursive_root(hashes[:k])]


def begins(old: int, old_root: bytes, size: int, root: bytes, proof: list[bytes]) -> bool:
    try:
        merkle.check_consistency(old, old_root, size, root, proof)
    except Refusal as error:
        if error.code is not ErrorCode.BAD_LOG_PROOF:
            raise
        return False
    return True


@given(SIZES, st.data())
def test_older_tree_is_how_the_newer_one_begins_and_an_altered_one_is_not(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    hashes = leaves(size)
    proof, old_root, root = recursive_consistency(old, hashes), merkle.root(hashes[:old]), merkle.root(hashes)
    assert begins(old, old_root, size, root, proof)
    changed = list(hashes)
    changed[data.draw(st.integers(0, old - 1))] = merkle.leaf_hash(b"another")
    other = merkle.root(changed)
    assert not begins(old, old_root, size, other, recursive_consistency(old, changed))
    assert not begins(old, other, size, root, proof)
    assert not begins(old, old_root, size, root, [*proof, bytes(32)])
    assert not begins(old, old_root, size, root, [*proof, b""])
    if proof:
        assert not begins(old, old_root, size, root, proof[:-1])
        broken = data.draw(st.integers(0, len(proof) - 1))
        assert not begins(old, old_root, size, root, [bytes(32) if i == broken else p for i, p in enumerate(proof)])


@pytest.mark.parametrize(("old", "size"), [(0, 0), (0, 1), (2, 1), (-1, 1), (1, 1 << 63), (1 << 63, 1 << 63)])
def test_nothing_is_proven_of_trees_that_cannot_be(old: int, size: int) -> None:
    assert not begins(old, bytes(32), size, bytes(32), [])


def test_proof_of_any_length_is_refused_before_it_is_followed() -> None:
    assert not begins(1, bytes(32), (1 << 63) - 1, bytes(32), [bytes(32)] * 64)
    with pytest.raises(Refusal) as caught:
        merkle.check_inclusion(bytes(32), 0, (1 << 63) - 1, [bytes(32)] * 64, bytes(32))
    assert caught.value.code is ErrorCode.BAD_LOG_PROOF


@pytest.mark.parametrize("size", range(1, 18))
def test_every_tree_within_another_is_proven_by_the_proof_of_the_draft_alone(size: int) -> None:
    hashes = leaves(size)
    whole = recursive_root(hashes)
    for end in range(1, size + 1):
        for start in (each for each in range(end) if each % (1 << (end - each - 1).bit_length()) == 0):
            part, proof = recursive_root(hashes[start:end]), recursive_proof(start, end, hashes)
            merkle.check_consistency(end, part, size, whole, proof, start=start)
            for other in (proof[:-1] if proof else [whole], [*proof, whole], proof[::-1]):
                if other != proof:
                    with pytest.raises(Refusal) as caught:
                        merkle.check_consistency(end, part, size, whole, other, start=start)
                    assert caught.value.code is ErrorCode.BAD_LOG_PROOF
