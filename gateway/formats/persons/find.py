"""IVMS101 anywhere in a JSON document.

In: a document as it came from an exchange: a bare payload, one in an envelope (`IVMS101`, `identity`, `entity`), a list
with persons among other things. Out: every outermost part that is IVMS101, with its position. A part is known by fields
that only the standard has, never by where it stands: what else the document holds is not ours to judge.
Refuses, with NO_IVMS101, a document without any such part: it may be good, but not of this format. What is sealed (the
`payload` of a TRISA envelope) is not opened.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum, unique
from types import MappingProxyType
from typing import Final, TypeAlias

from rogatory.v1 import persons_pb2 as pb

from gateway.formats import reading
from gateway.formats.codes import Code, refuse
from gateway.formats.persons.fields import get, is_empty, names_of, position
from gateway.formats.persons.read import PERSON, Reader
from gateway.formats.persons.vocabulary import PAYLOAD_TYPE

Message: TypeAlias = (
    pb.IdentityPayload
    | pb.TransferParty
    | pb.Person
    | pb.NaturalPerson
    | pb.LegalPerson
    | pb.PostalAddress
    | pb.NationalIdentification
)

MAX_DEPTH: Final = 64
"""How deep a document is searched; IVMS101 itself is nine deep."""


@unique
class Kind(Enum):
    """Components of the standard that are met on their own."""

    PAYLOAD = "IdentityPayload"
    ORIGINATOR = "Originator"
    BENEFICIARY = "Beneficiary"
    PERSON = "Person"
    NATURAL = "NaturalPerson"
    LEGAL = "LegalPerson"
    ADDRESS = "Address"
    IDENTIFICATION = "NationalIdentification"


@dataclass(frozen=True, slots=True)
class Part:
    """One component in a document.

    Args:
        kind: what it is.
        value: its JSON.
        where: its position, e.g. `[18][5]` or `.identity`.
    """

    kind: Kind
    value: object
    where: str

    def read(self, today: date) -> Message:
        """Read it.

        Args:
            today: the day before which everybody was born (C2).

        Raises:
            Refusal: BAD_INPUT, with the field and the rule.
        """
        made = _READ[self.kind](Reader(today), self.value, self.where)
        reading.check(made, self.where)
        return made


def document(value: object, today: date, where: str = "") -> tuple[tuple[Part, Message], ...]:
    """Read every part of a document.

    Args:
        value: the JSON value.
        today: the day before which everybody was born (C2).
        where: its position, for the refusal.

    Raises:
        Refusal: BAD_INPUT, rule NO_IVMS101 if there is no part, or the first refusal of a part.
    """
    parts = find(value, where)
    if not parts:
        raise refuse(Code.NO_IVMS101, "nothing in it is IVMS101, or it is sealed", where)
    return tuple((part, part.read(today)) for part in parts)


def find(value: object, where: str = "") -> tuple[Part, ...]:
    """Return the outermost parts of a document that are IVMS101, in its order."""
    found: list[Part] = []
    _search(value, where, MAX_DEPTH, found)
    return tuple(found)


def _search(value: object, where: str, depth: int, found: list[Part]) -> None:
    kind = _kind(value)
    if kind:
        found.append(Part(kind, value, where))
    elif depth and isinstance(value, dict):
        for name, each in value.items():
            _search(each, position(where, name), depth - 1, found)
    elif depth and isinstance(value, list):
        for index, each in enumerate(value):
            _search(each, f"{where}[{index}]", depth - 1, found)


_SIDES: Final = frozenset({"originator_persons", "beneficiary_persons"})
_PERSONS: Final = frozenset({"natural_person", "legal_person"})
_PAYLOAD: Final = MappingProxyType(
    {
        "originator": _SIDES,
        "beneficiary": _SIDES,
        "originating_vasp": _PERSONS | {"originating_vasp"},
        "beneficiary_vasp": _PERSONS | {"beneficiary_vasp"},
    }
)
_BODY: Final = frozenset({"addresses", "national_identification", "customer_identification"})
_NATURAL: Final = frozenset({"date_and_place_of_birth", "country_of_residence"})
_LEGAL: Final = frozenset({"country_of_registration"})


def _kind(value: object) -> Kind | None:
    names = names_of(value)
    if _is_payload(value, names):
        return Kind.PAYLOAD
    # `legal_person` is also what a record about a firm calls its part; that record is no Person, but holds one.
    if names & _PERSONS and names <= PERSON:
        return Kind.PERSON
    for kind, marks in _MARKS:
        if names & marks:
            return kind
    if "name_identifiers" in names_of(get(value, "name")):
        return Kind.LEGAL if names & _LEGAL or _names_a_firm(get(value, "name")) else Kind.NATURAL
    if "name" in names and names & _BODY and names & (_NATURAL | _LEGAL):
        return Kind.NATURAL if names & _NATURAL else Kind.LEGAL
    return None


_MARKS: Final = (
    (Kind.ORIGINATOR, frozenset({"originator_persons"})),
    (Kind.BENEFICIARY, frozenset({"beneficiary_persons"})),
    (Kind.IDENTIFICATION, frozenset({"national_identifier", "national_identifier_type"})),
    (Kind.ADDRESS, frozenset({"address_type"})),
)


def _is_payload(value: object, names: frozenset[str]) -> bool:
    declared = get(value, "@type")
    if isinstance(declared, str) and declared.endswith(PAYLOAD_TYPE):
        return True
    return any(names_of(get(value, name)) & inner for name, inner in _PAYLOAD.items() if name in names)


def _names_a_firm(name: object) -> bool:
    found = get(name, "name_identifiers")
    entries = found if isinstance(found, list) else [found]
    return any("legal_person_name" in names_of(entry) for entry in entries if not is_empty(entry))


_READ: Final[MappingProxyType[Kind, Callable[[Reader, object, str], Message]]] = MappingProxyType(
    {
        Kind.PAYLOAD: Reader.payload,
        Kind.ORIGINATOR: lambda reader, value, where: reader.party(value, "originator", where),
        Kind.BENEFICIARY: lambda reader, value, where: reader.party(value, "beneficiary", where),
        Kind.PERSON: Reader.person,
        Kind.NATURAL: Reader.natural,
        Kind.LEGAL: Reader.legal,
        Kind.ADDRESS: Reader.address,
        # Whose it is, is not known: what is demanded of firms only (C7, C9, C11) is not checked.
        Kind.IDENTIFICATION: Reader.identification,
    }
)
