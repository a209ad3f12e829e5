from collections.abc import Callable
from datetime import timedelta

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2

from gateway import signature, statement
from gateway.clock import to_micros
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.signature import Domain
from tests import world
from tests.world import DIRECTORY, FOREIGN_CENTRAL, INVESTIGATOR, NOW, Sent

REQUEST = world.freeze_request()
OTHER = world.freeze_request()
HERE, THERE = "ee/node", "de/node"


def say(milestone: pb.Milestone.ValueType, issuer: str, recipient: str = "", about: Sent = REQUEST) -> pb.Statement:
    return pb.Statement(
        envelope=about.ref,
        fingerprint=about.fingerprint,
        milestone=milestone,
        issuer=issuer,
        at_us=to_micros(NOW),
        recipient=recipient,
    )


def signed(said: pb.Statement, key_of: str = "") -> pb.Receipt:
    signer = Address.parse(said.issuer, allow_node=True)
    return statement.issue([said], signer, world.signing_key(key_of or said.issuer))[0]


def proven(receipt: pb.Receipt, about: Sent = REQUEST) -> pb.Statement:
    said = statement.verify(receipt, DIRECTORY.signing_key)
    statement.check_subject(said, about.header, about.fingerprint)
    return said


def bad(receipt: pb.Receipt) -> None:
    with pytest.raises(Refusal) as caught:
        proven(receipt)
    assert caught.value.code is ErrorCode.BAD_RECEIPT


ACCEPTED = say(pb.MILESTONE_ACCEPTED, THERE)
LAWFUL = [
    ACCEPTED,
    say(pb.MILESTONE_ACCEPTED, HERE),
    say(pb.MILESTONE_DELIVERED, THERE, FOREIGN_CENTRAL),
    say(pb.MILESTONE_REFUSED, HERE),
    say(pb.MILESTONE_REFUSED, THERE),
    say(pb.MILESTONE_EXPIRED, HERE, FOREIGN_CENTRAL),
    say(pb.MILESTONE_EXPIRED, THERE, FOREIGN_CENTRAL),
    say(pb.MILESTONE_OPENED, FOREIGN_CENTRAL, FOREIGN_CENTRAL),
    say(pb.MILESTONE_REJECTED, FOREIGN_CENTRAL, FOREIGN_CENTRAL),
    say(pb.MILESTONE_DECIDED, THERE),
    say(pb.MILESTONE_EXECUTED, THERE),
    say(pb.MILESTONE_DUE_SOON, THERE),
    say(pb.MILESTONE_OVERDUE, THERE),
    say(pb.MILESTONE_LAPSED, THERE),
    say(pb.MILESTONE_COMPETING, THERE, FOREIGN_CENTRAL),
]
UNLAWFUL = [
    pytest.param(say(pb.MILESTONE_ACCEPTED, INVESTIGATOR), id="a participant says that a node accepted it"),
    pytest.param(say(pb.MILESTONE_DELIVERED, FOREIGN_CENTRAL, FOREIGN_CENTRAL), id="a participant says DELIVERED"),
    pytest.param(say(pb.MILESTONE_DECIDED, "de/court"), id="a court says DECIDED by itself"),
    pytest.param(say(pb.MILESTONE_OPENED, THERE, FOREIGN_CENTRAL), id="a node says that a participant opened it"),
    pytest.param(say(pb.MILESTONE_OPENED, THERE, THERE), id="a node opened it"),
    pytest.param(say(pb.MILESTONE_OPENED, FOREIGN_CENTRAL), id="opened by nobody in particular"),
    pytest.param(say(pb.MILESTONE_REJECTED, FOREIGN_CENTRAL), id="rejected by nobody in particular"),
    pytest.param(say(pb.MILESTONE_DELIVERED, THERE), id="delivered to nobody in particular"),
    pytest.param(say(pb.MILESTONE_EXPIRED, HERE), id="expired for nobody in particular"),
    pytest.param(say(pb.MILESTONE_OPENED, INVESTIGATOR, FOREIGN_CENTRAL), id="the sender says that it was opened"),
    pytest.param(say(pb.MILESTONE_OPENED, INVESTIGATOR, INVESTIGATOR), id="opened by its sender"),
    pytest.param(say(pb.MILESTONE_OPENED, "de/court", "de/court"), id="opened by somebody whom it was not for"),
    pytest.param(say(pb.MILESTONE_ACCEPTED, "fr/node"), id="a stranger's node accepted it"),
    pytest.param(say(pb.MILESTONE_DELIVERED, "fr/node", FOREIGN_CENTRAL), id="a stranger's node delivered it"),
    pytest.param(say(pb.MILESTONE_DELIVERED, THERE, "de/court"), id="delivered to somebody whom it was not for"),
    pytest.param(say(pb.MILESTONE_DELIVERED, HERE, FOREIGN_CENTRAL), id="the sender's node says DELIVERED abroad"),
    pytest.param(say(pb.MILESTONE_DECIDED, HERE), id="the sender's node says that a foreign court decided"),
    pytest.param(say(pb.MILESTONE_EXECUTED, HERE), id="the sender's node says that it was executed abroad"),
    pytest.param(say(pb.MILESTONE_LAPSED, HERE), id="the sender's node says that it lapsed abroad"),
    pytest.param(say(pb.MILESTONE_OVERDUE, "fr/node"), id="a stranger's node says that it is overdue"),
    pytest.param(say(pb.MILESTONE_ACCEPTED, THERE, about=OTHER), id="about another envelope"),
]


@pytest.mark.parametrize("said", LAWFUL, ids=[f"{pb.Milestone.Name(s.milestone)} by {s.issuer}" for s in LAWFUL])
def test_statement_by_who_may_say_it_is_proven(said: pb.Statement) -> None:
    assert proven(signed(said)) == said


@pytest.mark.parametrize("said", UNLAWFUL)
def test_statement_by_who_may_not_say_it_is_refused_however_well_signed(said: pb.Statement) -> None:
    bad(signed(said))


def test_every_milestone_can_be_stated_by_somebody() -> None:
    assert {said.milestone for said in LAWFUL} == set(pb.Milestone.values()) - {pb.MILESTONE_UNSPECIFIED}


def test_many_statements_are_signed_together_and_proven_alone() -> None:
    said = [say(pb.MILESTONE_ACCEPTED, THERE, about=world.freeze_request()) for _ in range(5)]
    receipts = statement.issue(said, Address.of_node("de"), world.signing_key(THERE))
    assert len({receipt.signature.signature for receipt in receipts}) == 1
    assert [statement.verify(receipt, DIRECTORY.signing_key) for receipt in receipts] == said


def test_single_statement_is_signed_directly() -> None:
    assert not signed(ACCEPTED).signature.HasField("batch")


def test_same_name_with_another_fingerprint_is_another_envelope() -> None:
    said = say(pb.MILESTONE_ACCEPTED, THERE)
    said.fingerprint = OTHER.fingerprint
    bad(signed(said))


def _altered(change: Callable[[pb.Statement], object]) -> pb.Receipt:
    receipt = signed(ACCEPTED)
    said = pb.Statement.FromString(receipt.statement)
    change(said)
    return pb.Receipt(statement=said.SerializeToString(), signature=receipt.signature)


def _raw(raw: bytes) -> pb.Receipt:
    made = signature.sign(Domain.STATEMENT, raw, THERE, world.signing_key(THERE))
    return pb.Receipt(statement=raw, signature=made)


def _signed_as(signer: str) -> pb.Receipt:
    receipt = signed(ACCEPTED, signer)
    receipt.signature.signer = signer
    return receipt


def _renamed(signer: str) -> pb.Receipt:
    receipt = signed(ACCEPTED)
    receipt.signature.signer = signer
    return receipt


FORGERIES = [
    pytest.param(_renamed(HERE), id="signed by the issuer, in another's name"),
    pytest.param(signed(ACCEPTED, HERE), id="signed with another node's key"),
    pytest.param(_signed_as(HERE), id="signed by another than the issuer, in his own name"),
    pytest.param(_altered(lambda s: setattr(s, "milestone", pb.MILESTONE_REFUSED)), id="milestone altered"),
    pytest.param(_altered(lambda s: setattr(s, "at_us", s.at_us + 1)), id="time altered"),
    pytest.param(_altered(lambda s: setattr(s, "detail", "x")), id="detail added"),
    pytest.param(pb.Receipt(statement=ACCEPTED.SerializeToString()), id="not signed"),
    pytest.param(pb.Receipt(), id="empty"),
    pytest.param(_raw(b"\xff"), id="no statement"),
    pytest.param(_raw(ACCEPTED.SerializeToString() + b"\xf0\x07\x01"), id="unknown field, well signed"),
    pytest.param(_raw(b"\x18\x02" + ACCEPTED.SerializeToString()), id="milestone twice, well signed"),
    pytest.param(_raw(say(pb.MILESTONE_UNSPECIFIED, THERE).SerializeToString()), id="no milestone, well signed"),
    pytest.param(
        pb.Receipt(
            statement=ACCEPTED.SerializeToString(),
            signature=signature.sign(Domain.ENVELOPE, ACCEPTED.SerializeToString(), THERE, world.signing_key(THERE)),
        ),
        id="signed as if it were an envelope",
    ),
]


@pytest.mark.parametrize("receipt", FORGERIES)
def test_forged_receipt_is_refused(receipt: pb.Receipt) -> None:
    bad(receipt)


def test_receipt_of_before_the_issuers_key_was_valid_is_refused() -> None:
    said = say(pb.MILESTONE_ACCEPTED, THERE)
    said.at_us = to_micros(world.KEYS_FROM - timedelta(microseconds=1))
    bad(signed(said))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: s.ClearField("envelope"), id="about nothing"),
        pytest.param(lambda s: s.ClearField("milestone"), id="no milestone"),
        pytest.param(lambda s: setattr(s, "detail", "x" * 501), id="detail too long"),
        pytest.param(lambda s: setattr(s, "fingerprint", b""), id="no fingerprint"),
    ],
)
def test_statement_that_breaks_a_rule_is_not_signed(change: Callable[[pb.Statement], object]) -> None:
    said = say(pb.MILESTONE_REFUSED, THERE)
    said.code = errors_pb2.ERROR_CODE_STALE
    change(said)
    with pytest.raises(Refusal) as caught:
        signed(said)
    assert caught.value.code is ErrorCode.MALFORMED


def test_final_milestones_are_those_that_end_a_delivery() -> None:
    assert {pb.MILESTONE_DELIVERED, pb.MILESTONE_REFUSED, pb.MILESTONE_EXPIRED} == statement.FINAL
