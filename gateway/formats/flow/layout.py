"""Where everything stands in a picture of a flow.

In: the transfers of one picture. Out: boxes, lines and labels with coordinates; or whether it fits.
Time runs from left to right: an end stands to the right of whoever paid it first, and money that goes back is a line to
the left. Every line ends at a place of its own on its right-hand box, with its label before it, and passes columns
between on a row of its own: so no two labels can overlap, and no line crosses a box or a label.

Source: layered drawing after Sugiyama, Tagawa and Toda (1981): layers, order by barycentre, then coordinates.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean
from typing import Final

from gateway.formats.flow.graph import End, Transfer
from gateway.formats.flow.parts import Part

# In units of the picture; on A4 across, a thousand of them are 22 cm.
BOX: Final = 156
CURVE: Final = 44
LABEL: Final = 150
PITCH: Final = 27
"""From one line to the next at a box: two lines of text."""
PASSING: Final = 10
APART: Final = 12
LEAST: Final = 40
HEAD: Final = 34
COLUMNS: Final = 4
HEIGHT: Final = 690
"""Of A4 across, with margins, title and caption."""
SWEEPS: Final = 12


@dataclass(slots=True, eq=False)
class Spot:
    """A box, or where a line passes a column.

    Args:
        end: what stands there; None where a line passes.
        column: from 0.
        y: its top.
        height: of it.
    """

    end: End | None
    column: int
    y: float = 0.0
    height: float = PASSING
    left: list["Line"] = field(default_factory=list)
    right: list["Line"] = field(default_factory=list)

    @property
    def x(self) -> float:
        """Its left side."""
        return self.column * (BOX + CURVE + LABEL)

    @property
    def middle(self) -> float:
        """Half way down."""
        return self.y + self.height / 2

    def port(self, line: "Line", *, right: bool) -> float:
        """Return where a line touches it."""
        lines = self.right if right else self.left
        if self.end is None or not lines:
            return self.middle
        return self.middle + (lines.index(line) - (len(lines) - 1) / 2) * PITCH


@dataclass(slots=True, eq=False)
class Line:
    """A transfer as it is drawn.

    Args:
        transfer: what went.
        back: whether it goes to the left.
        spots: from left to right.
    """

    transfer: Transfer
    back: bool
    spots: list[Spot] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, laid out.

    Args:
        boxes: one an end.
        lines: one a transfer.
        columns: how many there are.
        height: of all of it, the heading of the columns included.
    """

    boxes: tuple[Spot, ...]
    lines: tuple[Line, ...]
    columns: int
    height: float

    @property
    def width(self) -> float:
        """Of a whole picture, however little stands in it: all are drawn to one scale."""
        return COLUMNS * BOX + (COLUMNS - 1) * (CURVE + LABEL)


def fits(part: Part) -> bool:
    """Whether one picture can show it, as far as numbers of boxes and lines tell."""
    columns = _columns(part.transfers)
    if max(columns.values()) >= COLUMNS:
        return False
    left, right, tall = Counter[End](), Counter[End](), Counter[int]()
    for each in part.transfers:
        early, late = sorted((each.source, each.target), key=columns.__getitem__)
        right[early] += 1
        left[late] += 1
        for passed in range(columns[early] + 1, columns[late]):
            tall[passed] += PASSING + APART
    for end, column in columns.items():
        tall[column] += _height(max(left[end], right[end])) + APART
    return max(tall.values()) <= HEIGHT - HEAD


def _height(lines: int) -> int:
    return max(LEAST, PITCH * lines + 6)


def lay_out(part: Part) -> Chart:
    """Say where everything stands."""
    columns = _columns(part.transfers)
    boxes = {end: Spot(end, column) for end, column in columns.items()}
    lines = [_line(each, boxes) for each in part.transfers]
    spots: dict[int, list[Spot]] = defaultdict(list)
    for line in lines:
        for spot in line.spots:
            if spot not in spots[spot.column]:
                spots[spot.column].append(spot)
        for one, two in pairwise(line.spots):
            one.right.append(line)
            two.left.append(line)
    for box in boxes.values():
        box.height = _height(max(len(box.left), len(box.right)))
    _order(spots)
    _settle(spots)
    top = min(spot.y for each in spots.values() for spot in each)
    for each in spots.values():
        for spot in each:
            spot.y += HEAD - top
    height = max(spot.y + spot.height for each in spots.values() for spot in each)
    return Chart(tuple(boxes.values()), tuple(lines), max(columns.values()) + 1, height)


def _columns(transfers: Iterable[Transfer]) -> dict[End, int]:
    """Return in which column each end stands: one after all that paid it, unless it had paid them before."""
    after: dict[End, list[End]] = {}
    for each in transfers:
        after.setdefault(each.source, [])
        after.setdefault(each.target, [])
        if not _leads(after, each.target, each.source):
            after[each.source].append(each.target)
    depth = dict.fromkeys(after, 0)
    changed = True
    while changed:  # as often as it is deep: there is no circle in it
        changed = False
        for one, others in after.items():
            for two in others:
                if depth[two] <= depth[one]:
                    depth[two], changed = depth[one] + 1, True
    paid = {two for others in after.values() for two in others}
    for one, others in after.items():
        if one not in paid and others:
            depth[one] = min(depth[two] for two in others) - 1  # beside whom it pays
    return depth


def _leads(after: dict[End, list[End]], one: End, two: End) -> bool:
    seen, queue = {one}, [one]
    while queue:
        here = queue.pop()
        if here == two:
            return True
        queue += [each for each in after[here] if each not in seen]
        seen.update(after[here])
    return False


def _line(transfer: Transfer, boxes: dict[End, Spot]) -> Line:
    source, target = boxes[transfer.source], boxes[transfer.target]
    back = target.column < source.column
    left, right = (target, source) if back else (source, target)
    passed = [Spot(None, column) for column in range(left.column + 1, right.column)]
    return Line(transfer, back, [left, *passed, right])


def _order(spots: dict[int, list[Spot]]) -> None:
    for each in spots.values():
        _stack(each)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for column in sorted(spots, reverse=not forward):
            spots[column].sort(key=lambda spot: _mean(spot, forward=forward))
            _stack(spots[column])
            _order_ports(spots[column])


def _mean(spot: Spot, *, forward: bool) -> float:
    beside = _beside(spot, right=not forward)
    return fmean(beside) if beside else spot.middle


def _beside(spot: Spot, *, right: bool) -> list[float]:
    """Return where its lines touch what stands in the column beside it."""
    found = []
    for line in spot.right if right else spot.left:
        at = line.spots.index(spot)
        other = line.spots[at + 1] if right else line.spots[at - 1]
        found.append(other.port(line, right=not right))
    return found


def _order_ports(column: Iterable[Spot]) -> None:
    for spot in column:
        spot.left.sort(key=lambda line: line.spots[line.spots.index(spot) - 1].middle)
        spot.right.sort(key=lambda line: line.spots[line.spots.index(spot) + 1].middle)


def _stack(column: Iterable[Spot]) -> None:
    y = 0.0
    for spot in column:
        spot.y = y
        y += spot.height + APART


def _settle(spots: dict[int, list[Spot]]) -> None:
    """Move what stands in a column towards what it is joined with, in its order and without overlap."""
    for sweep in range(SWEEPS):
        for column in sorted(spots, reverse=sweep % 2 == 1):
            wished = []
            for spot in spots[column]:
                beside = _beside(spot, right=False) + _beside(spot, right=True)
                wished.append((fmean(beside) if beside else spot.middle) - spot.height / 2)
            _place(spots[column], wished)
            _order_ports(spots[column])


def _place(column: Sequence[Spot], wished: Sequence[float]) -> None:
    """Give each its wish as nearly as order and distance allow: neighbours in each other's way share the mean."""
    offsets, blocks = [], []
    y = 0.0
    for spot in column:
        offsets.append(y)
        y += spot.height + APART
    for offset, wish in zip(offsets, wished, strict=True):
        blocks.append([wish - offset, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, many), (two, more) = blocks[-2], blocks[-1]
            blocks[-2:] = [[(one * many + two * more) / (many + more), many + more]]
    bases = [base for base, many in blocks for _ in range(int(many))]
    for spot, offset, base in zip(column, offsets, bases, strict=True):
        spot.y = base + offset
