"""Legal Entity Identifiers, and the numbers of bank accounts and banks.

In: a text. Out: the same text. Refuses, with BAD_INPUT, the position and the rule, what is not exactly as its
standard writes it. Nothing is tidied up: python-stdnum, which computes the check digits, takes lower case, spaces and
hyphens and removes them, and then two texts would name one firm; a signed order must spell a name one way.

Right check digits prove spelling, not that the number was ever issued: that, only the register knows, GLEIF's for LEI.

Sources: ISO 17442-1 (LEI), ISO/IEC 7064 MOD 97-10, ISO 13616-1 (IBAN, with the structures of SWIFT's registry as
python-stdnum carries them), ISO 9362 (BIC).
"""

import re
from typing import Final

from stdnum import bic as _bic
from stdnum import iban as _iban
from stdnum.exceptions import InvalidChecksum, ValidationError
from stdnum.iso7064 import mod_97_10

from gateway.formats.codes import Code, refuse

LEI_CHARS: Final = 20

_LEI: Final = re.compile(r"[0-9A-Z]{18}[0-9]{2}")
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[0-9A-Za-z]{1,30}")
_BIC: Final = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[0-9A-Z]{2}([0-9A-Z]{3})?")


def lei_form(text: str, where: str = "") -> str:
    """Return a text that has the form of an LEI, whatever its check digits.

    Raises:
        Refusal: BAD_INPUT, rule LEI_FORMAT.

    Source: ISO 17442-1, 5: 18 capitals or digits, then two check digits; LEIText of IVMS101 is the same.
    """
    if _LEI.fullmatch(text):
        return text
    # stdnum does not look at the length at all: any text whose remainder is 1 would do.
    if len(text) == LEI_CHARS and _LEI.fullmatch(text.upper()):
        detail = "an LEI is written in capital letters"
    elif len(_without_separators(text)) == LEI_CHARS != len(text):
        detail = "an LEI is written without spaces or hyphens"
    else:
        detail = "an LEI is 18 capital letters or digits and two check digits"
    raise refuse(Code.LEI_FORMAT, detail, where)


def lei(text: str, where: str = "") -> str:
    """Return a text that is an LEI with right check digits.

    Raises:
        Refusal: BAD_INPUT, rule LEI_FORMAT or LEI_CHECK_DIGITS.

    Source: ISO 17442-1, annex A; ISO/IEC 7064 MOD 97-10.
    """
    lei_form(text, where)
    # Computed and compared: the remainder alone would let 00, 01 and 99 pass for 97, 98 and 02, which none is given.
    if mod_97_10.calc_check_digits(text[:-2]) != text[-2:]:
        raise refuse(Code.LEI_CHECK_DIGITS, "the check digits of this LEI do not fit: a character is wrong", where)
    return text


def iban(text: str, where: str = "") -> str:
    """Return a text that is an IBAN in its electronic form.

    Raises:
        Refusal: BAD_INPUT, rule IBAN_FORMAT or IBAN_CHECK_DIGITS.

    Source: ISO 13616-1, 6.
    """
    if not _IBAN.fullmatch(text) or text != text.upper():
        raise refuse(Code.IBAN_FORMAT, "an IBAN is written in capitals and digits, without spaces", where)
    try:
        _iban.validate(text)
    except InvalidChecksum as error:
        raise refuse(
            Code.IBAN_CHECK_DIGITS, "the check digits of this IBAN do not fit: a character is wrong", where
        ) from error
    except ValidationError as error:
        raise refuse(Code.IBAN_FORMAT, "not the form that IBANs of its country have", where) from error
    return text


def bic(text: str, where: str = "") -> str:
    """Return a text that is a BIC of 8 or 11 characters.

    Raises:
        Refusal: BAD_INPUT, rule BIC_FORMAT. A BIC has no check digits.

    Source: ISO 9362:2014: a prefix of four letters or digits, a country, a suffix, perhaps a branch; ISO 20022,
    BICFIDec2014Identifier.
    """
    if not _BIC.fullmatch(text):
        raise refuse(Code.BIC_FORMAT, "a BIC is 8 or 11 capitals and digits, without spaces", where)
    try:
        # Of the prefix, stdnum knows the letters only of the standard before 2014.
        _bic.validate(f"AAAA{text[4:]}")
    except ValidationError as error:
        raise refuse(
            Code.BIC_FORMAT, "the fifth and sixth letter of a BIC are a country, and these are none", where
        ) from error
    return text


def _without_separators(text: str) -> str:
    return text.replace(" ", "").replace("-", "")
