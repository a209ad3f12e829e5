"""Sealed files in backups: what the copied store has is there, whatever is brought and let go meanwhile."""

import asyncio
import json
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from google.protobuf import json_format
from rogatory.v1 import attachments_pb2 as wire
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1.attachments_pb2_grpc import AttachmentsStub

from gateway import config
from gateway.cli import commands
from gateway.config import NodeConfig
from gateway.depot import PART_BYTES, Depot, held, look_into, open_depot
from gateway.doors.housekeeping import collect
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.store import backup, fsck
from gateway.store.fsck import Check, Result
from tests import paperwork, stores
from tests.bucket import bucket
from tests.federation import Federation, federation
from tests.files import depot_of, random_file, ref_to, request_naming, settle_settings, upload
from tests.integration.test_attachments import rogatory
from tests.integration.test_backup import lose, make, restore, settings, start_after_restore, untold

pytestmark = pytest.mark.integration

SIZE = 2 * PART_BYTES + 5


def failed(fed: Federation, code: str, store: Path | None = None) -> set[Check]:
    depot = look_into(settings(fed, code)) if store is None else backup.files_beside(store)
    found = fsck.check(store or fed.file(code), fed.directory, node=code, depot=depot, digests=True)
    assert {finding.result for finding in found} <= {Result.PASSED, Result.FAILED}
    return {finding.check for finding in found if finding.result is Result.FAILED}


def parts_in(folder: Path) -> list[Path]:
    return sorted(each for each in folder.rglob("*") if each.is_file())


async def begun(fed: Federation, content: bytes) -> Any:
    """Bring all but the last byte, and return the call once the node has confirmed what it could."""
    call = AttachmentsStub(fed.actor("ee/prosecutor").channel).Upload()
    await call.write(wire.UploadRequest(begin=ref_to(content)))
    for start in range(0, len(content) - 1, 65536):
        await call.write(wire.UploadRequest(data=content[start : min(start + 65536, len(content) - 1)]))
    confirmed = 0
    while confirmed < len(content) // PART_BYTES * PART_BYTES:
        answer = await call.read()
        assert isinstance(answer, wire.UploadResponse)
        confirmed = answer.received
    return call


async def received(fed: Federation, content: bytes) -> int:
    """Return how much of a file the node has."""
    call = AttachmentsStub(fed.actor("ee/prosecutor").channel).Upload()
    await call.write(wire.UploadRequest(begin=ref_to(content)))
    answer = await call.read()
    call.cancel()
    assert isinstance(answer, wire.UploadResponse)
    return answer.received


async def test_backup_has_the_files_of_its_store_while_some_are_brought_and_others_let_go(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        actor, loop = fed.actor("ee/prosecutor"), asyncio.get_running_loop()
        own, node = settings(fed, "ee"), fed.nodes["ee"]
        named, unnamed = os.urandom(SIZE), os.urandom(5000)
        waits = request_naming(fed, [await upload(actor.channel, named)])
        await actor.submit(waits)
        await upload(actor.channel, unnamed)
        half = os.urandom(SIZE)
        call = await begun(fed, half)
        assert node._writer is not None
        late: list[pb.AttachmentRef] = []

        async def meanwhile() -> None:
            # Nobody has touched it for long, and housekeeping looks; and another upload comes to its end.
            stores.rows(own.store, "UPDATE uploads SET touched_at_us = 0 WHERE size = 5000")
            assert node._writer is not None
            await collect(node._writer, open_depot(own), own.attachments, node._steady)
            await call.write(wire.UploadRequest(data=half[-1:]))
            await call.done_writing()
            while not (await call.read()).whole:
                pass
            late.append(await upload(actor.channel, os.urandom(6000)))

        def progress(_done: int, _total: int) -> None:
            if not late:
                asyncio.run_coroutine_threadsafe(meanwhile(), loop).result(60)

        made = await asyncio.to_thread(make, fed, "ee", tmp_path / "backup", progress)
        assert late, "nothing happened meanwhile"
        assert sorted(file.size for file in made.attachments) == [5000, 2 * PART_BYTES, SIZE]
        assert made.missing == ()
        assert failed(fed, "ee", tmp_path / "backup" / backup.STORE) == set()
        # Afterwards it goes.
        await collect(node._writer, open_depot(own), own.attachments, node._steady)
        assert not [
            each for each in depot_of(fed, "ee").iterdir() if each.name.startswith(ref_to(unnamed).sha256.hex())
        ]
        await fed.stop("ee")
        lose(fed, "ee")
        shutil.rmtree(depot_of(fed, "ee"))
        restore(fed, "ee", tmp_path / "backup")
        assert failed(fed, "ee") == set()
        assert {each.stat().st_mode & 0o777 for each in parts_in(depot_of(fed, "ee"))} == {0o600}
        await start_after_restore(fed, "ee")
        await actor.channel.channel_ready()
        # What was half there is gone on with from there.
        assert await received(fed, half) == 2 * PART_BYTES
        await upload(actor.channel, half)
        # And what waited reaches the other node with its file.
        await fed.start("de")
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == waits
        ((part, *_),) = [[each for each in parts_in(depot_of(fed, "de")) if each.name == "00000000"]]
        assert part.read_bytes() == named[:PART_BYTES]
        assert failed(fed, "ee") == set()


async def test_file_of_a_restored_node_is_fetched_by_who_was_sent_it(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        path, out = random_file(tmp_path, SIZE, "evidence.pdf"), tmp_path / "out"
        request = tmp_path / "request.json"
        request.write_text(json_format.MessageToJson(paperwork.request()))
        sender, home = (str(fed.summary.config(who)) for who in ("ee/prosecutor", "ee/central-authority"))
        to = ("--to", "de/central-authority", "--via", "ee/central-authority", "--case", "EE-1")
        more = ("--instrument", "eu-2018-1805", "--attach", str(path), "--config", sender)
        sent = await rogatory("send", "draft", str(request), *to, *more)
        await rogatory("inbox", "--config", home)
        await asyncio.to_thread(make, fed, "ee", tmp_path / "backup")
        await fed.stop("ee")
        lose(fed, "ee")
        shutil.rmtree(depot_of(fed, "ee"))
        restore(fed, "ee", tmp_path / "backup")
        await start_after_restore(fed, "ee")
        out.mkdir()
        got = await rogatory("inbox", "--config", home, "--fetch", sent["id"], "--to", str(out))
        (written,) = out.iterdir()
        assert (str(written), written.read_bytes()) == (got["fetched"][0]["file"], path.read_bytes())
        assert failed(fed, "ee") == set()


@pytest.fixture
async def stopped(tmp_path: Path) -> Federation:
    """A federation that has stopped; at ee lie a file that a waiting request names, and one that nobody names."""
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        actor = fed.actor("ee/prosecutor")
        await actor.submit(request_naming(fed, [await upload(actor.channel, os.urandom(SIZE))]))
        await upload(actor.channel, os.urandom(5000))
    return fed


def rotten(part: Path) -> None:
    part.write_bytes(bytes(part.stat().st_size))


def shorter(part: Path) -> None:
    os.truncate(part, part.stat().st_size - 1)


@pytest.mark.parametrize("spoil", [rotten, shorter, Path.unlink])
def test_file_that_is_damaged_in_the_backup_is_not_put_back_and_nothing_is(
    stopped: Federation, tmp_path: Path, spoil: Any
) -> None:
    make(stopped, "ee", tmp_path / "backup")
    lose(stopped, "ee")
    shutil.rmtree(depot_of(stopped, "ee"))
    spoil(parts_in(tmp_path / "backup" / backup.FILES)[-1])
    with pytest.raises(Refusal) as caught:
        restore(stopped, "ee", tmp_path / "backup")
    assert caught.value.code is ErrorCode.BAD_INPUT
    assert parts_in(stopped.file("ee").parent) == []
    assert not depot_of(stopped, "ee").exists()


def test_no_file_that_is_there_is_overwritten(stopped: Federation, tmp_path: Path) -> None:
    make(stopped, "ee", tmp_path / "backup")
    lose(stopped, "ee")
    before = parts_in(depot_of(stopped, "ee"))
    with pytest.raises(Refusal) as caught:
        restore(stopped, "ee", tmp_path / "backup")
    assert caught.value.code is ErrorCode.BAD_CONFIG
    assert parts_in(depot_of(stopped, "ee")) == before
    assert not stopped.file("ee").exists()


@pytest.mark.parametrize("spoil", [rotten, shorter, Path.unlink])
async def test_file_that_was_lost_before_the_backup_is_told_and_can_be_brought_again(
    stopped: Federation, tmp_path: Path, spoil: Any
) -> None:
    """The rest is backed up and put back; nobody who names the lost one is told that it is there."""
    node = stopped.summary.config("ee/node")
    ((place,),) = stores.rows(stopped.store("ee"), "SELECT place FROM uploads WHERE size = ?", SIZE)
    spoil(depot_of(stopped, "ee") / place / "00000001")
    ran = CliRunner().invoke(commands, ["backup", "--config", str(node), "--out", str(tmp_path / "backup"), "--json"])
    said = json.loads(ran.stdout)
    assert (ran.exit_code, said["missing"], len(said["attachments"])) == (1, [place], 1)
    assert failed(stopped, "ee", tmp_path / "backup" / backup.STORE) == {Check.FILES_NAMED}
    lose(stopped, "ee")
    shutil.rmtree(depot_of(stopped, "ee"))
    own = settings(stopped, "ee")
    _, findings = backup.restore(own, tmp_path / "backup", stopped.directory, stopped.clock(), untold)
    assert [each.check for each in findings if each.result is Result.FAILED] == [Check.FILES_NAMED]


async def test_store_that_has_forgotten_a_lost_file_is_backed_up_and_put_back_all_the_same(
    stopped: Federation, tmp_path: Path
) -> None:
    """As the node forgets one that is not what it was; the envelope that names it waits for it to be brought again."""
    store = stopped.store("ee")
    stores.rows(store, "INSERT INTO discarded SELECT place FROM uploads WHERE size = ?", SIZE)
    stores.rows(store, "DELETE FROM uploads WHERE size = ?", SIZE)
    assert make(stopped, "ee", tmp_path / "backup").missing == ()
    lose(stopped, "ee")
    shutil.rmtree(depot_of(stopped, "ee"))
    node = str(stopped.summary.config("ee/node"))
    ran = CliRunner().invoke(commands, ["restore", "--config", node, "--from", str(tmp_path / "backup")])
    assert ran.exit_code == 0
    assert "its file 0 is not here" in ran.stderr
    assert failed(stopped, "ee") == {Check.FILES_NAMED}
    # And so is what was put back without it.
    make(stopped, "ee", tmp_path / "again")
    lose(stopped, "ee")
    shutil.rmtree(depot_of(stopped, "ee"))
    restore(stopped, "ee", tmp_path / "again")


async def test_backup_of_a_node_with_a_bucket_says_that_the_bucket_is_not_in_it_and_fsck_names_what_is_gone(
    tmp_path: Path,
) -> None:
    async with bucket(tmp_path / "s3") as s3:
        async with federation(tmp_path / "fed", start=[]) as fed:
            path = fed.summary.config("ee/node")
            lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in s3.model_dump(mode="json").items())
            path.write_text(f"{path.read_text()}\n[attachments.s3]\n{lines}")
            await fed.start("ee")
            actor = fed.actor("ee/prosecutor")
            await actor.submit(request_naming(fed, [await upload(actor.channel, os.urandom(SIZE))]))
            await upload(actor.channel, os.urandom(5000))
        own = config.load(NodeConfig, path)
        ran = CliRunner().invoke(commands, ["backup", "--config", str(path), "--out", str(tmp_path / "backup")])
        assert ran.exit_code == 0
        assert "in a bucket, and not in this backup" in ran.stdout
        made = backup.Manifest.read(tmp_path / "backup")
        assert (made.attachments, made.not_included[backup.BUCKET]) == ((), (s3.url,))
        assert failed(fed, "ee") == set()
        lose(fed, "ee")
        restore(fed, "ee", tmp_path / "backup")
        assert failed(fed, "ee") == set()
        depot = open_depot(own)
        ((place,),) = stores.rows(own.store, "SELECT place FROM uploads WHERE size = 5000")
        await depot.discard(place)
        assert await depot.put("aa.1", 0, b"a stray")
        found = fsck.check(own.store, fed.directory, node="ee", depot=depot)
        told = {finding.check: finding.first for finding in found if finding.result is Result.FAILED}
        assert told == {
            Check.FILES_KEPT: (f"file {place}: part 0 is missing",),
            Check.FILES_KNOWN: ("file aa.1: the store knows of none there",),
        }
        # Settings that say otherwise than the backup would lose all files in silence.
        lose(fed, "ee")
        path.write_text(path.read_text().partition("\n[attachments.s3]\n")[0])
        with pytest.raises(Refusal) as caught:
            restore(fed, "ee", tmp_path / "backup")
        assert caught.value.code is ErrorCode.BAD_CONFIG


# What fsck finds among the files.


def strange_file(folder: Path, _: Path) -> None:
    (folder / "notes.txt").write_text("whose?")


def strange_place(folder: Path, part: Path) -> None:
    shutil.copytree(part.parent, folder / f"{'0' * 64}.{'0' * 16}")


@pytest.mark.parametrize("digests", [False, True])
@pytest.mark.parametrize(
    ("check", "spoil", "is_seen_by_size"),
    [
        (Check.FILES_KEPT, lambda _, part: part.unlink(), True),
        (Check.FILES_KEPT, lambda _, part: shorter(part), True),
        (Check.FILES_KEPT, lambda _, part: part.write_bytes(part.read_bytes() + b"x"), True),
        (Check.FILES_KEPT, lambda _, part: rotten(part), False),
        (Check.FILES_KEPT, lambda folder, _: shutil.rmtree(folder), True),
        (Check.FILES_KNOWN, strange_file, True),
        (Check.FILES_KNOWN, strange_place, True),
    ],
    ids=["part-gone", "part-shorter", "part-longer", "other-bytes", "all-gone", "strange-file", "strange-place"],
)
def test_what_lies_otherwise_than_the_store_says_is_found(
    stopped: Federation, check: Check, spoil: Any, is_seen_by_size: bool, digests: bool
) -> None:
    folder = depot_of(stopped, "ee")
    spoil(folder, parts_in(folder)[-1])
    words = ["fsck", "--config", str(stopped.summary.config("ee/node")), "--json"]
    ran = CliRunner().invoke(commands, words + ["--digests"] * digests)
    broken = {each["name"] for each in json.loads(ran.stdout)["checks"] if each["result"] == "failed"}
    assert broken == ({check.name} if is_seen_by_size or digests else set())


def test_file_that_an_envelope_waits_for_and_that_nobody_has_is_found(stopped: Federation) -> None:
    store = stopped.store("ee")
    stores.rows(store, "INSERT INTO discarded SELECT place FROM uploads WHERE size = ?", SIZE)
    stores.rows(store, "DELETE FROM uploads WHERE size = ?", SIZE)
    assert failed(stopped, "ee") == {Check.FILES_NAMED}
    # Nor may it be said that nothing waits for it any more, until nothing does.
    stores.rows(store, "UPDATE attachments SET ended_at_us = 1")
    assert failed(stopped, "ee") == {Check.FILES_NAMED}
    stores.rows(store, "UPDATE deliveries SET state = 'delivered' WHERE envelope_seq IS NOT NULL")
    assert Check.FILES_NAMED not in failed(stopped, "ee")


@pytest.mark.parametrize(
    ("check", "statement"),
    [
        (Check.HEADERS, "DELETE FROM attachments"),
        (Check.HEADERS, "UPDATE attachments SET size = size + 1"),
        (Check.SOMEBODY_ACTS, "UPDATE freight SET carried = 1"),
        (Check.SOMEBODY_ACTS, "DELETE FROM freight"),
    ],
)
def test_envelope_whose_files_nobody_keeps_or_brings_is_found(
    stopped: Federation, check: Check, statement: str
) -> None:
    stores.rows(stopped.store("ee"), statement)
    assert check in failed(stopped, "ee")


@contextmanager
def full_disk() -> Iterator[None]:
    """Have no part of a file of attachments written whole."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PART_BYTES // 2, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_disk_that_is_full_under_a_backup_is_a_failure_and_what_is_there_is_no_backup(
    stopped: Federation, tmp_path: Path
) -> None:
    with full_disk(), pytest.raises(Failure) as caught:
        make(stopped, "ee", tmp_path / "backup")
    assert caught.value.code is ErrorCode.STORE
    assert not (tmp_path / "backup" / backup.MANIFEST).exists()


def test_disk_that_is_full_under_a_restoration_is_a_failure_and_nothing_is_left_of_it(
    stopped: Federation, tmp_path: Path
) -> None:
    make(stopped, "ee", tmp_path / "backup")
    lose(stopped, "ee")
    shutil.rmtree(depot_of(stopped, "ee"))
    with full_disk(), pytest.raises(Failure) as caught:
        restore(stopped, "ee", tmp_path / "backup")
    assert caught.value.code is ErrorCode.STORE
    assert not depot_of(stopped, "ee").exists()
    restore(stopped, "ee", tmp_path / "backup")
    assert failed(stopped, "ee") == set()


def inodes(*paths: Path) -> set[int]:
    return {each.stat().st_ino for each in paths}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes of what is synced from now on."""
    found: list[int] = []
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        found.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    return found


def test_all_of_a_backup_is_on_the_disk_with_its_own_name_before_older_ones_go(
    stopped: Federation, tmp_path: Path, synced: list[int]
) -> None:
    folder = tmp_path / "backup"
    make(stopped, "ee", folder)
    *before, manifest, whole, name = synced
    assert [{manifest}, {whole}, {name}] == [inodes(each) for each in (folder / backup.MANIFEST, folder, tmp_path)]
    assert inodes(*folder.rglob("*")) - {manifest} <= set(before)


def test_files_that_are_put_back_are_on_the_disk_before_their_store_has_its_name(
    stopped: Federation, tmp_path: Path, synced: list[int]
) -> None:
    make(stopped, "ee", tmp_path / "backup")
    lose(stopped, "ee")
    files = depot_of(stopped, "ee")
    shutil.rmtree(files)
    synced.clear()
    restore(stopped, "ee", tmp_path / "backup")
    *before, store, name = synced
    assert [{store}, {name}] == [inodes(each) for each in (stopped.file("ee"), stopped.file("ee").parent)]
    assert inodes(files.parent, files, *files.rglob("*")) <= set(before)


async def test_nothing_is_deleted_while_a_backup_holds_the_folder(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=[]) as fed:
        settle_settings(fed, "ee", collect_seconds=86400)
        await fed.start("ee")
        own, node = settings(fed, "ee"), fed.nodes["ee"]
        await upload(fed.actor("ee/prosecutor").channel, os.urandom(5000))
        stores.rows(own.store, "UPDATE uploads SET touched_at_us = 0")
        assert node._writer is not None
        with held(depot_of(fed, "ee")):
            await collect(node._writer, open_depot(own), own.attachments, node._steady)
            assert len(parts_in(depot_of(fed, "ee"))) == 1
            assert stores.rows(own.store, "SELECT count(*) FROM uploads") == [(1,)]
        await collect(node._writer, open_depot(own), own.attachments, node._steady)
        assert parts_in(depot_of(fed, "ee")) == []


def test_last_backup_with_all_files_stays_however_many_newer_ones_lack_some(
    stopped: Federation, tmp_path: Path
) -> None:
    words = ["backup", "--config", str(stopped.summary.config("ee/node")), "--into", str(tmp_path / "all")]
    assert CliRunner().invoke(commands, words).exit_code == 0
    (whole,) = (tmp_path / "all").iterdir()
    whole = whole.rename(whole.with_name("ee-20200101T000000Z"))
    # The disk of the files is not there, say.
    away = depot_of(stopped, "ee").rename(tmp_path / "away")
    ran = CliRunner().invoke(commands, [*words, "--keep", "1"])
    assert ran.exit_code == 1
    assert len([*(tmp_path / "all").iterdir()]) == 2
    away.rename(depot_of(stopped, "ee"))
    lose(stopped, "ee")
    shutil.rmtree(depot_of(stopped, "ee"))
    restore(stopped, "ee", whole)
    assert failed(stopped, "ee") == set()


def test_backup_that_was_just_made_stays_though_others_are_dated_later(stopped: Federation, tmp_path: Path) -> None:
    """Their clock was ahead."""
    words = ["backup", "--config", str(stopped.summary.config("ee/node")), "--into", str(tmp_path), "--keep", "1"]
    assert CliRunner().invoke(commands, words).exit_code == 0
    (ahead,) = tmp_path.glob("ee-*")
    ahead = ahead.rename(ahead.with_name("ee-20990101T000000Z"))
    ran = CliRunner().invoke(commands, [*words, "--json"])
    assert ran.exit_code == 0
    assert Path(json.loads(ran.stdout)["folder"], backup.MANIFEST).is_file()


def test_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    depot = Depot.of_folder(tmp_path / "missing")
    assert [*depot.places()] == []
    assert depot.sizes("aa.1") == {}
    with held(tmp_path / "missing"):
        assert not (tmp_path / "missing").exists()
