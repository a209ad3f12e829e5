"""The table of schemes: who reads the addresses of which chain.

In: a chain and a text. Out: an `Address`. Refuses what its scheme refuses, an empty text, one that is too long for any
address, and every character that is not visible ASCII: no scheme ever sees these.
"""

from types import MappingProxyType
from typing import Final

from gateway.formats import chains
from gateway.formats.addresses.base58 import base58_address, tron
from gateway.formats.addresses.cardano import cardano
from gateway.formats.addresses.cashaddr import bitcoin_cash
from gateway.formats.addresses.cosmos import cosmos
from gateway.formats.addresses.evm import evm
from gateway.formats.addresses.model import Address, Scheme
from gateway.formats.addresses.monero import monero
from gateway.formats.addresses.segwit import bitcoin_like
from gateway.formats.addresses.solana import solana
from gateway.formats.addresses.stellar import stellar
from gateway.formats.addresses.substrate import substrate
from gateway.formats.addresses.text import MAX_CHARS, why_unreadable
from gateway.formats.addresses.ton import ton
from gateway.formats.addresses.xrp import xrp
from gateway.formats.addresses.zcash import zcash
from gateway.formats.chains import Chain

SCHEMES: Final[MappingProxyType[str, Scheme]] = MappingProxyType(
    {
        "bitcoin": bitcoin_like,
        "bitcoin-cash": bitcoin_cash,
        "bitcoin-gold": bitcoin_like,
        "bitcoin-sv": base58_address,
        "cardano": cardano,
        chains.COSMOS: cosmos,
        "dash": base58_address,
        "dogecoin": base58_address,
        chains.EVM: evm,
        "litecoin": bitcoin_like,
        "monacoin": bitcoin_like,
        "monero": monero,
        "solana": solana,
        "stellar": stellar,
        chains.SUBSTRATE: substrate,
        "tezos": base58_address,
        "ton": ton,
        "tron": tron,
        "verge": bitcoin_like,
        "xrp": xrp,
        "zcash": zcash,
    }
)


def read(chain: Chain, text: str) -> Address:
    """Read an address as one of that chain, of whichever network.

    Raises:
        Refusal: by the rule that it breaks, without a position.
    """
    # Length first: everything after it may take time that grows with the text.
    if not text or len(text) > MAX_CHARS or not text.isascii() or not text.isprintable() or " " in text:
        raise why_unreadable(text)
    return SCHEMES[chain.scheme](chain, text)
