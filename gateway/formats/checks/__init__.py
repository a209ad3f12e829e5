"""The rules within one document: what one field says of another.

In: a document that keeps its contract. Out: everything that is wrong with it, in the order of its fields, each with
CONTENT_MISMATCH, its rule and its position. Nothing is raised: a clerk wants the whole list. What a header must say of
its document is in `documents`; what one document must say of another, in the procedure.

Every message has its rules under its type, wherever it stands: `clocks.RULES` for a time limit, `sought.RULES` for
section D of a certificate. This module walks through a document and applies them. A rule that takes two sections stands
with the document that has both; one that depends on the kind of envelope, in `by_kind`.

Each rule names its article or section; one that is good practice and no law says "house rule".
"""

import re
from types import MappingProxyType
from typing import Final

from google.protobuf.message import Message
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids

from gateway.errors import Refusal
from gateway.formats.checks import (
    assistance,
    by_kind,
    certificates,
    clocks,
    consequences,
    followups,
    notices,
    orders,
    parties,
    provider_facing,
    reports,
    scope,
    sought,
    transfers,
    values,
)
from gateway.formats.checks.provider_facing import PROVIDER_FACING
from gateway.formats.checks.sheet import Rule, Sheet

__all__ = ["PROVIDER_FACING", "problems"]

_MODULES: Final = (
    assistance,
    certificates,
    clocks,
    consequences,
    followups,
    notices,
    orders,
    parties,
    reports,
    scope,
    sought,
    transfers,
    values,
)

REGISTER: Final[MappingProxyType[str, Rule]] = MappingProxyType(
    {kind.DESCRIPTOR.full_name: rule for module in _MODULES for kind, rule in module.RULES}
)
"""The rules of each type of message, by its full name."""

_WHOLE: Final = frozenset(kind.full_name for kind in values.WHOLE)
_PLACE: Final = re.compile(r"(?P<name>\w+)(?:\[(?P<position>[0-9]+)\])?")


def problems(document: Message, kind: ids.Kind.ValueType = ids.KIND_UNSPECIFIED) -> tuple[Refusal, ...]:
    """Return all problems of a document, in the order of its fields.

    Args:
        document: any message of the formats; the result has a meaning only if it keeps its contract.
        kind: of the envelope that it is for; without, what only some kinds demand is not looked at.
    """
    found: list[Refusal] = []
    _check(Sheet(found), document, facing=isinstance(document, PROVIDER_FACING))
    if kind:
        by_kind.check(Sheet(found), kind, document)
    return tuple(sorted(found, key=lambda problem: _order(document, problem.field)))


def _check(sheet: Sheet, message: Message, *, facing: bool) -> None:
    """Apply the rules to a message and to all messages within it, but for those that are read as a whole."""
    name = message.DESCRIPTOR.full_name
    rule = REGISTER.get(name)
    if rule is not None:
        rule(sheet, message)
    if facing and isinstance(message, evidence.WalletIdentifier):
        provider_facing.check_wallet(sheet, message)
    if name in _WHOLE:
        return
    values.check_fields(sheet, message)
    for field, found in message.ListFields():
        if field.message_type is None:
            continue
        if field.is_repeated:
            for each, item in sheet.each(field.name, found):
                _check(each, item, facing=facing)
        else:
            _check(sheet.at(field.name), found, facing=facing)


def _order(document: Message, where: str) -> tuple[int, ...]:
    """Return the position of a field in a document, as numbers that sort as its fields stand."""
    order: list[int] = []
    fields = document.DESCRIPTOR.fields_by_name
    for place in _PLACE.finditer(where):
        field = fields.get(place["name"])
        if field is None:
            break
        order += (field.index, int(place["position"] or -1))
        if field.message_type is not None:
            fields = field.message_type.fields_by_name
    return tuple(order)
