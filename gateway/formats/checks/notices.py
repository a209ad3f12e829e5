"""The small papers of procedure: objections, priority, the final report.

In: documents of notices.proto, but for what a notice says at each step (`by_kind`). Source: Regulation (EU) 2018/1805
Art. 26 and 30; Regulation (EU) 2023/1543 Art. 17 and Annex III; house rules, where they are marked so.
"""

from typing import Final

from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices

from gateway.formats import grounds
from gateway.formats.checks import money
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

_ASKING: Final = frozenset({notices.OBJECTION_REASON_INCOMPLETE, notices.OBJECTION_REASON_INSUFFICIENT_INFORMATION})
"""What more information would cure, so that it is asked for."""

_RANKED: Final = frozenset({ids.OUTCOME_GRANTED, ids.OUTCOME_REFUSED})


def check_objections(sheet: Sheet, notice: notices.ObjectionNotice) -> None:
    """Each reason once."""
    seen = set[int]()
    for each, objection in sheet.each("objections", notice.objections):
        each.need(
            Code.OBJECTION_TWICE, "reason", objection.reason not in seen, "this reason is given twice (house rule)"
        )
        seen.add(objection.reason)


def check_objection(sheet: Sheet, objection: notices.Objection) -> None:
    """What would help is asked for, and a conflict of laws is a reasoned one."""
    sheet.when(objection.reason in _ASKING).need(
        Code.CLARIFICATION_NOT_ASKED,
        "clarification_asked",
        objection.clarification_asked,
        "say what is asked (2023/1543 Art. 10(6), Annex III section F)",
    )
    conflict = objection.reason == notices.OBJECTION_REASON_THIRD_COUNTRY_CONFLICT
    sheet.when(conflict).need(
        Code.CONFLICT_UNEXPLAINED,
        "conflict",
        objection.HasField("conflict"),
        "which law, what it protects, and why it applies (2023/1543 Art. 17(2), Annex III section E)",
    )
    sheet.when(not conflict).need(
        Code.CONFLICT_DENIED,
        "conflict",
        not objection.HasField("conflict"),
        "a conflict of laws is told, and another reason given (2023/1543 Annex III section E)",
    )


def check_priority(sheet: Sheet, decision: notices.PriorityDecision) -> None:
    """One order goes first or another does, and victims first (2018/1805 Art. 26)."""
    sheet.need(
        Code.PRIORITY_OUTCOME,
        "outcome",
        decision.outcome in _RANKED,
        "this order goes first, or another does (2018/1805 Art. 26)",
    )
    refused = decision.outcome == ids.OUTCOME_REFUSED
    sheet.when(decision.outcome in _RANKED).need(
        Code.PRIORITY_GROUND,
        "ground",
        decision.ground in grounds.PRIORITY if refused else not decision.ground,
        "another order goes first because it has priority or holds the assets already; else there is no ground"
        " (2018/1805 Art. 10(1)(b), (c), 26)",
    )
    named = notices.PRIORITY_CRITERION_VICTIMS in decision.criteria
    sheet.when(named).need(
        Code.VICTIMS_NOT_FIRST,
        "criteria",
        decision.criteria[:1] == [notices.PRIORITY_CRITERION_VICTIMS],
        "the interests of victims come first (2018/1805 Art. 26(2))",
    )


def check_final(sheet: Sheet, report: notices.FinalReport) -> None:
    """What became of it adds up, to the last digit, in one currency (2018/1805 Art. 30)."""
    for each, part in sheet.each("dispositions", report.dispositions):
        each.need(
            Code.SEVERAL_CURRENCIES,
            "amount.currency",
            part.amount.currency == report.recovered.currency,
            "one currency throughout: say at which rate it was converted (house rule)",
        )
    parts = [money.value(part.amount) for part in report.dispositions]
    known = [part for part in parts if part is not None]
    whole = money.value(report.recovered)
    sheet.need(
        Code.DISPOSITIONS_NOT_WHOLE,
        "recovered.amount",
        whole is None or len(known) < len(parts) or sum(known) == whole,
        "what became of it does not make what was recovered (2018/1805 Art. 30)",
    )


RULES: Final = (
    on(notices.ObjectionNotice, check_objections),
    on(notices.Objection, check_objection),
    on(notices.PriorityDecision, check_priority),
    on(notices.FinalReport, check_final),
)
