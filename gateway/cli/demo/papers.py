"""What the people of the demo write: invented facts, real wallets, real transactions.

The exchange's books are invented: every third wallet is a customer of its, with a balance above 2^64 base units now and
then, as real ones have. The transaction records are real and published; they stand in for the exchange's own.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

from gateway.clock import Clock, to_micros
from gateway.errors import ErrorCode, Refusal
from gateway.formats import chains, documents, reading, transactions, wallets

MEASURES: Final = (ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION)
DATA_CLASSES: Final = (ids.DATA_CLASS_TRANSACTIONAL, ids.DATA_CLASS_BALANCE)
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


def request(asked: Sequence[evidence.WalletIdentifier], *, listed: bool = True) -> orders.FreezeRequest:
    """Return the request of an Estonian prosecutor; unlisted, its offence is one that Germany does not know."""
    offence = orders.Offence(
        facts="Proceeds of a fraud against pensioners were moved through the wallets listed.",
        provisions="KarS § 209, § 394",
        listed_category=9,
        maximum_sentence_months=120,
    )
    if not listed:
        offence = orders.Offence(
            facts="Failure to file a quarterly statement on time.",
            provisions="a local by-law",
            maximum_sentence_months=6,
        )
    return orders.FreezeRequest(
        issuing_authority=orders.Authority(name="Riigiprokuratuur", file_number="KrMS-1", official="A. Tamm"),
        validating_authority=orders.Authority(name="Justiitsministeerium", file_number="JM-7", official="K. Saar"),
        offence=offence,
        grounds="The addresses are on a sanctions list; an exchange in Germany serves some of their owners.",
        wallets=asked,
        urgency_grounds="The funds can leave within minutes.",
    )


def decision(*, granted: bool) -> orders.ReviewDecision:
    """Return the decision of a German court."""
    court = orders.Authority(name="Landgericht Frankfurt am Main", file_number="5/12 Qs 1/26", official="Dr. B. Vogel")
    if granted:
        return orders.ReviewDecision(
            outcome=ids.OUTCOME_GRANTED,
            court=court,
            dual_criminality=orders.DUAL_CRIMINALITY_LISTED_OFFENCE,
            domestic_provision="§ 261 StGB",
            reasons="Laundering of proceeds is a listed offence with a maximum of ten years in the issuing State.",
            measures=MEASURES,
            data_classes=DATA_CLASSES,
        )
    return orders.ReviewDecision(
        outcome=ids.OUTCOME_REFUSED,
        ground=ids.GROUND_NO_DUAL_CRIMINALITY,
        court=court,
        dual_criminality=orders.DUAL_CRIMINALITY_ABSENT,
        reasons="The conduct described is no offence under German law.",
    )


def order(asked: Sequence[evidence.WalletIdentifier]) -> orders.DomesticOrder:
    """Return the court's order to an exchange: German law, German reference, nothing else."""
    return orders.DomesticOrder(
        court=orders.Authority(name="Landgericht Frankfurt am Main", file_number="5/12 Gs 88/26"),
        legal_basis="§ 111b, § 111e StPO",
        wallets=asked,
        measures=MEASURES,
        data_classes=DATA_CLASSES,
        remedies="Beschwerde to this court, § 304 StPO.",
        confidential=True,
    )


def freeze(ordered: orders.DomesticOrder, clock: Clock) -> list[orders.FreezeResult]:
    """Look every wallet up in the exchange's invented books, and freeze what is there."""
    books: dict[tuple[str, ...], orders.FreezeResult] = {}
    for wallet in ordered.wallets:
        key, number = documents.wallet_key(wallet), len(books)
        if key in books:
            continue
        if number % CUSTOMER_EVERY or not wallet.chain:
            books[key] = orders.FreezeResult(wallet=wallet, status=orders.FREEZE_STATUS_NOT_FOUND)
            continue
        chain = chains.find(wallet.chain)
        # 2^64 base units and more are everyday on Ethereum: 40 ether are above it.
        amount = evidence.AssetAmount(asset=chain.native, base_units=str((number + 1) * 7**25), decimals=chain.decimals)
        books[key] = orders.FreezeResult(
            wallet=wallet,
            status=orders.FREEZE_STATUS_FROZEN,
            frozen=[amount],
            frozen_at_us=to_micros(clock()),
        )
    return [_about(wallet, books[documents.wallet_key(wallet)]) for wallet in ordered.wallets]


def _about(wallet: evidence.WalletIdentifier, result: orders.FreezeResult) -> orders.FreezeResult:
    copy = orders.FreezeResult()
    copy.CopyFrom(result)
    copy.wallet.CopyFrom(wallet)
    return copy
