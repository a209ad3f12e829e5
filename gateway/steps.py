"""The table: every lawful step, and the article that it comes from.

A row says: this kind, from this role to that one, at home or abroad, citing one of these kinds, is lawful while the
matter that it is about is in one of these states, and puts it into that one. `authorise` reads who may send what to
whom, `procedure` the rest; `rogatory procedure` and docs/procedure.md are printed from here. What the columns mean is
in rules.py.

Nothing from abroad reaches an exchange, and an exchange begins nothing: orders of its own country's court reach it, and
those provisional ones that its country's law lets an FIU or contact point give; it answers.

Sources: Regulation (EU) 2018/1805, Regulation (EU) 2023/1543, Directive (EU) 2024/1260, Budapest Convention, UNCAC, at
each row; "house" marks what no text says and we demand.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway.deadlines import LIMITS
from gateway.formats import grounds
from gateway.identity import Role
from gateway.rules import (
    ALLOWED,
    DONE,
    ENDING,
    FINAL,
    NO_EFFECT,
    OPEN,
    STANDING,
    UNANSWERED,
    UNDECIDED,
    CaseRule,
    ClockRule,
    DataClass,
    Effect,
    Kind,
    Link,
    Measure,
    Move,
    Rule,
    RunsOut,
    Start,
    State,
    Step,
    Way,
    Where,
    word,
)

MAX_TEST_ORDER_BYTES: Final = 1 << 10
"""Sealed; three times what a test order takes. Registrars and exchanges have no other business with each other."""

DECIDED_BELOW: Final[Way] = (frozenset({ids.KIND_REVIEW_REFERRAL}), frozenset({ids.KIND_REVIEW_DECISION}))
"""Down from a matter to what a court has decided on it."""
CLAIMED_BELOW: Final[Way] = (frozenset({ids.KIND_CLAIM}),)
"""Down from what can be claimed to who claims it."""
CONTESTED_BELOW: Final[Way] = (*DECIDED_BELOW, *CLAIMED_BELOW)
"""Down from a matter to who claims what a court has decided on it."""
ORDERED_BELOW: Final[Way] = (frozenset({ids.KIND_ACKNOWLEDGEMENT}), frozenset({ids.KIND_PROVISIONAL_ORDER}))
"""Down from what is asked at once to what is ordered on it provisionally."""
TOLD_BELOW: Final[Way] = (frozenset({ids.KIND_REVIEW_DECISION}),)
"""Down from a request to what its issuer was told of decisions on it."""

QUESTIONS_BELOW: Final[Way] = (frozenset({ids.KIND_CLARIFICATION_REQUEST, ids.KIND_REVIEW_DECISION}),)
"""Down from a request to what its issuer was asked, and to decisions, after which nobody waits for an answer."""
ANSWERS_BELOW: Final[Way] = (frozenset({ids.KIND_CLARIFICATION_REQUEST}), frozenset({ids.KIND_CLARIFICATION}))
"""Down from a request to what its issuer answered."""
RANKED_BELOW: Final[Way] = (frozenset({ids.KIND_PRIORITY_DECISION}),)
"""Down from a referral to how its court ranks it among others."""
UPHELD_BELOW: Final[tuple[Way, ...]] = (
    (
        frozenset({ids.KIND_DOMESTIC_ORDER, ids.KIND_TAKEDOWN_NOTICE}),
        frozenset({ids.KIND_OBJECTION}),
        frozenset({ids.KIND_OBJECTION_DECISION}),
    ),
    (*CLAIMED_BELOW, frozenset({ids.KIND_CLAIM_DECISION})),
)
"""Down from a decision to what, if it grants an objection or a claim, keeps it from being executed."""

# Short names, for the table only.
_I, _M, _C = Role.INVESTIGATOR, Role.CENTRAL_AUTHORITY, Role.COURT
_F, _P, _X = Role.FIU, Role.CONTACT_POINT, Role.EXCHANGE
_HOME, _ABROAD = Where.HOME, Where.ABROAD

_GRANTED, _PARTLY = frozenset({ids.OUTCOME_GRANTED}), frozenset({ids.OUTCOME_PARTLY_GRANTED})
_REFUSED, _POSTPONED = frozenset({ids.OUTCOME_REFUSED}), frozenset({ids.OUTCOME_POSTPONED})
_NONE = frozenset({ids.OUTCOME_UNSPECIFIED})
_RESULTS = _GRANTED | _PARTLY | _REFUSED
_DECISIONS = _RESULTS | _POSTPONED

FREEZING: Final[frozenset[Measure]] = frozenset(
    {ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION, ids.MEASURE_HOLD_INCOMING}
)
TAKING: Final[frozenset[Measure]] = frozenset({ids.MEASURE_CONFISCATE, ids.MEASURE_TRANSFER})
HOLDING: Final = FREEZING | TAKING
"""What asks that assets be held or taken."""
_TAKE_DOWN: Final[frozenset[Measure]] = frozenset({ids.MEASURE_TAKE_DOWN})
_ALL_MEASURES = HOLDING | _TAKE_DOWN
_CLASSES: Final = frozenset(ids.DataClass.values()) - {ids.DATA_CLASS_UNSPECIFIED}
_IDENTITY: Final[frozenset[DataClass]] = frozenset({ids.DATA_CLASS_SUBSCRIBER, ids.DATA_CLASS_IDENTIFICATION})

REQUESTS: Final[frozenset[Kind]] = frozenset(
    {
        ids.KIND_FREEZE_REQUEST,
        ids.KIND_CONFISCATION_REQUEST,
        ids.KIND_EVIDENCE_REQUEST,
        ids.KIND_TAKEDOWN_NOTICE,
        ids.KIND_RESTITUTION_DECISION,
        ids.KIND_ENFORCEMENT_REQUEST,
    }
)
"""What one State asks another in due form, from an investigator, countersigned, to a central authority."""
PROVISIONAL: Final[frozenset[Kind]] = frozenset({ids.KIND_PROVISIONAL_FREEZE, ids.KIND_PRESERVATION_REQUEST})
"""What is asked before that, between FIUs or contact points; it lapses unless confirmed."""
ASKED_ABROAD: Final[frozenset[Kind]] = REQUESTS | PROVISIONAL
"""Where what is about one matter ends upwards: what a request cites is another matter."""
CARRYING_ON: Final[frozenset[Kind]] = frozenset({ids.KIND_RESTITUTION_DECISION, ids.KIND_ENFORCEMENT_REQUEST})
"""Requests about what another one asked, of no use without it: what is restituted is frozen (2018/1805 Art. 29(2)), and
what was withdrawn is not enforced (2023/1543 Art. 4(5), 12(2), 16(1))."""
FORWARDABLE: Final[frozenset[Kind]] = REQUESTS - CARRYING_ON
"""To whoever is competent, if it came to somebody else. Who executes what is carried on is competent for that, too."""
FREEZES: Final[frozenset[Kind]] = frozenset({ids.KIND_FREEZE_REQUEST, ids.KIND_CONFISCATION_REQUEST})
ORDERS: Final[frozenset[Kind]] = frozenset(
    {ids.KIND_DOMESTIC_ORDER, ids.KIND_PROVISIONAL_ORDER, ids.KIND_TAKEDOWN_NOTICE, ids.KIND_TRANSFER_ORDER}
)
"""What reaches an exchange and asks for something."""
LEADING_TO_ORDERS: Final[frozenset[Kind]] = ORDERS | {
    ids.KIND_REVIEW_REFERRAL,
    ids.KIND_REVIEW_DECISION,
    ids.KIND_ACKNOWLEDGEMENT,
}
"""What lies on a way down from a request to an order."""
CLAIMABLE: Final[frozenset[Kind]] = FREEZES | {ids.KIND_REVIEW_DECISION}
"""What a claim cites: the decision, or abroad the request."""
INTELLIGENCE: Final[frozenset[Kind]] = frozenset({ids.KIND_SPONTANEOUS_INFORMATION, ids.KIND_WATCHLIST_NOTICE})
"""No row cites these: nothing can rest on them (UNCAC Art. 46(4)-(5); Egmont principles)."""

LAPSING: Final[frozenset[ClockRule]] = frozenset(
    {clocks.CLOCK_RULE_PROVISIONAL, clocks.CLOCK_RULE_PRESERVATION, clocks.CLOCK_RULE_PRESERVATION_EXTENSION}
)
_KEEPING: Final[frozenset[ClockRule]] = LAPSING - {clocks.CLOCK_RULE_PROVISIONAL}
INHERITED: Final[frozenset[ClockRule]] = LAPSING | {clocks.CLOCK_RULE_SUBSEQUENT_REQUEST}
"""What an order has from the request that it serves: when it lapses, or when to ask whether it is still needed."""
WATCHES: Final[Mapping[State, ClockRule]] = MappingProxyType(
    {
        **dict.fromkeys((State.WITHDRAWN, State.RELEASING, State.UNBOUND), clocks.CLOCK_RULE_RELEASE),
        State.TO_DELETE: clocks.CLOCK_RULE_DELETION,
    }
)
"""Which limit runs while a matter stands so, however it came there: it is to be ended, and nobody else would notice."""
WATCHING: Final[frozenset[ClockRule]] = frozenset(WATCHES.values())
_DECIDING: Final[frozenset[ClockRule]] = frozenset(
    {
        clocks.CLOCK_RULE_URGENT_DECISION,
        clocks.CLOCK_RULE_ORDINARY_DECISION,
        clocks.CLOCK_RULE_CONFISCATION_DECISION,
        clocks.CLOCK_RULE_ENFORCEMENT_RECOGNITION,
    }
)
_PRODUCING: Final[frozenset[ClockRule]] = frozenset(
    {clocks.CLOCK_RULE_PRODUCTION, clocks.CLOCK_RULE_EMERGENCY_PRODUCTION}
)
_ANSWERING: Final[frozenset[ClockRule]] = frozenset(
    {clocks.CLOCK_RULE_CLARIFICATION, clocks.CLOCK_RULE_ENFORCEMENT_INFORMATION}
)
_OWED: Final[frozenset[ClockRule]] = (
    _DECIDING | _PRODUCING | _ANSWERING | {clocks.CLOCK_RULE_URGENT_EXECUTION, clocks.CLOCK_RULE_LIMITATION_ANSWER}
)
"""What nobody owes any more once it is withdrawn. One may still object, and what was never validated is deleted."""
_EXECUTING: Final[frozenset[ClockRule]] = frozenset({clocks.CLOCK_RULE_URGENT_EXECUTION})
_OWED_ON_A_FREEZE: Final[frozenset[ClockRule]] = (
    (_DECIDING - {clocks.CLOCK_RULE_ENFORCEMENT_RECOGNITION}) | _EXECUTING | {clocks.CLOCK_RULE_LIMITATION_ANSWER}
)
"""What nobody owes any more once a claim on it was upheld, or its issuer was silent for six weeks."""
_URGENT, _EMERGENCY = frozenset({ids.URGENCY_URGENT}), frozenset({ids.URGENCY_EMERGENCY})
_NOT_URGENT, _NOT_EMERGENCY = frozenset({ids.URGENCY_ORDINARY}), frozenset({ids.URGENCY_ORDINARY, ids.URGENCY_URGENT})

_BY_FREEZE = (
    Start(clocks.CLOCK_RULE_URGENT_DECISION, urgency=_URGENT | _EMERGENCY),
    Start(clocks.CLOCK_RULE_ORDINARY_DECISION, urgency=_NOT_URGENT),
)
_DECIDED_IN_48_HOURS: Final[frozenset[Kind]] = frozenset({ids.KIND_FREEZE_REQUEST, ids.KIND_TAKEDOWN_NOTICE})
_UNTIL = Start(clocks.CLOCK_RULE_SET_BY_ORDER)  # only if the header says until when
_STILL_NEEDED = Start(
    clocks.CLOCK_RULE_SUBSEQUENT_REQUEST, of=frozenset({ids.KIND_PRESERVATION_REQUEST}), first=True
)  # what a judge has data kept for is a later request, too
# Answers of the executing side that may have crossed with a withdrawal, a closure or the end of a limit.
_ANSWERS_CROSS = frozenset({State.WITHDRAWN, State.TO_DELETE, State.CLOSED, State.UNDELIVERED, State.LAPSED})
# Messages of the issuing side that may have crossed with an end set by the executing one.
_ISSUER_CROSSES = FINAL | {State.TO_DELETE, State.UNBOUND, State.DISPOSED}


def _asked_anew(kind: Kind) -> tuple[tuple[frozenset[Kind], tuple[Move, ...]], ...]:
    """Return what a request cites, and the moves of that: nothing, or what came to an authority that was not competent.

    It was forwarded, and is made anew to the authority that is (2018/1805 Art. 4(9), 14(8)).
    """
    return (frozenset[Kind](), ()), (frozenset({kind}), (Move(frozenset({State.FORWARDED})),))


def _executed(before: frozenset[State]) -> tuple[Move, ...]:
    """Return what follows from a report; it may be mended, and what was not there may be found (Art. 13(3))."""
    again = before | DONE | {State.UNAVAILABLE}
    return (
        Move(again, State.EXECUTED, _GRANTED),
        Move(again, State.PARTLY_EXECUTED, _PARTLY),
        Move(
            again | {State.CONFIRMED, State.LIMITING, State.SUSPENDED, State.UNBOUND},
            State.IMPOSSIBLE,
            _REFUSED,
            grounds.FOR_GOOD,
        ),
        Move(again | {State.SUSPENDED}, State.UNAVAILABLE, _REFUSED),
        Move(frozenset({State.CONFIRMED, State.LIMITING, State.SUSPENDED, State.UNBOUND})),
    )


_DECIDED = (
    Move(UNDECIDED, State.GRANTED, _GRANTED),
    Move(UNDECIDED, State.PARTLY_GRANTED, _PARTLY),
    Move(UNDECIDED, State.REFUSED, _REFUSED),
    Move(UNDECIDED, State.POSTPONED, _POSTPONED),
)
_RELEASED = (
    Move(frozenset({State.WITHDRAWN}), State.RELEASED, _GRANTED),
    Move(ALLOWED | STANDING | {State.UNAVAILABLE}, State.RELEASED, _GRANTED, holds=True),
    Move(frozenset({State.UNBOUND}), State.RELEASED, _GRANTED),
    Move(STANDING, None, _PARTLY, holds=True),
)
_REVIEWABLE = ALLOWED | STANDING | {State.UNAVAILABLE}
_CLAIMED = (
    Move(DONE, State.SUSPENDED, _POSTPONED),
    # What is not done yet stays where it is, and nothing is ordered on it (`undisputed`); nor ends a question so.
    Move(_REVIEWABLE, None, _NONE | _POSTPONED),
)
_CLAIM_DECIDED = (
    Move(_REVIEWABLE | {State.POSTPONED}, State.UNBOUND, _GRANTED),
    Move(frozenset({State.SUSPENDED}), State.EXECUTED, _PARTLY | _REFUSED),
    # Also on what was withdrawn or has ended meanwhile: whoever is affected is owed a decision.
    Move(_REVIEWABLE | {State.POSTPONED, State.WITHDRAWN}),
    Move(frozenset({State.RELEASED, State.CLOSED, State.IMPOSSIBLE})),
)
_STAYS = Move(OPEN)
_FOUND = ALLOWED | DONE | {State.UNAVAILABLE}

_BEFORE_IT_LEAVES: Final = (
    *(
        Step(
            rule=Rule(ids.KIND_DRAFT, author, _M, _HOME),
            law="2018/1805 Art. 2(8)(a)(ii): validation before transmission",
            opens=State.ASKED,
            measures=_ALL_MEASURES,
            data_classes=_CLASSES,
            amounts=True,
            may_end=True,
        )
        for author in (_I, _C, _F, _P)
    ),
    *(
        Step(
            rule=Rule(ids.KIND_COUNTERSIGNATURE, _M, author, _HOME),
            law="2018/1805 Art. 2(8)(a)(ii)",
            cites=frozenset({ids.KIND_DRAFT}),
            case=CaseRule.SAME,
            moves=(
                Move(frozenset({State.ASKED}), State.COUNTERSIGNED, _GRANTED),
                Move(frozenset({State.ASKED}), State.RETURNED, _REFUSED),
            ),
            outcomes=_GRANTED | _REFUSED,
            measures=_ALL_MEASURES,
            data_classes=_CLASSES,
            marks=((1, pb.MILESTONE_DECIDED),),
        )
        for author in (_I, _C, _F, _P)
    ),
    *(
        Step(
            rule=Rule(ids.KIND_WITHDRAWAL, author, _M, _HOME),
            law="house: an author takes its draft back",
            cites=frozenset({ids.KIND_DRAFT}),
            link=Link.REPORTS_ON,
            case=CaseRule.SAME,
            moves=(Move(frozenset({State.ASKED}), State.CLOSED),),
        )
        for author in (_I, _C, _F, _P)
    ),
)

_BETWEEN_STATES: Final = (
    # What is asked in due form.
    *(
        Step(
            rule=Rule(ids.KIND_FREEZE_REQUEST, _I, _M, _ABROAD),
            law="2018/1805 Art. 4(1), 2(8)(a)(ii)",
            cites=cites,
            link=Link.FOLLOWS_UP,
            moves=moves,
            opens=State.ASKED,
            countersigned_by=_M,
            measures=FREEZING | {ids.MEASURE_TRANSFER},
            data_classes=_CLASSES,
            needs_measure=True,
            within=False,
            targets=True,
            may_end=True,
            clocks=Effect(starts=(*_BY_FREEZE, _UNTIL)),
        )
        for cites, moves in _asked_anew(ids.KIND_FREEZE_REQUEST)
    ),
    *(
        Step(
            rule=Rule(ids.KIND_CONFISCATION_REQUEST, _I, _M, _ABROAD),
            law="2018/1805 Art. 14(1), 15, 16",
            cites=cites,
            link=link,
            cites_elsewhere=ids.KIND_CONFISCATION_REQUEST in cites,
            moves=moves,
            opens=State.ASKED,
            countersigned_by=_M,
            measures=HOLDING,
            data_classes=_CLASSES,
            needs_measure=True,
            within=False,
            targets=True,
            amounts=True,
            clocks=Effect(starts=(Start(clocks.CLOCK_RULE_CONFISCATION_DECISION),)),
        )
        for cites, link, moves in (
            (frozenset[Kind](), Link.REPORTS_ON, ()),
            # What was frozen at the same authority is to be confiscated.
            (frozenset[Kind]({ids.KIND_FREEZE_REQUEST}), Link.REPORTS_ON, (Move(ALLOWED | STANDING),)),
            # Another State executes the same order (Art. 15(2)-(3)): the first request to confiscate is cited.
            (frozenset[Kind]({ids.KIND_CONFISCATION_REQUEST}), Link.FOLLOWS_UP, (Move(frozenset(State)),)),
        )
    ),
    *(
        Step(
            rule=Rule(ids.KIND_EVIDENCE_REQUEST, _I, _M, _ABROAD),
            law=(
                "UNCAC Art. 46(13), 46(15); 2023/1543 Art. 4(1)-(5): in an emergency, who somebody is validated"
                " afterwards"
            ),
            cites=cites,
            link=Link.FOLLOWS_UP,
            moves=moves,
            opens=State.ASKED,
            countersigned_by=_M,
            countersigned_unless=ids.URGENCY_EMERGENCY,
            data_classes=_CLASSES,
            emergency_classes=_IDENTITY,
            asks=True,
            within=False,
            clocks=Effect(
                starts=(
                    Start(clocks.CLOCK_RULE_PRODUCTION, urgency=_NOT_EMERGENCY),
                    Start(clocks.CLOCK_RULE_EMERGENCY_PRODUCTION, urgency=_EMERGENCY),
                    Start(clocks.CLOCK_RULE_EX_POST_VALIDATION, urgency=_EMERGENCY, unsigned=True),
                    Start(clocks.CLOCK_RULE_ENFORCING_OBJECTION, urgency=_EMERGENCY),
                )
            ),
        )
        for cites, moves in _asked_anew(ids.KIND_EVIDENCE_REQUEST)
    ),
    *(
        Step(
            rule=Rule(ids.KIND_TAKEDOWN_NOTICE, _I, _M, _ABROAD),
            law="2022/2065 Art. 9; 2021/784 Art. 3-4",
            cites=cites,
            link=Link.FOLLOWS_UP,
            moves=moves,
            opens=State.ASKED,
            countersigned_by=_M,
            measures=_TAKE_DOWN,
            asks=True,
            within=False,
            clocks=Effect(starts=_BY_FREEZE),
        )
        for cites, moves in _asked_anew(ids.KIND_TAKEDOWN_NOTICE)
    ),
    Step(
        rule=Rule(ids.KIND_RESTITUTION_DECISION, _I, _M, _ABROAD),
        law="2018/1805 Art. 29(1), 30(1)",
        cites=FREEZES,
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(Move(STANDING),),
        opens=State.ASKED,
        countersigned_by=_M,
        within=False,
        measures=frozenset({ids.MEASURE_TRANSFER}),
        needs_measure=True,
        amounts=True,
        clocks=Effect(starts=(Start(clocks.CLOCK_RULE_ORDINARY_DECISION),)),
    ),
    Step(
        rule=Rule(ids.KIND_ENFORCEMENT_REQUEST, _I, _M, _ABROAD),
        law="2023/1543 Art. 16(1)",
        cites=frozenset({ids.KIND_EVIDENCE_REQUEST}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(Move(ALLOWED | DONE | {State.UNAVAILABLE}),),
        opens=State.ASKED,
        countersigned_by=_M,
        data_classes=_CLASSES,
        asks=True,
        clocks=Effect(starts=(Start(clocks.CLOCK_RULE_ENFORCEMENT_RECOGNITION),)),
    ),
    # What is answered.
    Step(
        rule=Rule(ids.KIND_ACKNOWLEDGEMENT, _M, _I, _ABROAD),
        law="Directive 2014/41 Art. 16(1)",
        cites=REQUESTS,
        case=CaseRule.SAME,
        moves=(Move(frozenset({State.ASKED}), State.ACKNOWLEDGED),),
        crosses=_ANSWERS_CROSS,
    ),
    *(
        Step(
            rule=Rule(ids.KIND_CLARIFICATION_REQUEST, _M, _I, _ABROAD),
            law=law,
            cites=cites,
            case=CaseRule.SAME,
            moves=(
                Move(UNANSWERED, State.CLARIFYING),
                Move(ALLOWED | STANDING | {State.UNAVAILABLE, State.POSTPONED}),
            ),
            crosses=_ANSWERS_CROSS,
            grounds=grounds.CONSULTED,
            consults=True,
            clocks=effect,
        )
        for cites, law, effect in (
            (
                REQUESTS - {ids.KIND_EVIDENCE_REQUEST, ids.KIND_ENFORCEMENT_REQUEST},
                "2018/1805 Art. 8(2), 19(2): consultation before any refusal",
                NO_EFFECT,
            ),
            (
                frozenset[Kind]({ids.KIND_EVIDENCE_REQUEST}),
                "2023/1543 Art. 10(6): the duty to produce rests until it is answered",
                Effect(starts=(Start(clocks.CLOCK_RULE_CLARIFICATION),), pauses=_PRODUCING),
            ),
            (
                frozenset[Kind]({ids.KIND_ENFORCEMENT_REQUEST}),
                "2023/1543 Art. 16(7)",
                Effect(starts=(Start(clocks.CLOCK_RULE_ENFORCEMENT_INFORMATION),)),
            ),
        )
    ),
    Step(
        rule=Rule(ids.KIND_CLARIFICATION, _I, _M, _ABROAD),
        law="2018/1805 Art. 8(2); 2023/1543 Art. 10(6)",
        cites=frozenset({ids.KIND_CLARIFICATION_REQUEST}),
        case=CaseRule.SAME,
        moves=(
            Move(frozenset({State.CLARIFYING}), State.ACKNOWLEDGED),
            # Not once it is acknowledged again: an old question answered twice would cross with a new one.
            Move(ALLOWED | STANDING | {State.POSTPONED, State.UNAVAILABLE}),
        ),
        crosses=_ISSUER_CROSSES,
        answers_all=True,
        clocks=Effect(stops=_ANSWERING, resumes=_PRODUCING),
    ),
    Step(
        rule=Rule(ids.KIND_DELAY_NOTICE, _M, _I, _ABROAD),
        law="2018/1805 Art. 9(5)-(6), 20(4)-(5): the duty remains",
        cites=REQUESTS,
        case=CaseRule.SAME,
        moves=(Move(UNDECIDED | ALLOWED),),
        crosses=_ANSWERS_CROSS,
    ),
    Step(
        rule=Rule(ids.KIND_FORWARDING, _M, _I, _ABROAD),
        law="2018/1805 Art. 4(9), 14(8): the issuer is told",
        cites=FORWARDABLE,
        case=CaseRule.SAME,
        moves=(Move(UNANSWERED, State.FORWARDED),),
        crosses=_ANSWERS_CROSS | {State.CLARIFYING},
        all_ended_on=_NONE,  # a court may have ordered something before it was told abroad
    ),
    Step(
        rule=Rule(ids.KIND_REVIEW_DECISION, _M, _I, _ABROAD),
        law="2018/1805 Art. 7(1), 8, 10, 18-21; UNCAC Art. 46(21)-(25)",
        cites=REQUESTS,
        case=CaseRule.SAME,
        # What a court grants on another referral, beside what was granted before, is told, too.
        moves=(*_DECIDED, Move(_FOUND, None, _GRANTED | _PARTLY)),
        crosses=_ANSWERS_CROSS,
        outcomes=_DECISIONS,
        reviews=True,
        measures=_ALL_MEASURES,
        data_classes=_CLASSES,
        grants=True,
        # Whoever decides needs no answer any more.
        clocks=Effect(stops=_ANSWERING, stops_on=_RESULTS, resumes=_PRODUCING),
        rests_on=DECIDED_BELOW,
        all_ended_on=_REFUSED,  # no order given on another referral may go on
        same_outcome=True,
    ),
    Step(
        rule=Rule(ids.KIND_EXECUTION_REPORT, _M, _I, _ABROAD),
        law="2018/1805 Art. 7(2), 13, 18(4), 18(6), 22",
        cites=REQUESTS,
        case=CaseRule.SAME,
        moves=_executed(ALLOWED),
        crosses=_ANSWERS_CROSS,
        outcomes=_RESULTS,
        measures=_ALL_MEASURES,
        data_classes=_CLASSES,
        amounts=True,
        clocks=Effect(stops=_PRODUCING | {clocks.CLOCK_RULE_URGENT_EXECUTION}),
        rests_on=(*DECIDED_BELOW, frozenset({ids.KIND_EXECUTION_REPORT})),
        as_told=True,
        all_ended_for=grounds.FOR_GOOD,  # what it ends leaves no order of another exchange behind
        resumes=True,
        marks=((1, pb.MILESTONE_EXECUTED),),
    ),
    Step(
        rule=Rule(ids.KIND_DISCLOSURE, _M, _I, _ABROAD),
        law="UNCAC Art. 46(3)(f); 2023/1543 Art. 10(2)-(4), 16(9)",
        cites=frozenset({ids.KIND_EVIDENCE_REQUEST, ids.KIND_ENFORCEMENT_REQUEST, ids.KIND_FREEZE_REQUEST}),
        case=CaseRule.SAME,
        moves=(Move(_FOUND),),
        crosses=_ANSWERS_CROSS,
        undisputed=True,
        never_below=PROVISIONAL,  # what is only to be kept is handed over to nobody (Budapest Convention Art. 16)
        data_classes=_CLASSES,
        asks=True,
        clocks=Effect(stops=_PRODUCING),
        rests_on=(*DECIDED_BELOW, frozenset({ids.KIND_DISCLOSURE})),
        as_told=True,
    ),
    # What comes later.
    Step(
        rule=Rule(ids.KIND_WITHDRAWAL, _I, _M, _ABROAD),
        law="2018/1805 Art. 27(1)-(2)",
        cites=REQUESTS,
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(
            Move(OPEN - {State.WITHDRAWN, State.TO_DELETE}, State.WITHDRAWN, _NONE),
            Move(OPEN - {State.WITHDRAWN, State.TO_DELETE}, None, _PARTLY),
        ),
        crosses=FINAL | {State.TO_DELETE},
        outcomes=_NONE | _PARTLY,
        clocks=Effect(stops=_OWED, stops_on=_NONE),
    ),
    Step(
        rule=Rule(ids.KIND_RELEASE, _M, _I, _ABROAD),
        law="2018/1805 Art. 27(3), 12(2): measures are ended, and that is confirmed",
        cites=REQUESTS,
        case=CaseRule.SAME,
        moves=_RELEASED,
        crosses=_ANSWERS_CROSS,
        # What was never validated, and is withdrawn, is deleted too (2023/1543 Art. 4(5)).
        waits_for=frozenset({clocks.CLOCK_RULE_EX_POST_VALIDATION}),
        outcomes=_GRANTED | _PARTLY,
        all_ended_on=_GRANTED,
    ),
    Step(
        rule=Rule(ids.KIND_EXTENSION, _I, _M, _ABROAD),
        law="2018/1805 Art. 12(1)",
        cites=FREEZES,
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(Move(ALLOWED | STANDING),),
        crosses=_ISSUER_CROSSES,
        countersigned_by=_M,
        may_end=True,
        clocks=Effect(starts=(_UNTIL,)),
    ),
    Step(
        rule=Rule(ids.KIND_LIMITATION_REQUEST, _M, _I, _ABROAD),
        law="2018/1805 Art. 12(2)",
        cites=FREEZES,
        case=CaseRule.SAME,
        moves=(Move(DONE, State.LIMITING),),
        crosses=_ANSWERS_CROSS,
        may_end=True,
        clocks=Effect(starts=(Start(clocks.CLOCK_RULE_LIMITATION_ANSWER),)),
    ),
    Step(
        rule=Rule(ids.KIND_LIMITATION_ANSWER, _I, _M, _ABROAD),
        law="2018/1805 Art. 12(2)",
        cites=frozenset({ids.KIND_LIMITATION_REQUEST}),
        case=CaseRule.SAME,
        moves=(Move(frozenset({State.LIMITING}), State.EXECUTED),),
        crosses=_ISSUER_CROSSES,
        outcomes=_GRANTED | _REFUSED,
        ground_optional=True,
        once=True,
        resumes=True,
        clocks=Effect(stops=frozenset({clocks.CLOCK_RULE_LIMITATION_ANSWER})),
    ),
    Step(
        rule=Rule(ids.KIND_LIMITATION, _M, _I, _ABROAD),
        law="2018/1805 Art. 12(2): the issuer is told that it is limited",
        cites=FREEZES,
        case=CaseRule.SAME,
        moves=(Move(DONE | {State.UNBOUND}),),
        crosses=_ANSWERS_CROSS,
        agreed=True,
        may_end=True,
        clocks=Effect(starts=(_UNTIL,)),
    ),
    Step(
        rule=Rule(ids.KIND_CLAIM, _M, _I, _ABROAD),
        law="2018/1805 Art. 33(3): the issuing State is told of any remedy",
        cites=FREEZES,
        case=CaseRule.SAME,
        moves=_CLAIMED,
        crosses=_ANSWERS_CROSS,
        outcomes=_NONE | _POSTPONED,
        grounds=frozenset({ids.GROUND_REMEDY_INVOKED}),
        rests_on=(*DECIDED_BELOW, frozenset({ids.KIND_CLAIM})),
        same_outcome=True,
        # Nothing may be ordered meanwhile.
        clocks=Effect(pauses=_EXECUTING, pauses_on=_POSTPONED),
    ),
    Step(
        rule=Rule(ids.KIND_CLAIM_DECISION, _M, _I, _ABROAD),
        law="2018/1805 Art. 33(3)",
        cites=frozenset({ids.KIND_CLAIM}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=_CLAIM_DECIDED,
        crosses=_ANSWERS_CROSS,
        outcomes=_RESULTS,
        ground_optional=True,
        once=True,
        resumes=True,
        rests_on=(
            *DECIDED_BELOW,
            frozenset({ids.KIND_CLAIM}),
            frozenset({ids.KIND_CLAIM_DECISION}),
        ),
        rests_above=True,
        same_outcome=True,
        clocks=Effect(stops=_OWED_ON_A_FREEZE, stops_on=_GRANTED, resumes=_EXECUTING),
    ),
    Step(
        rule=Rule(ids.KIND_PRIORITY_DECISION, _M, _I, _ABROAD),
        law="2018/1805 Art. 26",
        cites=FREEZES,
        case=CaseRule.SAME,
        moves=(
            Move(UNDECIDED | ALLOWED, State.POSTPONED, _REFUSED),
            Move(UNDECIDED | ALLOWED | STANDING, None, _GRANTED),
        ),
        crosses=_ANSWERS_CROSS,
        outcomes=_GRANTED | _REFUSED,
        grounds=grounds.PRIORITY,
        rests_on=(frozenset({ids.KIND_REVIEW_REFERRAL}), frozenset({ids.KIND_PRIORITY_DECISION})),
        same_outcome=True,
    ),
    Step(
        rule=Rule(ids.KIND_PRIORITY_DISPUTE, _I, _M, _ABROAD),
        law="2018/1805 Art. 26(1)",
        cites=frozenset({ids.KIND_PRIORITY_DECISION}),
        case=CaseRule.SAME,
        moves=(_STAYS,),
        crosses=_ISSUER_CROSSES,
    ),
    Step(
        rule=Rule(ids.KIND_SHARING_STATEMENT, _M, _I, _ABROAD),
        law="2018/1805 Art. 30(7); UNCAC Art. 57",
        cites=frozenset({ids.KIND_CONFISCATION_REQUEST}),
        case=CaseRule.SAME,
        moves=(Move(DONE | {State.DISPOSED}),),
        crosses=_ANSWERS_CROSS,
        amounts=True,
    ),
    Step(
        rule=Rule(ids.KIND_FINAL_REPORT, _M, _I, _ABROAD),
        law="2018/1805 Art. 29(2), 30",
        cites=FREEZES | {ids.KIND_RESTITUTION_DECISION},
        case=CaseRule.SAME,
        moves=(Move(DONE | {State.UNBOUND}, State.DISPOSED),),
        crosses=_ANSWERS_CROSS,
        amounts=True,
        settled=True,
        all_ended_on=_NONE,  # what was transferred is released, too: as confiscated
    ),
    *(
        Step(
            rule=Rule(ids.KIND_CLOSURE, _I, _M, _ABROAD),
            law=law,
            cites=cites,
            link=Link.REPORTS_ON,
            case=CaseRule.SAME,
            moves=(
                Move(frozenset({State.DISPOSED, State.TO_DELETE}), State.CLOSED),
                Move(DONE | {State.UNAVAILABLE}, State.CLOSED, holds=False),
            ),
            crosses=FINAL | {State.LIMITING, State.SUSPENDED, State.UNBOUND},
            waits_for=waits_for,
        )
        for cites, waits_for, law in (
            (
                REQUESTS - {ids.KIND_EVIDENCE_REQUEST},
                frozenset[ClockRule](),
                "house: a matter ends when whoever asked says so; what holds assets is released or disposed of first",
            ),
            (
                frozenset[Kind]({ids.KIND_EVIDENCE_REQUEST}),
                frozenset[ClockRule]({clocks.CLOCK_RULE_EX_POST_VALIDATION, clocks.CLOCK_RULE_ENFORCING_OBJECTION}),
                "2023/1543 Art. 4(5), 10(4): not while what was sent in an emergency may have to be deleted",
            ),
        )
    ),
    Step(
        rule=Rule(ids.KIND_VALIDATION, _I, _M, _ABROAD),
        law="2023/1543 Art. 4(5): all of it within 48 hours, else it is withdrawn and the data are deleted",
        cites=frozenset({ids.KIND_EVIDENCE_REQUEST}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(Move(OPEN - ENDING),),
        crosses=_ISSUER_CROSSES,
        countersigned_by=_M,
        data_classes=_CLASSES,
        whole=True,
        clocks=Effect(stops=frozenset({clocks.CLOCK_RULE_EX_POST_VALIDATION})),
    ),
    Step(
        rule=Rule(ids.KIND_OBJECTION, _M, _I, _ABROAD),
        law="2023/1543 Art. 12(1), 10(4): within 96 hours of an emergency request; what was sent is deleted",
        cites=frozenset({ids.KIND_EVIDENCE_REQUEST}),
        case=CaseRule.SAME,
        moves=(Move(OPEN - {State.TO_DELETE}, State.TO_DELETE),),
        crosses=FINAL | {State.TO_DELETE},
        needs_open=clocks.CLOCK_RULE_ENFORCING_OBJECTION,
        clocks=Effect(
            stops=_PRODUCING
            | {
                clocks.CLOCK_RULE_CLARIFICATION,
                clocks.CLOCK_RULE_ENFORCING_OBJECTION,
                clocks.CLOCK_RULE_EX_POST_VALIDATION,
            }
        ),
    ),
    Step(
        rule=Rule(ids.KIND_CUSTODY_EVENT, _M, _I, _ABROAD),
        law="ISO/IEC 27037 clause 6.1",
        cites=frozenset({ids.KIND_DISCLOSURE}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(_STAYS,),
        crosses=_ANSWERS_CROSS,
    ),
)

_BEFORE_THE_COURT: Final = (
    Step(
        rule=Rule(ids.KIND_FORWARDING, _M, _M, _HOME),
        law="2018/1805 Art. 4(9), 14(8)",
        cites=FORWARDABLE,
        link=Link.PASSES_ON,
        moves=(Move(UNANSWERED | {State.FORWARDED}),),
    ),
    *(
        Step(
            rule=Rule(ids.KIND_REVIEW_REFERRAL, asker, _C, _HOME),
            law=law,
            cites=cites,
            link=Link.PASSES_ON,
            moves=(Move(at),),
            opens=State.ASKED,
            measures=_ALL_MEASURES,
            data_classes=_CLASSES,
            grants=True,
            amounts=True,
            may_end=True,
        )
        for asker, cites, at, law in (
            (_M, REQUESTS, UNDECIDED | ALLOWED, "2018/1805 Art. 7(1); UNCAC Art. 46(17): executed under domestic law"),
            (_F, PROVISIONAL, UNDECIDED | DONE, "2024/1260 Art. 11: what is provisional is put before a judge"),
            (_P, PROVISIONAL, UNDECIDED | DONE, "2024/1260 Art. 11: what is provisional is put before a judge"),
        )
    ),
    *(
        step
        for asker in (_M, _F, _P)
        for step in (
            Step(
                rule=Rule(ids.KIND_CLARIFICATION_REQUEST, _C, asker, _HOME),
                law="house: a court asks before it decides",
                cites=frozenset({ids.KIND_REVIEW_REFERRAL}),
                case=CaseRule.SAME,
                moves=(Move(UNANSWERED | {State.POSTPONED}, State.CLARIFYING),),
            ),
            Step(
                rule=Rule(ids.KIND_CLARIFICATION, asker, _C, _HOME),
                law="house: a court asks before it decides",
                cites=frozenset({ids.KIND_CLARIFICATION_REQUEST}),
                case=CaseRule.SAME,
                moves=(Move(frozenset({State.CLARIFYING}), State.ACKNOWLEDGED),),
            ),
            Step(
                rule=Rule(ids.KIND_REVIEW_DECISION, _C, asker, _HOME),
                law="2018/1805 Art. 3, 7, 8, 10, 18-21; 2024/1260 Art. 11",
                cites=frozenset({ids.KIND_REVIEW_REFERRAL}),
                case=CaseRule.SAME,
                moves=_DECIDED,
                outcomes=_DECISIONS,
                reviews=True,
                measures=_ALL_MEASURES,
                data_classes=_CLASSES,
                grants=True,
                # No end: an order says until when it stands, and its court extends it.
                above=Effect(stops=frozenset({clocks.CLOCK_RULE_PROVISIONAL}), stops_on=_GRANTED | _PARTLY)
                if asker is not _M  # a judge has decided in time; whoever asked hears it by the confirmation
                else Effect(
                    stops=_DECIDING,
                    stops_on=_RESULTS,  # what is postponed is still to be decided
                    starts=(
                        Start(
                            clocks.CLOCK_RULE_URGENT_EXECUTION,
                            urgency=_URGENT | _EMERGENCY,
                            on=_GRANTED | _PARTLY,
                            of=_DECIDED_IN_48_HOURS,
                            first=True,
                        ),
                    ),
                ),
                marks=((1, pb.MILESTONE_DECIDED), (2, pb.MILESTONE_DECIDED)),
            ),
            Step(
                rule=Rule(ids.KIND_CLOSURE, _C, asker, _HOME),
                law="house: a court is done when nothing stands any more that it ordered",
                cites=frozenset({ids.KIND_REVIEW_DECISION}),
                link=Link.REPORTS_ON,
                case=CaseRule.SAME,
                moves=(Move(ALLOWED | STANDING | {State.UNAVAILABLE, State.WITHDRAWN}, State.CLOSED),),
                all_ended_on=_NONE,
                revives=None if asker is _M else clocks.CLOCK_RULE_PROVISIONAL,
            ),
            Step(
                rule=Rule(ids.KIND_WITHDRAWAL, asker, _C, _HOME),
                law="2018/1805 Art. 27(2)",
                cites=frozenset({ids.KIND_REVIEW_REFERRAL}),
                link=Link.REPORTS_ON,
                case=CaseRule.SAME,
                moves=(
                    Move(UNDECIDED, State.CLOSED),
                    # The court ends what it ordered, and says so.
                    Move(OPEN - UNDECIDED - {State.WITHDRAWN}, State.WITHDRAWN, holds=True),
                    Move(OPEN - UNDECIDED - {State.WITHDRAWN}, State.CLOSED, holds=False),
                ),
                revives=None if asker is _M else clocks.CLOCK_RULE_PROVISIONAL,
            ),
            Step(
                rule=Rule(ids.KIND_EXECUTION_REPORT, _C, asker, _HOME),
                law="2018/1805 Art. 7(2), 13",
                cites=frozenset({ids.KIND_REVIEW_DECISION}),
                link=Link.REPORTS_ON,
                case=CaseRule.SAME,
                moves=_executed(ALLOWED),
                outcomes=_RESULTS,
                measures=_ALL_MEASURES,
                data_classes=_CLASSES,
                amounts=True,
                rests_on=(ORDERS, frozenset({ids.KIND_EXECUTION_REPORT})),
                or_rests_on=(
                    frozenset({ids.KIND_DOMESTIC_ORDER}),
                    frozenset({ids.KIND_TRANSFER_ORDER}),
                    frozenset({ids.KIND_EXECUTION_REPORT}),
                ),
                fails_on=UPHELD_BELOW,
                all_ended_for=grounds.FOR_GOOD,
                resumes=True,
            ),
        )
    ),
    *(
        step
        for askers, law in (
            ((_M,), "2018/1805 Art. 33(1): a remedy before the courts of the executing State"),
            ((_F, _P), "2024/1260 Art. 24(1), (3): what is frozen can be contested before a court"),
        )
        for asker in askers
        for step in (
            Step(
                rule=Rule(ids.KIND_CLAIM, _C, asker, _HOME),
                law=law,
                cites=frozenset({ids.KIND_REVIEW_DECISION}),
                link=Link.REPORTS_ON,
                case=CaseRule.SAME,
                moves=_CLAIMED,
                outcomes=_NONE | _POSTPONED,
                grounds=frozenset({ids.GROUND_REMEDY_INVOKED}),
            ),
            Step(
                rule=Rule(ids.KIND_CLAIM_DECISION, _C, asker, _HOME),
                law=law,
                cites=frozenset({ids.KIND_CLAIM}),
                link=Link.REPORTS_ON,
                case=CaseRule.SAME,
                moves=_CLAIM_DECIDED,
                outcomes=_RESULTS,
                ground_optional=True,
                once=True,
                resumes=True,
            ),
        )
    ),
    Step(
        rule=Rule(ids.KIND_DISCLOSURE, _C, _M, _HOME),
        law="UNCAC Art. 46(3)(f): the court passes on what it granted, and no more",
        cites=frozenset({ids.KIND_REVIEW_DECISION}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(Move(_FOUND),),
        needs_live=True,
        undisputed=True,
        never_below=PROVISIONAL,  # what is only to be kept is handed over to nobody (Budapest Convention Art. 16)
        data_classes=_CLASSES,
        asks=True,
        rests_on=(frozenset({ids.KIND_DOMESTIC_ORDER}), frozenset({ids.KIND_DISCLOSURE})),
    ),
    Step(
        rule=Rule(ids.KIND_CUSTODY_EVENT, _C, _M, _HOME),
        law="ISO/IEC 27037 clause 6.1",
        cites=frozenset({ids.KIND_DISCLOSURE}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(_STAYS,),
    ),
    Step(
        rule=Rule(ids.KIND_PRIORITY_DECISION, _C, _M, _HOME),
        law="2018/1805 Art. 26",
        cites=frozenset({ids.KIND_REVIEW_REFERRAL}),
        case=CaseRule.SAME,
        moves=(_STAYS,),
        outcomes=_GRANTED | _REFUSED,
        grounds=grounds.PRIORITY,
    ),
    Step(
        rule=Rule(ids.KIND_RELEASE, _C, _M, _HOME),
        law="2018/1805 Art. 27(3)",
        cites=frozenset({ids.KIND_REVIEW_DECISION}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=_RELEASED,
        outcomes=_GRANTED | _PARTLY,
        all_ended_on=_GRANTED,
    ),
    Step(
        rule=Rule(ids.KIND_EXTENSION, _M, _C, _HOME),
        law="2018/1805 Art. 12(1)",
        cites=frozenset({ids.KIND_REVIEW_REFERRAL}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(Move(ALLOWED | STANDING),),
        needs_live=True,  # not after the request was withdrawn
        may_end=True,
    ),
    Step(
        rule=Rule(ids.KIND_CLOSURE, _M, _C, _HOME),
        law="house: a matter ends when whoever asked says so; what holds assets is released or disposed of first",
        cites=frozenset({ids.KIND_REVIEW_REFERRAL}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(Move(ALLOWED | DONE | {State.UNAVAILABLE}, State.CLOSED, holds=False),),
    ),
)

_AT_THE_EXCHANGE: Final = (
    Step(
        rule=Rule(ids.KIND_DOMESTIC_ORDER, _C, _X, _HOME),
        law="2018/1805 Art. 23(1): execution is governed by the law of the executing State, by its own court's order",
        cites=frozenset({ids.KIND_REVIEW_DECISION}),
        link=Link.FOLLOWS_UP,
        case=CaseRule.OWN,
        moves=(Move(_FOUND | STANDING),),
        opens=State.ASKED,
        needs_live=True,
        undisputed=True,
        ranked=True,
        measures=HOLDING,
        data_classes=_CLASSES,
        asks=True,
        may_end=True,
        clocks=Effect(starts=(Start(clocks.CLOCK_RULE_PROVIDER_OBJECTION), _UNTIL)),
    ),
    Step(
        rule=Rule(ids.KIND_TAKEDOWN_NOTICE, _C, _X, _HOME),
        law="2022/2065 Art. 9; 2021/784 Art. 3(3): terrorist content within one hour",
        cites=frozenset({ids.KIND_REVIEW_DECISION}),
        link=Link.FOLLOWS_UP,
        case=CaseRule.OWN,
        moves=(Move(_FOUND),),
        opens=State.ASKED,
        needs_live=True,
        undisputed=True,
        measures=_TAKE_DOWN,
        asks=True,
        clocks=Effect(
            starts=(
                Start(clocks.CLOCK_RULE_TERRORIST_CONTENT, urgency=_EMERGENCY),
                Start(clocks.CLOCK_RULE_PROVIDER_OBJECTION),
            )
        ),
    ),
    Step(
        rule=Rule(ids.KIND_TRANSFER_ORDER, _C, _X, _HOME),
        law="2018/1805 Art. 28, 30(6); house: signed by two persons",
        cites=frozenset({ids.KIND_DOMESTIC_ORDER}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(Move(DONE | {State.UNBOUND}),),
        opens=State.ASKED,
        countersigned_by=_M,
        needs_live=True,
        undisputed=True,
        measures=TAKING,
        asks=True,
        clocks=Effect(starts=(Start(clocks.CLOCK_RULE_PROVIDER_OBJECTION),)),
    ),
    *(
        Step(
            rule=Rule(ids.KIND_PROVISIONAL_ORDER, giver, _X, _HOME),
            law="2024/1260 Art. 11; Budapest Convention Art. 16, 29: by whom the country's law names",
            # Of the request itself it would tell an exchange who asked abroad.
            cites=frozenset({ids.KIND_ACKNOWLEDGEMENT}),
            link=Link.FOLLOWS_UP,
            case=CaseRule.OWN,
            moves=(Move(UNANSWERED | DONE | {State.UNAVAILABLE}),),
            opens=State.ASKED,
            measures=FREEZING,
            data_classes=_CLASSES,
            asks=True,
            may_end=True,
            inherits=True,
            not_after_refusal=True,
            clocks=Effect(starts=(Start(clocks.CLOCK_RULE_PROVIDER_OBJECTION),)),
        )
        for giver in (_F, _P)
    ),
    *(
        step
        for giver, orders in (
            (_C, ORDERS - {ids.KIND_PROVISIONAL_ORDER}),
            (_F, frozenset[Kind]({ids.KIND_PROVISIONAL_ORDER})),
            (_P, frozenset[Kind]({ids.KIND_PROVISIONAL_ORDER})),
        )
        for step in (
            Step(
                rule=Rule(ids.KIND_ACKNOWLEDGEMENT, _X, giver, _HOME),
                law="house: served",
                cites=orders,
                case=CaseRule.SAME,
                moves=(Move(frozenset({State.ASKED}), State.ACKNOWLEDGED),),
            ),
            Step(
                rule=Rule(ids.KIND_CLARIFICATION_REQUEST, _X, giver, _HOME),
                law="2023/1543 Art. 10(6), Annex III section F; 2021/784 Art. 3(8)",
                cites=orders,
                case=CaseRule.SAME,
                moves=(Move(UNANSWERED, State.CLARIFYING),),
                clocks=Effect(pauses=frozenset({clocks.CLOCK_RULE_TERRORIST_CONTENT})),
            ),
            Step(
                rule=Rule(ids.KIND_CLARIFICATION, giver, _X, _HOME),
                law="2023/1543 Art. 10(6); 2021/784 Art. 3(8): the hour begins when it is clear what is meant",
                cites=frozenset({ids.KIND_CLARIFICATION_REQUEST}),
                case=CaseRule.SAME,
                moves=(Move(frozenset({State.CLARIFYING}), State.ACKNOWLEDGED),),
                clocks=Effect(starts=(Start(clocks.CLOCK_RULE_TERRORIST_CONTENT, again=True),)),
            ),
            Step(
                rule=Rule(ids.KIND_OBJECTION, _X, giver, _HOME),
                law="2023/1543 Art. 17(2), Annex III: within ten days; execution rests while it is looked at",
                cites=orders,
                case=CaseRule.SAME,
                # What a judge has confirmed meanwhile stands until it is released.
                moves=(Move(UNANSWERED | {State.CLARIFYING}, State.OBJECTED), Move(frozenset({State.CONFIRMED}))),
                needs_open=clocks.CLOCK_RULE_PROVIDER_OBJECTION,
                clocks=Effect(
                    stops=frozenset({clocks.CLOCK_RULE_PROVIDER_OBJECTION}),
                    pauses=frozenset({clocks.CLOCK_RULE_TERRORIST_CONTENT}),
                ),
            ),
            Step(
                rule=Rule(ids.KIND_OBJECTION_DECISION, giver, _X, _HOME),
                law="2023/1543 Art. 17(4)-(6)",
                cites=frozenset({ids.KIND_OBJECTION}),
                case=CaseRule.SAME,
                moves=(
                    Move(frozenset({State.OBJECTED}), State.CLOSED, _GRANTED),
                    Move(frozenset({State.OBJECTED}), State.ACKNOWLEDGED, _PARTLY | _REFUSED),
                    Move(frozenset({State.CONFIRMED})),
                ),
                outcomes=_RESULTS,
                ground_optional=True,
                once=True,
                clocks=Effect(resumes=frozenset({clocks.CLOCK_RULE_TERRORIST_CONTENT})),
            ),
        )
    ),
    Step(
        rule=Rule(ids.KIND_EXECUTION_REPORT, _X, _C, _HOME),
        law="2018/1805 Art. 7(2), 13(3)",
        cites=frozenset({ids.KIND_DOMESTIC_ORDER, ids.KIND_TAKEDOWN_NOTICE}),
        case=CaseRule.SAME,
        moves=_executed(UNANSWERED),
        outcomes=_RESULTS,
        # What is moved to a wallet of the State is ordered by itself, and signed by two (Art. 28).
        measures=_ALL_MEASURES - {ids.MEASURE_TRANSFER},
        data_classes=_CLASSES,
        amounts=True,
        clocks=Effect(stops=frozenset({clocks.CLOCK_RULE_PROVIDER_OBJECTION, clocks.CLOCK_RULE_TERRORIST_CONTENT})),
        marks=((1, pb.MILESTONE_EXECUTED),),
    ),
    *(
        Step(
            rule=Rule(ids.KIND_EXECUTION_REPORT, _X, giver, _HOME),
            law="Budapest Convention Art. 16: kept, and not handed over",
            cites=frozenset({ids.KIND_PROVISIONAL_ORDER}),
            case=CaseRule.SAME,
            moves=_executed(UNANSWERED),
            outcomes=_RESULTS,
            measures=FREEZING,
            clocks=Effect(stops=frozenset({clocks.CLOCK_RULE_PROVIDER_OBJECTION})),
            marks=((1, pb.MILESTONE_EXECUTED),),
        )
        for giver in (_F, _P)
    ),
    Step(
        rule=Rule(ids.KIND_EXECUTION_REPORT, _X, _C, _HOME),
        law="2018/1805 Art. 30(6)",
        cites=frozenset({ids.KIND_TRANSFER_ORDER}),
        case=CaseRule.SAME,
        moves=(Move(UNANSWERED, State.CLOSED),),
        outcomes=_RESULTS,
        measures=TAKING,
        amounts=True,
        marks=((1, pb.MILESTONE_EXECUTED),),
    ),
    *(
        Step(
            rule=Rule(ids.KIND_EXECUTION_REPORT, _X, giver, _HOME),
            law="2018/1805 Art. 27(3): what was released is confirmed, with balances",
            cites=frozenset({ids.KIND_RELEASE}),
            case=CaseRule.SAME,
            moves=(
                Move(frozenset({State.RELEASING}), State.RELEASED, _GRANTED),
                Move(STANDING | {State.RELEASING}),  # a part was released, or it could not be yet
            ),
            outcomes=_RESULTS,
        )
        for giver in (_C, _F, _P)
    ),
    Step(
        rule=Rule(ids.KIND_DISCLOSURE, _X, _C, _HOME),
        law="2023/1543 Art. 10(2)-(4): no more than was ordered",
        cites=frozenset({ids.KIND_DOMESTIC_ORDER}),
        case=CaseRule.SAME,
        moves=(Move(UNANSWERED | DONE | {State.UNAVAILABLE}),),
        never_below=PROVISIONAL,  # what is only to be kept is handed over to nobody (Budapest Convention Art. 16)
        data_classes=_CLASSES,
        asks=True,
    ),
    Step(
        rule=Rule(ids.KIND_CUSTODY_EVENT, _X, _C, _HOME),
        law="ISO/IEC 27037 clause 6.1",
        cites=frozenset({ids.KIND_DISCLOSURE}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(_STAYS,),
    ),
    *(
        Step(
            rule=Rule(ids.KIND_RELEASE, giver, _X, _HOME),
            law="2018/1805 Art. 27(3), 12",
            cites=orders,
            link=Link.REPORTS_ON,
            case=CaseRule.SAME,
            moves=(
                Move(
                    UNANSWERED | STANDING | {State.CLARIFYING, State.OBJECTED, State.UNAVAILABLE},
                    State.RELEASING,
                    _GRANTED,
                ),
                Move(STANDING, None, _PARTLY),
            ),
            outcomes=_GRANTED | _PARTLY,
            # Not the end that the order sets: that what is released is still held then, somebody should know.
            clocks=Effect(stops=frozenset({awaited}), stops_on=_GRANTED),
        )
        for giver, orders, awaited in (
            (
                _C,
                frozenset[Kind]({ids.KIND_DOMESTIC_ORDER, ids.KIND_TAKEDOWN_NOTICE, ids.KIND_TRANSFER_ORDER}),
                clocks.CLOCK_RULE_TERRORIST_CONTENT,
            ),
            (_F, frozenset[Kind]({ids.KIND_PROVISIONAL_ORDER}), clocks.CLOCK_RULE_SUBSEQUENT_REQUEST),
            (_P, frozenset[Kind]({ids.KIND_PROVISIONAL_ORDER}), clocks.CLOCK_RULE_SUBSEQUENT_REQUEST),
        )
    ),
    *(
        Step(
            rule=Rule(kind, _C, _X, _HOME),
            law="2018/1805 Art. 12",
            cites=frozenset({ids.KIND_DOMESTIC_ORDER}),
            link=Link.REPORTS_ON,
            case=CaseRule.SAME,
            moves=(Move(UNANSWERED | STANDING),),
            needs_live=kind == ids.KIND_EXTENSION,
            agreed=kind == ids.KIND_LIMITATION,
            lengthens=kind == ids.KIND_EXTENSION,
            may_end=True,
            clocks=Effect(starts=(_UNTIL,)),
        )
        for kind in (ids.KIND_EXTENSION, ids.KIND_LIMITATION)
    ),
    Step(
        rule=Rule(ids.KIND_CLOSURE, _C, _X, _HOME),
        law="house: a matter ends when whoever asked says so; what holds assets is released or disposed of first",
        cites=frozenset({ids.KIND_DOMESTIC_ORDER, ids.KIND_TAKEDOWN_NOTICE}),
        link=Link.REPORTS_ON,
        case=CaseRule.SAME,
        moves=(Move(DONE | {State.UNAVAILABLE}, State.CLOSED, holds=False),),
    ),
    *(
        step
        for giver in (_F, _P)
        for step in (
            Step(
                rule=Rule(ids.KIND_CONFIRMATION, giver, _X, _HOME),
                law="2024/1260 Art. 11: only what a judge has confirmed stands",
                cites=frozenset({ids.KIND_PROVISIONAL_ORDER}),
                link=Link.REPORTS_ON,
                case=CaseRule.SAME,
                moves=(Move(UNANSWERED | DONE | {State.UNAVAILABLE}, State.CONFIRMED),),
                needs_live=True,
                outcomes=_GRANTED | _PARTLY,
                measures=FREEZING,
                data_classes=_CLASSES,
                grants=True,
                clocks=Effect(stops=LAPSING),
                above=Effect(stops=LAPSING | {clocks.CLOCK_RULE_CLARIFICATION}, starts=(_STILL_NEEDED,)),
                rests_on=DECIDED_BELOW,
                rests_above=True,
            ),
            Step(
                rule=Rule(ids.KIND_PRODUCTION_NOTICE, giver, _X, _HOME),
                law="2023/1543 Art. 11(2), Annex V: kept on, as the request was",
                cites=frozenset({ids.KIND_PROVISIONAL_ORDER}),
                link=Link.REPORTS_ON,
                case=CaseRule.SAME,
                moves=(Move(UNANSWERED | DONE | {State.UNAVAILABLE}),),
                needs_live=True,
                inherits=True,
                rests_on=(frozenset({ids.KIND_PRODUCTION_NOTICE}),),
                rests_above=True,
            ),
            Step(
                rule=Rule(ids.KIND_EXTENSION, giver, _X, _HOME),
                law="2023/1543 Art. 11(1): 30 days more, as the request was extended",
                cites=frozenset({ids.KIND_PROVISIONAL_ORDER}),
                link=Link.REPORTS_ON,
                case=CaseRule.SAME,
                moves=(Move(UNANSWERED | DONE | {State.UNAVAILABLE}),),
                needs_live=True,
                may_end=True,
                inherits=True,
                rests_on=(frozenset({ids.KIND_EXTENSION}),),
                rests_above=True,
            ),
        )
    ),
)

_AT_ONCE: Final = (
    *(
        step
        for role in (_F, _P)
        for step in (
            Step(
                rule=Rule(ids.KIND_PROVISIONAL_FREEZE, role, role, _ABROAD),
                law="2024/1260 Art. 11; FATF Recommendation 4: quick, and only for so long",
                opens=State.ASKED,
                measures=FREEZING,
                needs_measure=True,
                targets=True,
                once_a_target=True,  # or seven days would be as many as one likes
                clocks=Effect(starts=(Start(clocks.CLOCK_RULE_PROVISIONAL),)),
            ),
            Step(
                rule=Rule(ids.KIND_PRESERVATION_REQUEST, role, role, _ABROAD),
                law="Budapest Convention Art. 29, 35; 2023/1543 Art. 11(1)",
                opens=State.ASKED,
                data_classes=_CLASSES,
                asks=True,
                clocks=Effect(starts=(Start(clocks.CLOCK_RULE_PRESERVATION),)),
            ),
            Step(
                rule=Rule(ids.KIND_ACKNOWLEDGEMENT, role, role, _ABROAD),
                law="Budapest Convention Art. 35",
                cites=PROVISIONAL,
                case=CaseRule.SAME,
                # Also again, or late: what is ordered provisionally cites it.
                moves=(
                    Move(frozenset({State.ASKED}), State.ACKNOWLEDGED),
                    Move(DONE | {State.ACKNOWLEDGED, State.UNAVAILABLE}),
                ),
                crosses=_ANSWERS_CROSS,
            ),
            Step(
                rule=Rule(ids.KIND_CLARIFICATION_REQUEST, role, role, _ABROAD),
                law="2023/1543 Art. 11(5): who stays silent for five days loses the preservation",
                cites=PROVISIONAL,
                case=CaseRule.SAME,
                moves=(Move(UNANSWERED, State.CLARIFYING),),
                crosses=_ANSWERS_CROSS,
                clocks=Effect(starts=(Start(clocks.CLOCK_RULE_CLARIFICATION),)),
            ),
            Step(
                rule=Rule(ids.KIND_CLARIFICATION, role, role, _ABROAD),
                law="2023/1543 Art. 11(5)",
                cites=frozenset({ids.KIND_CLARIFICATION_REQUEST}),
                case=CaseRule.SAME,
                moves=(Move(frozenset({State.CLARIFYING}), State.ACKNOWLEDGED),),
                crosses=_ISSUER_CROSSES | {State.CONFIRMED},
                clocks=Effect(stops=frozenset({clocks.CLOCK_RULE_CLARIFICATION})),
            ),
            Step(
                rule=Rule(ids.KIND_REVIEW_DECISION, role, role, _ABROAD),
                law="Budapest Convention Art. 29(5)-(6): it may refuse, and grants nothing by itself",
                cites=PROVISIONAL,
                case=CaseRule.SAME,
                moves=(Move(UNDECIDED, State.REFUSED),),
                crosses=_ANSWERS_CROSS,
                outcomes=_REFUSED,
                reviews=True,
                all_ended_on=_REFUSED,
            ),
            Step(
                rule=Rule(ids.KIND_EXECUTION_REPORT, role, role, _ABROAD),
                law="Budapest Convention Art. 16, 29: kept, and not handed over",
                cites=PROVISIONAL,
                case=CaseRule.SAME,
                moves=_executed(UNANSWERED),
                crosses=_ANSWERS_CROSS,
                outcomes=_RESULTS,
                measures=FREEZING,
                rests_on=(*ORDERED_BELOW, frozenset({ids.KIND_EXECUTION_REPORT})),
                # Where a judge orders it at once, and nobody else may.
                or_rests_on=(*DECIDED_BELOW, frozenset({ids.KIND_EXECUTION_REPORT})),
                all_ended_for=grounds.FOR_GOOD,
                marks=((1, pb.MILESTONE_EXECUTED),),
            ),
            Step(
                rule=Rule(ids.KIND_CONFIRMATION, role, role, _ABROAD),
                law="2024/1260 Art. 11; house: what a judge has granted stands",
                cites=PROVISIONAL,
                case=CaseRule.SAME,
                moves=(Move(UNANSWERED | DONE | {State.CLARIFYING, State.UNAVAILABLE}, State.CONFIRMED),),
                crosses=_ANSWERS_CROSS,
                outcomes=_GRANTED | _PARTLY,
                measures=FREEZING,
                data_classes=_CLASSES,
                grants=True,
                clocks=Effect(stops=LAPSING | {clocks.CLOCK_RULE_CLARIFICATION}, starts=(_STILL_NEEDED,)),
                rests_on=DECIDED_BELOW,
            ),
            Step(
                rule=Rule(ids.KIND_PRODUCTION_NOTICE, role, role, _ABROAD),
                law="2023/1543 Art. 11(1)-(2), Annex V; Budapest Convention Art. 29(7): for a request that follows",
                cites=frozenset({ids.KIND_PRESERVATION_REQUEST}),
                link=Link.REPORTS_ON,
                case=CaseRule.SAME,
                # Also while a question is open; and again, for it is still needed.
                moves=(Move(UNANSWERED | DONE | {State.CLARIFYING, State.UNAVAILABLE, State.CONFIRMED}),),
                crosses=_ISSUER_CROSSES,
                clocks=Effect(stops=_KEEPING, starts=(Start(clocks.CLOCK_RULE_SUBSEQUENT_REQUEST),)),
            ),
            Step(
                rule=Rule(ids.KIND_EXTENSION, role, role, _ABROAD),
                law="2023/1543 Art. 11(1): once, 30 days",
                cites=frozenset({ids.KIND_PRESERVATION_REQUEST}),
                link=Link.REPORTS_ON,
                case=CaseRule.SAME,
                # Also while a question is open: one that crossed with it may not cost the data.
                moves=(Move(UNANSWERED | DONE | {State.CLARIFYING, State.UNAVAILABLE}),),
                crosses=_ISSUER_CROSSES | {State.CONFIRMED},
                needs_open=clocks.CLOCK_RULE_PRESERVATION,
                may_end=True,
                clocks=Effect(
                    stops=frozenset({clocks.CLOCK_RULE_PRESERVATION}),
                    starts=(Start(clocks.CLOCK_RULE_PRESERVATION_EXTENSION),),
                ),
            ),
            Step(
                rule=Rule(ids.KIND_WITHDRAWAL, role, role, _ABROAD),
                law="2018/1805 Art. 27(1)-(2); 2023/1543 Art. 11(3)",
                cites=PROVISIONAL,
                link=Link.REPORTS_ON,
                case=CaseRule.SAME,
                moves=(
                    Move(OPEN - {State.WITHDRAWN}, State.WITHDRAWN, _NONE),
                    Move(OPEN - {State.WITHDRAWN}, None, _PARTLY),
                ),
                crosses=FINAL,
                outcomes=_NONE | _PARTLY,
                clocks=Effect(
                    stops=frozenset({clocks.CLOCK_RULE_CLARIFICATION, clocks.CLOCK_RULE_SUBSEQUENT_REQUEST}),
                    stops_on=_NONE,
                ),
            ),
            Step(
                rule=Rule(ids.KIND_RELEASE, role, role, _ABROAD),
                law="2018/1805 Art. 27(3); 2023/1543 Art. 11(3)",
                cites=PROVISIONAL,
                case=CaseRule.SAME,
                moves=(Move(UNANSWERED | STANDING | {State.WITHDRAWN, State.UNAVAILABLE}, State.RELEASED, _GRANTED),),
                crosses=_ANSWERS_CROSS,
                outcomes=_GRANTED,
                all_ended_on=_GRANTED,
            ),
        )
    ),
    *(
        Step(rule=Rule(kind, role, role, _ABROAD), law=law, opens=State.TOLD)
        for kind, roles, law in (
            (
                ids.KIND_SPONTANEOUS_INFORMATION,
                (_I, _M, _F, _P),
                "Budapest Convention Art. 26; UNCAC Art. 46(4): unasked, and no basis of any order",
            ),
            (ids.KIND_WATCHLIST_NOTICE, (_F, _P), "INTERPOL Silver Notice: intelligence, never a basis of an order"),
        )
        for role in roles
    ),
)

_COMPLAINTS: Final = tuple(
    step
    for role in (_I, _M, _C, _F, _P, _X)
    for step in (
        Step(
            rule=Rule(ids.KIND_GRIEVANCE, role, Role.OMBUDSPERSON, _HOME),
            law="house: an ombudsperson hears that something happened and when, and never what",
            cites=frozenset(ids.Kind.values()) - {ids.KIND_UNSPECIFIED, *INTELLIGENCE, ids.KIND_GRIEVANCE_ANSWER},
            link=Link.COMPLAINS,
            case=CaseRule.OWN,
            opens=State.ASKED,
        ),
        Step(
            rule=Rule(ids.KIND_GRIEVANCE_ANSWER, Role.OMBUDSPERSON, role, _HOME),
            law="house: an ombudsperson answers",
            cites=frozenset({ids.KIND_GRIEVANCE}),
            case=CaseRule.SAME,
            moves=(Move(frozenset({State.ASKED}), State.CLOSED),),
        ),
    )
)

_TRIALS: Final = (
    Step(
        rule=Rule(ids.KIND_TEST_ORDER, Role.REGISTRAR, _X, _HOME),
        law="house: an exchange is tried out before it is relied on",
        opens=State.ASKED,
        is_test=True,
        most_payload=MAX_TEST_ORDER_BYTES,
    ),
    Step(
        # It marks nothing: a test is neither decided nor executed.
        rule=Rule(ids.KIND_TEST_REPORT, _X, Role.REGISTRAR, _HOME),
        law="house: an exchange is tried out before it is relied on",
        cites=frozenset({ids.KIND_TEST_ORDER}),
        case=CaseRule.SAME,
        moves=(Move(frozenset({State.ASKED}), State.CLOSED),),
        is_test=True,
    ),
)

STEPS: Final = (
    *_BEFORE_IT_LEAVES,
    *_BETWEEN_STATES,
    *_BEFORE_THE_COURT,
    *_AT_THE_EXCHANGE,
    *_AT_ONCE,
    *_COMPLAINTS,
    *_TRIALS,
)
RULES: Final = tuple(dict.fromkeys(step.rule for step in STEPS))


def _by_citation() -> Mapping[tuple[Rule, Kind], Step]:
    found: dict[tuple[Rule, Kind], Step] = {}
    for step in STEPS:
        for kind in step.cites or {ids.KIND_UNSPECIFIED}:
            if found.setdefault((step.rule, kind), step) is not step:
                raise AssertionError(f"two rows for {step.rule} citing {word(kind)}")
    return MappingProxyType(found)


BY_CITATION: Final = _by_citation()
"""The one row for a rule and the kind of envelope cited; KIND_UNSPECIFIED where none is."""


def _ways_down() -> Mapping[tuple[Kind, Kind], tuple[tuple[int, Way], ...]]:
    found: dict[tuple[Kind, Kind], set[tuple[int, Way]]] = {}
    for step in STEPS:
        for cited in step.cites:
            # Between a provisional order and what was asked at once is the acknowledgement of that.
            above = int(step.rests_above) + (step.rests_above and cited == ids.KIND_PROVISIONAL_ORDER)
            ways = {(above, way) for way in (step.rests_on, step.or_rests_on) if way}
            ways |= {(0, TOLD_BELOW)} if step.as_told else set()
            ways |= {(1, RANKED_BELOW)} if step.ranked else set()
            ways |= {(1, QUESTIONS_BELOW), (1, ANSWERS_BELOW)} if step.answers_all else set()
            ways |= {(int(cited == ids.KIND_ACKNOWLEDGEMENT), DECIDED_BELOW)} if step.not_after_refusal else set()
            # What can be claimed is cited, or is above that; from a decision up to the request it is two more.
            claimed = 0 if cited in CLAIMABLE else 1
            ups = {claimed, claimed + 2} if step.undisputed else {claimed} if step.resumes else set()
            of_this = ways | {(up, CLAIMED_BELOW) for up in ups}
            if step.undisputed:
                of_this |= {(up, CONTESTED_BELOW) for up in ups if up > 1 or cited in FREEZES}
            if of_this:
                found.setdefault((step.rule.kind, cited), set()).update(of_this)
    return MappingProxyType({pair: tuple(ways) for pair, ways in found.items()})


def _limits_asked() -> Mapping[tuple[Kind, Kind], frozenset[int]]:
    found: dict[tuple[Kind, Kind], frozenset[int]] = {}
    for step in STEPS:
        over = int(step.opens is None)
        asked = {over} if step.inherits or _looks(step.above) else set()
        if step.opens is None and (step.needs_open or step.waits_for or _looks(step.clocks)):
            asked |= {0}
        if asked:
            for cited in step.cites:
                found[step.rule.kind, cited] = found.get((step.rule.kind, cited), frozenset()) | asked
    return MappingProxyType(found)


def _looks(effect: Effect) -> bool:
    """Whether what begins or runs on depends on what runs already."""
    return bool(effect.resumes) or any(
        start.again or start.first or LIMITS[start.rule].continues for start in effect.starts
    )


WAYS_DOWN: Final = _ways_down()
"""What may have to be recorded below, by the kind of an envelope and of what it cites: from how far up, which way."""
LOOKED_AT_BY_BOTH: Final[frozenset[Way]] = frozenset({CLAIMED_BELOW, TOLD_BELOW, QUESTIONS_BELOW, ANSWERS_BELOW})
"""Of these ways, those that the recipient's node goes, too."""
LIMITS_ASKED: Final = _limits_asked()
"""Whose open time limits are looked at, by the same: of the matters from the cited envelope up, which."""

RUNS_OUT: Final = (
    *(
        RunsOut(rule, kinds, OPEN - {State.CONFIRMED}, State.LAPSED, law, elsewhere=OPEN - {State.CONFIRMED})
        for rule, kinds, law in (
            (
                clocks.CLOCK_RULE_PROVISIONAL,
                frozenset[Kind]({ids.KIND_PROVISIONAL_FREEZE, ids.KIND_PROVISIONAL_ORDER}),
                "2024/1260 Art. 11: it lapses unless a judge confirms it",
            ),
            *(
                (
                    rule,
                    frozenset[Kind]({ids.KIND_PRESERVATION_REQUEST, ids.KIND_PROVISIONAL_ORDER}),
                    "2023/1543 Art. 11(1)",
                )
                for rule in (clocks.CLOCK_RULE_PRESERVATION, clocks.CLOCK_RULE_PRESERVATION_EXTENSION)
            ),
        )
    ),
    RunsOut(
        clocks.CLOCK_RULE_CLARIFICATION,
        frozenset({ids.KIND_PRESERVATION_REQUEST}),
        frozenset({State.CLARIFYING}),
        State.LAPSED,
        "2023/1543 Art. 11(5)",
        elsewhere=OPEN - {State.CONFIRMED},
    ),
    RunsOut(
        clocks.CLOCK_RULE_LIMITATION_ANSWER,
        FREEZES,
        frozenset({State.LIMITING}),
        State.UNBOUND,
        "2018/1805 Art. 12(2): silent for six weeks",
        elsewhere=DONE | {State.LIMITING, State.SUSPENDED, State.UNAVAILABLE},
        stops=_OWED_ON_A_FREEZE - {clocks.CLOCK_RULE_LIMITATION_ANSWER},
    ),
    RunsOut(
        clocks.CLOCK_RULE_EX_POST_VALIDATION,
        frozenset({ids.KIND_EVIDENCE_REQUEST}),
        OPEN - {State.TO_DELETE},
        State.TO_DELETE,
        "2023/1543 Art. 4(5)",
        elsewhere=OPEN - {State.TO_DELETE},
        stops=_PRODUCING | {clocks.CLOCK_RULE_CLARIFICATION},
    ),
)

RUNNING_OUT: Final = frozenset((kind, state) for row in RUNS_OUT for kind in row.kinds for state in row.at)
"""What can end so at all: nearly nothing."""


def runs_out(rule: ClockRule, kind: Kind, state: State, *, elsewhere: bool = False) -> RunsOut | None:
    """Return what follows when a limit on a matter of that kind runs out in that state; None: it is overdue."""
    for row in RUNS_OUT:
        if row.rule == rule and kind in row.kinds and state in (row.elsewhere if elsewhere else row.at):
            return row
    return None
