"""What each kind of node tells, exactly, and what of it contradicts itself."""

import json
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import evidence_pb2 as evidence

from gateway.errors import Refusal
from gateway.formats import chains
from gateway.formats.transactions import import_records, record, to_normalised
from gateway.formats.transactions.common import Origin, coins
from gateway.formats.transactions.forms import FormReader

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32
BITCOIN = chains.find("bitcoin")
Records = list[evidence.TransactionRecord]


def read(value: object, chain: str | None = None, form: str = "") -> Records:
    made = FormReader(form, Origin(None if chain is None else chains.find(chain))).read(value, "")
    for one in made:
        # Whatever form it came in, the normalised one says the same of it.
        assert record(to_normalised(one)) == one
    return made


def refused(value: object, chain: str | None = None, form: str = "") -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        FormReader(form, Origin(None if chain is None else chains.find(chain))).read(value, "")
    return caught.value.rule, caught.value.field


def output(value: str, n: int, kind: str = "pubkeyhash", **script: object) -> dict[str, Any]:
    return {"value": Decimal(value), "n": n, "scriptPubKey": {"type": kind, **script}}


def core(**changes: Any) -> dict[str, Any]:
    spent = {"value": Decimal("0.3"), "scriptPubKey": {"type": "scripthash", "address": "3A"}}
    return {
        "txid": A,
        "vin": [{"txid": B, "vout": 7, "prevout": spent}, {"txid": B, "vout": 8, "prevout": spent}],
        "vout": [output("0.5", 0, address="1A"), output("0.09999999", 1, "pubkey")],
        **changes,
    }


def block(*txs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    coinbase = {"txid": C, "vin": [{"coinbase": "0102"}], "vout": [output("50.00000000", 0, "pubkey")]}
    head = {"hash": B, "height": 5, "time": 1_600_000_000, "previousblockhash": A, "confirmations": 9}
    return {**head, "tx": [coinbase, *txs], **changes}


def test_bitcoin_block_gives_every_input_its_amount_where_the_node_told_it() -> None:
    first, second = read(block(core(fee=Decimal("0.00000001"))), "bitcoin")
    assert (len(first.inputs), first.outputs[0].amount.base_units, first.outputs[0].address) == (0, "5000000000", "")
    assert (second.block_height, second.block_hash, second.block_index, second.confirmations) == (5, B, 1, 9)
    assert [(end.spent, end.amount.base_units) for end in second.inputs] == [
        (f"{B}:7", "30000000"),
        (f"{B}:8", "30000000"),
    ]
    assert [(end.address, end.amount.base_units) for end in second.outputs] == [("1A", "50000000"), ("", "9999999")]
    assert second.fee.base_units == "1"


def test_transaction_that_waits_is_in_no_block() -> None:
    (made,) = read(core(), "bitcoin")
    assert not made.block_hash
    assert not made.HasField("confirmations")


def test_transaction_with_the_hash_of_its_block_only_keeps_what_is_told() -> None:
    (made,) = read(core(blockhash=C, confirmations=3, blocktime=1_600_000_000), "bitcoin")
    assert (made.block_hash, made.confirmations, made.block_time_us) == (C, 3, 1_600_000_000_000_000)
    assert not made.HasField("block_height")


def test_multisig_of_old_nodes_is_nobodys_alone() -> None:
    (made,) = read(
        core(vout=[output("0.5", 0, "multisig", addresses=["1A", "1B"]), output("0", 1, addresses=["1C"])]), "bitcoin"
    )
    assert [end.address for end in made.outputs] == ["", "1C"]


def test_what_enters_and_leaves_a_shielded_pool_has_no_address() -> None:
    value = {
        "txid": A,
        "vin": [],
        "vout": [output("0.5", 0, addresses=["t1A"]) | {"valueZat": 50_000_000}],
        "vjoinsplit": [{"vpub_old": Decimal("0.25"), "vpub_new": Decimal("0.00")}],
        "valueBalance": Decimal("0.9"),
        "valueBalanceZat": 90_000_000,
    }
    (made,) = read(value, "zcash")
    assert [(end.amount.base_units, end.output_type) for end in made.inputs] == [("90000000", "shielded")]
    assert [(end.amount.base_units, end.output_type) for end in made.outputs] == [
        ("50000000", "pubkeyhash"),
        ("25000000", "shielded"),
    ]


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"valueBalance": Decimal("-0.25")}, id="coins"),
        pytest.param({"valueBalanceZat": -25_000_000}, id="base units"),
    ],
)
def test_what_enters_a_pool_is_read_though_it_is_told_in_one_unit_only(told: dict[str, Any]) -> None:
    (made,) = read({"txid": A, "vin": [{"txid": B, "vout": 0}], "vout": [], **told}, "zcash")
    assert [(end.amount.base_units, end.output_type) for end in made.outputs] == [("25000000", "shielded")]


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param({"vShieldedSpend": [{}], "vShieldedOutput": [{}]}, id="sapling"),
        pytest.param({"orchard": {"actions": [{}], "valueBalanceZat": 0}}, id="orchard"),
        pytest.param({"vjoinsplit": [{"vpub_old": 0, "vpub_new": 0}]}, id="sprout"),
    ],
)
def test_transfer_within_a_pool_that_paid_no_fee_shows_nothing_and_is_read(inside: dict[str, Any]) -> None:
    value = {"txid": A, "vin": [], "vout": [], "valueBalance": Decimal("0E-8"), "valueBalanceZat": 0}
    (made,) = read(value | inside, "zcash")
    assert (len(made.inputs), len(made.outputs)) == (0, 0)
    assert refused(value, "zcash") == ("TX_NO_INPUTS", ".vin")
    assert refused(value | inside, "litecoin") == ("TX_NO_INPUTS", ".vin")


@pytest.mark.parametrize(
    ("told", "rule", "field"),
    [
        pytest.param(
            {"valueBalance": Decimal("-0.90000000000000000000000000000000001")},
            "TX_VALUE_FORMAT",
            ".valueBalance",
            id="finer than a zatoshi, and with a sign",
        ),
        pytest.param(
            {"valueBalance": Decimal("-0.9"), "valueBalanceZat": -9_000_000},
            "TX_VALUE_CONTRADICTS",
            ".valueBalanceZat",
            id="told twice, and not alike",
        ),
        pytest.param(
            {"vjoinsplit": [{"vpub_old": Decimal("-0.25"), "vpub_new": 0}]},
            "TX_VALUE_RANGE",
            ".vjoinsplit[0].vpub_old",
            id="an amount with a sign",
        ),
    ],
)
def test_shielded_amount_that_is_none_is_refused_and_never_rounded(told: dict[str, Any], rule: str, field: str) -> None:
    value = {"txid": A, "vin": [{"txid": B, "vout": 0}], "vout": [output("0.5", 0, address="t1A")]} | told
    assert refused(value, "zcash") == (rule, field)


@pytest.mark.parametrize(
    ("kind", "vout"),
    [
        pytest.param(6, [], id="quorum commitment, DIP-6"),
        pytest.param(7, [], id="hard fork signal, DIP-23"),
        pytest.param(9, [output("0.5", 0, address="XA")], id="asset unlock, DIP-27"),
    ],
)
def test_special_transaction_of_dash_spends_nothing(kind: int, vout: list[object]) -> None:
    value = {"txid": A, "version": 3, "type": kind, "vin": [], "vout": vout}
    (made,) = read(value, "dash")
    assert (len(made.inputs), len(made.outputs)) == (0, len(vout))
    for other in (0, 8, [6], None):
        assert refused(value | {"type": other}, "dash") == ("TX_NO_INPUTS", ".vin")


@pytest.mark.parametrize("value", [{"type": 6, "vout": []}, {"type": 9, "vout": [output("0.5", 0, address="1A")]}])
def test_nothing_but_dash_has_transactions_that_spend_nothing(value: dict[str, Any]) -> None:
    assert refused({"txid": A, "vin": []} | value, "bitcoin") == ("TX_NO_INPUTS", ".vin")


@pytest.mark.parametrize(
    ("value", "rule", "field"),
    [
        pytest.param(core(txid=A.upper()), "TX_HASH_FORMAT", ".txid", id="hash in capitals"),
        pytest.param(core(fee=Decimal(1)), "TX_SUM", ".vout", id="fee is not what is left"),
        pytest.param(core(vout=[output("0.7", 0, address="1A")]), "TX_SUM", ".vout", id="more out than in"),
        pytest.param(core(vout=[output("0.1", 1, address="1A")]), "TX_POSITION", ".vout[0].n", id="first output gone"),
        pytest.param(core(vout=[output("-0.1", 0, address="1A")]), "TX_VALUE_RANGE", ".vout[0].value", id="negative"),
        pytest.param(
            core(vout=[output("21000000.00000001", 0, "pubkey")], vin=[{"txid": B, "vout": 0}]),
            "TX_VALUE_RANGE",
            ".vout[0].value",
            id="above all there is",
        ),
        pytest.param(
            core(vout=[output("11000000", n, "pubkey") for n in (0, 1)]),
            "TX_VALUE_RANGE",
            ".vout",
            id="above all there is, together",
        ),
        pytest.param(
            core(vout=[output("0.000000001", 0, "pubkey")]),
            "TX_VALUE_FORMAT",
            ".vout[0].value",
            id="finer than a satoshi",
        ),
        pytest.param(
            core(vout=[output("0", 0, "pubkey") | {"value": 0.1}]), "TX_VALUE_FORMAT", ".vout[0].value", id="float"
        ),
        pytest.param(
            core(vout=[output("1e999999999", 0, "pubkey")]), "TX_VALUE_FORMAT", ".vout[0].value", id="endless number"
        ),
        pytest.param(
            core(vout=[output("0.1", 0, "pubkey") | {"valueSat": 1}]),
            "TX_VALUE_CONTRADICTS",
            ".vout[0].valueSat",
            id="two amounts",
        ),
        pytest.param(core(vin=[{"txid": B, "vout": 1}] * 2), "TX_SPENT_TWICE", ".vin[1]", id="spent twice"),
        pytest.param(
            core(vin=[{"coinbase": "00"}, {"txid": B, "vout": 1}]), "TX_COINBASE", ".vin", id="new coins and old"
        ),
        pytest.param(core(vin=[{"txid": B, "vout": -1}]), "WRONG_TYPE", ".vin[0].vout", id="negative index"),
        pytest.param(core(vsize=100), "MISSING", ".hash", id="size without its hash"),
        pytest.param(core(confirmations=3), "TX_BLOCK_CONTRADICTS", ".confirmations", id="confirmed in no block"),
        pytest.param(core(blockhash=C, confirmations=0), "TX_NOT_IN_CHAIN", ".confirmations", id="stale block"),
        pytest.param(core(blocktime=1), "TX_BLOCK_CONTRADICTS", ".blocktime", id="time of no block"),
        pytest.param(core(hex="00"), "TX_RAW_FORMAT", ".hex", id="bytes of nothing"),
        pytest.param(block(confirmations=-1), "TX_NOT_IN_CHAIN", ".confirmations", id="block beside the chain"),
        pytest.param(block(previousblockhash=B), "TX_BLOCK_PREVIOUS", ".previousblockhash", id="block before itself"),
        pytest.param(block(core(blockhash=C)), "TX_BLOCK_CONTRADICTS", ".tx[1].blockhash", id="other block's"),
        pytest.param(block(core(), core()), "TX_TWICE", ".tx[2].txid", id="same twice"),
        pytest.param(block(tx=[core()]), "TX_COINBASE", ".tx[0].vin", id="no new coins"),
        pytest.param(block(tx=[A, B]), "TX_NOT_FULL", ".tx[0]", id="names only"),
        pytest.param(block(time=10**12), "TX_TIME", ".time", id="milliseconds for seconds"),
    ],
)
def test_bitcoin_json_that_contradicts_itself_is_refused(value: object, rule: str, field: str) -> None:
    assert refused(value, "bitcoin") == (rule, field)


def test_bitcoin_json_does_not_name_its_chain() -> None:
    assert refused(core()) == ("TX_CHAIN_NOT_GIVEN", "")
    assert refused(core(), "ethereum") == ("TX_CHAIN_CONTRADICTS", "")


@given(st.integers(0, 21 * 10**14))
def test_every_amount_of_bitcoin_is_read_to_the_satoshi(value: int) -> None:
    whole, rest = divmod(value, 10**8)
    assert coins(Decimal(f"{whole}.{rest:08d}"), BITCOIN, "") == value
    assert coins(Decimal(value).scaleb(-8), BITCOIN, "") == value


def esplora(**changes: Any) -> dict[str, Any]:
    spent = {"scriptpubkey_type": "v0_p2wpkh", "scriptpubkey_address": "bc1q", "value": 1_000}
    status = {"confirmed": True, "block_height": 5, "block_hash": B, "block_time": 1_600_000_000}
    return {
        "txid": A,
        "vin": [{"txid": B, "vout": 0, "prevout": spent, "is_coinbase": False}],
        "vout": [{"scriptpubkey_type": "op_return", "value": 0}, {**spent, "value": 900}],
        "fee": 100,
        "status": status,
        **changes,
    }


def test_esplora_tells_every_input_and_the_fee() -> None:
    (made,) = read(esplora(), "bitcoin")
    assert (made.inputs[0].amount.base_units, made.outputs[1].index, made.fee.base_units) == ("1000", 1, "100")
    (waiting,) = read(esplora(status={"confirmed": False}), "bitcoin")
    assert (waiting.block_hash, waiting.confirmations, waiting.HasField("confirmations")) == ("", 0, True)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"fee": 101}, "TX_SUM"),
        ({"fee": Decimal("100.0")}, "TX_VALUE_FORMAT"),
        ({"vin": []}, "TX_NO_INPUTS"),
        ({"vout": []}, "TX_NO_OUTPUTS"),
        ({"status": {"confirmed": False, "block_height": 5}}, "TX_BLOCK_CONTRADICTS"),
        ({"status": {"confirmed": "yes"}}, "WRONG_TYPE"),
        ({"vout": [{"scriptpubkey_type": "p2pkh", "value": 1}]}, "TX_ADDRESS_MISSING"),
        ({"vout": [{"scriptpubkey_type": "new", "value": 1}]}, "TX_OUTPUT_TYPE"),
    ],
    ids=str,
)
def test_esplora_json_that_contradicts_itself_is_refused(change: dict[str, Any], rule: str) -> None:
    assert refused(esplora(**change), "bitcoin")[0] == rule


X, Y = "0x" + "ab" * 20, "0x" + "cd" * 20
H, H2, T = "0x" + A, "0x" + B, "0x" + C
SIGN = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def topic(address: str) -> str:
    return f"0x{'0' * 24}{address[2:]}"


def ether(**changes: Any) -> dict[str, Any]:
    place = {"blockHash": H, "blockNumber": "0x5", "transactionIndex": "0x0"}
    return {"hash": T, "from": X, "to": Y, "value": "0xde0b6b3a7640000", "nonce": "0x9", **place, **changes}


def log(index: str, *topics: str, data: str = "0x", **changes: Any) -> dict[str, Any]:
    place = {"transactionHash": T, "blockHash": H, "blockNumber": "0x5", "removed": False}
    return {"address": Y, "topics": [*topics], "data": data, "logIndex": index, **place, **changes}


def erc20(index: str, value: int, **changes: Any) -> dict[str, Any]:
    return log(index, SIGN, topic(X), topic(Y), data=f"0x{value:064x}", **changes)


def receipt(*logs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    place = {"blockHash": H, "blockNumber": "0x5", "transactionIndex": "0x0"}
    fee = {"gasUsed": "0x5208", "effectiveGasPrice": "0x3b9aca00"}
    return {"transactionHash": T, "from": X, "to": Y, "status": "0x1", "logs": [*logs], **place, **fee, **changes}


def ether_block(*txs: Any, **changes: Any) -> dict[str, Any]:
    head = {"hash": H, "number": "0x5", "parentHash": H2, "timestamp": "0x5f5e1000"}
    return {**head, "transactions": [*txs], **changes}


def test_ethereum_transaction_has_its_value_and_neither_status_nor_fee() -> None:
    (made,) = read(ether_block(ether()), "ethereum")
    assert (made.outputs[0].amount.base_units, made.nonce, made.block_index) == ("1" + "0" * 18, 9, 0)
    assert (made.status, made.HasField("fee")) == (evidence.TRANSACTION_STATUS_UNSPECIFIED, False)


def test_receipt_adds_status_fee_and_transfers_of_tokens() -> None:
    nft = log("0x2", SIGN, topic(X), topic(Y), f"0x{7:064x}")
    strange = log("0x3", SIGN, data="0x" + "00" * 96)
    value = {"transaction": ether(), "receipt": receipt(erc20("0x1", (1 << 256) - 1), nft, strange)}
    made, coin, token = read(value, "ethereum")
    assert (made.status, made.fee.base_units) == (evidence.TRANSACTION_STATUS_APPLIED, str(21_000 * 10**9))
    assert (coin.log_index, coin.outputs[0].amount.base_units) == (1, str((1 << 256) - 1))
    assert coin.outputs[0].amount.asset == f"eip155:1/erc20:{Y}"
    assert (token.outputs[0].amount.asset, token.outputs[0].amount.base_units) == (f"eip155:1/erc721:{Y}/7", "1")
    assert (token.inputs[0].address, token.outputs[0].address, token.block_hash) == (X, Y, H)


def test_receipt_alone_tells_no_value() -> None:
    (made,) = read(receipt(), "ethereum")
    assert not made.outputs[0].HasField("amount")


def test_chain_is_told_by_its_number_or_by_the_caller_and_both_agree() -> None:
    assert read(ether(chainId="0x89"))[0].chain == "eip155:137"
    assert refused(ether(chainId="0x89"), "ethereum") == ("TX_CHAIN_CONTRADICTS", ".chainId")
    assert refused(ether(chainId="0x7fffffff")) == ("CHAIN_NOT_SUPPORTED", ".chainId")
    assert refused(ether()) == ("TX_CHAIN_NOT_GIVEN", "")


@pytest.mark.parametrize(
    ("value", "rule", "field"),
    [
        *(
            pytest.param(ether(value=value), "TX_QUANTITY", ".value", id=f"value {value!r}")
            for value in ("0x", "0x01", "0X1", "0xA", "1", 1, "0x-1", "0x1" + "0" * 64, " 0x1", "0x1\n")
        ),
        pytest.param(ether(value=None), "MISSING", ".value", id="no value"),
        pytest.param(ether(to="0xab"), "TX_ADDRESS_FORMAT", ".to", id="short address"),
        pytest.param(ether(hash=T.upper()), "TX_HASH_FORMAT", ".hash", id="hash in capitals"),
        pytest.param(ether(blockHash=None), "TX_BLOCK_CONTRADICTS", ".blockNumber", id="number of no block"),
        pytest.param(
            ether_block(ether(blockHash=H2)), "TX_BLOCK_CONTRADICTS", ".transactions[0].blockHash", id="other block's"
        ),
        pytest.param(
            ether_block(ether(blockNumber="0x6")),
            "TX_BLOCK_CONTRADICTS",
            ".transactions[0].blockNumber",
            id="other block's number",
        ),
        pytest.param(
            ether_block(ether(transactionIndex="0x1")),
            "TX_POSITION",
            ".transactions[0].transactionIndex",
            id="other position",
        ),
        pytest.param(ether_block(T), "TX_NOT_FULL", ".transactions[0]", id="names only"),
        pytest.param(ether_block(parentHash=H), "TX_BLOCK_PREVIOUS", ".parentHash", id="block before itself"),
        pytest.param(ether_block(hash=None, number=None), "TX_NOT_IN_CHAIN", ".hash", id="draft"),
        pytest.param(receipt(status="0x2"), "TX_STATUS", ".status", id="status two"),
        pytest.param(receipt(erc20("0x1", 1), status="0x0"), "TX_LOGS_CONTRADICT", ".logs", id="failed with logs"),
        pytest.param(
            receipt(erc20("0x1", 1), erc20("0x1", 1)), "TX_TWICE", ".logs[1].logIndex", id="one position twice"
        ),
        pytest.param(
            receipt(erc20("0x1", 1, transactionHash=H)),
            "TX_HASH_CONTRADICTS",
            ".logs[0].transactionHash",
            id="log of another",
        ),
        pytest.param(receipt(erc20("0x1", 1, removed=True)), "TX_NOT_IN_CHAIN", ".logs[0]", id="removed log"),
        pytest.param(
            {"transaction": ether(), "receipt": receipt(transactionHash=H)},
            "TX_HASH_CONTRADICTS",
            ".receipt.transactionHash",
            id="receipt of another",
        ),
    ],
)
def test_ethereum_json_that_contradicts_itself_is_refused(value: object, rule: str, field: str) -> None:
    assert refused(value, "ethereum") == (rule, field)


def test_log_by_itself_is_a_transfer_or_nothing() -> None:
    (made,) = read(erc20("0x1", 5), "ethereum")
    assert (made.log_index, made.status) == (1, evidence.TRANSACTION_STATUS_APPLIED)
    assert read(log("0x1", H), "ethereum") == []
    # A word that is no address is not cut down to one.
    assert read(log("0x1", SIGN, topic(X), H, data=f"0x{5:064x}"), "ethereum") == []
    raw = json.dumps([erc20("0x1", 5), log("0x1", SIGN, topic(X), topic(Y), data="0x0")]).encode()
    (_, error) = import_records([raw], chain="ethereum")
    assert isinstance(error, Refusal)
    assert (error.rule, error.field) == ("WRONG_TYPE", "[1].data")


@given(st.integers(0, (1 << 256) - 1))
def test_every_quantity_of_256_bits_is_exact(value: int) -> None:
    (made,) = read(ether(value=hex(value)), "ethereum")
    assert made.outputs[0].amount.base_units == str(value)


def trace(path: list[int], value: str = "0x1", kind: str = "call", **changes: Any) -> dict[str, Any]:
    action = {"callType": kind, "from": X, "to": Y, "value": value}
    place = {"blockHash": H, "blockNumber": 5, "transactionHash": T, "transactionPosition": 2}
    return {"type": "call", "action": action, "traceAddress": path, **place, **changes}


def paths(made: Records) -> list[tuple[str, int]]:
    return [(one.trace_address, one.status) for one in made]


APPLIED, FAILED = evidence.TRANSACTION_STATUS_APPLIED, evidence.TRANSACTION_STATUS_FAILED


def test_transfers_within_a_transaction_have_their_path_and_the_fate_of_the_calls_around_them() -> None:
    listed = [
        trace([]),
        trace([0]),
        trace([1], error="Reverted"),
        trace([1, 0]),
        trace([2], kind="delegatecall"),
        trace([2, 0]),
        trace([3], "0x0"),
        {"type": "reward", "action": {"author": X, "value": "0x1", "rewardType": "block"}},
    ]
    made = read({"jsonrpc": "2.0", "id": 1, "result": listed}, "ethereum")
    assert paths(made) == [("0", APPLIED), ("1", FAILED), ("1_0", FAILED), ("2_0", APPLIED)]
    assert {one.kind for one in made} == {evidence.TRANSACTION_KIND_INTERNAL_TRANSFER}


def test_call_whose_surroundings_are_not_there_has_no_status() -> None:
    assert paths(read(trace([4, 1]), "ethereum")) == [("4_1", evidence.TRANSACTION_STATUS_UNSPECIFIED)]


def test_contract_that_destroys_itself_gives_what_it_had() -> None:
    action = {"address": Y, "balance": "0x7", "refundAddress": X}
    (made,) = read(trace([0], type="suicide", action=action), "ethereum")
    assert (made.inputs[0].address, made.outputs[0].address, made.outputs[0].amount.base_units) == (Y, X, "7")


def call(*calls: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"type": "CALL", "from": X, "to": Y, "value": "0x1", "gas": "0x1", "calls": [*calls], **changes}


def test_tree_of_calls_gives_the_same_as_the_list() -> None:
    root = call(call(), call(call(), error="execution reverted"), call(call(), type="DELEGATECALL"), call(value="0x0"))
    made = read([{"txHash": T, "result": root}][0], "ethereum")
    assert paths(made) == [("0", APPLIED), ("1", FAILED), ("1_0", FAILED), ("2_0", APPLIED)]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (call(), "MISSING"),
        ({"txHash": T, "result": call(type="JUMP")}, "TX_TRACE"),
        ({"txHash": T, "result": None}, "WRONG_TYPE"),
        (trace([0], type="jump"), "TX_TRACE"),
        (trace([1 << 16]), "WRONG_TYPE"),
        (trace([0] * 33), "TX_TOO_MANY"),
        ({"result": [trace([0]), trace([0])]}, "TX_TWICE"),
    ],
    ids=[str(n) for n in range(7)],
)
def test_trace_that_is_none_is_refused(value: object, rule: str) -> None:
    assert refused(value, "ethereum")[0] == rule


KEYS = ["1" * 32, "2" * 32, "3" * 32]


def solana(**meta: Any) -> dict[str, Any]:
    figures = {"err": None, "fee": 5, "preBalances": [100, 10, 1], "postBalances": [55, 50, 1]}
    body = {"signatures": ["4" * 64], "message": {"accountKeys": [*KEYS]}}
    return {"slot": 7, "blockTime": 1_600_000_000, "transaction": body, "meta": {**figures, **meta}}


def token(account: int, amount: str) -> dict[str, Any]:
    return {"accountIndex": account, "mint": "5" * 32, "uiTokenAmount": {"amount": amount, "decimals": 6}}


@pytest.mark.parametrize(("decimals", "kept"), [(0, True), (77, True), (78, False), (255, False)])
def test_token_of_any_decimals_leaves_its_block_readable(decimals: int, kept: bool) -> None:
    """Anybody may make a mint with 255 (SPL Token: one byte); a block that has it has everything else, too."""
    told = token(1, "9")
    told["uiTokenAmount"]["decimals"] = decimals
    (made,) = read(solana(postTokenBalances=[told]), "solana")
    change = next(each for each in made.balance_changes if "/token:" in each.asset)
    assert (change.delta, change.HasField("decimals")) == ("9", kept)
    assert change.decimals == (decimals if kept else 0)


def test_token_of_more_decimals_than_a_byte_holds_is_refused() -> None:
    told = token(1, "9")
    told["uiTokenAmount"]["decimals"] = 256
    rule, field = refused(solana(postTokenBalances=[told]), "solana")
    assert (rule, field) == ("WRONG_TYPE", ".meta.postTokenBalances[0].uiTokenAmount.decimals")


def test_solana_tells_what_each_account_gained_or_lost() -> None:
    (made,) = read(solana(preTokenBalances=[token(1, "9")], postTokenBalances=[token(2, "9")]), "solana")
    assert [(c.address, c.delta, c.decimals) for c in made.balance_changes] == [
        (KEYS[0], "-45", 9),
        (KEYS[1], "40", 9),
        (KEYS[1], "-9", 6),
        (KEYS[2], "9", 6),
    ]
    assert made.balance_changes[2].asset == f"{made.chain}/token:{'5' * 32}"
    assert (made.fee_payer, made.fee.base_units, made.slot, made.block_hash) == (KEYS[0], "5", 7, "")


@pytest.mark.parametrize(
    ("meta", "rule"),
    [
        ({"preBalances": [1]}, "TX_BALANCES"),
        ({"postBalances": None}, "MISSING"),
        ({"postBalances": [100, 50, 1]}, "TX_SUM"),
        ({"postBalances": [-1, 50, 1]}, "TX_VALUE_RANGE"),
        ({"fee": Decimal("5.0")}, "TX_VALUE_FORMAT"),
        ({"preTokenBalances": [token(3, "1")]}, "TX_BALANCES"),
        ({"preTokenBalances": [token(1, "1.5")]}, "TX_VALUE_FORMAT"),
        ({"loadedAddresses": {"writable": ["0"], "readonly": []}}, "TX_ADDRESS_FORMAT"),
    ],
    ids=str,
)
def test_solana_json_that_contradicts_itself_is_refused(meta: dict[str, Any], rule: str) -> None:
    assert refused(solana(**meta), "solana")[0] == rule


def test_failed_solana_transaction_moves_its_fee_only_and_says_so() -> None:
    (made,) = read(solana(err={"InstructionError": [0, "Custom"]}, postBalances=[95, 10, 1]), "solana")
    assert (made.status, [c.delta for c in made.balance_changes]) == (FAILED, ["-5"])


def test_file_of_several_chains_needs_no_form() -> None:
    found = [*import_records([json.dumps([ether(chainId="0x1"), ether(chainId="0x89")]).encode()], source="a node")]
    assert [(one.chain, one.source) for one in found if not isinstance(one, Refusal)] == [
        ("eip155:1", "a node"),
        ("eip155:137", "a node"),
    ]


@pytest.mark.parametrize("make", [core, esplora, ether, receipt, solana, trace], ids=lambda make: str(make.__name__))
def test_reading_changes_nothing_of_what_it_is_given(make: Callable[..., dict[str, Any]]) -> None:
    value = make([0]) if make is trace else make()
    before = deepcopy(value)
    FormReader(
        "",
        Origin(
            chains.find({"core": "bitcoin", "esplora": "bitcoin", "solana": "solana"}.get(make.__name__, "ethereum"))
        ),
    ).read(value, "")
    assert value == before
