"""Ed25519 signatures over domain-separated bytes, direct or as a leaf of a signed batch.

In: a domain (what kind of thing is signed) and the bytes as they travel. Out: a `Signature` message, or nothing
and a refusal. Two forms with one meaning: *direct*, over the bytes; *batch*, over the root of a Merkle tree in which
the bytes are a leaf, so that one signature serves many and each still verifies alone. Every signed string begins
with its domain and each part with its length, so no signed thing can be passed off as one of another kind.

Source: RFC 8032 (Ed25519, checked with libsodium's strict rules), RFC 6962 section 2.1 (tree).
"""

from collections.abc import Sequence
from enum import Enum
from hashlib import sha256

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from rogatory.v1 import envelope_pb2 as pb

from gateway import merkle
from gateway.errors import ErrorCode, Refusal
from gateway.signer import Signer, signer_of

KEY_ID_BYTES = 16


class Domain(Enum):
    """What is signed. A new kind of signed thing gets a new domain; none is ever reused."""

    ENVELOPE = b"rogatory/v1/envelope"
    STATEMENT = b"rogatory/v1/statement"
    APPLICATION = b"rogatory/v1/application"
    RENEWAL = b"rogatory/v1/renewal"
    DECISION = b"rogatory/v1/decision"
    REVOCATION = b"rogatory/v1/revocation"


def frame(*parts: bytes) -> bytes:
    """Return the parts one after the other, each with its length before it (8 bytes, big-endian).

    Two different lists of parts never give the same bytes.
    """
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


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
    by = key_id(holder.public_key)
    return [
        pb.Signature(
            signer=signer,
            key_id=by,
            signature=signed,
            batch=pb.BatchPath(index=index, size=size, path=path),
        )
        for index, path in enumerate(paths)
    ]


def verify(domain: Domain, message: bytes, signature: pb.Signature, public_key: bytes) -> None:
    """Check one signature, direct or batch, with a public key that the caller found for its signer.

    Raises:
        Refusal: BAD_SIGNATURE.
    """
    try:
        VerifyKey(public_key).verify(signed_bytes(domain, message, signature), signature.signature)
    except (BadSignatureError, ValueError, TypeError) as error:
        raise Refusal(ErrorCode.BAD_SIGNATURE, f"the signature of {signature.signer} does not fit the bytes") from error


def signed_bytes(domain: Domain, message: bytes, signature: pb.Signature) -> bytes:
    """Return the very bytes that the Ed25519 signature is over.

    Raises:
        Refusal: BAD_SIGNATURE, the batch path does not fit its tree.
    """
    if not signature.HasField("batch"):
        return frame(domain.value, b"direct", message)
    batch = signature.batch
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
