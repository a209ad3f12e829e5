"""Stage 8, deliver: leases, attempts, back-off, expiry.

In: `Route`s, and what couriers and mailboxes report. Out: deliveries in the state that `lifecycle` allows. At least
once on the wire; the receiving end drops what it holds already. No I/O of its own: it works on the writer's
transaction, and those who carry things call it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from rogatory.v1 import envelope_pb2 as pb

from gateway.clock import MICROS, from_micros, to_micros
from gateway.config import Delivery
from gateway.dispatch import Route, destination_of
from gateway.envelope import ref_of
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.gathering import MAX_FRAME_BYTES
from gateway.identity import Address
from gateway.lanes import Lane, lane_of
from gateway.lifecycle import FINAL, LEASED, Event, State
from gateway.store import Leased, Transaction
from gateway.store.foreseen import DeliveryRow

SWEEP_ROWS: Final = 256
MAX_ERROR_CHARS: Final = 300

FRAME_ITEMS: Final = 64
SMALLEST_FRAME_BYTES: Final = 4 << 10
Chance = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Settled:
    """A delivery that has just moved."""

    row: DeliveryRow
    state: State


def expect(headers: Sequence[pb.Header], txn: Transaction, here: str) -> None:
    """Look up at once what the copies of these envelopes may go before."""
    lanes = [(header, lane_of(header.urgency)) for header in headers if header.urgency]
    txn.deliveries.expect_slower(
        [
            (destination_of(recipient, here), header.case_id, lane.value)
            for header, lane in lanes
            if lane is not Lane.ORDINARY
            for recipient in header.recipients
        ]
    )


def enqueue(route: Route, txn: Transaction, max_skew_seconds: float = 0.0) -> None:
    """Queue a recorded envelope for its destination; for another node, behind the files that it names.

    What was written before the store was put back from a backup may have been recorded here before, and forgotten: its
    copy may have gone out, so it is in doubt from the beginning, as those which the backup has.

    Args:
        route: the way.
        txn: the writer's transaction.
        max_skew_seconds: how far ahead of ours the clock may be by which it was written.
    """
    header, restored_at_us = route.recorded.header, txn.restored_at_us
    doubted = restored_at_us is not None and header.created_at_us <= restored_at_us + max_skew_seconds * MICROS
    if doubted:
        why = "it was written before the store was restored from a backup, and may have gone out before"
        txn.add_event(header, "delivery.doubted", destination=route.destination, detail=why)
    txn.deliveries.add(
        route.destination,
        envelope_seq=route.recorded.seq,
        case_id=header.case_id,
        lane=lane_of(header.urgency),
        expires_at_us=header.expires_at_us if header.HasField("expires_at_us") else None,
        doubted=doubted,
    )
    if header.attachments_digest and Address.parse(route.destination, allow_node=True).is_node:
        txn.attachments.hold(route.recorded.seq, route.destination)
        txn.wake.add(freight_for(route.destination))


def freight_for(destination: str) -> str:
    """Return what rings for whoever brings a node its files: most envelopes have none, and ask nobody to look."""
    return f"freight:{destination}"


def again_for(destination: str) -> str:
    """Return what rings when an operator wants what waits there to be tried now, whatever it rests for."""
    return f"again:{destination}"


def lease(
    txn: Transaction,
    destination: str,
    holder: str,
    limit: int,
    settings: Delivery,
    chance: Chance,
    max_bytes: int = MAX_FRAME_BYTES,
) -> list[Leased]:
    """Take up to `limit` due copies for a destination into the hands of `holder` for a while.

    What is urgent goes first, yet no lane starves (`lanes`).
    """
    until = from_micros(txn.now_us) + timedelta(seconds=settings.lease_seconds)
    return txn.deliveries.lease(destination, holder, to_micros(until), limit, max_bytes, chance())


def settle(txn: Transaction, seq: int, event: Event) -> Settled:
    """Move a delivery by what its destination answered.

    Raises:
        Refusal: NOT_FOUND, no such delivery; ILLEGAL_TRANSITION.
    """
    row = txn.deliveries.find(seq)
    if row is None:
        raise Refusal(ErrorCode.NOT_FOUND, f"no delivery {seq}")
    return Settled(row, txn.deliveries.move(row, event))


def fail(txn: Transaction, seq: int, holder: str, event: Event, error: GatewayError, delay: float) -> None:
    """Give a leased copy back after an attempt that did not succeed, to be tried again after `delay` seconds."""
    row = txn.deliveries.find(seq)
    # Somebody else may hold it by now, or have settled it: then this attempt no longer matters.
    if row is None or row.holder != holder or row.state not in LEASED:
        return
    text = f"{error.code.name}: {error.detail}"[:MAX_ERROR_CHARS]
    again = from_micros(txn.now_us) + timedelta(seconds=delay)
    txn.deliveries.move(row, event, error=text, next_attempt_at_us=to_micros(again))
    if row.header is not None:
        detail = error.detail[:MAX_ERROR_CHARS]
        ref = ref_of(row.header)
        txn.add_event(ref, "delivery.failed", destination=row.destination, code=error.code, detail=detail)


def sweep(txn: Transaction) -> list[Settled]:
    """Take back lapsed leases and expire what never left; return what expired."""
    lapsed = txn.deliveries.lapsed(SWEEP_ROWS)
    txn.deliveries.expect(lapsed)
    for seq in lapsed:
        row = txn.deliveries.find(seq)
        if row is not None:
            text = f"{ErrorCode.UNAVAILABLE.name}: the lease ran out before an answer came"
            txn.deliveries.move(row, Event.FAIL_UNKNOWN, error=text, next_attempt_at_us=txn.now_us)
    expired = txn.deliveries.expired(SWEEP_ROWS)
    txn.deliveries.expect(expired)
    return [settle(txn, seq, Event.EXPIRE) for seq in expired]


def set_right(txn: Transaction, settings: Delivery) -> int:
    """Bring back what was leased or put off by a clock that was ahead; return how many: after the clock was set back.

    Without this it would wait until the clock has caught up. A lease that is taken from somebody who still holds it
    does no harm: the other end drops what it has already.
    """

    def latest(seconds: float) -> int:
        # Twice: another process of this node may have other settings.
        return to_micros(from_micros(txn.now_us) + timedelta(seconds=2 * seconds))

    stranded = txn.deliveries.stranded(latest(settings.lease_seconds))
    txn.deliveries.expect(stranded)
    for seq in stranded:
        row = txn.deliveries.find(seq)
        if row is not None:
            text = f"{ErrorCode.UNAVAILABLE.name}: the clock was set back while it was under way"
            txn.deliveries.move(row, Event.FAIL_UNKNOWN, error=text, next_attempt_at_us=txn.now_us)
    return len(stranded) + txn.deliveries.bring_back(latest(settings.backoff_max_seconds))


def is_final(row: DeliveryRow) -> bool:
    """Whether nothing can happen to it any more."""
    return row.state in FINAL


def backoff(failures: int, settings: Delivery, chance: Chance) -> float:
    """Return how many seconds to wait after that many failures in a row.

    Doubles from `backoff_first_seconds` to `backoff_max_seconds`; "equal jitter": half of it fixed, half by chance, so
    that nodes which failed together do not come back together, and nobody retries at once.
    """
    ceiling = min(settings.backoff_max_seconds, settings.backoff_first_seconds * 2.0 ** min(failures - 1, 30))
    return ceiling * (0.5 + 0.5 * chance())


def at_least(error: GatewayError, delay: float, settings: Delivery) -> float:
    """Return a delay, longer if the other end said when there is room again.

    It is believed up to our own longest pause: its word must not stop what is due to it for weeks.
    """
    return max(delay, min(error.retry_after or 0.0, settings.backoff_max_seconds))


class Circuit:
    """Whether a destination is spoken to, and how much: one for each, so that none pays for another.

    Closed, as much goes as the window holds. A failure opens it: for a while, longer with each failure in a row,
    nothing is even leased. Then one copy is tried, and only when that is answered does it close.
    """

    def __init__(self, settings: Delivery, chance: Chance) -> None:
        """Start closed."""
        self.failures = 0
        self.frame_bytes = MAX_FRAME_BYTES
        self._settings = settings
        self._chance = chance

    @property
    def window(self) -> int:
        """How many frames may be out at once."""
        return 1 if self.failures else self._settings.frames_in_flight

    @property
    def copies(self) -> int:
        """How many copies the next frame may hold."""
        return 1 if self.failures else FRAME_ITEMS

    def pause(self, error: GatewayError) -> float:
        """Return for how many seconds to leave the destination alone after one more failure."""
        return at_least(error, backoff(self.failures + 1, self._settings, self._chance), self._settings)

    def open(self) -> None:
        """Note a failure of the destination, or of the way to it."""
        self.failures += 1

    def close(self) -> None:
        """Note that it has answered."""
        self.failures = 0
        self.frame_bytes = min(MAX_FRAME_BYTES, self.frame_bytes + SMALLEST_FRAME_BYTES)

    def forgive(self) -> None:
        """Begin anew: somebody says that it is worth it."""
        self.failures = 0

    def shrink(self) -> None:
        """Make frames smaller: it does not read such large ones. They grow again with every one that is answered."""
        self.frame_bytes = max(SMALLEST_FRAME_BYTES, self.frame_bytes // 2)
