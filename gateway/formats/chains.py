"""Chains by name: their CAIP-2 id, their own coin as CAIP-19, and how their addresses are written.

In: a name as sanctions lists and data sets write it, or a CAIP-2 id. Out: a `Chain`. Refuses every other name with
BAD_INPUT, "not supported": an id is never guessed from a name, for a freeze on the wrong chain freezes nothing.

There are two circles. *Known* chains are main networks with an id, a coin and decimals: `known` and `find` give these
and no others, and a wallet elsewhere stays quoted. *Checkable* chains are those plus what has addresses that can be
checked though nothing can be frozen there by id: test networks, `eip155` numbers without a name, Substrate chains
without one, Bitcoin Gold and Monacoin. `checkable` and `find_checkable` give both circles, for the checking of
addresses only.

Sources: the CASA namespace profiles (bip122, cosmos, eip155, monero, polkadot, solana, stellar, tezos, tvm, xrpl) for
ids; the Ethereum chain registry for eip155 numbers; SLIP-44 for coin types; Trust Wallet Core's registry for decimals,
Cosmos chain ids and their address prefixes. An id is *by convention* where no CASA profile lists it; each such row says
what it rests on.
Missing on purpose from the known: Bitcoin Gold. Its id would be the hash of its first own block, 491407 (CASA bip122,
as for Bitcoin Cash), of which no primary source was at hand; the genesis block it shares with Bitcoin names Bitcoin.
It is checkable by name, with an empty id; so is Monacoin, for the same want of a source.
"""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.errors import Refusal
from gateway.formats.codes import Code, refuse

_CASA: Final = "CASA profile"
_EIP155: Final = "CASA eip155 with the number of the Ethereum chain registry"
_GENESIS: Final = "by convention: genesis block hash, after CASA bip122"
_COSMOS: Final = "CASA cosmos with the chain id of Trust Wallet Core's registry; coin type of its wallets"
_TEST: Final = "CASA profile; a test network, nothing there has a worth"

MAIN: Final = "mainnet"

EVM: Final = "evm"
COSMOS: Final = "cosmos"
SUBSTRATE: Final = "substrate"


@dataclass(frozen=True, slots=True)
class Chain:
    """One network.

    Args:
        caip2: its id; empty only for a chain that can be checked by name and has no id here.
        slip44: coin type of its own coin; of no meaning for a chain that is not known.
        decimals: decimals of its own coin; of no meaning for a chain that is not known.
        source: what the id rests on.
        scheme: how its addresses are written: a key of `gateway.formats.addresses`.
        detail: what the scheme must know besides: the bech32 prefix (cosmos), the SS58 number (substrate).
        network: which network of its kind the id names.
    """

    caip2: str
    slip44: int
    decimals: int
    source: str = _CASA
    scheme: str = EVM
    detail: str = ""
    network: str = MAIN

    @property
    def native(self) -> str:
        """Its own coin as a CAIP-19 asset type, e.g. `eip155:1/slip44:60`."""
        return f"{self.caip2}/slip44:{self.slip44}"


def _cosmos(chain_id: str, prefix: str, slip44: int = 118, decimals: int = 6) -> Chain:
    return Chain(f"cosmos:{chain_id}", slip44, decimals, _COSMOS, COSMOS, prefix)


_BITCOIN_CASH: Final = Chain("bip122:000000000000000000651ef99cb9fcbe", 145, 8, scheme="bitcoin-cash")
_BNB: Final = Chain("eip155:56", 714, 18, _EIP155)
_XRP: Final = Chain("xrpl:0", 144, 6, scheme="xrp")
_COSMOS_HUB: Final = _cosmos("cosmoshub-4", "cosmos")

CHAINS: Final = MappingProxyType(
    {
        "akash": _cosmos("akashnet-2", "akash"),
        "arbitrum": Chain("eip155:42161", 60, 18, _EIP155),
        "avalanche": Chain("eip155:43114", 9005, 18, _EIP155),
        "axelar": _cosmos("axelar-dojo-1", "axelar"),
        "base": Chain("eip155:8453", 60, 18, _EIP155),
        "bitcoin": Chain("bip122:000000000019d6689c085ae165831e93", 0, 8, scheme="bitcoin"),
        "bitcoin-cash": _BITCOIN_CASH,
        "bitcoin-sv": Chain(
            "bip122:000000000000000001d956714215d96f",
            236,
            8,
            "by convention: hash of its first own block, 556767, after CASA bip122; from the Open BSV licence",
            "bitcoin-sv",
        ),
        "bnb-smart-chain": _BNB,
        "bsc": _BNB,
        "cardano": Chain(
            "cip34:1-764824073", 1815, 6, "by convention: CIP-34, which CASA does not list", scheme="cardano"
        ),
        "celo": Chain("eip155:42220", 52752, 18, _EIP155),
        "celestia": _cosmos("celestia", "celestia"),
        "cosmos": _COSMOS_HUB,
        "cosmos-hub": _COSMOS_HUB,
        "cronos-pos": _cosmos("crypto-org-chain-mainnet-1", "cro", 394, 8),
        "dash": Chain("bip122:00000ffd590b1485b3caadc19b22e637", 5, 8, _GENESIS, "dash"),
        "dogecoin": Chain("bip122:1a91e3dace36e2be3bf030a65679fe82", 3, 8, scheme="dogecoin"),
        "dydx": _cosmos("dydx-mainnet-1", "dydx", decimals=18),
        "ethereum": Chain("eip155:1", 60, 18),
        "ethereum-classic": Chain("eip155:61", 61, 18, _EIP155),
        "fantom": Chain("eip155:250", 1007, 18, _EIP155),
        "gnosis": Chain("eip155:100", 700, 18, _EIP155),
        "injective": _cosmos("injective-1", "inj", 60, 18),
        "juno": _cosmos("juno-1", "juno"),
        "kusama": Chain("polkadot:b0a8d493285c2df73290dfb7e61f870f", 434, 12, scheme=SUBSTRATE, detail="2"),
        "litecoin": Chain("bip122:12a765e31ffd4059bada1e25190f6e98", 2, 8, scheme="litecoin"),
        "monero": Chain("monero:418015bb9ae982a1975da7d79277c270", 128, 12, scheme="monero"),
        "neutron": _cosmos("neutron-1", "neutron"),
        "optimism": Chain("eip155:10", 60, 18, _EIP155),
        "osmosis": _cosmos("osmosis-1", "osmo"),
        "polkadot": Chain("polkadot:91b171bb158e2d3848fa23a9f1c25182", 354, 10, scheme=SUBSTRATE, detail="0"),
        "polygon": Chain("eip155:137", 966, 18, _EIP155),
        "ripple": _XRP,
        "rootstock": Chain("eip155:30", 137, 18, _EIP155),
        "secret": _cosmos("secret-4", "secret", 529),
        "sei": _cosmos("pacific-1", "sei"),
        "solana": Chain("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", 501, 9, scheme="solana"),
        "stargaze": _cosmos("stargaze-1", "stars"),
        "stellar": Chain("stellar:pubnet", 148, 7, scheme="stellar"),
        "stride": _cosmos("stride-1", "stride"),
        "terra": _cosmos("phoenix-1", "terra", 330),
        "terra-classic": _cosmos("columbus-5", "terra", 330),
        "tezos": Chain("tezos:NetXdQprcVkpaWU", 1729, 6, scheme="tezos"),
        "thorchain": _cosmos("thorchain-1", "thor", 931, 8),
        "ton": Chain("tvm:-239", 607, 9, scheme="ton"),
        "tron": Chain(
            "tron:0x2b6653dc",
            195,
            6,
            "by convention: the id that wallets use; CASA does not list it",
            "tron",
        ),
        "verge": Chain("bip122:00000fc63692467faeb20cdb3b53200d", 77, 6, _GENESIS, "verge"),
        "xrp": _XRP,
        "xrpl": _XRP,
        "zcash": Chain("bip122:00040fe8ec8471911baa1db1266ea15d", 133, 8, _GENESIS, "zcash"),
    }
)

_BY_CAIP2: Final = MappingProxyType({chain.caip2: chain for chain in CHAINS.values()})

_NONE: Final = "none: see the head of this module"
_BITCOIN_GOLD: Final = Chain("", 156, 8, _NONE, "bitcoin-gold")

CHECKED_BY_NAME: Final = MappingProxyType(
    {
        "bitcoin-gold": _BITCOIN_GOLD,
        "monacoin": Chain("", 22, 8, _NONE, "monacoin"),
    }
)
"""Chains without an id here, whose addresses can be checked all the same."""


def _test(caip2: str, scheme: str, network: str = "testnet", detail: str = "") -> Chain:
    return Chain(caip2, 1, 0, _TEST, scheme, detail, network)


_CHECKED_BY_CAIP2: Final = MappingProxyType(
    {
        chain.caip2: chain
        for chain in (
            _test("bip122:000000000933ea01ad0ee984209779ba", "bitcoin"),
            # By convention: genesis block hashes, after CASA bip122, from Bitcoin's chainparams.cpp.
            _test("bip122:00000000da84f2bafbbc53dee25a72ae", "bitcoin"),
            _test("bip122:00000008819873e925422c1ff0f99f7c", "bitcoin", "signet"),
            _test("bip122:0f9188f13cb7b2c71f2a335e3a4fc328", "bitcoin", "regtest"),
            _test("bip122:4966625a4b2851d9fdee139e56211a0d", "litecoin"),
            _test("bip122:bb0a78264637406b6360aad926284d54", "dogecoin"),
            _test("cip34:0-1", "cardano"),  # pre-production, CIP-34
            _test("cip34:0-2", "cardano"),  # preview, CIP-34
            # The hub under its earlier ids; the data sets and CAIP-10 itself still name them.
            _test("cosmos:cosmoshub-2", COSMOS, MAIN, "cosmos"),
            _test("cosmos:cosmoshub-3", COSMOS, MAIN, "cosmos"),
            # monerod's private network takes the address numbers of the main one: FAKECHAIN, cryptonote_config.h.
            _test("monero:00000000000000000000000000000000", "monero", "regtest"),
            _test("monero:48ca7cd3c8de5b6a4d53d2861fbdaedc", "monero"),
            _test("monero:76ee3cc98646292206cd3e86f74d88b4", "monero", "stagenet"),
            # Parachains with their SS58 number, CASA polkadot; their coins have no entry in SLIP-44 of which we know.
            _test("polkadot:8b404e7ed8789d813982b9cb4c8b664c", SUBSTRATE, MAIN, "66"),  # Crust
            _test("polkadot:a0453819cbf8b4df9423a5cd601f546c", SUBSTRATE, MAIN, "38"),  # KILT
            _test("polkadot:baf5aabe40646d11f0ee8abbdc64f4a4", SUBSTRATE, MAIN, "8"),  # Karura
            _test("solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z", "solana"),
            _test("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", "solana", "devnet"),
            _test("stellar:testnet", "stellar"),
            _test("tezos:NetXnHfVqm9iesp", "tezos"),
            _test("tron:0x94a9059e", "tron"),  # Shasta, by convention as the main one
            _test("tron:0xcd8690dc", "tron"),  # Nile, the same
            _test("tvm:-3", "ton"),
            _test("xrpl:1", "xrp"),
            _test("xrpl:2", "xrp", "devnet"),
        )
    }
)

OTHER_NAMES: Final = MappingProxyType(
    {
        "arbitrum-one": "arbitrum",
        "avalanche-c-chain": "avalanche",
        "avalanchec": "avalanche",
        "binance-smart-chain": "bsc",
        "bitcoincash": "bitcoin-cash",
        "bitcoingold": "bitcoin-gold",
        "bitcoinsv": "bitcoin-sv",
        "bnb-chain": "bsc",
        "cosmoshub": "cosmos-hub",
        "crypto.org": "cronos-pos",
        "cryptoorg": "cronos-pos",
        "doge": "dogecoin",
        "ethereumclassic": "ethereum-classic",
        "gnosis-chain": "gnosis",
        "op-mainnet": "optimism",
        "smart-chain": "bsc",
        "smartchain": "bsc",
        "the-open-network": "ton",
        "tia": "celestia",
        "xdai": "gnosis",
        "xrp-ledger": "xrpl",
    }
)
"""What else a chain is called, without doubt: by itself, and as `id` and `displayName` of Trust Wallet Core's registry.

Left out on purpose, for they name two things: "bnb" (the Beacon Chain, and the coin of both), "terra" as that registry
has it (its Terra Classic), "classic", "cronos" (an EVM chain beside the one here), and every ticker of a coin.
"""

_ANY_EVM: Final = re.compile(r"eip155:[1-9][0-9]{0,31}")
_ANY_SUBSTRATE: Final = re.compile(r"polkadot:[0-9a-f]{32}")


def known(name_or_caip2: str) -> Chain | None:
    """Return the known chain of that name or CAIP-2 id, or None.

    An id is case-sensitive (CAIP-2). A name is one in any case, and with spaces or low lines for hyphens: "Bitcoin
    Cash" names what "bitcoin-cash" does, and no other chain.
    """
    return CHAINS.get(_name(name_or_caip2)) or _BY_CAIP2.get(name_or_caip2)


def find(name_or_caip2: str) -> Chain:
    """Return the known chain of that name or CAIP-2 id.

    Raises:
        Refusal: BAD_INPUT, rule CHAIN_NOT_SUPPORTED.
    """
    chain = known(name_or_caip2)
    if chain is None:
        raise _not_supported()
    return chain


def checkable(name_or_caip2: str) -> Chain | None:
    """Return the chain of that name or CAIP-2 id if its addresses can be checked, known or not, or None.

    Every `eip155:<number>` counts: a number is all that tells EVM chains apart, and their addresses are of one form.
    So does every `polkadot:<genesis>`: SS58 has one checksum; without a name its number cannot be held to the chain.
    """
    chain = known(name_or_caip2) or _CHECKED_BY_CAIP2.get(name_or_caip2) or CHECKED_BY_NAME.get(_name(name_or_caip2))
    if chain is None and _ANY_EVM.fullmatch(name_or_caip2):
        return Chain(name_or_caip2, 60, 18, _EIP155)
    if chain is None and _ANY_SUBSTRATE.fullmatch(name_or_caip2):
        return Chain(name_or_caip2, 1, 0, scheme=SUBSTRATE)
    return chain


def find_checkable(name_or_caip2: str) -> Chain:
    """Return the chain of that name or CAIP-2 id, for the checking of an address.

    Raises:
        Refusal: BAD_INPUT, rule CHAIN_NOT_SUPPORTED.
    """
    chain = checkable(name_or_caip2)
    if chain is None:
        raise _not_supported()
    return chain


def caip2(name_or_caip2: str) -> str:
    """Return the CAIP-2 id of the known chain of that name or id; refuses as `find` does."""
    return find(name_or_caip2).caip2


def _name(text: str) -> str:
    name = text.lower().replace("_", "-").replace(" ", "-")
    return OTHER_NAMES.get(name, name)


def _not_supported() -> Refusal:
    return refuse(Code.CHAIN_NOT_SUPPORTED, "this chain is not supported", "")
