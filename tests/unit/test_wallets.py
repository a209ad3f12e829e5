import json
from pathlib import Path
from typing import Any

import pytest
from base58_bech32.cashaddr import cashaddr_encode
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import evidence_pb2 as evidence

from gateway import codec
from gateway.errors import ErrorCode, Refusal
from gateway.formats import chains, reading, wallets
from gateway.formats.codes import Code

OFAC = Path(__file__).parents[1] / "data" / "ofac_addresses.json"
XRP = {"chain": "xrp", "address": "rGWrZyQqhTp9Xu7G5Pkayo7bXjH4k4QYpf"}
MISTYPED = "1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9x"
SECRET = "5KcrFZvJ2p4dM6QVUPu53cKXcCfozA1PJLHm1mNAxkDYhgThLu4"
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


@pytest.mark.parametrize("name", ["bitcoin-gold", "BTC", "eip155:2", "a chain of tomorrow"])
def test_chain_that_is_not_known_is_quoted_and_never_guessed(name: str) -> None:
    made = wallets.identifier(GOOD | {"chain": name})
    assert (made.chain, made.chain_name) == ("", name)


def test_wallet_with_neither_or_both_of_chain_and_name_breaks_the_contract() -> None:
    for chain, name in (("", ""), (chains.caip2("bitcoin"), "bitcoin")):
        wallet = evidence.WalletIdentifier(
            chain=chain, chain_name=name, address="x", custody=evidence.CUSTODY_UNKNOWN, quoted_because="MISSING"
        )
        with pytest.raises(Refusal) as caught:
            codec.check(wallet)
        assert caught.value.code is ErrorCode.MALFORMED


def test_tag_travels_with_the_address() -> None:
    assert wallets.identifier(XRP | {"tag": "104398"}).tag == "104398"


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
    wallet = evidence.WalletIdentifier(
        chain=chain.caip2,
        address="x",
        canonical="x",
        checksum_state=evidence.CHECKSUM_STATE_NONE,
        custody=evidence.CUSTODY_UNKNOWN,
    )
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
        wallets.check(wallet)


def refused(change: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        wallets.identifier(GOOD | change)
    assert caught.value.code is ErrorCode.BAD_INPUT
    return caught.value.rule, caught.value.field


def test_mistyped_wallet_is_refused_and_travels_only_as_a_quotation() -> None:
    assert refused({"address": MISTYPED}) == (Code.ADDRESS_CHECKSUM, ".address")
    quoted = wallets.identifier(GOOD | {"address": MISTYPED, "quoted": True})
    assert (quoted.quoted_because, quoted.canonical, quoted.checksum_state) == (Code.ADDRESS_CHECKSUM, "", 0)
    assert not wallets.is_executable(quoted)
    wallets.check(quoted)


@pytest.mark.parametrize("chain", ["bitcoin", "xrp", "bitcoin-gold", "a chain of tomorrow"])
def test_private_key_is_refused_on_any_chain_and_not_even_quoted_and_never_echoed(chain: str) -> None:
    with pytest.raises(Refusal) as caught:
        wallets.identifier(GOOD | {"chain": chain, "address": SECRET, "quoted": True})
    assert (caught.value.rule, caught.value.field) == (Code.ADDRESS_SECRET, ".address")
    assert not any(SECRET[i : i + 6] in str(caught.value) for i in range(len(SECRET) - 6))


def test_tag_where_the_chain_has_none_is_refused() -> None:
    assert refused({"tag": "17"}) == (Code.TAG_NOT_ALLOWED, ".tag")
    assert refused(XRP | {"tag": "4294967296"}) == (Code.TAG_FORMAT, ".tag")


def test_wallet_of_another_chain_is_refused() -> None:
    assert refused({"chain": "ethereum"}) == (Code.ADDRESS_OTHER_CHAIN, ".address")


def test_providers_lei_with_wrong_check_digits_is_refused() -> None:
    assert wallets.identifier(GOOD | {"provider": "529900TODVLNUTNSYF94"}).provider_lei == "529900TODVLNUTNSYF94"
    assert refused({"provider": "529900TODVLNUTNSYF95"})[1] == ".provider"


ANOTHER = "12HQDsicffSBaYdJ6BhnE22sfjTESmmzKx"

FORGED: dict[str, tuple[dict[str, Any], Code, str]] = {
    "one address for a person, another for a machine": (
        {"canonical": ANOTHER},
        Code.CANONICAL_CONTRADICTS,
        "wallets[0].canonical",
    ),
    "a checksum that was not checked": (
        {"checksum_state": evidence.CHECKSUM_STATE_UNCHECKED},
        Code.CHECKSUM_STATE_CONTRADICTS,
        "wallets[0].checksum_state",
    ),
    "a mistyped address called right": ({"address": MISTYPED}, Code.ADDRESS_CHECKSUM, "wallets[0].address"),
    "a chain that is not known called executable": (
        {"chain": "eip155:2"},
        Code.CHAIN_NOT_SUPPORTED,
        "wallets[0].chain",
    ),
    "a good address called bad, so that nobody can execute it": (
        {"canonical": "", "checksum_state": 0, "quoted_because": "ADDRESS_CHECKSUM"},
        Code.QUOTED_WITHOUT_REASON,
        "wallets[0].quoted_because",
    ),
    "a private key as a quotation": (
        {"address": SECRET, "canonical": "", "checksum_state": 0, "quoted_because": "ADDRESS_FORMAT"},
        Code.ADDRESS_SECRET,
        "wallets[0].address",
    ),
}


@pytest.mark.parametrize(("changes", "rule", "field"), FORGED.values(), ids=FORGED)
def test_identifier_that_says_what_its_address_does_not_is_refused(
    changes: dict[str, Any], rule: Code, field: str
) -> None:
    wallet = wallets.identifier(GOOD)
    wallets.check(wallet)
    for name, value in changes.items():
        setattr(wallet, name, value)
    with pytest.raises(Refusal) as caught:
        wallets.check(wallet, "wallets[0]")
    assert (caught.value.code, caught.value.rule, caught.value.field) == (ErrorCode.CONTENT_MISMATCH, rule, field)


def test_two_spellings_of_one_wallet_are_one_wallet() -> None:
    lower = wallets.make("ethereum", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed")
    mixed = wallets.make("ethereum", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
    assert wallets.key(lower) == wallets.key(mixed)
    assert lower.checksum_state == evidence.CHECKSUM_STATE_UNCHECKED


@pytest.mark.parametrize(
    ("chain", "one", "other"),
    [
        # CHIP-2022-02-CashTokens: one hash, type 0 and type 2, type 1 and type 3.
        pytest.param(
            "bitcoin-cash", *(cashaddr_encode("bitcoincash", n, b"7" * 20).decode() for n in (0, 2)), id="p2pkh"
        ),
        pytest.param(
            "bitcoin-cash", *(cashaddr_encode("bitcoincash", n, b"7" * 32).decode() for n in (1, 3)), id="p2sh"
        ),
        # ZIP 320, "Reference Implementation": the two spellings of its example.
        pytest.param(
            "zcash", "t1VmmGiyjVNeCjxDZzg7vZmd99WyzVby9yC", "tex1s2rt77ggv6q989lr49rkgzmh5slsksa9khdgte", id="tex"
        ),
    ],
)
def test_two_addresses_of_one_output_are_one_wallet(chain: str, one: str, other: str) -> None:
    """Or a State could ask for one wallet twice, and nobody would see that the requests compete."""
    first, second = wallets.make(chain, one), wallets.make(chain, other)
    assert first.canonical != second.canonical
    assert wallets.key(first) == wallets.key(second)


@pytest.mark.parametrize("chain", ["bitcoin-cash", "zcash"])
@pytest.mark.parametrize("canonical", ["", "tex1", "tex1qqqq", "nonsense", "\u0131"])
def test_key_of_a_wallet_that_nobody_has_checked_yet_can_be_asked_for(chain: str, canonical: str) -> None:
    wallet = evidence.WalletIdentifier(chain=chains.caip2(chain), address="as written", canonical=canonical)
    assert wallets.key(wallet)[2] == (canonical or "as written")


MONERO = "44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A"


@pytest.mark.parametrize(
    ("chain", "address", "size"),
    [
        pytest.param("stellar", "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ", 32, id="stellar-hash"),
        pytest.param("monero", MONERO, 8, id="monero-payment-id"),
        pytest.param("monero", MONERO, 32, id="monero-long-payment-id"),
    ],
)
def test_hex_tag_in_capitals_makes_no_other_wallet(chain: str, address: str, size: int) -> None:
    small, capital = (wallets.make(chain, address, tag=tag * size) for tag in ("a1", "A1"))
    assert wallets.key(small) == wallets.key(capital)
    wallets.check(capital)
    capital.tag = capital.tag.upper()
    with pytest.raises(Refusal) as caught:
        wallets.check(capital)
    assert (caught.value.rule, caught.value.field) == (Code.TAG_CONTRADICTS, "tag")


def test_capitals_of_a_text_memo_count() -> None:
    address = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"
    small, capital = (wallets.make("stellar", address, tag=tag) for tag in ("abcdef", "ABCDEF"))
    assert wallets.key(small) != wallets.key(capital)


def test_tag_within_an_address_is_unpacked_and_may_not_be_contradicted() -> None:
    packed = wallets.make("xrp", "X7AcgcsBL6XDcUb289X4mJ8djcdyKaB5hJDWMArnXr61cqZ")
    assert packed.canonical.startswith("r")
    wallets.check(packed)


WITH_TAG_0 = "XVLhHMPHU98es4dbozjVtdWzVrDjtV8AqEL4xcZj5whKbmc"  # XLS-5d, test vectors: the account of XRP, tag 0


def test_tag_beside_an_address_that_carries_another_is_refused() -> None:
    assert wallets.identifier(XRP | {"address": WITH_TAG_0}).tag == "0"
    assert wallets.identifier(XRP | {"address": WITH_TAG_0, "tag": "0"}).canonical == XRP["address"]
    assert refused(XRP | {"address": WITH_TAG_0, "tag": "2"}) == (Code.TAG_CONTRADICTS, ".tag")


def test_test_network_is_refused_for_there_is_nothing_to_freeze() -> None:
    assert refused({"network": "testnet"}) == (Code.NETWORK_NOT_SUPPORTED, ".network")
