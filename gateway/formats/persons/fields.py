"""The fields of one IVMS101 object, whatever the spelling.

In: a JSON object, and which fields the standard has there. Out: what they hold, by one name each. Refuses, with
BAD_INPUT, the position and the rule: a field that the standard does not have, one that is there twice in two spellings,
and values of the wrong type, length or list. A field that is null or empty is as if it were not there.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar

from gateway.formats import reading, vocabularies
from gateway.formats.codes import Code, refuse
from gateway.formats.persons.vocabulary import ACCOUNT_CHARS, CODE_CHARS, MAX_ACCOUNTS, MAX_ITEMS

T = TypeVar("T")

_ALIASES: Final = MappingProxyType(
    {
        "account_number": "account_numbers",
        "address_lines": "address_line",
        "beneficiary_person": "beneficiary_persons",
        "customer_number": "customer_identification",
        "geographic_address": "addresses",
        "geographic_addresses": "addresses",
        "legal_person_name_identifier_type": "name_type",
        "local_name_identifier": "local_name_identifiers",
        "name_identifier": "name_identifiers",
        "name_identifier_type": "name_type",
        "natural_person_name_identifier_type": "name_type",
        "originator_person": "originator_persons",
        "phonetic_name_identifier": "phonetic_name_identifiers",
        "postcode": "post_code",  # so in the table of the standard, `postCode` in its text
        "transliteration_methods": "transliteration_method",
    }
)
"""Names of fields, in snake_case, that mean the same: singular of the standard and plural of TRISA, 2020 and 2023."""

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PLAIN_NAME: Final = re.compile(r"[@A-Za-z0-9_]{1,64}")


def names_of(value: object) -> frozenset[str]:
    """Return the fields of an object that are not empty, under the names that are the same for all spellings."""
    if not isinstance(value, dict):
        return frozenset()
    return frozenset(name_of(str(key)) for key, each in value.items() if not is_empty(each))


def position(where: str, written: object) -> str:
    """Return the position of a field; a name that no format has may be content, say an e-mail address: it is hidden."""
    name = str(written)
    return f"{where}.{name}" if _PLAIN_NAME.fullmatch(name) else f"{where}.?"


def get(value: object, name: str) -> object:
    """Return the field of an object that has that name in any spelling, or None."""
    if isinstance(value, dict):
        for written, each in value.items():
            if name_of(str(written)) == name and not is_empty(each):
                return each
    return None


def is_empty(value: object) -> bool:
    """Return whether a field of that value is as if it were not there."""
    return value is None or value in ("", [], {})


def name_of(written: str) -> str:
    """Return the name that is the same for all spellings of a field: `customer_identification` for `customerNumber`."""
    snake = _HUMP.sub("_", written).lower()
    return _ALIASES.get(snake, snake)


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it was written, and where."""

    value: object
    where: str


class Fields:
    """Fields of one object that the standard has there; all others are refused."""

    def __init__(self, value: object, where: str, known: frozenset[str]) -> None:
        self._where = where
        self._found: dict[str, Field] = {}
        for written, each in reading.entry(value, where).items():
            name = name_of(str(written))
            at = position(where, written)
            if is_empty(each):
                continue
            if name not in known:
                raise refuse(Code.UNKNOWN_FIELD, "IVMS101 has no such field here", at)
            if name in self._found:
                raise refuse(Code.FIELD_TWICE, "the field is there twice, in two spellings", at)
            self._found[name] = Field(each, at)

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def need(self, name: str) -> Field:
        """Return a field that must be there."""
        if name not in self._found:
            raise refuse(Code.MISSING, f"{name} is missing", self._where)
        return self._found[name]

    def text(self, name: str, most: int) -> str:
        """Return a text, empty if it is not there."""
        found = self._found.get(name)
        return reading.text(found.value, found.where, most) if found else ""

    def each(self, name: str, read: Callable[[object, str], T], most: int = MAX_ITEMS) -> list[T]:
        """Return what a list holds; one thing may stand for a list of it, as the XML-minded write it."""
        found = self._found.get(name)
        if found is None:
            return []
        items = found.value if isinstance(found.value, list) else [found.value]
        if len(items) > most:
            raise refuse(Code.TOO_MANY, f"more than {most} of them", found.where)
        return [read(item, f"{found.where}[{position}]") for position, item in enumerate(items)]

    def code(self, name: str, codes: Mapping[str, T], prefix: str) -> T:
        """Return what a code stands for; in any case (section 1, case sensitivity), with or without TRISA's prefix."""
        found = self.need(name)
        code = reading.text(found.value, found.where, CODE_CHARS).upper().removeprefix(prefix)
        if code not in codes:
            raise refuse(Code.UNKNOWN_CODE, f"not one of {', '.join(sorted(codes))}", found.where)
        return codes[code]

    def country(self, name: str) -> str:
        """Return a country, empty if it is not there (C3)."""
        found = self._found.get(name)
        if found is None:
            return ""
        text = reading.text(found.value, found.where, CODE_CHARS)
        return vocabularies.country(text.upper(), found.where, unknown=True)

    def accounts(self) -> list[str]:
        """Return account numbers; case counts in them."""
        return self.each("account_numbers", lambda each, at: reading.text(each, at, ACCOUNT_CHARS), MAX_ACCOUNTS)
