"""What may be told: from exact counts to figures of which none tells a case from another.

In: a `Tally`. Out: for each quarter the figures that are published; those of a year are their sums. Pure.

1. Only quarters are ever counted, only here, and each happening is in one cell. Everything else that a report shows (a
   year, totals, shares, medians) is worked out from published figures alone, so no comparison of reports tells more.
2. A count is rounded down to a multiple of `BASE`. A published p says "p to p + BASE - 1", and 0 "none to BASE - 1".
3. The law ties cells together: no more is decided than was asked. Figures that break such an inequality would narrow
   others, so they are lowered until those published so far keep it (`_consumes`, `_feeds`). Lowered or not, p is true
   as "at least p", and these inequalities narrow no single cell to fewer than `BASE` values.
4. A sum of money is published if at least `BASE` requests contribute, the published grants alone show as many, and none
   contributes more than half. It is rounded down to a multiple of a unit, 1, 2 or 5 times a power of ten, that is no
   smaller than the largest contribution.

What this does not promise is in docs/report.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from itertools import chain
from typing import Final, NamedTuple

from rogatory.v1 import measures_pb2 as measures

from gateway.reporting.periods import Quarter
from gateway.reporting.tally import OF_TIME, Cell, Figure, Tally, Way, exactly
from gateway.rules import Where
from gateway.steps import ASKED_ABROAD, STEPS

BASE: Final = 5
"""Counts are multiples of it. No setting: two reports on one quarter by two bases would tell what neither does."""
MOST_OF_A_SUM: Final = Decimal("0.5")
"""Of a sum, what one request may contribute at most, if it is to be published."""
_LADDER: Final = (Decimal(1), Decimal(2), Decimal(5))

_Room = tuple[object, ...]
"""The name of an inequality: what feeds it is at least what consumes it."""


class Sum(NamedTuple):
    """A published sum: at least so much, and less than one unit more; from at least so many requests."""

    amount: Decimal
    unit: Decimal
    contributions: int


@dataclass(frozen=True, slots=True)
class Released:
    """The figures of one quarter, without those that are 0."""

    counts: Mapping[Cell, int] = field(default_factory=dict)
    sums: Mapping[Cell, Sum] = field(default_factory=dict)


def release(tally: Tally) -> dict[Quarter, Released]:
    """Return what is published of each quarter. Of a quarter, it depends on that and those before it alone."""
    room: dict[_Room, int] = defaultdict(int)
    out = {}
    for quarter in tally.quarters():
        counts: dict[Cell, int] = {}
        exact = tally.counts.get(quarter, {})
        # Cells that others rest on come first; the order among them is fixed.
        for cell in sorted(exact, key=_rank):
            names = [*_consumes(cell)]
            figure = min([floored(exact[cell]), *(room[name] for name in names)])
            if figure > 0:
                counts[cell] = figure
                for name in names:
                    room[name] -= figure
                for name in _feeds(cell):
                    room[name] += figure
        with exactly():
            out[quarter] = Released(counts, _sums(tally.sums.get(quarter, {}), room))
    return out


def add_up(quarters: Iterable[Released]) -> Released:
    """Return the sums of what was published: of a year, of countries, of anything."""
    counts: dict[Cell, int] = defaultdict(int)
    sums: dict[Cell, Sum] = {}
    for each in quarters:
        for cell, figure in each.counts.items():
            counts[cell] += figure
        for cell, more in each.sums.items():
            before = sums.get(cell, Sum(Decimal(), Decimal(), 0))
            # Each lacks less than its own unit.
            with exactly():
                amount, unit = before.amount + more.amount, before.unit + more.unit
            sums[cell] = Sum(amount, unit, before.contributions + more.contributions)
    return Released(dict(counts), sums)


def floored(count: int) -> int:
    """Return the multiple of `BASE` that is not above a count."""
    return count - count % BASE


def raised(count: int) -> int:
    """Return the multiple of `BASE` that is not below a count."""
    return floored(count + BASE - 1)


def unit_of(largest: Decimal) -> Decimal:
    """Return the smallest of 1, 2, 5, 10, 20, 50, ... that is not below an amount."""
    if largest <= 1:
        return Decimal(1)
    power = Decimal(10) ** largest.adjusted()
    steps = (step * power for step in (*_LADDER, _LADDER[0] * 10))
    return next(step for step in steps if step >= largest)


def _sums(contributions: Mapping[Cell, Sequence[Decimal]], room: Mapping[_Room, int]) -> dict[Cell, Sum]:
    sums: dict[Cell, Sum] = {}
    used: dict[_Room, int] = defaultdict(int)
    for cell in sorted(contributions, key=_rank):
        amounts = contributions[cell]
        granted: _Room = ("paid", cell.way, cell.kind)
        count = min(floored(len(amounts)), room.get(granted, 0) - used[granted])
        total, largest = sum(amounts, Decimal()), max(amounts)
        if count < BASE or largest > MOST_OF_A_SUM * total:
            continue
        unit = unit_of(largest)
        told = (total / unit).to_integral_value(ROUND_FLOOR) * unit
        if told > 0:
            used[granted] += count
            sums[cell] = Sum(told, unit, count)
    return sums


def _rank(cell: Cell) -> tuple[int, Cell]:
    return _ORDER[cell.figure], cell


_ORDER: Final = {figure: place for place, figure in enumerate(Figure)}


def _feeds(cell: Cell) -> Iterator[_Room]:
    """Yield the inequalities that a published cell makes room in."""
    if cell.figure is Figure.REQUESTS:
        yield from _of_requests(cell)
    elif cell.figure in {Figure.GRANTED, Figure.PARTLY_GRANTED}:
        yield "paid", cell.way, cell.kind


def _of_requests(cell: Cell) -> Iterator[_Room]:
    yield "granted", cell.way, cell.country, cell.kind
    yield "decided", cell.way, cell.kind
    yield "withdrawn", cell.way, cell.country, cell.kind
    yield "ended", cell.way, cell.kind
    if cell.way is Way.RECEIVED:
        for rule, kinds in KINDS_OF_RULE.items():
            if cell.kind in kinds:
                yield "limit", rule
        if cell.kind in _TO_DECIDE:
            yield ("limits to decide",)


def _consumes(cell: Cell) -> Iterator[_Room]:
    """Yield the inequalities that a cell takes room in: what is published of it may not be more."""
    if cell.figure in {Figure.GRANTED, Figure.PARTLY_GRANTED}:
        yield "granted", cell.way, cell.country, cell.kind
        yield "decided", cell.way, cell.kind
    elif cell.figure is Figure.REFUSED:
        yield "decided", cell.way, cell.kind
        yield "ended", cell.way, cell.kind
    elif cell.figure is Figure.WITHDRAWN:
        yield "withdrawn", cell.way, cell.country, cell.kind
        yield "ended", cell.way, cell.kind
    elif cell.figure in OF_TIME:
        yield "limit", cell.code
        if cell.code in DECIDING:
            yield ("limits to decide",)


DECIDING: Final = frozenset(
    {
        measures.CLOCK_RULE_URGENT_DECISION,
        measures.CLOCK_RULE_ORDINARY_DECISION,
        measures.CLOCK_RULE_CONFISCATION_DECISION,
        measures.CLOCK_RULE_ENFORCEMENT_RECOGNITION,
    }
)
"""Of these, a request has one."""


def _kinds_of_rule() -> dict[int, frozenset[int]]:
    """Return for each time limit the kinds of request that it may run on."""
    begin: dict[int, set[int]] = defaultdict(set)
    for step in STEPS:
        if step.opens is not None and step.rule.where is Where.ABROAD and step.rule.kind in ASKED_ABROAD:
            for start in step.clocks.starts:
                begin[start.rule].add(step.rule.kind)
    # A limit that an answer starts may run on any request.
    return {rule: frozenset(begin.get(rule, ASKED_ABROAD)) for rule in measures.ClockRule.values()}


KINDS_OF_RULE: Final = _kinds_of_rule()
_TO_DECIDE: Final = frozenset(chain.from_iterable(KINDS_OF_RULE[rule] for rule in DECIDING))
