"""TON: the user-friendly form with a checksum, and the raw form without.

In: a text. Out: an `Address`, canonical as `workchain:hex` in small letters, so that the bounceable and the other
spelling of one account compare equal. Refuses unknown flags and workchains other than 0 and -1.

Source: TEP-2, "Smart-contract addresses" (36 bytes: flag 0x11 or 0x51, 0x80 added for test only; workchain as int8; 32
bytes; CRC16-CCITT, polynomial 0x1021 from 0; base64 or base64url) and its raw form.
A test-only address is refused where the main network is meant; without the flag an address is good on both.
"""

import base64
import binascii
import re
from types import MappingProxyType
from typing import Final

from gateway.formats.addresses.model import ANY, Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_RAW: Final = re.compile(r"(0|-1):([0-9a-fA-F]{64})")
_ANY_RAW: Final = re.compile(r"-?[0-9]{1,10}:[0-9a-fA-F]+")
_CHARS: Final = 48
_STANDARD: Final = re.compile(r"[A-Za-z0-9+/]+")
_URL: Final = re.compile(r"[A-Za-z0-9_-]+")

_FROM_URL: Final = str.maketrans("-_", "+/")

_FLAGS: Final = MappingProxyType({0x11: "bounceable", 0x51: "non_bounceable"})
_TEST_ONLY: Final = 0x80
_WORKCHAINS: Final = (0, -1)


def ton(_: Chain, text: str) -> Address:
    """Read an address of TON.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_LENGTH, ADDRESS_CHECKSUM or ADDRESS_VERSION.
    """
    raw = _RAW.fullmatch(text)
    if raw:
        return Address(text.lower(), Checksum.NONE, "raw")
    if _ANY_RAW.fullmatch(text):
        raise wrong(Code.ADDRESS_FORMAT, "the raw form is 0: or -1: and 64 digits")
    return _friendly(_decoded(text))


def _decoded(text: str) -> bytes:
    if not _STANDARD.fullmatch(text) and not _URL.fullmatch(text):
        raise wrong(Code.ADDRESS_CHARACTER, "a character of it is never used in addresses of this chain")
    if len(text) != _CHARS:
        raise wrong(Code.ADDRESS_LENGTH, "an address of TON has 48 characters")
    return base64.b64decode(text.translate(_FROM_URL))


def _friendly(raw: bytes) -> Address:
    body, checksum = raw[:-2], raw[-2:]
    if binascii.crc_hqx(body, 0) != int.from_bytes(checksum, "big"):
        raise wrong(Code.ADDRESS_CHECKSUM, "the checksum does not match: a character is wrong")
    kind = _FLAGS.get(body[0] & ~_TEST_ONLY)
    if kind is None:
        raise wrong(Code.ADDRESS_VERSION, "its flags are none that TEP-2 knows")
    workchain = int.from_bytes(body[1:2], "big", signed=True)
    if workchain not in _WORKCHAINS:
        raise wrong(Code.ADDRESS_VERSION, "TON has the workchains 0 and -1 only")
    networks = ("testnet",) if body[0] & _TEST_ONLY else ANY
    return Address(f"{workchain}:{body[2:].hex()}", Checksum.VALID, kind, networks)
