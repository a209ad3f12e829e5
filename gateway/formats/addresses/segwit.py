"""Native SegWit: a prefix, a witness version, and 2 to 40 bytes of program.

In: a text. Out: an `Address`. Refuses a prefix that the chain does not have, an encoding that does not belong to the
witness version (bech32 for 0, bech32m for 1 to 16), and programs of impossible length.

Sources: BIP-141 (program lengths), BIP-173 (bech32, version 0), BIP-350 (bech32m, version 1 and up), BIP-341 (Taproot),
Litecoin LIP-4 and its src/key_io.cpp (MWEB: version 0 in bech32, two public keys of 33 bytes).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.formats.addresses.base58 import base58_address
from gateway.formats.addresses.coding import bech32, whole_bytes
from gateway.formats.addresses.model import MAIN, Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_TEST: Final = ("testnet", "signet")
_REGTEST: Final = ("regtest",)

PREFIXES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "bitcoin": {"bc": MAIN, "tb": _TEST, "bcrt": _REGTEST},
        "bitcoin-gold": {"btg": MAIN, "tbtg": _TEST, "tyrg": _REGTEST},
        "litecoin": {"ltc": MAIN, "tltc": _TEST, "rltc": _REGTEST},
        "monacoin": {"mona": MAIN, "tmona": _TEST, "rmona": _REGTEST},
        "verge": {"vg": MAIN},
    }
)
MWEB: Final = MappingProxyType({"ltcmweb": MAIN, "tmweb": ("testnet", "signet", "regtest")})

_MWEB_CHARS: Final = 128
_MWEB_BYTES: Final = 66
_KEY_BYTES: Final = 33
_COMPRESSED: Final = (2, 3)

_LAST_VERSION: Final = 16
_PROGRAM: Final = range(2, 41)
_VERSION_0: Final = MappingProxyType({20: "p2wpkh", 32: "p2wsh"})
_TAPROOT_BYTES: Final = 32
_ANCHOR: Final = bytes.fromhex("4e73")


def bitcoin_like(chain: Chain, text: str) -> Address:
    """Read an address of a chain that has both SegWit and Base58Check.

    Raises:
        Refusal: of `segwit` or of `base58_address`, by which the text begins like.
    """
    prefix = text.partition("1")[0].lower()
    if prefix in PREFIXES[chain.scheme]:
        return segwit(chain, text)
    if chain.scheme == "litecoin" and prefix in MWEB:
        return _mweb(text)
    return base58_address(chain, text)


def segwit(chain: Chain, text: str) -> Address:
    """Read a SegWit address.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_FORMAT, ADDRESS_LENGTH, ADDRESS_CHECKSUM or ADDRESS_VERSION.
    """
    prefix, values, is_m = bech32(text)
    networks = PREFIXES[chain.scheme].get(prefix)
    if networks is None:
        raise wrong(Code.ADDRESS_FORMAT, "it does not begin as an address of this chain does")
    if not values:
        raise wrong(Code.ADDRESS_LENGTH, "nothing stands between its prefix and its checksum")
    version = values[0]
    if version > _LAST_VERSION:
        raise wrong(Code.ADDRESS_VERSION, "its witness version is above 16 (BIP-141)")
    if is_m != (version > 0):
        raise wrong(Code.ADDRESS_CHECKSUM, "its checksum is of the kind of another witness version (BIP-350)")
    program = whole_bytes(values[1:])
    return Address(text.lower(), Checksum.VALID, _kind(version, program), networks)


def _kind(version: int, program: bytes) -> str:
    if len(program) not in _PROGRAM:
        raise wrong(Code.ADDRESS_LENGTH, "a witness program has 2 to 40 bytes (BIP-141)")
    if version == 0:
        kind = _VERSION_0.get(len(program))
        if kind is None:
            raise wrong(Code.ADDRESS_LENGTH, "a program of witness version 0 has 20 or 32 bytes (BIP-141)")
        return kind
    if version == 1 and len(program) == _TAPROOT_BYTES:
        return "p2tr"
    if version == 1 and program == _ANCHOR:
        return "p2a"  # pay to anchor, Bitcoin Core 28: anybody may spend it
    # Of no meaning yet, and valid: BIP-350 keeps these for what comes.
    return f"witness_v{version}"


def _mweb(text: str) -> Address:
    prefix, values, is_m = bech32(text, _MWEB_CHARS)
    if prefix not in MWEB or is_m:
        raise wrong(Code.ADDRESS_FORMAT, "it is not encoded as MWEB addresses are")
    if not values or values[0] != 0:
        raise wrong(Code.ADDRESS_VERSION, "its MWEB version is not 0")
    keys = whole_bytes(values[1:])
    if len(keys) != _MWEB_BYTES:
        raise wrong(Code.ADDRESS_LENGTH, "an MWEB address holds two public keys of 33 bytes")
    if keys[0] not in _COMPRESSED or keys[_KEY_BYTES] not in _COMPRESSED:
        raise wrong(Code.ADDRESS_FORMAT, "what it holds are not two public keys")
    return Address(text.lower(), Checksum.VALID, "mweb", MWEB[prefix])
