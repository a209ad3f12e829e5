"""Destination tags and memos: what an exchange's shared address needs to know whose money it is.

In: a chain, what was written as tag, what the address itself carries. Out: the tag, hex digits in small letters: a hash
in capitals is the same hash, and must not make another wallet. Refuses: a tag where the chain has none, one of another
shape, and one that contradicts the address.
Sources: XRPL `DestinationTag`, UInt32; Stellar SEP-23 and `Memo` (text up to 28 bytes, id UInt64, hash of 32 bytes);
TON TEP-74, a comment; Cosmos SDK, `memo` up to 256 characters by default; Monero, payment id of 8 or 32 bytes.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from gateway.formats.addresses import private_keys
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse

MAX_STELLAR_TEXT_BYTES: Final = 28
MAX_COMMENT_CHARS: Final = 123
"""What fits beside the operation code into one cell of TON, which is what exchanges accept."""
MAX_COSMOS_MEMO_CHARS: Final = 128
"""Half of what the chain takes by default: the contract's own limit of a tag."""
_HASH_BYTES: Final = 32
_PAYMENT_ID_BYTES: Final = (8, 32)


def _whole(text: str, bits: int) -> bool:
    return text.isascii() and text.isdigit() and str(int(text)) == text and int(text) < 1 << bits


def _hexadecimal(text: str, *sizes: int) -> bool:
    return len(text) in {2 * size for size in sizes} and set(text.lower()) <= set("0123456789abcdef")


def _stellar(text: str) -> bool:
    return _whole(text, 64) or _hexadecimal(text, _HASH_BYTES) or len(text.encode()) <= MAX_STELLAR_TEXT_BYTES


_FORMS: Final[MappingProxyType[str, Callable[[str], bool]]] = MappingProxyType(
    {
        "xrp": lambda text: _whole(text, 32),
        "stellar": _stellar,
        "ton": lambda text: len(text) <= MAX_COMMENT_CHARS,
        "cosmos": lambda text: len(text) <= MAX_COSMOS_MEMO_CHARS,
        "monero": lambda text: _hexadecimal(text, *_PAYMENT_ID_BYTES),
    }
)
"""By the scheme of the chain's addresses; a chain that is not here has no tags."""

_BYTES: Final = MappingProxyType({"stellar": (_HASH_BYTES,), "monero": _PAYMENT_ID_BYTES})
"""Tags that are bytes, of these lengths, and no text: a text's capitals count (Stellar `MEMO_TEXT`)."""


def check(chain: Chain, tag: str, carried: str, where: str = "") -> str:
    """Return the tag of a wallet: the one written, or the one that its address carries.

    Args:
        chain: the chain.
        tag: what was written as tag; empty if nothing was.
        carried: the tag within the address (XRP X-address, Stellar M address, Monero integrated address); may be empty.
        where: position of the tag, for the refusal.

    Raises:
        Refusal: BAD_INPUT, with one of the TAG rules, or ADDRESS_SECRET.
    """
    if not tag:
        return carried
    form = _FORMS.get(chain.scheme)
    if form is None:
        raise refuse(Code.TAG_NOT_ALLOWED, "addresses of this chain have no tag or memo", where)
    if not form(tag):
        raise refuse(Code.TAG_FORMAT, "not a tag or memo as this chain has them", where)
    if private_keys.recognise(tag) not in {"", *private_keys.PERHAPS}:
        # A hash is a memo, a payment id, or within one (THORChain); what can only be a key must not travel.
        raise refuse(Code.ADDRESS_SECRET, "this is a private key or seed, no tag or memo; treat it as known", where)
    if _hexadecimal(tag, *_BYTES.get(chain.scheme, ())):
        tag = tag.lower()
    if carried and carried != tag:
        raise refuse(Code.TAG_CONTRADICTS, "the address itself carries another tag", where)
    return tag
