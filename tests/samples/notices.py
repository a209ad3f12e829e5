"""The small papers of procedure in the sample case: who writes what at which step."""

from typing import Any

from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import notices_pb2 as notices

from tests.samples import parts


def _notice(text: str, **more: Any) -> notices.Notice:
    return notices.Notice(authority=parts.court(), reference=parts.ORDER_NUMBER, text=text, **more)


def acknowledgement() -> notices.Notice:
    """Return that the request is there."""
    return _notice("Received complete on 2 March 2026 at 7.40; a judge will decide.")


def clarification_request() -> notices.Notice:
    """Return the consultation before a refusal in part."""
    return _notice(
        "Was the account also used for retainers of a lawyer? Messages to him would be privileged.",
        ground=ids.GROUND_PRIVILEGE_OR_IMMUNITY,
        clocks=[parts.clock(measures.CLOCK_RULE_CLARIFICATION, parts.at(3, 2, 8), parts.at(3, 7, 23))],
    )


def clarification() -> notices.Notice:
    """Return the court's answer to a question."""
    return _notice(
        "A certified copy from the provider of the identity check will do.",
        clocks=[parts.clock(measures.CLOCK_RULE_SET_BY_ORDER, parts.at(3, 4, 12), parts.at(3, 11, 12))],
    )


def objection() -> notices.ObjectionNotice:
    """Return what the exchange objects: it asks, and it is bound by another law."""
    return notices.ObjectionNotice(
        order_number=parts.ORDER_NUMBER,
        objections=[
            notices.Objection(
                reason=notices.OBJECTION_REASON_INSUFFICIENT_INFORMATION,
                explanation="The account has two sub-accounts with deposit addresses of their own.",
                clarification_asked="Whether both sub-accounts are meant.",
                preserved=True,
            ),
            notices.Objection(
                reason=notices.OBJECTION_REASON_THIRD_COUNTRY_CONFLICT,
                explanation="The messages lie with a subsidiary abroad, whose law protects them.",
                preserved=True,
                conflict=notices.ConflictOfLaws(
                    law="Federal Act on Data Protection, Art. 16",
                    interest="Confidentiality of messages",
                    application="The subsidiary answers for the messages, and only its own courts may order them.",
                    link="The service for messages is run there alone.",
                    consequences="A fine of up to 250 000 francs for whoever hands them over.",
                ),
            ),
        ],
    )


def objection_decision() -> notices.Notice:
    """Return the court's decision on it: the order is set aside for the messages."""
    return _notice(
        "The order is set aside for the messages abroad, and stands for the rest; both sub-accounts are meant.",
        outcome=ids.OUTCOME_PARTLY_GRANTED,
        clocks=[parts.clock(measures.CLOCK_RULE_SET_BY_ORDER, parts.at(3, 5, 12), parts.at(3, 9, 12))],
    )


def delay_notice() -> notices.Notice:
    """Return that a time limit cannot be kept."""
    return _notice(
        "The judge on duty is ill; her deputy decides on 5 March 2026.",
        clocks=[parts.clock(measures.CLOCK_RULE_SET_BY_ORDER, parts.at(3, 4, 8), parts.at(3, 5, 12))],
    )


def forwarding() -> notices.Notice:
    """Return that it came to the wrong authority."""
    return _notice(
        "The exchange has moved its seat to Frankfurt; the request was sent on at once.",
        competent_authority="Staatsanwaltschaft Frankfurt am Main",
    )


def confirmation() -> notices.Notice:
    """Return that what was provisional stands."""
    return _notice(
        "The provisional order of 28 February 2026 stands.",
        outcome=ids.OUTCOME_GRANTED,
        measures=parts.FREEZE,
        data_classes=[parts.SUBSCRIBER],
        clocks=[parts.clock(measures.CLOCK_RULE_SET_BY_ORDER, parts.at(3, 3, 17), parts.at(3, 5, 17))],
    )


def production_notice() -> notices.Notice:
    """Return that a request for what is kept has been issued."""
    return _notice("A request to produce the records was issued on 20 April 2026, file 26-1-204/9, and is on its way.")


def validation() -> notices.Notice:
    """Return that a court validates what was asked in an emergency."""
    return _notice(
        "The request of 1 March 2026, made in an emergency, is validated.",
        data_classes=[parts.SUBSCRIBER],
        clocks=[
            parts.clock(measures.CLOCK_RULE_EX_POST_VALIDATION, parts.at(3, 1, 12), parts.at(3, 3, 12), parts.at(3, 2))
        ],
    )


def closure() -> notices.Notice:
    """Return that the matter is at its end."""
    return _notice("All that was asked has been done. Thank you.")


def priority_decision() -> notices.PriorityDecision:
    """Return that another State's order goes first."""
    return notices.PriorityDecision(
        authority=parts.court(),
        order_number="26-1-204/7",
        outcome=ids.OUTCOME_REFUSED,
        ground=ids.GROUND_ALREADY_FROZEN,
        criteria=[
            notices.PRIORITY_CRITERION_VICTIMS,
            notices.PRIORITY_CRITERION_ALREADY_FROZEN,
            notices.PRIORITY_CRITERION_DATES,
        ],
        reasons="The assets are frozen under a Finnish order of 19 January 2026, for the same victims.",
    )


def priority_dispute() -> notices.Notice:
    """Return that the issuing authority sees it otherwise."""
    return _notice("Most victims live in Estonia; we ask that our order goes first.")


def final_report() -> notices.FinalReport:
    """Return where everything went."""
    return notices.FinalReport(
        authority=parts.court(),
        order_number="1-26-1882/31",
        recovered=parts.euros("893579.50"),
        dispositions=[
            notices.Disposition(
                manner=notices.DISPOSITION_MANNER_VICTIM,
                amount=parts.euros("90000.00"),
                settlement="SEPA transfer 2027-04-14/00117",
            ),
            notices.Disposition(
                manner=notices.DISPOSITION_MANNER_ISSUING_STATE,
                amount=parts.euros("400000.00"),
                settlement="SEPA transfer 2027-04-14/00118",
            ),
            notices.Disposition(
                manner=notices.DISPOSITION_MANNER_EXECUTING_STATE,
                amount=parts.euros("403579.50"),
                settlement="booked 2027-04-14",
            ),
        ],
        remarks="The share of the executing State holds the costs of custody and sale.",
    )


def enforcement_request() -> notices.Notice:
    """Return the request to enforce an order that an exchange did not follow."""
    return _notice(
        "The exchange has not answered the production order of 2 March 2026 within ten days, and gave no reason.",
        data_classes=[parts.SUBSCRIBER, parts.TRANSACTIONAL],
        clocks=[parts.clock(measures.CLOCK_RULE_PRODUCTION, parts.at(3, 2, 8), parts.at(3, 12, 23))],
    )


def grievance() -> notices.Notice:
    """Return a complaint to the ombudsperson."""
    return _notice("Our request was acknowledged on 2 March 2026, and nobody has decided since.")


def grievance_answer() -> notices.Notice:
    """Return the ombudsperson's answer."""
    return _notice("The complaint is justified: the time limit ran out on 4 March.")


def limitation_answer() -> notices.Notice:
    """Return the issuing State's answer to the request to limit the freeze."""
    return _notice(
        "Proceedings will have ended by then; we agree.",
        outcome=ids.OUTCOME_GRANTED,
        clocks=[
            parts.clock(measures.CLOCK_RULE_LIMITATION_ANSWER, parts.at(6, 1), parts.at(7, 13), parts.at(6, 20, 10))
        ],
    )
