from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.formats import vocabularies
from gateway.formats.codes import Code


def answer(read: Callable[[str], object], text: str) -> str:
    try:
        return str(read(text))
    except Refusal as error:
        return error.rule


def test_country_is_read_and_codes_of_the_eu_become_those_of_iso() -> None:
    assert [vocabularies.country(text) for text in ("SK", "EL", "UK", "GR")] == ["SK", "GR", "GB", "GR"]


def test_unknown_country_is_read_only_where_it_is_allowed() -> None:
    assert vocabularies.country("XX", unknown=True) == "XX"
    with pytest.raises(Refusal) as caught:
        vocabularies.country("XX")
    assert caught.value.rule == Code.COUNTRY


@pytest.mark.parametrize("text", ["", "sk", "SVK", "ZZ", "EU", "SU", "Slovakia", "S\u041a", "SK\n"])
def test_what_is_no_country_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        vocabularies.country(text, "[1].country")
    assert (caught.value.rule, caught.value.field) == (Code.COUNTRY, "[1].country")


@pytest.mark.parametrize("text", ["EUR", "USD", "CHF", "JPY", "XOF", "XDR"])
def test_active_currency_is_read(text: str) -> None:
    assert vocabularies.currency(text) == text


@pytest.mark.parametrize("text", ["", "eur", "DEM", "HRK", "BTC", "USDT", "XAU", "XTS", "XXX", "978"])
def test_what_is_no_active_currency_of_a_state_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        vocabularies.currency(text)
    assert caught.value.rule == Code.CURRENCY


@pytest.mark.parametrize(
    ("text", "standard"),
    [("de", "de"), ("sr-latn", "sr-Latn"), ("EN-gb", "en-GB"), ("iw", "he"), ("zh-Hant-TW", "zh-Hant-TW")],
)
def test_language_is_read_in_its_standard_spelling(text: str, standard: str) -> None:
    assert vocabularies.language(text) == standard


@pytest.mark.parametrize(
    "text", ["", "zz", "german", "en_GB", "en-", "-en", "en-a", "de-419-DE", "x" * 36, "d\u0435", "en--GB"]
)
def test_what_is_no_language_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        vocabularies.language(text)
    assert caught.value.rule == Code.LANGUAGE


def test_day_is_read() -> None:
    assert vocabularies.day("2024-02-29") == date(2024, 2, 29)


@pytest.mark.parametrize(
    "text", ["", "2023-02-29", "2024-13-01", "0000-01-01", "20240229", "29.02.2024", "2024-2-9", "\u0662024-01-01"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        vocabularies.day(text)
    assert caught.value.rule == Code.DATE


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8}){0,4}", fullmatch=True))
def test_any_text_gets_an_answer(text: str) -> None:
    for read in (vocabularies.country, vocabularies.currency, vocabularies.language, vocabularies.day):
        assert answer(read, text)
