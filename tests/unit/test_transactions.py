import copy
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

from gateway import codec, envelope
from gateway.clock import from_micros
from gateway.errors import ErrorCode, Refusal
from gateway.formats import chains, transactions
from gateway.formats.codes import Code
from tests import paperwork, world

RECORDS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "transactions.json").read_bytes())
OUTPUTS = next(r for r in RECORDS if r.get("inputs") and r["chain"] == "dogecoin")
ACCOUNT = next(r for r in RECORDS if r["chain"] == "ethereum" and "log_index" not in r)
TOKEN = next(r for r in RECORDS if "log_index" in r)
CHANGES = next(r for r in RECORDS if len(r.get("balance_changes", [])) == 2)


def read(entry: object) -> evidence.TransactionRecord:
    return transactions.record(copy.deepcopy(entry))


def test_every_real_transaction_is_read_and_every_amount_is_the_same_integer() -> None:
    found = transactions.records(RECORDS)
    assert found.refused == ()
    for entry, made in zip(RECORDS, found.read, strict=True):
        codec.check(made)
        head = (made.txid, made.block_height, made.block_hash, made.source, made.chain)
        assert head == tuple(entry[k] for k in ("txid", "block_height", "block_hash", "source", "caip2"))
        assert from_micros(made.block_time_us) == datetime.fromisoformat(entry["block_time"])
        assert amounts(made) == values(entry)


def amounts(made: evidence.TransactionRecord) -> list[str | None]:
    ends = [*made.inputs, *made.outputs]
    return [
        *(end.amount.base_units if end.HasField("amount") else None for end in ends),
        *(change.delta for change in made.balance_changes),
    ]


def values(entry: dict[str, Any]) -> list[str | None]:
    if "inputs" in entry:
        return [end["value"] for end in [*entry["inputs"], *entry["outputs"]]]
    if "balance_changes" in entry:
        return [change["delta"] for change in entry["balance_changes"]]
    return [entry["value"]] * 2


def test_amounts_far_above_64_bits_are_exact() -> None:
    largest = max((r for r in RECORDS if "value" in r), key=lambda r: int(r["value"]))
    assert int(largest["value"]) > 1 << 64
    assert read(largest).outputs[0].amount.base_units == largest["value"]


def test_shielded_output_has_no_address_and_its_type_says_why() -> None:
    (entry,) = (r for r in RECORDS for o in r.get("outputs", ()) if o["type"] == "shielded")
    (end,) = read(entry).outputs
    assert (end.address, end.output_type, end.amount.base_units) == ("", "shielded", "86290000")


def test_hidden_amount_is_absent_and_no_zero() -> None:
    (end,) = read(OUTPUTS).inputs
    assert not end.HasField("amount")
    assert end.spent == OUTPUTS["inputs"][0]["spent"]


def test_first_output_keeps_its_position_nought() -> None:
    first, second = read(OUTPUTS).outputs
    assert first.HasField("index")
    assert (first.index, second.index) == (0, 1)


def test_newly_made_coins_have_no_input() -> None:
    made = read(next(r for r in RECORDS if r.get("coinbase")))
    assert not made.inputs
    assert made.outputs


def test_token_transfer_keeps_its_asset_and_position_and_invents_no_decimals() -> None:
    made = read(TOKEN)
    assert made.log_index == TOKEN["log_index"]
    assert made.outputs[0].amount.asset == TOKEN["asset"]
    assert not made.outputs[0].amount.HasField("decimals")


def test_transaction_itself_has_no_log_index_and_keeps_its_nonce() -> None:
    made = read(ACCOUNT)
    assert not made.HasField("log_index")
    assert (made.nonce, made.inputs[0].address, made.outputs[0].address) == (
        ACCOUNT["nonce"],
        ACCOUNT["from"],
        ACCOUNT["to"],
    )
    assert made.inputs[0].amount.decimals == 18


def test_losses_and_gains_keep_their_sign() -> None:
    made = read(CHANGES)
    assert [change.delta for change in made.balance_changes] == ["129096023", "-129112223"]
    assert made.balance_changes[0].asset == chains.find("solana").native
    assert made.fee_payer == CHANGES["fee_payer"]


@pytest.mark.parametrize(
    ("status", "meant"),
    [
        (None, evidence.TRANSACTION_STATUS_UNSPECIFIED),
        (1, evidence.TRANSACTION_STATUS_APPLIED),
        (0, evidence.TRANSACTION_STATUS_FAILED),
        ("ok", evidence.TRANSACTION_STATUS_APPLIED),
        ("applied", evidence.TRANSACTION_STATUS_APPLIED),
        ("failed", evidence.TRANSACTION_STATUS_FAILED),
        ("backtracked", evidence.TRANSACTION_STATUS_FAILED),
    ],
)
def test_failed_transaction_is_never_read_as_a_transfer_that_took_effect(
    status: object, meant: evidence.TransactionStatus.ValueType
) -> None:
    assert read(ACCOUNT | {"status": status}).status == meant


def test_contract_that_the_transaction_creates_has_no_address_yet() -> None:
    assert read(ACCOUNT | {"to": None}).outputs[0].address == ""


def test_fee_is_what_the_source_tells_and_absent_otherwise() -> None:
    assert not read(ACCOUNT).HasField("fee")
    fee = read(ACCOUNT | {"fee": "21000000000000"}).fee
    assert (fee.base_units, fee.asset, fee.decimals) == ("21000000000000", "eip155:1/slip44:60", 18)


def test_fraction_of_a_second_is_kept() -> None:
    made = read(ACCOUNT | {"block_time": "2016-06-23T08:12:42.000001Z"})
    assert made.block_time_us - read(ACCOUNT).block_time_us == 1


@pytest.mark.parametrize(
    ("base", "change", "field"),
    [
        pytest.param(ACCOUNT, {"value": 1}, ".value", id="amount as a number"),
        pytest.param(ACCOUNT, {"value": 1.5}, ".value", id="amount as a float"),
        pytest.param(ACCOUNT, {"value": "1.5"}, ".value", id="amount with a point"),
        pytest.param(ACCOUNT, {"value": "1e18"}, ".value", id="amount with an exponent"),
        pytest.param(ACCOUNT, {"value": "007"}, ".value", id="amount with leading zeros"),
        pytest.param(ACCOUNT, {"value": "-1"}, ".value", id="negative amount"),
        pytest.param(ACCOUNT, {"value": "\u0661"}, ".value", id="Arabic digit"),
        pytest.param(ACCOUNT, {"value": "9" * 79}, ".value", id="79 digits"),
        pytest.param(ACCOUNT, {"value": None}, ".value", id="no amount"),
        pytest.param(ACCOUNT, {"value_unit": "ether"}, ".value_unit", id="amount in ether"),
        pytest.param(ACCOUNT, {"value_unit": ["wei"]}, ".value_unit", id="unit is a list"),
        pytest.param(ACCOUNT, {"caip2": "eip155:56"}, ".caip2", id="id of another chain"),
        pytest.param(ACCOUNT, {"chain": "bitcoin-gold"}, ".chain", id="chain that is not supported"),
        pytest.param(ACCOUNT, {"asset": TOKEN["asset"]}, ".asset", id="token without position"),
        pytest.param(TOKEN, {"asset": "eip155:1/slip44:60"}, ".asset", id="position without token"),
        pytest.param(TOKEN, {"asset": "eip155:56/erc20:0xab"}, ".asset", id="token of another chain"),
        pytest.param(TOKEN, {"asset": "eip155:1/USDT"}, ".inputs[0].amount.asset", id="ticker for an asset"),
        pytest.param(TOKEN, {"log_index": -1}, ".log_index", id="negative position"),
        pytest.param(TOKEN, {"log_index": True}, ".log_index", id="position is true"),
        pytest.param(TOKEN, {"log_index": 1 << 32}, ".log_index", id="position above 32 bits"),
        pytest.param(ACCOUNT, {"status": True}, ".status", id="status is true"),
        pytest.param(ACCOUNT, {"status": "maybe"}, ".status", id="unknown status"),
        pytest.param(ACCOUNT, {"status": 1.0}, ".status", id="status is a float"),
        pytest.param(ACCOUNT, {"block_time": "2016-06-23T08:12:42"}, ".block_time", id="time without zone"),
        pytest.param(ACCOUNT, {"block_time": "2016-06-31T08:12:42Z"}, ".block_time", id="31st of June"),
        pytest.param(ACCOUNT, {"block_time": 1466669562}, ".block_time", id="time as a number"),
        pytest.param(ACCOUNT, {"block_time": "1969-12-31T23:59:59Z"}, ".block_time_us", id="before the epoch"),
        pytest.param(ACCOUNT, {"block_height": "1"}, ".block_height", id="height as text"),
        pytest.param(ACCOUNT, {"block_height": 1 << 64}, ".block_height", id="height above 64 bits"),
        pytest.param(ACCOUNT, {"txid": ""}, ".txid", id="empty hash"),
        pytest.param(ACCOUNT, {"txid": None}, ".txid", id="no hash"),
        pytest.param(ACCOUNT, {"block_hash": "0x\u0430"}, ".block_hash", id="hash with a Cyrillic letter"),
        pytest.param(ACCOUNT, {"from": ""}, ".from", id="empty address"),
        pytest.param(ACCOUNT, {"inputs": [], "outputs": []}, "", id="two forms at once"),
        pytest.param(OUTPUTS, {"coinbase": True}, ".coinbase", id="new coins that have inputs"),
        pytest.param(OUTPUTS, {"inputs": []}, ".coinbase", id="old coins that have none"),
        pytest.param(OUTPUTS, {"outputs": None}, ".outputs", id="no outputs"),
        pytest.param(OUTPUTS, {"outputs": [{"value": "1"}]}, ".outputs[0].address", id="address left out"),
        pytest.param(OUTPUTS, {"outputs": [{"address": "D"}]}, ".outputs[0].value", id="value left out"),
        pytest.param(OUTPUTS, {"inputs": [None]}, ".inputs[0]", id="input is null"),
        pytest.param(
            OUTPUTS,
            {"inputs": [{"address": None, "value": None, "spent": "x"}]},
            ".inputs[0].spent",
            id="spends no output",
        ),
        pytest.param(
            OUTPUTS,
            {"outputs": [{"address": "D", "value": "1", "index": -1}]},
            ".outputs[0].index",
            id="negative index",
        ),
        pytest.param(CHANGES, {"balance_changes": {}}, ".balance_changes", id="changes are no list"),
        pytest.param(
            CHANGES, {"balance_changes": [{"address": "A", "delta": "+1"}]}, ".balance_changes[0].delta", id="plus"
        ),
        pytest.param(
            CHANGES,
            {"balance_changes": [{"address": "A", "delta": "-0"}]},
            ".balance_changes[0].delta",
            id="minus zero",
        ),
        pytest.param(CHANGES, {"fee_payer": None}, ".fee_payer", id="fee payer is null"),
    ],
)
def test_bad_record_is_refused_with_its_position_and_the_others_are_read(
    base: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    found = transactions.records([base, copy.deepcopy(base) | change, base])
    assert [(error.code, error.field) for error in found.refused] == [(ErrorCode.BAD_INPUT, f"[1]{field}")]
    assert all(error.rule for error in found.refused)
    assert len(found.read) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = sorted({key for entry in RECORDS for key in entry} | {"fee"})


@given(
    st.sampled_from([OUTPUTS, ACCOUNT, TOKEN, CHANGES]),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
    st.sets(st.sampled_from(FIELDS), max_size=2),
)
def test_any_record_gives_a_record_or_a_refusal_and_nothing_else(
    base: dict[str, Any], change: dict[str, Any], without: set[str]
) -> None:
    entry = {key: value for key, value in (base | change).items() if key not in without}
    found = transactions.records([entry])
    assert len(found.read) + len(found.refused) == 1
    for made in found.read:
        codec.check(made)


def told(entry: dict[str, Any]) -> dict[str, Any]:
    """Leave out `case`: a remark of whoever made the data set."""
    return {key: value for key, value in entry.items() if key != "case"}


def test_every_real_transaction_comes_back_out_field_for_field() -> None:
    assert len(RECORDS) == 383
    for entry in RECORDS:
        made = evidence.TransactionRecord.FromString(read(entry).SerializeToString())
        assert transactions.to_normalised(made) == told(entry)


def test_every_real_transaction_survives_the_sealed_envelope_bit_for_bit() -> None:
    made = transactions.records(RECORDS).read
    body = paperwork.report(transactions=made)
    codec.check(body)
    sent = world.send(
        ids.KIND_EXECUTION_REPORT,
        world.FOREIGN_COURT,
        world.CENTRAL,
        body=body.SerializeToString(deterministic=True),
        outcome=ids.OUTCOME_GRANTED,
        cites=(world.freeze_request().ref,),
        measures=body.measures,
        data_classes=body.data_classes,
    )
    opened = envelope.open_envelope(sent.envelope, world.CENTRAL, [world.sealing_key(world.CENTRAL)])
    received = orders.ExecutionReport.FromString(opened.body)
    assert [*received.transactions] == [*made]
    for entry, before, after in zip(RECORDS, made, received.transactions, strict=True):
        assert after.SerializeToString(deterministic=True) == before.SerializeToString(deterministic=True)
        assert transactions.to_normalised(after) == told(entry)


def test_each_record_says_which_movement_it_tells_of() -> None:
    assert read(TOKEN).kind == evidence.TRANSACTION_KIND_TOKEN_TRANSFER
    assert read(ACCOUNT).kind == evidence.TRANSACTION_KIND_UNSPECIFIED
    inner = read(ACCOUNT | {"trace_address": "0_1"})
    assert (inner.kind, inner.trace_address) == (evidence.TRANSACTION_KIND_INTERNAL_TRANSFER, "0_1")


MORE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (ACCOUNT, {"confirmations": 12, "block_index": 3, "observed_at": "2026-01-02T03:04:05.000006Z"}),
    (ACCOUNT, {"fee": "21000000000000", "raw_hash": "ab" * 32}),
    (ACCOUNT, {"trace_address": "0_1"}),
    (ACCOUNT, {"block_height": None, "block_hash": None, "block_time": None, "confirmations": 0}),
    (ACCOUNT, {"block_height": None, "block_time": None}),
    (ACCOUNT, {"to": None}),
    (ACCOUNT, {"value": None, "receipt": True}),
    (CHANGES, {"block_height": None, "block_hash": None, "slot": 7, "confirmations": 1}),
    (
        CHANGES,
        {"balance_changes": [{"address": "A", "delta": "-1", "asset": f"{CHANGES['caip2']}/token:M", "decimals": 6}]},
    ),
    (OUTPUTS, {"block_height": None, "block_hash": None, "block_time": None, "confirmations": 0}),
    (next(r for r in RECORDS if r["chain"] == "tezos"), {"status": "backtracked"}),
]


@pytest.mark.parametrize(("base", "change"), MORE)
def test_what_else_a_source_may_tell_comes_back_too(base: dict[str, Any], change: dict[str, Any]) -> None:
    entry = told(base) | change
    # A receipt names no asset, a transfer within a transaction no status of its own.
    for sign, absent in (("receipt", "asset"), ("trace_address", "status")):
        if sign in change:
            del entry[absent]
    written = transactions.to_normalised(read(entry))
    assert {key: value for key, value in written.items() if key in entry} == entry
    assert {key for key in written if key not in entry} <= {"status"}
    assert read(written) == read(entry)


@pytest.mark.parametrize(
    ("base", "change", "rule"),
    [
        (ACCOUNT, {"confirmations": 0}, "TX_BLOCK_CONTRADICTS"),
        (
            ACCOUNT,
            {"block_height": None, "block_hash": None, "block_time": None, "confirmations": 1},
            "TX_BLOCK_CONTRADICTS",
        ),
        (ACCOUNT, {"block_hash": None}, "CONTRACT"),
        (ACCOUNT, {"block_height": None, "block_hash": None}, "CONTRACT"),
        (TOKEN, {"trace_address": "0"}, "CONTRACT"),
        (ACCOUNT, {"trace_address": "0_01"}, "CONTRACT"),
        (ACCOUNT, {"raw_hash": "AB" * 32}, "TX_HASH_FORMAT"),
        (ACCOUNT, {"status": "maybe"}, "TX_STATUS"),
        (ACCOUNT, {"value": None}, "AMOUNT_FORMAT"),
        (ACCOUNT, {"caip2": "eip155:56"}, "TX_CHAIN_CONTRADICTS"),
        (OUTPUTS, {"coinbase": True}, "TX_COINBASE"),
        (OUTPUTS, {"outputs": [{"address": None, "value": "1"}] * 10_001}, "TX_TOO_MANY"),
    ],
    ids=str,
)
def test_refusal_names_the_rule(base: dict[str, Any], change: dict[str, Any], rule: str) -> None:
    (error,) = transactions.records([base | change]).refused
    assert error.rule == rule


@given(st.integers(0, (1 << 256) - 1), st.sampled_from([ACCOUNT, TOKEN]))
def test_any_amount_up_to_256_bits_goes_there_and_back(value: int, base: dict[str, Any]) -> None:
    made = evidence.TransactionRecord.FromString(read(base | {"value": str(value)}).SerializeToString())
    assert transactions.to_normalised(made)["value"] == str(value)


@pytest.mark.parametrize(
    ("entry", "rule", "field"),
    [
        (TOKEN | {"asset": "eip155:56/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7"}, Code.TX_ASSET, ".asset"),
        (ACCOUNT | {"inputs": []}, Code.TX_MOVEMENTS, ""),
        (ACCOUNT | {"txid": "\u0430bc"}, Code.NOT_ASCII, ".txid"),
    ],
)
def test_broken_rule_is_told_by_its_name(entry: dict[str, Any], rule: Code, field: str) -> None:
    with pytest.raises(Refusal) as caught:
        transactions.record(entry)
    assert (caught.value.rule, caught.value.field) == (rule, field)
