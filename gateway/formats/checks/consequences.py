"""What follows an order: sections I, J and K of Annex I, and H, I and J of Annex II.

In: `Alternatives`, `ConfiscationPlan`, `RestitutionClaim`, `VictimDecision`, `Trial`. Notes what contradicts itself or
leaves a question open. Sections are those of Regulation (EU) 2018/1805 Annex I, unless Annex II is named.
"""

from typing import Final

from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import parties_pb2 as parties

from gateway.formats.checks import days
from gateway.formats.checks import parties as persons
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

YES: Final = parties.YES_OR_NO_YES
NO: Final = parties.YES_OR_NO_NO


def check_alternatives(sheet: Sheet, alternatives: certificates.Alternatives) -> None:
    """Section J (Annex II section I)."""
    sheet.when(alternatives.allowed == YES).need(
        Code.ALTERNATIVES_NOT_NAMED,
        "description",
        alternatives.description,
        "say which may be applied (Annex I section J2)",
    )
    sheet.when(alternatives.allowed == NO).need(
        Code.ALTERNATIVES_DENIED,
        "allowed",
        not alternatives.description,
        "none is allowed, yet one is named (Annex I section J1)",
    )


def check_plan(sheet: Sheet, plan: certificates.ConfiscationPlan) -> None:
    """Section I: a confiscation certificate comes along, or the property stays frozen until it comes (Art. 4)."""
    attached = plan.certificate_attached
    sheet.when(not attached).need(
        Code.NOT_TO_STAY_FROZEN,
        "stay_frozen",
        plan.stay_frozen,
        "without a confiscation certificate, the property is to stay frozen (2018/1805 Art. 4, Annex I section I)",
    )
    sheet.when(attached).need(
        Code.CONFISCATION_WITHOUT_REFERENCE,
        "reference",
        plan.reference,
        "give the reference of the confiscation certificate (Annex I section I)",
    )
    sheet.when(attached).need(
        Code.CONFISCATION_PLAN_CONTRADICTS,
        "stay_frozen",
        not (plan.stay_frozen or plan.expected_on),
        "the certificate comes along, so nothing waits for it (Annex I section I)",
    )


def check_restitution(sheet: Sheet, claim: certificates.RestitutionClaim) -> None:
    """Section K. The reference is asked for "if available", so it may be empty."""
    yes, no = sheet.when(claim.decision == YES), sheet.when(claim.decision == NO)
    for field, given in (
        ("authority", claim.authority),
        ("decided_on", claim.decided_on),
        ("property", claim.property),
        ("victim", claim.HasField("victim")),
    ):
        yes.need(
            Code.RESTITUTION_INCOMPLETE,
            field,
            given,
            "a restitution decision has authority, day, property and victim (Annex I section K1)",
        )
        no.need(
            Code.RESTITUTION_DENIED,
            field,
            not given,
            "there is no decision, yet its details are given (Annex I section K1)",
        )
    check_conditions(yes, claim)
    sheet.when(claim.title_contested == YES).need(
        Code.AFFECTED_RIGHT_UNNAMED, "contests", claim.contests, "who contests the title, and why (Annex I section K1)"
    )
    sheet.when(claim.rights_prejudiced == YES).need(
        Code.AFFECTED_RIGHT_UNNAMED, "affected", claim.affected, "whose rights, which, and why (Annex I section K1)"
    )
    for each, affected in (*sheet.each("contests", claim.contests), *sheet.each("affected", claim.affected)):
        each.need(Code.AFFECTED_RIGHT_UNNAMED, "reasons", affected.reasons, "say why (Annex I section K1)")
    if claim.HasField("victim"):
        persons.check_position(sheet, "victim", claim.victim, persons.VICTIM)


def check_conditions(sheet: Sheet, claim: certificates.RestitutionClaim | followups.RestitutionDecision) -> None:
    """The three conditions of Art. 29(2) are each answered."""
    for field, answer in (
        ("title_contested", claim.title_contested),
        ("needed_as_evidence", claim.needed_as_evidence),
        ("rights_prejudiced", claim.rights_prejudiced),
    ):
        sheet.need(
            Code.RESTITUTION_CONDITION_UNANSWERED,
            field,
            answer in (YES, NO),
            "each condition of a restitution is answered with yes or no (2018/1805 Art. 29(2))",
        )


def check_victim(sheet: Sheet, decision: certificates.VictimDecision) -> None:
    """Annex II section J: a decision, or proceedings that are pending."""
    sheet.need(
        Code.VICTIM_DECISION_OR_PENDING,
        "decision",
        bool(decision.decision) != decision.pending,
        "there is either a decision, or proceedings that are pending (Annex II section J)",
    )
    decided = sheet.when(decision.decision)
    decided.need(Code.VICTIM_NOT_NAMED, "victim", decision.HasField("victim"), "name the victim (Annex II section J2)")
    decided.need(
        Code.VICTIM_OWED_NOTHING,
        "amount",
        decision.HasField("amount") or decision.property,
        "a decision for a victim names a sum, or property (Annex II section J)",
    )
    sheet.when(decision.pending).need(
        Code.FINAL_WHILE_PENDING,
        "final_on",
        not decision.final_on,
        "proceedings are pending, so nothing is final (Annex II section J)",
    )
    if decision.HasField("victim"):
        persons.check_position(sheet, "victim", decision.victim, persons.VICTIM)


def check_trial(sheet: Sheet, trial: certificates.Trial) -> None:
    """Annex II section H: an absent person had a safeguard (Art. 19(1)(g))."""
    absent = trial.presence == certificates.TRIAL_PRESENCE_ABSENT
    sheet.when(absent).need(
        Code.TRIAL_SAFEGUARD_MISSING,
        "safeguard",
        trial.safeguard,
        "in absence, one of the safeguards is confirmed (Annex II section H4)",
    )
    sheet.when(not absent).need(
        Code.TRIAL_SAFEGUARD_UNASKED,
        "safeguard",
        not trial.safeguard,
        "safeguards are for an absent person (Annex II section H4)",
    )
    dated = trial.safeguard in (
        certificates.TRIAL_SAFEGUARD_SUMMONED_IN_PERSON,
        certificates.TRIAL_SAFEGUARD_SERVED_AFTERWARDS,
    )
    sheet.when(dated).need(
        Code.TRIAL_DATE_MISSING, "date", trial.date, "state the day of summons or service (Annex II section H4)"
    )
    explained = trial.safeguard and trial.safeguard != certificates.TRIAL_SAFEGUARD_SUMMONED_IN_PERSON
    sheet.when(explained).need(
        Code.TRIAL_UNEXPLAINED,
        "explanation",
        trial.explanation,
        "explain how the condition was met (Annex II section H5)",
    )


def check_trial_date(sheet: Sheet, trial: certificates.Trial, order_date: str) -> None:
    """A summons comes before the order that the trial ended with, its service after (Annex II section H4)."""
    served = trial.safeguard == certificates.TRIAL_SAFEGUARD_SERVED_AFTERWARDS
    sheet.need(
        Code.TRIAL_DATE_CONTRADICTS,
        "trial.date",
        days.in_order(order_date, trial.date) if served else days.in_order(trial.date, order_date),
        "one is summoned before the order, and served with it afterwards (Annex II section H4)",
    )


RULES: Final = (
    on(certificates.Alternatives, check_alternatives),
    on(certificates.ConfiscationPlan, check_plan),
    on(certificates.RestitutionClaim, check_restitution),
    on(certificates.VictimDecision, check_victim),
    on(certificates.Trial, check_trial),
)
