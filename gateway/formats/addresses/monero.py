"""Monero: standard addresses, subaddresses and integrated ones.

In: a text. Out: an `Address`; an integrated one becomes its standard address and the payment id as tag. Refuses
overflowing or impossible blocks, other network numbers, other lengths.

Sources: monero src/common/base58.cpp (blocks of 8 bytes in 11 characters: not Bitcoin's base58),
src/cryptonote_config.h (network numbers; FAKECHAIN, the private network, has those of the main one),
src/cryptonote_basic/cryptonote_basic_impl.cpp (a checksum of 4 bytes of Keccak-256). Whether the two keys are
points of the curve is not looked at: the checksum covers them.
"""

from types import MappingProxyType
from typing import Final

from Crypto.Hash import keccak

from gateway.formats.addresses.coding import BITCOIN, position_outside
from gateway.formats.addresses.model import Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_MAIN: Final = ("mainnet", "regtest")
_TEST: Final = ("testnet",)
_STAGE: Final = ("stagenet",)

_STANDARD: Final = "standard"
_INTEGRATED: Final = "integrated"
_NUMBERS: Final = MappingProxyType(
    {
        18: (_STANDARD, _MAIN),
        19: (_INTEGRATED, _MAIN),
        42: ("subaddress", _MAIN),
        53: (_STANDARD, _TEST),
        54: (_INTEGRATED, _TEST),
        63: ("subaddress", _TEST),
        24: (_STANDARD, _STAGE),
        25: (_INTEGRATED, _STAGE),
        36: ("subaddress", _STAGE),
    }
)
_STANDARD_OF: Final = MappingProxyType({19: 18, 54: 53, 25: 24})

_KEYS: Final = 64
_PAYMENT_ID: Final = 8
_CHECKSUM: Final = 4
_CHARS: Final = (95, 106)

_BLOCK_CHARS: Final = 11
_BLOCK_BYTES: Final = 8
# Characters of a last, shorter block by its bytes, and back.
_CHARS_OF: Final = (0, 2, 3, 5, 6, 7, 9, 10, 11)
_BYTES_OF: Final = MappingProxyType({chars: size for size, chars in enumerate(_CHARS_OF)})


def monero(_: Chain, text: str) -> Address:
    """Read an address of Monero.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_LENGTH, ADDRESS_FORMAT, ADDRESS_CHECKSUM or ADDRESS_VERSION.
    """
    outside = position_outside(text, BITCOIN)
    if outside:
        raise wrong(Code.ADDRESS_CHARACTER, f"character {outside} is never used in addresses of this chain")
    if len(text) not in _CHARS:
        raise wrong(Code.ADDRESS_LENGTH, "an address of Monero has 95 characters, or 106 with a payment id")
    raw = _decoded(text)
    body = raw[:-_CHECKSUM]
    if _hash(body) != raw[-_CHECKSUM:]:
        raise wrong(Code.ADDRESS_CHECKSUM, "the checksum does not match: a character is wrong")
    kind, networks = _NUMBERS.get(body[0], ("", ()))
    if not kind:
        raise wrong(Code.ADDRESS_VERSION, "well spelled, but of no kind that Monero has")
    if len(body) != 1 + _KEYS + (_PAYMENT_ID if kind == _INTEGRATED else 0):
        raise wrong(Code.ADDRESS_LENGTH, "too short or too long for its kind")
    if kind == _INTEGRATED:
        text = _written(bytes([_STANDARD_OF[body[0]]]) + body[1 : 1 + _KEYS])
    return Address(text, Checksum.VALID, kind, networks, body[1 + _KEYS :].hex())


def _decoded(text: str) -> bytes:
    return b"".join(_block(text[at : at + _BLOCK_CHARS]) for at in range(0, len(text), _BLOCK_CHARS))


def _block(chars: str) -> bytes:
    number = 0
    for character in chars:
        number = number * 58 + BITCOIN.index(character)
    size = _BYTES_OF[len(chars)]
    if number >> 8 * size:
        raise wrong(Code.ADDRESS_FORMAT, "a part of it stands for too large a number; a character is wrong")
    return number.to_bytes(size, "big")


def _written(body: bytes) -> str:
    raw = body + _hash(body)
    return "".join(_chars(raw[at : at + _BLOCK_BYTES]) for at in range(0, len(raw), _BLOCK_BYTES))


def _chars(block: bytes) -> str:
    number = int.from_bytes(block, "big")
    chars = []
    for _ in range(_CHARS_OF[len(block)]):
        number, digit = divmod(number, 58)
        chars.append(BITCOIN[digit])
    return "".join(reversed(chars))


def _hash(body: bytes) -> bytes:
    return bytes(keccak.new(digest_bits=256, data=body).digest()[:_CHECKSUM])
