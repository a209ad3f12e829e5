"""Grounds: on which of them one may refuse, postpone or fail to execute what.

In: a ground, the outcome that it stands for, and what was asked. Out: whether it fits. One table; its rows are the
letters of the law, each with its articles.

The instrument is not asked: a freeze or a confiscation may rest on a treaty, and then has the grounds of mutual legal
assistance. What is closed to both is closed here: a trial in absence is no ground against a freeze.

Sources: Regulation (EU) 2018/1805 Art. 8(1), 10(1), 13(3), 19(1), 21(1), 22(3); Regulation (EU) 2023/1543 Art. 12(1),
16(4); Directive 2014/41/EU Art. 11(1); UNCAC Art. 46(21), (25); Budapest Convention Art. 29(4)-(5). Bank secrecy is no
ground (UNCAC Art. 46(8)).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from rogatory.v1 import identifiers_pb2 as ids

Ground: TypeAlias = ids.Ground.ValueType
Kind: TypeAlias = ids.Kind.ValueType
Outcome: TypeAlias = ids.Outcome.ValueType

REFUSING: Final[frozenset[Outcome]] = frozenset({ids.OUTCOME_REFUSED, ids.OUTCOME_PARTLY_GRANTED})
"""The whole, or a part (2018/1805 Art. 8(1), 19(1))."""
POSTPONING: Final[frozenset[Outcome]] = frozenset({ids.OUTCOME_POSTPONED, ids.OUTCOME_PARTLY_GRANTED})
"""The whole, or a part while the rest is granted."""

FREEZE: Final[frozenset[Kind]] = frozenset({ids.KIND_FREEZE_REQUEST, ids.KIND_PROVISIONAL_FREEZE})
CONFISCATION: Final[frozenset[Kind]] = frozenset({ids.KIND_CONFISCATION_REQUEST})
EVIDENCE: Final[frozenset[Kind]] = frozenset({ids.KIND_EVIDENCE_REQUEST})
ENFORCEMENT: Final[frozenset[Kind]] = frozenset({ids.KIND_ENFORCEMENT_REQUEST})
RESTITUTION: Final[frozenset[Kind]] = frozenset({ids.KIND_RESTITUTION_DECISION})
PRESERVATION: Final[frozenset[Kind]] = frozenset({ids.KIND_PRESERVATION_REQUEST})
ASSISTANCE: Final[frozenset[Kind]] = (
    FREEZE | CONFISCATION | EVIDENCE | RESTITUTION | frozenset({ids.KIND_TAKEDOWN_NOTICE})
)
"""All but an enforcement and a preservation, whose grounds are numbered one by one (2023/1543 Art. 16(4); Budapest
Convention Art. 29(4)-(5): no others, and none to postpone it)."""
DRAFT: Final[frozenset[Kind]] = frozenset({ids.KIND_DRAFT})
ORDERS: Final[frozenset[Kind]] = frozenset(
    {ids.KIND_DOMESTIC_ORDER, ids.KIND_PROVISIONAL_ORDER, ids.KIND_TRANSFER_ORDER}
)
"""What an exchange is ordered. It reports what is impossible; it refuses nothing, and postpones nothing."""


@dataclass(frozen=True, slots=True)
class GroundRule:
    """Where one ground may stand.

    Args:
        law: article and letter.
        outcomes: beside which.
        decisions: on what was asked, by kind; empty if it is no ground of a decision.
        reports: on the execution of what was asked or ordered, by kind; empty if it is no ground of a report.
    """

    law: str
    outcomes: frozenset[Outcome]
    decisions: frozenset[Kind] = frozenset()
    reports: frozenset[Kind] = frozenset()


def _refuses(law: str, asked: frozenset[Kind]) -> GroundRule:
    return GroundRule(law, REFUSING, decisions=asked)


def _postpones(law: str, asked: frozenset[Kind]) -> GroundRule:
    return GroundRule(law, POSTPONING, decisions=asked)


def _impossible(law: str, asked: frozenset[Kind]) -> GroundRule:
    return GroundRule(law, REFUSING, reports=asked | ORDERS)


_ASSETS: Final = FREEZE | CONFISCATION | RESTITUTION

GROUNDS: Final[Mapping[Ground, GroundRule]] = MappingProxyType(
    {
        ids.GROUND_NE_BIS_IN_IDEM: _refuses("2018/1805 Art. 8(1)(a), 19(1)(a); 2023/1543 Art. 12(1)(c)", ASSISTANCE),
        ids.GROUND_PRIVILEGE_OR_IMMUNITY: _refuses(
            "2018/1805 Art. 8(1)(b), 19(1)(b); 2023/1543 Art. 12(1)(a), 16(4)(f)", ASSISTANCE | ENFORCEMENT
        ),
        ids.GROUND_CERTIFICATE_INCOMPLETE: _refuses("2018/1805 Art. 8(1)(c), 19(1)(c)", ASSISTANCE),
        ids.GROUND_TERRITORIALITY: _refuses(
            "2018/1805 Art. 8(1)(d), 19(1)(d); 2014/41 Art. 11(1)(e)", FREEZE | CONFISCATION | EVIDENCE
        ),
        ids.GROUND_NO_DUAL_CRIMINALITY: _refuses(
            "2018/1805 Art. 8(1)(e), 19(1)(f); 2023/1543 Art. 12(1)(d); UNCAC Art. 46(9); Budapest Convention 29(4)",
            ASSISTANCE | PRESERVATION,
        ),
        ids.GROUND_FUNDAMENTAL_RIGHT: _refuses(
            "2018/1805 Art. 8(1)(f), 19(1)(h); 2023/1543 Art. 12(1)(b), 16(4)(g)", ASSISTANCE | ENFORCEMENT
        ),
        ids.GROUND_RIGHTS_OF_AFFECTED_PERSONS: _refuses(
            "2018/1805 Art. 19(1)(e), 29(2)(c)", CONFISCATION | RESTITUTION
        ),
        ids.GROUND_TRIAL_IN_ABSENCE: _refuses("2018/1805 Art. 19(1)(g)", CONFISCATION),
        # A ministry returns a draft to its own investigator: no article, national law.
        ids.GROUND_RETURNED_FOR_CORRECTION: GroundRule(
            "national law", frozenset({ids.OUTCOME_REFUSED}), decisions=DRAFT
        ),
        ids.GROUND_IMPOSSIBLE: _impossible("2018/1805 Art. 13(3), 22(3)", ASSISTANCE | PRESERVATION | ENFORCEMENT),
        ids.GROUND_ALREADY_CONFISCATED: _impossible("2018/1805 Art. 13(3)(a), 22(3)(a)", _ASSETS),
        ids.GROUND_DISAPPEARED: _impossible("2018/1805 Art. 13(3)(b), 22(3)(b)", _ASSETS),
        ids.GROUND_DESTROYED: _impossible("2018/1805 Art. 13(3)(c), 22(3)(c)", _ASSETS),
        ids.GROUND_NOT_AT_PLACE: _impossible("2018/1805 Art. 13(3)(d), 22(3)(d)", _ASSETS),
        ids.GROUND_PLACE_NOT_PRECISE: _impossible("2018/1805 Art. 13(3)(e), 22(3)(e)", _ASSETS),
        ids.GROUND_ONGOING_INVESTIGATION: _postpones(
            "2018/1805 Art. 10(1)(a), 21(1)(a); UNCAC Art. 46(25)", ASSISTANCE
        ),
        ids.GROUND_ALREADY_FROZEN: _postpones("2018/1805 Art. 10(1)(b)", FREEZE),
        ids.GROUND_PRIORITY_OF_OTHER_ORDER: _postpones("2018/1805 Art. 10(1)(c)", FREEZE),
        ids.GROUND_TOTAL_AT_RISK: _postpones("2018/1805 Art. 21(1)(b)", CONFISCATION),
        ids.GROUND_ONGOING_CONFISCATION: _postpones("2018/1805 Art. 21(1)(c)", CONFISCATION),
        ids.GROUND_REMEDY_INVOKED: _postpones("2018/1805 Art. 21(1)(d)", CONFISCATION),
        ids.GROUND_ESSENTIAL_INTERESTS: _refuses(
            "UNCAC Art. 46(21)(b); Budapest Convention 29(5)(b)", ASSISTANCE | PRESERVATION
        ),
        ids.GROUND_POLITICAL_OFFENCE: _refuses(
            "practice of treaties; Budapest Convention 29(5)(a)", ASSISTANCE | PRESERVATION
        ),
        ids.GROUND_MILITARY_OFFENCE: _refuses("practice of treaties", ASSISTANCE),
        ids.GROUND_DISCRIMINATORY_PURPOSE: _refuses("practice of treaties", ASSISTANCE),
        ids.GROUND_PENALTY_OR_UNFAIR_TRIAL: _refuses("practice of treaties", ASSISTANCE),
        ids.GROUND_CONTRARY_TO_DOMESTIC_LAW: _refuses("UNCAC Art. 46(21)(c), (d)", ASSISTANCE),
        ids.GROUND_ONGOING_DOMESTIC_PROCEEDINGS: _refuses("practice of treaties", ASSISTANCE),
        ids.GROUND_DISPROPORTIONATE: _refuses("UNCAC Art. 46(9)(b), 55(7)", ASSISTANCE),
        ids.GROUND_DATA_PROTECTION: _refuses("practice of treaties", ASSISTANCE),
        ids.GROUND_NO_LEGAL_BASIS: _refuses("practice of treaties", ASSISTANCE),
        ids.GROUND_NOT_VALIDLY_ISSUED: _refuses("2023/1543 Art. 16(4)(a)", ENFORCEMENT),
        ids.GROUND_OFFENCE_OUT_OF_SCOPE: _refuses("2023/1543 Art. 16(4)(b)", ENFORCEMENT),
        ids.GROUND_MANIFEST_ERRORS: _refuses("2023/1543 Art. 16(4)(c)", ENFORCEMENT),
        # The one ground of both: a provider reports it, and a State does not enforce because of it.
        ids.GROUND_DATA_NOT_HELD: GroundRule(
            "2023/1543 Art. 16(4)(d), Annex III section D",
            REFUSING,
            decisions=ENFORCEMENT,
            reports=ASSISTANCE | PRESERVATION | ENFORCEMENT | ORDERS,
        ),
        ids.GROUND_SERVICE_NOT_COVERED: _refuses("2023/1543 Art. 16(4)(e)", ENFORCEMENT),
    }
)

FOR_GOOD: Final[frozenset[Ground]] = frozenset({ids.GROUND_ALREADY_CONFISCATED, ids.GROUND_DESTROYED})
"""Letters (a) and (c). On (b), (d) and (e) the certificate may be executed later, once it is checked that it still
stands (Art. 13(3), 22(3))."""

PRIORITY: Final[frozenset[Ground]] = frozenset({ids.GROUND_PRIORITY_OF_OTHER_ORDER, ids.GROUND_ALREADY_FROZEN})
"""Why another order goes first (2018/1805 Art. 26): the grounds of a decision on priority that is against this one."""

CONSULTED: Final[frozenset[Ground]] = frozenset(
    ground for ground, rule in GROUNDS.items() if rule.decisions - DRAFT and ids.OUTCOME_REFUSED in rule.outcomes
)
"""Grounds of refusal, before which the issuing authority is consulted (2018/1805 Art. 8(2), 19(2); UNCAC 46(26))."""


def fits(ground: Ground, outcome: Outcome, *, report: bool, asked: Kind | None) -> bool:
    """Whether a ground, or none, may stand beside an outcome.

    Args:
        ground: as the header says; GROUND_UNSPECIFIED for none.
        outcome: as the header says.
        report: whether it is a report on execution; else it is a decision.
        asked: kind of the request or order that it is about; None if that is not known, then any.

    Returns:
        Without a ground, true for what needs none: a grant, whole or in part, or no outcome at all.
    """
    if not ground:
        return outcome not in (ids.OUTCOME_REFUSED, ids.OUTCOME_POSTPONED)
    rule = GROUNDS.get(ground)
    if rule is None or outcome not in rule.outcomes:
        return False
    kinds = rule.reports if report else rule.decisions
    return bool(kinds) if asked is None else asked in kinds
