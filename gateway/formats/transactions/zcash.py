"""The shielded side of a Zcash transaction: what enters the hidden pools and what leaves them.

In: the JSON of `zcashd`. Out: ends without an address, `shielded`, for what moved between the open side and a pool; who
holds it inside is hidden, and so is every transfer that stays inside. Refuses amounts that are none, or told twice and
not alike.

Source: Zcash protocol specification, sections 4.12 to 4.14 (JoinSplit, Sapling and Orchard balance);
zcashd `getrawtransaction`: vjoinsplit[].vpub_oldZat and vpub_newZat, valueBalanceZat, orchard.valueBalanceZat.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import chains, reading
from gateway.formats.chains import Chain
from gateway.formats.codes import Code
from gateway.formats.transactions import common

Json = Mapping[str, object]

SHIELDED: Final = "shielded"
ZCASH: Final = chains.find("zcash").caip2


def add_shielded(made: evidence.TransactionRecord, entry: Json, chain: Chain, where: str) -> None:
    """Add what enters the pools as outputs, and what leaves them as inputs.

    Raises:
        Refusal: TX_VALUE_FORMAT, TX_VALUE_RANGE, TX_VALUE_CONTRADICTS, WRONG_TYPE.
    """
    if chain.caip2 != ZCASH:
        return
    for position, one in enumerate(common.listed(entry.get("vjoinsplit", []), f"{where}.vjoinsplit")):
        at = f"{where}.vjoinsplit[{position}]"
        split = reading.entry(one, at)
        _add(made, -_value(split, "vpub_old", chain, at), chain)
        _add(made, _value(split, "vpub_new", chain, at), chain)
    _add(made, _balance(entry, chain, where), chain)
    if entry.get("orchard") is not None:
        at = f"{where}.orchard"
        _add(made, _balance(reading.entry(entry["orchard"], at), chain, at), chain)


def has_hidden(entry: Json, chain: Chain) -> bool:
    """Whether something moved inside a pool: of that nothing is seen, not even a fee, if none was paid.

    Source: Zcash protocol specification, section 7.1: a transaction has an input, a Sapling or JoinSplit spend, or an
    Orchard action.
    """
    orchard = entry.get("orchard")
    actions = orchard.get("actions") if isinstance(orchard, Mapping) else None
    return chain.caip2 == ZCASH and bool(entry.get("vShieldedSpend") or entry.get("vjoinsplit") or actions)


def move_to_end(made: evidence.TransactionRecord, count: tuple[int, int]) -> None:
    """Put the first so many inputs and outputs behind the others, which have a position."""
    for ends, first in ((made.inputs, count[0]), (made.outputs, count[1])):
        moved = [*ends[first:], *ends[:first]]
        del ends[:]
        ends.extend(moved)


def _value(entry: Json, name: str, chain: Chain, where: str) -> int:
    """Return an amount, which has no sign; told twice, it is told alike."""
    at = f"{where}.{name}"
    coins, whole = (entry.get(each) for each in (name, f"{name}Zat"))
    if coins is None:
        return 0 if whole is None else common.units(whole, chain, at)
    value = common.coins(coins, chain, at)
    common.same(whole, value, Code.TX_VALUE_CONTRADICTS, "not the amount told beside it", f"{at}Zat")
    return value


def _balance(entry: Json, chain: Chain, where: str) -> int:
    """Return what leaves a pool; of what enters it, with a minus."""
    told = {name: entry.get(name) for name in ("valueBalance", "valueBalanceZat")}
    if any(isinstance(each, (int, Decimal)) and each < 0 for each in told.values()):
        return -_value({name: _turned(each) for name, each in told.items()}, "valueBalance", chain, where)
    return _value(told, "valueBalance", chain, where)


def _turned(value: object) -> object:
    # Not the minus: with that the decimal module rounds, to 28 digits.
    if isinstance(value, Decimal):
        return value.copy_negate()
    return -value if isinstance(value, int) else value


def _add(made: evidence.TransactionRecord, leaves_pool: int, chain: Chain) -> None:
    if leaves_pool:
        ends = made.inputs if leaves_pool > 0 else made.outputs
        ends.append(evidence.TransferEnd(amount=common.amount(abs(leaves_pool), chain), output_type=SHIELDED))
