from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import evidence_pb2 as evidence

from gateway.errors import Refusal
from gateway.formats import amounts
from gateway.formats.codes import Code

BITCOIN = "bip122:000000000019d6689c085ae165831e93/slip44:0"
USDC = "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"


def amount(**changes: object) -> evidence.AssetAmount:
    fields: dict[str, object] = {"asset": BITCOIN, "base_units": "150000000", "decimals": 8, "dti": "4H95J0R2X"}
    fields |= changes
    return evidence.AssetAmount(**{name: value for name, value in fields.items() if value is not None})  # type: ignore[arg-type]


def answer(read: Callable[[str, int], str], text: str) -> str:
    try:
        return read(text, 8)
    except Refusal as error:
        return error.rule


def valuation(value: str = "90000.00", rate: str = "60000", currency: str = "EUR") -> evidence.Valuation:
    return evidence.Valuation(
        value=evidence.Money(currency=currency, amount=value),
        source="a market",
        method=evidence.VALUATION_METHOD_DAILY_CLOSE,
        at_us=1,
        rate=rate,
    )


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("0.5", 8, "50000000"),
        ("1", 18, "1000000000000000000"),
        ("0.00000001", 8, "1"),
        ("0", 8, "0"),
        ("0.00", 8, "0"),
        ("21000000.00000000", 8, "2100000000000000"),
        ("17", 0, "17"),
        # A float would give 100000000000000000 here, and lose seven wei.
        ("0.100000000000000007", 18, "100000000000000007"),
    ],
)
def test_decimal_becomes_base_units_exactly(text: str, decimals: int, units: str) -> None:
    assert amounts.to_units(text, decimals) == units


@pytest.mark.parametrize(
    ("text", "decimals", "rule"),
    [
        ("0.000000001", 8, Code.AMOUNT_DECIMALS),
        ("1.50", 1, Code.AMOUNT_DECIMALS),
        ("1.0", 0, Code.AMOUNT_DECIMALS),
        ("1" + "0" * 77, 1, Code.AMOUNT_TOO_LARGE),
        ("", 8, Code.AMOUNT_FORMAT),
        ("-1", 8, Code.AMOUNT_FORMAT),
        ("+1", 8, Code.AMOUNT_FORMAT),
        ("1e8", 8, Code.AMOUNT_FORMAT),
        ("1,5", 8, Code.AMOUNT_FORMAT),
        ("1.", 8, Code.AMOUNT_FORMAT),
        (".5", 8, Code.AMOUNT_FORMAT),
        ("01", 8, Code.AMOUNT_FORMAT),
        ("1 000", 8, Code.AMOUNT_FORMAT),
        ("\u0661", 8, Code.AMOUNT_FORMAT),
        ("NaN", 8, Code.AMOUNT_FORMAT),
        ("1\n", 8, Code.AMOUNT_FORMAT),
    ],
)
def test_what_cannot_be_said_exactly_is_refused(text: str, decimals: int, rule: Code) -> None:
    with pytest.raises(Refusal) as caught:
        amounts.to_units(text, decimals, "[0].amount")
    assert (caught.value.rule, caught.value.field) == (rule, "[0].amount")


@pytest.mark.parametrize("units", ["", "-1", "01", "1.0", "1" * 79, "\u0661"])
def test_what_is_no_base_units_is_refused(units: str) -> None:
    with pytest.raises(Refusal) as caught:
        amounts.from_units(units, 8)
    assert caught.value.rule == Code.AMOUNT_FORMAT


@given(st.integers(0, 10**78 - 1), st.integers(0, 77))
def test_base_units_come_back_as_they_were(units: int, decimals: int) -> None:
    text = amounts.from_units(str(units), decimals)
    assert amounts.to_units(text, decimals) == str(units)
    assert not text.endswith(".")


def test_decimals_that_no_coin_has_are_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="decimals"):
        amounts.to_units("1", 78)


@given(st.text(max_size=100))
def test_any_text_gets_an_answer(text: str) -> None:
    for read in (amounts.to_units, amounts.from_units):
        assert answer(read, text)


@pytest.mark.parametrize(
    "good",
    [
        pytest.param(amount(), id="bitcoin"),
        pytest.param(amount(decimals=None, dti=""), id="decimals and DTI left out"),
        pytest.param(amount(valuation=valuation()), id="value is quantity times rate"),
        pytest.param(amount(valuation=valuation("90000.01", "60000.00")), id="rounded up"),
        pytest.param(amount(valuation=valuation("123.45", "")), id="no rate"),
        pytest.param(amount(asset=USDC, decimals=6, dti=""), id="token"),
        pytest.param(
            amount(asset=USDC, decimals=None, dti="", valuation=valuation("1", "60000")),
            id="token whose decimals nobody says, so its rate cannot be held against it",
        ),
        pytest.param(amount(decimals=None, valuation=valuation("90000")), id="decimals are the coin's"),
    ],
)
def test_amount_that_agrees_with_itself_is_good(good: evidence.AssetAmount) -> None:
    amounts.check_amount(good, "[0]")


@pytest.mark.parametrize(
    ("bad", "rule", "field"),
    [
        pytest.param(
            amount(decimals=18), Code.DECIMALS_CONTRADICT_ASSET, "[0].decimals", id="decimals of another coin"
        ),
        pytest.param(amount(dti="X9J9K872S"), Code.DTI_CONTRADICTS_ASSET, "[0].dti", id="DTI of another coin"),
        pytest.param(amount(dti="WTX0G7K47"), Code.DTI_CHECK_CHARACTER, "[0].dti", id="DTI misspelt"),
        pytest.param(
            amount(asset="bip122:000000000019d6689c085ae165831e93/slip44:2"),
            Code.COIN_OF_OTHER_CHAIN,
            "[0].asset",
            id="coin of another chain",
        ),
        pytest.param(amount(base_units="1.5"), Code.CONTRACT, "[0].base_units", id="a decimal point"),
        pytest.param(
            amount(valuation=valuation(currency="HRK")),
            Code.CURRENCY,
            "[0].valuation.value.currency",
            id="withdrawn currency",
        ),
        pytest.param(
            amount(valuation=valuation(currency="XAU")), Code.CURRENCY, "[0].valuation.value.currency", id="gold"
        ),
        pytest.param(
            amount(valuation=valuation("91000.00")),
            Code.RATE_CONTRADICTS_VALUE,
            "[0].valuation.rate",
            id="value too high",
        ),
        pytest.param(
            amount(valuation=valuation("90000.00", "0.6")),
            Code.RATE_CONTRADICTS_VALUE,
            "[0].valuation.rate",
            id="rate a hundred thousand times too low",
        ),
        pytest.param(
            amount(valuation=valuation("90000.03", "60000.00")),
            Code.RATE_CONTRADICTS_VALUE,
            "[0].valuation.rate",
            id="more than rounding explains",
        ),
    ],
)
def test_amount_that_contradicts_itself_is_refused(bad: evidence.AssetAmount, rule: Code, field: str) -> None:
    with pytest.raises(Refusal) as caught:
        amounts.check_amount(bad, "[0]")
    assert (caught.value.rule, caught.value.field) == (rule, field)
