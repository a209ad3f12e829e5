"""Digital Token Identifiers, ISO 24165.

In: a text. Out: the same text. Refuses, with BAD_INPUT, the position and the rule, another form, a wrong check
character, and a DTI beside a CAIP-19 identifier that says another asset. Whether a code was ever assigned, only the
registry knows.

Sources: ISO 24165-1; ISO/IEC 7064, hybrid system MOD 31,30; codes of the coins from a copy of the DTIF registry,
2026-04.
"""

import re
from types import MappingProxyType
from typing import Final

from gateway.formats import chains
from gateway.formats.codes import Code, refuse

BITCOIN: Final = "4H95J0R2X"
"""The one code in the registry whose check character does not fit; it was assigned first and stays."""

_ALPHABET: Final = "0123456789BCDFGHJKLMNPQRSTVWXZ"
_DTI: Final = re.compile(r"[1-9B-DF-HJ-NP-TV-XZ][0-9B-DF-HJ-NP-TV-XZ]{8}")

NATIVE: Final = MappingProxyType(
    {
        code: chain.native
        for code, chain in (
            (BITCOIN, chains.find("bitcoin")),
            ("WTX0G7K46", chains.find("litecoin")),
            ("820B7G1NL", chains.find("dogecoin")),
            ("M5D76SHV5", chains.find("dash")),
            ("3DHMJ5Q02", chains.find("zcash")),
            ("J9K583ZGG", chains.find("bitcoin-cash")),
            ("X9J9K872S", chains.find("ethereum")),
            ("993D8X1FB", chains.find("tron")),
            ("L6GTZC9G4", chains.find("xrp")),
            ("20J63Z4N3", chains.find("solana")),
            ("HWGL1C2CK", chains.find("cardano")),
            ("QBZLT5MT1", chains.find("ton")),
            ("24VV95T9F", chains.find("monero")),
            ("C4SRNZD8K", chains.find("stellar")),
        )
    }
)
"""DTI of the coins of known chains, and the same as CAIP-19; from a copy of the DTIF registry, 2026-04."""

_OF_NATIVE: Final = MappingProxyType({native: code for code, native in NATIVE.items()})


def read(text: str, where: str = "") -> str:
    """Return a Digital Token Identifier.

    Raises:
        Refusal: BAD_INPUT, rule DTI_FORMAT or DTI_CHECK_CHARACTER.

    Source: ISO 24165-1; check character after ISO/IEC 7064 MOD 31,30, which finds every single wrong character. That it
    is this system was found by running it over all 5,785 codes of a copy of the registry: all but Bitcoin's fit.
    """
    if not _DTI.fullmatch(text):
        raise refuse(Code.DTI_FORMAT, "a DTI is nine digits and capital consonants, the first of them no zero", where)
    if text != BITCOIN and check_character(text[:-1]) != text[-1]:
        raise refuse(Code.DTI_CHECK_CHARACTER, "the check character of this DTI does not fit: one is wrong", where)
    return text


def check_character(base: str) -> str:
    """Return the ninth character for eight; ISO/IEC 7064 hybrid system with M = 30."""
    product = len(_ALPHABET)
    for character in base:
        product = _next(product, character)
    return _ALPHABET[(1 - product) % len(_ALPHABET)]


def _next(product: int, character: str) -> int:
    """Return the product after one more character.

    For one product, different characters give different products; for one character, different products do. So one
    wrong character always ends in another check character.
    """
    size = len(_ALPHABET)
    return ((product + _ALPHABET.index(character)) % size or size) * 2 % (size + 1)


def check_same(code: str, of: str, where: str = "") -> None:
    """Check that a DTI does not say another asset than the CAIP-19 beside it.

    Args:
        code: the DTI.
        of: canonical CAIP-19.
        where: position of the DTI.

    Raises:
        Refusal: BAD_INPUT, rule DTI_CONTRADICTS_ASSET.
    """
    if NATIVE.get(code, of) != of or _OF_NATIVE.get(of, code) != code:
        raise refuse(Code.DTI_CONTRADICTS_ASSET, "the DTI is of another asset than the CAIP-19 identifier", where)
