"""Sums and quantities, compared exactly.

In: `Money`, `AssetAmount`. Out: their order, or None where they cannot be compared: other currency, other asset, or a
text that is no number, which is noted elsewhere, once (`values`). No float is ever made, nothing is rounded.
"""

import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.errors import Refusal
from gateway.formats import caip

_NUMBER: Final = re.compile(r"[0-9]{1,30}([.][0-9]{1,18})?")
_UNITS: Final = re.compile(r"[0-9]{1,78}")


def value(money: evidence.Money) -> Fraction | None:
    """Return the number of units of its currency."""
    return Fraction(money.amount) if _NUMBER.fullmatch(money.amount) else None


def units(amount: evidence.AssetAmount) -> int:
    """Return the number of base units; 0 for a text that is no number."""
    return int(amount.base_units) if _UNITS.fullmatch(amount.base_units) else 0


def compare(one: evidence.Money, other: evidence.Money) -> int | None:
    """Return -1, 0 or 1 as one is below, equal to or above the other; None if their currencies differ."""
    first, second = value(one), value(other)
    if first is None or second is None or one.currency != other.currency:
        return None
    return (first > second) - (first < second)


def asset(text: str) -> str:
    """Return an asset in its one spelling: a contract's address has several (EIP-55); as it stands if it is none."""
    try:
        return caip.asset(text).text
    except Refusal:
        return text


def by_asset(amounts: Iterable[evidence.AssetAmount]) -> dict[str, int]:
    """Return base units by asset, in its one spelling."""
    held: dict[str, int] = {}
    for each in amounts:
        name = asset(each.asset)
        held[name] = held.get(name, 0) + units(each)
    return held


def chain_of(asset: str) -> str:
    """Return the CAIP-2 id of the chain that an asset is on."""
    return asset.partition("/")[0]
