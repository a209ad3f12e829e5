import json
from pathlib import Path

import pytest

from gateway.errors import ErrorCode, Refusal
from gateway.formats import chains
from gateway.formats.addresses.schemes import SCHEMES

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize("name", ["", "BTC", "eip155:2", "bitcoin-gold", "xrpl:1", "cosmos:x", "a chain of tomorrow"])
def test_chain_that_is_not_known_is_refused_by_its_rule(name: str) -> None:
    assert chains.known(name) is None
    for find in (chains.find, chains.caip2):
        with pytest.raises(Refusal) as caught:
            find(name)
        assert (caught.value.code, caught.value.rule) == (ErrorCode.BAD_INPUT, "CHAIN_NOT_SUPPORTED")


@pytest.mark.parametrize("name", ["", "BTC", "eip155:", "eip155:0", "eip155:01", "eip155:1 ", "polkadot:x", "EIP155:1"])
def test_chain_that_cannot_be_checked_is_refused_by_its_rule(name: str) -> None:
    assert chains.checkable(name) is None
    with pytest.raises(Refusal) as caught:
        chains.find_checkable(name)
    assert (caught.value.code, caught.value.rule) == (ErrorCode.BAD_INPUT, "CHAIN_NOT_SUPPORTED")


@pytest.mark.parametrize("name", chains.CHAINS)
def test_every_known_chain_can_be_checked_and_is_a_main_network(name: str) -> None:
    chain = chains.find(name)
    assert chains.find_checkable(name) is chain
    assert chains.find_checkable(chain.caip2) is chain
    assert chain.network == chains.MAIN
    assert chain.scheme in SCHEMES
    assert (chain.scheme == chains.EVM) == chain.caip2.startswith("eip155:")
    assert bool(chain.detail) == (chain.scheme in {chains.COSMOS, chains.SUBSTRATE})


def test_every_checkable_chain_has_a_scheme_and_is_not_known() -> None:
    for name, chain in [*chains._CHECKED_BY_CAIP2.items(), *chains.CHECKED_BY_NAME.items()]:
        assert chains.known(name) is None
        assert chain.scheme in SCHEMES
        assert chains.find_checkable(name) is chain


@pytest.mark.parametrize("number", [2, 137, 868455272153094])
def test_every_number_of_eip155_can_be_checked(number: int) -> None:
    chain = chains.find_checkable(f"eip155:{number}")
    assert (chain.caip2, chain.scheme) == (f"eip155:{number}", chains.EVM)


def test_every_chain_of_the_shared_lists_can_be_checked() -> None:
    for name in ("address_vectors", "ofac_addresses", "transactions"):
        for entry in json.loads((DATA / f"{name}.json").read_bytes()):
            chain = chains.find_checkable(entry["chain"])
            assert chain.caip2 == entry.get("caip2", chain.caip2)


@pytest.mark.parametrize("name", ["Bitcoin Cash", "bitcoin_cash", "BITCOIN-CASH"])
def test_name_in_another_spelling_is_the_same_name(name: str) -> None:
    assert chains.known(name) is chains.find("bitcoin-cash")
