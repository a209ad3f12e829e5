"""One whole run: everything measured in turn, round by round, and written down.

In: where to, and how much. Out: all figures, in a file and as pictures beside it. Stores are made in the file's folder,
so that its disk is what is measured, and removed afterwards.
"""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final

from gateway.cli import garbage
from gateway.cli.bench import (
    accept,
    as2,
    brokers,
    charts,
    end_to_end,
    finding,
    log,
    machine,
    pool,
    procedure,
    reasons,
    stages,
    targets,
    verify,
    wallets,
    written,
)
from gateway.cli.bench.figures import Measure, Series
from gateway.cli.bench.growth import Growth, name_of
from gateway.cli.bench.nodes import HOME, SENDER, SETTINGS
from gateway.cli.bench.plan import Plan, Sizes

MIX: Final = (
    "1 KiB payloads; half KIND_PROVISIONAL_FREEZE with two targets, which opens a matter, half"
    " KIND_SPONTANEOUS_INFORMATION; ee/fiu to de/fiu; one signature each; signed before the measurement begins"
)
KEYS: Final = (
    "verify_rate",
    "unary_echo_rate",
    "stream_echo_rate",
    "accept_unary_rate",
    "accept_stream_rate",
    "accept_two_process_rate",
    "accept_batch_signed_rate",
    "end_to_end_rate",
    "rate_at_1e3",
    "rate_at_1e6",
)
"""Figures that every file has; null, with a reason under `not_measured`, where a run does not have them."""

BESIDE: Final = "load generators run on the same cores as what they load; they check every receipt after the last"


def measure(out: Path, sizes: Sizes, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything; write the figures to `out`, and pictures to the folder beside it; return the figures.

    Args:
        out: the file.
        sizes: how much is done.
        tell: told how far it has come.

    Raises:
        Refusal: BAD_INPUT, a name that pictures need.
        Failure: UNAVAILABLE, a process that is measured ended, or its answers prove nothing; STORE, nothing can be
            written there.
    """
    begin = monotonic()
    out = written.place(out, suffix="")
    about = machine.describe(out.parent)
    with TemporaryDirectory(dir=out.parent, prefix=f"{out.stem}-") as folder:
        tell("signs envelopes in advance")
        plan = Plan(Path(folder), sizes)
        series = Series()
        with plan.tools():
            series.run(_measures(plan, tell), sizes.rounds, tell)
        series.miss([name for name in KEYS if name not in series.medians], _largest(series, sizes))
        tell("measures each stage alone")
        by_stage, by_stage_of_one = _stages(plan, pool.BATCH), _stages(plan, 1)
        tell("asks for what an operator looks for, in the largest store")
        found = finding.measure(plan.folder / f"store-{max(sizes.growth)}" / "node.db")
    tell("makes a log")
    with TemporaryDirectory(dir=out.parent) as folder:
        of_log = log.measure(Path(folder), sizes.logged, sizes.log_rounds, tell)
    tell(f"makes a store of {sizes.cases} open cases")
    figures: dict[str, Any] = {
        "machine": about | {"load_after": machine.load_now()},
        "mix": MIX,
        "beside": BESIDE,
        "settings": SETTINGS,
        "rounds": sizes.rounds,
        "seconds_each": sizes.seconds,
        **series.medians,
        "per_round": series.per_round,
        "not_measured": series.missing,
        "growth": list(sizes.growth),
        "stages": by_stage,
        "stages_of_one": by_stage_of_one,
        "wallets": wallets.measure(sizes.wallet_rounds),
        "log": of_log,
        "finding": found,
        "procedure": _procedure(out.parent, sizes, tell),
    }
    judged = targets.judge(series)
    for target, row in zip(targets.TARGETS, judged, strict=True):
        if row["measured"] is not None and not row["met"]:
            row["reason"] = reasons.of(target, figures)
    figures["targets"] = judged
    figures["took_seconds"] = monotonic() - begin
    written.write(out, json.dumps(figures, indent=2) + "\n")
    charts.draw(figures, out.with_suffix(""))
    return figures


def _measures(plan: Plan, tell: Callable[[str], None]) -> list[Measure]:
    return [
        Measure(("verify_rate",), lambda _: verify.rate(plan.sizes.seconds / 2)),
        Measure(("fsync_ms",), lambda _: {"fsync_ms": machine.fsync_seconds(plan.folder) * 1000}),
        *accept.measures(plan),
        *end_to_end.measures(plan),
        *brokers.measures(plan),
        *as2.measures(plan.sizes.seconds),
        *Growth(plan, tell).measures(),
    ]


def _largest(series: Series, sizes: Sizes) -> str:
    """Say what was measured in place of a figure at a size that this run has not."""
    few, many = min(sizes.growth), max(sizes.growth)
    ratio = series.ratio(name_of(many), name_of(few))
    found = "" if ratio is None else f", where the rate is {ratio:.2f} of that at {few}"
    return f"the largest store of this run holds {many} envelopes{found}"


def _stages(plan: Plan, size: int) -> dict[str, float]:
    """Return what each stage takes of an envelope that comes in a frame of that size."""
    folder = plan.folder / f"stages-{size}"
    folder.mkdir()
    node, sender = plan.nodes.config(f"{HOME}/node"), plan.nodes.config(SENDER)
    frames = plan.sizes.staged // size
    rounds = stages.measure(folder, node, sender, plan.direct, frames, plan.sizes.rounds, size)
    return {name: median(each[name] for each in rounds) for name in rounds[0]}


def _procedure(folder: Path, sizes: Sizes, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return what authorisation and procedure cost, with so many open cases in a store in that folder."""
    with TemporaryDirectory(dir=folder) as temporary:
        bench = procedure.Bench(Path(temporary), sizes.cases, lambda text: tell(f"  {text}"))
        with closing(bench), garbage.spared():  # as at a node
            return bench.measure(sizes.procedure_rounds, verify.verification())
