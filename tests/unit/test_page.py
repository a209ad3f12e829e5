import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import orders_pb2 as orders

from gateway.formats import page
from gateway.formats.page import html, layout, text, words
from gateway.formats.page.model import Rows
from tests import messages, samples
from tests.samples import parts

NAMED = samples.named() | samples.alone()
DOCUMENTS = [*NAMED.values()]
REQUEST = samples.certificates.freeze_request()
NOW = datetime(2026, 3, 6, tzinfo=UTC)


def plain(document: Message, now: datetime | None = None) -> str:
    return "\n".join(text.lines(page.of(document, now), 100_000))


def squeezed(written: str) -> str:
    """Without the blanks and line ends that a layout puts in."""
    return "".join(written.split())


def leaves(message: Message) -> Iterator[tuple[FieldDescriptor, object]]:
    for field, value in message.ListFields():
        for one in value if field.is_repeated else [value]:
            if field.message_type is not None:
                yield from leaves(one)
            else:
                yield field, one


# Layout


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMED)
def test_every_field_of_a_document_stands_in_exactly_one_section(document: Message) -> None:
    shape = document.DESCRIPTOR
    told = [path for part in layout.LAYOUTS[shape.name].parts for path in part.fields]
    wanted: list[str] = []
    for field in shape.fields:
        split = any(path.startswith(f"{field.name}.") for path in told)
        inner = field.message_type
        wanted += [f"{field.name}.{each.name}" for each in inner.fields] if split and inner else [field.name]
    assert sorted(told) == sorted(wanted)


def test_what_is_shown_again_is_shown_elsewhere_too() -> None:
    for each in layout.LAYOUTS.values():
        fields = {path for part in each.parts for path in part.fields}
        assert all(path in fields for part in each.parts for path in part.again)


@pytest.mark.parametrize(
    "document", [samples.alone()["WalletIdentifier"], samples.alone()["TransactionRecord"]], ids=["w", "t"]
)
def test_every_field_of_what_stands_in_a_table_has_its_column(document: Message) -> None:
    shape = document.DESCRIPTOR
    told = [name for _, names in layout.COLUMNS[shape.name] for name in names]
    assert sorted(told) == sorted(field.name for field in shape.fields)


def test_certificates_have_the_sections_of_their_annexes() -> None:
    def letters(kind: ids.Kind.ValueType) -> str:
        return "".join(section.letter for section in page.of(samples.complete(kind)).sections)

    assert letters(ids.KIND_FREEZE_REQUEST) == "ABCDEFGHIJKLMNOP"
    assert letters(ids.KIND_CONFISCATION_REQUEST) == "ABCDEFGHIJKLMN"
    assert letters(ids.KIND_EVIDENCE_REQUEST) == "(a)(b)(c)(d)(e)(f)"


def test_section_of_a_certificate_that_is_not_filled_says_so() -> None:
    for kind in (certificates.FreezeRequest, certificates.ConfiscationRequest):
        shown = page.of(kind())
        assert len(shown.sections) == len(layout.LAYOUTS[kind.DESCRIPTOR.name].parts)
        for section in shown.sections:
            rows = [row for block in section.blocks if isinstance(block, Rows) for row in block.rows]
            assert rows
            assert all(row.value in {page.model.NOT_STATED, "no"} for row in rows)


# Values


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMED)
def test_no_value_of_a_document_is_lost_on_its_page(document: Message) -> None:
    shown = squeezed(plain(document))
    for field, value in leaves(document):
        if isinstance(value, str):
            assert squeezed(value) in shown, field.full_name
        elif isinstance(value, bytes) and field.name not in {"header", "sealed_payload", "body", "envelope", "receipt"}:
            assert value.hex() in shown, field.full_name
        elif field.enum_type is not None or isinstance(value, (bool, int)):
            said = words.say(field, value)[0]
            assert field.name == "decimals" or squeezed(said) in shown, field.full_name


def test_document_within_a_document_is_shown_with_its_own_sections() -> None:
    for kind in (ids.KIND_REVIEW_REFERRAL, ids.KIND_DRAFT):
        shown = page.of(samples.complete(kind))
        letters = [section.letter for section in shown.sections if section.part_of.endswith(": Freezing certificate")]
        assert "".join(letters) == "ABCDEFGHIJKLMNOP"


def test_draft_that_cannot_be_read_is_shown_all_the_same() -> None:
    shown = plain(orders.Draft(body=b"\xff\xff", salt=bytes(32)))
    assert "ffff" in shown


AMOUNTS = {
    "coin": (parts.bitcoin("1250000000"), "12.5 BTC"),
    "least unit": (parts.ether("1"), "0.000000000000000001 ETH"),
    "more than any float holds": (parts.ether("1" + "0" * 59 + "1"), "1" + "0" * 42 + ".000000000000000001 ETH"),
    "decimals not stated": (evidence.AssetAmount(asset=f"{parts.BITCOIN}/slip44:0", base_units="5"), ""),
    "decimals that are not the coin's": (
        evidence.AssetAmount(asset=f"{parts.BITCOIN}/slip44:0", base_units="5", decimals=9),
        "",
    ),
    "token": (parts.tether("5"), ""),
    "another chain's coin": (evidence.AssetAmount(asset=f"{parts.BITCOIN}/slip44:60", base_units="5", decimals=8), ""),
    "unknown chain": (evidence.AssetAmount(asset="abc:def/slip44:0", base_units="5", decimals=8), ""),
}


@pytest.mark.parametrize(("amount", "coins"), AMOUNTS.values(), ids=AMOUNTS)
def test_amount_is_said_in_coins_only_where_the_coin_is_known_and_in_base_units_always(
    amount: evidence.AssetAmount, coins: str
) -> None:
    said = words.amount(amount).split("\n")
    assert f"{amount.base_units} base units of {amount.asset}" in " ".join(said)
    assert (said[0] if coins else "") == coins


@given(st.integers(0, 10**78 - 1))
def test_coins_are_the_base_units_exactly(units: int) -> None:
    said = words.in_coins(f"{parts.BITCOIN}/slip44:0", str(units), 8).removesuffix(" BTC")
    whole, _, part = said.partition(".")
    assert int(whole + part.ljust(8, "0")) == units


def test_quoted_wallet_says_loudly_that_nobody_can_execute_it_and_why() -> None:
    for shown in (plain(REQUEST), plain(parts.MISSPELT_WALLET)):
        assert re.search(r"!!.*QUOTED - NOT EXECUTABLE", shown)
        assert "rule ADDRESS_CHECKSUM" in shown
    assert "<mark>QUOTED - NOT EXECUTABLE\nrule ADDRESS_CHECKSUM</mark>" in html.render(page.of(REQUEST))
    assert "QUOTED" not in plain(parts.DEPOSIT_WALLET)


def test_clock_is_overdue_only_if_somebody_says_what_time_it_is() -> None:
    start, due = parts.at(3, 1), parts.at(3, 3)
    running = followups.Limitation(clock=parts.clock(measures.CLOCK_RULE_SET_BY_ORDER, start, due))
    met = followups.Limitation(clock=parts.clock(measures.CLOCK_RULE_SET_BY_ORDER, start, due, parts.at(3, 3)))
    late = followups.Limitation(clock=parts.clock(measures.CLOCK_RULE_SET_BY_ORDER, start, due, parts.at(3, 4)))
    assert "OVERDUE" in plain(running, NOW)
    assert "OVERDUE" not in plain(running)
    assert "running" in plain(running, datetime(2026, 3, 2, tzinfo=UTC))
    assert "met in time" in plain(met, NOW)
    assert re.search("!!.*met late", plain(late, NOW))


def test_values_are_said_in_words_and_units() -> None:
    shown = plain(REQUEST)
    for said in (
        "20 Swindling",
        "9 Laundering of the proceeds of crime",
        "60 months",
        "5.00 %",
        "EE (Estonia)",
        "184320 bytes",
    ):
        assert said in shown
    assert "2028-03-01T00:00:00Z" in shown


def test_value_of_an_enum_that_is_not_known_is_told_as_such() -> None:
    assert "unknown value 99" in plain(followups.Claim(capacity=99))  # type: ignore[arg-type]


# Renderers


class Reader(HTMLParser):
    """Reads HTML and keeps what a browser would: texts, tags, attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(written: str) -> Reader:
    reader = Reader()
    reader.feed(written)
    reader.close()
    assert not reader.open
    return reader


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style></td><iframe src=//evil.example>",
    "'; javascript:alert(1)",
    "&lt;b&gt;",
    "\x1b[2J\x1b]0;owned\x07",
    "safe\u202egnp.exe",
    "a\x00b\r\n",
    "]]><!--",
)


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_only_ever_text(hostile: str) -> None:
    document = certificates.FreezeRequest()
    document.CopyFrom(REQUEST)
    document.grounds = hostile
    document.issuing_authority.name = hostile
    document.wallets[0].source = hostile
    document.earlier_orders[0].type = hostile
    document.persons[0].person.natural.names[0].primary = hostile
    clean = read(html.render(page.of(REQUEST)))
    attacked = read(html.render(page.of(document)))
    assert attacked.tags == clean.tags
    names = [[name for name, _ in reader.attributes if name != "class"] for reader in (attacked, clean)]
    assert names[0] == names[1]
    for line in text.lines(page.of(document)):
        assert line.isprintable()


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMED)
def test_html_is_one_file_that_runs_nothing_and_fetches_nothing(document: Message) -> None:
    written = html.render(page.of(document, NOW))
    reader = read(written)
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name in {"src", "style", "srcset"}]
    assert all((value or "").startswith("#s") for name, value in reader.attributes if name == "href")
    assert "url(" not in html.STYLE
    assert "@import" not in html.STYLE
    assert "default-src 'none'" in written
    assert "unsafe" not in written.split("<style>")[0]
    assert ("lang", "en") in reader.attributes
    assert ("charset", "utf-8") in reader.attributes


def test_html_has_headings_in_order_and_tables_with_scope() -> None:
    reader = read(html.render(page.of(REQUEST)))
    headings = [int(tag[1]) for tag in reader.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    scopes = [value for name, value in reader.attributes if name == "scope"]
    assert len(scopes) == reader.tags.count("th")
    assert set(scopes) == {"row", "col"}
    names = [value for name, value in reader.attributes if name == "id"]
    assert len(names) == len(set(names))


def test_style_of_a_page_is_the_one_that_its_policy_allows() -> None:
    style = html.render(page.of(REQUEST)).partition("<style>")[2].partition("</style>")[0]
    assert style == html.STYLE


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio of two colours `#rrggbb`."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_told_apart_in_the_light_and_in_the_dark() -> None:
    for block in html.STYLE.split("@media print")[0].split(":root {")[1:]:
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block.split("}")[0]))
        for ink, paper in (
            ("ink", "paper"),
            ("ink", "band"),
            ("ink", "tint"),
            ("soft", "paper"),
            ("soft", "tint"),
            ("on-bar", "bar"),
            ("on-loud", "loud"),
        ):
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)


def test_thousand_wallets_are_one_table() -> None:
    many = [parts.DEPOSIT_WALLET] * 1000
    shown = page.of_list(many)
    (section,) = shown.sections
    assert shown.title == "Wallets (1000)"
    assert [len(getattr(block, "lines", ())) for block in section.blocks] == [1000]


def test_several_documents_without_a_table_follow_one_another() -> None:
    shown = page.of_list([parts.TAKINGS, parts.bitcoin("5")])
    assert {section.part_of for section in shown.sections} == {"Amount of an asset 1 of 2", "Amount of an asset 2 of 2"}


def test_lines_keep_to_the_width_unless_a_word_is_longer() -> None:
    for line in text.lines(page.of(REQUEST), 100):
        assert len(line) <= 100 or any(len(word) > 60 for word in line.split())


def test_name_with_a_new_line_begins_no_line_of_its_own() -> None:
    order = orders.DomesticOrder()
    order.customers.add().legal.names.add().name = "Acme\n\nCOURT ORDER\x1b[2J"
    shown = list(text.lines(page.of(order, NOW)))
    assert r"  [Customers 1 of 1: Acme\n\nCOURT ORDER\x1b[2J]" in shown
    assert not any(line.startswith("COURT") for line in shown)


@given(st.data())
def test_any_message_that_has_a_layout_has_a_page(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([type(each) for each in DOCUMENTS]))
    document = data.draw(messages.messages(kind.DESCRIPTOR))  # type: ignore[arg-type]  # upb's own class
    shown = page.of(document, NOW)
    assert html.render(shown)
    assert all(line.isprintable() for line in text.lines(shown))
