"""The XRP Ledger: classic addresses, and X-addresses, which pack a destination tag.

In: a text. Out: an `Address`; an X-address becomes the classic one and its tag. Refuses other versions, flags that
XLS-5d leaves unused, and a tag of which bytes are set that must be zero.

Sources: XRPL documentation, "base58 encodings" (Ripple's alphabet, account id 0x00); XLS-5d, "Specification" (X/T
prefixes 0x0544 and 0x0493, flag byte, tag as 64 bits of which 32 may be used).
A classic address says nothing of its network; an X-address says main, a T-address test or development network.
"""

from types import MappingProxyType
from typing import Final

from base58_bech32.base58 import RIPPLE_ALPHABET, b58encode_check

from gateway.formats.addresses.coding import base58check
from gateway.formats.addresses.model import MAIN, Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_ACCOUNT: Final = b"\x00"
_ACCOUNT_BYTES: Final = 20
_X_PREFIXES: Final = MappingProxyType({b"\x05\x44": MAIN, b"\x04\x93": ("testnet", "devnet")})
_X_BYTES: Final = 31
_NO_TAG: Final = 0
_TAG_32: Final = 1


def xrp(_: Chain, text: str) -> Address:
    """Read an address of the XRP Ledger.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_LENGTH, ADDRESS_CHECKSUM, ADDRESS_VERSION or ADDRESS_FORMAT.
    """
    payload = base58check(text, RIPPLE_ALPHABET)
    networks = _X_PREFIXES.get(payload[:2])
    if networks is not None and len(payload) == _X_BYTES:
        return _x_address(payload[2:], networks)
    if not payload.startswith(_ACCOUNT):
        raise wrong(Code.ADDRESS_VERSION, "well spelled, but no account of the XRP Ledger")
    if len(payload) != 1 + _ACCOUNT_BYTES:
        raise wrong(Code.ADDRESS_LENGTH, "an account of the XRP Ledger has 20 bytes")
    return Address(text, Checksum.VALID, "account")


def _x_address(payload: bytes, networks: tuple[str, ...]) -> Address:
    account, flag, tag = payload[:_ACCOUNT_BYTES], payload[_ACCOUNT_BYTES], payload[_ACCOUNT_BYTES + 1 :]
    number = int.from_bytes(tag, "little")
    if flag not in {_NO_TAG, _TAG_32}:
        raise wrong(Code.ADDRESS_FORMAT, "its flags are none that XLS-5d knows")
    if number >= (1 << 32 if flag == _TAG_32 else 1):
        raise wrong(Code.ADDRESS_FORMAT, "its tag has bytes set that must be zero (XLS-5d)")
    classic = b58encode_check(_ACCOUNT + account, alphabet=RIPPLE_ALPHABET).decode()
    return Address(classic, Checksum.VALID, "account", networks, str(number) if flag == _TAG_32 else "")
