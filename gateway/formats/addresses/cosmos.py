"""Cosmos and its kin: bech32 of an account, each chain with its own prefix.

In: a text. Out: an `Address`, network "any": test networks have the prefix of the main one. Refuses the prefix of
another chain, a validator's address (`...valoper`, `...valcons`), which holds nothing, and other than 20 or 32 bytes.

Sources: Cosmos SDK ADR-028 (20 bytes for keys, 32 for modules, contracts and newer accounts) and its
types/address.go; BIP-173 for the encoding.
"""

from types import MappingProxyType
from typing import Final

from gateway.formats.addresses.coding import bech32, whole_bytes
from gateway.formats.addresses.model import Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_KINDS: Final = MappingProxyType({20: "account", 32: "long_account"})
_NOT_ACCOUNTS: Final = ("valoper", "valcons", "valoperpub", "valconspub", "pub")


def cosmos(chain: Chain, text: str) -> Address:
    """Read an address of a chain of the Cosmos SDK.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_FORMAT, ADDRESS_LENGTH or ADDRESS_CHECKSUM.
    """
    prefix, values, is_m = bech32(text)
    if prefix in {chain.detail + each for each in _NOT_ACCOUNTS}:
        raise wrong(Code.ADDRESS_FORMAT, "it names a validator or a public key, not an account")
    if prefix != chain.detail:
        raise wrong(Code.ADDRESS_FORMAT, "it does not begin as an address of this chain does")
    if is_m:
        raise wrong(Code.ADDRESS_CHECKSUM, "its checksum is of another kind than this chain uses (BIP-350)")
    kind = _KINDS.get(len(whole_bytes(values)))
    if kind is None:
        raise wrong(Code.ADDRESS_LENGTH, "an account has 20 or 32 bytes (ADR-028)")
    return Address(text.lower(), Checksum.VALID, kind)
