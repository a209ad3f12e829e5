"""Where files lie: a folder and a bucket keep the same promises."""

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.config import NodeConfig
from gateway.depot import PART_BYTES, PIECE_BYTES, Depot, open_depot
from gateway.errors import ErrorCode, Failure, Refusal
from tests.bucket import bucket
from tests.errors import raises

pytestmark = pytest.mark.integration


def config(folder: Path, **attachments: object) -> NodeConfig:
    directory = {"root": folder / "root.json", "repository": str(folder), "cache": folder}
    return NodeConfig.model_validate(
        {
            "node": "ee",
            "listen": "127.0.0.1:1",
            "directory": directory,
            "store": folder / "node.db",
            "certificate": folder / "c",
            "tls_key": folder / "k",
            "attachments": attachments,
        }
    )


@pytest_asyncio.fixture(params=["folder", "bucket"])
async def depot(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Depot]:
    if request.param == "folder":
        yield open_depot(config(tmp_path))
        return
    async with bucket(tmp_path / "s3") as settings:
        yield open_depot(config(tmp_path, s3=settings))


async def read(depot: Depot, place: str, size: int, offset: int = 0) -> bytes:
    pieces = [piece async for piece in depot.read(place, size, offset)]
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


async def test_what_was_put_is_read_from_any_position_until_it_is_discarded(depot: Depot) -> None:
    content = os.urandom(2 * PART_BYTES + 70_001)
    for number, start in enumerate(range(0, len(content), PART_BYTES)):
        assert await depot.put("aa.1", number, content[start : start + PART_BYTES])
    other = os.urandom(10)
    assert await depot.put("aa.2", 0, other)
    for offset in (0, 1, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 70_000, len(content)):
        assert await read(depot, "aa.1", len(content), offset) == content[offset:]
    await depot.discard("aa.1")
    with pytest.raises(Failure) as caught:
        await read(depot, "aa.1", len(content))
    assert caught.value.code is ErrorCode.STORE
    await depot.discard("aa.1")  # again, as after a crash
    assert await read(depot, "aa.2", 10) == other


async def test_part_is_written_once_and_never_changed(depot: Depot) -> None:
    part = os.urandom(PART_BYTES)
    assert await depot.put("aa.1", 0, part)
    assert await depot.put("aa.1", 0, part)
    assert not await depot.put("aa.1", 0, os.urandom(PART_BYTES))
    assert not await depot.put("aa.1", 0, part[:-1])
    assert not await depot.put("aa.1", 0, part + b"x")
    assert await read(depot, "aa.1", PART_BYTES) == part


@pytest.mark.parametrize("torn", [b"", b"half of it"])
async def test_part_has_its_name_only_once_its_bytes_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bytes
) -> None:
    """A power cut leaves of what was not synced as much as it likes; what is confirmed goes on from there."""
    depot, synced = open_depot(config(tmp_path)), os.fsync
    path = tmp_path / "node.db.attachments" / "aa.1" / "00000000"

    def cut(descriptor: int) -> None:
        if path.exists():
            path.write_bytes(torn)
        else:
            os.ftruncate(descriptor, len(torn))
        raise OSError(errno.EIO, "the power is cut")

    monkeypatch.setattr(os, "fsync", cut)
    with raises(ErrorCode.STORE):
        await depot.put("aa.1", 0, b"what was meant to be there")
    monkeypatch.setattr(os, "fsync", synced)
    assert await depot.put("aa.1", 0, b"what was meant to be there")
    assert await read(depot, "aa.1", 26) == b"what was meant to be there"
    assert depot.sizes("aa.1") == {0: 26}


async def test_part_that_is_shorter_than_it_was_is_a_failure_and_no_end(depot: Depot) -> None:
    await depot.put("aa.1", 0, bytes(1000))
    with pytest.raises(Failure) as caught:
        await read(depot, "aa.1", 1001)
    assert caught.value.code is ErrorCode.STORE


async def test_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    depot = open_depot(config(tmp_path))
    (tmp_path / "node.db.attachments" / "aa.1").write_text("in the way")
    with pytest.raises(Failure) as caught:
        await depot.put("aa.1", 0, b"x")
    assert caught.value.code is ErrorCode.STORE


async def test_bucket_whose_key_is_wrong_says_so_and_shows_no_key(tmp_path: Path) -> None:
    async with bucket(tmp_path / "s3") as settings:
        wrong = tmp_path / "wrong"
        wrong.touch(0o600)
        wrong.write_text("not the secret\n")
        depot = open_depot(config(tmp_path, s3=settings.model_copy(update={"secret_key_file": wrong})))
        with pytest.raises(Failure) as caught:
            await depot.put("aa.1", 0, b"x")
        assert caught.value.code is ErrorCode.STORE
        assert "not the secret" not in str(caught.value)
        wrong.chmod(0o644)
        with pytest.raises(Refusal) as refused:
            open_depot(config(tmp_path, s3=settings.model_copy(update={"secret_key_file": wrong})))
        assert refused.value.code is ErrorCode.KEY_FILE
