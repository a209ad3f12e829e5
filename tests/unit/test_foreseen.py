"""What a job is about is asked for at once, and the answers are as good as if each had been asked for by itself."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway import rules, statement, steps
from gateway.errors import ErrorCode, Failure
from gateway.identity import Address
from gateway.lanes import Lane
from gateway.lifecycle import Event, State
from gateway.store import Transaction, deliveries
from gateway.store.driver import listing, lists
from tests import stores, world
from tests.world import FOREIGN_CENTRAL, FOREIGN_COURT, FOREIGN_EXCHANGE, INVESTIGATOR, Sent

BOX = FOREIGN_CENTRAL
MINUTE_US = 60_000_000
TOKEN = bytes(range(32))


@pytest.fixture(params=stores.ENGINES)
def sql(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with stores.using(request.param), stores.opened(stores.place(tmp_path / "store.db")) as opened:
        yield opened


def queue(sql: Any, count: int, lane: Lane = Lane.ORDINARY) -> list[Sent]:
    """Record envelopes, each of a case of its own, and lease them; their deliveries are numbered from 1."""
    sent = [world.freeze_request(case_id=f"EE-{number}", target_tokens=(TOKEN,)) for number in range(count)]
    with world.transaction(sql) as txn:
        for one in sent:
            seq = txn.add_envelope(one.envelope, one.header, one.fingerprint)
            txn.deliveries.add(BOX, envelope_seq=seq, case_id=one.header.case_id, lane=lane)
    with world.transaction(sql) as txn:
        while txn.deliveries.lease(BOX, "courier", txn.now_us + MINUTE_US, 64, 1 << 20):
            pass
    return sent


def settle(txn: Transaction, seq: int) -> State:
    row = txn.deliveries.find(seq)
    assert row is not None
    return txn.deliveries.move(row, Event.CONFIRM)


def state_in(sql: Any, seq: int) -> str:
    return str(sql.execute("SELECT state FROM deliveries WHERE seq = ?", (seq,)).fetchone()[0])


def questions(sql: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what will have been asked or told of the store, in order."""
    said: list[str] = []
    for name in ("ask", "execute", "insert"):
        does = getattr(type(sql), name)

        def note(self: Any, text: str, *rest: Any, does: Any = does) -> Any:
            said.append(text)
            return does(self, text, *rest)

        monkeypatch.setattr(type(sql), name, note)
    return said


def receipt_of(sent: Sent) -> tuple[pb.Receipt, pb.Statement]:
    said = world.say(pb.MILESTONE_ACCEPTED, sent, "de/node")
    (receipt,) = statement.issue([said], Address.of_node("de"), world.signing_key("de/node"))
    return receipt, said


def settle_all(sql: Any, sent: list[Sent], first: int) -> None:
    """Settle a frame as the doors do: a job, and in it a part for each."""
    with world.transaction(sql) as txn, txn.part():
        txn.deliveries.expect(range(first, first + len(sent)))
        for seq, one in enumerate(sent, first):
            with txn.part():
                settle(txn, seq)
                assert txn.add_receipt(*receipt_of(one), "ee/prosecutor")


def undone(txn: Transaction, does: Callable[[], object]) -> None:
    """Do it in a part that then fails."""
    with suppress(LookupError), txn.part():
        does()
        raise LookupError


def test_full_frame_is_settled_with_no_more_questions_than_one_copy(sql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, frame = queue(sql, 1), queue(sql, 64)
    said = questions(sql, monkeypatch)
    settle_all(sql, alone, 1)
    one = len(said)
    settle_all(sql, frame, 2)
    assert len(said) <= 2 * one
    assert {state_in(sql, seq) for seq in range(1, 66)} == {"delivered"}


def test_part_that_is_undone_leaves_its_delivery_as_it_was(sql: Any) -> None:
    queue(sql, 2)
    with world.transaction(sql) as txn:
        txn.deliveries.expect([1, 2])
        settle(txn, 2)
        undone(txn, lambda: settle(txn, 1))
        row = txn.deliveries.find(1)
        assert row is not None
        assert row.state is State.DELIVERING
        assert row.holder == "courier"
    assert state_in(sql, 1) == "delivering"
    assert state_in(sql, 2) == "delivered"


def test_delivery_that_was_moved_is_seen_moved_by_the_next_job(sql: Any) -> None:
    queue(sql, 1)
    with world.transaction(sql) as txn:
        with txn.part():
            settle(txn, 1)
            assert state_in(sql, 1) == "delivering"  # that waits to be written
            row = txn.deliveries.find(1)
        with txn.part():
            again = txn.deliveries.find(1)
        txn.deliveries.expect([1])
        assert row == again == txn.deliveries.find(1)
    assert row is not None
    assert (row.state, row.holder) == (State.DELIVERED, "")


def test_what_has_moved_already_cannot_move_from_where_it_was(sql: Any) -> None:
    queue(sql, 1)
    with world.transaction(sql) as txn, txn.part():
        row = txn.deliveries.find(1)
        assert row is not None
        with txn.part():
            txn.deliveries.move(row, Event.CONFIRM)
        with pytest.raises(Failure) as caught:
            txn.deliveries.move(row, Event.FAIL_UNKNOWN)
    assert caught.value.code is ErrorCode.STORE
    assert state_in(sql, 1) == "delivered"


def test_number_of_no_delivery_is_of_none(sql: Any) -> None:
    queue(sql, 1)
    with world.transaction(sql) as txn:
        txn.deliveries.expect([1, 7])
        assert txn.deliveries.find(7) is None
        assert txn.deliveries.find(0) is None


def test_words_of_a_part_that_is_undone_were_not_said(sql: Any) -> None:
    (sent,) = queue(sql, 1)
    with world.transaction(sql) as txn:
        txn.expect_words([sent.ref])
        undone(txn, lambda: txn.add_receipt(*receipt_of(sent)))
        assert txn.words(sent.ref, "de/node") == []
        assert txn.add_receipt(*receipt_of(sent))
        assert not txn.add_receipt(*receipt_of(sent))
        assert txn.words(sent.ref, "de/node") == [pb.MILESTONE_ACCEPTED]


def test_envelopes_of_one_id_by_two_senders_are_two(sql: Any) -> None:
    (sent,) = queue(sql, 1)
    other = ids.EnvelopeRef(sender="ee/fiu", id=sent.header.id)
    with world.transaction(sql) as txn:
        txn.expect([sent.ref, other])
        txn.expect_words([sent.ref, other])
        assert txn.find(sent.ref) == sent.header
        assert txn.fingerprint(sent.ref) == sent.fingerprint
        assert txn.find(other) is None
        assert txn.add_receipt(*receipt_of(sent))
    with world.transaction(sql) as txn:
        txn.expect_words([sent.ref, other])
        assert txn.words(sent.ref, "de/node") == [pb.MILESTONE_ACCEPTED]
        assert txn.words(other, "de/node") == []


def test_what_is_not_recorded_is_found_once_it_is(sql: Any) -> None:
    sent = world.freeze_request()
    with world.transaction(sql) as txn:
        txn.expect([sent.ref])
        assert txn.find(sent.ref) is None
        undone(txn, lambda: txn.add_envelope(sent.envelope, sent.header, sent.fingerprint))
        assert txn.find(sent.ref) is None
        txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
        assert txn.fingerprint(sent.ref) == sent.fingerprint


def test_receipt_goes_as_fast_as_what_it_is_about_goes_by_now(sql: Any) -> None:
    (sent,) = queue(sql, 1)
    urgent = world.freeze_request(case_id=sent.header.case_id)
    with world.transaction(sql) as txn:
        row = txn.deliveries.find(1)
        assert row is not None
        txn.deliveries.move(row, Event.FAIL_UNKNOWN)  # it waits again
        txn.expect_words([sent.ref])
        seq = txn.add_envelope(urgent.envelope, urgent.header, urgent.fingerprint)
        txn.deliveries.add(BOX, envelope_seq=seq, case_id=sent.header.case_id, lane=Lane.EMERGENCY)
        assert txn.add_receipt(*receipt_of(sent), "ee/prosecutor")
    lanes = dict(sql.execute("SELECT destination, lane FROM deliveries WHERE receipt_seq IS NOT NULL"))
    assert lanes["ee/prosecutor"] == Lane.EMERGENCY


def test_targets_of_a_frame_are_asked_for_once(sql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (sent,) = queue(sql, 1)
    others = [bytes([number]) * 32 for number in range(60)]
    with world.transaction(sql) as txn:
        txn.matters.expect_targets([TOKEN, *others])
        said = questions(sql, monkeypatch)
        for other in others:
            assert txn.matters.aimed_at([other], sent.header.kind) == []
            assert txn.matters.asking_for([other], sent.ref) == []
        assert txn.matters.asking_for([TOKEN], sent.ref) == []  # nobody but this one
        assert len(said) <= 1  # which number that has
        found = txn.matters.aimed_at([TOKEN, *others], sent.header.kind)
    assert [header.id for header, _ in found] == [sent.header.id]


def test_target_of_what_was_recorded_a_moment_ago_is_found(sql: Any) -> None:
    late = world.freeze_request(target_tokens=(TOKEN,))
    with world.transaction(sql) as txn:
        txn.matters.expect_targets([TOKEN])
        txn.add_envelope(late.envelope, late.header, late.fingerprint)
        found = txn.matters.aimed_at([TOKEN], late.header.kind)
    assert [header.id for header, _ in found] == [late.header.id]


def answer_to(sent: Sent) -> Sent:
    return world.send(
        ids.KIND_ACKNOWLEDGEMENT, FOREIGN_CENTRAL, INVESTIGATOR, case_id=sent.header.case_id, cites=[sent.ref]
    )


def test_what_a_frame_rests_on_is_asked_for_once(sql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = queue(sql, 60)
    answers = [answer_to(sent) for sent in asked]
    with world.transaction(sql) as txn, txn.part():
        said = questions(sql, monkeypatch)
        txn.expect_new([answer.header for answer in answers])
        at_once = len(said)
        assert at_once <= 4  # two questions, told twice where one word is the other
        for sent, answer in zip(asked, answers, strict=True):
            assert txn.find(answer.ref) is None
            assert txn.matters.chain(answer.header.cites[0]) == [(sent.header, None)]
        assert len(said) == at_once


def test_what_is_recorded_below_what_a_frame_rests_on_is_asked_for_once(
    sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = queue(sql, 60)
    notices = []
    with world.transaction(sql, node="de") as txn:
        for request in asked:
            case: dict[str, Any] = {"case_id": request.header.case_id}
            referral = world.send(ids.KIND_REVIEW_REFERRAL, FOREIGN_CENTRAL, FOREIGN_COURT, cites=[request.ref], **case)
            says: dict[str, Any] = {"outcome": ids.OUTCOME_GRANTED, **case}
            decision = world.send(
                ids.KIND_REVIEW_DECISION, FOREIGN_COURT, FOREIGN_CENTRAL, cites=[referral.ref], **says
            )
            notices.append(
                world.send(ids.KIND_REVIEW_DECISION, FOREIGN_CENTRAL, INVESTIGATOR, cites=[request.ref], **says)
            )
            for each in (referral, decision):
                txn.add_envelope(each.envelope, each.header, each.fingerprint)
            txn.matters.add_move(referral.ref, rules.State.GRANTED, decision.ref)
    way, taken_back = steps.DECIDED_BELOW, {rules.State.WITHDRAWN}
    with world.transaction(sql, node="de") as txn, txn.part():
        txn.expect_new([notice.header for notice in notices])
        said = questions(sql, monkeypatch)
        for request in asked:
            assert len(txn.below(request.ref, way, taken_back)) == len(txn.below(request.ref, way)) == 1
            assert txn.fingerprint(request.ref) == request.fingerprint  # of which something will be stated
        assert not said
        taken = txn.below(asked[0].ref, way[:1])[0]
        txn.matters.add_move(taken, rules.State.WITHDRAWN, None)
        assert not txn.below(asked[0].ref, way, taken_back)


@pytest.mark.parametrize("kind", [ids.KIND_DOMESTIC_ORDER, ids.KIND_TRANSFER_ORDER, ids.KIND_CLAIM_DECISION])
def test_claims_that_may_suspend_what_a_frame_goes_on_with_are_asked_for_once(
    sql: Any, monkeypatch: pytest.MonkeyPatch, kind: ids.Kind.ValueType
) -> None:
    (request,) = queue(sql, 1)
    case: dict[str, Any] = {"case_id": request.header.case_id}
    referral = world.send(ids.KIND_REVIEW_REFERRAL, FOREIGN_CENTRAL, FOREIGN_COURT, cites=[request.ref], **case)
    decision = world.send(ids.KIND_REVIEW_DECISION, FOREIGN_COURT, FOREIGN_CENTRAL, cites=[referral.ref], **case)
    order = world.send(ids.KIND_DOMESTIC_ORDER, FOREIGN_COURT, FOREIGN_EXCHANGE, cites=[decision.ref], **case)
    claim = world.send(ids.KIND_CLAIM, FOREIGN_COURT, FOREIGN_CENTRAL, cites=[decision.ref], **case)
    with world.transaction(sql, node="de") as txn:
        for each in (referral, decision, order, claim):
            txn.add_envelope(each.envelope, each.header, each.fingerprint)
    cited = {ids.KIND_DOMESTIC_ORDER: decision, ids.KIND_TRANSFER_ORDER: order, ids.KIND_CLAIM_DECISION: claim}[kind]
    sent = world.send(kind, FOREIGN_COURT, FOREIGN_EXCHANGE, cites=[cited.ref], **case)
    with world.transaction(sql, node="de") as txn, txn.part():
        txn.expect_new([sent.header])
        said = questions(sql, monkeypatch)
        assert txn.below(decision.ref, steps.CLAIMED_BELOW) == [claim.header]
        assert kind == ids.KIND_CLAIM_DECISION or not txn.below(request.ref, steps.CLAIMED_BELOW)
        assert not said


def test_open_time_limits_and_claims_at_which_a_frame_looks_are_asked_for_once(
    sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (request,) = queue(sql, 1)
    case: dict[str, Any] = {"case_id": request.header.case_id}
    referral = world.send(ids.KIND_REVIEW_REFERRAL, FOREIGN_CENTRAL, FOREIGN_COURT, cites=[request.ref], **case)
    with world.transaction(sql, node="de") as txn:
        txn.add_envelope(referral.envelope, referral.header, referral.fingerprint)
        for matter in (request, referral):
            txn.matters.add_move(matter.ref, rules.State.ASKED, matter.ref)
        rule = measures.CLOCK_RULE_URGENT_DECISION
        txn.matters.start_clock(request.ref, rule, txn.now_us, txn.now_us + MINUTE_US, None, request.ref)
    decision = world.send(ids.KIND_REVIEW_DECISION, FOREIGN_COURT, FOREIGN_CENTRAL, cites=[referral.ref], **case)
    disclosure = world.send(ids.KIND_DISCLOSURE, FOREIGN_CENTRAL, INVESTIGATOR, cites=[request.ref], **case)
    with world.transaction(sql, node="de") as txn, txn.part():
        txn.expect_new([decision.header, disclosure.header])
        said = questions(sql, monkeypatch)
        assert [clock.rule for clock in txn.matters.clocks(request.ref)] == [rule]
        assert not txn.below(request.ref, steps.CONTESTED_BELOW)
        assert not said


def test_what_waits_in_slower_lanes_is_asked_for_once(sql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = queue(sql, 30)
    urgent = [world.freeze_request(case_id=f"EE-{number}") for number in range(60)]
    with world.transaction(sql) as txn:
        said = questions(sql, monkeypatch)
        txn.deliveries.expect_slower([(BOX, each.header.case_id, Lane.URGENT.value) for each in urgent])
        at_once = len(said)
        assert at_once <= 2
        for each in urgent:
            seq = txn.add_envelope(each.envelope, each.header, each.fingerprint)
            txn.deliveries.add(BOX, envelope_seq=seq, case_id=each.header.case_id, lane=Lane.URGENT)
        hurried = [word for word in said[at_once:] if "UPDATE deliveries" in word]
        assert len(hurried) == len(sent)
        assert len(said) <= at_once + len(hurried) + 2  # the numbers of the first
    assert sql.execute("SELECT DISTINCT lane FROM deliveries").fetchall() == [(Lane.URGENT,)]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (listing(deliveries._SLOWER, 1, 3), (BOX, "EE-1", Lane.URGENT.value)),
        (deliveries._HURRY, (Lane.URGENT.value, BOX, "EE-1", Lane.URGENT.value)),
    ],
)
def test_what_goes_first_looks_at_its_own_case_and_not_at_all_that_waits(
    sql: Any, query: str, values: tuple[Any, ...]
) -> None:
    queue(sql, 200)
    if stores.is_postgres() and query == deliveries._HURRY:
        sql.execute("ANALYZE")  # as its server does by itself; it is told of what was found by the other alone
    told = sql.execute(f"EXPLAIN {'' if stores.is_postgres() else 'QUERY PLAN '}{query}", values).fetchall()
    assert [row for row in told if "deliveries_in_order" in str(row[-1])]


def test_chain_is_that_of_the_envelope_and_of_no_other_with_its_id(sql: Any) -> None:
    asked = queue(sql, 2)
    taken = asked[0].ref
    strange = ids.EnvelopeRef(sender=BOX, id=taken.id)
    citing = [world.send(ids.KIND_ACKNOWLEDGEMENT, BOX, INVESTIGATOR, cites=[ref]) for ref in (taken, strange)]
    with world.transaction(sql) as txn:
        txn.expect_new([each.header for each in citing])
        assert txn.matters.chain(strange) == []
        assert txn.matters.chain(taken) == [(asked[0].header, None)]


def test_what_others_have_given_the_same_id_is_not_even_read(sql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = world.freeze_request().header.id
    with world.transaction(sql) as txn:
        for number in range(30):
            header = pb.Header(sender=f"fr/court-{number}", id=id_, recipients=[BOX], kind=ids.KIND_FREEZE_REQUEST)
            signed = pb.SignedEnvelope(header=header.SerializeToString())
            seq = txn.add_envelope(signed, header, bytes(32))
            txn.deliveries.add(BOX, envelope_seq=seq)
    wanted = ids.EnvelopeRef(sender="fr/court-7", id=id_)
    rows: list[Any] = []
    asks = type(sql).ask

    def note(self: Any, text: str, values: Any) -> Any:
        found = asks(self, text, values)
        rows.extend(found)
        return found

    monkeypatch.setattr(type(sql), "ask", note)
    with world.transaction(sql) as txn:
        txn.expect_new([pb.Header(sender=BOX, id="new", cites=[wanted])])
        txn.expect([wanted])
        txn.expect_words([wanted])
        assert [header.sender for header, _ in txn.matters.chain(wanted)] == [wanted.sender]
        assert len(rows) == 3  # its chain, what is recorded of it, its lane


def test_what_was_looked_up_in_vain_rests_on_what_is_recorded_a_moment_later(sql: Any) -> None:
    sent = world.freeze_request()
    with world.transaction(sql) as txn:
        txn.expect_new([answer_to(sent).header])
        assert txn.matters.chain(sent.ref) == []
        txn.add_envelope(sent.envelope, sent.header, sent.fingerprint)
        assert txn.matters.chain(sent.ref) == [(sent.header, None)]


def test_state_that_changes_after_it_was_looked_up_is_the_new_one(sql: Any) -> None:
    (sent,) = queue(sql, 1)
    answer = answer_to(sent)
    with world.transaction(sql) as txn:
        txn.expect_new([answer.header])
        txn.matters.add_move(sent.ref, rules.State.ASKED, sent.ref)
        assert txn.matters.chain(sent.ref) == [(sent.header, rules.State.ASKED)]
        txn.matters.add_move(sent.ref, rules.State.ACKNOWLEDGED, sent.ref)
        assert txn.matters.chain(sent.ref) == [(sent.header, rules.State.ACKNOWLEDGED)]


def test_what_was_looked_up_in_a_part_that_is_undone_is_looked_up_again(sql: Any) -> None:
    (sent,) = queue(sql, 1)
    answer = answer_to(sent)
    with world.transaction(sql) as txn:
        with suppress(KeyError), txn.part():
            txn.matters.add_move(sent.ref, rules.State.ASKED, sent.ref)
            assert txn.matters.state(sent.ref) is rules.State.ASKED
            txn.expect_new([answer.header])
            raise KeyError
        assert txn.matters.chain(sent.ref) == [(sent.header, None)]


def test_words_about_an_envelope_that_is_asked_for_often_are_as_many_as_were_said(sql: Any) -> None:
    (sent,) = queue(sql, 1)
    with world.transaction(sql) as txn:
        assert txn.add_receipt(*receipt_of(sent))
    with world.transaction(sql) as txn:
        txn.expect_words([sent.ref] * 200)
        assert txn.words(sent.ref, "de/node") == [pb.MILESTONE_ACCEPTED]


def test_what_is_delivered_already_is_not_hurried(sql: Any) -> None:
    (sent,) = queue(sql, 1)
    urgent = world.freeze_request(case_id=sent.header.case_id)
    with world.transaction(sql) as txn:
        settle(txn, 1)
        seq = txn.add_envelope(urgent.envelope, urgent.header, urgent.fingerprint)
        txn.deliveries.add(BOX, envelope_seq=seq, case_id=sent.header.case_id, lane=Lane.EMERGENCY)
    assert sql.execute("SELECT lane FROM deliveries WHERE seq = 1").fetchone()[0] == Lane.ORDINARY


def test_numbers_of_no_delivery_are_asked_for_once(sql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queue(sql, 1)
    with world.transaction(sql) as txn, txn.part():
        txn.deliveries.expect(range(1, 60))
        said = questions(sql, monkeypatch)
        assert [seq for seq in range(1, 60) if txn.deliveries.find(seq) is not None] == [1]
        assert said == []


@pytest.mark.parametrize(
    ("count", "lengths"), [(0, []), (1, [1]), (2, [8]), (8, [8]), (9, [64]), (65, [64, 1]), (650, [512, 64, 64, 64])]
)
def test_lists_have_few_lengths(count: int, lengths: list[int]) -> None:
    made = list(lists(list(range(count)), -1))
    assert [len(padded) for _, padded in made] == lengths
    assert [value for some, padded in made for value in padded[:some]] == list(range(count))
    assert all(value == -1 for some, padded in made for value in padded[some:])
    assert listing("x IN ({})", 3) == "x IN (?, ?, ?)"
