"""Cardano: Shelley addresses in bech32, Byron addresses in base58 of CBOR.

In: a text. Out: an `Address`. Refuses a prefix that contradicts the header (network or stake), types that do not exist,
lengths that are not those of the type, pointers that are not three numbers; a Byron address whose CRC-32 is wrong.

Sources: CIP-19 (header: type in the high four bits, network in the low four; lengths; pointers as three numbers of
variable length), CIP-5 (prefixes); cardano-ledger, Byron specification (CBOR array of tag 24 and CRC-32; an address
of a test network carries attribute 2). The bech32 limit of 90 is lifted, as CIP-19 says.
"""

from types import MappingProxyType
from typing import Final

from gateway.formats.addresses.byron import byron
from gateway.formats.addresses.coding import bech32, whole_bytes
from gateway.formats.addresses.model import MAIN, Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_TEST: Final = ("testnet",)
# Prefix: the network that the header must say, whether it is one of stake, and what we call the network.
_PREFIXES: Final = MappingProxyType(
    {
        "addr": (1, False, MAIN),
        "addr_test": (0, False, _TEST),
        "stake": (1, True, MAIN),
        "stake_test": (0, True, _TEST),
    }
)
_LIMIT: Final = 160
_HASH: Final = 28
_ENTERPRISE: Final = 1 + _HASH
_BASE: Final = 1 + 2 * _HASH

_KINDS: Final = MappingProxyType(
    {
        0: "base",
        1: "base_script",
        2: "base",
        3: "base_script",
        4: "pointer",
        5: "pointer_script",
        6: "enterprise",
        7: "enterprise_script",
        14: "stake",
        15: "stake_script",
    }
)
_POINTERS: Final = (4, 5)
_LAST_BASE: Final = 3
_FIRST_STAKE: Final = 14
_POINTER_NUMBERS: Final = 3
_POINTER_BITS: Final = 64
_MORE: Final = 0x80


def cardano(_: Chain, text: str) -> Address:
    """Read an address of Cardano.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_FORMAT, ADDRESS_LENGTH, ADDRESS_CHECKSUM or ADDRESS_VERSION.
    """
    if text.partition("1")[0].lower() not in _PREFIXES:
        return byron(text)
    prefix, values, is_m = bech32(text, _LIMIT)
    if prefix not in _PREFIXES:
        raise wrong(Code.ADDRESS_FORMAT, "it does not begin as an address of this chain does")
    if is_m:
        raise wrong(Code.ADDRESS_CHECKSUM, "its checksum is of another kind than this chain uses (BIP-350)")
    raw = whole_bytes(values)
    if not raw:
        raise wrong(Code.ADDRESS_LENGTH, "nothing stands between its prefix and its checksum")
    kind = _kind(raw, prefix)
    return Address(text.lower(), Checksum.VALID, kind, _PREFIXES[prefix][2])


def _kind(raw: bytes, prefix: str) -> str:
    number, network = raw[0] >> 4, raw[0] & 0x0F
    said_network, is_stake, _ = _PREFIXES[prefix]
    if number not in _KINDS:
        raise wrong(Code.ADDRESS_VERSION, "its type is none that CIP-19 knows")
    if network != said_network:
        raise wrong(Code.ADDRESS_VERSION, "its prefix and its header name different networks (CIP-19)")
    if is_stake != (number >= _FIRST_STAKE):
        raise wrong(Code.ADDRESS_VERSION, "its prefix and its header disagree whether it is one of stake (CIP-19)")
    if number in _POINTERS:
        _check_pointer(raw[_ENTERPRISE:])
    elif len(raw) != (_BASE if number <= _LAST_BASE else _ENTERPRISE):
        raise wrong(Code.ADDRESS_LENGTH, "too short or too long for its type (CIP-19)")
    return _KINDS[number]


def _check_pointer(raw: bytes) -> None:
    numbers = 0
    start = 0
    padded = False
    for at, byte in enumerate(raw):
        padded = padded or (at == start and byte == _MORE)
        if not byte & _MORE:
            # Seven bits a byte. Slot, transaction and certificate are 64 bits at most.
            if (at - start) * 7 >= _POINTER_BITS:
                raise wrong(Code.ADDRESS_FORMAT, "its pointer holds too large a number (CIP-19)")
            numbers += 1
            start = at + 1
    if numbers != _POINTER_NUMBERS or start != len(raw):
        raise wrong(Code.ADDRESS_LENGTH, "a pointer holds three numbers (CIP-19)")
    if padded:
        # Seven zero bits before a number: it, and so the address, would have several spellings.
        raise wrong(Code.ADDRESS_FORMAT, "its pointer holds a number with zeros before it (CIP-19)")
