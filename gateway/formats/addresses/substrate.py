"""Polkadot, Kusama and their parachains: SS58.

In: a text. Out: an `Address`. Its number says of which network it is: the chain's own is "mainnet", every other one
"ss58:<number>". One key has an address under each number, so the number is all that names the chain, and an address
with the number of another chain, or the general 42, is not taken for one of this chain. A chain of which no number is
known takes every one.

Source: Substrate documentation, "Accounts, addresses and keys: SS58" and its registry (ss58-registry); CASA polkadot.
A public key of 33 bytes, which SS58 can spell, is no account: accounts have 32 bytes.
"""

from typing import Final

from base58_bech32.ss58 import ss58_decode

from gateway.errors import Refusal
from gateway.formats.addresses.coding import BITCOIN, position_outside
from gateway.formats.addresses.model import ANY, MAIN, Address, Checksum, wrong
from gateway.formats.addresses.networks import PREFIX
from gateway.formats.chains import Chain
from gateway.formats.codes import Code

_ACCOUNT: Final = 32
_CHARS: Final = range(46, 51)
_GENERIC: Final = 42


def substrate(chain: Chain, text: str) -> Address:
    """Read an address of a Substrate chain.

    Raises:
        Refusal: ADDRESS_CHARACTER, ADDRESS_LENGTH or ADDRESS_CHECKSUM.
    """
    try:
        number, account = ss58_decode(text)
    except ValueError:
        pass
    else:
        if len(account) != _ACCOUNT:
            raise wrong(Code.ADDRESS_LENGTH, "an account has 32 bytes")
        return Address(text, Checksum.VALID, "account", _networks(chain, number))
    raise _why_not(text)


def _networks(chain: Chain, number: int) -> tuple[str, ...]:
    own = f"{PREFIX}{number}"
    if not chain.detail:
        return (*ANY, own)
    if number == int(chain.detail):
        return (*MAIN, own)
    return (own, "testnet") if number == _GENERIC else (own,)


def _why_not(text: str) -> Refusal:
    outside = position_outside(text, BITCOIN)
    if outside:
        return wrong(Code.ADDRESS_CHARACTER, f"character {outside} is never used in addresses of this chain")
    if len(text) not in _CHARS:
        return wrong(Code.ADDRESS_LENGTH, "too short or too long for an address of this chain")
    return wrong(Code.ADDRESS_CHECKSUM, "the checksum does not match: a character is wrong")
