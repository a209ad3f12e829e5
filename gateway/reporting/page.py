"""A report as a page for everybody, and the list of reports.

In: reports, which hold published figures alone. Out: HTML that needs nothing else: no script, no picture, nothing from
elsewhere, and a policy in the page forbids it too. Every text is escaped. It prints on A4 and is light or dark as the
reader's system is. Each chart has its numbers below it as a table.

Sources: HTML Living Standard; CSP Level 3; WCAG 2.2 (contrast, headings, tables, charts that are not colour alone).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from gateway.formats.page.html import content_policy
from gateway.reporting.charts import Bar, Series, bars
from gateway.reporting.report import BANDS, Report

INDEX: Final = "index.html"
_BANDS: Final = {
    "first_half": "met in the first half",
    "second_half": "met in the second half",
    "late": "late",
    "lapsed": "lapsed",
}
_FIGURES: Final = {
    "requests": "Requests",
    "granted": "Granted",
    "partly_granted": "Partly granted",
    "refused": "Refused",
    "withdrawn": "Withdrawn",
}
_MONEY: Final = {"frozen": "Frozen", "confiscated": "Confiscated", "returned": "Returned to victims"}
_FATES: Final = (Series("granted", "s0"), Series("partly granted", "s1"), Series("otherwise, or not yet", "s4"))
_TOO_FEW: Final = '<span class="none">&ndash;<span class="hidden"> too few to be told, or none</span></span>'
_WAYS: Final = {"sent": "sent", "received": "received"}

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1b1f; --paper: #ffffff; --soft: #55565c; --line: #c9cad1; --band: #f1f2f5;
  --bar: #1d3557; --link: #1b4f9c; --loud: #8f0d0d; --s0: #1f5fa8; --s1: #c77700; --s2: #a3272f; --s3: #6b4a9c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7e7ea; --paper: #16171a; --soft: #a9abb3; --line: #43454d; --band: #202227; --bar: #9fc3f0;
    --link: #9fc3f0; --loud: #ffb4ab; --s0: #6ea8e8; --s1: #f0b050; --s2: #ef8a84; --s3: #bba4e6; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 64rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
a { color: var(--link); }
a:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
header { border-bottom: 3px solid var(--bar); margin-bottom: 1.5rem; padding-bottom: .75rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0; }
header p { margin: .3rem 0 0; color: var(--soft); }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.25rem 0 .6rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.2rem 0 .35rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: .5rem 0 1rem; }
.tiles div { background: var(--band); border-left: 4px solid var(--bar); padding: .5rem .75rem; }
.tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; font-size: 1.5rem; font-weight: 700; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; position: relative; }
table { border-collapse: collapse; width: 100%; margin: 0 0 1rem; font-size: .92rem; }
caption { text-align: start; color: var(--soft); padding: .3rem 0; }
th, td { border: 1px solid var(--line); padding: .35rem .55rem; text-align: start; vertical-align: top; }
thead th { background: var(--band); }
tbody th { font-weight: 600; }
td.n, th.n { text-align: end; font-variant-numeric: tabular-nums; white-space: nowrap; }
.none { color: var(--soft); }
.law { color: var(--soft); font-size: .85rem; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.loud { border: 2px solid var(--loud); color: var(--loud); padding: .5rem .75rem; font-weight: 600; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .88em; overflow-wrap: anywhere; }
figure { margin: 0 0 .5rem; }
.chart { display: block; width: 100%; min-width: 34rem; height: auto; font-size: 13px; }
.chart text { fill: var(--ink); }
.chart .sum { font-weight: 700; }
.chart .axis { stroke: var(--soft); }
.chart rect { stroke: var(--paper); stroke-width: 1; }
.s0 { fill: var(--s0); } .s1 { fill: var(--s1); } .s2 { fill: var(--s2); } .s3 { fill: var(--s3); }
.s4 { fill: var(--soft); }
@media print {
  @page { size: A4; margin: 18mm 15mm; }
  :root { --ink: #000; --paper: #fff; --soft: #444; --line: #999; --band: #eee; --bar: #000; --link: #000;
    --loud: #000; --s0: #1f5fa8; --s1: #c77700; --s2: #a3272f; --s3: #6b4a9c; }
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; }
  .wide { overflow: visible; }
  .chart { min-width: 0; print-color-adjust: exact; }
  h2, h3, caption { break-after: avoid; }
  tr, figure, .tiles div { break-inside: avoid; }
  thead { display: table-header-group; }
  nav { display: none; }
}
"""

_POLICY: Final = content_policy(STYLE)


def render(report: Report) -> str:
    """Return a report as HTML, in UTF-8 once it is encoded."""
    return "".join(_page(f"Transparency report {report['period']}", _source(report), _report(report)))


def render_index(reports: Sequence[Report]) -> str:
    """Return the list of reports as HTML, the newest first."""
    newest_first = sorted(reports, key=lambda report: (report["until"], report["from"]), reverse=True)
    nodes = ", ".join(sorted({str(report["node"]) for report in reports}))
    return "".join(_page("Transparency reports", f"Node {nodes}" if nodes else "", _list(newest_first)))


def _page(title: str, source: str, body: Iterable[str]) -> Iterator[str]:
    yield f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{escape(source)}</p>
</header>
<main>
"""
    yield from body
    yield "</main>\n</body>\n</html>\n"


def _source(report: Report) -> str:
    return f"Node {report['node']}, from {_day(report['from'])} until before {_day(report['until'])} (UTC)"


def _report(report: Report) -> Iterator[str]:
    period = report["period"]
    yield (
        f'<nav aria-label="Other forms"><a href="{INDEX}">All reports</a> · <a href="{period}.json">JSON</a> · '
        f'<a href="{period}.csv">CSV</a></nav>\n'
    )
    if report["records"]["not_proven"]:
        yield (
            f'<p class="loud">Up to {report["records"]["not_proven"]} of the records counted here could not be proven: '
            "a signature does not hold by the directory, or the log has not what is recorded.</p>\n"
        )
    yield _how_to_read(report)
    for total in report["totals"]:
        way = _WAYS[total["way"]]
        yield f'<h2 id="{way}">Requests {way}</h2>\n<dl class="tiles">\n'
        yield from (f"<div><dt>{word}</dt><dd>{_figure(total[name])}</dd></div>\n" for name, word in _FIGURES.items())
        yield "</dl>\n"
        yield from _requests(report, way)
        yield from _refusals(report, way)
    yield from _limits(report)
    yield from _sums(report)
    yield from _proof(report)


def _how_to_read(report: Report) -> str:
    base = report["base"]
    return (
        f"<p>Every count is rounded down to a multiple of {base} before anything is added up: read each as “at least”. "
        f"A dash means that fewer than {base}, or none, are in any row of a quarter that it is made of. So no figure, "
        f"and no comparison of figures, shows fewer than {base} cases; what this protects and what it does not is in "
        "the documentation of the reports.</p>\n"
    )


def _requests(report: Report, way: str) -> Iterator[str]:
    rows = [row for row in report["requests"] if row["way"] == way]
    if not rows:
        return
    by_country: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        asked, granted = row["requests"], row["granted"] + row["partly_granted"]
        sums = by_country[_country(row["country"])]
        sums[0] += row["granted"]
        sums[1] += row["partly_granted"]
        sums[2] += max(asked - granted, 0)
    order = sorted(by_country, key=lambda country: (-sum(by_country[country]), country))
    says = "; ".join(f"{country}: {sum(by_country[country])}" for country in order)
    yield _figure_of(
        bars(
            f"by-country-{way}",
            f"Requests {way}, by country",
            f"Requests by country, at least: {says}.",
            _FATES,
            [Bar(country, by_country[country]) for country in order],
        )
    )
    yield from _table(
        f"Requests {way}, by country and kind",
        ("Country", "Kind", "Requests", "Granted", "Partly granted", "Withdrawn"),
        (
            (
                _country(row["country"]),
                _words(row["kind"]),
                *(_figure(row[name]) for name in ("requests", "granted", "partly_granted", "withdrawn")),
            )
            for row in rows
        ),
        numbers_from=2,
    )


def _refusals(report: Report, way: str) -> Iterator[str]:
    rows = [row for row in report["refusals"] if row["way"] == way]
    if not rows:
        return
    by_ground: dict[str, int] = defaultdict(int)
    for row in rows:
        by_ground[_words(row["ground"])] += row["refused"]
    order = sorted(by_ground, key=lambda ground: (-by_ground[ground], ground))
    yield f"<h3>Refusals of requests {way}</h3>\n"
    yield _figure_of(
        bars(
            f"by-ground-{way}",
            f"Refusals of requests {way}, by ground",
            "Refusals, at least: " + "; ".join(f"{ground}: {by_ground[ground]}" for ground in order) + ".",
            (Series("refused", "s2"),),
            [Bar(ground, (by_ground[ground],)) for ground in order],
        )
    )
    yield from _table(
        f"Refusals of requests {way}, by kind and ground",
        ("Kind", "Ground", "Law", "Refused"),
        ((_words(row["kind"]), _words(row["ground"]), _law(row["law"]), _figure(row["refused"])) for row in rows),
        numbers_from=3,
    )


def _limits(report: Report) -> Iterator[str]:
    yield '<h2 id="limits">Time limits</h2>\n'
    rows = report["limits"]
    if not rows:
        yield '<p class="none">Too few ended to be told.</p>\n'
        return
    says = "; ".join(f"{_words(row['rule'])}: {sum(row[band] for band in BANDS)}" for row in rows)
    yield "<p>On requests received, whoever had to act: how many limits were met, and how many ran out.</p>\n"
    yield _figure_of(
        bars(
            "by-limit",
            "Time limits, by how they ended",
            f"Limits that ended, at least: {says}.",
            [Series(word, f"s{place}") for place, word in enumerate(_BANDS.values())],
            [Bar(_words(row["rule"]), [row[band] for band in BANDS]) for row in rows],
        )
    )
    yield from _table(
        "Time limits, by how they ended",
        ("Limit", "Law", *(each.capitalize() for each in _BANDS.values()), "Median", "Nine in ten by"),
        (
            (
                _words(row["rule"]),
                _law(row["law"]),
                *(_figure(row[band]) for band in BANDS),
                escape(_BANDS[row["median"]]),
                escape(_BANDS[row["nine_in_ten"]]),
            )
            for row in rows
        ),
        numbers_from=2,
        numbers_to=2 + len(BANDS),
    )


def _sums(report: Report) -> Iterator[str]:
    yield '<h2 id="sums">Sums</h2>\n'
    if not report["sums"]:
        yield '<p class="none">No sum has enough contributions, of which none dominates, to be told.</p>\n'
        return
    yield from _table(
        "Frozen, confiscated and returned, as reported; rounded down to a multiple of the unit",
        ("What", "On requests", "At least", "Unit", "Contributions"),
        (
            (
                escape(_MONEY[row["figure"]]),
                escape(_WAYS[row["way"]]),
                _money(row["amount"], row["currency"]),
                _money(row["unit"], row["currency"]),
                _figure(row["requests"]),
            )
            for row in report["sums"]
        ),
        numbers_from=2,
    )


def _proof(report: Report) -> Iterator[str]:
    log = report["log"]
    yield '<h2 id="log">From which records</h2>\n'
    if log["ranges"]:
        ranges = ", ".join(f"{each['quarter']}: {each['first']} to {each['last']}" for each in log["ranges"])
        yield (
            f"<p>Counted from signed headers and statements among the leaves of the node's log, by quarter "
            f"({escape(ranges)}; {log['leaves']} leaves, those of other matters among them).</p>\n"
        )
    else:
        yield "<p>The log has no leaf of this time.</p>\n"
    if log["checkpoint"] is not None:
        point = log["checkpoint"]
        yield (
            f"<p>Covered by the checkpoint of <code>{escape(point['origin'])}</code> over {point['size']} leaves with "
            f"the root <code>{escape(point['root'])}</code>. Whoever has the node's store recounts all of it with "
            f"<code>rogatory report --check {escape(report['period'])}.json</code>.</p>\n"
        )


def _list(reports: Sequence[Report]) -> Iterator[str]:
    if not reports:
        yield '<p class="none">None has been published yet.</p>\n'
        return
    rows = []
    for report in reports:
        period = escape(report["period"])
        sums = {total["way"]: total for total in report["totals"]}
        rows.append(
            (
                f'<a href="{period}.html">{period}</a>',
                _figure(sums["sent"]["requests"]),
                _figure(sums["received"]["requests"]),
                " ".join(
                    f'<a href="{period}.{form}">{form.upper()}<span class="hidden"> of {period}</span></a>'
                    for form in ("json", "csv")
                ),
            )
        )
    columns = ("Period", "Requests sent", "Requests received", "As data")
    yield from _table("Published reports", columns, rows, numbers_from=1, numbers_to=3)
    yield _how_to_read(reports[0])


def _table(
    caption: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers_from: int,
    numbers_to: int | None = None,
) -> Iterator[str]:
    """Yield a table. Its cells are HTML; those between the two places are numbers."""
    numbers = range(numbers_from, len(headings) if numbers_to is None else numbers_to)

    def marked(at: int) -> str:
        return ' class="n"' if at in numbers else ""

    yield f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>\n'
    yield f"<caption>{escape(caption)}</caption>\n<thead><tr>"
    yield from (f'<th scope="col"{marked(at)}>{escape(each)}</th>' for at, each in enumerate(headings))
    yield "</tr></thead>\n<tbody>\n"
    for first, *others in rows:
        cells = "".join(f"<td{marked(at)}>{each}</td>" for at, each in enumerate(others, 1))
        yield f'<tr><th scope="row">{first}</th>{cells}</tr>\n'
    yield "</tbody></table></div>\n"


def _figure_of(chart: str) -> str:
    return f'<figure class="wide" tabindex="0">{chart}</figure>\n'


def _figure(count: int) -> str:
    return str(count) if count else _TOO_FEW


def _money(amount: str, currency: str) -> str:
    return escape(f"{int(amount):,} {currency}".replace(",", "\u202f"))


def _words(code: str) -> str:
    return escape(code.replace("_", " ").replace("-", " ").lower())


def _law(law: str) -> str:
    return f'<span class="law">{escape(law)}</span>'


def _country(code: str) -> str:
    return escape(code.upper())


def _day(moment: str) -> str:
    return moment.partition("T")[0]
