"""Ed25519 signatures over domain-separated bytes, direct or as a leaf of a signed batch.

In: a domain (what kind of thing is signed) and the bytes as they travel. Out: a `Signature` message, or nothing
and a refusal. Two forms with one meaning: *direct*, over the bytes; *batch*, over the root of a Merkle tree in which
the bytes are a leaf, so that one signature serves many and each still verifies alone. Every signed string begins
with its domain and each part with its length, so no signed thing can be passed off as one of another kind.

Source: RFC 8032 (Ed25519, checked with libsodium's strict rules), RFC 6962 section 2.1 (tree).
"""

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from typing import Final

from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb

from gateway import ed25519, merkle
from gateway.ed25519 import Check
from gateway.errors import ErrorCode, Refusal
from gateway.signer import Signer, signer_of

KEY_ID_BYTES: Final = 16
REMEMBERED_ROOTS: Final = 1024
"""Roots whose signature is known, good or bad: some 400 bytes each. More than there are batches on their way."""


class Domain(Enum):
    """What is signed. A new kind of signed thing gets a new domain; none is ever reused."""

    ENVELOPE = b"rogatory/v1/envelope"
    STATEMENT = b"rogatory/v1/statement"
    APPLICATION = b"rogatory/v1/application"
    RENEWAL = b"rogatory/v1/renewal"
    DECISION = b"rogatory/v1/decision"
    REVOCATION = b"rogatory/v1/revocation"
    CASE_FILE = b"rogatory/v1/case-file"


def frame(*parts: bytes) -> bytes:
    """Return the parts one after the other, each with its length before it (8 bytes, big-endian).

    Two different lists of parts never give the same bytes.
    """
    # A list, for a generator takes as long again: this runs several times an envelope.
    return b"".join([len(part).to_bytes(8, "big") + part for part in parts])


def key_id(public_key: bytes) -> bytes:
    """Return the id of a public key: the first 16 bytes of its SHA-256."""
    return sha256(public_key).digest()[:KEY_ID_BYTES]


def sign(domain: Domain, message: bytes, signer: str, key: SigningKey | Signer) -> pb.Signature:
    """Sign one message directly."""
    holder = signer_of(key)
    signed = holder.sign(frame(domain.value, b"direct", message))
    return pb.Signature(signer=signer, key_id=key_id(holder.public_key), signature=signed)


def sign_batch(domain: Domain, messages: Sequence[bytes], signer: str, key: SigningKey | Signer) -> list[pb.Signature]:
    """Sign many messages with one Ed25519 operation; each signature verifies on its own."""
    root, paths = merkle.tree([merkle.leaf_hash(frame(domain.value, message)) for message in messages])
    size = len(messages)
    holder = signer_of(key)
    signed = holder.sign(_root_message(domain, size, root))
    common = pb.Signature(
        signer=signer, key_id=key_id(holder.public_key), signature=signed, batch=pb.BatchPath(size=size)
    )
    return [_leaf_signature(common, index, path) for index, path in enumerate(paths)]


def _leaf_signature(common: pb.Signature, index: int, path: Sequence[bytes]) -> pb.Signature:
    # A copy, for to make each anew takes twice as long.
    made = pb.Signature()
    made.CopyFrom(common)
    made.batch.index = index
    made.batch.path.extend(path)
    return made


def verify(domain: Domain, message: bytes, signature: pb.Signature, public_key: bytes) -> None:
    """Check one signature, direct or batch, with a public key that the caller found for its signer.

    Raises:
        Refusal: BAD_SIGNATURE.
    """
    check = Check(public_key, signature.signature, signed_bytes(domain, message, signature))
    if not (_root_holds(check) if signature.HasField("batch") else ed25519.holds(check)):
        raise does_not_fit(signature)


# Whether a check holds follows from its bytes alone, so an answer cannot grow stale. Of roots only: their message is
# short, whatever somebody sends, and each serves many leaves.
_root_holds = lru_cache(maxsize=REMEMBERED_ROOTS)(ed25519.holds)


def checks_of(domain: Domain, message: bytes, signed: Sequence[tuple[pb.Signature, bytes]]) -> list[Check]:
    """Return the one thing that is left to check of each signature over a message, given with its public key.

    Raises:
        Refusal: BAD_SIGNATURE, a batch path does not fit its tree; with the position of the signature.
    """
    direct: bytes | None = None
    left = []
    for position, (signature, public_key) in enumerate(signed):
        if signature.HasField("batch"):
            try:
                over = _root_over(domain, message, signature.batch)
            except Refusal as error:
                raise Refusal(error.code, error.detail, f"signatures[{position}]") from error
        else:
            # Once for all: eight signatures over a header of 64 KiB shall not take eight copies of it.
            over = direct = direct or frame(domain.value, b"direct", message)
        left.append(Check(public_key, signature.signature, over))
    return left


def does_not_fit(signature: pb.Signature) -> Refusal:
    """Return what is said of a signature whose check does not hold."""
    return Refusal(ErrorCode.BAD_SIGNATURE, f"the signature of {signature.signer} does not fit the bytes")


def signed_bytes(domain: Domain, message: bytes, signature: pb.Signature) -> bytes:
    """Return the very bytes that the Ed25519 signature is over.

    Raises:
        Refusal: BAD_SIGNATURE, the batch path does not fit its tree.
    """
    if not signature.HasField("batch"):
        return frame(domain.value, b"direct", message)
    return _root_over(domain, message, signature.batch)


def _root_over(domain: Domain, message: bytes, batch: pb.BatchPath) -> bytes:
    """Return the bytes that a batch signature is over, if the message is the leaf that the path begins at."""
    try:
        leaf = merkle.leaf_hash(frame(domain.value, message))
        root = merkle.root_from_path(leaf, batch.index, batch.size, batch.path)
    except Refusal as error:
        raise Refusal(ErrorCode.BAD_SIGNATURE, error.detail) from error
    return _root_message(domain, batch.size, root)


def _root_message(domain: Domain, size: int, root: bytes) -> bytes:
    # A root alone does not fix the size, nor then the index: whoever passes a signature on could write others into
    # its path, and the envelope would be other bytes with a valid signature.
    return frame(domain.value, b"batch", size.to_bytes(4, "big"), root)
