"""What one field of a message says, as the text of a row or of a cell.

In: a message and a field of it. Out: text, or None where the field takes more than one row. A mark that nobody may
overlook is said here too: a wallet that nobody can execute, a time limit that has run out.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import persons_pb2 as persons
from rogatory.v1 import selftest_pb2 as selftest

from gateway.clock import to_micros
from gateway.formats.page import words
from gateway.formats.page.model import Row

QUOTED: Final = "QUOTED - NOT EXECUTABLE"
OVERDUE: Final = "OVERDUE"
LATE: Final = "met late"
LINE: Final = "\n"

MERGED: Final = frozenset({"PersonConcerned.person", "Person.natural", "Person.legal", "SubscriberRecord.customer"})
"""Messages that only say more of the one they stand in: their rows are its rows."""

_IN_A_CELL: Final = frozenset(
    {"PostalAddress", "NationalIdentification", "Attribution", "TransferEnd", "BalanceChange", "Signature", "BatchPath"}
    | {"EnvelopeRef", "Slot", "Money", "AssetAmount", "Valuation", "NaturalPersonName", "LegalPersonName"}
)
_IN_SHORT: Final = frozenset({"sealed_payload", "envelope", "receipt", "attachments"})
"""Bytes of which a page shows how many and their digest: nobody can read them, and a test report has hundreds."""

_NOT_FOR_PAPER: Final = frozenset({"Attachment.sealed"})
"""It holds the key of a file, and nothing that a reader of the document needs."""

_TOLD_WITH_MEANING: Final = frozenset({"ClockRule", "Ground"})
"""Words of which also a cell of a table says the meaning: they are names of articles."""


def fields_of(message: Message) -> list[FieldDescriptor]:
    """Return the fields of a message, in the order of the contract."""
    return [*type_of(message).fields]


def messages_in(message: Message, field: FieldDescriptor) -> list[Message]:
    """Return the entries of a list of messages."""
    return [*getattr(message, field.name)]


def is_filled(message: Message, field: FieldDescriptor) -> bool:
    """Whether a field says something to be shown. Yes-or-no questions without a third answer always do."""
    if full_name(field) in _NOT_FOR_PAPER:
        return False
    if field.is_repeated:
        return len(getattr(message, field.name)) > 0
    if field.has_presence:
        return message.HasField(field.name)
    if full_name(field) == "WalletIdentifier.quoted_because":
        return True
    return field.type == FieldDescriptor.TYPE_BOOL or bool(getattr(message, field.name)) or _zero_counts(field)


def _zero_counts(field: FieldDescriptor) -> bool:
    """Whether 0 is a value like any other, as for a position."""
    return field.type == FieldDescriptor.TYPE_UINT32 and field.name in {
        "index",
        "sequence",
        "confidence",
        "basis_points",
    }


def takes_blocks(message: Message, field: FieldDescriptor) -> bool:
    """Whether a field takes more than one row of its message."""
    return is_filled(message, field) and full_name(field) not in MERGED and as_row(message, field, "") is None


def as_row(message: Message, field: FieldDescriptor, label: str) -> Row | None:
    """Return a field as one row, or None if it takes more."""
    if isinstance(message, evidence.WalletIdentifier) and field.name == "quoted_because":
        return Row(label, _standing_of(message), loud=is_quoted(message))
    if isinstance(message, pb.SignedEnvelope) and field.name == "header":
        return None if _header(message) else Row(label, "cannot be read", loud=True)
    if field.message_type is None and not field.is_repeated:
        value, note = _said(message, field)
        return Row(label, value, note)
    return Row(label, value_of(message, field, meaning=True)) if is_flat(field) else None


def value_of(message: Message, field: FieldDescriptor, *, meaning: bool = False) -> str:
    """Return a field as the text of one cell, an entry of a list a line."""
    if not is_filled(message, field):
        return ""
    if field.is_repeated:
        return "\n".join(_one(field, each, meaning=meaning) for each in getattr(message, field.name))
    if field.message_type is not None:
        return _one(field, getattr(message, field.name), meaning=meaning)
    value, note = _said(message, field)
    return f"{value}\n({note})" if note and (meaning or _needs_meaning(field)) else value


def _needs_meaning(field: FieldDescriptor) -> bool:
    return field.enum_type is not None and field.enum_type.name in _TOLD_WITH_MEANING


def _one(field: FieldDescriptor, value: object, *, meaning: bool) -> str:
    if isinstance(value, Message):
        return _message_in_a_cell(value)
    said, note = words.say(field, value)
    return f"{said} ({note})" if note and (meaning or _needs_meaning(field)) else said


def _message_in_a_cell(value: Message) -> str:
    match value:
        case evidence.Money():
            said = words.money(value)
        case evidence.AssetAmount():
            said = words.amount(value)
        case evidence.Valuation():
            said = words.valuation(value)
        case persons.NaturalPersonName():
            kind = words.enum(persons.NaturalPersonNameType.DESCRIPTOR, value.type)[0]
            said = f"{words.clean(', '.join(filter(None, [value.primary, value.secondary])))} ({kind})"
        case persons.LegalPersonName():
            said = f"{words.clean(value.name)} ({words.enum(persons.LegalPersonNameType.DESCRIPTOR, value.type)[0]})"
        case evidence.Attribution():
            claim = (
                f"{words.clean(value.source)}: {words.clean(value.label)}" if value.label else words.clean(value.source)
            )
            said = f"{claim}\n(confidence {value.confidence} of 100, {words.moment(value.at_us)})"
        case persons.PostalAddress() | persons.NationalIdentification():
            said = LINE.join(_told(value))
        case _:
            said = "; ".join(_told(value))
    return said


def _told(message: Message) -> Iterator[str]:
    """Yield each filled field of a small message as `label: value`."""
    for field in fields_of(message):
        if is_filled(message, field):
            yield f"{words.label(field)}: {value_of(message, field).replace(LINE, ', ')}"


def _said(message: Message, field: FieldDescriptor) -> tuple[str, str]:
    value = getattr(message, field.name)
    match message:
        case evidence.WalletIdentifier(chain=chain) if field.name == "chain":
            return words.chain(chain), ""
        case evidence.TransactionRecord(chain=chain) if field.name == "chain":
            return words.chain(chain), ""
        case evidence.AssetAmount() if field.name == "base_units":
            return _with_coins(message.asset, value, message), ""
        case evidence.BalanceChange() if field.name == "delta":
            return _with_coins(message.asset, value, message), ""
        case pb.SignedEnvelope() | selftest.TestAttempt() if field.name in _IN_SHORT:
            return f"{len(value)} bytes, SHA-256 {sha256(value).hexdigest()}", ""
        case _:
            return words.say(field, value)


def _with_coins(asset: str, units: str, of: evidence.AssetAmount | evidence.BalanceChange) -> str:
    coins = words.in_coins(asset, units, of.decimals if of.HasField("decimals") else None)
    return f"{coins} = {words.clean(units)} base units" if coins else f"{words.clean(units)} base units"


def columns(message: Message, names: Sequence[str]) -> str:
    """Return several fields as one cell: the first as it is, the others with their names."""
    lines = []
    shape = type_of(message)
    for name in names:
        field = shape.fields_by_name[name]
        if isinstance(message, evidence.WalletIdentifier) and name == "quoted_because":
            lines.append(_standing_of(message))
        elif name == "canonical" and lines == [
            message.canonical if isinstance(message, evidence.WalletIdentifier) else ""
        ]:
            lines.append(f"{words.label(field)}: as written")
        elif is_filled(message, field) and (value := value_of(message, field)):
            lines.append(value if name in {names[0], "chain_name", "txid"} else f"{words.label(field)}: {value}")
    return "\n".join(lines)


def is_quoted(message: Message) -> bool:
    """Whether a message is a wallet that is only quoted."""
    return isinstance(message, evidence.WalletIdentifier) and message.quoted_because != ""


def _standing_of(wallet: evidence.WalletIdentifier) -> str:
    return f"{QUOTED}\nrule {words.clean(wallet.quoted_because)}" if wallet.quoted_because else "executable"


def standing(clock: measures.Clock, now: datetime | None) -> tuple[str, str, bool]:
    """Return how a time limit stands, a note, and whether nobody may overlook it."""
    if clock.HasField("met_at_us"):
        late = clock.met_at_us > clock.due_us
        return (LATE if late else "met in time"), "", late
    if now is None:
        return "not met", "as the document says; it does not know what came later", False
    late = to_micros(now) > clock.due_us
    at = f"at {words.moment(to_micros(now))}"
    return (OVERDUE, at, True) if late else ("running", at, False)


def is_flat(field: FieldDescriptor) -> bool:
    """Whether a field can be said in one cell."""
    return field.message_type is None or field.message_type.name in _IN_A_CELL


def _header(envelope: pb.SignedEnvelope) -> bool:
    try:
        return bool(pb.Header.FromString(envelope.header).id)
    except DecodeError:
        return False


def name_of(message: Message) -> str:
    """Return the name of the person that a message is about, or nothing."""
    who = getattr(message, "person", None) or getattr(message, "customer", None) or getattr(message, "victim", None)
    if isinstance(who, Message) and not isinstance(who, persons.Person):
        who = getattr(who, "person", None)
    who = message if isinstance(message, persons.Person) else who
    return words.person(who) if isinstance(who, persons.Person) else ""


def full_name(field: FieldDescriptor) -> str:
    """Return a field with its message, e.g. `Trial.presence`."""
    kind = field.containing_type
    return f"{kind.name}.{field.name}" if kind is not None else field.name


def type_of(message: Message) -> Descriptor:
    """Return the descriptor of a message."""
    return message.DESCRIPTOR  # type: ignore[return-value]  # upb's own class is the same to its users
