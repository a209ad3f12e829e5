import json
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_97_10

from gateway.errors import Refusal
from gateway.formats import lei
from gateway.formats.codes import Code

CASES = json.loads((Path(__file__).parents[1] / "data" / "lei.json").read_bytes())
GOOD = "5493004QRTOY0WERIJ41"


def answer(read: Callable[[str], str], text: str) -> str:
    try:
        return "as written" if read(text) == text else ""
    except Refusal as error:
        return error.rule


def rule_of(text: str) -> str:
    with pytest.raises(Refusal) as caught:
        lei.lei(text, "[3].lei")
    assert caught.value.field == "[3].lei"
    assert not text or text not in caught.value.detail
    return caught.value.rule


@pytest.mark.parametrize("case", CASES, ids=[case["lei"] or "empty" for case in CASES])
def test_every_published_lei_gets_its_label(case: dict[str, object]) -> None:
    text = str(case["lei"])
    if case["valid"]:
        assert lei.lei(text) == text
    else:
        rule = Code.LEI_CHECK_DIGITS if case["why"] == "check digits wrong" else Code.LEI_FORMAT
        assert rule_of(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD.lower(), id="lower case, which stdnum takes"),
        pytest.param(f"{GOOD[:4]} {GOOD[4:]}", id="a space, which stdnum removes"),
        pytest.param(f"{GOOD[:4]}-{GOOD[4:]}", id="a hyphen, which stdnum removes"),
        pytest.param(f" {GOOD}", id="a space before"),
        pytest.param(f"{GOOD}\n", id="a line break behind"),
        pytest.param("0" * 18 + "98" + "0", id="21 characters"),
        pytest.param("01", id="two characters of remainder 1, which stdnum takes"),
        pytest.param(GOOD.replace("0", "\u0660"), id="Arabic zeros"),
        pytest.param(GOOD.replace("O", "\u041e"), id="a Cyrillic O"),
    ],
)
def test_text_that_is_not_exactly_an_lei_is_refused(text: str) -> None:
    assert rule_of(text) == Code.LEI_FORMAT


def test_check_digits_that_only_the_remainder_lets_pass_are_refused() -> None:
    # 98 - 97 = 01: remainder 1, yet ISO 7064 gives 98 and never 01.
    base = next(f"{n:018d}" for n in range(1000) if mod_97_10.calc_check_digits(f"{n:018d}") == "98")
    assert lei.lei(f"{base}98")
    assert rule_of(f"{base}01") == Code.LEI_CHECK_DIGITS


def test_every_change_of_one_digit_or_one_letter_is_found() -> None:
    for case in CASES:
        if not case["valid"]:
            continue
        text = case["lei"]
        for position, character in enumerate(text):
            alike = string.digits if character in string.digits else string.ascii_uppercase
            for other in alike.replace(character, ""):
                assert rule_of(text[:position] + other + text[position + 1 :]) == Code.LEI_CHECK_DIGITS


@given(st.text(max_size=40))
def test_any_text_gets_an_answer(text: str) -> None:
    for read in (lei.lei, lei.lei_form, lei.iban, lei.bic):
        assert answer(read, text)


@given(st.text(alphabet=string.ascii_uppercase + string.digits, min_size=4, max_size=34))
def test_any_text_that_looks_like_a_number_of_an_account_gets_an_answer(text: str) -> None:
    for read in (lei.iban, lei.bic):
        assert answer(read, text)


@pytest.mark.parametrize("text", ["DE89370400440532013000", "SK3112000000198742637541", "GB29NWBK60161331926819"])
def test_iban_is_read(text: str) -> None:
    assert lei.iban(text) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        pytest.param("DE89370400440532013001", Code.IBAN_CHECK_DIGITS, id="wrong digit"),
        pytest.param("DE89 3704 0044 0532 0130 00", Code.IBAN_FORMAT, id="as printed"),
        pytest.param("de89370400440532013000", Code.IBAN_FORMAT, id="lower case"),
        pytest.param("XX89370400440532013000", Code.IBAN_CHECK_DIGITS, id="no country"),
        pytest.param("SK68370400440532013000" + "0" * 12, Code.IBAN_CHECK_DIGITS, id="too long"),
        pytest.param("ZZ07", Code.IBAN_FORMAT, id="nothing behind the check digits"),
    ],
)
def test_what_is_no_iban_is_refused(text: str, rule: Code) -> None:
    with pytest.raises(Refusal) as caught:
        lei.iban(text)
    assert caught.value.rule == rule


def test_iban_of_no_known_country_is_refused() -> None:
    text = next(f"ZZ{n:02d}12345678" for n in range(2, 99) if mod_97_10.is_valid(f"12345678ZZ{n:02d}"))
    with pytest.raises(Refusal) as caught:
        lei.iban(text)
    assert caught.value.rule == Code.IBAN_FORMAT


# The last has digits in its prefix, as ISO 9362:2014 allows, and the contract.
@pytest.mark.parametrize("text", ["DEUTDEFF", "DEUTDEFF500", "E097AEXX"])
def test_bic_is_read(text: str) -> None:
    assert lei.bic(text) == text


@pytest.mark.parametrize(
    "text", ["", "DEUTDEF", "DEUT DE FF", "deutdeff", "DEUTZZFF", "DEUTDEFF5", "DEUTDEFF5000", "DEUT1EFF"]
)
def test_what_is_no_bic_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        lei.bic(text)
    assert caught.value.rule == Code.BIC_FORMAT
