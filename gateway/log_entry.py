"""Entries of a node's log: the hash that stands there for an envelope or a receipt.

In: whose log, and what the entry is about (an envelope's fingerprint, a receipt's statement). Out: its leaf hash. Pure.

Two nodes log the same envelope, and logs are public: with the node in the hash nobody can tell that two entries are of
one thing but those who have the thing.

Source: RFC 6962 section 2.1 (leaf hashes).
"""

from collections.abc import Sequence
from typing import Final

from gateway import merkle
from gateway.checkpoint import Checkpoint
from gateway.errors import Refusal
from gateway.signature import frame

_DOMAIN: Final = b"rogatory/v1/log-entry"


def leaf_hash(node: str, about: bytes) -> bytes:
    """Return the leaf hash that a log has of a thing.

    Args:
        node: address of the node whose log it is, e.g. "ee/node".
        about: an envelope's fingerprint, or a receipt's statement.
    """
    return merkle.leaf_hash(frame(_DOMAIN, node.encode(), about))


def leaf_hashes(node: str, about: bytes) -> tuple[bytes, bytes]:
    """Return both hashes that a log may have of a thing: that of `leaf_hash`, and that without the node.

    Entries were made without it at first, and what is in a log stays as it is.
    """
    return leaf_hash(node, about), merkle.leaf_hash(about)


def proven(node: str, about: bytes, index: int, path: Sequence[bytes], point: Checkpoint) -> bytes:
    """Return the leaf hash of a thing that is proven to be in a log.

    Args:
        node: as in `leaf_hash`.
        about: as in `leaf_hash`.
        index: which entry, from 0.
        path: siblings, lowest first.
        point: what the log has said of itself; the caller trusts it.

    Raises:
        Refusal: BAD_LOG_PROOF.
    """
    here, before = leaf_hashes(node, about)
    try:
        merkle.check_inclusion(here, index, point.size, path, point.root)
    except Refusal:
        merkle.check_inclusion(before, index, point.size, path, point.root)
        return before
    return here
