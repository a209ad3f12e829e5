"""Chains, accounts and assets after the Chain Agnostic standards: CAIP-2, CAIP-10 and CAIP-19.

In: a text. Out: its parts and the canonical spelling. Refuses, with BAD_INPUT, the position and the rule, what breaks
the grammar, or the rules of its own namespace. What is of a chain or kind that is not known here is read by its
grammar alone and says so: `checked` is false, and nobody should freeze anything by it. A ticker symbol is never an
identifier.

Sources: CAIP-2, CAIP-10, CAIP-19 (ChainAgnostic/CAIPs); the profiles of the namespaces (ChainAgnostic/namespaces),
named at each rule.
"""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.formats import addresses, asset_references, chains, tags
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse

_CHAIN: Final = re.compile(r"(?P<namespace>[-a-z0-9]{3,8}):(?P<reference>[-_a-zA-Z0-9]{1,32})")
_ACCOUNT: Final = re.compile(r"(?P<chain>[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}):(?P<address>[-.%a-zA-Z0-9]{1,128})")
_ASSET: Final = re.compile(
    r"(?P<chain>[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32})/(?P<namespace>[-a-z0-9]{3,8}):(?P<reference>[-.%a-zA-Z0-9]{1,128})"
    r"(/(?P<token>[-.%a-zA-Z0-9]{1,78}))?"
)
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset("-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

_HASH_32: Final = re.compile(r"[0-9a-f]{32}")
_CHAIN_REFERENCES: Final = MappingProxyType(
    {
        # A number without leading zero, for `eip155:01` would be a second name of Ethereum. EIP-155; 2^256 has 78
        # digits, CAIP-2 leaves room for 32.
        "eip155": re.compile(r"[1-9][0-9]{0,31}"),
        "bip122": _HASH_32,  # first 32 characters of a block hash
        "monero": _HASH_32,  # the same, of the genesis block
        "polkadot": _HASH_32,
        "solana": re.compile(r"[1-9A-HJ-NP-Za-km-z]{32}"),  # first 32 characters of the genesis hash in Base58
        "tvm": re.compile(r"0|-?[1-9][0-9]{0,9}"),  # global id, a signed integer
        "xrpl": re.compile(r"0|[1-9][0-9]{0,9}"),  # network id, an unsigned integer
    }
)
"""What the CAIP-2 profile of a namespace demands of the reference, where that is narrower than CAIP-2."""


@dataclass(frozen=True, slots=True)
class AccountId:
    """An account after CAIP-10.

    Args:
        chain: CAIP-2 id.
        address: in the canonical form of its chain if it is checked, else as written, percent-decoded.
        tag: destination tag or memo, where the profile of its namespace has one.
        checked: whether the address was checked by the rules of its chain, and a chain is named.
        text: canonical CAIP-10 text.
    """

    chain: str
    address: str
    tag: str
    checked: bool
    text: str


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset after CAIP-19.

    Args:
        chain: CAIP-2 id.
        namespace: kind of asset, e.g. "slip44", "erc20".
        reference: which one, in canonical form if it is checked.
        token_id: which piece of a collection; empty for an asset type.
        checked: whether the reference was checked by the rules of its namespace.
    """

    chain: str
    namespace: str
    reference: str
    token_id: str
    checked: bool

    @property
    def text(self) -> str:
        """Canonical CAIP-19 text."""
        token = f"/{self.token_id}" if self.token_id else ""
        return f"{self.chain}/{self.namespace}:{self.reference}{token}"


def chain_id(text: str, where: str = "") -> str:
    """Return a CAIP-2 chain id; it has one spelling only, so the text is the canonical form.

    Raises:
        Refusal: BAD_INPUT, rule CHAIN_ID_FORMAT.

    Source: CAIP-2, Syntax; the CAIP-2 profiles of the namespaces in `_CHAIN_REFERENCES`.
    """
    found = _CHAIN.fullmatch(text)
    if not found:
        raise refuse(Code.CHAIN_ID_FORMAT, "a chain id is `namespace:reference` after CAIP-2", where)
    form = _CHAIN_REFERENCES.get(found["namespace"])
    if form and not form.fullmatch(found["reference"]):
        raise refuse(Code.CHAIN_ID_FORMAT, "its namespace writes references in another form", where)
    return text


def account_id(text: str, where: str = "") -> AccountId:
    """Read a CAIP-10 account id.

    Raises:
        Refusal: BAD_INPUT, rule CHAIN_ID_FORMAT, ACCOUNT_ID_FORMAT, PERCENT_ENCODING, one of the ADDRESS rules if the
            chain has addresses that can be checked, or TAG_FORMAT or TAG_NOT_ALLOWED.

    Source: CAIP-10, Syntax; for tags and memos, the CAIP-10 profiles of xrpl and stellar.
    """
    found = _ACCOUNT.fullmatch(text)
    if not found:
        raise refuse(Code.ACCOUNT_ID_FORMAT, "an account id is `chain_id:address` after CAIP-10", where)
    written = _decode(found["address"], where)
    if found["chain"] == _NO_EVM_CHAIN:
        anywhere = addresses.check(chains.find("ethereum"), written, "any", where).canonical
        return AccountId(_NO_EVM_CHAIN, anywhere, "", checked=False, text=f"{_NO_EVM_CHAIN}:{anywhere}")
    chain = chain_id(found["chain"], where)
    of = chains.checkable(chain)
    if of is None:
        return AccountId(chain, written, "", checked=False, text=f"{chain}:{_encode(written)}")
    tagged = of.scheme in _TAGGED
    bare, hyphen, tag = written.partition("-") if tagged else (written, "", "")
    address = addresses.check(of, bare, "any", where)
    if not tagged:
        # What is packed into an address (a payment id of Monero) stays in it: CAIP-10 has no other place for it.
        kept = written if address.tag else address.canonical
        return AccountId(chain, kept, address.tag, checked=True, text=f"{chain}:{_encode(kept)}")
    if hyphen:
        if address.tag or bare != address.canonical:
            raise refuse(Code.TAG_NOT_ALLOWED, "only a classic address takes a tag or memo behind it", where)
        tag = _memo(of, tag, where)
    tag = tag or address.tag
    account = f"{address.canonical}-{tag}" if tag else address.canonical
    return AccountId(chain, address.canonical, tag, checked=True, text=f"{chain}:{_encode(account)}")


def asset(text: str, where: str = "") -> Asset:
    """Read a CAIP-19 asset type or asset id.

    Raises:
        Refusal: BAD_INPUT, rule CHAIN_ID_FORMAT, ASSET_ID_FORMAT, PERCENT_ENCODING, ASSET_REFERENCE, TOKEN_ID,
            COIN_OF_OTHER_CHAIN, CURRENCY, or one of the ADDRESS rules.

    Source: CAIP-19, Syntax; CAIP-20 for slip44; the CAIP-19 profiles of the namespaces.
    """
    found = _ASSET.fullmatch(text)
    if not found:
        raise refuse(Code.ASSET_ID_FORMAT, "an asset is `chain_id/namespace:reference` after CAIP-19", where)
    chain, namespace, token = chain_id(found["chain"], where), found["namespace"], found["token"] or ""
    reference = _decode(found["reference"], where)
    _decode(token, where)
    rule = asset_references.find(chain, namespace, where)
    if rule is None:
        return Asset(chain, namespace, found["reference"], token, checked=False)
    return Asset(chain, namespace, _encode(rule.read(chain, reference, where)), rule.token(token, where), checked=True)


def native_chain(of: Asset) -> Chain | None:
    """Return the known chain whose own coin an asset is, or None."""
    chain = chains.known(of.chain)
    return chain if chain and chain.native == of.text else None


def _memo(chain: Chain, text: str, where: str) -> str:
    """Return the tag or memo behind a classic address.

    The grammar of Stellar's profile bars hyphens within a text; its own example has one, and nothing is ambiguous
    without that rule, for no address has a hyphen: the first one ends it.
    """
    if not text or not text.isprintable():
        raise refuse(Code.TAG_FORMAT, "behind the hyphen stands a tag or memo that can be printed", where)
    return tags.check(chain, text, "", where)


_NO_EVM_CHAIN: Final = "eip155:0"
"""What the CAIP-10 profile of eip155 writes for a key's account on no chain in particular; no chain has this id.

Its address is checked all the same, and `checked` is false: on no chain, nothing can be frozen.
"""

_TAGGED: Final = frozenset({"stellar", "xrp"})
"""Schemes whose CAIP-10 profile puts a tag or memo behind a hyphen."""


def _decode(text: str, where: str) -> str:
    """Undo percent-encoding (RFC 3986, 2.1), which CAIP-10 and -19 recommend for what their alphabet has not."""
    if _BAD_PERCENT.search(text):
        raise refuse(Code.PERCENT_ENCODING, "behind a percent sign stand two hex digits", where)
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise refuse(Code.PERCENT_ENCODING, "what is percent-encoded is no text", where) from error


def _encode(text: str) -> str:
    return "".join(each if each in _UNRESERVED else "".join(f"%{byte:02X}" for byte in each.encode()) for each in text)
