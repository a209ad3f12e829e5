"""Finding envelopes, on both engines: whatever is asked, what comes is what a walk over every row would find."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from sqlalchemy import Engine, insert

from gateway.errors import ErrorCode, Refusal
from gateway.lifecycle import State
from gateway.store import finding, open_store
from gateway.store.finding import WAITING, FoundRow, Wanted, find
from gateway.store.schema import events
from tests import stores

COUNT = 240
PEOPLE = ("ee/a", "ee/b", "de/a", "de/court", "fr/x", "fr/node-like")
CODES = (0, 0, 0, ErrorCode.UNAVAILABLE, ErrorCode.STALE, ErrorCode.NOT_PERMITTED)
SECOND_US = 1_000_000


@dataclass
class Made:
    """One envelope as the oracle knows it; `kind` is 0 if it was only refused."""

    seq: int
    sender: str
    id: str
    recipient: str
    kind: int
    case_id: str
    at_us: int
    states: tuple[State, ...]
    codes: tuple[int, ...]
    copies: tuple[tuple[str, State], ...] = ()

    def fits(self, wanted: Wanted) -> bool:
        given = asdict(wanted)
        same = all(given[each] in ("", 0, getattr(self, each)) for each in ("id", "case_id", "kind"))
        parties = {self.sender, self.recipient}
        return (
            same
            and (not wanted.participant or wanted.participant in parties)
            and (not wanted.node or any(each.startswith(f"{wanted.node}/") for each in parties))
            and self.at_us >= wanted.from_us
            and (not wanted.until_us or self.at_us < wanted.until_us)
            and (not (wanted.states or wanted.destination) or any(fitting(wanted, *copy) for copy in self.copies))
            and (not wanted.code or wanted.code in self.codes)
            # What was only refused is found by its id and its code, and by that alone if its events are pruned.
            and (self.kind != 0 or bool(wanted.id or (wanted.code and self.seq)))
        )


def fitting(wanted: Wanted, destination: str, state: State) -> bool:
    return wanted.destination in ("", destination) and (not wanted.states or state in wanted.states)


@dataclass
class World:
    engine: Engine
    made: list[Made]

    def page(self, wanted: Wanted, limit: int = 50, after: str = "") -> finding.Page:
        with self.engine.connect() as connection, connection.begin():
            return find(connection, wanted, limit, after)

    def all(self, wanted: Wanted, limit: int) -> list[FoundRow]:
        """Turn the pages until there is no more."""
        found: list[FoundRow] = []
        after = ""
        for _ in range(COUNT * 3):
            page = self.page(wanted, limit, after)
            assert len(page.found) <= limit
            found += page.found
            if not page.next:
                return found
            assert page.next != after
            after = page.next
        raise AssertionError("the pages have no end")


@pytest.fixture(params=stores.ENGINES, scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with stores.using(request.param):
        connect, engine = open_store(stores.place(tmp_path_factory.mktemp("finding") / "store.db"))
        with closing(connect()) as connection:
            yield World(engine, list(_fill(connection)))
        engine.dispose()


def _fill(connection: Any) -> Iterator[Made]:
    chance, events = Random(8), []
    envelopes: list[tuple[Any, ...]] = []
    copies: list[tuple[Any, ...]] = []
    made = []
    for seq in range(1, COUNT + 1):
        refused = seq % 12 == 0
        sender, recipient = chance.choice(PEOPLE), "" if refused else chance.choice(PEOPLE)
        states = () if refused else tuple(chance.choices([*State], k=chance.choice([1, 1, 2])))
        codes = tuple({chance.choice(CODES) or ErrorCode.STALE} if refused else {chance.choice(CODES)} - {0})
        kind, case_id = (0, "") if refused else (chance.randint(1, 3), f"EE-{seq // 5}")
        at_us = seq // 2 * SECOND_US
        one = Made(seq, sender, f"id-{seq}", recipient, kind, case_id, at_us, states, codes)
        if not refused:
            envelopes.append((seq, sender, one.id, recipient, kind, case_id, at_us, b"f", b"h", b"p"))
        for state, lane in zip(states, (0, 2), strict=False):
            destination = chance.choice([recipient, f"{recipient[:2]}/node"])
            one.copies += ((destination, state),)
            copies.append((seq, None, destination, case_id, state.value, 1, 0, "", 0, "", lane))
        made.append(one)
        # Of a receipt: no envelope's.
        copies.append((None, 1, "de/node", "", State.QUEUED.value, 1, 0, "", 0, "", 1))
        # Twice: an envelope whose attempts go on failing is found once.
        events += [(at_us, sender, one.id, "envelope.refused", sender, "", code, "", "") for code in codes * 2]
        events.append((at_us, sender, one.id, "envelope.accepted", "", "", 0, "", ""))
    # What had no name that could be believed cannot be followed.
    events.append((SECOND_US, "ee/a", "", "envelope.refused", "", "", ErrorCode.STALE, "", ""))
    # Of this one the events are pruned.
    signed = pb.Statement(milestone=pb.MILESTONE_REFUSED, code=errors_pb2.ERROR_CODE_STALE)
    made.append(Made(0, "ee/b", "id-told", "", 0, "", 7, (), (int(ErrorCode.STALE),)))
    connection.begin()
    names = "seq sender id recipient kind case_id recorded_at_us fingerprint header proof"
    connection.insert("envelopes", names.split(), envelopes)
    names = "seq sender id milestone issuer recipient at_us digest statement signature"
    told = (1, "ee/b", "id-told", pb.MILESTONE_REFUSED, "ee/node", "ee/b", 7, b"d", signed.SerializeToString(), b"s")
    connection.insert("receipts", names.split(), [told])
    names = "envelope_seq receipt_seq destination case_id state attempts next_attempt_at_us lease_holder"
    connection.insert("deliveries", [*names.split(), "lease_until_us", "last_error", "lane"], copies)
    names = "at_us sender envelope_id name actor destination code detail stages"
    connection.insert("events", names.split(), events)
    connection.end(())
    yield from made


CHOICES: dict[str, tuple[Any, ...]] = {
    "id": ("id-12", "id-13", "id-told", "id-none"),
    "case_id": ("EE-7", "EE-none"),
    "participant": PEOPLE[:3],
    "node": ("de", "lv"),
    "destination": ("de/node", "ee/a", "lv/node"),
    "from_us": (40 * SECOND_US, 110 * SECOND_US),
    "until_us": (1 * SECOND_US, 100 * SECOND_US),
    "states": (WAITING, (State.DOUBTFUL,), (State.DELIVERED,)),
    "kind": (2,),
    "code": (int(ErrorCode.STALE), int(ErrorCode.UNAVAILABLE), 999),
}
QUESTIONS = [Wanted(), *(Wanted(**{name: value}) for name, values in CHOICES.items() for value in values)]


def test_whatever_is_asked_the_pages_hold_what_a_walk_over_every_row_finds_and_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = Random(9)
    some = [chance.sample([*CHOICES], k=chance.choice([2, 2, 3])) for _ in range(40)]
    questions = [*QUESTIONS, *(Wanted(**{name: chance.choice(CHOICES[name]) for name in names}) for names in some)]
    # So that every kind of search stops on its way and is taken up again.
    monkeypatch.setattr(finding, "MAX_LOOKED", 70)
    monkeypatch.setattr(finding, "MAX_SCANNED", 70)
    monkeypatch.setattr(finding, "FIRST_WINDOW", 3)
    monkeypatch.setattr(finding, "CHUNK", 8)
    monkeypatch.setattr(finding, "LEAST_READ", 5)
    hits = 0
    for wanted in questions:
        expected = {(each.sender, each.id): each for each in world.made if each.fits(wanted)}
        found = world.all(wanted, chance.choice([7, 50]))
        names = [(row.sender, row.id) for row in found]
        assert set(names) == set(expected), wanted
        if not (wanted.states and set(wanted.states) <= set(WAITING)):
            # Of two copies that wait, each is a place where a page may end.
            assert len(names) == len(set(names)), wanted
        times = [row.recorded_at_us for row in found]
        assert times == sorted(times, reverse=True), wanted
        for row in found:
            made = expected[row.sender, row.id]
            assert (row.recipient, row.kind, row.case_id) == (made.recipient, made.kind, made.case_id)
            copies = [each for each in made.copies if fitting(wanted, *each)] or made.copies
            shown = row.copy and (row.copy.destination, row.copy.state)
            assert shown in copies if copies else shown is None, wanted
            assert row.code in (0, *made.codes)
            assert not wanted.code or row.code == wanted.code
        hits += bool(found)
    assert hits > len(questions) // 3


@pytest.mark.parametrize("after", ["x1", "e", "e-1", "e1;", "1", "r1", "e999", "e" + "9" * 19, " e1"])
def test_place_that_no_page_of_the_question_named_is_refused(world: World, after: str) -> None:
    with pytest.raises(Refusal) as caught:
        world.page(Wanted(), after=after)
    assert (caught.value.code, caught.value.field) == (ErrorCode.MALFORMED, "after")


def test_one_that_was_refused_without_end_does_not_slow_the_search_for_its_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = finding._last_failed

    def last_failed(connection: Any, known: Any, code: int) -> Any:
        asked.extend(known)
        return real(connection, known, code)

    monkeypatch.setattr(finding, "_last_failed", last_failed)
    monkeypatch.setattr(finding, "CHUNK", 4)
    code = int(ErrorCode.STALE)
    with world.engine.connect() as connection, connection.begin() as again:
        row = {"at_us": 1, "sender": "ee/a", "envelope_id": "id-again", "name": "envelope.refused", "code": code}
        empty = dict.fromkeys(("actor", "destination", "detail", "stages"), "")
        connection.execute(insert(events), [row | empty] * 200)
        found = find(connection, Wanted(code=code), 1000, "").found
        again.rollback()
    assert found[0].id == "id-again"
    assert asked.count("id-again") == 1


@pytest.mark.parametrize(("actor", "is_told"), [("fr/stranger", False), ("ee/a", True), ("de/node", True)])
def test_what_a_stranger_brings_under_a_name_is_no_error_of_what_is_recorded_under_it(
    world: World, actor: str, is_told: bool
) -> None:
    code = int(ErrorCode.NOT_PERMITTED)
    waits = next(
        each
        for each in world.made
        if each.sender == "ee/a" and each.kind and not each.codes and State.DELIVERED not in each.states
    )
    with world.engine.connect() as connection, connection.begin() as again:
        row = {"at_us": 1, "sender": "ee/a", "envelope_id": waits.id, "name": "envelope.refused", "code": code}
        connection.execute(insert(events), [row | {"actor": actor, "destination": "", "detail": "", "stages": ""}])
        (found,) = find(connection, Wanted(id=waits.id), 1, "").found
        again.rollback()
    assert found.code == (code if is_told else 0)


def test_case_of_more_than_is_looked_through_at_once_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MAX_LOOKED", 2)
    wanted = Wanted(case_id="EE-7", kind=2)
    for each in (wanted, Wanted(case_id="EE-7")):
        assert {row.id for row in world.all(each, 50)} == {one.id for one in world.made if one.fits(each)}
    assert world.page(wanted).next
