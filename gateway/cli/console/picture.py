"""What goes between countries, as a picture: where its lines run and how broad they are.

In: the flows that a node tells. Out: numbers for the template that draws them. What comes is on the left, this node in
the middle, where it goes on the right; a line is the broader the more went in the last hour. No I/O.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rogatory.v1 import trace_pb2 as trace

WIDTH: Final = 860
ROW: Final = 46
TOP: Final = 34
"""Above the first row: its headings."""
NODE_WIDTH: Final = 128
END_WIDTH: Final = 64
BROADEST: Final = 14.0
NARROWEST: Final = 1.5
BENT: Final = 0.25
"""How far from this node a line has left its height."""
MOST_ROWS: Final = 27
"""A row a country; the others are in the table alone."""


@dataclass(frozen=True, slots=True)
class Line:
    """One flow.

    Args:
        flow: what goes.
        outward: whether it goes away from here.
        country: the other end.
        y: where its label stands.
        path: where it runs, as SVG has it.
        breadth: of the line.
        state: "held", "failing", "waiting" or "flowing".
    """

    flow: trace.Flow
    outward: bool
    country: str
    y: float
    path: str
    breadth: float
    state: str

    @property
    def x(self) -> float:
        """The left edge of the country's box."""
        return WIDTH - END_WIDTH if self.outward else 0

    @property
    def label_x(self) -> float:
        """Where its figures stand."""
        return WIDTH - END_WIDTH - 10 if self.outward else END_WIDTH + 10


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it.

    Args:
        lines: each flow from or to abroad.
        within: what goes between participants of this node; None if nothing does.
        height: of the picture; its width is `WIDTH`.
        node_y: upper edge of this node's box.
        node_height: of that.
    """

    lines: tuple[Line, ...]
    within: trace.Flow | None
    height: float
    node_y: float
    node_height: float


def draw(overview: trace.GetOverviewResponse) -> Picture:
    """Return where everything goes."""
    here = overview.node
    inward = [flow for flow in overview.flows if flow.to_node == here and flow.from_node != here]
    outward = [flow for flow in overview.flows if flow.from_node == here and flow.to_node != here]
    rows = min(MOST_ROWS, max(len(inward), len(outward), 2))
    height = TOP + rows * ROW + 8.0
    node_height = max(64.0, min(rows * ROW - 12.0, 190.0))
    node_y = TOP + (rows * ROW - node_height) / 2
    most = max((flow.last_hour for flow in overview.flows), default=0)
    held = {each.address: each for each in overview.destinations}
    lines = [
        *_side(inward, most, (node_y, node_height), rows, {}, outward=False),
        *_side(outward, most, (node_y, node_height), rows, held, outward=True),
    ]
    within = next((flow for flow in overview.flows if flow.from_node == flow.to_node == here), None)
    return Picture(tuple(lines), within, height, node_y, node_height)


def _side(
    flows: Sequence[trace.Flow],
    most: int,
    node: tuple[float, float],
    rows: int,
    destinations: dict[str, trace.Destination],
    *,
    outward: bool,
) -> list[Line]:
    shown = sorted(flows, key=lambda flow: flow.to_node if outward else flow.from_node)[:MOST_ROWS]
    left, right = (WIDTH - NODE_WIDTH) / 2, (WIDTH + NODE_WIDTH) / 2
    lines = []
    for number, flow in enumerate(shown):
        country = flow.to_node if outward else flow.from_node
        y = TOP + ROW * (number + 0.5 + (rows - len(shown)) / 2)
        at_node = node[0] + node[1] * (number + 1) / (len(shown) + 1)
        ends = ((right, at_node), (WIDTH - END_WIDTH, y)) if outward else ((END_WIDTH, y), (left, at_node))
        lines.append(
            Line(flow, outward, country, y, _curve(*ends), _breadth(flow.last_hour, most), _state(flow, destinations))
        )
    return lines


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    # Near the node, so that it is level where its figures stand.
    bent = x1 + (x2 - x1) * BENT if x2 > WIDTH / 2 else x2 - (x2 - x1) * BENT
    return f"M{x1:.0f} {y1:.1f}C{bent:.0f} {y1:.1f} {bent:.0f} {y2:.1f} {x2:.0f} {y2:.1f}"


def _breadth(count: int, most: int) -> float:
    return round(NARROWEST + (BROADEST - NARROWEST) * math.sqrt(count / most), 1) if most else NARROWEST


def _state(flow: trace.Flow, destinations: dict[str, trace.Destination]) -> str:
    there = destinations.get(f"{flow.to_node}/node")
    if there is not None and there.held_by:
        return "held"
    if there is not None and there.last_error:
        return "failing"
    return "waiting" if flow.waiting else "flowing"
