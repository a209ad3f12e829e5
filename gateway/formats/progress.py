"""Where a freeze stands, and the only moves between the places.

In: steps, or two of them. Out: whether the second may follow the first. Knows nothing of who asks: the rules are the
same for an exchange's report and for what a court makes of it.

Every status says who acts next. One that has no exit is final. `WITHDRAWN` is in between: it is the end where nothing
had been frozen, and else the freeze must still be released (2018/1805 Art. 27).

Source: house rules, from the practice of exchanges; what may be executed later, Regulation (EU) 2018/1805 Art. 13(3).
"""

from types import MappingProxyType
from typing import Final, TypeAlias

from rogatory.v1 import orders_pb2 as orders

Status: TypeAlias = orders.FreezeStatus.ValueType

FIRST: Final[Status] = orders.FREEZE_STATUS_RECEIVED

_RESULTS: Final = frozenset(
    {
        orders.FREEZE_STATUS_FROZEN,
        orders.FREEZE_STATUS_PARTIALLY_FROZEN,
        orders.FREEZE_STATUS_NOT_FOUND,
        orders.FREEZE_STATUS_INSUFFICIENT_BALANCE,
        orders.FREEZE_STATUS_ALREADY_FROZEN,
        orders.FREEZE_STATUS_ALREADY_MOVED,
        orders.FREEZE_STATUS_IMPOSSIBLE,
    }
)
_WITHDRAWN: Final = frozenset({orders.FREEZE_STATUS_WITHDRAWN})
_AFTER_A_FREEZE: Final = _WITHDRAWN | {
    orders.FREEZE_STATUS_EXTENDED,
    orders.FREEZE_STATUS_LIMITED,
    orders.FREEZE_STATUS_SUSPENDED_BY_REMEDY,
    orders.FREEZE_STATUS_PARTIALLY_RELEASED,
    orders.FREEZE_STATUS_RELEASED,
    orders.FREEZE_STATUS_TRANSFERRED,
    orders.FREEZE_STATUS_EXPIRED,
}
# What could not be executed may be later, on the same order, once it is checked that it still stands (Art. 13(3)).
_LATER: Final = _WITHDRAWN | {orders.FREEZE_STATUS_LEGAL_CHECK}
# What comes in later is held too, where the order says so.
_MORE_COMES_IN: Final = frozenset({orders.FREEZE_STATUS_FROZEN, orders.FREEZE_STATUS_PARTIALLY_FROZEN})

NEXT: Final[MappingProxyType[Status, frozenset[Status]]] = MappingProxyType(
    {
        # the exchange acts next: it confirms the receipt; or it freezes at once, and its report is the confirmation
        orders.FREEZE_STATUS_RECEIVED: _WITHDRAWN
        | _RESULTS
        | {orders.FREEZE_STATUS_ACKNOWLEDGED, orders.FREEZE_STATUS_LEGAL_CHECK},
        # the exchange acts next: it checks the order, or freezes at once
        orders.FREEZE_STATUS_ACKNOWLEDGED: _WITHDRAWN | _RESULTS | {orders.FREEZE_STATUS_LEGAL_CHECK},
        # the exchange acts next: it executes, objects or asks
        orders.FREEZE_STATUS_LEGAL_CHECK: _WITHDRAWN
        | _RESULTS
        | {orders.FREEZE_STATUS_OBJECTED, orders.FREEZE_STATUS_CLARIFICATION},
        # the court acts next: it upholds the order, corrects or withdraws it
        orders.FREEZE_STATUS_OBJECTED: _LATER,
        # the court acts next: it answers
        orders.FREEZE_STATUS_CLARIFICATION: _LATER,
        # the court acts next: it extends, limits, releases or transfers; the order itself ends it
        # only if it says so
        orders.FREEZE_STATUS_FROZEN: _AFTER_A_FREEZE,
        # the court acts next, or the rest comes in
        orders.FREEZE_STATUS_PARTIALLY_FROZEN: _AFTER_A_FREEZE | _MORE_COMES_IN,
        # the court acts next: which order comes first (2018/1805 Art. 26)
        orders.FREEZE_STATUS_ALREADY_FROZEN: _AFTER_A_FREEZE | {orders.FREEZE_STATUS_FROZEN},
        # the court acts next, or something comes in
        orders.FREEZE_STATUS_INSUFFICIENT_BALANCE: _WITHDRAWN | _MORE_COMES_IN | {orders.FREEZE_STATUS_EXPIRED},
        # the court acts next: it names the account better, or lets it rest
        orders.FREEZE_STATUS_NOT_FOUND: _LATER,
        # the court acts next: the hashes tell where to ask
        orders.FREEZE_STATUS_ALREADY_MOVED: _LATER,
        # the court acts next: as after a freeze
        orders.FREEZE_STATUS_EXTENDED: _AFTER_A_FREEZE,
        # the court acts next: as after a freeze
        orders.FREEZE_STATUS_LIMITED: _AFTER_A_FREEZE,
        # the court acts next: it decides on the remedy; until then nothing is transferred, extended or limited
        orders.FREEZE_STATUS_SUSPENDED_BY_REMEDY: _WITHDRAWN
        | _MORE_COMES_IN
        | {
            orders.FREEZE_STATUS_PARTIALLY_RELEASED,
            orders.FREEZE_STATUS_RELEASED,
            orders.FREEZE_STATUS_EXPIRED,
        },
        # the court acts next: as after a freeze, on what is left
        orders.FREEZE_STATUS_PARTIALLY_RELEASED: _AFTER_A_FREEZE,
        # the exchange acts next, if something is frozen: it ends the measures and confirms it (Art. 27)
        orders.FREEZE_STATUS_WITHDRAWN: frozenset({orders.FREEZE_STATUS_RELEASED}),
        # final, all four; IMPOSSIBLE is what no later attempt can change: confiscated or destroyed (Art. 13(3)(a), (c))
        orders.FREEZE_STATUS_IMPOSSIBLE: frozenset(),
        orders.FREEZE_STATUS_RELEASED: frozenset(),
        orders.FREEZE_STATUS_TRANSFERRED: frozenset(),
        orders.FREEZE_STATUS_EXPIRED: frozenset(),
    }
)


def may_follow(before: Status, after: Status) -> bool:
    """Whether a freeze that stands at `before` may come to stand at `after` in one step."""
    return after in NEXT.get(before, frozenset())
