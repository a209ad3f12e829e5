"""Plain JSON from elsewhere, read field by field.

In: bytes, or what a JSON parser made of them. Out: values of the type that was asked for. Refuses everything else with
BAD_INPUT and the position of the value, e.g. `[17].chain`. A message names the rule and the place, never the value: it
may be content.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from gateway import codec
from gateway.errors import ErrorCode, Refusal
from gateway.formats.codes import Code, refuse

T = TypeVar("T")

MAX_AMOUNT_DIGITS: Final = 78
"""2^256 has 78 digits; no chain counts further."""

_AMOUNT: Final = re.compile(r"0|[1-9][0-9]{0,77}")
_CHANGE: Final = re.compile(r"0|-?[1-9][0-9]{0,77}")


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What a list came to: every entry is in one of the two."""

    read: tuple[T, ...]
    refused: tuple[Refusal, ...]


def load(raw: bytes) -> object:
    """Return the JSON value in `raw`.

    Raises:
        Refusal: BAD_INPUT, it is no JSON, or names a field of an object twice.
    """
    try:
        return json.loads(raw, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise refuse(Code.NOT_JSON, fault(error), "") from error


def fault(error: Exception) -> str:
    """Say what a JSON parser found wrong with a text, and where, if it tells."""
    match error:
        case json.JSONDecodeError(doc=text) if text.startswith("\ufeff"):
            return "a byte order mark stands before the JSON text"
        case json.JSONDecodeError(lineno=line, colno=column):
            return f"not a JSON text; the fault is at line {line}, column {column}"
        case UnicodeDecodeError(start=at):
            return f"not UTF-8; the fault is at byte {at}"
        case _:
            return "not a JSON text"


def read_list(entries: object, read_one: Callable[[object, str], T]) -> Reading[T]:
    """Read every entry of a list; what is wrong with one leaves the others as they are.

    Raises:
        Refusal: BAD_INPUT, it is no list.
    """
    if not isinstance(entries, list):
        raise refuse(Code.WRONG_TYPE, "not a list of entries", "")
    read: list[T] = []
    refused: list[Refusal] = []
    for position, entry in enumerate(entries):
        try:
            read.append(read_one(entry, f"[{position}]"))
        except Refusal as error:
            refused.append(error)
    return Reading(tuple(read), tuple(refused))


def entry(value: object, where: str) -> Mapping[str, object]:
    """Return `value` if it is a JSON object."""
    if not isinstance(value, dict):
        raise refuse(Code.WRONG_TYPE, "an object is wanted", where)
    return value


def items(value: object, where: str) -> Sequence[object]:
    """Return `value` if it is a JSON list."""
    if not isinstance(value, list):
        raise refuse(Code.WRONG_TYPE, "a list is wanted", where)
    return value


def text(value: object, where: str, most: int) -> str:
    """Return `value` if it is a text of 1 to `most` characters that can be printed."""
    if value is None:
        raise refuse(Code.MISSING, "it is missing", where)
    if not isinstance(value, str):
        raise refuse(Code.WRONG_TYPE, "a text is wanted", where)
    if not value:
        raise refuse(Code.MISSING, "it is empty", where)
    if len(value) > most:
        raise refuse(Code.TOO_LONG, f"longer than {most} characters", where)
    # Also keeps out lone surrogates, which JSON can spell and UTF-8 cannot.
    if not value.isprintable():
        raise refuse(Code.NOT_PRINTABLE, "a character of it cannot be printed", where)
    return value


def visible_ascii(value: object, where: str, most: int) -> str:
    """Return `value` if it is a text of 1 to `most` visible ASCII characters, as addresses and hashes are.

    A letter of another script looks like an ASCII one to a person and is another wallet to a machine.
    """
    found = text(value, where, most)
    for position, character in enumerate(found):
        if not "!" <= character <= "~":
            name = unicodedata.name(character, "unnamed")
            detail = f"character {position} is {name} (U+{ord(character):04X}), not visible ASCII"
            raise refuse(Code.NOT_ASCII, detail, where)
    return found


def whole(value: object, where: str, bits: int) -> int:
    """Return `value` if it is a whole number from 0 that fits into so many bits."""
    # In Python, True is a whole number too.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << bits:
        raise refuse(Code.WRONG_TYPE, f"a whole number from 0 to 2^{bits} - 1 is wanted", where)
    return value


def amount(value: object, where: str) -> str:
    """Return `value` if it is an integer of base units, written as a decimal text; never a JSON number or a float."""
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        detail = f"a decimal text of 1 to {MAX_AMOUNT_DIGITS} digits, without leading zero, is wanted"
        raise refuse(Code.AMOUNT_FORMAT, detail, where)
    return value


def change(value: object, where: str) -> str:
    """Return `value` if it is a signed integer of base units, written as a decimal text."""
    if not isinstance(value, str) or not _CHANGE.fullmatch(value):
        detail = f"a decimal text of 1 to {MAX_AMOUNT_DIGITS} digits, minus allowed, is wanted"
        raise refuse(Code.AMOUNT_FORMAT, detail, where)
    return value


def check(made: Message, where: str) -> None:
    """Check that what was made of an entry keeps the contract, which has the last word."""
    try:
        codec.check(made, ErrorCode.BAD_INPUT)
    except Refusal as error:
        raise refuse(Code.CONTRACT, error.detail, f"{where}.{error.field}") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise refuse(Code.NOT_JSON, "an object names a field twice", "")
    return found
