"""Documents of one small case, each complete and each fitting the others."""

from collections.abc import Sequence
from typing import Any

from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

BLOCK = ids.MEASURE_BLOCK_WITHDRAWAL
TRANSACTIONAL = ids.DATA_CLASS_TRANSACTIONAL
BITCOIN = "bip122:000000000019d6689c085ae165831e93"

AUTHORITY = orders.Authority(name="Riigiprokuratuur", file_number="26-1")


def wallet(address: str = "1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9w") -> evidence.WalletIdentifier:
    return evidence.WalletIdentifier(chain=BITCOIN, address=address, custody=evidence.CUSTODY_CUSTODIAL)


def bitcoin(base_units: str) -> evidence.AssetAmount:
    return evidence.AssetAmount(asset=f"{BITCOIN}/slip44:0", base_units=base_units, decimals=8)


def transaction(txid: str = "ab" * 32) -> evidence.TransactionRecord:
    return evidence.TransactionRecord(
        chain=BITCOIN,
        txid=txid,
        block_height=1,
        block_hash="cd" * 32,
        outputs=[evidence.TransferEnd(address="1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9w", amount=bitcoin("5"))],
        source="ledger",
    )


def request(**changes: Any) -> orders.FreezeRequest:
    fields: dict[str, Any] = {
        "issuing_authority": AUTHORITY,
        "validating_authority": AUTHORITY,
        "offence": orders.Offence(facts="fraud", provisions="s 209", listed_category=20, maximum_sentence_months=60),
        "grounds": "the proceeds went there",
        "wallets": [wallet()],
        "measures": [BLOCK],
        "data_classes": [TRANSACTIONAL],
    }
    return orders.FreezeRequest(**fields | changes)


def decision(**changes: Any) -> orders.ReviewDecision:
    fields: dict[str, Any] = {
        "outcome": ids.OUTCOME_GRANTED,
        "court": AUTHORITY,
        "dual_criminality": orders.DUAL_CRIMINALITY_LISTED_OFFENCE,
        "reasons": "all conditions are met",
        "measures": [BLOCK],
        "data_classes": [TRANSACTIONAL],
    }
    return orders.ReviewDecision(**fields | changes)


def order(**changes: Any) -> orders.DomesticOrder:
    fields: dict[str, Any] = {
        "court": AUTHORITY,
        "legal_basis": "s 111b StPO",
        "wallets": [wallet()],
        "measures": [BLOCK],
        "data_classes": [TRANSACTIONAL],
        "remedies": "complaint within two weeks",
    }
    return orders.DomesticOrder(**fields | changes)


def result(
    status: orders.FreezeStatus.ValueType = orders.FREEZE_STATUS_FROZEN,
    of: evidence.WalletIdentifier | None = None,
    frozen: Sequence[evidence.AssetAmount] = (),
) -> orders.FreezeResult:
    return orders.FreezeResult(wallet=of or wallet(), status=status, frozen=frozen)


def report(**changes: Any) -> orders.ExecutionReport:
    fields: dict[str, Any] = {
        "outcome": ids.OUTCOME_GRANTED,
        "results": [result(frozen=[bitcoin("5")])],
        "measures": [BLOCK],
        "data_classes": [TRANSACTIONAL],
        "transactions": [transaction()],
    }
    return orders.ExecutionReport(**fields | changes)
