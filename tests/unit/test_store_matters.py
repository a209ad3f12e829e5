from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pysqlite3.dbapi2 as sqlite
import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from sqlalchemy import create_engine

from gateway.clock import to_micros
from gateway.errors import ErrorCode, Refusal
from gateway.lanes import Lane
from gateway.rules import FINAL, State
from gateway.store import Reader, Transaction, connection, matters, open_store, schema
from gateway.store.driver import listing
from gateway.store.matters import MAX_COMPETING, ClockRow, MatterRecord, MatterView, MoveRow, Stage
from gateway.store.reader import MAX_OF_A_CASE
from gateway.store.rows import Rows
from gateway.store.sqlite import SqliteConnection
from tests import stores, world
from tests.world import COURT, FOREIGN_CENTRAL, FOREIGN_COURT, INVESTIGATOR, NOW, Sent

Ref: TypeAlias = ids.EnvelopeRef

MINUTE = timedelta(minutes=1)
MINUTE_US = 60_000_000
T0 = to_micros(NOW)
DECISION = measures.CLOCK_RULE_URGENT_DECISION
PRODUCTION = measures.CLOCK_RULE_PRODUCTION
LAPSE = measures.CLOCK_RULE_PROVISIONAL
RULES = (DECISION, PRODUCTION, LAPSE)
WALLET, OTHER_WALLET = bytes([1] * 32), bytes([2] * 32)


@pytest.fixture
def sql(path: Path) -> Iterator[Any]:
    with stores.opened(path) as opened:
        name_some(opened)
        yield opened


def name_some(sql: Any) -> None:
    """Record of some matters and steps no more than that there are such: a matter rests on the next, steps on one."""
    rows = [(ref(number), number + 1) for number in range(1, 10)] + [(cause(number), 1) for number in range(1, 10)]
    for each, cited in rows:
        sql.execute(
            "INSERT INTO envelopes"
            " (sender, id, recipient, kind, cited_seq, case_id, recorded_at_us, fingerprint, header, proof)"
            " VALUES (?, ?, '', 0, ?, '', 1, X'', ?, X'')",
            (each.sender, each.id, cited, pb.Header(sender=each.sender, id=each.id).SerializeToString()),
        )


def ref(number: int = 1, sender: str = INVESTIGATOR) -> Ref:
    return ids.EnvelopeRef(sender=sender, id=f"matter-{number}")


def cause(number: int) -> Ref:
    return ids.EnvelopeRef(sender=FOREIGN_CENTRAL, id=f"step-{number}")


def record(sql: Any, sent: Sent, *states: State) -> Sent:
    with world.transaction(sql) as txn:
        txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
        for state in states:
            txn.matters.add_move(sent.ref, state, sent.ref)
    return sent


def do(sql: Any, job: Callable[[MatterRecord], object], at: datetime = NOW) -> Any:
    with world.transaction(sql, at) as txn:
        return job(txn.matters)


def move(
    sql: Any,
    matter: Ref,
    state: State,
    by: Ref | None,
    rule: measures.ClockRule.ValueType = measures.CLOCK_RULE_UNSPECIFIED,
    at: datetime = NOW,
) -> None:
    do(sql, lambda kept: kept.add_move(matter, state, by, rule), at)


def say(sql: Any, clock: ClockRow, stage: str, next_at_us: int | None = None, at: datetime = NOW) -> Any:
    return do(sql, lambda kept: kept.set_clock(clock.seq, stage, next_at_us), at)


def due(sql: Any, at: datetime, limit: int = 10) -> list[int]:
    return seqs(do(sql, lambda kept: kept.due_clocks(RULES, limit), at))


def start(
    sql: Any, rule: measures.ClockRule.ValueType = DECISION, due: timedelta = 10 * MINUTE, warn: timedelta = 8 * MINUTE
) -> ClockRow:
    do(sql, lambda kept: kept.start_clock(ref(), rule, T0, to_micros(NOW + due), to_micros(NOW + warn)))
    return the_clock(sql, rule)


def the_clock(sql: Any, rule: measures.ClockRule.ValueType = DECISION) -> ClockRow:
    return [clock for clock in MatterView(sql).all_clocks(ref()) if clock.rule == rule][-1]


def seqs(clocks: list[ClockRow]) -> list[int]:
    return [clock.seq for clock in clocks]


# The store of before.


def test_what_was_recorded_before_there_were_matters_is_kept_and_is_none(path: Path) -> None:
    sent = world.freeze_request()
    config = Config()
    config.set_main_option("script_location", str(Path(connection.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{path}", module=sqlite)
    with engine.begin() as opened:
        config.attributes["connection"] = opened
        command.upgrade(config, "0003")
        opened.exec_driver_sql(
            "INSERT INTO envelopes (sender, id, recipient, kind, case_id, recorded_at_us, fingerprint, header, proof)"
            " VALUES (?, ?, ?, ?, 'EE-1', 1, ?, ?, X'')",
            (sent.header.sender, sent.header.id, FOREIGN_CENTRAL, 1, sent.fingerprint, sent.envelope.header),
        )
    engine.dispose()
    connect, engine = open_store(path)
    engine.dispose()
    with closing(connect()) as migrated:
        view = MatterView(migrated)
        assert view.chain(sent.ref) == [(sent.header, None)]
        assert (view.state(sent.ref), view.moves(sent.ref), view.clocks(sent.ref)) == (None, [], [])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE moves SET state = 'lost'",
        "UPDATE clocks SET stage = 'lost'",
        "UPDATE clocks SET next_at_us = due_at_us + 1",
        "UPDATE clocks SET stage = 'overdue'",
        "UPDATE clocks SET stage = 'paused'",
        "UPDATE clocks SET paused_at_us = 1",
        "UPDATE clocks SET stage = 'met', next_at_us = NULL",
        "UPDATE clocks SET ended_at_us = 1",
        (
            "INSERT INTO clocks (envelope_seq, rule, started_at_us, due_at_us, stage)"
            " SELECT envelope_seq, rule, started_at_us, due_at_us, 'overdue' FROM clocks"
        ),
        "INSERT INTO targets VALUES (x'00', 99)",
    ],
    ids=[
        "unknown state",
        "unknown stage",
        "something to say after the end",
        "something to say of what has run out",
        "pause without a beginning",
        "pause of what runs",
        "end without a time",
        "end of what runs",
        "second open clock of a rule",
        "target of nothing",
    ],
)
def test_database_itself_refuses_what_no_matter_can_be(sql: Any, statement: str) -> None:
    move(sql, ref(), State.ASKED, ref())
    start(sql)
    with pytest.raises(sqlite.IntegrityError):
        sql.execute(statement)


def test_every_state_and_stage_can_be_kept(sql: Any) -> None:
    for state in State:
        move(sql, ref(), state, None)
    assert [move.state for move in MatterView(sql).moves(ref())] == list(State)
    start(sql)
    for stage in Stage:
        if stage is not Stage.PAUSED:
            clock = start(sql)
            assert say(sql, clock, stage) is True
            assert the_clock(sql).stage is stage


# States.


def test_matter_stands_where_it_was_moved_last_and_tells_how_it_came_there(sql: Any) -> None:
    move(sql, ref(), State.ASKED, ref())
    move(sql, ref(2), State.TOLD, ref(2))
    move(sql, ref(), State.GRANTED, cause(1), at=NOW + MINUTE)
    move(sql, ref(), State.LAPSED, None, LAPSE, at=NOW + 2 * MINUTE)
    view = MatterView(sql)
    assert view.state(ref()) is State.LAPSED
    assert view.moves(ref()) == [
        MoveRow(State.ASKED, T0, ref()),
        MoveRow(State.GRANTED, T0 + MINUTE_US, cause(1)),
        MoveRow(State.LAPSED, T0 + 2 * MINUTE_US, None, LAPSE),
    ]


def test_matter_of_the_same_id_from_another_sender_is_another_matter(sql: Any) -> None:
    move(sql, ref(), State.ASKED, ref())
    start(sql)
    stranger = ref(sender="ee/investigator-2")
    view = MatterView(sql)
    assert (view.state(stranger), view.moves(stranger), view.clocks(stranger)) == (None, [], [])
    do(sql, lambda kept: kept.end_clocks(stranger, None, "stopped"))
    assert len(view.clocks(ref())) == 1


def test_chain_goes_up_by_what_is_cited_first_with_the_state_of_each(sql: Any) -> None:
    request = record(sql, world.freeze_request(), State.ASKED, State.GRANTED)
    other = record(sql, world.freeze_request(), State.ASKED)
    referral = record(
        sql,
        world.send(ids.KIND_REVIEW_REFERRAL, FOREIGN_CENTRAL, FOREIGN_COURT, cites=[request.ref, other.ref]),
        State.ASKED,
    )
    decision = record(sql, world.send(ids.KIND_REVIEW_DECISION, FOREIGN_COURT, FOREIGN_CENTRAL, cites=[referral.ref]))
    view = MatterView(sql)
    whole = [(decision.header, None), (referral.header, State.ASKED), (request.header, State.GRANTED)]
    assert view.chain(decision.ref) == whole
    assert view.chain(ref(10)) == []


def test_matters_and_what_is_cited_keep_their_numbers_when_a_store_of_before_is_opened(path: Path) -> None:
    request, engine = world.freeze_request(), create_engine(f"sqlite:///{path}", module=sqlite)
    answer = world.send(ids.KIND_ACKNOWLEDGEMENT, FOREIGN_CENTRAL, INVESTIGATOR, cites=[request.ref])
    config = Config()
    config.set_main_option("script_location", str(Path(connection.__file__).parent / "migrations"))
    name, cause_ = (request.ref.sender, request.ref.id), (answer.ref.sender, answer.ref.id)
    with engine.begin() as opened:
        config.attributes["connection"] = opened
        command.upgrade(config, "0004")
        for sent in (answer, request):  # in the order in which they came, whatever that was
            opened.exec_driver_sql(
                "INSERT INTO envelopes (sender, id, recipient, kind, case_id, recorded_at_us, fingerprint, header,"
                " proof) VALUES (?, ?, ?, ?, 'EE-1', 1, ?, ?, X'')",
                (
                    sent.ref.sender,
                    sent.ref.id,
                    FOREIGN_CENTRAL,
                    sent.header.kind,
                    sent.fingerprint,
                    sent.envelope.header,
                ),
            )
        opened.exec_driver_sql("INSERT INTO citations VALUES (1, 0, ?, ?, ?)", (*name, answer.header.kind))
        opened.exec_driver_sql(
            "INSERT INTO log_entries (leaf_hash, envelope_seq) SELECT fingerprint, seq FROM envelopes"
        )
        opened.exec_driver_sql(
            "INSERT INTO moves (sender, id, state, at_us, cause_sender, cause_id, clock_rule)"
            " VALUES (?, ?, 'asked', 1, ?, ?, 0), (?, ?, 'acknowledged', 2, ?, ?, 0), (?, ?, 'lapsed', 3, '', '', 15)",
            (*name, *name, *name, *cause_, *name),
        )
        opened.exec_driver_sql(
            "INSERT INTO clocks (sender, id, rule, started_at_us, due_at_us, stage, by_sender, by_id, change)"
            " VALUES (?, ?, 1, 1, 9, 'running', ?, ?, 'started')",
            (*name, *cause_),
        )
    engine.dispose()
    connect, engine = open_store(path)
    engine.dispose()
    with closing(connect()) as migrated:
        view = MatterView(migrated)
        assert view.chain(answer.ref) == [(answer.header, None), (request.header, State.LAPSED)]
        assert view.moves(request.ref) == [
            MoveRow(State.ASKED, 1, request.ref),
            MoveRow(State.ACKNOWLEDGED, 2, answer.ref),
            MoveRow(State.LAPSED, 3, None, LAPSE),
        ]
        assert [clock.due_at_us for clock in view.clocks(request.ref)] == [9]
        do(migrated, lambda kept: kept.undo_clocks(answer.ref))
        assert view.clocks(request.ref) == []
        assert migrated.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_chain_ends_where_nothing_is_recorded_here(sql: Any) -> None:
    unknown = world.freeze_request()
    referral = record(sql, world.send(ids.KIND_REVIEW_REFERRAL, FOREIGN_CENTRAL, FOREIGN_COURT, cites=[unknown.ref]))
    assert MatterView(sql).chain(referral.ref) == [(referral.header, None)]


def test_what_is_about_a_matter_ends_where_another_begins(sql: Any) -> None:
    request = record(sql, world.freeze_request(), State.ASKED)

    def answer(kind: ids.Kind.ValueType, cited: Sent, *states: State) -> Sent:
        return record(sql, world.send(kind, FOREIGN_CENTRAL, INVESTIGATOR, cites=[cited.ref]), *states)

    claim = answer(ids.KIND_CLAIM, request)
    referral = answer(ids.KIND_REVIEW_REFERRAL, request, State.ASKED)
    answer(ids.KIND_CLAIM, referral)
    decided = answer(ids.KIND_CLAIM_DECISION, claim)
    answer(ids.KIND_CUSTODY_EVENT, request)
    kinds = {ids.KIND_CLAIM, ids.KIND_CLAIM_DECISION, ids.KIND_REVIEW_REFERRAL}
    about = MatterView(sql).about(request.ref, kinds)
    assert [header for header, _ in about] == [claim.header, referral.header, decided.header]
    assert {at_us for _, at_us in about} == {T0}


# Time limits.


def test_time_limit_that_starts_runs_until_it_is_due(sql: Any) -> None:
    clock = start(sql)
    assert clock == ClockRow(1, ref(), DECISION, T0, T0 + 10 * MINUTE_US, T0 + 8 * MINUTE_US, None, Stage.RUNNING, None)
    assert MatterView(sql).clocks(ref()) == [clock]


def test_time_limit_that_starts_anew_stops_the_old_one_and_no_other(sql: Any) -> None:
    old, beside = start(sql), start(sql, PRODUCTION)
    new = start(sql, due=20 * MINUTE)
    view = MatterView(sql)
    assert seqs(view.clocks(ref())) == [beside.seq, new.seq]
    assert [(clock.seq, clock.stage) for clock in view.all_clocks(ref())] == [
        (old.seq, Stage.STOPPED),
        (beside.seq, Stage.RUNNING),
        (new.seq, Stage.RUNNING),
    ]


@pytest.mark.parametrize("open_stage", [Stage.RUNNING, Stage.PAUSED, Stage.OVERDUE])
@pytest.mark.parametrize("end", [Stage.MET, Stage.STOPPED, Stage.RAN_OUT])
def test_open_time_limit_ends_once_and_speaks_no_more(sql: Any, open_stage: Stage, end: Stage) -> None:
    clock = start(sql)
    if open_stage is Stage.PAUSED:
        do(sql, lambda kept: kept.pause_clocks(ref(), {DECISION}))
    elif open_stage is Stage.OVERDUE:
        say(sql, clock, Stage.OVERDUE)
    do(sql, lambda kept: kept.end_clocks(ref(), {DECISION}, end), NOW + MINUTE)
    do(sql, lambda kept: kept.end_clocks(ref(), None, Stage.STOPPED), NOW + 2 * MINUTE)
    do(sql, lambda kept: kept.resume_clocks(ref(), {DECISION}), NOW + 2 * MINUTE)
    ended = the_clock(sql)
    assert (ended.stage, ended.next_at_us, ended.paused_at_us, ended.ended_at_us) == (end, None, None, T0 + MINUTE_US)
    assert MatterView(sql).clocks(ref()) == []
    assert due(sql, NOW + 60 * MINUTE) == []


def test_only_time_limits_of_the_named_rules_end(sql: Any) -> None:
    kept_on = start(sql)
    start(sql, PRODUCTION)
    start(sql, LAPSE)
    do(sql, lambda kept: kept.end_clocks(ref(), set(), "met"))
    assert len(MatterView(sql).clocks(ref())) == 3
    do(sql, lambda kept: kept.end_clocks(ref(), {PRODUCTION, LAPSE}, "met"))
    assert seqs(MatterView(sql).clocks(ref())) == [kept_on.seq]


def test_pause_moves_the_end_and_the_warning_by_exactly_its_length(sql: Any) -> None:
    started, beside = start(sql), start(sql, PRODUCTION)
    paused_at, resumed_at = NOW + MINUTE, NOW + 31 * MINUTE + timedelta(microseconds=7)
    do(sql, lambda kept: kept.pause_clocks(ref(), {DECISION}), paused_at)
    do(sql, lambda kept: kept.pause_clocks(ref(), {DECISION}), NOW + 2 * MINUTE)  # rests already
    assert the_clock(sql).paused_at_us == to_micros(paused_at)
    assert due(sql, NOW + 30 * MINUTE) == [beside.seq]
    for _ in range(2):  # runs already
        do(sql, lambda kept: kept.resume_clocks(ref(), {DECISION}), resumed_at)
    clock = the_clock(sql)
    assert (clock.stage, clock.paused_at_us) == (Stage.RUNNING, None)
    assert clock.due_at_us == started.due_at_us + 30 * MINUTE_US + 7  # 2023/1543 Art. 10(6)
    assert clock.next_at_us is not None
    assert clock.due_at_us - clock.next_at_us == 2 * MINUTE_US
    assert the_clock(sql, PRODUCTION) == beside


@pytest.mark.parametrize("late", [timedelta(), MINUTE])
def test_time_limit_that_has_run_out_cannot_be_paused_before_it_is_said(sql: Any, late: timedelta) -> None:
    clock = start(sql)
    do(sql, lambda kept: kept.pause_clocks(ref(), {DECISION}), NOW + 10 * MINUTE + late)
    assert the_clock(sql) == clock


def test_clock_that_was_put_back_during_a_pause_makes_nothing_due_earlier(sql: Any) -> None:
    clock = start(sql)
    do(sql, lambda kept: kept.pause_clocks(ref(), {DECISION}), NOW + 5 * MINUTE)
    do(sql, lambda kept: kept.resume_clocks(ref(), {DECISION}), NOW + MINUTE)
    assert the_clock(sql) == clock


def test_overdue_time_limit_is_not_paused(sql: Any) -> None:
    clock = start(sql)
    say(sql, clock, Stage.OVERDUE)
    do(sql, lambda kept: kept.pause_clocks(ref(), {DECISION}))
    assert the_clock(sql).stage is Stage.OVERDUE


def test_time_limits_speak_at_their_time_the_oldest_first_and_no_more_than_asked_for(sql: Any) -> None:
    late, soon = start(sql, warn=8 * MINUTE), start(sql, PRODUCTION, warn=MINUTE)
    start(sql, LAPSE, warn=9 * MINUTE)
    do(sql, lambda kept: kept.start_clock(ref(2), LAPSE, T0, T0 + 1, None))  # another node's
    for at, limit, expected in (
        (MINUTE - timedelta(microseconds=1), 10, []),
        (MINUTE, 10, [soon.seq]),
        (8 * MINUTE, 10, [soon.seq, late.seq]),
        (8 * MINUTE, 1, [soon.seq]),
    ):
        assert due(sql, NOW + at, limit) == expected


def test_time_limit_of_which_something_was_said_speaks_next_when_it_was_told_to(sql: Any) -> None:
    clock = start(sql)
    assert say(sql, clock, clock.stage, clock.due_at_us) is True
    assert due(sql, NOW + 9 * MINUTE) == []
    assert due(sql, NOW + 10 * MINUTE) == [clock.seq]
    assert say(sql, clock, "overdue", at=NOW + 10 * MINUTE) is True
    assert due(sql, NOW + 99 * MINUTE) == []
    assert [each.stage for each in MatterView(sql).clocks(ref())] == [Stage.OVERDUE]


def test_time_limit_that_ended_a_moment_ago_is_not_run_out_too(sql: Any) -> None:
    clock = start(sql)
    do(sql, lambda kept: kept.end_clocks(ref(), None, Stage.MET), NOW + MINUTE)
    assert say(sql, clock, "ran out", at=NOW + 2 * MINUTE) is False
    assert (the_clock(sql).stage, the_clock(sql).ended_at_us) == (Stage.MET, T0 + MINUTE_US)


def test_time_limits_and_matters_are_found_again_after_a_restart(path: Path) -> None:
    for expected in ([], [1]):
        connect, engine = open_store(path)
        engine.dispose()
        with closing(connect()) as opened:
            assert due(opened, NOW + 60 * MINUTE) == expected
            if not expected:
                name_some(opened)
                move(opened, ref(), State.ASKED, ref())
                start(opened)
            assert MatterView(opened).state(ref()) is State.ASKED


def test_job_that_fails_leaves_no_move_no_clock_and_no_target(sql: Any) -> None:
    clock = start(sql)
    sent = world.freeze_request(target_tokens=(WALLET,))

    def fail(txn: Transaction) -> None:
        with txn.part():
            txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
            txn.matters.add_move(sent.ref, State.ASKED, sent.ref)
            txn.matters.start_clock(ref(), PRODUCTION, T0, T0 + 1, T0 + 1)
            txn.matters.pause_clocks(ref(), RULES)
            assert txn.matters.asking_for([WALLET], ref()) == [sent.header]
            raise Refusal(ErrorCode.OUT_OF_ORDER, "no")

    with world.transaction(sql) as txn:
        with pytest.raises(Refusal) as caught:
            fail(txn)
        assert caught.value.code is ErrorCode.OUT_OF_ORDER
        assert txn.matters.state(sent.ref) is None
        assert txn.matters.clocks(ref()) == [clock]
        assert txn.matters.asking_for([WALLET], ref()) == []
    assert sql.execute("SELECT count(*) FROM targets").fetchone() == (0,)


MINUTES = st.integers(0, 30)
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["start", "end", "pause", "resume", "ring"]),
        st.sampled_from(RULES),
        st.integers(1, 2),
        MINUTES,
        MINUTES,
    ),
    max_size=25,
)


@given(OPERATIONS)
@settings(max_examples=150)
def test_no_sequence_of_events_leaves_a_time_limit_in_an_impossible_state(
    operations: list[tuple[str, measures.ClockRule.ValueType, int, int, int]],
) -> None:
    with closing(sqlite.connect(":memory:", isolation_level=None, factory=SqliteConnection)) as sql:
        _make_clocks(sql)
        ended: dict[int, ClockRow] = {}
        now = T0
        for name, rule, number, length, passes in operations:
            now += passes * MINUTE_US
            kept, matter = MatterRecord(Rows(sql), sql, {}, now), ref(number)
            before = {clock.seq: clock for clock in _all(kept)}
            if name == "start":
                due = now + length * MINUTE_US
                kept.start_clock(matter, rule, now, due, now + length * MINUTE_US // 2)
            elif name == "end":
                kept.end_clocks(matter, None if length > 25 else {rule}, (Stage.MET, Stage.STOPPED)[length % 2])
            elif name == "pause":
                kept.pause_clocks(matter, {rule})
            elif name == "resume":
                kept.resume_clocks(matter, {rule})
            else:
                for clock in kept.due_clocks(RULES, length):
                    over = clock.due_at_us <= now
                    kept.set_clock(clock.seq, "overdue" if over else "running", None if over else clock.due_at_us)
            for clock in _all(kept):
                was = before.get(clock.seq)
                _assert_possible(clock, was, now)
                assert ended.get(clock.seq, clock) == clock  # what has ended never runs
                if clock.ended_at_us is not None:
                    ended[clock.seq] = clock
            for each in (1, 2):
                rules = [clock.rule for clock in kept.clocks(ref(each))]
                assert len(rules) == len(set(rules))


def _assert_possible(clock: ClockRow, was: ClockRow | None, now: int) -> None:
    assert clock.next_at_us is None or clock.next_at_us <= clock.due_at_us
    assert (clock.stage is Stage.PAUSED) is (clock.paused_at_us is not None)
    assert (clock.stage in matters.OPEN_STAGES) is (clock.ended_at_us is None)
    assert (clock.next_at_us is None) is (clock.stage not in {Stage.RUNNING, Stage.PAUSED})
    if was is not None:
        rested = now - was.paused_at_us if was.paused_at_us is not None and clock.stage is Stage.RUNNING else 0
        assert clock.due_at_us - was.due_at_us == rested


def _make_clocks(sql: Any) -> None:
    # In memory, and no more tables than it takes: a store on disk for every example would take minutes.
    engine = create_engine("sqlite://", creator=lambda: sql, module=sqlite)
    schema.metadata.create_all(engine, [schema.envelopes, schema.clocks])
    name_some(sql)


def _all(kept: MatterView) -> list[ClockRow]:
    return [clock for number in (1, 2) for clock in kept.all_clocks(ref(number))]


def test_a_limit_that_may_have_ended_something_is_looked_for_until_none_can_have(sql: Any) -> None:
    def found(at: datetime) -> bool:
        return bool(do(sql, lambda kept: kept.some_are_over(), at))

    clock = start(sql, LAPSE, due=20 * MINUTE, warn=10 * MINUTE)
    assert not found(NOW + 9 * MINUTE)
    assert found(NOW + 20 * MINUTE)  # it has not rung
    say(sql, clock, Stage.OVERDUE)
    assert found(NOW)  # it rang while its matter was in another state
    do(sql, lambda kept: kept.end_clocks(ref(), None, Stage.STOPPED))
    overdue = start(sql, PRODUCTION)
    say(sql, overdue, Stage.OVERDUE)
    assert not found(NOW)  # this one ends nothing
    with world.transaction(sql, NOW + MINUTE) as txn:
        assert not txn.matters.some_are_over()
        txn.matters.start_clock(ref(2), LAPSE, T0, T0 + 1, T0 + 1)
        assert txn.matters.some_are_over()  # one that begins when it is over already


def test_equal_changes_of_many_time_limits_are_made_at_once(sql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.transaction(sql) as txn:
        for number in range(1, 9):
            txn.matters.start_clock(ref(number), DECISION, T0, T0 + MINUTE_US, T0 + MINUTE_US)
    said: list[str] = []
    execute = SqliteConnection.execute

    def heard(self: SqliteConnection, text: str, *values: object) -> Any:
        said.append(text)
        return execute(self, text, *values)

    monkeypatch.setattr(SqliteConnection, "execute", heard)
    with world.transaction(sql) as txn:
        for number in range(1, 9):
            txn.matters.pause_clocks(ref(number), {DECISION}, cause(number))
        for number in range(1, 8):
            txn.matters.end_clocks(ref(number), {DECISION}, Stage.MET, cause(number))
    assert len([each for each in said if "UPDATE clocks" in each]) == 2
    kept = MatterView(sql)
    assert [kept.all_clocks(ref(number))[0].stage for number in (1, 7, 8)] == [Stage.MET, Stage.MET, Stage.PAUSED]
    by = sql.execute("SELECT id FROM clocks JOIN envelopes e ON e.seq = by_seq ORDER BY envelope_seq").fetchall()
    assert by == [(cause(number).id,) for number in range(1, 9)]


# Targets.


def test_others_that_ask_for_the_same_target_are_told_oldest_first(sql: Any) -> None:
    first = record(sql, world.freeze_request(target_tokens=(WALLET, OTHER_WALLET)), State.ASKED)
    second = record(sql, world.freeze_request(target_tokens=(OTHER_WALLET,)), State.ASKED, State.GRANTED)
    third = record(sql, world.freeze_request(target_tokens=(WALLET,)), State.ASKED)
    view = MatterView(sql)
    assert view.asking_for([WALLET, OTHER_WALLET], third.ref) == [first.header, second.header]
    assert view.asking_for([WALLET], first.ref) == [third.header]
    assert view.asking_for([bytes(32)], first.ref) == []
    assert view.asking_for([], first.ref) == []


@pytest.mark.parametrize("state", sorted(FINAL, key=str))
def test_request_that_is_at_its_end_competes_no_more(sql: Any, state: State) -> None:
    record(sql, world.freeze_request(target_tokens=(WALLET,)), State.ASKED, state)
    assert MatterView(sql).asking_for([WALLET], ref()) == []


def test_no_more_competing_requests_are_told_than_fit(sql: Any) -> None:
    sent = [record(sql, world.freeze_request(target_tokens=(WALLET,)), State.ASKED) for _ in range(MAX_COMPETING + 1)]
    assert MatterView(sql).asking_for([WALLET], ref()) == [one.header for one in sent[:MAX_COMPETING]]


def test_targets_of_what_stays_at_home_are_compared_with_nothing(sql: Any) -> None:
    tokens: dict[str, Any] = {"target_tokens": (WALLET,)}
    record(sql, world.send(ids.KIND_FREEZE_REQUEST, INVESTIGATOR, COURT, **tokens), State.ASKED)
    assert sql.execute("SELECT count(*) FROM targets").fetchone() == (0,)
    assert MatterView(sql).asking_for([WALLET], ref()) == []


# Reading.


async def test_case_tells_every_envelope_of_it_with_its_moves_and_all_time_limits(path: Path, sql: Any) -> None:
    first = record(sql, world.freeze_request(case_id="A"), State.ASKED)
    record(sql, world.freeze_request(case_id="B"), State.ASKED)
    referral = record(
        sql, world.send(ids.KIND_REVIEW_REFERRAL, FOREIGN_CENTRAL, FOREIGN_COURT, cites=[first.ref], case_id="A")
    )
    with world.transaction(sql) as txn:
        for _ in range(2):
            txn.matters.start_clock(first.ref, DECISION, T0, T0 + 2, T0 + 1)
        txn.matters.add_move(first.ref, State.GRANTED, referral.ref)
    reader = Reader(open_store(path)[1])
    rows = await reader.case("A")
    assert [pb.Header.FromString(row.header) for row in rows] == [first.header, referral.header]
    assert [row.fingerprint for row in rows] == [first.fingerprint, referral.fingerprint]
    assert {row.recorded_at_us for row in rows} == {T0}
    assert [[move.state for move in row.moves] for row in rows] == [[State.ASKED, State.GRANTED], []]
    assert [[clock.stage for clock in row.clocks] for row in rows] == [[Stage.STOPPED, Stage.RUNNING], []]
    assert await reader.case(first.header.id) == rows[:1]
    assert await reader.case("nothing") == []
    reader.close()


async def test_case_without_end_is_told_as_far_as_it_fits(path: Path, sql: Any) -> None:
    sent = world.freeze_request(case_id="A")
    with world.transaction(sql) as txn:
        for number in range(MAX_OF_A_CASE + 1):
            header = pb.Header()
            header.CopyFrom(sent.header)
            header.id = f"{number:036}"
            txn.add_envelope(sent.envelope, header, sent.fingerprint)
    reader = Reader(open_store(path)[1])
    assert len(await reader.case("A")) == MAX_OF_A_CASE
    reader.close()


async def test_operator_sees_what_is_overdue_and_how_many_matters_are_open_in_which_state(path: Path, sql: Any) -> None:
    move(sql, ref(1), State.ASKED, ref(1))
    move(sql, ref(2), State.ASKED, ref(2))
    move(sql, ref(2), State.GRANTED, cause(1))
    move(sql, ref(3), State.ASKED, ref(3))
    move(sql, ref(3), State.CLOSED, cause(2))
    later, sooner = start(sql, due=20 * MINUTE), start(sql, PRODUCTION)
    start(sql, LAPSE)
    for clock in (later, sooner):
        say(sql, clock, Stage.OVERDUE)
    reader = Reader(open_store(path)[1])
    assert seqs(await reader.overdue(10)) == [sooner.seq, later.seq]
    assert seqs(await reader.overdue(1)) == [sooner.seq]
    assert await reader.open_matters_count() == {State.ASKED: 1, State.GRANTED: 1}
    reader.close()


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (listing(matters._CHAINS, 1, 2), ("", "")),
        (matters._ABOUT.format("?, ?"), (1, 1, 2, 1, 2)),
        (matters._COMPETING.format("?"), (b"", "", "", 1)),
        (matters._AIMED_AT.format("?"), (b"", 1)),
        (matters._DUE.format("?"), (1, 1, 1)),
        (matters._OPEN_OF, (1,)),
        (matters._OVERDUE, (1,)),
        (matters._MOVES, (1,)),
        (matters._SOME_ARE_OVER, (1,)),
    ],
    ids=["chain", "about", "competing", "aimed at", "due", "open", "overdue", "moves", "some are over"],
)
def test_what_has_ended_long_ago_does_not_slow_what_is_open(sql: Any, query: str, values: tuple[object, ...]) -> None:
    plan = [row[3] for row in sql.execute("EXPLAIN QUERY PLAN " + query, values)]
    looks = [step for step in plan if step.startswith(("SCAN", "SEARCH"))]
    assert looks
    looks = [
        step for step in looks if step not in ("SCAN link", "SCAN about", "SCAN CONSTANT ROW")
    ]  # what it has itself
    assert [step for step in looks if " INDEX " not in step and "INTEGER PRIMARY KEY" not in step] == []


def test_step_that_was_not_taken_leaves_no_time_limit_changed(sql: Any) -> None:
    start, due = T0, T0 + 10 * MINUTE_US

    def before(it: MatterRecord) -> None:
        for rule in RULES:
            it.start_clock(ref(), rule, start, due, due - MINUTE_US)

    def step(it: MatterRecord) -> None:
        it.pause_clocks(ref(), (PRODUCTION,), cause(1))
        it.end_clocks(ref(), (DECISION,), Stage.MET, cause(1))
        it.start_clock(ref(), LAPSE, start, due + MINUTE_US, None, cause(1))

    do(sql, before)
    do(sql, step)
    do(sql, lambda it: it.undo_clocks(cause(1)))
    found = do(sql, lambda it: {clock.rule: (clock.stage, clock.due_at_us) for clock in it.clocks(ref())})
    assert found == dict.fromkeys(RULES, (Stage.RUNNING, due))


def test_time_limit_that_was_changed_again_is_not_undone(sql: Any) -> None:
    do(sql, lambda it: it.start_clock(ref(), DECISION, T0, T0 + MINUTE_US, None, cause(1)))
    do(sql, lambda it: it.end_clocks(ref(), (DECISION,), Stage.MET, cause(2)))
    do(sql, lambda it: it.undo_clocks(cause(1)))
    assert not do(sql, lambda it: it.clocks(ref()))


def undone_again(it: MatterRecord) -> None:
    it.end_clocks(ref(), (DECISION,), Stage.MET, cause(2))
    it.undo_clocks(cause(2))


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.start_clock(ref(), DECISION, T0, T0 + 2 * MINUTE_US, None, cause(2)),
        lambda it: it.start_clock(ref(), PRODUCTION, T0, T0 + MINUTE_US, None, cause(2)),
        lambda it: it.end_clocks(ref(), None, Stage.STOPPED),
        lambda it: it.pause_clocks(ref(), (DECISION,)),
        lambda it: it.set_clock(it.clocks(ref())[0].seq, Stage.OVERDUE, None),
        undone_again,
    ],
    ids=["replaced", "another began", "ended", "rests", "rang", "undone"],
)
def test_time_limit_that_changes_after_it_was_looked_up_is_told_as_it_is(
    sql: Any, change: Callable[[MatterRecord], object]
) -> None:
    do(sql, lambda it: it.start_clock(ref(), DECISION, T0, T0 + MINUTE_US, None, cause(1)))

    def look(it: MatterRecord) -> list[ClockRow]:
        number = it.number(ref())
        assert number is not None
        it.expect_clocks([number])
        before = it.clocks(ref())
        change(it)
        assert it.clocks(ref()) != before
        return it.clocks(ref())

    assert do(sql, look) == do(sql, lambda it: it.clocks(ref()))


# Many in one transaction.

POOL: list[Sent] = []


def pool() -> list[Sent]:
    """Return envelopes of which each but the first two rests on one before, and some are aimed at the same targets."""
    if not POOL:
        POOL.extend(world.freeze_request(target_tokens=tokens) for tokens in ((WALLET,), (WALLET, OTHER_WALLET)))
        for above in (0, 0, 1, 2, 4, 4):
            cited = POOL[above].ref
            POOL.append(world.send(ids.KIND_REVIEW_REFERRAL, FOREIGN_CENTRAL, FOREIGN_COURT, cites=[cited]))
        for above in (2, 4):
            cited = POOL[above].ref
            POOL.append(world.send(ids.KIND_REVIEW_DECISION, FOREIGN_COURT, FOREIGN_CENTRAL, cites=[cited]))
    return POOL


def record_some(txn: Transaction, sent: Sent, *_: object, fail: bool = False) -> None:
    with suppress(KeyError), txn.part():
        txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
        txn.matters.add_move(sent.ref, State.ASKED, sent.ref)
        if fail:
            txn.matters.chain(sent.ref)  # so that it is written, and seen
            txn.expect_new([each.header for each in pool()])
            raise KeyError


def in_vain(txn: Transaction, does: Callable[[], object]) -> None:
    with suppress(KeyError), txn.part():
        does()
        raise KeyError


def without_numbers(clocks: list[ClockRow]) -> list[ClockRow]:
    return [replace(clock, seq=0) for clock in clocks]


BOX = FOREIGN_CENTRAL
REFERRALS, DECISIONS = (ids.KIND_REVIEW_REFERRAL,), (ids.KIND_REVIEW_DECISION,)
WAYS = ((REFERRALS,), (REFERRALS, REFERRALS), (REFERRALS, DECISIONS))
LANES = dict(zip(RULES, Lane, strict=True))


def expect_below(txn: Transaction, sent: Sent, *_: object) -> None:
    number = txn.matters.number(sent.ref)
    assert number is not None
    for way in WAYS:
        txn.expect_below([number], way)


def expect_clocks(txn: Transaction, sent: Sent, *_: object) -> None:
    number = txn.matters.number(sent.ref)
    assert number is not None
    txn.matters.expect_clocks([number])


def ring(txn: Transaction, sent: Sent, *_: object) -> None:
    for clock in txn.matters.clocks(sent.ref):
        txn.matters.set_clock(clock.seq, Stage.OVERDUE, None)


def queue(txn: Transaction, sent: Sent, _: Ref, rule: measures.ClockRule.ValueType) -> None:
    seq = txn.matters.number(sent.ref)
    assert seq is not None
    txn.deliveries.add(BOX, envelope_seq=seq, case_id=sent.header.case_id, lane=LANES[rule])


NEW: dict[str, Callable[..., object]] = {"record": record_some, "fail": partial(record_some, fail=True)}
ANY: dict[str, Callable[..., object]] = {
    "expect": lambda txn, sent: txn.expect_new([sent.header]),
    "expect slower": lambda txn, sent: txn.deliveries.expect_slower(
        [(BOX, sent.header.case_id, each) for each in (0, 1)]
    ),
}
OLD: dict[str, Callable[[Transaction, Sent, Ref, measures.ClockRule.ValueType], object]] = {
    "grant": lambda txn, sent, by, _: txn.matters.add_move(sent.ref, State.GRANTED, by),
    "refuse": lambda txn, sent, by, _: txn.matters.add_move(sent.ref, State.REFUSED, by),
    "start": lambda txn, sent, by, rule: txn.matters.start_clock(sent.ref, rule, T0, T0 + rule, T0 + rule, by),
    "start in time": lambda txn, sent, by, rule: txn.matters.start_clock(sent.ref, rule, T0, T0 * 2, T0 * 2, by),
    "end": lambda txn, sent, by, rule: txn.matters.end_clocks(sent.ref, (rule,), Stage.MET, by),
    "pause": lambda txn, sent, by, _: txn.matters.pause_clocks(sent.ref, RULES, by),
    "resume": lambda txn, sent, by, _: txn.matters.resume_clocks(sent.ref, RULES, by),
    "expect below": expect_below,
    "expect clocks": expect_clocks,
    "ring": ring,
    "ring in vain": lambda txn, sent, by, rule: in_vain(txn, lambda: ring(txn, sent)),
    "queue": queue,
    "queue in vain": lambda txn, sent, by, rule: in_vain(txn, lambda: queue(txn, sent, by, rule)),
    "end in vain": lambda txn, sent, by, rule: in_vain(txn, lambda: OLD["end"](txn, sent, by, rule)),
    "start in vain": lambda txn, sent, by, rule: in_vain(txn, lambda: OLD["start"](txn, sent, by, rule)),
    "seen and in vain": lambda txn, sent, by, rule: in_vain(
        txn, lambda: (OLD["resume"](txn, sent, by, rule), OLD["clocks"](txn, sent, by, rule))
    ),
    "undo clocks": lambda txn, _, by, __: txn.matters.undo_clocks(by),
    "about": lambda txn, sent, *_: txn.matters.about(sent.ref, REFERRALS),
    "chain": lambda txn, sent, *_: txn.matters.chain(sent.ref),
    "state": lambda txn, sent, *_: txn.matters.state(sent.ref),
    "moves": lambda txn, sent, *_: txn.matters.moves(sent.ref),
    "clocks": lambda txn, sent, *_: without_numbers(txn.matters.clocks(sent.ref)),
    "all clocks": lambda txn, sent, *_: without_numbers(txn.matters.all_clocks(sent.ref)),
    "over": lambda txn, *_: txn.matters.some_are_over(),
    "citing": lambda txn, sent, *_: txn.citing(sent.ref, *REFERRALS),
    "below": lambda txn, sent, *_: txn.below(sent.ref, (REFERRALS, REFERRALS)),
    "citing, unless granted": lambda txn, sent, *_: txn.below(sent.ref, (REFERRALS,), {State.GRANTED}),
    "below, unless refused": lambda txn, sent, *_: txn.below(sent.ref, (REFERRALS, REFERRALS), {State.REFUSED}),
    "decided": lambda txn, sent, *_: txn.below(sent.ref, (REFERRALS, DECISIONS)),
    "decided, unless refused": lambda txn, sent, *_: txn.below(sent.ref, (REFERRALS, DECISIONS), {State.REFUSED}),
    "fingerprint": lambda txn, sent, *_: txn.fingerprint(sent.ref),
    "cited": lambda txn, sent, *_: txn.is_cited_by(sent.ref, FOREIGN_CENTRAL),
    "asking": lambda txn, sent, *_: txn.matters.asking_for((WALLET, OTHER_WALLET), sent.ref),
    "aimed": lambda txn, sent, *_: txn.matters.aimed_at((OTHER_WALLET,), sent.header.kind),
}
PLACE = st.integers(0, 9)
ONE = st.tuples(st.sampled_from([*NEW, *ANY, *OLD]), PLACE, PLACE, st.sampled_from(RULES))


def one(txn: Transaction, name: str, sent: Sent, other: Sent, rule: measures.ClockRule.ValueType) -> object:
    """Do or ask one thing, if what it is about is there, or if it is what is not there yet; return the answer."""
    if name in ANY:
        return ANY[name](txn, sent)
    if name in NEW:
        return NEW[name](txn, sent) if txn.find(sent.ref) is None else None
    there = txn.find(sent.ref) is not None and txn.find(other.ref) is not None
    return OLD[name](txn, sent, other.ref, rule) if there else None


# By names: a number that was given to what was undone is left out.
LEFT = (
    "SELECT e.id, e.header, c.id FROM envelopes e LEFT JOIN envelopes c ON c.seq = e.cited_seq ORDER BY e.seq",
    (
        "SELECT e.id, m.state, m.at_us, c.id, m.clock_rule FROM moves m JOIN envelopes e ON e.seq = m.envelope_seq"
        " LEFT JOIN envelopes c ON c.seq = m.cause_seq ORDER BY m.seq"
    ),
    (
        "SELECT e.id, k.rule, k.started_at_us, k.due_at_us, k.next_at_us, k.paused_at_us, k.stage, k.ended_at_us, c.id,"
        " k.change FROM clocks k JOIN envelopes e ON e.seq = k.envelope_seq LEFT JOIN envelopes c ON c.seq = k.by_seq"
        " ORDER BY e.seq, k.seq"
    ),
    "SELECT t.token, e.id FROM targets t JOIN envelopes e ON e.seq = t.envelope_seq ORDER BY 1, 2",
    "SELECT e.id, d.lane FROM deliveries d JOIN envelopes e ON e.seq = d.envelope_seq ORDER BY d.seq",
)


@given(st.integers(0, 10), st.lists(ONE, min_size=5, max_size=40))
@settings(max_examples=300)
def test_many_in_one_transaction_see_and_leave_what_they_would_one_by_one(
    before: int, operations: list[tuple[str, int, int, measures.ClockRule.ValueType]]
) -> None:
    def run(*, together: bool) -> tuple[list[object], list[list[Any]]]:
        with closing(world.memory_store()) as sql:
            with world.transaction(sql) as txn:
                for sent in pool()[:before]:
                    record_some(txn, sent)
            answers: list[object] = []
            steps = [(name, pool()[sent], pool()[other], rule) for name, sent, other, rule in operations]
            for some in [steps] if together else [[step] for step in steps]:
                with world.transaction(sql) as txn:
                    answers += [one(txn, *step) for step in some]
            return answers, [sql.execute(query).fetchall() for query in LEFT]

    assert run(together=True) == run(together=False)


def test_what_is_recorded_below_an_envelope_is_seen_from_it_at_once(sql: Any) -> None:
    first, other, second, beside, below = pool()[:5]
    with world.transaction(sql) as txn:
        for sent in (first, other, second):
            record_some(txn, sent)
    with world.transaction(sql) as txn:
        assert txn.citing(first.ref, *REFERRALS) == [second.header]
        record_some(txn, beside)
        assert txn.citing(first.ref, *REFERRALS) == [second.header, beside.header]
        assert not txn.is_cited_by(other.ref, FOREIGN_CENTRAL)
        record_some(txn, below)
        assert txn.is_cited_by(other.ref, FOREIGN_CENTRAL)
        deep = pool()[6]
        record_some(txn, deep)
        assert txn.below(other.ref, (REFERRALS, REFERRALS)) == [deep.header]


def test_what_cites_a_matter_that_was_taken_back_is_left_out_at_once(sql: Any) -> None:
    _, first, _, _, above, _, one, other, *_ = pool()
    way = (REFERRALS, REFERRALS)
    with world.transaction(sql) as txn:
        for sent in (first, above, one, other):
            record_some(txn, sent)
    with world.transaction(sql) as txn:
        assert txn.below(first.ref, way, {State.REFUSED}) == [one.header, other.header]
        # It waits to be written, and is about another envelope than the one that is asked about.
        txn.matters.add_move(above.ref, State.REFUSED, None)
        assert txn.below(first.ref, way, {State.REFUSED}) == []
        assert txn.below(first.ref, way, {State.GRANTED}) == [one.header, other.header]
