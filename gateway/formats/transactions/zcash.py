"""The shielded side of a Zcash transaction: what enters the hidden pools and what leaves them.

In: the JSON of `zcashd`. Out: ends without an address, `shielded`, for what moved between the open side and a pool; who
holds it inside is hidden, and so is every transfer that stays inside. Refuses amounts that are none.

Source: Zcash protocol specification, sections 4.12 to 4.14 (JoinSplit, Sapling and Orchard balance);
zcashd `getrawtransaction`: vjoinsplit[].vpub_oldZat and vpub_newZat, valueBalanceZat, orchard.valueBalanceZat.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import chains, reading
from gateway.formats.chains import Chain
from gateway.formats.transactions import common

Json = Mapping[str, object]

SHIELDED: Final = "shielded"
ZCASH: Final = chains.find("zcash").caip2


def add_shielded(made: evidence.TransactionRecord, entry: Json, chain: Chain, where: str) -> None:
    """Add what enters the pools as outputs, and what leaves them as inputs.

    Raises:
        Refusal: TX_VALUE_FORMAT, TX_VALUE_RANGE, WRONG_TYPE.
    """
    if chain.caip2 != ZCASH:
        return
    for position, one in enumerate(common.listed(entry.get("vjoinsplit", []), f"{where}.vjoinsplit")):
        at = f"{where}.vjoinsplit[{position}]"
        split = reading.entry(one, at)
        _add(made, -_value(split, "vpub_old", chain, at), chain)
        _add(made, _value(split, "vpub_new", chain, at), chain)
    _add(made, _value(entry, "valueBalance", chain, where), chain)
    if entry.get("orchard") is not None:
        at = f"{where}.orchard"
        _add(made, _value(reading.entry(entry["orchard"], at), "valueBalance", chain, at), chain)


def move_to_end(made: evidence.TransactionRecord, count: tuple[int, int]) -> None:
    """Put the first so many inputs and outputs behind the others, which have a position."""
    for ends, first in ((made.inputs, count[0]), (made.outputs, count[1])):
        moved = [*ends[first:], *ends[:first]]
        del ends[:]
        ends.extend(moved)


def _value(entry: Json, name: str, chain: Chain, where: str) -> int:
    whole, decimal = entry.get(f"{name}Zat"), entry.get(name)
    if whole is None and decimal is None:
        return 0
    found = whole if whole is not None else decimal
    # A balance has a sign, an amount has none.
    below = isinstance(found, (int, Decimal)) and found < 0
    size = -found if isinstance(found, (int, Decimal)) and below else found
    read = common.units if whole is not None else common.coins
    value = read(size, chain, f"{where}.{name}")
    return -value if below else value


def _add(made: evidence.TransactionRecord, leaves_pool: int, chain: Chain) -> None:
    if leaves_pool:
        ends = made.inputs if leaves_pool > 0 else made.outputs
        ends.append(evidence.TransferEnd(amount=common.amount(abs(leaves_pool), chain), output_type=SHIELDED))
