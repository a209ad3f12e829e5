"""What the people of the demo write: invented facts, real wallets, real transactions.

The exchange's books are invented: every third wallet is a customer of its, with a balance above 2^64 base units now and
then, as real ones have. The transaction records are real and published; they stand in for the exchange's own.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties

from gateway.clock import Clock, to_micros
from gateway.errors import ErrorCode, Refusal
from gateway.formats import chains, reading, transactions, wallets

MEASURES: Final = (ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION)
DATA_CLASSES: Final = (ids.DATA_CLASS_TRANSACTIONAL, ids.DATA_CLASS_BALANCE)
GRANTED_CLASSES: Final = (ids.DATA_CLASS_TRANSACTIONAL,)
"""The court grants the freeze and the transactions, and leaves the balances out."""
COURT: Final = parties.Authority(
    name="Landgericht Frankfurt am Main", file_number="5/12 Qs 1/26", official="Dr. B. Vogel"
)
ORDERING: Final = parties.Authority(name="Landgericht Frankfurt am Main", file_number="5/12 Gs 88/26")
"""The same court as an exchange sees it: with the number of its order, and not that of the file on the request."""
PROSECUTOR: Final = parties.CompetentAuthority(
    name="Riigiprokuratuur",
    file_number="KrMS-1",
    official="A. Tamm",
    post="prosecutor",
    country="EE",
    type=parties.AUTHORITY_TYPE_PROSECUTOR,
    languages=["et", "en"],
    signed_on="2026-11-20",
)
JUDGE: Final = parties.CompetentAuthority(
    name="Harju Maakohus",
    file_number="1-26-1044",
    official="M. Lepp",
    post="judge in charge of preliminary investigations",
    country="EE",
    type=parties.AUTHORITY_TYPE_INVESTIGATING_JUDGE,
    signed_on="2026-11-20",
)
"""Validates: a prosecutor alone may not ask for traffic data ((EU) 2023/1543 Art. 4(2))."""
MINISTRY: Final = parties.CompetentAuthority(
    name="Justiitsministeerium",
    file_number="JM-7",
    official="K. Saar",
    country="EE",
    type=parties.AUTHORITY_TYPE_CENTRAL,
)
OFFENCE: Final = certificates.Offence(
    facts="Proceeds of a fraud against pensioners were moved through the wallets listed.",
    provisions="KarS § 209, § 394",
    listed=[certificates.LISTED_OFFENCE_FRAUD, certificates.LISTED_OFFENCE_LAUNDERING],
    maximum_sentence_months=120,
    stage="Pre-trial investigation.",
)
ORDER_REFERENCE: Final = "KrMS-1-A"
MISTAKEN_ORDER: Final = "KrMS-7-C"
WALLETS_A_REQUEST: Final = 500
CUSTOMER_EVERY: Final = 3
MAX_LIST_BYTES: Final = 64 << 20

_DATA: Final = resources.files("gateway.cli.demo") / "data"


def read_wallets(path: Path | None) -> list[evidence.WalletIdentifier]:
    """Read a list of `{chain, address}`; by default a part of a real sanctions list.

    Raises:
        Refusal: BAD_INPUT, with the position of the first entry that is wrong.
    """
    if path is None:
        raw = (_DATA / "wallets.json").read_bytes()
    else:
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_LIST_BYTES + 1)
        except OSError as error:
            raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", "wallets") from error
        if len(raw) > MAX_LIST_BYTES:
            raise Refusal(ErrorCode.BAD_INPUT, f"{path} is over {MAX_LIST_BYTES} bytes", "wallets")
    found = wallets.identifiers(reading.load(raw))
    if found.refused:
        raise found.refused[0]
    if not found.read:
        raise Refusal(ErrorCode.BAD_INPUT, "the list is empty", "wallets")
    return [*found.read]


def read_transactions() -> list[evidence.TransactionRecord]:
    """Return the real records that stand in for the exchange's."""
    return [*transactions.records(reading.load((_DATA / "transactions.json").read_bytes())).read]


def request(
    asked: Sequence[evidence.WalletIdentifier], *, listed: bool = True, reference: str = ORDER_REFERENCE
) -> certificates.FreezeRequest:
    """Return the certificate of an Estonian prosecutor; unlisted, its offence is one that Germany does not know."""
    offence = OFFENCE
    if not listed:
        offence = certificates.Offence(
            facts="Failure to file quarterly statements on time, four times in a row.",
            provisions="a local by-law",
            maximum_sentence_months=36,
        )
    return certificates.FreezeRequest(
        issuing_state="EE",
        executing_state="DE",
        issuing_authority=PROSECUTOR,
        validating_authority=JUDGE,
        main_contact=certificates.INFORMING_AUTHORITY_ISSUING,
        central_authority=MINISTRY,
        order_reference=reference,
        order_date="2026-11-20",
        urgency=certificates.UrgencyRequest(
            grounds=[certificates.URGENCY_GROUND_REMOVAL_OR_DESTRUCTION],
            explanation="The funds can leave within minutes.",
        ),
        offence=offence,
        grounds="The addresses are on a sanctions list; an exchange in Germany serves some of their owners.",
        wallets=asked,
        property=certificates.PropertySought(
            kind=certificates.PROPERTY_KIND_ITEM,
            items=[
                certificates.PropertyItem(
                    ground=certificates.LOCATION_GROUND_BELIEVED,
                    grounds="The exchange serves some of the owners of these addresses.",
                    description="Crypto-assets held behind the wallets listed.",
                    location="An exchange in Germany.",
                )
            ],
        ),
        several_states=certificates.SeveralStates(sent=parties.YES_OR_NO_NO),
        confiscation=certificates.ConfiscationPlan(stay_frozen=True, expected_on="2027-06-30"),
        alternatives=certificates.Alternatives(allowed=parties.YES_OR_NO_NO),
        restitution=certificates.RestitutionClaim(decision=parties.YES_OR_NO_NO, demand_pending=parties.YES_OR_NO_NO),
        remedies=certificates.RemedyInformation(who=certificates.INFORMING_AUTHORITY_ISSUING),
    )


def decision(
    granted: Sequence[ids.Measure.ValueType],
    data_classes: Sequence[ids.DataClass.ValueType],
    outcome: ids.Outcome.ValueType = ids.OUTCOME_GRANTED,
) -> orders.ReviewDecision:
    """Return the decision of a German court that grants, wholly or in part, on a listed offence."""
    return orders.ReviewDecision(
        outcome=outcome,
        court=COURT,
        dual_criminality=ids.DUAL_CRIMINALITY_LISTED_OFFENCE,
        listed_offence=certificates.LISTED_OFFENCE_LAUNDERING,
        maximum_sentence_months=120,
        domestic_provision="§ 261 StGB",
        reasons="Laundering of proceeds is a listed offence with a maximum of ten years in the issuing State.",
        proportionality="The suspicion is grave. What the measure needs is granted, and no data beyond that.",
        measures=granted,
        data_classes=data_classes,
    )


def refusal() -> orders.ReviewDecision:
    """Return the decision of a German court that the conduct is no offence in Germany."""
    return orders.ReviewDecision(
        outcome=ids.OUTCOME_REFUSED,
        ground=ids.GROUND_NO_DUAL_CRIMINALITY,
        court=COURT,
        dual_criminality=ids.DUAL_CRIMINALITY_ABSENT,
        conduct="A quarterly statement was not filed on time.",
        considered=[
            orders.GroundConsidered(
                ground=ids.GROUND_NO_DUAL_CRIMINALITY, applies=True, reasons="No provision of German law covers it."
            )
        ],
        consultation="The issuing authority was asked and has answered; both are in the file.",
        reasons="The conduct described is no offence under German law.",
    )


def order(asked: Sequence[evidence.WalletIdentifier]) -> orders.DomesticOrder:
    """Return the court's order to an exchange: German law, German reference, nothing else."""
    return orders.DomesticOrder(
        court=ORDERING,
        legal_basis="§ 111b, § 111e StPO",
        wallets=[wallets.without_origin(wallet) for wallet in asked],
        measures=MEASURES,
        data_classes=GRANTED_CLASSES,
        remedies="Beschwerde to this court, § 304 StPO.",
        confidentiality=measures.Confidentiality(level=measures.CONFIDENTIALITY_LEVEL_NO_TIPPING_OFF),
        scope=measures.FreezeScope(
            target=measures.FREEZE_TARGET_CUSTOMER,
            extent=measures.FREEZE_EXTENT_FULL,
            blocked=[measures.ACCOUNT_ACTION_WITHDRAW, measures.ACCOUNT_ACTION_CONVERT],
            allowed=[measures.ACCOUNT_ACTION_DEPOSIT],
            stop_pending_withdrawals=True,
        ),
    )


def freeze(ordered: orders.DomesticOrder, clock: Clock) -> list[orders.FreezeResult]:
    """Look every wallet up in the exchange's invented books, and freeze what is there."""
    books: dict[tuple[str, ...], orders.FreezeResult] = {}
    for wallet in ordered.wallets:
        key, number = wallets.key(wallet), len(books)
        if key in books:
            continue
        if number % CUSTOMER_EVERY or not wallets.is_executable(wallet):
            books[key] = orders.FreezeResult(wallet=wallet, status=orders.FREEZE_STATUS_NOT_FOUND)
            continue
        chain = chains.find(wallet.chain)
        # A few coins each: 2^64 base units and more are everyday on Ethereum, where 19 ether are above it.
        units = (number + 1) * 7 * 10**chain.decimals
        amount = evidence.AssetAmount(asset=chain.native, base_units=str(units), decimals=chain.decimals)
        books[key] = orders.FreezeResult(
            wallet=wallet,
            status=orders.FREEZE_STATUS_FROZEN,
            frozen=[amount],
            frozen_at_us=to_micros(clock()),
        )
    return [_about(wallet, books[wallets.key(wallet)]) for wallet in ordered.wallets]


def _about(wallet: evidence.WalletIdentifier, result: orders.FreezeResult) -> orders.FreezeResult:
    copy = orders.FreezeResult()
    copy.CopyFrom(result)
    copy.wallet.CopyFrom(wallet)
    return copy
