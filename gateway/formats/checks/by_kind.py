"""Rules of a document that depend on the kind of its envelope: one message serves several steps of procedure.

In: a kind, and the document in its envelope; for a referral, also the request within. Source: the articles at each
rule; house rules, where they are marked so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from google.protobuf.message import Message
from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders

from gateway.formats.checks import clocks
from gateway.formats.checks.sheet import Sheet
from gateway.formats.codes import Code

Kind: TypeAlias = ids.Kind.ValueType
Outcomes: TypeAlias = frozenset[ids.Outcome.ValueType]

_NONE: Final[Outcomes] = frozenset({ids.OUTCOME_UNSPECIFIED})
_GRANTED: Final[Outcomes] = frozenset({ids.OUTCOME_GRANTED})
_RESULTS: Final[Outcomes] = _GRANTED | {ids.OUTCOME_PARTLY_GRANTED, ids.OUTCOME_REFUSED}


@dataclass(frozen=True, slots=True)
class NoticeRule:
    """What a notice may say at one step.

    Args:
        outcomes: what it may have decided.
        ground: whether it may name one.
        measures: whether it may name measures or classes of data.
        limits: which time limits may stand in it.
    """

    outcomes: Outcomes = _NONE
    ground: bool = False
    measures: bool = False
    limits: clocks.Rules = clocks.BETWEEN_STATES


NOTICES: Final[Mapping[Kind, NoticeRule]] = MappingProxyType(
    {
        ids.KIND_ACKNOWLEDGEMENT: NoticeRule(),
        # The ground on which one means to refuse, about which one consults (2018/1805 Art. 8(2), 19(2)).
        ids.KIND_CLARIFICATION_REQUEST: NoticeRule(ground=True),
        ids.KIND_CLARIFICATION: NoticeRule(limits=clocks.DOMESTIC),
        ids.KIND_OBJECTION_DECISION: NoticeRule(_RESULTS, limits=clocks.DOMESTIC),
        ids.KIND_DELAY_NOTICE: NoticeRule(),
        ids.KIND_FORWARDING: NoticeRule(),
        ids.KIND_CONFIRMATION: NoticeRule(
            _GRANTED | {ids.OUTCOME_PARTLY_GRANTED}, measures=True, limits=clocks.DOMESTIC
        ),
        ids.KIND_PRODUCTION_NOTICE: NoticeRule(limits=clocks.DOMESTIC),
        ids.KIND_VALIDATION: NoticeRule(measures=True),
        ids.KIND_CLOSURE: NoticeRule(),
        ids.KIND_PRIORITY_DISPUTE: NoticeRule(),
        ids.KIND_ENFORCEMENT_REQUEST: NoticeRule(measures=True),
        ids.KIND_GRIEVANCE: NoticeRule(),
        ids.KIND_GRIEVANCE_ANSWER: NoticeRule(),
        ids.KIND_LIMITATION_ANSWER: NoticeRule(_GRANTED | {ids.OUTCOME_REFUSED}, limits=clocks.OF_LIMITATION),
    }
)
"""No ground stands beside the answer to an objection or to a request to limit: the articles name none."""

REFERRED: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "freeze": ids.KIND_FREEZE_REQUEST,
        "confiscation": ids.KIND_CONFISCATION_REQUEST,
        "evidence": ids.KIND_EVIDENCE_REQUEST,
        "preservation": ids.KIND_PRESERVATION_REQUEST,
        "provisional_freeze": ids.KIND_PROVISIONAL_FREEZE,
        "takedown": ids.KIND_TAKEDOWN_NOTICE,
        "restitution": ids.KIND_RESTITUTION_DECISION,
        "enforcement": ids.KIND_ENFORCEMENT_REQUEST,
    }
)
"""Of which kind the request was that a referral carries in this field."""


def check(sheet: Sheet, kind: Kind, document: Message) -> None:
    """Note what a document may not say in an envelope of its kind."""
    match document:
        case notices.Notice():
            _check_notice(sheet, kind, document)
        case followups.Claim():
            _check_claim(sheet, kind, document)
        case followups.Limitation():
            sheet.need(
                Code.LIMITATION_UNDECIDED,
                "step",
                document.step == followups.LIMITATION_STEP_LIMITED,
                "a court limits; asking and answering have documents of their own (2018/1805 Art. 12(2))",
            )
        case orders.DomesticOrder() if kind == ids.KIND_PROVISIONAL_ORDER:
            sheet.need(
                Code.PROVISIONAL_WITHOUT_LAPSE,
                "lapses_by_itself",
                document.lapses_by_itself,
                "what is provisional lapses unless it is confirmed (2024/1260 Art. 11)",
            )
        case assistance.SpontaneousInformation() if kind == ids.KIND_WATCHLIST_NOTICE:
            _check_watchlist(sheet, document)
        case orders.ReviewReferral():
            name = document.WhichOneof("request")
            if name is not None:
                check(sheet.at(name), REFERRED[name], getattr(document, name))
        case _:
            pass  # its kind says no more than its type


def _check_notice(sheet: Sheet, kind: Kind, notice: notices.Notice) -> None:
    rule = NOTICES.get(kind, NoticeRule())
    sheet.need(
        Code.NOTICE_OUTCOME, "outcome", notice.outcome in rule.outcomes, "not an outcome of this step (house rule)"
    )
    sheet.need(Code.NOTICE_GROUND, "ground", rule.ground or not notice.ground, "this step has no ground (house rule)")
    named = bool(notice.measures or notice.data_classes)
    sheet.need(
        Code.NOTICE_OF_MEASURES,
        "measures",
        rule.measures or not named,
        "this step names neither measures nor data (house rule)",
    )
    clocks.check_list(sheet, notice.clocks, rule.limits)
    sheet.when(kind == ids.KIND_DELAY_NOTICE).need(
        Code.DELAY_WITHOUT_TIME, "clocks", notice.clocks, "by when will it be done? (2018/1805 Art. 9(5))"
    )
    forwards = kind == ids.KIND_FORWARDING
    sheet.when(forwards).need(
        Code.FORWARDED_TO_NOBODY,
        "competent_authority",
        notice.competent_authority,
        "to which authority? (2018/1805 Art. 4(9))",
    )
    sheet.when(not forwards).need(
        Code.NOT_FORWARDED,
        "competent_authority",
        not notice.competent_authority,
        "an authority is named, and nothing is forwarded (2018/1805 Art. 4(9))",
    )
    sheet.when(kind == ids.KIND_ENFORCEMENT_REQUEST).need(
        Code.ENFORCEMENT_OF_NOTHING, "data_classes", named, "what is to be enforced? (2023/1543 Art. 16(1))"
    )


def _check_claim(sheet: Sheet, kind: Kind, claim: followups.Claim) -> None:
    decided = kind == ids.KIND_CLAIM_DECISION
    sheet.when(decided).need(Code.CLAIM_UNDECIDED, "outcome", claim.outcome, "what became of it? (2018/1805 Art. 33)")
    sheet.when(not decided).need(
        Code.CLAIM_ALREADY_DECIDED,
        "outcome",
        not claim.outcome,
        "what became of it has an envelope of its own (house rule)",
    )


def _check_watchlist(sheet: Sheet, told: assistance.SpontaneousInformation) -> None:
    sheet.need(
        Code.WATCHLIST_NOT_INTELLIGENCE,
        "use",
        told.use == assistance.PERMITTED_USE_INTELLIGENCE_ONLY,
        "wallets to look out for are intelligence, never a basis of an order (house rule)",
    )
    sheet.need(Code.WATCHLIST_EMPTY, "wallets", told.wallets, "which wallets? (house rule)")
