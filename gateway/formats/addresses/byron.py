"""Byron addresses of Cardano: base58 of CBOR.

In: a text. Out: an `Address`. Refuses CBOR of another shape or spelling, a wrong CRC-32, anything after the end.

Source: CIP-19, "Byron addresses", and the CDDL of cardano-ledger's Byron era:
`address = [#6.24(bytes .cbor [root: bytes .size 28, attributes: {* uint => bytes}, type: uint]), crc32: uint]`.
Attribute 1 is a derivation path, attribute 2 the magic of a test network; on the main network it is absent.
Only what this shape needs of CBOR (RFC 8949, 3) is read here, in its shortest form and with keys in order (4.2.1), as
the ledger writes it: otherwise one address would have several spellings.
"""

import binascii
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from gateway.errors import Refusal
from gateway.formats.addresses.coding import base58
from gateway.formats.addresses.model import MAIN, Address, Checksum, wrong
from gateway.formats.codes import Code

_MOST_CHARS: Final = 180
_UINT: Final = 0
_BYTES: Final = 2
_ARRAY: Final = 4
_MAP: Final = 5
_TAG: Final = 6
_ENCODED_CBOR: Final = 24
_ROOT: Final = 28
_KINDS: Final = MappingProxyType({0: "byron", 1: "byron_script", 2: "byron_redeem"})
_DERIVATION: Final = 1
_MAGIC: Final = 2
_SIZES: Final = MappingProxyType({24: 1, 25: 2, 26: 4, 27: 8})
_SHORT: Final = 24
_LEAST: Final = MappingProxyType({24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32})
"""What a head of that length is for; a smaller number has a shorter one."""


def byron(text: str) -> Address:
    """Read a Byron address.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_LENGTH, ADDRESS_FORMAT, ADDRESS_CHECKSUM or ADDRESS_VERSION.
    """
    outer = _Reader(base58(text, _MOST_CHARS))
    outer.expect(_ARRAY, 2)
    outer.expect(_TAG, _ENCODED_CBOR)
    payload = outer.bytes_()
    checksum = outer.head(_UINT)
    outer.end()
    if binascii.crc32(payload) != checksum:
        raise wrong(Code.ADDRESS_CHECKSUM, "the checksum does not match: a character is wrong")
    return _inner(text, _Reader(payload))


def _inner(text: str, inner: "_Reader") -> Address:
    inner.expect(_ARRAY, 3)
    if len(inner.bytes_()) != _ROOT:
        raise wrong(Code.ADDRESS_LENGTH, "its root has another length than 28 bytes (CIP-19)")
    found: list[int] = []
    for _ in range(inner.head(_MAP)):
        found.append(inner.head(_UINT))
        inner.bytes_()
    kind = _KINDS.get(inner.head(_UINT))
    inner.end()
    if any(later <= earlier for earlier, later in pairwise(found)):
        raise _not_byron()
    if kind is None or not {*found} <= {_DERIVATION, _MAGIC}:
        raise wrong(Code.ADDRESS_VERSION, "its type or an attribute is none that CIP-19 knows")
    return Address(text, Checksum.VALID, kind, ("testnet",) if _MAGIC in found else MAIN)


@dataclass(slots=True)
class _Reader:
    """A place in a CBOR text."""

    raw: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        found = self.raw[self.at : self.at + size]
        if len(found) != size:
            raise _not_byron()
        self.at += size
        return found

    def head(self, major: int) -> int:
        """Return the number in the next head, which is of that major type."""
        first = self.take(1)[0]
        low = first & 0x1F
        if first >> 5 != major or (low >= _SHORT and low not in _SIZES):
            raise _not_byron()
        if low < _SHORT:
            return low
        number = int.from_bytes(self.take(_SIZES[low]), "big")
        if number < _LEAST[low]:
            raise _not_byron()
        return number

    def expect(self, major: int, number: int) -> None:
        """Pass over a head that must be this one."""
        if self.head(major) != number:
            raise _not_byron()

    def bytes_(self) -> bytes:
        """Return the next byte string."""
        return self.take(self.head(_BYTES))

    def end(self) -> None:
        """Check that nothing follows."""
        if self.at != len(self.raw):
            raise _not_byron()


def _not_byron() -> Refusal:
    return wrong(Code.ADDRESS_FORMAT, "it begins like no address of Cardano, and is no Byron address either")
