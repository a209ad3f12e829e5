"""`rogatory bench soak`: two nodes under the same load for long, and whether anything grows that must not.

In: minutes, a rate. Out: window by window the rate, how long an envelope takes until its receipt and until the
recipient has it, what is on its way, and the memory of both nodes; a verdict on each; a file and a picture. The store
grows, since it keeps everything: that is told, and judged by the latency alone. One sender begins when the time of the
one before is over, whether that has its answers or not: the load never pauses.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from math import ceil
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, sleep
from typing import Any, Final

import click

from gateway.cli import output
from gateway.cli.bench import charts, machine, pool, written
from gateway.cli.bench.end_to_end import collected, collector, ids_of
from gateway.cli.bench.figures import MEBI, percentile
from gateway.cli.bench.load import LAST_SECONDS, Job, Taken
from gateway.cli.bench.nodes import ABROAD, HOME, RECIPIENT, SENDER, START_SECONDS, Helper, Nodes, bytes_on_disk, helper
from gateway.cli.bench.plan import PROVING_SECONDS
from gateway.cli.ranges import Span

WINDOW_SECONDS: Final = 10.0
LEAST_WINDOWS: Final = 6
"""Two to warm up, and four to compare."""

WARM_WINDOWS: Final = 2
MOST_GROWTH: Final = 1.1
"""What memory may be at the end, as a ratio to the beginning: caches fill for a while."""

MOST_SLOWER: Final = 1.5
"""What the median of the windows' p99 may be in the last half, as a ratio to the first."""

MOST_BACKLOG_SECONDS: Final = 2.0
"""What may be on its way at the end of a window, in seconds of the rate."""


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in one window.

    Args:
        at_seconds: its end.
        rate: envelopes accepted a second.
        accept_p99_ms: from when an envelope was due to its receipt.
        deliver_p50_ms: from then until the recipient had it; of those that came in this window. If none came, how long
            those have waited that are on their way.
        deliver_p99_ms: the same.
        backlog: envelopes of this window and those before that the recipient does not have.
        home_mib: memory of its own of the sender's node, see `Usage`.
        abroad_mib: memory of the recipient's.
        store_mib: of both nodes on disk.
    """

    at_seconds: float
    rate: float
    accept_p99_ms: float
    deliver_p50_ms: float
    deliver_p99_ms: float
    backlog: int
    home_mib: float
    abroad_mib: float
    store_mib: float


@click.command(epilog="\b\nExample:\n  rogatory bench soak --minutes 10 --rate 200")
@click.option("--minutes", type=Span(min=1), default=10.0, show_default=True, help="How long.")
@click.option("--rate", type=Span(min=1), default=200.0, show_default=True, help="Envelopes a second.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("build/bench/soak.json"),
    show_default=True,
    help="Where to write the figures; a picture goes beside it, and stores are made in its folder.",
)
@output.json_option
@click.pass_context
def command(ctx: click.Context, minutes: float, rate: float, out: Path, as_json: bool) -> None:
    """Hold a rate, and show whether memory, backlog and latency stay flat."""
    figures = soak(out, minutes, rate, lambda text: click.echo(text, err=True))
    if as_json:
        output.emit_json(figures)
    else:
        _show(figures)
        click.echo(f"written to {out}")
    if not all(verdict["met"] for verdict in figures["verdicts"]):
        ctx.exit(output.FAILED)


def soak(out: Path, minutes: float, rate: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """Run it; write the figures to `out`, and a picture beside it; return the figures.

    Raises:
        Refusal: BAD_INPUT, the name that the picture needs.
        Failure: UNAVAILABLE, a process ended, an answer proves nothing, or what was accepted did not come; STORE,
            nothing can be written there.
    """
    out = written.place(out, suffix=".svg")
    about = machine.describe(out.parent)
    windows = max(LEAST_WINDOWS, ceil(minutes * 60 / WINDOW_SECONDS))
    with TemporaryDirectory(dir=out.parent, prefix=f"{out.stem}-") as folder:
        seen = list(_run(Nodes(Path(folder)), Path(folder), windows, rate, tell))
    figures = {
        "machine": about | {"load_after": machine.load_now()},
        "rate": rate,
        "windows": [asdict(each) for each in seen],
        "verdicts": judge(seen, rate),
    }
    written.write(out, json.dumps(figures, indent=2) + "\n")
    _draw(seen, out.with_suffix(".svg"))
    return figures


def judge(windows: Sequence[Window], rate: float) -> list[dict[str, object]]:
    """Return what must stay flat, and whether it does; the first windows warm everything up."""
    kept = windows[WARM_WINDOWS:]
    first, last = kept[: len(kept) // 2], kept[len(kept) // 2 :]

    def grown(figure: Callable[[Window], float]) -> float:
        return median(map(figure, last)) / median(map(figure, first))

    verdicts = (
        ("memory of the sender's node", MOST_GROWTH, grown(lambda each: each.home_mib)),
        ("memory of the recipient's node", MOST_GROWTH, grown(lambda each: each.abroad_mib)),
        ("p99 until the receipt", MOST_SLOWER, grown(lambda each: each.accept_p99_ms)),
        ("p99 until the recipient has it", MOST_SLOWER, grown(lambda each: each.deliver_p99_ms)),
        ("backlog, in seconds of the rate", MOST_BACKLOG_SECONDS, max(each.backlog for each in kept) / rate),
    )
    return [{"name": name, "wanted": f"<= {most}", "measured": is_, "met": is_ <= most} for name, most, is_ in verdicts]


def _run(nodes: Nodes, folder: Path, windows: int, rate: float, tell: Callable[[str], None]) -> Iterator[Window]:
    accepted, due, came = 0, dict[str, float](), list[tuple[str, float]]()
    with (
        nodes.running(ABROAD) as abroad,
        nodes.running(HOME) as home,
        collector(nodes) as collecting,
        _senders(nodes) as senders,
    ):
        for number, sender in enumerate(senders):
            _prepare(nodes, folder, sender, number, rate)
        senders[0].say("go")
        begin = monotonic()
        for number in range(windows):
            sleep(max(0.0, begin + (number + 1) * WINDOW_SECONDS - monotonic()))
            if number + 1 < windows:
                senders[(number + 1) % 2].say("go")
            sender, file = senders[number % 2], _pool(folder, number)
            sender.hear(LAST_SECONDS + START_SECONDS)
            taken = Taken(**json.loads(sender.hear(PROVING_SECONDS)))
            accepted += taken.answered
            due |= {id_: taken.began + place / rate for place, id_ in enumerate(ids_of(file, 0, taken.answered))}
            file.unlink()
            if number + 2 < windows:
                _prepare(nodes, folder, sender, number + 2, rate)
            # The last window waits for all that is on its way; the others only look.
            found = collected(collecting, accepted if number + 1 == windows else 0)
            came += found.came
            known = [each for each in came if each[0] in due]
            # The others are of the window that has just begun: its sender tells later when they were due.
            came = [each for each in came if each[0] not in due]
            took = waits(known, due, perf_counter())
            window = Window(
                at_seconds=(number + 1) * WINDOW_SECONDS,
                rate=taken.rate,
                accept_p99_ms=taken.p99_ms,
                deliver_p50_ms=percentile(took, 0.5),
                deliver_p99_ms=percentile(took, 0.99),
                backlog=len(due),
                home_mib=home.usage.own_bytes / MEBI,
                abroad_mib=abroad.usage.own_bytes / MEBI,
                store_mib=sum(bytes_on_disk(nodes.store(code)) for code in (HOME, ABROAD)) / MEBI,
            )
            tell(f"{window.at_seconds:.0f} s: {window}")
            yield window


def waits(came: Sequence[tuple[str, float]], due: dict[str, float], now: float) -> list[float]:
    """Return how many milliseconds each that came took from when it was due, and take it from what is due.

    If none came, nothing moves, and that must not go unseen: then it is what those have waited that are due.
    """
    took = [(at - due.pop(id_)) * 1000 for id_, at in came]
    return took or [(now - at) * 1000 for at in due.values()]


@contextmanager
def _senders(nodes: Nodes) -> Iterator[tuple[Helper, Helper]]:
    """Run two senders: while one sends, the other prepares what comes next."""
    with (
        helper("gateway.cli.bench.load", "", nodes.log) as one,
        helper("gateway.cli.bench.load", "", nodes.log) as other,
    ):
        yield one, other


def _prepare(nodes: Nodes, folder: Path, sender: Helper, number: int, rate: float) -> None:
    count, config = ceil(rate * WINDOW_SECONDS), nodes.config(SENDER)
    pool.write(_pool(folder, number), config, RECIPIENT, count)
    job = Job(str(config), str(_pool(folder, number)), 0, count, WINDOW_SECONDS, "paced", rate=rate)
    sender.say(json.dumps(asdict(job)))
    sender.hear(START_SECONDS)


def _pool(folder: Path, number: int) -> Path:
    return folder / f"{number}.pool"


def _draw(windows: Sequence[Window], path: Path) -> None:
    """Write one picture: what must stay flat, each as a ratio to its own first value after the warm-up."""
    kept = windows[WARM_WINDOWS:]
    shown = {
        "memory, sender's": [each.home_mib for each in kept],
        "memory, recipient's": [each.abroad_mib for each in kept],
        "p99 to receipt": [each.accept_p99_ms for each in kept],
        "p99 to recipient": [each.deliver_p99_ms for each in kept],
    }
    times = [each.at_seconds for each in kept]
    series = {name: [*zip(times, [y / of[0] for y in of], strict=True)] for name, of in shown.items()}
    written.write(path, charts.lines("Soak: each as a ratio to its own beginning", "seconds", "ratio", series))


def _show(figures: dict[str, Any]) -> None:
    columns = tuple(each.name for each in fields(Window))
    output.emit_table(columns, [[f"{each[name]:.1f}" for name in columns] for each in figures["windows"]])
    click.echo()
    output.emit_table(
        ("must stay flat", "wanted", "measured", "outcome"),
        [
            (e["name"], e["wanted"], f"{e['measured']:.2f}", "met" if e["met"] else "NOT MET")
            for e in figures["verdicts"]
        ],
    )
