"""Pictures of a run: bars and lines as SVG, which every browser shows and no library is needed for.

In: figures. Out: files. Colours are of a set that people who see few colours can tell apart (Okabe and Ito, 2008), and
every bar bears its number.
"""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from pathlib import Path
from typing import Any, Final

from gateway.cli.bench import targets, written
from gateway.cli.bench.figures import IN_FLIGHT, named
from gateway.cli.bench.growth import name_of
from gateway.cli.bench.stages import STAGES

COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#555555")
WIDTH: Final = 940
_LEFT, _RIGHT, _TOP, _ROW, _BOTTOM = 330, 160, 56, 26, 24
_HEIGHT: Final = 420
_STYLE: Final = 'font-family="system-ui, sans-serif" font-size="13" fill="#222"'


def draw(figures: Mapping[str, Any], folder: Path) -> None:
    """Write the pictures of a run."""
    folder.mkdir(exist_ok=True)
    charts = {"rates": _rates(figures), "unary": _unary(figures), "stages": _stages(figures)}
    charts |= {"latency": _latency(figures), "growth": _growth(figures), "targets": _targets(figures)}
    for name, svg in charts.items():
        written.write(folder / f"{name}.svg", svg)


def bars(title: str, rows: Sequence[tuple[str, float, str, int]], mark: float | None = None) -> str:
    """Return horizontal bars.

    Args:
        title: what is shown.
        rows: label, value, what is written behind the bar, number of the colour.
        mark: where a vertical line goes, in the same unit.
    """
    most = max([value for _, value, _, _ in rows] + ([mark] if mark is not None else []), default=0.0) or 1.0
    height, across = _TOP + _ROW * len(rows) + _BOTTOM, WIDTH - _LEFT - _RIGHT
    parts = []
    for number, (label, value, text, colour) in enumerate(rows):
        y, length = _TOP + _ROW * number, max(1.0, value / most * across)
        parts.append(_text(_LEFT - 10, y + 16, label, "end"))
        parts.append(f'<rect x="{_LEFT}" y="{y + 3}" width="{length:.1f}" height="18" fill="{_colour(colour)}"/>')
        parts.append(_text(_LEFT + length + 6, y + 16, text))
    if mark is not None:
        x = _LEFT + mark / most * across
        parts.append(_line([(x, _TOP - 6), (x, height - _BOTTOM + 4)], "#222", dashed=True))
    return _svg(title, height, parts)


def lines(
    title: str, x_label: str, y_label: str, series: Mapping[str, Sequence[tuple[float, float]]], *, log_x: bool = False
) -> str:
    """Return lines through points, each line with its name.

    Args:
        title: what is shown.
        x_label: what lies on the horizontal axis.
        y_label: what on the vertical one, which begins at 0.
        series: points by name.
        log_x: show each power of ten as far apart as the next.
    """
    left, right, bottom = 80, 190, 56
    points = [point for each in series.values() for point in each]
    xs = [log10(x) if log_x else x for x, _ in points] or [0.0]
    least, most = min(xs), max(xs)
    top = _round_up(max((y for _, y in points), default=0.0))

    def place(x: float, y: float) -> tuple[float, float]:
        across = ((log10(x) if log_x else x) - least) / ((most - least) or 1.0)
        down = _HEIGHT - bottom - y / top * (_HEIGHT - bottom - _TOP)
        return left + across * (WIDTH - left - right), down

    parts = [_text(left, _TOP - 12, y_label), _text((left + WIDTH - right) / 2, _HEIGHT - 14, x_label, "middle")]
    for step in range(5):
        y = place(10**least if log_x else least, top * step / 4)[1]
        parts.append(_line([(left, y), (WIDTH - right, y)], "#ddd"))
        parts.append(_text(left - 8, y + 4, _short(top * step / 4), "end"))
    ticks = _ticks([x for x, _ in points])
    parts += [_text(place(x, 0)[0], _HEIGHT - bottom + 18, _short(x), "middle") for x in ticks]
    for number, (name, each) in enumerate(series.items()):
        placed = [place(x, y) for x, y in each]
        parts.append(_line(placed, _colour(number), width=2))
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_colour(number)}"/>' for x, y in placed]
        y = _TOP + 20 * number
        parts.append(f'<rect x="{WIDTH - right + 14}" y="{y - 9}" width="12" height="12" fill="{_colour(number)}"/>')
        parts.append(_text(WIDTH - right + 32, y + 2, name))
    return _svg(title, _HEIGHT, parts)


def _rates(figures: Mapping[str, Any]) -> str:
    shown = {
        "bare Ed25519 verification, one core": ("verify_rate", 7),
        "stream, one process": ("accept_stream_rate", 0),
        "batch-signed frames": ("accept_batch_signed_rate", 0),
        "stream, spans exported": ("accept_telemetry_rate", 0),
        "two processes, one store": ("accept_two_process_rate", 0),
        "stream, PostgreSQL": ("accept_postgresql_rate", 0),
        "two nodes, end to end": ("end_to_end_rate", 2),
        "RabbitMQ quorum queue": ("rabbitmq_rate", 1),
        "NATS JetStream, synced": ("jetstream_rate", 1),
        "AS2, no disk, no network": ("as2_rate", 1),
    }
    rows = [
        (label, figures[name], f"{figures[name]:,.0f}/s", colour)
        for label, (name, colour) in shown.items()
        if figures.get(name) is not None
    ]
    return bars("Envelopes a second, 1 KiB, disks synced", rows)


def _unary(figures: Mapping[str, Any]) -> str:
    rows = []
    for many in IN_FLIGHT:
        for what, name, colour in (("bare echo", "unary_echo_rate", 7), ("accepted", "accept_unary_rate", 0)):
            value = figures.get(named(name, many))
            if value is not None:
                rows.append((f"{what}, {many} in flight", value, f"{value:,.0f}/s", colour))
    return bars("Unary calls a second", rows)


def _latency(figures: Mapping[str, Any]) -> str:
    places = {f"unary, {many} in flight": f"accept_unary_p{{}}_ms_at_{many}" for many in IN_FLIGHT}
    places |= {"stream, as fast as it goes": "accept_stream_p{}_ms", "stream, half load": "half_load_p{}_ms"}
    places |= {"two nodes, half load": "end_to_end_half_load_p{}_ms"}
    rows = []
    for label, name in places.items():
        for share, colour in (("50", 5), ("99", 0)):
            value = figures.get(name.format(share))
            if value is not None:
                rows.append((f"{label}, p{share}", value, f"{value:,.1f} ms", colour))
    return bars("How long an envelope takes", rows)


def _stages(figures: Mapping[str, Any]) -> str:
    rows = [(stage, figures["stages"][stage], f"{figures['stages'][stage]:.1f} µs", 0) for stage in STAGES]
    spent = figures.get("accept_stream_cpu_us")
    if spent is not None:
        rest = max(0.0, spent - figures["stages"]["sum"])
        rows.append(("gRPC, event loop, threads", rest, f"{rest:.1f} µs", 1))
    return bars("Processor for one accepted envelope, stream", rows)


def _growth(figures: Mapping[str, Any]) -> str:
    points = [(float(stored), figures[name_of(stored)]) for stored in figures["growth"] if figures.get(name_of(stored))]
    return lines(
        "Accepted on a stream, by what is stored", "envelopes stored before", "a second", {"rate": points}, log_x=True
    )


def _targets(figures: Mapping[str, Any]) -> str:
    """Show how much of each target is reached: at the line, all of it; what was not measured has no bar."""
    rows = []
    for target in figures["targets"]:
        sign, wanted, *_ = target["wanted"].split()
        measured = target["measured"]
        share = 0.0 if not measured else measured / float(wanted) if sign == ">=" else float(wanted) / measured
        text = "not measured" if measured is None else f"{targets.shown(target)} of {target['wanted']}"
        colour = 7 if measured is None else 2 if target["met"] else 4
        rows.append((target["name"], min(share, 2.0), text, colour))
    return bars("Targets: reached at the line (bars end at twice that)", rows, mark=1.0)


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" {_STYLE}>'
    heading = f'<text x="16" y="26" font-size="17" font-weight="600">{escape(title)}</text>'
    ground = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", ground, heading, *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(points: Sequence[tuple[float, float]], colour: str, *, width: int = 1, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _ticks(values: Sequence[float]) -> list[float]:
    """Return at most eight of the values, evenly chosen, the first and the last among them."""
    ordered = sorted(set(values))
    if len(ordered) <= 8:  # noqa: PLR2004  as many labels fit
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / 7)] for place in range(8)]


def _round_up(value: float) -> float:
    """Return the next round number."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** int(log10(value) // 1)
    return next(step * unit for step in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10) if value <= step * unit)


def _short(value: float) -> str:
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"
