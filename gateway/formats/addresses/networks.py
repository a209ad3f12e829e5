"""Which network was meant, from the word that stands with an address.

In: a chain and the free text of a `network` field. Out: one word, "any" where nothing was said that narrows. Refuses
nothing: lists write networks as they like ("Solana Testnet", "KILT Spiritnet (SS58 prefix = 38)", "Genesis block hash:
..."), and a text that names no network must not make a good address bad. A caller that wants a word of the list only,
compares before.

The rule: the first known word counts, in any case; "SS58 prefix = n" counts before words; a *private* test network is
"regtest", for nobody else is on it, and its addresses are formed by its own rules. A chain that is itself a test
network (`xrpl:1`) has the last word: there, "mainnet" can only mean that network.
"""

import re
from types import MappingProxyType
from typing import Final

from gateway.formats.addresses.model import Address
from gateway.formats.chains import MAIN, Chain

ANY: Final = "any"
PREFIX: Final = "ss58:"
"""With a number after it: the network of that SS58 prefix."""

_MOST: Final = 200
_SS58: Final = re.compile(r"ss58 prefix\s*[=:]?\s*(\d{1,5})", re.ASCII)

WORDS: Final = MappingProxyType(
    {
        "mainnet": MAIN,
        "livenet": MAIN,
        "pubnet": MAIN,
        "testnet": "testnet",
        "signet": "signet",
        "regtest": "regtest",
        "devnet": "devnet",
        "stagenet": "stagenet",
        "any": ANY,
        "private": "regtest",
        "preprod": "testnet",
        "preview": "testnet",
        "futurenet": "testnet",
        "shasta": "testnet",
        "nile": "testnet",
    }
)
_WORD: Final = re.compile(rf"\b({'|'.join(WORDS)})[0-9]?\b", re.ASCII)
"""With a digit, for `testnet3` and `testnet4`."""


def meant(chain: Chain, network: str) -> str:
    """Return the network that is meant."""
    if chain.network != MAIN:
        return chain.network
    if network in WORDS:
        return WORDS[network]
    text = network[:_MOST].lower()
    number = _SS58.search(text)
    if number:
        return f"{PREFIX}{int(number[1])}"
    word = _WORD.search(text)
    return WORDS[word[1]] if word else ANY


def admits(address: Address, network: str) -> bool:
    """Return whether the address can be one of that network."""
    return network == ANY or network in address.networks or ANY in address.networks
