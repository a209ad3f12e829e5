"""Which cases a participant's own disk tells of; the order and the proof of what lies there decide."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids

from clients.cases import Matter
from clients.known_cases import KnownCases
from clients.maildir import Arrival, DiskFailure, Folder, Maildir
from clients.next_steps import lawful_next
from gateway import statement
from gateway.clock import to_micros
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.rules import State
from tests import world
from tests.world import CENTRAL, FOREIGN_CENTRAL, FOREIGN_COURT, INVESTIGATOR, NOW, TREATY, Sent

MINUTE = timedelta(minutes=1)
GRANTED: dict[str, Any] = {
    "outcome": ids.OUTCOME_GRANTED,
    "measures": world.MEASURES,
    "dual_criminality": ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED,
}


class Disk:
    """The memory of one participant."""

    def __init__(self, folder: Path, me: str) -> None:
        self.me, self.home = me, folder / "home"
        self.maildir = Maildir(self.home)

    def say(self, sent: Sent, milestone: pb.Milestone.ValueType, issuer: str, minutes: int = 0, **fields: Any) -> None:
        said = world.say(milestone, sent, issuer, at_us=to_micros(NOW + minutes * MINUTE), **fields)
        issuer_key = world.signing_key(issuer)
        (receipt,) = statement.issue([said], Address.parse(issuer, allow_node=True), issuer_key)
        self.maildir.keep_receipts([(sent.ref, receipt)])

    def send(self, sent: Sent, minutes: int = 0) -> Sent:
        """Hand something in, which our node accepts."""
        self.maildir.keep_sent([sent.envelope])
        self.say(sent, pb.MILESTONE_ACCEPTED, f"{self.me[:2]}/node", minutes)
        return sent

    def receive(self, sent: Sent, folder: Folder = Folder.NEW, minutes: int = 0) -> Sent:
        with self.maildir.collecting() as collector:
            collector.put([Arrival(sent.envelope, sent.ref, sent.fingerprint, folder)])
        (path,) = self.maildir.folder(folder).glob(f"*{sent.fingerprint.hex()}")
        at = (NOW + minutes * MINUTE).timestamp()
        os.utime(path, (at, at))
        return sent

    @property
    def known(self) -> KnownCases:
        return KnownCases(self.maildir, world.DIRECTORY, self.me)

    def matter(self, sent: Sent) -> Matter | None:
        return self.known.case(sent.header.case_id).matter((sent.ref.sender, sent.ref.id))

    def state(self, sent: Sent) -> State | None:
        matter = self.matter(sent)
        return None if matter is None else matter.state


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path, INVESTIGATOR)


@pytest.fixture
def theirs(tmp_path: Path) -> Disk:
    return Disk(tmp_path, FOREIGN_CENTRAL)


def answer(kind: ids.Kind.ValueType, request: Sent, minutes: int = 0, **fields: Any) -> Sent:
    return world.send(
        kind,
        request.header.recipients[0],
        request.header.sender,
        cites=[request.ref],
        now=NOW + minutes * MINUTE,
        **{"instrument": TREATY} | fields,
    )


def test_request_and_its_answer_lie_in_the_folders_and_the_case_is_told_from_them(disk: Disk) -> None:
    request = disk.send(world.freeze_request())
    disk.receive(answer(ids.KIND_ACKNOWLEDGEMENT, request, 1), Folder.DONE, minutes=2)
    disk.receive(answer(ids.KIND_REVIEW_DECISION, request, 3, **GRANTED), minutes=4)
    matter = disk.matter(request)
    assert matter is not None
    assert (matter.state, matter.turn) == (State.GRANTED, FOREIGN_CENTRAL)
    assert [event.state for event in matter.history if isinstance(event.what, pb.Header)] == [
        State.ASKED,
        State.ACKNOWLEDGED,
        State.GRANTED,
    ]


def test_what_our_node_never_answered_is_no_step_and_is_named(disk: Disk) -> None:
    request = world.freeze_request()
    disk.maildir.keep_sent([request.envelope])
    case = disk.known.case("EE-1")
    assert case.matters == []
    assert list(case.unsure) == [request.header]


def test_what_our_node_refused_did_not_happen(disk: Disk) -> None:
    request = world.freeze_request()
    disk.maildir.keep_sent([request.envelope])
    disk.say(request, pb.MILESTONE_REFUSED, "ee/node", code=errors_pb2.ERROR_CODE_OUT_OF_ORDER)
    case = disk.known.case("EE-1")
    assert (case.matters, case.unsure) == ([], ())


def test_what_was_refused_and_accepted_afterwards_happened(disk: Disk) -> None:
    request = world.freeze_request()
    disk.say(request, pb.MILESTONE_REFUSED, "ee/node", code=errors_pb2.ERROR_CODE_OUT_OF_ORDER)
    disk.send(request, minutes=1)
    assert disk.state(request) is State.ASKED
    disk.say(request, pb.MILESTONE_REFUSED, "de/node", 2, code=errors_pb2.ERROR_CODE_NO_LEGAL_BASIS)
    assert disk.state(request) is State.UNDELIVERED


REJECTIONS = {
    "it could not be opened": (errors_pb2.ERROR_CODE_CANNOT_OPEN, State.UNDELIVERED),
    "it contradicts its header": (errors_pb2.ERROR_CODE_CONTENT_MISMATCH, State.UNDELIVERED),
    "nobody can tell who signed it": (errors_pb2.ERROR_CODE_BAD_SIGNATURE, None),
    "another bears its name": (errors_pb2.ERROR_CODE_ID_CONFLICT, None),
}


@pytest.mark.parametrize(("code", "state"), REJECTIONS.values(), ids=REJECTIONS)
def test_what_was_rejected_is_known_only_if_its_sender_is(
    theirs: Disk, code: errors_pb2.ErrorCode.ValueType, state: State | None
) -> None:
    request = theirs.receive(world.freeze_request(), Folder.REJECTED)
    theirs.say(request, pb.MILESTONE_REJECTED, FOREIGN_CENTRAL, recipient=FOREIGN_CENTRAL, code=code)
    assert theirs.state(request) is state


def test_countersigned_request_waits_to_be_handed_in(disk: Disk) -> None:
    request = world.freeze_request()
    draft = disk.send(world.send(ids.KIND_DRAFT, INVESTIGATOR, CENTRAL, measures=world.MEASURES))
    disk.maildir.keep_draft(draft.ref, request.envelope)
    assert disk.known.case("EE-1").unsent == []
    disk.receive(answer(ids.KIND_COUNTERSIGNATURE, draft, 1, instrument="", outcome=ids.OUTCOME_GRANTED))
    (waiting,) = disk.known.case("EE-1").unsent
    assert waiting == request.header
    disk.send(request, minutes=2)
    assert disk.known.case("EE-1").unsent == []


def test_connected_cases_are_one_under_either_id_and_another_is_none(theirs: Disk) -> None:
    request = theirs.receive(world.freeze_request())
    referral = world.send(
        ids.KIND_REVIEW_REFERRAL, FOREIGN_CENTRAL, FOREIGN_COURT, cites=[request.ref], case_id="DE-7", now=NOW + MINUTE
    )
    theirs.send(referral, minutes=1)
    theirs.receive(world.freeze_request(case_id="EE-2"))
    for name in ("EE-1", "DE-7"):
        case = theirs.known.case(name)
        assert case.case_ids == ["EE-1", "DE-7"]
        assert [matter.kind for matter in case.matters] == [ids.KIND_FREEZE_REQUEST, ids.KIND_REVIEW_REFERRAL]
    with pytest.raises(Refusal) as caught:
        theirs.known.case("EE-3")
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_cases_that_wait_for_somebody_come_first_and_the_newest_of_them(disk: Disk) -> None:
    over = disk.send(world.freeze_request(case_id="over"), minutes=9)
    disk.say(over, pb.MILESTONE_REFUSED, "de/node", 9, code=errors_pb2.ERROR_CODE_NO_LEGAL_BASIS)
    for minutes, name in enumerate(("old", "new")):
        disk.send(world.freeze_request(case_id=name), minutes)
    assert [case.case_ids for case in disk.known.cases()] == [["new"], ["old"], ["over"]]


def test_what_came_from_home_counts_from_when_it_was_made_however_late_it_was_fetched(tmp_path: Path) -> None:
    court = Disk(tmp_path, FOREIGN_COURT)
    scope: dict[str, Any] = {"measures": world.MEASURES, "case_id": "DE-7"}
    unseen = world.freeze_request().ref
    referral = court.receive(
        world.send(ids.KIND_REVIEW_REFERRAL, FOREIGN_CENTRAL, FOREIGN_COURT, cites=[unseen], **scope)
    )
    asked = world.send(
        ids.KIND_CLARIFICATION_REQUEST,
        FOREIGN_COURT,
        FOREIGN_CENTRAL,
        cites=[referral.ref],
        case_id="DE-7",
        now=NOW + MINUTE,
    )
    court.send(asked, minutes=1)
    told = world.send(
        ids.KIND_CLARIFICATION, FOREIGN_CENTRAL, FOREIGN_COURT, cites=[asked.ref], case_id="DE-7", now=NOW + 2 * MINUTE
    )
    decision = world.send(
        ids.KIND_REVIEW_DECISION,
        FOREIGN_COURT,
        FOREIGN_CENTRAL,
        cites=[referral.ref],
        now=NOW + 3 * MINUTE,
        **scope | GRANTED,
    )
    court.send(decision, minutes=3)
    court.receive(told, minutes=60)
    assert court.state(referral) is State.GRANTED


def test_what_came_before_the_folder_was_copied_counts_from_when_it_came(theirs: Disk) -> None:
    request = theirs.receive(world.freeze_request(), minutes=1000)  # as old as its copy
    theirs.say(request, pb.MILESTONE_OPENED, FOREIGN_CENTRAL, 2, recipient=FOREIGN_CENTRAL)
    matter = theirs.matter(request)
    assert matter is not None
    assert matter.history[0].at_us == to_micros(NOW + 2 * MINUTE)


def test_payloads_are_not_read(disk: Disk) -> None:
    request = disk.send(world.freeze_request(body=bytes(1 << 20), case_id="C" * 64))
    (path,) = (disk.home / "sent").iterdir()
    path.write_bytes(path.read_bytes()[: 1 << 13])
    assert disk.state(request) is State.ASKED


@pytest.mark.parametrize(
    "content", [b"", b"\x0a", b"\x0a\xff\xff\xff\xff", b"\x0a\x05abc", b"\x0a\x02\xff\xff", b"\x12\x00"]
)
def test_damaged_file_is_told_of(disk: Disk, content: bytes) -> None:
    disk.send(world.freeze_request())
    (path,) = (disk.home / "sent").iterdir()
    path.write_bytes(content)
    with pytest.raises(DiskFailure) as caught:
        assert disk.known.cases()
    assert caught.value.code is ErrorCode.STORE


def test_lawful_next_is_told_from_the_disk(theirs: Disk) -> None:
    request = theirs.receive(world.freeze_request())
    steps = [step for step in lawful_next(theirs.known.case("EE-1"), NOW) if step.cites == request.ref]
    assert {step.kind for step in steps} == {
        ids.KIND_ACKNOWLEDGEMENT,
        ids.KIND_CLARIFICATION_REQUEST,
        ids.KIND_DELAY_NOTICE,
        ids.KIND_FORWARDING,
        ids.KIND_REVIEW_REFERRAL,
        ids.KIND_GRIEVANCE,
    }
