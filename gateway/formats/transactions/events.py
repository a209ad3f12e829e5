"""Transfers of tokens out of the logs of a transaction.

In: logs as Ethereum nodes write them. Out: one record for each `Transfer` of a token, with the contract's own integer
and no decimals: those are the contract's, and a log does not tell them. Other logs give none: among them those that
bear the same name without being laid out as the standards say, for what they move is not known. Refuses logs of another
transaction or block, and two at one position.

Source: EIP-20 and EIP-721, event Transfer: both addresses indexed; EIP-721's token id is indexed too, EIP-20's value
not.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import reading
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse
from gateway.formats.transactions import common
from gateway.formats.transactions.quantities import ADDRESS_CHARS, WORD_CHARS, address, hash32, quantity, words

Json = Mapping[str, object]

TRANSFER: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak256("Transfer(address,address,uint256)")."""

MAX_TOPICS: Final = 4
FUNGIBLE_TOPICS: Final = 3
_NO_ADDRESS: Final = "0" * (WORD_CHARS - ADDRESS_CHARS)


def transfers(
    logs: Sequence[object], chain: Chain, head: evidence.TransactionRecord, where: str
) -> list[evidence.TransactionRecord]:
    """Read the logs of one transaction.

    Args:
        logs: the logs.
        chain: the chain.
        head: the record of their transaction.
        where: position of the list.

    Raises:
        Refusal: TX_HASH_CONTRADICTS, TX_BLOCK_CONTRADICTS, TX_TWICE, or a part has not its form.
    """
    seen: set[int] = set()
    return common.each(logs, where, lambda one, at: transfer(one, chain, head, at, seen))


def transfer(
    value: object, chain: Chain, head: evidence.TransactionRecord, where: str, seen: set[int]
) -> list[evidence.TransactionRecord]:
    """Read one log; one that is no transfer of a token gives no record.

    Args:
        value: the log.
        chain: the chain.
        head: the record of its transaction.
        where: its position.
        seen: positions of the logs before it; its own is added.

    Raises:
        Refusal: as `transfers`.
    """
    entry = reading.entry(value, where)
    index = _check(entry, head, where)
    if index in seen:
        raise refuse(Code.TX_TWICE, "another log has this position", f"{where}.logIndex")
    seen.add(index)
    found = _transfer(entry, chain, where)
    if found is None:
        return []
    made = _record(head, index, *found)
    reading.check(made, where)
    return [made]


def _check(entry: Json, head: evidence.TransactionRecord, where: str) -> int:
    if entry.get("removed") is True:
        raise refuse(Code.TX_NOT_IN_CHAIN, "the node says that its block is no longer part of the chain", where)
    detail = "not the transaction that it belongs to"
    at = f"{where}.transactionHash"
    common.same(hash32(entry.get("transactionHash"), at), head.txid, Code.TX_HASH_CONTRADICTS, detail, at)
    detail = "not the block that it stands in"
    common.same(entry.get("blockHash"), head.block_hash, Code.TX_BLOCK_CONTRADICTS, detail, f"{where}.blockHash")
    return quantity(entry.get("logIndex"), f"{where}.logIndex", 32)


def _transfer(entry: Json, chain: Chain, where: str) -> tuple[str, str, evidence.AssetAmount] | None:
    topics = [
        hash32(topic, f"{where}.topics[{position}]")
        for position, topic in enumerate(common.listed(entry.get("topics"), f"{where}.topics", MAX_TOPICS))
    ]
    contract = address(entry.get("address"), f"{where}.address")
    data = words(entry.get("data"), f"{where}.data")
    if topics[:1] != [TRANSFER] or len(topics) < FUNGIBLE_TOPICS:
        return None
    # A topic is a word: an address has zeros before it.
    if not all(topic[2:].startswith(_NO_ADDRESS) for topic in topics[1:FUNGIBLE_TOPICS]):
        return None
    giver, taker = (f"0x{topic[-ADDRESS_CHARS:]}" for topic in topics[1:FUNGIBLE_TOPICS])
    if len(topics) == FUNGIBLE_TOPICS and len(data) == 1 and len(data[0]) == WORD_CHARS:
        asset, value = f"{chain.caip2}/erc20:{contract}", str(int(data[0], 16))
    elif len(topics) == MAX_TOPICS and not data:
        asset, value = f"{chain.caip2}/erc721:{contract}/{int(topics[3], 16)}", "1"
    else:
        return None
    return giver, taker, evidence.AssetAmount(asset=asset, base_units=value)


def _record(
    head: evidence.TransactionRecord, index: int, giver: str, taker: str, moved: evidence.AssetAmount
) -> evidence.TransactionRecord:
    made = evidence.TransactionRecord()
    made.CopyFrom(head)
    for name in ("inputs", "outputs", "fee", "fee_payer", "nonce"):
        made.ClearField(name)
    made.kind = evidence.TRANSACTION_KIND_TOKEN_TRANSFER
    made.log_index = index
    made.inputs.add(address=giver, amount=moved)
    made.outputs.add(address=taker, amount=moved)
    return made
