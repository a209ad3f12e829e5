"""Addresses of Ethereum and every chain with its machine: `0x` and 40 hex digits.

In: a text. Out: an `Address` in the mixed case of EIP-55, network "any": the same address is valid on each of these
chains, so the chain id has to say which. Digits of one case carry no checksum and are taken as *unchecked*. Refuses
mixed case that is wrong, any other length, and a missing `0x`; `0X` too, for EIP-55 knows none.

Sources: EIP-55 (Keccak-256 over the lower-case digits: not SHA3-256, which pads otherwise); EIP-1191 for chains 30
and 31 (Rootstock), where the hash covers chain id and `0x`, and for no others: a text that is right under EIP-1191 is
as a rule wrong under EIP-55.
"""

import re
from types import MappingProxyType
from typing import Final

from Crypto.Hash import keccak

from gateway.errors import Refusal
from gateway.formats.addresses.model import Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_BARE: Final = re.compile(r"(?:0X)?[0-9a-fA-F]{40}")
_DIGITS: Final = re.compile(r"0x[0-9a-fA-F]*")

EIP1191: Final = MappingProxyType({"eip155:30": "300x", "eip155:31": "310x"})
"""What is hashed before the digits, by chain."""

_UPPER_FROM: Final = frozenset("89abcdef")


def evm(chain: Chain, text: str) -> Address:
    """Read an address of an EVM chain.

    Raises:
        Refusal: ADDRESS_FORMAT, ADDRESS_LENGTH, ADDRESS_CHARACTER or ADDRESS_CHECKSUM.
    """
    if not _ADDRESS.fullmatch(text):
        raise _why_not(text)
    digits = text[2:]
    canonical = mixed_case(digits.lower(), EIP1191.get(chain.caip2, ""))
    if text == canonical and not digits.isdigit():
        return Address(canonical, Checksum.VALID, "account")
    if digits in {digits.lower(), digits.upper()}:
        return Address(canonical, Checksum.UNCHECKED, "account")
    raise wrong(
        Code.ADDRESS_CHECKSUM, "the pattern of capital and small letters does not match (EIP-55): a character is wrong"
    )


def mixed_case(digits: str, before: str = "") -> str:
    """Return 40 lower-case hex digits with `0x` and in the case that EIP-55 gives them.

    Args:
        digits: the digits.
        before: what EIP-1191 hashes before them.
    """
    hashed = keccak.new(digest_bits=256, data=(before + digits).encode()).hexdigest()
    return "0x" + "".join(
        [digit.upper() if high in _UPPER_FROM else digit for digit, high in zip(digits, hashed, strict=False)]
    )


def _why_not(text: str) -> Refusal:
    if _BARE.fullmatch(text):
        return wrong(Code.ADDRESS_FORMAT, "an address of this chain begins with 0x")
    if not text.startswith("0x"):
        return wrong(Code.ADDRESS_FORMAT, "it does not begin with 0x, as an address of this chain does")
    if _DIGITS.fullmatch(text):
        return wrong(Code.ADDRESS_LENGTH, "after 0x an address of this chain has 40 digits")
    return wrong(Code.ADDRESS_CHARACTER, "after 0x an address of this chain has digits 0 to 9 and letters a to f only")
