"""How metadata is signed and written."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.signing import SigningKey
from securesystemslib.signer import CryptoSigner, Key, SSlibKey
from tuf.api.serialization.json import JSONSerializer

READABLE: Final = JSONSerializer(compact=False)
"""A person can read the files of a directory."""


def signer_of(key: SigningKey) -> CryptoSigner:
    """Return what signs metadata with an Ed25519 key."""
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes(key)))


def key_of(public: bytes) -> Key:
    """Return the public half of an Ed25519 key as metadata names it.

    Raises:
        ValueError: it has not 32 bytes.
    """
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public))
