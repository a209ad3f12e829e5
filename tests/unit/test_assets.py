import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.formats import assets, caip, dti
from gateway.formats.codes import Code

DATA = Path(__file__).parents[1] / "data"
CASES = json.loads((DATA / "caip.json").read_bytes())
EVM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BITCOIN = "bip122:000000000019d6689c085ae165831e93"
RIPPLE = "rPEPPER7kfTD9w2To4CQk6UCfuHM9c6GDY"
STELLAR = "GDQP2KPQGKIHYJGXNUIYOMHARUARCA7DJT5FO2FFOOKY3B2WSQHG4W37"
SOLANA = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


def answer(entry: object) -> str:
    try:
        return assets.identify(entry).text
    except Refusal as error:
        return error.rule


def rule_of(entry: object, where: str = "[3].value") -> str:
    with pytest.raises(Refusal) as caught:
        assets.identify(entry, "[3]")
    assert caught.value.field.startswith(where[:3])
    return caught.value.rule


@pytest.mark.parametrize("case", CASES, ids=[f"{case['kind']}-{n}" for n, case in enumerate(CASES)])
def test_every_published_identifier_gets_its_label(case: dict[str, object]) -> None:
    if not case["valid"]:
        assert rule_of(case)
        return
    found = assets.identify(case, "[3]")
    assert found.kind == case["kind"]
    if case["address_checksum_ok"]:
        assert found.checked
    if case.get("canonical") is False:
        assert found.text != case["value"]
    # The canonical text is its own canonical text.
    assert assets.identifier(found.text, found.kind) == found


def test_kind_of_every_good_identifier_is_recognised() -> None:
    for case in CASES:
        if case["valid"]:
            assert assets.identify({"id": case["value"]}) == assets.identify(case)


def test_every_number_of_an_evm_chain_makes_a_chain_id() -> None:
    numbers = json.loads((DATA / "eip155_chain_ids.json").read_bytes())
    assert len(numbers) == 510
    assert max(numbers) == 868455272153094
    for number in numbers:
        assert caip.chain_id(f"eip155:{number}") == f"eip155:{number}"
        account = caip.account_id(f"eip155:{number}:{EVM.lower()}")
        assert account.checked
        # Case by case is the business of the address: Rootstock has its own (EIP-1191).
        assert account.text.lower() == f"eip155:{number}:{EVM}".lower()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", Code.CHAIN_ID_FORMAT),
        ("eip155", Code.CHAIN_ID_FORMAT),
        ("eip155:", Code.CHAIN_ID_FORMAT),
        ("ei:1", Code.CHAIN_ID_FORMAT),
        ("EIP155:1", Code.CHAIN_ID_FORMAT),
        ("ninechars:1", Code.CHAIN_ID_FORMAT),
        ("eip155:01", Code.CHAIN_ID_FORMAT),
        ("eip155:0x1", Code.CHAIN_ID_FORMAT),
        ("eip155:\u0661", Code.CHAIN_ID_FORMAT),
        ("eip155:1\n", Code.CHAIN_ID_FORMAT),
        ("cosmos:" + "x" * 33, Code.CHAIN_ID_FORMAT),
        ("bip122:000000000019D6689C085AE165831E93", Code.CHAIN_ID_FORMAT),
        ("bip122:000000000019d6689c085ae165831e9", Code.CHAIN_ID_FORMAT),
        ("tvm:-0", Code.CHAIN_ID_FORMAT),
        ("x" * 301, Code.TOO_LONG),
    ],
)
def test_what_is_no_chain_id_is_refused(text: str, rule: Code) -> None:
    assert rule_of({"value": text, "kind": "caip2"}) == rule


@pytest.mark.parametrize(
    ("text", "canonical", "tag"),
    [
        (f"eip155:1:{EVM.lower()}", f"eip155:1:{EVM}", ""),
        (f"xrpl:0:{RIPPLE}-495", f"xrpl:0:{RIPPLE}-495", "495"),
        (f"xrpl:0:{RIPPLE}-0", f"xrpl:0:{RIPPLE}-0", "0"),
        (
            "xrpl:0:XVLhHMPHU98es4dbozjVtdWzVrDjtV18pX8yuPT7y4xaEHi",
            "xrpl:0:rGWrZyQqhTp9Xu7G5Pkayo7bXjH4k4QYpf-4294967295",
            "4294967295",
        ),
        (f"stellar:pubnet:{STELLAR}-a-b", f"stellar:pubnet:{STELLAR}-a-b", "a-b"),
        (f"stellar:pubnet:{STELLAR}-na%C3%AFve", f"stellar:pubnet:{STELLAR}-na%C3%AFve", "na\u00efve"),
        (f"stellar:pubnet:{STELLAR}-{'AB' * 32}", f"stellar:pubnet:{STELLAR}-{'ab' * 32}", "ab" * 32),
        (
            "bip122:000000000000000000651ef99cb9fcbe:bitcoincash%3Aqpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
            "bip122:000000000000000000651ef99cb9fcbe:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
            "",
        ),
        (
            f"tvm:-239:0%3a{'5E' * 32}",
            f"tvm:-239:0%3A{'5e' * 32}",
            "",
        ),
        ("near:mainnet:alice%2e1", "near:mainnet:alice.1", ""),
        ("hedera:mainnet:0.0.123-vfmkw", "hedera:mainnet:0.0.123-vfmkw", ""),
    ],
)
def test_account_is_read_with_its_tag_and_has_one_spelling(text: str, canonical: str, tag: str) -> None:
    found = caip.account_id(text)
    assert (found.text, found.tag) == (canonical, tag)
    assert caip.account_id(found.text) == found


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"eip155:1:{EVM.replace('5a', '5A')}", Code.ADDRESS_CHECKSUM),
        (f"eip155:1:{EVM}:1", Code.ACCOUNT_ID_FORMAT),
        ("eip155:1:", Code.ACCOUNT_ID_FORMAT),
        (f"eip155:01:{EVM}", Code.CHAIN_ID_FORMAT),
        (f"{BITCOIN}:{EVM}", Code.ADDRESS_OTHER_CHAIN),
        (f"xrpl:0:{RIPPLE}-", Code.TAG_FORMAT),
        (f"xrpl:0:{RIPPLE}-4294967296", Code.TAG_FORMAT),
        (f"xrpl:0:{RIPPLE}-01", Code.TAG_FORMAT),
        (f"xrpl:0:{RIPPLE}-x", Code.TAG_FORMAT),
        ("xrpl:0:XVLhHMPHU98es4dbozjVtdWzVrDjtV18pX8yuPT7y4xaEHi-1", Code.TAG_NOT_ALLOWED),
        (f"stellar:pubnet:{STELLAR}-", Code.TAG_FORMAT),
        (f"stellar:pubnet:{STELLAR}-{'x' * 29}", Code.TAG_FORMAT),
        (f"stellar:pubnet:{STELLAR}-a%0Ab", Code.TAG_FORMAT),
        ("near:mainnet:a%2", Code.PERCENT_ENCODING),
        ("near:mainnet:a%zz", Code.PERCENT_ENCODING),
        ("near:mainnet:a%FF", Code.PERCENT_ENCODING),
        ("near:mainnet:" + "x" * 129, Code.ACCOUNT_ID_FORMAT),
    ],
)
def test_what_is_no_account_is_refused(text: str, rule: Code) -> None:
    assert rule_of({"value": text, "kind": "caip10"}) == rule


def test_account_on_a_chain_that_is_not_known_is_read_and_says_so() -> None:
    assert assets.identify("aleo:0:aleo1xyz") == assets.Identifier(
        assets.Kind.ACCOUNT, "aleo:0:aleo1xyz", checked=False
    )
    assert not assets.identify("aleo:0").checked
    assert not assets.identify("eip155:1/erc9999:" + EVM).text.endswith(EVM.lower())


@pytest.mark.parametrize(
    ("text", "canonical", "checked"),
    [
        (f"eip155:1/erc20:{EVM.lower()}", f"eip155:1/erc20:{EVM}", True),
        (f"eip155:1/erc721:{EVM}/007", f"eip155:1/erc721:{EVM}/7", True),
        (f"eip155:1/erc1155:{EVM}/{2**256 - 1}", f"eip155:1/erc1155:{EVM}/{2**256 - 1}", True),
        (f"eip155:1/erc4626:{EVM}", f"eip155:1/erc4626:{EVM}", True),
        ("eip155:868455272153094/slip44:60", "eip155:868455272153094/slip44:60", True),
        ("tron:0x2b6653dc/trc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",) * 2 + (True,),
        ("tron:0x2b6653dc/trc10:1002000",) * 2 + (True,),
        (f"{SOLANA}/token:{MINT}", f"{SOLANA}/token:{MINT}", True),
        (f"{SOLANA}/nft:{MINT}", f"{SOLANA}/nft:{MINT}", True),
        (f"xrpl:0/token:USD.{RIPPLE}", f"xrpl:0/token:USD.{RIPPLE}", True),
        # 524C555344 spells RLUSD; the profile has both ways of writing among its test cases.
        (f"xrpl:0/token:RLUSD.{RIPPLE}", f"xrpl:0/token:524C555344{'0' * 30}.{RIPPLE}", True),
        # 555344 spells USD: XRPL, "Currency Formats".
        (f"xrpl:0/token:{'0' * 24}555344{'0' * 10}.{RIPPLE}", f"xrpl:0/token:USD.{RIPPLE}", True),
        (f"xrpl:0/xls30:03{'AB' * 19}.{RIPPLE}", f"xrpl:0/xls30:03{'AB' * 19}.{RIPPLE}", True),
        (f"stellar:pubnet/asset:USDC-{STELLAR}", f"stellar:pubnet/asset:USDC-{STELLAR}", True),
        (f"stellar:pubnet/cap38:{'ab' * 32}", f"stellar:pubnet/cap38:{'ab' * 32}", True),
        ("hedera:mainnet/nft:0.0.55492/12", "hedera:mainnet/nft:0.0.55492/12", True),
        ("swift:0/iso4217:EUR", "swift:0/iso4217:EUR", True),
        ("cardano:1/token:abc/1", "cardano:1/token:abc/1", False),
        (f"{BITCOIN}/brc20:ordi", f"{BITCOIN}/brc20:ordi", False),
    ],
)
def test_asset_is_read_and_has_one_spelling(text: str, canonical: str, checked: bool) -> None:
    found = caip.asset(text)
    assert (found.text, found.checked) == (canonical, checked)
    assert caip.asset(found.text) == found


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"{BITCOIN}/slip44:2", Code.COIN_OF_OTHER_CHAIN),
        ("eip155:137/slip44:60", Code.COIN_OF_OTHER_CHAIN),
        (f"{BITCOIN}/slip44:00", Code.ASSET_REFERENCE),
        ("cosmos:x/slip44:2147483648", Code.ASSET_REFERENCE),
        ("eip155:1/slip44:60/1", Code.TOKEN_ID),
        ("eip155:1/slip44:BTC", Code.ASSET_REFERENCE),
        (f"eip155:1/erc20:{EVM}/1", Code.TOKEN_ID),
        (f"eip155:1/erc20:{EVM.replace('5a', '5A')}", Code.ADDRESS_CHECKSUM),
        (f"eip155:1/erc721:{EVM}/{2**256}", Code.TOKEN_ID),
        (f"eip155:1/erc721:{EVM}/0x7", Code.TOKEN_ID),
        (f"{BITCOIN}/erc20:{EVM}", Code.ASSET_REFERENCE),
        (f"xrpl:0/token:{RIPPLE}", Code.ASSET_REFERENCE),
        (f"xrpl:0/token:US.{RIPPLE}", Code.ASSET_REFERENCE),
        (f"xrpl:0/xls30:AB.{RIPPLE}", Code.ASSET_REFERENCE),
        ("xrpl:0/xls20:00", Code.ASSET_REFERENCE),
        (f"stellar:pubnet/asset:THIRTEENCHARS-{STELLAR}", Code.ASSET_REFERENCE),
        ("hedera:mainnet/nft:0.0.55492/x", Code.TOKEN_ID),
        ("swift:0/iso4217:HRK", Code.CURRENCY),
        ("near:mainnet/nep141:a%2", Code.PERCENT_ENCODING),
        ("near:mainnet/nep171:a/b%", Code.PERCENT_ENCODING),
        ("eip155:1/slip44", Code.ASSET_ID_FORMAT),
        ("eip155:1/slip44:60/", Code.ASSET_ID_FORMAT),
        ("/slip44:60", Code.ASSET_ID_FORMAT),
        ("ETH", Code.ASSET_ID_FORMAT),
        ("near:mainnet/nep141:" + "x" * 129, Code.ASSET_ID_FORMAT),
        ("near:mainnet/nep171:x/" + "x" * 79, Code.ASSET_ID_FORMAT),
    ],
)
def test_what_is_no_asset_is_refused(text: str, rule: Code) -> None:
    assert rule_of({"value": text, "kind": "caip19"}) == rule


@pytest.mark.parametrize("code", sorted(dti.NATIVE))
def test_dti_of_every_coin_fits_its_check_character_but_that_of_bitcoin(code: str) -> None:
    assert dti.read(code) == code
    assert (dti.check_character(code[:-1]) == code[-1]) == (code != dti.BITCOIN)
    assert assets.identify(code) == assets.Identifier(assets.Kind.DTI, code, checked=True)


def changes(code: str) -> list[str]:
    return [
        code[:position] + other + code[position + 1 :]
        for position, character in enumerate(code)
        for other in "0123456789BCDFGHJKLMNPQRSTVWXZ".replace(character, "")
    ]


def test_every_change_of_one_character_of_a_dti_is_found() -> None:
    for code in set(dti.NATIVE) - {dti.BITCOIN}:
        for changed in changes(code):
            wanted = Code.DTI_FORMAT if changed[0] == "0" else Code.DTI_CHECK_CHARACTER
            assert rule_of({"value": changed, "kind": "dti"}) == wanted


def test_check_character_finds_every_single_wrong_character() -> None:
    # By induction over the eight steps: no step makes two different states, or two different characters, equal.
    alphabet, products = "0123456789BCDFGHJKLMNPQRSTVWXZ", range(1, 31)
    for product in products:
        assert {dti._next(product, character) for character in alphabet} == set(products)
    for character in alphabet:
        assert {dti._next(product, character) for product in products} == set(products)


def test_misspelt_dti_of_bitcoin_may_fit_but_is_of_no_coin() -> None:
    fitting = [changed for changed in changes(dti.BITCOIN) if dti.check_character(changed[:-1]) == changed[-1]]
    assert len(fitting) <= len(dti.BITCOIN)
    assert not set(fitting) & set(dti.NATIVE)


@given(
    st.text(alphabet="0123456789BCDFGHJKLMNPQRSTVWXZ", min_size=8, max_size=8), st.integers(0, 8), st.integers(1, 29)
)
def test_one_wrong_character_of_any_dti_is_found(base: str, position: int, shift: int) -> None:
    alphabet = "0123456789BCDFGHJKLMNPQRSTVWXZ"
    code = base + dti.check_character(base)
    other = alphabet[(alphabet.index(code[position]) + shift) % 30]
    changed = code[:position] + other + code[position + 1 :]
    assert dti.check_character(changed[:-1]) != changed[-1]


@pytest.mark.parametrize(
    "text", ["", "4H95J0R2", "4H95J0R2XX", "4h95j0r2x", "0H95J0R2X", "AH95J0R2X", "BTC", "X9J9K872\u0405", "YH95J0R2X"]
)
def test_what_has_not_the_form_of_a_dti_is_refused(text: str) -> None:
    assert rule_of({"value": text, "kind": "dti"}) == Code.DTI_FORMAT


def test_dti_and_asset_must_be_the_same() -> None:
    dti.check_same("4H95J0R2X", f"{BITCOIN}/slip44:0")
    dti.check_same("M5D76SHV5", "bip122:00000ffd590b1485b3caadc19b22e637/slip44:5")
    for code, asset in (
        ("4H95J0R2X", "eip155:1/slip44:60"),
        ("4H95J0R2X", f"eip155:1/erc20:{EVM}"),
        ("B00000002", f"{BITCOIN}/slip44:0"),
    ):
        with pytest.raises(Refusal) as caught:
            dti.check_same(code, asset, "[0].dti")
        assert caught.value.rule == Code.DTI_CONTRADICTS_ASSET


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        (7, Code.WRONG_TYPE),
        (None, Code.WRONG_TYPE),
        ({}, Code.MISSING),
        ({"id": 7}, Code.WRONG_TYPE),
        ({"id": "eip155:1", "kind": "ticker"}, Code.IDENTIFIER_KIND),
        ({"id": "eip155:1", "kind": ["caip2"]}, Code.IDENTIFIER_KIND),
    ],
)
def test_entry_that_is_none_is_refused(entry: object, rule: Code) -> None:
    assert rule_of(entry) == rule


@given(st.text(max_size=400), st.sampled_from([None, *assets.Kind]))
def test_any_text_gets_an_answer(text: str, kind: assets.Kind | None) -> None:
    assert answer({"id": text, "kind": kind and kind.value}) or not text


CHARACTERS = string.ascii_letters + string.digits + "-_.%:/"


@given(
    st.sampled_from([case["value"] for case in CASES]),
    st.integers(0, 300),
    st.text(alphabet=CHARACTERS, max_size=3),
    st.integers(0, 3),
)
def test_any_damaged_identifier_gets_an_answer(value: str, at: int, inserted: str, removed: int) -> None:
    assert answer(value[:at] + inserted + value[at + removed :])


@pytest.mark.parametrize("code", ["XRP", f"{'0' * 24}585250{'0' * 10}", "0" * 40, f"00{'AB' * 19}"])
def test_no_token_of_the_xrp_ledger_has_the_code_of_its_coin_or_of_nothing(code: str) -> None:
    with pytest.raises(Refusal) as caught:
        caip.asset(f"xrpl:0/token:{code}.{RIPPLE}")
    assert caught.value.rule == Code.ASSET_REFERENCE
