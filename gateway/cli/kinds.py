"""Which format a file is in.

In: JSON values of one kind, and the word of `--kind`, if there was one. Out: the type of message. A document says what
it is by a member "@type"; otherwise the one format is taken that fits: first by the names of its fields, then by their
values, then by the rules of the contract. Refuses with DOCUMENT_TYPE what fits none, or more than one.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import click
from google.protobuf.message import Message
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import persons_pb2 as persons

from gateway import codec, rules
from gateway.errors import Refusal
from gateway.formats import json_form
from gateway.formats.codes import Code, refuse
from gateway.formats.documents import BODIES

ALONE: Final[Mapping[str, type[Message]]] = MappingProxyType(
    {
        "amount": evidence.AssetAmount,
        "identity-payload": persons.IdentityPayload,
        "person": persons.Person,
        "transaction": evidence.TransactionRecord,
        "wallet": evidence.WalletIdentifier,
    }
)

KINDS: Final[Mapping[str, type[Message]]] = MappingProxyType(
    {
        **{rules.word(kind): body for kind, body in BODIES.items()},
        **ALONE,
    }
)
"""What a file can hold, by the word that `--kind` takes. Several kinds may have one format."""


def of_word(word: str | None) -> ids.Kind.ValueType:
    """Return the kind of envelope that a word of `--kind` names, or none."""
    name = f"KIND_{(word or '').upper().replace('-', '_')}"
    return ids.Kind.Value(name) if name in ids.Kind.keys() else ids.KIND_UNSPECIFIED  # noqa: SIM118  it is no dict


option: Final = click.option(
    "--kind", type=click.Choice(sorted(KINDS)), metavar="KIND", help="What FILE is, e.g. freeze-request."
)
"""Gives a command `--kind`, as its argument `kind`."""


def find(entries: Sequence[object], word: str | None) -> type[Message]:
    """Return the type of the documents in a file.

    Args:
        entries: the documents; at least one.
        word: what `--kind` said.

    Raises:
        Refusal: BAD_INPUT, rule DOCUMENT_TYPE.
    """
    if word:
        return KINDS[word]
    said = entries[0].get(json_form.TYPE) if isinstance(entries[0], dict) else None
    if said is not None:
        named = [kind for kind in KINDS.values() if kind.DESCRIPTOR.full_name == said]
        if not named:
            raise refuse(Code.DOCUMENT_TYPE, "no document of this type is known", json_form.TYPE)
        return named[0]
    return KINDS[_fitting(entries)]


def _fitting(entries: Sequence[object]) -> str:
    left = [*KINDS]
    for fits in (_has_names, _can_be_read, _keeps_contract):
        fitting = [word for word in left if all(_holds(fits, each, KINDS[word]) for each in entries)]
        if len({KINDS[word] for word in fitting}) == 1:
            return fitting[0]
        if not fitting:
            break
        left = fitting
    if len(left) < len(KINDS):
        raise refuse(Code.DOCUMENT_TYPE, f"it could be any of these, say which with --kind: {', '.join(left)}", "")
    raise refuse(Code.DOCUMENT_TYPE, "it fits no format; with --kind, the first rule that it breaks is told", "")


def _has_names(entry: object, kind: type[Message]) -> None:
    known = {name for field in kind.DESCRIPTOR.fields for name in (field.name, field.json_name)}
    if not isinstance(entry, dict) or not known >= entry.keys():
        raise refuse(Code.UNKNOWN_FIELD, "it has no such field", "")


def _can_be_read(entry: object, kind: type[Message]) -> None:
    json_form.from_object(entry, kind)


def _keeps_contract(entry: object, kind: type[Message]) -> None:
    codec.check(json_form.from_object(entry, kind))


def _holds(fits: Callable[[object, type[Message]], None], entry: object, kind: type[Message]) -> bool:
    try:
        fits(entry, kind)
    except Refusal:
        return False
    return True
