"""Transactions out of normalised JSON: to `TransactionRecord`, exactly.

In: records of three forms, told apart by their fields: `inputs` and `outputs` (chains of unspent outputs), `from`, `to`
and `value` (chains of accounts; a token transfer also has `log_index` and `asset`, an internal one `trace_address`),
`balance_changes` (Solana). A transaction that is in no block yet has no `block_height`, `block_hash` or `block_time`,
or has them as null. Out: records in which nothing is computed, rounded or filled in: what the chain hides or the source
does not tell is absent. Refuses a record that is not so, with BAD_INPUT, its rule and the position, e.g.
`[3].outputs[0].value`. Amounts are decimal texts in base units; a float, a JSON number or another unit is refused,
never converted. `writing` is the way back.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.clock import to_micros
from gateway.formats import reading, wallets
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse
from gateway.formats.reading import Reading
from gateway.formats.transactions.common import MAX_TYPE_CHARS, SPENT, address, listed

Record = Mapping[str, object]

BASE_UNITS: Final = frozenset({"wei", "lamport", "mutez", "satoshi", "satoshi-equivalent integer", "token base unit"})
"""What `value_unit` may say: the smallest unit of each chain, under the names that indexers use."""

STATUS: Final = MappingProxyType(
    {
        1: evidence.TRANSACTION_STATUS_APPLIED,  # Ethereum receipts (EIP-658)
        0: evidence.TRANSACTION_STATUS_FAILED,
        "ok": evidence.TRANSACTION_STATUS_APPLIED,  # Solana
        "failed": evidence.TRANSACTION_STATUS_FAILED,  # Solana, Tezos
        "applied": evidence.TRANSACTION_STATUS_APPLIED,  # Tezos
        "backtracked": evidence.TRANSACTION_STATUS_FAILED,
        "skipped": evidence.TRANSACTION_STATUS_FAILED,
    }
)

TOLD_APART: Final = frozenset({"backtracked", "skipped"})
"""Words of which our status says less: Tezos tells an operation that failed from those around it that were undone."""

MAX_HASH_CHARS: Final = 128
MAX_SOURCE_CHARS: Final = 200
MAX_ASSET_CHARS: Final = 300

_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def records(entries: object) -> Reading[evidence.TransactionRecord]:
    """Read a list; each entry is a record or a refusal with its position.

    Raises:
        Refusal: BAD_INPUT, it is no list.
    """
    return reading.read_list(entries, record)


def record(value: object, where: str = "") -> evidence.TransactionRecord:
    """Read one record.

    Args:
        value: the record.
        where: its position, for the refusal.

    Raises:
        Refusal: BAD_INPUT, with the field.
    """
    entry = reading.entry(value, where)
    chain = wallets.chain(entry.get("chain"), f"{where}.chain")
    if "caip2" in entry and entry["caip2"] != chain.caip2:
        raise refuse(Code.TX_CHAIN_CONTRADICTS, "not the id of the chain that the record names", f"{where}.caip2")
    if reading.text(entry.get("value_unit"), f"{where}.value_unit", MAX_TYPE_CHARS) not in BASE_UNITS:
        raise refuse(
            Code.TX_UNIT, "amounts are in base units, and `value_unit` names one of them", f"{where}.value_unit"
        )
    made = evidence.TransactionRecord(
        chain=chain.caip2,
        txid=reading.visible_ascii(entry.get("txid"), f"{where}.txid", MAX_HASH_CHARS),
        source=reading.text(entry.get("source"), f"{where}.source", MAX_SOURCE_CHARS),
    )
    _read_status(made, entry.get("status"), f"{where}.status")
    _read_block(made, entry, where)
    _read_optional(made, entry, chain, where)
    _read_movements(made, entry, chain, where)
    reading.check(made, where)
    return made


def _read_block(made: evidence.TransactionRecord, entry: Record, where: str) -> None:
    if entry.get("block_height") is not None:
        made.block_height = reading.whole(entry["block_height"], f"{where}.block_height", 64)
    if entry.get("slot") is not None:
        made.slot = reading.whole(entry["slot"], f"{where}.slot", 64)
    if entry.get("block_hash") is not None:
        made.block_hash = reading.visible_ascii(entry["block_hash"], f"{where}.block_hash", MAX_HASH_CHARS)
    if entry.get("block_time") is not None:
        made.block_time_us = _time(entry["block_time"], f"{where}.block_time")
    if "block_index" in entry:
        made.block_index = reading.whole(entry["block_index"], f"{where}.block_index", 32)
    if "confirmations" in entry:
        made.confirmations = reading.whole(entry["confirmations"], f"{where}.confirmations", 64)
        if bool(made.confirmations) != bool(made.block_hash or made.HasField("slot")):
            detail = "a transaction in a block is confirmed at least once, one in none not at all"
            raise refuse(Code.TX_BLOCK_CONTRADICTS, detail, f"{where}.confirmations")


def _read_optional(made: evidence.TransactionRecord, entry: Record, chain: Chain, where: str) -> None:
    if "log_index" in entry:
        made.log_index = reading.whole(entry["log_index"], f"{where}.log_index", 32)
        made.kind = evidence.TRANSACTION_KIND_TOKEN_TRANSFER
    if "trace_address" in entry:
        made.trace_address = reading.visible_ascii(entry["trace_address"], f"{where}.trace_address", MAX_HASH_CHARS)
        made.kind = evidence.TRANSACTION_KIND_INTERNAL_TRANSFER
    if "observed_at" in entry:
        made.observed_at_us = _time(entry["observed_at"], f"{where}.observed_at")
    if "raw_hash" in entry:
        made.raw_hash = _digest(entry["raw_hash"], f"{where}.raw_hash")
    if "nonce" in entry:
        made.nonce = reading.whole(entry["nonce"], f"{where}.nonce", 64)
    if "fee_payer" in entry:
        made.fee_payer = address(entry["fee_payer"], f"{where}.fee_payer")
    if "fee" in entry:
        amount = reading.amount(entry["fee"], f"{where}.fee")
        made.fee.CopyFrom(evidence.AssetAmount(asset=chain.native, base_units=amount, decimals=chain.decimals))


def _read_movements(made: evidence.TransactionRecord, entry: Record, chain: Chain, where: str) -> None:
    forms = [form for form in ("inputs", "from", "balance_changes") if form in entry]
    if forms == ["inputs"]:
        _read_outputs_form(made, entry, chain, where)
    elif forms == ["from"]:
        _read_account_form(made, entry, chain, where)
    elif forms == ["balance_changes"]:
        for position, one in enumerate(listed(entry["balance_changes"], f"{where}.balance_changes")):
            made.balance_changes.append(_change(one, chain, f"{where}.balance_changes[{position}]"))
    else:
        raise refuse(Code.TX_MOVEMENTS, "exactly one of `inputs`, `from` and `balance_changes` is wanted", where)


def _read_outputs_form(made: evidence.TransactionRecord, entry: Record, chain: Chain, where: str) -> None:
    inputs = listed(entry["inputs"], f"{where}.inputs")
    outputs = listed(entry.get("outputs"), f"{where}.outputs")
    if not isinstance(entry.get("coinbase"), bool) or entry["coinbase"] == bool(inputs):
        detail = "`coinbase` is true where there are no inputs, false where there are some"
        raise refuse(Code.TX_COINBASE, detail, f"{where}.coinbase")
    for position, one in enumerate(inputs):
        made.inputs.append(_end(one, chain, f"{where}.inputs[{position}]"))
    for position, one in enumerate(outputs):
        made.outputs.append(_end(one, chain, f"{where}.outputs[{position}]"))


def _read_account_form(made: evidence.TransactionRecord, entry: Record, chain: Chain, where: str) -> None:
    amount = evidence.AssetAmount(asset=chain.native, decimals=chain.decimals)
    if "asset" in entry and entry["asset"] != chain.native:
        asset = reading.visible_ascii(entry["asset"], f"{where}.asset", MAX_ASSET_CHARS)
        if not asset.startswith(f"{chain.caip2}/"):
            raise refuse(Code.TX_ASSET, "an asset of another chain", f"{where}.asset")
        # A token's decimals are its contract's, and the record does not tell them.
        amount = evidence.AssetAmount(asset=asset)
    if amount.HasField("decimals") == ("log_index" in entry):
        detail = "a token transfer has `log_index` and a token as `asset`; nothing else has"
        raise refuse(Code.TX_ASSET, detail, f"{where}.asset")
    # A receipt names the two ends of a transaction and not what moved; it has to say that it is one.
    amounts = entry.get("value") is not None or entry.get("receipt") is not True
    if amounts:
        amount.base_units = reading.amount(entry.get("value"), f"{where}.value")
    for ends, name in ((made.inputs, "from"), (made.outputs, "to")):
        # No address: made or destroyed, or a contract that this very transaction creates.
        holder = "" if entry.get(name) is None else address(entry[name], f"{where}.{name}")
        ends.append(evidence.TransferEnd(address=holder, amount=amount if amounts else None))


def _end(value: object, chain: Chain, where: str) -> evidence.TransferEnd:
    entry = reading.entry(value, where)
    made = evidence.TransferEnd()
    for name in ("address", "value"):
        if name not in entry:
            raise refuse(Code.MISSING, "what the chain hides is null, not left out", f"{where}.{name}")
    if entry["address"] is not None:
        made.address = address(entry["address"], f"{where}.address")
    if entry["value"] is not None:
        amount = reading.amount(entry["value"], f"{where}.value")
        made.amount.CopyFrom(evidence.AssetAmount(asset=chain.native, base_units=amount, decimals=chain.decimals))
    if "index" in entry:
        made.index = reading.whole(entry["index"], f"{where}.index", 32)
    if entry.get("spent") is not None:
        made.spent = _spent(entry["spent"], f"{where}.spent")
    if entry.get("type") is not None:
        made.output_type = reading.visible_ascii(entry["type"], f"{where}.type", MAX_TYPE_CHARS)
    return made


def _change(value: object, chain: Chain, where: str) -> evidence.BalanceChange:
    entry = reading.entry(value, where)
    made = evidence.BalanceChange(
        address=address(entry.get("address"), f"{where}.address"),
        asset=chain.native,
        delta=reading.change(entry.get("delta"), f"{where}.delta"),
        decimals=chain.decimals,
    )
    if "asset" in entry:
        made.asset = reading.visible_ascii(entry["asset"], f"{where}.asset", MAX_ASSET_CHARS)
        if not made.asset.startswith(f"{chain.caip2}/"):
            raise refuse(Code.TX_ASSET, "an asset of another chain", f"{where}.asset")
        made.ClearField("decimals")
    if "decimals" in entry:
        made.decimals = reading.whole(entry["decimals"], f"{where}.decimals", 7)
    return made


def _spent(value: object, where: str) -> str:
    if not isinstance(value, str) or not SPENT.fullmatch(value):
        raise refuse(Code.TX_OUTPOINT, "an output is named `txid:index`", where)
    return value


def _read_status(made: evidence.TransactionRecord, value: object, where: str) -> None:
    if value is None:
        return
    # In Python, True is 1 too.
    if not isinstance(value, (int, str)) or isinstance(value, bool) or value not in STATUS:
        raise refuse(Code.TX_STATUS, "not a status that is known here", where)
    made.status = STATUS[value]
    if isinstance(value, str) and value in TOLD_APART:
        made.status_as_told = value


def _digest(value: object, where: str) -> bytes:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise refuse(Code.TX_HASH_FORMAT, "a SHA-256 hash has 64 hexadecimal digits in lower case", where)
    return bytes.fromhex(value)


def _time(value: object, where: str) -> int:
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return to_micros(datetime.fromisoformat(value))
        except ValueError:
            pass  # digits that are no date, e.g. the 31st of June
    raise refuse(Code.TX_TIME, "a time as 2024-01-31T23:59:59Z is wanted", where)
