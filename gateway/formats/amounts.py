"""Amounts of assets and of money, exactly.

In: decimal texts as people write them, base units as chains count them, and the messages that carry them. Out: the
other of the two; nothing is rounded, and no float is ever made. Refuses, with BAD_INPUT, the position and the rule,
what cannot be said exactly, and a message whose parts contradict each other: decimals that are not the coin's, a DTI
of another asset, a currency that is none, a value that is not quantity times rate.

Sources: decimals of coins as in `chains`; ISO 4217 for currencies; 2^256 - 1 has 78 digits, and no chain counts
further.
"""

import re
from fractions import Fraction
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import caip, dti, reading, vocabularies
from gateway.formats.codes import Code, refuse

MAX_DIGITS: Final = reading.MAX_AMOUNT_DIGITS
MAX_DECIMALS: Final = 77

_DECIMAL: Final = re.compile(r"(?P<whole>0|[1-9][0-9]{0,77})(\.(?P<part>[0-9]{1,77}))?")
_UNITS: Final = re.compile(r"0|[1-9][0-9]{0,77}")


def to_units(text: str, decimals: int, where: str = "") -> str:
    """Return a decimal number of whole coins as base units, e.g. "0.5" with 8 decimals as "50000000".

    Args:
        text: digits, at most one point with digits on both sides; no sign, exponent, comma or leading zero.
        decimals: how many decimals one coin has, 0 to 77.
        where: position, for the refusal.

    Raises:
        Refusal: BAD_INPUT, rule AMOUNT_FORMAT, AMOUNT_DECIMALS if the coin has fewer decimals, even if the rest are
            zeros: then the writer took it for another coin; or AMOUNT_TOO_LARGE.
    """
    _check_decimals(decimals)
    found = _DECIMAL.fullmatch(text)
    if not found:
        raise refuse(Code.AMOUNT_FORMAT, "an amount is digits with at most one point, e.g. `0.5`", where)
    part = found["part"] or ""
    if len(part) > decimals:
        raise refuse(Code.AMOUNT_DECIMALS, f"the asset has {decimals} decimals, the amount has more", where)
    units = str(int(found["whole"] + part.ljust(decimals, "0")))
    if len(units) > MAX_DIGITS:
        raise refuse(Code.AMOUNT_TOO_LARGE, f"in base units it has more than {MAX_DIGITS} digits", where)
    return units


def from_units(units: str, decimals: int, where: str = "") -> str:
    """Return base units as a decimal number of whole coins, without zeros that say nothing.

    Args:
        units: digits, no sign, no leading zero.
        decimals: how many decimals one coin has, 0 to 77.
        where: position, for the refusal.

    Raises:
        Refusal: BAD_INPUT, rule AMOUNT_FORMAT.
    """
    _check_decimals(decimals)
    if not _UNITS.fullmatch(units):
        raise refuse(Code.AMOUNT_FORMAT, f"base units are 1 to {MAX_DIGITS} digits, without leading zero", where)
    digits = units.rjust(decimals + 1, "0")
    whole, part = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return f"{whole}.{part}" if part else whole


def check_amount(amount: evidence.AssetAmount, where: str = "") -> None:
    """Check a quantity of an asset, with its valuation if it has one.

    Raises:
        Refusal: BAD_INPUT; rule CONTRACT, DECIMALS_CONTRADICT_ASSET or AMOUNT_TOO_LARGE, or as `caip.asset`,
        `dti.read`,
            `dti.check_same` and `check_valuation` do.
    """
    reading.check(amount, where)
    asset = caip.asset(amount.asset, f"{where}.asset")
    chain = caip.native_chain(asset)
    if chain and amount.HasField("decimals") and amount.decimals != chain.decimals:
        raise refuse(Code.DECIMALS_CONTRADICT_ASSET, f"this coin has {chain.decimals} decimals", f"{where}.decimals")
    if amount.dti:
        dti.check_same(dti.read(amount.dti, f"{where}.dti"), asset.text, f"{where}.dti")
    if amount.HasField("valuation"):
        decimals = amount.decimals if amount.HasField("decimals") else chain.decimals if chain else None
        # Where nobody says how many decimals a token has, its quantity in whole coins is not known.
        quantity = None if decimals is None else Fraction(int(amount.base_units), 10**decimals)
        check_valuation(amount.valuation, quantity, f"{where}.valuation")


def check_valuation(valuation: evidence.Valuation, quantity: Fraction | None, where: str = "") -> None:
    """Check that a value is quantity times rate, as far as the digits that are written can tell.

    Value and rate may each have been rounded at their last digit, up or down; so much the two may differ, and no more.

    Args:
        valuation: the worth.
        quantity: how many whole coins; None if not known.
        where: position, for the refusal.

    Raises:
        Refusal: BAD_INPUT, rule CONTRACT, CURRENCY or RATE_CONTRADICTS_VALUE.
    """
    reading.check(valuation, where)
    check_money(valuation.value, f"{where}.value")
    if not valuation.rate or quantity is None:
        return
    value, rate = Fraction(valuation.value.amount), Fraction(valuation.rate)
    if abs(value - quantity * rate) > _last_digit(valuation.value.amount) + quantity * _last_digit(valuation.rate):
        raise refuse(Code.RATE_CONTRADICTS_VALUE, "the value is not the quantity times the rate", f"{where}.rate")


def check_money(money: evidence.Money, where: str = "") -> None:
    """Check a sum in a currency of a State.

    Raises:
        Refusal: BAD_INPUT, rule CONTRACT or CURRENCY.
    """
    reading.check(money, where)
    vocabularies.currency(money.currency, f"{where}.currency")


def _last_digit(text: str) -> Fraction:
    """Return what one of the last digit is worth: 1/100 for "12.34", 1 for "12"."""
    return Fraction(1, 10 ** len(text.partition(".")[2]))


def _check_decimals(decimals: int) -> None:
    if not 0 <= decimals <= MAX_DECIMALS:
        raise ValueError(f"{decimals} decimals are none of a coin")
