"""What is odd about a person, and keeps nobody out.

In: a message that was read. Out: remarks, each with rule and position. Refuses nothing: a clerk should see these before
relying on the data, and the data are there to be seen.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from rogatory.v1 import persons_pb2 as pb

from gateway.errors import Refusal
from gateway.formats import lei
from gateway.formats.codes import Code

_LOCAL: Final = frozenset({"local_names", "phonetic_names"})
"""Fields in which the standard wants the person's own script (section 7)."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One oddity.

    Args:
        rule: the rule that was broken.
        detail: one sentence for a person, without the value.
        where: position in the message, e.g. `.names[0].primary`.
    """

    rule: Code
    detail: str
    where: str


def remarks(message: Message, where: str = "") -> tuple[Remark, ...]:
    """Return what is odd about a person, an address, a payload.

    1. A text that is not in Latin letters, where the standard has another field for the own script. Accents are Latin
       here: the regex of Max100Text is narrower than its definition, and `Müller` is no other name than `Müller`.
    2. An LEI of right form and wrong check digits.

    Source: IVMS101.2023, section 5, Max100Text and its like, and section 7; ISO 17442-1, annex A.
    """
    return tuple(_walk(message, where))


def _walk(message: Message, where: str) -> Iterator[Remark]:
    if isinstance(message, pb.NationalIdentification) and message.type == pb.NATIONAL_IDENTIFIER_TYPE_LEI:
        try:
            lei.lei(message.identifier, f"{where}.identifier")
        except Refusal as error:
            yield Remark(Code(error.rule), error.detail, error.field)
    for field, value in message.ListFields():
        if field.name in _LOCAL:
            continue
        values = enumerate(value) if field.is_repeated else ((None, value),)
        for position, each in values:
            at = f"{where}.{field.name}" + ("" if position is None else f"[{position}]")
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                yield from _walk(each, at)
            elif field.type == FieldDescriptor.TYPE_STRING and not all(_is_latin(character) for character in each):
                yield Remark(Code.NOT_LATIN, "not in Latin letters; the own script has a field of its own", at)


def _is_latin(character: str) -> bool:
    if character.isascii():
        return True
    category = unicodedata.category(character)
    if category in {"Lu", "Ll", "Lt", "Lo"}:
        return unicodedata.name(character, "").startswith("LATIN ")
    # Digits of other scripts look like ours and are others; marks, dashes and quotes belong to no script.
    return category != "Nd"
