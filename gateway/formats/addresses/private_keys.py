"""Private keys and seeds in the place of an address.

In: any text. Out: a sentence that says what was seen, or nothing. The sentence is one of a few constants: it never
holds a piece of the text, and shares no run of six characters with a key or a seed word, so that a log that is searched
for the key does not find it here.

Whoever reads a private key can take the money, so these are looked for before all other reasons, on every chain, within
longer texts too, and by shape where a checksum fails: a key with a typing error is nearly a key. What is taken for one
and is none costs a clerk a second look; the other mistake costs the money.
Not seen: keys that are split over several fields, encrypted, or written in an encoding not listed here.

Sources: Bitcoin wiki "Wallet import format" and "Mini private key format"; BIP-32 and SLIP-132 (extended keys); BIP-38;
BIP-39; CIP-5 (Cardano); Zcash protocol specification 5.6.3.4 and 5.6.2.3 with ZIP 32; SEP-23 (`S...`); XRPL "base58
encodings" (`s...`, `sEd...`); Tezos base58.ml; NIP-19 (`nsec`); Solana CLI key files; Sui SIP-15.
"""

import hashlib
import re
import unicodedata
from typing import Final

from base58_bech32.base58 import RIPPLE_ALPHABET, b58decode, b58decode_check

MOST_SCANNED: Final = 4096
"""Characters that are looked at; of a longer text, which is refused anyway, its beginning."""

_B58: Final = "[1-9A-HJ-NP-Za-km-z]"
_HEX: Final = "[0-9a-fA-F]"

_KEY: Final = "this is a private key, no address: whoever saw it can take the money; treat it as known"
_DIGITS: Final = (
    "64 or 128 hex digits are no address here: they are a private key, which has to be treated as known, or a "
    "hash, such as that of a transfer"
)
_SIGNATURE: Final = (
    "64 bytes are no address: they are a private key of Solana, which has to be treated as known, or a signature, "
    "such as the id of a transfer"
)
PERHAPS: Final = frozenset({_DIGITS, _SIGNATURE})
"""What is said of a text that may be something else than a key."""
# Not one run of six characters in it is of the word list: no "address", no "wallet".
_WORDS: Final = "plain words, the spare copy of a signing key (BIP-39); treat it as known, and take it away"

_SHAPES: Final = re.compile(
    "|".join(
        (
            # Wallet import format with a typing error: first letters of Bitcoin, Litecoin, Dogecoin, Dash, their tests.
            # One character too few or too many is such an error; what is missing is found by trying 58.
            rf"(?:9[123]|6[uvwQJK]|7[Xrst]){_B58}{{48,50}}",
            rf"5{_B58}{{49,51}}",
            rf"[KLcTQXU]{_B58}{{50,52}}",
            rf"6P{_B58}{{55,57}}",
            # Extended keys with a typing error: xprv, yprv, Ltpv, dgpv, tgpv, drkv and what else ends so.
            rf"[a-zA-Z]{{1,3}}(?:prv|pv|kv|Prv|PRV){_B58}{{80,170}}",
            r"S[A-Z2-7]{55}",
            r"s[1-9A-HJ-NP-Za-km-z]{28}",
            r"sEd[1-9A-HJ-NP-Za-km-z]{26,28}",
            rf"(?:edsk|edesk|spsk|spesk|p2sk|p2esk|BLsk|BLesk){_B58}{{40,120}}",
            rf"SK{_B58}{{50}}|ST{_B58}{{50}}",
            r"secret-(?:extended|spending)-key-[a-z]+1[a-z0-9]+",
            r"(?:nsec|suiprivkey|ncryptsec|iotaprivkey)1[a-z0-9]{50,200}",
            r"[a-z0-9_]*(?:_x?sk|xprv|ed25519e?_sk)1[a-z0-9]{50,250}",
            rf"PVT_(?:K1|R1)_{_B58}{{40,60}}",
        )
    )
)
_HEX_KEY: Final = re.compile(rf"(?:0[xX])?(?:{_HEX}{{64}}|{_HEX}{{128}})")
# 32 or 64 bytes in base64 with its padding, or 32 as one number of decimal digits: as an address nobody writes these.
_OTHER_BASES: Final = re.compile(r"[A-Za-z0-9+/_-]{43}=|[A-Za-z0-9+/_-]{86}==|[0-9]{70,78}", re.ASCII)
# The payload of the wallet import format before base58: version, key, perhaps the mark of a compressed public key.
_WIF_HEX: Final = re.compile(rf"(?:80|[eE][fF]){_HEX}{{64}}(?:01)?")
_TON_RAW: Final = re.compile(rf"-?[0-9]{{1,10}}:{_HEX}{{64}}")
_TON_ALMOST: Final = re.compile(rf"-?[0-9]{{1,10}}:{_HEX}+")
_ARRAY: Final = re.compile(r"\[?\s*(?:\d{1,3}\s*,\s*){31,63}\d{1,3}\s*\]?", re.ASCII)
_PEM: Final = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY")
_WIF_SHAPE: Final = re.compile(rf"5{_B58}{{50}}|[KLcTQXU]{_B58}{{51}}")
_JOINTS: Final = re.compile(r"[-_]")
_GAPS: Final = re.compile(r"[\s:%-]")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+")

_WIF_CHARS: Final = range(50, 54)
_WIF_BYTES: Final = (33, 34, 35)
_EXTENDED_CHARS: Final = range(105, 113)
_EXTENDED_BYTES: Final = 78
_AT_KEY: Final = 45
_PREFIX_CHARS: Final = 4
_XRP_SEED_CHARS: Final = range(25, 33)
_XRP_SEED_BYTES: Final = (17, 19)
_MINI_CHARS: Final = (22, 26, 30)
_SOLANA_CHARS: Final = range(80, 89)
_SOLANA_BYTES: Final = 64

# 12 to 24 are BIP-39's, 13 and 25 Monero's and Algorand's, 16 Polyseed's, 20 and 33 those of a share (SLIP-39).
_WORD_COUNTS: Final = frozenset({12, 13, 15, 16, 18, 20, 21, 24, 25, 33})
_WORD_CHARS: Final = 12
_AROUND_WORDS: Final = "0123456789:()[]\"'"
_BETWEEN_WORDS: Final = re.compile(r"[\s,;.|/+_-]+")


def recognise(text: str) -> str:
    """Return what a text has in it that nobody may see, in a sentence that gives none of it away; or nothing."""
    # A key is a key with an invisible character within, or in full-width letters, too.
    scanned = _plain(text[:MOST_SCANNED])
    if _TON_RAW.fullmatch(scanned):
        return ""
    if _is_phrase(scanned):
        return _WORDS
    if _ARRAY.fullmatch(scanned) or _PEM.search(scanned):
        return _KEY
    if _OTHER_BASES.fullmatch(scanned):
        return _DIGITS
    tokens = _TOKEN.findall(scanned)
    return next((found for found in map(_token, tokens) if found), "") or _within(tokens) or _rejoined(scanned)


def _within(tokens: list[str]) -> str:
    """Return what stands behind a `-` or `_` that belongs to some keys (CIP-5) and is a mark before others.

    Only what is longer than an address of TON, which has these two among its characters.
    """
    parts = [part for token in tokens if not token.isalnum() for part in _JOINTS.split(token)]
    if any(map(_HEX_KEY.fullmatch, parts)):
        return _DIGITS
    return _KEY if any(map(_is_base58_key, parts)) else ""


def _rejoined(text: str) -> str:
    """Return what a text is once its gaps are closed; two good addresses beside one another never look like that."""
    whole = _GAPS.sub("", text)
    # Nor does the raw form of TON with a digit too few, which is a number, a colon and one run of digits.
    if whole == text or _TON_ALMOST.fullmatch(text):
        return ""
    return _KEY if _HEX_KEY.fullmatch(whole) or _WIF_SHAPE.fullmatch(whole) else ""


def _plain(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", "".join(each for each in text if unicodedata.category(each) != "Cf"))
    # NFKC makes up to 18 characters of one.
    return text[:MOST_SCANNED].strip()


def _is_phrase(text: str) -> bool:
    words = [word for word in (each.strip(_AROUND_WORDS) for each in _BETWEEN_WORDS.split(text)) if word]
    return len(words) in _WORD_COUNTS and all(len(word) <= _WORD_CHARS and word.isalpha() for word in words)


def _token(token: str) -> str:
    if _HEX_KEY.fullmatch(token):
        return _DIGITS
    if _WIF_HEX.fullmatch(token):
        return _KEY
    # Bech32 may be all capitals.
    if token.isupper() and _SHAPES.fullmatch(token.lower()):
        return _KEY
    if _SHAPES.fullmatch(token) or _is_base58_key(token) or _is_xrp_seed(token) or _is_mini_key(token):
        return _KEY
    if len(token) in _SOLANA_CHARS and _is_solana_pair(token):
        return _SIGNATURE
    return ""


def _is_base58_key(token: str) -> bool:
    """Return whether it is a private key of any chain that took over Bitcoin's form, whatever its version byte."""
    if len(token) not in _WIF_CHARS and len(token) not in _EXTENDED_CHARS:
        return False
    try:
        payload = b58decode_check(token)
    except ValueError:
        return False
    if len(payload) != _EXTENDED_BYTES:
        return len(payload) in _WIF_BYTES
    # BIP-32: where a public key has 2 or 3, a private one has 0; and so have public ones of Ed25519 (SLIP-10).
    return payload[_AT_KEY] == 0 and "ub" not in token[:_PREFIX_CHARS]


def _is_xrp_seed(token: str) -> bool:
    if not token.startswith("s") or len(token) not in _XRP_SEED_CHARS:
        return False
    try:
        payload = b58decode_check(token, alphabet=RIPPLE_ALPHABET)
    except ValueError:
        return False
    return len(payload) in _XRP_SEED_BYTES


def _is_mini_key(token: str) -> bool:
    # Its own check byte: one in 256 of other texts of this shape passes, which costs a second look.
    return (
        len(token) in _MINI_CHARS
        and token.startswith("S")
        and token.isalnum()
        and hashlib.sha256(f"{token}?".encode()).digest()[0] == 0
    )


def _is_solana_pair(token: str) -> bool:
    try:
        return len(b58decode(token)) == _SOLANA_BYTES
    except ValueError:
        return False
