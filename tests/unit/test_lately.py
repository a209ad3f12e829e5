"""What was recorded lately is counted once, however often and by however many somebody asks."""

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.clock import MICROS
from gateway.store import overview
from gateway.store.overview import FLOWS, REFUSALS, Lately, OverviewView
from tests import stores

NOW = 1_800_000_000
HOUR = 3600


def record(sql: Any, seq: int, second: int, sender: str = "ee/court", recipient: str = "de/court") -> None:
    sql.execute(
        "INSERT INTO envelopes (seq, sender, id, recipient, kind, case_id, recorded_at_us, fingerprint, header, proof)"
        " VALUES (?, ?, ?, ?, 1, '', ?, ?, ?, ?)",
        (seq, sender, f"{seq}", recipient, second * MICROS, b"", b"", b""),
    )


def refuse(sql: Any, second: int, actor: str, name: str = "envelope.refused") -> None:
    sql.execute(
        "INSERT INTO events (at_us, sender, envelope_id, name, actor, destination, code, detail, stages)"
        " VALUES (?, '', '', ?, ?, '', 1, '', '')",
        (second * MICROS, name, actor),
    )


@pytest.mark.parametrize("engine", stores.ENGINES)
def test_counts_are_those_of_one_query_at_every_moment(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that what is done for millions happens with hundreds.
    monkeypatch.setattr(overview, "MOST_AT_ONCE", 70)
    monkeypatch.setattr(overview, "A_STEP", 30)
    chance, seq, second = Random(8), 0, NOW - 2 * HOUR
    with stores.using(engine), stores.opened(stores.place(tmp_path / "store.db")) as sql:
        for _ in range(300):
            seq, second = seq + chance.choice([1, 1, 3]), second + chance.choice([0, 1, 40])
            record(sql, seq, second, chance.choice(["ee/a", "de/a"]), chance.choice(["ee/b", "fr/b"]))
        lately, now = Lately(FLOWS, HOUR), second
        lately.look(sql, now * MICROS)
        assert lately.since_us(now * MICROS) > (now - HOUR) * MICROS  # it has just begun, and says so
        for _ in range(5):
            lately.look(sql, now * MICROS)
        for _ in range(40):
            for _ in range(chance.choice([0, 1, 20])):
                seq, second = seq + 1, second + chance.choice([0, 0, 30])
                record(sql, seq, second, chance.choice(["ee/a", "de/a"]), "ee/b")
            now = max(now + chance.choice([0, 1, 200]), second)
            lately.look(sql, now * MICROS)
            assert lately.since_us(now * MICROS) == (now - HOUR) * MICROS
            for seconds in (60, HOUR):
                rows = sql.execute(
                    f"SELECT substr(sender, 1, 2), substr(recipient, 1, 2) FROM envelopes"
                    f" WHERE recorded_at_us / {MICROS} > {now - seconds}"
                ).fetchall()
                assert lately.counts(now * MICROS, seconds) == Counter(tuple(row) for row in rows)


def test_who_comes_back_after_long_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "LEFT_BEHIND", 10)
    with stores.opened(stores.place(tmp_path / "store.db")) as sql:
        record(sql, 1, NOW)
        lately = Lately(FLOWS, HOUR)
        lately.look(sql, NOW * MICROS)
        for seq in range(2, 20):
            record(sql, seq, NOW + 1)
        lately.look(sql, (NOW + 1) * MICROS)
        assert lately.counts((NOW + 1) * MICROS, HOUR) == {("ee", "de"): 19}


def test_refusals_are_counted_by_who_brought_them_and_by_when(tmp_path: Path) -> None:
    with stores.opened(stores.place(tmp_path / "store.db")) as sql:
        for second, actor in ((NOW - 400, "de/node"), (NOW - 10, "de/node"), (NOW - 5, "ee/court")):
            refuse(sql, second, actor)
        refuse(sql, NOW, "ee/court", "envelope.accepted")
        lately = Lately(REFUSALS, HOUR)
        lately.look(sql, NOW * MICROS)
        assert lately.counts(NOW * MICROS, 300) == {("de/node", ""): 1, ("ee/court", ""): 1}
        assert lately.counts(NOW * MICROS, 3300, 300) == {("de/node", ""): 1}


@pytest.mark.parametrize("engine", stores.ENGINES)
def test_what_waits_is_told_by_destination_with_its_doubt_its_error_and_its_next_attempt(
    engine: str, tmp_path: Path
) -> None:
    with stores.using(engine), stores.opened(stores.place(tmp_path / "store.db")) as sql:
        copies = [
            # destination, state, next attempt, error, lane
            ("de/node", "queued", 50, "", 2),
            ("de/node", "doubtful", 70, "UNAVAILABLE: later", 0),
            ("de/node", "asking", 60, "UNAVAILABLE: earlier", 1),
            ("de/node", "delivered", 10, "", 0),
            ("ee/court", "queued", 20, "", 2),
            ("fr/node", "expired", 30, "", 2),
        ]
        for number, (destination, state, next_at, error, lane) in enumerate(copies, 1):
            record(sql, number, NOW + number)
            sql.execute(
                "INSERT INTO deliveries (envelope_seq, destination, case_id, state, attempts, next_attempt_at_us,"
                " lease_holder, lease_until_us, last_error, lane) VALUES (?, ?, '', ?, 0, ?, '', 0, ?, ?)",
                (number, destination, state, next_at, error, lane),
            )
        de, ee = OverviewView(sql).waiting()
    assert (de.destination, de.count, de.in_doubt, de.next_attempt_at_us) == ("de/node", 3, 2, 50)
    assert (de.oldest_at_us, de.last_error) == ((NOW + 1) * MICROS, "UNAVAILABLE: later")
    assert (ee.destination, ee.count, ee.in_doubt, ee.oldest_at_us, ee.last_error) == (
        "ee/court",
        1,
        0,
        (NOW + 5) * MICROS,
        "",
    )


@pytest.mark.parametrize("engine", stores.ENGINES)
def test_own_list_is_measured_as_it_was_signed_last(engine: str, tmp_path: Path) -> None:
    with stores.using(engine), stores.opened(stores.place(tmp_path / "store.db")) as sql:
        assert OverviewView(sql).own_list() == (0, 0)
        for version, content in ((9, b"x" * 7), (10, b"x" * 5)):
            sql.execute(
                "INSERT INTO node_lists VALUES (?, ?, ?, ?, NULL, NULL)", (version, b"", content, version * MICROS)
            )
        assert OverviewView(sql).own_list() == (5, 10 * MICROS)
