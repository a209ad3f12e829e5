"""Reports: they add up to what the store holds, and no comparison of them tells one case from another."""

import csv
import fcntl
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pysqlite3.dbapi2 as sqlite
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway import cli, log_entry, merkle
from gateway.clock import to_micros
from gateway.config import NodeConfig, load
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.policy import Policy
from gateway.procedure import check
from gateway.record import record
from gateway.reporting import folder, page, report
from gateway.reporting.periods import Period, Quarter
from gateway.reporting.released import (
    BASE,
    DECIDING,
    KINDS_OF_RULE,
    MOST_OF_A_SUM,
    Released,
    Sum,
    add_up,
    release,
    unit_of,
)
from gateway.reporting.tally import Cell, Figure, Tally, Way, tally
from gateway.store import figures
from tests import durable, reports, stores, world
from tests.errors import raises

Q1, Q2, Q3 = (Quarter(2026, number) for number in (1, 2, 3))
NODES: Final = {"ee": Way.SENT, "de": Way.RECEIVED}
FREEZE, EVIDENCE = int(ids.KIND_FREEZE_REQUEST), int(ids.KIND_EVIDENCE_REQUEST)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("worked")
    reports.realistic(place)
    for code in NODES:
        reports.sign_log(place / f"{code}.db", code)
    return place


# That it adds up.


def plainly_counted(store: Path, here: str) -> Counter[tuple[Any, ...]]:
    """Count what a store holds, by what is known of the story and not of the program."""
    with closing(sqlite.connect(str(store))) as connection:
        rows = connection.execute("SELECT seq, recorded_at_us, header FROM envelopes").fetchall()
        words = [pb.Statement.FromString(raw) for (raw,) in connection.execute("SELECT statement FROM receipts")]
        kept = connection.execute(
            "SELECT e.id, c.rule, c.started_at_us, c.due_at_us, c.ended_at_us FROM clocks c"
            " JOIN envelopes e ON e.seq = c.envelope_seq WHERE c.stage = 'met'"
        ).fetchall()
    headers = {pb.Header.FromString(raw).id: (pb.Header.FromString(raw), at) for _, at, raw in rows}
    kinds = {ids.KIND_FREEZE_REQUEST, ids.KIND_CONFISCATION_REQUEST, ids.KIND_EVIDENCE_REQUEST}
    asked = {id_: header for id_, (header, _) in headers.items() if header.kind in kinds}
    found: Counter[tuple[Any, ...]] = Counter(
        (quarter_of(at), "requests", header.kind) for header, at in headers.values() if header.id in asked
    )
    sums: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
    for header, at in headers.values():
        when, about = quarter_of(at), asked.get(header.cites[0].id) if header.cites else None
        if about is None or header.sender[:2] == header.recipients[0][:2]:
            continue
        if header.kind == ids.KIND_REVIEW_DECISION and header.outcome == ids.OUTCOME_REFUSED:
            found[when, "refused", about.kind, header.ground] += 1
        elif header.kind == ids.KIND_REVIEW_DECISION:
            found[when, {1: "granted", 2: "partly_granted"}[header.outcome], about.kind] += 1
        elif header.kind == ids.KIND_WITHDRAWAL:
            found[when, "withdrawn", about.kind] += 1
        elif header.kind == ids.KIND_EXECUTION_REPORT:
            # In this story both reports on a request are of one day, and the second says all of it.
            sums[when, about.kind][about.id] = int(header.amount.amount)
    found.update({(when, "money", kind): sum(amounts.values()) for (when, kind), amounts in sums.items()})
    if here == "de":
        # What has run out is said to both parties.
        late = {(said.envelope.id, said.clock_rule, said.at_us) for said in words if said.milestone == 10}
        found.update((quarter_of(at), "late", rule) for id_, rule, at in late if id_ in asked)
        for id_, rule, began, due, ended in kept:
            if id_ in asked and ended < due:
                half = "first_half" if ended - began <= (due - began) / 2 else "second_half"
                found[quarter_of(ended), half, rule] += 1
    return found


def quarter_of(at_us: int) -> str:
    when = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    return f"{when.year}-Q{(when.month + 2) // 3}"


@pytest.mark.parametrize("here", NODES)
def test_totals_are_those_of_a_plain_count(worked: Path, here: str) -> None:
    with figures.look(worked / f"{here}.db") as view:
        counted = report.count(view, here)
    found: Counter[tuple[Any, ...]] = Counter()
    for quarter, cells in counted.counts.items():
        for cell, number in cells.items():
            assert cell.way is NODES[here]
            assert cell.country in {"", *NODES} - {here}
            code = [cell.code] if cell.code else []
            found[str(quarter), cell.figure.value, *([cell.kind] if cell.kind else []), *code] += number
    for quarter, sums in counted.sums.items():
        for cell, amounts in sums.items():
            assert cell.currency == "EUR"
            found[str(quarter), "money", cell.kind] += int(sum(amounts))
    expected = plainly_counted(worked / f"{here}.db", here)
    assert found == expected
    assert sum(number for (_, name, *_), number in expected.items() if name == "requests") > 100
    assert {name for _, name, *_ in expected} >= {"requests", "granted", "refused", "withdrawn", "money"}
    assert here == "ee" or {name for _, name, *_ in expected} >= {"first_half", "late"}


@pytest.mark.parametrize("here", NODES)
def test_year_is_the_sum_of_its_published_quarters(worked: Path, here: str) -> None:
    store = worked / f"{here}.db"
    with figures.look(store) as view:
        released = release(report.count(view, here))
    parts = [reports.made(store, here, f"2026-Q{number}") for number in (1, 2, 3)]
    year = report.worded(add_up(released.values()))
    before = reports.made(store, here, "2025")
    assert (before["requests"], before["log"]["ranges"], before["totals"][0]["requests"]) == ([], [], 0)
    for way, total in enumerate(year["totals"]):
        assert total["requests"] == sum(part["totals"][way]["requests"] for part in parts)
        assert total["refused"] == sum(part["totals"][way]["refused"] for part in parts)
    assert sum(int(row["amount"]) for row in year["sums"]) == sum(
        int(row["amount"]) for part in parts for row in part["sums"]
    )


def test_what_comes_later_changes_no_quarter_that_is_over(worked: Path, tmp_path: Path) -> None:
    reports.realistic(tmp_path, (1,))
    for code in NODES:
        reports.sign_log(tmp_path / f"{code}.db", code)
        then, now = (
            reports.made(tmp_path / f"{code}.db", code, "2026-Q1"),
            reports.made(worked / f"{code}.db", code, "2026-Q1"),
        )
        assert report.differences(then, now) == ["log"]  # another checkpoint: there, the first that covers it
        assert then["log"]["ranges"] == now["log"]["ranges"] != []


# That it tells nobody.

CELLS: Final = [
    *(
        Cell(figure, way, country, kind)
        for way in Way
        for country in ("de", "fr")
        for kind in (FREEZE, EVIDENCE)
        for figure in (Figure.REQUESTS, Figure.GRANTED, Figure.PARTLY_GRANTED, Figure.WITHDRAWN)
    ),
    *(
        Cell(Figure.REFUSED, way, kind=kind, code=ground)
        for way in Way
        for kind in (FREEZE, EVIDENCE)
        for ground in (ids.GROUND_NE_BIS_IN_IDEM, ids.GROUND_PRIVILEGE_OR_IMMUNITY)
    ),
    *(
        Cell(figure, Way.RECEIVED, code=rule)
        for figure in (Figure.FIRST_HALF, Figure.LATE)
        for rule in (measures.CLOCK_RULE_URGENT_DECISION, measures.CLOCK_RULE_PRODUCTION)
    ),
]
QUARTERS: Final = (Q1, Q2, Q3)
Place = tuple[Quarter, Cell]
places: Final = [(quarter, cell) for quarter in QUARTERS for cell in CELLS]
worlds: Final = st.fixed_dictionaries({}, optional={place: st.integers(1, 4 * BASE) for place in places})


def tally_of(world_: Mapping[Place, int]) -> Tally:
    counted = Tally()
    for (quarter, cell), number in world_.items():
        counted.counts[quarter][cell] = number
    return counted


def published(world_: Mapping[Place, int]) -> dict[Place, int]:
    return {
        (quarter, cell): figure
        for quarter, released in release(tally_of(world_)).items()
        for cell, figure in released.counts.items()
    }


def is_lawful(world_: Mapping[Place, int]) -> bool:
    """Whether no more was decided, withdrawn or timed than had been asked until then."""

    def so_far(until: Quarter, which: Any) -> int:
        return sum(number for (quarter, cell), number in world_.items() if quarter <= until and which(cell))

    def holds(until: Quarter, way: Way, kind: int) -> bool:
        def of(*names: Figure, country: str = "") -> int:
            return so_far(
                until,
                lambda c: (
                    c.figure in names and c.way is way and c.kind == kind and (not country or c.country == country)
                ),
            )

        granted, asked = (Figure.GRANTED, Figure.PARTLY_GRANTED), Figure.REQUESTS
        by_country = all(
            of(*granted, country=country) <= of(asked, country=country) >= of(Figure.WITHDRAWN, country=country)
            for country in ("de", "fr")
        )
        decided, ended = of(*granted, Figure.REFUSED), of(Figure.WITHDRAWN, Figure.REFUSED)
        return by_country and decided <= of(asked) >= ended

    def timed(until: Quarter, rules: set[int]) -> bool:
        kinds = {kind for rule in rules for kind in KINDS_OF_RULE[rule]}
        limits = so_far(until, lambda c: c.code in rules and c.figure in {Figure.FIRST_HALF, Figure.LATE})
        return limits <= so_far(
            until, lambda c: c.figure is Figure.REQUESTS and c.way is Way.RECEIVED and c.kind in kinds
        )

    rules: list[set[int]] = [*({int(rule)} for rule in measures.ClockRule.values()), {*DECIDING}]
    return all(
        all(holds(until, way, kind) for way in Way for kind in (FREEZE, EVIDENCE))
        and all(timed(until, each) for each in rules)
        for until in QUARTERS
    )


@given(world_=worlds, data=st.data())
def test_no_figure_narrows_a_cell_to_fewer_than_the_base(world_: dict[Place, int], data: st.DataObject) -> None:
    """For each cell and each value that its figure leaves open, there is a lawful world with the same reports."""
    told = published(world_)
    quarter, cell = data.draw(st.sampled_from(places))
    more = data.draw(st.integers(1, BASE - 1))
    other = Counter(told)
    other[quarter, cell] += more
    if cell.figure is not Figure.REQUESTS:
        # As many more were asked, in a cell whose figure does not change by it either.
        kind = cell.kind or min(KINDS_OF_RULE[cell.code] & {FREEZE, EVIDENCE})
        other[quarter, Cell(Figure.REQUESTS, cell.way, cell.country or "de", kind)] += more
    assert is_lawful(other)
    assert published(other) == published(told) == told


@given(world_=worlds, data=st.data())
def test_reports_depend_on_nothing_but_rounded_counts(world_: dict[Place, int], data: st.DataObject) -> None:
    """So whoever adds or takes a case away within the base, in any cells at once, changes no byte of any report."""
    other = {
        place: number - number % BASE + data.draw(st.integers(0, BASE - 1)) for place, number in sorted(world_.items())
    }
    assert published(other) == published(world_)
    for names in ([Q1], [Q2], [Q3], QUARTERS):
        one, two = (release(tally_of(each)) for each in (world_, other))
        of_one, of_two = (report.worded(add_up(each.get(name, Released()) for name in names)) for each in (one, two))
        assert of_one == of_two


@given(world_=worlds)
def test_differences_of_reports_are_never_a_few(world_: dict[Place, int]) -> None:
    """Year minus quarters, total minus parts, country minus kinds: every figure against every other."""
    released = release(tally_of(world_))
    shown: set[int] = set()
    for names in (*([quarter] for quarter in QUARTERS), QUARTERS):
        shown |= {*numbers(report.worded(add_up(released.get(name, Released()) for name in names)))}
    assert all(abs(one - other) not in range(1, BASE) for one, other in combinations(sorted(shown), 2))
    assert all(figure <= world_.get(place, 0) for place, figure in published(world_).items())
    assert is_lawful(published(world_))


def numbers(value: object) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers(each)


MONEY: Final = Cell(Figure.FROZEN, Way.SENT, kind=FREEZE, currency="EUR")


@given(amounts=st.lists(st.decimals("0.01", "1e9", places=2), min_size=1, max_size=20), granted=st.integers(0, 20))
def test_sum_hides_every_contribution_behind_a_larger_unit(amounts: list[Decimal], granted: int) -> None:
    counted = tally_of(
        {(Q1, Cell(each, Way.SENT, "de", FREEZE)): granted for each in (Figure.REQUESTS, Figure.GRANTED)}
    )
    counted.sums[Q1][MONEY] = amounts
    told = release(counted)[Q1].sums.get(MONEY)
    total, largest = sum(amounts, Decimal()), max(amounts)
    if told is None:
        assert len(amounts) < BASE or granted < BASE or largest > total / 2 or total < unit_of(largest)
        return
    assert BASE <= told.contributions <= min(len(amounts), granted)
    assert largest <= told.unit
    assert largest <= MOST_OF_A_SUM * total
    assert told.amount % told.unit == 0
    assert told.amount <= total < told.amount + told.unit


def test_sum_of_few_or_of_one_giant_is_not_told() -> None:
    def told(*amounts: int) -> Sum | None:
        counted = tally_of({(Q1, Cell(each, Way.SENT, "de", FREEZE)): 9 for each in (Figure.REQUESTS, Figure.GRANTED)})
        counted.sums[Q1][MONEY] = [Decimal(each) for each in amounts]
        return release(counted)[Q1].sums.get(MONEY)

    assert told(7, 7, 7, 7) is None
    assert told(7, 7, 7, 7, 7) == Sum(Decimal(30), Decimal(10), 5)
    assert told(1, 1, 1, 1, 1, 100) is None


def test_sum_is_never_more_than_what_contributed_however_many_digits_that_has() -> None:
    def told(*amounts: str) -> Sum:
        counted = tally_of({(Q1, Cell(each, Way.SENT, "de", FREEZE)): 9 for each in (Figure.REQUESTS, Figure.GRANTED)})
        counted.sums[Q1][MONEY] = [Decimal(each) for each in amounts]
        return add_up([release(counted)[Q1]] * 2).sums[MONEY]

    # As many digits as the contract lets an amount have.
    most = f"6{'0' * 29}"
    little_less = f"5{'9' * 29}.{'9' * 18}"
    assert told(*[most] * 5) == Sum(Decimal("6e30"), Decimal("2e30"), 10)
    assert told(*[most] * 4, little_less) == Sum(Decimal("4e30"), Decimal("2e30"), 10)


def test_what_is_reported_anew_counts_to_the_last_digit() -> None:
    def kept(seq: int, kind: int, cited: int | None, amount: str = "") -> figures.Kept:
        header = pb.Header(sender="ee/court", recipients=["de/court"], kind=ids.Kind.ValueType(kind))
        if amount:
            header.amount.CopyFrom(reports.euros(amount))
        return figures.Kept(seq, kind, cited, to_micros(Q1.begins), header)

    before = f"6{'0' * 29}"
    told = [kept(2 + n, ids.KIND_EXECUTION_REPORT, 1, each) for n, each in enumerate((before, f"{before}.01"))]
    counted = tally("ee", [kept(1, FREEZE, None), *told], [], [])
    assert counted.sums[Q1][MONEY] == [Decimal(f"{before}.01")]


# Periods, proof and form.


@pytest.mark.parametrize("name", ["2026-11", "2026-Q5", "2026-H1", "26", "2026-Q4", "2026", "9999", "2026-Q3 "])
def test_months_and_what_is_not_over_are_refused(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        Period.parse(name, reports.NOW)
    assert caught.value.code is ErrorCode.BAD_INPUT


def test_quarter_is_over_with_its_last_moment() -> None:
    end = datetime(2026, 10, 1, tzinfo=UTC)
    assert Period.parse("2026-Q3", end).quarters == (Q3,)
    with raises(ErrorCode.BAD_INPUT):
        Period.parse("2026-Q3", end.replace(year=2026, month=9, day=30, hour=23))
    assert [str(Quarter.of(to_micros(each))) for each in (Q3.begins, Q3.ends)] == ["2026-Q3", "2026-Q4"]


@pytest.fixture(params=stores.ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with stores.using(request.param):
        yield request.param


def test_what_cannot_be_proven_is_counted_and_said(engine: str, tmp_path: Path) -> None:
    where = stores.place(tmp_path / "store.db")
    sent = world.freeze_request()
    with stores.opened(where) as connection, world.transaction(connection) as txn:
        recorded(sent, txn)
    with figures.look(where) as view, pytest.raises(Failure) as caught:
        report.make(view, "ee", world.DIRECTORY, Period.parse("2026-Q1", reports.NOW))
    assert caught.value.code is ErrorCode.UNAVAILABLE  # no checkpoint yet
    stores.rows(
        where,
        "INSERT INTO checkpoints (size, origin, root, at_us, note) VALUES (2, 'rogatory.test/ee', ?, 1, ?)",
        bytes(32),
        b"note",
    )
    period = Period.parse("2026-Q1", reports.NOW)
    with figures.look(where) as view:
        assert report.count(view, "ee").counts == {Q1: {Cell(Figure.REQUESTS, Way.SENT, "de", FREEZE): 1}}
        good = report.make(view, "ee", world.DIRECTORY, period)
        strange = report.make(view, "ee", world.make_directory(participants=()), period)
    assert good["records"] == {"not_proven": 0}
    assert good["log"]["checkpoint"] == {"origin": "rogatory.test/ee", "size": 2, "root": "00" * 32}
    assert strange["records"] == {"not_proven": BASE}
    for leaf, not_proven in (
        (bytes(32), BASE),
        (log_entry.leaf_hash("de/node", sent.fingerprint), BASE),
        (merkle.leaf_hash(sent.fingerprint), 0),  # as entries were made at first
    ):
        stores.rows(where, "UPDATE log_entries SET leaf_hash = ? WHERE position = 1", leaf)
        with figures.look(where) as view:
            assert report.make(view, "ee", world.DIRECTORY, period)["records"] == {"not_proven": not_proven}
    assert "could not be proven" in page.render(strange)
    assert "could not be proven" not in page.render(good)


def test_report_on_a_time_before_the_log_began_stays_as_it_was_published(engine: str, tmp_path: Path) -> None:
    where = stores.place(tmp_path / "store.db")
    period = Period.parse("2025-Q4", reports.NOW)
    with stores.opened(where), figures.look(where) as view:
        before = report.make(view, "ee", world.DIRECTORY, period)
    with stores.opened(where) as connection, world.transaction(connection) as txn:
        recorded(world.freeze_request(), txn)
    query = "INSERT INTO checkpoints (size, origin, root, at_us, note) VALUES (2, 'rogatory.test/ee', ?, 1, ?)"
    stores.rows(where, query, bytes(32), b"note")
    with figures.look(where) as view:
        assert report.make(view, "ee", world.DIRECTORY, period) == before


def test_what_is_not_proven_in_a_year_is_the_sum_of_its_published_quarters(engine: str, tmp_path: Path) -> None:
    where = stores.place(tmp_path / "store.db")
    with stores.opened(where) as connection, world.transaction(connection) as txn:
        for sent in (world.freeze_request(), world.freeze_request(case_id="EE-2")):
            recorded(sent, txn)
    then = to_micros(datetime(2025, 2, 1, tzinfo=UTC))
    stores.rows(where, "UPDATE envelopes SET recorded_at_us = ? WHERE seq = 1", then)
    then = to_micros(datetime(2025, 5, 1, tzinfo=UTC))
    stores.rows(where, "UPDATE envelopes SET recorded_at_us = ? WHERE seq <> 1", then)
    query = "INSERT INTO checkpoints (size, origin, root, at_us, note) VALUES (4, 'rogatory.test/ee', ?, 1, ?)"
    stores.rows(where, query, bytes(32), b"note")
    nobody = world.make_directory(participants=())
    with figures.look(where) as view:
        told = {
            name: report.make(view, "ee", nobody, Period.parse(name, reports.NOW))["records"]["not_proven"]
            for name in ("2025-Q1", "2025-Q2", "2025")
        }
    assert told == {"2025-Q1": BASE, "2025-Q2": BASE, "2025": 2 * BASE}


def recorded(sent: world.Sent, txn: Any) -> None:
    """Record an envelope as the path does, and that it was accepted."""
    record(check(world.verified(sent, "ee"), txn, world.DIRECTORY, "ee", Policy.none()), txn)


class Page(HTMLParser):
    """What a browser would ask for, run or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        given = dict(attrs)
        self.links += [given["href"] or ""] if "href" in given else []
        self.ids += [given["id"] or ""] if "id" in given else []
        assert not any(name.startswith("on") or name in {"src", "style"} for name in given)


def test_reports_are_published_side_by_side_and_never_otherwise(worked: Path, tmp_path: Path) -> None:
    store = worked / "de.db"
    for name in ("2026-Q1", "2026-Q2", "2026-Q3"):
        folder.publish(reports.made(store, "de", name), tmp_path)
    for path in tmp_path.glob("*.html"):
        parsed = Page()
        parsed.feed(path.read_text())
        assert not parsed.tags.keys() & {"script", "img", "link", "iframe", "object", "form"}
        assert len(parsed.ids) == len(set(parsed.ids))
        assert parsed.links
        assert all((tmp_path / link).is_file() for link in parsed.links)
        # Each chart is named, and has its numbers below it as a table.
        assert parsed.tags["svg"] == parsed.tags["title"] - 1 == parsed.tags["desc"] == parsed.tags["figure"]
        assert parsed.tags["svg"] < parsed.tags["table"] == parsed.tags["caption"]
    assert (tmp_path / "2026-Q3.html").read_text().count("<svg") == 3
    index = (tmp_path / page.INDEX).read_text()
    assert index.index("2026-Q3.html") < index.index("2026-Q2.html") < index.index("2026-Q1.html")
    rows = [*csv.DictReader((tmp_path / "2026-Q3.csv").read_text().splitlines())]
    asked = sum(int(row["value"]) for row in rows if row["figure"] == "requests")
    assert asked == reports.made(store, "de", "2026-Q3")["totals"][1]["requests"] == 30 + 5 + 10
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    folder.publish(reports.made(store, "de", "2026-Q2"), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    other = reports.made(store, "de", "2026-Q2")
    other["requests"][0]["granted"] += BASE
    for wrong in (other, reports.made(worked / "ee.db", "ee", "2026-Q2")):
        with pytest.raises(Refusal) as caught:
            folder.publish(wrong, tmp_path)
        assert caught.value.code is ErrorCode.BAD_INPUT
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_whoever_publishes_holds_the_folder_against_other_runs(
    worked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two at once, one would write a list of reports without the other's."""
    held: list[bool] = []
    render = page.render_index

    def watched(everything: list[report.Report]) -> str:
        other = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
        held.append(True)
        return render(everything)

    monkeypatch.setattr(page, "render_index", watched)
    folder.publish(reports.made(worked / "de.db", "de", "2026-Q1"), tmp_path)
    assert held == [True]


def test_report_is_on_the_disk_before_it_has_its_name(
    worked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power cut could leave a name without a report, beside which that one is never published again."""
    made = reports.made(worked / "de.db", "de", "2026-Q1")
    steps = durable.watched(monkeypatch, "replace")
    written = folder.publish(made, tmp_path)
    assert steps == ["file", "replace", "folder"] * len(written)
    assert {path.stat().st_mode & 0o777 for path in written} == {folder.READABLE}


TOTALS_AMISS: Final = json.dumps(
    dict.fromkeys(report.KEYS, "") | {"format": report.FORMAT, "base": 5, "totals": [{"way": "sent", "requests": 5}]}
)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "rogatory-report/1"}', TOTALS_AMISS, "[" * 100_000, "\udcff"]
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "2026-Q1.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Refusal) as caught:
        folder.read(path)
    assert caught.value.code is ErrorCode.BAD_INPUT


def test_command_publishes_and_counts_again(worked: Path, tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, Any]:
        result = CliRunner().invoke(cli.commands, ["report", "--config", str(settings), "--json", *words])
        return result.exit_code, json.loads(result.stdout)

    federation = CliRunner().invoke(cli.commands, ["federation", "init", str(tmp_path / "fed"), "--nodes", "ee,de"])
    assert federation.exit_code == 0, federation.output
    settings = tmp_path / "fed/de/node.toml"
    store = load(NodeConfig, settings).store_file
    store.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite.connect(str(worked / "de.db"))) as whole, closing(sqlite.connect(str(store))) as copy:
        whole.backup(copy)
    public = tmp_path / "public"
    code, told = run("--period", "2026-Q3", "--out", str(public))
    assert (code, told.get("period")) == (0, "2026-Q3"), told
    assert told["not_proven"] > 0  # in that store nobody has really signed
    assert {Path(each).name for each in told["files"]} == {"2026-Q3.html", "2026-Q3.json", "2026-Q3.csv", "index.html"}
    assert run("--check", str(public / "2026-Q3.json")) == (0, {"period": "2026-Q3", "ok": True, "differs": []})
    theirs = json.loads((public / "2026-Q3.json").read_text())
    theirs["totals"][1]["requests"] += BASE
    theirs["log"]["checkpoint"]["root"] = "11" * 32
    (public / "2026-Q3.json").write_text(json.dumps(theirs))
    assert run("--check", str(public / "2026-Q3.json")) == (
        1,
        {"period": "2026-Q3", "ok": False, "differs": ["log", "totals"]},
    )
    code, told = run("--period", "2026-11", "--out", str(public))
    assert (code, told["error"]["code"]) == (2, "BAD_INPUT")
    code, told = run("--period", "2026-Q3")
    assert (code, told["error"]["code"]) == (2, "BAD_INPUT")
