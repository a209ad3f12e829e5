"""Transactions as Esplora and mempool.space tell them.

In: what `GET /tx/:txid` and the lists of an address or block answer. Out: one record a transaction, with the amount of
every input: this server knows them all. Refuses an answer in which fee, sums or status contradict one another.

Source: Esplora HTTP API (Blockstream/esplora, API.md): transaction format.
"""

from collections.abc import Mapping
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import reading
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse
from gateway.formats.transactions import bitcoin, common
from gateway.formats.transactions.common import Block, Origin

Json = Mapping[str, object]

SOFTWARE: Final = "Esplora JSON"

WITH_ADDRESS: Final = frozenset({"p2pkh", "p2sh", "v0_p2wpkh", "v0_p2wsh", "v1_p2tr"})
OUTPUT_TYPES: Final = WITH_ADDRESS | {
    "anchor",
    "empty",
    "multisig",
    "op_return",
    "p2pk",
    "provably_unspendable",
    "unknown",
}
"""`scriptpubkey_type`; `fee` is Liquid's and no output of a chain here."""


def transaction(value: object, where: str, origin: Origin) -> list[evidence.TransactionRecord]:
    """Read one transaction.

    Raises:
        Refusal: with its rule, e.g. TX_SUM.
    """
    entry = reading.entry(value, where)
    chain = common.given_chain(origin, "bip122", where)
    txid = common.hash64(entry.get("txid"), f"{where}.txid")
    made = common.start(chain, txid, _block(entry, where), origin, SOFTWARE)
    _add_inputs(made, entry, chain, where)
    outputs = common.listed(entry.get("vout"), f"{where}.vout")
    if not outputs:
        raise refuse(Code.TX_NO_OUTPUTS, "a transaction without outputs", f"{where}.vout")
    for position, one in enumerate(outputs):
        end = _end(one, chain, f"{where}.vout[{position}]")
        end.index = position
        made.outputs.append(end)
    if entry.get("fee") is not None and made.inputs:
        made.fee.CopyFrom(common.amount(common.units(entry["fee"], chain, f"{where}.fee"), chain))
    bitcoin.check_sum(made, chain, where)
    reading.check(made, where)
    return [made]


def _block(entry: Json, where: str) -> Block:
    at = f"{where}.status"
    status = reading.entry(common.told(entry.get("status"), at), at)
    confirmed = status.get("confirmed")
    if not isinstance(confirmed, bool):
        raise refuse(Code.WRONG_TYPE, "true or false is wanted", f"{at}.confirmed")
    if not confirmed:
        for name in ("block_height", "block_hash", "block_time"):
            if status.get(name) is not None:
                raise refuse(Code.TX_BLOCK_CONTRADICTS, "not confirmed, and in a block", f"{at}.{name}")
        return Block(confirmations=0)
    return Block(
        hash=common.hash64(status.get("block_hash"), f"{at}.block_hash"),
        height=reading.whole(common.told(status.get("block_height"), f"{at}.block_height"), f"{at}.block_height", 64),
        time_us=common.seconds(status.get("block_time"), f"{at}.block_time"),
    )


def _add_inputs(made: evidence.TransactionRecord, entry: Json, chain: Chain, where: str) -> None:
    inputs = common.listed(entry.get("vin"), f"{where}.vin")
    if not inputs:
        raise refuse(Code.TX_NO_INPUTS, "a transaction without inputs", f"{where}.vin")
    for position, one in enumerate(inputs):
        at = f"{where}.vin[{position}]"
        given = reading.entry(one, at)
        if given.get("is_coinbase") is True:
            if len(inputs) > 1 or given.get("prevout") is not None:
                raise refuse(Code.TX_COINBASE, "newly made coins spend no output and have no other input", at)
            return
        txid = common.hash64(given.get("txid"), f"{at}.txid")
        index = reading.whole(common.told(given.get("vout"), f"{at}.vout"), f"{at}.vout", 32)
        before = given.get("prevout")
        end = evidence.TransferEnd() if before is None else _end(before, chain, f"{at}.prevout")
        end.spent = f"{txid}:{index}"
        made.inputs.append(end)
    twice = common.first_twice(end.spent for end in made.inputs)
    if twice is not None:
        raise refuse(Code.TX_SPENT_TWICE, "one output is spent twice", f"{where}.vin[{twice}]")


def _end(value: object, chain: Chain, where: str) -> evidence.TransferEnd:
    entry = reading.entry(value, where)
    kind = reading.visible_ascii(entry.get("scriptpubkey_type"), f"{where}.scriptpubkey_type", common.MAX_TYPE_CHARS)
    if kind not in OUTPUT_TYPES:
        raise refuse(Code.TX_OUTPUT_TYPE, "no kind of output that this server knows", f"{where}.scriptpubkey_type")
    # mempool.space writes an empty text where Esplora leaves the field out.
    told = None if entry.get("scriptpubkey_address") == "" else entry.get("scriptpubkey_address")
    at = f"{where}.scriptpubkey_address"
    if told is None and kind in WITH_ADDRESS:
        raise refuse(Code.TX_ADDRESS_MISSING, "this kind of output has an address, and it is left out", at)
    return evidence.TransferEnd(
        address="" if told is None else common.address(told, at),
        amount=common.amount(common.units(entry.get("value"), chain, f"{where}.value"), chain),
        output_type=kind,
    )
