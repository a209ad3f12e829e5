"""Notices, objections, decisions on priority and final reports with one fault each."""

from typing import Final

from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import notices_pb2 as notices

from gateway.formats.codes import Code
from tests.broken.case import Case
from tests.samples import parts

OBJECTION: Final = ids.KIND_OBJECTION
PRIORITY: Final = ids.KIND_PRIORITY_DECISION
FINAL: Final = ids.KIND_FINAL_REPORT
FIRST: Final = {"outcome": ids.OUTCOME_GRANTED, "ground": ids.GROUND_UNSPECIFIED}


def _urgent() -> measures.Clock:
    return parts.clock(measures.CLOCK_RULE_URGENT_EXECUTION, parts.at(3, 3, 17), parts.at(3, 5, 17))


_STEPS: Final = (
    Case(
        "an acknowledgement that grants",
        ids.KIND_ACKNOWLEDGEMENT,
        {"outcome": ids.OUTCOME_GRANTED},
        Code.NOTICE_OUTCOME,
        "outcome",
    ),
    Case(
        "a decision on an objection that decides nothing",
        ids.KIND_OBJECTION_DECISION,
        {"outcome": ids.OUTCOME_UNSPECIFIED},
        Code.NOTICE_OUTCOME,
        "outcome",
    ),
    Case(
        "an order confirmed by a refusal",
        ids.KIND_CONFIRMATION,
        {"outcome": ids.OUTCOME_REFUSED},
        Code.NOTICE_OUTCOME,
        "outcome",
    ),
    Case(
        "an answer to a limitation that is put off",
        ids.KIND_LIMITATION_ANSWER,
        {"outcome": ids.OUTCOME_POSTPONED},
        Code.NOTICE_OUTCOME,
        "outcome",
    ),
    Case(
        "an objection turned down on a ground of refusal",
        ids.KIND_OBJECTION_DECISION,
        {"outcome": ids.OUTCOME_REFUSED, "ground": ids.GROUND_NE_BIS_IN_IDEM},
        Code.NOTICE_GROUND,
        "ground",
    ),
    Case(
        "a closure that orders",
        ids.KIND_CLOSURE,
        {"measures": [ids.MEASURE_BLOCK_WITHDRAWAL]},
        Code.NOTICE_OF_MEASURES,
        "measures",
    ),
    Case(
        "an answer that asks for data",
        ids.KIND_CLARIFICATION,
        {"data_classes": [parts.CONTENT]},
        Code.NOTICE_OF_MEASURES,
        "measures",
    ),
    *(
        Case(
            "an exchange is given the time limit of another State's request",
            kind,
            {"clocks": [_urgent()]},
            Code.CLOCK_MISPLACED,
            "clocks[0].rule",
        )
        for kind in (
            ids.KIND_CLARIFICATION,
            ids.KIND_OBJECTION_DECISION,
            ids.KIND_CONFIRMATION,
            ids.KIND_PRODUCTION_NOTICE,
        )
    ),
    Case("late, and until when?", ids.KIND_DELAY_NOTICE, {"clocks": None}, Code.DELAY_WITHOUT_TIME, "clocks"),
    Case(
        "sent on to nobody",
        ids.KIND_FORWARDING,
        {"competent_authority": ""},
        Code.FORWARDED_TO_NOBODY,
        "competent_authority",
    ),
    Case(
        "an exchange is told which authority is competent",
        ids.KIND_CLARIFICATION,
        {"competent_authority": "Põhja Ringkonnaprokuratuur"},
        Code.NOT_FORWARDED,
        "competent_authority",
    ),
    Case(
        "to be enforced: nothing",
        ids.KIND_ENFORCEMENT_REQUEST,
        {"data_classes": None},
        Code.ENFORCEMENT_OF_NOTHING,
        "data_classes",
    ),
)

_OBJECTIONS: Final = (
    Case(
        "one reason given twice",
        OBJECTION,
        {
            "objections": [
                notices.Objection(reason=notices.OBJECTION_REASON_DATA_NOT_HELD, explanation=text)
                for text in ("the log-ins", "the messages")
            ]
        },
        Code.OBJECTION_TWICE,
        "objections[1].reason",
    ),
    Case(
        "not enough is said, and nothing is asked",
        OBJECTION,
        {"objections[0].clarification_asked": ""},
        Code.CLARIFICATION_NOT_ASKED,
        "objections[0].clarification_asked",
    ),
    Case(
        "another country's law forbids it, which?",
        OBJECTION,
        {"objections[1].conflict": None},
        Code.CONFLICT_UNEXPLAINED,
        "objections[1].conflict",
    ),
    Case(
        "another country's law beside another reason",
        OBJECTION,
        {"objections[1].reason": notices.OBJECTION_REASON_IMPOSSIBLE},
        Code.CONFLICT_DENIED,
        "objections[1].conflict",
    ),
)

_PRIORITIES: Final = (
    Case(
        "first in part",
        PRIORITY,
        {"outcome": ids.OUTCOME_PARTLY_GRANTED},
        Code.PRIORITY_OUTCOME,
        "outcome",
    ),
    Case("first, on a ground against it", PRIORITY, {"outcome": ids.OUTCOME_GRANTED}, Code.PRIORITY_GROUND, "ground"),
    Case("not first, on no ground", PRIORITY, {"ground": ids.GROUND_UNSPECIFIED}, Code.PRIORITY_GROUND, "ground"),
    Case(
        "not first, on a ground of refusal",
        PRIORITY,
        {"ground": ids.GROUND_NE_BIS_IN_IDEM},
        Code.PRIORITY_GROUND,
        "ground",
    ),
    Case(
        "victims after dates",
        PRIORITY,
        FIRST | {"criteria": [notices.PRIORITY_CRITERION_DATES, notices.PRIORITY_CRITERION_VICTIMS]},
        Code.VICTIMS_NOT_FIRST,
        "criteria",
    ),
)

_FINAL: Final = (
    Case(
        "a part in another currency",
        FINAL,
        {"dispositions[1].amount.currency": "CHF"},
        Code.SEVERAL_CURRENCIES,
        "dispositions[1].amount.currency",
    ),
    Case(
        "a cent that went nowhere",
        FINAL,
        {"dispositions[2].amount.amount": "403579.49"},
        Code.DISPOSITIONS_NOT_WHOLE,
        "recovered.amount",
    ),
)

CASES: Final = (*_STEPS, *_OBJECTIONS, *_PRIORITIES, *_FINAL)
