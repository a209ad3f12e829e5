"""One complete document for each kind of envelope, all of one case, each valid and every field of it filled.

What no document can have at once is left out, and named in tests/unit/test_samples.py.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from google.protobuf.message import Message
from rogatory.v1 import identifiers_pb2 as ids

from tests.samples import assistance, certificates, followups, notices, orders, parts, selftest

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
        ids.KIND_ACKNOWLEDGEMENT: notices.acknowledgement,
        ids.KIND_CLARIFICATION_REQUEST: notices.clarification_request,
        ids.KIND_CLARIFICATION: notices.clarification,
        ids.KIND_OBJECTION: notices.objection,
        ids.KIND_OBJECTION_DECISION: notices.objection_decision,
        ids.KIND_DELAY_NOTICE: notices.delay_notice,
        ids.KIND_FORWARDING: notices.forwarding,
        ids.KIND_PROVISIONAL_FREEZE: assistance.provisional_freeze,
        ids.KIND_PROVISIONAL_ORDER: orders.provisional_order,
        ids.KIND_CONFIRMATION: notices.confirmation,
        ids.KIND_PRODUCTION_NOTICE: notices.production_notice,
        ids.KIND_VALIDATION: notices.validation,
        ids.KIND_CLOSURE: notices.closure,
        ids.KIND_CLAIM_DECISION: followups.claim_decision,
        ids.KIND_PRIORITY_DECISION: notices.priority_decision,
        ids.KIND_PRIORITY_DISPUTE: notices.priority_dispute,
        ids.KIND_FINAL_REPORT: notices.final_report,
        ids.KIND_ENFORCEMENT_REQUEST: notices.enforcement_request,
        ids.KIND_WATCHLIST_NOTICE: assistance.watchlist_notice,
        ids.KIND_GRIEVANCE: notices.grievance,
        ids.KIND_GRIEVANCE_ANSWER: notices.grievance_answer,
        ids.KIND_LIMITATION_REQUEST: followups.limitation_request,
        ids.KIND_LIMITATION_ANSWER: notices.limitation_answer,
    }
)


def complete(kind: ids.Kind.ValueType) -> Message:
    """Return the document of a kind, with every field filled."""
    return _MAKERS[kind]()


def every() -> dict[ids.Kind.ValueType, Message]:
    """Return the complete document of each kind."""
    return {kind: make() for kind, make in _MAKERS.items()}


def named() -> dict[str, Message]:
    """Return the complete document of each kind by the kind's name, for one message serves several."""
    return {_name(kind): document for kind, document in every().items()}


def _name(kind: ids.Kind.ValueType) -> str:
    return "".join(word.capitalize() for word in ids.Kind.Name(kind).removeprefix("KIND_").split("_"))


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
