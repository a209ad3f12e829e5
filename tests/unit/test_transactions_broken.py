"""Every broken record is refused for its own defect: without it, it is accepted; put back, it is refused again."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from rogatory.v1 import evidence_pb2 as evidence

from gateway.errors import ErrorCode, Refusal
from gateway.formats import chains
from gateway.formats.codes import Code
from gateway.formats.transactions import import_records, rawtx

DATA: Final = Path(__file__).parents[1] / "data"
BROKEN: Final[dict[str, dict[str, str]]] = {
    one["file"].removeprefix("chainstorage/"): one
    for one in json.loads((DATA / "broken_transactions.json").read_bytes())
}
ERRORS: Final = "parser/bitcoin/errcases"
DOGE: Final = "parser/dogecoin/transactions/testnet"
INTACT: Final = "intact_raw_transaction"
BLOCK: Final = f"{ERRORS}/get_block_err_nohash.json"


def text(name: str) -> str:
    return BROKEN[name]["text"]


def load(name: str) -> Any:
    return json.loads(text(name), parse_float=Decimal)


def dump(value: object) -> bytes:
    """Write JSON whose decimals keep their digits."""
    marked = json.dumps(value, default=lambda number: f"@{number}@")
    return marked.replace('"@', "").replace('@"', "").encode()


def read(raw: bytes, chain: str) -> tuple[list[evidence.TransactionRecord], list[Refusal]]:
    found = [*import_records([raw], chain=chain)]
    return [one for one in found if not isinstance(one, Refusal)], [one for one in found if isinstance(one, Refusal)]


def changed(value: Any, change: Callable[[Any], object]) -> Any:
    change(value)
    return value


def good_block() -> Any:
    return load(BLOCK) | {"hash": load(f"{ERRORS}/get_block_err_noprevhash.json")["hash"]}


def good_doge(name: str) -> Any:
    """Repair what is not the defect looked for: one side of the transaction is missing, the network is a test one."""
    value = load(name)
    operations = value["transaction"]["operations"]
    operations[0]["operation_identifier"] = {"index": 0}
    operations[0]["amount"]["currency"]["symbol"] = "DOGE"
    kind = operations[0]["type"]
    size = operations[0]["amount"]["value"].removeprefix("-")
    operations[0]["amount"]["value"] = f"-{size}" if kind == "INPUT" else size
    txid = value["transaction"]["transaction_identifier"]["hash"]
    other = "OUTPUT" if kind == "INPUT" else "INPUT"
    operations.append(
        {
            "operation_identifier": {"index": 1},
            "type": other,
            "status": "SUCCESS",
            "account": {"address": "2MtSgfBmXzZv6raD7yyuGzFamzBzQD7G6Rf"},
            "amount": {
                "value": size if other == "OUTPUT" else f"-{size}",
                "currency": {"symbol": "DOGE", "decimals": 8},
            },
            "coin_change": {
                "coin_action": "coin_created" if other == "OUTPUT" else "coin_spent",
                "coin_identifier": {"identifier": f"{txid}:0" if other == "OUTPUT" else f"{'ab' * 32}:1"},
            },
        }
    )
    return value


def operation(value: Any) -> Any:
    return value["transaction"]["operations"][0]


def coin(value: Any, identifier: str) -> None:
    operation(value)["coin_change"]["coin_identifier"]["identifier"] = identifier


def doge(name: str, repair: Callable[[Any], object]) -> Callable[[], Any]:
    return lambda: changed(good_doge(name), repair)


def account(value: Any) -> None:
    operation(value)["account"] = {"address": "2MtSgfBmXzZv6raD7yyuGzFamzBzQD7G6Rf"}


def block_client() -> Any:
    """Give the short block what it lacks besides: its time and the outputs of its transaction."""
    good = good_block()
    value = load("client/bitcoin/btc_getblockresponse_withinconsistenthash.json")
    value["tx"][0]["vout"] = good["tx"][0]["vout"]
    return value | {"hash": good["hash"], "time": good["time"]}


def solana_block() -> Any:
    value = load("parser/solana/block_no_preBalances.json")
    value["transactions"][0]["meta"] = {
        "err": None,
        "fee": 5000,
        "preBalances": [9_000, 1, 1, 1, 1, 1],
        "postBalances": [4_000, 1, 1, 1, 1, 1],
    }
    return value


def solana_signature(signature: str) -> Any:
    value = load("client/solana/block_transaction_signatures_empty_string.json")
    value["transactions"][0]["transaction"]["signatures"] = [signature]
    return value


def intact() -> Any:
    return load(INTACT)


SIGNATURE: Final = "5UdthFFkqxNe9zwBBszrkQzY2TninhkqYkokmwC2LmCQQfc2NzA11Ue92aucFfDFEFoth6N9eHGg6mNayYRomwJK"
LAST: Final = ".vout[9]"

# File; rule and place of its refusal; its intact twin; the defect, to be put into the twin; where it is then refused.
Case = tuple[str, str, str, Callable[[], Any], Callable[[Any], object], str]

CASES: Final[list[Case]] = [
    (
        "client/bitcoin/btc_getblockresponse_withinconsistenthash.json",
        "TX_HASH_FORMAT",
        ".hash",
        block_client,
        lambda it: it.update(hash="111111"),
        ".hash",
    ),
    (
        "client/bitcoin/btc_getblockresponse_withouttxs.json",
        "TX_NO_INPUTS",
        ".vin",
        lambda: load("client/bitcoin/btc_getblockresponse_withouttxs.json") | {"vin": [{"txid": "ab" * 32, "vout": 0}]},
        lambda it: it.update(vin=[]),
        ".vin",
    ),
    (BLOCK, "MISSING", ".hash", good_block, lambda it: it.pop("hash"), ".hash"),
    (
        f"{ERRORS}/get_block_err_noprevhash.json",
        "TX_BLOCK_PREVIOUS",
        ".previousblockhash",
        good_block,
        lambda it: it.pop("previousblockhash"),
        ".previousblockhash",
    ),
    (
        f"{ERRORS}/get_block_err_notxempty.json",
        "TX_BLOCK_EMPTY",
        ".tx",
        good_block,
        lambda it: it["tx"].clear(),
        ".tx",
    ),
    (
        f"{ERRORS}/get_block_err_txemptytx.json",
        "MISSING",
        ".tx[0].txid",
        good_block,
        lambda it: it["tx"][0].clear(),
        ".tx[0].txid",
    ),
    (
        f"{ERRORS}/get_block_err_txniltx.json",
        "WRONG_TYPE",
        ".tx[0]",
        good_block,
        lambda it: it.update(tx=[None]),
        ".tx[0]",
    ),
    (
        f"{ERRORS}/get_block_err_txnohash.json",
        "MISSING",
        ".tx[0].hash",
        good_block,
        lambda it: it["tx"][0].pop("hash"),
        ".tx[0].hash",
    ),
    (
        f"{ERRORS}/get_block_err_txnovinempty.json",
        "TX_NO_INPUTS",
        ".tx[0].vin",
        good_block,
        lambda it: it["tx"][0].update(vin=[]),
        ".tx[0].vin",
    ),
    (
        f"{ERRORS}/get_block_err_txnovoutnil.json",
        "MISSING",
        ".tx[0].vout",
        good_block,
        lambda it: it["tx"][0].pop("vout"),
        ".tx[0].vout",
    ),
    *(
        (
            f"{ERRORS}/get_raw_transaction_err_{name}.json",
            "TX_ADDRESS_MISSING",
            ".vout[0].scriptPubKey.address",
            intact,
            lambda it: it["vout"][9]["scriptPubKey"].pop("address"),
            f"{LAST}.scriptPubKey.address",
        )
        for name in ("addressempty", "addressnil")
    ),
    # Nothing is in it at all: no form can be told.
    (f"{ERRORS}/get_raw_transaction_err_empty.json", "TX_FORM", "", intact, lambda it: it.clear(), ""),
    (
        f"{ERRORS}/get_raw_transaction_err_novoutempty.json",
        "TX_NO_OUTPUTS",
        ".vout",
        intact,
        lambda it: it.update(vout=[]),
        ".vout",
    ),
    (
        f"{ERRORS}/get_raw_transaction_err_novoutnil.json",
        "MISSING",
        ".vout",
        intact,
        lambda it: it.pop("vout"),
        ".vout",
    ),
    # Output 9 is what another transaction spends, and the list ends before it; the bytes show that there are ten.
    (
        f"{ERRORS}/get_raw_transaction_err_parsevinoutofbound.json",
        "TX_RAW_CONTRADICTS",
        ".vout",
        intact,
        lambda it: it["vout"].__delitem__(slice(1, None)),
        ".vout",
    ),
    (
        f"{ERRORS}/get_raw_transaction_err_pubkeynil.json",
        "MISSING",
        ".vout[0].scriptPubKey",
        intact,
        lambda it: it["vout"][9].pop("scriptPubKey"),
        f"{LAST}.scriptPubKey",
    ),
    (
        f"{ERRORS}/get_raw_transaction_err_pubkeytypeunsupported.json",
        "TX_OUTPUT_TYPE",
        ".vout[0].scriptPubKey.type",
        intact,
        lambda it: it["vout"][9]["scriptPubKey"].update(type="hello_world"),
        f"{LAST}.scriptPubKey.type",
    ),
    (
        f"{ERRORS}/get_raw_transaction_err_voutnil.json",
        "WRONG_TYPE",
        ".vout[0]",
        intact,
        lambda it: it["vout"].__setitem__(9, None),
        LAST,
    ),
    (
        f"{DOGE}/input/invalid_coin_identifier.json",
        "TX_OUTPOINT",
        ".transaction.operations[0].coin_change.coin_identifier.identifier",
        doge(f"{DOGE}/input/invalid_coin_identifier.json", lambda it: coin(it, f"{'cd' * 32}:0")),
        lambda it: coin(it, "INVALID_COIN_IDENTIFIER"),
        ".transaction.operations[0].coin_change.coin_identifier.identifier",
    ),
    (
        f"{DOGE}/input/no_account.json",
        "MISSING",
        ".transaction.operations[0].account",
        doge(f"{DOGE}/input/no_account.json", account),
        lambda it: operation(it).pop("account"),
        ".transaction.operations[0].account",
    ),
    (
        f"{DOGE}/input/no_address.json",
        "MISSING",
        ".transaction.operations[0].account.address",
        doge(f"{DOGE}/input/no_address.json", account),
        lambda it: operation(it)["account"].clear(),
        ".transaction.operations[0].account.address",
    ),
    (
        f"{DOGE}/output/invalid_coin_identifier.json",
        "TX_OUTPOINT",
        ".transaction.operations[0].coin_change.coin_identifier.identifier",
        doge(
            f"{DOGE}/output/invalid_coin_identifier.json",
            lambda it: coin(it, f"{it['transaction']['transaction_identifier']['hash']}:0"),
        ),
        lambda it: coin(it, "THIS_IS_INVALID"),
        ".transaction.operations[0].coin_change.coin_identifier.identifier",
    ),
    (
        f"{DOGE}/output/no_address.json",
        "MISSING",
        ".transaction.operations[0].account.address",
        doge(f"{DOGE}/output/no_address.json", account),
        lambda it: operation(it)["account"].clear(),
        ".transaction.operations[0].account.address",
    ),
    (
        "client/solana/block_transaction_signatures_empty_string.json",
        "MISSING",
        ".transactions[0].transaction.signatures[0]",
        lambda: solana_signature(SIGNATURE),
        lambda it: it["transactions"][0]["transaction"].update(signatures=[""]),
        ".transactions[0].transaction.signatures[0]",
    ),
    (
        "parser/solana/block_no_preBalances.json",
        "MISSING",
        ".transactions[0].meta",
        solana_block,
        lambda it: it["transactions"][0].update(meta=None),
        ".transactions[0].meta",
    ),
]


def test_every_broken_record_has_its_case() -> None:
    assert {name for name, *_ in CASES} == BROKEN.keys() - {INTACT}


@pytest.mark.parametrize(("name", "rule", "field", "whole", "defect", "again"), CASES, ids=[case[0] for case in CASES])
def test_broken_record_is_refused_for_its_defect_and_for_no_other(
    name: str, rule: str, field: str, whole: Callable[[], Any], defect: Callable[[Any], object], again: str
) -> None:
    chain = BROKEN[name]["chain"]
    made, refused = read(text(name).encode(), chain)
    assert not made
    assert [(error.code, error.rule, error.field) for error in refused] == [(ErrorCode.BAD_INPUT, rule, field)]

    made, refused = read(dump(whole()), chain)
    assert made
    assert not refused

    made, refused = read(dump(changed(whole(), defect)), chain)
    assert not made
    assert [(error.rule, error.field) for error in refused] == [(rule, again)]


@pytest.mark.parametrize("side", ["input/no_address", "output/no_address"])
def test_coin_of_a_test_network_is_not_that_of_the_main_one(side: str) -> None:
    value = changed(good_doge(f"{DOGE}/{side}.json"), account)
    operation(value)["amount"]["currency"]["symbol"] = "DOGETEST"
    _, (error,) = read(dump(value), "dogecoin")
    assert error.rule == Code.TX_UNIT


RAW: Final = json.loads((DATA / "raw_transactions.json").read_bytes())
BITCOIN: Final = chains.find("bitcoin")


def test_every_transaction_that_consensus_allows_is_read_from_its_bytes() -> None:
    for one in RAW:
        if one["consensus_valid"]:
            assert rawtx.read(one["raw_tx_hex"], BITCOIN, "") is not None


def test_transactions_that_break_a_rule_without_a_script_are_refused() -> None:
    rules = []
    for one in RAW:
        if not one["consensus_valid"]:
            try:
                rawtx.read(one["raw_tx_hex"], BITCOIN, "")
            except Refusal as error:
                rules.append(error.rule)
    assert sorted(rules) == ["TX_COINBASE"] * 3 + ["TX_NO_OUTPUTS"] * 3 + ["TX_VALUE_RANGE"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        pytest.param(lambda raw: raw[:-2], "TX_RAW_FORMAT", id="a byte too few"),
        pytest.param(lambda raw: raw + "00", "TX_RAW_FORMAT", id="a byte too many"),
        pytest.param(lambda raw: raw[:-1], "TX_RAW_FORMAT", id="half a byte"),
        pytest.param(lambda _: None, "TX_RAW_FORMAT", id="nothing"),
        pytest.param(lambda _: "01000000" + "00" * 6, "TX_NO_INPUTS", id="no inputs"),
        pytest.param(lambda raw: raw[:8] + "02" + raw[10:], "TX_RAW_FORMAT", id="one input more than there is"),
        pytest.param(lambda raw: raw[:8] + "feffffffff" + raw[10:], "TX_TOO_MANY", id="four billion inputs"),
    ],
)
def test_bytes_that_are_no_transaction_are_refused(change: Callable[[str], object], rule: str) -> None:
    with pytest.raises(Refusal) as caught:
        rawtx.read(change(load(INTACT)["hex"]), BITCOIN, "hex")
    assert caught.value.rule == rule
