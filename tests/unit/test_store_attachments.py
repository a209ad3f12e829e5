"""Files in the store: who may name and fetch what, what waits for what, what may go; the races of collection too."""

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import operations_pb2 as operations

from gateway.config import Attachments, Limits
from gateway.doors.freight import ASK_AGAIN_BYTES, Freighter
from gateway.doors.trace import envelope_trace
from gateway.errors import ErrorCode, GatewayError
from gateway.identity import Address
from gateway.lifecycle import Event
from gateway.store import Reader, open_store
from gateway.store.attachments import AHEAD, HELD_US, AttachmentRecord, Freight, Standing
from gateway.store.finding import Wanted
from gateway.store.overview import OverviewView
from gateway.story import tell
from tests import stores, world
from tests.world import NOW

SENDER = Address.parse(world.INVESTIGATOR)
OTHER = Address.parse(world.COURT)
READER = Address.parse(world.FOREIGN_CENTRAL)
THEIR_NODE = Address.parse("de/node", allow_node=True)
OUR_NODE = Address.parse("ee/node", allow_node=True)
LATER = NOW + timedelta(hours=100)
SETTINGS = Attachments(unnamed_hours=72, keep_days=90)
LIMITS = Limits()


def file(number: int = 1, size: int = 100) -> pb.AttachmentRef:
    return pb.AttachmentRef(sha256=sha256(bytes([number])).digest(), size=size)


def do(sql: Any, job: Callable[[AttachmentRecord], Any], at: datetime = NOW) -> Any:
    with world.transaction(sql, at) as txn:
        return job(txn.attachments)


def begin(
    sql: Any,
    owner: Address = SENDER,
    wanted: pb.AttachmentRef | None = None,
    at: datetime = NOW,
    settings: Attachments = SETTINGS,
) -> Standing:
    made: Standing = do(sql, lambda files: files.begin(owner, wanted or file(), LIMITS, settings), at)
    return made


def bring(sql: Any, owner: Address = SENDER, wanted: pb.AttachmentRef | None = None, at: datetime = NOW) -> str:
    wanted = wanted or file()
    standing = begin(sql, owner, wanted, at)
    if not standing.whole:
        do(sql, lambda files: files.progress(standing.place, wanted.size, whole=True), at)
    return standing.place


def name(
    sql: Any, *named: pb.AttachmentRef, bringer: Address = SENDER, to: str = str(THEIR_NODE), at: datetime = NOW
) -> tuple[int, int]:
    """Record an envelope that names files, and its copy; return the numbers of both."""
    sent = world.freeze_request(now=at)
    with world.transaction(sql, at) as txn:
        seq = txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
        txn.attachments.name(seq, named, bringer)
        txn.deliveries.add(to, envelope_seq=seq)
        if to.endswith("/node"):
            txn.attachments.hold(seq, to)
    (delivery,) = sql.execute("SELECT seq FROM deliveries WHERE envelope_seq = ?", (seq,)).fetchone()
    return seq, delivery


def move(sql: Any, delivery: int, *events: Event, at: datetime = NOW) -> None:
    with world.transaction(sql, at) as txn:
        for event in events:
            row = txn.deliveries.find(delivery)
            assert row is not None
            txn.deliveries.move(row, event)


def forget(sql: Any, at: datetime = LATER, settings: Attachments = SETTINGS) -> list[str]:
    def job(files: AttachmentRecord) -> list[str]:
        files.forget(settings)
        return files.to_delete()

    found: list[str] = do(sql, job, at)
    return found


def code_of(attempt: Callable[[], object]) -> ErrorCode:
    with pytest.raises(GatewayError) as caught:
        attempt()
    return caught.value.code


# Uploads


def test_upload_goes_on_where_it_was(sql: Any) -> None:
    first = begin(sql)
    assert (first.received, first.whole) == (0, False)
    do(sql, lambda files: files.progress(first.place, 60))
    assert begin(sql) == Standing(first.place, 60, whole=False)
    do(sql, lambda files: files.progress(first.place, 40))  # a slower call of the same upload takes nothing back
    assert begin(sql).received == 60


def test_upload_of_somebody_else_is_neither_seen_nor_taken_over(sql: Any) -> None:
    place = bring(sql)
    theirs = begin(sql, OTHER)
    assert (theirs.received, theirs.whole) == (0, False)
    assert theirs.place != place


def test_place_tells_nothing_of_who_brought_it_and_is_never_used_twice(sql: Any) -> None:
    first = begin(sql)
    do(sql, lambda files: files.drop(SENDER, file().sha256, first.place))
    second = begin(sql)
    assert second.place != first.place
    assert "prosecutor" not in first.place
    assert "/" not in first.place


def test_announcing_another_size_of_what_is_whole_is_refused(sql: Any) -> None:
    bring(sql)
    assert code_of(lambda: begin(sql, wanted=file(size=101))) is ErrorCode.BAD_SIGNATURE


def test_announcing_another_size_begins_anew_while_nothing_is_proven(sql: Any) -> None:
    first = begin(sql)
    do(sql, lambda files: files.progress(first.place, 60))
    assert begin(sql, wanted=file(size=200)).received == 0
    assert do(sql, lambda files: files.to_delete()) == [first.place]


def test_whole_file_cannot_be_dropped_by_a_call_that_lags_behind(sql: Any) -> None:
    place = bring(sql)
    do(sql, lambda files: files.drop(SENDER, file().sha256, place))
    assert begin(sql) == Standing(place, 100, whole=True)
    assert do(sql, lambda files: files.to_delete()) == []


def test_forgotten_upload_goes_no_further(sql: Any) -> None:
    assert code_of(lambda: do(sql, lambda files: files.progress("nowhere", 5))) is ErrorCode.ATTACHMENT_MISSING


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"max_count_of_one": 2}, "max_count_of_one"),
        ({"max_unfinished_of_one": 1}, "max_unfinished_of_one"),
        ({"max_bytes_of_one": 299}, "max_bytes_of_one"),
        ({"max_bytes_in_all": 399}, "max_bytes_in_all"),
    ],
)
def test_quotas_count_what_was_announced_and_name_the_limit(sql: Any, limits: dict[str, int], field: str) -> None:
    tight = SETTINGS.model_copy(update=limits)
    bring(sql)
    begin(sql, wanted=file(2))
    bring(sql, OTHER, file(3))
    with pytest.raises(GatewayError) as caught:
        begin(sql, wanted=file(4), settings=tight)
    assert (caught.value.code, caught.value.field) == (ErrorCode.NO_ROOM, field)
    begin(sql, wanted=file(2), settings=tight)  # what was begun may go on


def test_other_people_fill_nobodys_quota_but_their_own(sql: Any) -> None:
    bring(sql, OTHER, file(1, 250))
    begin(sql, wanted=file(2, 250), settings=SETTINGS.model_copy(update={"max_bytes_of_one": 299}))


def test_file_over_the_limit_is_refused(sql: Any) -> None:
    assert code_of(lambda: begin(sql, wanted=file(size=LIMITS.max_attachment_bytes + 1))) is ErrorCode.TOO_LARGE


# Naming


def test_envelope_is_not_recorded_before_its_files_are_there(sql: Any) -> None:
    bring(sql)
    assert code_of(lambda: name(sql, file(), file(2))) is ErrorCode.ATTACHMENT_MISSING
    begin(sql, wanted=file(2))
    assert code_of(lambda: name(sql, file(), file(2))) is ErrorCode.ATTACHMENT_MISSING
    assert sql.execute("SELECT count(*) FROM envelopes").fetchone() == (0,)
    bring(sql, wanted=file(2))
    name(sql, file(), file(2))


def test_nobody_names_what_somebody_else_brought(sql: Any) -> None:
    bring(sql, OTHER)
    assert code_of(lambda: name(sql, file())) is ErrorCode.ATTACHMENT_MISSING


def test_size_lie_is_refused(sql: Any) -> None:
    bring(sql)
    assert code_of(lambda: name(sql, file(size=99))) is ErrorCode.BAD_SIGNATURE


def test_whoever_was_sent_a_file_may_pass_it_on_without_bringing_it(sql: Any) -> None:
    bring(sql, OUR_NODE)
    _, delivery = name(sql, file(), bringer=OUR_NODE, to=str(READER))
    # Queued, and handed out to nobody yet.
    assert code_of(lambda: name(sql, file(), bringer=READER)) is ErrorCode.ATTACHMENT_MISSING
    move(sql, delivery, Event.LEASE)
    assert begin(sql, READER) == Standing("", 100, whole=True)
    name(sql, file(), bringer=READER)


# Fetching


def test_party_to_a_file_that_is_lost_names_it_no_more_and_may_bring_it_again(sql: Any) -> None:
    place = bring(sql, OUR_NODE)
    _, delivery = name(sql, file(), bringer=OUR_NODE, to=str(READER))
    move(sql, delivery, Event.LEASE)
    do(sql, lambda files: files.lost(place))
    assert do(sql, lambda files: files.to_delete()) == [place]
    assert code_of(lambda: name(sql, file(), bringer=READER)) is ErrorCode.ATTACHMENT_MISSING
    assert not begin(sql, READER).whole
    bring(sql, READER)
    name(sql, file(), bringer=READER)


def test_only_parties_fetch(sql: Any) -> None:
    place = bring(sql)
    assert code_of(lambda: do(sql, lambda files: files.place_for(SENDER, file()))) is ErrorCode.NOT_FOUND  # unnamed yet
    _, delivery = name(sql, file(), to=str(READER))
    assert do(sql, lambda files: files.place_for(SENDER, file())) == place
    for who in (OTHER, READER):  # the reader has not been handed it
        assert code_of(lambda who=who: do(sql, lambda files: files.place_for(who, file()))) is ErrorCode.NOT_FOUND  # type: ignore[misc]
    move(sql, delivery, Event.LEASE)
    assert do(sql, lambda files: files.place_for(READER, file())) == place
    assert code_of(lambda: do(sql, lambda files: files.place_for(READER, file(size=99)))) is ErrorCode.NOT_FOUND


def test_recipient_of_what_expired_undelivered_fetches_nothing(sql: Any) -> None:
    bring(sql)
    _, delivery = name(sql, file(), to=str(READER))
    move(sql, delivery, Event.EXPIRE)
    assert code_of(lambda: do(sql, lambda files: files.place_for(READER, file()))) is ErrorCode.NOT_FOUND


# Freight


def due(sql: Any, delivery: int) -> tuple[int, str]:
    row: tuple[int, str] = sql.execute(
        "SELECT next_attempt_at_us, last_error FROM deliveries WHERE seq = ?", (delivery,)
    ).fetchone()
    return row


def lease(sql: Any) -> list[int]:
    with world.transaction(sql) as txn:
        return [each.seq for each in txn.deliveries.lease(str(THEIR_NODE), "courier", 1 << 60, 64, 1 << 20)]


def test_copy_for_another_node_waits_for_all_its_files_and_says_so(sql: Any) -> None:
    bring(sql)
    bring(sql, wanted=file(2))
    _, delivery = name(sql, file(), file(2))
    assert due(sql, delivery) == (HELD_US, AHEAD)
    assert lease(sql) == []
    do(sql, lambda files: files.carried(str(THEIR_NODE), file().sha256))
    assert lease(sql) == []
    do(sql, lambda files: files.carried(str(THEIR_NODE), file(2).sha256))
    assert lease(sql) == [delivery]


def test_oldest_and_smallest_go_first_each_in_its_lane(sql: Any) -> None:
    for number, size in ((1, 500), (2, 100), (3, 300)):
        bring(sql, wanted=file(number, size))
        name(sql, file(number, size))

    def take(order: str, *but: int) -> Freight | None:
        spared = [file(each).sha256 for each in but]
        found: Freight | None = do(sql, lambda files: files.next_freight(str(THEIR_NODE), order, spared))
        return found

    for order, but, number in (("oldest", (), 1), ("smallest", (), 2), ("smallest", (2,), 3)):
        found = take(order, *but)
        assert found is not None
        assert found.digest == file(number).sha256
    assert take("oldest", 1, 2, 3) is None
    assert do(sql, lambda files: files.next_freight("fr/node", "oldest", ())) is None


def test_node_that_is_held_is_brought_no_file(sql: Any) -> None:
    bring(sql)
    name(sql, file())
    with world.transaction(sql) as txn:
        action = operations.Action(reason="why", hold=operations.HoldDestination(destination=str(THEIR_NODE)))
        txn.operating.hold(str(THEIR_NODE), txn.operating.add(action, "ee/operator", None))
    assert do(sql, lambda files: files.next_freight(str(THEIR_NODE), "oldest", ())) is None
    with world.transaction(sql) as txn:
        txn.operating.release(str(THEIR_NODE))
    assert do(sql, lambda files: files.next_freight(str(THEIR_NODE), "oldest", ())) is not None


def test_what_has_ended_carries_nothing_any_more(sql: Any) -> None:
    bring(sql)
    _, delivery = name(sql, file())
    assert do(sql, lambda files: files.is_wanted(str(THEIR_NODE), file().sha256))
    move(sql, delivery, Event.EXPIRE)
    assert not do(sql, lambda files: files.is_wanted(str(THEIR_NODE), file().sha256))
    assert do(sql, lambda files: files.next_freight(str(THEIR_NODE), "oldest", ())) is None


def test_reason_of_a_stop_is_told_at_the_copy_that_waits(sql: Any) -> None:
    bring(sql)
    _, delivery = name(sql, file())
    do(sql, lambda files: files.waits_because(str(THEIR_NODE), file().sha256, "NO_ROOM: full"))
    assert due(sql, delivery) == (HELD_US, "NO_ROOM: full")


def test_copy_whose_files_are_on_their_way_is_no_failure_of_the_other_node(sql: Any) -> None:
    bring(sql)
    name(sql, file())
    (waiting,) = OverviewView(sql).waiting()
    assert (waiting.destination, waiting.count, waiting.last_error) == (str(THEIR_NODE), 1, "")
    do(sql, lambda files: files.waits_because(str(THEIR_NODE), file().sha256, "UNAVAILABLE: no connection"))
    (waiting,) = OverviewView(sql).waiting()
    assert waiting.last_error == "UNAVAILABLE: no connection"


async def test_file_that_moves_again_is_no_failure_any_more(sql: Any) -> None:
    class Written:
        async def write(self, job: Callable[[Any], Any]) -> Any:
            with world.transaction(sql) as txn:
                return job(txn)

    large = file(size=ASK_AGAIN_BYTES + 1)
    bring(sql, wanted=large)
    _, delivery = name(sql, large)
    do(sql, lambda files: files.waits_because(str(THEIR_NODE), large.sha256, "UNAVAILABLE: no connection"))
    nothing: Any = None
    written: Any = Written()
    freighter = Freighter(str(THEIR_NODE), nothing, written, nothing, nothing, nothing, nothing, nothing)
    moved = freighter._asks(large)
    await moved(ASK_AGAIN_BYTES - 1)
    assert due(sql, delivery)[1] == "UNAVAILABLE: no connection"
    await moved(ASK_AGAIN_BYTES)
    assert due(sql, delivery) == (HELD_US, AHEAD)


async def test_copy_that_waits_for_its_files_is_said_to_wait_for_them_and_for_no_day(path: Path) -> None:
    with stores.opened(path) as sql:
        bring(sql)
        name(sql, file())
    reader = Reader(open_store(path)[1])
    (row,) = (await reader.find(Wanted(), 1)).found
    (told,) = await reader.trace(row.id)
    reader.close()
    (story,) = tell([envelope_trace(told, "ee", world.DIRECTORY)], world.DIRECTORY)
    (wait,) = story.waits
    assert wait.copy.next_attempt_at_us == 0
    assert AHEAD in wait.why
    assert not [each.why for each in story.possible if "9999" in each.why]


def test_node_that_lost_a_file_is_brought_it_again(sql: Any) -> None:
    bring(sql)
    _, delivery = name(sql, file())
    do(sql, lambda files: files.carried(str(THEIR_NODE), file().sha256))
    do(sql, lambda files: files.carry_again(delivery))
    assert do(sql, lambda files: files.next_freight(str(THEIR_NODE), "oldest", ())).digest == file().sha256


# Collection


def test_upload_that_nobody_names_goes_after_a_while_and_not_before(sql: Any) -> None:
    place = bring(sql)
    unfinished = begin(sql, wanted=file(2)).place
    assert forget(sql, NOW + timedelta(hours=71)) == []
    assert forget(sql, NOW + timedelta(hours=73)) == sorted([place, unfinished])
    assert begin(sql).received == 0


def test_upload_that_goes_on_is_never_collected(sql: Any) -> None:
    place = begin(sql).place
    do(sql, lambda files: files.progress(place, 60), LATER)
    assert forget(sql, LATER + timedelta(hours=71)) == []


def test_file_that_somebody_was_told_is_here_stays_for_as_long_as_one_that_came(sql: Any) -> None:
    bring(sql)
    assert begin(sql, at=NOW + timedelta(hours=71)).whole
    assert forget(sql, NOW + timedelta(hours=73)) == []


def test_file_that_a_party_was_told_is_here_stays_for_as_long_as_one_that_came(sql: Any) -> None:
    bring(sql)
    _, delivery = name(sql, file(), to=str(READER))
    move(sql, delivery, Event.LEASE, Event.CONFIRM)
    assert forget(sql, NOW) == []
    assert begin(sql, READER, at=NOW + timedelta(days=90)).whole
    assert forget(sql, NOW + timedelta(days=91)) == []


@pytest.mark.parametrize("events", [(), (Event.LEASE,), (Event.LEASE, Event.FAIL_UNKNOWN)])
def test_what_a_live_envelope_names_never_goes(sql: Any, events: tuple[Event, ...]) -> None:
    bring(sql)
    _, delivery = name(sql, file(), to=str(READER))
    move(sql, delivery, *events)
    assert forget(sql, NOW + timedelta(days=3000)) == []


def test_what_an_envelope_named_that_ended_long_ago_goes(sql: Any) -> None:
    place = bring(sql)
    _, delivery = name(sql, file(), to=str(READER))
    move(sql, delivery, Event.LEASE, Event.CONFIRM, at=NOW + timedelta(days=200))
    ended = NOW + timedelta(days=200)
    assert forget(sql, ended) == []
    assert forget(sql, ended + timedelta(days=89)) == []
    assert forget(sql, ended + timedelta(days=91)) == [place]
    assert code_of(lambda: do(sql, lambda files: files.place_for(READER, file()))) is ErrorCode.NOT_FOUND


def test_what_a_purged_envelope_named_goes(sql: Any) -> None:
    place = bring(sql)
    seq, _ = name(sql, file(), to=str(READER))
    sql.execute("UPDATE envelopes SET payload = NULL WHERE seq = ?", (seq,))
    assert forget(sql) == [place]


def test_of_two_envelopes_one_is_enough_to_keep_a_file(sql: Any) -> None:
    bring(sql)
    first, _ = name(sql, file(), to=str(READER))
    name(sql, file(), to=str(READER))
    sql.execute("UPDATE envelopes SET payload = NULL WHERE seq = ?", (first,))
    assert forget(sql) == []


def test_naming_at_the_last_moment_keeps_the_file(sql: Any) -> None:
    bring(sql)
    name(sql, file(), to=str(READER), at=LATER)
    assert forget(sql, LATER) == []


def test_naming_a_moment_too_late_is_told_that_it_is_gone(sql: Any) -> None:
    place = bring(sql)
    assert forget(sql) == [place]
    assert code_of(lambda: name(sql, file(), at=LATER)) is ErrorCode.ATTACHMENT_MISSING
    again = bring(sql, at=LATER)  # brought anew, it lies elsewhere: the deletion that is under way does not reach it
    assert again != place
    name(sql, file(), at=LATER)


def test_bytes_are_noted_for_deletion_until_they_are_deleted(sql: Any) -> None:
    place = bring(sql)
    assert forget(sql) == [place]
    assert forget(sql) == [place]  # a crash before the deletion: it is done again
    do(sql, lambda files: files.deleted([place]))
    assert forget(sql) == []


class Keeping(RuleBasedStateMachine):
    """Whatever is done in whatever order: what a live envelope names is there, and what was forgotten is deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.sql = world.memory_store()
        self.now = NOW
        self.live: dict[int, tuple[int, int]] = {}
        self.places: set[str] = set()
        self.deleted: set[str] = set()

    @rule(number=st.integers(1, 4), owner=st.sampled_from([SENDER, OTHER]), whole=st.booleans())
    def upload(self, number: int, owner: Address, whole: bool) -> None:
        standing = begin(self.sql, owner, file(number), self.now)
        if standing.place:
            self.places.add(standing.place)
        if whole and not standing.whole:
            do(self.sql, lambda files: files.progress(standing.place, 100, whole=True), self.now)

    @rule(number=st.integers(1, 4), owner=st.sampled_from([SENDER, OTHER, READER]))
    def send(self, number: int, owner: Address) -> None:
        try:
            seq, delivery = name(self.sql, file(number), bringer=owner, to=str(READER), at=self.now)
        except GatewayError as error:
            assert error.code is ErrorCode.ATTACHMENT_MISSING  # noqa: PT017  one of two outcomes
        else:
            self.live[seq] = number, delivery

    @precondition(lambda self: self.live)
    @rule(data=st.data(), end=st.sampled_from([Event.CONFIRM, Event.REFUSE]))
    def deliver(self, data: st.DataObject, end: Event) -> None:
        seq = data.draw(st.sampled_from(sorted(self.live)))
        _, delivery = self.live.pop(seq)
        move(self.sql, delivery, Event.LEASE, end, at=self.now)

    @rule(hours=st.integers(1, 200))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def collect(self) -> None:
        gone = forget(self.sql, self.now, SETTINGS.model_copy(update={"keep_days": 5.0}))
        do(self.sql, lambda files: files.deleted(gone), self.now)
        assert not self.deleted & set(gone)
        self.deleted |= set(gone)

    @invariant()
    def what_a_live_envelope_names_is_there(self) -> None:
        for number, _ in self.live.values():
            place = do(self.sql, lambda files, number=number: files.place(file(number)), self.now)  # type: ignore[misc]
            assert place is not None
            assert place not in self.deleted

    @invariant()
    def every_place_is_known_until_it_is_deleted(self) -> None:
        known = {row[0] for row in self.sql.execute("SELECT place FROM uploads UNION SELECT place FROM discarded")}
        assert known == self.places - self.deleted


TestKeeping = Keeping.TestCase
TestKeeping.settings = hypothesis_settings(max_examples=40, stateful_step_count=25, deadline=None)
