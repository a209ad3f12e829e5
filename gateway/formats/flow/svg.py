"""A picture of a flow of funds, as SVG that stands in a page.

In: a `Flow`, the addresses that the case is about. Out: `Picture`s. Amounts are rounded where they have many digits,
and say so by a sign; the exact ones stand in the table beside. Nothing is told by colour: assets differ by the pattern
of their lines, large and small by their width, ends by their frames, so that a print in black and white says the same.
The page's own style gives colours and fonts (`gateway.formats.page.html`); here are shapes and classes. Every text is
escaped. No I/O.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from gateway.clock import from_micros
from gateway.formats import amounts, chains
from gateway.formats.flow import layout, parts
from gateway.formats.flow.graph import Amount, End, Flow, Sort, Transfer
from gateway.formats.flow.layout import BOX, CURVE, LABEL, Chart, Line, Spot
from gateway.formats.page import words

DASHES: Final = ("", "7 3", "2 3", "10 3 2 3", "14 4", "1 5")
"""Patterns of assets, in the order in which a picture names them; a seventh has the first again, and its label."""
WIDTHS: Final = (0.8, 1.4, 2.2, 3.2)
_DIGITS: Final = 6
"""Behind the point, in a picture."""
_WHOLE: Final = 12
"""Before it; of a longer number, its first digits and its power of ten."""
_SHORT: Final = 8
_LONG: Final = 22
"""So long a name stands in a box unshortened."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture.

    Args:
        svg: the drawing.
        legend: what the patterns of its lines and its letters mean.
    """

    svg: str
    legend: str


def pictures(flow: Flow, named: Collection[str]) -> tuple[list[Picture], int]:
    """Return the pictures of a flow, and how many ends none of them shows.

    Args:
        flow: what moved.
        named: addresses that documents of the case name; they are framed.
    """
    made, left = parts.parts_of(flow, named, layout.fits)
    where = {end: number for number, part in enumerate(made, start=1) for end in part.ends}
    places = {(end.chain, end.name): number for end, number in where.items()}
    nameless = [each.amount.asset for each in flow.transfers if " " in _asset(each.amount.asset)]
    letters = {asset: _letter(at) for at, asset in enumerate(dict.fromkeys(nameless))}
    key = _Key(named, places, letters)
    return [_picture(layout.lay_out(part), number, key) for number, part in enumerate(made, start=1)], left


@dataclass(frozen=True, slots=True)
class _Key:
    """How the pictures of one report tell what is what.

    Args:
        named: addresses that the case is about.
        places: in which picture an end is a box of its own.
        letters: what stands for an asset that has no symbol.
    """

    named: Collection[str]
    places: dict[tuple[str, str], int]
    letters: dict[str, str]

    def asset(self, asset: str) -> str:
        """Return the coin's symbol, or the letter that the legend explains."""
        return self.letters.get(asset) or _asset(asset)

    def legend(self, asset: str) -> str:
        """Return what an asset is called, in words."""
        return f"{self.letters[asset]} is {_asset(asset)}" if asset in self.letters else _asset(asset)


def _picture(chart: Chart, number: int, key: _Key) -> Picture:
    assets = [*dict.fromkeys(line.transfer.amount.asset for line in chart.lines)]
    dashes = {asset: DASHES[at % len(DASHES)] for at, asset in enumerate(assets)}
    widths = _widths(line.transfer for line in chart.lines)
    drawn = "".join(_drawn(chart, number, key, dashes, widths))
    legend = "; ".join(f"{_PATTERNS[dashes[asset]]}: {key.legend(asset)}" for asset in assets)
    return Picture(drawn, legend)


_PATTERNS: Final = dict(
    zip(DASHES, ("solid", "dashed", "dotted", "dash and dot", "long dashes", "points"), strict=True)
)


def _drawn(
    chart: Chart, number: int, key: _Key, dashes: dict[str, str], widths: dict[Transfer, float]
) -> Iterator[str]:
    edge = 6
    width, height = chart.width + 2 * edge, chart.height + edge
    yield f'<svg class="flow" viewBox="{-edge} 0 {_n(width)} {_n(height)}" role="img" aria-labelledby="flow{number}">'
    yield f'<title id="flow{number}">{len(chart.boxes)} ends, {len(chart.lines)} transfers</title>'
    yield f'<defs><marker id="to{number}" markerUnits="userSpaceOnUse" markerWidth="9" markerHeight="8" refX="9"'
    yield ' refY="4" orient="auto-start-reverse"><path class="head" d="M0 0L9 4L0 8z"/></marker></defs>'
    for column in range(chart.columns):
        yield from _lane(chart, column)
    for line in chart.lines:
        yield from _line(line, number, dashes[line.transfer.amount.asset], widths[line.transfer], key)
    for box in chart.boxes:
        yield from _box(box, key)
    yield "</svg>"


def _lane(chart: Chart, column: int) -> Iterator[str]:
    """Draw a column and say over it when those in it were first paid."""
    x = column * (BOX + CURVE + LABEL)
    yield f'<rect class="lane" x="{x - 4}" y="0" width="{BOX + 8}" height="{_n(chart.height + 4)}"/>'
    ends = {box.end for box in chart.boxes if box.column == column}
    times = [line.transfer.first_us for line in chart.lines if line.transfer.target in ends]
    told = [each for each in times if each is not None]
    said = _span(min(told), max(told)) if told else ""
    head = "first paid" if said else "pays" if column == 0 else "time not told"
    yield _words(x + BOX / 2, 13, head, "small", "middle")
    yield _words(x + BOX / 2, 25, said, "small", "middle")


def _line(line: Line, number: int, dash: str, width: float, key: _Key) -> Iterator[str]:
    first, last = line.spots[0], line.spots[-1]
    y = first.port(line, right=True)
    path = [f"M{_n(first.x + BOX)} {_n(y)}"]
    for spot in line.spots[1:]:
        to, x = spot.port(line, right=False), spot.x - LABEL
        path.append(f"C{_n(x - CURVE / 2)} {_n(y)} {_n(x - CURVE / 2)} {_n(to)} {_n(x)} {_n(to)}")
        y = to
        path.append(f"H{_n(spot.x + BOX if spot is not last else spot.x)}")
    end = "start" if line.back else "end"
    scaled = " ".join(_n(float(each) * max(1.0, width * 0.7)) for each in dash.split())
    dashed = f' stroke-dasharray="{scaled}"' if dash else ""
    yield f'<path class="pay" d="{"".join(path)}" stroke-width="{width}"{dashed} marker-{end}="url(#to{number})"/>'
    transfer = line.transfer
    # In words it would be longer than the line: whoever prints the picture says below it what the sign means.
    x, count = last.x - LABEL / 2, f"{transfer.count}\N{MULTIPLICATION SIGN} " if transfer.count > 1 else ""
    when = "" if transfer.first_us is None or transfer.last_us is None else _span(transfer.first_us, transfer.last_us)
    yield _words(x - 5, y - 4, _shown(transfer.amount, key), "sum", "middle")
    yield _words(x - 5, y + 10.5, f"{count}{when}".strip() or "time not told", "small", "middle")


def _box(box: Spot, key: _Key) -> Iterator[str]:
    end = box.end
    if end is None:
        return
    kind = "named" if end.name in key.named and end.sort is not Sort.JOINT else end.sort.value
    radius = 14 if end.sort in {Sort.JOINT, Sort.NEW, Sort.HIDDEN, Sort.FURTHER} else 0
    yield f'<rect class="end {kind}" x="{_n(box.x)}" y="{_n(box.y)}" width="{BOX}" height="{_n(box.height)}"'
    yield f' rx="{radius}"/>'
    x, first, second = box.x + BOX / 2, *_called(end, key)
    yield _words(x, box.middle - 3, first, "who", "middle")
    yield _words(x, box.middle + 11, second, "small", "middle")


def _called(end: End, key: _Key) -> tuple[str, str]:
    """Return two lines that say what an end is."""
    chain = words.chain(end.chain).partition("\n")[0]
    match end.sort:
        case Sort.JOINT:
            return "several paid together", f"in {short(end.name)}"
        case Sort.NEW:
            return "new coins", chain
        case Sort.HIDDEN:
            return "no address told", end.name.partition("\n")[0] or chain
        case Sort.FURTHER:
            return f"{end.name.partition(chr(10))[0]} further addresses", "see the table"
        case Sort.ELSEWHERE:
            number = key.places.get((end.chain, end.name))
            first = short(end.name)
            return first, "see the table" if number is None else f"goes on in picture {number}"
        case Sort.ADDRESS:
            return short(end.name), f"{chain}, named in the case" if end.name in key.named else chain


def _shown(amount: Amount, key: _Key) -> str:
    """Return an amount as it fits a line: rounded if it must be, which a sign says."""
    if amount.units is None:
        return "amount not told"
    known = _decimals(amount.asset) if amount.asset not in key.letters else None
    decimals = known if amount.decimals is None else amount.decimals
    number = str(amount.units) if not decimals else amounts.from_units(str(amount.units), decimals)
    whole, _, digits = number.partition(".")
    coin = key.asset(amount.asset)
    if len(whole) > _WHOLE:
        power = str(len(whole) - 1).translate(_RAISED)
        return f"\N{ALMOST EQUAL TO}{whole[0]}.{whole[1:4]}\N{MIDDLE DOT}10{power} {coin}"
    if len(digits) <= _DIGITS:
        return f"{number} {coin}"
    cut = f"{whole}.{digits[:_DIGITS]}".rstrip("0").rstrip(".")
    return f"\N{ALMOST EQUAL TO}{cut} {coin}" if cut != "0" else f"<0.{'0' * (_DIGITS - 1)}1 {coin}"


_RAISED: Final = str.maketrans("0123456789", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def _letter(at: int) -> str:
    """Return A to Z, then AA and so on."""
    return (_letter(at // 26 - 1) if at >= 26 else "") + chr(ord("A") + at % 26)  # noqa: PLR2004


def exactly(amount: Amount) -> str:
    """Return an amount with all its digits."""
    if amount.units is None:
        return "not told"
    coins = words.in_coins(amount.asset, str(amount.units), amount.decimals)
    if coins:
        return coins
    if amount.decimals is None:
        return f"{amount.units} base units of {_asset(amount.asset)}"
    return f"{amounts.from_units(str(amount.units), amount.decimals)} {_asset(amount.asset)}"


def short(name: str) -> str:
    """Return a name as it fits a box; the table has it whole."""
    name = name.partition("\n")[0]
    return name if len(name) <= _LONG else f"{name[:_SHORT]}\N{HORIZONTAL ELLIPSIS}{name[-_SHORT:]}"


def _asset(asset: str) -> str:
    if not asset:
        return "not told"
    coins = words.in_coins(asset, "0", _decimals(asset))
    if coins:
        return coins.partition(" ")[2]
    kind, _, reference = asset.partition("/")[2].partition(":")
    return f"{kind} {short(reference)}"


def _decimals(asset: str) -> int | None:
    known = chains.known(asset.partition("/")[0])
    return None if known is None else known.decimals


def _widths(transfers: Iterable[Transfer]) -> dict[Transfer, float]:
    """Return how wide each line is: the larger, among those of its asset."""
    made: dict[Transfer, float] = {}
    grouped: dict[str, list[Transfer]] = {}
    for each in transfers:
        grouped.setdefault(each.amount.asset, []).append(each)
    for group in grouped.values():
        largest = max((each.amount.units or 0 for each in group), default=0)
        for each in group:
            units = each.amount.units or 0
            # A tenth, a hundredth, a thousandth of the largest: so far apart are sums.
            step = next((at for at in range(3) if units * 10 ** (at + 1) > largest), 3)
            made[each] = WIDTHS[3 - step]
    return made


def _span(first_us: int, last_us: int) -> str:
    one, two = (from_micros(each).strftime("%Y-%m-%d %H:%M") for each in (first_us, last_us))
    if one == two:
        return one
    if one[:10] == two[:10]:
        return f"{one}\N{EN DASH}{two[11:]}"
    return f"{one[:10]} to {two[:10]}"


def _words(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    if not text:
        return ""
    return f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{escape(words.clean(text))}</text>'


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
