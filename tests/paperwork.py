"""Documents of one small case, each complete and each fitting the others."""

from collections.abc import Sequence
from typing import Any

from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties

BLOCK = ids.MEASURE_BLOCK_WITHDRAWAL
TRANSACTIONAL = ids.DATA_CLASS_TRANSACTIONAL
BITCOIN = "bip122:000000000019d6689c085ae165831e93"

COURT = parties.Authority(name="Landgericht Frankfurt am Main", file_number="26-1")
ISSUER = parties.CompetentAuthority(
    name="Harju Maakohus",
    file_number="26-1",
    official="Mart Soosaar",
    country="EE",
    type=parties.AUTHORITY_TYPE_INVESTIGATING_JUDGE,
    signed_on="2026-11-20",
)
NO = parties.YES_OR_NO_NO
URGENT = certificates.UrgencyRequest(
    grounds=[certificates.URGENCY_GROUND_REMOVAL_OR_DESTRUCTION], explanation="it is moving"
)


def wallet(address: str = "1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9w") -> evidence.WalletIdentifier:
    return evidence.WalletIdentifier(
        chain=BITCOIN,
        address=address,
        canonical=address,
        checksum_state=evidence.CHECKSUM_STATE_VALID,
        custody=evidence.CUSTODY_CUSTODIAL,
    )


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


def request(**changes: Any) -> certificates.FreezeRequest:
    fields: dict[str, Any] = {
        "issuing_state": "EE",
        "executing_state": "DE",
        "issuing_authority": ISSUER,
        "order_reference": "26-1-A",
        "order_date": "2026-11-20",
        "offence": certificates.Offence(
            facts="fraud",
            provisions="s 209",
            listed=[certificates.LISTED_OFFENCE_SWINDLING],
            maximum_sentence_months=60,
        ),
        "grounds": "the proceeds went there",
        "wallets": [wallet()],
        "measures": [BLOCK],
        "data_classes": [TRANSACTIONAL],
        "property": certificates.PropertySought(
            kind=certificates.PROPERTY_KIND_ITEM,
            items=[
                certificates.PropertyItem(
                    ground=certificates.LOCATION_GROUND_LOCATED, description="what the wallets hold", location="Germany"
                )
            ],
        ),
        "several_states": certificates.SeveralStates(sent=NO),
        "confiscation": certificates.ConfiscationPlan(stay_frozen=True),
        "alternatives": certificates.Alternatives(allowed=NO),
        "restitution": certificates.RestitutionClaim(decision=NO, demand_pending=NO),
        "remedies": certificates.RemedyInformation(who=certificates.INFORMING_AUTHORITY_ISSUING),
    }
    return certificates.FreezeRequest(**fields | changes)


def decision(**changes: Any) -> orders.ReviewDecision:
    fields: dict[str, Any] = {
        "outcome": ids.OUTCOME_GRANTED,
        "court": COURT,
        "dual_criminality": ids.DUAL_CRIMINALITY_LISTED_OFFENCE,
        "listed_offence": certificates.LISTED_OFFENCE_SWINDLING,
        "maximum_sentence_months": 60,
        "reasons": "all conditions are met",
        "measures": [BLOCK],
        "data_classes": [TRANSACTIONAL],
    }
    fields |= changes
    if fields.get("ground"):
        applies = orders.GroundConsidered(ground=fields["ground"], applies=True, reasons="see above")
        fields = {"considered": [applies], "consultation": "by telephone on 20 November 2026"} | fields
    if fields["dual_criminality"] != ids.DUAL_CRIMINALITY_LISTED_OFFENCE:
        fields |= {"listed_offence": certificates.LISTED_OFFENCE_UNSPECIFIED, "conduct": "taking money for nothing"}
    return orders.ReviewDecision(**fields)


def order(**changes: Any) -> orders.DomesticOrder:
    fields: dict[str, Any] = {
        "court": COURT,
        "legal_basis": "s 111b StPO",
        "wallets": [wallet()],
        "measures": [BLOCK],
        "data_classes": [TRANSACTIONAL],
        "remedies": "complaint within two weeks",
        "scope": measures.FreezeScope(
            target=measures.FREEZE_TARGET_CUSTODIAL_ACCOUNT,
            extent=measures.FREEZE_EXTENT_FULL,
            blocked=[measures.ACCOUNT_ACTION_WITHDRAW],
        ),
    }
    return orders.DomesticOrder(**fields | changes)


def result(
    status: orders.FreezeStatus.ValueType = orders.FREEZE_STATUS_FROZEN,
    of: evidence.WalletIdentifier | None = None,
    frozen: Sequence[evidence.AssetAmount] = (),
) -> orders.FreezeResult:
    return orders.FreezeResult(
        wallet=of or wallet(),
        status=status,
        frozen=frozen,
        shortfall=[bitcoin("1")] if status == orders.FREEZE_STATUS_PARTIALLY_FROZEN else [],
        moved_in=["ef" * 32] if status == orders.FREEZE_STATUS_ALREADY_MOVED else [],
    )


def report(**changes: Any) -> orders.ExecutionReport:
    fields: dict[str, Any] = {
        "outcome": ids.OUTCOME_GRANTED,
        "results": [result(frozen=[bitcoin("5")])],
        "measures": [BLOCK],
        "data_classes": [TRANSACTIONAL],
        "transactions": [transaction()],
    }
    return orders.ExecutionReport(**fields | changes)
