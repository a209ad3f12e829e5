"""Stellar: strkeys of accounts, of multiplexed accounts, and of contracts.

In: a text. Out: an `Address`; a multiplexed one (`M...`) becomes its account and the id as tag. Refuses other
strkeys (pools, balances, signers), which are no accounts, and base32 with bits left over that are not zero.

Sources: SEP-23 (strkey: version byte, CRC16-XModem in little-endian order, no padding; "Valid test cases" and "Invalid
test cases"); CAP-67 for contracts as holders. The networks of Stellar do not differ in their addresses.
"""

import base64
import binascii
from types import MappingProxyType
from typing import Final

from gateway.formats.addresses.coding import position_outside
from gateway.formats.addresses.model import Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ACCOUNT: Final = 6 << 3
_MUXED: Final = 12 << 3
_CONTRACT: Final = 2 << 3
_KEY_BYTES: Final = 32
# Characters by version: 35 bytes take 56, 43 take 69.
_LENGTHS: Final = MappingProxyType({_ACCOUNT: 56, _MUXED: 69, _CONTRACT: 56})
_MOST_CHARS: Final = 165  # a signed payload, the longest strkey


def stellar(_: Chain, text: str) -> Address:
    """Read an address of Stellar.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_LENGTH, ADDRESS_CHECKSUM, ADDRESS_VERSION or ADDRESS_FORMAT.
    """
    version, payload = _strkey(text)
    if version not in _LENGTHS:
        raise wrong(Code.ADDRESS_VERSION, "well spelled, but of a kind that is no account or contract (SEP-23)")
    if len(text) != _LENGTHS[version]:
        raise wrong(Code.ADDRESS_LENGTH, "too short or too long for its kind")
    if version == _MUXED:
        account = _written(_ACCOUNT, payload[:_KEY_BYTES])
        return Address(account, Checksum.VALID, "account", tag=str(int.from_bytes(payload[_KEY_BYTES:], "big")))
    return Address(text, Checksum.VALID, "account" if version == _ACCOUNT else "contract")


def _strkey(text: str) -> tuple[int, bytes]:
    outside = position_outside(text, _ALPHABET)
    if outside:
        raise wrong(Code.ADDRESS_CHARACTER, f"character {outside} is never used in addresses of this chain")
    if not min(_LENGTHS.values()) <= len(text) <= _MOST_CHARS:
        raise wrong(Code.ADDRESS_LENGTH, "too short or too long for an address of this chain")
    try:
        decoded = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        raise wrong(Code.ADDRESS_LENGTH, "a character is missing or too many") from None
    # The standard library ignores left-over bits; SEP-23 wants them zero, or one account has several spellings.
    if _b32(decoded) != text:
        raise wrong(Code.ADDRESS_FORMAT, "its last character carries bits that must not be there (SEP-23)")
    body, checksum = decoded[:-2], decoded[-2:]
    if binascii.crc_hqx(body, 0).to_bytes(2, "little") != checksum:
        raise wrong(Code.ADDRESS_CHECKSUM, "the checksum does not match: a character is wrong")
    return body[0], body[1:]


def _written(version: int, payload: bytes) -> str:
    body = bytes([version]) + payload
    return _b32(body + binascii.crc_hqx(body, 0).to_bytes(2, "little"))


def _b32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=")
