"""Secrets that do not show themselves.

In: secret bytes. Out: objects that work as PyNaCl's keys, and a passphrase, whose bytes come out only where somebody
asks for them by name. PyNaCl's own keys print their bytes (`str`, and so every f-string), and can be pickled: one
careless line of a log would be enough. Refuses with TypeError to be pickled, and so to be deeply copied.
"""

import unicodedata
from typing import Final, NoReturn, SupportsIndex

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from gateway.errors import ErrorCode, Refusal

LEAST_CHARACTERS: Final = 12
MOST_CHARACTERS: Final = 1024


class Hidden:
    """What has no secret in any text of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, _specification: str) -> str:
        return repr(self)

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        # pickle, copy.deepcopy and dataclasses.asdict all come through here.
        raise TypeError("a secret is not pickled or copied")


class HiddenSigningKey(Hidden, SigningKey):
    """An Ed25519 key."""

    def __eq__(self, other: object) -> bool:
        # PyNaCl compares with objects of its own class alone.
        return SigningKey(bytes(self)) == other

    def __hash__(self) -> int:
        return super().__hash__()


class HiddenSealingKey(Hidden, PrivateKey):
    """An X25519 key."""

    def __eq__(self, other: object) -> bool:
        return PrivateKey(bytes(self)) == other

    def __hash__(self) -> int:
        return hash((PrivateKey, bytes(self.public_key)))  # as of the key that it equals


class Passphrase(Hidden):
    """A passphrase or PIN.

    Args:
        text: one line. Normalised (NFC, as RFC 8265 section 4.2.2), because the same letters typed on two systems may
            be other bytes.
        where: named in refusals, e.g. the file that it was read from.
        least: characters that it must have.

    Raises:
        Refusal: KEY_FILE, it is too short, too long, has control characters, e.g. a second line, or is no text.
    """

    __slots__ = ("_secret",)

    def __init__(self, text: str, where: str = "", least: int = LEAST_CHARACTERS) -> None:
        normal = unicodedata.normalize("NFC", text)
        # Half a surrogate stands for a byte that a terminal could not read: there are no bytes of it to keep.
        if any(unicodedata.category(each) in ("Cc", "Cs") for each in normal):
            raise Refusal(ErrorCode.KEY_FILE, "a passphrase is one line without control characters", where)
        if not least <= len(normal) <= MOST_CHARACTERS:
            raise Refusal(ErrorCode.KEY_FILE, f"a passphrase has {least} to {MOST_CHARACTERS} characters", where)
        self._secret: Final = normal.encode()

    def reveal(self) -> bytes:
        """Return the bytes. For a key derivation, and for the PIN of a token."""
        return self._secret
