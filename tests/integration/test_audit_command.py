"""`rogatory audit` from its arguments to its exit, over a folder, the web and a real node."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import merkle
from gateway.note import Verifier
from tests.federation import Federation, federation
from tests.integration.test_backup import make, restore, start_after_restore
from tests.integration.test_log_over_http import served
from tests.logs import KEY, LEAVES, ORIGIN, OTHER, STRANGER, publish, signed
from tests.processes import finished, rogatory

pytestmark = pytest.mark.integration

VKEY = str(Verifier(ORIGIN, KEY.public_key))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    publish(tmp_path / "log", LEAVES[:600])
    return tmp_path / "log"


async def audited(*arguments: str | Path) -> tuple[int, Any]:
    status, out, err = await finished("audit", *map(str, arguments), "--json")
    assert "Traceback" not in err, err
    return status, json.loads(out)


async def test_what_has_changed_is_told(log: Path) -> None:
    given = (log, "--key", VKEY, "--state", log.parent / "state")
    status, first = await audited(*given)
    assert (status, first["size"], first["new"], first["before"]) == (0, 600, 600, None)
    assert first["root"] == merkle.root(LEAVES[:600]).hex()
    status, again = await audited(*given)
    assert (status, again["changed"], again["stands_since"]) == (0, False, first["looked_at"])
    publish(log, LEAVES)
    status, out, err = await finished("audit", *map(str, given))
    assert (status, err) == (0, "")
    assert out.startswith("900 new entries since ")


async def test_log_that_was_caught_is_refused_until_somebody_has_dealt_with_it(log: Path) -> None:
    given = (log, "--key", VKEY, "--state", log.parent / "state")
    await audited(*given)
    publish(log, [OTHER, *LEAVES[1:700]])
    status, told = await audited(*given)
    assert (status, told["error"]["code"], told["error"]["rule"]) == (2, "LOG_VIOLATED", "REWRITTEN")
    publish(log, LEAVES[:700])
    status, out, err = await finished("audit", *map(str, given))
    assert status == 2
    assert out.startswith("100 new entries since ")
    assert "LOG_VIOLATED" in err
    status, told = await audited(*given)
    assert (status, told["error"]["rule"], told["size"]) == (2, "REWRITTEN", 700)
    (log.parent / "state.evidence").rename(log.parent / "taken")
    assert (await audited(*given))[0] == 0


async def test_entry_that_is_not_there_is_told(log: Path) -> None:
    status, out, err = await finished("audit", str(log), "--key", VKEY, "--contains", OTHER.hex())
    assert status == 2
    assert f"{OTHER.hex()}: not in the log" in out
    assert "NOT_FOUND" in err
    assert (await audited(log, "--key", VKEY, "--contains", LEAVES[3].hex()))[1]["contains"][0]["index"] == 3


async def test_what_others_have_is_held_against_it(log: Path) -> None:
    note = log.parent / "note"
    note.write_bytes(bytes(signed([OTHER, *LEAVES[1:300]])))
    given = (log, "--key", VKEY, "--state", log.parent / "state")
    status, told = await audited(*given, "--against", note)
    assert (status, told["error"]["code"], told["error"]["rule"]) == (2, "LOG_VIOLATED", "FORKED")
    publish(log.parent / "mirror", LEAVES[:300])
    other = log.parent / "other"
    await audited(log.parent / "mirror", "--key", VKEY, "--state", other)
    (log.parent / "state.evidence").rename(log.parent / "taken")
    rivals = ("--against", log.parent / "mirror", "--against", other, "--against", "http://127.0.0.1:9/")
    status, told = await audited(*given, *rivals)
    assert (status, [each["relation"] for each in told["against"]]) == (0, ["behind", "behind", "unavailable"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "BAD_INPUT"),
        (("--key", "x"), "MALFORMED"),
        (("--key", VKEY, "--node", "ee"), "BAD_INPUT"),
        (("--key", VKEY, "--require-cosigned"), "BAD_INPUT"),
        (("--node", "ee", "--root", "root.json", "--directory", "dir"), "BAD_INPUT"),
        (("--key", VKEY, "--witness", VKEY), "BAD_INPUT"),
        (("--key", VKEY, "--contains", "00"), "BAD_INPUT"),
        (("--key", VKEY, "--contains", "x" * 64), "BAD_INPUT"),
        (("--key", VKEY, "--contains", f"{'00' * 31}  "), "BAD_INPUT"),
        (("--key", VKEY, "--against", "/nonexistent"), "BAD_INPUT"),
        (("--key", VKEY, "--follow", "1"), "BAD_INPUT"),
        (("--key", VKEY, "--state", "/nonexistent/state"), "BAD_CONFIG"),
        (("--key", str(Verifier(ORIGIN, STRANGER.public_key))), "BAD_SIGNATURE"),
        (("--key", str(Verifier("de.rogatory.test/log", KEY.public_key))), "BAD_SIGNATURE"),
    ],
)
async def test_what_cannot_be_used_is_refused(log: Path, arguments: tuple[str, ...], code: str) -> None:
    status, told = await audited(log, *arguments)
    assert (status, told["error"]["code"]) == (2, code)


async def test_log_is_followed_until_somebody_says_stop(log: Path) -> None:
    arguments = ("--key", VKEY, "--state", str(log.parent / "state"), "--follow", "0.1", "--json")
    process = await rogatory("audit", str(log), *arguments)

    async def line() -> Any:
        return json.loads(await process.stdout.readline())

    async with asyncio.timeout(60):
        assert (await line())["new"] == 600
        publish(log, LEAVES[:700])
        assert (await line())["new"] == 100
        (log / "checkpoint").unlink()
        assert (await line())["error"]["code"] == "UNAVAILABLE"
        publish(log, LEAVES[:800])
        assert (await line())["new"] == 100
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_following_ends_when_the_log_is_caught(log: Path) -> None:
    arguments = ("--key", VKEY, "--state", str(log.parent / "state"), "--follow", "0.1")
    plain = await rogatory("audit", str(log), *arguments)
    async with asyncio.timeout(60):
        assert b"first look" in await plain.stdout.readline()
        publish(log, [*LEAVES[:599], OTHER])
        assert b"FORKED" in await plain.stderr.read()
        assert await plain.wait() == 2
        machine = await rogatory("audit", str(log), *arguments, "--json")
        (line,) = (await machine.stdout.read()).splitlines()
        assert json.loads(line)["error"]["rule"] == "FORKED"
        assert await machine.wait() == 2


async def test_restoration_goes_on_with_consent(log: Path) -> None:
    given = (log, "--key", VKEY, "--state", log.parent / "state")
    await audited(*given)
    after = [*LEAVES[:550], OTHER]
    publish(log, after, signed(after, origin=f"{ORIGIN}/1"))
    status, told = await audited(*given)
    assert (status, told["error"]["code"], told["error"]["rule"]) == (2, "LOG_VIOLATED", "RESTORED")
    status, out, _ = await finished("audit", *map(str, given), "--accept-restoration")
    assert status == 0
    assert out.startswith(f"RESTORED from a backup: {ORIGIN} with 600 entries goes on as {ORIGIN}/1;")
    assert (await audited(*given))[1]["origin"] == f"{ORIGIN}/1"


@pytest.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed", start=["ee"]) as made:
        yield made


async def test_node_that_was_put_back_from_a_backup_is_noticed(fed: Federation, tmp_path: Path) -> None:
    given = ("ee", "--config", fed.summary.config("ee/auditor"), "--state", tmp_path / "state")

    async def grown(least: int) -> Any:
        async with asyncio.timeout(60):
            while (told := await audited(*given))[0] == 1 or told[1].get("size", least) < least:
                pass
            return told

    for _ in range(3):
        await fed.actor("ee/prosecutor").submit(fed.request())
    assert (await grown(6))[0] == 0
    await asyncio.to_thread(make, fed, "ee", tmp_path / "backup")
    await fed.actor("ee/prosecutor").submit(fed.request())
    status, before = await grown(8)
    assert status == 0
    await fed.stop("ee")
    fed.file("ee").unlink()
    restore(fed, "ee", tmp_path / "backup")
    await start_after_restore(fed, "ee")
    async with asyncio.timeout(60):
        while (told := await audited(*given))[1].get("error", {}).get("rule") != "RESTORED":
            # The checkpoint of before is in the backup, too, and is shown until there is a new one.
            assert told[1].get("error", {}).get("rule") in {"ROLLED_BACK", "", None}, told
    status, told = await audited(*given, "--accept-restoration")
    assert (status, told["origin"]) == (0, "ee.rogatory.test/log/1")
    assert 6 <= told["restored"]["common"] < before["size"]


async def test_nodes_log_is_audited_over_grpc_and_over_http(fed: Federation, tmp_path: Path) -> None:
    for number in range(130):
        await fed.actor("ee/prosecutor").submit(fed.request(case_id=f"EE-{number}"))
    over_grpc = ("ee", "--config", fed.summary.config("ee/auditor"), "--state", tmp_path / "grpc")
    async with asyncio.timeout(60):
        while (told := await audited(*over_grpc))[0] != 0 or told[1]["size"] < 260:
            assert told[0] in (0, 1), told
    async with served(fed.summary.config("ee/node")) as url:
        over_http = (url, "--node", "ee", "--config", fed.summary.config("ee/auditor"), "--state", tmp_path / "http")
        status, found = await audited(*over_http, "--against", tmp_path / "grpc")
        assert (status, found["origin"], found["against"][0]["relation"]) == (0, "ee.rogatory.test/log", "same")
        assert (found["size"], found["root"]) == (told[1]["size"], told[1]["root"])
        root = ("--root", fed.summary.folder / "root.json", "--directory", fed.summary.folder / "repository")
        status, found = await audited(url, "--node", "ee", *root, "--state", tmp_path / "root")
        assert (status, found["root"]) == (0, told[1]["root"])
        status, refused = await audited(url, "--node", "de", *root, "--state", tmp_path / "other")
        assert (status, refused["error"]["code"]) == (2, "BAD_SIGNATURE")
        await fed.actor("ee/prosecutor").submit(fed.request())
        async with asyncio.timeout(60):
            while (later := await audited(*over_grpc))[1]["new"] == 0:
                assert later[0] == 0
        assert later[1]["before"]["size"] == told[1]["size"]
