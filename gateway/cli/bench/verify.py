"""The bare verification: what one core could accept at most, if nothing else had to be done.

In: nothing. Out: Ed25519 verifications a second on one core, of messages of 1 KiB, by libsodium.
"""

from collections.abc import Callable
from time import perf_counter, thread_time
from typing import Final

from nacl.signing import SigningKey

from gateway.cli.bench.figures import MICROSECONDS, Values

MESSAGE_BYTES: Final = 1024
CALLS: Final = 500
"""Calls in one measurement: some 20 ms, far above what the clock can tell apart."""


def verification() -> Callable[[], None]:
    """Return a job that verifies one signature."""
    key = SigningKey.generate()
    message = bytes(MESSAGE_BYTES)
    signature = key.sign(message).signature
    verify_key = key.verify_key

    def job() -> None:
        verify_key.verify(message, signature)

    return job


def rate(seconds: float) -> Values:
    """Return how many signatures one core verifies in a second, and what one costs it.

    The second is the same however busy the machine is with other things; so is a node's processor an envelope.
    """
    job, begin, spent, calls = verification(), perf_counter(), thread_time(), 0
    while (now := perf_counter()) - begin < seconds:
        for _ in range(CALLS):
            job()
        calls += CALLS
    return {"verify_rate": calls / (now - begin), "verify_cpu_us": (thread_time() - spent) / calls * MICROSECONDS}
