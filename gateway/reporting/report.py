"""A report: published figures in words, as one JSON value that everything else is made from.

In: a node's rows and directory, or released figures. Out: a `Report`, as plain data of published figures alone: whoever
renders it has nothing else to tell. Fails with UNAVAILABLE if no checkpoint covers the period yet.
The same period of the same store gives the same report, byte by byte, whenever it is made.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway import envelope, statement
from gateway.checkpoint import Checkpoint
from gateway.deadlines import LIMITS
from gateway.directory import Directory
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.formats.grounds import GROUNDS
from gateway.log_entry import leaf_hashes
from gateway.reporting.periods import Period, Quarter
from gateway.reporting.released import BASE, Released, add_up, raised, release
from gateway.reporting.tally import COUNTED, OF_TIME, Cell, Figure, Tally, Way, tally
from gateway.rules import word
from gateway.store.figures import FigureView, Kept, RanOut

Report: TypeAlias = dict[str, Any]
FORMAT: Final = "rogatory-report/1"
KEYS: Final = (
    "format",
    "node",
    "period",
    "from",
    "until",
    "base",
    "totals",
    "requests",
    "refusals",
    "limits",
    "sums",
    "records",
    "log",
)
BANDS: Final = tuple(figure.value for figure in OF_TIME)
_OF_REQUESTS: Final = (Figure.REQUESTS, Figure.GRANTED, Figure.PARTLY_GRANTED, Figure.WITHDRAWN)
_IN_TOTALS: Final = (Figure.REQUESTS, Figure.GRANTED, Figure.PARTLY_GRANTED, Figure.REFUSED, Figure.WITHDRAWN)
_MEDIAN, _NINE_IN_TEN = 50, 90
_CHECK_SECONDS: Final = 60.0
"""After so long a node has signed a checkpoint over what it has."""


def make(view: FigureView, here: str, directory: Directory, period: Period) -> Report:
    """Return the report of a node on a period.

    Args:
        view: its store, at one moment.
        here: code of the node.
        directory: public keys.
        period: which is over.

    Raises:
        Failure: UNAVAILABLE, no checkpoint covers it yet.
    """
    watched = _Watched(view, here, directory, period)
    counted = count(view, here, watched)
    released = release(counted)
    figures = add_up(released.get(quarter, Released()) for quarter in period.quarters)
    return {
        "format": FORMAT,
        "node": here,
        "period": period.name,
        "from": period.quarters[0].begins.isoformat(),
        "until": period.quarters[-1].ends.isoformat(),
        "base": BASE,
        **worded(figures),
        # Rounded for each quarter, as every count: a year tells no more than its quarters.
        "records": {"not_proven": sum(map(raised, watched.not_proven.values()))},
        "log": _log(view, period),
    }


def count(view: FigureView, here: str, watched: "_Watched | None" = None) -> Tally:
    """Return what a node's records add up to, exactly: not to be shown."""
    envelopes, ran_out = view.envelopes(COUNTED), view.ran_out(f"{here}/node")
    if watched is not None:
        envelopes, ran_out = watched.envelopes(envelopes), watched.statements(ran_out)
    return tally(here, envelopes, ran_out, view.met())


def worded(figures: Released) -> Report:
    """Return the published figures as rows, and totals that are sums of these."""
    requests: dict[tuple[str, str, str], Report] = {}
    refusals, limits = [], defaultdict[str, Report](lambda: dict.fromkeys(BANDS, 0))
    totals = {way: {"way": way.value} | {figure.value: 0 for figure in _IN_TOTALS} for way in Way}
    for cell, figure in sorted(figures.counts.items()):
        if cell.figure in OF_TIME:
            limits[measures.ClockRule.Name(_rule(cell)).removeprefix("CLOCK_RULE_")][cell.figure.value] = figure
            continue
        totals[cell.way][cell.figure.value] += figure  # type: ignore[operator]  # numbers but for the way
        kind = word(_kind(cell))
        if cell.figure is Figure.REFUSED:
            name, law = _ground(cell)
            refusals.append({"way": cell.way.value, "kind": kind, "ground": name, "law": law, "refused": figure})
            continue
        key = cell.way.value, cell.country, kind
        row = requests.setdefault(
            key,
            {"way": key[0], "country": cell.country, "kind": kind} | {each.value: 0 for each in _OF_REQUESTS},
        )
        row[cell.figure.value] = figure
    return {
        "totals": [totals[way] for way in Way],
        "requests": [requests[key] for key in sorted(requests)],
        "refusals": refusals,
        "limits": [_limit(rule, limits[rule]) for rule in sorted(limits)],
        "sums": [
            {
                "figure": cell.figure.value,
                "way": cell.way.value,
                "currency": cell.currency,
                "amount": f"{each.amount:f}",
                "unit": f"{each.unit:f}",
                "requests": each.contributions,
            }
            for cell, each in sorted(figures.sums.items())
        ],
    }


def differences(published: Mapping[str, object], made: Mapping[str, object]) -> list[str]:
    """Return the names of the parts in which a published report is not the one that the store gives."""
    return sorted(name for name in {*published, *made} if published.get(name) != made.get(name))


def check(report: Any) -> Report:  # noqa: ANN401  what JSON gives
    """Return a report that somebody else has read.

    Raises:
        Refusal: BAD_INPUT, it is none of this format.
    """
    texts = ("format", "node", "period", "from", "until")
    whole = isinstance(report, dict) and report.get("format") == FORMAT and {*KEYS} == {*report}
    if not whole or not all(isinstance(report[name], str) for name in texts) or not _has_totals(report):
        raise Refusal(ErrorCode.BAD_INPUT, f"that is no report of the form {FORMAT}", "format")
    return dict(report)


def _has_totals(report: Report) -> bool:
    """Whether it has what the list of reports shows."""
    totals = report["totals"]
    return (
        isinstance(report["base"], int)
        and isinstance(totals, list)
        and all(isinstance(total, dict) and isinstance(total.get("requests"), int) for total in totals)
        and [total.get("way") for total in totals] == [way.value for way in Way]
    )


class _Watched:
    """Rows on their way to be counted, of which those of the period are proven.

    What is not proven is counted all the same, for the node has recorded it; the report says how many there are.
    """

    def __init__(self, view: FigureView, here: str, directory: Directory, period: Period) -> None:
        self._view = view
        self._me = f"{here}/node"
        self._directory = directory
        self._quarters = frozenset(period.quarters)
        self.not_proven = Counter[Quarter]()

    def envelopes(self, rows: Iterable[Kept]) -> Iterator[Kept]:
        for row in rows:
            quarter = Quarter.of(row.at_us)
            if quarter in self._quarters:
                self.not_proven[quarter] += not self._is_proven(row)
            yield row

    def statements(self, rows: Iterable[RanOut]) -> Iterator[RanOut]:
        for row in rows:
            if row.said.at_us > 0 and (quarter := Quarter.of(row.said.at_us)) in self._quarters:
                try:
                    statement.verify(row.receipt, self._directory.signing_key)
                except GatewayError:
                    self.not_proven[quarter] += 1
            yield row

    def _is_proven(self, row: Kept) -> bool:
        """Whether the header is signed by those it names, and the envelope is in the log."""
        if row.envelope is None or self._view.leaf(row.seq) not in leaf_hashes(self._me, row.fingerprint):
            return False
        try:
            envelope.verify_signatures(row.envelope, row.header, self._directory.signing_key)
        except GatewayError:
            return False
        return True


def _log(view: FigureView, period: Period) -> Report:
    """Return which leaves of the log the figures are from, and the first checkpoint that covers them.

    Where there is no leaf there is none either: a log that begins later must not change a report.
    """
    ranges: list[Report] = []
    for quarter in period.quarters:
        found = view.leaves(*quarter.micros())
        if found is not None:
            ranges.append({"quarter": str(quarter), "first": found[0], "last": found[1]})
    leaves = sum(each["last"] - each["first"] + 1 for each in ranges)
    checkpoint = view.covering(ranges[-1]["last"]) if ranges else None
    if checkpoint is None and ranges:
        detail = "no checkpoint of the log covers the period yet"
        raise Failure(ErrorCode.UNAVAILABLE, detail, retry_after=_CHECK_SECONDS)
    return {"ranges": ranges, "leaves": leaves, "checkpoint": None if checkpoint is None else _said(checkpoint)}


def _said(checkpoint: Checkpoint) -> Report:
    return {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}


def _limit(rule: str, bands: Report) -> Report:
    limit = LIMITS.get(measures.ClockRule.Value(f"CLOCK_RULE_{rule}"))
    return {
        "rule": rule,
        "law": "" if limit is None else limit.law,
        **bands,
        "median": _quantile(bands, _MEDIAN),
        "nine_in_ten": _quantile(bands, _NINE_IN_TEN),
    }


def _quantile(bands: Report, percent: int) -> str:
    """Return the band in which so many percent are over, by the published counts."""
    total, so_far = sum(bands[band] for band in BANDS), 0
    for band in BANDS:
        so_far += bands[band]
        if 100 * so_far >= percent * total:
            return band
    return BANDS[-1]


def _ground(cell: Cell) -> tuple[str, str]:
    ground = ids.Ground.ValueType(cell.code)
    if ground not in ids.Ground.values():
        return str(cell.code), ""
    rule = GROUNDS.get(ground)
    return ids.Ground.Name(ground).removeprefix("GROUND_"), "" if rule is None else rule.law


def _rule(cell: Cell) -> measures.ClockRule.ValueType:
    return measures.ClockRule.ValueType(cell.code)


def _kind(cell: Cell) -> ids.Kind.ValueType:
    return ids.Kind.ValueType(cell.kind)
