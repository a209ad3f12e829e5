"""IVMS101 JSON into messages.

In: a JSON value and the day of today. Out: a message. Refuses, with BAD_INPUT, the position and the rule, what breaks a
constraint of the standard.

Source: IVMS101.2023, sections 5 and 6; the constraints have the same numbers C1 to C12 in both editions.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from rogatory.v1 import persons_pb2 as pb

from gateway.formats import lei, reading, vocabularies
from gateway.formats.codes import Code, refuse
from gateway.formats.persons import vocabulary as words
from gateway.formats.persons.fields import Field, Fields, names_of

_AUTHORITY: Final = re.compile(r"RA[0-9]{6}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")


_NAME: Final = frozenset({"name_identifiers", "local_name_identifiers", "phonetic_name_identifiers"})
_NATURAL_ID: Final = frozenset({"primary_identifier", "secondary_identifier", "name_type"})
_LEGAL_ID: Final = frozenset({"legal_person_name", "name_type"})
_COMMON: Final = frozenset({"name", "addresses", "national_identification", "customer_identification"})
_NATURAL: Final = _COMMON | {"date_and_place_of_birth", "country_of_residence"}
_LEGAL: Final = _COMMON | {"country_of_registration"}
_BIRTH: Final = frozenset({"date_of_birth", "place_of_birth"})
_ADDRESS: Final = frozenset(words.PARTS) | {"address_type", "address_line", "country"}
_IDENTIFICATION: Final = frozenset(
    {"national_identifier", "national_identifier_type", "country_of_issue", "registration_authority"}
)
PERSON: Final = frozenset({"natural_person", "legal_person", "account_numbers"})
_PAYLOAD: Final = frozenset(
    {"@type", "originator", "beneficiary", "originating_vasp", "beneficiary_vasp", "transfer_path", "payload_metadata"}
)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads each component of the standard; see the module.

    Args:
        today: the day before which everybody was born (C2).
    """

    today: date

    def payload(self, value: object, where: str) -> pb.IdentityPayload:
        """Read an IdentityPayload; at least one of its fields is there."""
        fields = Fields(value, where, _PAYLOAD)
        made = pb.IdentityPayload()
        if "@type" in fields and not fields.text("@type", words.ACCOUNT_CHARS).endswith(words.PAYLOAD_TYPE):
            raise refuse(Code.UNKNOWN_CODE, f"not an {words.PAYLOAD_TYPE}", f"{where}.@type")
        for side, into in (("originator", made.originator), ("beneficiary", made.beneficiary)):
            if side in fields:
                found = fields.need(side)
                into.CopyFrom(self.party(found.value, side, found.where))
        for name, provider in (
            ("originating_vasp", made.originating_provider),
            ("beneficiary_vasp", made.beneficiary_provider),
        ):
            if name in fields:
                provider.CopyFrom(self.provider(fields.need(name), name))
        if "transfer_path" in fields:
            made.transfer_path.extend(self.path(fields.need("transfer_path")))
        if "payload_metadata" in fields:
            self.metadata(fields.need("payload_metadata"), made)
        if not made.ListFields():
            raise refuse(Code.MISSING, "the payload names nobody", where)
        return made

    def party(self, value: object, side: str, where: str) -> pb.TransferParty:
        """Read an Originator or a Beneficiary; `side` says which, in lower case."""
        of = f"{side}_persons"
        fields = Fields(value, where, frozenset({of, "account_numbers"}))
        read = self.originator if side == "originator" else self.person
        fields.need(of)
        return pb.TransferParty(persons=fields.each(of, read), account_numbers=fields.accounts())

    def originator(self, value: object, where: str) -> pb.Person:
        """Read a person who sent, of whom more must be known (C1, C4)."""
        made = self.person(value, where)
        if made.HasField("natural"):
            human = made.natural
            if not (
                human.addresses
                or human.customer_identification
                or human.HasField("national_identification")
                or human.date_of_birth
            ):
                detail = "an originator has an address, customer or national identification, or date of birth (C1)"
                raise refuse(Code.ORIGINATOR_NATURAL, detail, where)
            return made
        firm = made.legal
        if not (
            any(each.type == pb.ADDRESS_TYPE_GEOGRAPHIC for each in firm.addresses)
            or firm.customer_identification
            or firm.HasField("national_identification")
        ):
            detail = "a firm as originator has an address GEOG, or customer or national identification (C4)"
            raise refuse(Code.ORIGINATOR_LEGAL, detail, where)
        return made

    def provider(self, found: Field, name: str) -> pb.Person:
        """Read the entity OriginatingVASP, whose element has the same name; many leave the outer one out."""
        inner = name in names_of(found.value)
        if not inner:
            return self.person(found.value, found.where)
        field = Fields(found.value, found.where, frozenset({name})).need(name)
        return self.person(field.value, field.where)

    def path(self, found: Field) -> Sequence[pb.Intermediary]:
        """Read a TransferPath, in the order of its sequence (C12)."""
        if isinstance(found.value, dict):
            fields = Fields(found.value, found.where, frozenset({"transfer_path"}))
            if "transfer_path" not in fields:
                return ()
            found = fields.need("transfer_path")
        items = reading.items(found.value, found.where)
        if len(items) > words.MAX_ITEMS:
            raise refuse(Code.TOO_MANY, f"more than {words.MAX_ITEMS} of them", found.where)
        made = [self.intermediary(each, f"{found.where}[{position}]") for position, each in enumerate(items)]
        if sorted(each.sequence for each in made) != list(range(len(made))):
            raise refuse(Code.SEQUENCE, "providers on the path are numbered from 0 without a gap (C12)", found.where)
        return sorted(made, key=lambda each: each.sequence)

    def intermediary(self, value: object, where: str) -> pb.Intermediary:
        """Read an IntermediaryVASP."""
        fields = Fields(value, where, frozenset({"intermediary_vasp", "sequence"}))
        provider, sequence = fields.need("intermediary_vasp"), fields.need("sequence")
        number = sequence.value
        # Protobuf writes integers of 64 bits as text. In Python, True is a number.
        if isinstance(number, bool) or not isinstance(number, (int, str)) or not _NUMBER.fullmatch(str(number)):
            raise refuse(Code.WRONG_TYPE, "a sequence is a whole number from 0", sequence.where)
        if int(number) >= words.MAX_ITEMS:
            raise refuse(Code.SEQUENCE, "providers on the path are numbered from 0 without a gap (C12)", sequence.where)
        return pb.Intermediary(provider=self.person(provider.value, provider.where), sequence=int(number))

    def metadata(self, found: Field, made: pb.IdentityPayload) -> None:
        """Read PayloadMetadata into the payload."""
        fields = Fields(found.value, found.where, frozenset({"transliteration_method", "payload_version"}))
        made.transliteration_methods.extend(fields.each("transliteration_method", _script))
        if "payload_version" in fields:
            made.version = fields.code("payload_version", words.VERSIONS, "PAYLOAD_VERSION_CODE_")

    def person(self, value: object, where: str) -> pb.Person:
        """Read a Person."""
        fields = Fields(value, where, PERSON)
        if ("natural_person" in fields) == ("legal_person" in fields):
            raise refuse(Code.PERSON_KIND, "a person is either a naturalPerson or a legalPerson", where)
        made = pb.Person(account_numbers=fields.accounts())
        if "natural_person" in fields:
            natural = fields.need("natural_person")
            made.natural.CopyFrom(self.natural(natural.value, natural.where))
        else:
            legal = fields.need("legal_person")
            made.legal.CopyFrom(self.legal(legal.value, legal.where))
        return made

    def natural(self, value: object, where: str) -> pb.NaturalPerson:
        """Read a NaturalPerson (C6)."""
        fields = Fields(value, where, _NATURAL)
        names = _name_fields(fields)
        made = pb.NaturalPerson(
            names=names.each("name_identifiers", _natural_name),
            local_names=names.each("local_name_identifiers", _natural_name),
            phonetic_names=names.each("phonetic_name_identifiers", _natural_name),
            addresses=fields.each("addresses", self.address),
            customer_identification=fields.text("customer_identification", words.CUSTOMER_CHARS),
            country_of_residence=fields.country("country_of_residence"),
        )
        if all(each.type != pb.NATURAL_PERSON_NAME_TYPE_LEGAL for each in made.names):
            raise refuse(
                Code.LEGAL_NAME, "one of the names is the legal one, LEGL (C6)", names.need("name_identifiers").where
            )
        if "national_identification" in fields:
            found = fields.need("national_identification")
            made.national_identification.CopyFrom(self.identification(found.value, found.where))
        if "date_and_place_of_birth" in fields:
            self.birth(fields.need("date_and_place_of_birth"), made)
        return made

    def birth(self, found: Field, made: pb.NaturalPerson) -> None:
        """Read DateAndPlaceOfBirth into the person; both are [1..1] (C2)."""
        fields = Fields(found.value, found.where, _BIRTH)
        day = fields.need("date_of_birth")
        fields.need("place_of_birth")
        born = vocabularies.day(reading.text(day.value, day.where, words.CODE_CHARS), day.where)
        if born >= self.today:
            raise refuse(Code.BIRTH_NOT_PAST, "nobody is born today or later (C2)", day.where)
        made.date_of_birth = born.isoformat()
        made.place_of_birth = fields.text("place_of_birth", words.PLACE_CHARS)

    def legal(self, value: object, where: str) -> pb.LegalPerson:
        """Read a LegalPerson (C5)."""
        fields = Fields(value, where, _LEGAL)
        names = _name_fields(fields)
        made = pb.LegalPerson(
            names=names.each("name_identifiers", _legal_name),
            local_names=names.each("local_name_identifiers", _legal_name),
            phonetic_names=names.each("phonetic_name_identifiers", _legal_name),
            addresses=fields.each("addresses", self.address),
            customer_identification=fields.text("customer_identification", words.CUSTOMER_CHARS),
            country_of_registration=fields.country("country_of_registration"),
        )
        if all(each.type != pb.LEGAL_PERSON_NAME_TYPE_LEGAL for each in made.names):
            raise refuse(
                Code.LEGAL_NAME, "one of the names is the legal one, LEGL (C5)", names.need("name_identifiers").where
            )
        if "national_identification" in fields:
            found = fields.need("national_identification")
            made.national_identification.CopyFrom(self.firm_identification(found.value, found.where))
        return made

    def address(self, value: object, where: str) -> pb.PostalAddress:
        """Read an Address (C3, C8)."""
        fields = Fields(value, where, _ADDRESS)
        made = pb.PostalAddress(
            type=fields.code("address_type", words.ADDRESSES, "ADDRESS_TYPE_CODE_"),
            address_lines=fields.each(
                "address_line", lambda each, at: reading.text(each, at, words.PLACE_CHARS), words.MAX_LINES
            ),
            country=fields.country("country"),
        )
        fields.need("country")
        for name, most in words.PARTS.items():
            setattr(made, name, fields.text(name, most))
        if not made.address_lines and not (made.street_name and (made.building_name or made.building_number)):
            detail = "an address has lines, or a street and the name or number of a building (C8)"
            raise refuse(Code.ADDRESS_INCOMPLETE, detail, where)
        return made

    def identification(self, value: object, where: str) -> pb.NationalIdentification:
        """Read a NationalIdentification of whomever (C3, C10)."""
        fields = Fields(value, where, _IDENTIFICATION)
        fields.need("national_identifier")
        made = pb.NationalIdentification(
            identifier=fields.text("national_identifier", words.IDENTIFIER_CHARS),
            type=fields.code("national_identifier_type", words.IDENTIFIERS, "NATIONAL_IDENTIFIER_TYPE_CODE_"),
            country_of_issue=fields.country("country_of_issue"),
            registration_authority=fields.text("registration_authority", words.CODE_CHARS).upper(),
        )
        if made.registration_authority and not _AUTHORITY.fullmatch(made.registration_authority):
            at = fields.need("registration_authority").where
            raise refuse(Code.REGISTRATION_AUTHORITY, "a registration authority is RA and six digits (C10)", at)
        return made

    def firm_identification(self, value: object, where: str) -> pb.NationalIdentification:
        """Read the identifier of a firm, of which more is demanded (C7, C9, C11)."""
        made = self.identification(value, where)
        if made.type not in words.FIRM_IDENTIFIERS:
            raise refuse(Code.FIRM_IDENTIFIER, "a firm is identified by LEIX, RAID, TXID or MISC (C7)", where)
        if made.country_of_issue:
            raise refuse(Code.FIRM_IDENTIFIER_SOURCE, "the identifier of a firm has no countryOfIssue (C9)", where)
        by_lei = made.type == pb.NATIONAL_IDENTIFIER_TYPE_LEI
        if by_lei == bool(made.registration_authority):
            detail = "an LEI has no registrationAuthority, every other identifier of a firm has one (C9)"
            raise refuse(Code.FIRM_IDENTIFIER_SOURCE, detail, where)
        if by_lei:
            lei.lei_form(made.identifier, where)
        return made


def _name_fields(fields: Fields) -> Fields:
    name = fields.need("name")
    value = name.value
    # [1..n] in a table of 2020, [1..1] in its text.
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    names = Fields(value, name.where, _NAME)
    names.need("name_identifiers")
    return names


def _natural_name(value: object, where: str) -> pb.NaturalPersonName:
    fields = Fields(value, where, _NATURAL_ID)
    fields.need("primary_identifier")
    return pb.NaturalPersonName(
        primary=fields.text("primary_identifier", words.NAME_CHARS),
        secondary=fields.text("secondary_identifier", words.NAME_CHARS),
        type=fields.code("name_type", words.NATURAL_NAMES, "NATURAL_PERSON_NAME_TYPE_CODE_"),
    )


def _legal_name(value: object, where: str) -> pb.LegalPersonName:
    fields = Fields(value, where, _LEGAL_ID)
    fields.need("legal_person_name")
    return pb.LegalPersonName(
        name=fields.text("legal_person_name", words.NAME_CHARS),
        type=fields.code("name_type", words.LEGAL_NAMES, "LEGAL_PERSON_NAME_TYPE_CODE_"),
    )


def _script(value: object, where: str) -> str:
    text = reading.text(value, where, words.CODE_CHARS).upper().removeprefix("TRANSLITERATION_METHOD_CODE_").lower()
    if text not in words.SCRIPTS:
        raise refuse(Code.UNKNOWN_CODE, f"not one of {', '.join(sorted(words.SCRIPTS))}", where)
    return text
