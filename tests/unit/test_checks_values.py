"""Values by name: no field that holds a country, a currency or a day is left unread; and what is let through."""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties
from rogatory.v1 import persons_pb2 as persons

from gateway.formats import checks
from gateway.formats.checks import days, values
from gateway.formats.codes import Code
from gateway.formats.documents import BODIES
from tests import broken, samples
from tests.samples import parts

FILES = (assistance, certificates, evidence, followups, measures, notices, orders, parties, persons)
TELLING = re.compile(
    r"countr|nationalit|territor|(^|_)state$|currenc|languag|translation|iban|^bic$|(^|_)lei$|(^|_)date|_on$|^chain$"
)
# Names that only sound so: a subdivision is a province, the name of a chain is quoted as it stands.
OTHERS = {"country_sub_division", "chain_name"}


def texts() -> Iterator[FieldDescriptor]:
    for file in FILES:
        for kind in file.DESCRIPTOR.message_types_by_name.values():
            yield from (field for field in kind.fields if field.type == FieldDescriptor.TYPE_STRING)


@pytest.mark.parametrize("field", list(texts()), ids=lambda field: field.full_name)
def test_a_field_whose_name_tells_what_it_holds_is_read(field: FieldDescriptor) -> None:
    whole = field.containing_type in values.WHOLE
    if TELLING.search(field.name) and field.name not in OTHERS and not whole:
        assert field.name in values.READERS


def test_every_reader_has_a_field() -> None:
    assert {field.name for field in texts()} >= set(values.READERS)


def reached(fields: Iterable[FieldDescriptor], seen: set[str]) -> set[str]:
    """Return the names of all messages that fields can hold."""
    for field in fields:
        held = field.message_type
        if held is not None and held.full_name not in seen:
            seen.add(held.full_name)
            reached(held.fields, seen)
    return seen


def test_every_rule_is_registered_for_a_message_that_some_document_holds() -> None:
    held = {body.DESCRIPTOR.full_name for body in BODIES.values()}
    for body in BODIES.values():
        reached(body.DESCRIPTOR.fields, held)
    assert set(checks.REGISTER) <= held


def first_of(kind: ids.Kind.ValueType, **changes: object) -> list[str]:
    document = samples.complete(kind)
    for path, value in changes.items():
        broken.change(document, path.replace("__", "."), value)
    return [problem.rule for problem in checks.problems(document)]


def test_a_customer_may_be_of_an_unknown_country() -> None:
    order = samples.complete(ids.KIND_DOMESTIC_ORDER)
    broken.change(order, "customers[0].natural.country_of_residence", "XX")
    broken.change(order, "customers[0].natural.addresses[0].country", "XX")
    assert checks.problems(order) == ()


def test_an_authority_may_not_be_of_an_unknown_country() -> None:
    found = first_of(ids.KIND_TAKEDOWN_NOTICE, authority__country="XX")
    assert found == [Code.COUNTRY]


def test_a_quoted_wallet_is_let_through_with_its_reason() -> None:
    wallet = evidence.WalletIdentifier()
    wallet.CopyFrom(parts.MISSPELT_WALLET)
    assert checks.problems(wallet) == ()
    wallet.address = parts.DEPOSIT_WALLET.address
    assert [problem.rule for problem in checks.problems(wallet)] == [Code.QUOTED_WITHOUT_REASON]


@pytest.mark.parametrize(
    ("gross", "net", "currency"),
    [
        pytest.param("10000.01", "9999", "EUR", id="the sum is above the threshold before expenses and not after"),
        pytest.param("50000", "50000", "CHF", id="the sum is not in euro"),
    ],
)
def test_shares_are_not_judged_where_the_article_leaves_it_open(gross: str, net: str, currency: str) -> None:
    statement = samples.complete(ids.KIND_SHARING_STATEMENT)
    assert isinstance(statement, followups.SharingStatement)
    statement.basis = followups.SHARING_BASIS_EU_DEFAULT
    statement.gross.CopyFrom(evidence.Money(currency=currency, amount=gross))
    statement.net.CopyFrom(evidence.Money(currency=currency, amount=net))
    statement.ClearField("victims")
    statement.ClearField("expenses")
    less = str(Decimal(gross) - Decimal(net))
    if gross != net:
        statement.expenses.add(description="Sale", amount=evidence.Money(currency=currency, amount=less))
    statement.shares[0].basis_points = 2500
    statement.shares[1].basis_points = 7500
    assert checks.problems(statement) == ()


@pytest.mark.parametrize(("shares", "amount"), [({"DE": 10000}, "10000"), ({"EE": 5000, "DE": 5000}, "10000.01")])
def test_the_default_of_the_eu_is_let_through(shares: dict[str, int], amount: str) -> None:
    statement = samples.complete(ids.KIND_SHARING_STATEMENT)
    assert isinstance(statement, followups.SharingStatement)
    statement.basis = followups.SHARING_BASIS_EU_DEFAULT
    for field in ("victims", "expenses", "shares"):
        statement.ClearField(field)
    statement.gross.amount = statement.net.amount = amount
    statement.shares.extend(followups.Share(state=state, basis_points=share) for state, share in shares.items())
    assert checks.problems(statement) == ()


@pytest.mark.parametrize(
    "text", ["tx 0x" + "ab" * 32 + " is missing", "ab" * 32, "word " * 12000, "why is 12,5 BTC pending?"], ids=len
)
def test_a_customer_may_quote_a_hash(text: str) -> None:
    assert checks.problems(orders.ContentRecord(text=text)) == ()


def test_a_key_is_found_wherever_it_stands_in_a_long_message() -> None:
    key = "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"
    for before in range(3700, 4200, 7):
        text = "x " * (before // 2) + key + " please"
        assert [problem.rule for problem in checks.problems(orders.ContentRecord(text=text))] == [Code.SECRET_IN_TEXT]


def test_days_that_are_none_are_in_any_order() -> None:
    assert days.in_order("2026-02-30", "2026-01-01")
    assert days.in_order("2026-01-01", "", "2026-01-01", "2026-01-02")
    assert not days.in_order("2026-01-02", "", "2026-01-01")
    assert days.after_day(1, "2026-02-30")


def test_a_day_begins_in_kiribati_first() -> None:
    noon_before = parts.at(2, 26, 12)
    assert days.after_day(noon_before, "2026-02-27")
    assert not days.after_day(parts.at(2, 26, 10), "2026-02-27")


def test_a_transaction_in_no_block_is_in_no_window() -> None:
    disclosure = samples.complete(ids.KIND_DISCLOSURE)
    assert isinstance(disclosure, orders.Disclosure)
    for field in ("block_time_us", "block_height", "block_hash", "block_index", "confirmations"):
        disclosure.transactions[0].ClearField(field)
    assert checks.problems(disclosure) == ()


def test_a_transaction_in_a_block_that_is_named_by_its_slot_alone_has_confirmations() -> None:
    record = evidence.TransactionRecord(chain=parts.SOLANA, txid="x", source="a node", slot=5, confirmations=1)
    assert checks.problems(record) == ()
    record.confirmations = 0
    assert [problem.rule for problem in checks.problems(record)] == [Code.CONFIRMATIONS_CONTRADICT]


def test_a_place_that_is_none_sorts_before_all_others() -> None:
    assert checks._order(samples.complete(ids.KIND_CLAIM), "nothing.here") == ()


def test_a_message_of_no_document_has_no_order_and_no_problem() -> None:
    empty: Message = pb.Header()
    assert checks.problems(empty) == ()


# Tether's contract, as EIP-55 writes it.
TOKEN = "eip155:1/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7"


def test_one_asset_in_two_spellings_is_one_asset() -> None:
    """As nodes write a contract, in small letters, and as people do: neither twice in a list nor two assets."""
    twice = orders.FreezeResult(status=orders.FREEZE_STATUS_FROZEN)
    for asset in (TOKEN, TOKEN.lower()):
        twice.frozen.add(asset=asset, base_units="5", decimals=6)
    assert [(each.rule, each.field) for each in checks.problems(twice)] == [(Code.ASSET_TWICE, "frozen[1].asset")]


@pytest.mark.parametrize(("units", "rules"), [("5", []), ("6", [Code.FROZEN_ABOVE_AVAILABLE])])
def test_what_was_there_is_found_in_another_spelling(units: str, rules: list[Code]) -> None:
    result = orders.FreezeResult(status=orders.FREEZE_STATUS_FROZEN)
    result.available.add(asset=TOKEN.lower(), base_units="5", decimals=6)
    result.frozen.add(asset=TOKEN, base_units=units, decimals=6)
    assert [each.rule for each in checks.problems(result)] == rules
