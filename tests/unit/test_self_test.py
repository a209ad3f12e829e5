"""What a self-test tries, and what its report proves to somebody who does not believe the exchange."""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import rogatory.v1
from google.protobuf.descriptor import FileDescriptor
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import selftest_pb2 as selftest

from clients import restrictions
from clients.restrictions import FILES, KINDS, OPEN, ROLES, Ban, Trial, closed_methods, full_name, trials
from clients.selftest import ATTEMPT_LASTS, CASE, CASE_RANDOM_BYTES
from clients.verdict import TEXT, Check, body_of, judge
from gateway import codec, envelope, statement
from gateway.cli.self_test import allowed
from gateway.codec import MAX_DETAIL_CHARS, MAX_FIELD_CHARS
from gateway.config import Limits
from gateway.directory import Directory, Status
from gateway.errors import ErrorCode
from gateway.identity import Address, Role
from gateway.receive import receive
from gateway.rules import Rule, Where
from gateway.steps import RULES
from gateway.store.writer import MAX_WEIGHT_A_BATCH
from tests import world
from tests.world import DIRECTORY, EXCHANGE, NOW, Sent

REGISTRAR = "ee/registrar"
HERE = Address.parse(EXCHANGE)
CHALLENGE = bytes(range(32))
NOT_PERMITTED = errors_pb2.ERROR_CODE_NOT_PERMITTED


def order(**changes: Any) -> Sent:
    fields = {"body": body_of(CHALLENGE), "case_id": "TEST-1", **changes}
    return world.send(ids.KIND_TEST_ORDER, REGISTRAR, EXCHANGE, **fields)


ORDER = order()


def refusal(sent: Sent, code: int, issuer: str = "ee/node", key_of: str = "", **changes: Any) -> bytes:
    said = world.say(pb.MILESTONE_REFUSED, sent, issuer, code=code)
    said.MergeFrom(pb.Statement(**changes))
    (receipt,) = statement.issue([said], Address.parse(issuer, allow_node=True), world.signing_key(key_of or issuer))
    return receipt.SerializeToString(deterministic=True)


def attempt(trial: Trial, **letter: Any) -> selftest.TestAttempt:
    sent = world.send(trial.ban.kind, trial.sender, trial.recipient, **{"case_id": "TEST-1", **letter})
    made = selftest.TestAttempt(
        kind=trial.ban.kind,
        sender=trial.sender,
        recipient=trial.recipient,
        code=errors_pb2.ErrorCode.ValueType(trial.code),
        envelope=sent.envelope.SerializeToString(deterministic=True),
    )
    if trial.ban.sender is None:
        made.receipt = refusal(sent, trial.code)
    return made


TRIALS = trials(DIRECTORY, HERE, allowed)
ATTEMPTS = [attempt(trial) for trial in TRIALS]
CALLS = [selftest.TestCall(method=full_name(method), code=NOT_PERMITTED) for method in closed_methods()]


def report() -> selftest.TestReport:
    return selftest.TestReport(challenge=CHALLENGE, salt=ORDER.salt, attempts=ATTEMPTS, calls=CALLS)


def judged(made: selftest.TestReport, directory: Directory = DIRECTORY) -> tuple[Check, ...]:
    return judge(ORDER.header, made, directory, allowed)


def failed(made: selftest.TestReport, directory: Directory = DIRECTORY) -> list[str]:
    return [check.name for check in judged(made, directory) if not check.passed]


# What is tried

SENDS = {rule.kind for rule in RULES if rule.sender is Role.EXCHANGE}


def tried_in_its_own_name() -> dict[Ban, ErrorCode]:
    return {trial.ban: trial.code for trial in TRIALS if trial.ban.sender is None}


def test_kind_that_an_exchange_may_send_to_somebody_is_tried_to_each_role_at_home_and_abroad() -> None:
    tried = {ban: code for ban, code in tried_in_its_own_name().items() if ban.kind in SENDS}
    wanted = {
        Ban(kind, None, role, abroad): ErrorCode.UNKNOWN_CITATION
        if Rule(kind, Role.EXCHANGE, role, Where.ABROAD if abroad else Where.HOME) in RULES
        else ErrorCode.NOT_PERMITTED
        for kind in SENDS
        for role in ROLES
        for abroad in (False, True)
    }
    assert tried == wanted


def test_kind_that_an_exchange_may_send_to_nobody_is_tried_once_at_home_and_once_abroad() -> None:
    tried = [ban for ban in tried_in_its_own_name() if ban.kind not in SENDS]
    wanted = [(kind, abroad) for kind in KINDS if kind not in SENDS for abroad in (False, True)]
    assert [(ban.kind, ban.abroad) for ban in tried] == wanted
    assert {tried_in_its_own_name()[ban] for ban in tried} == {ErrorCode.NOT_PERMITTED}


def test_no_kind_no_role_and_no_row_is_forgotten() -> None:
    own = list(tried_in_its_own_name())
    assert {(ban.kind, ban.abroad) for ban in own} == {(kind, abroad) for kind in KINDS for abroad in (False, True)}
    # By turns alone, too: as often as the next one, if not once less.
    turns = Counter((ban.recipient, ban.abroad) for ban in own if ban.kind not in SENDS)
    assert set(turns) == {(role, abroad) for role in ROLES for abroad in (False, True)}
    assert max(turns.values()) - min(turns.values()) <= 1
    forged = {(trial.ban.kind, trial.ban.sender, trial.ban.recipient, trial.ban.abroad) for trial in TRIALS}
    rows = {(rule.kind, rule.sender, rule.recipient, rule.where is Where.ABROAD) for rule in RULES}
    assert {each for each in forged if each[1] is not None} == rows


def test_turn_of_a_role_that_nobody_has_is_the_next_ones() -> None:
    few = [each for each in world.everybody().values() if each.roles <= {Role.COURT, Role.EXCHANGE, Role.REGISTRAR}]
    made = trials(world.make_directory(few), HERE, allowed)
    own = [trial.ban for trial in made if trial.ban.sender is None and trial.ban.kind not in SENDS]
    wanted = [(kind, abroad) for kind in KINDS if kind not in SENDS for abroad in (False, True)]
    assert [(ban.kind, ban.abroad) for ban in own] == wanted


def test_both_sides_come_to_the_same_trials_whatever_the_order_of_their_directory() -> None:
    turned = world.make_directory(reversed(world.everybody().values()))
    assert trials(turned, HERE, allowed) == TRIALS


def test_trial_fits_what_it_tries() -> None:
    for trial in TRIALS:
        assert trial.ban.recipient in DIRECTORY.roles(trial.recipient)
        assert (trial.recipient[:2] != "ee") is trial.ban.abroad
        assert (trial.sender == EXCHANGE) is (trial.ban.sender is None)
        assert trial.sender[:2] == "ee"
        assert trial.ban.sender is None or trial.ban.sender in DIRECTORY.roles(trial.sender)
        # Nobody but itself gets a forged order, should one pass.
        assert trial.recipient != EXCHANGE or trial.ban.sender is not None
        assert trial.ban.recipient is not Role.EXCHANGE or trial.ban.sender is None or trial.recipient == EXCHANGE


def test_nobody_is_written_to_who_is_revoked_or_does_not_exist() -> None:
    known = world.everybody()
    known["ee/court"] = known["ee/court"].model_copy(update={"status": Status.REVOKED})
    made = trials(world.make_directory(known.values()), HERE, allowed)
    assert "ee/court" not in {name for trial in made for name in (trial.sender, trial.recipient)}
    alone = [known[EXCHANGE], known[REGISTRAR]]
    made = trials(world.make_directory(alone), HERE, allowed)
    assert {trial.recipient for trial in made} == {REGISTRAR, EXCHANGE}
    assert {trial.ban.kind for trial in made if trial.recipient == REGISTRAR} == set(KINDS)


def test_recipient_whose_other_role_makes_a_kind_lawful_is_passed_over() -> None:
    both = world.participant("ee/a-both", Role.REGISTRAR, Role.FIU)
    directory = world.make_directory([*world.everybody().values(), both])
    for trial in trials(directory, HERE, allowed):
        if trial.code is ErrorCode.NOT_PERMITTED and trial.ban.kind == ids.KIND_TEST_REPORT and not trial.ban.sender:
            assert trial.recipient != "ee/a-both"


def services() -> set[str]:
    files: list[FileDescriptor] = [
        importlib.import_module(f"rogatory.v1.{module.name}").DESCRIPTOR
        for module in pkgutil.iter_modules(rogatory.v1.__path__)
        if module.name.endswith("_pb2") and module.name != "comments_pb2"
    ]
    return {file.name for file in files if file.services_by_name}


def test_every_procedure_of_the_contract_is_open_to_an_exchange_or_tried() -> None:
    """If this fails: a new file with services belongs into `FILES`, and what an exchange may call into `OPEN`."""
    assert {file.name for file in FILES} == services()
    known = {full_name(m) for file in FILES for s in file.services_by_name.values() for m in s.methods_by_name.values()}
    assert known >= OPEN
    assert {full_name(method) for method in closed_methods()} == known - OPEN
    assert "rogatory.v1.Trace/GetTrace" in known - OPEN
    assert "rogatory.v1.Registry/Invite" in known - OPEN


# How large it gets

NAME_CHARACTERS = 63
MANY_NODES = ("at", "be", "bg", "cz", "de", "ee", "es", "fi", "fr", "it", "nl", "pl")


def longest(address: str) -> str:
    """Make a name as long as it can be."""
    return f"{address}-".ljust(len("ee/") + NAME_CHARACTERS, "x")


def test_report_of_a_large_federation_with_the_longest_names_and_refusals_fits_into_an_envelope() -> None:
    cast = {longest(f"{node}/{role.value}{twin}"): role for node in MANY_NODES for role in ROLES for twin in ("", "-2")}
    exchange, registrar = longest(EXCHANGE), longest(REGISTRAR)
    directory = world.make_directory(
        [world.participant(address, role) for address, role in cast.items()], map(world.node_entry, MANY_NODES)
    )
    made = trials(directory, Address.parse(exchange), allowed)
    sent = [
        world.send(
            trial.ban.kind,
            trial.sender,
            trial.recipient,
            body=TEXT.encode(),
            case_id=CASE + bytes(CASE_RANDOM_BYTES).hex(),
            cites=[ORDER.ref] * (trial.code is ErrorCode.UNKNOWN_CITATION),
            expires_at=NOW + ATTEMPT_LASTS,
        )
        for trial in made
    ]
    refused = {"detail": "x" * MAX_DETAIL_CHARS, "field": "x" * MAX_FIELD_CHARS}
    said = [world.say(pb.MILESTONE_REFUSED, each, code=NOT_PERMITTED, **refused) for each in sent]
    receipts: list[pb.Receipt] = []
    for first in range(0, len(said), MAX_WEIGHT_A_BATCH):
        receipts += statement.issue(
            said[first : first + MAX_WEIGHT_A_BATCH], Address.of_node("ee"), world.signing_key("ee/node")
        )
    attempts = [
        selftest.TestAttempt(
            kind=trial.ban.kind,
            sender=trial.sender,
            recipient=trial.recipient,
            code=NOT_PERMITTED,
            envelope=each.envelope.SerializeToString(deterministic=True),
            receipt=b"" if trial.ban.sender else receipt.SerializeToString(deterministic=True),
        )
        for trial, each, receipt in zip(made, sent, receipts, strict=True)
    ]
    answer = selftest.TestReport(challenge=CHALLENGE, salt=ORDER.salt, attempts=attempts, calls=CALLS)
    codec.check(answer)
    body = answer.SerializeToString(deterministic=True)
    receive(world.send(ids.KIND_TEST_REPORT, exchange, registrar, body=body).envelope, Limits())


# What a report proves


def test_report_of_an_exchange_that_can_do_nothing_else_passes() -> None:
    checks = judged(report())
    assert [check for check in checks if not check.passed] == []
    names = [check.name for check in checks]
    assert len(names) == len(set(names)) == 3 + len(KINDS) + 1 + len(closed_methods())
    assert "cannot send a freeze-request" in names
    assert "cannot send an execution-report, but as an answer" in names


def at(kind: ids.Kind.ValueType, *, borrowed: bool = False) -> int:
    return next(
        number
        for number, trial in enumerate(TRIALS)
        if trial.ban.kind == kind and (trial.ban.sender is not None) is borrowed
    )


FREEZE = at(ids.KIND_FREEZE_REQUEST)
DRAFT = at(ids.KIND_DRAFT)
UNASKED = next(number for number, trial in enumerate(TRIALS) if trial.code is ErrorCode.UNKNOWN_CITATION)
FORGED = at(ids.KIND_DOMESTIC_ORDER, borrowed=True)


def sent_of(made: selftest.TestAttempt) -> Sent:
    raw = pb.SignedEnvelope.FromString(made.envelope)
    return Sent(raw, envelope.parse_header(raw), b"")


def resign(**changes: Any) -> Callable[[selftest.TestReport], None]:
    """Give an attempt another answer of a node."""

    def change(made: selftest.TestReport) -> None:
        fields = {"code": ErrorCode.NOT_PERMITTED, **changes}
        made.attempts[FREEZE].receipt = refusal(sent_of(made.attempts[FREEZE]), **fields)

    return change


def accepted(made: selftest.TestReport) -> None:
    said = world.say(pb.MILESTONE_ACCEPTED, sent_of(made.attempts[FREEZE]), "ee/node")
    (receipt,) = statement.issue([said], Address.of_node("ee"), world.signing_key("ee/node"))
    made.attempts[FREEZE].receipt = receipt.SerializeToString(deterministic=True)
    made.attempts[FREEZE].code = errors_pb2.ERROR_CODE_UNSPECIFIED


def left_out(number: int) -> Callable[[selftest.TestReport], None]:
    def change(made: selftest.TestReport) -> None:
        del made.attempts[number]

    return change


def replaced(**changes: Any) -> Callable[[selftest.TestReport], None]:
    def change(made: selftest.TestReport) -> None:
        made.attempts[FREEZE].CopyFrom(attempt(TRIALS[FREEZE], **changes))

    return change


def told_as(**changes: Any) -> Callable[[selftest.TestReport], None]:
    def change(made: selftest.TestReport) -> None:
        made.attempts[FREEZE].MergeFrom(selftest.TestAttempt(**changes))

    return change


def another_signature(made: selftest.TestReport) -> None:
    raw = pb.SignedEnvelope.FromString(made.attempts[FREEZE].envelope)
    raw.signatures[0].signature = bytes(64)
    sent = Sent(raw, envelope.parse_header(raw), b"")
    made.attempts[FREEZE].envelope = raw.SerializeToString(deterministic=True)
    made.attempts[FREEZE].receipt = refusal(sent, ErrorCode.NOT_PERMITTED)


def to_two(made: selftest.TestReport) -> None:
    """Refused, but for having two recipients."""
    trial = TRIALS[FREEZE]
    sent = world.send(trial.ban.kind, EXCHANGE, trial.recipient, "ee/fiu", case_id="TEST-1")
    made.attempts[FREEZE].envelope = sent.envelope.SerializeToString(deterministic=True)
    made.attempts[FREEZE].receipt = refusal(sent, ErrorCode.NOT_PERMITTED)


def swapped(made: selftest.TestReport) -> None:
    made.attempts[FREEZE].receipt = made.attempts[DRAFT].receipt


def no_receipt(made: selftest.TestReport) -> None:
    made.attempts[FREEZE].receipt = b""


def forgery_passed(made: selftest.TestReport) -> None:
    made.attempts[FORGED].code = errors_pb2.ERROR_CODE_UNSPECIFIED


def forgery_refused_later(made: selftest.TestReport) -> None:
    made.attempts[FORGED].code = errors_pb2.ERROR_CODE_BAD_SIGNATURE


def as_if_asked(made: selftest.TestReport) -> None:
    made.attempts[UNASKED].receipt = refusal(sent_of(made.attempts[UNASKED]), ErrorCode.NOT_PERMITTED)


SEND_FREEZE = ["cannot send a freeze-request"]
IN_NAMES = ["cannot write in another's name"]
LIES: dict[str, tuple[Callable[[selftest.TestReport], None], list[str]]] = {
    "leaves an attempt out": (left_out(FREEZE), SEND_FREEZE),
    "leaves a forgery out": (left_out(FORGED), IN_NAMES),
    "was let through": (accepted, SEND_FREEZE),
    "was refused by a later rule": (resign(code=ErrorCode.OUT_OF_ORDER), SEND_FREEZE),
    "shows another node's refusal": (resign(issuer="de/node"), SEND_FREEZE),
    "signs its node's refusal itself": (resign(key_of=EXCHANGE), SEND_FREEZE),
    "refuses itself": (resign(issuer=EXCHANGE), SEND_FREEZE),
    "shows a refusal of a copy": (resign(recipient=TRIALS[FREEZE].recipient), SEND_FREEZE),
    "shows a refusal of other bytes": (resign(fingerprint=bytes(32)), SEND_FREEZE),
    "shows a refusal of another attempt": (swapped, SEND_FREEZE),
    "shows no refusal": (no_receipt, SEND_FREEZE),
    "shows a refusal from before this test": (replaced(case_id="TEST-0"), SEND_FREEZE),
    "tells another recipient": (told_as(recipient="ee/fiu"), SEND_FREEZE),
    "never signed what it tried": (another_signature, SEND_FREEZE),
    "was refused for another fault": (to_two, SEND_FREEZE),
    "wrote in another's name and was let through": (forgery_passed, IN_NAMES),
    "was stopped by its bad signature alone": (forgery_refused_later, IN_NAMES),
}


@pytest.mark.parametrize(("change", "fails"), LIES.values(), ids=LIES)
def test_report_fails_of_an_exchange_that(change: Callable[[selftest.TestReport], None], fails: list[str]) -> None:
    made = report()
    change(made)
    assert failed(made) == fails


def test_attempt_to_write_to_a_node_is_wrong_and_raises_nothing() -> None:
    made = report()
    sent = world.send(ids.KIND_DRAFT, EXCHANGE, EXCHANGE, case_id="TEST-1")
    sent.header.recipients[0] = "ee/node"
    sent.envelope.header = sent.header.SerializeToString(deterministic=True)
    forged = envelope.countersign(sent.envelope, EXCHANGE, world.signing_key(EXCHANGE))
    sent.envelope.signatures[0].CopyFrom(forged)
    receipt = refusal(sent, ErrorCode.MALFORMED)
    raw = sent.envelope.SerializeToString(deterministic=True)
    made.attempts.add(kind=ids.KIND_DRAFT, sender=EXCHANGE, recipient="ee/node", envelope=raw, receipt=receipt)
    assert failed(made) == ["cannot send a draft"]
    made.attempts[-1].sender = "ee/node"
    assert failed(made) == IN_NAMES


def test_kind_that_is_told_otherwise_proves_nothing_of_either_kind() -> None:
    made = report()
    made.attempts[FREEZE].kind = ids.KIND_CLAIM
    assert failed(made) == ["cannot send a freeze-request", "cannot send a claim"]


def test_answer_that_nobody_asked_for_must_be_stopped_by_the_procedure() -> None:
    made = report()
    as_if_asked(made)
    assert failed(made) == ["cannot send an execution-report, but as an answer"]


def test_second_attempt_that_was_let_through_is_not_made_up_for_by_a_first_that_was_refused() -> None:
    made = report()
    made.attempts.add().CopyFrom(made.attempts[FREEZE])
    accepted(made)
    assert failed(made) == SEND_FREEZE


@pytest.mark.parametrize("name", ["challenge", "salt"])
def test_who_did_not_open_the_order_cannot_answer_it(name: str) -> None:
    made = report()
    setattr(made, name, bytes(32))
    assert failed(made) == ["receives and opens an order"]


def test_other_order_of_the_same_test_is_not_answered_by_it() -> None:
    checks = judge(order(body=body_of(bytes(32))).header, report(), DIRECTORY, allowed)
    assert [check.name for check in checks if not check.passed] == ["receives and opens an order"]


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({"code": errors_pb2.ERROR_CODE_UNSPECIFIED}, False),
        ({"code": errors_pb2.ERROR_CODE_NOT_FOUND}, False),
        ({"code": errors_pb2.ERROR_CODE_MALFORMED}, False),
        ({"not_served": True}, True),
        ({"code": NOT_PERMITTED}, True),
    ],
)
def test_call_must_be_refused_for_who_calls(change: dict[str, Any], passes: bool) -> None:
    made = report()
    (number,) = (n for n, call in enumerate(CALLS) if call.method == "rogatory.v1.Trace/GetTrace")
    made.calls[number].CopyFrom(selftest.TestCall(method=CALLS[number].method, **change))
    assert failed(made) == ([] if passes else ["cannot call Trace/GetTrace"])


def test_call_that_was_not_tried_fails() -> None:
    made = report()
    del made.calls[:]
    assert failed(made) == [f"cannot call {full_name(m).removeprefix('rogatory.v1.')}" for m in closed_methods()]


def test_exchange_with_another_role_is_no_restricted_client() -> None:
    both = world.participant(EXCHANGE, Role.EXCHANGE, Role.COURT)
    directory = world.make_directory((world.everybody() | {EXCHANGE: both}).values())
    assert not restrictions.is_restricted(directory, HERE)
    assert failed(report(), directory) == ["is an exchange and nothing else"]


def test_registrar_whose_directory_is_newer_asks_for_what_is_new() -> None:
    """Who is chosen for a role does not matter, but that somebody is."""
    renamed = world.participant("ee/a-court", Role.COURT)
    directory = world.make_directory([*world.everybody().values(), renamed])
    assert failed(report(), directory) == []
    old = world.make_directory([p for p in world.everybody().values() if Role.AUDITOR not in p.roles])
    made = report()
    del made.attempts[:]
    made.attempts.extend(attempt(trial) for trial in trials(old, HERE, allowed))
    assert failed(made, old) == []
    new = {trial.ban.kind for trial in TRIALS if trial.ban.recipient is Role.AUDITOR}
    assert new > SENDS
    assert len(failed(made)) == len(new)


def test_key_of_a_node_that_was_not_valid_then_proves_nothing() -> None:
    keys = (world.signing_entry("ee/node", not_after=NOW - timedelta(days=1)),)
    nodes = [world.node_entry(code) for code in world.NODES]
    nodes[0] = nodes[0].model_copy(update={"signing_keys": keys})
    assert len(failed(report(), world.make_directory(nodes=nodes))) == len(KINDS)


def test_garbage_in_a_report_is_wrong_and_raises_nothing() -> None:
    made = report()
    made.attempts[FREEZE].envelope = b"\xff"
    made.attempts[DRAFT].receipt = b"\xff"
    assert failed(made) == ["cannot send a draft", *SEND_FREEZE]
