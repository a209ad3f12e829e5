"""Texts that are no address of any chain, for what stands in them.

In: a text that no scheme could read. Out: the refusal that says why. Knows: nothing at all, too much, white space
around or within, letters of other scripts that look like Latin ones, characters that cannot be seen.

Sources: Unicode Standard Annex 44 (names and categories); Unicode Technical Standard 39 for the idea of look-alikes.
Which letters look alike is not taken from its list of thousands: any letter or digit outside ASCII in a place where
only ASCII can stand is one, as what matters is that a person may not see it.
"""

import unicodedata
from typing import Final

from gateway.errors import Refusal
from gateway.formats.addresses.model import wrong
from gateway.formats.codes import Code

MAX_CHARS: Final = 512
"""As in evidence.proto: Zcash unified addresses run to 509."""

_LETTER_OR_NUMBER: Final = ("L", "N")


def why_unreadable(text: str) -> Refusal:
    """Return why a text cannot be the address of any chain."""
    if not text or text.isspace():
        return wrong(Code.ADDRESS_EMPTY, "there is no address")
    if len(text) > MAX_CHARS:
        return wrong(Code.ADDRESS_LENGTH, f"longer than {MAX_CHARS} characters; no address is")
    if text != text.strip():
        return wrong(Code.ADDRESS_CHARACTER, "white space stands before or after it; take it away")
    at, character = next((at, each) for at, each in enumerate(text, 1) if not "!" <= each <= "~")
    return _why_not_visible_ascii(at, character)


def _why_not_visible_ascii(at: int, character: str) -> Refusal:
    # Naming a character says nothing of the others: were it a key, this could not be used.
    name = f"{unicodedata.name(character, 'a character without name')} (U+{ord(character):04X})"
    if character.isspace():
        return wrong(Code.ADDRESS_CHARACTER, f"white space within it: character {at}, {name}")
    if not character.isascii() and unicodedata.category(character).startswith(_LETTER_OR_NUMBER):
        return wrong(
            Code.ADDRESS_LOOKALIKE, f"character {at} is {name}: it may look like a Latin letter or digit, but is none"
        )
    return wrong(Code.ADDRESS_CHARACTER, f"character {at} is {name}: no address has it, and it may be invisible")
