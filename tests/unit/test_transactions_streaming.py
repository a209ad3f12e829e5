"""A file of transactions of any form, in any pieces, in bounded memory."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import evidence_pb2 as evidence

from gateway import codec
from gateway.errors import ErrorCode, Refusal
from gateway.formats import chains
from gateway.formats.codes import Code
from gateway.formats.transactions import exact, import_records, record
from gateway.formats.transactions.common import Origin
from gateway.formats.transactions.forms import FORMS, FormReader
from gateway.formats.transactions.scanning import Limits

DATA = Path(__file__).parents[1] / "data"
RAW = (DATA / "transactions.json").read_bytes()
RECORDS: list[dict[str, Any]] = json.loads(RAW)
BROKEN: list[dict[str, str]] = json.loads((DATA / "broken_transactions.json").read_bytes())
GOOD = json.dumps(RECORDS[0]).encode()

Found = list[evidence.TransactionRecord | Refusal]


def faults(found: Found) -> list[tuple[str, str]]:
    return [(one.rule, one.field) for one in found if isinstance(one, Refusal)]


def records(found: Found) -> list[evidence.TransactionRecord]:
    return [one for one in found if not isinstance(one, Refusal)]


def slices(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[at : at + size] for at in range(0, len(raw), size))


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_list_is_read_alike_however_it_is_cut(size: int) -> None:
    found = [*import_records(slices(RAW, size))]
    assert not faults(found)
    assert len(found) == len(RECORDS)
    for made, entry in zip(records(found), RECORDS, strict=True):
        wanted = record(entry)
        wanted.raw_hash = made.raw_hash
        assert made == wanted


def test_file_list_lines_and_document_give_the_same_records() -> None:
    lines = b"\n".join(json.dumps(entry).encode() for entry in RECORDS)
    found = [*import_records(io.BytesIO(lines))]
    assert len(records(found)) == len(RECORDS)
    (alone,) = import_records([json.dumps(RECORDS[0], indent=2).encode()])
    assert isinstance(alone, evidence.TransactionRecord)
    alone.raw_hash = records(found)[0].raw_hash
    assert alone == found[0]


def test_raw_hash_is_that_of_the_exact_bytes_of_the_record() -> None:
    made, other = records([*import_records([b" [ " + GOOD + b" , \n" + GOOD + b"\t] \n"])])
    assert made.raw_hash == other.raw_hash == sha256(GOOD).digest()
    lines = records([*import_records([GOOD + b"\r\n" + GOOD + b"\n\n"])])
    assert [one.raw_hash for one in lines] == [sha256(GOOD).digest()] * 2


@pytest.mark.parametrize(
    ("raw", "rule", "field", "kept"),
    [
        pytest.param(b"", "MISSING", "", 0, id="empty"),
        pytest.param(b" \n ", "MISSING", "", 0, id="space only"),
        pytest.param(b"[" + GOOD + b"," + GOOD[:-9], "TX_JSON", "[1]", 1, id="list that breaks off"),
        pytest.param(b"[" + GOOD + b",]", "TX_JSON", "[1]", 1, id="comma before the end"),
        pytest.param(b"[" + GOOD + b"} ", "TX_JSON", "[1]", 1, id="other bracket"),
        pytest.param(b"[" + GOOD + b"] x", "TX_JSON", "[1]", 1, id="something behind the list"),
        pytest.param(b"[" + GOOD + b',{"a":tru},' + GOOD + b"]", "TX_JSON", "[1]", 2, id="bad word in the middle"),
        pytest.param(GOOD + b"\n" + GOOD[:-9] + b"\n" + GOOD, "TX_JSON", "[1]", 2, id="line that breaks off"),
        pytest.param(GOOD[:-9] + b"\n" + GOOD + b"\n" + GOOD, "TX_JSON", "[0]", 2, id="first line breaks off"),
        pytest.param(GOOD[:-9], "TX_JSON", "", 0, id="document that breaks off"),
        pytest.param(b'[{"a":1,"a":1},' + GOOD + b"]", "FIELD_TWICE", "[0]", 1, id="field twice"),
        pytest.param(b'[{"a":NaN},' + GOOD + b"]", "TX_JSON", "[0]", 1, id="not a number"),
        pytest.param(b'[{"a":' + b"9" * 101 + b"}," + GOOD + b"]", "TOO_LONG", "[0]", 1, id="many digits"),
        pytest.param(b'[{"a":1e' + b"9" * 30 + b"}," + GOOD + b"]", "TOO_LONG", "[0]", 1, id="large exponent"),
        pytest.param(b"[" + b"[" * 200 + b"]" * 200 + b"," + GOOD + b"]", "TX_TOO_DEEP", "[0]", 1, id="deep"),
        pytest.param(b"[" * 100_000, "TX_JSON", "[0]", 0, id="only brackets"),
        pytest.param(b'["\xff",' + GOOD + b"]", "TX_JSON", "[0]", 1, id="not UTF-8"),
        pytest.param(b"[null," + GOOD + b"]", "TX_FORM", "[0]", 1, id="null"),
        pytest.param("[{}]".encode("utf-16"), "TX_JSON", "", 0, id="UTF-16"),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"error":{"code":-5}}', "TX_SOURCE_ERROR", "", 0, id="node's error"),
        pytest.param(b'{"result":null,"error":null,"id":1}', "TX_SOURCE_ERROR", "", 0, id="node's nothing"),
    ],
)
def test_bad_record_is_refused_in_its_place_and_the_others_are_kept(
    raw: bytes, rule: str, field: str, kept: int
) -> None:
    for size in (3, 1 << 16):
        found = [*import_records(slices(raw, size))]
        assert faults(found) == [(rule, field)]
        assert len(records(found)) == kept


def test_empty_list_gives_nothing() -> None:
    assert [*import_records([b" [ \n] "])] == []


def test_fault_in_the_text_is_told_by_the_byte_of_the_file() -> None:
    raw = b"[" + GOOD + b',{"a":tru}]'
    (_, error) = import_records([raw])
    assert isinstance(error, Refusal)
    assert f"byte {raw.index(b'tru')} " in error.detail


def test_record_that_is_too_large_is_passed_over_and_not_kept() -> None:
    raw = b"[" + GOOD + b',"' + b"x" * 10_000 + b'",' + GOOD + b"]"
    found = [*import_records(slices(raw, 100), limits=Limits(record_bytes=2_000))]
    assert faults(found) == [("TX_TOO_LARGE", "[1]")]
    assert len(records(found)) == 2


def test_answer_of_a_node_is_unwrapped() -> None:
    raw = json.dumps({"jsonrpc": "2.0", "id": 1, "result": RECORDS[:3]}).encode()
    assert len(records([*import_records([raw])])) == 3


def test_answer_with_one_broken_part_gives_no_record_at_all() -> None:
    raw = json.dumps({"result": [RECORDS[0], {**RECORDS[1], "value": "x"}]}).encode()
    assert faults([*import_records([raw])]) == [("AMOUNT_FORMAT", ".result[1].value")]


def test_wrong_name_of_a_form_or_chain_is_refused_at_once() -> None:
    with pytest.raises(Refusal) as caught:
        import_records([], form="csv")
    assert caught.value.rule == Code.TX_FORM
    with pytest.raises(Refusal) as caught:
        import_records([], chain="nowhere")
    assert caught.value.rule == Code.CHAIN_NOT_SUPPORTED


def test_fifty_megabytes_are_read_in_a_few() -> None:
    # `case` is a remark that nobody reads: it makes the records large, and the test short.
    large = json.dumps(RECORDS[0] | {"case": "x" * 64_000}).encode()
    count = 50_000_000 // len(large)

    def written() -> Iterator[bytes]:
        yield b"["
        for _ in range(count - 1):
            yield large + b","
        yield large + b"]"

    tracemalloc.start()
    try:
        read = sum(isinstance(one, evidence.TransactionRecord) for one in import_records(written()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == count
    assert peak < 2_000_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TREES = [(one["chain"], exact.load(one["text"].encode(), "", 0)) for one in BROKEN]
CHAINS = [chains.find(name) for name in ("bitcoin", "zcash", "dogecoin", "ethereum", "solana")]


def read_any(value: object, form: str, chain: chains.Chain | None) -> None:
    refused: list[Refusal] = []
    made: list[evidence.TransactionRecord] = []
    try:
        made = FormReader(form, Origin(chain)).read(value, "")
    except Refusal as error:
        refused.append(error)
    assert all(error.rule and error.code is ErrorCode.BAD_INPUT for error in refused)
    for one in made:
        codec.check(one)


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield (*path, position)
            yield from places(inner, (*path, position))


def put(value: Any, path: tuple[str | int, ...], new: object, *, remove: bool) -> Any:
    """Return a copy with one place changed or gone."""
    if not path:
        return new
    copy = value.copy()
    if len(path) == 1 and remove:
        del copy[path[0]]
    else:
        copy[path[0]] = put(copy[path[0]], path[1:], new, remove=remove)
    return copy


@given(JSON, st.sampled_from(sorted(FORMS | {""})), st.sampled_from([None, *CHAINS]))
def test_any_value_given_to_any_importer_is_a_record_or_a_refusal(
    value: object, form: str, chain: chains.Chain | None
) -> None:
    read_any(value, form, chain)


@given(st.data())
def test_any_change_to_a_real_answer_is_a_record_or_a_refusal(data: st.DataObject) -> None:
    chain, tree = data.draw(st.sampled_from(TREES))
    path = data.draw(st.sampled_from([(), *places(tree)]))
    value = put(tree, path, data.draw(JSON), remove=data.draw(st.booleans()))
    form = data.draw(st.sampled_from(["", "", *sorted(FORMS)]))
    read_any(value, form, data.draw(st.sampled_from([chains.find(chain), *CHAINS])))


@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:1a\\ \n', max_size=60).map(str.encode), st.integers(1, 9))
def test_any_bytes_are_records_or_refusals_and_cut_alike(raw: bytes, size: int) -> None:
    whole, cut = [*import_records([raw])], [*import_records(slices(raw, size))]
    assert all(isinstance(one, Refusal) for one in whole)
    assert faults(whole) == faults(cut)
