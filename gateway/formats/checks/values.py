"""Values that mean the same wherever they stand: countries, currencies, days, identifiers, amounts, wallets.

In: any message. Notes values that their own standard does not have. Fields are known by their names, once for all
documents: a field named `country` holds a country. A test demands that every field with such a name is in the table.

Which address, asset or number is right is the business of `wallets`, `amounts`, `caip`, `lei` and `vocabularies`.
Persons are held to countries and days only: a certificate may know of somebody no more than a town, although IVMS101
wants a street; what an exchange read from IVMS101 was held to it then.
"""

from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Final, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import persons_pb2 as pb_persons

from gateway.errors import ErrorCode
from gateway.formats import amounts, caip, lei, vocabularies, wallets
from gateway.formats.checks import money
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code, refuse

Reader: TypeAlias = Callable[[str, str], object]


def country(text: str, where: str) -> None:
    """Read a country, as ISO 3166-1 writes it: EL and UK, which the EU writes, would be second names."""
    if vocabularies.country(text, where) != text:
        raise refuse(Code.COUNTRY, "ISO 3166-1 writes GR and GB", where)


def country_of_person(text: str, where: str) -> None:
    """Read a country, which IVMS101 allows to be unknown: XX."""
    vocabularies.country(text, where, unknown=True)


READERS: Final[MappingProxyType[str, Reader]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("country", "state", "issuing_state", "executing_state", "requested_state", "nationalities", "territories"),
            country,
        ),
        **dict.fromkeys(("country_of_issue", "country_of_residence", "country_of_registration"), country_of_person),
        **dict.fromkeys(("language", "languages", "translations"), vocabularies.language),
        **dict.fromkeys(
            (
                "date",
                "date_of_birth",
                "decided_on",
                "expected_on",
                "filed_on",
                "final_on",
                "order_date",
                "rate_date",
                "requested_on",
                "signed_on",
            ),
            vocabularies.day,
        ),
        "iban": lei.iban,
        "bic": lei.bic,
        "chain": caip.chain_id,
    }
)
"""What reads a text field of this name. An empty field is none: whether it may be, its own message says."""

WHOLE: Final = (
    evidence.AssetAmount.DESCRIPTOR,
    evidence.Valuation.DESCRIPTOR,
    evidence.Money.DESCRIPTOR,
    evidence.WalletIdentifier.DESCRIPTOR,
)
"""Messages with a reader of their own, which looks at all their fields."""

FUTURE_BLOCK_US: Final = 2 * 3_600_000_000
"""How far the time of a block may run ahead of the clocks: two hours on Bitcoin and its like, less elsewhere."""


def check_fields(sheet: Sheet, message: Message) -> None:
    """Read every text of a message whose name tells what it is, and note quantities of one asset that stand twice."""
    for field, found in message.ListFields():
        if field.message_type is not None and field.message_type.full_name == evidence.AssetAmount.DESCRIPTOR.full_name:
            _check_once(sheet, field.name, found if field.is_repeated else (found,))
        reader = _reader(field)
        if reader is None:
            continue
        for place, text in _texts(field, found):
            sheet.read(place, lambda where, text=text, reader=reader: reader(text, where))  # type: ignore[misc]


def _texts(field: FieldDescriptor, found: object) -> tuple[tuple[str, str], ...]:
    if isinstance(found, str):
        return ((field.name, found),)
    return tuple((f"{field.name}[{position}]", text) for position, text in enumerate(found))  # type: ignore[var-annotated, arg-type]


def _reader(field: FieldDescriptor) -> Reader | None:
    if field.type != FieldDescriptor.TYPE_STRING:
        return None
    of = field.containing_type
    if field.name == "country" and of is not None and of.file.name == pb_persons.DESCRIPTOR.name:
        return country_of_person
    return READERS.get(field.name)


def _check_once(sheet: Sheet, field: str, found: tuple[evidence.AssetAmount, ...]) -> None:
    """A list of quantities has one for each asset: two would leave it open which counts."""
    seen = set[str]()
    for each, amount in sheet.each(field, found):
        name = money.asset(amount.asset)
        each.need(Code.ASSET_TWICE, "asset", name not in seen, "two amounts of one asset in one list (house rule)")
        seen.add(name)


def check_amount(sheet: Sheet, amount: evidence.AssetAmount) -> None:
    """CAIP-19, ISO 24165, decimals of the coin, and a value that is quantity times rate."""
    sheet.read("", lambda where: amounts.check_amount(amount, where))


def check_money(sheet: Sheet, sum_of_money: evidence.Money) -> None:
    """ISO 4217."""
    sheet.read("", lambda where: amounts.check_money(sum_of_money, where))


def check_wallet(sheet: Sheet, wallet: evidence.WalletIdentifier) -> None:
    """Canonical form and checksum, computed anew; and the LEI of the provider."""
    sheet.read("", lambda where: wallets.check(wallet, where, ErrorCode.CONTENT_MISMATCH))


def check_transaction(sheet: Sheet, record: evidence.TransactionRecord) -> None:
    """One record: of one chain, and observed after it happened."""
    for field, asset in _assets(record):
        sheet.need(
            Code.TRANSACTION_ACROSS_CHAINS,
            f"{field}.asset",
            money.chain_of(asset) == record.chain,
            "an asset of another chain than the transaction (house rule)",
        )
    sheet.when(record.HasField("observed_at_us") and record.HasField("block_time_us")).need(
        Code.OBSERVED_BEFORE_BLOCK,
        "observed_at_us",
        record.observed_at_us >= record.block_time_us - FUTURE_BLOCK_US,
        "it was observed before its block was made (house rule)",
    )
    sheet.when(record.HasField("confirmations")).need(
        Code.CONFIRMATIONS_CONTRADICT,
        "confirmations",
        (record.confirmations > 0) == (record.block_hash != "" or record.HasField("slot")),
        "in a block it has at least one confirmation, that of the block itself, and else none (house rule)",
    )


def _assets(record: evidence.TransactionRecord) -> Iterator[tuple[str, str]]:
    """Return every asset that a record names, with its position."""
    for name, ends in (("inputs", record.inputs), ("outputs", record.outputs)):
        yield from ((f"{name}[{at}].amount", end.amount.asset) for at, end in enumerate(ends) if end.HasField("amount"))
    if record.HasField("fee"):
        yield "fee", record.fee.asset
    yield from ((f"balance_changes[{at}]", change.asset) for at, change in enumerate(record.balance_changes))


def check_change(sheet: Sheet, change: evidence.BalanceChange) -> None:
    """The asset and the decimals of a gain or loss, as those of any amount."""
    amount = evidence.AssetAmount(asset=change.asset, base_units="0")
    if change.HasField("decimals"):
        amount.decimals = change.decimals
    sheet.read("", lambda where: amounts.check_amount(amount, where))


RULES: Final = (
    on(evidence.BalanceChange, check_change),
    on(evidence.AssetAmount, check_amount),
    on(evidence.Money, check_money),
    on(evidence.WalletIdentifier, check_wallet),
    on(evidence.TransactionRecord, check_transaction),
)
