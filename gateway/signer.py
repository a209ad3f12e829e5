"""Who signs: the one thing that the rest of a node asks of its private key.

In: bytes. Out: an Ed25519 signature over them. The key itself may lie in this process (`KeySigner`) or in a hardware
token (`gateway.hsm`), from which it never comes out. A key's id follows from its public half
(`gateway.signature.key_id`), so that no signer can claim another.
"""

from typing import Protocol

from nacl.signing import SigningKey

from gateway.hidden import Hidden


class Signer(Protocol):
    """A holder of one Ed25519 signing key (RFC 8032, pure)."""

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature.

        Raises:
            Failure: UNAVAILABLE, the key cannot be used now.
        """
        ...


class KeySigner(Hidden):
    """A key in this process.

    Args:
        key: the key.
    """

    __slots__ = ("_key",)

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the public half."""
        return bytes(self._key.verify_key)

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature."""
        return self._key.sign(message).signature


def signer_of(key: SigningKey | Signer) -> Signer:
    """Return what signs with `key`; participants hold keys, nodes hold signers."""
    return KeySigner(key) if isinstance(key, SigningKey) else key
