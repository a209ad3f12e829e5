"""Zcash: transparent, TEX, Sapling and unified addresses; Sprout too.

In: a text. Out: an `Address`. Refuses unified addresses whose padding, order or receivers are not as ZIP 316 has them:
their checksum alone would let a wrong jumble pass.

Sources: ZIP 316 (unified: bech32m without limit over F4Jumble; receivers in ascending order, none twice, not both
transparent kinds, not only transparent ones; typecodes 0xE0 to 0xFC must be understood, and none is yet), revision 0;
ZIP 173 and protocol specification 5.6.3.1 (Sapling: bech32, 11 + 32 bytes); ZIP 320 (TEX: bech32m, 20 bytes);
protocol specification 5.6.1.1 and 5.6.2 (base58: transparent, Sprout).
Whether a Sapling or Orchard receiver is a point of its curve is not looked at: the checksum covers it.
"""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from base58_bech32.base58 import b58encode_check

from gateway.errors import Refusal
from gateway.formats.addresses.base58 import base58_address
from gateway.formats.addresses.coding import bech32, whole_bytes
from gateway.formats.addresses.model import MAIN, Address, Checksum, wrong
from gateway.formats.addresses.text import MAX_CHARS
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_TEST: Final = ("testnet",)
_REGTEST: Final = ("regtest",)


@dataclass(frozen=True, slots=True)
class _Form:
    """A row: what a bech32 prefix stands for; `size` is None for unified addresses."""

    kind: str
    networks: tuple[str, ...]
    is_m: bool
    size: int | None


_SAPLING_BYTES: Final = 43
_FORMS: Final = MappingProxyType(
    {
        "zs": _Form("sapling", MAIN, is_m=False, size=_SAPLING_BYTES),
        "ztestsapling": _Form("sapling", _TEST, is_m=False, size=_SAPLING_BYTES),
        "zregtestsapling": _Form("sapling", _REGTEST, is_m=False, size=_SAPLING_BYTES),
        "u": _Form("unified", MAIN, is_m=True, size=None),
        "utest": _Form("unified", _TEST, is_m=True, size=None),
        "uregtest": _Form("unified", _REGTEST, is_m=True, size=None),
        "tex": _Form("tex", MAIN, is_m=True, size=20),
        "textest": _Form("tex", _TEST, is_m=True, size=20),
        "texregtest": _Form("tex", _REGTEST, is_m=True, size=20),
    }
)

_P2PKH_OF: Final = MappingProxyType({"tex": b"\x1c\xb8", "textest": b"\x1d\x25", "texregtest": b"\x1d\x25"})
"""Version of the transparent address with the same hash."""

_PADDING: Final = 16
_LEAST_JUMBLED: Final = 48
_P2PKH: Final = 0
_P2SH: Final = 1
_RECEIVER_BYTES: Final = MappingProxyType({_P2PKH: 20, _P2SH: 20, 2: _SAPLING_BYTES, 3: 43})
_MUST_UNDERSTAND: Final = range(0xE0, 0xFD)
_LAST_TYPECODE: Final = 0x02000000
_COMPACT: Final = MappingProxyType({253: (2, 253), 254: (4, 1 << 16), 255: (8, 1 << 32)})


def zcash(chain: Chain, text: str) -> Address:
    """Read an address of Zcash.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_FORMAT, ADDRESS_LENGTH, ADDRESS_CHECKSUM or ADDRESS_VERSION.
    """
    form = _FORMS.get(text.partition("1")[0].lower())
    if form is None:
        return base58_address(chain, text)
    prefix, values, is_m = bech32(text, MAX_CHARS)
    if prefix not in _FORMS:
        raise wrong(Code.ADDRESS_FORMAT, "it does not begin as an address of this chain does")
    if is_m != form.is_m:
        raise wrong(Code.ADDRESS_CHECKSUM, "its checksum is of another kind than its prefix asks for (BIP-350)")
    raw = whole_bytes(values)
    if form.size is None:
        _check_unified(raw, prefix)
    elif len(raw) != form.size:
        raise wrong(Code.ADDRESS_LENGTH, "too short or too long for its kind")
    return Address(text.lower(), Checksum.VALID, form.kind, form.networks)


def plain(canonical: str) -> str:
    """Return the transparent address that a TEX address is another spelling of (ZIP 320, "Specification")."""
    version = _P2PKH_OF.get(canonical.partition("1")[0])
    if version is None:
        return canonical
    try:
        _, values, _ = bech32(canonical)
        return b58encode_check(version + whole_bytes(values)).decode()
    except Refusal:
        return canonical


def _check_unified(jumbled: bytes, prefix: str) -> None:
    if len(jumbled) < _LEAST_JUMBLED:
        raise wrong(Code.ADDRESS_LENGTH, "too short for a unified address (ZIP 316)")
    raw = unjumble(jumbled)
    if raw[-_PADDING:] != prefix.encode().ljust(_PADDING, b"\0"):
        raise wrong(Code.ADDRESS_FORMAT, "its padding does not repeat its prefix (ZIP 316)")
    typecodes = _typecodes(raw[:-_PADDING])
    if any(later <= earlier for earlier, later in pairwise(typecodes)):
        raise wrong(Code.ADDRESS_FORMAT, "its receivers are not in order, or one is there twice (ZIP 316)")
    if {_P2PKH, _P2SH} <= set(typecodes):
        raise wrong(Code.ADDRESS_FORMAT, "it has two transparent receivers (ZIP 316)")
    if set(typecodes) <= {_P2PKH, _P2SH}:
        raise wrong(Code.ADDRESS_FORMAT, "it has no shielded receiver (ZIP 316)")


def _typecodes(raw: bytes) -> list[int]:
    found = []
    at = 0
    while at < len(raw):
        typecode, at = _compact(raw, at)
        size, at = _compact(raw, at)
        if typecode > _LAST_TYPECODE or typecode in _MUST_UNDERSTAND:
            raise wrong(Code.ADDRESS_VERSION, "it has a receiver that must be understood and is not known (ZIP 316)")
        if size != _RECEIVER_BYTES.get(typecode, size) or at + size > len(raw):
            raise wrong(Code.ADDRESS_LENGTH, "a receiver in it has the wrong length (ZIP 316)")
        found.append(typecode)
        at += size
    return found


def _compact(raw: bytes, at: int) -> tuple[int, int]:
    """Return a compactSize, in its shortest form (protocol specification, section 2), and where it ends."""
    first = raw[at] if at < len(raw) else 255
    if first not in _COMPACT:
        return first, at + 1
    size, least = _COMPACT[first]
    number = int.from_bytes(raw[at + 1 : at + 1 + size], "little")
    if at + 1 + size > len(raw) or number < least:
        raise wrong(Code.ADDRESS_FORMAT, "what it holds cannot be taken apart into receivers (ZIP 316)")
    return number, at + 1 + size


def unjumble(jumbled: bytes) -> bytes:
    """Return what F4Jumble made this of: four rounds of BLAKE2b, undone in reverse order (ZIP 316, "Jumbling")."""
    half = min(64, len(jumbled) // 2)
    left, right = jumbled[:half], jumbled[half:]
    left = _xor(left, _h(1, right, half))
    right = _xor(right, _g(1, left, len(right)))
    left = _xor(left, _h(0, right, half))
    return left + _xor(right, _g(0, left, len(right)))


def _h(turn: int, data: bytes, size: int) -> bytes:
    return hashlib.blake2b(data, digest_size=size, person=b"UA_F4Jumble_H" + bytes([turn, 0, 0])).digest()


def _g(turn: int, data: bytes, size: int) -> bytes:
    person = b"UA_F4Jumble_G" + bytes([turn])
    blocks = [
        hashlib.blake2b(data, digest_size=64, person=person + block.to_bytes(2, "little")).digest()
        for block in range(-(-size // 64))
    ]
    return b"".join(blocks)[:size]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
