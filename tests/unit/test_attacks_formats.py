"""What a hostile reader of the formats found, one test for each."""

import json
import time
from codecs import BOM_UTF8
from typing import Any

import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.errors import Refusal
from gateway.formats import caip, chains, tags, transactions, verdicts, wallets
from gateway.formats.addresses import private_keys
from gateway.formats.codes import Code

KEY = "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a"
WIF = "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn"
PHRASE = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
COSMOS = "cosmos1fl48vsnmsdzcv85q5d2q4z5ajdha8yu34mf0eh"
CLASSIC = "rvYAfWj5gh67oV6fW32ZzP3Aw4Eubs59B"
TON = "UQAs9VlT6S776tq3unJcP5Ogsj-ELLunLXuOb1EKcOQi41-E"
HASHES = ("0x" + "1" * 64, "0x" + "2" * 64)
HOLDERS = ("0x" + "a" * 40, "0x" + "b" * 40)


def records(raw: bytes, chain: str | None = None) -> list[Any]:
    return list(transactions.import_records([raw], chain=chain))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(WIF[:26] + "\n" + WIF[26:], id="line broken within it"),
        pytest.param(WIF[:26] + " " + WIF[26:], id="a space within it"),
        pytest.param(WIF[:-1], id="one character too few"),
        pytest.param(WIF + "x", id="one character too many"),
        pytest.param("key_" + KEY, id="named"),
        pytest.param("key-" + WIF, id="named, in base58"),
        pytest.param(":".join(KEY[at : at + 2] for at in range(0, 64, 2)), id="bytes with colons"),
        pytest.param("-".join(KEY[at : at + 4] for at in range(0, 64, 4)), id="groups with hyphens"),
        pytest.param(KEY[:32] + "\n" + KEY[32:], id="two lines of digits"),
        pytest.param(f"80{KEY}01", id="payload of the wallet import format"),
        pytest.param("glTDKakoUPbVOd03b0gW7idkUX2l4CNVFK9DMWRIDXo=", id="base64"),
        pytest.param(str(int(KEY, 16)), id="one decimal number"),
        pytest.param(" ".join(["ability"] * 20), id="share of SLIP-39"),
    ],
)
@pytest.mark.parametrize("chain", ["bitcoin", "ethereum", "ton", "no chain that is known"])
def test_key_in_another_dress_is_told_as_one_and_not_echoed(text: str, chain: str) -> None:
    found = verdicts.judged(verdicts.wallet, {"chain": chain, "address": text}, "[0]")
    assert (found.valid, found.code) == (False, Code.ADDRESS_SECRET)
    assert not any(text[at : at + 8] in json.dumps([found.reason, found.field]) for at in range(len(text) - 8))
    with pytest.raises(Refusal) as caught:
        wallets.identifier({"chain": chain, "address": text, "quoted": True}, "[0]")
    # What is not visible ASCII cannot travel at all, whatever else is said of it.
    assert caught.value.rule in {Code.ADDRESS_SECRET, Code.NOT_PRINTABLE}


@pytest.mark.parametrize("text", [TON, "0:" + KEY, "0:" + KEY[1:], f"{CLASSIC} {CLASSIC}", f"{TON}\n{TON}"])
def test_address_with_marks_or_beside_another_is_not_taken_for_a_key(text: str) -> None:
    assert private_keys.recognise(text) == ""


@pytest.mark.parametrize("tag", [PHRASE, WIF, f"my key is {WIF}"])
def test_key_in_the_place_of_a_memo_is_refused_and_not_echoed(tag: str) -> None:
    found = verdicts.judged(verdicts.wallet, {"chain": "cosmos", "address": COSMOS, "tag": tag}, "[0]")
    assert (found.valid, found.code, found.field) == (False, Code.ADDRESS_SECRET, "[0].tag")
    assert tag[:8] not in found.reason
    with pytest.raises(Refusal) as caught:
        wallets.identifier({"chain": "cosmos", "address": COSMOS, "tag": tag, "quoted": True})
    assert caught.value.rule == Code.ADDRESS_SECRET


@pytest.mark.parametrize("tag", [KEY, f"OUT:{KEY.upper()}", "104857"])
def test_memo_that_names_a_transfer_is_no_key(tag: str) -> None:
    assert tags.check(chains.find("cosmos"), tag, "") == tag


def test_memo_that_a_list_wrote_is_not_repeated_in_the_verdict() -> None:
    found = verdicts.judged(verdicts.wallet, {"chain": "cosmos", "address": COSMOS, "tag": "for Mr Smith"}, "")
    assert found.valid
    assert "Smith" not in found.reason


def test_tag_that_an_x_address_hides_is_told() -> None:
    x_address = "X7AcgcsBL6XDcUb289X4mJ8djcdyKaGZMhc9YTE92ehJ2Fu"
    assert "tag 1" in verdicts.judged(verdicts.wallet, {"chain": "xrp", "address": x_address}, "").reason


@pytest.mark.parametrize(
    ("name", "chain"),
    [
        ("doge", "dogecoin"),
        ("bitcoincash", "bitcoin-cash"),
        ("smartchain", "bsc"),
        ("Avalanche C-Chain", "avalanche"),
        ("xDai", "gnosis"),
        ("XRP Ledger", "xrp"),
        ("The Open Network", "ton"),
    ],
)
def test_chain_under_another_name_of_its_own_is_found(name: str, chain: str) -> None:
    assert chains.find(name) == chains.find(chain)


def test_every_other_name_is_of_a_chain_and_of_none_that_has_it_already() -> None:
    named = {**chains.CHAINS, **chains.CHECKED_BY_NAME}
    assert all(chain in named for chain in chains.OTHER_NAMES.values())
    assert not named.keys() & chains.OTHER_NAMES.keys()


@pytest.mark.parametrize("name", ["bnb", "BTC", "ETH", "cronos", "classic"])
def test_name_that_means_two_chains_means_none(name: str) -> None:
    assert chains.checkable(name) is None


def test_account_on_no_evm_chain_in_particular_is_read_and_not_for_freezing() -> None:
    # ChainAgnostic/namespaces, eip155/caip10.md, "Special case of EOA" and its first test case.
    found = caip.account_id("eip155:0:0x839395e20bbB182fa440d08F850E6c7A8f6F0780")
    assert (found.checked, found.text[:9]) == (False, "eip155:0:")
    with pytest.raises(Refusal) as caught:
        caip.account_id("eip155:0:0x839395e20bbB182fa440d08F850E6c7A8f6F078")
    assert caught.value.rule == Code.ADDRESS_LENGTH
    with pytest.raises(Refusal) as caught:
        caip.chain_id("eip155:0")
    assert caught.value.rule == Code.CHAIN_ID_FORMAT


def test_a_million_empty_lines_are_passed_over_at_once() -> None:
    began = time.monotonic()
    found = records(b"{}\n" + b"\n" * 1_000_000)
    assert [each.rule for each in found] == [Code.TX_FORM]
    # With a copy of the rest for each line it was more than a minute.
    assert time.monotonic() - began < 20


def test_mark_of_the_byte_order_is_passed_over() -> None:
    assert [each.rule for each in records(BOM_UTF8 + b"[{}]")] == [Code.TX_FORM]
    assert [each.rule for each in records(BOM_UTF8 + b'{"a":1}\r\n\r\n{"a":2}\r\n')] == [Code.TX_FORM] * 2
    assert [each.rule for each in records(BOM_UTF8 + BOM_UTF8 + b"[{}]")] == [Code.TX_JSON]


def test_output_of_mempool_space_with_an_empty_text_for_no_address_is_read() -> None:
    # mempool/mempool, backend/src/__tests__/api/test-data/non-standard-txs.json.
    entry = {
        "txid": "f859a4e6692c3f15a279449eac191ecb9d17d2d6c003bbae9a55e5da07147eab",
        "fee": 11586,
        "vin": [
            {
                "txid": "9b93dab94a3334b6119f75d107da6bcef9435fa52ec6c0de14aa8a094794551a",
                "vout": 0,
                "prevout": {
                    "value": 11586,
                    "scriptpubkey_address": "bc1p3zfekshja5gnm4r4vp2mz7wd0pxze7jjetffq3jprs5rxk4zq4wqesykl2",
                    "scriptpubkey_type": "v1_p2tr",
                },
            }
        ],
        "vout": [{"value": 0, "scriptpubkey_address": "", "scriptpubkey_type": "op_return"}],
        "status": {"confirmed": False},
    }
    (made,) = records(json.dumps(entry).encode(), "bitcoin")
    assert made.outputs[0].address == ""
    entry["vout"] = [{"value": 0, "scriptpubkey_address": "", "scriptpubkey_type": "p2pkh"}]
    (refused,) = records(json.dumps(entry).encode(), "bitcoin")
    assert refused.rule == Code.TX_ADDRESS_MISSING


def receipt(**changes: object) -> bytes:
    entry = {
        "transactionHash": HASHES[0],
        "transactionIndex": "0x0",
        "blockHash": HASHES[1],
        "blockNumber": "0x1",
        "from": HOLDERS[0],
        "to": HOLDERS[1],
        "cumulativeGasUsed": "0x5208",
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x1",
        "logs": None,
        "status": "0x1",
    }
    return json.dumps({name: value for name, value in (entry | changes).items() if value != "left out"}).encode()


def test_receipt_whose_logs_are_null_has_none_and_one_without_logs_was_cut() -> None:
    (made,) = records(receipt(), "ethereum")
    assert made.fee.base_units == "21000"
    (refused,) = records(receipt(logs="left out"), "ethereum")
    assert refused.rule == Code.MISSING


def test_transaction_of_a_chain_that_is_not_known_is_neither_good_nor_bad() -> None:
    entry = {"hash": HASHES[0], "from": HOLDERS[0], "to": HOLDERS[1], "value": "0x1", "nonce": "0x0"}
    entries = [entry | {"chainId": "0x14a33"}, entry | {"chainId": "0x01"}]
    done = CliRunner().invoke(
        cli.commands, ["check", "transactions", "-", "--json", "--chain", "base"], input=json.dumps(entries)
    )
    assert [each["valid"] for each in json.loads(done.stdout)] == [None, False]
    assert done.exit_code == 1


@pytest.mark.parametrize(
    "changes",
    [{"operatorFeeScalar": "0x5", "operatorFeeConstant": "0x0"}, {"operatorFeeConstant": "0x1"}, {"type": "0x7b"}],
    ids=["operator fee by gas", "operator fee by transaction", "Celo, in a token"],
)
def test_fee_that_the_receipt_does_not_tell_in_full_is_absent(changes: dict[str, str]) -> None:
    (made,) = records(receipt(**changes), "optimism")
    assert not made.HasField("fee")
    (made,) = records(receipt(operatorFeeScalar="0x0", operatorFeeConstant="0x0", type="0x2"), "optimism")
    assert made.HasField("fee")


@pytest.mark.parametrize(("number", "told"), [(1, True), (None, True), (2, False)])
def test_position_in_a_block_that_was_cut_is_not_told(number: int | None, told: bool) -> None:
    script = {"type": "nonstandard"}
    entry = {
        "hash": "1" * 64,
        "height": 0,
        "time": 1231006505,
        "nTx": number,
        "tx": [
            {"txid": "2" * 64, "vin": [{"coinbase": "0000"}], "vout": [{"value": 50, "n": 0, "scriptPubKey": script}]}
        ],
    }
    (made,) = records(json.dumps(entry).encode(), "bitcoin")
    assert made.HasField("block_index") is told
