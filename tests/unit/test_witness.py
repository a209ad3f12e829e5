"""What a witness cosigns and refuses, each attack by who tries what; and how many witnesses are enough."""

from base64 import b64encode
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from gateway import note, witness
from gateway.directory import Directory, FederationList, Status, WitnessEntry
from gateway.errors import ErrorCode, Refusal
from gateway.note import Note
from gateway.signer import KeySigner
from gateway.witness import Alarm, Request, Witnessed
from tests import world
from tests.witnessed import ORIGIN, Log
from tests.world import NOW

AT = int(NOW.timestamp())
KEY = world.signing_key("ee/node")
LOG = Log(KEY)
REWRITTEN = Log(KEY, name="other")
COURT = SigningKey(bytes(range(32)))
DIRECTORY = world.make_directory().model_copy(
    update={
        "cosignatures": 2,
        "witnesses": (
            WitnessEntry(name="court.example/w1", public=bytes(COURT.verify_key), url="https://court.example"),
        ),
    }
)
KEYS = witness.keys_of(DIRECTORY, NOW)
# Where the older tree is one whole part of the newer, and where it is not.
SIZES = [(5, 9), (8, 13), (6, 7), (1, 2), (200, 255)]


def cosigned(log: Log, size: int) -> Witnessed:
    return witness.read(log.request(0, size), KEYS)


def judge(request: Request, last: Witnessed | None, *, by_log: bool = False) -> Witnessed | None:
    return witness.judge(request, witness.read(request, KEYS), last, by_log=by_log)


def refused(request: Request, last: Witnessed | None, *, by_log: bool = False) -> Refusal:
    with pytest.raises(Refusal) as caught:
        judge(request, last, by_log=by_log)
    return caught.value


def alarmed(request: Request, last: Witnessed, *, by_log: bool = False) -> witness.Evidence:
    error = refused(request, last, by_log=by_log)
    assert isinstance(error, Alarm)
    return error.evidence


def test_first_checkpoint_is_taken_as_it_is() -> None:
    found = judge(LOG.request(0, 7), None)
    assert found == Witnessed(LOG.checkpoint(7), LOG.note(7))


@pytest.mark.parametrize(("old", "size"), SIZES)
def test_log_that_only_grew_is_cosigned(old: int, size: int) -> None:
    assert judge(LOG.request(old, size), cosigned(LOG, old)) == cosigned(LOG, size)
    assert judge(LOG.request(size, size), cosigned(LOG, size)) == cosigned(LOG, size)


@pytest.mark.parametrize("times", [2, note.MAX_SIGNATURES])
def test_stranger_who_repeats_a_logs_line_under_its_fork_has_no_news(times: int) -> None:
    """Else whoever holds one fork fills the place that there is for all of a log's."""
    request, last = REWRITTEN.request(7, 7), cosigned(LOG, 7)
    found = note.parse(request.note)
    again = replace(request, note=bytes(Note(found.text, found.signatures * times)))
    assert alarmed(again, last).digest == alarmed(request, last).digest


@pytest.mark.parametrize(("held", "said"), [(5, 0), (5, 4), (5, 6), (0, 6)])
def test_who_says_another_old_size_is_told_the_one_that_was_cosigned(held: int, said: int) -> None:
    assert judge(LOG.request(said, 9), cosigned(LOG, held) if held else None) is None


@pytest.mark.parametrize("by_log", [False, True])
@pytest.mark.parametrize("said", [0, 5, 7])
def test_log_shows_two_witnesses_two_roots_of_one_size(said: int, by_log: bool) -> None:
    evidence = alarmed(REWRITTEN.request(said, 7), cosigned(LOG, 7), by_log=by_log)
    assert evidence.code is ErrorCode.LOG_FORKED
    assert (evidence.held.note, evidence.brought.note) == (LOG.note(7), REWRITTEN.note(7))


@pytest.mark.parametrize(("old", "size"), SIZES)
def test_log_rewrites_its_entries_and_proves_the_new_ones(old: int, size: int) -> None:
    evidence = alarmed(REWRITTEN.request(old, size), cosigned(LOG, old), by_log=True)
    assert evidence.code is ErrorCode.LOG_FORKED
    assert evidence.proof == REWRITTEN.proof(old, size)


def test_proof_of_the_rewritten_log_convicts_it_whoever_brings_it() -> None:
    assert alarmed(REWRITTEN.request(5, 9), cosigned(LOG, 5)).code is ErrorCode.LOG_FORKED


def test_nobody_raises_an_alarm_about_a_log_with_its_checkpoint_and_a_bad_proof() -> None:
    good = LOG.request(5, 9)
    for proof in (
        (),
        good.proof[1:],
        (*good.proof, bytes(32)),
        (bytes(32), *good.proof[1:]),
        tuple(reversed(good.proof)),
        REWRITTEN.proof(5, 9),
    ):
        error = refused(replace(good, proof=proof), cosigned(LOG, 5))
        assert not isinstance(error, Alarm)
        assert error.code is ErrorCode.BAD_LOG_PROOF
    # Of eight entries in thirteen the proof names no root: what is wrong cannot be told from what is forged.
    assert refused(REWRITTEN.request(8, 13), cosigned(LOG, 8)).code is ErrorCode.BAD_LOG_PROOF
    # Nor does it help to put the right root, or any hash, first.
    for first in (LOG.checkpoint(8).root, bytes(32)):
        bad = replace(LOG.request(8, 13), proof=(first, *LOG.proof(8, 13)))
        assert refused(bad, cosigned(LOG, 8)).code is ErrorCode.BAD_LOG_PROOF


@pytest.mark.parametrize(("old", "size"), [(8, 13), (1, 2), (128, 200)])
def test_proof_that_names_the_other_root_of_a_whole_part_convicts_the_log(old: int, size: int) -> None:
    request = replace(REWRITTEN.request(old, size), proof=led(old, size))
    evidence = alarmed(request, cosigned(LOG, old))
    assert evidence.code is ErrorCode.LOG_FORKED
    assert evidence.is_proof
    assert not replace(evidence, proof=REWRITTEN.proof(old, size)).is_proof


@pytest.mark.parametrize(("old", "size"), SIZES)
def test_witness_that_holds_more_is_convinced_by_an_older_checkpoint_and_a_proof(old: int, size: int) -> None:
    held, proof = cosigned(LOG, size), led(old, size, LOG)
    evidence = alarmed(replace(REWRITTEN.request(size, old), proof=proof), held)
    assert (evidence.code, evidence.held, evidence.is_proof) == (ErrorCode.LOG_FORKED, held, True)
    # Not by what is of that log, nor by what is nothing.
    for request in (LOG.request(size, old), REWRITTEN.request(size, old)):
        for bad in (LOG.proof(old, size), REWRITTEN.proof(old, size), (), (bytes(32),) * 3):
            if request.note != REWRITTEN.note(old) or bad != proof:
                assert refused(replace(request, proof=bad), held).code is ErrorCode.BAD_INPUT


def led(old: int, size: int, log: Log = REWRITTEN) -> tuple[bytes, ...]:
    """Return a proof that names the older tree, also where that is one whole part of the newer."""
    whole = old & old - 1 == 0
    return (*([log.checkpoint(old).root] if whole else []), *log.proof(old, size))


@given(st.integers(1, 60), st.integers(0, 60), st.lists(st.binary(min_size=32, max_size=32), max_size=8))
def test_no_proof_makes_an_honest_log_a_forked_one(old: int, more: int, proof: list[bytes]) -> None:
    request = replace(LOG.request(old, old + more), proof=tuple(proof))
    older = replace(LOG.request(old + more, old), proof=tuple(proof))
    for each, last in ((request, old), (older, old + more)):
        try:
            judge(each, cosigned(LOG, last))
        except Refusal as error:
            if error.code not in {ErrorCode.BAD_LOG_PROOF, ErrorCode.BAD_INPUT}:
                raise


@pytest.mark.parametrize("over", ["", "something of its own\n", "\u2014 somebody AAAAAAAA\n"])
def test_witness_that_cosigns_more_than_it_was_brought_has_not_cosigned_it(over: str) -> None:
    """Kept beside the checkpoint, its line would spoil that for whoever verifies it."""
    key, brought = world.signing_key("de/node"), LOG.checkpoint(7)
    verifier = note.Verifier("w.test/w1", bytes(key.verify_key), note.Algorithm.COSIGNATURE)
    text = f"{brought}\n{over}" if over else str(brought)
    line = note.cosign(text, verifier.name, KeySigner(key), AT)
    answer = (f"{over}\n{line}" if over else str(line)).encode()
    if not over:
        assert witness.cosignatures(brought, answer, [verifier]) == (line,)
        return
    assert note.verify(note.parse(f"{brought}\n".encode() + answer), [verifier])  # as it is, it holds
    with pytest.raises(Refusal) as caught:
        witness.cosignatures(brought, answer, [verifier])
    assert caught.value.code is ErrorCode.BAD_SIGNATURE


def test_first_checkpoint_comes_without_a_proof() -> None:
    assert refused(replace(LOG.request(0, 7), proof=(bytes(32),)), None).code is ErrorCode.BAD_LOG_PROOF


def test_log_says_itself_that_it_is_smaller_than_what_was_cosigned() -> None:
    evidence = alarmed(LOG.request(9, 5), cosigned(LOG, 9), by_log=True)
    assert evidence.code is ErrorCode.LOG_ROLLED_BACK
    assert (evidence.held.note, evidence.brought.note) == (LOG.note(9), LOG.note(5))


@pytest.mark.parametrize("held", [5, 0])
def test_log_that_claims_more_than_was_cosigned_and_shows_less_is_not_said_to_have_lost_anything(held: int) -> None:
    error = refused(LOG.request(9, 7), cosigned(LOG, held) if held else None, by_log=True)
    assert not isinstance(error, Alarm)
    assert error.code is ErrorCode.BAD_INPUT


def test_old_request_that_is_sent_again_gets_no_cosignature_and_no_alarm() -> None:
    assert judge(LOG.request(3, 5), cosigned(LOG, 9), by_log=True) is None
    # Somebody else may have kept it, and add that he knows.
    error = refused(LOG.request(9, 5), cosigned(LOG, 9))
    assert not isinstance(error, Alarm)
    assert error.code is ErrorCode.BAD_INPUT


@pytest.mark.parametrize(
    ("log", "code"),
    [
        (Log(SigningKey(bytes(32))), ErrorCode.BAD_SIGNATURE),
        (Log(world.signing_key("de/node")), ErrorCode.BAD_SIGNATURE),
        (Log(KEY, origin="zz.rogatory.test/log"), ErrorCode.NOT_FOUND),
        (Log(KEY, origin="ee.another.test/log"), ErrorCode.NOT_FOUND),
        (Log(KEY, origin="ee.rogatory.test/logs"), ErrorCode.NOT_FOUND),
        (Log(KEY, origin="ee.rogatory.test/log/0"), ErrorCode.NOT_FOUND),
        (Log(KEY, origin="ee.rogatory.test/log/10000"), ErrorCode.NOT_FOUND),
        (Log(KEY, origin="ee.rogatory.test/log\u0661"), ErrorCode.NOT_FOUND),
    ],
)
def test_somebody_forges_a_checkpoint(log: Log, code: ErrorCode) -> None:
    with pytest.raises(Refusal) as caught:
        witness.read(log.request(0, 7), KEYS)
    assert caught.value.code is code


def test_log_after_a_restoration_is_another_one_that_is_witnessed() -> None:
    log = Log(KEY, origin=f"{ORIGIN}/12")
    assert witness.node_of(log.origin, DIRECTORY.federation) == "ee"
    assert witness.read(log.request(0, 7), KEYS).checkpoint == log.checkpoint(7)


def test_what_others_wrote_under_a_checkpoint_is_not_kept() -> None:
    line = LOG.checkpoint(7).cosign("court.example/w1", KeySigner(COURT), AT)
    request = Request(0, (), LOG.note(7) + str(line).encode())
    assert witness.read(request, KEYS).note == LOG.note(7)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"not_after": NOW - timedelta(days=1)}, True),
        ({"not_trusted_after": NOW + timedelta(days=1)}, True),
        ({"not_trusted_after": NOW - timedelta(days=1)}, False),
        ({"not_before": NOW + timedelta(days=1)}, False),
    ],
)
def test_key_that_is_revoked_by_now_signs_no_checkpoint(changes: dict[str, object], known: bool) -> None:
    node = world.node_entry("ee")
    keys = tuple(key.model_copy(update=changes) for key in node.signing_keys)
    directory = world.make_directory(participants=(), nodes=[node.model_copy(update={"signing_keys": keys})])
    assert bool(witness.keys_of(directory, NOW)(ORIGIN)) is known


def test_log_of_a_node_that_is_out_is_not_witnessed() -> None:
    directory = world.make_directory(participants=(), nodes=[world.node_entry("ee", Status.REVOKED)])
    assert not witness.keys_of(directory, NOW)(ORIGIN)


# The form of a request.


@pytest.mark.parametrize(("old", "size"), [(0, 7), *SIZES])
def test_request_is_read_as_it_was_written(old: int, size: int) -> None:
    request = LOG.request(old, size)
    assert Request.parse(bytes(request)) == request
    lines = bytes(request).split(b"\n")
    assert lines[0] == f"old {old}".encode()
    assert lines[1 : 1 + len(request.proof)] == [b64encode(each) for each in request.proof]
    assert lines[1 + len(request.proof)] == b""


HASH = b64encode(bytes(32))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"old 1",
        b"old 1\n",
        b"old 01\n\nnote",
        b"old -1\n\nnote",
        b"old \xd9\xa1\n\nnote",
        b"old 9223372036854775808\n\nnote",
        b"old 99999999999999999999\n\nnote",
        b"old  1\n\nnote",
        b"OLD 1\n\nnote",
        b"old 1\nAAAA\n\nnote",
        b"old 1\n" + HASH[:-1] + b"\n\nnote",
        b"old 1\n " + HASH + b"\n\nnote",
        b"old 1\n" + (HASH + b"\n") * 64 + b"\nnote",
        b"old 1\r\n\r\nnote",
        b"old 1\n\n" + b"x" * witness.MAX_REQUEST_BYTES,
    ],
)
def test_what_is_no_request_is_malformed(raw: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        Request.parse(raw)
    assert caught.value.code is ErrorCode.MALFORMED


@given(st.binary(max_size=400))
def test_any_bytes_are_a_request_or_malformed(raw: bytes) -> None:
    for each in (raw, b"old 1\n" + raw, b"old 1\n\n" + raw):
        try:
            assert bytes(Request.parse(each)) == each
        except Refusal as error:
            if error.code is not ErrorCode.MALFORMED:
                raise


# How many are enough.


def line_of(name: str, key: SigningKey, at: int = AT) -> str:
    return str(LOG.checkpoint(7).cosign(name, KeySigner(key), at))


def node_line(code: str, at: int = AT) -> str:
    return line_of(f"{code}.rogatory.test", world.signing_key(f"{code}/node"), at)


COURTS = line_of("court.example/w1", COURT)


def count(*lines: str, directory: Directory = DIRECTORY) -> witness.Cosigned:
    found: Note = note.parse(LOG.note(7) + "".join(lines).encode())
    return witness.cosigned(directory, "ee", found)


def test_every_other_node_and_each_witness_of_the_federation_counts_once() -> None:
    assert count() == witness.Cosigned((), 2)
    assert count(node_line("de"), node_line("de", AT + 5)).by == ("de.rogatory.test",)
    found = count(node_line("de"), COURTS)
    assert found.by == ("court.example/w1", "de.rogatory.test")
    assert found.is_enough
    assert not count(COURTS).is_enough


def test_log_that_cosigns_itself_gains_nothing() -> None:
    assert count(node_line("ee"), node_line("de")).by == ("de.rogatory.test",)


def test_cosignature_in_the_name_of_another_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        count(node_line("de"), str(LOG.checkpoint(8).cosign("court.example/w1", KeySigner(COURT), AT)))
    assert caught.value.code is ErrorCode.BAD_SIGNATURE


def test_line_by_a_key_that_nobody_lists_counts_nothing() -> None:
    assert count(line_of("court.example/w1", SigningKey(bytes(32))), line_of("x.example", COURT)).by == ()


def test_who_is_out_counts_no_more_nor_does_a_key_before_or_after_its_time() -> None:
    out = world.make_directory(participants=(), nodes=[world.node_entry("ee"), world.node_entry("de", Status.REVOKED)])
    assert count(node_line("de"), directory=out).by == ()
    for at in (1, (1 << 63) - 1):
        assert count(node_line("de", at)).by == ()


def test_node_that_lists_the_key_of_a_witness_as_its_own_makes_two_of_nobody() -> None:
    node = world.node_entry("de")
    stolen = world.signing_entry("de/node").model_copy(update={"public": bytes(COURT.verify_key)})
    nodes = [world.node_entry("ee"), node.model_copy(update={"signing_keys": (*node.signing_keys, stolen)})]
    directory = DIRECTORY.model_copy(update={"nodes": tuple(nodes)})
    assert len(count(COURTS, line_of("de.rogatory.test", COURT), directory=directory).by) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "de.rogatory.test"},
        {"public": bytes(world.signing_key("de/node").verify_key).hex()},
        {"name": "a b"},
        {"name": ""},
        {"url": "http://court.example"},
        {"url": "https://court.example/?a"},
        {"public": "00"},
    ],
)
def test_founders_cannot_list_one_witness_as_two(changes: dict[str, str]) -> None:
    entry = {"name": "b.example", "public": "11" * 32, "url": "https://b.example"} | changes
    said, _ = world.make_directory().split()
    raw = said.model_dump(mode="json") | {"witnesses": [entry]}
    with pytest.raises(ValueError, match=r"witness|url|public|name"):
        FederationList.model_validate(raw)


def test_list_that_says_nothing_of_witnesses_is_as_it_was_before_there_were_any() -> None:
    said, lists = world.make_directory().split()
    assert b"witnesses" not in said.to_json()
    assert b"cosignatures" not in said.to_json()
    with_some, _ = DIRECTORY.split()
    read = FederationList.parse(with_some.to_json(), "federation")
    merged = Directory.merge(read, lists, 1)
    assert (merged.cosignatures, merged.witnesses) == (2, DIRECTORY.witnesses)
