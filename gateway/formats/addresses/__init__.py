"""Wallet addresses, checked by each chain's own checksum.

In: a chain, a text, the network that is meant. Out: an `Address` in its canonical form. Refuses, with BAD_INPUT, the
position, and the rule that was broken: everything else, and before any other reason a private key or seed in the place
of an address. No message ever holds the text or a piece of it. Any text at all gets an answer, in bounded time.

A right checksum proves spelling: not that anybody holds the key, nor that there is money, nor, where several chains
share a form (`1...`, `3...`, `0x...`), which of them is meant.

Sources stand with each scheme: base58, segwit, cashaddr, evm, xrp, solana, cardano, ton, monero, stellar, substrate,
cosmos, zcash.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from gateway.errors import Refusal
from gateway.formats.addresses import cashaddr, diagnosis, networks, schemes, zcash
from gateway.formats.addresses.diagnosis import suggest
from gateway.formats.addresses.model import Address, Checksum, wrong
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse

__all__ = ["Address", "Checksum", "check", "plain", "refuse_key", "suggest"]

_PLAIN: Final[MappingProxyType[str, Callable[[str], str]]] = MappingProxyType(
    {"bitcoin-cash": cashaddr.plain, "zcash": zcash.plain}
)


def refuse_key(text: str, where: str = "") -> None:
    """Refuse a private key or seed where no chain is there to refuse it.

    Raises:
        Refusal: BAD_INPUT, rule ADDRESS_SECRET.
    """
    found = diagnosis.key(text)
    if found is not None:
        raise refuse(Code(found.rule), found.detail, where)


def check(chain: Chain, text: str, network: str = "mainnet", where: str = "") -> Address:
    """Read an address of a chain.

    Args:
        chain: the chain it is said to be of; see `chains.find_checkable`.
        text: the address, as it was written.
        network: the network that is meant, in any of the words that lists use; "any" for every network of the chain.
        where: position of the address, for the refusal.

    Raises:
        Refusal: BAD_INPUT, with one of the ADDRESS rules of `gateway.formats.codes`.
    """
    try:
        address = schemes.read(chain, text)
        if networks.admits(address, networks.meant(chain, network)):
            return address
        said = address.network.replace(networks.PREFIX, "SS58 prefix ")
        reason = wrong(
            Code.ADDRESS_OTHER_NETWORK, f"a well-spelled address, but its network is {said}, not the one meant"
        )
    except Refusal as error:
        reason = error
    found = diagnosis.diagnose(chain, text, reason)
    raise refuse(Code(found.rule), found.detail, where)


def plain(chain: Chain, canonical: str) -> str:
    """Return the address that pays to the same output and asks nothing of whoever pays; itself if it is that one.

    Some chains have two: one that says besides that its owner takes tokens (Bitcoin Cash), or what may be sent there
    (Zcash). The canonical form keeps what an address says, and what it pays to is one wallet.
    """
    found = _PLAIN.get(chain.scheme)
    return canonical if found is None else found(canonical)
