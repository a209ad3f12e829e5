import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import evidence_pb2 as evidence

from gateway import codec
from gateway.errors import ErrorCode, Refusal
from gateway.formats import chains, reading, wallets

OFAC = Path(__file__).parents[1] / "data" / "ofac_addresses.json"
GOOD = {"chain": "bitcoin", "network": "mainnet", "address": "1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9w", "source": "a list"}


def test_every_wallet_of_the_sanctions_list_is_read_exactly_and_one_is_quoted() -> None:
    entries = json.loads(OFAC.read_bytes())
    found = wallets.identifiers(entries)
    assert not found.refused
    assert [wallet.address for wallet in found.read] == [each["address"] for each in entries]
    known = [
        (wallet, each) for wallet, each in zip(found.read, entries, strict=True) if each["chain"] != "bitcoin-gold"
    ]
    assert [wallet.chain for wallet, _ in known] == [chains.caip2(each["chain"]) for _, each in known]
    quoted = [(wallet.chain, wallet.chain_name) for wallet in found.read if wallet.chain_name]
    assert quoted == [("", "bitcoin-gold")]
    assert {(wallet.source, wallet.custody) for wallet in found.read} == {("OFAC SDN", evidence.CUSTODY_UNKNOWN)}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"chain": ""}, ".chain", id="no chain"),
        pytest.param({"chain": None}, ".chain", id="chain is null"),
        pytest.param({"chain": ["bitcoin"]}, ".chain", id="chain is a list"),
        pytest.param({"network": "testnet"}, ".network", id="test network"),
        pytest.param({"address": ""}, ".address", id="empty address"),
        pytest.param({"address": None}, ".address", id="no address"),
        pytest.param({"address": 7}, ".address", id="address is a number"),
        pytest.param({"address": "1" * 513}, ".address", id="over-long address"),
        pytest.param({"address": "1ND5TQ2 nQatxq"}, ".address", id="space within"),
        pytest.param({"address": "1ND5TQ2\nnQatxq"}, ".address", id="line break within"),
        pytest.param({"address": "1ND5TQ2\u0430nQatxq"}, ".address", id="Cyrillic a"),
        pytest.param({"address": "\uff11ND5TQ2"}, ".address", id="full-width digit"),
        pytest.param({"address": "1ND5\u200bTQ2"}, ".address", id="zero-width space"),
        pytest.param({"address": "1ND5\ud800"}, ".address", id="lone surrogate"),
        pytest.param({"source": "x" * 201}, ".source", id="over-long source"),
        pytest.param({"source": "\ud800"}, ".source", id="source with a lone surrogate"),
        pytest.param({"tag": 17}, ".tag", id="tag is a number"),
        pytest.param({"tag": "x" * 129}, ".tag", id="over-long tag"),
    ],
)
def test_bad_entry_is_refused_with_its_position_and_the_others_are_read(change: dict[str, Any], field: str) -> None:
    found = wallets.identifiers([GOOD, GOOD | change, GOOD])
    assert [(error.code, error.field) for error in found.refused] == [(ErrorCode.BAD_INPUT, f"[1]{field}")]
    assert len(found.read) == 2


def test_look_alike_letter_is_named_so_that_a_person_sees_it() -> None:
    with pytest.raises(Refusal) as caught:
        wallets.identifier(GOOD | {"address": "1ND5TQ2\u0430nQ"})
    assert "CYRILLIC SMALL LETTER A" in caught.value.detail


def test_chain_and_address_alone_make_an_entry() -> None:
    made = wallets.identifier({"chain": "bitcoin", "address": GOOD["address"]})
    assert (made.chain, made.address) == (chains.caip2("bitcoin"), GOOD["address"])


@pytest.mark.parametrize("name", ["bitcoin-gold", "Bitcoin", "eip155:2", "a chain of tomorrow"])
def test_chain_that_is_not_known_is_quoted_and_never_guessed(name: str) -> None:
    made = wallets.identifier(GOOD | {"chain": name})
    assert (made.chain, made.chain_name) == ("", name)


def test_wallet_with_neither_or_both_of_chain_and_name_breaks_the_contract() -> None:
    for chain, name in (("", ""), (chains.caip2("bitcoin"), "bitcoin")):
        wallet = evidence.WalletIdentifier(chain=chain, chain_name=name, address="x", custody=evidence.CUSTODY_UNKNOWN)
        with pytest.raises(Refusal) as caught:
            codec.check(wallet)
        assert caught.value.code is ErrorCode.MALFORMED


def test_tag_travels_with_the_address() -> None:
    assert wallets.identifier(GOOD | {"chain": "xrp", "tag": "104398"}).tag == "104398"


@pytest.mark.parametrize("entries", [None, {}, "[]", 3, True])
def test_what_is_no_list_is_refused_as_a_whole(entries: object) -> None:
    with pytest.raises(Refusal) as caught:
        wallets.identifiers(entries)
    assert caught.value.code is ErrorCode.BAD_INPUT


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"a": 1, "a": 2}', b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_or_says_a_thing_twice_is_refused(raw: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        reading.load(raw)
    assert caught.value.code is ErrorCode.BAD_INPUT


@pytest.mark.parametrize("name", chains.CHAINS)
def test_ids_of_every_chain_keep_the_contract(name: str) -> None:
    chain = chains.find(name)
    amount = evidence.AssetAmount(asset=chain.native, base_units="1", decimals=chain.decimals)
    wallet = evidence.WalletIdentifier(chain=chain.caip2, address="x", custody=evidence.CUSTODY_UNKNOWN)
    for message in (amount, wallet):
        codec.check(message)
    assert chains.find(chain.caip2) is chain


def test_no_two_chains_share_an_id_unless_they_are_one() -> None:
    assert len({chain.caip2 for chain in chains.CHAINS.values()}) == len(set(map(id, chains.CHAINS.values())))
    assert chains.find("bitcoin-cash") is chains.find("bitcoin_cash")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "chain": st.sampled_from(sorted(chains.CHAINS)) | JSON,
        "network": st.just("mainnet") | JSON,
        "address": st.text() | JSON,
        "source": st.text() | JSON,
        "tag": st.text() | JSON,
    },
)


@given(st.lists(NEARLY | JSON, max_size=4))
def test_any_list_gives_identifiers_and_refusals_and_nothing_else(entries: list[object]) -> None:
    found = wallets.identifiers(entries)
    assert len(found.read) + len(found.refused) == len(entries)
    for wallet in found.read:
        codec.check(wallet)
