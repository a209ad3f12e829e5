"""How a node's list may change: always so that it continues the one before."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.profiles import BACKDATED
from gateway.directory import KeyEntry, NodeEntry, ParticipantList, Status
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.registry import roll
from gateway.registry.roll import Newcomer, NewKeys
from gateway.signature import key_id
from tests import world
from tests.world import NOW

EE = next(each for each in world.DIRECTORY.split()[1] if each.node == "ee")
FOUNDERS: NodeEntry = world.DIRECTORY.node("ee")
COURT = Address.parse(world.COURT)
DAY = timedelta(days=1)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def newcomer(name: str, number: int) -> Newcomer:
    return Newcomer(Address("ee", name), frozenset({Role.FIU}), name, "", key(number), key(number + 1))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "renew", "out", "key", "certificate", "node", "node key", "node certificate"]),
        st.booleans(),
    ),
    max_size=12,
)


@given(STEPS)
def test_whatever_happens_nothing_is_unsaid(steps: list[tuple[str, bool]]) -> None:
    listed, now = EE, NOW
    for number, (step, early) in enumerate(steps, start=1):
        now += DAY
        before, who = listed, Address("ee", "court" if early else "one")
        new = NewKeys(key(10 * number), key(10 * number + 1), now + DAY, DAY)
        entry = roll.find(listed, who)
        if step == "admit" and (entry is None or entry.status is Status.REVOKED):
            listed = roll.admit(listed, newcomer(who.name, 10 * number), now, frozenset({"0" * 64}))
        elif step == "node":
            listed = roll.renew_node(listed, FOUNDERS, new)
        elif step == "node key":
            listed = roll.distrust_node_key(listed, FOUNDERS, key_id(FOUNDERS.signing_keys[0].public), now)
        elif step == "node certificate":
            listed = roll.distrust_node_certificate(listed, number.to_bytes(32, "big"))
        elif entry is not None and step == "renew":
            listed = roll.renew(listed, who, new)
        elif entry is not None and step == "out":
            listed = roll.put_out(listed, who, now)
        elif entry is not None and step == "key":
            listed = roll.distrust_key(listed, who, key_id(entry.signing_keys[0].public), now)
        elif entry is not None and step == "certificate":
            listed = roll.distrust_certificates(listed, who, [number.to_bytes(32, "big")])
        listed.check_continues(before)
        assert ParticipantList.parse(listed.to_json(), "list") == listed
        assert roll.brought_together(listed, before) == listed  # what came before adds nothing


def test_unknown_participant_cannot_change() -> None:
    with pytest.raises(Refusal) as caught:
        roll.put_out(EE, Address("ee", "nobody"), NOW)
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_rotation_of_one_key_leaves_the_other() -> None:
    listed = roll.renew(EE, COURT, NewKeys(key(1), b"", NOW + DAY, DAY))
    entry, before = roll.entry_of(listed, COURT), roll.entry_of(EE, COURT)
    assert entry.sealing_keys == before.sealing_keys
    assert entry.signing_keys[0].not_after == NOW + 2 * DAY


def test_public_keys_of_all_are_known_the_nodes_too() -> None:
    listed = roll.renew_node(EE, FOUNDERS, NewKeys(key(1), b"", NOW, DAY))
    assert ("ee/node", key(1)) in set(roll.publics(listed))
    assert (world.COURT, roll.entry_of(EE, COURT).sealing_keys[0].public) in set(roll.publics(listed))


def test_both_lists_keep_what_either_adds() -> None:
    own = roll.admit(EE, newcomer("own", 1), NOW, frozenset())
    own = roll.distrust_certificates(own, COURT, [bytes(32)])
    own = roll.distrust_node_certificate(own, bytes(32))
    by_hand = roll.admit(EE, newcomer("by-hand", 3), NOW, frozenset())
    both = roll.brought_together(by_hand, own)
    assert roll.find(both, Address("ee", "own")) is not None
    assert roll.find(both, Address("ee", "by-hand")) is not None
    assert roll.entry_of(both, COURT).revoked_certificates == both.revoked_certificates == {bytes(32).hex()}
    both.check_continues(own)
    both.check_continues(by_hand)


def test_both_lists_keep_where_the_node_has_moved_and_what_is_published_is_the_later_word() -> None:
    own, by_hand = (roll.moved(EE, FOUNDERS, f"{name}.example:7440") for name in ("own", "by-hand"))
    assert roll.brought_together(EE, own).endpoint == "own.example:7440"
    assert roll.brought_together(by_hand, own).endpoint == "by-hand.example:7440"


def test_node_that_never_moved_or_came_back_is_where_founders_said_or_says_so() -> None:
    assert roll.moved(EE, FOUNDERS, FOUNDERS.endpoint) == EE
    away = roll.moved(EE, FOUNDERS, "away.example:7440")
    assert roll.moved(away, FOUNDERS, FOUNDERS.endpoint).applied_to(FOUNDERS).endpoint == FOUNDERS.endpoint


def test_both_lists_keep_the_earlier_end_and_the_earlier_distrust() -> None:
    used = roll.entry_of(EE, COURT).signing_keys[0]
    own = roll.distrust_key(EE, COURT, key_id(used.public), NOW)
    both = roll.brought_together(EE, own)
    assert roll.entry_of(both, COURT).signing_keys == (
        KeyEntry(public=used.public, not_before=used.not_before, not_trusted_after=NOW),
    )


def test_who_was_taken_in_again_has_no_certificate_of_before_whichever_list_says_so() -> None:
    out = roll.put_out(EE, COURT, NOW)
    again = roll.admit(out, newcomer(COURT.name, 1), NOW, frozenset())
    start = (NOW - BACKDATED).replace(microsecond=0)  # as certificates tell time
    assert roll.entry_of(again, COURT).certificates_not_before == start
    assert roll.entry_of(EE, COURT).certificates_not_before is None
    assert roll.readmitted_at(roll.entry_of(EE, COURT)) < start < roll.readmitted_at(roll.entry_of(again, COURT)) <= NOW
    for both in (roll.brought_together(again, out), roll.brought_together(out, again)):
        assert roll.entry_of(both, COURT).certificates_not_before == start


def test_clock_that_was_put_back_lets_no_certificate_of_before_in() -> None:
    again = roll.admit(roll.put_out(EE, COURT, NOW), newcomer(COURT.name, 1), NOW, frozenset())
    out = roll.put_out(again, COURT, NOW)
    entry = roll.entry_of(roll.admit(out, newcomer(COURT.name, 3), NOW - DAY, frozenset()), COURT)
    assert entry.certificates_not_before == roll.entry_of(again, COURT).certificates_not_before


def test_participant_that_was_put_out_stays_out_unless_it_was_given_a_new_key() -> None:
    own = roll.put_out(EE, COURT, NOW)
    assert roll.entry_of(roll.brought_together(EE, own), COURT).status is Status.REVOKED
    anew = roll.renew(EE, COURT, NewKeys(key(1), key(2), NOW, DAY))
    assert roll.entry_of(roll.brought_together(anew, own), COURT).status is Status.ACTIVE


def test_operator_that_was_taken_in_again_stays_in_though_a_store_of_before_has_him_out() -> None:
    operator = Newcomer(Address("ee", "watch"), frozenset({Role.OPERATOR}), "watch", "", b"", b"")
    out = roll.put_out(roll.admit(EE, operator, NOW, frozenset()), operator.address, NOW)
    again = roll.admit(out, operator, NOW + DAY, frozenset())
    assert roll.brought_together(again, out) == again
    # And out again, he is out, whichever list says so.
    late = roll.put_out(again, operator.address, NOW + 2 * DAY)
    for both in (roll.brought_together(again, late), roll.brought_together(late, again)):
        assert roll.entry_of(both, operator.address).status is Status.REVOKED
