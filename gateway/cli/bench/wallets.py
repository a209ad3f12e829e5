"""What checking a wallet costs, as a ratio to one Ed25519 verification.

In: how many rounds. Out: microseconds a check by chain, medians over the rounds, and ratios.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import Any, Final

from gateway.cli.bench.figures import MICROSECONDS
from gateway.cli.bench.verify import CALLS, verification
from gateway.formats import addresses, chains

TARGET_RATIO: Final = 1.5
"""What a check may cost, as a ratio to one Ed25519 verification (about 42 microseconds)."""

WALLETS: Final[Mapping[str, Sequence[str]]] = {
    "bitcoin": (
        "1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9w",
        "3L1YkZjdeNSqaZcNKZFXQfyokx3zVYm7r6",
        "bc1q5cuatynjmk4szh40mmunszfzh7zrc5xm9w8ccy",
        "bc1p5rgvqejqh9dh37t9g94dd9cm8vtqns7dndgj423egwggsggcdzmsspvr7j",
    ),
    "ethereum": (
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0x4f47bc496083c727c5fbe3ce9cdf2b0f6496270c",
    ),
    "tron": ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",),
}
"""Of each chain the forms that are met, each as often as the others."""


def measure(rounds: int) -> dict[str, Any]:
    """Return the medians over so many rounds: microseconds a call, and ratios."""
    jobs: dict[str, Callable[[], None]] = {"ed25519_verify_us": verification()}
    jobs |= {f"{name}_us": _check(name, texts) for name, texts in WALLETS.items()}
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            taken[name].append(_time(job))
    figures = {name: median(each) for name, each in taken.items()}
    figures["mean_us"] = sum(figures[f"{name}_us"] for name in WALLETS) / len(WALLETS)
    for name in (*WALLETS, "mean"):
        # Of medians of one run, not a median of ratios: one slow verification would flatter a whole round.
        figures[f"{name}_ratio"] = figures[f"{name}_us"] / figures["ed25519_verify_us"]
    return {"rounds": rounds, **figures}


def _time(job: Callable[[], None]) -> float:
    start = perf_counter()
    for _ in range(CALLS):
        job()
    return (perf_counter() - start) / CALLS * MICROSECONDS


def _check(name: str, texts: Sequence[str]) -> Callable[[], None]:
    chain = chains.find(name)
    turn = 0

    def job() -> None:
        nonlocal turn
        addresses.check(chain, texts[turn % len(texts)])
        turn += 1

    return job
