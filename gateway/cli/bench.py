"""`rogatory bench`: what things cost, as ratios taken in one run.

In: nothing. Out: tables, or JSON; always also a file, so that runs can be compared. Machines are noisy: each round
measures everything once, in turn, and what is told is the median over the rounds. A figure in microseconds is good for
this machine and this minute; a ratio to the bare Ed25519 verification of the same run is what can be compared.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

import click
from nacl.signing import SigningKey

from gateway.cli import output
from gateway.cli.bench_procedure import Bench
from gateway.formats import addresses, chains

ROUNDS: Final = 21
QUICK_ROUNDS: Final = 5
CALLS: Final = 500
"""Calls in one measurement: some 20 ms, far above what the clock can tell apart."""

PAYLOAD_BYTES: Final = 1024
MICROSECONDS: Final = 1e6
TARGET_RATIO: Final = 1.5
"""What checking a wallet may cost, as a ratio to one Ed25519 verification (about 42 microseconds)."""
PROCEDURE_TARGET_RATIO: Final = 1.0
"""What authorisation and procedure may cost together."""
CASES: Final = 100_000
QUICK_CASES: Final = 2_000

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


@click.command(epilog="\b\nExample:\n  rogatory bench --quick")
@click.option(
    "--quick",
    is_flag=True,
    help=f"{QUICK_ROUNDS} rounds instead of {ROUNDS}, and {QUICK_CASES} cases instead of {CASES}.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("build/bench.json"),
    show_default=True,
    help="Where to write the figures.",
)
@output.json_option
def command(quick: bool, out: Path, as_json: bool) -> None:
    """Measure what things cost, as ratios taken in one run."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    figures: dict[str, Any] = measure(rounds)
    out.parent.mkdir(parents=True, exist_ok=True)
    figures["procedure"] = measure_procedure(out.parent, QUICK_CASES if quick else CASES, rounds)
    out.write_text(json.dumps(figures, indent=2) + "\n")
    if as_json:
        output.emit_json(figures)
        return
    verify = figures["ed25519_verify_us"]
    output.emit_table(
        ("check of a wallet", "us", "to one Ed25519 verification"),
        [
            (name, f"{figures[f'wallet_{name}_us']:.1f}", f"{figures[f'wallet_{name}_ratio']:.2f}")
            for name in (*WALLETS, "mean")
        ],
    )
    click.echo(f"one Ed25519 verification of {PAYLOAD_BYTES} bytes: {verify:.1f} us; target: below {TARGET_RATIO}")
    click.echo()
    _show_procedure(figures["procedure"])
    click.echo(f"written to {out}")


def measure(rounds: int) -> dict[str, float]:
    """Return the medians over so many rounds: microseconds a call, and ratios."""
    jobs: dict[str, Callable[[], None]] = {"ed25519_verify_us": _verification()}
    jobs |= {f"wallet_{name}_us": _check(name, texts) for name, texts in WALLETS.items()}
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            taken[name].append(_time(job))
    figures = {name: median(each) for name, each in taken.items()}
    figures["wallet_mean_us"] = sum(figures[f"wallet_{name}_us"] for name in WALLETS) / len(WALLETS)
    for name in (*WALLETS, "mean"):
        # Of medians of one run, not a median of ratios: one slow verification would flatter a whole round.
        figures[f"wallet_{name}_ratio"] = figures[f"wallet_{name}_us"] / figures["ed25519_verify_us"]
    return figures | {"rounds": float(rounds)}


def measure_procedure(folder: Path, cases: int, rounds: int) -> dict[str, Any]:
    """Return what authorisation and procedure cost, with so many open cases in a store in that folder."""
    with TemporaryDirectory(dir=folder) as temporary:
        click.echo(f"makes a store of {cases} open cases", err=True)
        bench = Bench(Path(temporary), cases, lambda text: click.echo(f"  {text}", err=True))
        try:
            return bench.measure(rounds, _verification())
        finally:
            bench.close()


def _show_procedure(figures: Mapping[str, Any]) -> None:
    columns = ("authorise_us", "check_us", "us", "again_us", "record_us")
    verify = figures["verify_us"]
    output.emit_table(
        ("step", "authorise", "procedure", "both, us", "again", "record", "both to one verification"),
        [
            (name, *(f"{each[column]:.1f}" for column in columns), f"{each['us'] / verify:.2f}")
            for name, each in figures["per_kind"].items()
        ],
    )
    click.echo(
        f"mean with {figures['cases']} open cases: {figures['mean_us']:.1f} us, again {figures['again_us']:.1f};"
        f" one Ed25519 verification: {verify:.1f} us;"
        f" ratio {figures['ratio']:.2f}, again {figures['again_ratio']:.2f}; target: below {PROCEDURE_TARGET_RATIO}"
    )


def _time(job: Callable[[], None]) -> float:
    start = perf_counter()
    for _ in range(CALLS):
        job()
    return (perf_counter() - start) / CALLS * MICROSECONDS


def _verification() -> Callable[[], None]:
    key = SigningKey.generate()
    message = bytes(PAYLOAD_BYTES)
    signature = key.sign(message).signature
    verify_key = key.verify_key

    def job() -> None:
        verify_key.verify(message, signature)

    return job


def _check(name: str, texts: Sequence[str]) -> Callable[[], None]:
    chain = chains.find(name)
    turn = 0

    def job() -> None:
        nonlocal turn
        addresses.check(chain, texts[turn % len(texts)])
        turn += 1

    return job
