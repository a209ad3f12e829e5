"""Decisions of courts, and their orders to exchanges.

In: a `ReviewDecision`, a `DomesticOrder`. Source: Regulation (EU) 2018/1805 Art. 3, 8, 10, 19 and 21; UNCAC Art.
46(26); house rules, where they are marked so.
"""

from typing import Final

from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

from gateway.formats import grounds
from gateway.formats.checks import clocks, parties, scope
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

_FREEZING: Final = frozenset({ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION, ids.MEASURE_HOLD_INCOMING})

_GRANTING_NOTHING: Final = frozenset({ids.OUTCOME_REFUSED, ids.OUTCOME_POSTPONED})

_TESTED: Final = frozenset({ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED, ids.DUAL_CRIMINALITY_ABSENT})


def check_decision(sheet: Sheet, decision: orders.ReviewDecision) -> None:
    """A decision as a whole."""
    _check_dual_criminality(sheet, decision)
    _check_ground(sheet, decision)
    # Whether a grant grants something, its request tells: one for testimony asks for no measure and no class of data.
    sheet.when(decision.outcome in _GRANTING_NOTHING).need(
        Code.REFUSED_YET_GRANTS,
        "measures",
        not (decision.measures or decision.data_classes),
        "what is refused or postponed grants nothing (house rule)",
    )
    _check_considered(sheet, decision)
    clocks.check_list(sheet, decision.clocks, clocks.BETWEEN_STATES)


def _check_dual_criminality(sheet: Sheet, decision: orders.ReviewDecision) -> None:
    """A listed offence with its three years, or the conduct that was tested (Art. 3(1) and (2))."""
    listed = decision.dual_criminality == ids.DUAL_CRIMINALITY_LISTED_OFFENCE
    sheet.when(listed).need(
        Code.LISTED_OFFENCE_NOT_NAMED,
        "listed_offence",
        decision.listed_offence,
        "which category? (2018/1805 Art. 3(1))",
    )
    sheet.when(listed).need(
        Code.LISTED_OFFENCE_UNDER_36_MONTHS,
        "maximum_sentence_months",
        decision.maximum_sentence_months >= parties.THRESHOLD_MONTHS,
        "a listed offence carries a maximum of at least three years (2018/1805 Art. 3(1))",
    )
    sheet.when(not listed).need(
        Code.LISTED_OFFENCE_NOT_RELIED_ON,
        "listed_offence",
        not decision.listed_offence,
        "a category is named, and dual criminality was answered otherwise (2018/1805 Art. 3(1))",
    )
    sheet.when(decision.dual_criminality in _TESTED).need(
        Code.CONDUCT_NOT_STATED, "conduct", decision.conduct, "which conduct was tested? (2018/1805 Art. 3(2))"
    )
    sheet.when(decision.dual_criminality == ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED).need(
        Code.PROVISION_NOT_STATED,
        "domestic_provision",
        decision.domestic_provision,
        "under which provision is it an offence here? (2018/1805 Art. 3(2))",
    )


def _check_ground(sheet: Sheet, decision: orders.ReviewDecision) -> None:
    """A refusal, whole or in part, has a ground, after consultation (2018/1805 Art. 8(2), 19(2); UNCAC Art. 46(26))."""
    outcome, ground = decision.outcome, decision.ground
    sheet.when(outcome == ids.OUTCOME_REFUSED).need(
        Code.REFUSED_WITHOUT_GROUND, "ground", ground, "on which ground? (2018/1805 Art. 8(1), 19(1))"
    )
    sheet.when(outcome == ids.OUTCOME_POSTPONED).need(
        Code.POSTPONED_WITHOUT_GROUND, "ground", ground, "on which ground? (2018/1805 Art. 10(1), 21(1))"
    )
    sheet.when(outcome == ids.OUTCOME_GRANTED).need(
        Code.GRANTED_WITH_GROUND, "ground", not ground, "a grant in full has no ground against it (house rule)"
    )
    sheet.when(ground in grounds.CONSULTED and outcome != ids.OUTCOME_GRANTED).need(
        Code.REFUSED_WITHOUT_CONSULTATION,
        "consultation",
        decision.consultation,
        "before a refusal, the issuing authority is consulted (2018/1805 Art. 8(2), 19(2); UNCAC Art. 46(26))",
    )
    if not ground or outcome == ids.OUTCOME_GRANTED:
        return
    fits_outcome = grounds.fits(ground, outcome, report=False, asked=None)
    sheet.need(
        Code.GROUND_OF_OTHER_OUTCOME,
        "ground",
        fits_outcome,
        "this ground is not one for such an outcome (2018/1805 Art. 8(1) and 19(1) against 10(1) and 21(1))",
    )
    sheet.when(fits_outcome).need(
        Code.GROUND_OF_OTHER_FAMILY,
        "ground",
        ground != ids.GROUND_RETURNED_FOR_CORRECTION
        and grounds.fits(ground, outcome, report=False, asked=_asked(decision)),
        "this ground is not one for such a decision (2018/1805 Art. 8(1), 10(1) against 19(1), 21(1))",
    )


def _asked(decision: orders.ReviewDecision) -> ids.Kind.ValueType | None:
    """Return of which family the request was. Only the measures tell; where none is granted, they do not."""
    if ids.MEASURE_CONFISCATE in decision.measures:
        return ids.KIND_CONFISCATION_REQUEST
    return ids.KIND_FREEZE_REQUEST if _FREEZING & set(decision.measures) else None


def _check_considered(sheet: Sheet, decision: orders.ReviewDecision) -> None:
    """The grounds that were looked at: each once, with reasons if it applies, and that of the decision among them."""
    considered = {each.ground: each.applies for each in decision.considered}
    sheet.when(decision.ground).need(
        Code.GROUND_NOT_CONSIDERED,
        "considered",
        considered.get(decision.ground, False),
        "the ground of the decision is among those considered, as one that applies (house rule)",
    )
    seen = set[int]()
    for each, ground in sheet.each("considered", decision.considered):
        each.need(
            Code.GROUND_CONSIDERED_TWICE,
            "ground",
            ground.ground not in seen,
            "this ground is considered twice (house rule)",
        )
        each.when(ground.applies).need(
            Code.GROUND_WITHOUT_REASONS,
            "reasons",
            ground.reasons,
            "a ground that applies has reasons (2018/1805 Art. 8, 19)",
        )
        seen.add(ground.ground)


def check_order(sheet: Sheet, order: orders.DomesticOrder) -> None:
    """An order to an exchange as a whole."""
    _check_times(sheet, order)
    scope.check_windows(sheet, order.windows, order.data_classes)
    if order.HasField("scope"):
        scope.check_against_measures(sheet, order.scope, order.measures)
    clocks.check_list(sheet, order.clocks, clocks.DOMESTIC)


def _check_times(sheet: Sheet, order: orders.DomesticOrder) -> None:
    """It takes effect, is reviewed and ends, in this order; without an end, nothing lapses."""
    effective, expires, review = order.effective_at_us, order.expires_at_us, order.review_at_us
    ends = order.HasField("expires_at_us")
    begins = order.HasField("effective_at_us")
    reviewed = order.HasField("review_at_us")
    sheet.when(begins and ends).need(
        Code.ORDER_ENDS_BEFORE_EFFECT,
        "expires_at_us",
        effective < expires,
        "it ends before it takes effect (house rule)",
    )
    sheet.when(reviewed and ends).need(
        Code.REVIEWED_AFTER_END,
        "review_at_us",
        review <= expires,
        "the court looks at it again before it ends (house rule)",
    )
    sheet.when(reviewed and begins).need(
        Code.REVIEWED_BEFORE_EFFECT,
        "review_at_us",
        effective < review,
        "it is reviewed before it takes effect (house rule)",
    )
    sheet.when(order.lapses_by_itself).need(
        Code.LAPSES_WITHOUT_END, "expires_at_us", ends, "what lapses by itself says when (house rule)"
    )
    sheet.when(begins and order.confidentiality.HasField("until_us")).need(
        Code.SECRECY_ENDS_BEFORE_EFFECT,
        "confidentiality.until_us",
        effective < order.confidentiality.until_us,
        "secrecy ends before the order takes effect (house rule)",
    )


RULES: Final = (
    on(orders.ReviewDecision, check_decision),
    on(orders.DomesticOrder, check_order),
)
