"""What is taken in from a node is taken in once, whatever the node sends and wherever the power goes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox

from clients import maildir as memory
from clients.intake import Faulty, Intake, Item, Received, Secrets
from clients.maildir import Arrival, Folder, Maildir
from gateway import statement
from gateway.directory import Directory
from gateway.errors import ErrorCode
from gateway.formats import documents
from gateway.identity import Address
from tests import paperwork, world
from tests.errors import raises
from tests.world import FOREIGN_CENTRAL, NOW, Sent

UNKNOWN_FIELD = b"\xfa\x3f\x01x"
"""Field 1023."""


class Desk:
    """One participant with its memory, who may be killed at any time."""

    def __init__(self, home: Path) -> None:
        self.home, self.directory = home, world.DIRECTORY
        self._secrets = Secrets(
            Address.parse(FOREIGN_CENTRAL),
            world.signing_key(FOREIGN_CENTRAL),
            (world.sealing_key(FOREIGN_CENTRAL),),
        )

    def take_in(self, *items: mailbox.Item) -> tuple[list[mailbox.Acknowledgement], list[Item]]:
        """Take in what comes, as a process that has just begun."""
        kept = Maildir(self.home)
        with kept.collecting() as collector:
            return Intake(self._secrets, self.directory, lambda: NOW, kept, collector).take_in(items)


def item(sent: Sent) -> mailbox.Item:
    return mailbox.Item(delivery_id=1, envelope=sent.envelope)


def probe(sent: Sent) -> mailbox.Item:
    return mailbox.Item(delivery_id=1, probe=mailbox.Probe(fingerprint=sent.fingerprint))


def said(acks: Sequence[mailbox.Acknowledgement]) -> pb.Statement:
    (ack,) = acks
    return statement.verify(ack.statement, world.DIRECTORY.signing_key)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "home")


def request() -> Sent:
    """Return a freeze request with a document that can be read."""
    return world.freeze_request(
        body=documents.encode(paperwork.request()),
        measures=(paperwork.BLOCK,),
        data_classes=(paperwork.TRANSACTIONAL,),
    )


def without(directory: Directory, address: str) -> Directory:
    """Return what somebody knows who has not heard of a participant yet."""
    left = tuple(each for each in directory.participants if str(each.address) != address)
    # Not a copy, which would know by heart whom it knew.
    return Directory(**{name: getattr(directory, name) for name in Directory.model_fields} | {"participants": left})


def rejected_without_a_word(desk: Desk, sent: Sent) -> None:
    """Let the power go after an envelope was put into rejected/ and before anything was signed about it."""
    with Maildir(desk.home).collecting() as collector:
        collector.put([Arrival(sent.envelope, sent.ref, sent.fingerprint, Folder.REJECTED)])


@pytest.mark.parametrize("again", [item, probe])
def test_opened_is_never_said_of_what_no_program_is_given(desk: Desk, again: Callable[[Sent], mailbox.Item]) -> None:
    """It was rejected by a directory that knew too little, and what we know after the power cut is more."""
    sent = request()
    rejected_without_a_word(desk, sent)
    acks, shown = desk.take_in(again(sent))
    assert said(acks).milestone == pb.MILESTONE_OPENED
    assert [type(each) for each in shown] == [Received]
    assert [kept.envelope for kept in Maildir(desk.home).take()] == [sent.envelope]
    # And once: it is held from now on.
    acks, shown = desk.take_in(item(sent))
    assert (said(acks).milestone, shown) == (pb.MILESTONE_OPENED, [])


def test_what_is_still_wrong_after_a_power_cut_stays_rejected(desk: Desk) -> None:
    sent = request()
    rejected_without_a_word(desk, sent)
    desk.directory = without(desk.directory, sent.header.sender)
    acks, shown = desk.take_in(item(sent))
    assert said(acks).milestone == pb.MILESTONE_REJECTED
    assert [type(each) for each in shown] == [Faulty]
    assert list(Maildir(desk.home).take()) == []


def test_rejected_is_never_said_of_what_a_program_may_have_dealt_with(desk: Desk) -> None:
    """It was opened, the power went before we signed so, and its sender's key has gone since."""
    sent = request()
    with Maildir(desk.home).collecting() as collector:
        collector.put([Arrival(sent.envelope, sent.ref, sent.fingerprint, Folder.NEW)])
    Maildir(desk.home).done(sent.ref, sent.fingerprint)
    desk.directory = without(desk.directory, sent.header.sender)
    acks, shown = desk.take_in(item(sent))
    assert (said(acks).milestone, shown) == (pb.MILESTONE_OPENED, [])


def test_malformed_envelope_does_not_pass_for_a_damaged_disk(desk: Desk) -> None:
    sent = request()
    raw = pb.SignedEnvelope.FromString(sent.envelope.SerializeToString() + UNKNOWN_FIELD)
    acks, shown = desk.take_in(mailbox.Item(delivery_id=1, envelope=raw))
    assert ErrorCode(said(acks).code) is ErrorCode.MALFORMED
    acks, shown = desk.take_in(probe(sent))
    assert (ErrorCode(said(acks).code), shown) == (ErrorCode.MALFORMED, [])


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Path]]:
    """Let no folder be synced, as if the process were killed before; once called, tell which are."""
    synced = list[Path]()

    def kill(_folder: Path) -> None:
        raise OSError("killed")

    def again() -> list[Path]:
        monkeypatch.setattr(memory, "sync_folder", synced.append)
        return synced

    monkeypatch.setattr(memory, "sync_folder", kill)
    return again


def test_what_a_killed_process_wrote_is_synced_before_it_is_acknowledged(
    desk: Desk, killed: Callable[[], list[Path]]
) -> None:
    """Killed between rename and fsync: the next process sees the file, and a power cut may still take it."""
    sent = request()
    with raises(ErrorCode.STORE):
        Maildir(desk.home).put([Arrival(sent.envelope, sent.ref, sent.fingerprint, Folder.NEW)])
    synced = killed()
    acks, _ = desk.take_in(item(sent))
    assert said(acks).milestone == pb.MILESTONE_OPENED
    assert desk.home / Folder.NEW.value in synced


def test_receipt_that_a_killed_process_wrote_is_synced_before_it_is_acknowledged(
    desk: Desk, killed: Callable[[], list[Path]]
) -> None:
    sent = request()
    accepted = world.say(pb.MILESTONE_ACCEPTED, sent)
    (receipt,) = statement.issue([accepted], Address.of_node("ee"), world.signing_key("ee/node"))
    with raises(ErrorCode.STORE):
        Maildir(desk.home).keep_receipts([(sent.ref, receipt)])
    synced = killed()
    assert Maildir(desk.home).keep_receipts([(sent.ref, receipt)]) == [False]
    assert {desk.home / "receipts", desk.home / "receipts" / memory.name_of(sent.ref)} <= {*synced}


def forgery(sent: Sent) -> pb.SignedEnvelope:
    """Return an envelope under the name of another, with a payload that its sender never signed."""
    made = pb.SignedEnvelope()
    made.CopyFrom(sent.envelope)
    made.sealed_payload = bytes(64)
    return made


def codes_said(desk: Desk, envelopes: Sequence[pb.SignedEnvelope], *, together: bool) -> list[int]:
    """Have envelopes handed out, in one response or each in its own; return the codes that we sign, 0 for OPENED."""
    items = [mailbox.Item(delivery_id=number, envelope=each) for number, each in enumerate(envelopes, 1)]
    acks = desk.take_in(*items)[0] if together else [desk.take_in(each)[0][0] for each in items]
    return [statement.verify(ack.statement, world.DIRECTORY.signing_key).code for ack in acks]


TOGETHER = pytest.mark.parametrize("together", [True, False], ids=["in one response", "one by one"])


@TOGETHER
def test_forgery_that_comes_first_does_not_make_the_true_envelope_a_conflict(desk: Desk, together: bool) -> None:
    """We would sign of an innocent sender that it used an id twice, and no program would see what it sent."""
    true = request()
    codes = codes_said(desk, [forgery(true), true.envelope], together=together)
    assert codes == [ErrorCode.BAD_SIGNATURE, 0]
    assert Maildir(desk.home).find(true.ref) == true.envelope


@TOGETHER
def test_sender_who_uses_an_id_twice_is_told_so_whatever_forgery_came_first(desk: Desk, together: bool) -> None:
    true, other = request(), pb.SignedEnvelope()
    other.CopyFrom(true.envelope)
    del other.signatures[1:]  # its sender signed it all the same
    assert other != true.envelope
    codes = codes_said(desk, [forgery(true), true.envelope, other], together=together)
    assert codes == [ErrorCode.BAD_SIGNATURE, 0, ErrorCode.ID_CONFLICT]
