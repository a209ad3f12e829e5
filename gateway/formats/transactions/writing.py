"""Transactions back to normalised JSON: what `normalised` reads, as the data sets write it.

In: a `TransactionRecord`. Out: the object that gives the same record again, field for field. What the record does not
tell is left out, or null where the form wants the field. Two things come out in one spelling whatever they were in:
the name of the chain (`NAMES`) and that of the unit (`satoshi` becomes `satoshi-equivalent integer`).
Refuses nothing but a chain that is not known, with BAD_INPUT.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.clock import from_micros
from gateway.formats import chains

Json = dict[str, object]

_FIRST: Final = {chain.caip2: name for name, chain in reversed([*chains.CHAINS.items()])}

NAMES: Final[Mapping[str, str]] = MappingProxyType(
    # The data sets write this one with an underscore.
    _FIRST | {chains.find("bitcoin-cash").caip2: "bitcoin_cash", chains.find("xrp").caip2: "xrp"}
)
"""One name a chain: of several, the first in the table of chains."""

UNSPENT_OUTPUTS: Final = frozenset({"bip122", "cip34", "monero"})
"""Families of chains of unspent outputs."""

UNITS: Final = MappingProxyType({"eip155": "wei", "solana": "lamport", "tezos": "mutez"})
TOKEN_UNIT: Final = "token base unit"  # noqa: S105  a unit
OTHER_UNIT: Final = "satoshi-equivalent integer"

_WORDS: Final[Mapping[str, Mapping[int, object]]] = MappingProxyType(
    {
        "eip155": {evidence.TRANSACTION_STATUS_APPLIED: 1, evidence.TRANSACTION_STATUS_FAILED: 0},
        "solana": {evidence.TRANSACTION_STATUS_APPLIED: "ok", evidence.TRANSACTION_STATUS_FAILED: "failed"},
    }
)
_OTHER_WORDS: Final[Mapping[int, object]] = MappingProxyType(
    {evidence.TRANSACTION_STATUS_APPLIED: "applied", evidence.TRANSACTION_STATUS_FAILED: "failed"}
)


def to_normalised(record: evidence.TransactionRecord) -> Json:
    """Return the record as normalised JSON.

    Raises:
        Refusal: BAD_INPUT, its chain is not known.
    """
    namespace = record.chain.partition(":")[0]
    chain = chains.find(record.chain)
    token = record.kind == evidence.TRANSACTION_KIND_TOKEN_TRANSFER
    found: Json = {"chain": NAMES[chain.caip2], "caip2": record.chain, "txid": record.txid}
    _add_position(found, record)
    found |= _block(record)
    found |= _movements(record)
    found["value_unit"] = TOKEN_UNIT if token else UNITS.get(namespace, OTHER_UNIT)
    if found.get("value") is not None and (token or namespace == "eip155"):
        found["asset"] = record.outputs[0].amount.asset
    told_by_chain = "coinbase" not in found and record.kind == evidence.TRANSACTION_KIND_UNSPECIFIED
    if record.status or told_by_chain:
        found["status"] = record.status_as_told or _WORDS.get(namespace, _OTHER_WORDS).get(record.status)
    _add_optional(found, record)
    found["source"] = record.source
    return found


def _add_position(found: Json, record: evidence.TransactionRecord) -> None:
    if record.HasField("log_index"):
        found["log_index"] = record.log_index
    if record.trace_address:
        found["trace_address"] = record.trace_address


def _block(record: evidence.TransactionRecord) -> Json:
    found: Json = {
        "block_height": record.block_height if record.HasField("block_height") else None,
        "block_hash": record.block_hash or None,
        "block_time": _time(record.block_time_us) if record.HasField("block_time_us") else None,
    }
    if record.HasField("block_index"):
        found["block_index"] = record.block_index
    if record.HasField("slot"):
        found["slot"] = record.slot
    if record.HasField("confirmations"):
        found["confirmations"] = record.confirmations
    return found


def _movements(record: evidence.TransactionRecord) -> Json:
    if record.chain.partition(":")[0] in UNSPENT_OUTPUTS:
        ends = {
            "inputs": [_end(end) | {"spent": end.spent or None} for end in record.inputs],
            "outputs": [*map(_end, record.outputs)],
        }
        return {"coinbase": not record.inputs, **ends}
    # One input and one output at once are what a chain of accounts has, and nothing else.
    if not record.inputs:
        return {"balance_changes": [*map(_change, record.balance_changes)]}
    (giver,), (taker,) = record.inputs, record.outputs
    found: Json = {"from": giver.address or None, "to": taker.address or None}
    return found | (
        {"value": taker.amount.base_units} if taker.HasField("amount") else {"value": None, "receipt": True}
    )


def _change(change: evidence.BalanceChange) -> Json:
    found: Json = {"address": change.address, "delta": change.delta}
    if "/slip44:" not in change.asset:
        found["asset"] = change.asset
        if change.HasField("decimals"):
            found["decimals"] = change.decimals
    return found


def _end(end: evidence.TransferEnd) -> Json:
    found: Json = {
        "address": end.address or None,
        "value": end.amount.base_units if end.HasField("amount") else None,
    }
    if end.HasField("index"):
        found["index"] = end.index
    if end.output_type:
        found["type"] = end.output_type
    return found


def _add_optional(found: Json, record: evidence.TransactionRecord) -> None:
    if record.HasField("nonce"):
        found["nonce"] = record.nonce
    if record.fee_payer:
        found["fee_payer"] = record.fee_payer
    if record.HasField("fee"):
        found["fee"] = record.fee.base_units
    if record.HasField("observed_at_us"):
        found["observed_at"] = _time(record.observed_at_us)
    if record.raw_hash:
        found["raw_hash"] = record.raw_hash.hex()


def _time(micros: int) -> str:
    return from_micros(micros).isoformat().replace("+00:00", "Z")
