"""Which of the copies that wait for one destination goes first.

In: what is due in each lane, oldest first, and a number by chance. Out: one order of all. Pure.
An emergency overtakes whatever is queued. Yet no lane starves the one below it: each lane but the first has a place of
its own in every eight, whatever the lanes above are filled with. Order within a case is not made here: the store lets
no copy into a lane above, or into other hands, before an earlier one of its case (`Transaction.lease`).
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum, unique
from typing import Final, TypeVar

from rogatory.v1 import identifiers_pb2 as ids

T = TypeVar("T")


@unique
class Lane(IntEnum):
    """Where a copy queues; stored as its number."""

    EMERGENCY = 0  # 8 hours (2023/1543 Art. 10(4))
    URGENT = 1  # 48 hours (2018/1805 Art. 9(3))
    ORDINARY = 2  # without delay


PLACES: Final = (
    Lane.EMERGENCY,
    Lane.EMERGENCY,
    Lane.EMERGENCY,
    Lane.URGENT,
    Lane.EMERGENCY,
    Lane.EMERGENCY,
    Lane.EMERGENCY,
    Lane.ORDINARY,
)
"""Whose each place is, again and again. A lane that has nothing leaves its place to the first that has."""

_OF_URGENCY: Final = {
    ids.URGENCY_EMERGENCY: Lane.EMERGENCY,
    ids.URGENCY_URGENT: Lane.URGENT,
}


def lane_of(urgency: ids.Urgency.ValueType) -> Lane:
    """Return the lane of an envelope; what a later version may know besides goes with the ordinary."""
    return _OF_URGENCY.get(urgency, Lane.ORDINARY)


def own_places(lane: Lane, limit: int) -> int:
    """Return how many of `limit` places in a row are a lane's own, at most."""
    rounds, rest = divmod(limit, len(PLACES))
    return rounds * PLACES.count(lane) + min(rest, PLACES.count(lane))


def in_turn(due: Mapping[Lane, Sequence[T]], chance: float) -> Iterator[T]:
    """Yield all that is due: each lane in its own order, the lanes by their places.

    Args:
        due: what is due in each lane, oldest first.
        chance: in [0, 1): where in the eight to begin. Whoever takes one at a time, with no memory of the last time,
            comes to every place in the end.
    """
    waiting = {lane: deque(due.get(lane, ())) for lane in Lane}
    place = int(chance * len(PLACES))
    while left := [lane for lane in Lane if waiting[lane]]:
        turn = PLACES[place % len(PLACES)]
        yield waiting[turn if waiting[turn] else left[0]].popleft()
        place += 1
