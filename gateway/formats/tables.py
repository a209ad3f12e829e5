"""Transaction records as rows of two tables, for those who count and draw.

In: `TransactionRecord`s. Out: one row of `TRANSACTIONS` for each record, and one of `MOVEMENTS` for each input, output
or change of balance; `record`, the number of the record in the export, joins them. Amounts are decimal texts of base
units: 78 digits fit no number of a table, and a float would lose them. What a record does not tell is None, never
nought.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.clock import from_micros

Cell = str | int | datetime | None
Row = tuple[Cell, ...]

TRANSACTIONS: Final[tuple[tuple[str, type], ...]] = (
    ("record", int),
    ("chain", str),
    ("txid", str),
    ("kind", str),
    ("log_index", int),
    ("trace_address", str),
    ("status", str),
    ("status_as_told", str),
    ("block_height", int),
    ("block_hash", str),
    ("block_time", datetime),
    ("block_index", int),
    ("slot", int),
    ("confirmations", int),
    ("nonce", int),
    ("fee_payer", str),
    ("fee_asset", str),
    ("fee_base_units", str),
    ("fee_decimals", int),
    ("source", str),
    ("observed_at", datetime),
    ("raw_hash", str),
)
"""Columns and what is in them."""

MOVEMENTS: Final[tuple[tuple[str, type], ...]] = (
    ("record", int),
    ("chain", str),
    ("txid", str),
    ("direction", str),
    ("position", int),
    ("address", str),
    ("asset", str),
    ("base_units", str),
    ("decimals", int),
    ("output_index", int),
    ("spent", str),
    ("output_type", str),
)
"""`direction` is `in`, `out`, or `change`, where `base_units` has a sign."""

_KIND: Final = len("TRANSACTION_KIND_")
_STATUS: Final = len("TRANSACTION_STATUS_")


def transaction_row(number: int, record: evidence.TransactionRecord) -> Row:
    """Return the row of one record.

    Args:
        number: its number in the export.
        record: the record.
    """
    kind = evidence.TransactionKind.Name(record.kind)[_KIND:].lower() if record.kind else "transaction"
    fee = _amount(record.fee) if record.HasField("fee") else (None, None, None)
    return (
        number,
        record.chain,
        record.txid,
        kind,
        record.log_index if record.HasField("log_index") else None,
        record.trace_address or None,
        evidence.TransactionStatus.Name(record.status)[_STATUS:].lower() if record.status else None,
        record.status_as_told or None,
        record.block_height if record.HasField("block_height") else None,
        record.block_hash or None,
        from_micros(record.block_time_us) if record.HasField("block_time_us") else None,
        record.block_index if record.HasField("block_index") else None,
        record.slot if record.HasField("slot") else None,
        record.confirmations if record.HasField("confirmations") else None,
        record.nonce if record.HasField("nonce") else None,
        record.fee_payer or None,
        *fee,
        record.source,
        from_micros(record.observed_at_us) if record.HasField("observed_at_us") else None,
        record.raw_hash.hex() or None,
    )


def movement_rows(number: int, record: evidence.TransactionRecord) -> Iterator[Row]:
    """Return the rows of what one record says moved.

    Args:
        number: its number in the export.
        record: the record.
    """
    head = (number, record.chain, record.txid)
    for direction, ends in (("in", record.inputs), ("out", record.outputs)):
        for position, end in enumerate(ends):
            amount = _amount(end.amount) if end.HasField("amount") else (None, None, None)
            index = end.index if end.HasField("index") else None
            rest = (index, end.spent or None, end.output_type or None)
            yield (*head, direction, position, end.address or None, *amount, *rest)
    for position, change in enumerate(record.balance_changes):
        decimals = change.decimals if change.HasField("decimals") else None
        amount = (change.asset, change.delta, decimals)
        yield (*head, "change", position, change.address, *amount, None, None, None)


def _amount(amount: evidence.AssetAmount) -> tuple[str, str, int | None]:
    return amount.asset, amount.base_units, amount.decimals if amount.HasField("decimals") else None
