"""A store is copied while its node serves, and put back; what it has forgotten becomes no lie."""

import asyncio
import json
import stat
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2 as sqlite
import pytest
from click.testing import CliRunner
from rogatory.v1 import envelope_pb2 as pb

from gateway import config, material
from gateway.cli import commands
from gateway.clock import system_clock
from gateway.config import NodeConfig
from gateway.directory import KeyEntry
from gateway.errors import ErrorCode, Refusal
from gateway.node import Node
from gateway.store import backup, fsck, open_store
from gateway.store.fsck import Check, Result
from tests.federation import Actor, Federation, federation, ref, until
from tests.judge import judge

pytestmark = pytest.mark.integration

CENTRAL = "de/central-authority"


def untold(_: int, __: int) -> None:
    """Tell nobody how far it is."""


def settings(fed: Federation, code: str) -> NodeConfig:
    return config.load(NodeConfig, fed.summary.config(f"{code}/node"))


def make(fed: Federation, code: str, out: Path, progress: Callable[[int, int], None] = untold) -> backup.Manifest:
    return backup.make(settings(fed, code), fed.summary.config(f"{code}/node"), out, fed.clock(), progress)


def restore(fed: Federation, code: str, folder: Path) -> None:
    backup.restore(settings(fed, code), folder, fed.directory, fed.clock(), untold)


def lose(fed: Federation, code: str) -> None:
    fed.file(code).unlink()


async def start_after_restore(fed: Federation, code: str) -> Node:
    loaded = material.load_node(fed.summary.config(f"{code}/node"), fed.clock)
    node = fed.nodes[code] = Node(loaded.config, loaded, clock=fed.clock, after_restore=True)
    await node.start()
    return node


def failed(fed: Federation, code: str, store: Path | None = None) -> list[fsck.Finding]:
    found = fsck.check(store or fed.file(code), fed.directory, node=code)
    return [finding for finding in found if finding.result is Result.FAILED]


def rows(store: Path, sql: str) -> list[Any]:
    with closing(sqlite.connect(str(store))) as opened:
        return list(opened.execute(sql).fetchall())


async def send(fed: Federation, case: str, **fields: Any) -> pb.SignedEnvelope:
    made = fed.request(case_id=case, **fields)
    assert (await fed.actor("ee/prosecutor").submit(made)).milestone == pb.MILESTONE_ACCEPTED
    return made


def code_of(caught: pytest.ExceptionInfo[Refusal]) -> ErrorCode:
    return caught.value.code


async def test_backup_of_a_node_that_serves_is_whole_and_has_all_that_was_acknowledged(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        first = [ref(await send(fed, f"EE-{number}")).id for number in range(20)]
        sending, copying = asyncio.Event(), asyncio.Event()

        async def keep_sending() -> int:
            number = 100
            while not copying.is_set():
                await send(fed, f"EE-{number}")
                sending.set()
                number += 1
            return number - 100

        busy = asyncio.create_task(keep_sending())
        await sending.wait()
        made = await asyncio.to_thread(make, fed, "ee", tmp_path / "backup")
        copying.set()
        assert await busy
        store = tmp_path / "backup" / backup.STORE
        kept = {row[0] for row in rows(store, "SELECT id FROM envelopes")}
        assert kept >= set(first)
        assert made.envelopes == len(kept) < len(rows(fed.file("ee"), "SELECT 1 FROM envelopes")) + 1
        assert made.log_size == len(rows(store, "SELECT 1 FROM log_entries"))
        assert failed(fed, "ee", store) == []
        judge(store, "ee", fed.directory, all_final=False)


async def test_backup_is_its_owners_alone_and_has_no_secret(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        await send(fed, "EE-1")
        made = make(fed, "ee", tmp_path / "backup")
        own = settings(fed, "ee")
    files = list((tmp_path / "backup").iterdir())
    assert {file.name for file in files} == {backup.STORE, backup.SETTINGS, backup.MANIFEST}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o700
    secrets = [path.read_bytes() for path in (*own.signing_keys, own.tls_key)]
    assert not any(secret in file.read_bytes() for secret in secrets for file in files)
    assert {str(own.signing_keys[0]), str(own.tls_key)} <= {p for paths in made.not_included.values() for p in paths}
    with pytest.raises(Refusal) as caught:
        make(fed, "ee", tmp_path / "backup")
    assert code_of(caught) is ErrorCode.BAD_CONFIG


@pytest.fixture
async def stopped(tmp_path: Path) -> Federation:
    """A federation that has stopped, and a backup of ee in `tmp_path / "backup"`."""
    async with federation(tmp_path / "fed") as fed:
        await send(fed, "EE-1")
        make(fed, "ee", tmp_path / "backup")
    return fed


def test_nothing_is_overwritten(stopped: Federation, tmp_path: Path) -> None:
    store = stopped.file("ee")
    # Nor is the log of a store that was moved away given to another.
    log = store.with_name("node.db-wal")
    before = store.read_bytes()
    for there in (store, log):
        with pytest.raises(Refusal) as caught:
            restore(stopped, "ee", tmp_path / "backup")
        assert code_of(caught) is ErrorCode.BAD_CONFIG
        assert [each for each in store.parent.iterdir() if each.is_file()] == [there]
        assert there.read_bytes() == before
        there.replace(log)


def spoil_digest(folder: Path) -> None:
    with (folder / backup.STORE).open("r+b") as file:
        file.seek(5000)
        file.write(b"?")


def forge(folder: Path, statement: str) -> None:
    """Change what was backed up, and the manifest with it."""
    with closing(sqlite.connect(str(folder / backup.STORE))) as opened:
        opened.execute(statement)
        opened.commit()
    manifest = json.loads((folder / backup.MANIFEST).read_text())
    manifest["files"][0] = backup._entry(folder, backup.STORE).model_dump()
    (folder / backup.MANIFEST).write_text(json.dumps(manifest))


def spoil_promise(folder: Path) -> None:
    forge(folder, "DELETE FROM log_entries WHERE position = 1")


def spoil_manifest(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        manifest = json.loads((folder / backup.MANIFEST).read_text()) | changes
        (folder / backup.MANIFEST).write_text(json.dumps(manifest))

    return spoil


OUTSIDE = [{"name": "../store.db", "size": 0, "sha256": "0" * 64}]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (spoil_digest, ErrorCode.BAD_INPUT),
        (spoil_promise, ErrorCode.BAD_INPUT),
        (spoil_manifest(format=2), ErrorCode.BAD_INPUT),
        (spoil_manifest(files=OUTSIDE), ErrorCode.BAD_INPUT),
        (spoil_manifest(node="de"), ErrorCode.BAD_CONFIG),
        (lambda folder: (folder / backup.MANIFEST).unlink(), ErrorCode.BAD_INPUT),
        (lambda folder: (folder / backup.SETTINGS).unlink(), ErrorCode.BAD_INPUT),
    ],
    ids=["digest", "promise", "format", "outside", "node", "manifest", "file"],
)
def test_backup_that_is_not_what_it_says_is_not_put_back(
    stopped: Federation, tmp_path: Path, spoil: Callable[[Path], Any], code: ErrorCode
) -> None:
    lose(stopped, "ee")
    folder = stopped.file("ee").parent
    spoil(tmp_path / "backup")
    with pytest.raises(Refusal) as caught:
        restore(stopped, "ee", tmp_path / "backup")
    assert code_of(caught) is code
    left = [each for each in folder.rglob("*") if each.is_file()]
    assert left == [], "something was left behind"


def stolen(keys: Sequence[KeyEntry]) -> tuple[KeyEntry, ...]:
    """Return keys that are distrusted from before anything was signed with them."""
    return tuple(each.model_copy(update={"not_trusted_after": each.not_before}) for each in keys)


@pytest.mark.parametrize("forged", [False, True])
def test_what_was_signed_with_a_key_that_was_found_stolen_since_is_put_back_and_nothing_that_is_forged(
    stopped: Federation, tmp_path: Path, forged: bool
) -> None:
    before, lost = stopped.directory, ["ee/prosecutor", "ee/central-authority"]
    people = [
        each.model_copy(update={"signing_keys": stolen(each.signing_keys)}) if str(each.address) in lost else each
        for each in before.participants
    ]
    keys = before.node("ee").signing_keys
    nodes = [
        each.model_copy(update={"signing_keys": stolen(keys)}) if each.code == "ee" else each for each in before.nodes
    ]
    stopped.sign_anew(before.model_copy(update={"participants": tuple(people), "nodes": tuple(nodes)}))
    folder = tmp_path / "backup"
    if forged:
        forge(folder, "UPDATE receipts SET signature = statement")
    lose(stopped, "ee")
    if forged:
        with pytest.raises(Refusal) as caught:
            restore(stopped, "ee", folder)
        assert (code_of(caught), stopped.file("ee").exists()) == (ErrorCode.BAD_INPUT, False)
        return
    restore(stopped, "ee", folder)
    # What it counts for by now is told still.
    assert {each.check for each in failed(stopped, "ee")} >= {Check.SIGNATURES, Check.STATEMENTS_PROVEN}


async def test_restored_node_starts_with_an_explicit_word_alone(stopped: Federation, tmp_path: Path) -> None:
    lose(stopped, "ee")
    restore(stopped, "ee", tmp_path / "backup")
    assert stat.S_IMODE(stopped.file("ee").stat().st_mode) == 0o600
    with pytest.raises(Refusal) as caught:
        await stopped.start("ee")
    assert code_of(caught) is ErrorCode.BAD_CONFIG
    await (await start_after_restore(stopped, "ee")).stop()
    # Once is enough: it has been taken up.
    await (await stopped.start("ee")).stop()
    ((size, root, taken_up),) = rows(
        stopped.file("ee"), "SELECT log_size, log_root, taken_up_at_us IS NOT NULL FROM restorations"
    )
    manifest = backup.Manifest.read(tmp_path / "backup")
    assert (size, root.hex(), taken_up) == (manifest.log_size, manifest.log_root, 1)
    assert failed(stopped, "ee") == []


async def test_log_whose_restored_beginning_was_changed_is_found(stopped: Federation, tmp_path: Path) -> None:
    lose(stopped, "ee")
    restore(stopped, "ee", tmp_path / "backup")
    with closing(sqlite.connect(str(stopped.file("ee")))) as opened:
        opened.execute("UPDATE restorations SET log_root = zeroblob(32)")
        opened.commit()
    assert Check.RESTORATIONS in {finding.check for finding in failed(stopped, "ee")}


async def test_what_was_forgotten_comes_back_from_those_who_have_it(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        prosecutor, central = fed.actor("ee/prosecutor"), fed.actor(CENTRAL)
        waits = await send(fed, "EE-1")
        make(fed, "ee", tmp_path / "backup")
        # All this ee is going to forget: that its first request arrived, and its second altogether.
        await fed.start("de")
        later = await send(fed, "EE-2")
        await central.collect(2)
        await prosecutor.collect(4)
        await fed.stop("ee")
        lose(fed, "ee")
        restore(fed, "ee", tmp_path / "backup")
        await start_after_restore(fed, "ee")
        # The sender's library sends what it has no end of: the identical bytes.
        assert (await prosecutor.submit(waits)).milestone == pb.MILESTONE_ACCEPTED
        assert (await prosecutor.submit(later)).milestone == pb.MILESTONE_ACCEPTED
        await until(
            lambda: not rows(fed.file("ee"), "SELECT 1 FROM deliveries WHERE envelope_seq AND state <> 'delivered'")
        )
        # Nobody got anything twice, and the other node gave its first answer again.
        assert await central.waiting() == []
        assert len(rows(fed.file("de"), "SELECT 1 FROM envelopes")) == 2
        assert failed(fed, "ee") == []
        assert failed(fed, "de") == []


async def test_copy_that_was_collected_since_the_backup_is_not_called_expired(tmp_path: Path) -> None:
    offset = timedelta()

    def clock() -> datetime:
        return system_clock() + offset

    async with federation(tmp_path / "fed", clock=clock) as fed:
        central = fed.actor(CENTRAL)
        sent = await send(fed, "EE-1", expires_at=clock() + timedelta(hours=1))
        await until(lambda: bool(rows(fed.file("de"), "SELECT 1 FROM deliveries WHERE envelope_seq = 1")))
        make(fed, "de", tmp_path / "backup")
        held = await central.collect(1)
        assert held[0].envelope == sent
        await fed.stop("de")
        lose(fed, "de")
        restore(fed, "de", tmp_path / "backup")
        offset = timedelta(hours=2)
        await start_after_restore(fed, "de")
        # It is asked, not told: it holds the envelope, and says so.
        (asked,) = await again(central)
        assert asked.HasField("probe")
        await until(lambda: bool(rows(fed.file("ee"), "SELECT 1 FROM receipts WHERE milestone = 2")))
        assert rows(fed.file("ee"), "SELECT 1 FROM receipts WHERE milestone = 4") == []
        assert rows(fed.file("de"), "SELECT name FROM events WHERE name = 'delivery.doubted'") == [
            ("delivery.doubted",)
        ]
        assert failed(fed, "de") == []


async def test_what_was_forgotten_and_is_handed_in_again_is_not_called_expired_though_it_was_delivered(
    tmp_path: Path,
) -> None:
    offset = timedelta()

    def clock() -> datetime:
        return system_clock() + offset

    async with federation(tmp_path / "fed", clock=clock) as fed:
        prosecutor, central = fed.actor("ee/prosecutor"), fed.actor(CENTRAL)
        make(fed, "ee", tmp_path / "backup")
        sent = await send(fed, "EE-1", expires_at=clock() + timedelta(hours=1))
        assert [item.envelope for item in await central.collect(1)] == [sent]
        await until(lambda: bool(rows(fed.file("ee"), "SELECT 1 FROM receipts WHERE milestone = 2")))
        await fed.stop("ee")
        await fed.stop("de")
        lose(fed, "ee")
        restore(fed, "ee", tmp_path / "backup")
        await start_after_restore(fed, "ee")
        assert (await prosecutor.submit(sent)).milestone == pb.MILESTONE_ACCEPTED
        await fed.stop("ee")
        # Its time runs out before the other node can be asked.
        offset = timedelta(hours=2)
        await fed.start("ee")
        tried = "SELECT 1 FROM events WHERE name = 'delivery.failed' OR name = 'receipt.expired'"
        await until(lambda: bool(rows(fed.file("ee"), tried)))
        await fed.start("de")
        arrived = "SELECT state FROM deliveries WHERE envelope_seq AND state IN ('delivered', 'expired')"
        await until(lambda: bool(rows(fed.file("ee"), arrived)))
        assert rows(fed.file("ee"), arrived) == [("delivered",)]
        assert rows(fed.file("ee"), "SELECT 1 FROM receipts WHERE milestone = 4") == []
        assert failed(fed, "ee") == []
        assert failed(fed, "de") == []


async def again(actor: Actor) -> list[Any]:
    """Collect over a new connection: the old one was to the process that is gone."""
    await actor.channel.channel_ready()
    return await actor.collect(1)


# The commands.


def run(*arguments: str | Path) -> tuple[int, Any]:
    made = CliRunner().invoke(commands, [*map(str, arguments), "--json"])
    return made.exit_code, json.loads(made.stdout)


def test_commands_copy_check_put_back_and_compact(stopped: Federation, tmp_path: Path) -> None:
    node = stopped.summary.config("ee/node")
    status, made = run("backup", "--config", node, "--out", tmp_path / "second")
    assert (status, made["envelopes"]) == (0, 1)
    status, found = run("fsck", tmp_path / "second" / backup.STORE)
    assert (status, found["ok"]) == (0, True)
    unseen = {check.name for check in fsck.WITH_KEYS}
    assert {each["name"] for each in found["checks"] if each["result"] == "not checked"} == unseen
    status, found = run("fsck", "--config", node)
    assert (status, {each["result"] for each in found["checks"]}) == (0, {"passed"})
    status, found = run("restore", "--config", node, "--from", tmp_path / "second")
    assert (status, found["error"]["code"]) == (2, "BAD_CONFIG")
    lose(stopped, "ee")
    status, found = run("restore", "--config", node, "--from", tmp_path / "second")
    assert (status, found["log_size"]) == (0, made["log_size"])
    status, found = run("compact", "--config", node)
    assert (status, found["after"]) == (0, stopped.file("ee").stat().st_size)
    with closing(sqlite.connect(str(stopped.file("ee")))) as opened:
        opened.execute("UPDATE log_entries SET leaf_hash = zeroblob(32) WHERE position = 1")
        opened.commit()
    status, found = run("fsck", "--config", node)
    broken = {each["number"]: each for each in found["checks"] if each["result"] == "failed"}
    assert (status, found["ok"], {*broken}) == (1, False, {Check.LOG_LEAVES.number, Check.RESTORATIONS.number})
    assert broken[Check.LOG_LEAVES.number]["failures"] == 1
    assert broken[Check.LOG_LEAVES.number]["first"] == ["log entry 1: another hash"]
    assert run("fsck")[1]["error"]["code"] == "BAD_CONFIG"
    assert run("fsck", tmp_path / "missing.db")[1]["error"]["code"] == "BAD_CONFIG"


def test_people_see_each_check_and_what_offends(stopped: Federation) -> None:
    open_store(stopped.file("ee"))[1].dispose()
    shown = CliRunner().invoke(commands, ["fsck", "--config", str(stopped.summary.config("ee/node"))])
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[-1] == f"{len(Check)} passed"
    assert all(check.says in shown.stdout for check in Check)
