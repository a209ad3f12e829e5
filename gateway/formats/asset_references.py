"""What the reference of an asset means in each namespace of CAIP-19.

In: chain, namespace and reference, percent-decoded. Out: the reference in its canonical form. Refuses, with BAD_INPUT,
the position and the rule, a reference that cannot be one of its namespace. A namespace without a rule here has none
that we know; it is then read by the grammar of CAIP-19 alone.

Sources: CAIP-20 for slip44; the CAIP-19 profiles of eip155, hedera, solana, stellar, swift and xrpl
(ChainAgnostic/namespaces); for Tron, which has no profile, the names that wallets use.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.formats import addresses, chains, vocabularies
from gateway.formats.codes import Code, refuse


@dataclass(frozen=True, slots=True)
class Rule:
    """How one namespace reads.

    Args:
        read: takes chain, reference and position, gives the canonical reference.
        token: takes token id, perhaps empty, and position, gives the canonical token id.
    """

    read: Callable[[str, str, str], str]
    token: Callable[[str, str], str]


def find(chain: str, namespace: str, where: str = "") -> Rule | None:
    """Return the rule of a namespace on a chain, or None if none is known.

    Raises:
        Refusal: BAD_INPUT, rule ASSET_REFERENCE: a known chain has nothing of that kind.
    """
    if namespace == "slip44":
        return Rule(_coin, _no_token)
    of = chain.partition(":")[0]
    if of == "eip155" and _ERC.fullmatch(namespace):
        return _ERC_RULES.get(namespace, Rule(_contract, _any_token))
    if namespace in _ERC_RULES and chains.known(chain):
        raise refuse(Code.ASSET_REFERENCE, "this chain has no contracts after an ERC", where)
    return _RULES.get((of, namespace))


def _coin(chain: str, reference: str, where: str) -> str:
    """CAIP-20: a coin type of SLIP-44; of a known chain, its own."""
    if not _COIN.fullmatch(reference) or int(reference) >= _MAX_COIN:
        raise refuse(Code.ASSET_REFERENCE, "a coin type is a number below 2^31, without leading zero", where)
    of = chains.known(chain)
    if of and of.slip44 != int(reference):
        raise refuse(Code.COIN_OF_OTHER_CHAIN, "SLIP-44 has this number for the coin of another chain", where)
    return reference


def _contract(chain: str, reference: str, where: str) -> str:
    """An address of the chain itself: a contract of an EVM chain or of Tron, a mint of Solana."""
    of = chains.checkable(chain)
    return addresses.check(of, reference, "any", where).canonical if of else reference


def _form(pattern: str, detail: str) -> Callable[[str, str, str], str]:
    form = re.compile(pattern)

    def read(_chain: str, reference: str, where: str) -> str:
        if not form.fullmatch(reference):
            raise refuse(Code.ASSET_REFERENCE, detail, where)
        return reference

    return read


def _issued(separator: str, code: Callable[[str, str], str]) -> Callable[[str, str, str], str]:
    """A code and the address of who issued it."""

    def read(chain: str, reference: str, where: str) -> str:
        name, found, issuer = reference.rpartition(separator)
        if not found:
            raise refuse(Code.ASSET_REFERENCE, f"an issued asset is `code{separator}issuer`", where)
        return f"{code(name, where)}{separator}{_contract(chain, issuer, where)}"

    return read


def _xrpl_code(text: str, where: str) -> str:
    """A code of 3 characters, or 160 bits as 40 hex digits.

    Wallets show 160 bits as the text that they spell, and the profile itself has `RLUSD` among its test cases; that
    text is read as those bits. Bits that begin with a zero byte are a code of 3 characters, spelt out, and are read as
    that; no token has the code of XRP itself (XRPL, "Currency Formats", Standard Currency Codes).
    """
    spelt = _XRPL_STANDARD.fullmatch(text)
    if spelt:
        text = bytes.fromhex(spelt["code"]).decode("latin-1")
    if text == _XRP or (text.startswith("00") and _XRPL_HEX.fullmatch(text)):
        raise refuse(Code.ASSET_REFERENCE, "no token of the XRP Ledger has this code", where)
    if _XRPL_HEX.fullmatch(text) or (_XRPL_TEXT.fullmatch(text) and len(text) == _XRPL_SHORT):
        return text
    if _XRPL_TEXT.fullmatch(text):
        return text.encode().ljust(20, b"\0").hex().upper()
    raise refuse(Code.ASSET_REFERENCE, "a currency of the XRP Ledger is a code of 3 characters or 40 hex digits", where)


def _stellar_code(text: str, where: str) -> str:
    if not _STELLAR_CODE.fullmatch(text):
        raise refuse(Code.ASSET_REFERENCE, "an asset code of Stellar has 1 to 12 letters or digits", where)
    return text


def _pool_code(text: str, where: str) -> str:
    if not _POOL_CODE.fullmatch(text):
        raise refuse(Code.ASSET_REFERENCE, "the code of a liquidity pool is 03 and 38 hex digits", where)
    return text


def _fiat(_chain: str, reference: str, where: str) -> str:
    return vocabularies.currency(reference, where)


def _no_token(text: str, where: str) -> str:
    if text:
        raise refuse(Code.TOKEN_ID, "assets of this kind are all alike: there is no token id", where)
    return ""


def _any_token(text: str, _where: str) -> str:
    return text


def _uint256(text: str, where: str) -> str:
    """ERC-721 and ERC-1155: an unsigned integer of 256 bits; leading zeros are another spelling of the same."""
    if not text:
        return ""
    if not _DIGITS.fullmatch(text) or int(text) >= _MAX_UINT256:
        raise refuse(Code.TOKEN_ID, "a token id of this kind is a decimal number below 2^256", where)
    return str(int(text))


def _serial(text: str, where: str) -> str:
    if text and not _SERIAL.fullmatch(text):
        raise refuse(Code.TOKEN_ID, "a token id of this kind is a serial number", where)
    return text


_COIN: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_MAX_COIN: Final = 1 << 31
_DIGITS: Final = re.compile(r"[0-9]{1,78}")
_MAX_UINT256: Final = 1 << 256
_SERIAL: Final = re.compile(r"[0-9]{1,19}")
_ERC: Final = re.compile(r"erc[a-z0-9]{2,5}")
_XRPL_HEX: Final = re.compile(r"[0-9A-F]{40}")
_XRPL_TEXT: Final = re.compile(r"[!-~]{3,20}")
_XRPL_SHORT: Final = 3
_XRPL_STANDARD: Final = re.compile(r"0{24}(?P<code>[0-9A-F]{6})0{10}")
_XRP: Final = "XRP"
_STELLAR_CODE: Final = re.compile(r"[A-Za-z0-9]{1,12}")
_POOL_CODE: Final = re.compile(r"03[0-9A-F]{38}")

_ERC_RULES: Final = MappingProxyType(
    {
        "erc20": Rule(_contract, _no_token),
        "erc721": Rule(_contract, _uint256),
        "erc1155": Rule(_contract, _uint256),
    }
)
_HEDERA: Final = _form(
    r"[0-9]{1,19}\.[0-9]{1,19}\.[0-9]{1,19}(-[a-z]{5})?", "an entity of Hedera is `shard.realm.number`"
)
_RULES: Final = MappingProxyType(
    {
        ("hedera", "nft"): Rule(_HEDERA, _serial),
        ("hedera", "token"): Rule(_HEDERA, _no_token),
        ("solana", "nft"): Rule(_contract, _no_token),
        ("solana", "token"): Rule(_contract, _no_token),
        ("stellar", "asset"): Rule(_issued("-", _stellar_code), _no_token),
        ("stellar", "cap38"): Rule(_form(r"[0-9a-f]{64}", "a pool id of Stellar is 64 hex digits"), _no_token),
        ("stellar", "sep41"): Rule(_contract, _no_token),
        ("swift", "iso4217"): Rule(_fiat, _no_token),
        # Of no CASA profile: TIP-3 names the tokens, wallets the namespaces.
        ("tron", "trc10"): Rule(_form(r"[1-9][0-9]{0,9}", "a TRC-10 token is a number"), _no_token),
        ("tron", "trc20"): Rule(_contract, _no_token),
        ("tron", "trc721"): Rule(_contract, _uint256),
        ("xrpl", "token"): Rule(_issued(".", _xrpl_code), _no_token),
        ("xrpl", "xls20"): Rule(_form(r"[0-9A-F]{64}", "an NFTokenID is 64 hex digits"), _no_token),
        ("xrpl", "xls30"): Rule(_issued(".", _pool_code), _no_token),
        # The profile says 64; an MPTokenIssuanceID of the ledger has 192 bits (XLS-33).
        ("xrpl", "xls33"): Rule(_form(r"[0-9A-F]{48}|[0-9A-F]{64}", "an issuance id is 48 hex digits"), _no_token),
    }
)
