"""JSON read without losing a digit: whole numbers as `int`, all others as `Decimal`, no field twice.

In: the bytes of one value. Out: the value. Refuses what RFC 8259 does not allow (TX_JSON, with the byte of the file), a
field that is there twice (FIELD_TWICE: two programs would read two different things), NaN and the infinities, and
numbers of so many digits that only an attack has them (TOO_LONG).
"""

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, NoReturn

from gateway.formats.codes import Code, refuse

MAX_NUMBER_CHARS: Final = 100
"""2^256 has 78 digits; no amount is written longer."""


def load(raw: bytes, where: str, offset: int) -> object:
    """Return the JSON value in `raw`.

    Args:
        raw: its bytes, in UTF-8.
        where: its position, for the refusal.
        offset: the byte of the file that it begins at.

    Raises:
        Refusal: TX_JSON, TX_TOO_DEEP, FIELD_TWICE, TOO_LONG.
    """
    hooks = _Hooks(where)
    text = ""
    try:
        text = raw.decode()
        value: object = json.loads(
            text,
            parse_int=hooks.whole,
            parse_float=hooks.decimal,
            parse_constant=hooks.constant,
            object_pairs_hook=hooks.pairs,
        )
    except json.JSONDecodeError as error:
        at = offset + len(text[: error.pos].encode())
        raise refuse(Code.TX_JSON, f"not a JSON text; the fault is at byte {at} of the file", where) from error
    except UnicodeDecodeError as error:
        at = offset + error.start
        raise refuse(Code.TX_JSON, f"not UTF-8; the fault is at byte {at} of the file", where) from error
    except RecursionError as error:
        raise refuse(Code.TX_TOO_DEEP, "lists and objects within too many others", where) from error
    return value


@dataclass(frozen=True, slots=True)
class _Hooks:
    """What the parser asks for each number and object; the refusals know the position."""

    where: str

    def pairs(self, found: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(found)
        if len(made) != len(found):
            raise refuse(Code.FIELD_TWICE, "an object names a field twice", self.where)
        return made

    def whole(self, digits: str) -> int:
        return int(self._number(digits))

    def decimal(self, digits: str) -> Decimal:
        try:
            return Decimal(self._number(digits))
        except InvalidOperation as error:
            # An exponent beyond what the decimal module can hold.
            raise refuse(Code.TOO_LONG, "a number of more digits than there are", self.where) from error

    def constant(self, _: str) -> NoReturn:
        raise refuse(Code.TX_JSON, "NaN and Infinity are no JSON", self.where)

    def _number(self, digits: str) -> str:
        if len(digits) > MAX_NUMBER_CHARS:
            raise refuse(Code.TOO_LONG, f"a number of more than {MAX_NUMBER_CHARS} characters", self.where)
        return digits
