"""Base58Check and bech32, with a rule for each way to be wrong.

In: a text. Out: its bytes. Refuses, each by its own rule: a character that the alphabet lacks, a length that cannot be,
mixed case, a checksum that does not match.
The arithmetic is base58-bech32's. It says no with one kind of error, and a clerk needs to know whether to look for a
typing error or for another address, so the reason is looked for here, after the fact: the good case pays nothing.

Sources: Base58Check, Bitcoin wiki and bitcoin/src/base58.cpp; bech32, BIP-173; bech32m, BIP-350.
"""

from typing import Final

from base58_bech32.base58 import BITCOIN_ALPHABET, MAX_LENGTH, b58decode, b58decode_check
from base58_bech32.bech32 import BECH32_M_CONST, bech32_decode, convertbits

from gateway.errors import Refusal
from gateway.formats.addresses.model import wrong
from gateway.formats.codes import Code

BITCOIN: Final = BITCOIN_ALPHABET.decode()
BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

BIP173_LIMIT: Final = 90
"""Characters; within it bech32 finds every error of up to four (BIP-173). Cardano, Zcash and MWEB lift it."""

_CHECKSUM_CHARS: Final = 6
_MIN_BASE58CHECK: Final = 6


def base58check(text: str, alphabet: bytes = BITCOIN_ALPHABET) -> bytes:
    """Return version and payload of a Base58Check text.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_LENGTH or ADDRESS_CHECKSUM.
    """
    try:
        return b58decode_check(text, alphabet=alphabet)
    except ValueError:
        pass
    raise _why_not_base58check(text, alphabet.decode())


def base58(text: str, most: int) -> bytes:
    """Return the bytes of a base58 text of at most that many characters, without a checksum.

    Raises:
        Refusal: ADDRESS_CHARACTER or ADDRESS_LENGTH.
    """
    if len(text) > most:
        raise wrong(Code.ADDRESS_LENGTH, "too long for an address of this chain")
    outside = position_outside(text, BITCOIN)
    if outside:
        raise _outside(outside)
    return b58decode(text)


def bech32(text: str, limit: int = BIP173_LIMIT) -> tuple[str, list[int], bool]:
    """Return prefix, 5-bit values and whether it is bech32m.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_FORMAT, ADDRESS_LENGTH or ADDRESS_CHECKSUM.
    """
    try:
        prefix, values, constant = bech32_decode(text, limit=limit)
    except ValueError:
        pass
    else:
        return prefix, values, constant == BECH32_M_CONST
    raise _why_not_bech32(text, limit)


def whole_bytes(values: list[int]) -> bytes:
    """Return 5-bit values as bytes.

    Raises:
        Refusal: ADDRESS_FORMAT, the left-over bits are too many or not zero (BIP-173, "Segwit address format").
    """
    try:
        return bytes(convertbits(values, 5, 8, pad=False))
    except ValueError:
        pass
    raise wrong(Code.ADDRESS_FORMAT, "its last character carries bits that must not be there")


def position_outside(text: str, alphabet: str) -> int:
    """Return the position, from 1, of the first character that is not in the alphabet; 0 if there is none."""
    return next((at for at, character in enumerate(text, 1) if character not in alphabet), 0)


def _why_not_base58check(text: str, alphabet: str) -> Refusal:
    outside = position_outside(text, alphabet)
    if outside:
        return _outside(outside)
    if not _MIN_BASE58CHECK <= len(text) <= MAX_LENGTH:
        return wrong(Code.ADDRESS_LENGTH, "too short or too long for an address of this chain")
    return wrong(Code.ADDRESS_CHECKSUM, "the checksum does not match: a character is wrong, missing or too many")


def _why_not_bech32(text: str, limit: int) -> Refusal:
    prefix, one, data = text.lower().rpartition("1")
    if not one or not prefix:
        return wrong(Code.ADDRESS_FORMAT, "it does not begin as an address of this chain does")
    if text not in {text.lower(), text.upper()}:
        return wrong(Code.ADDRESS_FORMAT, "capital and small letters are mixed; this form takes one or the other")
    outside = position_outside(data, BECH32)
    if outside:
        return _outside(len(prefix) + 1 + outside)
    if len(text) > limit or len(data) < _CHECKSUM_CHARS:
        return wrong(Code.ADDRESS_LENGTH, "too short or too long for an address of this chain")
    return wrong(Code.ADDRESS_CHECKSUM, "the checksum does not match: a character is wrong, missing or too many")


def _outside(position: int) -> Refusal:
    return wrong(Code.ADDRESS_CHARACTER, f"character {position} is never used in addresses of this chain")
