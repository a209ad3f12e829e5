"""Addresses in Base58Check: a version, a hash, and four bytes of double SHA-256.

In: a text. Out: an `Address`. Refuses what has no right checksum, a version that its chain does not have, and a hash
of the wrong length. Which versions a chain has is one table; it covers Bitcoin and its kin, Zcash, Tron and Tezos.

Sources: chainparams.cpp of Bitcoin, Litecoin, Dogecoin, Dash, Bitcoin Gold, Monacoin and Verge (base58Prefixes); Zcash
protocol specification 5.6.1.1 (transparent) and 5.6.3 (Sprout); Tron documentation, "Account address format"; Tezos,
src/lib_crypto/base58.ml (Prefix) and smart_rollup_address.ml.
"""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from base58_bech32.base58 import b58encode_check

from gateway.formats.addresses.coding import base58check
from gateway.formats.addresses.model import ANY, MAIN, Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

HASH160: Final = 20
SPROUT: Final = 64

_TRON_HEX: Final = re.compile(r"41[0-9a-fA-F]{40}")

_ALL_TEST: Final = ("testnet", "signet", "regtest")
_TEST: Final = ("testnet", "regtest")


@dataclass(frozen=True, slots=True)
class Version:
    """One row: what stands before the hash, and what it means.

    Args:
        prefix: the version bytes.
        kind: what it pays to.
        networks: where it is valid.
        size: bytes that follow.
        canonical: version bytes under which the same output is written today; empty if that is this one.
    """

    prefix: bytes
    kind: str
    networks: tuple[str, ...] = MAIN
    size: int = HASH160
    canonical: bytes = b""


def _bitcoin_kin(p2pkh: int, p2sh: int, *, test_p2pkh: int = 0x6F, test_p2sh: int = 0xC4) -> tuple[Version, ...]:
    return (
        Version(bytes([p2pkh]), "p2pkh"),
        Version(bytes([p2sh]), "p2sh"),
        Version(bytes([test_p2pkh]), "p2pkh", _ALL_TEST),
        Version(bytes([test_p2sh]), "p2sh", _ALL_TEST),
    )


def _tezos(prefix: str, kind: str) -> Version:
    return Version(bytes.fromhex(prefix), kind, ANY)


VERSIONS: Final = MappingProxyType(
    {
        "bitcoin": _bitcoin_kin(0x00, 0x05),
        "bitcoin-cash": _bitcoin_kin(0x00, 0x05),
        "bitcoin-gold": _bitcoin_kin(0x26, 0x17),
        "bitcoin-sv": _bitcoin_kin(0x00, 0x05),
        "dash": _bitcoin_kin(0x4C, 0x10, test_p2pkh=0x8C, test_p2sh=0x13),
        "dogecoin": (
            *_bitcoin_kin(0x1E, 0x16, test_p2pkh=0x71),
            Version(b"\x6f", "p2pkh", ("regtest",)),
        ),
        # 3... and 2... are Litecoin's old script versions, also Bitcoin's; Core reads both and writes M... and Q...
        "litecoin": (
            *_bitcoin_kin(0x30, 0x32, test_p2sh=0x3A),
            Version(b"\x05", "p2sh", canonical=b"\x32"),
            Version(b"\xc4", "p2sh", _ALL_TEST, canonical=b"\x3a"),
        ),
        "monacoin": (*_bitcoin_kin(0x32, 0x37, test_p2sh=0x75), Version(b"\x05", "p2sh", canonical=b"\x37")),
        # The test networks of Tron use the version of the main one.
        "tron": (Version(b"\x41", "account", ANY),),
        # Neither do the networks of Tezos differ.
        "tezos": (
            _tezos("06a19f", "tz1"),
            _tezos("06a1a1", "tz2"),
            _tezos("06a1a4", "tz3"),
            _tezos("06a1a6", "tz4"),
            _tezos("025a79", "contract"),
            _tezos("067c75", "rollup"),
        ),
        "verge": _bitcoin_kin(0x1E, 0x21, test_p2pkh=0x73, test_p2sh=0xC6),
        # Sprout is closed to new money (ZIP 211) but not emptied: an address of it can still hold what is to be frozen.
        "zcash": (
            Version(b"\x1c\xb8", "p2pkh"),
            Version(b"\x1c\xbd", "p2sh"),
            Version(b"\x1d\x25", "p2pkh", _TEST),
            Version(b"\x1c\xba", "p2sh", _TEST),
            Version(b"\x16\x9a", "sprout", MAIN, SPROUT),
            Version(b"\x16\xb6", "sprout", _TEST, SPROUT),
        ),
    }
)


def base58_address(chain: Chain, text: str) -> Address:
    """Read an address in Base58Check.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_LENGTH, ADDRESS_CHECKSUM or ADDRESS_VERSION.
    """
    version, digest = split(chain.scheme, text)
    if version.canonical:
        text = b58encode_check(version.canonical + digest).decode()
    return Address(text, Checksum.VALID, version.kind, version.networks)


def split(scheme: str, text: str) -> tuple[Version, bytes]:
    """Return the row of the table and the hash; refuses as `base58_address` does."""
    payload = base58check(text)
    for version in VERSIONS[scheme]:
        if payload.startswith(version.prefix):
            if len(payload) != len(version.prefix) + version.size:
                raise wrong(Code.ADDRESS_LENGTH, "it holds too few or too many bytes for its kind")
            return version, payload[len(version.prefix) :]
    raise wrong(Code.ADDRESS_VERSION, "well spelled, but of no kind that this chain has")


def tron(chain: Chain, text: str) -> Address:
    """Read an address of Tron: base58, or the hex that its nodes print, `41` and 40 digits, without a checksum.

    Raises:
        Refusal: as `base58_address`.
    """
    if _TRON_HEX.fullmatch(text):
        return Address(b58encode_check(bytes.fromhex(text)).decode(), Checksum.NONE, "account")
    return base58_address(chain, text)
