"""Which article is kept where, read from the tables that the nodes run on.

In: the rows of `gateway.steps`, the time limits of `gateway.deadlines`, the grounds of `gateway.formats.grounds`, each
of which names its law. Out: Markdown, one table an instrument, in the order of its articles. Refuses a source that is
in no form known here, so that nothing is left out.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mkdocs.exceptions import PluginError
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1.comments_pb2 import COMMENTS
from words import cell, table

from gateway.deadlines import LIMITS
from gateway.formats.grounds import GROUNDS
from gateway.rules import word
from gateway.steps import RUNS_OUT, STEPS

INSTRUMENTS: Final = {
    "2018/1805": "Regulation (EU) 2018/1805, freezing and confiscation orders",
    "2023/1543": "Regulation (EU) 2023/1543, electronic evidence",
    "2024/1260": "Directive (EU) 2024/1260, asset recovery and confiscation",
    "2014/41": "Directive 2014/41/EU, European Investigation Order",
    "2022/2065": "Regulation (EU) 2022/2065, digital services",
    "2021/784": "Regulation (EU) 2021/784, terrorist content online",
    "Budapest Convention": "Budapest Convention on Cybercrime",
    "UNCAC": "United Nations Convention against Corruption",
    "FATF Recommendation": "FATF Recommendations",
    "ISO/IEC 27037": "ISO/IEC 27037, digital evidence",
    "INTERPOL Silver Notice": "INTERPOL Silver Notice",
    "practice of treaties": "Practice of treaties",
    "national law": "National law",
    "the order itself": "The order itself",
    "house": "House rules",
}
"""Instruments as the tables name them, in the order of the page."""
_HOUSE: Final = "What no text says and we demand."
_SOURCE: Final = re.compile(
    r"(?:Directive |Regulation )?(?:\(EU\) )?(?P<name>" + "|".join(map(re.escape, INSTRUMENTS)) + r")"
    r"(?:/EU)?(?: (?:Art\. |clause )?(?P<articles>[^:]*))?(?:: (?P<words>.*))?"
)
_PARTS: Final = re.compile(
    r"; (?=(?:Directive |Regulation )?(?:\(EU\) )?(?:" + "|".join(map(re.escape, INSTRUMENTS)) + "))"
)


@dataclass(frozen=True, slots=True)
class _Use:
    """One place where an article is kept."""

    article: str
    where: str
    what: str
    words: str


def page() -> str:
    """Return the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# The law, article by article\n"
    yield (
        "Each row of [the procedure](../procedure.md), each time limit and each ground of refusal names the article "
        "that it comes from. Here they are the other way round: from the article to what a node does about it. Made "
        "from `gateway/steps.py`, `gateway/deadlines.py` and `gateway/formats/grounds.py`, which both nodes run on; a "
        "source that is not understood here fails the build.\n"
    )
    found: defaultdict[str, list[_Use]] = defaultdict(list)
    for law, where, what in _uses():
        for name, articles, words in _read(law):
            found[name] += [_Use(each, where, what, words) for each in articles]
    for name, title in INSTRUMENTS.items():
        if uses := found.pop(name, None):
            yield f"## {title}\n"
            if name == "house":
                yield _HOUSE + "\n"
            yield from _table(uses)


def _table(uses: list[_Use]) -> Iterator[str]:
    rows: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for use in sorted(uses, key=lambda use: (_order(use.article), use.where, use.what)):
        what = rows[use.article, use.where, use.words]
        if use.what not in what:
            what.append(use.what)
    said = any(article for article, _, _ in rows)
    headings = ("article", "kept as", "what", "in words")
    cells = ((cell(article), where, ", ".join(what), cell(words)) for (article, where, words), what in rows.items())
    yield from table(headings[not said :], (row[not said :] for row in cells))


def _uses() -> Iterator[tuple[str, str, str]]:
    for step in STEPS:
        rule = step.rule
        yield step.law, "step", f"{word(rule.kind)} ({rule.sender.value} to {rule.recipient.value})"
    for limit in LIMITS.values():
        name = measures.ClockRule.Name(limit.rule).removeprefix("CLOCK_RULE_").lower().replace("_", "-")
        length = f"{limit.length.count} {limit.length.unit.value}" if limit.length else "as the order says"
        yield limit.law, "time limit", f"{name} ({length})"
    for end in RUNS_OUT:
        name = measures.ClockRule.Name(end.rule).removeprefix("CLOCK_RULE_").lower().replace("_", "-")
        yield end.law, "end of a time limit", f"{name}: {end.to.value}"
    for ground, row in GROUNDS.items():
        name = ids.Ground.Name(ground)
        yield row.law, "ground", cell(COMMENTS[f"Ground.{name}"].rstrip("."))


def _read(law: str) -> Iterator[tuple[str, list[str], str]]:
    """Return each instrument that a source names, its articles, and what is said."""
    for part in _PARTS.split(law):
        read = _SOURCE.fullmatch(part)
        if read is None:
            raise PluginError(f"no instrument of docs/generate/law.py: {part!r} in {law!r}")
        articles = (read["articles"] or "").strip()
        yield read["name"], articles.split(", ") if articles else [""], read["words"] or ""


def _order(article: str) -> tuple[tuple[int, str], ...]:
    """Return what sorts articles by their numbers: 9(1) before 10."""
    parts = re.findall(r"\d+|[^\d\W]+", article)
    return tuple((int(part), "") if part.isdigit() else (1 << 30, part) for part in parts)
