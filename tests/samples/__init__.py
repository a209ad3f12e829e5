"""One complete document for each kind of envelope, all of one case, each valid and every field of it filled.

What no document can have at once is left out, and named in tests/unit/test_samples.py.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from google.protobuf.message import Message
from rogatory.v1 import identifiers_pb2 as ids

from tests.samples import assistance, certificates, followups, orders, parts, selftest

_MAKERS: Final[MappingProxyType[ids.Kind.ValueType, Callable[[], Message]]] = MappingProxyType(
    {
        ids.KIND_DRAFT: orders.draft,
        ids.KIND_COUNTERSIGNATURE: orders.countersignature,
        ids.KIND_FREEZE_REQUEST: certificates.freeze_request,
        ids.KIND_REVIEW_REFERRAL: orders.review_referral,
        ids.KIND_REVIEW_DECISION: orders.review_decision,
        ids.KIND_DOMESTIC_ORDER: orders.domestic_order,
        ids.KIND_EXECUTION_REPORT: orders.execution_report,
        ids.KIND_CONFISCATION_REQUEST: certificates.confiscation_request,
        ids.KIND_EVIDENCE_REQUEST: assistance.evidence_request,
        ids.KIND_PRESERVATION_REQUEST: assistance.preservation_request,
        ids.KIND_DISCLOSURE: orders.disclosure,
        ids.KIND_EXTENSION: followups.extension,
        ids.KIND_LIMITATION: followups.limitation,
        ids.KIND_WITHDRAWAL: followups.withdrawal,
        ids.KIND_RELEASE: followups.release,
        ids.KIND_CLAIM: followups.claim,
        ids.KIND_RESTITUTION_DECISION: followups.restitution_decision,
        ids.KIND_TRANSFER_ORDER: followups.transfer_order,
        ids.KIND_SHARING_STATEMENT: followups.sharing_statement,
        ids.KIND_TAKEDOWN_NOTICE: assistance.takedown_notice,
        ids.KIND_SPONTANEOUS_INFORMATION: assistance.spontaneous_information,
        ids.KIND_CUSTODY_EVENT: followups.custody_event,
        ids.KIND_TEST_ORDER: selftest.order,
        ids.KIND_TEST_REPORT: selftest.report,
    }
)


def complete(kind: ids.Kind.ValueType) -> Message:
    """Return the document of a kind, with every field filled."""
    return _MAKERS[kind]()


def every() -> dict[ids.Kind.ValueType, Message]:
    """Return the complete document of each kind."""
    return {kind: make() for kind, make in _MAKERS.items()}


def alone() -> dict[str, Message]:
    """Return the messages that also stand alone, by name."""
    found: tuple[Message, ...] = (
        parts.attributed(parts.DEPOSIT_WALLET),
        parts.TAKINGS,
        parts.transactions()[0],
        parts.natural_person(),
        orders.identity_payload(),
    )
    return {type(message).__name__: message for message in found}
