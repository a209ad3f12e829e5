"""Counting: what a node recorded of requests between States, by quarter and cell, before anything is held back.

In: rows of the store, in the order in which they were recorded. Out: a `Tally`, which is never shown to anybody.

Every happening is of the quarter in which this node recorded it, and of one cell, so nothing is counted twice and
nothing that comes later changes a quarter that is over:

- a request, when it is recorded;
- its decision: the first that grants, partly grants or refuses it, as it was told to the other State;
- its withdrawal, whole;
- a time limit of a request that was received, once a rule: met in its first or second half, run out (late) or lapsed;
- sums, by how much what was reported of a request has grown: reports say what there is so far.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from enum import StrEnum
from typing import Final, NamedTuple

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway.reporting.periods import Quarter
from gateway.steps import ASKED_ABROAD
from gateway.store.figures import Kept, Met, RanOut

DECISIONS: Final = frozenset({ids.KIND_REVIEW_DECISION, ids.KIND_CONFIRMATION})
REPORTS: Final = frozenset({ids.KIND_EXECUTION_REPORT, ids.KIND_FINAL_REPORT})
COUNTED: Final = tuple(sorted(ASKED_ABROAD | DECISIONS | REPORTS | {ids.KIND_WITHDRAWAL}))
"""Kinds that are read."""


DIGITS: Final = 100
"""Of a sum: an amount has 48 at most (evidence.proto, Money), and there are fewer than 10^50 of them."""


def exactly() -> AbstractContextManager[Context]:
    """Have sums of money worked out to the last digit: by default, Python rounds them to 28, and up as well as down."""
    return localcontext(Context(prec=DIGITS))


class Figure(StrEnum):
    """What a cell counts."""

    REQUESTS = "requests"
    GRANTED = "granted"
    PARTLY_GRANTED = "partly_granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    # Of a time limit:
    FIRST_HALF = "first_half"  # met in the first half of its time
    SECOND_HALF = "second_half"  # met after that, and before its end
    LATE = "late"  # it ran out, and the duty remained
    LAPSED = "lapsed"  # it ran out, and what was asked lost its force
    # Sums of money:
    FROZEN = "frozen"
    CONFISCATED = "confiscated"
    RETURNED = "returned"

    __hash__ = object.__hash__  # see Role


class Way(StrEnum):
    """Whose request it is."""

    SENT = "sent"
    RECEIVED = "received"

    __hash__ = object.__hash__  # see Role


OF_TIME: Final = (Figure.FIRST_HALF, Figure.SECOND_HALF, Figure.LATE, Figure.LAPSED)
OF_MONEY: Final[Mapping[int, Figure]] = {
    ids.KIND_FREEZE_REQUEST: Figure.FROZEN,
    ids.KIND_CONFISCATION_REQUEST: Figure.CONFISCATED,
    ids.KIND_RESTITUTION_DECISION: Figure.RETURNED,
}
_DECIDED: Final = {
    ids.OUTCOME_GRANTED: Figure.GRANTED,
    ids.OUTCOME_PARTLY_GRANTED: Figure.PARTLY_GRANTED,
    ids.OUTCOME_REFUSED: Figure.REFUSED,
}


class Cell(NamedTuple):
    """Where a happening is counted. What does not tell cells of that figure apart is empty.

    Args:
        figure: what it counts.
        way: of the request that it is about.
        country: code of the other State; of requests, grants and withdrawals.
        kind: of the request; all but time limits.
        code: ground of a refusal, or rule of a time limit.
        currency: of sums.
    """

    figure: Figure
    way: Way
    country: str = ""
    kind: int = 0
    code: int = 0
    currency: str = ""


@dataclass
class Tally:
    """Counts and sums, exact. A report shows none of them."""

    counts: dict[Quarter, dict[Cell, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    sums: dict[Quarter, dict[Cell, list[Decimal]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def quarters(self) -> list[Quarter]:
        """Return every quarter from the first in which something is counted to the last."""
        found = {*self.counts, *self.sums}
        if not found:
            return []
        quarters = [min(found)]
        while quarters[-1] < max(found):
            quarters.append(quarters[-1].next)
        return quarters


@dataclass
class _Request:
    way: Way
    country: str
    kind: int
    decided: bool = False
    withdrawn: bool = False
    reported: dict[str, Decimal] = field(default_factory=dict)

    def cell(self, figure: Figure) -> Cell:
        return Cell(figure, self.way, self.country, self.kind)


def tally(here: str, envelopes: Iterable[Kept], ran_out: Iterable[RanOut], met: Iterable[Met]) -> Tally:
    """Count.

    Args:
        here: code of the node.
        envelopes: of the kinds in `COUNTED`, in the order in which they were recorded.
        ran_out: what this node stated of time limits.
        met: time limits.
    """
    counted = Tally()
    requests: dict[int, _Request] = {}
    grown: dict[tuple[Quarter, int, Cell], Decimal] = defaultdict(Decimal)
    for each in envelopes:
        parties = _parties(each.header)
        if here not in parties or parties[0] == parties[1]:
            continue
        quarter = Quarter.of(each.at_us)
        if each.kind in ASKED_ABROAD:
            way, country = (Way.SENT, parties[1]) if parties[0] == here else (Way.RECEIVED, parties[0])
            request = requests[each.seq] = _Request(way, country, each.kind)
            counted.counts[quarter][request.cell(Figure.REQUESTS)] += 1
        elif each.cited in requests:
            cell = _become(requests[each.cited], each.header)
            if cell is not None:
                counted.counts[quarter][cell] += 1
            with exactly():
                for money, more in _grown(requests[each.cited], each.header):
                    grown[quarter, each.cited, money] += more
    for (quarter, _, cell), more in grown.items():
        counted.sums[quarter][cell].append(more)
    _count_limits(counted, requests, ran_out, met)
    return counted


def _parties(header: pb.Header) -> tuple[str, str]:
    return header.sender.partition("/")[0], next(iter(header.recipients), "").partition("/")[0]


def _become(request: _Request, header: pb.Header) -> Cell | None:
    """Return what is counted of what was said about a request; None: nothing new."""
    if header.kind == ids.KIND_WITHDRAWAL:
        if request.withdrawn or header.outcome != ids.OUTCOME_UNSPECIFIED:
            return None
        request.withdrawn = True
        return request.cell(Figure.WITHDRAWN)
    figure = _DECIDED.get(header.outcome)
    if header.kind not in DECISIONS or figure is None or request.decided:
        return None
    request.decided = True
    if figure is Figure.REFUSED:
        return Cell(figure, request.way, kind=request.kind, code=header.ground)
    return request.cell(figure)


def _grown(request: _Request, header: pb.Header) -> Iterable[tuple[Cell, Decimal]]:
    """Yield by how much more than before is frozen, confiscated or returned on a request, as this report says."""
    figure = OF_MONEY.get(request.kind)
    # What was disposed of in the end is no sum that was frozen.
    of_this = header.kind in REPORTS and (figure is not Figure.FROZEN or header.kind == ids.KIND_EXECUTION_REPORT)
    if figure is None or not of_this or not header.HasField("amount"):
        return
    currency, so_far = header.amount.currency, Decimal(header.amount.amount)
    before = request.reported.get(currency, Decimal())
    if so_far > before:
        request.reported[currency] = so_far
        yield Cell(figure, request.way, kind=request.kind, currency=currency), so_far - before


def _count_limits(counted: Tally, requests: dict[int, _Request], ran_out: Iterable[RanOut], met: Iterable[Met]) -> None:
    ends: list[tuple[int, int, int, Figure]] = []
    for each in ran_out:
        figure = Figure.LAPSED if each.said.milestone == pb.MILESTONE_LAPSED else Figure.LATE
        ends.append((each.said.at_us, each.envelope, each.said.clock_rule, figure))
    ends += [(clock.ended_at_us, clock.envelope, clock.rule, _when(clock)) for clock in met]
    first: set[tuple[int, int]] = set()
    for at_us, envelope, rule, figure in sorted(ends, key=lambda end: end[:3]):
        request = requests.get(envelope)
        if request is not None and request.way is Way.RECEIVED and (envelope, rule) not in first:
            first.add((envelope, rule))
            counted.counts[Quarter.of(at_us)][Cell(figure, Way.RECEIVED, code=rule)] += 1


def _when(clock: Met) -> Figure:
    if clock.ended_at_us >= clock.due_at_us:
        return Figure.LATE
    used = clock.ended_at_us - clock.started_at_us
    return Figure.FIRST_HALF if 2 * used <= clock.due_at_us - clock.started_at_us else Figure.SECOND_HALF
