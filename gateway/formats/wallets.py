"""Wallets out of lists: from the JSON form of a sanctions list to `WalletIdentifier`.

In: entries `{chain, address, network?, source?, tag?}`; other fields are the list's own and stay there. Out:
identifiers, the address exactly as the list wrote it. One on a chain that is not known is *quoted*: it carries the
chain's name and no id. Refuses, with BAD_INPUT and the position: networks other than the main one, addresses that are
empty, over-long or hold anything but visible ASCII.
Checksums are not looked at: an identifier says where a list points, not that there is a wallet.
"""

from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.errors import Refusal
from gateway.formats import chains, reading
from gateway.formats.reading import Reading

MAX_ADDRESS_CHARS: Final = 512
"""As in evidence.proto: Zcash unified addresses run to 509."""

MAX_SOURCE_CHARS: Final = 200
MAX_TAG_CHARS: Final = 128
MAX_NAME_CHARS: Final = 64

MAIN: Final = "mainnet"


def identifiers(entries: object) -> Reading[evidence.WalletIdentifier]:
    """Read a list; each entry is an identifier or a refusal with its position.

    Raises:
        Refusal: BAD_INPUT, it is no list.
    """
    return reading.read_list(entries, identifier)


def identifier(value: object, where: str = "") -> evidence.WalletIdentifier:
    """Read one entry.

    Args:
        value: the entry.
        where: its position, for the refusal.

    Raises:
        Refusal: BAD_INPUT, with the field.
    """
    entry = reading.entry(value, where)
    name = reading.text(entry.get("chain"), f"{where}.chain", MAX_NAME_CHARS)
    known = chains.known(name)
    made = evidence.WalletIdentifier(
        chain=known.caip2 if known is not None else "",
        # Not known is not wrong: the identifier is quoted as it stands, for somebody to clear up.
        chain_name=name if known is None else "",
        address=_address(entry.get("address"), f"{where}.address"),
        source=reading.text(entry["source"], f"{where}.source", MAX_SOURCE_CHARS) if entry.get("source") else "",
        # A list tells where an address is, hardly ever who holds its keys.
        custody=evidence.CUSTODY_UNKNOWN,
    )
    if entry.get("tag") is not None:
        made.tag = reading.text(entry["tag"], f"{where}.tag", MAX_TAG_CHARS)
    # Without a word of the network, the main one is meant, as in lists of sanctioned addresses.
    if entry.get("network") is not None:
        network = reading.text(entry["network"], f"{where}.network", MAX_NAME_CHARS)
        if network != MAIN:
            raise reading.bad(f"only {MAIN} is supported: elsewhere there is nothing to freeze", f"{where}.network")
    reading.check(made, where)
    return made


def chain(value: object, where: str) -> chains.Chain:
    """Return the chain of that name or CAIP-2 id.

    Raises:
        Refusal: BAD_INPUT, not supported.
    """
    name = reading.text(value, where, MAX_NAME_CHARS)
    try:
        return chains.find(name)
    except Refusal as error:
        raise reading.bad(error.detail, where) from error


def _address(value: object, where: str) -> str:
    return reading.visible_ascii(value, where, MAX_ADDRESS_CHARS)
