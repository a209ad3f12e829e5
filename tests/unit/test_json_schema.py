import copy
import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from typing import Any

import jsonschema.validators
import pytest
from google.protobuf.message import Message
from jsonschema import Draft202012Validator
from rogatory.v1 import comments_pb2 as comments
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

from gateway import codec
from gateway.errors import Refusal
from gateway.formats import json_form
from gateway.formats.documents import BODIES
from tests import samples

DOCUMENTS = {type(message).__name__: message for message in [*samples.every().values(), *samples.alone().values()]}
FOLDER = resources.files("rogatory.v1") / "schema"
SCHEMAS: dict[str, Any] = {path.name.removesuffix(".json"): json.loads(path.read_text()) for path in FOLDER.iterdir()}

BY_CEL = ("order.", "transaction.", "wallet.", "Draft as a whole")
"""Rules that a schema names in a comment and cannot say."""


@cache
def validator(name: str) -> Draft202012Validator:
    """The schema of a message, its own or the one that it has within another's."""
    valid: set[tuple[str, str]] = set()

    def ref(validator: Any, to: str, value: object, schema: object) -> Iterator[Any]:
        """As jsonschema's own; but most parts of a message are as they were when they were looked at last."""
        part = to, json.dumps(value)
        if part not in valid:
            errors = [*Draft202012Validator.VALIDATORS["$ref"](validator, to, value, schema)]
            if not errors:
                valid.add(part)
            yield from errors

    remembering: type[Draft202012Validator] = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, {"$ref": ref}
    )
    if name in SCHEMAS:
        return remembering(SCHEMAS[name])
    within = next(schema for schema in SCHEMAS.values() if name in schema["$defs"])
    return remembering({"$ref": f"#/$defs/{name}", "$defs": within["$defs"]})


def parts(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from parts(one)


def one_of_each_type() -> dict[str, Message]:
    """One message of each type that any sample is made of: the fullest."""
    every = [part for document in DOCUMENTS.values() for part in parts(document)]
    return {type(part).__name__: part for part in sorted(every, key=lambda part: len(part.ListFields()))}


def as_json(message: Message) -> Any:
    return json.loads(json_form.to_json(message))


def agree(value: object, message: Message) -> bool:
    """Whether a value is refused; by both, unless the rule is one of several fields.

    The reader takes some spellings that are not canonical; then the schema is asked about the canonical one.
    """
    ours = ""
    try:
        read = json_form.from_json(json.dumps(value).encode(), type(message))
        value = as_json(read)
        codec.check(read)
    except Refusal as error:
        ours = str(error)
    theirs = not validator(type(message).__name__).is_valid(value)
    if not any(f"[{rule}" in ours for rule in BY_CEL):
        assert bool(ours) == theirs, ours
    return bool(ours)


def changed(value: Any, name: str, change: Callable[[Any, Any], None]) -> Any:
    made = copy.deepcopy(value)
    change(made, name)
    return made


def first_changed(value: Any, name: str, change: Callable[[Any, Any], None]) -> Any:
    made = copy.deepcopy(value)
    change(made[name], 0)
    return made


def drop(parent: Any, key: Any) -> None:
    del parent[key]


def put(new: object) -> Callable[[Any, Any], None]:
    def change(parent: Any, key: Any) -> None:
        parent[key] = new

    return change


def twice(parent: Any, key: Any) -> None:
    parent[key] = [parent[key][0]] * 2 if isinstance(parent[key], list) else [parent[key]] * 2


def lengthened(parent: Any, key: Any) -> None:
    parent[key] = "x" * 20_001 if isinstance(parent[key], str) else parent[key]


CHANGES: dict[str, Callable[[Any, Any], None]] = {
    "left out": drop,
    "empty text": put(""),
    "some text": put("\u00e9"),
    "null": put(None),
    "number": put(4_000_000_000),
    "negative number": put(-1),
    "empty list": put([]),
    "empty object": put({}),
    "unknown field": put({"amnesty": 1}),
    "truth": put(True),
    "twice": twice,
    "long": lengthened,
}


def test_there_is_a_schema_of_every_document_and_of_every_format_that_stands_alone() -> None:
    assert set(SCHEMAS) == set(DOCUMENTS)
    bodies = {body.DESCRIPTOR.name for body in BODIES.values()}
    assert set(SCHEMAS) == bodies | {
        "AssetAmount",
        "IdentityPayload",
        "Person",
        "TransactionRecord",
        "WalletIdentifier",
    }


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_valid_itself_and_closed(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    for each in [schema, *schema["$defs"].values()]:
        assert each["type"] == "string" or each["additionalProperties"] is False
        assert each["description"]
        assert all(inner["description"] for at, inner in each.get("properties", {}).items() if at != "@type")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_canonical_json_of_each_sample_is_valid(name: str) -> None:
    value = as_json(DOCUMENTS[name])
    validator(name).validate(value)
    assert not agree({"@type": f"rogatory.v1.{name}"} | value, DOCUMENTS[name])
    assert agree({"@type": "rogatory.v1.Header"} | value, DOCUMENTS[name])


@pytest.mark.parametrize("message", one_of_each_type().values(), ids=lambda message: type(message).__name__)
def test_schema_and_reader_agree_on_every_small_change_of_a_message(message: Message) -> None:
    value = as_json(message)
    assert not agree(value, message)
    refusals = [
        agree(made, message)
        for name in value
        for change in CHANGES.values()
        for made in (
            changed(value, name, change),
            *([first_changed(value, name, change)] if isinstance(value[name], list) else []),
        )
    ]
    assert any(refusals)


def test_choice_is_made_once() -> None:
    value = as_json(samples.complete(ids.KIND_REVIEW_REFERRAL))
    referral = orders.ReviewReferral()
    assert agree({"remarks": "none"}, referral)
    assert agree(value | {"confiscation": as_json(samples.complete(ids.KIND_CONFISCATION_REQUEST))}, referral)


def test_rule_over_several_fields_is_named_where_the_schema_cannot_say_it() -> None:
    assert "wallet.executable_or_quoted: " in SCHEMAS["WalletIdentifier"]["$comment"]
    assert "order.orders_something: " in SCHEMAS["DomesticOrder"]["$comment"]
    assert "startUs: from 1 to 253402300799999999" in SCHEMAS["Limitation"]["$defs"]["Clock"]["$comment"]


def test_every_field_and_value_has_its_comment() -> None:
    for message in DOCUMENTS.values():
        for field in message.DESCRIPTOR.fields:
            assert comments.COMMENTS[f"{message.DESCRIPTOR.name}.{field.name}"]
            if field.enum_type is not None:
                assert all(comments.COMMENTS[f"{field.enum_type.name}.{each.name}"] for each in field.enum_type.values)
