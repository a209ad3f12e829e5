"""Transactions as Ethereum nodes tell them.

In: what `eth_getBlockByNumber` (with whole transactions), `eth_getTransactionByHash`, `eth_getTransactionReceipt` and
`eth_getLogs` answer, or a transaction and its receipt together as `{"transaction", "receipt"}`. Out: one record for the
transaction and one for each transfer of a token (`events`). A transaction alone tells neither status nor fee; a receipt
alone tells no value. The chain is that of `chainId`, or the caller's; both must agree.
The fee is what the receipt's own figures come to by the chain's definition: `gasUsed` times `effectiveGasPrice`
(EIP-1559), plus `blobGasUsed` times `blobGasPrice` (EIP-4844), plus `l1Fee` (OP stack). It is absent where the receipt
lacks one of them, and where there is an operator fee or one in a token; a limit or an offered price is never taken for
it.
Refuses the whole answer if one part is broken or contradicts another.

Source: Ethereum execution-apis, eth namespace; EIP-658 (status).
"""

from collections.abc import Mapping
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import chains, reading
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse
from gateway.formats.transactions import common, events
from gateway.formats.transactions.common import NO_BLOCK, Block, Origin
from gateway.formats.transactions.quantities import address, hash32, quantity

Json = Mapping[str, object]
Records = list[evidence.TransactionRecord]

SOFTWARE: Final = "Ethereum JSON-RPC"

STATUS: Final = (evidence.TRANSACTION_STATUS_FAILED, evidence.TRANSACTION_STATUS_APPLIED)
"""Of a receipt, by its number."""

MAX_LIST: Final = 100_000
"""Transactions of a block, logs of a transaction: above any block's gas."""

FEE_IN_TOKEN: Final = frozenset({"0x7b", "0x7c"})
"""Transactions of Celo that may pay their fee in another currency; the receipt does not say which."""

NOT_THE_BLOCK: Final = "not the block that it stands in"
NOT_THE_TRANSACTION: Final = "not the transaction that it belongs to"


def block(value: object, where: str, origin: Origin) -> Records:
    """Read a block with whole transactions.

    Raises:
        Refusal: with its rule, e.g. TX_NOT_FULL.
    """
    entry = reading.entry(value, where)
    if entry.get("hash") is None and entry.get("number") is None:
        raise refuse(Code.TX_NOT_IN_CHAIN, "the node's own draft of a block, and no block yet", f"{where}.hash")
    head = Block(
        hash=hash32(entry.get("hash"), f"{where}.hash"),
        height=quantity(entry.get("number"), f"{where}.number", 64),
        time_us=common.seconds(quantity(entry.get("timestamp"), f"{where}.timestamp", 64), f"{where}.timestamp"),
    )
    if hash32(entry.get("parentHash"), f"{where}.parentHash") == head.hash:
        raise refuse(Code.TX_BLOCK_PREVIOUS, "a block before itself", f"{where}.parentHash")
    listed = common.listed(entry.get("transactions"), f"{where}.transactions", MAX_LIST)
    made = common.each(listed, f"{where}.transactions", lambda one, at: _in_block(one, at, head, origin))
    for position, record in enumerate(made):
        at = f"{where}.transactions[{position}].transactionIndex"
        if record.HasField("block_index") and record.block_index != position:
            raise refuse(Code.TX_POSITION, "not the position that it stands at", at)
        record.block_index = position
    twice = common.first_twice(record.txid for record in made)
    if twice is not None:
        raise refuse(Code.TX_TWICE, "the block has this transaction already", f"{where}.transactions[{twice}].hash")
    return made


def transaction(value: object, where: str, origin: Origin) -> Records:
    """Read one transaction; one that waits has no block.

    Raises:
        Refusal: with its rule.
    """
    entry = reading.entry(value, where)
    return [_transaction(entry, where, _block_of(entry, where), origin)]


def receipt(value: object, where: str, origin: Origin) -> Records:
    """Read one receipt: the transaction without its value, and its transfers of tokens.

    Raises:
        Refusal: with its rule.
    """
    entry = reading.entry(value, where)
    chain = common.given_chain(origin, "eip155", where)
    txid = hash32(entry.get("transactionHash"), f"{where}.transactionHash")
    made = common.start(chain, txid, _block_of(entry, where), origin, SOFTWARE)
    made.inputs.add(address=address(entry.get("from"), f"{where}.from"))
    made.outputs.add(address="" if entry.get("to") is None else address(entry["to"], f"{where}.to"))
    _add_index(made, entry, where)
    return [made, *_settle(made, entry, chain, where)]


def both(value: object, where: str, origin: Origin) -> Records:
    """Read a transaction and its receipt.

    Raises:
        Refusal: with its rule.
    """
    entry = reading.entry(value, where)
    at = f"{where}.transaction"
    given = reading.entry(entry.get("transaction"), at)
    made = _transaction(given, at, _block_of(given, at), origin)
    at = f"{where}.receipt"
    receipt_entry = reading.entry(entry.get("receipt"), at)
    told = hash32(receipt_entry.get("transactionHash"), f"{at}.transactionHash")
    common.same(told, made.txid, Code.TX_HASH_CONTRADICTS, NOT_THE_TRANSACTION, f"{at}.transactionHash")
    block_hash = hash32(receipt_entry.get("blockHash"), f"{at}.blockHash")
    common.same(block_hash, made.block_hash, Code.TX_BLOCK_CONTRADICTS, NOT_THE_BLOCK, f"{at}.blockHash")
    return [made, *_settle(made, receipt_entry, chains.find(made.chain), at)]


def log(value: object, where: str, origin: Origin) -> Records:
    """Read one log by itself; one that is no transfer of a token gives no record.

    Raises:
        Refusal: with its rule.
    """
    entry = reading.entry(value, where)
    chain = common.given_chain(origin, "eip155", where)
    txid = hash32(entry.get("transactionHash"), f"{where}.transactionHash")
    head = common.start(chain, txid, _block_of(entry, where), origin, SOFTWARE)
    _add_index(head, entry, where)
    # A transaction that fails leaves no logs behind.
    head.status = evidence.TRANSACTION_STATUS_APPLIED
    return events.transfer(entry, chain, head, where, set())


def _in_block(value: object, where: str, head: Block, origin: Origin) -> Records:
    if isinstance(value, str):
        raise refuse(Code.TX_NOT_FULL, "the block names its transactions only; ask for whole ones", where)
    entry = reading.entry(value, where)
    common.same(entry.get("blockHash"), head.hash, Code.TX_BLOCK_CONTRADICTS, NOT_THE_BLOCK, f"{where}.blockHash")
    if entry.get("blockNumber") is not None:
        number = quantity(entry["blockNumber"], f"{where}.blockNumber", 64)
        common.same(number, head.height, Code.TX_BLOCK_CONTRADICTS, NOT_THE_BLOCK, f"{where}.blockNumber")
    return [_transaction(entry, where, head, origin)]


def _transaction(entry: Json, where: str, head: Block, origin: Origin) -> evidence.TransactionRecord:
    chain = _chain(entry, where, origin)
    made = common.start(chain, hash32(entry.get("hash"), f"{where}.hash"), head, origin, SOFTWARE)
    moved = common.amount(quantity(entry.get("value"), f"{where}.value"), chain)
    made.inputs.add(address=address(entry.get("from"), f"{where}.from"), amount=moved)
    # No address: a contract that this very transaction creates.
    made.outputs.add(address="" if entry.get("to") is None else address(entry["to"], f"{where}.to"), amount=moved)
    made.nonce = quantity(entry.get("nonce"), f"{where}.nonce", 64)
    _add_index(made, entry, where)
    reading.check(made, where)
    return made


def _chain(entry: Json, where: str, origin: Origin) -> Chain:
    if entry.get("chainId") is None:
        return common.given_chain(origin, "eip155", where)
    at = f"{where}.chainId"
    named = chains.known(f"eip155:{quantity(entry['chainId'], at)}")
    if named is None:
        raise refuse(Code.CHAIN_NOT_SUPPORTED, "this chain is not supported", at)
    if origin.chain is not None and origin.chain.caip2 != named.caip2:
        raise refuse(Code.TX_CHAIN_CONTRADICTS, "not the chain that was given", at)
    return named


def _block_of(entry: Json, where: str) -> Block:
    if entry.get("removed") is True:
        raise refuse(Code.TX_NOT_IN_CHAIN, "the node says that its block is no longer part of the chain", where)
    if entry.get("blockHash") is None:
        for name in ("blockNumber", "transactionIndex", "blockTimestamp"):
            if entry.get(name) is not None:
                raise refuse(Code.TX_BLOCK_CONTRADICTS, "of a block that is not named", f"{where}.{name}")
        return NO_BLOCK
    time = entry.get("blockTimestamp")  # newer nodes tell it in logs and transactions
    at = f"{where}.blockTimestamp"
    return Block(
        hash=hash32(entry["blockHash"], f"{where}.blockHash"),
        height=quantity(entry.get("blockNumber"), f"{where}.blockNumber", 64),
        time_us=None if time is None else common.seconds(quantity(time, at, 64), at),
    )


def _add_index(made: evidence.TransactionRecord, entry: Json, where: str) -> None:
    if made.block_hash and entry.get("transactionIndex") is not None:
        made.block_index = quantity(entry["transactionIndex"], f"{where}.transactionIndex", 32)


def _settle(made: evidence.TransactionRecord, entry: Json, chain: Chain, where: str) -> Records:
    """Add what the receipt tells, and return the transfers of tokens."""
    if entry.get("status") is not None:
        at = f"{where}.status"
        number = quantity(entry["status"], at)
        if number >= len(STATUS):
            raise refuse(Code.TX_STATUS, "a receipt's status is 0 or 1", at)
        made.status = STATUS[number]
    fee = _fee(entry, where)
    if fee is not None:
        made.fee.CopyFrom(common.amount(fee, chain))
    if not made.outputs[0].address and entry.get("contractAddress") is not None:
        made.outputs[0].address = address(entry["contractAddress"], f"{where}.contractAddress")
    # Null is how a node written in Go says that a list has nothing in it; one that is left out was cut away.
    given = [] if "logs" in entry and entry["logs"] is None else entry.get("logs")
    logs = common.listed(given, f"{where}.logs", MAX_LIST)
    if logs and made.status == evidence.TRANSACTION_STATUS_FAILED:
        raise refuse(Code.TX_LOGS_CONTRADICT, "a transaction that fails leaves no logs behind", f"{where}.logs")
    reading.check(made, where)
    return events.transfers(logs, chain, made, f"{where}.logs")


def _has_other_fee(entry: Json, where: str) -> bool:
    """Return whether the fee is no sum of what the receipt tells, or was paid in no coin of the chain.

    Source: OP Stack specification, Isthmus, operator fee (its formula is another one since Jovian); Celo, CIP-64 and
    CIP-42: fees in a token.
    """
    if entry.get("type") in FEE_IN_TOKEN:
        return True
    return any(
        entry.get(name) is not None and quantity(entry[name], f"{where}.{name}", 64)
        for name in ("operatorFeeScalar", "operatorFeeConstant")
    )


def _fee(entry: Json, where: str) -> int | None:
    if entry.get("gasUsed") is None or entry.get("effectiveGasPrice") is None or _has_other_fee(entry, where):
        return None
    total = 0
    for used, price in (("gasUsed", "effectiveGasPrice"), ("blobGasUsed", "blobGasPrice")):
        if entry.get(used) is not None:
            amount = quantity(entry[used], f"{where}.{used}", 64)
            total += amount * (quantity(entry.get(price), f"{where}.{price}", 128) if amount else 0)
    if entry.get("l1Fee") is not None:
        total += quantity(entry["l1Fee"], f"{where}.l1Fee", 128)
    return total
