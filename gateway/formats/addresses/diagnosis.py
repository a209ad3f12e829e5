"""Why a text is not the address that it was said to be.

In: a chain, a text that is no address of it, and what its scheme said. Out: the most useful refusal, in this order: a
private key, for it is lost now; several addresses; a text that no chain could read; a key that is public but no
address; an address of another chain, by name; what the scheme said.
"""

import re
from types import MappingProxyType
from typing import Final

from gateway.errors import Refusal
from gateway.formats import chains
from gateway.formats.addresses import private_keys, schemes
from gateway.formats.addresses.model import MAIN, Address, Checksum, wrong
from gateway.formats.addresses.text import MAX_CHARS
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_EVM_NAME: Final = "Ethereum or another EVM chain"

_COSMOS: Final = {
    name.replace("-", " ").title(): chain
    for name, chain in chains.CHAINS.items()
    if chain.scheme == chains.COSMOS and name != "cosmos"
}

NAMES: Final = MappingProxyType(
    {
        "Bitcoin": chains.CHAINS["bitcoin"],
        "Bitcoin Cash": chains.CHAINS["bitcoin-cash"],
        "Bitcoin SV": chains.CHAINS["bitcoin-sv"],
        "Bitcoin Gold": chains.CHECKED_BY_NAME["bitcoin-gold"],
        "Litecoin": chains.CHAINS["litecoin"],
        "Dogecoin": chains.CHAINS["dogecoin"],
        "Dash": chains.CHAINS["dash"],
        "Verge": chains.CHAINS["verge"],
        "Zcash": chains.CHAINS["zcash"],
        _EVM_NAME: chains.CHAINS["ethereum"],
        "Tron": chains.CHAINS["tron"],
        "the XRP Ledger": chains.CHAINS["xrp"],
        "Cardano": chains.CHAINS["cardano"],
        "TON": chains.CHAINS["ton"],
        "Monero": chains.CHAINS["monero"],
        "Stellar": chains.CHAINS["stellar"],
        "Polkadot": chains.CHAINS["polkadot"],
        "Kusama": chains.CHAINS["kusama"],
        "Tezos": chains.CHAINS["tezos"],
        "Solana": chains.CHAINS["solana"],
        **_COSMOS,
    }
)
"""Each chain once, by the name that a person knows."""

_BETWEEN: Final = re.compile(r"[\s,;/|&+]+|\band\b")
_MOST_PARTS: Final = 16
_AT_LEAST: Final = 2

_EXTENDED_PUBLIC: Final = re.compile(r"[a-zA-Z]{1,3}(?:pub|ub|kp)[1-9A-HJ-NP-Za-km-z]{90,170}")
_VIEWING: Final = re.compile(r"(?:zxviews|zxviewtestsapling|uview|uivk|zivks|zviewtestsapling)[a-z]*1[a-z0-9]+|ZiVK\w+")
_CARDANO_KEY: Final = re.compile(r"[a-z0-9_]*(?:_vk|_vkh|_xvk)1[a-z0-9]+|(?:script|pool|drep)1[a-z0-9]+")


def suggest(text: str) -> tuple[str, ...]:
    """Return the names of the chains that a text is a good address of; of several where they share a form.

    Chains whose addresses have a checksum come alone; those without are named only where none with one fits.
    """
    return _names(_readings(text))


def diagnose(chain: Chain, text: str, reason: Refusal) -> Refusal:
    """Return the refusal of a text that is no address of the chain.

    Args:
        chain: the chain that was claimed.
        text: the text.
        reason: what was wrong with it as an address of that chain.
    """
    found = key(text)
    if found is not None:
        return found
    if len(text) <= MAX_CHARS and _several(text):
        return wrong(Code.ADDRESS_SEVERAL, "two or more addresses in one field; each needs an entry of its own")
    if not text.isascii() or not text.isprintable() or not text.strip() or len(text) > MAX_CHARS:
        return reason
    return _public_key(text) or _other_chain(chain, text, reason) or reason


def key(text: str) -> Refusal | None:
    """Return the refusal of a private key or seed, or None if the text is none."""
    kind = private_keys.recognise(text)
    return wrong(Code.ADDRESS_SECRET, kind) if kind else None


def _several(text: str) -> bool:
    parts = [part for part in _BETWEEN.split(text)[:_MOST_PARTS] if part]
    return len(parts) > 1 and sum(_looks_like_an_address(part) for part in parts) >= _AT_LEAST


def _looks_like_an_address(part: str) -> bool:
    return bool(_readings(part)) or bool(_SHAPE.fullmatch(part))


_SHAPE: Final = re.compile(
    r"0x[0-9a-fA-F]{38,42}|[13LMDXTrtGA7][1-9A-HJ-NP-Za-km-z]{25,34}|(?:bc|tb|ltc|addr|stake|cosmos)1[a-z0-9]{20,110}"
)
"""What a clerk would take for an address though a character is wrong."""


def _public_key(text: str) -> Refusal | None:
    if _EXTENDED_PUBLIC.fullmatch(text):
        return wrong(
            Code.ADDRESS_FORMAT,
            "an extended public key, no address: whoever has it sees all addresses of a wallet; name the addresses",
        )
    if _VIEWING.fullmatch(text):
        return wrong(Code.ADDRESS_FORMAT, "a viewing key, no address: whoever has it sees what comes in")
    if _CARDANO_KEY.fullmatch(text):
        return wrong(Code.ADDRESS_FORMAT, "a key, script or pool of Cardano (CIP-5), no address")
    return None


def _other_chain(chain: Chain, text: str, reason: Refusal) -> Refusal | None:
    # It is one of the claimed chain, and other chains may share the form. With SS58, the network is the chain.
    if reason.rule == Code.ADDRESS_OTHER_NETWORK and chain.scheme != chains.SUBSTRATE:
        return None
    readings = {name: found for name, found in _readings(text).items() if not _same(NAMES[name], chain)}
    names = _names(readings)
    if not names:
        return None
    return wrong(Code.ADDRESS_OTHER_CHAIN, f"an address of {_listed(names)}, not of the chain that was named")


def _readings(text: str) -> dict[str, Address]:
    found = {}
    for name, chain in NAMES.items():
        try:
            address = schemes.read(chain, text)
        except Refusal:
            continue
        # SS58 has one checksum for all; only a number of its own makes it an address of this chain.
        if chain.scheme != chains.SUBSTRATE or address.networks[0] in MAIN:
            found[name] = address
    return found


def _names(readings: dict[str, Address]) -> tuple[str, ...]:
    certain = tuple(name for name, found in readings.items() if found.checksum is not Checksum.NONE)
    return certain or tuple(readings)


def _same(one: Chain, other: Chain) -> bool:
    return one.scheme == other.scheme and one.detail == other.detail


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
