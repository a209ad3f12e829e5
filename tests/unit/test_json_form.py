import base64
import json
import math
from collections.abc import Iterator

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties

from gateway.errors import ErrorCode, Refusal
from gateway.formats import json_form
from gateway.formats.codes import Code
from tests import messages, samples

NAMED = samples.named() | samples.alone()
DOCUMENTS = [*NAMED.values()]
REQUEST = samples.complete(ids.KIND_FREEZE_REQUEST)
REQUEST_JSON = json_format.MessageToDict(REQUEST)
WALLET = json_format.MessageToDict(samples.alone()["WalletIdentifier"])


def types(kind: Descriptor, found: dict[str, Descriptor]) -> Iterator[Descriptor]:
    """Every type that a message is made of, once."""
    if kind.full_name in found:
        return
    found[kind.full_name] = kind
    yield kind
    for field in kind.fields:
        if field.message_type is not None:
            yield from types(field.message_type, found)


def shape(message: Message) -> Descriptor:
    return message.DESCRIPTOR  # type: ignore[return-value]  # upb's own class is the same to its users


def all_types() -> list[Descriptor]:
    found: dict[str, Descriptor] = {}
    return [each for document in DOCUMENTS for each in types(shape(document), found)]


def refused(raw: bytes | str | object, kind: type[Message] = certificates.FreezeRequest) -> tuple[str, str]:
    text = raw if isinstance(raw, bytes) else (raw if isinstance(raw, str) else json.dumps(raw)).encode()
    with pytest.raises(Refusal) as caught:
        json_form.from_json(text, kind)
    assert caught.value.code is ErrorCode.BAD_INPUT
    assert "a secret" not in str(caught.value)
    return caught.value.rule, caught.value.field


# Writing


def test_the_contract_has_no_floats_and_no_maps_for_which_one_text_would_be_hard_to_find() -> None:
    for kind in all_types():
        for field in kind.fields:
            assert field.type not in {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}
            assert field.message_type is None or not field.message_type.GetOptions().map_entry
            assert field.name.isascii()


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMED)
def test_document_reads_back_as_it_was_written_and_is_written_the_same_again(document: Message) -> None:
    text = json_form.to_json(document)
    read = json_form.from_json(text, type(document))
    assert read == document
    assert json_form.to_json(read) == text


@given(st.sampled_from(all_types()).flatmap(messages.messages))
def test_any_message_of_any_type_reads_back_as_it_was_written(message: Message) -> None:
    text = json_form.to_json(message)
    assert json_form.from_json(text, type(message)) == message


@given(st.sampled_from(all_types()).flatmap(messages.messages))
def test_names_are_sorted_and_no_white_space_or_needless_escape_is_there(message: Message) -> None:
    text = json_form.to_json(message).decode()

    def sorted_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert [name for name, _ in pairs] == sorted(name for name, _ in pairs)
        return dict(pairs)

    value = json.loads(text, object_pairs_hook=sorted_pairs)
    assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_text_is_escaped_as_rfc_8785_says() -> None:
    written = json_form.to_json(
        evidence.Attribution(source='\u20ac$\x0f\nA\'B"\\\\"/\x7f\u2028\U0001f600', label="\b\t\f\r")
    )
    escaped = '{"label":"\\b\\t\\f\\r","source":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f\u2028\U0001f600"}'
    assert written.decode() == escaped


def test_value_of_an_enum_that_has_no_name_here_is_not_written() -> None:
    for message, where in (
        (certificates.FreezeRequest(measures=[ids.MEASURE_CONFISCATE, 99]), "measures[1]"),  # type: ignore[list-item]
        (orders.ReviewReferral(freeze=certificates.FreezeRequest(main_contact=7)), "freeze.main_contact"),  # type: ignore[arg-type]
    ):
        with pytest.raises(Refusal) as caught:
            json_form.to_json(message)
        assert (caught.value.rule, caught.value.field) == (Code.ENUM_NAME, where)


# Reading


def test_every_spelling_of_a_value_that_protobuf_json_allows_and_that_is_no_other_value_is_read() -> None:
    value = b'{"@type": "rogatory.v1.Attachment", "media_type": "a/b", "size": 12, "sha256": "-_8"}'
    read = json_form.from_json(value, parties.Attachment)
    assert read == parties.Attachment(media_type="a/b", size=12, sha256=b"\xfb\xff")


def test_field_that_is_there_twice_is_refused_with_its_place() -> None:
    wallet = json.dumps(WALLET)[:-1]
    cases = {
        '{"grounds": "a", "grounds": "a"}': "grounds",
        '{"placeOfExecution": "a", "place_of_execution": "a"}': "place_of_execution",
        f'{{"wallets": [{wallet}}}, {wallet}, "tag": "1", "tag": "2"}}]}}': "wallets[1].tag",
        '{"offence": {"facts": "a", "facts": "b"}}': "offence.facts",
    }
    for text, where in cases.items():
        assert refused(text) == (Code.FIELD_TWICE, where)
    both = '{"freeze": {}, "confiscation": {}}'
    assert refused(both, orders.ReviewReferral) == (Code.FIELD_TWICE, "confiscation")


def test_what_the_message_has_not_is_refused_with_its_place() -> None:
    assert refused(REQUEST_JSON | {"amnesty": 1}) == (Code.UNKNOWN_FIELD, "amnesty")
    assert refused(REQUEST_JSON | {"wallets": [WALLET, {"owner": 1}]}) == (Code.UNKNOWN_FIELD, "wallets[1].owner")
    assert refused({"wallets": [{"@type": "x"}]}) == (Code.UNKNOWN_FIELD, "wallets[0].@type")
    assert refused({"@type": "rogatory.v1.Claim"}) == (Code.DOCUMENT_TYPE, "@type")


WRONG: dict[str, tuple[object, type[Message], Code, str]] = {
    "no object": ([], certificates.FreezeRequest, Code.WRONG_TYPE, ""),
    "object for a list": ({"wallets": {}}, certificates.FreezeRequest, Code.WRONG_TYPE, "wallets"),
    "list for an object": ({"offence": []}, certificates.FreezeRequest, Code.WRONG_TYPE, "offence"),
    "number for a text": ({"grounds": 1}, certificates.FreezeRequest, Code.WRONG_TYPE, "grounds"),
    "object for a text": ({"grounds": {"a": "a secret"}}, certificates.FreezeRequest, Code.WRONG_TYPE, "grounds"),
    "text for a truth": ({"pending": "true"}, certificates.VictimDecision, Code.WRONG_TYPE, "pending"),
    "number for a truth": ({"pending": 1}, certificates.VictimDecision, Code.WRONG_TYPE, "pending"),
    "null": ({"grounds": None}, certificates.FreezeRequest, Code.NULL, "grounds"),
    "null for a message": ({"offence": None}, certificates.FreezeRequest, Code.NULL, "offence"),
    "null in a list": ({"measures": [None]}, certificates.FreezeRequest, Code.NULL, "measures[0]"),
    "unknown word": ({"measures": ["a secret"]}, certificates.FreezeRequest, Code.ENUM_NAME, "measures[0]"),
    "number of an enum": ({"measures": [1]}, certificates.FreezeRequest, Code.ENUM_NAME, "measures[0]"),
    "half a pair": ({"grounds": "\ud83d"}, certificates.FreezeRequest, Code.LONE_SURROGATE, "grounds"),
    "other half of a pair": ({"grounds": "x\ude00"}, certificates.FreezeRequest, Code.LONE_SURROGATE, "grounds"),
}
NUMBERS = (
    True,
    1.0,
    1.5,
    "1.0",
    "1e3",
    "01",
    "+1",
    " 1",
    "1_0",
    "\u0661",
    "",
    "-0",
    -1,
    1 << 32,
    str(1 << 32),
    "a secret",
)
LONG_NUMBERS = (1 << 53, -(1 << 53), str(1 << 63), "9" * 20, "9" * 40, 1e15)
BYTES = ("A", "AA=", "AAA==", "AB==", "AAA=A", "AA A", "-+AA", "\u0410\u0410", "====", "=", 5, ["AA=="])


@pytest.mark.parametrize(("value", "kind", "rule", "where"), WRONG.values(), ids=WRONG)
def test_value_of_the_wrong_type_is_refused(value: object, kind: type[Message], rule: Code, where: str) -> None:
    assert refused(value, kind) == (rule, where)


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_number_is_whole_written_one_way_and_in_its_range(value: object) -> None:
    assert refused({"offence": {"maximumSentenceMonths": value}}) == (Code.NUMBER, "offence.maximumSentenceMonths")


@pytest.mark.parametrize("value", LONG_NUMBERS, ids=repr)
def test_number_that_other_readers_would_round_must_be_a_text(value: object) -> None:
    assert refused({"expiresAtUs": value}) == (Code.NUMBER, "expiresAtUs")
    assert (
        json_form.from_json(b'{"expiresAtUs":"9007199254740993"}', certificates.FreezeRequest).expires_at_us
        == 9007199254740993
    )


@pytest.mark.parametrize("value", BYTES, ids=repr)
def test_bytes_are_base64_of_one_alphabet_with_nothing_left_over(value: object) -> None:
    rule, where = refused({"sha256": value}, parties.Attachment)
    assert rule == (Code.BASE64 if isinstance(value, str) else Code.WRONG_TYPE)
    assert where == "sha256"


@given(st.binary(max_size=70))
def test_bytes_are_read_in_either_alphabet_with_and_without_filling(content: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(content).decode()
        for spelling in (text, text.rstrip("=")):
            value = json.dumps({"sha256": spelling}).encode()
            assert json_form.from_json(value, parties.Attachment).sha256 == content


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        '{"grounds":"a"}'.encode("utf-16"),
        b'{"a":NaN}',
        b"{} {}",
        b"[" * 100_000,
        b"9" * 5000,
    ],
)
def test_what_is_no_json_text_in_utf_8_is_refused(raw: bytes) -> None:
    assert refused(raw) == (Code.NOT_JSON, "")


def test_numbers_that_json_has_not_are_refused_everywhere() -> None:
    for number in (math.nan, math.inf):
        assert refused({"expiresAtUs": number}) == (Code.NOT_JSON, "")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["wallets", "chain", "signature", "keyId", "batch", "index", "path"]), inner
            )
        ),
    )
)
def test_any_json_value_gets_a_message_or_a_refusal(value: object) -> None:
    for kind in (evidence.WalletIdentifier, orders.Countersignature, pb.Signature):
        try:
            read = json_form.from_json(json.dumps(value).encode(), kind)
        except Refusal:
            continue
        assert json_form.from_json(json_form.to_json(read), kind) == read
