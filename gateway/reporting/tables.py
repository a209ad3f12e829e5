"""A report as CSV: one published figure a line.

In: a report. Out: text, as RFC 4180 has it. What a spreadsheet would take for a formula cannot occur: every word is
ours, a code or a number.
"""

import csv
import io
from collections.abc import Iterator
from typing import Final

from gateway.reporting.report import BANDS, Report

COLUMNS: Final = ("period", "node", "way", "country", "kind", "rule", "ground", "currency", "figure", "value", "unit")


def render(report: Report) -> str:
    """Return the figures of a report as CSV."""
    out = io.StringIO(newline="")
    lines = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
    lines.writeheader()
    for line in _lines(report):
        lines.writerow({"period": report["period"], "node": report["node"]} | line)
    return out.getvalue()


def _lines(report: Report) -> Iterator[dict[str, object]]:
    base = {"unit": report["base"]}
    for row in report["requests"]:
        where = {key: row[key] for key in ("way", "country", "kind")}
        yield from (where | base | {"figure": name, "value": row[name]} for name in row if name not in where)
    for row in report["refusals"]:
        where = {key: row[key] for key in ("way", "kind", "ground")}
        yield where | base | {"figure": "refused", "value": row["refused"]}
    for row in report["limits"]:
        yield from (base | {"rule": row["rule"], "figure": band, "value": row[band]} for band in BANDS)
    for row in report["sums"]:
        where = {key: row[key] for key in ("way", "currency")}
        yield where | {"figure": row["figure"], "value": row["amount"], "unit": row["unit"]}
