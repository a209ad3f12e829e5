"""Ed25519 checks as plain bytes, to be done here or in another process.

In: a public key, a signature, a message. Out: whether the one is the key's over the other. Imports libsodium and
nothing of ours, so that a process that only checks starts in a moment and holds little.

Source: RFC 8032, checked with libsodium's strict rules.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from nacl.bindings import crypto_sign_BYTES, crypto_sign_open, crypto_sign_PUBLICKEYBYTES
from nacl.exceptions import BadSignatureError

_LENGTH_BYTES: Final = 4


class Check(NamedTuple):
    """One check that is still to be done. Equal ones have one answer: a batch needs one for all its leaves."""

    public_key: bytes
    signature: bytes
    message: bytes


def holds(check: Check) -> bool:
    """Whether the signature is the key's over the message; about 42 microseconds, outside the interpreter lock."""
    # libsodium reads as many bytes of a key as it expects, whatever it is given; and of signature and message put
    # together, nobody could tell any more that the first was too short.
    if len(check.public_key) != crypto_sign_PUBLICKEYBYTES or len(check.signature) != crypto_sign_BYTES:
        return False
    try:
        crypto_sign_open(check.signature + check.message, check.public_key)
    except BadSignatureError:
        return False
    return True


def pack(checks: Iterable[Check]) -> bytes:
    """Return checks as bytes: each of their parts with its length before it (4 bytes, big-endian)."""
    return b"".join([piece for check in checks for part in check for piece in (_length(part), part)])


def unpack(packed: bytes) -> list[Check]:
    """Return the checks in what `pack` has made."""
    parts = []
    at = 0
    while at < len(packed):
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(packed[at:begin], "big")
        parts.append(packed[begin:at])
    return [Check(*each) for each in zip(*[iter(parts)] * len(Check._fields), strict=True)]


def _length(part: bytes) -> bytes:
    return len(part).to_bytes(_LENGTH_BYTES, "big")
