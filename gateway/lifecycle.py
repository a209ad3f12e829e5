"""States of a delivery and the only moves between them.

In: a state and an event. Out: the next state. Refuses every pair not in the table.
Knows nothing of who asks: the rules are the same for a mailbox and for another node.
The SQL check is generated from State; do not repeat it elsewhere.

A delivery is one copy of one envelope or receipt on its way to one destination: a participant's mailbox, or a node.
Words: a *clean* failure is one after which the destination certainly does not hold the copy (the connection was never
made); after any other, only its own answer can tell, and until then nobody may say that it expired.
"""

from enum import Enum
from types import MappingProxyType
from typing import Final

from gateway.errors import ErrorCode, Refusal


class State(Enum):
    """Where one copy is, and who acts next."""

    QUEUED = "queued"  # never left us; a courier or a collecting participant acts next
    DELIVERING = "delivering"  # leased, first time out; that lease's holder acts next, or the lease runs out
    DOUBTFUL = "doubtful"  # may have arrived; only the destination's answer can tell: a courier asks again
    ASKING = "asking"  # leased again after doubt; that lease's holder acts next, or the lease runs out
    DELIVERED = "delivered"  # final: the destination has it and said so
    REFUSED = "refused"  # final: the destination's rule said no, with a code
    EXPIRED = "expired"  # final: its time ran out and the destination does not hold it


class Event(Enum):
    """What can happen to it."""

    LEASE = "lease"  # somebody took it to deliver it
    FAIL_CLEAN = "fail-clean"  # the destination was not reached at all
    FAIL_UNKNOWN = "fail-unknown"  # the connection broke, or the lease ran out, before an answer came
    CONFIRM = "confirm"  # the destination holds it
    REFUSE = "refuse"  # the destination refused it
    EXPIRE = "expire"  # its time ran out and the destination does not hold it


FINAL: Final = frozenset({State.DELIVERED, State.REFUSED, State.EXPIRED})
LEASED: Final = frozenset({State.DELIVERING, State.ASKING})

NEXT: Final = MappingProxyType(
    {
        (State.QUEUED, Event.LEASE): State.DELIVERING,
        (State.QUEUED, Event.EXPIRE): State.EXPIRED,
        (State.DELIVERING, Event.CONFIRM): State.DELIVERED,
        (State.DELIVERING, Event.REFUSE): State.REFUSED,
        # The destination's own answer: it came too late.
        (State.DELIVERING, Event.EXPIRE): State.EXPIRED,
        (State.DELIVERING, Event.FAIL_CLEAN): State.QUEUED,
        (State.DELIVERING, Event.FAIL_UNKNOWN): State.DOUBTFUL,
        (State.DOUBTFUL, Event.LEASE): State.ASKING,
        # The destination may acknowledge late, over a new connection, what an old one brought.
        (State.DOUBTFUL, Event.CONFIRM): State.DELIVERED,
        (State.ASKING, Event.CONFIRM): State.DELIVERED,
        (State.ASKING, Event.REFUSE): State.REFUSED,
        # Not reached this time tells nothing of the time before: the doubt stays.
        (State.ASKING, Event.FAIL_CLEAN): State.DOUBTFUL,
        (State.ASKING, Event.FAIL_UNKNOWN): State.DOUBTFUL,
        # Only after asking: the destination said that it does not hold it.
        (State.ASKING, Event.EXPIRE): State.EXPIRED,
    }
)

ACTS_NEXT: Final = MappingProxyType(
    {
        State.QUEUED: "the node itself",
        State.DELIVERING: "the destination",
        State.DOUBTFUL: "the node itself",
        State.ASKING: "the destination",
        State.DELIVERED: "nobody",
        State.REFUSED: "the sender",
        State.EXPIRED: "the sender",
    }
)


def advance(state: State, event: Event) -> State:
    """Return the state that follows `state` on `event`.

    Raises:
        Refusal: ILLEGAL_TRANSITION, e.g. a peer confirms after expiry. Nothing has changed.
    """
    try:
        return NEXT[state, event]
    except KeyError:
        detail = f"a delivery that is {state.value} cannot {event.value}"
        raise Refusal(ErrorCode.ILLEGAL_TRANSITION, detail) from None
