"""What is proven to be in a log is proven under a checkpoint that enough witnesses have cosigned, over real nodes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import merkle, witness
from tests.federation import UNTIL_SECONDS, Federation, federation
from tests.integration.test_cli_case import INSTRUMENT, Terminal, request

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

BY = ["de.rogatory.test"]


@pytest.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    """Two nodes, in a federation that wants one cosignature."""
    async with federation(tmp_path / "fed", start=[]) as made:
        made.sign_anew(made.directory.model_copy(update={"cosignatures": 1}))
        for code in ("ee", "de"):
            await made.start(code)
        yield made


@pytest.fixture
def at(fed: Federation, tmp_path: Path) -> Terminal:
    return Terminal(fed, tmp_path)


async def draft(at: Terminal, case: str) -> Any:
    addressed = ("--to", "de/central-authority", "--via", "ee/central-authority", "--case", case, *INSTRUMENT)
    return await at.send("ee/prosecutor", "draft", at.file("request.json", request()), *addressed)


async def prove(at: Terminal, *arguments: str) -> tuple[int, Any]:
    return await at.run("case", "prove", *arguments, *at.config("ee/prosecutor"))


def holds(fed: Federation, told: Any) -> bool:
    """Check by the directory and RFC 6962 alone what was told."""
    raw = told["checkpoint"].encode()
    point, cosigned = witness.read_checkpoint(fed.directory, "ee", raw, fed.clock())
    for entry in told["entries"]:
        path = [bytes.fromhex(each) for each in entry["path"]]
        merkle.check_inclusion(bytes.fromhex(entry["leaf_hash"]), entry["index"], point.size, path, point.root)
    said = (told["log"], told["size"], told["root"], told["cosigned"])
    return said == (point.origin, point.size, point.root.hex(), [*cosigned.by])


async def exported(at: Terminal, case: str) -> tuple[dict[str, str], Any]:
    """Hand out a case; return what is not there in it, and what its reader is told of the log."""
    out = at.folder / f"{case}.rogatory.zip"
    status, told = await at.run("case", "export", case, "--out", out, *at.config("ee/prosecutor"))
    assert (status, told["holds"]) == (0, True), told
    status, read = await at.run("verify", out, "--root", at.fed.summary.root)
    assert (status, read["holds"]) == (0, True)
    return told["not_there"], next(each for each in read["checks"] if each["name"] == "log")


async def test_receipt_names_the_checkpoint_that_covers_it_and_who_has_cosigned_that(at: Terminal) -> None:
    sent = await draft(at, "EE-1")
    status, told = await prove(at, "EE-1")
    assert (status, told["proven"], told["cosigned"], told["wanted"]) == (0, True, BY, 1), told
    assert holds(at.fed, told)
    envelope, *receipts = told["entries"]
    assert (envelope["envelope"], envelope["receipt"]) == ({"sender": "ee/prosecutor", "id": sent["id"]}, None)
    assert [each["receipt"]["milestone"] for each in receipts] == ["accepted"]
    assert await prove(at, "EE-1", "--envelope", sent["id"][:13]) == (0, told)
    status, refused = await prove(at, "EE-1", "--envelope", sent["id"][:7])
    assert (status, refused["error"]["code"]) == (2, "NOT_FOUND")


async def test_case_file_has_a_checkpoint_that_as_many_have_cosigned_as_the_federation_wants(at: Terminal) -> None:
    await draft(at, "EE-1")
    not_there, log = await exported(at, "EE-1")
    assert "log" not in not_there
    assert log["status"] == "passed"
    assert log["detail"].endswith("cosigned by de.rogatory.test (1 of 1 wanted)")


async def test_without_witnesses_what_there_is_is_taken_and_told(at: Terminal) -> None:
    await draft(at, "EE-1")
    assert (await prove(at, "EE-1"))[0] == 0
    await at.fed.stop("de")
    await draft(at, "EE-2")
    status, told = await prove(at, "EE-2")
    assert (status, told["proven"], told["cosigned"], told["wanted"]) == (1, False, [], 1)
    assert holds(at.fed, told)
    not_there, log = await exported(at, "EE-2")
    assert log["status"] == "not-there"
    assert not_there["log"] == log["detail"]
    assert log["detail"].startswith("too few witnesses: all 2 ")


async def test_auditor_counts_the_witnesses_that_the_directory_lists(at: Terminal, tmp_path: Path) -> None:
    given = ("audit", "ee", "--config", at.fed.summary.config("ee/auditor"), "--state", tmp_path / "state")

    async def until(counted: list[str], size: int) -> Any:
        async with asyncio.timeout(UNTIL_SECONDS):
            while True:
                status, told = await at.run(*given)
                if status == 0 and told["counted"] == counted and told["size"] >= size:
                    return told
                assert (status, told.get("error", {}).get("code", "UNAVAILABLE")) in {
                    (0, "UNAVAILABLE"),
                    (1, "UNAVAILABLE"),
                }

    await draft(at, "EE-1")
    first = await until(BY, 2)
    assert (first["wanted"], [each["name"] for each in first["cosigned"]]) == (1, BY)
    assert (await at.run(*given, "--require-cosigned"))[0] == 0
    await at.fed.stop("de")
    await draft(at, "EE-2")
    later = await until([], first["size"] + 2)
    assert (later["wanted"], later["cosigned"]) == (1, [])
    status, told = await at.run(*given, "--require-cosigned")
    assert (status, told["error"]["code"], told["error"]["field"]) == (1, "UNAVAILABLE", "cosigned")
    assert told["size"] == later["size"]
