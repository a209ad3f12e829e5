"""Which of several requests for one target goes first, as far as headers and states tell (2018/1805 Art. 26).

In: what is known of each competing request without reading any. Out: their order, and for each what put it behind the
one before it. Pure, and a proposal: the court decides, and says so in a PriorityDecision. The law names five criteria;
two of them are to be seen from outside:

    (a) the assets are already frozen for it   a state
    (b) dates of the orders and of their transmission   `created_at`, which the sender says, and when it was recorded

The interests of victims, the seriousness of the offence (c) and the place where it was committed (d) are in documents
that no node reads: they are named in every result as left to a person, and may turn all of this round.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import pairwise
from typing import Final

from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices


class DecidedBy(Enum):
    """What put a request behind the one before it."""

    ALREADY_FROZEN = notices.PRIORITY_CRITERION_ALREADY_FROZEN  # Art. 26 (a)
    DATES = notices.PRIORITY_CRITERION_DATES  # Art. 26 (b)
    CONTESTED_DATES = "contested-dates"  # made before and sent after the other: a person weighs (b)
    NOTHING = "nothing"  # it is level with the one before it


LEFT_TO_A_PERSON: Final = (
    notices.PRIORITY_CRITERION_VICTIMS,
    notices.PRIORITY_CRITERION_SERIOUSNESS,
    notices.PRIORITY_CRITERION_PLACE,
)
"""What no header tells."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of several requests for one target.

    Args:
        ref: its name.
        is_frozen: whether something has been frozen for it and still is.
        created_at: when its sender says that it was made. A sender may date back, by as much as the node allows.
        recorded_at: when the node of the executing State recorded it; this the sender cannot choose.
    """

    ref: ids.EnvelopeRef
    is_frozen: bool
    created_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Ranked:
    """One request in its place.

    Args:
        candidate: the request.
        place: from 1; requests that are level have the same.
        decided_by: what put it behind the one before it; None of the first.
        left_to_a_person: criteria that were not weighed.
    """

    candidate: Candidate
    place: int
    decided_by: DecidedBy | None
    left_to_a_person: tuple[notices.PriorityCriterion.ValueType, ...] = LEFT_TO_A_PERSON


def rank(candidates: Iterable[Candidate]) -> tuple[Ranked, ...]:
    """Put competing requests into the order that headers and states speak for.

    1. What is already frozen for somebody comes first.
    2. Then what was made first; of what was made at the same moment, what was recorded first.
    3. Where the two dates point in different directions, the order stands and the result says that it is contested.
    """
    ordered = sorted(candidates, key=_order)
    if not ordered:
        return ()
    ranked = [Ranked(ordered[0], 1, None)]
    for position, (before, after) in enumerate(pairwise(ordered), start=2):
        decided_by = _between(before, after)
        place = ranked[-1].place if decided_by is DecidedBy.NOTHING else position
        ranked.append(Ranked(after, place, decided_by))
    return tuple(ranked)


def _order(one: Candidate) -> tuple[bool, datetime, datetime, str, str]:
    # Names decide nothing: they only make the same list come out in the same order.
    return not one.is_frozen, one.created_at, one.recorded_at, one.ref.sender, one.ref.id


def _between(before: Candidate, after: Candidate) -> DecidedBy:
    if before.is_frozen != after.is_frozen:  # (1)
        return DecidedBy.ALREADY_FROZEN
    if (before.created_at, before.recorded_at) == (after.created_at, after.recorded_at):
        return DecidedBy.NOTHING
    # (2), (3)
    return DecidedBy.DATES if before.recorded_at <= after.recorded_at else DecidedBy.CONTESTED_DATES
