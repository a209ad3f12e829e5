"""Solana: 32 bytes in base58, without a checksum.

In: a text. Out: an `Address`, checksum "none": a typing error cannot be seen, and a caller should say so. Refuses other
lengths. Addresses off the curve are taken: programs' accounts and vaults have no key and hold money. A token account
differs from its owner, and the spelling does not tell which it is.

Source: Solana documentation, "Terminology: account, program derived account"; CASA solana, caip10.
"""

from typing import Final

from gateway.formats.addresses.coding import base58
from gateway.formats.addresses.model import Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_MOST_CHARS: Final = 44
_BYTES: Final = 32


def solana(_: Chain, text: str) -> Address:
    """Read an address of Solana.

    Raises:
        Refusal: ADDRESS_CHARACTER or ADDRESS_LENGTH.
    """
    if len(base58(text, _MOST_CHARS)) != _BYTES:
        raise wrong(Code.ADDRESS_LENGTH, "an address of Solana has 32 bytes")
    return Address(text, Checksum.NONE, "account")
