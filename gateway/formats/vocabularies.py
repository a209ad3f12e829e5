"""Countries, currencies, languages and days, in the words of their standards.

In: a text that somebody else wrote. Out: the one spelling of it. Refuses what is in no list, with BAD_INPUT, the
position and the rule COUNTRY, CURRENCY, LANGUAGE or DATE.

Sources: ISO 3166-1 and ISO 4217 as pycountry carries them (Debian's iso-codes, released every few months; a table of
our own would be stale at the next coup or coin); BCP 47 (RFC 5646) as langcodes reads it; ISO 8601 for days. The lists
are read once, at import; that of languages when the first text names one.
"""

import re
from datetime import date
from types import MappingProxyType
from typing import Final

import pycountry

from gateway.formats.codes import Code, refuse

COUNTRIES: Final = frozenset(country.alpha_2 for country in pycountry.countries)
"""ISO 3166-1 alpha-2, officially assigned codes only."""

UNKNOWN_COUNTRY: Final = "XX"
"""Unknown State (WIPO ST.3); IVMS101 allows it, most of our documents do not."""

EU_SPELLINGS: Final = MappingProxyType({"EL": "GR", "UK": "GB"})
"""Codes of the EU's Interinstitutional Style Guide (7.1.1) that differ from ISO 3166-1."""

CURRENCIES: Final = frozenset(currency.alpha_3 for currency in pycountry.currencies)
"""ISO 4217, active codes; those that were withdrawn (HRK, BGN) are in a list of their own and not here."""

NO_MONEY: Final = frozenset({"XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XPD", "XPT", "XTS", "XXX"})
"""ISO 4217 codes of metals, of bond units, for testing, and for no currency at all."""

MAX_LANGUAGE_CHARS: Final = 35
"""RFC 5646, 4.4.1: room for every tag without extensions."""

_ALPHA_2: Final = re.compile(r"[A-Z]{2}")
_LANGUAGE: Final = re.compile(r"[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8})*")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def country(text: str, where: str = "", *, unknown: bool = False) -> str:
    """Return the ISO 3166-1 alpha-2 code that a text is.

    Args:
        text: two capitals; the EU's EL and UK are read as GR and GB.
        where: position, for the refusal.
        unknown: whether XX, for an unknown State, is allowed.

    Raises:
        Refusal: BAD_INPUT, rule COUNTRY.
    """
    if not _ALPHA_2.fullmatch(text):
        raise refuse(Code.COUNTRY, "a country is two capital letters, ISO 3166-1 alpha-2, not a name", where)
    code = EU_SPELLINGS.get(text, text)
    if code in COUNTRIES or (unknown and code == UNKNOWN_COUNTRY):
        return code
    raise refuse(Code.COUNTRY, "ISO 3166-1 has no country of this code", where)


def currency(text: str, where: str = "") -> str:
    """Return an ISO 4217 code in which something can be paid.

    Raises:
        Refusal: BAD_INPUT, rule CURRENCY: no code, withdrawn, or of a metal or a test.
    """
    if text not in CURRENCIES:
        raise refuse(Code.CURRENCY, "no active currency of ISO 4217, three capital letters", where)
    if text in NO_MONEY:
        raise refuse(
            Code.CURRENCY, "ISO 4217 has this code for a metal, a unit of account or a test, not for money", where
        )
    return text


def language(text: str, where: str = "") -> str:
    """Return a BCP 47 language tag in its standard spelling, e.g. `sr-Latn` for `SR-latn` and `he` for `iw`.

    Well-formed is not enough: every subtag must be in the IANA registry (RFC 5646, 2.2.9).

    Raises:
        Refusal: BAD_INPUT, rule LANGUAGE.
    """
    import langcodes  # noqa: PLC0415  its lists take as long to read as all else here, and few texts name a language

    # langcodes also takes underscores, which are of POSIX and not of BCP 47.
    if len(text) <= MAX_LANGUAGE_CHARS and _LANGUAGE.fullmatch(text) and langcodes.tag_is_valid(text):
        return str(langcodes.standardize_tag(text))
    raise refuse(Code.LANGUAGE, "a language is a tag after BCP 47, e.g. `de` or `sr-Latn`", where)


def day(text: str, where: str = "") -> date:
    """Return the day that a text YYYY-MM-DD names.

    Raises:
        Refusal: BAD_INPUT, rule DATE: another form, or no day of the calendar.
    """
    if _DAY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass  # digits that are no day, e.g. the 31st of June
    raise refuse(Code.DATE, "a day is written YYYY-MM-DD, and must be in the calendar", where)
