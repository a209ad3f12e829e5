import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rogatory.v1 import identifiers_pb2 as ids

from gateway import cli
from gateway.formats import json_form
from gateway.formats.codes import Code
from gateway.formats.documents import BODIES
from tests import samples

DATA = Path(__file__).parents[1] / "data"
SECRET = "5KcrFZvJ2p4dM6QVUPu53cKXcCfozA1PJLHm1mNAxkDYhgThLu4"

NO_IVMS101 = 19
COUNTRY_BY_NAME = {
    "trisa/trisa/envelope/testdata/payload.json",
    "trisa/trisa/envelope/testdata/pending_payload.json",
}
"""Published as good, with "United Kingdom" for a country: IVMS101 C3. DECISIONS.md 25."""


def check(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.commands, ["check", *map(str, arguments)], input=stdin)


def verdicts(what: str, entries: list[Any], *options: str) -> tuple[int, list[dict[str, Any]]]:
    done = check(what, "-", "--json", *options, stdin=json.dumps(entries))
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("what", "file", "label"),
    [
        ("wallets", "address_vectors.json", "valid"),
        ("wallets", "ofac_addresses.json", "valid"),
        ("assets", "caip.json", "valid"),
        ("lei", "lei.json", "valid"),
    ],
)
def test_every_published_entry_gets_the_answer_that_it_is_labelled_with(what: str, file: str, label: str) -> None:
    entries = json.loads((DATA / file).read_bytes())
    status, found = verdicts(what, entries)
    assert [each["valid"] for each in found] == [each[label] for each in entries]
    assert status == (0 if all(each[label] for each in entries) else 1)
    assert all((each["code"] == "") == each["valid"] for each in found)
    assert all(each["code"] in set(Code) | {""} for each in found)
    assert all((each["canonical"] is not None) == each["valid"] for each in found)


def test_every_published_payload_gets_its_label_or_a_reason_that_is_written_down() -> None:
    entries = json.loads((DATA / "ivms101.json").read_bytes())
    _, found = verdicts("persons", [each["content"] for each in entries])
    told = list(zip(entries, found, strict=True))
    assert sum(each["code"] == Code.NO_IVMS101 for _, each in told) == NO_IVMS101
    differ = {e["name"] for e, each in told if each["valid"] is not None and each["valid"] != e["valid"]}
    assert differ == COUNTRY_BY_NAME
    assert {each["code"] for e, each in told if e["name"] in differ} == {Code.COUNTRY}


def test_every_real_transaction_is_good() -> None:
    done = check("transactions", DATA / "transactions.json")
    assert (done.exit_code, done.stdout) == (0, "all 383 valid\n")


def test_bad_transaction_is_told_with_its_position_and_the_others_are_judged() -> None:
    records = json.loads((DATA / "transactions.json").read_bytes())[:3]
    records[1]["outputs" if "outputs" in records[1] else "value"] = None
    status, found = verdicts("transactions", records)
    assert (status, [each["valid"] for each in found]) == (1, [True, False, True])
    assert found[1]["field"].startswith("[1]")


def test_private_key_is_never_echoed_in_a_table_or_in_json() -> None:
    for chain in ("bitcoin", "ethereum", "a chain of tomorrow"):
        for option in ([], ["--json"]):
            done = check("wallets", "-", *option, stdin=json.dumps([{"chain": chain, "address": SECRET}]))
            assert done.exit_code == 1
            assert "ADDRESS_SECRET" in done.output
            assert not any(SECRET[i : i + 6] in done.output for i in range(len(SECRET) - 6))


def test_chain_that_is_not_known_is_neither_valid_nor_invalid() -> None:
    status, found = verdicts("wallets", [{"chain": "a chain of tomorrow", "address": "x"}])
    assert (status, found[0]["valid"], found[0]["code"]) == (1, None, Code.CHAIN_NOT_SUPPORTED)


def test_address_of_another_network_is_refused_without_a_word_of_the_network() -> None:
    testnet = "tb1q6xw0wwd9n9d7ge87dryz4vm5vtahzhvz6yett3"
    assert verdicts("wallets", [{"chain": "bitcoin", "address": testnet}])[1][0]["code"] == Code.ADDRESS_OTHER_NETWORK
    named = [{"chain": "bitcoin", "network": network, "address": testnet} for network in ("testnet", "any", "signet")]
    assert verdicts("wallets", named)[0] == 0


ANY_ENTRY: list[Any] = [
    None,
    7,
    "",
    [],
    {},
    {"chain": 7},
    {"chain": "bitcoin", "address": ["x"]},
    {"lei": {}},
    {"id": 0},
]


@pytest.mark.parametrize("what", ["wallets", "assets", "lei", "persons", "transactions"])
def test_entry_that_is_nothing_gets_a_verdict_like_any_other(what: str) -> None:
    status, found = verdicts(what, ANY_ENTRY)
    assert status == 1
    assert len(found) == len(ANY_ENTRY)
    assert not any(each["valid"] for each in found)


@pytest.mark.parametrize("what", ["wallets", "assets", "lei", "persons"])
@pytest.mark.parametrize("raw", ["", "{", "{}", "7", '"a list"', '[{"a": 1, "a": 2}]'])
def test_what_is_no_list_cannot_be_used(what: str, raw: str) -> None:
    done = check(what, "-", "--json", stdin=raw)
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["code"] == "BAD_INPUT"


def test_empty_list_is_all_valid() -> None:
    assert verdicts("wallets", []) == (0, [])


def test_long_list_says_how_many_it_does_not_show() -> None:
    entries = [{"chain": "bitcoin", "address": "x"}] * 300
    done = check("wallets", "-", stdin=json.dumps(entries))
    assert "... and 100 more" in done.stdout
    assert done.stdout.endswith("300 NOT VALID, of 300\n")


@pytest.mark.parametrize("kind", sorted(BODIES), ids=ids.Kind.Name)
def test_complete_document_of_every_kind_is_valid(kind: ids.Kind.ValueType, tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_bytes(json_form.to_json(samples.complete(kind)))
    word = ids.Kind.Name(kind).removeprefix("KIND_").lower().replace("_", "-")
    for options in ((), ("--kind", word)):
        done = check("order", path, "--json", *options)
        assert (done.exit_code, json.loads(done.stdout)["problems"]) == (0, []), done.stdout


def test_notice_is_judged_by_the_rules_of_the_kind_that_is_named() -> None:
    notice = json_form.to_json(samples.complete(ids.KIND_ACKNOWLEDGEMENT)).decode()
    assert check("order", "-", stdin=notice).exit_code == 0
    done = check("order", "-", "--json", "--kind", "forwarding", stdin=notice)
    (problem,) = json.loads(done.stdout)["problems"]
    assert (done.exit_code, problem["code"], problem["field"]) == (1, "FORWARDED_TO_NOBODY", "competent_authority")


def test_everything_that_is_wrong_with_an_order_is_told_at_once() -> None:
    request = json_form.to_object(samples.complete(ids.KIND_FREEZE_REQUEST))
    request["offence"]["maximumSentenceMonths"] = 12  # type: ignore[index]
    request["confiscation"] = {}
    done = check("order", "-", "--json", stdin=json.dumps(request))
    told = json.loads(done.stdout)
    assert (done.exit_code, told["kind"], told["valid"]) == (1, "FreezeRequest", False)
    assert {"LISTED_OFFENCE_UNDER_36_MONTHS", "NOT_TO_STAY_FROZEN"} <= {each["code"] for each in told["problems"]}


def test_mistyped_wallet_in_an_order_is_found_and_a_right_one_needs_chain_and_address_alone() -> None:
    order = json_form.to_object(samples.complete(ids.KIND_DOMESTIC_ORDER))
    wallet = {"chain": "bip122:000000000019d6689c085ae165831e93", "custody": "CUSTODY_CUSTODIAL"}
    order["wallets"] = [wallet | {"address": "1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9w"}]
    assert check("order", "-", stdin=json.dumps(order)).exit_code == 0
    order["wallets"] = [wallet | {"address": "1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9x"}]
    done = check("order", "-", "--json", stdin=json.dumps(order))
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["code"], problem["field"]) == (Code.ADDRESS_CHECKSUM, "wallets[0].address")


def test_file_that_fits_no_format_cannot_be_judged() -> None:
    done = check("order", "-", "--json", stdin='{"no such field": 1}')
    assert (done.exit_code, json.loads(done.stdout)["error"]["rule"]) == (2, Code.DOCUMENT_TYPE)


@pytest.mark.parametrize("what", ["wallets", "assets", "lei", "persons", "order"])
@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b'[\n  {"chain": "bitcoin",\n   "addr', "line 3, column 4"),
        (b'[{"chain": "\xff', "byte 12"),
        (b"", "line 1, column 1"),
    ],
)
def test_file_that_is_no_json_is_told_with_the_place_of_its_fault(
    what: str, raw: bytes, place: str, tmp_path: Path
) -> None:
    file = tmp_path / "list.json"
    file.write_bytes(raw)
    done = check(what, file, "--json")
    told = json.loads(done.stdout)["error"]
    assert (done.exit_code, told["rule"]) == (2, Code.NOT_JSON)
    assert place in told["detail"]


@pytest.mark.parametrize("what", ["wallets", "assets", "lei", "persons", "order", "transactions"])
def test_file_that_is_not_there_is_refused_by_its_name(what: str, tmp_path: Path) -> None:
    done = check(what, tmp_path / "none.json", "--json")
    told = json.loads(done.stdout)["error"]
    assert (done.exit_code, told["code"], told["field"]) == (2, "BAD_INPUT", "file")
    assert "none.json" in told["detail"]
