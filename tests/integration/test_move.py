"""A node stops, its store is moved to the other engine, and it goes on there as if nothing had happened."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb

from gateway import merkle
from gateway.errors import ErrorCode
from gateway.store.fsck import Check
from tests import postgres, stores
from tests.errors import raises
from tests.federation import Federation, federation, until
from tests.files import request_naming, upload
from tests.integration.test_backup import start_after_restore
from tests.judge import judge
from tests.processes import finished
from tests.stores import Place

pytestmark = pytest.mark.integration

ENDED = ("delivered", "refused", "expired")
SERVING = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture
def to(tmp_path: Path) -> Iterator[Place]:
    """A place of the other engine."""
    if stores.is_postgres():
        yield tmp_path / "moved.db"
        return
    with postgres.database() as address:
        yield address


async def rogatory(*words: object) -> tuple[int, Any]:
    status, said, _ = await finished(*map(str, words), "--json")
    return status, json.loads(said)


def settings(fed: Federation, code: str = "ee") -> Path:
    return fed.summary.config(f"{code}/node")


def obey(file: Path, told: str) -> None:
    """Do to a settings file what the command said: `store` in the place of the one there, all else at the end."""
    store, *others = re.findall(r"^  (.*)$", told, re.MULTILINE)
    before, found = re.subn(r"^store = .*$", lambda _: store, file.read_text(), flags=re.MULTILINE)
    assert found == 1
    file.write_text("\n".join([before, *others, ""]))


async def receipt(fed: Federation, signed: pb.SignedEnvelope) -> bytes:
    """Hand in; return the node's answer as it came."""
    answer = await fed.actor("ee/prosecutor").answer(signed)
    assert answer.WhichOneof("result") == "receipt", answer
    return answer.receipt.SerializeToString(deterministic=True)


def leaves(store: Place) -> list[bytes]:
    return [leaf for (leaf,) in stores.rows(store, "SELECT leaf_hash FROM log_entries ORDER BY position")]


async def test_node_goes_on_from_where_its_store_was_moved_to(tmp_path: Path, to: Place) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        prosecutor = fed.actor("ee/prosecutor")
        # One waits for a country that is away, with a file; of it and another the first answers are known.
        waits = request_naming(fed, [await upload(prosecutor.channel, os.urandom(5000))])
        first = [(each, await receipt(fed, each)) for each in (waits, fed.request(case_id="EE-2"))]
        if stores.is_postgres():
            await until(lambda: stores.rows(fed.store("ee"), SERVING) == [(1,)])
        refused, _ = await rogatory("move", "--config", settings(fed), "--to", to)
        assert refused == 1, "the node serves"
        await fed.stop("ee")
        old = fed.store("ee")
        before = leaves(old)
        status, told, errors = await finished("move", "--config", str(settings(fed)), "--to", str(to))
        assert status == 0, errors
        # Whoever starts the old one is told, and whoever types it again is told the same.
        with raises(ErrorCode.BAD_CONFIG):
            await fed.start("ee")
        status, again = await rogatory("move", "--config", settings(fed), "--to", to)
        assert (status, again["rows"], again["settings"]["store"]) == (0, {}, str(to))
        obey(settings(fed), told)
        assert fed.store("ee") == to
        status, checked = await rogatory("check-config", settings(fed))
        assert (status, checked["files"][0]["ok"]) == (0, True)
        for code in ("ee", "de"):
            await fed.start(code)
        # The first answers, byte by byte.
        assert [await receipt(fed, each) for each, _ in first] == [answer for _, answer in first]
        later = fed.request(case_id="EE-3")
        await receipt(fed, later)
        central = fed.actor("de/central-authority")
        arrived = await central.collect(3)
        assert sorted(each.envelope.header for each in arrived) == sorted(
            each.header for each in (waits, first[1][0], later)
        )
        assert await central.waiting() == []
        await prosecutor.collect(6)
        pending = f"SELECT 1 FROM deliveries WHERE envelope_seq IS NOT NULL AND state NOT IN {ENDED}"
        await until(lambda: stores.rows(to, pending) == [])
        # The log is the same one, and longer.
        assert leaves(to)[: len(before)] == before
        assert len(leaves(to)) > len(before)
        assert stores.rows(to, "SELECT count(DISTINCT origin) FROM checkpoints") == [(1,)]
        judge(to, "ee", fed.directory, all_final=False)
    status, found = await rogatory("fsck", "--config", settings(fed), "--digests")
    assert (status, {each["result"] for each in found["checks"]}) == (0, {"passed"})
    assert len(found["checks"]) == len(Check)
    # What stays of the old store is evidence, and whole.
    judge(old, "ee", fed.directory, all_final=False)
    assert merkle.root(leaves(old)) == merkle.root(before)


@pytest.mark.file
async def test_store_that_was_moved_is_a_backup_of_that_moment_where_the_new_one_is_lost(
    tmp_path: Path, to: Place
) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        known = fed.request(case_id="EE-1")
        answer = await receipt(fed, known)
        await fed.stop("ee")
        assert (await rogatory("move", "--config", settings(fed), "--to", to))[0] == 0
        status, _ = await rogatory("backup", "--config", settings(fed), "--out", tmp_path / "backup")
        assert status == 0
        fed.file("ee").unlink()
        status, _ = await rogatory("restore", "--config", settings(fed), "--from", tmp_path / "backup")
        assert status == 0
        # As any other that was put back: with an explicit word alone.
        with raises(ErrorCode.BAD_CONFIG) as caught:
            await fed.start("ee")
        assert "--after-restore" in caught.value.detail
        await start_after_restore(fed, "ee")
        assert await receipt(fed, known) == answer
