"""Chains by name: their CAIP-2 id and their own coin as CAIP-19.

In: a name as sanctions lists and data sets write it, or a CAIP-2 id. Out: a `Chain`. Refuses every other name with
BAD_INPUT, "not supported": an id is never guessed from a name, for a freeze on the wrong chain freezes nothing.

Sources: the CASA namespace profiles (bip122, eip155, monero, solana, stellar, tezos, tvm, xrpl) for ids; the Ethereum
chain registry for eip155 numbers; SLIP-44 for coin types; Trust Wallet Core's registry for decimals. An id is *by
convention* where no CASA profile lists it; each such row says what it rests on.
Missing on purpose: Bitcoin Gold. Its id would be the hash of its first own block, 491407 (CASA bip122, as for Bitcoin
Cash), of which no primary source was at hand; the genesis block it shares with Bitcoin names Bitcoin.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.errors import ErrorCode, Refusal

_CASA: Final = "CASA profile"
_EIP155: Final = "CASA eip155 with the number of the Ethereum chain registry"
_GENESIS: Final = "by convention: genesis block hash, after CASA bip122"


@dataclass(frozen=True, slots=True)
class Chain:
    """One main network.

    Args:
        caip2: its id.
        slip44: coin type of its own coin.
        decimals: decimals of its own coin.
        source: what the id rests on.
    """

    caip2: str
    slip44: int
    decimals: int
    source: str = _CASA

    @property
    def native(self) -> str:
        """Its own coin as a CAIP-19 asset type, e.g. `eip155:1/slip44:60`."""
        return f"{self.caip2}/slip44:{self.slip44}"


_BITCOIN_CASH: Final = Chain("bip122:000000000000000000651ef99cb9fcbe", 145, 8)
_BNB: Final = Chain("eip155:56", 714, 18, _EIP155)
_XRP: Final = Chain("xrpl:0", 144, 6)

CHAINS: Final = MappingProxyType(
    {
        "arbitrum": Chain("eip155:42161", 60, 18, _EIP155),
        "avalanche": Chain("eip155:43114", 9005, 18, _EIP155),
        "base": Chain("eip155:8453", 60, 18, _EIP155),
        "bitcoin": Chain("bip122:000000000019d6689c085ae165831e93", 0, 8),
        "bitcoin-cash": _BITCOIN_CASH,
        "bitcoin_cash": _BITCOIN_CASH,
        "bitcoin-sv": Chain(
            "bip122:000000000000000001d956714215d96f",
            236,
            8,
            "by convention: hash of its first own block, 556767, after CASA bip122; from the Open BSV licence",
        ),
        "bnb-smart-chain": _BNB,
        "bsc": _BNB,
        "cardano": Chain("cip34:1-764824073", 1815, 6, "by convention: CIP-34, which CASA does not list"),
        "dash": Chain("bip122:00000ffd590b1485b3caadc19b22e637", 5, 8, _GENESIS),
        "dogecoin": Chain("bip122:1a91e3dace36e2be3bf030a65679fe82", 3, 8),
        "ethereum": Chain("eip155:1", 60, 18),
        "ethereum-classic": Chain("eip155:61", 61, 18, _EIP155),
        "litecoin": Chain("bip122:12a765e31ffd4059bada1e25190f6e98", 2, 8),
        "monero": Chain("monero:418015bb9ae982a1975da7d79277c270", 128, 12),
        "optimism": Chain("eip155:10", 60, 18, _EIP155),
        "polygon": Chain("eip155:137", 966, 18, _EIP155),
        "ripple": _XRP,
        "solana": Chain("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", 501, 9),
        "stellar": Chain("stellar:pubnet", 148, 7),
        "tezos": Chain("tezos:NetXdQprcVkpaWU", 1729, 6),
        "ton": Chain("tvm:-239", 607, 9),
        "tron": Chain("tron:0x2b6653dc", 195, 6, "by convention: the id that wallets use; CASA does not list it"),
        "verge": Chain("bip122:00000fc63692467faeb20cdb3b53200d", 77, 6, _GENESIS),
        "xrp": _XRP,
        "zcash": Chain("bip122:00040fe8ec8471911baa1db1266ea15d", 133, 8, _GENESIS),
    }
)

_BY_CAIP2: Final = MappingProxyType({chain.caip2: chain for chain in CHAINS.values()})


def known(name_or_caip2: str) -> Chain | None:
    """Return the chain of that name or CAIP-2 id, or None. Ids are case-sensitive (CAIP-2); names are in lower case."""
    return CHAINS.get(name_or_caip2) or _BY_CAIP2.get(name_or_caip2)


def find(name_or_caip2: str) -> Chain:
    """Return the chain of that name or CAIP-2 id.

    Raises:
        Refusal: BAD_INPUT, it is not supported.
    """
    chain = known(name_or_caip2)
    if chain is None:
        raise Refusal(ErrorCode.BAD_INPUT, "this chain is not supported")
    return chain


def caip2(name_or_caip2: str) -> str:
    """Return the CAIP-2 id of the chain of that name or id; refuses as `find` does."""
    return find(name_or_caip2).caip2
