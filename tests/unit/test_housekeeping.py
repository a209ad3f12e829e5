"""What nobody needs any more is deleted, however much it is and whatever cannot be."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from obstore.store import LocalStore
from rogatory.v1 import envelope_pb2 as pb

from gateway.clock import SteadyClock
from gateway.config import Attachments, Limits
from gateway.depot import Depot, held
from gateway.doors.housekeeping import collect, keep_house
from gateway.errors import ErrorCode, Failure
from gateway.identity import Address
from gateway.store import Transaction, Writer, open_store
from gateway.store.attachments import SWEEP_ROWS
from tests import world
from tests.federation import until


@pytest.fixture
def now() -> list[datetime]:
    """What the clock says."""
    return [world.NOW]


@pytest_asyncio.fixture
async def writer(path: Path, now: list[datetime]) -> AsyncIterator[Writer]:
    connect, engine = open_store(path)
    engine.dispose()
    made = world.writer(connect, lambda: now[0])
    yield made
    await made.close()


async def house_is_kept(writer: Writer, folder: Path, places: list[Path], left: list[Path]) -> None:
    def forgotten(txn: Transaction) -> None:
        for place in places:
            txn.attachments.discard(place.name)

    await writer.write(forgotten)
    settings = Attachments(collect_seconds=86400)
    keeping = asyncio.create_task(keep_house(writer, Depot(LocalStore(folder), folder), settings, lambda: world.NOW))
    try:
        await until(lambda: [*folder.iterdir()] == left)

        def waiting(txn: Transaction) -> list[str]:
            return txn.attachments.to_delete()

        while await writer.write(waiting) != [each.name for each in left]:
            await asyncio.sleep(0.01)
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


def lying(folder: Path, number: int) -> Path:
    place = folder / f"{number:064x}.0"
    place.mkdir()
    (place / "00000000").write_bytes(b"x")
    return place


async def test_what_is_forgotten_faster_than_round_by_round_does_not_pile_up(writer: Writer, tmp_path: Path) -> None:
    """Whoever brings bytes that are not what they were said to be, again and again, fills no disk by it."""
    folder = tmp_path / "files"
    folder.mkdir()
    await house_is_kept(writer, folder, [lying(folder, number) for number in range(2 * SWEEP_ROWS + 10)], [])


class Late(Depot):
    """Where a part comes just after its place was emptied, by a call that then hears that its file is forgotten."""

    def __init__(self, folder: Path, writer: Writer) -> None:
        super().__init__(LocalStore(folder), folder)
        self._writer = writer
        self._is_late = True

    async def discard(self, place: str) -> None:
        await super().discard(place)
        if self._is_late:
            self._is_late = False
            await self.put(place, 0, b"late")
            await self._writer.write(lambda txn: txn.attachments.discard(place))


async def test_part_that_comes_while_its_place_is_emptied_goes_too(writer: Writer, tmp_path: Path) -> None:
    folder, place = tmp_path / "files", f"{0:064x}.0"
    folder.mkdir()
    await writer.write(lambda txn: txn.attachments.discard(place))
    depot = Late(folder, writer)
    for _ in range(2):
        await collect(writer, depot, Attachments(), lambda: world.NOW)
    assert [*folder.iterdir()] == []
    assert await writer.write(lambda txn: txn.attachments.to_delete()) == []


async def test_place_that_cannot_be_emptied_keeps_no_other_from_it(writer: Writer, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    stuck = folder / f"{0:064x}.0"
    stuck.write_text("no folder")
    await house_is_kept(writer, folder, [stuck, *(lying(folder, number) for number in range(1, 5))], [stuck])


async def test_many_places_that_cannot_be_emptied_hide_no_later_one(writer: Writer, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    stuck = [folder / f"{number:064x}.0" for number in range(SWEEP_ROWS)]
    for each in stuck:
        each.write_text("no folder")
    later = [lying(folder, SWEEP_ROWS + number) for number in range(3)]

    def forgotten(txn: Transaction) -> None:
        for place in (*stuck, *later):
            txn.attachments.discard(place.name)

    await writer.write(forgotten)
    depot, settings = Depot(LocalStore(folder), folder), Attachments()
    after: str | None = ""
    rounds = 0
    while after is not None and rounds < 3:
        after = await collect(writer, depot, settings, lambda: world.NOW, after)
        rounds += 1
    assert (after, sorted(folder.iterdir())) == (None, stuck)
    assert await writer.write(lambda txn: txn.attachments.to_delete(stuck[-1].name)) == []


async def test_clock_that_is_set_wrongly_lets_no_file_go_before_it_is_believed(
    writer: Writer, now: list[datetime], tmp_path: Path
) -> None:
    folder, settings, steady = tmp_path / "files", Attachments(), SteadyClock(lambda: now[0], lambda: 0.0, 300)
    folder.mkdir()
    file = pb.AttachmentRef(sha256=bytes(32), size=1)
    owner = Address.parse("ee/prosecutor")
    begun = await writer.write(lambda txn: txn.attachments.begin(owner, file, Limits(), settings))
    now[0] += timedelta(days=3660)
    with pytest.raises(Failure) as caught:
        await collect(writer, Depot(LocalStore(folder), folder), settings, steady)
    assert caught.value.code is ErrorCode.UNAVAILABLE
    now[0] = world.NOW
    assert await writer.write(lambda txn: txn.attachments.begin(owner, file, Limits(), settings)) == begun


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_round_leaves_the_folder_to_a_backup_and_no_descriptor_open(tmp_path: Path) -> None:
    descriptors = Path("/proc/self/fd")
    before = len([*descriptors.iterdir()])
    with Depot.of_folder(tmp_path).clearing() as may:
        assert may
    with held(tmp_path), Depot.of_folder(tmp_path).clearing() as may:
        assert not may
    assert len([*descriptors.iterdir()]) == before
