"""Identifiers of assets in lists, whichever standard they are of.

In: an identifier after CAIP-2, CAIP-10, CAIP-19 or ISO 24165, with or without its kind. Out: the canonical spelling,
and whether more than its grammar could be checked. Refuses, with BAD_INPUT, the position and the rule, what is none.

A good identifier on a chain that is not known here is read, with `checked` false: CAIP is open, and a list may name
what we cannot judge. Whoever freezes asks for `checked`.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from gateway.formats import caip, chains, dti
from gateway.formats.codes import Code, refuse

MAX_TEXT_CHARS: Final = 300
"""Longer than any CAIP identifier: CAIP-19 with a token id comes to 258."""


@unique
class Kind(StrEnum):
    """What an identifier identifies, in the words of lists."""

    CHAIN = "caip2"
    ACCOUNT = "caip10"
    ASSET = "caip19"
    DTI = "dti"


@dataclass(frozen=True, slots=True)
class Identifier:
    """An identifier that was read.

    Args:
        kind: what it identifies.
        text: canonical spelling.
        checked: false if nothing but its grammar is known here.
    """

    kind: Kind
    text: str
    checked: bool


def identifier(text: str, kind: Kind | None = None, where: str = "") -> Identifier:
    """Read an identifier of one kind, or of the kind that it looks like.

    Raises:
        Refusal: BAD_INPUT, as `caip` and `dti` do.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise refuse(Code.TOO_LONG, f"longer than {MAX_TEXT_CHARS} characters", where)
    kind = kind or _kind(text)
    match kind:
        case Kind.CHAIN:
            return Identifier(kind, caip.chain_id(text, where), chains.checkable(text) is not None)
        case Kind.ACCOUNT:
            account = caip.account_id(text, where)
            return Identifier(kind, account.text, account.checked)
        case Kind.ASSET:
            found = caip.asset(text, where)
            return Identifier(kind, found.text, found.checked)
    # What is left is Kind.DTI.
    return Identifier(kind, dti.read(text, where), text in dti.NATIVE)


def identify(entry: object, where: str = "") -> Identifier:
    """Read one entry of a list: a text, or an object with `id` or `value`, and perhaps `kind`.

    Raises:
        Refusal: BAD_INPUT, rule WRONG_TYPE, MISSING or IDENTIFIER_KIND, or as `identifier` does.
    """
    if isinstance(entry, str):
        return identifier(entry, where=where)
    if not isinstance(entry, dict):
        raise refuse(Code.WRONG_TYPE, "a text, or an object with `id`, is wanted", where)
    name = "id" if "id" in entry else "value"
    if name not in entry:
        raise refuse(Code.MISSING, "`id` is missing", where)
    text, kind = entry[name], entry.get("kind")
    if not isinstance(text, str):
        raise refuse(Code.WRONG_TYPE, "a text is wanted", f"{where}.{name}")
    if kind is not None and kind not in _KINDS:
        raise refuse(Code.IDENTIFIER_KIND, "`kind` is one of caip2, caip10, caip19 and dti", f"{where}.kind")
    return identifier(text, None if kind is None else Kind(kind), f"{where}.{name}")


_KINDS: Final = tuple(each.value for each in Kind)


def _kind(text: str) -> Kind:
    if "/" in text:
        return Kind.ASSET
    if ":" not in text:
        return Kind.DTI
    return Kind.CHAIN if text.count(":") == 1 else Kind.ACCOUNT
