"""Messages into IVMS101.2023 JSON.

In: a message. Out: JSON as the standard of 2023 has it: camelCase, its codes, no field that is empty. Refuses, with
BAD_INPUT and the rule, a message that breaks a constraint of the standard: what is written is read again, and must give
the same message.

Account numbers of a side as a whole, which the edition of 2020 has and that of 2023 does not, stay with the side; both
are read everywhere, and giving them to one of several persons would be a guess.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar

from google.protobuf.message import Message
from rogatory.v1 import persons_pb2 as pb

from gateway.formats.codes import Code, refuse
from gateway.formats.persons import vocabulary as words
from gateway.formats.persons.read import Reader

Json: TypeAlias = dict[str, object]
M = TypeVar("M", bound=Message)


def person_to_ivms101(person: pb.Person, today: date) -> Json:
    """Return a person as an IVMS101.2023 Person.

    Args:
        person: the person.
        today: the day before which everybody was born (C2).

    Raises:
        Refusal: BAD_INPUT, with the rule that the person breaks.
    """
    made = _person(person)
    _check_same(Reader(today).person(made, ""), person)
    return made


def payload_to_ivms101(payload: pb.IdentityPayload, today: date) -> Json:
    """Return a payload as IVMS101.2023; it says so, whatever edition it was read from.

    Args:
        payload: the payload.
        today: the day before which everybody was born (C2).

    Raises:
        Refusal: BAD_INPUT, with the rule that the payload breaks.
    """
    made = _without_empty(
        {
            "originator": _side(payload.originator, "originatorPerson"),
            "beneficiary": _side(payload.beneficiary, "beneficiaryPerson"),
            "originatingVASP": _nested("originatingVASP", payload.originating_provider),
            "beneficiaryVASP": _nested("beneficiaryVASP", payload.beneficiary_provider),
            "transferPath": [
                {"intermediaryVASP": _person(each.provider), "sequence": each.sequence}
                for each in payload.transfer_path
            ],
            "payloadMetadata": _without_empty(
                {"transliterationMethod": list(payload.transliteration_methods), "payloadVersion": "101.2023"}
            ),
        }
    )
    wanted = pb.IdentityPayload()
    wanted.CopyFrom(payload)
    wanted.version = pb.IVMS_VERSION_2023
    _check_same(Reader(today).payload(made, ""), wanted)
    return made


def _check_same(read: M, wanted: M) -> None:
    if read != wanted:
        raise refuse(Code.CONTRACT, "IVMS101 cannot say this exactly", "")


def _side(side: pb.TransferParty, name: str) -> Json:
    return _without_empty({name: [_person(each) for each in side.persons], "accountNumber": list(side.account_numbers)})


def _nested(name: str, provider: pb.Person) -> Json:
    return _without_empty({name: _person(provider)})


def _person(person: pb.Person) -> Json:
    return _without_empty(
        {
            "naturalPerson": _natural(person.natural) if person.HasField("natural") else None,
            "legalPerson": _legal(person.legal) if person.HasField("legal") else None,
            "accountNumber": list(person.account_numbers),
        }
    )


def _natural(human: pb.NaturalPerson) -> Json:
    birth = {"dateOfBirth": human.date_of_birth, "placeOfBirth": human.place_of_birth}
    return _without_empty(
        {
            "name": _without_empty(
                {
                    "nameIdentifier": _natural_names(human.names, "naturalPersonNameIdentifierType"),
                    "localNameIdentifier": _natural_names(human.local_names, "nameIdentifierType"),
                    "phoneticNameIdentifier": _natural_names(human.phonetic_names, "nameIdentifierType"),
                }
            ),
            "geographicAddress": [_address(each) for each in human.addresses],
            "nationalIdentification": _identification(human.national_identification),
            "customerIdentification": human.customer_identification,
            "dateAndPlaceOfBirth": _without_empty(birth),
            "countryOfResidence": human.country_of_residence,
        }
    )


def _legal(firm: pb.LegalPerson) -> Json:
    return _without_empty(
        {
            "name": _without_empty(
                {
                    "nameIdentifier": _legal_names(firm.names),
                    "localNameIdentifier": _legal_names(firm.local_names),
                    "phoneticNameIdentifier": _legal_names(firm.phonetic_names),
                }
            ),
            "geographicAddress": [_address(each) for each in firm.addresses],
            "customerIdentification": firm.customer_identification,
            "nationalIdentification": _identification(firm.national_identification),
            "countryOfRegistration": firm.country_of_registration,
        }
    )


def _natural_names(names: Iterable[pb.NaturalPersonName], of_type: str) -> list[Json]:
    return [
        _without_empty(
            {
                "primaryIdentifier": each.primary,
                "secondaryIdentifier": each.secondary,
                of_type: _NATURAL_NAME.get(each.type),
            }
        )
        for each in names
    ]


def _legal_names(names: Iterable[pb.LegalPersonName]) -> list[Json]:
    return [
        _without_empty({"legalPersonName": each.name, "legalPersonNameIdentifierType": _LEGAL_NAME.get(each.type)})
        for each in names
    ]


def _address(address: pb.PostalAddress) -> Json:
    parts = {_camel(name): getattr(address, name) for name in words.PARTS}
    return _without_empty(
        {
            "addressType": _ADDRESS.get(address.type),
            **parts,
            "addressLine": list(address.address_lines),
            "country": address.country,
        }
    )


def _identification(number: pb.NationalIdentification) -> Json:
    return _without_empty(
        {
            "nationalIdentifier": number.identifier,
            "nationalIdentifierType": _IDENTIFIER.get(number.type),
            "countryOfIssue": number.country_of_issue,
            "registrationAuthority": number.registration_authority,
        }
    )


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)


def _without_empty(made: Mapping[str, object]) -> Json:
    return {name: value for name, value in made.items() if value not in (None, "", [], {})}


_NATURAL_NAME: Final = MappingProxyType({value: code for code, value in words.NATURAL_NAMES.items()})
_LEGAL_NAME: Final = MappingProxyType({value: code for code, value in words.LEGAL_NAMES.items()})
_ADDRESS: Final = MappingProxyType({value: code for code, value in words.ADDRESSES.items()})
_IDENTIFIER: Final = MappingProxyType({value: code for code, value in words.IDENTIFIERS.items()})
