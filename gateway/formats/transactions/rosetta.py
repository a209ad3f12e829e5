"""Transactions of chains of unspent outputs as Rosetta (Mesh) servers tell them.

In: what `/block` and `/block/transaction` answer: lists of operations INPUT, OUTPUT and COINBASE. Out: one record a
transaction, outputs in the order of their own position. Refuses operations without an account, of a coin that is not
named, of another currency or network, that did not succeed, or whose sign contradicts their type.

Source: Mesh API specification, Operation, CoinChange, AccountIdentifier; rosetta-dogecoin and rosetta-bitcoin for
types.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import chains, reading
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse
from gateway.formats.transactions import common
from gateway.formats.transactions.bitcoin import check_sum
from gateway.formats.transactions.common import NO_BLOCK, Block, Origin

Json = Mapping[str, object]
Records = list[evidence.TransactionRecord]

SOFTWARE: Final = "Rosetta JSON"

_SYMBOLS: Final = MappingProxyType(
    {"bitcoin": "BTC", "bitcoin-cash": "BCH", "dash": "DASH", "dogecoin": "DOGE", "litecoin": "LTC", "zcash": "ZEC"}
)
SYMBOLS: Final = MappingProxyType({chains.find(name).caip2: symbol for name, symbol in _SYMBOLS.items()})
"""What the currency is called on the main network; a test network has another name, e.g. DOGETEST."""

ACTIONS: Final = MappingProxyType({"INPUT": "coin_spent", "OUTPUT": "coin_created"})

MAX_OPERATIONS: Final = 2 * common.MAX_ENDS
MAX_LIST: Final = 100_000


def block(value: object, where: str, origin: Origin) -> Records:
    """Read an answer to `/block`.

    Raises:
        Refusal: with its rule.
    """
    at = f"{where}.block"
    entry = reading.entry(reading.entry(value, where).get("block"), at)
    own = _object(entry, "block_identifier", at)
    before = _object(entry, "parent_block_identifier", at)
    head = Block(
        hash=common.hash64(own.get("hash"), f"{at}.block_identifier.hash"),
        height=reading.whole(own.get("index"), f"{at}.block_identifier.index", 64),
        time_us=_milliseconds(entry.get("timestamp"), f"{at}.timestamp"),
    )
    # The first block of a chain is its own parent (Mesh API, Block).
    if common.hash64(before.get("hash"), f"{at}.parent_block_identifier.hash") == head.hash and head.height:
        raise refuse(Code.TX_BLOCK_PREVIOUS, "a block before itself", f"{at}.parent_block_identifier.hash")
    listed = common.listed(entry.get("transactions"), f"{at}.transactions", MAX_LIST)
    made = common.each(listed, f"{at}.transactions", lambda one, here: [_transaction(one, here, head, origin)])
    for position, record in enumerate(made):
        record.block_index = position
    return made


def transaction(value: object, where: str, origin: Origin) -> Records:
    """Read an answer to `/block/transaction`; it does not name its block.

    Raises:
        Refusal: with its rule.
    """
    entry = reading.entry(value, where)
    return [_transaction(entry.get("transaction"), f"{where}.transaction", NO_BLOCK, origin)]


def _transaction(value: object, where: str, head: Block, origin: Origin) -> evidence.TransactionRecord:
    entry = reading.entry(value, where)
    chain = common.given_chain(origin, "bip122", where)
    txid = common.hash64(
        _object(entry, "transaction_identifier", where).get("hash"), f"{where}.transaction_identifier.hash"
    )
    made = common.start(chain, txid, head, origin, SOFTWARE)
    listed = common.listed(entry.get("operations"), f"{where}.operations", MAX_OPERATIONS)
    coinbase = False
    for position, one in enumerate(listed):
        at = f"{where}.operations[{position}]"
        operation = reading.entry(one, at)
        kind = reading.visible_ascii(operation.get("type"), f"{at}.type", common.MAX_TYPE_CHARS)
        if kind == "COINBASE":
            coinbase = True
        elif kind in ACTIONS:
            end = _end(operation, kind, chain, txid, at)
            (made.inputs if kind == "INPUT" else made.outputs).append(end)
        else:
            raise refuse(Code.TX_OPERATION, "no type of operation that is known here", f"{at}.type")
        index = reading.whole(
            _object(operation, "operation_identifier", at).get("index"), f"{at}.operation_identifier.index", 32
        )
        if index != position:
            detail = "operations are numbered from 0 and none is left out"
            raise refuse(Code.TX_POSITION, detail, f"{at}.operation_identifier.index")
    _check_whole(made, where, coinbase=coinbase)
    check_sum(made, chain, where)
    reading.check(made, where)
    return made


def _check_whole(made: evidence.TransactionRecord, where: str, *, coinbase: bool) -> None:
    if coinbase and made.inputs:
        raise refuse(Code.TX_COINBASE, "newly made coins have no input", f"{where}.operations")
    if not coinbase and not made.inputs:
        raise refuse(Code.TX_NO_INPUTS, "a transaction without inputs", f"{where}.operations")
    if not made.outputs:
        raise refuse(Code.TX_NO_OUTPUTS, "a transaction without outputs", f"{where}.operations")
    if common.first_twice(end.spent for end in made.inputs) is not None:
        raise refuse(Code.TX_SPENT_TWICE, "one output is spent twice", f"{where}.operations")
    made.outputs.sort(key=lambda end: end.index)
    if [end.index for end in made.outputs] != [*range(len(made.outputs))]:
        raise refuse(Code.TX_POSITION, "outputs are numbered from 0 and none is left out", f"{where}.operations")


def _end(operation: Json, kind: str, chain: Chain, txid: str, where: str) -> evidence.TransferEnd:
    account = _object(operation, "account", where)
    made = evidence.TransferEnd(address=common.address(account.get("address"), f"{where}.account.address"))
    change = _object(operation, "coin_change", where)
    if change.get("coin_action") != ACTIONS[kind]:
        raise refuse(Code.TX_OPERATION, "an input spends, an output creates", f"{where}.coin_change.coin_action")
    _add_coin(made, change, kind, txid, f"{where}.coin_change")
    if operation.get("status") != "SUCCESS":
        raise refuse(Code.TX_STATUS, "an operation of a transaction in a block has succeeded", f"{where}.status")
    made.amount.CopyFrom(common.amount(_value(operation, kind, chain, where), chain))
    metadata = operation.get("metadata")
    script = metadata.get("scriptPubKey") if isinstance(metadata, Mapping) else None
    if isinstance(script, Mapping) and script.get("type") is not None:
        at = f"{where}.metadata.scriptPubKey.type"
        made.output_type = reading.visible_ascii(script["type"], at, common.MAX_TYPE_CHARS)
    return made


def _add_coin(made: evidence.TransferEnd, change: Json, kind: str, txid: str, where: str) -> None:
    at = f"{where}.coin_identifier.identifier"
    name = reading.text(_object(change, "coin_identifier", where).get("identifier"), at, common.MAX_ADDRESS_CHARS)
    of, _, index = name.rpartition(":")
    if not common.SPENT.fullmatch(name):
        raise refuse(Code.TX_OUTPOINT, "an output is named `txid:index`", at)
    common.hash64(of, at)
    if kind == "INPUT":
        made.spent = name
    else:
        common.same(of, txid, Code.TX_OUTPOINT, "an output of another transaction", at)
        made.index = reading.whole(int(index), at, 32)


def _value(operation: Json, kind: str, chain: Chain, where: str) -> int:
    at = f"{where}.amount"
    entry = _object(operation, "amount", where)
    signed = int(reading.change(entry.get("value"), f"{at}.value"))
    if signed > 0 if kind == "INPUT" else signed < 0:
        raise refuse(Code.TX_VALUE_CONTRADICTS, "an input takes away, an output adds", f"{at}.value")
    currency = _object(entry, "currency", at)
    if currency.get("symbol") != SYMBOLS.get(chain.caip2) or currency.get("decimals") != chain.decimals:
        raise refuse(Code.TX_UNIT, "not the coin of this chain's main network", f"{at}.currency")
    return common.in_range(abs(signed), chain, f"{at}.value")


def _object(entry: Json, name: str, where: str) -> Json:
    return reading.entry(common.told(entry.get(name), f"{where}.{name}"), f"{where}.{name}")


def _milliseconds(value: object, where: str) -> int:
    found = reading.whole(common.told(value, where), where, 64) * 1_000
    if found >= common.MAX_SECONDS * 1_000_000:
        raise refuse(Code.TX_TIME, "a time after the year 9999", where)
    return found
