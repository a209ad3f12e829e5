"""How one value is said to a person.

In: a value and the field that holds it. Out: text. Times are UTC, quantities exact, words those of the contract's
comments. Whatever is not printable is shown escaped: no text of a document may move a cursor or turn the direction of
what stands beside it.
"""

from types import MappingProxyType
from typing import Final

import pycountry
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import persons_pb2 as persons
from rogatory.v1.comments_pb2 import COMMENTS

from gateway.clock import from_micros
from gateway.formats import amounts, chains
from gateway.printable import printable

SYMBOLS: Final = MappingProxyType(
    {0: "BTC", 2: "LTC", 3: "DOGE", 5: "DASH", 60: "ETH", 61: "ETC", 118: "ATOM", 128: "XMR", 133: "ZEC", 144: "XRP"}
    | {145: "BCH", 148: "XLM", 195: "TRX", 354: "DOT", 434: "KSM", 501: "SOL", 607: "TON", 714: "BNB", 966: "POL"}
    | {1729: "XTZ", 1815: "ADA", 9005: "AVAX"}
)
"""Symbols of coins by their number in SLIP-44, of a chain's own coin only: of a token, a symbol says nothing."""

_ONE_COIN_EACH: Final = frozenset({118})
"""Numbers that several chains share for coins of different names; only the chain named after the coin has it."""

_NAMES: Final = MappingProxyType(
    {chain.caip2: name for name, chain in reversed([*chains.CHAINS.items()])} | {"xrpl:0": "xrpl"}  # or it were ripple
)

_COUNTRY_FIELDS: Final = frozenset(
    {"country", "state", "issuing_state", "executing_state", "requested_state", "nationalities", "territories"}
    | {"country_of_issue", "country_of_residence", "country_of_registration"}
)

_CAPITALS: Final = MappingProxyType(
    {"bic": "BIC", "blake3": "BLAKE3", "dti": "DTI", "eu": "EU", "fifo": "FIFO", "fiu": "FIU", "iban": "IBAN"}
    | {"id": "ID", "imei": "IMEI", "ip": "IP", "lei": "LEI", "lifo": "LIFO", "mac": "MAC"}
    | {
        "md5": "MD5",
        "sha1": "SHA1",
        "sha256": "SHA256",
        "sha512": "SHA512",
        "sha3": "SHA3",
        "uncac": "UNCAC",
        "urls": "URLs",
    }
)

LABELS: Final = MappingProxyType(
    {
        "Alternatives.allowed": "Alternative measures allowed",
        "Alternatives.description": "Which",
        "Assistance.type": "What is asked for",
        "Attachment.sha256": "SHA-256",
        "BankAccount.other": "Other account",
        "BatchPath.index": "Place in its batch",
        "BatchPath.size": "Size of its batch",
        "Clock.due_us": "Due",
        "Clock.met_at_us": "Met",
        "Clock.start_us": "Began",
        "Offence.maximum_sentence_months": "Maximum sentence",
        "ReviewDecision.maximum_sentence_months": "Maximum sentence",
        "Claim.loss_txids": "Transactions of the loss",
        "ConfiscationRequest.conversion_allowed": "Conversion into a sum of money allowed",
        "DataWindow.from_us": "From (inclusive)",
        "DataWindow.until_us": "Until (exclusive)",
        "Draft.salt": "Salt of the commitment",
        "FreezeScope.tolerance_basis_points": "Tolerance",
        "FreezeRequest.main_contact": "Main contact point",
        "FreezeResult.moved_in": "Moved in transactions",
        "IdentityDocument.country": "Issued by",
        "Offence.listed": "Listed offences (Art. 3(1))",
        "OtherState.action": "Action asked for",
        "ProofOfControl.checked_at_us": "Checked",
        "PropertySought.kind": "The order concerns",
        "PropertySought.total": "Total amount covered by the order",
        "RemedyInformation.other": "Other authority",
        "RemedyInformation.who": "Information is given by",
        "RestitutionClaim.decision": "Restitution decision issued",
        "Share.basis_points": "Share",
        "SeveralStates.sent": "Sent to other States",
        "SeveralStates.states": "Other States",
        "SpontaneousInformation.use": "Permitted use",
        "SharingStatement.rate_date": "Date of the rate",
        "TransactionRecord.txid": "Transaction hash",
        "WalletIdentifier.checksum_state": "Checksum",
        "WalletIdentifier.quoted_because": "Standing",
    }
)
"""Names of fields whose own name does not say enough beside their value."""


def clean(text: str) -> str:
    """Return a text with all that is not printable escaped; new lines stay."""
    return "\n".join(map(printable, text.split("\n")))


def label(field: FieldDescriptor) -> str:
    """Return the name of a field, e.g. `Order date`."""
    kind = field.containing_type
    own = LABELS.get(f"{kind.name}.{field.name}") if kind is not None else None
    return own or _sentence(field)


def _sentence(field: FieldDescriptor) -> str:
    if field.name == "at_us":
        return "When"
    name = field.name.removesuffix("_us") if _is_moment(field) else field.name
    # A State is written so where it is one: the state of a checksum is none.
    words = [_CAPITALS.get(word, word) for word in name.split("_")]
    if field.name in _COUNTRY_FIELDS:
        words = [word.replace("state", "State") for word in words]
    return words[0][:1].upper() + " ".join(words)[1:]


def _is_moment(field: FieldDescriptor) -> bool:
    return field.name.endswith("_us") and field.type == FieldDescriptor.TYPE_INT64


def say(field: FieldDescriptor, value: object) -> tuple[str, str]:
    """Return one scalar value as text, and what it means where the word alone does not say it."""
    if field.enum_type is not None and isinstance(value, int):
        return enum(field.enum_type, value)
    if isinstance(value, bool):
        return "yes" if value else "no", ""
    if isinstance(value, int):
        return number(field, value), ""
    if isinstance(value, bytes):
        return value.hex(), ""
    return text(field, str(value)), ""


def enum(kind: EnumDescriptor, number: int) -> tuple[str, str]:
    """Return the word of a value and its meaning, e.g. `yes`, or `2 terrorism` for a listed offence."""
    if number not in kind.values_by_number:
        return f"unknown value {number}", "not in our version of the contract"
    name = kind.values_by_number[number].name
    prefix = "".join(f"_{each}" if each.isupper() else each.upper() for each in kind.name).lstrip("_")
    word = " ".join(_CAPITALS.get(each, each) for each in name.removeprefix(f"{prefix}_").lower().split("_"))
    meaning = COMMENTS[f"{kind.name}.{name}"].removesuffix(".")
    if kind.name == "ListedOffence":  # people know these by the number and words of Art. 3(1)
        return f"{number} {meaning}", ""
    bare = meaning.casefold()
    for article in ("a ", "an ", "the "):
        bare = bare.removeprefix(article)
    # "M" for male says less than the word.
    return word, "" if bare == word.casefold() or len(bare) == 1 else meaning


def word(kind: EnumDescriptor, number: int) -> str:
    """Return the word of a value alone; empty where none is said."""
    return enum(kind, number)[0] if number else ""


def number(field: FieldDescriptor, value: int) -> str:
    """Return a number with its unit."""
    if _is_moment(field):
        return moment(value)
    if field.name.endswith("basis_points"):
        return f"{value // 100}.{value % 100:02} %"
    if field.name.endswith("_months"):
        return f"{value} months"
    return f"{value} bytes" if field.name == "size" and field.type == FieldDescriptor.TYPE_UINT64 else str(value)


def text(field: FieldDescriptor, value: str) -> str:
    """Return a text; a country with its name."""
    found = pycountry.countries.get(alpha_2=value) if field.name in _COUNTRY_FIELDS else None
    return f"{value} ({found.name})" if found is not None else clean(value)


def moment(micros: int) -> str:
    """Return microseconds since 1970 as ISO 8601, e.g. `2026-03-01T12:00:00Z`; what is in no calendar, as they are."""
    try:
        return from_micros(micros).isoformat().removesuffix("+00:00") + "Z"
    except OverflowError:
        return f"{micros} microseconds since 1970"


def chain(caip2: str) -> str:
    """Return a chain by name and id, by id alone if it has no name here."""
    return f"{_NAMES[caip2]}\n{caip2}" if caip2 in _NAMES else clean(caip2)


def money(sum_: evidence.Money) -> str:
    """Return a sum with its currency."""
    return f"{clean(sum_.amount)} {clean(sum_.currency)}"


def amount(quantity: evidence.AssetAmount) -> str:
    """Return a quantity: in coins where the coin is known beyond doubt, and in base units always."""
    units = f"{clean(quantity.base_units)} base units of {clean(quantity.asset)}"
    parts = [
        in_coins(quantity.asset, quantity.base_units, quantity.decimals if quantity.HasField("decimals") else None)
    ]
    parts.append(units if parts[0] else units + _decimals(quantity))
    if quantity.dti:
        parts.append(f"DTI {clean(quantity.dti)}")
    if quantity.HasField("valuation"):
        parts.append(valuation(quantity.valuation))
    return "\n".join(filter(None, parts))


def _decimals(quantity: evidence.AssetAmount) -> str:
    return f" ({quantity.decimals} decimals)" if quantity.HasField("decimals") else " (decimals not stated)"


def in_coins(asset: str, units: str, decimals: int | None) -> str:
    """Return a quantity of a chain's own coin with its symbol, e.g. `12.5 BTC`, or nothing if any doubt is left.

    Args:
        asset: CAIP-19 asset type.
        units: base units, with a minus for a loss.
        decimals: as the document says; must be those of the coin.
    """
    known = chains.known(asset.partition("/")[0])
    if known is None or asset != f"{known.caip2}/slip44:{known.slip44}" or decimals != known.decimals:
        return ""
    if known.slip44 not in SYMBOLS or (known.slip44 in _ONE_COIN_EACH and known.caip2 != chains.caip2("cosmos")):
        return ""
    sign = "-" if units.startswith("-") else ""
    return f"{sign}{amounts.from_units(units.removeprefix('-'), known.decimals)} {SYMBOLS[known.slip44]}"


def valuation(worth: evidence.Valuation) -> str:
    """Return what a quantity was worth, by which price."""
    method = enum(evidence.ValuationMethod.DESCRIPTOR, worth.method)[0]
    rate = f", rate {clean(worth.rate)}" if worth.rate else ""
    return f"worth {money(worth.value)} ({method}, {moment(worth.at_us)}{rate}; {clean(worth.source)})"


def person(who: persons.Person) -> str:
    """Return the first name of a person."""
    if who.WhichOneof("person") == "legal":
        return clean(who.legal.names[0].name) if who.legal.names else ""
    names = who.natural.names
    return clean(f"{names[0].secondary} {names[0].primary}".strip()) if names else ""
