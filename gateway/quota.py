"""Quotas: how much one participant may ask of a node, and when it may come again.

In: who asks, what it costs, the time. Out: how long that has to wait, or a failure that names the limit, its value and
the moment from which there is room. A limit of rate passes by itself, so it is a failure and never a refusal (DECISIONS
18); what could never pass, one envelope larger than the whole burst, is refused by `receive`.

No I/O and no waiting: who waits, and how, is the doors' business. A peer node is one participant here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.clock import MICROS
from gateway.config import Allowance, Quota
from gateway.errors import ErrorCode, Failure
from gateway.identity import Address

MICROS_A_MILLI: Final = 1_000

RETRY_STREAM_SECONDS: Final = 1.0
"""When a call that was one too many may come again: nobody can know when one of the others ends."""

UNREAD_A_SECOND: Final = 1
"""Messages of one participant that a node refuses before it looks at what is in them. No program of ours sends one, and
one takes up to forty milliseconds of the event loop: as much as two hundred envelopes that are taken in."""

BURST_UNREAD: Final = 16
"""As many may come at once after a pause: one in each call of `max_streams_per_peer`."""

FORGET_ABOVE: Final = 1_024
"""Accounts kept before those that are as good as new are dropped."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request takes out of its sender's quota.

    Args:
        envelopes: envelopes, relayed receipts, or 1 for another request that makes the store work.
        size: bytes.
        queries: questions to the trace.
    """

    envelopes: int = 0
    size: int = 0
    queries: int = 0

    @property
    def amounts(self) -> tuple[int, int, int]:
        """How many tokens of each kind, in the order of an account's meters."""
        return self.envelopes, self.size, self.queries


@dataclass(frozen=True, slots=True)
class Grant:
    """A place that was reserved.

    Args:
        wait_us: microseconds to wait before using it; 0 for none.
        limit: name of the limit that makes it wait; empty if none does.
    """

    wait_us: int
    limit: str = ""


class Bucket:
    """A token bucket: never more than `burst + per_second * t` tokens are in use t seconds after the start.

    The level is counted in millionths of a token. So many tokens a second are then as many millionths a microsecond,
    and nothing is ever rounded. Reserving may take the level below zero: whoever did waits until it is back at zero.
    """

    __slots__ = ("_full", "_level", "_per_second", "_seen_us")

    def __init__(self, per_second: int, burst: int, now_us: int) -> None:
        self._per_second = per_second
        self._full = self._level = burst * MICROS
        self._seen_us = now_us

    def wait_us(self, amount: int, now_us: int) -> int:
        """Return the microseconds until `amount` tokens are there, exactly: one less would not do."""
        self._refill(now_us)
        return max(0, -((self._level - amount * MICROS) // self._per_second)) if amount else 0

    def take(self, amount: int) -> None:
        """Take tokens, also such as are not there yet; they may be used after the `wait_us` asked for before."""
        self._level -= amount * MICROS

    def give_back(self, amount: int) -> None:
        """Put back tokens that were taken and will not be used."""
        self._level = min(self._full, self._level + amount * MICROS)

    def is_full(self, now_us: int) -> bool:
        """Whether it is as good as new."""
        self._refill(now_us)
        return self._level == self._full

    def _refill(self, now_us: int) -> None:
        # A clock that was set back counts as no time passed. To wait until it has caught up could take hours.
        passed_us = max(0, now_us - self._seen_us)
        self._level = min(self._full, self._level + passed_us * self._per_second)
        self._seen_us = now_us


@dataclass(frozen=True, slots=True)
class _Meter:
    """A bucket, and how its limit is told.

    Args:
        bucket: the tokens.
        name: of the rate, in the configuration.
        told: rate and burst, with their values.
    """

    bucket: Bucket
    name: str
    told: str


@dataclass(slots=True)
class _Account:
    """What one participant has in use."""

    allowance: Allowance
    meters: tuple[_Meter, ...]
    unread: _Meter
    streams: int = 0


class Ledger:
    """Every participant's account at one node. Only who was authenticated may be given one: memory stays bounded."""

    def __init__(self, quota: Quota, max_streams: int) -> None:
        """Prepare it; `max_streams` holds for whom the quota names none."""
        self._quota = quota
        self._max_streams = max_streams
        self._accounts: dict[Address, _Account] = {}
        self._forget_above = FORGET_ABOVE

    def allowance(self, peer: Address) -> Allowance:
        """Return what a participant is allowed."""
        account = self._accounts.get(peer)
        return self._quota.of(peer) if account is None else account.allowance

    def open(self, peer: Address, now_us: int) -> None:
        """Count one more call of a participant; whoever is let in closes it again.

        Raises:
            Failure: OVERLOADED, too many are open; this one was not counted.
        """
        account = self._account(peer, now_us)
        own = account.allowance.max_streams
        name, most = ("max_streams_per_peer", self._max_streams) if own is None else ("max_streams", own)
        if account.streams >= most:
            detail = f"more than {name} = {most} calls at once"
            # It passes when one of the others ends, so it is no refusal.
            raise Failure(ErrorCode.OVERLOADED, detail, name, RETRY_STREAM_SECONDS)
        account.streams += 1

    def close(self, peer: Address) -> None:
        """Count one call less."""
        self._accounts[peer].streams -= 1

    def welcome(self, peer: Address, now_us: int) -> None:
        """Check whether anything of a participant may be read.

        Raises:
            Failure: OVERLOADED, too much of it was refused unread; with the time from which it may.
        """
        unread = self._account(peer, now_us).unread
        if wait_us := unread.bucket.wait_us(1, now_us):
            raise _failure(unread, wait_us)

    def refused_unread(self, peer: Address, now_us: int) -> None:
        """Note that a message of a participant was refused before it was looked at what is in it."""
        self._account(peer, now_us).unread.bucket.take(1)

    def reserve(self, peer: Address, cost: Cost, now_us: int, longest_us: int | None = 0) -> Grant:
        """Take what a request costs out of a participant's quota.

        Args:
            peer: who asks.
            cost: what for.
            now_us: the time.
            longest_us: how long it can wait; None for as long as it takes.

        Raises:
            Failure: OVERLOADED, it would have to wait longer. Nothing was taken. At `retry_after`, if nothing else was
                asked for meanwhile, it is granted without waiting.
        """
        account = self._account(peer, now_us)
        priced = [*zip(account.meters, cost.amounts, strict=True)]
        wait_us, slowest = max(
            ((meter.bucket.wait_us(amount, now_us), meter) for meter, amount in priced), key=lambda each: each[0]
        )
        if longest_us is not None and wait_us > longest_us:
            raise _failure(slowest, wait_us)
        for meter, amount in priced:
            meter.bucket.take(amount)
        return Grant(wait_us, slowest.name if wait_us else "")

    def give_back(self, peer: Address, cost: Cost) -> None:
        """Put back what was reserved and will not be used."""
        account = self._accounts.get(peer)
        if account is not None:
            for meter, amount in zip(account.meters, cost.amounts, strict=True):
                meter.bucket.give_back(amount)

    def _account(self, peer: Address, now_us: int) -> _Account:
        account = self._accounts.get(peer)
        if account is None:
            self._forget(now_us)
            allowance = self._quota.of(peer)
            account = self._accounts[peer] = _Account(allowance, tuple(_meters(allowance, now_us)), _unread(now_us))
        return account

    def _forget(self, now_us: int) -> None:
        """Drop the accounts that are as good as new, if there are twice as many as were kept the last time."""
        if len(self._accounts) < self._forget_above:
            return
        self._accounts = {
            peer: account
            for peer, account in self._accounts.items()
            if account.streams or not all(meter.bucket.is_full(now_us) for meter in (*account.meters, account.unread))
        }
        self._forget_above = max(FORGET_ABOVE, 2 * len(self._accounts))


def _meters(allowed: Allowance, now_us: int) -> Iterator[_Meter]:
    """Yield a full meter for each amount of a `Cost`, in its order."""
    limits = (
        ("envelopes_per_second", allowed.envelopes_per_second, "burst_envelopes", allowed.burst_envelopes),
        ("bytes_per_second", allowed.bytes_per_second, "burst_bytes", allowed.burst_bytes),
        ("queries_per_second", allowed.queries_per_second, "burst_queries", allowed.burst_queries),
    )
    for name, per_second, burst_name, burst in limits:
        told = f"{name} = {per_second} with {burst_name} = {burst}"
        yield _Meter(Bucket(per_second, burst, now_us), name, told)


def _unread(now_us: int) -> _Meter:
    told = f"{UNREAD_A_SECOND=} with {BURST_UNREAD=}".replace("=", " = ")
    return _Meter(Bucket(UNREAD_A_SECOND, BURST_UNREAD, now_us), "UNREAD_A_SECOND", told)


def _failure(meter: _Meter, wait_us: int) -> Failure:
    # Whole milliseconds, as the wire carries them; upwards, or it would be asked for too early.
    seconds = -(-wait_us // MICROS_A_MILLI) / MICROS_A_MILLI
    return Failure(ErrorCode.OVERLOADED, f"over {meter.told}; there is room in {seconds:g} s", meter.name, seconds)
