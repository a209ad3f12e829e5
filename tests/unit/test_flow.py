"""The flow of funds: nothing is made up, nothing counts twice, and no picture hides what it shows."""

import json
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import transactions
from gateway.formats.flow import layout, parts, svg
from gateway.formats.flow.graph import Amount, End, Flow, Sort, Transfer, flow_of
from gateway.formats.page import Figure, Page, Section, html, text

REAL = transactions.records(json.loads((Path(__file__).parents[1] / "data" / "transactions.json").read_bytes())).read
CHAIN = "bip122:000000000019d6689c085ae165831e93"
COIN = f"{CHAIN}/slip44:0"


def end(address: str, units: int | None) -> evidence.TransferEnd:
    amount = None if units is None else evidence.AssetAmount(asset=COIN, base_units=str(units), decimals=8)
    return evidence.TransferEnd(address=address, amount=amount)


def record(
    txid: str, paid: Sequence[tuple[str, int | None]], got: Sequence[tuple[str, int | None]], **fields: Any
) -> Any:
    inputs, outputs = [end(*each) for each in paid], [end(*each) for each in got]
    return evidence.TransactionRecord(chain=CHAIN, txid=txid, inputs=inputs, outputs=outputs, source="x", **fields)


def told(flow: Flow) -> set[tuple[str, str, int | None, int]]:
    return {(each.source.name, each.target.name, each.amount.units, each.count) for each in flow.transfers}


def test_payments_between_two_are_added_up_and_change_is_no_payment() -> None:
    first = record("t1", [("a", 10)], [("b", 7), ("a", 3)], block_time_us=5)
    second = record("t2", [("a", 3)], [("b", 2), ("c", 1)], block_time_us=9)
    flow = flow_of([first, second])
    assert told(flow) == {("a", "b", 9, 2), ("a", "c", 1, 1)}
    assert (flow.transfers[0].first_us, flow.transfers[0].last_us) == (5, 9)


def test_where_several_pay_together_nobody_is_said_to_have_paid_whom() -> None:
    flow = flow_of([record("t1", [("a", 6), ("b", 4)], [("c", 9), ("d", 1)])])
    assert told(flow) == {("a", "t1", 6, 1), ("b", "t1", 4, 1), ("t1", "c", 9, 1), ("t1", "d", 1, 1)}
    assert {each.source.sort for each in flow.transfers} == {Sort.ADDRESS, Sort.JOINT}


def test_record_told_twice_counts_once_and_a_failed_one_not_at_all() -> None:
    good, bad = record("t1", [("a", 1)], [("b", 1)]), record("t2", [("a", 1)], [("b", 1)])
    bad.status = evidence.TRANSACTION_STATUS_FAILED
    flow = flow_of([good, good, bad])
    assert told(flow) == {("a", "b", 1, 1)}
    assert (flow.transactions, flow.failed, flow.repeated) == (2, 1, 1)


def test_sum_with_a_hidden_part_is_not_told() -> None:
    flow = flow_of([record("t1", [("a", 1)], [("b", 1)]), record("t2", [("a", None)], [("b", None)])])
    assert {(each.amount.asset, each.amount.units) for each in flow.transfers} == {(COIN, 1), ("", None)}


def test_changes_of_balances_are_payments_and_a_lone_loss_is_a_fee() -> None:
    fields: dict[str, Any] = {"asset": COIN, "decimals": 8}
    changes = [("a", "-5"), ("b", "3"), ("c", "2")]
    made = evidence.TransactionRecord(chain=CHAIN, txid="t", source="x")
    made.balance_changes.extend(evidence.BalanceChange(address=who, delta=delta, **fields) for who, delta in changes)
    assert told(flow_of([made])) == {("a", "b", 3, 1), ("a", "c", 2, 1)}
    del made.balance_changes[1:]
    assert told(flow_of([made])) == set()


def drawn(flow: Flow, named: set[str] = frozenset()) -> tuple[list[ET.Element], int]:  # type: ignore[assignment]
    made, left = svg.pictures(flow, named)
    return [ET.fromstring(each.svg) for each in made], left  # noqa: S314  our own drawing


def box(element: ET.Element) -> tuple[float, float, float, float]:
    x, y, width, height = (float(element.attrib[name]) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def label(element: ET.Element) -> tuple[float, float, float, float]:
    """Where a text stands, taken wide: half of its size a character and its ascent above the line."""
    x, y = float(element.attrib["x"]), float(element.attrib["y"])
    half = len(element.text or "") * 2.5
    return x - half, y - 7, x + half, y + 1


def overlap(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def check(picture: ET.Element) -> None:
    boxes = [box(each) for each in picture.iter("rect") if each.attrib["class"].startswith("end")]
    labels = [label(each) for each in picture.iter("text")]
    _, _, width, height = (float(each) for each in picture.attrib["viewBox"].split())
    assert not any(overlap(*pair) for pair in combinations(boxes, 2))
    assert not any(overlap(*pair) for pair in combinations(labels, 2))
    # A label stands in a box or beside it, never half behind one.
    assert not [one for one in labels for two in boxes if overlap(one, two) and not (two[0] < one[0] < one[2] < two[2])]
    assert all(each[0] >= -6 and each[2] <= width and each[1] >= 0 and each[3] <= height for each in (*boxes, *labels))


@pytest.mark.parametrize("count", [1, 5, 50, len(REAL)])
def test_real_transactions_are_drawn_with_no_box_or_label_over_another(count: int) -> None:
    flow = flow_of(REAL[:count])
    pictures, _ = drawn(flow, {REAL[0].outputs[0].address})
    assert pictures
    for each in pictures:
        check(each)


def test_each_transfer_is_in_a_picture_if_they_are_few() -> None:
    flow = flow_of(REAL[:50])
    pictures, left = drawn(flow)
    assert left == 0
    ends = {each.name for transfer in flow.transfers for each in (transfer.source, transfer.target)}
    texts = {each.text for picture in pictures for each in picture.iter("text")}
    assert {svg.short(name) for name in ends} <= texts


NAMES = st.sampled_from([f"{letter}{number}" for letter in "abcd" for number in range(9)])
TRANSFERS = st.lists(st.tuples(NAMES, NAMES, st.integers(1, 10**20), st.integers(0, 10**15)), min_size=1, max_size=90)


@given(TRANSFERS)
def test_whatever_was_paid_no_label_is_over_another_and_no_end_is_lost(paid: list[tuple[str, str, int, int]]) -> None:
    made = {(one, two): (units, at) for one, two, units, at in paid if one != two}
    flow = Flow(
        tuple(
            Transfer(End(CHAIN, one), End(CHAIN, two), Amount(COIN, units, 8), 1, at, at)
            for (one, two), (units, at) in made.items()
        ),
        len(made),
        0,
        0,
    )
    found, left = parts.parts_of(flow, set(), layout.fits)
    assert left == 0 or len(found) == parts.PICTURES
    ends = [each for part in found for each in part.ends]
    assert len(ends) == len(set(ends))
    for each in drawn(flow)[0]:
        check(each)


def test_many_small_payees_of_one_payer_are_told_together() -> None:
    got = [(f"payee-{number:03}", 1000 - number) for number in range(300)]
    pictures, left = drawn(flow_of([record("t1", [("payer", 10**6)], got)]), {"payee-299"})
    (picture,) = pictures
    texts = [each.text or "" for each in picture.iter("text")]
    assert (left, "294 further addresses" in texts, "payee-000" in texts, "payee-299" in texts) == (0, True, True, True)


def test_one_who_deals_with_thousands_of_busy_others_is_drawn_in_bounds() -> None:
    hub = [
        record(f"h{number}", [("hub", 10)], [(f"other-{number:04}", 9)], block_time_us=number) for number in range(3000)
    ]
    busy = [record(f"b{n}", [(f"other-{n:04}", 9)], [(f"other-{n + 1:04}", 8)], block_time_us=n) for n in range(2999)]
    pictures, left = drawn(flow_of([*hub, *busy]), {"hub"})
    assert 0 < len(pictures) <= parts.PICTURES
    assert left > 2000
    for each in pictures:
        check(each)
        assert float(each.attrib["viewBox"].split()[3]) < 2 * layout.HEIGHT


def test_text_of_a_record_cannot_leave_its_place() -> None:
    hostile = '"><script>alert(1)</script>\u202e\x1b'
    made, _ = svg.pictures(flow_of([record("t", [(hostile, 1)], [("b", 1)])]), set())
    assert "<script" not in made[0].svg
    assert not re.search("[\u202e\x1b]", made[0].svg)


def test_picture_stands_in_a_page_with_its_words_and_in_a_text_as_words_alone() -> None:
    made, _ = svg.pictures(flow_of(REAL[:5]), set())
    page = Page("t", "", (Section("", "s", (Figure("Picture 1", made[0].svg, made[0].legend),)),))
    shown = html.render(page)
    assert made[0].svg in shown
    assert "style=" not in made[0].svg  # the page's policy would drop it
    assert any("erc20" in line for line in text.lines(page))
    assert not any("<svg" in line for line in text.lines(page))
