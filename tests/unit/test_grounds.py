"""On which ground one may refuse, postpone or fail to execute what: letter by letter."""

import pytest
from rogatory.v1 import identifiers_pb2 as ids

from gateway.formats import grounds
from gateway.formats.grounds import GROUNDS, fits

FREEZE, CONFISCATION, EVIDENCE = ids.KIND_FREEZE_REQUEST, ids.KIND_CONFISCATION_REQUEST, ids.KIND_EVIDENCE_REQUEST
ENFORCEMENT, PRESERVATION = ids.KIND_ENFORCEMENT_REQUEST, ids.KIND_PRESERVATION_REQUEST
REFUSED, PARTLY, POSTPONED = ids.OUTCOME_REFUSED, ids.OUTCOME_PARTLY_GRANTED, ids.OUTCOME_POSTPONED
EVERY = [ground for ground in ids.Ground.values() if ground]

REFUSE_FREEZING = {
    "Art. 8(1)(a)": ids.GROUND_NE_BIS_IN_IDEM,
    "Art. 8(1)(b)": ids.GROUND_PRIVILEGE_OR_IMMUNITY,
    "Art. 8(1)(c)": ids.GROUND_CERTIFICATE_INCOMPLETE,
    "Art. 8(1)(d)": ids.GROUND_TERRITORIALITY,
    "Art. 8(1)(e)": ids.GROUND_NO_DUAL_CRIMINALITY,
    "Art. 8(1)(f)": ids.GROUND_FUNDAMENTAL_RIGHT,
}
REFUSE_CONFISCATION = {
    "19(1)(a)": ids.GROUND_NE_BIS_IN_IDEM,
    "19(1)(b)": ids.GROUND_PRIVILEGE_OR_IMMUNITY,
    "19(1)(c)": ids.GROUND_CERTIFICATE_INCOMPLETE,
    "19(1)(d)": ids.GROUND_TERRITORIALITY,
    "19(1)(e)": ids.GROUND_RIGHTS_OF_AFFECTED_PERSONS,
    "19(1)(f)": ids.GROUND_NO_DUAL_CRIMINALITY,
    "19(1)(g)": ids.GROUND_TRIAL_IN_ABSENCE,
    "19(1)(h)": ids.GROUND_FUNDAMENTAL_RIGHT,
}
POSTPONE_FREEZING = {
    "Art. 10(1)(a)": ids.GROUND_ONGOING_INVESTIGATION,
    "Art. 10(1)(b)": ids.GROUND_ALREADY_FROZEN,
    "Art. 10(1)(c)": ids.GROUND_PRIORITY_OF_OTHER_ORDER,
}
POSTPONE_CONFISCATION = {
    "21(1)(a)": ids.GROUND_ONGOING_INVESTIGATION,
    "21(1)(b)": ids.GROUND_TOTAL_AT_RISK,
    "21(1)(c)": ids.GROUND_ONGOING_CONFISCATION,
    "21(1)(d)": ids.GROUND_REMEDY_INVOKED,
}
IMPOSSIBLE = {
    "13(3)(a), 22(3)(a)": ids.GROUND_ALREADY_CONFISCATED,
    "13(3)(b), 22(3)(b)": ids.GROUND_DISAPPEARED,
    "13(3)(c), 22(3)(c)": ids.GROUND_DESTROYED,
    "13(3)(d), 22(3)(d)": ids.GROUND_NOT_AT_PLACE,
    "13(3)(e), 22(3)(e)": ids.GROUND_PLACE_NOT_PRECISE,
}
ENFORCE = {
    "16(4)(a)": ids.GROUND_NOT_VALIDLY_ISSUED,
    "16(4)(b)": ids.GROUND_OFFENCE_OUT_OF_SCOPE,
    "16(4)(c)": ids.GROUND_MANIFEST_ERRORS,
    "16(4)(d)": ids.GROUND_DATA_NOT_HELD,
    "16(4)(e)": ids.GROUND_SERVICE_NOT_COVERED,
    "16(4)(f)": ids.GROUND_PRIVILEGE_OR_IMMUNITY,
    "16(4)(g)": ids.GROUND_FUNDAMENTAL_RIGHT,
}
NOTIFIED = {
    "12(1)(a)": ids.GROUND_PRIVILEGE_OR_IMMUNITY,
    "12(1)(b)": ids.GROUND_FUNDAMENTAL_RIGHT,
    "12(1)(c)": ids.GROUND_NE_BIS_IN_IDEM,
    "12(1)(d)": ids.GROUND_NO_DUAL_CRIMINALITY,
}
PRESERVE = {
    "29(4)": ids.GROUND_NO_DUAL_CRIMINALITY,
    "29(5)(a)": ids.GROUND_POLITICAL_OFFENCE,
    "29(5)(b)": ids.GROUND_ESSENTIAL_INTERESTS,
}
# Of any instrument: a freeze, a confiscation may rest on a treaty (UNCAC Art. 46(21)).
OF_TREATIES = frozenset(
    {
        ids.GROUND_ESSENTIAL_INTERESTS,
        ids.GROUND_POLITICAL_OFFENCE,
        ids.GROUND_MILITARY_OFFENCE,
        ids.GROUND_DISCRIMINATORY_PURPOSE,
        ids.GROUND_PENALTY_OR_UNFAIR_TRIAL,
        ids.GROUND_CONTRARY_TO_DOMESTIC_LAW,
        ids.GROUND_ONGOING_DOMESTIC_PROCEEDINGS,
        ids.GROUND_DISPROPORTIONATE,
        ids.GROUND_DATA_PROTECTION,
        ids.GROUND_NO_LEGAL_BASIS,
    }
)

SETS = [
    (REFUSE_FREEZING, FREEZE, REFUSED),
    (REFUSE_CONFISCATION, CONFISCATION, REFUSED),
    (POSTPONE_FREEZING, FREEZE, POSTPONED),
    (POSTPONE_CONFISCATION, CONFISCATION, POSTPONED),
    (ENFORCE, ENFORCEMENT, REFUSED),
    (NOTIFIED, EVIDENCE, REFUSED),
    (PRESERVE, PRESERVATION, REFUSED),
]


@pytest.mark.parametrize(
    ("letter", "ground", "asked", "outcome"),
    [
        pytest.param(letter, ground, asked, outcome, id=f"{letter} {ids.Kind.Name(asked)}")
        for letters, asked, outcome in SETS
        for letter, ground in letters.items()
    ],
)
def test_each_letter_of_the_law_is_a_ground_of_a_decision(
    letter: str, ground: ids.Ground.ValueType, asked: ids.Kind.ValueType, outcome: ids.Outcome.ValueType
) -> None:
    assert letter in GROUNDS[ground].law
    assert fits(ground, outcome, report=False, asked=asked)
    assert fits(ground, PARTLY, report=False, asked=asked)  # a part is refused, or waits
    assert fits(ground, outcome, report=False, asked=None)
    assert not fits(ground, POSTPONED if outcome == REFUSED else REFUSED, report=False, asked=asked)
    assert not fits(ground, ids.OUTCOME_GRANTED, report=False, asked=asked)
    assert not fits(ground, ids.OUTCOME_UNSPECIFIED, report=False, asked=asked)


@pytest.mark.parametrize(
    ("asked", "outcome", "letters"),
    [
        pytest.param(FREEZE, REFUSED, {*REFUSE_FREEZING.values()} | OF_TREATIES, id="a freeze refused"),
        pytest.param(CONFISCATION, REFUSED, {*REFUSE_CONFISCATION.values()} | OF_TREATIES, id="a confiscation refused"),
        pytest.param(FREEZE, POSTPONED, {*POSTPONE_FREEZING.values()}, id="a freeze postponed"),
        pytest.param(CONFISCATION, POSTPONED, {*POSTPONE_CONFISCATION.values()}, id="a confiscation postponed"),
        pytest.param(ENFORCEMENT, REFUSED, {*ENFORCE.values()}, id="an enforcement refused"),
        pytest.param(ENFORCEMENT, POSTPONED, set(), id="an enforcement postponed"),
        pytest.param(PRESERVATION, REFUSED, {*PRESERVE.values()}, id="a preservation refused"),
        pytest.param(PRESERVATION, POSTPONED, set(), id="a preservation postponed"),
        pytest.param(EVIDENCE, POSTPONED, {ids.GROUND_ONGOING_INVESTIGATION}, id="evidence postponed"),
        pytest.param(ids.KIND_DRAFT, REFUSED, {ids.GROUND_RETURNED_FOR_CORRECTION}, id="a draft returned"),
        pytest.param(ids.KIND_DRAFT, POSTPONED, set(), id="a draft postponed"),
    ],
)
def test_no_other_ground_stands_against_it(
    asked: ids.Kind.ValueType, outcome: ids.Outcome.ValueType, letters: set[ids.Ground.ValueType]
) -> None:
    assert {each for each in EVERY if fits(each, outcome, report=False, asked=asked)} == letters


@pytest.mark.parametrize(("letter", "ground"), IMPOSSIBLE.items(), ids=IMPOSSIBLE)
def test_what_is_impossible_is_reported_and_no_reason_to_refuse(letter: str, ground: ids.Ground.ValueType) -> None:
    assert letter in GROUNDS[ground].law
    for asked in (FREEZE, CONFISCATION, ids.KIND_DOMESTIC_ORDER, None):
        assert fits(ground, REFUSED, report=True, asked=asked)
        assert fits(ground, PARTLY, report=True, asked=asked)
        assert not fits(ground, POSTPONED, report=True, asked=asked)
        assert not fits(ground, REFUSED, report=False, asked=asked)
    assert not fits(ground, REFUSED, report=True, asked=EVIDENCE)


def test_a_report_has_the_grounds_of_impossibility_alone() -> None:
    reported = {each for each in EVERY if fits(each, REFUSED, report=True, asked=FREEZE)}
    assert reported == {*IMPOSSIBLE.values(), ids.GROUND_IMPOSSIBLE, ids.GROUND_DATA_NOT_HELD}
    assert not [each for each in EVERY if fits(each, POSTPONED, report=True, asked=FREEZE)]


def test_trial_in_absence_is_never_a_ground_against_a_freeze() -> None:
    for outcome in ids.Outcome.values():
        for report in (False, True):
            assert not fits(ids.GROUND_TRIAL_IN_ABSENCE, outcome, report=report, asked=FREEZE)


def test_what_can_be_done_later_is_what_disappeared_or_was_not_found() -> None:
    assert set(IMPOSSIBLE.values()) - grounds.FOR_GOOD == {
        ids.GROUND_DISAPPEARED,
        ids.GROUND_NOT_AT_PLACE,
        ids.GROUND_PLACE_NOT_PRECISE,
    }


def test_a_grant_needs_no_ground_and_a_refusal_and_a_postponement_do() -> None:
    without = {
        outcome for outcome in ids.Outcome.values() if fits(ids.GROUND_UNSPECIFIED, outcome, report=False, asked=FREEZE)
    }
    assert without == {ids.OUTCOME_UNSPECIFIED, ids.OUTCOME_GRANTED, PARTLY}


def test_every_ground_has_its_row_and_each_row_a_place() -> None:
    assert set(GROUNDS) == set(EVERY)
    for rule in GROUNDS.values():
        assert rule.law
        assert rule.outcomes
        assert rule.decisions or rule.reports


def test_before_every_refusal_between_states_the_issuing_authority_is_consulted() -> None:
    refusing = {each for each in EVERY if fits(each, REFUSED, report=False, asked=None)}
    assert refusing - grounds.CONSULTED == {ids.GROUND_RETURNED_FOR_CORRECTION}
    assert refusing >= grounds.CONSULTED


def test_a_ground_of_a_newer_version_fits_nowhere() -> None:
    newer = ids.Ground.ValueType(99)
    assert not any(
        fits(newer, outcome, report=report, asked=None) for outcome in ids.Outcome.values() for report in (False, True)
    )
