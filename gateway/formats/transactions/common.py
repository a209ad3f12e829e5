"""What the importers of transactions share: who told it, which block it is in, and how an amount is read exactly.

In: JSON values whose numbers are `int` or `Decimal`, never `float`. Out: parts of a `TransactionRecord`. An importer
writes down what its source tells and computes nothing, except where the chain itself defines a figure as a sum or
product of figures told; each such place says so.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from types import MappingProxyType
from typing import Final, TypeVar

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import chains, reading
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse

T = TypeVar("T")

MAX_ENDS: Final = 10_000
"""As in evidence.proto."""

MAX_TYPE_CHARS: Final = 64
MAX_ADDRESS_CHARS: Final = 512
MAX_SECONDS: Final = 253_402_300_800
"""The year 10000: the end of what evidence.proto can say."""

SPENT: Final = re.compile(r"[!-~]{1,128}:(0|[1-9][0-9]{0,9})")

_HASH: Final = re.compile(r"[0-9a-f]{64}")

_MOST_DIGITS: Final = 100
"""Beyond, a number is no amount; and to write `1e999999999` out in full would fill the memory."""

_COIN: Final = 10**8
_BITCOINS: Final = 21_000_000 * _COIN
_MOST: Final = MappingProxyType(
    {
        "bitcoin": _BITCOINS,
        "bitcoin-cash": _BITCOINS,
        "bitcoin-sv": _BITCOINS,
        "dash": _BITCOINS,
        # Not what there is, for that grows for ever, but what a transaction may move.
        "dogecoin": 10_000_000_000 * _COIN,
        "litecoin": 84_000_000 * _COIN,
        # Not a coin's supply but the 64 bits that a balance has.
        "solana": (1 << 64) - 1,
        "zcash": _BITCOINS,
    }
)

MAX_MONEY: Final = MappingProxyType({chains.find(name).caip2: most for name, most in _MOST.items()})
"""Most that one output, or all outputs of one transaction, may be: `MAX_MONEY`, a rule of consensus."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who told it.

    Args:
        chain: the chain, as far as the caller knows it; Bitcoin's JSON does not name its own.
        source: who observed it; empty for the name of the software that writes such JSON.
        observed_at_us: when: microseconds since 1970-01-01T00:00:00Z.
    """

    chain: Chain | None = None
    source: str = ""
    observed_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """The block that a record is in; every part absent if the source does not tell, or if it is in none."""

    hash: str = ""
    height: int | None = None
    time_us: int | None = None
    confirmations: int | None = None
    slot: int | None = None


NO_BLOCK: Final = Block()


def start(chain: Chain, txid: str, block: Block, origin: Origin, software: str) -> evidence.TransactionRecord:
    """Return a record that has its head and no movements yet."""
    made = evidence.TransactionRecord(
        chain=chain.caip2,
        txid=txid,
        block_hash=block.hash,
        block_height=block.height,
        block_time_us=block.time_us,
        confirmations=block.confirmations,
        slot=block.slot,
        observed_at_us=origin.observed_at_us,
    )
    made.source = origin.source or software
    return made


def given_chain(origin: Origin, namespace: str, where: str) -> Chain:
    """Return the chain that the caller gave.

    Raises:
        Refusal: TX_CHAIN_NOT_GIVEN, TX_CHAIN_CONTRADICTS (it is of another family).
    """
    if origin.chain is None:
        raise refuse(Code.TX_CHAIN_NOT_GIVEN, "this JSON does not name its chain; say which it is", where)
    if not origin.chain.caip2.startswith(f"{namespace}:"):
        raise refuse(Code.TX_CHAIN_CONTRADICTS, "JSON of another family of chains than the one given", where)
    return origin.chain


def each(
    entries: Iterable[T], where: str, read_one: Callable[[T, str], list[evidence.TransactionRecord]]
) -> list[evidence.TransactionRecord]:
    """Read the entries of one reply: all of them, or the refusal of the first that is bad.

    A reply is one document. Where one part of it is broken, nobody can say that the others are whole.
    """
    made: list[evidence.TransactionRecord] = []
    for position, entry in enumerate(entries):
        made.extend(read_one(entry, f"{where}[{position}]"))
    return made


def listed(value: object, where: str, most: int = MAX_ENDS) -> Sequence[object]:
    """Return `value` if it is a list of at most so many.

    Raises:
        Refusal: MISSING, WRONG_TYPE, TX_TOO_MANY.
    """
    if value is None:
        raise refuse(Code.MISSING, "it is missing", where)
    found = reading.items(value, where)
    if len(found) > most:
        raise refuse(Code.TX_TOO_MANY, f"more than {most} of them", where)
    return found


def told(value: object, where: str) -> object:
    """Return `value` unless it is absent.

    Raises:
        Refusal: MISSING.
    """
    if value is None:
        raise refuse(Code.MISSING, "it is missing", where)
    return value


def hash64(value: object, where: str) -> str:
    """Return `value` if it is a hash as Bitcoin's family writes it: 64 hexadecimal digits in lower case.

    Raises:
        Refusal: MISSING, WRONG_TYPE, TX_HASH_FORMAT.
    """
    found = reading.text(value, where, MAX_ADDRESS_CHARS)
    if not _HASH.fullmatch(found):
        raise refuse(Code.TX_HASH_FORMAT, "a hash has 64 hexadecimal digits in lower case", where)
    return found


def address(value: object, where: str) -> str:
    """Return `value` if it can be an address; its checksum is not looked at, for it is quoted from the chain."""
    return reading.visible_ascii(value, where, MAX_ADDRESS_CHARS)


def seconds(value: object, where: str) -> int:
    """Return a time of whole seconds since 1970 in microseconds.

    Raises:
        Refusal: MISSING, WRONG_TYPE, TX_TIME.
    """
    found = reading.whole(told(value, where), where, 64)
    if found >= MAX_SECONDS:
        raise refuse(Code.TX_TIME, "a time after the year 9999", where)
    return found * 1_000_000


def coins(value: object, chain: Chain, where: str) -> int:
    """Return the base units of an amount in whole coins, as a JSON number.

    The digits are taken as they stand: a `float` has lost some already and is refused.

    Raises:
        Refusal: MISSING, TX_VALUE_FORMAT, TX_VALUE_RANGE.
    """
    told(value, where)
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise refuse(Code.TX_VALUE_FORMAT, "an amount in coins is a JSON number, kept as a decimal", where)
    sign, digits, exponent = Decimal(value).as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > _MOST_DIGITS or len(digits) > _MOST_DIGITS:
        raise refuse(Code.TX_VALUE_FORMAT, "no number that an amount could be", where)
    whole = int("".join(map(str, digits)))
    shift = exponent + chain.decimals
    units, rest = (whole * 10**shift, 0) if shift >= 0 else divmod(whole, 10**-shift)
    if rest:
        raise refuse(Code.TX_VALUE_FORMAT, f"finer than the coin's {chain.decimals} decimals", where)
    return in_range(-units if sign else units, chain, where)


def units(value: object, chain: Chain, where: str) -> int:
    """Return an amount in base units, as a whole JSON number.

    Raises:
        Refusal: MISSING, TX_VALUE_FORMAT, TX_VALUE_RANGE.
    """
    told(value, where)
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse(Code.TX_VALUE_FORMAT, "an amount in base units is a whole JSON number", where)
    return in_range(value, chain, where)


def in_range(value: int, chain: Chain, where: str) -> int:
    """Return the amount if the chain allows it.

    Raises:
        Refusal: TX_VALUE_RANGE.
    Source: Bitcoin Core, `CheckTransaction`: bad-txns-vout-negative, bad-txns-vout-toolarge.
    """
    if not 0 <= value <= MAX_MONEY.get(chain.caip2, (1 << 256) - 1):
        raise refuse(Code.TX_VALUE_RANGE, "less than nothing, or more than the chain allows", where)
    return value


def amount(value: int, chain: Chain) -> evidence.AssetAmount:
    """Return an amount of the chain's own coin."""
    return evidence.AssetAmount(asset=chain.native, base_units=str(value), decimals=chain.decimals)


def seal(made: evidence.TransactionRecord, raw: bytes) -> None:
    """Add the hash of the bytes that the record was read from, unless it brought that of its own source."""
    if not made.raw_hash:
        made.raw_hash = sha256(raw).digest()


def same(value: object, wanted: object, rule: Code, detail: str, where: str) -> None:
    """Check that what is told twice is told alike; absent is not unlike.

    Raises:
        Refusal: the rule.
    """
    if value is not None and (type(value) is not type(wanted) or value != wanted):
        raise refuse(rule, detail, where)


def first_twice(values: Iterable[object]) -> int | None:
    """Return the position of the first value that was there before."""
    seen: set[object] = set()
    for position, value in enumerate(values):
        if value in seen:
            return position
        seen.add(value)
    return None
