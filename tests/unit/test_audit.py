"""A log is followed from outside. Each attack is named after who tries what; the attacker has the log's own key."""

import ast
import errno
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

import clients.auditing
from clients.auditing import audit, memory, places
from clients.auditing.audit import Auditor, Stopped
from clients.auditing.growth import Growth, blocks, over
from clients.auditing.memory import Rule, Store
from clients.auditing.places import FolderPlace, Place, WebPlace
from clients.auditing.report import Claim, Relation, Report, Wish, claim
from clients.auditing.signed import ALWAYS, Trust
from gateway import merkle, private_files, tiles
from gateway.checkpoint import Checkpoint
from gateway.cli import audit as command
from gateway.directory import KeyEntry, WitnessEntry
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.note import Algorithm, Note, Verifier
from gateway.signer import KeySigner
from tests import world
from tests.logs import KEY, LEAVES, ORIGIN, OTHER, STRANGER, publish, signed
from tests.registry import LATER, Registry

DATA = Path(__file__).parent.parent / "data" / "merkle_tlog"
WITNESS = KeySigner(SigningKey(bytes([1] * 32)))
TRUST = Trust.of(
    (Verifier(ORIGIN, KEY.public_key),), (Verifier("court.example", WITNESS.public_key, Algorithm.COSIGNATURE),)
)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Bench:
    """A log in a folder, and an auditor of it with a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.log, self.store = folder / "log", Store(folder / "ee.audit")
        self.now, self.trust = NOW, TRUST
        folder.mkdir(exist_ok=True)

    def look(self, place: Place | None = None, **wish: Any) -> Report:
        self.now += timedelta(minutes=1)
        auditor = Auditor(place or FolderPlace(self.log), self.store, lambda _now: self.trust, lambda: self.now)
        return auditor.look(Wish(**wish))

    def caught(
        self, code: ErrorCode, rule: Rule | None = None, place: Place | None = None, **wish: Any
    ) -> GatewayError:
        """Look, be refused so, and have the memory as it was."""
        assert self.store.path is not None
        before = self.store.path.read_bytes() if self.store.path.exists() else None
        with pytest.raises(GatewayError) as caught:
            self.look(place, **wish)
        assert (caught.value.code, caught.value.rule) == (code, rule.value if rule else "")
        assert (self.store.path.read_bytes() if self.store.path.exists() else None) == before
        return caught.value

    def evidence(self) -> list[dict[str, Any]]:
        assert self.store.evidence is not None
        return [json.loads(each.read_text()) for each in sorted(self.store.evidence.iterdir())]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    publish(made.log, LEAVES[:600])
    return made


# What is as it should be.


def test_log_is_followed_and_what_is_new_is_told(bench: Bench) -> None:
    first = bench.look()
    assert (first.before, first.seen.size, first.new, first.changed) == (None, 600, 600, True)
    again = bench.look()
    assert (again.new, again.changed, again.changed_at) == (0, False, first.looked_at)
    assert again.before is not None
    assert again.last_look == first.looked_at
    publish(bench.log, LEAVES)
    later = bench.look()
    assert (later.new, later.seen.size, later.seen.root) == (900, 1500, merkle.root(LEAVES))
    assert later.changed_at == later.looked_at == bench.now


def test_log_that_stands_still_is_told_and_no_failure(bench: Bench) -> None:
    first = bench.look()
    bench.now += timedelta(days=30)
    report = bench.look()
    assert (report.changed, report.changed_at) == (False, first.looked_at)


def test_empty_log_is_followed(bench: Bench) -> None:
    publish(bench.log, ())
    assert bench.look().seen.size == 0
    publish(bench.log, LEAVES[:1])
    assert bench.look().new == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(LEAVES)), min_size=1, max_size=6).map(sorted))
def test_any_growth_is_accepted(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    bench = Bench(tmp_path_factory.mktemp("audit"))
    for size in sizes:
        publish(bench.log, LEAVES[:size])
        assert bench.look().seen.size == size


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_change_of_any_seen_entry_is_caught(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    bench = Bench(tmp_path_factory.mktemp("audit"))
    old = data.draw(st.integers(1, len(LEAVES)), "old")
    size = data.draw(st.integers(old, len(LEAVES)), "size")
    at = data.draw(st.integers(0, old - 1), "at")
    publish(bench.log, LEAVES[:old])
    bench.look()
    how = data.draw(st.sampled_from(["change", "drop", "insert", "swap"]))
    changed = list(LEAVES[:size])
    if how == "change":
        changed[at] = OTHER
    elif how == "drop":
        changed = [*LEAVES[:at], *LEAVES[at + 1 : size], OTHER]
    elif how == "insert":
        changed.insert(at, OTHER)
    else:
        other = (at + 1) % old
        changed[at], changed[other] = changed[other], changed[at]
        if old == 1:
            changed[0] = OTHER
    publish(bench.log, changed)
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED if len(changed) == old else Rule.REWRITTEN)


def test_published_log_of_another_program_is_followed_checkpoint_by_checkpoint(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO((DATA / "tessera_log.tar.gz").read_bytes())) as archive:
        archive.extractall(tmp_path, filter="data")
    bench = Bench(tmp_path / "audit")
    bench.log = tmp_path / "testdata" / "log"
    bench.trust = Trust.of((Verifier.parse(json.loads((DATA / "checkpoints.json").read_text())[0]["vkey"]),))
    for size in range(16):
        (bench.log / "checkpoint").write_bytes((bench.log / f"checkpoint.{size}").read_bytes())
        assert bench.look().seen.size == size
    (bench.log / "checkpoint").write_bytes((bench.log / "checkpoint.7").read_bytes())
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.ROLLED_BACK)


def test_tiles_that_are_full_need_not_be_kept_in_part(bench: Bench) -> None:
    publish(bench.log, LEAVES[:600])
    publish(bench.log, LEAVES[:768], signed(LEAVES[:600]))
    for part in bench.log.glob("tile/0/*.p/*"):
        part.unlink()
    assert bench.look().new == 600


def test_entries_are_found_wherever_they_are(bench: Bench) -> None:
    bench.look()
    report = bench.look(contains=(LEAVES[0], LEAVES[599], LEAVES[600]))
    assert report.found == ((LEAVES[0], 0), (LEAVES[599], 599), (LEAVES[600], None))


def test_witnesses_are_named_and_strangers_are_not(bench: Bench) -> None:
    note = signed(LEAVES[:600])
    at = int(NOW.timestamp())
    lines = (
        Checkpoint.parse(note.text).cosign("court.example", WITNESS, at),
        Checkpoint.parse(note.text).cosign("stranger.example", STRANGER, at),
    )
    publish(bench.log, LEAVES[:600], Note(note.text, (*note.signatures, *lines)))
    report = bench.look()
    assert [(each.by.name, each.at) for each in report.seen.cosigned] == [("court.example", at)]
    kept = bench.store.load()
    assert kept is not None
    assert "stranger.example" not in kept.note
    assert [*kept.cosigned.values()] == [at]


# Node de and a court; the federation wants two.
FEDERATION = world.make_directory().model_copy(
    update={
        "cosignatures": 2,
        "witnesses": (WitnessEntry(name="court.example/w1", public=WITNESS.public_key, url="https://court.example"),),
    }
)
NODE = KeySigner(world.signing_key("de/node"))


def cosigned(bench: Bench, *by: tuple[str, KeySigner, int], of: int = 600) -> None:
    """Publish the log with these cosignatures, of a checkpoint of so many entries, and have the directory believed."""
    note, other = signed(LEAVES[:600]), Checkpoint.parse(signed(LEAVES[:of]).text)
    lines = tuple(other.cosign(name, signer, at) for name, signer, at in by)
    publish(bench.log, LEAVES[:600], Note(note.text, (*note.signatures, *lines)))
    bench.trust = replace(TRUST, directory=FEDERATION, node="ee")


def counted(report: Report) -> tuple[tuple[str, ...], int]:
    assert report.seen.counted is not None
    return report.seen.counted.by, report.seen.counted.wanted


def test_witnesses_of_the_directory_are_counted_and_others_named_beside_them(bench: Bench) -> None:
    at = int(world.NOW.timestamp())
    beside = ("court.example", WITNESS, at)
    cosigned(bench, ("de.rogatory.test", NODE, at), ("court.example/w1", WITNESS, at), beside)
    report = bench.look()
    assert counted(report) == (("court.example/w1", "de.rogatory.test"), 2)
    names = {each.by.name for each in report.seen.cosigned}
    assert names == {"court.example", "de.rogatory.test", "court.example/w1"}
    cosigned(bench, ("de.rogatory.test", NODE, 1), beside)
    report = bench.look()
    assert counted(report) == ((), 2)
    assert [each.by.name for each in report.seen.cosigned] == ["court.example"]


def test_line_of_a_listed_witness_that_does_not_hold_is_refused(bench: Bench) -> None:
    cosigned(bench, ("de.rogatory.test", NODE, int(world.NOW.timestamp())), of=599)
    bench.caught(ErrorCode.BAD_SIGNATURE)


def test_time_of_a_witness_after_all_calendars_is_shown(bench: Bench) -> None:
    cosigned(bench, ("court.example/w1", WITNESS, (1 << 63) - 1))
    lines = [*command._lines(bench.look())]
    assert lines[-1] == "cosigned by court.example/w1 (9999-12-31 00:00:00 UTC): 1 of 2 wanted"


def test_more_witnesses_than_are_kept_end_no_following(bench: Bench) -> None:
    bench.look()
    kept = bench.store.load()
    assert kept is not None
    seen = {f"court{each}.example": each + 1 for each in range(memory.MAX_WITNESSES)}
    bench.store.save(kept.model_copy(update={"cosigned": seen}))
    point, at = Checkpoint(ORIGIN, 601, merkle.root(LEAVES[:601])), int(NOW.timestamp())
    line = point.cosign("court.example", WITNESS, at)
    publish(bench.log, LEAVES[:601], Note(str(point), (*signed(LEAVES[:601]).signatures, line)))
    bench.look()
    kept = bench.store.load()
    assert kept is not None
    assert len(kept.cosigned) == memory.MAX_WITNESSES
    assert at in kept.cosigned.values()


def test_too_few_witnesses_are_told_and_end_no_following(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, stop = int(world.NOW.timestamp()), threading.Event()
    node, court = ("de.rogatory.test", NODE, at), ("court.example/w1", WITNESS, at)
    looks = iter([(node,), (node,), (node, court)])

    def once(_accept: bool) -> Report:
        cosigned(bench, *next(looks))
        return bench.look()

    waited = iter([False, False, True])
    monkeypatch.setattr(stop, "wait", lambda _seconds: stop.set() if next(waited) else None)
    left_of = partial(command._left, bench.store, require=True)
    command._follow(once, left_of, stop, 1.0, accept=False, as_json=True)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["counted"], each.get("error", {}).get("field")) for each in told] == [
        (["de.rogatory.test"], "cosigned"),
        (["court.example/w1", "de.rogatory.test"], None),
    ]


def test_full_disk_of_the_auditor_is_no_fault_of_the_log_and_ends_no_following(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.look()
    publish(bench.log, LEAVES[:700])
    swap, stop = private_files.swap, threading.Event()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def room(_seconds: float) -> None:
        monkeypatch.setattr(private_files, "swap", swap)
        if bench.store.load() != before:
            stop.set()

    before = bench.store.load()
    monkeypatch.setattr(private_files, "swap", full)
    assert bench.caught(ErrorCode.STORE).field == "state"
    monkeypatch.setattr(stop, "wait", room)
    left_of = partial(command._left, bench.store, require=False)
    command._follow(lambda _accept: bench.look(), left_of, stop, 1.0, accept=False, as_json=True)
    failed, told = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (failed["error"]["code"], told["new"]) == ("STORE", 100)


def test_memory_stays_small_however_often_a_log_grows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_HISTORY", 8)
    for size in range(1, 60):
        publish(bench.log, LEAVES[:size])
        bench.look()
    kept = bench.store.load()
    assert kept is not None
    sizes = [bench.trust.read(each.encode()).size for each in kept.history]
    assert 4 < len(sizes) <= 8
    assert sizes == sorted(sizes)
    assert sizes[0] < 10
    assert sizes[-4:] == [55, 56, 57, 58]


# Who runs the log, with its key.


def test_operator_rewrites_what_was_signed(bench: Bench) -> None:
    bench.look()
    publish(bench.log, [*LEAVES[:17], OTHER, *LEAVES[18:900]])
    error = bench.caught(ErrorCode.LOG_VIOLATED, Rule.REWRITTEN)
    (found,) = bench.evidence()
    assert TRUST.read(found["known"].encode()).root == merkle.root(LEAVES[:600])
    assert TRUST.read(found["found"].encode()).size == 900
    assert str(bench.store.evidence) in error.detail


@pytest.mark.parametrize("claimed", [False, True])
def test_evidence_proves_by_itself_that_no_one_tree_has_both_roots(bench: Bench, claimed: bool) -> None:
    if claimed:
        bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED, claims=(heard([OTHER, *LEAVES[1:333]]),))
    else:
        bench.look()
        publish(bench.log, [*LEAVES[:17], OTHER, *LEAVES[18:900]])
        bench.caught(ErrorCode.LOG_VIOLATED, Rule.REWRITTEN)
    (found,) = bench.evidence()
    old, new = (TRUST.read(found[each].encode()) for each in ("known", "found"))
    growth, then = Growth(), None
    for begin, height, hash_ in found["tree"]:
        assert begin == growth.size
        growth.add(bytes.fromhex(hash_), height)
        if growth.size == old.size:
            then = growth.root
    assert (growth.size, growth.root) == (new.size, new.root)
    assert then not in {None, old.root}


def test_operator_rewrites_the_log_from_scratch(bench: Bench) -> None:
    bench.look()
    publish(bench.log, [merkle.leaf_hash(b"new %d" % each) for each in range(700)])
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.REWRITTEN)


def test_operator_changes_an_entry_of_the_last_part_of_a_tile(bench: Bench) -> None:
    bench.look()
    publish(bench.log, [*LEAVES[:599], OTHER, *LEAVES[600:601]])
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.REWRITTEN)


def test_how_much_is_as_it_was_is_told(bench: Bench) -> None:
    for size in (100, 300, 500, 600):
        publish(bench.log, LEAVES[:size])
        bench.look()
    publish(bench.log, [*LEAVES[:400], OTHER, *LEAVES[401:700]])
    assert "only the first 300" in bench.caught(ErrorCode.LOG_VIOLATED, Rule.REWRITTEN).detail


def test_operator_rolls_the_log_back(bench: Bench) -> None:
    bench.look()
    publish(bench.log, LEAVES[:599])
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.ROLLED_BACK)
    assert bench.store.kept() == ()
    publish(bench.log, LEAVES[:700])
    assert bench.look().new == 100


def test_operator_signs_two_logs_of_one_size(bench: Bench) -> None:
    bench.look()
    publish(bench.log, [*LEAVES[:599], OTHER])
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED)
    assert len(bench.store.kept()) == 1


def test_operator_rolls_back_to_what_he_never_signed_then(bench: Bench) -> None:
    publish(bench.log, LEAVES[:300])
    bench.look()
    publish(bench.log, LEAVES[:600])
    bench.look()
    publish(bench.log, [*LEAVES[:299], OTHER])
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED)


def test_proof_of_a_fork_is_not_over_when_the_log_looks_well_again(bench: Bench) -> None:
    bench.look()
    publish(bench.log, [*LEAVES[:599], OTHER])
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED)
    kept = {path: path.read_bytes() for path in bench.store.kept()}
    again = bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED)
    assert str(next(iter(kept))) in again.detail
    publish(bench.log, LEAVES[:700])
    assert bench.look().new == 100
    assert {path: path.read_bytes() for path in bench.store.kept()} == kept


def test_fork_that_is_cosigned_anew_is_kept_once(bench: Bench) -> None:
    """A log that goes on is cosigned every minute; each look sees other lines under the same contradiction."""
    bench.look()
    fork = [*LEAVES[:599], OTHER]
    for at in range(1, 4):
        note = signed(fork)
        line = Checkpoint.parse(note.text).cosign("court.example", WITNESS, at)
        publish(bench.log, fork, Note(note.text, (*note.signatures, line)))
        bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED)
    assert len(bench.evidence()) == 1


def test_operator_turns_out_forks_without_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_EVIDENCE", 3)
    bench.look()
    for number in range(5):
        publish(bench.log, [*LEAVES[:599], merkle.leaf_hash(b"fork %d" % number)])
        bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED)
    assert len(bench.evidence()) == 3


def test_operator_signs_more_entries_than_anybody_has(bench: Bench) -> None:
    publish(bench.log, LEAVES[:600], Checkpoint(ORIGIN, (1 << 63) - 1, bytes(32)).sign(KEY))
    bench.caught(ErrorCode.UNAVAILABLE)


def test_operator_has_more_entries_than_one_look_reads(bench: Bench) -> None:
    bench.caught(ErrorCode.TOO_LARGE, most=599)
    assert bench.look(most=600).new == 600


def test_operator_says_that_nothing_is_there_any_more(bench: Bench) -> None:
    bench.look()
    publish(bench.log, ())
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.ROLLED_BACK)


# Who serves the log, without its key.


@pytest.mark.parametrize(
    "note",
    [
        pytest.param(signed(LEAVES[:600], key=STRANGER), id="another key"),
        pytest.param(signed(LEAVES[:600], origin="de.rogatory.test/log"), id="another log"),
        pytest.param(signed(LEAVES[:600], origin="ee.rogatory.test/log/x"), id="a log of a like name"),
        pytest.param(
            Note(str(Checkpoint(ORIGIN, 601, merkle.root(LEAVES[:601]))), signed(LEAVES[:600]).signatures),
            id="the signature of another checkpoint",
        ),
        pytest.param(
            Note(
                signed(LEAVES[:600]).text,
                (Checkpoint.parse(signed(LEAVES[:600]).text).cosign("court.example", WITNESS, 1),),
            ),
            id="only a witness",
        ),
    ],
)
def test_server_forges_a_checkpoint(bench: Bench, note: Note) -> None:
    (bench.log / "checkpoint").write_bytes(bytes(note))
    bench.caught(ErrorCode.BAD_SIGNATURE)


@pytest.mark.parametrize("content", [b"", b"\n", b"ee\n1\nx\n\n", b"\xff" * 100, bytes(signed(LEAVES[:600]))[:-30]])
def test_server_hands_out_what_is_no_checkpoint(bench: Bench, content: bytes) -> None:
    (bench.log / "checkpoint").write_bytes(content)
    bench.caught(ErrorCode.MALFORMED)


PATHS = ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(lambda raw: raw[:-32], ErrorCode.LOG_VIOLATED, id="an entry is cut off"),
        pytest.param(lambda raw: raw[:-1], ErrorCode.LOG_VIOLATED, id="cut off"),
        pytest.param(lambda raw: b"", ErrorCode.LOG_VIOLATED, id="empty"),
        pytest.param(lambda raw: raw + bytes(32), ErrorCode.TOO_LARGE, id="an entry too many"),
        pytest.param(lambda raw: bytes(len(raw)), ErrorCode.LOG_VIOLATED, id="garbage"),
        pytest.param(lambda raw: raw[32:] + raw[:32], ErrorCode.LOG_VIOLATED, id="in another order"),
        pytest.param(lambda raw: bytes([raw[0] ^ 1]) + raw[1:], ErrorCode.LOG_VIOLATED, id="a bit"),
    ],
)
def test_server_spoils_a_tile(bench: Bench, path: str, spoil: Callable[[bytes], bytes], code: ErrorCode) -> None:
    tile = bench.log / path
    tile.write_bytes(spoil(tile.read_bytes()))
    bench.caught(code, Rule.BAD_TILES if code is ErrorCode.LOG_VIOLATED else None)
    assert bench.store.kept() == ()


@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("path", ["tile/0/002", "tile/0/003", "tile/0/004", "tile/1/000.p/5"])
def test_server_spoils_a_tile_of_what_is_new(bench: Bench, path: str, at: int) -> None:
    """Also where what was seen before ends: nothing is proven against the log by what anybody can have spoiled."""
    bench.look()
    publish(bench.log, LEAVES)
    tile = bench.log / path
    content = tile.read_bytes()
    tile.write_bytes(OTHER + content[32:] if at == 0 else content[:-32] + OTHER)
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.BAD_TILES)
    tile.write_bytes(content)
    assert bench.look().new == 900


def test_server_answers_another_thing_the_second_time(bench: Bench) -> None:
    class Fickle(FolderPlace):
        asked = 0

        def tile(self, level: int, number: int, width: int) -> bytes:
            content = super().tile(level, number, width)
            self.asked += (level, number) == (0, 2)
            return bytes(len(content)) if (level, number) == (0, 2) and self.asked == 2 else content

    bench.caught(ErrorCode.LOG_VIOLATED, Rule.BAD_TILES, place=Fickle(bench.log))


@pytest.mark.parametrize("path", PATHS)
def test_server_withholds_a_tile(bench: Bench, path: str) -> None:
    (bench.log / path).unlink()
    bench.caught(ErrorCode.UNAVAILABLE)


@pytest.fixture(scope="module")
def large() -> tuple[bytes, ...]:
    return tuple(merkle.leaf_hash(b"%d" % each) for each in range(70_000))


def test_large_log_is_followed_through_all_its_levels(
    tmp_path: Path, large: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "REMEMBERED_TILES", 2)
    bench = Bench(tmp_path)
    for size in (30_000, 65_536, 70_000):
        publish(bench.log, large[:size])
        assert bench.look().seen.root == merkle.root(large[:size])
    assert bench.look(whole=True).new == 0


@pytest.mark.parametrize(("path", "at"), [("tile/1/000", 255), ("tile/1/000", 120), ("tile/2/000.p/1", 0)])
def test_server_spoils_a_tile_above_the_entries(tmp_path: Path, large: tuple[bytes, ...], path: str, at: int) -> None:
    """Nobody who only follows the log would miss it; who is given a proof by it would."""
    bench = Bench(tmp_path)
    publish(bench.log, large[:30_000])
    bench.look()
    publish(bench.log, large)
    content = (bench.log / path).read_bytes()
    (bench.log / path).write_bytes(content[: at * 32] + OTHER + content[at * 32 + 32 :])
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.BAD_TILES)


def test_old_tile_that_was_changed_is_found_when_all_is_read_again(bench: Bench) -> None:
    bench.look()
    publish(bench.log, LEAVES[:700])
    (bench.log / "tile/0/000").write_bytes(bytes(8192))
    assert bench.look().new == 100
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.BAD_TILES, whole=True)


def test_nothing_is_there(bench: Bench) -> None:
    (bench.log / "checkpoint").unlink()
    bench.caught(ErrorCode.UNAVAILABLE)


# Keys.


def entry(key: KeySigner, **times: datetime) -> KeyEntry:
    return KeyEntry.model_validate({"public": key.public_key, "not_before": ALWAYS, **times})


def test_key_is_rotated(bench: Bench) -> None:
    bench.look()
    bench.trust = Trust(ORIGIN, (entry(KEY, not_after=NOW + timedelta(hours=1)), entry(STRANGER)))
    publish(bench.log, LEAVES[:700], signed(LEAVES[:700], key=STRANGER))
    bench.now += timedelta(days=1)
    assert bench.look().new == 100
    publish(bench.log, LEAVES[:800])
    bench.caught(ErrorCode.KEY_REVOKED)


def test_thief_signs_with_a_key_that_is_revoked(bench: Bench) -> None:
    bench.look()
    bench.trust = Trust(ORIGIN, (entry(KEY, not_trusted_after=NOW), entry(STRANGER)))
    assert not bench.look().changed
    publish(bench.log, LEAVES[:700])
    bench.caught(ErrorCode.KEY_REVOKED)
    publish(bench.log, [*LEAVES[:599], OTHER])
    bench.caught(ErrorCode.KEY_REVOKED)
    publish(bench.log, LEAVES[:599])
    bench.caught(ErrorCode.KEY_REVOKED)
    claim = Claim("a thief", (bytes(signed([*LEAVES[:599], OTHER])),))
    publish(bench.log, LEAVES[:600])
    (other,) = bench.look(claims=(claim,)).others
    assert other.relation is Relation.NOT_SIGNED


def test_key_is_not_valid_yet(bench: Bench) -> None:
    bench.trust = Trust(ORIGIN, (entry(KEY, not_before=NOW + timedelta(days=1)),))
    bench.caught(ErrorCode.KEY_REVOKED)


@pytest.mark.parametrize(
    "keys",
    [
        (),
        (Verifier(ORIGIN, KEY.public_key), Verifier("de.rogatory.test/log", KEY.public_key)),
        (Verifier(ORIGIN, KEY.public_key, Algorithm.COSIGNATURE),),
    ],
)
def test_keys_of_one_log_are_wanted(keys: tuple[Verifier, ...]) -> None:
    with pytest.raises(Refusal) as caught:
        Trust.of(keys)
    assert caught.value.code is ErrorCode.BAD_INPUT


# Who can write where the auditor remembers, and who sets its clock.


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda kept: {}, id="empty"),
        pytest.param(lambda kept: {**kept, "more": 1}, id="a field more"),
        pytest.param(lambda kept: {**kept, "version": 2}, id="of a later version"),
        pytest.param(lambda kept: {**kept, "digits": kept["digits"][:-1]}, id="a hash less"),
        pytest.param(lambda kept: {**kept, "digits": [*kept["digits"][:-1], "00" * 32]}, id="another hash"),
        pytest.param(lambda kept: {**kept, "note": kept["note"].replace("600", "599")}, id="another size"),
        pytest.param(lambda kept: {**kept, "note": bytes(signed(LEAVES[:600], key=STRANGER)).decode()}, id="forged"),
        pytest.param(lambda kept: {**kept, "history": ["x"]}, id="a history that nobody signed"),
        pytest.param(lambda kept: {**kept, "ahead": [kept["note"]] * 17}, id="too many"),
    ],
)
def test_somebody_changes_what_is_remembered(bench: Bench, spoil: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    bench.look()
    assert bench.store.path is not None
    bench.store.path.write_text(json.dumps(spoil(json.loads(bench.store.path.read_text()))))
    bench.caught(ErrorCode.BAD_INPUT)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b" " * (places.MAX_STATE_BYTES + 1)])
def test_what_is_remembered_is_garbage(bench: Bench, content: bytes) -> None:
    assert bench.store.path is not None
    bench.store.path.write_bytes(content)
    bench.caught(ErrorCode.BAD_INPUT)


def test_contradictions_that_a_mirror_makes_up_leave_room_for_the_proof_of_a_fork(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever hands tiles out can make them bad without end; that is not remembered as a fork is."""
    monkeypatch.setattr(memory, "MAX_EVIDENCE", 3)
    bench.look()
    for size in range(601, 606):
        publish(bench.log, LEAVES[:size])
        (bench.log / f"tile/0/002.p/{size - 512}").write_bytes(b"")
        bench.caught(ErrorCode.LOG_VIOLATED, Rule.BAD_TILES)
    publish(bench.log, [*LEAVES[:599], OTHER])
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED)
    assert len(bench.store.kept()) == 1


def test_memory_is_removed_after_the_log_was_caught(bench: Bench) -> None:
    bench.look()
    publish(bench.log, [*LEAVES[:599], OTHER])
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED)
    assert bench.store.path is not None
    bench.store.path.unlink()
    bench.caught(ErrorCode.BAD_INPUT)


def test_evidence_that_cannot_be_kept_does_not_hide_that_the_log_was_caught(bench: Bench) -> None:
    bench.look()
    assert bench.store.evidence is not None
    bench.store.evidence.write_bytes(b"")
    publish(bench.log, [*LEAVES[:599], OTHER])
    assert "evidence" not in bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED).detail


def test_memory_that_is_no_file_is_refused(bench: Bench) -> None:
    assert bench.store.path is not None
    bench.store.path.mkdir()
    with pytest.raises(Refusal) as caught:
        bench.look()
    assert caught.value.code is ErrorCode.BAD_INPUT


def test_look_without_a_memory_is_always_the_first(bench: Bench) -> None:
    bench.store = Store(None)
    assert [bench.look().new for _ in range(2)] == [600, 600]
    with pytest.raises(Refusal) as caught:
        bench.look(claims=(heard([OTHER]),))
    assert caught.value.rule == Rule.FORKED


def test_memory_is_its_owners_alone(bench: Bench) -> None:
    bench.look()
    assert bench.store.path is not None
    assert bench.store.path.stat().st_mode & 0o777 == 0o600


def test_somebody_sets_the_clock_back(bench: Bench) -> None:
    bench.look()
    bench.now -= timedelta(days=1)
    bench.caught(ErrorCode.UNAVAILABLE)


def test_look_that_is_stopped_leaves_everything_as_it_was(bench: Bench) -> None:
    auditor = Auditor(FolderPlace(bench.log), bench.store, lambda _now: TRUST, lambda: NOW, lambda: True)
    with pytest.raises(Stopped):
        auditor.look()
    assert bench.store.load() is None


# A node that was put back from a backup.


def restored(leaves: Sequence[bytes]) -> Note:
    return signed(leaves, origin=f"{ORIGIN}/1")


AFTER = [*LEAVES[:450], *(merkle.leaf_hash(b"after %d" % each) for each in range(50))]


def test_restoration_needs_consent_and_is_told(bench: Bench) -> None:
    for size in (100, 400, 600):
        publish(bench.log, LEAVES[:size])
        bench.look()
    publish(bench.log, AFTER, restored(AFTER))
    error = bench.caught(ErrorCode.LOG_VIOLATED, Rule.RESTORED)
    assert "of the 600" in error.detail
    assert "the first 400" in error.detail
    report = bench.look(accept_restoration=True)
    assert report.restoration is not None
    assert (report.restoration.common, report.new) == (400, 100)
    kept = bench.store.load()
    assert kept is not None
    assert TRUST.read(kept.restorations[0].before.encode()).size == 600
    assert [TRUST.read(each.encode()).size for each in kept.history] == [100, 400]
    assert not bench.look().changed
    more = [*AFTER, OTHER]
    publish(bench.log, more, restored(more))
    assert bench.look().new == 1


def test_restoration_that_keeps_nothing_is_told_as_that(bench: Bench) -> None:
    bench.look()
    publish(bench.log, [OTHER] * 700, restored([OTHER] * 700))
    assert "the first 0" in bench.caught(ErrorCode.LOG_VIOLATED, Rule.RESTORED).detail
    report = bench.look(accept_restoration=True)
    assert report.restoration is not None
    assert (report.restoration.common, report.new) == (0, 700)


def test_restoration_that_loses_nothing_is_taken_by_who_has_followed_the_log_for_long(bench: Bench) -> None:
    for size in range(1, memory.MAX_HISTORY + 2):
        publish(bench.log, LEAVES[:size])
        bench.look()
    kept = bench.store.load()
    assert kept is not None
    assert len(kept.history) == memory.MAX_HISTORY
    more = LEAVES[: memory.MAX_HISTORY + 20]
    publish(bench.log, more, restored(more))
    report = bench.look(accept_restoration=True)
    assert report.restoration is not None
    assert report.restoration.common == memory.MAX_HISTORY + 1
    assert not bench.look().changed


def test_consent_to_a_restoration_is_no_consent_to_bad_tiles(bench: Bench) -> None:
    bench.look()
    publish(bench.log, AFTER, restored(AFTER))
    (bench.log / "tile/0/001.p/244").write_bytes(bytes(244 * 32))
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.BAD_TILES, accept_restoration=True)


def test_log_of_before_the_restoration_goes_on(bench: Bench) -> None:
    publish(bench.log, AFTER, restored(AFTER))
    assert bench.look().restoration is None
    publish(bench.log, LEAVES)
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.ROLLED_BACK, accept_restoration=True)


def test_consent_without_a_restoration_allows_nothing(bench: Bench) -> None:
    bench.look()
    publish(bench.log, AFTER)
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.ROLLED_BACK, accept_restoration=True)


# Whose keys count, by a directory.


def test_auditor_is_told_once_that_no_newer_directory_can_be_had(
    made: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """He looks on, but whoever holds the news back, an operator whose stolen key was revoked, must not be alone."""
    trust = partial(command._listed, made.source(), "ee", (), set[str]())
    keys = trust(LATER).keys
    assert capsys.readouterr().err == ""
    past = LATER + timedelta(days=400)
    assert trust(past).keys == trust(past).keys == keys
    told = [line for line in capsys.readouterr().err.splitlines() if "no newer directory" in line]
    assert len(told) == 1
    assert told[0].startswith("warning ")


# What others have seen.


def heard(leaves: Sequence[bytes], **how: Any) -> Claim:
    return Claim("somebody", (bytes(signed(leaves, **how)),))


@pytest.mark.parametrize(
    ("claim", "relation"),
    [
        pytest.param(heard(LEAVES[:600]), Relation.SAME, id="the same"),
        pytest.param(heard(LEAVES[:333]), Relation.BEHIND, id="less"),
        pytest.param(heard(()), Relation.BEHIND, id="nothing"),
        pytest.param(heard(LEAVES[:601]), Relation.AHEAD, id="more"),
        pytest.param(heard([OTHER], key=STRANGER), Relation.NOT_SIGNED, id="of another key"),
        pytest.param(heard([OTHER], origin="de.rogatory.test/log"), Relation.NOT_SIGNED, id="of another log"),
        pytest.param(heard([OTHER], origin=f"{ORIGIN}/1"), Relation.OTHER_NAME, id="after a restoration"),
        pytest.param(Claim("somebody", (b"x",)), Relation.NOT_SIGNED, id="garbage"),
        pytest.param(
            Claim("somebody", (), Failure(ErrorCode.UNAVAILABLE, "gone")), Relation.UNAVAILABLE, id="cannot be had"
        ),
    ],
)
@pytest.mark.parametrize("looks", [1, 2])
def test_what_others_have_is_told(bench: Bench, claim: Claim, relation: Relation, looks: int) -> None:
    for _ in range(looks):
        report = bench.look(claims=(claim,))
    assert [each.relation for each in report.others] == [relation]


@pytest.mark.parametrize("leaves", [[*LEAVES[:599], OTHER], [OTHER, *LEAVES[1:333]], [OTHER]])
def test_operator_shows_others_another_log(bench: Bench, leaves: list[bytes]) -> None:
    bench.look()
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED, claims=(heard(leaves),))
    (found,) = bench.evidence()
    assert {TRUST.read(found[each].encode()).root for each in ("known", "found")} == {
        merkle.root(LEAVES[:600]),
        merkle.root(leaves),
    }
    assert found["place"] == "somebody"


def test_operator_shows_others_another_log_of_more_entries(bench: Bench) -> None:
    """It cannot be told at once; but it is remembered, and told when the log gets there."""
    fork = [*LEAVES[:600], OTHER]
    (other,) = bench.look(claims=(heard(fork),)).others
    assert other.relation is Relation.AHEAD
    publish(bench.log, LEAVES[:650])
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED)


def test_operator_shows_two_others_two_logs(bench: Bench) -> None:
    fork = [*LEAVES[:600], OTHER]
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED, claims=(heard(fork), heard(LEAVES[:601])))


def test_what_another_auditor_remembers_is_heard(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other")
    for leaves in (LEAVES[:100], [*LEAVES[:599], OTHER]):
        publish(other.log, leaves)
        other.look()
    assert other.store.path is not None
    notes = memory.notes(other.store.path.read_bytes())
    assert [TRUST.read(each).size for each in notes] == [600, 100]
    bench.caught(ErrorCode.LOG_VIOLATED, Rule.FORKED, claims=(Claim("other", tuple(notes)),))


def test_what_others_had_ahead_is_let_go_once_it_was_checked(bench: Bench) -> None:
    bench.look(claims=(heard(LEAVES[:650]), heard(LEAVES[:650]), heard(LEAVES[:800])))
    publish(bench.log, LEAVES[:700])
    bench.look()
    kept = bench.store.load()
    assert kept is not None
    assert [TRUST.read(each.encode()).size for each in kept.ahead] == [800]


# A web server.


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass


def test_log_is_followed_over_http(bench: Bench) -> None:
    folder = bench.log.parent

    def handler(*args: Any) -> Quiet:
        return Quiet(*args, directory=str(folder))

    with serving(handler) as url:
        place = WebPlace(f"{url}/log/")
        assert bench.look(place).new == 600
        publish(bench.log, LEAVES)
        assert bench.look(place).new == 900
        (bench.log / "tile/0/003").unlink()
        bench.caught(ErrorCode.UNAVAILABLE, place=place, whole=True)
        place.close()
    bench.caught(ErrorCode.UNAVAILABLE, place=place)


def answering(answer: Callable[[Quiet, threading.Event], None], over: threading.Event) -> type[Quiet]:
    class Hostile(Quiet):
        def do_GET(self) -> None:
            try:
                answer(self, over)
            except OSError:
                self.close_connection = True

    return Hostile


def test_one_answer_that_fails_does_not_cost_all_others(bench: Bench) -> None:
    failed = set[str]()

    class Moody(Quiet):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(bench.log))

        def do_GET(self) -> None:
            if self.path in failed:
                super().do_GET()
            else:
                failed.add(self.path)
                self.send_error(503)

    with serving(Moody) as url:
        place = WebPlace(url, pause=0)
        assert bench.look(place).new == 600
        assert len(failed) > 4
        place.close()


def endless(handler: Quiet, over: threading.Event) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not over.is_set():
        handler.wfile.write(bytes(65536))


def endless_headers(handler: Quiet, over: threading.Event) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not over.is_set():
        handler.wfile.write(b"x: y\r\n" * 100)


def dripping(handler: Quiet, over: threading.Event) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "200000")
    handler.end_headers()
    while not over.wait(0.01):
        handler.wfile.write(b"x")


def dripping_for_the_last_time(handler: Quiet, over: threading.Event) -> None:
    handler.send_response(200)
    handler.send_header("connection", "close")
    handler.send_header("content-length", "200000")
    handler.end_headers()
    while not over.wait(0.01):
        handler.wfile.write(b"x")


def dripping_headers(handler: Quiet, over: threading.Event) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
    while not over.wait(0.01):
        handler.wfile.write(b"x")


def silent(handler: Quiet, over: threading.Event) -> None:
    over.wait()


def too_long(handler: Quiet, over: threading.Event) -> None:
    handler.send_response(200)
    handler.send_header("content-length", str(1 << 40))
    handler.end_headers()
    handler.wfile.write(bytes(1 << 19))
    over.wait()


def broken_off(handler: Quiet, over: threading.Event) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "200")
    handler.end_headers()
    handler.wfile.write(b"ee")
    handler.close_connection = True


def elsewhere(handler: Quiet, over: threading.Event) -> None:
    handler.send_response(302)
    handler.send_header("location", "file:///etc/passwd")
    handler.send_header("content-length", "0")
    handler.end_headers()


def no_http(handler: Quiet, over: threading.Event) -> None:
    handler.wfile.write(b"\x00\x01\x02\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (endless, ErrorCode.TOO_LARGE),
        (too_long, ErrorCode.TOO_LARGE),
        (endless_headers, ErrorCode.UNAVAILABLE),
        (dripping, ErrorCode.UNAVAILABLE),
        (dripping_for_the_last_time, ErrorCode.UNAVAILABLE),
        (dripping_headers, ErrorCode.UNAVAILABLE),
        (silent, ErrorCode.UNAVAILABLE),
        (broken_off, ErrorCode.UNAVAILABLE),
        (elsewhere, ErrorCode.UNAVAILABLE),
        (no_http, ErrorCode.UNAVAILABLE),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
@pytest.mark.timeout(30)
def test_hostile_server_cannot_exhaust_an_auditor(
    bench: Bench, answer: Callable[[Quiet, threading.Event], None], code: ErrorCode
) -> None:
    over = threading.Event()
    with serving(answering(answer, over)) as url:
        place = WebPlace(url, seconds=0.3, pause=0)
        try:
            bench.caught(code, place=place)
        finally:
            over.set()
            place.close()


def test_place_that_is_closed_keeps_nobody_waiting(bench: Bench) -> None:
    over, asked = threading.Event(), threading.Event()

    def waiting(_handler: Quiet, over: threading.Event) -> None:
        asked.set()
        over.wait()

    with serving(answering(waiting, over)) as url:
        place = WebPlace(url)

        def close() -> None:
            asked.wait()
            place.close()

        closer = threading.Thread(target=close)
        closer.start()
        bench.caught(ErrorCode.UNAVAILABLE, place=place)
        closer.join()
        over.set()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/nonexistent",
        "ftp://x/",
        "https://",
        "http://u:p@x/",
        "http://x:99999/",
        "http://x/?a",
        "http://x/#a",
        "http://[x/",
    ],
)
def test_what_names_no_place_is_refused(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        places.of(name)
    assert caught.value.code is ErrorCode.BAD_INPUT


def test_pipe_in_a_folder_keeps_nobody_waiting(bench: Bench) -> None:
    import os  # noqa: PLC0415

    (bench.log / "checkpoint").unlink()
    os.mkfifo(bench.log / "checkpoint")
    bench.caught(ErrorCode.UNAVAILABLE)


# The auditor's own arithmetic.


@given(st.integers(0, 700), st.integers(0, 700))
def test_arithmetic_is_that_of_the_standard(first: int, more: int) -> None:
    growth = Growth()
    for leaf in LEAVES[:first]:
        growth.add(leaf)
    assert growth.root == merkle.root(LEAVES[:first])
    again = Growth(growth.size, growth.digits)
    for begin, height in blocks(first, first + more):
        assert begin % (1 << height) == 0
        again.add(over(LEAVES[begin : begin + (1 << height)]), height)
    assert (again.size, again.root) == (first + more, merkle.root(LEAVES[: first + more]))


@given(st.integers(1, (1 << 63) - 1), st.data())
def test_blocks_cover_all_and_are_few(end: int, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, end))
    found = [*blocks(begin, end)]
    assert len(found) <= 126
    for at, height in found:
        assert at == begin
        begin += 1 << height
    assert begin == end


def test_tree_has_its_digits_and_no_others() -> None:
    for size, digits in ((1, ()), (0, (OTHER,)), (3, (OTHER,)), (-1, ()), (1 << 63, (OTHER,))):
        with pytest.raises(ValueError, match="digits"):
            Growth(size, digits)
    with pytest.raises(ValueError, match="height"):
        Growth(1, (OTHER,)).add(OTHER, 1)


@given(st.integers(0, (1 << 55) - 2))
def test_path_of_a_tile_is_that_of_the_specification(number: int) -> None:
    assert places.path_of(0, number) == tiles.Tile(0, number).path


def test_auditor_shares_nothing_with_the_writer_but_the_hash() -> None:
    """The rest of it, that not even indirectly it reaches the tree's or the store's code, is an import contract."""
    taken = set()
    for path in Path(clients.auditing.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "gateway.merkle":
                taken |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "gateway":
                assert not {"merkle", "tiles", "store"} & {each.name for each in node.names}
            elif isinstance(node, ast.Import):
                assert not any(each.name.startswith("gateway") for each in node.names)
    assert taken == {"node_hash"}


def test_digest_of_nothing_is_the_root_of_nothing() -> None:
    assert Growth().root == sha256(b"").digest()


def test_claim_that_cannot_be_had_is_no_fault_of_the_log() -> None:
    def gone() -> list[bytes]:
        raise Failure(ErrorCode.UNAVAILABLE, "gone")

    assert claim("x", gone).error is not None
