"""How metadata is signed and written."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.signing import SigningKey
from securesystemslib.signer import CryptoSigner
from tuf.api.serialization.json import JSONSerializer

READABLE: Final = JSONSerializer(compact=False)
"""A person can read the files of a directory."""


def signer_of(key: SigningKey) -> CryptoSigner:
    """Return what signs metadata with an Ed25519 key."""
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes(key)))
