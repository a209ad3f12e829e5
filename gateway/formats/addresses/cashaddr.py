"""Bitcoin Cash: CashAddr, with or without its prefix, and the old base58 forms.

In: a text. Out: an `Address`, canonical as CashAddr without prefix whichever form was written. Refuses other prefixes,
types other than 0 to 3, and hashes of other than 20 or 32 bytes: CashAddr can spell more, no output can.

Sources: Bitcoin Cash specification "CashAddr" (prefix, 40-bit checksum, version byte); CHIP-2022-02-CashTokens, types 2
and 3 (the same outputs as 0 and 1, by a wallet that takes tokens); CHIP-2022-05-P2SH32 (32 bytes).
The canonical form keeps the type: an address that takes tokens stays one. Which wallet it is, `plain` tells.
"""

from types import MappingProxyType
from typing import Final

from base58_bech32.cashaddr import cashaddr_decode, cashaddr_encode

from gateway.errors import Refusal
from gateway.formats.addresses.base58 import split
from gateway.formats.addresses.coding import BECH32, position_outside
from gateway.formats.addresses.model import MAIN, Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

PREFIXES: Final = MappingProxyType({"bitcoincash": MAIN, "bchtest": ("testnet",), "bchreg": ("regtest",)})

# The spelling of a hash of 32 bytes as a public key's is right by the specification and no output is known for it.
_KINDS: Final = MappingProxyType(
    {
        (0, 20): "p2pkh",
        (1, 20): "p2sh",
        (2, 20): "token_p2pkh",
        (3, 20): "token_p2sh",
        (0, 32): "nonstandard",
        (1, 32): "p2sh32",
        (2, 32): "nonstandard",
        (3, 32): "token_p2sh32",
    }
)
_TYPES: Final = range(4)
_CHECKSUM_CHARS: Final = 8
_LEGACY: Final = MappingProxyType({"p2pkh": 0, "p2sh": 1})
_LEGACY_MOST: Final = 36
_PREFIX_OF: Final = MappingProxyType({"mainnet": "bitcoincash", "testnet": "bchtest"})


def bitcoin_cash(_: Chain, text: str) -> Address:
    """Read an address of Bitcoin Cash.

    Raises:
        Refusal: ADDRESS_FORMAT, ADDRESS_CHARACTER, ADDRESS_LENGTH, ADDRESS_CHECKSUM or ADDRESS_VERSION.
    """
    # CashAddr is longer than any base58 form, and base58 has both cases; CashAddr has one.
    if ":" in text or (len(text) > _LEGACY_MOST and text in {text.lower(), text.upper()}):
        return _cashaddr(text)
    return _legacy(text)


def plain(canonical: str) -> str:
    """Return the address of the same output without the wish for tokens (CHIP-2022-02-CashTokens, "CashAddress")."""
    for prefix in PREFIXES:
        try:
            _, kind, digest = cashaddr_decode(canonical, prefix=prefix)
        except ValueError:
            continue
        # 2 and 3 are the outputs of 0 and 1.
        return cashaddr_encode(prefix, kind & 1, digest).decode().partition(":")[2]
    return canonical


def _cashaddr(text: str) -> Address:
    prefix, colon, payload = text.rpartition(":")
    if prefix and prefix.lower() not in PREFIXES:
        raise wrong(Code.ADDRESS_FORMAT, "what stands before the colon is no prefix of Bitcoin Cash")
    # Without a prefix the checksum still covers it, so only one of them can fit.
    for each in [prefix.lower()] if colon else PREFIXES:
        try:
            _, kind, digest = cashaddr_decode(text, prefix=each)
        except ValueError:
            continue
        return _address(payload.lower(), kind, digest, PREFIXES[each])
    raise _why_not(text, payload)


def _address(payload: str, kind: int, digest: bytes, networks: tuple[str, ...]) -> Address:
    if kind not in _TYPES:
        raise wrong(Code.ADDRESS_VERSION, "its type is not one of Bitcoin Cash")
    name = _KINDS.get((kind, len(digest)))
    if name is None:
        raise wrong(Code.ADDRESS_LENGTH, "no output of Bitcoin Cash has a hash of this length")
    return Address(payload, Checksum.VALID, name, networks)


def _legacy(text: str) -> Address:
    version, digest = split("bitcoin-cash", text)
    written = cashaddr_encode(_PREFIX_OF[version.networks[0]], _LEGACY[version.kind], digest).decode()
    return Address(written.partition(":")[2], Checksum.VALID, version.kind, version.networks)


def _why_not(text: str, payload: str) -> Refusal:
    if text not in {text.lower(), text.upper()}:
        return wrong(Code.ADDRESS_FORMAT, "capital and small letters are mixed; this form takes one or the other")
    if position_outside(payload.lower(), BECH32):
        return wrong(Code.ADDRESS_CHARACTER, "a character of it is never used in addresses of this chain")
    if len(payload) <= _CHECKSUM_CHARS:
        return wrong(Code.ADDRESS_LENGTH, "too short for an address of this chain")
    return wrong(Code.ADDRESS_CHECKSUM, "the checksum does not match: a character is wrong, missing or too many")
