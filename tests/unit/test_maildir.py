import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from clients.maildir import Arrival, DiskFailure, Folder, Maildir
from gateway import statement
from gateway.clock import to_micros
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address
from tests import durable, world
from tests.errors import raises
from tests.world import Sent


@pytest.fixture
def maildir(tmp_path: Path) -> Maildir:
    return Maildir(tmp_path / "home")


def arrival(sent: Sent, folder: Folder = Folder.NEW) -> Arrival:
    return Arrival(sent.envelope, sent.ref, sent.fingerprint, folder)


def put(maildir: Maildir, *sent: Sent, folder: Folder = Folder.NEW) -> None:
    with maildir.collecting() as collector:
        collector.put([arrival(each, folder) for each in sent])


def receipt(sent: Sent, milestone: pb.Milestone.ValueType = pb.MILESTONE_ACCEPTED) -> pb.Receipt:
    said = pb.Statement(
        envelope=sent.ref,
        fingerprint=sent.fingerprint,
        milestone=milestone,
        issuer="ee/node",
        at_us=to_micros(world.NOW),
    )
    return statement.issue([said], Address.of_node("ee"), world.signing_key("ee/node"))[0]


def test_collected_envelopes_are_taken_oldest_arrival_first_whatever_their_ids_say(
    maildir: Maildir, tmp_path: Path
) -> None:
    sent = [world.freeze_request() for _ in range(3)]
    for age, each in enumerate(reversed(sent)):
        put(maildir, each)
        (path,) = maildir.folder(Folder.NEW).glob(f"*{each.fingerprint.hex()}")
        os.utime(path, (age, age))
    assert [kept.envelope for kept in maildir.take()] == [each.envelope for each in reversed(sent)]


def test_what_is_done_is_not_taken_again_and_is_still_known(maildir: Maildir) -> None:
    sent = world.freeze_request()
    put(maildir, sent)
    maildir.done(sent.ref, sent.fingerprint)
    assert list(maildir.take()) == []
    assert maildir.find(sent.ref) == sent.envelope
    with maildir.collecting() as collector:
        assert collector.fingerprint(sent.ref) == sent.fingerprint
        assert collector.held(sent.fingerprint) == sent.ref


def test_what_another_deals_with_while_one_looks_keeps_nothing_else_from_being_taken(
    maildir: Maildir, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, sent = world.freeze_request(), world.freeze_request()
    put(maildir, taken, sent)
    listed = os.scandir

    def scandir(folder: Path) -> list[os.DirEntry[str]]:
        found = list(listed(folder))
        maildir.done(taken.ref, taken.fingerprint)
        return found

    monkeypatch.setattr(os, "scandir", scandir)
    assert [kept.envelope for kept in maildir.take()] == [sent.envelope]


def test_nothing_is_done_twice(maildir: Maildir) -> None:
    sent = world.freeze_request()
    put(maildir, sent)
    maildir.done(sent.ref, sent.fingerprint)
    with pytest.raises(Refusal) as caught:
        maildir.done(sent.ref, sent.fingerprint)
    assert caught.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize("folder", Folder)
def test_envelope_is_remembered_over_a_restart_wherever_it_lies(tmp_path: Path, folder: Folder) -> None:
    sent = world.freeze_request()
    put(Maildir(tmp_path / "home"), sent, folder=folder)
    again = Maildir(tmp_path / "home")
    with again.collecting() as collector:
        assert collector.held(sent.fingerprint) == sent.ref
    assert again.any_collected(sent.ref, sent.fingerprint) == sent.envelope


def test_loser_of_an_id_conflict_does_not_take_the_name(maildir: Maildir) -> None:
    first, second = world.freeze_request(), world.freeze_request()
    put(maildir, first)
    with maildir.collecting() as collector:
        collector.put([Arrival(second.envelope, first.ref, second.fingerprint, Folder.REJECTED)])
    with maildir.collecting() as collector:
        assert collector.fingerprint(first.ref) == first.fingerprint
        assert collector.held(second.fingerprint) == first.ref


def test_rejected_envelope_is_not_taken(maildir: Maildir) -> None:
    sent = world.freeze_request()
    put(maildir, sent, folder=Folder.REJECTED)
    assert list(maildir.take()) == []
    with pytest.raises(Refusal) as caught:
        maildir.find(sent.ref)
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_two_processes_cannot_collect_into_one_home(tmp_path: Path) -> None:
    first, second = Maildir(tmp_path / "home"), Maildir(tmp_path / "home")
    with first.collecting(), pytest.raises(Failure) as caught, second.collecting():
        pass
    assert caught.value.code is ErrorCode.UNAVAILABLE
    with second.collecting():
        pass


def test_file_system_that_knows_no_locks_is_not_taken_for_another_process(
    maildir: Maildir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(DiskFailure) as caught, maildir.collecting():
        pass
    assert caught.value.code is ErrorCode.STORE


def test_nobody_else_may_read_the_memory(maildir: Maildir, tmp_path: Path) -> None:
    sent = world.freeze_request()
    put(maildir, sent)
    maildir.keep_sent([sent.envelope])
    maildir.keep_receipts([(sent.ref, receipt(sent))])
    paths = [tmp_path / "home", *(tmp_path / "home").rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_damaged_file_is_a_failure_and_never_another_letter(maildir: Maildir) -> None:
    first, second = world.freeze_request(), world.freeze_request()
    put(maildir, first)
    (path,) = maildir.folder(Folder.NEW).iterdir()
    path.write_bytes(second.envelope.SerializeToString())
    with raises(ErrorCode.STORE):
        list(maildir.take())
    path.write_bytes(b"")
    with raises(ErrorCode.STORE):
        list(maildir.take())


def test_nothing_is_there_after_the_disk_failed_in_the_middle(
    maildir: Maildir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    sent = world.freeze_request()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFailure) as caught:
        put(maildir, sent)
    monkeypatch.undo()
    assert caught.value.code is ErrorCode.STORE
    assert [
        path for path in maildir.folder(Folder.NEW).parent.rglob("*") if path.is_file() and path.name != "collecting"
    ] == []
    with maildir.collecting() as collector:
        assert collector.held(sent.fingerprint) is None


def test_folder_is_synced_after_the_file_has_its_name(maildir: Maildir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a power cut after the acknowledgement could take the name away again."""
    with maildir.collecting() as collector:
        steps = durable.watched(monkeypatch, "rename")
        collector.put([arrival(world.freeze_request())])
    assert steps == ["file", "rename", "folder"]


def test_what_is_sent_is_on_the_disk_with_its_name_before_it_goes_the_first_time_and_again(
    maildir: Maildir, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [world.freeze_request().envelope]
    steps = durable.watched(monkeypatch, "rename")
    maildir.keep_sent(sent)
    assert steps == ["file", "rename", "folder"]
    # Whoever kept it may have been killed before its name was on the disk.
    maildir.keep_sent(sent)
    assert steps[3:] == ["folder"]


def test_what_lies_in_the_memory_is_on_the_disk_before_it_is_acknowledged_again(
    maildir: Maildir, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = durable.watched(monkeypatch, "rename")
    with maildir.collecting():
        assert steps == ["folder"] * len(Folder)


def test_retry_with_other_bytes_under_the_same_id_is_refused_before_it_is_sent(maildir: Maildir) -> None:
    sent = world.freeze_request()
    other = pb.SignedEnvelope()
    other.CopyFrom(sent.envelope)
    other.sealed_payload += b"x"
    assert maildir.keep_sent([sent.envelope]) == {}
    assert maildir.keep_sent([sent.envelope]) == {}
    assert {n: error.code for n, error in maildir.keep_sent([other]).items()} == {0: ErrorCode.ID_CONFLICT}
    assert maildir.sent(sent.ref) == sent.envelope


def test_what_must_not_be_handed_in_keeps_nothing_else_from_it(
    maildir: Maildir, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, nameless = world.freeze_request(), world.freeze_request(), pb.SignedEnvelope(header=b"?")
    other = pb.SignedEnvelope.FromString(first.envelope.SerializeToString() + b"\x1a\x01x")  # another payload
    steps = durable.watched(monkeypatch, "rename")
    refused = maildir.keep_sent([first.envelope, other, nameless, second.envelope])
    assert {n: error.code for n, error in refused.items()} == {1: ErrorCode.ID_CONFLICT, 2: ErrorCode.MALFORMED}
    assert [maildir.sent(each.ref) for each in (first, second)] == [first.envelope, second.envelope]
    assert steps == ["file", "rename"] * 2 + ["folder"]


def test_same_receipt_is_kept_once_and_others_beside_it(maildir: Maildir) -> None:
    sent = world.freeze_request()
    accepted, delivered = receipt(sent), receipt(sent, pb.MILESTONE_DELIVERED)
    assert maildir.keep_receipts([(sent.ref, accepted), (sent.ref, accepted), (sent.ref, delivered)]) == [
        True,
        False,
        True,
    ]
    assert maildir.keep_receipts([(sent.ref, delivered)]) == [False]
    assert len(maildir.receipts(sent.ref)) == 2


def test_envelope_without_receipts_has_none(maildir: Maildir) -> None:
    assert maildir.receipts(world.freeze_request().ref) == []


def test_request_waits_under_the_name_of_its_draft(maildir: Maildir) -> None:
    request, draft = world.freeze_request(), world.freeze_request()
    maildir.keep_draft(draft.ref, request.envelope)
    assert maildir.draft(draft.ref) == request.envelope
    assert maildir.draft(request.ref) is None


@pytest.mark.parametrize(
    "ref",
    [
        pytest.param(ids.EnvelopeRef(sender="ee/../../etc", id="x"), id="a way out"),
        pytest.param(ids.EnvelopeRef(sender="ee/prosecutor", id="../../../etc/passwd"), id="a way out in the id"),
        pytest.param(ids.EnvelopeRef(), id="nothing"),
    ],
)
def test_name_that_is_a_path_reaches_no_file(maildir: Maildir, ref: ids.EnvelopeRef) -> None:
    with pytest.raises(Refusal) as caught:
        maildir.sent(ref)
    assert caught.value.code is ErrorCode.MALFORMED


def test_strange_file_in_the_memory_stops_collecting(maildir: Maildir) -> None:
    (maildir.folder(Folder.DONE) / "notes.txt").write_text("hello")
    with raises(ErrorCode.STORE), maildir.collecting():
        pass


def test_damaged_file_holds_up_no_other_and_is_told_behind_them(maildir: Maildir) -> None:
    sent = [world.freeze_request() for _ in range(3)]
    for age, each in enumerate(sent):
        put(maildir, each)
        (path,) = maildir.folder(Folder.NEW).glob(f"*{each.fingerprint.hex()}")
        if age == 0:
            path.write_bytes(b"x")
        os.utime(path, (age, age))
    taken = maildir.take()
    assert [next(taken).envelope, next(taken).envelope] == [each.envelope for each in sent[1:]]
    with pytest.raises(DiskFailure) as caught:
        next(taken)
    assert caught.value.code is ErrorCode.STORE


NAMED, PRINTED = "ee.court.{id}", "ee.court.{id}.{print}"


@pytest.mark.parametrize(
    ("folder", "name"),
    [(folder, name) for folder in ("new", "done", "rejected") for name in (".DS_Store", NAMED, f"{PRINTED}.bak")]
    + [(folder, name) for folder in ("sent", "drafts") for name in (".DS_Store", PRINTED, f"{NAMED}.bak")],
)
def test_strange_file_in_the_memory_is_named_and_never_taken_for_an_envelope(
    maildir: Maildir, tmp_path: Path, folder: str, name: str
) -> None:
    sent = world.freeze_request()
    path = tmp_path / "home" / folder / name.format(id=sent.ref.id, print=sent.fingerprint.hex())
    path.write_bytes(sent.envelope.SerializeToString(deterministic=True))
    looks: dict[str, list[Callable[[], object]]] = {
        "sent": [lambda: [*maildir.glimpses_of_sent()], maildir.names_of_sent],
        "drafts": [lambda: [*maildir.glimpses_of_drafts()]],
    }
    collected = [lambda: [*maildir.glimpses(Folder(folder))], lambda: maildir.names(Folder(folder))]
    for look in looks.get(folder, collected):
        with pytest.raises(DiskFailure) as caught:
            look()
        assert f"{folder}/{path.name}" in caught.value.detail


def test_home_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with raises(ErrorCode.STORE):
        Maildir(tmp_path / "file")
