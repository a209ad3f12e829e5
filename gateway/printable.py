"""Text of others: made safe to show; and whether a person who reads it sees anything.

In: any text. Out: the same with all that is not printable escaped: no text of a document or a foreign node may move a
cursor, turn the direction of what stands beside it, or begin a line of its own. Or whether something of it is visible:
a reason that somebody must give is one that can be read.
"""

import unicodedata
from typing import Final

_VISIBLE: Final = "LNPS"
"""Letters, numbers, punctuation, symbols (Unicode 15.1 section 4.5). A mark alone stands on nothing."""

_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0\U0001d159")
"""Letters and symbols that are blank all the same: fillers of Hangul, Braille without dots, a note without a head."""


def printable(text: str) -> str:
    r"""Return `text` on one line, everything that is not printable escaped, e.g. `\x1b`."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def is_visible(text: str) -> bool:
    """Whether a person sees something of a text, and nothing of it is not printable."""
    return text.isprintable() and any(_is_seen(each) for each in text)


def _is_seen(character: str) -> bool:
    return unicodedata.category(character)[0] in _VISIBLE and character not in _BLANK
