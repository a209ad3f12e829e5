"""Persons and firms in IVMS101, the standard in which exchanges keep them: read, found, and written.

In: JSON of both editions, IVMS101 (2020) and IVMS101.2023, in the spellings that are met: camelCase, PascalCase, and
the snake_case of TRISA's protobuf with its long enum names. Out: messages of `rogatory.v1.persons`, and back the JSON
of 2023. Refuses, with BAD_INPUT, the position and the rule, what breaks a constraint of the standard (C1 to C12), and
every field that the standard does not have: nothing is lost in silence.

Two demands of the standard, or beyond it, keep nobody out and are told by `remarks`: Latin letters, for a court can
read the name of a street in Cyrillic, and its loss would be worse; and the check digits of an LEI, of which IVMS101
itself says nothing (C11 asks for the form only). Not checked: whether a registration authority is on GLEIF's list
(C10), which we do not carry; its form is. Nor that a town is named: the table of the standard demands it, its text
does not.

Source: IVMS101.2023 interVASP data model standard.
"""

from datetime import date

from rogatory.v1 import persons_pb2 as pb

from gateway.formats import reading
from gateway.formats.persons.find import Kind, Part, document, find
from gateway.formats.persons.read import Reader
from gateway.formats.persons.remarks import Remark, remarks
from gateway.formats.persons.write import payload_to_ivms101, person_to_ivms101

__all__ = [
    "Kind",
    "Part",
    "Reader",
    "Remark",
    "document",
    "find",
    "identity_payload",
    "payload_to_ivms101",
    "person",
    "person_to_ivms101",
    "remarks",
]


def person(value: object, where: str, today: date) -> pb.Person:
    """Read an IVMS101 Person: an object with `naturalPerson` or `legalPerson`.

    Args:
        value: the JSON value.
        where: its position, for the refusal.
        today: the day before which everybody was born (C2).

    Raises:
        Refusal: BAD_INPUT, with the field and the rule.
    """
    made = Reader(today).person(value, where)
    reading.check(made, where)
    return made


def identity_payload(value: object, where: str, today: date) -> pb.IdentityPayload:
    """Read an IVMS101 payload: originator, beneficiary, their providers, and the path between.

    Args:
        value: the JSON value.
        where: its position, for the refusal.
        today: the day before which everybody was born (C2).

    Raises:
        Refusal: BAD_INPUT, with the field and the rule.
    """
    made = Reader(today).payload(value, where)
    reading.check(made, where)
    return made
